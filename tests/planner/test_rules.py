import numpy as np
import pytest

from s2e.planner import RulesPlanner
from s2e.planner.rules import CLEARANCE_M, advise, clearances
from s2e.planner.scene import PlannerView

BEARINGS = np.radians([-50.0, -25.0, 0.0, 25.0, 50.0])


def view(people, now_s=0.0, scores=(-2.0, -1.0, 0.0, -1.0, -2.0), **rest):
    reach = 0.2 * np.arange(1, 21)
    candidates = np.stack(
        [np.cos(BEARINGS)[:, None] * reach, np.sin(BEARINGS)[:, None] * reach], axis=-1
    )
    return PlannerView(
        now_s,
        np.zeros(3),
        1.0,
        np.array([8.0, 0.0]),
        np.reshape(people, (-1, 4)),
        candidates,
        np.array(scores),
        **rest,
    )


@pytest.mark.parametrize(
    "people", [[], [[-2, 0, 1, 0]], [[6, 0, -1, 0]], [[3, 3, 0, 1]], [[2, 0, 2.5, 0]]]
)
def test_no_advice_when_the_way_is_clear(people):
    assert advise(view(people)).kind == "none"


@pytest.mark.parametrize("side", [1, -1])
def test_passes_behind_a_person_who_crosses(side):
    directive = advise(view([[2.0, 1.6 * side, 0.0, -0.8 * side]]))
    assert directive.kind == "select" and directive.reason == "pass behind"
    assert directive.index is not None and np.sign(BEARINGS[directive.index]) == side


def test_keeps_clear_of_a_person_who_stands():
    scene = view([[2.0, 0.0, 0.0, 0.0]])
    directive = advise(scene)
    assert directive.kind == "select" and directive.index in (1, 3)
    assert clearances(scene, scene.people)[0][directive.index] >= CLEARANCE_M


def wall(x, vx):
    return [[x, y, vx, 0.0] for y in np.arange(-3.0, 3.1, 0.5)]


def test_yields_to_people_who_come_near_and_slows_for_those_farther_off():
    assert advise(view(wall(1.5, -1.0))).kind == "stop"
    far = advise(view(wall(3.0, -0.3)))
    assert far.kind == "speed" and far.speed == "slow"


def test_people_who_stand_never_stop_the_robot():
    assert advise(view(wall(1.0, 0.0))).kind == "speed"


def test_a_costly_detour_is_not_taken():
    directive = advise(view([[1.2, 0.0, -0.5, 0.0]], scores=(-9.0, -9.0, 0.0, -9.0, -9.0)))
    assert directive.kind == "stop"


def test_clearances_against_loops():
    rng = np.random.default_rng(1)
    people = rng.normal(size=(3, 4)) * 2
    scene = view(people)
    clearance, collision_s = clearances(scene, people)
    for i, candidate in enumerate(scene.candidates):
        gaps = [
            min(np.hypot(*(p - (q[:2] + 0.2 * (n + 1) * q[2:]))) for q in people)
            for n, p in enumerate(candidate)
        ]
        hits = [0.2 * (n + 1) for n, gap in enumerate(gaps) if gap < CLEARANCE_M]
        assert clearance[i] == pytest.approx(min(gaps))
        assert collision_s[i] == pytest.approx(hits[0]) if hits else np.isinf(collision_s[i])


def test_a_batch_is_answered_in_its_order():
    clear, wait = view([], now_s=5.2), view(wall(1.5, -1.0), now_s=5.0)
    said = RulesPlanner().answer([clear, wait, clear])
    assert [d.kind for d in said] == ["none", "stop", "none"]
    assert [d.stamp_s for d in said] == [5.2, 5.0, 5.2]


@pytest.mark.parametrize(("rule", "side"), [("keep_right", -1), ("keep_left", 1)])
def test_passes_who_comes_towards_it_on_the_agreed_side_and_overtakes_on_the_other(rule, side):
    coming, slower = [[5.0, 0.1, -1.0, 0.1]], [[2.5, 0.0, 0.4, 0.0]]
    for people, turn in ((coming, side), (slower, -side)):
        said = advise(view(people, rule=rule))
        assert said.kind == "select" and said.index is not None
        assert np.sign(BEARINGS[said.index]) == turn and said.reason == rule.replace("_", " ")
    assert advise(view(coming)).kind == "none"
    # who crosses, stands, is behind or far aside is met on no side
    for people in ([[5.0, 2.0, 0.0, -1.0]], [[5.0, 0.0, 0.0, 0.0]], [[-3.0, 0.0, -1.0, 0.0]]):
        assert advise(view(people, rule=rule)).kind == "none"
    # nor is anything said where the policy goes there by itself
    own = view(coming, rule=rule, scores=-np.abs(np.sign(BEARINGS) - side))
    assert advise(own).kind == "none"


def test_waits_until_they_have_passed():
    for people, kind in (
        ([[2.0, 2.0, 0.0, -0.8]], "stop"),
        ([[2.0, -2.0, 0.0, -0.8]], "none"),  # has passed
        ([[2.0, 2.0, 0.0, 0.0]], "none"),  # stands
        ([[9.0, 0.0, -0.1, 0.0]], "none"),
    ):
        assert advise(view(people, rule="wait")).kind == kind
