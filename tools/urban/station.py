"""`station`: the forecourt of a small railway station under an overcast sky: kiosk, shelters,
bicycles, a platform up steps and ramps.

The street lies at z = 0, the forecourt a kerb above it, the platform 0.7 m up along the tracks,
which are behind a fence.
"""

from itertools import pairwise

import numpy as np

from s2e.envs.geometry.scene import Sky
from tools.urban.houses import steps
from tools.urban.paint import UP, Canvas, Light, Place
from tools.urban.sheets import (
    BLACK,
    CONCRETE,
    GLASS,
    STEEL,
    TIMBER,
    barrier,
    block,
    fence,
    footprint,
    hedge,
    lay,
    pane,
    prism,
    rod,
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
    YELLOW,
    bicycle,
    bollard,
    car,
    hoop,
    lamp_post,
    litter,
    puddle,
    seat,
    shelter,
    stripe,
    wheelie_bin,
)
from tools.urban.surfaces import (
    asphalt,
    brick,
    gravel,
    hexes,
    mottle,
    plaster,
    roof_tiles,
    slabs,
)

PLACE = Place(
    low=(-20.0, -16.0),
    high=(20.5, 16.0),
    top=9.0,
    sun=(0.3, -0.5, 0.8),
    sky=Sky(zenith=(168.0, 178.0, 190.0), horizon=(214.0, 217.0, 219.0), fog_m=400.0),
    light=Light(
        sun_rgb=(0.7, 0.68, 0.64),
        sky_rgb=(2.5, 2.6, 2.75),
        bounce_rgb=(1.5, 1.48, 1.44),
        exposure=0.5,
        spread=0.08,
        reach_m=4.5,
    ),
    seed=85,
)
WEST, EAST, STREET, KERB_Y, EDGE, TRACK = -11.0, 18.0, -12.4, -8.2, 5.0, 9.4
FORE, PLATFORM = 0.1, 0.7
DROPS = (-6.5, 9.0)


def fore(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Height of the forecourt: the kerb is lowered where the crossings are."""
    low = np.max([np.clip((2.3 - np.abs(x - at)) / 0.7, 0, 1) for at in DROPS], axis=0)
    return FORE * (1 - low * (1 - np.clip((y - KERB_Y) / 1.2, 0, 1)))


def ramp_east(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Height of the ramp along the platform's front."""
    return FORE + (PLATFORM - FORE) * np.clip((x - 1.0) / 8.0, 0, 1) + 0 * y


def ramp_west(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Height of the ramp beside the station house."""
    return FORE + (PLATFORM - FORE) * np.clip((y + 1.6) / 6.6, 0, 1) + 0 * x


def _forecourt(p: np.ndarray) -> np.ndarray:
    """Large slabs, bands of dark setts, a warm path to the steps, tactile studs before kerb and
    steps.
    """
    x, y = p[:, 0], p[:, 1]
    tone = slabs(hexes("a7a39b", "9c9890", "b0aba1", "94918b"), 0.6, seed=3, ratio=1.5)(p)
    band = (np.abs(x % 6.0 - 3.0) < 0.22) | (np.abs((y + 0.6) % 5.0 - 2.5) < 0.22)
    tone[band] = slabs(hexes("5d5b59", "676461", "545352"), 0.2, seed=4)(p)[band]
    path = np.abs(x + 4.0 + 0.5 * np.sin(0.5 * y)) < 1.3
    tone[path] = slabs(hexes("a9866c", "9a7962", "b4927a"), 0.25, seed=5, ratio=2.0)(p)[path]
    studs = (
        (np.abs(y - KERB_Y - 0.5) < 0.3) & (np.min([np.abs(x - at) for at in DROPS], axis=0) < 2.0)
    ) | ((np.abs(x + 4) < 2) & (np.abs(y - 3.2) < 0.3))
    tone[studs] = (
        hexes("cdb765")[0]
        * (0.9 + 0.15 * ((np.floor(x[studs] * 10) + np.floor(y[studs] * 10)) % 2))[:, None]
    )
    # wet places dry last
    return tone * (1 - 0.2 * np.clip(mottle(x, y, 0.18, 6) - 0.4, 0, 1))[:, None]


def ground(canvas: Canvas) -> None:
    """Street, forecourt, ramps, steps, platform, ballast."""
    lay(
        canvas,
        (-19.8, STREET),
        (EAST + 2.3, KERB_Y + 0.15),
        0.12,
        asphalt(hexes("636364")[0]),
        0.0,
        "road",
    )
    lay(canvas, (-19.8, KERB_Y), (EAST + 0.1, EDGE + 0.15), 0.1, _forecourt, fore)
    edge = np.linspace(-19.8, EAST, 200)
    z = fore(edge, np.full(200, KERB_Y + 0.02))
    sheet(
        canvas,
        np.column_stack([edge, np.full(200, KERB_Y)]),
        0.0,
        z,
        0.1,
        stained(hexes("a3a098")[0], 0.1),
    )
    for k in range(199):
        canvas.bar(
            (edge[k], KERB_Y + 0.06, z[k] + 0.01),
            (edge[k + 1], KERB_Y + 0.06, z[k + 1] + 0.01),
            0.15,
            UP,
            hexes("aeaaa2")[0] * canvas.rng.uniform(0.85, 1.08),
            0.15,
        )
    tiles = slabs(hexes("8c8a88", "838180", "949290"), 0.4, seed=9)
    lay(canvas, (WEST, EDGE), (EAST + 0.1, TRACK), 0.1, tiles, PLATFORM)
    canvas.patch(
        (WEST, TRACK - 0.75, PLATFORM + 0.006),
        (EAST - WEST, 0, 0),
        (0, 0.3, 0),
        0.1,
        stained(YELLOW * 0.95, 0.12),
    )
    canvas.patch(
        (WEST, TRACK - 0.3, PLATFORM + 0.006),
        (EAST - WEST, 0, 0),
        (0, 0.3, 0),
        0.1,
        stained(hexes("c9c5bb")[0], 0.08),
    )
    face = brick(hexes("6d5a50")[0], hexes("8c857b")[0], 14)
    for x0, x1 in ((WEST + 2.0, -6.0), (-2.0, 1.0), (10.6, EAST)):
        sheet(canvas, np.array([[x0, EDGE], [x1, EDGE]]), 0.0, PLATFORM, 0.12, face)
    sheet(canvas, np.array([[EAST, TRACK], [WEST, TRACK]]), 0.0, PLATFORM, 0.14, face)
    way = stained(hexes("97938b")[0], 0.1)
    lay(canvas, (1.0, 3.4), (10.6, EDGE + 0.1), 0.1, way, ramp_east)
    x = np.linspace(1.0, 10.6, 30)
    sheet(canvas, np.column_stack([x, np.full(30, 3.4)]), 0.0, ramp_east(x, x), 0.1, face)
    sheet(canvas, np.array([[10.6, 3.4], [10.6, EDGE]]), 0.0, PLATFORM, 0.1, face)
    lay(canvas, (WEST, -1.6), (WEST + 2.0, EDGE + 0.1), 0.1, way, ramp_west)
    y = np.linspace(-1.6, EDGE, 24)
    sheet(canvas, np.column_stack([np.full(24, WEST + 2.0), y]), 0.0, ramp_west(y, y), 0.1, face)
    steps(
        canvas,
        -2.0,
        EDGE - 4 * 0.34,
        np.pi / 2,
        4.0,
        4,
        stained(hexes("a29e96")[0], 0.1),
        FORE,
        (PLATFORM - FORE) / 4,
        0.34,
    )
    for x in (-6.0, -2.0):
        sheet(
            canvas,
            np.array([[x, EDGE], [x, 3.6]]) if x < -4 else np.array([[x, 3.6], [x, EDGE]]),
            FORE,
            PLATFORM,
            0.1,
            face,
        )
    for points in (
        np.column_stack([x_ := np.linspace(1.2, 10.5, 7), np.full(7, 3.46), ramp_east(x_, x_)]),
        np.column_stack(
            [np.full(5, WEST + 1.95), y_ := np.linspace(-1.4, EDGE, 5), ramp_west(y_, y_)]
        ),
        np.array([[10.55, 3.5, PLATFORM], [10.55, EDGE, PLATFORM]]),
        np.array([[-6.05, 3.64, FORE + 0.1], [-6.05, EDGE, PLATFORM]]),
        np.array([[-1.95, 3.64, FORE + 0.1], [-1.95, EDGE, PLATFORM]]),
    ):
        railing(canvas, points)
    for x0, x1 in ((WEST + 2.0, -6.05), (-1.95, 1.0), (10.6, EAST)):
        railing(canvas, np.array([[x0, EDGE + 0.06, PLATFORM], [x1, EDGE + 0.06, PLATFORM]]))


def railing(canvas: Canvas, path: np.ndarray) -> None:
    """A handrail with a lower rail over a path (k, 3)."""
    for rise in (0.5, 0.95):
        rod(canvas, path + UP * rise, 0.026, STEEL * 0.55)
    for a, b in pairwise(path):
        for s in np.linspace(0, 1, max(round(float(np.linalg.norm(b - a)) / 1.6), 1) + 1):
            foot = a + s * (b - a)
            rod(canvas, np.stack([foot, foot + UP * 0.95]), 0.026, STEEL * 0.5)
        barrier(
            canvas,
            np.stack([a, b])[:, :2],
            float(max(a[2], b[2])) + 0.3,
            float(max(a[2], b[2])) + 0.6,
        )


def tracks(canvas: Canvas) -> None:
    """Ballast, sleepers, rails, a train that waits, masts and the fence before them."""
    x0, x1 = -19.8, 20.3
    canvas.sheet(x0, TRACK, x1, 15.8, 0.16, gravel(hexes("857c72")[0], 62), 0.02)
    for y in (10.6, 13.6):
        for x in np.arange(x0, x1, 0.65):
            canvas.patch(
                (x, y - 1.15, 0.06),
                (0.24, 0, 0),
                (0, 2.3, 0),
                0.16,
                stained(hexes("5a4f45")[0] * canvas.rng.uniform(0.8, 1.2)),
            )
        for rail in (y - 0.72, y + 0.72):
            canvas.bar(
                (x0, rail, 0.2), (x1, rail, 0.2), 0.07, UP, hexes("b3aea6")[0], 0.25, gloss=0.3
            )
            for face in (-1, 1):
                canvas.bar(
                    (x0, rail + 0.03 * face, 0.13),
                    (x1, rail + 0.03 * face, 0.13),
                    0.12,
                    (0, face, 0),
                    hexes("6d4a38")[0],
                    0.25,
                )
    train(canvas, -3.0, 17.4, 13.6)
    for x in (-14.0, -1.0, 12.0):
        rod(canvas, np.array([[x, 15.4, 0], [x, 15.4, 7.0], [x, 13.4, 6.6]]), 0.09, STEEL * 0.6)
        rod(canvas, np.array([[x, 15.4, 6.0], [x, 10.2, 6.4]]), 0.05, STEEL * 0.6)
    for y in (10.6, 13.6):
        rod(canvas, np.array([[x0, y, 6.2], [x1, y, 6.2]]), 0.018, BLACK, 0.06)
    fence(
        canvas,
        np.array([[WEST, TRACK - 0.12], [EAST, TRACK - 0.12]]),
        1.25,
        GREEN * 0.4,
        PLATFORM,
        pitch=0.15,
        rails=(0.06, 0.97),
    )
    canvas.bar_ground(-20, TRACK, 20.5, 16.0)
    wall(
        canvas,
        (x0, 15.7),
        (x1, 15.7),
        2.2,
        brick(hexes("6f4a3c")[0], hexes("8f877c")[0], 15),
        step=0.2,
        thick=0.3,
    )
    for x in np.arange(-18, 20, 5.5):
        shrub(
            canvas, x + canvas.rng.uniform(-1, 1), 15.2, 0.8, 1.4, hexes("55692f")[0], solid=False
        )


def train(canvas: Canvas, x0: float, x1: float, y: float) -> None:
    """A railcar: a rounded hull with a band of windows, doors, a stripe and bogies."""
    s = np.linspace(x0, x1, round((x1 - x0) / 0.16) + 1)
    profile = np.array(
        [
            [-1.35, 0.75],
            [-1.45, 1.2],
            [-1.45, 1.6],
            [-1.45, 2.0],
            [-1.44, 2.4],
            [-1.42, 2.8],
            [-1.36, 3.2],
            [-1.2, 3.55],
            [-0.8, 3.78],
            [0.0, 3.85],
        ]
    )
    t = np.linspace(0, 1, 30)
    at = np.linspace(0, 1, len(profile))
    hull = np.stack(
        [
            np.broadcast_to(s[:, None], (len(s), 30)),
            np.broadcast_to(y + np.interp(t, at, profile[:, 0]), (len(s), 30)),
            np.broadcast_to(np.interp(t, at, profile[:, 1]), (len(s), 30)),
        ],
        -1,
    )
    centre = (hull[1:, 1:] + hull[:-1, :-1]) / 2
    z, u = centre[..., 2], centre[..., 0]
    tone = np.where((z < 1.25)[..., None], BLUE * 0.75, hexes("d9d8d2")[0]) * np.ones_like(centre)
    tone[(z > 1.25) & (z < 1.4)] = YELLOW
    tone[z > 3.4] = hexes("8a8d90")[0]
    glass = (z > 1.75) & (z < 2.75) & ((u % 1.7) > 0.22)
    tone[glass] = GLASS
    door = np.abs((u - 1.5) % 6.6 - 0.8) < 0.75
    tone[door & (z < 3.1) & ~glass] = RED * 0.8
    skin(canvas, hull, tone, gloss=np.where(glass, 0.6, 0.1))
    cap = np.array(
        [
            [[x0, y + k * w, h] for k in np.linspace(-1, 1, 15)]
            for w, h in (
                (1.35, 0.75),
                (1.45, 1.2),
                (1.45, 1.9),
                (1.43, 2.6),
                (1.3, 3.4),
                (0.6, 3.82),
            )
        ]
    )
    shade = np.where(
        ((cap[1:, 1:, 2] > 1.8) & (cap[1:, 1:, 2] < 2.8))[..., None], GLASS, YELLOW * 0.95
    )
    skin(canvas, cap, shade, gloss=0.2)
    canvas.solid(x0, y - 1.45, 0.4, x1, y + 1.45, 3.8)
    for x in (x0 + 2.2, x0 + 4.4, x1 - 4.4, x1 - 2.2):
        canvas.patch(
            (x - 1.0, y - 1.1, 0.25), (2.0, 0, 0), (0, 0, 0.5), 0.14, stained(BLACK * 1.4, 0.2)
        )


def house(canvas: Canvas) -> None:
    """The station house in the west."""
    red = brick(hexes("8e4c3a")[0], hexes("a59886")[0], 16)
    cream = hexes("e3dac4")[0]
    x0, y0, y1 = -18.6, -1.8, TRACK
    windows = [
        (1.0 + 2.1 * k, t, 1.1, h)
        for k in range(5)
        for t, h in ((1.0, 1.8), (3.9, 1.3))
        if not (k == 2 and t < 2)
    ]
    wall(
        canvas,
        (WEST, y0),
        (WEST, y1),
        5.6,
        red,
        step=0.13,
        windows=windows,
        frame=cream,
        bars=(2, 3),
        doors=[(5.1, 1.3, 2.4 + PLATFORM, GREEN * 0.45)],
    )
    front = [
        (0.8 + 1.9 * k, t, 1.0, h)
        for k in range(4)
        for t, h in ((1.0, 1.8), (3.9, 1.3))
        if not (k == 1 and t < 2)
    ]
    wall(
        canvas,
        (x0, y0),
        (WEST, y0),
        5.6,
        red,
        step=0.13,
        windows=front,
        frame=cream,
        bars=(2, 3),
        doors=[(2.7, 1.2, 2.4, GREEN * 0.45)],
    )
    canvas.solid(x0, y0 + 0.1, 0, WEST - 0.1, y1, 5.6)
    slate = roof_tiles(hexes("565b62")[0], 83)
    canvas.patch((WEST + 0.4, y0 - 0.4, 5.5), (0, y1 - y0 + 0.4, 0), (-3.9, 0, 2.2), 0.24, slate)
    canvas.patch(
        (x0 - 0.2, y0 - 0.4, 5.5),
        (WEST - x0 + 0.6, 0, 0),
        (0, 3.9, 2.2),
        0.24,
        slate,
        keep=lambda s, t: s < 7.8 - t * 0.8,
    )
    for a, b, out in (
        ((WEST + 0.38, y0 - 0.4, 5.5), (WEST + 0.38, y1, 5.5), (1, 0, 0)),
        ((x0, y0 - 0.4, 5.5), (WEST + 0.4, y0 - 0.4, 5.5), (0, -1, 0)),
    ):
        canvas.bar(a, b, 0.18, out, cream, 0.25)
    for y in np.linspace(0.4, 8.6, 4):  # brackets and a glass canopy over the east door
        rod(canvas, np.array([[WEST, y, 3.0], [WEST + 1.5, y, 3.5]]), 0.03, GREEN * 0.4)
    pane(
        canvas,
        np.array([WEST, 0.2, 3.45]),
        np.array([1.6, 0, 0.12]),
        np.array([0, 8.6, 0]),
        hexes("a9b7b5")[0],
        0.5,
    )
    canvas.bar_ground(-20, y0, WEST, 16.0)
    hedge(canvas, np.array([[-19.5, STREET], [-19.5, y0]]), 0.9, 1.9, hexes("4b6638")[0], 0.0)


def surroundings(canvas: Canvas) -> None:
    """The houses across the street, the wall with posters and trees behind it in the east."""
    row = brick(hexes("9a6a50")[0], hexes("aaa091")[0], 17)
    goods = [(1.0 + 2.6 * k, t, 1.4, 1.4) for k in range(15) for t in (0.95, 3.6)]
    wall(
        canvas,
        (EAST + 2.3, STREET),
        (-19.8, STREET),
        5.6,
        lambda p: np.where(
            (np.floor(p[:, 0] / 7.2) % 2 > 0)[:, None], row(p), plaster(hexes("cbbfa6")[0], 18)(p)
        ),
        step=0.16,
        windows=[g for g in goods if g[0] + 1.5 < 40.0 and g[0] % 7.8 > 1.5],
        doors=[(0.9 + 7.8 * k, 1.1, 2.2, (BLUE, RED, GREEN)[k % 3] * 0.5) for k in range(5)],
        frame=hexes("e3dac4")[0],
    )
    canvas.patch(
        (-19.8, STREET + 0.2, 5.5),
        (EAST + 22.1, 0, 0),
        (0, -2.2, 1.6),
        0.3,
        roof_tiles(hexes("7b4536")[0], 84),
    )
    wall(
        canvas,
        (EAST, TRACK),
        (EAST, KERB_Y),
        2.8,
        brick(hexes("7c5a48")[0], hexes("9d9486")[0], 19),
        step=0.14,
    )
    strip(
        canvas,
        np.array([[EAST + 0.1, KERB_Y], [EAST + 0.1, TRACK]]),
        0.5,
        2.82,
        0.16,
        stained(CONCRETE),
    )
    # posters
    for x, s, t in (EAST - 0.01, -1.0, 0.9), (EAST - 0.01, 2.0, 0.9), (EAST - 0.01, -5.0, 0.9):
        tone = hexes("2f5f8a", "c9823a", "7a3450")[canvas.rng.integers(3)]
        canvas.patch(
            (x - 0.02, s + 0.9, t),
            (0, -1.3, 0),
            (0, 0, 1.7),
            0.09,
            lambda p, k=tone: np.where(
                (mottle(p[:, 1], p[:, 2], 0.9, 20) > 0.3)[:, None], hexes("ece6d8")[0], k
            ),
        )
    hedge(
        canvas,
        np.array([[EAST + 1.6, STREET], [EAST + 1.6, KERB_Y + 0.3]]),
        1.0,
        1.9,
        hexes("4b6638")[0],
        0.0,
    )
    for x, y in ((19.3, -3.0), (19.4, 3.5), (19.2, 8.0)):
        tree(canvas, x, y, 5.8, 1.7, hexes("54702f")[0])
    canvas.bar_ground(EAST + 0.3, KERB_Y, 20.5, 16.0)


def kiosk(canvas: Canvas, x: float, y: float) -> None:
    """A kiosk of eight sides with shelves of papers behind glass, a counter and a pointed roof."""
    corners = np.array(
        [
            [x + 1.25 * np.cos(a), y + 1.25 * np.sin(a)]
            for a in np.linspace(0, 2 * np.pi, 9) + np.pi / 8
        ]
    )

    def body(p: np.ndarray) -> np.ndarray:
        z, s = p[:, 2] - FORE, p[:, 0] + p[:, 1]
        tone = np.tile(GREEN * 0.42, (len(p), 1))
        shelf = (z > 0.95) & (z < 2.05)
        pick = (np.floor(z / 0.22) * 37 + np.floor(s / 0.16) * 101) % 11 / 11
        tone[shelf] = (
            hexes("b8483c", "d8c9a0", "3f6f9a", "e6e2d6", "caa23a")[(pick * 5).astype(int)]
            * (0.7 + 0.3 * pick)[:, None]
        )[shelf]
        tone[(np.abs(z - 0.95) < 0.05) | (np.abs(z - 2.08) < 0.05)] = hexes("d8cfb6")[0]
        return tone

    sheet(canvas, corners, FORE, FORE + 2.35, 0.09, body)
    prism(canvas, corners[:-1], FORE, FORE + 2.3)
    apex = np.array([x, y, FORE + 3.3])
    for a, b in pairwise(corners):
        p, q = ([*(np.array([x, y]) + (c - (x, y)) * 1.3), FORE + 2.35] for c in (a, b))
        canvas.fan(apex, p, q, 0.12, hexes("4a5a55")[0])
        canvas.bar(p, q, 0.2, [*((a + b) / 2 - (x, y)), 0.0], hexes("d8cfb6")[0], 0.15)
    for k, angle in enumerate((-2.0, -0.6)):
        block(
            canvas,
            x + 1.75 * np.cos(angle),
            y + 1.75 * np.sin(angle),
            angle,
            (0.35, 0.7, 1.1 + 0.1 * k),
            0.09,
            body,
            FORE,
        )


def _bills(p: np.ndarray) -> np.ndarray:
    """Posters of many colours round a column."""
    pick = np.floor(p[:, 2] / 0.8) * 3 + np.floor((np.arctan2(p[:, 1], p[:, 0]) + 3.2) / 0.9)
    tone = hexes("c85a3e", "e8dcc0", "2f6a85", "d9b44a", "6b8a4f")[(pick % 5).astype(int)]
    return tone * (0.9 + 0.15 * mottle(p[:, 0] * 4, p[:, 2] * 4, 0.6, 22))[:, None]


def clock(canvas: Canvas, x: float, y: float) -> None:
    """A clock with four faces on a post."""
    rod(canvas, np.array([[x, y, FORE], [x, y, FORE + 3.1]]), 0.09, BLACK * 1.6)
    block(canvas, x, y, 0.0, (0.5, 0.5, 0.4), 0.1, stained(BLACK * 1.5), FORE)
    block(canvas, x, y, 0.0, (0.8, 0.8, 0.85), 0.1, stained(BLACK * 1.6), FORE + 3.1, solid=False)
    for face in ((1, 0), (-1, 0), (0, 1), (0, -1)):
        out = np.array([*face, 0.0])
        side = np.cross(UP, out)
        middle = np.array([x, y, FORE + 3.52]) + 0.43 * out
        for r in (0.05, 0.13, 0.21, 0.29):
            angle = np.arange(round(2 * np.pi * r / 0.07)) * 0.07 / r
            dots = middle + r * (np.cos(angle)[:, None] * side + np.sin(angle)[:, None] * UP)
            canvas.discs(
                dots, side, out, (0.055, 0.055, 0.006), hexes("f1ede0")[0], 0.96, glow=0.25
            )
        for angle, size in ((0.9, 0.17), (2.2, 0.26)):
            canvas.bar(
                middle + 0.02 * out,
                middle + 0.02 * out + size * (np.cos(angle) * side + np.sin(angle) * UP),
                0.035,
                out,
                BLACK,
                0.06,
            )
        for a in np.linspace(0, 2 * np.pi, 13)[:-1]:
            way = np.cos(a) * side + np.sin(a) * UP
            canvas.bar(
                middle + 0.25 * way + 0.015 * out,
                middle + 0.31 * way + 0.015 * out,
                0.025,
                out,
                BLACK,
                0.06,
            )


def furniture(canvas: Canvas) -> None:
    """What stands on the street, the forecourt and the platform."""
    shelter(canvas, 3.2, -7.0, 4.2, 1.3, FORE, 1, STEEL * 0.5)
    seat(canvas, 3.2, -6.75, -np.pi / 2, TIMBER, FORE, 2.4, back=False)
    shelter(canvas, 14.4, -1.6, 5.6, 2.0, FORE, 1, GREEN * 0.45)
    for k in range(7):
        x = 12.2 + 0.75 * k
        hoop(canvas, x, -1.7, np.pi / 2, STEEL, FORE)
        if k not in (2, 5):
            tone = (RED, BLUE, BLACK * 2, GREEN, YELLOW * 0.8, STEEL, BLUE * 0.6)[k]
            bicycle(
                canvas,
                x + 0.18,
                -1.75 + canvas.rng.normal(0, 0.06),
                np.pi / 2 + canvas.rng.normal(0, 0.06),
                tone,
                FORE,
            )
    shelter(canvas, -1.0, 8.0, 7.0, 1.5, PLATFORM, 1, GREEN * 0.45)
    for x in (-3.0, 0.8):
        seat(canvas, x, 8.3, -np.pi / 2, TIMBER, PLATFORM)
    kiosk(canvas, 0.6, -1.8)
    clock(canvas, 6.6, -0.4)
    for x, y, h in ((-8.6, -4.6, 4.6), (9.6, -4.2, 4.8), (4.4, 1.4, 4.4), (-13.6, -5.4, 4.7)):
        canvas.ring(
            x, y, 0.0, 0.65, FORE + 0.014, 0.09, stained(hexes("4d4640")[0], 0.25, frequency=5.0)
        )
        tree(canvas, x, y, h, 1.5, hexes("5f7837")[0], FORE, 0.13)
    for x, y, yaw in (
        (-6.8, -3.0, -0.4),
        (9.2, 0.8, 2.6),
        (-12.8, -3.0, -np.pi / 2),
        (13.2, -5.9, np.pi / 2),
        (-1.9, -5.6, np.pi / 2),
    ):
        seat(canvas, x, y, yaw, TIMBER, FORE)
    for x in np.arange(-16.5, EAST - 0.5, 1.5):
        if min(abs(x - at) for at in DROPS) > 2.2 and not 0.5 < x < 6.0:
            bollard(canvas, x, KERB_Y + 0.45, 0.9, 0.075, BLACK * 1.6, FORE, cap=False)
    for x, y, tone in (
        (12.4, -9.4, YELLOW * 0.9),
        (-12.2, -9.4, BLACK * 1.6),
        (-0.6, -11.2, hexes("b7bbbd")[0]),
        (6.6, -11.25, RED * 0.7),
    ):
        car(canvas, x, y, canvas.rng.normal(0, 0.02) + np.pi * (y < -10), tone)
    small_things(canvas)
    signs(canvas)


def small_things(canvas: Canvas) -> None:
    """Lamps, ticket machines, a column of posters, bins, tubs with plants, puddles, leaves,
    weeds.
    """
    for x, y in ((-5.0, 5.9), (3.8, 6.0), (11.0, 6.2), (16.2, 7.6)):
        lamp_post(canvas, x, y, 3.6, np.pi / 2, STEEL * 0.5, PLATFORM, 0.8)
    for x, y, yaw in ((-3.2, -7.2, np.pi / 2), (11.6, -7.3, np.pi / 2), (7.0, 2.4, -np.pi / 2)):
        lamp_post(canvas, x, y, 4.6, yaw, STEEL * 0.5, FORE, 1.0)
    for x, y in ((-8.6, 6.0), (-7.5, 6.0)):  # ticket machines
        block(
            canvas,
            x,
            y,
            0.0,
            (0.75, 0.55, 1.75),
            0.09,
            lambda p: np.where(
                ((p[:, 2] > PLATFORM + 1.0) & (p[:, 2] < PLATFORM + 1.5))[:, None],
                GLASS * 1.3,
                BLUE * 0.7,
            ),
            PLATFORM,
        )
    with canvas.at(-2.6, 0.6, 0.0, z=FORE):  # a column for posters
        canvas.cylinder(0, 0, 0.55, 0.0, 2.7, 0.1, _bills)
        canvas.cylinder(0, 0, 0.68, 2.7, 2.9, 0.1, stained(GREEN * 0.4))
    for x, y, z, tone in (
        (8.6, -7.1, FORE, GREEN * 0.4),
        (-5.0, -1.2, FORE, GREEN * 0.4),
        (6.4, 8.6, PLATFORM, BLUE * 0.5),
        (16.9, -3.4, FORE, BLUE * 0.5),
    ):
        wheelie_bin(canvas, x, y, 0.1, tone, z)
    for x, y, z, yaw in (
        (11.2, 3.0, FORE, 0.0),
        (15.6, 2.6, FORE, 0.0),
        (13.4, 7.4, PLATFORM, 0.0),
        (-15.2, -2.5, FORE, 0.0),
    ):
        block(canvas, x, y, yaw, (1.8, 0.6, 0.5), 0.1, stained(CONCRETE * 0.95, 0.12), z)
        for k in (-0.5, 0.0, 0.5):
            shrub(
                canvas,
                x + k,
                y,
                0.34,
                0.5,
                hexes("5f7a3a")[0] + 0.25 * (k == 0) * (RED - 0.2),
                z + 0.45,
                solid=False,
            )
    for x, y, z in (
        (-8.0, 0.6, FORE),
        (2.6, -4.6, FORE),
        (12.0, 1.0, FORE),
        (-14.4, -6.8, FORE),
        (7.4, -9.9, 0.0),
        (-6.0, -10.6, 0.0),
        (15.8, -6.2, FORE),
    ):
        puddle(canvas, x, y, canvas.rng.uniform(0.5, 0.9), hexes("8a939a")[0], z)
    n = 260
    at = np.concatenate(
        [
            canvas.rng.normal(0, 1.3, (n // 4, 2)) + c
            for c in ((-8.6, -4.6), (9.6, -4.2), (4.4, 1.4), (-13.6, -5.4))
        ]
    )
    at = at[(at[:, 1] > KERB_Y + 1.3) & (at[:, 1] < 3.0)]
    litter(
        canvas, np.column_stack([at, np.full(len(at), FORE)]), hexes("8a7a35", "a4702b", "6f7a35")
    )
    n = 700
    x = canvas.rng.uniform(-19, EAST, n)
    tufts(
        canvas,
        np.column_stack([x, STREET + 0.08 + np.abs(canvas.rng.normal(0, 0.03, n)), np.zeros(n)]),
        0.14,
        hexes("6b7d3a")[0],
    )


def signs(canvas: Canvas) -> None:
    """A board with the station's name on the platform, a bus stop's flag, arrows."""
    for x in (7.2, 14.6):
        for s in (-0.9, 0.9):
            rod(
                canvas,
                np.array([[x + s, 8.9, PLATFORM], [x + s, 8.9, PLATFORM + 2.3]]),
                0.035,
                STEEL * 0.5,
            )
        canvas.box(
            x - 1.0,
            8.86,
            PLATFORM + 1.7,
            x + 1.0,
            8.92,
            PLATFORM + 2.3,
            0.08,
            lambda p, c=x: np.where(
                (
                    (np.abs(p[:, 2] - PLATFORM - 2.0) < 0.12)
                    & (np.floor((p[:, 0] - c) / 0.14) % 3 > 0)
                )[:, None],
                hexes("f0eee6")[0],
                BLUE * 0.6,
            ),
            "ns",
            solid=False,
        )
    rod(canvas, np.array([[0.3, -7.6, FORE], [0.3, -7.6, FORE + 2.6]]), 0.04, STEEL)
    prism(canvas, footprint(0.3, -7.6, 0.0, 0.12, 0.12), FORE, FORE + 1.6)
    canvas.box(
        0.28, -7.6, FORE + 2.0, 0.32, -7.1, FORE + 2.55, 0.08, stained(YELLOW), "ew", solid=False
    )
    for x in np.arange(-17.0, EAST, 3.4):  # the street's middle
        stripe(canvas, np.array([[x, -10.3], [x + 1.6, -10.3]]), 0.11, hexes("dcdad2")[0], 0.0, 0.2)
    for at in DROPS:
        for y in np.arange(STREET + 0.7, KERB_Y - 0.3, 0.8):
            stripe(
                canvas,
                np.array([[at - 1.5, y], [at + 1.5, y]]),
                0.42,
                hexes("d9d7cf")[0],
                0.0,
                0.15,
            )


def paint(canvas: Canvas) -> None:
    """Paints the scene."""
    ground(canvas)
    tracks(canvas)
    house(canvas)
    surroundings(canvas)
    furniture(canvas)
