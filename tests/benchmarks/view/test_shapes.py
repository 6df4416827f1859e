import io
import json
import struct

import numpy as np
import pytest

from s2e.benchmarks.view.shapes import (
    CUBE,
    CUBE_FACES,
    bodies,
    fan_colours,
    forbidden_ground,
    matrix_to_wxyz,
    mesh_glb,
    on_ground,
    part_of_mesh,
    segments,
    splat_arrays,
)
from s2e.envs.geometry.meshes import empty_mesh, merge, quad
from s2e.envs.geometry.occupancy import Occupancy
from s2e.envs.geometry.scene import Ground, Scene, Splats
from s2e.envs.robots.kinds import ROBOTS
from tools.meshes import box


def some_splats(count):
    rng = np.random.default_rng(1)
    quats = rng.normal(size=(count, 4))
    quats /= np.linalg.norm(quats, axis=1, keepdims=True)
    means, scales, sh = (
        rng.normal(size=(count, 3)),
        rng.uniform(0.01, 0.1, (count, 3)),
        rng.normal(size=(count, 4, 3)),
    )
    means, quats, scales, opacities, sh = (
        a.astype(np.float32) for a in (means, quats, scales, rng.uniform(0, 1, count), sh)
    )
    return Splats(means, quats, scales, opacities, sh)


def test_splats_as_they_are_and_thinned():
    splats = some_splats(1000)
    centres, covs, rgb, opacity = splat_arrays(splats)
    assert (
        (centres == splats.means).all()
        and opacity.shape == (1000, 1)
        and (rgb >= 0).all()
        and (rgb <= 1).all()
    )
    np.testing.assert_allclose(
        np.linalg.det(covs.astype(np.float64)),
        np.prod(splats.scales.astype(np.float64) ** 2, 1),
        rtol=1e-3,
    )
    fewer, wider, _, _ = splat_arrays(splats, 100)
    assert len(fewer) == 100 and {tuple(m) for m in fewer} <= {tuple(m) for m in splats.means}
    kept = [int(np.flatnonzero((splats.means == m).all(1))[0]) for m in fewer]
    np.testing.assert_allclose(wider, covs[kept] * 10, rtol=1e-5)
    assert (splat_arrays(splats, 100)[0] == fewer).all()
    assert splat_arrays(some_splats(0))[0].shape == (0, 3)


def flat(grid, **more):
    return Scene(
        "flat", Occupancy(grid, np.array([-1.0, 2.0]), 0.5), empty_mesh(), np.zeros((0, 2)), **more
    )


def test_forbidden_ground_covers_the_occupied_cells():
    grid = np.zeros((4, 6), dtype=bool)
    grid[1, 1:4] = grid[1, 5] = grid[3, 0] = True
    vertices, faces = forbidden_ground(flat(grid, ground_z=0.5), ROBOTS["jackal"])
    assert len(vertices) == 12 and len(faces) == 6  # three runs of cells
    a, b, c = (vertices[faces[:, k]].astype(np.float64) for k in range(3))
    normal = np.cross(b - a, c - a)
    assert normal[:, 2].sum() / 2 == pytest.approx(grid.sum() * 0.25) and (normal[:, 2] > 0).all()
    assert vertices[:, 2] == pytest.approx(0.62)
    assert vertices[:, 0].min() == -1.0 and vertices[:, 1].max() == 4.0


def test_a_kerb_is_forbidden_to_who_cannot_climb_it():
    height = np.zeros((4, 6), dtype=np.float32)
    height[:, 3:] = 0.12
    scene = flat(np.zeros((4, 6), dtype=bool), ground=Ground(height, np.full((4, 6), 2, np.uint8)))
    vertices, _ = forbidden_ground(scene, ROBOTS["jackal"])
    assert len(vertices) == 16 and vertices[:, 2] == pytest.approx(0.24)
    assert len(forbidden_ground(scene, ROBOTS["go2"])[0]) == 0
    assert on_ground(scene, np.array([[0.9, 3.0], [-0.9, 3.0]]), 0.1)[:, 2] == pytest.approx(
        [0.22, 0.1]
    )


def test_a_mesh_becomes_a_glb_that_is_not_lit_again():
    pytest.importorskip("trimesh")
    mesh = merge(
        [
            box((1.0, 2.0, 3.0), "brick"),
            quad([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], "paving"),
        ]
    )
    glb = mesh_glb(mesh)
    assert glb[:4] == b"glTF"
    (length,) = struct.unpack("<I", glb[12:16])
    tree = json.loads(glb[20 : 20 + length])
    assert tree["extensionsUsed"] == ["KHR_materials_unlit"] and len(tree["materials"]) == 2
    assert all("KHR_materials_unlit" in m["extensions"] for m in tree["materials"])
    import trimesh

    loaded = trimesh.load(io.BytesIO(glb), file_type="glb", process=False)
    total = sum(len(g.faces) for g in loaded.geometry.values())  # pyright: ignore[reportAttributeAccessIssue]
    assert total == len(mesh.triangles) and np.allclose(
        loaded.bounds, [mesh.vertices.min(0), mesh.vertices.max(0)]
    )
    assert mesh_glb(empty_mesh()) == b""
    assert len(part_of_mesh(mesh, 10).triangles) == len(mesh.triangles) - 10


def test_segments():
    points = np.arange(6.0).reshape(3, 2)
    assert segments(points).tolist() == [[[0, 1], [2, 3]], [[2, 3], [4, 5]]]
    assert segments(points[:1]).tolist() == [[[0, 1], [0, 1]]]


def test_the_likeliest_way_is_the_brightest():
    colours = fan_colours(np.log(np.array([0.001, 0.699, 0.3])))
    assert (colours[1] == [255, 200, 0]).all() and colours[0, 2] > colours[0, 0]


def corners(place, turn, size):
    """(8, 3) corners of a box, by a rotation matrix of its own."""
    w, x, y, z = turn
    matrix = np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )
    return (CUBE * size) @ matrix.T + place


def test_people_stand_on_the_ground_where_they_are():
    nobody = [np.nan, 0, 0, 0, 0, 0, 0]
    people = np.array(
        [[3.0, -2.0, 0.12, 0.7, 0.0, 5, 0], nobody, [0.0, 0.0, 0.0, -2.0, 1.9, 9, 1]],
        dtype=np.float32,
    )
    place, turn, size, colour = bodies(people)
    assert len(place) == len(turn) == len(size) == len(colour) and colour.dtype == np.uint8
    np.testing.assert_allclose(np.linalg.norm(turn, axis=1), 1.0)
    each = len(place) // 3
    assert (size[each : 2 * each] < 1e-5).all()
    for row, first in ((people[0], 0), (people[2], 2 * each)):
        boxes = [
            corners(place[k], turn[k], size[k])
            for k in range(first, first + each)
            if size[k].max() > 1e-3
        ]
        points = np.concatenate(boxes)
        assert abs(points[:, 2].min() - row[2]) < 0.08 and 1.4 < points[:, 2].max() - row[2] < 2.0
        assert np.abs(points[:, :2].mean(0) - row[:2]).max() < 0.3
        # Feet and arms lie along the body's heading less far than shoulders are wide plus a stride.
        assert np.linalg.norm(points[:, :2] - row[:2], axis=1).max() < 0.9


def test_a_leg_swings_ahead():
    walker = np.array([[0.0, 0.0, 0.0, 0.0, np.pi / 2, 5, 0]], dtype=np.float32)
    place, turn, size, _ = bodies(walker)
    points = np.concatenate(
        [corners(*p) for p in zip(place, turn, size, strict=True) if p[2].max() > 1e-3]
    )
    low = points[points[:, 2] < 0.25]
    left, right = low[low[:, 1] > 0], low[low[:, 1] < 0]
    assert left[:, 0].mean() - right[:, 0].mean() > 0.25


def test_cube_and_quaternions():
    a, b, c = (CUBE[CUBE_FACES[:, k]].astype(np.float64) for k in range(3))
    outward = np.cross(b - a, c - a)
    assert ((outward * (a + b + c)).sum(1) > 0).all() and np.linalg.norm(
        outward, axis=1
    ).sum() / 2 == pytest.approx(6.0)
    rng = np.random.default_rng(2)
    for quat in rng.normal(size=(20, 4)):
        quat /= np.linalg.norm(quat)
        matrix = corners(np.zeros(3), quat, np.ones(3))
        rotation = np.stack(
            [matrix[4] - matrix[0], matrix[2] - matrix[0], matrix[1] - matrix[0]], 1
        )
        found = matrix_to_wxyz(rotation)
        np.testing.assert_allclose(found * np.sign(found @ quat), quat, atol=1e-6)
