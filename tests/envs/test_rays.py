import dataclasses
import json

import numpy as np
import pytest

from s2e.core.errors import UserError
from s2e.envs.config import WorldsConfig
from s2e.envs.geometry.camera import Camera
from s2e.envs.rays import (
    AROUND,
    VIEW_SHARE,
    RayAgent,
    RayConfig,
    RaySense,
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
