"""Gaussian splats on disk: the PLY that 3DGS trainers write (Kerbl et al. 2023), read without trusting a word of it."""

import os
from pathlib import Path

import numpy as np

from s2e.envs.scene import Splats
from s2e.errors import UserError

_TYPES = {
    "char": "i1", "int8": "i1", "uchar": "u1", "uint8": "u1", "short": "<i2", "int16": "<i2", "ushort": "<u2",
    "uint16": "<u2", "int": "<i4", "int32": "<i4", "uint": "<u4", "uint32": "<u4", "float": "<f4", "float32": "<f4",
    "double": "<f8", "float64": "<f8",
}  # fmt: skip
_MAX_HEADER = 1 << 16
_REST_COUNTS = {0: 1, 9: 4, 24: 9, 45: 16}  # f_rest properties -> coefficients per colour channel
_CORE = ("x", "y", "z", "f_dc_0", "f_dc_1", "f_dc_2", "opacity", "scale_0", "scale_1", "scale_2",
         "rot_0", "rot_1", "rot_2", "rot_3")  # fmt: skip


def _header_lines(path: Path, head: bytes) -> tuple[list[str], int]:
    """The header's lines and the byte at which the data begins."""
    if not head.startswith(b"ply"):
        raise UserError(f"{path}: not a PLY (byte 0 is not 'ply'); give a 3DGS point_cloud.ply")
    mark = head.find(b"\nend_header")
    newline = head.find(b"\n", mark + 1) if mark >= 0 else -1
    if newline < 0:
        raise UserError(
            f"{path}: the header has no end_header line in its first {len(head)} bytes; the file is cut or "
            "not a PLY: export or copy it again"
        )
    return head[: newline + 1].decode("ascii", errors="replace").splitlines(), newline + 1


def _is_new_field(words: list[str], fields: dict[str, str]) -> bool:
    return len(words) == 3 and words[1] in _TYPES and words[2] not in fields


def _vertex_dtype(path: Path, lines: list[str]) -> tuple[np.dtype, int]:
    """The layout of one vertex and how many the header claims."""
    fields: dict[str, str] = {}
    count, formats, element = -1, "", ""
    for number, line in enumerate(lines, 1):
        words = line.split()
        where = f"{path}: header line {number}"
        if not words or words[0] in ("ply", "comment", "obj_info", "end_header"):
            continue
        if words[0] == "format":
            formats = words[1] if len(words) > 1 else ""
        elif words[0] == "element" and len(words) == 3:
            if count < 0 and words[1] != "vertex":
                raise UserError(f"{where}: element {words[1]!r} before vertex; export the splats as the first element")
            if words[1] == "vertex":
                if count >= 0 or not (words[2].isascii() and words[2].isdigit() and len(words[2]) < 19):
                    raise UserError(f"{where}: bad vertex count {words[2][:40]!r}; the header is damaged, export again")
                count = int(words[2])
            element = words[1]
        elif words[0] == "property" and element != "vertex" and count >= 0:
            continue
        elif words[0] == "property" and len(words) > 1 and words[1] == "list":
            raise UserError(f"{where}: list property in vertex; splats have none, export as a 3DGS PLY")
        elif words[0] == "property" and _is_new_field(words, fields) and count >= 0:
            fields[words[2]] = _TYPES[words[1]]
        else:
            raise UserError(f"{where}: cannot read {line[:60]!r}; the header is damaged, export again")
    if formats != "binary_little_endian":
        raise UserError(f"{path}: format {formats or 'missing'!r}; convert it to binary_little_endian")
    if count < 0:
        raise UserError(f"{path}: the header has no vertex element; give a 3DGS point_cloud.ply")
    missing = [name for name in _CORE if name not in fields]
    if missing:
        raise UserError(f"{path}: vertex has no property {', '.join(missing)}; give a 3DGS PLY, not a mesh or points")
    return np.dtype(list(fields.items())), count


def _rest_names(path: Path, dtype: np.dtype) -> list[str]:
    found = sum(name.startswith("f_rest_") for name in dtype.names or ())
    names = [f"f_rest_{i}" for i in range(found)]
    if found not in _REST_COUNTS or any(name not in (dtype.names or ()) for name in names):
        raise UserError(f"{path}: {found} f_rest properties; 0, 9, 24 or 45 numbered from 0 make SH degree 0 to 3")
    return names


def read_ply(path: str | os.PathLike) -> Splats:
    """Reads a standard 3DGS PLY (binary little endian) and applies its activations.

    Opacities get a sigmoid, scales an exponential, quaternions (w, x, y, z) unit length; `f_rest` is channel-major.
    Properties may come in any order, as floats or doubles; ones that are not known are ignored.

    Raises:
        UserError: the file is missing, not a PLY, cut, claims more than it holds, lacks a property, holds NaN or
            infinite values or no Gaussian at all; the message names file, field or byte, and the remedy.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            lines, start = _header_lines(path, file.read(_MAX_HEADER))
            dtype, count = _vertex_dtype(path, lines)
            rest = _rest_names(path, dtype)
            if count == 0:
                raise UserError(f"{path}: holds zero Gaussians; train or export the scene again")
            size = os.fstat(file.fileno()).st_size
            wanted = start + count * dtype.itemsize
            if size < wanted:  # before anything is allocated: the header's word is not to be trusted
                raise UserError(
                    f"{path}: cut at byte {size}, expected {wanted} bytes for {count} Gaussians of {dtype.itemsize} "
                    "bytes; copy or export it again"
                )
            file.seek(start)
            table = np.frombuffer(file.read(count * dtype.itemsize), dtype=dtype)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); check the path") from None
    return _activate(path, table, rest)


def _activate(path: Path, table: np.ndarray, rest: list[str]) -> Splats:
    def columns(*names: str) -> np.ndarray:
        return np.stack([table[name].astype(np.float64) for name in names], 1)

    quats = columns("rot_0", "rot_1", "rot_2", "rot_3")
    sh = columns("f_dc_0", "f_dc_1", "f_dc_2")[:, None, :]
    if rest:
        higher = columns(*rest).reshape(len(table), 3, len(rest) // 3).transpose(0, 2, 1)
        sh = np.concatenate([sh, higher], 1)
    opacity = table["opacity"].astype(np.float64)
    means, log_scales = columns("x", "y", "z"), columns("scale_0", "scale_1", "scale_2")
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        groups = {
            "x, y, z": means.astype(np.float32),
            "rot": (quats / np.linalg.norm(quats, axis=1, keepdims=True)).astype(np.float32),
            "scale": np.exp(log_scales).astype(np.float32),
            "opacity": 1.0 / (1.0 + np.exp(-opacity)),
            "f_dc, f_rest": sh.astype(np.float32),
        }
    for name, values in groups.items():
        raw_infinite = np.isinf(opacity) if name == "opacity" else np.isinf(log_scales) if name == "scale" else False
        bad = ~np.isfinite(values) | raw_infinite
        if bad.any():
            rows = np.flatnonzero(bad.reshape(len(bad), -1).any(1))
            raise UserError(
                f"{path}: property {name} is NaN, infinite or out of range in {len(rows)} of {len(table)} Gaussians, "
                f"first in number {rows[0]}; remove them in a splat editor or train again"
            )
    return Splats(
        means=groups["x, y, z"], quats=groups["rot"], scales=groups["scale"],
        opacities=groups["opacity"].astype(np.float32), sh=groups["f_dc, f_rest"],
    )  # fmt: skip


def write_ply(path: str | os.PathLike, splats: Splats) -> None:
    """Writes splats as a 3DGS PLY, without normals; the inverse of `read_ply`.

    The file appears whole or not at all. Opacities of exactly 0 or 1 and scales below 1e-20 m, which the format
    cannot hold, are moved by less than a float32 step of anything visible.

    Raises:
        UserError: the file cannot be written.
    """
    path = Path(path)
    count, coefficients = splats.sh.shape[:2]
    names = [*_CORE[:6], *(f"f_rest_{i}" for i in range(3 * (coefficients - 1))), *_CORE[6:]]
    opacity = np.clip(splats.opacities.astype(np.float64), 1e-9, 1 - 1e-9)
    values = np.concatenate(
        [
            splats.means,
            splats.sh[:, 0],
            splats.sh[:, 1:].transpose(0, 2, 1).reshape(count, -1),
            np.log(opacity / (1 - opacity))[:, None],
            np.log(np.maximum(splats.scales.astype(np.float64), 1e-20)),
            splats.quats,
        ],
        axis=1,
    ).astype("<f4")
    header = ["ply", "format binary_little_endian 1.0", f"element vertex {count}"]
    header += [f"property float {name}" for name in names] + ["end_header\n"]
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write("\n".join(header).encode("ascii"))
            file.write(values.tobytes())
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise UserError(f"{path}: cannot be written ({error.strerror}); check the folder and the free space") from None
