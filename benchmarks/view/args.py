"""`s2e-view`: look at a scene in a browser, drive in it, watch a policy, or play a benchmark's
episodes back.

    s2e-view gs_urban/plaza                            fly around; drive with W, A, S, D or the
                                                       arrow keys
    s2e-view market --policy runs/out/finetuned        watch a policy, with all the ways it weighs
    s2e-view gs_urban/plaza --replay out/bench/expert  play episodes.jsonl back

Open the address that it prints. It needs the extra view, a browser with WebGL 2, and no GPU.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from s2e.core.commandline import parse
from s2e.core.errors import require, run_command
from s2e.core.options import OneRobot

DRIVERS = ("keyboard", "straight", "expert")
"""Who drives without having learned it."""


@dataclass(frozen=True)
class ViewArgs:
    """Look at a scene in a browser."""

    scene: Annotated[str, tyro.conf.Positional]
    """A packaged scene such as gs_urban/plaza or market, an imported one, or a scene folder."""
    policy: str = "keyboard"
    """Who drives at first: keyboard, straight, expert, or a run or checkpoint folder."""
    planner: str = "none"
    """Who advises the policy: none, rules, oracle:SECONDS, random, majority, or openai:URL#MODEL
    (docs/planner.md)."""
    planner_weight: float = 3.0
    """How much a planner's directive counts; 0 is the bare policy."""
    replay: Path | None = None
    """The episodes.jsonl of a benchmark in this scene, or its folder: plays it back instead of
    driving."""
    robot: OneRobot = "jackal"
    setting: Literal["empty", "obstacle", "pedestrian", "both"] = "both"
    """What stands and walks in the way."""
    host: str = "127.0.0.1"
    """Address to serve at; 0.0.0.0 lets other machines in: whoever reaches it can watch and
    drive."""
    port: int = 8080
    """Port to serve at; 0 takes a free one."""


def check_words(args: ViewArgs) -> None:
    """Refuses what cannot be.

    Raises:
        UserError: naming the option and what it may be.
    """
    require(0 <= args.port <= 65535, f"--port {args.port}: give 0 to 65535")
    both = (
        f"--policy {args.policy} and --replay {args.replay}: a replay shows what was driven; "
        "give one of them"
    )
    require(args.replay is None or args.policy == "keyboard", both)
    weight = args.planner_weight
    require(math.isfinite(weight) and weight >= 0, "--planner-weight must be a number, 0 or more")
    alone = "--planner advises learned policies, and --policy names none; add a run folder"
    require(args.planner == "none" or args.policy not in DRIVERS, alone)
    from s2e.envs.robots.kinds import ROBOTS

    require(args.robot in ROBOTS, f"--robot {args.robot!r} is not one of {', '.join(ROBOTS)}")


def main() -> None:
    """Entry point of `s2e-view`."""
    run_command(_main)


def _main() -> None:
    args = parse(ViewArgs, __doc__ or "")
    check_words(args)
    # torch and the worlds: imported once the options are right
    from s2e.benchmarks.view.command import view

    view(args)
