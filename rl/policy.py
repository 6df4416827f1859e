"""What PPO trains: an actor that sees images (S2E's decoder with adapters) or rays, and beside it a
critic that sees the truth.
"""

import copy
from typing import Any

import gymnasium as gym
import torch
from stable_baselines3.common.policies import BasePolicy
from torch import nn

from s2e.envs.rays import RayPolicy
from s2e.policy.mixture import WaypointMixture, positive_mode, trajectory_log_prob
from s2e.policy.network import S2EPolicy
from s2e.rl.sense import COACHED, GREEDY, STATE, Prefix

Rows = dict[str, torch.Tensor]
"""Observations by name, each (B, width)."""

DISTURBANCE_M = 0.25
"""What disturbs the coach where he drives: a normal of 0, 1 or 2 times this."""
DECODER = ("anchor_in", "decoder", "query_norm", "score_head", "trajectory_head", "speed_head")
"""Parts of an `S2EPolicy` behind its context."""


class ActorCritic(BasePolicy):
    """What SB3's PPO needs of a policy. Subclasses say which density the action has.

    The critic reads `state`, which the simulator alone can know: it helps to learn and is thrown
    away. `driver` says who drives a world: the actor, as `chance` has it (`EXPLORES`); the actor,
    as it holds best (`GREEDY`); the coach, disturbed (`COACHED`).

    Args:
        observation_space, action_space, lr_schedule: SB3's. critic_lr: the critic's own rate.
    """

    def __init__(
        self,
        observation_space: gym.Space,
        action_space: gym.Space,
        lr_schedule: Any,
        actor: nn.Module,
        critic_lr: float,
        use_sde: bool = False,
    ):
        super().__init__(observation_space, action_space)
        self.actor: Any = actor
        self.critic = nn.Sequential(
            nn.Linear(STATE, 256),
            nn.LayerNorm(256),
            nn.Tanh(),
            nn.Linear(256, 256),
            nn.Tanh(),
            nn.Linear(256, 1),
        )
        groups = [
            {
                "params": [p for p in self.actor.parameters() if p.requires_grad],
                "lr": lr_schedule(1),
                "weight_decay": 0.0,
            },
            {"params": list(self.critic.parameters()), "lr": critic_lr, "weight_decay": 0.0},
        ]
        self.optimizer = torch.optim.AdamW(groups, eps=1e-5, fused=True)

    def density(self, obs: Rows, start: bool = False) -> Any:
        """The density of the action: log_prob, entropy_bound, mode, draw. `start`: that of the
        policy as it was at first.
        """
        raise AssertionError("a subclass has the density")

    def forward(
        self, obs: Rows, deterministic: bool = False
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Actions (B, 2), values (B, 1), log-probabilities (B,)."""
        density, chance, driver = self.density(obs), obs["chance"], obs["driver"]
        actions = density.mode()
        if not deterministic:
            coached = (
                obs["label"][:, :2]
                + DISTURBANCE_M * torch.floor(3 * chance[:, 3:]) * chance[:, 1:3]
            )
            drawn = torch.where(
                driver == COACHED, coached, density.draw(chance[:, 0], chance[:, 1:3])
            )
            actions = torch.where(driver == GREEDY, actions, drawn)
        # Worlds take no NaN. What the policy made NaN of is found after the rollout, which is then
        # not learned from.
        actions = torch.nan_to_num(actions, nan=0.0, posinf=0.0, neginf=0.0)
        return actions, self.critic(obs["state"]), density.log_prob(actions)

    def evaluate_actions(
        self, obs: Rows, actions: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Values (B, 1), log-probabilities (B,) and an entropy bound (B,) of given actions."""
        density = self.density(obs)
        return self.critic(obs["state"]), density.log_prob(actions), density.entropy_bound()

    def lesson(self, obs: Rows) -> torch.Tensor:
        """(B,) -log p of what the coach would do."""
        raise AssertionError("a subclass has the density")

    def predict_values(self, obs: Rows) -> torch.Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Values (B, 1)."""
        return self.critic(obs["state"])

    def _predict(self, observation: Any, deterministic: bool = False) -> torch.Tensor:
        return self.forward(observation, deterministic)[0]


class Diagonal:
    """Independent normals: mean (B, 2), log standard deviations (2,)."""

    def __init__(self, mean: torch.Tensor, log_std: torch.Tensor):
        self.normal = torch.distributions.Normal(mean, log_std.to(mean).exp().expand_as(mean))

    def log_prob(self, action: torch.Tensor) -> torch.Tensor:
        """(B,)."""
        return self.normal.log_prob(action).sum(-1)

    def entropy_bound(self) -> torch.Tensor:
        """(B,) the entropy itself."""
        return self.normal.entropy().sum(-1)

    def mode(self) -> torch.Tensor:
        """(B, 2)."""
        return self.normal.mean

    def draw(self, u: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        """(B, 2) the draw that `noise` (B, 2), standard normal, gives."""
        return self.normal.mean + self.normal.stddev * noise


LOG_STD = -0.7, -2.0
"""Logarithm of the deviation by which a ray policy explores (its actions are -1 to 1), at first and
at last."""


class RayActorCritic(ActorCritic):
    """A ray policy that explores by normal noise, less and less: what it drives like without must
    be learned as well.

    Args:
        rays: the policy; the rest as in `ActorCritic`.
    """

    def __init__(
        self,
        observation_space: gym.Space,
        action_space: gym.Space,
        lr_schedule: Any,
        rays: RayPolicy,
        **more: Any,
    ):
        super().__init__(observation_space, action_space, lr_schedule, rays, **more)
        self.log_std = torch.full((2,), LOG_STD[0])

    def explore(self, done: float) -> None:
        """Sets the noise when a share of the run is done."""
        self.log_std[:] = LOG_STD[0] + (LOG_STD[1] - LOG_STD[0]) * min(done, 1.0)

    def density(self, obs: Rows, start: bool = False) -> Diagonal:
        """See `ActorCritic.density`; nothing is kept of its start."""
        return Diagonal(self.actor(obs["rays"]), self.log_std)


class S2EActorCritic(ActorCritic):
    """An S2E policy, with S2E's exact mixture density, of which a part trains.

    Args:
        s2e: the policy. prefix: what `seen` holds. adapter: what trains: "ram" the adapters beside
            each cross-attention, "decoder" all that is behind the context instead, "full" the
            context's self-attention too. way: weight of the coach's way beside his action. reader:
            whether it gets one, which learns as well. The rest as in `ActorCritic`.
    """

    def __init__(
        self,
        observation_space: gym.Space,
        action_space: gym.Space,
        lr_schedule: Any,
        s2e: S2EPolicy,
        prefix: Prefix,
        adapter: str,
        way: float,
        reader: bool = True,
        **more: Any,
    ):
        start = copy.deepcopy(s2e).requires_grad_(False)
        if reader:
            s2e.add_reader()
        choose_trained(s2e, adapter)
        super().__init__(observation_space, action_space, lr_schedule, s2e, **more)
        self.prefix, self.way = prefix, way
        self.started = [start]  # in a list: no part of this module's own weights

    def restart_from(self, state: Rows) -> None:
        """Sets what the run began with; from there its divergence counts."""
        start: Any = copy.deepcopy(self.actor)
        for block in start.decoder:
            block.adapter = block.adapter if any(".adapter." in name for name in state) else None
        start.reader = start.reader if any(name.startswith("reader.") for name in state) else None
        start.load_state_dict(state)
        self.started = [start.requires_grad_(False)]

    def density(self, obs: Rows, start: bool = False) -> WaypointMixture:
        """See `ActorCritic.density`."""
        policy: Any = self.started[0] if start else self.actor
        return self._density(policy, self.prefix.modes(policy, obs["seen"]))

    @staticmethod
    def _density(policy: S2EPolicy, modes: Any) -> WaypointMixture:
        return WaypointMixture.at(modes, policy.config.action_waypoint, policy.config.waypoint_dt_s)

    def lesson(self, obs: Rows) -> torch.Tensor:
        """(B,) -log p of the coach's action, and `way` times that of a waypoint of his way, under
        the mode whose anchor points there.

        Under the whole mixture one broad mode learns to mean "left or right", and the best mode
        then drives between the two.
        """
        policy: Any = self.actor
        label = obs["label"]
        modes = self.prefix.modes(policy, obs["seen"])
        # in its steps even a turn on the spot has a direction
        slowest = policy.config.speed_floor * policy.config.waypoint_dt_s
        meant = positive_mode(label[:, None, :2] / slowest, policy.anchors)
        loss = -self._density(policy, modes).log_prob(label[:, :2], meant)
        if self.way:
            way = label[:, 2:].unflatten(1, (-1, 2))
            loss = loss - self.way / way.shape[1] * trajectory_log_prob(
                modes, way, policy.config.waypoint_dt_s, meant
            )
        return loss


def choose_trained(policy: S2EPolicy, adapter: str) -> None:
    """Freezes all of a policy but what `adapter` names; see `S2EActorCritic`."""
    if adapter == "ram":
        policy.add_adapters()
        return
    policy.requires_grad_(adapter == "full")
    for part in DECODER:
        getattr(policy, part).requires_grad_(True)
    if policy.reader is not None:
        policy.reader.requires_grad_(True)
    if policy.free_space_head is not None:
        policy.free_space_head.requires_grad_(False)  # nothing here teaches it
