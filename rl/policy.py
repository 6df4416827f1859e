"""The policy object that PPO trains: S2E's decoder with adapters as actor, a small value network beside it."""

from typing import Any

import gymnasium as gym
import torch
from stable_baselines3.common.policies import BasePolicy
from torch import nn

from s2e.mixture import WaypointMixture
from s2e.policy import S2EPolicy, mlp


class ValueNet(nn.Module):
    """(B, L, d) frozen context to (B, 1): each token narrowed, then all of them together, so places in the image stay apart."""

    def __init__(self, tokens: int, dim: int, narrow: int = 32, hidden: int = 128):
        super().__init__()
        self.narrow = nn.Linear(dim, narrow)
        self.head = mlp(tokens * narrow, hidden, 1)

    def forward(self, context: torch.Tensor) -> torch.Tensor:
        """Values."""
        return self.head(torch.nn.functional.gelu(self.narrow(context)).flatten(1))


class AdapterPolicy(BasePolicy):
    """What SB3's PPO needs of a policy, with S2E's exact mixture density. Only adapters and the value network train.

    Args:
        observation_space: context tokens (L, d). action_space: a waypoint (2,). lr_schedule: SB3's.
        s2e: the policy, with adapters.
    """

    def __init__(
        self, observation_space: gym.Space, action_space: gym.Space, lr_schedule: Any, s2e: S2EPolicy, use_sde: bool = False
    ):
        super().__init__(observation_space, action_space)
        self.s2e = s2e
        self.value = ValueNet(s2e.context_tokens, s2e.config.dim)
        trained = [p for p in self.parameters() if p.requires_grad]
        self.optimizer = torch.optim.Adam(trained, lr=lr_schedule(1), eps=1e-5)

    def distribution(self, context: torch.Tensor) -> WaypointMixture:
        """The density of the action given context tokens (B, L, d)."""
        config = self.s2e.config
        return WaypointMixture.at(self.s2e.decode(context), config.action_waypoint, config.waypoint_dt_s)

    def forward(self, obs: torch.Tensor, deterministic: bool = False) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Actions (B, 2), values (B, 1), log-probabilities (B,)."""
        mixture = self.distribution(obs)
        actions = mixture.mode() if deterministic else mixture.sample()
        return actions, self.value(obs), mixture.log_prob(actions)

    def evaluate_actions(self, obs: torch.Tensor, actions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Values (B, 1), log-probabilities (B,) and an entropy bound (B,) of given actions."""
        mixture = self.distribution(obs)
        return self.value(obs), mixture.log_prob(actions), mixture.entropy_bound()

    def predict_values(self, obs: torch.Tensor) -> torch.Tensor:
        """Values (B, 1)."""
        return self.value(obs)

    def _predict(self, observation: torch.Tensor, deterministic: bool = False) -> torch.Tensor:
        return self.forward(observation, deterministic)[0]
