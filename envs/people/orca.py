"""ORCA in numba: van den Berg, Guy, Lin and Manocha 2011, "Reciprocal n-body collision avoidance".

A half-plane of velocities is a row (nx, ny, c) with unit normal n: v is allowed where v . n >= c.
"""

import math
from typing import Any

import numba

INNER: dict[str, Any] = {
    "cache": True,
    "error_model": "numpy",
    "no_cpython_wrapper": True,
    "no_cfunc_wrapper": True,
}
"""Numba's settings for functions that only kernels call: without doors to Python they compile in
two thirds of the time."""

FAR = 1e9  # the velocity nearest to a point that far away is the one farthest in its direction
PARALLEL = 1e-5  # sine of the angle under which two lines count as parallel


@numba.njit(cache=True, error_model="numpy")
def half_plane(px, py, wx, wy, radii, horizon, dt):
    """What keeps one disc out of another for `horizon` seconds (section 4 of the paper).

    Args:
        px, py: the other's position from here, metres.
        wx, wy: own velocity relative to the other's, m/s.
        radii: sum of both radii, metres.
        horizon: seconds; discs that overlap already are to part within `dt` seconds instead.
        dt: seconds.

    Returns:
        nx, ny, short: the outward normal where the velocity obstacle's boundary is nearest to w,
            and how far w has to go
        along it to leave the obstacle (negative: how far it is outside), m/s.
    """
    dist2 = px * px + py * py
    overlap = dist2 <= radii * radii
    inverse = 1.0 / dt if overlap else 1.0 / horizon
    # from the centre of the disc that cuts the cone off
    cx, cy = wx - inverse * px, wy - inverse * py
    along = cx * px + cy * py
    length2 = cx * cx + cy * cy
    if overlap or (along < 0.0 and along * along > radii * radii * length2):
        length = math.sqrt(length2)
        if length < 1e-12:  # at the very centre every way out is as far
            scale = 1.0 / max(math.sqrt(dist2), 1e-12)
            return -px * scale, -py * scale, radii * inverse
        return cx / length, cy / length, radii * inverse - length
    leg = math.sqrt(dist2 - radii * radii)
    # left leg: p turned left by the cone's half angle, its normal another quarter turn
    if px * cy - py * cx > 0.0:
        nx, ny = -(px * radii + py * leg) / dist2, (px * leg - py * radii) / dist2
    else:
        nx, ny = (py * leg - px * radii) / dist2, -(px * leg + py * radii) / dist2
    return nx, ny, -(wx * nx + wy * ny)


@numba.njit(**INNER)
def _on_line(lines, i, limit, px, py):
    """The velocity on line i, within `limit` and lines 0..i-1, nearest to p; found, x, y."""
    nx, ny, c = lines[i, 0], lines[i, 1], lines[i, 2]
    room = limit * limit - c * c
    if room < 0.0:
        return False, 0.0, 0.0
    tx, ty = ny, -nx
    high = math.sqrt(room)
    low = -high
    for j in range(i):
        slope = tx * lines[j, 0] + ty * lines[j, 1]
        need = lines[j, 2] - c * (nx * lines[j, 0] + ny * lines[j, 1])
        if abs(slope) <= PARALLEL:
            if need > 0.0:
                return False, 0.0, 0.0
            continue
        if slope > 0.0:
            low = max(low, need / slope)
        else:
            high = min(high, need / slope)
        if low > high:
            return False, 0.0, 0.0
    s = px * tx + py * ty
    s = min(max(s, low), high)
    return True, c * nx + s * tx, c * ny + s * ty


@numba.njit(**INNER)
def _in_plane(lines, count, limit, px, py):
    """The two-dimensional program: as `_on_line` in all half-planes; x, y, and the first line it
    failed at (or count).
    """
    x, y = px, py
    norm = math.sqrt(px * px + py * py)
    if norm > limit:
        x, y = px * limit / norm, py * limit / norm
    for i in range(count):
        if x * lines[i, 0] + y * lines[i, 1] < lines[i, 2]:
            found, at_x, at_y = _on_line(lines, i, limit, px, py)
            if not found:
                return x, y, i
            x, y = at_x, at_y
    return x, y, count


@numba.njit(cache=True, error_model="numpy")
def best_velocity(lines, count, hard, limit, px, py, scratch):
    """The velocity nearest to p that all half-planes allow, or the one that violates the worst of
    them least.

    Args:
        lines: (M, 3) half-planes, nearest neighbours first. count: how many there are.
        hard: the first `hard` of them are never relaxed.
        limit: top speed, m/s.
        px, py: preferred velocity, m/s.
        scratch: (M, 3), overwritten.

    Returns:
        x, y of the velocity, m/s.
    """
    x, y, failed = _in_plane(lines, count, limit, px, py)
    worst = 0.0
    # Section 5.3: all soft lines give way by the same, least amount; line i is the worst where the
    # others give way less.
    for i in range(failed, count):
        nx, ny, c = lines[i, 0], lines[i, 1], lines[i, 2]
        if c - x * nx - y * ny <= worst:
            continue
        kept = hard
        for j in range(hard):
            scratch[j, 0], scratch[j, 1], scratch[j, 2] = lines[j, 0], lines[j, 1], lines[j, 2]
        for j in range(hard, i):
            mx, my = lines[j, 0] - nx, lines[j, 1] - ny
            norm = math.sqrt(mx * mx + my * my)
            if norm > PARALLEL:
                scratch[kept, 0], scratch[kept, 1], scratch[kept, 2] = (
                    mx / norm,
                    my / norm,
                    (lines[j, 2] - c) / norm,
                )
                kept += 1
        at_x, at_y, stopped = _in_plane(scratch, kept, limit, FAR * nx, FAR * ny)
        if stopped == kept:
            x, y = at_x, at_y
        worst = c - x * nx - y * ny
    return x, y


@numba.njit(**INNER)
def nearest_first(positions, active, i, reach, order, away):
    """Who stands within `reach` of i: numbers into `order`, nearest first, squared distances into
    `away`; how many.

    The first two columns of `positions` (P, 2 or more) are x and y.
    """
    count = 0
    for j in range(positions.shape[0]):
        if j == i or not active[j]:
            continue
        dx, dy = positions[j, 0] - positions[i, 0], positions[j, 1] - positions[i, 1]
        dist2 = dx * dx + dy * dy
        if dist2 >= reach * reach:
            continue
        k = count
        while k > 0 and away[k - 1] > dist2:
            away[k], order[k] = away[k - 1], order[k - 1]
            k -= 1
        away[k], order[k] = dist2, j
        count += 1
    return count
