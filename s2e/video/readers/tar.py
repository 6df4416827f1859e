"""Plain tar files, member by member: written to the same bytes every time, read with nothing
extracted and nothing believed.

The layout is POSIX ustar (IEEE Std 1003.1-2017, pax, "ustar Interchange Format"): a header of 512
bytes, then the data, filled up.
"""

import io
import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Protocol

from s2e.core.errors import UserError

BLOCK = 512
MAX_MEMBER = 1 << 26
"""Bytes of one member at most; no frame and no description of a walk is as large."""
_PAX_MAX = 1 << 16
_CHUNK = 1 << 20
_BAD_TYPES = {
    b"1": "a hard link",
    b"2": "a symbolic link",
    b"3": "a device",
    b"4": "a device",
    b"6": "a pipe",
    b"S": "a sparse file",
}


class Readable(Protocol):
    """What gives bytes, one after the other."""

    def read(self, count: int, /) -> bytes:
        """At most `count` bytes; none at the end."""
        ...


@dataclass(frozen=True)
class Member:
    """One regular file: its name, where its data begin, how many bytes they are."""

    name: str
    offset: int
    size: int


def padded(size: int) -> int:
    """Bytes that `size` bytes of data take in a tar file."""
    return -(-size // BLOCK) * BLOCK


def packed(name: str, data: bytes) -> bytes:
    """One member's bytes: nothing but its name and its data go in, no owner and no time."""
    encoded = name.encode("ascii")
    if len(encoded) > 100:
        raise ValueError(f"{name}: 100 characters at most")
    fields = [
        encoded.ljust(100, b"\0"),
        b"0000644\0",
        b"0000000\0",
        b"0000000\0",
        b"%011o\0" % len(data),
        b"00000000000\0",
        b" " * 8,
        b"0",
        b"\0" * 100,
        b"ustar\0",
        b"00",
        b"\0" * 32,
        b"\0" * 32,
        b"0000000\0",
        b"0000000\0",
        b"\0" * 167,
    ]
    header = b"".join(fields)
    header = header[:148] + b"%06o\0 " % sum(header) + header[156:]
    return header + data.ljust(padded(len(data)), b"\0")


END = b"\0" * (2 * BLOCK)
"""What ends a tar file."""


class TarReader:
    """Goes through the members of a tar file, forwards alone.

    Args:
        file: gives bytes; it may be a pipe.
        where: names it in errors.
        size: its bytes, where it is a file on a disk: members that reach beyond are refused, and
            what is skipped is jumped over.
        at: the byte of the whole where `file` begins, for messages.
    """

    def __init__(self, file: Readable, where: str, size: int | None = None, at: int = 0):
        self.file, self.where, self.size = file, where, size
        self.at = at
        self._rest = 0  # bytes of the member in hand that nobody has taken

    def next(self) -> Member | None:
        """The next regular file, or None after the last.

        Raises:
            UserError: the file is cut off, is no tar file, or holds what no shard holds.
        """
        while True:
            self._pass(self._rest)
            begin, header = self.at, self._take(BLOCK)
            if not any(header):
                return None
            name, size, kind = _parsed(header, f"{self.where}: byte {begin}")
            if self.size is not None and self.at + size > self.size:
                raise UserError(
                    f"{self.where}: cut off: member {name} at byte {begin} says {size} bytes; copy "
                    "the file again"
                )
            self._rest = padded(size)
            if kind in b"xg":
                self._check_pax(name, self.data(Member(name, self.at, size)))
            elif kind != b"5":  # folders say nothing
                return Member(name, self.at, size)

    def data(self, member: Member) -> bytes:
        """The data of the member that `next` has just given."""
        data = self._take(padded(member.size))
        self._rest = 0
        return data[: member.size]

    def _take(self, count: int) -> bytes:
        parts, left = [], count
        while left:
            part = self.file.read(min(left, _CHUNK))
            if not part:
                raise UserError(
                    f"{self.where}: cut off at byte {self.at + count - left}; copy the file again"
                )
            parts.append(part)
            left -= len(part)
        self.at += count
        return b"".join(parts)

    def _pass(self, count: int) -> None:
        if self.size is not None and isinstance(self.file, io.IOBase):
            self.at = self.file.seek(self.at + count)
        else:
            while count:
                count -= len(self._take(min(count, _CHUNK)))
        self._rest = 0

    def _check_pax(self, name: str, data: bytes) -> None:
        """Extended headers carry times and owners; what would change a name, a size or a link is
        refused.
        """
        keys = re.findall(rb"(?:^|\n)\d+ ([^=\n]+)=", data)
        if bad := [
            k.decode("ascii", "replace")
            for k in keys
            if k in (b"path", b"linkpath", b"size") or k.startswith(b"GNU.")
        ]:
            raise UserError(
                f"{self.where}: member {name} before byte {self.at} changes {bad[0]}; pack the "
                "shard again with s2e-data convert"
            )


def _parsed(header: bytes, where: str) -> tuple[str, int, bytes]:
    remedy = "pack the shard again with s2e-data convert"
    if header[257:262] != b"ustar" or _octal(header[148:156]) != sum(header[:148]) + 256 + sum(
        header[156:]
    ):
        raise UserError(
            f"{where}: no tar header; the file is damaged or no tar file (compressed ones are not "
            "read)"
        )
    raw = header[:100].split(b"\0")[0]
    if header[257:263] == b"ustar\0" and header[345]:
        raw = header[345:500].split(b"\0")[0] + b"/" + raw
    name, kind, size = (
        raw.decode("utf-8", "backslashreplace"),
        header[156:157],
        _octal(header[124:136]),
    )
    shown = repr(name)[1:-1][:80]
    if kind in _BAD_TYPES:
        raise UserError(f"{where}: member {shown} is {_BAD_TYPES[kind]}; {remedy}")
    if kind not in (b"0", b"\0", b"5", b"x", b"g"):
        raise UserError(
            f"{where}: member {shown} is of kind {kind!r}, which no shard has; {remedy}"
        )
    if (
        name.startswith("/")
        or ".." in PurePosixPath(name).parts
        or "\\" in name
        or not name.isprintable()
        or not name
    ):
        raise UserError(f"{where}: member name {shown} is refused; {remedy}")
    if (
        size is None
        or size > (_PAX_MAX if kind in b"xg" else MAX_MEMBER)
        or (kind == b"5" and size)
    ):
        raise UserError(
            f"{where}: member {shown} has a size of {'no number' if size is None else size}; "
            f"{MAX_MEMBER} bytes at most"
        )
    return name, size, kind


def _octal(field: bytes) -> int | None:
    text = field.strip(b" \0")
    return int(text, 8) if re.fullmatch(rb"[0-7]+", text) else None
