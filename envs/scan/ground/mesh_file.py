"""A collision mesh that comes with a capture: read with care, and turned into opaque discs, so that
one voxeliser serves both.
"""

import io
import math
from pathlib import Path
from typing import Any

import numpy as np

from s2e.core.errors import UserError, optional
from s2e.envs.geometry.glb import put_together, taken_apart
from s2e.envs.geometry.scene import Splats
from s2e.envs.splats.transform import quaternion

SUFFIXES = (".glb", ".obj", ".ply", ".stl")
MOST_BYTES, MOST_FACES, MOST_DISCS = 1 << 29, 4_000_000, 20_000_000
MOST_NODES, MOST_DEPTH = 20_000, 200
"""Of a GLB: each use of a mesh becomes a mesh of its own, which takes memory however few its
triangles are."""
_PICTURES = (
    "images",
    "textures",
    "samplers",
    "materials",
    "animations",
    "skins",
    "cameras",
    "extensions",
    "extensionsRequired",
)


def read_mesh(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Reads the triangles of a mesh; colours, pictures and whatever else it names are left alone.

    Args:
        path: a .glb, .obj, .ply or .stl file.

    Returns:
        Vertices (V, 3) float64 in the file's own coordinates, triangles (F, 3) int64.

    Raises:
        UserError: trimesh is missing, or the file is missing, too large, damaged, without
            triangles, or names another file.
    """
    kind = path.suffix.lower()
    if kind not in SUFFIXES:
        raise UserError(
            f"{path}: not one of {', '.join(SUFFIXES)}; export the collision mesh as one of these"
        )
    trimesh = optional("trimesh", str(path), "objects")
    try:
        size = path.stat().st_size
        if not 0 < size <= MOST_BYTES:
            raise UserError(
                f"{path}: {size} bytes; a mesh of 1 to {MOST_BYTES} bytes is read, export it again"
            )
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); check the path") from None
    try:
        data = (
            _shape_of_glb(path, data)
            if kind == ".glb"
            else _shape_of_obj(data)
            if kind == ".obj"
            else data
        )
        # Without a resolver nothing beside the file is opened.
        loaded = trimesh.load(
            io.BytesIO(data), file_type=kind[1:], process=False, skip_materials=True
        )  # pyright: ignore[reportArgumentType]
        meshes = loaded.dump() if isinstance(loaded, trimesh.Scene) else [loaded]
        meshes = [m for m in meshes if isinstance(m, trimesh.Trimesh) and len(m.faces)]
        starts = np.cumsum([0] + [len(m.vertices) for m in meshes])
        vertices = np.concatenate(
            [np.asarray(m.vertices, dtype=np.float64) for m in meshes] or [np.zeros((0, 3))]
        )
        faces = [np.asarray(m.faces, dtype=np.int64) + s for m, s in zip(meshes, starts)]
    except UserError:
        raise
    except Exception as error:  # trimesh raises whatever its parsers stumble over
        raise UserError(
            f"{path}: cannot be read as {kind[1:].upper()} ({type(error).__name__}: {error}); "
            "export it again"
        ) from None
    triangles = np.concatenate(faces or [np.zeros((0, 3), np.int64)])
    if not 0 < len(triangles) <= MOST_FACES:
        raise UserError(
            f"{path}: {len(triangles)} triangles; 1 to {MOST_FACES} are read, export it again"
        )
    if triangles.min() < 0 or triangles.max() >= len(vertices):
        raise UserError(f"{path}: a triangle names a vertex that does not exist; export it again")
    if not np.isfinite(vertices).all():
        first = int(np.flatnonzero(~np.isfinite(vertices).all(1))[0])
        raise UserError(f"{path}: vertex {first} is not a finite number; export it again")
    return vertices, triangles


def _shape_of_glb(path: Path, data: bytes) -> bytes:
    """A GLB without its pictures and materials; one that names other files for its geometry is
    refused.
    """
    try:
        tree, rest = taken_apart(data)
        for buffer in tree.get("buffers", []):
            if "uri" in buffer:
                raise UserError(
                    f"{path}: its geometry is in another file; export it as one binary GLB"
                )
        for accessor in tree.get("accessors", []):
            if not 0 <= accessor["count"] <= 3 * MOST_FACES or "sparse" in accessor:
                raise ValueError(f"an accessor of {accessor['count']} numbers, or a sparse one")
        for part in _PICTURES:
            tree.pop(part, None)
        for mesh in tree.get("meshes", []):
            for primitive in mesh["primitives"]:
                primitive.pop("material", None)
                primitive.pop("extensions", None)
                primitive["attributes"] = {
                    k: v for k, v in primitive["attributes"].items() if k == "POSITION"
                }
        faces = _faces_of_nodes(tree)
    except (ValueError, AttributeError, TypeError, LookupError) as error:
        raise UserError(f"{path}: cannot be read as GLB ({error}); export it again") from None
    if faces > MOST_FACES:
        raise UserError(
            f"{path}: {faces} triangles with all uses of its meshes; at most {MOST_FACES} are "
            "read, export it simplified"
        )
    return put_together(tree, rest)


def _faces_of_nodes(tree: dict[str, Any]) -> int:
    """Triangles of all meshes (or a third of their vertices, where that is more), each as often as
    nodes name it.

    Raises:
        ValueError: more than `MOST_NODES` nodes, or they are no tree of at most `MOST_DEPTH`
            generations.
    """
    accessors, nodes = tree.get("accessors", []), tree.get("nodes", [])
    if len(nodes) > MOST_NODES:
        raise ValueError(f"{len(nodes)} nodes, at most {MOST_NODES}")
    faces = []
    for mesh in tree.get("meshes", []):
        parts = [
            [
                accessors[k]["count"]
                for k in (p["attributes"].get("POSITION"), p.get("indices"))
                if k is not None
            ]
            for p in mesh["primitives"]
        ]
        # A strip or a fan has almost as many triangles as corners, a list a third.
        shares = [1 if p.get("mode", 4) in (5, 6) else 3 for p in mesh["primitives"]]
        faces.append(
            sum(
                max(counts, default=0) // share for counts, share in zip(parts, shares, strict=True)
            )
        )
    children = [child for node in nodes for child in node.get("children", [])]
    if len(set(children)) < len(children):
        raise ValueError("a node has two parents")
    layer = set(range(len(nodes))) - set(children)
    seen = 0
    for _ in range(MOST_DEPTH):
        seen += len(layer)
        layer = {child for k in layer for child in nodes[k].get("children", [])}
    if seen < len(nodes):
        raise ValueError(
            f"its nodes go round in a circle, or are nested more than {MOST_DEPTH} deep"
        )
    # a mesh that no node uses is made too
    return max(sum(faces), sum(faces[node["mesh"]] for node in nodes if "mesh" in node))


def _shape_of_obj(data: bytes) -> bytes:
    """The lines of an OBJ that are geometry."""
    lines = data.replace(b"\\\r\n", b" ").replace(b"\\\n", b" ").splitlines()
    return b"\n".join(line for line in lines if line.split(None, 1)[:1] in ([b"v"], [b"f"]))


def surface_discs(
    path: Path, vertices: np.ndarray, triangles: np.ndarray, spacing: float
) -> Splats:
    """Opaque flat Gaussians over a mesh.

    A triangle is cut across into strips no wider than `spacing`, from one corner to its shortest
    edge, and each of those into as many pieces as that edge needs, with a disc in the middle of
    each piece.

    Args:
        path: the mesh's file, for the message.
        vertices: (V, 3).
        triangles: (F, 3).
        spacing: between discs at most, in the unit of the vertices.

    Raises:
        UserError: that would be more than `MOST_DISCS`.
    """
    corners = vertices[triangles]
    # edge opposite of each corner
    opposite = np.linalg.norm(np.roll(corners, -1, axis=1) - np.roll(corners, -2, axis=1), axis=2)
    first = opposite.argmin(1)
    corners = np.take_along_axis(corners, ((first[:, None] + np.arange(3)) % 3)[..., None], axis=1)
    cuts = np.maximum(np.ceil(np.stack([opposite.max(1), opposite.min(1)], 1) / spacing), 1.0)
    total = float(cuts.prod(1).sum())
    if total > MOST_DISCS:
        raise UserError(
            f"{path}: {total:.3g} pieces of {spacing:.3g} units cover it, at most "
            f"{MOST_DISCS:.0e}; give a coarser --resolution"
        )
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    lengths = np.linalg.norm(normals, axis=1)
    normals = np.where(
        lengths[:, None] > 0, normals / np.maximum(lengths, 1e-300)[:, None], [0.0, 0.0, 1.0]
    )
    kinds, kind = np.unique(cuts, axis=0, return_inverse=True)
    order = np.argsort(kind.ravel(), kind="stable")
    groups = np.split(order, np.cumsum(np.bincount(kind.ravel()))[:-1])
    means, turned = [], []
    for (n, m), which in zip(kinds.astype(int), groups, strict=True):
        weights = _middles(n, m)
        means.append(np.einsum("pk,fkd->fpd", weights, corners[which]).reshape(-1, 3))
        turned.append(np.repeat(normals[which], len(weights), axis=0))
    means, normals = np.concatenate(means), np.concatenate(turned)
    count = len(means)
    return Splats(
        means=means.astype(np.float32),
        quats=_facing(normals).astype(np.float32),
        scales=np.tile(np.array([0.3, 0.3, 0.05], np.float32) * np.float32(spacing), (count, 1)),
        opacities=np.full(count, 0.99, np.float32),
        sh=np.zeros((count, 1, 3), np.float32),
    )


def _middles(n: int, m: int) -> np.ndarray:
    """(n * m, 3) barycentric coordinates of the middles of n strips of m pieces, the first corner
    being where strips begin.
    """
    along, across = np.meshgrid((np.arange(n) + 0.5) / n, (np.arange(m) + 0.5) / m, indexing="ij")
    return np.stack([1.0 - along, along * (1.0 - across), along * across], -1).reshape(-1, 3)


def _facing(normals: np.ndarray) -> np.ndarray:
    """(G, 4) quaternions (w, x, y, z) that turn z into unit normals (G, 3)."""
    x, y, z = normals.T
    quats = np.stack([1.0 + z, -y, x, np.zeros_like(x)], 1)
    length = np.linalg.norm(quats, axis=1)
    down = length < 1e-6
    quats[down] = quaternion(np.diag([1.0, -1.0, -1.0]))
    quats[~down] /= length[~down, None]
    return quats


def disc_spacing(resolution: float, scale: float) -> float:
    """The spacing, in units of the file, that leaves no cell of a grid without a disc."""
    if not (math.isfinite(resolution / scale) and resolution > 0):
        raise UserError(f"{resolution} m at {scale} metres per unit makes no grid")
    return 0.5 * resolution / scale
