"""The kernels with gradients against the renderer, against the torch twin's autograd, and against
small steps."""

import inspect
from types import SimpleNamespace

import numba
import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation
from torch import Tensor
from torch.nn.functional import normalize

from s2e.core.errors import UserError
from s2e.envs.geometry.scene import Splats
from s2e.envs.splats import gradients as module
from s2e.envs.splats.gradients import Gaussians, View, look
from s2e.envs.splats.reference import torch_functions, trace, view_matrices
from s2e.envs.splats.render import prepare, render_splats
from s2e.envs.splats.views import Views

SH0 = 0.28209479177387814
VIEW = View(
    np.array([0.1, -0.2, 0.3]),
    Rotation.from_euler("xyz", [0.1, 0.2, 0.1]).as_matrix(),
    np.array([40.0, 42.0, 23.0, 17.0]),
    37,
    50,
)


def cloud(seed: int, count: int, size_m: float = 0.11) -> Gaussians:
    """Gaussians before, beside and behind the camera."""
    draw = torch.Generator().manual_seed(seed)
    means = torch.randn(count, 3, generator=draw) * torch.tensor([2.0, 2.0, 1.5]) + torch.tensor(
        [0.0, 0.0, 3.0]
    )
    quats = normalize(torch.randn(count, 4, generator=draw), dim=1)
    scales = torch.exp(torch.randn(count, 3, generator=draw) * 0.6) * size_m
    drawn = (
        means,
        quats,
        scales,
        torch.rand(count, generator=draw),
        torch.rand(count, 3, generator=draw),
    )
    return Gaussians(*(t.requires_grad_() for t in drawn))


def slow_look(gaussians: Gaussians, view: View) -> tuple[Tensor, Tensor, Tensor]:
    """`look` by the torch twin."""
    matrices, pinholes = view_matrices(view.position[None], view.rotation[None], view.intrinsics)
    means, quats, scales, opacities, colours = gaussians.tensors()
    splats = Splats(*(means, quats, scales, opacities, ((colours - 0.5) / SH0)[:, None]))  # pyright: ignore[reportArgumentType]
    sums, light = trace(
        splats, matrices[0], pinholes[0], torch.full((view.height_px, view.width_px), torch.inf)
    )
    return sums[..., :3], sums[..., 3], light


def gradients(
    how, gaussians: Gaussians, view: View, seed: int
) -> tuple[list[Tensor], list[Tensor]]:
    """What is seen, and gradients of a random sum of it, those of quaternions across these."""
    draw = torch.Generator().manual_seed(seed)
    seen = how(gaussians, view)
    loss = torch.stack(
        [(image * torch.randn(image.shape, generator=draw)).sum() for image in seen]
    ).sum()
    given = list(torch.autograd.grad(loss, gaussians.tensors()))
    quats = gaussians.quats.detach()
    given[1] = given[1] - (given[1] * quats).sum(1, keepdim=True) * quats
    return [image.detach() for image in seen], given


def same_as_the_twin(gaussians: Gaussians) -> None:
    try:
        torch_functions()
    except UserError:
        pytest.skip("gsplat is not installed")
    fast, slow = gradients(look, gaussians, VIEW, 1), gradients(slow_look, gaussians, VIEW, 1)
    for ours, theirs in zip(fast[0], slow[0], strict=True):
        assert (ours - theirs).abs().max() < 1e-3
    for ours, theirs in zip(fast[1], slow[1], strict=True):
        assert (ours - theirs).norm() < 1e-3 * theirs.norm()


def test_gradients_of_a_cloud():
    same_as_the_twin(cloud(0, 400))


def test_gradients_where_pixels_are_full():
    gaussians = cloud(1, 300, 0.6)
    with torch.no_grad():
        gaussians.opacities.clamp_(0.9, 1.0)
    same_as_the_twin(gaussians)


def test_gradients_by_small_steps():
    """Of one Gaussian before another; where alpha falls under 1/255 it jumps, so the bar is three
    per cent."""
    gaussians = cloud(2, 2, 0.5)
    with torch.no_grad():
        gaussians.means.copy_(torch.tensor([[0.3, 0.1, 2.0], [0.1, 0.0, 3.0]]))
        gaussians.opacities.copy_(torch.tensor([0.6, 0.8]))
    slope = torch.linspace(-1, 1, VIEW.width_px)

    def value() -> Tensor:
        rgb, depth, light = look(gaussians, VIEW)
        return (rgb * slope[:, None] + (depth * slope + light)[..., None]).sum()

    given = torch.autograd.grad(value(), gaussians.tensors())
    for tensor, wanted in zip(gaussians.tensors(), given, strict=True):
        if tensor is gaussians.quats:
            continue  # theirs is defined across them alone
        flat, wanted = tensor.detach().view(-1), wanted.view(-1)
        for k in range(len(flat)):
            middle = float(flat[k])
            ends = []
            for step in (0.01, -0.01):
                flat[k] = middle + step
                ends.append(float(value().detach()))
            flat[k] = middle
            assert (
                abs((ends[0] - ends[1]) / 0.02 - float(wanted[k]))
                < 0.03 * float(wanted.abs().max()) + 0.02
            )


def test_it_is_what_the_renderer_draws():
    gaussians = cloud(3, 500)
    means, quats, scales, opacities, colours = (t.detach().numpy() for t in gaussians.tensors())
    splats = Splats(means, quats, scales, opacities, ((colours - 0.5) / SH0)[:, None])
    rgb, _, alpha = render_splats(
        prepare(splats),
        Views(
            VIEW.position[None], VIEW.rotation[None], VIEW.intrinsics, VIEW.height_px, VIEW.width_px
        ),
        dtype=np.float32,
    )
    seen, _, light = look(gaussians, VIEW)
    assert np.abs(seen.detach().numpy() - rgb[0]).max() < 1e-3
    assert np.abs(1 - light.detach().numpy() - alpha[0]).max() < 1e-3


def test_nothing_to_see():
    gaussians = cloud(4, 5)
    with torch.no_grad():
        gaussians.means[:, 2] = -5.0
    seen, given = gradients(look, gaussians, VIEW, 0)
    assert not seen[0].any() and bool((seen[2] == 1).all()) and not any(g.any() for g in given)


def test_threads_change_nothing():
    gaussians, before = cloud(5, 3000, 0.05), numba.get_num_threads()
    results = []
    try:
        for threads in sorted({1, min(2, numba.get_num_threads())}):
            numba.set_num_threads(threads)
            results.append(gradients(look, gaussians, VIEW, 0))
    finally:
        numba.set_num_threads(before)
    for images, given in results[1:]:
        assert all(
            torch.equal(a, b)
            for a, b in zip(images + given, results[0][0] + results[0][1], strict=True)
        )


def test_on_cuda_gsplat_gets_the_same_call(monkeypatch):
    """With a stand-in for its rasteriser that takes what the real one takes, and the torch twin's
    mathematics."""
    gsplat = pytest.importorskip("gsplat")
    gaussians = cloud(6, 200)

    def rasterization(*words, **named):
        given = inspect.signature(gsplat.rasterization).bind(*words, **named).arguments
        assert given["render_mode"] == "RGB+D" and given["near_plane"] == 0.1
        matrix, pinhole = given["viewmats"][0].double().numpy(), given["Ks"][0].numpy()
        turn = matrix[:3, :3]
        lens = np.array([pinhole[0, 0], pinhole[1, 1], pinhole[0, 2], pinhole[1, 2]])
        view = View(-turn.T @ matrix[:3, 3], turn, lens, given["height"], given["width"])
        tensors = (given[name] for name in ("means", "quats", "scales", "opacities", "colors"))
        rgb, depth, light = slow_look(Gaussians(*tensors), view)
        return torch.cat([rgb, depth[..., None]], -1)[None], (1 - light)[None, ..., None], {}

    monkeypatch.setattr(
        module, "cuda_kernels", lambda: SimpleNamespace(rasterization=rasterization)
    )
    ours, theirs = look(gaussians, VIEW), module._look_on_cuda(gaussians, VIEW)
    assert all(
        a.shape == b.shape and (a - b).abs().max() < 1e-3 for a, b in zip(ours, theirs, strict=True)
    )
