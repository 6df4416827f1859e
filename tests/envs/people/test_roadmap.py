import heapq

import numba
import numpy as np
import pytest

from s2e.envs.geometry.occupancy import DistanceFields, Occupancy
from s2e.envs.geometry.scene import Walker
from s2e.envs.people.crowd import Robots, Walkable, step_crowd
from s2e.envs.people.people import People
from s2e.envs.people.roadmap import (
    CLEARANCE_M,
    MOST_ANCHORS,
    Roadmaps,
    build_roadmap,
    ground_of,
    room_at,
)
from s2e.envs.robots.collision import field_at
from s2e.envs.streets.build import build_scene


def pocket() -> Occupancy:
    """A room with a pocket of three walls, open to the left, and a wall behind that leaves a way
    round on one side."""
    grid = np.ones((120, 160), dtype=bool)
    grid[2:-2, 2:-2] = False
    grid[30:34, 40:100] = grid[80:84, 40:100] = grid[30:84, 96:100] = True
    grid[20:118, 120:124] = True
    return Occupancy(grid, np.array([-3.0, 2.0]), 0.1)


CELLS = [
    (60, 80),
    (60, 20),
    (10, 60),
    (10, 110),
    (15, 140),
    (60, 140),
    (100, 60),
    (100, 110),
    (20, 30),
    (95, 30),
    (60, 110),
    (20, 110),
]
ANCHORS = np.array([-3.0, 2.0]) + 0.1 * (np.array(CELLS)[:, ::-1] + 0.5)


def dijkstra(edges: np.ndarray, source: int) -> np.ndarray:
    best, queue = np.full(len(edges), np.inf), [(0.0, source)]
    while queue:
        far, i = heapq.heappop(queue)
        if far < best[i]:
            best[i] = far
            for j in range(len(edges)):
                if far + edges[i, j] < best[j]:
                    heapq.heappush(queue, (far + edges[i, j], j))
    return best


def rooms_between(fields: DistanceFields, anchors: np.ndarray) -> np.ndarray:
    """(K, K) the least room along every straight line between anchors, by brute force in steps of 2
    cm."""
    rooms = np.full((len(anchors), len(anchors)), np.inf)
    for i, a in enumerate(anchors):
        for j, b in enumerate(anchors[:i]):
            points = a + np.linspace(0, 1, int(np.linalg.norm(b - a) / 0.02))[:, None] * (b - a)
            place = fields.values, fields.start, fields.shape, fields.frame, 0
            rooms[i, j] = rooms[j, i] = min(field_at(*place, x, y) for x, y in points)  # pyright: ignore[reportCallIssue]
    return rooms


@numba.njit
def room(values, start, shape, frame, scene, x, y):
    return room_at(values, ground_of(start, shape, frame, scene), x, y)


def test_room_is_the_distance_field_also_at_its_edges():
    scene = Occupancy(np.random.default_rng(1).random((20, 30)) < 0.02, np.array([-3.0, 2.0]), 0.1)
    fields = DistanceFields.pack([pocket(), scene])
    place = fields.values, fields.start, fields.shape, fields.frame, 1
    for x, y in np.random.default_rng(2).uniform([-3.3, 1.8], [0.3, 4.3], (3000, 2)):
        assert abs(room(*place, x, y) - field_at(*place, x, y)) < 1e-6  # pyright: ignore[reportCallIssue]


def test_paths_are_the_shortest_over_edges_that_keep_clear():
    fields = DistanceFields.pack([pocket()])
    roadmap = build_roadmap(fields, 0, ANCHORS)
    assert len(roadmap.anchors) == len(ANCHORS)  # all see one another by some way: no corner added
    # A hand's breadth more and less clearance bound what is found.
    rooms, apart = (
        rooms_between(fields, ANCHORS),
        np.linalg.norm(ANCHORS[:, None] - ANCHORS, axis=-1),
    )
    edges = [np.where(rooms >= CLEARANCE_M + margin, apart, np.inf) for margin in (0.03, -0.03)]
    upper, lower = (np.stack([dijkstra(e, k) for k in range(len(ANCHORS))]) for e in edges)
    assert np.isfinite(upper).all()
    assert (roadmap.length <= upper + 1e-4).all() and (roadmap.length >= lower - 1e-4).all()
    for i in range(len(ANCHORS)):
        for j in range(len(ANCHORS)):
            at, walked = i, 0.0
            for _ in range(len(ANCHORS)):
                then = roadmap.next_hop[at, j]
                walked += np.linalg.norm(ANCHORS[then] - ANCHORS[at])
                at = then
            assert at == j
            np.testing.assert_allclose(walked, roadmap.length[i, j], rtol=1e-5)


def test_parts_that_do_not_see_one_another_are_joined_by_corners():
    fields = DistanceFields.pack([pocket()])
    roadmap = build_roadmap(fields, 0, ANCHORS[[0, 5]])
    assert 2 < len(roadmap.anchors) <= 10
    assert np.isfinite(roadmap.length).all()
    closed = pocket()
    closed.grid[:, 120:124] = True
    fields = DistanceFields.pack([closed])
    roadmap = build_roadmap(fields, 0, ANCHORS[[0, 1, 5]])
    assert (
        np.isinf(roadmap.length[0, 2])
        and roadmap.next_hop[0, 2] == -1
        and np.isfinite(roadmap.length[0, 1])
    )


def test_every_anchor_of_a_street_is_reached():
    scenes = [build_scene(seed) for seed in (8, 11)]
    fields = DistanceFields.pack([s.occupancy for s in scenes])
    for slot, scene in enumerate(scenes):
        roadmap = build_roadmap(fields, slot, scene.free_anchors)
        assert np.isfinite(roadmap.length).all()
        np.testing.assert_array_equal(
            roadmap.anchors[: len(scene.free_anchors)], scene.free_anchors
        )


def walk(people: People, fields: DistanceFields, maps: Roadmaps, steps: int) -> np.ndarray:
    n = np.zeros(1, dtype=int)
    far, still, track = np.full((1, 3), -90.0), np.zeros((1, 2)), []
    for k in range(steps):
        step_crowd(
            people,
            np.array([0.1 * k]),
            Robots(far, still, np.zeros((1, 1)), np.full(1, 0.3)),
            Walkable(fields, maps, n),
            0.1,
        )
        track.append(people.position[0].copy())
    return np.array(track)


def test_people_reach_goals_around_concave_walls_only_with_a_roadmap():
    fields = DistanceFields.pack([pocket()])
    maps = Roadmaps.pack([build_roadmap(fields, 0, ANCHORS)])
    # From deep in the pocket, off the anchors, to behind the wall beyond, and back.
    start, goal = ANCHORS[0] + [0.9, 1.3], ANCHORS[5] + [0.4, -1.2]
    people = People.empty(1, 2)
    people.place(
        0, [Walker(tuple(start), tuple(goal), 1.5, 3), Walker(tuple(goal), tuple(start), 1.5, 4)]
    )
    track = walk(people, fields, maps, 700)
    assert (people.leg[0] >= 3).all()
    assert np.linalg.norm(track[:, 0] - goal, axis=1).min() < 0.5
    rooms = [
        field_at(fields.values, fields.start, fields.shape, fields.frame, 0, x, y)
        for x, y in track.reshape(-1, 2)
    ]
    assert min(rooms) >= 0.2 - 1e-9
    people.place(0, [Walker(tuple(start), tuple(goal), 1.5, 3)])
    walk(people, fields, Roadmaps.empty(1), 200)
    assert people.leg[0, 0] == 1


def test_scenes_are_exchanged_in_place():
    fields = DistanceFields.pack([pocket(), pocket()])
    both, one = build_roadmap(fields, 0, ANCHORS), build_roadmap(fields, 1, ANCHORS[:4])
    packed = Roadmaps.pack([both, one])
    packed.replace(0, one)
    expected = Roadmaps.pack([one, one])
    for name in ("count", "next_hop", "length"):
        np.testing.assert_array_equal(getattr(packed, name), getattr(expected, name))
    np.testing.assert_array_equal(packed.anchors[0, :4], ANCHORS[:4])


@pytest.mark.parametrize("count", [0, 1, 200])
def test_no_anchors_one_and_too_many(count):
    fields = DistanceFields.pack([pocket()])
    rng, scene = np.random.default_rng(0), pocket()
    cells = np.argwhere(scene.distance() > 0.6)
    points = scene.origin + 0.1 * (cells[rng.integers(len(cells), size=count)][:, ::-1] + 0.5)
    roadmap = build_roadmap(fields, 0, points)
    assert len(roadmap.anchors) <= MOST_ANCHORS and (count < 200 or len(roadmap.anchors) >= 48)
    people = People.empty(1, 1)
    people.place(0, [Walker((-1.0, 4.0), (0.0, 4.0), 1.2, 5)], wander=True)
    walk(people, fields, Roadmaps.pack([roadmap]), 50)
    assert people.leg[0, 0] > 1 and np.isfinite(people.real).all()
