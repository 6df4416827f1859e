"""Who touches what: robots against occupied ground and against people, where they stand and along
their way.

In the kernels `values`, `start`, `shape` and `frame` are the distance fields (`DistanceFields`),
`scene`, `scene_id` and `field_id` which of them, `discs` and `radius` footprints (`Fleet`).
"""

import math

import numba
import numpy as np

from s2e.envs.geometry.occupancy import DistanceFields, distance_at
from s2e.envs.robots.fleet import Fleet

STEP_M = 0.02
"""Longest piece of a motion between two looks at what it hits, metres; turning counts with
`STEP_RAD`."""
STEP_RAD = 0.05


@numba.njit(cache=True)
def field_at(values, start, shape, frame, scene, x, y):
    """Metres from world (x, y) to the nearest obstacle of one packed scene."""
    return distance_at(
        values,
        start[scene],
        shape[scene, 0],
        shape[scene, 1],
        frame[scene, 0],
        frame[scene, 1],
        frame[scene, 2],
        x,
        y,
    )


@numba.njit(cache=True)
def _gap(x, y, yaw, discs, radius, values, start, shape, frame, scene):
    """Metres between a footprint and the nearest obstacle."""
    cos_yaw, sin_yaw = math.cos(yaw), math.sin(yaw)
    gap = 1e18
    for k in range(discs.shape[0]):
        if k == 0 or discs[k] != discs[k - 1]:
            gap = min(
                gap,
                field_at(
                    values,
                    start,
                    shape,
                    frame,
                    scene,
                    x + discs[k] * cos_yaw,
                    y + discs[k] * sin_yaw,
                ),
            )
    return gap - radius


@numba.njit(cache=True)
def _gaps(poses, discs, radius, values, start, shape, frame, scene_id, gaps):
    for n in range(poses.shape[0]):
        gaps[n] = _gap(
            poses[n, 0],
            poses[n, 1],
            poses[n, 2],
            discs[n],
            radius[n],
            values,
            start,
            shape,
            frame,
            scene_id[n],
        )


@numba.njit(cache=True)
def _people_gaps(poses, discs, reach, people, active, gaps):
    for n in range(poses.shape[0]):
        cos_yaw, sin_yaw = math.cos(poses[n, 2]), math.sin(poses[n, 2])
        for p in range(people.shape[1]):
            if not active[n, p]:
                continue
            for offset in discs[n]:
                dx = poses[n, 0] + offset * cos_yaw - people[n, p, 0]
                dy = poses[n, 1] + offset * sin_yaw - people[n, p, 1]
                gaps[n] = min(gaps[n], math.sqrt(dx * dx + dy * dy) - reach[n])


@numba.njit(cache=True)
def _sweep(poses, targets, discs, radius, values, start, shape, frame, scene_id, reached, blocked):
    for n in range(poses.shape[0]):
        x, y, yaw = poses[n, 0], poses[n, 1], poses[n, 2]
        dx, dy, turn = targets[n, 0] - x, targets[n, 1] - y, targets[n, 2] - yaw
        turn -= 2.0 * math.pi * math.floor((turn + math.pi) / (2.0 * math.pi))
        arm = 0.0
        for k in range(discs.shape[1]):
            arm = max(arm, abs(discs[n, k]))
        way = math.sqrt(dx * dx + dy * dy)
        gap = _gap(x, y, yaw, discs[n], radius[n], values, start, shape, frame, scene_id[n])
        reached[n, 0], reached[n, 1], reached[n, 2] = targets[n, 0], targets[n, 1], targets[n, 2]
        # No cell's field falls faster than sqrt(2) a metre: with that much room nothing can be hit
        # on the way.
        if gap > 1.5 * (way + arm * abs(turn)):
            continue
        pieces = int(max(math.ceil(way / STEP_M), math.ceil(abs(turn) / STEP_RAD), 1.0))
        along, turned = 0, 0
        while turned < pieces:
            # Both together as long as that goes; once stopped, turning alone.
            ahead = along if blocked[n] else along + 1
            t, r = ahead / pieces, (turned + 1) / pieces
            new = _gap(
                x + t * dx,
                y + t * dy,
                yaw + r * turn,
                discs[n],
                radius[n],
                values,
                start,
                shape,
                frame,
                scene_id[n],
            )
            if new >= 0.0 or new > gap:  # who is in contact may leave it
                along, turned, gap = ahead, turned + 1, new
            elif blocked[n] or turn == 0.0:
                blocked[n] = True
                break
            else:
                blocked[n] = True
        if blocked[n]:
            yaw += turned / pieces * turn
            yaw -= 2.0 * math.pi * math.floor((yaw + math.pi) / (2.0 * math.pi))
            reached[n, 0], reached[n, 1], reached[n, 2] = (
                x + along / pieces * dx,
                y + along / pieces * dy,
                yaw,
            )


def _packed(fields: DistanceFields, field_id: np.ndarray):
    return (
        fields.values,
        fields.start,
        fields.shape,
        fields.frame,
        np.ascontiguousarray(field_id, dtype=np.int64),
    )


def static_gaps(
    fleet: Fleet, poses: np.ndarray, fields: DistanceFields, field_id: np.ndarray
) -> np.ndarray:
    """How much room robots have to what stands still.

    Args:
        fleet: N robots; their discs are their footprints.
        poses: (N, 3) x, y, yaw.
        fields: distance fields; outside the grid is occupied.
        field_id: (N,) integer, which field each robot moves in.

    Returns:
        (N,) metres from the nearest disc's edge to an obstacle; negative is contact.
    """
    poses = np.ascontiguousarray(poses, dtype=np.float64)
    gaps = np.empty(len(poses))
    _gaps(poses, fleet.discs, fleet.disc_radius, *_packed(fields, field_id), gaps)
    return gaps


def robot_contacts(
    fleet: Fleet, poses: np.ndarray, fields: DistanceFields, field_id: np.ndarray
) -> np.ndarray:
    """(N,) bool: which robots touch something that stands still; arguments as in `static_gaps`."""
    return static_gaps(fleet, poses, fields, field_id) < 0


def people_gaps(
    fleet: Fleet,
    poses: np.ndarray,
    people_xy: np.ndarray,
    active: np.ndarray,
    person_radius: float = 0.25,
) -> np.ndarray:
    """How much room robots have to people.

    Args:
        fleet: N robots; their discs are their footprints.
        poses: (N, 3) x, y, yaw.
        people_xy: (N, P, 2) metres.
        active: (N, P) bool, false for people who are not there.
        person_radius: metres.

    Returns:
        (N,) metres from the nearest disc's edge to the nearest person's; negative is contact,
        infinite is nobody.
    """
    poses = np.ascontiguousarray(poses, dtype=np.float64)
    people_xy = np.ascontiguousarray(people_xy, dtype=np.float64)
    gaps = np.full(len(poses), np.inf)
    active = np.ascontiguousarray(active, dtype=np.bool_)
    _people_gaps(poses, fleet.discs, fleet.disc_radius + person_radius, people_xy, active, gaps)
    return gaps


def sweep(
    fleet: Fleet,
    poses: np.ndarray,
    new_poses: np.ndarray,
    fields: DistanceFields,
    field_id: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """How far robots get on their way from one pose to another.

    The footprint goes along the straight line in pieces of at most 2 cm and 0.05 rad and stops
    before the first that would touch, so nothing is too thin to stop it at any speed. A robot that
    is stopped still turns on the spot as far as it can: robots here do not reverse, and this stands
    in for what would get a real one out. Who is in contact at the start moves while that makes its
    room larger.

    Args:
        fleet: N robots.
        poses: (N, 3) x, y, yaw, where they are.
        new_poses: (N, 3) where they would be if nothing stood in the way.
        fields: distance fields; outside the grid is occupied.
        field_id: (N,) integer, which field each robot moves in.

    Returns:
        (N, 3) where they get to, and (N,) bool, who was stopped.
    """
    poses = np.ascontiguousarray(poses, dtype=np.float64)
    targets = np.ascontiguousarray(new_poses, dtype=np.float64)
    reached, blocked = np.empty_like(poses), np.zeros(len(poses), dtype=np.bool_)
    _sweep(
        poses, targets, fleet.discs, fleet.disc_radius, *_packed(fields, field_id), reached, blocked
    )
    return reached, blocked


def clear_heading(
    fleet: Fleet,
    world: int,
    pose: np.ndarray,
    fields: DistanceFields,
    field: int,
    room_m: float = 0.1,
) -> np.ndarray:
    """A pose (3,) at the same place whose heading leaves a robot room to what stands still, as near
    as can be to the one given.

    A long robot that is put somewhere at random would else begin with its nose in a wall.

    Args:
        fleet: the robots; `world` is the row of this one.
        world: its row.
        pose: (3,) x, y, yaw.
        fields: distance fields.
        field: which of them the robot moves in.
        room_m: room that is enough, metres. Where no heading of 48 has it, the one with most is
            taken.
    """
    turns = np.arange(1, 25) * (np.pi / 24)
    turns = np.concatenate([[0.0], np.stack([turns, -turns], 1).ravel()])
    poses = np.tile(np.asarray(pose, dtype=np.float64), (len(turns), 1))
    poses[:, 2] = (poses[:, 2] + turns + np.pi) % (2 * np.pi) - np.pi
    poses[0] = pose
    rows = fleet.rows(np.full(len(turns), world))
    gaps = static_gaps(rows, poses, fields, np.full(len(turns), field))
    enough = np.flatnonzero(gaps >= room_m)
    return poses[enough[0] if len(enough) else int(gaps.argmax())]


@numba.njit(cache=True)
def _rooms(points, values, start, shape, frame, field_id, rooms):
    for n in range(points.shape[0]):
        for p in range(points.shape[1]):
            rooms[n, p] = field_at(
                values, start, shape, frame, field_id[n], points[n, p, 0], points[n, p, 1]
            )


def room_at_points(points: np.ndarray, fields: DistanceFields, field_id: np.ndarray) -> np.ndarray:
    """(N, P) metres from points (N, P, 2) of N worlds, each in its own field (N,), to the nearest
    obstacle; 0 is inside one.
    """
    rooms = np.zeros(points.shape[:2])
    field_id = np.ascontiguousarray(field_id, dtype=np.int64)
    points = np.ascontiguousarray(points, dtype=np.float64)
    _rooms(points, fields.values, fields.start, fields.shape, fields.frame, field_id, rooms)
    return rooms
