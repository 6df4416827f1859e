"""Merged Gaussians that stand for those too small to tell apart."""

from itertools import pairwise

import numba
import numpy as np
import pytest

from s2e.benchmarks.speed.splats import city
from s2e.envs.geometry.camera import Camera, camera_poses
from s2e.envs.geometry.scene import Splats
from s2e.envs.splats import render
from s2e.envs.splats.project_pack import GEOMETRY, merged, prepare
from s2e.envs.splats.render import render_counted, render_splats
from s2e.envs.splats.views import Views

CAMERA = Camera(height_px=50, width_px=84)
POSES = np.array([[-16.0, -16.0, 0.8], [-16.0, 16.0, -0.8], [15.0, 0.0, 3.0]])


def views() -> tuple:
    return (*camera_poses(POSES, CAMERA), CAMERA.intrinsics(), CAMERA.height_px, CAMERA.width_px)


def streets(antialiased: bool = False) -> Splats:
    splats = city(50_021, 1, np.random.default_rng(3), degree=1)
    return Splats(
        splats.means, splats.quats, splats.scales, splats.opacities, splats.sh, antialiased
    )


def loss_db(one: np.ndarray, other: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / np.mean((one.astype(float) - other) ** 2)))


def rows(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Gaussians as rows of a table, their covariances as matrices, and colours."""
    half = rng.normal(size=(count, 3, 3))
    full = half @ half.transpose(0, 2, 1)
    table = np.concatenate(
        [
            rng.normal(size=(count, 3)),
            full[:, *np.triu_indices(3)],
            np.log2(rng.uniform(0.1, 0.9, (count, 1))),
        ],
        1,
    )
    return table, full, rng.normal(size=(count, 4, 3)).astype(np.float32)


def test_a_merged_gaussian_has_the_moments_of_samples_of_both():
    rng = np.random.default_rng(0)
    table, full, colours = rows(rng, 2)
    out, colour = merged(table, colours, False)
    # Both orders of depth, one after the other: what each shows of itself.
    a, b = np.exp2(table[:, 9])
    shown = np.array([a + a * (1 - b), b + b * (1 - a)]) / 2
    share = shown / shown.sum()
    samples = np.concatenate(
        [
            rng.multivariate_normal(m, c, round(400_000 * s))
            for m, c, s in zip(table[:, :3], full, share, strict=True)
        ]
    )
    np.testing.assert_allclose(out[0, :3], samples.mean(0), atol=0.02)
    np.testing.assert_allclose(out[0, 3:9], np.cov(samples.T)[np.triu_indices(3)], atol=0.04)
    np.testing.assert_allclose(np.exp2(out[0, 9]), 1 - (1 - a) * (1 - b))
    np.testing.assert_allclose(colour[0], share[0] * colours[0] + share[1] * colours[1], atol=1e-6)


def test_sharp_merging_keeps_opacity_times_area_of_faint_gaussians():
    table, _, colours = rows(np.random.default_rng(1), 2)
    table[1, 3:9], table[:, 9] = table[0, 3:9], -12.0
    out, _ = merged(table, colours, True)

    def area(row):
        matrix = np.array(
            [[row[3], row[4], row[5]], [row[4], row[6], row[7]], [row[5], row[7], row[8]]]
        )
        # the adjugate: projections in all directions
        return np.sqrt(np.trace(np.linalg.inv(matrix) * np.linalg.det(matrix)))

    before = sum(np.exp2(row[9]) * area(row) for row in table)
    np.testing.assert_allclose(np.exp2(out[0, 9]) * area(out[0]), before, rtol=1e-3)


def test_without_detail_not_a_bit_changes():
    splats = streets()
    plain, coarse = prepare(splats), prepare(splats, coarse=True)
    assert len(coarse.packed) == len(coarse.clusters) * 14 * 8 * GEOMETRY
    for one, other in zip(
        render_splats(plain, Views(*views())), render_splats(coarse, Views(*views())), strict=True
    ):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("lens", ["pinhole", "fisheye"])
@pytest.mark.parametrize("antialiased", [False, True])
def test_far_gaussians_are_drawn_merged_and_look_the_same(lens, antialiased):
    prepared = prepare(streets(antialiased), coarse=True)
    exact = render_counted(prepared, Views(*views(), lens=lens, antialiased=antialiased))
    some = render_counted(
        prepared, Views(*views(), lens=lens, antialiased=antialiased), detail_px=1.2
    )
    most = render_counted(
        prepared, Views(*views(), lens=lens, antialiased=antialiased), detail_px=1e6
    )
    assert most[3][0] < 0.5 * exact[3][0]
    assert some[3][0] < 0.95 * exact[3][0]
    assert loss_db(exact[0], some[0]) > max(40, loss_db(exact[0], most[0]) + 3)


def test_neither_threads_nor_regions_change_a_bit(monkeypatch):
    prepared, threads = prepare(streets(), coarse=True), numba.get_num_threads()
    whole = render_splats(prepared, Views(*views()), detail_px=1.5)
    for strips in (2, 3):
        cuts = np.linspace(0, -(-CAMERA.width_px // 8), strips + 1).astype(np.int32)
        bands = np.array(
            [(x0, 0, x1 - x0, -(-CAMERA.height_px // 8)) for x0, x1 in pairwise(cuts)],
            dtype=np.int32,
        )
        monkeypatch.setattr(render, "_bands", lambda *_, bands=bands: bands)
        for one, other in zip(
            whole, render_splats(prepared, Views(*views()), detail_px=1.5), strict=True
        ):
            np.testing.assert_array_equal(one, other)
    monkeypatch.undo()
    try:
        numba.set_num_threads(1)
        for one, other in zip(
            whole, render_splats(prepared, Views(*views()), detail_px=1.5), strict=True
        ):
            np.testing.assert_array_equal(one, other)
    finally:
        numba.set_num_threads(threads)


@pytest.mark.parametrize("count", [0, 1, 2, 63, 65])
def test_few_gaussians_merge_too(count):
    splats = streets()
    few = Splats(
        splats.means[:count],
        splats.quats[:count],
        splats.scales[:count],
        splats.opacities[:count],
        splats.sh[:count],
    )
    rgb, depth, alpha = render_splats(prepare(few, coarse=True), Views(*views()), detail_px=1e6)
    assert np.isfinite(alpha).all() and not np.isnan(depth).any()
    if count == 1:
        exact = render_splats(prepare(few), Views(*views()))
        np.testing.assert_allclose(alpha, exact[2], atol=1e-5)
        assert np.abs(rgb.astype(int) - exact[0]).max() <= 1


def test_detail_needs_merged_gaussians():
    prepared = prepare(streets())
    for detail_px in (0.5, -1.0, float("nan")):
        with pytest.raises(ValueError, match="detail_px"):
            render_splats(prepared, Views(*views()), detail_px=detail_px)
