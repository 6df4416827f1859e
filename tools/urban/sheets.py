"""Sheets of any shape and what is built of them: walls with windows, doors, plants, fences,
barriers, prisms, rods.

Each paints itself on a `Canvas` and marks what stands in the way. Lengths are metres, colours RGB
in 0..1; `z` is the height of the ground that a part stands on. Walls are seen from the right of the
way from their start to their end.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np

from tools.urban.paint import CELL_M, UP, Canvas, Height
from tools.urban.surfaces import Colour, hexes, mottle

BLACK, STEEL, CONCRETE = hexes("1d1d1f", "8f959a", "a09c94")
GLASS, RUBBER, TIMBER = hexes("37444d", "222224", "84603e")
_THIN_M = 0.008


def stained(
    tone: np.ndarray, grain: float = 0.06, seed: int = 31, frequency: float = 1.3
) -> Colour:
    """One tone with smooth stains of the relative size `grain`."""

    def colour(p: np.ndarray) -> np.ndarray:
        x, y = p[:, 0] + 0.37 * p[:, 2], p[:, 1] - 0.61 * p[:, 2]
        return (
            tone
            * (
                1
                + grain * mottle(x, y, frequency, seed)
                + 0.5 * grain * mottle(x, y, 4.3 * frequency, seed + 1)
            )[:, None]
        )

    return colour


def turned(local: np.ndarray, x: float, y: float, yaw: float, z: float = 0.0) -> np.ndarray:
    """(..., 3) world points of points in the frame of something that stands at x, y, z and looks
    along yaw.
    """
    c, s = np.cos(yaw), np.sin(yaw)
    lx, ly, lz = np.moveaxis(np.asarray(local, float), -1, 0)
    return np.stack([x + c * lx - s * ly, y + s * lx + c * ly, z + lz], -1)


def moved(x: float, y: float, yaw: float, ahead: float, left: float = 0.0) -> tuple[float, float]:
    """The point `ahead` and to the `left` of something that stands at x, y and looks along yaw."""
    c, s = float(np.cos(yaw)), float(np.sin(yaw))
    return x + c * ahead - s * left, y + s * ahead + c * left


def skin(
    canvas: Canvas, points: np.ndarray, colour: Colour | np.ndarray, *, flip: bool = False, sigma: float = 0.62,
    opacity: float = 0.97, gloss: float | np.ndarray = 0.0, glow: float = 0.0,
) -> None:  # fmt: skip
    """Covers the sheet through a lattice of points (R, C, 3) with one Gaussian a mesh; it is seen
    from the side of rows x columns.

    `colour` is a function of the meshes' centres or (R - 1, C - 1, 3) colours, `gloss` a number or
    (R - 1, C - 1).
    """
    a, b, c, d = points[:-1, :-1], points[1:, :-1], points[:-1, 1:], points[1:, 1:]
    rows, columns = ((b + d - a - c) / 2).reshape(-1, 3), ((c + d - a - b) / 2).reshape(-1, 3)
    shift = canvas.rng.normal(0, 0.05, (2, len(rows), 1))  # a lattice without it shows as moire
    centre = ((a + b + c + d) / 4).reshape(-1, 3) + shift[0] * rows + shift[1] * columns
    normal = np.cross(rows, columns) * (-1 if flip else 1)
    long, wide = np.linalg.norm(rows, axis=1), np.linalg.norm(columns, axis=1)
    good = np.linalg.norm(normal, axis=1) > 1e-3 * np.maximum(long, wide) ** 2 + 1e-9
    tone = colour(centre) if callable(colour) else np.asarray(colour).reshape(-1, 3)
    tone = tone * canvas.rng.normal(1, 0.025, (len(centre), 1))
    shine = np.broadcast_to(np.ravel(gloss), len(centre))[good]
    scales = np.stack([sigma * long, sigma * wide, np.full(len(long), _THIN_M)], 1)
    canvas.discs(
        centre[good],
        rows[good],
        normal[good],
        scales[good],
        tone[good],
        opacity,
        gloss=shine,  # pyright: ignore[reportArgumentType]
        glow=glow,
    )


def lay(
    canvas: Canvas, low: tuple[float, float], high: tuple[float, float], step: float, colour: Colour, height: Height = 0.0,
    surface: str | None = None, keep: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None, gloss: float = 0.0,
) -> None:  # fmt: skip
    """Paints ground over the rectangle low..high where `keep` (of x and y) holds, and says that one
    stands there.
    """
    canvas.sheet(*low, *high, step, colour, height, keep, gloss)
    canvas.level(*low, *high, height, surface, keep)


def sheet(
    canvas: Canvas,
    path: np.ndarray,
    z0: float | np.ndarray,
    z1: float | np.ndarray,
    step: float,
    colour: Colour,
) -> None:
    """An upright sheet over a path (k, 2) from heights z0 to z1 (numbers or one a point), seen from
    the path's right.
    """
    path = np.asarray(path, float)
    along = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(path, axis=0), axis=1))])
    s = np.linspace(0, along[-1], max(round(along[-1] / step), 1) + 1)
    low, high = (np.interp(s, along, np.broadcast_to(z, len(path))) for z in (z0, z1))
    rise = np.linspace(0, 1, max(round(float((high - low).max()) / step), 1) + 1)
    x, y = (np.interp(s, along, path[:, i])[:, None] + 0 * rise for i in range(2))
    skin(canvas, np.stack([x, y, low[:, None] + (high - low)[:, None] * rise], -1), colour)


def strip(
    canvas: Canvas, path: np.ndarray, width: float, z: float, step: float, colour: Colour
) -> None:
    """A level band of a width over a path (k, 2): a kerb's top, a wall's coping, a painted line."""
    path = np.asarray(path, float)
    along = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(path, axis=0), axis=1))])
    s = np.linspace(0, along[-1], max(round(along[-1] / step), 1) + 1)
    middle = np.stack([np.interp(s, along, path[:, i]) for i in range(2)], -1)
    ahead = np.gradient(middle, axis=0)
    ahead /= np.linalg.norm(ahead, axis=1, keepdims=True)
    left = np.stack([-ahead[:, 1], ahead[:, 0]], -1)
    across = np.linspace(-0.5, 0.5, max(round(width / step), 1) + 1) * width
    flat_points = middle[:, None] + left[:, None] * across[:, None]
    skin(canvas, np.concatenate([flat_points, np.full((*flat_points.shape[:2], 1), z)], -1), colour)


def rod(
    canvas: Canvas, path: np.ndarray, radius: float, tone: np.ndarray, step: float = 0.12
) -> None:
    """A round bar along a path (k, 3)."""
    for a, b in pairwise(np.asarray(path, float)):
        length = float(np.linalg.norm(b - a))
        count = max(round(length / step), 1)
        points = a + ((np.arange(count) + 0.5) / count)[:, None] * (b - a)
        side = canvas.rng.normal(size=(count, 3)) + 0.6 * UP
        scales = (0.55 * length / count, 0.8 * radius, 0.8 * radius)
        canvas.discs(
            points,
            np.tile(b - a, (count, 1)),
            side,
            scales,
            tone * canvas.rng.normal(1, 0.05, (count, 1)),
            0.95,
        )


def prism(canvas: Canvas, corners: np.ndarray, z0: float, z1: float) -> None:
    """Marks the upright prism over a convex polygon (k, 2), counter-clockwise, as solid; cells
    whose centre it covers.
    """
    corners = np.asarray(corners, float)
    first = np.maximum(np.floor((corners.min(0) - canvas.low[:2]) / CELL_M).astype(int), 0)
    last = np.minimum(
        np.ceil((corners.max(0) - canvas.low[:2]) / CELL_M).astype(int), canvas.grid.shape[:2]
    )
    x, y = (canvas.low[i] + (np.arange(first[i], last[i]) + 0.5) * CELL_M for i in range(2))
    inside = np.ones((len(x), len(y)), bool)
    for a, b in pairwise([*corners, corners[0]]):
        inside &= (b[0] - a[0]) * (y[None] - a[1]) - (b[1] - a[1]) * (x[:, None] - a[0]) >= -1e-9
    k0, k1 = (max(round(float(z - canvas.low[2]) / CELL_M), 0) for z in (z0, z1))
    canvas.grid[first[0] : last[0], first[1] : last[1], k0 : max(k1, k0 + 1)] |= inside[:, :, None]


def footprint(x: float, y: float, yaw: float, length: float, width: float) -> np.ndarray:
    """(4, 2) corners of a rectangle, counter-clockwise."""
    half = np.array([[-length, -width], [length, -width], [length, width], [-length, width]]) / 2
    return turned(np.column_stack([half, np.zeros(4)]), x, y, yaw)[:, :2]


def barrier(canvas: Canvas, path: np.ndarray, z0: float, z1: float) -> None:
    """Marks a thin upright thing over a path (k, 2) as solid: a fence, a railing, a pane."""
    for a, b in pairwise(np.asarray(path, float)):
        at = a + np.linspace(0, 1, int(np.linalg.norm(b - a) / 0.04) + 2)[:, None] * (b - a)
        cells = np.floor((at - canvas.low[:2]) / CELL_M).astype(int)
        cells = cells[((cells >= 0) & (cells < canvas.grid.shape[:2])).all(axis=1)]
        k0, k1 = (max(round(z / CELL_M), 0) for z in (z0, z1))
        canvas.grid[cells[:, 0], cells[:, 1], k0 : max(k1, k0 + 1)] = True


def block(
    canvas: Canvas, x: float, y: float, yaw: float, size: tuple[float, float, float], step: float, colour: Colour,
    z: float = 0.0, solid: bool = True, taper: float = 1.0,
) -> None:  # fmt: skip
    """A box of length, width, height that is turned by yaw; its top is `taper` times as large as
    its foot.
    """
    length, width, height = size
    ring = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1], [-1, -1]]) / 2 * (length, width)
    for a, b in pairwise(ring):
        s = np.linspace(0, 1, max(round(float(np.linalg.norm(b - a)) / step), 1) + 1)[:, None, None]
        t = np.linspace(0, 1, max(round(height / step), 1) + 1)[None, :, None]
        plan = (a + s * (b - a)) * (1 + (taper - 1) * t)
        skin(
            canvas,
            turned(
                np.concatenate([plan, np.broadcast_to(t * height, (*plan.shape[:2], 1))], -1),
                x,
                y,
                yaw,
                z,
            ),
            colour,
        )
    u, v = (
        np.linspace(-0.5, 0.5, max(round(e / step), 1) + 1) * e * taper for e in (length, width)
    )
    top = np.stack([*np.meshgrid(u, v, indexing="ij"), np.full((len(u), len(v)), height)], -1)
    skin(canvas, turned(top, x, y, yaw, z), colour)
    if solid:
        prism(canvas, footprint(x, y, yaw, length, width), z, z + height)


def window(
    canvas: Canvas,
    corner,
    along,
    out,
    width: float,
    height: float,
    frame: np.ndarray,
    glass: np.ndarray,
    bars=(1, 1),
) -> None:
    """A window set 0.12 m into a wall: glass that mirrors sky above and street below, reveals, a
    frame with `bars` panes, a sill.
    """
    deep = corner - 0.12 * out
    shift = float(canvas.rng.uniform(0, 9))

    def mirror(p: np.ndarray) -> np.ndarray:
        s, t = (p - corner) @ along, (p[:, 2] - corner[2]) / height
        streak = mottle(s + shift, 0.6 * p[:, 2], 0.7, 41)
        return glass * (0.55 + 0.8 * t + 0.35 * np.maximum(streak, 0))[:, None]

    canvas.patch(deep, along * width, UP * height, 0.15, mirror, gloss=0.6)
    for t, face in ((0.0, UP), (height, -UP)):
        canvas.bar(
            corner - 0.06 * out + UP * t,
            corner - 0.06 * out + along * width + UP * t,
            0.14,
            face,
            frame * 0.85,
            0.2,
        )
    for s, face in ((0.0, along), (width, -along)):
        canvas.bar(
            corner - 0.06 * out + along * s,
            corner - 0.06 * out + along * s + UP * height,
            0.14,
            face,
            frame * 0.8,
            0.2,
        )
    front = deep + 0.02 * out
    for s in np.linspace(0, width, bars[0] + 1):
        canvas.bar(front + along * s, front + along * s + UP * height, 0.06, out, frame, 0.25)
    for t in np.linspace(0, height, bars[1] + 1):
        canvas.bar(front + UP * t, front + along * width + UP * t, 0.06, out, frame, 0.25)
    sill = corner + 0.04 * out - 0.04 * UP
    canvas.bar(sill - along * 0.08, sill + along * (width + 0.08), 0.07, out, frame * 0.9, 0.25)


def wall(
    canvas: Canvas, start, end, height: float, colour: Colour, *, z: float = 0.0, step: float = 0.16, windows: Sequence[tuple] = (),
    frame: np.ndarray = STEEL, glass: np.ndarray = GLASS, doors: Sequence[tuple] = (), openings: Sequence[tuple] = (),
    bars: tuple[int, int] = (2, 2), thick: float = 0.4,
) -> None:  # fmt: skip
    """A wall with windows (s, t, width, height), doors (s, width, height, tone) and rectangular
    openings (s0, s1, t0, t1).

    It is finer below 2.6 m, where robots look. The `thick` metres behind it are solid, but for its
    openings.
    """
    a, b = np.array([*start, z], float), np.array([*end, z], float)
    length = float(np.linalg.norm(b - a))
    along = (b - a) / length
    out = np.cross(along, UP)
    holes = [list(o) for o in openings]
    holes += [[s, s + w, t, t + h] for s, t, w, h in windows] + [
        [s, s + w, 0.0, h] for s, w, h, _ in doors
    ]
    low = min(2.6, height)
    for t0, t1, size in ((0.0, low, step), (low, height, 1.6 * step)):
        if t1 - t0 > 0.05:
            cut = [[h[0], h[1], h[2] - t0, h[3] - t0] for h in holes]
            canvas.patch(a + UP * t0, along * length, UP * (t1 - t0), size, colour, 0.62, cut)
    for s, t, w, h in windows:
        window(canvas, a + along * s + UP * t, along, out, w, h, frame, glass, bars)
    for s, w, h, tone in doors:
        door(canvas, a + along * s, along, out, w, h, np.asarray(tone), frame)
    depth = -out * thick
    corners = np.stack([a, a + depth, b + depth, b])[:, :2]
    before = canvas.grid.copy() if openings else canvas.grid
    prism(canvas, corners[::-1] if _clockwise(corners) else corners, z, z + height)
    for s0, s1, t0, t1 in openings:
        gap = np.stack([a + along * s0 + 0.05 * out, a + along * s1 + 1.1 * depth])
        cut = canvas._slices([*gap.min(0)[:2], z + t0], [*gap.max(0)[:2], z + t1])
        canvas.grid[cut] = before[cut]


def _clockwise(corners: np.ndarray) -> bool:
    x, y = corners.T
    return bool(np.sum(x * np.roll(y, -1) - y * np.roll(x, -1)) < 0)


def door(
    canvas: Canvas,
    corner,
    along,
    out,
    width: float,
    height: float,
    tone: np.ndarray,
    frame: np.ndarray,
) -> None:
    """A boarded door 0.1 m deep in its frame."""

    def boards(p: np.ndarray) -> np.ndarray:
        s = (p - corner) @ along
        return (
            tone
            * (
                0.85
                + 0.25 * ((np.floor(s / 0.17) * 7) % 3) / 3
                + 0.07 * mottle(9 * s, p[:, 2], 0.7, 43)
            )[:, None]
        )

    canvas.patch(corner - 0.1 * out, along * width, UP * height, 0.11, boards, 0.62)
    for s, face in ((0.0, along), (width, -along)):
        canvas.bar(
            corner - 0.05 * out + along * s,
            corner - 0.05 * out + along * s + UP * height,
            0.12,
            face,
            frame * 0.8,
            0.2,
        )
        canvas.bar(
            corner + 0.02 * out + along * s,
            corner + 0.02 * out + along * s + UP * height,
            0.09,
            out,
            frame,
            0.25,
        )
    canvas.bar(corner + UP * height, corner + along * width + UP * height, 0.12, out, frame, 0.25)
    knob = corner + along * 0.86 * width + UP * 1.02 - 0.06 * out
    canvas.bar(knob, knob + UP * 0.14, 0.035, out, STEEL, 0.07)


def leaves(
    canvas: Canvas,
    points: np.ndarray,
    size: float,
    dark: np.ndarray,
    light: np.ndarray,
    lean: np.ndarray | None = None,
) -> None:
    """Leaves at points (n, 3), lighter towards the top of what they belong to; `lean` are their
    mean normals.
    """
    n, rng = len(points), canvas.rng
    normal = rng.normal(0, 1, (n, 3)) if lean is None else lean + rng.normal(0, 0.6, (n, 3))
    rise = (points[:, 2] - points[:, 2].min()) / max(float(np.ptp(points[:, 2])), 1e-3)
    mix = np.clip(0.65 * rng.random(n) + 0.35 * rise, 0, 1)[:, None]
    scale = size * rng.uniform(0.6, 1.4, (n, 1)) * np.array([1.0, 0.6, 0.2])
    canvas.discs(
        points, rng.normal(size=(n, 3)), normal, scale, dark + (light - dark) * mix, 0.92, leaf=True
    )
    canvas.mark_shade(points)


def hedge(
    canvas: Canvas, path: np.ndarray, width: float, height: float, tone: np.ndarray, z: float = 0.0
) -> None:
    """A clipped hedge over a path (k, 2): leaves on a box with soft edges round a dark core."""
    rng = canvas.rng
    for a, b in pairwise(np.asarray(path, float)):
        length = float(np.linalg.norm(b - a))
        ahead = (b - a) / length
        side = np.array([-ahead[1], ahead[0]])
        yaw = float(np.arctan2(ahead[1], ahead[0]))
        x, y = (a + b) / 2
        block(canvas, x, y, yaw, (length, 0.72 * width, 0.9 * height), 0.22, stained(tone * 0.4), z)
        prism(canvas, footprint(x, y, yaw, length, width), z, z + height)
        n = int(length * (2 * height + width) * 230)
        s, around = rng.random(n) * (length + 0.1) - 0.05, rng.random(n) * (2 * height + width)
        across = np.clip(around - height, 0, width) - width / 2
        up = np.minimum(np.minimum(around, 2 * height + width - around), height)
        bulge = 0.05 * mottle(s, around, 0.9, 61) + rng.normal(0, 0.035, n)
        across, up = across * (1 + 1.6 * bulge), up * (1 + 0.9 * bulge)
        points = np.column_stack(
            [a + s[:, None] * ahead + across[:, None] * side, z + np.maximum(up, 0.03)]
        )
        lean = np.column_stack([side * (2 * across / width)[:, None], (up > 0.9 * height) * 1.0])
        leaves(canvas, points, 0.055, tone * 0.62, tone * 1.35, lean)


def shrub(
    canvas: Canvas,
    x: float,
    y: float,
    radius: float,
    height: float,
    tone: np.ndarray,
    z: float = 0.0,
    solid=True,
) -> None:
    """A round bush."""
    n = int(420 * radius * (radius + height))
    way = canvas.rng.normal(size=(n, 3))
    way /= np.linalg.norm(way, axis=1, keepdims=True)
    reach = canvas.rng.random((n, 1)) ** 0.22 * (
        1 + 0.14 * mottle(3 * way[:, :1], 3 * way[:, 1:2] + way[:, 2:], 0.5, 62)
    )
    points = np.array([x, y, z + 0.52 * height]) + way * reach * (radius, radius, 0.55 * height)
    points[:, 2] = np.maximum(points[:, 2], z + 0.03)
    leaves(canvas, points, 0.06, tone * 0.5, tone * 1.3, way)
    if solid:
        prism(canvas, footprint(x, y, 0.4, 1.5 * radius, 1.5 * radius), z, z + height)


def tree(
    canvas: Canvas,
    x: float,
    y: float,
    height: float,
    crown: float,
    tone: np.ndarray,
    z: float = 0.0,
    trunk=0.16,
) -> None:
    """A broad-leaved tree: flared trunk, boughs, and clumps of leaves about their ends."""
    rng, fork = canvas.rng, 0.42 * height
    bark = hexes("6a5a48")[0]
    t, angle = np.meshgrid(
        np.linspace(0, 1, int(fork / 0.14) + 2), np.linspace(0, 2 * np.pi, 10), indexing="ij"
    )
    r = (
        trunk
        * (1 - 0.3 * t + 0.5 * np.exp(-t * fork / 0.25))
        * (1 + 0.08 * np.sin(3 * angle + 5 * t))
    )
    points = np.stack([x + r * np.cos(angle), y + r * np.sin(angle), z + t * fork], -1)
    skin(canvas, points, stained(bark, 0.22, 63, 3.0), flip=True)
    prism(canvas, footprint(x, y, 0.0, 2.3 * trunk, 2.3 * trunk), z, z + fork)
    for k in range(9):
        yaw, lift = 2.4 * k + rng.uniform(-0.4, 0.4), rng.uniform(0.15, 1.0)
        out = crown * np.sqrt(max(1 - 0.8 * lift**2, 0.1)) * rng.uniform(0.55, 0.8)
        end = np.array(
            [x + out * np.cos(yaw), y + out * np.sin(yaw), z + fork + lift * (height - fork) * 0.86]
        )
        start = np.array([x, y, z + fork * rng.uniform(0.8, 1.0)])
        bend = (start + end) / 2 + rng.normal(0, 0.12, 3) + (0, 0, 0.12)
        rod(canvas, np.stack([start, bend, end]), 0.05, bark * 0.9, 0.25)
        for _ in range(3):
            centre, size = (
                end + rng.normal(0, 0.32 * crown, 3) * (1, 1, 0.55),
                crown * rng.uniform(0.28, 0.42),
            )
            n = int(170 * size / 0.5)
            way = rng.normal(size=(n, 3))
            way /= np.linalg.norm(way, axis=1, keepdims=True)
            at = centre + way * rng.random((n, 1)) ** 0.35 * (size, size, 0.75 * size)
            at[:, 2] = np.maximum(at[:, 2], z + 1.9)
            leaves(canvas, at, 0.095, tone * 0.55, tone * 1.35, way)


def tufts(canvas: Canvas, points: np.ndarray, height: float, tone: np.ndarray) -> None:
    """Blades of grass at points (n, 3), fanned out."""
    n, rng = len(points), canvas.rng
    lean = np.column_stack([rng.normal(0, 0.35, (n, 2)), np.ones(n)])
    tall = height * rng.uniform(0.5, 1.2, (n, 1))
    tone = tone * rng.uniform(0.65, 1.3, (n, 1)) * (1 + rng.normal(0, 0.05, (n, 3)))
    scales = np.concatenate([0.5 * tall, np.full((n, 1), 0.014), np.full((n, 1), 0.008)], 1)
    normal = np.column_stack([rng.normal(size=(n, 2)), np.full(n, 0.4)])
    canvas.discs(points + lean * tall * 0.45, lean, normal, scales, tone, 0.85, leaf=True)


def fence(
    canvas: Canvas, path: np.ndarray, height: float, tone: np.ndarray, z: float = 0.0, pitch: float = 0.13, post: float = 2.4,
    rails: Sequence[float] = (0.12, 0.96), board: float = 0.022,
) -> None:  # fmt: skip
    """A fence of upright bars or boards between posts; a railing when the pitch is wide and the
    rails are many.
    """
    for a, b in pairwise(np.column_stack([np.asarray(path, float), np.full(len(path), z)])):
        length = float(np.linalg.norm(b - a))
        for s in np.linspace(0, 1, max(round(length / post), 1) + 1):
            rod(
                canvas,
                np.stack([a + s * (b - a), a + s * (b - a) + UP * (height + 0.04)]),
                0.035,
                tone * 0.9,
                0.2,
            )
        for level in rails:
            rod(canvas, np.stack([a, b]) + UP * level * height, 0.024, tone, 0.35)
        count, levels = int(length / pitch), max(round(height / 0.065), 2)
        s, t = (
            g.ravel()
            for g in np.meshgrid(
                (np.arange(count) + 0.5) / max(count, 1), (np.arange(levels) + 0.5) / levels
            )
        )
        points = (
            a
            + s[:, None] * (b - a)
            + UP * (rails[0] + t * (rails[-1] - rails[0]))[:, None] * height
        )
        scales = (0.56 * height * (rails[-1] - rails[0]) / levels, max(0.42 * board, 0.011), 0.011)
        side = np.cross(b - a, UP) / length + canvas.rng.normal(
            0, min(0.5, 0.01 / board), (len(s), 3)
        )
        canvas.discs(
            points,
            np.tile(UP, (len(s), 1)),
            side,
            scales,
            tone * canvas.rng.normal(1, 0.05, (len(s), 1)),
            0.9,
        )
        barrier(canvas, np.stack([a, b])[:, :2], z + 0.3, z + 0.5)
        barrier(canvas, np.stack([a, b])[:, :2], z + 0.9 * height, z + height)


def pane(
    canvas: Canvas,
    a: np.ndarray,
    u: np.ndarray,
    v: np.ndarray,
    tone: np.ndarray,
    opacity: float = 0.12,
) -> None:
    """A sheet of glass that lets the place behind it show."""
    length, height = np.linalg.norm(u), np.linalg.norm(v)
    s, t = (
        np.linspace(0, 1, max(round(float(length) / 0.3), 1) + 1),
        np.linspace(0, 1, max(round(float(height) / 0.3), 1) + 1),
    )
    lattice = (
        np.asarray(a, float)
        + s[:, None, None] * np.asarray(u, float)
        + t[None, :, None] * np.asarray(v, float)
    )
    skin(canvas, lattice, stained(tone, 0.15), opacity=opacity, gloss=0.5)
