"""SOG version 2, PlayCanvas's splats as lossless WebP images with a meta.json, in a folder or
zipped.
"""

import io
import math
import os
import re
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from s2e.core.errors import UserError
from s2e.core.files import brief, json_object
from s2e.envs.geometry.scene import Splats
from s2e.envs.splats.formats.smallest_three import from_smallest
from s2e.envs.splats.formats.whole import (
    blank,
    check_density,
    drop_bad,
    opened,
    progress_bar,
    row_slices,
    size_of,
    unit,
)

_MAX_META = 1 << 20
_MAX_DIRECTORY = 1 << 20  # of a zip's list of contents, which becomes objects ten times as large
_BANDS = {1: 3, 2: 8, 3: 15}  # coefficients beyond the first
_COLUMNS = 64  # palette entries in a row of shN_centroids
_NAMES = ("means", "quats", "scales", "sh0 (opacity)", "sh0, shN")

Load = Callable[[str, int], bytes]
"""The bytes of a file of the scene by its name, at most so many."""


def read_sog(path: str | os.PathLike, progress: bool = False) -> Splats:
    """Reads SOG version 2: its folder, the meta.json in it, or the zipped .sog.

    Nothing is written: a zip's members are read in memory, only those that meta.json names, never
    more than the count of Gaussians needs. Axes are kept: what SplatTransform writes lies as in the
    PLY it came from. Source: the format's specification at developer.playcanvas.com; scales'
    codebook holds logarithms, `quats` omit the largest of (w, x, y, z).

    Args:
        path: folder, meta.json or .sog.
        progress: whether to show a progress bar where that takes long.

    Raises:
        UserError: a file is missing, damaged, of another version or size than the others, names a
            file elsewhere, or holds other than it claims; the message names file and field, and the
            remedy.
    """
    path = Path(path)
    if path.is_dir() or path.name == "meta.json":
        folder = path if path.is_dir() else path.parent
        return _read(
            folder, lambda name, limit: _from_folder(folder, name, limit), _folder_size, progress
        )
    with opened(path) as file:
        size = size_of(file)
        _check_directory(path, file, size)
        try:
            archive = zipfile.ZipFile(file)
        except (
            zipfile.BadZipFile,
            NotImplementedError,
            ValueError,
            struct.error,
            EOFError,
        ) as error:
            raise UserError(
                f"{path}: not a whole zip ({brief(error)}); copy or export it again"
            ) from None
        with archive:
            return _read(
                path,
                lambda name, limit: _from_zip(path, archive, name, limit),
                lambda *_: size,
                progress,
            )


def _from_folder(folder: Path, name: str, limit: int) -> bytes:
    path = folder / name
    with opened(path) as file:
        if size_of(file) > limit:
            raise UserError(
                f"{path}: {size_of(file)} bytes, more than the {limit} its Gaussians could take; "
                "export the scene again"
            )
        return file.read(limit)


def _folder_size(folder: Path, names: list[str]) -> int:
    try:
        return sum((folder / name).stat().st_size for name in names)
    except OSError as error:
        raise UserError(
            f"{folder}: {Path(str(error.filename)).name} is missing ({error.strerror}); copy the "
            "whole folder"
        ) from None


def _check_directory(path: Path, file: Any, size: int) -> None:
    """Refuses a zip whose list of contents is long, before `zipfile` makes objects of it."""
    file.seek(max(0, size - (1 << 16) - 22))
    tail = file.read()
    for match in re.finditer(b"PK\x05\x06", tail):
        at = match.start()
        length = struct.unpack_from("<I", tail, at + 12)[0] if at + 16 <= len(tail) else 0
        if length > _MAX_DIRECTORY or tail[max(0, at - 20) : at].startswith(b"PK\x06\x07"):
            raise UserError(
                f"{path}: its list of contents takes {length} bytes; a .sog holds eight files: "
                "export it again"
            )
    file.seek(0)


def _from_zip(path: Path, archive: zipfile.ZipFile, name: str, limit: int) -> bytes:
    where = f"{path}: member {name}"
    try:
        info = archive.getinfo(name)
    except KeyError:
        raise UserError(
            f"{where} is missing; zip meta.json and its images at the archive's root"
        ) from None
    if info.file_size > limit or info.compress_type not in (
        zipfile.ZIP_STORED,
        zipfile.ZIP_DEFLATED,
    ):
        raise UserError(
            f"{where} claims {info.file_size} bytes, of at most {limit}, method "
            f"{info.compress_type}; export it again"
        )
    try:
        with archive.open(info) as file:
            return file.read(limit)  # zipfile stops at file_size, whatever is packed there
    except (
        zipfile.BadZipFile,
        NotImplementedError,
        RuntimeError,
        ValueError,
        EOFError,
        OSError,
        zlib.error,
        struct.error,
    ) as error:
        raise UserError(f"{where} is damaged ({brief(error)}); copy or export it again") from None


def _read(
    path: Path, load: Load, size_of_files: Callable[[Path, list[str]], int], progress: bool
) -> Splats:
    where = f"{path}: meta.json"
    meta = json_object(load("meta.json", _MAX_META), where, "export the scene again")
    version, count = _get(where, meta, "version", int), _get(where, meta, "count", int)
    if version != 2:
        raise UserError(
            f"{where}: version {version}, and this reads version 2; export again with "
            "SplatTransform"
        )
    names = {
        key: _files(where, meta, key, 2 if key in ("means", "shN") else 1)
        for key in ("means", "scales", "quats", "sh0")
    }
    bands = 0
    if meta.get("shN") is not None:
        names["shN"] = _files(where, meta, "shN", 2)
        bands = _get(where, meta["shN"], "bands", int)
        if bands not in _BANDS:
            raise UserError(f"{where}: shN.bands is {bands}; it is 1, 2 or 3: export it again")
    packed = size_of_files(path, sorted({name for group in names.values() for name in group}))
    check_density(path, "meta.json, count", count, count * (22 if bands else 20), packed)
    # the specification's key, SplatTransform's
    antialiased = meta.get("antialias") is True or meta.get("model") == "antialiased"
    splats = blank(count, 1 + _BANDS.get(bands, 0), antialiased)

    def plane(name: str) -> np.ndarray:
        return _plane(f"{path}: {name}", load(name, 8 * count + (1 << 20)), count)

    with progress_bar(path, count * (22 if bands else 20), progress) as bar:
        _means(splats, meta["means"], where, *map(plane, names["means"]))
        bar.update(8 * count)
        _quats(splats, f"{path}: {names['quats'][0]}", plane(names["quats"][0]))
        bar.update(4 * count)
        scales = np.exp(np.minimum(_codebook(where, meta, "scales"), 80.0)).astype(np.float32)
        splats.scales[...] = scales[plane(names["scales"][0])[:, :3]]
        bar.update(4 * count)
        first = plane(names["sh0"][0])
        splats.sh[:, 0] = _codebook(where, meta, "sh0")[first[:, :3]]
        splats.opacities[...] = first[:, 3] / np.float32(255)
        bar.update(4 * count)
        if bands:
            palette = _palette(path, where, meta, names["shN"][0], load, _BANDS[bands])
            _higher(splats, f"{path}: {names['shN'][1]}", palette, plane(names["shN"][1]))
    return drop_bad(path, splats, _NAMES)


def _get(where: str, data: Any, key: str, kind: type) -> Any:
    value = data.get(key) if isinstance(data, dict) else None
    wild = isinstance(value, int) and abs(value) >= 1 << 53
    if not isinstance(value, kind) or isinstance(value, bool) or wild:
        raise UserError(
            f"{where}: {key} is missing or not of type {kind.__name__}; export the scene as SOG "
            "version 2"
        )
    return value


def _files(where: str, meta: dict[str, Any], key: str, count: int) -> list[str]:
    names = _get(where, _get(where, meta, key, dict), "files", list)
    if len(names) != count or not all(isinstance(name, str) for name in names):
        raise UserError(
            f"{where}: {key}.files names {len(names)} files, not {count}; export the scene again"
        )
    for name in names:
        if not re.fullmatch(r"[\w-][\w .-]{0,200}", name):
            raise UserError(
                f"{where}: {key}.files: {name[:80]!r} leads out of the scene or is no file name; "
                "put its images beside it"
            )
    return names


def _numbers(where: str, data: Any, key: str, count: int) -> np.ndarray:
    """(count,) finite float64 numbers of a list in meta.json."""
    values = _get(where, data, key, list)
    if len(values) != count or not all(type(value) in (int, float) for value in values):
        raise UserError(f"{where}: {key} is not a list of {count} numbers; export the scene again")
    try:
        numbers = np.array([float(value) for value in values])
    except OverflowError:
        numbers = np.full(count, math.inf)
    if not (np.abs(numbers) < 1e30).all():
        raise UserError(
            f"{where}: {key} holds a number that is NaN, infinite or out of range; export the "
            "scene again"
        )
    return numbers


def _codebook(where: str, meta: dict[str, Any], key: str) -> np.ndarray:
    return _numbers(f"{where}: {key}", meta[key], "codebook", 256).astype(np.float32)


def _webp_size(where: str, data: bytes) -> tuple[int, int]:
    """Width and height from a WebP's header: opening one with Pillow already allocates its
    canvas.
    """
    kind = data[12:16]
    if (
        data[:4] != b"RIFF"
        or data[8:12] != b"WEBP"
        or len(data) < 30
        or kind not in (b"VP8L", b"VP8X", b"VP8 ")
    ):
        raise UserError(f"{where}: byte 0: not a WebP image; export the scene again")
    if kind == b"VP8 ":
        raise UserError(
            f"{where}: byte 12: a lossy WebP, which damages what it stores; export losslessly"
        )
    if kind == b"VP8X":
        return 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")
    bits = int.from_bytes(data[21:25], "little")
    return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)


def _pixels(where: str, data: bytes, width: int, height: int) -> np.ndarray:
    """(height * width, 4) uint8 of a WebP whose header gave that size."""
    try:
        with Image.open(io.BytesIO(data), formats=["WEBP"]) as image:
            if image.size != (width, height) or getattr(image, "n_frames", 1) != 1:
                raise UserError(
                    f"{where}: byte 12: its header says {width}x{height} and one image, its data "
                    "differ; export it again"
                )
            return np.asarray(image.convert("RGBA")).reshape(-1, 4)
    except (
        OSError,
        ValueError,
        SyntaxError,
        EOFError,
        RuntimeError,
        Image.DecompressionBombError,
    ) as error:
        raise UserError(
            f"{where}: the WebP cannot be decoded ({brief(error)}); copy or export it again"
        ) from None


def _plane(where: str, data: bytes, count: int) -> np.ndarray:
    """(count, 4) uint8, one pixel a Gaussian."""
    width, height = _webp_size(where, data)
    if not count <= width * height <= 2 * count + (1 << 16):
        raise UserError(
            f"{where}: byte 12: {width}x{height} pixels for {count} Gaussians; export the scene "
            "again"
        )
    return _pixels(where, data, width, height)[:count]


def _means(
    splats: Splats, meta: dict[str, Any], where: str, low: np.ndarray, high: np.ndarray
) -> None:
    """16 bits of a symmetric logarithm, sign(x) ln(1 + |x|), between the least and the greatest of
    each axis.
    """
    least = _numbers(f"{where}: means", meta, "mins", 3)
    greatest = _numbers(f"{where}: means", meta, "maxs", 3)
    if max(np.abs(least).max(), np.abs(greatest).max()) > 80:
        raise UserError(
            f"{where}: means.mins or means.maxs beyond 80, the logarithm of 1e34 m; export the "
            "scene again"
        )
    for rows in row_slices(len(low)):
        share = (low[rows, :3] + high[rows, :3] * 256.0) / 65535.0
        logs = least * (1.0 - share) + greatest * share
        splats.means[rows] = np.copysign(np.expm1(np.abs(logs)), logs)


def _quats(splats: Splats, where: str, pixels: np.ndarray) -> None:
    """Three components within 1 / sqrt(2) as bytes; alpha - 252 says which of (w, x, y, z) is the
    fourth, not negative.
    """
    for rows in row_slices(len(pixels)):
        largest = pixels[rows, 3].astype(np.int64) - 252
        if (largest < 0).any():
            first = rows.start + int(np.argmax(largest < 0))
            raise UserError(
                f"{where}: pixel {first}: alpha {largest[first - rows.start] + 252}, not 252 to "
                "255; export it again"
            )
        small = (pixels[rows, :3] / 255.0 - 0.5) * math.sqrt(2)
        splats.quats[rows] = unit(from_smallest(small, largest))


def _palette(
    path: Path, where: str, meta: dict[str, Any], name: str, load: Load, coefficients: int
) -> np.ndarray:
    """(entries, coefficients, 3) float32: 64 entries in a row of pixels, a pixel for each
    coefficient.
    """
    entries = _get(where, meta["shN"], "count", int)
    if not 1 <= entries <= 1 << 16:
        raise UserError(
            f"{where}: shN.count is {entries}; a palette has 1 to 65536 entries: export the scene "
            "again"
        )
    image = f"{path}: {name}"
    data = load(name, 4 * _COLUMNS * coefficients * (entries // _COLUMNS + 1) + (1 << 20))
    width, height = _webp_size(image, data)
    if width != _COLUMNS * coefficients or not entries <= _COLUMNS * height <= 2 * entries + (
        1 << 12
    ):
        raise UserError(
            f"{image}: byte 12: {width}x{height} pixels for {entries} entries of {coefficients}; "
            "export the scene again"
        )
    pixels = _pixels(image, data, width, height).reshape(-1, coefficients, 4)[:entries, :, :3]
    return _codebook(where, meta, "shN")[pixels]


def _higher(splats: Splats, where: str, palette: np.ndarray, labels: np.ndarray) -> None:
    for rows in row_slices(len(labels)):
        index = labels[rows, 0].astype(np.int64) + labels[rows, 1].astype(np.int64) * 256
        if (index >= len(palette)).any():
            first = rows.start + int(np.argmax(index >= len(palette)))
            raise UserError(
                f"{where}: pixel {first}: entry {index[first - rows.start]} of {len(palette)}; "
                "export the scene again"
            )
        splats.sh[rows, 1:] = palette[index]
