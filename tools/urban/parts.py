"""Things that stand about: trees, hedges, planters, benches, lamps, tables, washing, bins,
bicycles, cars, stalls, railings.

Each is painted on the ground at (x, y), its front along `yaw`.
"""

from itertools import pairwise

import numpy as np

from tools.urban.paint import UP, Canvas
from tools.urban.surfaces import Colour, flat, hexes, mottle, planks, tone

X, Y = np.array([1.0, 0.0, 0.0]), np.array([0.0, 1.0, 0.0])
STONE, WOOD, IRON, LEAF = tone("c9b79a"), tone("7a4f2e"), tone("2e2f31"), tone("5e7a34")


def bark(colour: np.ndarray) -> Colour:
    """Colour of a trunk."""
    return lambda p: np.clip(
        colour * (1 + 0.25 * mottle(p[:, 0] * 9 + p[:, 1] * 9, p[:, 2], 1.0, 13))[:, None], 0.02, 1
    )


def tree(
    canvas: Canvas, x: float, y: float, height: float, leaves: np.ndarray = LEAF, crown: float = 1.7, trunk: float = 0.14,
    clumps: int = 12, dense: int = 130, planter: bool = False,
) -> None:  # fmt: skip
    """A broad-leaved tree: trunk, limbs and a crown of clumps around `height`; `planter` puts it
    into a ring of stone.
    """
    with canvas.at(x, y):
        foot = 0.0
        if planter:
            canvas.cylinder(0, 0, 0.75, 0.0, 0.45, 0.17, flat(STONE * 0.85), top=False)
            canvas.ring(0, 0, 0.0, 0.78, 0.45, 0.17, flat(tone("54402c")))
            foot = 0.4
        canvas.cylinder(
            0, 0, trunk, foot, height - 0.8 * crown, 0.13, bark(tone("6b5138")), top=False
        )
        fork = np.array([0, 0, height - 0.85 * crown])
        for k in range(clumps):
            off = canvas.rng.normal(0, 1, 3) * np.array([0.47, 0.47, 0.3]) * crown
            centre = np.array([off[0], off[1], height + off[2]])
            if k % 2 == 0:
                canvas.bar(
                    fork,
                    fork + 0.8 * (centre - fork),
                    0.6 * trunk,
                    np.cross(centre - fork, Y),
                    tone("5d4833"),
                    0.25,
                )
            shade = leaves * canvas.rng.uniform(0.8, 1.15)
            canvas.cloud(
                centre,
                np.array([0.47, 0.47, 0.36]) * crown,
                dense,
                0.06 * crown,
                shade * 0.7,
                np.minimum(shade * 1.4, 1),
            )


def conifer(
    canvas: Canvas,
    x: float,
    y: float,
    height: float,
    leaves: np.ndarray,
    width: float = 1.1,
    from_z: float = 0.4,
) -> None:
    """A cypress or spruce: a slim cone of needles that stands in the way."""
    with canvas.at(x, y):
        canvas.cylinder(0, 0, 0.12, 0.0, from_z + 0.5, 0.13, bark(tone("5a4635")), top=False)
        for t in np.linspace(0, 1, max(round(height / 0.45), 4)):
            r = width * (1 - t) ** 0.8 * (0.6 + 0.4 * min(1.0, 4 * t + 0.3)) + 0.1
            canvas.cloud(
                (0, 0, from_z + t * (height - from_z)),
                (r, r, 0.35),
                int(90 * r + 25),
                0.085,
                leaves * 0.65,
                leaves * 1.25,
            )
        if from_z < 1.0:
            canvas.cylinder(0, 0, 0.55 * width, from_z, 1.3, 9.0, flat(leaves * 0.4), top=False)


def bush(
    canvas: Canvas,
    x: float,
    y: float,
    radius: float,
    height: float,
    leaves: np.ndarray = LEAF,
    flowers: np.ndarray | None = None,
) -> None:
    """A round bush, solid."""
    with canvas.at(x, y):
        count = int(330 * radius * max(radius, height))
        canvas.cloud(
            (0, 0, 0.5 * height),
            (radius, radius, 0.55 * height),
            count,
            0.075,
            leaves * 0.6,
            np.minimum(leaves * 1.4, 1),
        )
        if flowers is not None:
            canvas.cloud(
                (0, 0, 0.55 * height),
                (radius, radius, 0.55 * height),
                int(60 * radius),
                0.045,
                flowers * 0.8,
                flowers,
                shell=True,
            )
        canvas.solid(-0.75 * radius, -0.75 * radius, 0, 0.75 * radius, 0.75 * radius, 0.9 * height)


def hedge(
    canvas: Canvas, start, end, height: float, thick: float, leaves: np.ndarray = LEAF
) -> None:
    """A clipped hedge from start to end."""
    dx, dy = end[0] - start[0], end[1] - start[1]
    length = float(np.hypot(dx, dy))
    with canvas.at(start[0], start[1], float(np.arctan2(dy, dx))):

        def leafy(p: np.ndarray) -> np.ndarray:
            return np.clip(
                leaves
                * (0.5 + 0.25 * mottle(p[:, 0] * 3 + p[:, 1], p[:, 2] * 3, 1.2, 16))[:, None],
                0.02,
                1,
            )

        canvas.box(0, -0.42 * thick, 0, length, 0.42 * thick, height * 0.94, 0.2, leafy, "nsewt")
        for s in np.arange(0.2, length, 0.4):
            canvas.cloud((s, 0, 0.5 * height), (0.34, 0.5 * thick, 0.52 * height), int(150 * height), 0.065, leaves * 0.65,
                         np.minimum(leaves * 1.35, 1))  # fmt: skip


def planter(
    canvas: Canvas,
    x: float,
    y: float,
    length: float,
    yaw: float,
    flowers: np.ndarray,
    clay: np.ndarray | None = None,
) -> None:
    """A box of terracotta or stone with a hedge and flowers."""
    clay = tone("a8623f") if clay is None else clay
    with canvas.at(x, y, yaw):
        hx, hy = length / 2, 0.35
        canvas.box(-hx, -hy, 0, hx, hy, 0.5, 0.15,
                   lambda p: clay * (1 + 0.15 * mottle(p[:, 0] * 3 + p[:, 1] * 3, p[:, 2] * 3, 1.0, 14))[:, None])  # fmt: skip
        canvas.cloud(
            (0, 0, 0.72),
            (hx * 1.1, hy * 1.1, 0.34),
            int(210 * length),
            0.065,
            LEAF * 0.7,
            LEAF * 1.4,
        )
        canvas.cloud(
            (0, 0, 0.86), (hx, hy, 0.26), int(45 * length), 0.04, flowers * 0.8, flowers, shell=True
        )
        canvas.solid(-hx, -hy, 0.5, hx, hy, 0.95)


def pot(
    canvas: Canvas, x: float, y: float, radius: float = 0.25, leaves: np.ndarray = LEAF
) -> None:
    """A pot with a plant."""
    with canvas.at(x, y):
        canvas.cylinder(0, 0, radius, 0, 0.4, 0.12, flat(tone("a8623f")))
        canvas.cloud(
            (0, 0, 0.7), (radius * 1.4, radius * 1.4, 0.35), 110, 0.055, leaves * 0.7, leaves * 1.4
        )
        canvas.solid(-radius, -radius, 0.4, radius, radius, 0.8)


def bench(
    canvas: Canvas,
    x: float,
    y: float,
    yaw: float = 0.0,
    wood: np.ndarray = WOOD,
    length: float = 1.7,
) -> None:
    """A wooden bench on iron feet; its back is on the left of yaw."""
    half = length / 2
    with canvas.at(x, y, yaw):
        for s in (-0.15, 0.0, 0.15):
            canvas.bar((-half, s, 0.45), (half, s, 0.45), 0.1, UP, wood * 1.2, 0.18)
            canvas.bar((-half, s, 0.42), (half, s, 0.42), 0.08, (0, -1, 0), wood * 0.8, 0.18)
        for z in (0.62, 0.78):
            for face in (1, -1):
                canvas.bar(
                    (-half, 0.22 + 0.02 * face, z),
                    (half, 0.22 + 0.02 * face, z),
                    0.09,
                    (0, face, 0),
                    wood,
                    0.18,
                )
        for s in (-half + 0.15, half - 0.15):
            for t in (-0.18, 0.18):
                canvas.bar((s, t, 0), (s, t, 0.45), 0.05, (0, np.sign(t), 0), IRON, 0.12)
            canvas.bar((s, 0.22, 0.45), (s, 0.24, 0.82), 0.05, (0, 1, 0), IRON, 0.12)
        canvas.solid(-half, -0.22, 0.36, half, 0.22, 0.46)
        canvas.solid(-half, 0.18, 0.5, half, 0.26, 0.85)


def lamp(
    canvas: Canvas,
    x: float,
    y: float,
    light: float = 0.0,
    height: float = 3.6,
    colour: np.ndarray = IRON,
) -> None:
    """An iron lamp post with a lantern; it shines when `light` is more than 0."""
    with canvas.at(x, y):
        canvas.cylinder(0, 0, 0.16, 0.0, 0.5, 0.1, flat(colour * 1.1))
        canvas.cylinder(0, 0, 0.06, 0.5, height - 0.2, 0.1, flat(colour * 1.1), top=False)
        canvas.cloud(
            (0, 0, height),
            (0.17, 0.17, 0.24),
            60,
            0.07,
            tone("f0dba0"),
            tone("fff0c8"),
            shell=True,
            glow=1.2 * (light > 0),
        )
        canvas.cloud((0, 0, height + 0.3), (0.2, 0.2, 0.06), 30, 0.07, colour, colour, shell=True)
        if light > 0:
            canvas.lamp_at(0.0, 0.0, height, np.array([6.0, 4.4, 2.4]) * light, 11.0)


def chair(canvas: Canvas, x: float, y: float, yaw: float, colour: np.ndarray) -> None:
    """A chair that looks along yaw."""
    with canvas.at(x, y, yaw):
        canvas.box(-0.2, -0.2, 0.36, 0.2, 0.2, 0.47, 0.12, flat(colour), "nsewt")
        canvas.box(-0.225, -0.2, 0.47, -0.175, 0.2, 0.9, 0.12, flat(colour * 1.1), "nsewt")
        for px, py in ((-0.17, -0.17), (-0.17, 0.17), (0.17, -0.17), (0.17, 0.17)):
            canvas.bar((px, py, 0), (px, py, 0.38), 0.045, (px, py, 0), IRON, 0.1)


def cafe(
    canvas: Canvas, x: float, y: float, colour: np.ndarray, yaw: float = 0.0, parasol: bool = True
) -> None:
    """A table with two chairs, under a parasol."""
    with canvas.at(x, y, yaw):
        canvas.cylinder(0, 0, 0.4, 0.7, 0.74, 0.13, flat(tone("e6e2da")))
        canvas.cylinder(0, 0, 0.05, 0.0, 2.3 if parasol else 0.7, 0.1, flat(IRON), top=False)
        for side in (-1, 1):
            chair(canvas, 0.7 * side, 0, 0.0 if side < 0 else np.pi, WOOD)
        if parasol:
            corners = np.array([[1, 1], [-1, 1], [-1, -1], [1, -1], [1, 1]]) * 1.15
            for k, (c0, c1) in enumerate(pairwise(corners)):
                canvas.fan((0, 0, 2.6), (c0[0], c0[1], 2.15), (c1[0], c1[1], 2.15), 0.17,
                           colour if k % 2 else np.minimum(colour * 0.4 + 0.55, 1))  # fmt: skip


def laundry(canvas: Canvas, start, end) -> None:
    """A line with washing on it between two points (x, y, z) of the frame."""
    a, b = np.array(start, float), np.array(end, float)
    s = np.linspace(0, 1, 40)
    line = a + (b - a) * s[:, None] - UP * (0.9 * s * (1 - s))[:, None]
    for p, q in pairwise(line):
        canvas.bar(p, q, 0.012, UP, IRON, 0.2)
    along = (b - a) / np.linalg.norm(b - a)
    tones = hexes("f2efe6", "7d96b8", "c4574a", "e6d27a", "f4f1ec", "5d7d6a")
    for k, i in enumerate(range(3, 36, 4)):
        wide, tall = 0.45 + 0.5 * canvas.rng.random(), 0.5 + 0.6 * canvas.rng.random()
        colour = flat(tones[k % 6])
        for side in (0.02, -0.02):
            out = np.cross(along, UP) * side
            canvas.patch(
                line[i] - UP * tall + out,
                along * wide,
                UP * tall + 0.1 * np.cross(along, UP),
                0.13,
                colour,
                0.6,
                flip=side < 0,
            )


def bollard(
    canvas: Canvas,
    x: float,
    y: float,
    colour: np.ndarray = STONE * 0.6,
    height: float = 0.85,
    radius: float = 0.11,
) -> None:
    """A post of stone or iron."""
    with canvas.at(x, y):
        canvas.cylinder(0, 0, radius, 0.0, height, 0.1, flat(colour))


def crate(
    canvas: Canvas,
    x: float,
    y: float,
    yaw: float,
    size: float,
    goods: np.ndarray | None = None,
    wood: np.ndarray = WOOD,
) -> None:
    """A wooden box, with fruit on top when `goods` is a colour."""
    with canvas.at(x, y, yaw):
        half = size / 2
        canvas.box(-half, -half, 0, half, half, size, 0.13, planks(wood * 1.3, 0.13))
        if goods is not None:
            canvas.cloud(
                (0, 0, size),
                (half * 0.9, half * 0.9, 0.1),
                60,
                0.05,
                goods * 0.75,
                np.minimum(goods * 1.15, 1),
                shell=True,
            )


def wheelie_bin(canvas: Canvas, x: float, y: float, yaw: float, colour: np.ndarray) -> None:
    """A waste bin on wheels, 1.1 m high."""
    with canvas.at(x, y, yaw):
        canvas.box(-0.3, -0.35, 0.05, 0.3, 0.35, 1.0, 0.14, flat(colour), "nsew")
        canvas.patch(
            (-0.34, -0.4, 1.02), X * 0.68, Y * 0.8 + 0.06 * UP, 0.14, flat(colour * 0.8), gloss=0.15
        )
        for s in (-0.25, 0.25):
            canvas.cloud((s, 0.34, 0.1), (0.05, 0.1, 0.1), 14, 0.05, IRON, IRON * 1.2, shell=True)


def bicycle(canvas: Canvas, x: float, y: float, yaw: float, colour: np.ndarray) -> None:
    """A bicycle that leans on its stand."""
    with canvas.at(x, y, yaw):
        for s in (-0.52, 0.52):
            angle = np.linspace(0, 2 * np.pi, 19)
            rim = np.stack([s + 0.33 * np.cos(angle), 0 * angle, 0.34 + 0.33 * np.sin(angle)], 1)
            for p, q in pairwise(rim):
                canvas.bar(p, q, 0.05, Y, IRON, 0.12)
            canvas.discs(np.array([[s, 0, 0.34]]), X, Y, (0.2, 0.2, 0.004), IRON * 2.5, 0.25)
        saddle, bars, hub = (
            np.array([-0.2, 0, 0.92]),
            np.array([0.38, 0, 0.98]),
            np.array([-0.06, 0, 0.34]),
        )
        for p, q in ((hub, saddle), (hub, bars - 0.2 * UP), (saddle - 0.15 * UP, bars - 0.2 * UP), (hub, (-0.52, 0, 0.34)),
                     ((-0.52, 0, 0.34), saddle - 0.2 * UP), ((0.52, 0, 0.34), bars)):  # fmt: skip
            canvas.bar(p, q, 0.05, Y, colour, 0.12)
        canvas.bar(saddle - 0.12 * X, saddle + 0.12 * X, 0.09, UP, IRON, 0.1)
        canvas.bar(bars - 0.25 * Y, bars + 0.25 * Y, 0.045, UP, IRON, 0.1)
        canvas.solid(-0.85, -0.1, 0.0, 0.85, 0.1, 0.9)


def car(
    canvas: Canvas, x: float, y: float, yaw: float, colour: np.ndarray, length: float = 4.2
) -> None:
    """A parked car, nose along yaw."""
    half, wide = length / 2, 0.85
    with canvas.at(x, y, yaw):
        canvas.box(-half, -wide, 0.28, half, wide, 0.85, 0.16, flat(colour), "nsewt", gloss=0.35)
        roof_low, roof_high = (
            np.array([-0.42 * length, -wide + 0.06, 0.85]),
            np.array([0.22 * length, wide - 0.06, 1.42]),
        )
        a, b = roof_low[0] + 0.35, roof_high[0] - 0.55
        glass = flat(tone("27313a"))
        canvas.patch(
            (a, -wide + 0.16, 1.42),
            X * (b - a),
            Y * (2 * wide - 0.32),
            0.16,
            flat(colour),
            gloss=0.4,
        )
        for y0, flip in ((-wide + 0.06, False), (wide - 0.06, True)):
            lean = np.sign(-y0) * 0.1
            canvas.patch((roof_low[0], y0, 0.85), X * (roof_high[0] - roof_low[0]), (0, lean, 0.57), 0.14, glass, flip=flip, gloss=0.5,
                         keep=lambda s, t: (s > 0.35 * t / 0.57) & (s < roof_high[0] - roof_low[0] - 0.55 * t / 0.57))  # fmt: skip
            for s in (a + 0.55 * (b - a), a, b):
                canvas.bar(
                    (s, y0, 0.85),
                    (s, y0 + lean, 1.42),
                    0.07,
                    (0, -np.sign(lean), 0),
                    colour * 0.9,
                    0.2,
                )
        canvas.patch(
            (roof_high[0], -wide + 0.1, 0.85),
            (-0.55, 0, 0.57),
            Y * (2 * wide - 0.2),
            0.14,
            glass,
            flip=True,
            gloss=0.5,
        )
        canvas.patch(
            (roof_low[0], -wide + 0.1, 0.85),
            (0.35, 0, 0.57),
            Y * (2 * wide - 0.2),
            0.14,
            glass,
            gloss=0.5,
            flip=True,
        )
        for s in (-0.3 * length, 0.31 * length):
            for side in (-1, 1):
                angle = canvas.rng.uniform(0, 2 * np.pi, 26)
                r = 0.31 * np.sqrt(canvas.rng.random(26))
                points = np.stack(
                    [
                        s + r * np.cos(angle),
                        np.full(26, side * (wide + 0.02)),
                        0.31 + r * np.sin(angle),
                    ],
                    1,
                )
                rubber = np.where((r < 0.17)[:, None], tone("9a9ca0"), tone("1c1c1e"))
                canvas.discs(points, X, (0, side, 0), (0.07, 0.07, 0.01), rubber, 0.95)
        for side in (-1, 1):
            canvas.bar(
                (half + 0.01, side * 0.6 - 0.15, 0.68),
                (half + 0.01, side * 0.6 + 0.15, 0.68),
                0.14,
                X,
                tone("f2efe2"),
                0.1,
                gloss=0.3,
            )
            canvas.bar(
                (-half - 0.01, side * 0.6 - 0.15, 0.7),
                (-half - 0.01, side * 0.6 + 0.15, 0.7),
                0.12,
                -X,
                tone("a3211e"),
                0.1,
            )
        canvas.patch((-half, -wide, 0.1), X * length, UP * 0.18, 0.2, flat(tone("161618")))
        canvas.patch(
            (-half, wide, 0.1), X * length, UP * 0.18, 0.2, flat(tone("161618")), flip=True
        )
        canvas.solid(-half, -wide, 0.1, half, wide, 0.9)
        canvas.solid(a, -wide + 0.1, 0.9, b, wide - 0.1, 1.4)


def railing(
    canvas: Canvas,
    start,
    end,
    colour: np.ndarray = IRON,
    height: float = 1.0,
    gap: float = 0.3,
    solid: bool = True,
) -> None:
    """A railing between two points (x, y, z) of the frame, its posts upright: on slopes and steps
    too.
    """
    a, b = np.asarray(start, float), np.asarray(end, float)
    length = float(np.linalg.norm(b - a))
    out = np.cross(b - a, UP)
    for z in (height, 0.5 * height):
        for face in (1, -1):
            canvas.bar(
                a + UP * z + 0.01 * face * out / length,
                b + UP * z + 0.01 * face * out / length,
                0.06,
                out * face,
                colour,
                0.2,
            )
    for s in np.linspace(0, 1, max(round(length / gap), 1) + 1):
        p = a + s * (b - a)
        canvas.bar(p, p + UP * height, 0.045, out, colour, 0.15)
        if solid:
            canvas.solid(p[0] - 0.06, p[1] - 0.06, p[2], p[0] + 0.06, p[1] + 0.06, p[2] + height)
    if solid:
        for s in np.arange(0, 1 + 1e-9, 0.08 / max(length, 0.1)):
            p = a + s * (b - a)
            canvas.solid(
                p[0] - 0.05, p[1] - 0.05, p[2] + 0.3, p[0] + 0.05, p[1] + 0.05, p[2] + height
            )


def stall(
    canvas: Canvas,
    x: float,
    y: float,
    yaw: float,
    width: float,
    cloth: np.ndarray,
    goods: np.ndarray,
    roof: bool = True,
) -> None:
    """A market stall: a counter with goods in crates, and a striped roof on four posts; its front
    is on the right of yaw.
    """
    half, deep = width / 2, 0.55
    with canvas.at(x, y, yaw):
        canvas.box(-half, -deep, 0, half, deep, 0.8, 0.15, planks(WOOD * 1.1, 0.2, (1, 0, 0)))
        kinds = len(goods)
        for k, s in enumerate(np.arange(-half + 0.3, half - 0.1, 0.5)):
            for row, t in enumerate((-0.28, 0.25)):
                colour = goods[(k * 2 + row) % kinds]
                canvas.cloud(
                    (s, t, 0.84 + 0.08 * row),
                    (0.22, 0.2, 0.1),
                    60,
                    0.045,
                    colour * 0.75,
                    np.minimum(colour * 1.1, 1),
                    shell=True,
                )
        for s in (-half, half):
            for t in (-deep - 0.25, deep):
                canvas.cylinder(s, t, 0.035, 0, 2.35, 0.12, flat(IRON * 1.5), top=False)
        if roof:
            stripes: Colour = lambda p: np.where(  # noqa: E731
                (np.floor(p[:, 0] / 0.4) % 2)[:, None] > 0, cloth, tone("eee6d6")
            )
            for side, flip in ((-1, True), (1, False)):
                slope = np.array([0, side * (deep + 0.45), -0.35])
                canvas.patch(
                    (-half - 0.2, 0, 2.7), X * (width + 0.4), slope, 0.15, stripes, flip=flip
                )
                canvas.patch(
                    (-half - 0.2, 0, 2.68),
                    X * (width + 0.4),
                    slope,
                    0.2,
                    lambda p: stripes(p) * 0.7,
                    flip=not flip,
                )
                canvas.thin_solid((-half - 0.2, 0, 2.7), (half + 0.2, 0, 2.7), slope)
                hem = np.array([-half - 0.2, side * (deep + 0.45), 2.15])
                canvas.patch(hem, X * (width + 0.4), UP * 0.2, 0.14, stripes, flip=side > 0)


def litter(
    canvas: Canvas, x: float, y: float, spread: float, count: int, tones: np.ndarray
) -> None:
    """Fallen leaves or paper around a point."""
    at = np.array([x, y]) + canvas.rng.normal(0, spread, (count, 2))
    world = canvas.world(np.column_stack([at, np.zeros(count)]))
    z = (
        np.array([canvas.ground_at(p[0], p[1]) for p in world])
        - canvas.world(np.zeros((1, 3)))[0, 2]
        + 0.012
    )
    tint = tones[canvas.rng.integers(0, len(tones), count)]
    canvas.discs(
        np.column_stack([at, z]),
        canvas.rng.normal(size=(count, 3)),
        UP,
        (0.05, 0.028, 0.004),
        tint,
        0.9,
    )
