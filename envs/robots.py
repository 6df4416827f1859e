"""Robots that drive on the ground: their limits, their footprint, and how a command moves them."""

import math
from dataclasses import dataclass, field
from typing import Literal

import numba
import numpy as np

from s2e.envs.camera import Camera
from s2e.errors import UserError


@dataclass(frozen=True)
class Robot:
    """One kind of robot. It does not reverse.

    Attributes:
        name: the key in `ROBOTS`.
        drive: "differential" turns in place; "ackermann" steers, so that |omega| <= curvature_max * v.
        v_max: top speed, m/s.
        accel_max: hardest acceleration, m/s^2.
        brake_max: hardest braking, m/s^2.
        omega_max: top turn rate, rad/s.
        alpha_max: hardest change of the turn rate, rad/s^2.
        curvature_max: tightest curvature, 1/m; infinite for a differential drive.
        lag_s: time constant with which the drive follows a command, seconds.
        disc_offsets: x of the discs that cover the footprint, in the robot's frame, metres.
        disc_radius: their common radius, metres.
        length, width: the footprint's rectangle, metres; it is centred on the mean of `disc_offsets`.
        height: the body's top above the ground, metres.
        camera: the camera and its mount.
    """

    name: str
    drive: Literal["differential", "ackermann"]
    v_max: float
    accel_max: float
    brake_max: float
    omega_max: float
    alpha_max: float
    curvature_max: float
    lag_s: float
    disc_offsets: tuple[float, ...]
    disc_radius: float
    length: float
    width: float
    height: float
    camera: Camera = field(default_factory=Camera)

    def limits(self) -> np.ndarray:
        """(7,) float64 for the kernels: v_max, accel_max, brake_max, omega_max, alpha_max, curvature_max, lag_s."""
        return np.array(
            [
                self.v_max,
                self.accel_max,
                self.brake_max,
                self.omega_max,
                self.alpha_max,
                self.curvature_max,
                self.lag_s,
            ],
            dtype=np.float64,
        )

    def discs(self) -> np.ndarray:
        """(D,) float64: `disc_offsets` as an array."""
        return np.array(self.disc_offsets, dtype=np.float64)


def cover_rectangle(length: float, width: float, count: int, centre_x: float = 0.0) -> tuple[tuple[float, ...], float]:
    """Discs that cover a rectangle: each covers one of `count` equal slices. Returns their x offsets and radius."""
    slice_m = length / count
    offsets = tuple(centre_x + (i + 0.5) * slice_m - length / 2 for i in range(count))
    return offsets, math.hypot(slice_m / 2, width / 2)


def _jackal() -> Robot:
    # Clearpath Jackal: 0.508 x 0.430 m, 2.0 m/s by its data sheet; held to a brisk walk here.
    offsets, radius = cover_rectangle(0.508, 0.430, 2)
    return Robot(
        name="jackal",
        drive="differential",
        v_max=1.5,
        accel_max=2.0,
        brake_max=3.0,
        omega_max=2.0,
        alpha_max=6.0,
        curvature_max=math.inf,
        lag_s=0.1,
        disc_offsets=offsets,
        disc_radius=radius,
        length=0.508,
        width=0.430,
        height=0.5,
        camera=Camera(x=0.2, z=0.5, pitch_deg=5.0),
    )


def _coco() -> Robot:
    # A sidewalk delivery robot, 0.9 x 0.55 m. Chosen wheelbase 0.6 m, steering to 40 degrees: radius 0.72 m.
    # The pose is the middle of the rear axle, where Ackermann steering has no side slip.
    wheelbase = 0.6
    offsets, radius = cover_rectangle(0.9, 0.55, 3, centre_x=wheelbase / 2)
    return Robot(
        name="coco",
        drive="ackermann",
        v_max=1.8,
        accel_max=1.5,
        brake_max=3.0,
        omega_max=1.5,
        alpha_max=4.0,
        curvature_max=math.tan(math.radians(40.0)) / wheelbase,
        lag_s=0.15,
        disc_offsets=offsets,
        disc_radius=radius,
        length=0.9,
        width=0.55,
        height=0.65,
        camera=Camera(x=0.6, z=0.6, pitch_deg=5.0),
    )


ROBOTS: dict[str, Robot] = {"jackal": _jackal(), "coco": _coco()}


@numba.njit(cache=True)
def advance(x, y, yaw, v, omega, v_command, omega_command, limits, dt):
    """One robot's next (x, y, yaw, v, omega) after `dt` seconds of one command; see `step_robots`."""
    v_max, accel, brake, omega_max, alpha, curvature_max, lag = limits
    v_target = min(max(v_command, 0.0), v_max)
    omega_target = min(max(omega_command, -omega_max), omega_max)
    follow = 1.0 - math.exp(-dt / lag) if lag > 0.0 else 1.0
    v_new = v + min(max((v_target - v) * follow, -brake * dt), accel * dt)
    v_new = min(max(v_new, 0.0), v_max)
    steered = curvature_max < 1e6
    if steered:
        # A steered robot holds a curvature, so its turn rate grows with the speed it has, not the one it was told.
        curvature = omega_target / v_target if v_target > 1e-6 else 0.0
        omega_target = min(max(curvature, -curvature_max), curvature_max) * v_new
    omega_new = omega + min(max((omega_target - omega) * follow, -alpha * dt), alpha * dt)
    bound = min(omega_max, curvature_max * v_new) if steered else omega_max
    omega_new = min(max(omega_new, -bound), bound)
    half = 0.5 * omega_new * dt
    chord = v_new * dt * (math.sin(half) / half if abs(half) > 1e-8 else 1.0)
    x += chord * math.cos(yaw + half)
    y += chord * math.sin(yaw + half)
    yaw += 2.0 * half
    yaw -= 2.0 * math.pi * math.floor((yaw + math.pi) / (2.0 * math.pi))
    return x, y, yaw, v_new, omega_new


@numba.njit(cache=True)
def _step(poses, velocities, commands, limits, dt):
    poses_out = np.empty_like(poses)
    velocities_out = np.empty_like(velocities)
    for n in range(poses.shape[0]):
        x, y, yaw, v, omega = advance(
            poses[n, 0], poses[n, 1], poses[n, 2], velocities[n, 0], velocities[n, 1],
            commands[n, 0], commands[n, 1], limits, dt,
        )  # fmt: skip
        poses_out[n, 0], poses_out[n, 1], poses_out[n, 2] = x, y, yaw
        velocities_out[n, 0], velocities_out[n, 1] = v, omega
    return poses_out, velocities_out


def step_robots(
    robot: Robot, poses: np.ndarray, velocities: np.ndarray, commands: np.ndarray, dt: float
) -> tuple[np.ndarray, np.ndarray]:
    """Moves N robots for `dt` seconds under one command each.

    The command is clipped to the robot's limits, followed with a first-order lag and bounded acceleration, and the
    motion is the exact arc of the resulting velocity. A steered robot follows the command's curvature.

    Args:
        robot: what they all are.
        poses: (N, 3) x, y (m), yaw (rad).
        velocities: (N, 2) v (m/s), omega (rad/s), as of the last step.
        commands: (N, 2) wanted v and omega.
        dt: seconds.

    Returns:
        New poses (yaw in -pi..pi) and velocities.

    Raises:
        UserError: a command is not finite.
    """
    commands = np.ascontiguousarray(commands, dtype=np.float64)
    bad = ~np.isfinite(commands).all(axis=1)
    if bad.any():
        world = int(np.argmax(bad))
        raise UserError(
            f"commands[{world}] of world {world} is {commands[world].tolist()}: v and omega must be finite numbers; "
            "check the policy's output for NaN"
        )
    poses = np.ascontiguousarray(poses, dtype=np.float64)
    velocities = np.ascontiguousarray(velocities, dtype=np.float64)
    return _step(poses, velocities, commands, robot.limits(), float(dt))
