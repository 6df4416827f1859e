"""Scenes of Gaussian splats on disk: a folder with `scene.json`, the splats and the occupancy, each
under its hash.

- `scene.json`: name, units, ground_z, sky, free_anchors, path, sha256 and size of the files below,
  and where they came from
- `splats.ply` or `splats.spz`: metres, z up; or `mesh.npz` (`s2e.envs.scenes.meshes`), a scene of
  triangles
- `occupancy.npz`: grid (R, C) bool, origin (2,), resolution, as in
  `s2e.envs.geometry.occupancy.Occupancy`; where the ground is not level also height (R, C) float32
  and surface (R, C) uint8, as in `s2e.envs.geometry.scene.Ground`
- `episodes.json`: where to go, in the benchmark's four settings (`s2e.envs.scenes.episodes`); under
  its hash where `s2e-scene` made it

A scene is named by its folder, or: "gs_urban/plaza", "market" and others come with the package
(`PACKAGED`; gs_urban's files are listed in `assets/gs_urban/suite.json`), and what `s2e-scene
import` made lies in the user's own collection.

Two kinds of scenes hold no files of their own. `scene.json` has name, units and `build`: the seed,
family and blocks of `s2e.envs.streets.build.build_scene`, and the sha256 of what it made when the
folder was written. Or name, units and `place`: the packaged `scene` that it is, with other
episodes, and the `sha256` of that one's scene.json.
"""

import dataclasses
import difflib
import hashlib
import json
import math
import os
import re
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import s2e.assets
from s2e.core.errors import UserError, require
from s2e.core.files import read_json, sha256
from s2e.envs.geometry.meshes import empty_mesh
from s2e.envs.geometry.occupancy import Occupancy
from s2e.envs.geometry.scene import SEMANTICS, Episode, Ground, Scene, Sky
from s2e.envs.scenes.episodes import write_episodes
from s2e.envs.scenes.meshes import MESH_ARRAYS, store_mesh, stored_mesh
from s2e.envs.splats.formats.any import read_splats, write_splats
from s2e.envs.splats.formats.spz import FINEST, Packing
from s2e.envs.streets.build import build_scene

SUITES = {
    "gs_urban": (
        "gs_urban/plaza",
        "gs_urban/courtyard",
        "gs_urban/lane",
        "gs_urban/stairs",
        "gs_urban/park",
        "gs_urban/hall",
        "gs_urban/quay",
        "gs_urban/residential",
        "gs_urban/underpass",
        "gs_urban/schoolyard",
        "gs_urban/station",
    ),
    "social": (
        "social/head_on",
        "social/doorway",
        "social/crossing",
        "social/overtake",
        "social/group",
        "social/queue",
        "social/step_out",
        "social/insist",
        "social/blocked",
        "social/gate",
        "social/child",
        "social/keep_right",
        "social/wait",
        "social/route",
        "social/head_on_splats",
        "social/group_splats",
        "social/crossing_splats",
    ),
}
"""Names that stand for several scenes, in the order they are judged."""
SOCIAL_HELD_OUT = ("queue", "gate", "wait")
"""Kinds of situations of the suite `social` that nothing may be trained on."""
PLACES = ("social/halls", "social/streets", "social/squares", "social/yards")
"""Where situations are: scenes that others are made of, without episodes."""
PACKAGED = (*SUITES["gs_urban"], "market", "boulevard", *SUITES["social"], *PLACES)
MOST_CELLS = 1 << 26
"""Of an occupancy grid: what a file asks for beyond is refused before it is read."""

# What zipfile and numpy raise for damaged or hostile files; encryption, unknown methods and deep
# nesting are RuntimeErrors.
_UNREADABLE = (
    OSError,
    ValueError,
    EOFError,
    TypeError,
    SyntaxError,
    OverflowError,
    MemoryError,
    RuntimeError,
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    tokenize.TokenError,
)


def collection() -> Path:
    """Where `s2e-scene import` keeps scenes: $S2E_SCENES, or s2e/scenes in the user's data
    folder.
    """
    if os.environ.get("S2E_SCENES"):
        return Path(os.environ["S2E_SCENES"])
    return (
        Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "s2e" / "scenes"
    )


def check_name(name: str) -> str:
    """The name of a scene to import, if it can be one: a folder of its own in the collection, and
    no other scene's name.

    Raises:
        UserError: empty, too long, with characters that are not of a name, or taken by the package.
    """
    near = {
        known.split("/")[-1]: f"scene {known}, for which it would be taken"
        for known in SUITES["gs_urban"]
    }
    taken = (
        near
        | {known: "scene of that name" for known in PACKAGED}
        | {known: "suite of scenes of that name" for known in SUITES}
    )
    if name in taken:
        raise UserError(f"--name {name}: the package has a {taken[name]}; choose another")
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}", name) or name.endswith("."):
        shown = name if len(name) < 80 else name[:77] + "..."
        raise UserError(
            f"--name {shown!r}: give 1 to 64 characters: a-z, A-Z, digits, '_', '-' or '.', the "
            "first one a-z, A-Z, a digit or '_'"
        )
    if name.endswith((".json", ".png")):
        raise UserError(f"--name {name}: files beside scenes end so; choose another")
    return name


def scene_folder(name_or_path: str | os.PathLike) -> Path:
    """The folder of a scene's name (packaged or imported), or the path itself."""
    name = str(name_or_path)
    if name in PACKAGED:
        return Path(s2e.assets.__file__).parent / name
    own = re.fullmatch(r"[\w-][\w.-]*", name) and not _is(Path(name_or_path).is_dir)
    if own and _is((collection() / name).is_dir):
        return collection() / name
    return Path(name_or_path)


def load_scene(name_or_path: str | os.PathLike) -> Scene:
    """Loads a scene: a name such as "gs_urban/plaza", or a folder.

    Returns:
        The scene; one of splats has a mesh of no triangles.

    Raises:
        UserError: folder, file or field is missing or of the wrong kind, a file's hash differs, or
            a path leads out of the folder; the message says which, and the remedy.
    """
    if str(name_or_path) in SUITES:
        raise UserError(
            f"{name_or_path} is several scenes; name one: {', '.join(SUITES[str(name_or_path)])}"
        )
    folder = scene_folder(name_or_path)
    if not _is(folder.is_dir):
        shown = str(folder) if len(str(folder)) < 1000 else str(folder)[:1000] + "..."
        raise UserError(
            f"{shown}: no such scene folder{_near(str(name_or_path))}; give a folder with "
            f"scene.json, one of {', '.join(PACKAGED)}, "
            "or one that `s2e-scene list` names"
        )
    where = folder / "scene.json"
    if not where.exists():
        raise UserError(
            f"{where}: missing; a scene folder holds scene.json, splats and occupancy.npz"
        )
    data = read_description(folder)
    if _field(where, data, "units", str) != "m":
        raise UserError(
            f"{where}: units is {data['units']!r}; scale the scene to metres and write 'm'"
        )
    name = _field(where, data, "name", str)
    if "build" in data:
        return _build(where, name, _field(where, data, "build", dict))
    if "place" in data:
        return _place(where, name, _field(where, data, "place", dict))
    files = _field(where, data, "files", dict)
    mesh, splats = empty_mesh(), None
    if "mesh" in files:
        path, textures = _checked_file(where, files, "mesh"), _field(where, data, "textures", list)
        mesh = stored_mesh(path, _read_arrays(path, MESH_ARRAYS), textures)
    else:
        splats = read_splats(_checked_file(where, files, "splats"))
    occupancy, ground = _read_occupancy(_checked_file(where, files, "occupancy"))
    return Scene(
        name=name,
        occupancy=occupancy,
        mesh=mesh,
        free_anchors=_anchors(where, data, occupancy),
        splats=splats,
        ground=ground,
        sky=_sky(where, _field(where, data, "sky", dict)),
        ground_z=float(_numbers(where, data, "ground_z", ())),
    )


def read_description(folder: Path) -> dict[str, Any]:
    """What a scene's scene.json says; see `s2e.core.files.read_json` for errors."""
    return read_json(folder / "scene.json", "mend or export it again")


def load_scenes(name: str) -> list[Scene]:
    """The scenes of a suite, or the one scene of a name or folder; see `load_scene`."""
    return [load_scene(one) for one in SUITES.get(name, (name,))]


def episodes_file(name_or_path: str | os.PathLike) -> Path:
    """A scene's episodes.json, after its hash was found to be right where scene.json lists it.

    Raises:
        UserError: scene.json cannot be read, or the file is another one.
    """
    folder = scene_folder(name_or_path)
    where, path = folder / "scene.json", folder / "episodes.json"
    files = read_description(folder).get("files")
    if not isinstance(files, dict) or "episodes" not in files:
        return path
    wanted = _field(where, _field(where, files, "episodes", dict), "sha256", str)
    found = sha256(path) if path.is_file() else "none"
    if found != wanted.lower():
        raise UserError(
            f"{path}: sha256 is {found[:12]}..., scene.json says {wanted[:12]}...; copy or import "
            "the scene again, or, if you edited "
            "it and want it so, remove files.episodes from scene.json"
        )
    return path


def _near(name: str) -> str:
    """A hint at the scene that was perhaps meant."""
    try:
        own = [p.name for p in collection().iterdir() if not p.name.startswith(".")]
    except OSError:
        own = []
    known = {
        part: full for full in (*PACKAGED, *SUITES, *own) for part in (full, full.split("/")[-1])
    }
    meant = difflib.get_close_matches(name[:200], known, 1, 0.7)
    return f"; did you mean {known[meant[0]]}?" if meant else ""


def _is(question: Callable[[], bool]) -> bool:
    """A question to the file system, false where it cannot even be asked: names too long or of no
    encoding.
    """
    try:
        return question()
    except (OSError, ValueError):
        return False


def _sky(where: Path, sky: dict[str, Any]) -> Sky:
    """The sky of scene.json; light that it does not name is `Sky`'s own."""
    found: dict[str, Any] = {}
    for key, most in (
        ("zenith", 255),
        ("horizon", 255),
        ("sun", 10),
        ("sun_rgb", 10),
        ("ambient_rgb", 10),
    ):
        if key in sky or most == 255:
            value = _numbers(where, sky, key, (3,))
            if key == "sun":
                length = float(np.linalg.norm(value))
                require(
                    0 < length < most,
                    f"{where}: field 'sky.sun' has length {length:g}; give a unit vector towards "
                    "the sun",
                )
            else:
                within = ((value >= 0) & (value <= most)).all()
                require(
                    bool(within),
                    f"{where}: field 'sky.{key}' is {value.tolist()}; give three numbers from 0 to "
                    f"{most}",
                )
            found[key] = tuple(value.tolist())
    fog_m = float(_numbers(where, sky, "fog_m", ()))
    require(fog_m > 0, f"{where}: field 'sky.fog_m' is {fog_m:g}; give metres, more than 0")
    return Sky(fog_m=fog_m, **found)


def _anchors(where: Path, data: Any, occupancy: Occupancy) -> np.ndarray:
    """(K, 2) anchors, each in a free cell of the grid."""
    anchors = _numbers(where, data, "free_anchors", (-1, 2))
    shape = np.array(occupancy.grid.shape)
    cells = np.floor(
        np.clip((anchors - occupancy.origin) / occupancy.resolution, -1, shape.max())
    ).astype(np.int64)[:, ::-1]
    outside = np.any((cells < 0) | (cells >= shape), axis=1)
    solid = ~outside & occupancy.grid[tuple(np.clip(cells, 0, shape - 1).T)]
    for k in np.flatnonzero(outside | solid)[:1]:
        x, y = anchors[k]
        what = "outside the occupancy grid" if outside[k] else "in a solid cell"
        raise UserError(
            f"{where}: field 'free_anchors'[{k}] {x:g}, {y:g} is {what}; move or remove it"
        )
    return anchors


def _build(where: Path, name: str, build: dict[str, Any]) -> Scene:
    seed, family = _field(where, build, "seed", int), _field(where, build, "family", str)
    blocks = tuple(_field(where, build, "blocks", list))
    scene = build_scene(seed, family, obstacles=False, blocks=blocks)  # pyright: ignore[reportArgumentType]
    wanted, found = _field(where, build, "sha256", str), digest(scene)
    if wanted != found:
        raise UserError(
            f"{where}: this version builds another scene (sha256 {found[:12]}..., not "
            f"{wanted[:12]}...); its episodes may not be "
            "solvable: write it again with `python -m tools.held_out`"
        )
    return dataclasses.replace(scene, name=name)


def _place(where: Path, name: str, place: dict[str, Any]) -> Scene:
    scene, wanted = _field(where, place, "scene", str), _field(where, place, "sha256", str)
    if scene not in PACKAGED or "place" in read_description(scene_folder(scene)):
        raise UserError(
            f"{where}: field 'place.scene' is {scene[:80]!r}; give a packaged scene that is not "
            "itself a place of another"
        )
    found = sha256(scene_folder(scene) / "scene.json")
    if wanted.lower() != found:
        raise UserError(
            f"{where}: scene.json of {scene} has sha256 {found[:12]}..., not {wanted[:12]}...; "
            "its episodes may not be solvable: write it again with `python -m tools.social.suite`"
        )
    return dataclasses.replace(load_scene(scene), name=name)


def digest(scene: Scene) -> str:
    """sha256 of where one can drive in a scene: occupancy, ground and anchors."""
    ground = [] if scene.ground is None else [scene.ground.height, scene.ground.surface]
    parts = [scene.occupancy.grid, scene.occupancy.origin, np.round(scene.free_anchors, 6), *ground]
    return hashlib.sha256(b"".join(np.ascontiguousarray(a).tobytes() for a in parts)).hexdigest()


def write_scene(
    folder: str | os.PathLike,
    scene: Scene,
    splats_file: str = "splats.ply",
    more: dict[str, Any] | None = None,
    episodes: Sequence[Episode] | None = None,
    packing: Packing = FINEST,
) -> None:
    """Writes a scene folder that `load_scene` reads; the ground's zero is at z = 0.

    Args:
        folder: made if it is not there.
        scene: of splats, or of triangles (whose ground's wetness is not kept).
        splats_file: splats.ply, or splats.spz, which is four times smaller and quantised.
        more: further fields of scene.json, which `load_scene` does not read.
        episodes: written to episodes.json where given, and its hash with the others.
        packing: of splats.spz.

    Raises:
        UserError: the folder cannot be written.
    """
    folder, splats, occupancy, ground = Path(folder), scene.splats, scene.occupancy, scene.ground
    about: dict[str, Any] = {}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if splats is None:
            look = {"mesh": "mesh.npz"}
            about["textures"] = store_mesh(folder / "mesh.npz", scene.mesh)
        else:
            look, about["gaussians"] = {"splats": splats_file}, len(splats.means)
            write_splats(folder / splats_file, splats, packing)
        level = (
            {}
            if ground is None
            else {
                "height": ground.height.astype(np.float32),
                "surface": ground.surface.astype(np.uint8),
            }
        )
        np.savez_compressed(
            folder / "occupancy.npz",
            grid=occupancy.grid,
            origin=np.asarray(occupancy.origin, dtype=np.float64),
            resolution=np.float64(occupancy.resolution),
            **level,
        )
        named = look | {"occupancy": "occupancy.npz"}
        if episodes is not None:
            write_episodes(folder / "episodes.json", scene.name, episodes)
            named["episodes"] = "episodes.json"
        data = {
            "name": scene.name,
            "units": "m",
            "ground_z": 0.0,
            "sky": {
                name: getattr(scene.sky, name)
                for name in ("zenith", "horizon", "fog_m", "sun", "sun_rgb", "ambient_rgb")
            },
            "files": {key: file_entry(folder, file) for key, file in named.items()},
            **about,
            "free_anchors": [
                [round(float(x), 3), round(float(y), 3)] for x, y in scene.free_anchors
            ],
            **(more or {}),
        }
        (folder / "scene.json").write_text(json.dumps(data, indent=1) + "\n")
    except OSError as error:
        raise UserError(
            f"{folder}: cannot be written ({error.strerror}); check the path and the free space"
        ) from None


def file_entry(folder: Path, name: str) -> dict[str, Any]:
    """What scene.json says of a file beside it."""
    path = folder / name
    return {"path": name, "sha256": sha256(path), "bytes": path.stat().st_size}


def _field(where: Path, data: Any, key: str, kind: type) -> Any:
    if not isinstance(data, dict) or key not in data:
        raise UserError(f"{where}: field {key!r} is missing; add it or export the scene again")
    if not isinstance(data[key], kind):
        found = type(data[key]).__name__
        raise UserError(
            f"{where}: field {key!r} is a {found}, expected {kind.__name__}; mend it or export "
            "again"
        )
    return data[key]


def _numbers(where: Path, data: Any, key: str, shape: tuple[int, ...]) -> np.ndarray:
    """A field as float64 array of the shape, -1 standing for any length but zero."""
    if not isinstance(data, dict) or key not in data:
        raise UserError(f"{where}: field {key!r} is missing; add it or export the scene again")
    try:
        values = np.array(data[key])
    except ValueError:
        values = np.zeros(0)
    fits = len(values.shape) == len(shape) and all(
        w in (-1, f) for w, f in zip(shape, values.shape, strict=True)
    )
    if (
        not fits
        or values.size == 0
        or values.dtype.kind not in "iuf"
        or not np.isfinite(values).all()
    ):
        wanted = (
            " x ".join("n" if w < 0 else str(w) for w in shape) + " finite numbers"
            if shape
            else "one finite number"
        )
        raise UserError(f"{where}: field {key!r} must hold {wanted}; mend it or export again")
    return values.astype(np.float64)


def _checked_file(where: Path, files: dict, key: str) -> Path:
    """The path of a file of the scene after its hash was found to be right."""
    entry = _field(where, files, key, dict)
    relative, wanted = _field(where, entry, "path", str), _field(where, entry, "sha256", str)
    folder = where.parent.resolve()
    path, shown = where.parent / relative, relative if len(relative) < 80 else relative[:77] + "..."
    try:
        inside, there = (folder / relative).resolve().is_relative_to(folder), path.is_file()
    except (OSError, ValueError, RuntimeError) as error:  # too long, no text, a loop of links
        reason = getattr(error, "strerror", None) or error
        raise UserError(
            f"{where}: files.{key}.path {shown!r} is no path of a file ({reason}); mend it or "
            "export again"
        ) from None
    if not inside:
        raise UserError(
            f"{where}: files.{key}.path {shown!r} leads out of the scene folder; keep the files "
            "inside it"
        )
    if not there:
        raise UserError(
            f"{path}: missing, but scene.json names it as files.{key}; copy the whole scene folder"
        )
    try:
        found = sha256(path)
    except OSError as error:
        raise UserError(
            f"{path}: cannot be read ({error.strerror}); check its permissions"
        ) from None
    if found != wanted.lower():
        raise UserError(
            f"{path}: sha256 is {found[:12]}..., scene.json says {wanted[:12]}...; copy the scene "
            "again, "
            "or export it again if you changed it"
        )
    return path


def _read_arrays(path: Path, names: Sequence[str]) -> dict[str, np.ndarray]:
    """The named arrays of an .npz that are there; their headers are judged before memory is asked
    for.
    """
    found = {}
    try:
        with zipfile.ZipFile(path) as archive:
            listed = {entry.filename: entry for entry in archive.infolist()}
            for name in names:
                entry = listed.get(f"{name}.npy")
                if entry is None:
                    continue
                if entry.flag_bits & 1 or entry.compress_type not in (
                    zipfile.ZIP_STORED,
                    zipfile.ZIP_DEFLATED,
                ):
                    raise ValueError(
                        f"{name} is encrypted or packed in another way than numpy does"
                    )
                with archive.open(entry) as file:
                    if np.lib.format.read_magic(file) != (1, 0):
                        raise ValueError(f"{name} has a header of another version than 1.0")
                    shape, _, dtype = np.lib.format.read_array_header_1_0(file)
                    start = file.tell()
                cells = math.prod(shape)
                if (
                    min(shape, default=0) < 0
                    or max(shape, default=0) > MOST_CELLS
                    or cells > MOST_CELLS
                ):
                    raise ValueError(f"{name} has shape {shape}, more than {MOST_CELLS:,} cells")
                if dtype.itemsize > 8 or entry.file_size != start + cells * dtype.itemsize:
                    raise ValueError(
                        f"{name} has {entry.file_size:,} bytes, not those of {shape} {dtype}"
                    )
                with archive.open(entry) as file:
                    found[name] = np.lib.format.read_array(file, allow_pickle=False)
    except _UNREADABLE as error:
        raise UserError(
            f"{path}: cannot be read as .npz ({str(error)[:200] or type(error).__name__}); export "
            "the scene again"
        ) from None
    return found


def _read_occupancy(path: Path) -> tuple[Occupancy, Ground | None]:
    arrays = _read_arrays(path, ("grid", "origin", "resolution", "height", "surface"))
    missing = {"grid", "origin", "resolution"} - set(arrays)
    if missing:
        raise UserError(
            f"{path}: array {min(missing)!r} is missing; it needs grid, origin and resolution"
        )
    grid, origin, resolution = arrays["grid"], arrays["origin"], arrays["resolution"]
    if ("height" in arrays) != ("surface" in arrays):
        raise UserError(f"{path}: it has only one of height and surface; export it again")
    level = (arrays["height"], arrays["surface"]) if "height" in arrays else None
    if grid.dtype != bool or grid.ndim != 2 or grid.size == 0:
        raise UserError(
            f"{path}: grid is {grid.dtype} {grid.shape}, expected a 2-D array of bool; export it "
            "again"
        )
    if origin.shape != (2,) or origin.dtype.kind != "f" or not (np.abs(origin) < 1e6).all():
        raise UserError(f"{path}: origin must be two finite floats of under 1e6 m; export it again")
    if resolution.shape != () or resolution.dtype.kind != "f" or not 0.01 <= resolution <= 10:
        raise UserError(f"{path}: resolution must be one float from 0.01 to 10 m; export it again")
    return Occupancy(
        grid=grid, origin=origin.astype(np.float64), resolution=float(resolution)
    ), _ground(path, grid, level)


def _ground(
    path: Path, grid: np.ndarray, level: tuple[np.ndarray, np.ndarray] | None
) -> Ground | None:
    if level is None:
        return None
    height, surface = level
    if height.shape != grid.shape or height.dtype.kind != "f" or not np.isfinite(height).all():
        raise UserError(
            f"{path}: height must be finite floats {grid.shape}, as the grid is; export it again"
        )
    if surface.shape != grid.shape or surface.dtype != np.uint8 or surface.max() >= len(SEMANTICS):
        raise UserError(
            f"{path}: surface must be uint8 {grid.shape} with classes below {len(SEMANTICS)}; "
            "export it again"
        )
    return Ground(height=height.astype(np.float32), surface=surface)
