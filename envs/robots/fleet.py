"""The robots of N worlds as arrays: one row a world, replaced when a world begins an episode with
another robot.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import ClassVar

import numpy as np

from s2e.core.errors import UserError
from s2e.core.state import ArrayState
from s2e.envs.robots.kinds import DRIVES, MAX_DISCS, ROBOTS, Robot

CONTROL_S = 0.1
"""A control period, seconds: commands reach the robots at 10 Hz, and `Fleet.latency` counts
these."""

MAX_LATENCY = 4
"""Control periods that a command can be late at most."""

STEP_CLASSES_M = (0.05, 0.15)
"""Heights of step that maps are made for: what wheels climb, and what legs climb."""


@dataclass(eq=False)
class Fleet(ArrayState):
    """N robots.

    Attributes:
        kind: (N,) int64, index into `names`, the kinds in the order of their ids.
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

    WHAT: ClassVar[str] = "robots' state"

    kind: np.ndarray
    drive: np.ndarray
    limits: np.ndarray
    discs: np.ndarray
    disc_radius: np.ndarray
    size: np.ndarray
    latency: np.ndarray
    slip: np.ndarray
    step_height: np.ndarray
    step_class: np.ndarray
    camera: np.ndarray
    sway: np.ndarray

    def __post_init__(self):
        self.names = tuple(ROBOTS)

    @property
    def count(self) -> int:
        """N."""
        return len(self.kind)

    @classmethod
    def empty(cls, count: int) -> "Fleet":
        """Robots without extent, to be `put`."""
        return cls(
            kind=np.zeros(count, dtype=np.int64),
            drive=np.zeros(count, dtype=np.int64),
            limits=np.zeros((count, 9)),
            discs=np.zeros((count, MAX_DISCS)),
            disc_radius=np.zeros(count),
            size=np.zeros((count, 3)),
            latency=np.zeros(count, dtype=np.int64),
            slip=np.zeros(count),
            step_height=np.zeros(count),
            step_class=np.zeros(count, dtype=np.int64),
            camera=np.zeros((count, 4)),
            sway=np.zeros((count, 4)),
        )

    @classmethod
    def of(cls, robots: Sequence[str | Robot]) -> "Fleet":
        """A fleet of the robots given, by name or in full, one a world.

        Raises:
            UserError: a name is not in `ROBOTS`.
        """
        fleet = cls.empty(len(robots))
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
        self.disc_radius[row] = robot.disc_radius
        self.size[row] = robot.length, robot.width, robot.height
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
        some = Fleet(**{field.name: getattr(self, field.name)[index] for field in fields(self)})
        some.names = self.names
        return some
