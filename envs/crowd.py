"""People who walk: a batched social-force model (Helbing and Molnar 1995) with anticipation, one kernel."""

import math

import numba
import numpy as np

from s2e.envs.collision import field_at
from s2e.envs.occupancy import DistanceFields
from s2e.envs.robots import Robot

PERSON_RADIUS = 0.25
"""Metres."""
WALL_GAP = 0.2
"""Nobody's centre comes nearer to an obstacle, metres."""

RELAX_S = 0.5  # time to regain the wanted velocity
LOOK_AHEAD_S = 2.0  # how far encounters with people are foreseen
ROBOT_FORESIGHT_S = 0.8  # how far encounters with the robot are: it has to give way, they rarely do
ROBOT_DETOUR = 0.3  # nearer to a standing robot, people walk around it, metres
ROBOT_RESPECT = 0.5  # how much of the push that a person would get from another the robot has
SPEED_FACTOR = 1.3  # the fastest anybody hurries, of their own speed
WALL_SIGHT = 0.7  # walking into a wall that near becomes walking along it, metres


@numba.njit(cache=True)
def _avoid(dx, dy, radii, rel_vx, rel_vy, right_x, right_y, foresight):
    """Push (m/s^2) on a person at offset (dx, dy) from another body that both move at relative velocity rel_v."""
    distance = math.sqrt(dx * dx + dy * dy)
    if distance > 4.0:
        return 0.0, 0.0
    scale = 1.0 / max(distance, 1e-6)
    push = 4.0 * math.exp(-max(distance - radii, -0.2) / 0.2)
    ax, ay = push * dx * scale, push * dy * scale
    speed2 = rel_vx * rel_vx + rel_vy * rel_vy
    closing = -(dx * rel_vx + dy * rel_vy)
    if closing > 0.0 and speed2 > 1e-6:
        t = min(closing / speed2, foresight)
        mx, my = dx + rel_vx * t, dy + rel_vy * t
        miss = math.sqrt(mx * mx + my * my)
        if miss < 0.1:  # head on: both keep right
            mx, my, scale = right_x, right_y, 1.0
        else:
            scale = 1.0 / miss
        sway = 2.0 * math.exp(-t / 1.0) * math.exp(-max(miss - radii, 0.0) / 0.25)
        ax += sway * mx * scale
        ay += sway * my * scale
    return ax, ay


@numba.njit(cache=True)
def _wall_normal(values, start, shape, frame, scene, x, y):
    """Unit direction away from the nearest obstacle (0, 0 where it is undefined)."""
    e = 0.1
    gx = field_at(values, start, shape, frame, scene, x + e, y) - field_at(values, start, shape, frame, scene, x - e, y)
    gy = field_at(values, start, shape, frame, scene, x, y + e) - field_at(values, start, shape, frame, scene, x, y - e)
    norm = math.sqrt(gx * gx + gy * gy)
    if norm < 1e-6:
        return 0.0, 0.0
    return gx / norm, gy / norm


@numba.njit(cache=True)
def _along_wall(ex, ey, nx, ny, weight, vx, vy):
    """Wanted direction (ex, ey) with the part that goes into a wall of normal (nx, ny) turned along the wall.

    Who walks along it already (velocity v) keeps the side, which leads around its end.
    """
    into = ex * nx + ey * ny
    if into >= 0.0:
        return ex, ey
    along, along_v = ey * nx - ex * ny, vy * nx - vx * ny
    if into < -0.3 and abs(along_v) > 0.15:
        along = math.copysign(max(abs(along), 0.5), along_v)
    elif abs(along) < 0.25:
        along = math.copysign(0.5, along)
    rest = (1.0 - weight) * into
    fx, fy = rest * nx - along * ny, rest * ny + along * nx
    norm = math.sqrt(fx * fx + fy * fy)
    return fx / norm, fy / norm


@numba.njit(cache=True)
def _from_robot(x, y, robot_x, robot_y, cos_yaw, sin_yaw, discs):
    """Offset (dx, dy) of (x, y) from the nearest of the robot's discs, and its length."""
    best, bx, by = 1e18, 0.0, 0.0
    for offset in discs:
        dx, dy = x - robot_x - offset * cos_yaw, y - robot_y - offset * sin_yaw
        if dx * dx + dy * dy < best:
            best, bx, by = dx * dx + dy * dy, dx, dy
    return bx, by, math.sqrt(best)


@numba.njit(cache=True)
def _allowed(x, y, tx, ty, reach, values, start, shape, frame, scene):
    """Where a step of at most `reach` from (x, y) to (tx, ty) ends: beside a wall it slides or does not happen."""
    wall = field_at(values, start, shape, frame, scene, tx, ty)
    if wall >= WALL_GAP:
        return tx, ty
    nx, ny = _wall_normal(values, start, shape, frame, scene, tx, ty)
    tx, ty = tx + (WALL_GAP + 1e-3 - wall) * nx, ty + (WALL_GAP + 1e-3 - wall) * ny
    moved = math.sqrt((tx - x) ** 2 + (ty - y) ** 2)
    if moved > reach:
        tx, ty = x + (tx - x) * reach / moved, y + (ty - y) * reach / moved
    wall = field_at(values, start, shape, frame, scene, tx, ty)
    # Who starts inside a wall may still leave it.
    if wall < WALL_GAP and wall < field_at(values, start, shape, frame, scene, x, y):
        return x, y
    return tx, ty


@numba.njit(cache=True)
def _walk(pos, vel, goals, speeds, active, poses, robot_vel, discs, radius, values, start, shape, frame, ids, dt, subs):
    people = pos.shape[1]
    h = dt / subs
    for n in range(pos.shape[0]):
        scene = ids[n]
        cos_yaw, sin_yaw = math.cos(poses[n, 2]), math.sin(poses[n, 2])
        touch = radius + PERSON_RADIUS
        rvx, rvy = robot_vel[n, 0] * cos_yaw, robot_vel[n, 0] * sin_yaw
        for _ in range(subs):
            for i in range(people):
                if not active[n, i]:
                    continue
                x, y, vx, vy = pos[n, i, 0], pos[n, i, 1], vel[n, i, 0], vel[n, i, 1]
                gx, gy = goals[n, i, 0] - x, goals[n, i, 1] - y
                far = math.sqrt(gx * gx + gy * gy)
                ex, ey = gx / max(far, 1e-6), gy / max(far, 1e-6)
                rx, ry = ey, -ex
                wanted = speeds[n, i] * min(1.0, far / 0.3)
                ax, ay = 0.0, 0.0
                wall = field_at(values, start, shape, frame, scene, x, y)
                if wall < WALL_SIGHT:
                    nx, ny = _wall_normal(values, start, shape, frame, scene, x, y)
                    ex, ey = _along_wall(ex, ey, nx, ny, min(1.0, (WALL_SIGHT - wall) / 0.3), vx, vy)
                    push = 2.0 * math.exp(-(wall - WALL_GAP) / 0.12)
                    ax, ay = push * nx, push * ny
                bx, by, gap = _from_robot(x, y, poses[n, 0], poses[n, 1], cos_yaw, sin_yaw, discs)
                slow = 1.0 - 2.0 * robot_vel[n, 0]
                if slow > 0.0 and 1e-6 < gap < touch + ROBOT_DETOUR:  # around a robot that stands in the way
                    weight = slow * min(1.0, 2.0 * (touch + ROBOT_DETOUR - gap) / ROBOT_DETOUR)
                    ex, ey = _along_wall(ex, ey, bx / gap, by / gap, weight, vx, vy)
                ax += (wanted * ex - vx) / RELAX_S
                ay += (wanted * ey - vy) / RELAX_S
                for j in range(people):
                    if j != i and active[n, j]:
                        px, py = _avoid(
                            x - pos[n, j, 0], y - pos[n, j, 1], 2.0 * PERSON_RADIUS,
                            vx - vel[n, j, 0], vy - vel[n, j, 1], rx, ry, LOOK_AHEAD_S,
                        )  # fmt: skip
                        ax += px
                        ay += py
                px, py = 0.0, 0.0
                if ex * bx + ey * by < 0.2 * gap:  # seen: not behind
                    px, py = _avoid(bx, by, touch, vx - rvx, vy - rvy, rx, ry, ROBOT_FORESIGHT_S)
                vx += h * (ax + ROBOT_RESPECT * px)
                vy += h * (ay + ROBOT_RESPECT * py)
                limit = SPEED_FACTOR * speeds[n, i]
                speed = math.sqrt(vx * vx + vy * vy)
                if speed > limit:
                    vx, vy = vx * limit / speed, vy * limit / speed
                if gap < touch + 0.1 and gap > 1e-6:  # people do not walk into a robot
                    into = (vx * bx + vy * by) / gap
                    if into < 0.0:
                        vx, vy = vx - into * bx / gap, vy - into * by / gap
                vel[n, i, 0], vel[n, i, 1] = vx, vy
            for i in range(people):
                if active[n, i]:
                    x, y = pos[n, i, 0], pos[n, i, 1]
                    tx, ty = _allowed(
                        x, y, x + h * vel[n, i, 0], y + h * vel[n, i, 1], h * SPEED_FACTOR * speeds[n, i],
                        values, start, shape, frame, scene,
                    )  # fmt: skip
                    _, _, gap = _from_robot(tx, ty, poses[n, 0], poses[n, 1], cos_yaw, sin_yaw, discs)
                    if gap < touch + 0.02:
                        _, _, before = _from_robot(x, y, poses[n, 0], poses[n, 1], cos_yaw, sin_yaw, discs)
                        if gap < before:
                            tx, ty = x, y
                    vel[n, i, 0], vel[n, i, 1] = (tx - x) / h, (ty - y) / h
                    pos[n, i, 0], pos[n, i, 1] = tx, ty


def step_crowd(
    positions: np.ndarray,
    velocities: np.ndarray,
    goals: np.ndarray,
    speeds: np.ndarray,
    active: np.ndarray,
    robot_poses: np.ndarray,
    robot_velocities: np.ndarray,
    robot: Robot,
    fields: DistanceFields,
    scene_id: np.ndarray,
    dt: float,
    substeps: int = 2,
) -> tuple[np.ndarray, np.ndarray]:
    """Moves the people of N worlds for `dt` seconds.

    They head for their goals, foresee encounters with people and the robot and give way sideways, walk along walls, and
    never step into occupied ground nor, by their own motion, into the robot. They keep walking: a robot that drives
    into their way hits them.

    Args:
        positions: (N, P, 2) metres.
        velocities: (N, P, 2) m/s.
        goals: (N, P, 2) metres; see `turn_back`.
        speeds: (N, P) each person's own speed, m/s; nobody exceeds 1.3 times theirs.
        active: (N, P) bool; who is not there keeps position and velocity.
        robot_poses: (N, 3) x, y, yaw.
        robot_velocities: (N, 2) v, omega.
        robot: its discs are what people avoid.
        fields: distance fields of the scenes.
        scene_id: (N,) integer, which scene each world is.
        dt: seconds.
        substeps: integration steps in `dt`; steps of 0.1 s or less are stable.

    Returns:
        New positions and velocities; the inputs stay as they are.
    """
    pos = np.array(positions, dtype=np.float64, order="C")
    vel = np.array(velocities, dtype=np.float64, order="C")
    _walk(
        pos,
        vel,
        np.ascontiguousarray(goals, dtype=np.float64),
        np.ascontiguousarray(speeds, dtype=np.float64),
        np.ascontiguousarray(active, dtype=np.bool_),
        np.ascontiguousarray(robot_poses, dtype=np.float64),
        np.ascontiguousarray(robot_velocities, dtype=np.float64),
        robot.discs(),
        robot.disc_radius,
        fields.values,
        fields.start,
        fields.shape,
        fields.frame,
        np.ascontiguousarray(scene_id, dtype=np.int64),
        float(dt),
        int(substeps),
    )
    return pos, vel


def turn_back(positions: np.ndarray, endpoints: np.ndarray, leg: np.ndarray, reach: float = 0.5) -> tuple[np.ndarray, np.ndarray]:
    """Sends people who have arrived back to where they came from.

    Args:
        positions: (N, P, 2) metres.
        endpoints: (N, P, 2, 2) start and goal of each person.
        leg: (N, P) integer, which of the two endpoints each person walks to (1 at first).
        reach: an endpoint this near counts as reached, metres.

    Returns:
        The new leg (N, P) and the goals (N, P, 2) for `step_crowd`.
    """
    goals = np.take_along_axis(endpoints, leg[..., None, None], axis=2)[:, :, 0]
    arrived = np.linalg.norm(positions - goals, axis=-1) < reach
    leg = np.where(arrived, 1 - leg, leg)
    return leg, np.take_along_axis(endpoints, leg[..., None, None], axis=2)[:, :, 0]
