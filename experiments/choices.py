"""What design choices are worth where a policy drives.

    of pretraining       python -m experiments.choices --data WALKS --out DIR
    of fine-tuning       python -m experiments.choices --init RUN --out DIR --choices sft ppo_full
    over steps and time  python -m experiments.choices --curve RUN RUN2 --out DIR

Trains each choice with each seed, on the same walks or from the same policy, for the same steps;
then drives the benchmark's four settings with all of them, and prints success with 95 % intervals:
of episodes (Wilson) for each seed together, and of the mean over seeds (t). Finished parts are
kept: the same command goes on after an interruption. A curve is every checkpoint of finished runs
(`s2e-ppo --keep 1000 --save-every 8`), judged: success of training episodes says little, since who
fails takes longest to end.
"""

import dataclasses
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tyro

from experiments.open_loop_tables import shown
from s2e.benchmarks.metrics import SETTINGS, wilson
from s2e.core.errors import UserError, how_to_install, require, run_command
from s2e.core.files import json_lines, read_json

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
"""Of fine-tuning, all as a Jackal and with s2e-ppo's defaults but for --envs and --steps:
`coached_ram` is these alone."""


@dataclass(frozen=True)
class ChoicesArgs:
    """Train design choices and compare them in closed loop."""

    out: Path
    """Folder for runs and results."""
    data: tuple[Path, ...] = ()
    """Walks to pretrain on."""
    init: str = ""
    """What to fine-tune instead: a run, a checkpoint or a shipped policy's name. It drives as
    well."""
    curve: tuple[Path, ...] = ()
    """Finished runs of fine-tuning, with names of their own, whose checkpoints to judge instead."""
    choices: tuple[str, ...] = ()
    """Names of `CHOICES`, or with --init of `TUNINGS`; where not given, the four of tokens, or sft,
    ppo_full, ppo_ram, coached_ram."""
    seeds: int = 2
    """Runs of each."""
    steps: int = 0
    """Optimiser steps of each run, or with --init environment steps; 0 is 650, or 65,536."""
    envs: int = 128
    """Worlds side by side in fine-tuning: half of s2e-ppo's, for twice the updates in as many
    steps."""
    scenes: tuple[str, ...] = ("gs_urban/plaza", "market")
    """Where they drive."""
    episodes: int = 25
    """Episodes of each setting in each scene, for each run."""


def command(module: str, *words: Any) -> None:
    """Runs a command of the package; its refusal is ours."""
    done = subprocess.run([sys.executable, "-m", module, *map(str, words)])
    if done.returncode:
        raise UserError(
            f"{module} failed with exit code {done.returncode}; see above, then run the same "
            "command again"
        )


def trained(args: ChoicesArgs, choice: str, seed: int) -> Path:
    """The run of a choice and a seed: trained, or gone on with, if it is not at its end."""
    run = args.out / f"{choice}_{seed}"
    log, end = (
        (run / "printed.txt", "checkpoint: ") if args.init else (run / "metrics.jsonl", "held_out")
    )
    if log.exists() and any(end in line for line in log.read_text().splitlines()[-1:]):
        return run
    fixed = [
        "--seed",
        seed,
        "--out",
        run,
        *(["--resume"] if (run / "checkpoints" / "last").exists() else []),
    ]
    if args.init:
        init = [] if "--init" in TUNINGS[choice] else ["--init", args.init]
        size = "--steps", args.steps or 65_536, "--envs", args.envs, "--robot", "jackal"
        command("s2e.rl.train", *size, *fixed, *init, *TUNINGS[choice])
    else:
        command(
            "s2e.pretrain.train",
            "--steps",
            args.steps or 650,
            *fixed,
            "--data",
            *args.data,
            *CHOICES[choice],
        )
    return run


def drive(args: ChoicesArgs, runs: list[Path]) -> dict[str, list[dict]]:
    """The episodes of every run, over all scenes."""
    records: dict[str, list[dict]] = {run.name: [] for run in runs}
    for scene in args.scenes:
        out = args.out / "bench" / scene.replace("/", "_")
        wanted = [
            "--scene",
            scene,
            "--setting",
            "all",
            "--episodes",
            args.episodes,
            "--clips",
            0,
            "--out",
            out,
        ]
        # two policies at least: a folder for each
        command("s2e.benchmarks.bench", *wanted, "--policy", *runs, "straight")
        for run in runs:
            records[run.name] += json_lines((out / run.name / "episodes.jsonl").read_bytes())
    # A folder may hold more episodes than were asked for now: compare on those that all have.
    common = set.intersection(*({(r["scene"], r["id"]) for r in mine} for mine in records.values()))
    return {
        name: [r for r in mine if (r["scene"], r["id"]) in common] for name, mine in records.items()
    }


def table(args: ChoicesArgs, records: dict[str, list[dict]]) -> str:
    """A line for each choice: success a setting, and of all with its interval; contacts; the seeds
    apart.
    """
    lines = [
        f"{'':20}"
        + "".join(f"{s:>12}" for s in SETTINGS)
        + f"{'all':>24}{'over seeds':>16}{'contacts':>10}   seeds"
    ]
    rows = {
        choice: [records[f"{choice}_{seed}"] for seed in range(args.seeds)]
        for choice in args.choices
    }
    if args.init:
        rows = {"init": [records[Path(args.init).name]]} | rows
    for choice, mine in rows.items():
        every = [r for part in mine for r in part]
        wins = sum(r["success"] for r in every)
        low, high = wilson(wins, len(every))
        cells = [
            f"{np.mean([r['success'] for r in every if r['setting'] == s]):12.2f}" for s in SETTINGS
        ]
        apart = " ".join(f"{np.mean([r['success'] for r in part]):.3f}" for part in mine)
        whole = f"{wins / len(every):.3f} [{low:.3f}, {high:.3f}]"
        over = shown([float(np.mean([r["success"] for r in part])) for part in mine], 3)
        lines.append(
            f"{choice:20}"
            + "".join(cells)
            + f"{whole:>24}{over:>16}{np.mean([r['ct'] for r in every]):10.2f}   {apart}"
        )
    return "\n".join(
        [*lines, f"{len(mine[0])} episodes a run: {', '.join(args.scenes)}; {args.seeds} seeds"]
    )


@dataclass(frozen=True)
class Point:
    """What a checkpoint of a fine-tuning run reaches, and when it was there: `wins` of
    `episodes`.
    """

    steps: int
    minutes: float
    wins: int
    episodes: int


def curve(args: ChoicesArgs) -> None:
    """Judges every checkpoint of the runs of --curve; prints success over steps and minutes, and
    draws it.
    """
    curves = {run.name: points(args, run) for run in args.curve}
    for name, found in curves.items():
        print(f"{name}\n{'steps':>10}{'minutes':>10}{'success':>10}")
        for at in found:
            low, high = wilson(at.wins, at.episodes)
            print(
                f"{at.steps:10}{at.minutes:10.1f}{at.wins / at.episodes:10.2f} [{low:.2f}, "
                f"{high:.2f}]"
            )
    print(
        f"{curves[args.curve[0].name][0].episodes} episodes a checkpoint: {', '.join(args.scenes)}"
    )
    path = args.out / "curves.png"
    drawn = draw_curves(curves, path)
    print(
        f"picture: {path}"
        if drawn
        else f"no picture without matplotlib; {how_to_install('dev', 'matplotlib')}"
    )


def points(args: ChoicesArgs, run: Path) -> list[Point]:
    """The checkpoints of a run, judged; minutes are those of its updates alone."""
    folders = sorted(p for p in (run / "checkpoints").glob("[0-9]*") if p.is_dir())
    require(
        bool(folders), f"{run}: has no checkpoints; train it with --keep 1000 --save-every 8, say"
    )
    judged = drive(dataclasses.replace(args, out=args.out / run.name), folders)
    config = read_json(run / "config.json", "give a run of s2e-ppo")
    rows = list(json_lines((run / "metrics.jsonl").read_bytes()))
    per_update = config["envs"] * config["horizon"]
    minutes = {
        row["step"]: at
        for row, at in zip(
            rows, np.cumsum([per_update / row["time/steps_per_s"] / 60 for row in rows])
        )
    }
    found = []
    for folder in folders:
        update, records = int(folder.name), judged[folder.name]
        found.append(
            Point(
                update * per_update,
                float(minutes[update]),
                sum(r["success"] for r in records),
                len(records),
            )
        )
    return found


def draw_curves(curves: dict[str, list[Point]], path: Path) -> bool:
    """Success over steps and minutes as a PNG: a line per run, with 95 % intervals over episodes.

    Returns:
        Whether it was drawn: matplotlib is not among the requirements.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return False
    figure = Figure((9, 3.6), dpi=150, layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    for colour, (name, found) in enumerate(curves.items()):
        share = np.array([at.wins / at.episodes for at in found])
        low, high = np.array([wilson(at.wins, at.episodes) for at in found]).T
        for axes, x in zip(
            panels, ([at.steps for at in found], [at.minutes for at in found]), strict=True
        ):
            axes.errorbar(
                x,
                share,
                (share - low, high - share),
                color=f"C{colour}",
                label=name,
                marker="o",
                capsize=2,
                linewidth=1.2,
            )
    for axes, title in zip(panels, ("environment steps", "minutes of wall time"), strict=True):
        axes.set_xlabel(title)
        axes.grid(alpha=0.3)
        axes.set_ylim(0, 1.02)
        axes.locator_params(axis="x", nbins=5)
    panels[0].set_ylabel("success, best mode")
    panels[0].legend(frameon=False, fontsize=8)
    figure.savefig(path)
    return True


def compare(args: ChoicesArgs) -> None:
    """The whole script."""
    if args.curve:
        return curve(args)
    require(
        bool(args.data) != bool(args.init),
        "give --data to compare choices of pretraining, or --init for those of fine-tuning",
    )
    known = TUNINGS if args.init else CHOICES
    usual = (
        ("sft", "ppo_full", "ppo_ram", "coached_ram")
        if args.init
        else ("pooled", "columns", "grid", "columns_free_space")
    )
    args = dataclasses.replace(args, choices=args.choices or usual)
    for name in args.choices:
        require(name in known, f"--choices {name!r} is not one of {', '.join(known)}")
    runs = [trained(args, choice, seed) for seed in range(args.seeds) for choice in args.choices]
    if args.init:
        runs.append(Path(args.init))
    text = table(args, drive(args, runs))
    (args.out / "choices.txt").write_text(text + "\n")
    print(text)


def main() -> None:
    """Entry point."""
    run_command(lambda: compare(tyro.cli(ChoicesArgs, description=__doc__)))


if __name__ == "__main__":
    main()
