"""The default physics by hand; what every robot's motion must be is in test_kinds.py."""

import math
from dataclasses import replace

import numpy as np
import pytest

from s2e.core.errors import UserError
from s2e.envs.geometry.occupancy import DistanceFields, Occupancy
from s2e.envs.robots.fleet import Fleet
from s2e.envs.robots.kinds import ROBOTS
from s2e.envs.robots.kinematic import Kinematic, step_robots

AT_ONCE = replace(
    ROBOTS["go2"],
    **{"v_max": 9.0, "accel_max": 1e6, "brake_max": 1e6, "omega_max": 9.0, "alpha_max": 1e6},
    **{"lateral_max": 9.0, "lateral_accel": 1e6, "lag_s": 0.0},
)
GOLDEN, SECOND = 0x9E3779B97F4A7C15, 0xD1B54A32D192ED03


def mix(x: int) -> int:
    """The finaliser of SplitMix64."""
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    x = (x ^ (x >> 27)) * 0x94D049BB133111EB % 2**64
    return x ^ (x >> 31)


def chance(seed: int, step: int, channel: int) -> float:
    """-1..1 of 53 bits, mixed twice."""
    return (mix(mix((seed * GOLDEN + step * SECOND + channel) % 2**64)) >> 11) / 2**52 - 1.0


@pytest.mark.filterwarnings("ignore:overflow encountered")
@pytest.mark.parametrize("axis", range(3))
@pytest.mark.parametrize("seed, step", [(1, 0), (7, 3), (123_456_789, 40)])
def test_slip_is_seven_parts_of_the_episode_and_three_of_the_step(axis, seed, step):
    """Of speed, turn and step aside, each by chance of its own."""
    assert mix(GOLDEN) == 0xE220A8397B1DCDAF, "the first number of SplitMix64 of seed 0"
    fleet, velocity = Fleet.of([replace(AT_ONCE, slip=0.2)]), np.zeros((1, 3))
    velocity[0, axis] = 0.5
    moved, believed = step_robots(
        fleet, np.zeros((1, 3)), velocity, velocity, 0.1, np.array([seed]), np.array([step])
    )
    slips = 0.2 * (0.7 * chance(seed, -1, axis) + 0.3 * chance(seed, step, axis))
    where = moved[0, [0, 2, 1][axis]]  # speed moves x, turning yaw, stepping aside y
    assert where == pytest.approx(0.05 * (1 + slips), abs=1e-12) and abs(slips) > 1e-3
    np.testing.assert_array_equal(believed, velocity)


@pytest.mark.parametrize(
    "before, command, lag_s, after",
    [
        (0.0, 0.5, 0.2, 0.5 * (1 - math.exp(-0.5))),  # follows with a lag
        (0.0, 0.15, 0.0, 0.15),  # or at once
        (0.0, 5.0, 0.2, 0.2),  # as hard as it can: 2 m/s^2 for 0.1 s
        (0.9, -5.0, 0.2, 0.7),
        (0.95, 5.0, 0.0, 1.0),  # as fast as it can
        (-0.95, -5.0, 0.0, -1.0),
        (0.4, 5.0, 0.2, 0.6),
        (0.4, -0.1, 0.2, 0.4 - 0.5 * (1 - math.exp(-0.5))),
    ],
)
def test_steps_aside_by_hand(before, command, lag_s, after):
    robot = replace(AT_ONCE, lateral_max=1.0, lateral_accel=2.0, lag_s=lag_s)
    poses, velocities = step_robots(
        Fleet.of([robot]),
        np.zeros((1, 3)),
        np.array([[0.0, 0.0, before]]),
        np.array([[0.0, 0.0, command]]),
        0.1,
    )
    assert velocities[0] == pytest.approx([0, 0, after], abs=1e-12)
    assert poses[0] == pytest.approx([0, 0.1 * after, 0], abs=1e-12)


@pytest.mark.parametrize("shape", [(3,), (2, 2), (1, 2, 3)])
def test_commands_of_another_shape_are_refused(shape):
    still = np.zeros((2, 3))
    with pytest.raises(UserError, match=r"expected \(N, 3\)"):
        step_robots(Fleet.of([AT_ONCE] * 2), still, still, np.zeros(shape), 0.1)


def at_a_wall(*robots):
    """Robots 5 cm before a wall at x = 4 that they look at."""
    grid = np.zeros((60, 60), dtype=bool)
    grid[:, 40:] = True
    physics = Kinematic(Fleet.of(list(robots)), DistanceFields.pack([Occupancy(grid, np.zeros(2))]))
    nose = [4.0 - max(r.disc_offsets) - r.disc_radius - 0.05 for r in robots]
    return physics, np.stack([nose, [3.0] * len(robots), [0.0] * len(robots)], 1)


def test_who_is_stopped_stands_and_who_does_not_take_part_stays_as_it_is():
    physics, poses = at_a_wall(AT_ONCE, AT_ONCE, AT_ONCE)
    velocities = np.array([[1.0, 0, 0], [1.0, 0, 0], [-0.3, 0, 0]])
    commands = np.array([[1.0, 0, 0], [1.0, 0, 0], [-0.3, 0, 0]])
    reached, driven, blocked = physics.move(
        poses, velocities, commands, np.array([True, False, True])
    )
    assert blocked.tolist() == [True, False, False] and physics.steps.tolist() == [1, 0, 1]
    assert 0 < reached[0, 0] - poses[0, 0] < 0.08 and (driven[0] == 0).all()
    np.testing.assert_array_equal(reached[1], poses[1])
    np.testing.assert_array_equal(driven[1], velocities[1])
    assert reached[2, 0] == pytest.approx(poses[2, 0] - 0.03)  # 0.1 s at 0.3 m/s, away from it


def test_an_episode_begins_without_the_commands_and_steps_of_the_last():
    late = replace(AT_ONCE, latency_s=0.2)
    physics, poses = at_a_wall(late, late)
    back, both = np.tile([-0.3, 0.0, 0.0], (2, 1)), np.ones(2, bool)
    for _ in range(2):
        poses, velocities, _ = physics.move(poses, np.zeros((2, 3)), back, both)
        assert (velocities == 0).all(), "no command has come yet"
    physics.reset(1, 0, 0, poses[1], late, 9)
    moved, velocities, _ = physics.move(poses, velocities, back, both)
    assert velocities[:, 0].tolist() == [-0.3, 0.0] and moved[1].tolist() == poses[1].tolist()
    assert physics.seed.tolist() == [0, 9] and physics.steps.tolist() == [3, 1]
