import numpy as np

from s2e.envs.geometry.camera import Camera, camera_poses, view_intrinsics, view_poses
from s2e.envs.robots.fleet import Fleet
from s2e.envs.robots.kinds import ROBOTS

POSES = np.array([[1.0, 2.0, 0.3], [-4.0, 0.5, -2.0], [0.0, 0.0, 3.0]])


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
