"""Bags that are damaged, hostile or changed, and messages that are no good."""

import math
import os
import sqlite3
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from s2e.core.errors import UserError
from s2e.video.options import ReadOptions
from s2e.video.readers import bags, ros_images, ros_messages
from tests.video.bag_files import Scene, Writer, path_of, read, reason, write_bag

pytest.importorskip("rosbags")


BAD_IMAGES = {
    "encoding '16UC1'": {"encoding": "16UC1"},
    "encoding 'bayer_rggb8'": {"encoding": "bayer_rggb8"},
    "step 90 is shorter": {"step": 90},
    "bytes of data": {"data": np.zeros(24 * 96 - 1, np.uint8)},
    "0 x 24 pixels": {"width": 0, "step": 0, "data": np.zeros(0, np.uint8)},
    "pixels, the ones before": {"height": 12, "data": np.zeros(12 * 96, np.uint8)},
}


@pytest.mark.parametrize("text", BAD_IMAGES)
def test_a_bad_image_is_named_by_topic_and_number(tmp_path, text):
    scene = Scene()
    with Writer(tmp_path / "a.bag", "ros1") as bag:
        for k in range(20):
            bag.pose(scene, 0.1 * k)
            bag.image(scene, k, scene.start + 0.1 * k, **(BAD_IMAGES[text] if k == 7 else {}))
    assert (
        "message 7 of /camera/image_raw: " in (said := reason(tmp_path / "a.bag")) and text in said
    )


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"data": np.frombuffer(b"%!PS-Adobe-3.0 EPSF-3.0\n", np.uint8)}, "neither JPEG nor PNG"),
        ({"data": np.zeros(0, np.uint8)}, "neither JPEG nor PNG"),
        ({"format": "16UC1; png compressed"}, "8 bits a channel"),
        ({"data": np.frombuffer(b"\xff\xd8 cut", np.uint8)}, "not a readable image"),
    ],
)
def test_a_bad_compressed_image_is_named(tmp_path, changes, text):
    scene = Scene(compressed="png")
    with Writer(tmp_path / "a.bag", "ros1") as bag:
        for k in range(20):
            bag.pose(scene, 0.1 * k)
            bag.image(scene, k, scene.start + 0.1 * k, **(changes if k == 7 else {}))
    assert (
        "message 7 of /camera/image_raw: " in (said := reason(tmp_path / "a.bag")) and text in said
    )


@pytest.mark.parametrize(
    ("bad", "text"),
    [
        ({"quaternion": (0, 0, 0, 0)}, "no rotation"),
        ({"quaternion": (0, 0, math.nan, 1)}, "not finite"),
        ({"x": math.inf}, "not finite"),
        ({"x": -1e300}, "off the Earth"),
    ],
)
def test_a_bad_pose_is_named_by_its_number(tmp_path, bad, text):
    scene = Scene()
    with Writer(tmp_path / "a.bag", "ros1") as bag:
        for k in range(20):
            bag.pose(scene, 0.1 * k, **(bad if k == 11 else {}))
            bag.image(scene, k, scene.start + 0.1 * k)
    assert "message 11 of /odom: " in (said := reason(tmp_path / "a.bag")) and text in said


def test_a_bag_that_changes_under_a_walk_is_said(tmp_path):
    path = write_bag(tmp_path / "a.bag", "ros1")
    (walk,) = read(path)
    other = Scene()
    other.image = lambda k: Scene().image(k + (k == 10))
    for scene in (Scene(image_t=np.arange(4) * 0.1), other):
        path.unlink()
        with pytest.raises(UserError, match="not a readable bag"):
            list(walk.frames.images([0]))
        write_bag(path, "ros1", scene)
        with pytest.raises(UserError, match="message 10 of /camera/image_raw is not as it was"):
            list(walk.frames.images([10]))
    assert len(list(walk.frames.images([9]))) == 1


@pytest.mark.parametrize("format", ["ros1", "db3", "mcap", "mcap-message", "db3-file"])
def test_truncated_bags_say_so(tmp_path, format):
    path = write_bag(path_of(tmp_path, format), format)
    file = path if path.is_file() else next(p for p in path.iterdir() if p.suffix != ".yaml")
    data = file.read_bytes()
    for part in (0.99, 0.5, 0.02):
        file.write_bytes(data[: int(part * len(data))])
        if bags.fits(path):
            assert "not a readable bag" in reason(path)


def test_an_unindexed_bag_names_the_remedy(tmp_path):
    path = write_bag(tmp_path / "a.bag", "ros1")
    data = path.read_bytes()
    at = data.index(b"index_pos=") + len(b"index_pos=")
    path.write_bytes(data[:at] + bytes(8) + data[at + 8 :])
    assert "rosbag reindex" in reason(path)
    path.write_bytes(b"#ROSBAG V1.2\n" + data[13:])
    assert "not supported" in reason(path)


def test_a_chunk_that_unpacks_without_end_is_refused(tmp_path, monkeypatch):
    path = write_bag(tmp_path / "a.bag", "ros1-bz2")
    monkeypatch.setattr(bags, "_MAX_UNPACKED", 10_000)
    assert "too big" in reason(path)


@pytest.mark.parametrize("format", ["mcap-storage", "mcap-message", "db3-message", "db3-file"])
def test_zstd_that_unpacks_without_end_is_refused(tmp_path, format, monkeypatch):
    scene, black = (
        Scene(),
        {"height": 600, "width": 600, "step": 1800, "data": np.zeros(600 * 1800, np.uint8)},
    )
    with Writer(tmp_path / "walk", format) as bag:
        for k in range(20):
            bag.pose(scene, 0.1 * k)
            bag.image(scene, k, scene.start + 0.1 * k, **black)
    with monkeypatch.context() as patch:
        patch.setattr(bags, "_MAX_UNPACKED", 1_000_000)
        assert "too big" in reason(tmp_path / "walk")
    assert len(read(tmp_path / "walk")[0]) == 20


def test_other_databases_and_formats(tmp_path):
    database = sqlite3.connect(tmp_path / "other.db3")
    database.execute("create table t (a)")
    database.commit()
    database.close()
    assert "missing tables" in reason(tmp_path / "other.db3")
    path = write_bag(tmp_path / "walk", "db3")
    yaml = path / "metadata.yaml"
    yaml.write_text(
        yaml.read_text().replace("serialization_format: cdr", "serialization_format: protobuf")
    )
    assert "protobuf" in reason(path)


def test_without_the_library_the_extra_is_named(tmp_path, monkeypatch):
    path = write_bag(tmp_path / "a.bag", "ros1")
    monkeypatch.setitem(__import__("sys").modules, "rosbags", None)
    monkeypatch.setitem(__import__("sys").modules, "rosbags.rosbag1", None)
    assert bags.fits(path)
    with pytest.raises(UserError, match='pip install "rosbags'):
        bags.read(path, ReadOptions())


@given(
    st.sampled_from([m for m in (True, False)]),
    st.binary(max_size=200),
    st.sampled_from(ros_messages.POSE_TYPES),
)
def test_any_bytes_as_messages(cdr, data, kind):
    for parse in (
        lambda: ros_messages.raw_image(data, cdr),
        lambda: ros_messages.compressed_image(data, cdr),
        lambda: ros_messages.pose(data, cdr, kind),
        lambda: ros_messages.camera_hfov_deg(data, cdr),
        lambda: ros_images.size_of(data),
    ):
        try:
            parse()
        except ValueError:
            pass


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> dict[str, Path]:
    scene = Scene(image_t=np.arange(9) * 0.1, pose_t=np.arange(10) * 0.1)
    folder = tmp_path_factory.mktemp("small")
    return {
        f: write_bag(path_of(folder / f, f), f, scene)
        for f in ("ros1", "ros1-lz4", "db3", "mcap-storage")
    }


def check_spoilt(small, tmp_path, format: str, changes: list[tuple[float, int]]) -> None:
    path = small[format]
    source = path if path.is_file() else next(p for p in path.iterdir() if p.suffix != ".yaml")
    data = bytearray(source.read_bytes())
    for place, value in changes:
        data[int(place * (len(data) - 1))] = value
    target = tmp_path / f"{os.urandom(4).hex()}{source.suffix}"
    target.write_bytes(data)
    walks, _ = bags.read(target, ReadOptions())
    for walk in walks:
        try:
            list(walk.frames.images(range(len(walk))))
        except UserError:
            pass
    target.unlink()


SPOIL = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=6)


@settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(format=st.sampled_from(["ros1", "ros1-lz4", "db3", "mcap-storage"]), changes=SPOIL)
def test_spoilt_bytes_raise_user_errors_alone(small, tmp_path, format, changes):
    check_spoilt(small, tmp_path, format, changes)
