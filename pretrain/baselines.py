"""Predictors that learn nothing: what a policy has to beat."""

import numpy as np

from s2e.policy.config import PolicyConfig

NOMINAL_SPEED = (
    0.05  # m/s: a robot that stands has a direction to its goal too, and the cosine needs one
)


def constant_velocity(ego: np.ndarray, config: PolicyConfig) -> np.ndarray:
    """(B, 3) ego states to (B, T, 2) metres: the robot keeps its speed and its yaw rate."""
    t = config.waypoint_dt_s * np.arange(1, config.waypoints + 1)
    v, omega = ego[:, :1], ego[:, 1:2]
    angle = omega * t
    small = np.abs(angle) < 1e-6
    radius = v / np.where(np.abs(omega) < 1e-9, 1e-9, omega)
    x = np.where(small, v * t, radius * np.sin(angle))
    y = np.where(small, 0.0, radius * (1 - np.cos(angle)))
    return np.stack([x, y], -1)


def straight_to_goal(goal_xy: np.ndarray, ego: np.ndarray, config: PolicyConfig) -> np.ndarray:
    """(B, 2) goals in metres to (B, T, 2): straight at the goal with the present speed, and no
    farther.
    """
    t = config.waypoint_dt_s * np.arange(1, config.waypoints + 1)
    distance = np.linalg.norm(goal_xy, axis=-1, keepdims=True)
    along = np.minimum(np.maximum(ego[:, :1], NOMINAL_SPEED) * t, distance)
    return (goal_xy / np.maximum(distance, 1e-9))[:, None] * along[..., None]
