"""Draws the documentation's pictures: python -m tools.pictures [FOLDER].

gs_urban.jpg every scene of the suite
worlds.jpg   the README's: training worlds above, episodes in eight scenes of gs_urban (Gaussians
             with people and obstacles) below
sheet.jpg    64 training worlds, each with a scene, weather, robot and camera of its own
worlds.webp  a minute of four robots driving through training worlds
captures.jpg training streets, the same as captures from clean to poor, and scenes of gs_urban below
outputs.jpg  colour, depth, semantic classes, instances and top-down map of three worlds
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image

from s2e.envs.config import WorldsConfig
from s2e.envs.expert.drive import ExpertAgent
from s2e.envs.geometry.camera import Camera, camera_poses
from s2e.envs.geometry.ground import floor_height
from s2e.envs.geometry.scene import SEMANTICS, Scene
from s2e.envs.render import Renderer
from s2e.envs.scenes.episodes import ListedEpisodes, RandomEpisodes, read_episodes
from s2e.envs.scenes.files import SUITES, load_scene, scene_folder
from s2e.envs.scenes.placing import place_obstacles
from s2e.envs.streets.build import build_scene
from s2e.envs.streets.capture import as_capture, draw_wear
from s2e.envs.streets.pool import training_scenes
from s2e.envs.worlds import Worlds

VIDEO_S, STEP_S = 60.0, 0.2


def drive(worlds: Worlds, seconds: float):
    """Lets the expert drive; yields what the robots see, five times a second."""
    seen, expert = worlds.reset(), ExpertAgent(worlds)
    expert.reset(np.arange(worlds.count))
    for _ in range(round(seconds / STEP_S)):
        yield seen
        seen, *_ = worlds.step(expert.act())
        expert.reset(worlds.last["world"])
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
    return np.concatenate(
        [np.concatenate(list(images[i : i + columns]), 1) for i in range(0, len(images), columns)]
    )


def last(frames) -> dict[str, np.ndarray]:
    """The last of some observations."""
    *_, end = frames
    return end


def suite_worlds(names: list[str], size: tuple[int, int]) -> Worlds:
    """One world a name, in an episode with people and obstacles; a name that comes again gets its
    next episode.
    """
    chosen, places = [], []
    for k, name in enumerate(names):
        both = [
            e for e in read_episodes(scene_folder(name) / "episodes.json") if e.setting == "both"
        ]
        chosen.append(both[names[:k].count(name)])
        places.append(place_obstacles(load_scene(name), chosen[-1]))
    config = WorldsConfig(people=6, collision="counts", height_px=size[0], width_px=size[1])
    return Worlds(places, config, len(names), ListedEpisodes(chosen))


def open_view(scene: Scene, rng: np.random.Generator) -> tuple[np.ndarray, float]:
    """An anchor and a yaw that see far: the widest way of 7 m among many."""
    clear, best = scene.occupancy.distance(), (-1.0, np.zeros(2), 0.0)
    for anchor, yaw in zip(
        scene.free_anchors[rng.integers(len(scene.free_anchors), size=300)],
        rng.uniform(-np.pi, np.pi, 300),
    ):
        way = anchor + np.arange(0.5, 7.0, 0.25)[:, None] * (np.cos(yaw), np.sin(yaw))
        rows, columns = np.clip(scene.occupancy.cell_of(way), 0, np.array(clear.shape) - 1).T
        best = max(
            best, (float(clear[rows, columns].min()), anchor, float(yaw)), key=lambda b: b[0]
        )
    return best[1], best[2]


def suite_picture(out: Path) -> None:
    """Every scene of gs_urban at eye level, and the first ones once more to fill the last row."""
    names, views = list(SUITES["gs_urban"]), []
    for k, name in enumerate(names + names[: -len(names) % 4]):
        scene, camera = load_scene(name), Camera(192, 320, z=1.45, pitch_deg=3.0)
        (x, y), yaw = open_view(scene, np.random.default_rng([2, k]))
        positions, rotations = camera_poses(np.array([[x, y, yaw]]), camera)
        positions[0, 2] += floor_height(scene, x, y)
        views.append((Renderer([scene]), positions, rotations, camera))
    nobody, size = np.zeros((1, 0, 7), np.float32), (192, 320)
    images = [
        r.draw(np.zeros(1, dtype=int), p, q, c.intrinsics()[None], size, nobody).rgb[0]
        for r, p, q, c in views
    ]
    Image.fromarray(tiled(np.array(images), 4)).save(out, quality=84, optimize=True)


def readme_picture(out: Path) -> None:
    """Training worlds and the benchmark's."""
    upper = last(drive(random_worlds(8, (192, 320), 3), 2.0))["rgb"]
    lower = last(drive(suite_worlds(list(SUITES["gs_urban"][:8]), (192, 320)), 2.0))["rgb"]
    Image.fromarray(tiled(np.concatenate([upper, lower]), 4)).save(out, quality=86, optimize=True)


def captures_picture(out: Path) -> None:
    """Eight streets from clean to poor captures: triangles, Gaussians, the suite below."""
    seeds = range(2000, 2048)
    wear = {seed: draw_wear(np.random.default_rng([seed, 51])) for seed in seeds}
    poor = {seed: w.round + w.holes + 10 * w.noise for seed, w in wear.items()}
    by_wear = sorted(seeds, key=poor.__getitem__)
    chosen = [by_wear[round(k)] for k in np.linspace(0, len(by_wear) - 1, 8)]
    camera, nobody, rows = Camera(96, 160, z=0.5), np.zeros((1, 0, 7), np.float32), [[], [], []]
    for k, seed in enumerate(chosen):
        street = build_scene(seed)
        suite = load_scene(f"gs_urban/{('plaza', 'residential', 'station', 'courtyard')[k % 4]}")
        shown = (street, street), (as_capture(street, seed), street), (suite, suite)
        for row, (scene, place) in enumerate(shown):
            (x, y), yaw = open_view(place, np.random.default_rng([3, k]))
            positions, rotations = camera_poses(np.array([[x, y, yaw]]), camera)
            positions[0, 2] += floor_height(place, x, y)
            lens = camera.intrinsics()[None]
            view = np.zeros(1, dtype=int), positions, rotations, lens, (96, 160), nobody
            rows[row].append(Renderer([scene]).draw(*view).rgb[0])
    images = np.array([image for row in rows for image in row])
    Image.fromarray(tiled(images, 8)).save(out, quality=88, optimize=True)


def contact_sheet(out: Path) -> None:
    """64 worlds after three seconds of driving."""
    worlds = random_worlds(64, (108, 192), 11, robot="any", randomise=1.0, camera_noise=0.5)
    Image.fromarray(tiled(last(drive(worlds, 3.0))["rgb"], 8)).save(out, quality=80, optimize=True)


def video(out: Path) -> None:
    """Four robots for a minute, in an animated WebP."""
    worlds = random_worlds(4, (135, 240), 5, robot="any", camera_noise=0.3, people=8)
    frames = [Image.fromarray(tiled(seen["rgb"], 2)) for seen in drive(worlds, VIDEO_S)]
    frames[0].save(
        out,
        save_all=True,
        append_images=frames[1:],
        duration=round(1000 * STEP_S),
        loop=0,
        quality=38,
        method=4,
    )


def outputs(out: Path) -> None:
    """What worlds can show, one row a world."""
    worlds = random_worlds(
        3, (135, 240), 9, outputs=("rgb", "depth", "semantic", "instance", "map")
    )
    seen = last(drive(worlds, 3.0))
    palette = np.random.default_rng(4).integers(40, 255, (4096, 3)).astype(np.uint8)
    near = np.clip(255 * np.exp(-seen["depth"] / 12.0), 0, 255).astype(np.uint8)
    maps = np.array([[235, 235, 230], [70, 70, 75], [220, 60, 50], [40, 150, 70]], dtype=np.uint8)[
        seen["map"]
    ]
    scaled = [
        np.array(Image.fromarray(m).resize((135, 135), Image.Resampling.NEAREST)) for m in maps
    ]
    rows = [
        np.concatenate(
            [
                seen["rgb"][w],
                np.repeat(near[w][..., None], 3, 2),
                palette[seen["semantic"][w] % len(SEMANTICS)],
                np.where(
                    seen["instance"][w][..., None] > 0, palette[seen["instance"][w] % 4096], 30
                ).astype(np.uint8),
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
    suite_picture(folder / "gs_urban.jpg")
    contact_sheet(folder / "sheet.jpg")
    captures_picture(folder / "captures.jpg")
    video(folder / "worlds.webp")
    outputs(folder / "outputs.jpg")


if __name__ == "__main__":
    main()
