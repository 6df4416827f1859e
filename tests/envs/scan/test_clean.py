import numpy as np
import pytest

from s2e.envs.geometry.scene import Splats
from s2e.envs.scan.ground.clean import REASONS, clean, diameter
from s2e.envs.splats.transform import select
from tests.envs.scan.captures import Builder, disturbed, plaza, street


def marked(seed=0):
    """A square with a thin lamp, floaters in the air and below, a dome; and what each Gaussian
    is."""
    b = Builder(np.random.default_rng(seed), density=60.0)
    b.ground(-10, 10, -8, 8)
    b.rect((-10, 8, 0), (20, 0, 0), (0, 0, 5))
    b.cylinder(3, 1, 0, 0.04, 4.0, density=200)
    place = sum(len(part[0]) for part in b.parts)
    for _ in range(12):  # small clumps far from everything
        x, y, z = b.rng.uniform((-9, -7, 1.5), (9, 6, 4))
        if np.hypot(x - 3, y - 1) > 1.5:
            b.blob(x, y, z, 0.1, 5)
    b.blob(0, 0, -2.5, 0.2, 12)
    floaters = sum(len(part[0]) for part in b.parts) - place
    b.floaters(60, (-9, -7, 1), (9, 6, 4), size=(0.5, 0.8), opacity=(0.05, 0.25))
    b.dome(60.0, 200)
    b.floaters(50, (-9, -7, 0), (9, 6, 4), opacity=(0.0, 0.015))
    kind = np.repeat(np.arange(5), [place, floaters, 60, 200, 50])
    return b.splats(), kind


def test_keeps_the_place_and_removes_the_rest():
    splats, kind = marked()
    reason = clean(splats)
    assert reason.dtype == np.uint8
    assert (reason[kind == 0] == 0).mean() > 0.998
    assert (reason[kind == 1] == REASONS.index("isolated")).mean() > 0.95
    assert (reason[kind == 2] != 0).mean() > 0.7
    assert (reason[kind == 3] == REASONS.index("oversized")).mean() > 0.9
    assert (reason[kind == 3] != 0).all()
    assert (reason[kind == 4] == REASONS.index("transparent")).all()


@pytest.mark.parametrize("seed", range(3))
def test_thresholds_go_with_the_capture(seed):
    splats = plaza(seed)
    before = clean(splats)
    after = clean(disturbed(splats, seed + 5)[0])
    assert (before != after).mean() < 0.005  # voxels lie otherwise


def test_dense_facades_do_not_make_the_ground_isolated():
    splats = street(1, facade_density=300.0)
    reason = clean(splats)
    ground = (np.abs(splats.means[:, 2]) < 0.02) & (splats.opacities > 0.5)
    assert (reason[ground] == 0).mean() > 0.999


def test_a_sparse_capture_is_not_all_isolated():
    b = Builder(np.random.default_rng(0), density=0.4)
    b.ground(-20, 20, -20, 20)
    assert (clean(b.splats()) == 0).mean() > 0.9


@pytest.mark.parametrize("count", [1, 5, 40])
def test_degenerate(count):
    splats = Splats(
        np.ones((count, 3), dtype=np.float32),
        np.tile(np.array([1, 0, 0, 0], dtype=np.float32), (count, 1)),
        np.full((count, 3), 0.1, dtype=np.float32),
        np.full(count, 0.9, dtype=np.float32),
        np.zeros((count, 1, 3), dtype=np.float32),
    )
    assert (clean(splats) == 0).all()


def test_nothing():
    assert len(clean(select(plaza(0), np.zeros(0, dtype=np.int64)))) == 0


def test_diameter_ignores_what_is_far():
    rng = np.random.default_rng(0)
    means = rng.uniform(-1, 1, (5000, 3))
    means[:300] += rng.normal(size=(300, 3)) * 500
    _, size = diameter(means.astype(np.float32), np.ones(5000, dtype=np.float32))
    assert 2.0 < size < 3.5
