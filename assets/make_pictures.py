"""Draws the README's picture: python -m s2e.assets.make_pictures docs/worlds.jpg.

Upper half: training streets. Lower half: episodes of gs_urban, Gaussians with people and obstacles standing among them.
"""

import sys

import numpy as np
from PIL import Image

from s2e.benchmarks.bench import place_obstacles
from s2e.envs.drive import ExpertDriver
from s2e.envs.episodes import ListedEpisodes, RandomEpisodes, read_episodes
from s2e.envs.record import training_scenes
from s2e.envs.splat_scene import load_scene, scene_folder
from s2e.envs.worlds import Worlds, WorldsConfig

SIZE = {"height_px": 192, "width_px": 320}


def views(worlds: Worlds, seconds: float) -> np.ndarray:
    """What the robots see after driving on for a while."""
    seen, driver = worlds.reset(), ExpertDriver(worlds)
    driver.begin(np.arange(worlds.count))
    for _ in range(round(seconds / 0.2)):
        seen, *_ = worlds.step(driver.act())
        driver.begin(worlds.last["world"])
    return seen["rgb"]


def main() -> None:
    """Writes the picture."""
    out = sys.argv[1] if len(sys.argv) > 1 else "docs/worlds.jpg"
    streets = training_scenes(6, seed=3)
    random = Worlds(streets, WorldsConfig(people=6, **SIZE), 8, RandomEpisodes(streets, 8, 5, 6))
    scene = load_scene("gs_urban")
    both = [e for e in read_episodes(scene_folder("gs_urban") / "episodes.json") if e.setting == "both"][:8]
    placed = [place_obstacles(scene, e) for e in both]
    splat = Worlds(placed, WorldsConfig(people=6, collision="counts", **SIZE), len(both), ListedEpisodes(both))
    upper, lower = views(random, 2.0), views(splat, 2.0)
    rows = [np.concatenate(list(part), 1) for part in (upper[:4], upper[4:], lower[:4], lower[4:])]
    Image.fromarray(np.concatenate(rows)).save(out, quality=88, optimize=True)


if __name__ == "__main__":
    main()
