"""How many metres a unit of a capture is: from where its cameras were held, or from one point whose
height is known.
"""

import os
from dataclasses import dataclass

import numpy as np

from s2e.core.errors import UserError, require
from s2e.envs.scan.ground.floor import Floor
from s2e.envs.scan.photos.cameras import read_camera_list

_HELD = 0.07
"""Relative spread of the height at which one person holds a camera from walk to walk (1.5 m +- 10
cm); chosen."""
_AGREE = 0.7
"""Length of the mean of unit vectors from which they agree on a direction."""


@dataclass(frozen=True)
class Cameras:
    """Where pictures were taken, in the file's units.

    Attributes:
        positions: (N, 3), at least one.
        up: (3,) unit, what is up in most pictures; None where rotations are not given or agree on
            nothing.
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
        Metres per unit (by the median height), and its relative uncertainty: the spread of the
            heights (robust, one
        sigma) over the root of the number of cameras, the floor's own spread, and how well anybody
        knows such a height.

    Raises:
        UserError: no positions, or they are not above the floor.
    """
    _check_height(height_m)
    positions = np.asarray(positions, dtype=np.float64).reshape(-1, 3)
    if len(positions) == 0 or not np.isfinite(positions).all():
        raise UserError(
            "camera positions: none, or not finite; give cameras.json or transforms.json of this "
            "capture"
        )
    heights = positions @ floor.normal - floor.offset
    middle = float(np.median(heights))
    _check_above(middle, floor, f"the median of {len(heights)} cameras")
    spread = 1.4826 * float(np.median(np.abs(heights - middle)))
    # Cameras of one walk share their error, so their number helps less than 1 / sqrt(N) would say:
    # ten count as one.
    among = spread / np.sqrt(max(len(heights) / 10.0, 1.0))
    return height_m / middle, float(np.hypot(np.hypot(among, floor.spread) / middle, _HELD))


def track_floor(eyes: np.ndarray, normal: np.ndarray, height: float) -> tuple[float, float]:
    """Offset along `normal` of the floor that lies `height` units below cameras (N, 3), and its
    deviation (one sigma).
    """
    heights = eyes @ normal
    middle = float(np.median(heights))
    spread = (
        1.4826 * float(np.median(np.abs(heights - middle))) / np.sqrt(max(len(heights) / 10.0, 1.0))
    )
    return middle - height, float(np.hypot(spread, _HELD * height))


def scale_from_point(point: np.ndarray, floor: Floor, height_m: float) -> tuple[float, float]:
    """Scale from one point of the capture whose height above the floor was measured.

    Args:
        point: (3,) in the file's units.
        floor: of the same file.
        height_m: its height above the floor, metres.

    Returns:
        Metres per unit and its relative uncertainty: that of the floor, and 2 cm of picking and
            measuring.

    Raises:
        UserError: the point does not lie above the floor.
    """
    _check_height(height_m)
    point = np.asarray(point, dtype=np.float64)
    if point.shape != (3,) or not np.isfinite(point).all():
        raise UserError(
            "the point of known height must be three finite numbers, in the file's units"
        )
    height = float(point @ floor.normal - floor.offset)
    _check_above(height, floor, "the point")
    return height_m / height, float(np.hypot(floor.spread / height, 0.02 / height_m))


def _check_height(height_m: float) -> None:
    if not (np.isfinite(height_m) and height_m > 0.0):
        raise UserError(f"height of {height_m} m: give metres above the floor, more than 0")


def _check_above(height: float, floor: Floor, what: str) -> None:
    if height <= max(2.0 * floor.spread, 1e-9 * max(floor.extent, 1.0)):
        raise UserError(
            f"{what} lies {height:.4g} units above the floor, which is known to "
            f"{floor.spread:.2g}: "
            "too low to give a scale; check --up, or give --metres-per-unit"
        )


def read_cameras(path: str | os.PathLike) -> Cameras:
    """Reads a camera list of any kind that `s2e.envs.scan.photos.cameras` knows.

    A trainer that normalises the poses of `transforms.json` writes splats in another frame;
    `cameras.json` is always that of its PLY.

    Raises:
        UserError: there is no such list, or a camera of it cannot be read; the message names the
            field.
    """
    found = read_camera_list(path)
    if found.faults:
        raise UserError(found.faults[0])
    require(bool(found.cameras), f"{path}: lists no cameras")
    downs = [camera.axes[:, 1] for camera in found.cameras if camera.axes is not None]
    ups = [-down / np.linalg.norm(down) for down in downs if np.linalg.norm(down) > 1e-9]
    middle = np.mean(ups, axis=0) if ups else np.zeros(3)
    length = float(np.linalg.norm(middle))
    return Cameras(
        np.array([camera.position for camera in found.cameras]),
        middle / length if length > _AGREE else None,
    )
