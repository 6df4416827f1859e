import dataclasses
import json
import math
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from s2e.core.errors import UserError
from s2e.envs.geometry.occupancy import Occupancy
from s2e.envs.geometry.scene import GOAL_RADIUS_M, Episode, Obstacle, Script, Truth, Walker
from s2e.envs.scenes.episodes import (
    ListedEpisodes,
    RandomEpisodes,
    check_episodes,
    read_episodes,
    write_episodes,
)
from s2e.envs.scenes.files import scene_folder
from s2e.envs.streets.build import build_scene
from s2e.envs.streets.fresh import FreshScenes


def distances(source, world, count):
    return [source.next(world)[1].route_m for _ in range(count)]


def test_success_lengthens_a_worlds_ways_and_no_other_worlds():
    fields = [field_of(3), field_of(9)]
    source = RandomEpisodes(fields, 2, 0, people=8, curriculum=True)
    first = distances(source, 0, 20)
    for _ in range(12):
        source.ended(0, True)
    assert np.max(first) < 8 and np.max(distances(source, 0, 20)) > 10
    alone = RandomEpisodes(fields, 1, 0, people=8, curriculum=True)
    assert [len(alone.next(0)[1].walkers) for _ in range(10)] == [0] * 10
    assert source.level[1] == 0 and source.next(1) is not None
    for _ in range(3):
        source.ended(0, False)
    assert source.level[0] == pytest.approx(0.85)


def test_scenes_of_ones_own_do_not_depend_on_batch_or_timing():
    def lives(worlds, pause):
        fresh = FreshScenes(build_scene, 5, worlds)
        source = RandomEpisodes(
            [fresh.current(w) for w in range(worlds)], worlds, 1, people=2, fresh=fresh, refresh=2
        )
        seen = []
        for _ in range(5):
            given = source.new_scene(0)
            time.sleep(pause)
            index, episode = source.next(0)
            assert index == 0
            seen.append(
                (given.name if given else None, source.scenes[0].mesh.vertices.tobytes(), episode)
            )
        return seen

    first = lives(1, 0.0)
    assert first == lives(2, 0.02)
    assert [name is not None for name, _, _ in first] == [False, False, True, False, True]


def test_a_broken_builder_is_heard_of():
    def build(seed):
        raise ValueError("no room")

    fresh = FreshScenes(build, 0, 1)
    with pytest.raises(ValueError, match="no room"):
        fresh.take(0)


def field_of(things: int) -> Any:
    """A scene as far as the drawing of episodes looks into it: anchors 1 m apart, and so many
    things."""
    anchors = np.stack(np.meshgrid(np.arange(20.0), np.arange(20.0)), -1).reshape(-1, 2)
    return SimpleNamespace(
        mesh=SimpleNamespace(instance=np.arange(things + 1)), free_anchors=anchors
    )


def test_a_curriculum_goes_from_near_empty_and_alone_to_all_of_it():
    fields = [field_of(things) for things in (30, 0, 20, 10)]
    least = []
    for level in (0.0, 0.5, 1.0):
        source = RandomEpisodes(fields, 1, 3, people=8, curriculum=True)
        source.level[0] = level
        drawn = [source.next(0) for _ in range(400)]
        things = np.mean([source.things[scene] for scene, _ in drawn])
        least.append(
            (
                things,
                np.mean([e.route_m for _, e in drawn]),
                np.mean([len(e.walkers) for _, e in drawn]),
            )
        )
    easy, half, full = np.array(least)
    assert (easy < half).all() and (half < full).all()
    assert easy[0] == pytest.approx((7 * 0 + 5 * 10 + 3 * 20 + 1 * 30) / 16, abs=1.5), (
        "the emptier of two"
    )
    assert full[0] == pytest.approx(15.0, abs=1.5), "any scene"
    assert easy[2] == 0 and full[2] > 1


def test_without_a_curriculum_an_episodes_end_changes_nothing():
    lives = []
    for success in (None, True, False):
        source = RandomEpisodes([field_of(3), field_of(9)], 1, 3, people=4)
        for _ in range(5):
            if success is not None:
                source.ended(0, success)
        lives.append([source.next(0) for _ in range(10)])
    assert lives[0] == lives[1] == lives[2]


SCRIPTED = Episode(
    id="x-000",
    setting="social",
    start=(0.0, 0.0, 0.0),
    goal=(6.0, 0.0),
    route_m=6.0,
    time_limit_s=20.0,
    seed=1,
    walkers=(
        Walker((3.0, 1.0), (3.0, -1.0), 1.0, 5, "insist", script=Script(wait_m=2.5, once=True)),
        Walker((4.0, 1.0), (4.0, 2.0), 1.0, 6, "stand"),
    ),
    task="Go on.",
    rule="wait",
    truth=Truth(
        "wait",
        yields="robot",
        zone=(3.0, 0.0, 1.0),
        whom=(0,),
        groups=((0, 1),),
        gates=((1.0, -1.0, 1.0, 1.0),),
        alone_s=(1.5, 0.0),
    ),
)


def test_scripts_and_truths_are_read_as_they_were_written(tmp_path):
    path = tmp_path / "episodes.json"
    plain = dataclasses.replace(SCRIPTED, walkers=(), task="", rule="", truth=Truth())
    write_episodes(path, "here", [SCRIPTED, plain])
    assert read_episodes(path) == [SCRIPTED, plain]
    one, other = json.loads(path.read_text())["episodes"]
    assert one["walkers"][0]["script"] == {"wait_m": 2.5, "once": True}
    assert "script" not in one["walkers"][1]
    assert not {"task", "rule", "truth"} & set(other)


@pytest.mark.parametrize("name", ["gs_urban/plaza", "market"])
def test_older_files_are_written_as_they_are(tmp_path, name):
    path = scene_folder(name) / "episodes.json"
    write_episodes(
        tmp_path / "again.json", json.loads(path.read_text())["scene"], read_episodes(path)
    )
    assert (tmp_path / "again.json").read_bytes() == path.read_bytes()


@pytest.mark.parametrize(
    "change,match",
    [
        (lambda e: e["walkers"][0]["script"].update(wait_m=-1), "less than nothing"),
        (lambda e: e["walkers"][0]["script"].update(follow=2), "follows nobody"),
        (lambda e: e["walkers"][0]["script"].update(hops=1), "hops"),
        (lambda e: e["walkers"][0].update(script=3), "expected an object"),
        (lambda e: e["truth"].update(whom=[2]), "2 people"),
        (lambda e: e["truth"].update(alone_s=[1.0]), "alone_s"),
        (lambda e: e["truth"].update(side="up"), "'up'"),
        (lambda e: e["truth"].update(gates=[[0, 0, 1]]), "4 finite numbers"),
        (lambda e: e.update(setting="sociable"), "sociable"),
    ],
)
def test_damaged_scripts_and_truths_are_refused(tmp_path, change, match):
    path = tmp_path / "episodes.json"
    write_episodes(path, "here", [SCRIPTED])
    data = json.loads(path.read_text())
    change(data["episodes"][0])
    path.write_text(json.dumps(data))
    with pytest.raises(UserError, match=match) as raised:
        read_episodes(path)
    assert "episodes.json: episode 0" in str(raised.value)


def test_what_is_drawn_is_a_task_between_anchors_within_the_distance():
    source = RandomEpisodes([field_of(0)], 1, 5, people=4, distance_m=(3.0, 5.0))
    drawn = [source.next(0)[1] for _ in range(300)]
    turned = []
    for e in drawn:
        (x, y, yaw), (gx, gy) = e.start, e.goal
        assert {x, y, gx, gy} <= set(range(20)), "anchors"
        length = math.hypot(gx - x, gy - y)
        assert e.route_m == pytest.approx(length) and 3.0 <= length <= 5.0
        assert e.time_limit_s == pytest.approx(12 + 2 * length)
        turned.append(math.remainder(yaw - math.atan2(gy - y, gx - x), math.tau))
        assert 0 <= e.seed < 2**31 and len(e.walkers) <= 4
        assert e.setting == ("both" if e.walkers else "obstacle") and e.random
    assert {3.0, 5.0} <= {e.route_m for e in drawn}, "both ends as well"
    # looks within a radian of the goal's direction, to both sides alike
    assert -1 <= min(turned) < -0.95 and 0.95 < max(turned) <= 1 and abs(np.mean(turned)) < 0.1
    assert len({e.seed for e in drawn}) > 290 and max(e.seed for e in drawn) > 2**30


@pytest.mark.parametrize(("level", "far"), [(0.0, 5.0), (0.2, 5.0), (0.5, 8.0), (1.0, 13.0)])
def test_a_curriculums_level_is_the_share_of_the_distance_and_of_the_people(level, far):
    source = RandomEpisodes(
        [field_of(0)], 1, 5, people=4, distance_m=(3.0, 13.0), curriculum=True, crowded=True
    )
    source.level[0] = level
    drawn = [source.next(0)[1] for _ in range(150)]
    assert far - 0.5 < max(e.route_m for e in drawn) <= far
    # a fifth of the distance at least
    assert min(e.route_m for e in drawn) < 4
    assert {len(e.walkers) for e in drawn} == {round(4 * level)}


def test_a_curriculums_level_stays_between_nothing_and_all():
    source = RandomEpisodes([field_of(0)], 2, 5, people=0, curriculum=True)
    source.ended(0, False)
    assert source.level.tolist() == [0.0, 0.0]
    for _ in range(11):
        source.ended(1, True)
    assert source.level.tolist() == [0.0, 1.0]
    source.ended(1, False)
    assert source.level[1] == pytest.approx(0.95), "a failure counts half of a success"


@pytest.mark.parametrize(
    ("others", "goal"), [((0.5, 30.0), 0.5), ((1.5, 40.0), 1.5), ((40.0,), 40.0)]
)
def test_where_no_anchor_is_at_the_distance_the_nearest_to_it_is_the_goal(others, goal):
    """Never the start, though it may be nearest to the wanted 14 m."""
    scene = field_of(0)
    scene.free_anchors = np.array([[0.0, 0.0], *((x, 0.0) for x in others)])
    source = RandomEpisodes([scene], 1, 0, people=0, distance_m=(5.0, 14.0))
    drawn = [source.next(0)[1] for _ in range(40)]
    assert {e.goal[0] for e in drawn if e.start[0] == 0.0} == {goal}


def test_a_world_is_known_by_its_number_and_seed():
    fields = [field_of(things) for things in (3, 9, 1)]

    def life(source, world, count=6):
        drawn = [source.next(world) for _ in range(count)]
        return [(scene, dataclasses.replace(e, id="")) for scene, e in drawn]

    every = RandomEpisodes(fields, 4, 3, people=3)
    lives = [life(every, w) for w in range(4)]
    assert lives[2] != lives[3]
    later = RandomEpisodes(fields, 2, 3, people=3, first=2)
    assert [life(later, 0), life(later, 1)] == lives[2:]
    later.reseed(4)
    other = life(later, 0)
    assert other != lives[2]
    later.reseed(3)
    assert life(later, 0) == lives[2]
    later.reseed(3)
    life(later, 0, 2)
    state = json.loads(json.dumps(later.state()))
    again = RandomEpisodes(fields, 2, 99, people=3)
    again.restore(state)
    assert life(again, 0, 4) == lives[2][2:]


def test_scenes_of_ones_own_are_put_back_where_they_differ():
    """A world is in the scene of its own generation, after `restore` and a new seed too."""

    def source_of():
        fresh = FreshScenes(lambda seed: field_of(seed % 1000), 5, 3)
        scenes = [fresh.current(w) for w in range(3)]
        return fresh, RandomEpisodes(scenes, 3, 1, people=0, fresh=fresh, refresh=1)

    def things(scene):
        return scene.mesh.instance.max()

    fresh, source = source_of()
    began = [things(s) for s in source.scenes]
    for world in (1, 2, 1):
        for _ in range(2):  # the second episode is in the second scene
            if (given := source.new_scene(world)) is not None:
                assert given is source.scenes[world]
            source.next(world)
    now = [things(s) for s in source.scenes]
    assert fresh.generation == [0, 3, 1] and now[0] == began[0] and len(set(now + began)) == 5
    assert source.out_of_date() == [], "they are where they should be"
    _, other = source_of()
    other.restore(json.loads(json.dumps(source.state())))
    assert [(w, things(s)) for w, s in other.out_of_date()] == [(1, now[1]), (2, now[2])]
    assert [things(s) for s in other.scenes] == now and other.out_of_date() == []
    other.reseed(1)
    assert [(w, things(s)) for w, s in other.out_of_date()] == [(1, began[1]), (2, began[2])]
    source.close()
    other.close()


def test_a_list_is_run_once_and_goes_on_where_it_was():
    source = ListedEpisodes([ONE, dataclasses.replace(ONE, id="b")])
    assert source.new_scene(1) is None and source.out_of_date() == []
    assert source.next(1) == (1, source.episodes[1]) and source.next(1) is None
    again = ListedEpisodes(source.episodes)
    again.restore(json.loads(json.dumps(source.state())))
    assert again.next(1) is None and again.next(0) == (0, ONE) and again.next(0) is None
    assert source.next(0) == (0, ONE)


ONE = Episode(
    "a",
    "both",
    (0.25, 3.25, 0.5),
    (1.0, 2.25),
    2.5,
    9.0,
    7,
    (Obstacle("box", 1.0, 2.0, 3.0),),
    (Walker((0.0, 1.0), (2.0, 3.0), 1.1, 5, "cut_in", 2),),
)


def test_files_of_before_behaviours_and_edges_are_read(tmp_path):
    path = tmp_path / "e.json"
    longest = dataclasses.replace(ONE, time_limit_s=3600.0)
    write_episodes(path, "x", [longest])
    assert read_episodes(path) == [longest]
    data = json.loads(path.read_text())
    walker = data["episodes"][0]["walkers"][0]
    del walker["behaviour"], walker["group"]
    path.write_text(json.dumps(data))
    assert read_episodes(path)[0].walkers == (Walker((0.0, 1.0), (2.0, 3.0), 1.1, 5, "walk", -1),)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"start": [0, 1]}, "should be 3 finite"),
        ({"start": [0, 1, 2, 3]}, "should be 3 finite"),
        ({"goal": [4, 5, 6]}, "should be 2 finite"),
        ({"goal": [4, math.inf]}, "should be 2 finite"),
        ({"route_m": 0}, "must be positive"),
        ({"time_limit_s": 0}, "must be positive"),
        ({"time_limit_s": 3600.5}, "at most 3600"),
        ({"obstacles": [{"kind": "box", "x": 0, "y": 0, "yaw": math.nan}]}, "should be 3 finite"),
        (
            {
                "walkers": [
                    {"start": [0, 0], "goal": [1, 1], "speed": 1, "look": 0, "behaviour": "x"}
                ]
            },
            "'x' is not one of walk",
        ),
    ],
)
def test_episodes_that_cannot_be_are_refused(tmp_path, change, match):
    write_episodes(tmp_path / "e.json", "x", [ONE, ONE])
    data = json.loads((tmp_path / "e.json").read_text())
    data["episodes"][1] |= change
    (tmp_path / "e.json").write_text(json.dumps(data))
    with pytest.raises(UserError, match=f"e.json: episode 1: .*{match}"):
        read_episodes(tmp_path / "e.json")


@pytest.mark.parametrize(
    ("count", "named"),
    [
        (1, "episode s0: the"),
        (8, "s6, s7: the"),
        (9, "s7 and 1 more: the"),
        (12, "s7 and 4 more: "),
    ],
)
def test_episodes_that_standing_still_would_solve_are_named(tmp_path, count, named):
    at_goal = [dataclasses.replace(ONE, id=f"s{i}", goal=(0.25, 4.2)) for i in range(count)]
    just_not = dataclasses.replace(ONE, goal=(0.25, 3.25 + GOAL_RADIUS_M))
    write_episodes(tmp_path / "e.json", "x", [just_not, *at_goal])
    with pytest.raises(UserError, match=named):
        read_episodes(tmp_path / "e.json")


def test_episodes_have_to_lie_in_their_scene():
    """A grid of 3 rows and 5 columns of half a metre: x from -1 up to 1.5, y from 2 up to 3.5."""
    grid = np.zeros((3, 5), bool)
    grid[2, 1] = True  # x -0.5 to 0, y 3 to 3.5
    scene: Any = SimpleNamespace(occupancy=Occupancy(grid, np.array([-1.0, 2.0]), 0.5))

    def check(start=(1.0, 2.25), goal=(1.0, 2.25)):
        check_episodes(
            Path("e.json"),
            scene,
            [ONE, dataclasses.replace(ONE, id="b", start=(*start, 0.0), goal=goal)],
        )

    for inside in ((-1.0, 2.0), (1.49, 3.49), (-1.0, 3.49), (1.49, 2.0)):
        check(start=inside, goal=inside)
    for outside in ((-1.01, 3.0), (1.5, 3.0), (1.0, 1.99), (1.0, 3.5), (4.0, 0.0)):
        for name in ("start", "goal"):
            with pytest.raises(UserError, match=f"e.json: episode b: {name} {outside[0]:g}, "):
                check(**{name: outside})
    check(goal=(-0.25, 3.25))  # arrived next to it
    for solid in ((-0.5, 3.0), (-0.01, 3.49)):
        with pytest.raises(UserError, match="episode b: start .* is inside something solid"):
            check(start=solid)
