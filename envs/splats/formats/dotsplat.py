"""The `.splat` of antimatter15's viewer: 32 bytes a Gaussian, no header at all."""

import os
from pathlib import Path
from typing import BinaryIO

import numpy as np

from s2e.core.errors import UserError
from s2e.envs.geometry.scene import Splats
from s2e.envs.splats.formats.whole import (
    blank,
    drop_bad,
    opened,
    progress_bar,
    read_exactly,
    row_slices,
    size_of,
    unit,
)
from s2e.envs.splats.marks import SH0

_ROW = np.dtype([("means", "<f4", 3), ("scales", "<f4", 3), ("rgba", "u1", 4), ("quats", "u1", 4)])


def looks_like_dotsplat(file: BinaryIO) -> bool:
    """Whether a file without magic could be one: whole rows, and sizes and places of this world in
    the first thousand.
    """
    if size_of(file) == 0 or size_of(file) % _ROW.itemsize:
        return False
    file.seek(0)
    data = file.read(1000 * _ROW.itemsize)
    rows = np.frombuffer(data[: len(data) // _ROW.itemsize * _ROW.itemsize], dtype=_ROW)
    with np.errstate(invalid="ignore"):
        likely = (np.abs(rows["means"]) < 1e6).all(1) & (
            (rows["scales"] > 0) & (rows["scales"] < 1e5)
        ).all(1)
    return bool(likely.mean() > 0.5)  # what has more bad rows is refused anyway


def read_dotsplat(path: str | os.PathLike, progress: bool = False) -> Splats:
    """Reads a `.splat`: position and scale as floats, colour and opacity as bytes, rotation (w, x,
    y, z) as bytes about 128.

    Args:
        path: the file.
        progress: whether to show a progress bar where that takes long.

    Raises:
        UserError: the file is missing, empty, cut within a Gaussian, or half of its values or more
            are not finite.
    """
    path = Path(path)
    with opened(path) as file:
        size = size_of(file)
        if size == 0:
            raise UserError(f"{path}: holds zero bytes; copy or export it again")
        if size % _ROW.itemsize:
            raise UserError(
                f"{path}: cut at byte {size}: a .splat has 32 bytes for each Gaussian, and "
                f"{size % 32} are left over; copy it again"
            )
        splats = blank(size // _ROW.itemsize, 1)
        with progress_bar(path, size, progress) as bar:
            for rows in row_slices(len(splats.means)):
                data = read_exactly(path, file, (rows.stop - rows.start) * _ROW.itemsize)
                _unpack(splats, rows, np.frombuffer(data, dtype=_ROW))
                bar.update(len(data))
    return drop_bad(path, splats, ("position", "rotation", "scale", "opacity", "color"))


def _unpack(splats: Splats, rows: slice, table: np.ndarray) -> None:
    with np.errstate(invalid="ignore"):
        splats.means[rows] = table["means"]
        splats.scales[rows] = np.where(table["scales"] >= 0, table["scales"], np.nan)
    splats.sh[rows, 0] = (table["rgba"][:, :3] / 255.0 - 0.5) / SH0
    splats.opacities[rows] = table["rgba"][:, 3] / 255.0
    # Padding that some writers leave; no rotation has the byte 0 four times.
    empty = table.view(np.uint8).reshape(-1, _ROW.itemsize).max(axis=1) == 0
    splats.quats[rows] = np.where(
        empty[:, None], np.nan, unit(table["quats"].astype(np.float64) - 128)
    )
