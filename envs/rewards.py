"""Reward terms: each a named function of what changed in a step, each with its own log line.

Shapes: every argument and result is (N,), one number a world.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

PERSONAL_SPACE_M = 0.6
CLEARANCE_M = 0.35


@dataclass(frozen=True)
class Change:
    """What a step did: metres to the goal before and after, what ended, room to people and things, change of the turn rate."""

    distance_before: np.ndarray
    distance_after: np.ndarray
    arrived: np.ndarray
    collided: np.ndarray
    person_gap: np.ndarray
    static_gap: np.ndarray
    omega_change: np.ndarray


def arrive(change: Change) -> np.ndarray:
    """Reaching the goal."""
    return 5.0 * change.arrived


def collision(change: Change) -> np.ndarray:
    """Touching something or somebody."""
    return -5.0 * change.collided


def progress(change: Change) -> np.ndarray:
    """A metre nearer to the goal."""
    return 1.0 * (change.distance_before - change.distance_after)


def personal_space(change: Change) -> np.ndarray:
    """Being closer to a person than `PERSONAL_SPACE_M`."""
    return -0.2 * np.clip(1 - change.person_gap / PERSONAL_SPACE_M, 0, 1)


def clearance(change: Change) -> np.ndarray:
    """Scraping past things closer than `CLEARANCE_M`."""
    return -0.2 * np.clip(1 - change.static_gap / CLEARANCE_M, 0, 1)


def smoothness(change: Change) -> np.ndarray:
    """Changing the turn rate, rad/s."""
    return -0.02 * np.abs(change.omega_change)


def time(change: Change) -> np.ndarray:
    """Every step costs a little, so that standing still does not pay."""
    return np.full(len(change.arrived), -0.02)


TERMS: tuple[Callable[[Change], np.ndarray], ...] = (arrive, collision, progress, personal_space, clearance, smoothness, time)
