"""Splat scenes: the packaged one is fit to drive in, and damaged folders are refused."""

import json
import shutil

import numpy as np
import pytest
from scipy.ndimage import label

from s2e.assets.urban.plaza import build
from s2e.envs.camera import Camera, camera_poses
from s2e.envs.occupancy import Occupancy
from s2e.envs.scene import Sky, Splats
from s2e.envs.scene_files import load_scene, scene_folder, write_scene
from s2e.envs.splats.render import prepare, render_splats
from s2e.errors import UserError


@pytest.fixture(scope="module")
def urban():
    return load_scene("gs_urban/plaza")


def test_anchors_are_clear_and_connected(urban):
    anchors, occupancy = urban.free_anchors, urban.occupancy
    distance = occupancy.distance()
    rows, columns = occupancy.cell_of(anchors).T
    assert len(anchors) >= 40
    assert (distance[rows, columns] >= 0.8).all()
    regions = np.zeros(distance.shape, np.int32)
    label(distance > 0.45, output=regions)
    assert len(set(regions[rows, columns])) == 1 and regions[rows[0], columns[0]] > 0
    apart = np.linalg.norm(anchors[:, None] - anchors[None], axis=2) + 100 * np.eye(len(anchors))
    assert apart.min() > 1.0


def test_something_stands_between_many_far_anchors(urban):
    anchors, occupancy = urban.free_anchors, urban.occupancy
    distance = occupancy.distance()
    first, second = np.triu_indices(len(anchors), 1)
    far = np.linalg.norm(anchors[first] - anchors[second], axis=1) > 12
    line = anchors[first[far], None] + np.linspace(0, 1, 400)[:, None] * (anchors[second[far]] - anchors[first[far]])[:, None]
    cells = occupancy.cell_of(line)
    blocked = (distance[cells[..., 0], cells[..., 1]] < 0.4).any(axis=1)
    assert far.sum() > 300 and 0.3 < blocked.mean() < 0.98


def test_robots_see_what_stands_in_their_way(urban):
    """Depth rendered at camera height agrees with the occupancy along the optical axis."""
    camera = Camera(x=0.0, pitch_deg=0.0)
    anchors = urban.free_anchors[:40]
    yaws = np.linspace(0, 2 * np.pi, len(anchors), endpoint=False) * 7
    positions, rotations = camera_poses(np.column_stack([anchors, yaws]), camera)
    _, depth, alpha = render_splats(prepare(urban.splats), positions, rotations, camera.intrinsics(), camera.height_px, camera.width_px)
    seen = np.median(depth[:, 46:50, 78:82], axis=(1, 2))
    steps = np.arange(0, 40, 0.02)
    rays = anchors[:, None] + steps[:, None] * np.stack([np.cos(yaws), np.sin(yaws)], 1)[:, None]
    rows, columns = np.moveaxis(urban.occupancy.cell_of(rays), -1, 0)
    shape = urban.occupancy.grid.shape
    inside = (rows >= 0) & (columns >= 0) & (rows < shape[0]) & (columns < shape[1])
    hit = ~inside | urban.occupancy.grid[rows.clip(0, shape[0] - 1), columns.clip(0, shape[1] - 1)]
    measured = steps[np.argmax(hit, axis=1)]
    # Not every ray: steps and seats lie below the eye, and four pixels at ten metres see past an edge.
    close = np.abs(seen - measured) < 0.25 + 0.08 * measured
    assert close.mean() > 0.7
    assert (np.abs(seen - np.roll(measured, 1)) < 0.25 + 0.08 * measured).mean() < 0.4  # what chance would give
    assert np.mean(alpha[:, 60:]) > 0.98  # the ground is closed


def test_packaged_scene_is_small_and_whole(urban):
    assert urban.name == "plaza" and urban.ground_z == 0.0 and len(urban.mesh.triangles) == 0
    assert 50_000 < len(urban.splats.means) < 75_000
    assert (scene_folder("gs_urban/plaza") / "splats.ply").stat().st_size < 4 * 2**20
    assert np.allclose(np.linalg.norm(urban.splats.quats, axis=1), 1, atol=1e-5)


def small_scene(folder):
    rng = np.random.default_rng(0)
    splats = Splats(
        means=rng.normal(size=(5, 3)).astype(np.float32),
        quats=np.tile(np.array([[1, 0, 0, 0]], np.float32), (5, 1)),
        scales=np.full((5, 3), 0.1, np.float32),
        opacities=np.full(5, 0.5, np.float32),
        sh=np.zeros((5, 1, 3), np.float32),
    )
    occupancy = Occupancy(rng.random((6, 9)) < 0.3, np.array([-1.5, 2.25]), 0.2)
    write_scene(folder, "small", splats, occupancy, np.array([[0.0, 1.0], [2.0, 3.5]]), Sky(fog_m=12.0))
    return splats, occupancy


def test_what_is_written_is_loaded(tmp_path):
    splats, occupancy = small_scene(tmp_path / "small")
    scene = load_scene(tmp_path / "small")
    assert scene.splats is not None and np.array_equal(scene.splats.means, splats.means)
    assert np.array_equal(scene.occupancy.grid, occupancy.grid) and scene.occupancy.resolution == 0.2
    assert np.array_equal(scene.occupancy.origin, occupancy.origin)
    assert np.array_equal(scene.free_anchors, [[0, 1], [2, 3.5]])
    assert scene.sky == Sky(fog_m=12.0) and scene.name == "small"


def edit(folder, change):
    data = json.loads((folder / "scene.json").read_text())
    change(data)
    (folder / "scene.json").write_text(json.dumps(data))


@pytest.mark.parametrize(
    "change,match",
    [
        (lambda d: d.pop("name"), "'name' is missing"),
        (lambda d: d.update(name=3), "'name' is a int"),
        (lambda d: d.update(units="ft"), "units is 'ft'"),
        (lambda d: d.pop("files"), "'files' is missing"),
        (lambda d: d["files"].pop("splats"), "'splats' is missing"),
        (lambda d: d["files"]["splats"].pop("sha256"), "'sha256' is missing"),
        (lambda d: d["files"]["splats"].update(sha256="0" * 64), "sha256 is .* says 000000000000"),
        (lambda d: d["files"]["occupancy"].update(path="../other/occupancy.npz"), "leads out of the scene folder"),
        (lambda d: d["files"]["occupancy"].update(path="/etc/passwd"), "leads out of the scene folder"),
        (lambda d: d["files"]["occupancy"].update(path="none.npz"), r"none\.npz: missing"),
        (lambda d: d.update(free_anchors=[]), "'free_anchors' must hold n x 2"),
        (lambda d: d.update(free_anchors=[[1, 2], [3]]), "'free_anchors' must hold n x 2"),
        (lambda d: d.update(free_anchors=[["a", "b"]]), "'free_anchors' must hold n x 2"),
        (lambda d: d["sky"].update(zenith=[1, 2]), "'zenith' must hold 3"),
        (lambda d: d.update(ground_z=None), "'ground_z' must hold one"),
    ],
)
def test_bad_fields_are_named(tmp_path, change, match):
    small_scene(tmp_path)
    edit(tmp_path, change)
    with pytest.raises(UserError, match=match):
        load_scene(tmp_path)


def test_links_out_of_the_folder_are_refused(tmp_path):
    small_scene(tmp_path / "a")
    shutil.move(tmp_path / "a" / "splats.ply", tmp_path / "splats.ply")
    (tmp_path / "a" / "splats.ply").symlink_to(tmp_path / "splats.ply")
    with pytest.raises(UserError, match="leads out"):
        load_scene(tmp_path / "a")


def test_missing_and_broken_files_are_named(tmp_path):
    with pytest.raises(UserError, match=r"no such scene folder.*gs_urban"):
        load_scene(tmp_path / "none")
    with pytest.raises(UserError, match=r"scene\.json: missing"):
        load_scene(tmp_path)
    for text in (b"{", b"\xff\xfe", b"[" * 100_000):
        (tmp_path / "scene.json").write_bytes(text)
        with pytest.raises(UserError, match=r"scene\.json: cannot be read"):
            load_scene(tmp_path)
    (tmp_path / "scene.json").write_text("[]")
    with pytest.raises(UserError, match="'units' is missing"):
        load_scene(tmp_path)


@pytest.mark.parametrize(
    "arrays,match",
    [
        ({"origin": np.zeros(2), "resolution": 0.1}, "'grid.*is missing"),
        ({"grid": np.zeros((3, 3)), "origin": np.zeros(2), "resolution": 0.1}, "2-D array of bool"),
        ({"grid": np.zeros((3, 3), bool), "origin": np.zeros(3), "resolution": 0.1}, "origin"),
        ({"grid": np.zeros((3, 3), bool), "origin": np.zeros(2), "resolution": 0.0}, "resolution"),
        ({"grid": np.array([[None]]), "origin": np.zeros(2), "resolution": 0.1}, "cannot be read"),
    ],
)
def test_bad_occupancy_is_refused(tmp_path, arrays, match):
    from s2e.envs.scene_files import _sha256

    small_scene(tmp_path)
    np.savez(tmp_path / "occupancy.npz", **arrays)
    hashed = _sha256(tmp_path / "occupancy.npz")
    edit(tmp_path, lambda d: d["files"]["occupancy"].update(sha256=hashed))
    with pytest.raises(UserError, match=match):
        load_scene(tmp_path)


def test_the_script_makes_the_packaged_scene(urban, tmp_path):
    build(tmp_path / "gs_urban")
    made = load_scene(tmp_path / "gs_urban")
    assert made.splats is not None and made.splats.means.shape == urban.splats.means.shape
    assert np.allclose(made.splats.means, urban.splats.means, atol=1e-4)
    assert np.mean(np.abs(made.splats.sh - urban.splats.sh) < 1e-3) > 0.999  # a shadow ray may graze differently
    assert np.array_equal(made.occupancy.grid, urban.occupancy.grid)
    assert np.allclose(made.free_anchors, urban.free_anchors)
