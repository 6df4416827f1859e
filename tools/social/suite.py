"""Writes the suite `social`: places, situations, and their list.

    python -m tools.social.suite [KINDS] --out DIR

The same files every time; what ships is assets/social. Who changes an episode or a place reads the
results again (docs/social.md).
"""

import dataclasses
import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro

from s2e.benchmarks.runner import episode_worlds
from s2e.benchmarks.social import crosses_line, set_off
from s2e.core.errors import run_command
from s2e.core.files import sha256
from s2e.envs.geometry.astar import path_length
from s2e.envs.geometry.scene import Episode, Scene
from s2e.envs.people.crowd import ARRIVED_M
from s2e.envs.scenes.episodes import SOCIAL, write_episodes
from s2e.envs.scenes.files import (
    SOCIAL_HELD_OUT,
    file_entry,
    load_scene,
    scene_folder,
    write_scene,
)
from s2e.envs.scenes.placing import place_obstacles
from s2e.envs.scenes.propose import route_of
from tools.social.kinds import KINDS, Draft, Rng
from tools.social.places import PLACES, build_place
from tools.social.splats import SPLATS
from tools.suites import listed

EPISODES = 20
SEED = 11
ROBOT_ROOM_M, PERSON_ROOM_M, APART_M = 0.5, 0.25, 2.0
"""Room around a robot's start and goal, around a person's; how far people start from a robot."""
ALONE_S = 60.0
"""Whoever has not arrived by then, with no robot there, never does, seconds."""
DETOUR_M = {"blocked": 4.0, "gate": 14.0}
"""How much longer than the straight line the way of these kinds is at least, metres."""


def finish(draft: Draft, kind: str, k: int, scene: Scene, rng: Rng) -> Episode | None:
    """The episode of a draft, without `alone_s`; None where something does not fit."""
    here = Episode(
        id=f"{kind}-{k:03d}",
        setting=SOCIAL,
        start=draft.start,
        goal=draft.goal,
        route_m=1.0,
        time_limit_s=1.0,
        seed=int(rng.integers(1 << 31)),
        obstacles=tuple(draft.obstacles),
        walkers=tuple(draft.walkers),
        task=draft.task,
        rule=draft.rule,
        truth=draft.truth,
    )
    occupancy = place_obstacles(scene, here).occupancy
    clear, start, goal = occupancy.distance(), np.array(draft.start[:2]), np.array(draft.goal)

    def room(point: tuple[float, ...]) -> float:
        row, column = occupancy.cell_of(np.array(point[:2]))
        inside = 0 <= row < clear.shape[0] and 0 <= column < clear.shape[1]
        return float(clear[row, column]) if inside else 0.0

    people = [p for w in draft.walkers for p in ((w.start, w.goal) if _walks(w) else (w.start,))]
    if min(map(room, (draft.start, draft.goal))) < ROBOT_ROOM_M:
        return None
    if min(map(room, people), default=1.0) < PERSON_ROOM_M:
        return None
    if any(math.dist(w.start, draft.start[:2]) < APART_M for w in draft.walkers):
        return None
    route = route_of(scene, occupancy, start, goal)
    if route is None:
        return None
    length, straight = path_length(route), math.dist(start, goal)
    if kind in DETOUR_M:
        crossed = all(any(crosses_line(route, gate)) for gate in draft.truth.gates)
        if not crossed or length - straight < DETOUR_M[kind]:
            return None
    elif not draft.longer_m and length > 1.15 * straight + 0.5:
        return None
    limit = 15.0 + 1.6 * (length + draft.longer_m)
    return dataclasses.replace(here, route_m=round(length, 3), time_limit_s=round(limit, 1))


def _walks(walker) -> bool:
    return walker.behaviour != "stand"


def alone(scene: Scene, episodes: list[Episode]) -> list[tuple[float, ...]]:
    """Seconds that each person of each episode needs from setting off to the goal when no robot is
    there; infinite where they do not arrive, 0 where they stand.
    """
    free = [
        dataclasses.replace(
            e,
            time_limit_s=ALONE_S,
            walkers=tuple(
                dataclasses.replace(w, script=dataclasses.replace(w.script, wait_m=0.0))
                for w in e.walkers
            ),
        )
        for e in episodes
    ]
    worlds = episode_worlds(scene, free, draw=False, react=False)
    worlds.reset()
    tracks = [worlds.people.position.copy()]
    while worlds.live.any():
        worlds.step(np.zeros((worlds.count, 2)))
        tracks.append(worlds.people.position.copy())
    track, found = np.array(tracks), []
    for n, episode in enumerate(episodes):
        times = []
        for p, walker in enumerate(episode.walkers):
            if not _walks(walker):
                times.append(0.0)
                continue
            away = np.linalg.norm(track[:, n, p] - walker.goal, axis=1)
            first = np.flatnonzero(away < ARRIVED_M)
            begin = set_off(track[:, n, p])
            late = not len(first) or begin is None
            times.append(math.inf if late else worlds.config.step_s * float(first[0] - begin))
        found.append(tuple(round(t, 2) for t in times))
    return found


def draw(kind: str, scene: Scene, one: Callable[[Rng, int], Draft], number: int) -> list[Episode]:
    """The episodes of a kind in a place."""
    rng = np.random.default_rng([SEED, number])
    done: dict[int, Episode] = {}
    for _ in range(30):
        fresh: dict[int, Episode] = {}
        for k in set(range(EPISODES)) - set(done):
            for _ in range(200):
                made = finish(one(rng, k), kind, k, scene, rng)
                if made is not None:
                    fresh[k] = made
                    break
            else:
                raise AssertionError(f"{kind}-{k}: nothing fits in {scene.name}")
        for (k, made), times in zip(fresh.items(), alone(scene, list(fresh.values())), strict=True):
            if all(map(math.isfinite, times)):
                truth = dataclasses.replace(made.truth, alone_s=times)
                done[k] = dataclasses.replace(made, truth=truth)
        if len(done) == EPISODES:
            return [done[k] for k in range(EPISODES)]
    raise AssertionError(f"{kind}: somebody never arrives")


def write_kind(folder: Path, name: str, place: str, place_folder: Path, episodes: list) -> None:
    """A scene that is a place with episodes of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    write_episodes(folder / "episodes.json", name, episodes)
    data = {
        "name": name,
        "units": "m",
        "place": {"scene": place, "sha256": sha256(place_folder / "scene.json")},
        "files": {"episodes": file_entry(folder, "episodes.json")},
    }
    (folder / "scene.json").write_text(json.dumps(data, indent=1) + "\n")


def listing(out: Path) -> dict:
    """What suite.json says: kinds held out, and bytes and sha256 of each file."""
    return {
        "suite": "social",
        "held_out": list(SOCIAL_HELD_OUT),
        "files": listed(out, out.glob("*/*")),
    }


@dataclass
class SuiteArgs:
    """Writes the suite `social`."""

    out: Path
    """Folder for one folder a place and a kind, and suite.json; assets/social is what ships."""
    names: tyro.conf.Positional[tuple[str, ...]] = ()
    """Kinds, such as doorway or group_splats; none stands for all, and the places."""


def main(args: SuiteArgs) -> None:
    """Builds, prints a line for each, and writes the list."""
    if not args.names:
        for place in PLACES:
            write_scene(args.out / place, build_place(place))
    order = [*KINDS, *SPLATS]
    for name in args.names or order:
        if name in KINDS:
            where, one = KINDS[name]
            place, folder = f"social/{where}", args.out / where
            scene, kind = load_scene(folder), name
        else:
            place, one = SPLATS[name]
            folder, scene = scene_folder(place), load_scene(place)
            kind = name.removesuffix("_splats")
            one = one(scene)
        episodes = draw(kind, scene, one, order.index(name))
        write_kind(args.out / name, f"social/{name}", place, folder, episodes)
        routes = [e.route_m for e in episodes]
        print(
            f"{name}: {len(episodes)} episodes of {min(routes):.0f} to {max(routes):.0f} m, "
            f"{sum(len(e.walkers) for e in episodes)} people",
            flush=True,
        )
    (args.out / "suite.json").write_text(json.dumps(listing(args.out), indent=1) + "\n")


if __name__ == "__main__":
    run_command(lambda: main(tyro.cli(SuiteArgs)))
