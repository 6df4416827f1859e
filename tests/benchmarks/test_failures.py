"""Causes of failure, from drives whose cause is known because they were made up so."""

import numpy as np
import pytest

from s2e.benchmarks.failures import CAUSES, cause, count_causes

STEP_S = 0.2


def lost(way, contacts=(), goal=(20.0, 0.0), remaining_m=10.0, **more):
    """A failed episode whose robot was at `way` every 0.2 s."""
    way = np.asarray(way, dtype=float).reshape(-1, 2)
    return {
        "success": False,
        "path": way.tolist(),
        "time_s": STEP_S * (len(way) - 1),
        "contacts": [list(c) for c in contacts],
        "start": [0.0, 0.0, 0.0],
        "goal": list(goal),
        "route_m": 20.0,
        "rc": 1 - remaining_m / 20.0,
    } | more


def line(a, b, seconds):
    return np.linspace(a, b, round(seconds / STEP_S) + 1)


def stay(at, seconds):
    return line(at, at, seconds)


def joined(*parts):
    return np.concatenate(parts)


ON = line((0, 0), (10, 0), 10)
BACK_AND_FORTH = joined(
    *[joined(line((10, 0), (9.7, 0), 1), line((9.7, 0), (10, 0), 1)) for _ in range(10)]
)
CIRCLES = 3 * np.stack([np.sin(np.linspace(0, 12, 100)), 1 - np.cos(np.linspace(0, 12, 100))], 1)
INTO_AND_OUT_OF_A_DEAD_END = joined(
    line((0, 0), (12, 0), 12), line((12, 0), (3, 3), 10), line((3, 3), (11, 0), 8)
)


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (lost(stay((0, 0), 30)), "stood still"),
        # it stopped before something, touching nothing
        (lost(joined(ON, stay((10, 0), 20))), "stood still"),
        # the contact was long before
        (lost(joined(ON, stay((10, 0), 20)), [(3.0, "person")]), "stood still"),
        (lost(joined(ON, stay((10, 0), 20)), [(10.2, "static")]), "stuck at a thing"),
        # it slid on a little
        (lost(joined(ON, stay((10, 0), 20)), [(9.2, "static")]), "stuck at a thing"),
        (
            lost(joined(ON, BACK_AND_FORTH), [(10.0 + 2 * k, "static") for k in range(10)]),
            "stuck at a thing",
        ),
        (
            lost(joined(ON, stay((10, 0), 20)), [(4.0, "static"), (10.2, "person")]),
            "stuck with a person",
        ),
        (
            lost(joined(ON, stay((10, 0), 20)), [(4.0, "static")], touched_s=30.0),
            "stuck at a thing",
        ),  # along a wall all the way
        (lost(joined(ON, stay((10, 0), 20)), [(4.0, "static")], touched_s=4.4), "stood still"),
        (lost(stay((0, 0), 20), [(0.2, "static")]), "stuck at a thing"),
        (lost(line((0, 0), (15, 0), 30), remaining_m=5.0), "slow"),
        (
            lost(joined(line((0, 0), (18.5, 0), 8), CIRCLES / 3 + (18.5, 0)), remaining_m=1.5),
            "slow",
        ),  # nearly there
        # not held long enough to call it stuck
        (lost(joined(ON, stay((10, 0), 3)), [(10.2, "static")]), "slow"),
        (lost(CIRCLES), "wandering or dead end"),
        (lost(INTO_AND_OUT_OF_A_DEAD_END), "wandering or dead end"),
        (lost(line((0, 0), (-15, 0), 30), remaining_m=35.0, rc=0.0), "wandering or dead end"),
        (lost([]), "stood still"),
    ],
)
def test_causes(record, expected):
    assert cause(record) == expected and expected in CAUSES


def test_points_that_are_no_numbers_do_not_count():
    way = joined(ON, stay((10, 0), 20))
    way[5] = np.nan
    assert cause(lost(way, [(10.2, "static")])) == "stuck at a thing"


def test_only_failures_are_counted_in_the_order_of_the_causes():
    records = [
        lost(CIRCLES),
        lost(stay((0, 0), 9)),
        lost(CIRCLES),
        lost(CIRCLES) | {"success": True},
    ]
    assert list(count_causes(records).items()) == [("stood still", 1), ("wandering or dead end", 2)]
    assert count_causes([]) == {}
