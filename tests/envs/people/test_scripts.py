"""People of the suite `social`, who wait, stay, and walk in single file."""

import numpy as np
import pytest

from s2e.envs.geometry.occupancy import DistanceFields, Occupancy
from s2e.envs.geometry.scene import Script, Walker
from s2e.envs.people.crowd import FILE_M, Robots, Walkable, step_crowd
from s2e.envs.people.people import People
from s2e.envs.people.roadmap import Roadmaps

DT = 0.1


def field() -> DistanceFields:
    grid = np.ones((104, 204), dtype=bool)
    grid[2:-2, 2:-2] = False
    return DistanceFields.pack([Occupancy(grid, np.zeros(2), 0.1)])


def walk(walkers, robot_at, seconds):
    """(T, P, 2) positions in an empty room of 20 x 10 m; `robot_at` maps seconds to x, y."""
    people, fields = People.empty(1, len(walkers)), field()
    people.place(0, walkers)
    track = [people.position[0].copy()]
    for k in range(round(seconds / DT)):
        pose = np.array([[*robot_at(k * DT), 0.0]])
        robots = Robots(pose, np.zeros((1, 2)), np.zeros((1, 1)), np.full(1, 0.3))
        ground = Walkable(fields, Roadmaps.empty(1), np.zeros(1, dtype=int))
        step_crowd(people, np.full(1, k * DT), robots, ground, DT)
        track.append(people.position[0].copy())
    return np.array(track)


def far(_):
    return -50.0, -50.0


def walker(script, start=(3.0, 5.0), goal=(9.0, 5.0), **more):
    return Walker(start, goal, 1.0, 3, script=script, **more)


def test_who_waits_for_the_robot_sets_off_when_it_is_near():
    # The robot comes along y = 8 from x = 13 at 1 m/s; it is 5 m from the start at x = 7.
    track = walk([walker(Script(wait_m=5.0))], lambda t: (13.0 - t, 8.0), 9.0)[:, 0]
    moved = np.linalg.norm(track - track[0], axis=1)
    assert moved[60] == 0.0 and moved[75] > 0.3
    assert walk([walker(Script(wait_m=5.0))], far, 5.0)[-1, 0] == pytest.approx([3.0, 5.0])


def test_who_waits_for_a_time_sets_off_then():
    track = walk([walker(Script(wait_s=2.0))], far, 4.0)[:, 0]
    assert np.abs(track[20] - track[0]).max() == 0.0 and track[35, 0] > 3.5


def test_who_goes_once_stays_and_others_go_back():
    once = walk([walker(Script(once=True))], far, 15.0)[:, 0]
    assert np.linalg.norm(once[-30:] - [9.0, 5.0], axis=1).max() < 0.5
    back = walk([walker(Script())], far, 11.0)[:, 0]
    assert back[-1, 0] < 7.0


def test_people_follow_in_single_file_through_a_turn():
    first = walker(Script(once=True), (3.0, 5.0), (12.0, 5.0))
    others = [
        Walker(
            (3.0, 5.0 - FILE_M * n), (12.0 - FILE_M * n, 5.0), 1.25, n, script=Script(follow=n - 1)
        )
        for n in (1, 2)
    ]
    track = walk([first, *others], far, 7.0)
    gaps = -np.diff(track[-1], axis=0)
    # who follows lags a little behind the place that is theirs
    assert (gaps[:, 0] > FILE_M).all() and (gaps[:, 0] < FILE_M + 0.3).all()
    assert np.abs(gaps[:, 1]).max() < 0.2


def test_scripts_are_part_of_what_is_saved_and_may_be_missing():
    people = People.empty(1, 1)
    people.place(0, [walker(Script(wait_s=2.0))])
    saved = people.arrays()
    again = People.empty(1, 1)
    again.restore(saved)
    np.testing.assert_array_equal(again.script, people.script)
    del saved["script"]
    again.restore(saved)
    np.testing.assert_array_equal(again.script, People.empty(1, 1).script)


def test_a_child_is_drawn_as_one():
    people = People.empty(1, 2)
    people.place(0, [walker(Script(child=True)), walker(Script(), behaviour="phone")])
    assert people.rows()[0, :, 6].tolist() == [2.0, 1.0]
