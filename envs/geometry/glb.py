"""The frame of a GLB file: a JSON text and the binary that it describes (glTF 2.0, section 4.4)."""

import json
import struct
from typing import Any

from s2e.core.files import parse_json

_HEAD = struct.Struct("<4sIII4s")  # mark, version, bytes in all; bytes of the JSON and its mark


def taken_apart(data: bytes) -> tuple[dict[str, Any], bytes]:
    """The JSON of a GLB, and what follows it.

    Raises:
        ValueError: it is no GLB of version 2, is cut, or its JSON is no object.
    """
    if len(data) < _HEAD.size:
        raise ValueError("cut within the header")
    magic, version, total, length, kind = _HEAD.unpack_from(data)
    end = _HEAD.size + length
    if (magic, version, kind) != (b"glTF", 2, b"JSON") or max(end, total) > len(data):
        raise ValueError("the header does not fit the file")
    tree = parse_json(data[_HEAD.size : end])
    if not isinstance(tree, dict):
        raise ValueError("its JSON is not an object")
    return tree, data[end:total]


def put_together(tree: dict[str, Any], rest: bytes) -> bytes:
    """The inverse of `taken_apart`."""
    text = json.dumps(tree).encode()
    text += b" " * (-len(text) % 4)
    total = _HEAD.size + len(text) + len(rest)
    return _HEAD.pack(b"glTF", 2, total, len(text), b"JSON") + text + rest
