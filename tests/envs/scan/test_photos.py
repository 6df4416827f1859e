"""Photographs are read small and straight; what cannot be used is left out with a reason."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from s2e.core.errors import UserError
from s2e.envs.scan.photos.cameras import Lens, Posed, read_camera_list
from s2e.envs.scan.photos.pictures import (
    back_projected,
    bent_pixels,
    read_photo,
    read_photos,
    rotation_of,
    scattered,
    split,
)
from tests.envs.scan.shots import room, shoot

LENS = Lens((100.0, 100.0, 80.0, 60.0), (160, 120))


def posed(image: Path, **more) -> Posed:
    return Posed(
        **{
            "name": image.name,
            "position": np.zeros(3),
            "axes": np.eye(3),
            "lens": LENS,
            "image": image,
            **more,
        }
    )


def picture(path: Path, size=(160, 120)) -> Path:
    y, x = np.mgrid[: size[1], : size[0]]
    Image.fromarray(
        np.stack([x * 255 // size[0], y * 255 // size[1], 0 * x], -1).astype(np.uint8)
    ).save(path)
    return path


def test_scaled_down_with_its_lens(tmp_path):
    photo = read_photo(posed(picture(tmp_path / "a.png")), 80)
    assert photo.rgb.shape == (60, 80, 3) and photo.view.intrinsics.tolist() == [
        50.0,
        50.0,
        40.0,
        30.0,
    ]
    assert abs(int(photo.rgb[30, 40, 0]) - 128) < 4
    # scaled down after its cameras were found
    small = read_photo(posed(picture(tmp_path / "b.png", (80, 60))), 1000)
    assert small.rgb.shape == (60, 80, 3) and small.view.intrinsics.tolist() == [
        50.0,
        50.0,
        40.0,
        30.0,
    ]


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"image": Path("none.png")}, "none.png: no such picture"),
        ({"image": None}, "names no picture"),
        ({"lens": None}, "no intrinsics"),
        (
            {"lens": Lens(LENS.intrinsics, (120, 160))},
            "is 160 x 120, its camera's pictures are 120 x 160",
        ),
        ({"axes": None}, "no rotation"),
        ({"axes": np.diag([1.0, 1.0, -1.0])}, "no rotation"),
        ({"axes": np.diag([1.0, 1.0, 0.2])}, "no rotation"),
    ],
)
def test_left_out(change, match, tmp_path):
    with pytest.raises(UserError, match=match):
        read_photo(replace(posed(picture(tmp_path / "a.png")), **change), 80)


def test_damaged_pictures(tmp_path):
    file = picture(tmp_path / "a.png")
    file.write_bytes(file.read_bytes()[:200])
    with pytest.raises(UserError, match="cut or damaged"):
        read_photo(posed(file), 80)
    file.write_bytes(b"no picture")
    with pytest.raises(UserError, match="not a readable picture"):
        read_photo(posed(file), 80)
    good = picture(tmp_path / "b.png")
    with pytest.raises(UserError, match="one channel"):
        read_photo(posed(good, depth=good), 80)


def test_scaled_axes_are_rotations():
    turn = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    found = rotation_of(3.0 * turn)
    assert found is not None
    np.testing.assert_allclose(found, turn, atol=1e-12)


def test_bent_pictures_are_straightened(tmp_path):
    lens = Lens((100.0, 100.0, 80.0, 60.0), (160, 120), (-0.2, 0.05, 0.002, -0.001, 0.0))
    rows, columns = bent_pixels(lens)
    # What the bent picture shows at a pixel is at the straight pixel that is bent to it: found by
    # search.
    straight_y, straight_x = np.mgrid[:120, :160].astype(float)
    y, x = straight_y.copy(), straight_x.copy()
    for _ in range(30):
        inside = Lens(lens.intrinsics, lens.size_px, lens.bent)
        u, v = (x + 0.5 - 80) / 100, (y + 0.5 - 60) / 100
        k1, k2, p1, p2, _ = inside.bent
        r2 = u * u + v * v
        radial = 1 + k1 * r2 + k2 * r2 * r2
        bent_x = (u * radial + 2 * p1 * u * v + p2 * (r2 + 2 * u * u)) * 100 + 79.5
        bent_y = (v * radial + p1 * (r2 + 2 * v * v) + 2 * p2 * u * v) * 100 + 59.5
        x, y = x + straight_x - bent_x, y + straight_y - bent_y
    shown = np.stack([128 + 60 * np.sin(x / 9), 128 + 60 * np.cos(y / 11), 0 * x], -1)
    Image.fromarray(shown.round().astype(np.uint8)).save(tmp_path / "a.png")
    photo = read_photo(posed(tmp_path / "a.png", lens=lens), 160)
    wanted = np.stack([128 + 60 * np.sin(straight_x / 9), 128 + 60 * np.cos(straight_y / 11)], -1)
    assert np.abs(photo.rgb[5:-5, 5:-5, :2] - wanted[5:-5, 5:-5]).max() < 5
    assert rows.shape == columns.shape == (120, 160)


def test_depth_comes_back_as_the_surface(tmp_path):
    shoot(tmp_path, room(20_000), 9, (96, 72), rgbd=True)
    photos, faults = read_photos(read_camera_list(tmp_path), 48)
    assert not faults and len(photos) == 9 and photos[0].rgb.shape == (36, 48, 3)
    points, colours = back_projected(photos, 3000, 0)
    assert len(points) == len(colours) == 3000
    away = np.stack(
        [points[:, 2], points[:, 0], 8 - points[:, 0], points[:, 1], 6 - points[:, 1]]
    ).min(0)
    assert np.quantile(np.abs(away), 0.9) < 0.15
    learning, judging = split(photos)
    assert [p.name for p in judging] == ["frame-000000", "frame-000008"] and len(learning) == 7


def test_random_points_are_in_sight(tmp_path):
    shoot(tmp_path, room(2000), 9, (48, 32), rgbd=False)
    photos, _ = read_photos(read_camera_list(tmp_path), 48)
    points, colours = scattered(photos, 200, 0.5, 9.0, 0)
    seen = np.zeros(200, bool)
    for photo in photos:
        x, y, z = ((points - photo.view.position) @ photo.view.rotation.T).T
        fx, fy, cx, cy = photo.view.intrinsics
        seen |= (z > 0) & (abs(fx * x / z) <= cx + 1e-6) & (abs(fy * y / z) <= cy + 1e-6)
    assert seen.all() and colours.min() >= 0 and colours.max() <= 1


def test_what_can_be_used_is_used_and_counted(tmp_path):
    shoot(tmp_path, room(500), 8, (48, 32), rgbd=False)
    (tmp_path / "frame-000001.color.png").unlink()
    (tmp_path / "frame-000002.color.png").write_bytes(b"")
    data = json.loads((tmp_path / "transforms.json").read_text())
    data["frames"][3]["transform_matrix"][0][0] = float("nan")
    data["frames"][4]["transform_matrix"][0][0] += 3.0
    (tmp_path / "transforms.json").write_text(json.dumps(data))
    photos, faults = read_photos(read_camera_list(tmp_path), 48)
    assert [p.name[6:12] for p in photos] == ["000000", "000005", "000006", "000007"] and len(
        faults
    ) == 4
    for k in range(5, 8):
        (tmp_path / f"frame-00000{k}.color.png").unlink()
    with pytest.raises(UserError, match="1 of 7 photographs can be used, 3 are needed"):
        read_photos(read_camera_list(tmp_path), 48)
