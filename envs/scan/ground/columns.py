"""From Gaussians to what a robot meets: the ground's height, what stands on it, and the room above,
on a grid.
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy.ndimage import (
    binary_closing,
    distance_transform_edt,
    label,
    maximum_filter,
    median_filter,
    minimum_filter,
)

from s2e.core.errors import UserError
from s2e.envs.geometry.scene import Splats
from s2e.envs.scan.ground.floor import NotNavigable
from s2e.envs.scan.ground.voxels import flood, look_up, voxelise

LEVEL_M = 0.05
"""Height of a voxel."""
LOWEST_M = -4.0
"""Bottom of the voxels; they end 12.8 m above it."""
HIGHEST_GROUND_M = 6.0
"""Where ground is looked for, at most."""
STEP_M = 0.25
"""Highest step that ground goes on over."""
SKIP_M = 0.1
"""What is lower than this above the ground is part of the ground's height, and no obstacle."""
MOST_SKIPPED_M = 0.25
"""However noisy a capture is, what is higher than this stands in the way."""
NOISY_M = 0.03
"""From so much noise on, heights are averaged until it is gone, kerbs with it."""
HOLE_M = 0.5
"""Holes in the ground narrower than this are filled."""
WALKED_M = 0.35
"""Half the width of what a walk makes known."""
_SEED_M = 0.12
MOST_CELLS = 1 << 23
"""More are not mapped: 289 x 289 m at 0.1 m."""


@dataclass(frozen=True)
class Columns:
    """A place as columns over a grid; row r, column c covers the square with lower-left corner
    `origin + resolution * (c, r)`.

    Attributes:
        origin: (2,) metres.
        resolution: edge of a cell, metres.
        height: (R, C) float32, the ground's height above the floor's plane, metres; 0 where
            unknown.
        known: (R, C) bool, where ground was seen (or fills a small hole in what was seen).
        blocked: (R, C) bool, where something solid stands between 0.1 m and the clearance above the
            local ground.
        overhead: (R, C) float32, metres from the ground to the first solid thing above it, infinite
            where open.
    """

    origin: np.ndarray
    resolution: float
    height: np.ndarray
    known: np.ndarray
    blocked: np.ndarray
    overhead: np.ndarray


def columns(
    splats: Splats, resolution: float = 0.1, clearance_m: float = 1.2, noise_m: float = 0.0
) -> Columns:
    """Fills voxels with the ellipsoids' optical depth and reads the ground and what stands on it
    off their columns.

    The ground is the surface that is connected with the floor's level (z = 0) over steps of at most
    0.25 m: kerbs, stairs and ramps belong to it, and a passage's roof does not. What rises too
    steeply for stairs is no ground. Memory grows with the number of Gaussians only by an index
    each: voxels are made in strips of rows.

    Args:
        splats: placed: metres, z up, the floor at 0.
        resolution: edge of a cell, metres, 0.02 to 0.5.
        clearance_m: what is higher above the ground than this blocks nobody.
        noise_m: deviation (one sigma) of the floor's surface: noise of up to three is neither a
            step nor an obstacle.

    Raises:
        UserError: a bad resolution, more cells than memory allows, or nothing near the floor's
            level.
    """
    if not 0.02 <= resolution <= 0.5:
        raise UserError(f"resolution is {resolution} m: give 0.02 to 0.5")
    if not SKIP_M < clearance_m <= 5.0:
        raise UserError(f"clearance is {clearance_m} m: give more than {SKIP_M}, at most 5")
    origin, shape = _bounds(splats, resolution)
    frame = np.array([origin[0], origin[1], LOWEST_M, resolution, LEVEL_M])
    bits, tops, free = voxelise(splats, frame, shape, clearance_m)
    height, known = np.zeros(shape, dtype=np.float32), np.zeros(shape, dtype=np.bool_)
    skip_m = skipped_m(noise_m)
    flood(tops, free, max(_SEED_M, skip_m), STEP_M, 2, height, known)
    if not known.any():
        raise NotNavigable(
            "no solid ground within 0.12 m of the floor's plane: check scale, floor height and "
            "resolution"
        )
    known &= ~_steep(height, known, resolution)
    raw, height = height, _smooth(_spread(height, known), known, noise_m)
    # What the smoothing took away as noise is no obstacle; a stone that it took away is.
    even = np.where(np.abs(raw - height) <= skip_m, np.maximum(raw, height), height)
    base = maximum_filter(np.where(known, even, -np.inf), 3, mode="nearest")
    solid, overhead = np.zeros(shape, dtype=np.int32), np.zeros(shape, dtype=np.float32)
    look_up(bits, height, np.maximum(base, height), frame, skip_m, clearance_m, solid, overhead)
    blocked = _without_specks(solid)
    known = _without_holes(known, blocked, resolution)
    out = Columns(
        origin, resolution, np.where(known, height, 0).astype(np.float32), known, blocked, overhead
    )
    return _cropped(out)


def skipped_m(noise_m: float) -> float:
    """How high above the ground things begin, metres, in a capture whose floor deviates by so much
    (one sigma).
    """
    return float(np.clip(3.0 * noise_m, SKIP_M, MOST_SKIPPED_M))


def fill_walked(found: Columns, feet: np.ndarray) -> Columns:
    """Columns with the holes of the ground filled where somebody walked.

    Args:
        found: of the place.
        feet: (N, 3) metres, points on the ground under the cameras, in the order of the walk.

    Returns:
        Cells that were not seen and lie within `WALKED_M` of the way, or of a step of it of up to
        1.5 m, are known: as high as the nearest ground that was seen, or as the feet where that is
            far from theirs.
    """
    steps = np.diff(feet, axis=0)
    near = np.linalg.norm(steps[:, :2], axis=1) < 1.5
    share = np.linspace(0.0, 1.0, 16, endpoint=False)[:, None, None]
    way = np.concatenate([feet, (feet[:-1][near] + share * steps[near]).reshape(-1, 3)])
    cells = np.floor((way[:, :2] - found.origin) / found.resolution).astype(np.int64)
    rows, cols = found.known.shape
    inside = ((cells >= 0) & (cells < (cols, rows))).all(1)
    if not inside.any():
        return found
    walked, level = np.zeros(found.known.shape, dtype=bool), np.zeros(found.known.shape, np.float32)
    walked[cells[inside, 1], cells[inside, 0]], level[cells[inside, 1], cells[inside, 0]] = (
        True,
        way[inside, 2],
    )
    away, nearest = distance_transform_edt(~walked, return_indices=True)  # pyright: ignore[reportGeneralTypeIssues]
    fill = (np.asarray(away) * found.resolution <= WALKED_M) & ~found.known & ~found.blocked
    level = level[tuple(nearest)]
    beside = _spread(found.height, found.known) if found.known.any() else level
    height = np.where(np.abs(beside - level) < STEP_M, beside, level)
    return replace(
        found,
        height=np.where(fill, height, found.height).astype(np.float32),
        known=found.known | fill,
    )


def _bounds(splats: Splats, resolution: float) -> tuple[np.ndarray, tuple[int, int]]:
    """Origin and shape of a grid over what lies within the voxels' heights, less a thousandth on
    each side that may be far away.
    """
    near = (
        (splats.means[:, 2] > LOWEST_M)
        & (splats.means[:, 2] < HIGHEST_GROUND_M)
        & (splats.opacities > 0.1)
    )
    if not near.any():
        raise NotNavigable(
            f"nothing solid lies {LOWEST_M} to {HIGHEST_GROUND_M} m above the floor's plane: check "
            "scale and floor height"
        )
    xy = splats.means[near, :2].astype(np.float64)
    low, high = np.quantile(xy, 0.001, axis=0) - 1.0, np.quantile(xy, 0.999, axis=0) + 1.0
    first, last = np.floor(low / resolution), np.ceil(high / resolution)
    cols, rows = last - first
    if not rows * cols <= MOST_CELLS:
        raise UserError(
            f"the place is {cols * resolution:.0f} x {rows * resolution:.0f} m, {rows * cols:.3g} "
            f"cells of {resolution:g} m; at "
            f"most {MOST_CELLS:,} are mapped; check the scale, or give a coarser --resolution"
        )
    return first * resolution, (int(rows), int(cols))


def _steep(height: np.ndarray, known: np.ndarray, resolution: float) -> np.ndarray:
    """Cells that rise more than 0.45 m over ground 0.3 m away: steeper than stairs, so a car's
    bonnet or a hedge, not ground.
    """
    reach = 2 * max(round(0.3 / resolution), 1) + 1
    lowest = minimum_filter(np.where(known, height, np.inf), reach, mode="nearest")
    return known & (height - lowest > 0.45)


def _spread(height: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Heights everywhere: where none is known, that of the nearest cell where it is."""
    nearest = np.asarray(
        distance_transform_edt(~known, return_distances=False, return_indices=True)
    )
    return height[tuple(nearest)]


def _smooth(height: np.ndarray, known: np.ndarray, noise_m: float) -> np.ndarray:
    """Heights with their noise averaged and their steps kept sharp.

    After a median of 3 x 3, a cell that straddles a kerb is moved to one of its sides; then each
    cell takes the mean of those of 5 x 5 that are within 4 cm of it (the sigma filter, Lee 1983).
    Where noise is larger than kerbs, these cannot be kept: the filter is as wide as the noise, and
    is applied until that is gone.
    """
    noisy = noise_m > NOISY_M
    height = median_filter(height, 3, mode="nearest")
    height = height if noisy else _sharp_steps(height)
    for _ in range(4 if noisy else 1):
        height = _sigma_filter(
            height, known, float(np.clip(2.5 * noise_m, 0.04, STEP_M)) if noisy else 0.04
        )
    return height.astype(np.float32)


def _sigma_filter(height: np.ndarray, known: np.ndarray, near_m: float) -> np.ndarray:
    """The mean of the known cells of 5 x 5 that are within `near_m` of the middle one."""
    total, count = np.zeros_like(height), np.zeros_like(height)
    padded, there = np.pad(height, 2, mode="edge"), np.pad(known, 2)
    rows, cols = height.shape
    for dr in range(5):
        for dc in range(5):
            other = padded[dr : dr + rows, dc : dc + cols]
            counts = there[dr : dr + rows, dc : dc + cols] & (np.abs(other - height) < near_m)
            total += np.where(counts, other, 0.0)
            count += counts
    return np.where(count > 0, total / np.maximum(count, 1), height)


def _sharp_steps(height: np.ndarray) -> np.ndarray:
    """Moves cells between two levels to the nearer one: a kerb must not become two steps of half
    its height, which wheels would climb.

    Between levels is what differs by 2 cm from both extremes of its 3 x 3, these by 6 cm from one
    another (more than a ramp of 20 %), and is like at most three of them: itself and the cells
    beside it along the edge.
    """
    low, high = minimum_filter(height, 3, mode="nearest"), maximum_filter(height, 3, mode="nearest")
    padded = np.pad(height, 1, mode="edge")
    rows, cols = height.shape
    alike = np.zeros(height.shape, dtype=np.int8)
    for dr in range(3):
        for dc in range(3):
            alike += np.abs(padded[dr : dr + rows, dc : dc + cols] - height) < 0.02
    between = (high - low > 0.06) & (height - low > 0.02) & (high - height > 0.02) & (alike <= 3)
    return np.where(between, np.where(height - low < high - height, low, high), height)


def _without_specks(solid: np.ndarray) -> np.ndarray:
    """Where something solid stands, less specks of one or two voxels that touch nothing else."""
    blocked = solid > 0
    parts = np.zeros(solid.shape, dtype=np.int32)
    label(blocked, structure=np.ones((3, 3), dtype=bool), output=parts)
    sizes = np.bincount(parts.ravel(), weights=solid.ravel())
    return blocked & (sizes[parts] >= 3)


def _without_holes(known: np.ndarray, blocked: np.ndarray, resolution: float) -> np.ndarray:
    """Known ground with its holes of at most `HOLE_M` filled."""
    reach = max(round(0.5 * HOLE_M / resolution), 1)
    span = np.arange(-reach, reach + 1)
    disc = span[:, None] ** 2 + span[None] ** 2 <= (reach + 0.3) ** 2
    padded = np.pad(known, reach + 1)
    closed = binary_closing(padded, disc)[reach + 1 : -reach - 1, reach + 1 : -reach - 1]
    return known | (closed & ~blocked)


def _cropped(found: Columns) -> Columns:
    """Without the margin further than a metre from known ground."""
    margin = int(np.ceil(1.0 / found.resolution))
    rows, cols = np.flatnonzero(found.known.any(1)), np.flatnonzero(found.known.any(0))
    r0, r1 = max(rows[0] - margin, 0), min(rows[-1] + margin + 1, found.known.shape[0])
    c0, c1 = max(cols[0] - margin, 0), min(cols[-1] + margin + 1, found.known.shape[1])
    part = (slice(r0, r1), slice(c0, c1))
    return Columns(
        origin=found.origin + found.resolution * np.array([c0, r0], dtype=np.float64),
        resolution=found.resolution,
        height=found.height[part].copy(),
        known=found.known[part].copy(),
        blocked=found.blocked[part].copy(),
        overhead=found.overhead[part].copy(),
    )
