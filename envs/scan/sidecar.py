"""What a person corrects about a capture: NAME.correct.json beside the scene's folder, so that a
re-import does not touch it.

    {"metres_per_unit": 0.52, "floor_offset_m": -0.03, "yaw_deg": 15, "no_go": [[[2, 1], [4, 1], [4,
    3]]], "go": [], "notes": "pond"}

All fields may be left out. Polygons are in the scene's metres, as the ticks of `s2e-scene preview`
show them; so scale, floor and yaw are set first and polygons after.
"""

import dataclasses
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.ndimage import distance_transform_edt

from s2e.core.errors import UserError
from s2e.core.files import read_json
from s2e.envs.scan.ground.columns import Columns

MOST_BYTES, MOST_POLYGONS, MOST_POINTS = 1 << 20, 1000, 1000

Polygon = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Correction:
    """A person's corrections.

    Attributes:
        metres_per_unit: replaces every other source of the scale; None leaves it.
        floor_offset_m: the true floor lies this many metres above the one that was found.
        yaw_deg: turns the scene about z, counter-clockwise seen from above.
        no_go: polygons where nobody drives, metres.
        go: polygons that are declared free and seen, metres; no_go wins where both are.
        notes: whatever is worth keeping.
    """

    metres_per_unit: float | None = None
    floor_offset_m: float = 0.0
    yaw_deg: float = 0.0
    no_go: tuple[Polygon, ...] = ()
    go: tuple[Polygon, ...] = ()
    notes: str = ""

    def used(self) -> dict[str, Any]:
        """The fields that change something, as JSON."""
        default = Correction()
        return {k: v for k, v in dataclasses.asdict(self).items() if v != getattr(default, k)}


def sidecar_path(folder: Path) -> Path:
    """Where the corrections of a scene folder are: beside it, not in it."""
    return folder.with_name(folder.name + ".correct.json")


def read_correction(path: Path) -> Correction:
    """Reads a sidecar; none is no correction.

    Raises:
        UserError: not JSON, an unknown field, or a value out of range; the message names file and
            field.
    """
    if not path.exists():
        return Correction()
    data = read_json(path, "mend it or delete it", MOST_BYTES)
    known = [field.name for field in dataclasses.fields(Correction)]
    for name in data:
        if name not in known:
            raise UserError(f"{path}: unknown field {name!r}; the fields are {', '.join(known)}")
    if not isinstance(data.get("notes", ""), str):
        raise UserError(f"{path}: field 'notes' must be text")
    scale = data.get("metres_per_unit")
    return Correction(
        metres_per_unit=None
        if scale is None
        else _number(path, data, "metres_per_unit", 1e-6, 1e6),
        floor_offset_m=_number(path, data, "floor_offset_m", -100.0, 100.0),
        yaw_deg=_number(path, data, "yaw_deg", -360.0, 360.0),
        no_go=_polygons(path, data, "no_go"),
        go=_polygons(path, data, "go"),
        notes=data.get("notes", ""),
    )


def _number(path: Path, data: dict[str, Any], name: str, least: float, most: float) -> float:
    if name not in data:
        return 0.0
    value = data[name]
    # Compared, not asked whether it is finite: JSON has whole numbers that no float holds.
    if not isinstance(value, int | float) or isinstance(value, bool) or not least <= value <= most:
        raise UserError(
            f"{path}: field {name!r} is {json.dumps(value)[:60]}; give a number from {least:g} to "
            f"{most:g}"
        )
    return float(value)


def _polygons(path: Path, data: dict[str, Any], name: str) -> tuple[Polygon, ...]:
    listed = data.get(name, [])
    if not isinstance(listed, list) or len(listed) > MOST_POLYGONS:
        raise UserError(
            f"{path}: field {name!r} must be a list of at most {MOST_POLYGONS} polygons"
        )
    for k, polygon in enumerate(listed):
        if not isinstance(polygon, list) or not 3 <= len(polygon) <= MOST_POINTS:
            raise UserError(
                f"{path}: {name}[{k}] must be a list of 3 to {MOST_POINTS} points [x, y] in metres"
            )
        for i, point in enumerate(polygon):
            numbers = isinstance(point, list) and all(
                isinstance(v, int | float) and not isinstance(v, bool) for v in point
            )
            if not numbers or len(point) != 2 or not all(abs(v) < 1e6 for v in point):
                raise UserError(
                    f"{path}: {name}[{k}][{i}] is {json.dumps(point)[:60]}; give [x, y] in metres"
                )
    return tuple(tuple((float(x), float(y)) for x, y in polygon) for polygon in listed)


def inside(
    polygon: Polygon,
    origin: np.ndarray,
    resolution: float,
    shape: tuple[int, ...],
    edges: bool = False,
) -> np.ndarray:
    """Which cells of a grid a polygon covers.

    Args:
        polygon: corners in metres; it closes itself, and the even-odd rule decides where it crosses
            itself.
        origin: (2,) lower-left corner of the grid, metres.
        resolution: of its cells, metres.
        shape: (R, C).
        edges: also every cell that an edge passes, so that a thin polygon is not lost between
            centres.

    Returns:
        (R, C) bool, true where a cell's centre is inside.
    """
    corners = (np.array(polygon) - origin) / resolution
    mask = np.zeros(shape, dtype=bool)
    low = np.clip(np.floor(corners.min(0)).astype(int), 0, shape[::-1])
    high = np.clip(np.ceil(corners.max(0)).astype(int) + 1, 0, shape[::-1])
    x, y = np.arange(low[0], high[0])[None] + 0.5, np.arange(low[1], high[1])[:, None] + 0.5
    part = mask[low[1] : high[1], low[0] : high[0]]
    for (x0, y0), (x1, y1) in zip(corners, np.roll(corners, -1, axis=0)):
        crosses = (y0 <= y) != (y1 <= y)
        if y1 != y0:
            part ^= crosses & (x < x0 + (y - y0) * (x1 - x0) / (y1 - y0))
    if edges:
        for start, end in zip(corners, np.roll(corners, -1, axis=0)):
            _mark_line(mask, start, end)
    return mask


def _mark_line(mask: np.ndarray, start: np.ndarray, end: np.ndarray) -> None:
    """Marks the cells along a line, clipped to the grid before it is walked."""
    (x0, y0), (x1, y1) = start, end
    first, last = 0.0, 1.0
    for a, b, size in ((x0, x1, mask.shape[1]), (y0, y1, mask.shape[0])):
        if a == b:
            if not 0 <= a < size:
                return
            continue
        t0, t1 = sorted(((0 - a) / (b - a), (size - a) / (b - a)))
        first, last = max(first, t0), min(last, t1)
    if first > last:
        return
    t = np.linspace(first, last, int(3 * math.hypot(x1 - x0, y1 - y0) * (last - first)) + 2)
    columns = np.floor(x0 + t * (x1 - x0)).astype(int)
    rows = np.floor(y0 + t * (y1 - y0)).astype(int)
    mask[rows.clip(0, mask.shape[0] - 1), columns.clip(0, mask.shape[1] - 1)] = True


def correct_columns(columns: Columns, correction: Correction, path: Path) -> Columns:
    """Columns with a person's polygons in them.

    Args:
        columns: of the placed capture.
        correction: from `read_correction`.
        path: its file, for messages.

    Returns:
        In `go` nothing blocks, and the ground of cells that nobody saw is as high as the nearest
        that was seen; `no_go` blocks.

    Raises:
        UserError: a polygon does not touch the place.
    """
    if not correction.no_go and not correction.go:
        return columns
    shape, frame = columns.known.shape, (columns.origin, columns.resolution)
    marks = {}
    for name, polygons in (("go", correction.go), ("no_go", correction.no_go)):
        marks[name] = np.zeros(shape, dtype=bool)
        for k, polygon in enumerate(polygons):
            covered = inside(polygon, *frame, shape, edges=name == "no_go")
            if not covered.any():
                low = columns.origin
                high = columns.origin + np.array(shape[::-1]) * columns.resolution
                raise UserError(
                    f"{path}: {name}[{k}] lies outside the place (x {low[0]:.1f} to {high[0]:.1f}, "
                    f"y {low[1]:.1f} to {high[1]:.1f} m); "
                    "its corners are metres of the scene, see `s2e-scene preview`"
                )
            marks[name] |= covered
    height = columns.height
    fill = marks["go"] & ~columns.known
    if fill.any() and columns.known.any():
        _, (rows, cols) = distance_transform_edt(~columns.known, return_indices=True)  # pyright: ignore[reportGeneralTypeIssues]
        height = np.where(fill, height[rows, cols], height)
    return dataclasses.replace(
        columns,
        height=height.astype(np.float32),
        known=columns.known | marks["go"],
        blocked=(columns.blocked & ~marks["go"]) | marks["no_go"],
        overhead=np.where(marks["go"], np.inf, columns.overhead).astype(np.float32),
    )
