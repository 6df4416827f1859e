"""Shadows against rays: a point is dark exactly where its ray to the sun meets a convex thing.
Ground against cells."""

import numpy as np
import pytest
from scipy.spatial import ConvexHull

from s2e.envs.raster.shadows import cast
from s2e.envs.streets.block import Floor
from s2e.envs.streets.light import ground_rectangles

SUN = np.array([0.5, -0.3, 0.6]) / np.linalg.norm([0.5, -0.3, 0.6])


def inside(polygon, points):
    result = np.ones(len(points), bool)
    for a, b in zip(polygon, np.roll(polygon, -1, 0)):
        result &= (b[0] - a[0]) * (points[:, 1] - a[1]) - (b[1] - a[1]) * (points[:, 0] - a[0]) >= 0
    return result


def blocked(points, hull):
    """Whether rays from points (N, 3) to the sun meet a convex hull, cut half-space by half-space
    (Cyrus and Beck 1978)."""
    enter, leave = np.zeros(len(points)), np.full(len(points), np.inf)
    for *normal, offset in hull.equations:
        away, rate = points @ normal + offset, SUN @ normal
        with np.errstate(divide="ignore", invalid="ignore"):
            t = -away / rate
        enter = np.where(rate < 0, np.maximum(enter, t), enter)
        leave = np.where(rate > 0, np.minimum(leave, t), leave)
    return enter < leave


@pytest.mark.parametrize("wall", (False, True))
def test_shadows_are_where_rays_are_blocked(wall):
    rng = np.random.default_rng(3)
    u, v = (
        (np.array([1.0, 0, 0]), np.array([0, 0, 1.0]))
        if wall
        else (np.array([1.0, 0, 0.05]), np.array([0, 1.0, 0]))
    )
    u = u / np.linalg.norm(u)
    n = np.cross(u, v)
    frame = np.array([[[-3.0, 1.0, 0.0], u, v, n]])
    low, high = ([-1, -0.6, 1], [4, 0, 3]) if wall else ([-1, 1, 1], [4, 4, 2.5])
    things = [rng.normal(0, 0.4, (12, 3)) + rng.uniform(low, high) for _ in range(7)]
    starts = np.cumsum([0] + [len(t) for t in things]).astype(np.int64)
    size = np.array([[6.0, 4.0]])
    owner, corners, polygons = cast(
        frame, size, np.array([9.0]), np.concatenate(things), starts, SUN
    )
    assert 2 <= len(owner) <= 7 and not owner.any()
    flat = rng.uniform(0, size[0], (4000, 2))
    points = frame[0, 0] + flat[:, :1] * u + flat[:, 1:] * v
    dark = np.any([blocked(points, ConvexHull(t)) for t in things], axis=0)
    drawn = np.any([inside(polygons[k, : corners[k]], flat) for k in range(len(owner))], axis=0)
    assert 0.05 < dark.mean() < 0.9
    assert (dark == drawn).mean() > 0.995


def test_a_shadow_inside_another_is_left_out():
    thing = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1.0)])
    frame = np.array([[[-9.0, -9.0, 0.0], [1.0, 0, 0], [0, 1.0, 0], [0, 0, 1.0]]])
    two = np.concatenate([4 * thing, thing + np.array([1.0, 1.0, 0.0])])
    size, deep = np.array([[30.0, 30.0]]), np.array([1.0])
    assert len(cast(frame, size, deep, two, np.array([0, 8, 16]), SUN)[0]) == 1
    assert len(cast(frame, size, deep, two[::-1].copy(), np.array([0, 8, 16]), SUN)[0]) == 2
    below = np.array([[[0, 0, 9.0], [1.0, 0, 0], [0, 1.0, 0], [0, 0, 1.0]]])
    assert len(cast(below, size, deep, two, np.array([0, 8, 16]), SUN)[0]) == 0


def test_ground_covers_every_place_once_with_what_was_laid_last():
    rng = np.random.default_rng(0)
    floors = [Floor(0, 0, 10, 8, "paving", "sidewalk")]
    for _ in range(12):
        x0, y0 = int(rng.integers(0, 8)), int(rng.integers(0, 6))
        z = float(rng.choice([0.0, -0.13, 0.2]))
        floors.append(
            Floor(
                x0,
                y0,
                x0 + int(rng.integers(1, 3)),
                y0 + int(rng.integers(1, 3)),
                "asphalt",
                "road",
                z,
            )
        )
    rectangles, kerbs = ground_rectangles(floors)
    for x, y in rng.uniform(0, (10, 8), (300, 2)):
        over = [f for f, x0, y0, x1, y1 in rectangles if x0 < x < x1 and y0 < y < y1]
        last = [f for f in floors if f.x0 < x < f.x1 and f.y0 < y < f.y1][-1]
        assert len(over) == 1 and over[0] is last
    # Each kerb joins two heights and is seen from the lower side.
    assert len(kerbs) > 5
    for a, b, c, d in kerbs:
        middle = (a + b + c + d) / 4
        normal = np.cross(b - a, d - a)
        beside = middle[:2] + 0.01 * normal[:2] / np.linalg.norm(normal)
        behind = middle[:2] - 0.01 * normal[:2] / np.linalg.norm(normal)
        heights = []
        for x, y in (beside, behind):
            heights.append([f.z for f in floors if f.x0 < x < f.x1 and f.y0 < y < f.y1][-1])
        assert heights[0] < heights[1]
        assert (min(a[2], b[2]), max(c[2], d[2])) == pytest.approx(tuple(heights))
