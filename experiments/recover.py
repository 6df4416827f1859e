"""Whether `s2e-scene import` finds the ground again: python -m experiments.recover [SCENES]
[--turns 2] [--hint].

Takes scenes of gs_urban whose ground is known, turns, scales and moves them at random, imports them
through the command as a user would, and compares what came back: the direction of up, the height of
the floor, and where one can drive.
"""

import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro
from scipy.spatial.transform import Rotation

from s2e.core.errors import run_command
from s2e.envs.geometry.scene import Scene
from s2e.envs.scenes.files import SUITES, load_scene, read_description
from s2e.envs.splats.formats.any import write_splats
from s2e.envs.splats.transform import Placement, place

FORMATS = ("ply", "spz")


@dataclass(frozen=True)
class RecoverArgs:
    """Turn, scale and move scenes at random, import them, and compare."""

    scenes: tyro.conf.Positional[tuple[str, ...]] = SUITES["gs_urban"]
    """Scenes of splats whose ground is at z = 0."""
    turns: int = 2
    """Random placements of each."""
    hint: bool = False
    """Give --up, up to 20 degrees off; otherwise the importer finds up by itself."""
    seed: int = 0
    """Seed of the placements."""


def random_placement(rng: np.random.Generator) -> Placement:
    """Any rotation, 0.05 to 20 units a metre, up to 50 m away."""
    scale = float(np.exp(rng.uniform(np.log(0.05), np.log(20))))
    return Placement(scale, Rotation.random(rng=rng).as_matrix(), scale * rng.uniform(-50, 50, 3))


def near(rng: np.random.Generator, direction: np.ndarray, degrees: float) -> np.ndarray:
    """A unit vector up to so many degrees from one."""
    aside = np.cross(direction, rng.normal(size=3))
    angle = np.radians(rng.uniform(0, degrees))
    return np.cos(angle) * direction + np.sin(angle) * aside / np.linalg.norm(aside)


def compare(scene: Scene, moved: Placement, folder: Path) -> dict[str, float]:
    """How far an imported folder is from the scene that it was made of.

    Returns:
        degrees between the two directions of up; floor, metres between the two ground levels below
        the scene's anchors (median); free, the share of the true free ground within the imported
        grid that came back free, and solid, the same of what is not.
    """
    data = read_description(folder)["transform"]
    found = Placement(
        data["metres_per_unit"], np.array(data["rotation"]), np.array(data["translation"])
    )
    turn = found.rotation @ moved.rotation
    imported = load_scene(folder)

    def there(points: np.ndarray) -> np.ndarray:
        units = moved.scale * points @ moved.rotation.T + moved.translation
        return found.scale * units @ found.rotation.T + found.translation

    def heights(of: Scene, xy: np.ndarray) -> np.ndarray:
        rows, columns = of.occupancy.cell_of(xy).T
        return np.zeros(len(xy)) if of.ground is None else of.ground.height[rows, columns]

    anchors = np.column_stack([scene.free_anchors, heights(scene, scene.free_anchors)])
    at = there(anchors)
    rows, columns = imported.occupancy.cell_of(at[:, :2]).T
    shape = imported.occupancy.grid.shape
    inside = (rows >= 0) & (rows < shape[0]) & (columns >= 0) & (columns < shape[1])
    floor = float(
        np.median(np.abs(heights(imported, at[inside, :2]) + imported.ground_z - at[inside, 2]))
    )
    cells = np.argwhere(np.ones(scene.occupancy.grid.shape, bool))
    middle = scene.occupancy.origin + (cells[:, ::-1] + 0.5) * scene.occupancy.resolution
    rows, columns = imported.occupancy.cell_of(
        there(np.column_stack([middle, np.zeros(len(middle))]))[:, :2]
    ).T
    inside = (rows >= 0) & (rows < shape[0]) & (columns >= 0) & (columns < shape[1])
    solid = np.ones(len(cells), bool)
    solid[inside] = imported.occupancy.grid[rows[inside], columns[inside]]
    truth = scene.occupancy.grid[cells[:, 0], cells[:, 1]]
    degrees = float(np.degrees(np.arccos(np.clip(turn[2, 2], -1, 1))))
    return {
        "degrees": degrees,
        "floor": floor,
        "free": float((~solid)[~truth].mean()),
        "solid": float(solid[truth].mean()),
    }


def reimport(file: Path, hint: np.ndarray | None, moved: Placement, collection: Path) -> str:
    """Runs the command; returns what it refused, or nothing."""
    command = [
        sys.executable,
        "-m",
        "s2e.envs.scan.command",
        "import",
        str(file),
        "--name",
        "again",
    ]
    command += ["--metres-per-unit", repr(1 / moved.scale)]
    if hint is not None:
        command += ["--up", *(f"{v:.4f}" for v in hint)]
    done = subprocess.run(
        command, env={**os.environ, "S2E_SCENES": str(collection)}, capture_output=True, text=True
    )
    return done.stderr.strip().splitlines()[-1] if done.returncode else ""


def recover(args: RecoverArgs) -> None:
    """Imports every placement and prints a table."""
    good = 0
    print(
        "| scene | Gaussians | units a metre | up, degrees | floor, cm | free kept | solid kept | "
        "seconds |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for name in args.scenes:
        scene = load_scene(name)
        assert scene.splats is not None
        for turn in range(args.turns):
            rng = np.random.default_rng([args.seed, turn, *name.encode()])
            moved = random_placement(rng)
            head = f"| {name} | {len(scene.splats.means):,} | {moved.scale:.3f}"
            with tempfile.TemporaryDirectory() as temporary:
                file = Path(temporary) / f"capture.{FORMATS[turn % 2]}"
                write_splats(file, place(scene.splats, moved))
                hint = near(rng, moved.rotation[:, 2], 20) if args.hint else None
                began = time.perf_counter()
                refused = reimport(file, hint, moved, Path(temporary))
                seconds = time.perf_counter() - began
                if refused:
                    print(f"{head} | refused: {refused} |", flush=True)
                    continue
                r = compare(scene, moved, Path(temporary) / "again")
            good += r["degrees"] <= 2 and r["floor"] <= 0.03
            numbers = (
                f"{r['degrees']:.2f} | {100 * r['floor']:.1f} | {r['free']:.2f} | "
                f"{r['solid']:.2f} | {seconds:.0f}"
            )
            print(f"{head} | {numbers} |", flush=True)
    print(f"\n{good} of {args.turns * len(args.scenes)} within 2 degrees and 3 cm")


if __name__ == "__main__":
    run_command(lambda: recover(tyro.cli(RecoverArgs, description=__doc__)))
