import dataclasses

import numpy as np

from s2e.envs.geometry.ground import floor_height
from s2e.envs.scenes.episodes import read_episodes
from s2e.envs.scenes.files import episodes_file, load_scene
from s2e.envs.scenes.placing import place_obstacles

PLAZA = "gs_urban/plaza"


def test_obstacles_stand_in_image_and_occupancy():
    scene = load_scene(PLAZA)
    episode = next(e for e in read_episodes(episodes_file(PLAZA)) if e.setting == "obstacle")
    placed = place_obstacles(scene, episode)
    assert len(placed.mesh.triangles) > len(scene.mesh.triangles)
    assert placed.occupancy.grid.sum() > scene.occupancy.grid.sum()
    for o in episode.obstacles:
        row, column = placed.occupancy.cell_of(np.array([o.x, o.y]))
        assert placed.occupancy.grid[row, column]
    assert place_obstacles(scene, dataclasses.replace(episode, obstacles=())) is scene


def test_obstacles_stand_on_the_ground():
    scene = load_scene(PLAZA)
    episode = next(e for e in read_episodes(episodes_file(PLAZA)) if e.setting == "obstacle")
    empty = len(scene.mesh.vertices)
    low = place_obstacles(scene, episode).mesh.vertices[empty:, 2].min()
    heights = [floor_height(scene, o.x, o.y) for o in episode.obstacles]
    assert abs(low - min(heights)) < 0.02
