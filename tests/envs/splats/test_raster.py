"""The splat rasteriser against a slow NumPy twin written straight from the formulas."""

from typing import Any

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation
from scipy.special import sph_harm_y

from s2e.envs.geometry.camera import Camera, camera_poses
from s2e.envs.geometry.scene import Splats
from s2e.envs.splats.render import covariances, prepare, render_splats
from s2e.envs.splats.views import Views

CAMERA = Camera(height_px=45, width_px=70)


def make_splats(seed: int, count: int = 400, coefficients: int = 1) -> Splats:
    rng = np.random.default_rng(seed)
    quats = rng.normal(size=(count, 4))
    return Splats(
        means=rng.uniform((-4, -4, -0.5), (4, 4, 2.5), (count, 3)).astype(np.float32),
        quats=(quats / np.linalg.norm(quats, axis=1, keepdims=True)).astype(np.float32),
        scales=np.exp(rng.uniform(-5, -0.8, (count, 3))).astype(np.float32),
        opacities=rng.uniform(0, 1, count).astype(np.float32),
        sh=(rng.normal(size=(count, coefficients, 3)) * 0.5).astype(np.float32),
    )


def real_harmonics(directions: np.ndarray, coefficients: int) -> np.ndarray:
    """Real spherical harmonics in the order and with the signs of 3DGS, from SciPy's complex
    ones."""
    theta, phi = (
        np.arccos(np.clip(directions[:, 2], -1, 1)),
        np.arctan2(directions[:, 1], directions[:, 0]),
    )
    columns = []
    for degree in range(int(np.sqrt(coefficients))):
        for m in range(-degree, degree + 1):
            value = sph_harm_y(degree, abs(m), theta, phi)
            columns.append(
                value.real if m == 0 else np.sqrt(2) * (value.imag if m < 0 else value.real)
            )
    return np.stack(columns, 1)


def pinhole(local, intrinsics, height, width):
    """Where a point falls, and the Jacobian at the point moved to the rim of what is taken."""
    (x, y, z), (fx, fy, cx, cy) = local, intrinsics
    slack_x, slack_y = 0.3 * 0.5 * width / fx, 0.3 * 0.5 * height / fy
    tx = z * np.clip(x / z, -cx / fx - slack_x, (width - cx) / fx + slack_x)
    ty = z * np.clip(y / z, -cy / fy - slack_y, (height - cy) / fy + slack_y)
    return (fx * x / z + cx, fy * y / z + cy), np.array(
        [[fx / z, 0, -fx * tx / z**2], [0, fy / z, -fy * ty / z**2]]
    )


def fisheye(local, intrinsics, height, width):
    """The equidistant lens; its Jacobian by differences."""

    def at(p):
        angle, turn = np.arccos(p[2] / np.linalg.norm(p)), np.arctan2(p[1], p[0])
        return angle * np.array([np.cos(turn), np.sin(turn)]) * intrinsics[:2] + intrinsics[2:]

    step = 1e-5 * np.linalg.norm(local)
    columns = [(at(local + step * e) - at(local - step * e)) / (2 * step) for e in np.eye(3)]
    return at(local), np.stack(columns, 1)


def twin(
    splats: Splats,
    position,
    rotation,
    intrinsics,
    size,
    back_rgb,
    back_depth,
    lens=pinhole,
    antialiased=False,
):
    """One view in float64, a Gaussian at a time over the whole image."""
    height, width = size
    means = splats.means.astype(np.float64)
    world_cov = covariances(splats.quats, splats.scales)
    directions = (means - position) / np.linalg.norm(means - position, axis=1, keepdims=True)
    basis = real_harmonics(directions, splats.sh.shape[1])
    colours = np.maximum(np.einsum("gk,gkc->gc", basis, splats.sh) + 0.5, 0)
    local = (means - position) @ rotation.T
    xs, ys = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    light, live = np.ones((height, width)), np.ones((height, width), bool)
    rgb, depth = np.zeros((height, width, 3)), np.zeros((height, width))
    for g in np.argsort(local[:, 2], kind="stable"):
        z = local[g, 2]
        if z < 0.1:
            continue
        centre, jacobian = lens(local[g], np.asarray(intrinsics, float), height, width)
        full = jacobian @ rotation
        sharp = full @ world_cov[g] @ full.T
        blurred = sharp + 0.3 * np.eye(2)
        kept = (
            np.sqrt(max(np.linalg.det(sharp) / np.linalg.det(blurred), 0)) if antialiased else 1.0
        )
        d = np.stack([xs - centre[0], ys - centre[1]], -1)
        power = -0.5 * np.einsum("hwi,ij,hwj->hw", d, np.linalg.inv(blurred), d)
        alpha = np.minimum(0.999, splats.opacities[g] * kept * np.exp(power))
        use = live & (alpha >= 1 / 255) & (z <= back_depth)
        after = light * (1 - alpha)
        live &= ~(use & (after <= 1e-4))
        use &= live
        weight = np.where(use, light * alpha, 0)
        rgb += weight[..., None] * colours[g]
        depth += weight * z
        light = np.where(use, after, light)
    mixed = depth + light * np.where(np.isfinite(back_depth), back_depth, 0)
    covered = np.maximum(1 - light, 1e-12)
    depth = np.where(np.isfinite(back_depth), mixed, np.where(light < 1, depth / covered, np.inf))
    return np.clip(255 * rgb + light[..., None] * back_rgb, 0, 255), depth, 1 - light


def psnr(a, b):
    return 10 * np.log10(255.0**2 / np.mean((np.asarray(a, float) - np.asarray(b, float)) ** 2))


@pytest.mark.parametrize("seed,coefficients", [(0, 1), (1, 4), (2, 9), (3, 16)])
def test_images_depths_and_alphas_equal_the_slow_twin(seed, coefficients):
    splats = make_splats(seed, coefficients=coefficients)
    rng = np.random.default_rng(seed)
    poses = np.array([[-3.0, 0.3, 0.1], [0.0, 0.0, 2.0]])
    positions, rotations = camera_poses(poses, CAMERA)
    shape = (2, CAMERA.height_px, CAMERA.width_px)
    back_rgb = rng.integers(0, 256, (*shape, 3)).astype(np.uint8)
    back_depth = rng.uniform(0.5, 6, shape).astype(np.float32)
    back_depth[:, :20] = np.inf
    rgb, depth, alpha = render_splats(
        prepare(splats),
        Views(positions, rotations, CAMERA.intrinsics(), *shape[1:], back_rgb, back_depth),
    )
    for v in range(2):
        want = twin(
            splats,
            positions[v],
            rotations[v],
            CAMERA.intrinsics(),
            shape[1:],
            back_rgb[v],
            back_depth[v],
        )
        assert psnr(rgb[v], want[0]) > 45
        # A Gaussian at the very edge of a threshold may fall on the other side in float32: so not
        # every pixel.
        assert np.mean(np.abs(alpha[v] - want[2]) < 1e-3) > 0.995
        assert np.array_equal(np.isinf(depth[v]), np.isinf(want[1]))
        finite = np.isfinite(want[1])
        assert np.mean(np.abs(depth[v][finite] - want[1][finite]) < 5e-3) > 0.99


def assert_like_twin(
    splats, positions, rotations, cameras, size: tuple[int, int], lens, antialiased
):
    options: Any = {
        "lens": "fisheye" if lens is fisheye else "pinhole",
        "antialiased": antialiased,
    }
    views = Views(positions, rotations, cameras, *size, (20, 90, 160), **options)
    rgb, depth, alpha = render_splats(prepare(splats), views, dtype=np.float32)
    assert rgb.dtype == np.float32
    for v in range(len(positions)):
        camera = cameras if np.ndim(cameras) == 1 else cameras[v]
        sky = np.full(size, np.inf)
        want = twin(
            splats,
            positions[v],
            rotations[v],
            camera,
            size,
            np.array([20.0, 90, 160]),
            sky,
            lens,
            antialiased,
        )
        # pixels in which a Gaussian lies on the other side of a threshold
        few = 2 + 0.005 * alpha[v].size
        assert np.abs(np.minimum(255 * rgb[v], 255) - want[0]).mean() < 0.05
        assert np.sum(np.abs(alpha[v] - want[2]) > 1e-3) < few
        solid = want[2] > 0.01
        assert np.sum(np.abs(depth[v][solid] - want[1][solid]) > 5e-3) < few


@pytest.mark.parametrize("lens", [pinhole, fisheye])
@pytest.mark.parametrize("antialiased", [False, True])
def test_lenses_and_antialiasing_equal_the_slow_twin(lens, antialiased):
    positions, rotations = camera_poses(np.array([[-3.0, 0.3, 0.1], [0.0, 0.0, 2.0]]), CAMERA)
    # A fisheye of 180 degrees: half of the width is a right angle; and one with an uneven scale and
    # an axis off the middle.
    wide = np.array([[35 / (np.pi / 2), 35 / (np.pi / 2), 35, 22.5], [30.0, 26.0, 41.0, 17.0]])
    cameras = (
        wide if lens is fisheye else np.array([[35.0, 35, 35, 22.5], [60.0, 52.0, 41.0, 17.0]])
    )
    assert_like_twin(
        make_splats(6, 250, 4), positions, rotations, cameras, (45, 70), lens, antialiased
    )


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.booleans(), st.booleans())
def test_any_camera_and_any_gaussians_equal_the_slow_twin(seed, wide, antialiased):
    rng = np.random.default_rng(seed)
    count, size = int(rng.integers(1, 40)), (int(rng.integers(1, 40)), int(rng.integers(1, 40)))
    splats = make_splats(seed, count)
    rotation = Rotation.from_quat(rng.normal(size=4)).as_matrix()[None]
    camera = np.concatenate([rng.uniform(8, 60, 2), rng.uniform(-5, 45, 2)])
    assert_like_twin(
        splats,
        rng.uniform(-4, 4, (1, 3)),
        rotation,
        camera,
        size,
        fisheye if wide else pinhole,
        antialiased,
    )


def test_what_is_brighter_than_white_stays_so_in_floats_alone():
    wall = Splats(
        means=np.array([[3.0, 0, 0.6]], np.float32),
        quats=np.array([[1, 0, 0, 0]], np.float32),
        scales=np.array([[0.01, 50, 50]], np.float32),
        opacities=np.array([1.0], np.float32),
        sh=np.full((1, 1, 3), 6.0, np.float32),
    )
    camera = Camera(pitch_deg=0.0)
    positions, rotations = camera_poses(np.zeros((1, 3)), camera)
    size = camera.height_px, camera.width_px
    view = prepare(wall), Views(positions, rotations, camera.intrinsics(), *size)
    assert (
        render_splats(*view, dtype=np.float32)[0].min() > 2.1
        and (render_splats(*view)[0] == 255).all()
    )


def test_background_hides_and_is_hidden():
    wall = Splats(
        means=np.array([[3.0, 0, 0.6]], np.float32),
        quats=np.array([[1, 0, 0, 0]], np.float32),
        scales=np.array([[0.01, 50, 50]], np.float32),
        opacities=np.array([1.0], np.float32),
        sh=np.full((1, 1, 3), 100.0, np.float32),
    )
    positions, rotations = camera_poses(np.zeros((2, 3)), Camera(x=0.0, pitch_deg=0.0))
    camera = Camera(pitch_deg=0.0)
    shape = (2, camera.height_px, camera.width_px)
    back = np.full((*shape, 3), (0, 80, 0), np.uint8)
    back_depth = np.stack(
        [np.full(shape[1:], 2.9, np.float32), np.full(shape[1:], 3.1, np.float32)]
    )
    rgb, depth, alpha = render_splats(
        prepare(wall),
        Views(positions, rotations, camera.intrinsics(), *shape[1:], back, back_depth),
    )
    assert (rgb[0] == (0, 80, 0)).all() and (alpha[0] == 0).all() and np.allclose(depth[0], 2.9)
    assert (
        (rgb[1, ..., 0] > 250).all()
        and (alpha[1] > 0.99).all()
        and np.allclose(depth[1], 3.0, atol=0.01)
    )


def test_thread_count_does_not_change_a_bit(monkeypatch):
    splats = make_splats(5)
    poses = np.random.default_rng(0).uniform(-3, 3, (7, 3))
    positions, rotations = camera_poses(poses, CAMERA)
    results = []
    # the count that it reads, not that of the machine: that may have one core
    for threads in 1, 2, 16:
        monkeypatch.setattr(numba, "get_num_threads", lambda threads=threads: threads)
        results.append(
            render_splats(prepare(splats), Views(positions, rotations, CAMERA.intrinsics(), 45, 70))
        )
    alone = [
        render_splats(
            prepare(splats),
            Views(positions[v : v + 1], rotations[v : v + 1], CAMERA.intrinsics(), 45, 70),
        )
        for v in range(7)
    ]
    results.append(tuple(np.concatenate(parts) for parts in zip(*alone, strict=True)))
    for other in results[1:]:
        assert all(np.array_equal(a, b) for a, b in zip(results[0], other, strict=True))


def test_regions_of_one_view_make_the_whole(monkeypatch):
    camera = Camera(height_px=120, width_px=200)
    positions, rotations = camera_poses(np.zeros((1, 3)), camera)
    prepared = prepare(make_splats(8, 3000))
    behind = (9, 9, 9), np.full((1, 120, 200), 5.0, np.float32)
    view = prepared, Views(positions, rotations, camera.intrinsics(), 120, 200, *behind)
    results = []
    for threads in (1, 2, 3, 16):
        monkeypatch.setattr(numba, "get_num_threads", lambda threads=threads: threads)
        results.append(render_splats(*view))
    for other in results[1:]:
        assert all(np.array_equal(a, b) for a, b in zip(results[0], other, strict=True))


@pytest.mark.slow
def test_many_layers_are_drawn_in_parts_as_they_would_be_at_once():
    """More Gaussians in more tiles than are listed at a time, some far behind walls that end all
    light."""
    rng = np.random.default_rng(3)
    count = 4500
    means = rng.uniform((1, -1, -1), (9, 1, 1), (count, 3)) * np.array([1, 4, 4])
    large = Splats(
        means=means.astype(np.float32),
        quats=np.tile(np.array([[1, 0, 0, 0]], np.float32), (count, 1)),
        scales=rng.uniform(0.02, 0.6, (count, 3)).astype(np.float32),
        opacities=rng.uniform(0.02, 0.2, count).astype(np.float32),
        sh=rng.normal(size=(count, 1, 3)).astype(np.float32),
    )
    camera = Camera(height_px=64, width_px=72)
    positions, rotations = camera_poses(np.zeros((1, 3)), camera)
    rgb, _, alpha = render_splats(
        prepare(large), Views(positions, rotations, camera.intrinsics(), 64, 72)
    )
    want = twin(
        large,
        positions[0],
        rotations[0],
        camera.intrinsics(),
        (64, 72),
        np.zeros(3),
        np.full((64, 72), np.inf),
    )
    assert psnr(rgb[0], want[0]) > 45 and np.abs(alpha[0] - want[2]).max() < 5e-3


def test_odd_gaussians_change_nothing_that_they_should_not():
    positions, rotations = camera_poses(np.zeros((1, 3)), Camera(x=0.0, pitch_deg=0.0))
    camera = Camera(height_px=45, width_px=70, x=0.0, pitch_deg=0.0)
    odd = Splats(
        # a point, one behind, one at the camera, one far off, one invisible, and one as large as a
        # town
        means=np.array(
            [[2, 0, 0.6], [-2, 0, 0.6], [0, 0, 0.6], [2, 500, 0.6], [2, 0, 0.6], [3e3, 0, 0]],
            np.float32,
        ),
        quats=np.tile(np.array([[1, 0, 0, 0]], np.float32), (6, 1)),
        scales=np.array(
            [[0, 0, 0], [1, 1, 1], [0, 0, 0], [1, 1, 1], [1, 1, 1], [1e3, 1e3, 1e3]], np.float32
        ),
        opacities=np.array([0.9, 1, 1, 1, 0.001, 0.5], np.float32),
        sh=np.zeros((6, 1, 3), np.float32),
    )
    rgb, depth, alpha = render_splats(
        prepare(odd), Views(positions, rotations, camera.intrinsics(), 45, 70, (200, 0, 0))
    )
    want = twin(
        odd,
        positions[0],
        rotations[0],
        camera.intrinsics(),
        (45, 70),
        np.array([200.0, 0, 0]),
        np.full((45, 70), np.inf),
    )
    assert not np.isnan(depth).any()
    assert psnr(rgb[0], want[0]) > 45 and np.abs(alpha[0] - want[2]).max() < 1e-3
    # the point, over the town
    assert alpha[0, 21:24, 33:37].max() > alpha[0, 21:24, 28:31].max() + 0.2


def test_no_gaussians_and_no_views():
    def none(*shape: int) -> np.ndarray:
        return np.zeros((0, *shape), np.float32)

    empty = Splats(means=none(3), quats=none(4), scales=none(3), opacities=none(), sh=none(1, 3))
    positions, rotations = camera_poses(np.zeros((1, 3)), CAMERA)
    rgb, depth, alpha = render_splats(
        prepare(empty), Views(positions, rotations, CAMERA.intrinsics(), 45, 70, (1, 2, 3))
    )
    assert (rgb == (1, 2, 3)).all() and np.isinf(depth).all() and (alpha == 0).all()
    nothing = render_splats(
        prepare(empty), Views(positions[:0], rotations[:0], CAMERA.intrinsics(), 45, 70)
    )
    assert nothing[0].shape == (0, 45, 70, 3)


def test_mismatched_background_is_refused():
    positions, rotations = camera_poses(np.zeros((2, 3)), CAMERA)
    with pytest.raises(ValueError, match="background_depth"):
        render_splats(
            prepare(make_splats(0)),
            Views(
                positions,
                rotations,
                CAMERA.intrinsics(),
                45,
                70,
                background_depth=np.zeros((2, 45, 71), np.float32),
            ),
        )


@pytest.mark.parametrize(
    "more,what",
    [
        ({"lens": "orthographic"}, "lens"),
        ({"dtype": np.float64}, "dtype"),
        ({"intrinsics": np.ones((3, 4))}, "intrinsics"),
    ],
)
def test_what_it_cannot_draw_is_refused(more, what):
    positions, rotations = camera_poses(np.zeros((2, 3)), CAMERA)
    options: Any = {"intrinsics": CAMERA.intrinsics(), **more}
    dtype = options.pop("dtype", np.uint8)
    views = Views(positions, rotations, height_px=45, width_px=70, **options)
    with pytest.raises(ValueError, match=what):
        render_splats(prepare(make_splats(0, 3)), views, dtype)
