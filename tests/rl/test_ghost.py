"""Where a coach's ghost goes, by hand, in worlds that are nothing but ground."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from s2e.envs.geometry.occupancy import DistanceFields, Occupancy
from s2e.envs.robots.fleet import Fleet
from s2e.envs.robots.kinds import ROBOTS
from s2e.rl.coach import LABEL, WAYPOINTS, ExpertCoach, RayCoach, drive_on

AT_ONCE = replace(
    ROBOTS["jackal"],
    **{"v_max": 9.0, "accel_max": 1e6, "brake_max": 1e6, "omega_max": 9.0, "alpha_max": 1e6},
    lag_s=0.0,
)


def ground(wall_m: float = 20.0) -> Any:
    """Two robots at (10, 10) that look along y and along x, of which the second sees a wall ahead;
    one person each, who walks."""
    grid = np.zeros((200, 200), dtype=bool)
    grid[:, min(int(10 * (10 + wall_m)), 199)] = True
    people = SimpleNamespace(
        position=np.array([[[1.0, 2.0]], [[3.0, 4.0]]]),
        velocity=np.array([[[1.0, 0.0]], [[0.0, -0.5]]]),
    )
    return SimpleNamespace(
        count=2,
        pose=np.array([[10.0, 10.0, np.pi / 2], [10.0, 10.0, 0.0]]),
        velocity=np.zeros((2, 3)),
        people=people,
        fleet=Fleet.of([AT_ONCE] * 2),
        fields=DistanceFields.pack([Occupancy(grid, np.zeros(2))]),
        field_id=np.zeros(2, dtype=int),
        config=SimpleNamespace(controls_per_step=2),
    )


def test_a_ghost_takes_the_action_and_then_what_he_is_told():
    """1 m/s at first and half of it from then on, in the frame of where he began; he is told of
    where he is by then, how fast, and where people have come to."""
    worlds, asked = ground(), []

    def act(pose, velocity, people_xy):
        asked.append((pose.copy(), velocity.copy(), people_xy.copy()))
        return np.array([[0.5, 0.0], [0.5, 0.0]])

    way, commands = drive_on(worlds, np.array([[1.0, 0.0], [1.0, 0.0]]), act)
    far = 0.2 + 0.1 * np.arange(WAYPOINTS)
    np.testing.assert_allclose(way[..., 0], [far, far], atol=1e-9)
    np.testing.assert_allclose(way[..., 1], 0.0, atol=1e-9)
    np.testing.assert_allclose(commands[:, :, 0], [[1.0] + [0.5] * 9] * 2)
    assert (commands[:, :, 1:] == 0).all() and len(asked) == WAYPOINTS - 1
    pose, velocity, people_xy = asked[0]
    np.testing.assert_allclose(pose, [[10.0, 10.2, np.pi / 2], [10.2, 10.0, 0.0]], atol=1e-9)
    np.testing.assert_allclose(velocity, [[1.0, 0, 0], [1.0, 0, 0]], atol=1e-9)
    np.testing.assert_allclose(people_xy, [[[1.2, 2.0]], [[3.0, 3.9]]], atol=1e-9)
    np.testing.assert_allclose(asked[-1][2], [[[2.8, 2.0]], [[3.0, 3.1]]], atol=1e-9)
    np.testing.assert_array_equal(worlds.pose[:, :2], 10.0)  # the worlds stay as they are
    np.testing.assert_array_equal(worlds.people.position[:, 0], [[1.0, 2.0], [3.0, 4.0]])


def test_a_ghost_is_stopped_by_a_wall_and_stands():
    worlds, speeds = ground(wall_m=1.0), []

    def act(pose, velocity, people_xy):
        speeds.append(velocity[:, 0].copy())
        return np.array([[1.0, 0.0], [1.0, 0.0]])

    way, _ = drive_on(worlds, np.array([[1.0, 0.0], [1.0, 0.0]]), act)
    assert way[0, -1, 0] == pytest.approx(2.0) and 0.3 < way[1, -1, 0] < 1.0
    assert speeds[-1].tolist() == pytest.approx([1.0, 0.0])


def coach_of(kind, action, **more) -> Any:
    coach = kind.__new__(kind)
    coach.worlds, coach.agent = ground(), SimpleNamespace(act=lambda: np.array(action), **more)
    return coach


def test_a_label_is_what_a_coach_means_in_two_steps_and_his_way():
    """The commands of two steps, averaged, as a waypoint; but who steps aside means that."""
    coach = coach_of(RayCoach, [[2.0, 0.1], [0.0, 0.3]])
    way = np.arange(2.0 * WAYPOINTS * 2).reshape(2, WAYPOINTS, 2)
    commands = np.full((2, WAYPOINTS, 3), 7.0)
    commands[:, :2] = [[1.0, 0.0, 0.0], [0.5, 0.0, 0.0]]
    commands[1, 1, 2] = 0.2
    coach.ghost = lambda action: (way, commands)
    label = coach.label()
    assert label.shape == (2, LABEL) == (2, 22) and label.dtype == np.float32
    np.testing.assert_allclose(label[0, :2], [0.75, 0.0], atol=1e-6)
    np.testing.assert_allclose(label[1, :2], [0.0, 0.3], atol=1e-6)
    np.testing.assert_array_equal(label[:, 2:], way.reshape(2, -1))


def test_a_ghost_looks_from_where_he_is():
    """He asks the policy with what its sense would see there, and the robot's top speed."""
    looked, drove = [], []

    def peek(which, pose, velocity, people_xy):
        looked.append((which.tolist(), pose[0, 1]))
        return "sight"

    def waypoints(sight, v_max):
        drove.append((sight, v_max.tolist()))
        return np.array([[1.0, 0.0], [1.0, 0.0]])

    coach = coach_of(
        RayCoach,
        [[1.0, 0.0], [1.0, 0.0]],
        policy=SimpleNamespace(waypoints=waypoints),
        sense=SimpleNamespace(peek=peek),
    )
    way = coach.label()[:, 2:].reshape(2, WAYPOINTS, 2)
    np.testing.assert_allclose(way[:, -1], [[2.0, 0.0]] * 2, atol=1e-6)
    assert [which for which, _ in looked] == [[0, 1]] * 9
    np.testing.assert_allclose([y for _, y in looked], 10 + 0.2 * np.arange(1, 10))
    assert drove == [("sight", [9.0, 9.0])] * 9


def test_the_experts_way_is_the_arc_of_what_he_does_now():
    label = coach_of(ExpertCoach, [[0.5, 0.0], [0.5, 0.0]]).label()
    way = label[:, 2:].reshape(2, WAYPOINTS, 2)
    np.testing.assert_allclose(label[:, :2], [[0.5, 0.0]] * 2)
    np.testing.assert_allclose(way[0, :, 0], 0.1 * np.arange(1, WAYPOINTS + 1), atol=1e-6)
