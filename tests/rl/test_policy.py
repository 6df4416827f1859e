"""What SB3 is told of a policy, by hand, with an actor that says what it sees."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from torch.distributions import MultivariateNormal

from s2e.rl.policy import Diagonal, RayActorCritic
from s2e.rl.sense import COACHED, EXPLORES, GREEDY, STATE

STD = float(np.exp(-0.7))


class Says(torch.nn.Module):
    """Two numbers, of which one factor learns."""

    def __init__(self):
        super().__init__()
        self.factor = torch.nn.Parameter(torch.ones(2))
        self.frozen = torch.nn.Parameter(torch.ones(2), requires_grad=False)

    def forward(self, rays):
        return rays * self.factor * self.frozen


@pytest.fixture
def policy():
    torch.manual_seed(0)
    box = gym.spaces.Box(-1, 1, (2,), np.float32)
    says: Any = Says()
    return RayActorCritic(gym.spaces.Dict({"rays": box}), box, lambda _: 0.02, says, critic_lr=0.3)


def observed(driver, third=0.5, label=(0.7, -0.1)):
    return {
        "rays": torch.tensor([[0.2, -0.4]]),
        "state": torch.randn(1, STATE, generator=torch.Generator().manual_seed(1)),
        "label": torch.tensor([[*label, 9.0, 9.0]]),
        "driver": torch.tensor([[driver]]),
        "chance": torch.tensor([[0.3, 1.5, -2.0, third]]),
    }


@pytest.mark.parametrize(
    "driver, third, action",
    [
        (EXPLORES, 0.5, (0.2 + 1.5 * STD, -0.4 - 2.0 * STD)),
        (GREEDY, 0.5, (0.2, -0.4)),
        # a third of the coach's drives as he would, the others disturbed by a quarter metre or half
        (COACHED, 0.3, (0.7, -0.1)),
        (COACHED, 0.5, (0.7 + 0.25 * 1.5, -0.1 - 0.25 * 2.0)),
        (COACHED, 0.9, (0.7 + 0.5 * 1.5, -0.1 - 0.5 * 2.0)),
    ],
)
def test_who_drives_decides_what_is_done(policy, driver, third, action):
    obs = observed(driver, third)
    done, value, log_prob = policy(obs)
    torch.testing.assert_close(done, torch.tensor([action]))
    normal = MultivariateNormal(obs["rays"], STD**2 * torch.eye(2))
    torch.testing.assert_close(log_prob, normal.log_prob(done))
    torch.testing.assert_close(value, policy.critic(obs["state"]))
    torch.testing.assert_close(policy(obs, deterministic=True)[0], obs["rays"])
    torch.testing.assert_close(policy._predict(obs, deterministic=True), obs["rays"])
    again, same, entropy = policy.evaluate_actions(obs, done)
    torch.testing.assert_close(again, policy.predict_values(obs))
    torch.testing.assert_close(same, log_prob)
    torch.testing.assert_close(entropy, normal.entropy())


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_worlds_are_given_numbers(policy, wrong):
    assert policy(observed(COACHED, label=(wrong, 0.3)))[0][0, 0] == 0


def test_a_ray_policy_explores_less_and_less(policy):
    for done, log_std in ((0.0, -0.7), (0.5, -1.35), (1.0, -2.0), (1.7, -2.0)):
        policy.explore(done)
        torch.testing.assert_close(policy.log_std, torch.full((2,), log_std))


def test_what_learns_learns_at_its_own_rate(policy):
    actor, critic = policy.optimizer.param_groups
    assert [id(p) for p in actor["params"]] == [id(policy.actor.factor)]
    assert {id(p) for p in critic["params"]} == {id(p) for p in policy.critic.parameters()}
    assert (actor["lr"], critic["lr"]) == (0.02, 0.3)
    assert actor["weight_decay"] == critic["weight_decay"] == 0.0


def test_a_diagonal_is_torchs():
    mean, log_std = torch.tensor([[0.3, -1.0], [2.0, 0.0]]), torch.tensor([-0.5, 0.2])
    normal = MultivariateNormal(mean, torch.diag((2 * log_std).exp()))
    mine, at = Diagonal(mean, log_std), torch.tensor([[0.1, 0.2], [-1.0, 3.0]])
    torch.testing.assert_close(mine.log_prob(at), normal.log_prob(at))
    torch.testing.assert_close(mine.entropy_bound(), normal.entropy())
    drawn = mine.draw(torch.zeros(2), torch.tensor([[1.0, 0.0], [0.0, -1.0]]))
    expected = [[0.3 + np.exp(-0.5), -1.0], [2.0, -np.exp(0.2)]]
    torch.testing.assert_close(drawn, torch.tensor(expected, dtype=torch.float32))
