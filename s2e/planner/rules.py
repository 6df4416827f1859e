"""A planner of three rules on the simulator's people: go round behind them, else yield, else go
slowly.
"""

from collections.abc import Sequence

import numpy as np

from s2e.planner.directive import Directive, make
from s2e.planner.scene import PlannerView, Statistics

NEAR_M = 4.0
CLEARANCE_M = 0.7
"""Distance between centres below which a robot and a person are too close."""
MOVING = 0.2
"""Speed, m/s, from which a person counts as walking; only for walking people is it worth
stopping."""
YIELD_S = 1.5
MAX_LOSS = 3.0
"""A detour may cost this much log score against the policy's favourite."""


def clearances(view: PlannerView, people: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How close each candidate comes to people who keep walking as they do.

    Args:
        view: the observation.
        people: (K, 4) the ones to consider, K >= 1.

    Returns:
        (M,) smallest distance, metres, and (M,) time to collision: seconds until a distance under
            CLEARANCE_M,
        inf if there is none.
    """
    times = view.step_s * np.arange(1, view.candidates.shape[1] + 1)
    walks = people[:, None, :2] + times[None, :, None] * people[:, None, 2:]
    gaps = np.linalg.norm(view.candidates[:, None] - walks[None], axis=-1).min(axis=1)
    hit = gaps < CLEARANCE_M
    return gaps.min(axis=1), np.where(hit.any(axis=1), times[np.argmax(hit, axis=1)], np.inf)


def advise(view: PlannerView) -> Directive:
    """The directive for one observation.

    Nobody within NEAR_M ahead, or the policy's favourite keeps clear of them: `none`. Else, in this
    order: `select` the best candidate that keeps clear, first those that pass behind a person who
    crosses; `stop` for a person who walks and is close in time; go `slow`. A person who stands
    still never stops the robot for good.
    """
    people = np.asarray(view.people, dtype=np.float64).reshape(-1, 4)
    near = (np.linalg.norm(people[:, :2], axis=1) < NEAR_M) & (people[:, 0] > 0.0)
    people = people[near]
    if len(people) == 0 or len(view.candidates) == 0:
        return make(view.now_s, "none", reason="nobody ahead")
    clearance, collision_s = clearances(view, people)
    favourite = int(np.argmax(view.log_scores))
    if not np.isfinite(collision_s[favourite]):
        return make(view.now_s, "none", reason="clear of people")
    person = people[np.argmin(np.linalg.norm(people[:, :2], axis=1))]
    ends = view.candidates[:, -1]
    bearing = np.arctan2(ends[:, 1], ends[:, 0])
    loss = view.log_scores[favourite] - view.log_scores
    usable = (clearance >= CLEARANCE_M) & (loss <= MAX_LOSS)
    if usable.any():
        behind = (
            (bearing - bearing[favourite]) * person[3] < 0
            if abs(person[3]) > MOVING
            else np.zeros(len(ends), bool)
        )
        pick = int(np.argmax(np.where(usable, 100.0 * behind - loss, -np.inf)))
        reason = "pass behind" if behind[pick] else "keep clear"
        return make(view.now_s, "select", index=pick, reason=reason)
    walking = np.linalg.norm(person[2:]) > MOVING
    if walking and collision_s[favourite] < YIELD_S:
        return make(view.now_s, "stop", reason="yield")
    return make(view.now_s, "speed", speed="slow", reason="person ahead")


class RulesPlanner:
    """`advise` behind the interface of every planner; it answers at once."""

    def __init__(self):
        self._latest: Directive | None = None
        self._asked = 0
        self._given = 0

    def answer(self, views: Sequence[PlannerView]) -> list[Directive]:
        """See `Thinker`, and `advise`."""
        return [advise(view) for view in views]

    def submit(self, view: PlannerView) -> None:
        """Looks at an observation."""
        self._latest = advise(view)
        self._asked += 1
        self._given += self._latest.kind != "none"

    def latest(self, now_s: float) -> Directive | None:
        """The advice on the last observation, if there was any and it still holds."""
        directive = self._latest
        if (
            directive is None
            or directive.kind == "none"
            or not directive.stamp_s <= now_s < directive.expires_s()
        ):
            return None
        return directive

    def statistics(self) -> Statistics:
        """`asked` observations, `answered` (all of them), `advised` (those with advice)."""
        return Statistics(
            {"asked": self._asked, "answered": self._asked, "advised": self._given}, ()
        )

    def problem(self) -> str:
        """None: rules always answer."""
        return ""

    def close(self) -> None:
        """Forgets the last advice."""
        self._latest = None
