"""Plain tar files, member by member: written to the same bytes every time, read with nothing
extracted and nothing believed.

The layout is POSIX ustar (IEEE Std 1003.1-2017, pax, "ustar Interchange Format"): a header of 512
bytes, then the data, filled up. Headers are read by `tarfile.TarInfo`. `tarfile.TarFile` itself is
not used: it ends without a word at a damaged header or where the end is missing, reads as many
bytes as an extended header claims, and lets such a header rename what follows. Nor does `TarInfo`
write: the bytes of an empty device number differ between versions of Python.
"""

import io
import re
import struct
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Protocol

from s2e.core.errors import UserError

BLOCK = 512
MAX_MEMBER = 1 << 26
"""Bytes of one member at most; no frame and no description of a walk is as large."""
END = b"\0" * (2 * BLOCK)
"""What ends a tar file."""
_PAX_MAX = 1 << 16
_CHUNK = 1 << 20
_HEADER = struct.Struct("100s 8s 8s 8s 12s 12s 8s 1s 100s 8s 32s 32s 8s 8s 167s")
_BAD_TYPES = {
    tarfile.LNKTYPE: "a hard link",
    tarfile.SYMTYPE: "a symbolic link",
    tarfile.CHRTYPE: "a device",
    tarfile.BLKTYPE: "a device",
    tarfile.FIFOTYPE: "a pipe",
    tarfile.GNUTYPE_SPARSE: "a sparse file",
}
_PAX_TYPES = (tarfile.XHDTYPE, tarfile.XGLTYPE)
_REMEDY = "pack the shard again with s2e-data convert"


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
    encoded, none = name.encode("ascii"), b"0000000"
    if len(encoded) > 100:
        raise ValueError(f"{name}: 100 characters at most")
    size, time = b"%011o" % len(data), b"00000000000"

    def header(checksum: bytes) -> bytes:
        start = encoded, b"0000644", none, none, size, time, checksum, tarfile.REGTYPE
        return _HEADER.pack(*start, b"", tarfile.POSIX_MAGIC, b"", b"", none, none, b"")

    return header(b"%06o\0 " % sum(header(b" " * 8))) + data.ljust(padded(len(data)), b"\0")


class TarReader:
    """Goes through the regular files of a tar file, forwards alone.

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

    def __iter__(self) -> Iterator[Member]:
        """Each member, in order.

        Raises:
            UserError: the file is cut off, is no tar file, or holds what no shard holds.
        """
        while True:
            self._pass(self._rest)
            begin, header = self.at, self._take(BLOCK)
            if not any(header):
                return
            name, size, kind = _parsed(header, f"{self.where}: byte {begin}")
            if self.size is not None and self.at + size > self.size:
                raise UserError(
                    f"{self.where}: cut off: member {name} at byte {begin} says {size} bytes; copy "
                    "the file again"
                )
            self._rest = padded(size)
            if kind in _PAX_TYPES:
                self._check_pax(name, self.data(Member(name, self.at, size)))
            elif kind != tarfile.DIRTYPE:  # folders say nothing
                yield Member(name, self.at, size)

    def data(self, member: Member) -> bytes:
        """The data of the member that has just come."""
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
        for key in re.findall(rb"(?:^|\n)\d+ ([^=\n]+)=", data):
            if key in (b"path", b"linkpath", b"size") or key.startswith(b"GNU."):
                raise UserError(
                    f"{self.where}: member {name} before byte {self.at} changes "
                    f"{key.decode('ascii', 'replace')}; {_REMEDY}"
                )


def _parsed(header: bytes, where: str) -> tuple[str, int, bytes]:
    """Name, size and type of a member whose header is one that a shard may have."""
    try:
        info = tarfile.TarInfo.frombuf(header, "utf-8", "backslashreplace")
        if header[257:262] != tarfile.POSIX_MAGIC[:5]:
            raise tarfile.HeaderError("of before 1988")
    except tarfile.HeaderError:
        raise UserError(
            f"{where}: no tar header; the file is damaged or no tar file (compressed ones are not "
            "read)"
        ) from None
    name, kind, size = info.name, info.type, info.size
    shown = repr(name)[1:-1][:80]
    if kind in _BAD_TYPES:
        raise UserError(f"{where}: member {shown} is {_BAD_TYPES[kind]}; {_REMEDY}")
    if kind not in (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.DIRTYPE, *_PAX_TYPES):
        raise UserError(
            f"{where}: member {shown} is of kind {kind!r}, which no shard has; {_REMEDY}"
        )
    outside = name.startswith("/") or ".." in PurePosixPath(name).parts or "\\" in name
    if outside or not name.isprintable() or not name:
        raise UserError(f"{where}: member name {shown} is refused; {_REMEDY}")
    most = _PAX_MAX if kind in _PAX_TYPES else 0 if kind == tarfile.DIRTYPE else MAX_MEMBER
    if not 0 <= size <= most:
        raise UserError(f"{where}: member {shown} has a size of {size}; {MAX_MEMBER} bytes at most")
    return name, size, kind
