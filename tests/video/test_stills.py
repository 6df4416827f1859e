"""The format of stills: what is written is read again, and what is hostile or damaged is left out
and counted."""

import io
import json
import tarfile

import numpy as np
import pytest

from s2e.core.errors import UserError
from s2e.core.observation import RAYS
from s2e.video.frames import jpeg
from s2e.video.readers.formats import read_walks
from s2e.video.stills import is_stills, read_stills, table
from tests.video.made_stills import BODY, finish, make


@pytest.fixture
def folder(tmp_path):
    out = tmp_path / "stills"
    finish(out, [make(out, number=n)[1] for n in range(2)])
    return out


def test_what_is_written_is_read_again(folder):
    # the same shard twice counts once
    stills, skipped = read_stills([folder, folder / "stills-00000.tar"])
    assert (
        not skipped
        and [len(s) for s in stills] == [6, 6]
        and is_stills(folder)
        and is_stills(folder / "stills-00000.tar")
    )
    written, _ = make(folder.parent / "again")
    assert list(stills[0].frames.jpegs(range(6))) == written.jpegs
    rays = np.random.default_rng(0).uniform(0.2, 12, RAYS).astype(np.float32).round(3)
    np.testing.assert_allclose(stills[0].free_space[0, 1:], rays[1:], atol=1e-6)
    assert np.isnan(stills[0].free_space[:, 0]).all() and stills[0].nearest[0] == pytest.approx(
        rays[1:].min(), abs=1e-6
    )
    assert (
        stills[0].robot[0] == "go2"
        and stills[0].scene[5] == "street-2"
        and stills[0].look[1] == "splats"
    )
    np.testing.assert_allclose(stills[0].about[0], BODY.token())
    text = table(stills, 0)
    assert (
        "12 stills in 3 scenes, 0 dropped" in text
        and "mesh 6 (50%), splats 6 (50%)" in text
        and "near 12 (100%)" in text
    )


def test_standard_tools_see_pairs_of_jpg_and_json(folder):
    with tarfile.open(folder / "stills-00001.tar") as tar:
        names = tar.getnames()
        file = tar.extractfile("00001_000000.json")
        assert file is not None
        about = json.load(file)
    assert names[:2] == ["00001_000000.jpg", "00001_000000.json"] and len(names) == 12
    assert (
        len(about["free_space"]) == RAYS
        and about["free_space"][0] is None
        and about["body"]["robot"] == "go2"
    )
    make(folder.parent / "again", number=1)
    one, other = ((f / "stills-00001.tar").read_bytes() for f in (folder, folder.parent / "again"))
    assert one == other


def test_stills_are_no_walks(folder):
    with pytest.raises(UserError, match="--stills"):
        read_walks([folder])


def test_a_url_is_read_by_ranges(folder):
    fsspec = pytest.importorskip("fsspec")
    memory = fsspec.filesystem("memory")
    for file in folder.iterdir():
        memory.pipe(f"/stills/{file.name}", file.read_bytes())
    assert is_stills("memory://stills") and not is_stills("memory://nothing")
    far, near = read_stills(["memory://stills"])[0], read_stills([folder])[0]
    np.testing.assert_array_equal(far[1].free_space, near[1].free_space)
    assert [s.frames.digest() for s in far] == [s.frames.digest() for s in near], (
        "the cache finds them again"
    )
    assert list(far[0].frames.jpegs(range(6))) == list(near[0].frames.jpegs(range(6)))
    assert sum(map(len, read_stills(["memory://stills/stills-00000.tar"])[0])) == 6


def pack(path, members):
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


GOOD = {
    "free_space": [1.0] * RAYS,
    "kind": "near",
    "look": "mesh",
    "scene": "s",
    "body": {"robot": "go2"},
}
BAD = {
    "negative": {**GOOD, "free_space": [-1.0] + [1.0] * (RAYS - 1)},
    "NaN": {**GOOD, "free_space": [float("nan")] + [1.0] * (RAYS - 1)},
    "beyond": {**GOOD, "free_space": [99.0] + [1.0] * (RAYS - 1)},
    "truth": {**GOOD, "free_space": [True] * RAYS},
    "short": {**GOOD, "free_space": [1.0] * 3},
    "unknown": {**GOOD, "free_space": [None] * RAYS},
    "missing": {"kind": "near"},
    "body": {**GOOD, "body": {"robot": 3}},
    "giant": {**GOOD, "body": {"length_m": 1e300}},
    "digits": {**GOOD, "free_space": [10**400] + [1.0] * (RAYS - 1)},
    "kind": {**GOOD, "kind": 5},
    "long": {**GOOD, "scene": "s" * 400},
}


def test_bad_stills_are_dropped_and_counted(tmp_path):
    image = jpeg(np.zeros((8, 8, 3), np.uint8))
    members = [
        ("good.jpg", image),
        ("good.json", json.dumps(GOOD).encode()),
        ("good.pkl", b"passed over"),
    ]
    for name, about in BAD.items():
        members += [(f"{name}.jpg", image), (f"{name}.json", json.dumps(about).encode())]
    members += [
        ("text.jpg", image),
        ("text.json", b"[[[["),
        ("noframe.json", json.dumps(GOOD).encode()),
        ("alone.jpg", image),
    ]
    pack(tmp_path / "a.tar", members)
    stills, skipped = read_stills([tmp_path / "a.tar"])
    assert len(stills) == 1 and len(stills[0]) == 1 and len(skipped) == len(BAD) + 3
    assert all("a.tar: still " in s.reason for s in skipped)


def test_damaged_and_hostile_shards_are_refused(folder, tmp_path):
    whole = (folder / "stills-00000.tar").read_bytes()
    (folder / "stills-00000.tar").write_bytes(whole[: len(whole) // 2 - 700])
    stills, skipped = read_stills([folder])
    assert [len(s) for s in stills] == [6] and "cut off" in skipped[0].reason
    pack(tmp_path / "b.tar", [("../out.jpg", b"x")])
    with pytest.raises(UserError, match="refused"):
        read_stills([tmp_path / "b.tar"])
    finish(folder, [{"name": "../../etc/passwd.tar", "digest": ""}])
    with pytest.raises(UserError, match="not the list"):
        read_stills([folder])
    assert not is_stills(folder)
    with pytest.raises(UserError, match="no such"):
        read_stills([tmp_path / "nowhere"])


def test_broken_frames_are_found(folder):
    data = bytearray((folder / "stills-00000.tar").read_bytes())
    data[512:560] = b"\0" * 48  # the first frame's
    (folder / "stills-00000.tar").write_bytes(bytes(data))
    shard = read_stills([folder])[0][0]
    heard = []
    good, bad = shard.readable(heard.append)
    assert len(good) == 5 and len(bad) == 1 and sum(heard) == 6
    np.testing.assert_array_equal(good.free_space, shard.free_space[1:])


@pytest.mark.parametrize(
    ("limit", "most", "words"),
    [
        ("stills._MAX_ABOUT", 100, "too large for the list"),
        ("stills.MAX_STILLS", 5, "more than 5 stills"),
        ("stills.MAX_JSON", 10, "has no"),
        ("readers.tar.MAX_MEMBER", 100, "100 bytes at most"),
    ],
)
def test_what_is_beyond_a_limit_is_refused(folder, monkeypatch, limit, most, words):
    monkeypatch.setattr(f"s2e.video.{limit}", most)
    with pytest.raises(UserError, match=words):
        read_stills([folder])
