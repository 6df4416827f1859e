"""Finds what a capture stands on: the floor's plane and which way is up, or a reason why there is none."""

from dataclasses import dataclass

import numpy as np

from s2e.envs.scene import Splats
from s2e.errors import UserError


class NotNavigable(UserError):
    """A capture that is no place to drive in; the message says in numbers what was found instead."""


@dataclass(frozen=True)
class Floor:
    """The floor of a capture, in the file's units.

    Attributes:
        normal: (3,) unit, up.
        offset: `normal @ p` of points on the floor.
        support: share of the capture's surface that lies in the floor's band.
        extent: diameter of the floor's area.
        spread: robust deviation (one sigma) of the floor from its plane.
        up_sure: whether the capture alone says which way is up (always true with a hint).
    """

    normal: np.ndarray
    offset: float
    support: float
    extent: float
    spread: float
    up_sure: bool


def find_floor(splats: Splats, up: np.ndarray | None = None, seed: int = 0) -> Floor:
    """First body: the hinted axis (z without a hint), the fullest layer."""
    normal = np.array([0.0, 0.0, 1.0]) if up is None else np.asarray(up, dtype=np.float64) / np.linalg.norm(up)
    h = splats.means @ normal
    counts, edges = np.histogram(h, 400)
    offset = float(edges[counts.argmax()])
    return Floor(normal, offset, 0.5, float(np.ptp(splats.means[:, 0])), 0.01, up is not None)
