"""Numba kernels that march rays through a voxel grid; each Gaussian is one loop of its own, so
threads do not change results.
"""

import numba
import numpy as np


@numba.njit(cache=True, error_model="numpy")
def blocked(grid, x, y, z, dx, dy, dz, reach, step):
    """Whether a voxel is set within `reach` of a point along a unit direction; all in units of
    voxels from the grid's corner.
    """
    count = int(reach / step)
    for k in range(1, count + 1):
        i, j, m = (
            int(np.floor(x + dx * step * k)),
            int(np.floor(y + dy * step * k)),
            int(np.floor(z + dz * step * k)),
        )
        if (
            i < 0
            or j < 0
            or m < 0
            or i >= grid.shape[0]
            or j >= grid.shape[1]
            or m >= grid.shape[2]
        ):
            return False
        if grid[i, j, m]:
            return True
    return False


@numba.njit(cache=True, parallel=True, error_model="numpy")
def sun_share(grid, start, directions, reach, step):
    """(n,) float64: share of the directions (K, 3) in which a point sees the sun."""
    out = np.zeros(len(start))
    for n in numba.prange(len(start)):
        seen = 0
        for k in range(len(directions)):
            d = directions[k]
            if not blocked(
                grid, start[n, 0], start[n, 1], start[n, 2], d[0], d[1], d[2], reach, step
            ):
                seen += 1
        out[n] = seen / len(directions)
    return out


@numba.njit(cache=True, parallel=True, error_model="numpy")
def sky_share(grid, start, normal, leaf, directions, reach, step):
    """(n, 2) float64: how much open sky a point sees, and how much light other surfaces throw back,
    both weighted by its normal.
    """
    out = np.zeros((len(start), 2))
    for n in numba.prange(len(start)):
        total, sky, bounce = 1e-9, 0.0, 0.0
        for k in range(len(directions)):
            d = directions[k]
            weight = (
                0.5
                if leaf[n]
                else max(normal[n, 0] * d[0] + normal[n, 1] * d[1] + normal[n, 2] * d[2], 0.0)
            )
            if weight == 0.0:
                continue
            total += weight
            if blocked(grid, start[n, 0], start[n, 1], start[n, 2], d[0], d[1], d[2], reach, step):
                bounce += 0.12 * weight
            else:
                sky += weight * max(d[2] + 0.15, 0.0)
                bounce += weight * (0.5 if d[2] < 0.3 else 0.15)
        out[n, 0], out[n, 1] = sky / total, bounce / total
    return out


@numba.njit(cache=True, parallel=True, error_model="numpy")
def lamp_light(grid, start, normal, leaf, at, rgb, reach, step):
    """(n, 3) float64: light of lamps (L, 3) at points, in voxels; it falls with the square of the
    distance in metres (10 voxels).
    """
    out = np.zeros((len(start), 3))
    for n in numba.prange(len(start)):
        for k in range(len(at)):
            dx, dy, dz = at[k, 0] - start[n, 0], at[k, 1] - start[n, 1], at[k, 2] - start[n, 2]
            far = np.sqrt(dx * dx + dy * dy + dz * dz)
            if far > reach[k] or far < 1e-6:
                continue
            dx, dy, dz = dx / far, dy / far, dz / far
            facing = normal[n, 0] * dx + normal[n, 1] * dy + normal[n, 2] * dz
            facing = 0.3 + 0.3 * abs(facing) if leaf[n] else facing
            if facing <= 0.0 or blocked(
                grid, start[n, 0], start[n, 1], start[n, 2], dx, dy, dz, far - 3.0, step
            ):
                continue
            fade = (1.0 - far / reach[k]) ** 2
            for c in range(3):
                out[n, c] += rgb[k, c] * facing * fade / (0.3 + 0.01 * far * far)
    return out


@numba.njit(cache=True, parallel=True, error_model="numpy")
def seen_by(grid, start, normal, leaf, cameras, reach, step):
    """(n,) float64: how well cameras (C, 3) saw each point: the sum of facing / (1 + (metres /
    5)^2) over those with a free view.
    """
    out = np.zeros(len(start))
    for n in numba.prange(len(start)):
        for k in range(len(cameras)):
            dx, dy, dz = (
                cameras[k, 0] - start[n, 0],
                cameras[k, 1] - start[n, 1],
                cameras[k, 2] - start[n, 2],
            )
            far = np.sqrt(dx * dx + dy * dy + dz * dz)
            if far > reach or far < 1e-6:
                continue
            dx, dy, dz = dx / far, dy / far, dz / far
            facing = normal[n, 0] * dx + normal[n, 1] * dy + normal[n, 2] * dz
            facing = 0.4 if leaf[n] else facing
            if facing <= 0.02 or blocked(
                grid, start[n, 0], start[n, 1], start[n, 2], dx, dy, dz, far, step
            ):
                continue
            out[n] += facing / (1.0 + (0.02 * far) ** 2)
    return out
