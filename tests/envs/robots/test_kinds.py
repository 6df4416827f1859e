import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s2e.core.errors import UserError
from s2e.envs.robots.controller import command_to_waypoint, waypoint_to_command
from s2e.envs.robots.fleet import MAX_LATENCY, STEP_CLASSES_M, Fleet
from s2e.envs.robots.kinds import REVERSE_MPS, ROBOTS, Robot, randomise
from s2e.envs.robots.kinematic import delay, step_robots

JACKAL, COCO, GO2 = ROBOTS["jackal"], ROBOTS["coco"], ROBOTS["go2"]


def unlimited(robot):
    fast = {
        "v_max": 1e3,
        "omega_max": 1e3,
        "accel_max": 1e6,
        "brake_max": 1e6,
        "alpha_max": 1e6,
        "lag_s": 0.0,
    }
    return replace(robot, **fast, curvature_max=1e5 if robot.drive == "ackermann" else math.inf)


def mixed(count: int) -> Fleet:
    return Fleet.of([list(ROBOTS)[n % len(ROBOTS)] for n in range(count)])


@pytest.mark.parametrize("robot", ROBOTS.values(), ids=ROBOTS.keys())
def test_the_discs_cover_the_footprint_and_little_more(robot):
    centre = np.mean(robot.disc_offsets)
    x, y = np.meshgrid(
        np.linspace(centre - robot.length / 2, centre + robot.length / 2, 41),
        np.linspace(-robot.width / 2, robot.width / 2, 41),
    )
    away = np.min([np.hypot(x - offset, y) for offset in robot.disc_offsets], axis=0)
    assert away.max() <= robot.disc_radius + 1e-9
    assert robot.disc_radius < 0.63 * robot.width


@pytest.mark.parametrize(
    "change, named",
    [
        ({"disc_offsets": ()}, "footprint"),
        ({"disc_radius": 0.0}, "disc_radius"),
        ({"disc_radius": math.nan}, "disc_radius"),
        ({"disc_offsets": (0.0, math.nan)}, "disc_offsets"),
        ({"disc_offsets": (0.0,) * 9}, "disc_offsets"),
        ({"accel_max": -1.0}, "accel_max"),
        ({"lag_s": math.nan}, "lag_s"),
        ({"omega_max": math.inf}, "omega_max"),
        ({"drive": "flying"}, "drive"),
        ({"sway": (0.0, 0.0, 0.0, 0.0)}, "sway"),
    ],
)
def test_a_robot_that_cannot_be_is_refused(change, named):
    with pytest.raises(UserError, match=named):
        replace(JACKAL, **change)


def test_velocities_stay_within_every_limit():
    rng = np.random.default_rng(0)
    fleet = mixed(64)
    v_max, accel, brake, omega_max, _, curvature_max, _, lateral_max, lateral_accel = fleet.limits.T
    poses, velocities, dt = np.zeros((64, 3)), np.zeros((64, 3)), 0.1
    steered = np.isfinite(curvature_max)
    for _ in range(60):
        before = velocities
        poses, velocities = step_robots(fleet, poses, velocities, rng.normal(0, 4, (64, 3)), dt)
        change = velocities - before
        assert (velocities[:, 0] >= -REVERSE_MPS).all() and (velocities[:, 0] <= v_max).all()
        assert (np.abs(velocities[:, 1]) <= omega_max + 1e-12).all()
        assert (change[:, 0] <= accel * dt + 1e-12).all() and (
            change[:, 0] >= -brake * dt - 1e-12
        ).all()
        assert (np.abs(velocities[:, 2]) <= lateral_max).all()
        assert (np.abs(change[:, 2]) <= lateral_accel * dt + 1e-12).all()
        assert (
            np.abs(velocities[steered, 1])
            <= curvature_max[steered] * np.abs(velocities[steered, 0]) + 1e-12
        ).all()
    assert (np.abs(poses[:, 2]) <= math.pi).all()
    assert (
        np.abs(velocities[:, 2]).max() > 0.5
        and (velocities[steered, 0] < 0).any()
        and (velocities[~steered, 0] < 0).any()
    )


def test_motion_is_the_exact_arc():
    fleet = Fleet.of([replace(unlimited(GO2), lateral_max=1e3, lateral_accel=1e6)] * 3)
    command = np.array([[1.2, 0.7, 0.0], [0.8, 0.0, -0.4], [0.0, -1.5, 0.6]])
    one, _ = step_robots(fleet, np.array([[1.0, 2.0, 0.3]] * 3), np.zeros((3, 3)), command, 1.0)
    fine = np.array([[1.0, 2.0, 0.3]] * 3)
    for _ in range(20000):  # Euler, the slow reference
        c, s = np.cos(fine[:, 2]), np.sin(fine[:, 2])
        v, omega, lateral = command.T
        fine = fine + 1.0 / 20000 * np.stack([v * c - lateral * s, v * s + lateral * c, omega], 1)
    np.testing.assert_allclose(one, fine, atol=1e-4)


def test_a_command_is_reached_and_a_steered_robot_keeps_its_curvature():
    poses, velocities, fleet = np.zeros((1, 3)), np.zeros((1, 3)), Fleet.of(["coco"])
    for _ in range(40):
        poses, velocities = step_robots(fleet, poses, velocities, np.array([[1.2, 0.6, 1.0]]), 0.1)
        assert velocities[0, 1] <= 0.5 * velocities[0, 0] + 1e-9
    np.testing.assert_allclose(velocities, [[1.2, 0.6, 0.0]], atol=1e-3)


def test_a_steered_robot_cannot_turn_in_place():
    poses, velocities = step_robots(
        Fleet.of([COCO]), np.zeros((1, 3)), np.zeros((1, 3)), np.array([[0.0, 1.0, 0.0]]), 0.5
    )
    np.testing.assert_array_equal(poses, 0)
    np.testing.assert_array_equal(velocities, 0)


def test_a_nan_command_is_refused_with_its_world():
    commands = np.zeros((4, 3))
    commands[2, 1] = np.nan
    with pytest.raises(UserError, match="world 2"):
        step_robots(mixed(4), np.zeros((4, 3)), np.zeros((4, 3)), commands, 0.1)


def test_slip_belongs_to_the_episode_and_not_to_the_batch():
    fleet = Fleet.of([replace(ROBOTS[name], slip=0.05) for name in (*ROBOTS, "go2", "jackal")])
    seeds, steps = np.arange(6) + 7, np.full(6, 3)
    state = np.zeros((6, 3)), np.tile([1.0, 0.3, 0.2], (6, 1)), np.tile([1.0, 0.3, 0.2], (6, 1))
    together, believed = step_robots(fleet, *state, 0.1, seeds, steps)
    for n in range(6):
        alone, _ = step_robots(
            fleet.rows(np.array([n])),
            state[0][n : n + 1],
            state[1][n : n + 1],
            state[2][n : n + 1],
            0.1,
            seeds[n : n + 1],
            steps[n : n + 1],
        )
        np.testing.assert_array_equal(alone[0], together[n])
    dry, velocities = step_robots(fleet, *state, 0.1)
    np.testing.assert_array_equal(believed, velocities)
    ratio = np.hypot(*together[:, :2].T) / np.hypot(*dry[:, :2].T)
    assert (np.abs(ratio - 1) <= 0.051).all() and len(np.unique(ratio)) == 6
    # Over an episode the part that stays is most of it, and different episodes differ.
    ends = [
        np.hypot(*step_robots(fleet, *state, 0.1, np.full(6, s), np.full(6, k))[0][:, :2].T)[0]
        for s in (1, 2)
        for k in range(40)
    ]
    first, second = np.array(ends[:40]) / 0.1, np.array(ends[40:]) / 0.1
    assert 0 < first.std() < 0.02 and abs(first.mean() - second.mean()) > 0.002


def test_commands_come_late_by_whole_periods():
    pending, latency = np.zeros((3, MAX_LATENCY + 1, 3)), np.array([0, 1, 3])
    given_commands = np.arange(1, 7)[:, None, None] * np.ones((3, 3))
    seen = [
        delay(c, pending, latency, np.array([True, True, True]))[:, 0].tolist()
        for c in given_commands
    ]
    assert seen == [[1, 0, 0], [2, 1, 0], [3, 2, 0], [4, 3, 1], [5, 4, 2], [6, 5, 3]]
    kept = pending.copy()
    delay(given_commands[0], pending, latency, np.array([False, False, False]))
    np.testing.assert_array_equal(pending, kept)


def test_a_fleet_is_arrays_whose_rows_are_replaced_saved_and_put_back():
    fleet = Fleet.of(["jackal", "coco", "go2", "g1"])
    assert [fleet.names[k] for k in fleet.kind] == ["jackal", "coco", "go2", "g1"]
    assert fleet.discs.shape == (4, 3) and (fleet.discs[3] == 0.0).all()
    assert fleet.step_class.tolist() == [0, 0, 1, 1] and len(STEP_CLASSES_M) == 2
    assert fleet.latency.tolist() == [0, 1, 0, 0]
    saved = fleet.arrays()
    fleet.put(0, ROBOTS["g1"])
    np.testing.assert_array_equal(
        fleet.rows(np.array([0])).limits, fleet.rows(np.array([3])).limits
    )
    fleet.restore(saved)
    np.testing.assert_array_equal(fleet.limits, saved["limits"])
    with pytest.raises(UserError, match="--envs"):
        Fleet.of(["jackal"]).restore(saved)
    with pytest.raises(UserError, match="tractor"):
        Fleet.of(["tractor"])


def test_specimens_differ_within_the_stated_ranges_and_the_generator_decides_them():
    for robot in ROBOTS.values():
        some = [randomise(np.random.default_rng(seed), robot) for seed in range(200)]
        assert (
            some[0] == randomise(np.random.default_rng(0), robot)
            and len({r.v_max for r in some}) == 200
        )
        for name, spread in (
            ("v_max", 0.15),
            ("omega_max", 0.15),
            ("accel_max", 0.25),
            ("lag_s", 0.5),
            ("disc_radius", 0.05),
        ):
            ratio = np.array([getattr(r, name) for r in some]) / getattr(robot, name)
            assert 0.8 * spread < np.abs(ratio - 1).max() <= spread + 1e-12
        late = np.array([r.latency_s for r in some]) - robot.latency_s
        assert 0.0 <= late.min() < 0.01 and 0.19 < late.max() <= 0.2
        assert {r.step_height for r in some} == {robot.step_height} and {r.slip for r in some} == {
            robot.slip_spread
        }
        assert np.abs([r.camera.pitch_deg - robot.camera.pitch_deg for r in some]).max() <= 4.0
        assert randomise(np.random.default_rng(1), robot, 0.0) == robot
    with pytest.raises(UserError, match="randomisation"):
        randomise(np.random.default_rng(0), JACKAL, math.nan)


@settings(max_examples=200, deadline=None)
@given(
    st.floats(0.1, 6.0),
    st.floats(math.radians(-61.0), math.radians(61.0)),
    st.floats(0.5, 2.0),
    st.sampled_from(list(ROBOTS)),
)
def test_the_command_reaches_the_waypoint(distance, bearing, horizon_s, name):
    fleet = Fleet.of([unlimited(ROBOTS[name])])
    waypoint = np.array([[distance * math.cos(bearing), distance * math.sin(bearing)]])
    command = waypoint_to_command(waypoint, horizon_s, fleet)
    poses, _ = step_robots(fleet, np.zeros((1, 3)), np.zeros((1, 3)), command, horizon_s)
    np.testing.assert_allclose(poses[:, :2], waypoint, atol=1e-9 + 1e-6 * distance)


@settings(max_examples=100, deadline=None)
@given(st.floats(0.18, 0.5), st.floats(-20.0, 20.0), st.sampled_from(list(ROBOTS)))
def test_who_is_told_what_is_right_behind_it_backs_off(distance, aside_deg, name):
    aside, fleet = math.radians(aside_deg), Fleet.of([unlimited(ROBOTS[name])])
    waypoint = np.array([[-distance * math.cos(aside), distance * math.sin(aside)]])
    poses, _ = step_robots(
        fleet, np.zeros((1, 3)), np.zeros((1, 3)), waypoint_to_command(waypoint, 2.0, fleet), 2.0
    )
    np.testing.assert_allclose(poses, [[-distance, 0.0, 0.0]], atol=1e-6)


def test_a_stop_with_noise_on_it_and_what_is_far_behind_are_no_backing_off():
    behind = np.array([[-0.1, 0.0], [-0.7, 0.1], [-0.25, 0.25]])
    for robot in ROBOTS.values():
        assert (waypoint_to_command(behind, 1.0, fleet_of(robot, 3))[:, 0] >= 0).all()


def fleet_of(robot: Robot, count: int) -> Fleet:
    return Fleet.of([robot] * count)


@pytest.mark.parametrize("robot", ROBOTS.values(), ids=ROBOTS.keys())
def test_commands_are_finite_within_limits_and_smooth(robot):
    axis = np.linspace(-3, 3, 121) + 0.013
    waypoints = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2)
    waypoints = np.concatenate([waypoints, 0.15 * waypoints])
    fleet = fleet_of(robot, len(waypoints))
    commands = waypoint_to_command(waypoints, 1.0, fleet)
    assert np.isfinite(commands).all()
    assert (commands[:, 0] >= -REVERSE_MPS - 1e-9).all() and (
        commands[:, 0] <= robot.v_max + 1e-9
    ).all()
    assert (np.abs(commands[:, 1]) <= robot.omega_max + 1e-9).all()
    assert (np.abs(commands[:, 2]) <= robot.lateral_max).all() and (
        np.abs(commands[:, 2]).max() > 0.2
    ) == (robot.lateral_max > 0)
    if robot.drive == "ackermann":
        assert (np.abs(commands[:, 1]) <= robot.curvature_max * np.abs(commands[:, 0]) + 1e-9).all()
    moved = waypoint_to_command(waypoints + np.array([1e-5, -1e-5]), 1.0, fleet)
    # Straight behind left and right are as good as each other: there, and only there, the side
    # flips.
    smooth = ~((waypoints[:, 0] < 0) & (np.abs(waypoints[:, 1]) < 1e-4))
    assert np.abs(commands - moved)[smooth].max() < 0.01


@given(st.floats(0.2, 1.0), st.floats(-1.0, 1.0), st.sampled_from(["jackal", "go2", "g1"]))
def test_a_command_has_a_waypoint_that_means_it(fast, sharp, name):
    robot = ROBOTS[name]
    command = np.array([[fast * robot.v_max, sharp * min(robot.omega_max, 2.0), 0.0]])
    waypoint = command_to_waypoint(command, 1.0)
    np.testing.assert_allclose(
        waypoint_to_command(waypoint, 1.0, fleet_of(robot, 1)), command, atol=1e-6
    )


def test_commands_of_robots_that_stand_turn_them_or_stop_them():
    commands = np.array([[0.0, 1.0], [0.0, -1.0], [0.05, 0.1], [0.0, 0.0]])
    told = waypoint_to_command(command_to_waypoint(commands, 1.0), 1.0, fleet_of(JACKAL, 4))
    np.testing.assert_allclose(
        told[:2, :2], [[0, JACKAL.omega_max], [0, -JACKAL.omega_max]], atol=1e-6
    )
    assert (told[2:] == 0).all()


def test_origin_means_stop_and_limits_keep_the_curvature():
    for robot in ROBOTS.values():
        fleet = Fleet.of([robot])
        np.testing.assert_array_equal(waypoint_to_command(np.zeros((1, 2)), 1.0, fleet), 0)
        v, omega, _ = waypoint_to_command(np.array([[8.0, 3.0]]), 1.0, fleet)[0]
        assert v == pytest.approx(robot.v_max) and omega / v == pytest.approx(2 * 3 / (64 + 9))


def test_a_waypoint_beside_or_behind_is_turned_towards():
    beside = np.array([[-1.0, 0.5], [0.0, -1.0]])
    for robot in (JACKAL, GO2):
        in_place = waypoint_to_command(beside, 1.0, fleet_of(robot, 2))
        np.testing.assert_allclose(in_place, [[0.0, 2.0, 0.0], [0.0, -2.0, 0.0]], atol=1e-9)
    tight = waypoint_to_command(beside, 1.0, fleet_of(COCO, 2))
    np.testing.assert_allclose(tight[:, 1] / tight[:, 0], [COCO.curvature_max, -COCO.curvature_max])
    assert (tight[:, 0] <= 0.5).all()


def test_legs_step_sideways_to_what_is_near_and_a_mixed_fleet_is_its_parts():
    near = np.array([[0.0, 0.2]] * 4)
    fleet = mixed(4)
    commands = waypoint_to_command(near, 1.0, fleet)
    np.testing.assert_allclose(commands[2], [0.0, 0.0, 0.2], atol=1e-9)
    assert (commands[:2, 2] == 0).all() and (commands[:2, 1] > 0).all()
    for n in range(4):
        np.testing.assert_array_equal(
            waypoint_to_command(near[:1], 1.0, fleet.rows(np.array([n])))[0], commands[n]
        )
