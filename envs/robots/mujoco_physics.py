"""`--physics mujoco`: wheels, contact and friction, one MuJoCo simulation a world, behind the
interface of `Kinematic`.

Slower than the kinematic default by orders of magnitude; it is there to check what a policy
learned, not to train it.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from s2e.core.errors import optional
from s2e.core.state import ArrayState
from s2e.envs.geometry.scene import Scene
from s2e.envs.robots.fleet import CONTROL_S, MAX_LATENCY, Fleet
from s2e.envs.robots.kinds import ROBOTS, Robot
from s2e.envs.robots.kinematic import delay, refuse_bad, step_robots
from s2e.envs.robots.mujoco_model import TIMESTEP_S, mjcf

CHUNK = 5
"""Steps of MuJoCo between two looks at contacts and, on legs, two settings of the servos."""

MAX_MODELS = 32
"""Compiled models that are kept beside those in use."""

_WIDTH = 16  # numbers of a world's state, padded


@dataclass(eq=False)
class MujocoState(ArrayState):
    """What `MujocoPhysics` keeps of N robots beside the simulations.

    Attributes:
        scene: (N,) int64, of the pool. pending: (N, MAX_LATENCY + 1, 3) last commands.
        wanted: (N, 3) velocities that the drives are at. here: (N, 3) poses as last returned.
    """

    scene: np.ndarray
    pending: np.ndarray
    wanted: np.ndarray
    here: np.ndarray


class MujocoPhysics(MujocoState):
    """Physics of N worlds with MuJoCo; see `s2e.envs.robots.kinematic.Physics` for the methods,
    `mjcf` for what is simulated.

    The drive's limits, lag and latency shape the command exactly as in `Kinematic`; wheels (or
    idealised legs) then follow it by force. `Fleet.slip` is not used: tyres slip by themselves. The
    model is the kind's nominal robot, whatever the specimen's footprint. "Blocked" is a body that
    touches something, or that has toppled.

    Args:
        fleet: the robots of N worlds; the caller keeps its rows current.
        scenes: the pool; call `forget` for a slot that gets another scene.

    Raises:
        UserError: mujoco is not installed.
    """

    def __init__(self, fleet: Fleet, scenes: Sequence[Scene]):
        self.mujoco = optional("mujoco", "--physics mujoco", "mujoco")
        self.fleet, self.scenes = fleet, scenes
        self.models: dict[tuple[int, str], Any] = {}
        self.data: list[Any] = [None] * fleet.count
        self.robots: list[Robot | None] = [None] * fleet.count
        super().__init__(
            scene=np.zeros(fleet.count, dtype=np.int64),
            pending=np.zeros((fleet.count, MAX_LATENCY + 1, 3)),
            wanted=np.zeros((fleet.count, 3)),
            here=np.zeros((fleet.count, 3)),
        )

    def forget(self, scene: int) -> None:
        """Drops what was compiled for a slot of the pool; worlds in it keep the old scene until
        they are reset.
        """
        for key in [key for key in self.models if key[0] == scene]:
            del self.models[key]

    def _model(self, scene: int, robot: Robot) -> Any:
        key = (scene, robot.name)
        if key not in self.models:
            used = {id(data.model) for data in self.data if data is not None}
            spare = [k for k, model in self.models.items() if id(model) not in used]
            for old in spare[: max(len(spare) - MAX_MODELS, 0)]:
                del self.models[old]
            self.models[key] = self.mujoco.MjModel.from_xml_string(mjcf(self.scenes[scene], robot))
        return self.models[key]

    def _enter(self, world: int, scene: int, robot: Robot) -> None:
        robot = ROBOTS.get(robot.name, robot)
        self.data[world] = self.mujoco.MjData(self._model(scene, robot))
        self.scene[world], self.robots[world] = scene, robot

    def reset(
        self, world: int, scene: int, field: int, pose: np.ndarray, robot: Robot, seed: int
    ) -> None:
        """See `Physics.reset`; `field` and `seed` are not needed."""
        self._enter(world, scene, robot)
        self.pending[world] = 0.0
        self._place(world, pose, np.zeros(3))

    def _place(self, world: int, pose: np.ndarray, velocity: np.ndarray) -> None:
        """Puts a robot on the ground at a pose."""
        data, robot = self.data[world], self.robots[world]
        assert robot is not None
        x, y, yaw = (float(p) for p in pose)
        data.qvel[:], data.qacc_warmstart[:] = 0.0, 0.0
        c, s = math.cos(yaw), math.sin(yaw)
        vx, vy = velocity[0] * c - velocity[2] * s, velocity[0] * s + velocity[2] * c
        if robot.drive == "holonomic":
            data.qpos[:], data.qvel[:] = (x, y, yaw), (vx, vy, velocity[1])
        else:
            scene = self.scenes[int(self.scene[world])]
            data.qpos[7:] = 0.0
            data.qpos[:7] = (
                x,
                y,
                _ground(scene, x, y, robot),
                math.cos(yaw / 2),
                0.0,
                0.0,
                math.sin(yaw / 2),
            )
            data.qvel[0], data.qvel[1], data.qvel[5] = vx, vy, velocity[1]
        self.mujoco.mj_forward(data.model, data)
        self.wanted[world], self.here[world] = velocity, (x, y, yaw)

    def move(
        self,
        poses: np.ndarray,
        velocities: np.ndarray,
        commands: np.ndarray,
        moving: np.ndarray,
        dt: float = CONTROL_S,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """See `Physics.move`. Velocities are measured. Poses other than those returned last put the
        robots there.

        Raises:
            UserError: a command is not finite; names the world.
        """
        commands = delay(refuse_bad(commands), self.pending, self.fleet.latency, moving)
        for world in np.flatnonzero(moving & (np.abs(poses - self.here) > 1e-9).any(axis=1)):
            self._place(int(world), poses[world], velocities[world])
        # The drive's lag and accelerations act as smoothly as the servos are set: whole periods
        # would make tyres slip.
        parts = max(round(dt / (TIMESTEP_S * CHUNK)), 1)
        wanted = np.empty((parts, *self.wanted.shape))
        for part in range(parts):
            before = wanted[part - 1] if part else self.wanted
            wanted[part] = step_robots(self.fleet, self.here, before, commands, dt / parts)[1]
        self.wanted[moving] = wanted[-1][moving]
        reached, driven = np.array(poses, dtype=np.float64), np.array(velocities, dtype=np.float64)
        blocked = np.zeros(len(reached), dtype=np.bool_)
        for world in np.flatnonzero(moving):
            blocked[world] = self._drive(int(world), wanted[:, world])
            reached[world], driven[world] = self._read(int(world))
            self.here[world] = reached[world]
            if blocked[world]:  # the drive feels that it does not get on
                self.wanted[world] = np.clip(
                    driven[world],
                    np.minimum(self.wanted[world], 0.0),
                    np.maximum(self.wanted[world], 0.0),
                )
        return reached, driven, blocked

    def _drive(self, world: int, wanted: np.ndarray) -> bool:
        """Steps one world through velocities (K, 3); returns whether its robot touched
        something.
        """
        data, robot = self.data[world], self.robots[world]
        assert robot is not None
        touched = False
        for velocity in wanted:
            _command(data, robot, velocity)
            self.mujoco.mj_step(data.model, data, CHUNK)
            touched = touched or _touches(data, robot)
        return touched

    def _read(self, world: int) -> tuple[np.ndarray, np.ndarray]:
        """Pose (3,) and velocity (3,) of one world's robot."""
        data, robot = self.data[world], self.robots[world]
        assert robot is not None
        if robot.drive == "holonomic":
            (x, y, yaw), (vx, vy, omega) = data.qpos, data.qvel
            yaw = (yaw + math.pi) % (2.0 * math.pi) - math.pi
        else:
            x, y, _, w, i, j, k = data.qpos[:7]
            yaw = math.atan2(2.0 * (w * k + i * j), 1.0 - 2.0 * (j * j + k * k))
            vx, vy, omega = data.qvel[0], data.qvel[1], data.qvel[5]
        c, s = math.cos(yaw), math.sin(yaw)
        return np.array([x, y, yaw]), np.array([vx * c + vy * s, omega, vy * c - vx * s])

    def arrays(self) -> dict[str, np.ndarray]:
        """See `Physics.arrays`."""
        state = np.zeros((self.fleet.count, 3, _WIDTH))
        steer = np.zeros((self.fleet.count, 2))
        for world, data in enumerate(self.data):
            if data is not None:
                for part, values in enumerate((data.qpos, data.qvel, data.qacc_warmstart)):
                    state[world, part, : len(values)] = values
                if len(data.ctrl) == 4:
                    # Ackermann: how the front wheels were steered when it last drove
                    steer[world] = data.ctrl[2:4]
        return {
            **super().arrays(),
            "state": state,
            "steer": steer,
            "entered": np.array([data is not None for data in self.data]),
        }

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        """See `Physics.restore`; the fleet is restored before."""
        super().restore(arrays)
        for world in np.flatnonzero(arrays["entered"]):
            name = self.fleet.names[self.fleet.kind[world]]
            self._enter(int(world), int(self.scene[world]), ROBOTS[name])
            data = self.data[world]
            for part, values in enumerate((data.qpos, data.qvel, data.qacc_warmstart)):
                values[:] = arrays["state"][world, part, : len(values)]
            if len(data.ctrl) == 4:
                data.ctrl[2:4] = arrays["steer"][world]


def _ground(scene: Scene, x: float, y: float, robot: Robot) -> float:
    """Where a wheeled robot is put: the highest ground under its wheels, world z."""
    if scene.ground is None:
        return scene.ground_z
    reach = robot.track / 2 + robot.wheelbase
    cells = scene.occupancy.cell_of(np.array([[x - reach, y - reach], [x + reach, y + reach]]))
    (r0, c0), (r1, c1) = np.clip(cells, 0, np.array(scene.ground.height.shape) - 1)
    return scene.ground_z + float(scene.ground.height[r0 : r1 + 1, c0 : c1 + 1].max())


def _command(data: Any, robot: Robot, wanted: np.ndarray) -> None:
    """Sets the servos for a velocity in the robot's frame."""
    v, omega, lateral = (float(w) for w in wanted)
    if robot.drive == "holonomic":
        yaw = float(data.qpos[2]) + 0.5 * omega * TIMESTEP_S * CHUNK
        c, s = math.cos(yaw), math.sin(yaw)
        data.ctrl[:] = v * c - lateral * s, v * s + lateral * c, omega
        return
    half = 0.5 * robot.track
    left, right = (v - omega * half) / robot.wheel_radius, (v + omega * half) / robot.wheel_radius
    if robot.drive == "differential":
        data.ctrl[0::2], data.ctrl[1::2] = left, right
        return
    data.ctrl[:2] = left, right
    if v > 0.02:  # standing, the wheels stay as they are steered
        curvature = omega / v
        for k, side in enumerate((1.0, -1.0)):
            data.ctrl[2 + k] = math.atan2(
                robot.wheelbase * curvature, 1.0 - side * curvature * half
            )


def _touches(data: Any, robot: Robot) -> bool:
    """Whether the body touches a wall or a kerb, a wheel stands before one it does not climb, or
    the robot has toppled.
    """
    if robot.drive != "holonomic" and data.body("robot").xmat[8] < 0.5:
        return True
    if data.ncon == 0:
        return False
    model, pairs = data.model, data.contact.geom[: data.ncon]
    wall = (model.geom_contype[pairs] == 1).any(axis=1)
    kinds = model.geom_type[pairs]
    # Cylinders (type 5) are bodies, ellipsoids (4) wheels, the plane is 0.
    body = (kinds == 5).any(axis=1) & ~(kinds == 0).any(axis=1)
    # A wheel meets the edge of a step at a slope that grows with the step's height.
    level = 1.0 - (robot.step_height + 0.01) / max(robot.wheel_radius, robot.step_height + 0.01)
    kerb = (kinds == 4).any(axis=1) & (np.abs(data.contact.frame[: data.ncon, 2]) < level)
    return bool((wall | body | kerb).any())
