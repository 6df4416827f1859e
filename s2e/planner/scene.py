"""What a planner sees, and what every planner can do."""

from collections.abc import Sequence
from dataclasses import dataclass, field
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
        camera: (3, 4) of the image: (x ahead, y left, z up from the ground, 1) to (u w, v w, w),
            pixels times depth in metres; None where it is not known.
        past_images: what was seen before, oldest first: at most two, a second apart.
        trail: (P, 3) x, y, yaw in the robot's present frame of where it has been, oldest first, one
            a second, the last minute.
        route: (R, 2) the rest of the way to the goal that a map knows, in the robot's frame; only
            `oracle` reads it, and it is empty where there is no map.
        task: the errand in words: where the goal is, a rule such as "keep right", a route; "" is
            none.
        rule: the rule in one word, which planners without a language read: "keep_right",
            "keep_left", "wait"; "" is none.
        episode: its name, which what is drawn by chance depends on.
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
    camera: np.ndarray | None = None
    past_images: tuple[np.ndarray, ...] = ()
    trail: np.ndarray = field(default_factory=lambda: np.zeros((0, 3)))
    route: np.ndarray = field(default_factory=lambda: np.zeros((0, 2)))
    task: str = ""
    rule: str = ""
    episode: str = ""


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


class Thinker(Protocol):
    """Who thinks about what is seen. It remembers nothing from view to view, and may be asked from
    several threads at once; when it is asked, and what its answers do, is the runtime's business.
    """

    def answer(self, views: Sequence[PlannerView]) -> list[Directive]:
        """Thinks about some worlds (V,) at once, and waits for the answers: V directives in their
        order, each with its view's `now_s` as stamp.

        It never raises because of an answer: what cannot be read is a `none` with the reason
        `UNPARSED`, what never came is a `none` whose reason begins with `FAILED`.
        """
        ...

    def problem(self) -> str:
        """Asks once, before a run, and waits a few seconds at most: what is wrong, as the end of a
        sentence; "" if nothing.
        """
        ...

    def statistics(self) -> Statistics:
        """What it alone counts, since the start, and how long its answers took."""
        ...

    def close(self) -> None:
        """Ends what still runs; questions after that get no advice."""
        ...


class AtOnce:
    """What planners have in common that compute their answers here and now."""

    def problem(self) -> str:
        """None: they always answer."""
        return ""

    def statistics(self) -> Statistics:
        """Nothing that the runtime does not count."""
        return Statistics({}, ())

    def close(self) -> None:
        """Nothing runs."""
