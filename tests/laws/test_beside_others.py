"""What becomes of one does not depend on who is computed beside it, nor on the order of those who
have none."""

import dataclasses

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from s2e.core.observation import goal_token, surroundings
from s2e.envs.free_space import cast_rays
from s2e.envs.people.people import People
from s2e.envs.rays import RayConfig, RaySense
from s2e.envs.robots.collision import people_gaps, static_gaps, sweep
from s2e.envs.robots.controller import waypoint_to_command
from s2e.envs.robots.fleet import Fleet
from s2e.envs.robots.kinematic import step_robots
from s2e.envs.splats.render import prepare, render_splats
from s2e.envs.splats.transform import select
from s2e.envs.splats.views import Views
from s2e.planner.directive import make
from s2e.planner.fusion import Advice, Fusion, fuse, heading_prior, similarity
from s2e.planner.rules import advise
from s2e.planner.scene import PlannerView
from s2e.policy.mixture import Modes, WaypointMixture, matching_loss
from s2e.pretrain.metrics import displacement, shapes
from tests.envs.splats.samples import make_splats
from tests.laws.places import KINDS, Street, fields_of, poses_of, scattered

SEEDS = st.integers(0, 10_000)


def some(street: Street, which: np.ndarray) -> Street:
    """Some worlds of a street, in any order."""
    part = Street(street.seed, len(which), street.slots, street.share)
    part.fleet = street.fleet.rows(which)
    part.pose, part.velocity, part.goal = (
        street.pose[which],
        street.velocity[which],
        street.goal[which],
    )
    part.people = People(**{k: v[which] for k, v in street.people.arrays().items()})
    return part


@settings(max_examples=10)
@given(SEEDS)
def test_robots_alone_and_among_others(seed):
    rng, names = np.random.default_rng(seed), list(KINDS * 10)
    which = rng.permutation(40)[:7]
    fleet, few, fields = (
        Fleet.of(names),
        Fleet.of([names[k] for k in which]),
        fields_of(scattered(seed)),
    )
    poses, velocity, zeros = poses_of(rng, 40), rng.uniform(-1, 1, (40, 3)), np.zeros(40, dtype=int)
    way, people = rng.uniform(-1.5, 1.5, (40, 2)), rng.uniform(-3, 3, (40, 4, 2))
    there = rng.random((40, 4)) < 0.5
    seeds, steps = rng.integers(0, 99, 40), rng.integers(0, 99, 40)
    fleet.slip[:] = 0.05
    few.slip[:] = 0.05
    command = waypoint_to_command(way, 1.0, fleet)
    moved = step_robots(fleet, poses, velocity, command, 0.1, seeds, steps)
    every = {
        "command": command,
        "pose": moved[0],
        "velocity": moved[1],
        "reached": sweep(fleet, poses, moved[0], fields, zeros)[0],
        "room": static_gaps(fleet, poses, fields, zeros),
        "people": people_gaps(fleet, poses, people, there),
    }
    w = which
    command = waypoint_to_command(way[w], 1.0, few)
    moved = step_robots(few, poses[w], velocity[w], command, 0.1, seeds[w], steps[w])
    alone = {
        "command": command,
        "pose": moved[0],
        "velocity": moved[1],
        "reached": sweep(few, poses[w], moved[0], fields, zeros[w])[0],
        "room": static_gaps(few, poses[w], fields, zeros[w]),
        "people": people_gaps(few, poses[w], people[w], there[w]),
    }
    for name, values in alone.items():
        np.testing.assert_array_equal(values, every[name][w], err_msg=name)


@settings(max_examples=5)
@given(SEEDS)
def test_worlds_alone_and_among_others(seed):
    street, which = Street(seed), np.random.default_rng(seed).permutation(12)[:5]
    part, angles = some(street, which), np.linspace(-2, 2, 9)
    here, there = (
        cast_rays(s.as_worlds(), np.arange(s.count), np.tile(angles, (s.count, 1)), 6.0)
        for s in (street, part)
    )
    np.testing.assert_array_equal(there.wall, here.wall[which])
    np.testing.assert_array_equal(there.person, here.person[which])
    config = RayConfig(rays=8, memory=2)
    here, there = (RaySense(s.as_worlds(), config).observe() for s in (street, part))
    np.testing.assert_array_equal(there, here[which])
    np.testing.assert_array_equal(part.walk(3), street.walk(3)[which])


@settings(max_examples=5)
@given(SEEDS)
def test_people_have_no_order(seed):
    """Nobody comes first: neither for one another, nor for rays, robots and planners."""
    street, rng = Street(seed, slots=4), np.random.default_rng(seed)
    order, other = rng.permutation(4), Street(seed, slots=4)
    for array in other.people.real, other.people.whole, other.people.active:
        array[:] = array[:, order]
    angles = np.tile(np.linspace(-2, 2, 9), (12, 1))
    here, there = (cast_rays(s.as_worlds(), np.arange(12), angles, 6.0) for s in (street, other))
    np.testing.assert_array_equal(there.person, here.person)
    same = np.abs(other.walk(3) - street.walk(3)[:, order]).max(2) < 1e-9
    assert same.mean() > 0.9, "where two are as near, one of them is first"
    points, poses = rng.uniform(-4, 4, (5, 30, 2)), poses_of(rng, 5)
    np.testing.assert_array_equal(
        surroundings(poses, points[:, rng.permutation(30)]), surroundings(poses, points)
    )


@settings(max_examples=20)
@given(SEEDS)
def test_candidates_and_people_of_a_planner_have_no_order(seed):
    rng = np.random.default_rng(seed)
    ways, scores = rng.normal(0.1, 0.2, (6, 10, 2)).cumsum(1), rng.normal(size=6)
    people = rng.uniform([0.0, -2.0, -1.0, -1.0], [3.5, 2.0, 1.0, 1.0], (4, 4))
    view = PlannerView(0.0, np.zeros(3), 1.0, np.array([8.0, 0.0]), people, ways, scores)
    order, turned = rng.permutation(6), rng.permutation(4)
    other = dataclasses.replace(
        view, people=people[turned], candidates=ways[order], log_scores=scores[order]
    )
    here, there = advise(view), advise(other)
    assert dataclasses.replace(there, index=None, kind="none") == dataclasses.replace(
        here, index=None, kind="none"
    )
    assert there.kind == here.kind
    if here.index is not None and there.index is not None:
        assert order[there.index] == here.index
    told = make(0.0, "action", action="forward_left")
    for mode in ("score", "probability"):
        one, two = (fuse(v, Advice(told, v), Fusion(mode))[0] for v in (view, other))
        np.testing.assert_allclose(two, one[order], atol=1e-9)
    np.testing.assert_array_equal(
        similarity(ways[order], ways[0]), similarity(ways, ways[0])[order]
    )
    np.testing.assert_array_equal(heading_prior(ways[order], 0.3), heading_prior(ways, 0.3)[order])


@settings(max_examples=10)
@given(SEEDS)
def test_modes_and_rows_of_the_mixture_have_no_order(seed):
    torch.manual_seed(seed)
    batch, modes, anchors = 6, 5, torch.randn(5, 2, dtype=torch.float64)
    said = Modes(
        torch.randn(batch, modes, dtype=torch.float64),
        torch.randn(batch, modes, 10, 2, dtype=torch.float64),
        torch.randn(batch, modes, 10, 2, dtype=torch.float64) * 0.3,
        torch.rand(batch, modes, 10, dtype=torch.float64) - 0.5,
        torch.rand(batch, modes, dtype=torch.float64) + 0.2,
    )
    row, mode = torch.randperm(batch), torch.randperm(modes)
    other = Modes(**{k: v[row][:, mode] for k, v in vars(said).items()})
    action, future = torch.randn(batch, 2).double(), torch.randn(batch, 10, 2).double().cumsum(1)
    one, two = (WaypointMixture.at(m, 4, 0.2) for m in (said, other))
    torch.testing.assert_close(two.log_prob(action[row]), one.log_prob(action)[row])
    torch.testing.assert_close(two.entropy_bound(), one.entropy_bound()[row])
    torch.testing.assert_close(two.mode(), one.mode()[row])
    here = matching_loss(said, future, anchors, 0.2, 0.1)
    there = matching_loss(other, future[row], anchors[mode], 0.2, 0.1)
    for name, value in here.items():
        torch.testing.assert_close(there[name], value, msg=name)


@settings(max_examples=5)
@given(SEEDS)
def test_gaussians_have_no_order(seed):
    splats, rng = make_splats(seed, 60, 4), np.random.default_rng(seed)
    axes = np.array([[0.0, -1.0, 0.0], [0.0, 0.0, -1.0], [1.0, 0.0, 0.0]])
    view = Views(
        np.array([[-5.0, 0.0, 0.0]]), axes[None], np.array([30.0, 30.0, 20.0, 16.0]), 32, 40
    )
    one, other = (
        render_splats(prepare(s), view, np.float32)
        for s in (splats, select(splats, rng.permutation(60)))
    )
    assert (one[2] > 0.1).mean() > 0.05
    for a, b in zip(one, other, strict=True):
        both = np.isfinite(a) & np.isfinite(b)
        assert (np.isfinite(a) == np.isfinite(b)).all()
        np.testing.assert_allclose(b[both], a[both], atol=2e-3)


@settings(max_examples=10)
@given(SEEDS)
def test_figures_of_samples_have_no_order(seed):
    rng = np.random.default_rng(seed)
    future, order = rng.normal(0.1, 0.1, (20, 10, 2)).cumsum(1), rng.permutation(20)
    said = future + rng.normal(0, 0.1, future.shape)
    for here, there in zip(
        displacement(said, future), displacement(said[order], future[order]), strict=True
    ):
        np.testing.assert_array_equal(there, here[order])
    np.testing.assert_array_equal(shapes(future[order], 0.2), shapes(future, 0.2)[order])
    goals = rng.uniform(-9, 9, (20, 2))
    np.testing.assert_array_equal(goal_token(goals[order], 5.0), goal_token(goals, 5.0)[order])
