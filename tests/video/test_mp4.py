import sys
import threading
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

av = pytest.importorskip("av")
sys.path.insert(0, str(Path(__file__).parent))
from make_video import number, picture, write_mp4  # noqa: E402

from s2e.core.errors import UserError  # noqa: E402
from s2e.video.readers.mp4 import Video, VideoFrames  # noqa: E402

KINDS = {
    "b-frames": {"codec": "libx264"},
    "open gops": {"codec": "libx265", "options": {"x265-params": "log-level=none"}},
    "two frames a gop": {"codec": "libx264", "gop": 2, "options": {"bf": "0"}},
    "mpeg4": {"codec": "mpeg4", "options": {"qscale": "2"}},
    "av1": {"codec": "libsvtav1", "options": {"preset": "12", "svtav1-params": "lp=1"}, "gop": 20},
}


def whole(path):
    with av.open(str(path)) as container:
        return [(f.time, f.to_ndarray(format="rgb24")) for f in container.decode(video=0)]


@pytest.mark.parametrize("kind", KINDS)
def test_frames_are_those_of_a_full_decode(tmp_path, kind):
    path = tmp_path / "v.mp4"
    # a variable rate
    ms = np.cumsum(np.random.default_rng(0).integers(20, 180, 70)) if kind == "b-frames" else None
    write_mp4(path, range(70), ms, **KINDS[kind])
    truth = whole(path)
    frames = VideoFrames(path)
    assert len(frames) == len(truth) == 70
    np.testing.assert_allclose(Video(path).times(), [t for t, _ in truth], atol=1e-6)
    if ms is not None:
        np.testing.assert_allclose(np.diff(Video(path).times()), np.diff(ms) / 1000, atol=2e-4)
    for which in (
        range(70),
        range(33, 41),
        [0, 1, 30, 31, 69],
        [49],
        [69],
        range(5, 70, 23),
        [20, 20, 21],
    ):
        got = list(frames.images(which))
        assert len(got) == len(which)
        for t, image in zip(which, got):
            np.testing.assert_array_equal(image, truth[t][1], err_msg=f"frame {t} of {list(which)}")
            assert number(image) == t
    np.testing.assert_array_equal(next(frames.part(np.arange(40, 50)).images([3])), truth[43][1])


@pytest.mark.parametrize("skip", [0, 3, 17])
def test_starts_that_a_file_puts_off_or_cuts_away(tmp_path, skip):
    path = tmp_path / "v.mp4"
    write_mp4(path, range(50), 700 + 100 * np.arange(50) if not skip else None)
    if skip:  # players begin `skip` frames later, between keyframes
        data = bytearray(path.read_bytes())
        at = data.rfind(b"elst") + 16
        start = int.from_bytes(data[at : at + 4], "big")
        data[at : at + 4] = (start + skip * 1600).to_bytes(4, "big")
        path.write_bytes(data)
        with av.open(str(path)) as container:
            assert container.streams.video[0].time_base == Fraction(1, 16000)
    truth = whole(path)
    assert number(truth[0][1]) == skip
    np.testing.assert_allclose(Video(path).times(), [t for t, _ in truth], atol=1e-6)
    for which in (range(len(truth)), [0, 1], [25, 26, len(truth) - 1]):
        for t, image in zip(which, VideoFrames(path).images(which)):
            np.testing.assert_array_equal(image, truth[t][1])


def test_frames_by_their_times(tmp_path):
    path = tmp_path / "v.mp4"
    write_mp4(path, range(40))
    video = Video(path)
    frames = VideoFrames(video, at=2.0 + np.arange(5) * 0.1 + 0.03)
    assert [number(i) for i in frames.images(range(5))] == [20, 21, 22, 23, 24]
    assert (
        frames.digest()
        != VideoFrames(video).digest()
        != VideoFrames(video, at=np.arange(3) * 0.1).digest()
    )
    with pytest.raises(UserError, match="no frame within 0.050 s of 4.100"):
        list(VideoFrames(video, at=np.array([3.9, 4.1])).images([0, 1]))


def test_a_seek_saves_decoding_and_one_pass_serves_increasing_frames(tmp_path, monkeypatch):
    from s2e.video.readers import mp4

    path = tmp_path / "v.mp4"
    write_mp4(path, range(200), options={"bf": "0"})
    decoded, plain = [], mp4._decoded

    def counted(*args):
        for rank, frame in plain(*args):
            decoded.append(rank)
            yield rank, frame

    monkeypatch.setattr(mp4, "_decoded", counted)
    list(VideoFrames(path).images(range(200)))
    assert decoded == list(range(200))
    decoded.clear()
    list(VideoFrames(path).images([155, 156]))
    assert 140 <= decoded[0] and decoded[-1] == 156


def test_a_seek_that_comes_down_too_late_is_made_good(tmp_path, monkeypatch):
    from s2e.video.readers import mp4

    path = tmp_path / "v.mp4"
    write_mp4(path, range(80))
    video = Video(path)
    pts, keys, dts = video.index()
    # every seek goes one keyframe too far
    monkeypatch.setattr(video, "_index", (pts, keys, np.append(dts[1:], pts[-1])))
    assert [number(i) for i in VideoFrames(video).images([35, 36, 65])] == [35, 36, 65]
    assert mp4._SKIP < 35


@pytest.mark.parametrize("turn", [90, 180, -90])
def test_turned_videos_stand_upright(tmp_path, turn):
    write_mp4(tmp_path / "plain.mp4", range(10))
    write_mp4(tmp_path / "turned.mp4", range(10), turn=turn)
    plain = next(VideoFrames(tmp_path / "plain.mp4").images([3]))
    turned = next(VideoFrames(tmp_path / "turned.mp4").images([3]))
    # Counter-clockwise by 90 degrees: the right edge becomes the top.
    np.testing.assert_array_equal(
        turned,
        {
            90: plain[:, ::-1].swapaxes(0, 1),
            180: plain[::-1, ::-1],
            -90: plain[::-1].swapaxes(0, 1),
        }[turn],
    )


def test_frames_of_several_sizes_in_one_file(tmp_path):
    path = tmp_path / "v.mp4"
    with av.open(str(path), "w", format="mp4") as out:
        stream = out.add_stream("mjpeg", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuvj420p"
        for t in range(12):
            size = (64, 48) if t < 6 else (96, 64)
            coder = av.CodecContext.create("mjpeg", "w")
            coder.width, coder.height, coder.pix_fmt, coder.time_base = (
                *size,
                "yuvj420p",
                Fraction(1, 10),
            )
            frame = av.VideoFrame.from_ndarray(picture(t, size), format="rgb24")
            frame.pts, frame.time_base = t, Fraction(1, 10)
            for packet in [*coder.encode(frame), *coder.encode(None)]:
                packet.stream = stream
                out.mux(packet)
    images = list(VideoFrames(path).images(range(12)))
    assert [i.shape[:2] for i in images] == [(48, 64)] * 6 + [(64, 96)] * 6
    assert [number(i) for i in images] == list(range(12))


def test_threads_do_not_meet(tmp_path):
    path = tmp_path / "v.mp4"
    write_mp4(path, range(60))
    frames, got = VideoFrames(path), {}
    threads = [
        threading.Thread(
            target=lambda k=k: got.__setitem__(
                k, [number(i) for i in frames.images(range(k, 60, 3))]
            )
        )
        for k in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == {k: list(range(k, 60, 3)) for k in range(4)}


def test_the_digest_follows_the_bytes(tmp_path):
    write_mp4(tmp_path / "a.mp4", range(10))
    write_mp4(tmp_path / "b.mp4", range(1, 11))
    (tmp_path / "c.mp4").write_bytes((tmp_path / "a.mp4").read_bytes())
    a, b, c = (VideoFrames(tmp_path / f"{n}.mp4").digest() for n in "abc")
    assert a == c != b


def read_all(path):
    frames = VideoFrames(path)
    return list(frames.images(range(len(frames))))


def test_cut_files_name_the_frame(tmp_path):
    path = tmp_path / "v.mp4"
    write_mp4(path, range(40))
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])  # the header, at the end, is gone
    with pytest.raises(UserError, match=r"v\.mp4"):
        read_all(path)
    with av.open(
        str(tmp_path / "fast.mp4"), "w", format="mp4", options={"movflags": "faststart"}
    ) as out:
        (tmp_path / "whole.mp4").write_bytes(data)
        with av.open(str(tmp_path / "whole.mp4")) as source:
            stream = out.add_stream_from_template(source.streams.video[0])
            for packet in source.demux(source.streams.video[0]):
                if packet.dts is not None:
                    packet.stream = stream
                    out.mux(packet)
    data = (tmp_path / "fast.mp4").read_bytes()
    path.write_bytes(data[:-200])
    with pytest.raises(UserError, match=r"v\.mp4: cut at frame \d+ \(\d\.\d+ s\)"):
        read_all(path)


def test_damage_in_the_middle_names_the_frame(tmp_path):
    path = tmp_path / "v.mp4"
    write_mp4(path, range(40), options={"bf": "0"})
    data = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        entry = container.streams.video[0].index_entries[20]
    data[entry.pos : entry.pos + entry.size] = bytes(entry.size)
    path.write_bytes(data)
    frames = VideoFrames(path)
    assert [number(i) for i in frames.images(range(18))] == list(range(18))
    with pytest.raises(UserError, match=r"v\.mp4: frame 20 \(2\.00 s\) cannot be decoded"):
        list(frames.images(range(40)))


def test_other_files_are_refused(tmp_path):
    path = tmp_path / "v.mp4"
    for data in (
        b"",
        b"not a video",
        b"#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/x.mp4\n",
        b"ffconcat version 1.0\nfile /etc/passwd\n",
    ):
        path.write_bytes(data)
        with pytest.raises(UserError, match=r"v\.mp4"):
            read_all(path)
    with pytest.raises(UserError, match="not readable"):
        read_all(tmp_path / "absent.mp4")
    with pytest.raises(UserError, match="not readable"):
        read_all(tmp_path)


def test_tables_that_claim_too_much_are_refused(tmp_path):
    write_mp4(tmp_path / "v.mp4", range(20))
    data = (tmp_path / "v.mp4").read_bytes()
    for kind, at in ((b"stts", 8), (b"stsz", 12), (b"ctts", 8), (b"stsc", 8)):
        spoilt, start = bytearray(data), data.rfind(kind)
        spoilt[start + at : start + at + 4] = (0x7FFFFFF0).to_bytes(4, "big")
        (tmp_path / "v.mp4").write_bytes(spoilt)
        with pytest.raises(UserError, match=f"a {kind.decode()} table"):
            Video(tmp_path / "v.mp4")


def test_flipped_bytes_are_refused_or_read(tmp_path):
    write_mp4(tmp_path / "v.mp4", range(24))
    data, rng, refused = (tmp_path / "v.mp4").read_bytes(), np.random.default_rng(0), 0
    path = tmp_path / "w.mp4"
    header = data.rfind(b"moov")
    for k in range(150):
        spoilt = bytearray(data)
        low = header if k % 2 else 0  # every other one in the header
        for at in rng.integers(low, len(data), rng.integers(1, 6)):
            spoilt[at] = rng.integers(256)
        path.write_bytes(spoilt)
        try:
            read_all(path)
        except UserError as error:
            assert "w.mp4" in str(error) and "\n" not in str(error)
            refused += 1
    assert refused > 50


def test_without_pyav_the_extra_is_named(tmp_path, monkeypatch):
    write_mp4(tmp_path / "v.mp4", range(10))
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(UserError, match="of the extra video"):
        VideoFrames(tmp_path / "v.mp4")
