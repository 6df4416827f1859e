"""`s2e-data`: record, convert and check navigation video.

    s2e-data record --out DIR --frames 20000  the expert drives; walks in the GNM layout
    s2e-data stills --out DIR --frames 40000  frames at random poses with their free space, for
                                              s2e-pretrain --stills
    s2e-data convert DATA... --out DIR        any format to GNM folders or tar shards, checked
    s2e-data check DATA...                    what would be used, what would be left out, and why
    s2e-data stats DATA... --out stats.png    speeds, curves, lengths, goals, sample frames and
                                              paths

The formats are described in docs/data.md.
"""

import functools
import math
import operator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from s2e.core.commandline import parse
from s2e.core.errors import require, run_command
from s2e.core.options import Robots, Seed
from s2e.video.options import check_reading


@dataclass(frozen=True)
class Recording:
    """What is seen, where, and by whom."""

    out: Path
    """New folder for what is recorded."""
    frames: int = 20000
    """How many frames, at 5 a second; 20,000 take one to two minutes on two cores."""
    scenes: int = 64
    """Different streets in each part of the recording: a take, or a shard of some 6,000 stills."""
    scene: str = "streets"
    """Where: streets, gs_urban/plaza, what `s2e-scene` imported, a folder, or gs_urban, all of
    them. Of several with commas between each has the same share, one given twice two."""
    people: int = 6
    """Most people in a world."""
    robot: Robots = "jackal"
    cameras: float = 0.0
    """Share of drives with a camera of another height, pitch and field of view than the robot's
    own, 0 to 1."""
    camera_noise: float = 0.0
    """How strongly exposure, noise and blur vary from drive to drive, 0 to 1."""
    look: Literal["mesh", "splats", "mixed"] = "mixed"
    """What streets are made of: triangles, Gaussian splats as captures have them, or both."""
    splats: float = 0.33
    """The share of streets that are splats in mixed, 0 to 1."""
    seed: Seed = 0
    resume: bool = False
    """Go on with a recording that was interrupted; it needs the same settings, only --frames may be
    more."""


@dataclass(frozen=True)
class Record(Recording):
    """Drive the expert through procedural streets, or a scene, and keep what its camera saw."""

    envs: int = 64
    """Worlds driven at once."""


@dataclass(frozen=True)
class StillsArgs(Recording):
    """Look at streets, or a scene, from random poses close to things, kerbs and people, and keep
    the free space with each frame.
    """

    frames: int = 40000
    """How many stills."""
    people: int = 4
    """Most people in a still."""
    robot: Robots = "any"
    cameras: float = 0.5
    """Share of stills by a camera of another height, pitch and field of view than the robot's own,
    0 to 1."""
    camera_noise: float = 0.5
    """How strongly exposure, noise and blur vary from still to still, 0 to 1."""


@dataclass(frozen=True)
class Reading:
    """How to read data that do not say everything."""

    data: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="DATA...")]
    """Datasets of any format: files, folders, or URLs of shards."""
    image: str = ""
    """Which images, where there are several: a topic of a bag, a key of a LeRobot dataset."""
    poses: str = ""
    """Which poses: TOPIC of a bag, COLUMNS of a LeRobot dataset (x,y,yaw), or FILE beside a video;
    TOPIC and FILE may say of what: TOPIC|FILE[:body|:optical|:camera]."""
    scale: float = 1.0
    """Metres per unit of the positions."""
    hz: float | None = None
    """Frames a second of data that do not say; where not given, 10 are assumed (RECON: 4), and it
    is said."""


@dataclass(frozen=True)
class Check(Reading):
    """Say what is wrong with walks or stills, and what of them training should use."""

    json: Path | None = None
    """Also write every finding into this file."""


@dataclass(frozen=True)
class Convert(Reading):
    """Copy walks of any format into GNM folders or tar shards: checked, cut, at their rate or
    --to-hz. Goes on where it was stopped.
    """

    out: Path = tyro.MISSING
    """New folder, or one that the same command began."""
    to: Literal["gnm", "shards"] = "gnm"
    """Layout: folders of JPEGs, or tar shards to stream (webdataset)."""
    to_hz: float = 0.0
    """Frames a second of the copy; frames are left out, never made up. 0 keeps those of the
    data."""
    keep_all: bool = False
    """Do not drop what check would drop."""
    height: int = 0
    """Shrink frames to this height in pixels; 0 follows --width."""
    width: int = 0
    """Shrink frames to this width in pixels; 0 follows --height."""
    shard_mb: float = 256.0
    """Size of a shard."""
    robot: str = ""
    """Robot, where the data do not say: jackal, coco, go2 or g1 bring their size and limits,
    another name is only noted."""
    camera_height: float = math.nan
    """Metres of the camera above the ground, where the data do not say."""
    hfov: float = math.nan
    """Degrees that a frame is wide, where the data do not say."""


@dataclass(frozen=True)
class Stats(Reading):
    """Print what walks are like, and draw it with sample frames and paths."""

    out: Path = Path("stats.png")
    """The picture."""


def check_words(args: Record | StillsArgs | Reading) -> None:
    """Refuses numbers that cannot work.

    Raises:
        UserError: naming the option and what it may be.
    """
    if isinstance(args, Reading):
        require(bool(args.data), "no data given; name files, folders or URLs of shards")
        check_reading(args.hz, args.scale)
        return
    for name in ("frames", "envs", "scenes"):
        value = getattr(args, name, 1)
        require(value >= 1, f"--{name} is {value}; it must be at least 1")
    require(args.people >= 0 and args.seed >= 0, "--people and --seed must not be negative")


def main() -> None:
    """Entry point of `s2e-data`."""
    run_command(_main)


def _main() -> None:
    named = {
        "record": Record,
        "stills": StillsArgs,
        "convert": Convert,
        "check": Check,
        "stats": Stats,
    }
    commands = functools.reduce(
        operator.or_, (Annotated[kind, tyro.conf.subcommand(name)] for name, kind in named.items())
    )
    args = parse(commands, __doc__ or "")
    check_words(args)
    # the worlds and the readers: imported once the options are right
    from s2e.envs.record.command import run

    run(args)
