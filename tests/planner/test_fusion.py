import numpy as np
import pytest

from s2e.planner.directive import Directive, make
from s2e.planner.fusion import (
    D_SCALE_M,
    KAPPA,
    TAU_S,
    fuse,
    move_trajectory,
    remaining_part,
    speed_multiplier,
)


def fan(bearings_deg, points=10, step=0.2):
    angle = np.radians(np.asarray(bearings_deg, dtype=np.float64))
    reach = step * np.arange(1, points + 1)
    return np.stack([np.cos(angle)[:, None] * reach, np.sin(angle)[:, None] * reach], axis=-1)


SCORES = np.array([-0.1, -2.0, -3.0], dtype=np.float32)
FAN = fan([0.0, 25.0, -60.0])


@pytest.mark.parametrize(
    ("directive", "now_s", "weight"),
    [
        (None, 1.0, 1.0),
        (make(1.0, "none"), 1.0, 1.0),
        (make(1.0, "stop"), 1.0, 0.0),
        (make(1.0, "action", action="turn_left"), 1.0, 0.0),
        (make(1.0, "action", action="turn_left"), 7.0, 1.0),
        (make(1.0, "stop"), 4.0, 1.0),
        (make(1.0, "stop"), 0.9, 1.0),
    ],
)
def test_without_valid_advice_nothing_changes(directive, now_s, weight):
    scores, speed = fuse(SCORES, FAN, directive, now_s, FAN[1], weight)
    assert scores is SCORES and speed == 1.0


def test_select_against_a_loop():
    directive = make(2.0, "select", index=2, confidence=0.5)
    scores, speed = fuse(SCORES, FAN, directive, 3.0, FAN[2], weight=2.0)
    for i in range(3):
        gap = np.mean([np.hypot(*(FAN[i, n] - FAN[2, n])) for n in range(10)])
        expected = SCORES[i] - 2.0 * 0.5 * np.exp(-1.0 / TAU_S) * gap / D_SCALE_M
        assert scores[i] == pytest.approx(expected, rel=1e-5)
    assert scores.dtype == SCORES.dtype and speed == 1.0
    assert SCORES[0] == np.float32(-0.1)


def test_select_without_its_trajectory_only_sets_the_speed():
    scores, speed = fuse(SCORES, FAN, make(0.0, "select", index=1, speed="slow"), 0.0)
    assert scores is SCORES and speed == pytest.approx(0.4)


@pytest.mark.parametrize(
    ("action", "best"), [("forward", 0), ("forward_left", 1), ("turn_right", 2)]
)
def test_action_prefers_the_heading(action, best):
    flat = np.zeros(3)
    scores, _ = fuse(flat, FAN, make(0.0, "action", action=action), 0.0)
    assert np.argmax(scores) == best and scores[best] == pytest.approx(KAPPA)


def test_weight_grows_and_age_shrinks_the_effect():
    directive = make(0.0, "action", action="turn_right")
    gain = [
        fuse(np.zeros(3), FAN, directive, now, weight=1.0)[0][2] for now in (0.0, 1.0, 3.0, 5.9)
    ]
    assert np.all(np.diff(gain) < 0) and gain[-1] > 0
    assert fuse(np.zeros(3), FAN, directive, 0.0, weight=3.0)[0][2] == pytest.approx(3 * gain[0])


def test_speed_holds_then_fades_to_one():
    stop = make(10.0, "stop")
    values = [speed_multiplier(stop, 10.0 + age) for age in (0.0, 1.4, 1.5, 2.25, 2.99, 3.0, 9.0)]
    assert values[:3] == [0.0, 0.0, 0.0]
    assert values[3] == pytest.approx(0.5)
    assert 0.98 < values[4] < 1.0 and values[5:] == [1.0, 1.0]
    slow = make(10.0, "speed", speed="slow")
    assert speed_multiplier(slow, 11.0) == pytest.approx(0.4)
    assert speed_multiplier(slow, 14.5) == pytest.approx(0.7)


def test_a_stop_that_claims_to_hold_for_ever_ends_after_three_seconds():
    forever = Directive(0.0, 1e9, "stop")
    assert fuse(SCORES, FAN, forever, 1.0)[1] == 0.0
    assert fuse(SCORES, FAN, forever, 3.0)[1] == 1.0


def test_move_trajectory_against_homogeneous_matrices():
    rng = np.random.default_rng(0)

    def matrix(pose):
        x, y, yaw = pose
        return np.array([[np.cos(yaw), -np.sin(yaw), x], [np.sin(yaw), np.cos(yaw), y], [0, 0, 1]])

    for _ in range(10):
        then, now, points = rng.normal(size=3), rng.normal(size=3), rng.normal(size=(7, 2))
        expected = np.linalg.inv(matrix(now)) @ matrix(then) @ np.c_[points, np.ones(7)].T
        np.testing.assert_allclose(move_trajectory(points, then, now), expected[:2].T, atol=1e-12)


def test_remaining_part_starts_one_step_ahead_of_the_robot():
    straight = fan([0.0])[0]
    np.testing.assert_allclose(remaining_part(straight, np.zeros(2)), straight, atol=1e-12)
    # the robot has driven three steps and stands 0.1 m beside the line
    moved = straight - [0.6, 0.1]
    np.testing.assert_allclose(remaining_part(moved, np.array([-0.6, -0.1])), moved[3:], atol=1e-9)
    past = straight - [5.0, 0.0]
    np.testing.assert_allclose(remaining_part(past, np.array([-5.0, 0.0])), past[-1:])
    still = np.zeros((4, 2))
    assert np.isfinite(remaining_part(still, np.zeros(2))).all()


def test_following_advice_is_not_punished_by_progress():
    """A robot that drives along the chosen path finds the same path best, at full similarity."""
    then, now = np.array([1.0, 2.0, 0.3]), np.array([1.0, 2.0, 0.3])
    angle = np.radians(25.0)
    now[:2] += 0.6 * np.array([np.cos(0.3 + angle), np.sin(0.3 + angle)])
    now[2] += angle
    chosen = move_trajectory(FAN[1], then, now)
    start = move_trajectory(np.zeros(2), then, now)
    directive = make(0.0, "select", index=1)
    scores, _ = fuse(np.zeros(3), FAN, directive, 1.0, chosen, start=start)
    assert np.argmax(scores) == 0 and scores[0] == pytest.approx(0.0, abs=1e-9)
