"""Top-down maps around robots: what is occupied, who is there, where the goal lies. A kernel over
packed distance fields.
"""

import math

import numba
import numpy as np

from s2e.envs.geometry.occupancy import DistanceFields

SIZE_CELLS = 64
CELL_M = 0.25
FREE, OCCUPIED, PERSON, GOAL = 0, 1, 2, 3
"""The values of a map."""


@numba.njit(cache=True)
def _draw_maps(
    poses, goals, people, active, values, start, shape, frame, field_id, person_radius, maps
):
    size = maps.shape[1]
    for v in range(maps.shape[0]):
        s = field_id[v]
        c, n = math.cos(poses[v, 2]), math.sin(poses[v, 2])
        rows, cols = shape[s, 0], shape[s, 1]
        for i in range(size):
            ahead = (size / 2 - i - 0.5) * CELL_M
            for j in range(size):
                left = (size / 2 - j - 0.5) * CELL_M
                x, y = poses[v, 0] + c * ahead - n * left, poses[v, 1] + n * ahead + c * left
                col, row = (
                    math.floor((x - frame[s, 0]) / frame[s, 2]),
                    math.floor((y - frame[s, 1]) / frame[s, 2]),
                )
                inside = 0 <= row < rows and 0 <= col < cols
                solid = (
                    not inside or values[start[s] + int(row) * cols + int(col)] <= 500.0 * CELL_M
                )
                maps[v, i, j] = OCCUPIED if solid else FREE
        for p in range(people.shape[1] + 1):
            goal = p == people.shape[1]
            if not goal and not active[v, p]:
                continue
            x = (goals[v, 0] if goal else people[v, p, 0]) - poses[v, 0]
            y = (goals[v, 1] if goal else people[v, p, 1]) - poses[v, 1]
            ahead, left = c * x + n * y, -n * x + c * y
            radius = 2 * person_radius if goal else person_radius
            reach = int(radius / CELL_M) + 1
            middle_i, middle_j = int(size / 2 - ahead / CELL_M), int(size / 2 - left / CELL_M)
            for i in range(max(middle_i - reach, 0), min(middle_i + reach + 1, size)):
                for j in range(max(middle_j - reach, 0), min(middle_j + reach + 1, size)):
                    du, dv = (
                        (size / 2 - i - 0.5) * CELL_M - ahead,
                        (size / 2 - j - 0.5) * CELL_M - left,
                    )
                    if du * du + dv * dv <= radius * radius:
                        maps[v, i, j] = GOAL if goal else PERSON


def top_down_maps(
    poses: np.ndarray,
    goals: np.ndarray,
    people: np.ndarray,
    active: np.ndarray,
    fields: DistanceFields,
    field_id: np.ndarray,
) -> np.ndarray:
    """Maps centred on the robots, ahead is up.

    Args:
        poses: (V, 3) x, y, yaw.
        goals: (V, 2) metres.
        people: (V, P, 2) metres.
        active: (V, P) bool.
        fields: distance fields; outside them is occupied.
        field_id: (V,) integer, which field each robot is in.

    Returns:
        (V, 64, 64) uint8, cells of 0.25 m: `FREE`, `OCCUPIED` (something within 0.125 m of the
            middle: thin things show),
        `PERSON` (radius 0.25 m) or `GOAL` (radius 0.5 m).
    """
    maps = np.empty((len(poses), SIZE_CELLS, SIZE_CELLS), dtype=np.uint8)
    _draw_maps(
        np.ascontiguousarray(poses, dtype=np.float64),
        np.ascontiguousarray(goals, dtype=np.float64),
        np.ascontiguousarray(people, dtype=np.float64),
        np.ascontiguousarray(active, dtype=np.bool_),
        fields.values,
        fields.start,
        fields.shape,
        fields.frame,
        np.ascontiguousarray(field_id, dtype=np.int64),
        0.25,
        maps,
    )
    return maps
