"""What low-polygon things are made of: quads, their light, and where they stand in the way.

`tools/meshes.py` has boxes, prisms and lumps, which only makers of things need.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from s2e.envs.geometry.scene import SEMANTIC_ID, Mesh
from s2e.envs.geometry.textures import TEXTURES

Tint = tuple[float, float, float]
WHITE: Tint = (1.0, 1.0, 1.0)


def mesh_of(vertices, triangles, uv, texture: str, tint: Tint) -> Mesh:
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
    return mesh_of(np.zeros((0, 3)), np.zeros((0, 3)), np.zeros((0, 3, 2)), "white", WHITE)


def quad(
    corners, texture: str, repeat: tuple[float, float] = (1.0, 1.0), tint: Tint = WHITE
) -> Mesh:
    """Two triangles over four corners (4, 3), from the lower left, counter-clockwise as seen from
    outside.
    """
    u, v = repeat
    uv = np.array([[0, 0], [u, 0], [u, v], [0, v]])
    return mesh_of(corners, [[0, 1, 2], [0, 2, 3]], uv[[[0, 1, 2], [0, 2, 3]]], texture, tint)


def wall(
    start, end, z0: float, z1: float, texture: str, repeat=(1.0, 1.0), tint: Tint = WHITE
) -> Mesh:
    """A vertical rectangle over the segment start to end (x, y), seen from the right of that
    direction.
    """
    (ax, ay), (bx, by) = start, end
    return quad([[ax, ay, z0], [bx, by, z0], [bx, by, z1], [ax, ay, z1]], texture, repeat, tint)


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


def bake(
    mesh: Mesh, sun_direction: np.ndarray, sun_rgb: np.ndarray, ambient_rgb: np.ndarray
) -> Mesh:
    """Multiplies light into `shade`: a sun, the sky, and the dark where things meet the ground.

    Args:
        mesh: to light.
        sun_direction: (3,) towards the sun.
        sun_rgb: (3,) or (F, 3) light of the sun on a face that looks at it.
        ambient_rgb: (3,) or (F, 3) light of the sky on a face that looks up; other faces get less.
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


def mark(grid: np.ndarray, origin: np.ndarray, resolution: float, outline: np.ndarray) -> None:
    """Sets, in place, the cells of a grid that a convex outline (K, 2) touches by more than a
    corner.
    """
    half = resolution / 2
    low = np.floor((outline.min(0) - origin) / resolution).astype(int)
    high = np.ceil((outline.max(0) - origin) / resolution).astype(int)
    (c0, r0), (c1, r1) = np.maximum(low, 0), np.minimum(high, grid.shape[::-1])
    if c0 >= c1 or r0 >= r1:
        return
    x = origin[0] + (np.arange(c0, c1) + 0.5) * resolution
    y = origin[1] + (np.arange(r0, r1)[:, None] + 0.5) * resolution
    along = np.roll(outline, -1, 0) - outline
    normal = np.stack([along[:, 1], -along[:, 0]], 1)
    # A cell is out when even its corner nearest to the outline's inside lies beyond an edge.
    limit = half * np.abs(normal).sum(1) * 0.98 + (normal * outline).sum(1)
    beside = x * normal[:, :1] - limit[:, None]
    covered = (beside[:, None] + (y * normal[:, 1])[..., None].transpose(1, 0, 2) < 0).all(0)
    grid[r0:r1, c0:c1] |= covered


def place(outline: np.ndarray, x: float, y: float, yaw: float) -> np.ndarray:
    """Turns an outline (K, 2) by yaw, then moves it to x, y."""
    c, s = np.cos(yaw), np.sin(yaw)
    return outline @ np.array([[c, s], [-s, c]]) + [x, y]
