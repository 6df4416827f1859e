"""The CPU kernels against the torch twin of gsplat: several scenes, cameras, lenses and modes, over
backgrounds with depth."""

import os
from pathlib import Path

import numba
import numpy as np
import pytest

from s2e.core.errors import UserError
from s2e.envs.geometry.camera import Camera, camera_poses
from s2e.envs.geometry.scene import Splats
from s2e.envs.scenes.files import load_scene
from s2e.envs.splats import reference
from s2e.envs.splats.formats.any import read_splats
from s2e.envs.splats.reference import render_reference
from s2e.envs.splats.render import prepare, render_splats
from s2e.envs.splats.views import Views

pytest.importorskip("gsplat")
ROOT = Path(__file__).resolve().parents[3]
DATA = Path(os.environ.get("S2E_SHARED_DATA", ROOT.parent / "shared" / "data")) / "splats"
CAMERA = Camera(height_px=60, width_px=90, x=0.0, pitch_deg=2.0)
SIZE = CAMERA.height_px, CAMERA.width_px


pytestmark = pytest.mark.usefixtures("one_thread")


def random_splats(seed: int, count: int, coefficients: int, low_m: float, high_m: float) -> Splats:
    """Gaussians in a box around the cameras with axes of `low_m` to `high_m`."""
    rng = np.random.default_rng(seed)
    quats = rng.normal(size=(count, 4))
    return Splats(
        means=rng.uniform((-5, -5, -0.5), (5, 5, 2.5), (count, 3)).astype(np.float32),
        quats=(quats / np.linalg.norm(quats, axis=1, keepdims=True)).astype(np.float32),
        scales=np.exp(rng.uniform(np.log(low_m), np.log(high_m), (count, 3))).astype(np.float32),
        opacities=rng.uniform(0, 1, count).astype(np.float32),
        sh=(rng.normal(size=(count, coefficients, 3)) * 0.4).astype(np.float32),
    )


def upright(splats: Splats) -> Splats:
    """A sixth of an object's Gaussians, made wider for that, scaled and moved to stand before
    cameras at the origin, 1 to 3 m away."""
    middle, size = (
        np.median(splats.means, axis=0),
        np.quantile(np.abs(splats.means - np.median(splats.means, axis=0)), 0.98),
    )
    factor, wider = np.float32(1.0 / size), np.float32(2.2 / size)
    means = (splats.means - middle) * factor + np.array([2.0, 0.0, 0.6], np.float32)
    few = slice(None, None, 6)
    return Splats(
        means[few].astype(np.float32),
        splats.quats[few],
        splats.scales[few] * wider,
        splats.opacities[few],
        splats.sh[few],
    )


def make_scene(name: str) -> tuple[Splats, np.ndarray]:
    """Splats, and five poses x, y, yaw in them (two before a captured object)."""
    rng = np.random.default_rng(7)
    if name == "plaza":
        place = load_scene("gs_urban/plaza")
        return place.splats, np.column_stack([place.free_anchors[2:7], rng.uniform(-3, 3, 5)])  # pyright: ignore[reportReturnType]
    if name == "anisotropic":
        return random_splats(1, 3000, 16, 0.003, 0.7), rng.uniform(-3, 3, (5, 3))
    if name == "close":
        return random_splats(2, 150, 4, 0.2, 1.5), rng.uniform(-2, 2, (5, 3))
    path = DATA / name
    if not path.exists():
        pytest.skip(f"{path} is not here")
    try:
        splats = upright(read_splats(path))
    except UserError as error:
        pytest.skip(f"cannot be read: {error}")
    return splats, np.column_stack(
        [rng.uniform(-1.0, 0.6, 2), rng.uniform(-0.5, 0.5, 2), rng.uniform(-0.3, 0.3, 2)]
    )


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return float(10 * np.log10(1 / max(np.mean((a.astype(float) - b) ** 2), 1e-12)))


def views(poses: np.ndarray, lens: str):
    positions, rotations = camera_poses(poses, CAMERA)
    # not square, not centred
    lenses = np.tile(CAMERA.intrinsics(), (len(poses), 1)) * np.array([1.0, 1.05, 1.02, 0.97])
    lenses[:, :2] *= np.linspace(0.8, 1.3, len(poses))[:, None] * (
        0.7 if lens == "fisheye" else 1.0
    )
    rng = np.random.default_rng(3)
    rgb = rng.integers(0, 256, (len(poses), *SIZE, 3)).astype(np.uint8)
    depth = np.full((len(poses), *SIZE), np.inf, np.float32)
    depth[:, 20:50, 10:40] = rng.uniform(1, 6, (len(poses), 1, 1))  # something that stands there
    depth[:, 30:, 60:] = rng.uniform(0.5, 8, (len(poses), 30, 30))
    return positions, rotations, lenses, *SIZE, rgb, depth


def agree(splats: Splats, poses: np.ndarray, lens: str, antialiased: bool) -> None:
    given = views(poses, lens)
    rgb, depth, alpha = render_splats(
        prepare(splats), Views(*given, lens=lens, antialiased=antialiased), dtype=np.float32
    )
    want_rgb, want_depth, want_alpha = render_reference(splats, Views(*given, lens, antialiased))
    assert (
        np.array_equal(np.isinf(depth), np.isinf(want_depth))
        or np.mean(np.isinf(depth) != np.isinf(want_depth)) < 1e-3
    )
    for v in range(len(poses)):
        assert psnr(np.clip(rgb[v], 0, 1), np.clip(want_rgb[v], 0, 1)) > 45, f"view {v}"
        assert np.quantile(np.abs(alpha[v] - want_alpha[v]), 0.999) < 5e-3
        clear = want_alpha[v] > 0.9
        assert (
            np.quantile(np.abs(depth[v][clear] / want_depth[v][clear] - 1), 0.999, method="higher")
            < 0.01
            if clear.any()
            else True
        )
    assert (want_alpha > 0.9).sum() > 200 and want_alpha.std() > 0.05


MODES = [("pinhole", False), ("pinhole", True), ("fisheye", False), ("fisheye", True)]


@pytest.mark.parametrize("lens,antialiased", MODES)
@pytest.mark.parametrize("name", ["anisotropic", "close"])
def test_kernels_draw_what_gsplat_would_draw(name, lens, antialiased):
    agree(*make_scene(name), lens, antialiased)


@pytest.mark.parametrize(
    "lens,antialiased,count",
    [(*MODES[0], 2), *(pytest.param(*m, 5, marks=pytest.mark.slow) for m in MODES)],
)
def test_kernels_draw_the_plaza_as_gsplat_would(lens, antialiased, count):
    splats, poses = make_scene("plaza")
    agree(splats, poses[:count], lens, antialiased)


@pytest.mark.parametrize("name", ["biker.spz", "biker.compressed.ply", "playbot_sog/meta.json"])
def test_kernels_draw_captures_as_gsplat_would(name):
    for lens, antialiased in (MODES[0], MODES[3]):
        agree(*make_scene(name), lens, antialiased)


def test_modes_and_lenses_differ():
    """Or the comparisons above would compare nothing."""
    splats, poses = make_scene("anisotropic")
    given = views(poses[:1], "pinhole")
    plain, soft, round_ = (
        render_reference(splats, Views(*given, lens, mode))[0]
        for lens, mode in (("pinhole", False), ("pinhole", True), ("fisheye", False))
    )
    assert psnr(plain, soft) < 42 and psnr(plain, round_) < 30


@pytest.mark.parametrize("lens,antialiased", [("pinhole", True), ("fisheye", False)])
def test_threads_do_not_change_a_bit(lens, antialiased, monkeypatch):
    splats, poses = make_scene("anisotropic")
    given, results = views(poses, lens), []
    # the count that it reads, not that of the machine: that may have one core
    for threads in 1, 16:
        monkeypatch.setattr(numba, "get_num_threads", lambda threads=threads: threads)
        results.append(
            render_splats(prepare(splats), Views(*given, lens=lens, antialiased=antialiased))
        )
    assert all(np.array_equal(a, b) for a, b in zip(*results, strict=True))


def test_twin_stops_where_3dgs_stops():
    """Of five Gaussians of alpha 0.9 one behind the other, the fourth would leave 1e-4 of the light
    and is not drawn."""
    count = 5
    stack = Splats(
        means=np.column_stack(
            [np.arange(2.0, 2 + count), np.zeros(count), np.full(count, 0.6)]
        ).astype(np.float32),
        quats=np.tile(np.array([1, 0, 0, 0], np.float32), (count, 1)),
        scales=np.full((count, 3), 20.0, np.float32),
        opacities=np.array([0.9, 0.9, 0.9, 0.95, 0.5], np.float32),
        sh=np.zeros((count, 1, 3), np.float32),
    )
    level = Camera(height_px=9, width_px=9, x=0.0, pitch_deg=0.0)
    positions, rotations = camera_poses(np.zeros((1, 3)), level)
    rgb, depth, alpha = render_reference(
        stack, Views(positions, rotations, level.intrinsics(), 9, 9)
    )
    assert abs(alpha[0, 4, 4] - 0.999) < 1e-4 and abs(rgb[0, 4, 4, 0] - 0.5 * 0.999) < 1e-3
    assert abs(depth[0, 4, 4] - (2 * 0.9 + 3 * 0.09 + 4 * 0.009) / 0.999) < 2e-2


def test_without_gsplat_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "gsplat.cuda._torch_impl", None)
    with pytest.raises(UserError, match='pip install "gsplat'):
        reference.torch_functions()
