"""What `s2e-view` looks at, without a browser: one live world that somebody drives, or recorded
episodes played back.
"""

import dataclasses
import math
import os
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from s2e.benchmarks.agents import BASELINES, PlannerAdvice, Planning, advice_of
from s2e.benchmarks.runner import AnyAgent
from s2e.benchmarks.view.args import DRIVERS
from s2e.core.errors import UserError, require
from s2e.core.files import parse_json
from s2e.envs.expert.expert import command_to_waypoint
from s2e.envs.geometry.scene import Episode, Scene
from s2e.envs.robots.fleet import CONTROL_S
from s2e.envs.scenes.episodes import (
    ALL_SETTINGS,
    ListedEpisodes,
    RandomEpisodes,
    check_episodes,
    read_episodes,
)
from s2e.envs.scenes.files import episodes_file, scene_folder
from s2e.envs.scenes.placing import place_obstacles
from s2e.envs.worlds import Worlds, WorldsConfig
from s2e.policy.agent import Agent

HOLD_S = 0.35
"""How long a key counts as held after its last sign of life: signs come every 0.1 s, and a network
may be late."""

REST_S = 2.0
"""How long an episode's end is shown before the next begins, unless a person drives."""

TRAIL = 600
"""How many points of the way driven are kept: a person drives without an end."""

TURN_RADS = 1.0
"""How fast a held key turns the robot, rad/s."""


@dataclass(frozen=True)
class Fan:
    """A policy's answer: where each of its modes would go.

    Attributes:
        ways: (M, T, 2) metres, in the world.
        scores: (M,) log-probabilities.
    """

    ways: np.ndarray
    scores: np.ndarray


@dataclass(frozen=True)
class Moment:
    """What there is to see at one time.

    Attributes:
        pose: (3,) x, y, yaw of the robot.
        speed: m/s.
        clock_s: since the episode began.
        rgb: (H, W, 3) uint8, what the robot's camera sees.
        camera: position (3,), rotation (3, 3) as in `s2e.envs.geometry.camera`, intrinsics (4,).
        people: (P, 7) float32, rows of `Worlds.people_to_draw`.
        fan: of the policy that drives, if one does.
        contacts: (K, 3) x, y and whether it was a person, of those so far.
        path: (L, 2) metres, where the robot has been; of a drive the last `TRAIL` points at most.
        end: how the episode ended; empty while it runs.
    """

    pose: np.ndarray
    speed: float
    clock_s: float
    rgb: np.ndarray
    camera: tuple[np.ndarray, np.ndarray, np.ndarray]
    people: np.ndarray
    fan: Fan | None
    contacts: np.ndarray
    path: np.ndarray
    end: str


class Session(Protocol):
    """What the page needs of a live world or of a replay."""

    scene: Scene
    placed: Scene
    episode: Episode
    worlds: Worlds
    period_s: float
    note: str

    def step(self, now: float) -> bool:
        """Goes on by one period; whether another episode has begun."""
        ...

    def moment(self) -> Moment:
        """What there is to see."""
        ...


def episodes_of(name: str, scene: Scene) -> list[Episode]:
    """A scene's listed episodes; where it has no list, twenty drawn among its anchors.

    Raises:
        UserError: the list cannot be read or does not belong to the scene; or there is neither a
            list nor two anchors.
    """
    listed = scene_folder(name) / "episodes.json"
    if listed.exists():
        episodes = read_episodes(episodes_file(name))
        check_episodes(listed, scene, episodes)
        return episodes
    if len(scene.free_anchors) < 2:
        raise UserError(
            f"{listed}: missing, and scene.json has fewer than 2 free_anchors to draw episodes "
            "from; export the scene again"
        )
    source = RandomEpisodes([scene], 1, seed=0, people=6)
    drawn = [source.next(0)[1] for _ in range(20)]
    return [dataclasses.replace(e, id=f"{e.setting}-{k:03d}", seed=k) for k, e in enumerate(drawn)]


class Keyboard:
    """A person who drives one world by keys: an agent that hears what is held."""

    def __init__(self) -> None:
        self.held: dict[str, float] = {}
        self.now, self.limits = 0.0, np.zeros(6)

    def hold(self, key: str, now: float) -> None:
        """Hears that a key ("forward", "left", "right" or "stop") is down at a time, seconds."""
        self.held[key] = now + HOLD_S

    def reset(self, worlds: np.ndarray) -> None:
        """There is nothing to forget."""

    def act(self, *_: object) -> np.ndarray:
        """(1, 2) the waypoint that the keys held at `now` ask for; none is a stop."""
        down = {key for key, until in list(self.held.items()) if until > self.now}
        if "stop" in down:
            return np.zeros((1, 2))
        v_max, omega_max = self.limits[[0, 3]]
        v = v_max if "forward" in down else 0.0
        omega = min(TURN_RADS, omega_max) * (("left" in down) - ("right" in down))
        return command_to_waypoint(np.array([[v, omega]], dtype=np.float64))


class Drive:
    """One live world: episodes of one setting after the other, driven by keys, a baseline or a
    policy.

    Args:
        scene: without the episodes' obstacles.
        episodes: of all settings. setting: which are driven; where there is none of it, all are.
        robot: a key of `ROBOTS`.
        driver: one of `DRIVERS`, or another name for the policy.
        agent: the policy's; needed for a driver that is none of `DRIVERS`.
        planning: who advises the policy, as in `s2e-bench`.
    """

    def __init__(
        self,
        scene: Scene,
        episodes: Sequence[Episode],
        setting: str = "both",
        robot: str = "jackal",
        driver: str = "keyboard",
        agent: Agent | None = None,
        planning: Planning | None = None,
    ):
        require(
            driver in DRIVERS or agent is not None,
            f"driver {driver!r} is not one of {', '.join(DRIVERS)}; give --policy RUN",
        )
        self.scene, self.robot, self.driver = scene, robot, driver
        self.learned = None if driver in DRIVERS else agent
        self.planning = planning or Planning()
        self.advice: PlannerAdvice | None = None
        self.listed = [e for e in episodes if e.setting == setting] or list(episodes)
        self.note = "live: people walk and react" + (
            "; no time limit" if driver == "keyboard" else ""
        )
        self.keyboard = Keyboard()
        self.begin(0)

    def begin(self, index: int) -> None:
        """Puts the robot at the start of an episode; they follow in a ring."""
        self.index = index % len(self.listed)
        self.episode = self.listed[self.index]
        self.placed = place_obstacles(self.scene, self.episode)
        limit = 24 * 3600.0 if self.driver == "keyboard" else self.episode.time_limit_s
        about = {"robot": self.robot, "people": max(1, len(self.episode.walkers))}
        if self.learned:
            config = WorldsConfig.for_policy(self.learned.config, collision="counts", **about)
        else:
            config = WorldsConfig(collision="counts", controls_per_step=1, **about)
        source = ListedEpisodes([dataclasses.replace(self.episode, time_limit_s=limit)])
        self.worlds = Worlds([self.placed], config, 1, source)
        self.period_s = config.step_s
        self.seen = self.worlds.reset()
        self.agent = self._agent()
        self.agent.reset(np.arange(1))
        self.fan: Fan | None = None
        self.end, self.rested = "", 0.0
        self.path, self.contacts = deque([self.worlds.pose[0, :2].copy()], maxlen=TRAIL), []
        self._look()

    def _agent(self) -> AnyAgent:
        """Who drives the worlds of this episode."""
        if self.learned:
            self.close()
            self.advice = advice_of(self.planning, self.worlds, self.learned.config, [self.episode])
            self.learned.advisor = self.advice
            return self.learned
        if self.driver == "keyboard":
            self.keyboard.limits = self.worlds.fleet.limits[0]
            return self.keyboard
        return BASELINES[self.driver].agent(self.worlds, False)

    def act(self, now: float) -> np.ndarray:
        """(1, 2) the waypoint that whoever drives goes to; keeps a policy's fan."""
        self.keyboard.now = now
        waypoints = self.agent.act(self.seen, np.arange(1))
        if self.learned and (found := self.learned.candidates):
            x, y, yaw = self.worlds.pose[0]
            c, s = math.cos(yaw), math.sin(yaw)
            ways = found.trajectories[0] @ np.array([[c, s], [-s, c]]) + [x, y]
            self.fan = Fan(ways, found.log_scores[0])
        return waypoints

    def close(self) -> None:
        """Stops the planner."""
        if self.advice:
            self.advice.close()

    def step(self, now: float) -> bool:
        """Drives for one period, or rests at an episode's end; whether the next one has begun."""
        if self.end:
            self.rested += self.period_s
            if self.rested < REST_S or self.driver == "keyboard":
                return False
            self.begin(self.index + 1)
            return True
        before = int(self.worlds.contacts[0])
        self.seen, *_ = self.worlds.step(self.act(now))
        here = self.worlds.pose[0, :2].copy()
        if np.linalg.norm(here - self.path[-1]) > 0.01:
            self.path.append(here)
        if int(self.worlds.contacts[0]) > before:
            self.contacts.append((here[0], here[1], float(self.worlds.with_person[0])))
        if not self.worlds.live[0]:
            self.end = "goal reached" if self.worlds.last["success"][0] else "out of time"
        else:
            self._look()
        return False

    def _look(self) -> None:
        views = self.worlds.views(np.zeros(1, dtype=np.int64))
        self.camera = views["positions"][0], views["rotations"][0], views["intrinsics"][0]
        self.rgb, self.people = self.seen["rgb"][0], views["people"][0]

    def moment(self) -> Moment:
        """What there is to see now."""
        worlds = self.worlds
        return Moment(
            pose=worlds.pose[0].copy(),
            speed=float(np.hypot(worlds.velocity[0, 0], worlds.velocity[0, 2])),
            clock_s=float(worlds.clock[0]),
            rgb=self.rgb,
            camera=self.camera,
            people=self.people,
            fan=self.fan,
            contacts=np.array(self.contacts, dtype=np.float64).reshape(-1, 3),
            path=np.array(self.path),
            end=self.end,
        )


@dataclass(frozen=True)
class Record:
    """A finished episode of `episodes.jsonl`.

    Attributes:
        id: of the episode. path: (L, 2) metres. times_s: (L,) when. yaws: (L,) the direction of
            travel, radians.
        contacts: (K, 2) when (s) and whether it was a person. end: "goal" or "timeout".
    """

    id: str
    path: np.ndarray
    times_s: np.ndarray
    yaws: np.ndarray
    contacts: np.ndarray
    end: str


def read_replay(jsonl: Path, episodes: Mapping[str, Episode], scene: str) -> list[Record]:
    """The finished episodes of a benchmark's `episodes.jsonl`, in its order.

    Args:
        jsonl: the file, or the folder it lies in.
        episodes: those of the scene, by id.
        scene: its name or folder; of a suite's file its episodes alone are taken.

    Raises:
        UserError: no such file, no finished episode, a line that is none (a last line cut short is
            left out), or none of this scene.
    """
    jsonl = jsonl / "episodes.jsonl" if jsonl.is_dir() else jsonl
    policies = [] if jsonl.exists() else sorted(jsonl.parent.glob("*/episodes.jsonl"))
    require(
        not policies,
        f"{jsonl.parent}: results lie in its subfolders; give "
        f"{' or '.join(str(p.parent) for p in policies)}",
    )
    try:
        lines = jsonl.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"{jsonl}: cannot be read ({error}); give the episodes.jsonl of s2e-bench"
        ) from None
    records, elsewhere = [], set()
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            entry = parse_json(line)
            where = entry.get("scene", scene)  # results of former versions do not say it
            if not _same_scene(where, scene):
                elsewhere.add(where)
                continue
            record = _record(entry, episodes)
        except (
            AttributeError,
            ValueError,
            KeyError,
            TypeError,
            OverflowError,
            OSError,
        ) as error:
            if number == len(lines):
                break
            raise UserError(
                f"{jsonl}, line {number}: not a finished episode of s2e-bench ({error!r}); delete "
                "the line"
            ) from None
        if record is None:
            raise UserError(
                f"{jsonl}, line {number}: is of another scene than {scene}; name the scene that "
                "was benchmarked"
            )
        records.append(record)
    found = ", ".join(sorted(elsewhere)[:12])
    require(
        bool(records) or not elsewhere,
        f"{jsonl}: is of {found}, not of {scene}; name the scene that was benchmarked",
    )
    require(bool(records), f"{jsonl}: holds no finished episode; run s2e-bench to its end")
    return records


def _same_scene(name: str, other: str) -> bool:
    """Whether two names or folders of scenes mean the same one."""
    return name == other or os.path.realpath(scene_folder(name)) == os.path.realpath(
        scene_folder(other)
    )


def _record(line: dict, episodes: Mapping[str, Episode]) -> Record | None:
    """One line's record; None where it is of another scene's episode. Raises ValueError, KeyError,
    TypeError or OverflowError.
    """
    path = np.array(line["path"], dtype=np.float64)
    start, goal = (
        np.array(line["start"], dtype=np.float64),
        np.array(line["goal"], dtype=np.float64),
    )
    steps, time_s = int(line["steps"]), float(line["time_s"])
    if (
        path.ndim != 2
        or path.shape[1] != 2
        or not np.isfinite(path).all()
        or start.shape != (3,)
        or goal.shape != (2,)
    ):
        raise ValueError("path, start or goal")
    episode = episodes.get(line["id"])
    if (
        episode is None
        or not np.allclose(start, episode.start, atol=1e-3)
        or not np.allclose(goal, episode.goal, atol=1e-3)
    ):
        return None
    # All steps last equally long but for the last, which arriving may have cut short.
    controls = math.ceil(steps / max(len(path) - 1, 1))
    times = np.minimum(np.arange(len(path)) * controls * CONTROL_S, time_s)
    contacts = np.array(
        [(float(t), what == "person") for t, what in line["contacts"]], dtype=np.float64
    ).reshape(-1, 2)
    if steps < 0 or not 0.0 <= time_s < math.inf or not np.isfinite(contacts).all():
        raise ValueError("steps, time_s or contacts")
    return Record(
        episode.id, path, times, headings(path, float(start[2])), contacts, str(line["end"])
    )


def headings(path: np.ndarray, yaw: float) -> np.ndarray:
    """(L,) directions of travel along (L, 2), radians; where nothing moves the former one stays,
    `yaw` at first.
    """
    yaws = [yaw]
    for dx, dy in np.diff(path, axis=0):
        yaws.append(math.atan2(dy, dx) if math.hypot(dx, dy) > 0.02 else yaws[-1])
    return np.array(yaws)


class Replay:
    """Recorded episodes: the robot on its path among the episode's obstacles. Who walked there was
    not recorded.
    """

    note = (
        "replay: path, contacts and obstacles as recorded; heading from the path; people are "
        "not in the file"
    )
    period_s = CONTROL_S

    def __init__(
        self,
        scene: Scene,
        episodes: Mapping[str, Episode],
        records: Sequence[Record],
        robot: str = "jackal",
    ):
        self.scene, self.episodes, self.robot = scene, episodes, robot
        self.records = {r.id: r for r in records}
        self.playing, self.pace = True, 1.0
        self.select(records[0].id)

    def select(self, name: str) -> None:
        """Begins a recorded episode."""
        self.record, self.episode = self.records[name], self.episodes[name]
        self.placed = place_obstacles(self.scene, self.episode)
        alone = dataclasses.replace(self.episode, walkers=())
        self.worlds = Worlds(
            [self.placed], WorldsConfig(robot=self.robot, people=1), 1, ListedEpisodes([alone])
        )
        self.worlds.reset()
        self.seek(0.0)

    @property
    def length_s(self) -> float:
        """How long the episode took."""
        return float(self.record.times_s[-1])

    def seek(self, time_s: float) -> None:
        """Goes to a time of the episode, seconds."""
        self.time_s = min(max(time_s, 0.0), self.length_s)

    def step(self, now: float) -> bool:
        """Plays on for one period; no episode begins by itself."""
        if self.playing:
            self.seek(self.time_s + self.period_s * self.pace)
            self.playing = self.time_s < self.length_s
        return False

    def moment(self) -> Moment:
        """What there is to see at the time shown; drawn anew."""
        record, worlds, t = self.record, self.worlds, self.time_s
        here = [float(np.interp(t, record.times_s, record.path[:, k])) for k in range(2)]
        yaw = float(np.interp(t, record.times_s, np.unwrap(record.yaws)))
        worlds.pose[0] = *here, math.remainder(yaw, 2 * math.pi)
        last = int(np.searchsorted(record.times_s, t, side="right"))
        past = record.path[:last]
        step = np.linalg.norm(np.diff(record.path, axis=0), axis=1) / np.maximum(
            np.diff(record.times_s), 1e-6
        )
        worlds.velocity[0], worlds.travelled[0] = (
            0.0,
            np.linalg.norm(np.diff(past, axis=0), axis=1).sum(),
        )
        world = np.zeros(1, dtype=np.int64)
        views, seen = worlds.views(world), worlds.observe(world)
        when = record.contacts[record.contacts[:, 0] <= t + 1e-6]
        where = [np.interp(when[:, 0], record.times_s, record.path[:, k]) for k in range(2)]
        return Moment(
            pose=worlds.pose[0].copy(),
            speed=float(step[min(last, len(step)) - 1]) if len(step) and t < self.length_s else 0.0,
            clock_s=t,
            rgb=seen["rgb"][0],
            camera=(views["positions"][0], views["rotations"][0], views["intrinsics"][0]),
            people=views["people"][0],
            fan=None,
            contacts=np.column_stack([*where, when[:, 1]]),
            path=np.concatenate([past, [here]]),
            end={"goal": "goal reached", "timeout": "out of time"}.get(record.end, record.end)
            if t >= self.length_s
            else "",
        )


def ways_of_people(episode: Episode) -> np.ndarray:
    """(W, 2, 2) start and goal of an episode's people."""
    return np.array([[w.start, w.goal] for w in episode.walkers], dtype=np.float64).reshape(
        -1, 2, 2
    )


def settings_of(episodes: Sequence[Episode]) -> tuple[str, ...]:
    """The settings that a scene has episodes of, in the benchmark's order."""
    return tuple(s for s in ALL_SETTINGS if any(e.setting == s for e in episodes))
