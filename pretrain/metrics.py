"""Open-loop metrics: how far, how often, how sure, each a function of arrays with its definition
and its source.

Trajectories are (..., T, 2) metres in the robot's frame (x forward, y left), the first waypoint one
interval of `dt` seconds after now. B is samples, M is modes. A metric of a sample that it is not
defined for is NaN; means leave it out.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch

from s2e.policy.mixture import Modes, bivariate_nll

STILL_M = 0.05  # a waypoint this near has no direction
STEP_M = 0.01  # a step this short has no heading
MAOE_MIN_M = 1.0

SLOW, FAST = 0.2, 1.4  # m/s: match thresholds are halved at SLOW and full from FAST on
STATIONARY_SPEED, STATIONARY_M = 0.1, 0.2
STRAIGHT_RAD = math.pi / 6

SHAPES = (
    "stationary",
    "straight",
    "straight left",
    "straight right",
    "left",
    "right",
    "left U-turn",
    "right U-turn",
)


def displacement(predicted: np.ndarray, future: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(..., T, 2) against (..., T, 2): average and final displacement (ADE, FDE) in metres, each
    (...).

    minADE and minFDE are the least of them over the modes, each taken for itself (Waymo,
    Argoverse).
    """
    error = np.linalg.norm(predicted - future, axis=-1)
    return error.mean(-1), error[..., -1]


def waypoint_cosine(predicted: np.ndarray, future: np.ndarray) -> np.ndarray:
    """(B,) mean cosine over the moving waypoints of (B, T, 2); NaN where none moves.

    GNM's `action_waypts_cos_sim`; waypoints within `STILL_M` of the robot have no direction and are
    left out.
    """
    cosine, moving = _cosine(predicted, future)
    return np.where(
        moving.any(-1), (cosine * moving).sum(-1) / np.maximum(moving.sum(-1), 1), np.nan
    )


def angle_error(predicted: np.ndarray, future: np.ndarray) -> np.ndarray:
    """(B,) greatest angle in degrees between a true and a predicted waypoint of (B, T, 2), seen
    from the robot.

    CityWalker: its mean over samples is MAOE. Only samples whose last true waypoint is beyond
    `MAOE_MIN_M` count, the others are NaN. CityWalker's waypoints are a second apart; ours are
    nearer, so those within `STILL_M` are left out.
    """
    cosine, moving = _cosine(predicted, future)
    degrees = np.where(moving, np.degrees(np.arccos(np.clip(cosine, -1, 1))), 0).max(-1, initial=0)
    return np.where(np.linalg.norm(future[:, -1], axis=-1) > MAOE_MIN_M, degrees, np.nan)


def _cosine(predicted: np.ndarray, future: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    away = np.linalg.norm(future, axis=-1)
    cosine = (predicted * future).sum(-1) / np.maximum(
        np.linalg.norm(predicted, axis=-1) * away, 1e-9
    )
    return cosine, away > STILL_M


def thresholds(future: np.ndarray, dt: float) -> tuple[np.ndarray, np.ndarray]:
    """Lateral and longitudinal metres, each (B,), within which a trajectory's end matches the true
    one (B, T, 2).

    Waymo's thresholds (1, 1.8, 3 m lateral at 3, 5, 8 s; longitudinal is twice that; halved up to
    1.4 m/s) are 0.2 T - 0.1 m at 1.4 m/s. That line is continued to our horizon (0.3 and 0.6 m at 2
    s), and the scaling with the initial speed to robots' speeds: the factor is 1 from `FAST` = 1.4
    m/s on, a half up to `SLOW` = 0.2 m/s, linear between. So 0.15 and 0.3 m for a robot that stands
    or creeps.
    """
    speed = np.linalg.norm(future[:, 0], axis=-1) / dt
    lateral = _lateral_m(future, dt) * (0.5 + 0.5 * np.clip((speed - SLOW) / (FAST - SLOW), 0, 1))
    return lateral, 2 * lateral


def _lateral_m(future: np.ndarray, dt: float) -> float:
    return max(0.2 * future.shape[1] * dt - 0.1, 0.1)


def end_heading(future: np.ndarray) -> np.ndarray:
    """(B,) radians: direction of the last step of (B, T, 2) longer than `STEP_M`; straight ahead
    where there is none.
    """
    steps = np.diff(future, axis=1, prepend=np.zeros_like(future[:, :1]))
    moving = np.linalg.norm(steps, axis=-1) > STEP_M
    last = future.shape[1] - 1 - moving[:, ::-1].argmax(1)
    step = steps[np.arange(len(future)), last]
    return np.where(moving.any(1), np.arctan2(step[:, 1], step[:, 0]), 0.0)


def matches(predicted: np.ndarray, future: np.ndarray, dt: float) -> np.ndarray:
    """(B, M) whether each of (B, M, T, 2) ends within `thresholds` of the truth (B, T, 2), in the
    frame of the truth's end.

    A sample that nothing matches is a miss; the miss rate is the mean of that (Waymo).
    """
    error = predicted[:, :, -1] - future[:, None, -1]
    heading = end_heading(future)[:, None]
    ahead = error[..., 0] * np.cos(heading) + error[..., 1] * np.sin(heading)
    aside = error[..., 1] * np.cos(heading) - error[..., 0] * np.sin(heading)
    lateral, longitudinal = thresholds(future, dt)
    return (np.abs(aside) <= lateral[:, None]) & (np.abs(ahead) <= longitudinal[:, None])


def shapes(future: np.ndarray, dt: float) -> np.ndarray:
    """(B,) places in `SHAPES` of true trajectories (B, T, 2).

    Waymo's rules with lengths for robots over seconds: stationary is slower than `STATIONARY_SPEED`
    at both ends and moved by less than `STATIONARY_M`; straight turns by less than 30 degrees, and
    ends within the lateral threshold (0.3 m at 2 s) of the line ahead, otherwise it is straight
    left or right; what turns more is left or right by the side it ends on, and a U-turn where it
    ends behind. (Waymo counts right U-turns as right turns; here the two sides are treated alike.)
    """
    x, y = future[:, -1, 0], future[:, -1, 1]
    turn = np.abs(end_heading(future))
    before = future[:, -2] if future.shape[1] > 1 else np.zeros_like(future[:, -1])
    speed = (
        np.maximum(
            np.linalg.norm(future[:, 0], axis=-1), np.linalg.norm(future[:, -1] - before, axis=-1)
        )
        / dt
    )
    right = (y < 0).astype(int)
    shape = np.where(
        turn < STRAIGHT_RAD,
        np.where(np.abs(y) < _lateral_m(future, dt), 1, 2 + right),
        np.where(x < 0, 6, 4) + right,
    )
    return np.where((speed < STATIONARY_SPEED) & (np.hypot(x, y) < STATIONARY_M), 0, shape)


@dataclass(frozen=True)
class Ranking:
    """The predictions for samples of one shape, best score first; at equal scores the false ones
    first, as Waymo has it.

    Attributes:
        samples: (n,) the samples of this shape. owner: (N,) the sample that each prediction is for.
            positive: (N,) whether it is the true positive.
    """

    samples: np.ndarray
    owner: np.ndarray
    positive: np.ndarray


def rank(
    scores: np.ndarray, matching: np.ndarray, shape: np.ndarray, soft: bool = False
) -> list[Ranking]:
    """Sorts the predictions of all samples for `mean_average_precision`, apart for each shape that
    occurs.

    The best-scored match of a sample is its true positive, every other prediction false. With
    `soft`, further matches are neither (Waymo's soft mAP).

    Args:
        scores: (B, M), probabilities. matching: (B, M) from `matches`. shape: (B,) from `shapes`.
    """
    best = np.where(matching, scores, -np.inf).argmax(1)
    positive = matching & (np.arange(scores.shape[1]) == best[:, None])
    counted = positive | ~matching if soft else np.ones_like(matching)
    result = []
    for s in np.unique(shape):
        samples = np.flatnonzero(shape == s)
        owner, mode = np.nonzero(counted[samples])
        owner = samples[owner]
        order = np.lexsort((positive[owner, mode], -scores[owner, mode]))
        result.append(Ranking(samples, owner[order], positive[owner, mode][order]))
    return result


def average_precision(ranking: Ranking, weight: np.ndarray) -> float:
    """Area under the precision-recall curve, precision made monotonic from the right (Waymo's
    integral).

    `weight` (B,) says how often each sample counts: ones, or a bootstrap's multiplicities. NaN
    where none of the shape counts.
    """
    total = weight[ranking.samples].sum()
    if total == 0:
        return math.nan
    each = weight[ranking.owner]
    at = np.flatnonzero(ranking.positive)
    precision = np.cumsum(each * ranking.positive)[at] / np.maximum(np.cumsum(each)[at], 1e-9)
    return float((np.maximum.accumulate(precision[::-1])[::-1] * each[at]).sum() / total)


def mean_average_precision(rankings: list[Ranking], weight: np.ndarray) -> float:
    """Mean of `average_precision` over the shapes that occur: Waymo's mAP at one horizon and for
    one kind of thing.

    A predictor with one mode has the same score everywhere, so its average precision is the square
    of its hit rate.
    """
    each = np.array([average_precision(r, weight) for r in rankings])
    occurring = each[~np.isnan(each)]
    return float(occurring.mean()) if len(occurring) else math.nan


def trajectory_nll(modes: Modes, future: torch.Tensor, dt: float) -> torch.Tensor:
    """(B,) negative log-likelihood in nats of whole true trajectories (B, T, 2) under the mixture,
    a density in metres.

    -log sum_m q_m prod_t N(w_t; mu_mt, Sigma_mt), each mode scaled by its own speed; computed in
    float64.
    """
    scale = (modes.speed.double() * dt)[..., None]  # metres per step
    step = scale.log()[..., None].expand_as(modes.log_std)
    nll = bivariate_nll(
        future.double()[:, None],
        modes.mean.double() * scale[..., None],
        modes.log_std.double() + step,
        modes.rho.double(),
    )
    nll = (nll + math.log(2 * math.pi)).sum(-1)
    return -torch.logsumexp(modes.logits.double().log_softmax(-1) - nll, -1)


def calibration_gaps(confidence: np.ndarray, correct: np.ndarray, bins: int = 10) -> np.ndarray:
    """(B, bins) correct minus confidence in the bin of each sample's confidence, zero elsewhere.

    The sum over samples, its magnitudes added up over bins and divided by B, is the expected
    calibration error sum_b n_b / n |acc_b - conf_b| (Guo et al. 2017, arXiv 1706.04599) of the
    best-scored mode: `confidence` (B,) is its probability, `correct` (B,) whether it is the
    positive mode by the rule of training.
    """
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    return (place[:, None] == np.arange(bins)) * (correct - confidence)[:, None]
