"""Where a robot can hit something: a 2-D grid and its distance field, shared by mesh worlds and splat worlds."""

from collections.abc import Sequence
from dataclasses import dataclass

import numba
import numpy as np
from scipy.ndimage import distance_transform_edt


@dataclass(frozen=True)
class Occupancy:
    """A grid over the ground.

    Row r, column c covers the square whose lower-left corner is `origin + resolution * (c, r)`; everything outside
    the grid counts as occupied.

    Attributes:
        grid: (R, C) bool, true where something stands between a robot's floor and its top.
        origin: (2,) float64, world x and y of the grid's lower-left corner, metres.
        resolution: edge of a cell, metres.
    """

    grid: np.ndarray
    origin: np.ndarray
    resolution: float = 0.1

    def distance(self) -> np.ndarray:
        """(R, C) float32: metres from each cell's centre to the nearest occupied cell's edge (0 inside)."""
        padded = np.pad(self.grid, 1, constant_values=True)
        cells = distance_transform_edt(~padded)[1:-1, 1:-1]
        return (np.maximum(cells - 0.5, 0.0) * self.resolution).astype(np.float32)

    def cell_of(self, xy: np.ndarray) -> np.ndarray:
        """(..., 2) world points to (..., 2) integer (row, column)."""
        return np.floor((np.asarray(xy) - self.origin) / self.resolution).astype(np.int64)[..., ::-1]


@dataclass(frozen=True)
class DistanceFields:
    """The distance fields of many scenes, packed for numba.

    Attributes:
        values: (sum of R * C,) float32, row-major, one scene after the other.
        start: (S,) int64, where each scene begins in `values`.
        shape: (S, 2) int64, rows and columns.
        frame: (S, 3) float64, origin x, origin y, resolution.
    """

    values: np.ndarray
    start: np.ndarray
    shape: np.ndarray
    frame: np.ndarray

    @classmethod
    def pack(cls, scenes: Sequence[Occupancy]) -> "DistanceFields":
        """Packs the fields of scenes; scene s of the pack is `scenes[s]`."""
        sizes = np.array([s.grid.size for s in scenes], dtype=np.int64)
        return cls(
            values=np.concatenate([s.distance().ravel() for s in scenes]),
            start=np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int64),
            shape=np.array([s.grid.shape for s in scenes], dtype=np.int64),
            frame=np.array([[s.origin[0], s.origin[1], s.resolution] for s in scenes], dtype=np.float64),
        )


@numba.njit(cache=True, inline="always")
def distance_at(values, start, rows, cols, origin_x, origin_y, resolution, x, y):
    """Bilinear distance (metres) at world (x, y) in one packed field; 0 outside the grid."""
    u = (x - origin_x) / resolution - 0.5
    v = (y - origin_y) / resolution - 0.5
    c, r = int(np.floor(u)), int(np.floor(v))
    if c < -1 or r < -1 or c >= cols or r >= rows:
        return 0.0
    fu, fv = u - c, v - r
    total = 0.0
    for dr in range(2):
        for dc in range(2):
            rr, cc = r + dr, c + dc
            if 0 <= rr < rows and 0 <= cc < cols:
                weight = (fv if dr else 1.0 - fv) * (fu if dc else 1.0 - fu)
                total += weight * values[start + rr * cols + cc]
    return total
