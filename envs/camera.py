"""Pinhole cameras on robots: OpenCV optical frames (x right, y down, z forward) in a REP-103 world (z up)."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Camera:
    """A camera and how it is mounted on a robot.

    `x` and `z` are its place in the robot's frame (metres), `pitch_deg` is positive when it looks down.
    """

    height_px: int = 96
    width_px: int = 160
    hfov_deg: float = 90.0
    x: float = 0.2
    z: float = 0.6
    pitch_deg: float = 5.0

    def intrinsics(self) -> np.ndarray:
        """(4,) float64: fx, fy, cx, cy in pixels; square pixels, principal point in the middle."""
        focal = 0.5 * self.width_px / np.tan(np.radians(self.hfov_deg) / 2)
        return np.array([focal, focal, self.width_px / 2, self.height_px / 2])


def camera_poses(robot_poses: np.ndarray, camera: Camera, ground_z: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Where the cameras of robots are.

    Args:
        robot_poses: (V, 3) x, y, yaw of the robots.
        camera: the camera and its mount.
        ground_z: height of the ground that the robots stand on, metres.

    Returns:
        Positions (V, 3) and rotations (V, 3, 3), float64. A world point p is at `rotation @ (p - position)`
        in the optical frame.
    """
    poses = np.asarray(robot_poses, dtype=np.float64)
    yaw, pitch = poses[:, 2], np.radians(camera.pitch_deg)
    cos_yaw, sin_yaw, zero = np.cos(yaw), np.sin(yaw), np.zeros_like(yaw)
    positions = np.stack(
        [poses[:, 0] + camera.x * cos_yaw, poses[:, 1] + camera.x * sin_yaw, np.full_like(yaw, ground_z + camera.z)], 1
    )
    forward = np.stack([cos_yaw * np.cos(pitch), sin_yaw * np.cos(pitch), zero - np.sin(pitch)], 1)
    right = np.stack([sin_yaw, -cos_yaw, zero], 1)
    down = np.cross(forward, right)
    return positions, np.stack([right, down, forward], 1)
