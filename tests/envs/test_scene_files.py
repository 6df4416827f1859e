"""Splat scenes on disk: what is written is loaded, and damaged folders are refused."""

import json
import shutil

import numpy as np
import pytest

from s2e.envs.occupancy import Occupancy
from s2e.envs.scene import Sky, Splats
from s2e.envs.scene_files import load_scene, write_scene
from s2e.errors import UserError


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
