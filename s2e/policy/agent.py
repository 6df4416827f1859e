"""The agent: frames, goal, ego and robot in, trajectories with their scores out, for N robots at
once.

Everything that runs a policy does it here. `Agent` owns the frozen encoder, the policy, the history
of frames and the odometry: `agent.act(observation)`. Who needs gradients, or keeps tokens of its
own, calls what lies under it: `encode` (frames to tokens) and `forward` (tokens to context and
modes; `attend` is its first half).
"""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch

from s2e.core.observation import Odometry
from s2e.core.state import part, prefixed
from s2e.policy.checkpoint import load_networks
from s2e.policy.encoder import FrozenEncoder, VisualNet
from s2e.policy.mixture import Modes
from s2e.policy.network import S2EPolicy
from s2e.policy.recovery import Recovery


@dataclass(frozen=True)
class Inputs:
    """What a policy is asked with, a row for each robot.

    Attributes:
        newest: (B, rows, columns, C) features of the newest frame, or the tokens (B, n, w) that
            `S2EPolicy.newest_tokens` makes of them.
        older: (B, history - 1, C) what older frames keep, oldest first.
        goal, ego, robot: (B, 3), (B, 3), (B, 6), as in `s2e.core.observation`.
        hide_goal, hide_ego: (B,) bool, which the policy is not to see; none where None.
    """

    newest: torch.Tensor
    older: torch.Tensor
    goal: torch.Tensor
    ego: torch.Tensor
    robot: torch.Tensor
    hide_goal: torch.Tensor | None = None
    hide_ego: torch.Tensor | None = None


def encode(
    net: torch.nn.Module, images: torch.Tensor, frames: int, history: int, rounded: bool = False
) -> tuple[torch.Tensor, torch.Tensor]:
    """Frames to tokens, with gradients: features of the newest ones (B, rows, columns, C) and what
    older ones keep (B, history - 1, C).

    Args:
        net: a `VisualNet`. images: (B * frames, H, W, 3) uint8.
        frames: of each sample, oldest first; a single one is its own history.
        history: frames that the policy sees. rounded: to float16, as a frozen encoder gives them.
    """

    def kept(values: torch.Tensor) -> torch.Tensor:
        return values.half().float() if rounded else values

    features = kept(net(images))
    features = features.reshape(-1, frames, *features.shape[1:])
    before = features[:, :-1] if frames > 1 else features.expand(-1, history - 1, -1, -1, -1)
    return features[:, -1], kept(before.mean((2, 3)))


def attend(policy: S2EPolicy, inputs: Inputs) -> torch.Tensor:
    """Context tokens (B, L, d): all that is seen, by self-attention; what fine-tuning leaves
    alone.
    """
    newest = inputs.newest
    return policy.context(
        policy.newest_tokens(newest) if newest.ndim == 4 else newest,
        inputs.older,
        inputs.goal,
        inputs.ego,
        inputs.robot,
        inputs.hide_goal,
        inputs.hide_ego,
    )


def forward(
    policy: S2EPolicy, seen: Inputs | torch.Tensor, odometry: torch.Tensor | None = None
) -> tuple[torch.Tensor, Modes]:
    """Context tokens (B, L, d) and what the policy says.

    Args:
        seen: what it sees, or the context already. odometry: (B, ODOMETRY), for policies that know
            it; None is not known.
    """
    context = attend(policy, seen) if isinstance(seen, Inputs) else seen
    return context, policy.decode(context, odometry)


@dataclass(frozen=True)
class Candidates:
    """Where V robots could go, by anchor.

    Attributes:
        trajectories: (V, M, T, 2) metres in each robot's frame. speed: (V, M) m/s along them.
        log_scores: (V, M), of which the highest is followed. scores: (V, M) the policy's
            probabilities.
    """

    trajectories: np.ndarray
    speed: np.ndarray
    log_scores: np.ndarray
    scores: np.ndarray

    def best(self) -> np.ndarray:
        """(V, T, 2) the trajectories of the highest score."""
        return self.trajectories[np.arange(len(self.log_scores)), self.log_scores.argmax(-1)]


class Advisor(Protocol):
    """Who has a say in what an agent chooses."""

    def begin(self, worlds: np.ndarray) -> None:
        """Some worlds (V,) begin an episode."""
        ...

    def goals(self, goal: np.ndarray, worlds: np.ndarray) -> np.ndarray:
        """The goals (V, 3) that the policy of robots in some worlds (V,) is told, before it is
        asked; `goal` itself where they are its own.
        """
        ...

    def __call__(
        self, rgb: np.ndarray, candidates: Candidates, worlds: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Other log-scores (V, M), and factors on the speed (V,), of what robots in some worlds
        (V,) see (V, H, W, 3) and could do.
        """
        ...


def in_chunks(
    function: Callable[..., tuple[np.ndarray, ...]], size: int, *arrays: np.ndarray
) -> tuple[np.ndarray, ...]:
    """Calls a batched function on pieces of exactly `size` rows (the last is filled up) and joins
    the answers, cut to fit; 0 is all rows at once.

    What a row gives then does not depend on how many rows there are: matrix kernels round
    differently for different shapes.
    """
    if not size or not len(arrays[0]):
        return function(*arrays)
    parts = []
    for start in range(0, len(arrays[0]), size):
        rows = [a[start : start + size] for a in arrays]
        filled = [np.concatenate([r, np.repeat(r[-1:], size - len(r), 0)]) for r in rows]
        parts.append([answer[: len(rows[0])] for answer in function(*filled)])
    return tuple(map(np.concatenate, zip(*parts, strict=True)))


class Agent:
    """A policy that drives N robots, with its memory of what they saw; each image is encoded once.

    `act` is all that driving needs. Its steps `see` (observations to the frozen context) and
    `decide` (context to candidates) are there for who keeps what lies between.

    Args:
        policy: in eval mode. net: its encoder. worlds: N. device: torch device.
        chunk: rows that the networks see at once, whatever the number of worlds; 0 is all of them.
        recovery: robots that are told to drive and stand get out of there; see
            `s2e.policy.recovery`.
        advisor: has a say in what is chosen.
    """

    def __init__(
        self,
        policy: S2EPolicy,
        net: VisualNet,
        worlds: int = 1,
        device: str = "cpu",
        chunk: int = 0,
        recovery: bool = False,
        advisor: Advisor | None = None,
    ):
        self.policy, self.config = policy.to(device), policy.config
        self.encoder = FrozenEncoder(net, policy.config, device)
        self.count, self.device, self.chunk, self.advisor = worlds, device, chunk, advisor
        steps, channels = policy.older_shape
        # What older frames keep, newest last, before the newest frame itself.
        self.older = np.zeros((worlds, steps, channels), np.float16)
        self.fresh = np.ones(worlds, dtype=bool)
        self.odometry = Odometry(worlds, policy.config.frame_spacing_s)
        self.recovery = Recovery(worlds) if recovery else None
        self.candidates: Candidates | None = None
        """What the last action was chosen from."""

    @classmethod
    def load(cls, path: str | Path, worlds: int = 1, device: str = "cpu", **more) -> "Agent":
        """The agent of a run, a checkpoint, a shipped policy or one of the hub; `more` as above.

        Raises:
            UserError: see `load_networks`.
        """
        return cls(*load_networks(path), worlds, device, **more)

    def reset(self, worlds: np.ndarray) -> None:
        """Forgets the history of worlds that begin an episode."""
        self.fresh[worlds] = True
        self.odometry.begin(worlds)
        if self.recovery:
            self.recovery.begin(worlds)
        if self.advisor:
            self.advisor.begin(worlds)

    def act(
        self, observation: dict[str, np.ndarray], worlds: np.ndarray | None = None
    ) -> np.ndarray:
        """Where robots should be in a second, by the best-scored trajectory: (N, 2) metres ahead
        and left.

        Args:
            observation: `rgb` (N, H, W, 3) uint8, `goal` (N, 3), `ego` (N, 3), `robot` (N, 6).
            worlds: (V,) which of them drive; all where None. Others are not looked at and stand.
        """
        which = np.arange(self.count) if worlds is None else worlds
        rgb, goal, ego, robot = (observation[k][which] for k in ("rgb", "goal", "ego", "robot"))
        if self.advisor:
            goal = self.advisor.goals(goal, which)
        candidates = self.decide(*self.see(rgb, goal, ego, robot, which))
        slower = np.ones(len(which))
        if self.advisor:
            scores, slower = self.advisor(rgb, candidates, which)
            candidates = dataclasses.replace(candidates, log_scores=scores)
        self.candidates = candidates
        waypoints = candidates.best()[:, self.config.action_waypoint] * slower[:, None]
        if self.recovery:
            here, step_s = self.odometry.trail[which, 0], self.config.frame_spacing_s
            waypoints = self.recovery.relieve(waypoints, here, ego, step_s, which)
        self.commanded(waypoints, which)
        everybody = np.zeros((self.count, 2))
        everybody[which] = waypoints
        return everybody

    def see(
        self,
        rgb: np.ndarray,
        goal: np.ndarray,
        ego: np.ndarray,
        robot: np.ndarray,
        worlds: np.ndarray | None = None,
        hide_ego: np.ndarray | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """What `decide` asks of some worlds' newest observation, once a step: context (V, L, d) and
        odometry (V, ODOMETRY).

        Remembers the frame, and what is seen in it.

        Args:
            rgb: (V, H, W, 3) uint8. goal: (V, 3). ego: (V, 3). robot: (V, 6). worlds: (V,) which
                worlds; all where None.
            hide_ego: (V,) bool, in which the robot's own motion is hidden; in none where None.
        """
        features, older = self.remember(rgb, worlds)
        context = self.attend(features, older, goal, ego, robot, hide_ego=hide_ego)
        return context, self.moved(context, ego, robot, worlds, hide_ego)

    def encode(self, rgb: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Features (V, rows, columns, C) of frames (V, H, W, 3) uint8 and what is kept of them when
        they are older (V, C), float16.
        """
        return in_chunks(self.encoder, self.chunk, rgb)  # pyright: ignore[reportReturnType]

    def remember(
        self, rgb: np.ndarray, worlds: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Features (V, rows, columns, C) of some worlds' newest frames and what is kept of the
        older ones (V, history - 1, C), float16.

        The newest frame will be among the older ones of the next call.
        """
        worlds = np.arange(self.count) if worlds is None else worlds
        features, pooled = self.encode(rgb)
        new = self.fresh[worlds]
        # an episode begins as if the robot had stood there
        self.older[worlds[new]] = pooled[new, None]
        before = self.older[worlds]
        self.older[worlds] = np.concatenate([before[:, 1:], pooled[:, None]], 1)
        self.fresh[worlds] = False
        return features, before

    def attend(
        self,
        features: np.ndarray,
        older: np.ndarray,
        goal: np.ndarray,
        ego: np.ndarray,
        robot: np.ndarray,
        hide_goal: np.ndarray | None = None,
        hide_ego: np.ndarray | None = None,
    ) -> np.ndarray:
        """Context (V, L, d) of features (V, rows, columns, C) and older tokens (V, history - 1, C),
        both float16; the rest as in `Inputs`.
        """
        hidden = [np.zeros(len(goal), bool) if h is None else h for h in (hide_goal, hide_ego)]

        @torch.no_grad()
        def context(*rows: np.ndarray) -> tuple[np.ndarray]:
            *seen, no_goal, no_ego = map(self._tensor, rows)
            inputs = Inputs(*seen, hide_goal=no_goal > 0.5, hide_ego=no_ego > 0.5)
            return (attend(self.policy, inputs).cpu().numpy(),)

        return in_chunks(context, self.chunk, features, older, goal, ego, robot, *hidden)[0]

    def decide(self, context: np.ndarray, odometry: np.ndarray) -> Candidates:
        """What could be done, of what `see` gives."""

        @torch.no_grad()
        def answers(*rows: np.ndarray) -> tuple[np.ndarray, ...]:
            _, modes = forward(self.policy, *map(self._tensor, rows))
            metric, scores = modes.metric(self.config.waypoint_dt_s), modes.logits.softmax(-1)
            fields = metric, modes.speed, modes.logits.log_softmax(-1), scores
            return tuple(field.cpu().numpy() for field in fields)

        return Candidates(*in_chunks(answers, self.chunk, context, odometry))

    def moved(
        self,
        context: np.ndarray | None,
        ego: np.ndarray,
        robot: np.ndarray,
        worlds: np.ndarray | None = None,
        hide_ego: np.ndarray | None = None,
    ) -> np.ndarray:
        """The odometry alone (V, ODOMETRY).

        `context` (V, L, d) is what is seen; None where the policy does not remember it. The rest is
        as in `see`.
        """
        worlds = np.arange(self.count) if worlds is None else worlds
        token = self.odometry.token(ego, worlds)
        if self.policy.remembers and context is not None and len(worlds):
            self.odometry.saw(self.free_m(context), robot, worlds)
        if hide_ego is not None:
            token[hide_ego] = 0.0
        return token

    def free_m(self, context: np.ndarray) -> np.ndarray:
        """(V, RAYS) metres of free space, as the policy sees it in context (V, L, d)."""

        @torch.no_grad()
        def metres(rows: np.ndarray) -> tuple[np.ndarray]:
            return (self.policy.free_space(self._tensor(rows)).exp().cpu().numpy(),)

        return in_chunks(metres, self.chunk, context)[0]

    def commanded(self, waypoints: np.ndarray, worlds: np.ndarray | None = None) -> None:
        """Where some worlds' robots (V, 2) are told to be in a second: part of the next step's
        odometry.
        """
        self.odometry.command[slice(None) if worlds is None else worlds] = waypoints

    def arrays(self) -> dict[str, np.ndarray]:
        """What it remembers, for `restore`; copies."""
        kept = {"older": self.older.copy(), "fresh": self.fresh.copy()}
        return kept | prefixed("odometry", self.odometry.arrays())

    def restore(self, arrays: dict[str, np.ndarray]) -> None:
        """Puts back what `arrays` took; other names are left alone."""
        self.older, self.fresh = arrays["older"].copy(), arrays["fresh"].copy()
        self.odometry.restore(part("odometry", arrays))

    def _tensor(self, array: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self.device).float()
