"""How robots move: limits, lag, latency and slip of the drive, stopped by what stands still. The
default physics.

`Physics` is what a backend of `--physics` does; `Kinematic` is the batched one,
`s2e.envs.robots.mujoco_physics` the other.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numba
import numpy as np

from s2e.core.errors import UserError
from s2e.core.state import ArrayState
from s2e.envs.geometry.occupancy import DistanceFields
from s2e.envs.robots.collision import sweep
from s2e.envs.robots.fleet import CONTROL_S, MAX_LATENCY, Fleet
from s2e.envs.robots.kinds import Robot, advance, along_arc

STEP_SLIP = 0.3
"""Part of the slip that is new in every step; the rest stays through an episode."""


class Physics(Protocol):
    """What moves the robots of N worlds. Commands and velocities are (N, 3): v, omega, lateral (to
    the left).
    """

    def reset(
        self, world: int, scene: int, field: int, pose: np.ndarray, robot: Robot, seed: int
    ) -> None:
        """A world begins an episode at a pose (3,), in a scene of the pool and its distance field;
        `seed` gives its slip.
        """
        ...

    def move(
        self,
        poses: np.ndarray,
        velocities: np.ndarray,
        commands: np.ndarray,
        moving: np.ndarray,
        dt: float = CONTROL_S,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """One control period of the worlds that are `moving` (N,): new poses, velocities, and (N,)
        who was stopped.
        """
        ...

    def forget(self, scene: int) -> None:
        """Another scene has taken the place of one."""
        ...

    def arrays(self) -> dict[str, np.ndarray]:
        """Everything that `restore` needs, as copies."""
        ...

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Puts back what `arrays` took."""
        ...


@numba.njit(cache=True)
def _chance(seed, step, channel):
    """A number in -1..1 that only its arguments decide (the finaliser of SplitMix64, Steele et al.
    2014).
    """
    x = (
        np.uint64(seed) * np.uint64(0x9E3779B97F4A7C15)
        + np.uint64(step) * np.uint64(0xD1B54A32D192ED03)
        + np.uint64(channel)
    )
    for _ in range(2):
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        x = x ^ (x >> np.uint64(31))
    return float(x >> np.uint64(11)) / 4503599627370496.0 - 1.0


@numba.njit(cache=True)
def _share(slip, seed, step, channel):
    """What a slipping drive moves of what it believes."""
    return 1.0 + slip * (
        (1.0 - STEP_SLIP) * _chance(seed, -1, channel) + STEP_SLIP * _chance(seed, step, channel)
    )


@numba.njit(cache=True)
def _step(poses, velocities, commands, limits, slip, seeds, steps, dt, poses_out, velocities_out):
    """See `step_robots`; the last two are written."""
    for n in range(poses.shape[0]):
        x, y, yaw, v, omega = advance(
            poses[n, 0],
            poses[n, 1],
            poses[n, 2],
            velocities[n, 0],
            velocities[n, 1],
            commands[n, 0],
            commands[n, 1],
            limits[n],
            dt,
        )
        lateral, fastest = velocities[n, 2], limits[n, 7]
        if fastest > 0.0:
            follow = 1.0 - np.exp(-dt / limits[n, 6]) if limits[n, 6] > 0.0 else 1.0
            change = (min(max(commands[n, 2], -fastest), fastest) - lateral) * follow
            lateral = min(
                max(lateral + min(max(change, -limits[n, 8] * dt), limits[n, 8] * dt), -fastest),
                fastest,
            )
        else:
            lateral = 0.0
        if slip[n] > 0.0 or lateral != 0.0:
            v_true = v * _share(slip[n], seeds[n], steps[n], 0)
            omega_true = omega * _share(slip[n], seeds[n], steps[n], 1)
            lateral_true = lateral * _share(slip[n], seeds[n], steps[n], 2)
            x, y, yaw = along_arc(
                poses[n, 0], poses[n, 1], poses[n, 2], v_true, lateral_true, omega_true, dt
            )
        poses_out[n, 0], poses_out[n, 1], poses_out[n, 2] = x, y, yaw
        velocities_out[n, 0], velocities_out[n, 1], velocities_out[n, 2] = v, omega, lateral


def refuse_bad(commands: np.ndarray) -> np.ndarray:
    """(N, 3) float64 commands, checked.

    Raises:
        UserError: they have another shape, or one is not finite; names the world.
    """
    commands = np.ascontiguousarray(commands, dtype=np.float64)
    if commands.ndim != 2 or commands.shape[1] != 3:
        raise UserError(f"commands have shape {commands.shape}, expected (N, 3): v, omega, lateral")
    bad = ~np.isfinite(commands).all(axis=1)
    if bad.any():
        world = int(np.argmax(bad))
        raise UserError(
            f"commands[{world}] of world {world} is {commands[world].tolist()}: v, omega and "
            "lateral must be finite numbers; "
            "check the policy's output for NaN"
        )
    return commands


def step_robots(
    fleet: Fleet,
    poses: np.ndarray,
    velocities: np.ndarray,
    commands: np.ndarray,
    dt: float,
    seeds: np.ndarray | None = None,
    steps: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Moves N robots for `dt` seconds under one command each, as if nothing stood in their way.

    The command is clipped to the robot's limits, followed with a first-order lag and bounded
    acceleration, and the motion is the exact arc of the resulting velocity. A steered robot follows
    the command's curvature. A robot that slips moves by the velocity times 1 + slip * u, u in
    -1..1, one u for each of v, omega and lateral: 70 % of it stays through an episode, 30 % is new
    in every step. The velocity returned is what the drive believes.

    Args:
        fleet: the robots.
        poses: (N, 3) x, y (m), yaw (rad).
        velocities: (N, 3) v (m/s), omega (rad/s), lateral (m/s), as of the last step.
        commands: (N, 3) wanted v, omega and lateral.
        dt: seconds.
        seeds: (N,) integer, of each world's episode: what its slip is drawn from. Without them
            nobody slips.
        steps: (N,) integer, how many steps of the episode are over.

    Returns:
        New poses (yaw in -pi..pi) and velocities.

    Raises:
        UserError: a command is not finite.
    """
    commands = refuse_bad(commands)
    poses = np.ascontiguousarray(poses, dtype=np.float64)
    velocities = np.ascontiguousarray(velocities, dtype=np.float64)
    slip = fleet.slip if seeds is not None else np.zeros(len(poses))
    seeds = (
        np.zeros(len(poses), dtype=np.int64)
        if seeds is None
        else np.ascontiguousarray(seeds, dtype=np.int64)
    )
    steps = (
        np.zeros(len(poses), dtype=np.int64)
        if steps is None
        else np.ascontiguousarray(steps, dtype=np.int64)
    )
    poses_out, velocities_out = np.empty_like(poses), np.empty_like(velocities)
    _step(
        poses,
        velocities,
        commands,
        fleet.limits,
        slip,
        seeds,
        steps,
        float(dt),
        poses_out,
        velocities_out,
    )
    return poses_out, velocities_out


def delay(
    commands: np.ndarray, pending: np.ndarray, latency: np.ndarray, moving: np.ndarray
) -> np.ndarray:
    """The commands that take effect now, `latency` control periods after they were given.

    Args:
        commands: (N, 3) given now.
        pending: (N, MAX_LATENCY + 1, 3) those given before, newest first; updated in place where
            `moving`.
        latency: (N,) integer, periods.
        moving: (N,) bool.

    Returns:
        (N, 3).
    """
    pending[moving, 1:] = pending[moving, :-1]
    pending[moving, 0] = commands[moving]
    return pending[np.arange(len(commands)), latency]


@dataclass(eq=False)
class KinematicState(ArrayState):
    """What `Kinematic` keeps of N robots.

    Attributes:
        field_id: (N,) int64, the distance field that each moves in. seed: (N,) int64, of its slip.
        steps: (N,) int64, of its episode. pending: (N, MAX_LATENCY + 1, 3) its last commands.
    """

    field_id: np.ndarray
    seed: np.ndarray
    steps: np.ndarray
    pending: np.ndarray


class Kinematic(KinematicState):
    """Physics without forces, all worlds in one call: `step_robots`, then `sweep` along the way.

    A robot that is stopped stands (its velocity is 0).

    Args:
        fleet: the robots of N worlds; the caller keeps its rows current.
        fields: distance fields of the pool, among which `reset` chooses.
    """

    def __init__(self, fleet: Fleet, fields: DistanceFields):
        self.fleet, self.fields = fleet, fields
        super().__init__(
            field_id=np.zeros(fleet.count, dtype=np.int64),
            seed=np.zeros(fleet.count, dtype=np.int64),
            steps=np.zeros(fleet.count, dtype=np.int64),
            pending=np.zeros((fleet.count, MAX_LATENCY + 1, 3)),
        )

    def reset(
        self, world: int, scene: int, field: int, pose: np.ndarray, robot: Robot, seed: int
    ) -> None:
        """See `Physics.reset`."""
        self.field_id[world], self.seed[world], self.steps[world] = field, seed, 0
        self.pending[world] = 0.0

    def move(
        self,
        poses: np.ndarray,
        velocities: np.ndarray,
        commands: np.ndarray,
        moving: np.ndarray,
        dt: float = CONTROL_S,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """See `Physics.move`.

        Raises:
            UserError: a command is not finite; names the world.
        """
        commands = delay(refuse_bad(commands), self.pending, self.fleet.latency, moving)
        targets, driven = step_robots(
            self.fleet, poses, velocities, commands, dt, self.seed, self.steps
        )
        reached, blocked = sweep(self.fleet, poses, targets, self.fields, self.field_id)
        self.steps += moving
        blocked &= moving
        driven[blocked] = 0.0
        still = ~moving
        reached[still], driven[still] = poses[still], velocities[still]
        return reached, driven, blocked

    def forget(self, scene: int) -> None:
        """Nothing is kept of scenes but their fields."""
