import time
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from s2e.envs.scenes.episodes import RandomEpisodes
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
