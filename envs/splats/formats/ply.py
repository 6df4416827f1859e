"""Gaussian splats on disk: the PLY that 3DGS trainers write (Kerbl et al. 2023), read without
trusting a word of it.
"""

import math
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from s2e.core.errors import UserError
from s2e.envs.geometry.scene import Splats
from s2e.envs.splats.formats.ply_header import Element, read_header, read_rows
from s2e.envs.splats.formats.whole import (
    blank,
    drop_bad,
    opened,
    progress_bar,
    row_slices,
    unit,
    write_splat_file,
)
from s2e.envs.splats.transform import diameter

_CORE = (
    "x",
    "y",
    "z",
    "f_dc_0",
    "f_dc_1",
    "f_dc_2",
    "opacity",
    "scale_0",
    "scale_1",
    "scale_2",
    "rot_0",
    "rot_1",
    "rot_2",
    "rot_3",
)
REST_COUNTS = {0: 1, 9: 4, 24: 9, 45: 16, 72: 25}
"""f_rest properties of SH degree 0 to 4 -> coefficients per colour channel."""
MAX_COEFFICIENTS = 16  # what `Splats` holds: degree 3
_ENOUGH = 50  # Gaussians from which values tell what they are
_ALMOST_ALL, _OFF = 0.999, 1e-3


def rest_names(path: Path, dtype: np.dtype) -> list[str]:
    """Names of the f_rest properties, 3 (K - 1) of them, channel-major."""
    found = sum(name.startswith("f_rest_") for name in dtype.names or ())
    names = [f"f_rest_{i}" for i in range(found)]
    if found not in REST_COUNTS or any(name not in (dtype.names or ()) for name in names):
        raise UserError(
            f"{path}: {found} f_rest properties; 0, 9, 24, 45 or 72 numbered from 0 make SH degree "
            "0 to 4"
        )
    return names


def _columns(element: Element, table: np.ndarray, names: list[str]) -> np.ndarray:
    """(rows, names) the named properties, as float32 where the file has nothing else, else
    float64.
    """
    fields = element.dtype.names or ()
    if all(element.dtype[name] == np.dtype("<f4") for name in fields):
        index = [fields.index(name) for name in names]
        return np.take(table.view("<f4").reshape(len(table), len(fields)), index, axis=1)
    with np.errstate(invalid="ignore"):  # a NaN that signals; it is found later
        return np.stack([table[name].astype(np.float64) for name in names], 1)


def read_ply(path: str | os.PathLike, progress: bool = False, activated: bool = False) -> Splats:
    """Reads a standard 3DGS PLY (binary little endian) and applies its activations.

    Opacities get a sigmoid, scales an exponential, quaternions (w, x, y, z) unit length; `f_rest`
    is channel-major. Properties may come in any order, as floats or doubles; ones that are not
    known are ignored, and so are coefficients of degree 4. Decodes piece by piece: the peak of
    memory is the result and some 50 MB. Rows that are not finite are dropped with a `SplatWarning`
    that counts them.

    Args:
        path: the file.
        progress: whether to show a progress bar where that takes long.
        activated: take scales for lengths and opacities for 0..1 wherever the file's values allow
            that.

    Raises:
        UserError: the file is missing, not a PLY, cut, claims more than it holds, lacks a property,
            holds no Gaussian at all or half of its rows or more are not finite, or its scales or
            opacities look activated and `activated` does not say so, or the other way round; the
            message names file, field or byte, and the remedy.
    """
    path = Path(path)
    header = read_header(path)
    vertex = header.elements["vertex"]
    if next(iter(header.elements)) != "vertex":
        first = next(iter(header.elements))
        raise UserError(
            f"{path}: element {first[:40]!r} before vertex; export the splats as the first element"
        )
    _check_properties(path, vertex.dtype.names or ())
    rest = rest_names(path, vertex.dtype)
    splats = blank(vertex.count, min(REST_COUNTS[len(rest)], MAX_COEFFICIENTS), header.antialiased)
    with (
        opened(path) as file,
        progress_bar(path, vertex.count * vertex.dtype.itemsize, progress) as bar,
    ):
        for rows in row_slices(vertex.count):
            table = read_rows(path, file, vertex, rows)
            _fill(splats, rows, _columns(vertex, table, [*_CORE, *rest]))
            bar.update(table.nbytes)
    _activate(splats, _which_activated(path, splats, activated))
    return drop_bad(path, splats, ("x, y, z", "rot", "scale", "opacity", "f_dc, f_rest"))


def _check_properties(path: Path, names: tuple[str, ...]) -> None:
    missing = [name for name in _CORE if name not in names]
    if not missing:
        return
    if all(name.startswith("f_dc_") for name in missing) and {"red", "green", "blue"} <= set(names):
        raise UserError(
            f"{path}: vertex has red, green, blue instead of f_dc_0 to f_dc_2, a 'PLY with rgb'; "
            "export it with spherical "
            "harmonics (nerfstudio: ns-export gaussian-splat --ply-color-mode sh_coeffs)"
        )
    raise UserError(
        f"{path}: vertex has no property {', '.join(missing)}; give a 3DGS PLY, not a mesh or "
        "points"
    )


def _fill(splats: Splats, rows: slice, values: np.ndarray) -> None:
    """Fills in rows from the properties in the order of `_CORE`, then f_rest; scales and opacities
    as the file has them.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        splats.means[rows] = values[:, :3]
        splats.sh[rows, 0] = values[:, 3:6]
        splats.opacities[rows] = values[:, 6]
        splats.scales[rows] = values[:, 7:10]
        splats.quats[rows] = unit(values[:, 10:14])
        kept = splats.sh.shape[1] - 1
        if kept:
            splats.sh[rows, 1:] = (
                values[:, 14:].reshape(len(values), 3, -1)[:, :, :kept].transpose(0, 2, 1)
            )


def _which_activated(path: Path, splats: Splats, asked: bool) -> tuple[bool, bool]:
    """Whether scales and opacities, as the file has them, are activated already.

    Logits of a trained capture lie on both sides of 0..1. Logarithms of scales are below 0 wherever
    a Gaussian is thinner than a unit; where none is, because units are small, they neither pile up
    right above 0 nor make most Gaussians a twentieth of the capture wide.

    Raises:
        UserError: they look activated without being asked for, or asked for and cannot be.
    """
    good = np.isfinite(splats.means).all(1) & np.isfinite(splats.quats).all(1)
    good &= np.isfinite(splats.scales).all(1) & np.isfinite(splats.opacities)
    if good.sum() < (1 if asked else _ENOUGH):
        return False, False
    opacities, scales = splats.opacities[good], splats.scales[good]
    shares = bool(((opacities >= -_OFF) & (opacities <= 1.0 + _OFF)).mean() >= _ALMOST_ALL)
    lengths = bool((scales >= 0.0).all(1).mean() >= _ALMOST_ALL) and bool(scales.max() > 0.0)
    if asked:
        if not (shares or lengths):
            raise UserError(
                f"{path}: --activated: opacity reaches from {opacities.min():.3g} to "
                f"{opacities.max():.3g} and scale from "
                f"{scales.min():.3g}: logits and logarithms, as a 3DGS PLY has them; leave "
                "--activated out"
            )
        return lengths, shares
    # all of one value may be a logit
    shares &= bool(opacities.min() < 0.3 and opacities.max() > 0.7)
    if lengths and not shares:
        least, middle = (float(v) for v in np.quantile(scales, (0.01, 0.5)))
        _, size = diameter(splats.means[good], np.ones(len(scales), np.float32))
        lengths = (least < 0.1 and middle < 0.5) or math.exp(min(middle, 80.0)) > 0.05 * size
    if shares or lengths:
        looks = (
            [f"scale like lengths (all above 0, half of them below {np.median(scales):.3g})"]
            if lengths
            else []
        )
        looks += (
            [f"opacity like shares ({opacities.min():.3g} to {opacities.max():.3g})"]
            if shares
            else []
        )
        raise UserError(
            f"{path}: {' and '.join(looks)}: values that were activated already, not the "
            "logarithms and logits of a 3DGS PLY; "
            "give --activated to read them as they are"
        )
    return False, False


def _activate(splats: Splats, done: tuple[bool, bool]) -> None:
    """Turns logarithms into scales and logits into opacities, in place, where not done already;
    what cannot be becomes NaN.
    """
    for rows in row_slices(len(splats.opacities)):
        with np.errstate(over="ignore", invalid="ignore"):
            scales = splats.scales[rows].astype(np.float64)
            opacities = splats.opacities[rows].astype(np.float64)
            wrong = scales < 0.0 if done[0] else np.isinf(scales)
            splats.scales[rows] = np.where(wrong, np.nan, scales if done[0] else np.exp(scales))
            wrong = np.abs(opacities - 0.5) > 0.5 + _OFF if done[1] else np.isinf(opacities)
            activated = (
                np.clip(opacities, 0.0, 1.0) if done[1] else 1.0 / (1.0 + np.exp(-opacities))
            )
            splats.opacities[rows] = np.where(wrong, np.nan, activated)


def write_ply(path: str | os.PathLike, splats: Splats) -> None:
    """Writes splats as a 3DGS PLY, without normals; the inverse of `read_ply`.

    The file appears whole or not at all. Opacities of exactly 0 or 1 and scales below 1e-20 m,
    which the format cannot hold, are moved by less than a float32 step of anything visible.
    Anti-aliased splats get the comment `SplatRenderMode: mip`, which Brush writes and reads.

    Raises:
        UserError: the file cannot be written.
    """
    write_splat_file(Path(path), _parts(splats))


def _parts(splats: Splats) -> Iterator[bytes]:
    count, coefficients = splats.sh.shape[:2]
    names = [*_CORE[:6], *(f"f_rest_{i}" for i in range(3 * (coefficients - 1))), *_CORE[6:]]
    header = [
        "ply",
        "format binary_little_endian 1.0",
        *(["comment SplatRenderMode: mip"] if splats.antialiased else []),
    ]
    header += [
        f"element vertex {count}",
        *(f"property float {name}" for name in names),
        "end_header\n",
    ]
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
