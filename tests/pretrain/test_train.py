import dataclasses
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

import s2e.core.dist
from s2e.core.errors import UserError
from s2e.core.observation import goal_token, to_robot
from s2e.core.run import Run
from s2e.policy.checkpoint import find_checkpoint, load_training_state, policy_state, read_tensors
from s2e.policy.config import PRESETS
from s2e.policy.encoder import FeatureNet
from s2e.policy.network import S2EPolicy
from s2e.pretrain import loop
from s2e.pretrain import train as command_module
from s2e.pretrain.args import PretrainArgs, as_json, check, policy_config
from s2e.pretrain.data import Data, divide, named_walks, share
from s2e.pretrain.loop import Trainer, load_into
from s2e.pretrain.optim import Average, decay_groups, schedule
from s2e.pretrain.samples import make_batch, make_samples, split_walks
from s2e.pretrain.tokens import TokenStore
from s2e.video.frames import ImageFiles
from s2e.video.readers.formats import read_walks
from s2e.video.walk import Walk
from tests.ranks import Ranks
from tests.video.test_gnm import make_walk

CONFIG = PRESETS["laptop"]
DATA = (
    Path(os.environ.get("S2E_SHARED_DATA") or Path(__file__).parents[3] / "shared" / "data")
    / "gnm"
    / "go2"
)


def circle(length=60, hz=10.0):
    """A walk around a circle: radius 2 m at 0.5 m/s."""
    angle = np.arange(length) / hz * 0.25
    return walk(
        f"circle{length}", 2 * np.stack([np.cos(angle), np.sin(angle)], 1), angle + np.pi / 2, hz
    )


def walk(name, position, yaw, hz=10.0):
    frames = ImageFiles(lambda t: b"", len(position), str)
    return Walk(name, Path(name), frames, np.arange(len(position)) / hz, position, yaw)


def test_a_circle_looks_the_same_from_everywhere():
    walk = circle()
    samples = make_samples([walk], CONFIG, np.array([0]))
    assert len(samples) == 60 - 20
    np.testing.assert_allclose(
        samples.future, np.broadcast_to(samples.future[0], samples.future.shape), atol=1e-6
    )
    end = 2 * np.array([np.sin(0.5), 1 - np.cos(0.5)])  # 2 s later: 0.5 rad to the left
    np.testing.assert_allclose(samples.future[0, -1], end, atol=1e-6)
    np.testing.assert_allclose(samples.ego[5:], [[0.5, 0.25, 0.5]] * 35, atol=2e-3)
    assert (samples.frames[10] == [2, 4, 6, 8, 10]).all() and (samples.frames[0] == 0).all()


def test_nothing_is_learned_from_a_nudge_or_over_a_hole():
    whole = circle()  # 6 s
    nudged = dataclasses.replace(whole, nudged=np.array([[3.0, 3.5]]))
    kept = make_samples([nudged], CONFIG, np.array([0])).frame
    assert set(range(40)) - set(kept) == {
        t for t in range(40) if t / 10 + 2 > 3.0 + 1e-9 and t / 10 < 3.5
    }
    later = np.where(np.arange(60) < 30, whole.times, whole.times + 5.0)
    samples = make_samples([dataclasses.replace(whole, times=later)], CONFIG, np.array([0]))
    assert (
        set(samples.frame) == {*range(10), *range(30, 40)}
        and (samples.frames[samples.frame >= 30] >= 30).all()
    )
    assert np.abs(samples.ego).max() < 0.6, "nothing is read across the hole"


def test_slow_frames_are_no_holes():
    slow = walk("slow", np.arange(40.0)[:, None] * [0.4, 0.0], np.zeros(40), hz=0.5)
    samples = make_samples([slow], CONFIG, np.array([0]))
    assert list(samples.frame) == list(range(39))
    np.testing.assert_allclose(samples.future[:, -1], [[0.4, 0.0]] * 39, atol=1e-6)
    torn = dataclasses.replace(slow, times=slow.times + 5.0 * (np.arange(40) >= 20))  # 7 s, of 2 s
    samples = make_samples([torn], CONFIG, np.array([0]))
    assert 19 not in samples.frame and samples.goals[samples.frame < 19].max() == 19


def test_goals_lie_ahead_in_the_same_walk():
    walks = [circle(), circle(80)]
    samples = make_samples(walks, CONFIG, np.array([100, 500]))
    batch = make_batch(samples, np.arange(len(samples)), CONFIG, np.random.default_rng(0))
    assert batch.frames[:40].max() < 160 and batch.frames[40:].min() >= 500
    own = np.linalg.norm(samples.position - [0, 0], axis=1)
    np.testing.assert_allclose(own, 2)
    np.testing.assert_allclose(batch.goal.numpy(), goal_token(batch.goal_xy, CONFIG.goal_clip_m))


def test_goals_do_not_lie_beyond_a_hole():
    whole = circle(200)  # 20 s at 10 Hz
    late = np.arange(200) >= 100
    torn = dataclasses.replace(
        whole, times=whole.times + 10.0 * late, position=whole.position + 500.0 * late[:, None]
    )
    samples, unbroken = (make_samples([w], CONFIG, np.array([0])) for w in (torn, whole))
    first = samples.frame < 100
    assert (samples.goals[first] <= 99).all() and (samples.goals[~first] > 100).all()
    assert (samples.goals > samples.frame[:, None]).all()
    same = [list(unbroken.frame).index(t) for t in samples.frame]
    limit = np.where(first, 99, 199)[:, None]
    np.testing.assert_array_equal(samples.goals, np.minimum(unbroken.goals[same], limit))
    for rng in (None, np.random.default_rng(0)):
        batch = make_batch(samples, np.arange(len(samples)), CONFIG, rng)
        assert np.linalg.norm(batch.goal_xy, axis=1).max() <= 4 + 1e-9, "the circle is 4 m wide"


def test_to_robot():
    np.testing.assert_allclose(
        to_robot(np.array([1.0, 1.0]), np.array([1.0, 0.0, np.pi / 2])), [1, 0], atol=1e-12
    )


def test_split_is_by_walk():
    walks = [walk(str(i), np.zeros((9, 2)), np.zeros(9)) for i in range(10)]
    train, held = split_walks(walks, 0.2, 0)
    assert (
        len(held) == 2 and not {w.name for w in train} & {w.name for w in held} and len(train) == 8
    )
    pieces = [walk(f"{i}+{k}", np.zeros((9, 2)), np.zeros(9)) for i in range(5) for k in range(3)]
    train, held = split_walks(pieces, 0.4, 1)
    assert len(held) == 6 and not {w.name[0] for w in train} & {w.name[0] for w in held}
    with pytest.raises(UserError, match="at least two"):
        split_walks(walks[:1], 0.2, 0)
    assert [len(part) for part in split_walks(walks[:2], 0.9, 0)] == [1, 1]


def test_shares_of_the_walks_are_nested():
    walks = [walk(str(i), np.zeros((9, 2)), np.zeros(9)) for i in range(16)]
    parts = [[w.name for w in share(walks, f, 0)] for f in (0.01, 1 / 8, 1 / 4, 1 / 2, 1)]
    assert [len(p) for p in parts] == [1, 2, 4, 8, 16]
    assert all(set(small) < set(large) for small, large in itertools.pairwise(parts))
    assert parts[1] != [w.name for w in share(walks, 1 / 8, 1)]
    cut = [dataclasses.replace(w, name=f"{w.name}+{k}") for w in walks for k in range(3)]
    assert [w.name for w in share(cut, 1 / 8, 0)] == [
        f"{n}+{k}" for n in parts[1] for k in range(3)
    ]
    alike = [dataclasses.replace(w, name="walk") for w in walks]  # of many datasets
    assert [w.source.name for w in share(alike, 1 / 8, 0)] == parts[1]


def test_named_walks_are_held_out(tmp_path):
    walks = [walk(f"w{i}", np.zeros((9, 2)), np.zeros(9)) for i in range(10)]
    names = tmp_path / "traj_names.txt"
    names.write_text("w3\n\nw7/\n")
    args = PretrainArgs((tmp_path,), tmp_path, held_out=names)
    training, watched, judged = divide(walks, args)
    assert {w.name for w in judged} == {"w3", "w7"} and watched is judged and len(training) == 8
    training, watched, judged = divide(walks, dataclasses.replace(args, patience=3))
    parts = [{w.name for w in part} for part in (training, watched, judged)]
    assert [len(p) for p in parts] == [6, 2, 2] and len(set.union(*parts)) == 10
    names.write_text("w3\nw99\n")
    with pytest.raises(UserError, match="line 2.*'w99'"):
        named_walks(names, walks)
    names.write_text("\n")
    with pytest.raises(UserError, match="names no walk"):
        named_walks(names, walks)
    names.write_text("\n".join(w.name for w in walks))
    with pytest.raises(UserError, match="leave some"):
        divide(walks, args)


@pytest.mark.parametrize("listed", ["walk", "walk+0", "walk+1/"])
def test_a_named_walk_is_held_out_with_all_its_pieces(tmp_path, listed):
    walks = [
        walk(name, np.zeros((9, 2)), np.zeros(9))
        for name in ("walk+0", "walk+1", "walk1", "other+0")
    ]
    names = tmp_path / "names.txt"
    names.write_text(listed)
    training, _, judged = divide(walks, PretrainArgs((str(tmp_path),), tmp_path, held_out=names))
    assert [w.name for w in judged] == ["walk+0", "walk+1"] and [w.name for w in training] == [
        "walk1",
        "other+0",
    ]
    names.write_text("walk2+0")
    with pytest.raises(UserError, match="line 1.*'walk2.0'"):
        named_walks(names, walks)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("hz", 0),
        ("scale", -1),
        ("steps", -1),
        ("batch", 0),
        ("anchors", 0),
        ("ema", 1.0),
        ("warmup", 1.0),
        ("clip", float("nan")),
        ("fraction", 0.0),
        ("free_space", -1.0),
        ("hide_robot", 1.0),
        ("lr", float("inf")),
        ("patience", -1),
        ("seed", -1),
        ("loss", "regression"),
    ],
)
def test_numbers_that_cannot_work_are_refused(tmp_path, name, value):
    args = dataclasses.replace(PretrainArgs((tmp_path,), tmp_path), **{name: value})
    with pytest.raises(UserError, match=f"--{name.replace('_', '-')}"):
        check(args)


def test_the_config_keeps_no_key_of_a_url(tmp_path):
    args = PretrainArgs(
        ("https://me:pass@host/a-{00..03}.tar?token=secret", "walks?", "hf://org/set/*.tar"),
        tmp_path,
    )
    assert as_json(args, 1)["data"] == [
        "https://host/a-{00..03}.tar",
        "walks?",
        "hf://org/set/*.tar",
    ]
    assert not any(word in json.dumps(as_json(args, 1)) for word in ("secret", "pass@"))


def test_patience_needs_validations(tmp_path):
    with pytest.raises(UserError, match="--validate-every"):
        check(PretrainArgs((tmp_path,), tmp_path, patience=2, validate_every=0))


def test_the_command_line_changes_the_preset(tmp_path):
    args = PretrainArgs(
        (tmp_path,),
        tmp_path,
        preset="paper",
        stride=8,
        newest="grid",
        train_encoder=False,
        free_space=0.1,
        anchors=3,
    )
    config = policy_config(args)
    assert (config.stride, config.channels, config.newest, config.train_encoder) == (
        8,
        40,
        "grid",
        False,
    )
    assert config.free_space and config.anchors == 3 and config.dim == 768 and args.peak_lr == 1e-4


def test_only_matrices_decay():
    policy = S2EPolicy(dataclasses.replace(CONFIG, dim=16, free_space=True))
    decayed, others = (set(map(id, g["params"])) for g in decay_groups([policy]))
    for name, p in policy.named_parameters():
        inside = name.endswith("weight") and "norm" not in name
        assert (id(p) in decayed) == inside and (id(p) in others) != inside, name
    assert {"position", "goal_mask"} <= {n for n, p in policy.named_parameters() if id(p) in others}
    matrices, rest = decay_groups([FeatureNet(CONFIG)])
    assert all(p.ndim == 4 for p in matrices["params"]) and all(p.ndim == 1 for p in rest["params"])


def test_the_running_mean_is_the_formula():
    module = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    average = Average([module], decay=0.9)
    expected = [p.detach().double().numpy().copy() for p in module.parameters()]
    generator = torch.Generator().manual_seed(0)
    for t in range(300):
        with torch.no_grad():
            for p in module.parameters():
                p.add_(torch.randn(p.shape, generator=generator))
            dict(module.named_buffers())["1.running_mean"].fill_(t)
        average.update(t)
        decay = min(0.9, (1 + t) / (10 + t))
        expected = [
            decay * e + (1 - decay) * p.detach().double().numpy()
            for e, p in zip(expected, module.parameters(), strict=True)
        ]
    for e, p in zip(expected, average.copies[0].parameters(), strict=True):
        np.testing.assert_allclose(p.numpy(), e, rtol=1e-5, atol=1e-5)
    assert (average.copies[0].state_dict()["1.running_mean"] == 299).all() and not average.copies[
        0
    ].training


def test_the_learning_rate_rises_and_falls():
    rates = [schedule(s, 1000, 0.1) for s in range(1000)]
    assert (
        rates[0] == pytest.approx(0.01)
        and max(rates) == rates[100] == 1
        and rates[-1] == pytest.approx(0.02, abs=1e-4)
    )
    assert (np.diff(rates[:100]) > 0).all() and (np.diff(rates[100:]) < 0).all()


class FakeStore(TokenStore):
    """Tokens without an encoder."""

    def __init__(self, config, frames):
        self.shape = (
            config.height_px // config.stride,
            config.width_px // config.stride,
            config.channels,
        )
        self.width = int(np.prod(self.shape)) + config.channels
        self.records = (
            np.random.default_rng(0).standard_normal((frames, self.width)).astype(np.float16)
        )


def tiny(tmp_path, **changes):
    """A trainer of a small network on four walks, and its run."""
    if not (tmp_path / "data").exists():
        for i in range(4):
            make_walk(tmp_path / "data" / f"w{i}", 40, seed=i)
    fixed = {"steps": 12, "batch": 8, "validate_every": 2, "save_every": 4, **changes}
    args = PretrainArgs((tmp_path / "data",), tmp_path / "run", device="cpu", **fixed)
    config = dataclasses.replace(
        policy_config(args), dim=16, heads=2, encoder_layers=1, decoder_layers=1
    )
    walks, _ = read_walks([tmp_path / "data"])
    rays = np.random.default_rng(1).uniform(0.5, 12, (40, 16)).astype(np.float32)
    walks = [dataclasses.replace(w, free_space=rays) for w in walks]
    training = make_samples(walks[:3], config, np.array([0, 40, 80]))
    held = make_samples(walks[3:], config, np.array([120]))
    net = FeatureNet(config)
    trainer = Trainer(args, config, net, Data(training, held, held, FakeStore(config, 160)), 0, 1)
    return trainer, Run(args.out, {}, None)


def test_early_stopping_stops_and_the_best_is_kept(tmp_path, monkeypatch):
    trainer, run = tiny(tmp_path, steps=100, patience=3)
    losses = iter([5.0, 3.0, 4.0, float("nan"), 3.5, 1.0])
    monkeypatch.setattr(Trainer, "validate", lambda self: {"loss": next(losses)})
    command_module.steps(trainer, run)
    assert trainer.at.step == 10 and trainer.at.best_step == 4
    assert sorted(p.name for p in (tmp_path / "run" / "checkpoints").iterdir()) == [
        "00000004",
        "00000008",
        "00000010",
        "best",
        "last",
    ]
    assert find_checkpoint(tmp_path / "run").name == "00000004"
    assert find_checkpoint(tmp_path / "run", newest=True).name == "00000010"
    command_module.finish(trainer, run)
    best = weights(tmp_path / "run")
    assert all(
        torch.equal(v, best[f"policy.{k}"]) for k, v in trainer.shown[0].state_dict().items()
    ), "the best is judged"
    assert (
        "none lower in 3 validations than 3.0000 at step 4"
        in (tmp_path / "run" / "printed.txt").read_text()
    )
    again, _ = tiny(tmp_path, steps=100, patience=3)
    again.load(find_checkpoint(tmp_path / "run", newest=True))
    assert again.done and again.at == trainer.at


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
    command_module.steps(trainer, run)
    command_module.finish(trainer, run)
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
    shown = trainer.shown[0].state_dict()
    assert all(torch.equal(weights(tmp_path / "run")[f"policy.{k}"], v) for k, v in shown.items())
    assert not torch.equal(shown["position"], trainer.policy.position)


def test_what_is_validated_is_what_is_saved_for_use(tmp_path):
    """The figures beside a checkpoint are those of its weights, not of those that training goes on
    with."""
    trainer, _ = tiny(tmp_path, free_space=0.3, lr=1e-2)
    for _ in range(4):
        trainer.train_step()
    said = trainer.validate()
    trainer.save()
    other, _ = tiny(tmp_path, free_space=0.3, ema=0.0)
    load_into(
        other.policy,
        other.net,
        read_tensors(find_checkpoint(tmp_path / "run") / "model.safetensors"),
    )
    assert other.validate() == pytest.approx(said, rel=1e-5)
    load_into(other.policy, other.net, policy_state(trainer.policy, trainer.net))
    assert other.validate()["loss"] != pytest.approx(said["loss"], rel=1e-3), (
        "training has gone on from there"
    )


@pytest.mark.parametrize("ranks", [2, 3])
def test_ranks_read_batches_of_their_own_and_every_sample_once_an_epoch(tmp_path, ranks):
    count, batch, trainer = 60, 5, tiny(tmp_path)[0]
    steps = count // (batch * ranks)
    read = []
    for step in range(2 * steps):
        for trainer.rank in range(ranks):
            trainer.world = ranks
            read.append(trainer._dealt(step, batch, count))
    first, second = np.concatenate(read).reshape(2, count)
    assert sorted(first) == sorted(second) == list(range(count)) and list(first) != list(second)
    trainer.rank, trainer.world = 0, 1
    alone = [trainer._dealt(step, batch * ranks, count) for step in range(2 * steps)]
    np.testing.assert_array_equal(np.concatenate(alone), np.concatenate(read))


def test_two_ranks_take_the_step_that_one_takes_with_both_batches(tmp_path, monkeypatch):
    """Gradients are averaged: with their sum the same rate would be twice as fast."""
    fixed: dict = dict(hide_goal=0.0, hide_ego=0.0, hide_robot=0.0, mirror=0.0, ema=0.0, steps=40)
    goals = lambda samples, index, config, rng: make_batch(samples, index, config, None)  # noqa: E731
    monkeypatch.setattr(loop, "make_batch", goals)
    alone, _ = tiny(tmp_path, batch=8, **fixed)
    norm = alone.train_step()["grad_norm"]

    def one(rank):
        trainer, _ = tiny(tmp_path, batch=4, **fixed)
        trainer.rank, trainer.world = rank, 2
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
        command_module.steps(trainer, run)
    assert all(torch.equal(v, before[k]) for k, v in trainer.policy.state_dict().items())


def test_ctrl_c_saves_first(tmp_path, monkeypatch):
    trainer, run = tiny(tmp_path, save_every=100)
    validate = Trainer.validate

    def interrupted(self):
        os.kill(os.getpid(), signal.SIGINT)
        return validate(self)

    monkeypatch.setattr(Trainer, "validate", interrupted)
    with pytest.raises(KeyboardInterrupt):
        command_module.steps(trainer, run)
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
    command_module.steps(whole, run)
    names = sorted(p.name for p in (tmp_path / "run" / "checkpoints").iterdir() if p.is_dir())
    cut, _ = tiny(tmp_path, **changes)
    cut.load(tmp_path / "run" / "checkpoints" / names[0])
    assert 0 < cut.at.step < 12
    while not cut.done:
        cut.train_step()
        if cut.at.step % 5 == 0:
            cut.better(cut.validate()["loss"])
            cut.anchor_use()
    assert cut.at == whole.at and torch.equal(cut.use.state, whole.use.state)
    for one, other in ((whole.policy, cut.policy), (whole.shown[0], cut.shown[0])):
        assert all(torch.equal(v, other.state_dict()[k]) for k, v in one.state_dict().items())


def test_batches_read_ahead_are_the_same_batches(tmp_path):
    trainer, _ = tiny(tmp_path, steps=4)
    seen = []
    prepare = trainer.prepare
    trainer.prepare = lambda samples, index, rng: seen.append(index) or prepare(samples, index, rng)
    for _ in range(4):
        trainer.train_step()
    count = len(trainer.data.training)
    order = np.concatenate([np.random.default_rng([0, 7, e]).permutation(count) for e in range(2)])
    np.testing.assert_array_equal(np.concatenate(seen), order[:32])


def command(*words):
    return [
        sys.executable,
        "-c",
        "import sys; from s2e.pretrain.train import main; main()",
        *map(str, words),
    ]


def weights(run):
    return read_tensors(find_checkpoint(run) / "model.safetensors")


def logged(run):
    """What a run logged, without the clock."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if not k.startswith("time/")} for line in lines]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The options of a short run, and its folder, trained without a stop."""
    place = tmp_path_factory.mktemp("whole")
    for i in range(4):
        make_walk(place / "data" / f"w{i}", 40, seed=i)
    common = [
        "--data",
        place / "data",
        "--steps",
        24,
        "--batch",
        8,
        "--save-every",
        4,
        "--validate-every",
        6,
        "--patience",
        9,
    ]
    subprocess.run(command(*common, "--out", place / "run"), check=True, capture_output=True)
    return common, place / "run"


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_stopped_and_resumed_is_bit_for_bit_the_same(tmp_path, whole, how):
    common, run = whole
    cut = subprocess.Popen(
        command(*common, "--out", tmp_path / "cut"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    pointer = tmp_path / "cut" / "checkpoints" / "last"
    deadline = time.monotonic() + 600
    while not pointer.exists() and cut.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    at = int(pointer.read_text())
    os.kill(cut.pid, how)
    _, told = cut.communicate()
    assert int(pointer.read_text()) < 24, "it was to be stopped in the middle"
    if how == signal.SIGTERM:  # as Ctrl-C: the step in hand is finished and saved
        assert (
            cut.returncode == 130
            and "finishing this step" in told
            and int(pointer.read_text()) > at
        )
    subprocess.run(
        command(*common, "--out", tmp_path / "cut", "--resume"), check=True, capture_output=True
    )
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
    again = subprocess.run(
        command(*common, "--out", tmp_path / "cut"), capture_output=True, text=True
    )
    assert again.returncode == 2 and "--resume" in again.stderr


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
