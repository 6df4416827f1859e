"""The Gymnasium doors: `gymnasium.make_vec("s2e/Urban-v0", num_envs=N)` and the single-world `gymnasium.make`."""

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode

from s2e.envs.episodes import RandomEpisodes
from s2e.envs.record import training_scenes
from s2e.envs.worlds import Worlds, WorldsConfig

ACTION_LIMIT_M = 3.0


def observation_space(config: WorldsConfig) -> gym.spaces.Dict:
    """What one world shows: the newest image, the goal, the robot's own motion."""
    bound = np.array([10.0, 10.0, 2.0], dtype=np.float32)
    low, high = np.array([0, -1, -1], dtype=np.float32), np.ones(3, dtype=np.float32)
    return gym.spaces.Dict(
        rgb=gym.spaces.Box(0, 255, (config.height_px, config.width_px, 3), np.uint8),
        goal=gym.spaces.Box(low, high, dtype=np.float32),
        ego=gym.spaces.Box(-bound, bound, dtype=np.float32),
    )


def action_space() -> gym.spaces.Box:
    """A waypoint: metres forward and left, to be reached in a second."""
    return gym.spaces.Box(-ACTION_LIMIT_M, ACTION_LIMIT_M, (2,), np.float32)


def make_worlds(count: int, scenes: int, seed: int, config: WorldsConfig, first: int = 0) -> Worlds:
    """Training worlds: `count` of them in a pool of `scenes` streets; `first` offsets their seeds (ranks)."""
    pool = training_scenes(scenes, seed)
    return Worlds(pool, config, count, RandomEpisodes(pool, count, seed + 1_000_003 * first, config.people))


class UrbanVectorEnv(gym.vector.VectorEnv):
    """N worlds in one `step`.

    Autoreset is SAME_STEP: a finished world returns its next episode's first observation, and `info["final_obs"]` has the one
    that ended it.

    Args:
        num_envs: N. scenes: streets in the pool. robot: jackal or coco. people: most in a world. seed: of the streets.
    """

    metadata = {"autoreset_mode": AutoresetMode.SAME_STEP, "render_modes": ["rgb_array"], "render_fps": 5}

    def __init__(
        self,
        num_envs: int = 1,
        scenes: int = 16,
        robot: str = "jackal",
        people: int = 6,
        seed: int = 0,
        render_mode: str | None = None,
    ):
        self.num_envs, self.render_mode = num_envs, render_mode
        self.config = WorldsConfig(robot=robot, people=people)
        self.worlds = make_worlds(num_envs, scenes, seed, self.config)
        self.single_observation_space, self.single_action_space = observation_space(self.config), action_space()
        self.observation_space = gym.vector.utils.batch_space(self.single_observation_space, num_envs)
        self.action_space = gym.vector.utils.batch_space(self.single_action_space, num_envs)
        self._seen: dict[str, np.ndarray] = {}

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None):
        """Begins an episode in every world; a seed fixes all that follows."""
        if seed is not None:
            self.worlds.source = RandomEpisodes(self.worlds.scenes, self.num_envs, seed, self.config.people)
        self._seen = self.worlds.reset()
        return self._seen, {}

    def step(self, actions: np.ndarray):
        """(N, 2) waypoints to observation, reward, terminated, truncated, info."""
        self._seen, reward, terminated, truncated = self.worlds.step(actions)
        info: dict[str, Any] = {}
        done = self.worlds.last["world"]
        if len(done):
            final = np.full(self.num_envs, None, dtype=object)
            for row, world in enumerate(done):
                final[world] = {k: self.worlds.last[f"final_{k}"][row] for k in self._seen}
            info["final_obs"], info["_final_obs"] = final, terminated | truncated
            success = np.zeros(self.num_envs, dtype=bool)
            success[done] = self.worlds.last["success"]
            info["success"], info["_success"] = success, terminated | truncated
        return self._seen, reward, terminated, truncated, info

    def render(self):
        """(N, H, W, 3) uint8: what the robots see."""
        return self._seen["rgb"] if self.render_mode == "rgb_array" else None

    def close_extras(self, **kwargs: Any) -> None:
        """Nothing is held open."""


class UrbanEnv(gym.Env):
    """One world. See `UrbanVectorEnv` for the arguments."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 5}

    def __init__(
        self, scenes: int = 4, robot: str = "jackal", people: int = 6, seed: int = 0, render_mode: str | None = None
    ):
        self.vector = UrbanVectorEnv(1, scenes, robot, people, seed)
        self.observation_space, self.action_space = self.vector.single_observation_space, self.vector.single_action_space
        self.render_mode = render_mode
        self._seen: dict[str, np.ndarray] = {}

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None):
        """Begins an episode."""
        super().reset(seed=seed)
        seen, _ = self.vector.reset(seed=seed)
        self._seen = {k: v[0] for k, v in seen.items()}
        return self._seen, {}

    def step(self, action: np.ndarray):
        """(2,) waypoint to observation, reward, terminated, truncated, info."""
        seen, reward, terminated, truncated, info = self.vector.step(np.asarray(action)[None])
        ended = bool(terminated[0] or truncated[0])
        self._seen = info["final_obs"][0] if ended else {k: v[0] for k, v in seen.items()}
        more = {"success": bool(info["success"][0])} if ended else {}
        return self._seen, float(reward[0]), bool(terminated[0]), bool(truncated[0]), more

    def render(self):
        """(H, W, 3) uint8: what the robot sees."""
        return self._seen["rgb"] if self.render_mode == "rgb_array" else None
