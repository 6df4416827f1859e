"""Meshes as the rasteriser wants them: flat polygons in groups that lie close together, many scenes
in one set of arrays.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np

from s2e.core.errors import UserError
from s2e.envs.geometry.scene import Mesh
from s2e.envs.geometry.textures import TEXTURES
from s2e.envs.raster.lanes import WIDTH

CELL_M = 8.0
"""Polygons without an instance of their own are grouped by squares of this side."""

GROUP = 64
"""Polygons of a group at most."""


GROWTH = 1.25
"""Room that a mesh gets which did not fit into its slot, as a multiple of what it needs."""


@dataclass(frozen=True)
class PackedMeshes:
    """The meshes of many scenes in shared arrays, each scene in a slot that has some room.

    Groups own their vertices and polygons; a group's vertices and polygons begin at multiples of
    eight.

    Attributes:
        vertices: (3, N) float32, x, y and z, metres.
        planes: (4, F) float32, outward normal and offset of each polygon: positive on the side it
            is seen from.
        gradients: (F, 32) float32: how 1, u, v, red, green, blue light, 0, 0 change along world x,
            y, z (three times eight), and what they are at the first corner.
        corners: (F, 4) int32, counted from the group's first vertex, counter-clockwise; a triangle
            repeats its last corner.
        texture, semantic, instance: (F,) int32, uint8, int32.
        spheres: (G, 4) float32, middle and radius of each group.
        groups: (G, 4) int32: first vertex, number of vertices, first polygon, number of polygons.
        scenes: (S, 6) int64: first vertex, room for vertices, first polygon, room for polygons,
            first group, room for groups.
        group_count: (S,) int64, groups that scene s has.
    """

    vertices: np.ndarray
    planes: np.ndarray
    gradients: np.ndarray
    corners: np.ndarray
    texture: np.ndarray
    semantic: np.ndarray
    instance: np.ndarray
    spheres: np.ndarray
    groups: np.ndarray
    scenes: np.ndarray
    group_count: np.ndarray

    @classmethod
    def pack(cls, meshes: Sequence[Mesh], slack: float = 1.0) -> "PackedMeshes":
        """Packs meshes; scene s of the pack is `meshes[s]`.

        Args:
            meshes: one a scene.
            slack: how much larger a mesh may be that later takes a slot without arrays having to
                grow; 1.5 is half as large again.

        Raises:
            UserError: there is no mesh, or a triangle names a vertex or texture that does not
                exist.
        """
        if not meshes:
            raise UserError("meshes: none given; pack at least one mesh (it may be empty)")
        parts = [_polygons(mesh, f"meshes[{s}]") for s, mesh in enumerate(meshes)]
        packed = _empty(len(meshes))
        rooms = [tuple(_whole(slack * size) for size in part.sizes()) for part in parts]
        packed = _grown(packed, *np.sum(rooms, axis=0))
        start = np.zeros(3, dtype=np.int64)
        for slot, (part, room) in enumerate(zip(parts, rooms)):
            packed.scenes[slot, 0::2], packed.scenes[slot, 1::2] = start, room
            packed._write(slot, part)
            start += room
        return packed

    def replace(self, slot: int, mesh: Mesh) -> "PackedMeshes":
        """Puts a mesh in the place of scene `slot`.

        Where it fits into the slot's room the arrays are changed in place and the pack itself is
        returned. Otherwise a pack with longer arrays is, which holds the mesh at its end and leaves
        this one as it is. Nothing may be drawing meanwhile.

        Raises:
            UserError: there is no such slot, or a triangle names a vertex or texture that does not
                exist.
        """
        if not 0 <= slot < len(self.scenes):
            raise UserError(f"slot {slot}: the pack has slots 0 to {len(self.scenes) - 1}")
        part = _polygons(mesh, "mesh")
        sizes = part.sizes()
        packed = self
        if any(size > room for size, room in zip(sizes, self.scenes[slot, 1::2])):
            start = (self.vertices.shape[1], len(self.corners), len(self.groups))
            # more than needed, so that growing again is rare
            room = tuple(_whole(GROWTH * size) for size in sizes)
            packed = _grown(self, *room)
            packed.scenes[slot, 0::2], packed.scenes[slot, 1::2] = start, room
        packed._write(slot, part)
        return packed

    def nbytes(self) -> int:
        """Bytes of all arrays."""
        return sum(getattr(self, f.name).nbytes for f in fields(self))

    def _write(self, slot: int, part: "_Polygons") -> None:
        vertex, _, polygon, _, group, _ = self.scenes[slot]
        vertices, polygons, groups = part.sizes()
        self.vertices[:, vertex : vertex + vertices] = part.vertices
        these = slice(polygon, polygon + polygons)
        self.planes[:, these] = part.planes
        for name in ("gradients", "corners", "texture", "semantic", "instance"):
            getattr(self, name)[these] = getattr(part, name)
        self.spheres[group : group + groups] = part.spheres
        self.groups[group : group + groups] = part.groups + np.array(
            [vertex, 0, polygon, 0], dtype=np.int32
        )
        self.group_count[slot] = groups


@dataclass(frozen=True)
class _Polygons:
    """One mesh; attributes as in `PackedMeshes`, counted from the mesh's own start."""

    vertices: np.ndarray
    planes: np.ndarray
    gradients: np.ndarray
    corners: np.ndarray
    texture: np.ndarray
    semantic: np.ndarray
    instance: np.ndarray
    spheres: np.ndarray
    groups: np.ndarray

    def sizes(self) -> tuple[int, int, int]:
        return self.vertices.shape[1], len(self.corners), len(self.groups)


def _whole(count: float) -> int:
    """The next multiple of eight."""
    return -(-int(np.ceil(count)) // WIDTH) * WIDTH


def _empty(scenes: int) -> PackedMeshes:
    return PackedMeshes(
        vertices=np.zeros((3, 0), np.float32),
        planes=np.zeros((4, 0), np.float32),
        gradients=np.zeros((0, 4 * WIDTH), np.float32),
        corners=np.zeros((0, 4), np.int32),
        texture=np.zeros(0, np.int32),
        semantic=np.zeros(0, np.uint8),
        instance=np.zeros(0, np.int32),
        spheres=np.zeros((0, 4), np.float32),
        groups=np.zeros((0, 4), np.int32),
        scenes=np.zeros((scenes, 6), np.int64),
        group_count=np.zeros(scenes, np.int64),
    )


def _grown(packed: PackedMeshes, vertices: int, polygons: int, groups: int) -> PackedMeshes:
    """A copy with room for more at the end."""

    def longer(name: str, more: int, axis: int) -> np.ndarray:
        array = getattr(packed, name)
        pad = [(0, more if a == axis else 0) for a in range(array.ndim)]
        return np.pad(array, pad)

    rows = {
        name: longer(name, polygons, 0)
        for name in ("gradients", "corners", "texture", "semantic", "instance")
    }
    return replace(
        packed,
        vertices=longer("vertices", vertices, 1),
        planes=longer("planes", polygons, 1),
        spheres=longer("spheres", groups, 0),
        groups=longer("groups", groups, 0),
        scenes=packed.scenes.copy(),
        group_count=packed.group_count.copy(),
        **rows,
    )


def _check(mesh: Mesh, name: str) -> None:
    bad_vertex = (
        mesh.triangles.size
        and not 0 <= mesh.triangles.min() <= mesh.triangles.max() < len(mesh.vertices)
    )
    bad_layer = mesh.texture.size and not 0 <= mesh.texture.min() <= mesh.texture.max() < len(
        TEXTURES
    )
    if bad_vertex or bad_layer:
        raise UserError(
            f"{name}: a triangle names a vertex or a texture that does not exist; rebuild it"
        )


def _affine(points: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Unit normals (F, 3) of triangles (F, 3, 3), and (F, 3, K) how K corner values (F, 3, K)
    change along x, y, z within each.
    """
    e1, e2 = points[:, 1] - points[:, 0], points[:, 2] - points[:, 0]
    normals = np.cross(e1, e2)
    square = np.maximum(np.sum(normals * normals, 1), 1e-30)[:, None]
    # The dual vectors of the two edges in the triangle's plane.
    d1, d2 = np.cross(e2, normals) / square, np.cross(normals, e1) / square
    v1, v2 = values[:, 1] - values[:, 0], values[:, 2] - values[:, 0]
    gradients = d1[:, :, None] * v1[:, None, :] + d2[:, :, None] * v2[:, None, :]
    return normals / np.sqrt(square), gradients


def _quads(points: np.ndarray, values: np.ndarray, same: np.ndarray) -> np.ndarray:
    """Which triangles f make a flat, convex quad with triangle f + 1, over which the values (F, 3,
    K) are one linear function.

    The builders' order is expected: corners a, b, c and then a, c, d. `same` (F - 1,): the two
    agree in all else.
    """
    first, second = points[:-1], points[1:]
    shared = np.all(first[:, 0] == second[:, 0], 1) & np.all(first[:, 2] == second[:, 1], 1) & same
    normals, gradients = _affine(points, values)
    flat = np.sum(normals[:-1] * normals[1:], 1) > 1.0 - 1e-7
    offset = second[:, 2] - first[:, 0]
    size = np.maximum(np.linalg.norm(first[:, 2] - first[:, 0], axis=1), 1e-9)
    flat &= np.abs(np.sum(normals[:-1] * offset, 1)) < 1e-5 * size
    expected = values[:-1, 0] + np.einsum("fx,fxk->fk", offset, gradients[:-1])
    linear = np.all(np.abs(expected - values[1:, 2]) < 2e-3, 1) & np.all(
        np.abs(values[:-1, 0] - values[1:, 0]) < 1e-3, 1
    )
    linear &= np.all(np.abs(values[:-1, 2] - values[1:, 1]) < 1e-3, 1)
    corners = np.stack([first[:, 0], first[:, 1], first[:, 2], second[:, 2]], 1)
    sides = np.roll(corners, -1, 1) - corners
    turns = np.einsum("fcx,fx->fc", np.cross(sides, np.roll(sides, -1, 1)), normals[:-1])
    candidates = shared & flat & linear & np.all(turns > 0.0, 1)
    chosen = np.zeros(len(points), dtype=bool)
    # Of three triangles in a row only the first two can make a quad.
    for f in np.flatnonzero(candidates):
        chosen[f] = f == 0 or not chosen[f - 1]
    return chosen


def _group_of(middles: np.ndarray, extents: np.ndarray, instance: np.ndarray) -> np.ndarray:
    """(F,) a number for each polygon; equal numbers lie together. Large polygons stand alone, or
    they would make groups large.
    """
    cells = np.floor(middles[:, :2] / CELL_M).astype(np.int64)
    cells = np.where(instance[:, None] > 0, 0, cells)
    large = np.where(extents > CELL_M, np.arange(len(middles)) + 1, 0)
    keys = np.column_stack([large, instance, cells])
    return np.unique(keys, axis=0, return_inverse=True)[1].reshape(-1)


def _polygons(mesh: Mesh, name: str) -> _Polygons:
    """Makes polygons of a mesh's triangles and puts them into groups."""
    _check(mesh, name)
    triangles = mesh.triangles.reshape(-1, 3)
    points = mesh.vertices.reshape(-1, 3).astype(np.float32).astype(np.float64)[triangles]
    values = np.concatenate([mesh.uv.reshape(-1, 3, 2), mesh.shade.reshape(-1, 3, 3)], 2).astype(
        np.float64
    )
    same = np.ones(max(len(points) - 1, 0), dtype=bool)
    for what in (mesh.texture, mesh.semantic, mesh.instance):
        same &= what.reshape(-1)[1:] == what.reshape(-1)[:-1]
    chosen = _quads(points, values, same) if len(points) > 1 else np.zeros(len(points), dtype=bool)
    second = np.zeros(len(points), dtype=bool)
    second[1:] = chosen[:-1]
    area = np.linalg.norm(
        np.cross(points[:, 1] - points[:, 0], points[:, 2] - points[:, 0]), axis=1
    )
    kept = np.flatnonzero(~second & (area > 1e-12))
    fourth = np.where(
        chosen[kept, None], points[np.minimum(kept + 1, len(points) - 1), 2], points[kept, 2]
    )
    outline = np.concatenate([points[kept], fourth[:, None]], 1)
    normals, gradients = _affine(points[kept], values[kept])
    # Textures repeat, so whole numbers of repeats can go: small coordinates keep float32 precise
    # and positive.
    at_corners = values[kept, 0, :2][:, None] + np.einsum(
        "fcx,fxk->fck", outline - outline[:, :1], gradients[:, :, :2]
    )
    values[kept, 0, :2] -= np.floor(at_corners.min(1) + 1e-6) if len(kept) else 0.0
    table = np.zeros((len(kept), 4, WIDTH))
    table[:, 3, 0], table[:, :3, 1:6], table[:, 3, 1:6] = 1.0, gradients, values[kept, 0]
    planes = np.concatenate([normals, -np.sum(normals * outline[:, 0], 1, keepdims=True)], 1)
    extents = np.ptp(outline, axis=1).max(1) if len(kept) else np.zeros(0)
    group = _group_of(outline.mean(1), extents, mesh.instance.reshape(-1)[kept])
    per_polygon = (
        planes,
        table.reshape(-1, 4 * WIDTH),
        mesh.texture[kept],
        mesh.semantic[kept],
        mesh.instance[kept],
    )
    return _grouped(outline, group, per_polygon)


def _grouped(
    outline: np.ndarray, group: np.ndarray, per_polygon: tuple[np.ndarray, ...]
) -> _Polygons:
    """Orders polygons (F, 4, 3) by group; every group starts at a multiple of eight and owns the
    vertices it needs.
    """
    order = np.argsort(group, kind="stable")
    members = [
        m[i : i + GROUP]
        for m in np.split(order, np.flatnonzero(np.diff(group[order])) + 1)
        for i in range(0, len(m), GROUP)
    ]
    members = [m for m in members if len(m)]
    vertices, corners, rows, spheres, groups = [], [], [], [], []
    first_vertex = first_polygon = 0
    for member in members:
        points, inverse = np.unique(outline[member].reshape(-1, 3), axis=0, return_inverse=True)
        room, polygons = _whole(len(points)), _whole(len(member))
        vertices.append(np.pad(points, ((0, room - len(points)), (0, 0)), mode="edge"))
        corners.append(np.pad(inverse.reshape(-1, 4), ((0, polygons - len(member)), (0, 0))))
        rows.append(np.concatenate([member, np.full(polygons - len(member), -1)]))
        middle = 0.5 * (points.min(0) + points.max(0))
        spheres.append([*middle, np.linalg.norm(points - middle, axis=1).max() + 1e-3])
        groups.append([first_vertex, len(points), first_polygon, len(member)])
        first_vertex, first_polygon = first_vertex + room, first_polygon + polygons
    index = np.concatenate([np.zeros(0, np.int64), *rows]).astype(np.int64)
    # A filler row looks away from everybody: its plane is negative everywhere.
    planes, table, texture, semantic, instance = (_rows(array, index) for array in per_polygon)
    planes[index < 0] = (0.0, 0.0, 0.0, -1.0)
    return _Polygons(
        vertices=np.ascontiguousarray(
            np.concatenate([np.zeros((0, 3)), *vertices]).T, dtype=np.float32
        ),
        planes=np.ascontiguousarray(planes.T, dtype=np.float32),
        gradients=table.astype(np.float32),
        corners=np.concatenate([np.zeros((0, 4)), *corners]).astype(np.int32),
        texture=texture.astype(np.int32),
        semantic=semantic.astype(np.uint8),
        instance=instance.astype(np.int32),
        spheres=np.array(spheres, dtype=np.float32).reshape(-1, 4),
        groups=np.array(groups, dtype=np.int32).reshape(-1, 4),
    )


def _rows(array: np.ndarray, index: np.ndarray) -> np.ndarray:
    """Rows of an array; -1 is a row of zeros."""
    return np.concatenate([array, np.zeros((1, *array.shape[1:]), dtype=array.dtype)])[index]
