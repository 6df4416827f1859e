"""Draws the documentation's pictures: python -m s2e.assets.make_pictures [FOLDER].

worlds.jpg   the README's: training worlds above, episodes in eight scenes of gs_urban (Gaussians with people and obstacles) below
sheet.jpg    64 training worlds, each with a scene, weather, robot and camera of its own
worlds.webp  a minute of four robots driving through training worlds
outputs.jpg  colour, depth, semantic classes, instances and top-down map of three worlds
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image

from s2e.benchmarks.bench import place_obstacles
from s2e.envs.config import WorldsConfig
from s2e.envs.drive import ExpertDriver
from s2e.envs.episodes import ListedEpisodes, RandomEpisodes, read_episodes
from s2e.envs.record import training_scenes
from s2e.envs.scene import SEMANTICS
from s2e.envs.scene_files import SUITES, load_scene, scene_folder
from s2e.envs.worlds import Worlds

VIDEO_S, STEP_S = 60.0, 0.2


def drive(worlds: Worlds, seconds: float):
    """Lets the expert drive; yields what the robots see, five times a second."""
    seen, driver = worlds.reset(), ExpertDriver(worlds)
    driver.begin(np.arange(worlds.count))
    for _ in range(round(seconds / STEP_S)):
        yield seen
        seen, *_ = worlds.step(driver.act())
        driver.begin(worlds.last["world"])
    yield seen


def random_worlds(count: int, size: tuple[int, int], seed: int, **more) -> Worlds:
    """Training worlds with a scene each."""
    scenes = training_scenes(count, seed)
    config = WorldsConfig(height_px=size[0], width_px=size[1], **more)
    return Worlds(scenes, config, count, _Own(scenes, count, seed, config.people))


class _Own(RandomEpisodes):
    """World w stays in scene w."""

    def _scene(self, world: int, rng: np.random.Generator, level: float) -> int:
        return world


def tiled(images: np.ndarray, columns: int) -> np.ndarray:
    """(V, H, W, 3) as one picture."""
    return np.concatenate([np.concatenate(list(images[i : i + columns]), 1) for i in range(0, len(images), columns)])


def last(frames) -> dict[str, np.ndarray]:
    """The last of some observations."""
    *_, end = frames
    return end


def readme_picture(out: Path) -> None:
    """Training worlds and the benchmark's."""
    upper = last(drive(random_worlds(8, (192, 320), 3), 2.0))["rgb"]
    both, places = [], []
    for name in SUITES["gs_urban"][:8]:
        both.append(next(e for e in read_episodes(scene_folder(name) / "episodes.json") if e.setting == "both"))
        places.append(place_obstacles(load_scene(name), both[-1]))
    config = WorldsConfig(people=6, collision="counts", height_px=192, width_px=320)
    splat = Worlds(places, config, len(both), ListedEpisodes(both))
    lower = last(drive(splat, 2.0))["rgb"]
    Image.fromarray(tiled(np.concatenate([upper, lower]), 4)).save(out, quality=86, optimize=True)


def contact_sheet(out: Path) -> None:
    """64 worlds after three seconds of driving."""
    worlds = random_worlds(64, (108, 192), 11, robot="any", randomise=1.0, camera_noise=0.5)
    Image.fromarray(tiled(last(drive(worlds, 3.0))["rgb"], 8)).save(out, quality=80, optimize=True)


def video(out: Path) -> None:
    """Four robots for a minute, in an animated WebP."""
    worlds = random_worlds(4, (135, 240), 5, robot="any", camera_noise=0.3, people=8)
    frames = [Image.fromarray(tiled(seen["rgb"], 2)) for seen in drive(worlds, VIDEO_S)]
    frames[0].save(out, save_all=True, append_images=frames[1:], duration=round(1000 * STEP_S), loop=0, quality=38, method=4)


def outputs(out: Path) -> None:
    """What worlds can show, one row a world."""
    worlds = random_worlds(3, (135, 240), 9, outputs=("rgb", "depth", "semantic", "instance", "map"))
    seen = last(drive(worlds, 3.0))
    palette = np.random.default_rng(4).integers(40, 255, (4096, 3)).astype(np.uint8)
    near = np.clip(255 * np.exp(-seen["depth"] / 12.0), 0, 255).astype(np.uint8)
    maps = np.array([[235, 235, 230], [70, 70, 75], [220, 60, 50], [40, 150, 70]], dtype=np.uint8)[seen["map"]]
    scaled = [np.array(Image.fromarray(m).resize((135, 135), Image.Resampling.NEAREST)) for m in maps]
    rows = [
        np.concatenate(
            [
                seen["rgb"][w],
                np.repeat(near[w][..., None], 3, 2),
                palette[seen["semantic"][w] % len(SEMANTICS)],
                np.where(seen["instance"][w][..., None] > 0, palette[seen["instance"][w] % 4096], 30).astype(np.uint8),
                scaled[w],
            ],
            1,
        )
        for w in range(3)
    ]
    Image.fromarray(np.concatenate(rows)).save(out, quality=86, optimize=True)


def main() -> None:
    """Writes the pictures."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "docs")
    readme_picture(folder / "worlds.jpg")
    contact_sheet(folder / "sheet.jpg")
    video(folder / "worlds.webp")
    outputs(folder / "outputs.jpg")


if __name__ == "__main__":
    main()
