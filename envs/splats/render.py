"""Draws Gaussian splats for many cameras at once: the public door of the CPU splat rasteriser."""

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numba
import numpy as np

from s2e.envs.splats.project_pack import PreparedSplats, covariances, prepare
from s2e.envs.splats.raster import TILE, draw_share
from s2e.envs.splats.views import Views

__all__ = ["PreparedSplats", "covariances", "prepare", "render_splats"]


def _bands(views: int, height_px: int, width_px: int, workers: int) -> np.ndarray:
    """(B, 4) int32 first column, first row, columns, rows (tiles) of the regions in which each view
    is drawn.

    One, unless there are fewer views than threads: then upright strips, two for each thread, so
    that threads with little to draw take another; at least four tiles wide, since what lies on a
    border is projected twice.
    """
    columns, rows = -(-width_px // TILE), -(-height_px // TILE)
    strips = 1 if views >= workers else min(-(-2 * workers // views), max(columns // 4, 1))
    storeys = 1 if views >= workers else min(-(-workers // (views * strips)), max(rows // 4, 1))
    across = np.linspace(0, columns, strips + 1).astype(np.int32)
    down = np.linspace(0, rows, storeys + 1).astype(np.int32)
    return np.array(
        [(x0, y0, x1 - x0, y1 - y0) for y0, y1 in pairwise(down) for x0, x1 in pairwise(across)],
        dtype=np.int32,
    )


def _in_threads(arrays: tuple, workers: int) -> np.ndarray:
    """Draws all regions on `workers` threads; plain ones, since numba's own parallel loops take
    three times as long to compile.
    """
    with ThreadPoolExecutor(max(workers - 1, 1), "s2e-splats") as others:
        waiting = [others.submit(draw_share, w, workers, *arrays) for w in range(1, workers)]
        return draw_share(0, workers, *arrays) + sum(share.result() for share in waiting)


def render_splats(
    prepared: PreparedSplats, views: Views, dtype: type = np.uint8, detail_px: float = 0.0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draws splats over a background that they occlude and that occludes them.

    The mathematics is that of 3DGS as gsplat has it: EWA projection, 0.3 px^2 of blur, alpha at
    most 0.999 and at least 1/255, transmittance down to 1e-4, pixel centres at half integers,
    spherical harmonics up to degree 3; Gaussians nearer than 0.1 m are skipped.

    Args:
        prepared: the scene, from `prepare`.
        views: V cameras, and what is behind.
        dtype: np.uint8, colours 0..255, or np.float32, colours 0..1 that are not clipped above.
        detail_px: clusters of Gaussians are drawn merged, two or four to one, where what that makes
            of them is smaller than this (px, root mean square over a cluster of the root of a
            covariance's trace); 0 draws all of them. Above 0 it needs
            `prepare(splats, coarse=True)`.

    Returns:
        rgb (V, H, W, 3) of `dtype`; depth (V, H, W) float32, the expected depth along the optical
        axis, the background included where its depth is finite, infinite where there is nothing;
        alpha (V, H, W) float32, what the Gaussians cover of the background.
    """
    return render_counted(prepared, views, dtype, detail_px)[:3]


def render_counted(
    prepared: PreparedSplats, views: Views, dtype: type = np.uint8, detail_px: float = 0.0
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """`render_splats`, and what it cost: (2,) int64 Gaussians projected, and Gaussians in tiles
    that were blended, in all views.
    """
    count, height, width = len(views), views.height_px, views.width_px
    workers = numba.get_num_threads()
    if views.lens not in ("pinhole", "fisheye"):
        raise ValueError(f"lens is {views.lens!r}; it is pinhole or fisheye")
    if dtype not in (np.uint8, np.float32):
        raise ValueError(f"dtype is {dtype!r}; it is np.uint8 or np.float32")
    if not detail_px >= 0 or (detail_px > 0 and not prepared.coarse):
        raise ValueError(
            f"detail_px is {detail_px}; above 0 it needs prepare(splats, coarse=True), below 0 it "
            "means nothing"
        )
    cameras = np.asarray(views.intrinsics, dtype=np.float32)
    if cameras.shape not in ((4,), (count, 4)):
        raise ValueError(f"intrinsics have shape {cameras.shape}, expected (4,) or ({count}, 4)")
    rgb = np.empty((count, height, width, 3), dtype)
    depth, alpha = (np.empty((count, height, width), np.float32) for _ in range(2))
    back_rgb, back_depth = np.asarray(views.background_rgb), views.background_depth
    if back_rgb.ndim == 1:  # one pixel stands for all
        back_rgb = np.clip(np.round(back_rgb), 0, 255).astype(np.uint8)[None, None, None]
    elif back_rgb.shape[1:] != (height, width, 3) or len(back_rgb) not in (1, count):
        raise ValueError(
            f"background_rgb has shape {back_rgb.shape}, expected {count} images of {height} x "
            f"{width}"
        )
    sky = back_depth is None
    if back_depth is None:
        back_depth = np.zeros((1, 1, 1))
    elif back_depth.shape[1:] != (height, width) or len(back_depth) not in (1, count):
        raise ValueError(
            f"background_depth has shape {back_depth.shape}, expected {count} images of "
            f"{height} x {width}"
        )
    work = np.zeros(2, np.int64)
    if count and height and width:
        bands, none = _bands(count, height, width, workers), np.zeros((1, 0))
        arrays = (
            prepared.packed,
            prepared.sh,
            prepared.terms,
            prepared.clusters,
            prepared.groups,
            np.ascontiguousarray(views.positions, dtype=np.float32),
            np.ascontiguousarray(views.rotations, dtype=np.float32),
            np.array(np.broadcast_to(cameras, (count, 4)), order="C"),
            views.lens == "fisheye",
            bool(views.antialiased),
            np.ascontiguousarray(back_rgb, dtype=np.uint8).reshape(len(back_rgb), -1),
            np.ascontiguousarray(back_depth, dtype=np.float32).reshape(len(back_depth), -1),
            not sky,
            height,
            width,
            bands,
            np.float32(detail_px),
            rgb.reshape(count, -1) if dtype == np.uint8 else none.astype(np.uint8),
            rgb.reshape(count, -1) if dtype == np.float32 else none.astype(np.float32),
            depth.reshape(count, -1),
            alpha.reshape(count, -1),
        )
        work = _in_threads(arrays, min(workers, count * len(bands)))
    return rgb, depth, alpha, work
