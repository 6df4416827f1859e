"""What of a capture is not the place: floaters, sky domes, giant Gaussians and clumps that hang on
nothing.

All thresholds are relative to the capture itself, whose scale is not known yet.
"""

import numpy as np
from scipy.ndimage import label
from scipy.spatial import cKDTree  # pyright: ignore[reportAttributeAccessIssue]

from s2e.envs.geometry.scene import Splats
from s2e.envs.splats.transform import diameter

REASONS: tuple[str, ...] = ("kept", "transparent", "oversized", "distant", "haze", "isolated")
"""Why a Gaussian goes: it is invisible; larger than a part of the place can be (sky domes); beyond
the place; a large soft blob that is faint; part of a small clump that touches nothing."""

TRANSPARENT = 0.02
"""Opacity below which a Gaussian changes no pixel by more than five levels of 255."""
OVERSIZED = 0.12
"""Standard deviation over the capture's diameter: what is blurred over more than half the place is
no part of it."""
DISTANT = 2.5
"""Diameters from the middle, half a diameter being the edge."""
CELLS = 128
"""Cells along the capture's diameter, for finding clumps."""
CLUMP_SHARE = 4e-4
"""Share of the Gaussians below which a clump that touches nothing is a floater."""

MOST_ISOLATED = 0.05
"""Share beyond which clumps are not floaters: the voxels are too fine for the capture."""


def clean(splats: Splats) -> np.ndarray:
    """Says of every Gaussian whether it belongs to the place.

    Args:
        splats: a capture in its own units and axes.

    Returns:
        (G,) uint8, indices into `REASONS`; 0 is kept. Where several reasons hold, the first in
        their order counts.
    """
    means, opacities = splats.means, splats.opacities
    reason = np.zeros(len(means), dtype=np.uint8)
    reason[opacities < TRANSPARENT] = REASONS.index("transparent")
    left = reason == 0
    if left.sum() < 16:
        return reason
    middle, size = diameter(means[left], opacities[left])
    if not size > 0.0:
        return reason
    largest = splats.scales.max(1)
    reason[left & (largest > OVERSIZED * size)] = REASONS.index("oversized")
    left = reason == 0
    away = np.abs(means - middle.astype(np.float32)).max(1)
    reason[left & (away > DISTANT * size)] = REASONS.index("distant")
    left = np.flatnonzero(reason == 0)
    if len(left) < 16:
        return reason
    reason[left[_haze(splats, left, size)]] = REASONS.index("haze")
    left = np.flatnonzero(reason == 0)
    # a thin capture falls to pieces in voxels finer than its own spacing
    for cells in CELLS, CELLS // 2, CELLS // 4:
        lonely = _isolated(means[left], splats.scales[left], middle, size / cells)
        if lonely.mean() < MOST_ISOLATED:
            reason[left[lonely]] = REASONS.index("isolated")
            break
    return reason


def _haze(splats: Splats, left: np.ndarray, size: float) -> np.ndarray:
    """(len(left),) bool: faint, large, and round where surfaces are flat and leaves are small."""
    scales = np.sort(splats.scales[left], axis=1)
    usual = np.median(scales[:, 2])
    large = scales[:, 2] > max(3.0 * usual, 0.004 * size)
    return (splats.opacities[left] < 0.35) & large & (scales[:, 0] > 0.25 * scales[:, 2])


def _isolated(means: np.ndarray, scales: np.ndarray, middle: np.ndarray, cell: float) -> np.ndarray:
    """(G,) bool: in a small clump of voxels that touches no larger one.

    Clumps are joined over a gap of one voxel (3-D, through corners), or as far as their Gaussians
    reach (two standard deviations).
    """
    index = (
        np.floor((means - middle.astype(np.float32)) / np.float32(cell)).astype(np.int64)
        + 4 * CELLS
    )
    side = 8 * CELLS
    key = (index[:, 0] * side + index[:, 1]) * side + index[:, 2]
    voxels, which, counts = np.unique(key, return_inverse=True, return_counts=True)
    where = np.stack([voxels // (side * side), voxels // side % side, voxels % side], 1)
    clump = _clumps(where)
    sizes = np.bincount(clump, weights=counts)
    limit = max(CLUMP_SHARE * len(means), min(24.0, 0.01 * len(means)))
    small = np.flatnonzero(sizes[clump] < limit)  # voxels
    if len(small) == 0 or len(small) == len(voxels):
        return np.zeros(len(means), dtype=bool)
    # What a clump's largest Gaussians reach: a coarse ground of few large discs is one piece all
    # the same.
    reach = np.zeros(len(voxels), dtype=np.float64)
    np.maximum.at(reach, which, 2.0 * scales.max(1) / cell)
    big = np.flatnonzero(sizes[clump] >= limit)
    near, _ = cKDTree(where[big]).query(where[small], distance_upper_bound=64.0)
    touches = near <= np.maximum(reach[small], 2.0)
    joined = np.zeros(clump.max() + 1, dtype=bool)
    joined[clump[small[touches]]] = True
    lonely = np.zeros(len(voxels), dtype=bool)
    lonely[small] = ~joined[clump[small]]
    return lonely[which]


def _clumps(where: np.ndarray) -> np.ndarray:
    """(V,) the connected part of each voxel, where voxels at most two apart touch."""
    low = where.min(0)
    coarse = (where - low) // 2
    shape = coarse.max(0) + 1
    # a capture much longer than its diameter: coarser voxels, the same rule
    if np.prod(shape) > 1 << 28:
        coarse //= 2
        shape = coarse.max(0) + 1
    grid = np.zeros(shape, dtype=bool)
    grid[tuple(coarse.T)] = True
    parts = np.zeros(shape, dtype=np.int32)
    label(grid, structure=np.ones((3, 3, 3), dtype=bool), output=parts)
    return parts[tuple(coarse.T)]
