"""Draws Gaussian splats for many cameras at once: the public door of the CPU splat rasteriser."""

from dataclasses import dataclass

import numba
import numpy as np

from s2e.envs.scene import Splats
from s2e.envs.splats.raster import render_views

_CELL_M = 2.0
_SLACK = 1.3  # projected extents grow by at most this much when the Jacobian is clamped: see `_cluster`


@dataclass(frozen=True)
class PreparedSplats:
    """Splats in the order and form the kernels want: Gaussians of one 2 m cell lie together.

    Attributes:
        means: (G, 3) float32, metres.
        covs: (G, 6) float32, upper triangle xx, xy, xz, yy, yz, zz of the covariance, m^2.
        opacities: (G,) float32.
        reach2: (G,) float32, squared distance in standard deviations at which alpha falls to 1/255.
        sh: (G, K, 3) float32.
        clusters: (C + 1,) int64, where each cell's Gaussians begin.
        bounds: (C, 4) float32, centre and radius of a sphere around each cell's Gaussians.
    """

    means: np.ndarray
    covs: np.ndarray
    opacities: np.ndarray
    reach2: np.ndarray
    sh: np.ndarray
    clusters: np.ndarray
    bounds: np.ndarray


def covariances(quats: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """(G, 3, 3) float64 covariances R S S^T R^T from unit quaternions (w, x, y, z) and standard deviations."""
    w, x, y, z = np.asarray(quats, dtype=np.float64).T
    rotation = np.stack(
        [
            np.stack([1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)], -1),
            np.stack([2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)], -1),
            np.stack([2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)], -1),
        ],
        -2,
    )
    half = rotation * np.asarray(scales, dtype=np.float64)[:, None, :]
    return half @ half.transpose(0, 2, 1)


def _cluster(means: np.ndarray, reach: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Order of the Gaussians by cell, where cells start, and spheres around them.

    A Gaussian outside a side plane of the view whose slope is T touches the image only when its centre is nearer to
    the plane than reach * sqrt((1 + (1.3 T)^2) / (1 + T^2)), which is under 1.3 reach; hence the slack.
    """
    cells = np.floor(means / _CELL_M).astype(np.int64)
    cells -= cells.min(axis=0)
    size = cells.max(axis=0) + 1
    key = (cells[:, 0] * size[1] + cells[:, 1]) * size[2] + cells[:, 2]
    order = np.argsort(key, kind="stable")
    starts = np.flatnonzero(np.diff(key[order], prepend=-1))
    low = np.minimum.reduceat(means[order], starts)
    high = np.maximum.reduceat(means[order], starts)
    counts = np.diff(starts, append=len(means))
    centres = (low + high) / 2
    distance = np.linalg.norm(means[order] - np.repeat(centres, counts, axis=0), axis=1) + _SLACK * reach[order]
    radii = np.maximum.reduceat(distance, starts) * 1.0001 + 1e-4
    return order, np.append(starts, len(means)), np.concatenate([centres, radii[:, None]], 1).astype(np.float32)


def prepare(splats: Splats) -> PreparedSplats:
    """Does once per scene what does not depend on the camera; Gaussians under opacity 1/255 are left out."""
    seen = splats.opacities > 1 / 255
    means = splats.means[seen].astype(np.float64)
    scales, opacities = splats.scales[seen], splats.opacities[seen].astype(np.float64)
    covs = covariances(splats.quats[seen], scales)
    reach2 = 2 * np.log(255 * opacities)
    if len(means):
        order, clusters, bounds = _cluster(means, scales.max(axis=1) * np.sqrt(reach2))
    else:
        order, clusters, bounds = np.zeros(0, np.int64), np.zeros(1, np.int64), np.zeros((0, 4), np.float32)
    rows, columns = np.triu_indices(3)
    return PreparedSplats(
        means=np.ascontiguousarray(means[order], dtype=np.float32),
        covs=np.ascontiguousarray(covs[order][:, rows, columns], dtype=np.float32),
        opacities=np.ascontiguousarray(opacities[order], dtype=np.float32),
        reach2=np.ascontiguousarray(reach2[order], dtype=np.float32),
        sh=np.ascontiguousarray(splats.sh[seen][order], dtype=np.float32),
        clusters=clusters.astype(np.int64),
        bounds=bounds,
    )


def render_splats(
    prepared: PreparedSplats,
    positions: np.ndarray,
    rotations: np.ndarray,
    intrinsics: np.ndarray,
    height_px: int,
    width_px: int,
    background_rgb: np.ndarray | tuple[float, float, float] = (0.0, 0.0, 0.0),
    background_depth: np.ndarray | None = None,
    *,
    lens: str = "pinhole",
    antialiased: bool = False,
    dtype: type = np.uint8,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draws splats over a background that they occlude and that occludes them.

    The mathematics is that of 3DGS as gsplat has it: EWA projection, 0.3 px^2 of blur, alpha at most 0.999 and at
    least 1/255, transmittance down to 1e-4, pixel centres at half integers, spherical harmonics up to degree 3;
    Gaussians nearer than 0.1 m are skipped.

    Args:
        prepared: the scene, from `prepare`.
        positions: (V, 3) camera positions, metres.
        rotations: (V, 3, 3), a world point p is at `rotation @ (p - position)` in the optical frame.
        intrinsics: (4,) or (V, 4) fx, fy, cx, cy in pixels.
        height_px: rows of an image.
        width_px: columns of an image.
        background_rgb: (V, H, W, 3) uint8 image behind, or one colour (3,) in 0..255.
        background_depth: (V, H, W) float32 depth of the background along the optical axis, metres, infinite where it
            is sky; None is sky everywhere. Gaussians whose centre is farther are hidden at that pixel.
        lens: pinhole, or fisheye: equidistant, a ray at angle a from the axis falls fx * a pixels from the centre.
        antialiased: opacities are lowered by what the 0.3 px^2 of blur widen a Gaussian (gsplat's "antialiased" mode).
        dtype: np.uint8, colours 0..255, or np.float32, colours 0..1 that are not clipped above.

    Returns:
        rgb (V, H, W, 3) of `dtype`; depth (V, H, W) float32, the expected depth along the optical axis, the background
        included where its depth is finite, infinite where there is nothing; alpha (V, H, W) float32, what the
        Gaussians cover of the background.
    """
    views = len(positions)
    rgb = np.empty((views, height_px, width_px, 3), np.uint8)
    depth, alpha = (np.empty((views, height_px, width_px), np.float32) for _ in range(2))
    back_rgb = np.asarray(background_rgb)
    if back_rgb.ndim == 1:
        colour = np.clip(np.round(back_rgb), 0, 255).astype(np.uint8)
        back_rgb = np.ascontiguousarray(np.broadcast_to(colour, (1, height_px, width_px, 3)))
    if background_depth is None:
        background_depth = np.full((1, height_px, width_px), np.inf, np.float32)
    for name, array in (("background_rgb", back_rgb), ("background_depth", background_depth)):
        if array.shape[1:3] != (height_px, width_px) or len(array) not in (1, views):
            raise ValueError(f"{name} has shape {array.shape}, expected {views} images of {height_px} x {width_px}")
    if views:
        render_views(
            prepared.means, prepared.covs, prepared.opacities, prepared.reach2, prepared.sh, prepared.clusters,
            prepared.bounds,
            np.ascontiguousarray(positions, dtype=np.float32), np.ascontiguousarray(rotations, dtype=np.float32),
            np.asarray(intrinsics, dtype=np.float32), np.ascontiguousarray(back_rgb, dtype=np.uint8),
            np.ascontiguousarray(background_depth, dtype=np.float32), min(numba.get_num_threads(), views),
            rgb, depth, alpha,
        )  # fmt: skip
    return rgb, depth, alpha
