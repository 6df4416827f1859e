import sys
from dataclasses import replace

import numpy as np
import pytest

from s2e.core.errors import UserError
from s2e.envs.geometry.occupancy import DistanceFields, Occupancy
from s2e.envs.geometry.scene import Ground, Mesh, Scene
from s2e.envs.robots.fleet import STEP_CLASSES_M, Fleet
from s2e.envs.robots.kinds import ROBOTS
from s2e.envs.robots.kinematic import Kinematic
from s2e.envs.robots.mujoco_model import mjcf, rectangles
from s2e.envs.robots.mujoco_physics import MujocoPhysics


def place(grid: np.ndarray, height: np.ndarray | None = None) -> Scene:
    none = np.zeros((0, 3), dtype=np.float32)
    mesh = Mesh(
        none,
        none.astype(np.int32),
        np.zeros((0, 3, 2)),
        np.zeros(0),
        np.zeros((0, 3, 3)),
        np.zeros(0),
        np.zeros(0),
    )
    ground = (
        None
        if height is None
        else Ground(height.astype(np.float32), np.zeros(grid.shape, dtype=np.uint8))
    )
    return Scene(
        "place", Occupancy(grid, np.array([-8.0, -4.0])), mesh, np.zeros((1, 2)), ground=ground
    )


def both(scene: Scene, names: list[str], poses: np.ndarray):
    """The two kinds of physics, in the same scene, at the same poses."""
    fleet = Fleet.of(names)
    height = np.zeros(scene.occupancy.grid.shape) if scene.ground is None else scene.ground.height
    fields = DistanceFields.pack(
        [scene.occupancy.blocked_by(step, height) for step in STEP_CLASSES_M]
    )
    for physics in (Kinematic(fleet, fields), MujocoPhysics(fleet, [scene])):
        for n, name in enumerate(names):
            physics.reset(n, 0, int(fleet.step_class[n]), poses[n], ROBOTS[name], n)
        yield physics


def drive(physics, poses: np.ndarray, commands: np.ndarray):
    """Runs (T, N, 3) commands; returns poses (T, N, 3) and who was ever stopped."""
    state, moving, track, stopped = (
        (poses, np.zeros((len(poses), 3))),
        np.ones(len(poses), dtype=bool),
        [],
        np.zeros(len(poses), bool),
    )
    for command in commands:
        *state, blocked = physics.move(*state, command, moving)
        track.append(state[0])
        stopped |= blocked
    return np.array(track), stopped


def test_rectangles_cover_every_labelled_cell_once():
    rng = np.random.default_rng(0)
    for labels in (
        rng.integers(0, 3, (20, 31)),
        np.repeat(np.repeat(rng.integers(0, 3, (5, 6)), 4, 0), 5, 1),
        np.zeros((3, 4), int),
    ):
        drawn = np.zeros_like(labels)
        for r0, c0, r1, c1, label in rectangles(labels):
            assert r1 > r0 and c1 > c0 and (drawn[r0:r1, c0:c1] == 0).all()
            drawn[r0:r1, c0:c1] = label
        np.testing.assert_array_equal(drawn, labels)
    assert len(rectangles(np.ones((50, 70), int))) == 1


def test_without_the_package_a_user_is_told_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "mujoco", None)
    with pytest.raises(UserError, match='pip install "mujoco'):
        MujocoPhysics(Fleet.of(["jackal"]), [])


def test_a_robot_whose_wheels_are_not_known_is_refused():
    with pytest.raises(UserError, match="wheel_radius"):
        mjcf(place(np.zeros((80, 160), dtype=bool)), replace(ROBOTS["jackal"], wheel_radius=0.0))


def test_the_same_commands_lead_to_nearly_the_same_place_on_flat_ground():
    """5 s of random commands that change each second, some 5 m of way: within 0.3 m and 0.2 rad of
    each other."""
    pytest.importorskip("mujoco")
    rng, names = np.random.default_rng(4), [name for name in ROBOTS for _ in range(4)]
    poses = np.concatenate([np.zeros((16, 2)), rng.uniform(-3, 3, (16, 1))], 1)
    commands = np.repeat(rng.uniform([0.0, -1.5, -0.5], [1.5, 1.5, 0.5], (5, 16, 3)), 10, axis=0)
    scene = place(np.zeros((160, 160), dtype=bool))
    scene = Scene(
        "flat",
        Occupancy(scene.occupancy.grid, np.array([-8.0, -8.0])),
        scene.mesh,
        scene.free_anchors,
    )
    (kinematic, not_stopped), (forces, nor_here) = (
        drive(p, poses, commands) for p in both(scene, names, poses)
    )
    assert not not_stopped.any() and not nor_here.any()
    apart = np.linalg.norm(kinematic[..., :2] - forces[..., :2], axis=-1)
    turned = (kinematic[..., 2] - forces[..., 2] + np.pi) % (2 * np.pi) - np.pi
    assert apart.max() < 0.3 and np.abs(turned).max() < 0.2
    way = np.linalg.norm(np.diff(kinematic[..., :2], axis=0), axis=-1).sum(0)
    assert way.mean() > 3.0 and np.median(apart[-1]) < 0.1


def test_a_wall_stops_everybody_in_both():
    pytest.importorskip("mujoco")
    grid = np.zeros((80, 160), dtype=bool)
    grid[:, 100] = True  # one cell, x = 2.0 to 2.1
    names, poses = list(ROBOTS), np.zeros((4, 3))
    commands = np.tile([1.5, 0.0, 0.0], (40, 4, 1))
    ends = []
    for physics in both(place(grid), names, poses):
        track, stopped = drive(physics, poses, commands)
        assert stopped.all()
        ends.append(track[-1])
        fleet = physics.fleet
        front = track[..., 0] + fleet.discs.max(1) + fleet.disc_radius
        assert (front < 2.0 + 0.03).all() and (front[-1] > 1.9).all()
    np.testing.assert_allclose(ends[0][:, :2], ends[1][:, :2], atol=0.06)


def test_a_kerb_stops_wheels_and_not_legs_and_a_ramp_stops_nobody_in_both():
    pytest.importorskip("mujoco")
    height = np.zeros((80, 160))
    height[:, 100:] = 0.12
    height[50:70, 85:100] = np.linspace(0.0, 0.12, 17)[1:-1]  # 8 % over 1.5 m
    names = ["jackal", "coco", "go2", "g1"] * 2
    poses = np.repeat([[0.0, -1.5, 0.0], [-1.0, 2.0, 0.0]], 4, axis=0)
    for physics in both(place(np.zeros((80, 160), dtype=bool), height), names, poses):
        track, stopped = drive(physics, poses, np.tile([1.2, 0.0, 0.0], (45, 8, 1)))
        np.testing.assert_array_equal(stopped, [True, True] + [False] * 6)
        assert (track[-1, :2, 0] < 2.0).all() and (track[-1, 2:, 0] > 2.5).all()


def test_wheels_climb_by_force_what_their_step_height_says():
    pytest.importorskip("mujoco")
    for step, climbs in ((0.04, True), (0.1, False)):
        height = np.zeros((80, 160))
        height[:, 100:] = step
        _, physics = both(
            place(np.zeros((80, 160), dtype=bool), height),
            ["jackal", "coco"],
            np.array([[0.5, 0.0, 0.2], [-0.3, -2.0, 0.0]]),
        )
        _, stopped = drive(
            physics,
            np.array([[0.5, 0.0, 0.2], [-0.3, -2.0, 0.0]]),
            np.tile([1.0, 0.0, 0.0], (35, 2, 1)),
        )
        assert (stopped != climbs).all()


def test_mujoco_goes_on_where_it_was_put_back_and_where_it_was_told_to():
    pytest.importorskip("mujoco")
    names, poses = list(ROBOTS), np.zeros((4, 3))
    rng = np.random.default_rng(1)
    commands, moving = rng.uniform(0.0, 1.0, (12, 4, 3)), np.array([True, True, True, True])
    _, physics = both(place(np.zeros((80, 160), dtype=bool)), names, poses)
    assert isinstance(physics, MujocoPhysics)

    def run(physics, state, rows):
        for command in commands[rows]:
            state = physics.move(state[0], state[1], command, moving)[:2]
        return state

    half = run(physics, (poses, np.zeros((4, 3))), slice(0, 6))
    saved = physics.arrays()
    whole = run(physics, half, slice(6, 12))
    other = MujocoPhysics(physics.fleet, physics.scenes)
    other.restore(saved)
    again = run(other, half, slice(6, 12))
    np.testing.assert_array_equal(again[0], whole[0])
    np.testing.assert_array_equal(again[1], whole[1])
    # A pose that the caller changed (a person stood in the way) is where the robot goes on from;
    # who does not move stays.
    elsewhere = whole[0] + np.array([1.0, -1.0, 0.3])
    still = np.array([False, True, False, True])
    moved, _, blocked = physics.move(elsewhere, np.zeros((4, 3)), np.zeros((4, 3)), still)
    np.testing.assert_array_equal(moved[~still], elsewhere[~still])
    assert np.abs(moved - elsewhere).max() < 0.05 and not blocked.any()
    physics.forget(0)
    assert not physics.models
    with pytest.raises(UserError, match="world 2"):
        physics.move(
            poses,
            poses,
            np.where(np.arange(4)[:, None] == 2, np.nan, 0.0) * np.ones((4, 3)),
            moving,
        )
