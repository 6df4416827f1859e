"""One world's loop around a planner: show it every view, remember what it was shown, apply what it
says.
"""

import numpy as np

from s2e.planner.directive import ADVICE_VALID_S
from s2e.planner.fusion import fuse, move_trajectory
from s2e.planner.scene import Planner, PlannerView

WEIGHT = 3.0
"""Enough for advice to overrule a policy that is fairly sure; the rules avoid most with it in
`test_guide.py`."""


class Guide:
    """Keeps the views that answers may still refer to; everything else is `fuse`.

    Without a planner (None) or with weight 0 the scores pass through untouched.
    """

    def __init__(self, planner: Planner | None, weight: float = WEIGHT):
        self._planner = planner
        self._weight = weight
        self._past: dict[float, tuple[np.ndarray, np.ndarray]] = {}

    def apply(self, view: PlannerView) -> tuple[np.ndarray, float]:
        """Offers a view to the planner and fuses its newest advice.

        Args:
            view: the present; call this once per control step.

        Returns:
            (M,) log scores, and the factor on the speed.
        """
        if self._planner is None or self._weight <= 0.0:
            return view.log_scores, 1.0
        recent = {
            t: past
            for t, past in self._past.items()
            if view.now_s - ADVICE_VALID_S <= t < view.now_s
        }
        self._past = recent | {view.now_s: (np.array(view.pose), np.array(view.candidates))}
        self._planner.submit(view)
        directive = self._planner.latest(view.now_s)
        chosen = start = None
        if (
            directive is not None
            and directive.index is not None
            and directive.stamp_s in self._past
        ):
            pose, candidates = self._past[directive.stamp_s]
            if directive.index < len(candidates):
                chosen = move_trajectory(candidates[directive.index], pose, view.pose)
                start = move_trajectory(np.zeros(2), pose, view.pose)
        return fuse(
            view.log_scores, view.candidates, directive, view.now_s, chosen, self._weight, start
        )
