import numpy as np
import pytest

from s2e.core.observation import RAY_ANGLES, RAY_RANGE_M, RAYS
from s2e.envs.config import WorldsConfig
from s2e.envs.free_space import free_space
from s2e.envs.people.crowd import PERSON_RADIUS
from s2e.envs.scenes.episodes import RandomEpisodes
from s2e.envs.streets.pool import training_scenes
from s2e.envs.worlds import Worlds

STEP_M = 0.001


@pytest.fixture(scope="module")
def worlds():
    scenes = training_scenes(3, 0)
    worlds = Worlds(
        scenes,
        WorldsConfig(robot="any", people=8),
        24,
        RandomEpisodes(scenes, 24, 6, 8, crowded=True),
        draw=False,
    )
    worlds.reset()
    rng = np.random.default_rng(0)
    for _ in range(10):
        worlds.step(rng.normal([0.8, 0], 0.3, (24, 2)))
    return worlds


def marched(worlds, world):
    """(RAYS,) the slow way: points a millimetre apart, each looked up in the robot's map and
    measured against everybody."""
    occupancy, _ = worlds.route_map(world)
    x, y, yaw = worlds.pose[world]
    along = np.arange(0, RAY_RANGE_M, STEP_M)
    people = worlds.people.position[world][worlds.people.active[world]]
    found = np.full(RAYS, RAY_RANGE_M)
    for k, angle in enumerate(RAY_ANGLES):
        points = np.array([x, y]) + along[:, None] * [np.cos(yaw + angle), np.sin(yaw + angle)]
        cells = occupancy.cell_of(points)
        inside = ((cells >= 0) & (cells < occupancy.grid.shape)).all(1)
        solid = ~inside
        solid[inside] |= occupancy.grid[tuple(cells[inside].T)]
        away = np.linalg.norm(points[:, None] - people, axis=-1).min(1, initial=np.inf)
        hit = np.flatnonzero(solid | (away <= PERSON_RADIUS))
        found[k] = (along[hit[0]] if inside[hit[0]] else np.nan) if len(hit) else RAY_RANGE_M
    return found


def test_rays_end_where_marching_ends(worlds):
    fast = free_space(worlds, np.arange(24))
    assert fast.shape == (24, RAYS) and fast.dtype == np.float32
    slow = np.stack([marched(worlds, w) for w in range(24)])
    seen = ~np.isnan(fast)
    half = np.radians(worlds.fleet.camera[:, :1]) / 2
    np.testing.assert_array_equal(seen, ~np.isnan(slow) & (np.abs(RAY_ANGLES) <= half))
    off = (slow - fast)[seen]
    # Marching can step over the corner of a cell or the rim of a person; it never ends before the
    # ray does.
    assert off.min() > -1e-5 and (off < 2 * STEP_M).mean() > 0.98
    near = fast[seen]
    assert (near == RAY_RANGE_M).any() and (near < 3).any()


def test_people_stand_in_the_way(worlds):
    # beyond the map: farther than anybody
    with_people = np.nan_to_num(free_space(worlds, np.arange(24)), nan=np.inf)
    there = worlds.people.active.copy()
    worlds.people.active[:] = False
    without = free_space(worlds, np.arange(24))
    worlds.people.active[:] = there
    seen = ~np.isnan(without)
    assert (with_people[seen] <= without[seen]).all() and (with_people[seen] < without[seen]).any()


def test_unknown_outside_the_camera(worlds):
    rays = free_space(worlds, np.arange(24))
    for world in range(24):
        half = np.radians(worlds.fleet.camera[world, 0]) / 2
        assert (
            np.isnan(rays[world, np.abs(RAY_ANGLES) > half]).all()
            and not np.isnan(rays[world]).all()
        )
    assert np.isnan(rays).any(), "a robot whose camera sees less than the rays is among them"


def test_a_wall_straight_ahead_and_whoever_stands_in_one(worlds):
    world, keep = 0, worlds.pose[0].copy()
    occupancy, distance = worlds.route_map(world)
    row, col = np.unravel_index(int(distance.argmax()), distance.shape)
    blocked = np.flatnonzero(occupancy.grid[row, col:])
    ahead = (blocked[0] if len(blocked) else occupancy.grid.shape[1] - col) * occupancy.resolution
    middle = occupancy.origin + (np.array([col, row]) + 0.5) * occupancy.resolution
    worlds.pose[world] = *middle, -RAY_ANGLES[3]
    worlds.people.active[world] = False
    worlds.fleet.camera[world, 0] = 90.0
    expected = min(ahead - occupancy.resolution / 2, RAY_RANGE_M)
    assert free_space(worlds, np.array([world]))[0, 3] == pytest.approx(expected, abs=1e-6)
    row, col = np.argwhere(occupancy.grid)[0]
    worlds.pose[world, :2] = occupancy.origin + (np.array([col, row]) + 0.5) * occupancy.resolution
    np.testing.assert_array_equal(free_space(worlds, np.array([world]))[0], 0.0)
    worlds.pose[world] = keep


def test_nothing_is_known_beyond_the_map(worlds):
    world, keep, ray = 0, worlds.pose[0].copy(), 3
    occupancy, _ = worlds.route_map(world)
    field, size = (
        worlds.field_id[world],
        np.array(occupancy.grid.shape)[::-1] * occupancy.resolution,
    )
    values = worlds.fields.values.copy()
    rows, cols = worlds.fields.shape[field]
    start = worlds.fields.start[field]
    worlds.fields.values[start : start + rows * cols] = 1  # an empty map
    worlds.people.active[world] = False
    worlds.fleet.camera[world, 0] = 90.0
    east = occupancy.origin[0] + size[0]

    def seen(before_border_m):
        worlds.pose[world] = (
            east - before_border_m,
            occupancy.origin[1] + size[1] / 2,
            -RAY_ANGLES[ray],
        )
        return free_space(worlds, np.array([world]))[0, ray]

    assert np.isnan(seen(3.0)) and np.isnan(seen(-1.0))
    assert seen(RAY_RANGE_M + 0.5) == RAY_RANGE_M
    worlds.people.active[world, 0] = True
    for away in (2.0, 4.0):  # before the border, and behind it
        seen(3.0)
        worlds.people.position[world, 0] = worlds.pose[world, :2] + [away, 0.0]
        assert seen(3.0) == pytest.approx(away - PERSON_RADIUS) if away < 3 else np.isnan(seen(3.0))
    worlds.fields.values[:] = values
    worlds.pose[world] = keep
