import numpy as np
import pytest

from s2e.planner import Guide, RulesPlanner, parse_planner
from s2e.planner.rules import CLEARANCE_M, advise, clearances
from s2e.planner.scene import PlannerView, Statistics

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


def test_planner_interface():
    planner = RulesPlanner()
    assert planner.latest(0.0) is None
    planner.submit(view(wall(1.5, -1.0), now_s=5.0))
    stop = planner.latest(5.0)
    assert stop is not None and stop.kind == "stop"
    assert planner.latest(8.0) is None and planner.latest(4.9) is None
    planner.submit(view([], now_s=5.2))
    assert planner.latest(5.2) is None
    assert planner.statistics() == Statistics({"asked": 2, "answered": 2, "advised": 1}, ())
    planner.close()


def test_guide_applies_advice_and_is_transparent_without_a_planner():
    scene = view([[2.0, 1.6, 0.0, -0.8]])
    for guide in (Guide(None), Guide(RulesPlanner(), weight=0.0), Guide(parse_planner("none"))):
        scores, speed = guide.apply(scene)
        assert scores is scene.log_scores and speed == 1.0
    scores, speed = Guide(RulesPlanner(), weight=3.0).apply(scene)
    assert speed == 1.0 and BEARINGS[np.argmax(scores)] > 0
    scores, speed = Guide(RulesPlanner()).apply(view(wall(1.5, -1.0)))
    assert speed == 0.0
