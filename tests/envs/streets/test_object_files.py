"""Models from files: what is drawn is what the file holds, and a bad file is one line, never a
traceback or a peek outside."""

import json
import os
import re
import struct

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from s2e.core.errors import UserError
from s2e.envs.streets import object_files
from s2e.envs.streets.build import build_scene
from s2e.envs.streets.object_files import load_objects

trimesh = pytest.importorskip("trimesh")

OBJ = (
    "mtllib {mtl}\nusemtl red\nv 0 0 0\nv 2 0 0\nv 2 1 0\nv 0 1 0\nv 1 0.5 -3\nf 1 2 3\nf 1 3 "
    "4\nf 2 1 5\nf 3 2 5\nf 4 3 5\nf 1 4 5\n"
)


def glb(path, **more):
    mesh = trimesh.creation.box(extents=(1.0, 2.0, 0.5))
    mesh.visual.face_colors = [200, 40, 20, 255]
    mesh.apply_translation([5.0, 7.0, -3.0])
    mesh.export(path)
    if more:
        rewrite(path, lambda tree: tree.update(more))
    return path


def rewrite(path, edit):
    data = path.read_bytes()
    length = struct.unpack_from("<I", data, 12)[0]
    tree = json.loads(data[20 : 20 + length])
    edit(tree)
    text = json.dumps(tree).encode()
    text += b" " * (-len(text) % 4)
    rest = data[20 + length :]
    path.write_bytes(
        struct.pack("<4sII", b"glTF", 2, 20 + len(text) + len(rest))
        + struct.pack("<I4s", len(text), b"JSON")
        + text
        + rest
    )


def obj(path, mtl="m.mtl", text=OBJ, material="newmtl red\nKd 0.9 0.1 0.1\n"):
    path.write_text(text.format(mtl=mtl))
    (path.parent / "m.mtl").write_text(material)
    return path


def test_a_glb_stands_upright_on_the_ground_in_its_colours(tmp_path):
    (kind,) = load_objects(glb(tmp_path / "crate.glb"))
    vertices = kind.mesh.vertices
    # y of the file is up
    np.testing.assert_allclose(np.ptp(vertices, axis=0), [1.0, 0.5, 2.0], atol=1e-5)
    np.testing.assert_allclose(
        [vertices[:, 2].min(), *(vertices.min(0) + vertices.max(0))[:2]], 0, atol=1e-5
    )
    np.testing.assert_allclose(
        kind.mesh.shade, np.broadcast_to([200 / 255, 40 / 255, 20 / 255], (12, 3, 3)), atol=0.01
    )
    points = vertices[kind.mesh.triangles].astype(float)
    volume = np.sum(points[:, 0] * np.cross(points[:, 1], points[:, 2])) / 6
    assert volume == pytest.approx(1.0, abs=1e-4)
    assert (kind.name, kind.family, kind.height) == ("crate", "own", pytest.approx(2.0))
    assert np.ptp(kind.footprint, axis=0) == pytest.approx([1.0, 0.5])


def test_an_obj_with_its_material(tmp_path):
    (kind,) = load_objects(obj(tmp_path / "wedge.obj"))
    assert len(kind.mesh.triangles) == 6
    np.testing.assert_allclose(
        kind.mesh.shade.reshape(-1, 3), np.tile([0.9, 0.1, 0.1], (18, 1)), atol=0.02
    )


def test_a_texture_gives_its_colours(tmp_path):
    from PIL import Image

    Image.fromarray(np.full((4, 4, 3), (20, 200, 60), np.uint8)).save(tmp_path / "green.png")
    text = re.sub(r"^f (\d) (\d) (\d)$", r"f \1/1 \2/1 \3/1", OBJ, flags=re.M).replace(
        "v 0 0 0", "vt 0.5 0.5\nv 0 0 0"
    )
    (kind,) = load_objects(
        obj(tmp_path / "a.obj", text=text, material="newmtl red\nmap_Kd green.png\n")
    )
    assert kind.mesh.shade[0, 0] == pytest.approx([20 / 255, 200 / 255, 60 / 255], abs=0.02)


def test_a_folder_of_models_goes_into_scenes(tmp_path):
    glb(tmp_path / "b.glb")
    obj(tmp_path / "a.obj")
    kinds = load_objects(tmp_path)
    assert [k.name for k in kinds] == ["a", "b"]
    scene, bare = build_scene(1, objects=kinds), build_scene(1, obstacles=False)
    assert len(scene.mesh.triangles) > len(bare.mesh.triangles)
    assert scene.occupancy.grid.sum() > bare.occupancy.grid.sum()


OUTSIDE = (
    "/etc/passwd",
    "../secret.mtl",
    "..\\secret.mtl",
    "C:\\secret.mtl",
    "C:/secret.mtl",
    "\\\\host\\share\\x.mtl",
    "a/../../secret.mtl",
    "http://example.org/x.mtl",
    "file:///etc/passwd",
    "~/x.mtl",
)


@pytest.mark.parametrize("name", OUTSIDE)
def test_nothing_outside_the_folder_is_opened(tmp_path, monkeypatch, name):
    folder = tmp_path / "models"
    folder.mkdir()
    (tmp_path / "secret.mtl").write_text("newmtl red\nKd 0 1 0\n")
    opened = []
    real = object_files._bytes
    monkeypatch.setattr(object_files, "_bytes", lambda p: opened.append(p) or real(p))
    with pytest.raises(UserError, match="names the file"):
        load_objects(obj(folder / "a.obj", mtl=name))
    with pytest.raises(UserError, match="names the file"):
        load_objects(obj(folder / "b.obj", material=f"newmtl red\nmap_Kd {name}\n"))
    with pytest.raises(UserError, match="names the file"):
        load_objects(obj(folder / "c.obj", material=f"newmtl red\nmap_Kd -s 1 1 1 {name}\n"))
    model = glb(folder / "d.glb", images=[{"uri": name}])
    with pytest.raises(UserError, match="names the file"):
        load_objects(model)
    assert all(p.resolve().parent == folder for p in opened)


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
def test_links_out_of_the_folder_are_refused(tmp_path):
    folder = tmp_path / "models"
    folder.mkdir()
    (tmp_path / "secret.mtl").write_text("newmtl red\nKd 0 1 0\n")
    (folder / "link.mtl").symlink_to(tmp_path / "secret.mtl")
    with pytest.raises(UserError, match="leads out of its folder"):
        load_objects(obj(folder / "a.obj", mtl="link.mtl"))


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda t: t.replace("v 2 0 0", "v nan 0 0"), "finite|cannot be read"),
        (lambda t: t.replace("v 2 0 0", "v 1e30 0 0"), "m across"),
        (lambda t: t.replace("v 2 0 0", "v 200 0 0"), "200 m across, .* scale it to metres"),
        (
            lambda t: "".join(line + "\n" for line in t.splitlines() if line[0] != "f"),
            "no triangles|cannot be read",
        ),
        (lambda t: t.replace("f 1 2 3", "f 1 2 99"), "cannot be read|does not exist"),
        (lambda t: "hello", "no triangles|cannot be read"),
        (
            lambda t: t + "".join(f"f 1 2 {3 + k % 3}\n" for k in range(20_001)),
            "faces; at most 20000",
        ),
    ],
)
def test_bad_models_are_refused(tmp_path, edit, message):
    with pytest.raises(UserError, match=message):
        load_objects(obj(tmp_path / "a.obj", text=edit(OBJ)))


def test_bad_files_are_refused(tmp_path, monkeypatch):
    (tmp_path / "empty.glb").write_bytes(b"")
    (tmp_path / "a.stl").write_bytes(b"solid")
    (tmp_path / "none").mkdir()
    for path, message in (
        (tmp_path / "empty.glb", "empty"),
        (tmp_path / "a.stl", "not a .glb"),
        (tmp_path / "no.obj", "no such file"),
        (tmp_path / "no", "no such file"),
        (tmp_path / "none", "holds no .glb"),
    ):
        with pytest.raises(UserError, match=message):
            load_objects(path)
    monkeypatch.setattr(object_files, "MAX_BYTES", 100)
    with pytest.raises(UserError, match="at most 0 MB"):
        load_objects(glb(tmp_path / "big.glb"))


def test_without_trimesh_it_says_what_to_install(tmp_path, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "trimesh", None)
    with pytest.raises(UserError, match='pip install "trimesh'):
        load_objects(obj(tmp_path / "a.obj"))


def _only_user_errors(path):
    try:
        (kind,) = load_objects(path)
    except UserError:
        return
    assert np.isfinite(kind.mesh.vertices).all() and kind.mesh.triangles.max() < len(
        kind.mesh.vertices
    )


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    cut=st.floats(0, 1), flips=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=6)
)
@example(cut=1.0, flips=[])
def test_a_damaged_glb_is_read_or_refused(tmp_path, cut, flips):
    data = bytearray(glb(tmp_path / "whole.glb").read_bytes())
    for where, value in flips:
        data[int(where * (len(data) - 1))] = value
    (tmp_path / "bad.glb").write_bytes(bytes(data[: int(cut * len(data))]))
    _only_user_errors(tmp_path / "bad.glb")


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    cut=st.floats(0, 1), flips=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=6)
)
def test_a_damaged_obj_is_read_or_refused(tmp_path, cut, flips):
    data = bytearray(obj(tmp_path / "whole.obj").read_bytes())
    for where, value in flips:
        data[int(where * (len(data) - 1))] = value
    (tmp_path / "bad.obj").write_bytes(bytes(data[: int(cut * len(data))]))
    _only_user_errors(tmp_path / "bad.obj")
