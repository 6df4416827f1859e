import numpy as np

from s2e.envs.geometry.occupancy import DistanceFields, Occupancy
from s2e.envs.geometry.topdown import CELL_M, GOAL, OCCUPIED, PERSON, SIZE_CELLS, top_down_maps


def test_a_map_agrees_with_the_grid_it_is_cut_from():
    rng = np.random.default_rng(0)
    grids = [rng.random((200, 200)) < 0.05 for _ in range(2)]
    scenes = [Occupancy(g, np.array([-10.0, -10.0]), 0.1) for g in grids]
    poses = np.column_stack([rng.uniform(-6, 6, (5, 2)), rng.uniform(-3, 3, 5)])
    goals, people = rng.uniform(-8, 8, (5, 2)), rng.uniform(-8, 8, (5, 3, 2))
    active, ids = rng.random((5, 3)) < 0.7, np.array([0, 1, 1, 0, 1])
    maps = top_down_maps(poses, goals, people, active, DistanceFields.pack(scenes), ids)
    cells = (SIZE_CELLS / 2 - np.arange(SIZE_CELLS) - 0.5) * CELL_M
    ahead, left = np.meshgrid(cells, cells, indexing="ij")
    for v in range(5):
        c, s = np.cos(poses[v, 2]), np.sin(poses[v, 2])
        x, y = poses[v, 0] + c * ahead - s * left, poses[v, 1] + s * ahead + c * left
        col, row = np.floor((x + 10) / 0.1).astype(int), np.floor((y + 10) / 0.1).astype(int)
        inside = (row >= 0) & (row < 200) & (col >= 0) & (col < 200)
        expected = np.ones((SIZE_CELLS, SIZE_CELLS), dtype=int)
        expected[inside] = (scenes[ids[v]].distance() <= 0.125)[row[inside], col[inside]] * OCCUPIED
        for p in range(3):
            if active[v, p]:
                expected[np.hypot(x - people[v, p, 0], y - people[v, p, 1]) <= 0.25] = PERSON
        expected[np.hypot(x - goals[v, 0], y - goals[v, 1]) <= 0.5] = GOAL
        # cells whose middle lies on an edge may round either way
        assert (maps[v] == expected).mean() > 0.999
