"""`underpass`: a passage under a road, between two forecourts that lie a metre higher: ramps,
stairs, pillars, graffiti, lamps.

The passage runs along x at z = 0; hard sun outside, lamps inside.
"""

import numpy as np

from s2e.envs.geometry.scene import Sky
from tools.urban.houses import steps
from tools.urban.paint import UP, Canvas, Light, Place
from tools.urban.sheets import (
    CONCRETE,
    STEEL,
    TIMBER,
    barrier,
    block,
    fence,
    footprint,
    hedge,
    lay,
    prism,
    rod,
    sheet,
    shrub,
    stained,
    strip,
    tree,
    tufts,
    wall,
)
from tools.urban.street_parts import (
    BLUE,
    RED,
    YELLOW,
    bicycle,
    bollard,
    car,
    graffiti,
    hoop,
    lamp_post,
    litter,
    picture,
    puddle,
    seat,
    stripe,
)
from tools.urban.surfaces import asphalt, brick, cobbles, concrete, grass, hexes, mottle, slabs

PLACE = Place(
    low=(-23.0, -12.0),
    high=(23.0, 12.0),
    top=7.0,
    sun=(-0.62, 0.36, 0.62),
    sky=Sky(zenith=(84.0, 132.0, 200.0), horizon=(236.0, 232.0, 222.0), fog_m=400.0),
    light=Light(
        sun_rgb=(5.2, 4.8, 4.0),
        sky_rgb=(0.9, 1.05, 1.3),
        bounce_rgb=(0.8, 0.78, 0.72),
        exposure=0.6,
        reach_m=7.0,
    ),
    seed=47,
)
INNER, RAMP, HALF, SIDE, LEVEL = 6.0, 14.0, 5.0, 9.0, 1.0
CEILING, DECK = 2.9, 4.0
STAIR_Y = 1.2


def slope(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Height of the ramps."""
    return LEVEL * np.clip((np.abs(x) - INNER) / (RAMP - INNER), 0, 1) + 0 * y


def bank(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Height of the grass that climbs to the road."""
    return (
        1.9
        + 2.0 * np.clip((RAMP - np.abs(x)) / (RAMP - INNER - 0.3), 0, 1)
        + 0.05 * mottle(x, y, 0.3, 3)
    )


def ground(canvas: Canvas) -> None:
    """Forecourts, ramps, stairs and the passage's floor with its gutters."""
    paving = slabs(hexes("8f8b84", "858179", "98938a", "7b7771"), 0.5, seed=3)
    lay(canvas, (-22.6, -SIDE), (-RAMP + 0.15, SIDE), 0.12, paving, LEVEL)
    lay(
        canvas,
        (RAMP - 0.15, -SIDE),
        (22.6, SIDE),
        0.12,
        cobbles(hexes("7d7872", "8c867c", "6f6b68", "94897a"), 5, 0.3),
        LEVEL,
    )
    tar = asphalt(hexes("77736f")[0])
    lay(canvas, (-RAMP, -HALF), (-INNER + 0.15, HALF), 0.12, tar, slope)
    lay(canvas, (INNER - 0.15, -HALF), (RAMP, STAIR_Y), 0.12, tar, slope)
    foot = RAMP - 8 * 0.45
    lay(canvas, (INNER, STAIR_Y), (foot, HALF), 0.12, tar)
    lay(
        canvas,
        (-INNER, -HALF),
        (INNER, HALF),
        0.11,
        lambda p: tar(p) * (0.8 - 0.1 * np.exp(-(HALF - np.abs(p[:, 1:2])) / 0.5)),
    )
    steps(
        canvas,
        foot,
        STAIR_Y + 0.1,
        0.0,
        HALF - STAIR_Y - 0.1,
        8,
        stained(hexes("9a958c")[0], 0.12),
        0.0,
        LEVEL / 8,
        0.45,
    )
    for y in (-HALF + 0.3, HALF - 0.3):  # gutters under gratings
        stripe(canvas, np.array([[-INNER, y], [INNER, y]]), 0.3, hexes("3a3836")[0], 0.0, -0.6)
        for x in np.arange(-INNER, INNER, 0.25):
            canvas.bar((x, y - 0.13, 0.012), (x, y + 0.13, 0.012), 0.05, UP, STEEL * 0.55, 0.13)
    for x in np.arange(-13.6, -6, 1.2):  # ribs against slipping
        stripe(
            canvas,
            np.array([[x, -HALF + 0.2], [x, HALF - 0.2]]),
            0.06,
            hexes("5e5b57")[0],
            float(slope(np.array(x), np.array(0.0))),
            0.1,
        )
    yellow = YELLOW * 0.85
    stripe(canvas, np.array([[-20.5, 2.2], [-RAMP, 2.2]]), 0.12, yellow, LEVEL, 0.3)
    stripe(canvas, np.array([[-INNER, 0.0], [-3.2, 0.0]]), 0.12, hexes("d6d2c6")[0], 0.0, 0.3)
    for y in (-3.6, 3.4):
        for x in (-5.2, -1.6, 2.6):
            puddle(
                canvas,
                x + 0.8 * y / 3,
                y + 0.3 * np.sin(3 * x),
                canvas.rng.uniform(0.45, 0.85),
                hexes("5b6670")[0],
            )


def passage(canvas: Canvas) -> None:
    """Side walls with graffiti, pillars, a partition, ceiling with beams and lamps, the road's slab
    above with its parapet.
    """
    for y, start, end in ((HALF, -INNER, INNER), (-HALF, INNER, -INNER)):
        image = graffiti(canvas.rng, 2 * INNER, CEILING, hexes("96948e")[0])
        wall(
            canvas,
            (start, y),
            (end, y),
            CEILING,
            picture(image, (start, y), (end, y), 0.0, 0.06),
            step=0.085,
            thick=0.8,
        )
    raw = concrete(hexes("98958e")[0])
    canvas.patch((-INNER, HALF, CEILING), (2 * INNER, 0, 0), (0, -2 * HALF, 0), 0.2, raw)
    for x in (-4.1, -1.4, 1.3, 4.0):
        canvas.box(x - 0.25, -HALF, CEILING - 0.3, x + 0.25, HALF, CEILING, 0.2, raw, "ewb")
        for y in (-1.9, 1.9):
            tint = canvas.rng.uniform(0.85, 1.05)
            canvas.cylinder(
                x, y, 0.3, 0.0, CEILING - 0.3, 0.11, lambda p, k=tint: _pillar(p) * k, top=False
            )
    for x, span in ((-2.75, 1.9), (2.65, 1.9)):
        image = graffiti(canvas.rng, span, 1.9, hexes("b3aea2")[0], 0.05)
        for sign in (1, -1):
            a, b = (x - sign * span / 2, -0.12 * sign), (x + sign * span / 2, -0.12 * sign)
            wall(canvas, a, b, 1.9, picture(image, a, b, 0.0, 0.05), step=0.085, thick=0.24)
        for end in (-1, 1):
            e = x + end * span / 2
            wall(canvas, (e, -0.12 * end), (e, 0.12 * end), 1.9, raw, step=0.1, thick=0.2)
        canvas.patch((x - span / 2, -0.12, 1.9), (span, 0, 0), (0, 0.24, 0), 0.1, raw)
    for x in (-5.0, -2.7, 0.0, 2.7, 5.0):
        for y in (-3.4, 0.0, 3.4):
            if y or abs(x) < 0.1 or abs(x) > 4:
                canvas.box(
                    x - 0.55,
                    y - 0.09,
                    CEILING - 0.1,
                    x + 0.55,
                    y + 0.09,
                    CEILING,
                    0.09,
                    stained(hexes("fff3d6")[0]),
                    "nsewb",
                    solid=False,
                    glow=1.1,
                )
                canvas.lamp_at(x, y, CEILING - 0.35, (1.5, 1.32, 1.02), 7.0)
    canvas.solid(-INNER, -12, CEILING, INNER, 12, DECK)
    for side in (-1, 1):
        low, high = sorted((side * HALF, side * 12.0))
        canvas.solid(-INNER, low, 0.0, INNER, high, CEILING)
        x = side * INNER
        a, b = ((x, -12.0), (x, 12.0)) if side > 0 else ((x, 12.0), (x, -12.0))
        wall(
            canvas,
            a,
            b,
            DECK - CEILING + 0.25,
            concrete(hexes("a8a49b")[0], 29),
            z=CEILING,
            step=0.15,
            thick=0.3,
        )
        rails = np.array([[x - side * 0.2, -11.9], [x - side * 0.2, 11.9]])
        fence(
            canvas,
            rails,
            0.95,
            STEEL * 0.7,
            DECK + 0.25,
            pitch=0.22,
            post=2.0,
            rails=(0.15, 0.5, 1.0),
        )
    canvas.patch(
        (-INNER, -12, DECK), (2 * INNER, 0, 0), (0, 24, 0), 0.4, asphalt(hexes("5f5e5f")[0])
    )
    car(canvas, -3.4, -4.6, -np.pi / 2, RED * 0.8, DECK)
    car(canvas, 3.4, 3.0, np.pi / 2, hexes("d8d4c8")[0], DECK, tall=True)
    for y in (-6.5, 5.5):
        lamp_post(canvas, -5.4, y, 2.7, 0.0, STEEL * 0.6, DECK, 1.2)


def _pillar(p: np.ndarray) -> np.ndarray:
    """Concrete pillars with a band of yellow and black and scribbles."""
    tone = concrete(hexes("a39f96")[0], 33)(p)
    z = p[:, 2]
    band = (z > 0.7) & (z < 1.3)
    tone[band] = np.where(
        ((z[band] / 0.2).astype(int) % 2 == 0)[:, None], YELLOW * 0.85, hexes("2a2a2a")[0]
    )
    ink = (np.abs(mottle(3 * p[:, 0] + 3 * p[:, 1], z, 0.9, 7)) < 0.07) & (z > 1.4) & (z < 2.1)
    tone[ink] = BLUE * 0.8
    return tone


def banks(canvas: Canvas) -> None:
    """Retaining walls beside the ramps, grass above them, railings, the wall between ramp and
    stairs.
    """
    raw = concrete(hexes("a19c92")[0], 27)
    turf = grass(hexes("66803a")[0], hexes("97914f")[0])
    for sx in (-1, 1):
        for sy in (-1, 1):
            x = np.linspace(sx * RAMP, sx * INNER, 14)
            path = np.column_stack([x, np.full(14, sy * HALF)])
            path = path if sx * sy < 0 else path[::-1]
            top = bank(path[:, 0], path[:, 1]) + 0.15
            image = graffiti(canvas.rng, RAMP - INNER, 4.2, hexes("a19c92")[0])
            sheet(canvas, path, 0.0, top, 0.1, picture(image, path[0], path[-1], 0.0, 0.06))
            for a, b, h0, h1 in zip(path[:-1], path[1:], top[:-1], top[1:], strict=True):
                edge = np.array([0, sy * 0.12])
                canvas.bar(
                    [*(a + edge), h0 + 0.02],
                    [*(b + edge), h1 + 0.02],
                    0.36,
                    UP,
                    CONCRETE * 1.05,
                    0.2,
                )
                rod(
                    canvas,
                    np.stack([[*(a + edge), h0 + 0.9], [*(b + edge), h1 + 0.9]]),
                    0.03,
                    STEEL * 0.6,
                )
                rod(
                    canvas,
                    np.stack([[*(a + edge), h0 + 0.45], [*(b + edge), h1 + 0.45]]),
                    0.02,
                    STEEL * 0.6,
                )
                rod(
                    canvas,
                    np.stack([[*(a + edge), h0], [*(a + edge), h0 + 0.9]]),
                    0.025,
                    STEEL * 0.55,
                )
            low, high = sorted((sy * (HALF + 0.1), sy * 11.9))
            x0, x1 = sorted((sx * RAMP, sx * INNER))
            lay(canvas, (x0, low), (x1, high), 0.2, turf, bank, "grass")
            a, b = np.array([sx * RAMP, sy * HALF]), np.array([sx * RAMP, sy * 12])
            foot = np.stack([a, b]) if sx * sy < 0 else np.stack([b, a])
            wall(
                canvas,
                foot[0] if sx * sy > 0 else foot[1],
                foot[1] if sx * sy > 0 else foot[0],
                1.1,
                raw,
                z=LEVEL,
                step=0.13,
                thick=0.2,
            )
            n = 1400
            u, v = canvas.rng.uniform(x0, x1, n), canvas.rng.uniform(low, high, n)
            tufts(canvas, np.column_stack([u, v, bank(u, v)]), 0.22, hexes("7d8a45")[0])
            for _ in range(5):
                u, v = canvas.rng.uniform(x0 + 1, x1 - 1), sy * canvas.rng.uniform(7, 11)
                shrub(
                    canvas,
                    u,
                    v,
                    0.6,
                    1.0,
                    hexes("5c7434")[0],
                    float(bank(np.array(u), np.array(v))),
                    solid=False,
                )
    foot = RAMP - 8 * 0.45
    for sign in (1, -1):
        path = np.array([[INNER + 0.6, STAIR_Y], [foot, STAIR_Y], [RAMP, STAIR_Y]]) + np.array(
            [0, 0.1 - sign * 0.1]
        )
        path = path if sign > 0 else path[::-1]
        top = np.array([0.9, 0.9, 1.9]) if sign > 0 else np.array([1.9, 0.9, 0.9])
        sheet(canvas, path, 0.0, top, 0.1, raw)
        canvas.bar(
            [INNER + 0.6, STAIR_Y + 0.1, 0.92], [foot, STAIR_Y + 0.1, 0.92], 0.24, UP, CONCRETE, 0.2
        )
        canvas.bar(
            [foot, STAIR_Y + 0.1, 0.92], [RAMP, STAIR_Y + 0.1, 1.92], 0.24, UP, CONCRETE, 0.2
        )
    prism(
        canvas,
        np.array(
            [
                [INNER + 0.6, STAIR_Y],
                [RAMP, STAIR_Y],
                [RAMP, STAIR_Y + 0.2],
                [INNER + 0.6, STAIR_Y + 0.2],
            ]
        ),
        0.0,
        0.9,
    )
    barrier(canvas, np.array([[foot, STAIR_Y + 0.1], [RAMP, STAIR_Y + 0.1]]), 0.9, 1.7)


def borders(canvas: Canvas) -> None:
    """What closes the forecourts: a brick wall, hedges behind railings, a row of shops with
    shutters, a block of flats.
    """
    red = brick(hexes("7d4636")[0], hexes("9a9082")[0])
    wall(canvas, (-22.6, SIDE), (-RAMP, SIDE), 2.3, red, z=LEVEL, step=0.14)
    strip(
        canvas,
        np.array([[-22.6, SIDE + 0.1], [-RAMP, SIDE + 0.1]]),
        0.5,
        LEVEL + 2.32,
        0.16,
        stained(CONCRETE),
    )
    fence(canvas, np.array([[-22.6, -SIDE], [-RAMP, -SIDE]]), 1.3, hexes("35463c")[0], LEVEL)
    hedge(
        canvas,
        np.array([[-22.6, -SIDE - 0.7], [-RAMP, -SIDE - 0.7]]),
        0.9,
        1.5,
        hexes("4b6a34")[0],
        LEVEL,
    )
    fence(canvas, np.array([[RAMP, SIDE], [22.6, SIDE]]), 1.3, STEEL * 0.7, LEVEL)
    hedge(
        canvas,
        np.array([[RAMP, SIDE + 0.7], [22.6, SIDE + 0.7]]),
        0.9,
        1.4,
        hexes("55702f")[0],
        LEVEL,
    )
    image = graffiti(canvas.rng, 22.6 - RAMP, 2.4, hexes("b3aa9a")[0])
    wall(
        canvas,
        (22.6, -SIDE),
        (RAMP, -SIDE),
        2.4,
        picture(image, (22.6, -SIDE), (RAMP, -SIDE), LEVEL, 0.06),
        z=LEVEL,
        step=0.1,
    )
    shutters = [
        (0.8, 3.0, 2.5, BLUE * 0.6),
        (4.8, 3.0, 2.5, hexes("8b8f90")[0]),
        (8.8, 1.1, 2.3, RED * 0.5),
        (11.0, 3.0, 2.5, hexes("4d6b57")[0]),
        (14.8, 2.6, 2.5, hexes("8b8f90")[0]),
    ]
    upper = [(1.2 + 2.9 * k, 3.4, 1.3, 1.4) for k in range(6)]
    wall(
        canvas,
        (-22.4, -SIDE),
        (-22.4, SIDE),
        5.6,
        concrete(hexes("c3b59a")[0], 37, 3.0),
        z=LEVEL,
        step=0.15,
        doors=shutters,
        windows=upper,
    )
    rows = [(0.9 + 2.9 * k, t, 1.5, 1.3) for k in range(6) for t in (0.95, 3.5)]
    wall(
        canvas,
        (22.4, SIDE),
        (22.4, -SIDE),
        5.8,
        brick(hexes("a5815c")[0], hexes("b3a894")[0]),
        z=LEVEL,
        step=0.15,
        windows=rows[2:],
        doors=[(1.0, 1.2, 2.2, hexes("3c4b55")[0])],
        frame=hexes("e2ded2")[0],
    )
    for x, y, h in (
        (-20, -11, 5.4),
        (-16.5, -11.2, 6.0),
        (16.0, 11, 5.6),
        (20.0, 11.2, 5.2),
        (-18, 11, 5.5),
        (18.5, -11, 5.6),
    ):
        tree(canvas, x, y, h - LEVEL, 1.9, hexes("5b7632")[0], LEVEL)
    canvas.bar_ground(-22.9, SIDE, 22.9, 11.9)
    canvas.bar_ground(-22.9, -11.9, 22.9, -SIDE)


def furniture(canvas: Canvas) -> None:
    """Bollards before the ramps, bicycles, benches, blocks of concrete, pallets, lamps, rubbish."""
    for y in (-3.6, -1.8, 0.0, 1.8, 3.6):
        bollard(canvas, -RAMP - 0.6, y, 0.95, 0.09, YELLOW * 0.8, LEVEL, cap=False)
    for y in (-3.9, -2.1, -0.4):
        bollard(canvas, RAMP + 0.5, y, 0.95, 0.09, STEEL * 0.5, LEVEL, cap=False)
    for k, y in enumerate((-7.6, -6.7, -5.8)):
        hoop(canvas, -16.2, y, 0.0, STEEL * 0.8, LEVEL)
        if k != 1:
            bicycle(canvas, -16.1, y + 0.22, 0.08, (RED, BLUE, BLUE)[k], LEVEL)
    for x, y, yaw in (
        (-17.6, 5.0, -np.pi / 2),
        (-20.6, -2.6, 0.0),
        (19.0, 6.4, -np.pi / 2),
        (17.2, -6.2, np.pi / 2),
    ):
        seat(canvas, x, y, yaw, TIMBER, LEVEL)
    for x, y, yaw in (
        (-9.4, 2.9, 0.3),
        (-11.2, -2.4, -0.2),
        (9.6, -2.6, 0.5),
        (18.6, 1.6, 1.2),
        (-18.8, 1.0, 0.8),
    ):
        z = float(slope(np.array(x), np.array(y)))
        block(
            canvas,
            x,
            y,
            yaw,
            (1.5, 0.55, 0.7),
            0.11,
            concrete(hexes("b0aca3")[0], 39, 0.9),
            z,
            taper=0.85,
        )
    for x, y in ((5.1, 4.2), (-4.8, -4.3)):
        for k in range(4):
            block(
                canvas,
                x + canvas.rng.normal(0, 0.03),
                y,
                canvas.rng.normal(0.1, 0.05),
                (1.15, 0.8, 0.12),
                0.1,
                stained(TIMBER * 1.2, 0.2),
                0.15 * k,
            )
    for x, y in ((16.4, 4.4), (20.4, -2.4)):
        with canvas.at(x, y, 0.0, z=LEVEL):
            canvas.cylinder(0, 0, 0.8, 0.0, 0.5, 0.12, stained(CONCRETE, 0.12), top=False)
            canvas.ring(0, 0, 0.0, 0.8, 0.45, 0.12, stained(hexes("54452f")[0], 0.2))
        tree(canvas, x, y, 4.3, 1.5, hexes("66803a")[0], LEVEL, 0.13)
        prism(canvas, footprint(x, y, 0.0, 1.2, 1.2), LEVEL, LEVEL + 0.6)
    lamp_post(canvas, -15.6, 7.6, 4.2, -0.9, STEEL * 0.5, LEVEL)
    lamp_post(canvas, 15.4, -7.8, 4.2, 0.9, STEEL * 0.5, LEVEL)
    block(
        canvas,
        -15.2,
        -4.7,
        0.0,
        (0.5, 0.5, 0.9),
        0.1,
        stained(hexes("3f5a45")[0], 0.1),
        LEVEL,
        taper=1.1,
    )
    block(
        canvas,
        15.0,
        7.8,
        0.0,
        (0.5, 0.5, 0.9),
        0.1,
        stained(hexes("3f5a45")[0], 0.1),
        LEVEL,
        taper=1.1,
    )
    n = 500
    x, side = canvas.rng.uniform(-INNER, INNER, n), canvas.rng.choice([-1, 1], n)
    points = np.column_stack(
        [x, side * (HALF - np.abs(canvas.rng.normal(0, 0.5, n)) - 0.05), np.zeros(n)]
    )
    litter(canvas, points, hexes("d9d4c6", "8a6a2f", "5d6b3a", "b33d35", "a9c1cf"), 0.05)


def paint(canvas: Canvas) -> None:
    """Paints the scene."""
    ground(canvas)
    banks(canvas)
    passage(canvas)
    borders(canvas)
    furniture(canvas)
