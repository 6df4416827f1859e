"""Episodes: drawn at random to train in, read from a file to be judged by."""

import dataclasses
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from s2e.core.errors import UserError, require
from s2e.core.files import read_json
from s2e.envs.geometry.scene import (
    BEHAVIOURS,
    GOAL_RADIUS_M,
    Episode,
    Obstacle,
    Scene,
    Script,
    Truth,
    Walker,
)
from s2e.envs.people.people import draw_walkers, people_count
from s2e.envs.streets.fresh import FreshScenes

WAY_M = 6.0
"""Width of the ground along a robot's way that an episode's people are counted on, metres."""

SETTINGS = ("empty", "obstacle", "pedestrian", "both")
SOCIAL = "social"
"""The setting of situations: what stands and walks there is part of each."""
ALL_SETTINGS = (*SETTINGS, SOCIAL)
LONGEST_S = 3600.0
"""Longest time limit of an episode in a file, seconds."""


class EpisodeSource(Protocol):
    """Where worlds get their next episode from."""

    def new_scene(self, world: int) -> Scene | None:
        """The scene to put in place of the world's own before its next episode; None to keep it."""
        ...

    def ended(self, world: int, success: bool) -> None:
        """Hears how the world's last episode went."""
        ...

    def close(self) -> None:
        """Stops whatever runs in the background."""
        ...

    def out_of_date(self) -> list[tuple[int, Scene]]:
        """Worlds that are in another scene than they should be (after `restore` or a new seed),
        each with the right one.
        """
        ...

    def next(self, world: int) -> tuple[int, Episode] | None:
        """Scene index and episode, or None when this world is finished."""
        ...

    def state(self) -> dict[str, Any]:
        """What a checkpoint needs, as JSON."""
        ...

    def restore(self, state: dict[str, Any]) -> None:
        """Puts `state` back."""
        ...


@dataclass
class RandomState:
    """How far the endless episodes of N worlds are, as JSON.

    Attributes:
        rngs: states of the worlds' generators. level: 0 to 1, how hard their episodes are.
        drawn: episodes each has had. generation: of its scene; empty where scenes stay.
    """

    rngs: list[Any]
    level: list[float]
    drawn: list[int]
    generation: list[int]


@dataclass
class ListedState:
    """Which episodes of a list were given out, as JSON."""

    given: list[bool]


class RandomEpisodes:
    """Endless training episodes: a scene, start and goal among its anchors, people on crossing
    ways.

    World w draws from its own generator, so what it lives through does not depend on how many
    worlds there are.

    Args:
        scenes: the pool that episodes draw from, or with `fresh` one scene a world.
        worlds: N.
        seed: of all of them.
        people: the most people in an episode; how many there are follows the density of real places
            (`envs/people/people.py`).
        distance_m: straight distance from start to goal, least and most.
        curriculum: begin near, in the emptier scenes and alone; each success makes a world's next
            episode harder, each failure easier (half as much), up to the full range.
        fresh: gives every world a scene of its own and a new one after `refresh` episodes; the
            curriculum then leaves scenes alone.
        crowded: whether every episode has the most people.
        first: number of the first world: what a world lives through follows from the seed and its
            number.
    """

    def __init__(
        self,
        scenes: Sequence[Scene],
        worlds: int,
        seed: int,
        people: int,
        distance_m: tuple[float, float] = (5.0, 14.0),
        curriculum: bool = False,
        fresh: FreshScenes | None = None,
        refresh: int = 1,
        crowded: bool = False,
        first: int = 0,
    ):
        near, far = distance_m
        require(
            math.isfinite(far) and 2.0 <= near <= far,
            f"distance_m is {distance_m}; give two numbers of metres, at least 2",
        )
        self.scenes, self.worlds, self.first = list(scenes), worlds, first
        self.people, self.crowded = people, crowded
        self.distance_m, self.curriculum = distance_m, curriculum
        self.fresh, self.refresh = fresh, refresh
        self.held = [0] * worlds  # generation of the scene that each world is in
        self.reseed(seed)
        self.things = [int(s.mesh.instance.max(initial=0)) for s in scenes]

    def reseed(self, seed: int) -> None:
        """Begins anew from a seed of episodes; scenes have a seed of their own."""
        self.rngs = [np.random.default_rng([seed, 11, self.first + w]) for w in range(self.worlds)]
        self.level = np.full(self.worlds, 0.0 if self.curriculum else 1.0)
        self.drawn = [0] * self.worlds
        if self.fresh:
            self.fresh.restart([0] * self.worlds)

    def close(self) -> None:
        """Stops building scenes ahead."""
        if self.fresh:
            self.fresh.close()

    def out_of_date(self) -> list[tuple[int, Scene]]:
        """Worlds that are in another scene of their own than they should be, each with the right
        one.
        """
        if self.fresh is None:
            return []
        wrong = [w for w, g in enumerate(self.fresh.generation) if g != self.held[w]]
        self.held = list(self.fresh.generation)
        for world in wrong:
            self.scenes[world] = self.fresh.current(world)
        return [(w, self.scenes[w]) for w in wrong]

    def new_scene(self, world: int) -> Scene | None:
        """The scene that the world is to be moved to before its next episode, or None to stay."""
        if self.fresh is None:
            return None
        turn = self.drawn[world] % self.refresh
        scene = None
        if turn == 0 and self.drawn[world]:
            scene = self.scenes[world] = self.fresh.take(world)
            self.held[world] = self.fresh.generation[world]
        if turn == self.refresh - 1:
            self.fresh.order(world)
        return scene

    def next(self, world: int) -> tuple[int, Episode]:
        """Draws the world's next episode."""
        rng, level = self.rngs[world], float(self.level[world])
        index = self._scene(world, rng, level)
        self.drawn[world] += 1
        anchors = self.scenes[index].free_anchors
        start = anchors[rng.integers(len(anchors))]
        distance = np.linalg.norm(anchors - start, axis=1)
        near, far = self.distance_m
        far = near + (far - near) * max(level, 0.2)
        fitting = np.flatnonzero((distance >= near) & (distance <= far))
        elsewhere = np.where(distance > 0, np.abs(distance - far), np.inf)  # never the start itself
        goal = anchors[rng.choice(fitting) if len(fitting) else int(elsewhere.argmin())]
        heading = math.atan2(goal[1] - start[1], goal[0] - start[0]) + rng.uniform(-1.0, 1.0)
        length = float(np.linalg.norm(goal - start))
        most = round(self.people * level)
        people = most if self.crowded else people_count(rng, WAY_M * (length + WAY_M), most)
        walkers = draw_walkers(rng, anchors, start, goal, people)
        return index, Episode(
            id=f"random-{world}",
            setting="both" if walkers else "obstacle",
            start=(float(start[0]), float(start[1]), heading),
            goal=(float(goal[0]), float(goal[1])),
            route_m=length,
            time_limit_s=12.0 + 2.0 * length,
            seed=int(rng.integers(1 << 31)),
            walkers=walkers,
        )

    def _scene(self, world: int, rng: np.random.Generator, level: float) -> int:
        if self.fresh is not None:
            return world
        index = int(rng.integers(len(self.scenes)))
        if self.curriculum:  # of two, more often the one with less in the way
            other = int(rng.integers(len(self.scenes)))
            index = (
                min(index, other, key=self.things.__getitem__) if rng.random() > level else index
            )
        return index

    def ended(self, world: int, success: bool) -> None:
        """Makes the world's next episodes harder or easier."""
        if self.curriculum:
            self.level[world] = np.clip(self.level[world] + (0.1 if success else -0.05), 0.0, 1.0)

    def state(self) -> dict[str, Any]:
        """See `RandomState`."""
        return vars(
            RandomState(
                rngs=[g.bit_generator.state for g in self.rngs],
                level=self.level.tolist(),
                drawn=list(self.drawn),
                generation=list(self.fresh.generation) if self.fresh else [],
            )
        )

    def restore(self, state: dict[str, Any]) -> None:
        """Puts `state` back."""
        saved = RandomState(**state)
        for generator, words in zip(self.rngs, saved.rngs, strict=True):
            generator.bit_generator.state = words
        self.level, self.drawn = np.array(saved.level), list(saved.drawn)
        if self.fresh:
            self.fresh.restart(saved.generation)


class ListedEpisodes:
    """A fixed list: world w runs episode w, once."""

    def __init__(self, episodes: Sequence[Episode]):
        self.episodes, self.given = episodes, [False] * len(episodes)

    def new_scene(self, world: int) -> None:
        """None: the scenes stay."""

    def ended(self, world: int, success: bool) -> None:
        """Nothing depends on it."""

    def close(self) -> None:
        """Nothing runs."""

    def out_of_date(self) -> list[tuple[int, Scene]]:
        """None: the scenes stay."""
        return []

    def next(self, world: int) -> tuple[int, Episode] | None:
        """The world's one episode; its scene has the same index."""
        if self.given[world]:
            return None
        self.given[world] = True
        return world, self.episodes[world]

    def state(self) -> dict[str, Any]:
        """See `ListedState`."""
        return vars(ListedState(list(self.given)))

    def restore(self, state: dict[str, Any]) -> None:
        """Puts that back."""
        self.given = list(ListedState(**state).given)


def write_episodes(path: Path, scene: str, episodes: Sequence[Episode]) -> None:
    """Writes an episode file (JSON, one episode a line)."""
    lines = ",\n".join("  " + json.dumps(_written(e)) for e in episodes)
    path.write_text(f'{{"scene": {json.dumps(scene)}, "format": 1, "episodes": [\n{lines}\n]}}\n')


def _written(episode: Episode) -> dict[str, Any]:
    """An episode for JSON; of a script and a truth only what differs from its default, and no task,
    rule, script and truth where there is none.
    """
    entry: dict[str, Any] = dataclasses.asdict(episode) | {"truth": _changed(episode.truth)}
    for walker, of in zip(entry["walkers"], episode.walkers, strict=True):
        walker["script"] = _changed(of.script)
        if not walker["script"]:
            del walker["script"]
    return {k: v for k, v in entry.items() if v or k not in ("task", "rule", "truth")}


def _changed(of: Script | Truth) -> dict[str, Any]:
    """The fields of a dataclass that differ from their defaults."""
    return {k: v for k, v in dataclasses.asdict(of).items() if v != getattr(type(of)(), k)}


def read_episodes(path: Path) -> list[Episode]:
    """Reads an episode file.

    Raises:
        UserError: missing, not JSON, an episode with a field missing or of the wrong kind, or
            episodes that start at their goal, which standing still would solve; says which.
    """
    listed = read_json(path, "it needs a list `episodes`").get("episodes")
    if not isinstance(listed, list) or not listed:
        raise UserError(f"{path}: `episodes` holds no episode")
    episodes = [_episode(path, i, entry) for i, entry in enumerate(listed)]
    solved = [e.id for e in episodes if math.dist(e.start[:2], e.goal) < GOAL_RADIUS_M]
    if solved:
        named = ", ".join(solved[:8]) + (f" and {len(solved) - 8} more" if len(solved) > 8 else "")
        raise UserError(
            f"{path}: episode{'s' if len(solved) > 1 else ''} {named}: the start is within "
            f"{GOAL_RADIUS_M:g} m of the"
            " goal, which counts as reached; move one of the two or remove the episode"
        )
    return episodes


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
            obstacles=tuple(
                Obstacle(str(o["kind"]), *_floats([o["x"], o["y"], o["yaw"]], 3))
                for o in entry["obstacles"]
            ),
            walkers=tuple(
                Walker(
                    _floats(w["start"], 2),
                    _floats(w["goal"], 2),
                    _floats([w["speed"]], 1)[0],
                    int(w["look"]),
                    _one_of(w.get("behaviour", "walk"), BEHAVIOURS),
                    int(w.get("group", -1)),
                    _script(w.get("script", {}), len(entry["walkers"])),
                )
                for w in entry["walkers"]
            ),
            task=str(entry.get("task", "")),
            rule=str(entry.get("rule", "")),
            truth=_truth(entry.get("truth", {}), len(entry["walkers"])),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path}: episode {i}: {error!r}; mend or remove it") from None
    if episode.setting not in ALL_SETTINGS:
        raise UserError(
            f"{path}: episode {i}: setting {episode.setting!r} is not one of "
            f"{', '.join(ALL_SETTINGS)}"
        )
    if episode.route_m <= 0 or episode.time_limit_s <= 0:
        raise UserError(f"{path}: episode {i}: route_m and time_limit_s must be positive")
    if episode.time_limit_s > LONGEST_S:
        raise UserError(
            f"{path}: episode {i}: time_limit_s is {episode.time_limit_s:g}; at most "
            f"{LONGEST_S:g}, an hour"
        )
    return episode


def _fields(data: Any, of: type) -> dict[str, Any]:
    """The fields of a script or a truth in a file, with no other than there are."""
    if not isinstance(data, dict):
        raise TypeError(f"{of.__name__.lower()} is a {type(data).__name__}, expected an object")
    known = [field.name for field in dataclasses.fields(of)]
    for name in data:
        _one_of(name, known)
    return data


def _script(data: Any, people: int) -> Script:
    script = Script(**_fields(data, Script))
    wait_m, wait_s = _floats([script.wait_m, script.wait_s], 2)
    follow, once, child = int(script.follow), bool(script.once), bool(script.child)
    if min(wait_m, wait_s) < 0 or not -1 <= follow < people:
        raise ValueError(f"{data!r} waits for less than nothing or follows nobody")
    return Script(wait_m, wait_s, once, follow, child)


def _truth(data: Any, people: int) -> Truth:
    truth = Truth(**_fields(data, Truth))
    whom, alone_s = _people(truth.whom, people), _floats(truth.alone_s, len(truth.alone_s))
    if len(alone_s) not in (0, people):
        raise ValueError(f"alone_s has {len(alone_s)} numbers for {people} people")
    return Truth(
        kind=str(truth.kind),
        yields=_one_of(truth.yields, ("", "robot")),
        zone=_floats(truth.zone, 3),
        whom=whom,
        side=_one_of(truth.side, ("", "left", "right")),
        groups=tuple(_people(group, people) for group in truth.groups),
        gates=tuple(_floats(gate, 4) for gate in truth.gates),
        alone_s=alone_s,
    )


def _people(numbers: Any, people: int) -> tuple[int, ...]:
    """Numbers of people of an episode."""
    found = tuple(int(n) for n in numbers)
    if not all(0 <= n < people for n in found):
        raise ValueError(f"{numbers!r} are not numbers of its {people} people")
    return found


def check_episodes(path: Path, scene: Scene, episodes: Sequence[Episode]) -> None:
    """Refuses episodes that cannot be run in a scene: they belong to another one, or a hand
    slipped.

    Args:
        path: the file they were read from, for the message.
        scene: where they are to be run.
        episodes: what `read_episodes` returned.

    Raises:
        UserError: a start or goal lies outside the occupancy grid, or a start on an occupied cell.
    """
    grid, low = scene.occupancy.grid, scene.occupancy.origin
    high = low + np.array(grid.shape[::-1]) * scene.occupancy.resolution
    covers = f"x {low[0]:g} to {high[0]:g}, y {low[1]:g} to {high[1]:g} m"
    for episode in episodes:
        for name, point in (("start", episode.start[:2]), ("goal", episode.goal)):
            if not ((low <= point) & (point < high)).all():
                x, y = point
                raise UserError(
                    f"{path}: episode {episode.id}: {name} {x:g}, {y:g} is outside the scene's "
                    f"grid ({covers}); mend or remove it"
                )
        row, column = np.clip(
            scene.occupancy.cell_of(np.array(episode.start[:2])), 0, np.array(grid.shape) - 1
        )
        if grid[row, column]:
            x, y, _ = episode.start
            raise UserError(
                f"{path}: episode {episode.id}: start {x:g}, {y:g} is inside something solid; mend "
                "or remove it"
            )


def _one_of(value: Any, choices: Sequence[str]) -> str:
    if value not in choices:
        raise ValueError(f"{value!r} is not one of {', '.join(choices)}")
    return value


def _floats(values: Any, count: int) -> Any:
    numbers = tuple(float(v) for v in values)
    if len(numbers) != count or not all(math.isfinite(v) for v in numbers):
        raise ValueError(f"{values!r} should be {count} finite numbers")
    return numbers
