"""Situations in captured places: between points of scenes of `gs_urban` that see each other."""

import math
from collections.abc import Callable

import numpy as np

from s2e.envs.geometry.scene import Scene, Script, Truth, Walker
from tools.social.kinds import Draft, Frame, Rng, begin, circle, look


def straights(
    scene: Scene, long_m: tuple[float, float], room_m: float, wide: tuple[float, float] = (0, 0)
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Pairs of anchors with a straight way that keeps `room_m` from everything.

    Args:
        scene: where. long_m: least and most metres from one to the other. room_m: metres.
        wide: how much room there is around the middle of the way, at least and at most, metres; 0,
            0 does not ask.
    """
    clear, occupancy, found = scene.occupancy.distance(), scene.occupancy, []
    rows, columns = clear.shape
    for a in scene.free_anchors:
        for b in scene.free_anchors:
            far = math.dist(a, b)
            if not long_m[0] <= far <= long_m[1]:
                continue
            way = a + np.linspace(0.0, 1.0, int(far / 0.2))[:, None] * (b - a)
            r, c = occupancy.cell_of(way).T
            if (r < 0).any() or (c < 0).any() or (r >= rows).any() or (c >= columns).any():
                continue
            along = clear[r, c]
            if scene.ground is not None and np.ptp(scene.ground.height[r, c]) > 0.3:
                continue
            middle = float(along[len(along) // 2])
            if along.min() >= room_m and (wide == (0, 0) or wide[0] <= middle <= wide[1]):
                found.append((a, b))
    return found


def _frame(rng: Rng, ways: list, k: int) -> tuple[Frame, float]:
    a, b = ways[(7 * k + int(rng.integers(len(ways)))) % len(ways)]
    heading = math.atan2(b[1] - a[1], b[0] - a[0])
    f = Frame(round(float(a[0]), 3), round(float(a[1]), 3), heading, float(rng.choice([-1, 1])))
    return f, math.dist(a, b)


def head_on(scene: Scene) -> Callable[[Rng, int], Draft]:
    """Somebody comes along a narrow way."""
    ways = straights(scene, (10.0, 16.0), 0.75)

    def draw(rng: Rng, k: int) -> Draft:
        f, far = _frame(rng, ways, k)
        aside = float(rng.uniform(0.3, 0.5))
        speed = round(float(rng.uniform(0.9, 1.4)), 2)
        script = Script(once=True)
        person = Walker(f.at(far, aside), f.at(-0.6, aside), speed, look(rng), script=script)
        return Draft(
            begin(f, rng, -0.1),
            f.at(far),
            f"Go {far:.0f} m straight ahead. Somebody comes towards you.",
            Truth("head_on", side=f.hand("right"), whom=(0,)),
            walkers=[person],
        )

    return draw


def group(scene: Scene) -> Callable[[Rng, int], Draft]:
    """People stand in the way and talk, with room beside them."""
    ways = straights(scene, (9.0, 14.0), 0.7, (2.2, 6.0))

    def draw(rng: Rng, k: int) -> Draft:
        f, far = _frame(rng, ways, k)
        people = circle(rng, f, far / 2, float(rng.uniform(-0.2, 0.2)), int(rng.integers(2, 5)))
        return Draft(
            begin(f, rng),
            f.at(far),
            f"Go {far:.0f} m straight ahead. People stand there and talk.",
            Truth("group", groups=(tuple(range(len(people))),)),
            walkers=people,
        )

    return draw


def crossing(scene: Scene) -> Callable[[Rng, int], Draft]:
    """People cross the way from both sides."""
    ways = straights(scene, (10.0, 15.0), 0.7, (3.2, 12.0))

    def draw(rng: Rng, k: int) -> Draft:
        f, far = _frame(rng, ways, k)
        people = []
        for n in range(int(rng.integers(4, 6))):
            ahead, side = far / 2 + float(rng.uniform(-1.2, 1.2)), 1.0 if n % 2 else -1.0
            speed = round(float(rng.uniform(0.9, 1.4)), 2)
            script = Script(wait_s=round(0.9 * n + float(rng.uniform(0.0, 0.8)), 2))
            people.append(
                Walker(
                    f.at(ahead, side * float(rng.uniform(2.4, 2.9))),
                    f.at(ahead + float(rng.uniform(-0.6, 0.6)), -side * 2.8),
                    speed,
                    look(rng),
                    script=script,
                )
            )
        return Draft(
            begin(f, rng),
            f.at(far),
            f"Go {far:.0f} m straight ahead, through the people who cross.",
            Truth("crossing"),
            walkers=people,
        )

    return draw


SPLATS: dict[str, tuple[str, Callable[[Scene], Callable[[Rng, int], Draft]]]] = {
    "head_on_splats": ("gs_urban/lane", head_on),
    "group_splats": ("gs_urban/plaza", group),
    "crossing_splats": ("gs_urban/schoolyard", crossing),
}
"""Where each is, and what draws from a place how one is drawn."""
