import numpy as np
import pytest

from s2e.core.observation import (
    AROUND,
    AROUND_M,
    NOWHERE_M,
    ODOMETRY,
    ODOMETRY_AGO_S,
    RAY_ANGLES,
    RAYS,
    Odometry,
    ego_state,
    goal_token,
    odometry_token,
    reckoned,
    robot_token,
    surroundings,
    to_robot,
    wrapped,
)


def test_a_goal_by_hand():
    tokens = goal_token(np.array([[3.0, 4.0], [0.0, -5.0], [-30.0, 0.0], [0.0, 0.0]]), 10.0)
    assert tokens == pytest.approx(
        np.array([[0.5, 0.6, 0.8], [0.5, 0.0, -1.0], [1.0, -1.0, 0.0], [0.0, 1.0, 0.0]]), abs=1e-6
    )
    assert tokens.dtype == np.float32


def test_motion_by_hand():
    """The curvature is that of the arc, by how fast it is driven, forwards or backwards, and no
    more than 2 when standing."""
    state = ego_state(np.array([2.0, -2.0, 0.05, 0.0, -0.5]), np.array([1.0, 1.0, 0.1, -3.0, 3.0]))
    assert state[:, 2] == pytest.approx([0.5, 0.5, 1.0, -2.0, 2.0])
    assert state[:, :2] == pytest.approx(
        np.array([[2, 1], [-2, 1], [0.05, 0.1], [0, -3], [-0.5, 3]])
    )


@pytest.mark.parametrize("angle", [np.pi, -np.pi, 3 * np.pi, 7.0, -7.0, 0.0])
def test_wrapped_angles_point_the_same_way(angle):
    found = wrapped(np.array([angle]))[0]
    assert -np.pi <= found <= np.pi and np.exp(1j * found) == pytest.approx(np.exp(1j * angle))


def test_world_points_in_the_robots_frame_by_hand():
    """A robot at (1, 2) that looks along +y: what is 3 m further along y is ahead, what is 1 m
    along -x is on its left."""
    seen = to_robot(np.array([[1.0, 5.0], [0.0, 2.0]]), np.array([1.0, 2.0, np.pi / 2]))
    assert seen == pytest.approx(np.array([[3.0, 0.0], [0.0, 1.0]]))


def test_robots_by_hand_and_one_with_anything_unknown_is_unknown():
    told = robot_token(
        np.array([[0.5, 0.4, 1.5, 1.0, 0.4, 60.0], [0.5, 0.4, 1.5, np.nan, 0.4, 60.0]])
    )
    assert told[0] == pytest.approx([0.5, 0.4, 0.75, 0.5, 0.4, 2 / 3])
    assert told.dtype == np.float32 and np.isnan(told[1]).all()


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
    np.testing.assert_allclose(
        token[0, 3:-AROUND].reshape(-1, 4)[:, 0], [-s for s in ODOMETRY_AGO_S], atol=1e-6
    )
    # turned to the left on the spot
    odometry.token(ego_state(np.array([0.0]), np.array([5 * np.pi / 2])), one)
    turned = odometry.token(ego_state(np.zeros(1), np.zeros(1)), one)[0, 3:-AROUND].reshape(-1, 4)
    # where it was two seconds ago is to its left now
    np.testing.assert_allclose(turned[2], [0, 1.6, -1, 0], atol=1e-6)


@pytest.mark.parametrize("where", ["pose", "ago", "command"])
def test_what_is_not_known_is_zeros(where):
    arrays = {
        "pose": np.zeros((2, 3)),
        "ago": np.ones((2, len(ODOMETRY_AGO_S), 3)),
        "command": np.ones((2, 2)),
    }
    arrays["points"] = np.ones((2, 3, 2))
    arrays[where][1].flat[0] = np.nan
    token = odometry_token(**arrays)
    assert token[0, 0] == 1 and (token[1] == 0).all() and token.dtype == np.float32


def test_surroundings_are_the_nearest_points_by_direction():
    rng = np.random.default_rng(2)
    pose, points = rng.normal(0, 1, (5, 3)), rng.normal(0, 3, (5, 60, 2))
    points[0, :30] = NOWHERE_M
    told = surroundings(pose, points)
    for b in range(5):
        nearest = np.full(AROUND, AROUND_M)
        for x, y in points[b]:
            bearing = np.degrees(np.arctan2(y - pose[b, 1], x - pose[b, 0]) - pose[b, 2])
            for k in range(AROUND):  # sectors of 11.25 degrees, the first around straight ahead
                if abs((bearing - k * 360 / AROUND + 180) % 360 - 180) < 180 / AROUND:
                    nearest[k] = min(nearest[k], np.hypot(x - pose[b, 0], y - pose[b, 1]))
        np.testing.assert_allclose(told[b], np.log(AROUND_M / np.maximum(nearest, 0.05)))


def test_what_was_seen_is_remembered_for_a_while_where_it_was():
    odometry, one = Odometry(1, 0.2), np.array([0])
    robot, stands = (
        robot_token(np.array([[0.5, 0.4, 1.5, 1.0, 0.4, 60.0]])),
        ego_state(np.zeros(1), np.zeros(1)),
    )
    odometry.token(stands, one)
    odometry.saw(np.full((1, RAYS), 2.0), robot, one)
    around = odometry.token(stands, one)[0, -AROUND:]
    # what lies outside of the camera's field of view was not seen
    shown = np.abs(RAY_ANGLES) < np.radians(30)
    sectors = np.unique(
        np.floor(RAY_ANGLES[shown] / (2 * np.pi) * AROUND + 0.5).astype(int) % AROUND
    )
    np.testing.assert_allclose(around[sectors], np.log(AROUND_M / 2.0), atol=1e-6)
    assert not np.delete(around, sectors).any()
    # to the left: it lies to the right
    turned = odometry.token(ego_state(np.zeros(1), np.full(1, 5 * np.pi / 2)), one)[0, -AROUND:]
    np.testing.assert_allclose(turned, np.roll(around, -AROUND // 4), atol=1e-6)
    for _ in range(23):  # of 0.2 s
        odometry.saw(np.full((1, RAYS), 100.0), robot, one)
        after = odometry.token(stands, one)[0, -AROUND:]
    np.testing.assert_allclose(after, turned, atol=1e-6)
    odometry.saw(np.full((1, RAYS), 100.0), robot, one)
    after = odometry.token(stands, one)[0, -AROUND:]
    # 4.8 s ago
    assert not np.any(after), "forgotten"
    odometry.saw(np.full((1, RAYS), 2.0), robot, one)
    odometry.begin(one)
    assert (odometry.token(stands, one)[0, -AROUND:] == 0).all()


def test_to_robot():
    np.testing.assert_allclose(
        to_robot(np.array([1.0, 1.0]), np.array([1.0, 0.0, np.pi / 2])), [1, 0], atol=1e-12
    )
