"""Splats that learn: what a camera sees of them, as a function that torch can differentiate, on a
CPU or by gsplat on CUDA.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import Any

import numba
import numpy as np
import torch
from torch import Tensor

from s2e.envs.splats.gradient_kernels import (
    GRADS,
    blend_back_share,
    blend_share,
    fill_view,
    list_all,
    project_back_share,
    project_share,
    sum_entries,
)
from s2e.envs.splats.gsplat_backend import kernels as cuda_kernels
from s2e.envs.splats.project import NEAR_M, RECORD
from s2e.envs.splats.raster import PIXELS, TILE

_FIRST_ENTRIES = 1 << 17


@dataclass(frozen=True)
class View:
    """A pinhole camera.

    Attributes:
        position: (3,) where it is.
        rotation: (3, 3), a point p is at `rotation @ (p - position)` in the optical frame.
        intrinsics: (4,) fx, fy, cx, cy in pixels.
        height_px, width_px: the image's rows and columns.
    """

    position: np.ndarray
    rotation: np.ndarray
    intrinsics: np.ndarray
    height_px: int
    width_px: int


@dataclass(frozen=True)
class Gaussians:
    """3-D Gaussians as tensors, activated.

    Attributes:
        means: (G, 3). quats: (G, 4), unit (w, x, y, z). scales: (G, 3), standard deviations.
            opacities: (G,) in 0..1.
        colours: (G, 3), 0 is black and 1 is white.
    """

    means: Tensor
    quats: Tensor
    scales: Tensor
    opacities: Tensor
    colours: Tensor

    def tensors(self) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """All five."""
        return self.means, self.quats, self.scales, self.opacities, self.colours


def look(gaussians: Gaussians, view: View) -> tuple[Tensor, Tensor, Tensor]:
    """What a camera sees of Gaussians, over black, differentiable in all of their tensors; on the
    device that these are on.

    The mathematics is that of `s2e.envs.splats.render.render_splats`. On a CPU the result, and the
    gradients with it, do not depend on the number of threads.

    Returns:
        rgb (H, W, 3); the sum of weight times depth along the optical axis (H, W); the light that
        is left, 1 - alpha (H, W).

    Raises:
        UserError: the tensors are on CUDA and gsplat cannot be used.
    """
    if gaussians.means.device.type == "cuda":
        return _look_on_cuda(gaussians, view)
    drawn = _Look.apply(*gaussians.tensors(), view)
    return drawn[..., 1:4], drawn[..., 4], drawn[..., 0]


def _look_on_cuda(gaussians: Gaussians, view: View) -> tuple[Tensor, Tensor, Tensor]:
    device = gaussians.means.device
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = view.rotation, -view.rotation @ view.position
    fx, fy, cx, cy = view.intrinsics
    pinhole = np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]])
    given = [
        torch.as_tensor(a, dtype=torch.float32, device=device)[None] for a in (matrix, pinhole)
    ]
    drawn, alpha, _ = cuda_kernels().rasterization(
        *gaussians.tensors(),
        *given,
        view.width_px,
        view.height_px,
        near_plane=NEAR_M,
        render_mode="RGB+D",
        packed=False,
    )
    return drawn[0, ..., :3], drawn[0, ..., 3], 1.0 - alpha[0, ..., 0]


@cache
def _others(workers: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(workers, "s2e-gradients")


def _share(kernel: Any, *arrays: Any) -> None:
    """Runs a kernel's shares on all of numba's threads."""
    workers = numba.get_num_threads()
    waiting = [_others(workers - 1).submit(kernel, w, workers, *arrays) for w in range(1, workers)]
    kernel(0, workers, *arrays)
    for one in waiting:
        one.result()


_most_entries = [_FIRST_ENTRIES]


class _Look(torch.autograd.Function):
    """(H, W, 5) light, red, green, blue and depth of a view."""

    @staticmethod
    def forward(ctx: Any, *given: Any) -> Tensor:
        *tensors, view = given
        arrays = [np.ascontiguousarray(t.detach().numpy(), dtype=np.float32) for t in tensors]
        count, height, width = len(arrays[0]), view.height_px, view.width_px
        place = np.array([0, 0, -(-width // TILE), -(-height // TILE)], np.int32)
        size = int(place[2] * place[3])
        packed = np.empty(32, np.float32)
        camera, turn, eye = (
            np.ascontiguousarray(a, dtype=np.float32)
            for a in (view.intrinsics, view.rotation, view.position)
        )
        fill_view(camera, turn, eye, width, height, packed)
        records, seen = np.empty(count * RECORD, np.float32), np.empty(count, np.uint8)
        _share(project_share, *arrays, packed, np.float32(width), np.float32(height), records, seen)
        pixels = np.empty(size * PIXELS, np.float32)
        counts = np.empty(size, np.int32)
        starts = np.empty(size + 1, np.int64)
        total = -1
        while total < 0:
            room = [
                np.empty(_most_entries[0], kind)
                for kind in (np.int32, np.int64, np.int64, np.int32)
            ]
            total = list_all(records, seen, place, height, width, pixels, counts, starts, *room)
            if total < 0:
                _most_entries[0] *= 2
        _share(blend_share, records, place, starts, room[2], pixels)
        ctx.kept = (
            arrays,
            packed,
            records,
            seen,
            place,
            height,
            width,
            starts,
            room,
            total,
            pixels,
        )
        return torch.from_numpy(_image(np.abs(pixels[: size * PIXELS]), place, height, width))

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        arrays, packed, records, seen, place, height, width, starts, room, total, pixels = ctx.kept
        upstream = _tiles(grad_outputs[0].numpy(), place, height, width)
        grads = np.zeros(max(total, 1) * GRADS, np.float32)
        sums = np.zeros((len(seen), GRADS), np.float32)
        _, entries, grouped, slots = room
        _share(
            blend_back_share,
            records,
            place,
            height,
            width,
            starts,
            grouped,
            slots,
            pixels,
            upstream,
            grads,
        )
        sum_entries(entries, total, grads, sums)
        given = [np.empty_like(a) for a in arrays]
        _share(project_back_share, *arrays[:4], packed, records, seen, sums, *given)
        return *(torch.from_numpy(a) for a in given), None


def _image(pixels: np.ndarray, place: np.ndarray, height: int, width: int) -> np.ndarray:
    """(H, W, 5) of pixels laid out by tiles."""
    columns, rows = int(place[2]), int(place[3])
    whole = (
        pixels.reshape(rows, columns, 5, TILE, TILE)
        .transpose(0, 3, 1, 4, 2)
        .reshape(rows * TILE, columns * TILE, 5)
    )
    return np.ascontiguousarray(whole[:height, :width])


def _tiles(image: np.ndarray, place: np.ndarray, height: int, width: int) -> np.ndarray:
    """Pixels laid out by tiles, flat, of (H, W, 5); zeros beyond the image."""
    columns, rows = int(place[2]), int(place[3])
    whole = np.zeros((rows * TILE, columns * TILE, 5), np.float32)
    whole[:height, :width] = image
    return np.ascontiguousarray(
        whole.reshape(rows, TILE, columns, TILE, 5).transpose(0, 2, 4, 1, 3)
    ).reshape(-1)
