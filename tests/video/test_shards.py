import importlib.util
import io
import json
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s2e.core.errors import UserError
from s2e.core.observation import RAYS
from s2e.video import shard_writer
from s2e.video.frames import ImageFiles, jpeg
from s2e.video.options import ReadOptions
from s2e.video.readers.remote import is_url, shown
from s2e.video.readers.shards import fits, read
from s2e.video.shard_writer import ShardWriter
from s2e.video.walk import Body, Walk
from tests.video.shard_files import write_shards


def make(name, frames=20, seed=0, rays=True):
    rng = np.random.default_rng(seed)
    data = [jpeg(rng.integers(0, 255, (12, 16, 3), dtype=np.uint8)) for _ in range(frames)]
    free = rng.random((frames, RAYS)).astype(np.float32).round(3)
    free[0, 0] = np.nan
    return Walk(
        name,
        Path("some/where") / name,
        ImageFiles(lambda t: data[t], frames, lambda t: f"{t}"),
        np.arange(frames) / 5 + rng.random(),
        np.cumsum(rng.random((frames, 2)) * 0.2, 0),
        rng.normal(size=frames),
        Body("go2", 0.7, 0.31, 1.5, 2.0, 0.36, 100.0),
        free if rays else None,
        "a note",
        np.array([[0.25, 0.75], [2.0, 2.5]])[: seed % 3],
    )


def same(a, b):
    assert (
        a.name == b.name and a.body.token().tolist() == b.body.token().tolist() and a.note == b.note
    )
    for name in ("times", "position", "yaw", "nudged"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
    if a.free_space is None:
        assert b.free_space is None
    else:
        np.testing.assert_array_equal(a.free_space, b.free_space)
    assert list(a.frames.jpegs(range(len(a)))) == list(b.frames.jpegs(range(len(b))))
    assert a.frames.digest() == b.frames.digest()


def walks(count=5):
    return [make(f"day.1/walk {i}", 10 + i, i, i % 2 == 0) for i in range(count)]


def test_round_trip(tmp_path):
    counts = write_shards(tmp_path / "out", walks(), shard_mb=0.03)
    assert counts["samples"] == 5 and counts["shards"] > 1 and counts["frames"] == 60
    assert (
        fits(tmp_path / "out")
        and fits(next((tmp_path / "out").glob("*.tar")))
        and not fits(tmp_path)
    )
    back, skipped = read(tmp_path / "out", ReadOptions())
    assert not skipped and len(back) == 5
    for a, b in zip(walks(), back, strict=True):
        same(a, b)
    (picked,) = back[2].frames.images([7])
    np.testing.assert_array_equal(picked, next(iter(walks()[2].frames.images([7]))))


def test_webdataset_reads_them(tmp_path):
    webdataset = pytest.importorskip("webdataset")
    write_shards(tmp_path, walks(), shard_mb=0.03)
    urls = sorted(map(str, tmp_path.glob("*.tar")))
    samples = list(webdataset.WebDataset(urls, shardshuffle=False, empty_check=False))
    assert len(samples) == 5
    for sample, walk in zip(samples, walks(), strict=True):
        about = json.loads(sample["json"])
        assert about["name"] == walk.name and about["position"] == walk.position.tolist()
        frames = [k for k in sample if k.endswith(".jpg")]
        assert frames == [f"{t:06d}.jpg" for t in range(len(walk))]
        assert [sample[k] for k in frames] == list(walk.frames.jpegs(range(len(walk))))


def test_what_webdataset_writes_is_read(tmp_path):
    webdataset = pytest.importorskip("webdataset")
    (walk,) = walks(1)
    about = {
        "name": "w",
        "position": walk.position.tolist(),
        "yaw": walk.yaw.tolist(),
        "times": walk.times.tolist(),
    }
    with webdataset.TarWriter(str(tmp_path / "a.tar")) as writer:
        frames = {
            f"{t:06d}.jpg": data for t, data in enumerate(walk.frames.jpegs(range(len(walk))))
        }
        writer.write({"__key__": "w", **frames, "json": about})
    (back,), _ = read(tmp_path / "a.tar", ReadOptions())
    np.testing.assert_array_equal(back.position, walk.position)
    assert len(list(back.frames.images(range(len(back))))) == 10


def test_same_walks_same_bytes_and_tar_agrees(tmp_path):
    for name in "ab":
        write_shards(tmp_path / name, walks(), shard_mb=0.03)
    files = sorted(p.name for p in (tmp_path / "a").iterdir())
    assert all(
        (tmp_path / "a" / f).read_bytes() == (tmp_path / "b" / f).read_bytes() for f in files
    )
    # the standard library as the independent reader
    with tarfile.open(tmp_path / "a" / "shard-000000.tar") as tar:
        for member in tar:
            assert member.isreg() and member.mtime == 0 and member.name.isascii()


def test_pieces_of_long_walks_are_joined(tmp_path):
    writer = ShardWriter(tmp_path, shard_mb=0.02, piece_frames=9)
    for walk in (make("long", 40), make("short", 9)):
        writer.add(walk)
    writer.close()
    long, short = read(tmp_path, ReadOptions())[0]
    for a, b in ((make("long", 40), long), (make("short", 9), short)):
        np.testing.assert_array_equal(a.position, b.position)
        some = [t for t in (0, 3, 8, 9, 17, 39) if t < len(a)]
        assert a.name == b.name and list(a.frames.jpegs(some)) == list(b.frames.jpegs(some))
    with pytest.raises(UserError, match="names must differ"):
        writer.add(make("short", 9))


def test_pieces_are_not_joined_over_one_that_is_missing(tmp_path):
    writer = ShardWriter(tmp_path / "whole", piece_frames=10)
    writer.add(make("long", 40))
    writer.close()
    with (
        tarfile.open(tmp_path / "whole" / "shard-000000.tar") as tar,
        tarfile.open(tmp_path / "cut.tar", "w", format=tarfile.USTAR_FORMAT) as cut,
    ):
        members = tar.getmembers()
        keys = list(dict.fromkeys(m.name.split(".")[0] for m in members))
        assert len(keys) == 4
        for member in members:
            if member.name.split(".")[0] != keys[1]:
                cut.addfile(member, tar.extractfile(member))
    whole, (first, rest) = make("long", 40), read(tmp_path / "cut.tar", ReadOptions())[0]
    assert (first.name, len(first), len(rest)) == ("long+0", 10, 20) and rest.name != "long"
    np.testing.assert_array_equal(first.position, whole.position[:10])
    np.testing.assert_array_equal(rest.position, whole.position[20:])
    assert list(rest.frames.jpegs([0, 19])) == list(whole.frames.jpegs([20, 39]))


def test_a_last_piece_is_never_too_short(tmp_path):
    writer = ShardWriter(tmp_path, piece_frames=10)
    writer.add(make("walk", 33))
    writer.close()
    (shard,) = writer.index["shards"]
    assert shard["samples"] == [["walk", 0, 10], ["walk", 1, 10], ["walk", 2, 13]]


@pytest.mark.parametrize("stop", [1, 3, 4])
def test_continues_after_a_kill_with_the_same_bytes(tmp_path, stop):
    write_shards(tmp_path / "whole", walks(), shard_mb=0.03)
    writer = ShardWriter(tmp_path / "cut", shard_mb=0.03)
    for walk in walks()[:stop]:
        writer.add(walk)
    writer.file.flush()  # and the process is gone: a .part stays
    writer.file.close()
    assert list((tmp_path / "cut").glob("*.part"))
    write_shards(tmp_path / "cut", walks(), shard_mb=0.03)
    names = sorted(p.name for p in (tmp_path / "whole").iterdir())
    assert names == sorted(p.name for p in (tmp_path / "cut").iterdir())
    assert all(
        (tmp_path / "whole" / n).read_bytes() == (tmp_path / "cut" / n).read_bytes() for n in names
    )


def test_a_foreign_folder_and_other_settings_are_refused(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "thesis.tex").write_text("")
    with pytest.raises(UserError, match="something else than shards"):
        ShardWriter(tmp_path / "a")
    write_shards(tmp_path / "b", walks(1))
    with pytest.raises(UserError, match="shard_mb is 256"):
        ShardWriter(tmp_path / "b", shard_mb=9)
    (tmp_path / "b" / "shard-000000.tar").write_bytes(b"")
    with pytest.raises(UserError, match="shard-000000.tar: missing or of another size"):
        ShardWriter(tmp_path / "b")
    with pytest.raises(UserError, match="size above 0"):
        ShardWriter(tmp_path / "c", shard_mb=float("nan"))


def test_a_full_disk_is_one_line_and_loses_nothing(tmp_path, monkeypatch):
    real, left = shard_writer.ShardWriter._write, [35000]

    def full(self, members):
        left[0] -= sum(map(len, members))
        if left[0] < 0:
            raise OSError(28, "No space left on device")
        real(self, members)

    monkeypatch.setattr(shard_writer.ShardWriter, "_write", full)
    with pytest.raises(UserError, match="No space left.*make room and give the same command again"):
        write_shards(tmp_path, walks(), shard_mb=0.03)
    assert not list(tmp_path.glob("*.part")) and len(read(tmp_path, ReadOptions())[0]) >= 1
    monkeypatch.undo()
    assert write_shards(tmp_path, walks(), shard_mb=0.03)["samples"] == 5


# URLs


@pytest.fixture
def memory():
    import fsspec

    system = fsspec.filesystem("memory")
    yield system
    system.store.clear()


def test_object_stores_through_fsspec(tmp_path, memory):
    write_shards(tmp_path, walks(), shard_mb=0.03)
    for p in tmp_path.iterdir():
        memory.pipe(f"/bucket/data/{p.name}", p.read_bytes())
    there, skipped = read("memory://bucket/data", ReadOptions())
    assert not skipped
    for a, b in zip(walks(), there, strict=True):
        same(a, b)
    again, _ = read("memory://bucket/data/", ReadOptions())
    assert [w.name for w in again] == [w.name for w in there]
    one, _ = read("memory://bucket/data/shard-000001.tar", ReadOptions())
    assert one[0].name.startswith("day.1/")


def test_http(tmp_path):
    write_shards(tmp_path, walks(), shard_mb=0.03)

    class Handler(BaseHTTPRequestHandler):
        ranges = True

        def log_message(self, *_):
            pass

        def do_GET(self):
            name = self.path.split("?")[0].lstrip("/")
            if "?key=secret" not in self.path or not (tmp_path / name).is_file():
                return self.send_error(404)
            data = (tmp_path / name).read_bytes()
            if self.ranges and (asked := self.headers.get("Range")):
                a, b = map(int, asked.removeprefix("bytes=").split("-"))
                data = data[a : b + 1]
                self.send_response(206)
            else:
                self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"
    try:
        there, _ = read(f"{url}/?key=secret", ReadOptions())
        for a, b in zip(walks(), there, strict=True):
            same(a, b)
        with pytest.raises(UserError, match="404") as caught:
            read(f"{url}/none.tar?key=secret", ReadOptions())
        assert "secret" not in str(caught.value)
        Handler.ranges = False
        with pytest.raises(UserError, match="parts of files"):
            read(f"{url}/shard-000000.tar?key=secret", ReadOptions())
    finally:
        server.shutdown()
        server.server_close()
    with pytest.raises(UserError, match="cannot be read"):
        read(f"{url}/shard-000000.tar", ReadOptions())


def test_urls_are_told_and_shown_without_keys():
    assert (
        is_url("s3://b/x")
        and is_url("https://x")
        and not is_url("/a/b")
        and not is_url(Path("s3:/b"))
        and not is_url("C:\\a")
    )
    assert shown("https://user:pw@host/a.tar?sig=1") == "https://host/a.tar"


@pytest.mark.skipif(importlib.util.find_spec("s3fs") is not None, reason="it is there")
def test_a_missing_store_says_what_to_install():
    with pytest.raises(UserError, match="s3fs"):
        read("s3://bucket/a.tar", ReadOptions())


# Hostile files


def tar_with(path, members):
    """A tar by the standard library: (name, data, changes of TarInfo)."""
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as tar:
        for name, data, changes in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            for key, value in changes.items():
                setattr(info, key, value)
            tar.addfile(info, io.BytesIO(data))
    return path


GOOD = {
    "name": "w",
    "position": [[0.1 * i, 0] for i in range(8)],
    "yaw": [0.0] * 8,
    "times": [0.2 * i for i in range(8)],
}
PICTURE = jpeg(np.zeros((8, 8, 3), np.uint8))


def sample(about=None, key="k", frames=8):
    text = json.dumps(GOOD if about is None else about).encode()
    return [
        (f"{key}.json", text, {}),
        *((f"{key}.{t:06d}.jpg", PICTURE, {}) for t in range(frames)),
    ]


HOSTILE = {
    "absolute": ([("/etc/k.json", b"{}", {})], "member name /etc/k.json is refused"),
    "upwards": ([("a/../../k.json", b"{}", {})], "refused"),
    "symbolic link": (
        [("k.json", b"", {"type": tarfile.SYMTYPE, "linkname": "/etc/passwd"})],
        "k.json is a symbolic link",
    ),
    "hard link": ([("k.json", b"", {"type": tarfile.LNKTYPE, "linkname": "x"})], "hard link"),
    "device": ([("k.json", b"", {"type": tarfile.CHRTYPE})], "device"),
    "pipe": ([("k.json", b"", {"type": tarfile.FIFOTYPE})], "pipe"),
    "sparse": ([("k.json", b"", {"type": b"S"})], "sparse"),
    "long name": ([("k" * 200 + ".json", b"{}", {})], "which no shard has"),
    "member twice": ([*sample(), ("k.000003.jpg", PICTURE, {})], "k.000003.jpg is there twice"),
    "description twice": ([*sample(), ("k.json", b"{}", {})], "k.json is there twice"),
    "sample twice": ([*sample(), *sample(key="l"), *sample()], "has been before"),
    "something else": ([*sample(), ("k.pkl", b"x", {})], "no walks"),
    "empty description": ([("k.json", b"", {})], "no description"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_members_are_refused_by_name(tmp_path, name):
    members, text = HOSTILE[name]
    path = tar_with(tmp_path / "a.tar", members)
    with pytest.raises(UserError, match=text):
        read(path, ReadOptions())
    assert [p.name for p in tmp_path.iterdir()] == ["a.tar"]


BAD = {
    "no name": {k: v for k, v in GOOD.items() if k != "name"},
    "name upwards": {**GOOD, "name": "../../x"},
    "name absolute": {**GOOD, "name": "/x"},
    "a list": [1, 2],
    "poses short": {**GOOD, "position": GOOD["position"][:5]},
    "poses text": {**GOOD, "position": "north"},
    "ragged": {**GOOD, "position": [[1], [1, 2]]},
    "no yaw": {k: v for k, v in GOOD.items() if k != "yaw"},
    "time backwards": {**GOOD, "times": GOOD["times"][::-1]},
    "huge number": {**GOOD, "yaw": [10**400] * 8},
    "body": {**GOOD, "body": {"wings": 2}},
    "rays": {**GOOD, "free_space": [[1.0]] * 8},
    "piece": {**GOOD, "piece": "one"},
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_description_leaves_its_sample_out(tmp_path, name):
    path = tar_with(tmp_path / "a.tar", [*sample(BAD[name]), *sample(key="good")])
    walks, skipped = read(path, ReadOptions())
    assert len(walks) == 1 and len(skipped) == 1 and "a.tar: sample k" in skipped[0].reason


def test_deep_json_and_missing_frames(tmp_path):
    path = tar_with(tmp_path / "a.tar", [("k.json", b"[" * 100000, {}), *sample()[1:]])
    assert "no JSON object" in read(path, ReadOptions())[1][0].reason
    members = sample()
    path = tar_with(tmp_path / "b.tar", members[:4] + members[5:])
    assert "frames are missing in the middle" in read(path, ReadOptions())[1][0].reason


def test_giant_sizes_and_cut_files_name_the_byte(tmp_path):
    path = tar_with(tmp_path / "a.tar", sample())
    data = path.read_bytes()
    with pytest.raises(UserError, match="cut off"):
        read(_written(tmp_path / "cut.tar", data[:2000]), ReadOptions())
    with pytest.raises(UserError, match=r"cut off at byte"):  # whole members, but no end
        read(_written(tmp_path / "end.tar", data[: 512 * 2]), ReadOptions())
    for field in (b"77777777777\0", b"\x80" + b"\0" * 3 + b"\x7f" * 8):
        header = bytearray(data[:512])
        header[124:136] = field
        header[148:156] = b"%06o\0 " % (sum(header[:148]) + 256 + sum(header[156:]))
        with pytest.raises(UserError, match="byte 0: member k.json has a size"):
            read(_written(tmp_path / "big.tar", bytes(header) + data[512:]), ReadOptions())


def _written(path, data):
    path.write_bytes(data)
    return path


def test_pax_headers_that_rename_are_refused(tmp_path):
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        for name, data, _ in sample():
            info = tarfile.TarInfo(name)
            info.size, info.pax_headers = len(data), {"mtime": "1.5"}
            tar.addfile(info, io.BytesIO(data))
    assert len(read(path, ReadOptions())[0]) == 1
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        info = tarfile.TarInfo("k.json")
        info.pax_headers = {"path": "../k.json"}
        tar.addfile(info)
    with pytest.raises(UserError, match="changes path"):
        read(path, ReadOptions())


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return tar_with(tmp_path_factory.mktemp("fuzz") / "a.tar", sample()).read_bytes()


@given(st.data())
@settings(deadline=None, max_examples=150)
def test_damage_never_ends_in_anything_but_a_user_error(small, tmp_path_factory, data):
    spoiled = bytearray(small)
    for _ in range(data.draw(st.integers(1, 6))):
        spoiled[data.draw(st.integers(0, len(small) - 1))] = data.draw(st.integers(0, 255))
    path = _written(
        tmp_path_factory.getbasetemp() / "fuzz.tar",
        bytes(spoiled[: data.draw(st.integers(0, len(small)))]),
    )
    try:
        read(path, ReadOptions())
    except UserError as error:
        assert "fuzz.tar" in str(error) and "\n" not in str(error)
    fits(path)


def test_the_real_walks(tmp_path):
    import os

    from s2e.video.readers.formats import read_walks

    place = (
        Path(
            os.environ.get("S2E_SHARED_DATA", Path(__file__).parents[2] / ".." / "shared" / "data")
        )
        / "gnm"
        / "go2"
    )
    if not place.is_dir():
        pytest.skip("the real walks are not here")
    source = read_walks([place])[0][:4]
    counts = write_shards(tmp_path, source, shard_mb=1)
    assert counts["frames"] == sum(map(len, source)) and counts["shards"] >= 2
    for a, b in zip(source, read(tmp_path, ReadOptions())[0], strict=True):
        assert a.name == b.name and a.frames.digest() == b.frames.digest()
