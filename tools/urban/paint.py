"""Collects flat Gaussians that cover surfaces, the voxels that are solid, and how high the ground
is, for scenes made here.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from s2e.envs.geometry.scene import SEMANTIC_ID, Sky
from tools.urban.surfaces import Colour

CELL_M = 0.1
UP = np.array([0.0, 0.0, 1.0])
_THIN_M = 0.008
Height = float | Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Light:
    """What falls on a surface.

    Attributes:
        sun_rgb: light of the sun on a face that looks at it.
        sky_rgb: light of the open sky on a face that looks up.
        bounce_rgb: light that other surfaces throw back.
        exposure: factor before the film's curve.
        spread: radians by which the sun's rays differ; large under haze.
        reach_m: how far a surface looks for what hides the sky; large inside buildings.
    """

    sun_rgb: tuple[float, float, float] = (4.6, 3.7, 2.55)
    sky_rgb: tuple[float, float, float] = (0.85, 1.05, 1.4)
    bounce_rgb: tuple[float, float, float] = (1.2, 0.98, 0.8)
    exposure: float = 0.56
    spread: float = 0.012
    reach_m: float = 3.2


@dataclass(frozen=True)
class Place:
    """A scene module's frame.

    Attributes:
        low, high: (x, y) of the corners of what is painted, metres.
        top: height of the voxels above z = 0, which is the lowest ground, metres.
        sun: direction towards the sun, of any length.
        sky: what is seen where nothing stands.
        light: what lights the surfaces.
        seed: of everything random in the scene.
        detail: Gaussians are this much finer than the spacings in the painting code say.
        name: surface of the ground where nothing else is said, a name of `SEMANTICS`.
    """

    low: tuple[float, float]
    high: tuple[float, float]
    top: float
    sun: tuple[float, float, float]
    sky: Sky
    light: Light
    seed: int
    detail: float = 1.0
    ground: str = "sidewalk"


@dataclass(frozen=True)
class Lamp:
    """A point that shines: `rgb` is the light on a face that looks at it from one metre; it reaches
    `reach` metres.
    """

    at: tuple[float, float, float]
    rgb: tuple[float, float, float]
    reach: float


class Canvas:
    """Gaussians that are being collected, the voxels of 0.1 m that are solid or cast shadow, and
    the ground.

    Everything is painted in the frame that `at` sets, the world's at first.

    Attributes:
        place: what the scene module says of itself.
        rng: the source of all randomness.
        grid: (X, Y, Z) bool, solid voxels, from `low` and z = 0 upwards.
        shade: the same for leaves and thin sheets, which shade but do not stand in the way.
        height: (X, Y) float, metres, the ground that is stood on.
        surface: (X, Y) uint8, ids of `SEMANTICS`.
        barred: (X, Y) bool, where nobody goes though nothing stands there: water.
        lamps: lights of the place.
    """

    def __init__(self, place: Place):
        self.place, self.rng, self.detail = place, np.random.default_rng(place.seed), place.detail
        self.low = np.array([*place.low, 0.0])
        shape = np.round((np.array([*place.high, place.top]) - self.low) / CELL_M).astype(int)
        self.grid, self.shade = np.zeros(shape, bool), np.zeros(shape, bool)
        self.height = np.zeros(shape[:2])
        self.surface = np.full(shape[:2], SEMANTIC_ID[place.ground], np.uint8)
        self.barred = np.zeros(shape[:2], bool)
        self.lamps: list[Lamp] = []
        self.parts: list[tuple[np.ndarray, ...]] = []
        self._origin, self._turn = np.zeros(3), np.eye(3)

    @contextmanager
    def at(
        self, x: float, y: float, yaw: float = 0.0, z: float | None = None
    ) -> Iterator["Canvas"]:
        """Paints in a frame at (x, y), turned by `yaw` (radians, counter-clockwise), on the ground
        there unless `z` is given.
        """
        before = self._origin, self._turn
        origin = before[0] + before[1] @ np.array([x, y, 0.0])
        origin[2] = self.ground_at(origin[0], origin[1]) if z is None else before[0][2] + z
        c, s = np.cos(yaw), np.sin(yaw)
        self._origin, self._turn = (
            origin,
            before[1] @ np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]]),
        )
        try:
            yield self
        finally:
            self._origin, self._turn = before

    def world(self, points) -> np.ndarray:
        """(n, 3) points of the current frame in the world's."""
        return self._origin + np.asarray(points, float) @ self._turn.T

    def ground_at(self, x: float, y: float) -> float:
        """Height of the ground at a point of the world."""
        i, j = (
            int(np.clip((v - self.low[k]) // CELL_M, 0, self.height.shape[k] - 1))
            for k, v in enumerate((x, y))
        )
        return float(self.height[i, j])

    def discs(
        self, points, directions, normals, scales, colours, opacity, leaf=False, gloss=0.0, glow=0.0
    ) -> None:
        """Adds Gaussians.

        Args:
            points: (n, 3).
            directions: (n, 3) long axis; normals: (n, 3) or (3,) flat axis.
            scales: (n, 3) or (3,) along direction, across, along normal, metres.
            colours: (n, 3) or (3,) before light.
            opacity: of all or each.
            leaf: whether light comes through from both sides.
            gloss: share of the surroundings that is mirrored, 0 to 1.
            glow: light of its own, times the colour.
        """
        count = len(points)
        normal = np.broadcast_to(np.asarray(normals, float), (count, 3))
        normal = normal / np.linalg.norm(normal, axis=1, keepdims=True)
        direction = np.broadcast_to(np.asarray(directions, float), (count, 3))
        direction = direction - (direction * normal).sum(1, keepdims=True) * normal
        direction = direction / np.maximum(np.linalg.norm(direction, axis=1, keepdims=True), 1e-9)
        self.parts.append(
            (
                self.world(points),
                direction @ self._turn.T,
                normal @ self._turn.T,
                np.broadcast_to(np.asarray(scales, float), (count, 3)),
                np.clip(np.broadcast_to(colours, (count, 3)), 0.0, 0.95),
                *(np.full(count, value) for value in (opacity, leaf, gloss, glow)),
            )
        )

    def patch(
        self, origin, u, v, spacing: float, colour: Colour, sigma: float = 0.62, holes: Sequence[Sequence[float]] = (),
        keep: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None, flip: bool = False, gloss=0.0, glow=0.0,
    ) -> None:  # fmt: skip
        """Covers the parallelogram origin + s u + t v, seen from the side of u x v (the other with
        `flip`).

        `holes` are rectangles (s0, s1, t0, t1) in metres along u and v that stay free; `keep`
        decides the same by a function of those metres. Gaussians have `sigma` times their spacing
        as standard deviation.
        """
        origin, u, v = (np.asarray(a, float) for a in (origin, u, v))
        length, height = np.linalg.norm(u), np.linalg.norm(v)
        step = spacing / self.detail
        columns, rows = max(round(length / step), 1), max(round(height / step), 1)
        ds, dt = length / columns, height / rows
        s, t = (
            a.ravel()
            for a in np.meshgrid((np.arange(columns) + 0.5) * ds, (np.arange(rows) + 0.5) * dt)
        )
        free = np.ones(len(s), bool) if keep is None else keep(s, t)
        for s0, s1, t0, t1 in holes:
            free &= ~(
                (s > s0 - 0.2 * ds)
                & (s < s1 + 0.2 * ds)
                & (t > t0 - 0.2 * dt)
                & (t < t1 + 0.2 * dt)
            )
        s = s[free] + self.rng.normal(0, 0.09 * ds, free.sum())
        t = t[free] + self.rng.normal(0, 0.09 * dt, free.sum())
        if not len(s):
            return
        points = origin + s[:, None] * u / length + t[:, None] * v / height
        normal = np.cross(u, v) * (-1 if flip else 1)
        tint = colour(points) * self.rng.normal(1, 0.03, (len(points), 1))
        self.discs(
            points, u, normal, (sigma * ds, sigma * dt, _THIN_M), tint, 0.97, gloss=gloss, glow=glow
        )

    def sheet(
        self, x0, y0, x1, y1, spacing: float, colour: Colour, height: Height = 0.0,
        keep: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None, gloss=0.0,
    ) -> None:  # fmt: skip
        """Covers ground over the rectangle where `keep` (of x and y), at a height that may be a
        function of x and y.
        """
        step = spacing / self.detail
        columns, rows = max(round((x1 - x0) / step), 1), max(round((y1 - y0) / step), 1)
        dx, dy = (x1 - x0) / columns, (y1 - y0) / rows
        x, y = (
            a.ravel()
            for a in np.meshgrid(
                x0 + (np.arange(columns) + 0.5) * dx, y0 + (np.arange(rows) + 0.5) * dy
            )
        )
        x, y = x + self.rng.normal(0, 0.09 * dx, len(x)), y + self.rng.normal(0, 0.09 * dy, len(x))
        if keep is not None:
            kept = keep(x, y)
            x, y = x[kept], y[kept]
        if not len(x):
            return
        f = height if callable(height) else lambda a, b: np.full(len(a), float(height))
        z, e = f(x, y), 0.05
        normal = np.stack(
            [
                (f(x - e, y) - f(x + e, y)) / (2 * e),
                (f(x, y - e) - f(x, y + e)) / (2 * e),
                np.ones(len(x)),
            ],
            1,
        )
        points = np.stack([x, y, z], 1)
        tint = colour(points) * self.rng.normal(1, 0.03, (len(x), 1))
        self.discs(
            points, (1.0, 0, 0), normal, (0.64 * dx, 0.64 * dy, _THIN_M), tint, 0.97, gloss=gloss
        )

    def fan(self, apex, a, b, spacing: float, colour: np.ndarray) -> None:
        """Covers the triangle apex, a, b, seen from above."""
        apex, a, b = (np.asarray(p, float) for p in (apex, a, b))
        step = spacing / self.detail
        rows = max(round(float(np.linalg.norm(a - apex)) / step), 1)
        points = np.concatenate(
            [
                apex + (a - apex) * f + (b - a) * f * ((np.arange(k + 1) + 0.5) / (k + 1))[:, None]
                for k, f in enumerate((np.arange(rows) + 0.6) / rows)
            ]
        )
        normal = np.cross(a - apex, b - apex)
        normal = normal if normal[2] > 0 else -normal
        self.discs(points, b - a, normal, (0.62 * step, 0.62 * step, _THIN_M), colour, 0.97)
        self.mark_shade(points)

    def bar(
        self,
        start,
        end,
        width: float,
        normal,
        colour: np.ndarray,
        step: float = 0.2,
        gloss=0.0,
        glow=0.0,
    ) -> None:
        """A thin strip of long Gaussians from start to end, `width` wide, facing `normal`."""
        start, end = np.asarray(start, float), np.asarray(end, float)
        length = float(np.linalg.norm(end - start))
        count = max(round(length / step), 1)
        s = (np.arange(count) + 0.5) / count
        points = start + s[:, None] * (end - start)
        tint = np.asarray(colour) * self.rng.normal(1, 0.04, (count, 1))
        scales = (0.55 * length / count, 0.42 * width, min(0.3 * width, 0.03))
        self.discs(points, end - start, normal, scales, tint, 0.95, gloss=gloss, glow=glow)

    def box(
        self,
        x0,
        y0,
        z0,
        x1,
        y1,
        z1,
        spacing: float,
        colour: Colour,
        faces: str = "nsewt",
        solid=True,
        gloss=0.0,
        glow=0.0,
    ) -> None:
        """A solid box with the named faces painted: n, s, e, w, t(op), b(ottom)."""
        dx, dy, dz = (x1 - x0, 0, 0), (0, y1 - y0, 0), (0, 0, z1 - z0)
        for face in faces:
            origin, u, v, flip = {
                "s": ((x0, y0, z0), dx, dz, False),
                "n": ((x0, y1, z0), dx, dz, True),
                "e": ((x1, y0, z0), dy, dz, False),
                "w": ((x0, y0, z0), dy, dz, True),
                "t": ((x0, y0, z1), dx, dy, False),
                "b": ((x0, y0, z0), dx, dy, True),
            }[face]
            self.patch(origin, u, v, spacing, colour, flip=flip, gloss=gloss, glow=glow)
        if solid:
            self.solid(x0, y0, z0, x1, y1, z1)

    def cylinder(
        self,
        x,
        y,
        radius: float,
        z0: float,
        z1: float,
        spacing: float,
        colour: Colour,
        top=True,
        gloss=0.0,
        glow=0.0,
    ) -> None:
        """A solid upright cylinder."""
        step = spacing / self.detail
        around = max(round(2 * np.pi * radius / step), 6)
        rows = max(round((z1 - z0) / step), 1)
        angle, z = np.meshgrid(
            np.arange(around) * 2 * np.pi / around, z0 + (np.arange(rows) + 0.5) * (z1 - z0) / rows
        )
        angle, z = angle.ravel(), z.ravel()
        normal = np.stack([np.cos(angle), np.sin(angle), 0 * angle], 1)
        points = np.array([x, y, 0]) + radius * normal + z[:, None] * UP
        tint = colour(points) * self.rng.normal(1, 0.05, (len(points), 1))
        scales = (0.62 * (z1 - z0) / rows, 0.62 * 2 * np.pi * radius / around, _THIN_M)
        self.discs(points, UP, normal, scales, tint, 0.97, gloss=gloss, glow=glow)
        if top:
            self.ring(x, y, 0.0, radius, z1, spacing, colour, gloss=gloss)
        reach = radius + 0.04  # cells that are cut count
        self._fill(self.grid, (x - reach, y - reach, z0), (x + reach, y + reach, max(z1, z0 + 0.1)),
                   lambda p: (p[..., 0] - x) ** 2 + (p[..., 1] - y) ** 2 < reach**2)  # fmt: skip

    def ring(
        self, x, y, inner: float, outer: float, z: float, spacing: float, colour: Colour, gloss=0.0
    ) -> None:
        """A flat ring (a disc when `inner` is 0) that faces up."""
        step = spacing / self.detail
        rows = max(round((outer - inner) / step), 1)
        points = []
        for r in inner + (np.arange(rows) + 0.5) * (outer - inner) / rows:
            around = max(round(2 * np.pi * r / step), 3)
            angle = (np.arange(around) + self.rng.random()) * 2 * np.pi / around
            points.append(
                np.stack([x + r * np.cos(angle), y + r * np.sin(angle), np.full(around, z)], 1)
            )
        points = np.concatenate(points)
        tint = colour(points) * self.rng.normal(1, 0.03, (len(points), 1))
        self.discs(
            points, (1.0, 0, 0), UP, (0.64 * step, 0.64 * step, _THIN_M), tint, 0.97, gloss=gloss
        )

    def cloud(
        self,
        centre,
        radii,
        count: int,
        size: float,
        dark: np.ndarray,
        light: np.ndarray,
        shell=False,
        glow=0.0,
    ) -> None:
        """Leaves in an ellipsoid, or a rounded body when `shell`; colours lie between dark and
        light.
        """
        count, size = max(int(count * self.detail**2), 1), size / self.detail
        direction = self.rng.normal(size=(count, 3))
        direction /= np.linalg.norm(direction, axis=1, keepdims=True)
        reach = np.ones((count, 1)) if shell else self.rng.random((count, 1)) ** 0.4
        points = np.asarray(centre, float) + direction * reach * np.asarray(radii)
        points[:, 2] = np.maximum(points[:, 2], 0.03)
        normal = (
            direction / np.asarray(radii)
            if shell
            else direction + self.rng.normal(0, 0.7, (count, 3))
        )
        mix = self.rng.random((count, 1))
        scale = (
            size
            * self.rng.uniform(0.7, 1.3, (count, 1))
            * ((1, 1, 0.35) if shell else (1.0, 0.62, 0.2))
        )
        twist = self.rng.normal(size=(count, 3))
        colours = dark + (light - dark) * mix
        self.discs(
            points, twist, normal, scale, colours, 0.96 if shell else 0.9, leaf=not shell, glow=glow
        )
        self.mark_shade(points)

    def level(
        self, x0, y0, x1, y1, z: Height, surface: str | None = None, inside: Callable | None = None
    ) -> None:
        """Sets the ground of a rectangle of the current frame, where `inside(x, y)`; what lies
        below is solid.

        `z` is a height above the frame's, or a function of x and y. Paint it as well: this only
        says where one stands.
        """
        cut, here, x, y = self._columns(x0, y0, x1, y1, inside)
        rise = self._origin[2] + (z(x, y) if callable(z) else z)
        before = self.height[cut].copy()[:, :, None]
        height = np.where(here, rise, self.height[cut])
        self.height[cut] = height
        below = self._centres(2) < height[:, :, None] - 0.01
        # ground that is cut into is gone
        self.grid[cut] &= ~(here[:, :, None] & ~below & (self._centres(2) < before))
        self.grid[cut] |= here[:, :, None] & below
        if surface is not None:
            self.surface[cut] = np.where(here, SEMANTIC_ID[surface], self.surface[cut])

    def bar_ground(self, x0, y0, x1, y1, inside: Callable | None = None) -> None:
        """Says that nobody goes onto a rectangle of the current frame, where `inside(x, y)`."""
        cut, here, _, _ = self._columns(x0, y0, x1, y1, inside)
        self.barred[cut] |= here

    def _columns(self, x0, y0, x1, y1, inside: Callable | None):
        """The part of the ground that holds a rectangle: slices, which of its cells are meant, and
        their x and y in the frame.
        """
        corners = self.world([(x, y, 0.0) for x in (x0, x1) for y in (y0, y1)])
        # which of these are meant follows
        cut = self._slices(corners.min(0) - CELL_M, corners.max(0) + CELL_M)[:2]
        centre = np.stack(
            np.meshgrid(*(self._centres(k)[cut[k]] for k in range(2)), indexing="ij"), -1
        )
        local = (centre - self._origin[:2]) @ self._turn[:2, :2]
        x, y = local[..., 0], local[..., 1]
        here = (x >= x0 - 1e-6) & (x <= x1 + 1e-6) & (y >= y0 - 1e-6) & (y <= y1 + 1e-6)
        if inside is not None:
            here &= inside(x, y)
        return cut, here, x, y

    def solid(self, x0, y0, z0, x1, y1, z1) -> None:
        """Marks a box as solid."""
        self._fill(self.grid, (x0, y0, z0), (x1, y1, z1))

    def wall_solid(
        self, start, along, out, length: float, height: float, openings, depth: float = 0.5
    ) -> None:
        """Marks the `depth` behind a wall (from `start`, `length` along, seen from `out`) as solid,
        but for its openings.
        """

        def inside(p: np.ndarray) -> np.ndarray:
            s, t, w = (p - start) @ along, p[..., 2] - start[2], -((p - start) @ out)
            here = (s > 0) & (s < length) & (w > -0.03) & (w < depth)
            for s0, s1, t0, t1 in openings:
                here &= ~((s > s0) & (s < s1) & (t > t0) & (t < t1))
            return here

        ends = np.stack(
            [
                start,
                start + along * length,
                start - out * depth,
                start + along * length - out * depth,
            ]
        )
        self._fill(
            self.grid,
            ends.min(0) - (0.1, 0.1, 0),
            ends.max(0) + np.array([0.1, 0.1, height]),
            inside,
        )

    def thin_solid(self, start, end, down) -> None:
        """Marks the voxels of a thin sheet start..end hanging along `down` as shading."""
        s, t = (
            a.ravel()[:, None] for a in np.meshgrid(np.linspace(0, 1, 80), np.linspace(0, 1, 40))
        )
        self.mark_shade(start + s * (np.asarray(end) - start) + t * np.asarray(down))

    def mark_shade(self, points: np.ndarray) -> None:
        """Marks the voxels of points as shading."""
        cells = np.floor((self.world(points) - self.low) / CELL_M).astype(int)
        cells = cells[((cells >= 0) & (cells < self.shade.shape)).all(axis=1)]
        self.shade[tuple(cells.T)] = True

    def lamp_at(self, x: float, y: float, z: float, rgb, reach: float = 8.0) -> None:
        """A light at a point of the current frame."""
        self.lamps.append(Lamp((*self.world([(x, y, z)])[0],), tuple(rgb), reach))

    def _centres(self, axis: int) -> np.ndarray:
        return self.low[axis] + (np.arange(self.grid.shape[axis]) + 0.5) * CELL_M

    def _slices(self, low, high) -> tuple[slice, ...]:
        first = np.maximum(np.round((np.asarray(low) - self.low) / CELL_M).astype(int), 0)
        last = np.maximum(np.round((np.asarray(high) - self.low) / CELL_M).astype(int), first + 1)
        return tuple(slice(a, b) for a, b in zip(first, last, strict=True))

    def _fill(
        self, grid: np.ndarray, low, high, inside: Callable[[np.ndarray], np.ndarray] | None = None
    ) -> None:
        """Sets the voxels of a box of the current frame whose centres are `inside`; thin boxes fill
        at least one layer.
        """
        low, high = np.asarray(low, float), np.asarray(high, float)
        square = np.allclose(np.abs(self._turn).max(axis=0), 1.0)
        if not square:  # a thin box at an angle would slip between the centres
            grow = np.maximum(0.5 * CELL_M * 1.2 - 0.5 * (high - low), 0) * (1, 1, 0)
            low, high = low - grow, high + grow
        corners = self.world(
            [
                (x, y, z)
                for x in (low[0], high[0])
                for y in (low[1], high[1])
                for z in (low[2], high[2])
            ]
        )
        cut = self._slices(corners.min(0), corners.max(0))
        if square and inside is None:
            grid[cut] = True
            return
        centre = np.stack(
            np.meshgrid(*(self._centres(k)[cut[k]] for k in range(3)), indexing="ij"), -1
        )
        local = (centre - self._origin) @ self._turn
        here = ((local[..., :2] >= low[:2]) & (local[..., :2] <= high[:2])).all(-1)
        grid[cut] |= here if inside is None else here & inside(local)
