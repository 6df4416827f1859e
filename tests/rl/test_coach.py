import numpy as np
import pytest

from s2e.core.observation import to_robot
from s2e.envs.rays import KEEPS_M, RayAgent, RayConfig, load_rays
from s2e.envs.robots.controller import waypoint_to_command
from s2e.envs.scenes.episodes import RandomEpisodes
from s2e.envs.streets.pool import training_scenes
from s2e.envs.worlds import ACTION_HORIZON_S, Worlds, WorldsConfig
from s2e.rl.coach import LABEL, WAYPOINTS, ExpertCoach, RayCoach, make_coach
from tests.envs.ray_files import save


@pytest.fixture(scope="module")
def scenes():
    return training_scenes(2, 0)


def make_worlds(scenes, people=0):
    config = WorldsConfig(robot="jackal,go2", people=people, collision="counts")
    worlds = Worlds(scenes, config, 8, RandomEpisodes(scenes, 8, 5, people), draw=False)
    worlds.reset()
    return worlds


def test_the_ghost_goes_where_the_coach_would(scenes, tmp_path):
    """Without people and latency, worlds that follow the coach for two seconds pass the waypoints
    of his first label."""
    save(tmp_path / "p", RayConfig(robots=("jackal", "go2")))
    worlds = make_worlds(scenes)
    coach, driver = (
        RayCoach(worlds, tmp_path / "p", KEEPS_M),
        RayAgent(worlds, load_rays(tmp_path / "p")),
    )
    coach.begin(np.arange(8))
    start, state = worlds.pose.copy(), {k: v.copy() for k, v in worlds.state()[0].items()}
    label = coach.label()
    assert label.shape == (8, LABEL) and label.dtype == np.float32
    after = worlds.state()[0]
    assert all(np.array_equal(after[k], v, equal_nan=True) for k, v in state.items()), (
        "the worlds are as they were"
    )
    way, commands, ended = [], [], np.zeros(8, bool)
    for _ in range(WAYPOINTS):
        action = driver.act()
        commands.append(waypoint_to_command(action, ACTION_HORIZON_S, worlds.fleet))
        _, _, terminated, truncated = worlds.step(action)
        ended |= terminated | truncated
        way.append(to_robot(worlds.pose[:, :2], start))
    told = waypoint_to_command(label[:, :2], ACTION_HORIZON_S, worlds.fleet)
    arcs = (
        ~ended
        & (np.mean(commands[:2], 0)[:, 0] > 0.2)
        & (np.array(commands[:2])[..., 2] == 0).all(0)
    )
    assert arcs.any(), "of those who drive the label is what they are told in two steps, on average"
    np.testing.assert_allclose(told[arcs, :2], np.mean(commands[:2], 0)[arcs, :2], atol=0.02)
    driven = np.stack(way, 1)[~ended]
    # The trail of what a ghost has driven is not remembered, so later on it may differ a little.
    np.testing.assert_allclose(
        label[~ended, 2:].reshape(-1, WAYPOINTS, 2)[:, :1], driven[:, :1], atol=1e-6
    )
    assert (
        np.linalg.norm(label[~ended, 2:].reshape(-1, WAYPOINTS, 2) - driven, axis=-1).mean() < 0.1
    )


def test_the_expert_labels_what_he_would_do(scenes):
    worlds = make_worlds(scenes, people=3)
    coach = ExpertCoach(worlds)
    coach.begin(np.arange(8))
    saved = coach.arrays()
    label = coach.label()
    command = waypoint_to_command(label[:, :2], ACTION_HORIZON_S, worlds.fleet)
    speed = np.linalg.norm(label[:, 2:].reshape(8, WAYPOINTS, 2)[:, -1], axis=1) / 2.0
    assert (speed <= command[:, 0] + 0.05).all() and (speed[command[:, 0] > 0.5] > 0.2).any()
    coach.restore(saved)
    np.testing.assert_array_equal(coach.label(), label)


def test_coaches_by_name(scenes, tmp_path):
    worlds = make_worlds(scenes)
    assert make_coach("none", worlds) is None and isinstance(
        make_coach("expert", worlds), ExpertCoach
    )
    save(tmp_path / "p", RayConfig(robots=("jackal", "go2")))
    assert isinstance(make_coach(str(tmp_path / "p"), worlds), RayCoach)
