import json
import os
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
import torch

import s2e.core.dist
from s2e.core.errors import UserError
from s2e.policy.checkpoint import find_checkpoint, load_training_state, policy_state, read_tensors
from s2e.pretrain import batches
from s2e.pretrain.samples import make_batch
from s2e.pretrain.train import Trainer, finish, load_into, steps
from s2e.video.readers.formats import read_walks
from tests.pretrain.runs import command, logged, tiny, weights
from tests.processes import forking, run_command
from tests.ranks import Ranks
from tests.video.walk_files import make_walk

DATA = (
    Path(os.environ.get("S2E_SHARED_DATA") or Path(__file__).parents[3] / "shared" / "data")
    / "gnm"
    / "go2"
)


def test_early_stopping_stops_and_the_best_is_kept(tmp_path, monkeypatch):
    trainer, run = tiny(tmp_path, steps=100, patience=3)
    losses = iter([5.0, 3.0, 4.0, float("nan"), 3.5, 1.0])
    monkeypatch.setattr(Trainer, "validate", lambda self: {"loss": next(losses)})
    steps(trainer, run)
    assert trainer.progress.step == 10 and trainer.progress.best_step == 4
    assert sorted(p.name for p in (tmp_path / "run" / "checkpoints").iterdir()) == [
        "00000004",
        "00000008",
        "00000010",
        "best",
        "last",
    ]
    assert find_checkpoint(tmp_path / "run").name == "00000004"
    assert find_checkpoint(tmp_path / "run", newest=True).name == "00000010"
    finish(trainer, run)
    best = weights(tmp_path / "run")
    assert all(
        torch.equal(v, best[f"policy.{k}"]) for k, v in trainer.judged[0].state_dict().items()
    ), "the best is judged"
    assert (
        "none lower in 3 validations than 3.0000 at step 4"
        in (tmp_path / "run" / "printed.txt").read_text()
    )
    again, _ = tiny(tmp_path, steps=100, patience=3)
    again.load(find_checkpoint(tmp_path / "run", newest=True))
    assert again.done and again.progress == trainer.progress


@pytest.mark.parametrize(
    "changes",
    [
        {"free_space": 0.3, "hide_robot": 0.5, "clip": 0.0},
        {"anchors": 1, "loss": "regression", "ema": 0.0},
        {"anchors": 5, "anchor_source": "kmeans", "steps": 3},
        {"newest": "grid", "positive": "endpoint"},
    ],
)
def test_every_kind_of_training_goes_to_its_end(tmp_path, changes):
    trainer, run = tiny(tmp_path, **{"steps": 4, **changes})
    steps(trainer, run)
    finish(trainer, run)
    run.close()
    last = json.loads((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()[-1])
    assert last["step"] == trainer.steps and last["held_out/ade_m"] > 0
    assert (tmp_path / "run" / "fans.png").stat().st_size > 5000 and (
        tmp_path / "run" / "anchors.png"
    ).exists()
    state = weights(tmp_path / "run")
    assert torch.equal(state["policy.anchors"], trainer.policy.anchors) and all(
        v.isfinite().all() for v in state.values()
    )
    if changes.get("free_space"):
        assert trainer.validate()["free_space"] > 0


def test_validation_does_not_depend_on_the_batches(tmp_path):
    """Free space is known for some rays of a few samples only."""
    values = []
    for batch in (7, 40):
        trainer, _ = tiny(tmp_path, batch=batch, free_space=0.3)
        trainer.data.watched.free_space[5:] = np.nan
        trainer.data.watched.free_space[3, 2:] = np.nan
        values.append(trainer.validate())
    assert values[0] == pytest.approx(values[1], rel=1e-4)
    assert values[0]["total"] == pytest.approx(values[0]["loss"] + 0.3 * values[0]["free_space"])


def test_what_is_saved_for_use_is_the_running_mean(tmp_path):
    trainer, _ = tiny(tmp_path)
    for _ in range(3):
        trainer.train_step()
    trainer.save()
    folder = find_checkpoint(tmp_path / "run")
    for name, value in trainer.policy.state_dict().items():
        assert torch.equal(load_training_state(folder)[0][f"raw.policy.{name}"], value)
    judged = trainer.judged[0].state_dict()
    assert all(torch.equal(weights(tmp_path / "run")[f"policy.{k}"], v) for k, v in judged.items())
    assert not torch.equal(judged["position"], trainer.policy.position)


def test_what_is_validated_is_what_is_saved_for_use(tmp_path):
    """The figures beside a checkpoint are those of its weights, not of those that training goes on
    with."""
    trainer, _ = tiny(tmp_path, free_space=0.3, lr=1e-2)
    for _ in range(4):
        trainer.train_step()
    losses = trainer.validate()
    trainer.save()
    other, _ = tiny(tmp_path, free_space=0.3, ema=0.0)
    load_into(
        other.policy,
        other.net,
        read_tensors(find_checkpoint(tmp_path / "run") / "model.safetensors"),
    )
    assert other.validate() == pytest.approx(losses, rel=1e-5)
    load_into(other.policy, other.net, policy_state(trainer.policy, trainer.net))
    assert other.validate()["loss"] != pytest.approx(losses["loss"], rel=1e-3), (
        "training has gone on from there"
    )


def test_two_ranks_take_the_step_that_one_takes_with_both_batches(tmp_path, monkeypatch):
    """Gradients are averaged: with their sum the same rate would be twice as fast."""
    fixed: dict = dict(hide_goal=0.0, hide_ego=0.0, hide_robot=0.0, mirror=0.0, ema=0.0, steps=40)
    goals = lambda samples, index, config, rng: make_batch(samples, index, config, None)  # noqa: E731
    monkeypatch.setattr(batches, "make_batch", goals)
    alone, _ = tiny(tmp_path, batch=8, **fixed)
    norm = alone.train_step()["grad_norm"]

    def one(rank):
        trainer, _ = tiny(tmp_path, batch=4, **fixed)
        trainer.rank, trainer.ranks = rank, 2
        trainer.batches.rank, trainer.batches.ranks = rank, 2
        return trainer.train_step()["grad_norm"], gradients(trainer)

    def gradients(trainer):
        return {k: p.grad for k, p in trainer.policy.named_parameters() if p.grad is not None}

    fake = Ranks(2)
    monkeypatch.setattr(s2e.core.dist, "dist", fake)
    for other, found in fake.run(one):
        torch.testing.assert_close(other, norm, rtol=1e-3, atol=1e-5)
        assert len(found) > 10
        for name, value in gradients(alone).items():
            torch.testing.assert_close(found[name], value, rtol=1e-3, atol=1e-5, msg=name)


def test_a_loss_that_is_not_finite_stops_with_a_remedy(tmp_path):
    trainer, run = tiny(tmp_path)
    before = {k: v.clone() for k, v in trainer.policy.state_dict().items()}
    trainer.data.training.future[:] = np.inf
    with pytest.raises(UserError, match="not finite at step 0.*--lr"):
        steps(trainer, run)
    assert all(torch.equal(v, before[k]) for k, v in trainer.policy.state_dict().items())


def test_ctrl_c_saves_first(tmp_path, monkeypatch):
    trainer, run = tiny(tmp_path, save_every=100)
    validate = Trainer.validate

    def interrupted(self):
        os.kill(os.getpid(), signal.SIGINT)
        return validate(self)

    monkeypatch.setattr(Trainer, "validate", interrupted)
    with pytest.raises(KeyboardInterrupt):
        steps(trainer, run)
    assert find_checkpoint(tmp_path / "run").name == "00000002"


def test_all_of_a_run_comes_back(tmp_path):
    """In one process; the command itself, killed, is below."""
    changes = {
        "patience": 50,
        "anchors": 4,
        "free_space": 0.1,
        "validate_every": 5,
        "save_every": 100,
    }
    whole, run = tiny(tmp_path, **changes)
    steps(whole, run)
    names = sorted(p.name for p in (tmp_path / "run" / "checkpoints").iterdir() if p.is_dir())
    cut, _ = tiny(tmp_path, **changes)
    cut.load(tmp_path / "run" / "checkpoints" / names[0])
    assert 0 < cut.progress.step < 12
    while not cut.done:
        cut.train_step()
        if cut.progress.step % 5 == 0:
            cut.better(cut.validate()["loss"])
            cut.anchor_use()
    assert cut.progress == whole.progress and torch.equal(cut.use.state, whole.use.state)
    for one, other in ((whole.policy, cut.policy), (whole.judged[0], cut.judged[0])):
        assert all(torch.equal(v, other.state_dict()[k]) for k, v in one.state_dict().items())


@pytest.fixture(scope="module")
def fork():
    with forking() as process:
        yield process


def started(fork, printed, *words):
    process = fork(target=run_command, args=("s2e.pretrain.train", words, printed))
    process.start()
    return process


def ended(process):
    process.join()
    return process.exitcode


@pytest.fixture(scope="module")
def whole(tmp_path_factory, fork):
    """The options of a short run, and its folder, trained without a stop."""
    place = tmp_path_factory.mktemp("whole")
    for i in range(4):
        make_walk(place / "data" / f"w{i}", 40, seed=i)
    common = ["--data", place / "data", "--steps", 16, "--batch", 8]
    common += ["--save-every", 4, "--validate-every", 6, "--patience", 9]
    assert ended(started(fork, place / "printed", *common, "--out", place / "run")) == 0
    return common, place / "run"


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_stopped_and_resumed_is_bit_for_bit_the_same(tmp_path, whole, fork, how):
    common, run = whole
    pointer, printed = tmp_path / "cut" / "checkpoints" / "last", tmp_path / "printed"
    cut = started(fork, printed, *common, "--out", tmp_path / "cut")
    while not pointer.exists() and cut.is_alive():
        time.sleep(0.005)
    at = int(pointer.read_text())
    os.kill(cut.pid, how)
    code, told = ended(cut), printed.read_text()
    assert int(pointer.read_text()) < 16, "it was to be stopped in the middle"
    if how == signal.SIGTERM:  # as Ctrl-C: the step in hand is finished and saved
        assert code == 130 and "finishing this step" in told and int(pointer.read_text()) > at
    assert ended(started(fork, printed, *common, "--out", tmp_path / "cut", "--resume")) == 0
    for newest in (False, True):  # the best, and the last with all that training needs
        one, other = (find_checkpoint(folder, newest) for folder in (run, tmp_path / "cut"))
        assert one.name == other.name
        for file in ("model.safetensors", "training_state/tensors.safetensors"):
            a, b = read_tensors(one / file), read_tensors(other / file)
            # NumPy's and Python's global generators are kept for those who use them; training does
            # not, and each process has its own.
            assert (
                a.keys() == b.keys()
                and [k for k in a if k != "rng.numpy" and not torch.equal(a[k], b[k])] == []
            )
        one, other = (load_training_state(folder)[1] for folder in (one, other))
        assert all(other[k] == v for k, v in one.items() if k not in ("rng", "revision"))
    assert logged(run) == logged(tmp_path / "cut")
    again = tmp_path / "again"
    assert ended(started(fork, again, *common, "--out", tmp_path / "cut")) == 2
    assert "--resume" in again.read_text()


@pytest.mark.slow
@pytest.mark.skipif(not DATA.is_dir(), reason="the real walks are not beside this checkout")
def test_real_walks_are_judged(tmp_path):
    done = subprocess.run(
        command("--data", DATA, "--out", tmp_path / "run", "--steps", 300),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    said = done.stdout[done.stdout.index("held-out walks, ") :]
    assert ("beats both baselines in ADE" in said) != ("no better than" in said)


@pytest.mark.skipif(not DATA.is_dir(), reason="the real walks are not beside this checkout")
def test_real_walks_are_read():
    walks, skipped = read_walks([DATA])
    assert len(walks) == 19 and not skipped
    assert sum("images" in w.note for w in walks) == 1 and all(
        "10 frames a second are assumed" in w.note for w in walks
    )
