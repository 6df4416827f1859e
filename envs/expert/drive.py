"""Agents that need no learning and look at the worlds themselves: the privileged expert, and rules
such as straight at the goal.
"""

from collections.abc import Callable

import numpy as np

from s2e.core.observation import to_robot
from s2e.envs.expert.expert import Expert
from s2e.envs.geometry.astar import ROUTE_CLEARANCE_M, astar, path_length
from s2e.envs.worlds import Worlds


class ExpertAgent:
    """Plans a route when a world begins an episode and drives it."""

    def __init__(self, worlds: Worlds):
        self.worlds, self.expert = worlds, Expert(worlds.fleet)

    def reset(self, worlds: np.ndarray) -> None:
        """Plans for worlds that begin an episode."""
        for world in worlds:
            if self.worlds.live[world]:
                self.expert.plan(int(world), route(self.worlds, int(world)))

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


def route(worlds: Worlds, world: int) -> np.ndarray:
    """(K, 2) from a robot to its goal over what it can climb; just the goal where there is no
    way.
    """
    occupancy, distance = worlds.route_map(world)
    here, goal = worlds.pose[world, :2], worlds.goal[world]
    for clearance in (ROUTE_CLEARANCE_M, float(worlds.fleet.disc_radius[world]) + 0.02):
        path = astar(occupancy, distance, here, goal, clearance)
        if path is not None:
            return path
    return np.array([here, goal])


def remaining_route(worlds: Worlds, world: int) -> float:
    """Metres of route that are left to the goal of a world."""
    return path_length(route(worlds, world))
