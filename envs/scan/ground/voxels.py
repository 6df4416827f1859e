"""Kernels that fill voxels with Gaussians and read surfaces off the columns; `columns.py` says what
the numbers mean.
"""

import math

import numba
import numpy as np

from s2e.envs.geometry.scene import Splats

LEVELS = 256
"""Levels of a column: four words of 64 bits."""
TOPS = 6
"""Surfaces of a column that are remembered."""
SOLID = 0.5
"""Optical depth through a voxel's side from which it is solid: light is down to 0.6."""
_STRIP_BYTES = 64 << 20
_REACH = 2.0
"""Standard deviations of a Gaussian that are filled."""
_FEW = 24
"""Up to so many pieces along one axis of a Gaussian they are as short as `pitch`; more of them may
fill a voxel each."""
_LONGEST, _MOST = 1024, 1 << 20
"""Pieces along one axis, and of a whole Gaussian, at most: what is larger is too thin to be solid,
however it is cut."""
_EACH = 0.6
"""Length of a piece over the voxel's edge in its direction, at most: a sheet of them has no
gaps."""


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
    """Gaussians of each strip, in their order: strip s has `listed[starts[s] : starts[s + 1]]`;
    `starts` comes as counts' sums.
    """
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
def _count(sigma, pitch, widest):
    """How many pieces an axis is cut into: of `pitch` while these are few, then shorter than
    `widest`.
    """
    if sigma < 0.25 * pitch:
        return 1
    span = 2.0 * _REACH * sigma
    count = math.ceil(span / pitch)
    if count > _FEW:
        count = min(count, max(_FEW, math.ceil(span / widest)), _LONGEST)
    return count


@numba.njit(cache=True)
def _pieces(sigma, count, at, weight):
    """Middles of an axis's pieces and their shares of the mass."""
    if count == 1:
        at[0], weight[0] = 0.0, 1.0
        return
    total = 0.0
    for k in range(count):
        u = _REACH * (2.0 * (k + 0.5) / count - 1.0)
        at[k], weight[k] = u * sigma, math.exp(-0.5 * u * u)
        total += weight[k]
    for k in range(count):
        weight[k] /= total


@numba.njit(cache=True)
def _axes(quat, out):
    """Rotation matrix of a unit quaternion: columns are a Gaussian's axes."""
    w, x, y, z = quat[0], quat[1], quat[2], quat[3]
    out[0, 0], out[0, 1], out[0, 2] = (
        1.0 - 2.0 * (y * y + z * z),
        2.0 * (x * y - w * z),
        2.0 * (x * z + w * y),
    )
    out[1, 0], out[1, 1], out[1, 2] = (
        2.0 * (x * y + w * z),
        1.0 - 2.0 * (x * x + z * z),
        2.0 * (y * z - w * x),
    )
    out[2, 0], out[2, 1], out[2, 2] = (
        2.0 * (x * z - w * y),
        2.0 * (y * z + w * x),
        1.0 - 2.0 * (x * x + y * y),
    )


@numba.njit(cache=True, error_model="numpy")
def fill(listed, means, quats, scales, opacities, frame, pitch, row0, mass):
    """Adds Gaussians to the voxels of a strip.

    A Gaussian's mass is its optical depth times its area: 2 pi s1 s2 Li2(opacity) over its two
    larger axes, which is what a sheet of it takes away from light through its cells. It is cut into
    pieces along its axes, and each goes to the voxel it is in.

    Args:
        listed: which Gaussians.
        means, quats, scales, opacities: as `Splats`, metres.
        frame: origin x, origin y, lowest z, cell edge, level height.
        pitch: longest piece of a small Gaussian, metres; those of a large one are shorter than
            voxels.
        row0: first row of the strip.
        mass: (rows, C, LEVELS) float32, m2, filled.
    """
    rows, cols = mass.shape[0], mass.shape[1]
    at, weight, axes = np.empty((3, _LONGEST)), np.empty((3, _LONGEST)), np.empty((3, 3))
    counts = np.empty(3, np.int64)
    low, high = frame[1] + row0 * frame[3], frame[1] + (row0 + rows) * frame[3]
    for index in range(listed.shape[0]):
        g = listed[index]
        _axes(quats[g], axes)
        for a in range(3):
            flat = max(abs(axes[0, a]), abs(axes[1, a])) / frame[3]
            counts[a] = _count(scales[g, a], pitch, _EACH / max(flat, abs(axes[2, a]) / frame[4]))
        while counts[0] * counts[1] * counts[2] > _MOST:
            counts[np.argmax(counts)] //= 2
        for a in range(3):
            _pieces(scales[g, a], counts[a], at[a], weight[a])
        s0, s1, s2 = scales[g, 0], scales[g, 1], scales[g, 2]
        alpha = min(opacities[g], 1.0)
        depth = alpha * (1.0 + alpha * (0.25 + alpha * (1.0 / 9.0 + alpha * 0.0625)))
        area = 2.0 * math.pi * s0 * s1 * s2 / max(min(s0, s1, s2), 1e-12)
        # The longest axis comes first, so that most of what is not in the strip is passed over at
        # once.
        u = np.argmax(counts)
        v, w = (u + 1) % 3, (u + 2) % 3
        aside = _REACH * (scales[g, v] * abs(axes[1, v]) + scales[g, w] * abs(axes[1, w]))
        for i in range(counts[u]):
            yi = means[g, 1] + at[u, i] * axes[1, u]
            if yi + aside < low or yi - aside > high:
                continue
            xi = means[g, 0] + at[u, i] * axes[0, u] - frame[0]
            zi = means[g, 2] + at[u, i] * axes[2, u] - frame[2]
            for j in range(counts[v]):
                xj = xi + at[v, j] * axes[0, v]
                yj = yi + at[v, j] * axes[1, v] - frame[1]
                zj = zi + at[v, j] * axes[2, v]
                part = depth * area * weight[u, i] * weight[v, j]
                for k in range(counts[w]):
                    c = at[w, k]
                    row = math.floor((yj + c * axes[1, w]) / frame[3]) - row0
                    col = math.floor((xj + c * axes[0, w]) / frame[3])
                    level = math.floor((zj + c * axes[2, w]) / frame[4])
                    if 0 <= row < rows and 0 <= col < cols and 0 <= level < LEVELS:
                        mass[row, col, level] += part * weight[w, k]


@numba.njit(cache=True)
def read_columns(mass, solid_mass, frame, clearance_m, bits, tops, free):
    """Reads a strip's columns: which levels are solid, and how high the surfaces on top of solid
    runs are.

    Args:
        mass: (rows, C, LEVELS) m2.
        solid_mass: m2 in a voxel from which it is solid.
        frame: as in `fill`.
        clearance_m: the free height that somebody needs above a surface, metres.
        bits: (rows, C, 4) uint64, filled: bit k of the column is level k.
        tops: (rows, C, TOPS) float32, filled: metres, NaN beyond the last. A surface is the middle
            of the mass at the top of its run: of three levels and the one above, which for a thin
            sheet is the sheet itself, and of two where the run goes on below, so that the road
            under a pavement counts little. Where there are more, one with room above takes the
            place of the lowest without: junk beneath a ground does not crowd it out.
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
                if k + 1 < LEVELS and mass[r, c, k + 1] >= solid_mass:
                    continue
                above = k + 1
                while above < min(k + 1 + room, LEVELS) and mass[r, c, above] < solid_mass:
                    above += 1
                clear = above == min(k + 1 + room, LEVELS)
                if found == TOPS:
                    t = 0
                    while t < TOPS and (free[r, c, t] or not clear):
                        t += 1
                    if t == TOPS:
                        continue
                    for j in range(t, TOPS - 1):
                        tops[r, c, j], free[r, c, j] = tops[r, c, j + 1], free[r, c, j + 1]
                    found -= 1
                thick = (
                    k >= 3
                    and mass[r, c, k - 1] >= solid_mass
                    and mass[r, c, k - 2] >= solid_mass
                    and mass[r, c, k - 3] >= solid_mass
                )
                total, moment = 0.0, 0.0
                for j in range(max(k - (1 if thick else 2), 0), min(k + 2, LEVELS)):
                    total += mass[r, c, j]
                    moment += mass[r, c, j] * (j + 0.5)
                tops[r, c, found] = frame[2] + frame[4] * moment / total
                free[r, c, found] = clear
                found += 1


@numba.njit(cache=True)
def flood(tops, free, seed_m, step_m, jump, height, known):
    """Follows the ground from the floor's level over steps.

    Breadth first from all cells with a surface within `seed_m` of 0; a neighbour up to `jump` cells
    away whose nearest surface differs by at most `step_m` belongs to the ground too. Surfaces with
    room to stand on are followed first, so that a ramp is ground and what lies beneath it is not;
    then the rest, from the ground that was found: ground under a table, and not what lies at the
    floor's level beneath a ground that rolls. Fills height (R, C) and known (R, C).
    """
    rows, cols, count = tops.shape
    queue = np.empty(rows * cols, np.int64)
    head, tail = 0, 0
    for crowded in range(2):
        found = tail > 0
        for r in range(rows):
            for c in range(cols):
                if known[r, c] or found:
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
    """Counts solid levels between `skip_m` above a base and `clearance_m` above each cell's ground,
    and measures the room above it.

    Args:
        bits, frame: as above.
        height: (R, C) metres, the ground.
        base_height: (R, C) metres, at least that: the ground of the highest neighbour, so that a
            step's edge is no obstacle.
        skip_m, clearance_m: metres above the ground.
        solid: (R, C) int32, filled.
        overhead: (R, C) float32, filled: metres to the underside of the first solid level above
            `skip_m`, infinite if there is none.
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
    """Solid levels (R, C, 4) uint64, surfaces (R, C, TOPS) metres and which have room above (R, C,
    TOPS) of all columns, by strips.

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
        np.ascontiguousarray(a, dtype=np.float32)
        for a in (splats.means, splats.quats, splats.scales, splats.opacities)
    )
    first, last = np.empty(len(means), dtype=np.int32), np.empty(len(means), dtype=np.int32)
    row_ranges(means, scales, frame[1], resolution, rows, strip_rows, first, last)
    starts = np.zeros(strips + 1, dtype=np.int64)
    count_strips(first, last, starts)
    starts = np.cumsum(starts)
    listed = np.empty(starts[-1], dtype=np.int32)
    list_strips(first, last, starts, listed)
    bits = np.zeros((rows, cols, LEVELS // 64), dtype=np.uint64)
    tops, free = (
        np.empty((rows, cols, TOPS), dtype=np.float32),
        np.empty((rows, cols, TOPS), dtype=np.bool_),
    )
    solid_mass = SOLID * resolution * min(frame[4], resolution)
    pitch = 0.6 * min(frame[4], resolution)
    mass = np.empty((strip_rows, cols, LEVELS), dtype=np.float32)
    for s in range(strips):
        row0, row1 = s * strip_rows, min((s + 1) * strip_rows, rows)
        part = mass[: row1 - row0]
        part[:] = 0.0
        fill(
            listed[starts[s] : starts[s + 1]],
            means,
            quats,
            scales,
            opacities,
            frame,
            pitch,
            row0,
            part,
        )
        read_columns(
            part, solid_mass, frame, clearance_m, bits[row0:row1], tops[row0:row1], free[row0:row1]
        )
    return bits, tops, free
