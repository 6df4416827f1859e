"""Records navigation video: the expert drives through worlds, and what it saw becomes walks in the
GNM layout.

What the expert never does by itself must be in the data all the same: how to get back on course. So
half the drives begin beside the usual places and turned away, and now and then the robot is nudged.
Positions are those that were driven, the nudges' too; the walk says when they were (`nudged` in
walk.json), so that nobody learns to swerve from them.

A recording is made of takes. Each is a batch of worlds that live through a few drives each, and
follows from the settings and its number alone: a take that was cut off is driven again, and the
recording is the same as if nothing had happened.
"""

import dataclasses
import math
import shutil
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from s2e.core.errors import UserError, require
from s2e.core.lock import LOCK, check_place, hold, release
from s2e.envs.config import WorldsConfig
from s2e.envs.expert.drive import ExpertAgent
from s2e.envs.free_space import free_space
from s2e.envs.geometry.camera import draw_camera
from s2e.envs.geometry.scene import GOAL_RADIUS_M, Episode, Scene
from s2e.envs.record.takes import RESUME, STATE, begin, read_state, take_seed, write_state
from s2e.envs.robots.fleet import STEP_CLASSES_M, Fleet
from s2e.envs.scenes.episodes import EpisodeSource, RandomEpisodes
from s2e.envs.scenes.files import load_scenes
from s2e.envs.streets.pool import training_scenes
from s2e.envs.warm import warm_up
from s2e.envs.worlds import Worlds
from s2e.video.frames import jpeg
from s2e.video.readers.gnm import write_walk
from s2e.video.walk import MIN_FRAMES, Body

NUDGES_HZ = 0.075
"""Nudges a second of driving."""
NUDGE_STEPS = (2, 6)
"""Least and most steps that one lasts."""
NUDGE_M = (0.2, 0.5)
"""Standard deviation, ahead and aside, of what an ordinary one adds to the waypoint, metres; they
have half to twice that."""
PERTURBED = 0.5
"""Share of drives with a perturbed start."""
ASIDE_M, ASIDE_ROOM_M, AWAY_RAD = 1.5, 0.5, 2.4
"""How far from the usual place those begin, with how much room, and how far turned away from the
goal."""
DRIVES = 6
"""Drives of each world in a take."""
TAKE = {"walks": int, "frames": int, "failed": dict}
"""What is noted of a take."""
LOOKS = ("mesh", "splats", "mixed")
"""What streets are made of: triangles, Gaussian splats as captures have them, or some of both."""
STREETS = "streets"
"""Among the names of scenes: procedural streets."""


@dataclass(frozen=True)
class Settings:
    """What a recording follows from; see `s2e-data record --help`."""

    envs: int = 64
    scenes: int = 64
    scene: str = STREETS
    people: int = 6
    robot: str = "jackal"
    cameras: float = 0.0
    camera_noise: float = 0.0
    look: str = "mixed"
    splats: float = 0.33
    seed: int = 0

    def splat_share(self) -> float:
        """Which share of the streets are splats."""
        return {"mesh": 0.0, "splats": 1.0}.get(self.look, self.splats)

    def places(self) -> list[str]:
        """The names in `scene`."""
        return [name.strip() for name in self.scene.split(",") if name.strip()] or [STREETS]

    def check(self, what: str) -> None:
        """Refuses what is wrong before anything is written; `what` is recorded.

        Raises:
            UserError: naming the option.
        """
        self.worlds()
        require(0 <= self.cameras <= 1, f"--cameras is {self.cameras}; a share of {what}, 0 to 1")
        require(self.look in LOOKS, f"--look is {self.look!r}; one of {', '.join(LOOKS)}")
        require(0 <= self.splats <= 1, f"--splats is {self.splats}; a share of streets, 0 to 1")

    def worlds(self) -> WorldsConfig:
        """What the worlds share."""
        return WorldsConfig(robot=self.robot, people=self.people, camera_noise=self.camera_noise)


@dataclass(frozen=True)
class Counts:
    """What a recording has: walks, their frames, and drives left out because the expert failed, by
    robot.
    """

    walks: int
    frames: int
    failed: dict[str, int]


class Drives(RandomEpisodes):
    """`DRIVES` random episodes a world, then none; `PERTURBED` of them with perturbed starts.

    Args:
        places: the scenes of each place; one is drawn as often as another, however many scenes it
            has.
        worlds, seed, people: as in `RandomEpisodes`.
    """

    def __init__(self, places: Sequence[Sequence[Scene]], worlds: int, seed: int, people: int):
        # a place may be given twice
        scenes = list({id(scene): scene for place in places for scene in place}.values())
        super().__init__(scenes, worlds, seed, people)
        self.seed, number = seed, {id(scene): i for i, scene in enumerate(scenes)}
        self.places = [[number[id(scene)] for scene in place] for place in places]
        self._room: dict[int, np.ndarray] = {}

    def _scene(self, world: int, rng: np.random.Generator, level: float) -> int:
        place = self.places[rng.integers(len(self.places))]
        return place[rng.integers(len(place))]

    def next(self, world: int) -> tuple[int, Episode] | None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Draws the world's next episode."""
        if self.drawn[world] >= DRIVES:
            return None
        scene, episode = super().next(world)
        rng = np.random.default_rng([self.seed, 41, world, self.drawn[world]])
        return scene, self._perturbed(rng, scene, episode) if rng.random() < PERTURBED else episode

    def _perturbed(self, rng: np.random.Generator, scene: int, episode: Episode) -> Episode:
        """The same episode from a free place nearby, turned away from the goal."""
        occupancy = self.scenes[scene].occupancy
        places = np.array(episode.start[:2]) + rng.uniform(-ASIDE_M, ASIDE_M, (32, 2))
        cells = occupancy.cell_of(places)
        inside = np.all((cells >= 0) & (cells < np.array(occupancy.grid.shape)), axis=1)
        room = np.where(
            inside, self._rooms(scene)[tuple(np.where(inside[:, None], cells, 0).T)], 0.0
        )
        far = np.linalg.norm(places - episode.goal, axis=1)
        good = np.flatnonzero((room > ASIDE_ROOM_M) & (far > 2 * GOAL_RADIUS_M))
        x, y = places[good[0]] if len(good) else episode.start[:2]
        yaw = math.atan2(episode.goal[1] - y, episode.goal[0] - x) + rng.uniform(
            -AWAY_RAD, AWAY_RAD
        )
        return dataclasses.replace(episode, start=(float(x), float(y), yaw))

    def _rooms(self, scene: int) -> np.ndarray:
        """(R, C) metres from each cell to what stops a robot that climbs least."""
        if scene not in self._room:
            of = self.scenes[scene]
            low = (
                of.occupancy
                if of.ground is None
                else of.occupancy.blocked_by(STEP_CLASSES_M[0], of.ground.height)
            )
            self._room[scene] = low.distance()
        return self._room[scene]


class Filmed(Worlds):
    """Worlds in some of whose episodes the robot carries another camera.

    Args:
        cameras: the share of these episodes; the rest as in `Worlds`.
    """

    def __init__(
        self,
        scenes: Sequence[Scene],
        config: WorldsConfig,
        worlds: int,
        source: EpisodeSource,
        cameras: float,
    ):
        super().__init__(scenes, config, worlds, source)
        self.cameras = cameras

    def _equip(self, world: int, scene: int, episode: Episode) -> None:
        super()._equip(world, scene, episode)
        rng = np.random.default_rng([episode.seed, 43])
        if rng.random() < self.cameras:
            self.fleet.camera[world, [0, 2, 3]] = draw_camera(rng)


def record(out: Path, frames: int, settings: Settings, resume: bool = False) -> Counts:
    """Writes at least `frames` frames of successful drives below `out`, 5 a second.

    With `resume` a recording of the same settings goes on after its last whole take, or begins
    where there is none. This is safe against kills, not against power loss: walks are left to the
    system to bring to the disk, since waiting for each frame would take several times as long as
    writing it. After a power loss record anew.

    Raises:
        UserError: a setting is wrong; `out` is not empty and nothing is to be resumed, or holds
            another recording; another process records there; it cannot be written.
    """
    settings.check("drives")
    check_place(out)
    try:
        if (out / LOCK).exists():
            hold(out)  # refused at once where another process records
        state = read_state(out, settings, resume, TAKE)
        if _sum(state).frames >= frames:
            return _sum(state)
        loaded = load_places(settings)
        warm_up()
        hold(out)
        state = read_state(out, settings, resume, TAKE)  # as it is now that nobody else writes it
        _begin(out, settings, state)
        with tqdm(
            total=frames, initial=_sum(state).frames, desc="record", unit="frame", disable=None
        ) as bar:
            while _sum(state).frames < frames:
                done = _drive(
                    out, len(state["takes"]), loaded, settings, frames - _sum(state).frames, bar
                )
                state["takes"].append(done)
                write_state(out / STATE, state)
    except OSError as error:
        raise UserError(f"{out}: walks cannot be written there ({error}); {RESUME}") from None
    finally:
        release(out)
    return _sum(state)


def load_places(settings: Settings) -> dict[str, list[Scene]]:
    """The scenes that are named; streets are drawn for each take."""
    return {name: load_scenes(name) for name in settings.places() if name != STREETS}


def _drive(
    out: Path,
    number: int,
    loaded: dict[str, list[Scene]],
    settings: Settings,
    wanted: int,
    bar: tqdm,
) -> dict[str, Any]:
    """One take, whose worlds and streets are gone before the next one's are made."""
    return _Take(out, number, places_of(settings, number, loaded), settings).drive(wanted, bar)


def places_of(settings: Settings, number: int, loaded: dict[str, list[Scene]]) -> list[list[Scene]]:
    """The scenes of each place that a take draws from; its streets are its own."""
    streets: list[Scene] = []
    if STREETS in settings.places():
        streets = training_scenes(
            settings.scenes, take_seed(settings.seed, number), splats=settings.splat_share()
        )
    return [loaded.get(name, streets) for name in settings.places()]


def _begin(out: Path, settings: Settings, state: dict[str, Any]) -> None:
    """Prepares the folder for the next take: nothing is left there of one that was cut off."""
    begin(out, state)
    write_state(out / "dataset.json", _about(settings))
    for folder in out.glob("t[0-9]*_w[0-9]*"):
        if int(folder.name[1:].split("_")[0]) >= len(state["takes"]):
            shutil.rmtree(folder)


def _sum(state: dict[str, Any]) -> Counts:
    """Counts over all takes."""
    takes, failed = state["takes"], Counter[str]()
    for take in takes:
        failed.update(take["failed"])
    return Counts(sum(t["walks"] for t in takes), sum(t["frames"] for t in takes), dict(failed))


def _about(settings: Settings) -> dict[str, Any]:
    """dataset.json."""
    hz = 1.0 / settings.worlds().step_s
    return {
        "hz": hz,
        "source": f"expert in {', '.join(settings.places())}",
        "robot": settings.robot,
        "seed": settings.seed,
    }


def body_of(fleet: Fleet, row: int) -> Body:
    """What a walk says about the robot of one world."""
    hfov, x, z, pitch = fleet.camera[row]
    size, limits = fleet.size[row], fleet.limits[row]
    figures = [
        float(round(v, 4)) for v in (size[0], size[1], limits[0], limits[3], z, hfov, pitch, x)
    ]
    return Body(fleet.names[fleet.kind[row]], *figures)


class _Drive:
    """What one world's robot has seen since its drive began."""

    def __init__(self, body: Body):
        self.body = body
        self.images: list[bytes] = []
        self.pose: list[np.ndarray] = []
        self.clock: list[float] = []
        self.rays: list[np.ndarray] = []
        self.nudged: list[tuple[float, float]] = []

    def write(self, folder: Path) -> None:
        track = np.array(self.pose)
        clock, rays, nudged = (
            np.array(self.clock),
            np.array(self.rays),
            np.array(self.nudged).reshape(-1, 2),
        )
        write_walk(folder, self.images, track[:, :2], track[:, 2], clock, self.body, rays, nudged)


class _Take:
    """One batch of drives."""

    def __init__(
        self, out: Path, number: int, places: Sequence[Sequence[Scene]], settings: Settings
    ):
        seed = take_seed(settings.seed, number)
        self.out, self.number, self.rng = out, number, np.random.default_rng([seed, 23])
        source = Drives(places, settings.envs, seed, settings.people)
        self.worlds = Filmed(
            source.scenes, settings.worlds(), settings.envs, source, settings.cameras
        )
        self.expert = ExpertAgent(self.worlds)
        self.walks = self.frames = 0
        self.push, self.left = np.zeros((settings.envs, 2)), np.zeros(settings.envs, dtype=int)
        self.failed: dict[str, int] = {}

    def drive(self, wanted: int, bar: tqdm) -> dict[str, Any]:
        """Drives until all drives are over or `wanted` frames are written; returns what record.json
        says about it.
        """
        worlds, count = self.worlds, self.worlds.count
        seen = worlds.reset()
        self.expert.reset(np.arange(count))
        drives = [_Drive(body_of(worlds.fleet, w)) for w in range(count)]
        with ThreadPoolExecutor(2) as threads:
            while worlds.live.any() and self.frames < wanted:
                self._look(drives, seen["rgb"], threads)
                seen, _, _, _ = worlds.step(self.expert.act() + self._nudge(drives))
                self._end(drives, bar)
        whole = not worlds.live.any()
        return {"walks": self.walks, "frames": self.frames, "failed": self.failed, "whole": whole}

    def _look(self, drives: list[_Drive], rgb: np.ndarray, threads: ThreadPoolExecutor) -> None:
        """Keeps what every robot sees and where it is."""
        live = np.flatnonzero(self.worlds.live)
        rays = free_space(self.worlds, live)
        for row, (world, image) in enumerate(zip(live, threads.map(jpeg, rgb[live]), strict=True)):
            drive = drives[world]
            drive.images.append(image)
            drive.pose.append(self.worlds.pose[world].copy())
            drive.clock.append(float(self.worlds.clock[world]))
            drive.rays.append(rays[row])

    def _nudge(self, drives: list[_Drive]) -> np.ndarray:
        """(N, 2) what is added to each robot's waypoint, metres; begins and ends nudges."""
        step_s, count = self.worlds.config.step_s, len(self.left)
        begins = (self.left == 0) & (self.rng.random(count) < NUDGES_HZ * step_s)
        push = self.rng.normal(0, NUDGE_M, (count, 2)) * 2.0 ** self.rng.uniform(-1, 1, (count, 1))
        lasts = self.rng.integers(NUDGE_STEPS[0], NUDGE_STEPS[1] + 1, count)
        self.push[begins], self.left[begins] = push[begins], lasts[begins]
        for world in np.flatnonzero(begins & self.worlds.live):
            clock = drives[world].clock[-1]
            drives[world].nudged.append((clock, clock + step_s * int(lasts[world])))
        pushed = np.where(self.left[:, None] > 0, self.push, 0.0)
        self.left = np.maximum(self.left - 1, 0)
        return pushed

    def _end(self, drives: list[_Drive], bar: tqdm) -> None:
        """Writes the drives that ended well, and begins the next ones."""
        last = self.worlds.last
        for row, world in enumerate(last["world"]):
            drive = drives[world]
            if last["success"][row] and len(drive.images) >= MIN_FRAMES:
                drive.write(self.out / f"t{self.number:03d}_w{self.walks:04d}")
                self.walks += 1
                self.frames += len(drive.images)
                bar.update(len(drive.images))
            elif not last["success"][row]:
                self.failed[drive.body.robot] = self.failed.get(drive.body.robot, 0) + 1
            self.left[world] = 0
            drives[world] = _Drive(body_of(self.worlds.fleet, world))
        self.expert.reset(last["world"])
