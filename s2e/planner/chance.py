"""Planners that know nothing: what any directive does, and what always the same one does."""

import hashlib
from collections.abc import Sequence
from typing import get_args

import numpy as np

from s2e.planner.directive import Action, Directive, Kind, Speed, make
from s2e.planner.scene import AtOnce, PlannerView

FAR_M = 10.0
"""A random subgoal lies no farther ahead, behind or beside."""


class RandomPlanner(AtOnce):
    """Any valid directive, drawn from the episode's name and the time alone."""

    def answer(self, views: Sequence[PlannerView]) -> list[Directive]:
        """See `Thinker`."""
        return [self._draw(view) for view in views]

    def _draw(self, view: PlannerView) -> Directive:
        name = hashlib.sha256(f"{view.episode} {view.now_s:.3f}".encode()).digest()
        rng = np.random.default_rng(np.frombuffer(name, np.uint32))
        kind: Kind = rng.choice(get_args(Kind)).item()
        rest = {"confidence": float(rng.uniform(0.5, 1.0))}
        if kind == "select":
            rest |= {"index": int(rng.integers(len(view.candidates)))}
        if kind == "action":
            rest |= {"action": rng.choice(get_args(Action)).item()}
        if kind == "subgoal":
            rest |= {"point": tuple(map(float, rng.uniform(-FAR_M, FAR_M, 2)))}
        if kind not in ("subgoal", "none", "stop"):
            rest |= {"speed": rng.choice(get_args(Speed)).item()}
        return make(view.now_s, kind, **rest)


class MajorityPlanner(AtOnce):
    """Always the same action.

    Args:
        action: which.
    """

    def __init__(self, action: Action = "forward"):
        self.action: Action = action

    def answer(self, views: Sequence[PlannerView]) -> list[Directive]:
        """See `Thinker`."""
        return [make(view.now_s, "action", action=self.action) for view in views]
