import numpy as np

from s2e.envs.geometry.spread import farthest_first


def test_each_point_is_the_farthest_from_those_before():
    points = np.random.default_rng(0).random((200, 2))
    chosen = farthest_first(points, 12, first=3)
    assert chosen[0] == 3 and len(set(chosen.tolist())) == 12
    for k in range(1, 12):
        nearest = np.linalg.norm(points[:, None] - points[chosen[:k]], axis=2).min(1)
        assert nearest[chosen[k]] == nearest.max()


def test_it_ends_where_nothing_is_far_enough():
    line = np.stack([np.arange(5.0), np.zeros(5)], 1)
    np.testing.assert_array_equal(farthest_first(line, 5, apart_m=1.5), [0, 4, 2])
    np.testing.assert_array_equal(farthest_first(line[:1], 3), [0, 0, 0])
