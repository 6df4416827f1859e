import numpy as np
import pytest
from scipy.ndimage import binary_dilation

from s2e.core.errors import UserError
from s2e.envs.geometry.scene import Splats
from s2e.envs.scan.ground.clean import clean
from s2e.envs.scan.ground.columns import LEVEL_M, LOWEST_M, Columns, columns, fill_walked
from s2e.envs.scan.ground.voxels import LEVELS, fill
from s2e.envs.scan.places import to_ground
from s2e.envs.splats.formats.streamed import join
from s2e.envs.splats.transform import rotations, select
from tests.envs.scan import captures
from tests.envs.scan.captures import Builder


def builder(seed=0, density=80.0, noise=0.006):
    return Builder(np.random.default_rng(seed), density=density, noise=noise)


def cell(found, x, y):
    c, r = np.floor((np.array([x, y]) - found.origin) / found.resolution).astype(int)
    return r, c


def grid_xy(found):
    rows, cols = found.known.shape
    x = found.origin[0] + (np.arange(cols) + 0.5) * found.resolution
    y = found.origin[1] + (np.arange(rows) + 0.5) * found.resolution
    return np.meshgrid(x, y)


def test_fill_keeps_mass_and_moments():
    """Against the Gaussians' own moments: mass, mean and covariance of what lies in the voxels."""
    rng = np.random.default_rng(2)
    for scales in ([0.3, 0.2, 0.004], [0.15, 0.15, 0.15]):
        quats = rng.normal(size=(1, 4))
        quats = (quats / np.linalg.norm(quats)).astype(np.float32)
        means, scale = (
            rng.uniform(1.8, 2.2, (1, 3)).astype(np.float32),
            np.array([scales], dtype=np.float32),
        )
        mass = np.zeros((72, 72, LEVELS), dtype=np.float32)
        frame = np.array([0.0, 0.0, 0.0, 0.05, 0.05])
        fill(
            np.zeros(1, dtype=np.int32),
            means,
            quats,
            scale,
            np.array([0.8], dtype=np.float32),
            frame,
            0.03,
            0,
            mass,
        )
        depth = 0.8 * (1 + 0.2 + 0.64 / 9 + 0.512 / 16)
        large = np.sort(scales)[1:]
        total = float(mass.sum())
        assert total == pytest.approx(depth * 2 * np.pi * large[0] * large[1], rel=1e-3)
        mass = mass[..., :80]
        at = np.stack(
            np.meshgrid(*((np.arange(n) + 0.5) * 0.05 for n in mass.shape), indexing="ij"), -1
        )[..., [1, 0, 2]]
        mean = (mass[..., None] * at).sum((0, 1, 2)) / total
        assert np.abs(mean - means[0]).max() < 0.026
        covariance = np.einsum("abc,abci,abcj->ij", mass, at - mean, at - mean) / total
        axes = rotations(quats[0].astype(np.float64)) * scales
        # Cut at two deviations a Gaussian keeps 77 % of its variance; a voxel blurs by a twelfth of
        # its edge squared.
        assert (
            np.abs(covariance - 0.774 * axes @ axes.T).max() < 0.05 * max(scales) ** 2 + 0.05**2 / 6
        )


def test_level_ground_and_walls():
    b = builder()
    b.ground(0, 8, 0, 6)
    b.rect((0, 6, 0), (8, 0, 0), (0, 0, 3))
    b.rect((5.03, 0, 0), (0, 3, 0), (0, 0, 2))
    b.box(2, 2, 0, 1.0, 0.6, 0.5)
    found = columns(b.splats())
    x, y = grid_xy(found)
    inside = (x > 0.2) & (x < 7.8) & (y > 0.2) & (y < 5.7)
    wall = (np.abs(x - 5.03) < 0.06) & (y > 0.1) & (y < 2.9)
    box = (np.abs(x - 2) < 0.45) & (np.abs(y - 2) < 0.25)
    solid = wall | box
    apart = np.logical_not(binary_dilation(solid, iterations=2))
    free = inside & apart & ~((np.abs(x - 2) < 0.8) & (np.abs(y - 2) < 0.6))
    assert found.known[free].mean() > 0.999
    assert not found.blocked[free].any()
    assert np.quantile(np.abs(found.height[free & found.known]), 0.99) < 0.02
    assert found.blocked[wall].mean() > 0.99
    edge = (np.abs(np.abs(x - 2) - 0.5) < 0.05) & (np.abs(y - 2) < 0.25)
    assert found.blocked[edge].all()
    back = (np.abs(y - 6.0) < 0.06) & (x > 0.1) & (x < 7.9)
    assert binary_dilation(found.blocked)[back].all()
    assert np.isinf(found.overhead[free]).mean() > 0.99
    assert not found.known[x < -0.25].any()


def sheet(x, y, z, turn, scales, opacity=1.0):
    """Gaussians at (x, y, z) turned about y by `turn` degrees, all alike."""
    count, half = len(x), np.radians(turn) / 2
    return Splats(
        np.stack([x, y, z], 1).astype(np.float32),
        np.tile(np.array([np.cos(half), 0.0, np.sin(half), 0.0], np.float32), (count, 1)),
        np.tile(np.array(scales, np.float32), (count, 1)),
        np.full(count, opacity, np.float32),
        np.zeros((count, 1, 3), np.float32),
    )


@pytest.mark.parametrize("sigma", [0.2, 0.6, 1.5, 3.0])
def test_sheets_of_large_gaussians_have_no_gaps(sigma):
    """A drone's ground, and a wall of it: discs of metres, which cells of 0.1 m must not cut to a
    grating."""
    at = np.array([[-0.5, 0.5, -0.5, 0.5], [-0.5, -0.5, 0.5, 0.5]]) * sigma
    ground = sheet(at[0], at[1], np.zeros(4), 0.0, (sigma, sigma, 0.01))
    wall = sheet(np.full(1, 0.75 * sigma), np.zeros(1), np.full(1, 0.5), 90.0, (sigma, sigma, 0.01))
    found = columns(join(ground, wall))
    x, y = grid_xy(found)
    inside = (np.abs(x) < sigma) & (np.abs(y) < sigma)
    walled = np.abs(x - 0.75 * sigma) < 0.16
    assert found.known[inside & ~walled].all() and not found.blocked[inside & ~walled].any()
    assert binary_dilation(found.blocked)[inside & (np.abs(x - 0.75 * sigma) < 0.06)].all()


def test_junk_beneath_a_ground_that_rolls_does_not_crowd_it_out():
    """What trainers leave under grounds that were seen from above alone: needles on end, and crumbs
    at every height."""
    rng = np.random.default_rng(4)
    count = 16 * 8 * 60
    x, y = rng.uniform(0, 16, count), rng.uniform(0, 8, count)
    ground = sheet(x, y, 0.5 * np.sin(x / 3), 0.0, (0.12, 0.12, 0.01))
    x, y = rng.uniform((0, 0), (16, 8), (600, 2)).T
    needles = sheet(x, y, rng.uniform(-3.0, -1.5, 600), 90.0, (0.7, 0.02, 0.02))
    crumbs = rng.uniform((0, 0), (16, 8), (16 * 8 * 400, 2)).T
    depth = rng.uniform(0.15, 3.0, crumbs.shape[1])
    below = sheet(
        crumbs[0], crumbs[1], 0.5 * np.sin(crumbs[0] / 3) - depth, 0.0, (0.04, 0.04, 0.01)
    )
    found = columns(join(join(ground, needles), below))
    x, y = grid_xy(found)
    inside = (x > 0.3) & (x < 15.7) & (y > 0.3) & (y < 7.7)
    assert found.known[inside].mean() > 0.99 and found.blocked[inside].mean() < 0.01
    assert (
        np.quantile(np.abs(found.height - 0.5 * np.sin(x / 3))[inside & found.known], 0.95) < 0.06
    )


def test_ramps_steps_and_kerbs():
    b = builder()
    b.ground(0, 3, 0, 6)
    b.rect((3, 0, 0), (4, 0, 0.8), (0, 2, 0))  # a ramp of 20 %
    for k in range(5):  # steps of 0.16
        b.rect((3 + 0.3 * k, 3, 0.16 * k), (0, 2, 0), (0, 0, 0.16))
        b.ground(3 + 0.3 * k, 3.3 + 0.3 * k, 3, 5, z=0.16 * (k + 1))
    b.ground(4.5, 7, 3, 5, z=0.8)
    b.ground(7, 9, 0, 6, z=0.8)
    b.rect((0, 5.5, 0.12), (3, 0, 0), (0, 2, 0))  # a pavement over the ground's edge
    found = columns(b.splats())
    x, y = grid_xy(found)
    ramp = (x > 3.2) & (x < 6.8) & (y > 0.2) & (y < 1.8)
    assert found.known[ramp].all()
    assert not found.blocked[ramp].any()
    assert np.quantile(np.abs(found.height - 0.2 * (x - 3))[ramp], 0.99) < 0.03
    stairs = (x > 3.1) & (x < 4.5) & (y > 3.2) & (y < 4.8)
    expected = 0.16 * (np.floor((x - 3) / 0.3 + 1e-9) + 1)
    assert found.known[stairs].all()
    assert found.blocked[stairs].mean() < 0.02
    assert np.median(np.abs(found.height - expected)[stairs]) < 0.03
    top = (x > 7.2) & (x < 8.8) & (y > 0.2) & (y < 5.8)
    assert np.abs(np.median(found.height[top]) - 0.8) < 0.01
    pavement = (x > 0.2) & (x < 2.8) & (y > 6.2) & (y < 7.3)
    assert np.abs(np.median(found.height[pavement]) - 0.12) < 0.01
    kerb = found.height[
        cell(found, 1.5, 5.0)[0] : cell(found, 1.5, 6.0)[0], cell(found, 1.5, 5.0)[1]
    ]
    assert np.abs(np.diff(kerb)).max() > 0.1  # sharp, not a ramp of small steps


def test_ground_beneath_a_ramp_is_not_followed():
    b = builder()
    b.ground(0, 8, 0, 4)
    b.rect((2, 1, 0), (5, 0, 0.9), (0, 2, 0))
    found = columns(b.splats())
    assert found.height[cell(found, 5.0, 2.0)] == pytest.approx(0.54, abs=0.04)


def test_roofs_tables_and_canopies():
    b = builder()
    b.ground(0, 10, 0, 5)
    b.ground(4, 7, 0, 5, z=2.4)  # a passage's roof
    b.ground(1, 2, 1, 2, z=0.72)  # a table top
    b.tree(8.5, 2.5, 6.0)
    found = columns(b.splats())
    under = found.overhead[cell(found, 5.5, 2.5)]
    assert under == pytest.approx(2.4, abs=0.06)
    assert not found.blocked[cell(found, 5.5, 2.5)]
    assert found.blocked[cell(found, 1.5, 1.5)]
    assert found.blocked[
        cell(found, 8.4, 2.5)[0] - 1 : cell(found, 8.4, 2.5)[0] + 2, cell(found, 8.5, 2.5)[1] - 1
    ].any()
    assert not found.blocked[cell(found, 8.5, 3.2)]
    assert columns(b.splats(), clearance_m=2.6).blocked[cell(found, 5.5, 2.5)]


def test_holes():
    b = builder()
    b.ground(
        0,
        8,
        0,
        6,
        hole=lambda p: (
            (np.hypot(p[:, 0] - 2, p[:, 1] - 2) < 0.24) | (np.hypot(p[:, 0] - 5, p[:, 1] - 3) < 1.0)
        ),
    )
    found = columns(b.splats())
    assert found.known[cell(found, 2, 2)]
    assert found.height[cell(found, 2, 2)] == pytest.approx(0.0, abs=0.02)
    assert not found.known[cell(found, 5, 3)]
    assert found.height[cell(found, 5, 3)] == 0.0


def test_faint_floaters_and_leaves_do_not_block():
    b = builder()
    b.ground(0, 8, 0, 6)
    b.floaters(60, (0.5, 0.5, 0.4), (7.5, 5.5, 1.0), size=(0.15, 0.4), opacity=(0.05, 0.2))
    assert columns(b.splats()).blocked.mean() < 0.001


def test_thin_poles_block():
    b = builder()
    b.ground(0, 6, 0, 6)
    for x in (1.03, 2.55, 4.0):
        b.cylinder(x, 3.0, 0, 0.03, 1.5, density=300)
    found = columns(b.splats())
    for x in (1.03, 2.55, 4.0):
        r, c = cell(found, x, 3.0)
        assert found.blocked[r - 1 : r + 2, c - 1 : c + 2].any()
        assert found.blocked[:, c - 3 : c + 4].sum() <= 9


@pytest.mark.parametrize("noise_m", [0.0, 0.04])
@pytest.mark.parametrize("wide", [0.12, 0.15, 0.2, 0.3])
@pytest.mark.parametrize("high", [0.2, 0.24, 0.4])
def test_small_things_on_the_floor_are_not_smoothed_away(wide, high, noise_m):
    """A stone, a box: too high for wheels, and too narrow for the ground's filters to keep as
    steps."""
    b = builder()
    b.ground(0, 4, 0, 4)
    b.box(2.0, 2.0, 0, wide, wide, high, density=2000.0)
    found = columns(b.splats(), noise_m=noise_m)
    occupancy, ground = to_ground(found)
    r, c = cell(found, 2.0, 2.0)
    near = occupancy.blocked_by(0.05, ground.height).grid[r - 3 : r + 3, c - 3 : c + 3]
    assert 4 <= near.sum() <= 25 and not near[[0, -1]].any() and not near[:, [0, -1]].any()


@pytest.mark.parametrize("resolution", [0.05, 0.2])
def test_resolutions(resolution):
    found = columns(captures.room(0), resolution)
    assert found.resolution == resolution
    free = found.known & ~found.blocked
    assert 10.0 < free.sum() * resolution**2 < 27.0
    assert abs(np.median(found.height[free])) < 0.01


def test_pure_and_deterministic():
    splats = captures.stairs(0)
    copies = [a.copy() for a in (splats.means, splats.quats, splats.scales, splats.opacities)]
    a, b = columns(splats), columns(splats)
    assert all(
        np.array_equal(x, y)
        for x, y in zip(copies, (splats.means, splats.quats, splats.scales, splats.opacities))
    )
    for name in ("origin", "height", "known", "blocked", "overhead"):
        assert np.array_equal(getattr(a, name), getattr(b, name))
    assert a.height.dtype == a.overhead.dtype == np.float32
    assert LOWEST_M + LEVELS * LEVEL_M > 6.0


def test_dirty_place_after_cleaning():
    splats = captures.street(0, kerb=0.12)
    found = columns(select(splats, clean(splats) == 0))
    x, y = grid_xy(found)
    road = (np.abs(y) < 2.6) & (x > 0.5) & (x < 39.5) & found.known & ~found.blocked
    assert np.quantile(np.abs(found.height[road]), 0.95) < 0.03
    pavement = (
        (np.abs(y) > 3.3)
        & (np.abs(y) < 5.0)
        & (x > 0.5)
        & (x < 39.5)
        & found.known
        & ~found.blocked
    )
    assert np.abs(np.median(found.height[pavement]) - 0.12) < 0.015
    assert road.sum() > 0.8 * 39 * 5.2 / 0.01


@pytest.mark.parametrize(
    ("resolution", "clearance", "word"),
    [(0.0, 1.2, "resolution"), (np.nan, 1.2, "resolution"), (0.1, 0.05, "clearance")],
)
def test_bad_settings(resolution, clearance, word):
    with pytest.raises(UserError, match=word):
        columns(captures.plane_only(0), resolution, clearance)


def test_nothing_at_the_floor():
    splats = captures.plane_only(0)
    for height in (1.0, 30.0):
        lifted = Splats(
            splats.means + np.array([0, 0, height], dtype=np.float32),
            splats.quats,
            splats.scales,
            splats.opacities,
            splats.sh,
        )
        with pytest.raises(UserError, match="floor"):
            columns(lifted)


def test_too_large():
    splats = captures.plane_only(0)
    huge = Splats(
        splats.means * np.array([1000, 1000, 1], dtype=np.float32),
        splats.quats,
        splats.scales,
        splats.opacities,
        splats.sh,
    )
    with pytest.raises(
        UserError, match=r"the place is \d+ x \d+ m, .* cells of 0\.1 m; at most 8,388,608"
    ):
        columns(huge)


def test_holes_are_filled_where_cameras_walked():
    known = np.ones((40, 60), dtype=bool)
    known[:, 20:35] = False
    known[0:3] = False
    blocked = np.zeros_like(known)
    blocked[20, 25] = True
    found = Columns(
        np.array([-1.0, -2.0]),
        0.1,
        np.zeros(known.shape, np.float32),
        known,
        blocked,
        np.full(known.shape, np.inf, np.float32),
    )
    feet = np.stack([np.linspace(0.0, 4.0, 5), np.zeros(5), np.full(5, 0.05)], 1)
    filled = fill_walked(found, feet)
    new = filled.known & ~known
    rows, cols = np.nonzero(new)
    assert new[20, 21:25].all() and not new[20, 25] and set(cols) == set(range(20, 35))
    assert np.abs(-2.0 + (rows + 0.5) * 0.1).max() < 0.45 and (filled.height[new] == 0.0).all()
    far = fill_walked(found, feet + np.array([0.0, 0.0, 1.0]))  # a terrace that nobody saw
    assert np.allclose(far.height[far.known & ~known], 1.05)
    assert fill_walked(found, feet + 100.0) is found
    apart = fill_walked(found, feet[[0, 4]])  # a leap, not a walk
    assert not (apart.known & ~known).any()
