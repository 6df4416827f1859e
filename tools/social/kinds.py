"""The situations: for each kind, how one is drawn.

A situation is told in a frame of its own (`Frame`): metres ahead of where the robot begins and to
its left, so that one story gives both directions and both hands. What is drawn is a `Draft`;
`suite.py` finishes and checks it.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from s2e.envs.geometry.scene import Obstacle, Script, Truth, Walker
from s2e.envs.people.crowd import FILE_M
from s2e.envs.streets.block import HALF_X
from tools.social.places import (
    FRONT,
    HALLS,
    QUEUE_X,
    SQUARES,
    STREETS,
    YARDS,
    Mirror,
)

DRIVE_MS = 1.1
"""How fast a robot is taken to come, so that people set off in time to meet it, m/s."""
SEEN_M = 2.7
"""Nobody sets off when the robot is nearer than that to where their ways meet: from 1.5 m/s it can
stop in time."""
Rng = np.random.Generator


@dataclass(frozen=True)
class Frame:
    """Where a robot begins and which way it goes; `flip` -1 exchanges its left and right."""

    x: float
    y: float
    heading: float
    flip: float = 1.0

    def at(self, ahead: float, left: float = 0.0) -> tuple[float, float]:
        """A point in the place."""
        c, s = math.cos(self.heading), math.sin(self.heading)
        left = self.flip * left
        return round(self.x + c * ahead - s * left, 3), round(self.y + s * ahead + c * left, 3)

    def yaw(self, angle: float = 0.0) -> float:
        """A direction in the place, radians to the left of the way ahead."""
        return round(math.remainder(self.heading + self.flip * angle, 2 * math.pi), 3)

    def hand(self, side: str) -> str:
        """The word for a side after the flip."""
        return side if self.flip > 0 else {"left": "right", "right": "left"}[side]


@dataclass
class Draft:
    """A situation before it is finished."""

    start: tuple[float, float, float]
    goal: tuple[float, float]
    task: str
    truth: Truth
    rule: str = ""
    walkers: list[Walker] = field(default_factory=list)
    obstacles: list[Obstacle] = field(default_factory=list)
    longer_m: float = 0.0
    """How much longer than the shortest the right way may be."""


def look(rng: Rng) -> int:
    """Somebody's clothes and build."""
    return int(rng.integers(1 << 20))


def begin(f: Frame, rng: Rng, left: float = 0.0) -> tuple[float, float, float]:
    """A start, looking a little aside of the way."""
    return *f.at(0.0, left), f.yaw(float(rng.uniform(-0.25, 0.25)))


def meet_m(rng: Rng, to_person_m: float, speed: float, spread: float = 0.15) -> tuple[float, float]:
    """How far from where ways meet the robot is when somebody sets off who then has `to_person_m`
    to go and is to be there at about the same time; along its way, and as the crow flies if ways
    meet at a right angle.
    """
    along = DRIVE_MS * to_person_m / speed * float(rng.uniform(1 - spread, 1 + spread))
    along = max(along, SEEN_M)
    return along, round(math.hypot(along, to_person_m), 2)


def stretch(rng: Rng, block: int, y0: float, y1: float, from_m: float, long_m: float) -> Frame:
    """A frame in the middle of a band along x of a block, of either direction and hand, that begins
    somewhere with `long_m` ahead; `from_m` is kept behind.
    """
    m, d = Mirror(block), float(rng.choice([-1.0, 1.0]))
    most = 16.0 - long_m
    x = d * float(rng.uniform(-16.0 + from_m, max(most, -16.0 + from_m)))
    return Frame(*m.point(x, (y0 + y1) / 2), 0.0 if d > 0 else math.pi, float(rng.choice([-1, 1])))


def corridor(rng: Rng, k: int, behind_m: float, long_m: float) -> Frame:
    """A frame in one of the halls' corridors."""
    block, which = k % 2, (k // 2) % 2
    return stretch(rng, block, *HALLS[block].corridors[which], behind_m, long_m)


def head_on(rng: Rng, k: int) -> Draft:
    """Somebody comes along a corridor, on their side of it."""
    f = corridor(rng, k, 4.0, 15.0)
    aside, far = float(rng.uniform(0.2, 0.45)), float(rng.uniform(9.0, 12.5))
    people = []
    for n in range(1 + int(rng.random() < 0.4)):
        ahead, left = far + n * float(rng.uniform(2.0, 3.5)), aside + float(rng.uniform(-0.1, 0.1))
        speed = round(float(rng.uniform(0.9, 1.4)), 2)
        people.append(
            Walker(
                f.at(ahead, left), f.at(-3.0 + n, left), speed, look(rng), script=Script(once=True)
            )
        )
    goal_m = float(rng.uniform(12.0, 15.0))
    return Draft(
        begin(f, rng, float(rng.uniform(0.1, 0.5))),
        f.at(goal_m, float(rng.uniform(-0.2, 0.5))),
        f"Go along the corridor, {goal_m:.0f} m ahead. Somebody comes towards you.",
        Truth("head_on", side=f.hand("right"), whom=tuple(range(len(people)))),
        walkers=people,
    )


def keep_right(rng: Rng, k: int) -> Draft:
    """Several people come along the middle of a corridor; the rule says which side one keeps to."""
    f = corridor(rng, k, 4.0, 15.0)
    people, ahead = [], float(rng.uniform(7.0, 9.0))
    for n in range(int(rng.integers(2, 4))):
        left = float(rng.uniform(-0.2, 0.25))
        speed = round(float(rng.uniform(0.9, 1.3)), 2)
        people.append(
            Walker(
                f.at(ahead, left), f.at(-3.5 + n, left), speed, look(rng), script=Script(once=True)
            )
        )
        ahead += float(rng.uniform(1.5, 3.0))
    goal_m, side = float(rng.uniform(12.0, 15.0)), f.hand("right")
    return Draft(
        begin(f, rng, float(rng.uniform(-0.3, 0.3))),
        f.at(goal_m),
        f"Go along the corridor, {goal_m:.0f} m ahead. Keep {side}.",
        Truth("keep_right", side=side, whom=tuple(range(len(people)))),
        rule=f"keep_{side}",
        walkers=people,
    )


def overtake(rng: Rng, k: int) -> Draft:
    """Somebody walks slowly ahead, on their side of a corridor."""
    f = corridor(rng, k, 1.0, 15.0)
    left, ahead = -float(rng.uniform(0.15, 0.4)), float(rng.uniform(2.5, 4.0))
    speed = round(float(rng.uniform(0.3, 0.5)), 2)
    person = Walker(
        f.at(ahead, left), f.at(ahead + 11.0, left), speed, look(rng), script=Script(once=True)
    )
    goal_m = float(rng.uniform(11.5, 13.5))
    return Draft(
        begin(f, rng, float(rng.uniform(-0.5, 0.1))),
        f.at(goal_m, float(rng.uniform(-0.4, 0.2))),
        f"Go along the corridor, {goal_m:.0f} m ahead. Somebody slow walks before you.",
        Truth("overtake", side=f.hand("left"), whom=(0,)),
        walkers=[person],
    )


def doorway(rng: Rng, k: int) -> Draft:
    """Somebody comes through a door that has room for one."""
    block, d = k % 2, float(rng.choice([-1.0, 1.0]))
    m, hall = Mirror(block), HALLS[block]
    x, y = hall.doors[int(rng.integers(len(hall.doors)))]
    door = Frame(*m.point(x, y), 0.0 if d > 0 else math.pi, float(rng.choice([-1, 1])))
    before, past = float(rng.uniform(3.8, 5.2)), float(rng.uniform(3.5, 5.0))
    to_door, speed = float(rng.uniform(2.4, 3.6)), round(float(rng.uniform(0.9, 1.3)), 2)
    along, _ = meet_m(rng, to_door, speed)
    slope, out = float(rng.uniform(-0.1, 0.1)), float(rng.uniform(3.2, 3.8))
    script = Script(wait_m=round(min(along, before - 0.4) + to_door, 2), once=True)
    manner = "insist" if rng.random() < 0.3 else "walk"
    person = Walker(
        door.at(to_door, slope * to_door),
        door.at(-out, -slope * out),
        speed,
        look(rng),
        manner,
        script=script,
    )
    # The robot begins beside the line that leads out of the door.
    aside = float(rng.uniform(0.7, 1.3)) * (1.0 if slope >= 0 else -1.0)
    start = *door.at(-before, aside), door.yaw(math.atan2(-aside, before))
    return Draft(
        start,
        door.at(past, float(rng.uniform(-0.8, 0.8))),
        f"Go through the door {before:.0f} m ahead. Let people out before you go in.",
        Truth("doorway", yields="robot", zone=(*door.at(0.0), 0.9), whom=(0,)),
        walkers=[person],
    )


def crossing(rng: Rng, k: int) -> Draft:
    """People cross a square from both sides, across the robot's way."""
    block, side = k % 2, float(rng.choice([-1.0, 1.0]))
    m, house = Mirror(block), SQUARES[block].house
    edge = house[3] if side > 0 else house[1]
    y = (edge + side * FRONT) / 2 + float(rng.uniform(-0.7, 0.7))
    inward = rng.random() < 0.5  # from the square into the street, or out of it
    x = -15.8 if inward else float(rng.uniform(-5.0, -2.5))
    f = Frame(*m.point(x, y), 0.0 if inward else math.pi)
    flow = float(rng.uniform(-12.6, -10.4))
    people = []
    for n in range(int(rng.integers(4, 7))):
        up, lane = (1.0 if n % 2 else -1.0), flow + float(rng.uniform(-1.2, 1.2))
        first = -8.2 + float(rng.uniform(0.0, 3.0))
        speed = round(float(rng.uniform(0.9, 1.5)), 2)
        people.append(
            Walker(
                m.point(lane, up * first),
                m.point(lane + float(rng.uniform(-0.8, 0.8)), up * 8.2),
                speed,
                look(rng),
                script=Script(wait_s=round(0.9 * n + float(rng.uniform(0.0, 0.8)), 2)),
            )
        )
    goal = m.point(float(rng.uniform(-5.0, -2.0)) if inward else -15.6, y)
    return Draft(
        begin(f, rng),
        goal,
        f"Go straight across the square, {math.dist(f.at(0), goal):.0f} m ahead, through the people"
        " who cross it.",
        Truth("crossing"),
        walkers=people,
    )


def circle(rng: Rng, f: Frame, ahead: float, left: float, count: int) -> list[Walker]:
    """People who stand and talk, facing the middle."""
    radius, turn = 0.55 + 0.1 * count, float(rng.uniform(0, 2 * math.pi))
    if count == 2:  # across the way
        turn = math.pi / 2 + float(rng.uniform(-0.4, 0.4))
    found = []
    for n in range(count):
        angle = turn + 2 * math.pi * n / count + float(rng.uniform(-0.12, 0.12))
        spot = f.at(ahead + radius * math.cos(angle), left + radius * math.sin(angle))
        found.append(Walker(spot, f.at(ahead, left), 1.0, look(rng), "stand", 0))
    return found


def group(rng: Rng, k: int) -> Draft:
    """People stand across the way and talk; there is room beside them."""
    block, side = k % 2, float(rng.choice([-1.0, 1.0]))
    m, square, d = Mirror(block), SQUARES[block], float(rng.choice([-1.0, 1.0]))
    # between the house and the stalls, or between the house and the pillars
    y0, y1 = (square.house[3], FRONT - 1.6) if side > 0 else (square.arcade + 0.6, square.house[1])
    x = -d * float(rng.uniform(6.5, 8.0))
    f = Frame(*m.point(x, (y0 + y1) / 2), 0.0 if d > 0 else math.pi, float(rng.choice([-1, 1])))
    left, middle = float(rng.uniform(-0.25, 0.25)), float(rng.uniform(5.0, 7.0))
    people = circle(rng, f, middle, left, int(rng.integers(2, 5)) if side > 0 else 2)
    goal_m = middle + float(rng.uniform(4.5, 6.5))
    return Draft(
        begin(f, rng, left),
        f.at(goal_m, left),
        f"Go along the street, {goal_m:.0f} m ahead. People stand there and talk.",
        Truth("group", groups=(tuple(range(len(people))),)),
        walkers=people,
    )


def queue(rng: Rng, k: int) -> Draft:
    """A queue before a stall, across the street; there is room behind its last."""
    block, d = k % 2, float(rng.choice([-1.0, 1.0]))
    m, stall = Mirror(block), QUEUE_X[int(rng.integers(len(QUEUE_X)))]
    count = int(rng.integers(3, 5))
    step = float(rng.uniform(0.95, 1.05)) if count == 4 else float(rng.uniform(1.1, 1.3))
    people = []
    for n in range(count):
        x, y = stall + float(rng.uniform(-0.12, 0.12)), FRONT - 1.75 - step * n
        people.append(Walker(m.point(x, y), m.point(stall, y + 1.0), 1.0, look(rng), "stand", 0))
    between = FRONT - 1.75 - step * (float(rng.integers(count - 1)) + 0.5)
    x = stall - d * float(rng.uniform(5.0, 6.5))
    f = Frame(*m.point(x, between), 0.0 if d > 0 else math.pi)
    goal_m = abs(x - stall) + float(rng.uniform(4.5, 6.0))
    return Draft(
        begin(f, rng),
        f.at(goal_m),
        f"Go along the street, {goal_m:.0f} m ahead. People queue at the stall.",
        Truth("queue", groups=(tuple(range(count)),)),
        walkers=people,
    )


def pavement(rng: Rng, block: int, x: float, before_m: float, from_kerb: float) -> Frame:
    """A frame on the pavement without hedges, `before_m` before a point x of it, of either
    direction; ahead * left is towards the house where the flip is 1.
    """
    m, d = Mirror(block), float(rng.choice([-1.0, 1.0]))
    if abs(x - d * before_m) > 16.2:
        d = -d
    y = -(STREETS[block].half + from_kerb)
    heading = 0.0 if d > 0 else math.pi
    # The house lies on the right of who goes east along the south, and so on.
    flip = -d * m.sign
    return Frame(*m.point(x - d * before_m, y), heading, flip)


def crosses(
    f: Frame, before: float, kerb: float, depth: float, out: bool
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Ends of a way across the pavement at `before` ahead: from the road (`kerb` m to the road's
    side) to the house (`depth` m to its side), or back (`out`).
    """
    road, house = f.at(before, -kerb), f.at(before, depth)
    return (house, road) if out else (road, house)


def step_out(rng: Rng, k: int) -> Draft:
    """Somebody comes out from behind a parked van, without looking."""
    block = k % 2
    street, from_kerb = STREETS[block], float(rng.uniform(1.3, 2.2))
    van = street.vans[int(rng.integers(len(street.vans)))]
    d = float(rng.choice([-1.0, 1.0]))
    x, before = van + d * float(rng.uniform(3.0, 3.3)), float(rng.uniform(7.0, 8.5))
    if abs(x) > 16.0 or abs(x - d * before) > 16.2 or abs(x + 4.5 * d) > 16.5:
        d = -d
        x = van + d * float(rng.uniform(3.0, 3.3))
    m = Mirror(block)
    f = Frame(
        *m.point(x - d * before, -(street.half + from_kerb)),
        0.0 if d > 0 else math.pi,
        -d * m.sign,
    )
    # behind the van, hidden from who comes along
    kerb = from_kerb + float(rng.uniform(1.0, 1.3))
    speed = round(float(rng.uniform(1.1, 1.5)), 2)
    _, wait_m = meet_m(rng, kerb, speed, 0.2)
    ends = crosses(f, before, kerb, FRONT - street.half - from_kerb - 1.0, False)
    manner = "phone" if rng.random() < 0.5 else "insist"
    person = Walker(*ends, speed, look(rng), manner, script=Script(wait_m=wait_m, once=True))
    goal_m = before + float(rng.uniform(3.5, 5.0))
    return Draft(
        begin(f, rng),
        f.at(goal_m),
        f"Go along the pavement, {goal_m:.0f} m ahead, past the parked van.",
        Truth("step_out", yields="robot", zone=(*f.at(before), 1.0), whom=(0,)),
        walkers=[person],
    )


def insist(rng: Rng, k: int) -> Draft:
    """Somebody crosses the pavement to or from a zebra and takes it that the robot lets them."""
    block = k % 2
    street, from_kerb = STREETS[block], float(rng.uniform(1.5, 2.8))
    x = street.zebras[0] + float(rng.uniform(-0.8, 0.8))
    before, out = float(rng.uniform(7.5, 9.5)), rng.random() < 0.4
    f = pavement(rng, block, x, before, from_kerb)
    kerb, depth = from_kerb + 2 * street.half + 0.6, FRONT - street.half - from_kerb - 1.0
    speed = round(float(rng.uniform(1.1, 1.5)), 2)
    along, wait_m = meet_m(rng, depth if out else kerb, speed)
    if along > before - 1.0:
        wait_m = round(math.hypot(before - 1.0, kerb), 2)
    person = Walker(
        *crosses(f, before, kerb, depth, out),
        speed,
        look(rng),
        "insist",
        script=Script(wait_m=wait_m, once=True),
    )
    goal_m = before + float(rng.uniform(4.0, 5.5))
    return Draft(
        begin(f, rng),
        f.at(goal_m),
        f"Go along the pavement, {goal_m:.0f} m ahead, past the zebra crossing.",
        Truth("insist", yields="robot", zone=(*f.at(before), 1.0), whom=(0,)),
        walkers=[person],
    )


def child(rng: Rng, k: int) -> Draft:
    """A child runs after a ball across the pavement, away from an adult at the house."""
    block = k % 2
    street, from_kerb = STREETS[block], float(rng.uniform(2.6, 3.2))
    before = float(rng.uniform(6.5, 8.0))
    f = pavement(rng, block, float(rng.uniform(-7.0, 7.0)), before, from_kerb)
    depth = FRONT - street.half - from_kerb - 1.0
    speed = round(float(rng.uniform(1.5, 2.0)), 2)
    _, wait_m = meet_m(rng, depth, speed, 0.2)
    ball = f.at(before + float(rng.choice([-1.3, 1.3])), -from_kerb + 0.6)
    people = [
        Walker(
            f.at(before, depth),
            f.at(before, -from_kerb + 0.7),
            speed,
            look(rng),
            "insist",
            script=Script(wait_m=wait_m, once=True, child=True),
        ),
        Walker(f.at(before + 0.8, depth), f.at(before, depth), 1.0, look(rng), "stand"),
    ]
    goal_m = before + float(rng.uniform(4.0, 5.5))
    return Draft(
        begin(f, rng),
        f.at(goal_m),
        f"Go along the pavement, {goal_m:.0f} m ahead. A child plays there.",
        Truth("child", yields="robot", zone=(*f.at(before), 1.0), whom=(0,)),
        walkers=people,
        obstacles=[Obstacle("ball", *ball, 0.0)],
    )


def wait(rng: Rng, k: int) -> Draft:
    """An adult leads children in single file across the pavement; the rule says to wait."""
    block = k % 2
    street, from_kerb = STREETS[block], float(rng.uniform(1.4, 2.2))
    x = street.zebras[0] + float(rng.uniform(-0.5, 0.5))
    before = float(rng.uniform(6.0, 7.5))
    f = pavement(rng, block, x, before, from_kerb)
    depth, over = FRONT - street.half - from_kerb - 1.0, from_kerb + 2 * street.half + 1.2
    count, speed = int(rng.integers(4, 6)), round(float(rng.uniform(0.85, 1.05)), 2)
    along, _ = meet_m(rng, depth - 0.2, speed)
    people = []
    for n in range(count):
        # The file stands along the house and sets off at once, round a corner behind its leader.
        spot = f.at(before + FILE_M * n, depth - (0.2 if n == 0 else 0.0))
        near = round(math.hypot(along + FILE_M * n, depth), 2)
        script = Script(wait_m=near, once=True, follow=n - 1, child=n > 0)
        people.append(
            Walker(
                spot,
                f.at(before, -over + FILE_M * n),
                round(speed * (1.0 if n == 0 else 1.25), 2),
                look(rng),
                "insist",
                script=script,
            )
        )
    goal_m = before + float(rng.uniform(4.0, 5.5))
    return Draft(
        begin(f, rng),
        f.at(goal_m),
        f"Go along the pavement, {goal_m:.0f} m ahead. Children cross it in a file: wait until"
        " they have passed.",
        Truth("wait", yields="robot", zone=(*f.at(before), 1.1), whom=tuple(range(count))),
        rule="wait",
        walkers=people,
        longer_m=6.0,
    )


CLOSED = (("site_fence", 2), ("jersey", 3), ("barrier", 3), ("wood_fence", 2))
"""Things that close a pavement, and how many of them do."""


def blocked(rng: Rng, k: int) -> Draft:
    """The pavement between the houses and a hedge is closed ahead; the robot is in the dead end."""
    block, d = k % 2, float(rng.choice([-1.0, 1.0]))
    m, street = Mirror(block), STREETS[block]
    x0, x1 = street.pieces[int(rng.integers(len(street.pieces)))]
    behind, end = (x0, x1) if d > 0 else (x1, x0)
    low, high = street.hedge[1], FRONT
    closed = end - d * float(rng.uniform(1.2, 2.6))
    deep = float(rng.uniform(0.3, 0.8)) * max(abs(closed - behind) - 2.6, 0.5)
    x, y = closed - d * (1.6 + deep), (low + high) / 2 + float(rng.uniform(-0.6, 0.6))
    f = Frame(*m.point(x, y), 0.0 if d > 0 else math.pi)
    kind, count = CLOSED[int(rng.integers(len(CLOSED)))]
    step = (high - low) / count
    fence = [
        Obstacle(kind, *m.point(closed, low + step * (n + 0.5)), round(math.pi / 2, 3))
        for n in range(count)
    ]
    goal = m.point(end + d * float(rng.uniform(0.8, 1.8)), y)
    gate = (*m.point(closed, street.half), *m.point(closed, street.hedge[0]))
    return Draft(
        begin(f, rng),
        goal,
        f"Go along the pavement, {math.dist(f.at(0), goal):.0f} m ahead. It may be closed: then go"
        " back and round the hedge.",
        Truth("blocked", gates=(gate,)),
        obstacles=fence,
    )


def gate(rng: Rng, k: int) -> Draft:
    """The gate before the robot is closed, another one in the wall is open."""
    block, up = k % 2, float(rng.choice([-1.0, 1.0]))
    m, yard = Mirror(block), YARDS[block]
    here = int(rng.integers(3))
    there = 1 if here != 1 else int(rng.choice([0, 2]))
    x, away = yard.gates[here], float(rng.uniform(3.0, 4.5))
    f = Frame(
        *m.point(x + float(rng.uniform(-0.8, 0.8)), yard.wall - up * away),
        up * m.sign * math.pi / 2,
    )
    kind = ("site_fence", "wood_fence")[int(rng.integers(2))]
    shut = [
        Obstacle(kind, *m.point(at, yard.wall), 0.0)
        for n, at in enumerate(yard.gates)
        if n != there
    ]
    goal = m.point(x + float(rng.uniform(-0.8, 0.8)), yard.wall + up * float(rng.uniform(3.0, 4.5)))
    half = yard.gate_m / 2
    line = (
        *m.point(yard.gates[there] - half, yard.wall),
        *m.point(yard.gates[there] + half, yard.wall),
    )
    return Draft(
        begin(f, rng),
        goal,
        f"Go through the wall, {math.dist(f.at(0), goal):.0f} m ahead. If its gate is closed, take"
        " another one.",
        Truth("gate", gates=(line,)),
        obstacles=shut,
    )


def route(rng: Rng, k: int) -> Draft:
    """A way in words, which is not the shortest: through the arcade, or past the stalls."""
    block, arcade = k % 2, k % 4 < 2
    m, square = Mirror(block), SQUARES[block]
    west, south, east, north = square.house
    turn = "left" if (m.sign > 0) == arcade else "right"
    start = m.point(float(rng.uniform(-15.0, -11.5)), float(rng.uniform(-1.6, 1.6)))
    f = Frame(*start, 0.0)
    side = 1.0 if arcade else -1.0
    goal = m.point(
        square.fountain[0] + float(rng.uniform(0.5, 3.0)), side * float(rng.uniform(5.5, 7.0))
    )
    middle = (west + east) / 2
    if arcade:
        first = (*m.point(middle, -FRONT), *m.point(middle, square.arcade))
        words = f"Go along the arcade, then {turn} at the fountain"
    else:
        first = (*m.point(middle, north), *m.point(middle, FRONT))
        words = f"Go along the shops past the stalls, not the arcade, then {turn} at the fountain"
    across = square.fountain[1]
    second = (*m.point(east, across), *m.point(HALF_X - 0.5, across))
    return Draft(
        begin(f, rng),
        goal,
        f"{words}, to a place {math.dist(start, goal):.0f} m from here.",
        Truth("route", gates=(first, second)),
        rule="route",
        longer_m=8.0,
    )


KINDS: dict[str, tuple[str, Callable[[Rng, int], Draft]]] = {
    "head_on": ("halls", head_on),
    "doorway": ("halls", doorway),
    "crossing": ("squares", crossing),
    "overtake": ("halls", overtake),
    "group": ("squares", group),
    "queue": ("squares", queue),
    "step_out": ("streets", step_out),
    "insist": ("streets", insist),
    "blocked": ("streets", blocked),
    "gate": ("yards", gate),
    "child": ("streets", child),
    "keep_right": ("halls", keep_right),
    "wait": ("streets", wait),
    "route": ("squares", route),
}
"""Where each kind is, and how one is drawn from a generator and its number."""
