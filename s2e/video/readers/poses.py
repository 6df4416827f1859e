"""Poses in text files: TUM, KITTI and CSV with a header.

    TUM    time tx ty tz qx qy qz qw               a line a pose, # comments
    KITTI  r11 r12 r13 tx r21 ... tz               a line a frame, no times
    CSV    time,x,y,yaw or time,x,y,z,qx,qy,qz,qw  columns by their names, others passed over; also
           latitude,longitude,heading

Sources: cvg.cit.tum.de/data/datasets/rgbd-dataset/file_formats,
cvlibs.net/datasets/kitti/eval_odometry.php.
"""

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from s2e.core.errors import UserError
from s2e.video.files import text_of
from s2e.video.ground import AXES, Axes, agreement, rotations, to_ground
from s2e.video.readers.columns import Column, PoseColumns, choose, poses, role
from s2e.video.resample import by_time

SUFFIXES = (".txt", ".csv", ".tum", ".kitti")
_MAX_TEXT = 128 << 20
_MAX_VALUE = 1e9  # metres and such; times may be larger
_SECONDS = {
    "": 1.0,
    "s": 1.0,
    "sec": 1.0,
    "secs": 1.0,
    "seconds": 1.0,
    "ms": 1e-3,
    "msec": 1e-3,
    "us": 1e-6,
    "usec": 1e-6,
    "ns": 1e-9,
    "nsec": 1e-9,
}
_TIME = re.compile(
    r"(?:.*[^a-z])?(t|time|timestamp|timestamps|stamp|secs?|seconds)(?:[ _\[(.]+("
    + "|".join(k for k in _SECONDS if k)
    + r"))?[\])]?"
)


@dataclass(frozen=True)
class Poses:
    """What a file holds, times increasing.

    Attributes:
        kind: "tum", "kitti" or "csv". times: (P,) float64 seconds, None where there are none.
            position: (P, 2) metres.
        yaw: (P,) radians. note: what a user should know.
    """

    kind: str
    times: np.ndarray | None
    position: np.ndarray
    yaw: np.ndarray
    note: str


def sniff(file: Path) -> str:
    """One of tum, kitti, csv by the first lines of a file; "" for anything else. Never raises."""
    try:
        with file.open("rb") as opened:
            head = opened.read(1 << 16)
        return _kind(head.decode("utf-8-sig", errors="replace").splitlines()[:200])
    except (OSError, ValueError, UserError):
        return ""


def _kind(lines: list[str]) -> str:
    header, cells = _header(lines)
    if cells:
        kinds = {
            k
            for k in ("x", "y", "yaw", "qw", "lat", "lon")
            if any(c.name and role(c.name) == k for c in cells)
        }
        return (
            "csv"
            if ({"x", "y"} <= kinds or {"lat", "lon"} <= kinds) and kinds & {"yaw", "qw"}
            else ""
        )
    first = next(
        (line for line in lines[header:] if line.strip() and not line.lstrip().startswith("#")), ""
    )
    values = re.split(r"[\s,]+", first.strip())
    try:
        [float(v) for v in values]
    except ValueError:
        return ""
    return {8: "tum", 12: "kitti"}.get(len(values), "")


def _header(lines: list[str]) -> tuple[int, list[Column]]:
    """How many lines come before the data, and the columns that a CSV's header names; none for
    another file.
    """
    for n, line in enumerate(lines):
        if not line.strip():
            continue
        text = line.strip().lstrip("#%").strip()
        mark = _delimiter(text)
        cells = [c.strip().strip('"') for c in (text.split() if mark == " " else text.split(mark))]
        below = next(
            (b for b in lines[n + 1 :] if b.strip() and not b.lstrip().startswith("#")), mark
        )
        words = mark == " " and line.lstrip().startswith("#")  # a sentence, or the columns of TUM
        if (
            len(cells) >= 3
            and not words
            and mark in below.strip()
            and all(c and not _is_number(c) for c in cells)
        ):
            return n + 1, [Column(c, i, c) for i, c in enumerate(cells)]
        if not line.lstrip().startswith("#"):
            return 0, []
    return 0, []


def _delimiter(text: str) -> str:
    return next((m for m in (",", ";", "\t", " ") if m in text), ",")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def read_poses(file: Path, axes: Axes | None, scale: float) -> Poses:
    """Reads a file of poses.

    Args:
        file: of any kind above. axes: None takes body for TUM and CSV, optical for KITTI, and
            refuses where the motion tells that it is otherwise. scale: metres per unit.

    Raises:
        UserError: not such a file; a bad line, with its number; axes that cannot be.
    """
    text = text_of(file, _MAX_TEXT, "poses", "give the file of poses with --poses")
    lines = text.splitlines()
    skip, columns = _header(lines[:200])
    if columns:
        return _csv(file, lines, skip, columns, axes, scale)
    rows = [
        (n + 1, re.split(r"[\s,]+", line.strip().rstrip(",")))
        for n, line in enumerate(lines)
        if line.strip() and not line.lstrip().startswith("#")
    ]
    if not rows:
        raise UserError(f"{file}: no pose in it")
    width = len(rows[0][1])
    if width not in (8, 12):
        raise UserError(
            f"{file}: line {rows[0][0]} has {width} columns; expected 8 (TUM), 12 (KITTI), or a "
            "CSV whose header names x, y, yaw"
        )
    values, at = _table(file, rows, width, times=1 if width == 8 else 0)
    if width == 8:
        return _tum(file, values, at, axes, scale)
    matrix = values.reshape(-1, 3, 4)
    rotation = matrix[:, :, :3]
    off = np.abs(rotation @ rotation.transpose(0, 2, 1) - np.eye(3)).max((1, 2)) > 0.1
    off |= np.linalg.det(rotation) < 0
    if off.any():
        raise UserError(
            f"{file}: line {at[int(np.argmax(off))]} holds no rotation; expected 12 numbers, the "
            "rows of [R | t], camera to world"
        )
    return _on_ground("kitti", file, None, matrix[:, :, 3] * scale, rotation, axes, "")


def _table(
    file: Path, rows: list[tuple[int, list[str]]], width: int, times: int
) -> tuple[np.ndarray, np.ndarray]:
    """(P, width) numbers and (P,) line numbers; the first `times` columns may be large."""
    values = np.zeros((len(rows), width))
    for k, (line, cells) in enumerate(rows):
        if len(cells) != width:
            raise UserError(
                f"{file}: line {line} has {len(cells)} columns, those before it {width}; mend or "
                "remove it"
            )
        try:
            values[k] = [float(c) for c in cells]
        except (ValueError, OverflowError):
            raise UserError(
                f"{file}: line {line}: {next(c for c in cells if not _is_number(c))[:40]!r} is not "
                "a number"
            ) from None
    limit = np.full(width, _MAX_VALUE)
    limit[:times] = 1e20
    bad = ~(np.abs(values) <= limit).all(1)
    if bad.any():
        raise UserError(
            f"{file}: line {rows[int(np.argmax(bad))][0]} holds a number that is not finite or "
            f"beyond {_MAX_VALUE:g}; remove it"
        )
    return values, np.array([line for line, _ in rows])


def _tum(file: Path, values: np.ndarray, at: np.ndarray, axes: Axes | None, scale: float) -> Poses:
    seconds, note = as_seconds(values[:, 0])
    order, more = by_time(seconds, "poses")
    values, at = values[order], at[order]
    rotation = rotations(_unit(file, values[:, 4:], at))
    return _on_ground(
        "tum", file, seconds[order], values[:, 1:4] * scale, rotation, axes, note + more
    )


def _unit(file: Path, quaternion: np.ndarray, at: np.ndarray) -> np.ndarray:
    norm = np.linalg.norm(quaternion, axis=1)
    bad = ~(np.abs(norm - 1) < 0.1)
    if bad.any():
        raise UserError(
            f"{file}: line {at[int(np.argmax(bad))]}: qx qy qz qw is no unit quaternion (length "
            f"{norm[np.argmax(bad)]:.3g})"
        )
    return quaternion / norm[:, None]


def _csv(
    file: Path, lines: list[str], skip: int, columns: list[Column], axes: Axes | None, scale: float
) -> Poses:
    mark = _delimiter(lines[skip - 1].strip().lstrip("#%").strip())
    remedy = "rename its columns to time, x, y, yaw, or to time, x, y, z, qx, qy, qz, qw"
    which = choose(columns, "", file, remedy)
    clock = [(c.index, m[2] or "") for c in columns if (m := _TIME.fullmatch(c.name.lower()))][:1]
    need = [i for i, _ in clock] + [c.index for c in which.columns]
    rows = list(_csv_rows(file, lines, skip, mark, need))
    if not rows:
        raise UserError(f"{file}: no pose in it")
    values, at = _table(file, rows, len(need), times=len(clock))
    seconds, note = None, ""
    if clock:
        seconds, note = (
            (values[:, 0] * _SECONDS[clock[0][1]], "") if clock[0][1] else as_seconds(values[:, 0])
        )
        order, more = by_time(seconds, "poses")
        seconds = seconds[order]
        values = values[order, 1:]
        at = at[order]
        note += more
    if len(which.columns) < 6:
        position, yaw, more = _flat(
            file, values, np.arange(len(values)) / 10 if seconds is None else seconds, which, scale
        )
        return Poses("csv", seconds, position, yaw, note + more)
    position = np.zeros((len(values), 3))
    position[:, : len(which.columns) - 4] = values[:, :-4] * scale
    return _on_ground(
        "csv", file, seconds, position, rotations(_unit(file, values[:, -4:], at)), axes, note
    )


def _flat(
    file: Path, values: np.ndarray, times: np.ndarray, which: PoseColumns, scale: float
) -> tuple[np.ndarray, np.ndarray, str]:
    try:
        position, yaw, note = poses(values, times, which, scale)
    except UserError as error:
        text = str(error).split("; add @")[0]
        raise UserError(
            f"{file}: {text}; rename the column (yaw_deg is in degrees, counter-clockwise) or "
            "convert it"
        ) from None
    return position, yaw, "sideways more than ahead; " if "sideways" in note else ""


def _csv_rows(
    file: Path, lines: list[str], skip: int, mark: str, need: list[int]
) -> Iterator[tuple[int, list[str]]]:
    try:
        reader = csv.reader(
            (line.strip(" ") for line in lines[skip:]), delimiter=mark, skipinitialspace=True
        )
        for cells in reader:
            if not any(c.strip() for c in cells) or cells[0].lstrip().startswith("#"):
                continue
            if len(cells) <= max(need):
                raise UserError(
                    f"{file}: line {skip + reader.line_num} has {len(cells)} columns; "
                    f"{max(need) + 1} needed"
                )
            yield skip + reader.line_num, [cells[i].strip() for i in need]
    except csv.Error as error:
        raise UserError(f"{file}: not readable CSV ({error})") from None


def as_seconds(times: np.ndarray) -> tuple[np.ndarray, str]:
    """Times in the unit that their size tells: clocks count from 1970."""
    size = float(np.median(np.abs(times)))
    for low, unit, factor in (
        (1e17, "nanoseconds", 1e-9),
        (1e14, "microseconds", 1e-6),
        (1e11, "milliseconds", 1e-3),
    ):
        if size >= low:
            return times * factor, f"times taken for {unit}; "
    return times, ""


def _on_ground(
    kind: str,
    file: Path,
    times: np.ndarray | None,
    position: np.ndarray,
    rotation: np.ndarray,
    axes: Axes | None,
    note: str,
) -> Poses:
    used: Axes = axes or ("optical" if kind == "kitti" else "body")
    flat, _, yaw = to_ground(position, rotation, used)
    fit = {a: _plausible(position, rotation, a) for a in AXES}
    if fit[used] < 0.2:
        better = sorted((a for a in AXES if fit[a] > 0.6), key=lambda a: -fit[a])
        if axes is None:
            hint = f"{better[0]} fits" if better else "none fits well"
            raise UserError(
                f"{file}: read with `{used}` axes the motion is mostly sideways or vertical; "
                f"{hint}: "
                "give --poses "
                f"{file.name}:{better[0] if better else '|'.join(a for a in AXES if a != used)}"
            )
        note += f"with `{used}` axes the motion is mostly sideways or vertical; "
    if np.isnan(yaw).any():
        row = int(np.argmax(np.isnan(yaw)))
        raise UserError(
            f"{file}: pose {row} looks straight up or down with `{used}` axes; give others: "
            f"--poses {file.name}:{'|'.join(AXES)}"
        )
    return Poses(kind, times, flat, yaw, f"{note}`{used}` axes; ")


def _plausible(position: np.ndarray, rotation: np.ndarray, axes: Axes) -> float:
    """`agreement` of motion and heading, -1 where the walk is steeper than it is long; NaN where
    too short to tell.
    """
    flat, height, yaw = to_ground(position, rotation, axes)
    wide = float(np.linalg.norm(np.ptp(flat, axis=0)))
    if float(np.ptp(height)) > max(wide, 2.0) or np.isnan(yaw).any():
        return -1.0
    return agreement(flat, yaw)
