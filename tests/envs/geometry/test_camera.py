import numpy as np
import pytest

from s2e.envs.geometry.camera import (
    Camera,
    camera_poses,
    draw_camera,
    view_intrinsics,
    view_poses,
)
from s2e.envs.robots.fleet import Fleet
from s2e.envs.robots.kinds import ROBOTS

POSES = np.array([[1.0, 2.0, 0.3], [-4.0, 0.5, -2.0], [0.0, 0.0, 3.0]])


def test_a_camera_by_hand():
    """A robot at (1, 2) looks along +y, its camera 0.2 m before it and 0.6 m up, 30 degrees down:
    what is ahead of the camera, to its right and above is there in the image."""
    camera = Camera(100, 200, 90.0, x=0.2, z=0.6, pitch_deg=30.0)
    np.testing.assert_allclose(camera.intrinsics(), [100.0, 100.0, 100.0, 50.0])
    (position,), (rotation,) = camera_poses(np.array([[1.0, 2.0, np.pi / 2]]), camera, 0.1)
    np.testing.assert_allclose(position, [1.0, 2.2, 0.7], atol=1e-12)
    c, s = np.cos(np.pi / 6), 0.5
    for way, seen in (
        ([0.0, c, -s], [0.0, 0.0, 1.0]),  # along the optical axis
        ([1.0, 0.0, 0.0], [1.0, 0.0, 0.0]),  # to the right
        ([0.0, 0.0, 1.0], [0.0, -c, -s]),  # up
    ):
        np.testing.assert_allclose(rotation @ way, seen, atol=1e-12)


def test_cameras_are_drawn_as_robots_carry_them():
    """The higher the mount, the farther down it may look."""
    rng = np.random.default_rng(0)
    hfov, height, pitch = np.array([draw_camera(rng) for _ in range(4000)]).T
    down = pitch - 10.0 * (height - 0.3)
    for value, low, high in ((hfov, 60, 120), (height, 0.3, 1.3)):
        assert low <= value.min() < low + 0.01 * (high - low)
        assert high - 0.01 * (high - low) < value.max() <= high
    assert -4.0 <= pitch.min() < -3.5 and 14.0 < down.max() <= 15.0
    assert pitch[height > 1.2].max() > 23.0


@pytest.mark.parametrize("speed, fade", [(1.0, 1.0), (0.25, 0.5), (-0.25, 0.5), (0.0, 0.0)])
def test_a_walking_body_by_hand(speed, fade):
    """A camera 0.5 m above the robot's middle, at the beginning and at a quarter of a stride of
    2 m; left rolls up, ahead pitches down."""
    camera, travelled = np.tile([90.0, 0.0, 0.5, 0.0], (2, 1)), np.array([0.0, 0.5])

    def walking(*sway):
        return view_poses(
            np.zeros((2, 3)), np.full(2, 0.1), camera, np.tile(sway, (2, 1)), travelled,
            np.full(2, speed),
        )  # fmt: skip

    positions, _ = walking(0.2, 0.0, 0.0, 2.0)  # rolls about the ground below it, once a stride
    roll = 0.2 * fade
    np.testing.assert_allclose(positions[0], [0.0, 0.0, 0.6], atol=1e-12)
    np.testing.assert_allclose(
        positions[1], [0.0, -0.5 * np.sin(roll), 0.1 + 0.5 * np.cos(roll)], atol=1e-12
    )
    _, rotations = walking(0.0, 0.2, 0.0, 2.0)  # pitches twice a stride
    down = 0.2 * fade * np.sin(0.7)
    np.testing.assert_allclose(rotations[:, 2, 2], [-np.sin(down), np.sin(down)], atol=1e-12)
    positions, _ = walking(0.0, 0.0, 0.2, 2.0)  # and bobs
    np.testing.assert_allclose(positions[:, 2], [0.6 + 0.2 * fade, 0.6 - 0.2 * fade], atol=1e-12)


def test_standing_robots_of_one_kind_see_from_where_one_camera_does():
    for name, robot in ROBOTS.items():
        fleet = Fleet.of([name] * 3)
        positions, rotations = view_poses(
            POSES,
            np.full(3, 0.12),
            fleet.camera,
            fleet.sway,
            np.array([0.0, 1.3, 2.0]),
            np.zeros(3),
        )
        expected_positions, expected_rotations = camera_poses(POSES, robot.camera, 0.12)
        np.testing.assert_allclose(positions, expected_positions, atol=1e-12)
        np.testing.assert_allclose(rotations, expected_rotations, atol=1e-12)
        one = Camera(60, 100, robot.camera.hfov_deg).intrinsics()
        np.testing.assert_allclose(view_intrinsics(fleet.camera, 60, 100), np.tile(one, (3, 1)))


def test_a_walking_body_sways_within_its_amplitudes_and_wheels_do_not():
    travelled, speed = np.linspace(0.0, 2.0, 101), np.ones(101)
    for name, robot in ROBOTS.items():
        fleet = Fleet.of([name] * 101)
        positions, rotations = view_poses(
            np.zeros((101, 3)), np.zeros(101), fleet.camera, fleet.sway, travelled, speed
        )
        np.testing.assert_allclose(
            rotations @ rotations.transpose(0, 2, 1), np.tile(np.eye(3), (101, 1, 1)), atol=1e-12
        )
        np.testing.assert_allclose(np.linalg.det(rotations), 1.0)
        roll, pitch, bob, stride = robot.sway
        # how far the image's right points below the horizon
        rolled = np.arcsin(-rotations[:, 0, 2])
        pitched = np.arcsin(-rotations[:, 2, 2]) - np.radians(robot.camera.pitch_deg)
        assert np.abs(rolled).max() <= roll + 1e-9 and np.abs(pitched).max() <= pitch + 1e-3
        assert np.abs(positions[:, 2] - robot.camera.z).max() <= bob + abs(
            robot.camera.x
        ) * pitch + robot.camera.z * (roll + pitch)
        if robot.lateral_max > 0:
            assert np.abs(rolled).max() > 0.9 * roll and np.abs(pitched).max() > 0.9 * pitch
            # One stride later everything is as before.
            period = round(stride / 0.02)
            np.testing.assert_allclose(rotations[period:], rotations[:-period], atol=1e-9)
