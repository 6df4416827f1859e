"""`s2e-bench`: closed-loop evaluation in Gaussian-splat scenes.

    s2e-bench --scene gs_urban --policy runs/seen runs/experienced straight rays expert --setting
    all --out DIR

Every episode is written in the scene's episode file; nothing is sampled here. Contacts are counted
and block the robot, they do not end an episode; success is coming within 1.0 m of the goal before
the time limit. Finished episodes are appended to episodes.jsonl at once, so an interrupted
benchmark continues where it stopped.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from s2e.core.commandline import parse
from s2e.core.errors import UserError, require, run_command
from s2e.core.options import Device, OneRobot, Physics, SplatBackend


@dataclass(frozen=True)
class BenchArgs:
    """Judge policies in scenes of splats or of triangles."""

    scene: str = "gs_urban"
    """gs_urban or social is all scenes of the suite; one scene is gs_urban/plaza, social/doorway,
    market, boulevard, what `s2e-scene` imported, or a folder."""
    policy: tuple[str, ...] = ("straight",)
    """Run folders, checkpoint folders, or bounds and baselines: zero, straight, rays, expert.
    Several learned ones are compared."""
    setting: Literal["empty", "obstacle", "pedestrian", "both", "all"] = "all"
    """What stands and walks in the way; of the suite social only all."""
    planner: str = "none"
    """none, rules, oracle:SECONDS (right and late), random, majority, openai:URL#MODEL,
    local:FOLDER (a transformers model) or replay:FILE (docs/planner.md)."""
    planner_weight: float = 3.0
    """How much a planner's directive counts; 0 is the bare policy, bit for bit."""
    planner_fusion: Literal["score", "probability", "hold", "stream"] = "score"
    """How advice and the policy's scores become one; hold and stream, without bounds, are there to
    compare with."""
    planner_latency: float | None = None
    """Seconds of simulated time that an answer is late, whatever the machine takes for it; 2 for a
    model where nothing is given, 0 for what computes."""
    planner_record: str = ""
    """A file to which what a model answers is added; replay:FILE says it again without the
    model."""
    planner_required: bool = False
    """Refuse to run where the planner, asked once before, does not answer with a directive;
    otherwise that is a warning."""
    recovery: bool = False
    """Policies that stand in a jam back off and turn away (s2e/policy/recovery.py); zero, straight
    and the expert never do. Then success also comes to those that touch everything: look at
    contacts."""
    episodes: int = 0
    """Episodes of each setting in each scene, the first of the file; 0 is all: 2,200 in gs_urban,
    which take some 25 minutes on two cores for each policy that sees images; 10 take five."""
    robot: OneRobot = "jackal"
    physics: Physics = "kinematic"
    splat_backend: SplatBackend = "cpu"
    out: Path = Path("out/bench")
    """Folder for episodes.jsonl, summary.json and report.html; several policies get a subfolder
    each."""
    seed: int = 0
    """Seed of the intervals' bootstrap."""
    clips: int = 2
    """Short videos of each learned policy in the report; of a suite, one from each of the first
    scenes. One of a failure by each cause is added, where it was filmed; 0 films nothing."""
    device: Device = "auto"
    config: Path | None = None
    """The config.json of a results folder to take options from; those of the command line win."""


def check_words(args: BenchArgs) -> None:
    """Refuses names and numbers that cannot work.

    Raises:
        UserError: naming the option and what it may be.
    """
    if args.episodes < 0 or args.clips < 0:
        raise UserError("--episodes and --clips must not be negative")
    require(args.seed >= 0, f"--seed is {args.seed}; it must not be negative")
    weight = args.planner_weight
    require(math.isfinite(weight) and weight >= 0, "--planner-weight must be a number, 0 or more")
    check_latency(args.planner, args.planner_latency)
    from s2e.envs.robots.kinds import ROBOTS

    require(args.robot in ROBOTS, f"--robot {args.robot!r} is not one of {', '.join(ROBOTS)}")


def check_latency(planner: str, latency_s: float | None) -> None:
    """Refuses a latency that cannot be, or that is declared twice.

    Raises:
        UserError: saying which.
    """
    if latency_s is None:
        return
    right = math.isfinite(latency_s) and 0 <= latency_s <= LONGEST_S
    require(right, f"--planner-latency is {latency_s}; give seconds, 0 to {LONGEST_S:g}")
    twice = "--planner-latency does not go with oracle:SECONDS, which says it; leave one out"
    require(not planner.startswith("oracle:"), twice)


LONGEST_S = 20.0
"""An answer that is later is about what nobody remembers."""


def main() -> None:
    """Entry point of `s2e-bench`."""
    run_command(_main)


def _main() -> None:
    args = parse(BenchArgs, __doc__ or "")
    check_words(args)
    # torch and the worlds: imported once the options are right
    from s2e.benchmarks.bench import bench

    bench(args)
