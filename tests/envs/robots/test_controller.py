"""Commands by hand, of robots whose limits are far; laws of the controller are in test_kinds.py."""

import math
from dataclasses import replace

import numpy as np
import pytest

from s2e.envs.robots.controller import command_to_waypoint, waypoint_to_command
from s2e.envs.robots.fleet import Fleet
from s2e.envs.robots.kinds import ROBOTS, Robot

RAD = math.pi / 180.0
FAST = {"v_max": 9.0, "omega_max": 9.0}
WHEELS = replace(ROBOTS["jackal"], **FAST)
STEERED = replace(ROBOTS["coco"], **FAST, curvature_max=0.5)
LEGS = replace(ROBOTS["go2"], **FAST, lateral_max=9.0)
LONGER = 75 * RAD / math.sin(75 * RAD)
"""Of the arc to a bearing of 75 degrees, the way."""


def told(robot: Robot, distance_m: float, bearing_deg: float, horizon_s: float = 2.0):
    at = distance_m * np.array([[math.cos(bearing_deg * RAD), math.sin(bearing_deg * RAD)]])
    return waypoint_to_command(at, horizon_s, Fleet.of([robot]))[0]


@pytest.mark.parametrize(
    "robot, distance_m, bearing_deg, expected",
    [
        # ahead, and along an arc, which turns by twice the bearing
        (WHEELS, 1.0, 0, (0.5, 0, 0)),
        (WHEELS, 1.0, 30, (0.5 * (math.pi / 6) / 0.5, 30 * RAD, 0)),
        # halfway from the arc (62) to turning on the spot (88)
        (WHEELS, 1.0, 75, (0.5 * LONGER / 2, 75 * RAD, 0)),
        (WHEELS, 1.0, -75, (0.5 * LONGER / 2, -75 * RAD, 0)),
        (WHEELS, 1.0, 100, (0, 100 * RAD, 0)),
        # a bearing counts less below 0.1 m; at 0.05 m half
        (WHEELS, 0.05, 90, (0, 45 * RAD, 0)),
        (WHEELS, 0.05, 0, (0.025, 0, 0)),
        # who steers turns as tightly as it can at 0.5 m/s, halfway at 75 degrees
        (STEERED, 1.0, 100, (0.5, 0.25, 0)),
        (STEERED, 1.0, -100, (0.5, -0.25, 0)),
        (STEERED, 0.05, 100, (0.25, 0.0625, 0)),
        (STEERED, 8.0, 75, (
            2 * LONGER + 0.25,
            (math.sin(75 * RAD) / 8 + 0.25) * (2 * LONGER + 0.25),
            0,
        )),
        # who steps aside does to what is nearer than 0.25 m, halfway at 0.3 m
        (LEGS, 0.2, 90, (0, 0, 0.1)),
        (LEGS, 0.2, -90, (0, 0, -0.1)),
        (LEGS, 0.3, 90, (0, 45 * RAD, 0.075)),
        (LEGS, 0.4, 90, (0, 90 * RAD, 0)),
        (LEGS, 0.2, 75, (
            0.1 * LONGER / 2 + 0.5 * math.sin(75 * RAD) ** 2 * 0.1 * math.cos(75 * RAD),
            75 * RAD * (1 - 0.5 * math.sin(75 * RAD) ** 2),
            0.5 * math.sin(75 * RAD) ** 3 * 0.1,
        )),
        # all back off to what is right behind, slowly; halfway at 150 degrees, 0.15 and 0.53 m
        (WHEELS, 0.3, 180, (-0.15, 0, 0)),
        (WHEELS, 0.3, 150, (-0.075, 75 * RAD, 0)),
        (WHEELS, 0.15, 180, (-0.0375, 90 * RAD, 0)),
        (WHEELS, 0.53, 180, (-0.1325, 90 * RAD, 0)),
        (WHEELS, 0.3, 135, (0, 135 * RAD, 0)),
        (WHEELS, 0.6, 180, (0, math.pi, 0)),
        (STEERED, 0.3, 180, (-0.15, 0, 0)),
        (LEGS, 0.2, 180, (-0.1, 0, 0)),
    ],
)  # fmt: skip
def test_a_waypoint_means_the_command(robot, distance_m, bearing_deg, expected):
    np.testing.assert_allclose(told(robot, distance_m, bearing_deg), expected, atol=1e-9)


def test_nobody_backs_off_faster_than_robots_do():
    assert told(WHEELS, 0.45, 180, 1.0).tolist() == pytest.approx([-0.3, 0, 0], abs=1e-9)


@pytest.mark.parametrize("robot", [WHEELS, STEERED, LEGS])
def test_a_stop_divides_by_nothing(robot):
    with np.errstate(divide="raise", invalid="raise"):
        assert told(robot, 0.0, 0).tolist() == [0, 0, 0]
        assert command_to_waypoint(np.zeros((1, 2)), 2.0).tolist() == [[0, 0]]


def test_what_is_too_fast_is_slowed_with_its_curvature():
    slow = replace(WHEELS, v_max=1.0)
    assert told(slow, 6.0, 0) == pytest.approx([1.0, 0, 0])
    v, omega, _ = told(slow, 6.0, 30)
    assert v == pytest.approx(1.0) and omega == pytest.approx(2 * 0.5 / 6.0)
    turns = replace(WHEELS, omega_max=0.25)
    v, omega, _ = told(turns, 6.0, 30)
    assert omega == pytest.approx(0.25) and v == pytest.approx(0.25 / (2 * 0.5 / 6.0))
    assert abs(told(replace(LEGS, lateral_max=0.04), 0.2, -90)[2]) == pytest.approx(0.04)


def test_a_commands_waypoint_by_hand():
    """Ahead; a quarter turn to the left over two seconds, of radius 4 / pi; on the spot, fast and
    slowly; an arc is never bent by more than twice 62 degrees."""
    commands = np.array([[1.0, 0], [1.0, math.pi / 4], [0.01, 0.6], [0.01, -0.6], [0.01, 0.4]])
    radius = 4 / math.pi
    expected = [[2.0, 0], [radius, radius], [0, 0.5], [0, -0.5], [0, 0]]
    np.testing.assert_allclose(command_to_waypoint(commands, 2.0), expected, atol=1e-9)
    (bent,) = command_to_waypoint(np.array([[1.0, 5.0]]), 2.0)
    assert math.atan2(bent[1], bent[0]) == pytest.approx(62 * RAD)
    assert np.hypot(*bent) == pytest.approx(2.0 * math.sin(62 * RAD) / (62 * RAD))
