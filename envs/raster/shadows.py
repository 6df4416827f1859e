"""Shadows of the sun on flat rectangles: outlines of convex things, projected along the light and
cut to the rectangle.
"""

from itertools import pairwise

import numba
import numpy as np

MOST = 24
"""Corners of a polygon while it is cut."""


@numba.njit(cache=True, error_model="numpy")
def _outline(points, count, order, out):
    """Convex outline (monotone chain, Andrew 1979) of `points` (count, 2), counter-clockwise, into
    `out`.
    """
    for i in range(count):
        order[i] = i
    for i in range(1, count):
        k, j = order[i], i - 1
        while j >= 0 and (
            points[order[j], 0] > points[k, 0]
            or (points[order[j], 0] == points[k, 0] and points[order[j], 1] > points[k, 1])
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
def _cut(poly, n, spare, size):
    """Cuts a convex polygon to the rectangle from (0, 0) to `size` (Sutherland and Hodgman 1974),
    in place.
    """
    for side in range(4):
        axis = side // 2
        sign = 1.0 - 2.0 * (side % 2)
        bound = size[axis] * (side % 2)
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
        n = m
        for i in range(n):
            poly[i, 0], poly[i, 1] = spare[i, 0], spare[i, 1]
    return n


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
def _outlines(flat, first, owner, sizes, corners, polygons):
    """Outlines of projected things (`flat`, thing k from `first[k]`), cut to their rectangles;
    fills the last two.

    A thing's number of corners stays 0 where nothing of it is on the rectangle or an earlier shadow
    there covers it.
    """
    longest = 0
    for k in range(len(owner)):
        longest = max(longest, first[k + 1] - first[k])
    order, out, spare = (
        np.empty(longest, np.int64),
        np.empty((2 * longest + 12, 2)),
        np.empty((2 * longest + 12, 2)),
    )
    begin = 0
    for k in range(len(owner)):
        if k > 0 and owner[k] != owner[k - 1]:
            begin = k
        m = _outline(flat[first[k] : first[k + 1]], first[k + 1] - first[k], order, out)
        m = _cut(out, m, spare, sizes[owner[k]])
        area = 0.0
        for i in range(1, m - 1):
            ax, ay = out[i, 0] - out[0, 0], out[i, 1] - out[0, 1]
            area += 0.5 * (ax * (out[i + 1, 1] - out[0, 1]) - ay * (out[i + 1, 0] - out[0, 0]))
        hidden = m < 3 or m > MOST or area < 0.004
        for j in range(begin, k):
            hidden = hidden or (corners[j] > 0 and _inside(out, m, polygons[j], corners[j]))
        if not hidden:
            corners[k] = m
            for i in range(m):
                polygons[k, i, 0], polygons[k, i, 1] = out[i, 0], out[i, 1]


def cast(
    frames: np.ndarray,
    sizes: np.ndarray,
    deepest: np.ndarray,
    points: np.ndarray,
    starts: np.ndarray,
    sun: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Every shadow on every rectangle; a shadow that lies in one of an earlier caster is left out.

    Args:
        frames: (R, 4, 3) corner, first edge's direction, second edge's direction, normal, of each
            rectangle; the directions are unit vectors at right angles.
        sizes: (R, 2) lengths of the edges, metres.
        deepest: (R,) how far below the rectangle's plane a caster may reach (the ground cuts into
            things that stand beside a kerb, a wall hides what is behind it), metres.
        points: (N, 3) corners of all casters.
        starts: (C + 1,) caster c owns points `starts[c]` to `starts[c + 1]`; its convex hull is
            solid.
        sun: (3,) unit direction towards the sun.

    Returns:
        Rectangle of each shadow (K,), its number of corners (K,), and the corners (K, MOST, 2)
        along the rectangle's edges, metres, counter-clockwise.
    """
    owner, flats, counts = [], [], []
    begin = starts[:-1]
    for r, (corner, u, v, normal) in enumerate(frames):
        facing = normal @ sun
        if facing < 0.03:
            continue
        away = points - corner
        above = away @ normal
        away -= (above / facing)[:, None] * sun
        flat = np.stack([away @ u, away @ v], 1)
        low, high = np.minimum.reduceat(flat, begin), np.maximum.reduceat(flat, begin)
        keep = (np.maximum.reduceat(above, begin) >= 0.05) & (
            np.minimum.reduceat(above, begin) >= -deepest[r]
        )
        keep &= (high > 0).all(1) & (low < sizes[r]).all(1)
        for c in np.flatnonzero(keep):
            owner.append(r)
            flats.append(flat[starts[c] : starts[c + 1]])
            counts.append(starts[c + 1] - starts[c])
    if not owner:
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64), np.zeros((0, MOST, 2))
    owners, corners, polygons = (
        np.array(owner),
        np.zeros(len(owner), dtype=np.int64),
        np.zeros((len(owner), MOST, 2)),
    )
    _outlines(
        np.concatenate(flats),
        np.cumsum([0, *counts]),
        owners,
        np.asarray(sizes, dtype=np.float64),
        corners,
        polygons,
    )
    kept = corners > 0
    return owners[kept], corners[kept], polygons[kept]


def tile(
    index: np.ndarray,
) -> tuple[list[tuple[int, int, int, int, int]], list[tuple[int, int, int, int, int, int]]]:
    """Cuts a map of patches into rectangles and finds where two patches meet.

    Args:
        index: (Y, X) int, which patch each cell of uneven size shows; -1 is none.

    Returns:
        Rectangles (patch, x0, y0, x1, y1) in cells; and edges (axis, line, from, to, patch before
        the line, patch behind it), where axis 0 is a line along x between two rows and 1 one along
        y.
    """
    rectangles, open_runs = [], {}
    for y, row in enumerate([*index, np.full(index.shape[1], -1)]):
        ends = np.flatnonzero(np.diff(row, prepend=-2, append=-2))
        runs = {(int(a), int(b), int(row[a])): y for a, b in pairwise(ends) if row[a] >= 0}
        for run, start in open_runs.items():
            if run in runs:
                runs[run] = start
            else:
                rectangles.append((run[2], run[0], start, run[1], y))
        open_runs = runs
    edges = []
    for axis, cells in ((0, index), (1, index.T)):
        for line in range(1, len(cells)):
            before, behind = cells[line - 1], cells[line]
            pair = np.where(
                (before != behind) & (before >= 0) & (behind >= 0),
                before * (int(index.max()) + 1) + behind,
                -1,
            )
            ends = np.flatnonzero(np.diff(pair, prepend=-2, append=-2))
            edges += [
                (axis, line, int(a), int(b), int(before[a]), int(behind[a]))
                for a, b in pairwise(ends)
                if pair[a] >= 0
            ]
    return rectangles, edges
