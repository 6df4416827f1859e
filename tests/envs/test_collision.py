import math

import numpy as np

from s2e.envs.collision import people_contacts, robot_contacts
from s2e.envs.occupancy import DistanceFields, Occupancy
from s2e.envs.robots import ROBOTS


def scatter(seed: int, rows: int, cols: int, origin: tuple[float, float]) -> Occupancy:
    rng = np.random.default_rng(seed)
    return Occupancy(rng.random((rows, cols)) < 0.01, np.array(origin), 0.1)


def gap_to_cells(scene: Occupancy, x: float, y: float) -> float:
    """Exact distance from a point to the nearest occupied square, or to the outside of the grid."""
    cells = np.argwhere(scene.grid)[:, ::-1] * scene.resolution + scene.origin
    outside = np.maximum(np.maximum(cells - (x, y), (x, y) - cells - scene.resolution), 0.0)
    size = np.array(scene.grid.shape[::-1]) * scene.resolution
    edge = np.minimum((x, y) - scene.origin, scene.origin + size - (x, y)).min()
    return min(np.hypot(*outside.T).min(initial=np.inf), max(edge, 0.0))


def test_contacts_agree_with_exact_geometry_to_a_cell():
    scenes = [scatter(0, 60, 80, (-2.0, 1.0)), scatter(1, 90, 50, (5.0, -3.0))]
    fields = DistanceFields.pack(scenes)
    rng = np.random.default_rng(2)
    scene_id = rng.integers(0, 2, 400)
    sizes = np.array([(8.0, 6.0), (5.0, 9.0)])
    origins = np.array([s.origin for s in scenes])
    poses = np.concatenate([origins[scene_id] + rng.random((400, 2)) * sizes[scene_id], rng.uniform(-np.pi, np.pi, (400, 1))], axis=1)
    for robot in ROBOTS.values():
        hit = robot_contacts(robot, poses, fields, scene_id)
        gaps = np.array(
            [
                min(gap_to_cells(scenes[s], x + o * math.cos(yaw), y + o * math.sin(yaw)) for o in robot.disc_offsets)
                for (x, y, yaw), s in zip(poses, scene_id)
            ]
        )
        cell = 0.1 * math.sqrt(2)
        assert hit[gaps < robot.disc_radius - cell].all()
        assert not hit[gaps > robot.disc_radius + cell].any()
        assert 0.1 < hit.mean() < 0.99
        assert (hit != (gaps < robot.disc_radius)).mean() < 0.1


def test_leaving_the_grid_is_a_contact():
    fields = DistanceFields.pack([Occupancy(np.zeros((50, 50), dtype=bool), np.zeros(2), 0.1)])
    poses = np.array([[2.5, 2.5, 0.0], [-1.0, 2.5, 0.0], [2.5, 40.0, 0.0], [4.9, 2.5, 0.0]])
    hit = robot_contacts(ROBOTS["jackal"], poses, fields, np.zeros(4, dtype=int))
    np.testing.assert_array_equal(hit, [False, True, True, True])


def test_people_contacts_agree_with_brute_force():
    rng = np.random.default_rng(3)
    poses = np.concatenate([rng.uniform(-1, 1, (300, 2)), rng.uniform(-np.pi, np.pi, (300, 1))], axis=1)
    people, active = rng.uniform(-2, 2, (300, 5, 2)), rng.random((300, 5)) < 0.7
    for robot in ROBOTS.values():
        heading = np.stack([np.cos(poses[:, 2]), np.sin(poses[:, 2])], axis=1)
        centres = poses[:, None, :2] + np.array(robot.disc_offsets)[:, None] * heading[:, None]
        gaps = np.linalg.norm(centres[:, :, None] - people[:, None], axis=-1).min(axis=1)
        expected = ((gaps < robot.disc_radius + 0.25) & active).any(axis=1)
        np.testing.assert_array_equal(people_contacts(robot, poses, people, active), expected)
        assert 0.1 < expected.mean() < 0.9
    assert not people_contacts(ROBOTS["coco"], poses, people, np.zeros_like(active)).any()
