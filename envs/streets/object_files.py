"""Things from files: GLB and OBJ models become kinds that `build_scene(objects=...)` puts on
streets.

Files are looked through before anything reads them in full: a model that names a file outside its
own folder, by an absolute path, a parent folder or a URL, is refused.
"""

import io
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from s2e.core.errors import UserError, optional, require
from s2e.envs.geometry.glb import taken_apart
from s2e.envs.geometry.scene import SEMANTIC_ID, Mesh
from s2e.envs.geometry.textures import TEXTURES
from s2e.envs.streets.objects import ObjectKind, make_kind

MAX_BYTES, MAX_FACES = 20_000_000, 20_000
SMALLEST_M, LARGEST_M = 0.01, 30.0
_SUFFIXES = (".glb", ".obj")
_MATERIAL_FILES = ("mtllib", "map_", "bump", "disp", "decal", "refl", "norm")


def load_objects(path: str | Path) -> list[ObjectKind]:
    """Reads a .glb or .obj file, or every one in a folder, sorted by name.

    A model becomes one kind, named after its file: metres, z up (GLB is y up by its standard, OBJ
    is taken as y up as well), turned so that it stands on the ground over its middle; colours of
    materials, textures or vertices are taken into the light of its triangles.

    Raises:
        UserError: trimesh is missing; or a file is missing, broken, empty, too large, of an absurd
            size, or names files outside its folder. The message says which file and the remedy.
    """
    path = Path(path)
    require(
        os.path.exists(path),
        f"{path}: no such file or folder; give a .glb or .obj file, or a folder of them",
    )
    if path.is_dir():
        files = sorted(p for p in path.iterdir() if p.suffix.lower() in _SUFFIXES)
        if not files:
            raise UserError(
                f"{path}: holds no .glb or .obj file; put models there or give one file"
            )
        return [_load(file) for file in files]
    if path.suffix.lower() not in _SUFFIXES:
        raise UserError(f"{path}: not a .glb or .obj file; export the model as one of these")
    return [_load(path)]


def _load(path: Path) -> ObjectKind:
    """One file as a kind."""
    trimesh = optional("trimesh", str(path), "objects")
    data = _bytes(path)
    resolver = _Folder(path.parent)
    kind = path.suffix.lower()[1:]
    for name in _names_in_glb(path, data) if kind == "glb" else _names_in_obj(path, data):
        resolver.check(path, name)
    try:
        loaded = trimesh.load(io.BytesIO(data), file_type=kind, resolver=resolver, process=False)  # pyright: ignore[reportArgumentType]
        parts = _parts(trimesh, path, loaded)
    except UserError:
        raise
    except Exception as error:  # trimesh raises whatever its parsers stumble over
        raise UserError(
            f"{path}: cannot be read as {kind.upper()} ({type(error).__name__}: {error}); export "
            "it again"
        ) from None
    if resolver.refused is not None:
        raise resolver.refused
    return make_kind(path.stem, "own", _mesh(path, parts), "obstacle")


def _bytes(path: Path) -> bytes:
    """A file's content, unless it is too large."""
    try:
        if not path.is_file():
            raise UserError(f"{path}: no such file; give a .glb or .obj file")
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise UserError(
                f"{path}: {size / 1e6:.0f} MB; at most {MAX_BYTES / 1e6:.0f} MB, simplify the model"
            )
        if size == 0:
            raise UserError(f"{path}: empty; export it again")
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error})") from None


class _Folder:
    """Hands trimesh the files beside a model and nothing else."""

    def __init__(self, folder: Path):
        self.folder = folder.resolve()
        # Trimesh goes on without a file that it does not get; what was refused is kept to be raised
        # afterwards.
        self.refused: UserError | None = None

    def check(self, model: Path, name: str) -> Path:
        """The file that a model names, if it lies in the model's folder."""
        parts = re.split(r"[/\\]", name)
        bad = (
            name.startswith(("/", "\\", "~"))
            or ".." in parts
            or ":" in name
            or "\0" in name
            or not name.strip()
        )
        if bad:
            raise UserError(
                f"{model}: names the file {name!r}; use a relative path inside the model's folder"
            )
        found = self.folder.joinpath(*parts)
        try:
            # Links are followed first: one that leads out of the folder is refused as well.
            inside = found.resolve().is_relative_to(self.folder)
        except (OSError, ValueError, RuntimeError):
            inside = False
        if not inside:
            raise UserError(
                f"{model}: names the file {name!r}, which leads out of its folder; copy it beside "
                "the model"
            )
        return found

    def get(self, name: Any) -> bytes:
        """A file's content, for trimesh."""
        name = name.decode("utf-8", "replace") if isinstance(name, bytes) else str(name)
        try:
            return self._read(self.check(self.folder, name.strip()))
        except UserError as error:
            self.refused = self.refused or error
            raise

    def _read(self, file: Path) -> bytes:
        """A file beside the model, looked through as the model was."""
        data = _bytes(file)
        if file.suffix.lower() == ".mtl":
            for inner in _names_in_obj(file, data):
                self.check(file, inner)
        elif file.suffix.lower() in (".png", ".jpg", ".jpeg", ".bmp", ".tga", ".webp"):
            _check_picture(file, data)
        return data

    def __getitem__(self, name: Any) -> bytes:
        return self.get(name)

    def namespaced(self, namespace: str) -> "_Folder":
        """Trimesh asks for this; the folder stays the same."""
        return self

    def keys(self) -> list[str]:
        """Files beside the model, for trimesh."""
        return [p.name for p in self.folder.iterdir() if p.is_file()]


def _check_picture(file: Path, data: bytes) -> None:
    """Refuses pictures that would fill the memory."""
    try:
        with Image.open(io.BytesIO(data)) as picture:
            width, height = picture.size
    except Exception as error:  # Pillow raises whatever its decoders stumble over
        raise UserError(f"{file}: cannot be read as a picture ({error}); export it again") from None
    if width * height > 4096 * 4096:
        raise UserError(f"{file}: {width} x {height} pixels; at most 4096 x 4096, scale it down")


def _names_in_obj(path: Path, data: bytes) -> Iterator[str]:
    """Files that an OBJ or MTL file names."""
    # Trimesh joins lines that end in a backslash, so the same is done here.
    text = data.decode("utf-8", "replace").replace("\\\r\n", " ").replace("\\\n", " ")
    for line in re.split(r"[\r\n]", text):
        words = line.strip().split(None, 1)
        if len(words) == 2 and words[0].lower().startswith(_MATERIAL_FILES):
            name = words[1].strip()
            # Options such as "-s 1 1 1" come before a map's name; what could be a path in them
            # counts too.
            yield (
                name
                if words[0].lower() == "mtllib" or not name.startswith("-")
                else name.split()[-1]
            )


def _names_in_glb(path: Path, data: bytes) -> Iterator[str]:
    """Files that the JSON part of a GLB names; embedded `data:` is no file."""
    try:
        tree, _ = taken_apart(data)
        for accessor in tree.get("accessors", []):
            if accessor.get("count", 0) > 40 * MAX_FACES:
                raise UserError(
                    f"{path}: {accessor['count']} numbers in one accessor; at most {MAX_FACES} "
                    "faces, simplify the model"
                )
        named = [
            entry["uri"]
            for part in ("buffers", "images")
            for entry in tree.get(part, [])
            if "uri" in entry
        ]
    except UserError:
        raise
    except (ValueError, AttributeError, TypeError, KeyError) as error:
        raise UserError(f"{path}: cannot be read as GLB ({error}); export it again") from None
    for name in named:
        if not isinstance(name, str):
            raise UserError(f"{path}: a uri is not text; export it again")
        if not name.startswith("data:"):
            yield name


def _parts(trimesh, path: Path, loaded) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Vertices (V, 3), triangles (F, 3) and colours (F, 3, 3) of every part, in the scene's
    frame.
    """
    if isinstance(loaded, trimesh.Scene):
        # one shape may be placed many times
        named = [loaded.graph[node][1] for node in loaded.graph.nodes_geometry]
        if sum(len(getattr(loaded.geometry[name], "faces", ())) for name in named) > MAX_FACES:
            raise UserError(f"{path}: more than {MAX_FACES} faces; simplify the model")
        meshes = []
        for node in loaded.graph.nodes_geometry:
            turn, name = loaded.graph[node]
            mesh = loaded.geometry[name]
            if isinstance(mesh, trimesh.Trimesh):
                meshes.append((mesh, np.asarray(turn, dtype=np.float64)))
    else:
        meshes = [(loaded, np.eye(4))] if isinstance(loaded, trimesh.Trimesh) else []
    found = []
    for mesh, turn in meshes:
        vertices = np.asarray(mesh.vertices, dtype=np.float64) @ turn[:3, :3].T + turn[:3, 3]
        triangles = np.asarray(mesh.faces, dtype=np.int64).reshape(-1, 3)
        flipped = np.linalg.det(turn[:3, :3]) < 0
        found.append(
            (
                vertices,
                triangles[:, ::-1] if flipped else triangles,
                _colours(mesh)[:, ::-1] if flipped else _colours(mesh),
            )
        )
    return found


def _colours(mesh) -> np.ndarray:
    """(F, 3, 3) RGB in 0..1 of each corner, from vertex colours, texture or material."""
    faces = np.asarray(mesh.faces, dtype=np.int64).reshape(-1, 3)
    visual = mesh.visual
    try:
        if visual.kind == "face":
            return np.repeat(
                np.asarray(visual.face_colors, dtype=np.float64)[:, None, :3] / 255.0, 3, 1
            )
        if visual.kind == "texture" and visual.uv is not None:
            return (
                np.asarray(visual.material.to_color(visual.uv), dtype=np.float64)[faces][..., :3]
                / 255.0
            )
        if visual.kind == "texture":
            return np.broadcast_to(
                np.asarray(visual.material.main_color, dtype=np.float64)[:3] / 255.0,
                (len(faces), 3, 3),
            )
        if visual.kind == "vertex":
            return np.asarray(visual.vertex_colors, dtype=np.float64)[faces][..., :3] / 255.0
    except (AttributeError, ValueError, IndexError, TypeError):
        pass  # a material that makes no sense: grey
    return np.full((len(faces), 3, 3), 0.7)


def _mesh(path: Path, parts: list[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> Mesh:
    """Checked parts as one mesh, z up, on the ground, over its middle."""
    parts = [p for p in parts if len(p[1])]
    faces = sum(len(p[1]) for p in parts)
    if not faces:
        raise UserError(f"{path}: holds no triangles; export the model with its geometry")
    if faces > MAX_FACES:
        raise UserError(f"{path}: {faces} faces; at most {MAX_FACES}, simplify the model")
    starts = np.cumsum([0] + [len(p[0]) for p in parts])
    vertices = np.concatenate([p[0] for p in parts])
    triangles = np.concatenate([p[1] + s for p, s in zip(parts, starts)])
    if triangles.min() < 0 or triangles.max() >= len(vertices):
        raise UserError(f"{path}: a face names a vertex that does not exist; export it again")
    used, index = np.unique(triangles, return_inverse=True)
    vertices = vertices[used]
    if not np.isfinite(vertices).all():
        raise UserError(
            f"{path}: vertex {int(used[~np.isfinite(vertices).all(1)][0])} is not a finite number; "
            "export it again"
        )
    vertices = np.stack([vertices[:, 0], -vertices[:, 2], vertices[:, 1]], 1)
    low, high = vertices.min(0), vertices.max(0)
    size = float((high - low).max())
    if not SMALLEST_M <= size <= LARGEST_M:
        raise UserError(
            f"{path}: {size:.4g} m across, from {SMALLEST_M} to {LARGEST_M:.0f} m are allowed; "
            "scale it to metres"
        )
    vertices = vertices - [(low[0] + high[0]) / 2, (low[1] + high[1]) / 2, low[2]]
    colours = np.nan_to_num(np.concatenate([p[2] for p in parts]), nan=0.7).clip(0.0, 1.0)
    return Mesh(
        vertices=vertices.astype(np.float32),
        triangles=index.reshape(-1, 3).astype(np.int32),
        uv=np.zeros((faces, 3, 2), dtype=np.float32),
        texture=np.full(faces, TEXTURES["white"], dtype=np.int32),
        shade=colours.astype(np.float32),
        semantic=np.full(faces, SEMANTIC_ID["obstacle"], dtype=np.uint8),
        instance=np.zeros(faces, dtype=np.int32),
    )
