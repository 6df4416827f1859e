import dataclasses
import math

import numpy as np
import pytest

from s2e.benchmarks.metrics import format_table, summarise
from s2e.benchmarks.social import (
    Watched,
    crossed_in_order,
    crosses_line,
    delay,
    disc_centres,
    gaps,
    has_yielded,
    in_group,
    judge,
    passed_on,
    set_off,
    was_right,
)
from s2e.envs.geometry.scene import Episode, Script, Truth, Walker

STEP_S = 0.5


def line(start, end, steps):
    """(steps + 1, 2) points from start to end."""
    return np.linspace(start, end, steps + 1)


def stands(at, steps):
    return np.tile(np.array(at, dtype=float), (steps + 1, 1))


def people(*tracks):
    return np.stack(tracks, 1)


@pytest.mark.parametrize(
    "robot,person,expected,strict",
    [
        # The robot waits 2 m before the zone until the person has walked through.
        (np.concatenate([stands((-2, 0), 9), line((-2, 0), (3, 0), 10)]), "first", True, True),
        # Both come at once: the robot is in when the person comes in.
        (line((-4, 0), (12, 0), 20), "first", False, False),
        # The robot never comes in.
        (stands((-3, 0), 20), "first", True, True),
        # It is out of the zone 3 s before a late person comes in: fair, but not for who must wait.
        (np.concatenate([line((-2, 0), (4, 0), 4), stands((4, 0), 16)]), "late", True, False),
        (np.concatenate([line((-2, 0), (4, 0), 4), stands((4, 0), 16)]), "late", False, True),
    ],
)
def test_yielding_is_letting_out_who_had_set_off(robot, person, expected, strict):
    # Through a zone of radius 1 at the origin from 0 to 4.5 s, or from 4.5 s on.
    first = np.concatenate([line((0, -4), (0, 4), 10), stands((0, 4), 10)])
    late = np.concatenate([line((0, -4.5), (0, -1.5), 9), line((0, -1.2), (0, 4), 11)])[:21]
    track = {"first": first, "late": late}[person]
    robot = robot[:21]
    zone = (0.0, 0.0, 1.0)
    assert has_yielded(robot, people(track), zone, STEP_S, strict) is expected
    mirrored = robot * [1, -1], people(track * [1, -1])
    assert has_yielded(*mirrored, zone, STEP_S, strict) is expected


def test_nobody_is_owed_anything_who_has_not_set_off():
    robot = line((-3, 0), (3, 0), 12)
    assert has_yielded(robot, people(stands((0, -3), 12)), (0, 0, 1), STEP_S) is None
    behind = np.concatenate([stands((0, -3), 8), line((0, -3), (0, 0), 4)])[:13]  # after it came in
    assert has_yielded(robot, people(behind), (0, 0, 1), STEP_S) is None


def test_the_side_on_which_who_comes_or_is_overtaken_is_passed():
    robot, axis = line((0, 0), (10, 0), 20), np.array([10.0, 0.0])
    comes, slow = line((10, 0.8), (0, 0.8), 20), line((3, -0.8), (5, -0.8), 20)
    assert passed_on(robot, people(comes), axis, "right") is True  # they are on its left
    assert passed_on(robot, people(comes), axis, "left") is False
    assert passed_on(robot, people(slow), axis, "left") is True
    assert passed_on(robot, people(comes, slow), axis, "right") is False
    far, never = line((10, 4), (0, 4), 20), line((12, 0.8), (22, 0.8), 20)
    assert passed_on(robot, people(far, never), axis, "right") is None
    flip = np.array([1.0, -1.0])
    assert passed_on(robot * flip, people(comes * flip), axis, "left") is True
    turn = np.array([[0.0, 1.0], [-1.0, 0.0]])
    assert passed_on(robot @ turn, people(comes @ turn), axis @ turn, "right") is True


def test_gaps_are_from_edge_to_edge():
    poses = np.array([[0.0, 0.0, 0.0], [0.0, 0.0, math.pi / 2]])
    discs = disc_centres(poses, np.array([-0.2, 0.2, np.nan]))
    assert discs == pytest.approx(np.array([[[-0.2, 0], [0.2, 0]], [[0, -0.2], [0, 0.2]]]))
    someone = people(stands((1.2, 0.0), 1))
    # 1.2 - 0.2 - 0.3 - 0.25, then the distance to both discs is sqrt(1.2^2 + 0.2^2)
    assert gaps(discs, 0.3, someone) == pytest.approx([0.45, math.hypot(1.2, 0.2) - 0.55])


def test_a_groups_space_is_what_lies_between_its_people():
    corners = [(0, 0), (2, 0), (2, 2), (0, 2)]
    members = people(*(stands(c, 5) for c in corners))
    spots = np.array([[1, 1], [1.0, -0.25], [1.0, -0.35], [-0.25, 1.0], [3, 3], [0.5, 1.9]])
    discs = np.array([[s] for s in spots], dtype=float)
    inside = [True, True, False, True, False, True]
    assert in_group(discs, 0.3, members, [(0, 1, 2, 3)]).tolist() == inside
    assert not in_group(discs, 0.3, members, []).any()
    flip = np.array([-1.0, 1.0])
    assert in_group(discs * flip, 0.3, members * flip, [(0, 1, 2, 3)]).tolist() == inside
    # A queue: between two of it, but not past its end.
    file = people(*(stands((0, y), 1) for y in (0, 1, 2)))
    assert in_group(np.array([[[0.1, 1.5]], [[0.0, 2.4]]]), 0.3, file, [(0, 1, 2)]).tolist() == [
        True,
        False,
    ]


def test_gates_are_crossed_in_their_order():
    path = np.array([[0, 0], [2, 0], [4, 0], [4, 3]], dtype=float)
    first, second, beside = (1, -1, 1, 1), (3, 1, 5, 1), (1, 1, 1, 3)
    assert crosses_line(path, first).tolist() == [True, False, False]
    assert crosses_line(path, beside).tolist() == [False, False, False]
    assert crossed_in_order(path, [first, second]) and not crossed_in_order(path, [second, first])
    assert not crossed_in_order(path[:3], [first, second])
    flip = np.array([1, -1])
    turned = [(ax, -ay, bx, -by) for ax, ay, bx, by in (first, second)]
    assert crossed_in_order(path * flip, turned)


def test_delay_is_time_beyond_what_the_way_takes_alone():
    walker = Walker((0.0, 0.0), (5.4, 0.0), 1.0, 1)
    free = line((0, 0), (5.5, 0), 11)  # 1 m/s: within 0.5 m of the goal after 5 s
    held = np.concatenate([free[:5], stands(free[4], 3)[1:], free[5:]])  # stood for 1.5 s
    assert set_off(free) == 0 and set_off(stands((0, 0), 4)) is None
    assert delay(people(free), [walker], (5.0,), STEP_S) == 0.0
    assert delay(people(held), [walker], (5.0,), STEP_S) == pytest.approx(1.5)
    # Who waits first has lost nothing yet.
    later = np.concatenate([stands((0, 0), 3), free])
    assert delay(people(later), [walker], (5.0,), STEP_S) == 0.0
    # Cut off after 2 m of the 4.9 to within 0.5 m, and 3.5 s.
    assert delay(people(held[:8]), [walker], (4.9,), STEP_S) == pytest.approx(3.5 - 2.0)
    # The mean over those who set off; who stands is none of them.
    three = people(held, np.concatenate([free, stands((5.5, 0), 3)[1:]]), stands((1, 1), 14))
    assert delay(three, [walker] * 3, (5.0, 5.0, 0.0), STEP_S) == pytest.approx(0.75)
    assert delay(three[:, 2:], [walker], (0.0,), STEP_S) is None


def episode(truth, walkers=(), rule=""):
    return Episode(
        "x-000", "social", (0.0, 0.0, 0.0), (6.0, 0.0), 6.0, 20.0, 1, (), walkers, "", rule, truth
    )


def test_a_record_says_what_there_was_to_judge():
    watched = Watched(STEP_S, np.array([0.0]), 0.3)
    walker = Walker((6.0, 0.9), (-2.0, 0.9), 1.0, 1, script=Script(once=True))
    for k in range(13):
        watched.add(np.array([0.5 * k, 0.0, 0.0]), np.array([[6.0 - 0.5 * k, 0.9], [0.0, 0.0]]))
    truth = Truth("head_on", side="right", whom=(0,), alone_s=(7.5,))
    found = judge(episode(truth, (walker,)), watched)
    # 0.9 m apart abreast: 0.35 from edge to edge, under 0.5 m at one sample (1.35 m the next).
    assert found == {
        "kind": "head_on",
        "yielded": None,
        "side": True,
        "detour": None,
        "close_s": 0.5,
        "group_s": None,
        "delay_s": 0.0,
    }
    alone = dataclasses.replace(truth, side="", whom=(), alone_s=(), gates=((3.1, -1, 3.1, 1),))
    nobody = judge(episode(alone), watched)
    assert nobody["detour"] is True and nobody["close_s"] is None and nobody["delay_s"] is None


@pytest.mark.parametrize(
    "change,success,contacts,expected",
    [
        ({}, True, [(1.0, "static")], True),
        ({"yielded": True, "side": True, "detour": True, "group_s": 0.0}, True, [], True),
        ({}, False, [], False),
        ({}, True, [(1.0, "static"), (2.0, "person")], False),
        ({"yielded": False}, True, [], False),
        ({"side": False}, True, [], False),
        ({"detour": False}, True, [], False),
        ({"group_s": 0.2}, True, [], False),
        ({"close_s": 3.0, "delay_s": 4.0}, True, [], True),
    ],
)
def test_an_episode_is_right_when_all_that_was_judged_is(change, success, contacts, expected):
    judged = dict.fromkeys(("yielded", "side", "detour", "close_s", "group_s", "delay_s"))
    assert was_right(judged | change, success, contacts) is expected


def record(kind, k, success, **judged):
    none = dict.fromkeys(("right", "yielded", "side", "detour", "close_s", "group_s", "delay_s"))
    return {
        "scene": f"social/{kind}", "id": f"{kind}-{k}", "setting": "social", "success": success,
        "rc": 1.0, "ct": 1 - int(success), "spl": 1.0, "sns": 1.0, "path": [], "time_s": 1.0,
        "route_m": 5.0, "goal": [0, 0], "contacts": [], "social": {"kind": kind} | none | judged,
    }  # fmt: skip


def test_situations_are_summed_up_by_kind_and_by_what_is_held_out():
    records = [
        record("doorway", 0, True, right=True, yielded=True, delay_s=1.0),
        record("doorway", 1, False, right=False, yielded=False, delay_s=2.0),
        record("doorway", 2, True, right=True),
        record("queue", 0, True, group_s=0.4),
    ]
    summary = summarise(records, "social", "some", 0, "1")
    rows = summary["social"]
    assert list(rows) == ["all", "held out", "not held out", "doorway", "queue"]
    assert rows["doorway"]["yielded"] == 0.5 and rows["doorway"]["yielded_of"] == 2
    assert rows["doorway"]["delay_s"] == 1.5 and rows["doorway"]["sr"] == pytest.approx(2 / 3)
    assert rows["held out"]["episodes"] == 1 and rows["held out"]["group_s"] == 0.4
    assert rows["queue"]["yielded"] is None and rows["all"]["ct"] == 0.25
    table = format_table([summary])
    (row,) = (words for words in table.splitlines() if words.startswith("  doorway"))
    assert row.split() == [
        "doorway",
        "3",
        "0.67",
        "0.33",
        "0.67",
        "0.50",
        "-",
        "-",
        "-",
        "-",
        "1.50",
    ]
    assert max(map(len, table.splitlines())) <= 100
    plain = {k: v for k, v in records[0].items() if k != "social"}
    assert "social" not in summarise([plain], "plaza", "some", 0, "1")
