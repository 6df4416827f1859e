"""Coaches: who looks on while a policy drives and says, at every frame that it drives into, what he
would do there.

A policy that imitates drives of others meets situations of its own making that nobody showed it. A
coach labels just those (DAgger, Ross et al. 2011), and he should see no more than the policy can:
imitation of what cannot be seen teaches to guess. So the coach is a policy on rays inside the
camera's field of view; the privileged planner is there for comparison.
"""

from collections.abc import Callable
from typing import Protocol

import numpy as np

from s2e.core.observation import to_robot
from s2e.envs.expert.drive import ExpertAgent
from s2e.envs.rays import RayAgent, load_rays
from s2e.envs.robots.collision import sweep
from s2e.envs.robots.controller import command_to_waypoint, waypoint_to_command
from s2e.envs.robots.fleet import CONTROL_S
from s2e.envs.robots.kinematic import step_robots
from s2e.envs.worlds import ACTION_HORIZON_S, Worlds

WAYPOINTS = 10
STEADY = 2
"""Steps over which the coach's commands are averaged to say what he means: learned by PPO, he
steers by jerks that nobody can foresee. At 2 he drives as well as at 1, at 3 a little worse, at 5
much."""
LABEL = 2 + 2 * WAYPOINTS
"""Numbers of a label: the coach's action, and the way that he would go in the next two seconds;
metres in the robot's frame."""


class Coach(Protocol):
    """Who labels frames."""

    def begin(self, worlds: np.ndarray) -> None:
        """Worlds begin an episode."""
        ...

    def label(self) -> np.ndarray:
        """(N, LABEL) float32 for where the worlds are now; called once a step."""
        ...

    def arrays(self) -> dict[str, np.ndarray]:
        """What `restore` needs."""
        ...

    def restore(self, arrays: dict[str, np.ndarray]) -> None:
        """Puts back what `arrays` gave."""
        ...


Act = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
"""Poses (N, 3), velocities (N, 3) and people (N, P, 2) to waypoints (N, 2)."""


def drive_on(worlds: Worlds, action: np.ndarray, act: Act) -> tuple[np.ndarray, np.ndarray]:
    """Where robots would be every 0.2 s of two seconds, after `action` (N, 2) and then what `act`
    says; people walk straight on.

    Returns:
        (N, WAYPOINTS, 2) metres in each robot's frame, and (N, WAYPOINTS, 3) what their controllers
        were told: m/s, rad/s, m/s aside. The worlds stay as they are.
    """
    w, people_xy = worlds, worlds.people.position
    pose, velocity = w.pose, w.velocity
    way, commands = np.empty((w.count, WAYPOINTS, 2)), np.empty((w.count, WAYPOINTS, 3))
    for k in range(WAYPOINTS):
        action = act(pose, velocity, people_xy) if k else action
        command = commands[:, k] = waypoint_to_command(action, ACTION_HORIZON_S, w.fleet)
        for _ in range(w.config.controls_per_step):
            wanted, driven = step_robots(w.fleet, pose, velocity, command, CONTROL_S)
            pose, blocked = sweep(w.fleet, pose, wanted, w.fields, w.field_id)
            velocity = np.where(blocked[:, None], 0.0, driven)
            people_xy = people_xy + CONTROL_S * w.people.velocity
        way[:, k] = pose[:, :2]
    return to_robot(way, w.pose[:, None]), commands


class RayCoach:
    """A ray policy. Where it would be in two seconds a ghost finds out, who drives on from here
    without touching the worlds.

    Args:
        worlds: N of them. path: the policy. nearer_m: how much nearer than they are things seem to
            it, so that it keeps as much more distance where there is room: those who learn from it
            judge distances by images.
    """

    def __init__(self, worlds: Worlds, path: str, nearer_m: float = 0.0):
        self.worlds = worlds
        self.agent = RayAgent(worlds, load_rays(path, worlds.config.robots), nearer_m=nearer_m)

    def begin(self, worlds: np.ndarray) -> None:
        """See `Coach.begin`."""
        self.agent.reset(worlds)

    def label(self) -> np.ndarray:
        """See `Coach.label`."""
        action = self.agent.act()
        way, commands = self.ghost(action)
        meant = command_to_waypoint(commands[:, :STEADY].mean(1), ACTION_HORIZON_S)
        aside = (commands[:, :STEADY, 2] != 0).any(1)  # who steps aside means it
        action = np.where(aside[:, None], action, meant)
        return np.concatenate([action, way.reshape(len(action), -1)], 1).astype(np.float32)

    def arrays(self) -> dict[str, np.ndarray]:
        """See `Coach.arrays`."""
        return self.agent.sense.arrays()

    def restore(self, arrays: dict[str, np.ndarray]) -> None:
        """See `Coach.restore`."""
        self.agent.sense.restore(arrays)

    def ghost(self, action: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """`drive_on` as if the coach drove."""
        w, policy, sense = self.worlds, self.agent.policy, self.agent.sense
        every = np.arange(w.count)

        def act(pose: np.ndarray, velocity: np.ndarray, people_xy: np.ndarray) -> np.ndarray:
            return policy.waypoints(
                sense.peek(every, pose, velocity, people_xy), w.fleet.limits[:, 0]
            )

        return drive_on(w, action, act)


class ExpertCoach:
    """The privileged planner: it sees the map and people behind walls. Its way is the arc of what
    it does now.
    """

    def __init__(self, worlds: Worlds):
        self.worlds, self.agent = worlds, ExpertAgent(worlds)

    def begin(self, worlds: np.ndarray) -> None:
        """See `Coach.begin`."""
        self.agent.reset(worlds)

    def label(self) -> np.ndarray:
        """See `Coach.label`."""
        action = self.agent.act()
        way, _ = drive_on(self.worlds, action, lambda *_: action)
        return np.concatenate([action, way.reshape(len(way), -1)], 1).astype(np.float32)

    def arrays(self) -> dict[str, np.ndarray]:
        """See `Coach.arrays`."""
        return self.agent.expert.arrays()

    def restore(self, arrays: dict[str, np.ndarray]) -> None:
        """See `Coach.restore`."""
        self.agent.expert.restore(arrays)


def make_coach(name: str, worlds: Worlds, nearer_m: float = 0.0) -> Coach | None:
    """The coach that `--coach` names: none, expert, or a ray policy (a shipped one's name, a run or
    a checkpoint); see `RayCoach`.

    Raises:
        UserError: there is no such ray policy, or it was trained for other robots or cameras.
    """
    if name == "none":
        return None
    return ExpertCoach(worlds) if name == "expert" else RayCoach(worlds, name, nearer_m)
