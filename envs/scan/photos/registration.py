"""How the colour of RGB-D lies on its depth: many sensors have two cameras, and files that do not
say how they stand to each other.

What one view's depth puts in the world has one colour in the next view as well. Over pairs of views
that agreement is best where the colour's focal length and place, relative to those of the depth,
are right.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from scipy.ndimage import map_coordinates

from s2e.envs.scan.photos.pictures import Photo, lifted
from s2e.envs.splats.gradients import View

_PAIRS, _POINTS, _FEWEST = 80, 250, 2000
_AHEAD = (1, 2, 3)
"""How many photographs later the other one of a pair is."""
_FOCALS = np.array([0.8, 0.84, 0.88, 0.92, 0.96, 1.0, 1.04, 1.08, 1.12])
_BETTER = 0.93
"""Colours that differ less than this share of before are worth a change."""
_SAME_M = 0.04
"""Relative difference in depth up to which a point is seen, not hidden."""


@dataclass(frozen=True)
class Registration:
    """The colour camera in the frame of the depth camera.

    Attributes:
        focal: its focal length over that of the depth camera. right, down: where it stands, metres.
            gain: how much less colours differ.
    """

    focal: float = 1.0
    right: float = 0.0
    down: float = 0.0
    gain: float = 0.0


def register(photos: list[Photo], seed: int = 0) -> Registration:
    """Finds the colour camera of posed RGB-D; the depth camera's own place where nothing else is
    clearly better.
    """
    pairs = list(_pairs(photos, seed))
    if sum(len(points[0]) for _, _, points in pairs) < _FEWEST:
        return Registration()

    def differ(moved: list[float]) -> float:
        apart = [
            _difference(a, b, points, (moved[0], moved[1], moved[2])) for a, b, points in pairs
        ]
        return float(np.concatenate(apart).mean())

    before = differ([1.0, 0.0, 0.0])
    best = [float(min(_FOCALS, key=lambda focal: differ([focal, 0.0, 0.0]))), 0.0, 0.0]
    for steps in ((0.02, 0.03, 0.03), (0.01, 0.015, 0.015), (0.005, 0.0075, 0.0075)):
        for k in (1, 0, 2, 1, 0):
            best[k] = _best_of(
                lambda value, k=k: differ([*best[:k], value, *best[k + 1 :]]), best[k], steps[k]
            )
    after = differ(best)
    if after > _BETTER * before:
        return Registration()
    return Registration(best[0], best[1], best[2], 1.0 - after / before)


def _best_of(cost: Callable[[float], float], middle: float, step: float) -> float:
    """The lowest of five values about the middle."""
    return min((middle + k * step for k in (0, -1, 1, -2, 2)), key=cost)


def _pairs(photos: list[Photo], seed: int):
    """Pairs of photographs, and points (n, 3) that both see, in the frame of either depth
    camera.
    """
    rng = np.random.default_rng([seed, 5])
    both = [
        (k, k + ahead) for k in range(len(photos)) for ahead in _AHEAD if k + ahead < len(photos)
    ]
    for i in rng.permutation(len(both))[:_PAIRS]:
        a, b = (photos[k] for k in both[i])
        if a.depth is None or b.depth is None:
            continue
        row, column = np.nonzero(a.depth)
        some = rng.permutation(len(row))[:_POINTS]
        row, column = row[some], column[some]
        points = lifted(a.view, column + 0.5, row + 0.5, a.depth[row, column])
        there = (points - b.view.position) @ b.view.rotation.T
        x, y, inside = _pixels(b.view, there)
        deep = b.depth[np.where(inside, y, 0).astype(int), np.where(inside, x, 0).astype(int)]
        seen = inside & (np.abs(deep - there[:, 2]) < _SAME_M * there[:, 2])
        if seen.any():
            yield a, b, ((points[seen] - a.view.position) @ a.view.rotation.T, there[seen])


def _pixels(view: View, points: np.ndarray, moved: tuple[float, float, float] = (1.0, 0.0, 0.0)):
    """Columns, rows and whether inside, of points (n, 3) in the frame of the depth camera, on an
    image of the colour camera.
    """
    focal, right, down = moved
    fx, fy, cx, cy = view.intrinsics
    deep = np.maximum(points[:, 2], 1e-3)
    x = focal * fx * (points[:, 0] - right) / deep + cx
    y = focal * fy * (points[:, 1] - down) / deep + cy
    return (
        x,
        y,
        (points[:, 2] > 0.1)
        & (x >= 0.5)
        & (x < view.width_px - 0.5)
        & (y >= 0.5)
        & (y < view.height_px - 0.5),
    )


def _difference(
    a: Photo, b: Photo, points: tuple[np.ndarray, np.ndarray], moved: tuple[float, float, float]
) -> np.ndarray:
    """(m,) how much the colours of points differ, apart from what exposure changes of all of them;
    0..255.
    """
    found, inside = [], np.ones(len(points[0]), bool)
    for photo, at in zip((a, b), points, strict=True):
        x, y, good = _pixels(photo.view, at, moved)
        grey = photo.rgb.astype(np.float32).mean(-1)
        found.append(map_coordinates(grey, [y - 0.5, x - 0.5], order=1, mode="nearest"))
        inside &= good
    apart = (found[0] - found[1])[inside]
    return np.abs(apart - np.median(apart)) if len(apart) else apart


def registered(photo: Photo, found: Registration) -> Photo:
    """A photograph with the camera of its colours, and its depth as seen from there, 0 where that
    is not known.
    """
    if photo.depth is None or (found.focal, found.right, found.down) == (1.0, 0.0, 0.0):
        return photo
    fx, fy, cx, cy = photo.view.intrinsics
    beside = np.array([found.right, found.down, 0.0])
    lens = np.array([fx * found.focal, fy * found.focal, cx, cy])
    view = replace(
        photo.view, position=photo.view.position + beside @ photo.view.rotation, intrinsics=lens
    )
    row, column = np.nonzero(photo.depth)
    deep = photo.depth[row, column]
    points = np.stack([(column + 0.5 - cx) / fx * deep, (row + 0.5 - cy) / fy * deep, deep], 1)
    x, y, inside = _pixels(photo.view, points, (found.focal, found.right, found.down))
    order = np.flatnonzero(inside)
    order = order[np.argsort(-deep[order], kind="stable")]  # the nearest is written last
    depth = np.zeros_like(photo.depth)
    depth[y[order].astype(int), x[order].astype(int)] = deep[order]
    return replace(photo, view=view, depth=depth)
