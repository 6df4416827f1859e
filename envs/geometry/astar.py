"""Shortest safe routes: 8-connected A* on an occupancy grid, kept off the walls and
straightened.
"""

import math

import numba
import numpy as np

from s2e.core.errors import UserError
from s2e.envs.geometry.occupancy import Occupancy

SNAP_M = 0.6
"""A start or goal in a blocked cell moves to the nearest free one within this many metres."""
ROUTE_CLEARANCE_M = 0.45
"""Of a route's cells from anything: half the width of a footprint and some room."""
WALL_MARGIN = 0.6
"""Cells within this of the required clearance cost more, metres."""
WALL_WEIGHT = 1.5
"""How much more the costliest of them costs: ground beside a wall counts 1 + WALL_WEIGHT times."""


@numba.njit(cache=True)
def _sift_up(heap, place, key, i):
    cell = heap[i]
    while i > 0:
        parent = (i - 1) >> 1
        if key[heap[parent]] <= key[cell]:
            break
        heap[i] = heap[parent]
        place[heap[i]] = i
        i = parent
    heap[i] = cell
    place[cell] = i


@numba.njit(cache=True)
def _sift_down(heap, place, key, size):
    cell, i = heap[0], 0
    while 2 * i + 1 < size:
        child = 2 * i + 1
        if child + 1 < size and key[heap[child + 1]] < key[heap[child]]:
            child += 1
        if key[heap[child]] >= key[cell]:
            break
        heap[i] = heap[child]
        place[heap[i]] = i
        i = child
    heap[i] = cell
    place[cell] = i


@numba.njit(cache=True)
def search_grid(cost, start, goal):
    """A* over a grid. A move costs its length (in cells) times the mean cost of its two cells.

    Args:
        cost: (R, C) float64, at least 1, or infinite where blocked. Diagonal moves do not cut
            blocked corners.
        start: flat index of a free cell.
        goal: flat index of a free cell.

    Returns:
        Flat indices from start to goal (K,) int64, empty if there is no way, and the cost of the
        way.
    """
    rows, cols = cost.shape
    flat = cost.ravel()
    best = np.full(rows * cols, np.inf)
    key = np.empty(rows * cols)
    place = np.full(rows * cols, -1, np.int32)  # where in the heap; -1 unseen, -2 done
    parent = np.empty(rows * cols, np.int32)
    heap = np.empty(rows * cols, np.int32)
    diagonal = math.sqrt(2.0)
    goal_r, goal_c = goal // cols, goal % cols
    best[start], key[start], parent[start], heap[0], place[start], size = (
        0.0,
        0.0,
        start,
        start,
        0,
        1,
    )
    while size > 0:
        cell = heap[0]
        size -= 1
        place[cell] = -2
        if cell == goal:
            break
        if size > 0:
            heap[0] = heap[size]
            _sift_down(heap, place, key, size)
        r, c = cell // cols, cell % cols
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
                total = best[cell] + length * 0.5 * (flat[cell] + flat[other])
                if total < best[other]:
                    best[other], parent[other] = total, cell
                    ar, ac = abs(rr - goal_r), abs(cc - goal_c)
                    key[other] = total + max(ar, ac) + (diagonal - 1.0) * min(ar, ac)
                    if place[other] == -1:
                        heap[size] = other
                        place[other] = size
                        size += 1
                    _sift_up(heap, place, key, place[other])
    if not np.isfinite(best[goal]):
        return np.empty(0, np.int64), np.inf
    count, cell = 1, goal
    while cell != start:
        cell = parent[cell]
        count += 1
    way, cell = np.empty(count, np.int64), goal
    for i in range(count - 1, -1, -1):
        way[i] = cell
        cell = parent[cell]
    return way, best[goal]


@numba.njit(cache=True)
def _line_cost(cost, x0, y0, x1, y1):
    """Cost of the straight line between two points (in cells, x = column): infinite if it touches a
    blocked cell.
    """
    rows, cols = cost.shape
    length = math.sqrt((x1 - x0) ** 2 + (y1 - y0) ** 2)
    c, r = math.floor(x0), math.floor(y0)
    step_c, step_r = 1 if x1 > x0 else -1, 1 if y1 > y0 else -1
    grow_c = 1.0 / abs(x1 - x0) if x1 != x0 else np.inf
    grow_r = 1.0 / abs(y1 - y0) if y1 != y0 else np.inf
    next_c = ((c + 1 - x0) if x1 > x0 else (x0 - c)) * grow_c if x1 != x0 else np.inf
    next_r = ((r + 1 - y0) if y1 > y0 else (y0 - r)) * grow_r if y1 != y0 else np.inf
    t, total = 0.0, 0.0
    while True:
        if r < 0 or c < 0 or r >= rows or c >= cols or not np.isfinite(cost[r, c]):
            return np.inf
        leave = min(next_c, next_r)
        total += cost[r, c] * (min(leave, 1.0) - t) * length
        if leave >= 1.0:
            return total
        t = leave
        if abs(next_c - next_r) < 1e-9:  # through a corner: both cells beside it must be free
            for sr, sc in ((r + step_r, c), (r, c + step_c)):
                if sr < 0 or sc < 0 or sr >= rows or sc >= cols or not np.isfinite(cost[sr, sc]):
                    return np.inf
            r, c = r + step_r, c + step_c
            next_r, next_c = next_r + grow_r, next_c + grow_c
        elif next_c < next_r:
            c, next_c = c + step_c, next_c + grow_c
        else:
            r, next_r = r + step_r, next_r + grow_r


@numba.njit(cache=True)
def _straighten(cost, xy):
    """Drops points (K, 2), in cells, wherever the straight line is free and costs no more than the
    way it replaces.
    """
    count = len(xy)
    along = np.zeros(count)
    for i in range(1, count):
        along[i] = along[i - 1] + _line_cost(cost, xy[i - 1, 0], xy[i - 1, 1], xy[i, 0], xy[i, 1])
    keep, kept, i = np.zeros(count, np.int64), 1, 0
    while i < count - 1:
        j = min(count - 1, i + 120)
        while j > i + 1:
            if (
                _line_cost(cost, xy[i, 0], xy[i, 1], xy[j, 0], xy[j, 1])
                <= along[j] - along[i] + 1e-6
            ):
                break
            j -= 1
        keep[kept] = j
        kept += 1
        i = j
    return keep[:kept]


def _snap(free: np.ndarray, occupancy: Occupancy, point: np.ndarray) -> tuple[int, int] | None:
    """The free cell nearest to a world point within `SNAP_M`, or None."""
    r, c = (int(v) for v in occupancy.cell_of(point))
    rows, cols = free.shape
    if 0 <= r < rows and 0 <= c < cols and free[r, c]:
        return r, c
    k = int(np.ceil(SNAP_M / occupancy.resolution)) + 1
    r0, c0 = max(r - k, 0), max(c - k, 0)
    found = np.argwhere(free[r0 : max(r + k + 1, 0), c0 : max(c + k + 1, 0)]) + np.array([r0, c0])
    if len(found) == 0:
        return None
    centres = occupancy.origin + (found[:, ::-1] + 0.5) * occupancy.resolution
    away = np.linalg.norm(centres - point, axis=1)
    nearest = int(np.argmin(away))
    return (int(found[nearest, 0]), int(found[nearest, 1])) if away[nearest] <= SNAP_M else None


def astar(
    occupancy: Occupancy,
    distance: np.ndarray,
    start: np.ndarray,
    goal: np.ndarray,
    clearance_m: float,
) -> np.ndarray | None:
    """A short route that keeps away from walls, with corners only where it needs them.

    Args:
        occupancy: the grid.
        distance: (R, C) float32, `occupancy.distance()`.
        start: (2,) world x, y.
        goal: (2,) world x, y.
        clearance_m: cells nearer than this to an obstacle are blocked.

    Returns:
        (K, 2) float64 points, K >= 2, from start to goal, or None if there is no route. A start or
        goal in a blocked cell is replaced by the nearest free cell's centre within 0.6 m. No
        segment touches a blocked cell.

    Raises:
        UserError: start or goal is not a finite point.
    """
    start, goal = np.asarray(start, dtype=np.float64)[:2], np.asarray(goal, dtype=np.float64)[:2]
    for name, point in (("start", start), ("goal", goal)):
        if point.shape != (2,) or not np.isfinite(point).all():
            raise UserError(
                f"{name} of the route is {point.tolist()}: give finite world x and y in metres"
            )
    free = distance >= clearance_m
    first, last = _snap(free, occupancy, start), _snap(free, occupancy, goal)
    if first is None or last is None:
        return None
    near = np.clip(
        (clearance_m + WALL_MARGIN - distance.astype(np.float64)) / WALL_MARGIN, 0.0, 1.0
    )
    cost = np.where(free, 1.0 + WALL_WEIGHT * near * near, np.inf)
    cols = cost.shape[1]
    way, _ = search_grid(cost, first[0] * cols + first[1], last[0] * cols + last[1])
    if len(way) == 0:
        return None
    xy = np.stack([way % cols, way // cols], axis=1) + 0.5
    exact_start, exact_goal = ((p - occupancy.origin) / occupancy.resolution for p in (start, goal))
    # The free cell that holds a point is the cell found for it, so the point itself can end the
    # route.
    ends = [xy[0], xy[-1]]
    if tuple(occupancy.cell_of(start)) == first:
        ends[0] = exact_start
    if tuple(occupancy.cell_of(goal)) == last:
        ends[1] = exact_goal
    xy = np.concatenate([ends[:1], xy[1:-1], ends[1:]])
    return occupancy.origin + xy[_straighten(cost, xy)] * occupancy.resolution


def path_length(path: np.ndarray) -> float:
    """Length of a polyline (K, 2), metres."""
    return float(np.linalg.norm(np.diff(path, axis=0), axis=1).sum())
