"""What the policy's design choices are worth where it drives: python -m s2e.benchmarks.choices --data WALKS --out DIR.

Pretrains each choice with each seed on the same walks for the same steps, then drives the benchmark's four settings with all of them,
and prints success with 95 % intervals: of episodes (Wilson) for each seed together, and the spread over seeds. Finished parts are kept.
"""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tyro

from s2e.benchmarks.metrics import SETTINGS, wilson
from s2e.errors import UserError, run_command

CHOICES: dict[str, tuple[str, ...]] = {
    "pooled": ("--newest", "pooled"),
    "columns": ("--newest", "columns"),
    "grid": ("--newest", "grid"),
    "columns_free_space": ("--newest", "columns", "--free-space", "0.3"),
    "grid_free_space": ("--newest", "grid", "--free-space", "0.3"),
    "one_mode": ("--anchors", "1"),
    "kmeans": ("--anchors", "64", "--anchor-source", "kmeans", "--positive", "endpoint"),
}


@dataclass(frozen=True)
class ChoicesArgs:
    """Pretrain design choices and compare them in closed loop."""

    data: tuple[Path, ...]
    """Walks to pretrain on."""
    out: Path
    """Folder for runs and results."""
    choices: tuple[str, ...] = ("pooled", "columns", "grid", "columns_free_space")
    """Names of `CHOICES`."""
    seeds: int = 2
    """Pretraining runs of each."""
    steps: int = 650
    """Optimiser steps of each run."""
    scenes: tuple[str, ...] = ("gs_urban/plaza", "market")
    """Where they drive."""
    episodes: int = 25
    """Episodes of each setting in each scene, for each run."""


def command(module: str, *words: Any) -> None:
    """Runs a command of the package; its refusal is ours."""
    done = subprocess.run([sys.executable, "-m", module, *map(str, words)])
    if done.returncode:
        raise UserError(f"{module} failed with exit code {done.returncode}; see above, then run the same command again")


def pretrain(args: ChoicesArgs, choice: str, seed: int) -> Path:
    """The run of a choice and a seed, trained if it is not there."""
    run = args.out / f"{choice}_{seed}"
    log = run / "metrics.jsonl"
    if log.exists() and any("held_out" in line for line in log.read_text().splitlines()[-1:]):
        return run
    resume = ["--resume"] if (run / "checkpoints" / "last").exists() else []
    fixed = ["--steps", args.steps, "--seed", seed, "--out", run, "--data", *args.data]
    command("s2e.pretrain.train", *fixed, *CHOICES[choice], *resume)
    return run


def drive(args: ChoicesArgs, runs: list[Path]) -> dict[str, list[dict]]:
    """The episodes of every run, over all scenes."""
    records: dict[str, list[dict]] = {run.name: [] for run in runs}
    for scene in args.scenes:
        out = args.out / "bench" / scene.replace("/", "_")
        wanted = ["--scene", scene, "--setting", "all", "--episodes", args.episodes, "--clips", 0, "--out", out]
        command("s2e.benchmarks.bench", *wanted, "--policy", *runs, "straight")  # two policies at least: a folder for each
        for run in runs:
            lines = (out / run.name / "episodes.jsonl").read_text().splitlines()
            records[run.name] += [json.loads(line) for line in lines]
    # A folder may hold more episodes than were asked for now: compare on those that all have.
    common = set.intersection(*({(r["scene"], r["id"]) for r in mine} for mine in records.values()))
    return {name: [r for r in mine if (r["scene"], r["id"]) in common] for name, mine in records.items()}


def table(args: ChoicesArgs, records: dict[str, list[dict]]) -> str:
    """A line for each choice: success a setting, and of all with its interval; contacts; the seeds apart."""
    lines = [f"{'':20}" + "".join(f"{s:>12}" for s in SETTINGS) + f"{'all':>24}{'contacts':>10}   seeds"]
    for choice in args.choices:
        mine = [records[f"{choice}_{seed}"] for seed in range(args.seeds)]
        every = [r for part in mine for r in part]
        wins = sum(r["success"] for r in every)
        low, high = wilson(wins, len(every))
        cells = [f"{np.mean([r['success'] for r in every if r['setting'] == s]):12.2f}" for s in SETTINGS]
        apart = " ".join(f"{np.mean([r['success'] for r in part]):.3f}" for part in mine)
        whole = f"{wins / len(every):.3f} [{low:.3f}, {high:.3f}]"
        lines.append(f"{choice:20}" + "".join(cells) + f"{whole:>24}{np.mean([r['ct'] for r in every]):10.2f}   {apart}")
    return "\n".join([*lines, f"{len(every)} episodes a line: {', '.join(args.scenes)}; {args.steps} steps, {args.seeds} seeds"])


def compare(args: ChoicesArgs) -> None:
    """The whole script."""
    for name in args.choices:
        if name not in CHOICES:
            raise UserError(f"--choices {name!r} is not one of {', '.join(CHOICES)}")
    runs = [pretrain(args, choice, seed) for seed in range(args.seeds) for choice in args.choices]
    text = table(args, drive(args, runs))
    (args.out / "choices.txt").write_text(text + "\n")
    print(text)


def main() -> None:
    """Entry point."""
    run_command(lambda: compare(tyro.cli(ChoicesArgs, description=__doc__)))


if __name__ == "__main__":
    main()
