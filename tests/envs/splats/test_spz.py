"""SPZ: all four versions, its axes, and headers and streams that lie."""

import gzip
import struct
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import lpmv

from s2e.core.errors import UserError
from s2e.envs.splats.formats.spz import Packing, read_spz, write_spz
from s2e.envs.splats.transform import basis, rotations
from tests.envs.splats import samples
from tests.envs.splats.made_files import SMALLEST_THREE_DEG, close, put, refused


@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    count=st.integers(1, 60),
    coefficients=st.sampled_from([1, 4, 9, 16]),
    mip=st.booleans(),
    version=st.sampled_from([1, 2, 3, 4]),
    bits=st.integers(8, 20),
)
def test_every_version(tmp_path_factory, seed, count, coefficients, mip, version, bits):
    splats = samples.make_splats(seed, count, coefficients, antialiased=mip)
    found = read_spz(
        put(tmp_path_factory.mktemp("f"), "a", samples.spz(splats, version, bits=bits))
    )
    # Half floats have steps of 2^-9 between 2 and 4; three bytes without the fourth component are
    # off most where it is small.
    mean, turn = (
        2**-10 if version == 1 else 0.5001 * 2.0**-bits,
        SMALLEST_THREE_DEG if version >= 3 else 14.0,
    )
    close(
        found, splats, mean + 1e-7, 1.001 / 32, 0.501 / 255, 0.501 / 255 / 0.15, 1.001 / 256, turn
    )


def test_degree_4_is_left_out(tmp_path):
    splats = samples.make_splats(1, 9, 16)
    fields, header = samples.spz_fields(splats, 3), bytearray(samples.spz_header(splats, 3))
    header[12] = 4
    more = np.frombuffer(fields["sh"], np.uint8).reshape(9, 45)
    fields["sh"] = np.concatenate([more, np.full((9, 27), 200, np.uint8)], 1).tobytes()
    for version in (3, 4):
        header[4] = version
        data = (
            gzip.compress(bytes(header) + b"".join(fields.values()))
            if version == 3
            else samples.spz4(bytes(header), fields)
        )
        assert np.abs(read_spz(put(tmp_path, "a", data)).sh - splats.sh).max() < 0.02


def harmonics(d: np.ndarray) -> np.ndarray:
    """(15,) real spherical harmonics of degree 1 to 3 in direction d, up to constant factors, in
    the order of 3DGS."""
    turn = np.arctan2(d[1], d[0])
    out = []
    for degree in (1, 2, 3):
        for m in range(-degree, degree + 1):
            around = np.sin(-m * turn) if m < 0 else np.cos(m * turn)
            out += [lpmv(abs(m), degree, d[2]) * around]
    return np.array(out)


def test_axes_turn_with_their_harmonics():
    d = np.random.default_rng(3).normal(size=3)
    d /= np.linalg.norm(d)
    turned = harmonics(d * (1, -1, -1)) / harmonics(d)
    assert np.allclose(turned, samples.FLIPPED)


@pytest.mark.parametrize("axes", range(9))
@pytest.mark.parametrize("version", [3, 4])
def test_named_axes(tmp_path, axes, version):
    """The same Gaussians come out of files whose extension names other axes: bits of number - 1 are
    right, up, front."""
    splats = samples.make_splats(4, 30, 16)
    turn = np.array(
        [
            1.0 if ((axes or 4) - 1) >> bit & 1 == wanted else -1.0
            for bit, wanted in enumerate((1, 0, 1))
        ]
    )
    found = read_spz(put(tmp_path, "a", samples.spz(splats, version)))  # as if right, up, back
    # 0xadbe0003 after a record that nobody knows.
    record = struct.pack("<II3s", 7, 3, b"abc") + struct.pack("<III", 0xADBE0003, 4, axes)
    other = read_spz(put(tmp_path, "a", samples.spz(splats, version, flags=2, extensions=record)))
    assert np.array_equal(other.means, found.means * (1, -1, -1) * turn)
    assert np.array_equal(other.scales, found.scales)
    d = np.random.default_rng(5).normal(size=3)
    d /= np.linalg.norm(d)
    raw = found.sh[:, 1:] * np.array(samples.FLIPPED)[:, None]  # as stored
    seen = np.einsum("k,gkc->gc", harmonics(d), other.sh[:, 1:])
    assert np.allclose(seen, np.einsum("k,gkc->gc", harmonics(d * turn), raw), atol=1e-4)
    stored = found.quats * (1, 1, -1, -1)
    x, y, z = turn
    assert np.allclose(other.quats, stored * (1, y * z, x * z, x * y), atol=1e-6)


NAMES = ("LDB RDB LUB RUB LDF RDF LUF RUF LFD RFD LFU RFU LBD RBD LBU RBU").split()
AXES = {
    "R": (1, 0, 0),
    "L": (-1, 0, 0),
    "D": (0, 1, 0),
    "U": (0, -1, 0),
    "F": (0, 0, 1),
    "B": (0, 0, -1),
}


@pytest.mark.parametrize("axes", range(1, 17))
@pytest.mark.parametrize("version", [3, 4])
def test_all_sixteen_axes(tmp_path, axes, version):
    """The file's axes are where their names say: its numbers, along right, down and front, are what
    is read."""
    splats = samples.make_splats(4, 30, 16)
    stored = read_spz(put(tmp_path, "a", samples.spz(splats, version)))
    flip = np.array([1, -1, -1])
    record = struct.pack("<III", 0xADBE0003, 4, axes)
    found = read_spz(put(tmp_path, "a", samples.spz(splats, version, flags=2, extensions=record)))
    # file -> right, down, front
    frame = np.array([AXES[letter] for letter in NAMES[axes - 1]], dtype=float).T
    assert np.allclose(found.means, stored.means * flip @ frame.T, atol=1e-6)
    raw = rotations(stored.quats * (1, 1, -1, -1))
    assert np.allclose(covariances(found), frame @ covariances(stored, raw) @ frame.T, atol=1e-5)
    d = np.random.default_rng(5).normal(size=3)
    d /= np.linalg.norm(d)
    before = np.einsum(
        "k,gkc->gc", basis(d[None], 3)[0], stored.sh * np.array([1, *samples.FLIPPED])[:, None]
    )
    assert np.allclose(
        np.einsum("k,gkc->gc", basis((frame @ d)[None], 3)[0], found.sh), before, atol=1e-4
    )


def covariances(splats, turned=None):
    turned = rotations(splats.quats) if turned is None else turned
    return turned * splats.scales[:, None] ** 2 @ turned.transpose(0, 2, 1)


def test_unknown_axes_are_refused(tmp_path):
    record = struct.pack("<III", 0xADBE0003, 4, 17)
    data = samples.spz(samples.make_splats(0, 3, 1), 4, flags=2, extensions=record)
    refused(put(tmp_path, "a.spz", data), "axes number 17, and this knows 0 to 16")


def test_a_wide_scene_is_written_more_coarsely(tmp_path):
    splats = samples.make_splats(2, 50, 1, reach_m=30_000.0)
    write_spz(tmp_path / "a.spz", splats)
    step = np.abs(read_spz(tmp_path / "a.spz").means - splats.means).max()
    assert 1e-3 < step <= 2**-9 + 2e-3
    splats.means[0, 0] = 1e8
    with pytest.raises(UserError, match=r"1e\+08 m away"):
        write_spz(tmp_path / "a.spz", splats)


def test_a_coarse_packing_keeps_steps_and_is_smaller(tmp_path):
    splats = samples.make_splats(2, 500, 4)
    coarse = Packing(fractional_bits=8, opacity=12, colour=2, scale=2, rotation=16, sh=8, level=9)
    write_spz(tmp_path / "fine.spz", splats)
    write_spz(tmp_path / "coarse.spz", splats, coarse)
    sizes = [(tmp_path / f"{name}.spz").stat().st_size for name in ("fine", "coarse")]
    fine, found = (read_spz(tmp_path / f"{name}.spz") for name in ("fine", "coarse"))
    assert sizes[1] < 0.9 * sizes[0]
    off = np.abs(found.means - splats.means).max()
    assert 1e-3 < off <= 2**-9 + 1e-5 and np.array_equal(found.means * 256 % 1, 0 * found.means)
    inner = np.abs(fine.sh[:, 1:]) < 0.9
    assert (np.abs(found.sh[:, 1:] * 16 % 1) < 1e-5).all()
    assert np.abs(found.sh[:, 1:] - fine.sh[:, 1:])[inner].max() <= 4 / 128 + 1e-5
    assert np.abs(found.opacities - fine.opacities).max() <= 6.1 / 255
    assert np.abs(np.log(found.scales / fine.scales)).max() <= 1 / 16 + 1e-4
    turn = 2 * np.degrees(np.arccos(np.clip(np.abs((found.quats * fine.quats).sum(1)), 0, 1)))
    assert 0.5 < turn.max() < 4.5


def test_extremes_are_kept_at_the_ends(tmp_path):
    splats = samples.make_splats(2, 4, 4)
    splats.opacities[:2], splats.scales[:2], splats.scales[2:] = (0, 1), 0.0, 1e6
    splats.sh[0], splats.sh[1], splats.quats[0] = 99, -99, (-1, 0, 0, 0)
    write_spz(tmp_path / "a.spz", splats)
    found = read_spz(tmp_path / "a.spz")
    assert (
        found.opacities[:2].tolist() == [0, 1]
        and np.allclose(found.scales[:2], np.exp(-10))
        and (found.scales[2:] > 370).all()
    )
    assert np.abs(found.sh[0, 0] - 10 / 3).max() < 1e-5 and np.abs(found.sh[1, 1:]).max() == 1
    assert np.abs(found.quats[0]).tolist() == [1, 0, 0, 0]


def changed(splats, version, at, new):
    """An SPZ whose header has other bytes at a place."""
    header = samples.spz_header(splats, version)
    header = header[:at] + new + header[at + len(new) :]
    fields = samples.spz_fields(splats, version)
    return (
        samples.spz4(header, fields)
        if version == 4
        else gzip.compress(header + b"".join(fields.values()))
    )


def test_headers_that_lie(tmp_path):
    splats = samples.make_splats(0, 50, 4)

    def check(version, at, new, match):
        refused(put(tmp_path, "a.spz", changed(splats, version, at, new)), match)

    check(3, 0, b"X", "'NGSP'")
    for version in (0, 4, 5, 2**32 - 1):
        check(
            3,
            4,
            struct.pack("<I", version),
            f"byte 4: SPZ version {version}, and this reads 1, 2 and 3 within gzip, 4 without",
        )
    check(4, 4, struct.pack("<I", 3), "byte 4: SPZ version 3")
    for version in (3, 4):
        check(version, 8, struct.pack("<I", 0), "zero Gaussians")
        check(
            version,
            8,
            struct.pack("<I", 2**32 - 1),
            "byte 8: claims 4294967295 Gaussians, which unpack to .* a bomb",
        )
        check(version, 12, b"\x05", "byte 12: SH degree 5")
        check(version, 13, b"\x20", "byte 13: 32 fractional bits")
        check(version, 14, b"\x80", "byte 14: flags 0x80")
    check(2, 12, b"\x04", "byte 12: SH degree 4")
    check(3, 8, struct.pack("<I", 51), "ends within sh")
    check(3, 8, struct.pack("<I", 49), "gzip stream: holds more than its header claims")
    check(3, 12, b"\x00", "holds more than its header claims")
    check(
        4,
        8,
        struct.pack("<I", 51),
        "byte 40: positions unpack to 450 bytes, not 459 for 51 Gaussians",
    )
    check(4, 12, b"\x00", "byte 15: 6 streams, not 5 for SH degree 0")


@settings(max_examples=40, deadline=None)
@given(share=st.floats(0, 1, exclude_max=True), version=st.sampled_from([1, 2, 3, 4]))
def test_a_file_cut_anywhere_is_refused(tmp_path_factory, share, version):
    data = samples.spz(samples.make_splats(1, 20, 4), version)
    path = put(tmp_path_factory.mktemp("f"), "a.spz", data[: int(share * len(data))])
    with pytest.raises(UserError, match=r"a\.spz"):
        read_spz(path)


def test_damaged_gzip_says_where(tmp_path):
    data = samples.spz(samples.make_splats(1, 20, 4), 3)
    refused(
        put(tmp_path, "a.spz", data[:-9]),
        rf"gzip stream, near byte {len(data) - 9} of {len(data) - 9}, sh: Compressed file ended",
    )
    refused(put(tmp_path, "a.spz", data[:-8] + bytes(8)), "CRC check failed")
    refused(put(tmp_path, "a.spz", data + data), "holds more than its header claims")


def test_streams_of_version_4_that_lie(tmp_path):
    splats = samples.make_splats(1, 40, 1)
    header, fields = samples.spz_header(splats, 4), samples.spz_fields(splats, 4)

    def check(change, match, claims=None):
        refused(put(tmp_path, "a.spz", samples.spz4(header, fields | change, claims=claims)), match)

    honest = {name: len(data) for name, data in fields.items()}
    check({"scales": fields["scales"][:-1]}, "scales unpack to 119 bytes, not 120")
    check({"scales": fields["scales"][:-1]}, "zstd stream of scales ends 1 bytes early", honest)
    check(
        {"scales": fields["scales"] + b"x"}, "zstd stream of scales at byte .* holds more", honest
    )
    check({"alphas": bytes(1 << 26)}, "zstd stream of alphas at byte .* holds more", honest)
    data = samples.spz4(header, fields)
    refused(put(tmp_path, "a.spz", data + b"x"), "cut at byte .* its streams end at byte")
    refused(
        put(tmp_path, "a.spz", data[:16] + struct.pack("<I", 8) + data[20:]),
        "byte 16: table of contents at byte 8",
    )
    refused(
        put(tmp_path, "a.spz", data[:116] + bytes(4) + data[120:]),
        r"zstd stream of positions|cut at byte",
    )


def test_bombs_stay_small(tmp_path):
    """What they unpack to is never held."""
    splats = samples.make_splats(1, 40, 1)
    bomb = samples.bomb(96 << 20)
    header = samples.spz_header(splats, 3)
    twice = gzip.compress(header) + bomb  # an honest header, then zeros without end
    plausible = struct.pack("<4sIIBBBB", b"NGSP", 3, 200_000, 0, 12, 0, 0)
    cases = (
        bomb,
        twice,
        gzip.compress(plausible) + bomb,
        samples.spz4(
            samples.spz_header(splats, 4),
            {**samples.spz_fields(splats, 4), "alphas": bytes(32 << 20)},
            claims={"alphas": 40},
        ),
    )
    for i, data in enumerate(cases):
        path = put(tmp_path, f"{i}.spz", data)
        tracemalloc.start()
        refused(path, "NGSP|claims|more than its header")
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 30e6, (i, peak)
