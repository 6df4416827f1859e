"""Every format against its slow encoder, the sample objects against each other, and what files are
told apart by."""

import gzip
import os
import shutil
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s2e.core.errors import UserError
from s2e.envs.geometry.scene import Splats
from s2e.envs.splats.formats import whole as files
from s2e.envs.splats.formats.any import read_splats, write_splats
from s2e.envs.splats.formats.whole import SplatWarning
from tests.envs.splats import samples
from tests.envs.splats.made_files import SMALLEST_THREE_DEG, angles_deg, close, put, refused

ROOT = Path(__file__).resolve().parents[3]
DATA = Path(os.environ.get("S2E_SHARED_DATA", ROOT.parent / "shared" / "data")) / "splats"
sample_data = pytest.mark.skipif(not DATA.is_dir(), reason="the sample objects are not here")


seeds, degrees = st.integers(0, 2**32 - 1), st.sampled_from([1, 4, 9, 16])


@settings(max_examples=12, deadline=None)
@given(seed=seeds, count=st.integers(1, 100), coefficients=degrees, mip=st.booleans())
def test_plain_ply(tmp_path_factory, seed, count, coefficients, mip):
    splats = samples.make_splats(seed, count, coefficients, antialiased=mip)
    data = samples.plain_ply(splats, "SplatRenderMode: mip" if mip else "SplatRenderMode: default")
    found = read_splats(put(tmp_path_factory.mktemp("f"), "a", data))
    close(found, splats, 0, 2e-6, 1e-6, 0, 0, 1e-4)


@settings(max_examples=12, deadline=None)
@given(seed=seeds, count=st.integers(1, 400), coefficients=degrees, colours=st.booleans())
def test_compressed_ply(tmp_path_factory, seed, count, coefficients, colours):
    splats = samples.make_splats(seed, count, coefficients)
    found = read_splats(
        put(tmp_path_factory.mktemp("f"), "a", samples.compressed_ply(splats, colours=colours))
    )
    # Half a step of 10 bits over 6 m and over 8 of log scale, of 8 bits over 0..1 of colour and 8
    # of coefficients.
    close(
        found,
        splats,
        3.01 / 1023,
        4.01 / 1023,
        0.51 / 255,
        0.51 / 255 / samples.SH_C0,
        4.01 / 256,
        SMALLEST_THREE_DEG,
    )


@settings(max_examples=12, deadline=None)
@given(seed=seeds, count=st.integers(1, 100))
def test_dotsplat(tmp_path_factory, seed, count):
    splats = samples.make_splats(seed, count, 1)
    found = read_splats(put(tmp_path_factory.mktemp("f"), "a", samples.dotsplat(splats)))
    close(found, splats, 0, 1e-6, 0.51 / 255, 0.51 / 255 / samples.SH_C0, 0, 1.3)


@settings(max_examples=10, deadline=None)
@given(
    seed=seeds,
    count=st.integers(1, 40),
    coefficients=degrees,
    mip=st.booleans(),
    folder=st.booleans(),
)
def test_sog(tmp_path_factory, seed, count, coefficients, mip, folder):
    splats = samples.make_splats(seed, count, coefficients, antialiased=mip)
    parts, where = samples.sog_files(splats), tmp_path_factory.mktemp("f")
    path = where / "a.sog"
    if folder:
        for name, data in parts.items():
            put(where, name, data)
        path = where if seed % 2 else where / "meta.json"
    else:
        path.write_bytes(samples.zipped(parts))
    found = read_splats(path)
    # Codebooks of 256 even steps over what there is; positions 16 bits over logarithms of at most 2
    # x 1.4.
    close(found, splats, 4 * 1.4 / 65535, 4.01 / 255, 0.51 / 255, 0.91 / 255, 1.01 / 255, 1.12)


@settings(max_examples=20, deadline=None)
@given(
    seed=seeds,
    count=st.integers(1, 100),
    coefficients=degrees,
    mip=st.booleans(),
    ending=st.sampled_from([".ply", ".SPZ", ".spz"]),
)
def test_what_is_written_is_read(tmp_path_factory, seed, count, coefficients, mip, ending):
    splats = samples.make_splats(seed, count, coefficients, antialiased=mip)
    path = tmp_path_factory.mktemp("f") / f"a{ending}"
    write_splats(path, splats)
    found = read_splats(path)
    if ending == ".ply":
        close(found, splats, 0, 5e-6, 1e-6, 0, 0, 1e-4)
    else:
        close(
            found,
            splats,
            2**-13,
            1.001 / 32,
            0.501 / 255,
            0.501 / 255 / 0.15,
            1.001 / 256,
            SMALLEST_THREE_DEG,
        )
    first = path.read_bytes()
    write_splats(path, found)  # what was rounded once stays
    if ending != ".ply":
        again = read_splats(path)
        close(again, found, 0, 1e-6, 1e-7, 1e-6, 0, SMALLEST_THREE_DEG)
        write_splats(path, splats)
        assert path.read_bytes() == first
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_long_files_are_decoded_piece_by_piece_alike(tmp_path, monkeypatch):
    splats = samples.make_splats(5, 1100, 4)
    cases = {
        "a.ply": samples.plain_ply(splats),
        "b.ply": samples.compressed_ply(splats),
        "c.spz": samples.spz(splats, 3),
        "d.spz": samples.spz(splats, 4),
        "e.splat": samples.dotsplat(splats),
        "f.sog": samples.zipped(samples.sog_files(splats)),
    }
    whole = {name: read_splats(put(tmp_path, name, data)) for name, data in cases.items()}
    monkeypatch.setattr(files, "ROWS", 256)
    for name, before in whole.items():
        after = read_splats(tmp_path / name, progress=True)
        for attribute in ("means", "quats", "scales", "opacities", "sh"):
            assert np.array_equal(getattr(before, attribute), getattr(after, attribute)), (
                name,
                attribute,
            )
    for ending in (".ply", ".spz"):
        write_splats(tmp_path / f"small{ending}", splats)
    monkeypatch.undo()
    for ending in (".ply", ".spz"):
        write_splats(tmp_path / f"large{ending}", splats)
        assert (tmp_path / f"small{ending}").read_bytes() == (
            tmp_path / f"large{ending}"
        ).read_bytes()


@pytest.mark.parametrize("ending", [".ply", ".spz"])
def test_memory_stays_near_the_result(tmp_path, monkeypatch, ending):
    monkeypatch.setattr(files, "ROWS", 1 << 13)
    one = samples.make_splats(6, 1000, 16)
    means, quats, scales, opacities, sh = (
        np.repeat(v, 150, axis=0) for v in (one.means, one.quats, one.scales, one.opacities, one.sh)
    )
    many = Splats(means, quats, scales, opacities, sh)
    size = sum(values.nbytes for values in (means, quats, scales, opacities, sh))
    peaks = []
    for act in (
        lambda: write_splats(tmp_path / f"a{ending}", many),
        lambda: read_splats(tmp_path / f"a{ending}"),
    ):
        tracemalloc.start()
        act()
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[0] < 30e6 and peaks[1] < size + 30e6, (peaks, size)


@sample_data
def test_the_sample_objects_agree(tmp_path):
    a, b = read_splats(DATA / "biker.spz"), read_splats(DATA / "biker.compressed.ply")
    assert a.means.shape == b.means.shape == (152746, 3) and a.sh.shape == b.sh.shape == (
        152746,
        1,
        3,
    )
    # The files list Gaussians in the same order, and SPZ's steps are the coarser ones but for
    # rotations (10 bits each).
    assert np.abs(a.means - b.means).max() <= 2**-13 + 1e-6
    assert np.abs(np.log(a.scales / np.maximum(b.scales, np.exp(-10)))).max() <= 1.01 / 32
    assert np.array_equal(a.opacities, b.opacities)
    assert np.abs(a.sh - b.sh).max() <= 0.501 / 255 / 0.15
    assert angles_deg(a, b).max() < 2 * SMALLEST_THREE_DEG
    write_splats(tmp_path / "a.spz", a)
    again = read_splats(tmp_path / "a.spz")
    close(again, a, 0, 1e-6, 1e-7, 1e-6, 0, SMALLEST_THREE_DEG)


@sample_data
def test_the_sample_sog_is_one_object(tmp_path):
    splats = read_splats(DATA / "playbot_sog")
    assert (
        splats.means.shape == (31000, 3)
        and splats.sh.shape == (31000, 9, 3)
        and not splats.antialiased
    )
    # it stands on y = 0, and y is down
    assert np.abs(splats.means).max() < 1.1 and 0.03 < splats.means[:, 1].max() < 0.05
    path = tmp_path / "playbot.sog"
    path.write_bytes(
        samples.zipped({p.name: p.read_bytes() for p in sorted((DATA / "playbot_sog").iterdir())})
    )
    packed = read_splats(path)
    assert np.array_equal(packed.sh, splats.sh) and np.array_equal(packed.quats, splats.quats)


def test_content_decides_not_the_ending(tmp_path):
    splats = samples.make_splats(1, 20, 1)
    cases = [
        samples.plain_ply(splats),
        samples.compressed_ply(splats),
        samples.spz(splats, 2),
        samples.spz(splats, 4),
    ]
    for i, data in enumerate(
        [*cases, samples.dotsplat(splats), samples.zipped(samples.sog_files(splats))]
    ):
        for name in ("x.bin", "x.ply", "x.spz", "x.splat"):
            found = read_splats(put(tmp_path, name, data))
            assert np.abs(found.means - splats.means).max() < 0.01, (i, name)


def test_what_is_no_splat_file(tmp_path):
    refused(tmp_path / "none", "cannot be read")
    refused(
        tmp_path,
        "folder without meta.json, lod-meta.json or tiles .*; give a 3DGS or compressed PLY, SPZ",
    )
    refused(put(tmp_path, "a.ply", b""), "zero bytes")
    refused(put(tmp_path, "a.splat", b""), "zero bytes")
    refused(
        put(tmp_path, "a", b"solid mesh of something"),
        "byte 0: begins with b'soli', of no known format",
    )
    refused(put(tmp_path, "a", b"\x89PNG" + bytes(60)), "of no known format")
    refused(
        put(tmp_path, "a.gz", gzip.compress(samples.plain_ply(samples.make_splats(0, 3, 1)))),
        "not an SPZ .*'NGSP'",
    )
    with pytest.raises(UserError, match="--activated is for 3DGS PLY"):
        read_splats(
            put(tmp_path, "a.spz", samples.spz(samples.make_splats(0, 3, 1), 3)), activated=True
        )
    os.mkfifo(tmp_path / "pipe")
    refused(tmp_path / "pipe", "it is not a file")
    with pytest.raises(UserError, match=r"ending '\.splat'; splats are written as \.ply or \.spz"):
        write_splats(tmp_path / "b.splat", samples.make_splats(0, 1, 1))
    assert not (tmp_path / "b.splat").exists()


def test_bad_dotsplats(tmp_path):
    data = samples.dotsplat(samples.make_splats(0, 20, 1))
    refused(put(tmp_path, "a.splat", data[:-5]), "cut at byte 635.*27 are left over")
    for at, value, match in ((4, np.nan, "position"), (12, np.inf, "scale"), (16, -1.0, "scale")):
        bad = data[: 64 + at] + np.float32(value).tobytes() + data[64 + at + 4 :]
        with pytest.warns(
            SplatWarning,
            match=rf"1 of 20 .*\({match} in 1; the first is number 2\); they were dropped",
        ):
            assert len(read_splats(put(tmp_path, "a.splat", bad)).means) == 19
    for row in (data[:28] + b"\x80" * 4, bytes(32)):
        with pytest.warns(SplatWarning, match="1 of 20 .*rotation in 1; the first is number 0"):
            assert len(read_splats(put(tmp_path, "a.splat", row + data[32:])).means) == 19
    # of no telling name
    assert len(read_splats(put(tmp_path, "a.bin", bytes(192) + data[192:])).means) == 14
    refused(
        put(tmp_path, "a.splat", bytes(320) + data[320:]),
        "10 of 20 Gaussians .* half or more are bad",
    )


def test_bad_compressed_plys(tmp_path):
    splats = samples.make_splats(0, 300, 4)
    data = samples.compressed_ply(splats)

    def changed(old, new):
        assert old in data
        return put(tmp_path, "a.ply", data.replace(old, new, 1))

    refused(
        put(tmp_path, "a.ply", data[:-1]), r"cut at byte \d+, expected \d+ bytes for 300 rows of sh"
    )
    refused(changed(b"element vertex 300", b"element vertex 999"), "cut at byte")
    refused(
        changed(b"element vertex 300", b"element vertex 200"),
        "2 rows of chunk for 200 Gaussians, not 1",
    )
    refused(changed(b"element vertex 300", b"element vertex 99999999999999"), "cut at byte")
    refused(
        changed(b"uint packed_scale", b"float packed_scale"), "packed_scale is missing or not uint"
    )
    refused(changed(b"float max_y", b"float other"), "chunk has no property max_y")
    refused(changed(b"float max_g", b"float other"), "chunk has no property max_g")
    refused(changed(b"uchar f_rest_4", b"char f_rest_4"), "element sh .* not uchar")
    refused(changed(b"element sh 300", b"element sh 299"), "element sh has 299 rows")
    start = data.index(b"end_header\n") + 11
    refused(
        put(tmp_path, "a.ply", data[:start] + np.float32(np.nan).tobytes() + data[start + 4 :]),
        "25\\d of 300 .*position in 25",
    )


def test_nothing_is_left_by_a_failed_write(tmp_path):
    splats = samples.make_splats(0, 3, 1)
    for ending in (".ply", ".spz"):
        with pytest.raises(UserError, match="cannot be written"):
            write_splats(tmp_path / "none" / f"a{ending}", splats)
    splats.means[0] = np.nan
    with pytest.raises(UserError, match="SPZ ends at 8,000 km"):
        write_splats(tmp_path / "a.spz", splats)
    assert not os.listdir(tmp_path)
    shutil.rmtree(tmp_path)


def test_a_folder_of_tiles_is_one_capture(tmp_path):
    """Of one frame and any formats; what is there twice is read once, what holds nothing is left
    out, other captures are refused."""
    left = samples.make_splats(1, 60, 1)
    right = replace(
        samples.make_splats(2, 50, 4),
        means=samples.make_splats(2, 50, 4).means + np.array([40, 0, 0], np.float32),
    )
    for name, data in (
        ("b.ply", samples.plain_ply(right)),
        ("a.splat", samples.dotsplat(left)),
        ("a.ply", b""),
        ("notes.txt", b"-"),
    ):
        put(tmp_path, name, data)
    with pytest.warns(
        SplatWarning, match=r"2 tiles of one capture, read together: a\.splat, b\.ply"
    ):
        found = read_splats(tmp_path)
    assert np.allclose(
        found.means, np.concatenate([left.means, right.means]), atol=1e-4
    ) and found.sh.shape == (110, 4, 3)
    assert not found.sh[:60, 1:].any()
    put(tmp_path, "b.spz", samples.spz(right, 2))
    with pytest.warns(SplatWarning):
        assert len(read_splats(tmp_path).means) == 110
    put(tmp_path, "copy of b.ply", samples.plain_ply(right))
    with pytest.warns(SplatWarning):
        refused(
            tmp_path,
            r"b\.ply and copy of b\.ply lie over one another, so they are no tiles of one capture; "
            r"give one",
        )
