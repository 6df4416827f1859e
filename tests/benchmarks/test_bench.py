import dataclasses
import json
import resource
import shutil
import time
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from s2e.benchmarks.agents import BASELINES, PlannerAdvice, Planning, advice_of, make_agent, rays
from s2e.benchmarks.bench import (
    BenchArgs,
    bench,
    chosen_episodes,
    fingerprint,
    key,
    main,
    note_slower,
    note_unrecorded,
    picture,
    read_records,
)
from s2e.benchmarks.failures import cause
from s2e.core.commandline import defaults_from
from s2e.core.errors import UserError, choose_device
from s2e.envs.people.people import People
from s2e.envs.rays import RayConfig, RayPolicy
from s2e.envs.scenes.episodes import ListedEpisodes
from s2e.envs.scenes.files import load_scene
from s2e.envs.scenes.placing import place_obstacles
from s2e.envs.worlds import Worlds, WorldsConfig
from s2e.planner import RandomPlanner
from s2e.policy.agent import Agent
from s2e.policy.checkpoint import policy_state, save_checkpoint, shipped_policies
from s2e.policy.config import PolicyConfig
from s2e.policy.encoder import FeatureNet
from s2e.policy.network import S2EPolicy

PLAZA = "gs_urban/plaza"
CONFIG = PolicyConfig(dim=32, encoder_layers=1, decoder_layers=1)


@pytest.fixture(scope="module", autouse=True)
def one_plaza():
    """The scene and its picture are made once, not for every run of the command."""
    with pytest.MonkeyPatch.context() as patch:
        for name, function in (("load_scene", load_scene), ("picture", picture)):
            patch.setattr(f"s2e.benchmarks.bench.{name}", made_once(function))
        yield


def made_once(function):
    made = {}

    def again(what):
        key = getattr(what, "name", what)
        if key not in made:
            made[key] = function(what)
        return made[key]

    return again


@pytest.fixture(scope="module")
def untrained(tmp_path_factory):
    torch.manual_seed(5)
    run = tmp_path_factory.mktemp("runs") / "untrained"
    tensors = policy_state(S2EPolicy(CONFIG), FeatureNet(CONFIG))
    save_checkpoint(
        run / "checkpoints" / "00000001", {"policy": CONFIG.to_dict()}, tensors, {}, {"step": 1}
    )
    return run


def test_baselines_order_and_files(tmp_path, capsys):
    args = BenchArgs(
        scene=PLAZA,
        policy=("zero", "straight", "expert"),
        setting="empty",
        episodes=4,
        out=tmp_path,
    )
    bench(args)
    rates = {}
    for name in args.policy:
        summary = json.loads((tmp_path / name / "summary.json").read_text())
        assert set(summary) == {
            "scene",
            "policy",
            "learned",
            "seed",
            "version",
            "settings",
            "scenes",
        }
        assert summary["scene"] == PLAZA and not summary["learned"]
        row = summary["settings"]["empty"]
        assert row["episodes"] == 4 and row["sr_ci95"][0] <= row["sr"] <= row["sr_ci95"][1]
        rates[name] = row["sr"], row["rc"]
    assert (
        rates["zero"][0] == 0
        and rates["expert"][0] == 1
        and rates["zero"][1] < rates["straight"][1] < rates["expert"][1]
    )
    printed = capsys.readouterr().out
    assert "expert" in printed and "report.html" in printed
    text = (tmp_path / "report.html").read_text()
    assert (
        "<svg" in text
        and "No learned policy was driven" in text
        and "sees the whole map and everybody" in text
    )
    assert json.loads((tmp_path / "zero" / "summary.json").read_text())["settings"]["empty"][
        "failures"
    ] == {"stood still": 4}
    assert not (tmp_path / "comparisons.json").exists() and not list(tmp_path.rglob(".lock"))


def test_learned_policies_are_compared_and_their_failures_shown(
    tmp_path, untrained, capsys, monkeypatch
):
    short = lambda *words: [  # noqa: E731
        dataclasses.replace(e, time_limit_s=2.0) for e in chosen_episodes(*words)
    ]
    monkeypatch.setattr("s2e.benchmarks.bench.chosen_episodes", short)
    other = tmp_path / "other"
    shutil.copytree(untrained, other)
    policies = str(untrained), str(other), "zero"
    bench(
        BenchArgs(
            scene=PLAZA, policy=policies, setting="empty", episodes=2, clips=1, out=tmp_path / "out"
        )
    )
    over_all, empty = json.loads((tmp_path / "out" / "comparisons.json").read_text())
    assert (over_all["setting"], empty["setting"]) == ("all", "empty")
    assert {k: over_all[k] for k in ("a", "b", "episodes", "difference", "apart")} == {
        "a": "untrained",
        "b": "other",
        "episodes": 2,
        "difference": 0.0,
        "apart": False,
    }
    text = (tmp_path / "out" / "report.html").read_text()
    assert (
        "untrained and other are not told apart" in text
        and "untrained and other are not told apart" in capsys.readouterr().out
    )
    for name in ("untrained", "other"):
        records = read_records(tmp_path / "out" / name / "episodes.jsonl")
        causes = {cause(r) for r in records if not r["success"]}
        assert (
            causes
            and f"{name}, {PLAZA}, {short(BenchArgs(setting='empty', episodes=1), PLAZA)[0].id}: "
            in text
        )
        assert all(f": failed, {why}</figcaption>" in text for why in causes)
        assert all(
            r["touched_s"] is None or r["touched_s"] >= r["contacts"][-1][0] for r in records
        )
    before = fingerprint(BenchArgs(scene=PLAZA), "zero")
    assert before == fingerprint(BenchArgs(scene=PLAZA), "straight")


def test_a_baselines_weights_are_part_of_the_question(tmp_path, monkeypatch):
    weights = tmp_path / "weights"
    weights.write_text("a")
    drive = dataclasses.replace(BASELINES["straight"], files=lambda: (weights,))
    monkeypatch.setitem(BASELINES, "drilled", drive)
    args = BenchArgs(
        scene=PLAZA, policy=("drilled",), setting="empty", episodes=1, out=tmp_path / "out"
    )
    bench(args)
    weights.write_text("b")
    with pytest.raises(UserError, match="of other weights"):
        bench(args)


def test_a_stopped_benchmark_goes_on(tmp_path):
    args = BenchArgs(scene=PLAZA, policy=("straight",), setting="empty", episodes=3, out=tmp_path)
    bench(args)
    file = tmp_path / "episodes.jsonl"
    whole = file.read_text().splitlines()
    for end in ("", "\n"):
        # killed while writing the second line
        file.write_text(whole[0] + "\n" + whole[1][:40] + end)
        bench(args)
        again = {key(r): r for r in read_records(file)}
        assert again == {key(r): r for r in map(json.loads, whole)}
    with pytest.raises(UserError, match="another --out"):
        bench(BenchArgs(scene=PLAZA, policy=("zero",), setting="empty", episodes=3, out=tmp_path))


def test_a_full_disk_is_said_and_what_was_finished_is_kept(tmp_path, monkeypatch, capsys):
    """A limit on the size of files stands for the disk: of the second line a part is written."""
    words = [
        "s2e-bench",
        "--scene",
        PLAZA,
        "--policy",
        "straight",
        "--setting",
        "empty",
        "--episodes",
        "3",
        "--out",
    ]
    monkeypatch.setattr("sys.argv", [*words, str(tmp_path / "whole")])
    main()
    whole = (tmp_path / "whole" / "episodes.jsonl").read_text()
    first = len(whole.splitlines()[0]) + 1
    out = tmp_path / "out"
    monkeypatch.setattr("sys.argv", [*words, str(out)])
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (first + 50, limits[1]))
    capsys.readouterr()
    try:
        with pytest.raises(SystemExit) as ended:
            main()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    told = capsys.readouterr().err
    error = next(line for line in told.splitlines() if "error: " in line)
    assert ended.value.code == 2 and "Traceback" not in told
    assert (
        str(out / "episodes.jsonl") in error
        and "free some space" in error
        and "same command again" in error
    )
    assert (out / "episodes.jsonl").read_text() == whole[: first + 50]
    monkeypatch.setattr(
        "s2e.benchmarks.bench.write_report", lambda *_: (out / "nowhere" / "x").write_text("")
    )
    with pytest.raises(SystemExit):
        main()
    assert f"{out / 'report.html'}: not written" in capsys.readouterr().err
    monkeypatch.undo()
    monkeypatch.setattr("sys.argv", [*words, str(out)])
    main()
    assert sorted((out / "episodes.jsonl").read_text().splitlines()) == sorted(whole.splitlines())
    assert (out / "episodes.jsonl").read_text().startswith(whole[:first]) and (
        out / "report.html"
    ).exists()


def test_an_episode_without_a_record_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr("s2e.benchmarks.bench.run_episodes", lambda *_: {})
    with pytest.raises(UserError, match="2 of 2 episodes have no record"):
        bench(BenchArgs(scene=PLAZA, policy=("zero",), setting="empty", episodes=2, out=tmp_path))


@pytest.fixture(scope="module")
def ray_run(tmp_path_factory):
    """A run of `s2e-ppo --sense rays` that has learned nothing."""
    torch.manual_seed(1)
    run, config = (
        tmp_path_factory.mktemp("rays") / "untaught",
        RayConfig(robots=("jackal",), hidden=8),
    )
    tensors = {f"rays.{k}": v for k, v in RayPolicy(config).state_dict().items()}
    save_checkpoint(
        run / "checkpoints" / "00000001",
        {"rays": dataclasses.asdict(config)},
        tensors,
        {},
        {"step": 1},
    )
    return run


def test_a_ray_policy_is_a_bound(tmp_path, ray_run, monkeypatch):
    monkeypatch.setitem(BASELINES, "rays", rays(str(ray_run)))
    bench(
        BenchArgs(
            scene=PLAZA, policy=("rays", str(ray_run)), setting="both", episodes=2, out=tmp_path
        )
    )
    named, by_path = (
        read_records(tmp_path / name / "episodes.jsonl") for name in ("rays", "untaught")
    )
    assert named == by_path and len(named) == 2 and any(r["path_m"] > 0 for r in named)
    assert not json.loads((tmp_path / "untaught" / "summary.json").read_text())["learned"]
    text = (tmp_path / "report.html").read_text()
    assert "No learned policy was driven" in text and "exact distances inside the camera" in text
    with pytest.raises(UserError, match="trained for jackal, not for coco"):
        bench(BenchArgs(scene=PLAZA, policy=("rays",), robot="coco", out=tmp_path / "coco"))
    assert not (tmp_path / "coco").exists()


@pytest.mark.skipif("rays" not in shipped_policies(), reason="no ray policy is shipped")
def test_the_shipped_ray_policy_is_far_above_driving_straight(tmp_path):
    bench(
        BenchArgs(
            scene=PLAZA, policy=("rays", "straight"), setting="both", episodes=10, out=tmp_path
        )
    )
    wins = {
        name: sum(r["success"] for r in read_records(tmp_path / name / "episodes.jsonl"))
        for name in ("rays", "straight")
    }
    assert wins["rays"] >= wins["straight"] + 4


def test_fewer_episodes_than_asked_for_are_noted(capsys):
    assert (
        len(chosen_episodes(BenchArgs(setting="empty", episodes=50), PLAZA)) == 50
        and not capsys.readouterr().err
    )
    assert len(chosen_episodes(BenchArgs(setting="empty", episodes=70), PLAZA)) == 50
    assert capsys.readouterr().err.count("note: gs_urban/plaza lists 50 of the 70 episodes") == 1


def act_with(untrained, planner, weight, steps=6, count=2, **more):
    scene = load_scene(PLAZA)
    episodes = chosen_episodes(BenchArgs(setting="pedestrian", episodes=count), PLAZA)
    config = WorldsConfig(people=6, collision="counts")
    worlds = Worlds(
        [place_obstacles(scene, e) for e in episodes], config, count, ListedEpisodes(episodes)
    )
    advice = advice_of(Planning(planner, weight, **more), worlds, CONFIG, episodes)
    agent, actions = make_agent(str(untrained), worlds, advice=advice), []
    seen, every = worlds.reset(), np.arange(count)
    for _ in range(steps):
        actions.append(agent.act(seen, every))
        seen, *_ = worlds.step(actions[-1])
    said = [advice.asked(world) for world in range(count)] if advice else []
    if advice:
        advice.close()
    return np.array(actions), said


def test_weight_zero_is_the_bare_policy_bit_for_bit(untrained):
    bare, _ = act_with(untrained, "none", 3.0)
    for planner, fusion in (
        ("oracle:0", "score"),
        ("random", "probability"),
        ("majority", "hold"),
        ("openai:http://127.0.0.1:9#none", "stream"),
    ):
        muted, _ = act_with(untrained, planner, 0.0, fusion=fusion)
        assert (bare == muted).all()


def test_what_a_planner_does_depends_on_no_neighbour_and_no_machine(untrained, monkeypatch):
    """One world or four, and however long an answer takes."""
    alone, said = act_with(untrained, "random", 3.0, steps=12, count=1, latency_s=0.4)
    among, also = act_with(untrained, "random", 3.0, steps=12, count=4, latency_s=0.4)
    assert (alone[:, 0] == among[:, 0]).all() and said[0] == also[0]
    assert said[0]["advised"] > 0
    think = RandomPlanner.answer
    slowly = lambda self, views: time.sleep(0.05) or think(self, views)  # noqa: E731
    monkeypatch.setattr(RandomPlanner, "answer", slowly)
    late, again = act_with(untrained, "random", 3.0, steps=12, count=1, latency_s=0.4)
    assert (late == alone).all() and again == said


def test_a_subgoal_is_the_goal_that_the_policy_is_told(untrained):
    """Three metres away to the left of a robot that looks north at a goal: seen there, and as far
    as the way by it."""
    worlds: Any = StandIn()
    worlds.pose[0], worlds.goal[0] = (1.0, 2.0, np.pi / 2), (1.0, 6.0)
    advice = PlannerAdvice(Planning("rules"), worlds, CONFIG)
    places = iter((np.array([0.0, 8.0]), None))
    silence(advice, None, None)
    said: Any = advice
    for guide in said.guides:
        guide.subgoal = lambda now_s, pose, goal: next(places)
    goal, both = worlds.seen["goal"], np.arange(2)
    told = advice.goals(goal, both)
    np.testing.assert_allclose(told[0], [8.0 / CONFIG.goal_clip_m, 0.0, 1.0], atol=1e-6)
    assert (told[1] == goal[1]).all()
    places = iter((None, None))
    assert advice.goals(goal, both) is goal


def test_a_planner_is_shown_the_camera_the_way_and_where_it_has_been():
    scene = load_scene(PLAZA)
    episodes = chosen_episodes(BenchArgs(setting="empty", episodes=1), PLAZA)
    worlds = Worlds([scene], WorldsConfig(collision="counts"), 1, ListedEpisodes(episodes))
    seen = worlds.reset()
    advice = PlannerAdvice(Planning("oracle:0"), worlds, CONFIG, episodes)

    def look():
        view = advice._view(0, seen["rgb"][0], np.zeros((1, 10, 2)), np.zeros(1))
        advice._remember(0, view)
        return advice._whole(0, view)

    look()
    for _ in range(6):
        seen, *_ = worlds.step(np.array([[1.0, 0.2]]))
    view = look()
    world_xy = np.array([*worlds.pose[0, :2]]) + rotated(worlds.pose[0, 2], [3.0, 1.0])
    views = worlds.views(np.zeros(1, np.int64))
    ground = views["positions"][0, 2] - worlds.fleet.camera[0, 2]
    optical = views["rotations"][0] @ (np.array([*world_xy, ground]) - views["positions"][0])
    fx, fy, cx, cy = views["intrinsics"][0]
    u, v = fx * optical[0] / optical[2] + cx, fy * optical[1] / optical[2] + cy
    assert view.camera is not None
    pixel = view.camera @ np.array([3.0, 1.0, 0.0, 1.0])
    np.testing.assert_allclose(pixel[:2] / pixel[2], [u, v], atol=0.5)
    assert pixel[2] == pytest.approx(optical[2], abs=0.05) and u < cx  # it lies to the left
    start, goal = np.array(episodes[0].start[:2]), np.array(episodes[0].goal)
    back = worlds.pose[0, :2] + rotated(worlds.pose[0, 2], view.trail[0, :2])
    np.testing.assert_allclose(back, start, atol=1e-6)
    ahead = worlds.pose[0, :2] + rotated(worlds.pose[0, 2], view.route[-1])
    np.testing.assert_allclose(ahead, goal, atol=1e-6)
    assert view.episode == episodes[0].id and view.task.startswith("The goal is ")
    advice.close()


def rotated(yaw, point):
    c, s = np.cos(yaw), np.sin(yaw)
    return np.array([[c, -s], [s, c]]) @ np.array(point)


def test_an_episode_does_not_depend_on_how_many_run_beside_it(untrained):
    alone, _ = act_with(untrained, "none", 0.0, steps=10, count=1)
    among, _ = act_with(untrained, "none", 0.0, steps=10, count=19)
    assert (alone[:, 0] == among[:, 0]).all()


@pytest.mark.parametrize("recovery", [True, False])
def test_a_policy_that_drives_at_a_wall_backs_off(untrained, monkeypatch, recovery):
    scene = load_scene(PLAZA)
    episodes = chosen_episodes(BenchArgs(setting="empty", episodes=4), PLAZA)
    worlds = Worlds([scene] * 4, WorldsConfig(collision="counts"), 4, ListedEpisodes(episodes))
    agent, seen = Agent.load(untrained, 4, recovery=recovery), worlds.reset()
    decide, waypoints = agent.decide, []

    def ahead(context, odometry):
        found = decide(context, odometry)
        way = np.broadcast_to([1.5, 0.1], found.trajectories.shape)
        return dataclasses.replace(found, trajectories=way)

    monkeypatch.setattr(agent, "decide", ahead)
    for _ in range(100):
        if not worlds.live.any():
            break
        waypoints.append(agent.act(seen, np.flatnonzero(worlds.live)))
        np.testing.assert_array_equal(
            agent.odometry.command[worlds.live], waypoints[-1][worlds.live]
        )
        seen, *_ = worlds.step(waypoints[-1])
    assert (np.array(waypoints)[..., 0] < 0).any() == recovery


def test_new_weights_are_a_new_question(tmp_path, untrained):
    args = BenchArgs(scene=PLAZA, policy=("zero",), setting="empty", episodes=1, out=tmp_path / "z")
    bench(args)
    bench(args)
    before = fingerprint(args, str(untrained))
    torch.manual_seed(6)
    tensors = policy_state(S2EPolicy(CONFIG), FeatureNet(CONFIG))
    save_checkpoint(
        tmp_path / "new" / "checkpoints" / "00000001",
        {"policy": CONFIG.to_dict()},
        tensors,
        {},
        {"step": 1},
    )
    assert fingerprint(args, str(tmp_path / "new")) != before == fingerprint(args, str(untrained))


class StandIn:
    """Two worlds as far as a planner looks into them, without a scene."""

    def __init__(self):
        rng = np.random.default_rng(1)
        self.count, self.live, self.clock = 2, np.ones(2, dtype=bool), np.zeros(2)
        self.pose = np.array([[1.0, 2.0, np.pi / 2], [-3.0, 0.5, 2.4]])
        self.velocity, self.goal = (
            np.array([[0.7, 0.1, 0.0], [0.2, 0.0, 0.0]]),
            rng.uniform(-5, 5, (2, 2)),
        )
        self.people = People.empty(2, 4)
        self.people.real[..., :4] = rng.uniform(-2, 2, (2, 4, 4))
        self.people.active[:, [0, 2, 3]] = True
        shape = CONFIG.height_px, CONFIG.width_px, 3
        self.seen = {
            "rgb": rng.integers(0, 256, (2, *shape), dtype=np.uint8),
            "goal": rng.normal(size=(2, 3)).astype(np.float32),
        }
        self.seen |= {
            "ego": rng.normal(size=(2, 3)).astype(np.float32),
            "robot": np.ones((2, 6), np.float32),
        }


def test_a_planner_sees_people_along_the_robots_axes(untrained):
    """Where they are and where they go: a moment later they are where their places and velocities
    say."""
    worlds: Any = StandIn()
    # 3 m ahead of a robot that looks north, walks east: to its right
    worlds.people.real[0, 0, :4] = (1.0, 5.0, 1.0, 0.0)
    advice = PlannerAdvice(Planning("rules"), worlds, CONFIG)
    views = [
        advice._view(w, worlds.seen["rgb"][w], np.zeros((1, 10, 2)), np.zeros(1)) for w in range(2)
    ]
    np.testing.assert_allclose(views[0].people[0], [3.0, 0.0, 0.0, -1.0], atol=1e-9)
    worlds.people.real[..., :2] += 0.5 * worlds.people.real[..., 2:4]
    for world, before in enumerate(views):
        after = advice._view(world, worlds.seen["rgb"][world], np.zeros((1, 10, 2)), np.zeros(1))
        assert len(before.people) == 3 and before.speed == worlds.velocity[world, 0]
        np.testing.assert_allclose(
            after.people[:, :2], before.people[:, :2] + 0.5 * before.people[:, 2:], atol=1e-9
        )
    advice.close()


def silence(advice, *applied):
    """A planner that is asked nothing, with guides that do as they are told."""
    quiet = dict(due=lambda *_: False, ask=lambda *_: None, news=lambda *_: None)
    advice.runtime = SimpleNamespace(**quiet, close=lambda: None)
    rest = dict(see=lambda view: None, subgoal=lambda *_: None)
    advice.guides = [SimpleNamespace(apply=of, **rest) for of in applied]


def test_a_planners_factor_slows_its_robot_and_no_other(untrained):
    worlds: Any = StandIn()
    advice = PlannerAdvice(Planning("rules"), worlds, CONFIG)
    silence(advice, *(lambda view, f=f: (view.log_scores, f) for f in (1.0, 0.4)))
    bare, slowed = (Agent.load(untrained, 2, chunk=16, advisor=a) for a in (None, advice))
    free, slow = bare.act(worlds.seen), slowed.act(worlds.seen)
    assert np.linalg.norm(free, axis=1).min() > 0.05
    np.testing.assert_allclose(slow, free * [[1.0], [0.4]], rtol=1e-6)
    np.testing.assert_allclose(slowed.odometry.command, slow, rtol=1e-6)
    advice.close()


def test_a_planners_scores_choose_the_trajectory(untrained):
    worlds: Any = StandIn()
    advice, said = PlannerAdvice(Planning("rules"), worlds, CONFIG), []

    def first(view):
        said.append(view.candidates)
        return np.where(np.arange(len(view.log_scores)) == 2, 0.0, -9.0), 1.0

    silence(advice, first, first)
    waypoints = Agent.load(untrained, 2, advisor=advice).act(worlds.seen)
    np.testing.assert_allclose(
        waypoints, np.stack([c[2, CONFIG.action_waypoint] for c in said]), rtol=1e-6
    )
    advice.close()


def test_a_dead_endpoint_changes_nothing_and_fails_nothing(untrained):
    bare, _ = act_with(untrained, "none", 3.0)
    dead, said = act_with(untrained, "openai:http://127.0.0.1:9#none", 3.0, latency_s=0.6)
    assert (bare == dead).all() and all(s and s["asked"] > 0 and s["advised"] == 0 for s in said)


def test_a_planner_is_asked_before_the_run_and_its_answers_are_summed_up(
    tmp_path, untrained, capsys, monkeypatch
):
    short = lambda *words: [  # noqa: E731
        dataclasses.replace(e, time_limit_s=1.5) for e in chosen_episodes(*words)
    ]
    monkeypatch.setattr("s2e.benchmarks.bench.chosen_episodes", short)
    dead = "openai:http://127.0.0.1:9/v1#none"
    args = BenchArgs(
        scene=PLAZA,
        policy=(str(untrained),),
        setting="pedestrian",
        episodes=2,
        clips=0,
        planner=dead,
        planner_latency=0.6,
        out=tmp_path / "dead",
    )
    with pytest.raises(
        UserError, match=r"#none cannot be asked: Connection refused; see that.*--planner-required"
    ):
        bench(dataclasses.replace(args, planner_required=True))
    assert not args.out.exists()
    bench(args)
    printed = capsys.readouterr()
    assert (
        printed.err.count("warning: --planner openai:") == 1 and "Connection refused" in printed.err
    )
    totals = json.loads((args.out / "summary.json").read_text())["planner"]
    assert (
        totals["episodes"] == 2 and totals["answered"] == totals["advised"] == 0 < totals["failed"]
    )
    assert totals["latency_p50_s"] is None
    said = "it gave no advice at all: these are the figures of the bare policy"
    assert said in " ".join(printed.out.split()) and said in (args.out / "report.html").read_text()
    now: Any = {"planner_latency": None}
    bench(
        dataclasses.replace(
            args, planner="rules", planner_required=True, out=tmp_path / "rules", **now
        )
    )
    printed = capsys.readouterr()
    assert (
        "warning: --planner" not in printed.err
        and "the planner of untrained was asked" in printed.out
    )
    totals = json.loads((tmp_path / "rules" / "summary.json").read_text())["planner"]
    assert totals["answered"] == totals["asked"] > 0 == totals["failed"]


def test_a_planner_slower_than_declared_is_noted(capsys):
    note_slower((), 0.0)
    note_slower((1.0, 1.5), 2.0)
    assert not capsys.readouterr().err
    note_slower((1.0, 3.0), 2.0)
    assert "took 2.0 s in the median and 2.9 s at 95 %" in capsys.readouterr().err


def test_answers_that_a_recording_lacks_are_said(capsys):
    note_unrecorded({"asked": 5, "unrecorded": 0})
    note_unrecorded({"asked": 5})
    assert capsys.readouterr().err == ""
    note_unrecorded({"asked": 5, "unrecorded": 2})
    assert "2 of 5 questions are not in the recording" in capsys.readouterr().err


def test_bad_questions(tmp_path, untrained):
    for args, match in (
        (BenchArgs(scene="nowhere", out=tmp_path / "a"), "nowhere"),
        (
            BenchArgs(scene=PLAZA, policy=(str(tmp_path / "none"),), out=tmp_path / "b"),
            "no such folder",
        ),
        (
            BenchArgs(scene=PLAZA, planner="oracle", policy=(str(untrained),), out=tmp_path / "c"),
            "planner",
        ),
        (BenchArgs(scene=PLAZA, planner="rules", out=tmp_path / "c"), "names none"),
        (
            BenchArgs(scene=PLAZA, planner="oracle:1", planner_latency=1.0, out=tmp_path / "c"),
            "leave one out",
        ),
        (BenchArgs(scene=PLAZA, planner_latency=-1.0, out=tmp_path / "c"), "--planner-latency"),
        (BenchArgs(scene=PLAZA, seed=-1, out=tmp_path / "c"), "--seed"),
        (
            BenchArgs(scene=PLAZA, planner_weight=float("nan"), out=tmp_path / "c"),
            "--planner-weight",
        ),
        (BenchArgs(scene=PLAZA, device="banana", out=tmp_path / "c"), "banana"),  # pyright: ignore[reportArgumentType]
        (BenchArgs(scene=PLAZA, episodes=-1, out=tmp_path / "d"), "negative"),
        (
            BenchArgs(
                scene=PLAZA, robot="unicycle", policy=("zero",), episodes=1, out=tmp_path / "e"
            ),
            "unicycle",
        ),
    ):
        with pytest.raises(UserError, match=match):
            bench(args)


def test_a_results_folder_gives_back_what_was_asked(tmp_path, capsys):
    args = BenchArgs(
        scene=PLAZA,
        policy=("zero", "straight"),
        setting="empty",
        episodes=1,
        clips=0,
        out=tmp_path / "out",
    )
    bench(args)
    assert f"{PLAZA} zero: 1 episodes" in capsys.readouterr().err, (
        "before the first has ended, where there is no bar"
    )
    asked = dataclasses.replace(args, device=choose_device("auto"))
    for folder, policies in (("out", args.policy), ("out/zero", ("zero",))):
        given = defaults_from(BenchArgs, tmp_path / folder / "config.json")
        assert given == dataclasses.replace(asked, policy=policies)


def test_a_folder_that_cannot_be_written_is_refused_before_scenes_are_built(tmp_path, monkeypatch):
    monkeypatch.setattr(
        "s2e.benchmarks.bench.load_scene", lambda _: pytest.fail("a scene is built")
    )
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to(tmp_path / "gone")
    for place in ("file", "link"):
        with pytest.raises(UserError, match=f"{place}: cannot be written"):
            bench(BenchArgs(scene=PLAZA, policy=("zero",), out=tmp_path / place))
