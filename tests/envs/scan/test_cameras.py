"""Camera lists of every kind say the same of the same cameras; what is bad in them is left out and
counted."""

import json
import os
import struct
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.spatial.transform import Rotation

from s2e.core.errors import UserError
from s2e.envs.scan.ground.scale import read_cameras
from s2e.envs.scan.photos.cameras import CameraList, read_camera_list

COUNT, SIZE, FOCAL = 5, (64, 48), 50.0
RNG = np.random.default_rng(0)
# right, down, forward in columns
AXES = Rotation.from_quat(np.random.default_rng(1).normal(size=(COUNT, 4))).as_matrix()
EYES = RNG.normal(size=(COUNT, 3))
POINTS, TINTS = RNG.normal(size=(7, 3)), RNG.integers(0, 256, (7, 3))


def pictures(folder) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for k in range(COUNT):
        Image.fromarray(np.full((SIZE[1], SIZE[0], 3), 40 * k, np.uint8)).save(
            folder / f"{k:04d}.png"
        )


def nerf(folder, **more) -> None:
    pictures(folder / "images")
    frames = []
    for k in range(COUNT):
        matrix = np.eye(4)
        matrix[:3, :3], matrix[:3, 3] = AXES[k] * [1, -1, -1], EYES[k]
        frames.append({"file_path": f"./images/{k:04d}.png", "transform_matrix": matrix.tolist()})
    whole = {
        "fl_x": FOCAL,
        "fl_y": FOCAL,
        "cx": 32,
        "cy": 24,
        "w": 64,
        "h": 48,
        "frames": frames,
        **more,
    }
    (folder / "transforms.json").write_text(json.dumps(whole))


def colmap_rows():
    for k in range(COUNT):
        quat = np.roll(Rotation.from_matrix(AXES[k].T).as_quat(), 1)
        yield k, quat, -AXES[k].T @ EYES[k], f"{k:04d}.png"


def colmap_text(folder) -> None:
    pictures(folder / "images")
    model = folder / "sparse" / "0"
    model.mkdir(parents=True)
    (model / "cameras.txt").write_text(f"# cameras\n1 SIMPLE_PINHOLE 64 48 {FOCAL} 32 24\n")
    lines = ["# images"]
    for k, quat, shift, name in colmap_rows():
        lines += [" ".join(map(str, [k, *quat, *shift, 1, name])), "" if k % 2 else "1.0 2.0 -1"]
    (model / "images.txt").write_text("\n".join(lines) + "\n")
    points = [
        " ".join(map(str, [k, *p, *c, 0.5, 1, 2])) for k, (p, c) in enumerate(zip(POINTS, TINTS))
    ]
    (model / "points3D.txt").write_text("\n".join(points))


def colmap_binary(folder) -> None:
    pictures(folder / "images")
    model = folder / "sparse" / "0"
    model.mkdir(parents=True)
    (model / "cameras.bin").write_bytes(
        struct.pack("<QiiQQ4d", 1, 1, 1, 64, 48, FOCAL, FOCAL, 32, 24)
    )
    data = struct.pack("<Q", COUNT)
    for k, quat, shift, name in colmap_rows():
        data += struct.pack("<i7di", k, *quat, *shift, 1) + name.encode() + b"\0"
        data += struct.pack("<Q", 2) + struct.pack("<ddqddq", 1, 2, 3, 4, 5, -1)
    (model / "images.bin").write_bytes(data)
    data = struct.pack("<Q", len(POINTS))
    for k, (p, c) in enumerate(zip(POINTS, TINTS)):
        data += struct.pack("<q3d3BdQ", k, *p, *map(int, c), 0.5, 1) + struct.pack("<ii", 1, 2)
    (model / "points3D.bin").write_bytes(data)


def rgbd(folder) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "camera-intrinsics.txt").write_text(f"{FOCAL} 0 32\n0 {FOCAL} 24\n0 0 1\n")
    for k in range(COUNT):
        matrix = np.eye(4)
        matrix[:3, :3], matrix[:3, 3] = AXES[k], EYES[k]
        np.savetxt(folder / f"frame-{k:06d}.pose.txt", matrix)
        Image.fromarray(np.full((SIZE[1], SIZE[0], 3), 40 * k, np.uint8)).save(
            folder / f"frame-{k:06d}.color.png"
        )
        Image.fromarray(np.full((SIZE[1], SIZE[0]), 1000 + k, np.uint16)).save(
            folder / f"frame-{k:06d}.depth.png"
        )


def trained(folder) -> None:
    pictures(folder)
    rows = [
        {
            "id": k,
            "img_name": f"{k:04d}",
            "position": EYES[k].tolist(),
            "rotation": AXES[k].tolist(),
            "fx": FOCAL,
            "fy": FOCAL,
        }
        | {"width": 64, "height": 48}
        for k in range(COUNT)
    ]
    (folder / "cameras.json").write_text(json.dumps(rows))


KINDS = {
    "nerf": nerf,
    "text": colmap_text,
    "binary": colmap_binary,
    "rgbd": rgbd,
    "trained": trained,
}


@pytest.mark.parametrize("kind", KINDS)
def test_all_kinds_say_the_same(kind, tmp_path):
    KINDS[kind](tmp_path)
    found = read_camera_list(tmp_path)
    assert not found.faults and len(found.cameras) == COUNT
    for k, camera in enumerate(found.cameras):
        assert camera.axes is not None and camera.lens is not None and camera.image is not None
        np.testing.assert_allclose(camera.position, EYES[k], atol=1e-9)
        np.testing.assert_allclose(camera.axes, AXES[k], atol=1e-9)
        assert camera.lens.intrinsics == (FOCAL, FOCAL, 32, 24)
        assert camera.image.is_file() and f"{k}" in camera.image.name
        assert (camera.depth is not None) == (kind == "rgbd")
    assert found.metric == (kind == "rgbd")
    if kind in ("text", "binary"):
        np.testing.assert_allclose(found.points, POINTS)
        np.testing.assert_array_equal(found.colours, TINTS)
    cameras = read_cameras(tmp_path)
    np.testing.assert_allclose(cameras.positions, EYES, atol=1e-9)
    assert cameras.up is None or abs(np.linalg.norm(cameras.up) - 1) < 1e-9


def test_a_field_of_view_alone(tmp_path):
    nerf(tmp_path, fl_x=0, fl_y=0, camera_angle_x=1.0)
    lens = read_camera_list(tmp_path).cameras[0].lens
    assert lens is not None and lens.intrinsics[:2] == pytest.approx([32 / np.tan(0.5)] * 2)


def test_fisheyes_have_no_lens(tmp_path):
    nerf(tmp_path, camera_model="OPENCV_FISHEYE")
    assert all(camera.lens is None for camera in read_camera_list(tmp_path).cameras)
    colmap_text(tmp_path / "colmap")
    (tmp_path / "colmap" / "sparse" / "0" / "cameras.txt").write_text(
        "1 OPENCV_FISHEYE 64 48 50 50 32 24 0.1 0 0 0\n"
    )
    found = read_camera_list(tmp_path / "colmap")
    assert "image_undistorter" in found.notes[0] and all(
        camera.lens is None for camera in found.cameras
    )


def test_points_of_nerfstudio(tmp_path):
    nerf(tmp_path, ply_file_path="points.ply")
    head = "ply\nformat binary_little_endian 1.0\nelement vertex 7\n" + "".join(
        f"property float {a}\n" for a in "xyz"
    )
    head += "".join(f"property uchar {a}\n" for a in ("red", "green", "blue")) + "end_header\n"
    rows = b"".join(struct.pack("<3f3B", *p, *map(int, c)) for p, c in zip(POINTS, TINTS))
    (tmp_path / "points.ply").write_bytes(head.encode() + rows)
    found = read_camera_list(tmp_path)
    np.testing.assert_allclose(found.points, POINTS, atol=1e-6)
    np.testing.assert_array_equal(found.colours, TINTS)
    (tmp_path / "points.ply").write_bytes(head.encode() + rows[:-1])
    found = read_camera_list(tmp_path)
    assert len(found.cameras) == COUNT and len(found.points) == 0 and "points.ply" in found.notes[0]


def test_the_model_with_most_images(tmp_path):
    colmap_binary(tmp_path)
    small = tmp_path / "sparse" / "1"
    small.mkdir()
    (small / "images.bin").write_bytes(struct.pack("<Q", 0))
    (small / "cameras.bin").write_bytes(struct.pack("<Q", 0))
    assert len(read_camera_list(tmp_path).cameras) == COUNT


@pytest.mark.parametrize("name", ["images.bin", "points3D.bin", "cameras.bin"])
def test_a_cut_model_is_read_as_far_as_it_goes(name, tmp_path):
    colmap_binary(tmp_path)
    file = tmp_path / "sparse" / "0" / name
    file.write_bytes(file.read_bytes()[:-3])
    found = read_camera_list(tmp_path)
    assert len(found.cameras) == COUNT - (name == "images.bin")
    assert len(found.points) == len(POINTS) - (name == "points3D.bin")
    (line,) = found.faults + found.notes
    assert name in line and "were read" in line
    if name == "images.bin":
        with pytest.raises(UserError, match=name):
            read_cameras(tmp_path)
    else:
        assert len(read_cameras(tmp_path).positions) == COUNT


def test_bad_poses_are_left_out(tmp_path):
    rgbd(tmp_path)
    (tmp_path / "frame-000001.pose.txt").write_text("nan " * 16)
    (tmp_path / "frame-000002.pose.txt").write_text("1 0 0 0\n0 1 0")
    (tmp_path / "frame-000003.pose.txt").write_bytes(os.urandom(64))
    found = read_camera_list(tmp_path)
    assert len(found.cameras) == COUNT - 3 and len(found.faults) == 3
    assert "frame-000001.pose.txt" in found.faults[0]


def test_nothing_there(tmp_path):
    with pytest.raises(UserError, match="no cameras in this folder"):
        read_camera_list(tmp_path)
    with pytest.raises(UserError, match="cannot be read"):
        read_camera_list(tmp_path / "none")
    (tmp_path / "cameras.json").write_text("[]")
    with pytest.raises(UserError, match="lists no cameras"):
        read_cameras(tmp_path)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_damaged_models_never_end_in_a_traceback(data):
    with tempfile.TemporaryDirectory() as place:
        damaged(data, Path(place) / "model")


def damaged(data, folder) -> None:
    kind = data.draw(st.sampled_from(["text", "binary", "rgbd", "nerf"]))
    KINDS[kind](folder)
    files = sorted(p for p in folder.rglob("*") if p.suffix in (".bin", ".txt", ".json"))
    file = data.draw(st.sampled_from(files))
    content = bytearray(file.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content) - 1))
        if data.draw(st.booleans()):
            content[at] = data.draw(st.integers(0, 255))
        else:
            del content[at : at + data.draw(st.integers(1, 9))]
        if not content:
            break
    file.write_bytes(bytes(content))
    try:
        found = read_camera_list(folder)
    except UserError:
        return
    assert isinstance(found, CameraList) and all(
        np.isfinite(camera.position).all() for camera in found.cameras
    )
