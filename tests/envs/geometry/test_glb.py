import struct

import pytest

from s2e.envs.geometry.glb import put_together, taken_apart

TREE = {"asset": {"version": "2.0"}, "nodes": [{"name": "bänk"}]}


@pytest.mark.parametrize("rest", [b"", b"\x04\0\0\0BIN\0abcd"])
def test_what_is_put_together_comes_apart(rest):
    data = put_together(TREE, rest)
    assert len(data) % 4 == 0 and struct.unpack_from("<4sII", data) == (b"glTF", 2, len(data))
    assert taken_apart(data) == (TREE, rest)


def test_what_is_no_glb_is_refused():
    data = put_together(TREE, b"rest")
    for spoilt in (
        b"",
        data[:19],
        data[:40],  # cut within the JSON
        b"GLTF" + data[4:],
        data[:4] + b"\x01" + data[5:],  # another version
        data[:8] + (len(data) + 1).to_bytes(4, "little") + data[12:],
        data[:12] + (1 << 30).to_bytes(4, "little") + data[16:],
        data[:20] + b"?" + data[21:],
        data[:20] + b"[" + b" " * (len(data) - 26) + b"]" + b"rest",
    ):
        with pytest.raises(ValueError):
            taken_apart(spoilt)
