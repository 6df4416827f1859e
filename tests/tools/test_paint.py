"""Painting: frames, ground and solids, rays against a slow march, light, and the marks of a
capture."""

import numba
import numpy as np
import pytest

from s2e.envs.geometry.scene import SEMANTIC_ID, Sky
from s2e.envs.robots.fleet import STEP_CLASSES_M
from tools.urban import rays
from tools.urban.capture import capture
from tools.urban.houses import Front, facade, ramp, steps
from tools.urban.light import bake, even_directions
from tools.urban.paint import Canvas, Light, Place
from tools.urban.parts import bench, lamp, tree
from tools.urban.suite import standing
from tools.urban.surfaces import flat, scatter, tone

PLACE = Place((-4.0, -4.0), (4.0, 4.0), 4.0, (0.3, 0.2, 1.0), Sky(), Light(), 3)


def canvas(floor=True) -> Canvas:
    made = Canvas(PLACE)
    if floor:
        made.sheet(-3.8, -3.8, 3.8, 3.8, 0.2, flat(tone("808080")))
    return made


def painted(made: Canvas, column: int) -> np.ndarray:
    return np.concatenate([part[column] for part in made.parts])


def test_frames_turn_and_nest():
    made = canvas(floor=False)
    with made.at(1.0, 2.0, np.pi / 2), made.at(1.0, 0.0, np.pi / 2):
        made.patch((0, 0, 0), (0.2, 0, 0), (0, 0.1, 0), 1.0, flat(tone("ffffff")))
        made.solid(0.5, -0.2, 0.0, 0.7, 0.2, 0.3)
    made.patch((0, 0, 0), (0.2, 0, 0), (0, 0.1, 0), 1.0, flat(tone("ffffff")))
    assert np.allclose(painted(made, 0)[0, :2], [1.0 - 0.1, 3.0 - 0.05], atol=0.1)
    assert np.allclose(painted(made, 1)[0], [-1, 0, 0], atol=1e-9) and np.allclose(
        painted(made, 2)[0], [0, 0, 1]
    )
    assert np.allclose(painted(made, 0)[1, :2], [0.1, 0.05], atol=0.1)
    x, y, z = (np.argwhere(made.grid) * 0.1 + [-4, -4, 0]).T
    assert np.allclose(
        [x.min(), x.max() + 0.1, y.min(), y.max() + 0.1, z.max() + 0.1], [0.3, 0.5, 2.8, 3.2, 0.3]
    )


@pytest.mark.parametrize("yaw", [0.0, 0.4, 1.2])
def test_solids_keep_their_size_at_any_angle(yaw):
    made = canvas(floor=False)
    with made.at(0.0, 0.0, yaw):
        made.solid(-1.0, -0.5, 0.0, 1.0, 0.5, 0.4)
    assert made.grid.sum() * 0.001 == pytest.approx(0.8, rel=0.06)
    thin = canvas(floor=False)
    with thin.at(0.0, 0.0, yaw):
        thin.solid(-1.0, -0.01, 0.0, 1.0, 0.01, 0.4)
    columns = thin.grid.any(axis=2)
    assert columns.sum() >= 19  # not slipped between the voxels


def test_ground_is_cut_and_raised():
    made = canvas(floor=False)
    made.level(-4, 0, 4, 4, 1.5, "grass")
    made.level(-1, 0, 1, 1, 0.0)
    assert (
        made.ground_at(0.0, 0.5) == 0.0
        and made.ground_at(0.0, 2.0) == 1.5
        and made.ground_at(0.0, -1.0) == 0.0
    )
    assert (
        not made.grid[40, 45].any()
        and made.grid[40, 55, :15].all()
        and not made.grid[40, 55, 15:].any()
    )
    assert made.surface[40, 55] == SEMANTIC_ID["grass"]


def test_wheels_need_the_ramp_and_legs_climb_the_steps():
    made = Canvas(Place((-4.0, -4.0), (4.0, 4.0), 4.0, (0, 0, 1), Sky(), Light(), 3))
    grey = flat(tone("808080"))
    made.sheet(-3.8, -3.8, 3.8, 0.0, 0.2, grey)
    made.level(-4, 0, 4, 4, 0.6)
    made.level(-3, 0, -1, 3.5, 0.0)
    ramp(made, -1.0, 0.0, np.pi / 2, 2.0, 3.5, 0.0, 0.6, grey)
    made.level(1, 0, 3, 1.36, 0.0)
    steps(made, 3.0, 0.0, np.pi / 2, 2.0, 4, grey, 0.0)
    made.sheet(
        -3.8,
        0.0,
        3.8,
        3.8,
        0.2,
        grey,
        0.6,
        lambda x, y: ~((x > -3) & (x < -1) & (y < 3.5)) & ~((x > 1) & (x < 3) & (y < 1.36)),
    )
    occupancy, ground = standing(made)
    up = ground.height > 0.55
    assert not occupancy.grid[10:70, 10:70][up[10:70, 10:70]].any()
    wheels, legs = (occupancy.blocked_by(step, ground.height).grid for step in STEP_CLASSES_M)
    row = 45  # halfway up
    assert wheels[41:50, 50:70].any(axis=0).all() and not legs[41:50, 52:68].any()
    assert not wheels[row, 12:28].any() and ground.height[row, 20] == pytest.approx(
        0.6 * 0.55 / 3.5, abs=0.02
    )


def test_what_stands_is_judged_from_the_ground_below_it():
    made = canvas()
    made.sheet(0, 0, 2, 2, 0.2, flat(tone("808080")), 1.0)
    made.level(0, 0, 2, 2, 1.0)
    for a, b in ((0, 2), (2, 0)):
        made.patch((a, b, 0), (0.2, 0, 0), (0, 0, 1), 0.2, flat(tone("808080")))
    with made.at(-2.0, -2.0):
        bench(made, 0.0, 0.0)
    made.bar_ground(-3, 1, -2, 2)
    occupancy, _ = standing(made)
    assert not occupancy.grid[25, 60] and occupancy.grid[20, 20] and occupancy.grid[55, 15]
    assert occupancy.grid[:2].all() and occupancy.grid[:, -2:].all()


def slow_blocked(grid, start, direction, reach, step):
    for k in range(1, int(reach / step) + 1):
        cell = np.floor(start + direction * step * k).astype(int)
        if (cell < 0).any() or (cell >= grid.shape).any():
            return False
        if grid[tuple(cell)]:
            return True
    return False


def test_rays_march_as_a_slow_loop_does():
    rng = np.random.default_rng(0)
    grid = rng.random((20, 22, 24)) < 0.02
    start, directions = rng.uniform(0, 20, (60, 3)), even_directions(9)
    leaf = rng.random(60) < 0.3
    normal = rng.normal(size=(60, 3))
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    slow = np.array([[slow_blocked(grid, s, d, 15.0, 0.9) for d in directions] for s in start])
    assert 0.1 < slow.mean() < 0.9
    assert np.array_equal(rays.sun_share(grid, start, directions, 15.0, 0.9), (~slow).mean(axis=1))
    weight = np.where(leaf[:, None], 0.5, np.maximum(normal @ directions.T, 0))
    up = directions[:, 2]
    sky = (weight * ~slow * np.maximum(up + 0.15, 0)).sum(1) / weight.sum(1)
    bounce = (weight * np.where(slow, 0.12, np.where(up < 0.3, 0.5, 0.15))).sum(1) / weight.sum(1)
    found = rays.sky_share(grid, start, normal, leaf, directions, 15.0, 0.9)
    assert np.allclose(found, np.stack([sky, bounce], 1), atol=1e-6)


def test_lamps_fade_and_throw_shadows():
    grid = np.zeros((60, 10, 10), bool)
    start = np.array([[10.0, 5, 5], [20.0, 5, 5], [40.0, 5, 5]])
    normal = np.tile([-1.0, 0, 0], (3, 1))
    args = (
        normal,
        np.zeros(3, bool),
        np.array([[0.0, 5, 5]]),
        np.array([[1.0, 2.0, 3.0]]),
        np.array([50.0]),
        1.0,
    )
    light = rays.lamp_light(grid, start, *args)
    assert light[0, 0] > 2 * light[1, 0] > 4 * light[2, 0] > 0 and np.allclose(
        light[:, 2], 3 * light[:, 0]
    )
    assert light[0, 0] == pytest.approx(0.8**2 / (0.3 + 1.0))
    grid[15, 5, 5] = True
    assert np.array_equal(rays.lamp_light(grid, start, *args)[:, 0] > 0, [True, False, False])
    assert not rays.lamp_light(grid, start, -normal, *args[1:]).any()


def street() -> Canvas:
    made = canvas()
    facade(made, (-3.5, 3.5), (3.5, 3.5), 3.6, Front(floors=(1.0,)), doors=(2.0,))
    tree(made, 1.5, 0.0, 2.8, clumps=4, dense=60)
    lamp(made, -2.0, 0.0, light=1.0)
    made.ring(-1.0, -2.0, 0.0, 0.6, 0.02, 0.15, flat(tone("304048")), gloss=0.7)
    return made


CAMERAS = np.array([[0.0, -1.0, 1.5], [1.0, -2.0, 1.5], [-1.5, -1.0, 1.5], [0.5, 0.5, 1.5]])


def test_light_has_shadow_and_gloss():
    made = street()
    lit = bake(made)
    flat_ground = (lit.points[:, 2] < 0.01) & (lit.normal[:, 2] > 0.9)
    # The sun stands in the north-east, low enough for the tree to shade the ground on its other
    # side.
    bright = lit.colour.mean(1)
    shade = flat_ground & (np.hypot(lit.points[:, 0] - 0.9, lit.points[:, 1] + 0.4) < 0.5)
    open_ = flat_ground & (lit.points[:, 1] < -2.5) & (lit.points[:, 0] > 1)
    assert bright[shade].mean() < 0.85 * bright[open_].mean()
    shiny = np.abs(lit.mirror).sum((1, 2)) > 0
    assert shiny.any() and shiny.mean() < 0.2
    water = np.flatnonzero(shiny & (lit.points[:, 2] < 0.1))[0]
    down, level = lit.mirror[water].T @ [0, 0, -1], lit.mirror[water].T @ [1.0, 0, 0]
    assert (down > level).all()  # a mirror on the ground shows the bright zenith to an eye above it


def test_captures_blur_what_was_not_seen_and_keep_the_ground_closed():
    made = street()
    lit = bake(made)
    splats = capture(made, lit, CAMERAS)
    assert splats.sh.shape[1:] == (4, 3) and splats.means.dtype == np.float32
    assert np.allclose(np.linalg.norm(splats.quats, axis=1), 1, atol=1e-5)
    top = splats.means[:, 2] > 3.4
    low = (splats.means[:, 2] > 1.0) & (splats.means[:, 2] < 2.0) & (splats.means[:, 1] > 3.4)
    assert np.median(splats.scales[top].max(1)) > 1.15 * np.median(splats.scales[low].max(1))
    floor = (np.abs(lit.points[:, 2]) < 0.01) & (lit.normal[:, 2] > 0.9)
    cells = {tuple(c) for c in np.floor(lit.points[floor, :2] / 0.4).astype(int)}
    left = {
        tuple(c)
        for c in np.floor(splats.means[np.abs(splats.means[:, 2]) < 0.05][:, :2] / 0.4).astype(int)
    }
    assert cells <= left | {c for c in cells if c not in left and np.hypot(*c) * 0.4 > 9}
    faint = splats.opacities < 0.25
    assert 50 < faint.sum() < 0.1 * len(faint)  # floaters


def test_same_bytes_whatever_the_threads():
    before, results = numba.get_num_threads(), []
    try:
        for threads in (1, before):
            numba.set_num_threads(threads)
            made = street()
            results.append(capture(made, bake(made), CAMERAS))
    finally:
        numba.set_num_threads(before)
    for name in ("means", "quats", "scales", "opacities", "sh"):
        assert np.array_equal(getattr(results[0], name), getattr(results[1], name))


def test_scatter_is_even():
    i, j = np.meshgrid(np.arange(-50, 50), np.arange(-50, 50))
    drawn = scatter(i, j, 3)
    assert (
        0 <= drawn.min()
        and drawn.max() < 1
        and abs(drawn.mean() - 0.5) < 0.02
        and abs(drawn.std() - 12**-0.5) < 0.02
    )
    assert abs(np.corrcoef(drawn[:, :-1].ravel(), drawn[:, 1:].ravel())[0, 1]) < 0.05
