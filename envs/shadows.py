"""Shadows of the sun on flat rectangles: outlines of convex things, projected along the light and cut to the rectangle."""

import numba
import numpy as np

MOST = 24
"""Corners of a polygon while it is cut."""


@numba.njit(cache=True, error_model="numpy")
def _outline(points, count, order, out):
    """Convex outline (monotone chain, Andrew 1979) of `points` (count, 2), counter-clockwise, into `out`."""
    for i in range(count):
        order[i] = i
    for i in range(1, count):
        k, j = order[i], i - 1
        while j >= 0 and (
            points[order[j], 0] > points[k, 0] or (points[order[j], 0] == points[k, 0] and points[order[j], 1] > points[k, 1])
        ):
            order[j + 1] = order[j]
            j -= 1
        order[j + 1] = k
    n = 0
    for half in range(2):
        least = n + 1 if half else 2
        for step in range(count):
            if half and step == 0:
                continue
            k = order[count - 1 - step] if half else order[step]
            while n >= least:
                ax, ay = out[n - 1, 0] - out[n - 2, 0], out[n - 1, 1] - out[n - 2, 1]
                if ax * (points[k, 1] - out[n - 2, 1]) - ay * (points[k, 0] - out[n - 2, 0]) > 1e-9:
                    break
                n -= 1
            out[n, 0], out[n, 1] = points[k, 0], points[k, 1]
            n += 1
    return n - 1


@numba.njit(cache=True, error_model="numpy")
def _cut(poly, n, spare, axis, bound, sign):
    """Cuts a convex polygon to the side of `bound` along an axis (Sutherland and Hodgman 1974), in place."""
    m = 0
    for i in range(n):
        j = i + 1 if i + 1 < n else 0
        a, b = sign * (poly[i, axis] - bound), sign * (poly[j, axis] - bound)
        if a >= 0:
            spare[m, 0], spare[m, 1] = poly[i, 0], poly[i, 1]
            m += 1
        if (a >= 0) != (b >= 0):
            t = a / (a - b)
            spare[m, 0] = poly[i, 0] + t * (poly[j, 0] - poly[i, 0])
            spare[m, 1] = poly[i, 1] + t * (poly[j, 1] - poly[i, 1])
            m += 1
    for i in range(m):
        poly[i, 0], poly[i, 1] = spare[i, 0], spare[i, 1]
    return m


@numba.njit(cache=True, error_model="numpy")
def _inside(poly, n, around, m):
    """Whether a convex polygon lies in another, counter-clockwise one."""
    for j in range(m):
        k = j + 1 if j + 1 < m else 0
        ax, ay = around[k, 0] - around[j, 0], around[k, 1] - around[j, 1]
        for i in range(n):
            if ax * (poly[i, 1] - around[j, 1]) - ay * (poly[i, 0] - around[j, 0]) < -1e-6:
                return False
    return True


@numba.njit(cache=True, error_model="numpy")
def _project(points, frame, sun, facing, flat):
    """Points along the sun's light onto a rectangle's plane, in its own coordinates, into `flat`.

    Returns how far below and above the plane points are, and the bounds of their shadow.
    """
    o, u, v, n = frame[0], frame[1], frame[2], frame[3]
    uu, uv, vv = (
        u[0] * u[0] + u[1] * u[1] + u[2] * u[2],
        u[0] * v[0] + u[1] * v[1] + u[2] * v[2],
        v[0] * v[0] + v[1] * v[1] + v[2] * v[2],
    )
    det = uu * vv - uv * uv
    lowest, highest, x0, x1, y0, y1 = 1e9, -1e9, 1e9, -1e9, 1e9, -1e9
    for k in range(len(points)):
        p = points[k]
        dx, dy, dz = p[0] - o[0], p[1] - o[1], p[2] - o[2]
        above = dx * n[0] + dy * n[1] + dz * n[2]
        lowest, highest = min(lowest, above), max(highest, above)
        t = above / facing
        dx, dy, dz = dx - t * sun[0], dy - t * sun[1], dz - t * sun[2]
        a, b = dx * u[0] + dy * u[1] + dz * u[2], dx * v[0] + dy * v[1] + dz * v[2]
        x, y = (a * vv - b * uv) / det, (b * uu - a * uv) / det
        flat[k, 0], flat[k, 1] = x, y
        x0, x1, y0, y1 = min(x0, x), max(x1, x), min(y0, y), max(y1, y)
    return lowest, highest, x0, x1, y0, y1


@numba.njit(cache=True, error_model="numpy")
def cast(frames, sizes, deepest, points, starts, sun, room):
    """Every shadow on every rectangle; a shadow that lies in one of an earlier caster is left out.

    Args:
        frames: (R, 4, 3) corner, first edge's direction, second edge's direction, normal, of each rectangle; the
            directions are unit vectors but need not be at right angles to z.
        sizes: (R, 2) lengths of the edges, metres.
        deepest: (R,) how far below the rectangle's plane a caster may reach (the ground cuts into things that stand
            beside a kerb, a wall hides what is behind it), metres.
        points: (N, 3) corners of all casters.
        starts: (C + 1,) caster c owns points `starts[c]` to `starts[c + 1]`; its convex hull is solid.
        sun: (3,) unit direction towards the sun.
        room: how many polygons may be returned.

    Returns:
        Number of polygons found (more than `room`: call again with more), rectangle of each (room,), corners of each
        (room,), and corners (room, MOST, 2) along the rectangle's edges, metres, counter-clockwise.
    """
    owner, corners = np.zeros(room, np.int32), np.zeros(room, np.int32)
    polygons = np.zeros((room, MOST, 2))
    longest = 0
    for c in range(len(starts) - 1):
        longest = max(longest, starts[c + 1] - starts[c])
    flat, order, out = np.empty((longest, 2)), np.empty(longest, np.int64), np.empty((2 * longest + 2, 2))
    spare, found = np.empty((2 * longest + 12, 2)), 0
    for r in range(len(frames)):
        n = frames[r, 3]
        facing = n[0] * sun[0] + n[1] * sun[1] + n[2] * sun[2]
        if facing < 0.03:
            continue
        begin = found
        for c in range(len(starts) - 1):
            count = starts[c + 1] - starts[c]
            lowest, highest, x0, x1, y0, y1 = _project(points[starts[c] : starts[c + 1]], frames[r], sun, facing, flat)
            if highest < 0.05 or lowest < -deepest[r] or x1 < 0 or y1 < 0 or x0 > sizes[r, 0] or y0 > sizes[r, 1]:
                continue
            m = _outline(flat, count, order, out)
            m = _cut(out, m, spare, 0, 0.0, 1.0)
            m = _cut(out, m, spare, 0, sizes[r, 0], -1.0)
            m = _cut(out, m, spare, 1, 0.0, 1.0)
            m = _cut(out, m, spare, 1, sizes[r, 1], -1.0)
            area = 0.0
            for k in range(1, m - 1):
                ax, ay = out[k, 0] - out[0, 0], out[k, 1] - out[0, 1]
                area += 0.5 * (ax * (out[k + 1, 1] - out[0, 1]) - ay * (out[k + 1, 0] - out[0, 0]))
            if m < 3 or m > MOST or area < 0.004:
                continue
            hidden = False
            for k in range(begin, min(found, room)):
                if _inside(out, m, polygons[k], corners[k]):
                    hidden = True
                    break
            if hidden:
                continue
            if found < room:
                owner[found], corners[found] = r, m
                for k in range(m):
                    polygons[found, k, 0], polygons[found, k, 1] = out[k, 0], out[k, 1]
            found += 1
    return found, owner, corners, polygons


@numba.njit(cache=True, error_model="numpy")
def tile(index, out, edges):
    """Cuts a map of patches into rectangles and finds where two patches meet.

    Args:
        index: (Y, X) int32, which patch each cell of uneven size shows; -1 is none.
        out: (M, 5) int32, receives patch, x0, y0, x1, y1 of rectangles in cells.
        edges: (K, 6) int32, receives axis (0: a line along x between two rows, 1: along y), line, from, to,
            patch before the line, patch behind it.

    Returns:
        Numbers of rectangles and of edges.
    """
    rows, columns = index.shape
    done = np.zeros((rows, columns), np.bool_)
    count = 0
    for y in range(rows):
        for x in range(columns):
            patch = index[y, x]
            if patch < 0 or done[y, x]:
                continue
            x1 = x + 1
            while x1 < columns and index[y, x1] == patch and not done[y, x1]:
                x1 += 1
            y1 = y + 1
            while y1 < rows:
                same = True
                for k in range(x, x1):
                    same = same and index[y1, k] == patch and not done[y1, k]
                if not same:
                    break
                y1 += 1
            done[y:y1, x:x1] = True
            row = out[count]
            row[0], row[1], row[2], row[3], row[4] = patch, x, y, x1, y1
            count += 1
    found = 0
    for axis in range(2):
        lines, along = (rows, columns) if axis == 0 else (columns, rows)
        for line in range(1, lines):
            k = 0
            while k < along:
                a, b = (index[line - 1, k], index[line, k]) if axis == 0 else (index[k, line - 1], index[k, line])
                start = k
                k += 1
                if a == b or a < 0 or b < 0:
                    continue
                while k < along:
                    c, d = (index[line - 1, k], index[line, k]) if axis == 0 else (index[k, line - 1], index[k, line])
                    if c != a or d != b:
                        break
                    k += 1
                edge = edges[found]
                edge[0], edge[1], edge[2], edge[3], edge[4], edge[5] = axis, line, start, k, a, b
                found += 1
    return count, found
