"""One process writes into a folder; a second one is refused as long as the first lives."""

import atexit
import errno
import fcntl
import os
import socket
import sys
from contextlib import suppress
from pathlib import Path

from s2e.core.errors import UserError

LOCK = ".lock"
"""The file inside a folder that is locked; one that a killed process left means nothing."""

_held: dict[Path, int] = {}  # an open file for each folder that this process holds
_made: list[Path] = []  # folders that it made


def hold(folder: Path, room_mb: float = 1.0) -> None:
    """Makes a folder, where there is none, and keeps it for this process until it ends, however it
    ends.

    The kernel gives up the lock (flock) with the process, so none is ever stale. A folder that this
    process holds already is held once. Where the file system knows no locks this is said, and the
    folder is used without one.

    Args:
        folder: the folder. room_mb: less than these megabytes free on its disk are a full one.

    Raises:
        UserError: another process holds the folder, or it cannot be written, or its disk is full.
    """
    check_place(folder, room_mb=room_mb)
    place, new = Path(os.path.realpath(folder)), not os.path.lexists(folder)
    if place in _held:
        if _is_there(_held[place], folder / LOCK):
            return
        release(folder)  # the folder was deleted and made anew
    file = _open(folder)
    while not _lock(folder, file):
        os.close(file)
        file = _open(folder)
    _held[place] = file
    _made.extend([place] if new else [])
    try:
        os.ftruncate(file, 0)
        os.write(file, f"process {os.getpid()} on {socket.gethostname()}\n".encode())
    except OSError:
        # who holds it is said for comfort; a full disk is found out by what needs the room
        return


def check_place(folder: Path, option: str = "--out", room_mb: float = 1.0) -> None:
    """Refuses a folder that cannot be written, there or yet to be made, before work is done that it
    could not keep.

    Args:
        folder: the folder; nothing is made. option: what named it. room_mb: less than these
            megabytes free on its disk are a full one.

    Raises:
        UserError: a link to nowhere or a file in its place, a read-only or a full disk, no
            permission.
    """
    there = folder.absolute()
    while not os.path.lexists(there) and there != there.parent:
        there = there.parent
    why = ""
    if not os.path.isdir(there):
        why = f"{there} is {'no folder' if os.path.exists(there) else 'a link to nowhere'}"
    elif not os.access(there, os.W_OK | os.X_OK):
        why = f"{there} is read-only here"
    if why:
        raise UserError(f"{folder}: cannot be written ({why}); give another {option}")
    disk = os.statvfs(there)
    free_mb = disk.f_bavail * disk.f_frsize / 1e6
    if disk.f_blocks and free_mb < room_mb:  # some file systems do not say how large they are
        why = f"{free_mb:.1f} MB are free on its disk and {room_mb:g} are needed"
        raise UserError(
            f"{folder}: cannot be written ({why}); free some space, or give another {option}"
        )


def release(folder: Path) -> None:
    """Gives up a folder that this process holds, and leaves no trace in it; for processes that live
    on.
    """
    file = _held.pop(Path(os.path.realpath(folder)), None)
    if file is None:
        return
    if _is_there(file, folder / LOCK):
        (folder / LOCK).unlink(missing_ok=True)
    os.close(file)


@atexit.register
def _clear() -> None:
    """Takes away folders that this process made and put nothing into: it refused, or was stopped,
    before its work began.
    """
    for place in _made:
        with suppress(OSError):
            if place in _held and os.listdir(place) == [LOCK]:
                release(place)
                place.rmdir()


def _open(folder: Path) -> int:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise UserError(f"{folder}: cannot be written ({error}); give another --out") from None


def _lock(folder: Path, file: int) -> bool:
    """Locks an open lock file; False where its holder removed it in between, and another one is to
    be opened.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        who = os.read(file, 200).decode(errors="replace").strip() or "another process"
        os.close(file)
        remedy = "wait for its end, stop it, or give another --out"
        raise UserError(f"{folder}: {who} is writing into this folder; {remedy}") from None
    except OSError as error:
        if error.errno not in (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP):
            os.close(file)
            raise UserError(f"{folder}: cannot be locked ({error}); give another --out") from None
        print(
            f"note: {folder} is on a file system without locks; let no second process write there",
            file=sys.stderr,
        )
    return _is_there(file, folder / LOCK)


def _is_there(file: int, path: Path) -> bool:
    """Whether a path still names an open file."""
    try:
        return os.path.samestat(os.fstat(file), os.stat(path))
    except OSError:
        return False
