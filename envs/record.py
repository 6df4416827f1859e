"""Records navigation video: the expert drives through worlds, and what it saw becomes walks in the GNM layout.

A recording is made of takes. Each is a batch of worlds that live through a few drives each, and follows from the settings and its
number alone: a take that was cut off is driven again, and the recording is the same as if nothing had happened.
"""

import dataclasses
import json
import os
import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from s2e.envs.config import WorldsConfig
from s2e.envs.drive import ExpertDriver
from s2e.envs.episodes import RandomEpisodes
from s2e.envs.fleet import CONTROL_S, Fleet
from s2e.envs.free_space import free_space
from s2e.envs.pool import training_scenes
from s2e.envs.scene import Episode, Scene
from s2e.envs.scene_files import load_scenes
from s2e.envs.warm import warm_up
from s2e.envs.worlds import Worlds
from s2e.errors import UserError
from s2e.video.frames import jpeg
from s2e.video.gnm import write_walk
from s2e.video.walk import MIN_FRAMES, Body

NUDGE_PROBABILITY, NUDGE_STEPS = 0.03, 4
DRIVES = 6
"""Drives of each world in a take."""
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
    camera_noise: float = 0.0
    seed: int = 0

    def places(self) -> list[str]:
        """The names in `scene`."""
        return [name.strip() for name in self.scene.split(",") if name.strip()] or [STREETS]

    def worlds(self) -> WorldsConfig:
        """What the worlds share."""
        return WorldsConfig(robot=self.robot, people=self.people, camera_noise=self.camera_noise)


class Drives(RandomEpisodes):
    """`DRIVES` random episodes a world, then none."""

    def next(self, world: int) -> tuple[int, Episode] | None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Draws the world's next episode."""
        return super().next(world) if self.drawn[world] < DRIVES else None


def record(out: Path, frames: int, settings: Settings, resume: bool = False) -> dict[str, int]:
    """Writes at least `frames` frames of successful drives below `out`, 5 a second.

    Now and then the expert is nudged off its course for under a second, so that recovering is in the data. With `resume` a recording
    of the same settings goes on after its last whole take, or begins where there is none.

    Returns:
        Counts: walks, frames, and drives left out because the expert failed.

    Raises:
        UserError: a setting is wrong; `out` is not empty and nothing is to be resumed, or holds another recording; it cannot be
            written.
    """
    config = settings.worlds()
    try:
        out.mkdir(parents=True, exist_ok=True)
        state = _begin(out, settings, resume)
        if _sum(state)["frames"] >= frames:
            return _sum(state)
        if state["takes"] and not state["takes"][-1]["whole"]:  # it ended early, because there were frames enough
            state["takes"].pop()
        _clear(out, len(state["takes"]))
        warm_up()
        places = settings.places()
        loaded = {name: load_scenes(name) for name in places if name != STREETS}
        _write(out / "dataset.json", _about(settings))
        with tqdm(total=frames, initial=_sum(state)["frames"], desc="record", unit="frame", disable=None) as bar:
            while _sum(state)["frames"] < frames:
                number = len(state["takes"])
                place = places[number % len(places)]
                pool = loaded[place] if place != STREETS else training_scenes(settings.scenes, _seed(settings, number))
                take = _Take(out, number, pool, config, settings)
                state["takes"].append(take.drive(frames - _sum(state)["frames"], bar))
                _write(out / "record.json", state)
    except OSError as error:
        raise UserError(f"{out}: walks cannot be written there ({error}); give another --out") from None
    return _sum(state)


def _begin(out: Path, settings: Settings, resume: bool) -> dict[str, Any]:
    """The state of the recording in a folder, or that of a new one."""
    file, mine = out / "record.json", dataclasses.asdict(settings)
    if not resume:
        if any(out.iterdir()):
            raise UserError(f"{out}: not empty; give a new folder for the walks, or --resume to go on with a recording")
    elif file.is_file():
        state = _read(file)
        for name, value in mine.items():
            if state["settings"].get(name) != value:
                raise UserError(f"{file}: recorded with --{name.replace('_', '-')} {state['settings'].get(name)}, not {value}")
        return state
    elif any(out.iterdir()):
        raise UserError(f"{out}: no recording to resume (record.json is missing); give a new folder")
    state = {"settings": mine, "takes": []}
    _write(file, state)
    return state


def _read(file: Path) -> dict[str, Any]:
    """What `_write` wrote of a recording."""
    try:
        state = json.loads(file.read_text())
        good = isinstance(state["settings"], dict) and all(
            isinstance(take[key], kind) for take in state["takes"] for key, kind in (("walks", int), ("frames", int), ("failed", dict))
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{file}: not the state of a recording ({error!r}); record into a new folder") from None
    if not good:
        raise UserError(f"{file}: not the state of a recording; record into a new folder")
    return state


def _write(file: Path, state: dict[str, Any]) -> None:
    """Writes JSON in one go: a cut leaves the old file."""
    fresh = file.with_name(file.name + ".new")
    fresh.write_text(json.dumps(state) + "\n")
    os.replace(fresh, file)


def _clear(out: Path, number: int) -> None:
    """Removes what there is of takes from `number` on."""
    for folder in out.glob("t[0-9]*_w[0-9]*"):
        if int(folder.name[1:].split("_")[0]) >= number:
            shutil.rmtree(folder)


def _sum(state: dict[str, Any]) -> dict[str, int]:
    """Counts over all takes."""
    takes = state["takes"]
    failed = sum(sum(take["failed"].values()) for take in takes)
    return {"walks": sum(t["walks"] for t in takes), "frames": sum(t["frames"] for t in takes), "failed": failed}


def _seed(settings: Settings, number: int) -> int:
    """What everything in a take is drawn from."""
    return int(np.random.SeedSequence([settings.seed, 23, number]).generate_state(1)[0])


def _about(settings: Settings) -> dict[str, Any]:
    """dataset.json."""
    hz = 1.0 / (CONTROL_S * settings.worlds().controls_per_step)
    return {"hz": hz, "source": f"expert in {', '.join(settings.places())}", "robot": settings.robot, "seed": settings.seed}


def body_of(fleet: Fleet, row: int) -> Body:
    """What a walk says about the robot of one world."""
    hfov, x, z, pitch = fleet.camera[row]
    size, limits = fleet.size[row], fleet.limits[row]
    figures = [float(round(v, 4)) for v in (size[0], size[1], limits[0], limits[3], z, hfov, pitch, x)]
    return Body(fleet.names[fleet.kind[row]], *figures)


class _Drive:
    """What one world's robot has seen since its drive began."""

    def __init__(self, body: Body):
        self.body = body
        self.images: list[bytes] = []
        self.pose: list[np.ndarray] = []
        self.clock: list[float] = []
        self.rays: list[np.ndarray] = []

    def write(self, folder: Path) -> None:
        track = np.array(self.pose)
        write_walk(folder, self.images, track[:, :2], track[:, 2], np.array(self.clock), self.body, np.array(self.rays))


class _Take:
    """One batch of drives."""

    def __init__(self, out: Path, number: int, pool: Sequence[Scene], config: WorldsConfig, settings: Settings):
        seed = _seed(settings, number)
        self.out, self.number, self.rng = out, number, np.random.default_rng([seed, 23])
        self.worlds = Worlds(pool, config, settings.envs, Drives(pool, settings.envs, seed, settings.people))
        self.driver = ExpertDriver(self.worlds)
        self.walks = self.frames = 0
        self.failed: dict[str, int] = {}

    def drive(self, wanted: int, bar: tqdm) -> dict[str, Any]:
        """Drives until all drives are over or `wanted` frames are written; returns what record.json says about it."""
        worlds, count = self.worlds, self.worlds.count
        seen = worlds.reset()
        self.driver.begin(np.arange(count))
        drives = [_Drive(body_of(worlds.fleet, w)) for w in range(count)]
        nudge, left = np.zeros((count, 2)), np.zeros(count, dtype=int)
        with ThreadPoolExecutor(2) as threads:
            while worlds.live.any() and self.frames < wanted:
                self._look(drives, seen["rgb"], threads)
                start = (left == 0) & (self.rng.random(count) < NUDGE_PROBABILITY)
                nudge[start], left[start] = self.rng.normal(0, [0.2, 0.5], (int(start.sum()), 2)), NUDGE_STEPS
                action = self.driver.act() + np.where(left[:, None] > 0, nudge, 0.0)
                left = np.maximum(left - 1, 0)
                seen, _, _, _ = worlds.step(action)
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
            drives[world] = _Drive(body_of(self.worlds.fleet, world))
        self.driver.begin(last["world"])
