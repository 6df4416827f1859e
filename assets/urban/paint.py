"""Paints surfaces with flat Gaussians and bakes light into their colours, for the scenes that are made here."""

from collections.abc import Callable, Sequence

import numpy as np
from scipy.spatial.transform import Rotation

from s2e.envs.scene import Splats

CELL_M = 0.1
_SH0 = 0.28209479177387814
_THIN_M = 0.008

Colour = Callable[[np.ndarray], np.ndarray]


def hexes(*codes: str) -> np.ndarray:
    """(n, 3) colours in 0..1 from hexadecimal codes."""
    return np.array([[int(code[i : i + 2], 16) / 255 for i in (0, 2, 4)] for code in codes])


def mottle(x: np.ndarray, y: np.ndarray, frequency: float, seed: int) -> np.ndarray:
    """Smooth noise around 0, mostly within -1.5..1.5, from a sum of six waves; `frequency` in cycles per metre."""
    rng = np.random.default_rng(seed)
    total = np.zeros(np.shape(x))
    for _ in range(6):
        angle, phase, scale = rng.uniform(0, 2 * np.pi), rng.uniform(0, 2 * np.pi), rng.uniform(0.5, 1.6)
        total += np.sin(2 * np.pi * frequency * scale * (np.cos(angle) * x + np.sin(angle) * y) + phase)
    return total * 0.4


class Canvas:
    """Gaussians that are being collected, and the voxels of 0.1 m that are solid or cast shadow.

    Attributes:
        rng: the source of all randomness.
        grid: (X, Y, Z) bool, solid voxels, from `low` and z = 0 upwards.
        shade: the same for leaves, which shade but do not stand in the way.
    """

    def __init__(self, rng: np.random.Generator, low: tuple[float, float], high: tuple[float, float], top: float):
        self.rng = rng
        self.low = np.array([*low, 0.0])
        shape = np.round((np.array([*high, top]) - self.low) / CELL_M).astype(int)
        self.grid = np.zeros(shape, bool)
        self.shade = np.zeros(shape, bool)
        self.parts: list[tuple[np.ndarray, ...]] = []

    def discs(self, points, directions, normals, scales, colours, opacity, leaf=False) -> None:
        """Adds Gaussians: long axis `directions` (n, 3), flat axis `normals`, `scales` along direction, across, normal."""
        count = len(points)
        normal = np.broadcast_to(np.asarray(normals, float), (count, 3))
        normal = normal / np.linalg.norm(normal, axis=1, keepdims=True)
        direction = np.asarray(directions, float)
        direction = direction - (direction * normal).sum(1, keepdims=True) * normal
        direction = direction / np.linalg.norm(direction, axis=1, keepdims=True)
        self.parts.append(
            (
                np.asarray(points, float),
                direction,
                normal,
                np.broadcast_to(np.asarray(scales, float), (count, 3)),
                np.clip(np.broadcast_to(colours, (count, 3)), 0.0, 0.95),
                np.full(count, opacity),
                np.full(count, leaf),
            )
        )

    def patch(
        self, origin, u, v, spacing: float, colour: Colour, sigma: float, holes: Sequence[Sequence[float]] = (),
        keep: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None, flip: bool = False,
    ) -> None:  # fmt: skip
        """Covers the parallelogram origin + s u + t v, seen from the side of u x v (the other with `flip`).

        `holes` are rectangles (s0, s1, t0, t1) in metres along u and v that stay free; `keep` decides the same by a
        function of those metres. Gaussians have `sigma` times their spacing as standard deviation.
        """
        origin, u, v = (np.asarray(a, float) for a in (origin, u, v))
        length, height = np.linalg.norm(u), np.linalg.norm(v)
        columns, rows = max(round(length / spacing), 1), max(round(height / spacing), 1)
        ds, dt = length / columns, height / rows
        s, t = (a.ravel() for a in np.meshgrid((np.arange(columns) + 0.5) * ds, (np.arange(rows) + 0.5) * dt))
        free = np.ones(len(s), bool) if keep is None else keep(s, t)
        for s0, s1, t0, t1 in holes:
            free &= ~((s > s0 - 0.2 * ds) & (s < s1 + 0.2 * ds) & (t > t0 - 0.2 * dt) & (t < t1 + 0.2 * dt))
        s = s[free] + self.rng.normal(0, 0.07 * ds, free.sum())
        t = t[free] + self.rng.normal(0, 0.07 * dt, free.sum())
        if not len(s):
            return
        points = origin + s[:, None] * u / length + t[:, None] * v / height
        normal = np.cross(u, v) * (-1 if flip else 1)
        tone = colour(points) * self.rng.normal(1, 0.03, (len(points), 1))
        self.discs(points, np.tile(u, (len(points), 1)), normal, (sigma * ds, sigma * dt, _THIN_M), tone, 0.97)

    def fan(self, apex, a, b, spacing: float, colour: np.ndarray) -> None:
        """Covers the triangle apex, a, b, seen from above."""
        apex, a, b = (np.asarray(p, float) for p in (apex, a, b))
        rows = max(round(float(np.linalg.norm(a - apex)) / spacing), 1)
        points = np.concatenate(
            [
                apex + (a - apex) * f + (b - a) * f * ((np.arange(k + 1) + 0.5) / (k + 1))[:, None]
                for k, f in enumerate((np.arange(rows) + 0.6) / rows)
            ]
        )
        normal = np.cross(a - apex, b - apex)
        normal = normal if normal[2] > 0 else -normal
        size = 0.62 * spacing
        self.discs(points, np.tile(b - a, (len(points), 1)), normal, (size, size, _THIN_M), colour, 0.97)
        self._mark(self.shade, points)

    def bar(self, start, end, width: float, normal, colour: np.ndarray, step: float) -> None:
        """A thin strip of long Gaussians from start to end, `width` wide, facing `normal`."""
        start, end = np.asarray(start, float), np.asarray(end, float)
        length = float(np.linalg.norm(end - start))
        count = max(round(length / step), 1)
        s = (np.arange(count) + 0.5) / count
        points = start + s[:, None] * (end - start)
        tone = np.asarray(colour) * self.rng.normal(1, 0.04, (count, 1))
        scales = (0.55 * length / count, 0.42 * width, min(0.3 * width, 0.03))
        self.discs(points, np.tile(end - start, (count, 1)), normal, scales, tone, 0.95)

    def box(self, x0, y0, z0, x1, y1, z1, spacing: float, colour: Colour, faces: str) -> None:
        """A solid box with the named faces painted: n, s, e, w, t."""
        dx, dy, dz = (x1 - x0, 0, 0), (0, y1 - y0, 0), (0, 0, z1 - z0)
        for face in faces:
            origin, u, v, flip = {
                "s": ((x0, y0, z0), dx, dz, False),
                "n": ((x0, y1, z0), dx, dz, True),
                "e": ((x1, y0, z0), dy, dz, False),
                "w": ((x0, y0, z0), dy, dz, True),
                "t": ((x0, y0, z1), dx, dy, False),
            }[face]
            self.patch(origin, u, v, spacing, colour, 0.62, flip=flip)
        self.solid(x0, y0, z0, x1, y1, z1)

    def cylinder(self, x, y, radius: float, z0: float, z1: float, spacing: float, colour: Colour, top=True) -> None:
        """A solid upright cylinder."""
        around = max(round(2 * np.pi * radius / spacing), 6)
        rows = max(round((z1 - z0) / spacing), 1)
        angle, z = np.meshgrid(np.arange(around) * 2 * np.pi / around, z0 + (np.arange(rows) + 0.5) * (z1 - z0) / rows)
        angle, z = angle.ravel(), z.ravel()
        normal = np.stack([np.cos(angle), np.sin(angle), 0 * angle], 1)
        points = np.array([x, y, 0]) + radius * normal + z[:, None] * np.array([0, 0, 1])
        tone = colour(points) * self.rng.normal(1, 0.05, (len(points), 1))
        scales = (0.62 * (z1 - z0) / rows, 0.62 * 2 * np.pi * radius / around, _THIN_M)
        self.discs(points, np.tile((0.0, 0.0, 1.0), (len(points), 1)), normal, scales, tone, 0.97)
        if top:
            self.ring(x, y, 0.0, radius, z1, spacing, colour)
        centre = self._centres(self.grid)
        inside = (centre[0][:, None] - x) ** 2 + (centre[1][None] - y) ** 2 < (radius + 0.04) ** 2  # cells that are cut count
        levels = (centre[2] > z0) & (centre[2] < max(z1, z0 + 0.06))
        self.grid |= inside[:, :, None] & levels

    def ring(self, x, y, inner: float, outer: float, z: float, spacing: float, colour: Colour) -> None:
        """A flat ring (a disc when `inner` is 0) that faces up."""
        rows = max(round((outer - inner) / spacing), 1)
        points = []
        for r in inner + (np.arange(rows) + 0.5) * (outer - inner) / rows:
            around = max(round(2 * np.pi * r / spacing), 3)
            angle = (np.arange(around) + self.rng.random()) * 2 * np.pi / around
            points.append(np.stack([x + r * np.cos(angle), y + r * np.sin(angle), np.full(around, z)], 1))
        points = np.concatenate(points)
        size = 0.64 * spacing
        tone = colour(points) * self.rng.normal(1, 0.03, (len(points), 1))
        self.discs(points, np.tile((1.0, 0, 0), (len(points), 1)), (0, 0, 1), (size, size, _THIN_M), tone, 0.97)

    def cloud(self, centre, radii, count: int, size: float, dark: np.ndarray, light: np.ndarray, shell=False) -> None:
        """Leaves in an ellipsoid, or a rounded body when `shell`; colours lie between dark and light."""
        direction = self.rng.normal(size=(count, 3))
        direction /= np.linalg.norm(direction, axis=1, keepdims=True)
        reach = np.ones((count, 1)) if shell else self.rng.random((count, 1)) ** 0.4
        points = np.asarray(centre, float) + direction * reach * np.asarray(radii)
        points[:, 2] = np.maximum(points[:, 2], 0.03)
        normal = direction / np.asarray(radii) if shell else direction + self.rng.normal(0, 0.7, (count, 3))
        mix = self.rng.random((count, 1))
        scale = size * self.rng.uniform(0.7, 1.3, (count, 1)) * ((1, 1, 0.35) if shell else (1.0, 0.62, 0.2))
        twist = self.rng.normal(size=(count, 3))
        self.discs(points, twist, normal, scale, dark + (light - dark) * mix, 0.96 if shell else 0.9, leaf=not shell)
        self._mark(self.shade, points)

    def solid(self, x0, y0, z0, x1, y1, z1) -> None:
        """Marks a box as solid."""
        self.grid[self._slices((x0, y0, z0), (x1, y1, z1))] = True

    def wall_solid(self, start, along, out, length: float, height: float, openings) -> None:
        """Marks the half metre behind a wall as solid, but for its openings."""
        before = self.grid.copy()
        ends = np.stack([start, start + along * length - out * 0.5 + np.array([0, 0, height])])
        self.solid(*ends.min(0), *ends.max(0))
        for s0, s1, t0, t1 in openings:
            gap = np.stack([start + along * s0, start + along * s1 - out * 0.6]) + np.array([[0, 0, t0], [0, 0, t1]])
            cut = self._slices(gap.min(0), gap.max(0))
            self.grid[cut] = before[cut]

    def thin_solid(self, start, end, down) -> None:
        """Marks the voxels of a thin sheet start..end hanging along `down` as shading."""
        s, t = (a.ravel()[:, None] for a in np.meshgrid(np.linspace(0, 1, 60), np.linspace(0, 1, 30)))
        self._mark(self.shade, start + s * (np.asarray(end) - start) + t * down)

    def _centres(self, grid: np.ndarray) -> list[np.ndarray]:
        return [self.low[i] + (np.arange(grid.shape[i]) + 0.5) * CELL_M for i in range(3)]

    def _slices(self, low, high) -> tuple[slice, ...]:
        first = np.maximum(np.round((np.asarray(low) - self.low) / CELL_M).astype(int), 0)
        last = np.maximum(np.round((np.asarray(high) - self.low) / CELL_M).astype(int), first + 1)
        return tuple(slice(a, b) for a, b in zip(first, last))

    def _mark(self, grid: np.ndarray, points: np.ndarray) -> None:
        cells = np.floor((points - self.low) / CELL_M).astype(int)
        cells = cells[((cells >= 0) & (cells < grid.shape)).all(axis=1)]
        grid[tuple(cells.T)] = True


def _clear(grid: np.ndarray, low: np.ndarray, points: np.ndarray, direction: np.ndarray, reach: float, step: float):
    """(n,) bool: whether nothing stands within `reach` metres of points in a direction."""
    clear = np.ones(len(points), bool)
    active = np.arange(len(points))
    for distance in np.arange(step, reach, step):
        cells = np.floor((points[active] + direction * distance - low) / CELL_M).astype(int)
        inside = ((cells >= 0) & (cells < grid.shape)).all(axis=1)
        active, cells = active[inside], cells[inside]
        hit = grid[tuple(cells.T)]
        clear[active[hit]] = False
        active = active[~hit]
        if not len(active):
            break
    return clear


def bake(canvas: Canvas, sun: np.ndarray) -> Splats:
    """Lights what was collected: a low warm sun with soft shadows, blue sky light and warm bounce with occlusion."""
    points, direction, normal, scales, albedo, opacity, leaf = (
        np.concatenate([part[i] for part in canvas.parts]) for i in range(7)
    )
    grid, rng = canvas.grid | canvas.shade, canvas.rng
    start = points + normal * 0.16
    sun = sun / np.linalg.norm(sun)
    lit = np.zeros(len(points))
    for _ in range(5):
        lit += _clear(grid, canvas.low, start, sun + rng.normal(0, 0.012, 3), 22.0, 0.13) / 5
    facing = normal @ sun
    facing = np.where(leaf, 0.35 + 0.45 * np.abs(facing), np.maximum(facing, 0))
    spread = rng.normal(size=(28, 3))
    spread /= np.linalg.norm(spread, axis=1, keepdims=True)
    sky, bounce, total = (np.zeros(len(points)) for _ in range(3))
    for d in spread:
        weight = np.where(leaf, 0.5, np.maximum(normal @ d, 0))
        clear = _clear(grid, canvas.low, start, d, 3.2, 0.2)
        total += weight
        sky += weight * clear * max(d[2] + 0.15, 0)
        bounce += weight * (clear * (0.5 if d[2] < 0.3 else 0.15) + ~clear * 0.12)
    light = (
        (lit * facing)[:, None] * np.array([4.6, 3.7, 2.55])
        + (sky / total)[:, None] * np.array([0.85, 1.05, 1.4])
        + (bounce / total)[:, None] * np.array([1.2, 0.98, 0.8])
    )
    linear = 0.56 * albedo**2.2 * light
    colour = np.clip(linear * (1 + linear / 6) / (1 + linear) * 1.25, 0, 1) ** (1 / 2.2)
    colour = np.clip(colour * rng.normal(1, 0.015, colour.shape), 0, 1)
    thin = (points[:, 2] > 4) & (mottle(points[:, 0] + points[:, 2], points[:, 1] - points[:, 2], 0.25, 21) > 0.95)
    opacity = np.where(thin, 0.55, opacity)  # a scan is thin where no photograph looked
    across = np.cross(normal, direction)
    quats = Rotation.from_matrix(np.stack([direction, across, normal], -1)).as_quat()[:, [3, 0, 1, 2]]
    floaters = 60
    where = np.stack([rng.uniform(-16, 16, floaters), rng.uniform(-11, 11, floaters), rng.uniform(1.6, 7, floaters)], 1)
    grey = rng.uniform(0.55, 0.8, (floaters, 1)) * np.array([1.0, 0.97, 0.92])
    return Splats(
        means=np.concatenate([points, where]).astype(np.float32),
        quats=np.concatenate([quats, Rotation.random(floaters, rng=rng).as_quat()]).astype(np.float32),
        scales=np.concatenate([scales, rng.uniform(0.05, 0.35, (floaters, 3))]).astype(np.float32),
        opacities=np.concatenate([opacity, rng.uniform(0.04, 0.14, floaters)]).astype(np.float32),
        sh=((np.concatenate([colour, grey]) - 0.5) / _SH0).astype(np.float32)[:, None, :],
    )
