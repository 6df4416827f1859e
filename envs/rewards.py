"""Reward terms: each a named function of what changed in a step, each with its own log line.

Shapes: every argument and result is (N,), one number a world. A reward is the weighted sum of a
set's terms. What ends an episode (`arrive`, `collision`) is paid once; every other term is a rate,
paid per second.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

PERSONAL_SPACE_M = 0.6
CLEARANCE_M = 0.35
TARGET_SPEED = 1.0
"""The speed that `target_velocity` asks for, m/s: a walking pace."""


@dataclass(frozen=True)
class Change:
    """What a step did.

    Attributes:
        step_s: how long it took, seconds (a number).
        distance_before, distance_after: metres to the goal.
        speed: m/s at the end of the step.
        arrived, collided: bool, what happened in it.
        person_gap, static_gap: metres of room to people and things; infinite is nobody.
        omega_change: of the turn rate, rad/s.
        off_sidewalk: bool, the robot stands on a road or on grass.
    """

    step_s: float
    distance_before: np.ndarray
    distance_after: np.ndarray
    speed: np.ndarray
    arrived: np.ndarray
    collided: np.ndarray
    person_gap: np.ndarray
    static_gap: np.ndarray
    omega_change: np.ndarray
    off_sidewalk: np.ndarray


def arrive(change: Change) -> np.ndarray:
    """1 on reaching the goal."""
    return change.arrived.astype(np.float64)


def collision(change: Change) -> np.ndarray:
    """1 on touching something or somebody."""
    return change.collided.astype(np.float64)


def position(change: Change) -> np.ndarray:
    """Nearness to the goal, coarse: 1 - tanh(d / 5 m), per second."""
    return change.step_s * (1.0 - np.tanh(change.distance_after / 5.0))


def position_fine(change: Change) -> np.ndarray:
    """Nearness to the goal, fine: 1 - tanh(d / 1 m), per second."""
    return change.step_s * (1.0 - np.tanh(change.distance_after))


def towards_goal(change: Change) -> np.ndarray:
    """Metres nearer to the goal: the speed towards it, per second."""
    return change.distance_before - change.distance_after


def target_velocity(change: Change) -> np.ndarray:
    """How near the speed is to `TARGET_SPEED`, 0 to 1, per second."""
    return change.step_s * np.clip(
        1.0 - np.abs(change.speed - TARGET_SPEED) / TARGET_SPEED, 0.0, 1.0
    )


def sidewalk(change: Change) -> np.ndarray:
    """Being on a road or a lawn, per second."""
    return change.step_s * change.off_sidewalk


def personal_space(change: Change) -> np.ndarray:
    """Being closer to a person than `PERSONAL_SPACE_M`, 0 to 1, per second."""
    return change.step_s * np.clip(1 - change.person_gap / PERSONAL_SPACE_M, 0, 1)


def clearance(change: Change) -> np.ndarray:
    """Scraping past things closer than `CLEARANCE_M`, 0 to 1, per second."""
    return change.step_s * np.clip(1 - change.static_gap / CLEARANCE_M, 0, 1)


def smoothness(change: Change) -> np.ndarray:
    """Changing the turn rate, rad/s."""
    return np.abs(change.omega_change)


def time(change: Change) -> np.ndarray:
    """The seconds that passed."""
    return np.full(len(change.arrived), change.step_s)


Weights = dict[Callable[[Change], np.ndarray], float]

REWARDS: dict[str, tuple[float, Weights]] = {
    "urban_sim": (
        1 / 400,
        {
            arrive: 2000.0,
            collision: -200.0,
            position: 10.0,
            position_fine: 50.0,
            towards_goal: 20.0,
            target_velocity: 10.0,
            sidewalk: -5.0,
            personal_space: -20.0,
            smoothness: -2.0,
        },
    ),
    "compact": (
        1.0,
        {
            arrive: 5.0,
            collision: -5.0,
            towards_goal: 1.0,
            sidewalk: -0.1,
            personal_space: -1.0,
            clearance: -1.5,
            smoothness: -0.04,
            time: -0.1,
        },
    ),
}
"""Sets of terms: a scale that brings returns near 1 to 10, and each term's weight.

`urban_sim` has URBAN-SIM's navigation terms and weights (arrive, collision, two tanh position
terms, moving towards the goal, target velocity); the rule terms and their weights are ours.
`compact` is dense in progress and strict about contact.
"""


def reward_terms(name: str, change: Change) -> dict[str, np.ndarray]:
    """Every term of a set, weighted and scaled, by name; their sum is the reward."""
    scale, weights = REWARDS[name]
    return {term.__name__: scale * weight * term(change) for term, weight in weights.items()}
