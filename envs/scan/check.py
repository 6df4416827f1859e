"""`s2e-scene check`: whether a scene is whole, its map agrees with its splats, and its episodes can
be solved.
"""

import dataclasses
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from scipy.ndimage import label
from tqdm import tqdm

from s2e.core.errors import UserError
from s2e.core.files import sha256
from s2e.envs.config import WorldsConfig
from s2e.envs.expert.drive import ExpertAgent
from s2e.envs.geometry.camera import Camera, camera_poses
from s2e.envs.geometry.ground import GroundFields, ground_height_at
from s2e.envs.geometry.scene import Episode, Scene
from s2e.envs.scan.ground.columns import NOISY_M, skipped_m
from s2e.envs.scan.plan import DOWN
from s2e.envs.scenes.episodes import (
    ALL_SETTINGS,
    SETTINGS,
    SOCIAL,
    ListedEpisodes,
    check_episodes,
    read_episodes,
)
from s2e.envs.scenes.files import load_scene, read_description, scene_folder
from s2e.envs.scenes.placing import place_obstacles
from s2e.envs.scenes.propose import NARROW_M, nearby, on_wheels, route_of
from s2e.envs.splats.render import prepare, render_splats
from s2e.envs.splats.views import Views
from s2e.envs.worlds import Worlds

SAMPLE = 6
"""Episodes of each setting that the expert drives without --all."""
BATCH = 50
"""Episodes driven at once: each has distance fields of its own, and a large place's are
megabytes."""
MOST_IN_FREE = 0.05
"""Share of sight lines that may end on something where the map says free: leaves, wires, and edges
seen at a slant."""
SIGHT_M = 8.0
"""How far the looks ahead are compared: there they still pass below what a robot drives under."""
MOST_NOISE_M = 10.0
"""What scene.json may say of a floor's noise; more is none that was measured."""
LEAST_GROUND, OFF_M = 0.8, 0.08
"""Share of looks down that must find the ground where the map has it, and how near, metres; of a
noisy capture within its noise."""
BLIND_M, MOST_BLIND = 0.35, 0.25
"""A look half of which ends nearer than so many metres is into a blob, since anchors are that
clear; share of looks that may be."""
_MUST = ("empty", "obstacle")


@dataclasses.dataclass(frozen=True)
class Finding:
    """One thing that was checked: what, whether it is as it should be, and in words what was
    found.
    """

    what: str
    good: bool
    found: str


def check_scene(name: str, everything: bool) -> bool:
    """Prints a line for each thing checked, and for each failure which; whether all is well.

    Args:
        name: a scene's name or folder.
        everything: every episode is driven, not `SAMPLE` of each setting.

    Raises:
        UserError: the scene cannot be loaded at all.
    """
    well = True
    for finding in findings(name, everything):
        print(
            f"{'ok    ' if finding.good else 'FAILED'}  {finding.what}: {finding.found}", flush=True
        )
        well &= finding.good
    print(
        f"{name}: "
        + (
            "fit to drive in"
            if well
            else "not fit to drive in; correct and import it again, or mend what failed"
        )
    )
    return well


def findings(name: str, everything: bool) -> Iterator[Finding]:
    """The checks one after the other; those that make no sense after a failure are left out."""
    folder = scene_folder(name)
    scene = load_scene(name)
    yield Finding("files", True, "scene.json and the files it names are whole")
    yield from _anchors(scene)
    if scene.splats is not None:
        yield from splats_against_map(scene, noise_m=_noise_of(folder))
    path = folder / "episodes.json"
    try:
        episodes = read_episodes(path)
        check_episodes(path, scene, episodes)
    except UserError as error:
        yield Finding("episodes", False, str(error))
        return
    yield _episodes_hash(folder, path)
    per = {s: sum(e.setting == s for e in episodes) for s in SETTINGS}
    per |= {SOCIAL: more} if (more := sum(e.setting == SOCIAL for e in episodes)) else {}
    yield Finding("episodes", True, ", ".join(f"{n} {s}" for s, n in per.items()))
    lost = [e for e in episodes if route_around(scene, e) is None]
    yield Finding(
        "routes",
        not lost,
        f"{len(episodes) - len(lost)} of {len(episodes)} episodes have one" + _named(lost),
    )
    yield from drive(scene, episodes, everything)


def _noise_of(folder: Path) -> float:
    """Deviation of an imported scene's floor, metres; 0 of others."""
    floor = read_description(folder).get("floor")
    noise = floor.get("noise_m") if isinstance(floor, dict) else None
    return float(noise) if isinstance(noise, int | float) and 0 <= noise < MOST_NOISE_M else 0.0


def _named(episodes: list[Episode], most: int = 12) -> str:
    """The ids of failed episodes."""
    if not episodes:
        return ""
    return (
        "; not: "
        + ", ".join(e.id for e in episodes[:most])
        + (f" and {len(episodes) - most} more" if len(episodes) > most else "")
    )


def _episodes_hash(folder: Path, path: Path) -> Finding:
    """episodes.json against its hash, where scene.json has one."""
    entry = read_description(folder).get("files", {}).get("episodes")
    if not isinstance(entry, dict):
        return Finding("episode file", True, "scene.json has no hash of it")
    found, wanted = sha256(path), str(entry.get("sha256"))
    return Finding(
        "episode file",
        found == wanted,
        "as written"
        if found == wanted
        else f"sha256 is {found[:12]}..., scene.json says {wanted[:12]}...",
    )


def _anchors(scene: Scene) -> Iterator[Finding]:
    """Whether anchors are on free ground and reach one another on wheels."""
    occupancy = on_wheels(scene.occupancy, scene.ground)
    clear = occupancy.distance() > NARROW_M
    regions = np.zeros(clear.shape, np.int32)
    label(clear, output=regions)
    rows, columns = occupancy.cell_of(scene.free_anchors).T
    inside = (rows >= 0) & (columns >= 0) & (rows < clear.shape[0]) & (columns < clear.shape[1])
    region = np.where(
        inside, regions[rows.clip(0, clear.shape[0] - 1), columns.clip(0, clear.shape[1] - 1)], 0
    )
    main = np.bincount(region[region > 0]).argmax() if (region > 0).any() else -1
    lost = np.flatnonzero(region != main)
    words = (
        f"{len(region) - len(lost)} of {len(region)} are {NARROW_M} m clear and reach one another"
    )
    if len(lost):
        words += "; not: " + ", ".join(
            f"({x:.1f}, {y:.1f})" for x, y in scene.free_anchors[lost[:8]]
        )
    yield Finding("anchors", len(lost) == 0, words)


def splats_against_map(scene: Scene, views: int = 192, noise_m: float = 0.0) -> Iterator[Finding]:
    """Depth drawn at anchors against the map: one must see, nothing may stand where it says free,
    the ground must be where it says.

    A map may be more careful than what is seen (ground that nobody saw, or that nobody reaches,
    counts as solid), so only sight lines that end early count against it; in a capture whose floor
    is noisy, haze ends many, and they are told and not counted.
    """
    assert scene.splats is not None
    # Low, as most of what stands in a robot's way is, and by 2 to 4 degrees up, since a level look
    # grazes bumpy ground far off.
    camera = Camera(height_px=96, width_px=160, x=0.0, z=0.5, pitch_deg=0.0)
    rng = np.random.default_rng(5)
    anchors = scene.free_anchors[rng.integers(len(scene.free_anchors), size=views)]
    yaws = rng.uniform(-np.pi, np.pi, views)
    fields, ids = GroundFields.pack([scene]), np.zeros(views, dtype=np.int64)
    eyes = ground_height_at(fields, ids, anchors)
    positions, rotations = camera_poses(np.column_stack([anchors, yaws]), camera)
    positions[:, 2] = eyes + camera.z
    lens = camera.intrinsics()
    prepared = prepare(scene.splats)
    _, depth, alpha = render_splats(
        prepared,
        Views(
            positions,
            rotations,
            lens,
            camera.height_px,
            camera.width_px,
            antialiased=scene.splats.antialiased,
        ),
    )
    blind = float(((np.where(alpha > 0.5, depth, np.inf) < BLIND_M).mean(axis=(1, 2)) > 0.5).mean())
    words = (
        f"half of the picture is nearer than {BLIND_M:g} m in {blind:.0%} of {views} level "
        f"looks (at most {MOST_BLIND:.0%})"
    )
    yield Finding("sight", blind <= MOST_BLIND, words)
    part = (
        slice(None),
        slice(camera.height_px // 2 - 6, camera.height_px // 2 - 2),
        slice(camera.width_px // 2 - 2, camera.width_px // 2 + 2),
    )
    # the depth of a veil before the sky is the veil's
    solid = np.median(alpha[part], axis=(1, 2)) > 0.5
    seen = np.where(solid, np.median(depth[part], axis=(1, 2)), np.inf)
    free = free_way(scene, anchors, yaws, camera.z)
    early = seen < np.minimum(free, SIGHT_M) - (0.25 + 0.08 * free)
    share = float(early.mean())
    hazy = noise_m > NOISY_M
    most = (
        f"told only: the capture is noisy, {noise_m:.2f} m at the floor"
        if hazy
        else f"at most {MOST_IN_FREE:.0%}"
    )
    words = f"{share:.0%} of {views} sight lines end before the map does ({most})"
    yield Finding("free ground", hazy or share <= MOST_IN_FREE, words)
    down = Camera(height_px=24, width_px=24, hfov_deg=50.0)
    # anchors are clear of all that is lower than a robot needs
    above = np.column_stack([anchors, eyes + 1.0])
    looking = np.broadcast_to(DOWN, (views, 3, 3))
    _, depth, _ = render_splats(
        prepared,
        Views(above, looking, down.intrinsics(), 24, 24, antialiased=scene.splats.antialiased),
    )
    below = np.median(depth, axis=(1, 2))
    rise = np.where(np.isfinite(below), 1.0 - below, -np.inf)
    near = skipped_m(noise_m) if hazy else OFF_M
    good = float((np.abs(rise) < near).mean())
    yield Finding(
        "ground height",
        good >= LEAST_GROUND,
        f"{good:.0%} of {views} looks straight down find it within {near:.2g} m (at least "
        f"{LEAST_GROUND:.0%}), in the median "
        f"{np.median(rise):+.3f} m",
    )


def free_way(
    scene: Scene, anchors: np.ndarray, yaws: np.ndarray, eye_m: float = math.inf
) -> np.ndarray:
    """How far one sees along the map.

    Args:
        scene: where.
        anchors: (N, 2) from where, metres.
        yaws: (N,) which way.
        eye_m: of eyes this high above the ground at the anchor that look level; ground that rises
            to them ends the view.

    Returns:
        (N,) metres to the first occupied cell, at most 15.
    """
    occupancy, shape = scene.occupancy, scene.occupancy.grid.shape
    steps = np.arange(0.0, 15.0, 0.5 * occupancy.resolution)
    rays = anchors[:, None] + steps[:, None] * np.stack([np.cos(yaws), np.sin(yaws)], 1)[:, None]
    rows, columns = np.moveaxis(occupancy.cell_of(rays), -1, 0)
    inside = (rows >= 0) & (columns >= 0) & (rows < shape[0]) & (columns < shape[1])
    rows, columns = rows.clip(0, shape[0] - 1), columns.clip(0, shape[1] - 1)
    hit = ~inside | occupancy.grid[rows, columns]
    if scene.ground is not None:
        height = scene.ground.height[rows, columns]
        hit |= height > height[:, :1] + eye_m - 0.1
    hit[:, -1] = True
    return steps[np.argmax(hit, axis=1)]


def route_around(scene: Scene, episode: Episode) -> np.ndarray | None:
    """The safe route of an episode around its obstacles; the map of a large place is cut to where
    it can be.
    """
    start, goal = np.array(episode.start[:2]), np.array(episode.goal)
    scene = place_obstacles(nearby(scene, (start + goal) / 2, episode.route_m / 2 + 3.0), episode)
    return route_of(scene, scene.occupancy, start, goal, narrow=True)


def drive(scene: Scene, episodes: list[Episode], everything: bool) -> Iterator[Finding]:
    """Lets the expert drive a Jackal through episodes; without people in the way it has to arrive
    every time.
    """
    chosen = []
    for setting in ALL_SETTINGS:
        of_setting = [e for e in episodes if e.setting == setting]
        spread = (
            np.linspace(0, len(of_setting) - 1, SAMPLE).round().astype(int)
            if len(of_setting) > SAMPLE
            else range(len(of_setting))
        )
        chosen += of_setting if everything else [of_setting[i] for i in spread]
    arrived = np.concatenate(
        [solved(scene, chosen[k : k + BATCH]) for k in range(0, len(chosen), BATCH)]
    )
    for setting in ALL_SETTINGS:
        of_setting = [(e, a) for e, a in zip(chosen, arrived, strict=True) if e.setting == setting]
        failed = [e for e, a in of_setting if not a]
        if of_setting:
            good = not failed or setting not in _MUST
            words = (
                f"{len(of_setting) - len(failed)} of {len(of_setting)} driven episodes reach "
                f"the goal in time{_named(failed)}"
            )
            yield Finding(f"expert, {setting}", good, words)


def solved(scene: Scene, episodes: list[Episode]) -> np.ndarray:
    """(N,) bool: whether the expert reaches the goal of each episode before its time is over;
    contacts block and do not end it.
    """
    scenes = [place_obstacles(scene, e) for e in episodes]
    people = max(1, *(len(e.walkers) for e in episodes))
    worlds = Worlds(
        scenes,
        WorldsConfig(people=people, collision="counts"),
        len(episodes),
        ListedEpisodes(episodes),
        draw=False,
    )
    worlds.reset()
    expert = ExpertAgent(worlds)
    expert.reset(np.arange(len(episodes)))
    arrived = np.zeros(len(episodes), dtype=bool)
    with tqdm(total=len(episodes), desc="expert", unit="episode", disable=None, leave=False) as bar:
        while worlds.live.any():
            worlds.step(expert.act())
            arrived[worlds.last["world"]] = worlds.last["success"]
            bar.update(len(worlds.last["world"]))
    return arrived
