"""The gsplat backend: on a CPU, with the wheel's torch versions of gsplat's functions, and on CUDA
against our kernels."""

import inspect
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from s2e.core.errors import UserError
from s2e.envs.geometry.camera import Camera, camera_poses
from s2e.envs.geometry.scene import Splats
from s2e.envs.splats import gsplat_backend, reference
from s2e.envs.splats import render as cpu
from s2e.envs.splats.reference import render_reference, view_matrices
from s2e.envs.splats.views import Views

gsplat = pytest.importorskip("gsplat")
CAMERA = Camera(height_px=24, width_px=32)
SIZE = CAMERA.height_px, CAMERA.width_px
LARGE = Camera(height_px=40, width_px=56)
"""For CUDA: the kernels written out below take a pixel at a time."""


def make_splats(seed: int, count: int = 150, coefficients: int = 4) -> Splats:
    rng = np.random.default_rng(seed)
    quats = rng.normal(size=(count, 4))
    return Splats(
        means=rng.uniform((0.5, -3, -0.5), (7, 3, 2.5), (count, 3)).astype(np.float32),
        quats=(quats / np.linalg.norm(quats, axis=1, keepdims=True)).astype(np.float32),
        scales=np.exp(rng.uniform(-4, -0.8, (count, 3))).astype(np.float32),
        opacities=rng.uniform(0, 1, count).astype(np.float32),
        sh=(rng.normal(size=(count, coefficients, 3)) * 0.4).astype(np.float32),
    )


def background(seed: int, views: int, camera: Camera = CAMERA):
    rng = np.random.default_rng(seed)
    size = camera.height_px, camera.width_px
    rgb = rng.integers(0, 256, (views, *size, 3)).astype(np.uint8)
    depth = rng.uniform(0.5, 8, (views, *size)).astype(np.float32)
    depth[:, : size[0] * 3 // 8] = np.inf
    depth[:, size[0] // 2, 20] = 0.05
    return rgb, depth


def views(count: int, seed: int = 0, camera: Camera = CAMERA):
    poses = np.random.default_rng(seed).uniform((-1.5, -1, -0.4), (0.5, 1, 0.4), (count, 3))
    lenses = np.tile(camera.intrinsics(), (count, 1)) * np.linspace(1.0, 1.4, count)[
        :, None
    ] ** np.array([1, 1, 0, 0])
    return *camera_poses(poses, camera), lenses


def packed_projection(means, covars, quats, scales, viewmats, Ks, width, height, **more):
    """`gsplat.fully_fused_projection(packed=True)` from the wheel's torch function."""
    wheel = reference.torch_functions()
    assert more.pop("packed") and covars is None
    opacities = more.pop("opacities")
    covars, _ = wheel._quat_scale_to_covar_preci(quats, scales, compute_preci=False)
    radii, centres, depths, conics, compensations = wheel._fully_fused_projection(
        means, covars, viewmats, Ks, width, height, **more
    )
    lowered = opacities * (1 if compensations is None else compensations)
    view, gaussian = torch.nonzero((radii > 0).all(-1) & (lowered >= 1 / 255), as_tuple=True)
    at = view, gaussian
    kept = [None if a is None else a[at] for a in (radii, centres, depths, conics, compensations)]
    return torch.zeros_like(view), view, gaussian, *kept


def list_tiles(
    centres, radii, depths, tile_size, across, down, *, packed, n_images, image_ids, gaussian_ids
):
    assert packed and len(gaussian_ids) == len(image_ids) == len(centres)
    assert (
        centres.dtype == torch.float32
        and radii.dtype == torch.int32
        and image_ids.dtype == torch.int64
    )
    low = torch.floor((centres - radii) / tile_size).clamp_min(0).int().tolist()
    high = torch.ceil((centres + radii) / tile_size).int().tolist()
    bits = (across * down).bit_length()
    keys = []
    for k, depth_bits in enumerate(depths.view(torch.int32).tolist()):
        for y in range(low[k][1], min(high[k][1], down)):
            tiles = range(y * across + low[k][0], y * across + min(high[k][0], across))
            keys += [
                ((((int(image_ids[k]) << bits) | tile) << 32) | depth_bits, k) for tile in tiles
            ]
    keys.sort()
    return (
        None,
        torch.tensor([k for k, _ in keys], dtype=torch.int64),
        torch.tensor([g for _, g in keys], dtype=torch.int32),
    )


def offsets(keys, n_images, across, down):
    return reference.torch_functions()._isect_offset_encode(keys, n_images, across, down)


def rasterise(
    centres, conics, colours, opacities, width, height, tile_size, starts, order, *, packed
):
    """gsplat's kernel, pixel by pixel."""
    assert packed and colours.shape[1] in (1, 2, 3, 4, 5, 8, 9)
    images, alphas = (
        torch.zeros(*starts.shape[:1], height, width, colours.shape[1]),
        torch.zeros(*starts.shape[:1], height, width, 1),
    )
    flat = [*starts.flatten().tolist(), len(order)]
    centres, conics, colours, opacities = (
        a.double().numpy() for a in (centres, conics, colours, opacities)
    )
    for t in range(len(flat) - 1):
        image, tile = divmod(t, starts[0].numel())
        ty, tx = divmod(tile, starts.shape[2])
        here = order[flat[t] : flat[t + 1]].numpy()
        for y in range(ty * tile_size, min((ty + 1) * tile_size, height)):
            for x in range(tx * tile_size, min((tx + 1) * tile_size, width)):
                d = centres[here] - (x + 0.5, y + 0.5)
                a, b, c = conics[here].T
                alpha = np.minimum(
                    opacities[here]
                    * np.exp(-0.5 * (a * d[:, 0] ** 2 + c * d[:, 1] ** 2) - b * d[:, 0] * d[:, 1]),
                    0.999,
                )
                hits = np.flatnonzero(alpha >= 1 / 255)
                after = np.cumprod(1 - alpha[hits])
                drawn = hits[: int((after > 1e-4).sum())]
                before = np.concatenate([[1.0], after])[: len(drawn)]
                images[image, y, x] = torch.as_tensor(
                    (alpha[drawn] * before) @ colours[here[drawn]]
                )
                alphas[image, y, x] = 1 - (after[len(drawn) - 1] if len(drawn) else 1.0)
    return images, alphas


FAKE = SimpleNamespace(
    fully_fused_projection=packed_projection,
    isect_tiles=list_tiles,
    isect_offset_encode=offsets,
    rasterize_to_pixels=rasterise,
    spherical_harmonics=lambda degree, dirs, coeffs: (
        reference.torch_functions()._spherical_harmonics(degree, dirs, coeffs)
    ),
)


@pytest.fixture
def on_cpu(monkeypatch):
    monkeypatch.setattr(gsplat_backend, "kernels", lambda: FAKE)
    return lambda splats: gsplat_backend._upload(splats, "cpu")


@pytest.mark.parametrize(
    "lens,antialiased", [("pinhole", False), ("fisheye", False), ("pinhole", True)]
)
def test_backgrounds_as_gaussians_are_an_exact_depth_test(on_cpu, lens, antialiased):
    splats, (positions, rotations, lenses), (rgb, depth) = (
        make_splats(0, 300),
        views(2),
        background(1, 2),
    )
    got = gsplat_backend.render_splats(
        on_cpu(splats),
        Views(positions, rotations, lenses, *SIZE, rgb, depth, lens=lens, antialiased=antialiased),
        dtype=np.float32,
    )
    want = render_reference(
        splats, Views(positions, rotations, lenses, *SIZE, rgb, depth, lens, antialiased)
    )
    for mine, twins in zip(got, want, strict=True):
        assert np.array_equal(np.isinf(mine), np.isinf(twins))
        off = np.abs(np.nan_to_num(mine, posinf=0) - np.nan_to_num(twins, posinf=0))
        # an alpha of 1/255 may fall on either side
        assert off.max() < 0.05 and np.mean(off < 1e-4) > 0.995
    assert (want[2] > 0.9).any() and got[0].dtype == np.float32


def test_chunks_of_views_and_bytes(on_cpu, monkeypatch):
    splats, (positions, rotations, lenses), (rgb, depth) = (
        make_splats(2, 60),
        views(3, 4),
        background(5, 3),
    )
    whole = gsplat_backend.render_splats(
        on_cpu(splats), Views(positions, rotations, lenses, *SIZE, rgb, depth)
    )
    monkeypatch.setattr(gsplat_backend, "_CHUNK", 2 * SIZE[0] * SIZE[1])
    parts = gsplat_backend.render_splats(
        on_cpu(splats), Views(positions, rotations, lenses, *SIZE, rgb, depth)
    )
    assert whole[0].dtype == parts[0].dtype == np.uint8
    for a, b in zip(whole, parts, strict=True):
        off = np.abs(
            np.nan_to_num(a.astype(float), posinf=0) - np.nan_to_num(b.astype(float), posinf=0)
        )
        assert np.mean(off < 1e-3) > 0.995


def test_nothing_to_see_shows_the_background(on_cpu):
    none = make_splats(0, 0)
    positions, rotations, lenses = views(1)
    rgb, depth, alpha = gsplat_backend.render_splats(
        on_cpu(none), Views(positions, rotations, lenses, *SIZE, (10, 20, 30))
    )
    assert (rgb == (10, 20, 30)).all() and np.isinf(depth).all() and (alpha == 0).all()


def test_view_matrices_take_points_where_cameras_see_them():
    positions, rotations, lenses = views(4)
    matrices, pinholes = view_matrices(positions, rotations, lenses)
    points = np.random.default_rng(0).normal(size=(9, 3)).astype(np.float32)
    local, _ = reference.torch_functions()._world_to_cam(
        torch.as_tensor(points), torch.eye(3).expand(9, 3, 3), matrices
    )
    want = np.einsum("vij,vnj->vni", rotations, points - positions[:, None])
    np.testing.assert_allclose(local.numpy(), want, atol=1e-5)
    pixel = pinholes.numpy() @ want.transpose(0, 2, 1)
    np.testing.assert_allclose(
        pixel[:, 0] / pixel[:, 2],
        lenses[:, :1] * want[..., 0] / want[..., 2] + lenses[:, 2:3],
        rtol=1e-4,
    )


@pytest.mark.parametrize(
    "name",
    [
        "fully_fused_projection",
        "isect_tiles",
        "isect_offset_encode",
        "rasterize_to_pixels",
        "spherical_harmonics",
    ],
)
def test_gsplat_has_the_functions_and_arguments_that_are_used(name):
    known = list(inspect.signature(getattr(gsplat, name)).parameters)
    first = {
        "fully_fused_projection": [
            "means",
            "covars",
            "quats",
            "scales",
            "viewmats",
            "Ks",
            "width",
            "height",
        ],
        "isect_tiles": ["means2d", "radii", "depths", "tile_size", "tile_width", "tile_height"],
        "isect_offset_encode": ["isect_ids", "n_images", "tile_width", "tile_height"],
        "rasterize_to_pixels": [
            "means2d",
            "conics",
            "colors",
            "opacities",
            "image_width",
            "image_height",
            "tile_size",
            "isect_offsets",
            "flatten_ids",
        ],
        "spherical_harmonics": ["degrees_to_use", "dirs", "coeffs"],
    }[name]
    more = {
        "fully_fused_projection": {
            "near_plane",
            "packed",
            "calc_compensations",
            "camera_model",
            "opacities",
        },
        "isect_tiles": {"packed", "n_images", "image_ids", "gaussian_ids"},
        "rasterize_to_pixels": {"packed"},
    }.get(name, set())
    assert known[: len(first)] == first and more <= set(known)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_without_cuda_it_says_what_is_needed():
    with pytest.raises(UserError, match=r'NVIDIA GPU with CUDA, and gsplat; .*pip install "gsplat'):
        gsplat_backend.prepare(make_splats(0))


@pytest.mark.gpu
@pytest.mark.parametrize("lens", ["pinhole", "fisheye"])
@pytest.mark.parametrize("antialiased", [False, True])
def test_both_backends_draw_the_same(lens, antialiased):
    splats, (positions, rotations, lenses), (rgb, depth) = (
        make_splats(3, 5000, 16),
        views(5, camera=LARGE),
        background(6, 5, LARGE),
    )
    size = LARGE.height_px, LARGE.width_px
    drawn = [
        door.render_splats(
            door.prepare(splats),
            Views(
                positions, rotations, lenses, *size, rgb, depth, lens=lens, antialiased=antialiased
            ),
        )
        for door in (cpu, gsplat_backend)
    ]
    (a, depth_a, alpha_a), (b, depth_b, alpha_b) = drawn
    assert 10 * np.log10(255**2 / np.mean((a.astype(float) - b) ** 2)) > 45
    assert np.mean(np.abs(alpha_a - alpha_b) < 5e-3) > 0.99
    clear = alpha_a > 0.9
    assert np.mean(np.abs(depth_a[clear] / depth_b[clear] - 1) < 0.01) > 0.99
