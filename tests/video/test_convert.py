import json
import resource
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from s2e.core.errors import UserError
from s2e.core.observation import RAYS
from s2e.video import convert as module
from s2e.video.convert import Conversion, Shrunk, convert, filled
from s2e.video.frames import ImageFiles, jpeg
from s2e.video.options import ReadOptions
from s2e.video.readers import shards
from s2e.video.readers.formats import read_walks
from s2e.video.readers.gnm import write_walk
from s2e.video.walk import Body


def dataset(folder, count=4, frames=60, hz=10, seed=0):
    """Walks along arcs at about 1 m/s, textured frames of 24 x 32."""
    rng = np.random.default_rng(seed)
    for i in range(count):
        times = np.arange(frames) / hz
        yaw = 0.2 * (i - 1) * times
        position = np.cumsum(np.stack([np.cos(yaw), np.sin(yaw)], 1) / hz, 0)
        data = [jpeg(rng.integers(0, 255, (24, 32, 3), dtype=np.uint8)) for _ in range(frames)]
        rays = rng.random((frames, RAYS)).astype(np.float32) if i % 2 else None
        write_walk(
            folder / f"walk_{i}", data, position, yaw, times, Body("go2", 0.7) if i else None, rays
        )
    return folder


def snapshot(folder):
    return {
        str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()
    }


@pytest.mark.parametrize("to", ["gnm", "shards"])
def test_any_format_to_any_format(tmp_path, to):
    source = dataset(tmp_path / "in")
    given = Body("go2", 0.7, 0.31, 1.5, 2.0, camera_height_m=0.4)
    report = convert([source], tmp_path / "out", Conversion(to, 5.0, body=given), ReadOptions())
    assert (report.walks, report.pieces, report.frames, report.left_out) == (4, 4, 120, [])
    assert report.seconds == pytest.approx(24) and report.metres == pytest.approx(4 * 5.8, rel=0.01)
    walks = (
        read_walks([tmp_path / "out"])[0]
        if to == "gnm"
        else shards.read(tmp_path / "out", ReadOptions())[0]
    )
    before = read_walks([source])[0]
    for a, b in zip(before, walks, strict=True):
        assert a.name == b.name and b.hz == pytest.approx(5)
        np.testing.assert_allclose(a.position[::2], b.position, atol=1e-12)
        # not encoded a second time
        assert list(a.frames.jpegs(range(0, 60, 2))) == list(b.frames.jpegs(range(30)))
        assert b.body.camera_height_m == 0.4 and b.body.length_m == 0.7
        if a.free_space is not None and b.free_space is not None:
            np.testing.assert_allclose(a.free_space[::2], b.free_space, atol=1e-6)
        assert (a.free_space is None) == (b.free_space is None)


def spoil(folder, walk, change):
    import pickle

    file = folder / walk / "traj_data.pkl"
    data = pickle.loads(file.read_bytes())
    change(data)
    file.write_bytes(pickle.dumps(data))


def test_what_check_finds_is_left_out_and_said(tmp_path):
    source = dataset(tmp_path / "in")
    (source / "walk_0" / "30.jpg").write_bytes(b"\xff\xd8 broken")

    def jump(data):
        data["position"] = [[x + 1.5 * (t > 19), y] for t, (x, y) in enumerate(data["position"])]

    spoil(source, "walk_1", jump)
    spoil(
        source, "walk_2", lambda d: d.__setitem__("position", [[0.001 * t, 0.0] for t in range(60)])
    )
    report = convert([source], tmp_path / "out", Conversion(), ReadOptions())
    assert sorted(p.parent.name for p in (tmp_path / "out").rglob("traj_data.pkl")) == [
        "walk_0+0",
        "walk_0+1",
        "walk_1+0",
        "walk_1+1",
        "walk_3",
    ]
    assert any("walk_0: frame 30: " in x and "30.jpg" in x for x in report.left_out)
    assert any("walk_1" in x and "1.60 m" in x for x in report.left_out) and any(
        "walk_2" in x and "within 0.059 m" in x for x in report.left_out
    )
    everything = convert(
        [source], tmp_path / "all", Conversion(to_hz=0, keep_all=True), ReadOptions()
    )
    # a picture that is none cannot be kept
    assert everything.pieces == 3 and "30.jpg" in everything.left_out[0]
    assert not (tmp_path / "all" / ".part").exists()


def test_a_slower_source_is_said(tmp_path):
    report = convert(
        [dataset(tmp_path / "in", 1, hz=3)], tmp_path / "out", Conversion(to_hz=5), ReadOptions()
    )
    assert report.frames == 60 and "recorded at 3 Hz, kept at that" in report.notes[0]


@pytest.mark.parametrize("hz", [4, 10, 30])
def test_the_rate_of_the_source_is_kept_unless_told(tmp_path, hz):
    source = dataset(tmp_path / "in", 1, hz=hz)
    report = convert([source], tmp_path / "out", Conversion(), ReadOptions())
    assert report.frames == 60 and report.hz == pytest.approx([hz], rel=1e-4) and not report.notes
    thinned = convert([source], tmp_path / "less", Conversion(to_hz=hz / 2), ReadOptions())
    assert thinned.frames == 30 and thinned.notes == [
        f"walk_0: thinned from {hz} to {hz // 2} frames a second"
    ]


def test_a_rate_that_is_assumed_is_said(tmp_path):
    source = dataset(tmp_path / "in", 2)
    for file in source.glob("*/walk.json"):
        file.unlink()
    assumed = "no times in the data: 10 frames a second are assumed (--hz says another rate)"
    report = convert([source], tmp_path / "out", Conversion(), ReadOptions())
    assert report.notes == [f"walk_0: {assumed}", f"walk_1: {assumed}"]
    told = convert([source], tmp_path / "told", Conversion(), ReadOptions(hz=4))
    assert not told.notes and told.hz == pytest.approx([4, 4])
    assert not any(w.note for w in read_walks([tmp_path / "out"])[0])


def test_several_sources_names_and_copies(tmp_path):
    a, b = dataset(tmp_path / "a", 2), dataset(tmp_path / "b", 2, seed=1)
    same = dataset(tmp_path / "more" / "a", 1)
    report = convert([a, b, same], tmp_path / "out", Conversion(), ReadOptions())
    names = [
        str(p.parent.relative_to(tmp_path / "out"))
        for p in sorted((tmp_path / "out").rglob("traj_data.pkl"))
    ]
    assert names == ["a1/walk_0", "a1/walk_1", "b/walk_0", "b/walk_1"]
    assert "a2/walk_0" in report.left_out[0] and "same pictures as walk_0" in report.left_out[0]


@pytest.mark.parametrize("to", ["gnm", "shards"])
@pytest.mark.parametrize("stop", [1, 2, 3])
def test_a_kill_costs_nothing_that_was_complete(tmp_path, monkeypatch, to, stop):
    source = dataset(tmp_path / "in", frames=24)
    settings = Conversion(to, shard_mb=0.08)
    convert([source], tmp_path / "whole", settings, ReadOptions())
    real, calls = module.check_walk, []

    def killed(walk, pictures=None):
        calls.append(walk.name)
        if len(calls) > stop:
            raise KeyboardInterrupt
        return real(walk, pictures)

    monkeypatch.setattr(module, "check_walk", killed)
    with pytest.raises(KeyboardInterrupt):
        convert([source], tmp_path / "cut", settings, ReadOptions())
    monkeypatch.setattr(module, "check_walk", real)
    with (tmp_path / "cut" / "convert.jsonl").open("ab") as file:
        file.write(b'{"key": "walk_9", "na')  # a line cut by the kill
    before = {k: v for k, v in snapshot(tmp_path / "cut").items() if k.endswith(("jpg", "tar"))}
    convert([source], tmp_path / "cut", settings, ReadOptions())
    after = snapshot(tmp_path / "cut")
    assert after == snapshot(tmp_path / "whole") and all(after[k] == v for k, v in before.items())
    again = convert([source], tmp_path / "cut", settings, ReadOptions())
    assert again.pieces == 4 and snapshot(tmp_path / "cut") == after


def test_killed_between_the_walk_and_the_journal(tmp_path):
    source = dataset(tmp_path / "in")
    convert([source], tmp_path / "out", Conversion(), ReadOptions())
    whole = snapshot(tmp_path / "out")
    lines = (tmp_path / "out" / "convert.jsonl").read_bytes().splitlines(keepends=True)
    (tmp_path / "out" / "convert.jsonl").write_bytes(b"".join(lines[:2]))
    (tmp_path / "out" / ".part").mkdir()
    convert([source], tmp_path / "out", Conversion(), ReadOptions())
    assert snapshot(tmp_path / "out") == whole and not (tmp_path / "out" / ".part").exists()


def test_refusals(tmp_path):
    source = dataset(tmp_path / "in", 2)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("")
    cases = {
        "not empty": (tmp_path / "mine", Conversion()),
        "lies in": (source / "out", Conversion()),
        "--to-hz is": (tmp_path / "x", Conversion(to_hz=float("nan"))),
        "gnm or shards": (tmp_path / "x", Conversion(to="zip")),
        "--height": (tmp_path / "x", Conversion(height_px=-1)),
        "--shard-mb": (tmp_path / "x", Conversion(shard_mb=0)),
        "nothing is usable": (tmp_path / "y", Conversion(to_hz=0.5)),
    }
    for text, (out, settings) in cases.items():
        with pytest.raises(UserError, match=text):
            convert([source], out, settings, ReadOptions())
    assert not (tmp_path / "x").exists() and not (source / "out").exists()
    convert([source], tmp_path / "out", Conversion(), ReadOptions())
    with pytest.raises(UserError, match="begun with to_hz 0.0, now 4.0"):
        convert([source], tmp_path / "out", Conversion(to_hz=4.0), ReadOptions())


def test_a_full_disk_is_one_line_and_keeps_what_is_complete(tmp_path, monkeypatch):
    source, real, calls = dataset(tmp_path / "in"), module.write_walk, []

    def full(*args, **kwargs):
        calls.append(1)
        if len(calls) == 3:
            raise OSError(28, "No space left on device")
        real(*args, **kwargs)

    monkeypatch.setattr(module, "write_walk", full)
    with pytest.raises(UserError, match="No space left.*make room"):
        convert([source], tmp_path / "out", Conversion(), ReadOptions())
    assert len(list((tmp_path / "out").rglob("traj_data.pkl"))) == 2
    assert (
        convert([source], tmp_path / "out", Conversion(), ReadOptions()).pieces == 4
        and len(calls) == 5
    )


@pytest.mark.parametrize(("to", "size"), [("gnm", 100), ("shards", 100), ("shards", 5000)])
def test_a_disk_that_fills_up_is_refused_once(tmp_path, to, size):
    """A limit on the size of files stands for the disk; what is in a buffer is refused again when
    its file is closed."""
    source = dataset(tmp_path / "in")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        with pytest.raises(UserError, match="File too large.*make room"):
            convert([source], tmp_path / "out", Conversion(to), ReadOptions())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert convert([source], tmp_path / "again", Conversion(to), ReadOptions()).pieces == 4


def test_a_place_that_cannot_be_written_is_refused_before_anything_is_read(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "gone")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "file").write_text("")
    for name, said in {
        "link": "a link to nowhere",
        "loop": "a link to nowhere",
        "file/x": "no folder",
    }.items():
        with pytest.raises(UserError, match=f"cannot be written .*{said}"):
            convert([tmp_path / "none"], tmp_path / name, Conversion(), ReadOptions())


@pytest.mark.parametrize(
    "name", ["../../etc/x", "/abs", "a\\..\\b", "..", "...", ".part", "a b/ü?*"]
)
def test_names_never_leave_the_folder(tmp_path, name):
    names = module._Names()
    given = names.new(name)
    assert (tmp_path / given).resolve().is_relative_to(tmp_path) and (
        tmp_path / given
    ).resolve() != tmp_path
    assert not given.startswith(".") and names.new(name) != given


def test_no_walk_becomes_a_folder_of_another():
    names = module._Names()
    assert [names.new(n) for n in ("a/b", "a", "c", "c/d")] == ["a/b", "a_2", "c", "c_2/d"]
    for one in names.taken:
        assert not any(str(p) in names.taken for p in Path(one).parents)


@pytest.mark.parametrize(
    "height, width, expected",
    [
        (12, 16, (12, 16)),
        (12, 0, (12, 16)),
        (0, 8, (6, 8)),
        (96, 160, (24, 32)),
        (12, 64, (12, 32)),
    ],
)
def test_frames_are_made_smaller_never_larger(height, width, expected):
    data = jpeg(
        np.asarray(
            Image.fromarray(np.random.default_rng(0).integers(0, 255, (24, 32, 3), dtype=np.uint8))
        )
    )
    frames = Shrunk(ImageFiles(lambda t: data, 3, str), height, width)
    assert [i.shape[:2] for i in frames.images([0, 2])] == [expected] * 2
    sent = list(frames.jpegs([0, 2]))
    assert (sent[0] == data) == (expected == (24, 32)) and Image.open(
        __import__("io").BytesIO(sent[1])
    ).size == expected[::-1]
    assert frames.digest() != frames.whole.digest()


def test_what_data_say_of_the_body_stands():
    said, more = (
        Body("go2", 0.7, camera_height_m=0.3),
        Body("go2", 0.9, 0.4, camera_height_m=0.5, camera_hfov_deg=90),
    )
    assert json.dumps(filled(said, more).token().tolist()[:2]) == json.dumps(
        np.array([0.7, 0.4], np.float32).tolist()
    )
    assert filled(said, more).camera_height_m == 0.3 and filled(said, more).camera_hfov_deg == 90
    assert filled(said, replace(more, robot="coco")) is said and filled(Body(), more).robot == "go2"
