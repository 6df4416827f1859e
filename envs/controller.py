"""The one waypoint controller: from a point that the robot should reach to the command that reaches it."""

import numpy as np

from s2e.envs.robots import Robot

# Beyond the first bearing the arc to a waypoint becomes a detour, and turning towards it takes over by the second.
TURN_FROM_RAD = np.radians(62.0)
TURN_FULLY_RAD = np.radians(88.0)
# A bearing of a waypoint this near says nothing (a stop with noise on it): turning fades out below, metres.
NEAR_M = 0.1
# An Ackermann robot's speed while it turns towards a waypoint beside or behind it, m/s.
CRAWL = 0.5


def _smoothstep(x: np.ndarray) -> np.ndarray:
    x = np.clip(x, 0.0, 1.0)
    return x * x * (3.0 - 2.0 * x)


def waypoint_to_command(waypoints: np.ndarray, horizon_s: float, robot: Robot) -> np.ndarray:
    """Pure pursuit: the arc, tangent to the robot's heading, that ends in the waypoint after `horizon_s`.

    A waypoint at distance d and bearing b lies on the arc of curvature 2 sin(b) / d (Coulter 1992) and length
    d b / sin(b), along which the robot turns by 2 b. Too fast a command is slowed with its curvature kept. The origin
    means stop. Towards a waypoint beside or behind it a differential robot turns in place; an Ackermann robot turns
    as tightly as it can at low speed.

    Args:
        waypoints: (N, 2) x forward, y left, in each robot's frame, metres.
        horizon_s: when to be there, seconds (> 0).
        robot: whose limits the command respects.

    Returns:
        (N, 2) v (m/s, never negative) and omega (rad/s).
    """
    waypoints = np.asarray(waypoints, dtype=np.float64)
    distance = np.hypot(waypoints[:, 0], waypoints[:, 1])
    bearing = np.arctan2(waypoints[:, 1], waypoints[:, 0])
    turn = _smoothstep((np.abs(bearing) - TURN_FROM_RAD) / (TURN_FULLY_RAD - TURN_FROM_RAD))
    near = _smoothstep(distance / NEAR_M)
    arc_bearing = np.clip(bearing, -TURN_FULLY_RAD, TURN_FULLY_RAD)
    v = distance / np.sinc(arc_bearing / np.pi) / horizon_s
    omega = 2.0 * bearing / horizon_s * near
    if robot.drive == "differential":
        v = v * (1.0 - turn)
    else:
        curvature = 2.0 * np.sin(arc_bearing) / np.maximum(distance, 1e-9)
        curvature = np.clip(curvature, -robot.curvature_max, robot.curvature_max)
        tightest = np.sign(bearing) * robot.curvature_max
        curvature = curvature * (1.0 - turn) + tightest * turn
        v = v * (1.0 - turn) + min(CRAWL, robot.v_max) * near * turn
        omega = curvature * v * near
    slower = np.minimum(1.0, robot.v_max / np.maximum(v, 1e-9))
    slower = np.minimum(slower, robot.omega_max / np.maximum(np.abs(omega), 1e-9))
    return np.stack([v * slower, omega * slower], axis=1)
