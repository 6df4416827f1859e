"""PlayCanvas compressed PLY: 16 bytes a Gaussian, quantised within chunks of 256; SuperSplat writes
it.
"""

import os
from pathlib import Path

import numpy as np

from s2e.core.errors import UserError
from s2e.envs.geometry.scene import Splats
from s2e.envs.splats.formats.ply import MAX_COEFFICIENTS, REST_COUNTS, rest_names
from s2e.envs.splats.formats.ply_header import Element, PlyHeader, read_header, read_rows
from s2e.envs.splats.formats.smallest_three import from_smallest
from s2e.envs.splats.formats.whole import blank, drop_bad, opened, progress_bar, row_slices, unit
from s2e.envs.splats.marks import SH0

_CHUNK = 256
_PACKED = ("packed_position", "packed_rotation", "packed_scale", "packed_color")
_AXES, _COLOURS = ("x", "y", "z"), ("r", "g", "b")


def is_compressed(header: PlyHeader) -> bool:
    """Whether a PLY's vertices are packed ones."""
    return "packed_position" in (header.elements["vertex"].dtype.names or ())


def _check_layout(path: Path, header: PlyHeader) -> tuple[Element, Element]:
    vertex = header.elements["vertex"]
    for name in _PACKED:
        if name not in (vertex.dtype.names or ()) or vertex.dtype[name] != np.dtype("<u4"):
            raise UserError(
                f"{path}: vertex property {name} is missing or not uint; export the compressed PLY "
                "again"
            )
    chunk = header.elements.get("chunk")
    wanted = -(-vertex.count // _CHUNK)
    if chunk is None or chunk.count != wanted:
        found = 0 if chunk is None else chunk.count
        raise UserError(
            f"{path}: {found} rows of chunk for {vertex.count} Gaussians, not {wanted}; export it "
            "again"
        )
    names = [
        f"{end}_{what}"
        for end in ("min", "max")
        for what in (*_AXES, *(f"scale_{a}" for a in _AXES))
    ]
    colours = [f"{end}_{what}" for end in ("min", "max") for what in _COLOURS]
    names += colours if any(name in (chunk.dtype.names or ()) for name in colours) else []
    missing = [name for name in names if name not in (chunk.dtype.names or ())]
    if missing:
        raise UserError(
            f"{path}: chunk has no property {', '.join(missing)}; export the compressed PLY again"
        )
    return vertex, chunk


def _ranges(
    chunks: np.ndarray, prefix: str, names: tuple[str, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """(C, 3) the least and the greatest of three quantities, in each chunk."""
    low = np.stack([chunks[f"min_{prefix}{name}"].astype(np.float64) for name in names], 1)
    return low, np.stack([chunks[f"max_{prefix}{name}"].astype(np.float64) for name in names], 1)


def read_compressed_ply(path: str | os.PathLike, progress: bool = False) -> Splats:
    """Reads a PlayCanvas compressed PLY.

    Position and scale hold 11, 10 and 11 bits between the chunk's least and greatest, colour 8 bits
    a channel likewise (older files: between 0 and 1) and 8 of opacity, rotation two bits for which
    component of (w, x, y, z) is largest and ten for each other one. Coefficients of higher degree
    are bytes between -4 and 4, channel-major, in an element of their own. Source: the format as
    PlayCanvas documents it and SplatTransform reads it.

    Args:
        path: the file.
        progress: whether to show a progress bar where that takes long.

    Raises:
        UserError: as `read_ply`.
    """
    path = Path(path)
    header = read_header(path)
    vertex, chunk = _check_layout(path, header)
    sh = header.elements.get("sh")
    rest = [] if sh is None else rest_names(path, sh.dtype)
    if sh is not None and (
        sh.count != vertex.count or any(sh.dtype[name] != np.dtype("u1") for name in rest)
    ):
        raise UserError(
            f"{path}: element sh has {sh.count} rows for {vertex.count} Gaussians, or is not "
            "uchar; export it again"
        )
    splats = blank(vertex.count, min(REST_COUNTS[len(rest)], MAX_COEFFICIENTS), header.antialiased)
    with opened(path) as file, progress_bar(path, vertex.count * (16 + len(rest)), progress) as bar:
        for rows in row_slices(vertex.count):
            chunks = read_rows(
                path, file, chunk, slice(rows.start // _CHUNK, -(-rows.stop // _CHUNK))
            )
            _unpack(splats, rows, read_rows(path, file, vertex, rows), chunks)
            if sh is not None and rest:
                table = read_rows(path, file, sh, rows)
                _unpack_sh(splats, rows, np.stack([table[name] for name in rest], 1))
            bar.update((rows.stop - rows.start) * (16 + len(rest)))
    return drop_bad(path, splats, ("position", "rotation", "scale", "opacity", "color, f_rest"))


def _bits(packed: np.ndarray, *fields: tuple[int, int]) -> np.ndarray:
    """(n, len(fields)) unsigned fields (shift, bits) of packed words, as 0..1."""
    return np.stack(
        [
            ((packed >> np.uint32(shift)) & np.uint32((1 << bits) - 1)) / ((1 << bits) - 1)
            for shift, bits in fields
        ],
        1,
    )


def _unpack(splats: Splats, rows: slice, vertices: np.ndarray, chunks: np.ndarray) -> None:
    of = np.arange(len(vertices)) // _CHUNK

    def between(low: np.ndarray, high: np.ndarray, share: np.ndarray) -> np.ndarray:
        return low[of] * (1 - share) + high[of] * share

    eleven = (21, 11), (11, 10), (0, 11)
    colour = _bits(vertices["packed_color"], (24, 8), (16, 8), (8, 8), (0, 8))
    rgb = colour[:, :3]
    with np.errstate(over="ignore", invalid="ignore"):
        splats.means[rows] = between(
            *_ranges(chunks, "", _AXES), _bits(vertices["packed_position"], *eleven)
        )
        log_scales = between(
            *_ranges(chunks, "scale_", _AXES), _bits(vertices["packed_scale"], *eleven)
        )
        splats.scales[rows] = np.where(np.isfinite(log_scales), np.exp(log_scales), np.nan)
        if "min_r" in (chunks.dtype.names or ()):
            rgb = between(*_ranges(chunks, "", _COLOURS), rgb)
        splats.sh[rows, 0] = (rgb - 0.5) / SH0
    splats.opacities[rows] = colour[:, 3]
    splats.quats[rows] = _rotations(vertices["packed_rotation"])


def _rotations(packed: np.ndarray) -> np.ndarray:
    """(n, 4) unit quaternions (w, x, y, z) from their three smaller components, each within 1 /
    sqrt(2).
    """
    small = (_bits(packed, (20, 10), (10, 10), (0, 10)) - 0.5) * np.sqrt(2)
    return unit(from_smallest(small, (packed >> np.uint32(30)).astype(np.int64)))


def _unpack_sh(splats: Splats, rows: slice, packed: np.ndarray) -> None:
    """Higher coefficients: a byte is the middle of its bin in -4..4, but 0 and 255 are the ends
    themselves.
    """
    share = (packed.astype(np.float32) + 0.5) / 256
    share[packed == 0], share[packed == 255] = 0.0, 1.0
    kept = splats.sh.shape[1] - 1
    splats.sh[rows, 1:] = (
        ((share - 0.5) * 8).reshape(len(packed), 3, -1)[:, :, :kept].transpose(0, 2, 1)
    )
