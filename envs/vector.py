"""The Gymnasium doors: `gymnasium.make_vec("s2e/Urban-v0", num_envs=N)` and the single-world
`gymnasium.make`.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
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
    images = {
        "rgb": gym.spaces.Box(0, 255, (*size, 3), np.uint8),
        "depth": gym.spaces.Box(0, np.inf, size, np.float32),
        "semantic": gym.spaces.Box(0, len(SEMANTICS) - 1, size, np.uint8),
        "instance": gym.spaces.Box(0, np.iinfo(np.int32).max, size, np.int32),
        "map": gym.spaces.Box(0, GOAL, (SIZE_CELLS, SIZE_CELLS), np.uint8),
    }
    low, high = np.array([0, -1, -1], dtype=np.float32), np.ones(3, dtype=np.float32)
    spaces: dict[str, Any] = {name: images[name] for name in config.outputs}
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


@dataclass(frozen=True)
class EpisodesConfig:
    """Where the episodes of training take place and how hard they are.

    Attributes:
        scenes: size of the pool that all worlds draw from; not used with `refresh` or `scene`.
        seed: of scenes and episodes.
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
    """

    scenes: int = 16
    seed: int = 0
    first: int = 0
    scene: str = ""
    curriculum: bool = False
    refresh: int = 0
    families: Sequence[str] | str = ()
    objects: Path | None = None
    blocks: tuple[int, int] = (1, 1)
    density: float | None = None
    splats: float = 0.0
    distance_m: tuple[float, float] = (5.0, 14.0)
    crowded: bool = False

    def __post_init__(self):
        require(self.scenes >= 1, f"{self.scenes} scenes asked for; at least 1 is needed")
        require(
            isinstance(self.refresh, int) and self.refresh >= 0,
            f"refresh is {self.refresh}; give a whole number of episodes, 0 or more",
        )
        require(self.seed >= 0, f"seed is {self.seed}; it must not be negative")
        streets = self.refresh or self.families or self.objects or self.blocks != (1, 1)
        streets = streets or self.density is not None or self.splats != 0
        require(
            not (self.scene and streets),
            f"scene {self.scene!r} is a place as it is: refresh, families, objects, blocks, "
            "density, splats do not go with it",
        )


def make_worlds(
    count: int,
    config: WorldsConfig,
    episodes: EpisodesConfig,
    *,
    draw: bool = True,
    fits: bool = False,
) -> Worlds:
    """Training worlds.

    Args:
        count: N. config: what they share. episodes: where they are and what is asked there.
        draw: whether there are images.
        fits: whether the caller has seen to it that memory holds them; otherwise it is estimated
            here.
    """
    e = episodes
    require(count >= 1, f"{count} worlds asked for; at least 1 is needed (--envs 1 or more)")
    if not fits:
        pool = 0 if e.scene else e.scenes
        require_memory("--envs", count, *worlds_bytes(pool, e.refresh > 0, draw))
    warm_up()
    streets = e.families, e.objects, e.blocks, e.density, e.splats
    fresh = None
    if e.scene:
        scenes = load_scenes(e.scene)
    elif e.refresh:
        fresh = FreshScenes(scene_builder(*streets), e.seed, count, e.first)
        quiet = None if count > 32 else True
        bar = tqdm(range(count), desc="scenes", disable=quiet, leave=False)
        scenes = [fresh.current(world) for world in bar]
    else:
        scenes = training_scenes(e.scenes, e.seed, *streets)
    source = RandomEpisodes(
        scenes,
        count,
        e.seed,
        config.people,
        e.distance_m,
        e.curriculum,
        fresh,
        max(e.refresh, 1),
        e.crowded,
        e.first,
    )
    return Worlds(scenes, config, count, source, draw)


class UrbanVectorEnv(gym.vector.VectorEnv):
    """N worlds in one `step`.

    Autoreset is SAME_STEP: a finished world returns its next episode's first observation, and
    `info["final_obs"]` has the one that ended it.

    Args:
        num_envs: N.
        scenes, seed: see `EpisodesConfig`.
        render_mode: None or rgb_array.
        more: fields of `EpisodesConfig` (scene, curriculum, refresh, families, ...) and of
            `WorldsConfig` (robot, people, physics, reward, collision, outputs, image size, ...),
            and `fits` of `make_worlds`.
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
        asked = {f.name for f in dataclasses.fields(EpisodesConfig)} - {"scenes", "seed"}
        known = shared | asked | {"draw", "fits"}
        for name in more:
            require(
                name in known,
                f"s2e/Urban-v0 has no setting {name!r}; it has {', '.join(sorted(known))}",
            )
        self.num_envs, self.render_mode = num_envs, render_mode
        self.config = WorldsConfig(**{k: v for k, v in more.items() if k in shared})
        drawn = render_mode is None or "rgb" in self.config.outputs
        require(drawn, "render_mode rgb_array needs rgb among the outputs")
        episodes = {k: v for k, v in more.items() if k in asked}
        rest = {k: v for k, v in more.items() if k in ("draw", "fits")}
        self.worlds = make_worlds(
            num_envs, self.config, EpisodesConfig(scenes, seed, **episodes), **rest
        )
        self.single_observation_space = observation_space(self.config)
        self.single_action_space = action_space()
        self.observation_space = gym.vector.utils.batch_space(
            self.single_observation_space, num_envs
        )
        self.action_space = gym.vector.utils.batch_space(self.single_action_space, num_envs)
        self._obs: dict[str, np.ndarray] = {}

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None):
        """Begins an episode in every world; a seed fixes all that follows."""
        if seed is not None:
            self.worlds.source.reseed(seed)  # pyright: ignore[reportAttributeAccessIssue]
        self._obs = self.worlds.reset()
        return self._obs, {}

    def step(self, actions: np.ndarray):
        """(N, 2) waypoints to observation, reward, terminated, truncated, info."""
        self._obs, reward, terminated, truncated = self.worlds.step(actions)
        info: dict[str, Any] = {}
        done = self.worlds.last["world"]
        if len(done):
            final = np.full(self.num_envs, None, dtype=object)
            for row, world in enumerate(done):
                final[world] = {k: self.worlds.last[f"final_{k}"][row] for k in self._obs}
            info["final_obs"], info["_final_obs"] = final, terminated | truncated
            success = np.zeros(self.num_envs, dtype=bool)
            success[done] = self.worlds.last["success"]
            info["success"], info["_success"] = success, terminated | truncated
        return self._obs, reward, terminated, truncated, info

    def render(self):
        """(N, H, W, 3) uint8: what the robots see; None before the first reset."""
        return self._obs.get("rgb") if self.render_mode == "rgb_array" else None

    def close_extras(self, **kwargs: Any) -> None:
        """Stops building scenes."""
        self.worlds.close()


class UrbanEnv(gym.Env):
    """One world. See `UrbanVectorEnv` for the arguments."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 5}

    def __init__(self, scenes: int = 4, seed: int = 0, render_mode: str | None = None, **more: Any):
        self.vector = UrbanVectorEnv(1, scenes, seed, render_mode, **more)
        self.observation_space = self.vector.single_observation_space
        self.action_space = self.vector.single_action_space
        self.render_mode = render_mode
        self._obs: dict[str, np.ndarray] = {}
        self._next: dict[str, np.ndarray] | None = None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None):
        """Begins an episode."""
        super().reset(seed=seed)
        # after an ended episode the worlds have begun the next one already
        if seed is not None or self._next is None:
            obs, _ = self.vector.reset(seed=seed)
            self._next = {k: v[0] for k, v in obs.items()}
        self._obs, self._next = self._next, None
        return self._obs, {}

    def step(self, action: np.ndarray):
        """(2,) waypoint to observation, reward, terminated, truncated, info."""
        obs, reward, terminated, truncated, info = self.vector.step(np.asarray(action)[None])
        ended = bool(terminated[0] or truncated[0])
        first = {k: v[0] for k, v in obs.items()}
        self._obs, self._next = (info["final_obs"][0], first) if ended else (first, None)
        more = {"success": bool(info["success"][0])} if ended else {}
        return self._obs, float(reward[0]), bool(terminated[0]), bool(truncated[0]), more

    def render(self):
        """(H, W, 3) uint8: what the robot sees; None before the first reset."""
        return self._obs.get("rgb") if self.render_mode == "rgb_array" else None

    def close(self) -> None:
        """Stops building scenes."""
        self.vector.close()
