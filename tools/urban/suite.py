"""Builds the scenes of gs_urban: paint, light, capture, where one can drive, episodes, and the
folder they are loaded from.

A scene is a module of this package with `PLACE`, a `tools.urban.paint.Place`, and `paint(canvas)`.
Building is deterministic, whatever the number of threads; another version of numpy may draw or
round otherwise. So what ships are the files of assets/gs_urban, under the hashes in its suite.json:
who changes one of them makes `PROTOCOL` one more, and reads the results again.

    python -m tools.urban.suite [NAMES] --out DIR
"""

import dataclasses
import importlib
import json
import os
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro
from scipy.ndimage import binary_closing
from tqdm import tqdm

from s2e.benchmarks.bench import PROTOCOL
from s2e.core.errors import UserError, run_command
from s2e.envs.geometry.meshes import empty_mesh
from s2e.envs.geometry.occupancy import Occupancy
from s2e.envs.geometry.scene import Ground, Scene, Sky
from s2e.envs.scenes.files import SUITES, write_scene
from s2e.envs.scenes.propose import free_anchors, largest_region, make_episodes
from s2e.envs.splats.formats.spz import Packing
from tools.suites import listed
from tools.urban.capture import capture, walk
from tools.urban.light import bake, film
from tools.urban.paint import CELL_M, Canvas, Place

SCENES = tuple(name.removeprefix("gs_urban/") for name in SUITES["gs_urban"])
EPISODE_SEED = 7
PACKING = Packing(fractional_bits=8, opacity=12, colour=2, scale=2, rotation=16, sh=8, level=9)
"""With it all eleven scenes take less than 30 MB, and images of 640x320 differ from those of what
was painted by 43 dB (52 dB with all that SPZ keeps)."""


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


def build(name: str, folder: str | os.PathLike, bar: tqdm | None = None) -> dict[str, float]:
    """Makes a scene of the suite and writes its folder.

    Args:
        name: one of `SCENES`.
        folder: made if it is not there.
        bar: moves on by one for each of the five steps.

    Returns:
        Numbers to print: gaussians, seconds, metres east and north, free square metres, anchors,
            episodes.

    Raises:
        UserError: there is no such scene, or the folder cannot be written.
    """
    if name not in SCENES:
        raise UserError(f"{name!r} is no scene of gs_urban; choose among {', '.join(SCENES)}")
    began, bar = time.monotonic(), tqdm(disable=True) if bar is None else bar
    module = importlib.import_module(f"tools.urban.{name}")
    canvas = Canvas(module.PLACE)
    module.paint(canvas)
    occupancy, ground = standing(canvas)
    anchors = free_anchors(occupancy, ground)
    bar.update()
    lit = bake(canvas)
    bar.update()
    splats = capture(canvas, lit, walk(canvas, anchors))
    bar.update()
    scene = Scene(name, occupancy, empty_mesh(), np.round(anchors, 3), None, ground)
    episodes = make_episodes(scene, EPISODE_SEED)
    bar.update()
    scene = dataclasses.replace(scene, splats=splats, sky=people_light(canvas.place))
    write_scene(folder, scene, "splats.spz", episodes=episodes, packing=PACKING)
    bar.update()
    rows, columns = occupancy.grid.shape
    return {
        "gaussians": len(splats.means),
        "seconds": time.monotonic() - began,
        "east_m": columns * occupancy.resolution,
        "north_m": rows * occupancy.resolution,
        "free_m2": float((~occupancy.grid).sum()) * occupancy.resolution**2,
        "anchors": len(anchors),
        "episodes": len(episodes),
    }


def listing(folder: Path) -> dict:
    """What suite.json says of the scenes in a folder: the benchmark's protocol, and bytes and
    sha256 of each file.
    """
    files = (path for name in SCENES for path in (folder / name).glob("*"))
    return {"suite": "gs_urban", "protocol": PROTOCOL, "files": listed(folder, files)}


@dataclass
class SuiteArgs:
    """Builds scenes of gs_urban."""

    out: Path
    """Folder for one folder a scene and suite.json, which lists all that are there;
    assets/gs_urban is what ships."""
    names: tyro.conf.Positional[tuple[str, ...]] = ()
    """Scenes; none stands for all."""


def main(args: SuiteArgs) -> None:
    """Builds, prints a line for each, and writes the list."""
    for name in args.names or SCENES:
        with tqdm(total=5, desc=name, unit="step", leave=False, disable=None) as bar:
            found = build(name, args.out / name, bar)
        print(
            f"{name}: {found['gaussians']:,} Gaussians, {found['east_m']:.0f} x "
            f"{found['north_m']:.0f} m, {found['free_m2']:.0f} m2 free, "
            f"{found['anchors']:.0f} anchors, {found['episodes']:.0f} episodes, "
            f"{found['seconds']:.0f} s",
            flush=True,
        )
    (args.out / "suite.json").write_text(json.dumps(listing(args.out), indent=1) + "\n")


if __name__ == "__main__":
    run_command(lambda: main(tyro.cli(SuiteArgs)))
