"""Drivers that need no learning: the privileged expert, straight at the goal, and standing
still.
"""

import numpy as np

from s2e.core.observation import to_robot
from s2e.envs.expert.expert import Expert
from s2e.envs.geometry.astar import ROUTE_CLEARANCE_M, astar, path_length
from s2e.envs.worlds import Worlds


class ExpertDriver:
    """Plans a route when a world begins an episode and drives it."""

    def __init__(self, worlds: Worlds):
        self.worlds, self.expert = worlds, Expert(worlds.fleet)

    def begin(self, worlds: np.ndarray) -> None:
        """Plans for worlds that began an episode."""
        for world in worlds:
            if self.worlds.live[world]:
                self.expert.plan(int(world), self.route(int(world)))

    def route(self, world: int) -> np.ndarray:
        """(K, 2) from the robot to its goal over what it can climb; just the goal where there is no
        way.
        """
        occupancy, distance = self.worlds.route_map(world)
        here, goal = self.worlds.pose[world, :2], self.worlds.goal[world]
        for clearance in (ROUTE_CLEARANCE_M, float(self.worlds.fleet.disc_radius[world]) + 0.02):
            path = astar(occupancy, distance, here, goal, clearance)
            if path is not None:
                return path
        return np.array([here, goal])

    def act(self) -> np.ndarray:
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


def straight(worlds: Worlds, speed: float = 1.0) -> np.ndarray:
    """(N, 2) waypoints straight at the goal at a walking pace."""
    goal = to_robot(worlds.goal, worlds.pose)
    distance = np.linalg.norm(goal, axis=1, keepdims=True)
    return goal * np.minimum(1.0, speed / np.maximum(distance, 1e-9))


def remaining_route(driver: ExpertDriver, world: int) -> float:
    """Metres of route that are left to the goal of a world."""
    return path_length(driver.route(world))
