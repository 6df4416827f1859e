"""Things that stand about in the suite's later scenes: vehicles, boats, furniture of streets and
yards, painted pictures.
"""

from itertools import pairwise

import numpy as np

from tools.urban.paint import UP, Canvas
from tools.urban.sheets import (
    BLACK,
    GLASS,
    RUBBER,
    STEEL,
    TIMBER,
    barrier,
    block,
    footprint,
    leaves,
    moved,
    pane,
    prism,
    rod,
    skin,
    stained,
    turned,
)
from tools.urban.surfaces import Colour, hexes, mottle

BLUE, RED, YELLOW, GREEN = hexes("2f6fb0", "c23b32", "e3b62f", "3f8f5a")


def car(
    canvas: Canvas,
    x: float,
    y: float,
    yaw: float,
    tone: np.ndarray,
    z: float = 0.0,
    tall: bool = False,
) -> None:
    """A parked car of 4.2 m, or a van of 4.9 m: one hull from cross-sections along its length,
    wheels, lamps, plates.
    """
    length, width, roof = (4.9, 1.9, 2.0) if tall else (4.2, 1.76, 1.46)
    at = np.array([0.0, 0.02, 0.06, 0.25, 0.29, 0.44, 0.6, 0.8, 0.93, 0.985, 1.0])
    top = np.array([0.5, 0.62, 0.66, 0.7, 0.74, 0.985, 1.0, 0.95, 0.73, 0.66, 0.5])
    if tall:
        top = np.array([0.34, 0.45, 0.5, 0.56, 0.6, 0.96, 1.0, 1.0, 1.0, 0.98, 0.9])
    belt = 0.6 * roof
    s = np.linspace(0, 1, round(length / 0.075) + 1)
    crest = np.interp(s, at, top * roof)
    half = width / 2 * (1 - 0.14 * np.abs(2 * s - 1) ** 5)
    hull = np.stack([_section(h, c, belt, roof) for h, c in zip(half, crest, strict=True)])
    hull = np.concatenate([(0.5 - s)[:, None, None] * length + 0 * hull[..., :1], hull], -1)
    centre = (hull[1:, 1:] + hull[:-1, :-1]) / 2
    u, height = 0.5 - centre[..., 0] / length, centre[..., 2]
    side = np.abs(centre[..., 1]) > 0.76 * width / 2 * (
        1 - 0.2 * np.clip((height - belt) / (roof - belt), 0, 1)
    )
    tones = tone * (0.9 + 0.12 * height[..., None] / roof)
    inner = (height > belt + 0.04) & (u > 0.26) & (u < (0.42 if tall else 0.955))
    pillar = (np.abs(u - (0.4 if tall else 0.55)) < 0.014) | (np.abs(u - 0.8) < 0.025)
    ends = (u < 0.43) | (u > 0.82)
    glass = inner & (
        (side & (height < roof - 0.12) & ~pillar) | (~side & ends & (height < 0.97 * roof))
    )
    tones[glass] = (GLASS * (0.7 + 0.9 * np.clip((height - belt) / 0.5, 0, 1))[..., None])[glass]
    tones[height < 0.33] = BLACK * 1.4
    gaps = (np.abs(u[..., None] - np.array([0.29, 0.55, 0.77])) < 0.009).any(-1)
    tones[side & (height < belt) & (height > 0.36) & gaps] *= 0.55
    skin(canvas, turned(hull, x, y, yaw, z), tones, flip=True, gloss=np.where(glass, 0.7, 0.25))
    across = np.linspace(0, 1, 17)[:, None]
    # the nose and the tail, closed from sill to bonnet
    for end, lamp in (0, "f2f0e6"), (-1, "8e1d1a"):
        cap = hull[end, :19][:, None] + across * (hull[end, :-20:-1] - hull[end, :19])[:, None]
        middle = (cap[1:, 1:] + cap[:-1, :-1]) / 2
        shade = np.where(middle[..., 2:] < 0.36, BLACK * 1.4, tone * 0.95)
        shade[
            (np.abs(middle[..., 1]) > 0.5 * width / 2) & (np.abs(middle[..., 2] - 0.6) < 0.09)
        ] = hexes(lamp)[0]
        shade[
            (np.abs(middle[..., 1]) < 0.4 * width / 2) & (np.abs(middle[..., 2] - 0.62) < 0.05)
        ] *= 0.35
        if tall and end:
            shade[
                (np.abs(middle[..., 1]) < 0.8) & (middle[..., 2] > 1.2) & (middle[..., 2] < 1.75)
            ] = GLASS
        skin(canvas, turned(cap, x, y, yaw, z), shade, flip=end == 0, gloss=0.2)
    _wheels(canvas, x, y, yaw, length, width, z)
    for end in (-1, 1):
        plate = turned(
            np.array([[end * length * 0.505, -0.25, 0.45], [end * length * 0.505, 0.25, 0.45]]),
            x,
            y,
            yaw,
            z,
        )
        canvas.bar(
            plate[0],
            plate[1],
            0.11,
            turned(np.array([end, 0, 0]), 0, 0, yaw),
            hexes("dcdccf")[0],
            0.1,
        )
    prism(canvas, footprint(x, y, yaw, length, width), z, z + 0.9)
    cabin = moved(x, y, yaw, -0.03 * length, 0)
    prism(
        canvas,
        footprint(*cabin, yaw, (0.8 if tall else 0.5) * length, 0.8 * width),
        z + 0.9,
        z + roof,
    )


def _section(half: float, crest: float, belt: float, roof: float) -> np.ndarray:
    """(37, 2) y and z of a car's cross-section, from the right sill over the roof to the left one,
    evenly spaced.
    """
    angle = np.linspace(0, np.pi, 400)
    z = 0.24 + (crest - 0.24) * np.sin(angle) ** 0.5
    lean = 1 - 0.2 * np.clip((z - belt) / (roof - belt), 0, 1)
    y = -half * np.sign(np.cos(angle)) * np.abs(np.cos(angle)) ** 0.3 * lean
    along = np.concatenate([[0], np.cumsum(np.hypot(np.diff(y), np.diff(z)))])
    even = np.linspace(0, along[-1], 37)
    return np.stack([np.interp(even, along, y), np.interp(even, along, z)], -1)


def _wheels(
    canvas: Canvas, x: float, y: float, yaw: float, length: float, width: float, z: float
) -> None:
    """Four wheels: a rim with dark gaps between its spokes, a tyre, and the dark of the arch above
    it.
    """
    radius, angle = 0.31, np.linspace(0, 2 * np.pi, 25)
    rings = np.array([0.02, 0.08, 0.14, 0.2, 0.255, radius])
    tones = np.array([STEEL * 0.8, STEEL, STEEL, STEEL * 0.75, RUBBER])[:, None] * np.ones(
        (1, 24, 1)
    )
    tones[1:3, ::4] *= 0.4
    for ahead in (0.31 * length, -0.31 * length):
        for side in (-1, 1):
            out = side * (width / 2 + 0.005)
            for r, level, tone in (
                (rings * 1.22, out - 0.012 * side, np.broadcast_to(BLACK, (5, 24, 3))),
                (rings, out, tones),
            ):
                flat = [
                    ahead + r[:, None] * np.cos(angle),
                    np.full((6, 25), level),
                    radius + r[:, None] * np.sin(angle),
                ]
                skin(
                    canvas,
                    turned(np.maximum(np.stack(flat, -1), (-np.inf, -np.inf, 0.01)), x, y, yaw, z),
                    tone,
                    flip=side > 0,
                )


def boat(
    canvas: Canvas,
    x: float,
    y: float,
    yaw: float,
    length: float,
    tones: np.ndarray,
    z: float,
    cabin: bool = True,
) -> None:
    """A moored boat: a hull with a band, a deck or thwarts, a cabin with windows, a mast; `z` is
    the water's height.
    """
    beam, rail = 0.3 * length, 0.62
    s = np.linspace(0, 1, round(length / 0.13) + 1)
    plan = (
        beam
        / 2
        * np.clip(1 - np.abs(2 * s - 0.86) ** 3.2 / np.where(s > 0.43, 1.48, 1.9), 0.02, 1) ** 0.7
    )
    sheer = rail * (1 + 0.45 * (s - 0.4) ** 2 * np.where(s > 0.4, 2.6, 0.5))
    t = np.linspace(0, 1, 9)
    ahead = np.broadcast_to((s[:, None] - 0.5) * length, (len(s), 9)) + 0.25 * (t - 1) * (
        s[:, None] > 0.8
    )
    for side in (-1, 1):
        hull = np.stack(
            [
                ahead,
                side * plan[:, None] * (0.7 + 0.3 * t**0.6),
                -0.12 + (sheer[:, None] + 0.12) * t,
            ],
            -1,
        )
        tone = np.where(
            (t[1:] > 0.8)[None, :, None],
            tones[1],
            np.where((t[1:] < 0.3)[None, :, None], tones[2], tones[0]),
        )
        skin(
            canvas,
            turned(hull, x, y, yaw, z),
            np.broadcast_to(tone, (len(s) - 1, 8, 3)),
            flip=side > 0,
        )
        edge = np.stack([ahead[:, -1], side * plan, sheer + 0.02], -1)
        rod(canvas, turned(edge[::3], x, y, yaw, z), 0.035, TIMBER * 0.9, 0.2)
        if not cabin:
            skin(
                canvas,
                turned(hull * (1, 0.93, 1), x, y, yaw, z),
                stained(TIMBER * 0.8),
                flip=side < 0,
            )
    width = np.linspace(-0.97, 0.97, 9)
    low = 0.9 * rail if cabin else 0.15
    deck = np.stack(
        [
            np.broadcast_to(ahead[:, -1:], (len(s), 9)),
            plan[:, None] * width,
            np.full((len(s), 9), low),
        ],
        -1,
    )
    planks = (
        TIMBER
        * 1.15
        * (0.85 + 0.3 * (np.arange(8) % 2))[None, :, None]
        * np.ones((len(s) - 1, 1, 1))
    )
    skin(canvas, turned(deck, x, y, yaw, z), planks)
    if cabin:
        middle = moved(x, y, yaw, -0.08 * length, 0)
        size = (0.42 * length, 0.62 * beam, 0.85)

        def house(p: np.ndarray) -> np.ndarray:
            pane = (
                (p[:, 2] > z + 0.93)
                & (p[:, 2] < z + 1.25)
                & (((p[:, 0] * np.cos(yaw) + p[:, 1] * np.sin(yaw)) % 0.8) > 0.22)
            )
            return (
                np.where(pane[:, None], GLASS, tones[1])
                * (1 + 0.06 * mottle(p[:, 0], p[:, 1] + p[:, 2], 1.0, 71))[:, None]
            )

        block(canvas, *middle, yaw, size, 0.12, house, z + low, solid=False, taper=0.92)
        block(
            canvas,
            *middle,
            yaw,
            (size[0] * 1.02, size[1] * 1.04, 0.05),
            0.15,
            stained(tones[2]),
            z + low + 0.85,
            solid=False,
        )
        foot = turned(np.array([0.24 * length, 0, low]), x, y, yaw, z)
        rod(canvas, np.stack([foot, foot + UP * 2.6]), 0.035, TIMBER, 0.2)
        rod(
            canvas,
            np.stack([foot + UP * 2.5, turned(np.array([0.47 * length, 0, rail]), x, y, yaw, z)]),
            0.01,
            BLACK,
            0.3,
        )
    else:
        for k in (-0.22, 0.1):
            seat = moved(x, y, yaw, k * length, 0)
            block(
                canvas,
                *seat,
                yaw,
                (0.25, 0.75 * beam, 0.06),
                0.12,
                stained(TIMBER),
                z + 0.32,
                solid=False,
            )
    spread = footprint(x, y, yaw, 0.85 * length, 0.8 * beam)
    prism(canvas, spread, max(z, 0.0), max(z + 0.6, 0.1))


def bicycle(
    canvas: Canvas, x: float, y: float, yaw: float, tone: np.ndarray, z: float = 0.0
) -> None:
    """A bicycle that stands upright."""
    angle = np.linspace(0, 2 * np.pi, 17)
    for ahead in (-0.52, 0.52):
        for radius, size, shade in ((0.33, 0.02, BLACK), (0.3, 0.012, STEEL)):
            wheel = np.stack(
                [ahead + radius * np.cos(angle), 0 * angle, 0.34 + radius * np.sin(angle)], -1
            )
            rod(canvas, turned(wheel, x, y, yaw, z), size, shade, 0.13)
        for a in angle[:8:2]:
            spoke = np.array([[np.cos(a), 0, np.sin(a)], [-np.cos(a), 0, -np.sin(a)]]) * 0.29 + (
                ahead,
                0,
                0.34,
            )
            rod(canvas, turned(spoke, x, y, yaw, z), 0.005, STEEL, 0.3)
    saddle, crank, head, rear, front = (np.array(p) for p in (
        (-0.18, 0, 0.82), (-0.04, 0, 0.3), (0.36, 0, 0.8), (-0.52, 0, 0.34), (0.52, 0, 0.34)))  # fmt: skip
    for path in ((saddle, crank, head, saddle, rear, crank), (head * (1, 1, 1.15), front)):
        rod(canvas, turned(np.stack(path), x, y, yaw, z), 0.02, tone, 0.15)
    bar = np.array([[0.22, -0.28, 0.98], [0.36, 0, 0.95], [0.22, 0.28, 0.98]])
    rod(canvas, turned(bar, x, y, yaw, z), 0.017, BLACK, 0.15)
    seat = np.array([[-0.32, 0, 0.9], [-0.06, 0, 0.88]])
    rod(canvas, turned(seat, x, y, yaw, z), 0.05, BLACK, 0.1)
    ends = turned(np.array([[-0.8, 0, 0], [0.8, 0, 0]]), x, y, yaw)[:, :2]
    for side in (-0.05, 0.05):
        barrier(canvas, ends + side * np.array([-np.sin(yaw), np.cos(yaw)]), z + 0.3, z + 0.6)


def hoop(canvas: Canvas, x: float, y: float, yaw: float, tone: np.ndarray, z: float = 0.0) -> None:
    """A bicycle stand: a steel hoop 0.8 m wide."""
    angle = np.linspace(0, np.pi, 9)
    arc = np.stack([0.4 * np.cos(angle), 0 * angle, 0.5 + 0.32 * np.sin(angle)], -1)
    path = np.concatenate([[[0.4, 0, 0]], arc, [[-0.4, 0, 0]]])
    rod(canvas, turned(path, x, y, yaw, z), 0.03, tone, 0.12)
    barrier(
        canvas, turned(np.array([[-0.4, 0, 0], [0.4, 0, 0]]), x, y, yaw)[:, :2], z + 0.2, z + 0.4
    )


def wheelie_bin(
    canvas: Canvas, x: float, y: float, yaw: float, tone: np.ndarray, z: float = 0.0
) -> None:
    """A bin on two wheels, narrower at its foot, with a lid and a handle."""
    block(canvas, x, y, yaw, (0.48, 0.46, 0.92), 0.1, stained(tone, 0.1), z + 0.04, taper=1.2)
    block(
        canvas,
        x,
        y,
        yaw,
        (0.64, 0.6, 0.07),
        0.1,
        stained(tone * 0.85, 0.1),
        z + 0.96,
        solid=False,
        taper=0.88,
    )
    grip = turned(
        np.array([[-0.33, -0.22, 0.93], [-0.36, 0, 0.95], [-0.33, 0.22, 0.93]]), x, y, yaw, z
    )
    rod(canvas, grip, 0.02, BLACK, 0.1)
    for side in (-0.2, 0.2):
        hub = turned(np.array([[-0.24, side - 0.04, 0.1], [-0.24, side + 0.04, 0.1]]), x, y, yaw, z)
        rod(canvas, hub, 0.1, RUBBER, 0.1)


def bollard(
    canvas: Canvas,
    x: float,
    y: float,
    height: float,
    radius: float,
    tone: np.ndarray,
    z: float = 0.0,
    cap=True,
) -> None:
    """A post; with a cap, a mooring bollard with a wide head."""
    t, angle = np.meshgrid(np.linspace(0, 1, 9), np.linspace(0, 2 * np.pi, 13), indexing="ij")
    profile = (
        np.array([1.25, 1.0, 0.92, 0.9, 0.9, 0.95, 1.3, 1.35, 0.9])
        if cap
        else np.array([1.15, 1, 1, 1, 1, 1, 1, 0.97, 0.7])
    )
    r = radius * profile[:, None]
    points = np.stack([x + r * np.cos(angle), y + r * np.sin(angle), z + t * height], -1)
    skin(canvas, points, stained(tone, 0.15, 72, 4.0), flip=True)
    disc = np.stack(
        [points[-1, ::2] * (1, 1, 1), np.broadcast_to((x, y, z + height + 0.02), (7, 3))]
    )
    skin(canvas, disc, stained(tone * 1.1), sigma=0.8)
    prism(canvas, footprint(x, y, 0.0, 2.1 * radius, 2.1 * radius), z, z + max(height, 0.3))


def lamp_post(
    canvas: Canvas,
    x: float,
    y: float,
    height: float,
    yaw: float,
    tone: np.ndarray,
    z: float = 0.0,
    reach=0.9,
    glow=0.0,
) -> None:
    """A street lamp whose arm points along yaw."""
    rod(canvas, np.array([[x, y, z], [x, y, z + 0.9]]), 0.075, tone, 0.15)
    top = np.array(
        [[0, 0, 0.9], [0, 0, height - 0.3], [0.3 * reach, 0, height], [reach, 0, height + 0.05]]
    )
    rod(canvas, turned(top, x, y, yaw, z), 0.045, tone, 0.2)
    head = moved(x, y, yaw, reach + 0.15, 0)
    block(
        canvas,
        *head,
        yaw,
        (0.6, 0.2, 0.09),
        0.1,
        stained(tone * 1.1),
        z + height,
        solid=False,
        taper=0.8,
    )
    u, v = turned(np.array([[0.5, 0, 0], [0, 0.16, 0]]), 0, 0, yaw)
    corner = turned(np.array([reach - 0.1, -0.08, -0.01]), x, y, yaw, z + height)
    canvas.patch(corner, u, v, 0.08, stained(hexes("fff6da")[0] * 0.95), 0.7, flip=True, glow=glow)
    prism(canvas, footprint(x, y, 0.0, 0.2, 0.2), z, z + 1.5)


def seat(
    canvas: Canvas,
    x: float,
    y: float,
    yaw: float,
    tone: np.ndarray,
    z: float = 0.0,
    length=1.8,
    back=True,
) -> None:
    """A bench of slats on steel feet; sitters look along yaw."""
    for k in (-0.18, -0.06, 0.06, 0.18):
        line = turned(np.array([[k, -length / 2, 0.45], [k, length / 2, 0.45]]), x, y, yaw, z)
        canvas.bar(line[0], line[1], 0.1, UP, tone * canvas.rng.uniform(0.9, 1.1), 0.16)
    front = turned(np.array([[0.24, -length / 2, 0.42], [0.24, length / 2, 0.42]]), x, y, yaw, z)
    canvas.bar(
        front[0], front[1], 0.06, turned(np.array([1.0, 0, 0]), 0, 0, yaw), tone * 0.85, 0.16
    )
    ahead = turned(np.array([1.0, 0, 0.2]), 0, 0, yaw)
    for rise in (0.6, 0.74, 0.86) if back else ():
        for face in (1, -1):
            line = turned(
                np.array(
                    [
                        [-0.26 - 0.1 * (rise - 0.6) + 0.015 * face, k * length / 2, rise]
                        for k in (-1, 1)
                    ]
                ),
                x,
                y,
                yaw,
                z,
            )
            canvas.bar(
                line[0], line[1], 0.1, ahead * face, tone * canvas.rng.uniform(0.9, 1.1), 0.16
            )
    for k in (-0.4, 0.4):
        for a, b in (
            ((-0.2, 0), (-0.2, 0.44)),
            ((0.2, 0), (0.2, 0.44)),
            ((-0.2, 0.44), (-0.3, 0.9)),
        ):
            if b[1] < 0.5 or back:
                leg = np.array([[a[0], k * length, a[1]], [b[0], k * length, b[1]]])
                rod(canvas, turned(leg, x, y, yaw, z), 0.025, BLACK * 1.6, 0.15)
    prism(canvas, footprint(x, y, yaw, 0.5, length), z + 0.38, z + 0.47)


def shelter(
    canvas: Canvas,
    x: float,
    y: float,
    length: float,
    deep: float,
    z: float,
    back: int,
    tone: np.ndarray,
) -> None:
    """A shelter along x with panes at its back (side `back` of y) and ends, a roof, a bench."""
    for k in np.linspace(-0.5, 0.5, max(round(length / 1.8), 1) + 1):
        for s in (-0.5, 0.5):
            foot = np.array([x + k * length, y + s * deep, z])
            rod(canvas, np.stack([foot, foot + UP * 2.35]), 0.04, tone)
            prism(canvas, footprint(foot[0], foot[1], 0.0, 0.1, 0.1), z, z + 1.6)
    rear = y + back * deep / 2
    pane(
        canvas,
        np.array([x - length / 2, rear, z + 0.2]),
        np.array([length, 0, 0]),
        UP * 1.9,
        hexes("9fb0b4")[0],
    )
    barrier(canvas, np.array([[x - length / 2, rear], [x + length / 2, rear]]), z + 0.3, z + 0.5)
    for side in (-0.5, 0.5):
        pane(
            canvas,
            np.array([x + side * length, y - deep / 2, z + 0.2]),
            np.array([0, deep, 0]),
            UP * 1.9,
            hexes("9fb0b4")[0],
        )
        barrier(
            canvas,
            np.array([[x + side * length, y - deep / 2], [x + side * length, y + deep / 2]]),
            z + 0.3,
            z + 0.5,
        )
    across, along = (
        np.linspace(-0.62, 0.62, 9),
        np.linspace(-0.53, 0.53, max(round(length / 0.18), 2)),
    )
    roof = np.stack(
        [
            *np.meshgrid(x + along * length, y + across * deep, indexing="ij"),
            np.broadcast_to(z + 2.5 - 0.5 * across**2, (len(along), 9)),
        ],
        -1,
    )
    skin(canvas, roof, stained(tone * 1.2, 0.1), gloss=0.1)
    skin(canvas, roof - (0, 0, 0.05), stained(hexes("d5d5d0")[0], 0.06), flip=True)
    canvas.thin_solid(roof[0, 0], roof[-1, 0], np.array([0, 1.24 * deep, 0]))
    for s in (-0.62, 0.62):
        canvas.bar(
            (x - 0.53 * length, y + s * deep, z + 2.32),
            (x + 0.53 * length, y + s * deep, z + 2.32),
            0.14,
            (0, np.sign(s), 0),
            tone,
            0.2,
        )


def stripe(
    canvas: Canvas,
    path: np.ndarray,
    width: float,
    tone: np.ndarray,
    z: float = 0.0,
    worn: float = 0.2,
) -> None:
    """A painted line on the ground along a path (k, 2), worn through in places."""
    for a, b in pairwise(np.column_stack([np.asarray(path, float), np.full(len(path), z + 0.006)])):
        length = float(np.linalg.norm(b - a))
        count = max(round(length / 0.14), 1)
        points = a + ((np.arange(count) + 0.5) / count)[:, None] * (b - a)
        there = (
            mottle(points[:, 0], points[:, 1], 0.8, 73) + canvas.rng.normal(0, 0.3, count)
            > -1.7 + 3 * worn
        )
        points = points[there]
        scales = (0.52 * length / count, 0.4 * width, 0.004)
        shade = tone * canvas.rng.normal(1, 0.06, (len(points), 1))
        if len(points):
            canvas.discs(points, np.tile(b - a, (len(points), 1)), UP, scales, shade, 0.85)


def puddle(
    canvas: Canvas, x: float, y: float, size: float, tone: np.ndarray, z: float = 0.0
) -> None:
    """Standing water that mirrors the sky, with a dark wet rim."""
    rng = canvas.rng
    for grow, colour, opacity, level, gloss in (
        (1.25, hexes("3c3a37")[0], 0.6, 0.004, 0.1),
        (1.0, tone, 0.92, 0.008, 0.45),
    ):
        n = int(160 * size * size)
        angle, r = rng.uniform(0, 2 * np.pi, n), np.sqrt(rng.random(n)) * size * grow
        r = r * (1 + 0.22 * np.sin(2 * angle + x) + 0.12 * np.sin(5 * angle + y))
        points = np.column_stack(
            [x + 1.3 * r * np.cos(angle), y + 0.8 * r * np.sin(angle), np.full(n, z + level)]
        )
        shade = colour * (1 + 0.12 * mottle(points[:, 0], points[:, 1], 0.8, 74))[:, None]
        canvas.discs(
            points, rng.normal(size=(n, 3)), UP, (0.1, 0.09, 0.003), shade, opacity, gloss=gloss
        )


def litter(canvas: Canvas, points: np.ndarray, tones: np.ndarray, size: float = 0.045) -> None:
    """Fallen leaves or scraps at points (n, 3)."""
    n = len(points)
    tone = tones[canvas.rng.integers(0, len(tones), n)] * canvas.rng.uniform(0.7, 1.15, (n, 1))
    tilt = UP + canvas.rng.normal(0, 0.2, (n, 3))
    canvas.discs(
        points + 0.012 * UP,
        canvas.rng.normal(size=(n, 3)),
        tilt,
        (size, 0.5 * size, 0.004),
        tone,
        0.9,
    )


def ivy(canvas: Canvas, start, along, out, length: float, height: float, tone: np.ndarray) -> None:
    """Ivy that climbs a wall from `start`."""
    n = int(length * height * 260)
    s, t = canvas.rng.random(n) * length, canvas.rng.random(n) ** 1.5 * height
    keep = t < height * (0.62 + 0.3 * mottle(s, 0 * s, 0.5, 75))
    off = out * canvas.rng.uniform(0.03, 0.12, (keep.sum(), 1))
    points = np.asarray(start, float) + s[keep, None] * along + t[keep, None] * UP + off
    leaves(canvas, points, 0.055, tone * 0.55, tone * 1.3, np.broadcast_to(out, points.shape))


def picture(image: np.ndarray, start, end, z: float, pixel: float) -> Colour:
    """The colours of an image (rows from the ground up) on a wall from start to end."""
    a, b = np.array([*start, 0.0]), np.array([*end, 0.0])
    along = (b - a) / np.linalg.norm(b - a)

    def colour(p: np.ndarray) -> np.ndarray:
        column = np.clip(((p - a) @ along / pixel).astype(int), 0, image.shape[1] - 1)
        row = np.clip(((p[:, 2] - z) / pixel).astype(int), 0, image.shape[0] - 1)
        return image[row, column]

    return colour


def stroke(image: np.ndarray, path: np.ndarray, width: float, tone: np.ndarray) -> None:
    """Draws a thick line through points (k, 2) of (column, row), in pixels."""
    rows, columns = np.mgrid[: image.shape[0], : image.shape[1]]
    near = np.full(image.shape[:2], np.inf)
    for a, b in pairwise(path):
        d = b - a
        t = np.clip(((columns - a[0]) * d[0] + (rows - a[1]) * d[1]) / max(d @ d, 1e-9), 0, 1)
        near = np.minimum(near, (columns - a[0] - t * d[0]) ** 2 + (rows - a[1] - t * d[1]) ** 2)
    image[near < width * width] = tone


def graffiti(
    rng: np.random.Generator, length: float, height: float, base: np.ndarray, pixel: float = 0.06
) -> np.ndarray:
    """An image (rows from the ground up) of a concrete wall with stains, shutter marks, filled
    letters and thin tags.
    """
    rows, columns = int(height / pixel) + 1, int(length / pixel) + 1
    t, s = np.mgrid[:rows, :columns] * pixel
    stain = (
        0.08 * mottle(s, t, 0.5, 76)
        + 0.06 * mottle(5 * s, 0.3 * t, 0.7, 77)
        - 0.15 * np.exp(-t / 0.25)
    )
    image = base * (1 + stain - 0.12 * ((s % 2.4) < 1.3 * pixel))[..., None]
    inks = np.array(
        [BLUE, RED, YELLOW, GREEN, *hexes("e07f2c", "8e4f9e", "e9e4da", "39b3b0", "d45f8f")]
    )
    at = rng.uniform(0.2, 1.5)
    while at < length - 2.2:
        ink, line = (
            inks[rng.integers(len(inks))],
            BLACK if rng.random() < 0.6 else inks[rng.integers(len(inks))] * 0.5,
        )
        tall, foot, count = rng.uniform(0.8, 1.4), rng.uniform(0.35, 0.8), int(rng.integers(3, 6))
        letters = []
        for k in range(count):
            x0, w = at + 0.62 * k * tall * 0.8, 0.42 * tall * 0.8
            nodes = np.array(
                [[0, 0], [0.1, 1], [1, 0.9], [0.9, 0.45], [0.1, 0.5], [1, 0], [0.5, 0.55]]
            )
            nodes = nodes[rng.permutation(7)[: rng.integers(3, 6)]]
            nodes = nodes + rng.normal(0, 0.08, nodes.shape)
            letters.append(
                np.column_stack([x0 + nodes[:, 0] * w, foot + nodes[:, 1] * tall]) / pixel
            )
        for width, tone in (
            (0.19, line),
            (0.12, ink),
            (0.045, np.minimum(ink * 1.25 + 0.12, 0.95)),
        ):
            for letter in letters:
                stroke(image, letter + (0 if width > 0.05 else (-1, 1)), width * tall / pixel, tone)
        at += 0.5 * tall * count + rng.uniform(0.3, 1.8)
        tag = np.cumsum(rng.normal(0, 0.2, (9, 2)) * (0.6, 1.0) + (0.14, 0.0), axis=0)
        place = (at + rng.uniform(-0.8, 0.2), rng.uniform(0.8, max(height - 0.9, 1.0)))
        stroke(
            image,
            np.clip(tag + place, 0.1, None) / pixel,
            0.65,
            BLACK if rng.random() < 0.5 else inks[rng.integers(len(inks))],
        )
    return np.clip(image, 0, 0.95)
