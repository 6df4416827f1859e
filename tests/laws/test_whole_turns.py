"""A heading and the same one after whole turns, up to two either way, are one heading, whoever
reads it."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s2e.core.observation import RAYS, Odometry, odometry_token, scan_points, surroundings, wrapped
from s2e.envs.expert.expert import Expert
from s2e.envs.free_space import cast_rays, free_space
from s2e.envs.geometry.camera import Camera, camera_poses, view_poses
from s2e.envs.geometry.meshes import empty_mesh
from s2e.envs.geometry.occupancy import Occupancy
from s2e.envs.geometry.scene import Scene
from s2e.envs.geometry.topdown import top_down_maps
from s2e.envs.people.people import YAW
from s2e.envs.rays import RayConfig, RaySense
from s2e.envs.robots.collision import clear_heading, people_gaps, static_gaps, sweep
from s2e.envs.robots.fleet import Fleet
from s2e.envs.robots.kinds import ROBOTS
from s2e.envs.robots.kinematic import Kinematic, step_robots
from s2e.envs.robots.mujoco_physics import MujocoPhysics
from s2e.planner.fusion import Fusion, move_trajectory
from s2e.planner.guide import in_sight
from s2e.planner.rules import advise
from s2e.planner.scene import PlannerView
from s2e.policy.config import PRESETS
from s2e.policy.recovery import Recovery
from s2e.pretrain.samples import make_samples
from s2e.video.check import check_walk
from s2e.video.ground import agreement, at_times
from s2e.video.stats import measure
from tests.laws.places import KINDS, WHOLE, Street, fields_of, guided, poses_of, scattered, walk_of

SEEDS = st.integers(0, 10_000)
EVERY = np.arange(12)


def wound(rng: np.random.Generator, poses: np.ndarray) -> np.ndarray:
    """Poses after whole turns, each its own."""
    turns = np.zeros_like(poses)
    turns[..., 2] = rng.choice(WHOLE, poses.shape[:-1])
    return poses + turns


def same_poses(one: np.ndarray, other: np.ndarray, atol: float = 1e-9) -> None:
    np.testing.assert_allclose(one[..., :2], other[..., :2], atol=atol)
    np.testing.assert_allclose(wrapped(one[..., 2] - other[..., 2]), 0.0, atol=atol)


@settings(max_examples=20)
@given(SEEDS)
def test_robots_move_the_same_way(seed):
    rng, fleet = np.random.default_rng(seed), Fleet.of(KINDS * 10)
    poses, velocities = poses_of(rng, 40), rng.uniform(-1.0, 1.0, (40, 3))
    commands = rng.uniform(-2.0, 2.0, (40, 3))
    here = step_robots(fleet, poses, velocities, commands, 0.1)
    there = step_robots(fleet, wound(rng, poses), velocities, commands, 0.1)
    same_poses(there[0], here[0])
    np.testing.assert_array_equal(there[1], here[1])
    assert np.abs(there[0][:, 2]).max() <= np.pi


@settings(max_examples=10)
@given(SEEDS)
def test_the_same_things_stop_a_robot(seed):
    """Where it comes from and where it wants to may be wound differently: it turns the shorter
    way."""
    rng, fleet, zeros = np.random.default_rng(seed), Fleet.of(KINDS * 25), np.zeros(100, dtype=int)
    fields, starts = fields_of(scattered(seed)), poses_of(rng, 100)
    ends = starts + rng.uniform(-1.0, 1.0, (100, 3))
    here, blocked = sweep(fleet, starts, ends, fields, zeros)
    there, blocked_there = sweep(fleet, wound(rng, starts), wound(rng, ends), fields, zeros)
    # rounding may move a robot that just touches by one look, 2 cm or 0.05 rad
    apart = there - here
    apart[:, 2] = wrapped(apart[:, 2])
    assert ((np.abs(apart).max(1) < 1e-6) & (blocked == blocked_there)).mean() > 0.97
    poses = wound(rng, starts)
    np.testing.assert_allclose(
        static_gaps(fleet, poses, fields, zeros), static_gaps(fleet, starts, fields, zeros)
    )
    people, there = rng.uniform(-4, 4, (100, 3, 2)), np.ones((100, 3), dtype=bool)
    np.testing.assert_allclose(
        people_gaps(fleet, poses, people, there), people_gaps(fleet, starts, people, there)
    )
    for world in range(4):  # of headings with as much room it may take another one
        room = [
            static_gaps(
                fleet.rows(zeros[:1] + world),
                clear_heading(fleet, world, p, fields, 0)[None],
                fields,
                zeros[:1],
            )
            for p in (poses[world], starts[world])
        ]
        np.testing.assert_allclose(room[0], room[1], atol=1e-6)


@pytest.mark.parametrize("kind", ["kinematic", "mujoco"])
def test_both_kinds_of_physics_drive_the_same_way(kind):
    if kind == "mujoco":
        pytest.importorskip("mujoco")
    rng, grid, moving = np.random.default_rng(2), np.zeros((80, 80), dtype=bool), np.full(4, True)
    scene = Scene("flat", Occupancy(grid, np.full(2, -4.0)), empty_mesh(), np.zeros((1, 2)))
    starts, commands = poses_of(rng, 4, 2.0), np.tile([0.8, 0.5, 0.1], (8, 4, 1))
    ends = []
    for poses in starts, wound(rng, starts):
        fleet = Fleet.of(KINDS)
        physics = (
            Kinematic(fleet, fields_of(grid))
            if kind == "kinematic"
            else MujocoPhysics(fleet, [scene])
        )
        for n, name in enumerate(KINDS):
            physics.reset(n, 0, 0, poses[n], ROBOTS[name], n)
        speed = np.zeros((4, 3))
        for command in commands:
            poses, speed, _ = physics.move(poses, speed, command, moving)
        ends.append((poses, speed))
    # tyres that slip take rounding farther than arcs do
    same_poses(ends[1][0], ends[0][0], 1e-9 if kind == "kinematic" else 0.02)
    np.testing.assert_allclose(ends[1][1], ends[0][1], atol=0.05)
    assert np.linalg.norm(ends[0][0][:, :2] - starts[:, :2], axis=1).min() > 0.05


@settings(max_examples=10)
@given(SEEDS)
def test_rays_maps_and_cameras_see_the_same(seed):
    street, rng = Street(seed), np.random.default_rng(seed)
    angles = np.linspace(-3.0, 3.0, 24) + np.zeros((12, 1))
    config = RayConfig(rays=16, memory=2)
    before = street.pose

    def seen() -> dict[str, np.ndarray]:
        worlds, fleet = street.as_worlds(), street.fleet
        cast = cast_rays(worlds, EVERY, angles, 6.0)
        place, axes = view_poses(
            street.pose,
            np.zeros(12),
            fleet.camera,
            fleet.sway,
            np.linspace(0, 3, 12),
            street.velocity[:, 0],
        )
        return {
            "wall": cast.wall,
            "person": cast.person,
            "free": free_space(worlds, EVERY),
            "policy": RaySense(worlds, config).observe(),
            "place": place,
            "axes": axes,
            "camera": np.concatenate(camera_poses(street.pose, Camera()), None),
            "map": top_down_maps(
                street.pose,
                street.goal,
                street.people.position,
                street.people.active,
                street.fields,
                street.field_id,
            ),
        }

    here = seen()
    street.pose = wound(rng, before)
    for name, values in seen().items():
        if name == "map":
            assert (values == here[name]).mean() > 0.999
        else:
            np.testing.assert_allclose(values, here[name], atol=1e-4, err_msg=name)


@settings(max_examples=10)
@given(SEEDS)
def test_people_walk_the_same_ways(seed):
    """Past robots that are wound, with bodies that are wound themselves. Somebody who begins inside
    of a robot may leave it on another side: rounding decides."""
    here, there, rng = Street(seed), Street(seed), np.random.default_rng(seed)
    there.pose = wound(rng, there.pose)
    there.people.real[..., YAW] += rng.choice(WHOLE, (12, 3))
    one, other = here.walk(4), there.walk(4)
    apart = other - one
    apart[..., YAW] = wrapped(apart[..., YAW])
    assert (np.abs(apart).max(2) < 1e-6).mean() > 0.9


@settings(max_examples=10)
@given(SEEDS)
def test_the_expert_and_recovery_decide_the_same(seed):
    street, rng = Street(seed, share=0.0), np.random.default_rng(seed)
    people, said, before = street.people, [], street.pose
    for poses in before, wound(rng, before):
        expert, recovery = Expert(street.fleet), Recovery(12)
        for world in range(12):
            expert.plan(world, np.stack([before[world, :2], street.goal[world] / 2]))
        way = expert.act(
            poses,
            street.velocity,
            people.position,
            people.velocity,
            people.active,
            street.fields,
            street.field_id,
        )
        stuck = [recovery.relieve(way, poses, np.zeros((12, 2)), 0.2) for _ in range(8)]
        said.append(np.stack([way, *stuck]))
    np.testing.assert_allclose(said[1], said[0], atol=1e-9)


@settings(max_examples=20)
@given(SEEDS)
def test_what_a_robot_remembers_of_its_way_is_the_same(seed):
    rng = np.random.default_rng(seed)
    pose, ago, command = poses_of(rng, 5), poses_of(rng, 20).reshape(5, 4, 3), np.zeros((5, 2))
    points, free_m = rng.uniform(-4, 4, (5, 30, 2)), rng.uniform(0.2, 5.0, (5, RAYS))
    robot, other = np.ones((5, 6)), wound(rng, pose)
    np.testing.assert_allclose(
        odometry_token(other, wound(rng, ago), command, points),
        odometry_token(pose, ago, command, points),
        atol=1e-5,
    )
    np.testing.assert_allclose(surroundings(other, points), surroundings(pose, points), atol=1e-9)
    np.testing.assert_allclose(
        scan_points(other, free_m, robot), scan_points(pose, free_m, robot), atol=1e-9
    )


def test_a_robot_that_turns_on_and_on_is_told_the_same_after_every_turn():
    """25 steps of 2 pi / 25 each: four whole turns and what is known of the last seconds."""
    odometry, ego = Odometry(1, 0.2), np.array([[0.5, 2 * np.pi / 5, 0.0]])
    tokens = [odometry.token(ego, np.zeros(1, dtype=int)) for _ in range(100)]
    np.testing.assert_allclose(tokens[49::25], [tokens[49]] * 3, atol=1e-5)


def view(pose: np.ndarray, candidates: np.ndarray, people: np.ndarray) -> PlannerView:
    scores = np.array([0.0, -0.5, -1.0])
    return PlannerView(0.0, pose, 1.0, np.array([8.0, 0.0]), people, candidates, scores)


@settings(max_examples=20)
@given(SEEDS)
def test_planners_say_the_same(seed):
    rng = np.random.default_rng(seed)
    then, now, points = *poses_of(rng, 2), rng.normal(size=(10, 2))
    np.testing.assert_allclose(
        move_trajectory(points, wound(rng, then), wound(rng, now)),
        move_trajectory(points, then, now),
        atol=1e-9,
    )
    candidates, people = rng.normal(size=(3, 10, 2)).cumsum(1), rng.uniform(0, 2, (2, 4))
    poses = np.linspace(then, now, 6)
    for mode in ("score", "probability"):
        here, there = (
            [
                dataclasses.replace(view(p, candidates, people), now_s=0.2 * t)
                for t, p in enumerate(path)
            ]
            for path in (poses, wound(rng, poses))
        )
        both = (guided(views, Fusion(mode)) for views in (here, there))
        for (scores, speed), (scores_there, speed_there) in zip(*both, strict=True):
            np.testing.assert_allclose(scores_there, scores, atol=1e-9)
            assert speed_there == pytest.approx(speed)
    trail = poses_of(rng, 8)
    for point in rng.uniform(-9, 9, (10, 2)):
        assert in_sight(point, wound(rng, trail)) == in_sight(point, trail)


@pytest.mark.parametrize("side", [1.0, -1.0])
def test_a_way_past_straight_back_is_on_the_nearer_side(side):
    """Somebody crosses to the right; a way 155 degrees to the left of the favourite passes behind
    them, although its bearing is the smaller number."""
    reach, bearings = 0.2 * np.arange(1, 11), side * np.radians([85.0, -120.0, 0.0])
    ways = np.stack([np.cos(bearings)[:, None] * reach, np.sin(bearings)[:, None] * reach], -1)
    directive = advise(
        dataclasses.replace(
            view(np.zeros(3), ways, np.array([[0.3, 3.0 * side, 0.0, -side]])),
            log_scores=np.array([0.0, -1.0, -0.5]),
        )
    )
    assert (directive.kind, directive.index, directive.reason) == ("select", 1, "pass behind")


@settings(max_examples=10)
@given(SEEDS)
def test_walks_are_the_same(seed):
    """Recorders wrap their yaw or count on; here each frame is wound as it likes."""
    rng = np.random.default_rng(seed)
    turned = rng.choice(WHOLE, 70)
    here, there = (walk_of(np.random.default_rng(seed), t) for t in (0.0, turned))
    config, first, times = PRESETS["laptop"], np.array([0]), np.linspace(0.0, 6.9, 101)
    one, other = (make_samples([w], config, first) for w in (here, there))
    for name in ("future", "ego", "frames", "goals"):
        np.testing.assert_allclose(
            getattr(other, name), getattr(one, name), atol=1e-5, err_msg=name
        )
    one, other = measure([here]), measure([there])
    for name, values in one.items():
        np.testing.assert_allclose(other[name], values, atol=1e-9, err_msg=name)
    assert check_walk(there) == check_walk(here)
    one, other = (at_times(times, w.times, w.position, w.yaw) for w in (here, there))
    np.testing.assert_allclose(wrapped(other[2] - one[2]), 0.0, atol=1e-9)
    assert agreement(there.position, there.yaw) == pytest.approx(
        agreement(here.position, here.yaw), abs=1e-9
    )
