import numpy as np
import pytest

from s2e.core.errors import UserError
from s2e.planner import OraclePlanner, declared_latency, parse_planner
from s2e.planner.guide import in_sight
from s2e.planner.oracle import corner_along, point_along
from tests.planner.views import view

CORNER = np.array([[0.0, 0.0], [3.0, 0.0], [3.0, 5.0], [8.0, 5.0]])
"""Three metres ahead, then to the left, then ahead again."""


def advice(route, seconds=0.0, **more):
    (said,) = OraclePlanner(seconds).answer([view(route=np.array(route, dtype=float), **more)])
    return said


def test_places_along_a_line():
    np.testing.assert_allclose(point_along(CORNER, 4.0), [3.0, 1.0])
    np.testing.assert_allclose(point_along(CORNER, 99.0), [8.0, 5.0])
    assert corner_along(CORNER) == 3.0
    assert corner_along(CORNER[:2]) == np.inf
    assert corner_along(CORNER - [1.5, 0.0]) == 3.0
    assert corner_along(np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 5.0]])) == np.inf  # too near
    assert corner_along(CORNER, 3.5) == 8.0


@pytest.mark.parametrize("route", [[], [[0, 0], [8, 0]], [[0, 0], [4, 1], [8, 0]]])
def test_a_route_towards_the_goal_needs_no_advice(route):
    assert advice(route or np.zeros((0, 2))).kind == "none"


def test_a_detour_is_a_subgoal_on_the_route():
    aside = advice([[0, 0], [1, 3], [3, 8], [8, 0]])
    assert aside.kind == "subgoal" and aside.point is not None
    # 3.16 m to the first point, and what is left of four towards the second
    way = np.array([2.0, 5.0]) / np.sqrt(29.0)
    beyond = np.array([1.0, 3.0]) + (4.0 - np.sqrt(10.0)) * way
    assert not in_sight(beyond, np.zeros((0, 3)))
    # which it does not see; nearer by it does
    np.testing.assert_allclose(aside.point, 2.2 * np.array([1.0, 3.0]) / np.sqrt(10.0))


def test_the_place_lies_farther_where_the_answer_is_later():
    ahead = [[0, 0], [9, 1], [9, 30], [0, 30]]
    now, late = (advice(ahead, seconds).point or (0.0, 0.0) for seconds in (0.0, 3.0))
    assert np.hypot(*now) == pytest.approx(4.0) and np.hypot(*late) == pytest.approx(7.0)


def test_a_corner_is_where_the_place_is():
    corner = [[0, 0], [3, 0], [3, 30], [8, 30]]
    assert advice(corner).point == pytest.approx((3.0, 0.0))
    # past it where the robot will be there before the answer: 6.5 m along are out of sight, a metre
    # less is not
    assert advice(corner, 2.5).point == pytest.approx((3.0, 2.5))


def test_what_it_cannot_see_it_names_only_where_it_has_been():
    back = [[0, 0], [-9, 0], [-9, 9], [8, 9]]
    near = advice(back).point
    assert near == pytest.approx((-2.2, 0.0))  # a step behind is always known
    trail = np.array([[-6.0, 0.0, 0.0], [-4.0, 0.0, 0.0], [-2.0, 0.0, 0.0]])
    assert advice(back, trail=trail).point == pytest.approx((-4.0, 0.0))


def test_a_goal_behind_is_a_place_behind():
    said = advice([[0, 0], [-1, 3], [-2, 7]])
    assert said.kind == "subgoal" and said.point is not None and np.hypot(*said.point) < 2.5


def test_manners_come_first():
    people = np.array([[1.5, y, -1.0, 0.0] for y in np.arange(-3.0, 3.1, 0.5)])
    assert advice([[0, 0], [0, 9], [8, 9]], people=people).kind == "stop"


def test_specs():
    planner = parse_planner("oracle:1.5")
    assert isinstance(planner, OraclePlanner) and planner.seconds == 1.5
    assert declared_latency("oracle:1.5") == 1.5 and declared_latency("rules") == 0.0
    assert declared_latency("openai:http://h/v1#m") > 0.0
    for bad in ("oracle", "oracle:", "oracle:x", "oracle:-1", "oracle:nan", "oracle:99"):
        with pytest.raises(UserError, match="oracle:SECONDS"):
            parse_planner(bad)
