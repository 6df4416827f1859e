"""A planner of a few rules on the simulator's people and the errand's rule: pass on the agreed
side, go round behind who crosses, else yield, else go slowly.
"""

from collections.abc import Sequence

import numpy as np

from s2e.core.observation import wrapped
from s2e.planner.directive import Directive, make
from s2e.planner.scene import AtOnce, PlannerView

NEAR_M = 4.0
CLEARANCE_M = 0.7
"""Distance between centres below which a robot and a person are too close."""
MOVING = 0.2
"""Speed, m/s, from which a person counts as walking; only for walking people is it worth
stopping."""
YIELD_S = 1.5
MAX_LOSS = 3.0
"""A detour may cost this much log score against the policy's favourite."""
MEET_M, MEET_ASIDE_M = 6.0, 1.5
"""Who comes towards the robot, or walks before it, is passed on the agreed side from this far
ahead, if no farther aside."""
WAIT_M, WAIT_S = 5.0, 4.0
"""Under the rule "wait" the robot stands while somebody this near is in its way within this."""
SIDES = {"keep_right": -1.0, "keep_left": 1.0}


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


def agreed_side(view: PlannerView, people: np.ndarray) -> float:
    """On which side the robot is to pass the nearest of people (K, 4) who comes towards it or walks
    on before it: 1 left, -1 right, 0 where nothing is agreed or nobody does.
    """
    side = SIDES.get(view.rule, 0.0)
    along = np.abs(people[:, 2]) > np.maximum(MOVING, 2.0 * np.abs(people[:, 3]))
    met = (people[:, 0] > 0.0) & (people[:, 0] < MEET_M) & (np.abs(people[:, 1]) < MEET_ASIDE_M)
    meant = people[along & met & (people[:, 2] < max(view.speed, MOVING))]
    if side == 0.0 or len(meant) == 0:
        return 0.0
    nearest = meant[np.argmin(meant[:, 0])]
    return side if nearest[2] < 0.0 else -side  # who is overtaken keeps to that side as well


def must_wait(view: PlannerView, people: np.ndarray) -> bool:
    """Whether the rule is to wait and one of people (K, 4) is, or soon will be, in the way."""
    if view.rule != "wait":
        return False
    times = np.arange(0.0, WAIT_S + 0.1, 0.25)[:, None]
    x, y = (people[:, k] + times * people[:, k + 2] for k in (0, 1))
    crosses = ((x > 0.0) & (x < NEAR_M) & (np.abs(y) < CLEARANCE_M)).any(axis=0)
    walks = np.linalg.norm(people[:, 2:], axis=1) > MOVING
    return bool((crosses & walks & (np.linalg.norm(people[:, :2], axis=1) < WAIT_M)).any())


def advise(view: PlannerView) -> Directive:
    """The directive for one observation.

    Under a rule, first what it asks for: `stop` to wait, `select` the best clear candidate on the
    agreed side. Else: nobody within NEAR_M ahead, or the policy's favourite keeps clear of them:
    `none`. Else, in this order: `select` the best candidate that keeps clear, first those that pass
    behind a person who crosses; `stop` for a person who walks and is close in time; go `slow`. A
    person who stands still never stops the robot for good.
    """
    everybody = np.asarray(view.people, dtype=np.float64).reshape(-1, 4)
    if len(everybody) == 0 or len(view.candidates) == 0:
        return make(view.now_s, "none", reason="nobody ahead")
    if must_wait(view, everybody):
        return make(view.now_s, "stop", reason="wait")
    favourite = int(np.argmax(view.log_scores))
    ends = view.candidates[:, -1]
    bearing = np.arctan2(ends[:, 1], ends[:, 0])
    loss = view.log_scores[favourite] - view.log_scores
    side = agreed_side(view, everybody)
    if side:
        beside = side * bearing > np.radians(5.0)
        usable = beside & (clearances(view, everybody)[0] >= CLEARANCE_M) & (loss <= MAX_LOSS)
        if usable.any() and not usable[favourite]:
            pick = int(np.argmin(np.where(usable, loss, np.inf)))
            return make(view.now_s, "select", index=pick, reason=view.rule.replace("_", " "))
    near = (np.linalg.norm(everybody[:, :2], axis=1) < NEAR_M) & (everybody[:, 0] > 0.0)
    people = everybody[near]
    if len(people) == 0:
        return make(view.now_s, "none", reason="nobody ahead")
    clearance, collision_s = clearances(view, people)
    if not np.isfinite(collision_s[favourite]):
        return make(view.now_s, "none", reason="clear of people")
    person = people[np.argmin(np.linalg.norm(people[:, :2], axis=1))]
    usable = (clearance >= CLEARANCE_M) & (loss <= MAX_LOSS)
    if usable.any():
        behind = (
            wrapped(bearing - bearing[favourite]) * person[3] < 0
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


class RulesPlanner(AtOnce):
    """`advise` as a `Thinker`."""

    def answer(self, views: Sequence[PlannerView]) -> list[Directive]:
        """See `advise`."""
        return [advise(view) for view in views]
