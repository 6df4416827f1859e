"""One update of `CoachedPPO`, of a policy with five numbers, against its objective written out."""

import math
from dataclasses import replace
from itertools import chain
from types import SimpleNamespace
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from stable_baselines3.common.buffers import DictRolloutBuffer
from torch.distributions import Normal

from s2e.rl.ppo import GAP, CoachedPPO, Objective, Progress, divergence, normalised
from s2e.rl.sense import COACHED, EXPLORES, GREEDY, STATE, Share

STEPS, WORLDS, CLIP, ENTROPY, CRITIC = 4, 3, 0.2, 0.03, 0.7
LR, CRITIC_LR = 0.1, 0.4
AT_FIRST = [0.3, -0.2, 0.1, -0.4]
"""Two factors of the action's mean and its logarithmic deviations."""
BEGAN = [0.1, 0.1, 0.0, 0.0]


class Linear(torch.nn.Module):
    """Two normals whose means are factors of `x`; the critic is a factor of it as well. A lesson is
    the first number's square distance from its label."""

    def __init__(self):
        super().__init__()
        self.actor = torch.nn.Parameter(torch.tensor(AT_FIRST, dtype=torch.float64))
        self.critic = torch.nn.Parameter(torch.tensor([0.5], dtype=torch.float64))
        groups = [
            {"params": [self.actor], "lr": LR},
            {"params": [self.critic], "lr": CRITIC_LR},
        ]
        self.optimizer = torch.optim.SGD(groups)

    def set_training_mode(self, mode):
        self.train(mode)

    def normal(self, obs, start=False):
        actor = torch.tensor(BEGAN, dtype=torch.float64) if start else self.actor
        return Normal(obs["x"] * actor[:2], actor[2:].exp().expand(len(obs["x"]), 2))

    def density(self, obs, start=False):
        normal = self.normal(obs, start)
        return SimpleNamespace(log_prob=lambda actions: normal.log_prob(actions).sum(-1))

    def evaluate_actions(self, obs, actions):
        entropy = self.normal(obs).entropy().sum(-1)
        return self.predict_values(obs), self.density(obs).log_prob(actions), entropy

    def predict_values(self, obs):
        return obs["x"] * self.critic

    def lesson(self, obs):
        return (self.actor[0] - obs["label"][:, 0]).square()


class Store:
    """Lessons that all say the same; keeps what is offered."""

    def __init__(self, says):
        self.seen, self.label = np.zeros((7, 1)), np.full((7, 1), says)
        self.mine, self.offered = np.ones(7, bool), []

    def __len__(self):
        return 7

    def add(self, *offer):
        self.offered.append(offer)


def learner(done=0.5, driver: Any = EXPLORES, lessons=None, spread=0.3, **objective) -> Any:
    """A model that has just collected twelve samples."""
    rng = np.random.default_rng(0)
    widths = {"x": 1, "state": STATE, "driver": 1, "seen": 1, "label": 1}
    space = gym.spaces.Dict(
        {k: gym.spaces.Box(-np.inf, np.inf, (n,), np.float32) for k, n in widths.items()}
    )
    model: Any = CoachedPPO.__new__(CoachedPPO)
    buffer = DictRolloutBuffer(STEPS, space, gym.spaces.Box(-1, 1, (2,)), n_envs=WORLDS)
    buffer.observations["x"][:] = rng.normal(0, 1, (STEPS, WORLDS, 1))
    buffer.observations["driver"][:] = driver
    buffer.actions[:] = rng.normal(0, 1, (STEPS, WORLDS, 2))
    for name in ("returns", "values", "advantages"):
        getattr(buffer, name)[:] = rng.normal(0.5, 1, (STEPS, WORLDS))
    model.policy, model.rollout_buffer, model.observation_space = Linear(), buffer, space
    model.device, model.seed, model.n_steps, model._n_updates = "cpu", 3, STEPS, 0
    model.ent_coef, model.vf_coef, model.max_grad_norm = ENTROPY, CRITIC, 1e9
    model.clip_range = lambda _: CLIP
    model._current_progress_remaining = 1.0 - done
    model.share, model.lessons = Share(0, WORLDS, WORLDS), lessons
    settings = dict(epochs=1, batch=STEPS * WORLDS, lr=LR)
    model.objective, model.progress = Objective(**{**settings, **objective}), Progress()
    rows = model._rollout()
    with torch.no_grad():
        now = model.policy.density(rows).log_prob(rows["actions"]).numpy()
    said = now + spread * rng.normal(size=len(now))  # so that some ratios are beyond the clip
    buffer.log_probs[:] = said.reshape(WORLDS, STEPS).T
    return model


def objective_of(actor, model, coach=0.0):
    """The mean over all samples, one by one, of what the actor is to minimise."""
    rows = {k: v.double().numpy() for k, v in model._rollout().items()}
    explores = rows["driver"][:, 0] == EXPLORES
    paid = rows["advantages"][explores]
    total, o = 0.0, model.objective
    for n in np.flatnonzero(explores):
        x, action = rows["x"][n, 0], rows["actions"][n]

        def log_density(of, x=x, action=action):
            z = [(action[k] - of[k] * x) / math.exp(of[2 + k]) for k in (0, 1)]
            return -0.5 * (z[0] ** 2 + z[1] ** 2) - of[2] - of[3] - math.log(2 * math.pi)

        now = log_density(actor)
        ratio = math.exp(now - rows["log_probs"][n])
        advantage = (rows["advantages"][n] - paid.mean()) / paid.std()
        worst = min(ratio * advantage, min(max(ratio, 1 - CLIP), 1 + CLIP) * advantage)
        entropy = actor[2] + actor[3] + math.log(2 * math.pi) + 1.0
        total -= o.ppo * (worst + ENTROPY * entropy)
        away = log_density(BEGAN) - now
        total += o.divergence * (math.exp(away) - 1.0 - away)
    return total / len(explores) + coach * (actor[0] - 2.0) ** 2


def slope(function, at):
    """Its gradient, by differences."""
    steps = 1e-5 * np.eye(len(at))
    return np.array([(function(at + step) - function(at - step)) / 2e-5 for step in steps])


def moved(model):
    """By how much an update of rate 1 moves actor and critic."""
    before = [p.detach().clone() for p in model.policy.parameters()]
    rates = [group["lr"] for group in model.policy.optimizer.param_groups]
    model.train()
    after = model.policy.parameters()
    return [((a - b) / r).detach().numpy() for a, b, r in zip(after, before, rates)]


@pytest.mark.parametrize(
    "objective, coach",
    [
        ({}, 0.0),
        ({"ppo": 0.3, "divergence": 0.6}, 0.0),
        ({"coach": 0.5, "divergence": 0.2}, 0.5),
        ({"coach": 0.5, "coach_until": 0.75, "coach_alone": 0.25}, 0.25),
    ],
)
@pytest.mark.parametrize("batch", [STEPS * WORLDS, 30])
def test_an_update_goes_down_the_objective(objective, coach, batch):
    """As many lessons as a minibatch has are drawn, also where the rollout has fewer samples."""
    driver = np.zeros((STEPS, WORLDS, 1))
    driver[1, 0], driver[2, 1] = GREEDY, COACHED
    model = learner(driver=driver, lessons=Store(2.0), batch=batch, **objective)
    expected = slope(lambda actor: objective_of(actor, model, coach), np.array(AT_FIRST))
    rows = {k: v.double().numpy() for k, v in model._rollout().items()}
    missed = 0.5 * rows["x"][:, 0] - rows["returns"]
    actor, critic = moved(model)
    np.testing.assert_allclose(actor, -expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(critic, [-2 * CRITIC * (missed * rows["x"][:, 0]).mean()], rtol=1e-5)
    assert model.metrics["coach_weight"] == pytest.approx(coach) and model.culprit is None


def test_actor_and_critic_are_clipped_apart():
    free = moved(learner())
    model = learner()
    model.max_grad_norm = 0.01
    for whole, cut in zip(free, moved(model)):
        assert np.linalg.norm(whole) > 0.02
        np.testing.assert_allclose(cut, whole / np.linalg.norm(whole) * 0.01, rtol=1e-3)


def test_every_sample_is_learned_from_once_an_epoch_in_an_order_of_its_own():
    model, seen = learner(epochs=3, batch=5), []
    evaluate = model.policy.evaluate_actions

    def watched(obs, actions):
        seen.append(obs["x"][:, 0].tolist())
        return evaluate(obs, actions)

    model.policy.evaluate_actions = watched
    model.train()
    assert [len(part) for part in seen] == [5, 5, 2] * 3 and model._n_updates == 3
    epochs = [list(chain(*seen[k : k + 3])) for k in (0, 3, 6)]
    assert sorted(epochs[0]) == sorted(epochs[1]) == sorted(epochs[2])
    assert len({tuple(epoch) for epoch in epochs}) == 3 and len(set(epochs[0])) == STEPS * WORLDS


def test_until_the_critic_knows_and_while_the_coach_teaches_rewards_move_nobody():
    waits = learner(warmup=1)
    assert (moved(waits)[0] == 0).all() and (moved(waits)[0] != 0).all()
    assert waits.progress.criticised == 2
    alone = learner(0.25, lessons=Store(2.0), coach=0.5, coach_alone=0.5, lr_end=0.2)
    actor, critic = moved(alone)
    rate = 1.0 - 0.8 * 0.5  # half of his time has passed
    np.testing.assert_allclose(actor, [-rate * 2 * 0.5 * (0.3 - 2.0), 0, 0, 0], atol=1e-6)
    assert alone.metrics["lr"] == pytest.approx(rate * LR) and critic[0] != 0
    assert alone.metrics["coach_loss"] == pytest.approx(1.7**2)
    assert alone.progress.criticised == 0
    only = learner(0.25, lessons=Store(2.0), coach=0.5, ppo=0.0, lr_end=0.2)
    actor, critic = moved(only)
    assert only.metrics["lr"] == pytest.approx((1.0 - 0.8 * 0.25) * LR) and critic[0] == 0


@pytest.mark.parametrize("share, expected", [(3.0, 1 / 1.5), (1.0, 1.0), (1 / 3, 1.5)])
def test_the_rate_follows_the_divergence_of_what_explores(share, expected):
    driver = np.zeros((STEPS, WORLDS, 1))
    driver[1, 0] = GREEDY
    model = learner(driver=driver)
    rows = model._rollout()
    with torch.no_grad():
        away = model.policy.density(rows).log_prob(rows["actions"]) - rows["log_probs"]
    away = away.numpy()[rows["driver"][:, 0] == EXPLORES]
    kl = np.mean(np.exp(away) - 1 - away)
    missed = (rows["returns"] - rows["values"]).numpy()
    model.objective = replace(model.objective, target_kl=kl / share, lr=10.0)
    model.train()
    assert model.metrics["kl"] == pytest.approx(kl, rel=1e-4)
    assert model.metrics["lr"] == pytest.approx(LR * expected)
    assert model.metrics["explained_variance"] == pytest.approx(
        1 - missed.var() / rows["returns"].numpy().var(), rel=1e-4
    )
    slow = learner()
    slow.objective = replace(slow.objective, target_kl=1e3)
    slow.train()
    assert slow.metrics["lr"] == LR, "never above what it was at first"


def test_a_sample_that_is_not_finite_is_named_and_nothing_changes():
    model = learner(epochs=2, batch=4)
    model.rollout_buffer.returns[2, 1] = np.inf
    before = [p.detach().clone() for p in model.policy.parameters()]
    model.train()
    assert all(torch.equal(a, b) for a, b in zip(before, model.policy.parameters()))
    assert model.culprit == (1, 2) and model.metrics == {"skipped": 1.0}


def test_lessons_weigh_more_where_the_policy_was_wrong_or_something_is_near():
    store = Store(2.0)
    model = learner(lessons=store, coach=0.5)
    labels = 0.3 + np.arange(12.0).reshape(STEPS, WORLDS, 1)  # the loss grows with the place
    model.rollout_buffer.observations["label"][:] = labels
    state = model.rollout_buffer.observations["state"]
    state[:] = -9.0  # rays and such
    state[..., GAP], state[..., GAP + 1] = 2.0, 2.0
    state[0, 0, GAP], state[0, 1, GAP + 1], state[0, 2, GAP] = 0.1, 0.25, -0.2
    model.train()
    ((_, label, weight, u, first),) = store.offered
    near = {0: 0.8, 1: 0.5, 2: 1.0}
    place = (label[:, 0] - 0.3).round().astype(int)
    expected = [1 + 2 * p / 12 + 2 * near.get(p, 0.0) for p in place]
    np.testing.assert_allclose(weight, expected, rtol=1e-5)
    assert first == 0 and len(np.unique(u)) == 12 and (u > 0).all() and (u < 1).all()


def test_the_coachs_weight_and_time():
    falls = Objective(coach=2.0, coach_alone=0.2, coach_until=0.6)
    found = [falls.coach_at(done) for done in (0.0, 0.2, 0.3, 0.5, 0.6, 0.9)]
    assert found == pytest.approx([2.0, 2.0, 1.5, 0.5, 0.0, 0.0])
    assert [falls.alone_at(done) for done in (0.0, 0.2, 0.3, 0.9)] == [True, True, False, False]
    assert Objective(coach=2.0, coach_alone=0.2).coach_at(0.9) == 2.0
    dagger = Objective(coach=2.0, ppo=0.0)
    assert dagger.alone_at(0.9) and not Objective(coach=0.0, ppo=0.0).alone_at(0.0)


def test_divergence_and_advantages_by_hand():
    torch.testing.assert_close(
        divergence(torch.tensor([0.0, math.log(2.0), -1.0])),
        torch.tensor([0.0, 1 - math.log(2.0), math.exp(-1.0)]),
    )
    counted = torch.tensor([[1.0], [1.0], [0.0], [1.0], [1.0]])
    found = normalised(torch.tensor([1.0, 3.0, 100.0, 5.0, 7.0]), counted)  # 4 and the root of 5
    torch.testing.assert_close(found[[0, 1, 3, 4]], torch.tensor([-3.0, -1, 1, 3]) / 5**0.5)
    assert (normalised(torch.ones(3), torch.ones(3, 1)) == 0).all()
    assert normalised(torch.ones(3), torch.zeros(3, 1)).isfinite().all()
