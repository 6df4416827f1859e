"""Turns what a `Builder` collected into one lit mesh: ground without overlaps, kerbs, sun, shadows,
dark corners.
"""

import dataclasses

import numpy as np

from s2e.envs.geometry.meshes import bake, empty_mesh, merge, place
from s2e.envs.geometry.scene import SEMANTIC_ID, Mesh
from s2e.envs.geometry.textures import TEXTURES
from s2e.envs.raster.shadows import cast, tile
from s2e.envs.streets.block import _SIZE, Builder, Floor

FOOT_Z, SHADOW_Z = 0.002, 0.005
"""How high dark feet of things and shadows lie over the ground, metres."""

INDOOR_RGB = np.array([0.84, 0.81, 0.75])


def _faces(points: np.ndarray, uv: np.ndarray, texture, shade, semantic) -> Mesh:
    """A mesh of quads (Q, 4, 3), each its own vertices, from arrays per quad; uv (Q, 4, 2), shade
    (Q, 4, 3).
    """
    count = len(points)
    fan = np.array([[0, 1, 2], [0, 2, 3]])
    index = (4 * np.arange(count)[:, None, None] + fan).reshape(-1, 3)
    return Mesh(
        vertices=points.reshape(-1, 3).astype(np.float32),
        triangles=index.astype(np.int32),
        uv=uv[:, fan].reshape(-1, 3, 2).astype(np.float32),
        texture=np.repeat(np.asarray(texture, dtype=np.int32), 2),
        shade=shade[:, fan].reshape(-1, 3, 3).astype(np.float32),
        semantic=np.repeat(np.asarray(semantic, dtype=np.uint8), 2),
        instance=np.zeros(2 * count, dtype=np.int32),
    )


def _floor_uv(floor: Floor, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Texture coordinates of the ground, aligned with the world."""
    size = _SIZE[floor.texture]
    across = 0.2 if floor.texture == "lane" else size
    return np.stack([y / size, x / across] if floor.turn else [x / size, y / across], -1)


def ground_rectangles(floors: list[Floor]) -> tuple[list[tuple], np.ndarray]:
    """The floors without what lies under others, as rectangles (floor, x0, y0, x1, y1); and kerbs.

    Kerbs are (K, 4, 3) quads that close the steps between floors of different heights, seen from
    the lower one.
    """
    xs = np.unique(np.round([v for f in floors for v in (f.x0, f.x1)], 3))
    ys = np.unique(np.round([v for f in floors for v in (f.y0, f.y1)], 3))
    index = np.full((len(ys) - 1, len(xs) - 1), -1, dtype=np.int32)
    for k, f in enumerate(floors):
        c = np.searchsorted(xs, np.round([f.x0, f.x1], 3))
        r = np.searchsorted(ys, np.round([f.y0, f.y1], 3))
        index[r[0] : r[1], c[0] : c[1]] = k
    tiles, edges = tile(index)
    rectangles = [(floors[p], xs[a], ys[b], xs[c], ys[d]) for p, a, b, c, d in tiles]
    kerbs = []
    for axis, line, start, stop, before, behind in edges:
        f, g = floors[before], floors[behind]
        if axis == 0:
            (x0, x1), (y0, y1) = (xs[start], xs[stop]), (ys[line], ys[line])
        else:
            (x0, x1), (y0, y1) = (xs[line], xs[line]), (ys[start], ys[stop])
        a, b = (f.height(x0, y0), f.height(x1, y1)), (g.height(x0, y0), g.height(x1, y1))
        if max(abs(a[0] - b[0]), abs(a[1] - b[1])) < 0.004:
            continue
        low, high = (a, b) if a[0] + a[1] < b[0] + b[1] else (b, a)
        corners = [[x0, y0, low[0]], [x1, y1, low[1]], [x1, y1, high[1]], [x0, y0, high[0]]]
        # Seen from the lower side: the floor before a line along x lies to its right, one along y
        # to its left.
        kerbs.append(
            corners
            if (a[0] + a[1] < b[0] + b[1]) == (axis == 0)
            else [corners[i] for i in (1, 0, 3, 2)]
        )
    return rectangles, np.array(kerbs).reshape(-1, 4, 3)


class Lighter:
    """Lights the meshes of a builder."""

    def __init__(self, b: Builder):
        self.b = b
        sky = b.weather.sky
        self.sun = np.array(sky.sun)
        # Wet ground is darker; the renderer adds what it mirrors.
        self.damp = 1.0 - 0.28 * sky.wet
        self.sun_rgb, self.ambient = np.array(sky.sun_rgb), np.array(sky.ambient_rgb)
        self.casts = float(self.sun_rgb.max()) > 0.2
        self.shaded = self.in_shade()

    def ground(self) -> tuple[Mesh, list]:
        """The ground, and it as rectangles that receive shadows."""
        rectangles, kerbs = ground_rectangles(self.b.floors)
        points, uv, texture, shade, semantic, receivers = [], [], [], [], [], []
        for f, x0, y0, x1, y1 in rectangles:
            x, y = np.array([x0, x1, x1, x0]), np.array([y0, y0, y1, y1])
            corners = np.column_stack([x, y, f.height(x, y)])
            normal = np.array([-f.slope_x, -f.slope_y, 1.0]) / np.sqrt(
                f.slope_x**2 + f.slope_y**2 + 1.0
            )
            dark = np.array(f.tint) * self.damp * ((0.78 + 0.22 * normal[2]) * self.ambient)
            lit = (
                dark
                + np.array(f.tint) * self.damp * max(float(normal @ self.sun), 0.0) * self.sun_rgb
            )
            if f.indoor:
                dark = lit = np.array(f.tint) * INDOOR_RGB
            points.append(corners)
            uv.append(_floor_uv(f, x, y))
            texture.append(TEXTURES[f.texture])
            shade.append(np.tile(lit, (4, 1)))
            semantic.append(SEMANTIC_ID[f.surface])
            receivers.append((f, corners, normal, dark, lit))
        mesh = _faces(np.array(points), np.array(uv), texture, np.array(shade), semantic)
        edge = np.array([[0, 0], [1, 0], [1, 1], [0, 1.0]])
        if len(kerbs):
            length = np.linalg.norm(kerbs[:, 1] - kerbs[:, 0], axis=1)
            tall = np.maximum(kerbs[:, 3, 2] - kerbs[:, 0, 2], kerbs[:, 2, 2] - kerbs[:, 1, 2])
            uvs = edge[None] * np.stack([length, tall], 1)[:, None]
            faces = _faces(
                kerbs,
                uvs,
                np.full(len(kerbs), TEXTURES["concrete"]),
                np.full((len(kerbs), 4, 3), 1.05),
                np.full(len(kerbs), SEMANTIC_ID["sidewalk"]),
            )
            mesh = merge([mesh, bake(faces, self.sun, self.sun_rgb, self.ambient)])
        return mesh, receivers

    def backing(self) -> Mesh:
        """A dark sheet below all ground, so that no sky shines through where rectangles meet."""
        low = (
            min(
                f.z + min(f.slope_x * (f.x1 - f.x0), 0) + min(f.slope_y * (f.y1 - f.y0), 0)
                for f in self.b.floors
            )
            - 0.03
        )
        x0, y0 = min(f.x0 for f in self.b.floors), min(f.y0 for f in self.b.floors)
        x1, y1 = max(f.x1 for f in self.b.floors), max(f.y1 for f in self.b.floors)
        corners = np.array([[[x0, y0, low], [x1, y0, low], [x1, y1, low], [x0, y1, low]]])
        shade = np.broadcast_to(self.ambient * 0.6, (1, 4, 3))
        return _faces(
            corners, corners[..., :2] / 2, [TEXTURES["asphalt"]], shade, [SEMANTIC_ID["road"]]
        )

    def casters(self) -> list[np.ndarray]:
        """Point sets whose hulls stand in the sun's way."""
        b, found = self.b, []
        for x0, y0, x1, y1, tall in b.houses:
            found.append(
                np.array([[x, y, z] for x in (x0, x1) for y in (y0, y1) for z in (-0.2, tall)])
            )
        found += b.slabs
        for (kind, x, y, yaw, z), dark in zip(b.placed, self.shaded):
            if dark:
                continue
            c, s = np.cos(yaw), np.sin(yaw)
            turn = np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]])
            found += [points @ turn + [x, y, z] for points in kind.casters]
        return found

    def shadows(self, receivers: list) -> Mesh:
        """Dark polygons over ground and walls."""
        points = self.casters()
        if not points or not self.casts:
            return empty_mesh()
        walls = [self._wall(w) for w in self.b.walls]
        everything = [self._floor(r) for r in receivers if not r[0].indoor] + walls
        everything = [r for r in everything if r[3] @ self.sun > 0.03]
        if not everything:
            return empty_mesh()
        frames = np.array([r[:4] for r in everything])
        sizes, deepest = np.array([r[4] for r in everything]), np.array([r[5] for r in everything])
        starts = np.cumsum([0] + [len(p) for p in points]).astype(np.int64)
        owner, corners, polygons = cast(
            frames, sizes, deepest, np.concatenate(points), starts, self.sun
        )
        return _polygons(everything, frames, owner, corners, polygons)

    def _floor(self, receiver) -> tuple:
        f, corners, normal, dark, _ = receiver
        u, v = corners[1] - corners[0], corners[3] - corners[0]
        base = _floor_uv(f, corners[[0, 1, 3], 0], corners[[0, 1, 3], 1])
        width, depth = np.linalg.norm(u), np.linalg.norm(v)
        uv = np.stack([base[0], (base[1] - base[0]) / width, (base[2] - base[0]) / depth])
        shade = np.stack([dark, np.zeros(3)])
        return (
            corners[0],
            u / width,
            v / depth,
            normal,
            (width, depth),
            0.6,
            uv,
            shade,
            TEXTURES[f.texture],
            SEMANTIC_ID[f.surface],
        )

    def _wall(self, w) -> tuple:
        start, end, z0, z1, texture, repeat, tint, semantic = w
        width = float(np.linalg.norm(end - start))
        u = np.array([*(end - start), 0.0]) / width
        normal = np.array([u[1], -u[0], 0.0])
        uv = np.array([[0, 0], [repeat[0] / width, 0], [0, repeat[1] / (z1 - z0)]])
        # As `bake` lights a wall: the sky's share, darker towards the ground.
        dark = np.array(tint) * 0.78 * self.ambient
        foot, top = (0.74 + 0.26 * np.clip(z / 0.5, 0.0, 1.0) for z in (z0, z1))
        shade = np.stack([dark * foot, dark * (top - foot) / (z1 - z0)])
        return (
            np.array([*start, z0]),
            u,
            np.array([0.0, 0.0, 1.0]),
            normal,
            (width, z1 - z0),
            0.02,
            uv,
            shade,
            TEXTURES[texture],
            SEMANTIC_ID[semantic],
        )

    def feet(self, receivers: list) -> Mesh:
        """The dark where things stand on the ground: fans around their outlines, cut to the
        rectangle below them.
        """
        spots = np.array([[*r[1][0, :2], *r[1][2, :2]] for r in receivers])
        points, uvs, faces, shades, layers, labels, start = [], [], [], [], [], [], 0
        for kind, x, y, yaw, _ in self.b.placed:
            inside = np.flatnonzero(
                (spots[:, 0] <= x) & (spots[:, 1] <= y) & (spots[:, 2] >= x) & (spots[:, 3] >= y)
            )
            if not len(inside):
                continue
            f, corners, _, _, lit = receivers[inside[0]]
            outline = place(kind.footprint, x, y, yaw)
            outline = outline[:: 1 + len(outline) // 8]
            middle = outline.mean(0)
            spread = outline - middle
            reach = min(max(0.35 * kind.height, 0.1), 0.4)
            rim = (
                outline
                + spread * (reach / np.maximum(np.hypot(spread[:, 0], spread[:, 1]), 0.05))[:, None]
            )
            flat = np.clip(np.concatenate([middle[None], rim]), corners[0, :2], corners[2, :2])
            count = len(rim)
            turn = np.arange(count)
            faces.append(
                start + np.stack([np.zeros(count, int), 1 + turn, 1 + (turn + 1) % count], 1)
            )
            points.append(np.column_stack([flat, f.height(flat[:, 0], flat[:, 1]) + FOOT_Z]))
            uvs.append(_floor_uv(f, flat[:, 0], flat[:, 1]))
            shades.append(np.broadcast_to(lit, (count, 3)))
            layers += [TEXTURES[f.texture]] * count
            labels += [SEMANTIC_ID[f.surface]] * count
            start += count + 1
        if not faces:
            return empty_mesh()
        fan = np.concatenate(faces)
        shade = np.repeat(np.concatenate(shades)[:, None], 3, 1)
        shade[:, 0] *= 0.35
        return Mesh(
            vertices=np.concatenate(points).astype(np.float32),
            triangles=fan.astype(np.int32),
            uv=np.concatenate(uvs)[fan].astype(np.float32),
            texture=np.array(layers, dtype=np.int32),
            shade=shade.astype(np.float32),
            semantic=np.array(labels, dtype=np.uint8),
            instance=np.zeros(len(fan), dtype=np.int32),
        )

    def in_shade(self) -> np.ndarray:
        """(P,) whether a house keeps the sun from each placed thing."""
        b = self.b
        spots = np.array(
            [[x, y, z + min(0.6 * kind.height, 1.5)] for kind, x, y, _, z in b.placed]
        ).reshape(-1, 3)
        if not b.houses or not len(spots):
            return np.zeros(len(spots), dtype=bool)
        houses = np.array(b.houses)
        # Where the ray to the sun is inside each house's sides: the slab test (Kay and Kajiya
        # 1986).
        with np.errstate(divide="ignore", invalid="ignore"):
            t0 = (houses[None, :, [0, 1]] - spots[:, None, :2]) / self.sun[:2]
            t1 = (houses[None, :, [2, 3]] - spots[:, None, :2]) / self.sun[:2]
        enter, leave = np.minimum(t0, t1).max(2), np.maximum(t0, t1).min(2)
        enter = np.maximum(enter, 0.0)
        return ((enter < leave) & (spots[:, 2:] + enter * self.sun[2] < houses[None, :, 4])).any(1)

    def things(self) -> Mesh:
        """Every placed thing, lit; their instances count from 1."""
        placed = self.b.placed
        if not placed:
            return empty_mesh()
        corners = np.array([len(p[0].mesh.vertices) for p in placed])
        faces = np.array([len(p[0].mesh.triangles) for p in placed])
        mesh = merge([p[0].mesh for p in placed])
        x, y, yaw, z = np.repeat(np.array([p[1:] for p in placed], dtype=np.float64), corners, 0).T
        c, s, v = np.cos(yaw), np.sin(yaw), mesh.vertices
        turned = np.stack(
            [c * v[:, 0] - s * v[:, 1] + x, s * v[:, 0] + c * v[:, 1] + y, v[:, 2]], 1
        )
        indoor = np.array([self._indoor(p[1], p[2]) for p in placed])
        sun_rgb = np.where((indoor | self.shaded)[:, None], 0.0, self.sun_rgb)
        ambient = np.where(indoor[:, None], INDOOR_RGB, self.ambient)
        mesh = dataclasses.replace(
            mesh,
            vertices=turned.astype(np.float32),
            instance=np.repeat(np.arange(1, len(placed) + 1, dtype=np.int32), faces),
        )
        # Baked on level ground, so that each is darkest at its own foot.
        mesh = bake(mesh, self.sun, np.repeat(sun_rgb, faces, 0), np.repeat(ambient, faces, 0))
        if self.b.weather.lamps:
            lamps = np.repeat([p[0].name in ("lamp", "arm_lamp") for p in placed], faces)
            mesh.shade[lamps & (mesh.texture == TEXTURES["white"])] = (1.2, 1.05, 0.75)
        mesh.vertices[:, 2] += z
        return mesh

    def _indoor(self, x: float, y: float) -> bool:
        return any(f.x0 <= x <= f.x1 and f.y0 <= y <= f.y1 for f in self.b.floors if f.indoor)

    def pools(self, receivers: list) -> Mesh:
        """Light on the ground under lamps, in the dusk."""
        parts = []
        for kind, x, y, _, _ in self.b.placed:
            if not self.b.weather.lamps or kind.name not in ("lamp", "arm_lamp"):
                continue
            for f, corners, _, _, lit in receivers:
                low, high = corners[0, :2], corners[2, :2]
                nearest = np.clip([x, y], low, high)
                if f.indoor or np.hypot(*(nearest - [x, y])) > 3.0 or (high - low).min() < 0.45:
                    continue
                parts.append(_pool(f, low, high, np.array([x, y]), lit))
        return merge(parts)

    def mesh(self) -> Mesh:
        """The whole scene."""
        ground, receivers = self.ground()
        groups = self.b.meshes
        parts = [
            ground,
            self.backing(),
            self.feet(receivers),
            self.pools(receivers),
            self.shadows(receivers),
            self.things(),
        ]
        parts.append(bake(merge(groups["sun"]), self.sun, self.sun_rgb, self.ambient))
        parts.append(bake(merge(groups["shade"]), self.sun, np.zeros(3), self.ambient * 0.75))
        parts.append(bake(merge(groups["indoor"]), self.sun, np.zeros(3), INDOOR_RGB))
        parts.append(merge(groups["lit"]))
        return merge(parts)


def _fan(
    vertices: np.ndarray, fan: np.ndarray, uv: np.ndarray, floor: Floor, shade: np.ndarray
) -> Mesh:
    """Triangles on the ground with the floor's own texture."""
    count = len(fan)
    return Mesh(
        vertices=vertices.astype(np.float32),
        triangles=fan.astype(np.int32),
        uv=uv[fan].astype(np.float32),
        texture=np.full(count, TEXTURES[floor.texture], dtype=np.int32),
        shade=shade.astype(np.float32),
        semantic=np.full(count, SEMANTIC_ID[floor.surface], dtype=np.uint8),
        instance=np.zeros(count, dtype=np.int32),
    )


def _pool(
    floor: Floor, low: np.ndarray, high: np.ndarray, center: np.ndarray, lit: np.ndarray
) -> Mesh:
    """A disc of warm light, 3 m wide, cut to a rectangle of ground."""
    angle = 2 * np.pi * np.arange(10) / 10
    points = np.concatenate([[center], center + 3.0 * np.stack([np.cos(angle), np.sin(angle)], 1)])
    away = np.linalg.norm(points - center, axis=1)
    points = np.clip(points, low, high)
    moved = np.linalg.norm(points - center, axis=1)
    glow = np.clip(1.0 - np.minimum(moved, np.maximum(away, 0.0)) / 3.0, 0.0, 1.0)[
        :, None
    ] * np.array([0.55, 0.44, 0.26])
    fan = np.stack([np.zeros(10, int), 1 + np.arange(10), 1 + (np.arange(10) + 1) % 10], 1)
    z = floor.height(points[:, 0], points[:, 1]) + FOOT_Z
    return _fan(
        np.column_stack([points, z]),
        fan,
        _floor_uv(floor, points[:, 0], points[:, 1]),
        floor,
        (lit + glow)[fan],
    )


def _polygons(receivers: list, frames, owner, corners, polygons) -> Mesh:
    """Triangles of shadow polygons, all at once."""
    if not len(owner):
        return empty_mesh()
    uv = np.array([r[6] for r in receivers])[owner]
    shade = np.array([r[7] for r in receivers])[owner]
    frame, flat = frames[owner], polygons
    points = (
        frame[:, None, 0]
        + frame[:, None, 3] * SHADOW_Z
        + flat[..., :1] * frame[:, None, 1]
        + flat[..., 1:] * frame[:, None, 2]
    )
    uvs = uv[:, None, 0] + flat[..., :1] * uv[:, None, 1] + flat[..., 1:] * uv[:, None, 2]
    shades = shade[:, None, 0] + flat[..., 1:] * shade[:, None, 1]
    which = np.repeat(np.arange(len(owner)), corners - 2)
    step = np.arange(len(which)) - np.repeat(np.cumsum(corners - 2) - (corners - 2), corners - 2)
    local = np.stack([np.zeros_like(step), step + 1, step + 2], 1)
    used = np.arange(flat.shape[1]) < corners[:, None]
    first = np.cumsum(corners) - corners
    return Mesh(
        vertices=points[used].astype(np.float32),
        triangles=(first[which][:, None] + local).astype(np.int32),
        uv=uvs[which[:, None], local].astype(np.float32),
        texture=np.array([r[8] for r in receivers], dtype=np.int32)[owner[which]],
        shade=shades[which[:, None], local].astype(np.float32),
        semantic=np.array([r[9] for r in receivers], dtype=np.uint8)[owner[which]],
        instance=np.zeros(len(which), dtype=np.int32),
    )
