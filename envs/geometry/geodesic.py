"""How far it is to go: metres of way, not of air, from anywhere in a scene to each world's goal.

A reward for coming nearer in a straight line pays for driving into dead ends. Along the way it pays
for the detour. Ground beside walls counts more, as it does for the expert's routes
(`envs/geometry/astar.py`), so the cheapest way keeps its distance where there is room.
"""

import math
from collections import OrderedDict

import numba
import numpy as np

from s2e.envs.geometry.astar import WALL_MARGIN, WALL_WEIGHT, _sift_down, _sift_up
from s2e.envs.geometry.occupancy import Occupancy

COARSE = 2
"""Cells of the map along each side of one cell of a field."""
ROOM_M = 0.03
"""Beside the robot's own radius, to pass."""
RADIUS_STEP_M = 0.02
"""Radii are rounded to this, so that robots of one kind share fields."""
KEPT_BYTES = 256 << 20
"""Memory for the fields of goals that worlds may have again."""


@numba.njit(cache=True)
def distances_to(cost, goal, cell_m):
    """Metres of way from every cell of a grid to one of them (Dijkstra 1959).

    Args:
        cost: (R, C) float64, 1 or more, or infinite where blocked. Diagonal moves do not cut
            blocked corners.
        goal: flat index; it is left even where it is blocked.
        cell_m: side of a cell.

    Returns:
        (R * C,) float32, infinite where no way leads. A move costs its length times the mean cost
        of its cells.
    """
    rows, cols = cost.shape
    flat = cost.ravel()
    key, place = np.full(rows * cols, np.inf), np.full(rows * cols, -1, np.int32)
    heap = np.empty(rows * cols, np.int32)
    diagonal = math.sqrt(2.0)
    key[goal], heap[0], place[goal], size = 0.0, goal, 0, 1
    while size > 0:
        cell = heap[0]
        size -= 1
        place[cell] = -2
        if size > 0:
            heap[0] = heap[size]
            _sift_down(heap, place, key, size)
        r, c = cell // cols, cell % cols
        here = flat[cell] if np.isfinite(flat[cell]) else 1.0
        for dr in range(-1, 2):
            for dc in range(-1, 2):
                rr, cc = r + dr, c + dc
                if (dr == 0 and dc == 0) or rr < 0 or cc < 0 or rr >= rows or cc >= cols:
                    continue
                other = rr * cols + cc
                if place[other] == -2 or not np.isfinite(flat[other]):
                    continue
                length = 1.0
                if dr != 0 and dc != 0:
                    if not (np.isfinite(flat[r * cols + cc]) and np.isfinite(flat[rr * cols + c])):
                        continue
                    length = diagonal
                total = key[cell] + length * 0.5 * (here + flat[other])
                if total < key[other]:
                    key[other] = total
                    if place[other] == -1:
                        heap[size] = other
                        place[other] = size
                        size += 1
                    _sift_up(heap, place, key, place[other])
    return (key * cell_m).astype(np.float32)


@numba.njit(cache=True)
def _spread(field, rows, cols, cell_m, rounds):
    """Gives blocked cells beside free ones their value and a step's length: who stands a little too
    near knows the way too.
    """
    for _ in range(rounds):
        before = field.copy()
        for r in range(rows):
            for c in range(cols):
                if np.isfinite(before[r * cols + c]):
                    continue
                least = np.inf
                for rr in range(max(r - 1, 0), min(r + 2, rows)):
                    for cc in range(max(c - 1, 0), min(c + 2, cols)):
                        least = min(least, before[rr * cols + cc])
                field[r * cols + c] = least + cell_m


@numba.njit(cache=True)
def _look_up(fields, shape, frame, points, out):
    """Bilinear over the finite of the four cells around a point; NaN where none is."""
    for n in range(points.shape[0]):
        rows, cols = shape[n, 0], shape[n, 1]
        u = (points[n, 0] - frame[n, 0]) / frame[n, 2] - 0.5
        v = (points[n, 1] - frame[n, 1]) / frame[n, 2] - 0.5
        c, r = math.floor(u), math.floor(v)
        total, weights = 0.0, 0.0
        for dr in range(2):
            for dc in range(2):
                rr, cc = r + dr, c + dc
                if 0 <= rr < rows and 0 <= cc < cols and np.isfinite(fields[n, rr * cols + cc]):
                    weight = (v - r if dr else 1.0 - v + r) * (u - c if dc else 1.0 - u + c) + 1e-9
                    total += weight * fields[n, rr * cols + cc]
                    weights += weight
        out[n] = total / weights if weights > 0.0 else np.nan


class GoalFields:
    """The way to the goal of each of N worlds. Fields of goals that come again are kept, up to
    `KEPT_BYTES`.
    """

    def __init__(self, worlds: int):
        self.values = np.full((worlds, 1), np.inf, np.float32)
        self.shape, self.frame = np.ones((worlds, 2), np.int64), np.ones((worlds, 3))
        self.kept: OrderedDict[tuple, tuple[np.ndarray, tuple[int, int], np.ndarray]] = (
            OrderedDict()
        )
        self.bytes = 0

    def begin(
        self,
        world: int,
        occupancy: Occupancy,
        distance: np.ndarray,
        radius: float,
        goal: np.ndarray,
    ) -> None:
        """Sets a world's goal.

        Args:
            world: which. occupancy: the map that its robot moves in. distance: (R, C) float32,
                `occupancy.distance()`.
            radius: the robot's, metres. goal: (2,) metres.
        """
        radius = round(radius / RADIUS_STEP_M) * RADIUS_STEP_M
        key = id(distance), radius, float(goal[0]), float(goal[1])
        # `distance` is kept beside its field, so that its id stays its own
        if key not in self.kept:
            self.kept[key] = *goal_field(occupancy, distance, radius, goal), distance
            self.bytes += self.kept[key][0].nbytes
        self.kept.move_to_end(key)
        values, shape, _ = self.kept[key]
        while self.bytes > KEPT_BYTES and len(self.kept) > 1:
            self.bytes -= self.kept.popitem(last=False)[1][0].nbytes
        if len(values) > self.values.shape[1]:
            more = np.full(
                (len(self.values), len(values) - self.values.shape[1]), np.inf, np.float32
            )
            self.values = np.concatenate([self.values, more], axis=1)
        self.values[world, : len(values)] = values
        self.shape[world] = shape
        self.frame[world] = (*occupancy.origin, occupancy.resolution * COARSE)

    def at(self, points: np.ndarray) -> np.ndarray:
        """(N,) metres of way to each world's goal from points (N, 2); NaN where there is none."""
        out = np.empty(len(points))
        _look_up(
            self.values, self.shape, self.frame, np.ascontiguousarray(points, dtype=np.float64), out
        )
        return out


def goal_field(
    occupancy: Occupancy, distance: np.ndarray, radius: float, goal: np.ndarray
) -> tuple[np.ndarray, tuple[int, int]]:
    """Metres of way to a goal from each cell of a map, on cells `COARSE` times as large.

    Returns:
        (R * C,) float32, infinite where a robot of this radius cannot come from, and (R, C).
    """
    rows, cols = (-(-n // COARSE) for n in distance.shape)
    padded = np.zeros((rows * COARSE, cols * COARSE), np.float32)
    padded[: distance.shape[0], : distance.shape[1]] = distance
    # the best place in a cell
    room = padded.reshape(rows, COARSE, cols, COARSE).max((1, 3)).astype(np.float64)
    near = np.clip((radius + ROOM_M + WALL_MARGIN - room) / WALL_MARGIN, 0.0, 1.0)
    cost = np.where(room >= radius + ROOM_M, 1.0 + WALL_WEIGHT * near * near, np.inf)
    cell_m = occupancy.resolution * COARSE
    column, row = np.floor((np.asarray(goal) - occupancy.origin) / cell_m).astype(np.int64)
    at = int(np.clip(row, 0, rows - 1)) * cols + int(np.clip(column, 0, cols - 1))
    field = distances_to(cost, at, cell_m)
    _spread(field, rows, cols, cell_m, 3)
    return field, (rows, cols)
