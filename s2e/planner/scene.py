"""What a planner sees, and what every planner can do."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from s2e.planner.directive import Directive


@dataclass(frozen=True)
class PlannerView:
    """One world at one moment.

    Attributes:
        now_s: time of the observation; simulated time in a simulator.
        pose: (3,) x, y, yaw of the robot in the world or odometry frame.
        speed: forward speed of the robot, m/s.
        goal_xy_robot: (2,) the goal in the robot's frame, metres.
        people: (K, 4) x, y, vx, vy of people: places relative to the robot, velocities over ground,
            both along the robot's axes. The rules planner reads them; an endpoint gets them only
            when there is no image.
        candidates: (M, T, 2) the policy's trajectories in the robot's frame, metres, one waypoint
            every `step_s`.
        log_scores: (M,) the policy's scores of them.
        image: (H, W, 3) uint8 RGB, or None.
        step_s: seconds between the waypoints of a candidate; the first lies one step ahead.
    """

    now_s: float
    pose: np.ndarray
    speed: float
    goal_xy_robot: np.ndarray
    people: np.ndarray
    candidates: np.ndarray
    log_scores: np.ndarray
    image: np.ndarray | None = None
    step_s: float = 0.2


@dataclass(frozen=True)
class Statistics:
    """How a planner has answered so far.

    Attributes:
        counts: questions by what became of them; `asked`, `answered` and `advised` (answers with
            advice) are always there.
        latencies_s: how long the newest answers took, seconds of wall time; empty where answers
            come at once.
    """

    counts: dict[str, int]
    latencies_s: tuple[float, ...]


class Planner(Protocol):
    """One world's slow planner. No method raises or waits because of what a planner answers."""

    def submit(self, view: PlannerView) -> None:
        """Offers an observation; call it every control step, the planner decides what it looks
        at.
        """
        ...

    def latest(self, now_s: float) -> Directive | None:
        """The newest advice, by the time of its observation, that still holds; None without one."""
        ...

    def problem(self) -> str:
        """Asks once, before a run, and waits a few seconds at most: what is wrong, as the end of a
        sentence; "" if nothing.
        """
        ...

    def statistics(self) -> Statistics:
        """Counts and latencies since the start."""
        ...

    def close(self) -> None:
        """Ends what still runs; later calls do nothing."""
        ...
