"""How many metres a unit of a capture is: from where its cameras were held, or from one point whose height is known."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from s2e.envs.scan.floor import Floor
from s2e.errors import UserError

_HELD = 0.07
"""Relative spread of the height at which one person holds a camera from walk to walk (1.5 m +- 10 cm); chosen."""
_AGREE = 0.7
"""Length of the mean of unit vectors from which they agree on a direction."""
_MAX_BYTES = 256 << 20


@dataclass(frozen=True)
class Cameras:
    """Where pictures were taken, in the file's units.

    Attributes:
        positions: (N, 3), at least one.
        up: (3,) unit, what is up in most pictures; None where rotations are not given or agree on nothing.
    """

    positions: np.ndarray
    up: np.ndarray | None


def scale_from_cameras(positions: np.ndarray, floor: Floor, height_m: float) -> tuple[float, float]:
    """Scale from the height at which the capture was taken.

    Args:
        positions: (N, 3) where the cameras were, in the file's units.
        floor: of the same file.
        height_m: metres above the floor, the typical height of the cameras.

    Returns:
        Metres per unit (by the median height), and its relative uncertainty: the spread of the heights (robust, one
        sigma) over the root of the number of cameras, the floor's own spread, and how well anybody knows such a height.

    Raises:
        UserError: no positions, or they are not above the floor.
    """
    _check_height(height_m)
    positions = np.asarray(positions, dtype=np.float64).reshape(-1, 3)
    if len(positions) == 0 or not np.isfinite(positions).all():
        raise UserError("camera positions: none, or not finite; give cameras.json or transforms.json of this capture")
    heights = positions @ floor.normal - floor.offset
    middle = float(np.median(heights))
    _check_above(middle, floor, f"the median of {len(heights)} cameras")
    spread = 1.4826 * float(np.median(np.abs(heights - middle)))
    # Cameras of one walk share their error, so their number helps less than 1 / sqrt(N) would say: ten count as one.
    among = spread / np.sqrt(max(len(heights) / 10.0, 1.0))
    return height_m / middle, float(np.hypot(np.hypot(among, floor.spread) / middle, _HELD))


def track_floor(eyes: np.ndarray, normal: np.ndarray, height: float) -> tuple[float, float]:
    """Offset along `normal` of the floor that lies `height` units below cameras (N, 3), and its deviation (one sigma)."""
    heights = eyes @ normal
    middle = float(np.median(heights))
    spread = 1.4826 * float(np.median(np.abs(heights - middle))) / np.sqrt(max(len(heights) / 10.0, 1.0))
    return middle - height, float(np.hypot(spread, _HELD * height))


def scale_from_point(point: np.ndarray, floor: Floor, height_m: float) -> tuple[float, float]:
    """Scale from one point of the capture whose height above the floor was measured.

    Args:
        point: (3,) in the file's units.
        floor: of the same file.
        height_m: its height above the floor, metres.

    Returns:
        Metres per unit and its relative uncertainty: that of the floor, and 2 cm of picking and measuring.

    Raises:
        UserError: the point does not lie above the floor.
    """
    _check_height(height_m)
    point = np.asarray(point, dtype=np.float64)
    if point.shape != (3,) or not np.isfinite(point).all():
        raise UserError("the point of known height must be three finite numbers, in the file's units")
    height = float(point @ floor.normal - floor.offset)
    _check_above(height, floor, "the point")
    return height_m / height, float(np.hypot(floor.spread / height, 0.02 / height_m))


def _check_height(height_m: float) -> None:
    if not (np.isfinite(height_m) and height_m > 0.0):
        raise UserError(f"height of {height_m} m: give metres above the floor, more than 0")


def _check_above(height: float, floor: Floor, what: str) -> None:
    if height <= max(2.0 * floor.spread, 1e-9 * max(floor.extent, 1.0)):
        raise UserError(
            f"{what} lies {height:.4g} units above the floor, which is known to {floor.spread:.2g}: "
            "too low to give a scale; check --up, or give --metres-per-unit"
        )


def read_cameras(path: str | os.PathLike) -> Cameras:
    """Reads the `cameras.json` that 3DGS trainers write, or a NeRF `transforms.json`.

    A trainer that normalises the poses of `transforms.json` writes splats in another frame; `cameras.json` is always that of its PLY.

    Raises:
        UserError: the file is missing, not JSON of either kind, or holds no finite position; the message names the field.
    """
    path = Path(path)
    data = _load(path)
    if isinstance(data, list):
        rows = [
            _position(path, f"[{i}].position", item.get("position") if isinstance(item, dict) else None) for i, item in enumerate(data)
        ]
    else:
        rows = [_column(path, i, item) for i, item in enumerate(data["frames"])]
    if not rows:
        raise UserError(f"{path}: lists no cameras")
    return Cameras(np.array(rows, dtype=np.float64), _up(data))


def _up(data: Any) -> np.ndarray | None:
    """What is up in most pictures. Columns are a camera's axes: those of 3DGS (`rotation`) have y down, those of NeRF y up."""
    ups = []
    for item in data if isinstance(data, list) else data["frames"]:
        matrix = item.get("rotation" if isinstance(data, list) else "transform_matrix") if isinstance(item, dict) else None
        try:
            column = np.array([float(row[1]) for row in matrix][:3])  # pyright: ignore[reportOptionalIterable]
        except (TypeError, ValueError, IndexError, KeyError):
            continue
        if column.shape == (3,) and np.isfinite(column).all() and np.linalg.norm(column) > 1e-9:
            ups.append(column / np.linalg.norm(column) * (-1.0 if isinstance(data, list) else 1.0))
    middle = np.mean(ups, axis=0) if ups else np.zeros(3)
    length = float(np.linalg.norm(middle))
    return middle / length if length > _AGREE else None


def _load(path: Path) -> Any:
    """A list of cameras, or an object whose `frames` are one."""
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise UserError(
                f"{path}: {path.stat().st_size} bytes is more than a camera list takes; give cameras.json or transforms.json"
            )
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); check the path") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: not JSON ({error}); give cameras.json or transforms.json") from None
    if isinstance(data, list) or (isinstance(data, dict) and isinstance(data.get("frames"), list)):
        return data
    raise UserError(f"{path}: neither a list of cameras (3DGS cameras.json) nor an object with frames (transforms.json)")


def _position(path: Path, field: str, value: object) -> list[float]:
    good = isinstance(value, list) and len(value) == 3 and all(isinstance(v, int | float) and abs(v) < 1e12 for v in value)
    if not good:
        raise UserError(f"{path}: {field} must be three finite numbers; export the cameras again")
    return [float(v) for v in value]  # pyright: ignore[reportGeneralTypeIssues, reportOptionalIterable]


def _column(path: Path, i: int, item: object) -> list[float]:
    matrix = item.get("transform_matrix") if isinstance(item, dict) else None
    good = isinstance(matrix, list) and len(matrix) in (3, 4) and all(isinstance(r, list) and len(r) == 4 for r in matrix)
    field = f"frames[{i}].transform_matrix"
    if not good:
        raise UserError(f"{path}: {field} must be 4 x 4; export the cameras again")
    return _position(path, f"{field} (last column)", [matrix[r][3] for r in range(3)])  # pyright: ignore[reportOptionalSubscript]
