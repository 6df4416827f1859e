"""Low-polygon things of a street: boxes and prisms put together, their light, and where they stand in the way."""

import dataclasses
import functools
from collections.abc import Callable, Sequence

import numpy as np

from s2e.envs.occupancy import Occupancy
from s2e.envs.scene import SEMANTIC_ID, Mesh
from s2e.envs.textures import TEXTURES
from s2e.errors import UserError

Tint = tuple[float, float, float]
WHITE: Tint = (1.0, 1.0, 1.0)


def _mesh(vertices, triangles, uv, texture: str, tint: Tint) -> Mesh:
    """A mesh of one texture and one colour."""
    count = len(triangles)
    return Mesh(
        vertices=np.asarray(vertices, dtype=np.float32).reshape(-1, 3),
        triangles=np.asarray(triangles, dtype=np.int32).reshape(-1, 3),
        uv=np.asarray(uv, dtype=np.float32).reshape(-1, 3, 2),
        texture=np.full(count, TEXTURES[texture], dtype=np.int32),
        shade=np.broadcast_to(np.asarray(tint, dtype=np.float32), (count, 3, 3)).copy(),
        semantic=np.full(count, SEMANTIC_ID["building"], dtype=np.uint8),
        instance=np.zeros(count, dtype=np.int32),
    )


def empty_mesh() -> Mesh:
    """A mesh without triangles."""
    return _mesh(np.zeros((0, 3)), np.zeros((0, 3)), np.zeros((0, 3, 2)), "white", WHITE)


def quad(corners, texture: str, repeat: tuple[float, float] = (1.0, 1.0), tint: Tint = WHITE) -> Mesh:
    """Two triangles over four corners (4, 3), from the lower left, counter-clockwise as seen from outside."""
    u, v = repeat
    uv = np.array([[0, 0], [u, 0], [u, v], [0, v]])
    return _mesh(corners, [[0, 1, 2], [0, 2, 3]], uv[[[0, 1, 2], [0, 2, 3]]], texture, tint)


def ground(x0: float, y0: float, x1: float, y1: float, texture: str, size: float, z: float = 0.0, tint: Tint = WHITE):
    """A horizontal rectangle whose texture spans `size` metres and is aligned with the world."""
    corners = np.array([[x0, y0, z], [x1, y0, z], [x1, y1, z], [x0, y1, z]])
    index = np.array([[0, 1, 2], [0, 2, 3]])
    return _mesh(corners, index, corners[index][..., :2] / size, texture, tint)


def wall(start, end, z0: float, z1: float, texture: str, repeat=(1.0, 1.0), tint: Tint = WHITE) -> Mesh:
    """A vertical rectangle over the segment start to end (x, y), seen from the right of that direction."""
    (ax, ay), (bx, by) = start, end
    return quad([[ax, ay, z0], [bx, by, z0], [bx, by, z1], [ax, ay, z1]], texture, repeat, tint)


def box(
    size: tuple[float, float, float],
    texture: str,
    tint: Tint = WHITE,
    center: tuple[float, float] = (0.0, 0.0),
    z: float = 0.0,
    top: tuple[float, float] | None = None,
    top_texture: str | None = None,
    metres: float | None = None,
    bottom: bool = False,
) -> Mesh:
    """An upright box of `size` (x, y, z) that stands at height `z`; `top` gives other sizes (x, y) to its upper face.

    A texture covers each face once, or repeats every `metres`.
    """
    hx, hy = size[0] / 2, size[1] / 2
    tx, ty = (hx, hy) if top is None else (top[0] / 2, top[1] / 2)
    low = np.array([[-hx, -hy], [hx, -hy], [hx, hy], [-hx, hy]]) + center
    high = np.array([[-tx, -ty], [tx, -ty], [tx, ty], [-tx, ty]]) + center
    scale = 1.0 / metres if metres else 0.0
    parts = []
    for i in range(4):
        j = (i + 1) % 4
        corners = [[*low[i], z], [*low[j], z], [*high[j], z + size[2]], [*high[i], z + size[2]]]
        across = size[i % 2]
        parts.append(quad(corners, texture, (across * scale, size[2] * scale) if metres else (1.0, 1.0), tint))
    repeat = (size[0] * scale, size[1] * scale) if metres else (1.0, 1.0)
    parts.append(quad(np.column_stack([high, np.full(4, z + size[2])]), top_texture or texture, repeat, tint))
    if bottom:
        parts.append(quad(np.column_stack([low[::-1], np.full(4, z)]), texture, repeat, tint))
    return merge(parts)


def prism(
    radius: float,
    height: float,
    texture: str,
    tint: Tint = WHITE,
    center: tuple[float, float] = (0.0, 0.0),
    z: float = 0.0,
    top_radius: float | None = None,
    sides: int = 8,
    repeat: tuple[float, float] = (2.0, 1.0),
    cap: bool = True,
) -> Mesh:
    """An upright cylinder or cone frustum of `sides` faces."""
    angle = 2 * np.pi * (np.arange(sides) + 0.5) / sides
    ring = np.stack([np.cos(angle), np.sin(angle)], 1)
    upper = radius if top_radius is None else top_radius
    low = np.column_stack([ring * radius + center, np.full(sides, z)])
    high = np.column_stack([ring * upper + center, np.full(sides, z + height)])
    i, j = np.arange(sides), (np.arange(sides) + 1) % sides
    triangles = np.concatenate([np.stack([i, j, j + sides], 1), np.stack([i, j + sides, i + sides], 1)])
    u0, u1, zero, v = i * repeat[0] / sides, (i + 1) * repeat[0] / sides, np.zeros(sides), np.full(sides, repeat[1])
    uv = np.concatenate(
        [
            np.stack([np.stack([u0, zero], 1), np.stack([u1, zero], 1), np.stack([u1, v], 1)], 1),
            np.stack([np.stack([u0, zero], 1), np.stack([u1, v], 1), np.stack([u0, v], 1)], 1),
        ]
    )
    if cap and upper > 0:
        fan = np.stack([np.full(sides - 2, sides), sides + i[1:-1], sides + i[2:]], 1)
        triangles = np.concatenate([triangles, fan])
        uv = np.concatenate([uv, 0.5 + 0.5 * ring[fan - sides]])
    return _mesh(np.concatenate([low, high]), triangles, uv, texture, tint)


def blob(
    radius: float, center: tuple[float, float, float], texture: str, tint: Tint = WHITE, flat: float = 1.0
) -> Mesh:
    """A rounded lump of 24 triangles: two hexagon rings and two poles; `flat` scales its height."""
    angle = 2 * np.pi * np.arange(6) / 6
    rings = [
        np.column_stack([np.cos(angle + turn) * r, np.sin(angle + turn) * r, np.full(6, h)])
        for turn, r, h in ((0.0, 0.92, -0.4), (np.pi / 6, 0.85, 0.45))
    ]
    unit = np.concatenate([*rings, [[0, 0, -0.85]], [[0, 0, 1.0]]])
    i, j = np.arange(6), (np.arange(6) + 1) % 6
    triangles = np.concatenate(
        [
            np.stack([i, j, i + 6], 1),
            np.stack([j, j + 6, i + 6], 1),
            np.stack([j, i, np.full(6, 12)], 1),
            np.stack([i + 6, j + 6, np.full(6, 13)], 1),
        ]
    )
    # Texture by direction around and height, so that the leaves do not stretch.
    around = np.stack([unit[:, 0] + 0.5 * unit[:, 1], unit[:, 2] + 0.5 * unit[:, 1]], 1)
    vertices = unit * [radius, radius, radius * flat] + center
    return _mesh(vertices, triangles, around[triangles] * max(radius, 0.5), texture, tint)


def merge(meshes: Sequence[Mesh]) -> Mesh:
    """One mesh of many."""
    if not meshes:
        return empty_mesh()
    starts = np.cumsum([0] + [len(m.vertices) for m in meshes])
    return Mesh(
        vertices=np.concatenate([m.vertices for m in meshes]),
        triangles=np.concatenate([m.triangles + np.int32(s) for m, s in zip(meshes, starts)]),
        uv=np.concatenate([m.uv for m in meshes]),
        texture=np.concatenate([m.texture for m in meshes]),
        shade=np.concatenate([m.shade for m in meshes]),
        semantic=np.concatenate([m.semantic for m in meshes]),
        instance=np.concatenate([m.instance for m in meshes]),
    )


def transform(mesh: Mesh, x: float, y: float, yaw: float, z: float = 0.0) -> Mesh:
    """Turns a mesh by `yaw` about the z axis, then moves it."""
    c, s = np.cos(yaw), np.sin(yaw)
    turned = mesh.vertices @ np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]]) + [x, y, z]
    return dataclasses.replace(mesh, vertices=turned.astype(np.float32))


def bake(mesh: Mesh, sun_direction: np.ndarray, sun_rgb: np.ndarray, ambient_rgb: np.ndarray) -> Mesh:
    """Multiplies light into `shade`: a sun, the sky, and the dark where things meet the ground.

    Args:
        mesh: to light.
        sun_direction: (3,) towards the sun.
        sun_rgb: (3,) light of the sun on a face that looks at it.
        ambient_rgb: (3,) light of the sky on a face that looks up; other faces get less.
    """
    points = mesh.vertices[mesh.triangles].astype(np.float64)
    normals = np.cross(points[:, 1] - points[:, 0], points[:, 2] - points[:, 0])
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
    toward = np.asarray(sun_direction) / np.linalg.norm(sun_direction)
    sun = np.maximum(normals @ toward, 0.0)[:, None] * np.asarray(sun_rgb)
    sky = (0.78 + 0.22 * normals[:, 2:]) * np.asarray(ambient_rgb)
    # Walls darken in their lowest half metre; level ground does not.
    height = np.clip(points[..., 2] / 0.5, 0.0, 1.0)
    contact = np.where(normals[:, 2:] > 0.9, 1.0, 0.74 + 0.26 * height)
    shade = mesh.shade * (sun + sky)[:, None, :] * contact[..., None]
    return dataclasses.replace(mesh, shade=shade.astype(np.float32))


def _bench() -> Mesh:
    legs = [box((0.08, 0.42, 0.42), "metal", (0.35, 0.36, 0.38), (x, 0.0)) for x in (-0.65, 0.65)]
    seat = box((1.6, 0.45, 0.06), "wood", center=(0.0, 0.0), z=0.42, bottom=True)
    back = box((1.6, 0.05, 0.36), "wood", center=(0.0, -0.22), z=0.52, bottom=True)
    return merge([*legs, seat, back])


def _tree() -> Mesh:
    trunk = prism(0.17, 2.4, "bark", top_radius=0.11, sides=6, cap=False)
    crown = [blob(1.35, (0.0, 0.0, 3.3), "leaves"), blob(0.95, (0.6, 0.45, 4.1), "leaves", (1.12, 1.1, 0.95))]
    return merge([trunk, *crown])


def _planter() -> Mesh:
    tub = box((1.0, 1.0, 0.5), "concrete", top=(1.1, 1.1), top_texture="bark")
    return merge([tub, blob(0.5, (0.0, 0.0, 0.8), "hedge", (1.1, 1.15, 1.0))])


def _cone() -> Mesh:
    base = box((0.4, 0.4, 0.05), "white", (0.15, 0.15, 0.16))
    return merge([base, prism(0.15, 0.68, "cone", z=0.05, top_radius=0.03)])


def _barrier() -> Mesh:
    boards = [box((1.6, 0.06, 0.24), "hazard", z=z, metres=0.5, bottom=True) for z in (0.35, 0.75)]
    feet = [box((0.08, 0.5, 0.06), "metal", (0.5, 0.5, 0.5), (x, 0.0)) for x in (-0.7, 0.7)]
    posts = [box((0.06, 0.05, 0.98), "metal", (0.8, 0.8, 0.8), (x, 0.0)) for x in (-0.7, 0.7)]
    return merge([*boards, *feet, *posts])


def _car(tint: Tint) -> Mesh:
    body = box((4.2, 1.76, 0.58), "car_side", tint, z=0.22, top=(4.1, 1.66), top_texture="white", bottom=True)
    cabin = box((2.5, 1.6, 0.52), "car_glass", WHITE, (-0.2, 0.0), 0.8, top=(1.6, 1.32), top_texture="white")
    roof = box((1.62, 1.34, 0.04), "white", tint, (-0.2, 0.0), 1.32)
    wheels = []
    for x in (-1.3, 1.3):
        for side in (-1, 1):
            y = side * 0.87
            octagon = 0.31 * np.stack([np.cos(np.arange(8) * np.pi / 4), np.sin(np.arange(8) * np.pi / 4)], 1)
            face = np.column_stack([x - side * octagon[:, 0], np.full(8, y), 0.31 + octagon[:, 1]])
            fan = np.array([[0, k, k + 1] for k in range(1, 7)])
            wheels.append(_mesh(face, fan, (0.5 + octagon / 0.62)[fan], "tyre", WHITE))
    lamps = []
    for y in (-0.6, 0.6):
        lamps.append(wall((2.09, y - 0.16), (2.09, y + 0.16), 0.5, 0.66, "white", tint=(0.95, 0.93, 0.8)))
        lamps.append(wall((-2.09, y + 0.16), (-2.09, y - 0.16), 0.5, 0.66, "white", tint=(0.75, 0.1, 0.1)))
    return merge([body, cabin, roof, *wheels, *lamps])


def _sign() -> Mesh:
    pole = prism(0.05, 2.3, "metal", (0.7, 0.7, 0.72), sides=6)
    return merge([pole, box((0.06, 0.75, 0.75), "sign", z=1.7, bottom=True)])


def _table() -> Mesh:
    parts = [prism(0.45, 0.05, "wood", (1.15, 1.1, 1.0), z=0.72), prism(0.05, 0.72, "metal", (0.4, 0.4, 0.4), sides=6)]
    for side in (-1, 1):
        parts.append(box((0.4, 0.4, 0.06), "wood", (0.7, 0.7, 0.75), (side * 0.8, 0.0), 0.42, bottom=True))
        parts.append(box((0.05, 0.4, 0.45), "wood", (0.7, 0.7, 0.75), (side * 0.98, 0.0), 0.45))
        parts.append(box((0.3, 0.3, 0.42), "metal", (0.3, 0.3, 0.3), (side * 0.8, 0.0)))
    return merge(parts)


def _hydrant() -> Mesh:
    red = (0.8, 0.12, 0.1)
    arms = box((0.14, 0.42, 0.12), "white", red, z=0.42, bottom=True)
    return merge([prism(0.13, 0.6, "white", red), prism(0.1, 0.16, "white", red, z=0.6, top_radius=0.03), arms])


def _fence() -> Mesh:
    panel = [wall((-1.2, y), (1.2, y), 0.0, 1.1, "fence", (3.0, 1.0)) for y in (-0.03,)]
    panel.append(wall((1.2, 0.03), (-1.2, 0.03), 0.0, 1.1, "fence", (3.0, 1.0)))
    posts = [box((0.08, 0.08, 1.16), "metal", (0.6, 0.6, 0.62), (x, 0.0)) for x in (-1.2, 1.2)]
    return merge([*panel, *posts])


def _wheel(x: float) -> Mesh:
    """A thin wheel in the x-z plane, seen from both sides."""
    ring = 0.33 * np.stack([np.cos(np.arange(8) * np.pi / 4), np.sin(np.arange(8) * np.pi / 4)], 1)
    sides = []
    for side in (-1, 1):
        face = np.column_stack([x - side * ring[:, 0], np.full(8, side * 0.02), 0.33 + ring[:, 1]])
        fan = np.array([[0, k, k + 1] for k in range(1, 7)])
        sides.append(_mesh(face, fan, (0.5 + ring / 0.7)[fan], "tyre", WHITE))
    return merge(sides)


def _bicycle() -> Mesh:
    frame = (0.15, 0.35, 0.6)
    parts = [_wheel(-0.52), _wheel(0.52)]
    parts.append(box((0.75, 0.05, 0.07), "white", frame, (0.02, 0.0), 0.62, bottom=True))
    parts.append(box((0.05, 0.05, 0.55), "white", frame, (-0.2, 0.0), 0.33))
    parts.append(box((0.05, 0.05, 0.72), "white", frame, (0.42, 0.0), 0.3))
    parts.append(box((0.26, 0.16, 0.07), "white", (0.1, 0.1, 0.1), (-0.22, 0.0), 0.88, bottom=True))
    parts.append(box((0.05, 0.56, 0.05), "white", (0.2, 0.2, 0.2), (0.42, 0.0), 1.0, bottom=True))
    return merge(parts)


def _pallet() -> Mesh:
    crates = [
        box((0.75, 0.5, 0.4), "wood", WHITE, z=0.14),
        box((0.5, 0.4, 0.35), "wood", (1.15, 1.1, 1), (0.05, 0.02), 0.54),
    ]
    return merge([box((0.9, 0.65, 0.14), "wood", (0.7, 0.68, 0.66)), *crates])


def _kiosk() -> Mesh:
    stem = box((1.2, 0.3, 2.1), "metal", (0.3, 0.32, 0.35))
    return merge([stem, box((1.0, 0.34, 1.5), "sign", (1.0, 0.75, 0.6), z=0.45)])


def _bin() -> Mesh:
    rim = prism(0.3, 0.08, "metal", (0.3, 0.32, 0.3), z=0.86)
    return merge([prism(0.24, 0.86, "metal", (0.32, 0.45, 0.36), top_radius=0.28), rim])


def _wheelie_bin() -> Mesh:
    green = (0.2, 0.36, 0.24)
    body = box((0.52, 0.5, 0.9), "cloth", green, top=(0.62, 0.58))
    return merge([body, box((0.68, 0.64, 0.08), "cloth", (0.14, 0.24, 0.17), z=0.9, bottom=True)])


def _bollard() -> Mesh:
    return merge(
        [
            prism(0.09, 0.8, "metal", (0.45, 0.46, 0.5), sides=6, cap=False),
            prism(0.1, 0.12, "white", (0.9, 0.75, 0.2), z=0.8, sides=6),
        ]
    )


def _lamp() -> Mesh:
    pole = prism(0.08, 4.6, "metal", (0.4, 0.42, 0.45), top_radius=0.05, sides=5, cap=False)
    foot = prism(0.16, 0.7, "metal", (0.35, 0.37, 0.4), sides=5)
    return merge([pole, foot, box((0.4, 0.4, 0.3), "white", z=4.6)])


def _shrub() -> Mesh:
    return merge([blob(0.55, (0.0, 0.0, 0.45), "hedge", flat=0.95), blob(0.38, (0.35, 0.2, 0.38), "leaves")])


OBSTACLES: dict[str, tuple[Callable[[], Mesh], tuple[float, float] | float]] = {
    "bench": (_bench, (1.6, 0.52)),
    "bin": (_bin, 0.3),
    "bollard": (_bollard, 0.12),
    "tree": (_tree, 0.2),
    "planter": (_planter, (1.1, 1.1)),
    "cone": (_cone, 0.27),
    "barrier": (_barrier, (1.6, 0.5)),
    "car": (lambda: _car((0.75, 0.76, 0.78)), (4.22, 1.78)),
    "red_car": (lambda: _car((0.62, 0.1, 0.1)), (4.22, 1.78)),
    "blue_car": (lambda: _car((0.14, 0.25, 0.45)), (4.22, 1.78)),
    "dark_car": (lambda: _car((0.13, 0.13, 0.14)), (4.22, 1.78)),
    "box": (lambda: box((0.5, 0.4, 0.45), "wood", (1.2, 1.05, 0.85)), (0.5, 0.4)),
    "pallet": (_pallet, (0.9, 0.65)),
    "sign": (_sign, 0.12),
    "table": (_table, (2.05, 0.9)),
    "hydrant": (_hydrant, 0.22),
    "fence": (_fence, (2.5, 0.12)),
    "bicycle": (_bicycle, (1.72, 0.58)),
    "kiosk": (_kiosk, (1.22, 0.36)),
    "wheelie_bin": (_wheelie_bin, (0.68, 0.64)),
    "lamp": (_lamp, 0.18),
    "shrub": (_shrub, 0.7),
}
"""Each kind's builder and what it covers of the ground: sizes (x, y) of a rectangle or the radius of a circle, metres."""

CARS = ("car", "red_car", "blue_car", "dark_car")


def _known(kind: str) -> None:
    if kind not in OBSTACLES:
        raise UserError(f"obstacle kind {kind!r} is unknown; choose from {', '.join(OBSTACLES)}")


@functools.cache
def obstacle_mesh(kind: str) -> Mesh:
    """An obstacle at the origin, heading along x, before any light; see `bake`.

    Raises:
        UserError: there is no such kind.
    """
    _known(kind)
    return OBSTACLES[kind][0]()


@functools.cache
def footprint(kind: str) -> np.ndarray:
    """(K, 2) corners of the convex outline of what a kind covers, counter-clockwise, metres, at the origin.

    Raises:
        UserError: there is no such kind.
    """
    _known(kind)
    size = OBSTACLES[kind][1]
    if isinstance(size, tuple):
        hx, hy = size[0] / 2, size[1] / 2
        return np.array([[-hx, -hy], [hx, -hy], [hx, hy], [-hx, hy]])
    angle = 2 * np.pi * np.arange(12) / 12
    return size / np.cos(np.pi / 12) * np.stack([np.cos(angle), np.sin(angle)], 1)


def mark(grid: np.ndarray, origin: np.ndarray, resolution: float, outline: np.ndarray) -> None:
    """Sets, in place, the cells of a grid that a convex outline (K, 2) touches by more than a corner."""
    half = resolution / 2
    low = np.floor((outline.min(0) - origin) / resolution).astype(int)
    high = np.ceil((outline.max(0) - origin) / resolution).astype(int)
    (c0, r0), (c1, r1) = np.maximum(low, 0), np.minimum(high, grid.shape[::-1])
    if c0 >= c1 or r0 >= r1:
        return
    x = origin[0] + (np.arange(c0, c1) + 0.5) * resolution
    y = origin[1] + (np.arange(r0, r1)[:, None] + 0.5) * resolution
    covered = np.ones((r1 - r0, c1 - c0), dtype=bool)
    for a, b in zip(outline, np.roll(outline, -1, 0)):
        normal = np.array([b[1] - a[1], a[0] - b[0]])
        # A cell is out when even its corner nearest to the outline's inside lies beyond this edge.
        reach = half * np.abs(normal).sum() * 0.98
        covered &= (x - a[0]) * normal[0] + (y - a[1]) * normal[1] < reach
    grid[r0:r1, c0:c1] |= covered


def stamp(occupancy: Occupancy, kind: str, x: float, y: float, yaw: float) -> Occupancy:
    """A copy of a map in which an obstacle's footprint is occupied as well.

    Raises:
        UserError: there is no such kind.
    """
    grid = occupancy.grid.copy()
    mark(grid, occupancy.origin, occupancy.resolution, place(footprint(kind), x, y, yaw))
    return Occupancy(grid, occupancy.origin, occupancy.resolution)


def place(outline: np.ndarray, x: float, y: float, yaw: float) -> np.ndarray:
    """Turns an outline (K, 2) by yaw, then moves it to x, y."""
    c, s = np.cos(yaw), np.sin(yaw)
    return outline @ np.array([[c, s], [-s, c]]) + [x, y]
