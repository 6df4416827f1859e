"""Triangles as a file: `mesh.npz`, the arrays of a `Mesh` rounded to what can be seen.

Vertices are kept to a millimetre, texture coordinates to 1/512, light as half floats; `texture`
numbers the names that scene.json lists, so that files outlive the order of the atlas.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from s2e.core.errors import require
from s2e.envs.geometry.scene import SEMANTICS, Mesh
from s2e.envs.geometry.textures import TEXTURES

_KINDS = {
    "vertices": (np.float32, (3,)),
    "triangles": (np.int32, (3,)),
    "uv": (np.float32, (3, 2)),
    "texture": (np.uint8, ()),
    "shade": (np.float16, (3, 3)),
    "semantic": (np.uint8, ()),
    "instance": (np.int32, ()),
}
MESH_ARRAYS = tuple(_KINDS)


def store_mesh(path: Path, mesh: Mesh) -> list[str]:
    """Writes a mesh, the same bytes every time; returns the names of its textures."""
    used, texture = np.unique(mesh.texture, return_inverse=True)
    names = list(TEXTURES)
    rounded = {
        "vertices": mesh.vertices.astype(np.float64).round(3) + 0.0,
        "triangles": mesh.triangles,
        "uv": (mesh.uv.astype(np.float64) * 512).round() / 512 + 0.0,
        "texture": texture,
        "shade": mesh.shade.round(3) + 0.0,
        "semantic": mesh.semantic,
        "instance": mesh.instance,
    }
    np.savez_compressed(
        path, **{name: rounded[name].astype(kind) for name, (kind, _) in _KINDS.items()}
    )
    return [names[layer] for layer in used]


def stored_mesh(path: Path, arrays: Mapping[str, np.ndarray], textures: Sequence[Any]) -> Mesh:
    """The mesh of such a file.

    Args:
        path: for messages. arrays: what was read of it. textures: names, as scene.json has them.

    Raises:
        UserError: an array is missing, of another kind or shape, or points at what is not there.
    """
    again = "export the scene again"
    unknown = [str(name)[:40] for name in textures if name not in TEXTURES]
    require(not unknown, f"{path}: texture {unknown[:1]} is unknown; {again}")
    faces = len(arrays.get("triangles", ()))
    for name, (kind, shape) in _KINDS.items():
        require(name in arrays, f"{path}: array {name!r} is missing; {again}")
        found, rows = arrays[name], len(arrays[name]) if name == "vertices" else faces
        fits = found.dtype == kind and found.shape == (rows, *shape)
        require(fits, f"{path}: {name} is {found.dtype} {found.shape}; {again}")
        finite = kind not in (np.float32, np.float16) or np.isfinite(found).all()
        require(bool(finite), f"{path}: {name} has numbers that are not finite; {again}")
    for name, most in (
        ("triangles", len(arrays["vertices"])),
        ("texture", len(textures)),
        ("semantic", len(SEMANTICS)),
        ("instance", 1_000_000),
    ):
        low, high = (int(f(arrays[name], initial=0)) for f in (np.min, np.max))
        within = faces == 0 or (low >= 0 and high < most)
        require(within, f"{path}: {name} goes from {low} to {high}, there are {most}; {again}")
    layers = np.array([TEXTURES[name] for name in textures], dtype=np.int32)
    return Mesh(
        vertices=arrays["vertices"],
        triangles=arrays["triangles"],
        uv=arrays["uv"],
        texture=layers[arrays["texture"]],
        shade=arrays["shade"].astype(np.float32),
        semantic=arrays["semantic"],
        instance=arrays["instance"],
    )
