import json

import numpy as np
import pytest

from s2e.core.errors import UserError
from s2e.envs.scan.ground.floor import Floor
from s2e.envs.scan.ground.scale import (
    read_cameras,
    scale_from_cameras,
    scale_from_point,
    track_floor,
)

FLOOR = Floor(np.array([0.0, -1.0, 0.0]), 2.0, 0.5, 10.0, 0.01, True)  # y down, floor at y = -2


def test_from_cameras():
    rng = np.random.default_rng(0)
    positions = np.stack(
        [rng.uniform(-5, 5, 200), -2 - 0.5 + rng.normal(0, 0.02, 200), rng.uniform(-5, 5, 200)], 1
    )
    scale, uncertainty = scale_from_cameras(positions, FLOOR, 1.5)
    assert scale == pytest.approx(3.0, rel=0.01)
    assert 0.05 < uncertainty < 0.1
    positions[:, 1] += rng.normal(0, 0.2, 200)
    assert scale_from_cameras(positions, FLOOR, 1.5)[1] > uncertainty


def test_from_a_point():
    scale, uncertainty = scale_from_point(np.array([3.0, -4.0, 1.0]), FLOOR, 1.0)
    assert scale == pytest.approx(0.5)
    assert 0.0 < uncertainty < 0.05


@pytest.mark.parametrize("height", [0.0, -1.0, np.nan])
def test_bad_heights(height):
    with pytest.raises(UserError, match="height"):
        scale_from_point(np.array([0.0, -4.0, 0.0]), FLOOR, height)


def test_refused():
    with pytest.raises(UserError, match="above the floor"):
        scale_from_point(np.array([0.0, -1.0, 0.0]), FLOOR, 1.0)
    with pytest.raises(UserError, match="above the floor"):
        scale_from_cameras(np.zeros((3, 3)), FLOOR, 1.0)
    with pytest.raises(UserError, match="none"):
        scale_from_cameras(np.zeros((0, 3)), FLOOR, 1.0)


def test_reads_both_kinds(tmp_path):
    cameras = tmp_path / "cameras.json"
    cameras.write_text(
        json.dumps([{"id": 0, "position": [1, 2, 3.5]}, {"id": 1, "position": [4, 5, 6]}])
    )
    assert np.array_equal(read_cameras(cameras).positions, [[1, 2, 3.5], [4, 5, 6]])
    transforms = tmp_path / "transforms.json"
    matrix = np.eye(4)
    matrix[:3, 3] = 7, 8, 9
    transforms.write_text(
        json.dumps({"frames": [{"file_path": "a.png", "transform_matrix": matrix.tolist()}]})
    )
    assert np.array_equal(read_cameras(transforms).positions, [[7, 8, 9]])


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "JSON"),
        ("{", "JSON"),
        ("[" * 100_000, "JSON"),
        ("[]", "no cameras"),
        ("3", "neither"),
        ('{"frames": 3}', "neither"),
        ("[3]", r"\[0\].position"),
        ('[{"position": [1, 2]}]', "position"),
        ('[{"position": [1, 2, NaN]}]', "position"),
        ('[{"position": [1, 2, 1e999]}]', "position"),
        ('{"frames": [{}]}', "transform_matrix"),
        ('{"frames": [{"transform_matrix": [[1], [2], [3], [4]]}]}', "transform_matrix"),
        (
            '{"frames": [{"transform_matrix": [[1,0,0,"a"],[0,1,0,0],[0,0,1,0],[0,0,0,1]]}]}',
            "transform_matrix",
        ),
    ],
)
def test_bad_files(tmp_path, text, word):
    path = tmp_path / "cameras.json"
    path.write_text(text)
    with pytest.raises(UserError, match=word) as refusal:
        read_cameras(path)
    assert "cameras.json" in str(refusal.value)


def test_missing(tmp_path):
    with pytest.raises(UserError, match="cannot be read"):
        read_cameras(tmp_path / "none.json")


def test_cameras_say_which_way_is_up(tmp_path):
    rng, up = (
        np.random.default_rng(0),
        np.array([0.1, -0.9, 0.3]) / np.linalg.norm([0.1, -0.9, 0.3]),
    )
    turns = []
    for _ in range(30):  # right, down, front of upright cameras that look about
        front = np.cross(up, rng.normal(size=3))
        down = -up + 0.2 * rng.normal(size=3)
        right = np.cross(down, front)
        turns.append(
            np.stack([right, down, front], 1) / np.linalg.norm([right, down, front], axis=1)
        )
    write = tmp_path / "cameras.json"
    write.write_text(json.dumps([{"position": [0, 0, 0], "rotation": t.tolist()} for t in turns]))
    found = read_cameras(write).up
    assert found is not None and found @ up > np.cos(np.radians(6.0))
    flip = np.diag([1.0, -1.0, -1.0])
    frames = [
        {"transform_matrix": np.column_stack([t @ flip, np.zeros(3)]).tolist()} for t in turns
    ]
    write.write_text(json.dumps({"frames": frames}))
    found = read_cameras(write).up
    assert found is not None and found @ up > np.cos(np.radians(6.0))
    for nothing in ([{"position": [0, 0, 0]}], [{"position": [0, 0, 0], "rotation": "x"}]):
        write.write_text(json.dumps(nothing))
        assert read_cameras(write).up is None


def test_the_floor_beneath_a_track():
    eyes = np.stack([np.arange(40.0), np.zeros(40), 1.5 + 0.02 * np.sin(np.arange(40.0))], 1)
    offset, spread = track_floor(eyes, np.array([0.0, 0.0, 1.0]), 1.5)
    assert abs(offset) < 0.02 and 0.05 < spread < 0.2
