"""The header of a PLY file: which elements of which properties lie where."""

from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from s2e.core.errors import UserError
from s2e.envs.splats.formats.whole import opened, read_exactly, size_of

_TYPES = {
    "char": "i1",
    "int8": "i1",
    "uchar": "u1",
    "uint8": "u1",
    "short": "<i2",
    "int16": "<i2",
    "ushort": "<u2",
    "uint16": "<u2",
    "int": "<i4",
    "int32": "<i4",
    "uint": "<u4",
    "uint32": "<u4",
    "float": "<f4",
    "float32": "<f4",
    "double": "<f8",
    "float64": "<f8",
}
_MAX_HEADER = 1 << 16


@dataclass(frozen=True)
class Element:
    """Rows of a table: `dtype` is one row, `start` the byte of the first. A table with list
    properties has itemsize 0.
    """

    name: str
    count: int
    dtype: np.dtype
    start: int


@dataclass(frozen=True)
class PlyHeader:
    """Elements by name, in the order of the file, up to the first whose size is unknown, and the
    comments.
    """

    elements: dict[str, Element]
    comments: tuple[str, ...]

    @property
    def antialiased(self) -> bool:
        """Whether a comment says so: `SplatRenderMode: mip` (Brush) or `antialiased 1` (Postshot);
        the last one counts.
        """
        found = False
        for comment in self.comments:
            words = comment.replace(":", " ").lower().split()
            if words[:1] in (["splatrendermode"], ["antialiased"]) and len(words) == 2:
                found = words[1] in ("mip", "1", "true")
        return found


def _header_lines(path: Path, head: bytes) -> tuple[list[str], int]:
    """The header's lines and the byte at which the data begins."""
    if not head.startswith(b"ply"):
        raise UserError(f"{path}: not a PLY (byte 0 is not 'ply'); give a 3DGS point_cloud.ply")
    mark = head.find(b"\nend_header")
    newline = head.find(b"\n", mark + 1) if mark >= 0 else -1
    if newline < 0:
        raise UserError(
            f"{path}: the header has no end_header line in its first {len(head)} bytes; the file "
            "is cut or "
            "not a PLY: export or copy it again"
        )
    return head[: newline + 1].decode("ascii", errors="replace").splitlines(), newline + 1


def _tables(path: Path, lines: list[str]) -> tuple[str, list[tuple[str, int, dict[str, str]]]]:
    """The format and, for each element, its name, count and property types; a list property's type
    is empty.
    """
    tables: list[tuple[str, int, dict[str, str]]] = []
    kind = ""
    for number, line in enumerate(lines, 1):
        words = line.split()
        where = f"{path}: header line {number}"
        if not words or words[0] in ("ply", "comment", "obj_info", "end_header"):
            continue
        if words[0] == "format":
            kind = words[1] if len(words) > 1 else ""
        elif words[0] == "element" and len(words) == 3:
            if any(words[1] == name for name, _, _ in tables):
                raise UserError(
                    f"{where}: element {words[1][:40]!r} twice; the header is damaged, export again"
                )
            if not (words[2].isascii() and words[2].isdigit() and len(words[2]) < 16):
                raise UserError(
                    f"{where}: bad {words[1][:40]} count {words[2][:40]!r}; the header is damaged, "
                    "export again"
                )
            tables.append((words[1], int(words[2]), {}))
        elif words[0] == "property" and tables and words[1:2] == ["list"]:
            if tables[-1][0] == "vertex":
                raise UserError(
                    f"{where}: list property in vertex; splats have none, export as a 3DGS PLY"
                )
            tables[-1][2][words[-1]] = ""
        elif (
            words[0] == "property"
            and tables
            and len(words) == 3
            and words[1] in _TYPES
            and words[2] not in tables[-1][2]
        ):
            tables[-1][2][words[2]] = _TYPES[words[1]]
        else:
            raise UserError(
                f"{where}: cannot read {line[:60]!r}; the header is damaged, export again"
            )
    return kind, tables


def read_header(path: Path) -> PlyHeader:
    """Reads a PLY's header and holds it against the size of the file.

    Raises:
        UserError: not a PLY, another format than binary little endian, no vertex, a damaged line,
            or an element that ends beyond the file.
    """
    with opened(path) as file:
        head, size = file.read(_MAX_HEADER), size_of(file)
    lines, start = _header_lines(path, head)
    kind, tables = _tables(path, lines)
    if kind != "binary_little_endian":
        raise UserError(
            f"{path}: format {kind[:40] or 'missing'!r}; convert it to binary_little_endian"
        )
    if not any(name == "vertex" for name, _, _ in tables):
        raise UserError(f"{path}: the header has no vertex element; give a 3DGS point_cloud.ply")
    elements: dict[str, Element] = {}
    for name, count, fields in tables:
        if "" in fields.values():
            break  # rows of unknown length: nothing after them can be found
        element = Element(name, count, np.dtype(list(fields.items())), start)
        # before anything is allocated: the header's word is not to be trusted
        if name in ("chunk", "vertex", "sh"):
            _check_inside(path, element, size)
        elements[name] = element
        start += count * element.dtype.itemsize
    if "vertex" not in elements:
        raise UserError(
            f"{path}: element {tables[0][0][:40]!r} before vertex; export the splats as the first "
            "element"
        )
    if elements["vertex"].count == 0:
        raise UserError(f"{path}: holds zero Gaussians; train or export the scene again")
    comments = tuple(
        line.split(None, 1)[1].strip()
        for line in lines
        if line.startswith("comment ") and len(line.split()) > 1
    )
    return PlyHeader(elements, comments)


def _check_inside(path: Path, element: Element, size: int) -> None:
    wanted = element.start + element.count * element.dtype.itemsize
    if size < wanted:
        what = "Gaussians" if element.name == "vertex" else f"rows of {element.name}"
        raise UserError(
            f"{path}: cut at byte {size}, expected {wanted} bytes for {element.count} {what} of "
            f"{element.dtype.itemsize} "
            "bytes; copy or export it again"
        )


def read_rows(path: Path, file: BinaryIO, element: Element, rows: slice) -> np.ndarray:
    """Rows of an element as a structured array."""
    file.seek(element.start + rows.start * element.dtype.itemsize)
    return np.frombuffer(
        read_exactly(path, file, (rows.stop - rows.start) * element.dtype.itemsize),
        dtype=element.dtype,
    )
