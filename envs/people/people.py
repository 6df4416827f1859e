"""Who walks in a world: everybody's state as arrays, their manners, and how the people of an
episode are drawn.
"""

import dataclasses
import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from s2e.core.errors import UserError
from s2e.core.state import ArrayState
from s2e.envs.geometry.scene import BEHAVIOURS, Walker

MANNERS = np.array(
    [
        # share of an encounter with a moving robot, its foresight (s); weight among people,
        # foresight (s)
        [0.3, 1.0, 1.0, 2.0],  # walk: does a third of what avoiding a moving robot takes
        [0.3, 1.0, 1.0, 2.0],  # group: side by side with their mates
        [0.6, 0.4, 0.1, 0.5],  # stand: steps aside when nearly touched, and back
        [0.3, 1.0, 1.0, 2.0],  # cross: as walk, on a way across the robot's
        [0.3, 0.6, 1.0, 2.0],  # cut_in: overtakes and merges in front of the robot
        [0.3, 1.0, 1.0, 2.0],  # stop: halts for 2.4 to 3.9 s, every 8 to 13 s
        [0.0, 0.4, 0.15, 0.6],  # phone: does not see the robot, sees others late
        [1.0, 3.0, 2.0, 2.5],  # give_way: leaves the robot's lane, waits beside it
        [0.0, 0.8, 0.4, 1.5],  # insist: relies on the robot
    ]
)
"""(B, 4) float64, how people of each behaviour meet others. In an encounter of two people each
takes a share by weight."""

# columns of People.real
X, Y, VX, VY, YAW, GAIT, START_X, START_Y, GOAL_X, GOAL_Y, SPEED = range(11)
LEG, VIA, LAST, LOOK, BEHAVIOUR, GROUP, WANDER = range(7)  # columns of People.whole
WAIT_M, WAIT_S, ONCE, FOLLOW, CHILD = range(5)  # columns of People.script, as `Script` has them
WAITING, STAYS = -3, -4
"""What else `via` may be: stands at the start still, has come to the goal to stay."""

SHARES: Mapping[str, float] = {
    "walk": 0.34,
    "group": 0.2,
    "stand": 0.1,
    "cross": 0.12,
    "cut_in": 0.04,
    "stop": 0.06,
    "phone": 0.06,
    "give_way": 0.05,
    "insist": 0.03,
}
"""How often a draw gives each behaviour (of "group": two or three people at once)."""

# Fitted to the 641 walking people of the ETH recordings eth and hotel (Pellegrini et al. 2009) by
# benchmarks/speed/crowd.py.
SPEED_MS = (1.55, 0.35)
"""Mean and standard deviation of the own speed of people who walk alone."""
GROUP_PACE = 0.92
"""How much of that people in groups have; 42 % walk in groups, 7 of 10 of these in twos."""
DENSITY_M2 = (0.008, 0.11)
"""People per square metre of ground that is used: 5th and 95th percentile over the instants with
people."""

STRIDE = 4.2
"""Phase of the gait per metre, radians."""
TURN = 3.5
"""How fast bodies turn, rad/s."""

CLEAR_M = 2.5  # nobody starts nearer to the robot
APART_M = 0.6  # nor nearer to another

PHONE, STAND = BEHAVIOURS.index("phone"), BEHAVIOURS.index("stand")


@dataclass(eq=False)
class People(ArrayState):
    """Everybody's state: P slots in each of N worlds. These four arrays are all of it; the
    properties are views of them.

    Attributes:
        real: (N, P, 11) float64: x, y, vx, vy (m, m/s), yaw of the body, phase of the gait (rad),
            start x, y, goal x, y (m), and own speed (m/s).
        whole: (N, P, 7) int64: `leg` (how many goals were reached, plus 1; odd legs lead to the
            goal, even ones back), `via` (the anchor of the roadmap walked to; -1 straight to the
            goal, -2 the way is to be planned, `WAITING`, `STAYS`), `last` (the way's last anchor),
            `look` (seed of clothes, build and habits), `behaviour` (index into `BEHAVIOURS`),
            `group` (people of one number in a world keep together; -1 alone), `wander` (1: goes on
            to an anchor that look and leg choose, not back).
        active: (N, P) bool, who is there.
        script: (N, P, 5) float64: the fields of each one's `Script`.
    """

    WHAT: ClassVar[str] = "people state"

    real: np.ndarray
    whole: np.ndarray
    active: np.ndarray
    script: np.ndarray

    @classmethod
    def empty(cls, worlds: int, slots: int) -> "People":
        """Nobody anywhere yet."""
        whole = np.zeros((worlds, slots, 7), dtype=np.int64)
        whole[..., LEG], whole[..., VIA] = 1, -2
        whole[..., LAST] = whole[..., GROUP] = -1
        script = np.zeros((worlds, slots, 5))
        script[..., FOLLOW] = -1.0
        return cls(
            np.zeros((worlds, slots, 11)), whole, np.zeros((worlds, slots), dtype=bool), script
        )

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        """See `ArrayState.restore`; states from before there were scripts have none."""
        nobodys = People.empty(*self.active.shape).script
        super().restore({"script": nobodys, **arrays})

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
        """Puts an episode's people into a world, at their starts and in their stride, in place of
        whoever was there.

        Args:
            world: which.
            walkers: who.
            wander: whether they go on to other anchors once they have arrived, instead of back.

        Raises:
            UserError: more people than slots.
        """
        slots = self.active.shape[1]
        if len(walkers) > slots:
            raise UserError(
                f"{len(walkers)} people in world {world}, which holds {slots}; raise `people` or "
                "list fewer walkers"
            )
        fresh = People.empty(1, slots)
        for name, nobody in fresh.arrays().items():
            getattr(self, name)[world] = nobody[0]
        for slot, walker in enumerate(walkers):
            (x, y), (goal_x, goal_y), script = walker.start, walker.goal, walker.script
            far = max(math.hypot(goal_x - x, goal_y - y), 1e-9)
            waits = script.wait_m > 0 or script.wait_s > 0
            still = walker.behaviour == "stand" or waits or script.follow >= 0
            stride = 0.0 if still else walker.speed / far
            self.real[world, slot] = (
                x,
                y,
                stride * (goal_x - x),
                stride * (goal_y - y),
                math.atan2(goal_y - y, goal_x - x),
                0.0 if still else walker.look % 7,
                x,
                y,
                goal_x,
                goal_y,
                walker.speed,
            )
            behaviour = BEHAVIOURS.index(walker.behaviour)
            via = WAITING if waits else -2
            self.whole[world, slot] = (1, via, -1, walker.look, behaviour, walker.group, wander)
            self.script[world, slot] = dataclasses.astuple(script)
            self.active[world, slot] = True

    def rows(self) -> np.ndarray:
        """(N, P, 7) float32 for the rasteriser: x (NaN: nobody), y, z = 0, yaw, gait, look, pose
        (1: looks at a phone, 2: is a child).
        """
        x = np.where(self.active, self.position[..., 0], np.nan)
        pose = np.where(self.script[..., CHILD] > 0, 2, self.behaviour == PHONE)
        columns = [x, self.position[..., 1], np.zeros_like(x), self.yaw, self.gait, self.look, pose]
        return np.stack(columns, -1).astype(np.float32)


def people_count(rng: np.random.Generator, area_m2: float, most: int) -> int:
    """How many people are on so many square metres of free ground, at a density drawn from
    `DENSITY_M2`; at most `most`.
    """
    return min(int(rng.poisson(rng.uniform(*DENSITY_M2) * area_m2)), most)


def _pick(rng: np.random.Generator, weight: np.ndarray) -> int:
    """An index, with a chance in proportion to its weight (a tenth of the time of `rng.choice`)."""
    total = np.cumsum(weight)
    return min(int(np.searchsorted(total, rng.random() * total[-1], side="right")), len(total) - 1)


def _soft(rng: np.random.Generator, distance: np.ndarray, scale_m: float = 2.0) -> int:
    """An index, the likelier the smaller its distance."""
    return _pick(rng, np.exp((distance.min() - distance) / scale_m))


def _far(points: np.ndarray, place: np.ndarray) -> np.ndarray:
    """(K,) distances of points (K, 2) from a place (2,)."""
    return np.hypot(points[:, 0] - place[0], points[:, 1] - place[1])


def _way(
    rng: np.random.Generator,
    behaviour: str,
    anchors: np.ndarray,
    middle: np.ndarray,
    near_start,
    near_goal,
    clear,
):
    """Where somebody starts and walks to; (K,) distances of the anchors from the robot's start and
    goal, and who is `clear` of it.
    """
    across = behaviour == "cross" or (behaviour != "cut_in" and rng.random() < 0.5)
    if behaviour == "cut_in":  # from behind the robot to where it goes
        first, second = (
            clear[_soft(rng, (near_start + 0.5 * near_goal)[clear])],
            _soft(rng, near_goal),
        )
    elif across:
        first = clear[_soft(rng, _far(anchors[clear], middle), 3.0)]
        second = _soft(rng, _far(anchors, 2 * middle - anchors[first]), 3.0)
    else:  # the robot's way, towards it
        first, second = clear[_soft(rng, near_goal[clear])], _soft(rng, near_start)
    if math.dist(anchors[first], anchors[second]) < 2.0:
        second = int(_far(anchors, anchors[first]).argmax())
    return anchors[first], anchors[second]


def draw_walkers(
    rng: np.random.Generator,
    anchors: np.ndarray,
    start: np.ndarray,
    goal: np.ndarray,
    count: int,
    behaviours: Mapping[str, float] = SHARES,
    clear_m: float = CLEAR_M,
) -> tuple[Walker, ...]:
    """People between anchors: towards the robot, across its way, beside it, alone and in groups of
    two or three.

    Nobody starts within `clear_m` of the robot nor within 0.6 m of another.

    Args:
        rng: decides everything.
        anchors: (K, 2) metres.
        start, goal: (2,) the robot's, metres.
        count: how many are wanted.
        behaviours: the share of each behaviour; they need not add up to 1.
        clear_m: metres, of routes that are not very short.

    Returns:
        As many of them as fit; `warnings.warn` says so where some do not.

    Raises:
        UserError: a behaviour is unknown, or no share is above 0.
    """
    unknown = [name for name in behaviours if name not in BEHAVIOURS]
    weights = np.array(list(behaviours.values()), dtype=np.float64)
    if unknown or not np.isfinite(weights).all() or (weights < 0).any() or not weights.sum() > 0:
        wrong = f"unknown {unknown[0]!r}" if unknown else f"shares {weights.tolist()}"
        raise UserError(
            f"behaviours: {wrong}; give shares of at least 0, not all 0, to some of "
            f"{', '.join(BEHAVIOURS)}"
        )
    names, walkers, tries = list(behaviours), [], 0
    start, goal = np.asarray(start, dtype=np.float64)[:2], np.asarray(goal, dtype=np.float64)[:2]
    anchors = np.asarray(anchors, dtype=np.float64).reshape(-1, 2)
    near_start, near_goal = _far(anchors, start), _far(anchors, goal)
    clear = np.flatnonzero(near_start > clear_m)
    robot = (start + goal) / 2, near_start, near_goal, clear
    possible = len(anchors) >= 2 and len(clear)
    while possible and len(walkers) < count and tries < 10 * count:
        tries += 1
        behaviour = names[_pick(rng, weights)]
        mates = min(int(rng.integers(2, 4)), count - len(walkers)) if behaviour == "group" else 1
        behaviour = "walk" if mates == 1 and behaviour == "group" else behaviour
        party = _party(rng, behaviour, mates, *_way(rng, behaviour, anchors, *robot))
        clash = any(math.dist(w.start, other.start) < APART_M for w in party for other in walkers)
        if not clash and all(math.dist(w.start, start) >= clear_m for w in party):
            walkers += [
                dataclasses.replace(w, group=len(walkers) if mates > 1 else -1) for w in party
            ]
    if len(walkers) < count:
        warnings.warn(
            f"{count} people asked for, {len(walkers)} fit among {len(anchors)} anchors; ask for "
            "fewer, or a larger scene"
        )
    return tuple(walkers)


def _party(
    rng: np.random.Generator, behaviour: str, mates: int, a: np.ndarray, b: np.ndarray
) -> list[Walker]:
    """One person, or a group side by side."""
    if behaviour == "stand":
        angle = rng.uniform(-math.pi, math.pi)
        b = a + np.array([math.cos(angle), math.sin(angle)])
    speed = float(np.clip(rng.normal(*SPEED_MS), 0.5, 2.0))
    speed *= {"phone": 0.85, "group": GROUP_PACE}.get(behaviour, 1.0)
    if behaviour == "cut_in":
        speed = max(speed, 1.5)
    (ax, ay), (bx, by) = a.tolist(), b.tolist()
    far, party = max(math.hypot(bx - ax, by - ay), 1e-9), []
    for k in range(mates):
        aside = (k - 0.5 * (mates - 1)) * APART_M / far
        x, y = aside * (ay - by), aside * (bx - ax)
        ends = [(round(ax + x, 3), round(ay + y, 3)), (round(bx + x, 3), round(by + y, 3))]
        party.append(
            Walker(ends[0], ends[1], round(speed, 3), int(rng.integers(1 << 20)), behaviour)
        )
    return party
