"""Anchors: the endpoints that queries of the decoder stand for, in normalised units.

A trajectory of T waypoints in steps (`s2e.policy.mixture.normalise`) has mean step length 1, so its
endpoint over T lies within the unit circle: (1, 0) is straight ahead, shorter is bent. Anchors live
there, not in metres, because one set then serves a dataset whose robots go 0.3 or 3 m/s: how fast
is the business of the velocity scale. A fan has length 1 throughout and direction tells its anchors
apart (S2E v1). K-means puts several anchors in nearly the same direction, gently and sharply bent:
they want the endpoint rule of `positive_mode`, since by direction the longer and the shorter of a
pair would be chosen by chance.
"""

import math
import warnings

import numpy as np
import torch
from scipy.cluster.vq import kmeans2
from scipy.spatial.distance import cdist

from s2e.core.errors import UserError
from s2e.policy.config import PolicyConfig
from s2e.policy.mixture import normalise

_MOST = 100_000  # endpoints that k-means sees: memory stays within count * _MOST doubles


def anchor_fan(anchors: int, half_angle_deg: float) -> torch.Tensor:
    """(M, 2) unit directions fanned evenly around straight ahead, from right to left; a single
    anchor is straight ahead.
    """
    if anchors < 1:
        raise ValueError(f"{anchors} anchors; at least 1 is needed")
    half = math.radians(half_angle_deg) if anchors > 1 else 0.0
    angles = torch.linspace(-half, half, anchors)
    return torch.stack([angles.cos(), angles.sin()], -1)


def kmeans_anchors(
    futures: np.ndarray, count: int, config: PolicyConfig, seed: int = 0
) -> torch.Tensor:
    """(M, 2) float32 normalised endpoints: k-means (k-means++ start) over a dataset's futures, from
    right to left.

    The same futures and seed give the same anchors. Trajectories slower than `config.speed_floor`
    have no shape, only noise, and are left out.

    Args:
        futures: (S, T, 2) metres in the robot's frame, T = `config.waypoints`. count: M.
        config: for the waypoint interval and the speed floor. seed: of the start and of the choice
            among many futures.

    Raises:
        UserError: fewer different endpoints than anchors.
    """
    if futures.ndim != 3 or futures.shape[2] != 2 or not np.isfinite(futures).all():
        raise ValueError(f"futures are {futures.shape}, expected (S, T, 2), finite")
    rng = np.random.default_rng([seed, 11])
    if len(futures) > _MOST:
        futures = futures[np.sort(rng.choice(len(futures), _MOST, replace=False))]
    steps, speed = normalise(
        torch.from_numpy(np.ascontiguousarray(futures)).double(),
        config.waypoint_dt_s,
        config.speed_floor,
    )
    ends = (steps[:, -1] / steps.shape[1]).numpy()[speed.numpy() > config.speed_floor]
    different = len(np.unique(ends.round(4), axis=0))
    if different < count:
        raise UserError(
            f"anchors: {count} asked for, but the data has {different} different endpoints; use "
            "the fan, or fewer anchors"
        )
    centres = _lloyd(ends, _spread(ends, count, rng))
    return torch.from_numpy(
        centres[np.argsort(np.arctan2(centres[:, 1], centres[:, 0]), kind="stable")]
    ).float()


def _spread(points: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """The start of k-means++: each centre a point, drawn with the squared distance to the nearest
    centre before it as weight.
    """
    centres = [points[rng.integers(len(points))]]
    nearest = np.full(len(points), np.inf)
    for _ in range(count - 1):
        nearest = np.minimum(nearest, np.square(points - centres[-1]).sum(1))
        cumulative = np.cumsum(nearest)
        chosen = np.searchsorted(cumulative, rng.random() * cumulative[-1], side="right")
        centres.append(points[min(int(chosen), len(points) - 1)])
    return np.array(centres)


def _lloyd(points: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """K-means from given centres; one that nothing is nearest to moves to the point that is worst
    served.
    """
    for _ in range(20):
        with warnings.catch_warnings():
            # of empty clusters, which are dealt with below
            warnings.simplefilter("ignore", UserWarning)
            centres, _ = kmeans2(points, centres, iter=50, minit="matrix", missing="warn")
        distance = cdist(points, centres)
        served = np.bincount(distance.argmin(1), minlength=len(centres)) > 0
        if served.all():
            return centres
        for empty in np.flatnonzero(~served):
            centres[empty] = points[distance[:, served].min(1).argmax()]
            served[empty] = True
            distance[:, empty] = np.linalg.norm(points - centres[empty], axis=1)
    return centres
