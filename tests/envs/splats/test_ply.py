"""PLY files: what is written is read, and nothing that is damaged is."""

import os
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s2e.core.errors import UserError
from s2e.envs.geometry.scene import Splats
from s2e.envs.splats.formats import whole as files
from s2e.envs.splats.formats.ply import read_ply, write_ply
from s2e.envs.splats.formats.whole import SplatWarning

CORE = [
    "x",
    "y",
    "z",
    "f_dc_0",
    "f_dc_1",
    "f_dc_2",
    "opacity",
    "scale_0",
    "scale_1",
    "scale_2",
    "rot_0",
    "rot_1",
    "rot_2",
    "rot_3",
]


def make_splats(seed: int, count: int, coefficients: int) -> Splats:
    rng = np.random.default_rng(seed)
    quats = rng.normal(size=(count, 4))
    return Splats(
        means=rng.normal(0, 50, (count, 3)).astype(np.float32),
        quats=(quats / np.linalg.norm(quats, axis=1, keepdims=True)).astype(np.float32),
        scales=np.exp(rng.uniform(-9, 3, (count, 3))).astype(np.float32),
        opacities=rng.uniform(0, 1, count).astype(np.float32),
        sh=rng.normal(size=(count, coefficients, 3)).astype(np.float32),
    )


def write_raw(path, names, values, kind="float", head="", tail=""):
    header = "ply\nformat binary_little_endian 1.0\ncomment made by a test\n" + head
    header += f"element vertex {len(values)}\n" + "".join(f"property {kind} {n}\n" for n in names)
    header += tail + "end_header\n"
    path.write_bytes(
        header.encode() + np.asarray(values).astype("<f8" if kind == "double" else "<f4").tobytes()
    )
    return path


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    count=st.integers(1, 20),
    coefficients=st.sampled_from([1, 4, 9, 16]),
)
def test_what_is_written_is_read(tmp_path_factory, seed, count, coefficients):
    splats = make_splats(seed, count, coefficients)
    path = tmp_path_factory.mktemp("ply") / "a.ply"
    write_ply(path, splats)
    back = read_ply(path)
    assert np.array_equal(back.means, splats.means) and np.array_equal(back.sh, splats.sh)
    assert np.allclose(back.quats, splats.quats, rtol=0, atol=1e-6)
    assert np.allclose(back.scales, splats.scales, rtol=5e-6, atol=0)
    assert np.allclose(back.opacities, splats.opacities, rtol=0, atol=1e-6)
    assert os.listdir(path.parent) == ["a.ply"]
    assert all(
        a.dtype == np.float32
        for a in (back.means, back.quats, back.scales, back.opacities, back.sh)
    )


def test_extreme_opacities_and_scales_survive(tmp_path):
    splats = make_splats(0, 2, 1)
    splats.opacities[:], splats.scales[:] = (0.0, 1.0), 0.0
    write_ply(tmp_path / "a.ply", splats)
    back = read_ply(tmp_path / "a.ply")
    assert np.allclose(back.opacities, (0, 1), atol=1e-6) and (back.scales < 1e-15).all()


@settings(max_examples=60, deadline=None)
@given(share=st.floats(0, 1, exclude_max=True))
def test_a_file_cut_anywhere_is_refused(tmp_path_factory, share):
    path = tmp_path_factory.mktemp("ply") / "a.ply"
    write_ply(path, make_splats(1, 5, 4))
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(UserError, match=r"a\.ply"):
        read_ply(path)


@settings(max_examples=150, deadline=None)
@given(
    changes=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=4)
)
def test_damaged_bytes_give_splats_or_a_user_error(tmp_path_factory, changes):
    path = tmp_path_factory.mktemp("ply") / "a.ply"
    write_ply(path, make_splats(2, 2, 1))
    data = bytearray(path.read_bytes())
    for where, value in changes:
        data[where % len(data)] = value
    path.write_bytes(data)
    try:
        splats = read_ply(path)
    except UserError as error:
        assert "a.ply" in str(error)
    else:
        assert (
            np.isfinite(splats.means).all()
            and np.isfinite(splats.scales).all()
            and np.isfinite(splats.quats).all()
        )


def test_any_order_doubles_and_extras(tmp_path):
    rng = np.random.default_rng(0)
    rest = [f"f_rest_{i}" for i in range(9)]
    names = list(rng.permutation(CORE + rest + ["nx", "ny", "nz", "confidence"]))
    values = rng.normal(size=(3, len(names)))
    path = write_raw(
        tmp_path / "a.ply",
        names,
        values,
        "double",
        tail="element face 0\nproperty list uchar int i\n",
    )
    splats = read_ply(path)
    column = {name: values[:, i] for i, name in enumerate(names)}
    assert np.allclose(splats.means, np.stack([column["x"], column["y"], column["z"]], 1))
    assert np.allclose(splats.opacities, 1 / (1 + np.exp(-column["opacity"])))
    assert np.allclose(splats.scales[:, 2], np.exp(column["scale_2"]))
    assert np.allclose(np.linalg.norm(splats.quats, axis=1), 1)
    assert np.allclose(
        splats.quats[:, 0] * column["rot_1"], splats.quats[:, 1] * column["rot_0"], atol=1e-6
    )
    # Channel-major: f_rest_0..2 are red's three coefficients of degree 1, f_rest_3 the first of
    # green's.
    assert np.allclose(splats.sh[:, 1:, 0], np.stack([column[f"f_rest_{i}"] for i in range(3)], 1))
    assert np.allclose(splats.sh[:, 1, 1], column["f_rest_3"])


def test_degree_4_is_left_out(tmp_path):
    names = CORE + [f"f_rest_{i}" for i in range(72)]
    values = np.random.default_rng(1).normal(size=(3, len(names)))
    splats = read_ply(write_raw(tmp_path / "a.ply", names, values))
    assert splats.sh.shape == (3, 16, 3)
    for channel in range(3):
        start = len(CORE) + 24 * channel
        assert np.allclose(splats.sh[:, 1:, channel], values[:, start : start + 15], atol=1e-6)


@pytest.mark.parametrize(
    "comments,wanted",
    [
        ("", False),
        ("comment SplatRenderMode: mip\n", True),
        ("comment splatrendermode: MIP\n", True),
        ("comment antialiased 1\n", True),
        ("comment antialiased 0\n", False),
        ("comment SplatRenderMode: mip\ncomment SplatRenderMode: default\n", False),
        ("comment this is not antialiased 1\n", False),
    ],
)
def test_comments_say_antialiased(tmp_path, comments, wanted):
    path = write_raw(tmp_path / "a.ply", CORE, np.ones((4, len(CORE))), head=comments)
    splats = read_ply(path)
    assert splats.antialiased is wanted
    write_ply(path, splats)
    assert read_ply(path).antialiased is wanted


def refused(path, match):
    with pytest.raises(UserError, match=match):
        read_ply(path)


def test_bad_files_say_what_is_wrong(tmp_path):
    path = tmp_path / "a.ply"
    refused(tmp_path / "none.ply", r"none\.ply: cannot be read")
    refused(tmp_path, "cannot be read")
    path.write_bytes(b"solid stl")
    refused(path, "not a PLY")
    good = np.ones((4, len(CORE)))
    refused(write_raw(path, CORE[:6] + CORE[7:], good[:, 1:]), "no property opacity")
    refused(write_raw(path, CORE, good[:0]), "zero Gaussians")
    refused(write_raw(path, [*CORE, "f_rest_0"], np.ones((4, 15))), "1 f_rest properties")
    refused(
        write_raw(path, CORE, good, tail="property list uchar int vertex_indices\n"),
        "list property",
    )
    refused(write_raw(path, CORE, good, head="element face 3\n"), "before vertex")
    refused(write_raw(path, [*CORE, "x"], np.ones((4, 15))), "cannot read 'property float x'")
    for count in ("-1", "1e3", "x", "9" * 5000):
        text = (
            write_raw(path, CORE, good)
            .read_bytes()
            .replace(b"vertex 4", b"vertex " + count.encode())
        )
        path.write_bytes(text)
        refused(path, "bad vertex count")
    path.write_bytes(
        write_raw(path, CORE, good).read_bytes().replace(b"vertex 4", b"vertex 999999999999999")
    )
    refused(path, r"cut at byte \d+, expected \d+")
    path.write_bytes(
        write_raw(path, CORE, good).read_bytes().replace(b"binary_little_endian", b"ascii")
    )
    refused(path, "convert it to binary_little_endian")


@pytest.mark.parametrize(
    "name,value",
    [
        ("x", np.nan),
        ("y", np.inf),
        ("opacity", np.nan),
        ("opacity", np.inf),
        ("scale_1", 1e4),
        ("scale_1", -np.inf),
        ("f_dc_2", np.nan),
        ("rot_0", np.nan),
    ],
)
def test_bad_rows_are_dropped_and_counted(tmp_path, name, value):
    values = np.random.default_rng(0).normal(size=(9, len(CORE)))
    good = read_ply(write_raw(tmp_path / "a.ply", CORE, np.delete(values, [2, 5], 0)))
    values[[2, 5], CORE.index(name)] = value
    with pytest.warns(
        SplatWarning, match=r"2 of 9 Gaussians .* in 2; the first is number 2\); they were dropped"
    ):
        found = read_ply(write_raw(tmp_path / "b.ply", CORE, values))
    assert all(np.array_equal(a, b) for a, b in zip(arrays(found), arrays(good), strict=True))


def arrays(splats):
    return splats.means, splats.quats, splats.scales, splats.opacities, splats.sh


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), bad=st.integers(0, 20), antialiased=st.booleans())
def test_rows_of_zeros_are_dropped_and_half_of_them_refuse(
    tmp_path_factory, seed, bad, antialiased
):
    rng = np.random.default_rng(seed)
    values, path = rng.normal(size=(20, len(CORE))), tmp_path_factory.mktemp("ply") / "a.ply"
    zero = rng.permutation(20)[:bad]
    values[zero] = 0.0
    write_raw(path, CORE, values, head="comment antialiased 1\n" if antialiased else "")
    if bad >= 10:
        refused(path, f"a.ply: {bad} of 20 Gaussians .* half or more are bad")
    else:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            found = read_ply(path)
        assert len(caught) == (bad > 0) and found.antialiased is antialiased
        assert np.array_equal(found.means, np.delete(values, zero, 0)[:, :3].astype(np.float32))


def test_bad_rows_across_pieces(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "ROWS", 7)
    values = np.random.default_rng(1).normal(size=(40, len(CORE)))
    bad = [0, 6, 7, 13, 20, 21, 22, 23, 24, 25, 26, 39]
    values[bad, 1] = np.nan
    with pytest.warns(SplatWarning, match="12 of 40"):
        found = read_ply(write_raw(tmp_path / "a.ply", CORE, values))
    assert (
        np.array_equal(found.means, np.delete(values, bad, 0)[:, :3].astype(np.float32))
        and len(found.sh) == 28
    )


def activated_values(splats, scales, opacities):
    logs = splats.scales if scales else np.log(splats.scales)
    logits = splats.opacities if opacities else np.log(splats.opacities / (1 - splats.opacities))
    return np.concatenate([splats.means, splats.sh[:, 0], logits[:, None], logs, splats.quats], 1)


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    scales=st.booleans(),
    opacities=st.booleans(),
    unit=st.floats(0.01, 2.0),
    thin=st.floats(0.0, 0.5),
)
def test_activated_values_are_recognised_and_read(
    tmp_path_factory, seed, scales, opacities, unit, thin
):
    splats, rng = make_splats(seed, 200, 1), np.random.default_rng(seed)
    splats.scales[:] = unit * np.exp(rng.normal(-3.0, 0.7, (200, 1))) * [1, 1, thin + 1e-4]
    splats.opacities[:] = rng.beta(0.8, 0.8, 200).clip(1e-3, 1 - 1e-3)
    values = activated_values(splats, scales, opacities)
    path = write_raw(tmp_path_factory.mktemp("ply") / "a.ply", CORE, values)
    if scales or opacities:
        words = ["scale like lengths"] * scales + ["opacity like shares"] * opacities
        refused(path, ".* and ".join(words) + ".*give --activated")
    else:
        refused_activated(path, "leave --activated out")
    found = read_ply(path, activated=scales or opacities)
    assert np.allclose(found.scales, splats.scales, rtol=1e-5) and np.allclose(
        found.opacities, splats.opacities, atol=1e-6
    )


def refused_activated(path, match):
    with pytest.raises(UserError, match=match):
        read_ply(path, activated=True)


def test_captures_in_small_units_and_of_one_opacity_are_not_taken_for_activated(tmp_path):
    splats, rng = make_splats(5, 300, 1), np.random.default_rng(5)
    splats.means[:] *= 1000.0
    splats.scales[:] = np.exp(rng.uniform(0.2, 5.0, (300, 3)))
    splats.opacities[:] = 0.6
    write_ply(tmp_path / "a.ply", splats)
    assert np.allclose(read_ply(tmp_path / "a.ply").scales, splats.scales, rtol=1e-5)


def test_a_negative_length_among_activated_ones_is_dropped(tmp_path):
    splats = make_splats(6, 3000, 1)
    values = activated_values(splats, True, True)
    values[3, CORE.index("scale_0")], values[5, CORE.index("opacity")] = -0.1, 1.2
    with pytest.warns(SplatWarning, match="2 of 3,000 .*scale in 1, opacity in 1"):
        assert (
            len(read_ply(write_raw(tmp_path / "a.ply", CORE, values), activated=True).means) == 2998
        )


def test_plys_with_rgb_name_the_export_option(tmp_path):
    names = [*CORE[:3], "red", "green", "blue", *CORE[6:]]
    refused(
        write_raw(tmp_path / "a.ply", names, np.ones((4, len(names)))),
        "PLY with rgb.*--ply-color-mode sh_coeffs",
    )
    refused(write_raw(tmp_path / "a.ply", names[:6], np.ones((4, 6))), "not a mesh or points")


def test_a_failed_write_leaves_nothing(tmp_path):
    with pytest.raises(UserError, match="cannot be written"):
        write_ply(tmp_path / "none" / "a.ply", make_splats(0, 1, 1))
    (tmp_path / "taken").mkdir()
    with pytest.raises(UserError, match="cannot be written"):
        write_ply(tmp_path / "taken", make_splats(0, 1, 1))
    assert os.listdir(tmp_path) == ["taken"]
