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
def _gaps(poses, discs, radius, values, start, shape, frame, scene_id, gaps):
    for n in range(poses.shape[0]):
        cos_yaw, sin_yaw = math.cos(poses[n, 2]), math.sin(poses[n, 2])
        for offset in discs:
            x, y = poses[n, 0] + offset * cos_yaw, poses[n, 1] + offset * sin_yaw
            gaps[n] = min(gaps[n], field_at(values, start, shape, frame, scene_id[n], x, y) - radius)


@numba.njit(cache=True)
def _people_gaps(poses, discs, reach, people, active, gaps):
    for n in range(poses.shape[0]):
        cos_yaw, sin_yaw = math.cos(poses[n, 2]), math.sin(poses[n, 2])
        for p in range(people.shape[1]):
            if not active[n, p]:
                continue
            for offset in discs:
                dx = poses[n, 0] + offset * cos_yaw - people[n, p, 0]
                dy = poses[n, 1] + offset * sin_yaw - people[n, p, 1]
                gaps[n] = min(gaps[n], math.sqrt(dx * dx + dy * dy) - reach)


def static_gaps(robot: Robot, poses: np.ndarray, fields: DistanceFields, scene_id: np.ndarray) -> np.ndarray:
    """How much room robots have to what stands still.

    Args:
        robot: its discs are the footprint.
        poses: (N, 3) x, y, yaw.
        fields: distance fields of the scenes; outside the grid is occupied.
        scene_id: (N,) integer, which scene each world is.

    Returns:
        (N,) metres from the nearest disc's edge to an obstacle; negative is contact.
    """
    poses = np.ascontiguousarray(poses, dtype=np.float64)
    gaps = np.full(len(poses), np.inf)
    scene_id = np.ascontiguousarray(scene_id, dtype=np.int64)
    _gaps(poses, robot.discs(), robot.disc_radius, fields.values, fields.start, fields.shape, fields.frame, scene_id, gaps)
    return gaps


def robot_contacts(robot: Robot, poses: np.ndarray, fields: DistanceFields, scene_id: np.ndarray) -> np.ndarray:
    """(N,) bool: which robots touch something that stands still; arguments as in `static_gaps`."""
    return static_gaps(robot, poses, fields, scene_id) < 0


def people_gaps(
    robot: Robot, poses: np.ndarray, people_xy: np.ndarray, active: np.ndarray, person_radius: float = 0.25
) -> np.ndarray:
    """How much room robots have to people.

    Args:
        robot: its discs are the footprint.
        poses: (N, 3) x, y, yaw.
        people_xy: (N, P, 2) metres.
        active: (N, P) bool, false for people who are not there.
        person_radius: metres.

    Returns:
        (N,) metres from the nearest disc's edge to the nearest person's; negative is contact, infinite is nobody.
    """
    poses = np.ascontiguousarray(poses, dtype=np.float64)
    people_xy = np.ascontiguousarray(people_xy, dtype=np.float64)
    gaps = np.full(len(poses), np.inf)
    active = np.ascontiguousarray(active, dtype=np.bool_)
    _people_gaps(poses, robot.discs(), robot.disc_radius + person_radius, people_xy, active, gaps)
    return gaps


def people_contacts(
    robot: Robot, poses: np.ndarray, people_xy: np.ndarray, active: np.ndarray, person_radius: float = 0.25
) -> np.ndarray:
    """(N,) bool: which robots touch a person; arguments as in `people_gaps`."""
    return people_gaps(robot, poses, people_xy, active, person_radius) < 0
