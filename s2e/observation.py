"""The vector part of what a policy sees, the same in video and in simulation."""

import numpy as np

ROBOT_FIELDS = ("length_m", "width_m", "v_max", "omega_max", "camera_height_m", "camera_hfov_deg")
"""What the policy is told about the robot that it drives: footprint, speed limits, and how its camera sees."""

ODOMETRY_AGO_S = 0.4, 1.0, 2.0, 4.0
"""Moments whose poses a robot's odometry is told of, seconds ago."""
ODOMETRY = 3 + 4 * len(ODOMETRY_AGO_S)
"""Numbers of an `odometry_token`."""
_ODOMETRY_CLIP_M = 5.0

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


def odometry_token(pose: np.ndarray, ago: np.ndarray, command: np.ndarray) -> np.ndarray:
    """What a robot did lately, and what it was told: one that is told to drive and stands is stuck, whatever its camera shows.

    Args:
        pose: (B, 3) where it is, by its own reckoning. ago: (B, K, 3) where it was at `ODOMETRY_AGO_S`.
        command: (B, 2) metres ahead and left, where it was last told to be a second later.

    Returns:
        (B, ODOMETRY) float32; zeros where anything is NaN: not known.
    """
    away = np.clip(to_robot(ago[..., :2], pose[:, None]), -_ODOMETRY_CLIP_M, _ODOMETRY_CLIP_M)
    turned = ago[..., 2] - pose[:, 2:]
    trail = np.concatenate([away, np.sin(turned)[..., None], np.cos(turned)[..., None]], -1).reshape(len(pose), -1)
    token = np.concatenate([np.ones((len(pose), 1)), command, trail], 1)
    return np.where(np.isnan(token).any(1, keepdims=True), 0.0, token).astype(np.float32)


def reckoned(pose: np.ndarray, ego: np.ndarray, passed_s: float) -> np.ndarray:
    """Poses (B, 3) after `passed_s` of the motion `ego` (B, >= 2), m/s and rad/s."""
    middle = pose[:, 2] + 0.5 * passed_s * ego[:, 1]
    step = np.stack([ego[:, 0] * np.cos(middle), ego[:, 0] * np.sin(middle), ego[:, 1]], 1)
    return pose + passed_s * step


class Odometry:
    """Where N robots were in the last seconds, reckoned from their speeds, and what they were told.

    Args:
        robots: N. step_s: between calls of `token`.
    """

    def __init__(self, robots: int, step_s: float):
        self.step_s = step_s
        self.ago = np.array([round(s / step_s) for s in ODOMETRY_AGO_S])
        self.trail = np.zeros((robots, int(self.ago.max()) + 1, 3))  # the newest first
        self.command = np.zeros((robots, 2))

    def begin(self, robots: np.ndarray) -> None:
        """Some stand at the beginning of an episode, as if they had always stood there."""
        self.trail[robots], self.command[robots] = 0.0, 0.0

    def token(self, ego: np.ndarray, robots: np.ndarray) -> np.ndarray:
        """(V, ODOMETRY) of some robots, a step after they were asked last; `ego` (V, 3) is `ego_state`."""
        trail = self.trail[robots]
        trail[:, 1:] = trail[:, :-1].copy()
        trail[:, 0] = reckoned(trail[:, 1], ego, self.step_s)
        self.trail[robots] = trail
        return odometry_token(trail[:, 0], trail[:, self.ago], self.command[robots])


def robot_token(values: np.ndarray) -> np.ndarray:
    """(B, 6) `ROBOT_FIELDS` to network input (B, 6) float32 of about 1; a robot with anything unknown (NaN) is NaN as a whole."""
    scaled = np.asarray(values, dtype=np.float32) / _ROBOT_SCALE
    return np.where(np.isnan(scaled).any(-1, keepdims=True), np.float32(np.nan), scaled)
