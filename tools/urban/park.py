"""`park`: gravel paths over a rolling lawn under old trees, a pond with reeds, a pavilion, clipped
hedges; light falls in patches.
"""

import numpy as np

from s2e.envs.geometry.scene import Sky
from tools.urban.houses import Front, facade, ramp
from tools.urban.paint import UP, Canvas, Light, Place
from tools.urban.parts import (
    bark,
    bench,
    bush,
    conifer,
    hedge,
    lamp,
    litter,
    planter,
    railing,
    tree,
)
from tools.urban.surfaces import (
    concrete,
    flat,
    grass,
    gravel,
    hexes,
    mottle,
    planks,
    plaster,
    roof_tiles,
    tone,
    water,
)

PLACE = Place(
    low=(-24.0, -18.0), high=(24.0, 18.0), top=10.5, sun=(-0.7, 0.35, 0.62),
    sky=Sky(zenith=(108.0, 150.0, 190.0), horizon=(232.0, 230.0, 205.0), fog_m=260.0),
    light=Light((5.0, 4.3, 2.9), (0.85, 1.05, 1.2), (1.0, 1.1, 0.7), 0.55, 0.01, 4.0), seed=19, detail=1.22, ground="grass",
)  # fmt: skip
POND = (7.0, -5.5, 5.2, 3.6)  # centre and half axes
PAVILION = (-10.5, 7.5)


def height(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Rolling ground, level at the pavilion and round the pond."""
    roll = (
        0.55
        + 0.34 * np.sin(0.21 * x + 0.6) * np.cos(0.17 * y - 0.3)
        + 0.16 * np.sin(0.11 * x - 0.32 * y)
    )
    for (cx, cy), level, wide in (((POND[0], POND[1]), 0.3, 7.5), (PAVILION, 0.5, 5.0)):
        near = np.exp(-(np.maximum(np.hypot(x - cx, y - cy) - wide, 0) ** 2) / 6.0)
        roll = roll * (1 - near) + level * near
    return roll


def pond(x: np.ndarray, y: np.ndarray, grow: float = 0.0) -> np.ndarray:
    """Whether points are in the water, `grow` metres wider."""
    angle = np.arctan2(y - POND[1], x - POND[0])
    wobble = 1 + 0.12 * np.sin(3 * angle + 0.5) + 0.06 * np.sin(5 * angle)
    return (
        np.hypot(
            (x - POND[0]) / (POND[2] * wobble + grow), (y - POND[1]) / (POND[3] * wobble + grow)
        )
        < 1
    )


def path(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Whether points are on gravel: a way round the pond, one to the pavilion, one across, a court
    before the pavilion.
    """
    wide = 1.5
    ring = pond(x, y, 3.6) & ~pond(x, y, 1.2)
    across = np.abs(y - (2.4 + 2.2 * np.sin(0.16 * x))) < wide
    up = (np.abs(x - (-10.5 + 2.6 * np.sin(0.22 * (y - 8)))) < wide) & (y < 6.5)
    court = np.hypot(x - PAVILION[0], y - PAVILION[1]) < 5.0
    gate = (np.abs(x - 15.5 - 1.5 * np.sin(0.2 * y)) < wide) & (y > 0)
    return (ring | across | up | court | gate) & (np.abs(x) < 22.4) & (np.abs(y) < 16.4)


def ground(canvas: Canvas) -> None:
    """Lawn, gravel, water, and the stones at its rim."""
    x0, y0, x1, y1 = -22.8, -16.8, 22.8, 16.8
    canvas.level(-24, -18, 24, 18, height, "grass")
    canvas.level(-24, -18, 24, 18, height, "sidewalk", path)
    # Where the wheels of years went the gravel is packed and light; its edges are ragged.
    frayed = lambda x, y: path(x + 0.15 * mottle(x, y, 0.9, 191), y + 0.15 * mottle(x, y, 0.9, 192))  # noqa: E731
    canvas.sheet(x0, y0, x1, y1, 0.17, gravel(tone("b5a284")), height, frayed)
    canvas.sheet(
        x0,
        y0,
        x1,
        y1,
        0.19,
        grass(tone("56763a"), tone("8a8a50"), 193),
        height,
        lambda x, y: ~frayed(x, y) & ~pond(x, y, 0.1),
    )
    rng = canvas.rng
    canvas.sheet(
        0, -11, 14, 0, 0.2, water(tone("3f5648")), 0.12, lambda x, y: pond(x, y, 0.15), gloss=0.75
    )
    canvas.bar_ground(0, -11, 14, 0, lambda x, y: pond(x, y, 0.25))
    for angle in np.arange(0, 2 * np.pi, 0.075):
        wobble = 1 + 0.12 * np.sin(3 * angle + 0.5) + 0.06 * np.sin(5 * angle)
        # The wobble is that of the direction seen from the middle; the axes turn it a little.
        seen = np.arctan2(POND[3] * np.sin(angle), POND[2] * np.cos(angle))
        wobble = 1 + 0.12 * np.sin(3 * seen + 0.5) + 0.06 * np.sin(5 * seen)
        x, y = (
            POND[0] + (POND[2] * wobble + 0.15) * np.cos(angle),
            POND[1] + (POND[3] * wobble + 0.15) * np.sin(angle),
        )
        size, grey = rng.uniform(0.16, 0.32), tone("8f8b80") * rng.uniform(0.7, 1.1)
        canvas.cloud(
            (x, y, 0.26), (size, size, 0.19), 34, 0.085, grey * 0.8, grey * 1.15, shell=True
        )
        canvas.solid(x - 0.2, y - 0.2, 0.2, x + 0.2, y + 0.2, 0.45)
        if np.sin(2 * angle + 0.4) > 0.35:
            for _ in range(7):
                foot = np.array([x, y, 0.15]) + rng.normal(0, 0.28, 3) * (1, 1, 0)
                canvas.bar(
                    foot,
                    foot + rng.normal(0, 0.12, 3) * (1, 1, 0) + UP * rng.uniform(0.6, 1.2),
                    0.035,
                    (1, 0.4, 0),
                    tone("7a8a44") * rng.uniform(0.6, 1.2),
                    0.25,
                )
    for _ in range(26):
        angle, r = rng.uniform(0, 2 * np.pi), rng.uniform(0.3, 0.8)
        x, y = POND[0] + r * POND[2] * np.cos(angle), POND[1] + r * POND[3] * np.sin(angle)
        canvas.ring(
            x,
            y,
            0.0,
            rng.uniform(0.14, 0.3),
            0.14,
            0.14,
            flat(tone("5f7f3f") * rng.uniform(0.8, 1.2)),
        )


def tufts(canvas: Canvas) -> None:
    """Long grass, flowers and fallen leaves: what keeps a lawn from being a carpet."""
    rng = canvas.rng
    x, y = rng.uniform(-22.5, 22.5, 5200), rng.uniform(-16.5, 16.5, 5200)
    clear = ~path(x, y) & ~pond(x, y, 0.6) & (mottle(x, y, 0.12, 195) > -0.5)
    x, y = x[clear], y[clear]
    z = height(x, y)
    blade = np.stack([rng.normal(0, 0.35, len(x)), rng.normal(0, 0.35, len(x)), np.ones(len(x))], 1)
    tint = np.where(
        rng.random((len(x), 1)) < 0.06,
        hexes("e8e2c0", "d8c24a", "c9b0d8")[rng.integers(0, 3, len(x))],
        tone("5f7a38") * rng.uniform(0.65, 1.3, (len(x), 1)),
    )
    canvas.discs(
        np.stack([x, y, z + 0.06], 1),
        blade,
        np.stack([np.cos(x * 9), np.sin(x * 9), 0 * x], 1),
        (0.075, 0.022, 0.01),
        tint,
        0.85,
        leaf=True,
    )


def trees(canvas: Canvas) -> None:
    """Old broad trees whose crowns join, a row of limes, two cedars, a willow at the water."""
    old = ((-18.6, -12.0, 7.2, 3.1), (-6.0, -11.8, 7.6, 3.3), (-15.8, -3.6, 6.8, 2.8), (-4.4, -4.4, 6.4, 2.5), (-1.6, 10.6, 7.4, 3.2),
           (5.8, 7.2, 6.6, 2.7), (10.8, 12.4, 7.0, 2.9), (-18.4, 12.8, 7.0, 2.9), (19.6, 7.4, 6.6, 2.6))  # fmt: skip
    greens = hexes("5f7d36", "6f8a3e", "557036", "7a8f48")
    for k, (x, y, h, crown) in enumerate(old):
        tree(canvas, x, y, h, greens[k % 4], crown, 0.26 + 0.02 * (k % 3), 17, 150)
        with canvas.at(x, y):
            for angle in np.linspace(0, 2 * np.pi, 6)[:-1] + k:
                canvas.bar(
                    (0.1 * np.cos(angle), 0.1 * np.sin(angle), 0.3),
                    (0.65 * np.cos(angle), 0.65 * np.sin(angle), 0.03),
                    0.22,
                    UP,
                    tone("5d4833"),
                    0.15,
                )
        litter(canvas, x, y, 2.0, 110, hexes("a88a3a", "7f7a3a", "8f6a35"))
    for x in np.arange(-3.0, 21.0, 5.6):
        tree(canvas, x, -14.2, 6.0, tone("6c8440"), 2.0, 0.17, 13)
    for x, y in ((18.6, -9.6), (-21.0, 6.6)):
        conifer(canvas, x, y, 7.5, tone("3f5c3a"), 1.7, 0.5)
    x, y = 0.9, -8.8  # the willow
    with canvas.at(x, y):
        canvas.cylinder(0, 0, 0.28, 0, 3.2, 0.14, bark(tone("6b5a42")), top=False)
        canvas.cloud((0, 0, 4.6), (2.0, 2.0, 1.1), 420, 0.11, tone("6f8a3a") * 0.8, tone("a3b85f"))
        for angle in np.linspace(0, 2 * np.pi, 40):
            r, drop = canvas.rng.uniform(1.2, 2.3), canvas.rng.uniform(1.6, 3.0)
            top = np.array([r * np.cos(angle), r * np.sin(angle), 4.6])
            canvas.bar(
                top,
                top - UP * drop + 0.2 * top * (1, 1, 0),
                0.1,
                (np.cos(angle), np.sin(angle), 0),
                tone("8aa04c"),
                0.25,
            )


def pavilion(canvas: Canvas) -> None:
    """An open octagon of columns under a roof of slate, on a floor two steps high with a ramp in
    the east.
    """
    with canvas.at(*PAVILION):
        corner = np.array([[np.cos(a), np.sin(a)] for a in np.arange(8) * np.pi / 4 + np.pi / 8])

        def inside(x, y, r=2.75):
            return (
                np.max([x * np.cos(a) + y * np.sin(a) for a in np.arange(8) * np.pi / 4], axis=0)
                < r
            )

        canvas.sheet(-3, -3, 3, 3, 0.17, planks(tone("a58a68"), 0.2, (1, 0, 0)), 0.3, inside)
        canvas.level(-3, -3, 3, 3, 0.3, "floor", inside)
        edge = 2.75 / np.cos(np.pi / 8)
        for k in range(8):
            a, b = np.append(corner[k - 1] * edge, 0), np.append(corner[k] * edge, 0)
            if k != 0:
                canvas.patch(a, b - a, UP * 0.3, 0.16, concrete(tone("c2b9a8"), 196))
            p = corner[k] * 2.5
            canvas.cylinder(
                p[0], p[1], 0.12, 0.3, 3.0, 0.13, plaster(tone("e4dfd2"), 197, 0.5), top=False
            )
            eave_a, eave_b = np.append(corner[k - 1] * 3.3, 3.0), np.append(corner[k] * 3.3, 3.0)
            apex = np.array([0, 0, 4.7])
            mid_a, mid_b = (
                eave_a + 0.5 * (apex - eave_a) - 0.12 * UP,
                eave_b + 0.5 * (apex - eave_b) - 0.12 * UP,
            )
            slate = tone("5f6a70") * (0.9 + 0.2 * (k % 2))
            canvas.fan(apex, mid_a, mid_b, 0.2, slate)
            canvas.fan(mid_a, eave_a, eave_b, 0.2, slate)
            canvas.fan(mid_a, mid_b, eave_b, 0.2, slate)
            canvas.bar(
                eave_a, eave_b, 0.2, np.append(corner[k] + corner[k - 1], 0), tone("ded8c8"), 0.2
            )
            canvas.patch(
                eave_a - 0.04 * UP,
                eave_b - eave_a,
                (apex - (eave_a + eave_b) / 2) * 0.8,
                0.25,
                planks(tone("b09a78"), 0.2),
                flip=False,
            )
            if k not in (0, 4):
                q = corner[k - 1] * 2.5
                railing(canvas, (*q, 0.3), (*p, 0.3), tone("d8d2c2"), 0.8, 0.25)
        ramp(
            canvas,
            5.6,
            1.0,
            np.pi,
            2.0,
            3.0,
            0.0,
            0.3,
            planks(tone("9a8060"), 0.2, (1, 0, 0)),
            "floor",
        )


def surroundings(canvas: Canvas) -> None:
    """Hedges and a railing round it all, houses behind the trees, benches, lamps, beds of
    flowers.
    """
    box = tone("4d6a34")
    for a, b in (((-22.6, -16.6), (22.6, -16.6)), ((22.6, -16.6), (22.6, 1.0)), ((22.6, 4.6), (22.6, 16.6)),
                 ((-22.6, 16.6), (13.0, 16.6)), ((-22.6, -16.6), (-22.6, -0.6)), ((-22.6, 3.4), (-22.6, 16.6))):  # fmt: skip
        hedge(canvas, a, b, 1.5, 0.8, box)
    hedge(canvas, (-7.2, 2.0 + 0.4), (-5.0, 4.8), 0.7, 0.5, box)
    hedge(canvas, (-14.6, -9.4), (-12.6, -6.6), 0.7, 0.5, box)
    for x, gate in ((22.8, (1.0, 4.6)), (-22.8, (-0.6, 3.4))):
        railing(canvas, (x, gate[0], 0.5), (x, gate[1], 0.5), height=1.7)
    railing(canvas, (13.0, 16.8, 0.5), (18.4, 16.8, 0.5), height=1.7)
    hedge(canvas, (18.4, 16.6), (22.6, 16.6), 1.5, 0.8, box)
    stone = Front(
        plaster(tone("cdbfa6"), 198),
        floors=(1.2, 4.6),
        roof=roof_tiles(tone("6a6f74")),
        window=(1.1, 1.8),
        shutter=None,
    )
    facade(canvas, (-23.6, 17.6), (-3.0, 17.6), 8.2, stone)
    facade(
        canvas,
        (1.5, 17.6),
        (23.6, 17.6),
        9.0,
        Front(plaster(tone("b98f74"), 199), floors=(1.2, 4.4), roof=roof_tiles(tone("7a4a3a"))),
    )
    facade(
        canvas,
        (23.6, -17.6),
        (-4.0, -17.6),
        7.4,
        Front(plaster(tone("d6cbb4"), 200), floors=(1.2, 4.4), shutter=tone("5f7a6a")),
    )
    for x, y, yaw in (
        (1.2, -1.0, 0.3),
        (12.2, -0.2, -0.2),
        (13.4, -10.4, np.pi + 0.5),
        (-8.2, -7.0, -np.pi / 2),
        (6.0, 4.6, 0.0),
        (-14.6, 4.2, 0.9),
        (17.9, 12.0, -np.pi / 2),
    ):
        bench(canvas, x, y, yaw, tone("5f6f4a"))
    for x, y in ((-6.6, 0.3), (3.2, 0.6), (13.0, 4.2), (-13.2, -1.4), (15.2, -2.6)):
        lamp(canvas, x, y, colour=tone("2f4238"))
    for x, y, r, code in ((-16.8, 8.4, 0.8, "c9b0d8"), (-5.2, 7.9, 0.7, "d8a8b8"), (9.2, 9.0, 0.8, "e0d8b0"),
                          (19.0, 1.2, 0.7, "d8a8b8"),
                          (-20.0, -6.0, 0.9, "c9b0d8"), (-11.0, -14.4, 0.9, "e0d8b0"), (20.4, -4.0, 0.8, "c9b0d8")):  # fmt: skip
        bush(canvas, x, y, r, 1.1, tone("5f7a40"), tone(code))
    planter(canvas, -13.7, 11.6, 1.8, 0.7, tone("c63f5a"), tone("9a948a"))
    planter(canvas, -7.2, 11.4, 1.8, -0.7, tone("e0c04a"), tone("9a948a"))


def paint(canvas: Canvas) -> None:
    """Paints the park."""
    for part in (ground, tufts, trees, pavilion, surroundings):
        part(canvas)
