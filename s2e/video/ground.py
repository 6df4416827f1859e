"""From what recordings give (positions in space, latitudes, velocities, quaternions) to poses on
the ground.
"""

import math
from typing import Literal

import numpy as np

from s2e.core.observation import wrapped

Axes = Literal["body", "optical", "camera"]
"""Which axes poses are in. body: the world has z up, the moving frame x forward (ROS). optical:
world and moving frame have x right, y down, z forward (KITTI, monocular SLAM). camera: the world
has z up, the moving frame is such a camera (motion capture, TUM RGB-D)."""

AXES: tuple[Axes, ...] = ("body", "optical", "camera")
MAX_GAP_S = 2.0
"""Beyond this between images, or between poses, nothing is known of the way."""
_SAME_S = 1e-3  # clocks in text files are rounded
_STEP_M = 0.5  # headings are compared with motion over so far, beyond what noise moves


def rotations(quaternion: np.ndarray) -> np.ndarray:
    """(T, 3, 3) rotation matrices of (T, 4) unit quaternions x, y, z, w."""
    x, y, z, w = quaternion.T
    rows = (
        (1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)),
        (2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)),
        (2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)),
    )
    return np.stack([np.stack(row, -1) for row in rows], -2)


def to_ground(
    position: np.ndarray, rotation: np.ndarray, axes: Axes
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Drops the vertical.

    Args:
        position: (T, 3). rotation: (T, 3, 3) from the moving frame to the world. axes: see `Axes`.

    Returns:
        (T, 2) position, x forward and y left at yaw 0; (T,) height; (T,) yaw. Yaw is NaN where the
        frame looks straight up or down.
    """
    ahead = rotation[:, :, 0 if axes == "body" else 2]
    if axes == "optical":
        position, ahead = (np.stack([v[:, 2], -v[:, 0], -v[:, 1]], 1) for v in (position, ahead))
    yaw = np.where(
        np.hypot(ahead[:, 0], ahead[:, 1]) > 0.1, np.arctan2(ahead[:, 1], ahead[:, 0]), np.nan
    )
    return position[:, :2], position[:, 2], yaw


def plane(latitude_deg: np.ndarray, longitude_deg: np.ndarray) -> np.ndarray:
    """(T, 2) metres east and north of the first point, in the plane that touches the WGS 84
    ellipsoid there.
    """
    a, e2 = 6378137.0, 6.69437999014e-3
    lat = math.radians(float(latitude_deg[0]))
    bend = 1 - e2 * math.sin(lat) ** 2
    north = np.radians(latitude_deg - latitude_deg[0]) * a * (1 - e2) / bend**1.5
    east = (
        np.radians((longitude_deg - longitude_deg[0] + 180) % 360 - 180)
        * a
        * math.cos(lat)
        / math.sqrt(bend)
    )
    return np.stack([east, north], 1)


def unheld(times: np.ndarray, position: np.ndarray) -> np.ndarray:
    """(T, 2) positions of a slow sensor, repeated until its next reading, made linear between
    readings; over 2 s it stood still.
    """
    change = np.flatnonzero((np.diff(position, axis=0) != 0).any(1)) + 1
    start = np.concatenate([[0], change])
    last = np.concatenate([change - 1, [len(times) - 1]])
    known = np.unique(np.concatenate([start, last[times[last] - times[start] > 2.0], last[-1:]]))
    return np.stack([np.interp(times, times[known], position[known, k]) for k in range(2)], 1)


def integrated(
    times: np.ndarray, forward: np.ndarray, left: np.ndarray, turn: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Poses from velocities (m/s, m/s, rad/s) in the robot's frame, each held until the next time;
    exact arcs.

    Returns:
        (T, 2) position and (T,) yaw from 0 at the first time.
    """
    dt = np.diff(times)
    angle = turn[:-1] * dt
    yaw = np.concatenate([[0.0], np.cumsum(angle)])
    chord = np.sinc(angle / (2 * math.pi)) * dt
    c, s = np.cos(yaw[:-1] + angle / 2), np.sin(yaw[:-1] + angle / 2)
    vx, vy = forward[:-1], left[:-1]
    step = np.stack([chord * (c * vx - s * vy), chord * (s * vx + c * vy)], 1)
    return np.concatenate([np.zeros((1, 2)), np.cumsum(step, 0)]), yaw


def agreement(position: np.ndarray, yaw: np.ndarray) -> float:
    """How well heading and motion fit: the mean of cos(2 (direction of motion - yaw)).

    1 is always ahead or always back, -1 always sideways, 0 unrelated; NaN where the walk covers too
    little ground to tell.
    """
    where, last = [], None
    for t, p in enumerate(position.tolist()):
        if last is None or math.hypot(p[0] - last[0], p[1] - last[1]) >= _STEP_M:
            where.append(t)
            last = p
    if len(where) < 4:
        return float("nan")
    step = np.diff(position[where], axis=0)
    between = np.unwrap(yaw)[where]
    return float(
        np.cos(2 * (np.arctan2(step[:, 1], step[:, 0]) - (between[1:] + between[:-1]) / 2)).mean()
    )


def at_times(
    times: np.ndarray, known: np.ndarray, position: np.ndarray, yaw: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Poses between known ones: positions linear, yaw the shorter way round.

    Args:
        times: (T,) asked for. known: (P,) of the poses, increasing. position: (P, 2). yaw: (P,).

    Returns:
        (T,) int64 number of the stretch of poses, at most `MAX_GAP_S` apart, that the time lies in:
        -1 before the first and after the last pose and inside gaps; (T, 2) position; (T,) yaw in
        (-pi, pi].
    """
    place = np.stack([np.interp(times, known, position[:, k]) for k in range(2)], 1)
    turned = np.interp(times, known, np.unwrap(yaw))
    run = np.concatenate([[0], np.cumsum(np.diff(known) > MAX_GAP_S)])
    after = np.minimum(np.searchsorted(known, times), len(known) - 1)
    before = np.maximum(after - 1, 0)
    between = (run[before] == run[after]) & (known[0] <= times) & (times <= known[-1])
    stretch = np.where(between | (np.abs(known[after] - times) < _SAME_S), run[after], -1)
    stretch = np.where(
        (stretch < 0) & (np.abs(known[before] - times) < _SAME_S), run[before], stretch
    )
    return stretch, place, wrapped(turned)
