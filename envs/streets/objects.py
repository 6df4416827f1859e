"""The kinds of things that stand on streets: their meshes, what they cover of the ground, and what
casts their shadow.
"""

import functools
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.spatial import ConvexHull, QhullError

import s2e.assets
from s2e.core.errors import UserError
from s2e.envs.geometry.meshes import mark, place
from s2e.envs.geometry.occupancy import Occupancy
from s2e.envs.geometry.scene import SEMANTIC_ID, SEMANTICS, Mesh
from s2e.envs.geometry.textures import TEXTURES

LOW_M = 1.5
"""What is higher than this (crowns, boards on poles) is in nobody's way, metres."""

CARS = ("car", "red_car", "blue_car", "dark_car")


@dataclass(frozen=True)
class ObjectKind:
    """One kind of thing, at the origin, on z = 0, heading along x, before any light.

    Attributes:
        name: what episodes call it.
        family: seating, bins, poles, plants, signs, site, vehicles, cycles, boxes, fences, cafe,
            market, street or own.
        mesh: textured triangles, counter-clockwise seen from outside.
        footprint: (K, 2) convex outline, counter-clockwise, of what is below 1.5 m, metres.
        semantic: name of `SEMANTICS`.
        height: of its highest point, metres.
        casters: (P, 3) point sets whose convex hulls cast its shadow (trunk and crown, say).
    """

    name: str
    family: str
    mesh: Mesh
    footprint: np.ndarray
    semantic: str
    height: float
    casters: tuple[np.ndarray, ...]


def hull(points: np.ndarray) -> np.ndarray:
    """(K, 2) convex outline of points (N, 2), counter-clockwise; thin ones are widened to 2 cm."""
    try:
        return points[ConvexHull(points).vertices]
    except (QhullError, ValueError):
        low, high = points.min(0), points.max(0)
        middle, half = (low + high) / 2, np.maximum((high - low) / 2, 0.01)
        return middle + half * np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])


def below(mesh: Mesh, height: float, least: float = -np.inf) -> np.ndarray:
    """(N, 3) corners of what is left of a mesh's triangles between two heights."""
    points = mesh.vertices[mesh.triangles].astype(np.float64)
    a, b = points.reshape(-1, 3), np.roll(points, -1, 1).reshape(-1, 3)
    found = [a[(a[:, 2] <= height) & (a[:, 2] >= least)]]
    for level in (height, least):
        crosses = (a[:, 2] - level) * (b[:, 2] - level) < 0
        t = ((level - a[crosses, 2]) / (b[crosses, 2] - a[crosses, 2]))[:, None]
        found.append(a[crosses] + t * (b[crosses] - a[crosses]))
    return np.unique(np.concatenate(found), axis=0)


def make_kind(
    name: str, family: str, mesh: Mesh, semantic: str, split: float = np.inf
) -> ObjectKind:
    """Works out footprint and shadow casters of a mesh; what is above `split` metres casts a shadow
    of its own.
    """
    low = below(mesh, LOW_M)
    height = float(mesh.vertices[:, 2].max())
    parts = (
        [below(mesh, split), below(mesh, np.inf, split)]
        if split < height
        else [mesh.vertices.astype(np.float64)]
    )
    casters = []
    for part in parts:
        try:
            casters.append(part[ConvexHull(part, qhull_options="QJ Pp").vertices])
        except (QhullError, ValueError):
            casters.append(part)
    return ObjectKind(name, family, mesh, hull(low[:, :2]), semantic, height, tuple(casters))


@functools.cache
def object_kinds() -> dict[str, ObjectKind]:
    """The packaged kinds by name, from `assets/objects.npz` (`tools/objects.py` writes it)."""
    path = Path(s2e.assets.__file__).parent / "objects.npz"
    if not path.is_file():
        raise UserError(f"{path}: missing; write it with python -m tools.objects")
    with np.load(path, allow_pickle=False) as stored:
        data = {key: stored[key] for key in stored.files}
    layers = np.array([TEXTURES[name] for name in data["textures"].tolist()], dtype=np.int32)
    kinds, vertex, face = {}, 0, 0
    for k, name in enumerate(data["names"].tolist()):
        vertices, faces = (
            slice(vertex, vertex + data["vertices_of"][k]),
            slice(face, face + data["faces_of"][k]),
        )
        vertex, face = vertices.stop, faces.stop
        count, semantic = faces.stop - faces.start, str(data["semantics"][k])
        mesh = Mesh(
            vertices=data["vertices"][vertices],
            triangles=data["triangles"][faces].astype(np.int32),
            uv=data["uv"][faces].astype(np.float32),
            texture=layers[data["texture"][faces]],
            shade=np.repeat(data["tint"][faces][:, None], 3, 1).astype(np.float32),
            semantic=np.full(count, SEMANTIC_ID[semantic], dtype=np.uint8),
            instance=np.zeros(count, dtype=np.int32),
        )
        kinds[name] = make_kind(
            name, str(data["families"][k]), mesh, semantic, float(data["split"][k])
        )
    return kinds


def store_kinds(path: Path, kinds: list[tuple[str, str, str, float, Mesh]]) -> None:
    """Writes (name, family, semantic, split, mesh) of each kind to one compressed file, the same
    bytes every time.
    """
    for name, _, semantic, _, _ in kinds:
        if semantic not in SEMANTICS:
            raise UserError(
                f"object kind {name}: semantic class {semantic!r} is unknown; use one of "
                f"{', '.join(SEMANTICS)}"
            )
    meshes = [mesh for *_, mesh in kinds]
    layers = np.concatenate([m.texture for m in meshes])
    used, texture = np.unique(layers, return_inverse=True)
    names = list(TEXTURES)
    np.savez_compressed(
        path,
        names=np.array([k[0] for k in kinds]),
        families=np.array([k[1] for k in kinds]),
        semantics=np.array([k[2] for k in kinds]),
        split=np.array([k[3] for k in kinds], dtype=np.float32),
        textures=np.array([names[layer] for layer in used]),
        vertices_of=np.array([len(m.vertices) for m in meshes], dtype=np.int32),
        faces_of=np.array([len(m.triangles) for m in meshes], dtype=np.int32),
        # Rounded, so that the last bit of a cosine, which differs between machines, does not show.
        vertices=np.concatenate([m.vertices for m in meshes]).round(4).astype(np.float32)
        + np.float32(0),
        triangles=np.concatenate([m.triangles for m in meshes]).astype(np.int16),
        uv=np.concatenate([m.uv for m in meshes]).round(3).astype(np.float32) + np.float32(0),
        texture=texture.astype(np.uint8),
        tint=np.concatenate([m.shade[:, 0] for m in meshes]).round(3).astype(np.float32),
    )


def object_kind(name: str) -> ObjectKind:
    """A packaged kind by name.

    Raises:
        UserError: there is no such kind.
    """
    kinds = object_kinds()
    if name not in kinds:
        raise UserError(f"obstacle kind {name!r} is unknown; choose from {', '.join(kinds)}")
    return kinds[name]


def obstacle_mesh(kind: str) -> Mesh:
    """A packaged kind's mesh at the origin, heading along x, before any light; see
    `s2e.envs.geometry.meshes.bake`.
    """
    return object_kind(kind).mesh


def footprint(kind: str) -> np.ndarray:
    """(K, 2) corners of the convex outline of what a packaged kind covers, counter-clockwise,
    metres, at the origin.
    """
    return object_kind(kind).footprint


def stamp(occupancy: Occupancy, kind: str, x: float, y: float, yaw: float) -> Occupancy:
    """A copy of a map in which a packaged kind's footprint is occupied as well.

    Raises:
        UserError: there is no such kind.
    """
    grid = occupancy.grid.copy()
    mark(grid, occupancy.origin, occupancy.resolution, place(footprint(kind), x, y, yaw))
    return Occupancy(grid, occupancy.origin, occupancy.resolution)
