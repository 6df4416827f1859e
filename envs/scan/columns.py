"""From Gaussians to what a robot meets: the ground's height, what stands on it, and the room above, on a grid."""

from dataclasses import dataclass

import numpy as np

from s2e.envs.scene import Splats


@dataclass(frozen=True)
class Columns:
    """A place as columns over a grid; row r, column c covers the square with lower-left corner `origin + resolution * (c, r)`.

    Attributes:
        origin: (2,) metres.
        resolution: edge of a cell, metres.
        height: (R, C) float32, the ground's height above the floor's plane, metres; 0 where unknown.
        known: (R, C) bool, where ground was seen (or fills a small hole in what was seen).
        blocked: (R, C) bool, where something solid stands between 0.1 m and the clearance above the local ground.
        overhead: (R, C) float32, metres from the ground to the first solid thing above it, infinite where open.
    """

    origin: np.ndarray
    resolution: float
    height: np.ndarray
    known: np.ndarray
    blocked: np.ndarray
    overhead: np.ndarray


def columns(splats: Splats, resolution: float = 0.1, clearance_m: float = 1.2) -> Columns:
    """First body: centres only."""
    xy = splats.means[:, :2].astype(np.float64)
    origin = np.floor(xy.min(0) / resolution) * resolution
    cells = np.floor((xy - origin) / resolution).astype(np.int64)
    shape = (int(cells[:, 1].max()) + 1, int(cells[:, 0].max()) + 1)
    low = np.abs(splats.means[:, 2]) < 0.1
    known, blocked = np.zeros(shape, dtype=bool), np.zeros(shape, dtype=bool)
    known[cells[low, 1], cells[low, 0]] = True
    high = (splats.means[:, 2] > 0.1) & (splats.means[:, 2] < clearance_m) & (splats.opacities > 0.3)
    blocked[cells[high, 1], cells[high, 0]] = True
    height = np.zeros(shape, dtype=np.float32)
    return Columns(origin, resolution, height, known, blocked, np.full(shape, np.inf, dtype=np.float32))
