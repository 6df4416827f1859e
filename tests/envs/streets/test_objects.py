"""Kinds of things: the stored file is what the script makes, shapes are closed enough, footprints
cover what is low."""

import numpy as np
import pytest

from s2e.core.errors import UserError
from s2e.envs.geometry.meshes import place, transform
from s2e.envs.geometry.occupancy import Occupancy
from s2e.envs.geometry.scene import SEMANTICS
from s2e.envs.streets.objects import (
    LOW_M,
    below,
    footprint,
    object_kind,
    object_kinds,
    obstacle_mesh,
    stamp,
    store_kinds,
)
from tools import objects as make_objects

KINDS = sorted(object_kinds())
OLD = (
    "bench bin bollard tree planter cone barrier car red_car blue_car dark_car box pallet sign "
    "table hydrant fence bicycle kiosk "
    "wheelie_bin lamp shrub"
).split()


def inside(outline: np.ndarray, points: np.ndarray, slack: float = 1e-4) -> np.ndarray:
    """Whether points (N, 2) lie in a convex, counter-clockwise outline (K, 2)."""
    result = np.ones(len(points), bool)
    for a, b in zip(outline, np.roll(outline, -1, 0)):
        cross = (b[0] - a[0]) * (points[:, 1] - a[1]) - (b[1] - a[1]) * (points[:, 0] - a[0])
        result &= cross >= -slack * np.hypot(*(b - a))
    return result


def test_the_stored_file_is_what_the_script_makes(tmp_path):
    for name in ("a.npz", "b.npz"):
        store_kinds(tmp_path / name, make_objects.made())
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    from pathlib import Path

    import s2e.assets

    stored = Path(s2e.assets.__file__).parent / "objects.npz"
    assert stored.stat().st_size < 100_000
    with (
        np.load(tmp_path / "a.npz", allow_pickle=False) as made,
        np.load(stored, allow_pickle=False) as kept,
    ):
        assert made.files == kept.files
        for name in made.files:
            np.testing.assert_array_equal(made[name], kept[name])


def test_there_are_many_kinds_in_families():
    kinds = object_kinds().values()
    assert len(kinds) >= 40 and len({k.family for k in kinds}) >= 10
    assert set(OLD) <= set(object_kinds())
    assert {k.semantic for k in kinds} <= set(SEMANTICS)


@pytest.mark.parametrize("kind", KINDS)
def test_shapes(kind):
    """Small, standing on the ground, seen from outside, with a footprint around all that is low."""
    thing = object_kind(kind)
    mesh = thing.mesh
    points = mesh.vertices[mesh.triangles].astype(float)
    assert 10 <= len(points) <= 150
    assert abs(mesh.vertices[:, 2].min()) < 0.03 and mesh.vertices[:, 2].max() == pytest.approx(
        thing.height
    )
    volume = np.sum(points[:, 0] * np.cross(points[:, 1], points[:, 2])) / 6
    assert volume > 0
    # No triangle without an area, none that names a vertex twice.
    area = np.linalg.norm(
        np.cross(points[:, 1] - points[:, 0], points[:, 2] - points[:, 0]), axis=1
    )
    assert area.min() > 1e-6
    steps = np.linspace(0, 1, 21)[:, None, None]
    along = (points * (1 - steps[:, None]) + np.roll(points, 1, 1) * steps[:, None]).reshape(-1, 3)
    low = along[along[:, 2] < LOW_M, :2]
    assert inside(thing.footprint, low).all()
    assert (np.ptp(thing.footprint, axis=0) <= np.ptp(low, axis=0) + 0.021).all()
    a, b = thing.footprint, np.roll(thing.footprint, -1, 0)
    assert 0.5 * np.sum(a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]) > 0
    casters = np.concatenate(thing.casters)
    assert casters[:, 2].max() == pytest.approx(thing.height, abs=1e-4)


def test_most_faces_look_away_from_the_middle_of_their_thing():
    """Convex kinds have every normal outwards."""
    for kind in ("box", "bollard", "hedge", "jersey", "ball", "cone", "pillar_box"):
        mesh = obstacle_mesh(kind)
        points = mesh.vertices[mesh.triangles].astype(float)
        normals = np.cross(points[:, 1] - points[:, 0], points[:, 2] - points[:, 0])
        outward = points.mean(1) - [
            *points.reshape(-1, 3)[:, :2].mean(0),
            0.4 * object_kind(kind).height,
        ]
        assert (np.sum(normals * outward, 1) > 0).mean() > 0.85, kind


def test_below_cuts_at_a_height():
    low = below(obstacle_mesh("tree"), 1.5)
    assert low[:, 2].max() == pytest.approx(1.5) and np.abs(low[:, :2]).max() < 0.2


def test_transform_and_place_agree():
    mesh = obstacle_mesh("bench")
    moved = transform(mesh, 3.0, -2.0, 0.7)
    expected = place(mesh.vertices[:, :2].astype(float), 3.0, -2.0, 0.7)
    np.testing.assert_allclose(moved.vertices[:, :2], expected, atol=1e-5)


@pytest.mark.parametrize("kind", ["bench", "bollard", "car"])
def test_stamp_covers_the_footprint(kind):
    empty = Occupancy(np.zeros((80, 100), bool), np.array([-5.0, -4.0]))
    stamped = stamp(empty, kind, 0.33, -0.41, 0.6)
    assert not empty.grid.any()
    rows, columns = np.mgrid[:80, :100]
    outline = place(footprint(kind), 0.33, -0.41, 0.6)
    touched: np.ndarray = np.zeros((80, 100), bool)
    for i in range(8):
        for j in range(8):
            x, y = (columns + (j + 0.5) / 8) * 0.1 - 5.0, (rows + (i + 0.5) / 8) * 0.1 - 4.0
            touched |= inside(outline, np.stack([x.ravel(), y.ravel()], 1), 0.0).reshape(80, 100)
    assert not (touched & ~stamped.grid).any()
    from scipy.ndimage import binary_dilation

    near = np.asarray(binary_dilation(touched, np.ones((3, 3))))
    assert not np.logical_and(stamped.grid, np.logical_not(near)).any()
    assert stamp(empty, kind, 50.0, 50.0, 0.0).grid.sum() == 0


def test_bad_input_is_refused(tmp_path):
    with pytest.raises(UserError, match="obstacle kind 'dragon'"):
        footprint("dragon")
    with pytest.raises(UserError, match="semantic class 'cheese'"):
        store_kinds(tmp_path / "x.npz", [("a", "own", "cheese", np.inf, obstacle_mesh("box"))])
