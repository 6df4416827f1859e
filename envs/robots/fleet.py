"""The robots of N worlds as arrays: one row a world, replaced when a world begins an episode with
another robot.
"""

from collections.abc import Sequence

import numpy as np

from s2e.core.errors import UserError
from s2e.envs.robots.kinds import DRIVES, MAX_DISCS, ROBOTS, Robot

CONTROL_S = 0.1
"""A control period, seconds: commands reach the robots at 10 Hz, and `Fleet.latency` counts
these."""

MAX_LATENCY = 4
"""Control periods that a command can be late at most."""

STEP_CLASSES_M = (0.05, 0.15)
"""Heights of step that maps are made for: what wheels climb, and what legs climb."""

_ARRAYS = (
    "kind",
    "drive",
    "limits",
    "discs",
    "disc_radius",
    "size",
    "latency",
    "slip",
    "step_height",
    "step_class",
    "camera",
    "sway",
)


class Fleet:
    """N robots.

    Attributes:
        names: kinds, in the order of their ids.
        kind: (N,) int64, index into `names`.
        drive: (N,) int64, index into `s2e.envs.robots.kinds.DRIVES`.
        limits: (N, 9) float64, rows of `Robot.limits`.
        discs: (N, 3) float64, x of the footprint's discs; a robot with fewer repeats its last one.
        disc_radius: (N,) float64.
        size: (N, 3) float64, length, width and height, metres.
        latency: (N,) int64, control periods, at most `MAX_LATENCY`.
        slip: (N,) float64, 0 is none.
        step_height: (N,) float64, metres.
        step_class: (N,) int64, index into `STEP_CLASSES_M`: the highest class that the robot
            climbs.
        camera: (N, 4) float64, horizontal field of view (degrees), x, z (m), pitch (degrees).
        sway: (N, 4) float64, as `Robot.sway`.
    """

    def __init__(self, count: int):
        self.count, self.names = count, tuple(ROBOTS)
        self.kind, self.drive = np.zeros(count, dtype=np.int64), np.zeros(count, dtype=np.int64)
        self.limits, self.discs = np.zeros((count, 9)), np.zeros((count, MAX_DISCS))
        self.disc_radius, self.size = np.zeros(count), np.zeros((count, 3))
        self.latency, self.slip = np.zeros(count, dtype=np.int64), np.zeros(count)
        self.step_height, self.step_class = np.zeros(count), np.zeros(count, dtype=np.int64)
        self.camera, self.sway = np.zeros((count, 4)), np.zeros((count, 4))

    @classmethod
    def of(cls, robots: Sequence[str | Robot]) -> "Fleet":
        """A fleet of the robots given, by name or in full, one a world.

        Raises:
            UserError: a name is not in `ROBOTS`.
        """
        fleet = cls(len(robots))
        for row, robot in enumerate(robots):
            if isinstance(robot, str):
                if robot not in ROBOTS:
                    raise UserError(f"robot {robot!r} is not one of {', '.join(ROBOTS)}")
                robot = ROBOTS[robot]
            fleet.put(row, robot)
        return fleet

    def put(self, row: int, robot: Robot) -> None:
        """Makes a world's robot this one."""
        if robot.name not in self.names:
            self.names = (*self.names, robot.name)
        self.kind[row], self.drive[row] = self.names.index(robot.name), DRIVES.index(robot.drive)
        self.limits[row] = robot.limits()
        offsets = robot.discs()
        self.discs[row] = offsets[-1]
        self.discs[row, : len(offsets)] = offsets
        self.disc_radius[row], self.size[row] = (
            robot.disc_radius,
            (robot.length, robot.width, robot.height),
        )
        self.latency[row] = min(int(robot.latency_s / CONTROL_S + 0.5), MAX_LATENCY)
        self.slip[row], self.step_height[row] = robot.slip, robot.step_height
        climbs = np.flatnonzero(np.array(STEP_CLASSES_M) <= robot.step_height + 1e-9)
        self.step_class[row] = climbs[-1] if len(climbs) else 0
        camera = robot.camera
        self.camera[row] = camera.hfov_deg, camera.x, camera.z, camera.pitch_deg
        self.sway[row] = robot.sway

    def about(self) -> np.ndarray:
        """(N, 6) `s2e.core.observation.ROBOT_FIELDS` of each robot."""
        return np.column_stack(
            [
                self.size[:, :2],
                self.limits[:, 0],
                self.limits[:, 3],
                self.camera[:, 2],
                self.camera[:, 0],
            ]
        )

    def rows(self, index: np.ndarray) -> "Fleet":
        """The robots of some worlds, copied."""
        some = Fleet(len(index))
        some.names = self.names
        for name in _ARRAYS:
            getattr(some, name)[:] = getattr(self, name)[index]
        return some

    def arrays(self) -> dict[str, np.ndarray]:
        """Everything that `restore` needs; the arrays are copies."""
        return {name: getattr(self, name).copy() for name in _ARRAYS}

    def restore(self, arrays: dict[str, np.ndarray]) -> None:
        """Puts back what `arrays` took, in place.

        Raises:
            UserError: an array is missing or of another shape.
        """
        for name in _ARRAYS:
            here = getattr(self, name)
            if name not in arrays or arrays[name].shape != here.shape:
                found = arrays[name].shape if name in arrays else "nothing"
                raise UserError(
                    f"robots' state {name}: {found} saved, {here.shape} expected; resume with the "
                    "same --envs"
                )
        for name in _ARRAYS:
            getattr(self, name)[:] = arrays[name]
