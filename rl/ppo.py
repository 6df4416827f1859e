"""One update, on one page: Stable-Baselines3's PPO, buffers and vector environments, with a coach,
and equal on any number of ranks.

PPO: Schulman et al. 2017. A term that imitates a coach on the learner's own frames and fades out:
kickstarting (Schmitt et al. 2018); with PPO's weight 0 it is DAgger (Ross et al. 2011). A rate of
learning that follows the divergence of each update: rsl_rl.
"""

import copy
from dataclasses import dataclass
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


class CoachedPPO(PPO):
    """PPO whose `train` is written out here; `objective`, `share`, `lessons` and the counts are set
    by who makes it.

    `updates` are all, `criticised` those in which the actor could have learned from rewards;
    `culprit` are the world and the step that made the last one go wrong, where that is known.
    """

    policy: ActorCritic  # pyright: ignore[reportIncompatibleVariableOverride]
    objective: Objective
    share: Share
    lessons: Lessons | None = None
    updates = 0
    criticised = 0
    culprit: tuple[int, int] | None = None

    def train(self) -> None:
        """Learns from the rollout that was collected; what to log is in `told`."""
        told, policy, goal, optimizer = {}, self.policy, self.objective, self.policy.optimizer
        policy.set_training_mode(True)
        done = 1.0 - self._current_progress_remaining
        rows = self._rows()
        coach = goal.coach_at(done) if self.lessons is not None else 0.0
        if self.lessons is not None:
            self._keep_lessons(rows)
        alone = coach > 0 and goal.alone_at(done)
        self.criticised += goal.ppo > 0 and not alone
        warm = (
            alone or self.criticised <= goal.warmup
        )  # what the critic says at first would mislead the actor
        actor = optimizer.param_groups[0]
        if alone:
            span = goal.coach_alone if goal.ppo else 1.0
            actor["lr"] = goal.lr * (1.0 - (1.0 - goal.lr_end) * min(done / span, 1.0))
        normal = normalised(rows.pop("advantages"), rows["driver"] == EXPLORES)
        size, total = len(normal), len(normal) * self.share.total // self.share.count
        kl = torch.zeros(2, device=self.device)
        before = (
            [p.detach().clone() for p in policy.parameters()],
            copy.deepcopy(optimizer.state_dict()),
        )
        order = np.random.default_rng([self.seed or 0, 57, self.updates])
        for _ in range(goal.epochs):
            shuffled = order.permutation(total)
            for start in range(0, total, goal.batch):
                every = shuffled[
                    start : start + goal.batch
                ]  # of all ranks; sums below are over this rank's part of it
                part = self._mine(every, size)
                loss = torch.zeros(())
                obs = {k: rows[k][part] for k in self.observation_space.spaces}  # pyright: ignore[reportAttributeAccessIssue]
                if goal.ppo > 0:
                    values = policy.predict_values(obs)[:, 0]
                    loss = loss + self.vf_coef * (values - rows["returns"][part]).square().sum()
                if goal.ppo > 0 and not warm:
                    _, log_prob, entropy = policy.evaluate_actions(obs, rows["actions"][part])
                    explores = (rows["driver"][part, 0] == EXPLORES).float()
                    log_ratio = log_prob - rows["log_probs"][part]
                    ratio, gain = log_ratio.exp(), normal[part]
                    clip = self.clip_range(1.0)  # pyright: ignore[reportCallIssue]
                    surrogate = torch.minimum(gain * ratio, gain * ratio.clamp(1 - clip, 1 + clip))
                    loss = (
                        loss - goal.ppo * (explores * (surrogate + self.ent_coef * entropy)).sum()
                    )
                    with torch.no_grad():
                        kl += torch.stack(
                            [(explores * (ratio - 1 - log_ratio)).sum(), explores.sum()]
                        )
                    if (
                        goal.divergence > 0
                    ):  # the unbiased estimate of KL(now || start) with low variance
                        with torch.no_grad():
                            first = policy.density(obs, start=True).log_prob(rows["actions"][part])
                        loss = (
                            loss
                            + goal.divergence
                            * (explores * ((first - log_prob).exp() - 1 - (first - log_prob))).sum()
                        )
                if coach > 0:
                    lesson = self._lesson(order, goal.batch)
                    imitation = (
                        policy.lesson(lesson).sum() if len(lesson["label"]) else torch.zeros(())
                    )
                    loss = loss + coach * imitation * (len(every) / goal.batch)
                    told.setdefault("coach_loss", []).append(
                        float(imitation.detach()) / max(len(lesson["label"]), 1)
                    )
                optimizer.zero_grad()
                if loss.requires_grad:
                    (loss / len(every)).backward()
                dist.sum_gradients(policy.parameters())
                norms = [  # apart: the critic's errors must not scale the actor's step
                    torch.nn.utils.clip_grad_norm_(group["params"], self.max_grad_norm)
                    for group in optimizer.param_groups
                ]
                finite = np.isfinite(
                    [float(x.detach()) for x in (loss, *norms)]
                ).all()  # not all lie on one device
                if dist.any_rank(not finite):
                    self._restore(*before)
                    self.told, self.culprit = {"skipped": 1.0}, self._culprit(rows, part)
                    return
                optimizer.step()
        kl = dist.total(kl)
        divergence = float(kl[0] / kl[1].clamp(min=1))
        if goal.ppo > 0 and not warm:
            if divergence > 2.0 * goal.target_kl:
                actor["lr"] = max(actor["lr"] / 1.5, 1e-6)
            elif divergence < 0.5 * goal.target_kl:
                actor["lr"] = min(actor["lr"] * 1.5, goal.lr)
        self._n_updates += goal.epochs
        explained = 1.0 - float(
            (rows["returns"] - rows["values"]).var() / rows["returns"].var().clamp(min=1e-9)
        )
        self.told = {k: float(np.mean(v)) for k, v in told.items()} | {
            "kl": divergence,
            "lr": actor["lr"],
            "coach_weight": coach,
            "explained_variance": explained,
            "skipped": 0.0,
        }

    def _rows(self) -> dict[str, torch.Tensor]:
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

    def _mine(self, every: np.ndarray, size: int) -> torch.Tensor:
        """Of places among all ranks' samples, those of this rank, as places among its own
        (`size`).
        """
        own = every - self.share.first * (size // self.share.count)
        return torch.from_numpy(own[(own >= 0) & (own < size)])

    def _keep_lessons(self, rows: dict[str, torch.Tensor]) -> None:
        """Offers the rollout's frames to the store of lessons."""
        assert self.lessons is not None
        parts = [
            {k: rows[k][i : i + 2048] for k in ("seen", "label")}
            for i in range(0, len(rows["label"]), 2048)
        ]
        with torch.no_grad():
            loss = torch.cat([self.policy.lesson(part) for part in parts]).cpu().numpy()
        gap = rows["state"][:, GAP : GAP + 2].min(1).values.cpu().numpy()
        every = dist.gathered(loss)
        hard = np.searchsorted(np.sort(every), loss) / len(every)
        weight = 1.0 + 2.0 * hard + 2.0 * np.clip(1.0 - gap / CAUTION_M, 0.0, 1.0)
        size, total = len(loss), len(loss) * self.share.total // self.share.count
        u = (
            np.random.default_rng([self.seed or 0, 53, self.updates]).random(total) * (1 - 2e-9)
            + 1e-9
        )
        first = self.share.first * (size // self.share.count)
        seen, label = (rows[k].cpu().numpy() for k in ("seen", "label"))
        self.lessons.add(seen, label, dist.gathered(weight), u, first)

    def _lesson(self, order: np.random.Generator, batch: int) -> dict[str, torch.Tensor]:
        """A batch of lessons over all ranks: this rank's part of it."""
        assert self.lessons is not None
        drawn = order.integers(0, len(self.lessons), batch)
        own = drawn[self.lessons.mine[drawn]]
        rows = {"seen": self.lessons.seen[own], "label": self.lessons.label[own]}
        return {k: torch.from_numpy(v).float().to(self.device) for k, v in rows.items()}

    def _culprit(self, rows: dict[str, torch.Tensor], part: torch.Tensor) -> tuple[int, int] | None:
        """World of this rank and step of the first of the samples `part` that makes a term of the
        loss infinite or NaN.
        """
        obs = {k: rows[k][part] for k in self.observation_space.spaces}  # pyright: ignore[reportAttributeAccessIssue]
        with torch.no_grad():
            values, log_prob, entropy = self.policy.evaluate_actions(obs, rows["actions"][part])
        missed, ratio = (
            values[:, 0] - rows["returns"][part],
            (log_prob - rows["log_probs"][part]).exp(),
        )
        bad = ~torch.isfinite(torch.stack([missed.square(), ratio, entropy])).all(0)
        return divmod(int(part[bad][0]), self.n_steps) if bad.any() else None

    def _restore(self, parameters: list[torch.Tensor], optimizer: dict[str, Any]) -> None:
        """Puts back what was before an update that went wrong."""
        with torch.no_grad():
            for parameter, value in zip(self.policy.parameters(), parameters, strict=True):
                parameter.copy_(value)
        self.policy.optimizer.load_state_dict(optimizer)


def normalised(advantages: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
    """Advantages (B,) less their mean and over their deviation, both over the samples of all ranks
    that `counts` (B, 1) marks.
    """
    a, m = advantages.double(), counts[:, 0].double()
    n, first, second = dist.total(torch.stack([m.sum(), (m * a).sum(), (m * a * a).sum()]))
    mean = first / n.clamp(min=1)
    deviation = (second / n.clamp(min=1) - mean.square()).clamp(min=0).sqrt()
    return ((a - mean) / (deviation + 1e-8)).float()
