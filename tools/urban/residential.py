"""`residential`: a curved street of brick and render houses behind hedges, with parked cars, kerbs,
driveways and bins, at noon.

Places along the street are (s, d): metres along its middle, which is an arc, and metres to the
outer side of it.
"""

from itertools import pairwise

import numpy as np

from s2e.envs.geometry.scene import Sky
from tools.urban.paint import UP, Canvas, Height, Light, Place
from tools.urban.sheets import (
    fence,
    footprint,
    hedge,
    lay,
    prism,
    sheet,
    shrub,
    skin,
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
    car,
    lamp_post,
    litter,
    stripe,
    wheelie_bin,
)
from tools.urban.surfaces import (
    Colour,
    asphalt,
    brick,
    grass,
    gravel,
    hexes,
    mottle,
    plaster,
    roof_tiles,
    slabs,
)

PLACE = Place(
    low=(-27.0, -20.0),
    high=(27.0, 17.0),
    top=9.5,
    sun=(0.35, -0.62, 0.75),
    sky=Sky(zenith=(96.0, 146.0, 212.0), horizon=(214.0, 226.0, 236.0), fog_m=400.0),
    light=Light(
        sun_rgb=(3.9, 3.6, 3.1),
        sky_rgb=(0.95, 1.12, 1.4),
        bounce_rgb=(1.0, 0.98, 0.9),
        exposure=0.52,
    ),
    seed=31,
    ground="grass",
)
RADIUS, END = 38.0, 18.0
ROAD, WALK, FRONT, KERB = 2.75, 4.7, 9.6, 0.1
PLOTS = ((-12.0, 1), (0.0, 1), (12.0, 1), (-11.5, -1), (0.6, -1), (11.5, -1))
DRIVES = {
    (-12.0, 1): 4.2,
    (0.0, 1): -4.3,
    (12.0, 1): 3.9,
    (-11.5, -1): -4.0,
    (0.6, -1): 4.0,
    (11.5, -1): 3.6,
}
CROSSING = -5.6
KERBSTONE, HEDGE = hexes("a7a49b")[0], hexes("41602c", "56702f", "4c6b3f")


def at(s, d) -> np.ndarray:
    """(..., 2) world points of places along the street."""
    angle, r = np.asarray(s, float) / RADIUS, RADIUS + np.asarray(d, float)
    return np.stack([r * np.sin(angle), r * np.cos(angle) - RADIUS], -1)


def spot(s: float, d: float) -> tuple[float, float]:
    """The same for one place."""
    x, y = at(s, d)
    return float(x), float(y)


def place_of(x, y) -> tuple[np.ndarray, np.ndarray]:
    """S and d of world points."""
    return RADIUS * np.arctan2(x, y + RADIUS), np.hypot(x, y + RADIUS) - RADIUS


def along(s: float, side: int = 1) -> float:
    """Yaw of the street at s, towards growing s on side 1."""
    return -s / RADIUS + (0.0 if side > 0 else np.pi)


def drop(s: np.ndarray, d: np.ndarray) -> np.ndarray:
    """How much the kerb is lowered, 0 to 1: at driveways and at the crossing."""
    low = np.clip((2.1 - np.abs(s - CROSSING)) / 0.6, 0, 1)
    for (plot, side), off in DRIVES.items():
        low = np.maximum(
            low, np.where(d * side > 0, np.clip((2.2 - np.abs(s - plot - off)) / 0.6, 0, 1), 0)
        )
    return low


def walk_height(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Height of what lies beside the road."""
    s, d = place_of(x, y)
    rise = np.clip((np.abs(d) - ROAD) / 1.0, 0, 1)
    return KERB * (1 - drop(s, d) * (1 - rise))


def bend(colour: Colour) -> Colour:
    """A colour of (x, y) laid along the street."""

    def bent(p: np.ndarray) -> np.ndarray:
        s, d = place_of(p[:, 0], p[:, 1])
        return colour(np.column_stack([s, d, p[:, 2]]))

    return bent


def cover(
    canvas: Canvas,
    s: tuple[float, float],
    d: tuple[float, float],
    step: float,
    colour: Colour,
    height: Height,
    surface: str,
) -> None:
    """Ground between two places along the street and two across."""
    u, v = (np.linspace(*e, max(round((e[1] - e[0]) / step), 1) + 1) for e in (s, d))
    points = at(*np.meshgrid(u, v, indexing="ij"))
    z = (
        height(points[..., 0], points[..., 1])
        if callable(height)
        else np.full(points.shape[:2], height)
    )
    skin(canvas, np.concatenate([points, z[..., None]], -1), colour, sigma=0.64)

    def inside(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        a, b = place_of(x, y)
        return (a > s[0]) & (a < s[1]) & (b > d[0]) & (b < d[1])

    corners = points.reshape(-1, 2)
    (x0, y0), (x1, y1) = np.floor(corners.min(0)), np.ceil(corners.max(0))
    canvas.level(x0, y0, x1, y1, height, surface, inside)


def ground(canvas: Canvas) -> None:
    """Lawns first, then sidewalks with kerbs, the road with its bump, patches and lines."""
    turf, dry = hexes("5d7a35", "8a8a4a")
    lay(
        canvas,
        (-26.8, -19.8),
        (26.8, 16.8),
        0.34,
        grass(turf * 0.9, dry),
        KERB,
        "grass",
        lambda x, y: (
            (np.abs(place_of(x, y)[1]) > WALK)
            | ((np.abs(place_of(x, y)[0]) > END + 0.9) & (np.abs(place_of(x, y)[1]) > ROAD))
        ),
    )
    for side in (-1, 1):
        d0, d1 = sorted((side * WALK, side * 9.9))
        cover(canvas, (-END - 1, END + 1), (d0, d1), 0.15, grass(turf, dry), KERB + 0.004, "grass")
        d0, d1 = sorted((side * ROAD, side * WALK))
        paving = slabs(hexes("a39d92", "98938a", "aaa394", "8f8a80"), 0.5, seed=4, ratio=1.4)
        cover(canvas, (-END - 1, END + 1), (d0, d1), 0.1, bend(paving), walk_height, "sidewalk")
    cover(
        canvas,
        (-END - 6, END + 6),
        (-ROAD, ROAD),
        0.12,
        bend(asphalt(hexes("605f5f")[0])),
        0.0,
        "road",
    )
    s = np.linspace(-END - 6, END + 6, 160)
    for side in (-1, 1):
        edge = at(s, side * ROAD)
        z = walk_height(*at(s, side * (ROAD + 0.02)).T)
        sheet(
            canvas,
            edge if side < 0 else edge[::-1],
            0.0,
            z if side < 0 else z[::-1],
            0.12,
            stained(KERBSTONE, 0.1),
        )
        for a, b, h in zip(edge[:-1], edge[1:], z, strict=False):
            canvas.bar(
                [*a, h + 0.008],
                [*b, h + 0.008],
                0.15,
                UP,
                KERBSTONE * canvas.rng.uniform(0.85, 1.08),
                0.15,
            )
        gutter = at(s, side * (ROAD - 0.16))
        stripe(canvas, gutter[::4], 0.24, hexes("7d7a73")[0], 0.0, -0.5)
    paint = hexes("d8d6cc")[0]
    for s0 in np.arange(-END, END, 4.0):
        stripe(canvas, at(np.linspace(s0, s0 + 1.8, 3), 0.0), 0.1, paint, 0.0, 0.25)
    for d in np.arange(-2.3, 2.4, 0.92):  # the crossing's bars
        stripe(
            canvas, at(np.linspace(CROSSING - 1.1, CROSSING + 1.1, 3), d), 0.46, paint, 0.0, 0.15
        )
    for s0, d0 in ((3.2, 0.7), (-9.4, -1.0), (13.8, 1.2)):  # covers of manholes
        canvas.ring(
            *spot(s0, d0), 0.0, 0.34, 0.008, 0.09, stained(hexes("4a4846")[0], 0.2, frequency=6.0)
        )
    for s0, wide in ((8.0, 1.6), (-14.5, 2.2)):  # where a pipe was mended
        stripe(
            canvas,
            at(s0 + np.zeros(5), np.linspace(-2.6, 2.2, 5)),
            wide * 0.45,
            hexes("4b4a4b")[0],
            0.0,
            -0.6,
        )


def house(
    canvas: Canvas,
    s: float,
    side: int,
    width: float,
    walls: Colour,
    roof: Colour,
    door: np.ndarray,
    frame: np.ndarray,
) -> None:
    """A house of two floors whose front stands at `FRONT`, with a gable roof, a chimney and a step
    before its door.
    """
    face = -side * np.array([np.sin(s / RADIUS), np.cos(s / RADIUS), 0.0])
    right = np.cross(UP, face)
    middle = np.array([*spot(s, side * FRONT), KERB])
    depth, eave, rise = 7.0, 5.0, 2.6
    a, b = middle - right * width / 2, middle + right * width / 2
    pitch = width / 3
    windows = [(pitch * (k + 0.5) - 0.6, 3.0, 1.2, 1.3) for k in range(3)] + [
        (pitch * k + pitch / 2 - 0.75, 0.85, 1.5, 1.4) for k in (0, 2)
    ]
    wall(
        canvas,
        a[:2],
        b[:2],
        eave,
        walls,
        z=KERB,
        step=0.15,
        windows=windows,
        frame=frame,
        doors=[(1.5 * pitch - 0.5, 1.0, 2.1, door)],
    )
    side_windows = [(2.6, 3.1, 0.9, 1.1)]
    wall(
        canvas,
        b[:2],
        (b - face * depth)[:2],
        eave,
        walls,
        z=KERB,
        step=0.2,
        windows=side_windows,
        frame=frame,
    )
    wall(
        canvas,
        (a - face * depth)[:2],
        a[:2],
        eave,
        walls,
        z=KERB,
        step=0.2,
        windows=side_windows,
        frame=frame,
    )
    wall(canvas, (b - face * depth)[:2], (a - face * depth)[:2], eave, walls, z=KERB, step=0.35)
    x, y, _ = middle - face * depth / 2
    prism(canvas, footprint(x, y, along(s), width, depth), KERB, eave + 1.2)
    over, top = 0.35, UP * eave
    for start, way, flip in ((a, -face, False), (a - face * depth, face, True)):
        foot = start + top - way * over - right * over - UP * over * rise / (depth / 2)
        canvas.patch(
            foot,
            right * (width + 2 * over),
            way * (depth / 2 + over) + UP * rise * (1 + 2 * over / depth),
            0.22,
            roof,
            flip=flip,
        )
        canvas.bar(
            foot - 0.04 * UP,
            foot + right * (width + 2 * over) - 0.04 * UP,
            0.16,
            -way,
            frame * 0.9,
            0.3,
        )
    for start, flip in ((a, True), (b, False)):
        canvas.patch(
            start + top,
            -face * depth,
            UP * rise,
            0.24,
            walls,
            flip=not flip,
            keep=lambda u, v: v < rise * (1 - np.abs(2 * u / depth - 1)) + 0.1,
        )
    stack = middle - face * (depth / 2 - 0.3) + right * width * 0.3
    for x in (-1, 1):
        for way, other in ((right, face), (face, right)):
            foot = stack + UP * (eave + rise - 0.6) + x * way * 0.32
            canvas.patch(
                foot - other * 0.32,
                other * 0.64,
                UP * 1.3,
                0.16,
                brick(hexes("8b5242")[0], hexes("9c9486")[0]),
                flip=bool(np.cross(other, UP) @ way * x < 0),
            )
    canvas.patch(
        stack + UP * (eave + rise + 0.7) - 0.32 * (right + face),
        right * 0.64,
        face * 0.64,
        0.16,
        stained(hexes("6a625c")[0]),
        flip=True,
    )
    step = middle + face * 0.45
    canvas.patch(
        step - right * 0.8 - face * 0.45 + UP * 0.05,
        face * 0.9,
        right * 1.6,
        0.12,
        stained(KERBSTONE),
    )


def plot(canvas: Canvas, s: float, side: int, boundary: str, tone: np.ndarray) -> None:
    """The front garden of a house: path, driveway, what bounds it towards the sidewalk and towards
    the neighbours.
    """
    half, off = (5.9, DRIVES[s, side]) if side > 0 else (5.6, DRIVES[s, side])
    d0, d1 = sorted((side * WALK, side * (FRONT + 1.0)))
    drive = (
        gravel(hexes("9c9384")[0])
        if boundary == "hedge"
        else bend(slabs(hexes("8d7466", "806a5e", "967d6c"), 0.22, seed=9, joint=0.015))
    )
    cover(canvas, (s + off - 1.5, s + off + 1.5), (d0, d1), 0.11, drive, KERB + 0.01, "sidewalk")
    d0, d1 = sorted((side * WALK, side * (FRONT - 0.1)))
    cover(
        canvas,
        (s - 0.6, s + 0.6),
        (d0, d1),
        0.11,
        bend(slabs(hexes("b0a898", "a29a8c"), 0.6, seed=5)),
        KERB + 0.012,
        "sidewalk",
    )
    runs = [(s - half, s + off - 1.7), (s + off + 1.7, s + half)]
    runs = [
        piece
        for lo, hi in runs
        for piece in ((lo, min(hi, s - 0.75)), (max(lo, s + 0.75), hi))
        if piece[1] - piece[0] > 0.5
    ]
    for lo, hi in runs:
        path = at(np.linspace(lo, hi, max(int((hi - lo) / 1.5), 1) + 1), side * (WALK + 0.35))
        if boundary == "hedge":
            hedge(canvas, path, 0.6, canvas.rng.uniform(0.95, 1.2), tone, KERB)
        elif boundary == "fence":
            fence(canvas, path, 0.95, hexes("dcd8cc")[0], KERB, pitch=0.13, post=1.6, board=0.085)
        else:
            low_wall(canvas, path, 0.7, brick(hexes("8f5a45")[0], hexes("a39a8b")[0]))
    for edge, sign in ((s - half, -1), (s + half, 1)):
        hedge(
            canvas,
            np.stack([at(edge, side * (WALK + 0.3)), at(edge, side * (FRONT + 0.9))]),
            0.5,
            1.3,
            HEDGE[2],
            KERB,
        )
        ends = at(s + sign * 2.4, side * (FRONT + 0.7)), at(edge, side * (FRONT + 0.7))
        start, end = ends if sign * side < 0 else ends[::-1]
        wall(canvas, start, end, 1.8, _boards, z=KERB, step=0.1, thick=0.2)
    for k in range(9):
        u = s + canvas.rng.uniform(-half + 0.9, half - 0.9)
        if abs(u - s) > 1.1 and abs(u - s - off) > 2.0:
            x, y = at(u, side * canvas.rng.uniform(FRONT - 1.0, FRONT - 0.6))
            shrub(
                canvas,
                x,
                y,
                canvas.rng.uniform(0.3, 0.55),
                canvas.rng.uniform(0.5, 1.0),
                HEDGE[k % 3],
                KERB,
            )
    n = 900
    u, v = canvas.rng.uniform(s - half, s + half, n), canvas.rng.uniform(WALK + 0.6, FRONT, n)
    free = (np.abs(u - s) > 0.7) & (np.abs(u - s - off) > 1.6)
    tufts(
        canvas, np.column_stack([at(u, side * v), np.full(n, KERB)])[free], 0.13, hexes("66833a")[0]
    )


def _boards(p: np.ndarray) -> np.ndarray:
    """Planks that stand side by side."""
    plank = np.floor((p[:, 0] + 0.6 * p[:, 1]) / 0.15)
    return (
        hexes("73604a")[0]
        * (0.72 + 0.4 * ((plank * 37) % 7) / 7 + 0.08 * mottle(4 * p[:, 0], p[:, 2], 0.8, 44))[
            :, None
        ]
    )


def low_wall(canvas: Canvas, path: np.ndarray, height: float, colour: Colour) -> None:
    """A garden wall with a coping."""
    for a, b in pairwise(path):
        yaw, length = float(np.arctan2(*(b - a)[::-1])), float(np.linalg.norm(b - a))
        side = 0.13 * np.array([-np.sin(yaw), np.cos(yaw)])
        for start, end in ((a - side, b - side), (b + side, a + side)):
            sheet(canvas, np.stack([start, end]), KERB, KERB + height, 0.11, colour)
        x, y = (a + b) / 2
        prism(canvas, footprint(x, y, yaw, length + 0.1, 0.26), KERB, KERB + height)
    strip(canvas, path, 0.34, KERB + height + 0.03, 0.14, stained(KERBSTONE))
    for off in (-0.17, 0.17):
        for a, b in pairwise(path):
            n = np.array([-(b - a)[1], (b - a)[0]]) / np.linalg.norm(b - a)
            canvas.bar(
                [*(a + off * n), KERB + height],
                [*(b + off * n), KERB + height],
                0.07,
                [*(n * np.sign(off)), 0.0],
                KERBSTONE,
                0.2,
            )


def ends(canvas: Canvas) -> None:
    """The street is closed at both ends: a hedge with trees behind it, and a wooden gate between
    brick piers.
    """
    for s in (-END - 0.6, END + 0.6):
        sign = np.sign(s)
        for lo, hi in ((-FRONT - 0.3, -ROAD - 0.1), (ROAD + 0.1, FRONT + 0.3)):
            hedge(canvas, np.stack([at(s, lo), at(s, hi)]), 0.8, 1.9, HEDGE[0], KERB)
        a, b = at(s, -ROAD - 0.5), at(s, ROAD + 0.5)
        a, b = (a, b) if sign < 0 else (b, a)
        wall(canvas, a, b, 1.9, _boards, step=0.1, thick=0.2)
        for side in (-1, 1):
            hedge(
                canvas,
                np.stack(
                    [
                        at(s - 2.8 * sign, side * (FRONT + 0.2)),
                        at(s + 0.2 * sign, side * (FRONT + 0.2)),
                    ]
                ),
                0.6,
                1.9,
                HEDGE[0],
                KERB,
            )
        for d in (-7.5, -3.0, 1.0, 4.5, 8.5):
            tree(
                canvas,
                *spot(s + sign * canvas.rng.uniform(2.0, 3.6), d),
                canvas.rng.uniform(5.0, 7.2),
                2.3,
                HEDGE[1] * 1.1,
                KERB,
            )
    for d in (-17.0, 15.0):
        for s in np.arange(-17, 18, 5.0):
            x, y = at(s + canvas.rng.uniform(-1, 1), d)
            if abs(x) < 25:
                tree(canvas, x, y, canvas.rng.uniform(5.0, 7.5), 2.1, HEDGE[1], KERB)


def furniture(canvas: Canvas) -> None:
    """Parked cars, bins, lamps, trees of the street, leaves in the gutters."""
    silver, black, cream = hexes("b9bdc0", "2b2d31", "cfc7b2")
    for s, d, flip, tone, tall in (
        (-15.4, 1.78, 0, silver, False),
        (-3.0 + 0.8, 1.78, 0, RED * 0.8, False),
        (4.8, 1.8, 0, cream, True),
        (10.6, 1.76, 1, BLUE * 0.8, False),
        (-9.6, -1.78, 1, GREEN * 0.6, False),
        (-1.2, -1.8, 1, black, False),
        (8.6, -1.78, 0, silver * 0.9, False),
    ):
        car(
            canvas,
            *spot(s, d),
            along(s) + flip * np.pi + canvas.rng.normal(0, 0.02),
            tone,
            0.0,
            tall,
        )
    for (s, side), d, tone in (
        ((-12.0, 1), 7.6, cream),
        ((12.0, 1), 7.3, black),
        ((0.6, -1), 7.5, hexes("7f2f2d")[0]),
    ):
        u = s + DRIVES[s, side]
        car(canvas, *spot(u, side * d), along(u) + side * np.pi / 2, tone, KERB)
    bins = (
        (-7.9, 3.9, GREEN * 0.45),
        (-7.2, 4.0, BLUE * 0.55),
        (6.4, 4.05, hexes("3a3d40")[0]),
        (14.0, -3.9, GREEN * 0.45),
        (13.3, -4.0, BLUE * 0.55),
        (-3.9, -4.0, hexes("3a3d40")[0]),
        (0.4, 4.1, GREEN * 0.45),
    )
    for s, d, tone in bins:
        wheelie_bin(
            canvas,
            *spot(s, d),
            along(s) - np.sign(d) * np.pi / 2 + canvas.rng.normal(0, 0.25),
            tone,
            KERB,
        )
    for s, side in ((-9.9, 1), (2.2, -1), (15.6, 1)):
        lamp_post(
            canvas,
            *spot(s, side * 3.1),
            4.6,
            along(s) - side * np.pi / 2,
            hexes("5f6a66")[0],
            KERB,
            1.1,
        )
    for s, side in ((-16.6, -1), (-6.9, -1), (7.4, -1), (-1.2 + 1.0, 1), (10.2, 1), (-13.6, 1)):
        x, y = at(s, side * 3.25)
        canvas.ring(
            x, y, 0.0, 0.5, KERB + 0.012, 0.1, stained(hexes("5a4936")[0], 0.25, frequency=4.0)
        )
        tree(canvas, x, y, canvas.rng.uniform(4.2, 5.2), 1.35, HEDGE[1] * 1.15, KERB, 0.12)
    n = 520
    s, side = canvas.rng.uniform(-END, END, n), canvas.rng.choice([-1, 1], n)
    points = np.column_stack(
        [at(s, side * (ROAD - np.abs(canvas.rng.normal(0, 0.3, n)))), np.zeros(n)]
    )
    points = points[mottle(points[:, 0], points[:, 1], 0.2, 5) > -0.2]
    litter(canvas, points, hexes("8a6a2f", "6f7a35", "b08b3c", "77512c"))


def paint(canvas: Canvas) -> None:
    """Paints the scene."""
    ground(canvas)
    red, buff, white = (
        brick(hexes("93503d")[0], hexes("a3988a")[0]),
        brick(hexes("b08d62")[0], hexes("b8ad9a")[0]),
        hexes("ddd8cb")[0],
    )
    tiles, slate = roof_tiles(hexes("96523b")[0]), roof_tiles(hexes("5b5f66")[0], 81)
    looks = (
        (7.6, red, slate, BLUE * 0.55),
        (7.2, plaster(white), tiles, RED * 0.7),
        (7.8, buff, slate, GREEN * 0.5),
        (6.6, plaster(hexes("d6c39a")[0], 8), tiles, hexes("3d3f45")[0]),
        (6.4, red, tiles, GREEN * 0.6),
        (6.8, plaster(white * 0.95, 11), slate, BLUE * 0.6),
    )
    kinds = ("hedge", "wall", "hedge", "fence", "hedge", "wall")
    for (s, side), (width, walls, roof, door), kind in zip(PLOTS, looks, kinds, strict=True):
        away = -1.0 if DRIVES[s, side] > 0 else 1.0
        house(canvas, s + 0.5 * away, side, width, walls, roof, door, hexes("e4e0d6")[0])
        plot(canvas, s, side, kind, HEDGE[abs(int(s)) % 2])
    ends(canvas)
    furniture(canvas)

    def behind(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        s, d = place_of(x, y)
        return (np.abs(d) > FRONT + 0.9) | (np.abs(s) > END + 0.9)

    canvas.bar_ground(*PLACE.low, *PLACE.high, behind)
