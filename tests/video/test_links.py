"""Walks behind symbolic links: read, each once, or said to be passed over; whatever their
format."""

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s2e.core.errors import UserError
from s2e.video.files import Search, once
from s2e.video.frames import jpeg
from s2e.video.readers.formats import read_walks
from s2e.video.readers.gnm import write_walk
from tests.video.bag_files import path_of, write_bag, write_recon


def gnm(folder: Path) -> Path:
    picture = jpeg(np.full((24, 32, 3), len(folder.name), np.uint8))
    write_walk(
        folder, [picture] * 12, np.stack([0.1 * np.arange(12), np.zeros(12)], 1), np.zeros(12)
    )
    return folder


def posed(folder: Path) -> Path:
    (folder / "rgb").mkdir(parents=True)
    for k in range(12):
        (folder / "rgb" / f"{k:02d}.jpg").write_bytes(jpeg(np.full((24, 32, 3), k, np.uint8)))
    rows = "".join(f"{0.1 * k},{0.1 * k},0,0\n" for k in range(12))
    (folder / "poses.csv").write_text("time,x,y,yaw\n" + rows)
    return folder


def bag(folder: Path) -> Path:
    pytest.importorskip("rosbags")
    return write_bag(path_of(folder, "mcap"), "mcap").parent


def recon(folder: Path) -> Path:
    pytest.importorskip("h5py")
    folder.mkdir(parents=True)
    return write_recon(folder / "walk.hdf5").parent


WRITERS = {"gnm": gnm, "posed": posed, "recon": recon, "bag": bag}


@pytest.mark.parametrize("kind", WRITERS)
def test_a_folder_of_links_is_read_as_what_they_lead_to(tmp_path, kind):
    for name in ("one", "two"):
        WRITERS[kind](tmp_path / "store" / name)
        (tmp_path / "data").mkdir(exist_ok=True)
        (tmp_path / "data" / name).symlink_to(Path("..") / "store" / name)
    WRITERS[kind](tmp_path / "data" / "own")
    walks, skipped = read_walks([tmp_path / "data"])
    assert sorted(w.name.split("/")[0] for w in walks) == ["one", "own", "two"] and not skipped
    for walk in walks:
        assert len(list(walk.frames.images(range(len(walk))))) == len(walk)
    (tmp_path / "all").symlink_to("data")
    assert len(read_walks([tmp_path / "all"])[0]) == 3


def test_a_linked_walk_has_the_rate_of_its_own_dataset(tmp_path):
    gnm(tmp_path / "store" / "walk")
    (tmp_path / "store" / "dataset.json").write_text('{"hz": 4}')
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "walk").symlink_to(tmp_path / "store" / "walk")
    assert read_walks([tmp_path / "data"])[0][0].hz == pytest.approx(4)


@pytest.mark.parametrize("kind", WRITERS)
def test_each_walk_is_read_once_and_circles_end(tmp_path, kind):
    WRITERS[kind](tmp_path / "data" / "walks" / "real")
    (tmp_path / "data" / "best").symlink_to("walks/real")
    (tmp_path / "data" / "walks" / "again").symlink_to("real")
    (tmp_path / "data" / "walks" / "up").symlink_to("..")
    (tmp_path / "data" / "self").symlink_to(".")
    walks, skipped = read_walks([tmp_path / "data"])
    assert [w.name.startswith("walks/real") for w in walks] == [True] and not skipped


@pytest.mark.parametrize("kind", WRITERS)
def test_what_is_not_followed_is_counted_and_said(tmp_path, kind):
    WRITERS[kind](tmp_path / "secret" / "walk")
    WRITERS[kind](tmp_path / "data" / "walk")
    (tmp_path / "data" / "deep").mkdir()
    (tmp_path / "data" / "deep" / "out").symlink_to(tmp_path / "secret")
    (tmp_path / "data" / "around").symlink_to(tmp_path)
    (tmp_path / "data" / "nowhere").symlink_to("absent")
    walks, skipped = read_walks([tmp_path / "data"])
    assert len(walks) == 1 and walks[0].name.startswith("walk")
    astray, broken = (s.reason for s in skipped)
    assert (
        "2 links lead out of it and are not followed (around -> " in astray
        and "deep/out -> " in astray
    )
    assert (
        "name what they lead to as data of its own" in astray
        and "1 links lead nowhere (nowhere -> absent)" in broken
    )
    assert sum(s.walks for s in skipped) == 0
    assert len(read_walks([tmp_path / "data", tmp_path / "data" / "deep" / "out"])[0]) == 2


def test_nothing_but_links_that_are_not_followed(tmp_path):
    gnm(tmp_path / "store" / "walk")
    (tmp_path / "data" / "deep").mkdir(parents=True)
    (tmp_path / "data" / "deep" / "walk").symlink_to(tmp_path / "store" / "walk")
    with pytest.raises(
        UserError, match="no walk in it.*1 links lead out of it and are not followed"
    ):
        read_walks([tmp_path / "data"])


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_folder_that_may_not_be_read_is_said(tmp_path):
    gnm(tmp_path / "data" / "walk")
    (tmp_path / "data" / "shut").mkdir(mode=0)
    assert "1 folders may not be read (shut)" in read_walks([tmp_path / "data"])[1][0].reason


def test_a_second_name_of_a_file_is_no_second_file(tmp_path):
    (tmp_path / "run3.bag").write_bytes(b"")
    (tmp_path / "latest.bag").symlink_to("run3.bag")
    assert once([tmp_path / "latest.bag", tmp_path / "run3.bag"]) == [tmp_path / "run3.bag"]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 7), st.integers(0, 7)), max_size=10))
def test_any_tangle_of_links_visits_every_real_folder_once(tmp_path_factory, links):
    root = tmp_path_factory.mktemp("tangle")
    folders = [
        root,
        root / "a",
        root / "b",
        root / "a/c",
        root / "a/c/d",
        root / "b/e",
        root / "b/e/f",
        root / "b/g",
    ]
    for folder in folders[1:]:
        folder.mkdir(parents=True, exist_ok=True)
    for k, (start, end) in enumerate(links):
        (folders[start] / f"l{k}").symlink_to(folders[end])
    search = Search(root)
    visited = [os.path.realpath(folder) for folder, _, _ in search.folders()]
    assert (
        sorted(visited) == sorted(os.path.realpath(f) for f in folders) and not search.passed_over()
    )
