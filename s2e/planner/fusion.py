"""How advice about the past re-ranks the candidates of the present; it fades, and no advice changes
nothing.

The score fusion is that of "Slow Brain, Fast Planner": similarity to the trajectory chosen at image
time, moved by odometry into the current frame, weighted down with the age of the image.
"""

import numpy as np

from s2e.planner.directive import Directive

TAU_S = 3.0
"""Advice loses a factor e in this time, counted from its image."""
D_SCALE_M = 1.0
"""One metre of mean distance from the chosen trajectory costs one unit of log score."""
KAPPA = 4.0
"""Log score between a candidate along the advised heading and one at right angles to it."""
HEADING_RAD = {
    "forward": 0.0,
    "forward_left": np.radians(25.0),
    "forward_right": -np.radians(25.0),
    "turn_left": np.radians(60.0),
    "turn_right": -np.radians(60.0),
}
SPEED_FACTOR = {"stop": 0.0, "slow": 0.4, "normal": 1.0}


def move_trajectory(
    trajectory: np.ndarray, pose_then: np.ndarray, pose_now: np.ndarray
) -> np.ndarray:
    """Expresses points given in the robot's frame of one moment in its frame of another.

    Args:
        trajectory: (..., 2) points in the frame of `pose_then`, metres.
        pose_then: (3,) x, y, yaw when the points were made.
        pose_now: (3,) x, y, yaw now.

    Returns:
        (..., 2) float64, the same points in the frame of `pose_now`.
    """
    then, now = np.asarray(pose_then, dtype=np.float64), np.asarray(pose_now, dtype=np.float64)
    world = np.asarray(trajectory, dtype=np.float64) @ _rotation(then[2]).T + then[:2]
    return (world - now[:2]) @ _rotation(now[2])


def _rotation(yaw: float) -> np.ndarray:
    cos, sin = np.cos(yaw), np.sin(yaw)
    return np.array([[cos, -sin], [sin, cos]])


def remaining_part(chosen: np.ndarray, start: np.ndarray) -> np.ndarray:
    """The part of a trajectory that still lies ahead, one point per time step from now.

    The robot (at the origin) is projected on the polyline start, chosen[0], ..., chosen[T-1]; what
    remains is read off at whole steps from there.

    Args:
        chosen: (T, 2) points in the robot's current frame.
        start: (2,) where the robot was when they were made, in its current frame.

    Returns:
        (R, 2) float64 with 1 <= R <= T; all of `chosen` when the robot has not moved.
    """
    line = np.concatenate(
        [np.asarray(start, dtype=np.float64)[None], np.asarray(chosen, dtype=np.float64)]
    )
    step = line[1:] - line[:-1]
    squared = np.maximum(np.sum(step**2, axis=1), 1e-12)
    along = np.clip(-np.sum(line[:-1] * step, axis=1) / squared, 0.0, 1.0)
    gap = np.linalg.norm(line[:-1] + along[:, None] * step, axis=1)
    nearest = int(np.argmin(gap))
    now = nearest + along[nearest]
    last = len(line) - 1
    at = np.arange(now + 1.0, last + 1e-9) if now + 1.0 <= last else np.array([float(last)])
    knots = np.arange(last + 1)
    return np.stack([np.interp(at, knots, line[:, 0]), np.interp(at, knots, line[:, 1])], axis=1)


def similarity(trajectories: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """(M,) minus the mean distance, over D_SCALE_M, of each (T, 2) trajectory's first R points from
    (R, 2) `chosen`.
    """
    part = np.asarray(trajectories, dtype=np.float64)[:, : len(chosen)]
    return -np.mean(np.linalg.norm(part - chosen[: part.shape[1]], axis=-1), axis=1) / D_SCALE_M


def heading_prior(trajectories: np.ndarray, heading: float) -> np.ndarray:
    """(M,) KAPPA cos(bearing of the last waypoint - heading); 0 for a candidate that stays where it
    is.
    """
    end = np.asarray(trajectories, dtype=np.float64)[:, -1]
    cos = KAPPA * np.cos(np.arctan2(end[:, 1], end[:, 0]) - heading)
    return np.where(np.linalg.norm(end, axis=1) > 0.05, cos, 0.0)


def speed_multiplier(directive: Directive, now_s: float) -> float:
    """Factor 0..1 on the speed: what is asked for during the first half of its validity, then
    linearly back to 1.
    """
    age, validity = now_s - directive.stamp_s, directive.expires_s() - directive.stamp_s
    if not 0.0 <= age < validity:
        return 1.0
    fade = min(1.0, 2.0 * (1.0 - age / validity))
    return 1.0 - (1.0 - SPEED_FACTOR[directive.wanted_speed()]) * fade


def fuse(
    log_scores: np.ndarray,
    trajectories: np.ndarray,
    directive: Directive | None,
    now_s: float,
    chosen: np.ndarray | None = None,
    weight: float = 1.0,
    start: np.ndarray | None = None,
) -> tuple[np.ndarray, float]:
    """Applies a directive to one world's candidates.

    Args:
        log_scores: (M,) the policy's scores.
        trajectories: (M, T, 2) metres in the robot's current frame.
        directive: the advice; None, `none`, expired or from the future is no advice.
        now_s: current time, in the clock of `directive.stamp_s`.
        chosen: (T, 2) the trajectory selected at image time, moved into the current frame
            (`move_trajectory`).
        weight: how much advice counts; 0 is the bare policy.
        start: (2,) where the robot was at image time, in the current frame: then only the part of
            `chosen` still ahead is compared. None: the robot has not moved.

    Returns:
        The new (M,) scores, same dtype, and the factor on the speed. Without advice `log_scores`
        itself, and 1.
    """
    if directive is None or directive.kind == "none" or weight <= 0.0:
        return log_scores, 1.0
    age = now_s - directive.stamp_s
    if not 0.0 <= age < directive.expires_s() - directive.stamp_s:
        return log_scores, 1.0
    prior = None
    if directive.kind == "select" and chosen is not None:
        prior = similarity(
            trajectories, remaining_part(chosen, np.zeros(2) if start is None else start)
        )
    elif directive.kind == "action" and directive.action in HEADING_RAD:
        prior = heading_prior(trajectories, HEADING_RAD[directive.action])
    if prior is not None and np.all(np.isfinite(prior)):
        scale = weight * directive.confidence * np.exp(-age / TAU_S)
        log_scores = (log_scores + scale * prior).astype(log_scores.dtype)
    return log_scores, speed_multiplier(directive, now_s)
