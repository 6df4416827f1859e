import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s2e.envs.controller import waypoint_to_command
from s2e.envs.robots import ROBOTS, step_robots
from s2e.errors import UserError

JACKAL, COCO = ROBOTS["jackal"], ROBOTS["coco"]


def unlimited(robot):
    tightest = robot.curvature_max if robot.drive == "differential" else 1e5
    fast = {"v_max": 1e3, "omega_max": 1e3, "accel_max": 1e6, "brake_max": 1e6, "alpha_max": 1e6, "lag_s": 0.0}
    return replace(robot, **fast, curvature_max=tightest)


@pytest.mark.parametrize("robot", ROBOTS.values(), ids=ROBOTS.keys())
def test_the_discs_cover_the_footprint_and_little_more(robot):
    centre = np.mean(robot.disc_offsets)
    x, y = np.meshgrid(
        np.linspace(centre - robot.length / 2, centre + robot.length / 2, 41),
        np.linspace(-robot.width / 2, robot.width / 2, 41),
    )
    away = np.min([np.hypot(x - offset, y) for offset in robot.disc_offsets], axis=0)
    assert away.max() <= robot.disc_radius + 1e-9
    assert robot.disc_radius < 0.62 * robot.width


@pytest.mark.parametrize("robot", ROBOTS.values(), ids=ROBOTS.keys())
def test_velocities_stay_within_every_limit(robot):
    rng = np.random.default_rng(0)
    poses, velocities, dt = np.zeros((64, 3)), np.zeros((64, 2)), 0.1
    for _ in range(60):
        before = velocities
        poses, velocities = step_robots(robot, poses, velocities, rng.normal(0, 4, (64, 2)), dt)
        change = velocities[:, 0] - before[:, 0]
        assert (velocities[:, 0] >= 0).all() and (velocities[:, 0] <= robot.v_max).all()
        assert (np.abs(velocities[:, 1]) <= robot.omega_max + 1e-12).all()
        assert (change <= robot.accel_max * dt + 1e-12).all() and (change >= -robot.brake_max * dt - 1e-12).all()
        if robot.drive == "ackermann":
            assert (np.abs(velocities[:, 1]) <= robot.curvature_max * velocities[:, 0] + 1e-12).all()
    assert (np.abs(poses[:, 2]) <= math.pi).all()


def test_motion_is_the_exact_arc():
    robot = unlimited(JACKAL)
    command = np.array([[1.2, 0.7], [0.8, 0.0], [0.0, -1.5]])
    one, _ = step_robots(robot, np.array([[1.0, 2.0, 0.3]] * 3), np.zeros((3, 2)), command, 1.0)
    fine, velocities = np.array([[1.0, 2.0, 0.3]] * 3), command
    for _ in range(20000):  # Euler, the slow reference
        heading = fine[:, 2]
        fine = fine + 1.0 / 20000 * np.stack(
            [velocities[:, 0] * np.cos(heading), velocities[:, 0] * np.sin(heading), velocities[:, 1]], 1
        )
    np.testing.assert_allclose(one, fine, atol=1e-4)


def test_a_command_is_reached_and_a_steered_robot_keeps_its_curvature():
    poses, velocities = np.zeros((1, 3)), np.zeros((1, 2))
    for _ in range(40):
        poses, velocities = step_robots(COCO, poses, velocities, np.array([[1.2, 0.6]]), 0.1)
        assert velocities[0, 1] <= 0.5 * velocities[0, 0] + 1e-9
    np.testing.assert_allclose(velocities, [[1.2, 0.6]], atol=1e-3)


def test_a_steered_robot_cannot_turn_in_place():
    poses, velocities = step_robots(COCO, np.zeros((1, 3)), np.zeros((1, 2)), np.array([[0.0, 1.0]]), 0.5)
    np.testing.assert_array_equal(poses, 0)
    np.testing.assert_array_equal(velocities, 0)


def test_a_nan_command_is_refused_with_its_world():
    commands = np.zeros((4, 2))
    commands[2, 1] = np.nan
    with pytest.raises(UserError, match="world 2"):
        step_robots(JACKAL, np.zeros((4, 3)), np.zeros((4, 2)), commands, 0.1)


@settings(max_examples=200, deadline=None)
@given(
    st.floats(0.1, 6.0),
    st.floats(math.radians(-61.0), math.radians(61.0)),
    st.floats(0.5, 2.0),
    st.sampled_from(["jackal", "coco"]),
)
def test_the_command_reaches_the_waypoint(distance, bearing, horizon_s, name):
    robot = unlimited(ROBOTS[name])
    waypoint = np.array([[distance * math.cos(bearing), distance * math.sin(bearing)]])
    command = waypoint_to_command(waypoint, horizon_s, robot)
    poses, _ = step_robots(robot, np.zeros((1, 3)), np.zeros((1, 2)), command, horizon_s)
    np.testing.assert_allclose(poses[:, :2], waypoint, atol=1e-9 + 1e-6 * distance)


@pytest.mark.parametrize("robot", ROBOTS.values(), ids=ROBOTS.keys())
def test_commands_are_finite_within_limits_and_smooth(robot):
    axis = np.linspace(-3, 3, 241)
    waypoints = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2)
    commands = waypoint_to_command(waypoints, 1.0, robot)
    assert np.isfinite(commands).all()
    assert (commands[:, 0] >= 0).all() and (commands[:, 0] <= robot.v_max + 1e-9).all()
    assert (np.abs(commands[:, 1]) <= robot.omega_max + 1e-9).all()
    if robot.drive == "ackermann":
        assert (np.abs(commands[:, 1]) <= robot.curvature_max * commands[:, 0] + 1e-9).all()
    moved = waypoint_to_command(waypoints + np.array([1e-5, -1e-5]), 1.0, robot)
    # Straight behind left and right are as good as each other: there, and only there, the side flips.
    smooth = ~((waypoints[:, 0] < 0) & (np.abs(waypoints[:, 1]) < 1e-4))
    assert np.abs(commands - moved)[smooth].max() < 0.01


def test_origin_means_stop_and_limits_keep_the_curvature():
    for robot in ROBOTS.values():
        np.testing.assert_array_equal(waypoint_to_command(np.zeros((1, 2)), 1.0, robot), 0)
        v, omega = waypoint_to_command(np.array([[8.0, 3.0]]), 1.0, robot)[0]
        assert v == pytest.approx(robot.v_max) and omega / v == pytest.approx(2 * 3 / (64 + 9))


def test_a_waypoint_beside_or_behind_is_turned_towards():
    beside = np.array([[-1.0, 0.5], [0.0, -1.0]])
    in_place = waypoint_to_command(beside, 1.0, JACKAL)
    np.testing.assert_allclose(in_place, [[0.0, 2.0], [0.0, -2.0]], atol=1e-9)
    tight = waypoint_to_command(beside, 1.0, COCO)
    np.testing.assert_allclose(tight[:, 1] / tight[:, 0], [COCO.curvature_max, -COCO.curvature_max])
    assert (tight[:, 0] <= 0.5).all()
