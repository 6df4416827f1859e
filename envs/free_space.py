"""How far a robot can see: metres to the first thing along rays, the truth that the policy's
free-space head learns from.
"""

import math
from dataclasses import dataclass

import numba
import numpy as np

from s2e.core.observation import RAY_ANGLES, RAY_RANGE_M
from s2e.envs.people.crowd import PERSON_RADIUS
from s2e.envs.worlds import Worlds


@numba.njit(cache=True)
def _wall(x, y, dx, dy, reach, values, start, rows, cols, origin_x, origin_y, resolution):
    """Metres from (x, y) along the unit direction (dx, dy) to the first occupied cell, at most
    `reach`; and whether the map ends there.

    A walk from cell to cell (Amanatides and Woo 1987), all of whose cells are read: nothing is too
    thin to be found.
    """
    u, v = (x - origin_x) / resolution, (y - origin_y) / resolution
    col, row = math.floor(u), math.floor(v)
    step_col, step_row = (1 if dx > 0.0 else -1), (1 if dy > 0.0 else -1)
    # Metres along the ray between the borders of columns (rows), and to the next border.
    per_col = resolution / abs(dx) if dx != 0.0 else 1e18
    per_row = resolution / abs(dy) if dy != 0.0 else 1e18
    to_col = (col + 1 - u if dx > 0.0 else u - col) * per_col if dx != 0.0 else 1e18
    to_row = (row + 1 - v if dy > 0.0 else v - row) * per_row if dy != 0.0 else 1e18
    along = 0.0
    while along < reach:
        if col < 0 or row < 0 or col >= cols or row >= rows:
            return along, True
        # A field is 0 in occupied cells only: its least value elsewhere is half a cell.
        if values[start + row * cols + col] == 0:
            return along, False
        if to_col < to_row:
            along, to_col, col = to_col, to_col + per_col, col + step_col
        else:
            along, to_row, row = to_row, to_row + per_row, row + step_row
    return reach, False


@numba.njit(cache=True)
def _disc(x, y, dx, dy, reach, centre_x, centre_y, radius):
    """Metres from (x, y) along (dx, dy) to a disc: 0 inside, `reach` where it is missed."""
    px, py = centre_x - x, centre_y - y
    ahead, square = px * dx + py * dy, px * px + py * py
    if square <= radius * radius:
        return 0.0
    half = radius * radius - (square - ahead * ahead)
    if ahead <= 0.0 or half < 0.0:
        return reach
    return min(ahead - math.sqrt(half), reach)


@numba.njit(cache=True)
def _cast(
    poses,
    people,
    active,
    values,
    start,
    shape,
    frame,
    field_id,
    angles,
    reach,
    radius,
    wall,
    leaves,
    person,
):
    for n in range(poses.shape[0]):
        s, x, y = field_id[n], poses[n, 0], poses[n, 1]
        for k in range(angles.shape[1]):
            dx, dy = math.cos(poses[n, 2] + angles[n, k]), math.sin(poses[n, 2] + angles[n, k])
            wall[n, k], leaves[n, k] = _wall(
                x,
                y,
                dx,
                dy,
                reach,
                values,
                start[s],
                shape[s, 0],
                shape[s, 1],
                frame[s, 0],
                frame[s, 1],
                frame[s, 2],
            )
            far = reach
            for p in range(people.shape[1]):
                if active[n, p]:
                    far = _disc(x, y, dx, dy, far, people[n, p, 0], people[n, p, 1], radius)
            person[n, k] = far


@dataclass(frozen=True)
class Cast:
    """What rays met.

    Attributes:
        wall: (V, K) float32 metres to the first occupied cell or the map's end, at most the reach.
        leaves: (V, K) bool, which of them is the map's end.
        person: (V, K) float32 metres to the first person, at most the reach.
    """

    wall: np.ndarray
    leaves: np.ndarray
    person: np.ndarray


def cast_rays(
    worlds: Worlds,
    indices: np.ndarray,
    angles: np.ndarray,
    reach_m: float,
    poses: np.ndarray | None = None,
    people_xy: np.ndarray | None = None,
) -> Cast:
    """Rays from some worlds' robots, in the maps that they move in (kerbs that a robot does not
    climb are occupied).

    Args:
        worlds: where they are. indices: (V,) which of them.
        angles: (V, K) radians from each robot's heading, counter-clockwise. reach_m: how far rays
            go.
        poses: (V, 3) where they would be instead of where they are. people_xy: (V, P, 2) the same
            of people.
    """
    fields, people = worlds.fields, worlds.people
    poses = worlds.pose[indices] if poses is None else poses
    people_xy = people.position[indices] if people_xy is None else people_xy
    wall, person = (np.empty(angles.shape, dtype=np.float32) for _ in range(2))
    leaves = np.empty(angles.shape, dtype=np.bool_)
    _cast(
        np.ascontiguousarray(poses),
        np.ascontiguousarray(people_xy),
        np.ascontiguousarray(people.active[indices]),
        fields.values,
        fields.start,
        fields.shape,
        fields.frame,
        np.ascontiguousarray(worlds.field_id[indices]),
        np.ascontiguousarray(angles),
        reach_m,
        PERSON_RADIUS,
        wall,
        leaves,
        person,
    )
    return Cast(wall, leaves, person)


def free_space(worlds: Worlds, indices: np.ndarray) -> np.ndarray:
    """What stands in the way of some worlds' robots, and how far: what their policy's free-space
    head should say.

    Args:
        worlds: where they are.
        indices: (V,) which of them.

    Returns:
        (V, RAYS) float32 metres from each robot's pose along `RAY_ANGLES` (s2e/video/walk.py) to
        the first occupied cell of the map that it moves in or the first person, at most
        `RAY_RANGE_M`; NaN for rays outside its camera's field of view, and for those
        that leave the map before they meet anything: what is beyond it nobody knows; the image may
            show open ground there.
    """
    cast = cast_rays(worlds, indices, np.tile(RAY_ANGLES, (len(indices), 1)), RAY_RANGE_M)
    outside = np.abs(RAY_ANGLES) > np.radians(worlds.fleet.camera[indices, 0])[:, None] / 2
    unknown = outside | (cast.leaves & (cast.wall <= cast.person))
    return np.where(unknown, np.float32(np.nan), np.minimum(cast.wall, cast.person))
