import json
import pickle

import numpy as np
import pytest

from s2e.core.errors import UserError
from s2e.video.options import ReadOptions
from s2e.video.readers.formats import NoWalks, read_walks
from tests.video.walk_files import make_walk


def test_round_trip(tmp_path):
    position = make_walk(tmp_path / "d" / "walk")
    (tmp_path / "d" / "dataset.json").write_text(json.dumps({"hz": 5}))
    (walk,), skipped = read_walks([tmp_path / "d"])
    np.testing.assert_array_equal(walk.position, position)
    assert walk.hz == pytest.approx(5) and len(walk) == 12 and not skipped
    assert [i.shape for i in walk.images(96, 160)] == [(96, 160, 3)] * 12


def test_more_images_than_poses_uses_what_both_have(tmp_path):
    make_walk(tmp_path / "walk", 12, images=13)
    (walk,), _ = read_walks([tmp_path])
    assert len(walk) == 12 and "13 images" in walk.note


def test_poses_of_dtype_object_are_numbers(tmp_path):
    position = make_walk(tmp_path / "walk")
    boxed = np.empty(12, dtype=object)
    boxed[:] = [np.array([0.1 * t]) for t in range(12)]
    spoil(tmp_path / "walk", lambda d: d.update(position=position.astype(object), yaw=boxed))
    (walk,), _ = read_walks([tmp_path])
    np.testing.assert_array_equal(walk.position, position)
    np.testing.assert_array_equal(walk.yaw, 0.1 * np.arange(12))


@pytest.mark.parametrize("whole", [False, True])
def test_poses_with_axes_and_boxes_around_them_are_read(tmp_path, whole):
    position = make_walk(tmp_path / "walk")
    data = {"position": position[None], "yaw": np.zeros((1, 12, 1))}
    box = np.array(None, dtype=object)
    box[()] = data
    (tmp_path / "walk" / "traj_data.pkl").write_bytes(pickle.dumps(box if whole else data))
    (walk,), _ = read_walks([tmp_path])
    np.testing.assert_array_equal(walk.position, position)


HUGE = "1" + 400 * "0"


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("walk.json", 100_000 * "["),
        ("dataset.json", 100_000 * "["),
        ("walk.json", f'{{"times": [{HUGE}]}}'),
        ("walk.json", '{"times": null}'),
        ("walk.json", f'{{"free_space": [[{HUGE}]]}}'),
        ("walk.json", '{"free_space": 3}'),
        ("walk.json", f'{{"nudged": [[{HUGE}, 1]]}}'),
        ("walk.json", f'{{"body": {{"length_m": {HUGE}}}}}'),
        ("dataset.json", f'{{"hz": {HUGE}}}'),
        ("dataset.json", f'{{"hz": 5, "body": {{"v_max": -{HUGE}}}}}'),
        ("dataset.json", '{"hz": [5]}'),
    ],
)
def test_what_is_odd_beside_the_poses_is_said(tmp_path, file, text):
    make_walk(tmp_path / "ugly")
    (tmp_path / "ugly" / file).write_text(text)
    with pytest.raises(NoWalks, match="ugly"):
        read_walks([tmp_path / "ugly"])


def test_a_rate_that_nothing_tells_is_assumed_and_said(tmp_path):
    make_walk(tmp_path / "walk")
    (walk,), _ = read_walks([tmp_path])
    assert walk.hz == pytest.approx(10) and "10 frames a second are assumed" in walk.note
    (walk,), _ = read_walks([tmp_path], ReadOptions(hz=4))
    assert walk.hz == pytest.approx(4) and not walk.note
    (tmp_path / "walk" / "walk.json").write_text(
        json.dumps({"times": [0.2 * t for t in range(12)]})
    )
    (walk,), _ = read_walks([tmp_path])
    assert walk.hz == pytest.approx(5) and not walk.note


def spoil(folder, change):
    file = folder / "traj_data.pkl"
    data = pickle.loads(file.read_bytes())
    change(data)
    file.write_bytes(pickle.dumps(data))


BAD = {
    "NaN poses": lambda d: d["position"].__setitem__(4, [float("nan"), 0]),
    "no yaw": lambda d: d.pop("yaw"),
    "wrong shape": lambda d: d.__setitem__("yaw", d["yaw"][:-2]),
    "text": lambda d: d.__setitem__("position", "north"),
    "centimetres": lambda d: d.__setitem__("position", (1000 * np.array(d["position"])).tolist()),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_walk_is_left_out_with_its_reason(tmp_path, name):
    make_walk(tmp_path / "good")
    make_walk(tmp_path / "ugly")
    spoil(tmp_path / "ugly", BAD[name])
    walks, skipped = read_walks([tmp_path])
    assert [w.name for w in walks] == ["good"] and [s.source.name for s in skipped] == ["ugly"]
    assert "traj_data.pkl" in skipped[0].reason


def test_all_bad_is_an_error(tmp_path):
    make_walk(tmp_path / "ugly")
    spoil(tmp_path / "ugly", BAD["NaN poses"])
    with pytest.raises(NoWalks, match="^[^ ]*ugly[^ ]*: .*not finite") as one:
        read_walks([tmp_path])
    assert "walks are bad" not in str(one.value) and str(one.value) == one.value.skipped[0].reason
    make_walk(tmp_path / "worse")
    spoil(tmp_path / "worse", BAD["NaN poses"])
    with pytest.raises(NoWalks, match="all 2 walks are bad; the first: .*ugly") as both:
        read_walks([tmp_path])
    assert [s.source.name for s in both.value.skipped] == ["ugly", "worse"]


def test_missing_and_empty_folders(tmp_path):
    with pytest.raises(UserError, match="no such file or folder"):
        read_walks([tmp_path / "nowhere"])
    with pytest.raises(UserError, match="no walk in it"):
        read_walks([tmp_path])


def test_truncated_jpeg_names_the_file(tmp_path):
    make_walk(tmp_path / "walk")
    path = tmp_path / "walk" / "5.jpg"
    path.write_bytes(path.read_bytes()[:200])
    (walk,), _ = read_walks([tmp_path])
    with pytest.raises(UserError, match="5.jpg"):
        list(walk.images(24, 32))


def test_only_pictures_are_opened(tmp_path):
    make_walk(tmp_path / "walk")
    (tmp_path / "walk" / "3.jpg").write_bytes(
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n%%EOF\n"
    )
    (walk,), _ = read_walks([tmp_path])
    with pytest.raises(UserError, match="3.jpg: not a readable image"):
        list(walk.images(24, 32))


def test_a_gap_in_the_frames_is_refused(tmp_path):
    make_walk(tmp_path / "walk", 20)
    (tmp_path / "walk" / "10.jpg").unlink()
    make_walk(tmp_path / "good")
    walks, skipped = read_walks([tmp_path])
    assert len(walks) == 1 and "10.jpg" in skipped[0].reason
