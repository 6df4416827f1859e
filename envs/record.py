"""Records navigation video: the expert drives through worlds, and what it saw becomes walks in the GNM layout."""

import io
import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from s2e.envs.build import build_scene
from s2e.envs.config import WorldsConfig
from s2e.envs.drive import ExpertDriver
from s2e.envs.episodes import RandomEpisodes
from s2e.envs.fleet import CONTROL_S
from s2e.envs.object_files import load_objects
from s2e.envs.scene import Scene
from s2e.envs.scene_files import load_scenes
from s2e.envs.warm import warm_up
from s2e.envs.worlds import Worlds
from s2e.errors import UserError
from s2e.video.gnm import write_walk
from s2e.video.walk import MIN_FRAMES

NUDGE_PROBABILITY, NUDGE_STEPS = 0.03, 4


def training_scenes(
    count: int,
    seed: int,
    families: Sequence[str] | str = (),
    objects: Path | None = None,
    blocks: tuple[int, int] = (1, 1),
    density: float | None = None,
) -> list[Scene]:
    """A pool of scenes from consecutive seeds.

    Args:
        count: how many.
        seed: of the pool.
        families: layouts, one after the other; none is all that training draws from.
        objects: a GLB or OBJ file, or a folder of them, that stand in the way instead of the packaged things.
        blocks: how many blocks each scene joins.
        density: how much stands in the way, 0 to 1; None draws it for each scene.
    """
    build = scene_builder(families, objects, blocks, density)
    bar = tqdm(range(count), desc="scenes", unit="scene", disable=None if count > 32 else True, leave=False)
    return [build(1000 * (seed + 1) + i) for i in bar]


def scene_builder(
    families: Sequence[str] | str = (),
    objects: Path | None = None,
    blocks: tuple[int, int] = (1, 1),
    density: float | None = None,
) -> Callable[[int], Scene]:
    """`build_scene` with everything but the seed given; see `training_scenes`."""
    kinds = load_objects(objects) if objects else None
    families = (families,) if isinstance(families, str) else families

    def build(seed: int) -> Scene:
        family = families[seed % len(families)] if families else None
        return build_scene(seed, family, density, objects=kinds, blocks=blocks)

    return build


def jpeg(image: np.ndarray) -> bytes:
    """(H, W, 3) uint8 as JPEG."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def record(
    out: Path, frames: int, envs: int, scenes: int, seed: int, robot: str, people: int, camera_noise: float = 0.0, scene: str = ""
) -> dict[str, int]:
    """Writes at least `frames` frames of successful drives below `out`, 5 a second, in `scenes` streets or in a named scene.

    Now and then the expert is nudged off its course for under a second, so that recovering is in the data.

    Returns:
        Counts: walks, frames, and drives left out because the expert failed.
    """
    config = WorldsConfig(robot=robot, people=people, camera_noise=camera_noise)
    try:
        out.mkdir(parents=True, exist_ok=True)
        if any(out.iterdir()):
            raise UserError(f"{out}: not empty; give a new folder for the walks")
    except OSError as error:
        raise UserError(f"{out}: walks cannot be written there ({error}); give another --out") from None
    warm_up()
    pool = load_scenes(scene) if scene else training_scenes(scenes, seed)
    worlds = Worlds(pool, config, envs, RandomEpisodes(pool, envs, seed, people))
    driver, rng = ExpertDriver(worlds), np.random.default_rng([seed, 23])
    seen = worlds.reset()
    driver.begin(np.arange(envs))
    images: list[list[bytes]] = [[] for _ in range(envs)]
    poses: list[list[np.ndarray]] = [[] for _ in range(envs)]
    nudge, left = np.zeros((envs, 2)), np.zeros(envs, dtype=int)
    counts = {"walks": 0, "frames": 0, "failed": 0}
    with ThreadPoolExecutor(2) as threads, tqdm(total=frames, desc="record", unit="frame", disable=None) as bar:
        while counts["frames"] < frames:
            for world, data in enumerate(threads.map(jpeg, seen["rgb"])):
                images[world].append(data)
                poses[world].append(worlds.pose[world].copy())
            start = (left == 0) & (rng.random(envs) < NUDGE_PROBABILITY)
            nudge[start], left[start] = rng.normal(0, [0.2, 0.5], (int(start.sum()), 2)), NUDGE_STEPS
            action = driver.act() + np.where(left[:, None] > 0, nudge, 0.0)
            left = np.maximum(left - 1, 0)
            seen, _, _, _ = worlds.step(action)
            for row, world in enumerate(worlds.last["world"]):
                if worlds.last["success"][row] and len(poses[world]) >= MIN_FRAMES:
                    track = np.array(poses[world])
                    write_walk(out / f"walk_{counts['walks']:05d}", images[world], track[:, :2], track[:, 2])
                    counts["walks"] += 1
                    counts["frames"] += len(track)
                    bar.update(len(track))
                else:
                    counts["failed"] += 1
                images[world], poses[world] = [], []
            driver.begin(worlds.last["world"])
    hz = 1.0 / (CONTROL_S * worlds.config.controls_per_step)
    about = {"hz": hz, "source": f"expert in {scene or 'procedural streets'}", "robot": robot, "seed": seed, "scenes": len(pool)}
    (out / "dataset.json").write_text(json.dumps(about) + "\n")
    return counts
