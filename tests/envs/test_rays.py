import dataclasses
import json
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from s2e.core.errors import UserError
from s2e.core.observation import robot_token
from s2e.envs.config import WorldsConfig
from s2e.envs.geometry.camera import Camera
from s2e.envs.rays import (
    AROUND,
    VIEW_SHARE,
    RayAgent,
    RayConfig,
    RayPolicy,
    RaySense,
    _around,
    load_rays,
    to_waypoint,
)
from s2e.envs.robots.kinds import ROBOTS, randomise
from s2e.envs.scenes.episodes import RandomEpisodes
from s2e.envs.streets.pool import training_scenes
from s2e.envs.worlds import Worlds
from tests.envs.ray_files import save


@pytest.fixture(scope="module")
def scenes():
    return training_scenes(2, 0)


def make_worlds(scenes, count=12, robot="any", people=6, **more):
    episodes = RandomEpisodes(scenes, count, 5, people)
    worlds = Worlds(
        scenes, WorldsConfig(robot=robot, people=people, **more), count, episodes, draw=False
    )
    worlds.reset()
    return worlds


def marched(worlds, world, angle, reach=12.0):
    """Metres to the first occupied cell along one ray, by points a millimetre apart."""
    occupancy, _ = worlds.route_map(world)
    x, y, yaw = worlds.pose[world]
    along = np.arange(0, reach, 0.001)
    cells = occupancy.cell_of(
        np.array([x, y]) + along[:, None] * [np.cos(yaw + angle), np.sin(yaw + angle)]
    )
    inside = ((cells >= 0) & (cells < occupancy.grid.shape)).all(1)
    solid = ~inside
    solid[inside] |= occupancy.grid[tuple(cells[inside].T)]
    return along[np.argmax(solid)] if solid.any() else reach


def test_rays_are_inside_the_camera_and_true(scenes):
    worlds, config = make_worlds(scenes), RayConfig(trail=())
    seen = RaySense(worlds, config).observe()
    assert seen.shape == (12, config.width) and seen.dtype == np.float32 and np.isfinite(seen).all()
    for world in range(12):
        half = np.radians(worlds.fleet.camera[world, 0]) / 2
        for k, angle in ((0, -half), (31, half), (10, half * (20 / 31 - 1))):
            assert np.exp(seen[world, k]) == pytest.approx(
                max(marched(worlds, world, angle), 0.05), abs=0.02
            )


def test_people_have_rays_of_their_own(scenes):
    worlds = make_worlds(scenes, people=1)
    worlds.people.active[:] = True
    ahead = np.stack([np.cos(worlds.pose[:, 2]), np.sin(worlds.pose[:, 2])], 1)
    worlds.people.position[:, 0] = worlds.pose[:, :2] + 2.0 * ahead
    seen = RaySense(worlds, RayConfig(rays=33)).observe()
    # less the person's radius
    np.testing.assert_allclose(np.exp(seen[:, 33 + 16]), 1.75, atol=1e-3)
    assert (np.exp(seen[:, 33]) > 11.9).all(), "nobody stands at the right edge"


def test_things_seem_nearer_but_people_do_not(scenes):
    worlds, config = make_worlds(scenes), RayConfig(memory=2)
    true = RaySense(worlds, config).observe()
    seen = RaySense(worlds, config, nearer_m=0.1).observe()
    np.testing.assert_allclose(
        np.exp(seen[:, :32]), np.maximum(np.exp(true[:, :32]) - 0.1, 0.05), atol=1e-5
    )
    np.testing.assert_array_equal(seen[:, 32:64], true[:, 32:64])


def test_what_was_seen_is_remembered_and_turns_with_the_robot(scenes):
    worlds, config = (
        make_worlds(scenes, robot="jackal", people=0),
        RayConfig(memory=4, memory_m=6.0),
    )
    sense = RaySense(worlds, config)
    sense.observe()
    first = sense.observe()[:, 64 : 64 + AROUND]
    nothing = np.isclose(np.exp(first), 6.0)
    assert nothing[:, AROUND // 2].all() and (~nothing).any(), (
        "in front of it there was something, behind it nobody looked"
    )
    worlds.pose[:, 2] += np.pi / 2
    turned = sense.peek(np.arange(12), worlds.pose, worlds.velocity, worlds.people.position)[
        :, 64 : 64 + AROUND
    ]
    np.testing.assert_allclose(turned, np.roll(first, -AROUND // 4, axis=1), atol=1e-4)
    sense.begin(np.array([3]))
    after = sense.peek(np.arange(12), worlds.pose, worlds.velocity, worlds.people.position)[
        :, 64 : 64 + AROUND
    ]
    assert np.allclose(np.exp(after[3]), 6.0) and np.array_equal(after[2], turned[2])


def test_its_own_way_is_known(scenes):
    worlds = make_worlds(scenes, robot="jackal", people=0)
    config = RayConfig(trail=(1, 3))
    sense = RaySense(worlds, config)
    assert (sense.observe()[:, 64:68] == 0).all(), "as if it had stood there"
    heading = np.stack([np.cos(worlds.pose[:, 2]), np.sin(worlds.pose[:, 2])], 1)
    for _ in range(3):
        worlds.pose[:, :2] += 0.1 * heading
        seen = sense.observe()
    np.testing.assert_allclose(seen[:, 64:68], np.tile([-0.1, 0.0, -0.3, 0.0], (12, 1)), atol=1e-5)


def test_what_is_remembered_lies_in_the_sector_of_its_bearing():
    """Sector k is centred on k turns of 1/8 to the left; the nearest of each, within reach."""
    yaw, place = 0.7, np.array([3.0, -2.0])

    def told(*polar, reach=5.0):
        bearing, far = np.array(polar, float).reshape(-1, 2).T
        ends = place + far[:, None] * np.stack([np.cos(yaw + bearing), np.sin(yaw + bearing)], 1)
        points = np.full((2, 3, 4, 2), np.nan)  # of two robots, the second one's
        points[1].reshape(-1, 2)[: len(ends)] = ends
        poses, out = np.array([[0.0, 0, 0], [*place, yaw]]), np.zeros((2, 8))
        _around(poses, points, reach, out)
        assert (out[0] == reach).all(), "nothing was remembered"
        return out[1]

    eighth = np.pi / 4
    for bearing, sector in (
        *((k * eighth, k % 8) for k in range(-3, 5)),
        (0.49 * eighth, 0),
        (0.51 * eighth, 1),
        (-0.49 * eighth, 0),
        (-0.51 * eighth, 7),
        (3.51 * eighth, 4),
        (-3.51 * eighth, 4),
    ):
        out = told((bearing, 2.0))
        assert out[sector] == pytest.approx(2.0) and (np.delete(out, sector) == 5.0).all(), bearing
    out = told((0.0, 3.0), (0.1, 2.5), (-0.1, 4.0), (eighth, 6.0), (np.pi, 0.3))
    np.testing.assert_allclose(out, [2.5, 5, 5, 5, 0.3, 5, 5, 5])


def test_every_second_scan_is_remembered_in_the_place_of_the_oldest(scenes):
    worlds = make_worlds(scenes, count=2, robot="jackal", people=0)
    sense = RaySense(worlds, RayConfig(memory=2, memory_m=6.0))
    held = []
    for _ in range(5):
        sense.observe()
        held.append(sense.points.copy())
        worlds.pose[:, 0] += 0.01
    known = [np.isfinite(points).any((0, 2, 3)).tolist() for points in held]
    assert known == [[True, False], [True, False], [True, True], [True, True], [True, True]]
    first, _, third, fourth, fifth = held
    np.testing.assert_array_equal(third[:, 0], first[:, 0])
    np.testing.assert_array_equal(fourth, third)
    np.testing.assert_array_equal(fifth[:, 1], third[:, 1])
    assert not np.array_equal(fifth[:, 0], third[:, 0], equal_nan=True)
    # where they are, the ground is not free
    away = np.linalg.norm(first[:, 0] - worlds.pose[:, None, :2], axis=-1)
    for world in range(2):
        assert np.nanmin(away[world]) == pytest.approx(
            min(marched(worlds, world, a) for a in sense.angles(np.arange(2))[world]), abs=0.1
        )


def test_its_own_motion_and_the_goal_are_told_last(scenes):
    worlds = make_worlds(scenes, count=2, robot="jackal", people=0)
    worlds.velocity[:] = [[0.8, 0.4, 0.0], [-0.5, 0.2, 0.3]]
    worlds.pose[0, 2] = np.pi / 2
    worlds.goal[0] = worlds.pose[0, :2] + [-3.0, 4.0]  # 5 m, ahead and to the left
    seen = RaySense(worlds, RayConfig(goal_clip_m=10.0)).observe()
    # v, omega and curvature
    np.testing.assert_allclose(seen[:, -9:-6], [[0.8, 0.4, 0.5], [-0.5, 0.2, 0.4]], atol=1e-6)
    np.testing.assert_allclose(seen[0, -12:-9], [0.5, 0.8, 0.6], atol=1e-6)
    np.testing.assert_allclose(seen[:, -6:], robot_token(worlds.fleet.about()))


def test_what_lies_farther_back_than_five_metres_is_told_as_five(scenes):
    worlds = make_worlds(scenes, count=2, robot="jackal", people=0)
    sense = RaySense(worlds, RayConfig(trail=(1, 2)))
    sense.observe()
    here = worlds.pose.copy()
    worlds.pose[0, :2] -= 7 * np.array([np.cos(here[0, 2]), np.sin(here[0, 2])])
    worlds.pose[1, :2] -= 7 * np.array([-np.sin(here[1, 2]), np.cos(here[1, 2])])
    seen = sense.peek(np.arange(2), worlds.pose, worlds.velocity, worlds.people.position)
    np.testing.assert_allclose(seen[:, 64:66], [[5, 0], [0, 5]], atol=1e-5)
    worlds.pose[:, :2] = 2 * here[:, :2] - worlds.pose[:, :2]
    seen = sense.peek(np.arange(2), worlds.pose, worlds.velocity, worlds.people.position)
    np.testing.assert_allclose(seen[:, 64:68], [[-5, 0, 0, 0], [0, -5, 0, 0]], atol=1e-5)


def test_who_drives_keeps_six_centimetres_and_forgets_at_the_start(scenes):
    worlds, config = make_worlds(scenes), RayConfig(memory=2, trail=(1,))
    policy = RayPolicy(config)
    true = RaySense(worlds, config).observe()
    for recovers in (False, True):
        agent: Any = RayAgent(worlds, policy, recovery=recovers)
        seen = agent.sense.observe()
        np.testing.assert_allclose(
            np.exp(seen[:, :32]), np.maximum(np.exp(true[:, :32]) - 0.06, 0.05), atol=1e-5
        )
        asked = []
        if recovers:
            agent.recovery = SimpleNamespace(
                begin=asked.append, relieve=lambda waypoints, *_: waypoints + 100
            )
        agent.reset(np.array([3, 5]))
        assert np.isnan(agent.sense.points[[3, 5]]).all() and (agent.sense.tick[[3, 5]] == 0).all()
        assert np.isfinite(agent.sense.trail[[0, 4]]).all() and agent.sense.tick[4] == 1
        assert [a.tolist() for a in asked] == ([[3, 5]] if recovers else [])
        assert (agent.act() > 50).all() == recovers


GOOD = dataclasses.asdict(RayConfig(robots=("coco",)))


@pytest.mark.parametrize(
    ("field", "fits", "fails"),
    [
        ("rays", (2, 4096), (1, 4097, 2.0)),
        ("hidden", (1, 4096), (0, 4097)),
        ("memory", (0, 4096), (-1, 4097)),
        ("reach_m", (0.1, 999.0), (0, 1e3, "far", float("nan"))),
        ("memory_m", (0.1, 999.0), (0, 1e3)),
        ("goal_clip_m", (0.1, 999.0), (0, 1e3)),
        ("trail", ([], [1, 256]), ([0], [257], [1, 0], [1.5])),
        ("views_deg", ([], [0.5], [359.0]), ([0], [360], [90, 90])),
        ("robots", (["coco"],), ([3], 3)),
    ],
)
def test_edges_of_what_a_file_may_say(field, fits, fails):
    for value in fits:
        read = getattr(RayConfig.from_dict({**GOOD, field: value}, "file"), field)
        assert read == (tuple(value) if isinstance(value, list) else value)
    for value in fails:
        with pytest.raises(UserError, match="file: a field of `rays` is out of range"):
            RayConfig.from_dict({**GOOD, field: value}, "file")


def test_a_policys_input_is_as_wide_as_what_is_seen():
    # two kinds of rays, goal, ego and robot; then what is remembered and the trail
    assert RayConfig(rays=7, trail=()).width == 7 + 7 + 3 + 3 + 6
    assert RayConfig(rays=7, trail=(2, 4, 5)).width == 26 + 6
    assert RayConfig(rays=7, trail=(2,), memory=1).width == 26 + 2 + 32


def test_state_goes_on_as_if_nothing_had_happened(scenes):
    worlds, config = make_worlds(scenes), RayConfig(memory=3)
    one, other = RaySense(worlds, config), RaySense(worlds, config)
    for _ in range(5):
        one.observe()
        worlds.step(np.tile([0.5, 0.1], (12, 1)))
    other.restore(one.arrays())
    np.testing.assert_array_equal(one.observe(), other.observe())


def test_actions_reach_what_a_second_allows():
    waypoints = to_waypoint(
        np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [9.0, -9.0]]), np.full(4, 1.5)
    )
    np.testing.assert_allclose(waypoints, [[1.5, 0], [-0.1, 0], [0.7, 1.2], [1.5, -1.2]])


def test_a_saved_policy_drives_the_same(scenes, tmp_path):
    config = RayConfig(memory=2)
    policy = save(tmp_path / "p", config)
    loaded = load_rays(tmp_path / "p", ("jackal", "g1"))
    worlds = make_worlds(scenes)
    np.testing.assert_array_equal(RayAgent(worlds, policy).act(), RayAgent(worlds, loaded).act())


def test_what_does_not_fit_is_refused(tmp_path):
    config = RayConfig(robots=("coco",))
    save(tmp_path / "p", config)
    with pytest.raises(UserError, match=r"trained for coco, not for jackal; .* --robot jackal"):
        load_rays(tmp_path / "p", ("coco", "jackal"))
    for values, text in (
        ({}, "does not have the fields"),
        ({**dataclasses.asdict(config), "rays": -1}, "out of range"),
        ({**dataclasses.asdict(config), "hidden": 1 << 30}, "out of range"),
        ({**dataclasses.asdict(config), "robots": 3}, "out of range"),
        ({**dataclasses.asdict(config), "hidden": 64}, "does not fit config.json"),
    ):
        (tmp_path / "p" / "config.json").write_text(json.dumps({"rays": values}))
        with pytest.raises(UserError, match=text):
            load_rays(tmp_path / "p")
    (tmp_path / "p" / "config.json").write_text(json.dumps({"policy": {}}))
    with pytest.raises(UserError, match="not a ray policy's checkpoint"):
        load_rays(tmp_path / "p")


def test_another_camera_is_refused(tmp_path, monkeypatch):
    """A policy of before fields of view were noted is for those of the robots as they are."""
    save(tmp_path / "p", RayConfig(robots=("coco", "go2"), views_deg=(90.0, 120.0)))
    load_rays(tmp_path / "p", ("coco",))
    with pytest.raises(
        UserError, match=r"a camera of 120 degrees on go2, which has one of 100; .* --robot go2"
    ):
        load_rays(tmp_path / "p", ("coco", "go2"))
    narrow = dataclasses.replace(ROBOTS["coco"], camera=Camera(hfov_deg=60.0))
    monkeypatch.setitem(ROBOTS, "coco", narrow)
    with pytest.raises(UserError, match="a camera of 90 degrees on coco, which has one of 60"):
        load_rays(tmp_path / "p", ("coco",))
    old = dataclasses.asdict(RayConfig(robots=("coco",)))
    del old["views_deg"]
    assert RayConfig.from_dict(old, "old") == RayConfig(robots=("coco",))
    for views in ((90.0, 90.0), (0.0,), ("wide",), 90.0):
        with pytest.raises(UserError, match="out of range"):
            RayConfig.from_dict({**old, "views_deg": views}, "file")


def test_cameras_that_vary_are_no_other_cameras():
    for robot in ROBOTS.values():
        drawn = [
            randomise(np.random.default_rng(seed), robot).camera.hfov_deg / robot.camera.hfov_deg
            for seed in range(100)
        ]
        assert max(abs(share - 1.0) for share in drawn) < VIEW_SHARE


def test_the_shipped_policy_says_which_cameras_it_is_for():
    config = load_rays("rays", tuple(ROBOTS)).config
    assert config.views_deg == tuple(ROBOTS[name].camera.hfov_deg for name in config.robots)
