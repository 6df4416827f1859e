"""SPZ, Niantic's packed splats (github.com/nianticlabs/spz): versions 1 to 4 read, version 3
written.
"""

import gzip
import os
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import zstandard

from s2e.core.errors import UserError
from s2e.core.files import brief
from s2e.envs.geometry.scene import Splats
from s2e.envs.splats.formats.ply import MAX_COEFFICIENTS
from s2e.envs.splats.formats.smallest_three import OTHERS, from_smallest
from s2e.envs.splats.formats.whole import (
    blank,
    check_density,
    drop_bad,
    opened,
    progress_bar,
    row_slices,
    size_of,
    unit,
    write_splat_file,
)
from s2e.envs.splats.transform import multiply, rotate_sh

_MAGIC = b"NGSP"
_GZIP = b"\x1f\x8b"
_ANTIALIASED, _EXTENDED = 1, 2
_COEFFICIENTS = (1, 4, 9, 16, 25)  # of SH degree 0 to 4
_COLOUR_SCALE = 0.15  # how much of a byte's range one unit of the first coefficient takes
# what zstd may keep of its past: the most that its strongest ordinary level asks for
_WINDOW = 1 << 27
_MAX_EXTENSIONS = 1 << 20
_COORDINATE_SYSTEM = (
    0xADBE0003  # Adobe's extension that names the axes; without it they are right, up, back
)
_RUB = 4
_NAMES = ("positions", "rotations", "scales", "alphas", "colors, sh")


@dataclass(frozen=True)
class Packing:
    """How finely `write_spz` keeps what it writes, and how hard it packs it: fewer, rounder values
    pack smaller. The defaults are all that the format keeps.

    Attributes:
        fractional_bits: positions are multiples of 2 to minus this, metres.
        opacity, colour, scale, rotation, sh: steps, in units of the format's own: 1/255 of an
            opacity, 0.026 of the first coefficient, 1/16 of a scale's logarithm, 0.0014 of a
            quaternion's component, 1/128 of the other coefficients.
        level: of zlib, to 9.
    """

    fractional_bits: int = 12
    opacity: int = 1
    colour: int = 1
    scale: int = 1
    rotation: int = 1
    sh: int = 1
    level: int = 6


FINEST = Packing()


@dataclass(frozen=True)
class _Header:
    version: int
    count: int
    degree: int
    fractional_bits: int
    flags: int

    def fields(self) -> dict[str, int]:
        """Bytes that a Gaussian takes in each attribute, in the order of the file."""
        widths = {"positions": 6 if self.version == 1 else 9, "alphas": 1, "colors": 3, "scales": 3}
        widths["rotations"] = 4 if self.version >= 3 else 3
        rest = 3 * (_COEFFICIENTS[self.degree] - 1)
        return {**widths, "sh": rest} if rest else widths


def _header(path: Path, data: bytes, packed: bytes, size: int) -> _Header:
    """Checks the first 16 bytes; `packed` are the first of the file as it lies there, `size` are
    all its bytes.
    """
    if len(data) < 16:
        raise UserError(
            f"{path}: cut within the header, which has 16 bytes; copy or export it again"
        )
    magic, version, count, degree, bits, flags, _ = struct.unpack("<4sIIBBBB", data)
    if magic != _MAGIC:
        raise UserError(
            f"{path}: not an SPZ (byte 0 of what is in the gzip is not 'NGSP'); unpack it, or "
            "export as SPZ"
        )
    versions = (1, 2, 3) if packed == _GZIP else (4,)
    if version not in versions:
        known = "1, 2 and 3 within gzip, 4 without"
        raise UserError(
            f"{path}: byte 4: SPZ version {version}, and this reads {known}; export as one of them"
        )
    if degree > 4 or (degree == 4 and version < 3):
        raise UserError(
            f"{path}: byte 12: SH degree {degree}; 0 to 3, or 4 from version 3 on, can be: export "
            "it again"
        )
    if bits > 23 and version > 1:
        raise UserError(
            f"{path}: byte 13: {bits} fractional bits of 24; the header is damaged, export it again"
        )
    if flags & ~(_ANTIALIASED | _EXTENDED):
        raise UserError(
            f"{path}: byte 14: flags {flags:#x}; only 1 and 2 are of the format: export without "
            "level of detail"
        )
    header = _Header(version, count, degree, bits, flags)
    check_density(path, "byte 8", count, count * sum(header.fields().values()), size)
    return header


def read_spz(path: str | os.PathLike, progress: bool = False) -> Splats:
    """Reads SPZ of version 1 (half floats), 2 (24-bit fixed point), 3 (rotations by their smaller
    components) or 4 (zstd).

    SPZ keeps its axes right, up, back; the result has them right, down, front, as the PLY it was
    made from, unless an extension names other axes. Coefficients of degree 4 are left out.
    Attributes are decompressed piece by piece, never beyond what the header's count needs, and that
    is held against the size of the file first.

    Args:
        path: the file.
        progress: whether to show a progress bar where that takes long.

    Raises:
        UserError: the file is missing, of another format or version, cut or damaged, or holds other
            than its header says; the message names file and byte or attribute, and the remedy.
    """
    path = Path(path)
    with opened(path) as file:
        size = size_of(file)
        start = file.read(4)
        file.seek(0)
        if start[:2] == _GZIP:
            with gzip.GzipFile(fileobj=file, mode="rb") as unpacked:
                pull = _puller(path, unpacked, f"gzip stream, near byte {{}} of {size}", file.tell)
                header = _header(path, pull("the header", 16), _GZIP, size)
                splats = _unpack(
                    path, header, lambda field: lambda wanted: pull(field, wanted), progress
                )
                axes = (
                    _axes(path, pull("extensions", _MAX_EXTENSIONS, True))
                    if header.flags & _EXTENDED
                    else _RUB
                )
                _end(path, pull("the end", 1, True), "gzip stream")
        elif start == _MAGIC:
            header = _header(path, file.read(16), start, size)
            streams, axes = _streams(path, file, header, size)
            splats = _unpack(
                path, header, lambda field: _zstd(path, file, field, *streams[field]), progress
            )
        else:
            raise UserError(
                f"{path}: not an SPZ (byte 0 is neither gzip's mark nor 'NGSP'); give an .spz file"
            )
    _turn(splats, axes)
    return drop_bad(path, splats, _NAMES)


def _puller(
    path: Path, stream: gzip.GzipFile, what: str, where: Callable[[], int]
) -> Callable[..., bytes]:
    """A function of attribute and number of bytes that reads them, and says well what went
    wrong.
    """

    def pull(field: str, wanted: int, fewer: bool = False) -> bytes:
        try:
            data = stream.read(wanted)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise UserError(
                f"{path}: {what.format(where())}, {field}: {brief(error)}; copy or export it again"
            ) from None
        if len(data) < wanted and not fewer:
            raise UserError(
                f"{path}: {what.format(where())}: ends within {field}: {len(data)} of {wanted} "
                "bytes; export it again"
            )
        return data

    return pull


def _end(path: Path, data: bytes, what: str) -> None:
    if data:
        raise UserError(
            f"{path}: {what}: holds more than its header claims; the file is damaged or a bomb, "
            "export it again"
        )


def _streams(
    path: Path, file: BinaryIO, header: _Header, size: int
) -> tuple[dict[str, tuple[int, int, int]], int]:
    """Version 4: where each attribute's stream starts, its bytes packed and unpacked, and the
    axes.
    """
    tail = file.read(16)
    if len(tail) < 16:
        raise UserError(
            f"{path}: cut at byte {size}: version 4's header has 32 bytes; copy or export it again"
        )
    file.seek(15)
    found, toc = file.read(1)[0], struct.unpack_from("<I", tail)[0]
    fields = header.fields()
    if found != len(fields):
        raise UserError(
            f"{path}: byte 15: {found} streams, not {len(fields)} for SH degree {header.degree}; "
            "export it again"
        )
    start = toc + 16 * found
    if toc < 32 or start > size:
        raise UserError(
            f"{path}: byte 16: table of contents at byte {toc} of {size}; the file is cut or "
            "damaged, export it again"
        )
    if header.flags & _EXTENDED and toc - 32 > _MAX_EXTENSIONS:
        raise UserError(  # cut short they might lack the record that names the axes
            f"{path}: byte 16: {toc - 32} bytes of extensions; at most {_MAX_EXTENSIONS} are "
            "read, export it without them"
        )
    file.seek(toc)
    sizes = struct.unpack(f"<{2 * found}Q", file.read(16 * found))
    streams = {}
    for i, (field, width) in enumerate(fields.items()):
        packed, unpacked = sizes[2 * i : 2 * i + 2]
        if unpacked != width * header.count:
            raise UserError(
                f"{path}: byte {toc + 16 * i + 8}: {field} unpack to {unpacked} bytes, not "
                f"{width * header.count} for "
                f"{header.count} Gaussians; export it again"
            )
        streams[field] = (start, packed, unpacked)
        start += packed
    if start != size:
        raise UserError(
            f"{path}: cut at byte {size}: its streams end at byte {start}; copy or export it again"
        )
    file.seek(32)
    return streams, _axes(path, file.read(toc - 32)) if header.flags & _EXTENDED else _RUB


def _zstd(
    path: Path, file: BinaryIO, field: str, start: int, packed: int, unpacked: int
) -> Callable[[int], bytes]:
    """Reads one attribute's stream; the last piece must end it."""
    file.seek(start)
    stream = zstandard.ZstdDecompressor(max_window_size=_WINDOW).stream_reader(file.read(packed))
    left = unpacked

    def pull(wanted: int) -> bytes:
        nonlocal left
        try:
            data = stream.read(wanted)
            left -= len(data)
            more = b"" if left else stream.read(1)
        except (zstandard.ZstdError, MemoryError) as error:
            raise UserError(
                f"{path}: byte {start}: zstd stream of {field}: {brief(error)}; copy or export it "
                "again"
            ) from None
        if len(data) < wanted:
            raise UserError(
                f"{path}: byte {start}: zstd stream of {field} ends {left} bytes early; copy or "
                "export it again"
            )
        _end(path, more, f"zstd stream of {field} at byte {start}")
        return data

    return pull


def _axes(path: Path, data: bytes) -> int:
    """The axes that the extensions name, an index into the format's list of coordinate systems."""
    at = 0
    while at + 8 <= len(data):
        kind, length = struct.unpack_from("<II", data, at)
        if kind == _COORDINATE_SYSTEM and length == 4 and at + 12 <= len(data):
            axes = struct.unpack_from("<I", data, at + 8)[0]
            if axes > 16:
                raise UserError(
                    f"{path}: extension 0xadbe0003: axes number {axes}, and this knows 0 to 16; "
                    "export without naming axes"
                )
            return axes or _RUB
        at += 8 + length
    return _RUB


def _unpack(
    path: Path, header: _Header, attribute: Callable[[str], Callable[[int], bytes]], progress: bool
) -> Splats:
    """Decodes attribute after attribute; `attribute` gives a function that yields its next
    bytes.
    """
    splats = blank(
        header.count,
        min(_COEFFICIENTS[header.degree], MAX_COEFFICIENTS),
        bool(header.flags & _ANTIALIASED),
    )
    fields = header.fields()
    with progress_bar(path, header.count * sum(fields.values()), progress) as bar:
        for field, width in fields.items():
            pull = attribute(field)
            for rows in row_slices(header.count):
                data = pull((rows.stop - rows.start) * width)
                _decode(
                    splats, rows, field, np.frombuffer(data, np.uint8).reshape(-1, width), header
                )
                bar.update(len(data))
    return splats


def _decode(splats: Splats, rows: slice, field: str, raw: np.ndarray, header: _Header) -> None:
    """Fills in rows of one attribute from its bytes, (rows, width)."""
    if field == "positions" and header.version == 1:
        with np.errstate(invalid="ignore"):
            splats.means[rows] = raw.view("<f2")
    elif field == "positions":
        words = np.zeros((len(raw), 3, 4), np.uint8)
        words[..., 1:] = raw.reshape(-1, 3, 3)
        splats.means[rows] = (words.view("<i4")[..., 0] >> 8) * np.float32(
            2.0**-header.fractional_bits
        )
    elif field == "alphas":
        splats.opacities[rows] = raw[:, 0] / np.float32(255)
    elif field == "colors":
        splats.sh[rows, 0] = (raw / 255.0 - 0.5) / _COLOUR_SCALE
    elif field == "scales":
        splats.scales[rows] = np.exp(raw / 16.0 - 10.0)
    elif field == "rotations":
        splats.quats[rows] = unit(
            _smallest_three(raw) if header.version >= 3 else _first_three(raw)
        )
    else:
        kept = splats.sh.shape[1] - 1
        splats.sh[rows, 1:] = (
            raw.reshape(len(raw), -1, 3)[:, :kept] - np.float32(128)
        ) / np.float32(128)


def _first_three(raw: np.ndarray) -> np.ndarray:
    """(n, 4) quaternions (w, x, y, z), w not negative, from bytes of x, y and z."""
    xyz = raw / 127.5 - 1.0
    w = np.sqrt(np.maximum(0.0, 1.0 - (xyz**2).sum(1, keepdims=True)))
    return np.concatenate([w, xyz], 1)


def _smallest_three(raw: np.ndarray) -> np.ndarray:
    """(n, 4) quaternions (w, x, y, z) from words: two bits name the largest of (x, y, z, w), the
    others have ten each.
    """
    words = raw.view("<u4")[:, 0]
    fields = np.stack(
        [(words >> np.uint32(shift)) & np.uint32(1023) for shift in (20, 10, 0)], 1
    ).astype(np.int64)
    small = np.where(fields & 512, -1.0, 1.0) * (fields & 511) * (np.sqrt(0.5) / 511)
    return from_smallest(small, (words >> np.uint32(30)).astype(np.int64))[:, [3, 0, 1, 2]]


def _signs(x: float, y: float, z: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What mirroring axes does to means (3), quaternions (4) and coefficients (16).

    A real harmonic changes sign with the odd powers of x, y and z in it; a rotation's axis turns
    like a pseudovector.
    """
    harmonics = [1, y, z, x, x * y, y * z, 1, x * z, 1, y, x * y * z, y, z, x, z, x]
    return np.array([x, y, z]), np.array([1, y * z, x * z, x * y]), np.array(harmonics)


def _turn(splats: Splats, axes: int) -> None:
    """Turns splats, in place, from axes 1 to 16 to right, down, front.

    The bits of number - 1 are right, up, front in the first eight systems, whose axes lie along
    right, up and front; the others' lie along right, front and up, and their bits are right, up,
    back. Read as the names say (10: right, front, down): Niantic's own converter mirrors the wrong
    one of two axes on the way from and to 9, 10, 15 and 16.
    """
    right, up, third = (1.0 if axes - 1 >> bit & 1 else -1.0 for bit in range(3))
    means, quats, sh = _signs(right, -up, third) if axes <= 8 else _signs(right, -third, up)
    with np.errstate(invalid="ignore"):
        splats.means[...] *= means.astype(np.float32)
    splats.quats[...] *= quats.astype(np.float32)
    splats.sh[...] *= sh[: splats.sh.shape[1], None].astype(np.float32)
    if axes <= 8:
        return
    # From right, front, up: a quarter turn about x, which is a proper rotation.
    splats.means[...] = splats.means[:, [0, 2, 1]] * np.array([1, -1, 1], np.float32)
    half = np.array([np.sqrt(0.5), np.sqrt(0.5), 0.0, 0.0], dtype=np.float32)
    splats.quats[...] = multiply(half, splats.quats)
    splats.sh[...] = rotate_sh(
        splats.sh, np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])
    )


def write_spz(path: str | os.PathLike, splats: Splats, packing: Packing = FINEST) -> None:
    """Writes SPZ version 3; the inverse of `read_spz` but for rounding.

    Version 3 because every maintained reader takes it (Niantic's library, Spark, SplatTransform,
    loaders.gl) with nothing but gzip. Version 2 suits still older readers, but its rotations are up
    to 13 degrees off where w is small; few readers know version 4 yet, and it needs zstd.

    Rounding, unless `packing` is coarser: positions to 2^-12 m (coarser in scenes beyond 2 km),
    scales to 1/16 in their logarithm between 4.5e-5 m and 378 m, opacities to 1/255, the first
    coefficient to 0.026 within +-3.33, the others to 1/128 within -1 and 1, rotations to 0.28
    degrees. All eight bits of the coefficients are kept.

    Raises:
        UserError: a position is not finite or beyond 8,000 km, or the file cannot be written.
    """
    path = Path(path)
    reach = float(np.abs(splats.means).max(initial=0.0))
    if not reach < 2**23 - 1:
        raise UserError(
            f"{path}: a Gaussian lies {reach:g} m away, and SPZ ends at 8,000 km; remove it or "
            "write a PLY"
        )
    bits = packing.fractional_bits
    while reach * 2**bits >= 2**23 - 1:
        bits -= 1
    write_splat_file(path, _compressed(_parts(splats, bits, packing), packing.level))


def _compressed(parts: Iterator[bytes], level: int) -> Iterator[bytes]:
    packer = zlib.compressobj(level, zlib.DEFLATED, 31)
    for part in parts:
        yield packer.compress(part)
    yield packer.flush()


def _parts(splats: Splats, bits: int, packing: Packing) -> Iterator[bytes]:
    count, coefficients = splats.sh.shape[:2]
    degree, flags = _COEFFICIENTS.index(coefficients), _ANTIALIASED if splats.antialiased else 0
    yield struct.pack("<4sIIBBBB", _MAGIC, 3, count, degree, bits, flags, 0)
    means, quats, sh = _signs(1, -1, -1)
    for rows in row_slices(count):
        fixed = np.rint(splats.means[rows] * (means * 2.0**bits)).astype("<i4")
        yield fixed[..., None].view(np.uint8)[..., :3].tobytes()
    for rows in row_slices(count):
        yield _byte(splats.opacities[rows] * 255.0, packing.opacity)
    for rows in row_slices(count):
        yield _byte(splats.sh[rows, 0] * (255.0 * _COLOUR_SCALE) + 127.5, packing.colour)
    for rows in row_slices(count):
        logs = np.log(np.maximum(splats.scales[rows].astype(np.float64), 1e-20))
        yield _byte((logs + 10.0) * 16.0, packing.scale)
    for rows in row_slices(count):
        yield _pack_rotations(splats.quats[rows] * quats, packing.rotation)
    for rows in row_slices(count if coefficients > 1 else 0):
        # Steps are counted from 128, which is 0: what does not shine stays dull.
        shine = splats.sh[rows, 1:] * (128.0 * sh[1:coefficients, None])
        yield _byte(np.rint(shine / packing.sh) * packing.sh + 128.0)


def _byte(values: np.ndarray, step: int = 1) -> bytes:
    return np.clip(np.rint(values / step) * step, 0, 255).astype(np.uint8).tobytes()


def _pack_rotations(quats: np.ndarray, step: int) -> bytes:
    """The inverse of `_smallest_three`, of (n, 4) quaternions (w, x, y, z)."""
    quats = unit(quats)[:, [1, 2, 3, 0]]
    largest = np.abs(quats).argmax(axis=1)
    small = np.take_along_axis(quats, OTHERS[largest], axis=1)
    small *= np.where(np.take_along_axis(quats, largest[:, None], axis=1) < 0, -1.0, 1.0)
    steps = np.rint(np.abs(small) * (511 / np.sqrt(0.5) / step)) * step
    fields = np.minimum(steps, 511).astype(np.uint32) | np.where(small < 0, 512, 0)
    words = largest << 30 | fields[:, 0] << 20 | fields[:, 1] << 10 | fields[:, 2]
    return words.astype("<u4").tobytes()
