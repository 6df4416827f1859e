"""A privileged expert: follows an A* route and steers around people with sampled arcs.

It sees distance fields and people directly. It labels training data and is the benchmark's upper
baseline. The local planner is a dynamic-window search (Fox et al. 1997) that rolls the robot's own
dynamics out.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numba
import numpy as np

from s2e.core.errors import UserError
from s2e.core.state import ArrayState
from s2e.envs.geometry.occupancy import DistanceFields
from s2e.envs.people.crowd import PERSON_RADIUS
from s2e.envs.robots.collision import field_at
from s2e.envs.robots.fleet import Fleet
from s2e.envs.robots.kinds import DRIVES, advance

HORIZON_S = 1.0
"""The returned waypoint is to be reached in this time."""

SPACING = 0.2  # between the points of a stored route, metres
STEPS = 10  # of a rollout
STEP_S = 0.24
WALL_MARGIN = 0.06  # room to walls that a rollout must keep, metres
WALL_COMFORT = 0.35  # room to walls below which it pays, metres
PEOPLE_MARGIN = 0.15  # the same two, to where people are expected
PEOPLE_COMFORT = 0.8


def command_candidates(fleet: Fleet, world: int) -> np.ndarray:
    """(63, 2) v, omega that the planner tries in a world; the first is to stop, as are the next two
    where nobody turns in place.
    """
    v_max, omega_max, curvature_max = fleet.limits[world, [0, 3, 5]]
    in_place = 0.0 if fleet.drive[world] == DRIVES.index("ackermann") else omega_max
    rows = [(0.0, 0.0), (0.0, in_place), (0.0, -in_place)]
    for v in v_max * np.array([0.2, 0.45, 0.7, 1.0]):
        widest = min(omega_max, curvature_max * v)
        # Denser around straight ahead, where small corrections matter.
        rows += [(v, widest * s * abs(s) ** 0.5) for s in np.linspace(-1.0, 1.0, 15)]
    return np.array(rows, dtype=np.float64)


@numba.njit(cache=True)
def _square(route, k, x, y):
    return (route[k, 0] - x) ** 2 + (route[k, 1] - y) ** 2


@numba.njit(cache=True)
def _nearest(route, first, last, x, y):
    """Index of the point of route[first:last + 1] nearest to (x, y), and its distance."""
    best, index = 1e18, first
    for k in range(first, last + 1):
        d = _square(route, k, x, y)
        if d < best:
            best, index = d, k
    return index, math.sqrt(best)


@numba.njit(cache=True, parallel=True)
def _plan(
    # `ExpertState`
    routes,
    counts,
    progress,
    waited,
    # robots, and people in sight
    poses,
    vel,
    people,
    people_vel,
    active,
    # `DistanceFields`, and which each robot moves in
    values,
    start,
    shape,
    frame,
    ids,
    # `Fleet`, what to try, and what is chosen of it: written
    all_discs,
    radii,
    all_limits,
    all_candidates,
    chosen,
):
    for n in numba.prange(poses.shape[0]):
        route, last, scene = routes[n], counts[n] - 1, ids[n]
        discs, radius = all_discs[n], radii[n]
        limits, candidates = all_limits[n], all_candidates[n]
        reach = radius
        for offset in discs:
            reach = max(reach, abs(offset) + radius)
        chosen[n, 0], chosen[n, 1] = 0.0, 0.0
        if last < 0:
            continue
        at, off = _nearest(
            route, max(progress[n] - 3, 0), min(progress[n] + 10, last), poses[n, 0], poses[n, 1]
        )
        if off > 3.0:
            at, off = _nearest(route, 0, last, poses[n, 0], poses[n, 1])
        progress[n] = at
        # To brake in time is possible, but a dead end; only who stands anyway has nothing to lose
        # by trying.
        caution = 3.0 if vel[n, 0] > 0.3 else 0.4
        # Who stands nearer to a wall or a person than the margin may still go, but no nearer.
        cos_yaw, sin_yaw = math.cos(poses[n, 2]), math.sin(poses[n, 2])
        margin, people_margin = WALL_MARGIN, PEOPLE_MARGIN
        for offset in discs:
            x, y = poses[n, 0] + offset * cos_yaw, poses[n, 1] + offset * sin_yaw
            margin = min(margin, field_at(values, start, shape, frame, scene, x, y) - radius - 0.01)
            for p in range(people.shape[1]):
                if active[n, p]:
                    gap = (
                        math.sqrt((people[n, p, 0] - x) ** 2 + (people[n, p, 1] - y) ** 2)
                        - radius
                        - PERSON_RADIUS
                    )
                    people_margin = min(people_margin, gap - 0.02)
        margin, people_margin = max(margin, 0.005), max(people_margin, 0.02)
        ahead = min(at + 4, last)
        first_aim = math.atan2(route[ahead, 1] - poses[n, 1], route[ahead, 0] - poses[n, 0])
        lowest = 1e18
        for k in range(candidates.shape[0]):
            x, y, yaw = poses[n, 0], poses[n, 1], poses[n, 2]
            v, omega = vel[n, 0], vel[n, 1]
            wall_gap, j = WALL_COMFORT, at
            people_cost, crash = 0.0, 0.0
            for step in range(STEPS):
                x, y, yaw, v, omega = advance(
                    x, y, yaw, v, omega, candidates[k, 0], candidates[k, 1], limits, STEP_S
                )
                t = (step + 1) * STEP_S
                if (
                    candidates[k, 0] == 0.0
                    and candidates[k, 1] != 0.0
                    and math.cos(first_aim - yaw) > 0.95
                ):
                    break  # turned enough
                # Follows the route along, so that a rollout never counts as being on a leg behind a
                # wall.
                while j < last and _square(route, j + 1, x, y) <= _square(route, j, x, y):
                    j += 1
                cos_yaw, sin_yaw = math.cos(yaw), math.sin(yaw)
                gap = field_at(values, start, shape, frame, scene, x, y) - reach
                if gap < WALL_COMFORT:
                    gap = 1e18
                    for offset in discs:
                        px, py = x + offset * cos_yaw, y + offset * sin_yaw
                        gap = min(
                            gap, field_at(values, start, shape, frame, scene, px, py) - radius
                        )
                    wall_gap = min(wall_gap, gap)
                    if gap < (margin if v < 0.4 else WALL_MARGIN) and (
                        v > 0.02 or abs(omega) > 0.02
                    ):  # the rollout ends here
                        early = 1.0 - step / STEPS
                        crash = (
                            60.0 + 10.0 * early
                            if t < 0.5 + v / limits[2]
                            else caution * (1.0 + early)
                        )
                        break
                for p in range(people.shape[1]):
                    if not active[n, p]:
                        continue
                    px, py = (
                        people[n, p, 0] + t * people_vel[n, p, 0],
                        people[n, p, 1] + t * people_vel[n, p, 1],
                    )
                    if (px - x) ** 2 + (py - y) ** 2 > (
                        reach + PERSON_RADIUS + PEOPLE_COMFORT
                    ) ** 2:
                        continue
                    gap = 1e18
                    for offset in discs:
                        dx, dy = px - x - offset * cos_yaw, py - y - offset * sin_yaw
                        gap = min(gap, math.sqrt(dx * dx + dy * dy) - radius - PERSON_RADIUS)
                    if gap < people_margin:
                        people_cost += (8.0 if v > 0.1 or abs(omega) > 0.1 else 1.0) * math.exp(
                            -t / 1.5
                        )
                    elif gap < PEOPLE_COMFORT:
                        people_cost += 0.5 * (1.0 - gap / PEOPLE_COMFORT) ** 2 * math.exp(-t / 1.5)
            if crash + people_cost - STEPS * STEP_S * limits[0] - SPACING > lowest:
                continue  # no progress makes up for that
            cross = math.sqrt(_square(route, j, x, y))
            ahead = min(j + 4, last)
            aim = math.atan2(route[ahead, 1] - y, route[ahead, 0] - x) if j < last else yaw
            cost = (
                crash
                + people_cost
                + 0.7 * cross
                + 1.5 * max(cross - 0.6, 0.0) ** 2
                - SPACING * (j - at)
            )
            cost += 0.6 * (1.0 - math.cos(aim - yaw))
            cost += 2.0 * ((WALL_COMFORT - wall_gap) / WALL_COMFORT) ** 2
            cost += 0.1 * abs(candidates[k, 1] - vel[n, 1]) + 0.05 * abs(
                candidates[k, 0] - vel[n, 0]
            )
            if candidates[k, 0] == 0.0:
                cost += 0.2 + 0.05 * waited[n]
            if cost < lowest:
                lowest = cost
                chosen[n, 0], chosen[n, 1] = candidates[k, 0], candidates[k, 1]
        # Patience ends: a stand-off with a person, or a corner no single arc leads out of, must not
        # last.
        waited[n] = waited[n] + 1 if chosen[n, 0] == 0.0 else max(waited[n] - 5, 0)


def command_to_waypoint(commands: np.ndarray) -> np.ndarray:
    """The waypoint (N, 2) that `waypoint_to_command` turns back into commands (N, 2) of v and
    omega, for `HORIZON_S`.

    It is the end of the command's arc; the origin for a stop; a point beside and a little behind to
    turn in place.
    """
    v, omega = commands[:, 0], commands[:, 1]
    half = 0.5 * omega * HORIZON_S
    chord = v * HORIZON_S * np.sinc(half / np.pi)
    arc = np.stack([chord * np.cos(half), chord * np.sin(half)], axis=1)
    beside = np.stack([np.full_like(v, -0.05), 0.4 * np.sign(omega)], axis=1)
    in_place = (v == 0.0) & (omega != 0.0)
    return np.where(in_place[:, None], beside, arc)


@dataclass(eq=False)
class ExpertState(ArrayState):
    """Routes of N worlds and how far along them each is.

    Attributes:
        routes: (N, K, 2) metres, of which the first `counts` (N,) int64 are points of the route.
        progress: (N,) int64, the point that is passed. waited: (N,) int64, steps without moving.
        candidates: (N, 63, 2) the commands that are tried.
    """

    routes: np.ndarray
    counts: np.ndarray
    progress: np.ndarray
    waited: np.ndarray
    candidates: np.ndarray

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        """See `ArrayState.restore`; routes may be of another length."""
        if "routes" in arrays:
            self.routes = np.zeros_like(arrays["routes"])
        super().restore(arrays)


class Expert(ExpertState):
    """Drives N worlds along planned routes. Each world's route and progress along it are its only
    state.

    Args:
        fleet: the robots of N worlds; the caller keeps its rows current, before it plans.
    """

    def __init__(self, fleet: Fleet):
        self.fleet, worlds = fleet, fleet.count
        super().__init__(
            routes=np.zeros((worlds, 256, 2)),
            counts=np.zeros(worlds, dtype=np.int64),
            progress=np.zeros(worlds, dtype=np.int64),
            waited=np.zeros(worlds, dtype=np.int64),
            candidates=np.stack([command_candidates(fleet, world) for world in range(worlds)]),
        )

    def plan(self, world_index: int, path: np.ndarray) -> None:
        """Sets the route (K, 2) of one world, metres, as `astar` returns it; a world without one
        stands still.

        Raises:
            UserError: the path is not (K, 2) with K >= 1.
        """
        path = np.asarray(path, dtype=np.float64)
        if path.ndim != 2 or path.shape[1] != 2 or len(path) == 0 or not np.isfinite(path).all():
            raise UserError(
                f"path of world {world_index} has shape {path.shape}: give finite points (K, 2), K "
                ">= 1"
            )
        along = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(path, axis=0), axis=1))])
        count = int(np.ceil(along[-1] / SPACING)) + 1
        at = np.linspace(0.0, along[-1], count)
        if count > self.routes.shape[1]:
            more = np.zeros((len(self.counts), count - self.routes.shape[1], 2))
            self.routes = np.ascontiguousarray(np.concatenate([self.routes, more], axis=1))
        for axis in range(2):
            self.routes[world_index, :count, axis] = np.interp(at, along, path[:, axis])
        self.counts[world_index] = count
        self.progress[world_index] = 0
        self.waited[world_index] = 0
        self.candidates[world_index] = command_candidates(self.fleet, world_index)

    def act(
        self,
        poses: np.ndarray,
        velocities: np.ndarray,
        people_xy: np.ndarray,
        people_velocities: np.ndarray,
        active: np.ndarray,
        fields: DistanceFields,
        field_id: np.ndarray,
    ) -> np.ndarray:
        """The next waypoint of every world.

        Args:
            poses: (N, 3) x, y, yaw.
            velocities: (N, 2 or 3) v, omega first.
            people_xy: (N, P, 2) metres.
            people_velocities: (N, P, 2) m/s; people are taken to keep them.
            active: (N, P) bool.
            fields: distance fields, for each robot's height of step.
            field_id: (N,) integer, which field each robot moves in.

        Returns:
            (N, 2) in the robots' frames, metres, to be reached in `HORIZON_S`.
        """
        chosen = np.empty((len(self.counts), 2))
        _plan(
            self.routes,
            self.counts,
            self.progress,
            self.waited,
            np.ascontiguousarray(poses, dtype=np.float64),
            np.ascontiguousarray(velocities, dtype=np.float64),
            np.ascontiguousarray(people_xy, dtype=np.float64),
            np.ascontiguousarray(people_velocities, dtype=np.float64),
            np.ascontiguousarray(active, dtype=np.bool_),
            fields.values,
            fields.start,
            fields.shape,
            fields.frame,
            np.ascontiguousarray(field_id, dtype=np.int64),
            self.fleet.discs,
            self.fleet.disc_radius,
            self.fleet.limits,
            self.candidates,
            chosen,
        )
        return command_to_waypoint(chosen)
