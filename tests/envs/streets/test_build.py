"""Scenes: a seed is a seed, what is free is connected, the ground is where it says, and what is
held out stays out."""

import subprocess
import sys
import warnings

import numpy as np
import pytest
from scipy.ndimage import binary_dilation, label
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components, dijkstra

from s2e.core.errors import UserError
from s2e.envs.geometry.scene import SEMANTIC_ID, SEMANTICS
from s2e.envs.streets.build import ANCHORS, HELD_OUT_FAMILIES, LAYOUTS, TRAIN_FAMILIES, build_scene
from tests.envs.streets.digests import digest, height_of

_scenes: dict = {}


def scene_of(family, seed=3, **more):
    key = (family, seed, *more.items())
    if key not in _scenes:
        _scenes[key] = build_scene(seed, family, **more)
    return _scenes[key]


def wheel_graph(scene, clearance=0.35, step=0.03):
    """Cells a wheeled robot may stand on, and steps between neighbours that it can take: its own
    account of the rules."""
    free = scene.occupancy.distance() >= clearance
    height = height_of(scene).astype(float)
    index = np.arange(free.size).reshape(free.shape)
    rows, columns = [], []
    for axis in (0, 1):
        a, b = (slice(None, -1), slice(None)), (slice(1, None), slice(None))
        a, b = (a, b) if axis == 0 else (a[::-1], b[::-1])
        fits = free[a] & free[b] & (np.abs(height[a] - height[b]) <= step)
        rows.append(index[a][fits])
        columns.append(index[b][fits])
    r, c = np.concatenate(rows), np.concatenate(columns)
    return coo_array((np.ones(len(r)), (r, c)), shape=(free.size, free.size)).tocsr()


def cells_of(scene, points):
    cells = scene.occupancy.cell_of(points)
    return cells[:, 0] * scene.occupancy.grid.shape[1] + cells[:, 1]


def ground_height(scene, points):
    """Highest upward triangle of the ground at points: a vertical ray against every triangle, no
    acceleration."""
    mesh = scene.mesh
    ground = np.isin(
        mesh.semantic,
        [SEMANTIC_ID[n] for n in ("road", "sidewalk", "crossing", "grass", "floor", "stairs")],
    )
    corners = mesh.vertices[mesh.triangles[ground & (mesh.instance == 0)]].astype(float)
    a, b, c = corners[:, 0], corners[:, 1], corners[:, 2]
    area = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0])
    flat = area > 1e-9
    a, b, c, area = a[flat], b[flat], c[flat], area[flat]
    best = np.full(len(points), -np.inf)
    for i, (x, y) in enumerate(points):
        u = ((b[:, 0] - x) * (c[:, 1] - y) - (b[:, 1] - y) * (c[:, 0] - x)) / area
        v = ((c[:, 0] - x) * (a[:, 1] - y) - (c[:, 1] - y) * (a[:, 0] - x)) / area
        hit = (u >= -1e-9) & (v >= -1e-9) & (u + v <= 1 + 1e-9)
        z = u * a[:, 2] + v * b[:, 2] + (1 - u - v) * c[:, 2]
        best[i] = z[hit].max() if hit.any() else -np.inf
    return best


def test_a_seed_is_a_seed():
    assert digest(build_scene(4)) == digest(build_scene(4)) != digest(build_scene(12))


def test_a_seed_is_a_seed_in_every_process():
    code = (
        "from tests.envs.streets.digests import digest; from s2e.envs.streets.build import "
        "build_scene; print(digest(build_scene(5)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == digest(build_scene(5))


@pytest.mark.parametrize("family", LAYOUTS)
@pytest.mark.parametrize("seed", (1, 2, 7))
def test_anchors_are_clear_and_reach_one_another(family, seed):
    scene = scene_of(family, seed)
    anchors = scene.free_anchors
    assert 24 <= len(anchors) <= ANCHORS
    assert np.ptp(anchors[:, 0]) > 20 and np.ptp(anchors[:, 1]) > 5
    # Brute force, independent of the distance transform: no occupied cell's square is nearer than
    # 0.75 m.
    rows, columns = np.nonzero(scene.occupancy.grid)
    centres = (
        scene.occupancy.origin + (np.stack([columns, rows], 1) + 0.5) * scene.occupancy.resolution
    )
    assert np.linalg.norm(anchors[:, None] - centres[None], axis=-1).min() >= 0.75
    parts = connected_components(wheel_graph(scene), directed=False)[1][cells_of(scene, anchors)]
    assert (parts == parts[0]).all()
    cells = scene.occupancy.cell_of(anchors)
    surface = [SEMANTICS[s] for s in scene.ground.surface[cells[:, 0], cells[:, 1]]]
    assert set(surface) <= {"sidewalk", "floor"}


@pytest.mark.parametrize("family", LAYOUTS)
def test_the_ground_is_where_it_says(family):
    scene = scene_of(family, 2)
    rng = np.random.default_rng(0)
    cells = rng.integers(0, scene.occupancy.grid.shape, (500, 2))
    cells = cells[~scene.occupancy.grid[cells[:, 0], cells[:, 1]]]
    points = scene.occupancy.origin + (cells[:, ::-1] + 0.5) * scene.occupancy.resolution
    found = ground_height(scene, points)
    np.testing.assert_allclose(found, height_of(scene)[cells[:, 0], cells[:, 1]], atol=0.011)


def test_kerbs_are_steps_and_ramps_are_not():
    scene = scene_of("street", 3)
    height, surface = height_of(scene), scene.ground.surface
    assert -0.16 < height.min() < -0.11 and (height[surface == SEMANTIC_ID["road"]] < -0.11).all()
    jumps = np.concatenate([np.abs(np.diff(height, axis=a)).ravel() for a in (0, 1)])
    steps = jumps[jumps > 0.0205]
    assert len(steps) > 200 and (steps > 0.11).mean() > 0.8
    slopes = jumps[(jumps > 0.001) & (jumps <= 0.0205)]
    assert len(slopes) > 200 and slopes.max() < 0.02


def test_both_sides_of_a_street_are_joined_by_its_crossings():
    for seed in range(4):
        for family in ("street", "crossing", "cafe", "boulevard"):
            anchors = scene_of(family, seed).free_anchors
            assert anchors[:, 1].min() < -4 and anchors[:, 1].max() > 4, (family, seed)


def test_what_is_held_out_stays_out():
    from s2e.envs.streets.build import _families

    drawn = {name for seed in range(400) for name in _families(seed, None, (3, 1))}
    assert drawn == set(TRAIN_FAMILIES) and len(TRAIN_FAMILIES) >= 8 and len(HELD_OUT_FAMILIES) >= 2
    assert not drawn & set(HELD_OUT_FAMILIES)
    for seed in range(len(TRAIN_FAMILIES)):
        assert build_scene(seed).name == f"{TRAIN_FAMILIES[seed % len(TRAIN_FAMILIES)]}-{seed}"


def test_sizes():
    counts = [
        len(scene_of(family, seed).mesh.triangles) for family in LAYOUTS for seed in (1, 2, 3, 7)
    ]
    assert 900 <= min(counts) and max(counts) <= 3300
    assert 1200 <= np.mean(counts) <= 2500


@pytest.mark.parametrize("family", LAYOUTS)
def test_what_is_drawn_is_solid_and_what_is_solid_is_drawn(family):
    scene = scene_of(family, 3)
    mesh, occupancy = scene.mesh, scene.occupancy
    points = mesh.vertices[mesh.triangles].astype(float)
    tall = np.ptp(points[..., 2], axis=1) > 0.1
    ground = np.isin(
        mesh.semantic,
        [SEMANTIC_ID[n] for n in ("road", "sidewalk", "crossing", "grass", "floor", "stairs")],
    ) & (mesh.instance == 0)
    upright = points[tall & ~ground & (points[..., 2].min(1) < 1.0)]
    steps = np.linspace(0, 1, 160)[:, None]
    edges = np.concatenate(
        [a * (1 - steps) + b * steps for t in upright for a, b in zip(t, np.roll(t, 1, 0))]
    )
    cells = occupancy.cell_of(edges[:, :2])
    fits = (cells >= 0).all(1) & (cells < occupancy.grid.shape).all(1)
    cells, edges = cells[fits], edges[fits]
    # Everything between 0.4 and 1 m above the ground is solid, but for steps and the landings they
    # lead to.
    height = edges[:, 2] - height_of(scene)[cells[:, 0], cells[:, 1]]
    grown = np.asarray(binary_dilation(occupancy.grid, np.ones((3, 3))))
    low = (height > 0.4) & (height < 1.0)
    assert grown[cells[low, 0], cells[low, 1]].mean() > 0.995
    seen = np.zeros_like(occupancy.grid)
    seen[cells[:, 0], cells[:, 1]] = True
    border = occupancy.grid & np.asarray(binary_dilation(~occupancy.grid))
    border[[0, -1]] = border[:, [0, -1]] = False
    near = np.asarray(binary_dilation(seen, np.ones((3, 3)), iterations=4))
    assert border.sum() > 200 and near[border].mean() > 0.97


def test_obstacles_only_add():
    for seed in range(3):
        bare, full = build_scene(seed, obstacles=False), build_scene(seed)
        assert not (bare.occupancy.grid & ~full.occupancy.grid).any()
        added = np.asarray(label(full.occupancy.grid & ~bare.occupancy.grid)[0]).max()  # pyright: ignore[reportIndexIssue]
        assert 4 <= added <= 16
        np.testing.assert_array_equal(height_of(bare), height_of(full))


def test_density():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        nothing, few = build_scene(1, density=0.0), build_scene(1, density=0.2)
    assert (
        nothing.occupancy.grid.tobytes() == build_scene(1, obstacles=False).occupancy.grid.tobytes()
    )
    with pytest.warns(UserWarning, match=r"seed 2, density 1.00: \d+ of 40 things fit"):
        full = build_scene(2, "alleys", density=1.0)
    assert few.occupancy.grid.sum() < build_scene(1, density=0.5).occupancy.grid.sum()
    assert len(full.free_anchors) > 15


def test_every_thing_is_an_instance_of_its_own():
    mesh = scene_of("plaza", 3).mesh
    ids = np.unique(mesh.instance)
    assert ids[0] == 0 and np.array_equal(ids, np.arange(len(ids))) and len(ids) > 15
    plain = {
        SEMANTIC_ID[n]
        for n in (
            "road",
            "sidewalk",
            "crossing",
            "grass",
            "floor",
            "building",
            "stairs",
            "fence",
            "vegetation",
        )
    }
    assert set(mesh.semantic[mesh.instance == 0].tolist()) <= plain
    for i in ids[1:]:
        assert len(np.unique(mesh.semantic[mesh.instance == i])) == 1


def test_light_stays_in_range():
    for family in LAYOUTS:
        shade = scene_of(family, 3).mesh.shade
        assert np.isfinite(shade).all() and shade.min() >= 0 and shade.max() < 2.5


def test_joined_blocks_make_a_long_route():
    scene = build_scene(0, blocks=(12, 1))
    anchors = scene.free_anchors
    assert scene.occupancy.grid.shape == (200, 4320) and height_of(scene).shape == (200, 4320)
    graph = wheel_graph(scene)
    west, east = (
        int(cells_of(scene, anchors[[k]])[0])
        for k in (anchors[:, 0].argmin(), anchors[:, 0].argmax())
    )
    assert 300 <= dijkstra(graph, indices=west, directed=False)[east] * 0.1 < 1200
    parts = connected_components(graph, directed=False)[1][cells_of(scene, anchors)]
    assert (parts == parts[0]).all()


@pytest.mark.parametrize("seed", range(6))
def test_blocks_join_in_both_directions(seed):
    scene = build_scene(seed, blocks=(2, 2), density=0.2)
    anchors = scene.free_anchors
    column, row = (anchors[:, 0] > 18).astype(int), (anchors[:, 1] > 10).astype(int)
    assert len(set(zip(column.tolist(), row.tolist()))) == 4


@pytest.mark.parametrize("family", LAYOUTS)
def test_every_family_joins_itself(family):
    for seed in range(3):
        anchors = build_scene(seed, family, blocks=(2, 1), obstacles=False).free_anchors
        assert anchors[:, 0].min() < -5 and anchors[:, 0].max() > 41


def test_bad_input_is_refused():
    for more in (
        {"family": "moon"},
        {"density": 1.5},
        {"density": float("nan")},
        {"blocks": (0, 1)},
        {"blocks": (1.5, 1)},
        {"objects": []},
    ):
        with pytest.raises(UserError):
            build_scene(0, **more)  # pyright: ignore[reportArgumentType]
