"""The large planes of a capture: its surface sampled evenly, gathered in voxels, and planes found
among them one by one.
"""

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree  # pyright: ignore[reportAttributeAccessIssue]

from s2e.envs.geometry.scene import Splats
from s2e.envs.splats.transform import diameter, rotations

SAMPLES = 200_000
CELLS = 100
"""Voxels along the capture's diameter."""
_LARGEST = 0.04
"""Over the diameter: standard deviations beyond do not give a Gaussian more weight."""
_TRIALS = 256
_FEW = 6_000
"""Voxels that a trial plane is judged by."""


@dataclass(frozen=True)
class Surface:
    """A capture's surface.

    Attributes:
        points: (S, 3) float64, drawn in proportion to opacity and area.
        thin: (S, 3) the shortest axis of each one's Gaussian; flat: (S,) 0 (round or long) to 1 (a
            disc).
        size: diameter of the capture; cell: edge of a voxel.
        voxels: (V, 3) middles of what lies in each; normals (V, 3), planar (V,) 0 to 1: the plane
            through each and its neighbours; weight (V,) 0 to 1: how full of surface each is.
    """

    points: np.ndarray
    thin: np.ndarray
    flat: np.ndarray
    size: float
    cell: float
    voxels: np.ndarray
    normals: np.ndarray
    planar: np.ndarray
    weight: np.ndarray


def sample_surface(splats: Splats, seed: int) -> Surface | None:
    """Draws points on the discs of a capture; None where it has no extent.

    Points follow opacity times area, not Gaussians: a facade of many small ones weighs what it
    covers. In voxels even that is levelled: a cell that is full counts once, however many layers
    are in it.
    """
    middle, size = diameter(splats.means, splats.opacities)
    if not size > 1e-6 * float(np.abs(middle).max()):
        return None
    order = np.argsort(splats.scales, axis=1)
    scales = np.minimum(np.take_along_axis(splats.scales, order, 1), _LARGEST * size).astype(
        np.float64
    )
    near = np.abs(splats.means - middle.astype(np.float32)).max(1) < 1.25 * size
    weight = splats.opacities * scales[:, 1] * scales[:, 2] * near
    total = np.cumsum(weight)
    rng = np.random.default_rng(seed)
    picks = (np.arange(SAMPLES) + rng.random(SAMPLES)) / SAMPLES * total[-1]
    which = np.minimum(np.searchsorted(total, picks), len(total) - 1)
    frames = np.take_along_axis(
        rotations(splats.quats[which]).astype(np.float64), order[which][:, None, :], 2
    )
    s = scales[which]
    along = s[:, 1:] * rng.normal(size=(len(which), 2))
    points = splats.means[which] + np.einsum("ijk,ik->ij", frames[:, :, 1:], along)
    flat = 1.0 - s[:, 0] / np.maximum(s[:, 1], 1e-30)
    cell = size / CELLS
    return Surface(points, frames[:, :, 0], flat, size, cell, *_voxels(points, middle, cell))


def _voxels(points: np.ndarray, middle: np.ndarray, cell: float):
    index = np.floor((points - middle) / cell).astype(np.int64) + 512
    key = (index[:, 0] * 1024 + index[:, 1]) * 1024 + index[:, 2]
    _, which, counts = np.unique(key, return_inverse=True, return_counts=True)
    centred = points - middle
    sums = np.stack([np.bincount(which, centred[:, i]) for i in range(3)], 1)
    outer = np.stack(
        [np.bincount(which, centred[:, i] * centred[:, j]) for i in range(3) for j in range(3)], 1
    )
    voxels = sums / counts[:, None]
    distance, near = cKDTree(voxels).query(
        voxels, k=min(10, len(voxels)), distance_upper_bound=2.0 * cell
    )
    distance, near = np.atleast_2d(distance.T).T, np.atleast_2d(near.T).T
    valid = np.isfinite(distance)
    near = np.where(valid, near, 0)
    n = (counts[near] * valid).sum(1)
    mean = (sums[near] * valid[..., None]).sum(1) / n[:, None]
    second = (outer[near] * valid[..., None]).sum(1).reshape(-1, 3, 3) / n[:, None, None] - mean[
        :, :, None
    ] * mean[:, None, :]
    values, vectors = np.linalg.eigh(second)
    spread = np.sqrt(np.maximum(values, 0.0))
    planar = np.where(n >= 6, 1.0 - spread[:, 0] / np.maximum(spread[:, 1], 1e-30), 0.0)
    weight = np.minimum(counts / max(0.5 * float(np.median(counts)), 1.0), 1.0)
    return voxels + middle, vectors[:, :, 0], planar, weight


def fit_plane(points: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, float]:
    """Unit normal and offset of the plane with the least weighted squares of distances."""
    middle = weight @ points / weight.sum()
    centred = points - middle
    _, vectors = np.linalg.eigh((centred * weight[:, None]).T @ centred)
    return vectors[:, 0], float(vectors[:, 0] @ middle)


def large_planes(
    surface: Surface, seed: int, count: int = 8, least: float = 0.02
) -> list[tuple[np.ndarray, float, np.ndarray]]:
    """Planes of the surface, each found by RANSAC among the voxels that earlier ones left.

    A trial is one planar voxel with its normal, so that few trials do (Schnabel et al. 2007 use
    such minimal sets); what lies within a voxel's edge and is turned alike supports it.

    Returns:
        Up to `count` of (normal, offset, (V,) bool its voxels), by falling weight; each has at
        least `least` of the whole.
    """
    rng = np.random.default_rng([seed, 1])
    p = surface.voxels
    normals = surface.normals
    planar = surface.planar
    weight = surface.weight
    cell = surface.cell
    left = planar > 0.3
    whole = weight.sum()
    found = []
    for _ in range(count):
        index = np.flatnonzero(left)
        if len(index) < 12 or weight[index].sum() < least * whole:
            break
        few = index if len(index) <= _FEW else rng.choice(index, _FEW, replace=False)
        trials = rng.choice(index, min(_TRIALS, len(index)), p=weight[index] / weight[index].sum())
        support = np.zeros(len(trials))
        for first in range(0, len(trials), 50):
            t = trials[first : first + 50]
            near = np.abs(normals[t] @ p[few].T - (normals[t] * p[t]).sum(1)[:, None]) < cell
            near &= np.abs(normals[t] @ normals[few].T) > 0.85
            support[first : first + 50] = near @ weight[few]
        best = trials[support.argmax()]
        normal, offset = normals[best], float(normals[best] @ p[best])
        mine = np.zeros(len(p), dtype=bool)
        for band in (1.5, 1.25, 1.0, 1.0):
            mine = (
                left
                & (np.abs(p @ normal - offset) < band * cell)
                & (np.abs(normals @ normal) > 0.85)
            )
            if mine.sum() < 6:
                break
            normal, offset = fit_plane(p[mine], weight[mine])
        if mine.sum() < 6 or weight[mine].sum() < least * whole:
            break
        found.append((normal, offset, mine))
        left &= ~((np.abs(p @ normal - offset) < 1.5 * cell) & (np.abs(normals @ normal) > 0.7))
    return found
