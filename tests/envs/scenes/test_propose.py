"""Proposals of anchors and episodes: the same as ever for the suite, bounded and refused where a
place has no room."""

import dataclasses
import math
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s2e.core.errors import UserError
from s2e.envs.geometry.meshes import empty_mesh
from s2e.envs.geometry.occupancy import Occupancy
from s2e.envs.geometry.scene import GOAL_RADIUS_M, Episode, Ground, Scene
from s2e.envs.scan.check import solved
from s2e.envs.scenes.episodes import SETTINGS, check_episodes, read_episodes, write_episodes
from s2e.envs.scenes.files import load_scene, scene_folder
from s2e.envs.scenes.propose import covered, free_anchors, largest_region, make_episodes


def yard(width_m, depth_m, resolution=0.1):
    grid = np.zeros((round(depth_m / resolution), round(width_m / resolution)), dtype=bool)
    grid[[0, -1]], grid[:, [0, -1]] = True, True
    occupancy = Occupancy(grid, np.zeros(2), resolution)
    return Scene("yard", occupancy, empty_mesh(), free_anchors(occupancy))


def test_the_packaged_episodes_are_what_the_seed_gives():
    listed = read_episodes(scene_folder("gs_urban/plaza") / "episodes.json")
    made = make_episodes(load_scene("gs_urban/plaza"), seed=7, count=12)
    assert made == [e for s in SETTINGS for e in [e for e in listed if e.setting == s][:12]]


def test_pairs_are_the_same_in_all_settings():
    made = make_episodes(yard(14, 12), 3, count=6)
    assert [e.setting for e in made] == [s for s in SETTINGS for _ in range(6)]
    by = {s: [e for e in made if e.setting == s] for s in SETTINGS}
    for empty, obstacle, pedestrian, both in zip(*by.values()):
        assert (
            empty.start == obstacle.start == pedestrian.start == both.start
            and empty.goal == both.goal
        )
        assert (
            not empty.obstacles
            and not empty.walkers
            and obstacle.obstacles == both.obstacles
            and pedestrian.walkers == both.walkers
        )
        assert (
            8 <= empty.route_m <= 22
            and len(obstacle.obstacles) >= 2
            and obstacle.route_m >= empty.route_m - 0.3
        )


def test_a_place_too_small_is_refused_and_not_searched_for_ever():
    with pytest.raises(
        UserError,
        match=r"'yard': 0 of 50 episodes found with routes of 8 to 22 m.*ask for fewer or shorter",
    ):
        make_episodes(yard(5, 5), 0)
    with pytest.raises(UserError, match="0 anchors"):
        make_episodes(dataclasses.replace(yard(5, 5), free_anchors=np.zeros((0, 2))), 0)


def test_a_small_place_has_shorter_and_fewer_episodes():
    made = make_episodes(yard(7.5, 7), 0, count=8, route_m=(5.0, 12.0), at_least=3)
    assert len(made) % 4 == 0 and 3 <= len(made) // 4 <= 8
    assert all(5 <= e.route_m for e in made if e.setting == "empty") and all(
        e.obstacles for e in made if e.setting == "both"
    )


@pytest.mark.parametrize("width_m", [2.8, 3.6, 5.0])
def test_a_room_has_short_episodes_that_can_be_driven(width_m):
    """Of 2 m and more, with something in the way before the goal counts as reached, and no
    crowd."""
    scene = yard(width_m, 2.7)
    scene = dataclasses.replace(
        scene, free_anchors=free_anchors(scene.occupancy, narrow=True, room_m=0.35)
    )
    made = make_episodes(scene, 0, count=10, route_m=(2.0, 22.0), at_least=5, narrow=True)
    for e in made:
        assert e.setting != "empty" or 2.0 <= e.route_m <= math.hypot(width_m, 2.7)
        assert bool(e.obstacles) == (e.setting in ("obstacle", "both")) and len(e.walkers) <= 1
        for o in e.obstacles:
            assert math.dist((o.x, o.y), e.goal) > 0.6 and math.dist((o.x, o.y), e.start[:2]) > 0.6
    assert any(e.walkers for e in made)
    assert solved(scene, made).mean() >= 0.95


@pytest.mark.parametrize(
    "more",
    [{"count": 0}, {"route_m": (1.9, 9.0)}, {"route_m": (9.0, 8.0)}, {"route_m": (8.0, np.nan)}],
)
def test_senseless_numbers_are_refused(more):
    with pytest.raises(UserError, match="at least 1|give two lengths"):
        make_episodes(yard(12, 12), 0, **more)


def test_anchors_of_full_small_and_stepped_places():
    solid = Occupancy(np.ones((20, 20), dtype=bool), np.zeros(2), 0.1)
    assert not largest_region(~solid.grid).any()
    with pytest.raises(UserError, match="room"):
        free_anchors(solid)
    few = yard(3, 3).free_anchors
    apart = np.linalg.norm(few[:, None] - few[None], axis=2) + 100 * np.eye(len(few))
    assert 2 <= len(few) < 64 and apart.min() >= 0.4
    height = np.zeros((100, 100), np.float32)
    height[:, 60:] = 0.3  # a terrace that wheels do not reach
    ground = Ground(height, np.zeros((100, 100), np.uint8))
    assert (
        free_anchors(Occupancy(np.zeros((100, 100), dtype=bool), np.zeros(2), 0.1), ground)[
            :, 0
        ].max()
        < 6.0
    )


def test_episodes_that_do_not_fit_a_scene_are_refused(tmp_path):
    scene, path = yard(14, 12), tmp_path / "episodes.json"
    good = make_episodes(scene, 3, count=1)
    check_episodes(path, scene, good)
    for change, match in (
        (
            {"start": (99.0, 1.0, 0.0)},
            r"episodes\.json: episode empty-000: start 99, 1 is outside the scene's grid",
        ),
        ({"start": (-0.01, 1.0, 0.0)}, "outside"),
        ({"goal": (3.0, 12.0)}, "goal 3, 12 is outside"),
        ({"start": (0.05, 5.0, 0.0)}, "inside something solid"),
    ):
        with pytest.raises(UserError, match=match):
            check_episodes(path, scene, [dataclasses.replace(good[0], **change)])
    write_episodes(path, "yard", [dataclasses.replace(good[0], time_limit_s=1e300)])
    with pytest.raises(UserError, match=r"time_limit_s is 1e\+300; at most 3600"):
        read_episodes(path)


@settings(deadline=None, max_examples=40)
@given(st.floats(0.0, 3.0), st.floats(-np.pi, np.pi), st.integers(1, 12))
def test_episodes_that_start_at_their_goal_are_refused_when_read(apart_m, bearing, count):
    good = Episode("good", "empty", (1.0, 1.0, 0.0), (7.0, 5.0), 8.0, 20.0, 3)
    x, y = good.goal
    start = (x + apart_m * np.cos(bearing), y + apart_m * np.sin(bearing), 0.0)
    listed = [good, *(dataclasses.replace(good, id=f"here-{k}", start=start) for k in range(count))]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "episodes.json"
        write_episodes(path, "yard", listed)
        if math.dist(start[:2], good.goal) < GOAL_RADIUS_M:
            more = " and 4 more" if count == 12 else ""
            with pytest.raises(
                UserError,
                match=rf"episodes\.json: episodes? here-0.*{more}: the start is within 1 m of the "
                r"goal",
            ):
                read_episodes(path)
        else:
            assert len(read_episodes(path)) == 1 + count


def test_no_episode_is_proposed_between_the_sides_of_a_thin_wall():
    scene = yard(14, 12)
    grid = scene.occupancy.grid.copy()
    grid[:90, 70] = True
    # as a hand may place them
    sides = np.array([[6.55, 1.5], [7.45, 1.5], [6.55, 2.0], [7.45, 2.0]])
    walled = dataclasses.replace(
        scene, occupancy=Occupancy(grid, np.zeros(2), 0.1), free_anchors=sides
    )
    made = make_episodes(walled, 0, count=4, route_m=(5.0, 40.0), at_least=0)
    assert made and all(np.hypot(*(np.array(e.goal) - e.start[:2])) >= GOAL_RADIUS_M for e in made)


@pytest.mark.parametrize("name", ["gs_urban/plaza", pytest.param("market", marks=pytest.mark.slow)])
def test_the_packaged_episodes_fit_their_scenes(name):
    path = Path(scene_folder(name)) / "episodes.json"
    check_episodes(path, load_scene(name), read_episodes(path))


def test_anchors_and_routes_go_through_doors():
    """Two rooms with a door of 0.9 m: only narrow ways join them, and starts and goals are in
    both."""
    grid = np.ones((70, 120), dtype=bool)
    grid[5:65, 5:58] = grid[5:65, 62:115] = False
    grid[30:39, 58:62] = False
    occupancy = Occupancy(grid, np.zeros(2), 0.1)
    assert len({x > 6.0 for x, _ in free_anchors(occupancy)}) == 1
    anchors = free_anchors(occupancy, narrow=True)
    assert {x > 6.0 for x, _ in anchors} == {True, False}
    scene = Scene("flat", occupancy, empty_mesh(), anchors)
    episodes = make_episodes(scene, 0, 12, (5.0, 14.0), at_least=5, narrow=True)
    assert any((e.start[0] > 6.0) != (e.goal[0] > 6.0) for e in episodes)
    share, area = covered(scene, episodes)
    assert share > 0.8 and 30.0 < area < 60.0
