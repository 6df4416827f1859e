"""The frozen prefix as a vector-environment wrapper: images go in, the policy's frozen context comes out.

Everything before the adapters (encoder, token projections, self-attention) is frozen in fine-tuning, so it runs once per frame and
its result, not the image, is what PPO stores. SB3's maintainers advise the same for frozen feature extractors.
"""

from typing import Any

import gymnasium as gym
import numpy as np
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper

from s2e.acting import Actor


class FrozenPrefix(VecEnvWrapper):
    """Replaces observations by context tokens, a Box of shape (L, d), float32."""

    def __init__(self, venv: VecEnv, actor: Actor):
        policy = actor.policy
        shape = (policy.context_tokens, policy.config.dim)
        super().__init__(venv, gym.spaces.Box(-np.inf, np.inf, shape, np.float32))
        self.actor = actor

    def reset(self) -> np.ndarray:
        """The context of every world's first observation."""
        self.actor.begin(np.arange(self.num_envs))
        return self._observe(self.venv.reset())

    def step_wait(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[dict[str, Any]]]:
        """Steps the worlds; `terminal_observation` is kept for time-outs only, where PPO asks for its value."""
        seen, reward, done, infos = self.venv.step_wait()
        assert isinstance(seen, dict)
        ended = np.flatnonzero(done)
        timed_out = np.array([w for w in ended if infos[w]["TimeLimit.truncated"]], dtype=np.int64)
        if len(timed_out):
            final = {k: np.stack([infos[w]["terminal_observation"][k] for w in timed_out]) for k in seen}
            for w, context in zip(timed_out, self.actor.peek(**final, worlds=timed_out).cpu().numpy(), strict=True):
                infos[w]["terminal_observation"] = context
        self.actor.begin(ended)
        return self._observe(seen), reward, done, infos

    def _observe(self, seen: Any) -> np.ndarray:
        return self.actor.observe(seen["rgb"], seen["goal"], seen["ego"], seen["robot"]).cpu().numpy()
