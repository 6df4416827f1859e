"""Posed photographs, small enough to learn from: read, straightened, scaled down, with what is
known of depth.
"""

import warnings
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.ndimage import map_coordinates
from tqdm import tqdm

from s2e.core.errors import UserError
from s2e.envs.scan.photos.cameras import CameraList, Lens, Posed
from s2e.envs.splats.gradients import View

HELD_OUT = 8
"""Every so-many-th photograph is left out, to judge by."""
LEAST = 3
"""Fewer photographs than these show no place."""
MAX_PIXELS = 200_000_000
_SKEWED = 0.05
"""Axes farther from a rotation than this are none."""
_RATIO = 0.02
"""A picture whose sides are in another ratio than its camera's, by more than this, is not that
camera's."""
_NO_DEPTH = 65_535
_FARTHEST = 1e6


@dataclass(frozen=True)
class Photo:
    """A photograph.

    Attributes:
        name: as the list of cameras has it.
        view: its camera, in the list's units, pixels of `rgb`.
        rgb: (H, W, 3) uint8.
        depth: (H, W) float32 along the optical axis, in the list's units, 0 where it is not known;
            None where nothing is.
    """

    name: str
    view: View
    rgb: np.ndarray
    depth: np.ndarray | None = None


def read_photos(listed: CameraList, long_px: int) -> tuple[list[Photo], list[str]]:
    """The photographs of a list of cameras, scaled down.

    Args:
        listed: the cameras.
        long_px: the longer side of a photograph afterwards; smaller ones stay as they are.

    Returns:
        The photographs in the list's order, and a line for each that could not be used.

    Raises:
        UserError: fewer than `LEAST` can be used.
    """
    photos, faults = [], [*listed.faults, *listed.notes]
    for posed in tqdm(listed.cameras, desc="photographs", unit="", leave=False, disable=None):
        try:
            photos.append(read_photo(posed, long_px))
        except UserError as error:
            faults.append(str(error))
    if len(photos) < LEAST:
        why = f": {faults[0]}" if faults else ""
        raise UserError(
            f"{listed.kind}: {len(photos)} of {len(listed.cameras)} photographs can be used, "
            f"{LEAST} are needed{why}"
        )
    return photos, faults


def read_photo(posed: Posed, long_px: int) -> Photo:
    """One photograph.

    Raises:
        UserError: it is missing or damaged, or its camera is not known well enough.
    """
    where = f"{posed.image}" if posed.image is not None else posed.name
    if posed.image is None:
        raise UserError(f"{posed.name}: names no picture; left out")
    if posed.lens is None:
        raise UserError(
            f"{where}: no intrinsics that can be used (focal length and size, no fisheye); left out"
        )
    axes = rotation_of(posed.axes)
    if axes is None:
        raise UserError(f"{where}: the axes of its camera are no rotation; left out")
    with opened_picture(posed.image) as image:
        lens = fitted(posed.lens, image.size, where)
        share = min(long_px / max(image.size), 1.0)
        size = max(round(image.width * share), 8), max(round(image.height * share), 8)
        rgb = shrunk(image, size, where)
    lens = scaled(lens, size)
    depth = None if posed.depth is None else read_depth(posed.depth, size, posed.depth_unit)
    if any(lens.bent):
        at = bent_pixels(lens)
        rgb = np.stack(
            [map_coordinates(rgb[..., c], at, order=1, mode="nearest") for c in range(3)], -1
        )
        depth = None if depth is None else map_coordinates(depth, at, order=0, mode="constant")
    view = View(posed.position, axes.T, np.array(lens.intrinsics), size[1], size[0])
    return Photo(posed.name, view, rgb, depth)


def opened_picture(path: Path) -> Image.Image:
    """A picture's head.

    Raises:
        UserError: it is missing, no picture, or too large.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(path, formats=("JPEG", "PNG", "WEBP", "TIFF", "BMP"))
    except FileNotFoundError:
        raise UserError(f"{path}: no such picture; left out") from None
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise UserError(f"{path}: not a readable picture ({error}); left out") from None
    if image.width * image.height > MAX_PIXELS:
        raise UserError(f"{path}: {image.width} x {image.height} pixels are too many; left out")
    return image


def shrunk(image: Image.Image, size: tuple[int, int], where: str) -> np.ndarray:
    """(H, W, 3) uint8 of a picture at another size."""
    try:
        image.draft("RGB", (2 * size[0], 2 * size[1]))
        return np.array(image.convert("RGB").resize(size, Image.Resampling.BOX))
    except (OSError, ValueError, SyntaxError) as error:
        raise UserError(f"{where}: cut or damaged ({error}); left out") from None


def rotation_of(axes: np.ndarray | None) -> np.ndarray | None:
    """The nearest rotation to a camera's axes, which a list may have scaled; None where they are
    none.
    """
    if axes is None:
        return None
    u, lengths, vt = np.linalg.svd(axes)
    middle = float(lengths.mean())
    if (
        middle < 1e-6
        or np.abs(lengths / middle - 1.0).max() > _SKEWED
        or np.linalg.det(u @ vt) < 0.0
    ):
        return None
    return u @ vt


def fitted(lens: Lens, size: tuple[int, int], where: str) -> Lens:
    """A lens for the picture's own size: some are scaled down after their cameras were found.

    Raises:
        UserError: the picture has other proportions than the camera.
    """
    if min(lens.size_px) <= 0 or lens.size_px == size:
        return replace(lens, size_px=size)
    across, down = size[0] / lens.size_px[0], size[1] / lens.size_px[1]
    if abs(across / down - 1.0) > _RATIO:
        of = f"{lens.size_px[0]} x {lens.size_px[1]}"
        raise UserError(
            f"{where}: is {size[0]} x {size[1]}, its camera's pictures are {of}: cut or turned "
            "since; left out"
        )
    return scaled(lens, size)


def scaled(lens: Lens, size: tuple[int, int]) -> Lens:
    """A lens for another size of its pictures."""
    across, down = size[0] / lens.size_px[0], size[1] / lens.size_px[1]
    fx, fy, cx, cy = lens.intrinsics
    return Lens((fx * across, fy * down, cx * across, cy * down), size, lens.bent)


def bent_pixels(lens: Lens) -> np.ndarray:
    """(2, H, W) row and column where what a straight picture shows at each pixel is in a bent one
    (OpenCV's distortion).
    """
    fx, fy, cx, cy = lens.intrinsics
    k1, k2, p1, p2, k3 = lens.bent
    y, x = np.mgrid[: lens.size_px[1], : lens.size_px[0]] + 0.5
    x, y = (x - cx) / fx, (y - cy) / fy
    r2 = x * x + y * y
    radial = 1.0 + r2 * (k1 + r2 * (k2 + r2 * k3))
    bent_x = x * radial + 2.0 * p1 * x * y + p2 * (r2 + 2.0 * x * x)
    bent_y = y * radial + p1 * (r2 + 2.0 * y * y) + 2.0 * p2 * x * y
    return np.stack([bent_y * fy + cy - 0.5, bent_x * fx + cx - 0.5])


def read_depth(path: Path, size: tuple[int, int], unit: float) -> np.ndarray:
    """(H, W) float32 depth of a picture of whole numbers, at another size: the nearest of its
    values, 0 where there is none.
    """
    with opened_picture(path) as image:
        try:
            values = np.array(image)
        except (OSError, ValueError, SyntaxError) as error:
            raise UserError(f"{path}: cut or damaged ({error}); left out") from None
    if values.ndim != 2 or values.dtype.kind not in "iu":
        raise UserError(
            f"{path}: depth is one channel of whole numbers, this is {values.dtype} "
            f"{values.shape}; left out"
        )
    rows = ((np.arange(size[1]) + 0.5) * values.shape[0] / size[1]).astype(int)
    columns = ((np.arange(size[0]) + 0.5) * values.shape[1] / size[0]).astype(int)
    values = values[rows][:, columns]
    depth = np.where((values > 0) & (values < _NO_DEPTH), values * unit, 0.0)
    return np.where(depth < _FARTHEST, depth, 0.0).astype(np.float32)


def split(photos: list[Photo]) -> tuple[list[Photo], list[Photo]]:
    """Photographs to learn from, and those to judge by: every eighth, where there are eight."""
    if len(photos) < HELD_OUT:
        return photos, []
    seen = [photo for k, photo in enumerate(photos) if k % HELD_OUT]
    return seen, photos[::HELD_OUT]


def back_projected(photos: Iterable[Photo], most: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Points (P, 3) and colours (P, 3) in 0..1 of what depth says, a random choice of at most
    `most` of them.
    """
    rng = np.random.default_rng([seed, 1])
    with_depth = [photo for photo in photos if photo.depth is not None]
    each = -(-2 * most // max(len(with_depth), 1))
    points, colours = [], []
    for photo in with_depth:
        assert photo.depth is not None
        row, column = np.nonzero(photo.depth)
        some = rng.permutation(len(row))[:each]
        row, column = row[some], column[some]
        points.append(lifted(photo.view, column + 0.5, row + 0.5, photo.depth[row, column]))
        colours.append(photo.rgb[row, column] / 255.0)
    if not points:
        return np.zeros((0, 3)), np.zeros((0, 3))
    some = rng.permutation(sum(len(p) for p in points))[:most]
    return np.concatenate(points)[some], np.concatenate(colours)[some]


def lifted(view: View, x: np.ndarray, y: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """(N, 3) points that a camera sees at pixels x, y (N,), at a depth (N,)."""
    fx, fy, cx, cy = view.intrinsics
    rays = np.stack([(x - cx) / fx, (y - cy) / fy, np.ones(len(x))], 1)
    return (rays * depth[:, None]) @ view.rotation + view.position


def scattered(
    photos: list[Photo], count: int, near: float, far: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Random points (count, 3) in sight of the cameras, from `near` to `far`, and the colours
    (count, 3) there.
    """
    rng = np.random.default_rng([seed, 2])
    which = rng.integers(0, len(photos), count)
    depth = near * (far / near) ** rng.random(count)
    points, colours = np.zeros((count, 3)), np.zeros((count, 3))
    for k, photo in enumerate(photos):
        here = np.flatnonzero(which == k)
        height, width = photo.rgb.shape[:2]
        x, y = rng.random(len(here)) * width, rng.random(len(here)) * height
        points[here] = lifted(photo.view, x, y, depth[here])
        colours[here] = photo.rgb[y.astype(int), x.astype(int)] / 255.0
    return points, colours
