"""Robots that move on the ground: their limits, their footprint, their eyes, and how a command
moves them.
"""

import math
from dataclasses import dataclass, field, replace
from typing import Literal

import numba
import numpy as np

from s2e.core.errors import UserError
from s2e.envs.geometry.camera import Camera

DRIVES = ("differential", "ackermann", "holonomic")
"""How robots move, in the order of their ids."""

MAX_DISCS = 3
"""Discs of a footprint at most."""
REVERSE_MPS = 0.3
"""How fast any robot backs off, m/s: none has a camera behind."""


@dataclass(frozen=True)
class Robot:
    """One kind of robot, or one specimen of it (`randomise`). All back off at `REVERSE_MPS` at
    most.

    Attributes:
        name: the kind, a key of `ROBOTS`.
        drive: "differential" turns in place; "ackermann" steers, so that |omega| <= curvature_max *
            v; "holonomic" walks sideways too.
        v_max: top speed, m/s.
        accel_max: hardest acceleration, m/s^2.
        brake_max: hardest braking, m/s^2.
        omega_max: top turn rate, rad/s.
        alpha_max: hardest change of the turn rate, rad/s^2.
        curvature_max: tightest curvature, 1/m; infinite for who turns in place.
        lag_s: time constant with which the drive follows a command, seconds.
        disc_offsets: x of the discs that cover the footprint, in the robot's frame, metres.
        disc_radius: their common radius, metres.
        length, width: the footprint's rectangle, metres; it is centred on the mean of
            `disc_offsets`.
        height: the body's top above the ground, metres.
        camera: the camera and its mount.
        lateral_max: top speed sideways, m/s; 0 on wheels.
        lateral_accel: hardest acceleration sideways, m/s^2.
        slip: relative error of the motion against what the drive believes, 0 is none; see
            `s2e.envs.robots.kinematic.step_robots`.
        slip_spread: the slip that `randomise` gives.
        latency_s: time from a command to its first effect, seconds.
        step_height: highest kerb or step that it climbs, metres.
        sway: amplitudes of roll and pitch (rad) and of the height (m) of a walking body, and the
            stride (m) in which they repeat.
        mass: kilograms.
        wheel_radius, track, wheelbase: metres; 0 where there is no such thing.
    """

    name: str
    drive: Literal["differential", "ackermann", "holonomic"]
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
    lateral_max: float = 0.0
    lateral_accel: float = 0.0
    slip: float = 0.0
    slip_spread: float = 0.0
    latency_s: float = 0.0
    step_height: float = 0.05
    sway: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 1.0)
    mass: float = 20.0
    wheel_radius: float = 0.0
    track: float = 0.0
    wheelbase: float = 0.0

    def __post_init__(self):
        if self.drive not in DRIVES:
            raise UserError(
                f"robot {self.name!r}: drive {self.drive!r} is not one of {', '.join(DRIVES)}"
            )
        if not 1 <= len(self.disc_offsets) <= MAX_DISCS:
            raise UserError(
                f"robot {self.name!r} has {len(self.disc_offsets)} footprint discs: disc_offsets "
                f"takes 1 to {MAX_DISCS}"
            )
        if not np.isfinite(self.disc_offsets).all():
            raise UserError(
                f"robot {self.name!r}: disc_offsets {self.disc_offsets} must be finite metres"
            )
        for name in ("disc_radius", "v_max", "length", "width", "height", "mass"):
            if not 0.0 < getattr(self, name) < math.inf:
                raise UserError(
                    f"robot {self.name!r}: {name} is {getattr(self, name)}; it must be above 0 and "
                    "finite"
                )
        for name in (
            "accel_max",
            "brake_max",
            "omega_max",
            "alpha_max",
            "curvature_max",
            "lag_s",
            "lateral_max",
            "lateral_accel",
            "slip",
            "slip_spread",
            "latency_s",
            "step_height",
            "wheel_radius",
            "track",
            "wheelbase",
        ):
            value = getattr(self, name)
            if not value >= 0.0 or (value == math.inf and name != "curvature_max"):
                raise UserError(
                    f"robot {self.name!r}: {name} is {value}; it must be 0 or more, and a number"
                )
        if not (np.isfinite(self.sway).all() and len(self.sway) == 4 and self.sway[3] > 0.0):
            raise UserError(
                f"robot {self.name!r}: sway {self.sway} must be roll, pitch, height and a stride "
                "above 0"
            )

    def limits(self) -> np.ndarray:
        """(9,) float64 for the kernels: v, accel, brake, omega, alpha, curvature, lag, lateral,
        lateral acceleration.
        """
        return np.array(
            [
                self.v_max,
                self.accel_max,
                self.brake_max,
                self.omega_max,
                self.alpha_max,
                self.curvature_max,
                self.lag_s,
                self.lateral_max,
                self.lateral_accel,
            ],
            dtype=np.float64,
        )

    def discs(self) -> np.ndarray:
        """(D,) float64: `disc_offsets` as an array."""
        return np.array(self.disc_offsets, dtype=np.float64)


def cover_rectangle(
    length: float, width: float, count: int, centre_x: float = 0.0
) -> tuple[tuple[float, ...], float]:
    """Discs that cover a rectangle: each covers one of `count` equal slices. Returns their x
    offsets and radius.
    """
    slice_m = length / count
    offsets = tuple(centre_x + (i + 0.5) * slice_m - length / 2 for i in range(count))
    return offsets, math.hypot(slice_m / 2, width / 2)


def _jackal() -> Robot:
    # Clearpath Jackal, data sheet: 0.508 x 0.430 x 0.250 m, 17 kg, 2.0 m/s; held to a brisk walk
    # here. Its ROS control configuration: wheels of 0.098 m radius, 0.37 x 0.262 m apart;
    # navigation there at 2 m/s^2 and 2 rad/s. Chosen: 3 m/s^2 of braking (tyres hold more), the
    # lag, the camera's mast and lens, 0.05 m of step (half a wheel), 5 % of slip (skid steering),
    # 20 ms of latency (50 Hz drive loop).
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
        slip_spread=0.05,
        latency_s=0.02,
        step_height=0.05,
        mass=17.0,
        wheel_radius=0.098,
        track=0.37,
        wheelbase=0.262,
    )


def _coco() -> Robot:
    # A sidewalk delivery robot after Coco. URBAN-SIM's configuration: steering to 40 degrees, 0 to
    # 4 m/s, 10 Hz commands (the latency), camera 0.51 m ahead. Held to 1.8 m/s here: sidewalks
    # share it with people, and cities limit such robots to a walk. Chosen: 0.9 x 0.55 x 0.65 m,
    # wheelbase 0.6 m (radius 0.72 m), wheels of 0.13 m (URBAN-SIM's 0.3 m are for a body whose
    # wheelbase it gives as 1.5 m), 45 kg, 0.06 m of step, 2 % of slip, accelerations that keep a
    # load in place. The pose is the middle of the rear axle, where Ackermann steering has no side
    # slip.
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
        slip_spread=0.02,
        latency_s=0.1,
        step_height=0.06,
        mass=45.0,
        wheel_radius=0.13,
        track=0.46,
        wheelbase=wheelbase,
    )


def _go2() -> Robot:
    # Unitree Go2, data sheet: 0.70 x 0.31 x 0.40 m standing, 15 kg, 0 to 2.5 (Air) or 3.7 m/s
    # (Pro), climbs about 0.16 m, front camera of 120 degrees. Held to 1.5 m/s: what walking
    # controllers keep on rough ground. Chosen: half the speed sideways, accelerations and lag of a
    # trot at 2 steps a second, 100 of the lens's 120 degrees (without the fisheye's rim), sway of 1
    # to 1.5 degrees and 1 cm in strides of 0.5 m, 6 % of slip (foot scrub).
    offsets, radius = cover_rectangle(0.70, 0.31, 3)
    return Robot(
        name="go2",
        drive="holonomic",
        v_max=1.5,
        accel_max=2.5,
        brake_max=3.0,
        omega_max=2.0,
        alpha_max=6.0,
        curvature_max=math.inf,
        lag_s=0.15,
        disc_offsets=offsets,
        disc_radius=radius,
        length=0.70,
        width=0.31,
        height=0.40,
        camera=Camera(hfov_deg=100.0, x=0.33, z=0.36, pitch_deg=0.0),
        lateral_max=0.75,
        lateral_accel=1.5,
        slip_spread=0.06,
        latency_s=0.02,
        step_height=0.16,
        sway=(0.025, 0.018, 0.01, 0.5),
        mass=15.0,
    )


def _g1() -> Robot:
    # Unitree G1, data sheet: 1.32 x 0.45 x 0.20 m, 35 kg, 2 m/s; RealSense D435i in the head (69
    # degrees of colour image). Held to 1.2 m/s. Chosen: 0.3 m/s sideways, slower starts and turns
    # than on four legs, 10 degrees of pitch (the head's own camera looks 48 degrees down, at its
    # hands), 0.15 m of step (a stair), footprint 0.30 m deep with the stride's feet, sway of 2
    # degrees and 2 cm in strides of 1 m, 4 % of slip.
    offsets, radius = cover_rectangle(0.30, 0.45, 1)
    return Robot(
        name="g1",
        drive="holonomic",
        v_max=1.2,
        accel_max=1.2,
        brake_max=1.8,
        omega_max=1.5,
        alpha_max=4.0,
        curvature_max=math.inf,
        lag_s=0.25,
        disc_offsets=offsets,
        disc_radius=radius,
        length=0.30,
        width=0.45,
        height=1.32,
        camera=Camera(hfov_deg=69.0, x=0.08, z=1.22, pitch_deg=10.0),
        lateral_max=0.3,
        lateral_accel=0.8,
        slip_spread=0.04,
        latency_s=0.02,
        step_height=0.15,
        sway=(0.035, 0.025, 0.02, 1.0),
        mass=35.0,
    )


ROBOTS: dict[str, Robot] = {robot.name: robot for robot in (_jackal(), _coco(), _go2(), _g1())}


def randomise(rng: np.random.Generator, robot: Robot, amount: float = 1.0) -> Robot:
    """One specimen of a kind of robot (domain randomisation; the ranges are chosen).

    At amount 1: speeds 15 %, accelerations 25 % and the lag 50 % up or down, latency 0 to 0.2 s
    more, the footprint 5 %, the camera 0.05 m in height, 3 cm ahead, 4 degrees in pitch and 8 % in
    its field of view; the slip is the kind's spread. Smaller amounts scale the ranges. The height
    of step stays the kind's.

    Args:
        rng: the only source of chance; 9 numbers are drawn whatever the amount.
        robot: the nominal robot.
        amount: 0 gives the nominal robot, which does not slip, up to 1.

    Raises:
        UserError: the amount is not in 0..1.
    """
    if not 0.0 <= amount <= 1.0:
        raise UserError(f"randomisation of robots by {amount}: give an amount from 0 (none) to 1")
    draw = rng.uniform(-1.0, 1.0, 9) * amount
    speed, force = 1.0 + 0.15 * draw[0], 1.0 + 0.25 * draw[1]
    lag, size = 1.0 + 0.5 * draw[2], 1.0 + 0.05 * draw[3]
    late = 0.1 * (draw[4] + amount)
    camera = replace(
        robot.camera,
        z=max(robot.camera.z + 0.05 * draw[5], 0.05),
        x=robot.camera.x + 0.03 * draw[6],
        pitch_deg=robot.camera.pitch_deg + 4.0 * draw[7],
        hfov_deg=robot.camera.hfov_deg * (1.0 + 0.08 * draw[8]),
    )
    return replace(
        robot,
        v_max=robot.v_max * speed,
        omega_max=robot.omega_max * speed,
        lateral_max=robot.lateral_max * speed,
        accel_max=robot.accel_max * force,
        brake_max=robot.brake_max * force,
        alpha_max=robot.alpha_max * force,
        lateral_accel=robot.lateral_accel * force,
        lag_s=robot.lag_s * lag,
        latency_s=robot.latency_s + late,
        disc_offsets=tuple(o * size for o in robot.disc_offsets),
        disc_radius=robot.disc_radius * size,
        length=robot.length * size,
        width=robot.width * size,
        slip=robot.slip_spread * amount,
        camera=camera,
    )


@numba.njit(cache=True)
def advance(x, y, yaw, v, omega, v_command, omega_command, limits, dt):
    """One robot's next (x, y, yaw, v, omega) after `dt` seconds of one command; see
    `s2e.envs.robots.kinematic.step_robots`.
    """
    v_max, accel, brake = limits[0], limits[1], limits[2]
    omega_max, alpha = limits[3], limits[4]
    curvature_max, lag = limits[5], limits[6]
    slowest = -min(REVERSE_MPS, v_max)
    v_target = min(max(v_command, slowest), v_max)
    omega_target = min(max(omega_command, -omega_max), omega_max)
    follow = 1.0 - math.exp(-dt / lag) if lag > 0.0 else 1.0
    v_new = v + min(max((v_target - v) * follow, -brake * dt), accel * dt)
    v_new = min(max(v_new, slowest), v_max)
    steered = curvature_max < 1e6
    if steered:
        # A steered robot holds a curvature, so its turn rate grows with the speed it has, not the
        # one it was told.
        curvature = omega_target / v_target if abs(v_target) > 1e-6 else 0.0
        omega_target = min(max(curvature, -curvature_max), curvature_max) * v_new
    omega_new = omega + min(max((omega_target - omega) * follow, -alpha * dt), alpha * dt)
    bound = min(omega_max, curvature_max * abs(v_new)) if steered else omega_max
    omega_new = min(max(omega_new, -bound), bound)
    x, y, yaw = along_arc(x, y, yaw, v_new, 0.0, omega_new, dt)
    return x, y, yaw, v_new, omega_new


@numba.njit(cache=True)
def along_arc(x, y, yaw, v, lateral, omega, dt):
    """Pose after `dt` seconds at a constant velocity in the robot's own frame: the exact arc; yaw
    in -pi..pi.
    """
    half = 0.5 * omega * dt
    stretch = dt * (math.sin(half) / half if abs(half) > 1e-8 else 1.0)
    cos_mid, sin_mid = math.cos(yaw + half), math.sin(yaw + half)
    x += stretch * (v * cos_mid - lateral * sin_mid)
    y += stretch * (v * sin_mid + lateral * cos_mid)
    yaw += 2.0 * half
    yaw -= 2.0 * math.pi * math.floor((yaw + math.pi) / (2.0 * math.pi))
    return x, y, yaw
