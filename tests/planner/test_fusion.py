import numpy as np
import pytest

from s2e.planner.directive import Directive, make
from s2e.planner.fusion import (
    Advice,
    Fusion,
    agree,
    freer_side,
    fuse,
    move_trajectory,
    people_moved,
    remaining_part,
    speed_multiplier,
    turned,
)
from tests.planner.views import FAN, SCORES, fan, view

SCORE, PROBABILITY = Fusion("score", 1.0), Fusion("probability", 3.0)
FLAT = np.zeros(3)


def about(directive, trust=1.0, **seen):
    """Advice about a view of its stamp."""
    return Advice(directive, view(directive.stamp_s, **seen), trust)


@pytest.mark.parametrize("mode", ["score", "probability", "hold", "stream"])
@pytest.mark.parametrize(
    ("directive", "now_s", "weight"),
    [
        (None, 1.0, 1.0),
        (make(1.0, "none"), 1.0, 1.0),
        (make(1.0, "stop"), 1.0, 0.0),
        (make(1.0, "action", action="turn_left"), 1.0, 0.0),
        (make(1.0, "stop"), 0.9, 1.0),
    ],
)
def test_without_valid_advice_nothing_changes(mode, directive, now_s, weight):
    now = view(now_s)
    advice = None if directive is None else about(directive)
    scores, speed = fuse(now, advice, Fusion(mode, weight))
    assert scores is now.log_scores and speed == 1.0


@pytest.mark.parametrize("mode", ["score", "probability", "stream"])
@pytest.mark.parametrize(
    ("directive", "now_s"),
    [(make(1.0, "action", action="turn_left"), 7.0), (make(1.0, "stop"), 4.0)],
)
def test_expired_advice_changes_nothing(mode, directive, now_s):
    now = view(now_s)
    scores, speed = fuse(now, about(directive), Fusion(mode))
    assert scores is now.log_scores and speed == 1.0


def test_score_fusion_against_a_loop():
    """S + weight * confidence * exp(-age / 3 s) * (Sim - Sim of the favourite), Sim minus the mean
    distance in metres."""
    advice = about(make(2.0, "select", index=1, confidence=0.5))
    scores, speed = fuse(view(3.0), advice, Fusion("score", 2.0))
    gaps = [np.mean([np.hypot(*(FAN[i, n] - FAN[1, n])) for n in range(10)]) for i in range(3)]
    for i in range(3):
        gain = 2.0 * 0.5 * np.exp(-1.0 / 3.0) * (gaps[0] - gaps[i])
        assert scores[i] == pytest.approx(SCORES[i] + gain, rel=1e-5)
    assert scores.dtype == SCORES.dtype and speed == 1.0
    assert SCORES[0] == np.float32(-0.1)


def test_probability_fusion_by_hand():
    """(1 - a) softmax(S) + a softmax(3 Sim) among what the policy does not rule out, with
    a = 3/4 * confidence * exp(-age / 3 s)."""
    advice = about(make(0.0, "select", index=1))
    scores, _ = fuse(view(1.5), advice, PROBABILITY)
    gap = np.mean([np.hypot(*(FAN[0, n] - FAN[1, n])) for n in range(10)])
    far = np.mean([np.hypot(*(FAN[2, n] - FAN[1, n])) for n in range(10)])
    share = 0.75 * np.exp(-0.5)
    policy = np.exp(SCORES) / np.exp(SCORES).sum()
    wanted = np.exp(-3.0 * np.array([gap, 0.0, far]))
    expected = (1 - share) * policy + share * wanted / wanted.sum()
    np.testing.assert_allclose(np.exp(scores), expected, rtol=1e-5)
    assert np.exp(scores).sum() == pytest.approx(1.0, rel=1e-6)


@pytest.mark.parametrize("fusion", [Fusion("score", 1e6), Fusion("probability", 1e6)])
def test_what_the_policy_rules_out_is_not_taken(fusion):
    """No weight, and no number of answers, overrules it by more than three nats."""
    scores = np.array([-0.1, -3.2, -2.9])
    for index, best in ((1, 0), (2, 2)):
        advised, _ = fuse(view(scores=scores), about(make(0.0, "select", index=index)), fusion)
        assert np.argmax(advised) == best


def test_an_unsure_answer_moves_less():
    sure, unsure = (
        fuse(view(scores=FLAT), about(make(0.0, "select", index=2), trust), SCORE)[0]
        for trust in (1.0, 0.5)
    )
    assert unsure[2] - unsure[0] == pytest.approx(0.5 * (sure[2] - sure[0]))
    assert fuse(view(), about(make(0.0, "stop"), 0.6), SCORE)[1] == pytest.approx(0.4)


@pytest.mark.parametrize("fusion", [SCORE, PROBABILITY])
@pytest.mark.parametrize("index", [3, 10**6])
def test_a_number_that_is_no_candidate_only_sets_the_speed(fusion, index):
    now = view()
    scores, speed = fuse(now, about(make(0.0, "select", index=index, speed="slow")), fusion)
    assert scores is now.log_scores and speed == pytest.approx(0.4)


@pytest.mark.parametrize("fusion", [SCORE, PROBABILITY, Fusion("hold"), Fusion("stream")])
@pytest.mark.parametrize(
    ("action", "best"), [("forward", 0), ("forward_left", 1), ("turn_right", 2)]
)
def test_action_prefers_the_heading(fusion, action, best):
    scores, _ = fuse(view(scores=FLAT), about(make(0.0, "action", action=action)), fusion)
    assert np.argmax(scores) == best


def test_a_heading_is_that_of_the_image():
    """Who has turned by 60 degrees since "turn left" goes straight on."""
    advice = about(make(0.0, "action", action="turn_left"))
    turned = view(1.0, pose=(0.0, 0.0, np.radians(60.0)), scores=FLAT)
    assert np.argmax(fuse(turned, advice, SCORE)[0]) == 0
    assert np.argmax(fuse(turned, advice, Fusion("stream"))[0]) == 1


def test_weight_grows_and_age_shrinks_the_effect():
    advice = about(make(0.0, "action", action="turn_right"))

    def gain(now_s, weight):
        scores, _ = fuse(view(now_s, scores=FLAT), advice, Fusion("score", weight))
        return scores[2] - scores[0]

    gains = [gain(now_s, 0.4) for now_s in (0.0, 1.0, 3.0, 5.9)]
    assert np.all(np.diff(gains) < 0) and gains[-1] > 0
    assert gain(0.0, 0.8) == pytest.approx(2 * gains[0])
    assert gain(0.0, 0.4) == pytest.approx(0.4 * 4.0 * (1.0 - np.cos(np.radians(60.0))))


def test_the_policys_second_thoughts_take_advice_back():
    """What it thought the best of and now three nats worse than its favourite: a factor e."""
    advice = about(make(0.0, "select", index=1), scores=[-1.0, 0.0, -5.0])
    before, after = (view(scores=s) for s in ([-1.0, 0.0, -5.0], [0.0, -3.0, -5.0]))
    gains = [fuse(v, advice, Fusion("score", 0.5))[0] - v.log_scores for v in (before, after)]
    gap = np.mean([np.hypot(*(FAN[0, n] - FAN[1, n])) for n in range(10)])
    assert gains[0][1] - gains[0][0] == pytest.approx(0.5 * gap)
    assert gains[1][1] - gains[1][0] == pytest.approx(0.5 * gap * np.exp(-1.0))


def test_people_who_walk_on_are_no_change_and_others_are():
    then = view(0.0, people=np.array([[3.0, 1.0, 0.5, 0.0]]))
    # the robot has moved a metre ahead and turned left by 90 degrees, the person walks on
    pose = (1.0, 0.0, np.pi / 2)
    same = view(1.0, pose=pose, people=np.array([[1.0, -2.5, 0.0, -0.5]]))
    assert people_moved(then, same) == pytest.approx(0.0, abs=1e-9)
    aside = view(1.0, pose=pose, people=np.array([[1.0, -2.1, 0.0, -0.5]]))
    assert people_moved(then, aside) == pytest.approx(0.4)
    assert people_moved(then, view(1.0, pose=pose)) == 1.0  # gone
    assert people_moved(view(0.0), same) == 1.0  # new
    far = view(0.0, people=np.array([[30.0, 0.0, 0.0, 0.0]]))
    assert people_moved(view(0.0), far) == 0.0 == people_moved(view(0.0), view(1.0))


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
    forever = about(Directive(0.0, 1e9, "stop"))
    assert fuse(view(1.0), forever, SCORE)[1] == 0.0
    assert fuse(view(3.0), forever, SCORE)[1] == 1.0


def test_a_place_behind_turns_the_robot():
    ways, scores = fan([0.0, 45.0, -60.0]), np.array([0.0, -7.0, -7.0])
    assert np.argmax(turned(scores, ways, 1.0)) == 1
    assert np.argmax(turned(scores, ways, -1.0)) == 2
    assert freer_side(np.array([0.0, -1.0, -2.0]), ways) == 1.0
    assert freer_side(np.array([0.0, -2.0, -1.0]), ways) == -1.0
    # by hand: 16 (cos 45 - cos 90) for the way to the left, 16 (-cos 30) the other, within ten
    gains = turned(scores, ways, 1.0) - scores
    np.testing.assert_allclose(gains, [0.0, 10.0, -10.0], atol=1e-9)
    gains = turned(scores[:2], fan([0.0, 20.0]), 1.0) - scores[:2]
    np.testing.assert_allclose(gains, [0.0, 16.0 * np.sin(np.radians(20.0))], atol=1e-9)


def test_hold_follows_the_line_on_the_ground_and_stream_the_number():
    """Turned right by 25 degrees since the image, what lay ahead lies to the left."""
    advice = about(make(0.0, "select", index=0))
    turned = view(2.0, pose=(0.0, 0.0, -np.radians(25.0)), scores=[-9.0, -9.0, 0.0])
    assert np.argmax(fuse(turned, advice, Fusion("hold"))[0]) == 1
    assert np.argmax(fuse(turned, advice, Fusion("stream"))[0]) == 0
    late = view(15.0, pose=(0.0, 0.0, -np.radians(25.0)), scores=[-9.0, -9.0, 0.0])
    assert np.argmax(fuse(late, advice, Fusion("hold"))[0]) == 1
    driven = view(3.0, pose=(2.5, 0.0, 0.0), scores=[-9.0, -9.0, 0.0])
    assert fuse(driven, advice, Fusion("hold"))[0] is driven.log_scores


@pytest.mark.parametrize(
    ("new", "old", "same"),
    [
        (make(1.0, "select", index=1), make(0.0, "action", action="forward_left"), True),
        (make(1.0, "select", index=1), make(0.0, "select", index=2), False),
        (make(1.0, "select", index=1), make(0.0, "none"), False),
        (make(1.0, "stop"), make(0.0, "stop"), True),
        (make(1.0, "stop"), make(0.0, "speed", speed="slow"), False),
        (make(1.0, "speed", speed="slow"), make(0.0, "stop"), True),
        (make(1.0, "stop"), make(0.0, "none"), False),
        (make(1.0, "select", index=1, speed="slow"), make(0.0, "select", index=1), False),
    ],
)
def test_agreement(new, old, same):
    assert agree(about(new), about(old)) == same


def test_directions_agree_in_the_world():
    left = make(0.0, "action", action="forward_left")
    on = make(1.0, "action", action="forward")
    assert agree(about(on, pose=(1.0, 0.5, np.radians(25.0))), about(left))
    assert not agree(about(on, pose=(1.0, 0.5, np.radians(-25.0))), about(left))


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
    angle = np.radians(25.0)
    then = (1.0, 2.0, 0.3)
    now = (1.0 + 0.6 * np.cos(0.3 + angle), 2.0 + 0.6 * np.sin(0.3 + angle), 0.3 + angle)
    advice = about(make(0.0, "select", index=1), pose=then, scores=FLAT)
    scores, _ = fuse(view(1.0, pose=now, scores=FLAT), advice, SCORE)
    assert np.argmax(scores) == 0 and scores[0] == pytest.approx(0.0, abs=1e-9)
