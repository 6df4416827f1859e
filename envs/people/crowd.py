"""People who walk: ORCA for every person of every world, on ways of their own, each behaving in
their own manner.

In the kernels `i` is who, `real`, `whole` and `active` are a world's people (`People`), `robot` is
what `_robot` gives, `discs` are the robot's, `values` and `ground` the distance field
(`ground_of`), `h` and `dt` seconds; `lines`, `count`, `order`, `away`, `spare` and `beyond` are
memory to work in.
"""

import math
from dataclasses import dataclass

import numba
import numpy as np

from s2e.envs.geometry.occupancy import DistanceFields
from s2e.envs.geometry.scene import BEHAVIOURS
from s2e.envs.people.orca import INNER, best_velocity, half_plane, nearest_first
from s2e.envs.people.people import (
    BEHAVIOUR,
    FOLLOW,
    GAIT,
    GOAL_X,
    GOAL_Y,
    GROUP,
    LAST,
    LEG,
    LOOK,
    MANNERS,
    ONCE,
    SPEED,
    STAND,
    START_X,
    START_Y,
    STAYS,
    STRIDE,
    TURN,
    VIA,
    VX,
    VY,
    WAIT_M,
    WAIT_S,
    WAITING,
    WANDER,
    YAW,
    People,
    X,
    Y,
)
from s2e.envs.people.roadmap import CLEARANCE_M, Roadmaps, ground_of, plan_way, room_at, sees

PERSON_RADIUS = 0.25
"""Metres."""
WALL_GAP = 0.2
"""Nobody's centre comes nearer to an obstacle, metres."""
SPEED_FACTOR = 1.3
"""The fastest anybody hurries, of their own speed."""

RELAX_S = 0.5  # time to regain the wanted velocity
REACH_M = 6.0  # how far people look at one another
WALL_SIGHT = 0.7  # walking into a wall that near becomes walking along it, metres
WALL_HORIZON_S = 0.3  # how soon a wall may be reached
ROBOT_DETOUR = 0.3  # nearer to a standing robot, people walk around it, metres
ARRIVED_M = 0.5  # a goal this near is reached
COMFORT_M = (
    0.8  # room that people give one another, centre to centre; see benchmarks/speed/crowd.py
)
MATES_RADII = 0.45  # how near people of a group come, metres
MATES_HORIZON_S = 0.3
LOST_M = 3.0  # farther from their leader, people find a way of their own
MATES_APART_M = 0.85  # side by side, a fifth more or less; see benchmarks/speed/crowd.py
FILE_M = 0.9  # people in single file walk so far behind one another, metres
LOOK_AROUND = 10  # steps after which everybody sees whether the way is still open

CORNER_M = 1.5  # a point of the way this near may be left out

CUT_IN, STOP = BEHAVIOURS.index("cut_in"), BEHAVIOURS.index("stop")
GIVE_WAY = BEHAVIOURS.index("give_way")


@numba.njit(**INNER)
def _wall_normal(values, ground, x, y):
    """Unit direction away from the nearest obstacle (0, 0 where it is undefined)."""
    e = 0.1
    gx = room_at(values, ground, x + e, y) - room_at(values, ground, x - e, y)
    gy = room_at(values, ground, x, y + e) - room_at(values, ground, x, y - e)
    norm = math.sqrt(gx * gx + gy * gy)
    if norm < 1e-6:
        return 0.0, 0.0
    return gx / norm, gy / norm


@numba.njit(**INNER)
def _along_wall(wx, wy, nx, ny, weight, vx, vy):
    """Wanted velocity w with the part that goes into a wall of normal n turned along the wall.

    Who walks along it already (velocity v) keeps the side, which leads around its end.
    """
    wanted = math.sqrt(wx * wx + wy * wy)
    if wanted < 1e-9:
        return wx, wy
    ex, ey = wx / wanted, wy / wanted
    into = ex * nx + ey * ny
    if into >= 0.0:
        return wx, wy
    along, along_v = ey * nx - ex * ny, vy * nx - vx * ny
    if into < -0.3 and abs(along_v) > 0.15:
        along = math.copysign(max(abs(along), 0.5), along_v)
    elif abs(along) < 0.25:
        along = math.copysign(0.5, along)
    rest = (1.0 - weight) * into
    fx, fy = rest * nx - along * ny, rest * ny + along * nx
    scale = wanted / math.sqrt(fx * fx + fy * fy)
    return fx * scale, fy * scale


@numba.njit(**INNER)
def _from_robot(x, y, robot, discs):
    """Offset (dx, dy) of (x, y) from the nearest of the robot's discs, and its length."""
    best, bx, by = 1e18, 0.0, 0.0
    for offset in discs:
        dx, dy = x - robot[0] - offset * robot[2], y - robot[1] - offset * robot[3]
        if dx * dx + dy * dy < best:
            best, bx, by = dx * dx + dy * dy, dx, dy
    return bx, by, math.sqrt(best)


@numba.njit(**INNER)
def _allowed(x, y, tx, ty, reach, values, ground):
    """Where a step of at most `reach` from (x, y) to (tx, ty) ends: beside a wall it slides or does
    not happen.
    """
    wall = room_at(values, ground, tx, ty)
    if wall >= WALL_GAP:
        return tx, ty
    nx, ny = _wall_normal(values, ground, tx, ty)
    tx, ty = tx + (WALL_GAP + 1e-3 - wall) * nx, ty + (WALL_GAP + 1e-3 - wall) * ny
    moved = math.sqrt((tx - x) ** 2 + (ty - y) ** 2)
    if moved > reach:
        tx, ty = x + (tx - x) * reach / moved, y + (ty - y) * reach / moved
    wall = room_at(values, ground, tx, ty)
    # Who starts inside a wall may still leave it.
    if wall < WALL_GAP and wall < room_at(values, ground, x, y):
        return x, y
    return tx, ty


@numba.njit(**INNER)
def _mix(a, b):
    """A hash of two integers, 0 to 2^31 - 1: choices that need no generator."""
    h = (a * 0x9E3779B1 + b * 0x85EBCA77 + 0x1B873593) & 0xFFFFFFFF
    h = ((h ^ (h >> 15)) * 0x2C1B3C6D) & 0xFFFFFFFF
    h = ((h ^ (h >> 12)) * 0x297A2D39) & 0xFFFFFFFF
    return (h ^ (h >> 15)) & 0x7FFFFFFF


@numba.njit(**INNER)
def _spell(look, time, least, span, share):
    """Whether `time` lies in the first `share` of a cycle of least..least + span seconds; who it is
    sets length and phase.
    """
    cycle = least + span * (_mix(look, 1) % 1000) / 1000.0
    phase = time / cycle + (_mix(look, 2) % 1000) / 1000.0
    return phase - math.floor(phase) < share


@numba.njit(**INNER)
def _leader(whole, active, i):
    """The first of i's group (i itself where alone)."""
    if whole[i, GROUP] >= 0:
        for j in range(i):
            if active[j] and whole[j, GROUP] == whole[i, GROUP]:
                return j
    return i


@numba.njit(**INNER)
def _head_for(i, real, whole, anchors, count, hop, length, values, ground, look_around, beyond):
    """Advances a person along the way to the goal; returns the next point of the way, and whether
    it is the goal (1).
    """
    x, y = real[i, X], real[i, Y]
    for again in range(2):
        back = 2 * (1 - (whole[i, LEG] & 1))
        gx, gy = real[i, GOAL_X - back], real[i, GOAL_Y - back]
        if whole[i, WANDER] > 0 and whole[i, LEG] > 1 and count > 0:
            k = _mix(whole[i, LOOK], whole[i, LEG]) % count
            gx, gy = anchors[k, 0], anchors[k, 1]
        if again == 1 or (x - gx) ** 2 + (y - gy) ** 2 >= ARRIVED_M * ARRIVED_M:
            break
        whole[i, LEG] += 1
        whole[i, VIA] = -2
    k = whole[i, VIA]
    if look_around and k != -2:
        tx, ty = gx, gy
        if k >= 0:
            tx, ty = anchors[k, 0], anchors[k, 1]
        if not sees(values, ground, x, y, tx, ty, WALL_GAP):
            k = -2
    if k == -2:
        k, whole[i, LAST] = plan_way(
            values, ground, anchors, count, length, x, y, gx, gy, CLEARANCE_M, beyond
        )
    whole[i, VIA] = k
    if k < 0:
        return gx, gy, 1.0
    ax, ay = anchors[k, 0], anchors[k, 1]
    away = (x - ax) ** 2 + (y - ay) ** 2
    if away < CORNER_M * CORNER_M:  # corners are cut where the way behind them is in sight
        then, bx, by = -1, gx, gy
        if k != whole[i, LAST]:
            then = hop[k, whole[i, LAST]]
            bx, by = anchors[then, 0], anchors[then, 1]
        if away < 0.09 or sees(values, ground, x, y, bx, by, CLEARANCE_M):
            whole[i, VIA] = then
            return bx, by, 1.0 if then < 0 else 0.0
    return ax, ay, 0.0


@numba.njit(**INNER)
def _abreast(i, real, whole, active, ex, ey, wanted, room):
    """Wanted velocity of one of a group: side by side across the direction e, nobody ahead."""
    # held up: everybody gets past on their own
    if real[i, VX] ** 2 + real[i, VY] ** 2 < 0.09 * wanted * wanted:
        return wanted * ex, wanted * ey
    mates, rank = 0, 0
    cx, cy = 0.0, 0.0
    for j in range(len(active)):
        if active[j] and whole[j, GROUP] == whole[i, GROUP]:
            further = (real[j, Y] - real[i, Y]) * ex - (real[j, X] - real[i, X]) * ey
            if further < 0.0 or (further == 0.0 and j < i):  # they keep the order they have
                rank += 1
            mates += 1
            cx += real[j, X]
            cy += real[j, Y]
    dx, dy = real[i, X] - cx / mates, real[i, Y] - cy / mates
    ahead, left = dx * ex + dy * ey, dy * ex - dx * ey
    pace = wanted * (1.0 - min(max(0.5 * ahead, -0.3), 0.3))
    apart = MATES_APART_M * (0.8 + 0.4 * (_mix(whole[i, GROUP], 3) % 1000) / 1000.0)
    slot = (rank - 0.5 * (mates - 1)) * min(apart, room)
    shift = min(max(0.8 * (slot - left), -0.4), 0.4) * min(1.0, wanted)
    return pace * ex - shift * ey, pace * ey + shift * ex


@numba.njit(**INNER)
def _at_robot(wx, wy, behaviour, speed, x, y, robot, look, time):
    """Wanted velocity of who gives way to the robot, or cuts in on it; others' stays as it is."""
    robot_x, robot_y, cos_yaw, sin_yaw, v, _, _, front = robot
    dx, dy = x - robot_x, y - robot_y
    fx, fy = dx * cos_yaw + dy * sin_yaw, dy * cos_yaw - dx * sin_yaw
    side = 1.0 if fy > 0.0 else -1.0
    if behaviour == GIVE_WAY and -0.5 < fx < 5.0 and v > 0.2:
        if abs(fy) < 0.9:  # in its lane: out of it
            return 0.3 * wx - 0.8 * speed * side * sin_yaw, 0.3 * wy + 0.8 * speed * side * cos_yaw
        closing = -side * (wy * cos_yaw - wx * sin_yaw)
        if closing > 0.0 and abs(fy) - 0.9 < 2.0 * closing:  # about to step into it: waits
            return wx - closing * side * sin_yaw, wy + closing * side * cos_yaw
    elif (
        behaviour == CUT_IN
        and v > 0.3
        and -5.0 < fx < front + 3.0
        and abs(fy) < 3.0
        and _spell(look, time, 14.0, 6.0, 0.6)
    ):
        if fx < front + 0.9:  # overtakes
            ux, uy, fast = 2.0, side * 0.8 - fy, SPEED_FACTOR * speed
        elif abs(fy) > 0.15:  # merges
            ux, uy, fast = 0.8, -fy, min(v + 0.4, SPEED_FACTOR * speed)
        else:  # dawdles in front
            ux, uy, fast = 1.0, 0.0, 0.7 * v
        scale = fast / math.sqrt(ux * ux + uy * uy)
        return scale * (ux * cos_yaw - uy * sin_yaw), scale * (ux * sin_yaw + uy * cos_yaw)
    return wx, wy


@numba.njit(**INNER)
def _robot_planes(x, y, vx, vy, robot, discs, share, horizon, dt, lines, count):
    """Adds the half-planes that keep a person off each of the robot's discs; returns how many there
    are then.

    (vx, vy) is the person's own velocity. A robot that stands leaves it all to them.
    """
    robot_x, robot_y, cos_yaw, sin_yaw, v, omega, touch, _ = robot
    share += (1.0 - share) * max(0.0, 1.0 - 2.0 * abs(v))
    if share <= 0.0:
        return count
    for offset in discs:
        px, py = robot_x + offset * cos_yaw - x, robot_y + offset * sin_yaw - y
        if not px * px + py * py < REACH_M * REACH_M:  # far, or no disc
            continue
        sway = offset * omega
        rvx, rvy = v * cos_yaw - sway * sin_yaw, v * sin_yaw + sway * cos_yaw
        nx, ny, short = half_plane(px, py, vx - rvx, vy - rvy, touch, horizon, dt)
        lines[count, 0], lines[count, 1], lines[count, 2] = (
            nx,
            ny,
            vx * nx + vy * ny + share * short,
        )
        count += 1
    return count


@numba.njit(**INNER)
def _person_planes(i, real, whole, active, manners, dt, order, away, lines, count):
    """Adds the half-planes that keep i off the others, nearest first; returns how many there are
    then.
    """
    others = nearest_first(real, active, i, REACH_M, order, away)
    vx, vy, own = real[i, VX], real[i, VY], manners[whole[i, BEHAVIOUR], 2]
    for k in range(others):
        j = order[k]
        # Strangers are given more room than bodies need, as far as there is more.
        radii, horizon = (
            min(max(0.95 * math.sqrt(away[k]), 2.0 * PERSON_RADIUS), COMFORT_M),
            manners[whole[i, BEHAVIOUR], 3],
        )
        if whole[i, GROUP] >= 0 and whole[i, GROUP] == whole[j, GROUP]:
            radii, horizon = MATES_RADII, MATES_HORIZON_S
        dx, dy = real[j, X] - real[i, X], real[j, Y] - real[i, Y]
        nx, ny, short = half_plane(dx, dy, vx - real[j, VX], vy - real[j, VY], radii, horizon, dt)
        share = own / (own + manners[whole[j, BEHAVIOUR], 2])
        lines[count, 0], lines[count, 1], lines[count, 2] = (
            nx,
            ny,
            vx * nx + vy * ny + share * short,
        )
        count += 1
    return count


@numba.njit(**INNER)
def _keep_right(i, real, active, wx, wy):
    """Wanted velocity, a little to the right where somebody comes head on: what is symmetric would
    end in a standstill.
    """
    wanted2 = wx * wx + wy * wy
    for j in range(len(active)):
        if j == i or not active[j]:
            continue
        dx, dy = real[j, X] - real[i, X], real[j, Y] - real[i, Y]
        ahead, aside = dx * wx + dy * wy, dy * wx - dx * wy
        if (
            0.0 < ahead < 4.0 * wanted2
            and abs(aside) < 0.1 * ahead
            and real[j, VX] * wx + real[j, VY] * wy < 0.1 * wanted2
        ):
            return wx + 0.1 * wy, wy - 0.1 * wx
    return wx, wy


@numba.njit(**INNER)
def _wish(i, real, whole, active, target, robot, react, time, wall):
    """Wanted velocity of a person whose way leads to `target` (x, y, 1 where it is the goal)."""
    x, y = real[i, X], real[i, Y]
    kind, wanted = whole[i, BEHAVIOUR], real[i, SPEED]
    tx, ty = target[i, 0] - x, target[i, 1] - y
    if kind == STAND:
        tx, ty = real[i, START_X] - x, real[i, START_Y] - y
    far = math.sqrt(tx * tx + ty * ty)
    if kind == STAND:
        wanted = 0.0 if far < 0.3 else 0.5 * wanted
    elif target[i, 2] > 0.0:
        wanted *= min(1.0, far / 0.3)
    if kind == STOP and _spell(whole[i, LOOK], time, 8.0, 5.0, 0.3):
        wanted = 0.0
    ex, ey = tx / max(far, 1e-6), ty / max(far, 1e-6)
    wx, wy = wanted * ex, wanted * ey
    if wanted > 0.0:
        if whole[i, GROUP] >= 0:
            wx, wy = _abreast(i, real, whole, active, ex, ey, wanted, wall)
        wx, wy = _keep_right(i, real, active, wx, wy)
    if react:
        wx, wy = _at_robot(wx, wy, kind, real[i, SPEED], x, y, robot, whole[i, LOOK], time)
    return wx, wy


@numba.njit(**INNER)
def _choose(
    # who of a world's people, how they meet others, where their ways lead
    i,
    real,
    whole,
    active,
    manners,
    target,
    # the robot, and the distance field
    robot,
    discs,
    values,
    ground,
    # the time, the step, whether the robot is noticed
    time,
    h,
    react,
    # memory to work in: half-planes, and who is near
    lines,
    spare,
    order,
    away,
):
    """A person's next velocity."""
    x, y = real[i, X], real[i, Y]
    vx, vy = real[i, VX], real[i, VY]
    limit, hard = SPEED_FACTOR * real[i, SPEED], 0
    wall = room_at(values, ground, x, y)
    wx, wy = _wish(i, real, whole, active, target, robot, react, time, wall)
    if wall < max(WALL_SIGHT, WALL_GAP + limit * WALL_HORIZON_S):
        nx, ny = _wall_normal(values, ground, x, y)
        wx, wy = _along_wall(wx, wy, nx, ny, min(1.0, (WALL_SIGHT - wall) / 0.3), vx, vy)
        lines[0, 0], lines[0, 1], lines[0, 2] = (
            nx,
            ny,
            min((WALL_GAP - wall) / WALL_HORIZON_S, 0.5 * limit),
        )
        hard = 1
    count, touch = hard, robot[6]
    bx, by, gap = _from_robot(x, y, robot, discs)
    if react:
        slow = 1.0 - 2.0 * abs(robot[4])
        # around a robot that stands in the way
        if slow > 0.0 and 1e-6 < gap < touch + ROBOT_DETOUR:
            weight = slow * min(1.0, 2.0 * (touch + ROBOT_DETOUR - gap) / ROBOT_DETOUR)
            wx, wy = _along_wall(wx, wy, bx / gap, by / gap, weight, vx, vy)
        share, horizon = manners[whole[i, BEHAVIOUR], 0], manners[whole[i, BEHAVIOUR], 1]
        count = _robot_planes(x, y, vx, vy, robot, discs, share, horizon, h, lines, count)
    count = _person_planes(i, real, whole, active, manners, h, order, away, lines, count)
    ease = min(1.0, h / RELAX_S)
    vx, vy = best_velocity(
        lines, count, hard, limit, vx + ease * (wx - vx), vy + ease * (wy - vy), spare
    )
    if react and 1e-6 < gap < touch + 0.1:  # nobody walks into a robot
        into = (vx * bx + vy * by) / gap
        if into < 0.0:
            vx, vy = vx - into * bx / gap, vy - into * by / gap
    return vx, vy


@numba.njit(**INNER)
def _move(i, real, vx, vy, robot, discs, values, ground, h, react):
    """Takes a person's step, as far as walls and the robot let it, and turns the body."""
    x, y = real[i, X], real[i, Y]
    tx, ty = _allowed(
        x, y, x + h * vx, y + h * vy, h * SPEED_FACTOR * real[i, SPEED], values, ground
    )
    if react:
        _, _, gap = _from_robot(tx, ty, robot, discs)
        if gap < robot[6] + 0.02:
            _, _, before = _from_robot(x, y, robot, discs)
            if gap < before:
                tx, ty = x, y
    vx, vy = (tx - x) / h, (ty - y) / h
    real[i, X], real[i, Y] = tx, ty
    real[i, VX], real[i, VY] = vx, vy
    speed = math.sqrt(vx * vx + vy * vy)
    real[i, GAIT] += speed * h * STRIDE
    if speed > 0.15:
        turn = math.atan2(vy, vx) - real[i, YAW]
        turn -= 2.0 * math.pi * math.floor((turn + math.pi) / (2.0 * math.pi))
        real[i, YAW] += min(max(turn, -TURN * h), TURN * h)


@numba.njit(**INNER)
def _scripted(i, real, whole, script, robot, time, target):
    """Whether a script says where i goes; `target` (3,) is then written."""
    if whole[i, VIA] == WAITING:
        near = script[i, WAIT_M]
        away2 = (real[i, X] - robot[0]) ** 2 + (real[i, Y] - robot[1]) ** 2
        if time < script[i, WAIT_S] or (near > 0.0 and away2 > near * near):
            target[0], target[1], target[2] = real[i, START_X], real[i, START_Y], 1.0
            return True
        whole[i, VIA] = -2
    if script[i, ONCE] > 0.0 and whole[i, LEG] == 1:
        gx, gy = real[i, GOAL_X], real[i, GOAL_Y]
        if (real[i, X] - gx) ** 2 + (real[i, Y] - gy) ** 2 < ARRIVED_M * ARRIVED_M:
            whole[i, VIA] = STAYS
        if whole[i, VIA] == STAYS:
            target[0], target[1], target[2] = gx, gy, 1.0
            return True
    j = int(script[i, FOLLOW])
    if j < 0:
        return False
    target[0] = real[j, X] - FILE_M * math.cos(real[j, YAW])
    target[1] = real[j, Y] - FILE_M * math.sin(real[j, YAW])
    target[2] = 1.0
    return True


@numba.njit(**INNER)
def _robot(pose, velocity, discs, radius):
    """What people know of a robot: x, y, cos yaw, sin yaw, v, omega, the distance of touch, and x
    of its front.
    """
    front = radius
    for offset in discs:
        if offset + radius > front:
            front = offset + radius
    return (
        pose[0],
        pose[1],
        math.cos(pose[2]),
        math.sin(pose[2]),
        velocity[0],
        velocity[1],
        radius + PERSON_RADIUS,
        front,
    )


@numba.njit(cache=True, error_model="numpy")
def _walk(
    # people (`People`), how they meet others, seconds since each world's episode began
    reals,
    wholes,
    actives,
    scripts,
    manners,
    clock,
    # robots (`Robots`)
    poses,
    robot_vel,
    discs,
    radius,
    # distance fields and roadmaps (`Walkable`)
    values,
    start,
    shape,
    frame,
    anchors,
    counts,
    hops,
    lengths,
    scene_id,
    # which worlds' people move, whether they notice the robot, seconds, steps
    moving,
    react,
    dt,
    subs,
):
    people, most = actives.shape[1], actives.shape[1] + discs.shape[1] + 1
    lines, spare = np.empty((most, 3)), np.empty((most, 3))
    order, away = np.empty(people, dtype=np.int64), np.empty(people)
    fresh, target, beyond = np.empty((people, 2)), np.zeros((people, 3)), np.empty(anchors.shape[1])
    h = dt / subs
    for n in range(len(actives)):
        if not moving[n]:
            continue
        ground, road = ground_of(start, shape, frame, scene_id[n]), scene_id[n]
        robot = _robot(poses[n], robot_vel[n], discs[n], radius[n])
        real, whole, active, script = reals[n], wholes[n], actives[n], scripts[n]
        tick = int(clock[n] / dt + 0.5)
        for i in range(people):
            if active[i] and whole[i, BEHAVIOUR] != STAND:
                if _scripted(i, real, whole, script, robot, clock[n], target[i]):
                    continue
                j = _leader(whole, active, i)
                near = (real[i, X] - real[j, X]) ** 2 + (
                    real[i, Y] - real[j, Y]
                ) ** 2 < LOST_M * LOST_M
                # a leader who waits or has arrived leads nowhere
                if j < i and near and whole[j, VIA] > WAITING:
                    whole[i, VIA] = -2
                    target[i, 0], target[i, 1], target[i, 2] = (
                        target[j, 0],
                        target[j, 1],
                        target[j, 2],
                    )
                    whole[i, LEG] = whole[j, LEG]
                else:
                    target[i, 0], target[i, 1], target[i, 2] = _head_for(
                        i,
                        real,
                        whole,
                        anchors[road],
                        counts[road],
                        hops[road],
                        lengths[road],
                        values,
                        ground,
                        (tick + i) % LOOK_AROUND == 0,
                        beyond,
                    )
        for sub in range(subs):
            time = clock[n] + sub * h
            for i in range(people):
                if active[i]:
                    fresh[i, 0], fresh[i, 1] = _choose(
                        i,
                        real,
                        whole,
                        active,
                        manners,
                        target,
                        robot,
                        discs[n],
                        values,
                        ground,
                        time,
                        h,
                        react,
                        lines,
                        spare,
                        order,
                        away,
                    )
            for i in range(people):
                if active[i]:
                    _move(
                        i, real, fresh[i, 0], fresh[i, 1], robot, discs[n], values, ground, h, react
                    )


@dataclass(frozen=True)
class Robots:
    """What people meet of the robots of N worlds.

    Attributes:
        poses: (N, 3) x, y, yaw. velocities: (N, 2 or more), the first columns are v, omega.
        discs: (N, D) x of the discs that cover each robot, in its frame, metres; NaN is no disc.
        disc_radius: (N,) metres.
    """

    poses: np.ndarray
    velocities: np.ndarray
    discs: np.ndarray
    disc_radius: np.ndarray


@dataclass(frozen=True)
class Walkable:
    """Where people walk in N worlds.

    Attributes:
        fields: distance fields of the plain occupancies of scenes. roadmaps: the ways on foot.
        scene_id: (N,) integer, which of both each world has.
    """

    fields: DistanceFields
    roadmaps: Roadmaps
    scene_id: np.ndarray


def step_crowd(
    people: People,
    clock: np.ndarray,
    robots: Robots,
    ground: Walkable,
    dt: float,
    react: bool = True,
    moving: np.ndarray | None = None,
    substeps: int = 1,
) -> None:
    """Moves the people of N worlds for `dt` seconds, in place.

    Everybody follows the roadmap to the goal, then back (or on to another anchor), and chooses the
    velocity nearest to the wanted one that ORCA's half-planes allow: one for each person near by
    and each disc of the robot, weighted by what their behaviours make them do (`MANNERS`), and a
    hard one for the nearest wall. Nobody steps into occupied ground, nobody exceeds 1.3 times their
    own speed, and nobody walks into the robot by their own motion; a robot that drives into their
    way hits those who do not give way. A `Script` says who waits, stays, or walks in single file.

    Args:
        people: everybody's state.
        clock: (N,) seconds since each world's episode began.
        robots: one a world. ground: where people walk.
        dt: seconds.
        react: whether people notice the robot; if not, they walk as though it were not there.
        moving: (N,) bool, worlds whose people move; all by default.
        substeps: integration steps in `dt`; steps of 0.1 s or less are stable.
    """

    def real(array: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(array, dtype=np.float64)

    fields, roadmaps = ground.fields, ground.roadmaps
    moving = np.ones(len(people.active)) if moving is None else moving
    _walk(
        people.real,
        people.whole,
        people.active,
        people.script,
        MANNERS,
        real(clock),
        real(robots.poses),
        real(robots.velocities),
        real(robots.discs),
        real(robots.disc_radius),
        fields.values,
        fields.start,
        fields.shape,
        fields.frame,
        roadmaps.anchors,
        roadmaps.count,
        roadmaps.next_hop,
        roadmaps.length,
        np.ascontiguousarray(ground.scene_id, dtype=np.int64),
        np.ascontiguousarray(moving, dtype=np.bool_),
        bool(react),
        float(dt),
        int(substeps),
    )
