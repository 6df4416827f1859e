"""Draws Gaussian splats with gsplat's CUDA kernels: the same call as `s2e.envs.splats.render`, for
machines with an NVIDIA GPU.

gsplat blends what it sorted by depth and knows of no background that is at different depths at
different pixels. So the background is handed to it as Gaussians too: where it has a depth, each
pixel gets two of its own colour, a fraction of a pixel wide, at that depth. One takes 0.999 of the
light that reaches it, the other would leave under 1e-4 and so ends the pixel; what is left is given
the same colour. That is an exact depth test per pixel. A fifth channel counts what the background
took, so that alpha is what the scene's Gaussians cover of it.
"""

from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from s2e.core.errors import UserError, how_to_install
from s2e.envs.geometry.scene import Splats
from s2e.envs.splats.reference import ALPHA_MIN, NEAR_M, backgrounds, composite_depth, view_matrices
from s2e.envs.splats.views import Views

_TILE = 16
# Gaussians times views of one call: bounds the memory, some 150 bytes for each that is seen
_CHUNK = 1 << 25
_SHARP = 100.0  # conic of a background pixel: alpha is under 1/255 at its neighbours


@dataclass(frozen=True)
class CudaSplats:
    """Splats on a GPU; the tensors are those of `Splats`."""

    means: Tensor
    quats: Tensor
    scales: Tensor
    opacities: Tensor
    sh: Tensor


def kernels() -> ModuleType:
    """gsplat, on a machine that can run it.

    Raises:
        UserError: gsplat or CUDA is missing.
    """
    needs = (
        "--splat-backend gsplat needs an NVIDIA GPU with CUDA, and gsplat; "
        f"{how_to_install('gs', 'gsplat')}"
    )
    if not torch.cuda.is_available():
        raise UserError(f"torch finds no CUDA device; {needs}: use the backend cpu here")
    try:
        import gsplat
        from gsplat.cuda._backend import _C  # pyright: ignore[reportAttributeAccessIssue]
    except ImportError as error:
        raise UserError(f"gsplat cannot be imported ({error}); {needs}") from None
    if _C is None:
        raise UserError(
            "gsplat has no compiled kernels here and finds no CUDA toolkit (nvcc) to compile them "
            f"with; {needs}"
        )
    return gsplat


def prepare(splats: Splats) -> CudaSplats:
    """Copies splats to the GPU.

    Raises:
        UserError: gsplat or CUDA is missing.
    """
    kernels()
    return _upload(splats, "cuda")


def _upload(splats: Splats, device: str) -> CudaSplats:
    """What can be seen of splats; where that is none, one Gaussian that cannot, since gsplat
    divides by their number.
    """
    seen = np.flatnonzero(splats.opacities >= ALPHA_MIN)
    names = ("means", "quats", "scales", "opacities", "sh")
    if not len(seen):
        shapes = ((1, 3), (1, 4), (1, 3), (1,), (1, 1, 3))
        return CudaSplats(
            **{n: torch.zeros(s, device=device) for n, s in zip(names, shapes, strict=True)}
        )
    arrays = {n: np.ascontiguousarray(getattr(splats, n)[seen], dtype=np.float32) for n in names}
    return CudaSplats(**{n: torch.as_tensor(a, device=device) for n, a in arrays.items()})


def render_splats(
    prepared: CudaSplats, views: Views, dtype: type = np.uint8
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draws splats as `s2e.envs.splats.render.render_splats` does; see there for arguments and
    results. `prepared` comes from `prepare` of this module.

    Raises:
        UserError: gsplat or CUDA is missing.
    """
    gsplat, size = kernels(), (len(views), views.height_px, views.width_px)
    matrices, pinholes = view_matrices(views.positions, views.rotations, views.intrinsics)
    colours, limits = backgrounds(views)
    rgb = np.empty((*size, 3), dtype)
    depth, alpha = (np.empty(size, np.float32) for _ in range(2))
    step = max(_CHUNK // max(len(prepared.means), size[1] * size[2]), 1)
    with torch.inference_mode():
        for start in range(0, len(views), step):
            some = slice(start, start + step)
            given = [
                a[some].to(prepared.means.device) for a in (matrices, pinholes, colours, limits)
            ]
            drawn = _draw(gsplat, prepared, given, views.lens, views.antialiased)
            image = (
                drawn[0] if dtype == np.float32 else (255 * drawn[0]).round().clamp(0, 255).byte()
            )
            rgb[some], depth[some], alpha[some] = (a.cpu().numpy() for a in (image, *drawn[1:]))
    return rgb, depth, alpha


def _draw(
    gsplat: Any, splats: CudaSplats, given: list[Tensor], lens: str, antialiased: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Colours in 0..1, depths and alphas of views (V).

    Args:
        gsplat: what has the functions of that package.
        splats: the scene.
        given: matrices and pinholes of `view_matrices`, colours and depths of `backgrounds`, on the
            device of the splats.
        lens, antialiased: as in `Views`.
    """
    matrices, pinholes, colours, limits = given
    views, height, width = limits.shape
    _, view, gaussian, radii, centres, depths, conics, compensations = (
        gsplat.fully_fused_projection(
            splats.means,
            None,
            splats.quats,
            splats.scales,
            matrices,
            pinholes,
            width,
            height,
            near_plane=NEAR_M,
            packed=True,
            calc_compensations=antialiased,
            camera_model=lens,
            opacities=splats.opacities,
        )
    )
    opacities = splats.opacities[gaussian] * (compensations if antialiased else 1.0)
    eyes = -(matrices[:, :3, :3].transpose(1, 2) @ matrices[:, :3, 3:])[..., 0]
    degree = round(splats.sh.shape[1] ** 0.5) - 1
    seen_rgb = gsplat.spherical_harmonics(
        degree, splats.means[gaussian] - eyes[view], splats.sh[gaussian]
    )
    features = torch.cat(
        [torch.clamp_min(seen_rgb + 0.5, 0.0), depths[:, None], torch.zeros_like(depths)[:, None]],
        1,
    )
    # The background's pixels, as Gaussians of their own.
    v, row, column = torch.nonzero(torch.isfinite(limits), as_tuple=False).repeat(2, 1).unbind(1)
    far, one = limits[v, row, column], torch.ones(len(v), device=v.device)
    xy = torch.stack([column, row], 1) + 0.5
    sharp = torch.stack([_SHARP * one, 0 * one, _SHARP * one], 1)
    centres, conics = torch.cat([centres, xy.to(centres.dtype)]), torch.cat([conics, sharp])
    # gsplat sorts by the bits of a depth, which is right for positive ones.
    depths, opacities = torch.cat([depths, far.clamp_min(1e-3)]), torch.cat([opacities, one])
    radii = torch.cat([radii, torch.ones(len(v), 2, dtype=radii.dtype, device=v.device)])
    features = torch.cat(
        [features, torch.cat([colours[v, row, column], far[:, None], one[:, None]], 1)]
    )
    view = torch.cat([view, v.to(view.dtype)])
    gaussian = torch.cat([gaussian, torch.zeros_like(v, dtype=gaussian.dtype)])
    across, down = -(-width // _TILE), -(-height // _TILE)
    _, crossings, order = gsplat.isect_tiles(
        centres,
        radii,
        depths,
        _TILE,
        across,
        down,
        packed=True,
        n_images=views,
        image_ids=view,
        gaussian_ids=gaussian,
    )
    offsets = gsplat.isect_offset_encode(crossings, views, across, down).reshape(
        views, down, across
    )
    sums, covered = gsplat.rasterize_to_pixels(
        centres, conics, features, opacities, width, height, _TILE, offsets, order, packed=True
    )
    left = 1 - covered[..., 0]
    light = (left + sums[..., 4]).clamp(0, 1)
    total = sums[..., 3] - torch.where(torch.isfinite(limits), sums[..., 4] * limits, 0.0)
    return (
        sums[..., :3] + left[..., None] * colours,
        composite_depth(total, light, limits),
        1 - light,
    )
