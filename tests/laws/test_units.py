"""What is measured in other units is the same thing: lengths grow with the unit, times and angles
do not."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from s2e.core.observation import goal_token, to_robot
from s2e.envs.free_space import cast_rays
from s2e.envs.geometry.astar import astar, path_length
from s2e.envs.geometry.geodesic import distances_to
from s2e.envs.geometry.occupancy import Occupancy
from s2e.envs.splats.render import prepare, render_splats
from s2e.envs.splats.transform import Placement, place
from s2e.envs.splats.views import Views
from s2e.policy.mixture import Modes, WaypointMixture, normalise
from s2e.pretrain.metrics import displacement, waypoint_cosine
from s2e.video.ground import agreement, at_times, integrated
from s2e.video.stats import measure
from tests.envs.splats.samples import make_splats
from tests.laws.places import HALF_M, Street, fields_of, scattered, walk_of

SEEDS, SCALES = st.integers(0, 10_000), st.sampled_from([0.5, 2.0, 4.0])


@settings(max_examples=8)
@given(SEEDS, SCALES)
def test_rays_grow_with_the_place(seed, scale):
    """But people stay as wide as they are, so these are left out."""
    street, every = Street(seed), np.arange(12)
    street.people.active[:] = False
    angles = np.tile(np.linspace(-3, 3, 16), (12, 1))
    here = cast_rays(street.as_worlds(), every, angles, 6.0)
    street.fields, street.pose = fields_of(street.grid, scale), street.pose * [scale, scale, 1.0]
    there = cast_rays(street.as_worlds(), every, angles, 6.0 * scale)
    np.testing.assert_allclose(there.wall, scale * here.wall, rtol=1e-4)
    np.testing.assert_array_equal(there.leaves, here.leaves)


@settings(max_examples=8)
@given(SEEDS, SCALES)
def test_room_and_the_way_to_a_goal_grow_with_the_place(seed, scale):
    grid, rng = scattered(seed, 0.003), np.random.default_rng(seed)
    here, there = (Occupancy(grid, np.full(2, -HALF_M * s), 0.1 * s) for s in (1.0, scale))
    np.testing.assert_allclose(there.distance(), scale * here.distance(), rtol=1e-5)
    cost = np.where(rng.random((20, 20)) < 0.2, np.inf, rng.uniform(1.0, 3.0, (20, 20)))
    near, far = (distances_to(cost, 27, 0.3 * s) for s in (1.0, scale))
    np.testing.assert_allclose(far, scale * near, rtol=1e-5)
    assert np.isfinite(near).mean() > 0.3 or not np.isfinite(cost.ravel()[27])


def test_a_route_through_open_ground_is_as_straight_in_any_unit():
    for scale in (0.5, 1.0, 3.0):
        place = Occupancy(np.zeros((80, 80), dtype=bool), np.full(2, -HALF_M * scale), 0.1 * scale)
        ends = scale * np.array([-2.0, -1.0]), scale * np.array([2.0, 1.5])
        route = astar(place, place.distance(), *ends, 0.2 * scale)
        assert route is not None
        assert path_length(route) == pytest.approx(scale * math.hypot(4.0, 2.5), rel=0.03)


@settings(max_examples=10)
@given(SEEDS, SCALES)
def test_walks_in_other_lengths_and_other_seconds(seed, scale):
    rng = np.random.default_rng(seed)
    walk = walk_of(rng)
    times = walk.times
    long, one = dataclasses.replace(walk, position=scale * walk.position), measure([walk])
    other = measure([long])
    np.testing.assert_allclose(other["length"], scale * one["length"])
    np.testing.assert_allclose(other["speed"], scale * one["speed"])
    np.testing.assert_allclose(other["turning"], one["turning"])
    asked = np.linspace(0.0, 6.9, 41)
    (_, here, _), (_, there, _) = (
        at_times(asked, w.times, w.position, w.yaw) for w in (walk, long)
    )
    np.testing.assert_allclose(there, scale * here)
    forward, left, turn = rng.normal(size=(3, 70))
    place, heading = integrated(times, forward, left, turn)
    slow = integrated(scale * times, forward / scale, left / scale, turn / scale)
    np.testing.assert_allclose(slow[0], place, atol=1e-9)
    np.testing.assert_allclose(slow[1], heading, atol=1e-9)
    far = integrated(times, scale * forward, scale * left, turn)
    np.testing.assert_allclose(far[0], scale * place, atol=1e-9)
    if not math.isnan(agreement(walk.position, walk.yaw)):
        assert agreement(long.position, long.yaw) == pytest.approx(
            agreement(walk.position, walk.yaw), abs=0.05
        )


@settings(max_examples=20)
@given(SEEDS, SCALES)
def test_trajectories_have_a_shape_and_a_speed(seed, scale):
    """The shape has no unit; densities thin out as their plane grows."""
    torch.manual_seed(seed)
    way = torch.randn(8, 10, 2, dtype=torch.float64).cumsum(1)
    (steps, speed), (steps_there, speed_there) = (
        normalise(w, 0.2, 1e-6) for w in (way, scale * way)
    )
    torch.testing.assert_close(steps_there, steps)
    torch.testing.assert_close(speed_there, scale * speed)
    torch.testing.assert_close(normalise(way, 0.2 * scale, 1e-6)[1], speed / scale)
    said = Modes(
        torch.randn(8, 4).double(),
        torch.randn(8, 4, 10, 2).double(),
        0.3 * torch.randn(8, 4, 10, 2).double(),
        torch.rand(8, 4, 10).double() - 0.5,
        torch.rand(8, 4).double() + 0.2,
    )
    fast, action = dataclasses.replace(said, speed=scale * said.speed), torch.randn(8, 2).double()
    here, there = (WaypointMixture.at(m, 4, 0.2) for m in (said, fast))
    torch.testing.assert_close(
        there.log_prob(scale * action), here.log_prob(action) - 2 * math.log(scale)
    )
    torch.testing.assert_close(there.mode(), scale * here.mode())
    torch.testing.assert_close(there.entropy_bound(), here.entropy_bound() + 2 * math.log(scale))
    predicted, future = (w.numpy() for w in (way, way.flip(0)))
    for one, other in zip(
        displacement(predicted, future),
        displacement(scale * predicted, scale * future),
        strict=True,
    ):
        np.testing.assert_allclose(other, scale * one)
    np.testing.assert_allclose(
        waypoint_cosine(100 * scale * predicted, 100 * scale * future),
        waypoint_cosine(100 * predicted, 100 * future),
    )


@settings(max_examples=20)
@given(SEEDS, SCALES)
def test_goals_and_points_before_a_robot(seed, scale):
    rng = np.random.default_rng(seed)
    points, poses = rng.uniform(-9, 9, (10, 2)), rng.uniform(-3, 3, (10, 3))
    np.testing.assert_allclose(
        goal_token(scale * points, 5.0 * scale), goal_token(points, 5.0), atol=1e-6
    )
    np.testing.assert_allclose(
        to_robot(scale * points, poses * [scale, scale, 1.0]), scale * to_robot(points, poses)
    )


@settings(max_examples=5)
@given(SEEDS, SCALES)
def test_a_capture_moved_as_a_whole_looks_the_same(seed, scale):
    """Larger, turned and elsewhere, and so is the camera: colours of before, depths in the new
    unit."""
    splats = make_splats(seed, 60, 9)
    rng = np.random.default_rng(seed)
    turn = Rotation.random(rng=rng).as_matrix() if seed % 2 else np.eye(3)
    moved = Placement(scale, turn, rng.uniform(-2, 2, 3))
    axes = np.array([[0.0, -1.0, 0.0], [0.0, 0.0, -1.0], [1.0, 0.0, 0.0]])
    eye, lens = np.array([[-6.0, 0.0, 0.0]]), np.array([30.0, 30.0, 20.0, 16.0])
    here = render_splats(prepare(splats), Views(eye, axes[None], lens, 32, 40), np.float32)
    there = render_splats(
        prepare(place(splats, moved)),
        Views(moved.points(eye), (axes @ turn.T)[None], lens, 32, 40),
        np.float32,
    )
    np.testing.assert_allclose(there[0], here[0], atol=5e-3)
    np.testing.assert_allclose(there[2], here[2], atol=5e-3)
    known = np.isfinite(here[1]) & (here[2] > 0.1)
    assert known.mean() > 0.05
    np.testing.assert_allclose(there[1][known], scale * here[1][known], rtol=1e-2)
