import numpy as np

from s2e.envs.collision import field_at, people_contacts
from s2e.envs.crowd import step_crowd, turn_back
from s2e.envs.occupancy import DistanceFields, Occupancy
from s2e.envs.robots import ROBOTS

JACKAL = ROBOTS["jackal"]
FAR = np.array([[-90.0, -90.0, 0.0]])
STILL = np.zeros((1, 2))


def room(boxes: tuple[tuple[int, int, int, int], ...] = (), rows: int = 100, cols: int = 120) -> Occupancy:
    grid = np.ones((rows, cols), dtype=bool)
    grid[2:-2, 2:-2] = False
    for top, bottom, left, right in boxes:
        grid[top:bottom, left:right] = True
    return Occupancy(grid, np.zeros(2), 0.1)


BOXES = ((20, 45, 40, 50), (60, 70, 30, 80), (35, 50, 80, 88))


def walk(positions, goals, speeds, steps, scene, poses=FAR, robot_velocities=STILL, dt=0.2):
    """Steps one world and returns all positions and velocities (steps, P, 2)."""
    fields, ids = DistanceFields.pack([scene]), np.zeros(1, dtype=int)
    pos, vel = np.array(positions, dtype=float)[None], np.zeros((1, len(positions), 2))
    active, track = np.ones((1, len(positions)), dtype=bool), []
    for _ in range(steps):
        pos, vel = step_crowd(
            pos, vel, np.asarray(goals, float)[None], np.asarray(speeds, float)[None], active, poses, robot_velocities,
            JACKAL, fields, ids, dt,
        )  # fmt: skip
        track.append((pos[0], vel[0]))
    return np.array([t[0] for t in track]), np.array([t[1] for t in track])


def test_alone_a_person_walks_straight_to_the_goal_at_their_speed():
    pos, vel = walk([[2.0, 5.0]], [[10.0, 5.0]], [1.3], 20, room())
    assert abs(np.linalg.norm(vel[15, 0]) - 1.3) < 0.02
    assert np.abs(pos[:, 0, 1] - 5.0).max() < 1e-6
    pos, _ = walk([[2.0, 5.0]], [[10.0, 5.0]], [1.3], 50, room())
    assert np.linalg.norm(pos[-1, 0] - [10.0, 5.0]) < 0.3


def test_nobody_enters_walls_or_hurries_and_everybody_arrives():
    scene = room(BOXES)
    fields = DistanceFields.pack([scene])
    rng = np.random.default_rng(0)
    free = np.argwhere(scene.distance() > 0.6)
    spots = (free[rng.integers(len(free), size=(2, 6))][..., ::-1] + 0.5) * 0.1
    speeds = rng.uniform(0.7, 1.6, 6)
    pos, vel = walk(spots[0], spots[1], speeds, 250, scene)
    gaps = [field_at(fields.values, fields.start, fields.shape, fields.frame, 0, x, y) for x, y in pos.reshape(-1, 2)]
    assert min(gaps) >= 0.2 - 1e-9
    assert (np.linalg.norm(vel, axis=-1) <= 1.3 * speeds + 1e-9).all()
    nearest = np.linalg.norm(pos - spots[1], axis=-1).min(axis=0)
    assert (nearest < 0.8).all(), nearest


def test_people_walk_around_each_other():
    pos, _ = walk([[2.0, 5.0], [10.0, 5.0]], [[10.0, 5.0], [2.0, 5.0]], [1.2, 1.2], 60, room())
    assert np.linalg.norm(pos[:, 0] - pos[:, 1], axis=-1).min() > 0.4
    assert np.linalg.norm(pos[-1] - [[10.0, 5.0], [2.0, 5.0]], axis=-1).max() < 0.5


def test_people_walk_around_a_standing_robot_without_touching_it():
    pose = np.array([[6.0, 5.0, 0.4]])
    pos, _ = walk([[2.0, 5.0]], [[10.0, 5.0]], [1.3], 80, room(), poses=pose)
    touched = [people_contacts(JACKAL, pose, p[None], np.ones((1, 1), bool))[0] for p in pos]
    assert not any(touched)
    assert np.linalg.norm(pos[-1, 0] - [10.0, 5.0]) < 0.5


def test_a_robot_that_drives_into_their_way_still_hits_them():
    scene, hits = room(), 0
    fields, ids, active = DistanceFields.pack([scene]), np.zeros(1, dtype=int), np.ones((1, 1), dtype=bool)
    for shift in np.linspace(-0.5, 0.5, 11):
        pos, vel = np.array([[[6.0 + shift, 2.0]]]), np.zeros((1, 1, 2))
        hit = False
        for step in range(40):  # robot and person meet at (6, 5)
            pose = np.array([[6.0 - 1.5 * 2.6 + 1.5 * 0.1 * step, 5.0, 0.0]])
            pos, vel = step_crowd(
                pos, vel, np.array([[[6.0 + shift, 9.0]]]), np.array([[1.3]]), active, pose, np.array([[1.5, 0.0]]),
                JACKAL, fields, ids, 0.1, substeps=1,
            )  # fmt: skip
            hit |= bool(people_contacts(JACKAL, pose, pos, active)[0])
        hits += hit
    assert hits >= 4


def test_worlds_are_independent_and_the_inactive_stay():
    rng = np.random.default_rng(1)
    fields = DistanceFields.pack([room(), room(BOXES)])
    pos, goals = rng.uniform(1, 9, (6, 4, 2)), rng.uniform(1, 9, (6, 4, 2))
    vel, speeds, active = rng.normal(0, 0.5, (6, 4, 2)), rng.uniform(0.7, 1.5, (6, 4)), rng.random((6, 4)) < 0.6
    poses, robot_vel, ids = rng.uniform(1, 9, (6, 3)), rng.random((6, 2)), np.array([0, 1, 0, 1, 1, 0])
    args = (pos, vel, goals, speeds, active, poses, robot_vel)
    keep = [a.copy() for a in args]
    new_pos, new_vel = step_crowd(*args, JACKAL, fields, ids, 0.2)
    for given, copy in zip(args, keep):
        np.testing.assert_array_equal(given, copy)
    np.testing.assert_array_equal(new_pos[~active], pos[~active])
    np.testing.assert_array_equal(new_vel[~active], vel[~active])
    for n in range(6):
        alone_pos, alone_vel = step_crowd(*(a[n : n + 1] for a in args), robot=JACKAL, fields=fields, scene_id=ids[n : n + 1], dt=0.2)
        np.testing.assert_array_equal(alone_pos[0], new_pos[n])
        np.testing.assert_array_equal(alone_vel[0], new_vel[n])


def test_who_arrives_turns_back():
    endpoints = np.array([[[[0.0, 0.0], [5.0, 0.0]], [[1.0, 1.0], [1.0, 6.0]]]])
    leg, goals = turn_back(np.array([[[4.8, 0.1], [1.0, 3.0]]]), endpoints, np.array([[1, 1]]))
    np.testing.assert_array_equal(leg, [[0, 1]])
    np.testing.assert_array_equal(goals, [[[0.0, 0.0], [1.0, 6.0]]])
