"""Plain ORCA of many discs, made of the half-planes that the crowd walks by."""

import numba
import numpy as np

from s2e.envs.people.orca import best_velocity, half_plane, nearest_first


@numba.njit(error_model="numpy")
def _velocities(positions, velocities, preferred, radii, limits, active, horizon, dt, reach, out):
    worlds, people = active.shape
    lines, scratch = np.empty((people, 3)), np.empty((people, 3))
    order, away = np.empty(people, dtype=np.int64), np.empty(people)
    for n in range(worlds):
        for i in range(people):
            if not active[n, i]:
                continue
            count = nearest_first(positions[n], active[n], i, reach, order, away)
            vx, vy = velocities[n, i, 0], velocities[n, i, 1]
            for k in range(count):
                j = order[k]
                nx, ny, short = half_plane(
                    positions[n, j, 0] - positions[n, i, 0],
                    positions[n, j, 1] - positions[n, i, 1],
                    vx - velocities[n, j, 0],
                    vy - velocities[n, j, 1],
                    radii[n, i] + radii[n, j],
                    horizon,
                    dt,
                )
                lines[k, 0], lines[k, 1], lines[k, 2] = nx, ny, vx * nx + vy * ny + 0.5 * short
            out[n, i, 0], out[n, i, 1] = best_velocity(
                lines, count, 0, limits[n, i], preferred[n, i, 0], preferred[n, i, 1], scratch
            )


def orca_velocities(
    positions: np.ndarray,
    velocities: np.ndarray,
    preferred: np.ndarray,
    radii: np.ndarray,
    limits: np.ndarray,
    active: np.ndarray,
    horizon: float,
    dt: float,
    reach: float = np.inf,
) -> np.ndarray:
    """Plain ORCA of N worlds of P discs each: everybody takes half of every encounter.

    Args:
        positions, velocities, preferred: (N, P, 2) metres and m/s.
        radii, limits: (N, P) metres, and top speeds in m/s.
        active: (N, P) bool; who is not there is nobody's neighbour.
        horizon: seconds that encounters are foreseen.
        dt: seconds until the next call; discs that overlap are to part within it.
        reach: others farther than this are not looked at, metres.

    Returns:
        (N, P, 2) new velocities; 0 for who is not there.
    """
    p, v, wanted, r, top = (
        np.ascontiguousarray(a, dtype=np.float64)
        for a in (positions, velocities, preferred, radii, limits)
    )
    out = np.zeros_like(p)
    _velocities(
        p,
        v,
        wanted,
        r,
        top,
        np.ascontiguousarray(active, dtype=np.bool_),
        float(horizon),
        float(dt),
        float(reach),
        out,
    )
    return out
