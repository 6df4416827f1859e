"""Parts of buildings: fronts with windows, doors, shop windows, awnings, balconies, arches, walls,
steps and ramps.

A front runs from a start to an end; the open side lies on the right of that direction. Inside, x
runs along it, z up, and -y out.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from tools.urban.paint import UP, Canvas
from tools.urban.surfaces import Colour, flat, mottle, plaster, roof_tiles, stones, tone

X, OUT = np.array([1.0, 0.0, 0.0]), np.array([0.0, -1.0, 0.0])
STONE, WOOD, IRON = tone("c9b79a"), tone("7a4f2e"), tone("2e2f31")


@dataclass(frozen=True)
class Front:
    """How a house front looks.

    Attributes:
        wall: colour by x along the front and z above its foot.
        plinth: colour of the lowest `plinth_m` metres, None to go on with the wall.
        floors: heights of the windows' lower edges above the foot, metres.
        pitch: distance between windows, metres.
        window: width and height of a window, metres.
        frame, glass: colours. shutter: colour of shutters above the ground floor, None for none.
        cornice: colour of the bands, None for none.
        roof: colour of the strip of roof that is seen, None for a flat roof.
        lit: share of windows with light in them.
        bare: colour of bricks where the plaster is gone, None for none.
    """

    wall: Colour = field(default_factory=lambda: plaster(tone("d9a45b")))
    plinth: Colour | None = field(default_factory=lambda: stones(tone("94866f")))
    plinth_m: float = 0.65
    floors: tuple[float, ...] = (1.0, 4.3, 7.2)
    pitch: float = 2.9
    window: tuple[float, float] = (1.0, 1.35)
    frame: np.ndarray = field(default_factory=lambda: tone("e9e0cd"))
    glass: np.ndarray = field(default_factory=lambda: tone("3a4650"))
    shutter: np.ndarray | None = None
    cornice: np.ndarray | None = field(default_factory=lambda: STONE * 1.1)
    roof: Colour | None = field(default_factory=lambda: roof_tiles(tone("a5583a")))
    lit: float = 0.1
    bare: np.ndarray | None = None


def front_frame(start, end) -> tuple[float, float, float, float]:
    """x, y, yaw and length of a front."""
    dx, dy = end[0] - start[0], end[1] - start[1]
    return start[0], start[1], float(np.arctan2(dy, dx)), float(np.hypot(dx, dy))


def window(canvas: Canvas, x: float, z: float, front: Front, shutters: bool) -> None:
    """A window with its lower left corner at x, z of a front: glass, frame, sill, and shutters."""
    width, height = front.window
    lit = bool(canvas.rng.random() < front.lit)
    glass = tone("e8c07a") if lit else front.glass * canvas.rng.uniform(0.8, 1.25)

    def reflect(p: np.ndarray) -> np.ndarray:
        rise = np.clip((p[:, 2] - z) / height, 0, 1)[:, None]
        return glass * (0.6 + 0.9 * rise) + 0.06 * mottle(p[:, 0], p[:, 2], 3.0, 4)[:, None]

    canvas.patch(
        (x, 0.07, z), X * width, UP * height, 0.2, reflect, gloss=0.5, glow=0.12 if lit else 0.0
    )
    corner = np.array([x, 0.0, z])
    for s in (0.0, 0.5, 1.0):
        canvas.bar(
            corner + X * width * s,
            corner + X * width * s + UP * height,
            0.045,
            OUT,
            front.frame,
            0.25,
        )
    for t in (0.0, 0.62, 1.0):
        canvas.bar(
            corner + UP * height * t,
            corner + X * width + UP * height * t,
            0.045,
            OUT,
            front.frame,
            0.25,
        )
    sill = corner - 0.06 * UP + 0.06 * OUT
    canvas.bar(
        sill - X * 0.12,
        sill + X * (width + 0.12),
        0.07,
        OUT + UP,
        np.minimum(front.frame * 0.95, 1),
        0.2,
    )
    colour = front.shutter
    if colour is None or not shutters:
        return
    for s in (-0.5 * width, width):

        def slats(p: np.ndarray) -> np.ndarray:
            return colour * (0.82 + 0.3 * (np.floor((p[:, 2] - z) / 0.16) % 2))[:, None]

        canvas.patch(
            (x + s + 0.02, -0.05, z), X * (0.5 * width - 0.04), UP * height, 0.16, slats, 0.6
        )


def door(
    canvas: Canvas, x: float, colour: np.ndarray, width: float = 1.2, height: float = 2.35
) -> None:
    """A panelled door in a frame of stone, its left foot at x of a front."""

    def panels(p: np.ndarray) -> np.ndarray:
        s, t = (p[:, 0] - x) / width, p[:, 2] / height
        inner = (np.abs(s % 0.5 - 0.25) < 0.15) & (np.abs(t % 0.34 - 0.17) < 0.12)
        return colour * np.where(inner, 0.72, 1.0)[:, None]

    corner = np.array([x, 0.0, 0.0])
    canvas.patch((x, 0.08, 0), X * width, UP * height, 0.13, panels)
    for s in (-0.09, width + 0.09):
        canvas.bar(corner + X * s, corner + X * s + UP * (height + 0.1), 0.13, OUT, STONE, 0.2)
    canvas.bar(
        corner - X * 0.2 + UP * (height + 0.1),
        corner + X * (width + 0.2) + UP * (height + 0.1),
        0.15,
        OUT,
        STONE * 1.05,
        0.2,
    )
    handle = corner + X * 0.85 * width + UP
    canvas.bar(handle, handle + UP * 0.12, 0.03, OUT, tone("c8a24a"), 0.06)


def shop_window(
    canvas: Canvas,
    x: float,
    width: float,
    colour: np.ndarray,
    goods: np.ndarray,
    glow: float = 0.05,
) -> None:
    """A display behind glass from x on, 2.3 m high, in a wooden front with a board above; give
    `facade` the opening as a fitting.
    """

    def display(p: np.ndarray) -> np.ndarray:
        shelf = np.floor(p[:, 2] / 0.45)
        kind = np.floor((p[:, 0] - x) / 0.28)
        pick = goods[((kind * 31 + shelf * 17) % len(goods)).astype(int)]
        dark = (p[:, 2] % 0.45 < 0.06) | (mottle(p[:, 0], p[:, 2], 1.5, 12) > 0.6)
        return pick * np.where(dark, 0.35, 0.85)[:, None]

    canvas.patch((x, 0.1, 0.5), X * width, UP * 1.8, 0.13, display, gloss=0.3, glow=glow)
    canvas.patch((x, -0.03, 0), X * width, UP * 0.5, 0.15, flat(colour))
    canvas.patch((x - 0.15, -0.06, 2.3), X * (width + 0.3), UP * 0.5, 0.15, flat(colour * 0.9))
    letters = np.arange(x + 0.3, x + width - 0.3, 0.26)
    for k, s in enumerate(letters):
        if (k * 7) % 5:
            canvas.bar((s, -0.09, 2.42), (s, -0.09, 2.68), 0.09, OUT, tone("e9dfc4"), 0.13)
    for s in np.linspace(x, x + width, max(round(width / 1.2), 1) + 1):
        canvas.bar((s, -0.03, 0), (s, -0.03, 2.3), 0.09, OUT, colour, 0.22)


def facade(
    canvas: Canvas, start, end, height: float, front: Front, base: float = 0.0, doors: tuple[float, ...] = (),
    openings: tuple[tuple[float, ...], ...] = (), windows_from: float = 0.0, solid: bool = True, depth: float = 0.5,
    shops: tuple[tuple[float, float, str], ...] = (), door_colour: np.ndarray | None = None,
) -> None:  # fmt: skip
    """A house front from start to end, the open side on its right.

    Args:
        canvas: what is painted on.
        start, end: (x, y) of its feet.
        height: metres above its foot, which is `base` above the frame's ground.
        front: how it looks.
        base: metres.
        doors: places of doors, metres along the front (their middle).
        openings: rectangles (s0, s1, t0, t1), metres along and above the foot, that stay free: one
            can pass.
        windows_from: no windows below this height above the foot.
        solid: whether the half metre behind it is solid.
        depth: how much behind it is solid, metres.
        shops: (from, width, colour code) of shop windows.
        door_colour: one for all doors; None takes turns.
    """
    x, y, yaw, length = front_frame(start, end)
    with canvas.at(x, y, yaw, z=base):
        holes = [list(o) for o in openings]
        taken = [(d - 0.6, d + 0.6, 0.0, 2.35) for d in doors] + [
            (s, s + w, 0.0, 2.8) for s, w, _ in shops
        ]
        fittings = []
        pitch = length / max(round(length / front.pitch), 1)
        width, tall = front.window
        for floor in front.floors:
            if floor + tall > height - 0.3 or floor < windows_from:
                continue
            for s in np.arange(pitch / 2, length, pitch):
                rect = [s - width / 2, s + width / 2, floor, floor + tall]
                near = [*openings, *taken]
                if not any(
                    rect[0] < o[1] + 0.35
                    and rect[1] > o[0] - 0.35
                    and rect[2] < o[3] + 0.2
                    and rect[3] > o[2]
                    for o in near
                ):
                    fittings.append(rect)
        holes += fittings + [list(t) for t in taken]
        _wall(canvas, length, height, front, holes)
        for rect in fittings:
            window(canvas, rect[0], rect[2], front, rect[2] > 2)
        for d in doors:
            colour = (
                door_colour
                if door_colour is not None
                else [tone("5b3a24"), tone("2f4a45"), tone("6d2f28")][int(d * 7) % 3]
            )
            door(canvas, d - 0.6, colour)
        for s, w, code in shops:
            goods = np.array(
                [tone(c) for c in ("d9c27a", "a8433a", "6f8f8a", "e6ded0", "50627d", "8a5a3a")]
            )
            shop_window(canvas, s, w, tone(code), goods)
        if front.cornice is not None:
            for drop, size in ((0.0, 0.18), (0.3, 0.08), (height - 3.7, 0.07)):
                if 0 <= drop < height - 0.5:
                    canvas.bar(
                        (0, -0.08, height - drop),
                        (length, -0.08, height - drop),
                        size,
                        OUT,
                        np.minimum(front.cornice, 1),
                        0.35,
                    )
        if front.roof is not None:
            canvas.patch((0, -0.25, height), X * length, (0, 1.5, 0.9), 0.33, front.roof, 0.65)
        if solid:
            canvas.wall_solid(np.zeros(3), X, OUT, length, height, openings, depth)


def _wall(canvas: Canvas, length: float, height: float, front: Front, holes) -> None:
    def colour(p: np.ndarray) -> np.ndarray:
        painted = front.wall(p)
        if front.plinth is not None:
            foot = p[:, 2] < front.plinth_m + 0.04 * mottle(p[:, 0], p[:, 2], 2.0, 7)
            painted[foot] = front.plinth(p[foot])
        if front.bare is not None:
            gone = (mottle(p[:, 0], p[:, 2], 0.8, 9) > 1.1) & (p[:, 2] > 0.6) & (p[:, 2] < 3.6)
            painted[gone] = front.bare * canvas.rng.uniform(0.85, 1.15, (gone.sum(), 1))
        return painted

    low = min(3.0, height)
    canvas.patch((0, 0, 0), X * length, UP * low, 0.18, colour, holes=holes)
    if height > low:
        upper = [[o[0], o[1], o[2] - low, o[3] - low] for o in holes]
        canvas.patch((0, 0, low), X * length, UP * (height - low), 0.28, colour, holes=upper)
    for s0, s1, t0, t1 in holes:  # the thickness of the wall round what is set back in it
        if s1 - s0 < 4 and t1 - t0 < 4:
            reveal = flat(front.wall(np.array([[(s0 + s1) / 2, 0.0, (t0 + t1) / 2]]))[0] * 0.85)
            canvas.patch(
                (s0, 0.1, t0), -0.1 * np.array([0, 1.0, 0]), UP * (t1 - t0), 0.2, reveal, flip=True
            )
            canvas.patch((s1, 0.1, t0), -0.1 * np.array([0, 1.0, 0]), UP * (t1 - t0), 0.2, reveal)


def wall(
    canvas: Canvas, start, end, height: float, thick: float, colour: Colour, cap: np.ndarray | None = None, spacing: float = 0.2,
    base: float = 0.0,
) -> None:  # fmt: skip
    """A free-standing wall, the line start..end in its middle, painted on all sides but the
    bottom.
    """
    x, y, yaw, length = front_frame(start, end)
    with canvas.at(x, y, yaw, z=base):
        canvas.box(0, -thick / 2, 0, length, thick / 2, height, spacing, colour, "nsewt")
        if cap is not None:
            for side in (-1, 1):
                edge = np.array([0, side * (thick / 2 + 0.03), height])
                canvas.bar(edge, edge + X * length, 0.1, (0, side, 0.3), cap, 0.25)
            canvas.patch(
                (0, -thick / 2 - 0.05, height + 0.02),
                X * length,
                (0, thick + 0.1, 0),
                spacing,
                flat(cap),
            )


def arch(
    canvas: Canvas,
    start,
    end,
    spring: float,
    top: float,
    deep: float,
    colour: Colour,
    rim: np.ndarray,
    base: float = 0.0,
) -> None:
    """A round arch over the way between start and end: its front and back up to `top`, its
    underside; `deep` metres thick.
    """
    x, y, yaw, length = front_frame(start, end)
    radius = length / 2

    def free(s: np.ndarray, t: np.ndarray) -> np.ndarray:
        return (t > 0) & (np.hypot(s - radius, t) > radius)

    with canvas.at(x, y, yaw, z=base):
        for side, flip in ((0.0, False), (deep, True)):
            canvas.patch(
                (0, side, spring),
                X * length,
                UP * (top - spring),
                0.18,
                colour,
                keep=free,
                flip=flip,
            )
        angles = np.linspace(0, np.pi, max(round(np.pi * radius / 0.35), 5))
        ring = np.stack(
            [radius + radius * np.cos(angles), 0 * angles, spring + radius * np.sin(angles)], 1
        )
        for p, q in pairwise(ring):
            canvas.patch(p, (0, deep, 0), q - p, 0.2, colour, flip=True)
            canvas.bar(p + 0.03 * OUT, q + 0.03 * OUT, 0.11, OUT, rim, 0.17)
        canvas._fill(canvas.grid, (0, 0, spring), (length, deep, top),
                     lambda p: np.hypot(p[..., 0] - radius, p[..., 2] - spring) > radius)  # fmt: skip


def awning(
    canvas: Canvas,
    start,
    end,
    depth: float,
    colour: np.ndarray,
    height: float = 2.95,
    drop: float = 0.5,
) -> None:
    """A striped awning over a shop from start to end along a wall."""
    x, y, yaw, length = front_frame(start, end)

    def stripes(p: np.ndarray) -> np.ndarray:
        odd = (np.floor(p[:, 0] / 0.35) % 2)[:, None]
        return np.where(odd > 0, colour, tone("efe6d2"))

    with canvas.at(x, y, yaw):
        a, slope = np.array([0.0, 0.0, height]), OUT * depth - UP * drop
        canvas.patch(a, X * length, slope, 0.15, stripes, flip=True)
        canvas.patch(a - 0.02 * UP, X * length, slope, 0.2, lambda p: stripes(p) * 0.7)
        canvas.patch(a + slope - UP * 0.22, X * length, UP * 0.22, 0.14, stripes)
        canvas.thin_solid(a, a + X * length, slope)


def balcony(
    canvas: Canvas,
    start,
    end,
    along: float,
    height: float,
    width: float,
    colour: np.ndarray,
    base: float = 0.0,
) -> None:
    """A balcony with a railing on a front from start to end."""
    x, y, yaw, _ = front_frame(start, end)
    with canvas.at(x, y, yaw, z=base):
        canvas.box(
            along,
            -1.0,
            height - 0.16,
            along + width,
            0.0,
            height,
            0.2,
            flat(tone("b9b3a8")),
            "sewtb",
            solid=False,
        )
        canvas.thin_solid((along, 0, height - 0.05), (along + width, 0, height - 0.05), OUT)
        for s in np.arange(along, along + width + 0.01, 0.14):
            canvas.bar((s, -0.97, height), (s, -0.97, height + 1.0), 0.025, OUT, colour, 0.25)
        canvas.bar(
            (along, -0.98, height + 1.0),
            (along + width, -0.98, height + 1.0),
            0.06,
            OUT,
            colour,
            0.25,
        )
        for s in (along, along + width):
            canvas.bar((s, -0.97, height + 1.0), (s, 0, height + 1.0), 0.05, X, colour, 0.25)


def steps(
    canvas: Canvas, x: float, y: float, yaw: float, width: float, count: int, colour: Colour, z: float,
    rise: float = 0.15, tread: float = 0.34,
) -> None:  # fmt: skip
    """A flight of steps up from the frame's z: it begins at (x, y), climbs along yaw, and lies to
    the left of that line.

    Sets the ground; `tread` should be at least 0.3 so that each step has cells of its own.
    """
    with canvas.at(x, y, yaw, z=z):
        for k in range(count):
            low, high, near, far = k * rise, (k + 1) * rise, k * tread, (k + 1) * tread
            canvas.patch(
                (near, 0, low), (0, width, 0), UP * rise, 0.15, lambda p: colour(p) * 0.7, flip=True
            )
            canvas.patch(
                (near, 0, high),
                (tread, 0, 0),
                (0, width, 0),
                0.15,
                lambda p: np.clip(colour(p) * 1.08, 0, 1),
            )
            canvas.bar(
                (near, 0, high + 0.005),
                (near, width, high + 0.005),
                0.06,
                UP,
                colour(np.array([[near, 0.0, high]]))[0] * 1.2,
                0.2,
            )
            canvas.level(near, 0, far, width, high, "stairs")


def ramp(
    canvas: Canvas, x: float, y: float, yaw: float, width: float, length: float, z0: float, z1: float, colour: Colour,
    surface: str = "sidewalk",
) -> None:  # fmt: skip
    """A slope from z0 at (x, y) to z1 `length` metres along yaw, to the left of that line; sets the
    ground.
    """
    with canvas.at(x, y, yaw, z=z0):
        canvas.patch((0, 0, 0), (length, 0, z1 - z0), (0, width, 0), 0.18, colour)
        slope: Callable = lambda s, t: (z1 - z0) * np.clip(s / length, 0, 1)  # noqa: E731
        canvas.level(0, 0, length, width, slope, surface)
