"""Agents that need no learning and look at the worlds themselves: the privileged expert, and rules
such as straight at the goal.
"""

from collections.abc import Callable, Sequence

import numpy as np

from s2e.core.observation import to_robot
from s2e.envs.expert.expert import Expert
from s2e.envs.geometry.astar import ROUTE_CLEARANCE_M, astar, path_length
from s2e.envs.geometry.meshes import mark
from s2e.envs.geometry.occupancy import Occupancy
from s2e.envs.people.crowd import PERSON_RADIUS
from s2e.envs.people.people import STAND
from s2e.envs.streets.objects import hull
from s2e.envs.worlds import Worlds


class ExpertAgent:
    """Plans a route when a world begins an episode and drives it; who stand in a group are walked
    around, not through.
    """

    def __init__(self, worlds: Worlds):
        self.worlds, self.expert = worlds, Expert(worlds.fleet)

    def reset(self, worlds: np.ndarray) -> None:
        """Plans for worlds that begin an episode."""
        for world in worlds:
            if self.worlds.live[world]:
                around = groups(self.worlds, int(world))
                self.expert.plan(int(world), route(self.worlds, int(world), around))

    def act(self, *_: object) -> np.ndarray:
        """(N, 2) waypoints."""
        w = self.worlds
        return self.expert.act(
            w.pose,
            w.velocity,
            w.people.position,
            w.people.velocity,
            w.people.active,
            w.fields,
            w.field_id,
        )


class RuleAgent:
    """Drives by a rule that maps worlds to (N, 2) waypoints and remembers nothing."""

    def __init__(self, worlds: Worlds, rule: Callable[[Worlds], np.ndarray]):
        self.worlds, self.rule = worlds, rule

    def reset(self, worlds: np.ndarray) -> None:
        """There is nothing to forget."""

    def act(self, *_: object) -> np.ndarray:
        """(N, 2) waypoints."""
        return self.rule(self.worlds)


def straight(worlds: Worlds, speed: float = 1.0) -> np.ndarray:
    """(N, 2) waypoints straight at the goal at a walking pace."""
    goal = to_robot(worlds.goal, worlds.pose)
    distance = np.linalg.norm(goal, axis=1, keepdims=True)
    return goal * np.minimum(1.0, speed / np.maximum(distance, 1e-9))


def still(worlds: Worlds) -> np.ndarray:
    """(N, 2) waypoints of robots that stand."""
    return np.zeros((worlds.count, 2))


def groups(worlds: Worlds, world: int) -> list[np.ndarray]:
    """(K, 2) convex outlines around the people of each group that stands in a world."""
    people = worlds.people
    stands = people.active[world] & (people.behaviour[world] == STAND) & (people.group[world] >= 0)
    angles = np.arange(8) * np.pi / 4
    body = PERSON_RADIUS * np.stack([np.cos(angles), np.sin(angles)], 1)
    found = []
    for number in np.unique(people.group[world][stands]):
        members = people.position[world][stands & (people.group[world] == number)]
        found.append(hull((members[:, None] + body).reshape(-1, 2)))
    return found


def route(worlds: Worlds, world: int, around: Sequence[np.ndarray] = ()) -> np.ndarray:
    """(K, 2) from a robot to its goal over what it can climb; just the goal where there is no way.

    Args:
        worlds, world: whose. around: (K, 2) convex outlines that it leaves out if it can.
    """
    occupancy, distance = worlds.route_map(world)
    here, goal = worlds.pose[world, :2], worlds.goal[world]
    clearances = ROUTE_CLEARANCE_M, float(worlds.fleet.disc_radius[world]) + 0.02
    maps = [(occupancy, distance)]
    if around:
        grid = occupancy.grid.copy()
        for outline in around:
            mark(grid, occupancy.origin, occupancy.resolution, outline)
        kept = Occupancy(grid, occupancy.origin, occupancy.resolution)
        maps.insert(0, (kept, kept.distance()))
    for at, room in maps:
        for clearance in clearances:
            path = astar(at, room, here, goal, clearance)
            if path is not None:
                return path
    return np.array([here, goal])


def remaining_route(worlds: Worlds, world: int) -> float:
    """Metres of route that are left to the goal of a world."""
    return path_length(route(worlds, world))
