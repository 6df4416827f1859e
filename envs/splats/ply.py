"""Gaussian splats on disk: the PLY that 3DGS trainers write (Kerbl et al. 2023), read without trusting a word of it."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from s2e.envs.scene import Splats
from s2e.envs.splats.files import blank, check_values, opened, progress_bar, row_slices, unit, write_whole
from s2e.envs.splats.ply_header import Element, read_header, read_rows
from s2e.errors import UserError

_CORE = ("x", "y", "z", "f_dc_0", "f_dc_1", "f_dc_2", "opacity", "scale_0", "scale_1", "scale_2",
         "rot_0", "rot_1", "rot_2", "rot_3")  # fmt: skip
REST_COUNTS = {0: 1, 9: 4, 24: 9, 45: 16, 72: 25}
"""f_rest properties of SH degree 0 to 4 -> coefficients per colour channel."""
MAX_COEFFICIENTS = 16  # what `Splats` holds: degree 3


def rest_names(path: Path, dtype: np.dtype) -> list[str]:
    """Names of the f_rest properties, 3 (K - 1) of them, channel-major."""
    found = sum(name.startswith("f_rest_") for name in dtype.names or ())
    names = [f"f_rest_{i}" for i in range(found)]
    if found not in REST_COUNTS or any(name not in (dtype.names or ()) for name in names):
        raise UserError(f"{path}: {found} f_rest properties; 0, 9, 24, 45 or 72 numbered from 0 make SH degree 0 to 4")
    return names


def _columns(element: Element, table: np.ndarray, names: list[str]) -> np.ndarray:
    """(rows, names) the named properties, as float32 where the file has nothing else, else float64."""
    fields = element.dtype.names or ()
    if all(element.dtype[name] == np.dtype("<f4") for name in fields):
        index = [fields.index(name) for name in names]
        return np.take(table.view("<f4").reshape(len(table), len(fields)), index, axis=1)
    with np.errstate(invalid="ignore"):  # a NaN that signals; it is found later
        return np.stack([table[name].astype(np.float64) for name in names], 1)


def read_ply(path: str | os.PathLike, progress: bool = False) -> Splats:
    """Reads a standard 3DGS PLY (binary little endian) and applies its activations.

    Opacities get a sigmoid, scales an exponential, quaternions (w, x, y, z) unit length; `f_rest` is channel-major.
    Properties may come in any order, as floats or doubles; ones that are not known are ignored, and so are
    coefficients of degree 4. Decodes piece by piece: the peak of memory is the result and some 50 MB.

    Args:
        path: the file.
        progress: whether to show a progress bar where that takes long.

    Raises:
        UserError: the file is missing, not a PLY, cut, claims more than it holds, lacks a property, holds NaN or
            infinite values or no Gaussian at all; the message names file, field or byte, and the remedy.
    """
    path = Path(path)
    header = read_header(path)
    vertex = header.elements["vertex"]
    if next(iter(header.elements)) != "vertex":
        first = next(iter(header.elements))
        raise UserError(f"{path}: element {first[:40]!r} before vertex; export the splats as the first element")
    missing = [name for name in _CORE if name not in (vertex.dtype.names or ())]
    if missing:
        raise UserError(f"{path}: vertex has no property {', '.join(missing)}; give a 3DGS PLY, not a mesh or points")
    rest = rest_names(path, vertex.dtype)
    splats = blank(vertex.count, min(REST_COUNTS[len(rest)], MAX_COEFFICIENTS), header.antialiased)
    with opened(path) as file, progress_bar(path, vertex.count * vertex.dtype.itemsize, progress) as bar:
        for rows in row_slices(vertex.count):
            table = read_rows(path, file, vertex, rows)
            _activate(splats, rows, _columns(vertex, table, [*_CORE, *rest]))
            bar.update(table.nbytes)
    return check_values(path, splats, ("x, y, z", "rot", "scale", "opacity", "f_dc, f_rest"))


def _activate(splats: Splats, rows: slice, values: np.ndarray) -> None:
    """Fills in rows from the properties in the order of `_CORE`, then f_rest. What is infinite in the file becomes NaN."""
    with np.errstate(over="ignore", invalid="ignore"):
        splats.means[rows] = values[:, :3]
        splats.sh[rows, 0] = values[:, 3:6]
        opacity = values[:, 6].astype(np.float64)
        splats.opacities[rows] = np.where(np.isinf(opacity), np.nan, 1.0 / (1.0 + np.exp(-opacity)))
        log_scales = values[:, 7:10].astype(np.float64)
        splats.scales[rows] = np.where(np.isinf(log_scales), np.nan, np.exp(log_scales))
        splats.quats[rows] = unit(values[:, 10:14])
        kept = splats.sh.shape[1] - 1
        if kept:
            splats.sh[rows, 1:] = values[:, 14:].reshape(len(values), 3, -1)[:, :, :kept].transpose(0, 2, 1)


def write_ply(path: str | os.PathLike, splats: Splats) -> None:
    """Writes splats as a 3DGS PLY, without normals; the inverse of `read_ply`.

    The file appears whole or not at all. Opacities of exactly 0 or 1 and scales below 1e-20 m, which the format
    cannot hold, are moved by less than a float32 step of anything visible. Anti-aliased splats get the comment
    `SplatRenderMode: mip`, which Brush writes and reads.

    Raises:
        UserError: the file cannot be written.
    """
    write_whole(Path(path), _parts(splats))


def _parts(splats: Splats) -> Iterator[bytes]:
    count, coefficients = splats.sh.shape[:2]
    names = [*_CORE[:6], *(f"f_rest_{i}" for i in range(3 * (coefficients - 1))), *_CORE[6:]]
    header = ["ply", "format binary_little_endian 1.0", *(["comment SplatRenderMode: mip"] if splats.antialiased else [])]
    header += [f"element vertex {count}", *(f"property float {name}" for name in names), "end_header\n"]
    yield "\n".join(header).encode("ascii")
    for rows in row_slices(count):
        opacity = np.clip(splats.opacities[rows].astype(np.float64), 1e-9, 1 - 1e-9)
        groups = [
            splats.means[rows],
            splats.sh[rows, 0],
            splats.sh[rows, 1:].transpose(0, 2, 1).reshape(len(opacity), -1),
            np.log(opacity / (1 - opacity))[:, None],
            np.log(np.maximum(splats.scales[rows].astype(np.float64), 1e-20)),
            splats.quats[rows],
        ]
        yield np.concatenate([group.astype("<f4") for group in groups], axis=1).tobytes()
