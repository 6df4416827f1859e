"""A planner that is right and late: it knows the map and where everybody goes. What advice is worth
at most, by how old it is.
"""

from collections.abc import Sequence

import numpy as np

from s2e.planner.directive import Directive, make
from s2e.planner.guide import REACHED_M, in_sight
from s2e.planner.rules import advise
from s2e.planner.scene import AtOnce, PlannerView

AHEAD_M, CORNER_M, PACE = 4.0, 2.0, 1.0
"""A subgoal lies so far along the route, and as much farther as the robot drives (m/s) until the
answer comes; at a sharp corner, if one comes before, but not nearer than the second to where the
robot will be then."""
CORNER_RAD = np.radians(30.0)
DEPARTS_RAD, LONGER = np.radians(50.0), 1.3
"""The route departs from the goal's direction where it begins farther from it than the first, or is
longer than the straight way by the second and a metre."""
BEHIND_RAD = np.radians(75.0)
"""Or where it begins farther than this from where the robot looks."""
SAFE_M = 2.2
"""Nearer than this a place is always in sight."""


def point_along(route: np.ndarray, metres: float) -> np.ndarray:
    """(2,) the point of a polyline (R, 2) that lies some metres along it, its end at the most."""
    along = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(route, axis=0), axis=1))])
    return np.array([np.interp(metres, along, route[:, k]) for k in range(2)])


def corner_along(route: np.ndarray, beyond_m: float = CORNER_M) -> float:
    """Metres along a polyline (R, 2) to its first sharp corner no nearer than `beyond_m`; inf
    without one.
    """
    steps = np.diff(route, axis=0)
    along = np.cumsum(np.linalg.norm(steps, axis=1))
    ways = np.arctan2(steps[:, 1], steps[:, 0])
    sharp = np.cos(np.diff(ways)) < np.cos(CORNER_RAD)
    found = along[:-1][sharp & (along[:-1] >= beyond_m)]
    return float(found[0]) if len(found) else np.inf


def detour(view: PlannerView, late_s: float) -> np.ndarray | None:
    """(2,) a place on the route to reach first, where it departs from the goal's direction or from
    the robot's; None where it does not.
    """
    route = np.asarray(view.route, dtype=np.float64).reshape(-1, 2)
    if len(route) < 2:
        return None
    goal = route[-1]
    straight, length = np.linalg.norm(goal), np.linalg.norm(np.diff(route, axis=0), axis=1).sum()
    ahead = point_along(route, AHEAD_M)
    off = np.arctan2(ahead[1], ahead[0]) - np.arctan2(goal[1], goal[0])
    behind = abs(np.arctan2(ahead[1], ahead[0])) > BEHIND_RAD
    if not behind and np.cos(off) > np.cos(DEPARTS_RAD) and length < LONGER * straight + 1.0:
        return None
    driven = late_s * PACE
    metres = min(AHEAD_M + driven, corner_along(route, CORNER_M + driven))
    for tried in (*np.arange(metres, SAFE_M, -1.0), SAFE_M):  # the farthest in sight
        place = point_along(route, min(tried, metres))
        if in_sight(place, view.trail) and np.linalg.norm(place) > REACHED_M:
            return place
    return None


class OraclePlanner(AtOnce):
    """Manners first, then the way: `advise`, which reads people's true courses, and else a subgoal
    on the route.

    Args:
        seconds: how late its answers will be; the runtime is what makes them late.
    """

    def __init__(self, seconds: float):
        self.seconds = seconds

    def answer(self, views: Sequence[PlannerView]) -> list[Directive]:
        """See `Thinker`."""
        return [self._advise(view) for view in views]

    def _advise(self, view: PlannerView) -> Directive:
        said = advise(view)
        place = detour(view, self.seconds) if said.kind == "none" else None
        if place is None:
            return said
        return make(
            view.now_s, "subgoal", point=(float(place[0]), float(place[1])), reason="the way round"
        )
