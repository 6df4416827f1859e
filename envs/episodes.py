"""Episodes: drawn at random to train in, read from a file to be judged by."""

import dataclasses
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from s2e.envs.scene import BEHAVIOURS, Episode, Obstacle, Scene, Walker
from s2e.errors import UserError

SETTINGS = ("empty", "obstacle", "pedestrian", "both")


class EpisodeSource(Protocol):
    """Where worlds get their next episode from."""

    def next(self, world: int) -> tuple[int, Episode] | None:
        """Scene index and episode, or None when this world is finished."""
        ...

    def state(self) -> dict[str, Any]:
        """What a checkpoint needs, as JSON."""
        ...

    def restore(self, state: dict[str, Any]) -> None:
        """Puts `state` back."""
        ...


class RandomEpisodes:
    """Endless training episodes: a scene of the pool, start and goal among its anchors, people on crossing ways.

    World w draws from its own generator, so what it lives through does not depend on how many worlds there are.

    Args:
        scenes: the pool. worlds: N. seed: of all of them. people: the most people in an episode.
        distance_m: straight distance from start to goal, least and most.
    """

    def __init__(
        self, scenes: Sequence[Scene], worlds: int, seed: int, people: int, distance_m: tuple[float, float] = (5.0, 14.0)
    ):
        self.scenes, self.people, self.distance_m = scenes, people, distance_m
        self.rngs = [np.random.default_rng([seed, 11, w]) for w in range(worlds)]

    def next(self, world: int) -> tuple[int, Episode]:
        """Draws the world's next episode."""
        rng = self.rngs[world]
        index = int(rng.integers(len(self.scenes)))
        anchors = self.scenes[index].free_anchors
        start = anchors[rng.integers(len(anchors))]
        distance = np.linalg.norm(anchors - start, axis=1)
        fitting = np.flatnonzero((distance >= self.distance_m[0]) & (distance <= self.distance_m[1]))
        goal = anchors[rng.choice(fitting) if len(fitting) else int(distance.argmax())]
        heading = math.atan2(goal[1] - start[1], goal[0] - start[0]) + rng.uniform(-1.0, 1.0)
        walkers = draw_walkers(rng, anchors, start, goal, int(rng.integers(self.people + 1)))
        far = float(np.linalg.norm(goal - start))
        return index, Episode(
            id=f"random-{world}",
            setting="both" if walkers else "obstacle",
            start=(float(start[0]), float(start[1]), heading),
            goal=(float(goal[0]), float(goal[1])),
            route_m=far,
            time_limit_s=12.0 + 2.0 * far,
            seed=int(rng.integers(1 << 31)),
            walkers=walkers,
        )

    def state(self) -> dict[str, Any]:
        """The generators' states."""
        return {"rngs": [g.bit_generator.state for g in self.rngs]}

    def restore(self, state: dict[str, Any]) -> None:
        """Puts the generators' states back."""
        for generator, saved in zip(self.rngs, state["rngs"], strict=True):
            generator.bit_generator.state = saved


class ListedEpisodes:
    """A fixed list: world w runs episode w, once."""

    def __init__(self, episodes: Sequence[Episode]):
        self.episodes, self.given = episodes, [False] * len(episodes)

    def next(self, world: int) -> tuple[int, Episode] | None:
        """The world's one episode; its scene has the same index."""
        if self.given[world]:
            return None
        self.given[world] = True
        return world, self.episodes[world]

    def state(self) -> dict[str, Any]:
        """Which episodes were given out."""
        return {"given": list(self.given)}

    def restore(self, state: dict[str, Any]) -> None:
        """Puts that back."""
        self.given = list(state["given"])


def draw_walkers(
    rng: np.random.Generator, anchors: np.ndarray, start: np.ndarray, goal: np.ndarray, count: int
) -> tuple[Walker, ...]:
    """People between anchors: half come the robot's way, half cross it. Nobody starts within 2.5 m of the robot."""
    walkers = []
    from_start, from_goal = np.linalg.norm(anchors - start, axis=1), np.linalg.norm(anchors - goal, axis=1)
    middle = np.linalg.norm(anchors - (start + goal) / 2, axis=1)
    clear = np.flatnonzero(from_start > 2.5)
    if len(clear) < 2:
        return ()
    for _ in range(count):
        if rng.random() < 0.5:
            first, second = clear[_soft(rng, from_goal[clear])], _soft(rng, from_start)
        else:
            first = clear[_soft(rng, middle[clear], 3.0)]
            second = _soft(rng, np.linalg.norm(2 * (start + goal) / 2 - anchors[first] - anchors, axis=1), 3.0)
        if np.linalg.norm(anchors[first] - anchors[second]) < 2.0:
            second = int(np.linalg.norm(anchors - anchors[first], axis=1).argmax())
        a, b = anchors[first], anchors[second]
        speed, look = float(np.clip(rng.normal(1.1, 0.25), 0.5, 1.6)), int(rng.integers(1 << 20))
        walkers.append(Walker((float(a[0]), float(a[1])), (float(b[0]), float(b[1])), speed, look))
    return tuple(walkers)


def _soft(rng: np.random.Generator, distance: np.ndarray, scale_m: float = 2.0) -> int:
    weight = np.exp(-(distance - distance.min()) / scale_m)
    return int(rng.choice(len(distance), p=weight / weight.sum()))


def write_episodes(path: Path, scene: str, episodes: Sequence[Episode]) -> None:
    """Writes an episode file (JSON, one episode a line)."""
    lines = ",\n".join("  " + json.dumps(dataclasses.asdict(e)) for e in episodes)
    path.write_text(f'{{"scene": {json.dumps(scene)}, "format": 1, "episodes": [\n{lines}\n]}}\n')


def read_episodes(path: Path) -> list[Episode]:
    """Reads an episode file.

    Raises:
        UserError: missing, not JSON, or an episode with a field missing or of the wrong kind; says which.
    """
    try:
        listed = json.loads(path.read_text())["episodes"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: not an episode file ({error!r}); it needs a list `episodes`") from None
    if not isinstance(listed, list) or not listed:
        raise UserError(f"{path}: `episodes` holds no episode")
    return [_episode(path, i, entry) for i, entry in enumerate(listed)]


def _episode(path: Path, i: int, entry: Any) -> Episode:
    try:
        episode = Episode(
            id=str(entry["id"]),
            setting=entry["setting"],
            start=_floats(entry["start"], 3),
            goal=_floats(entry["goal"], 2),
            route_m=_floats([entry["route_m"]], 1)[0],
            time_limit_s=_floats([entry["time_limit_s"]], 1)[0],
            seed=int(entry["seed"]),
            obstacles=tuple(Obstacle(str(o["kind"]), *_floats([o["x"], o["y"], o["yaw"]], 3)) for o in entry["obstacles"]),
            walkers=tuple(
                Walker(
                    _floats(w["start"], 2),
                    _floats(w["goal"], 2),
                    _floats([w["speed"]], 1)[0],
                    int(w["look"]),
                    _one_of(w.get("behaviour", "walk"), BEHAVIOURS),
                    int(w.get("group", -1)),
                )
                for w in entry["walkers"]
            ),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path}: episode {i}: {error!r}; mend or remove it") from None
    if episode.setting not in SETTINGS:
        raise UserError(f"{path}: episode {i}: setting {episode.setting!r} is not one of {', '.join(SETTINGS)}")
    if episode.route_m <= 0 or episode.time_limit_s <= 0:
        raise UserError(f"{path}: episode {i}: route_m and time_limit_s must be positive")
    return episode


def _one_of(value: Any, choices: Sequence[str]) -> str:
    if value not in choices:
        raise ValueError(f"{value!r} is not one of {', '.join(choices)}")
    return value


def _floats(values: Any, count: int) -> Any:
    numbers = tuple(float(v) for v in values)
    if len(numbers) != count or not all(math.isfinite(v) for v in numbers):
        raise ValueError(f"{values!r} should be {count} finite numbers")
    return numbers
