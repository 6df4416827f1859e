import numpy as np
import pytest
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import dijkstra

from s2e.envs.config import WorldsConfig
from s2e.envs.geometry.geodesic import GoalFields, distances_to, goal_field
from s2e.envs.geometry.occupancy import Occupancy
from s2e.envs.scenes.episodes import RandomEpisodes
from s2e.envs.streets.pool import training_scenes
from s2e.envs.worlds import Worlds


def slow(cost, goal, cell_m):
    """SciPy's Dijkstra on the same graph, built edge by edge."""
    rows, cols = cost.shape
    edges = {}
    for r in range(rows):
        for c in range(cols):
            for dr, dc in ((0, 1), (1, 0), (1, 1), (1, -1)):
                rr, cc = r + dr, c + dc
                if (
                    not (0 <= rr < rows and 0 <= cc < cols)
                    or not np.isfinite(cost[[r, rr], [c, cc]]).all()
                ):
                    continue
                if dr and dc and not (np.isfinite(cost[r, cc]) and np.isfinite(cost[rr, c])):
                    continue
                edges[r * cols + c, rr * cols + cc] = (
                    np.hypot(dr, dc) * 0.5 * (cost[r, c] + cost[rr, cc])
                )
    i, j = np.array(list(edges)).T
    graph = coo_matrix((list(edges.values()), (i, j)), (cost.size, cost.size))
    return dijkstra(graph, directed=False, indices=goal) * cell_m


def test_distances_are_those_of_an_independent_search():
    rng = np.random.default_rng(0)
    for seed in range(5):
        cost = np.where(rng.random((17, 23)) < 0.25, np.inf, 1 + rng.random((17, 23)))
        goal = int(rng.choice(np.flatnonzero(np.isfinite(cost.ravel()))))
        np.testing.assert_allclose(
            distances_to(cost, goal, 0.2), slow(cost, goal, 0.2), rtol=1e-5, err_msg=str(seed)
        )


def wall_with_a_gap():
    """A room of 10 m, cut by a wall at x = 5 m that leaves a gap of 1.5 m at the top."""
    grid = np.zeros((100, 100), bool)
    grid[:85, 49:51] = True
    return Occupancy(grid, np.zeros(2), 0.1)


def test_the_way_leads_around_a_wall():
    room, goal = wall_with_a_gap(), np.array([8.0, 2.0])
    fields = GoalFields(3)
    for world in range(3):
        fields.begin(world, room, room.distance(), 0.25, goal)
    before, behind, at = fields.at(np.array([[2.0, 2.0], [6.0, 2.0], [8.0, 2.0]]))
    over = 2 * np.hypot(3.0, 7.2)  # through the middle of the gap
    assert over * 0.95 < before < over * 1.5 and behind == pytest.approx(2.0, abs=0.6) and at < 0.2


def test_a_robot_that_does_not_fit_has_no_way():
    room = wall_with_a_gap()
    field, (rows, cols) = goal_field(room, room.distance(), 0.9, np.array([8.0, 5.0]))
    field = field.reshape(rows, cols)
    assert np.isfinite(field[25, 40]) and not np.isfinite(field[25, 10])
    fields = GoalFields(1)
    fields.begin(0, room, room.distance(), 0.9, np.array([8.0, 5.0]))
    assert np.isnan(fields.at(np.array([[2.0, 5.0]])))


def test_ways_are_kept_within_their_memory(monkeypatch):
    # two fields of 50 x 50 float32
    monkeypatch.setattr("s2e.envs.geometry.geodesic.KEPT_BYTES", 25_000)
    room = wall_with_a_gap()
    distance, fields = room.distance(), GoalFields(1)
    for x in (1.0, 2.0, 3.0, 4.0):
        fields.begin(0, room, distance, 0.25, np.array([x, 1.0]))
        assert fields.at(np.array([[x, 1.0]]))[0] < 0.2
    assert len(fields.kept) == 2 and fields.bytes == sum(v[0].nbytes for v in fields.kept.values())


def test_worlds_pay_for_the_way_and_not_for_the_air():
    """A step that comes nearer through the air, but goes away on the way round the wall, costs."""
    scenes = training_scenes(2, 0)
    made = {}
    for shaping in ("straight", "geodesic"):
        config = WorldsConfig(reward="compact", shaping=shaping, people=0)
        worlds = Worlds(scenes, config, 8, RandomEpisodes(scenes, 8, 5, 0), draw=False)
        worlds.reset()
        before = worlds.to_go()
        _, _, terminated, truncated = worlds.step(np.tile([0.8, 0.0], (8, 1)))
        made[shaping] = (
            worlds.last["reward_towards_goal"],
            before - worlds.to_go(),
            ~(terminated | truncated),
        )
        state = worlds.state()
        again = Worlds(scenes, config, 8, RandomEpisodes(scenes, 8, 5, 0), draw=False)
        again.reset()
        again.restore_state(*state)
        np.testing.assert_array_equal(again.to_go(), worlds.to_go())
    for paid, nearer, going in made.values():
        np.testing.assert_allclose(paid[going], nearer[going], atol=1e-9)
    assert np.abs(made["straight"][0] - made["geodesic"][0]).max() > 0.01
