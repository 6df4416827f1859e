"""The command: what it prints, what it refuses, and with which exit code."""

import io
import json
import sys

import numpy as np
import pytest
from PIL import Image

from s2e.envs.record.command import main
from s2e.video.frames import jpeg
from s2e.video.readers.formats import read_walks
from s2e.video.readers.gnm import write_walk


def run(monkeypatch, capsys, *words):
    monkeypatch.setattr(sys, "argv", ["s2e-data", *map(str, words)])
    code = 0
    try:
        main()
    except SystemExit as end:
        code = end.code
    out, err = capsys.readouterr()
    return code, out, err


@pytest.fixture
def walks(tmp_path):
    rng = np.random.default_rng(0)
    for i in range(3):
        times = np.arange(40) / 10
        position = np.stack([times, 0.1 * i * times], 1)
        data = [jpeg(rng.integers(0, 255, (24, 32, 3), dtype=np.uint8)) for _ in range(40)]
        write_walk(tmp_path / "in" / f"walk_{i}", data, position, np.zeros(40), times)
    return tmp_path / "in"


def test_check_says_what_would_be_kept(monkeypatch, capsys, walks, tmp_path):
    (walks / "walk_1" / "20.jpg").write_bytes(b"\xff\xd8 no")
    (walks / "walk_2" / "traj_data.pkl").write_bytes(b"no pickle")
    code, out, _ = run(monkeypatch, capsys, "check", walks, "--json", tmp_path / "f.json")
    assert code == 0
    out, text = " ".join(out.split()), out
    assert "left out" in out and "walk_1: frame 20: " in out and "20.jpg" in out and "walk_2" in out
    assert text.splitlines()[-1].split()[1:] == [
        "3",
        "80",
        "0.1",
        "0.008",
        "2",
        "79",
        "0.1",
        "0.008",
    ]
    lines = [json.loads(x) for x in (tmp_path / "f.json").read_text().splitlines()]
    assert {x["kind"] for x in lines} == {"unreadable", "broken"} and all(x["drop"] for x in lines)


def test_check_of_several_datasets_and_of_nothing_usable(monkeypatch, capsys, walks, tmp_path):
    (tmp_path / "empty").mkdir()
    code, out, _ = run(monkeypatch, capsys, "check", walks, tmp_path / "empty")
    assert code == 0 and "no walk in it" in " ".join(out.split())
    assert out.splitlines()[-1].split()[1:] == ["0", "0", "0.0", "0.000"] * 2
    for i in range(3):
        (walks / f"walk_{i}" / "traj_data.pkl").write_bytes(b"no pickle")
    code, out, err = run(monkeypatch, capsys, "check", walks, tmp_path / "empty")
    assert (
        code == 2
        and "no walk is usable; the reasons are above" in err
        and err.count("\n") == 1
        and out.count("left out") == 4
    )


def test_check_and_stats_of_one_unreadable_dataset_give_the_readers_reason(
    monkeypatch, capsys, walks, tmp_path
):
    for command in ("check", "stats"):
        code, out, err = run(monkeypatch, capsys, command, tmp_path / "none")
        assert (code, out) == (2, "") and "no such file or folder" in err
    for i in range(3):
        (walks / f"walk_{i}" / "traj_data.pkl").write_bytes(b"no pickle")
    code, out, err = run(monkeypatch, capsys, "check", walks, "--json", tmp_path / "f.json")
    assert (
        code == 2
        and "all 3 walks are bad" in err
        and out.count("left out") == 3
        and "would be kept" not in out
    )
    assert len((tmp_path / "f.json").read_text().splitlines()) == 3


def test_stats_goes_on_behind_a_bad_dataset(monkeypatch, capsys, walks, tmp_path):
    code, out, err = run(
        monkeypatch, capsys, "stats", tmp_path / "none", walks, "--out", tmp_path / "s.png"
    )
    assert (
        code == 0
        and "no such file or folder" in " ".join(out.split())
        and (tmp_path / "s.png").exists()
    ), err


def test_a_url_is_shown_whole_and_once(monkeypatch, capsys, walks):
    url = "http://127.0.0.1:9/set.tar"
    code, out, err = run(monkeypatch, capsys, "check", url, walks)
    assert (
        code == 0
        and " ".join(out.split()).count(f"left out {url}: cannot be read") == 1
        and "http:/1" not in out
    ), err
    code, out, err = run(monkeypatch, capsys, "check", f"{url}?key=secret")
    assert code == 2 and err.count(url) == 1 and "secret" not in out + err


def test_equal_notes_are_said_once(monkeypatch, capsys, walks):
    for folder in walks.iterdir():
        (folder / "40.jpg").write_bytes((folder / "39.jpg").read_bytes())
    code, out, _ = run(monkeypatch, capsys, "check", walks)
    assert code == 0 and "note (3 walks): 41 images" in out and out.count("41 images") == 1, out


@pytest.mark.parametrize("to", ["gnm", "shards"])
def test_convert_then_check_then_stats(monkeypatch, capsys, walks, tmp_path, to):
    robot = ("--robot", "go2", "--camera-height", 0.36, "--hfov", 100, "--width", 16)
    code, out, err = run(
        monkeypatch, capsys, "convert", walks, "--out", tmp_path / "out", "--to", to, *robot
    )
    assert code == 0, err
    assert "3 walks, 120 frames at 10 Hz, " in out and "note" not in out
    for walk in read_walks([tmp_path / "out"])[0]:
        assert (
            walk.hz == pytest.approx(10)
            and walk.body.robot == "go2"
            and np.isfinite(walk.body.token()).all()
        )
        assert [i.shape for i in walk.frames.images([0])] == [(12, 16, 3)]
    assert run(
        monkeypatch, capsys, "convert", walks, "--out", tmp_path / "out", "--to", to, *robot
    )[:2] == (0, out)
    code, out, err = run(
        monkeypatch, capsys, "convert", walks, "--out", tmp_path / "out", "--to", to
    )
    assert code == 2 and "was begun with" in err
    assert run(monkeypatch, capsys, "check", tmp_path / "out")[0] == 0
    code, out, _ = run(
        monkeypatch, capsys, "stats", walks, tmp_path / "out", "--out", tmp_path / "s.png"
    )
    assert code == 0 and "speed, m/s" in out
    Image.open(io.BytesIO((tmp_path / "s.png").read_bytes())).verify()


REFUSED = {
    "no data": (["check"], "data"),
    "missing": (["convert", "NONE", "--out", "OUT"], "no such file or folder"),
    "hz": (["check", "IN", "--hz", "nan"], "--hz"),
    "source hz": (["convert", "IN", "--out", "OUT", "--hz", "0"], "--hz"),
    "hz of the copy": (["convert", "IN", "--out", "OUT", "--to-hz", "-1"], "--to-hz"),
    "scale": (["stats", "IN", "--scale", "-1"], "--scale"),
    "height of the camera": (
        ["convert", "IN", "--out", "OUT", "--camera-height", "0"],
        "--camera-height",
    ),
    "hfov": (["convert", "IN", "--out", "OUT", "--hfov", "400"], "--hfov"),
    "a scale of kilometres": (["convert", "IN", "--out", "OUT", "--scale", "1000"], "m/s"),
    "inside": (["convert", "IN", "--out", "IN/out"], "lies in"),
    "no picture": (["stats", "IN", "--out", "OUT"], ".png"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusals_are_one_line_and_exit_code_2(monkeypatch, capsys, walks, tmp_path, name):
    words, text = REFUSED[name]
    places = {
        "IN": walks,
        "IN/out": walks / "out",
        "OUT": tmp_path / "out",
        "NONE": tmp_path / "none",
    }
    code, _, err = run(monkeypatch, capsys, *(places.get(w, w) for w in words))
    assert code == 2 and text in err and "Traceback" not in err
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").rglob("*.jpg"))


def test_an_assumed_rate_and_a_changed_one_are_said(monkeypatch, capsys, walks, tmp_path):
    for file in walks.glob("*/walk.json"):
        file.unlink()
    assumed = (
        "note (3 walks): no times in the data: 10 frames a second are assumed (--hz says "
        "another rate)"
    )
    for command in ("check", "stats", "convert"):
        place = [] if command == "check" else ["--out", tmp_path / f"{command}.png"]
        code, out, _ = run(monkeypatch, capsys, command, walks, *place)
        assert code == 0 and assumed in " ".join(out.split()), out
        place = [] if command == "check" else ["--out", tmp_path / f"{command}-4.png"]
        code, out, _ = run(monkeypatch, capsys, command, walks, *place, "--hz", 4)
        assert code == 0 and "are assumed" not in " ".join(out.split())
    code, out, _ = run(
        monkeypatch, capsys, "convert", walks, "--out", tmp_path / "thin", "--to-hz", 5
    )
    assert (
        code == 0
        and "note (3 walks): thinned from 10 to 5 frames a second" in out
        and "60 frames at 5 Hz" in out
    )


def test_hz_is_the_sources_in_every_command(monkeypatch, capsys, walks, tmp_path):
    for file in walks.glob("*/walk.json"):
        file.unlink()  # with the times
    for to_hz, hz in ((4, 4), (0, 20)):
        out = tmp_path / f"out{to_hz}"
        code, _, err = run(
            monkeypatch, capsys, "convert", walks, "--out", out, "--hz", 20, "--to-hz", to_hz
        )
        assert code == 0, err
        assert [w.hz for w in read_walks([out])[0]] == pytest.approx([hz] * 3)
