"""The one waypoint controller: from a point that the robot should reach to the command that reaches
it.
"""

import numpy as np

from s2e.envs.robots.fleet import Fleet
from s2e.envs.robots.kinds import DRIVES, REVERSE_MPS

# Beyond the first bearing the arc to a waypoint becomes a detour, and turning towards it takes over
# by the second.
TURN_FROM_RAD = np.radians(62.0)
TURN_FULLY_RAD = np.radians(88.0)
# A bearing of a waypoint this near says nothing (a stop with noise on it): turning fades out below,
# metres.
NEAR_M = 0.1
# How far beside the robot the waypoint lies that turns it in place, and the yaw rate below which
# that is not meant, rad/s.
BESIDE_M, SLOW_RADS = 0.5, 0.5
# An Ackermann robot's speed while it turns towards a waypoint beside or behind it, m/s.
CRAWL = 0.5
# Who can step sideways does so to a waypoint beside it that is nearer than the first; beyond the
# second it turns, metres.
SIDE_M = (0.25, 0.35)
# A waypoint right behind a robot that is farther off than the first (else it is a stop with noise
# on it) and no farther than the second makes it back off; from either it fades over the third,
# metres. So does the bearing, up to the second.
BACK_M, BACK_RAD = (0.12, 0.5, 0.06), np.radians([140.0, 160.0])


def _smoothstep(x: np.ndarray) -> np.ndarray:
    x = np.clip(x, 0.0, 1.0)
    return x * x * (3.0 - 2.0 * x)


def command_to_waypoint(command: np.ndarray, horizon_s: float) -> np.ndarray:
    """The waypoint that `waypoint_to_command` makes a command of: the end of its arc, or where it
    turns in place, a point beside it.

    A command turns in place below `NEAR_M` of arc; what turns it slowly there is a stop.

    Args:
        command: (N, >= 2) v (m/s, not negative) and omega (rad/s); steps aside are not looked at.
            horizon_s: seconds (> 0).

    Returns:
        (N, 2) metres ahead and left.
    """
    v, omega = command[:, 0], command[:, 1]
    bearing = np.clip(0.5 * omega * horizon_s, -TURN_FROM_RAD, TURN_FROM_RAD)
    distance = v * horizon_s * np.sinc(bearing / np.pi)
    arc = distance[:, None] * np.stack([np.cos(bearing), np.sin(bearing)], 1)
    beside = (
        np.stack([np.zeros(len(v)), np.sign(omega) * BESIDE_M], 1)
        * (np.abs(omega) > SLOW_RADS)[:, None]
    )
    return np.where((distance < NEAR_M)[:, None], beside, arc)


def waypoint_to_command(waypoints: np.ndarray, horizon_s: float, fleet: Fleet) -> np.ndarray:
    """Pure pursuit: the arc, tangent to the robot's heading, that ends in the waypoint after
    `horizon_s`.

    A waypoint at distance d and bearing b lies on the arc of curvature 2 sin(b) / d (Coulter 1992)
    and length d b / sin(b), along which the robot turns by 2 b. Too fast a command is slowed with
    its curvature kept. The origin means stop. Towards a waypoint beside or behind it a differential
    robot turns in place; an Ackermann robot turns as tightly as it can at low speed; a holonomic
    robot steps sideways to what is near (0.3 m) and turns to what is not. All back off, slowly, to
    what is right behind them and near (0.5 m).

    Args:
        waypoints: (N, 2) x forward, y left, in each robot's frame, metres.
        horizon_s: when to be there, seconds (> 0).
        fleet: the N robots, whose limits the commands respect.

    Returns:
        (N, 3) v (m/s, below 0 backwards), omega (rad/s) and lateral (m/s to the left, 0 on wheels).
    """
    waypoints = np.asarray(waypoints, dtype=np.float64)
    v_max, omega_max, lateral_max = fleet.limits[:, 0], fleet.limits[:, 3], fleet.limits[:, 7]
    steered = fleet.drive == DRIVES.index("ackermann")
    distance = np.hypot(waypoints[:, 0], waypoints[:, 1])
    bearing = np.arctan2(waypoints[:, 1], waypoints[:, 0])
    turn = _smoothstep((np.abs(bearing) - TURN_FROM_RAD) / (TURN_FULLY_RAD - TURN_FROM_RAD))
    near = _smoothstep(distance / NEAR_M)
    arc_bearing = np.clip(bearing, -TURN_FULLY_RAD, TURN_FULLY_RAD)
    v = distance / np.sinc(arc_bearing / np.pi) / horizon_s
    omega = 2.0 * bearing / horizon_s * near
    # On wheels that steer, curvature.
    tightest = np.where(steered, fleet.limits[:, 5], 0.0)
    curvature = np.clip(2.0 * np.sin(arc_bearing) / np.maximum(distance, 1e-9), -tightest, tightest)
    curvature = curvature * (1.0 - turn) + np.sign(bearing) * tightest * turn
    v = v * (1.0 - turn) + np.where(steered, np.minimum(CRAWL, v_max) * near * turn, 0.0)
    # On legs, sideways instead of turning.
    side = np.where(
        lateral_max > 0.0, 1.0 - _smoothstep((distance - SIDE_M[0]) / (SIDE_M[1] - SIDE_M[0])), 0.0
    )
    side = side * turn * np.sin(bearing) ** 2
    v = v + side * np.maximum(waypoints[:, 0], 0.0) / horizon_s
    omega = omega * (1.0 - side)
    lateral = np.clip(side * waypoints[:, 1] / horizon_s, -lateral_max, lateral_max)
    # Straight back: the least turn could touch what it shall get away from.
    far = (distance - BACK_M[0]) / BACK_M[2], (BACK_M[1] + BACK_M[2] - distance) / BACK_M[2]
    back = (
        _smoothstep((np.abs(bearing) - BACK_RAD[0]) / (BACK_RAD[1] - BACK_RAD[0]))
        * _smoothstep(far[0])
        * _smoothstep(far[1])
    )
    v = v + back * (-np.minimum(distance / horizon_s, REVERSE_MPS) - v)
    omega, lateral = omega * (1.0 - back), lateral * (1.0 - back)
    omega = np.where(steered, curvature * (1.0 - back) * v * near, omega)
    slower = np.minimum(1.0, v_max / np.maximum(np.abs(v), 1e-9))
    slower = np.minimum(slower, omega_max / np.maximum(np.abs(omega), 1e-9))
    return np.stack([v * slower, omega * slower, lateral], axis=1)
