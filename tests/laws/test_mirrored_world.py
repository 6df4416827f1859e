"""A world in the mirror is lived through in the mirror: what is done to the left there is done to
the right here.

Worlds are mirrored about the x axis. People alone are not quite so: who meets somebody head on
keeps to the right.
"""

import dataclasses
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s2e.core.observation import (
    AROUND,
    NOWHERE_M,
    RAYS,
    Odometry,
    goal_token,
    robot_token,
    scan_points,
    surroundings,
)
from s2e.envs.expert.expert import Expert
from s2e.envs.free_space import cast_rays, free_space
from s2e.envs.geometry.topdown import top_down_maps
from s2e.envs.people.people import GOAL_Y, START_Y, VY, YAW, Y
from s2e.envs.rays import RayConfig, RaySense
from s2e.envs.rewards import REWARDS, Transition, reward_terms
from s2e.envs.robots.collision import sweep
from s2e.envs.robots.controller import command_to_waypoint, waypoint_to_command
from s2e.envs.robots.fleet import Fleet
from s2e.envs.robots.kinematic import step_robots
from s2e.planner.directive import make
from s2e.planner.fusion import Advice, Fusion, fuse
from s2e.planner.rules import advise
from s2e.planner.scene import PlannerView
from s2e.policy.recovery import Recovery
from tests.laws.places import KINDS, Street, fields_of, guided, poses_of, scattered

SEEDS = st.integers(0, 10_000)
POINT, POSE = np.array([1.0, -1.0]), np.array([1.0, -1.0, -1.0])
"""What the mirror makes of places, of poses and of velocities (v, omega, lateral)."""
PERSON = np.ones(11)
PERSON[[Y, VY, YAW, START_Y, GOAL_Y]] = -1.0
SIDES = -np.arange(AROUND) % AROUND
"""Where directions around a robot are in the mirror."""


OTHER_RULE = {"keep_right": "keep_left", "keep_left": "keep_right", "wait": "wait"}


def mirrored(street: Street) -> Street:
    """The same street in the mirror."""
    other = Street(street.seed, street.worlds, street.slots, street.share)
    other.fields = fields_of(street.grid[::-1])
    other.pose, other.velocity, other.goal = (
        street.pose * POSE,
        street.velocity * POSE,
        street.goal * POINT,
    )
    other.people.real[:] = street.people.real * PERSON
    return other


def view_of(seed: int) -> PlannerView:
    """A fan of trajectories, some of them around, and people near by."""
    rng = np.random.default_rng(seed)
    bearings = rng.uniform(-np.pi, np.pi, 7) * rng.choice([0.3, 1.0], 7)
    along = np.outer(rng.uniform(0.5, 1.5, 7), 0.2 * np.arange(1, 11))
    candidates = np.stack(
        [along * np.cos(bearings)[:, None], along * np.sin(bearings)[:, None]], -1
    )
    people = rng.uniform([0.0, -2.0, -1.5, -1.5], [3.5, 2.0, 1.5, 1.5], (rng.integers(1, 5), 4))
    goal, scores = rng.uniform(-8.0, 8.0, 2), rng.normal(size=7)
    rule = ("", "", *OTHER_RULE)[seed % 5]
    pose = poses_of(rng, 1)[0]
    return PlannerView(0.0, pose, 1.0, goal, people, candidates, scores, rule=rule)


def mirrored_view(view: PlannerView) -> PlannerView:
    return dataclasses.replace(
        view,
        pose=view.pose * POSE,
        goal_xy_robot=view.goal_xy_robot * POINT,
        people=view.people * np.tile(POINT, 2),
        candidates=view.candidates * POINT,
        rule=OTHER_RULE.get(view.rule, ""),
    )


@settings(max_examples=30)
@given(SEEDS)
def test_rules_give_the_same_advice(seed):
    here, there = advise(view_of(seed)), advise(mirrored_view(view_of(seed)))
    rule = {"keep right": "keep left", "keep left": "keep right"}
    assert there == dataclasses.replace(here, reason=rule.get(here.reason, here.reason))


def test_rules_give_every_kind_of_advice_above():
    given = [advise(view_of(seed)) for seed in range(300)]
    assert {d.kind for d in given} == {"none", "select", "stop", "speed"}
    assert {d.reason for d in given} >= {"pass behind", "keep clear", "yield", "keep right", "wait"}


@pytest.mark.parametrize("mode", ["score", "probability"])
@settings(max_examples=20)
@given(SEEDS)
def test_advice_raises_the_same_candidates(mode, seed):
    view, other, fusion = view_of(seed), mirrored_view(view_of(seed)), Fusion(mode)
    left, right = (make(0.0, "action", action=a) for a in ("turn_left", "turn_right"))
    here = fuse(dataclasses.replace(view, now_s=0.5), Advice(left, view), fusion)
    there = fuse(dataclasses.replace(other, now_s=0.5), Advice(right, other), fusion)
    np.testing.assert_allclose(there[0], here[0], atol=1e-9)
    moves = [dict(now_s=0.2 * k) for k in range(4)]
    poses = [view.pose + k * np.array([0.1, 0.05, 0.3]) for k in range(4)]
    here = [dataclasses.replace(view, pose=p, **m) for p, m in zip(poses, moves, strict=True)]
    there = [
        dataclasses.replace(other, pose=p * POSE, **m) for p, m in zip(poses, moves, strict=True)
    ]
    for one, two in zip(guided(here, fusion), guided(there, fusion), strict=True):
        np.testing.assert_allclose(two[0], one[0], atol=1e-9)
        assert two[1] == pytest.approx(one[1])


@settings(max_examples=20)
@given(SEEDS)
def test_waypoints_become_mirrored_commands_and_back(seed):
    rng, fleet = np.random.default_rng(seed), Fleet.of(KINDS * 25)
    points = rng.uniform(-1.5, 1.5, (100, 2)) * rng.choice([0.1, 0.3, 1.0], (100, 1))
    command = waypoint_to_command(points, 1.0, fleet)
    np.testing.assert_allclose(
        waypoint_to_command(points * POINT, 1.0, fleet), command * POSE, atol=1e-12
    )
    ahead = np.concatenate([np.abs(command[:, :1]), command[:, 1:]], 1)
    np.testing.assert_allclose(
        command_to_waypoint(ahead * POSE, 1.0), command_to_waypoint(ahead, 1.0) * POINT, atol=1e-12
    )


@settings(max_examples=20)
@given(SEEDS)
def test_commands_move_robots_in_the_mirror(seed):
    rng, fleet = np.random.default_rng(seed), Fleet.of(KINDS * 10)
    here = poses_of(rng, 40), rng.uniform(-1.5, 1.5, (40, 3))
    there = here[0] * POSE, here[1] * POSE
    for _ in range(5):
        command = rng.uniform(-2.5, 2.5, (40, 3))
        here = step_robots(fleet, *here, command, 0.1)
        there = step_robots(fleet, *there, command * POSE, 0.1)
        np.testing.assert_allclose(there[1], here[1] * POSE, atol=1e-12)
        np.testing.assert_allclose(there[0][:, :2], here[0][:, :2] * POINT, atol=1e-9)
        np.testing.assert_allclose(np.exp(1j * there[0][:, 2]), np.exp(-1j * here[0][:, 2]))


def test_the_same_things_stop_a_robot():
    rng, fleet, grid = np.random.default_rng(3), Fleet.of(KINDS * 50), scattered(4)
    starts, zeros = poses_of(rng, 200), np.zeros(200, dtype=int)
    ends = starts + rng.normal(0, [0.5, 0.5, 0.8], (200, 3))
    reached, blocked = sweep(fleet, starts, ends, fields_of(grid), zeros)
    there, blocked_there = sweep(fleet, starts * POSE, ends * POSE, fields_of(grid[::-1]), zeros)
    assert 0.1 < blocked.mean() < 0.9
    # rounding may move a robot that just touches by one look, 2 cm or 0.05 rad
    apart = there - reached * POSE
    apart[:, 2] = np.angle(np.exp(1j * apart[:, 2]))
    same = (np.abs(apart).max(1) < 1e-6) & (blocked == blocked_there)
    assert same.mean() > 0.97


@settings(max_examples=10)
@given(SEEDS)
def test_rays_are_as_long_on_the_other_side(seed):
    street, every = Street(seed), np.arange(12)
    angles = np.linspace(-3.0, 2.5, 24) + np.zeros((12, 1))
    here = cast_rays(street.as_worlds(), every, angles, 6.0)
    there = cast_rays(mirrored(street).as_worlds(), every, -angles, 6.0)
    for name in ("wall", "person"):
        np.testing.assert_allclose(getattr(there, name), getattr(here, name), atol=1e-4)
    assert (there.leaves == here.leaves).mean() > 0.99, "but where a wall ends with the map"
    here, there = (free_space(s.as_worlds(), every) for s in (street, mirrored(street)))
    np.testing.assert_allclose(there[:, ::-1], here, atol=1e-4)


@settings(max_examples=10)
@given(SEEDS)
def test_what_a_ray_policy_sees_and_remembers_is_mirrored(seed):
    street, config = Street(seed), RayConfig(rays=16, memory=3)
    other, rng = mirrored(street), np.random.default_rng(seed)
    senses = [RaySense(s.as_worlds(), config) for s in (street, other)]
    for _ in range(6):
        here, there = (s.observe() for s in senses)
        walls, people, around, trail, rest = np.split(
            here, np.cumsum([16, 16, AROUND, 2 * len(config.trail)]), 1
        )
        trail = (trail.reshape(12, -1, 2) * POINT).reshape(12, -1)
        # bearing's sine, turn rate, curvature
        rest = rest * np.array([1, 1, -1, 1, -1, -1, *[1] * 6])
        expected = np.concatenate(
            [walls[:, ::-1], people[:, ::-1], around[:, SIDES], trail, rest], 1
        )
        np.testing.assert_allclose(there, expected, atol=2e-4)
        step = rng.uniform([-0.3, -0.3, -0.5], [0.3, 0.3, 0.5], (12, 3))
        street.pose += step
        other.pose += step * POSE


@settings(max_examples=10)
@given(SEEDS)
def test_a_policys_odometry_is_mirrored(seed):
    rng, every = np.random.default_rng(seed), np.arange(5)
    here, there = Odometry(5, 0.2), Odometry(5, 0.2)
    robot = np.array(robot_token(Fleet.of(["go2"] * 5).about()))
    for _ in range(25):
        ego = rng.uniform([-0.3, -1.5, 0.0], [1.5, 1.5, 0.0], (5, 3))
        free_m, told = rng.uniform(0.3, 8.0, (5, RAYS)), rng.uniform(-1.5, 1.5, (5, 2))
        tokens = here.token(ego, every), there.token(ego * POSE, every)
        head, trail, around = np.split(
            tokens[0].astype(np.float64), [3, len(tokens[0][0]) - AROUND], 1
        )
        trail = trail.reshape(5, -1, 4) * [1.0, -1.0, -1.0, 1.0]
        expected = np.concatenate(
            [head * [1.0, 1.0, -1.0], trail.reshape(5, -1), around[:, SIDES]], 1
        )
        np.testing.assert_allclose(tokens[1], expected, atol=1e-5)
        here.saw(free_m, robot, every)
        there.saw(free_m[:, ::-1], robot, every)
        here.command[:], there.command[:] = told, told * POINT


@settings(max_examples=20)
@given(SEEDS)
def test_goals_and_surroundings_are_mirrored(seed):
    rng = np.random.default_rng(seed)
    goals, poses = rng.uniform(-20, 20, (30, 2)), poses_of(rng, 6)
    np.testing.assert_allclose(
        goal_token(goals * POINT, 10.0), goal_token(goals, 10.0) * [1, 1, -1], atol=1e-6
    )
    points = rng.uniform(-5, 5, (6, 40, 2))
    np.testing.assert_allclose(
        surroundings(poses * POSE, points * POINT), surroundings(poses, points)[:, SIDES], atol=1e-9
    )
    free_m = rng.uniform(0.2, 8.0, (6, RAYS))
    robot = robot_token(Fleet.of(["jackal"] * 6).about())
    ends = scan_points(poses, free_m, robot)
    np.testing.assert_allclose(
        scan_points(poses * POSE, free_m[:, ::-1], robot)[:, ::-1],
        np.where(ends < NOWHERE_M, ends * POINT, ends),
        atol=1e-6,
    )


@settings(max_examples=10)
@given(SEEDS)
def test_jams_are_left_to_the_mirrored_side(seed):
    rng, here, there = np.random.default_rng(seed), Recovery(20), Recovery(20)
    poses = poses_of(rng, 20)
    for _ in range(40):
        way = rng.uniform([-0.2, -1.0], [1.5, 1.0], (20, 2))
        ego = rng.uniform([-0.3, -1.0, 0.0], [1.2, 1.0, 0.0], (20, 3))
        ego *= rng.random((20, 1)) < 0.1
        told = here.relieve(way, poses, ego, 0.2)
        np.testing.assert_allclose(
            there.relieve(way * POINT, poses * POSE, ego * POSE, 0.2), told * POINT
        )
        poses = poses + 0.2 * rng.normal(size=(20, 3))


@pytest.mark.parametrize("reward", REWARDS)
def test_the_mirror_pays_the_same(reward):
    rng, n = np.random.default_rng(1), 50
    values: dict[str, Any] = {
        f.name: rng.uniform(0.0, 2.0, n) for f in dataclasses.fields(Transition)
    }
    values |= {k: rng.random(n) < 0.5 for k in ("arrived", "collided", "off_sidewalk")}
    values |= {k: rng.normal(size=(n, 2)) for k in ("waypoint", "goal")}
    values |= {k: rng.normal(size=(n, 3)) for k in ("pose", "velocity")}
    values |= {"omega_change": rng.normal(size=n), "step_s": 0.2}
    other = {"omega_change": -values["omega_change"]}
    other |= {k: values[k] * POINT for k in ("waypoint", "goal")}
    other |= {k: values[k] * POSE for k in ("pose", "velocity")}
    here = reward_terms(REWARDS[reward], Transition(**values))
    there = reward_terms(REWARDS[reward], Transition(**{**values, **other}))
    for name, paid in here.items():
        np.testing.assert_allclose(there[name], paid, err_msg=name)


def test_people_walk_in_the_mirror():
    """All but those who keep to the right of somebody whom they meet head on."""
    street = Street(7, worlds=200, slots=2)
    other = mirrored(street)
    before = street.people.real.copy()
    here, there = street.walk(5), other.walk(5)
    moved = np.abs(here[..., :2] - before[..., :2]).max((1, 2))
    same = np.abs(there - here * PERSON).max((1, 2)) < 1e-6
    assert (moved > 0.2).mean() > 0.9 and same.mean() > 0.85


@settings(max_examples=5)
@given(SEEDS)
def test_maps_from_above_are_mirrored(seed):
    street = Street(seed)
    maps = [
        top_down_maps(
            s.pose, s.goal, s.people.position, s.people.active, s.fields, np.zeros(12, dtype=int)
        )
        for s in (street, mirrored(street))
    ]
    assert (maps[1][:, :, ::-1] == maps[0]).mean() > 0.999 and len(np.unique(maps[0])) == 4


def test_the_expert_drives_in_the_mirror():
    """Where two ways are as good, it may take another one of them there."""
    street = Street(11, worlds=80, slots=1, share=0.0)
    other, chosen = mirrored(street), []
    for s in (street, other):
        expert = Expert(s.fleet)
        for world in range(s.count):
            expert.plan(world, np.stack([s.pose[world, :2], s.goal[world] / 2]))
        people = s.people
        chosen.append(
            expert.act(
                s.pose,
                s.velocity,
                people.position,
                people.velocity,
                people.active,
                s.fields,
                s.field_id,
            )
        )
    same = np.abs(chosen[1] - chosen[0] * POINT).max(1) < 1e-9
    assert same.mean() > 0.9 and (np.abs(chosen[0][:, 1]) > 0.05).mean() > 0.3
