"""Where a robot can hit something: a 2-D grid and its distance field, shared by mesh worlds and
splat worlds.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numba
import numpy as np
from scipy.ndimage import distance_transform_edt

from s2e.core.errors import UserError


@dataclass(frozen=True)
class Occupancy:
    """A grid over the ground.

    Row r, column c covers the square whose lower-left corner is `origin + resolution * (c, r)`;
    everything outside the grid counts as occupied.

    Attributes:
        grid: (R, C) bool, true where something stands between a robot's floor and its top.
        origin: (2,) float64, world x and y of the grid's lower-left corner, metres.
        resolution: edge of a cell, metres.
    """

    grid: np.ndarray
    origin: np.ndarray
    resolution: float = 0.1

    def distance(self) -> np.ndarray:
        """(R, C) float32: metres from each cell's centre to the nearest occupied cell's edge (0
        inside).
        """
        padded = np.pad(self.grid, 1, constant_values=True)
        cells = np.asarray(distance_transform_edt(~padded))[1:-1, 1:-1]
        return (np.maximum(cells - 0.5, 0.0) * self.resolution).astype(np.float32)

    def blocked_by(self, step_height: float, ground_height: np.ndarray) -> "Occupancy":
        """The same grid for a robot that climbs steps of at most `step_height`: kerbs and stairs
        stand in its way too.

        Of two neighbouring cells whose ground differs by more, the higher one is occupied. So the
        robot may come up to the foot of a kerb, and on top of it stops a cell before the edge,
        where a drop would ground it.

        Args:
            step_height: metres.
            ground_height: (R, C) metres, `Ground.height`.

        Raises:
            UserError: the heights are not finite or on another grid.
        """
        height = np.asarray(ground_height, dtype=np.float64)
        if height.shape != self.grid.shape:
            raise UserError(
                f"ground.height has shape {height.shape}, the occupancy grid {self.grid.shape}: "
                "they must be the same cells"
            )
        if not np.isfinite(height).all():
            r, c = np.argwhere(~np.isfinite(height))[0]
            raise UserError(f"ground.height[{r}, {c}] is {height[r, c]}: heights are finite metres")
        grid = self.grid.copy()
        for axis in range(2):
            rise = np.diff(height, axis=axis)
            low, high = [slice(None)] * 2, [slice(None)] * 2
            low[axis], high[axis] = slice(None, -1), slice(1, None)
            grid[tuple(low)] |= rise < -step_height - 1e-3
            grid[tuple(high)] |= rise > step_height + 1e-3
        return replace(self, grid=grid)

    def cell_of(self, xy: np.ndarray) -> np.ndarray:
        """(..., 2) world points to (..., 2) integer (row, column)."""
        return np.floor((np.asarray(xy) - self.origin) / self.resolution).astype(np.int64)[
            ..., ::-1
        ]


@dataclass
class DistanceFields:
    """The distance fields of many scenes, packed for numba.

    Distances are whole millimetres in 16 bits: half of what float32 takes (1,024 scenes of 360 x
    200 cells are 150 MB), and finer than the grid's own error; they end at 65 m.

    Attributes:
        values: (sum of R * C,) uint16, row-major, one scene after the other, millimetres.
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
        start, shape, frame = layout(scenes)
        return cls(
            values=np.concatenate([_millimetres(s) for s in scenes]),
            start=start,
            shape=shape,
            frame=frame,
        )

    def replace(self, slot: int, scene: Occupancy) -> None:
        """Puts another scene into a slot: in place where its grid has the old one's shape, else
        everything is copied once.
        """
        self.values, self.start = swap(
            self.values, self.start, self.shape, slot, scene.grid.shape, _millimetres(scene)
        )
        self.shape[slot] = scene.grid.shape
        self.frame[slot] = (*scene.origin, scene.resolution)


def _millimetres(scene: Occupancy) -> np.ndarray:
    return np.minimum(np.round(scene.distance() * 1000.0), 65535).astype(np.uint16).ravel()


def layout(scenes: Sequence[Occupancy]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where the cells of scenes lie when they are packed one after the other: start (S,), shape (S,
    2), frame (S, 3).
    """
    sizes = np.array([s.grid.size for s in scenes], dtype=np.int64)
    start = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int64)
    shape = np.array([s.grid.shape for s in scenes], dtype=np.int64)
    return (
        start,
        shape,
        np.array([[s.origin[0], s.origin[1], s.resolution] for s in scenes], dtype=np.float64),
    )


def swap(
    values: np.ndarray,
    start: np.ndarray,
    shape: np.ndarray,
    slot: int,
    new_shape: tuple[int, ...],
    cells: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Packed values and starts with one scene's cells exchanged; `values` itself where the size is
    the same.
    """
    first, size = int(start[slot]), int(shape[slot, 0] * shape[slot, 1])
    if size == len(cells):
        values[first : first + size] = cells
        return values, start
    moved = start + np.where(start > first, len(cells) - size, 0)
    return np.concatenate([values[:first], cells, values[first + size :]]), moved


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
    return 0.001 * total
