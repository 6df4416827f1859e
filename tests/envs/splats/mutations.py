"""Ways to damage files of splats: bytes of any format, and the headers, streams and JSON of
each."""

import gzip
import io
import json
import re
import struct
import zipfile
import zlib
from typing import Any

import numpy as np
import zstandard

from tests.envs.splats import samples

WORDS = (
    0,
    1,
    2,
    3,
    4,
    5,
    6,
    7,
    8,
    9,
    16,
    127,
    128,
    255,
    256,
    257,
    65535,
    65536,
    2**24,
    2**31 - 1,
    2**31,
    2**32 - 1,
    2**40,
    2**63,
    2**64 - 1,
)
FLOATS = (
    0.0,
    -0.0,
    1.0,
    -1.0,
    80.0,
    1e4,
    1e10,
    1e30,
    -1e30,
    3.4e38,
    1e-45,
    float("nan"),
    float("inf"),
    float("-inf"),
)
VALUES = (
    None,
    True,
    False,
    "",
    "x",
    "../meta.json",
    "/etc/passwd",
    "a/b.webp",
    "means_l.webp",
    "meta.json",
    "\0",
    "..",
    "é" * 300,
    [],
    [[]],
    {},
    0,
    1,
    2,
    3,
    -1,
    255,
    65536,
    2**31,
    2**63,
    10**400,
    1e308,
    float("nan"),
    float("inf"),
    float("-inf"),
    0.5,
    [1],
    [None] * 256,
    [0] * 256,
    [1e30] * 256,
    [float("nan")] * 3,
)


def pick(rng: np.random.Generator, options: Any) -> Any:
    """One of them."""
    return options[int(rng.integers(len(options)))]


def damage(
    reader: str, valid: list[tuple[str, bytes]], rng: np.random.Generator
) -> tuple[str, bytes]:
    """A damaged case of a reader's format."""
    ending, data = pick(rng, valid)
    for _ in range(int(rng.integers(1, 4))):
        if rng.random() < 0.4:
            data = flip(data, rng) if ending != ".folder" else data
        elif reader in ("ply", "compressed_ply"):
            data = header_lines(data, rng)
        elif reader == "spz":
            data = packed(data, rng)
        elif reader == "sog":
            data = archive(data, rng)
        else:
            data = numbers(data, rng)
    if rng.random() < 0.05:
        ending = (
            pick(rng, (".ply", ".spz", ".splat", ".sog", "")) if ending != ".folder" else ending
        )
    return ending, data


def flip(data: bytes, rng: np.random.Generator) -> bytes:
    """Bits flipped, bytes set, the file cut, pieces copied, moved, removed or doubled, numbers
    written over."""
    out = bytearray(data)
    if not out:
        return bytes(rng.integers(0, 256, int(rng.integers(0, 40)), dtype=np.uint8))
    for _ in range(int(rng.integers(1, 6))):
        at, length = int(rng.integers(len(out))), int(rng.integers(1, 40))
        way = int(rng.integers(8))
        if way == 0:
            out[at] ^= 1 << int(rng.integers(8))
        elif way == 1:
            out[at] = pick(rng, (0, 1, 127, 128, 254, 255))
        elif way == 2 and rng.random() < 0.3:
            del out[at:]
        elif way == 3:
            to = int(rng.integers(len(out)))
            out[to : to + length] = out[at : at + length]
        elif way == 4:
            del out[at : at + length]
        elif way == 5:
            out[at:at] = out[at : at + length]
        elif way == 6:
            word = pick(rng, WORDS)
            out[at : at + 4] = struct.pack("<I", word & 0xFFFFFFFF)
        elif way == 7:
            out[at : at + 4] = struct.pack("<f", pick(rng, FLOATS))
        if not out:
            break
    return bytes(out)


def numbers(data: bytes, rng: np.random.Generator) -> bytes:
    """Aligned floats and words written over."""
    out = bytearray(data)
    for _ in range(int(rng.integers(1, 5))):
        if len(out) >= 4:
            at = 4 * int(rng.integers(len(out) // 4))
            out[at : at + 4] = (
                struct.pack("<f", pick(rng, FLOATS))
                if rng.random() < 0.7
                else struct.pack("<I", pick(rng, WORDS) & 0xFFFFFFFF)
            )
    return bytes(out)


def header_lines(data: bytes, rng: np.random.Generator) -> bytes:
    """A PLY's header with words replaced and lines dropped, doubled or moved; or numbers of its
    data."""
    end = data.find(b"end_header\n")
    if end < 0 or rng.random() < 0.3:
        return data[: max(end, 0)] + numbers(data[max(end, 0) :], rng)
    lines, body = data[:end].split(b"\n"), data[end:]
    for _ in range(int(rng.integers(1, 3))):
        at = int(rng.integers(len(lines)))
        way = int(rng.integers(7))
        if way == 0:
            lines[at] = re.sub(rb"\d+", str(pick(rng, WORDS)).encode(), lines[at])
        elif way == 1:
            kind = pick(
                rng,
                (
                    b"char",
                    b"uchar",
                    b"short",
                    b"uint",
                    b"float",
                    b"double",
                    b"list uchar int",
                    b"half",
                ),
            )
            lines[at] = re.sub(rb"(?<=property )\w+", kind, lines[at])
        elif way == 2:
            del lines[at]
        elif way == 3:
            lines.insert(at, pick(rng, lines))
        elif way == 4:
            lines[at], lines[0] = lines[0], lines[at]
        elif way == 5:
            lines.insert(
                at,
                pick(
                    rng,
                    (
                        b"element chunk 1",
                        b"element sh 5",
                        b"element vertex 5",
                        b"property uchar f_rest_0",
                        b"comment " + bytes(300),
                    ),
                ),
            )
        else:
            lines[at] = flip(lines[at], rng)
        if not lines:
            break
    return b"\n".join(lines) + body


def packed(data: bytes, rng: np.random.Generator) -> bytes:
    """An SPZ unpacked, damaged within and packed again; version 4 stream by stream."""
    if data[:4] == b"NGSP":
        return _streams(data, rng)
    try:
        unpacker = zlib.decompressobj(31)
        inner = unpacker.decompress(data, 1 << 20)
    except zlib.error:
        return flip(data, rng)
    way = int(rng.integers(6))
    if way <= 2:
        inner = _header(inner, rng)
    elif way == 3:
        inner = inner[:16] + numbers(inner[16:], rng)
    elif way == 4:
        inner = flip(inner, rng)
    else:
        inner = inner[:16] + rng.integers(0, 256, max(0, len(inner) - 16), dtype=np.uint8).tobytes()
    out = gzip.compress(inner, 1, mtime=0)
    if rng.random() < 0.1:
        out += pick(
            rng, (out, gzip.compress(b"more", 1, mtime=0), b"\0" * 20, samples.bomb(8 << 20))
        )
    return out


def _header(inner: bytes, rng: np.random.Generator) -> bytes:
    out = bytearray(inner)
    if len(out) < 16:
        return bytes(out)
    field = int(rng.integers(6))
    if field < 2:
        near = struct.unpack_from("<I", out, 8)[0] + int(rng.integers(-2, 3))
        out[8:12] = struct.pack(
            "<I", (near if rng.random() < 0.3 else pick(rng, WORDS)) & 0xFFFFFFFF
        )
    elif field == 2:
        out[4:8] = struct.pack("<I", pick(rng, WORDS) & 0xFFFFFFFF)
    else:
        out[9 + field] = pick(rng, (0, 1, 2, 3, 4, 5, 12, 23, 24, 31, 64, 128, 255))
    return bytes(out)


def _streams(data: bytes, rng: np.random.Generator) -> bytes:
    """Version 4: its header, extensions, table of contents or one stream changed."""
    if len(data) < 32:
        return flip(data, rng)
    count, toc = data[15], struct.unpack_from("<I", data, 16)[0]
    way = int(rng.integers(6))
    if way == 0:
        return _header(data, rng)
    if way == 1:
        return (
            data[:15]
            + bytes([pick(rng, (0, 1, 4, 5, 6, 7, 255))])
            + struct.pack("<I", pick(rng, WORDS) & 0xFFFFFFFF)
            + data[20:]
        )
    if toc + 16 * count > len(data):
        return flip(data, rng)
    sizes = list(struct.unpack_from(f"<{2 * count}Q", data, toc))
    if way == 2 and sizes:
        sizes[int(rng.integers(len(sizes)))] = pick(rng, WORDS)
        return data[:toc] + struct.pack(f"<{2 * count}Q", *sizes) + data[toc + 16 * count :]
    if way == 3:
        record = struct.pack(
            "<III",
            pick(rng, (0xADBE0003, 0xADBE0002, 7)),
            pick(rng, (0, 4, 5, 2**32 - 1)),
            pick(rng, (0, 1, 4, 7, 8, 9, 99)),
        )
        return (
            data[:14]
            + b"\x02"
            + data[15:16]
            + struct.pack("<I", 32 + 12)
            + data[20:32]
            + record
            + data[32:]
        )
    at, streams = toc + 16 * count, []
    for size in sizes[::2]:
        streams.append(data[at : at + size])
        at += size
    if not streams:
        return data
    which = int(rng.integers(len(streams)))
    try:
        raw = zstandard.ZstdDecompressor().stream_reader(streams[which]).read(1 << 16)
    except zstandard.ZstdError:
        return flip(data, rng)
    raw = pick(
        rng,
        (raw + b"more", raw[:-1], numbers(raw, rng), bytes(len(raw)), bytes(1 << 22), raw[:1], b""),
    )
    level = pick(rng, (1, 3, 19))
    streams[which] = (
        zstandard.ZstdCompressor(level=level).compress(raw)
        if rng.random() < 0.8
        else flip(streams[which], rng)
    )
    sizes[2 * which] = len(streams[which])
    if rng.random() < 0.3:
        sizes[2 * which + 1] = len(raw)
    return data[:toc] + struct.pack(f"<{2 * count}Q", *sizes) + b"".join(streams)


def archive(data: bytes, rng: np.random.Generator) -> bytes:
    """A SOG unzipped, its meta.json or an image changed, and zipped again."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as opened:
            files = {
                name: opened.read(name)
                for name in opened.namelist()
                if opened.getinfo(name).file_size < 1 << 20
            }
    except Exception:  # damaged before: any error of zipfile's will do
        return flip(data, rng)
    if not files:
        return data
    name = "meta.json" if rng.random() < 0.5 and "meta.json" in files else pick(rng, list(files))
    way = int(rng.integers(8))
    if name == "meta.json" and way < 6:
        files[name] = _json(files[name], rng)
    elif way < 4:
        files[name] = flip(files[name], rng)
    elif way == 4:
        size = pick(rng, ((1, 1), (1, 6), (3, 7), (64, 64), (300, 300)))
        files[name] = samples.webp(rng.integers(0, 256, (*size, pick(rng, (3, 4))), dtype=np.uint8))
    elif way == 5:
        files[name] = files[pick(rng, list(files))]
    elif way == 6:
        del files[name]
    else:
        files[pick(rng, ("../out.webp", "/tmp/out.webp", "a/meta.json", "meta.json", "extra"))] = (
            files[name]
        )
    return samples.zipped(
        files,
        pick(
            rng, (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED, zipfile.ZIP_BZIP2)
        ),
    )


def _json(data: bytes, rng: np.random.Generator) -> bytes:
    """A JSON with one value replaced, removed or added, or its text damaged."""
    way = int(rng.integers(10))
    if way == 0:
        return flip(data, rng)
    if way == 1:
        return pick(
            rng,
            (
                b"[" * 100_000,
                b'{"version":2',
                b"null",
                b"\xff\xfe{}",
                b'{"count":' + b"9" * 5000 + b"}",
                b"{}",
                b"",
            ),
        )
    try:
        root = json.loads(data)
    except (ValueError, RecursionError):
        return data
    spots: list[tuple[Any, Any]] = []

    def walk(node: Any) -> None:
        for key in (
            node
            if isinstance(node, dict)
            else range(min(len(node), 3))
            if isinstance(node, list)
            else ()
        ):
            spots.append((node, key))
            walk(node[key])

    walk(root)
    if not spots:
        return data
    node, key = pick(rng, spots)
    value = node[key]
    if way == 2:
        del node[key]
    elif way == 3 and isinstance(value, int):
        node[key] = value + int(rng.integers(-3, 4))
    elif way == 4 and isinstance(value, list):
        node[key] = pick(rng, (value[:-1], value * 2, value[::-1], [*value, *value[:1]]))
    else:
        node[key] = pick(rng, VALUES)
    return json.dumps(root).encode()
