"""The vector part of what a policy sees, the same in video and in simulation."""

import numpy as np

ROBOT_FIELDS = ("length_m", "width_m", "v_max", "omega_max", "camera_height_m", "camera_hfov_deg")
"""What the policy is told about the robot that it drives: footprint, speed limits, and how its camera sees."""

_ROBOT_SCALE = np.array([1.0, 1.0, 2.0, 2.0, 1.0, 90.0], dtype=np.float32)


def wrapped(angle: np.ndarray) -> np.ndarray:
    """Angles in radians, brought into (-pi, pi]."""
    return np.arctan2(np.sin(angle), np.cos(angle))


def to_robot(points: np.ndarray, pose: np.ndarray) -> np.ndarray:
    """World points (..., 2) in the frame of robot poses (..., 3) that broadcast against them."""
    d = points - pose[..., :2]
    c, s = np.cos(pose[..., 2]), np.sin(pose[..., 2])
    return np.stack([d[..., 0] * c + d[..., 1] * s, d[..., 1] * c - d[..., 0] * s], -1)


def goal_token(goal_xy: np.ndarray, clip_m: float) -> np.ndarray:
    """(B, 2) goal in the robot's frame to (B, 3): distance clipped and divided by `clip_m`, cos and sin of the bearing."""
    distance = np.linalg.norm(goal_xy, axis=-1)
    bearing = np.arctan2(goal_xy[:, 1], goal_xy[:, 0])
    return np.stack([np.minimum(distance, clip_m) / clip_m, np.cos(bearing), np.sin(bearing)], -1).astype(np.float32)


def ego_state(v: np.ndarray, omega: np.ndarray) -> np.ndarray:
    """Speed (m/s) and yaw rate (rad/s), each (B,), to (B, 3): both, and the curvature (1/m) within 2."""
    return np.stack([v, omega, np.clip(omega / np.maximum(np.abs(v), 0.1), -2, 2)], -1).astype(np.float32)


def robot_token(values: np.ndarray) -> np.ndarray:
    """(B, 6) `ROBOT_FIELDS` to network input (B, 6) float32 of about 1; a robot with anything unknown (NaN) is NaN as a whole."""
    scaled = np.asarray(values, dtype=np.float32) / _ROBOT_SCALE
    return np.where(np.isnan(scaled).any(-1, keepdims=True), np.float32(np.nan), scaled)
