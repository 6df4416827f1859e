from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from s2e.core.observation import RAYS
from s2e.pretrain.batches import Batches
from s2e.pretrain.stills import StillSamples
from s2e.pretrain.tokens import FrameStore
from tests.pretrain.runs import tiny


@pytest.mark.parametrize("ranks", [2, 3])
def test_ranks_read_batches_of_their_own_and_every_sample_once_an_epoch(tmp_path, ranks):
    count, batch, trainer = 60, 5, tiny(tmp_path)[0]
    args, config, data = trainer.args, trainer.config, trainer.data
    per_epoch = count // (batch * ranks)
    read = [
        Batches(args, config, data, rank, ranks).dealt(step, batch, count)
        for step in range(2 * per_epoch)
        for rank in range(ranks)
    ]
    first, second = np.concatenate(read).reshape(2, count)
    assert sorted(first) == sorted(second) == list(range(count)) and list(first) != list(second)
    one = Batches(args, config, data)
    alone = [one.dealt(step, batch * ranks, count) for step in range(2 * per_epoch)]
    np.testing.assert_array_equal(np.concatenate(alone), np.concatenate(read))


def test_batches_read_ahead_are_the_same_batches(tmp_path):
    trainer, _ = tiny(tmp_path, steps=4)
    seen = []
    read = trainer.batches.video
    trainer.batches.video = lambda samples, index, rng: (
        seen.append(index) or read(samples, index, rng)
    )
    for _ in range(4):
        trainer.train_step()
    count = len(trainer.data.training)
    order = np.concatenate([np.random.default_rng([0, 7, e]).permutation(count) for e in range(2)])
    np.testing.assert_array_equal(np.concatenate(seen), order[:32])


class Colours(FrameStore):
    """Images of 2x3 pixels that say which frame and column they are."""

    def __init__(self):
        pass

    def images(self, frames):
        columns = np.broadcast_to(np.arange(3, dtype=np.uint8), (frames.size, 2, 3))
        frame = np.broadcast_to(frames.reshape(-1, 1, 1).astype(np.uint8), columns.shape)
        return np.stack([frame, columns, columns], -1)


@pytest.fixture(scope="module")
def trainer(tmp_path_factory):
    return tiny(tmp_path_factory.mktemp("tiny"))[0]


def batches_of(trainer, store=None, **options) -> Any:
    """Batches of sixty samples and ten stills; every robot is known."""
    data = trainer.data
    training = replace(data.training, robot=np.ones_like(data.training.robot))
    rng = np.random.default_rng(2)
    stills = StillSamples(
        np.arange(100, 110),
        rng.uniform(0.5, 12, (10, RAYS)).astype(np.float32),
        np.ones((10, 6), np.float32),
        np.full(10, "mesh"),
    )
    data = replace(data, training=training, stills=stills, store=store or data.store)
    return Batches(replace(trainer.args, **options), trainer.config, data)


def drawn(batches, kind, seed=0, index=None, training=True):
    """Eight samples of the video or stills."""
    rng = np.random.default_rng(seed) if training else None
    index = np.arange(8) if index is None else index
    samples = batches.data.training if kind == "video" else batches.data.stills
    return getattr(batches, kind)(samples, index, rng)


@pytest.mark.parametrize("hidden", ["hide_goal", "hide_ego", "hide_robot"])
def test_of_each_as_much_is_hidden_as_was_asked_for(trainer, hidden):
    def shares(share):
        none = {"hide_goal": 0.0, "hide_ego": 0.0, "hide_robot": 0.0}
        batches = batches_of(trainer, **{**none, hidden: share})
        minibatch = drawn(batches, "video", index=np.zeros(400, int))
        (goal, ego), robot = minibatch.hide, minibatch.batch.robot.isnan()
        assert (robot.any(1) == robot.all(1)).all(), "a robot is known or not"
        given = {"hide_goal": goal, "hide_ego": ego, "hide_robot": robot[:, 0]}
        return {name: which.float().mean().item() for name, which in given.items()}

    for share in (0.0, 0.25, 1.0):
        got = shares(share)
        assert got.pop(hidden) == pytest.approx(share, abs=0.06 if share == 0.25 else 0)
        assert set(got.values()) == {0.0}


def test_nothing_is_hidden_or_mirrored_where_nothing_is_learned(trainer):
    batches = batches_of(trainer, hide_goal=0.9, hide_ego=0.9, hide_robot=0.9, mirror=1.0)
    plain = batches_of(trainer)
    minibatch = drawn(batches, "video", training=False)
    assert minibatch.hide is None and minibatch.batch.robot.isfinite().all()
    assert torch.equal(minibatch.batch.future, drawn(plain, "video").batch.future)
    still = drawn(batches, "stills", training=False)
    assert all(h.all() for h in still.hide) and still.batch.robot.isfinite().all(), "image alone"
    for m, frames in ((minibatch, batches.data.training.frames[:8]), (still, np.arange(100, 108))):
        features, older = plain.data.store.tokens(m.batch.frames)
        assert torch.equal(m.seen[0], torch.from_numpy(features))
        assert torch.equal(m.seen[1], torch.from_numpy(older))
        assert (m.batch.frames == frames.reshape(8, -1)).all()


def test_robots_of_stills_are_hidden_as_often(trainer):
    for share in (0.0, 0.25, 1.0):
        batches = batches_of(trainer, hide_robot=share)
        unknown = drawn(batches, "stills", index=np.zeros(400, int)).batch.robot.isnan()
        assert (unknown.any(1) == unknown.all(1)).all()
        tolerance = 0.06 if share == 0.25 else 0
        assert unknown[:, 0].float().mean().item() == pytest.approx(share, abs=tolerance)


@pytest.mark.parametrize("kind", ["video", "stills"])
@pytest.mark.parametrize("store", [None, Colours()])
def test_what_is_mirrored_is_seen_and_driven_mirrored(trainer, kind, store):
    plain = drawn(batches_of(trainer, store), kind)
    whole = drawn(batches_of(trainer, store, mirror=1.0), kind)
    half = drawn(batches_of(trainer, store, mirror=0.5), kind)
    across = torch.tensor([1.0, -1.0])

    def images(minibatch):  # (B, images, rows, columns, channels)
        seen = minibatch.seen[0]
        return seen.view(8, -1, *seen.shape[1:])

    assert torch.equal(images(whole), images(plain).flip(3))
    assert not torch.equal(images(whole), images(plain))
    assert torch.equal(whole.batch.future, plain.batch.future * across)
    torch.testing.assert_close(whole.batch.goal_xy, plain.batch.goal_xy * [1, -1])
    assert torch.equal(whole.batch.free_space, plain.batch.free_space.flip(1))
    turned = (half.batch.goal_xy[:, 1] * plain.batch.goal_xy[:, 1]) < 0
    assert 0 < turned.sum() < 8
    for which, like in ((turned, whole), (~turned, plain)):
        assert torch.equal(images(half)[which], images(like)[which])
        assert torch.equal(half.batch.free_space[which], like.batch.free_space[which])
    for m in (whole, half):  # older frames are pooled: nothing lies left or right in them
        assert len(m.seen) == len(plain.seen) and all(map(torch.equal, m.seen[1:], plain.seen[1:]))


def test_a_trained_encoder_sees_every_frame_of_video_and_one_of_a_still(trainer):
    batches = batches_of(trainer, Colours())
    video, still = drawn(batches, "video"), drawn(batches, "stills")
    assert video.seen[0][:, 0, 0, 0].tolist() == video.batch.frames.ravel().tolist()
    assert still.seen[0][:, 0, 0, 0].tolist() == list(range(100, 108))


def test_a_step_has_its_share_of_stills_and_draws_of_its_own(trainer):
    batches = batches_of(trainer, stills_share=0.5)  # of eight samples
    video, stills = batches.of_step(0)
    assert video.batch.frames.shape[0] == 8 and stills.batch.frames.shape[0] == 4
    seen = [batches.of_step(s)[1].batch.frames[:, 0] for s in range(5)]
    first, second = np.concatenate(seen).reshape(2, 10)
    assert sorted(first) == sorted(second) == list(range(100, 110)), "each once an epoch"
    few = batches_of(trainer, stills_share=0.01)
    assert few.of_step(0)[1].batch.frames.shape[0] == 1, "one at least"
    bare: Any = Batches(batches.args, batches.config, replace(batches.data, stills=None))
    assert bare.of_step(0)[1] is None
    again: Any = Batches(batches.args, batches.config, batches.data)
    other: Any = Batches(batches.args, batches.config, batches.data, rank=1, ranks=2)
    goals = [b.of_step(3)[1].batch.goal_xy for b in (batches, again, other)]
    assert np.array_equal(goals[0], goals[1]) and not np.array_equal(goals[0], goals[2])


def test_what_is_taken_in_order_is_what_each_step_has_and_no_more_is_read(trainer):
    batches, expected = batches_of(trainer), batches_of(trainer)
    read = []
    of_step = batches.of_step
    batches.of_step = lambda step: read.append(step) or of_step(step)
    for step in range(2, 5):  # as after a resumption
        for got, right in zip(batches.take(step, 5), expected.of_step(step), strict=True):
            np.testing.assert_array_equal(got.batch.frames, right.batch.frames)
            assert torch.equal(got.batch.goal, right.batch.goal)
    batches._reader.shutdown()
    assert read == [2, 3, 4]
