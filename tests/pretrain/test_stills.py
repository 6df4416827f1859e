"""Stills beside the video: batches, mirroring, judgement, and that the loss really learns from
them."""

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
import torch

from s2e.core.errors import UserError
from s2e.core.observation import RAYS
from s2e.policy.checkpoint import find_checkpoint, load_networks
from s2e.policy.config import PRESETS, PolicyConfig
from s2e.policy.encoder import FeatureNet
from s2e.policy.network import S2EPolicy
from s2e.pretrain.samples import Batch, mirrored
from s2e.pretrain.stills import StillSamples, seeing, seeing_by_look, split_scenes, still_batch
from s2e.pretrain.train import Trainer, main
from tests.pretrain.runs import FakeStore, logged, tiny, weights
from tests.video.made_stills import finish, make
from tests.video.walk_files import make_walk

CONFIG = PRESETS["laptop"]


def some(count=20):
    rng = np.random.default_rng(0)
    rays = rng.uniform(0.3, 8, (count, RAYS)).astype(np.float32)
    look = np.array(["mesh", "splats"] * (count // 2), object)
    return StillSamples(100 + np.arange(count), rays, np.ones((count, 6), np.float32), look)


def test_a_batch_of_stills_has_one_frame_and_a_goal_of_chance():
    batch, (goal, ego) = still_batch(some(), np.arange(20), CONFIG, np.random.default_rng(0))
    assert (batch.frames == batch.frames[:, :1]).all() and list(batch.frames[:, 0]) == list(
        range(100, 120)
    )
    assert goal.any() and not goal.all() and ego.any() and not ego.all()
    assert (batch.ego == 0).all(1).any() and not (batch.ego == 0).all(1).all()
    batch, (goal, ego) = still_batch(some(), np.arange(20), CONFIG, None)
    assert goal.all() and ego.all()


def test_scenes_are_held_out_as_wholes_and_of_each_look():
    scene = np.repeat([f"s{i}" for i in range(10)], 4).astype(object)
    look = np.repeat(["mesh"] * 7 + ["splats"] * 3, 4).astype(object)
    learned, held = split_scenes(scene, look, 0.2, 0)
    assert not set(scene[learned]) & set(scene[held]) and len(learned) + len(held) == 40
    assert set(look[held]) == {"mesh", "splats"}
    with pytest.raises(UserError, match="one scene"):
        split_scenes(scene[:4], look[:4], 0.2, 0)


def test_seeing_is_what_a_hand_computes():
    truth = np.array([[1.0, 2.0, np.nan], [4.0, 3.0, 5.0]])
    exact = np.log(np.nan_to_num(truth, nan=9.0))
    assert seeing(exact, truth) == {
        "r2": pytest.approx(1.0),
        "near_m": pytest.approx(0.0),
        "stills": 2,
    }
    off = exact + np.log(1.5)
    known = np.log([1.0, 2, 4, 3, 5])
    expected = 1 - 5 * np.log(1.5) ** 2 / np.square(known - known.mean()).sum()
    row = seeing(off, truth)
    assert row["r2"] == pytest.approx(expected) and row["near_m"] == pytest.approx(0.5), (
        "3 m is not within 2.5"
    )
    rows = seeing_by_look(exact, truth, np.array(["mesh", "splats"], object))
    assert (
        list(rows) == ["all", "mesh", "splats"]
        and rows["mesh"]["stills"] == 1
        and math.isnan(rows["splats"]["near_m"])
    )


def test_a_mirrored_sample_is_the_hand_value():
    rays = torch.arange(2.0 * RAYS).reshape(2, RAYS)
    batch = Batch(
        np.zeros((2, 5), int),
        torch.tensor([[[1.0, 2.0]], [[3.0, 4.0]]]),
        np.array([[5.0, 1.0], [6.0, -2.0]]),
        torch.tensor([[0.5, 0.8, 0.6], [0.5, 0.8, 0.6]]),
        torch.tensor([[1.0, 0.2, 0.3], [1.0, 0.2, 0.3]]),
        torch.ones(2, 6),
        rays,
    )
    turned = mirrored(batch, np.array([True, False]))
    assert turned.future.tolist() == [[[1.0, -2.0]], [[3.0, 4.0]]] and turned.goal_xy.tolist() == [
        [5.0, -1.0],
        [6.0, -2.0],
    ]
    np.testing.assert_allclose(turned.goal, [[0.5, 0.8, -0.6], [0.5, 0.8, 0.6]])
    np.testing.assert_allclose(turned.ego, [[1.0, -0.2, -0.3], [1.0, 0.2, 0.3]])
    assert (
        turned.free_space[0].tolist() == rays[0].tolist()[::-1]
        and turned.free_space[1].tolist() == rays[1].tolist()
    )
    again = mirrored(turned, np.array([True, False]))
    assert torch.equal(again.future, batch.future) and torch.equal(again.free_space, rays)


def still_trainer(tmp_path, **changes):
    """The small trainer with stills beside its walks; their features say their rays."""
    changes = {"stills": ("stills",), "stills_share": 1.0, **changes}
    old, run = tiny(tmp_path, **changes)
    config, count = old.config, 64
    store = FakeStore(config, 160 + count)
    stills = dataclasses.replace(some(count), place=160 + np.arange(count))
    data = dataclasses.replace(old.data, store=store, stills=stills, unseen=some(8))
    return Trainer(old.args, config, FeatureNet(config), data, 0, 1), run


def test_stills_imply_the_head_and_their_loss_is_learned(tmp_path):
    trainer, _ = still_trainer(tmp_path, steps=60, mirror=0.0, ema=0.0, hide_robot=0.0)
    assert trainer.config.free_space and trainer.args.free_space == 0
    losses = [float(trainer.train_step()["stills"]) for _ in range(60)]
    assert np.mean(losses[-8:]) < 0.9 * np.mean(losses[:4])
    assert "free_space" not in trainer.validate(), "the video's own rays were not asked for"
    assert set(trainer.seeing()) == {"all", "mesh", "splats"}


def test_the_gradient_of_stills_reaches_the_tokens(tmp_path):
    grads = []
    for weight in (0.0, 1.0):
        trainer, _ = still_trainer(tmp_path, stills_weight=weight)
        _, stills = trainer.batches.of_step(0)
        assert stills is not None
        assert len(stills.batch.frames) == trainer.batches.still_count == 8
        trainer.optimizer.step = lambda: None  # pyright: ignore[reportAttributeAccessIssue]
        trainer.train_step()
        grads.append(
            {n: p.grad.clone() for n, p in trainer.policy.named_parameters() if p.grad is not None}
        )
    assert all(
        float(g.abs().max()) == 0 for n, g in grads[0].items() if n.startswith("free_space_head")
    )
    assert all(
        float(g.abs().max()) > 0 for n, g in grads[1].items() if n.startswith("free_space_head")
    )
    assert not torch.equal(grads[0]["newest_in.0.weight"], grads[1]["newest_in.0.weight"])


def test_the_share_says_how_many_and_mirroring_flips_the_columns(tmp_path):
    trainer, _ = still_trainer(tmp_path, stills_share=0.5, mirror=1.0)
    assert trainer.batches.still_count == 4
    index, stills = np.arange(4), trainer.data.stills
    assert stills is not None
    straight = trainer.batches.stills(stills, index, None)
    turned = trainer.batches.stills(stills, index, np.random.default_rng(0))
    assert torch.equal(turned.seen[0], straight.seen[0].flip(2)) and torch.equal(
        turned.seen[1], straight.seen[1]
    )
    assert torch.equal(turned.batch.free_space, straight.batch.free_space.flip(1))


def test_a_run_with_stills_is_the_same_when_it_is_resumed(tmp_path, monkeypatch, capsys):
    for i in range(4):
        make_walk(tmp_path / "data" / f"w{i}", 40, seed=i)
    out = tmp_path / "stills"
    finish(out, [make(out, 12, n)[1] for n in range(2)])
    data = bytearray((out / "stills-00000.tar").read_bytes())
    data[512:560] = b"\0" * 48
    (out / "stills-00000.tar").write_bytes(bytes(data))  # one frame is broken: it alone is left out
    common = ["--data", tmp_path / "data", "--stills", out, "--steps", 6, "--batch", 8]
    common += ["--save-every", 3, "--validate-every", 3]

    def command(*words):
        monkeypatch.setattr("sys.argv", ["s2e-pretrain", *map(str, (*common, *words))])
        main()

    command("--out", tmp_path / "whole")
    said = capsys.readouterr().out
    assert "23 stills, 1 dropped" in said
    assert "seeing, mesh: R2" in said and "seeing, splats: R2" in said
    save = Trainer.save

    def stopped(self, best=False):
        save(self, best)
        raise SystemExit(9)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "save", stopped)
        with pytest.raises(SystemExit, match="9"):
            command("--out", tmp_path / "cut")
    assert find_checkpoint(tmp_path / "cut", newest=True).name == "00000003"
    command("--out", tmp_path / "cut", "--resume")
    a, b = weights(tmp_path / "whole"), weights(tmp_path / "cut")
    assert all(torch.equal(a[k], b[k]) for k in a) and logged(tmp_path / "whole") == logged(
        tmp_path / "cut"
    )
    assert load_networks(tmp_path / "whole")[0].config.free_space


def test_old_checkpoints_have_the_sizes_that_they_were_made_with():
    values = CONFIG.to_dict()
    for name in ("newest_hidden", "free_space_narrow", "free_space_hidden"):
        del values[name]
    sizes = dict(newest_hidden=0, free_space_narrow=16, free_space_hidden=64)
    assert PolicyConfig.from_dict(values, "x") == dataclasses.replace(CONFIG, **sizes)
    old: Any = S2EPolicy(PolicyConfig(free_space=True))
    assert old.free_space_head.narrow.out_features == 16
    wide: Any = S2EPolicy(
        dataclasses.replace(
            CONFIG, free_space=True, free_space_narrow=32, free_space_hidden=128, newest_hidden=64
        )
    )
    shapes = wide.newest_shape, wide.older_shape, (3,), (3,), (6,)
    tokens = wide.context(*(torch.zeros(2, *shape) for shape in shapes))
    assert wide.free_space(tokens).shape == (2, RAYS) and wide.newest_in[0].out_features == 64
