"""`s2e-data`: record and check navigation video.

    s2e-data record --out DIR --frames 20000      the expert drives; walks in the GNM layout
    s2e-data check DIR...                         what would be used, what would be left out, and why

The layout is described in docs/data.md.
"""

from collections import deque
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro

from s2e.envs.record import STREETS, Settings, record
from s2e.errors import UserError, require, run_command
from s2e.video.formats import read_walks
from s2e.video.options import ReadOptions


@dataclass(frozen=True)
class Record:
    """Drive the expert through procedural streets, or a scene, and keep what its camera saw."""

    out: Path
    """New folder for the walks."""
    frames: int = 20000
    """How many frames, at 5 a second."""
    envs: int = 64
    """Worlds driven at once."""
    scenes: int = 64
    """Different streets in each take: a recording is made of takes, each with streets of its own."""
    scene: str = STREETS
    """Where to drive: streets, gs_urban/plaza, what `s2e-scene` imported, a folder, gs_urban (all of them); several with commas between
    take turns."""
    people: int = 6
    """Most people in a world."""
    robot: str = "jackal"
    """jackal, coco, go2, g1, several with commas between, or any."""
    cameras: float = 0.0
    """Share of drives with a camera of another height, pitch and field of view than the robot's own, 0 to 1."""
    camera_noise: float = 0.0
    """How strongly exposure, noise and blur vary from drive to drive, 0 to 1."""
    seed: int = 0
    """Seed of streets, episodes and nudges."""
    resume: bool = False
    """Go on with a recording that was interrupted; it needs the same settings, only --frames may be more."""


@dataclass(frozen=True)
class Check:
    """Read walks and say what pretraining would use."""

    data: tyro.conf.Positional[tuple[Path, ...]]
    """Folders of walks."""
    hz: float = 10.0
    """Frames a second of datasets without a dataset.json."""


def _record(args: Record) -> None:
    for name in ("frames", "envs", "scenes"):
        if getattr(args, name) < 1:
            raise UserError(f"--{name} is {getattr(args, name)}; it must be at least 1")
    require(args.people >= 0 and args.seed >= 0, "--people and --seed must not be negative")
    same = {f.name: getattr(args, f.name) for f in fields(Settings)}
    counts = record(args.out, args.frames, Settings(**same), args.resume)
    failed = ", ".join(f"{robot} {n}" for robot, n in sorted(counts.failed.items()))
    left = f"{sum(counts.failed.values())} failed drives left out" + (f" ({failed})" if failed else "")
    print(f"{args.out}: {counts.walks} walks, {counts.frames} frames; {left}")


def _check(args: Check) -> None:
    require(0.1 <= args.hz <= 1000, f"--hz is {args.hz}; frames a second, 0.1 to 1000")
    walks, skipped = read_walks(args.data, ReadOptions(hz=args.hz))
    broken: dict[str, str] = {}
    for walk in walks:
        try:
            deque(walk.frames.images(range(len(walk))), maxlen=0)
        except UserError as error:
            broken[walk.name] = str(error)
    kept = [w for w in walks if w.name not in broken]
    for walk in walks:
        if walk.name in broken:
            print(f"left out {walk.name}: {broken[walk.name]}")
        elif walk.note:
            print(f"note {walk.name}: {walk.note}")
    for entry in skipped:
        print(f"left out {entry.source.name}: {entry.reason}")
    if not kept:
        raise UserError(f"{args.data[0]}: no walk is usable; record or copy them again")
    steps = np.concatenate([np.linalg.norm(np.diff(w.position, axis=0), axis=1) * w.hz for w in kept])
    frames = sum(map(len, kept))
    minutes = sum(len(w) / w.hz for w in kept) / 60
    print(f"{len(kept)} walks of {len(walks) + len(skipped)} usable, {frames} frames, {minutes:.1f} minutes")
    print(f"speed m/s: median {np.median(steps):.2f}, 95 % below {np.quantile(steps, 0.95):.2f}, most {steps.max():.2f}")


def main() -> None:
    """Entry point of `s2e-data`."""
    run_command(_main)


def _main() -> None:
    commands = Annotated[Record, tyro.conf.subcommand("record")] | Annotated[Check, tyro.conf.subcommand("check")]
    args = tyro.cli(commands, description=__doc__)  # pyright: ignore[reportArgumentType, reportCallIssue]
    _record(args) if isinstance(args, Record) else _check(args)


if __name__ == "__main__":
    main()
