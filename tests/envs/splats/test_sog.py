"""SOG: what meta.json may say, images of another size, and zips that want to be elsewhere or
larger."""

import io
import json
import struct
import zipfile

import numpy as np
import pytest
from PIL import Image

from s2e.envs.splats.formats.sog import read_sog
from tests.envs.splats import samples
from tests.envs.splats.made_files import put, refused


@pytest.fixture(scope="module")
def parts():
    return samples.sog_files(samples.make_splats(3, 40, 4))


def with_meta(parts, change):
    meta = json.loads(parts["meta.json"])
    change(meta)
    return {**parts, "meta.json": json.dumps(meta).encode()}


def check(tmp_path, parts, match, change=None):
    refused(
        put(tmp_path, "a.sog", samples.zipped(with_meta(parts, change) if change else parts)), match
    )


def test_what_meta_json_may_say(tmp_path, parts):
    def bad(match, change):
        check(tmp_path, parts, match, change)

    bad("version 1, and this reads version 2", lambda m: m.update(version=1))
    bad("version is missing", lambda m: m.pop("version"))
    bad("count is missing or not of type int", lambda m: m.update(count="40"))
    bad("count is missing or not of type int", lambda m: m.update(count=True))
    for count in (0, -1):
        bad("holds (zero|-1) Gaussians", lambda m, c=count: m.update(count=c))
    bad("8x5 pixels for 41 Gaussians", lambda m: m.update(count=41))
    bad("count: claims 2147483648 Gaussians", lambda m: m.update(count=2**31))
    bad("means is missing", lambda m: m.pop("means"))
    bad("means.files names 1 files, not 2", lambda m: m["means"].update(files=["a"]))
    bad("mins is not a list of 3 numbers", lambda m: m["means"].update(mins=[1, 2]))
    bad("maxs holds a number that is NaN", lambda m: m["means"].update(maxs=[1, 2, float("inf")]))
    bad("maxs holds a number that is NaN", lambda m: m["means"].update(maxs=[1, 2, 10**400]))
    bad("means.maxs beyond 80", lambda m: m["means"].update(maxs=[1, 2, 100]))
    bad("codebook is not a list of 256 numbers", lambda m: m["scales"].update(codebook=[1.0]))
    bad(
        "sh0: codebook holds a number that is NaN",
        lambda m: m["sh0"].update(codebook=[float("nan")] * 256),
    )
    bad("shN.bands is 4", lambda m: m["shN"].update(bands=4))
    bad("shN.count is 0", lambda m: m["shN"].update(count=0))
    bad("192x1 pixels for 40 entries of 8", lambda m: m["shN"].update(bands=2))
    bad("pixel 39: entry 39 of 39", lambda m: m["shN"].update(count=39))
    for text in (b"", b"{", b"[" * 100_000, b"\xff", b"[]", b'{"count":' + b"9" * 5000 + b"}"):
        check(
            tmp_path,
            {**parts, "meta.json": text},
            "meta.json: (cannot be read as JSON|holds a list)",
        )


def test_both_ways_to_say_antialiased(tmp_path, parts):
    for change, wanted in (
        ({"antialias": True}, True),
        ({"antialias": False, "model": "antialiased"}, True),
        ({"model": "2dgs"}, False),
    ):
        path = put(
            tmp_path, "a.sog", samples.zipped(with_meta(parts, lambda m, c=change: m.update(c)))
        )
        assert read_sog(path).antialiased is wanted


@pytest.mark.parametrize(
    "name",
    ["../x.webp", "/etc/passwd", "a/b.webp", "..", ".hidden", "", "c:\\x", "a\0b", "x" * 300],
)
def test_names_lead_nowhere_else(tmp_path, parts, name):
    files = {**parts, name or "empty": parts["quats.webp"]}
    if "\0" not in name:
        check(
            tmp_path,
            files,
            "quats.files: .* leads out of the scene",
            lambda m: m["quats"].update(files=[name]),
        )
    folder = tmp_path / "scene"
    folder.mkdir()
    for file, data in with_meta(parts, lambda m: m["quats"].update(files=[name])).items():
        put(folder, file, data)
    refused(folder, "leads out of the scene")


def test_nothing_is_unpacked(tmp_path, parts):
    """A zip's other members, wherever they point, are not touched."""
    (tmp_path / "in").mkdir()
    path = put(
        tmp_path / "in",
        "a.sog",
        samples.zipped({**parts, "../evil": b"1", "/tmp/evil-sog": b"1", "big": bytes(1 << 20)}),
    )
    assert len(read_sog(path).means) == 40
    assert [p.name for p in sorted(tmp_path.rglob("*"))] == ["in", "a.sog"]


def test_images_of_another_kind(tmp_path, parts):
    big, rgb = np.zeros((600, 600, 4), np.uint8), np.zeros((5, 8, 3), np.uint8)
    png, lossy, film = io.BytesIO(), io.BytesIO(), io.BytesIO()
    Image.fromarray(rgb).save(png, "PNG")
    Image.fromarray(rgb).save(lossy, "WEBP", quality=50)
    frames = [Image.fromarray(np.full((5, 8, 3), v, np.uint8)) for v in (1, 200)]
    frames[0].save(film, "WEBP", save_all=True, append_images=frames[1:], lossless=True)
    good = parts["sh0.webp"]
    lying = bytearray(good)
    lying[21:25] = struct.pack("<I", struct.unpack("<I", good[21:25])[0] + 1)
    for data, match in (
        (samples.webp(big), "600x600 pixels for 40"),
        (samples.webp(big[:1, :1]), "1x1 pixels for 40"),
        (png.getvalue(), "not a WebP"),
        (lossy.getvalue(), "lossy WebP"),
        (film.getvalue(), "one image, its data differ"),
        (good[:-20], "cannot be decoded"),
        (b"", "not a WebP"),
        (bytes(lying), "cannot be decoded|its data differ"),
        (good[:20], "not a WebP"),
    ):
        check(tmp_path, {**parts, "sh0.webp": data}, f"sh0.webp: .*{match}")
    check(
        tmp_path,
        {**parts, "quats.webp": samples.webp(np.full((5, 8, 4), 251, np.uint8))},
        "pixel 0: alpha 251, not 252 to 255",
    )


def test_a_canvas_of_a_gigabyte_is_never_made(tmp_path, parts):
    """The bomb: 16,384 pixels square in a header of thirty bytes."""
    header = (
        b"RIFF"
        + struct.pack("<I", 30)
        + b"WEBPVP8X"
        + struct.pack("<II", 10, 16)
        + (16383).to_bytes(3, "little") * 2
    )
    check(
        tmp_path, {**parts, "sh0.webp": header + bytes(20)}, "16384x16384 pixels for 40 Gaussians"
    )


def test_missing_files(tmp_path, parts):
    for name in parts:
        check(tmp_path, {k: v for k, v in parts.items() if k != name}, f"member {name} is missing")
    folder = tmp_path / "scene"
    folder.mkdir()
    for name, data in parts.items():
        put(folder, name, data)
    (folder / "sh0.webp").unlink()
    refused(folder, "sh0.webp is missing")
    (folder / "sh0.webp").mkdir()
    refused(folder, "it is not a file")


def test_zips_that_lie(tmp_path, parts):
    data = samples.zipped(parts, zipfile.ZIP_DEFLATED)
    refused(put(tmp_path, "a.sog", data[:-30]), "not a whole zip")
    refused(put(tmp_path, "a.sog", data[:40]), "not a whole zip")
    check(
        tmp_path,
        {**parts, "sh0.webp": bytes(64 << 20)},
        "member sh0.webp claims 67108864 bytes, of at most",
    )
    check(
        tmp_path,
        {**parts, "meta.json": b" " * (2 << 20)},
        "member meta.json claims 2097152 bytes, of at most 1048576",
    )
    refused(put(tmp_path, "a.sog", samples.zipped(parts, zipfile.ZIP_LZMA)), "method 14")
    many = {**parts, **{f"{i:0200}": b"" for i in range(6000)}}
    refused(put(tmp_path, "a.sog", samples.zipped(many)), "list of contents takes")
    # A bomb whose list of contents claims few bytes: what is packed is never read beyond them.
    bomb = bytearray(samples.zipped({**parts, "sh0.webp": bytes(8 << 20)}, zipfile.ZIP_DEFLATED))
    at = bomb.index(b"sh0.webp", bomb.index(b"PK\x01\x02")) - 46 + 24
    bomb[at : at + 4] = struct.pack("<I", 100)
    refused(put(tmp_path, "a.sog", bytes(bomb)), "sh0.webp")
    locked = bytearray(data)
    for at in (6, data.index(b"PK\x01\x02") + 8):
        locked[at] |= 1
    refused(put(tmp_path, "a.sog", bytes(locked)), "encrypted")
