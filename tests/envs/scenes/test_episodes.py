import dataclasses
import json
import time
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from s2e.core.errors import UserError
from s2e.envs.geometry.scene import Episode, Script, Truth, Walker
from s2e.envs.scenes.episodes import RandomEpisodes, read_episodes, write_episodes
from s2e.envs.scenes.files import scene_folder
from s2e.envs.streets.build import build_scene
from s2e.envs.streets.fresh import FreshScenes
from s2e.envs.streets.pool import training_scenes


@pytest.fixture(scope="module")
def scenes():
    return training_scenes(6, 0)


def distances(source, world, count):
    return [source.next(world)[1].route_m for _ in range(count)]


def test_success_lengthens_a_worlds_ways_and_no_other_worlds(scenes):
    source = RandomEpisodes(scenes, 2, 0, people=8, curriculum=True)
    first = distances(source, 0, 20)
    for _ in range(12):
        source.ended(0, True)
    assert np.max(first) < 8 and np.max(distances(source, 0, 20)) > 10
    alone = RandomEpisodes(scenes, 1, 0, people=8, curriculum=True)
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
