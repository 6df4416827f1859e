"""`schoolyard`: painted asphalt between a school, murals and a fence, with a climbing frame and a
hoop, late on a sunny day.
"""

from itertools import pairwise

import numpy as np

from s2e.envs.geometry.scene import Sky
from tools.urban.houses import steps
from tools.urban.paint import UP, Canvas, Light, Place
from tools.urban.sheets import (
    BLACK,
    CONCRETE,
    STEEL,
    TIMBER,
    barrier,
    block,
    fence,
    footprint,
    hedge,
    lay,
    moved,
    prism,
    rod,
    shrub,
    skin,
    stained,
    strip,
    tree,
    tufts,
    turned,
    wall,
)
from tools.urban.street_parts import (
    BLUE,
    GREEN,
    RED,
    YELLOW,
    bicycle,
    hoop,
    lamp_post,
    litter,
    picture,
    seat,
    stripe,
    stroke,
    wheelie_bin,
)
from tools.urban.surfaces import asphalt, brick, grass, hexes, mottle, plaster, slabs

PLACE = Place(
    low=(-20.0, -17.0),
    high=(20.0, 13.0),
    top=8.5,
    sun=(-0.74, -0.42, 0.5),
    sky=Sky(zenith=(104.0, 146.0, 205.0), horizon=(244.0, 224.0, 190.0), fog_m=400.0),
    light=Light(
        sun_rgb=(4.8, 3.8, 2.5),
        sky_rgb=(0.85, 1.0, 1.35),
        bounce_rgb=(1.15, 1.0, 0.85),
        exposure=0.55,
    ),
    seed=71,
)
WEST, EAST, SOUTH, NORTH = -17.0, 16.5, -12.0, 10.0
RUBBER_AT, COURT = (-9.5, -5.2, 5.4, 4.2), (5.6, 16.0, -10.8, -1.6)
PORCH = 0.4
INKS = np.array([RED, YELLOW, BLUE, GREEN, *hexes("e58a3c", "8d5aa0", "e7e2d4")])


def rubber(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Less than 1 on the soft ground under the climbing frame."""
    return np.hypot(
        (x - RUBBER_AT[0]) / RUBBER_AT[2], (y - RUBBER_AT[1]) / RUBBER_AT[3]
    ) + 0.06 * mottle(x, y, 0.1, 2)


def _yard(p: np.ndarray) -> np.ndarray:
    """Asphalt with the court, a compass rose, a snake and soft ground painted on."""
    x, y = p[:, 0], p[:, 1]
    base = asphalt(hexes("6d6a68")[0])(p)
    paint = np.zeros_like(base)
    cover = np.zeros(len(p))

    def put(where: np.ndarray, tone: np.ndarray, strength: float) -> None:
        paint[where], cover[where] = tone[where] if tone.ndim == 2 else tone, strength

    court = (x > COURT[0]) & (x < COURT[1]) & (y > COURT[2]) & (y < COURT[3])
    put(court, hexes("41705f")[0], 0.85)
    put(court & (x > 11.6) & (np.abs(y + 6.2) < 1.9), hexes("a5523e")[0], 0.85)
    r, angle = np.hypot(x - 0.6, y - 3.2), np.arctan2(y - 3.2, x - 0.6)
    wedge = INKS[(np.floor((angle + np.pi) / (2 * np.pi) * 12).astype(int)) % 6]
    put(r < 2.3, wedge, 0.8)
    put((r < 2.3) & (r > 2.12) | (r < 0.5), hexes("e9e4d6")[0], 0.85)
    s = x + 11.5
    body = np.abs(y - 5.6 - 0.8 * np.sin(1.1 * s)) < 0.34
    put(body & (s > 0) & (s < 8.6), INKS[np.floor(s / 0.7).astype(int) % 5], 0.8)
    soft = rubber(x, y) < 1
    swirl = np.where((mottle(x, y, 0.16, 3) > 0.3)[:, None], hexes("3f6f93")[0], hexes("b3593f")[0])
    swirl = np.where((mottle(x, y, 0.13, 4) > 0.75)[:, None], hexes("d1a545")[0], swirl)
    worn = np.clip(cover * (0.92 - 0.3 * np.maximum(mottle(x, y, 0.7, 5), 0)), 0, 1)[:, None]
    tone = base * (1 - worn) + paint * worn * (1 + 0.06 * mottle(x, y, 2.0, 6))[:, None]
    speck = 1 + 0.14 * (canvas_noise(x, y) - 0.5)
    return np.where(soft[:, None], swirl * speck[:, None], tone)


def canvas_noise(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """A number in 0..1 for each cell of 0.1 m."""
    k = np.floor(x * 10) * 127.1 + np.floor(y * 10) * 311.7
    return np.abs(np.sin(k) * 43758.5453) % 1.0


def ground(canvas: Canvas) -> None:
    """The yard, its lines and games, the strip of grass behind the fence, the porch with steps and
    a ramp.
    """
    lay(canvas, (WEST - 0.1, SOUTH), (EAST + 0.1, NORTH + 0.1), 0.1, _yard)
    lay(
        canvas,
        (-19.8, -16.8),
        (19.8, SOUTH),
        0.22,
        grass(hexes("64803a")[0], hexes("938f4e")[0]),
        0.0,
        "grass",
    )
    white, yellow = hexes("e9e6db")[0], YELLOW * 0.95
    x0, x1, y0, y1 = COURT
    for path in (
        ((x0, y0), (x1, y0), (x1, y1), (x0, y1), (x0, y0)),
        ((11.6, -8.1), (11.6, -4.3), (x1, -4.3)),
        ((11.6, -8.1), (x1, -8.1)),
    ):
        stripe(canvas, np.array(path), 0.08, white, 0.0, 0.1)
    angle = np.linspace(np.pi / 2, 1.5 * np.pi, 19)
    stripe(
        canvas,
        np.column_stack([11.6 + 1.8 * np.cos(angle), -6.2 + 1.8 * np.sin(angle)]),
        0.08,
        white,
        0.0,
        0.1,
    )
    stripe(
        canvas,
        np.column_stack([14.6 + 6.6 * np.cos(angle), -6.2 + 4.4 * np.sin(angle)]),
        0.08,
        white,
        0.0,
        0.1,
    )
    for k, (col, row) in enumerate(
        ((0, 0), (0, 1), (-0.5, 2), (0.5, 2), (0, 3), (-0.5, 4), (0.5, 4), (0, 5))
    ):  # hopscotch
        x, y = -1.2 + 0.62 * col, -8.2 + 0.62 * row
        canvas.patch(
            (x - 0.29, y - 0.29, 0.006), (0.58, 0, 0), (0, 0.58, 0), 0.1, stained(INKS[k % 6], 0.1)
        )
        stripe(
            canvas,
            np.array(
                [
                    [x - 0.3, y - 0.3],
                    [x + 0.3, y - 0.3],
                    [x + 0.3, y + 0.3],
                    [x - 0.3, y + 0.3],
                    [x - 0.3, y - 0.3],
                ]
            ),
            0.05,
            white,
            0.006,
            0.05,
        )
    for k in range(4):  # running lanes
        stripe(
            canvas,
            np.array([[-15.6, 7.4 + 0.55 * k], [-5.6, 7.4 + 0.55 * k]]),
            0.06,
            white if k % 3 else yellow,
            0.0,
            0.2,
        )
    for x in (4.0, 6.2, 8.4):  # bays and a zigzag before the door
        stripe(canvas, np.array([[x, 7.2], [x + 0.9, 8.0], [x + 1.8, 7.2]]), 0.1, yellow, 0.0, 0.2)
    flags = slabs(hexes("a8a196", "9d968b", "b2aa9d"), 0.5, seed=5)
    lay(canvas, (-4.4, 8.4), (-0.4, NORTH + 0.1), 0.1, flags, PORCH)
    lay(
        canvas,
        (-0.4, 8.7),
        (4.6, NORTH + 0.1),
        0.1,
        flags,
        lambda x, y: PORCH * np.clip((4.6 - x) / 5.0, 0, 1),
    )
    steps(
        canvas, -0.9, 7.5, np.pi / 2, 3.0, 3, stained(hexes("b0a99d")[0], 0.1), 0.0, PORCH / 3, 0.3
    )
    raw = stained(CONCRETE, 0.12)
    canvas.patch((-4.4, 8.4, 0), (0.5, 0, 0), (0, 0, PORCH), 0.1, raw)
    canvas.patch((-0.9, 8.4, 0), (0.5, 0, 0), (0, 0, PORCH), 0.1, raw)
    canvas.patch((-4.4, 8.4, 0), (0, NORTH - 8.4, 0), (0, 0, PORCH), 0.1, raw, flip=True)
    for a, b in (((-0.4, 8.72, 0.4), (4.4, 8.72, 0.02)), ((-4.35, 8.4, 0.4), (-4.35, 9.9, 0.4))):
        for rise in (0.5, 0.95):
            rod(canvas, np.array([a, b]) + UP * rise, 0.025, BLUE * 0.8)
        for s in np.linspace(0, 1, 5):
            foot = np.array(a) + s * (np.array(b) - a)
            rod(canvas, np.array([foot - UP * 0.1, foot + UP * 0.95]), 0.025, BLUE * 0.8)
        barrier(canvas, np.array([a[:2], b[:2]]), 0.5, 0.7)


def school(canvas: Canvas) -> None:
    """The school: bands of windows over coloured panels, a door under a canopy, a wing in the east
    with a gymnasium's blank wall.
    """
    body = plaster(hexes("d9d2c1")[0], 7)

    def panels(p: np.ndarray) -> np.ndarray:
        tone = body(p)
        for low, high in ((0.35, 0.95), (3.4, 4.0)):
            band = (p[:, 2] > low) & (p[:, 2] < high)
            tone[band] = (
                INKS[(np.floor(p[:, 0] / 1.7) * 5 + (low > 2)).astype(int) % 4][band] * 0.85 + 0.05
            )
        tone[p[:, 2] < 0.3] = hexes("7c7770")[0]
        return tone

    bays = [k for k in np.arange(0.5, 33, 2.25)]
    door = -4.0 - WEST + 0.6
    windows = [
        (k, 0.98, 1.9, 1.75) for k in bays if k + 1.9 < 33.2 and not door - 2.2 < k < door + 3.0
    ]
    windows += [(k, 4.05, 1.9, 1.6) for k in bays if k + 1.9 < 33.2]
    wall(
        canvas,
        (WEST, NORTH),
        (EAST, NORTH),
        6.6,
        panels,
        step=0.13,
        windows=windows,
        frame=hexes("e8e4da")[0],
        bars=(3, 2),
        doors=[(door, 1.1, 2.6, BLUE * 0.6), (door + 1.1, 1.1, 2.6, BLUE * 0.6)],
    )
    canvas.box(
        -5.0, 8.3, 3.05, 0.2, NORTH, 3.2, 0.14, stained(hexes("6f7478")[0]), "sewbt", solid=False
    )
    canvas.thin_solid((-5.0, 8.3, 3.1), (0.2, 8.3, 3.1), np.array([0, 1.7, 0]))
    for x in (-4.8, 0.0):
        rod(canvas, np.array([[x, 8.45, PORCH * (x < -1)], [x, 8.45, 3.1]]), 0.05, STEEL)
        prism(canvas, footprint(x, 8.45, 0, 0.1, 0.1), 0.0, 1.6)
    canvas.bar(
        (WEST, NORTH - 0.25, 6.6), (EAST, NORTH - 0.25, 6.6), 0.5, -UP, hexes("8c8a86")[0], 0.25
    )
    canvas.bar(
        (WEST, NORTH - 0.5, 6.72),
        (EAST, NORTH - 0.5, 6.72),
        0.26,
        (0, -1, 0),
        hexes("77787a")[0],
        0.3,
    )
    for x in (-12.4, -6.3, 7.0, 13.7):
        rod(
            canvas,
            np.array([[x, NORTH - 0.1, 0.1], [x, NORTH - 0.1, 6.6]]),
            0.05,
            hexes("8f9496")[0],
            0.15,
        )
    red = brick(hexes("99604a")[0], hexes("b0a493")[0], 13)
    wall(
        canvas,
        (EAST, NORTH),
        (EAST, -0.8),
        5.4,
        red,
        step=0.14,
        windows=[(1.0 + 2.4 * k, 3.2, 1.7, 1.2) for k in range(4)],
        doors=[(4.2, 1.0, 2.1, GREEN * 0.5), (5.2, 1.0, 2.1, GREEN * 0.5)],
        frame=hexes("e8e4da")[0],
    )
    wall(canvas, (EAST, -0.8), (19.6, -0.8), 5.4, red, step=0.2)
    fence(
        canvas,
        np.array([[EAST, -0.9], [EAST, SOUTH]]),
        2.6,
        GREEN * 0.5,
        pitch=0.16,
        rails=(0.04, 0.5, 0.98),
    )
    hedge(canvas, np.array([[EAST + 0.9, -1.2], [EAST + 0.9, SOUTH]]), 1.0, 2.0, hexes("4a6733")[0])


def mural(canvas: Canvas, length: float, height: float, pixel: float) -> np.ndarray:
    """An image of what children paint: hills, a sun, a rainbow, houses, flowers, fish and figures
    that hold hands.
    """
    rng = canvas.rng
    rows, columns = int(height / pixel) + 1, int(length / pixel) + 1
    t, s = np.mgrid[:rows, :columns] * pixel
    image = (
        hexes("8fc0dc")[0] + (hexes("dfeaf0")[0] - hexes("8fc0dc")[0]) * (1 - t / height)[..., None]
    )
    for k, tone in enumerate(hexes("6f9f8c", "5b9a55", "86b04a")):
        image[
            t
            < height * (0.62 - 0.17 * k)
            + 0.22 * np.sin(0.8 * s + 2.1 * k)
            + 0.1 * np.sin(1.9 * s + k)
        ] = tone
    sea = (s > 0.62 * length) & (t < 0.5 * height + 0.06 * np.sin(6 * s))
    image[sea] = hexes("2f7aa8")[0]
    image[np.hypot(s - 2.4, t - height + 0.25) < 0.62] = hexes("f2c63c")[0]
    for angle in np.linspace(np.pi, 2 * np.pi, 9):
        c, n = np.cos(angle), np.sin(angle)
        stroke(
            image,
            np.array([[2.4 + r * c, height - 0.25 + r * n] for r in (0.75, 1.15)]) / pixel,
            1.0,
            hexes("f2c63c")[0],
        )
    for k, tone in enumerate(INKS[[0, 4, 1, 3, 2, 5]]):
        r = np.hypot(s - 8.0, t - 0.3)
        image[(np.abs(r - 1.75 + 0.14 * k) < 0.08) & (t > 0.3)] = tone
    for x in np.arange(3.6, 0.58 * length, 1.5):
        x, foot, tall = x + rng.uniform(-0.3, 0.3), rng.uniform(0.12, 0.3), rng.uniform(0.7, 1.15)
        ink, skin_tone = INKS[rng.integers(6)], hexes("8a5a3c", "e0b08c", "c68a62")[rng.integers(3)]
        for path, width, tone in (
            (((0, 0), (0.08, 0.4 * tall)), 0.05, BLACK),
            (((0.2, 0), (0.12, 0.4 * tall)), 0.05, BLACK),
            (((0.1, 0.4 * tall), (0.1, 0.72 * tall)), 0.13, ink),
            (((-0.25, 0.5 * tall), (0.1, 0.68 * tall), (0.45, 0.5 * tall)), 0.045, skin_tone),
            (((0.1, 0.88 * tall), (0.1, 0.9 * tall)), 0.13, skin_tone),
        ):
            stroke(image, (np.array(path) + np.array([x, foot])) / pixel, width / pixel, tone)
    for _ in range(26):
        x, stem, ink = rng.uniform(0.3, 0.6 * length), rng.uniform(0.25, 0.6), INKS[rng.integers(7)]
        stroke(image, np.array([[x, 0.02], [x + 0.04, stem]]) / pixel, 0.7, hexes("3d6b35")[0])
        stroke(
            image,
            np.array([[x + 0.04, stem], [x + 0.04, stem + 0.01]]) / pixel,
            rng.uniform(1.4, 2.4),
            ink,
        )
    for _ in range(9):
        x, z, size, ink = (
            rng.uniform(0.66 * length, length - 0.8),
            rng.uniform(0.25, 0.85),
            rng.uniform(0.16, 0.3),
            INKS[rng.integers(7)],
        )
        image[((s - x) / size) ** 2 + ((t - z) / size / 0.55) ** 2 < 1] = ink
        stroke(
            image,
            np.array(
                [
                    [x - size, z],
                    [x - 1.5 * size, z + 0.4 * size],
                    [x - 1.5 * size, z - 0.4 * size],
                    [x - size, z],
                ]
            )
            / pixel,
            1.0,
            ink,
        )
    return np.clip(
        image * (1 + 0.07 * mottle(s, t, 0.9, 8) - 0.18 * np.exp(-t / 0.12))[..., None], 0, 0.95
    )


def climbing_frame(canvas: Canvas, x: float, y: float, yaw: float) -> None:
    """Two towers with platforms and roofs, a slide, a ladder, a bridge of ropes and monkey bars."""

    def line(points, radius: float, tone: np.ndarray) -> None:
        rod(canvas, turned(np.array(points, float), x, y, yaw), radius, tone)

    for cx, roof, tone in ((-1.6, 2.9, RED), (1.6, 3.2, YELLOW)):
        for sx in (-0.6, 0.6):
            for sy in (-0.6, 0.6):
                line([[cx + sx, sy, 0], [cx + sx, sy, 2.3]], 0.055, BLUE)
                prism(canvas, footprint(*moved(x, y, yaw, cx + sx, sy), yaw, 0.16, 0.16), 0.0, 2.3)
        deck = moved(x, y, yaw, cx, 0)
        block(canvas, *deck, yaw, (1.3, 1.3, 0.1), 0.12, stained(TIMBER * 1.1, 0.15), 1.15)
        corners = np.array([[-0.8, -0.8], [0.8, -0.8], [0.8, 0.8], [-0.8, 0.8], [-0.8, -0.8]])
        for a, b in pairwise(corners):
            top = turned(np.array([cx, 0, roof]), x, y, yaw)
            p, q = (turned(np.array([cx + c[0], c[1], 2.25]), x, y, yaw) for c in (a, b))
            canvas.fan(top, p, q, 0.12, tone * 0.95)
        for sy in (-0.62, 0.62):
            for z in (1.45, 1.7, 1.95):
                line([[cx - 0.6, sy, z], [cx + 0.6, sy, z]], 0.03, tone)
    s, across = np.linspace(0, 1, 24), np.linspace(-1, 1, 9)
    run, drop = 2.2 + 2.6 * s, 1.2 * (1 - s) ** 1.15 + 0.14
    chute = np.stack(
        [
            np.broadcast_to(run[:, None], (24, 9)),
            -0.0 + 0.3 * np.broadcast_to(across, (24, 9)),
            drop[:, None] + 0.16 * across**4,
        ],
        -1,
    )
    skin(canvas, turned(chute, x, y, yaw), stained(hexes("d8dadb")[0], 0.05), gloss=0.5)
    skin(canvas, turned(chute - (0, 0, 0.03), x, y, yaw), stained(RED * 0.7, 0.05), flip=True)
    for k in range(6):
        prism(
            canvas,
            footprint(*moved(x, y, yaw, 2.4 + 0.44 * k, 0), yaw, 0.5, 0.7),
            0.1,
            max(1.2 - 0.22 * k, 0.3),
        )
    for z in (0.3, 0.6, 0.9):
        line([[-2.2, -0.3, z], [-2.2, 0.3, z]], 0.03, YELLOW)
    for sy in (-0.5, 0.5):  # the bridge between the towers
        for k in range(7):
            line(
                [
                    [-1.0 + 0.33 * k, sy, 1.2 - 0.12 * np.sin(k * np.pi / 6)],
                    [-1.0 + 0.33 * k, sy, 1.9],
                ],
                0.015,
                BLACK,
            )
        line([[-1.0, sy, 1.9], [0, sy, 1.8], [1.0, sy, 1.9]], 0.025, BLUE)
    for k in range(7):
        line(
            [
                [-1.0 + 0.33 * k, -0.5, 1.2 - 0.12 * np.sin(k * np.pi / 6)],
                [-1.0 + 0.33 * k, 0.5, 1.2 - 0.12 * np.sin(k * np.pi / 6)],
            ],
            0.08,
            TIMBER,
        )
    for sx in (-1.9, -1.3):  # monkey bars
        line([[sx, 0.6, 2.25], [sx, 3.4, 2.25], [sx, 3.4, 0]], 0.04, GREEN)
        prism(canvas, footprint(*moved(x, y, yaw, sx, 3.4), yaw, 0.16, 0.16), 0.0, 2.2)
    for v in np.arange(0.9, 3.3, 0.4):
        line([[-1.9, v, 2.25], [-1.3, v, 2.25]], 0.025, GREEN)


def basket(canvas: Canvas, x: float, y: float, yaw: float) -> None:
    """A basketball hoop on a post; players stand along yaw of it."""
    post = turned(np.array([[0, 0, 0], [0, 0, 2.7], [0.9, 0, 3.1]]), x, y, yaw)
    rod(canvas, post, 0.07, BLUE * 0.7)
    prism(canvas, footprint(x, y, yaw, 0.35, 0.35), 0.0, 2.6)
    block(canvas, x, y, yaw, (0.35, 0.35, 1.5), 0.11, stained(YELLOW, 0.1), 0.0, solid=False)
    board = moved(x, y, yaw, 0.92, 0)

    def marks(p: np.ndarray) -> np.ndarray:
        v, z = -np.sin(yaw) * (p[:, 0] - x) + np.cos(yaw) * (p[:, 1] - y), p[:, 2]
        box = (
            (np.abs(v) < 0.32)
            & (np.abs(z - 3.15) < 0.25)
            & ~((np.abs(v) < 0.25) & (np.abs(z - 3.15) < 0.18))
        )
        edge = (np.abs(v) > 0.83) | (z < 2.87) | (z > 3.83)
        return np.where((box | edge)[:, None], RED * 0.9, hexes("eceae2")[0])

    block(canvas, *board, yaw, (0.06, 1.8, 1.05), 0.07, marks, 2.83, solid=False)
    angle = np.linspace(0, 2 * np.pi, 17)
    ring = np.column_stack([1.25 + 0.23 * np.cos(angle), 0.23 * np.sin(angle), np.full(17, 3.0)])
    rod(canvas, turned(ring, x, y, yaw), 0.02, hexes("e06a2c")[0])
    for a in angle[:-1:2]:
        net = np.array(
            [
                [1.25 + 0.23 * np.cos(a), 0.23 * np.sin(a), 3.0],
                [1.25 + 0.13 * np.cos(a + 0.4), 0.13 * np.sin(a + 0.4), 2.6],
            ]
        )
        rod(canvas, turned(net, x, y, yaw), 0.008, hexes("e8e6df")[0])


def _playhouse(p: np.ndarray) -> np.ndarray:
    """Yellow boards with blue frames round dark windows."""
    s, z = p[:, 0] + p[:, 1], p[:, 2]
    tone = stained(YELLOW * 0.9, 0.08)(p) * (0.9 + 0.15 * (np.floor(z / 0.15) % 2))[:, None]
    across = np.abs(s % 0.8 - 0.4)
    tone[(across < 0.3) & (np.abs(z - 0.75) < 0.27)] = BLUE * 0.8
    tone[(across < 0.22) & (np.abs(z - 0.75) < 0.19)] = hexes("3c4348")[0]
    return tone


def table_tennis(canvas: Canvas, x: float, y: float, yaw: float) -> None:
    """A table of concrete with a steel net."""
    for k in (-0.8, 0.8):
        block(canvas, *moved(x, y, yaw, k, 0), yaw, (0.25, 1.0, 0.68), 0.1, stained(CONCRETE, 0.1))
    block(canvas, x, y, yaw, (2.7, 1.5, 0.09), 0.1, stained(hexes("3d6b5a")[0], 0.08), 0.68)
    block(canvas, x, y, yaw, (0.03, 1.6, 0.16), 0.08, stained(STEEL, 0.1), 0.77, solid=False)


def furniture(canvas: Canvas) -> None:
    """What stands in the yard."""
    climbing_frame(canvas, -9.8, -5.0, 0.5)
    basket(canvas, 15.5, -6.2, np.pi)
    table_tennis(canvas, 2.6, -9.4, 0.15)
    table_tennis(canvas, 2.4, -5.6, -0.1)
    for x, y, h in ((6.2, 3.4, 4.6), (-5.4, 1.0, 4.9), (11.8, 4.4, 4.3)):
        angle = np.linspace(0, 2 * np.pi, 7)
        canvas.ring(x, y, 0.0, 0.75, 0.012, 0.1, stained(hexes("6b5a43")[0], 0.2, frequency=4.0))
        tree(canvas, x, y, h, 1.6, hexes("66823a")[0])
        for a in angle[:-1]:
            ends = np.array(
                [[0.95 * np.cos(b), 0.95 * np.sin(b), 0.44] for b in (a, a + np.pi / 3)]
            ) + np.array([x, y, 0])
            for grow in (0.85, 1.0, 1.15):
                line = (ends - (x, y, 0)) * (grow, grow, 1) + (x, y, 0)
                canvas.bar(line[0], line[1], 0.13, UP, TIMBER * canvas.rng.uniform(0.95, 1.2), 0.15)
            canvas.bar(
                ends[0] * (1, 1, 0), ends[0], 0.12, ends[0] * (1, 1, 0) - (x, y, 0), CONCRETE, 0.12
            )
            middle = ends.mean(0)
            prism(canvas, footprint(middle[0], middle[1], a + np.pi / 6, 0.38, 1.0), 0.3, 0.47)
    for x, y, yaw in (
        (-16.2, 3.0, 0.0),
        (-16.2, 0.0, 0.0),
        (-13.6, -10.9, np.pi / 2),
        (-4.0, -11.2, np.pi / 2),
        (15.4, 1.6, np.pi),
    ):
        seat(canvas, x, y, yaw, TIMBER * 1.1)
    for path in (
        ((10.0, 7.6), (13.4, 7.6)),
        ((10.0, 9.2), (13.4, 9.2)),
        ((10.0, 7.6), (10.0, 9.2)),
        ((13.4, 7.6), (13.4, 9.2)),
    ):  # a bed of flowers
        (ax, ay), (bx, by) = path
        block(
            canvas,
            (ax + bx) / 2,
            (ay + by) / 2,
            0.0,
            (abs(bx - ax) + 0.16, abs(by - ay) + 0.16, 0.34),
            0.1,
            stained(TIMBER, 0.15),
        )
    canvas.sheet(10.0, 7.6, 13.4, 9.2, 0.14, stained(hexes("4e3d2c")[0], 0.2), 0.28)
    prism(canvas, footprint(11.7, 8.4, 0.0, 3.4, 1.6), 0.0, 0.3)
    for k in range(7):
        shrub(
            canvas,
            10.5 + 0.42 * k,
            8.4 + 0.3 * (-1) ** k,
            0.32,
            0.5,
            (INKS[k % 6] * 0.3 + hexes("4d6a30")[0] * 0.7),
            0.26,
            solid=False,
        )
    for k in range(5):
        hoop(canvas, 5.6 + 0.75 * k, 9.2, np.pi / 2, STEEL)
    for x, tone in ((5.75, RED), (7.25, GREEN), (8.0, BLUE)):
        bicycle(canvas, x + 0.2, 9.15, np.pi / 2 + 0.05, tone)
    for k, (x, y) in enumerate(
        ((-3.2, -2.6), (-2.4, -2.1), (-2.9, -1.3), (-3.9, -1.6), (-1.6, -1.4))
    ):  # stumps to jump on
        z = 0.28 + 0.06 * (k % 3)
        with canvas.at(x, y):
            canvas.cylinder(0, 0, 0.22, 0.0, z, 0.08, stained(hexes("7b5f42")[0], 0.2), top=False)
            canvas.ring(0, 0, 0.0, 0.22, z, 0.07, stained(hexes("c3a177")[0], 0.12))
    block(canvas, -13.8, 1.6, 0.2, (1.6, 1.3, 1.2), 0.11, _playhouse)
    with canvas.at(-13.8, 1.6, 0.2, z=0.0):
        for sign in (-1, 1):
            canvas.patch(
                (-0.95, sign * 0.85, 1.1),
                (1.9, 0, 0),
                (0, -sign * 0.85, 0.6),
                0.1,
                stained(RED * 0.9, 0.08),
                flip=sign > 0,
            )
        canvas.patch(
            (-0.3, -0.67, 0.0), (0.6, 0, 0), (0, 0, 0.95), 0.1, stained(hexes("5a4632")[0])
        )
    for x, y, tone in (
        (-16.3, -9.8, GREEN * 0.5),
        (-16.3, -9.1, BLUE * 0.55),
        (9.4, 0.6, hexes("4a4d4f")[0]),
    ):
        wheelie_bin(canvas, x, y, 0.05, tone)
    for x, y, yaw in ((-15.9, 7.0, -0.6), (15.8, -0.2, np.pi)):
        lamp_post(canvas, x, y, 4.5, yaw, STEEL * 0.7)
    for x, y in ((8.0, -4.2), (-1.8, 6.2), (4.8, -2.6), (-6.8, 8.4)):  # balls
        tone = INKS[canvas.rng.integers(6)]
        canvas.cloud(
            (x, y, 0.12), (0.11, 0.11, 0.11), 70, 0.035, tone * 0.8, tone * 1.1, shell=True
        )
        prism(canvas, footprint(x, y, 0.0, 0.2, 0.2), 0.1, 0.22)
    for x, y, yaw in ((4.6, -11.2, 0.3), (-8.8, 2.6, 1.0)):  # cones
        block(canvas, x, y, yaw, (0.3, 0.3, 0.45), 0.07, stained(hexes("e0632b")[0]), taper=0.25)


def borders(canvas: Canvas) -> None:
    """The wall of murals, the fence with trees and hedges behind it."""
    length = NORTH - SOUTH
    image = mural(canvas, length, 2.2, 0.06)
    wall(
        canvas,
        (WEST, SOUTH),
        (WEST, NORTH),
        2.2,
        picture(image, (WEST, SOUTH), (WEST, NORTH), 0.0, 0.06),
        step=0.085,
        thick=0.3,
    )
    strip(
        canvas,
        np.array([[WEST - 0.15, SOUTH], [WEST - 0.15, NORTH]]),
        0.4,
        2.22,
        0.15,
        stained(CONCRETE * 1.05),
    )
    fence(
        canvas,
        np.array([[WEST, SOUTH], [EAST, SOUTH]]),
        1.7,
        GREEN * 0.55,
        pitch=0.14,
        rails=(0.05, 0.5, 0.97),
    )
    hedge(canvas, np.array([[-19.5, -15.6], [19.5, -15.6]]), 1.3, 1.7, hexes("4a6733")[0])
    for x in np.arange(-18, 19, 4.4):
        tree(
            canvas,
            x + canvas.rng.uniform(-1, 1),
            -14.4 + canvas.rng.uniform(-0.6, 0.8),
            canvas.rng.uniform(5.0, 6.8),
            2.1,
            hexes("5c7a33")[0],
        )
    for y in (-9.0, -3.5, 3.0, 8.5):
        tree(canvas, WEST - 1.9, y, canvas.rng.uniform(5.2, 6.6), 2.0, hexes("6a8038")[0])
    n = 2600
    x, y = canvas.rng.uniform(-19, 19, n), canvas.rng.uniform(-15, SOUTH - 0.1, n)
    tufts(canvas, np.column_stack([x, y, np.zeros(n)]), 0.2, hexes("728a40")[0])
    n = 420
    x, y = canvas.rng.uniform(WEST, EAST, n), SOUTH + np.abs(canvas.rng.normal(0, 0.5, n))
    litter(
        canvas, np.column_stack([x, y, np.zeros(n)]), hexes("8a6a2f", "a4702b", "6f7a35", "b58b3c")
    )
    canvas.bar_ground(*PLACE.low, PLACE.high[0], SOUTH - 0.1)
    canvas.bar_ground(EAST + 0.1, -16.0, *PLACE.high)
    canvas.bar_ground(*PLACE.low, WEST - 0.1, PLACE.high[1])


def paint(canvas: Canvas) -> None:
    """Paints the scene."""
    ground(canvas)
    school(canvas)
    borders(canvas)
    furniture(canvas)
