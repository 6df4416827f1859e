"""Depth for photographs that came without any: depths at which neighbouring photographs agree (a
plane sweep, Collins 1996).

Coarse, at half the size and with few depths, and only where two views say the same: something to
begin with, not a result.
"""

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, grid_sample, interpolate
from tqdm import tqdm

from s2e.envs.scan.photos.pictures import Photo, lifted
from s2e.envs.splats.gradients import View

LEVELS = 64
VIEWS = 200
"""Photographs that get depths, evenly chosen."""
_BESIDE = 6
_WINDOW = 5
_SAME_WAY = 0.75
"""Cosine between the directions of views that may show the same."""
_APART = 0.02, 0.35
"""Least and most distance of two views, over the median depth that is looked for."""
_SHARP = 0.85
"""The lowest cost over the lowest elsewhere, of a depth that is taken."""
_AGREE = 0.06
"""Relative difference of depths at which two views say the same."""
_HIGH, _PLAIN = 1.0, 0.25


def sweep(photos: list[Photo], near: float, far: float) -> list[Photo]:
    """Photographs with the depth on which others agree.

    Args:
        photos: with their cameras, without depth. near, far: depths to look at, in the cameras'
            units.

    Returns:
        The same photographs; of `VIEWS` of them at most, evenly chosen, with a depth that is 0
        where nothing is known.
    """
    every = -(-len(photos) // VIEWS)
    chosen = photos[::every]
    small = [_small(photo) for photo in chosen]
    beside = [_beside(k, chosen, near, far) for k in range(len(chosen))]
    bar = tqdm(beside, desc="first depths", unit="photo", leave=False, disable=None)
    depths = [_depth_of(k, small, others, near, far) for k, others in enumerate(bar)]
    agreed = [_agreed(k, small, depths, others) for k, others in enumerate(beside)]
    out = list(photos)
    out[::every] = [
        replace(photo, depth=_full_size(depth, photo))
        for photo, depth in zip(chosen, agreed, strict=True)
    ]
    return out


def _full_size(depth: np.ndarray, photo: Photo) -> np.ndarray:
    """(H, W) the nearest values of a depth at another size."""
    height, width = photo.rgb.shape[:2]
    rows, columns = (
        np.arange(size) * depth.shape[k] // size for k, size in enumerate((height, width))
    )
    return depth[rows][:, columns]


def _small(photo: Photo) -> tuple[View, Tensor, Tensor]:
    """A photograph at half the size: its camera, colours (1, 3, h, w) in 0..1, and the same less
    what is smooth in them.
    """
    view = photo.view
    size = (max(view.height_px // 2, 8), max(view.width_px // 2, 8))
    rgb = interpolate(
        torch.from_numpy(photo.rgb).permute(2, 0, 1)[None].float() / 255.0, size, mode="area"
    )
    scale = np.array([size[1] / view.width_px, size[0] / view.height_px] * 2)
    return (
        View(view.position, view.rotation, view.intrinsics * scale, *size),
        rgb,
        rgb - _mean(rgb, 9),
    )


def _mean(image: Tensor, window: int = _WINDOW) -> Tensor:
    return avg_pool2d(image, window, 1, window // 2, count_include_pad=False)


def _beside(k: int, photos: list[Photo], near: float, far: float) -> list[int]:
    """The photographs to compare with: nearest first, of those that look the same way from
    somewhere else.
    """
    middle = np.sqrt(near * far)
    here = photos[k].view
    away = np.array([np.linalg.norm(photo.view.position - here.position) for photo in photos])
    along = np.array([photo.view.rotation[2] @ here.rotation[2] for photo in photos])
    fits = (away > _APART[0] * middle) & (away < _APART[1] * middle * 4) & (along > _SAME_WAY)
    order = np.flatnonzero(fits)[np.argsort(np.abs(away[fits] - 0.15 * middle))]
    return [int(i) for i in order[:_BESIDE]]


def _pixels(view: View) -> tuple[np.ndarray, np.ndarray]:
    y, x = np.mgrid[: view.height_px, : view.width_px] + 0.5
    return x.ravel(), y.ravel()


def _depth_of(
    k: int, small: list[tuple[View, Tensor, Tensor]], beside: list[int], near: float, far: float
) -> np.ndarray:
    """(h, w) the depth at which a photograph agrees best with those beside it; 0 where none is
    clearly best.
    """
    view, rgb, detail = small[k]
    if len(beside) < 2:
        return np.zeros((view.height_px, view.width_px), np.float32)
    inverse = np.linspace(1.0 / far, 1.0 / near, LEVELS)
    x, y = _pixels(view)
    rays = lifted(view, x, y, np.ones(len(x))) - view.position
    costs = torch.full((LEVELS, view.height_px, view.width_px), 2.0)
    for level, one in enumerate(inverse):
        points = view.position + rays / one
        apart = torch.stack([_apart(points, (rgb, detail), small[other]) for other in beside])
        costs[level] = apart.sort(0).values[:2].mean(0)
    costs = _mean(costs[None])[0]
    best = costs.argmin(0)
    lowest = costs.gather(0, best[None])[0]
    level = torch.arange(LEVELS)[:, None, None]
    elsewhere = torch.where((level - best[None]).abs() <= 3, torch.tensor(9.0), costs).amin(0)
    clear = (lowest < _SHARP * elsewhere) & (best > 0) & (best < LEVELS - 1)
    inside = best.clamp(1, LEVELS - 2)
    before, after = (costs.gather(0, (inside + d)[None])[0] for d in (-1, 1))
    shift = (0.5 * (before - after) / (before + after - 2 * lowest).clamp_min(1e-6)).clamp(
        -0.5, 0.5
    )
    found = 1.0 / (inverse[0] + (inside + shift) * (inverse[1] - inverse[0]))
    return torch.where(clear, found, 0.0).numpy().astype(np.float32)


def _apart(
    points: np.ndarray, mine: tuple[Tensor, Tensor], other: tuple[View, Tensor, Tensor]
) -> Tensor:
    """(h, w) how much what another photograph shows at points differs from one's own; 1 beyond its
    edges.
    """
    view, rgb, detail = other
    x, y, z = ((points - view.position) @ view.rotation.T).T
    fx, fy, cx, cy = view.intrinsics
    deep = np.maximum(z, 1e-6)
    grid = np.stack(
        [
            2 * (fx * x / deep + cx) / view.width_px - 1,
            2 * (fy * y / deep + cy) / view.height_px - 1,
        ],
        -1,
    )
    shape = mine[0].shape[2:]
    at = torch.from_numpy(np.clip(grid, -9, 9).astype(np.float32)).reshape(1, *shape, 2)
    there = grid_sample(torch.cat([rgb, detail], 1), at, align_corners=False)[0]
    apart = _PLAIN * (there[:3] - mine[0][0]).abs().mean(0) + _HIGH * (
        there[3:] - mine[1][0]
    ).abs().mean(0)
    outside = torch.from_numpy((np.abs(grid) > 1).any(-1) | (z < 1e-3)).reshape(shape)
    return torch.where(outside, 1.0, apart)


def _agreed(
    k: int, small: list[tuple[View, Tensor, Tensor]], depths: list[np.ndarray], beside: list[int]
) -> np.ndarray:
    """(h, w) a photograph's depth where those of others confirm it, elsewhere 0."""
    view, _, _ = small[k]
    deep = depths[k].ravel()
    x, y = _pixels(view)
    known = np.flatnonzero(deep > 0)
    points, confirmed = lifted(view, x[known], y[known], deep[known]), np.zeros(len(known), bool)
    for other in beside:
        there, _, _ = small[other]
        px, py, pz = ((points - there.position) @ there.rotation.T).T
        fx, fy, cx, cy = there.intrinsics
        z = np.maximum(pz, 1e-6)
        column, row = np.floor(fx * px / z + cx), np.floor(fy * py / z + cy)
        inside = (
            (pz > 0)
            & (column >= 0)
            & (column < there.width_px)
            & (row >= 0)
            & (row < there.height_px)
        )
        at = depths[other][
            np.where(inside, row, 0).astype(int), np.where(inside, column, 0).astype(int)
        ]
        confirmed |= inside & (np.abs(at - pz) < _AGREE * pz)
    out = np.zeros(len(deep), np.float32)
    out[known[confirmed]] = deep[known[confirmed]]
    return out.reshape(depths[k].shape)
