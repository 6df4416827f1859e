"""What `s2e-scene` can be asked for."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import tyro

from s2e.core.errors import UserError, require
from s2e.core.options import Seed

BOUNDS = {
    "size": (32, 4096),
    "gaussians": (1000, 20_000_000),
    "steps": (1, 10_000_000),
    "save_every": (1, 10_000_000),
    "capture_height": (0.02, 500.0),
}
"""Least and most of what `Reconstruct` may be asked for."""


@dataclass(frozen=True)
class Import:
    """Make a scene of a capture: find its floor, its scale and its free ground, and where to go."""

    file: tyro.conf.Positional[Path]
    """The capture: .ply (also compressed), .spz, .splat, .sog, or the folder of a SOG, streamed
    ones (lod-meta.json) too."""
    name: str
    """What the scene is to be called; the same name again replaces it."""
    metres_per_unit: float | None = None
    """Metres that a unit of the file is; 1 where it is in metres."""
    up: str | None = None
    """Roughly which way is up in the file: x, -x, y, -y, z, -z, or three numbers."""
    floor: tuple[float, float, float, float] | None = None
    """The floor itself, A B C D of A x + B y + C z + D = 0 in units of the file, (A, B, C) up;
    taken as it is."""
    cameras: Path | None = None
    """cameras.json of 3DGS, transforms.json of NeRF, a folder of COLMAP or of posed RGB-D: the
    floor is beneath them, and with --capture-height the scale is taken from them unless
    --metres-per-unit gives it."""
    capture_height: float | None = None
    """Metres above the floor at which the cameras of --cameras were held."""
    known_height: float | None = None
    """Metres above the floor of the point --at, to take the scale from."""
    at: tuple[float, float, float] | None = None
    """The point of --known-height, in units of the file."""
    resolution: float = 0.1
    """Edge of a cell of the map, metres."""
    collision: Path | None = None
    """A mesh (.glb, .obj, .ply, .stl) in the file's own coordinates that is mapped instead of the
    splats."""
    out: Path | None = None
    """Folder that the scene's folder is written into; without it, the collection that names are
    looked up in."""
    episodes: int = 50
    """Episodes of each of the four settings."""
    level: int | None = None
    """Level of detail of a streamed SOG, 0 is the finest; without it, the finest of at most a
    million Gaussians."""
    activated: bool = False
    """The PLY's scales are lengths and its opacities lie in 0..1 already, not logarithms and
    logits."""


@dataclass(frozen=True)
class Reconstruct:
    """Make a scene of posed photographs: Gaussians learn what these show, then comes the import.

    On two cores the defaults take some 20 minutes.
    """

    dir: tyro.conf.Positional[Path]
    """The photographs with their cameras: a COLMAP folder (sparse/0 and images), a folder or file
    of transforms.json (instant-ngp, nerfstudio), or posed RGB-D (NAME.color.png or .jpg,
    NAME.depth.png in mm, NAME.pose.txt)."""
    name: str
    """What the scene is to be called; the same name again replaces it."""
    images: Path | None = None
    """Folder of the pictures of a COLMAP model, where they are not in images/ beside it."""
    metres_per_unit: float | None = None
    """Metres that a unit of the poses is; 1 where they are in metres, as those of RGB-D are."""
    capture_height: float | None = None
    """Metres above the floor at which the camera was held; the scale is taken from it unless
    --metres-per-unit gives it."""
    up: str | None = None
    """Roughly which way is up in the poses: x, -x, y, -y, z, -z, or three numbers; the cameras say
    it where not given."""
    floor: tuple[float, float, float, float] | None = None
    """The floor itself, A B C D of A x + B y + C z + D = 0 in units of the poses, (A, B, C) up;
    taken as it is."""
    size: int | None = None
    """Longer side that photographs are scaled down to, pixels; 200 on a CPU and 960 on CUDA where
    not given."""
    gaussians: int | None = None
    """Gaussians at the end; 40,000 on a CPU and 400,000 on CUDA where not given."""
    steps: int = 20_000
    """Optimiser steps, of one photograph each."""
    save_every: int = 1000
    """Steps between checkpoints, and between looks at the views left out (every eighth)."""
    resolution: float = 0.1
    """Edge of a cell of the map, metres."""
    episodes: int = 50
    """Episodes of each of the four settings."""
    out: Path | None = None
    """Folder that the scene's folder is written into; without it, the collection that names are
    looked up in."""
    run: Path | None = None
    """Folder of checkpoints, splats and pictures; NAME.reconstruction beside the scene's folder
    where not given."""
    seed: Seed = 0
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Torch device: auto (CUDA where there is one, which needs gsplat), cpu or cuda."""
    resume: bool = False
    """Go on with a run that was stopped, or with more --steps; of one that ended only the import is
    done again."""


@dataclass(frozen=True)
class Preview:
    """Draw a scene: from above with occupancy and routes, four views at eye level, and what was
    removed.
    """

    name: tyro.conf.Positional[str]
    """A scene's name or folder."""
    out: Path = Path("preview")
    """Folder for the pictures."""


@dataclass(frozen=True)
class List:
    """List the package's scenes and what was imported."""


@dataclass(frozen=True)
class Check:
    """Check that a scene is whole and fit to drive in; every failure is named."""

    name: tyro.conf.Positional[str]
    """A scene's name or folder."""
    all: bool = False
    """Let the expert drive every episode, not a few of each setting."""


def parse_up(text: str | None) -> np.ndarray | None:
    """(3,) unit direction that --up names.

    Raises:
        UserError: neither an axis nor three numbers.
    """
    if text is None:
        return None
    words = text.replace(",", " ").split()
    axis = words[0].removeprefix("-").removeprefix("+") if len(words) == 1 else ""
    if axis in ("x", "y", "z"):
        return np.eye(3)["xyz".index(axis)] * (-1.0 if words[0].startswith("-") else 1.0)
    try:
        vector = np.array([float(word) for word in words])
    except ValueError:
        vector = np.zeros(0)
    if (
        vector.shape != (3,)
        or not np.isfinite(vector).all()
        or not 1e-9 < np.linalg.norm(vector) < 1e9
    ):
        raise UserError(f"--up {text}: give x, -x, y, -y, z, -z, or three numbers such as 0,-1,0.1")
    return vector / np.linalg.norm(vector)


def check_words(args: Import) -> None:
    """Refuses numbers that cannot work, and a capture that is not there.

    Raises:
        UserError: naming the option and what it may be.
    """
    parse_up(args.up)
    for name in ("metres_per_unit", "capture_height", "known_height"):
        value = getattr(args, name)
        shown = "--" + name.replace("_", "-")
        require(
            value is None or (1e-6 <= value <= 1e6), f"{shown} is {value}; give 0.000001 to 1000000"
        )
    require(
        args.cameras is not None or args.capture_height is None,
        "--capture-height is that of --cameras; give both",
    )
    known = (
        args.cameras is None or args.capture_height is not None or args.metres_per_unit is not None
    )
    require(
        known, "--cameras without --metres-per-unit needs --capture-height, to take the scale from"
    )
    require(
        (args.known_height is None) == (args.at is None),
        "--known-height and --at belong together; give both",
    )
    require(
        args.at is None or all(map(math.isfinite, args.at)),
        f"--at {' '.join(map(str, args.at or ()))}: give three finite numbers",
    )
    if args.floor is not None:
        good = all(map(math.isfinite, args.floor)) and 1e-9 < math.hypot(*args.floor[:3]) < 1e9
        require(
            good,
            f"--floor {' '.join(map(str, args.floor))}: give A B C D, four finite numbers of which "
            "A B C are not all 0",
        )
        require(args.up is None, "--floor says which way is up too; leave --up out")
    if args.known_height is not None:
        lone = args.metres_per_unit is None and args.cameras is None
        require(
            lone, "give one of --metres-per-unit, --cameras and --known-height; one scale is enough"
        )
    require(
        0.02 <= args.resolution <= 0.5,
        f"--resolution is {args.resolution}; give metres, 0.02 to 0.5",
    )
    require(
        1 <= args.episodes <= 1000,
        f"--episodes is {args.episodes}; give 1 to 1000, of each setting",
    )
    require(
        args.file.exists(),
        f"{args.file}: no such file; give a capture (.ply, .spz, .splat, .sog or the folder of a "
        "SOG)",
    )


def check_photo_words(args: Reconstruct) -> None:
    """Refuses numbers that cannot work, and a folder that is not there.

    Raises:
        UserError: naming the option and what it may be.
    """
    require(
        args.dir.exists(),
        f"{args.dir}: no such folder; give one of a COLMAP model, transforms.json or posed RGB-D",
    )
    for name, (least, most) in BOUNDS.items():
        value = getattr(args, name)
        require(
            value is None or least <= value <= most,
            f"--{name.replace('_', '-')} is {value}; give {least} to {most}",
        )
    check_words(
        Import(
            args.dir,
            args.name,
            args.metres_per_unit,
            args.up,
            args.floor,
            resolution=args.resolution,
            episodes=args.episodes,
        )
    )
