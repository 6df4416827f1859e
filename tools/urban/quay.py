"""`quay`: a harbour canal between warehouses and narrow houses on a hazy morning: boats, bollards,
low walls, two bridges.

The quays lie 0.9 m above the bed of the canal; one bridge is of stone and climbs, the other is of
timber and level.
"""

import numpy as np

from s2e.envs.geometry.scene import Sky
from tools.urban.paint import UP, Canvas, Light, Place
from tools.urban.sheets import (
    BLACK,
    STEEL,
    TIMBER,
    barrier,
    block,
    fence,
    footprint,
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
    GREEN,
    RED,
    bicycle,
    boat,
    bollard,
    car,
    ivy,
    lamp_post,
    litter,
    puddle,
    seat,
    stripe,
)
from tools.urban.surfaces import (
    brick,
    cobbles,
    hexes,
    mottle,
    planks,
    plaster,
    roof_tiles,
    slabs,
    stones,
    water,
)

PLACE = Place(
    low=(-21.0, -15.0),
    high=(21.0, 10.5),
    top=11.0,
    sun=(0.72, -0.5, 0.46),
    sky=Sky(zenith=(150.0, 176.0, 204.0), horizon=(238.0, 229.0, 212.0), fog_m=400.0),
    light=Light(
        sun_rgb=(3.6, 3.0, 2.2),
        sky_rgb=(1.25, 1.35, 1.5),
        bounce_rgb=(1.2, 1.12, 1.05),
        exposure=0.58,
        spread=0.035,
    ),
    seed=59,
)
QUAY, WATER = 0.9, 0.22
END, NORTH, EDGE, FAR, SOUTH = 20.0, 8.5, -1.5, -8.0, -13.2
STONE_X, TIMBER_X = (1.4, 5.4), (-15.6, -13.4)
CREST, REACH = -4.75, 6.4
GAPS = ((-11.5, -7.5), (9.0, 13.0))
GRANITE = hexes("9a958b")[0]


def hump(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Height of the stone bridge's deck: straight ramps that round off at the crest."""
    t = np.clip((REACH - np.abs(y - CREST)) / REACH, 0, 1)
    return QUAY + 0.72 * np.where(t < 0.75, t / 0.875, 1 - (1 - t) ** 2 * 2 / 0.875) + 0 * x


def over_water(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Whether points of the canal are not on a bridge."""
    return ~((x > STONE_X[0]) & (x < STONE_X[1])) & ~((x > TIMBER_X[0]) & (x < TIMBER_X[1]))


def ground(canvas: Canvas) -> None:
    """Setts with crane rails on the north quay, slabs on the south bank, coping stones, water."""
    setts = cobbles(hexes("77716a", "6a6661", "857b6d", "5f5d5c"), 3, 0.24)
    lay(canvas, (-END, EDGE), (END, NORTH + 0.1), 0.1, setts, QUAY)
    band = slabs(hexes("a19a8c", "968f83", "aaa294"), 0.8, seed=6, ratio=1.6)
    lay(
        canvas,
        (-END, 5.9),
        (END, 7.0),
        0.12,
        lambda p: band(p + np.array([0, 0.9, 0])),
        QUAY + 0.006,
    )
    paving = slabs(hexes("9d8f80", "92867a", "a79a88", "877c72"), 0.45, seed=8)
    lay(canvas, (-END, SOUTH), (END, FAR - 0.3), 0.11, paving, QUAY)
    for y in (0.7, 2.1):
        stripe(canvas, np.array([[-END, y], [END, y]]), 0.13, hexes("4b4642")[0], QUAY, -0.7)
        stripe(
            canvas,
            np.array([[-END, y + 0.03], [END, y + 0.03]]),
            0.045,
            STEEL * 1.05,
            QUAY + 0.004,
            -0.7,
        )
    deep = water(hexes("3f5148")[0])
    ripple = lambda x, y: WATER + 0.012 * mottle(2 * x, y, 0.7, 91)  # noqa: E731
    canvas.sheet(-END, FAR - 0.05, END, EDGE - 0.35, 0.16, deep, ripple, gloss=0.5)
    leaf = canvas.rng.uniform((-END, FAR), (END, EDGE - 0.5), (160, 2))
    leaf = leaf[mottle(leaf[:, 0], leaf[:, 1], 0.15, 92) > 0.2]
    litter(
        canvas, np.column_stack([leaf, np.full(len(leaf), WATER + 0.02)]), hexes("8a7a35", "6f6a3a")
    )


def _wet(p: np.ndarray) -> np.ndarray:
    """Quay walls: hewn blocks, dark and green near the water."""
    tone = stones(hexes("8b8478")[0], 17, 0.35, 0.8)(p)
    low = np.clip(1.2 - (p[:, 2] - WATER) / (0.3 + 0.06 * mottle(p[:, 0], p[:, 1], 0.8, 93)), 0, 1)[
        :, None
    ]
    return tone * (1 - 0.55 * low) + low * hexes("2f3a26")[0] * 0.5


def edges(canvas: Canvas) -> None:
    """Quay walls, low walls of granite with gaps for boats, chains across the gaps, tunnels at the
    canal's ends.
    """
    sheet(canvas, np.array([[-END, EDGE - 0.4], [END, EDGE - 0.4]]), 0.1, QUAY, 0.14, _wet)
    sheet(canvas, np.array([[END, FAR], [-END, FAR]]), 0.1, QUAY, 0.14, _wet)
    cuts = [
        -END,
        TIMBER_X[0] - 0.1,
        TIMBER_X[1] + 0.1,
        *GAPS[0],
        STONE_X[0] - 0.1,
        STONE_X[1] + 0.1,
        *GAPS[1],
        END,
    ]
    for a, b in zip(cuts[::2], cuts[1::2], strict=True):
        low_wall(canvas, a, b, EDGE - 0.4, EDGE)
    for a, b in zip(
        [-END, TIMBER_X[1] + 0.1, STONE_X[1] + 0.1],
        [TIMBER_X[0] - 0.1, STONE_X[0] - 0.1, END],
        strict=True,
    ):
        low_wall(canvas, a, b, FAR - 0.4, FAR)
    for a, b in GAPS:
        strip(
            canvas,
            np.array([[a, EDGE - 0.2], [b, EDGE - 0.2]]),
            0.42,
            QUAY,
            0.14,
            stones(GRANITE, 18, 0.4, 1.0),
        )
        for x in np.arange(a + 0.3, b, 0.85):
            bollard(canvas, x, EDGE - 0.2, 0.55, 0.075, BLACK * 1.3, QUAY, cap=False)
        for x in np.arange(a + 0.3, b - 0.6, 0.85):
            s = np.linspace(0, 1, 7)
            rod(
                canvas,
                np.column_stack(
                    [x + 0.85 * s, np.full(7, EDGE - 0.2), QUAY + 0.48 - 0.5 * s * (1 - s)]
                ),
                0.018,
                BLACK * 1.5,
            )
        barrier(canvas, np.array([[a, EDGE - 0.2], [b, EDGE - 0.2]]), QUAY + 0.1, QUAY + 0.5)
    wall(canvas, (-END, FAR - 0.4), (-END, EDGE), 3.2, _tunnel, step=0.14)
    wall(canvas, (END, EDGE), (END, FAR - 0.4), 3.2, _tunnel, step=0.14)
    canvas.bar_ground(-END, FAR, END, EDGE - 0.4, over_water)


def _tunnel(p: np.ndarray) -> np.ndarray:
    """A wall of blocks with the dark mouth of a tunnel."""
    tone = _wet(p)
    across = np.abs(p[:, 1] - (FAR + EDGE) / 2)
    inside = np.hypot(across, np.maximum(p[:, 2] - 0.4, 0)) < 2.2
    rim = ~inside & (np.hypot(across, np.maximum(p[:, 2] - 0.4, 0)) < 2.5)
    tone[inside] = hexes("0f1110")[0]
    tone[rim] = GRANITE * 1.1
    return tone


def low_wall(canvas: Canvas, a: float, b: float, y0: float, y1: float) -> None:
    """A wall of granite 0.5 m high along x."""
    body = stones(GRANITE, 19, 0.5, 1.1)
    canvas.box(a, y0 + 0.04, QUAY, b, y1 - 0.04, QUAY + 0.42, 0.12, body, "nsew")
    canvas.box(
        a - 0.03,
        y0,
        QUAY + 0.4,
        b + 0.03,
        y1,
        QUAY + 0.52,
        0.11,
        stones(GRANITE * 1.1, 20, 0.5, 1.4),
        "nsewt",
    )


def bridges(canvas: Canvas) -> None:
    """A stone bridge with parapets and an arch, and a footbridge of planks with railings."""
    x0, x1 = STONE_X
    y0, y1 = CREST - REACH, CREST + REACH
    setts = cobbles(hexes("8b8172", "7a7166", "958a7a"), 7, 0.22)
    lay(canvas, (x0, y0), (x1, y1), 0.11, setts, hump)
    y = np.linspace(y0 + 0.6, y1 - 0.6, 40)
    deck = hump(0 * y, y)

    def face(p: np.ndarray) -> np.ndarray:
        tone = _wet(p)
        r = np.hypot(p[:, 1] - CREST, 2.6 * np.maximum(p[:, 2] - 0.3, 0))
        tone[r < 2.3] = hexes("11130f")[0]
        tone[(r >= 2.3) & (r < 2.75)] = GRANITE * 1.15
        return tone

    for x, sign in ((x0, -1), (x1, 1)):
        for off, bottom, paint_ in (
            (0.0, np.full(40, 0.1), face),
            (-0.32, deck, stones(GRANITE, 21, 0.35, 0.7)),
        ):
            path = np.column_stack([np.full(40, x + sign * off), y])
            if (sign > 0) == (off == 0.0):
                sheet(canvas, path, bottom, deck + 0.78, 0.12, paint_)
            else:
                sheet(canvas, path[::-1], bottom[::-1], deck[::-1] + 0.78, 0.12, paint_)
        for k in range(39):
            a, b = (
                np.array([x - sign * 0.16, y[k], deck[k] + 0.8]),
                np.array([x - sign * 0.16, y[k + 1], deck[k + 1] + 0.8]),
            )
            canvas.bar(a, b, 0.42, UP, GRANITE * 1.12 * canvas.rng.uniform(0.92, 1.06), 0.2)
            prism(
                canvas,
                footprint(x - sign * 0.16, (y[k] + y[k + 1]) / 2, 0.0, 0.34, 0.45),
                0.0,
                float(deck[k]) + 0.8,
            )
        for end in (0, -1):
            block(
                canvas,
                x - sign * 0.16,
                y[end],
                0.0,
                (0.5, 0.5, 1.0),
                0.12,
                stones(GRANITE * 1.05, 22, 0.5, 0.6),
                float(deck[end]),
            )
    a, b = TIMBER_X
    wood = planks(TIMBER * 0.9, 0.18, (0, 1, 0))
    lay(canvas, (a, FAR - 0.45), (b, EDGE + 0.25), 0.1, wood, QUAY + 0.02)
    for x, sign in ((a, -1), (b, 1)):
        line = np.array([[x, FAR - 0.45], [x, EDGE + 0.1]])
        fence(
            canvas,
            line,
            1.0,
            TIMBER * 0.8,
            QUAY,
            pitch=0.5,
            post=1.6,
            rails=(0.2, 0.6, 1.0),
            board=0.07,
        )
        sheet(
            canvas,
            line if sign > 0 else line[::-1],
            QUAY - 0.25,
            QUAY + 0.02,
            0.12,
            stained(TIMBER * 0.6, 0.2),
        )
    for y_ in (FAR + 1.2, EDGE - 1.6):
        for x in (a + 0.1, b - 0.1):
            bollard(canvas, x, y_, QUAY - 0.1, 0.14, TIMBER * 0.45, 0.0, cap=False)


def warehouses(canvas: Canvas) -> None:
    """The fronts along the north quay, with loading doors above one another under hoists."""
    dark, pale = (
        brick(hexes("7f4434")[0], hexes("9d9283")[0], 9),
        brick(hexes("a8744f")[0], hexes("b3a692")[0], 10),
    )
    boards = planks(hexes("3f4a4c")[0], 0.2, (1, 0, 0), 32)
    green, red, cream = GREEN * 0.5, RED * 0.55, hexes("d8d0bd")[0]
    fronts = (
        (-20.0, -9.6, 7.6, dark, green),
        (-9.6, 1.2, 6.2, boards, red),
        (1.2, 10.6, 8.2, pale, hexes("2f4a5e")[0]),
        (10.6, 20.0, 6.8, dark, red),
    )
    for x0, x1, height, colour, tone in fronts:
        length, mid = x1 - x0, (x1 - x0) / 2
        side = [k for k in np.arange(1.1, length - 1.4, 2.35) if abs(k + 0.5 - mid) > 1.7]
        levels = [t for t in (1.0, 3.7, 6.2) if t + 1.6 < height]
        windows = [(k, t, 1.05, 1.35) for k in side for t in levels]
        hatches = [(mid - 0.8, t, 1.6, 2.0) for t in (3.5, 6.0) if t + 2.2 < height]
        wall(
            canvas,
            (x0, NORTH),
            (x1, NORTH),
            height,
            colour,
            z=QUAY,
            step=0.14,
            windows=windows,
            frame=cream,
            bars=(3, 3),
            doors=[(mid - 1.5, 3.0, 2.7, tone)],
            openings=[(s, s + w, t, t + h) for s, t, w, h in hatches],
        )
        for s, t, w, h in hatches:
            canvas.patch(
                (x0 + s, NORTH + 0.12, QUAY + t),
                (w, 0, 0),
                (0, 0, h),
                0.14,
                planks(tone, 0.2, (1, 0, 0)),
            )
            canvas.bar(
                (x0 + s - 0.1, NORTH - 0.05, QUAY + t - 0.05),
                (x0 + s + w + 0.1, NORTH - 0.05, QUAY + t - 0.05),
                0.1,
                UP,
                GRANITE,
                0.2,
            )
        rise = 0.32 * length
        canvas.patch(
            (x0, NORTH, QUAY + height),
            (length, 0, 0),
            (0, 0, rise),
            0.22,
            colour,
            keep=lambda s, t, n=length, r=rise: t < r * (1 - np.abs(2 * s / n - 1)),
        )
        peak = np.array([x0 + mid, NORTH, QUAY + height + rise])
        for foot in ((x0, NORTH, QUAY + height), (x1, NORTH, QUAY + height)):
            canvas.bar(
                np.array(foot) - (0, 0.08, 0),
                peak - (0, 0.08, 0),
                0.22,
                (0, -1, 0),
                cream * 0.8,
                0.25,
            )
        beam, x = QUAY + height, x0 + mid
        wood = stained(TIMBER * 0.6)
        canvas.box(
            x - 0.1,
            NORTH - 1.1,
            beam - 0.1,
            x + 0.1,
            NORTH,
            beam + 0.15,
            0.12,
            wood,
            "nsewtb",
            solid=False,
        )
        rod(
            canvas,
            np.array([[x0 + mid, NORTH - 1.0, QUAY + height], [x0 + mid, NORTH - 1.0, QUAY + 4.2]]),
            0.015,
            BLACK,
        )


def ends(canvas: Canvas) -> None:
    """The gable in the west with its gate, and the wall with ivy in the east."""
    dark, pale = (
        brick(hexes("7f4434")[0], hexes("9d9283")[0], 9),
        brick(hexes("a8744f")[0], hexes("b3a692")[0], 10),
    )
    wall(
        canvas,
        (-END, EDGE),
        (-END, NORTH),
        5.2,
        dark,
        z=QUAY,
        step=0.15,
        windows=[(1.2, 1.0, 1.1, 1.4), (7.0, 1.0, 1.1, 1.4), (7.0, 3.2, 1.1, 1.3)],
        frame=hexes("d8d0bd")[0],
        doors=[(3.4, 2.4, 2.6, hexes("5a4634")[0])],
    )
    wall(
        canvas,
        (END, NORTH),
        (END, EDGE),
        2.6,
        pale,
        z=QUAY,
        step=0.14,
        doors=[(4.0, 2.6, 2.3, BLACK * 1.6)],
    )
    ivy(
        canvas,
        (END - 0.02, NORTH, QUAY),
        np.array([0, -1.0, 0]),
        np.array([-1.0, 0, 0]),
        3.6,
        2.6,
        hexes("4d6631")[0],
    )


def houses(canvas: Canvas) -> None:
    """Narrow houses of many colours along the south bank, and the walls at its ends."""
    tones = hexes("c9a15c", "8fa3a0", "c58c72", "d8d0bf", "7f8f6d", "b9785a")
    x = END
    for k, width in enumerate((6.2, 5.4, 6.8, 7.2, 6.0, 8.4)):
        height = (5.8, 6.6, 5.2, 6.2, 6.9, 5.6)[k]
        pitch = width / 3
        windows = [
            (pitch * (j + 0.5) - 0.45, t, 0.95, 1.45)
            for j in range(3)
            for t in (0.9, 3.5)
            if not (t < 1 and j == k % 3)
        ]
        doors = [
            (
                pitch * (k % 3 + 0.5) - 0.5,
                1.0,
                2.2,
                (BLUE * 0.6, RED * 0.6, GREEN * 0.5, BLACK * 1.8)[k % 4],
            )
        ]
        wall(
            canvas,
            (x, SOUTH),
            (x - width, SOUTH),
            height,
            plaster(tones[k], 5 + k),
            z=QUAY,
            step=0.15,
            windows=windows,
            doors=doors,
            frame=hexes("eee8da")[0],
            bars=(2, 3),
        )
        canvas.patch(
            (x, SOUTH + 0.2, QUAY + height - 0.1),
            (-width, 0, 0),
            (0, -1.5, 1.3),
            0.26,
            roof_tiles(hexes("7d4433", "5b5f66")[k % 2], 80 + k),
        )
        canvas.bar(
            (x, SOUTH + 0.2, QUAY + height - 0.1),
            (x - width, SOUTH + 0.2, QUAY + height - 0.1),
            0.16,
            (0, 1, 0),
            hexes("e4dcc9")[0],
            0.3,
        )
        x -= width
    red = brick(hexes("8d5340")[0], hexes("a3988a")[0], 12)
    wall(canvas, (-END, SOUTH), (-END, FAR), 2.4, red, z=QUAY, step=0.14)
    wall(
        canvas,
        (END, FAR),
        (END, SOUTH),
        2.4,
        red,
        z=QUAY,
        step=0.14,
        doors=[(1.8, 1.4, 2.1, GREEN * 0.45)],
    )
    for x, y in ((-20.6, -10.5), (20.6, -10.0), (20.6, 3.0)):
        tree(canvas, x, y, 5.6, 1.9, hexes("5b7632")[0], QUAY)


def boats(canvas: Canvas) -> None:
    """What is moored, with ropes to the bollards."""
    white, navy, rust = hexes("e6e1d5", "27405c", "7d3b28")
    boat(canvas, -9.0, -3.2, 0.04, 6.6, np.stack([navy, white, rust]), WATER)
    boat(
        canvas,
        10.9,
        -2.75,
        np.pi - 0.03,
        4.2,
        np.stack([GREEN * 0.6, hexes("d9c9a0")[0], BLACK]),
        WATER,
        cabin=False,
    )
    boat(
        canvas,
        12.6,
        -6.6,
        0.05,
        7.4,
        np.stack([rust * 1.2, hexes("cdbf9f")[0], BLACK * 1.2]),
        WATER,
    )
    boat(
        canvas,
        -3.8,
        -6.9,
        np.pi + 0.04,
        4.0,
        np.stack([white, BLUE, BLUE * 0.6]),
        WATER,
        cabin=False,
    )
    boat(canvas, -18.0, -5.0, 0.1, 3.6, np.stack([RED * 0.7, white, BLACK]), WATER, cabin=False)
    for (x, y), (u, v) in (
        ((-12.2, -0.9), (-11.8, -2.6)),
        ((-6.9, -0.9), (-6.0, -2.8)),
        ((8.5, -0.9), (9.2, -2.4)),
        ((13.6, -0.9), (12.7, -2.4)),
        ((9.0, -8.9), (9.6, -7.3)),
        ((-5.6, -8.9), (-5.2, -7.5)),
    ):
        bollard(canvas, x, y, 0.5, 0.17, BLACK * 1.3, QUAY)
        s = np.linspace(0, 1, 8)
        path = np.column_stack(
            [
                x + s * (u - x),
                y + s * (v - y),
                QUAY + 0.3 + s * (0.75 - QUAY - 0.3) - 0.5 * s * (1 - s),
            ]
        )
        rod(canvas, path, 0.02, hexes("b5a582")[0])


def barrel(canvas: Canvas, x: float, y: float, tone: np.ndarray) -> None:
    """A barrel with hoops."""
    bollard(canvas, x, y, 0.85, 0.27, tone, QUAY, cap=False)
    for z in (0.16, 0.42, 0.68):
        angle = np.linspace(0, 2 * np.pi, 13)
        ring = np.column_stack(
            [x + 0.285 * np.cos(angle), y + 0.285 * np.sin(angle), np.full(13, QUAY + z)]
        )
        rod(canvas, ring, 0.018, BLACK * 1.5)


def crane(canvas: Canvas, x: float, y: float) -> None:
    """A hand crane: a turning post, a jib with a stay, a hook on its chain."""
    iron = hexes("3d4f4a")[0]
    block(canvas, x, y, 0.3, (1.1, 1.1, 0.45), 0.12, stones(GRANITE, 23, 0.45, 0.6), QUAY)
    with canvas.at(x, y, 0.0, z=QUAY):
        canvas.cylinder(0, 0, 0.16, 0.45, 3.0, 0.1, stained(iron, 0.15))
    tip = np.array([x + 0.6, y - 2.3, QUAY + 3.9])
    rod(canvas, np.array([[x, y, QUAY + 1.2], tip]), 0.08, iron)
    rod(canvas, np.array([[x, y, QUAY + 3.0], tip]), 0.035, iron)
    rod(canvas, np.array([tip, tip - (0, 0, 2.0)]), 0.02, BLACK)
    block(
        canvas,
        x + 0.1,
        y + 0.45,
        0.3,
        (0.6, 0.4, 0.7),
        0.1,
        stained(iron * 1.2, 0.15),
        QUAY + 0.5,
        solid=False,
    )


def furniture(canvas: Canvas) -> None:
    """What stands on the quays."""
    crane(canvas, -17.6, 0.9)
    crates = (
        (-6.2, 3.4, 0.3, 0.9),
        (-5.2, 3.7, -0.1, 0.7),
        (-6.0, 4.4, 0.6, 0.6),
        (15.6, 4.4, 0.2, 0.9),
        (16.5, 4.9, -0.3, 0.8),
        (7.6, 0.2, 0.5, 0.7),
    )
    for x, y, yaw, size in crates:
        block(
            canvas,
            x,
            y,
            yaw,
            (size * 1.3, size, size),
            0.1,
            planks(TIMBER * canvas.rng.uniform(0.9, 1.3), 0.14, (0, 0, 1)),
            QUAY,
        )
    block(
        canvas,
        -5.75,
        3.5,
        0.1,
        (0.9, 0.7, 0.6),
        0.1,
        planks(TIMBER * 1.2, 0.14, (0, 0, 1)),
        QUAY + 0.9,
    )
    for x, y in (
        (-1.8, 2.6),
        (-1.2, 2.9),
        (-1.4, 2.2),
        (12.0, 6.9),
        (12.6, 7.2),
        (-12.8, 6.8),
        (17.4, -9.6),
    ):
        barrel(canvas, x, y, TIMBER * canvas.rng.uniform(0.6, 0.9))
    for x, y in ((8.6, 3.0), (9.3, 3.3), (-10.4, 1.4)):  # lobster pots and nets
        for k in range(2):
            shrub(
                canvas,
                x + 0.1 * k,
                y,
                0.38,
                0.42,
                (hexes("4a6a72")[0], hexes("8a5c3c")[0])[k],
                QUAY + 0.3 * k,
            )
    for x, y, yaw in (
        (-3.2, -0.6, -np.pi / 2),
        (7.2, -9.0, np.pi / 2),
        (-9.4, -9.1, np.pi / 2),
        (16.4, -0.6, -np.pi / 2),
        (-17.6, -12.2, np.pi / 2),
    ):
        seat(canvas, x, y, yaw, TIMBER, QUAY)
    for x, y, yaw in (
        (-13.0, 0.2, -np.pi / 2),
        (0.2, 4.6, -np.pi / 2),
        (14.2, 1.2, -np.pi / 2),
        (-5.6, -12.4, np.pi / 2),
        (9.6, -12.5, np.pi / 2),
    ):
        lamp_post(canvas, x, y, 3.6, yaw, hexes("33403c")[0], QUAY, 0.7)
    car(canvas, 6.3, 6.4, 0.06, hexes("c9c2b0")[0], QUAY, tall=True)
    car(canvas, -16.6, 5.4, np.pi / 2 + 0.1, BLUE * 0.6, QUAY)
    small_things(canvas)


def small_things(canvas: Canvas) -> None:
    """Bicycles, trees, tubs with plants, life rings, ropes, puddles, weeds, leaves."""
    for x, y, yaw, tone in (
        (-7.6, 7.9, 0.05, GREEN),
        (1.9, 7.9, 0.0, BLACK * 2),
        (12.6, -12.7, 0.05, RED),
    ):
        bicycle(canvas, x, y, yaw, tone, QUAY)
    for x, y in ((-12.3, -10.6), (-2.4, -10.9), (9.0, -10.7), (16.0, -11.0)):
        canvas.ring(
            x, y, 0.0, 0.6, QUAY + 0.012, 0.1, stained(hexes("57493a")[0], 0.25, frequency=4.0)
        )
        tree(canvas, x, y, 4.4, 1.5, hexes("6f7f3a")[0], QUAY, 0.13)
    for x, y in (
        (18.6, -12.4),
        (6.4, -12.6),
        (-8.6, -12.6),
        (-0.6, -12.5),
        (-19.2, 7.6),
        (19.0, 7.7),
    ):
        block(canvas, x, y, 0.0, (0.9, 0.5, 0.45), 0.1, planks(TIMBER, 0.12, (0, 0, 1)), QUAY)
        shrub(canvas, x, y, 0.42, 0.6, hexes("5f7a3a")[0], QUAY + 0.4, solid=False)
    for x, y in ((-12.9, -1.05), (6.4, -1.05)):  # life rings on posts
        rod(canvas, np.array([[x, y, QUAY], [x, y, QUAY + 1.2]]), 0.04, hexes("e6e1d5")[0])
        angle = np.linspace(0, 2 * np.pi, 13)
        for k in range(12):
            pair = np.column_stack(
                [
                    x + 0.3 * np.cos(angle[k : k + 2]),
                    np.full(2, y + 0.06),
                    QUAY + 1.25 + 0.3 * np.sin(angle[k : k + 2]),
                ]
            )
            rod(canvas, pair, 0.06, RED if k % 3 else hexes("f0ebe0")[0])
        prism(canvas, footprint(x, y, 0.0, 0.2, 0.2), QUAY, QUAY + 1.2)
    angle = np.linspace(0, 10 * np.pi, 60)
    for x, y in ((-6.4, 0.0), (14.6, -0.3)):  # coils of rope
        rod(
            canvas,
            np.column_stack(
                [
                    x + 0.3 * np.cos(angle),
                    y + 0.3 * np.sin(angle),
                    QUAY + 0.03 + 0.004 * np.arange(60),
                ]
            ),
            0.03,
            hexes("b09a6c")[0],
        )
        prism(canvas, footprint(x, y, 0.0, 0.6, 0.6), QUAY + 0.1, QUAY + 0.25)
    for x, y in ((2.8, 3.6), (-9.0, 5.2), (11.0, 4.0), (-3.0, -11.6)):
        puddle(canvas, x, y, 0.7, hexes("77807f")[0], QUAY + 0.004)
    n = 1100
    x, y = (
        canvas.rng.uniform(-END, END, n),
        np.where(canvas.rng.random(n) < 0.5, NORTH - 0.06, SOUTH + 0.06),
    )
    y = y + canvas.rng.normal(0, 0.03, n)
    tufts(
        canvas,
        np.column_stack([x, y, np.full(n, QUAY)])[mottle(x, y, 0.3, 94) > 0.3],
        0.16,
        hexes("6b7d3a")[0],
    )
    spots = canvas.rng.normal(0, 1.4, (240, 2)) + np.repeat(
        [[-12.3, -10.6], [-2.4, -10.9], [9.0, -10.7], [16.0, -11.0]], 60, axis=0
    )
    spots = spots[
        (np.abs(spots[:, 0]) < END - 0.2) & (spots[:, 1] > SOUTH + 0.1) & (spots[:, 1] < FAR - 0.5)
    ]
    litter(
        canvas,
        np.column_stack([spots, np.full(len(spots), QUAY)]),
        hexes("8a6a2f", "a4702b", "6f7a35"),
    )


def paint(canvas: Canvas) -> None:
    """Paints the scene."""
    ground(canvas)
    bridges(canvas)
    edges(canvas)
    warehouses(canvas)
    ends(canvas)
    houses(canvas)
    boats(canvas)
    furniture(canvas)
