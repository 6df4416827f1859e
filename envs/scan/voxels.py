"""Kernels that fill voxels with Gaussians and read surfaces off the columns; `columns.py` says what the numbers mean."""

import math

import numba
import numpy as np

from s2e.envs.scene import Splats

LEVELS = 256
"""Levels of a column: four words of 64 bits."""
TOPS = 6
"""Surfaces of a column that are remembered, from the lowest."""
SOLID = 0.5
"""Optical depth through a voxel's side from which it is solid: light is down to 0.6."""
_STRIP_BYTES = 64 << 20
_REACH = 2.0
"""Standard deviations of a Gaussian that are filled."""
_MOST = 24
"""Pieces along one axis of a Gaussian, at most: larger ones are too thin to be solid, however they are cut."""


@numba.njit(cache=True)
def row_ranges(means, scales, origin_y, resolution, rows, strip_rows, first, last):
    """The strips that each Gaussian reaches, by its largest axis; `first` > `last` where none."""
    for g in range(means.shape[0]):
        reach = _REACH * max(scales[g, 0], scales[g, 1], scales[g, 2])
        low = math.floor((means[g, 1] - reach - origin_y) / resolution)
        high = math.floor((means[g, 1] + reach - origin_y) / resolution)
        if high < 0 or low >= rows:
            first[g], last[g] = 1, 0
        else:
            first[g], last[g] = max(low, 0) // strip_rows, min(high, rows - 1) // strip_rows


@numba.njit(cache=True)
def list_strips(first, last, starts, listed):
    """Gaussians of each strip, in their order: strip s has `listed[starts[s] : starts[s + 1]]`; `starts` comes as counts' sums."""
    at = starts.copy()
    for g in range(first.shape[0]):
        for s in range(first[g], last[g] + 1):
            listed[at[s]] = g
            at[s] += 1


@numba.njit(cache=True)
def count_strips(first, last, counts):
    """Adds up how many Gaussians reach each strip, into `counts[s + 1]`."""
    for g in range(first.shape[0]):
        for s in range(first[g], last[g] + 1):
            counts[s + 1] += 1


@numba.njit(cache=True)
def _pieces(sigma, pitch, at, weight):
    """Cuts an axis into pieces no longer than `pitch`: their middles and their shares of the mass; returns how many."""
    if sigma < 0.25 * pitch:
        at[0], weight[0] = 0.0, 1.0
        return 1
    count = min(math.ceil(2.0 * _REACH * sigma / pitch), _MOST)
    total = 0.0
    for k in range(count):
        u = _REACH * (2.0 * (k + 0.5) / count - 1.0)
        at[k], weight[k] = u * sigma, math.exp(-0.5 * u * u)
        total += weight[k]
    for k in range(count):
        weight[k] /= total
    return count


@numba.njit(cache=True, error_model="numpy")
def fill(listed, means, quats, scales, opacities, frame, pitch, row0, mass):
    """Adds Gaussians to the voxels of a strip.

    A Gaussian's mass is its optical depth times its area: 2 pi s1 s2 Li2(opacity) over its two larger axes, which is what a sheet
    of it takes away from light through its cells. It is cut into pieces along its axes, and each goes to the voxel it is in.

    Args:
        listed: which Gaussians.
        means, quats, scales, opacities: as `Splats`, metres.
        frame: origin x, origin y, lowest z, cell edge, level height.
        pitch: longest piece, metres.
        row0: first row of the strip.
        mass: (rows, C, LEVELS) float32, m2, filled.
    """
    rows, cols = mass.shape[0], mass.shape[1]
    at, weight = np.empty((3, _MOST)), np.empty((3, _MOST))
    for index in range(listed.shape[0]):
        g = listed[index]
        w, x, y, z = quats[g, 0], quats[g, 1], quats[g, 2], quats[g, 3]
        s0, s1, s2 = scales[g, 0], scales[g, 1], scales[g, 2]
        alpha = min(opacities[g], 1.0)
        depth = alpha * (1.0 + alpha * (0.25 + alpha * (1.0 / 9.0 + alpha * 0.0625)))
        area = 2.0 * math.pi * s0 * s1 * s2 / max(min(s0, s1, s2), 1e-12)
        n0, n1, n2 = _pieces(s0, pitch, at[0], weight[0]), _pieces(s1, pitch, at[1], weight[1]), _pieces(s2, pitch, at[2], weight[2])
        for i in range(n0):
            a = at[0, i]
            xi = means[g, 0] + a * (1.0 - 2.0 * (y * y + z * z)) - frame[0]
            yi = means[g, 1] + a * 2.0 * (x * y + w * z) - frame[1]
            zi = means[g, 2] + a * 2.0 * (x * z - w * y) - frame[2]
            for j in range(n1):
                b = at[1, j]
                xj = xi + b * 2.0 * (x * y - w * z)
                yj = yi + b * (1.0 - 2.0 * (x * x + z * z))
                zj = zi + b * 2.0 * (y * z + w * x)
                part = depth * area * weight[0, i] * weight[1, j]
                for k in range(n2):
                    c = at[2, k]
                    row = math.floor((yj + c * 2.0 * (y * z - w * x)) / frame[3]) - row0
                    col = math.floor((xj + c * 2.0 * (x * z + w * y)) / frame[3])
                    level = math.floor((zj + c * (1.0 - 2.0 * (x * x + y * y))) / frame[4])
                    if 0 <= row < rows and 0 <= col < cols and 0 <= level < LEVELS:
                        mass[row, col, level] += part * weight[2, k]


@numba.njit(cache=True)
def read_columns(mass, solid_mass, frame, clearance_m, bits, tops, free):
    """Reads a strip's columns: which levels are solid, and how high the surfaces on top of solid runs are.

    Args:
        mass: (rows, C, LEVELS) m2.
        solid_mass: m2 in a voxel from which it is solid.
        frame: as in `fill`.
        clearance_m: the free height that somebody needs above a surface, metres.
        bits: (rows, C, 4) uint64, filled: bit k of the column is level k.
        tops: (rows, C, TOPS) float32, filled: metres, NaN beyond the last. A surface is the middle
            of the mass at the top of its run: of three levels and the one above, which for a thin sheet is the sheet itself, and of
            two where the run goes on below, so that the road under a pavement counts little.
        free: (rows, C, TOPS) bool, filled: which surfaces have that free height.
    """
    room = int(clearance_m / frame[4])
    for r in range(mass.shape[0]):
        for c in range(mass.shape[1]):
            found = 0
            for t in range(TOPS):
                tops[r, c, t], free[r, c, t] = np.nan, False
            for k in range(LEVELS):
                if mass[r, c, k] < solid_mass:
                    continue
                bits[r, c, k >> 6] |= np.uint64(1) << np.uint64(k & 63)
                if (k + 1 < LEVELS and mass[r, c, k + 1] >= solid_mass) or found == TOPS:
                    continue
                thick = (
                    k >= 3 and mass[r, c, k - 1] >= solid_mass and mass[r, c, k - 2] >= solid_mass and mass[r, c, k - 3] >= solid_mass
                )
                total, moment = 0.0, 0.0
                for j in range(max(k - (1 if thick else 2), 0), min(k + 2, LEVELS)):
                    total += mass[r, c, j]
                    moment += mass[r, c, j] * (j + 0.5)
                tops[r, c, found] = frame[2] + frame[4] * moment / total
                above = k + 1
                while above < min(k + 1 + room, LEVELS) and mass[r, c, above] < solid_mass:
                    above += 1
                free[r, c, found] = above == min(k + 1 + room, LEVELS)
                found += 1


@numba.njit(cache=True)
def flood(tops, free, seed_m, step_m, jump, height, known):
    """Follows the ground from the floor's level over steps.

    Breadth first from all cells with a surface within `seed_m` of 0; a neighbour up to `jump` cells away whose nearest surface
    differs by at most `step_m` belongs to the ground too. Surfaces with room to stand on are followed first, so that a ramp is
    ground and what lies beneath it is not; then the rest: ground under a table. Fills height (R, C) and known (R, C).
    """
    rows, cols, count = tops.shape
    queue = np.empty(rows * cols, np.int64)
    head, tail = 0, 0
    for crowded in range(2):
        for r in range(rows):
            for c in range(cols):
                if known[r, c]:
                    continue
                best = seed_m
                for t in range(count):
                    if abs(tops[r, c, t]) <= best and (free[r, c, t] or crowded == 1):
                        best = abs(tops[r, c, t])
                        height[r, c], known[r, c] = tops[r, c, t], True
                if known[r, c]:
                    queue[tail] = r * cols + c
                    tail += 1
        head = 0
        while head < tail:
            r, c = queue[head] // cols, queue[head] % cols
            head += 1
            for dr in range(-jump, jump + 1):
                for dc in range(-jump, jump + 1):
                    i, j = r + dr, c + dc
                    if not (0 <= i < rows and 0 <= j < cols) or known[i, j]:
                        continue
                    best = step_m
                    for t in range(count):
                        rise = abs(tops[i, j, t] - height[r, c])
                        if rise <= best and (free[i, j, t] or crowded == 1):
                            best = rise
                            height[i, j], known[i, j] = tops[i, j, t], True
                    if known[i, j]:
                        queue[tail] = i * cols + j
                        tail += 1


@numba.njit(cache=True)
def look_up(bits, height, base_height, frame, skip_m, clearance_m, solid, overhead):
    """Counts solid levels between `skip_m` above a base and `clearance_m` above each cell's ground, and measures the room above it.

    Args:
        bits, frame: as above.
        height: (R, C) metres, the ground.
        base_height: (R, C) metres, at least that: the ground of the highest neighbour, so that a step's edge is no obstacle.
        skip_m, clearance_m: metres above the ground.
        solid: (R, C) int32, filled.
        overhead: (R, C) float32, filled: metres to the underside of the first solid level above `skip_m`, infinite if there is none.
    """
    for r in range(height.shape[0]):
        for c in range(height.shape[1]):
            base = (height[r, c] - frame[2]) / frame[4]
            low = max(math.ceil((base_height[r, c] + skip_m - frame[2]) / frame[4] - 1e-6), 0)
            high = base + clearance_m / frame[4]
            overhead[r, c] = np.inf
            solid[r, c] = 0
            for k in range(low, LEVELS):
                if bits[r, c, k >> 6] >> np.uint64(k & 63) & np.uint64(1):
                    if overhead[r, c] == np.inf:
                        overhead[r, c] = (k - base) * frame[4]
                    if k < high - 1e-6:
                        solid[r, c] += 1
                    else:
                        break


def voxelise(
    splats: Splats, frame: np.ndarray, shape: tuple[int, int], clearance_m: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Solid levels (R, C, 4) uint64, surfaces (R, C, TOPS) metres and which have room above (R, C, TOPS) of all columns, by strips.

    Args:
        splats: placed, z up.
        frame: as in `fill`.
        shape: rows and columns of the grid.
        clearance_m: the free height that somebody needs above a surface, metres.
    """
    rows, cols = shape
    resolution = frame[3]
    strip_rows = int(np.clip(_STRIP_BYTES // (cols * LEVELS * 4), 1, rows))
    strips = (rows + strip_rows - 1) // strip_rows
    means, quats, scales, opacities = (
        np.ascontiguousarray(a, dtype=np.float32) for a in (splats.means, splats.quats, splats.scales, splats.opacities)
    )
    first, last = np.empty(len(means), dtype=np.int32), np.empty(len(means), dtype=np.int32)
    row_ranges(means, scales, frame[1], resolution, rows, strip_rows, first, last)
    starts = np.zeros(strips + 1, dtype=np.int64)
    count_strips(first, last, starts)
    starts = np.cumsum(starts)
    listed = np.empty(starts[-1], dtype=np.int32)
    list_strips(first, last, starts, listed)
    bits = np.zeros((rows, cols, LEVELS // 64), dtype=np.uint64)
    tops, free = np.empty((rows, cols, TOPS), dtype=np.float32), np.empty((rows, cols, TOPS), dtype=np.bool_)
    solid_mass = SOLID * resolution * min(frame[4], resolution)
    pitch = 0.6 * min(frame[4], resolution)
    mass = np.empty((strip_rows, cols, LEVELS), dtype=np.float32)
    for s in range(strips):
        row0, row1 = s * strip_rows, min((s + 1) * strip_rows, rows)
        part = mass[: row1 - row0]
        part[:] = 0.0
        fill(listed[starts[s] : starts[s + 1]], means, quats, scales, opacities, frame, pitch, row0, part)
        read_columns(part, solid_mass, frame, clearance_m, bits[row0:row1], tops[row0:row1], free[row0:row1])
    return bits, tops, free
