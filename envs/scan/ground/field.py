"""The ground of captures without thin discs: where free space ends below, in a field of opacity.

Poor captures, rooms with ceilings and flights of drones have surfaces of round, thick, noisy
Gaussians whose own axes say little. But level surfaces still crowd heights when the capture is
upright, and a column of voxels still says where somebody could stand: on top of what is solid, with
room above. Such places are weighed by the number of Gaussians there, which trainers put where
cameras looked: the junk beneath a ground, and what was only seen from afar, is made of few large
ones.
"""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d

from s2e.envs.geometry.scene import Splats
from s2e.envs.scan.ground.planes import Surface
from s2e.envs.scan.ground.voxels import LEVELS, voxelise
from s2e.envs.splats.transform import Placement, place, upright

CELLS = 128
"""Cells along the capture's diameter."""
CLEARANCE = 0.05
"""Room above what somebody could stand on, over the diameter."""
BAND = 0.02
"""Heights within so much of a layer belong to it, over the diameter."""
LARGE = 0.35
"""Share of the largest layer's weight from which another one is large."""
_MOST_COUNTED = 20
"""Gaussians of a cell that count, at most: detail says where cameras looked, and not how much."""
_SMOOTH = 0.006
_REFINED_DEG = 3.0


@dataclass(frozen=True)
class Ground:
    """What stands out as ground in one direction, in the file's units; shares are of the whole
    capture.

    Attributes:
        normal: (3,) unit, up; offset: `normal @ p` on the ground.
        spread: robust deviation (one sigma) of the surface around the plane, in the columns where
            it is ground.
        noise: the same around the ground itself, wherever that rolls.
        extent: diameter of its area.
        support: of the surface, within three deviations.
        layer: of all places to stand on, weighed by their detail.
        cover: of all columns that hold anything.
        area: over the square of the capture's diameter.
        below, above: of the Gaussians, by number.
        beneath: of the surface, by area.
        height: 97 % of what is above it, over the diameter; apart: how far apart that stands, over
            the same of the ground itself.
    """

    normal: np.ndarray
    offset: float
    spread: float
    noise: float
    extent: float
    support: float
    layer: float
    cover: float
    area: float
    below: float
    above: float
    beneath: float
    height: float
    apart: float

    def score(self) -> float:
        """How much it is like a ground."""
        return self.layer + self.cover + self.above - self.below

    def place(self, size: float, hinted: bool = True) -> bool:
        """Whether it could be that of a place, in a capture of that diameter: not of an object, and
        not what is seen from beneath.

        Much may lie beneath where a person says which way is up: water under a quay, snow that was
        never seen through.
        """
        alone = self.height * size / max(self.extent, 1e-12)
        one_thing = (alone > 0.25 and self.apart < 0.45) or (alone > 0.5 and self.apart < 0.7)
        over = self.below < 0.45 if hinted else self.below < 0.25 and self.beneath < 0.3
        return (
            self.layer > 0.3 and self.cover > 0.2 and self.area > 0.015 and over and not one_thing
        )


def _cone(up: np.ndarray, degrees: float, count: int, rng: np.random.Generator) -> np.ndarray:
    """(count, 3) directions within so many degrees of one, itself first."""
    first, second = np.linalg.svd(up[None])[2][1:]
    turn = rng.uniform(0.0, 2 * np.pi, count)
    tilt = np.radians(degrees) * np.sqrt(rng.random(count))
    tilt[0] = 0.0
    side = np.cos(turn)[:, None] * first + np.sin(turn)[:, None] * second
    return np.cos(tilt)[:, None] * up + np.sin(tilt)[:, None] * side


def crowding(points: np.ndarray, directions: np.ndarray, band: float) -> np.ndarray:
    """(D,) how much the heights of points along each direction crowd: the sum of squared shares of
    bands.
    """
    out = np.empty(len(directions))
    for k, direction in enumerate(directions):
        heights = points @ direction
        counts = np.bincount(((heights - heights.min()) / band).astype(np.int64)).astype(np.float64)
        out[k] = (np.convolve(counts, (0.25, 0.5, 0.25)) ** 2).sum()
    return out / len(points) ** 2


def _few(surface: Surface, seed: int) -> np.ndarray:
    rng = np.random.default_rng([seed, 3])
    near = np.abs(surface.points - np.median(surface.points, axis=0)).max(1) < 1.5 * surface.size
    return rng.choice(surface.points[near], min(20_000, int(near.sum())), replace=False)


def level_direction(surface: Surface, hint: np.ndarray, most_deg: float, seed: int) -> np.ndarray:
    """(3,) the direction within `most_deg` of a hint along which heights crowd most, to a third of
    a degree.
    """
    points, rng, best = _few(surface, seed), np.random.default_rng([seed, 4]), hint
    for degrees, band in ((most_deg, 40), (most_deg / 3, 60), (4.0, 100), (1.5, 150), (0.6, 200)):
        directions = _cone(best, min(degrees, most_deg), 150, rng)
        directions = directions[directions @ hint > np.cos(np.radians(most_deg + 1e-3))]
        best = directions[crowding(points, directions, surface.size / band).argmax()]
    return best


def level_directions(surface: Surface, seed: int, count: int = 4) -> list[np.ndarray]:
    """Up to `count` axes along which heights crowd, over 20 degrees apart; each means two
    directions.
    """
    k = np.arange(400) + 0.5
    turn, z = np.pi * (1.0 + np.sqrt(5.0)) * k, k / 400
    flat = np.sqrt(1.0 - z * z)
    sphere = np.stack([np.cos(turn) * flat, np.sin(turn) * flat, z], 1)
    chosen: list[np.ndarray] = []
    for i in np.argsort(-crowding(_few(surface, seed), sphere, surface.size / 40)):
        if all(abs(sphere[i] @ other) < np.cos(np.radians(25.0)) for other in chosen):
            chosen.append(sphere[i])
        if len(chosen) == count:
            break
    apart: list[np.ndarray] = []
    for axis in (level_direction(surface, axis, 8.0, seed) for axis in chosen):
        if all(abs(axis @ other) < np.cos(np.radians(20.0)) for other in apart):
            apart.append(axis)
    return apart


def ground_along(
    splats: Splats, surface: Surface, up: np.ndarray, eyes: np.ndarray | None = None
) -> Ground | None:
    """The ground where `up` is up to a degree; None where there is nothing to stand on.

    Args:
        splats: cleaned, in the file's units.
        surface: of them.
        up: (3,) unit.
        eyes: (N, 3) where cameras were, if that is known: the ground is the first large layer
            beneath them, otherwise the lowest.
    """
    rotation, middle = upright(up), np.median(surface.points, axis=0)
    small = place(
        splats, Placement(1.0 / surface.size, rotation, -rotation @ middle / surface.size)
    )
    points = (surface.points - middle) @ rotation.T / surface.size
    low, high = np.quantile(points, (0.003, 0.997), axis=0) + np.array([[-0.02], [0.02]])
    low, high = np.maximum(low, -1.25), np.minimum(high, 1.25)
    cols, rows = (int(n) for n in np.ceil((high - low)[:2] * CELLS))
    level = max(float(high[2] - low[2]) / (LEVELS - 8), 0.5 / CELLS)
    frame = np.array([*low, 1.0 / CELLS, level])
    _, tops, free = voxelise(small, frame, (rows, cols), CLEARANCE)
    free &= np.isfinite(tops)
    if not free.any():
        return None
    weight = np.where(free, _detail(small.means, frame, tops), 0.0)
    seen = None if eyes is None else (eyes - middle) @ rotation[2] / surface.size
    at = _layer_of(tops, free, weight, frame, seen)
    if at is None:
        return None
    return _measured(
        surface, points, small.means, (tops, free, weight), at, frame, rotation, middle
    )


def _detail(means: np.ndarray, frame: np.ndarray, tops: np.ndarray) -> np.ndarray:
    """(R, C, T) how many Gaussians lie within `BAND` of each surface, in its column, at most
    `_MOST_COUNTED`.
    """
    rows, cols, _ = tops.shape
    index = np.floor((means - frame[:3]) / frame[[3, 3, 4]]).astype(np.int64)
    inside = ((index >= 0) & (index < (cols, rows, LEVELS))).all(1)
    c, r, k = index[inside].T
    counts = np.bincount((r * cols + c) * LEVELS + k, minlength=rows * cols * LEVELS).reshape(
        rows, cols, LEVELS
    )
    total = np.concatenate([np.zeros((rows, cols, 1), np.int64), counts.cumsum(2)], 2)
    at = np.where(np.isfinite(tops), (tops - frame[2]) / frame[4], 0.0).astype(np.int64)
    reach = round(BAND / frame[4])
    low, high = np.clip(at - reach, 0, LEVELS), np.clip(at + reach + 1, 0, LEVELS)
    return np.minimum(
        np.take_along_axis(total, high, 2) - np.take_along_axis(total, low, 2), _MOST_COUNTED
    ).astype(np.float64)


def _layer_of(
    tops: np.ndarray,
    free: np.ndarray,
    weight: np.ndarray,
    frame: np.ndarray,
    eyes: np.ndarray | None,
) -> float | None:
    """Height of the layer to stand on: the lowest large one, or the highest large one beneath the
    eyes.
    """
    heights = tops[free]
    counts = np.bincount(
        ((heights - frame[2]) / frame[4]).astype(np.int64).clip(0, LEVELS - 1), weight[free], LEVELS
    )
    smooth = np.pad(gaussian_filter1d(counts, _SMOOTH / frame[4], mode="constant"), 1)
    peaks = np.flatnonzero((smooth[1:-1] >= smooth[:-2]) & (smooth[1:-1] > smooth[2:]))
    at = frame[2] + (peaks + 0.5) * frame[4]
    if eyes is not None:
        under = at < np.quantile(eyes, 0.2)
        peaks, at = peaks[under], at[under]
    if len(peaks) == 0:
        return None
    mass = smooth[1:-1][peaks]
    large = np.flatnonzero(mass > LARGE * mass.max())
    return float(at[large[0] if eyes is None else large[-1]])


def _measured(
    surface: Surface, points, means, places, at: float, frame, rotation, middle
) -> Ground:
    """Fits the plane to a layer and counts what `Ground` says; all of it in diameters, z up, until
    the end.
    """
    tops, free, weight = places
    mine = free & (np.abs(tops - at) < BAND)
    flat = mine.any(2)
    rows, cols = np.nonzero(flat)
    xy = frame[:2] + (np.stack([cols, rows], 1) + 0.5) * frame[3]
    slope, lift = _plane(xy, np.where(mine, tops, np.inf).min(2)[flat])
    cell = np.floor((points[:, :2] - frame[:2]) / frame[3]).astype(np.int64)
    inside = ((cell >= 0) & (cell < flat.shape[::-1])).all(1)
    over = np.zeros(len(points), dtype=bool)
    over[inside] = flat[cell[inside, 1], cell[inside, 0]]
    h = points[:, 2] - points[:, :2] @ slope - lift
    ground = over & (np.abs(h) < 1.5 * BAND)
    middle_h, spread = _crowded(h[ground])
    noise = _thickness(h[ground], cell[ground, 1] * flat.shape[1] + cell[ground, 0])
    lift += middle_h
    h -= middle_h
    by_number = means[:, 2] - means[:, :2] @ slope - lift
    far = BAND + 2.0 * spread
    above = h > far
    size = 1.0 / np.sqrt(1.0 + slope @ slope)
    normal = rotation.T @ (np.array([-slope[0], -slope[1], 1.0]) * size)
    return Ground(
        normal=normal,
        offset=float(surface.size * lift * size + normal @ middle),
        spread=float(surface.size * spread * size),
        noise=float(surface.size * noise),
        extent=float(surface.size * np.hypot(*np.ptp(xy, axis=0))),
        support=float((over & (np.abs(h) < 3.0 * spread)).mean()),
        layer=float(weight[mine].sum() / max(weight.sum(), 1e-9)),
        cover=float(flat.sum() / max(np.isfinite(tops).any(2).sum(), 1)),
        area=float(flat.sum()) * frame[3] ** 2,
        below=float((by_number < -far).mean()),
        above=float((by_number > far).mean()),
        beneath=float((h < -far).mean()),
        height=float(np.quantile(h[above], 0.97)) if above.sum() > 10 else 0.0,
        apart=_apart(points[above, :2]) / max(_apart(xy), frame[3]),
    )


def _plane(xy: np.ndarray, z: np.ndarray) -> tuple[np.ndarray, float]:
    """Slope (2,) and height of z over xy, by least squares that forget what is far off; level where
    that would lean too much.
    """
    matrix = np.column_stack([xy, np.ones(len(xy))])
    if len(xy) < 10 or np.linalg.matrix_rank(matrix) < 3:
        return np.zeros(2), float(np.median(z))
    keep = np.ones(len(z), dtype=bool)
    fit = np.array([0.0, 0.0, float(np.median(z))])
    for _ in range(6):
        fit = np.linalg.lstsq(matrix[keep], z[keep], rcond=None)[0]
        off = np.abs(z - matrix @ fit)
        keep = off <= max(2.5 * 1.4826 * float(np.median(off)), 1e-6)
    if np.hypot(*fit[:2]) > np.tan(np.radians(_REFINED_DEG)):
        return np.zeros(2), float(np.median(z))
    return fit[:2], float(fit[2])


def _crowded(h: np.ndarray) -> tuple[float, float]:
    """Where heights crowd most, and their deviation (one sigma) around it."""
    if len(h) < 20:
        return 0.0, 0.5 * BAND
    counts, edges = np.histogram(h, 60, (-1.5 * BAND, 1.5 * BAND))
    middle = float(edges[int(gaussian_filter1d(counts.astype(float), 2.0).argmax())] + 0.025 * BAND)
    peak, band, spread = middle, 1.2 * BAND, 0.5 * BAND
    for _ in range(12):
        near = h[np.abs(h - middle) < band]
        new = float(np.median(near))
        spread = max(1.4826 * float(np.median(np.abs(near - new))), 1e-5)
        middle = float(np.clip(new, peak - spread, peak + spread))
        band = max(min(band, 2.5 * spread), BAND / 50.0)
    return middle, spread


def _thickness(h: np.ndarray, column: np.ndarray) -> float:
    """Robust deviation of heights from the mean of their own column."""
    _, which, counts = np.unique(column, return_inverse=True, return_counts=True)
    off = (h - np.bincount(which, h)[which] / counts[which])[counts[which] >= 5]
    return 1.4826 * float(np.median(np.abs(off))) if len(off) >= 20 else 0.0


def _apart(xy: np.ndarray) -> float:
    """Root mean square distance from the middle; 0 of nothing."""
    return float(np.sqrt(((xy - xy.mean(0)) ** 2).sum(1).mean())) if len(xy) else 0.0
