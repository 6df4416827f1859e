"""What a learner sees of the worlds, as vector-environment wrappers: rays, or the policy's frozen
context instead of images.

Everything before the part that trains (encoder, and but for `--adapter full` the self-attention
too) is frozen in fine-tuning, so it runs once per frame and its result, not the image, is what PPO
stores. SB3's maintainers advise the same for frozen extractors. Beside it each observation has
`state`, the simulator's truth for the critic alone, and where a coach looks on, what he would do.
"""

from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from stable_baselines3.common.vec_env import VecEnvWrapper

from s2e.core.observation import ODOMETRY, ego_state, goal_token, robot_token, to_robot
from s2e.core.state import part, prefixed
from s2e.envs.free_space import cast_rays
from s2e.envs.rays import RayConfig, RaySense, to_waypoint
from s2e.envs.robots.collision import static_gaps
from s2e.envs.sb3 import UrbanVecEnv
from s2e.envs.worlds import Worlds
from s2e.policy.agent import Agent, Inputs, forward
from s2e.policy.mixture import Modes
from s2e.policy.network import S2EPolicy
from s2e.rl.coach import LABEL, Coach

AROUND, STATE_REACH_M = 36, 8.0
"""Rays all around in the critic's state, and how far they go."""
DIRECTIONS, PROBE_M = 8, 0.6
"""Places around the robot whose way to the goal the critic is told, and how far off they are."""
EXPLORES, GREEDY, COACHED = 0.0, 1.0, 2.0
"""Who drives a world; see `s2e.rl.policy.ActorCritic`."""
STATE = 2 * AROUND + 1 + DIRECTIONS + 2 + 12


def critic_state(worlds: Worlds, indices: np.ndarray) -> np.ndarray:
    """(V, STATE) float32 of what the simulator knows about some worlds: rays all around, rooms, the
    way to the goal.
    """
    w, poses = worlds, worlds.pose[indices]
    angles = np.tile(np.linspace(-np.pi, np.pi, AROUND, endpoint=False), (len(indices), 1))
    cast = cast_rays(w, indices, angles, STATE_REACH_M)
    every = np.zeros((w.count, 2))
    straight = np.linalg.norm(w.goal - w.pose[:, :2], axis=1)
    here = w.to_go()
    here = np.where(np.isfinite(here), here, straight)
    slopes = []
    for k in range(DIRECTIONS):
        bearing = w.pose[:, 2] + 2 * np.pi * k / DIRECTIONS
        every[:] = w.pose[:, :2] + PROBE_M * np.stack([np.cos(bearing), np.sin(bearing)], 1)
        there = w.ways.at(every) if w.ways else np.linalg.norm(w.goal - every, axis=1)
        slopes.append(np.where(np.isfinite(there), (there - here) / PROBE_M, 2.0)[indices])
    gaps = static_gaps(w.fleet, w.pose, w.fields, w.field_id)[indices], w.person_gap()[indices]
    parts = [
        np.log(np.maximum(cast.wall, 0.05)),
        np.log(np.maximum(cast.person, 0.05)),
        np.minimum(here, 30.0)[indices, None] / 10.0,
        np.clip(np.stack(slopes, 1), -2.0, 2.0),
        np.clip(np.stack(gaps, 1), -0.5, 2.0),
        goal_token(to_robot(w.goal[indices], poses), w.config.goal_clip_m),
        ego_state(w.velocity[indices, 0], w.velocity[indices, 1]),
        robot_token(w.fleet.about()[indices]),
    ]
    return np.concatenate(parts, 1).astype(np.float32)


@dataclass(frozen=True)
class Share:
    """This rank's part of all worlds: `count` from `first` on, of `total`.

    What is drawn by chance is drawn for all of them, so that many ranks do what one would.
    """

    first: int
    count: int
    total: int

    def of(self, drawn: np.ndarray) -> np.ndarray:
        """The rows of this rank."""
        return drawn[self.first : self.first + self.count]


class Sense(VecEnvWrapper):
    """Dictionaries of `state`, the coach's `label` (NaN without one), `driver`, `chance`, and what
    a subclass's `look` gives.

    Args:
        venv: the worlds' door. spaces: of what `look` gives. coach: labels every observation.
            share: which worlds these are.
        seed: of chance.
    """

    def __init__(
        self,
        venv: UrbanVecEnv,
        spaces: dict[str, gym.Space],
        coach: Coach | None,
        share: Share,
        seed: int,
    ):
        self.worlds, self.coach, self.share = venv.worlds, coach, share
        self.chance_seed, self.tick = seed, 0
        self.driver = np.full(share.count, EXPLORES, np.float32)
        more = {"state": _box(STATE), "label": _box(LABEL), "driver": _box(1), "chance": _box(4)}
        super().__init__(venv, gym.spaces.Dict({**spaces, **more}))
        self.worlds.finals = {"state": lambda done: critic_state(self.worlds, done)}

    def drivers(self, greedy: float, coached: float) -> None:
        """Who drives from now on: shares of all worlds, the last of them greedy, the first the
        coach's.
        """
        every = np.full(self.share.total, EXPLORES, np.float32)
        every[len(every) - round(greedy * len(every)) :] = GREEDY
        every[: round(coached * len(every))] = COACHED
        self.driver = self.share.of(every)

    def look(self, seen: dict[str, np.ndarray], rng: np.random.Generator) -> dict[str, np.ndarray]:
        """What the policy sees; `rng` is the same on all ranks."""
        raise AssertionError("a subclass says what is seen")

    def begin(self, worlds: np.ndarray) -> None:
        """Worlds begin an episode."""
        if self.coach:
            self.coach.begin(worlds)

    def reset(self) -> dict[str, np.ndarray]:
        """The first observation of every world."""
        seen = self.venv.reset()
        self.begin(np.arange(self.num_envs))
        return self._observe(seen)

    def step_wait(
        self,
    ) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray, list[dict[str, Any]]]:
        """Steps the worlds. `terminal_observation` has the critic's state; the rest of it, which
        nobody asks for, is zeros.
        """
        seen, reward, done, infos = self.venv.step_wait()
        for row, world in enumerate(self.worlds.last["world"]):
            spaces: Any = self.observation_space
            final = {k: np.zeros(s.shape, np.float32) for k, s in spaces.spaces.items()}
            final["state"] = self.worlds.last["final_state"][row]
            infos[world]["terminal_observation"] = final
        self.begin(np.flatnonzero(done))
        return self._observe(seen), reward, done, infos

    def _observe(self, seen: Any) -> dict[str, np.ndarray]:
        count, rng = self.share.count, np.random.default_rng([self.chance_seed, 51, self.tick])
        self.tick += 1
        chance = np.concatenate(
            [rng.random((self.share.total, 2)), rng.normal(size=(self.share.total, 2))], 1
        )[:, [0, 2, 3, 1]]
        label = self.coach.label() if self.coach else np.full((count, LABEL), np.nan, np.float32)
        about = {
            "state": critic_state(self.worlds, np.arange(count)),
            "label": label,
            "driver": self.driver[:, None],
        }
        return self.look(seen, rng) | about | {"chance": self.share.of(chance).astype(np.float32)}

    def arrays(self) -> dict[str, np.ndarray]:
        """Everything that `restore` needs."""
        coach = prefixed("coach", self.coach.arrays()) if self.coach else {}
        return coach | {"tick": np.array([self.tick]), "driver": self.driver.copy()}

    def restore(self, arrays: dict[str, np.ndarray]) -> None:
        """Puts back what `arrays` took."""
        self.tick, self.driver = int(arrays["tick"][0]), arrays["driver"].copy()
        if self.coach:
            self.coach.restore(part("coach", arrays))


class SenseRays(Sense):
    """Rays (`envs/rays.py`), and actions that stand for waypoints."""

    def __init__(self, venv: UrbanVecEnv, config: RayConfig, share: Share, seed: int):
        super().__init__(venv, {"rays": _box(config.width)}, None, share, seed)
        self.sense = RaySense(self.worlds, config)
        self.action_space = gym.spaces.Box(-1.0, 1.0, (2,), np.float32)

    def begin(self, worlds: np.ndarray) -> None:
        """See `Sense.begin`."""
        super().begin(worlds)
        self.sense.begin(worlds)

    def look(self, seen: dict[str, np.ndarray], rng: np.random.Generator) -> dict[str, np.ndarray]:
        """See `Sense.look`."""
        return {"rays": self.sense.observe()}

    def step_async(self, actions: np.ndarray) -> None:
        """Actions (N, 2) of -1 to 1."""
        self.venv.step_async(to_waypoint(actions, self.worlds.fleet.limits[:, 0]))

    def arrays(self) -> dict[str, np.ndarray]:
        """See `Sense.arrays`."""
        return super().arrays() | prefixed("rays", self.sense.arrays())

    def restore(self, arrays: dict[str, np.ndarray]) -> None:
        """See `Sense.restore`."""
        super().restore(arrays)
        self.sense.restore(part("rays", arrays))


class SenseImages(Sense):
    """What a policy that sees images gets of them before the part that trains: `seen`, one row of
    numbers (see `Prefix`).

    Args:
        prefix: the frozen part. hide_ego: share of frames in which the robot's own motion is
            hidden; the rest as in `Sense`.
    """

    def __init__(
        self,
        venv: UrbanVecEnv,
        prefix: "Prefix",
        hide_ego: float,
        coach: Coach | None,
        share: Share,
        seed: int,
    ):
        super().__init__(venv, {"seen": _box(prefix.width)}, coach, share, seed)
        self.prefix, self.hide_ego = prefix, hide_ego

    def begin(self, worlds: np.ndarray) -> None:
        """See `Sense.begin`."""
        super().begin(worlds)
        self.prefix.agent.reset(worlds)

    def look(self, seen: dict[str, np.ndarray], rng: np.random.Generator) -> dict[str, np.ndarray]:
        """See `Sense.look`."""
        hidden = self.share.of(rng.random(self.share.total)) < self.hide_ego
        return {"seen": self.prefix(seen, hidden & (self.driver != GREEDY))}

    def step_async(self, actions: np.ndarray) -> None:
        """Actions (N, 2): waypoints in metres."""
        self.prefix.agent.commanded(actions)
        self.venv.step_async(actions)

    def arrays(self) -> dict[str, np.ndarray]:
        """See `Sense.arrays`."""
        return super().arrays() | self.prefix.agent.arrays()

    def restore(self, arrays: dict[str, np.ndarray]) -> None:
        """See `Sense.restore`."""
        super().restore(arrays)
        self.prefix.agent.restore(arrays)


class Prefix:
    """Images to the rows that are stored: context tokens, or with `whole` what comes before them,
    if the self-attention trains too.

    Behind either stands the odometry, whether the policy knows what to do with it or not.
    """

    def __init__(self, agent: Agent, whole: bool):
        policy = agent.policy
        self.agent, self.whole = agent, whole
        self.shape = policy.context_tokens, policy.config.dim
        (tokens, channels), older = policy.newest_shape, policy.older_shape
        self.sizes = [tokens * channels, int(np.prod(older)), 3, 3, 6, 1]
        self.sizes = self.sizes if whole else [int(np.prod(self.shape))]
        self.width = sum(self.sizes) + ODOMETRY

    def __call__(self, seen: dict[str, np.ndarray], hide_ego: np.ndarray) -> np.ndarray:
        """(N, width) float32 of all worlds' newest frames; remembers them."""
        agent, about = self.agent, (seen["goal"], seen["ego"], seen["robot"])
        if not self.whole:
            context, odometry = agent.see(seen["rgb"], *about, hide_ego=hide_ego)
            return self._rows(len(hide_ego), context, odometry)
        features, older = agent.remember(seen["rgb"])
        context = None
        if agent.policy.remembers:
            context = agent.attend(features, older, *about, hide_ego=hide_ego)
        odometry = agent.moved(context, seen["ego"], seen["robot"], hide_ego=hide_ego)
        newest = agent.policy.newest_tokens(torch.from_numpy(features).to(agent.device))
        return self._rows(len(hide_ego), newest.cpu().numpy(), older, *about, hide_ego, odometry)

    @staticmethod
    def _rows(count: int, *parts: np.ndarray) -> np.ndarray:
        return np.concatenate([np.asarray(p, np.float32).reshape(count, -1) for p in parts], 1)

    def modes(self, policy: S2EPolicy, rows: torch.Tensor) -> Modes:
        """Rows (B, width) to what the policy says."""
        *parts, odometry = rows.split([*self.sizes, ODOMETRY], 1)
        if not self.whole:
            return forward(policy, parts[0].unflatten(1, self.shape), odometry)[1]
        newest, older, *about, hidden = parts
        newest = newest.unflatten(1, policy.newest_shape)
        older = older.unflatten(1, policy.older_shape)
        inputs = Inputs(newest, older, *about, hide_ego=hidden[:, 0] > 0.5)
        return forward(policy, inputs, odometry)[1]


def _box(size: int) -> gym.spaces.Box:
    return gym.spaces.Box(-np.inf, np.inf, (size,), np.float32)
