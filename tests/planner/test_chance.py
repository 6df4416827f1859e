from collections import Counter
from typing import get_args

import pytest

from s2e.core.errors import UserError
from s2e.planner import MajorityPlanner, RandomPlanner, parse_planner
from s2e.planner.directive import Directive, Kind
from tests.planner.views import view


def test_random_says_everything_that_may_be_said():
    said = RandomPlanner().answer([view(0.2 * k, episode="a") for k in range(400)])
    counts = Counter(d.kind for d in said)
    assert set(counts) == set(get_args(Kind)) and min(counts.values()) > 30
    assert {d.index for d in said if d.kind == "select"} == {0, 1, 2}
    assert all(Directive.from_json(d.to_json()) == d for d in said)


def test_random_depends_on_episode_and_time_alone():
    views = [view(1.0, episode="a"), view(1.0, episode="b"), view(1.2, episode="a")]
    first, *others = RandomPlanner().answer(views)
    assert RandomPlanner().answer(views[::-1])[-1] == first
    assert all(d != first for d in others)


def test_majority_always_says_the_same():
    planner = parse_planner("majority:turn_left")
    assert isinstance(planner, MajorityPlanner)
    assert {(d.kind, d.action) for d in planner.answer([view(0.0), view(1.0)])} == {
        ("action", "turn_left")
    }
    with pytest.raises(UserError, match="majority"):
        parse_planner("majority:fly")
