"""Builds the scenes of gs_urban: paint, light, capture, where one can drive, episodes, and the
folder they are loaded from.

A scene is a module of this package with `PLACE`, a `s2e.assets.urban.paint.Place`, and
`paint(canvas)`. Building is deterministic, whatever the number of threads. Scenes that do not ship
are built into the user's cache when they are first loaded, and again when a source they are made by
has changed.

    python -m s2e.assets.urban.suite [NAMES] [--out DIR]
"""

import contextlib
import dataclasses
import hashlib
import importlib
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro
from scipy.ndimage import binary_closing
from tqdm import tqdm

import s2e.assets.urban
import s2e.envs
from s2e.assets.urban import SCENES
from s2e.assets.urban.capture import capture, walk
from s2e.assets.urban.light import bake, film
from s2e.assets.urban.paint import CELL_M, Canvas, Place
from s2e.core.cache import cache
from s2e.core.errors import UserError, run_command
from s2e.envs.geometry.meshes import empty_mesh
from s2e.envs.geometry.occupancy import Occupancy
from s2e.envs.geometry.scene import Ground, Scene, Sky
from s2e.envs.scenes.files import write_scene
from s2e.envs.scenes.propose import free_anchors, largest_region, make_episodes

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

EPISODE_SEED = 7
SHIPPED_FILE = "splats.spz"
_ENVS = (
    "scenes/propose.py", "geometry/astar.py", "geometry/occupancy.py", "people/people.py", "scenes/episodes.py",
    "robots/fleet.py", "streets/objects.py", "expert/drive.py", "scenes/files.py", "splats/marks.py",
    "splats/formats/ply.py", "splats/formats/spz.py",
)  # fmt: skip


def sources(name: str) -> str:
    """sha256 of everything a scene is made by, numpy's version with it: its generators and rounding
    may change.
    """
    folder = Path(s2e.assets.urban.__file__).parent
    files = sorted(p for p in folder.glob("*.py") if p.stem not in SCENES or p.stem == name)
    files += [folder.parent / "objects.npz"] + [Path(s2e.envs.__file__).parent / f for f in _ENVS]
    total = hashlib.sha256(np.__version__.encode())
    for path in files:
        total.update(path.name.encode() + b"\0" + path.read_bytes())
    return total.hexdigest()


def standing(canvas: Canvas) -> tuple[Occupancy, Ground]:
    """Occupancy and `Ground` of a canvas: solid is what stands 0.1 m to 1.2 m above the ground of
    its column.

    Where no floor is painted counts as solid, and what is walled off from the largest connected
    region does too.
    """
    first = np.round(canvas.height / CELL_M + 0.499).astype(int) + 1
    solid = np.zeros(canvas.height.shape, bool)
    columns = np.indices(solid.shape)
    for k in range(11):
        solid |= canvas.grid[(*columns, np.minimum(first + k, canvas.grid.shape[-1] - 1))]
    floor = np.zeros(solid.shape, bool)
    for part in canvas.parts:
        points, normal = part[0], part[2]
        cells = np.floor((points[:, :2] - canvas.low[:2]) / CELL_M).astype(int)
        up = (normal[:, 2] > 0.6) & ((cells >= 0) & (cells < solid.shape)).all(1)
        up[up] &= np.abs(points[up, 2] - canvas.height[tuple(cells[up].T)]) < 0.12
        floor[tuple(cells[up].T)] = True
    floor = np.asarray(binary_closing(np.pad(floor, 3), np.ones((5, 5)))[3:-3, 3:-3])
    floor[:2], floor[-2:], floor[:, :2], floor[:, -2:] = False, False, False, False
    solid = ~largest_region((floor & ~solid & ~canvas.barred).T)
    ground = Ground(canvas.height.T.astype(np.float32), canvas.surface.T.copy())
    return Occupancy(solid, canvas.low[:2].copy(), CELL_M), ground


def people_light(place: Place) -> Sky:
    """The sky of a place, with the light by which people and things are drawn: that of the bake,
    after the film, on a grey surface.
    """
    grey, light = 0.5, place.light
    sky = (
        light.exposure
        * grey**2.2
        * (0.5 * np.array(light.sky_rgb) + 0.4 * np.array(light.bounce_rgb))
    )
    shade, lit = (
        film(v) / grey for v in (sky, sky + light.exposure * grey**2.2 * np.array(light.sun_rgb))
    )
    sun = np.asarray(place.sun, float) / np.linalg.norm(place.sun)
    rows = [tuple(np.round(v, 4).tolist()) for v in (sun, lit - shade, shade)]
    return dataclasses.replace(place.sky, sun=rows[0], sun_rgb=rows[1], ambient_rgb=rows[2])


def build(
    name: str, folder: str | os.PathLike, splats_file: str = "splats.ply", bar: tqdm | None = None
) -> dict[str, float]:
    """Makes a scene of the suite and writes its folder.

    Args:
        name: one of `SCENES`.
        folder: made if it is not there.
        splats_file: splats.ply or splats.spz.
        bar: moves on by one for each of the five steps.

    Returns:
        Numbers to print: gaussians, seconds, metres east and north, free square metres, anchors,
            episodes.

    Raises:
        UserError: there is no such scene, or the folder cannot be written.
    """
    if name not in SCENES:
        raise UserError(f"{name!r} is no scene of gs_urban; choose among {', '.join(SCENES)}")
    began, folder, bar = time.monotonic(), Path(folder), tqdm(disable=True) if bar is None else bar
    module = importlib.import_module(f"s2e.assets.urban.{name}")
    canvas = Canvas(module.PLACE)
    module.paint(canvas)
    occupancy, ground = standing(canvas)
    anchors = free_anchors(occupancy, ground)
    bar.update()
    lit = bake(canvas)
    bar.update()
    splats = capture(canvas, lit, walk(canvas, anchors))
    bar.update()
    sky = people_light(canvas.place)
    scene = Scene(name, occupancy, empty_mesh(), np.round(anchors, 3), None, ground)
    episodes = make_episodes(scene, EPISODE_SEED)
    bar.update()
    write_scene(
        folder,
        name,
        splats,
        occupancy,
        anchors,
        sky,
        ground,
        splats_file,
        {"sources": sources(name)},
        episodes,
    )
    bar.update()
    rows, columns = occupancy.grid.shape
    return {
        "gaussians": len(splats.means), "seconds": time.monotonic() - began, "east_m": columns * occupancy.resolution,
        "north_m": rows * occupancy.resolution, "free_m2": float((~occupancy.grid).sum()) * occupancy.resolution**2,
        "anchors": len(anchors), "episodes": len(episodes),
    }  # fmt: skip


def _up_to_date(folder: Path, name: str) -> bool:
    """Whether a folder holds a scene made by the sources that are here, its files of the size they
    were written with.
    """
    try:
        data = json.loads((folder / "scene.json").read_bytes())
        files = [data["files"][key] for key in ("splats", "occupancy", "episodes")]
        whole = all((folder / file["path"]).stat().st_size == file["bytes"] for file in files)
        return whole and data["sources"] == sources(name)
    except (OSError, ValueError, KeyError, TypeError):
        return False


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Holds a lock file, so that of several processes one builds and the others wait; without locks
    all of them build.
    """
    with path.open("w") as file:
        if fcntl is not None:
            with contextlib.suppress(OSError):  # a file system without locks
                fcntl.flock(file, fcntl.LOCK_EX)
        yield


def ensure(name: str) -> Path:
    """The folder of a scene in the user's cache, built if it is not there or if its sources have
    changed since.

    It is built beside its place and moved there whole, so that an interruption leaves nothing half
    done; of several processes that want it at once, one builds it and the others wait.

    Raises:
        UserError: there is no such scene, or the cache cannot be written.
    """
    folder = cache() / "gs_urban" / name
    if _up_to_date(folder, name):
        return folder
    beside = None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with _alone(folder.with_name(f".{name}.lock")):
            if _up_to_date(folder, name):  # another process was faster
                return folder
            beside = Path(tempfile.mkdtemp(prefix=f".{name}.", dir=folder.parent))
            made = beside / name
            made.mkdir()
            print(f"gs_urban/{name} is built into {folder}, once", file=sys.stderr)
            with tqdm(total=5, desc=name, unit="step", leave=False, disable=None) as bar:
                build(name, made, bar=bar)
            if not _up_to_date(folder, name):
                if folder.exists():
                    os.replace(folder, beside / "old")
                os.replace(made, folder)
    except OSError as error:
        if not _up_to_date(folder, name):  # else another process was faster
            raise UserError(
                f"{folder}: cannot be written ({error.strerror}); set S2E_CACHE to a folder with "
                "space"
            ) from None
    finally:
        if beside is not None:
            shutil.rmtree(beside, ignore_errors=True)
    return folder


@dataclass
class SuiteArgs:
    """Builds scenes of gs_urban."""

    names: tyro.conf.Positional[tuple[str, ...]] = ()
    """Scenes; none stands for all."""
    out: Path | None = None
    """Folder for one folder a scene; by default the cache, where scenes that are up to date are
    left alone."""
    spz: bool = False
    """Write splats.spz instead of splats.ply."""


def main(args: SuiteArgs) -> None:
    """Builds and prints a line for each."""
    for name in args.names or SCENES:
        if args.out is None:
            print(ensure(name))
            continue
        with tqdm(total=5, desc=name, unit="step", leave=False, disable=None) as bar:
            found = build(name, args.out / name, "splats.spz" if args.spz else "splats.ply", bar)
        print(
            f"{name}: {found['gaussians']:,} Gaussians, {found['east_m']:.0f} x "
            f"{found['north_m']:.0f} m, "
            f"{found['free_m2']:.0f} m2 free, {found['anchors']:.0f} anchors, "
            f"{found['episodes']:.0f} episodes, {found['seconds']:.0f} s"
        )


if __name__ == "__main__":
    run_command(lambda: main(tyro.cli(SuiteArgs)))
