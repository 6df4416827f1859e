import json
from pathlib import Path

import pytest

from experiments import choices
from experiments.choices import TUNINGS, ChoicesArgs, compare
from s2e.benchmarks.metrics import SETTINGS
from s2e.core.errors import UserError
from s2e.rl.train import PPOArgs, check


@pytest.fixture
def called(monkeypatch, tmp_path):
    """Commands are noted instead of run; a benchmark writes ten episodes of each setting, of which
    the k-th run wins k."""
    lines = []

    def command(module, *words):
        words = [str(w) for w in words]
        lines.append([module, *words])
        if module == "s2e.rl.train":
            run = Path(words[words.index("--out") + 1])
            run.mkdir(parents=True)
            (run / "printed.txt").write_text("checkpoint: there\n")
            (run / "config.json").write_text(json.dumps({"envs": 4, "horizon": 5}))
            rows = [
                {"step": 1, "time/steps_per_s": 2.0},
                {"step": 2, "time/steps_per_s": 1.0, "episode/success": 0.5},
                {"step": 3, "time/steps_per_s": 1.0, "episode/success": 1.0},
            ]
            (run / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        if module == "s2e.benchmarks.bench":
            out = Path(words[words.index("--out") + 1])
            for k, run in enumerate(words[words.index("--policy") + 1 : -1]):
                (out / Path(run).name).mkdir(parents=True, exist_ok=True)
                rows = [
                    {"scene": "here", "id": f"{s}-{n}", "setting": s, "success": n < k, "ct": 0.5}
                    for s in SETTINGS
                    for n in range(10)
                ]
                (out / Path(run).name / "episodes.jsonl").write_text(
                    "".join(json.dumps(r) + "\n" for r in rows)
                )

    monkeypatch.setattr(choices, "command", command)
    return lines


def test_fine_tuning_is_compared_seed_by_seed_with_its_start(called, tmp_path, capsys):
    args = ChoicesArgs(
        tmp_path / "out",
        init="runs/seen",
        choices=("sft", "scratch"),
        seeds=2,
        steps=99,
        scenes=("here",),
    )
    compare(args)
    trained = [line for line in called if line[0] == "s2e.rl.train"]
    assert [line[line.index("--seed") + 1] for line in trained] == ["0", "0", "1", "1"]
    assert [line[line.index("--init") + 1] for line in trained] == ["runs/seen", "scratch"] * 2
    assert trained[0][-2:] == ["--ppo-weight", "0"] and all(
        "--resume" not in line for line in trained
    )
    told = {line.split()[0]: line.split() for line in capsys.readouterr().out.splitlines() if line}
    # runs 0 and 2
    assert told["sft"][1:5] == ["0.10"] * 4 and told["sft"][-2:] == ["0.000", "0.200"]
    assert told["init"][1:5] == ["0.40"] * 4 and told["scratch"][-2:] == ["0.100", "0.300"]
    compare(args)
    assert sum(line[0] == "s2e.rl.train" for line in called) == 4, "what is trained stays"


def test_a_curve_is_every_checkpoint_judged(called, tmp_path, capsys):
    choices.command("s2e.rl.train", "--out", tmp_path / "run")
    for update in (1, 3):
        (tmp_path / "run" / "checkpoints" / f"{update:08d}").mkdir(parents=True)
    compare(ChoicesArgs(tmp_path / "out", curve=(tmp_path / "run",), scenes=("here",)))
    said = [line.split() for line in capsys.readouterr().out.splitlines()]
    # of the fixture: the k-th wins k of 10
    assert ["20", "0.2", "0.00"] == said[2][:3] and ["60", "0.8", "0.10"] == said[3][:3]
    with pytest.raises(UserError, match="--keep"):
        compare(ChoicesArgs(tmp_path / "out", curve=(tmp_path,), scenes=("here",)))


def test_every_tuning_is_a_run_that_starts(tmp_path):
    import tyro

    for words in TUNINGS.values():
        args = tyro.cli(PPOArgs, args=["--out", str(tmp_path), *words])
        check(args, 1)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({}, "give --data"),
        ({"init": "laptop", "data": (Path("w"),)}, "give --data"),
        ({"init": "laptop", "choices": ("grid",)}, "grid"),
    ],
)
def test_what_cannot_be_compared_is_refused(more, said, tmp_path):
    with pytest.raises(UserError, match=said):
        compare(ChoicesArgs(tmp_path, **more))
