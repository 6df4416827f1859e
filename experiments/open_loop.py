"""The open-loop experiments: python -m experiments.open_loop anchors|data|heads|real|cost --out
FOLDER ...

    anchors   1, 2, 4, 8, 12, 16 anchors on the walks of --data
    data      1/8, 1/4, 1/2 and all of the training walks
    heads     8 anchors, one, and plain regression, beside constant velocity and straight to the
              goal
    real      trained on real walks, recorded ones, or both; tested on real walks that were left
              out, split after split
    policies  those of --policy, as they are, on all walks of --data: what fine-tuning forgets
    cost      samples/s, memory and parameters over anchors, tokens and layers
              (s2e.benchmarks.speed.policy_cost)

Every cell of the first four is a run of s2e-pretrain with the same steps, judged on the same
held-out walks. What is done is in FOLDER/results.jsonl; the same command goes on where it was
stopped, and prints the tables again when all is done. `anchors` and `data` also draw a PNG where
matplotlib is installed.
"""

import functools
import hashlib
import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import tyro
from tqdm import tqdm

from experiments.open_loop_tables import between_walks, differences, draw, table
from s2e.benchmarks.speed.policy_cost import cost_table
from s2e.core.cache import cache
from s2e.core.errors import UserError, choose_device, how_to_install, require, run_command
from s2e.core.files import json_lines
from s2e.policy.agent import Inputs, forward
from s2e.policy.checkpoint import load_networks
from s2e.policy.config import PRESETS
from s2e.policy.mixture import Modes, normalise, positive_mode
from s2e.pretrain.evaluate import Row, evaluate
from s2e.pretrain.samples import Batch, make_batch, make_samples
from s2e.pretrain.tokens import TokenStore
from s2e.video.files import lines_of
from s2e.video.options import ReadOptions
from s2e.video.readers.formats import read_walks
from s2e.video.resample import trajectory
from s2e.video.walk import Walk

ANCHORS = (1, 2, 4, 8, 12, 16)
FRACTIONS = (1 / 8, 1 / 4, 1 / 2, 1.0)
PAPER = (
    "S2E (arXiv 2507.22028) names mAP .57, .62, .59 for 1, 8, 16 anchors on RECON, thresholds "
    "unpublished"
)
REAL, BOTH = "real", "real and recorded"
REFERENCE = {"anchors": "1 anchor", "data": "1 of the data", "heads": "unimodal", "real": REAL}
"""What the other cells of an experiment are compared with, seed by seed."""


@dataclass(frozen=True)
class OpenLoopArgs:
    """Run, or go on with, an open-loop experiment."""

    what: tyro.conf.Positional[Literal["anchors", "data", "heads", "real", "policies", "cost"]]
    """The experiment."""
    data: tuple[Path, ...] = ()
    """Recorded walks (`s2e-data record`), or any dataset."""
    real: tuple[Path, ...] = ()
    """Folders of real walks, each walk in a folder of its own (for `real`)."""
    policy: tuple[str, ...] = ()
    """Runs, checkpoints or shipped policies (for `policies`)."""
    out: Path = Path("open_loop")
    """Where runs and results go."""
    seeds: int = 3
    """Seeds of each cell; for `real` the number of splits."""
    steps: int = 500
    """Optimiser steps of every run."""
    batch: int = 256
    """Samples a step."""
    hz: float | None = None
    """Frames a second of data that do not say; where not given, 10 are assumed (RECON: 4), and it
    is said."""
    held_out: float = 0.2
    """Share of the walks of --data (for `real`: of --real) to test on."""
    held_out_prefix: str = ""
    """Test on the walks of --data whose names begin like this instead: `t003_` is a take of
    `s2e-data record`, whose streets no other take has. Not for `real`."""


@dataclass(frozen=True)
class Cell:
    """One training: what it is called in the table, its seed, what it reads, what it is tested on,
    and options of s2e-pretrain.
    """

    label: str
    seed: int
    data: tuple[Path, ...]
    held_out: tuple[str, ...]
    options: tuple[str, ...]


def held_out_names(walks: Sequence[Walk], share: float, seed: int) -> tuple[str, ...]:
    """Names of the walks to test on, with all their pieces: one walk at least, and one at least
    left.
    """
    whole = sorted({trajectory(w.name) for w in walks})
    require(len(whole) > 1, f"{walks[0].source}: one walk cannot be split; give at least two")
    count = min(max(1, round(share * len(whole))), len(whole) - 1)
    held = set(np.random.default_rng([seed, 5]).permutation(whole)[:count].tolist())
    return tuple(sorted({w.name for w in walks if trajectory(w.name) in held}))


def prefixed(args: OpenLoopArgs) -> tuple[str, ...]:
    """Names of the walks that begin with --held-out-prefix, with all their pieces."""
    every = {w.name for w in read(args, args.data)}
    held = {trajectory(n) for n in every if n.startswith(args.held_out_prefix)}
    names = {n for n in every if trajectory(n) in held}
    where = f"--held-out-prefix {args.held_out_prefix}"
    require(
        bool(names) and names < every,
        f"{where}: {len(names)} of {len(every)} walks begin like this; some must, and not all",
    )
    return tuple(sorted(names))


def cells_of(args: OpenLoopArgs) -> list[Cell]:
    """The trainings of an experiment, all seeds of a label after each other."""
    if args.what == "real":
        return real_cells(args)
    names = (
        prefixed(args)
        if args.held_out_prefix
        else held_out_names(read(args, args.data), args.held_out, 0)
    )
    if args.what == "anchors":
        kinds = {f"{m} anchors" if m > 1 else "1 anchor": ("--anchors", str(m)) for m in ANCHORS}
    elif args.what == "data":
        kinds = {
            f"{f:g} of the data": ("--anchors", "8", *(() if f == 1 else ("--fraction", f"{f:g}")))
            for f in FRACTIONS
        }
    else:
        kinds = {
            "8 anchors": ("--anchors", "8"),
            "unimodal": ("--anchors", "1"),
            "regression (GNM)": ("--anchors", "1", "--loss", "regression"),
        }
    return [
        Cell(label, seed, args.data, names, options)
        for label, options in kinds.items()
        for seed in range(args.seeds)
    ]


def real_cells(args: OpenLoopArgs) -> list[Cell]:
    """Real only, recorded only, and both: in equal shares, and as much as there is. The test walks
    change with the split.

    What is held out has to be in the data, so "recorded" reads the test walks too, and nothing else
    that is real.
    """
    real, recorded = read(args, args.real), read(args, args.data)
    order = np.random.default_rng(11).permutation(len(recorded))
    frames = np.cumsum([len(recorded[i]) for i in order])
    enough = 1 + int(np.searchsorted(frames, (1 - args.held_out) * sum(map(len, real))))
    some = tuple(recorded[i].source.parent for i in sorted(order[:enough]))
    cells = []
    for split in range(args.seeds):
        names = held_out_names(real, args.held_out, split)
        test = tuple(w.source.parent for w in real if w.name in names)
        for label, data in (
            (REAL, args.real),
            ("recorded", args.data + test),
            (f"{BOTH}, 1:1", args.real + some),
            (BOTH, args.real + args.data),
        ):
            cells.append(Cell(label, split, data, names, ("--anchors", "8")))
    return sorted(cells, key=lambda c: c.label)


def read(args: OpenLoopArgs, paths: tuple[Path, ...]) -> list[Walk]:
    """The good walks of a dataset."""
    require(
        bool(paths),
        f"{args.what} needs --data{' and --real' if args.what == 'real' else ''}: folders of walks",
    )
    return _walks(paths, args.hz)


@functools.cache
def _walks(paths: tuple[Path, ...], hz: float | None) -> list[Walk]:
    """Reads the walks, and says once what is to be known about it."""
    walks, skipped = read_walks(paths, ReadOptions(hz=hz))
    for line in [
        *lines_of([(w.name, fact) for w in walks for fact in w.notes]),
        *(f"left out {s.reason}" for s in skipped),
    ]:
        tqdm.write(line, file=sys.stderr)
    return walks


def settings(cell: Cell, args: OpenLoopArgs) -> dict[str, Any]:
    """All that a cell's result depends on; experiments share cells of equal settings."""
    return {
        "data": [str(p) for p in cell.data],
        "held_out": list(cell.held_out),
        "options": list(cell.options),
        "seed": cell.seed,
        "steps": args.steps,
        "batch": args.batch,
        "hz": ReadOptions(hz=args.hz).rate()[0],
    }


def key_of(values: dict[str, Any]) -> str:
    """A short name for settings."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:12]


def load_results(out: Path) -> dict[str, dict[str, Any]]:
    """Key to result, of what is done; a line cut by a kill does not count."""
    path = out / "results.jsonl"
    records = json_lines(path.read_bytes()) if path.exists() else ()
    return {record["key"]: record for record in records if "key" in record}


def append(path: Path, record: dict[str, Any]) -> None:
    """Adds a line, after the end of one that a kill cut short."""
    with path.open("a+b") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - 1))
        cut = file.read() not in (b"\n", b"")
        file.write(b"\n" * cut + json.dumps(record).encode() + b"\n")


def run_cell(cell: Cell, args: OpenLoopArgs) -> dict[str, Any]:
    """Trains one cell (or goes on with it) and returns its line of results.jsonl."""
    values = settings(cell, args)
    folder = args.out / "runs" / key_of(values)
    folder.parent.mkdir(parents=True, exist_ok=True)
    listed = folder.with_suffix(".txt")
    listed.write_text("\n".join(cell.held_out) + "\n")
    words = [
        *cell.options,
        "--steps",
        args.steps,
        "--batch",
        args.batch,
        "--seed",
        cell.seed,
        "--validate-every",
        0,
    ]
    words += ["--hz", args.hz] if args.hz is not None else []
    command = [
        sys.executable,
        "-m",
        "s2e.pretrain.train",
        "--data",
        *cell.data,
        "--out",
        folder,
        "--held-out",
        listed,
        *words,
    ]
    if (folder / "checkpoints" / "last").exists():
        command.append("--resume")
    began = time.monotonic()
    with folder.with_suffix(".log").open("w") as log:
        code = subprocess.run(
            [str(w) for w in command], stdout=log, stderr=subprocess.STDOUT
        ).returncode
    if code == 130:
        raise KeyboardInterrupt
    tail = folder.with_suffix(".log").read_text().strip().splitlines()[-1:]
    require(
        code == 0,
        f"{folder}: s2e-pretrain ended with code {code} ({' '.join(tail)}); its log is "
        f"{folder.with_suffix('.log')}",
    )
    row = {
        k.removeprefix("held_out/"): v
        for values in json_lines((folder / "metrics.jsonl").read_bytes())
        for k, v in values.items()
        if k.startswith("held_out/")
    }
    require(
        "ade_m" in row,
        f"{folder}/metrics.jsonl: no held_out metrics in it; delete the folder and start again",
    )
    return {
        "key": folder.name,
        "label": cell.label,
        **values,
        "seconds": round(time.monotonic() - began, 1),
        "row": finite(row),
    }


def finite(row: Row) -> Row:
    """A row without what is not defined: JSON knows no NaN."""
    return {k: v for k, v in row.items() if math.isfinite(v)}


def baselines(cell: Cell, args: OpenLoopArgs) -> dict[str, Row]:
    """Constant velocity and straight to goal on a cell's held-out walks."""
    config = PRESETS["laptop"]
    walks = [w for w in read(args, cell.data) if w.name in cell.held_out]
    first = np.cumsum([0, *map(len, walks[:-1])])
    return {
        k: finite(v)
        for k, v in evaluate(None, make_samples(walks, config, first), config, 4096).items()
    }


def judged(name: str, walks: list[Walk], device: str) -> dict[str, Row]:
    """A policy's row ("s2e") on all samples of some walks, and the baselines'. It is told no
    odometry: walks have none.
    """
    policy, net = load_networks(name)
    config, policy = policy.config, policy.to(device)
    store = TokenStore(net.to(device), config, cache(), device)
    first, good, skipped = store.add(walks)
    for entry in skipped:
        tqdm.write(f"left out {entry.reason}", file=sys.stderr)
    samples = make_samples(good, config, first)
    require(len(samples) > 0, f"{walks[0].source}: no walk is long enough")

    def answer(index: np.ndarray) -> tuple[Modes, Batch]:
        batch = make_batch(samples, index, config, None)
        features, older = (
            torch.from_numpy(t).float().to(device) for t in store.tokens(batch.frames)
        )
        vectors = (v.to(device) for v in (batch.goal, batch.ego, batch.robot))
        return forward(policy, Inputs(features, older, *vectors))[1], batch

    def positive(future: torch.Tensor) -> torch.Tensor:
        ways = normalise(future, config.waypoint_dt_s, config.speed_floor)[0]
        return positive_mode(ways, policy.anchors.cpu())

    return evaluate(answer, samples, config, 512, positive)


def policies(args: OpenLoopArgs) -> None:
    """Prints the table of policies that are trained already."""
    require(bool(args.policy), "policies needs --policy: runs, checkpoints or shipped policies")
    walks, device = read(args, args.data), choose_device("auto")
    rows: dict[str, list[Row]] = {}
    for name in args.policy:
        mine = {row: finite(values) for row, values in judged(name, walks, device).items()}
        rows[Path(name).name] = [mine.pop("s2e")]
        rows |= {other: [row] for other, row in mine.items() if other not in rows}
    print(f"{len(walks)} walks, all of them judged\n")
    print(table(rows, 0.0), between_walks(rows), sep="\n\n")


def open_loop(args: OpenLoopArgs) -> None:
    """The whole command."""
    if args.what == "cost":
        print(cost_table())
        return
    if args.what == "policies":
        return policies(args)
    require(
        args.seeds >= 1 and args.steps >= 1 and args.batch >= 1,
        "--seeds, --steps and --batch must be at least 1",
    )
    require(
        0 < args.held_out < 1,
        f"--held-out is {args.held_out}; a share of the walks, between 0 and 1",
    )
    cells = cells_of(args)
    results = load_results(args.out)
    open_cells = [c for c in cells if key_of(settings(c, args)) not in results]
    try:
        args.out.mkdir(parents=True, exist_ok=True)
        for cell in tqdm(open_cells, desc=args.what, unit="run", disable=None):
            record = run_cell(cell, args)
            results[record["key"]] = record
            append(args.out / "results.jsonl", record)
    except OSError as error:
        raise UserError(f"{args.out}: cannot be written ({error}); give another --out") from None
    report(cells, results, args)


def report(cells: list[Cell], results: dict[str, dict[str, Any]], args: OpenLoopArgs) -> None:
    """Prints the tables and draws the curves."""
    rows: dict[str, list[Row]] = {}
    for cell in cells:
        row = results[key_of(settings(cell, args))]["row"]
        untrained = ("nll", "ece") if "regression" in cell.options else ()
        rows.setdefault(cell.label, []).append(
            {k: v for k, v in row.items() if not k.startswith(untrained)} if untrained else row
        )
    swept = dict(rows)
    for cell in {c.held_out: c for c in cells}.values():
        for name, row in baselines(cell, args).items():
            rows.setdefault(name, []).append(row)
    shared = args.held_out / (1 - args.held_out) if args.what == "real" else 0.0
    over = f"{args.seeds} {'splits' if args.what == 'real' else 'seeds'}"
    print(
        f"\n{args.what}: {args.steps} steps of {args.batch}, {len(cells[0].held_out)} held-out "
        f"walks; ± 95 % over {over} (t-interval)\n"
    )
    print(
        table(rows, shared),
        between_walks(swept),
        differences(swept, REFERENCE[args.what], shared),
        sep="\n\n",
    )
    curves = {
        "anchors": (ANCHORS, "anchors", PAPER),
        "data": (FRACTIONS, "share of the training walks", "the same steps for every share"),
    }
    if args.what in curves:
        x, title, caption = curves[args.what]
        path = args.out / f"{args.what}.png"
        drawn = draw(swept, x, title, caption, path)
        print(
            f"picture: {path}"
            if drawn
            else f"no picture without matplotlib; {how_to_install('dev', 'matplotlib')}"
        )


if __name__ == "__main__":
    run_command(lambda: open_loop(tyro.cli(OpenLoopArgs, description=__doc__)))
