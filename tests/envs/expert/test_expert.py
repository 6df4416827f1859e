from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pytest
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import dijkstra

from s2e.core.errors import UserError
from s2e.envs.expert.expert import HORIZON_S, Expert, command_candidates, command_to_waypoint
from s2e.envs.geometry.astar import astar, path_length, search_grid
from s2e.envs.geometry.occupancy import DistanceFields, Occupancy
from s2e.envs.robots.collision import people_gaps, robot_contacts
from s2e.envs.robots.controller import waypoint_to_command
from s2e.envs.robots.fleet import Fleet
from s2e.envs.robots.kinds import ROBOTS, randomise
from s2e.envs.robots.kinematic import Kinematic, step_robots


def dijkstra_cost(cost: np.ndarray, start: int, goal: int) -> float:
    rows, cols = cost.shape
    edges = []
    for r, c in np.argwhere(np.isfinite(cost)):
        for dr, dc in ((0, 1), (1, 0), (1, 1), (1, -1)):
            rr, cc = r + dr, c + dc
            if (
                not (rr < rows and 0 <= cc < cols)
                or not np.isfinite([cost[rr, cc], cost[r, cc], cost[rr, c]]).all()
            ):
                continue
            edges.append(
                (r * cols + c, rr * cols + cc, np.hypot(dr, dc) * 0.5 * (cost[r, c] + cost[rr, cc]))
            )
    i, j, w = np.array(edges).T
    graph = coo_matrix((w, (i.astype(int), j.astype(int))), shape=(rows * cols, rows * cols))
    return float(dijkstra(graph.tocsr(), directed=False, indices=start)[goal])


@pytest.mark.parametrize("seed", range(12))
def test_search_is_as_good_as_dijkstra(seed):
    rng = np.random.default_rng(seed)
    cost = np.where(
        rng.random((17, 23)) < 0.3, np.inf, 1.0 if seed % 2 else 1.0 + rng.random((17, 23))
    )
    start, goal = rng.choice(np.flatnonzero(np.isfinite(cost)), 2, replace=False)
    way, total = search_grid(cost, start, goal)
    expected = dijkstra_cost(cost, start, goal)
    assert total == pytest.approx(expected)
    if np.isfinite(expected):
        r, c = way // 23, way % 23
        assert way[0] == start and way[-1] == goal and np.isfinite(cost[r, c]).all()
        assert max(np.abs(np.diff(r)).max(), np.abs(np.diff(c)).max()) == 1
        length = np.hypot(np.diff(r), np.diff(c)) * 0.5 * (cost[r, c][1:] + cost[r, c][:-1])
        assert length.sum() == pytest.approx(total)
    else:
        assert len(way) == 0


def room(rng: np.random.Generator, boxes: int) -> Occupancy:
    grid = np.ones((140, 180), dtype=bool)
    grid[2:-2, 2:-2] = False
    for _ in range(boxes):
        height, width = rng.integers(4, 16, 2)
        top, left = rng.integers(4, 136 - height), rng.integers(4, 176 - width)
        grid[top : top + height, left : left + width] = True
    return Occupancy(grid, np.array([-3.0, 2.0]))


def two_spots(rng: np.random.Generator, scene: Occupancy, gap: float, room_m: float) -> np.ndarray:
    free = np.argwhere(scene.distance() > room_m)
    while True:
        spots = (
            scene.origin + (free[rng.integers(len(free), size=2)][:, ::-1] + 0.5) * scene.resolution
        )
        if np.linalg.norm(spots[0] - spots[1]) > gap:
            return spots


@pytest.mark.parametrize("seed", range(6))
def test_routes_are_clear_end_where_told_and_are_short(seed):
    rng = np.random.default_rng(seed)
    scene = room(rng, 25)
    distance, clearance = scene.distance(), 0.45
    start, goal = two_spots(rng, scene, 8.0, 0.5) + rng.uniform(-0.04, 0.04, (2, 2))
    path = astar(scene, distance, start, goal, clearance)
    assert path is not None
    np.testing.assert_allclose(path[[0, -1]], [start, goal])
    for a, b in pairwise(path):
        cells = scene.cell_of(a + np.linspace(0, 1, 400)[:, None] * (b - a))
        assert (distance[cells[:, 0], cells[:, 1]] >= clearance).all()
    cost = np.where(distance >= clearance, 1.0, np.inf)
    first, last = scene.cell_of(start), scene.cell_of(goal)
    shortest = dijkstra_cost(cost, first[0] * 180 + first[1], last[0] * 180 + last[1]) * 0.1
    assert np.linalg.norm(goal - start) - 1e-9 <= path_length(path) <= 1.3 * shortest + 0.1


def test_routes_keep_off_walls_where_there_is_room():
    grid = np.ones((60, 120), dtype=bool)
    grid[2:-2, 2:-2] = False
    grid[2:30, 55:65] = True
    scene = Occupancy(grid, np.zeros(2))
    distance = scene.distance()
    path = astar(scene, distance, np.array([1.5, 1.5]), np.array([10.5, 1.5]), 0.3)
    assert path is not None
    steps = np.concatenate(
        [a + np.linspace(0, 1, 100)[:, None] * (b - a) for a, b in pairwise(path)]
    )
    cells = scene.cell_of(steps)
    assert distance[cells[:, 0], cells[:, 1]].min() > 0.5


def test_no_route_snapping_and_bad_points():
    grid = np.ones((40, 60), dtype=bool)
    grid[2:-2, 2:-2] = False
    scene = Occupancy(grid, np.zeros(2))
    distance = scene.distance()
    snapped = astar(scene, distance, np.array([0.4, 2.0]), np.array([5.0, 2.0]), 0.45)
    assert snapped is not None and 0.6 < snapped[0, 0] < 0.8
    assert astar(scene, distance, np.array([-0.5, 2.0]), np.array([5.0, 2.0]), 0.45) is None
    grid[:, 30] = True
    assert astar(scene, scene.distance(), np.array([1.0, 2.0]), np.array([5.0, 2.0]), 0.45) is None
    with pytest.raises(UserError, match="goal"):
        astar(scene, distance, np.array([1.0, 2.0]), np.array([np.nan, 2.0]), 0.45)
    with pytest.raises(UserError, match="path of world 3"):
        Expert(Fleet.of(["jackal"] * 4)).plan(3, np.zeros((0, 2)))


@pytest.mark.parametrize("robot", ROBOTS.values(), ids=ROBOTS.keys())
def test_the_controller_turns_waypoints_back_into_commands(robot):
    fleet = Fleet.of([robot] * 63)
    commands = command_candidates(fleet, 0)
    back = waypoint_to_command(command_to_waypoint(commands), HORIZON_S, fleet)
    np.testing.assert_allclose(back[:, :2], commands, atol=1e-9)
    np.testing.assert_array_equal(back[:, 2], 0)


@dataclass
class Outcome:
    success: float
    static: int
    drove_into: int
    walked_into: int


def walk(
    people: np.ndarray,
    ends: np.ndarray,
    leg: np.ndarray,
    speeds: np.ndarray,
    robots: np.ndarray,
    dt: float,
):
    """Simple people: straight from end to end and back, around a robot that is near, which they do
    not step into."""
    goals = np.take_along_axis(ends, leg[..., None, None], axis=2)[:, :, 0]
    leg = np.where(np.linalg.norm(goals - people, axis=-1) < 0.5, 1 - leg, leg)
    goals = np.take_along_axis(ends, leg[..., None, None], axis=2)[:, :, 0]
    ahead = (goals - people) / np.linalg.norm(goals - people, axis=-1, keepdims=True)
    away = people - robots[:, None, :2]
    gap = np.linalg.norm(away, axis=-1, keepdims=True)
    aside = np.stack([-away[..., 1], away[..., 0]], -1) / gap
    aside *= np.where((aside * ahead).sum(-1, keepdims=True) < 0, -1.0, 1.0)
    meets = (gap < 1.4) & ((ahead * away).sum(-1, keepdims=True) < 0)
    velocity = np.where(meets, 0.8 * aside + 0.3 * away / gap, ahead) * speeds[..., None]
    return people + dt * velocity, velocity, leg


def drive(
    names: list[str], people: int, sees_people: bool = True, worlds: int = 32, seed: int = 0
) -> Outcome:
    """Closed loop at 5 Hz for 40 s, in rooms with boxes; an episode ends with its first contact
    while moving."""
    fleet, rng, dt = (
        Fleet.of([names[n % len(names)] for n in range(worlds)]),
        np.random.default_rng(seed),
        0.2,
    )
    scenes = [room(rng, 12) for _ in range(worlds)]
    fields, ids, expert = DistanceFields.pack(scenes), np.arange(worlds), Expert(fleet)
    poses, goals, ends = (
        np.zeros((worlds, 3)),
        np.zeros((worlds, 2)),
        np.zeros((worlds, people, 2, 2)),
    )
    for n, scene in enumerate(scenes):
        path = None
        while path is None:
            start, goals[n] = two_spots(rng, scene, 8.0, 0.75)
            path = astar(scene, scene.distance(), start, goals[n], 0.5)
        expert.plan(n, path)
        towards = path[1] - path[0]
        poses[n] = (*start, np.arctan2(towards[1], towards[0]) + rng.uniform(-0.3, 0.3))
        for p in range(people):
            ends[n, p] = two_spots(rng, scene, 5.0, 0.7)
            while np.linalg.norm(ends[n, p, 0] - start) < 2.0:
                ends[n, p] = two_spots(rng, scene, 5.0, 0.7)
    velocities, pos, leg = (
        np.zeros((worlds, 3)),
        ends[:, :, 0].copy(),
        np.ones((worlds, people), dtype=int),
    )
    pos_velocities, speeds = np.zeros_like(pos), rng.uniform(0.8, 1.5, (worlds, people))
    active, state, touching = (
        np.ones((worlds, people), dtype=bool),
        np.zeros(worlds, dtype=int),
        np.zeros(worlds, bool),
    )
    walked_into = 0
    for _ in range(200):
        seen = active & sees_people
        commands = waypoint_to_command(
            expert.act(poses, velocities, pos, pos_velocities, seen, fields, ids), HORIZON_S, fleet
        )
        commands[state > 0] = 0.0
        poses, velocities = step_robots(fleet, poses, velocities, commands, dt)
        pos, pos_velocities, leg = walk(pos, ends, leg, speeds, poses, dt)
        driving, moving = state == 0, np.abs(velocities).max(axis=1) > 0.05
        touch = (people_gaps(fleet, poses, pos, active) < 0) & driving
        walked_into += int((touch & ~touching & ~moving).sum())
        touching = touch
        state[driving & (np.linalg.norm(poses[:, :2] - goals, axis=1) < 1.0)] = 1
        state[touch & moving] = 2
        state[driving & robot_contacts(fleet, poses, fields, ids)] = 3
    return Outcome(
        float((state == 1).mean()), int((state == 3).sum()), int((state == 2).sum()), walked_into
    )


def test_the_expert_drives_specimens_that_slip_and_answer_late():
    """Domain randomisation in full, real collisions: 5 Hz waypoints, 10 Hz control, commands up to
    0.3 s late."""
    rng, worlds = np.random.default_rng(3), 48
    fleet = Fleet.of([randomise(rng, list(ROBOTS.values())[n % 4]) for n in range(worlds)])
    scenes = [room(rng, 12) for _ in range(worlds)]
    physics, expert = Kinematic(fleet, DistanceFields.pack(scenes)), Expert(fleet)
    poses, goals, velocities = np.zeros((worlds, 3)), np.zeros((worlds, 2)), np.zeros((worlds, 3))
    for n, scene in enumerate(scenes):
        path = None
        while path is None:
            start, goals[n] = two_spots(rng, scene, 8.0, 0.75)
            path = astar(scene, scene.distance(), start, goals[n], 0.5)
        expert.plan(n, path)
        poses[n] = (*start, np.arctan2(*(path[1] - path[0])[::-1]))
        physics.reset(n, n, n, poses[n], ROBOTS["jackal"], n)
    driving, hit, nobody = (
        np.ones(worlds, dtype=bool),
        np.zeros(worlds, dtype=bool),
        np.zeros((worlds, 0, 2)),
    )
    for _ in range(200):
        waypoints = expert.act(
            poses, velocities, nobody, nobody, nobody[..., 0] > 0, physics.fields, np.arange(worlds)
        )
        commands = waypoint_to_command(waypoints, HORIZON_S, fleet)
        for _ in range(2):
            poses, velocities, blocked = physics.move(poses, velocities, commands, driving)
            hit |= blocked
            driving &= ~blocked & (np.linalg.norm(poses[:, :2] - goals, axis=1) >= 1.0)
    assert (~driving & ~hit).mean() >= 0.9, (hit.sum(), driving.sum())


@pytest.mark.parametrize(
    "names", [["jackal"], ["coco"], list(ROBOTS)], ids=["jackal", "coco", "mixed"]
)
def test_the_expert_arrives_without_touching_anything(names):
    outcome = drive(names, people=0)
    assert outcome.success >= 0.95 and outcome.static == 0, outcome


@pytest.mark.parametrize("name", ROBOTS)
def test_the_expert_steers_around_people(name):
    outcome = drive([name], people=6)
    assert outcome.success >= 0.9 and outcome.static == 0 and outcome.drove_into <= 2, outcome


def test_a_robot_that_ignores_people_hits_some():
    assert drive(["jackal"], people=6, sees_people=False).drove_into >= 4


def test_worlds_do_not_depend_on_their_neighbours():
    rng = np.random.default_rng(4)
    fields, fleet = DistanceFields.pack([room(rng, 12)]), Fleet.of(["jackal", "coco", "go2"])
    poses = np.array([[0.0, 4.0, 0.1], [5.0, 9.0, 2.0], [9.0, 12.0, -1.0]])
    paths = [p[:2] + np.array([[0.0, 0.0], [4.0, 1.0]]) for p in poses]
    people, people_velocities = rng.uniform(0, 12, (3, 5, 2)), rng.normal(0, 1, (3, 5, 2))
    arguments = (poses, rng.random((3, 3)), people, people_velocities, np.ones((3, 5), dtype=bool))
    together = Expert(fleet)
    for n, path in enumerate(paths):
        together.plan(n, path)
    waypoints = together.act(*arguments, fields, np.zeros(3, dtype=int))
    for n, path in enumerate(paths):
        alone = Expert(fleet.rows(np.array([n])))
        alone.plan(0, path)
        one = alone.act(
            *(a[n : n + 1] for a in arguments), fields=fields, field_id=np.zeros(1, dtype=int)
        )
        np.testing.assert_array_equal(one[0], waypoints[n])
