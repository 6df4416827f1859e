"""Splat scenes on disk: what is written is loaded, and damaged folders are refused."""

import dataclasses
import hashlib
import io
import json
import shutil
import struct
import zipfile

import numpy as np
import pytest

from s2e.core.errors import UserError
from s2e.envs.geometry.meshes import empty_mesh, mesh_of
from s2e.envs.geometry.occupancy import Occupancy
from s2e.envs.geometry.scene import Scene, Sky, Splats
from s2e.envs.scenes.files import episodes_file, load_scene, scene_folder, write_scene

SKY = Sky(fog_m=12.0, sun=(0.6, 0.0, 0.8), sun_rgb=(0.5, 0.4, 0.3), ambient_rgb=(0.9, 0.8, 0.7))


def small_scene(folder):
    rng = np.random.default_rng(0)
    splats = Splats(
        means=rng.normal(size=(5, 3)).astype(np.float32),
        quats=np.tile(np.array([[1, 0, 0, 0]], np.float32), (5, 1)),
        scales=np.full((5, 3), 0.1, np.float32),
        opacities=np.full(5, 0.5, np.float32),
        sh=np.zeros((5, 1, 3), np.float32),
    )
    grid = rng.random((6, 9)) < 0.3
    grid[0, 7], grid[5, 1], grid[2, 2] = False, False, True
    occupancy = Occupancy(grid, np.array([-1.5, 2.25]), 0.2)
    anchors = np.array([[0.0, 2.3], [-1.2, 3.35]])
    write_scene(folder, Scene("small", occupancy, empty_mesh(), anchors, splats, sky=SKY))
    return splats, occupancy


def test_what_is_written_is_loaded(tmp_path):
    splats, occupancy = small_scene(tmp_path / "small")
    scene = load_scene(tmp_path / "small")
    assert scene.splats is not None and np.array_equal(scene.splats.means, splats.means)
    assert (
        np.array_equal(scene.occupancy.grid, occupancy.grid) and scene.occupancy.resolution == 0.2
    )
    assert np.array_equal(scene.occupancy.origin, occupancy.origin)
    assert np.array_equal(scene.free_anchors, [[0, 2.3], [-1.2, 3.35]])
    assert scene.sky == SKY and scene.name == "small"


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
        (
            lambda d: d["files"]["occupancy"].update(path="../other/occupancy.npz"),
            "leads out of the scene folder",
        ),
        (
            lambda d: d["files"]["occupancy"].update(path="/etc/passwd"),
            "leads out of the scene folder",
        ),
        (lambda d: d["files"]["occupancy"].update(path="none.npz"), r"none\.npz: missing"),
        (lambda d: d.update(free_anchors=[]), "'free_anchors' must hold n x 2"),
        (lambda d: d.update(free_anchors=[[1, 2], [3]]), "'free_anchors' must hold n x 2"),
        (lambda d: d.update(free_anchors=[["a", "b"]]), "'free_anchors' must hold n x 2"),
        (lambda d: d["sky"].update(zenith=[1, 2]), "'zenith' must hold 3"),
        (lambda d: d.update(ground_z=None), "'ground_z' must hold one finite number;"),
        (
            lambda d: d["files"]["splats"].update(path="x" * 5000),
            r"files\.splats\.path 'x+\.\.\.' is no path",
        ),
        (lambda d: d["files"]["splats"].update(path="a\ud800"), "is no path"),
        (lambda d: d["files"]["splats"].update(path="a\0"), "is no path"),
        (lambda d: d["sky"].update(fog_m=0), "'sky.fog_m' is 0; give"),
        (lambda d: d["sky"].update(sun=[0, 0, 0]), "'sky.sun' has length 0;"),
        (lambda d: d["sky"].update(sun=[0, 0, 10]), "'sky.sun' has length 10;"),
        (lambda d: d["sky"].update(horizon=[0, 256, 0]), "'sky.horizon' is .* from 0 to 255"),
        (lambda d: d["sky"].update(sun_rgb=[0, -1, 0]), "'sky.sun_rgb' is .* from 0 to 10"),
        (
            lambda d: d.update(free_anchors=[[0.0, 2.3], [0.0, 1e300]]),
            r"'free_anchors'\[1\] 0, 1e\+300 is outside",
        ),
        (
            lambda d: d.update(free_anchors=[[-1.0, 2.75]]),
            r"'free_anchors'\[0\] -1, 2.75 is in a solid cell",
        ),
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
    with pytest.raises(UserError, match="holds a list"):
        load_scene(tmp_path)


@pytest.mark.parametrize(
    "arrays,match",
    [
        ({"origin": np.zeros(2), "resolution": 0.1}, "'grid.*is missing"),
        ({"grid": np.zeros((3, 3)), "origin": np.zeros(2), "resolution": 0.1}, "2-D array of bool"),
        ({"grid": np.zeros((3, 3), bool), "origin": np.zeros(3), "resolution": 0.1}, "origin"),
        ({"grid": np.zeros((3, 3), bool), "origin": np.zeros(2), "resolution": 0.0}, "resolution"),
        (
            {"grid": np.zeros((3, 3), bool), "origin": np.zeros(2), "resolution": 0.001},
            "resolution",
        ),
        (
            {"grid": np.zeros((3, 3), bool), "origin": np.array([0, -1e6]), "resolution": 0.1},
            "origin",
        ),
        (
            {
                "grid": np.zeros((3, 3), bool),
                "origin": np.zeros(2),
                "resolution": 0.1,
                "height": np.zeros((3, 3)),
            },
            "only one of height",
        ),
        ({"grid": np.array([[None]]), "origin": np.zeros(2), "resolution": 0.1}, "cannot be read"),
    ],
)
def test_bad_occupancy_is_refused(tmp_path, arrays, match):
    small_scene(tmp_path)
    file = io.BytesIO()
    np.savez(file, **arrays)
    refuse_occupancy(tmp_path, file.getvalue(), match)


def refuse_occupancy(folder, data, match):
    (folder / "occupancy.npz").write_bytes(data)
    edit(folder, lambda d: d["files"]["occupancy"].update(sha256=hashlib.sha256(data).hexdigest()))
    with pytest.raises(UserError, match=match):
        load_scene(folder)


def npy(header: str) -> bytes:
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(header)) + header.encode()


def test_hostile_occupancy_is_refused_before_memory_is_asked_for(tmp_path):
    small_scene(tmp_path)

    def packed(grid, method=zipfile.ZIP_DEFLATED):
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", method) as archive:
            archive.writestr("grid.npy", grid)
        return file.getvalue()

    form = "{{'descr': '{}', 'fortran_order': False, 'shape': {}}}"
    for kind, shape, match in (
        ("|b1", "(1000000, 1000000)", "more than 67,108,864 cells"),
        ("|b1", "(-1, 7)", "more than"),
        ("|b1", f"(0, {10**30})", "more than"),
        ("|b1", "(8192, 8192)", "bytes, not those of"),
        ("|S2000000000", "(1,)", "bytes, not those of"),
        ("|b1", "(" * 500, "cannot be read"),
        ("|b1", "(1, ", "cannot be read"),
    ):
        refuse_occupancy(tmp_path, packed(npy(form.format(kind, shape))), match)
    refuse_occupancy(tmp_path, packed(b"\0" * 10_000_000), "cannot be read")
    refuse_occupancy(tmp_path, packed(b"", zipfile.ZIP_LZMA), "encrypted or packed")
    whole = bytearray(packed(npy(form.format("|b1", "(1, 1)")) + b"\0"))
    locked, unknown = whole.copy(), whole.copy()
    # flags, and two bytes later the method, of directory and member
    for mark, offset in (b"PK\1\2", 8), (b"PK\3\4", 6):
        at = whole.index(mark) + offset
        locked[at] |= 1
        unknown[at + 2] = 77
    refuse_occupancy(tmp_path, bytes(locked), "encrypted or packed")
    refuse_occupancy(tmp_path, bytes(unknown), "encrypted or packed")
    whole[whole.index(b"PK\1\2") - 3] ^= 255  # in the packed bytes
    refuse_occupancy(tmp_path, bytes(whole), "cannot be read")


def test_episodes_under_a_hash_are_checked(tmp_path):
    small_scene(tmp_path)
    path = tmp_path / "episodes.json"
    path.write_text("{}")
    assert episodes_file(tmp_path) == path
    edit(
        tmp_path,
        lambda d: d["files"].update(
            episodes={"path": "episodes.json", "sha256": hashlib.sha256(b"{}").hexdigest()}
        ),
    )
    assert episodes_file(tmp_path) == path
    path.write_text("{ }")
    with pytest.raises(
        UserError, match=r"episodes\.json: sha256 is .*remove files\.episodes from scene\.json"
    ):
        episodes_file(tmp_path)
    path.unlink()
    with pytest.raises(UserError, match=r"episodes\.json: sha256 is none"):
        episodes_file(tmp_path)


def test_a_slip_of_the_name_is_answered(tmp_path, monkeypatch):
    monkeypatch.setenv("S2E_SCENES", str(tmp_path))
    (tmp_path / "backyard").mkdir()
    for given, meant in (
        ("marked", "market"),
        ("plazza", "gs_urban/plaza"),
        ("backyrd", "backyard"),
    ):
        with pytest.raises(UserError, match=f"did you mean {meant}\\?"):
            load_scene(given)
    for given in ("x" * 5000, "a\ud800", "a\0"):
        with pytest.raises(UserError, match="no such scene folder; give"):
            load_scene(given)


@pytest.mark.parametrize("name", ["gs_urban/plaza", pytest.param("market", marks=pytest.mark.slow)])
def test_packaged_scenes_pass_the_checks(name):
    assert (
        load_scene(name).free_anchors.size
        and episodes_file(name) == scene_folder(name) / "episodes.json"
    )


def triangles(folder):
    mesh = mesh_of(
        [[0, 0, 0], [1.23456, 0, 0], [0, 1, 0.0004]],
        [[0, 1, 2]],
        [[[0, 0], [3.3, 0], [0, 1]]],
        "brick",
        (0.5, 0.25, 1.1),
    )
    mesh = dataclasses.replace(mesh, instance=np.array([7], np.int32))
    occupancy = Occupancy(np.zeros((4, 5), dtype=bool), np.zeros(2), 0.1)
    scene = Scene("flat", occupancy, mesh, np.array([[0.15, 0.15]]), sky=SKY)
    write_scene(folder, scene)
    return scene


def test_a_scene_of_triangles_is_written_and_loaded(tmp_path):
    scene = triangles(tmp_path / "flat")
    found = load_scene(tmp_path / "flat")
    assert found.splats is None and found.sky == SKY
    for field in dataclasses.fields(scene.mesh):
        mine, theirs = getattr(scene.mesh, field.name), getattr(found.mesh, field.name)
        assert mine.dtype == theirs.dtype and mine.shape == theirs.shape
        np.testing.assert_allclose(theirs, mine, atol=0.0011)
    first = (tmp_path / "flat" / "mesh.npz").read_bytes()
    triangles(tmp_path / "again")
    assert (tmp_path / "again" / "mesh.npz").read_bytes() == first


@pytest.mark.parametrize(
    "change,match",
    [
        (lambda a: a.pop("uv"), "'uv' is missing"),
        (lambda a: a.update(triangles=np.array([[0, 1, 3]], np.int32)), "triangles goes"),
        (lambda a: a.update(semantic=np.array([99], np.uint8)), "semantic goes"),
        (lambda a: a.update(texture=np.array([1], np.uint8)), "texture goes"),
        (lambda a: a.update(instance=np.array([1, 2], np.int32)), "instance is"),
        (lambda a: a["vertices"].__setitem__((0, 0), np.nan), "not finite"),
    ],
)
def test_damaged_triangles_are_refused(tmp_path, change, match):
    triangles(tmp_path)
    arrays = dict(np.load(tmp_path / "mesh.npz"))
    change(arrays)
    np.savez(tmp_path / "mesh.npz", **arrays)
    digest = hashlib.sha256((tmp_path / "mesh.npz").read_bytes()).hexdigest()
    edit(tmp_path, lambda d: d["files"]["mesh"].update(sha256=digest))
    with pytest.raises(UserError, match=match):
        load_scene(tmp_path)


def test_a_place_is_another_scene_under_a_name_of_its_own(tmp_path):
    where = scene_folder("gs_urban/plaza") / "scene.json"
    place = {"scene": "gs_urban/plaza", "sha256": hashlib.sha256(where.read_bytes()).hexdigest()}
    data = {"name": "talks", "units": "m", "place": place}
    (tmp_path / "scene.json").write_text(json.dumps(data))
    found, plaza = load_scene(tmp_path), load_scene("gs_urban/plaza")
    assert found.name == "talks" and found.splats is not None and plaza.splats is not None
    np.testing.assert_array_equal(found.splats.means, plaza.splats.means)
    edit(tmp_path, lambda d: d["place"].update(sha256="0" * 64))
    with pytest.raises(UserError, match="sha256"):
        load_scene(tmp_path)
    for other in ("../plaza", "social/doorway"):
        edit(tmp_path, lambda d, other=other: d["place"].update(scene=other))
        with pytest.raises(UserError, match=r"place\.scene"):
            load_scene(tmp_path)
