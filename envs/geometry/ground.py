"""How high the ground is, and what it is, under many points of many scenes at once."""

from collections.abc import Sequence
from dataclasses import dataclass

import numba
import numpy as np

from s2e.envs.geometry.occupancy import layout, swap
from s2e.envs.geometry.scene import SEMANTIC_ID, Scene


@dataclass
class GroundFields:
    """The ground of many scenes, packed for numba as `DistanceFields` are. A scene without `Ground`
    is a level sidewalk.

    Attributes:
        height: (sum of R * C,) int16, millimetres above `base`: a quarter of float64, and finer
            than any robot feels.
        surface: (sum of R * C,) uint8, ids of `SEMANTICS`.
        start: (S,) int64. shape: (S, 2) int64. frame: (S, 3) float64: as in `DistanceFields`.
        base: (S,) float64, `Scene.ground_z`, metres.
    """

    height: np.ndarray
    surface: np.ndarray
    start: np.ndarray
    shape: np.ndarray
    frame: np.ndarray
    base: np.ndarray

    @classmethod
    def pack(cls, scenes: Sequence[Scene]) -> "GroundFields":
        """Packs the ground of scenes; scene s of the pack is `scenes[s]`."""
        start, shape, frame = layout([s.occupancy for s in scenes])
        cells = [_cells(s) for s in scenes]
        base = np.array([s.ground_z for s in scenes], dtype=np.float64)
        return cls(
            np.concatenate([c[0] for c in cells]),
            np.concatenate([c[1] for c in cells]),
            start,
            shape,
            frame,
            base,
        )

    def replace(self, slot: int, scene: Scene) -> None:
        """Puts another scene into a slot: in place where its grid has the old one's shape, else
        everything is copied once.
        """
        height, surface = _cells(scene)
        grid = scene.occupancy.grid.shape
        self.height, _ = swap(self.height, self.start, self.shape, slot, grid, height)
        self.surface, self.start = swap(self.surface, self.start, self.shape, slot, grid, surface)
        self.shape[slot] = grid
        self.frame[slot] = (*scene.occupancy.origin, scene.occupancy.resolution)
        self.base[slot] = scene.ground_z


def _cells(scene: Scene) -> tuple[np.ndarray, np.ndarray]:
    size = scene.occupancy.grid.size
    if scene.ground is None:
        return np.zeros(size, dtype=np.int16), np.full(
            size, SEMANTIC_ID["sidewalk"], dtype=np.uint8
        )
    height = np.clip(np.round(scene.ground.height * 1000.0), -32768, 32767).astype(np.int16).ravel()
    return height, scene.ground.surface.astype(np.uint8).ravel()


@numba.njit(cache=True)
def _finite(x):
    return x - x == 0.0


@numba.njit(cache=True)
def _heights(height, start, shape, frame, base, scene_id, xy, out):
    for m in range(xy.shape[0]):
        s = scene_id[m]
        rows, cols = shape[s, 0], shape[s, 1]
        out[m] = base[s]
        if not (_finite(xy[m, 0]) and _finite(xy[m, 1])):
            continue
        u = min(max((xy[m, 0] - frame[s, 0]) / frame[s, 2] - 0.5, 0.0), cols - 1.0)
        v = min(max((xy[m, 1] - frame[s, 1]) / frame[s, 2] - 0.5, 0.0), rows - 1.0)
        c, r = min(int(u), max(cols - 2, 0)), min(int(v), max(rows - 2, 0))
        fu, fv = u - c, v - r
        right, up = min(c + 1, cols - 1), min(r + 1, rows - 1)
        lower = (1.0 - fu) * height[start[s] + r * cols + c] + fu * height[
            start[s] + r * cols + right
        ]
        upper = (1.0 - fu) * height[start[s] + up * cols + c] + fu * height[
            start[s] + up * cols + right
        ]
        out[m] += 0.001 * ((1.0 - fv) * lower + fv * upper)


def ground_height_at(ground: GroundFields, scene_id: np.ndarray, xy: np.ndarray) -> np.ndarray:
    """World z of the ground under points, bilinear between the centres of cells; the border's
    height goes on outside.

    A kerb so becomes a ramp one cell wide, which keeps cameras and people from jumping.

    Args:
        ground: packed scenes.
        scene_id: (M,) integer, which scene each point is in.
        xy: (M, 2) metres; a point that is NaN is on the scene's `ground_z`.

    Returns:
        (M,) float64, metres.
    """
    xy = np.ascontiguousarray(xy, dtype=np.float64)
    out = np.empty(len(xy))
    ids = np.ascontiguousarray(scene_id, dtype=np.int64)
    _heights(ground.height, ground.start, ground.shape, ground.frame, ground.base, ids, xy, out)
    return out


def surface_at(ground: GroundFields, scene_id: np.ndarray, xy: np.ndarray) -> np.ndarray:
    """(M,) uint8: what the ground is at points (an id of `SEMANTICS`), that of their cell;
    arguments as in `ground_height_at`.
    """
    xy, s = np.asarray(xy, dtype=np.float64), np.asarray(scene_id, dtype=np.int64)
    cell = np.floor((xy - ground.frame[s, :2]) / ground.frame[s, 2:])
    cell = np.nan_to_num(cell, nan=0.0).astype(np.int64)
    column = np.clip(cell[:, 0], 0, ground.shape[s, 1] - 1)
    row = np.clip(cell[:, 1], 0, ground.shape[s, 0] - 1)
    return ground.surface[ground.start[s] + row * ground.shape[s, 1] + column]


def floor_height(scene: Scene, x: float, y: float) -> float:
    """The ground's height at a point of a scene."""
    if scene.ground is None:
        return scene.ground_z
    row, column = np.clip(
        scene.occupancy.cell_of(np.array([x, y])), 0, np.array(scene.ground.height.shape) - 1
    )
    return scene.ground_z + float(scene.ground.height[row, column])
