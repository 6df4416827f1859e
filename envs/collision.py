"""Who touches what: robots against occupied ground and against people."""

import math

import numba
import numpy as np

from s2e.envs.occupancy import DistanceFields, distance_at
from s2e.envs.robots import Robot


@numba.njit(cache=True)
def field_at(values, start, shape, frame, scene, x, y):
    """Metres from world (x, y) to the nearest obstacle of one packed scene."""
    return distance_at(values, start[scene], shape[scene, 0], shape[scene, 1], frame[scene, 0], frame[scene, 1], frame[scene, 2], x, y)


@numba.njit(cache=True)
def _contacts(poses, discs, radius, values, start, shape, frame, scene_id, hit):
    for n in range(poses.shape[0]):
        cos_yaw, sin_yaw = math.cos(poses[n, 2]), math.sin(poses[n, 2])
        for offset in discs:
            x, y = poses[n, 0] + offset * cos_yaw, poses[n, 1] + offset * sin_yaw
            if field_at(values, start, shape, frame, scene_id[n], x, y) < radius:
                hit[n] = True


@numba.njit(cache=True)
def _people_contacts(poses, discs, reach, people, active, hit):
    for n in range(poses.shape[0]):
        cos_yaw, sin_yaw = math.cos(poses[n, 2]), math.sin(poses[n, 2])
        for p in range(people.shape[1]):
            if not active[n, p]:
                continue
            for offset in discs:
                dx = poses[n, 0] + offset * cos_yaw - people[n, p, 0]
                dy = poses[n, 1] + offset * sin_yaw - people[n, p, 1]
                if dx * dx + dy * dy < reach * reach:
                    hit[n] = True


def robot_contacts(robot: Robot, poses: np.ndarray, fields: DistanceFields, scene_id: np.ndarray) -> np.ndarray:
    """Which robots touch something that stands still.

    Args:
        robot: its discs are the footprint.
        poses: (N, 3) x, y, yaw.
        fields: distance fields of the scenes; leaving the grid is a contact.
        scene_id: (N,) integer, which scene each world is.

    Returns:
        (N,) bool: some disc's centre is nearer to an obstacle than its radius.
    """
    poses = np.ascontiguousarray(poses, dtype=np.float64)
    hit = np.zeros(len(poses), dtype=np.bool_)
    scene_id = np.ascontiguousarray(scene_id, dtype=np.int64)
    _contacts(poses, robot.discs(), robot.disc_radius, fields.values, fields.start, fields.shape, fields.frame, scene_id, hit)
    return hit


def people_contacts(
    robot: Robot, poses: np.ndarray, people_xy: np.ndarray, active: np.ndarray, person_radius: float = 0.25
) -> np.ndarray:
    """Which robots touch a person.

    Args:
        robot: its discs are the footprint.
        poses: (N, 3) x, y, yaw.
        people_xy: (N, P, 2) metres.
        active: (N, P) bool, false for people who are not there.
        person_radius: metres.

    Returns:
        (N,) bool.
    """
    poses = np.ascontiguousarray(poses, dtype=np.float64)
    people_xy = np.ascontiguousarray(people_xy, dtype=np.float64)
    hit = np.zeros(len(poses), dtype=np.bool_)
    active = np.ascontiguousarray(active, dtype=np.bool_)
    _people_contacts(poses, robot.discs(), robot.disc_radius + person_radius, people_xy, active, hit)
    return hit
