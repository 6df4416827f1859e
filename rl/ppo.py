"""One update, on one page (`CoachedPPO.train`): Stable-Baselines3's PPO, buffers and vector
environments, with a coach, and equal on any number of ranks.

PPO: Schulman et al. 2017. A term that imitates a coach on the learner's own frames and fades out:
kickstarting (Schmitt et al. 2018); with PPO's weight 0 it is DAgger (Ross et al. 2011). A rate of
learning that follows the divergence of each update: rsl_rl.
"""

import copy
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from stable_baselines3 import PPO

from s2e.core import dist
from s2e.rl.lessons import Lessons
from s2e.rl.policy import ActorCritic
from s2e.rl.sense import EXPLORES, STATE, Share

CAUTION_M = 0.5
"""Room to things below which a frame weighs more as a lesson."""
GAP = STATE - 14
"""Where the critic's state has the room to things and, after it, to people."""


@dataclass(frozen=True)
class Objective:
    """What is minimised beside PPO's own terms.

    Attributes:
        ppo: weight of PPO's terms for the actor.
        coach: of -log p of what the coach would do, at first.
        coach_alone: share of the run in which the coach alone teaches the actor, while the critic
            learns what to expect of it.
        coach_until: share after which the coach's weight has fallen to 0, in a straight line from
            there on; 0 keeps it.
        divergence: weight of the divergence from the policy that the run began with.
        target_kl: divergence of an update that the actor's rate is held to, where PPO has weight.
        warmup: updates after that in which the critic alone learns from rewards.
        epochs, batch: passes over a rollout, and samples of a minibatch over all ranks.
        lr: the actor's rate at first.
        lr_end: share of it that is left when PPO begins, or at the end without it: there is no
            divergence to follow before.
    """

    ppo: float = 1.0
    coach: float = 0.0
    coach_alone: float = 0.0
    coach_until: float = 0.0
    divergence: float = 0.0
    target_kl: float = 0.01
    warmup: int = 0
    epochs: int = 3
    batch: int = 1024
    lr: float = 1e-3
    lr_end: float = 0.1

    def coach_at(self, done: float) -> float:
        """The coach's weight when a share of the run is done."""
        if not self.coach_until or done <= self.coach_alone:
            return self.coach
        return self.coach * max(
            0.0, 1.0 - (done - self.coach_alone) / max(self.coach_until - self.coach_alone, 1e-9)
        )

    def alone_at(self, done: float) -> bool:
        """Whether nobody but the coach teaches the actor when a share of the run is done."""
        return self.coach_at(done) > 0 and (self.ppo == 0 or done <= self.coach_alone)


@dataclass
class Progress:
    """How far a run is; saved and restored as it stands.

    Attributes:
        step: updates made. env_steps: of all worlds of all ranks. ranks: that it ran on.
        n_updates: passes over a rollout, as SB3 counts.
        criticised: updates in which the actor could have learned from rewards.
        skipped, skipped_in_a_row: updates that went wrong.
    """

    step: int = 0
    env_steps: int = 0
    ranks: int = 1
    n_updates: int = 0
    criticised: int = 0
    skipped: int = 0
    skipped_in_a_row: int = 0

    @classmethod
    def of(cls, state: dict[str, Any]) -> "Progress":
        """That of a checkpoint's state."""
        return cls(**{f.name: state[f.name] for f in fields(cls) if f.name in state})


class CoachedPPO(PPO):
    """PPO whose `train` is written out here; `objective`, `share`, `lessons` and `progress` are set
    by who makes it.

    `metrics` is what the last update has to log; `culprit` are the world and the step that made it
    go wrong, where that is known.
    """

    policy: ActorCritic  # pyright: ignore[reportIncompatibleVariableOverride]
    objective: Objective
    share: Share
    progress: Progress
    lessons: Lessons | None = None
    metrics: dict[str, float] = {}
    culprit: tuple[int, int] | None = None

    def train(self) -> None:
        """One update: learns from the rollout that was collected.

        Of each minibatch is minimised, with r = p(action) / p_rollout(action), A the normalised
        advantage and R the return of generalised advantage estimation,

            vf (V - R)^2                                          the critic
            - ppo (min(r A, clip(r, 1 - c, 1 + c) A) + ent H)     the actor, of its own actions
            + divergence KL(p, p_start)
            - coach log p(what the coach would do)                of as many of his lessons

        as means over the samples of all ranks.
        """
        policy, objective, progress = self.policy, self.objective, self.progress
        optimizer = policy.optimizer
        policy.set_training_mode(True)
        rollout = self._rollout()
        done = 1.0 - self._current_progress_remaining

        # Who teaches the actor: the coach, at first alone; then rewards, once the critic has
        # learned what to expect (what it says at first would mislead).
        coach = objective.coach_at(done) if self.lessons is not None else 0.0
        if self.lessons is not None:
            self._keep_lessons(rollout)
        alone = coach > 0 and objective.alone_at(done)
        progress.criticised += objective.ppo > 0 and not alone
        rewarded = objective.ppo > 0 and not alone and progress.criticised > objective.warmup
        actor = optimizer.param_groups[0]
        if alone:
            span = objective.coach_alone if objective.ppo else 1.0
            actor["lr"] = objective.lr * (1.0 - (1.0 - objective.lr_end) * min(done / span, 1.0))

        advantages = normalised(rollout.pop("advantages"), rollout["driver"] == EXPLORES)
        size = len(advantages)
        total = size * self.share.total // self.share.count  # samples of all ranks
        clip = self.clip_range(1.0)  # pyright: ignore[reportCallIssue]
        kl, coach_losses = torch.zeros(2, device=self.device), []
        before = (
            [p.detach().clone() for p in policy.parameters()],
            copy.deepcopy(optimizer.state_dict()),
        )
        chance = np.random.default_rng([self.seed or 0, 57, progress.step])
        for _ in range(objective.epochs):
            shuffled = chance.permutation(total)
            for start in range(0, total, objective.batch):
                # A minibatch is of all ranks; sums below are over this rank's part of it.
                minibatch = shuffled[start : start + objective.batch]
                own = self._own(minibatch, size)
                obs = {k: rollout[k][own] for k in self.observation_space.spaces}  # pyright: ignore[reportAttributeAccessIssue]
                loss = torch.zeros(())

                # The critic: squared error of the return.
                if objective.ppo > 0:
                    values = policy.predict_values(obs)[:, 0]
                    loss = loss + self.vf_coef * (values - rollout["returns"][own]).square().sum()

                # The actor: the clipped surrogate and the entropy.
                if rewarded:
                    _, log_prob, entropy = policy.evaluate_actions(obs, rollout["actions"][own])
                    explores = (rollout["driver"][own, 0] == EXPLORES).float()
                    log_ratio = log_prob - rollout["log_probs"][own]
                    ratio, advantage = log_ratio.exp(), advantages[own]
                    clipped = ratio.clamp(1 - clip, 1 + clip)
                    surrogate = torch.minimum(advantage * ratio, advantage * clipped)
                    gain = (explores * (surrogate + self.ent_coef * entropy)).sum()
                    loss = loss - objective.ppo * gain
                    with torch.no_grad():
                        kl += torch.stack(
                            [(explores * divergence(log_ratio)).sum(), explores.sum()]
                        )

                    # Divergence from the policy that the run began with.
                    if objective.divergence > 0:
                        with torch.no_grad():
                            began = policy.density(obs, start=True)
                            log_began = began.log_prob(rollout["actions"][own])
                        away = (explores * divergence(log_began - log_prob)).sum()
                        loss = loss + objective.divergence * away

                # The coach: what he would have done, of frames drawn from all that are kept.
                if coach > 0:
                    lesson = self._lesson(chance, objective.batch)
                    count = len(lesson["label"])
                    imitation = policy.lesson(lesson).sum() if count else torch.zeros(())
                    loss = loss + coach * imitation * (len(minibatch) / objective.batch)
                    coach_losses.append(float(imitation.detach()) / max(count, 1))

                # The gradient: the mean over all ranks' samples, clipped for actor and critic
                # apart, since the critic's errors must not scale the actor's step.
                optimizer.zero_grad()
                if loss.requires_grad:
                    (loss / len(minibatch)).backward()
                dist.sum_gradients(policy.parameters())
                norms = [
                    torch.nn.utils.clip_grad_norm_(group["params"], self.max_grad_norm)
                    for group in optimizer.param_groups
                ]

                # The step, unless something is not finite: then all is as it was before the update.
                found = [float(x.detach()) for x in (loss, *norms)]  # not all lie on one device
                if dist.any_rank(not np.isfinite(found).all()):
                    self._restore(*before)
                    self.metrics, self.culprit = {"skipped": 1.0}, self._culprit(rollout, own)
                    return
                optimizer.step()

        # The actor's rate follows how far the update went.
        kl = dist.total(kl)
        mean_kl = float(kl[0] / kl[1].clamp(min=1))
        if rewarded:
            if mean_kl > 2.0 * objective.target_kl:
                actor["lr"] = max(actor["lr"] / 1.5, 1e-6)
            elif mean_kl < 0.5 * objective.target_kl:
                actor["lr"] = min(actor["lr"] * 1.5, objective.lr)
        self._n_updates += objective.epochs
        missed = (rollout["returns"] - rollout["values"]).var()
        self.metrics = {"coach_loss": float(np.mean(coach_losses))} if coach_losses else {}
        self.metrics |= {
            "kl": mean_kl,
            "lr": actor["lr"],
            "coach_weight": coach,
            "explained_variance": 1.0 - float(missed / rollout["returns"].var().clamp(min=1e-9)),
            "skipped": 0.0,
        }

    def _rollout(self) -> dict[str, torch.Tensor]:
        """The rollout as tensors (N * T, ...), one world after the other."""
        buffer: Any = self.rollout_buffer
        flat = {k: buffer.swap_and_flatten(v) for k, v in buffer.observations.items()}
        flat |= {
            k: buffer.swap_and_flatten(getattr(buffer, k))[:, 0]
            for k in ("values", "log_probs", "advantages", "returns")
        }
        flat["actions"] = buffer.swap_and_flatten(buffer.actions)
        return {
            k: torch.as_tensor(v, dtype=torch.float32, device=self.device) for k, v in flat.items()
        }

    def _own(self, minibatch: np.ndarray, size: int) -> torch.Tensor:
        """Of places among all ranks' samples, those of this rank, as places among its own
        (`size`).
        """
        own = minibatch - self.share.first * (size // self.share.count)
        return torch.from_numpy(own[(own >= 0) & (own < size)])

    def _keep_lessons(self, rollout: dict[str, torch.Tensor]) -> None:
        """Offers the rollout's frames to the store of lessons."""
        assert self.lessons is not None
        parts = [
            {k: rollout[k][i : i + 2048] for k in ("seen", "label")}
            for i in range(0, len(rollout["label"]), 2048)
        ]
        with torch.no_grad():
            loss = torch.cat([self.policy.lesson(part) for part in parts]).cpu().numpy()
        gap = rollout["state"][:, GAP : GAP + 2].min(1).values.cpu().numpy()
        losses = dist.gathered(loss)  # of all ranks
        hard = np.searchsorted(np.sort(losses), loss) / len(losses)
        weight = 1.0 + 2.0 * hard + 2.0 * np.clip(1.0 - gap / CAUTION_M, 0.0, 1.0)
        size, total = len(loss), len(loss) * self.share.total // self.share.count
        chance = np.random.default_rng([self.seed or 0, 53, self.progress.step])
        u = chance.random(total) * (1 - 2e-9) + 1e-9  # 0 and 1 have no logarithm to weigh by
        first = self.share.first * (size // self.share.count)
        seen, label = (rollout[k].cpu().numpy() for k in ("seen", "label"))
        self.lessons.add(seen, label, dist.gathered(weight), u, first)

    def _lesson(self, chance: np.random.Generator, batch: int) -> dict[str, torch.Tensor]:
        """A batch of lessons over all ranks: this rank's part of it."""
        assert self.lessons is not None
        drawn = chance.integers(0, len(self.lessons), batch)
        own = drawn[self.lessons.mine[drawn]]
        rows = {"seen": self.lessons.seen[own], "label": self.lessons.label[own]}
        return {k: torch.from_numpy(v).float().to(self.device) for k, v in rows.items()}

    def _culprit(
        self, rollout: dict[str, torch.Tensor], own: torch.Tensor
    ) -> tuple[int, int] | None:
        """World of this rank and step of the first of the samples `own` that makes a term of the
        loss infinite or NaN.
        """
        obs = {k: rollout[k][own] for k in self.observation_space.spaces}  # pyright: ignore[reportAttributeAccessIssue]
        with torch.no_grad():
            values, log_prob, entropy = self.policy.evaluate_actions(obs, rollout["actions"][own])
        missed = values[:, 0] - rollout["returns"][own]
        ratio = (log_prob - rollout["log_probs"][own]).exp()
        bad = ~torch.isfinite(torch.stack([missed.square(), ratio, entropy])).all(0)
        return divmod(int(own[bad][0]), self.n_steps) if bad.any() else None

    def _restore(self, parameters: list[torch.Tensor], optimizer: dict[str, Any]) -> None:
        """Puts back what was before an update that went wrong."""
        with torch.no_grad():
            for parameter, value in zip(self.policy.parameters(), parameters, strict=True):
                parameter.copy_(value)
        self.policy.optimizer.load_state_dict(optimizer)


def divergence(log_ratio: torch.Tensor) -> torch.Tensor:
    """(B,) estimates of KL(p, q) from log q - log p of samples of p: unbiased, of low variance, 0
    at least (Schulman 2020, "Approximating KL divergence").
    """
    return log_ratio.exp() - 1 - log_ratio


def normalised(advantages: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
    """Advantages (B,) less their mean and over their deviation, both over the samples of all ranks
    that `counts` (B, 1) marks.
    """
    a, m = advantages.double(), counts[:, 0].double()
    n, first, second = dist.total(torch.stack([m.sum(), (m * a).sum(), (m * a * a).sum()]))
    mean = first / n.clamp(min=1)
    deviation = (second / n.clamp(min=1) - mean.square()).clamp(min=0).sqrt()
    return ((a - mean) / (deviation + 1e-8)).float()
