"""`hall`: the inside of a market hall of iron and brick, with stalls in rows, sun through the
skylights, lamps over the counters.
"""

from itertools import pairwise

import numpy as np

from s2e.envs.geometry.scene import Sky
from tools.urban.houses import IRON, WOOD, Front, facade
from tools.urban.paint import UP, Canvas, Light, Place
from tools.urban.parts import (
    bench,
    cafe,
    chair,
    crate,
    litter,
    planter,
    pot,
    stall,
    wheelie_bin,
)
from tools.urban.surfaces import (
    brick,
    concrete,
    flat,
    hexes,
    mottle,
    planks,
    plaster,
    scatter,
    slabs,
    stones,
    tone,
)

PLACE = Place(
    low=(-22.0, -14.0), high=(22.0, 14.0), top=12.0, sun=(0.35, -0.42, 0.84),
    sky=Sky(zenith=(226.0, 232.0, 236.0), horizon=(226.0, 230.0, 230.0), fog_m=300.0),
    light=Light((5.4, 4.9, 4.1), (3.4, 3.5, 3.6), (1.5, 1.35, 1.15), 0.62, 0.02, 14.0), seed=23, detail=1.25, ground="floor",
)  # fmt: skip
X0, X1, Y0, Y1 = -20.5, 20.5, -12.5, 12.5
# heights of the aisles' roof and the ridge, half the width of the nave
EAVE, RIDGE, NAVE = 6.0, 10.6, 6.0
GREEN = tone("3f5f54")
FRUIT = hexes("c8402f", "e0a030", "7a9a3a", "d9d0a0", "8a3f6a", "d8722a")
FISH = hexes("b8c4cc", "8f9aa4", "d8a89a", "a8b4b8")
CHEESE = hexes("e0c878", "d8b060", "ece0b8", "b8803a")
CLOTH = hexes("4a5f8a", "a83f4a", "c8b48a", "5f7a5a", "7a4a6a")


def shell(canvas: Canvas) -> None:
    """Brick walls with tall arched windows, gates at both ends, and a floor of worn tiles with a
    drain along each aisle.
    """
    red = brick(tone("96583f"), tone("b5a690"), 231)
    front = Front(
        red,
        stones(tone("9a9184"), 232, 0.35, 0.8),
        1.1,
        (2.2,),
        4.1,
        (1.7, 2.7),
        tone("4a5a54"),
        tone("b8ccd4"),
        None,
        None,
        None,
        0.0,
    )
    facade(canvas, (X1, Y0), (X0, Y0), EAVE, front, doors=(12.0, 30.0))
    facade(canvas, (X0, Y1), (X1, Y1), EAVE, front, doors=(7.6,))
    gable = Front(
        red,
        front.plinth,
        1.1,
        (2.2, 5.4),
        4.0,
        (1.6, 2.4),
        front.frame,
        front.glass,
        None,
        tone("b5a690"),
        None,
        0.0,
    )
    for a, b in (((X0, Y0), (X0, Y1)), ((X1, Y1), (X1, Y0))):
        facade(canvas, a, b, EAVE, gable, openings=((10.9, 14.1, 0.0, 3.4),), windows_from=2.0)
        _gable(canvas, a, b, red)
    tiles = slabs(hexes("8f877a", "7f776c", "9a9184", "857a6a"), 0.45, 233, 0.03)

    def floor(p: np.ndarray) -> np.ndarray:
        base = tiles(p)
        drain = np.abs(np.abs(p[:, 1]) - 4.6) < 0.14
        base[drain] = tone("4a4844")
        check = (np.abs(p[:, 1]) < 1.5) & (
            (np.floor(p[:, 0] / 0.9) + np.floor(p[:, 1] / 0.9)) % 2 > 0
        )
        base[check] *= np.array([0.72, 0.66, 0.62])
        return base

    canvas.sheet(X0, Y0, X1, Y1, 0.16, floor, gloss=0.14)
    for sign in (-1, 1):
        x = X0 if sign < 0 else X1
        canvas.sheet(
            min(x, x + 1.3 * sign),
            -1.7,
            max(x, x + 1.3 * sign),
            1.7,
            0.18,
            concrete(tone("a8a298")),
        )
        canvas.patch(
            (x + 1.3 * sign, 1.7 * sign, 0),
            (0, -3.4 * sign, 0),
            UP * 3.4,
            0.2,
            flat(tone("dfe6e8")),
            glow=0.35,
            flip=False,
        )
        canvas.solid(
            min(x + 1.3 * sign, x + 1.5 * sign),
            -1.7,
            0,
            max(x + 1.3 * sign, x + 1.5 * sign),
            1.7,
            3.4,
        )
        for y in (-1.6, 1.6):
            canvas.patch(
                (x, y, 0), (1.3 * sign, 0, 0), UP * 3.4, 0.2, red, flip=(y < 0) == (sign > 0)
            )
            canvas.box(
                min(x, x + 1.0 * sign),
                y - 0.05,
                0,
                max(x, x + 1.0 * sign),
                y + 0.05,
                3.2,
                0.2,
                planks(GREEN, 0.2, (1, 0, 0)),
                "ns",
            )


def _gable(canvas: Canvas, a, b, wall) -> None:
    """The wall above the eaves, with a great half-round window."""
    sign = -1 if a[0] < 0 else 1
    run = np.linspace(-NAVE, NAVE, 41)
    for y0, y1 in pairwise(run):
        top = EAVE + 1.4 + (RIDGE - EAVE - 1.4) * (1 - abs(y0 + y1) / 2 / NAVE)
        arch = np.sqrt(max(3.4**2 - ((y0 + y1) / 2) ** 2, 0)) * 0.85
        low = EAVE + 0.4 + arch if arch > 0 else EAVE
        width = y1 - y0
        start = (a[0], y0, low) if sign < 0 else (a[0], y1, low)
        canvas.patch(
            start, (0, width if sign < 0 else -width, 0), UP * max(top - low, 0.1), 0.25, wall
        )
        if arch > 0:
            at = (a[0] + 0.1 * sign, start[1], EAVE + 0.4)
            canvas.patch(
                at,
                (0, width if sign < 0 else -width, 0),
                UP * arch,
                0.25,
                flat(tone("c8dae0")),
                glow=0.3,
            )
            if round(y0 * 10) % 9 == 0:
                canvas.bar(
                    (a[0] - 0.03 * sign, y0, EAVE + 0.4),
                    (a[0] - 0.03 * sign, y0, EAVE + 0.4 + arch),
                    0.09,
                    (-sign, 0, 0),
                    GREEN,
                    0.25,
                )
    canvas.patch(
        (a[0], -NAVE if sign < 0 else NAVE, EAVE), (0, -2 * NAVE * sign, 0), UP * 0.4, 0.25, wall
    )


def glass(s: np.ndarray, t: np.ndarray) -> np.ndarray:
    """Where the nave's roof is glass: a band under the ridge, but for the trusses."""
    return (t > 3.6) & (t < 6.4) & (s % 5.1 > 0.35)


def clear(s: np.ndarray, t: np.ndarray) -> np.ndarray:
    """Where the wall between the roofs is glass."""
    return (s % 5.1 > 0.5) & (t > 0.25) & (t < 1.15)


def pane(s: np.ndarray, t: np.ndarray) -> np.ndarray:
    """Where the aisles' roof is glass."""
    return (np.abs(t - 3.2) < 1.1) & (s % 10.2 > 5.6)


def roof(canvas: Canvas) -> None:
    """Planks on iron trusses over nave and aisles; bands of glass along the ridge and in the aisles
    let the sun in.
    """
    boards = planks(tone("b59a74"), 0.3, (1, 0, 0))
    length = X1 - X0
    for side in (-1, 1):
        slope = np.array([0, -side * NAVE, RIDGE - EAVE - 1.4])
        low = np.array([X0 if side < 0 else X1, side * NAVE, EAVE + 1.4])
        u = np.array([length if side < 0 else -length, 0, 0])
        canvas.patch(low, u, slope, 0.26, boards, keep=lambda s, t: ~glass(s, t), flip=True)
        canvas.patch(
            low + 0.05 * UP, u, slope, 0.34, flat(tone("e6eef0")), keep=glass, flip=True, glow=0.55
        )
        _shade(canvas, low, u, slope, lambda s, t: ~glass(s, t))
        wall = np.array([low[0], side * NAVE, EAVE])
        canvas.patch(
            wall, u, UP * 1.4, 0.25, flat(GREEN * 1.1), keep=lambda s, t: ~clear(s, t), flip=False
        )
        canvas.patch(wall, u, UP * 1.4, 0.3, flat(tone("dfeaee")), keep=clear, glow=0.4)
        aisle = np.array([0, -side * (Y1 - NAVE), 0.9])
        eave = np.array([X0 if side < 0 else X1, side * Y1, EAVE - 0.9])
        canvas.patch(eave, u, aisle, 0.26, boards, keep=lambda s, t: ~pane(s, t), flip=True)
        canvas.patch(
            eave + 0.05 * UP, u, aisle, 0.34, flat(tone("e6eef0")), keep=pane, flip=True, glow=0.5
        )
        _shade(canvas, eave, u, aisle, lambda s, t: ~pane(s, t))
    for x in np.arange(X0 + 2.4, X1, 5.1):
        for side in (-1, 1):
            foot, top = np.array([x, side * NAVE, EAVE + 1.3]), np.array([x, 0, RIDGE - 0.15])
            for face in (1, -1):
                out = np.array([face, 0, 0])
                canvas.bar(foot + 0.03 * out, top + 0.03 * out, 0.2, out, GREEN, 0.3)
                canvas.bar(
                    foot + 0.03 * out,
                    np.array([x, 0, EAVE + 2.1]) + 0.03 * out,
                    0.11,
                    out,
                    GREEN,
                    0.3,
                )
                canvas.bar(
                    (x + 0.03 * face, side * NAVE, EAVE - 0.1),
                    (x + 0.03 * face, side * Y1, EAVE - 0.95),
                    0.16,
                    out,
                    GREEN,
                    0.3,
                )
            half = (foot + top) / 2
            canvas.bar(half, (x, side * NAVE * 0.42, EAVE + 1.75), 0.08, (1, 0, 0), GREEN, 0.25)
        canvas.bar((x, 0, EAVE + 2.1), (x, 0, RIDGE), 0.09, (1, 0, 0), GREEN, 0.25)


def _shade(canvas: Canvas, corner, u, v, keep) -> None:
    """Marks what shades of a parallelogram."""
    length, height = float(np.linalg.norm(u)), float(np.linalg.norm(v))
    s, t = (
        a.ravel() for a in np.meshgrid(np.arange(0.04, length, 0.08), np.arange(0.04, height, 0.08))
    )
    kept = keep(s, t)
    s, t = s[kept], t[kept]
    canvas.mark_shade(np.asarray(corner) + s[:, None] * u / length + t[:, None] * v / height)


def columns(canvas: Canvas) -> None:
    """Two rows of iron columns with stone feet and brackets, a lamp at every second."""
    for k, x in enumerate(np.arange(X0 + 2.4, X1, 5.1)):
        for side in (-1, 1):
            y = side * NAVE
            canvas.box(
                x - 0.26,
                y - 0.26,
                0,
                x + 0.26,
                y + 0.26,
                0.55,
                0.14,
                stones(tone("a89f90"), 234, 0.3, 0.5),
            )
            canvas.cylinder(
                x,
                y,
                0.13,
                0.55,
                EAVE + 1.3,
                0.13,
                lambda p: GREEN * (1 + 0.15 * mottle(p[:, 0] * 6, p[:, 2], 1.0, 235))[:, None],
                top=False,
                gloss=0.15,
            )
            canvas.cylinder(x, y, 0.2, EAVE - 0.5, EAVE - 0.2, 0.13, flat(GREEN * 1.2), top=False)
            for end in ((x - 1.2, y), (x + 1.2, y), (x, y - 1.2 * side)):
                canvas.bar(
                    (x, y, EAVE - 1.3),
                    (*end, EAVE + 0.1),
                    0.09,
                    (0, side, 0.2) if end[1] == y else (1, 0, 0),
                    GREEN,
                    0.2,
                )
            if k % 2 == 0:
                canvas.cloud(
                    (x, y - 0.6 * side, 3.6),
                    (0.26, 0.26, 0.14),
                    50,
                    0.07,
                    tone("2f4a42"),
                    GREEN,
                    shell=True,
                )
                canvas.cloud(
                    (x, y - 0.6 * side, 3.46),
                    (0.16, 0.16, 0.1),
                    26,
                    0.06,
                    tone("ffe6b0"),
                    tone("fff2d0"),
                    shell=True,
                    glow=1.6,
                )
                canvas.bar((x, y, 3.9), (x, y - 0.6 * side, 3.75), 0.05, UP, GREEN, 0.15)
                canvas.lamp_at(x, y - 0.6 * side, 3.3, (3.4, 2.7, 1.8), 7.5)


def stalls(canvas: Canvas) -> None:
    """Rows of stalls on both sides of the nave, counters along the walls, crates, tables, and what
    is left lying about.
    """
    rng = canvas.rng
    cloths = hexes("a83f34", "3f6a58", "c89a3a", "41587a", "7a4a6a", "a8702a")
    goods = (FRUIT, CLOTH, CHEESE, FISH, FRUIT)
    for k, x in enumerate((-15.6, -10.5, -5.2, 5.4, 10.4, 15.4)):
        for side in (-1, 1):
            if (k, side) in ((2, 1), (4, -1)):
                continue
            stall(
                canvas,
                x + rng.normal(0, 0.15),
                side * 3.9,
                0.0 if side > 0 else np.pi,
                2.8,
                cloths[(k + (side > 0)) % 6],
                goods[(k + 2 * (side > 0)) % 5],
            )
            if rng.random() < 0.8:
                crate(
                    canvas,
                    x + 1.9,
                    side * 4.3,
                    rng.normal(0, 0.2),
                    0.5,
                    FRUIT[int(rng.integers(6))],
                )
    for k, x in enumerate((-17.0, -11.6, -1.8, 3.4, 8.6, 14.2)):
        _counter(canvas, x, 11.3, 0.0, 3.4, (FISH, CHEESE, FRUIT)[k % 3], cloths[k % 6])
    for k, x in enumerate((-16.4, -3.2, 2.6, 15.6)):
        _counter(canvas, x, -11.3, np.pi, 3.2, (CLOTH, FRUIT, FISH)[k % 3], cloths[(k + 3) % 6])
    for x, y, yaw in (
        (-5.4, 3.6, 0.4),
        (-7.2, 4.4, 1.3),
        (9.6, -3.6, 0.2),
        (11.6, -4.4, 1.9),
        (0.0, -8.6, 0.7),
    ):
        cafe(canvas, x, y, tone("c8b48a"), yaw, parasol=False)
    for x, y in (
        (-13.0, 8.2),
        (-12.4, 8.0),
        (-12.8, 7.5),
        (1.2, 8.0),
        (17.8, -7.4),
        (18.3, -6.9),
        (17.5, -6.7),
        (-18.6, -8.4),
    ):
        crate(
            canvas,
            x,
            y,
            rng.uniform(0, 1.5),
            0.55,
            FRUIT[int(rng.integers(6))] if rng.random() < 0.5 else None,
            WOOD * rng.uniform(0.8, 1.3),
        )
    for x, y, yaw in ((0.0, 1.2, 0.0), (0.0, -1.2, np.pi), (-8.6, -8.4, 0.0), (7.8, 8.0, np.pi)):
        bench(canvas, x, y, yaw, tone("8a6a45"))
    planter(canvas, 0.0, 0.0, 2.0, 0.0, tone("d8a8b8"), tone("8a8478"))
    for x, y in ((-19.6, 3.2), (-19.6, -3.2), (19.6, 3.2), (19.6, -3.2)):
        pot(canvas, x, y, 0.3, tone("4f6f3a"))
    wheelie_bin(canvas, 19.7, 9.4, np.pi / 2, tone("3a4a42"))
    wheelie_bin(canvas, 19.7, 8.5, np.pi / 2, tone("3a4a42"))
    chair(canvas, 6.2, -9.6, 0.8, WOOD)
    for x, y in ((-10, 1.8), (8, -1.6), (-3, 7.5), (13, 7.6), (-14, -7.4)):
        litter(canvas, x, y, 1.3, 30, hexes("6f8a3a", "c8b890", "a8a29a", "8a6a3a"))
    for x in (-12.7, -2.5, 7.7):  # signs hang in the nave
        code = hexes("41587a", "a83f34", "c89a3a")[int(x) % 3]
        for face in (1, -1):
            canvas.patch((x + 0.03 * face, -1.3 * face, 4.6), (0, 2.6 * face, 0), UP * 0.7, 0.13,
                         lambda p, code=code: np.where((scatter(np.floor(p[:, 1] / 0.2), np.floor(p[:, 2] * 0)) > 0.4)[:, None]
                                                       & (np.abs(p[:, 2:] - 4.95) < 0.16), tone("eee6d0"), code))  # fmt: skip
            canvas.bar((x, 1.2 * face, 5.3), (x, 1.2 * face, 8.6), 0.03, (1, 0, 0), IRON, 0.3)


def _counter(
    canvas: Canvas,
    x: float,
    y: float,
    yaw: float,
    width: float,
    goods: np.ndarray,
    cloth: np.ndarray,
) -> None:
    """A tiled counter before a wall, goods on its slope, shelves and a board behind it; its front
    is on the right of yaw.
    """
    half = width / 2
    with canvas.at(x, y, yaw):
        tiled = slabs(hexes("e6e2d6", "dcd8ca"), 0.2, 236, 0.02)
        canvas.box(
            -half,
            -0.7,
            0,
            half,
            0.1,
            0.95,
            0.13,
            lambda p: tiled(np.stack([p[:, 0] + p[:, 1], p[:, 2], p[:, 2]], 1)),
            gloss=0.15,
        )
        for s in np.arange(-half + 0.25, half, 0.42):
            for t in (-0.5, -0.1):
                colour = goods[int(canvas.rng.integers(len(goods)))]
                canvas.cloud(
                    (s, t, 1.0),
                    (0.19, 0.18, 0.08),
                    45,
                    0.045,
                    colour * 0.75,
                    np.minimum(colour * 1.1, 1),
                    shell=True,
                )
        board = plaster(cloth, 237, 0.4)
        canvas.patch((-half, 0.95, 1.2), (width, 0, 0), UP * 1.5, 0.16, board)
        for z in (1.5, 2.0):
            for s in np.arange(-half + 0.2, half, 0.3):
                colour = goods[int(canvas.rng.integers(len(goods)))]
                canvas.cloud(
                    (s, 0.85, z), (0.1, 0.08, 0.16), 16, 0.05, colour * 0.6, colour, shell=True
                )
        canvas.solid(-half, -0.7, 0, half, 1.1, 1.0)
        canvas.lamp_at(0.0, -0.6, 2.7, (2.4, 2.0, 1.4), 5.5)


def paint(canvas: Canvas) -> None:
    """Paints the hall."""
    for part in (shell, roof, columns, stalls):
        part(canvas)
