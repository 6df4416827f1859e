"""The torch twin of the splat renderers: gsplat's mathematics on a CPU, slow and plain, to test and
to measure against.

Projection, covariances and spherical harmonics are the functions of the gsplat wheel that its CUDA
kernels are tested with. Its blending exists for CUDA alone and is written out here: per pixel,
nearest Gaussian first, alpha at most 0.999, nothing under 1/255, until the next Gaussian would
leave no more than 1e-4 of the light.
"""

from types import ModuleType

import numpy as np
import torch
from torch import Tensor

from s2e.core.errors import optional
from s2e.envs.geometry.scene import Splats
from s2e.envs.splats.views import Views

NEAR_M = 0.1
ALPHA_MIN, ALPHA_MAX, LIGHT_MIN = 1 / 255, 0.999, 1e-4
_TILE = 16
_BATCH = 256  # Gaussians of a tile that are blended at a time


def torch_functions() -> ModuleType:
    """The functions of gsplat in plain torch.

    Raises:
        UserError: gsplat is not installed.
    """
    return optional("gsplat.cuda._torch_impl", "gsplat's own torch code", "gs")


def view_matrices(
    positions: np.ndarray, rotations: np.ndarray, intrinsics: np.ndarray
) -> tuple[Tensor, Tensor]:
    """World-to-camera matrices (V, 4, 4) and pinhole matrices (V, 3, 3), float32, from cameras as
    `Views` has them.
    """
    views = len(positions)
    turn = torch.as_tensor(np.asarray(rotations, dtype=np.float64))
    place = torch.as_tensor(np.asarray(positions, dtype=np.float64))
    matrices = torch.zeros(views, 4, 4, dtype=torch.float64)
    matrices[:, :3, :3], matrices[:, 3, 3] = turn, 1.0
    matrices[:, :3, 3] = -(turn @ place[..., None])[..., 0]
    lens = torch.as_tensor(
        np.broadcast_to(np.asarray(intrinsics, dtype=np.float64), (views, 4)).copy()
    )
    pinhole = torch.zeros(views, 3, 3, dtype=torch.float64)
    pinhole[:, 0, 0], pinhole[:, 1, 1], pinhole[:, 0, 2], pinhole[:, 1, 2], pinhole[:, 2, 2] = (
        *lens.T,
        1.0,
    )
    return matrices.float(), pinhole.float()


def backgrounds(views: Views) -> tuple[Tensor, Tensor]:
    """Colours (V, H, W, 3) in 0..1 and depths (V, H, W) of what is behind."""
    size = len(views), views.height_px, views.width_px
    colours = torch.as_tensor(np.asarray(views.background_rgb, dtype=np.float32) / 255)
    if views.background_depth is None:
        return colours.expand(*size, 3), torch.full(size, torch.inf)
    depths = torch.as_tensor(np.asarray(views.background_depth, dtype=np.float32))
    return colours.expand(*size, 3), depths.expand(size)


def _project(
    splats: Splats,
    matrix: Tensor,
    pinhole: Tensor,
    size: tuple[int, int],
    lens: str,
    antialiased: bool,
) -> list[Tensor]:
    """What one view can see, nearest first: centres (n, 2), conics (n, 3), opacities, colours (n,
    3), depths, half sizes (n, 2).
    """
    wheel = torch_functions()
    means, quats, scales, opacities, sh = (
        torch.as_tensor(a)
        for a in (splats.means, splats.quats, splats.scales, splats.opacities, splats.sh)
    )
    covariances, _ = wheel._quat_scale_to_covar_preci(quats, scales, compute_preci=False)
    radii, centres, depths, conics, compensation = wheel._fully_fused_projection(
        means,
        covariances,
        matrix[None],
        pinhole[None],
        size[1],
        size[0],
        near_plane=NEAR_M,
        calc_compensations=antialiased,
        camera_model=lens,
    )
    if antialiased:
        opacities = opacities * compensation[0]
    seen = torch.nonzero((radii[0] > 0).all(1) & (opacities >= ALPHA_MIN))[:, 0]
    seen = seen[torch.argsort(depths[0, seen], stable=True)]
    eye = -matrix[:3, :3].T @ matrix[:3, 3]
    degree = round(sh.shape[1] ** 0.5) - 1
    colours = torch.clamp_min(
        wheel._spherical_harmonics(degree, means[seen] - eye, sh[seen]) + 0.5, 0.0
    )
    return [
        centres[0, seen],
        conics[0, seen],
        opacities[seen],
        colours,
        depths[0, seen],
        radii[0, seen],
    ]


def _list_per_tile(
    centres: Tensor, radii: Tensor, size: tuple[int, int]
) -> tuple[Tensor, list[int]]:
    """Which Gaussians touch which tile: tile t's are `listed[starts[t] : starts[t + 1]]`, in the
    order given.
    """
    tiles = torch.tensor([-(-size[1] // _TILE), -(-size[0] // _TILE)])
    low = torch.minimum(torch.floor((centres - radii) / _TILE).clamp_min(0).long(), tiles)
    high = torch.minimum(torch.ceil((centres + radii) / _TILE).clamp_min(0).long(), tiles)
    span = (high - low).clamp_min(0)
    count = span.prod(1)
    gaussian = torch.repeat_interleave(torch.arange(len(centres)), count)
    within = torch.arange(len(gaussian)) - torch.repeat_interleave(
        torch.cumsum(count, 0) - count, count
    )
    wide = span[gaussian, 0]
    tile = (low[gaussian, 1] + within // wide) * tiles[0] + low[gaussian, 0] + within % wide
    tile, order = torch.sort(tile, stable=True)
    starts = torch.searchsorted(tile, torch.arange(int(tiles.prod()) + 1))
    return gaussian[order], starts.tolist()


def _blend(xy: Tensor, limit: Tensor, seen: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
    """Blends Gaussians, nearest first, at pixels `xy` (P, 2): sums (P, 4) of red, green, blue,
    depth, and what light is left (P,).
    """
    sums, light = torch.zeros(len(xy), 4), torch.ones(len(xy))
    stopped = torch.zeros(len(xy), dtype=torch.bool)
    for start in range(0, len(seen[0]), _BATCH):
        centres, conics, opacities, colours, depths = (a[start : start + _BATCH] for a in seen)
        dx, dy = (xy[None, :, i] - centres[:, i, None] for i in range(2))
        power = (
            0.5 * (conics[:, 0, None] * dx * dx + conics[:, 2, None] * dy * dy)
            + conics[:, 1, None] * dx * dy
        )
        alpha = torch.clamp_max(opacities[:, None] * torch.exp(-power), ALPHA_MAX)
        shown = (alpha >= ALPHA_MIN) & (power >= 0) & (depths[:, None] <= limit)
        alpha = torch.where(shown, alpha, 0.0)
        after = light * torch.cumprod(1 - alpha, 0)
        before = torch.cat([light[None], after[:-1]])
        # The first Gaussian that would leave too little light is not drawn, nor any behind it.
        drawn = (after > LIGHT_MIN) & ~stopped
        weight = torch.where(drawn, alpha * before, 0.0)
        sums = sums + weight.T @ torch.cat([colours, depths[:, None]], 1)
        light = torch.where(stopped, light, torch.where(drawn, after, light).amin(0))
        stopped = stopped | ~drawn[-1]
        if bool(stopped.all()):
            break
    return sums, light


@torch.no_grad()
def render_reference(splats: Splats, views: Views) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draws splats as `s2e.envs.splats.render.render_splats` does, in float32 torch.

    Returns:
        rgb (V, H, W, 3) float32 in 0..1, not clipped above; depth and alpha (V, H, W) float32 as
        there.

    Raises:
        UserError: gsplat is not installed.
    """
    size = len(views), views.height_px, views.width_px
    matrices, pinholes = view_matrices(views.positions, views.rotations, views.intrinsics)
    colours, limits = backgrounds(views)
    sums, light = torch.zeros(*size, 4), torch.ones(size)
    for v in range(len(views)):
        sums[v], light[v] = trace(
            splats, matrices[v], pinholes[v], limits[v], views.lens, views.antialiased
        )
    rgb = sums[..., :3] + light[..., None] * colours
    depth = composite_depth(sums[..., 3], light, limits)
    return rgb.numpy(), depth.numpy(), (1 - light).numpy()


def trace(
    splats: Splats,
    matrix: Tensor,
    pinhole: Tensor,
    limits: Tensor,
    lens: str = "pinhole",
    antialiased: bool = False,
) -> tuple[Tensor, Tensor]:
    """One view, differentiable where the arrays of the splats are tensors that ask for it.

    Args:
        splats: the scene.
        matrix, pinhole: of `view_matrices`.
        limits: (H, W) depth of the background.
        lens, antialiased: as in `Views`.

    Returns:
        Sums (H, W, 4) of weight times red, green, blue and depth; the light that is left (H, W).
    """
    size = (limits.shape[0], limits.shape[1])
    ys, xs = torch.meshgrid(torch.arange(size[0]) + 0.5, torch.arange(size[1]) + 0.5, indexing="ij")
    sums, light = torch.zeros(*size, 4), torch.ones(*size)
    across = -(-size[1] // _TILE)
    *seen, radii = _project(splats, matrix, pinhole, size, lens, antialiased)
    listed, starts = _list_per_tile(seen[0].detach(), radii, size)
    for t in range(len(starts) - 1):
        if starts[t] == starts[t + 1]:
            continue
        here = listed[starts[t] : starts[t + 1]]
        rows, columns = (slice(i * _TILE, (i + 1) * _TILE) for i in divmod(t, across))
        xy = torch.stack([xs[rows, columns].reshape(-1), ys[rows, columns].reshape(-1)], 1)
        total, left = _blend(xy, limits[rows, columns].reshape(-1), tuple(a[here] for a in seen))
        sums[rows, columns] = total.reshape(sums[rows, columns].shape)
        light[rows, columns] = left.reshape(light[rows, columns].shape)
    return sums, light


def composite_depth(total: Tensor, light: Tensor, background: Tensor) -> Tensor:
    """Expected depth from the sum of weight times depth, the light that is left, and the
    background's depth.
    """
    over_sky = torch.where(light < 1, total / (1 - light).clamp_min(1e-10), torch.inf)
    return torch.where(
        torch.isinf(background),
        over_sky,
        total + light * torch.where(torch.isinf(background), 0.0, background),
    )
