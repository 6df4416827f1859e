"""The Stable-Baselines3 door: the same batched worlds as an SB3 `VecEnv`."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from stable_baselines3.common.vec_env import VecEnv

from s2e.envs.vector import action_space, observation_space
from s2e.envs.worlds import Worlds


class UrbanVecEnv(VecEnv):
    """`Worlds` for SB3: resets in the same step, `terminal_observation`, `TimeLimit.truncated` and
    `episode` in the infos.
    """

    def __init__(self, worlds: Worlds):
        self.worlds = worlds
        super().__init__(worlds.count, observation_space(worlds.config), action_space())
        self._actions = np.zeros((worlds.count, 2))

    def reset(self):
        """Begins an episode in every world; a seed given before fixes all that follows."""
        if self._seeds[0] is not None:
            self.worlds.source.reseed(self._seeds[0])  # pyright: ignore[reportAttributeAccessIssue]
        self._reset_seeds()
        return self.worlds.reset()

    def step_async(self, actions: np.ndarray) -> None:
        """Keeps the actions for `step_wait`."""
        self._actions = actions

    def step_wait(self):
        """Steps all worlds."""
        seen, reward, terminated, truncated = self.worlds.step(self._actions)
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        last, controls = self.worlds.last, self.worlds.config.controls_per_step
        for row, world in enumerate(last["world"]):
            length = -(-int(last["steps"][row]) // controls)
            infos[world] = {
                "terminal_observation": {k: last[f"final_{k}"][row] for k in seen},
                "TimeLimit.truncated": bool(truncated[world]),
                "episode": {
                    "r": float(last["return"][row]),
                    "l": length,
                    "t": float(last["time_s"][row]),
                },
                "is_success": bool(last["success"][row]),
            }
        return seen, reward.astype(np.float32), terminated | truncated, infos

    def close(self) -> None:
        """Stops building scenes."""
        self.worlds.close()

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """An attribute of the batch, once for each world asked for."""
        return [getattr(self, attr_name, None)] * len(list(self._get_indices(indices)))

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Sets an attribute of the batch."""
        setattr(self, attr_name, value)

    def env_method(
        self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any
    ) -> list[Any]:
        """Calls a method of the batch, once."""
        return [getattr(self, method_name)(*args, **kwargs)]

    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
        """Worlds are never wrapped one by one."""
        return [False] * len(list(self._get_indices(indices)))

    def get_images(self) -> Sequence[np.ndarray | None]:
        """What the robots see now."""
        return list(self.worlds.observe(np.arange(self.num_envs))["rgb"])
