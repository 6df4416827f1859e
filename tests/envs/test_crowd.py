import numpy as np
import pytest

from s2e.envs.collision import field_at
from s2e.envs.crowd import PERSON_RADIUS, step_crowd
from s2e.envs.occupancy import DistanceFields, Occupancy
from s2e.envs.people import People
from s2e.envs.roadmap import Roadmaps, build_roadmap
from s2e.envs.robots import ROBOTS
from s2e.envs.scene import Walker

DISCS, RADIUS = ROBOTS["jackal"].discs(), ROBOTS["jackal"].disc_radius
FAR = np.array([[-90.0, -90.0, 0.0]])
STILL = np.zeros((1, 2))


def room(boxes: tuple[tuple[int, int, int, int], ...] = (), rows: int = 100, cols: int = 120) -> Occupancy:
    grid = np.ones((rows, cols), dtype=bool)
    grid[2:-2, 2:-2] = False
    for top, bottom, left, right in boxes:
        grid[top:bottom, left:right] = True
    return Occupancy(grid, np.zeros(2), 0.1)


BOXES = ((20, 45, 40, 50), (60, 70, 30, 80), (35, 50, 80, 88))


def placed(positions, goals, speeds, behaviours=None, groups=None, wander=False) -> People:
    people = People.empty(1, len(positions))
    behaviours, groups = behaviours or ["walk"] * len(positions), groups or [-1] * len(positions)
    people.place(
        0,
        [Walker(tuple(p), tuple(g), s, 17 * k + 3, b, m) for k, (p, g, s, b, m) in enumerate(zip(positions, goals, speeds, behaviours, groups))],
        wander,
    )
    return people


def forward(people, fields, clock=0.0, poses=FAR, robot=STILL, dt=0.2, roadmaps=None, **more):
    worlds = len(people.position)
    ids, discs = np.zeros(worlds, dtype=int), np.tile(DISCS, (worlds, 1))
    roadmaps = roadmaps or Roadmaps.empty(1)
    step_crowd(
        people, np.full(worlds, clock), poses, robot, discs, np.full(worlds, RADIUS), fields, ids, roadmaps, ids, dt,
        substeps=more.pop("substeps", 2), **more,
    )  # fmt: skip


def walk(people, steps, scene, poses=FAR, robot=STILL, dt=0.2, roadmaps=None, **more):
    """Steps one world and returns all positions and velocities (steps, P, 2)."""
    fields, track = DistanceFields.pack([scene]), []
    for step in range(steps):
        forward(people, fields, step * dt, poses, robot, dt, roadmaps, **more)
        track.append((people.position[0].copy(), people.velocity[0].copy()))
    return np.array([t[0] for t in track]), np.array([t[1] for t in track])


def gap_to(pose, position) -> float:
    """Metres between the robot's discs and a person's body."""
    centres = pose[:2] + DISCS[:, None] * [np.cos(pose[2]), np.sin(pose[2])]
    return float(np.linalg.norm(centres - position, axis=1).min() - RADIUS - PERSON_RADIUS)


def test_alone_a_person_walks_straight_to_the_goal_at_their_speed():
    pos, vel = walk(placed([[2.0, 5.0]], [[10.0, 5.0]], [1.3]), 20, room())
    assert abs(np.linalg.norm(vel[15, 0]) - 1.3) < 0.02
    assert np.abs(pos[:, 0, 1] - 5.0).max() < 1e-6
    pos, _ = walk(placed([[2.0, 5.0]], [[10.0, 5.0]], [1.3]), 50, room())
    assert np.linalg.norm(pos[:, 0] - [10.0, 5.0], axis=1).min() < 0.5


@pytest.mark.parametrize("seed", range(3))
def test_nobody_enters_walls_or_hurries_and_everybody_arrives(seed):
    scene = room(BOXES)
    fields = DistanceFields.pack([scene])
    rng = np.random.default_rng(seed)
    free = np.argwhere(scene.distance() > 0.6)
    spots = (free[rng.integers(len(free), size=(2, 6))][..., ::-1] + 0.5) * 0.1
    speeds = rng.uniform(0.7, 1.6, 6)
    pos, vel = walk(placed(spots[0], spots[1], speeds), 250, scene)
    gaps = [field_at(fields.values, fields.start, fields.shape, fields.frame, 0, x, y) for x, y in pos.reshape(-1, 2)]
    assert min(gaps) >= 0.2 - 1e-9
    assert (np.linalg.norm(vel, axis=-1) <= 1.3 * speeds + 1e-9).all()
    nearest = np.linalg.norm(pos - spots[1], axis=-1).min(axis=0)
    assert (nearest < 0.8).all(), nearest


def test_people_walk_around_each_other():
    pos, _ = walk(placed([[2.0, 5.0], [10.0, 5.0]], [[10.0, 5.0], [2.0, 5.0]], [1.2, 1.2]), 40, room())
    assert np.linalg.norm(pos[:, 0] - pos[:, 1], axis=-1).min() > 0.4
    assert np.linalg.norm(pos - [[10.0, 5.0], [2.0, 5.0]], axis=-1).min(0).max() < 0.5


@pytest.mark.parametrize("behaviour", ["walk", "cross", "stop", "phone", "give_way", "insist", "cut_in"])
def test_people_walk_around_a_standing_robot_without_touching_it(behaviour):
    pose = np.array([[6.0, 5.0, 0.4]])
    pos, _ = walk(placed([[2.0, 5.0]], [[10.0, 5.0]], [1.3], [behaviour]), 80, room(), poses=pose)
    assert min(gap_to(pose[0], p) for p in pos[:, 0]) > 0
    assert np.linalg.norm(pos[:, 0] - [10.0, 5.0], axis=1).min() < 0.5
