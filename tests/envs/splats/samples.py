"""Small valid files of every format, encoded Gaussian by Gaussian from the formats' descriptions:
the slow reference."""

import gzip
import io
import json
import math
import struct
import zipfile
import zlib

import numpy as np
import zstandard
from PIL import Image

from s2e.envs.geometry.scene import Splats

SH_C0 = 0.28209479177387814


def make_splats(
    seed: int, count: int, coefficients: int, reach_m: float = 3.0, antialiased: bool = False
) -> Splats:
    """Splats within what every format can hold."""
    rng = np.random.default_rng(seed)
    quats = rng.normal(size=(count, 4))
    return Splats(
        means=rng.uniform(-reach_m, reach_m, (count, 3)).astype(np.float32),
        quats=(quats / np.linalg.norm(quats, axis=1, keepdims=True)).astype(np.float32),
        scales=np.exp(rng.uniform(-8, 0, (count, 3))).astype(np.float32),
        opacities=rng.uniform(0, 1, count).astype(np.float32),
        sh=rng.uniform(-0.9, 0.9, (count, coefficients, 3)).astype(np.float32),
        antialiased=antialiased,
    )


def smallest_three(quat: list[float], bits: int, signed: bool) -> tuple[int, list[int]]:
    """Index of the largest component and the other three, quantised between -1 / sqrt 2 and 1 /
    sqrt 2."""
    largest = max(range(4), key=lambda i: abs(quat[i]))
    sign = -1.0 if quat[largest] < 0 else 1.0
    others = [sign * quat[i] * math.sqrt(2) for i in range(4) if i != largest]
    if signed:  # a sign bit and a magnitude
        top = 2 ** (bits - 1) - 1
        return largest, [
            min(top, round(abs(v) * top)) | ((top + 1) if v < 0 else 0) for v in others
        ]
    return largest, [min(2**bits - 1, max(0, round((v / 2 + 0.5) * (2**bits - 1)))) for v in others]


def plain_ply(splats: Splats, comment: str = "") -> bytes:
    """3DGS PLY, with the normals that trainers write."""
    count = 3 * (splats.sh.shape[1] - 1)
    names = [
        "x",
        "y",
        "z",
        "nx",
        "ny",
        "nz",
        *(f"f_dc_{i}" for i in range(3)),
        *(f"f_rest_{i}" for i in range(count)),
        "opacity",
    ]
    names += [*(f"scale_{i}" for i in range(3)), *(f"rot_{i}" for i in range(4))]
    header = [
        "ply",
        "format binary_little_endian 1.0",
        *([f"comment {comment}"] if comment else []),
    ]
    header += [
        f"element vertex {len(splats.means)}",
        *(f"property float {name}" for name in names),
        "end_header\n",
    ]
    rows = []
    for mean, scale, sh, opacity, quat in zip(
        splats.means, splats.scales, splats.sh, splats.opacities, splats.quats
    ):
        share = min(max(float(opacity), 1e-7), 1 - 1e-7)
        row = [
            *mean,
            0,
            0,
            0,
            *sh[0],
            *sh[1:].T.ravel(),
            math.log(share / (1 - share)),
            *(math.log(v) for v in scale),
            *quat,
        ]
        rows.append(struct.pack(f"<{len(row)}f", *row))
    return "\n".join(header).encode() + b"".join(rows)


def compressed_ply(splats: Splats, comment: str = "", colours: bool = True) -> bytes:
    """PlayCanvas compressed PLY; without `colours`, the older one whose colours lie between 0 and
    1."""
    chunks, vertices, rest = [], [], []
    logs, rgb = np.log(splats.scales), np.clip(splats.sh[:, 0] * SH_C0 + 0.5, 0, 1)
    for start in range(0, len(splats.means), 256):
        rows = slice(start, start + 256)
        m, s, c = splats.means[rows], logs[rows], rgb[rows]
        low = [*m.min(0), *m.max(0), *s.min(0), *s.max(0)] + (
            [*c.min(0), *c.max(0)] if colours else []
        )
        chunks.append(struct.pack(f"<{len(low)}f", *low))
        for i in range(len(m)):
            word = [0, 0, 0, 0]
            for slot, values in ((0, m), (2, s)):
                for axis, (shift, bits) in enumerate(((21, 11), (11, 10), (0, 11))):
                    least, span = values[:, axis].min(), max(np.ptp(values[:, axis]), 1e-9)
                    word[slot] |= (
                        round(float((values[i, axis] - least) / span) * (2**bits - 1)) << shift
                    )
            largest, others = smallest_three([float(v) for v in splats.quats[rows][i]], 10, False)
            word[1] = largest << 30 | others[0] << 20 | others[1] << 10 | others[2]
            for channel in range(3):
                least, span = (
                    (c[:, channel].min(), max(np.ptp(c[:, channel]), 1e-9))
                    if colours
                    else (0.0, 1.0)
                )
                word[3] |= round(float((c[i, channel] - least) / span) * 255) << (24 - 8 * channel)
            word[3] |= round(float(splats.opacities[rows][i]) * 255)
            vertices.append(struct.pack("<4I", *word))
            rest.append(
                bytes(
                    min(255, max(0, math.floor((float(v) / 8 + 0.5) * 256)))
                    for v in splats.sh[rows][i, 1:].T.ravel()
                )
            )
    kinds = ["x", "y", "z", "scale_x", "scale_y", "scale_z", *("rgb" if colours else "")]
    names = [
        f"{end}_{k}"
        for group in (kinds[:3], kinds[3:6], kinds[6:])
        for end in ("min", "max")
        for k in group
    ]
    header = [
        "ply",
        "format binary_little_endian 1.0",
        *([f"comment {comment}"] if comment else []),
        f"element chunk {len(chunks)}",
    ]
    header += [f"property float {name}" for name in names] + [f"element vertex {len(vertices)}"]
    header += [
        f"property uint packed_{name}" for name in ("position", "rotation", "scale", "color")
    ]
    count = 3 * (splats.sh.shape[1] - 1)
    if count:
        header += [
            f"element sh {len(vertices)}",
            *(f"property uchar f_rest_{i}" for i in range(count)),
        ]
    return "\n".join([*header, "end_header\n"]).encode() + b"".join([*chunks, *vertices, *rest])


def dotsplat(splats: Splats) -> bytes:
    """antimatter15's .splat."""
    rows = []
    for mean, scale, sh, opacity, quat in zip(
        splats.means, splats.scales, splats.sh, splats.opacities, splats.quats
    ):
        colour = [min(255, max(0, round((float(v) * SH_C0 + 0.5) * 255))) for v in sh[0]]
        turn = [min(255, max(0, round(float(v) * 128 + 128))) for v in quat]
        rows.append(
            struct.pack("<6f8B", *mean, *scale, *colour, round(float(opacity) * 255), *turn)
        )
    return b"".join(rows)


# What turns (right, down, front) into (right, up, back): y and z change sign, and with them every
# harmonic that is odd in one of them.
FLIPPED = (-1, -1, 1, -1, 1, 1, -1, 1, -1, 1, -1, -1, 1, -1, 1)


def spz_fields(splats: Splats, version: int, bits: int = 12) -> dict[str, bytes]:
    """The attributes of an SPZ, unpacked."""
    out = {
        name: bytearray() for name in ("positions", "alphas", "colors", "scales", "rotations", "sh")
    }

    def byte(value: float) -> int:
        return min(255, max(0, round(value)))

    for mean, scale, sh, opacity, quat in zip(
        splats.means, splats.scales, splats.sh, splats.opacities, splats.quats
    ):
        for value, sign in zip(mean, (1, -1, -1)):
            if version == 1:
                out["positions"] += np.float16(value * sign).tobytes()
            else:
                out["positions"] += round(float(value) * sign * 2**bits).to_bytes(
                    3, "little", signed=True
                )
        out["alphas"].append(byte(float(opacity) * 255))
        out["colors"] += bytes(byte(float(v) * 0.15 * 255 + 127.5) for v in sh[0])
        out["scales"] += bytes(byte((math.log(v) + 10) * 16) for v in scale)
        w, x, y, z = float(quat[0]), float(quat[1]), -float(quat[2]), -float(quat[3])
        if version < 3:
            out["rotations"] += bytes(
                byte((v if w >= 0 else -v) * 127.5 + 127.5) for v in (x, y, z)
            )
        else:
            largest, others = smallest_three([x, y, z, w], 10, True)
            out["rotations"] += struct.pack(
                "<I", largest << 30 | others[0] << 20 | others[1] << 10 | others[2]
            )
        for sign, triple in zip(FLIPPED, sh[1:]):
            out["sh"] += bytes(byte(float(v) * sign * 128 + 128) for v in triple)
    return {name: bytes(data) for name, data in out.items() if data}


def spz_header(splats: Splats, version: int, flags: int = 0, bits: int = 12) -> bytes:
    """The first 16 bytes, unpacked."""
    degree = {1: 0, 4: 1, 9: 2, 16: 3}[splats.sh.shape[1]]
    return struct.pack(
        "<4sIIBBBB",
        b"NGSP",
        version,
        len(splats.means),
        degree,
        bits,
        flags | int(splats.antialiased),
        0,
    )


def spz(
    splats: Splats, version: int, flags: int = 0, bits: int = 12, extensions: bytes = b""
) -> bytes:
    """SPZ of version 1 to 4."""
    fields, header = spz_fields(splats, version, bits), spz_header(splats, version, flags, bits)
    if version < 4:
        return gzip.compress(header + b"".join(fields.values()) + extensions, mtime=0)
    return spz4(header, fields, extensions)


def spz4(
    header: bytes,
    fields: dict[str, bytes],
    extensions: bytes = b"",
    claims: dict[str, int] | None = None,
) -> bytes:
    """The container of version 4; `claims` are lies about unpacked sizes."""
    streams = {name: zstandard.ZstdCompressor().compress(data) for name, data in fields.items()}
    toc = b"".join(
        struct.pack("<QQ", len(data), (claims or {}).get(n, len(fields[n])))
        for n, data in streams.items()
    )
    head = header[:15] + bytes([len(fields)]) + struct.pack("<I", 32 + len(extensions)) + bytes(12)
    return head + extensions + toc + b"".join(streams.values())


def webp(pixels: np.ndarray) -> bytes:
    """(H, W, 3 or 4) uint8 as a lossless WebP."""
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "WEBP", lossless=True, exact=True, method=0)
    return out.getvalue()


def _image(rows: list[list[int]], width: int) -> bytes:
    height = -(-len(rows) // width)
    pixels = np.zeros((height * width, len(rows[0])), np.uint8)
    pixels[: len(rows)] = rows
    if pixels.shape[1] == 4:
        pixels[len(rows) :, 3] = 255
    return webp(pixels.reshape(height, width, -1))


def sog_files(splats: Splats, width: int = 8) -> dict[str, bytes]:
    """SOG version 2, file by file; every Gaussian has its own palette entry."""
    count, coefficients = len(splats.means), splats.sh.shape[1] - 1
    logs = np.sign(splats.means) * np.log1p(np.abs(splats.means.astype(np.float64)))
    low, high = logs.min(0), logs.max(0)
    steps = np.rint((logs - low) / np.maximum(high - low, 1e-9) * 65535).astype(int)
    books = {
        k: np.linspace(v.min(), v.max(), 256)
        for k, v in (("scales", np.log(splats.scales)), ("sh0", splats.sh[:, 0]))
    }
    quats = []
    for quat in splats.quats:
        largest, others = smallest_three([float(v) for v in quat], 8, False)
        quats.append([*others, 252 + largest])

    def nearest(book: np.ndarray, values: np.ndarray) -> list[int]:
        return [int(np.abs(book - v).argmin()) for v in values]

    meta = {
        "version": 2,
        "count": count,
        "antialias": splats.antialiased,
        "means": {
            "mins": low.tolist(),
            "maxs": high.tolist(),
            "files": ["means_l.webp", "means_u.webp"],
        },
        "scales": {"codebook": books["scales"].tolist(), "files": ["scales.webp"]},
        "quats": {"files": ["quats.webp"]},
        "sh0": {"codebook": books["sh0"].tolist(), "files": ["sh0.webp"]},
    }
    files = {
        "means_l.webp": _image([[v & 255 for v in row] for row in steps.tolist()], width),
        "means_u.webp": _image([[v >> 8 for v in row] for row in steps.tolist()], width),
        "scales.webp": _image(
            [nearest(books["scales"], row) for row in np.log(splats.scales)], width
        ),
        "quats.webp": _image(quats, width),
        "sh0.webp": _image(
            [
                [*nearest(books["sh0"], r[0]), round(float(o) * 255)]
                for r, o in zip(splats.sh, splats.opacities)
            ],
            width,
        ),
    }
    if coefficients:
        book = np.linspace(-1, 1, 256)
        palette = np.zeros((-(-count // 64), 64 * coefficients, 3), np.uint8)
        for i, row in enumerate(splats.sh[:, 1:]):
            for c, triple in enumerate(row):
                palette[i // 64, (i % 64) * coefficients + c] = nearest(book, triple)
        bands = {3: 1, 8: 2, 15: 3}[coefficients]
        names = ["shN_centroids.webp", "shN_labels.webp"]
        meta["shN"] = {"count": count, "bands": bands, "codebook": book.tolist(), "files": names}
        files |= {
            names[0]: webp(palette),
            names[1]: _image([[i & 255, i >> 8, 0] for i in range(count)], width),
        }
    return {"meta.json": json.dumps(meta).encode(), **files}


def zipped(files: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    """The files in one zip."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name), data, compress_type=method)
    return out.getvalue()


def bomb(unpacked: int) -> bytes:
    """Zeros, gzipped, without ever holding them."""
    packer, out = zlib.compressobj(9, zlib.DEFLATED, 31), bytearray()
    for _ in range(unpacked >> 20):
        out += packer.compress(bytes(1 << 20))
    return bytes(out + packer.flush())
