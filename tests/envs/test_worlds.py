import threading
import time
from typing import Any

import gymnasium
import numba
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from stable_baselines3 import PPO
from stable_baselines3.common.env_checker import check_env as sb3_check_env

import s2e.envs  # noqa: F401
from s2e.core.errors import UserError
from s2e.envs.config import OUTPUTS, WorldsConfig
from s2e.envs.expert.drive import ExpertAgent
from s2e.envs.geometry.scene import GOAL_RADIUS_M, SEMANTIC_ID, Episode, Walker
from s2e.envs.render import Renderer
from s2e.envs.robots.collision import room_at_points
from s2e.envs.robots.kinematic import Kinematic
from s2e.envs.sb3 import UrbanVecEnv
from s2e.envs.scenes.episodes import ListedEpisodes, RandomEpisodes, read_episodes, write_episodes
from s2e.envs.streets.pool import training_scenes
from s2e.envs.vector import EpisodesConfig, make_worlds
from s2e.envs.worlds import Worlds

CONFIG = WorldsConfig(people=3, height_px=24, width_px=40)
EVERYTHING = WorldsConfig(
    robot="any",
    randomise=1.0,
    camera_noise=1.0,
    people=4,
    outputs=OUTPUTS,
    reward="compact",
    height_px=24,
    width_px=40,
)


@pytest.fixture(scope="module")
def scenes():
    return training_scenes(3, 0)


def worlds_of(scenes, count=4, seed=0, config=CONFIG, **more):
    return Worlds(scenes, config, count, RandomEpisodes(scenes, count, seed, config.people), **more)


def drive(worlds, steps, seed=1):
    rng = np.random.default_rng(seed)
    out = []
    for _ in range(steps):
        way = rng.normal([0.8, 0], 0.4, (64, 2))[: worlds.count]
        seen, reward, terminated, truncated = worlds.step(way)
        out.append((reward, terminated, truncated, *(seen[k].copy() for k in sorted(seen))))
    return out


@pytest.mark.parametrize("config", [CONFIG, EVERYTHING])
def test_a_world_lives_the_same_life_in_any_batch_and_on_any_number_of_threads(
    scenes, config, monkeypatch
):
    small, large = worlds_of(scenes, 2, config=config), worlds_of(scenes, 9, config=config)
    # what is read, not what the machine has: nine views are drawn by two threads of three
    monkeypatch.setattr(numba, "get_num_threads", lambda: 3)
    large.reset()
    beside = drive(large, 60)
    monkeypatch.setattr(numba, "get_num_threads", lambda: 1)
    small.reset()
    alone = drive(small, 60)
    ended = 0
    for a, b in zip(alone, beside, strict=True):
        for x, y in zip(a, b, strict=True):
            np.testing.assert_array_equal(x, y[:2])
        ended += a[1].sum()
    assert ended, "episodes ended and began anew on the way"


@pytest.mark.parametrize("config", [CONFIG, EVERYTHING])
def test_state_comes_back_bit_for_bit(scenes, config):
    import json

    first = worlds_of(scenes, config=config)
    first.reset()
    drive(first, 15)
    arrays, state = first.state()
    state = json.loads(json.dumps(state))
    expected = drive(first, 40, seed=2)
    second = worlds_of(scenes, config=config)
    second.restore_state(arrays, state)
    for a, b in zip(expected, drive(second, 40, seed=2), strict=True):
        for x, y in zip(a, b, strict=True):
            np.testing.assert_array_equal(x, y)


def episode(scene, **more):
    start, goal = scene.free_anchors[0], scene.free_anchors[1]
    values = dict(
        id="e",
        setting="empty",
        start=(*start, 0.0),
        goal=tuple(goal),
        route_m=5.0,
        time_limit_s=8.0,
        seed=0,
    )
    return Episode(**{**values, **more})


def blocked_way(scene):
    """A start (x, y, yaw) that looks at a goal far away, the goal, and somebody who stands 0.75 m
    ahead."""
    start = scene.free_anchors[0]
    goal = scene.free_anchors[np.linalg.norm(scene.free_anchors - start, axis=1).argmax()]
    yaw = float(np.arctan2(goal[1] - start[1], goal[0] - start[0]))
    ahead = start + 0.75 * np.array([np.cos(yaw), np.sin(yaw)])
    return (*start, yaw), tuple(goal), Walker(tuple(ahead), tuple(ahead + 0.01), 0.01, 3)


def test_counting_contacts_blocks_and_goes_on(scenes):
    config = WorldsConfig(people=0, collision="counts", height_px=24, width_px=40)
    x, y = scenes[0].free_anchors[0]
    start = (x, y, np.pi / 2 if y > 0 else -np.pi / 2)  # towards the nearer long side
    worlds = Worlds(
        scenes, config, 1, ListedEpisodes([episode(scenes[0], start=start)]), draw=False
    )
    worlds.reset()
    while worlds.live[0]:
        worlds.step(np.array([[1.5, 0.0]]))  # straight on until a wall, and on
    assert worlds.last["contacts"][0] == 1 and not worlds.last["success"][0]
    assert worlds.last["contact_steps"][0] > worlds.last["contacts"][0]
    assert worlds.last["time_s"][0] == pytest.approx(8.0)


def test_a_person_in_the_way_is_a_contact_with_a_person(scenes):
    scene = scenes[0]
    start, goal, standing = blocked_way(scene)
    config = WorldsConfig(people=1, height_px=24, width_px=40)
    worlds = Worlds(
        scenes,
        config,
        1,
        ListedEpisodes([episode(scene, start=start, goal=goal, walkers=(standing,))]),
    )
    worlds.reset()
    for _ in range(10):
        worlds.step(np.array([[1.5, 0.0]]))
    assert worlds.last["contacts"].size or worlds.contacts[0] == 1
    assert worlds.with_person[0] and not worlds.live[0]


def test_who_bumps_into_a_person_stands_and_the_person_is_gone_in_the_next_episode(scenes):
    """Nothing of an episode stays: neither people, speed, contacts nor the clock."""
    scene = scenes[0]
    start, goal, standing = blocked_way(scene)
    first = episode(scene, start=start, goal=goal, walkers=(standing,), time_limit_s=2.0)

    left: list[int] = []

    class Twice(ListedEpisodes):
        def next(self, world):
            left.append(world)
            return (0, self.episodes[len(left) - 1]) if len(left) <= 2 else None

    config = WorldsConfig(people=1, collision="counts", height_px=24, width_px=40)
    worlds = Worlds(
        [scene], config, 1, Twice([first, episode(scene, start=start, goal=goal)]), draw=False
    )
    worlds.reset()
    while not worlds.contacts[0]:
        before = worlds.pose[0, :2].copy()
        worlds.step(np.array([[1.5, 0.0]]))
    assert worlds.velocity[0].tolist() == [0.0, 0.0, 0.0] and worlds.with_person[0]
    where = worlds.pose[0].copy()
    assert np.linalg.norm(where[:2] - before) < 0.3
    worlds.step(np.array([[1.5, 0.0]]))
    assert worlds.pose[0].tolist() == where.tolist() and worlds.velocity[0, 0] == 0, (
        "who is blocked goes nowhere and has no speed"
    )
    while not len(worlds.last["world"]):
        worlds.step(np.array([[1.5, 0.0]]))
    assert worlds.last["contacts"].tolist() == [1] and not worlds.last["success"][0]
    assert (
        not worlds.people.active.any()
        and worlds.contacts[0] == worlds.steps[0] == worlds.clock[0] == worlds.travelled[0] == 0
    )
    assert worlds.velocity[0].tolist() == [0.0, 0.0, 0.0] and worlds.pose[0] == pytest.approx(start)
    for _ in range(6):
        worlds.step(np.array([[1.5, 0.0]]))
    assert worlds.contacts[0] == 0 and worlds.travelled[0] > 0.5, "nobody is in the way any more"


@pytest.mark.parametrize("collision", ["ends", "counts"])
def test_a_contact_at_the_goal_is_a_failure_where_contacts_end_the_episode(
    scenes, monkeypatch, collision
):
    config = WorldsConfig(
        people=0, collision=collision, reward="compact", height_px=24, width_px=40
    )
    start, goal = scenes[0].free_anchors[0], scenes[0].free_anchors[1]
    yaw = float(np.arctan2(goal[1] - start[1], goal[0] - start[0]))
    near = goal - 0.5 * GOAL_RADIUS_M * np.array([np.cos(yaw), np.sin(yaw)])
    worlds = Worlds(
        scenes,
        config,
        1,
        ListedEpisodes([episode(scenes[0], start=(*start, yaw), goal=tuple(goal))]),
        draw=False,
    )
    worlds.reset()

    def bump(command, moving):
        worlds.pose[0, :2] = near
        return moving.copy()

    monkeypatch.setattr(worlds, "_move", bump)
    _, reward, terminated, truncated = worlds.step(np.zeros((1, 2)))
    assert (
        terminated[0] and not truncated[0] and worlds.last["success"][0] == (collision == "counts")
    )
    assert (worlds.last["reward_arrive"][0] > 0) == (collision == "counts") and worlds.last[
        "reward_collision"
    ][0] < 0


def test_a_step_tells_the_reward_what_happened_in_it(scenes, monkeypatch):
    """Every number by itself, from where the robots were and are."""
    told: list[Any] = []
    monkeypatch.setattr(
        "s2e.envs.worlds.reward_terms",
        lambda reward, step: told.append(step) or {"x": np.full(3, 2.0)},
    )
    stood = [SEMANTIC_ID[name] for name in ("road", "sidewalk", "grass")]
    asked: list[np.ndarray] = []
    monkeypatch.setattr(
        "s2e.envs.worlds.surface_at",
        lambda ground, scene, xy: asked.append(xy.copy()) or np.array(stood, np.uint8),
    )
    worlds = worlds_of(scenes, 3, draw=False)
    worlds.reset()
    worlds.people.active[:] = False
    standing = worlds.pose[1, :2] + [0.0, 30.0]
    for k in range(4):
        worlds.people.active[1, 0] = True
        worlds.people.position[1, 0] = standing
        before, omega = worlds.pose.copy(), worlds.velocity[:, 1].copy()
        way = np.array([[0.4, 0.1 * (k - 1)], [0.5, 0.0], [0.3, -0.2 * k]])
        _, reward, _, _ = worlds.step(way)
        step, after = told[-1], worlds.pose
        assert step.step_s == worlds.config.step_s == pytest.approx(0.2)
        np.testing.assert_array_equal(asked[-1], after[:, :2])
        assert step.off_sidewalk.tolist() == [True, False, True]
        np.testing.assert_array_equal(step.waypoint, way)
        np.testing.assert_array_equal(step.pose, after)
        np.testing.assert_allclose(step.omega_change, worlds.velocity[:, 1] - omega)
        for distance, pose in ((step.distance_before, before), (step.distance_after, after)):
            np.testing.assert_allclose(distance, np.hypot(*(worlds.goal - pose[:, :2]).T))
        np.testing.assert_allclose(step.speed, np.hypot(*worlds.velocity[:, [0, 2]].T))
        np.testing.assert_allclose(step.time_s, 0.2 * (k + 1))
        assert np.isinf(step.person_gap[[0, 2]]).all() and 28 < step.person_gap[1] < 30
        assert not step.arrived.any() and not step.collided.any() and (step.static_gap > 0).all()
        assert (reward == 2).all() and (worlds.returns == 2 * (k + 1)).all()
    assert np.abs(told[-1].omega_change).max() > 0.01


def test_only_who_touches_a_person_is_stopped(scenes):
    scene = scenes[0]
    start, goal, _ = blocked_way(scene)
    yaw = start[2]
    config = WorldsConfig(people=1, collision="counts", height_px=24, width_px=40)
    for aside, touches in ((0.0, True), (1.2, False)):
        at = (
            np.array(start[:2])
            + 2.5 * np.array([np.cos(yaw), np.sin(yaw)])
            + aside * np.array([-np.sin(yaw), np.cos(yaw)])
        )
        stands = Walker(tuple(at), tuple(at + 0.01), 0.01, 3, "phone")
        task = episode(scene, start=start, goal=goal, walkers=(stands,), time_limit_s=20.0)
        worlds = Worlds([scene], config, 1, ListedEpisodes([task]), draw=False)
        worlds.reset()
        nearest = np.inf
        for _ in range(15):
            worlds.step(np.array([[1.5, 0.0]]))
            nearest = min(nearest, worlds.person_gap()[0])
        assert worlds.with_person[0] == touches
        if touches:  # a control period's way before the body at most
            assert 0 <= nearest < 0.2 and worlds.contacts[0] == 1
        else:  # past it
            assert 0 < nearest < 1 and worlds.travelled[0] > 2.5


def test_physics_are_those_asked_for(scenes):
    assert type(worlds_of(scenes, 1, draw=False).physics) is Kinematic


def test_a_picture_sways_with_the_way_and_has_noise_of_its_own(scenes):
    config = WorldsConfig(robot="go2", people=0, camera_noise=1.0, height_px=24, width_px=40)
    worlds = worlds_of(scenes, 2, config=config, draw=False)
    worlds.reset()
    every = np.arange(2)
    worlds.travelled[:] = 0.1  # a fifth of a stride
    still = worlds.views(every)
    worlds.velocity[:, 1:] = 0.8
    turning = worlds.views(every)
    np.testing.assert_array_equal(turning["rotations"], still["rotations"])
    worlds.velocity[:, 0] = 0.5
    walking = worlds.views(every)
    assert np.abs(walking["rotations"] - still["rotations"]).max() > 0.01
    frames = []
    for _ in range(3):
        worlds.step(np.zeros((2, 2)))
        again = [worlds.views(every)["effects"] for _ in range(2)]
        np.testing.assert_array_equal(*again)
        np.testing.assert_array_equal(again[0][:, :3], worlds.effects)
        frames += again[0][:, 3].tolist()
    # whole numbers that a float32 holds, another for each world and step
    assert all(0 <= f < 2**24 and f == int(f) for f in frames) and len(set(frames)) == 6


def test_more_people_than_there_is_room_for_are_refused(scenes):
    walkers = 2 * (Walker((0.0, 1.0), (2.0, 3.0), 1.1, 5),)
    task = episode(scenes[0], walkers=walkers)
    worlds = Worlds(scenes, WorldsConfig(people=1), 1, ListedEpisodes([task]), draw=False)
    with pytest.raises(UserError, match="episode e: 2 people, the worlds hold 1"):
        worlds.reset()


def test_expert_arrives(scenes):
    worlds = worlds_of(scenes, 8, draw=False)
    worlds.reset()
    driver = ExpertAgent(worlds)
    driver.reset(np.arange(8))
    ends = []
    for _ in range(250):
        worlds.step(driver.act())
        ends += worlds.last["success"].tolist()
        driver.reset(worlds.last["world"])
    assert len(ends) >= 8 and np.mean(ends) >= 0.9


def test_bad_actions_name_the_world(scenes):
    worlds = worlds_of(scenes, draw=False)
    worlds.reset()
    with pytest.raises(UserError, match="world 2"):
        worlds.step(np.array([[1, 0], [1, 0], [np.nan, 0], [1, 0.0]]))
    with pytest.raises(UserError, match="shape"):
        worlds.step(np.zeros((3, 2)))
    with pytest.raises(UserError, match="at least 1"):
        worlds_of(scenes, 0)


def test_gymnasium_door():
    env = gymnasium.make_vec("s2e/Urban-v0", num_envs=3, scenes=1)
    assert env.metadata["autoreset_mode"] == gymnasium.vector.AutoresetMode.SAME_STEP
    seen, _ = env.reset(seed=4)
    assert env.observation_space.contains(seen)
    saw_final = False
    for _ in range(80):
        seen, _, terminated, truncated, info = env.step(np.tile([1.5, 0.0], (3, 1)))
        assert env.observation_space.contains(seen)
        done = terminated | truncated
        if done.any():
            saw_final = True
            world = int(done.argmax())
            assert env.single_observation_space.contains(info["final_obs"][world])
            assert (info["_final_obs"] == done).all()
    assert saw_final
    env.close()


@pytest.mark.filterwarnings("ignore:.*(symmetric|Box).*")
def test_single_world_passes_both_checkers():
    env = gymnasium.make("s2e/Urban-v0", scenes=1).unwrapped
    check_env(env, skip_render_check=True)
    sb3_check_env(env, warn=False)
    check_env(
        gymnasium.make("s2e/Urban-v0", scenes=1, outputs=OUTPUTS, robot="any").unwrapped,
        skip_render_check=True,
    )


def test_worlds_show_what_is_asked_for(scenes):
    worlds = worlds_of(scenes, config=EVERYTHING)
    seen = worlds.reset()
    assert {k: (v.shape[1:], v.dtype.name) for k, v in seen.items()} == {
        "rgb": ((24, 40, 3), "uint8"),
        "depth": ((24, 40), "float32"),
        "semantic": ((24, 40), "uint8"),
        "instance": ((24, 40), "int32"),
        "map": ((64, 64), "uint8"),
        "goal": ((3,), "float32"),
        "ego": ((3,), "float32"),
        "robot": ((6,), "float32"),
    }
    sky = seen["semantic"] == 0
    assert np.isinf(seen["depth"][sky]).all() and np.isfinite(seen["depth"][~sky]).all()
    assert set(worlds_of(scenes, config=WorldsConfig(outputs=("map",), people=0)).reset()) == {
        "map",
        "goal",
        "ego",
        "robot",
    }


def test_one_batch_holds_every_kind_of_robot(scenes):
    worlds = worlds_of(scenes, 24, config=EVERYTHING, draw=False)
    worlds.reset()
    assert len(set(worlds.fleet.kind.tolist())) == 4
    assert len(set(worlds.fleet.limits[:, 0].tolist())) == 24  # each with figures of its own
    drive(worlds, 10)
    assert np.isfinite(worlds.pose).all()


def test_new_scenes_come_while_worlds_run():
    worlds = make_worlds(
        2, WorldsConfig(people=2, height_px=24, width_px=40), EpisodesConfig(1, 0, refresh=1)
    )
    worlds.reset()
    names = {s.name for s in worlds.scenes}
    drive(worlds, 200)
    assert not names & {s.name for s in worlds.scenes}
    assert worlds.stage.renderer is not None
    views = worlds.views(np.arange(2))
    np.testing.assert_array_equal(
        worlds.stage.renderer.draw(**views).depth, Renderer(worlds.scenes).draw(**views).depth
    )
    arrays, state = worlds.state()
    again = make_worlds(
        2, WorldsConfig(people=2, height_px=24, width_px=40), EpisodesConfig(1, 0, refresh=1)
    )
    again.restore_state(arrays, state)
    for a, b in zip(drive(worlds, 30, seed=3), drive(again, 30, seed=3), strict=True):
        for x, y in zip(a, b, strict=True):
            np.testing.assert_array_equal(x, y)


def test_sb3_seeds_fix_what_follows():
    def first(seed):
        env = UrbanVecEnv(
            make_worlds(2, WorldsConfig(people=1, height_px=24, width_px=40), EpisodesConfig(2, 0))
        )
        env.seed(seed)
        return env.reset()["rgb"]

    np.testing.assert_array_equal(first(1), first(1))
    assert (first(1) != first(2)).any()


def test_goals_are_elsewhere():
    worlds = make_worlds(
        32, WorldsConfig(people=0, outputs=("map",)), EpisodesConfig(1, 0, distance_m=(2.0, 2.0))
    )
    worlds.reset()
    assert (np.linalg.norm(worlds.goal - worlds.pose[:, :2], axis=1) > GOAL_RADIUS_M).all()


def test_closing_ends_the_builder():
    before = set(threading.enumerate())
    worlds = make_worlds(
        2, WorldsConfig(people=0, outputs=("map",)), EpisodesConfig(1, 0, refresh=1)
    )
    worlds.reset()
    assert set(threading.enumerate()) - before
    worlds.close()
    for _ in range(50):
        if not set(threading.enumerate()) - before:
            return
        time.sleep(0.1)
    raise AssertionError("the thread still runs")


def test_settings_that_cannot_be_are_refused():
    wrong: list[dict[str, Any]] = [
        dict(robot="tank"),
        dict(outputs=("xray",)),
        dict(reward="fun"),
        dict(people=-1),
    ]
    wrong += [
        dict(refresh=-1),
        dict(refresh=1.5),
        dict(distance_m=(14, 5)),
        dict(distance_m=(0, 1)),
        dict(people=2.5),
        dict(density=7),
    ]
    wrong += [
        dict(seed=-1),
        dict(blocks=3),
        dict(blocks=(0, 1)),
        dict(render_mode="rgb_array", outputs=("map",)),
    ]
    wrong += [dict(randomise=2.0), dict(wings=2), dict(families=("moon",)), dict(physics="magic")]
    for bad in wrong:
        with pytest.raises(UserError, match=next(iter(bad)).replace("families", "family")):
            gymnasium.make_vec("s2e/Urban-v0", num_envs=1, scenes=1, **bad)


def test_plain_sb3_trains_on_the_door():
    env = UrbanVecEnv(
        make_worlds(2, WorldsConfig(people=1, height_px=48, width_px=48), EpisodesConfig(1, 0))
    )
    PPO("MultiInputPolicy", env, n_steps=4, batch_size=8, n_epochs=1, device="cpu").learn(8)


def test_episode_files(tmp_path, scenes):
    given = [episode(scenes[0], walkers=(Walker((0.0, 1.0), (2.0, 3.0), 1.1, 5),))]
    write_episodes(tmp_path / "e.json", "x", given)
    assert read_episodes(tmp_path / "e.json") == given
    text = (tmp_path / "e.json").read_text()
    for old, new in (
        ('"empty"', '"easy"'),
        ('_s": 8.0', '_s": NaN'),
        ('"goal": [', '"aim": ['),
        ('_m": 5.0', '_m": -5.0'),
    ):
        (tmp_path / "bad.json").write_text(text.replace(old, new, 1))
        with pytest.raises(UserError, match="bad.json: episode 0"):
            read_episodes(tmp_path / "bad.json")


def test_recorded_people_walk_through_worlds(tmp_path, scenes):
    rows = [
        (6 * k, person, 1.3 * 0.4 * k, 0, 2.0 * person, 1.3, 0, 0)
        for k in range(60)
        for person in range(3)
    ]
    (tmp_path / "obsmat.txt").write_text(
        "\n".join(" ".join(f"{v:.4e}" for v in row) for row in rows)
    )
    config = WorldsConfig(people=4, tracks=tmp_path / "obsmat.txt", height_px=24, width_px=40)
    worlds = worlds_of(scenes, 3, config=config, draw=False)
    worlds.reset()
    # a recording begins so that it lasts for the episode, or with its first frame
    latest = np.maximum(59 * 0.4 - worlds.limit, 0)
    assert (worlds.track_offset_s >= 0).all() and (worlds.track_offset_s <= latest + 1e-6).all()
    seen = np.zeros(3, dtype=bool)
    for _ in range(15):
        worlds.step(np.zeros((3, 2)))
        shown = worlds.people.active
        assert shown.sum(1).max() <= 3
        assert (
            room_at_points(worlds.people.position, worlds.fields, worlds.scene_id)[shown] > 0
        ).all()
        seen |= shown.any(1)
        speeds = np.linalg.norm(worlds.people.velocity[shown], axis=-1)
        np.testing.assert_allclose(speeds, 1.3, atol=0.02)
    assert seen.any()


def test_worlds_in_a_scene_of_splats():
    config = WorldsConfig(people=2, height_px=24, width_px=40)
    worlds = make_worlds(3, config, EpisodesConfig(1, 0, scene="gs_urban/plaza"))
    seen = worlds.reset()
    for _ in range(3):
        seen, *_ = worlds.step(np.tile([0.5, 0.0], (3, 1)))
    assert seen["rgb"].std() > 10 and worlds.scenes[0].name == "plaza"
    with pytest.raises(UserError, match="do not go with it"):
        make_worlds(1, config, EpisodesConfig(1, 0, scene="gs_urban/plaza", refresh=2))
    with pytest.raises(UserError, match="no such scene"):
        make_worlds(1, config, EpisodesConfig(1, 0, scene="nowhere"))
