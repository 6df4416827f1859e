"""The vector part of what a policy sees, the same in video and in simulation."""

from dataclasses import dataclass

import numpy as np

from s2e.core.state import ArrayState

ROBOT_FIELDS = ("length_m", "width_m", "v_max", "omega_max", "camera_height_m", "camera_hfov_deg")
"""What the policy is told about the robot that it drives: footprint, speed limits, and how its
camera sees."""

RAYS = 16
RAY_RANGE_M = 12.0
RAY_ANGLES = np.radians(np.linspace(42.1875, -42.1875, RAYS))
"""(RAYS,) bearings of the free-space profile from left to right: the middles of 16 equal parts of
90 degrees."""

ODOMETRY_AGO_S = 0.4, 1.0, 2.0, 4.0
"""Moments whose poses a robot's odometry is told of, seconds ago."""
AROUND, AROUND_M = 32, 4.0
"""Directions around the robot in which it remembers what it saw, and how far from it a thing is
forgotten."""
NOWHERE_M = 1e6
"""Coordinates of a point that is none."""
SCANS, SCAN_STEPS = 12, 2
"""How many sights of what was ahead are remembered, and how many steps lie between them."""
ODOMETRY = 3 + 4 * len(ODOMETRY_AGO_S) + AROUND
"""Numbers of an `odometry_token`."""
_ODOMETRY_CLIP_M = 5.0

_ROBOT_SCALE = np.array([1.0, 1.0, 2.0, 2.0, 1.0, 90.0], dtype=np.float32)
_VIEW = ROBOT_FIELDS.index("camera_hfov_deg")


def wrapped(angle: np.ndarray) -> np.ndarray:
    """Angles in radians, brought into (-pi, pi]."""
    return np.arctan2(np.sin(angle), np.cos(angle))


def to_robot(points: np.ndarray, pose: np.ndarray) -> np.ndarray:
    """World points (..., 2) in the frame of robot poses (..., 3) that broadcast against them."""
    d = points - pose[..., :2]
    c, s = np.cos(pose[..., 2]), np.sin(pose[..., 2])
    return np.stack([d[..., 0] * c + d[..., 1] * s, d[..., 1] * c - d[..., 0] * s], -1)


def goal_token(goal_xy: np.ndarray, clip_m: float) -> np.ndarray:
    """(B, 2) goal in the robot's frame to (B, 3): distance clipped and divided by `clip_m`, cos and
    sin of the bearing.
    """
    distance = np.linalg.norm(goal_xy, axis=-1)
    bearing = np.arctan2(goal_xy[:, 1], goal_xy[:, 0])
    return np.stack(
        [np.minimum(distance, clip_m) / clip_m, np.cos(bearing), np.sin(bearing)], -1
    ).astype(np.float32)


def ego_state(v: np.ndarray, omega: np.ndarray) -> np.ndarray:
    """Speed (m/s) and yaw rate (rad/s), each (B,), to (B, 3): both, and the curvature (1/m) within
    2.
    """
    return np.stack([v, omega, np.clip(omega / np.maximum(np.abs(v), 0.1), -2, 2)], -1).astype(
        np.float32
    )


def scan_points(pose: np.ndarray, free_m: np.ndarray, robot: np.ndarray) -> np.ndarray:
    """Where rays of free space end, by what is ahead of robots now.

    Args:
        pose: (B, 3) where they are. free_m: (B, RAYS) metres. robot: (B, 6) `robot_token`; NaN
            where it is not known.

    Returns:
        (B, RAYS, 2) metres; `NOWHERE_M` where that is far, or outside of what the camera shows.
    """
    angles = RAY_ANGLES + pose[:, 2:]
    ends = pose[:, None, :2] + free_m[..., None] * np.stack([np.cos(angles), np.sin(angles)], -1)
    half = np.radians(robot[:, _VIEW] * _ROBOT_SCALE[_VIEW])[:, None] / 2
    return np.where(
        ((free_m < 1.5 * AROUND_M) & ~(np.abs(RAY_ANGLES) > half))[..., None], ends, NOWHERE_M
    )


def surroundings(pose: np.ndarray, points: np.ndarray) -> np.ndarray:
    """(B, AROUND) how near the nearest of points (B, P, 2) is in each direction around poses (B,
    3), counted from ahead to the left.

    Log of `AROUND_M` over metres: 0 where nothing is nearer.
    """
    ahead = to_robot(points, pose[:, None])
    distance = np.hypot(ahead[..., 0], ahead[..., 1])
    which = np.floor(np.arctan2(ahead[..., 1], ahead[..., 0]) / (2 * np.pi) * AROUND + 0.5)
    near = np.full((len(pose), AROUND), AROUND_M)
    row, point = np.nonzero(distance < AROUND_M)
    np.minimum.at(near, (row, which[row, point].astype(int) % AROUND), distance[row, point])
    return np.log(AROUND_M / np.maximum(near, 0.05))


def odometry_token(
    pose: np.ndarray, ago: np.ndarray, command: np.ndarray, points: np.ndarray
) -> np.ndarray:
    """What a robot did lately, what it was told, and what it saw that is still near.

    Who is told to drive and stands is stuck, whatever its camera shows; on which side there is room
    it may have seen before.

    Args:
        pose: (B, 3) where it is, by its own reckoning. ago: (B, K, 3) where it was at
            `ODOMETRY_AGO_S`.
        command: (B, 2) metres ahead and left, where it was last told to be a second later.
        points: (B, P, 2) where rays ended that it saw in the last seconds, in the frame of `pose`.

    Returns:
        (B, ODOMETRY) float32; zeros where anything is NaN: not known.
    """
    away = np.clip(to_robot(ago[..., :2], pose[:, None]), -_ODOMETRY_CLIP_M, _ODOMETRY_CLIP_M)
    turned = ago[..., 2] - pose[:, 2:]
    trail = np.concatenate(
        [away, np.sin(turned)[..., None], np.cos(turned)[..., None]], -1
    ).reshape(len(pose), -1)
    token = np.concatenate([np.ones((len(pose), 1)), command, trail, surroundings(pose, points)], 1)
    return np.where(np.isnan(token).any(1, keepdims=True), 0.0, token).astype(np.float32)


def reckoned(pose: np.ndarray, ego: np.ndarray, passed_s: float) -> np.ndarray:
    """Poses (B, 3) after `passed_s` of the motion `ego` (B, >= 2), m/s and rad/s."""
    middle = pose[:, 2] + 0.5 * passed_s * ego[:, 1]
    step = np.stack([ego[:, 0] * np.cos(middle), ego[:, 0] * np.sin(middle), ego[:, 1]], 1)
    return pose + passed_s * step


@dataclass(eq=False)
class OdometryState(ArrayState):
    """What N robots remember of their way.

    Attributes:
        trail: (N, K, 3) poses of the last steps, the newest first. command: (N, 2) what they were
            last told. points: (N, SCANS, RAYS, 2) where rays ended. tick: (N,) int64, steps.
    """

    trail: np.ndarray
    command: np.ndarray
    points: np.ndarray
    tick: np.ndarray


class Odometry(OdometryState):
    """Where N robots were in the last seconds, reckoned from their speeds, what they were told and
    what they saw.

    Args:
        robots: N. step_s: between calls of `token`.
    """

    def __init__(self, robots: int, step_s: float):
        self.step_s = step_s
        self.ago = np.array([round(s / step_s) for s in ODOMETRY_AGO_S])
        super().__init__(
            trail=np.zeros((robots, int(self.ago.max()) + 1, 3)),
            command=np.zeros((robots, 2)),
            points=np.full((robots, SCANS, RAYS, 2), NOWHERE_M),
            tick=np.zeros(robots, np.int64),
        )

    def begin(self, robots: np.ndarray) -> None:
        """Some stand at the beginning of an episode, as if they had always stood there."""
        self.trail[robots], self.command[robots] = 0.0, 0.0
        self.points[robots], self.tick[robots] = NOWHERE_M, 0

    def token(self, ego: np.ndarray, robots: np.ndarray) -> np.ndarray:
        """(V, ODOMETRY) of some robots, a step after they were asked last; `ego` (V, 3) is
        `ego_state`.
        """
        trail = self.trail[robots]
        trail[:, 1:] = trail[:, :-1].copy()
        trail[:, 0] = reckoned(trail[:, 1], ego, self.step_s)
        self.trail[robots] = trail
        return odometry_token(
            trail[:, 0],
            trail[:, self.ago],
            self.command[robots],
            self.points[robots].reshape(len(robots), -1, 2),
        )

    def saw(self, free_m: np.ndarray, robot: np.ndarray, robots: np.ndarray) -> None:
        """Some robots see free space from where they are, and know of it from the next step on; see
        `scan_points`.
        """
        due = self.tick[robots] % SCAN_STEPS == 0
        now = robots[due]
        self.points[now, self.tick[now] // SCAN_STEPS % SCANS] = scan_points(
            self.trail[now, 0], free_m[due], robot[due]
        )
        self.tick[robots] += 1


def robot_token(values: np.ndarray) -> np.ndarray:
    """(B, 6) `ROBOT_FIELDS` to network input (B, 6) float32 of about 1; a robot with anything
    unknown (NaN) is NaN as a whole.
    """
    scaled = np.asarray(values, dtype=np.float32) / _ROBOT_SCALE
    return np.where(np.isnan(scaled).any(-1, keepdims=True), np.float32(np.nan), scaled)
