"""How advice about the past re-ranks the candidates of the present; it fades with its age and with
what has changed, and no advice changes nothing.

Score and probability fusion are those of "Slow Brain, Fast Planner": similarity to the trajectory
chosen at image time, moved by odometry into the current frame. `hold` and `stream` are what they
are compared with there. docs/planner.md has the formulas.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from s2e.planner.directive import Directive
from s2e.planner.scene import PlannerView

FusionMode = Literal["score", "probability", "hold", "stream"]

WEIGHT = 3.0
"""One metre of mean distance from the chosen trajectory costs this much log score in `score`; in
`probability` fresh advice has the share 3 / (3 + 1)."""
TAU_S = 3.0
"""Advice loses a factor e in this time, counted from its image."""
D_SCALE_M = 1.0
"""Distance from the chosen trajectory that is one unit of similarity."""
SHARP = 3.0
"""Log-probability, in `probability`, of one unit of similarity."""
KAPPA = 4.0
"""Similarity between a candidate along the advised heading and one at right angles to it."""
LIMIT = 3.0
"""Advice moves no candidate by more log score than this against the policy's favourite: what the
policy is sure of stays."""
FALL = 3.0
"""Log score by which the policy thinks worse of the advised way than at image time, for a factor
e."""
PEOPLE_M, PEOPLE_CAP_M = 5.0, 1.0
"""People within the first of the robot count as scene; being this far from where they were to be
expected, in the mean, is a factor e, and no one counts for more."""
TURN_RAD, TURN_WEIGHT, TURN_LIMIT = np.radians(60.0), 4.0, 10.0
"""Who is to reach a place that lies farther off than the first turns towards it: policies drive on
with a goal behind them. To turn is slow, so the limit is wider."""
HOLD_S = 20.0
"""`hold` follows a trajectory no longer than this without another answer."""
AGREE_RAD = np.radians(20.0)
HEADING_RAD = {
    "forward": 0.0,
    "forward_left": np.radians(25.0),
    "forward_right": -np.radians(25.0),
    "turn_left": np.radians(60.0),
    "turn_right": -np.radians(60.0),
}
SPEED_FACTOR = {"stop": 0.0, "slow": 0.4, "normal": 1.0}


@dataclass(frozen=True)
class Fusion:
    """How advice counts.

    Attributes:
        mode: `score` adds to log scores, `probability` mixes distributions; for comparison `hold`
            follows the choice until the next answer and `stream` takes it for one of now.
        weight: of advice; 0 is the bare policy, bit for bit. `hold` and `stream` know only 0 and
            not 0.
    """

    mode: FusionMode = "score"
    weight: float = WEIGHT


@dataclass(frozen=True)
class Advice:
    """A directive, and the view that it is about.

    Attributes:
        directive: what was said. view: of its stamp. trust: 0..1, what share of it counts.
    """

    directive: Directive
    view: PlannerView
    trust: float = 1.0

    def bearing(self) -> float | None:
        """Where it wants to go, radians in the world or odometry frame; None where it does not
        say.
        """
        said, yaw = self.directive, float(self.view.pose[2])
        if said.kind == "select" and said.index is not None:
            if said.index >= len(self.view.candidates):
                return None
            end = self.view.candidates[said.index, -1]
            return yaw + float(np.arctan2(end[1], end[0]))
        if said.kind == "action" and said.action in HEADING_RAD:
            return yaw + float(HEADING_RAD[said.action])
        return None

    def place(self) -> np.ndarray | None:
        """(2,) a subgoal in the world or odometry frame; None where it is none."""
        if self.directive.kind != "subgoal":
            return None
        return move_trajectory(np.array(self.directive.point), self.view.pose, np.zeros(3))


def agree(new: Advice, old: Advice) -> bool:
    """Whether two answers say the same: directions within AGREE_RAD, and a stop after a stop, slow
    after slow or a stop.
    """
    speed, before = new.directive.wanted_speed(), old.directive.wanted_speed()
    if not (speed == "normal" or before == "stop" or speed == before == "slow"):
        return False
    ways = new.bearing(), old.bearing()
    if ways[0] is None:
        return speed != "normal"
    return ways[1] is not None and bool(np.cos(ways[0] - ways[1]) > np.cos(AGREE_RAD))


def move_trajectory(
    trajectory: np.ndarray, pose_then: np.ndarray, pose_now: np.ndarray
) -> np.ndarray:
    """Expresses points given in the robot's frame of one moment in its frame of another.

    Args:
        trajectory: (..., 2) points in the frame of `pose_then`, metres.
        pose_then: (3,) x, y, yaw when the points were made.
        pose_now: (3,) x, y, yaw now; zeros are the world or odometry frame itself.

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
    """(M,) KAPPA (cos(bearing of the last waypoint - heading) - 1); that of right angles for a
    candidate that stays where it is.
    """
    end = np.asarray(trajectories, dtype=np.float64)[:, -1]
    cos = np.cos(np.arctan2(end[:, 1], end[:, 0]) - heading)
    return KAPPA * (np.where(np.linalg.norm(end, axis=1) > 0.05, cos, 0.0) - 1.0)


def _way_ahead(advice: Advice, view: PlannerView) -> np.ndarray | None:
    """(R, 2) what is left of the selected trajectory, in the frame of now; None where none is
    selected.
    """
    said, then = advice.directive, advice.view
    if said.kind != "select" or said.index is None or said.index >= len(then.candidates):
        return None
    chosen = move_trajectory(then.candidates[said.index], then.pose, view.pose)
    return remaining_part(chosen, move_trajectory(np.zeros(2), then.pose, view.pose))


def prior_of(advice: Advice, view: PlannerView) -> np.ndarray | None:
    """(M,) how much each candidate of now is what was advised, 0 at most; None where the advice is
    not about directions.
    """
    said, way = advice.directive, _way_ahead(advice, view)
    if way is not None:
        prior = similarity(view.candidates, way)
    elif said.kind == "action" and said.action in HEADING_RAD:
        turned = float(view.pose[2] - advice.view.pose[2])
        prior = heading_prior(view.candidates, float(HEADING_RAD[said.action]) - turned)
    else:
        return None
    return prior if len(prior) and np.isfinite(prior).all() else None


def people_moved(then: PlannerView, now: PlannerView) -> float:
    """Mean distance, metres and PEOPLE_CAP_M at most each, of people near the robot from where they
    were to be expected, either way round; 0 for nobody.
    """
    passed_s = now.now_s - then.now_s
    before = np.asarray(then.people, dtype=np.float64).reshape(-1, 4)
    expected = before[:, :2] + passed_s * before[:, 2:]
    places = [
        move_trajectory(expected, then.pose, now.pose),
        np.asarray(now.people, dtype=np.float64).reshape(-1, 4)[:, :2],
    ]
    gaps = []
    for some, others in (places, places[::-1]):
        for place in some[np.linalg.norm(some, axis=1) < PEOPLE_M]:
            nearest = np.linalg.norm(others - place, axis=1).min(initial=np.inf)
            gaps.append(min(float(nearest), PEOPLE_CAP_M))
    return float(np.mean(gaps)) if gaps else 0.0


def change(advice: Advice, view: PlannerView, prior: np.ndarray) -> float:
    """How much the scene has changed since the image, 0 or more; e to its negative is what is left
    of the advice.

    It adds how much worse the policy thinks of the advised way now than then (over FALL), each
    against its favourite, and `people_moved` (over a metre).
    """
    then = advice.view
    earlier = prior_of(advice, then)
    fall = 0.0
    if earlier is not None:
        liked = then.log_scores[np.argmax(earlier)] - np.max(then.log_scores)
        likes = view.log_scores[np.argmax(prior)] - np.max(view.log_scores)
        fall = max(0.0, float(liked - likes))
    return fall / FALL + people_moved(then, view)


def speed_multiplier(directive: Directive, now_s: float, trust: float = 1.0) -> float:
    """Factor 0..1 on the speed: what is asked for during the first half of its validity, then
    linearly back to 1; half trust, half of what it takes away.
    """
    age, validity = now_s - directive.stamp_s, directive.expires_s() - directive.stamp_s
    if not 0.0 <= age < validity:
        return 1.0
    fade = min(1.0, 2.0 * (1.0 - age / validity))
    return 1.0 - (1.0 - SPEED_FACTOR[directive.wanted_speed()]) * fade * trust


def fuse(view: PlannerView, advice: Advice | None, fusion: Fusion) -> tuple[np.ndarray, float]:
    """Applies advice to what a robot could do now.

    Args:
        view: the present.
        advice: None, `none`, expired or from the future is no advice.
        fusion: how it counts.

    Returns:
        The new (M,) scores, same dtype, and the factor on the speed. Without advice `log_scores`
        itself, and 1.
    """
    if advice is None or advice.directive.kind == "none" or fusion.weight <= 0.0:
        return view.log_scores, 1.0
    said, age = advice.directive, view.now_s - advice.directive.stamp_s
    held = fusion.mode == "hold" and age < HOLD_S
    if age < 0.0 or not (held or age < said.expires_s() - said.stamp_s):
        return view.log_scores, 1.0
    if fusion.mode == "hold":
        return _held(view, advice), SPEED_FACTOR[said.wanted_speed()]
    if fusion.mode == "stream":
        return _streamed(view, advice), SPEED_FACTOR[said.wanted_speed()]
    factor = speed_multiplier(said, view.now_s, advice.trust)
    prior = prior_of(advice, view)
    if prior is None:
        return view.log_scores, factor
    left = said.confidence * advice.trust * np.exp(-age / TAU_S - change(advice, view, prior))
    combined = _scores if fusion.mode == "score" else _probabilities
    limit = LIMIT * advice.trust
    scores = combined(np.asarray(view.log_scores, np.float64), prior, fusion.weight, left, limit)
    return scores.astype(view.log_scores.dtype), factor


def _scores(scores, prior, weight: float, left: float, limit: float) -> np.ndarray:
    """Score fusion, bounded against the favourite."""
    favourite = int(np.argmax(scores))
    return scores + np.clip(weight * left * (prior - prior[favourite]), -limit, limit)


def _probabilities(scores, prior, weight: float, left: float, limit: float) -> np.ndarray:
    """Probability fusion among those that the policy does not rule out."""
    policy = np.exp(scores - scores.max())
    wanted = np.exp(SHARP * (prior - prior.max())) * (scores >= scores.max() - limit)
    if wanted.sum() <= 0.0:
        return scores
    share = weight / (weight + 1.0) * left
    mixed = (1.0 - share) * policy / policy.sum() + share * wanted / wanted.sum()
    return np.log(np.maximum(mixed, 1e-30))


def freer_side(scores: np.ndarray, trajectories: np.ndarray) -> float:
    """To which side the policy would rather go: 1 left, -1 right, by the probability of candidates
    that end there.
    """
    share = np.exp(np.asarray(scores, np.float64) - np.max(scores))
    return 1.0 if np.sum(share * np.sign(trajectories[:, -1, 1])) >= 0.0 else -1.0


def turned(scores: np.ndarray, trajectories: np.ndarray, side: float) -> np.ndarray:
    """Scores of a robot that is to turn to a side (1 left, -1 right): candidates that do gain."""
    if len(scores) == 0:
        return scores
    prior = heading_prior(trajectories, side * np.pi / 2)
    gain = TURN_WEIGHT * (prior - prior[np.argmax(scores)])
    return (scores + np.clip(gain, -TURN_LIMIT, TURN_LIMIT)).astype(scores.dtype)


def _held(view: PlannerView, advice: Advice) -> np.ndarray:
    """The candidate nearest to what was chosen wins, however old that is; the policy's own once it
    is driven.
    """
    prior, way = prior_of(advice, view), _way_ahead(advice, view)
    if prior is None or (way is not None and len(way) == 1):
        return view.log_scores
    return prior.astype(view.log_scores.dtype)


def _streamed(view: PlannerView, advice: Advice) -> np.ndarray:
    """The candidate of the same number wins, or of the same heading, as if the image were new."""
    said, scores = advice.directive, view.log_scores.copy()
    if said.kind == "select" and said.index is not None and said.index < len(scores):
        scores[said.index] = scores.max() + 1.0
    elif said.kind == "action" and said.action in HEADING_RAD:
        prior = heading_prior(view.candidates, float(HEADING_RAD[said.action]))
        scores[np.argmax(prior)] = scores.max() + 1.0
    return scores
