"""Planner, runtime, guide and fusion together, in a toy world: people cross the way of a robot that
knows only its goal. And what a guide bounds."""

import numpy as np
import pytest

from s2e.planner import Fusion, Guide, PlannerView, RandomPlanner, RulesPlanner, Runtime, Timing
from s2e.planner.directive import make
from s2e.planner.fusion import FusionMode
from s2e.planner.guide import in_sight
from tests.planner.views import FAN, fan, view

BEARINGS = np.radians(np.linspace(-60, 60, 13))
REACH = 0.2 * np.arange(1, 21)
WAYS = np.stack([np.cos(BEARINGS)[:, None] * REACH, np.sin(BEARINGS)[:, None] * REACH], axis=-1)


def drive(seed, thinker, latency_s=0.0, mode: FusionMode = "score"):
    """Whether the robot touched somebody, and whether it reached its goal in 30 s."""
    rng = np.random.default_rng(seed)
    count = rng.integers(1, 4)
    start = np.stack(
        [rng.uniform(2, 8, count), rng.choice([-1, 1], count) * rng.uniform(1.5, 5, count)], axis=1
    )
    walk = np.stack(
        [rng.uniform(-0.5, 0.5, count), -np.sign(start[:, 1]) * rng.uniform(0.5, 1.2, count)],
        axis=1,
    )
    guide, runtime = Guide(Fusion(mode)), Runtime(thinker, 1, Timing(latency_s=latency_s))
    pose, goal, touched = np.zeros(3), np.array([10.0, 0.0]), False
    for step in range(150):
        now = 0.2 * step
        rotation = np.array(
            [[np.cos(pose[2]), -np.sin(pose[2])], [np.sin(pose[2]), np.cos(pose[2])]]
        )
        to_goal = (goal - pose[:2]) @ rotation
        if np.hypot(*to_goal) < 0.5:
            return touched, True
        place = guide.subgoal(now, pose, to_goal)
        aim = to_goal if place is None else place
        scores = -((BEARINGS - np.arctan2(aim[1], aim[0])) ** 2) / (2 * 0.4**2)
        people = np.concatenate(
            [(start + walk * now - pose[:2]) @ rotation, walk @ rotation], axis=1
        )
        seen = PlannerView(
            now, pose.copy(), 1.0, to_goal, people, WAYS, scores, episode=f"toy-{seed}"
        )
        guide.see(seen)
        if runtime.due(0, seen):
            runtime.ask([0], [seen])
        said = runtime.news(0, now)
        if said is not None:
            guide.hear(said)
        scores, speed = guide.apply(seen)
        pose[2] += np.clip(BEARINGS[np.argmax(scores)], -0.2, 0.2)
        pose[:2] += 0.2 * speed * np.array([np.cos(pose[2]), np.sin(pose[2])])
        touched |= bool(np.any(np.hypot(*(start + walk * (now + 0.2) - pose[:2]).T) < 0.5))
    return touched, False


class Silent(RulesPlanner):
    def answer(self, views):
        return [make(v.now_s, "none") for v in views]


def test_rules_avoid_most_contacts_and_still_arrive():
    alone = np.array([drive(seed, Silent()) for seed in range(25)])
    guided = np.array([drive(seed, RulesPlanner()) for seed in range(25)])
    assert alone[:, 1].all() and guided[:, 1].all()
    assert alone[:, 0].mean() > 0.25
    assert guided[:, 0].mean() < 0.4 * alone[:, 0].mean()


@pytest.mark.parametrize("mode", ["score", "probability"])
def test_random_advice_keeps_nobody_from_the_goal(mode):
    assert all(drive(seed, RandomPlanner(), 0.0, mode)[1] for seed in range(8))


def see(guide, now_s, said=None, **more):
    """One step of a robot that sees, hears and acts."""
    seen = view(now_s, **more)
    guide.see(seen)
    if said:
        guide.hear(said)
    return guide.apply(seen)


def test_late_advice_means_the_place_that_was_seen():
    """A path picked two seconds ago is still the same line on the ground, though the robot has
    turned since."""
    guide, flat = Guide(), np.zeros(13)
    for step in range(11):
        now = 0.2 * step
        said = make(0.0, "select", index=8) if step == 10 else None
        pose = (0.05 * step, 0.0, np.radians(2.0 * step))
        scores, _ = see(guide, now, said, pose=pose, candidates=WAYS, scores=flat)
        assert step == 10 or np.all(scores == 0.0)
    # At the end the picked line, at 20 degrees then, lies at about zero in the frame of a robot
    # turned by 20.
    assert abs(BEARINGS[np.argmax(scores)]) < np.radians(6)


def test_weight_zero_hears_nothing():
    guide = Guide(Fusion("score", 0.0))
    for k in range(5):
        seen = view(float(k))
        guide.see(seen)
        guide.hear(make(float(k), "subgoal", point=(2.0, 2.0)))
        guide.hear(make(float(k), "stop"))
        scores, speed = guide.apply(seen)
        assert scores is seen.log_scores and speed == 1.0
        assert guide.subgoal(float(k), seen.pose, seen.goal_xy_robot) is None


def test_a_new_episode_starts_without_memory():
    guide = Guide()
    for now in (0.0, 1.0, 2.0):
        see(guide, now, make(now, "stop"))
    guide.begin()
    guide.hear(make(2.0, "stop"))  # about a view of the episode before
    assert see(guide, 0.0) == (pytest.approx(view().log_scores), 1.0)


def test_an_answer_alone_counts_for_less_than_two_that_agree():
    guide = Guide()
    assert see(guide, 0.0, make(0.0, "stop"))[1] == pytest.approx(0.75)
    assert see(guide, 1.0, make(1.0, "stop"))[1] == 0.0
    guide.begin()
    see(guide, 0.0, make(0.0, "none"))
    assert see(guide, 1.0, make(1.0, "stop"))[1] == pytest.approx(0.75)
    assert see(guide, 2.0, make(2.0, "stop", confidence=0.2))[1] == pytest.approx(0.75)
    guide.begin()
    for k in range(18):
        factor = see(guide, 0.2 * k, make(0.2 * k, "stop") if k in (0, 17) else None)[1]
    assert factor == pytest.approx(0.75)  # the last is too old


def test_no_planner_stops_a_robot_longer_than_three_seconds_of_ten():
    guide, factors = Guide(), []
    for step in range(200):
        now, goal = 0.2 * step, (50.0 - 0.2 * step, 0.0)  # it comes nearer, however it is stopped
        factors.append(see(guide, now, make(now, "stop"), goal=goal)[1])
    lost = 0.2 * (1.0 - np.array(factors))
    for first in range(150):
        assert lost[first : first + 50].sum() <= 3.0 + 1e-6
    assert lost[50:].sum() > 2.0  # and may do so again
    assert lost.sum() <= 4.0 + 0.1 * 40.0 + 0.2  # in the long run a tenth


def test_who_is_brought_nowhere_is_left_alone():
    guide, chosen = Guide(), []
    for step in range(60):
        now = 0.2 * step
        said = make(now, "action", action="turn_right")
        scores, _ = see(guide, now, said, scores=[0.0, -1.0, -1.0])
        chosen.append(int(np.argmax(scores)))
    assert set(chosen[2:30]) == {2} and set(chosen[32:60]) == {0}


def towards(guide, now_s, pose=(0.0, 0.0, 0.0), goal=(8.0, 0.0)):
    return guide.subgoal(now_s, np.array(pose), np.array(goal))


def test_a_subgoal_is_taken_when_three_answers_name_it_and_left_when_reached():
    guide = Guide()
    for k in range(3):
        now, x = 1.0 * k, 0.5 * k
        place = (4.0 - x, 2.0)  # the same place, from where the robot is
        see(guide, now, make(now, "subgoal", point=place), pose=(x, 0.0, 0.0), goal=(8.0 - x, 0.0))
        assert (towards(guide, now, (x, 0.0, 0.0)) is None) == (k < 2)
    # from (1, 0), the place at (4, 2): in its direction, as far as the way by it
    aim = towards(guide, 2.2, (1.0, 0.0, 0.0), (7.0, 0.0))
    assert aim is not None
    np.testing.assert_allclose(aim / np.hypot(*aim), np.array([3.0, 2.0]) / np.sqrt(13.0))
    assert np.hypot(*aim) == pytest.approx(np.sqrt(13.0) + np.sqrt(20.0))
    turned = towards(guide, 2.2, (1.0, 0.0, np.pi / 2), (0.0, -7.0))
    assert turned is not None
    np.testing.assert_allclose(turned, [aim[1], -aim[0]], atol=1e-9)
    assert towards(guide, 3.0, (3.5, 1.5, 0.0)) is None  # within a metre
    assert towards(guide, 3.2, (1.0, 0.0, 0.0)) is None  # and for good


def test_after_a_place_that_was_reached_one_answer_is_enough_for_the_next():
    for later, taken in ((0.2, True), (3.4, False)):
        guide = Guide()
        for k in range(3):
            see(guide, float(k), make(float(k), "subgoal", point=(4.0, 0.0)))
        see(guide, 2.2, pose=(3.5, 0.0, 0.0), goal=(4.5, 0.0))
        assert towards(guide, 2.2, (3.5, 0.0, 0.0)) is None
        now = 2.2 + later
        said = make(now, "subgoal", point=(0.0, 2.0))
        see(guide, now, said, pose=(3.5, 0.0, 0.0), goal=(4.5, 0.0))
        assert (towards(guide, now, (3.5, 0.0, 0.0)) is not None) == taken


def test_a_subgoal_expires():
    guide = Guide()
    for k in range(3):
        see(guide, float(k), make(float(k), "subgoal", point=(4.0, 2.0)))
    assert towards(guide, 21.9) is not None and towards(guide, 22.0) is None


def test_a_robot_that_comes_no_nearer_needs_two_answers():
    guide = Guide()
    for step in range(16):
        see(guide, 0.2 * step)
    for k in range(2):
        assert towards(guide, 3.2 + k) is None
        see(guide, 3.2 + k, make(3.2 + k, "subgoal", point=(4.0, 2.0)))
    assert towards(guide, 4.2) is not None


@pytest.mark.parametrize("point", [(-4.0, 0.0), (0.0, 5.0), (12.0, 0.0), (2.0, -6.0)])
def test_a_place_out_of_sight_is_none(point):
    guide = Guide()
    for k in range(6):
        see(guide, float(k), make(float(k), "subgoal", point=point), goal=(50.0 - k, 0.0))
    assert towards(guide, 6.0) is None


def test_what_is_in_sight():
    nowhere = np.zeros((0, 3))
    assert in_sight(np.array([6.0, 3.0]), nowhere) and in_sight(np.array([-2.0, 0.0]), nowhere)
    assert not in_sight(np.array([-5.0, 0.0]), nowhere)
    # it came from behind: five metres back it has been, and looked ahead
    assert in_sight(np.array([-5.0, 0.5]), np.array([[-6.0, 0.0, 0.0], [-5.0, 0.0, 0.0]]))
    assert in_sight(np.array([-4.0, 3.0]), np.array([[-8.0, 0.0, 0.0]]))
    assert not in_sight(np.array([-4.0, 3.0]), np.array([[-8.0, 0.0, np.pi]]))


def test_a_subgoal_that_leads_nowhere_is_dropped_and_the_next_one_waits():
    guide, aimed = Guide(), []
    for step in range(200):
        now = 0.2 * step
        see(guide, now, make(now, "subgoal", point=(4.0, 2.0)))
        aimed.append(towards(guide, now) is not None)
    # three answers at first; six seconds without coming nearer; ten of rest, then again, then
    # twenty
    changes = 0.2 * np.flatnonzero(np.diff(np.array(aimed, float)))
    assert aimed[5] and len(changes) == 4
    assert changes[1] - changes[0] == pytest.approx(6.0, abs=0.5)
    assert changes[2] - changes[1] == pytest.approx(10.0, abs=0.9)
    assert changes[3] - changes[2] == pytest.approx(6.0, abs=0.5)


def test_who_stood_in_a_jam_is_told_the_place_again_once_it_has_driven():
    for moved, again in ((1.4, False), (1.6, True)):
        guide = Guide()
        for step in range(40):  # three answers, six seconds in a jam, and then it rests
            now = 0.2 * step
            see(guide, now, make(now, "subgoal", point=(4.0, 2.0)))
        assert towards(guide, now) is None
        for step in range(40, 46):
            now = 0.2 * step
            pose, goal = (moved, 0.0, 0.0), (8.0 - moved, 0.0)
            see(guide, now, make(now, "subgoal", point=(4.0 - moved, 2.0)), pose=pose, goal=goal)
        assert (towards(guide, now, pose, goal) is not None) == again


def test_a_place_that_moves_ahead_of_the_robot_leads_somewhere():
    """Four metres ahead at every answer: never nearer, and yet the robot gets on."""
    guide = Guide()
    for step in range(100):
        now, x = 0.2 * step, 0.1 * step
        pose, goal = (x, 0.0, 0.0), (-20.0 - x, 0.0)
        see(guide, now, make(now, "subgoal", point=(4.0, 0.0)), pose=pose, goal=goal)
        assert step < 3 or towards(guide, now, pose, goal) is not None


def test_a_subgoal_that_nobody_names_any_more_is_dropped():
    guide = Guide()
    for k in range(3):
        see(guide, 0.4 * k, make(0.4 * k, "subgoal", point=(4.0, 2.0)))
    for k in range(3, 6):
        assert towards(guide, 0.4 * k) is not None
        see(guide, 0.4 * k, make(0.4 * k, "none"))
    assert towards(guide, 2.4) is None


def test_a_robot_turns_to_a_place_that_is_not_ahead():
    ways, scores = fan([0.0, 45.0, -45.0]), np.array([0.0, -7.0, -6.0])
    guide, best = Guide(), []
    for step in range(24):
        point = (-0.5, 2.0) if step < 12 else (2.0, 0.5)
        said = make(0.2 * step, "subgoal", point=point)
        chosen, _ = see(guide, 0.2 * step, said, candidates=ways, scores=scores)
        best.append(int(np.argmax(chosen)))
    # three answers set it; it stands against something and tries the other side; it is ahead
    assert best[:2] == [0, 0] and best[2:8] == [1] * 6 and best[9] == 2 and best[15:] == [0] * 9
    guide.begin()
    for step in range(3):  # behind, and the policy would rather go right
        said = make(0.2 * step, "subgoal", point=(-2.0, 0.1))
        chosen, _ = see(guide, 0.2 * step, said, candidates=ways, scores=scores)
    assert np.argmax(chosen) == 2


def test_a_planner_that_contradicts_itself_is_not_heard():
    guide = Guide()
    left, right = ({"action": f"forward_{side}"} for side in ("left", "right"))
    for k in range(20):
        scores, _ = see(guide, float(k), make(float(k), "action", **(left if k % 2 else right)))
    assert (scores == view().log_scores).all()
    for k in range(20, 26):
        scores, _ = see(guide, float(k), make(float(k), "action", **left))
        assert (scores == view().log_scores).all() == (k < 23)


def test_random_places_are_never_taken():
    rng, guide = np.random.default_rng(3), Guide()
    taken = 0
    for step in range(400):
        now = 1.0 * step
        point = tuple(map(float, rng.uniform(-10, 10, 2)))
        see(guide, now, make(now, "subgoal", point=point), goal=(500.0 - now, 0.0))
        taken += towards(guide, now) is not None
    assert taken < 20


def test_hold_and_stream_know_no_bounds():
    for mode in ("hold", "stream"):
        guide = Guide(Fusion(mode))
        factors = [see(guide, 0.2 * k, make(0.2 * k, "stop"))[1] for k in range(100)]
        assert set(factors) == {0.0}
        see(guide, 30.0, make(30.0, "subgoal", point=(-20.0, 0.0)))
        assert towards(guide, 30.0) is not None
    assert len(FAN) == 3
