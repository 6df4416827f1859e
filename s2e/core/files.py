"""Files that every part reads and writes: JSON read with care, files and folders that appear whole
or not at all, hashes.
"""

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from s2e.core.errors import UserError

MAX_JSON_BYTES = 1 << 26
"""A larger file is no JSON of this project: it is refused before it is read."""
PART = ".part"
"""Ends the name of a file that is being written; one that a kill left is overwritten."""


def parse_json(data: bytes | str) -> Any:
    """A JSON value.

    Raises:
        ValueError: it is none, or one nested too deep to be read.
    """
    try:
        return json.loads(data)
    except RecursionError:
        raise ValueError("nested too deep") from None


def json_object(data: bytes | str, where: str, remedy: str) -> dict[str, Any]:
    """The JSON object that a file's bytes are.

    Args:
        data: the bytes.
        where: names the file, or the part of it, in errors.
        remedy: what to do where it is none.

    Raises:
        UserError: not JSON, or another value than an object.
    """
    try:
        found = parse_json(data)
    except ValueError as error:
        raise UserError(f"{where}: cannot be read as JSON ({brief(error)}); {remedy}") from None
    if not isinstance(found, dict):
        raise UserError(f"{where}: holds a {type(found).__name__}, not a JSON object; {remedy}")
    return found


def read_json(path: Path, remedy: str, max_bytes: int = MAX_JSON_BYTES) -> dict[str, Any]:
    """The object in a JSON file; see `json_object`.

    Raises:
        UserError: the file is not there, cannot be read, is too large or holds no JSON object.
    """
    try:
        with open(path, "rb") as file:
            data = file.read(max_bytes + 1)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise UserError(f"{path}: cannot be read ({why}); {remedy}") from None
    if len(data) > max_bytes:
        raise UserError(f"{path}: larger than {max_bytes} bytes; {remedy}")
    return json_object(data, str(path), remedy)


def json_lines(data: bytes | str) -> Iterator[dict[str, Any]]:
    """The objects of a JSON Lines file; a line that a kill cut is passed over."""
    for line in data.splitlines():
        with contextlib.suppress(ValueError):
            found = parse_json(line)
            if isinstance(found, dict):
                yield found


def brief(error: Exception) -> str:
    """What a library says of a damaged file, in one short line: some repeat the file's own
    bytes.
    """
    text = " ".join(str(error).split())
    return text if len(text) <= 200 else text[:197] + "..."


def write_whole(path: Path, data: bytes | str | Iterable[bytes]) -> None:
    """Writes a file so that, whatever happens, the old or the new one is there, whole.

    Args:
        path: the file.
        data: its content; text is written as UTF-8, parts one after the other.

    Raises:
        OSError: it cannot be written; nothing is left behind.
    """
    if isinstance(data, str):
        data = data.encode(errors="backslashreplace")
    part = path.with_name(path.name + PART)
    try:
        with part.open("wb") as file:
            for piece in (data,) if isinstance(data, bytes) else data:
                file.write(piece)
        fsync(part)
        os.replace(part, path)
    except BaseException:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise
    fsync(path.parent)  # the renames before it, too


@contextlib.contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """A new folder to fill, which takes the place of `folder` when the block ends, and a former one
    with it; where the block fails, the former one is as it was.

    Raises:
        OSError: it cannot be written.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(prefix=".writing-", dir=folder.parent))
    made, former = beside / folder.name, beside / "former"
    try:
        made.mkdir()
        yield made
        for path in [*made.rglob("*"), made]:
            fsync(path)
        if folder.exists():
            # set aside, not deleted first: a kill in between must leave one of the two
            os.replace(folder, former)
        try:
            os.replace(made, folder)
        except BaseException:
            if former.exists():
                os.replace(former, folder)
            raise
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def fsync(path: Path) -> None:
    """Waits until a file's or a folder's content is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256(path: Path) -> str:
    """The sha256 of a file's content, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
