"""What design choices are worth where a policy drives.

    python -m s2e.benchmarks.choices --data WALKS --out DIR                                       of pretraining
    python -m s2e.benchmarks.choices --init RUN --out DIR --choices sft ppo_full coached_ram      of fine-tuning

Trains each choice with each seed, on the same walks or from the same policy, for the same steps; then drives the benchmark's four
settings with all of them, and prints success with 95 % intervals: of episodes (Wilson) for each seed together, and of the mean over
seeds (t). Finished parts are kept: the same command goes on after an interruption. Of fine-tuning it also draws, where matplotlib is
installed, what share of training episodes succeeded, over steps and over wall time.
"""

import dataclasses
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tyro

from s2e.benchmarks.metrics import SETTINGS, wilson
from s2e.benchmarks.open_loop_tables import shown
from s2e.errors import UserError, require, run_command

CHOICES: dict[str, tuple[str, ...]] = {
    "pooled": ("--newest", "pooled"),
    "columns": ("--newest", "columns"),
    "grid": ("--newest", "grid"),
    "columns_free_space": ("--newest", "columns", "--free-space", "0.3"),
    "grid_free_space": ("--newest", "grid", "--free-space", "0.3"),
    "one_mode": ("--anchors", "1"),
    "kmeans": ("--anchors", "64", "--anchor-source", "kmeans", "--positive", "endpoint"),
}
"""Of pretraining."""
TUNINGS: dict[str, tuple[str, ...]] = {
    "sft": ("--ppo-weight", "0"),
    "scratch": ("--init", "scratch", "--adapter", "full", "--coach", "none"),
    "ppo_full": ("--adapter", "full", "--coach", "none"),
    "ppo_decoder": ("--adapter", "decoder", "--coach", "none"),
    "ppo_ram": ("--coach", "none"),
    "coached_ram": (),
    "coached_decoder": ("--adapter", "decoder"),
    "coached_full": ("--adapter", "full"),
    "no_reader": ("--no-reader",),
    "expert": ("--coach", "expert"),
    **{f"streets_{n}": ("--scenes", str(n)) for n in (1, 16, 256, 1024)},
    **{f"splats_{share}": ("--splats", str(share / 100)) for share in (0, 33, 100)},
}
"""Of fine-tuning, all as a Jackal and with s2e-ppo's defaults but for --envs and --steps: `coached_ram` is these alone."""

SMOOTH = 5
"""Updates of a running mean: an update's episodes are few, and the first that end are the short ones."""


@dataclass(frozen=True)
class ChoicesArgs:
    """Train design choices and compare them in closed loop."""

    out: Path
    """Folder for runs and results."""
    data: tuple[Path, ...] = ()
    """Walks to pretrain on."""
    init: str = ""
    """What to fine-tune instead: a run, a checkpoint or a shipped policy's name. It drives as well."""
    choices: tuple[str, ...] = ()
    """Names of `CHOICES`, or with --init of `TUNINGS`; where not given, the four of tokens, or sft, ppo_full, ppo_ram, coached_ram."""
    seeds: int = 2
    """Runs of each."""
    steps: int = 0
    """Optimiser steps of each run, or with --init environment steps; 0 is 650, or 65,536."""
    envs: int = 128
    """Worlds side by side in fine-tuning: half of s2e-ppo's, for twice the updates in as many steps."""
    scenes: tuple[str, ...] = ("gs_urban/plaza", "market")
    """Where they drive."""
    episodes: int = 25
    """Episodes of each setting in each scene, for each run."""


def command(module: str, *words: Any) -> None:
    """Runs a command of the package; its refusal is ours."""
    done = subprocess.run([sys.executable, "-m", module, *map(str, words)])
    if done.returncode:
        raise UserError(f"{module} failed with exit code {done.returncode}; see above, then run the same command again")


def trained(args: ChoicesArgs, choice: str, seed: int) -> Path:
    """The run of a choice and a seed: trained, or gone on with, if it is not at its end."""
    run = args.out / f"{choice}_{seed}"
    log, end = (run / "printed.txt", "checkpoint: ") if args.init else (run / "metrics.jsonl", "held_out")
    if log.exists() and any(end in line for line in log.read_text().splitlines()[-1:]):
        return run
    fixed = ["--seed", seed, "--out", run, *(["--resume"] if (run / "checkpoints" / "last").exists() else [])]
    if args.init:
        init = [] if "--init" in TUNINGS[choice] else ["--init", args.init]
        size = "--steps", args.steps or 65_536, "--envs", args.envs, "--robot", "jackal"
        command("s2e.rl.train", *size, *fixed, *init, *TUNINGS[choice])
    else:
        command("s2e.pretrain.train", "--steps", args.steps or 650, *fixed, "--data", *args.data, *CHOICES[choice])
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
    lines = [f"{'':20}" + "".join(f"{s:>12}" for s in SETTINGS) + f"{'all':>24}{'over seeds':>16}{'contacts':>10}   seeds"]
    rows = {choice: [records[f"{choice}_{seed}"] for seed in range(args.seeds)] for choice in args.choices}
    if args.init:
        rows = {"init": [records[Path(args.init).name]]} | rows
    for choice, mine in rows.items():
        every = [r for part in mine for r in part]
        wins = sum(r["success"] for r in every)
        low, high = wilson(wins, len(every))
        cells = [f"{np.mean([r['success'] for r in every if r['setting'] == s]):12.2f}" for s in SETTINGS]
        apart = " ".join(f"{np.mean([r['success'] for r in part]):.3f}" for part in mine)
        whole = f"{wins / len(every):.3f} [{low:.3f}, {high:.3f}]"
        over = shown([float(np.mean([r["success"] for r in part])) for part in mine], 3)
        lines.append(f"{choice:20}" + "".join(cells) + f"{whole:>24}{over:>16}{np.mean([r['ct'] for r in every]):10.2f}   {apart}")
    return "\n".join([*lines, f"{len(mine[0])} episodes a run: {', '.join(args.scenes)}; {args.seeds} seeds"])


def draw_curves(runs: dict[str, list[Path]], path: Path) -> bool:
    """Success of training episodes over steps and minutes as a PNG: a line per run, running means of `SMOOTH` updates.

    Args:
        runs: of each choice. path: the picture.

    Returns:
        Whether it was drawn: matplotlib is not among the requirements.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return False
    figure = Figure((9, 3.6), dpi=150, layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    for colour, (choice, mine) in enumerate(runs.items()):
        for number, run in enumerate(mine):
            config = json.loads((run / "config.json").read_text())
            steps, minutes, success = learning(run, config["envs"] * config["horizon"])
            for axes, x in zip(panels, (steps, minutes), strict=True):
                axes.plot(x, success, color=f"C{colour}", label=choice if number == 0 else None, linewidth=1.2)
    for axes, title in zip(panels, ("environment steps", "minutes of wall time"), strict=True):
        axes.set_xlabel(title)
        axes.grid(alpha=0.3)
        axes.set_ylim(0, 1)
    panels[0].set_ylabel("success of training episodes")
    panels[0].legend(frameon=False, fontsize=8)
    figure.savefig(path)
    return True


def learning(run: Path, per_update: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Steps, minutes and success (running means) of a fine-tuning run's updates; success is NaN where no episode ended."""
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    minutes = np.cumsum([per_update / row["time/steps_per_s"] / 60 for row in rows])
    success = np.array([row.get("episode/success", np.nan) for row in rows])
    ended = ~np.isnan(success)
    window = np.ones(SMOOTH)
    total, count = (np.convolve(v, window)[: len(rows)] for v in (np.where(ended, success, 0.0), ended.astype(float)))
    return per_update * np.array([row["step"] for row in rows]), minutes, np.where(count > 0, total / np.maximum(count, 1), np.nan)


def compare(args: ChoicesArgs) -> None:
    """The whole script."""
    require(bool(args.data) != bool(args.init), "give --data to compare choices of pretraining, or --init for those of fine-tuning")
    known = TUNINGS if args.init else CHOICES
    usual = ("sft", "ppo_full", "ppo_ram", "coached_ram") if args.init else ("pooled", "columns", "grid", "columns_free_space")
    args = dataclasses.replace(args, choices=args.choices or usual)
    for name in args.choices:
        require(name in known, f"--choices {name!r} is not one of {', '.join(known)}")
    runs = [trained(args, choice, seed) for seed in range(args.seeds) for choice in args.choices]
    if args.init:
        runs.append(Path(args.init))
    text = table(args, drive(args, runs))
    (args.out / "choices.txt").write_text(text + "\n")
    print(text)
    path = args.out / "curves.png"
    if args.init and draw_curves({c: [r for r in runs if r.name.rsplit("_", 1)[0] == c] for c in args.choices}, path):
        print(f"picture: {path}")


def main() -> None:
    """Entry point."""
    run_command(lambda: compare(tyro.cli(ChoicesArgs, description=__doc__)))


if __name__ == "__main__":
    main()
