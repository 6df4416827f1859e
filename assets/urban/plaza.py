"""`plaza`: an old-town plaza as Gaussian splats, from geometry.

The place is 34 x 24 m with an arcade along its north side and a passage in the east. Surfaces become flat Gaussians
closed by overlap; `splat_paint.py` samples them and bakes sun, sky and contact shadow into their colours. Everything
follows from one seed. Occupancy and anchors come from the same solids that cast the shadows.
"""

import sys
from itertools import pairwise
from pathlib import Path

import numpy as np

from s2e.assets.urban.paint import Canvas, bake, hexes, mottle
from s2e.envs.occupancy import Occupancy
from s2e.envs.propose import free_anchors, largest_region
from s2e.envs.scene import Sky
from s2e.envs.scene_files import write_scene

X0, X1, Y0, Y1, PASSAGE = -17.0, 17.0, -12.0, 12.0, 22.0
ARCADE_Y, ARCADE_END = 9.0, 8.0
FOUNTAIN = (-2.0, -0.5, 2.3)
SKY = Sky(zenith=(122.0, 158.0, 205.0), horizon=(238.0, 222.0, 196.0), fog_m=400.0)
UP = np.array([0.0, 0.0, 1.0])
STONE, DARK_STONE = hexes("c9b79a"), hexes("94866f")
WOOD, IRON, LEAF = hexes("7a4f2e"), hexes("2e2f31"), hexes("5e7a34")


def paving(canvas: Canvas) -> None:
    """Slabs of 0.6 m with joints, a ring of cobbles round the fountain, light bands, dirt along the walls."""
    tones = hexes("ab9a80", "97856a", "857a6b", "b09d7d", "766d60", "93745b", "8a7f79")
    slab, rng = 0.6, canvas.rng

    def colour(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        column, row = np.floor(x / slab).astype(int), np.floor(y / slab).astype(int)
        pick = (column * 7349 + row * 9151 + column * row * 31) % 1009
        base = tones[pick % len(tones)] * (0.76 + 0.42 * ((pick * 37) % 101) / 101)[:, None]
        from_fountain = np.hypot(x - FOUNTAIN[0], y - FOUNTAIN[1])
        ring = (from_fountain > 3.0) & (from_fountain < 4.4)
        base[ring] = hexes("6e675e")[0] * rng.uniform(0.75, 1.3, (ring.sum(), 1))
        band = (np.abs((x + 0.3) % 7.2 - 0.6) < 0.3) | (np.abs((y - 0.3) % 7.2 - 0.6) < 0.3)
        base[band & ~ring] = hexes("c4b596")[0] * rng.uniform(0.9, 1.05, ((band & ~ring).sum(), 1))
        edge = np.minimum(np.minimum(x - X0, X1 - x), np.minimum(y - Y0, Y1 - y))
        dirt = 0.14 * mottle(x, y, 0.3, 1) + 0.1 * mottle(x, y, 1.1, 2) - 0.3 * np.exp(-np.maximum(edge, 0) / 0.5)
        wet = np.clip(1.2 - np.abs(from_fountain - 2.6 - 0.4 * mottle(x, y, 1.5, 3)) / 0.5, 0, 1) * 0.3
        return np.clip(base * (1 + dirt - wet)[:, None], 0.02, 1)

    for x0, x1, y0, y1, step in ((X0, X1, Y0, Y1, 0.2), (X1, PASSAGE, -2.4, 1.2, 0.2)):
        canvas.patch((x0, y0, 0), (x1 - x0, 0, 0), (0, y1 - y0, 0), step, lambda p: colour(p[:, 0], p[:, 1]), 0.64)
    for along, across in ((0, 1), (1, 0)):
        low, high = np.array([X0, Y0]), np.array([X1, Y1])
        lines = np.arange(np.ceil(low[across] / slab), high[across] / slab) * slab
        stops = np.arange(low[along] + slab / 2, high[along], slab)
        middle = np.zeros((len(lines) * len(stops), 3))
        middle[:, across], middle[:, along] = np.repeat(lines, len(stops)), np.tile(stops, len(lines))
        middle[:, :2] += rng.normal(0, 0.008, (len(middle), 2))
        middle = middle[rng.random(len(middle)) < 0.86]
        direction = np.eye(3)[along]
        shade = hexes("4f463b")[0] * rng.uniform(0.8, 1.2, (len(middle), 1))
        canvas.discs(middle + 0.004 * UP, np.tile(direction, (len(middle), 1)), UP, (0.2, 0.016, 0.003), shade, 0.75)


def litter(canvas: Canvas) -> None:
    """Fallen leaves under the trees and along walls, weeds at the feet of the walls."""
    rng = canvas.rng
    tones = hexes("8a6a2f", "a4552b", "6f7a35", "b58b3c")
    for x, y in ((6.3, -6.3), (11.8, 4.2), (-10.2, -6.2), (-15.5, 10.6), (15.6, -11.0)):
        at = np.column_stack([np.array([x, y]) + rng.normal(0, 1.5, (70, 2)), np.full(70, 0.012)])
        at = at[(np.abs(at[:, 0]) < X1 - 0.1) & (np.abs(at[:, 1]) < Y1 - 0.1)]
        tone = tones[rng.integers(0, len(tones), len(at))]
        canvas.discs(at, rng.normal(size=(len(at), 3)), UP, (0.045, 0.022, 0.004), tone, 0.9)
    for _ in range(26):
        s, side = rng.uniform(-16, 16), rng.choice([-1, 1])
        canvas.cloud((s, side * (Y1 - 0.07), 0.05), (0.16, 0.06, 0.07), 14, 0.035, LEAF[0] * 0.6, LEAF[0] * 1.1)


def window(canvas: Canvas, place, along, out, width: float, height: float, shutter: np.ndarray, lit: bool) -> None:
    """A window whose lower left corner is `place`: glass, frame, sill, and shutters of the colour unless it is black."""
    glass = hexes("e8c07a")[0] if lit else hexes("3a4650")[0]

    def reflect(p: np.ndarray) -> np.ndarray:
        rise = np.clip((p[:, 2] - place[2]) / height, 0, 1)[:, None]
        return glass * (0.6 + 0.9 * rise) + 0.06 * mottle(p @ along, p[:, 2], 3.0, 4)[:, None]

    inset = place - 0.06 * out
    canvas.patch(inset, along * width, UP * height, 0.21, reflect, 0.62)
    frame = hexes("e9e0cd")[0]
    for s in (0.0, 0.5, 1.0):
        canvas.bar(place + along * width * s, place + along * width * s + UP * height, 0.035, out, frame, 0.3)
    for t in (0.0, 0.62, 1.0):
        canvas.bar(place + UP * height * t, place + along * width + UP * height * t, 0.035, out, frame, 0.3)
    sill = place - 0.06 * UP + 0.06 * out
    canvas.bar(sill - along * 0.12, sill + along * (width + 0.12), 0.06, out, STONE[0] * 1.1, 0.25)
    if not shutter.any():
        return
    for s in (-0.5 * width, width):
        corner = place + along * (s + 0.02) + 0.05 * out

        def slats(p: np.ndarray, base: float = corner[2]) -> np.ndarray:
            return shutter * (0.82 + 0.3 * (np.floor((p[:, 2] - base) / 0.16) % 2))[:, None]

        canvas.patch(corner, along * (0.5 * width - 0.04), UP * height, 0.16, slats, 0.6)


def door(canvas: Canvas, place, along, out, width: float, height: float, colour: np.ndarray) -> None:
    """A panelled door in a stone frame; `place` is its lower left corner."""

    def panels(p: np.ndarray) -> np.ndarray:
        s, t = (p - place) @ along / width, p[:, 2] / height
        inner = (np.abs(s % 0.5 - 0.25) < 0.15) & (np.abs(t % 0.34 - 0.17) < 0.12)
        return colour * np.where(inner, 0.72, 1.0)[:, None]

    canvas.patch(place - 0.08 * out, along * width, UP * height, 0.14, panels, 0.62)
    for s in (-0.09, width + 0.09):
        canvas.bar(place + along * s, place + along * s + UP * (height + 0.1), 0.1, out, STONE[0], 0.22)
    canvas.bar(place - along * 0.2 + UP * (height + 0.1), place + along * (width + 0.2) + UP * (height + 0.1), 0.12,
               out, STONE[0] * 1.05, 0.22)  # fmt: skip
    canvas.bar(place + along * 0.85 * width + UP, place + along * 0.85 * width + UP * 1.12, 0.03, out, hexes("c8a24a")[0],
               0.06)  # fmt: skip


def facade(
    canvas: Canvas, start: tuple[float, float], end: tuple[float, float], height: float, wall: np.ndarray,
    shutter: np.ndarray, base: float = 0.0, doors: tuple[float, ...] = (), openings: tuple[tuple[float, ...], ...] = (),
    windows_from: float = 0.0, solid: bool = True,
) -> None:  # fmt: skip
    """A house front from start to end, the plaza on the left of that direction turned round the up axis.

    `doors` are places along the front, `openings` are rectangles (s0, s1, t0, t1) left free, windows start above
    `windows_from`.
    """
    a = np.array([*start, base])
    along = np.array([end[0] - start[0], end[1] - start[1], 0.0])
    length = float(np.linalg.norm(along))
    along = along / length
    out = np.cross(along, UP)
    holes = [list(o) for o in openings]
    fittings = []
    pitch = length / max(round(length / 2.9), 1)
    floors = [t for t in (1.0, 4.3, 7.2) if t + 1.9 < height + base and t >= windows_from]
    for floor in floors:
        for s in np.arange(pitch / 2, length, pitch):
            w, h = (1.0, 1.35) if floor > 2 else (1.0, 1.25)
            box = [s - w / 2, s + w / 2, floor - base, floor + h - base]
            blocked = any(box[0] < o[1] + 0.6 and box[1] > o[0] - 0.6 and box[2] < o[3] + 0.3 for o in openings)
            if blocked or (floor < 2 and any(abs(s - d) < 1.5 for d in doors)):
                continue
            holes.append(box)
            fittings.append((a + along * box[0] + UP * box[2], w, h, floor < 2))
    for d in doors:
        holes.append([d - 0.6, d + 0.6, 0.0, 2.35])
        tone = hexes("5b3a24", "2f4a45", "6d2f28")[int(d * 7) % 3]
        door(canvas, a + along * (d - 0.6), along, out, 1.2, 2.35, tone)

    def colour(p: np.ndarray) -> np.ndarray:
        s, t = (p - a) @ along, p[:, 2]
        stain = 0.1 * mottle(s, t, 0.6, 5) + 0.07 * mottle(s * 4, t * 0.4, 1.0, 6)
        tone = wall * (1 + stain + 0.04 * np.tanh(t - 2))[:, None]
        plinth = t < 0.65 + 0.05 * mottle(s, t, 2.0, 7)
        tone[plinth] = DARK_STONE[0] * (1 + 0.15 * mottle(s[plinth] * 2, t[plinth] * 2, 1.5, 8))[:, None]
        bare = (mottle(s, t, 0.8, 9) > 1.15) & (t > 0.6) & (t < 3.4)  # plaster gone, brick shows
        tone[bare] = hexes("9a5f46")[0] * canvas.rng.uniform(0.85, 1.15, (bare.sum(), 1))
        return tone

    low = min(3.0 - base, height)
    if low > 0:
        canvas.patch(a, along * length, UP * low, 0.23, colour, 0.62, holes)
    start_high = max(low, 0.0)
    upper = [[o[0], o[1], o[2] - start_high, o[3] - start_high] for o in holes]
    canvas.patch(a + UP * start_high, along * length, UP * (height - start_high), 0.33, colour, 0.62, upper)
    for place, w, h, ground_floor in fittings:
        lit = bool(canvas.rng.random() < 0.12)
        window(canvas, place, along, out, w, h, shutter * (0.0 if ground_floor else 1.0), lit)
    top = a + UP * height
    for drop, size in ((0.0, 0.16), (0.28, 0.07), (height + base - 3.7, 0.06)):
        if 0 <= drop < height - 0.5:
            canvas.bar(top - UP * drop + 0.08 * out, top - UP * drop + 0.08 * out + along * length, size, out,
                       np.minimum(STONE[0] * 1.1, 1), 0.4)  # fmt: skip

    def tiles(p: np.ndarray) -> np.ndarray:
        return hexes("a5583a")[0] * (0.8 + 0.3 * (np.floor((p @ along) / 0.5) % 2))[:, None]

    canvas.patch(top + 0.25 * out, along * length, UP * 0.9 - out * 1.5, 0.4, tiles, 0.65)
    if solid:
        canvas.wall_solid(a, along, out, length, height, openings)


def arcade(canvas: Canvas) -> None:
    """Pillars, round arches, a ceiling, and the house above them; its back wall is a facade of its own."""
    pitch, half, spring = (ARCADE_END - X0) / 8, 0.28, 2.1
    radius, front, top = pitch / 2 - half, ARCADE_Y - half, 3.9
    plaster = hexes("d9b98a")[0]

    def stones(p: np.ndarray) -> np.ndarray:
        course = np.floor(p[:, 2] / 0.42)
        return STONE[0] * (0.9 + 0.2 * ((course * 37 + np.floor((p[:, 0] + 0.2 * course) / 0.5) * 17) % 7) / 7)[:, None]

    def arch_free(s: np.ndarray, t: np.ndarray) -> np.ndarray:
        centre = np.abs((s % pitch) - pitch / 2)
        return (t > 0) & (np.hypot(centre, t) > radius)

    length = ARCADE_END - X0
    for y, sign in ((front, 1), (front + 2 * half, -1)):
        corner = np.array([X0 if sign > 0 else ARCADE_END, y, spring])
        canvas.patch(corner, (sign * length, 0, 0), UP * (top - spring), 0.2, stones, 0.62, keep=arch_free)
    for k in range(9):
        x = X0 + k * pitch
        if k:
            canvas.box(x - half, front, 0, x + half, front + 2 * half, spring, 0.2, stones, "nsew")
            canvas.box(x - half - 0.06, front - 0.06, 0, x + half + 0.06, front + 2 * half + 0.06, 0.3, 0.17, stones, "nsewt")
            for y in (front - 0.04, front + 2 * half + 0.04):
                canvas.bar((x - half - 0.08, y, spring), (x + half + 0.08, y, spring), 0.08, np.array([0, np.sign(y - ARCADE_Y), 0]),
                           STONE[0] * 1.1, 0.2)  # fmt: skip
        if k == 8:
            break
        angles = np.linspace(0, np.pi, 13)
        for a0, a1 in pairwise(angles):
            p0 = np.array([x + pitch / 2 + radius * np.cos(a0), front, spring + radius * np.sin(a0)])
            p1 = np.array([x + pitch / 2 + radius * np.cos(a1), front, spring + radius * np.sin(a1)])
            canvas.patch(p0, (0, 2 * half, 0), p1 - p0, 0.2, stones, 0.62, flip=True)
            canvas.bar(p0 - (0, 0.03, 0), p1 - (0, 0.03, 0), 0.09, np.array([0, -1, 0]), STONE[0] * 1.12, 0.17)
            for solid_x in np.linspace(p0[0], p1[0], 3):
                z = spring + np.sqrt(max(radius**2 - (solid_x - x - pitch / 2) ** 2, 0))
                canvas.solid(solid_x - 0.1, front, z, solid_x + 0.1, front + 2 * half, top)
    canvas.patch((X0, Y1, top - 0.3), (length, 0, 0), (0, ARCADE_Y - Y1, 0), 0.3, lambda p: np.tile(plaster, (len(p), 1)), 0.62)
    canvas.solid(X0, ARCADE_Y - half, top - 0.3, ARCADE_END, Y1, 8.2)
    facade(canvas, (X0, front), (ARCADE_END, front), 8.2 - top, hexes("d8a566")[0], hexes("3f5a4a")[0], base=top,
           windows_from=4.0, solid=False)  # fmt: skip
    facade(canvas, (ARCADE_END, front), (ARCADE_END, Y1), 8.2 - top, hexes("cf9c62")[0], hexes("3f5a4a")[0], base=top,
           windows_from=9.0, solid=False)  # fmt: skip


def fountain(canvas: Canvas) -> None:
    """A round basin with water, a column with a bowl, and a figure on top."""
    x, y, r = FOUNTAIN

    def weathered(p: np.ndarray) -> np.ndarray:
        return STONE[0] * (0.9 + 0.16 * mottle(p[:, 0] * 2 + p[:, 1], p[:, 2] * 2, 1.2, 11))[:, None]

    canvas.cylinder(x, y, r + 0.25, 0.0, 0.16, 0.17, weathered)
    canvas.cylinder(x, y, r, 0.16, 0.58, 0.15, weathered, top=False)
    canvas.ring(x, y, r - 0.3, r + 0.06, 0.6, 0.14, weathered)
    canvas.ring(x, y, 0.0, r - 0.3, 0.46, 0.2,
                lambda p: hexes("4d7470")[0] * (1 + 0.25 * mottle(p[:, 0] * 3, p[:, 1] * 3, 1.0, 12))[:, None])  # fmt: skip
    for radius, z0, z1 in ((0.5, 0.4, 0.8), (0.24, 0.8, 1.7), (0.85, 1.7, 1.85), (0.2, 1.85, 2.2), (0.3, 2.2, 2.35)):
        canvas.cylinder(x, y, radius, z0, z1, 0.12, weathered)
    bronze = hexes("4f5f50")[0]
    for dz, size, count in ((0.0, (0.2, 0.16, 0.42), 130), (0.5, (0.26, 0.17, 0.32), 120), (0.98, (0.12, 0.13, 0.16), 50)):
        canvas.cloud((x, y, 2.75 + dz), size, count, 0.07, bronze, bronze * 1.3, shell=True)
    canvas.cloud((x + 0.35, y, 3.5), (0.3, 0.07, 0.09), 40, 0.06, bronze, bronze * 1.3, shell=True)
    for angle in np.linspace(0, 2 * np.pi, 9)[:-1]:  # jets over the bowl's rim
        jet = np.linspace(0, 1, 9)
        reach = 0.85 + 0.35 * jet
        points = np.stack([x + reach * np.cos(angle), y + reach * np.sin(angle), 1.85 - 1.35 * jet**2], 1)
        canvas.discs(points, np.tile(UP, (9, 1)), np.array([np.cos(angle), np.sin(angle), 0]), (0.1, 0.03, 0.03),
                     np.tile(hexes("dfe9ea")[0], (9, 1)), 0.45)  # fmt: skip


def tree(canvas: Canvas, x: float, y: float, height: float, tone: np.ndarray) -> None:
    """A tree in a round stone planter."""
    canvas.cylinder(x, y, 0.75, 0.0, 0.45, 0.17, lambda p: np.tile(STONE[0] * 0.85, (len(p), 1)), top=False)
    canvas.ring(x, y, 0.0, 0.78, 0.45, 0.17, lambda p: np.tile(hexes("54402c")[0], (len(p), 1)))
    canvas.cylinder(x, y, 0.14, 0.4, height - 1.0, 0.13,
                    lambda p: hexes("6b5138")[0] * (1 + 0.2 * mottle(p[:, 0] * 9, p[:, 2], 1.0, 13))[:, None])  # fmt: skip
    for _ in range(11):
        off = canvas.rng.normal(0, 1, 3) * (0.8, 0.8, 0.5)
        canvas.cloud((x + off[0], y + off[1], height + off[2]), (0.8, 0.8, 0.6), 120, 0.1, tone * 0.75, tone * 1.35)


def planter(canvas: Canvas, x: float, y: float, length: float, yaw_90: bool, flowers: np.ndarray) -> None:
    """A box of terracotta or stone with a hedge and flowers."""
    hx, hy = (0.35, length / 2) if yaw_90 else (length / 2, 0.35)
    clay = hexes("a8623f")[0]
    canvas.box(x - hx, y - hy, 0, x + hx, y + hy, 0.5, 0.15,
               lambda p: clay * (1 + 0.15 * mottle(p[:, 0] * 3 + p[:, 1] * 3, p[:, 2] * 3, 1.0, 14))[:, None], "nsewt")  # fmt: skip
    canvas.cloud((x, y, 0.72), (hx * 1.1, hy * 1.1, 0.34), int(210 * length), 0.065, LEAF[0] * 0.7, LEAF[0] * 1.4)
    canvas.cloud((x, y, 0.86), (hx, hy, 0.26), int(45 * length), 0.04, flowers * 0.8, flowers, shell=True)
    canvas.solid(x - hx, y - hy, 0.5, x + hx, y + hy, 0.95)


def bench(canvas: Canvas, x: float, y: float, along_x: bool) -> None:
    """A wooden bench on iron feet, 1.7 m long."""
    hx, hy = (0.85, 0.22) if along_x else (0.22, 0.85)
    axis, side = (np.array([1.0, 0, 0]), np.array([0, 1.0, 0])) if along_x else (np.array([0, 1.0, 0]), np.array([1.0, 0, 0]))
    middle = np.array([x, y, 0.0])
    for s in (-0.15, 0.0, 0.15):
        p = middle + side * s + UP * 0.45
        canvas.bar(p - axis * 0.85, p + axis * 0.85, 0.075, UP, WOOD[0] * 1.2, 0.18)
    for z in (0.62, 0.78):
        for face in (1, -1):
            p = middle + side * (-0.22 + 0.02 * face) + UP * z
            canvas.bar(p - axis * 0.85, p + axis * 0.85, 0.07, side * face, WOOD[0], 0.18)
    for s in (-0.7, 0.7):
        for t in (-0.18, 0.18):
            p = middle + axis * s + side * t
            canvas.bar(p, p + UP * 0.45, 0.045, side * np.sign(t), IRON[0], 0.12)
    canvas.solid(x - hx, y - hy, 0.36, x + hx, y + hy, 0.46)
    back = middle - side * 0.22
    canvas.solid(back[0] - hx * along_x - 0.04, back[1] - hy * (not along_x) - 0.04, 0.5,
                 back[0] + hx * along_x + 0.04, back[1] + hy * (not along_x) + 0.04, 0.85)  # fmt: skip


def lamp(canvas: Canvas, x: float, y: float) -> None:
    """An iron lamp post with a lantern."""
    def iron(p: np.ndarray) -> np.ndarray:
        return np.tile(IRON[0] * 1.1, (len(p), 1))

    canvas.cylinder(x, y, 0.16, 0.0, 0.5, 0.1, iron)
    canvas.cylinder(x, y, 0.06, 0.5, 3.4, 0.1, iron)
    canvas.cloud((x, y, 3.65), (0.17, 0.17, 0.24), 60, 0.07, hexes("f0dba0")[0], hexes("fff0c8")[0], shell=True)
    canvas.cloud((x, y, 3.95), (0.2, 0.2, 0.06), 30, 0.07, IRON[0], IRON[0], shell=True)


def cafe(canvas: Canvas, x: float, y: float, tone: np.ndarray) -> None:
    """A table with two chairs under a parasol."""
    canvas.cylinder(x, y, 0.4, 0.7, 0.74, 0.13, lambda p: np.tile(hexes("e6e2da")[0], (len(p), 1)))
    canvas.cylinder(x, y, 0.05, 0.0, 2.3, 0.1, lambda p: np.tile(IRON[0], (len(p), 1)))
    for dx in (-0.7, 0.7):
        canvas.box(x + dx - 0.2, y - 0.2, 0.3, x + dx + 0.2, y + 0.2, 0.47, 0.12, lambda p: np.tile(WOOD[0], (len(p), 1)), "nsewt")
        side = np.sign(dx) * 0.2
        canvas.box(x + dx + side - 0.025, y - 0.2, 0.47, x + dx + side + 0.025, y + 0.2, 0.9, 0.12,
                   lambda p: np.tile(WOOD[0] * 1.1, (len(p), 1)), "nsewt")  # fmt: skip
        for px, py in ((-0.17, -0.17), (-0.17, 0.17), (0.17, -0.17), (0.17, 0.17)):
            canvas.bar((x + dx + px, y + py, 0), (x + dx + px, y + py, 0.3), 0.04, np.array([px, py, 0]) / 0.25, IRON[0], 0.1)
    corners = np.array([[1, 1], [-1, 1], [-1, -1], [1, -1], [1, 1]]) * 1.15
    for k, (c0, c1) in enumerate(pairwise(corners)):
        canvas.fan((x, y, 2.6), (x + c0[0], y + c0[1], 2.15), (x + c1[0], y + c1[1], 2.15), 0.17,
                   tone if k % 2 else np.minimum(tone * 0.4 + 0.55, 1))  # fmt: skip


def awning(canvas: Canvas, start, end, depth: float, tone: np.ndarray) -> None:
    """A striped awning over a shop from start to end along a wall."""
    a, b = np.array([*start, 2.95]), np.array([*end, 2.95])
    along = (b - a) / np.linalg.norm(b - a)
    out = np.cross(along, UP)

    def stripes(p: np.ndarray) -> np.ndarray:
        odd = (np.floor(((p - a) @ along) / 0.35) % 2)[:, None]
        return np.where(odd > 0, tone, hexes("efe6d2")[0])

    canvas.patch(a, b - a, out * depth - UP * 0.5, 0.16, stripes, 0.62, flip=True)
    canvas.patch(a + out * depth - UP * 0.72, b - a, UP * 0.22, 0.14, stripes, 0.62)
    canvas.thin_solid(a, b, out * depth - UP * 0.5)


def laundry(canvas: Canvas, start, end) -> None:
    """A line with washing on it."""
    a, b = np.array(start, float), np.array(end, float)
    s = np.linspace(0, 1, 40)
    line = a + (b - a) * s[:, None] - UP * (0.9 * s * (1 - s))[:, None]
    for p, q in pairwise(line):
        canvas.bar(p, q, 0.012, UP, IRON[0], 0.2)
    along = (b - a) / np.linalg.norm(b - a)
    tones = hexes("f2efe6", "7d96b8", "c4574a", "e6d27a", "f4f1ec", "5d7d6a")
    for k, i in enumerate(range(3, 36, 4)):
        size = (0.45 + 0.5 * canvas.rng.random(), 0.5 + 0.6 * canvas.rng.random())
        canvas.patch(line[i] - UP * size[1], along * size[0], UP * size[1] + 0.1 * np.cross(along, UP), 0.14,
                     lambda p, tone=tones[k % 6]: np.tile(tone, (len(p), 1)), 0.6)  # fmt: skip


def houses(canvas: Canvas) -> None:
    """The fronts round the plaza, the church steps in the west and the passage in the east."""
    ochre, rose, cream, grey = hexes("d9a45b", "c98870", "e3d3ae", "b7ab98")
    green, blue, brown = hexes("41614c", "46688a", "6b4a33")
    facade(canvas, (X1, Y0), (6.5, Y0), 8.6, rose, green, doors=(5.2,))
    facade(canvas, (6.5, Y0), (-5.0, Y0), 7.4, ochre, blue, doors=(2.9, 8.7))
    facade(canvas, (-5.0, Y0), (X0, Y0), 9.2, cream, brown, doors=(6.0,))
    facade(canvas, (X0, Y0), (X0, Y1), 10.2, grey, np.zeros(3), doors=(12.0,), windows_from=4.0)
    facade(canvas, (X0, Y1), (ARCADE_END, Y1), 3.6, cream, np.zeros(3), doors=(4.0, 12.5, 20.0))
    facade(canvas, (ARCADE_END, Y1), (X1, Y1), 8.0, rose * 1.05, blue, doors=(4.5,))
    facade(canvas, (X1, Y1), (X1, 1.2), 8.8, cream * 0.97, green, doors=(3.5,))
    facade(canvas, (X1, 1.2), (X1, -2.4), 6.1, ochre, blue, openings=((0.0, 3.6, 0.0, 3.1),), windows_from=4.0)
    facade(canvas, (X1, -2.4), (X1, Y0), 8.2, ochre * 0.95, brown, doors=(6.4,))
    for y, end in ((-2.4, 0), (1.2, 1)):
        a, b = ((PASSAGE, y), (X1, y)) if end == 0 else ((X1, y), (PASSAGE, y))
        facade(canvas, a, b, 3.1, grey, np.zeros(3), windows_from=9.0)
    canvas.patch((X1, 1.2, 3.1), (PASSAGE - X1, 0, 0), (0, -3.6, 0), 0.3, lambda p: np.tile(grey, (len(p), 1)), 0.62)
    facade(canvas, (PASSAGE, 1.2), (PASSAGE, -2.4), 3.1, rose, np.zeros(3), doors=(1.8,), windows_from=9.0)
    canvas.solid(X1, -2.4, 3.1, PASSAGE + 0.5, 1.2, 6.0)
    for k in range(3):
        canvas.box(X0, -3.0 - 0.4 * (2 - k), 0.15 * k, X0 + 2.2 - 0.6 * k, 3.0 + 0.4 * (2 - k), 0.15 * (k + 1), 0.2,
                   lambda p: STONE[0] * (1 + 0.1 * mottle(p[:, 0], p[:, 1], 1.3, 15))[:, None], "nset")  # fmt: skip
    awning(canvas, (4.6, Y0), (1.9, Y0), 1.3, hexes("9b3b34")[0])
    awning(canvas, (-8.6, Y0), (-13.0, Y0), 1.4, hexes("3d6a57")[0])
    awning(canvas, (11.0, Y1), (14.2, Y1), 1.3, hexes("c58b32")[0])
    laundry(canvas, (11.5, Y0 + 0.1, 5.6), (X1 - 0.1, -6.0, 5.4))
    laundry(canvas, (12.0, Y1 - 0.1, 5.9), (X1 - 0.1, 7.5, 5.6))


def furniture(canvas: Canvas) -> None:
    """What stands on the plaza."""
    red, white, violet = hexes("c63f3a", "f3ead8", "8f5aa5")
    for x, y, h, tone in ((6.3, -6.3, 4.1, LEAF[0]), (11.8, 4.2, 3.8, hexes("74853a")[0]), (-10.2, -6.2, 4.3, hexes("55702f")[0])):
        tree(canvas, x, y, h, tone)
    for x, y, length, turned, tone in (
        (3.6, 3.4, 2.2, False, red), (-7.6, 4.6, 2.4, False, violet), (-7.4, -2.6, 1.8, True, white),
        (8.2, -0.6, 2.0, True, red), (1.0, -7.2, 2.4, False, violet), (13.6, -7.6, 1.8, True, white),
    ):  # fmt: skip
        planter(canvas, x, y, length, turned, tone)
    for x, y, flat in ((-2.0, 5.2, True), (3.4, -3.6, True), (-6.0, -8.4, True), (13.9, 0.9, False), (-12.6, 3.4, False)):
        bench(canvas, x, y, flat)
    for x, y in ((-13.0, 6.6), (4.8, 6.9), (-5.0, -5.6), (10.4, -3.4), (14.6, 8.6)):
        lamp(canvas, x, y)
    for x, y, tone in ((10.2, 9.3, red), (13.4, 6.0, hexes("3d6a57")[0]), (-11.5, -9.9, hexes("c58b32")[0])):
        cafe(canvas, x, y, tone)
    for x, y, s in ((-14.9, -8.9, 0.6), (-15.5, -8.2, 0.5), (15.9, -9.9, 0.7), (0.4, 11.5, 0.6), (-9.6, 11.5, 0.5), (1.1, 11.5, 0.45)):
        canvas.box(x - s / 2, y - s / 2, 0, x + s / 2, y + s / 2, s, 0.13,
                   lambda p: WOOD[0] * (1.2 + 0.35 * (np.floor(p[:, 2] / 0.13) % 2))[:, None], "nsewt")  # fmt: skip
    for x in np.arange(5.2, 9.6, 1.45):  # bollards before the café corner
        canvas.cylinder(x, 6.0, 0.11, 0.0, 0.85, 0.1, lambda p: np.tile(DARK_STONE[0], (len(p), 1)))


def build(out: Path) -> None:
    """Writes the scene folder."""
    canvas = Canvas(np.random.default_rng(7), low=(-18.0, -13.0), high=(23.0, 13.0), top=11.0)
    for part in (paving, houses, arcade, fountain, furniture, litter):
        part(canvas)
    splats = bake(canvas, sun=np.array([-0.5, -0.55, 0.78]))
    resolution, pad = 0.1, 5
    solid: np.ndarray = np.any(canvas.grid[:, :, 1:12], axis=2).T  # 0.1 m to 1.2 m above the ground
    solid = ~largest_region(~solid[pad:-pad, pad:-pad])  # what is walled off from the plaza counts as solid
    occupancy = Occupancy(solid, np.array([-18.0, -13.0]) + pad * resolution, resolution)
    anchors = free_anchors(occupancy)
    write_scene(out, "plaza", splats, occupancy, anchors, SKY)
    print(f"{out}: {len(splats.means)} Gaussians, {len(anchors)} anchors, {(~solid).mean():.0%} of the grid free")


if __name__ == "__main__":
    build(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[1] / "gs_urban" / "plaza")
