import numpy as np
import pytest

from s2e.observation import ODOMETRY, ODOMETRY_AGO_S, Odometry, ego_state, odometry_token, reckoned


def test_reckoning_follows_a_circle():
    pose, ego = np.zeros((1, 3)), ego_state(np.array([1.0]), np.array([0.5]))
    for _ in range(100):
        pose = reckoned(pose, ego, 0.05)
    np.testing.assert_allclose(pose[0], [2 * np.sin(2.5), 2 * (1 - np.cos(2.5)), 2.5], atol=1e-3)


def test_who_is_told_to_drive_and_stands_is_told_apart_from_who_begins():
    odometry, both = Odometry(2, 0.2), np.arange(2)
    stands = ego_state(np.zeros(2), np.zeros(2))
    first = odometry.token(stands, both)
    assert first.shape == (2, ODOMETRY) and (first[:, :3] == [1, 0, 0]).all()
    odometry.command[:] = [0.8, 0.1]
    odometry.begin(np.array([1]))
    later = odometry.token(stands, both)
    np.testing.assert_allclose(later[0, :3], [1, 0.8, 0.1], atol=1e-6)
    np.testing.assert_array_equal(later[1], first[1])


def test_the_way_is_told_in_the_robots_frame():
    odometry, one = Odometry(1, 0.2), np.array([0])
    for _ in range(21):
        token = odometry.token(ego_state(np.array([1.0]), np.array([0.0])), one)
    np.testing.assert_allclose(token[0, 3:].reshape(-1, 4)[:, 0], [-s for s in ODOMETRY_AGO_S], atol=1e-6)
    odometry.token(ego_state(np.array([0.0]), np.array([5 * np.pi / 2])), one)  # turned to the left on the spot
    turned = odometry.token(ego_state(np.zeros(1), np.zeros(1)), one)[0, 3:].reshape(-1, 4)
    np.testing.assert_allclose(turned[2], [0, 1.6, -1, 0], atol=1e-6)  # where it was two seconds ago is to its left now


@pytest.mark.parametrize("where", ["pose", "ago", "command"])
def test_what_is_not_known_is_zeros(where):
    arrays = {"pose": np.zeros((2, 3)), "ago": np.ones((2, len(ODOMETRY_AGO_S), 3)), "command": np.ones((2, 2))}
    arrays[where][1].flat[0] = np.nan
    token = odometry_token(**arrays)
    assert token[0, 0] == 1 and (token[1] == 0).all() and token.dtype == np.float32
