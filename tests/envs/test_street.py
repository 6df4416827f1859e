"""Street blocks: what is drawn is solid, what is free is connected, and a seed is a seed."""

import numpy as np
import pytest
from scipy.ndimage import binary_dilation, label

from s2e.envs import street
from s2e.envs.meshes import OBSTACLES, footprint, obstacle_mesh, place, stamp, transform
from s2e.envs.occupancy import Occupancy
from s2e.envs.street import FAMILIES, PASSABLE_CLEARANCE, make_street

SEEDS = range(12)


def inside(outline: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Whether points (N, 2) lie in a convex, counter-clockwise outline (K, 2)."""
    result = np.ones(len(points), bool)
    for a, b in zip(outline, np.roll(outline, -1, 0)):
        result &= (b[0] - a[0]) * (points[:, 1] - a[1]) - (b[1] - a[1]) * (points[:, 0] - a[0]) >= 0
    return result


@pytest.mark.parametrize("seed", SEEDS)
def test_anchors_are_clear_connected_and_spread(seed):
    scene = make_street(seed)
    anchors, occupancy = scene.free_anchors, scene.occupancy
    assert 24 <= len(anchors) <= street.ANCHORS
    cells = occupancy.cell_of(anchors)
    distance = occupancy.distance()
    assert distance[cells[:, 0], cells[:, 1]].min() >= 0.8
    regions = np.asarray(label(distance >= PASSABLE_CLEARANCE)[0])  # pyright: ignore[reportIndexIssue]
    found = regions[cells[:, 0], cells[:, 1]]
    assert found[0] > 0 and (found == found[0]).all()
    assert np.ptp(anchors[:, 0]) > 20 and np.ptp(anchors[:, 1]) > 5
    # Brute force, independent of the distance transform: no occupied cell's square is nearer than 0.7 m.
    rows, columns = np.nonzero(occupancy.grid)
    centres = occupancy.origin + (np.stack([columns, rows], 1) + 0.5) * occupancy.resolution
    apart = np.linalg.norm(anchors[:, None] - centres[None], axis=-1).min(1)
    assert apart.min() >= 0.75


def test_a_seed_is_a_seed():
    first, again, other = make_street(4), make_street(4), make_street(7)
    for name in ("vertices", "triangles", "uv", "texture", "shade"):
        assert getattr(first.mesh, name).tobytes() == getattr(again.mesh, name).tobytes()
    assert first.occupancy.grid.tobytes() == again.occupancy.grid.tobytes()
    assert first.free_anchors.tobytes() == again.free_anchors.tobytes()
    assert first.sky == again.sky
    assert first.occupancy.grid.tobytes() != other.occupancy.grid.tobytes()


@pytest.mark.parametrize("seed", SEEDS)
def test_what_is_drawn_is_solid(seed):
    """Every vertex between 0.1 and 1 m above the ground lies in or next to an occupied cell, or outside the block."""
    scene = make_street(seed)
    used = scene.mesh.vertices[np.unique(scene.mesh.triangles)].astype(float)
    low = used[(used[:, 2] > 0.1) & (used[:, 2] < 1.0)]
    grown = np.pad(binary_dilation(scene.occupancy.grid, np.ones((3, 3))), 1, constant_values=True)
    cells = scene.occupancy.cell_of(low[:, :2])
    rows, columns = (np.clip(cells[:, k] + 1, 0, grown.shape[k] - 1) for k in range(2))
    assert len(low) > 50
    assert grown[rows, columns].all()


@pytest.mark.parametrize("seed", SEEDS)
def test_what_is_solid_is_drawn(seed):
    """No robot hits what cannot be seen: a wall or an obstacle stands along every border of the free space."""
    scene = make_street(seed)
    points = scene.mesh.vertices[scene.mesh.triangles].astype(float)
    upright = points[np.ptp(points[..., 2], axis=1) > 0.2]
    upright = upright[upright[..., 2].min(1) < 1.0]
    steps = np.linspace(0, 1, 160)[:, None]
    along = [
        a[None] * (1 - steps) + b[None] * steps for t in upright for a, b in ((t[0], t[1]), (t[1], t[2]), (t[2], t[0]))
    ]
    along = np.concatenate(along)[:, :2]
    grid = scene.occupancy.grid
    seen = np.zeros_like(grid)
    cells = scene.occupancy.cell_of(along)
    fits = (cells >= 0).all(1) & (cells < grid.shape).all(1)
    seen[cells[fits, 0], cells[fits, 1]] = True
    border = grid & binary_dilation(~grid)
    near = binary_dilation(seen, np.ones((3, 3)), iterations=4)
    assert border.sum() > 200
    assert near[border].mean() > 0.98


def test_obstacles_only_add():
    for seed in range(3):
        bare, full = make_street(seed, obstacles=False), make_street(seed)
        assert not (bare.occupancy.grid & ~full.occupancy.grid).any()
        assert full.occupancy.grid.sum() > bare.occupancy.grid.sum()
        added = np.asarray(label(full.occupancy.grid & ~bare.occupancy.grid)[0]).max()  # pyright: ignore[reportIndexIssue]
        assert 4 <= added <= 16


def test_families_and_sizes():
    counts = [len(make_street(seed).mesh.triangles) for seed in SEEDS]
    assert 500 <= min(counts) and max(counts) <= 1500
    assert 600 <= np.mean(counts) <= 1200
    assert [make_street(s).name for s in range(3)] == [f"{f}-{s}" for s, f in enumerate(FAMILIES)]


@pytest.mark.parametrize("kind", sorted(OBSTACLES))
def test_footprints_cover_what_is_low(kind):
    mesh = obstacle_mesh(kind)
    points = mesh.vertices[mesh.triangles].astype(float)
    steps = np.linspace(0, 1, 21)[:, None, None]
    along = (points * (1 - steps[:, None]) + np.roll(points, 1, 1) * steps[:, None]).reshape(-1, 3)
    low = along[(along[:, 2] > 0.1) & (along[:, 2] < 1.0), :2]
    outline = footprint(kind)
    assert len(low) > 20
    grown = outline * (1 + 0.1 / np.linalg.norm(outline, axis=1).min())
    assert inside(grown, low).all()
    # And it is not far too large either.
    assert (np.ptp(outline, axis=0) <= np.ptp(low, axis=0) + 0.5).all()
    moved = transform(mesh, 3.0, -2.0, 0.7)
    np.testing.assert_allclose(
        moved.vertices[:, :2], place(mesh.vertices[:, :2].astype(float), 3.0, -2.0, 0.7), atol=1e-5
    )


@pytest.mark.parametrize("kind", ["bench", "bollard", "car"])
def test_stamp_covers_the_footprint(kind):
    empty = Occupancy(np.zeros((80, 100), bool), np.array([-5.0, -4.0]))
    stamped = stamp(empty, kind, 0.33, -0.41, 0.6)
    assert not empty.grid.any()
    rows, columns = np.mgrid[:80, :100]
    fine = [(rows + (i + 0.5) / 8, columns + (j + 0.5) / 8) for i in range(8) for j in range(8)]
    outline = place(footprint(kind), 0.33, -0.41, 0.6)
    touched: np.ndarray = np.zeros((80, 100), bool)
    for r, c in fine:
        points = np.stack([c.ravel(), r.ravel()], 1) * 0.1 + empty.origin
        touched |= inside(outline, points).reshape(80, 100)
    assert not (touched & ~stamped.grid).any()
    near = np.asarray(binary_dilation(touched, np.ones((3, 3))))
    assert not np.logical_and(stamped.grid, np.logical_not(near)).any()
    assert stamp(empty, kind, 50.0, 50.0, 0.0).grid.sum() == 0
