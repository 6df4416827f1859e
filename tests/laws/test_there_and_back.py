"""What was taken apart is put together again, what was written is read, and what is done already is
not done twice.

Readers and writers of files have their own round trips beside them; here is what lies in memory and
in the small files that everything else leans on.
"""

import dataclasses
import itertools
import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from s2e.core.observation import Odometry, to_robot, wrapped
from s2e.core.state import ArrayState, part, prefixed
from s2e.envs.expert.expert import Expert
from s2e.envs.geometry.glb import put_together, taken_apart
from s2e.envs.geometry.occupancy import DistanceFields, Occupancy
from s2e.envs.geometry.scene import Walker
from s2e.envs.people.people import People
from s2e.envs.rays import RayConfig, RaySense
from s2e.envs.robots.controller import command_to_waypoint, waypoint_to_command
from s2e.envs.robots.fleet import Fleet
from s2e.envs.robots.kinds import ROBOTS, randomise
from s2e.envs.robots.kinematic import Kinematic
from s2e.envs.splats.transform import multiply, quaternion, rotations
from s2e.planner.fusion import move_trajectory
from s2e.policy.config import PRESETS, PolicyConfig
from s2e.policy.mixture import clamped_gaussian
from s2e.video.resample import by_time, split_gaps, uniform
from tests.laws.places import KINDS, Street, fields_of, poses_of, scattered, walk_of

SEEDS = st.integers(0, 10_000)


def filled(state: ArrayState, seed: int) -> ArrayState:
    """A state with other numbers in it."""
    rng = np.random.default_rng(seed)
    for field in dataclasses.fields(state):
        array = getattr(state, field.name)
        array[...] = rng.integers(0, 2, array.shape)
    return state


def states() -> list[ArrayState]:
    street = Street(3)
    return [
        Fleet.of(KINDS),
        People.empty(4, 3),
        Odometry(4, 0.2),
        RaySense(street.as_worlds(), RayConfig(rays=4, memory=2)),
        Kinematic(Fleet.of(KINDS), fields_of(scattered(1))),
        Expert(Fleet.of(KINDS)),
    ]


@pytest.mark.parametrize("kind", range(6))
def test_every_state_comes_back_and_what_was_taken_stays_as_it_was(kind):
    state, other = filled(states()[kind], 1), states()[kind]
    taken = state.arrays()
    kept = {name: value.copy() for name, value in taken.items()}
    other.restore(part("a", {**prefixed("a", taken), **prefixed("b", filled(other, 3).arrays())}))
    filled(state, 2)
    assert kept.keys() == other.arrays().keys() and len(kept) > 1
    for name, value in other.arrays().items():
        np.testing.assert_array_equal(value, kept[name], err_msg=name)
        np.testing.assert_array_equal(taken[name], kept[name], err_msg=name)


@settings(max_examples=20)
@given(SEEDS)
def test_angles_frames_and_rotations(seed):
    rng = np.random.default_rng(seed)
    angle = rng.uniform(-30, 30, 50)
    np.testing.assert_allclose(wrapped(wrapped(angle)), wrapped(angle), atol=1e-12)
    then, now, points = *poses_of(rng, 2), rng.normal(size=(9, 2))
    there = move_trajectory(points, then, now)
    np.testing.assert_allclose(move_trajectory(there, now, then), points, atol=1e-9)
    np.testing.assert_allclose(move_trajectory(points, then, then), points, atol=1e-9)
    world = move_trajectory(points, then, np.zeros(3))
    np.testing.assert_allclose(to_robot(world, then), points, atol=1e-9)
    turns = Rotation.random(5, rng=rng).as_matrix()
    for one, other in itertools.pairwise(turns):
        np.testing.assert_allclose(rotations(quaternion(one)), one, atol=1e-9)
        both = multiply(quaternion(one), quaternion(other))
        np.testing.assert_allclose(rotations(both), one @ other, atol=1e-9)


@settings(max_examples=20)
@given(SEEDS)
def test_commands_become_waypoints_and_commands_again(seed):
    """Of what a robot can do and says something: who drives turns no more than it can on its
    way."""
    rng, fleet = np.random.default_rng(seed), Fleet.of(KINDS * 10)
    v = rng.uniform(0.4, 1.0, 40) * fleet.limits[:, 0]
    omega = rng.uniform(-1, 1, 40) * np.minimum(0.9 * fleet.limits[:, 3], 1.0)
    omega = np.clip(omega, -0.9 * fleet.limits[:, 5] * v, 0.9 * fleet.limits[:, 5] * v)
    command = np.stack([v, omega, np.zeros(40)], 1)
    back = waypoint_to_command(command_to_waypoint(command, 1.0), 1.0, fleet)
    np.testing.assert_allclose(back, command, atol=1e-9)


@settings(max_examples=20)
@given(
    st.dictionaries(st.text(max_size=8), st.integers() | st.text(max_size=8), max_size=4),
    st.binary(max_size=40),
)
def test_a_glb_is_put_together_as_it_was(tree, rest):
    data = put_together(tree, rest)
    assert taken_apart(data) == (tree, rest)
    assert put_together(*taken_apart(data)) == data


@pytest.mark.parametrize("preset", PRESETS)
def test_settings_of_a_policy_are_read_as_they_were(preset):
    config = PRESETS[preset]
    values = json.loads(json.dumps(config.to_dict()))
    assert PolicyConfig.from_dict(values, "x").to_dict() == config.to_dict()
    for name in ROBOTS:
        rays = RayConfig(robots=(name,), memory=3, views_deg=(70.0,))
        values = json.loads(json.dumps(dataclasses.asdict(rays)))
        assert RayConfig.from_dict(values, "x") == rays


@settings(max_examples=10)
@given(SEEDS)
def test_a_scene_that_took_anothers_place_is_as_if_it_had_been_there(seed):
    places = [Occupancy(scattered(seed + k)[: 40 + 10 * k], np.zeros(2), 0.1) for k in range(3)]
    packed = DistanceFields.pack(places)
    before = packed.values.copy()
    packed.replace(1, places[2])
    other = DistanceFields.pack([places[0], places[2], places[2]])
    for name in ("values", "start", "shape", "frame"):
        np.testing.assert_array_equal(getattr(packed, name), getattr(other, name))
    packed.replace(1, places[1])
    np.testing.assert_array_equal(packed.values, before)


@settings(max_examples=10)
@given(SEEDS)
def test_what_is_in_order_stays(seed):
    """Sorted times, a uniform walk and one without gaps, values within their clamps, and a robot
    that is not to be changed."""
    rng = np.random.default_rng(seed)
    times = np.sort(rng.uniform(0, 9, 30))
    order, note = by_time(times, "poses")
    assert order.tolist() == list(range(30)) and note == ""
    walk = walk_of(rng)
    once = uniform(walk, 5.0)
    assert uniform(once, 5.0) is once and len(once) < len(walk)
    assert split_gaps(once, 1.0) == [once]
    raw = torch.from_numpy(rng.normal(0, 4, (50, 5)))
    offset, log_std, rho = clamped_gaussian(raw)
    again = clamped_gaussian(torch.cat([offset, log_std, rho[:, None]], 1))
    assert all(torch.equal(a, b) for a, b in zip(again, (offset, log_std, rho), strict=True))
    for robot in ROBOTS.values():
        assert randomise(rng, robot, 0.0) == dataclasses.replace(robot, slip=0.0)
    people = People.empty(1, 2)
    walker = Walker((0.0, 1.0), (2.0, 3.0), 1.1, 5)
    people.place(0, [walker])
    first = people.arrays()
    people.place(0, [walker, walker])
    people.place(0, [walker])
    for name, value in people.arrays().items():
        np.testing.assert_array_equal(value, first[name], err_msg=name)
