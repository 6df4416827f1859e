"""Boxes, prisms and lumps: what things that are stored as files are put together from."""

import numpy as np

from s2e.envs.geometry.meshes import WHITE, Tint, merge, mesh_of, quad
from s2e.envs.geometry.scene import Mesh


def ground(
    x0: float,
    y0: float,
    x1: float,
    y1: float,
    texture: str,
    size: float,
    z: float = 0.0,
    tint: Tint = WHITE,
):
    """A horizontal rectangle whose texture spans `size` metres and is aligned with the world."""
    corners = np.array([[x0, y0, z], [x1, y0, z], [x1, y1, z], [x0, y1, z]])
    index = np.array([[0, 1, 2], [0, 2, 3]])
    return mesh_of(corners, index, corners[index][..., :2] / size, texture, tint)


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
    """An upright box of `size` (x, y, z) that stands at height `z`; `top` gives other sizes (x, y)
    to its upper face.

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
        parts.append(
            quad(
                corners, texture, (across * scale, size[2] * scale) if metres else (1.0, 1.0), tint
            )
        )
    repeat = (size[0] * scale, size[1] * scale) if metres else (1.0, 1.0)
    parts.append(
        quad(np.column_stack([high, np.full(4, z + size[2])]), top_texture or texture, repeat, tint)
    )
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
    bottom: bool = False,
) -> Mesh:
    """An upright cylinder or cone frustum of `sides` faces."""
    angle = 2 * np.pi * (np.arange(sides) + 0.5) / sides
    ring = np.stack([np.cos(angle), np.sin(angle)], 1)
    upper = radius if top_radius is None else top_radius
    low = np.column_stack([ring * radius + center, np.full(sides, z)])
    high = np.column_stack([ring * upper + center, np.full(sides, z + height)])
    i, j = np.arange(sides), (np.arange(sides) + 1) % sides
    triangles = np.concatenate(
        [np.stack([i, j, j + sides], 1), np.stack([i, j + sides, i + sides], 1)]
    )
    u0, u1, zero, v = (
        i * repeat[0] / sides,
        (i + 1) * repeat[0] / sides,
        np.zeros(sides),
        np.full(sides, repeat[1]),
    )
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
    if bottom:
        fan = np.stack([np.zeros(sides - 2, int), i[2:], i[1:-1]], 1)
        triangles, uv = (
            np.concatenate([triangles, fan]),
            np.concatenate([uv, 0.5 + 0.5 * ring[fan]]),
        )
    return mesh_of(np.concatenate([low, high]), triangles, uv, texture, tint)


def blob(
    radius: float,
    center: tuple[float, float, float],
    texture: str,
    tint: Tint = WHITE,
    flat: float = 1.0,
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
    return mesh_of(vertices, triangles, around[triangles] * max(radius, 0.5), texture, tint)


def cone(
    radius: float,
    height: float,
    texture: str,
    tint: Tint = WHITE,
    z: float = 0.0,
    sides: int = 8,
    bottom: bool = False,
) -> Mesh:
    """An upright cone of `sides` faces; its texture goes once around for every two faces."""
    angle = 2 * np.pi * np.arange(sides) / sides
    ring = np.column_stack([np.cos(angle) * radius, np.sin(angle) * radius, np.full(sides, z)])
    i, j = np.arange(sides), (np.arange(sides) + 1) % sides
    triangles = np.stack([i, j, np.full(sides, sides)], 1)
    half = 0.5 * (i % 2)
    uv = np.stack(
        [
            np.stack([half, 0 * half], 1),
            np.stack([half + 0.5, 0 * half], 1),
            np.stack([half + 0.25, 0 * half + 1], 1),
        ],
        1,
    )
    if bottom:
        fan = np.stack([np.zeros(sides - 2, int), i[2:], i[1:-1]], 1)
        triangles, uv = (
            np.concatenate([triangles, fan]),
            np.concatenate([uv, 0.5 + 0.5 * ring[fan][..., :2] / radius]),
        )
    return mesh_of(np.concatenate([ring, [[0, 0, z + height]]]), triangles, uv, texture, tint)


def plate(sides: int, radius: float, z: float, texture: str, thick: float = 0.04) -> Mesh:
    """An upright disc whose centre is at height z and whose face looks along x; a back of metal
    unless `thick` is 0.
    """
    angle = 2 * np.pi * (np.arange(sides) + 0.5) / sides - np.pi / 2
    ring = np.stack([np.cos(angle), np.sin(angle)], 1)
    fan = np.array([[0, k, k + 1] for k in range(1, sides - 1)])
    face = np.column_stack(
        [np.full(sides, thick / 2), radius * ring[:, 0], z + radius * ring[:, 1]]
    )
    uv = 0.5 + 0.499 * ring
    front = mesh_of(face, fan, uv[fan], texture, WHITE)
    if not thick:
        return front
    return merge(
        [front, mesh_of(face * [-1, 1, 1], fan[:, ::-1], uv[fan], "metal", (0.6, 0.6, 0.6))]
    )


def wheel(x: float, radius: float, width: float = 0.04) -> Mesh:
    """A thin wheel in the x-z plane that stands at x, seen from both sides."""
    ring = radius * np.stack(
        [np.cos(np.arange(8) * np.pi / 4), np.sin(np.arange(8) * np.pi / 4)], 1
    )
    fan = np.array([[0, k, k + 1] for k in range(1, 7)])
    sides = []
    for side in (-1, 1):
        face = np.column_stack(
            [x - side * ring[:, 0], np.full(8, side * width / 2), radius + ring[:, 1]]
        )
        sides.append(mesh_of(face, fan, (0.5 + ring / (2.12 * radius))[fan], "tyre", WHITE))
    return merge(sides)
