"""Two ranks do what one does with all their worlds, and a run goes on with another number of
ranks."""

from typing import Any

import numpy as np
import pytest
import torch
from tqdm import tqdm

import s2e.core.dist
from s2e.envs.rays import RayConfig
from s2e.policy.checkpoint import policy_state, save_checkpoint
from s2e.policy.config import PolicyConfig
from s2e.policy.encoder import FeatureNet
from s2e.policy.network import S2EPolicy
from s2e.rl.lessons import Lessons
from s2e.rl.train import PPOArgs, Trainer, Watch, _joined
from tests.envs.ray_files import save as save_rays
from tests.ranks import Ranks

CONFIG = PolicyConfig(dim=32, encoder_layers=1, decoder_layers=1)
FLOAT: dict[str, Any] = dict(atol=2e-5, rtol=1e-4)
"""How far weights may lie apart: products of other shapes are summed in another order."""


@pytest.fixture(scope="module")
def coached(tmp_path_factory):
    """What an update learns everything from: images, a ray coach, more lessons than are kept, PPO
    with a divergence."""
    torch.manual_seed(3)
    folder = tmp_path_factory.mktemp("coached")
    tensors = policy_state(S2EPolicy(CONFIG), FeatureNet(CONFIG))
    save_checkpoint(
        folder / "seen" / "checkpoints" / "00000001",
        {"policy": CONFIG.to_dict()},
        tensors,
        {},
        {"step": 1},
    )
    save_rays(folder / "rays", RayConfig(robots=("jackal",)))
    return dict(
        init=str(folder / "seen"),
        coach=str(folder / "rays"),
        lessons=40,
        coach_alone=0.0,
        coach_drives=0.5,
        divergence=0.1,
    )


RAYS = dict(sense="rays", collision="ends", memory=2)
FRESH = dict(sense="rays", collision="ends", refresh=1)


def snap(trainer):
    """Rounds how the robots are driven, so that worlds are equal exactly.

    What is left of a difference of 1e-7 would grow in them: another pixel at an edge, a contact or
    none.
    """
    worlds, step = trainer.env.venv, trainer.env.venv.step_async
    worlds.step_async = lambda waypoints: step(np.round(64.0 * np.asarray(waypoints)) / 64.0)


def train(monkeypatch, ranks, out, updates, more, resume=False):
    """Some updates, saved at the end; of each rank the weights, what was logged last, the
    trainer."""
    settings: dict[str, Any] = dict(
        envs=4,
        horizon=8,
        scenes=2,
        splats=0.0,
        steps=128,
        batch=16,
        value_warmup=0,
        greedy=0.25,
        people=2,
        **{"robot": "jackal", **more},
    )

    def one(rank):
        trainer = Trainer(PPOArgs(out, resume=resume, device="cpu", **settings), rank, ranks)
        snap(trainer)
        watch = Watch(tqdm(disable=True), trainer.worlds)
        trainer.start(watch)
        logged = {}
        while trainer.progress.step < updates:
            logged = trainer.update(watch)
        trainer.save()
        weights = {k: v.clone() for k, v in trainer.policy.state_dict().items()}
        return weights, logged, trainer

    if ranks == 1:
        return [one(0)]
    fake = Ranks(ranks)
    with monkeypatch.context() as patch:
        patch.setattr(s2e.core.dist, "dist", fake)
        return fake.run(one)


def assert_same(ones, others):
    (weights, logged, trainer), (_, said, other) = ones[0], others[0]
    for rank in (*ones[1:], *others):
        for name, value in rank[0].items():
            torch.testing.assert_close(
                value, weights[name], **FLOAT, msg=lambda text, name=name: f"{name}: {text}"
            )
    for name in (
        "train/lr",
        "train/kl",
        "train/coach_weight",
        *(k for k in logged if k.startswith(("reward/", "episode/"))),
    ):
        assert said[name] == pytest.approx(logged[name], abs=1e-4), name
    poses = np.concatenate([rank[2].worlds.pose for rank in others])
    np.testing.assert_array_equal(poses, np.concatenate([rank[2].worlds.pose for rank in ones]))
    assert trainer.env.tick == other.env.tick


def lessons_of(ranks):
    """Draws, and which lessons they are of, of all ranks."""
    stores = [rank[2].model.lessons for rank in ranks]
    labels = np.sum([np.where(s.mine[:, None], s.label, 0) for s in stores], axis=0)
    assert (np.sum([s.mine for s in stores], axis=0) == 1).all(), "each lesson lies with one rank"
    return stores[0].draw, labels


@pytest.mark.parametrize("kind", ["rays", "coached", pytest.param("fresh", marks=pytest.mark.slow)])
def test_two_ranks_do_what_one_does_and_take_over_from_it(monkeypatch, tmp_path, kind, coached):
    more = {"rays": RAYS, "fresh": FRESH, "coached": coached}[kind]
    one = train(monkeypatch, 1, tmp_path / "one", 2, more)
    two = train(monkeypatch, 2, tmp_path / "two", 2, more)
    assert_same(one, two)
    if kind == "coached":
        for mine, theirs in zip(lessons_of(one), lessons_of(two), strict=True):
            np.testing.assert_allclose(theirs, mine, atol=1e-4)
    never_stopped = train(monkeypatch, 1, tmp_path / "whole", 3, more)
    assert_same(never_stopped, train(monkeypatch, 2, tmp_path / "one", 3, more, resume=True))
    assert_same(never_stopped, train(monkeypatch, 1, tmp_path / "two", 3, more, resume=True))


@pytest.mark.parametrize("what", ["reward", "gradient"])
def test_what_is_not_finite_on_one_rank_is_skipped_by_all_and_said_by_that_one(
    monkeypatch, tmp_path, capsys, what
):
    """The loss may be finite everywhere: gradients are looked at after they are summed."""

    def one(rank):
        settings: dict[str, Any] = dict(
            RAYS, envs=4, horizon=8, scenes=1, people=0, batch=16, value_warmup=0
        )
        trainer = Trainer(PPOArgs(tmp_path, device="cpu", **settings), rank, 2)
        watch = Watch(tqdm(disable=True), trainer.worlds)
        trainer.start(watch)
        step, taught = trainer.worlds.step, trainer.policy.critic[0].weight

        def poisoned(waypoints):
            seen, reward, terminated, truncated = step(waypoints)
            reward[1] = 1e30  # its square is infinite
            return seen, reward, terminated, truncated

        hook = None
        if rank == 1 and what == "reward":
            trainer.worlds.step = poisoned
        elif rank == 1:
            hook = taught.register_hook(lambda gradient: gradient * np.nan)
        before = {k: v.clone() for k, v in trainer.policy.state_dict().items()}
        first, seed = trainer.update(watch)["train/skipped"], int(watch.seeds[0][1])
        same = all(torch.equal(v, before[k]) for k, v in trainer.policy.state_dict().items())
        trainer.worlds.step = step
        if hook is not None:
            hook.remove()
        second = trainer.update(watch)["train/skipped"]
        return (
            first,
            same,
            second,
            seed,
            {k: v.clone() for k, v in trainer.policy.state_dict().items()},
        )

    fake = Ranks(2)
    with monkeypatch.context() as patch:
        patch.setattr(s2e.core.dist, "dist", fake)
        ranks = fake.run(one)
    said = [
        line
        for line in capsys.readouterr().out.splitlines()
        if line.startswith("update 1 is skipped")
    ]
    for first, same, second, *_ in ranks:
        assert first == second == 1 and same
    assert all(torch.equal(v, ranks[0][-1][k]) for k, v in ranks[1][-1].items())
    assert len(said) == 2 and all("the loss or its gradient" in line for line in said)
    named = f"world 3 (seed {ranks[1][3]})"
    assert (
        sum(named in line for line in said)
        == (what == "reward")
        == sum("world" in line for line in said)
    )


def test_what_lessons_stay_does_not_depend_on_the_number_of_ranks():
    rng = np.random.default_rng(0)
    alone, ranks = Lessons(50, 3, 1), [Lessons(50, 3, 1) for _ in range(3)]
    for step in range(5):
        marks = 30.0 * step + np.arange(30)
        seen, label = (
            np.repeat(marks[:, None], 3, 1).astype(np.float16),
            marks[:, None].astype(np.float32),
        )
        weight, u = 1.0 + rng.random(30), rng.random(30)
        alone.add(seen, label, weight, u)
        for r, store in enumerate(ranks):
            store.add(seen[10 * r : 10 * r + 10], label[10 * r : 10 * r + 10], weight, u, 10 * r)
    for slot in range(50):
        (holder,) = (store for store in ranks if store.mine[slot])
        assert (
            holder.label[slot] == alone.label[slot]
            and (holder.seen[slot] == alone.seen[slot]).all()
        )
    assert all(np.array_equal(store.draw, alone.draw) for store in ranks)


def test_rows_of_different_length_are_filled_up_where_ranks_are_joined():
    """As the expert's routes are, of which one rank may have longer ones."""
    joined = _joined([np.ones((2, 3, 2)), np.full((1, 5, 2), 2.0)])
    assert joined.shape == (3, 5, 2) and joined.sum() == 12 + 20 and (joined[:2, 3:] == 0).all()
    assert _joined([np.array([True]), np.array([False])]).tolist() == [True, False]
