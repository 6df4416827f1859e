"""Pinhole cameras on robots: OpenCV optical frames (x right, y down, z forward) in a REP-103 world
(z up).
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Camera:
    """A camera and how it is mounted on a robot.

    `x` and `z` are its place in the robot's frame (metres), `pitch_deg` is positive when it looks
    down.
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


def camera_poses(
    robot_poses: np.ndarray, camera: Camera, ground_z: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Where the cameras of robots are.

    Args:
        robot_poses: (V, 3) x, y, yaw of the robots.
        camera: the camera and its mount.
        ground_z: height of the ground that the robots stand on, metres.

    Returns:
        Positions (V, 3) and rotations (V, 3, 3), float64. A world point p is at
        `rotation @ (p - position)` in the optical frame.
    """
    poses = np.asarray(robot_poses, dtype=np.float64)
    yaw, pitch = poses[:, 2], np.radians(camera.pitch_deg)
    cos_yaw, sin_yaw, zero = np.cos(yaw), np.sin(yaw), np.zeros_like(yaw)
    positions = np.stack(
        [
            poses[:, 0] + camera.x * cos_yaw,
            poses[:, 1] + camera.x * sin_yaw,
            np.full_like(yaw, ground_z + camera.z),
        ],
        1,
    )
    forward = np.stack([cos_yaw * np.cos(pitch), sin_yaw * np.cos(pitch), zero - np.sin(pitch)], 1)
    right = np.stack([sin_yaw, -cos_yaw, zero], 1)
    down = np.cross(forward, right)
    return positions, np.stack([right, down, forward], 1)


def draw_camera(rng: np.random.Generator) -> tuple[float, float, float]:
    """Horizontal field of view (degrees), height (m) and pitch (degrees, positive looks down) of a
    camera as robots carry them.

    60 to 120 degrees: depth cameras and telephones to action cameras. 0.3 m, a small quadruped's,
    to 1.3 m, a humanoid's or a cart's mast. From slightly up to 15 degrees down, and the higher the
    mount, up to 10 more.
    """
    hfov, height = rng.uniform(60.0, 120.0), rng.uniform(0.3, 1.3)
    return hfov, height, rng.uniform(-4.0, 15.0 + 10.0 * (height - 0.3))


def view_intrinsics(camera: np.ndarray, height_px: int, width_px: int) -> np.ndarray:
    """(V, 4) float64 fx, fy, cx, cy in pixels of cameras (V, 4) whose first column is the
    horizontal field of view, degrees.
    """
    focal = 0.5 * width_px / np.tan(np.radians(camera[:, 0]) / 2)
    return np.stack(
        [focal, focal, np.full_like(focal, width_px / 2), np.full_like(focal, height_px / 2)],
        axis=1,
    )


def view_poses(
    poses: np.ndarray,
    ground_z: np.ndarray,
    camera: np.ndarray,
    sway: np.ndarray,
    travelled: np.ndarray,
    speed: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Where the cameras of robots of many kinds are, with the sway of those that walk.

    A walking body rolls once in a stride, and pitches and bobs twice (once a step); all of it fades
    out below 0.5 m/s. It turns about the point on the ground under it.

    Args:
        poses: (V, 3) x, y, yaw of the robots.
        ground_z: (V,) height of the ground under them, metres.
        camera: (V, 4) field of view (degrees), x, z (m), pitch (degrees): rows of `Fleet.camera`.
        sway: (V, 4) roll, pitch (rad), height (m), stride (m): rows of `Fleet.sway`.
        travelled: (V,) metres walked so far: the gait's phase.
        speed: (V,) m/s.

    Returns:
        Positions (V, 3) and rotations (V, 3, 3), float64, as in `camera_poses`.
    """
    poses = np.asarray(poses, dtype=np.float64)
    phase, fade = 2.0 * np.pi * travelled / sway[:, 3], np.minimum(np.abs(speed) / 0.5, 1.0)
    roll = sway[:, 0] * fade * np.sin(phase)
    lean = sway[:, 1] * fade * np.sin(2.0 * phase + 0.7)
    bob = sway[:, 2] * fade * np.cos(2.0 * phase)
    body = _turn(poses[:, 2], 2) @ _turn(lean, 1) @ _turn(roll, 0)
    mount = np.stack([camera[:, 1], np.zeros(len(poses)), camera[:, 2]], axis=1)
    positions = np.concatenate([poses[:, :2], (ground_z + bob)[:, None]], axis=1) + np.einsum(
        "vij,vj->vi", body, mount
    )
    axes = body @ _turn(np.radians(camera[:, 3]), 1)
    return positions, np.stack([-axes[:, :, 1], -axes[:, :, 2], axes[:, :, 0]], axis=1)


def _turn(angle: np.ndarray, axis: int) -> np.ndarray:
    """(V, 3, 3) rotations by (V,) angles about x, y or z."""
    matrix = np.zeros((len(angle), 3, 3))
    i, j = (axis + 1) % 3, (axis + 2) % 3
    matrix[:, axis, axis] = 1.0
    matrix[:, i, i] = matrix[:, j, j] = np.cos(angle)
    matrix[:, i, j], matrix[:, j, i] = -np.sin(angle), np.sin(angle)
    return matrix
