"""Pictures of situations, to look at: python -m tools.social.pictures OUT [SCENES].

Of each scene OUT/NAME.png: above the first episodes from above, with the ways of the expert (blue)
and of people (red), the goal (green), what is to be judged (yellow); below what the robot saw when
somebody was 3 m before it.
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from s2e.core.observation import to_robot
from s2e.envs.config import WorldsConfig
from s2e.envs.expert.drive import ExpertAgent
from s2e.envs.geometry.scene import Episode, Scene
from s2e.envs.scan.plan import top_down
from s2e.envs.scenes.episodes import ListedEpisodes, read_episodes
from s2e.envs.scenes.files import SUITES, load_scene, scene_folder
from s2e.envs.scenes.placing import place_obstacles
from s2e.envs.worlds import Worlds

SHOWN, PIXELS_PER_M, FRAME = 4, 26.0, (240, 400)


def drive(scene: Scene, episodes: list[Episode]) -> tuple[list, list, list]:
    """The expert's and the people's ways (T, 2), (T, P, 2) and a frame of each episode."""
    most = max(1, *(len(e.walkers) for e in episodes))
    config = WorldsConfig(
        people=most, collision="counts", height_px=FRAME[0], width_px=FRAME[1], robot="jackal"
    )
    places = [place_obstacles(scene, e) for e in episodes]
    worlds = Worlds(places, config, len(episodes), ListedEpisodes(episodes))
    seen, agent = worlds.reset(), ExpertAgent(worlds)
    agent.reset(np.arange(worlds.count))
    robots = [[worlds.pose[w].copy()] for w in range(worlds.count)]
    people = [[worlds.people.position[w].copy()] for w in range(worlds.count)]
    frames, best = [seen["rgb"][w] for w in range(worlds.count)], np.full(worlds.count, np.inf)
    while worlds.live.any():
        live = np.flatnonzero(worlds.live)
        for w in live:
            spots = to_robot(worlds.people.position[w][worlds.people.active[w]], worlds.pose[w])
            spots = spots[spots[:, 0] > np.abs(spots[:, 1])]  # in view
            away = abs(np.linalg.norm(spots, axis=1) - 3.0).min(initial=50.0)
            if worlds.clock[w] > 0.7 and away < best[w]:
                best[w], frames[w] = away, seen["rgb"][w].copy()
        seen, *_ = worlds.step(agent.act())
        for w in live:
            robots[w].append(worlds.pose[w].copy())
            people[w].append(worlds.people.position[w].copy())
    return [np.array(r) for r in robots], [np.array(p) for p in people], frames


def plan(scene: Scene, episode: Episode, robot: np.ndarray, people: np.ndarray) -> Image.Image:
    """An episode from above."""
    placed = place_obstacles(scene, episode)
    below = 2.5 if scene.splats is not None else None
    image = Image.fromarray(top_down(placed, PIXELS_PER_M, below))
    low, tall = scene.occupancy.origin, image.height
    draw = ImageDraw.Draw(image)

    def at(point) -> tuple[float, float]:
        x, y = (np.asarray(point[:2]) - low) * PIXELS_PER_M
        return float(x), float(tall - y)

    def ring(point, radius: float, colour: str, fill: str | None = None) -> None:
        (x, y), r = at(point), radius * PIXELS_PER_M
        draw.ellipse((x - r, y - r, x + r, y + r), outline=colour, fill=fill, width=2)

    truth = episode.truth
    for gate in truth.gates:
        draw.line([at(gate[:2]), at(gate[2:])], fill="yellow", width=4)
    if truth.zone[2]:
        ring(truth.zone, truth.zone[2], "yellow")
    for p, walker in enumerate(episode.walkers):
        draw.line([at(q) for q in people[:, p]], fill="red", width=2)
        ring(walker.start, 0.25, "red", "orange")
        ring(walker.goal, 0.1, "red")
    draw.line([at(q) for q in robot], fill="blue", width=3)
    ring(episode.start, 0.3, "blue", "white")
    ring(episode.goal, 0.3, "green", "lime")
    middle = at((robot[:, :2].min(0) + robot[:, :2].max(0)) / 2)
    wide = PIXELS_PER_M * float(np.clip(1.3 * np.ptp(robot[:, :2], axis=0).max(), 12.0, 40.0))
    (x, y), half = middle, wide / 2
    box = (round(x - half), round(y - half), round(x + half), round(y + half))
    side = FRAME[1]
    return image.crop(box).resize((side, side))


def sheet(name: str, first: int) -> Image.Image:
    """The picture of a scene of the suite."""
    scene = load_scene(name)
    episodes = read_episodes(scene_folder(name) / "episodes.json")[first : first + SHOWN]
    robots, people, frames = drive(scene, episodes)
    rows = [
        np.concatenate([np.array(plan(scene, *one)) for one in zip(episodes, robots, people)], 1),
        np.concatenate(frames, 1),
    ]
    return Image.fromarray(np.concatenate(rows))


def main() -> None:
    """Writes the pictures."""
    out = Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    for name in sys.argv[2:] or SUITES["social"]:
        sheet(name, 0).save(out / f"{name.split('/')[-1]}.png")
        print(name, flush=True)


if __name__ == "__main__":
    main()
