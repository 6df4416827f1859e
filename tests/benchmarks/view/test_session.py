import dataclasses

import numpy as np
import pytest
import torch

from s2e.benchmarks.agents import CHUNK, Planning, advice_of
from s2e.benchmarks.runner import episode_worlds
from s2e.benchmarks.view import session as view_session
from s2e.benchmarks.view.session import (
    REST_S,
    TRAIL,
    Drive,
    Replay,
    episodes_of,
    headings,
    read_replay,
    settings_of,
)
from s2e.core.errors import UserError
from s2e.envs.robots.kinds import ROBOTS
from s2e.envs.scenes.episodes import write_episodes
from s2e.envs.scenes.files import load_scene
from s2e.policy.agent import Agent
from s2e.policy.config import PolicyConfig
from s2e.policy.encoder import FeatureNet
from s2e.policy.network import S2EPolicy
from tests.benchmarks.view.drives import line

CONFIG = PolicyConfig(height_px=48, width_px=80, dim=32, encoder_layers=1, decoder_layers=1)


@pytest.fixture(scope="module")
def scene():
    return load_scene("gs_urban/plaza")


@pytest.fixture(scope="module")
def episodes(scene):
    return episodes_of("gs_urban/plaza", scene)


@pytest.fixture(scope="module")
def policy():
    torch.manual_seed(5)
    return S2EPolicy(CONFIG).eval(), FeatureNet(CONFIG).eval()


def steps(session, count, now=0.0):
    for k in range(count):
        session.step(now + session.period_s * k)


def test_held_keys_drive_and_released_keys_stop(scene, episodes):
    drive = Drive(scene, episodes, "empty")
    start = drive.moment().pose
    steps(drive, 5)
    assert (drive.moment().pose == start).all()  # nobody asked for anything
    for k in range(10):
        drive.keyboard.hold("forward", 10 + 0.1 * k)
        drive.step(10 + 0.1 * k)
    there = drive.moment()
    ahead = (there.pose[:2] - start[:2]) @ [np.cos(start[2]), np.sin(start[2])]
    assert 0.5 < ahead < 1.6 and abs(there.pose[2] - start[2]) < 0.05 and there.speed > 1.0
    steps(drive, 15, 30.0)
    assert drive.moment().speed < 0.01
    for k in range(10):
        drive.keyboard.hold("left", 50 + 0.1 * k)
        drive.step(50 + 0.1 * k)
    turned = np.mod(drive.moment().pose[2] - there.pose[2], 2 * np.pi)
    assert 0.3 < turned < 2.5
    assert 15 < len(drive.moment().path) < 1 + 10 + 15 + 10  # standing adds nothing


def test_the_way_driven_stays_bounded(scene, episodes):
    drive = Drive(scene, episodes, "empty")
    for k in range(TRAIL + 50):
        drive.path.append(np.array([float(k), 0.0]))
    drive.keyboard.hold("forward", 1.0)
    drive.step(1.0)
    assert len(drive.moment().path) == TRAIL and drive.moment().path[-1] == pytest.approx(
        drive.moment().pose[:2]
    )


def test_episodes_of_another_map_are_refused(scene, episodes, monkeypatch, tmp_path):
    monkeypatch.setattr(view_session, "scene_folder", lambda name: tmp_path)
    monkeypatch.setattr(view_session, "episodes_file", lambda name: tmp_path / "episodes.json")
    away = dataclasses.replace(episodes[0], start=(500.0, 0.0, 0.0))
    write_episodes(tmp_path / "episodes.json", "plaza", [away])
    with pytest.raises(UserError, match=r"start 500, 0 is outside"):
        episodes_of("plaza", scene)


def test_stop_wins_over_forward(scene, episodes):
    drive = Drive(scene, episodes, "empty")
    drive.keyboard.hold("forward", 1.0)
    drive.keyboard.hold("stop", 1.0)
    assert (drive.act(1.1) == 0).all() and (drive.act(2.0) == 0).all()


def test_the_expert_arrives_and_the_next_episode_begins(scene, episodes):
    first, other = [e for e in episodes if e.setting == "empty"][:2]
    x, y, yaw = first.start
    near = dataclasses.replace(first, goal=(x + 2.5 * np.cos(yaw), y + 2.5 * np.sin(yaw)))
    drive = Drive(scene, [near, other], "empty", driver="expert")
    while not drive.end:
        drive.step(0.0)
    assert (
        drive.end == "goal reached" and drive.moment().end == drive.end and drive.moment().rgb.any()
    )
    waited = 0
    while not drive.step(0.0):
        waited += 1
    assert (
        abs((waited + 1) * drive.period_s - REST_S) <= drive.period_s
        and drive.episode.id == other.id
        and not drive.end
    )


@pytest.mark.parametrize("robot", [name for name in ROBOTS if name != "jackal"])
def test_every_robot_drives(scene, episodes, robot):
    drive = Drive(scene, episodes, "empty", robot)
    start = drive.moment().pose
    drive.keyboard.hold("forward", 1.0)
    steps(drive, 3, 1.0)
    assert np.linalg.norm(drive.moment().pose[:2] - start[:2]) > 0.01


def test_a_person_drives_without_a_time_limit(scene, episodes):
    (short,) = [dataclasses.replace(e, time_limit_s=0.2) for e in episodes if e.id == "empty-000"]
    drive = Drive(scene, [short], "empty", driver="straight")
    steps(drive, 3)
    assert drive.end == "out of time"
    drive = Drive(scene, [short], "empty")
    steps(drive, 5)
    assert not drive.end


def test_settings_and_people(scene, episodes):
    assert settings_of(episodes) == ("empty", "obstacle", "pedestrian", "both")
    drive = Drive(scene, episodes, "pedestrian")
    moment = drive.moment()
    assert np.isfinite(moment.people[:, 0]).sum() == len(drive.episode.walkers) > 0
    before = moment.people.copy()
    steps(drive, 10)
    assert np.linalg.norm((drive.moment().people - before)[:, :2], axis=1).max() > 0.2
    assert moment.rgb.shape == (96, 160, 3) and moment.rgb.std() > 5
    (no_such,) = [Drive(scene, episodes[:3], "both")]
    assert no_such.episode.setting == episodes[0].setting
    with pytest.raises(UserError, match="--policy RUN"):
        Drive(scene, episodes, driver="nobody")


@pytest.mark.parametrize("planner", [("none", 0.0), ("rules", 3.0)])
def test_the_fan_is_what_the_benchmark_acts_on(scene, episodes, policy, planner):
    agent = Agent(*policy, chunk=CHUNK)
    drive = Drive(scene, episodes, "both", driver="mine", agent=agent, planning=Planning(*planner))
    assert drive.period_s == pytest.approx(CONFIG.frame_spacing_s)
    worlds = episode_worlds(scene, [drive.episode], CONFIG)
    seen = worlds.reset()
    advice = advice_of(Planning(*planner), worlds, CONFIG, [drive.episode])
    judge = Agent(*policy, chunk=CHUNK, advisor=advice)
    for _ in range(2):
        wanted = judge.act(seen)
        ours = drive.act(0.0)
        np.testing.assert_array_equal(ours, wanted)
        fan, (x, y, yaw) = drive.moment().fan, drive.worlds.pose[0]
        assert fan is not None and fan.ways.shape[0] == len(fan.scores)
        best = fan.ways[fan.scores.argmax(), CONFIG.action_waypoint] - [x, y]
        inside = best @ np.array([[np.cos(yaw), -np.sin(yaw)], [np.sin(yaw), np.cos(yaw)]])
        np.testing.assert_allclose(inside, ours[0], atol=1e-6)
        drive.seen, *_ = drive.worlds.step(wanted)
        seen, *_ = worlds.step(wanted)
    drive.close()


def test_replay_walks_the_recorded_path(tmp_path, scene, episodes):
    by_id = {e.id: e for e in episodes}
    first, second = by_id["both-000"], by_id["empty-001"]
    file = tmp_path / "episodes.jsonl"
    file.write_text(line(first) + line(second) + line(first)[:40])  # killed while writing
    records = read_replay(tmp_path, by_id, "plaza")
    assert [r.id for r in records] == [first.id, second.id] and records[
        0
    ].times_s.tolist() == pytest.approx([0.0, 0.2, 0.3])
    replay = Replay(scene, by_id, records)
    assert replay.length_s == pytest.approx(0.3) and len(replay.placed.mesh.triangles) > len(
        scene.mesh.triangles
    )
    x, y, yaw = first.start
    moment = replay.moment()
    assert (
        moment.pose == pytest.approx([x, y, yaw])
        and len(moment.contacts) == 0
        and moment.rgb.std() > 5
        and not moment.end
    )
    replay.step(0.0)
    moment = replay.moment()
    assert moment.pose[:2] == pytest.approx([x + 0.1, y]) and len(moment.path) == 2
    replay.seek(9.0)
    moment = replay.moment()
    assert (
        moment.pose == pytest.approx([x + 0.2, y + 0.1, np.pi / 2]) and moment.end == "goal reached"
    )
    assert moment.contacts == pytest.approx(np.array([[x + 0.2, y, 0.0]]))
    replay.select(second.id)
    assert replay.episode is second and replay.time_s == 0.0


def test_of_a_suites_results_the_scenes_own_are_replayed(tmp_path, episodes):
    by_id = {e.id: e for e in episodes}
    first, second = by_id["both-000"], by_id["empty-001"]
    here, there = {"scene": "gs_urban/plaza"}, {"scene": "gs_urban/quay"}
    file = tmp_path / "episodes.jsonl"
    file.write_text(
        line(first, **here)
        + line(first, **there, start=[9.0, 9.0, 0.0])
        + line(second, **here)
        + line(second, **there)
    )
    assert [r.id for r in read_replay(file, by_id, "gs_urban/plaza")] == [first.id, second.id]
    folder = view_session.scene_folder("gs_urban/plaza")
    # a name and its folder are the same scene
    assert len(read_replay(file, by_id, str(folder))) == 2
    file.write_text(line(first, **there))  # of the same id, start and goal
    with pytest.raises(UserError, match="is of gs_urban/quay, not of gs_urban/plaza"):
        read_replay(file, by_id, "gs_urban/plaza")


def test_of_several_policies_results_one_is_to_be_named(tmp_path, episodes):
    for name in ("straight", "expert"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "episodes.jsonl").write_text(line(episodes[0]))
    with pytest.raises(UserError, match=f"give {tmp_path}/expert or {tmp_path}/straight"):
        read_replay(tmp_path, {e.id: e for e in episodes}, "gs_urban/plaza")


def test_headings_stay_where_nothing_moves():
    path = np.array([[0.0, 0.0], [0.0, 0.0], [0.0, 1.0], [0.0, 1.001], [-1.0, 1.001]])
    assert headings(path, 0.3) == pytest.approx([0.3, 0.3, np.pi / 2, np.pi / 2, np.pi])


def test_bad_replays(tmp_path, episodes):
    by_id = {e.id: e for e in episodes}
    good = by_id["empty-000"]
    file = tmp_path / "episodes.jsonl"
    for text, match in (
        ("", "no finished episode"),
        (line(good, id="elsewhere-1") + line(good), "line 1: is of another scene"),
        (line(good, goal=[99.0, 0.0]) + line(good), "line 1: is of another scene"),
        ("{}\n" + line(good), "line 1: not a finished"),
        ("[" * 5000 + "\n" + line(good), "line 1: not a finished"),
        (
            line(good) + line(good, path=[[0.0, float("nan")]]) + line(good),
            "line 2: not a finished",
        ),
        (line(good, path=[]) + line(good), "line 1: not a finished"),
        (line(good, steps=float("inf")) + line(good), "line 1: not a finished"),
        (line(good, id=[1]) + line(good), "line 1: not a finished"),
        (line(good, scene=[1]) + line(good), "line 1: not a finished"),
        ("7\n" + line(good), "line 1: not a finished"),
        (line(good, time_s=float("nan")) + line(good), "line 1: not a finished"),
        (line(good, contacts=[[0.1]]) + line(good), "line 1: not a finished"),
    ):
        file.write_text(text)
        with pytest.raises(UserError, match=match):
            read_replay(file, by_id, "plaza")
    file.write_bytes(b"\xff\xfe\x00")
    for path in (file, tmp_path / "none.jsonl"):
        with pytest.raises(UserError, match="cannot be read"):
            read_replay(path, by_id, "plaza")
