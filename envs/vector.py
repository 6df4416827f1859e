"""The Gymnasium doors: `gymnasium.make_vec("s2e/Urban-v0", num_envs=N)` and the single-world
`gymnasium.make`.
"""

import dataclasses
import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode
from tqdm import tqdm

from s2e.core.errors import require
from s2e.core.memory import require_memory
from s2e.core.observation import ROBOT_FIELDS
from s2e.envs.config import WorldsConfig
from s2e.envs.geometry.scene import SEMANTICS
from s2e.envs.geometry.topdown import GOAL, SIZE_CELLS
from s2e.envs.scenes.episodes import RandomEpisodes
from s2e.envs.scenes.files import load_scenes
from s2e.envs.streets.fresh import FreshScenes
from s2e.envs.streets.pool import scene_builder, training_scenes
from s2e.envs.warm import warm_up
from s2e.envs.worlds import Worlds

ACTION_LIMIT_M = 3.0
SPEED_BOUND = np.array([10.0, 10.0, 2.0], dtype=np.float32)


def observation_space(config: WorldsConfig) -> gym.spaces.Dict:
    """What one world shows: the images asked for, the goal, the robot's own motion, what robot it
    is.
    """
    size = (config.height_px, config.width_px)
    every = {
        "rgb": gym.spaces.Box(0, 255, (*size, 3), np.uint8),
        "depth": gym.spaces.Box(0, np.inf, size, np.float32),
        "semantic": gym.spaces.Box(0, len(SEMANTICS) - 1, size, np.uint8),
        "instance": gym.spaces.Box(0, np.iinfo(np.int32).max, size, np.int32),
        "map": gym.spaces.Box(0, GOAL, (SIZE_CELLS, SIZE_CELLS), np.uint8),
    }
    low, high = np.array([0, -1, -1], dtype=np.float32), np.ones(3, dtype=np.float32)
    spaces: dict[str, Any] = {name: every[name] for name in config.outputs}
    spaces["goal"] = gym.spaces.Box(low, high, dtype=np.float32)
    spaces["ego"] = gym.spaces.Box(-SPEED_BOUND, SPEED_BOUND, dtype=np.float32)
    spaces["robot"] = gym.spaces.Box(0, 10, (len(ROBOT_FIELDS),), np.float32)
    return gym.spaces.Dict(spaces)


def action_space() -> gym.spaces.Box:
    """A waypoint: metres forward and left, to be reached in a second."""
    return gym.spaces.Box(-ACTION_LIMIT_M, ACTION_LIMIT_M, (2,), np.float32)


def worlds_bytes(scenes: int, own: bool, draw: bool = True) -> tuple[float, float]:
    """What memory worlds need: estimates from measured ones, rounded up.

    Args:
        scenes: in their pool. own: whether each world has a scene of its own instead, and the next
            one in the making.
        draw: whether there are images.

    Returns:
        Bytes of a world, and of all else.
    """
    world, scene, rest = (4.0e6, 2.5e6, 0.7e9) if draw else (0.4e6, 1.0e6, 0.6e9)
    return (world + 2 * scene, rest) if own else (world, rest + scenes * scene)


def make_worlds(
    count: int,
    scenes: int,
    seed: int,
    config: WorldsConfig,
    first: int = 0,
    *,
    scene: str = "",
    curriculum: bool = False,
    refresh: int = 0,
    families: Sequence[str] | str = (),
    objects: Path | None = None,
    blocks: tuple[int, int] = (1, 1),
    density: float | None = None,
    splats: float = 0.0,
    distance_m: tuple[float, float] = (5.0, 14.0),
    crowded: bool = False,
    draw: bool = True,
    fits: bool = False,
) -> Worlds:
    """Training worlds.

    Args:
        count: N.
        scenes: size of the pool that all worlds draw from; not used with `refresh` or `scene`.
        seed: of scenes and episodes.
        config: what they share.
        first: number of the first world: ranks of a distributed run have worlds that follow one
            another.
        scene: a scene of splats or triangles to train in instead of procedural streets, as
            `load_scene` names it, or a suite.
        curriculum: begin with near goals, emptier scenes and fewer people.
        refresh: 0 keeps the pool; otherwise every world has a scene of its own and a new one after
            so many episodes.
        families, objects, blocks, density, splats: see `training_scenes`.
        distance_m: straight distance from start to goal, least and most.
        crowded: whether every episode has the most people.
        draw: whether there are images.
        fits: whether the caller has seen to it that memory holds them; otherwise it is estimated
            here.
    """
    require(count >= 1, f"{count} worlds asked for; at least 1 is needed (--envs 1 or more)")
    require(scenes >= 1, f"{scenes} scenes asked for; at least 1 is needed")
    require(
        isinstance(refresh, int) and refresh >= 0,
        f"refresh is {refresh}; give a whole number of episodes, 0 or more",
    )
    require(seed >= 0, f"seed is {seed}; it must not be negative")
    own = bool(scene) and (
        refresh or families or objects or blocks != (1, 1) or density is not None
    )
    own = own or (bool(scene) and splats != 0)
    require(
        not own,
        f"scene {scene!r} is a place as it is: refresh, families, objects, blocks, density, splats "
        "do not go with it",
    )
    if not fits:
        require_memory("--envs", count, *worlds_bytes(0 if scene else scenes, refresh > 0, draw))
    warm_up()
    if scene:
        fresh, pool = None, load_scenes(scene)
    elif refresh:
        fresh = FreshScenes(
            scene_builder(families, objects, blocks, density, splats), seed, count, first
        )
        pool = [
            fresh.current(w)
            for w in tqdm(
                range(count), desc="scenes", disable=None if count > 32 else True, leave=False
            )
        ]
    else:
        fresh, pool = (
            None,
            training_scenes(scenes, seed, families, objects, blocks, density, splats),
        )
    source = RandomEpisodes(
        pool,
        count,
        seed,
        config.people,
        distance_m,
        curriculum,
        fresh,
        max(refresh, 1),
        crowded,
        first,
    )
    return Worlds(pool, config, count, source, draw)


class UrbanVectorEnv(gym.vector.VectorEnv):
    """N worlds in one `step`.

    Autoreset is SAME_STEP: a finished world returns its next episode's first observation, and
    `info["final_obs"]` has the one that ended it.

    Args:
        num_envs: N.
        scenes, seed: see `make_worlds`.
        render_mode: None or rgb_array.
        more: scene, curriculum, refresh, families, objects, blocks, density, splats, distance_m and
            crowded of `make_worlds`, and fields of `WorldsConfig`: robot, people, physics, reward,
            collision, outputs, image size, ...
    """

    metadata = {
        "autoreset_mode": AutoresetMode.SAME_STEP,
        "render_modes": ["rgb_array"],
        "render_fps": 5,
    }

    def __init__(
        self,
        num_envs: int = 1,
        scenes: int = 16,
        seed: int = 0,
        render_mode: str | None = None,
        **more: Any,
    ):
        shared = {f.name for f in dataclasses.fields(WorldsConfig)}
        known = shared | set(inspect.getfullargspec(make_worlds).kwonlyargs)
        for name in more:
            require(
                name in known,
                f"s2e/Urban-v0 has no setting {name!r}; it has {', '.join(sorted(known))}",
            )
        self.num_envs, self.render_mode = num_envs, render_mode
        self.config = WorldsConfig(**{k: v for k, v in more.items() if k in shared})
        shown = render_mode is None or "rgb" in self.config.outputs
        require(shown, "render_mode rgb_array needs rgb among the outputs")
        self.worlds = make_worlds(
            num_envs,
            scenes,
            seed,
            self.config,
            **{k: v for k, v in more.items() if k not in shared},
        )
        self.single_observation_space, self.single_action_space = (
            observation_space(self.config),
            action_space(),
        )
        self.observation_space = gym.vector.utils.batch_space(
            self.single_observation_space, num_envs
        )
        self.action_space = gym.vector.utils.batch_space(self.single_action_space, num_envs)
        self._seen: dict[str, np.ndarray] = {}

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None):
        """Begins an episode in every world; a seed fixes all that follows."""
        if seed is not None:
            self.worlds.source.reseed(seed)  # pyright: ignore[reportAttributeAccessIssue]
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
        """(N, H, W, 3) uint8: what the robots see; None before the first reset."""
        return self._seen.get("rgb") if self.render_mode == "rgb_array" else None

    def close_extras(self, **kwargs: Any) -> None:
        """Stops building scenes."""
        self.worlds.close()


class UrbanEnv(gym.Env):
    """One world. See `UrbanVectorEnv` for the arguments."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 5}

    def __init__(self, scenes: int = 4, seed: int = 0, render_mode: str | None = None, **more: Any):
        self.vector = UrbanVectorEnv(1, scenes, seed, render_mode, **more)
        self.observation_space, self.action_space = (
            self.vector.single_observation_space,
            self.vector.single_action_space,
        )
        self.render_mode = render_mode
        self._seen: dict[str, np.ndarray] = {}
        self._next: dict[str, np.ndarray] | None = None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None):
        """Begins an episode."""
        super().reset(seed=seed)
        if (
            seed is not None or self._next is None
        ):  # after an ended episode the worlds have begun the next one already
            seen, _ = self.vector.reset(seed=seed)
            self._next = {k: v[0] for k, v in seen.items()}
        self._seen, self._next = self._next, None
        return self._seen, {}

    def step(self, action: np.ndarray):
        """(2,) waypoint to observation, reward, terminated, truncated, info."""
        seen, reward, terminated, truncated, info = self.vector.step(np.asarray(action)[None])
        ended = bool(terminated[0] or truncated[0])
        first = {k: v[0] for k, v in seen.items()}
        self._seen, self._next = (info["final_obs"][0], first) if ended else (first, None)
        more = {"success": bool(info["success"][0])} if ended else {}
        return self._seen, float(reward[0]), bool(terminated[0]), bool(truncated[0]), more

    def render(self):
        """(H, W, 3) uint8: what the robot sees; None before the first reset."""
        return self._seen.get("rgb") if self.render_mode == "rgb_array" else None

    def close(self) -> None:
        """Stops building scenes."""
        self.vector.close()
