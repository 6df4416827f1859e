"""Who walks in a world: everybody's state as arrays, their manners, and how the people of an episode are drawn."""

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from s2e.envs.scene import BEHAVIOURS, Walker
from s2e.errors import UserError

MANNERS = np.array(
    [
        # share of an encounter with a moving robot, its foresight (s); weight among people, foresight (s)
        [0.5, 1.0, 1.0, 2.0],  # walk
        [0.5, 1.0, 1.0, 2.0],  # group: side by side with their mates
        [0.6, 0.4, 0.1, 0.5],  # stand: steps aside when nearly touched, and back
        [0.5, 1.0, 1.0, 2.0],  # cross: as walk, on a way across the robot's
        [0.3, 0.6, 1.0, 2.0],  # cut_in: overtakes and merges in front of the robot
        [0.5, 1.0, 1.0, 2.0],  # stop: halts for 2.4 to 3.9 s, every 8 to 13 s
        [0.0, 0.4, 0.15, 0.6],  # phone: does not see the robot, sees others late
        [1.0, 3.0, 2.0, 2.5],  # give_way: leaves the robot's lane, waits beside it
        [0.0, 0.8, 0.4, 1.5],  # insist: relies on the robot
    ]
)
"""(B, 4) float64, how people of each behaviour meet others. In an encounter of two people each takes a share by weight."""

X, Y, VX, VY, YAW, GAIT, START_X, START_Y, GOAL_X, GOAL_Y, SPEED = range(11)  # columns of People.real
LEG, VIA, LAST, LOOK, BEHAVIOUR, GROUP, WANDER = range(7)  # columns of People.whole

CLEAR_M = 2.5
"""Nobody starts nearer to the robot."""

PHONE, STAND = BEHAVIOURS.index("phone"), BEHAVIOURS.index("stand")


@dataclass
class People:
    """Everybody's state: P slots in each of N worlds. These three arrays are all of it; the properties are views of them.

    Attributes:
        real: (N, P, 11) float64: x, y, vx, vy (m, m/s), yaw of the body, phase of the gait (rad), start x, y, goal x, y (m), and
            own speed (m/s).
        whole: (N, P, 7) int64: `leg` (how many goals were reached, plus 1; odd legs lead to the goal, even ones back), `via` (the
            anchor of the roadmap walked to; -1 straight to the goal, -2 the way is to be planned), `last` (the way's last
            anchor), `look` (seed of clothes, build and habits), `behaviour` (index into `BEHAVIOURS`), `group` (people of one
            number in a world keep together; -1 alone), `wander` (1: goes on to an anchor that look and leg choose, not back).
        active: (N, P) bool, who is there.
    """

    real: np.ndarray
    whole: np.ndarray
    active: np.ndarray

    @classmethod
    def empty(cls, worlds: int, slots: int) -> "People":
        """Nobody anywhere yet."""
        whole = np.zeros((worlds, slots, 7), dtype=np.int64)
        whole[..., LEG], whole[..., VIA], whole[..., LAST], whole[..., GROUP] = 1, -2, -1, -1
        return cls(np.zeros((worlds, slots, 11)), whole, np.zeros((worlds, slots), dtype=bool))

    @property
    def position(self) -> np.ndarray:
        """(N, P, 2) metres."""
        return self.real[..., X : Y + 1]

    @property
    def velocity(self) -> np.ndarray:
        """(N, P, 2) m/s."""
        return self.real[..., VX : VY + 1]

    @property
    def yaw(self) -> np.ndarray:
        """(N, P) where the body looks, radians; draw this, not the velocity's direction."""
        return self.real[..., YAW]

    @property
    def gait(self) -> np.ndarray:
        """(N, P) phase, radians."""
        return self.real[..., GAIT]

    @property
    def endpoints(self) -> np.ndarray:
        """(N, P, 2, 2) start and goal, metres."""
        return self.real[..., START_X : GOAL_Y + 1].reshape(*self.active.shape, 2, 2)

    @property
    def speed(self) -> np.ndarray:
        """(N, P) own speed, m/s."""
        return self.real[..., SPEED]

    @property
    def look(self) -> np.ndarray:
        """(N, P) int64."""
        return self.whole[..., LOOK]

    @property
    def behaviour(self) -> np.ndarray:
        """(N, P) int64, indices into `BEHAVIOURS`."""
        return self.whole[..., BEHAVIOUR]

    @property
    def leg(self) -> np.ndarray:
        """(N, P) int64."""
        return self.whole[..., LEG]

    @property
    def group(self) -> np.ndarray:
        """(N, P) int64."""
        return self.whole[..., GROUP]

    def place(self, world: int, walkers: Sequence[Walker], wander: bool = False) -> None:
        """Puts an episode's people into a world, at their starts and in their stride, in place of whoever was there.

        Args:
            world: which.
            walkers: who.
            wander: whether they go on to other anchors once they have arrived, instead of back.

        Raises:
            UserError: more people than slots.
        """
        slots = self.active.shape[1]
        if len(walkers) > slots:
            raise UserError(f"{len(walkers)} people in world {world}, which holds {slots}; raise `people` or list fewer walkers")
        fresh = People.empty(1, slots)
        self.real[world], self.whole[world], self.active[world] = fresh.real[0], fresh.whole[0], False
        for slot, walker in enumerate(walkers):
            (x, y), (goal_x, goal_y) = walker.start, walker.goal
            far = max(math.hypot(goal_x - x, goal_y - y), 1e-9)
            stride = 0.0 if walker.behaviour == "stand" else walker.speed / far
            self.real[world, slot] = (
                x, y, stride * (goal_x - x), stride * (goal_y - y), math.atan2(goal_y - y, goal_x - x),
                0.0 if walker.behaviour == "stand" else walker.look % 7, x, y, goal_x, goal_y, walker.speed,
            )  # fmt: skip
            behaviour = BEHAVIOURS.index(walker.behaviour)
            self.whole[world, slot] = (1, -2, -1, walker.look, behaviour, walker.group, wander)
            self.active[world, slot] = True

    def arrays(self) -> dict[str, np.ndarray]:
        """The state by name, not copied."""
        return {"real": self.real, "whole": self.whole, "active": self.active}

    def load(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Puts saved arrays back, in place.

        Raises:
            UserError: one is missing or of another shape; names it.
        """
        for name, here in self.arrays().items():
            if name not in arrays or arrays[name].shape != here.shape:
                saved = arrays[name].shape if name in arrays else "nothing"
                raise UserError(f"people state {name}: {saved} saved, {here.shape} expected; resume with the same --envs")
            here[:] = arrays[name]

    def rows(self) -> np.ndarray:
        """(N, P, 7) float32 for the rasteriser: x (NaN: nobody), y, z = 0, yaw, gait, look, pose (1: looks at a phone)."""
        x = np.where(self.active, self.position[..., 0], np.nan)
        pose = self.behaviour == PHONE
        columns = [x, self.position[..., 1], np.zeros_like(x), self.yaw, self.gait, self.look, pose]
        return np.stack(columns, -1).astype(np.float32)
