import dataclasses
import itertools
import json
import math
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from scipy.stats import ttest_1samp

from experiments import open_loop as script
from experiments.open_loop import (
    OpenLoopArgs,
    cells_of,
    held_out_names,
    key_of,
    load_results,
    settings,
)
from experiments.open_loop_tables import differences, draw, interval, table
from s2e.benchmarks.speed.policy_cost import LAPTOP, Subject, cost_table
from s2e.core.errors import UserError
from tests.video.walk_files import make_walk


@pytest.fixture
def data(tmp_path):
    for i in range(6):
        make_walk(tmp_path / "rec" / f"w{i}", 40, seed=i)
    for i in range(4):
        make_walk(tmp_path / "real" / f"r{i}", 40, seed=10 + i)
    return tmp_path


@pytest.fixture
def trained(monkeypatch):
    """Stands in for s2e-pretrain: writes a metrics.jsonl whose numbers follow from seed and
    anchors; keeps the commands."""
    commands = []

    def run(command, stdout, stderr):
        options = dict(itertools.pairwise(command))
        out, anchors, seed = (
            Path(options["--out"]),
            int(options["--anchors"]),
            int(options["--seed"]),
        )
        commands.append(command)
        if options["--steps"] == "13":
            stdout.write("error: the walks are bad\n")
            return subprocess.CompletedProcess(command, 2)
        out.mkdir(parents=True)
        row = {
            "ade_m": 0.3 + 0.01 * seed,
            "min_ade_m": 0.2 / anchors,
            "min_fde_m": 0.4 / anchors,
            "map": 0.5,
            "soft_map": 0.6,
            "map_low": 0.4,
            "map_high": 0.6,
            "nll": 3.0,
            "miss": 0.1,
        }
        lines = [
            {"step": 1, "train/loss": 1.0},
            {"step": 2, **{f"held_out/{k}": v for k, v in row.items()}},
        ]
        (out / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        return subprocess.CompletedProcess(command, 0)

    # The script alone: whoever else starts programs, as matplotlib does to list fonts, is not
    # meant.
    monkeypatch.setattr(script, "subprocess", SimpleNamespace(run=run, STDOUT=subprocess.STDOUT))
    return commands


def test_policies_that_are_trained_are_judged_as_they_are(data, capsys, monkeypatch):
    monkeypatch.setenv("S2E_CACHE", str(data / "cache"))
    script.open_loop(
        OpenLoopArgs("policies", data=(data / "real",), policy=("laptop", "laptop-experienced"))
    )
    lines = [
        line.split(" | ") for line in capsys.readouterr().out.splitlines() if line.startswith("| ")
    ]
    rows = {
        line[0].removeprefix("| "): [float(cell or "nan") for cell in line[1:5]]
        for line in lines[1:]
    }
    assert list(rows) == ["laptop", "constant velocity", "straight to goal", "laptop-experienced"]
    assert rows["laptop"] != rows["laptop-experienced"] and all(row[0] > 0 for row in rows.values())
    with pytest.raises(UserError, match="--policy"):
        script.open_loop(OpenLoopArgs("policies", data=(data / "real",)))


def test_held_out_walks_are_whole_seeded_and_never_all(data):
    walks = script.read(OpenLoopArgs("anchors"), (data / "rec",))
    names = held_out_names(walks, 0.34, 0)
    assert (
        len(names) == 2
        and set(names) < {w.name for w in walks}
        and names == held_out_names(walks[::-1], 0.34, 0)
    )
    assert len({held_out_names(walks, 0.34, s) for s in range(8)}) > 1
    assert len(held_out_names(walks, 0.99, 0)) == 5 and len(held_out_names(walks, 0.01, 0)) == 1
    with pytest.raises(UserError, match="at least two"):
        held_out_names(walks[:1], 0.2, 0)
    pieces = [dataclasses.replace(w, name=f"{w.name}+{k}") for w in walks for k in range(3)]
    for seed in range(4):  # the same walks as before they were cut, whole
        assert held_out_names(pieces, 0.34, seed) == tuple(
            f"{n}+{k}" for n in held_out_names(walks, 0.34, seed) for k in range(3)
        )
    with pytest.raises(UserError, match="at least two"):
        held_out_names(pieces[:3], 0.2, 0)


def test_a_prefix_holds_out_what_was_recorded_together(data):
    args = OpenLoopArgs("anchors", data=(data / "rec", data / "real"), held_out_prefix="r")
    assert {c.held_out for c in cells_of(args)} == {("r0", "r1", "r2", "r3")}
    with pytest.raises(UserError, match="0 of 10 walks"):
        cells_of(dataclasses.replace(args, held_out_prefix="t"))
    with pytest.raises(UserError, match="4 of 4 walks"):
        cells_of(dataclasses.replace(args, data=(data / "real",)))


def test_interval_is_the_t_interval():
    values = [0.5, 0.62, 0.55, 0.6]
    low, high = ttest_1samp(values, 0).confidence_interval(0.95)
    assert interval(values) == pytest.approx((high - low) / 2)
    assert math.isnan(interval([0.5]))
    # With test sets a quarter of the training sets, the variance is 1/n + 1/4 of that of one value.
    assert interval(values, 0.25) == pytest.approx(interval(values) * math.sqrt(1 + 4 * 0.25))


def test_a_sweep_runs_each_cell_once_and_goes_on(data, trained, capsys):
    args = OpenLoopArgs("anchors", data=(data / "rec",), out=data / "out", seeds=2)
    script.open_loop(args)
    assert len(trained) == 12 and len(load_results(args.out)) == 12
    printed = capsys.readouterr().out
    assert (
        "| 8 anchors | 0.025 ±0.000 |" in printed
        and "constant velocity" in printed
        and "mAP ±0.1" in printed
    )
    script.open_loop(args)
    assert len(trained) == 12 and capsys.readouterr().out == printed
    path = args.out / "results.jsonl"
    path.write_text(path.read_text()[:-40])  # killed while writing
    script.open_loop(dataclasses.replace(args, what="data"))
    assert len(trained) == 12 + 6, "8 anchors with all of the data are trained already"
    assert len(load_results(args.out)) == 12 - 1 + 6
    held = {c[c.index("--held-out") + 1] for c in trained}
    assert len({Path(p).read_text() for p in held}) == 1, "every cell is judged on the same walks"


def test_a_line_begins_after_the_end_of_a_cut_one(tmp_path):
    path = tmp_path / "results.jsonl"
    script.append(path, {"key": "a"})
    script.append(path, {"key": "b"})
    path.write_bytes(path.read_bytes()[:-4])
    script.append(path, {"key": "c"})
    assert path.read_text() == '{"key": "a"}\n{"key": "\n{"key": "c"}\n' and list(
        load_results(tmp_path)
    ) == ["a", "c"]


def test_regression_has_no_density(data, trained, capsys):
    script.open_loop(OpenLoopArgs("heads", data=(data / "rec",), out=data / "out", seeds=1))
    lines = {
        line.split("|")[1].strip(): line.split("|")
        for line in capsys.readouterr().out.splitlines()
        if line.startswith("|")
    }
    assert lines["unimodal"][11].strip() == "3.00" and lines["regression (GNM)"][11].strip() == ""
    assert lines["regression (GNM)"][1:5] != lines["unimodal"][1:5]


def test_real_walks_are_tested_on_what_no_cell_of_the_split_trained_on(data):
    args = OpenLoopArgs(
        "real",
        data=(data / "rec",),
        real=(data / "real",),
        out=data / "out",
        seeds=3,
        held_out=0.25,
    )
    cells = cells_of(args)
    assert len(cells) == 12 and {c.label for c in cells} == {
        "real",
        "recorded",
        "real and recorded",
        "real and recorded, 1:1",
    }
    for split in range(3):
        assert len({c.held_out for c in cells if c.seed == split}) == 1
    for cell in cells:
        walks = script.read(args, cell.data)
        names = {w.name for w in walks} - set(cell.held_out)
        assert set(cell.held_out) < {w.name for w in walks}, (
            "s2e-pretrain refuses names that are not there"
        )
        kinds = {"real": "r", "recorded": "w"}.get(cell.label, "rw")
        assert {n[0] for n in names} == set(kinds)
        if "1:1" in cell.label:
            assert sum(n[0] == "w" for n in names) == sum(n[0] == "r" for n in names) == 3


def test_differences_are_split_by_split():
    rows = {"real": [{"map": 0.2}, {"map": 0.4}], "recorded": [{"map": 0.3}, {"map": 0.5}]}
    assert "recorded minus real: mAP +0.100 ±0.000" in differences(rows, "real", 0.25)


def test_settings_make_the_key(data):
    args = OpenLoopArgs("anchors", data=(data / "rec",), out=data / "out", seeds=2)
    keys = {
        key_of(settings(c, a))
        for a in (args, dataclasses.replace(args, steps=7))
        for c in cells_of(a)
    }
    assert len(keys) == 24


def test_bad_input(data, trained):
    with pytest.raises(UserError, match="--data and --real"):
        script.open_loop(OpenLoopArgs("real"))
    with pytest.raises(UserError, match="--held-out is 1"):
        script.open_loop(OpenLoopArgs("data", data=(data / "rec",), held_out=1.0))
    with pytest.raises(UserError, match="code 2 .error: the walks are bad.*log"):
        script.open_loop(OpenLoopArgs("data", data=(data / "rec",), out=data / "out", steps=13))


def test_table_leaves_out_what_is_not_known():
    text = table({"a": [{"map": 0.5}, {"map": 0.7}], "b": [{"maoe_deg": 12.34}]}, 0.0)
    assert "| 0.600 ±1.271 |" in text and "| 12.3 |" in text and "nan" not in text
    assert len({line.count("|") for line in text.splitlines()}) == 1


def test_drawn_is_a_png(tmp_path):
    pytest.importorskip("matplotlib")
    row = {"map": 0.5, "soft_map": 0.55, "ade_m": 0.3, "min_ade_m": 0.2, "min_fde_m": 0.4}
    assert draw({"1": [row, row], "2": [row]}, (1, 2), "anchors", "caption", tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes()[:4] == b"\x89PNG"


def test_cost_grows_as_the_mathematics_says():
    flops = {m: Subject(dataclasses.replace(LAPTOP, anchors=m), 2) for m in (4, 8, 16)}
    assert flops[16].flops - flops[8].flops == pytest.approx(2 * (flops[8].flops - flops[4].flops))
    assert flops[16].saved > flops[8].saved > flops[4].saved > 0
    one = flops[8]
    weights = sum(p.numel() for p in one.parameters)
    first: Any = one.policy.newest_in
    before = first[0].weight.detach().clone()
    one.step()
    assert one.times[0] > 0 and not before.equal(first[0].weight) and weights < 1e6


@pytest.mark.slow
def test_the_cost_table_has_every_variant():
    text = cost_table(rounds=1, batch=2, paper_batch=0)
    assert "64 anchors" in text and "grid tokens" in text and "8 + 8 layers" in text


@pytest.mark.slow
def test_a_real_training(data):
    args = OpenLoopArgs("heads", data=(data / "rec",), out=data / "out", seeds=1, steps=3, batch=8)
    script.open_loop(args)
    rows = [r["row"] for r in load_results(args.out).values()]
    assert len(rows) == 3 and all(0 <= r["map"] <= 1 and r["ade_m"] > 0 for r in rows)
