"""Views that several tests of planners look at."""

import numpy as np
from numpy.typing import ArrayLike

from s2e.planner.scene import PlannerView


def fan(bearings_deg, points=10, step=0.2):
    """(M, points, 2) straight trajectories."""
    angle = np.radians(np.asarray(bearings_deg, dtype=np.float64))
    reach = step * np.arange(1, points + 1)
    return np.stack([np.cos(angle)[:, None] * reach, np.sin(angle)[:, None] * reach], axis=-1)


FAN = fan([0.0, 25.0, -60.0])
SCORES = np.array([-0.1, -2.0, -3.0], dtype=np.float32)


def view(
    now_s=0.0,
    pose: ArrayLike = (0.0, 0.0, 0.0),
    scores: ArrayLike = SCORES,
    candidates=FAN,
    goal: ArrayLike = (8.0, 0.0),
    **more,
):
    """A robot that nobody is near to, and its three ways: ahead, to the left, sharply right."""
    more = {"people": np.zeros((0, 4)), "speed": 1.0} | more
    return PlannerView(
        now_s=now_s,
        pose=np.array(pose, dtype=np.float64),
        goal_xy_robot=np.array(goal, dtype=np.float64),
        candidates=candidates,
        log_scores=np.array(scores),
        **more,
    )
