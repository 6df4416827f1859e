"""Where somebody puts the origin and the axes of a world says nothing about it: what robots see and
do there turns with it.

Half a turn is where angles jump from pi to -pi, so a difference that is not brought back shows.
"""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s2e.core.observation import wrapped
from s2e.envs.geometry.occupancy import DistanceFields, Occupancy
from s2e.envs.robots.collision import sweep
from s2e.envs.robots.fleet import Fleet
from s2e.policy.config import PRESETS
from s2e.policy.recovery import Recovery
from s2e.pretrain.samples import make_batch, make_samples
from s2e.video.check import check_walk
from s2e.video.frames import ImageFiles
from s2e.video.ground import agreement, at_times
from s2e.video.stats import measure
from s2e.video.walk import Walk

TURNS = st.one_of(st.sampled_from([np.pi / 2, np.pi, 3.0, -2.5]), st.floats(-np.pi, np.pi))
"""The walks below begin ahead at yaw 0 and bend by a radian, so the named ones take them over half
a turn."""

ORIGIN = np.array([3.0, -7.0])


def turn_points(xy: np.ndarray, angle: float) -> np.ndarray:
    c, s = np.cos(angle), np.sin(angle)
    return np.asarray(xy) @ np.array([[c, s], [-s, c]])


def bend(length: int = 60) -> Walk:
    """0.8 m/s for 6 s on a bend to the left and back to the right; yaw within -pi..pi, as files
    have it."""
    t = np.arange(length) / 10
    yaw = np.sin(1.1 * t)
    step = 0.08 * np.stack([np.cos(yaw), np.sin(yaw)], 1)
    return Walk(
        "bend", Path("bend"), ImageFiles(lambda k: b"", length, str), t, np.cumsum(step, 0), yaw
    )


def turned(walk: Walk, angle: float) -> Walk:
    position = turn_points(walk.position, angle) + ORIGIN
    return dataclasses.replace(
        walk, position=position, yaw=np.angle(np.exp(1j * (walk.yaw + angle)))
    )


@settings(max_examples=15, deadline=None)
@given(TURNS)
def test_samples_are_what_the_robot_saw(angle):
    config = PRESETS["laptop"]
    here, there = (
        make_samples([w], config, np.array([0])) for w in (bend(), turned(bend(), angle))
    )
    for name in ("future", "ego", "frames", "goals"):
        np.testing.assert_allclose(
            getattr(there, name), getattr(here, name), atol=1e-5, err_msg=name
        )
    goals = [make_batch(s, np.arange(len(s)), config, None).goal_xy for s in (here, there)]
    np.testing.assert_allclose(goals[1], goals[0], atol=1e-9)
    assert np.abs(here.ego[:, 1]).max() < 1.2, "no faster than it bends"


@settings(max_examples=15, deadline=None)
@given(TURNS)
def test_figures_and_findings_of_a_walk_stay(angle):
    here, there = measure([bend()]), measure([turned(bend(), angle)])
    for name, values in here.items():
        np.testing.assert_allclose(there[name], values, atol=1e-6, err_msg=name)
    assert check_walk(bend()) == check_walk(turned(bend(), angle)) == []


@settings(max_examples=15, deadline=None)
@given(TURNS)
def test_poses_between_poses_turn(angle):
    walk, times = bend(), np.linspace(0.0, 5.9, 143)
    other = turned(walk, angle)
    stretch, place, yaw = at_times(times, walk.times, walk.position, walk.yaw)
    stretch_there, place_there, yaw_there = at_times(times, other.times, other.position, other.yaw)
    np.testing.assert_array_equal(stretch_there, stretch)
    np.testing.assert_allclose(place_there, turn_points(place, angle) + ORIGIN, atol=1e-9)
    np.testing.assert_allclose(wrapped(yaw_there - yaw - angle), 0.0, atol=1e-9)
    assert agreement(other.position, other.yaw) == pytest.approx(
        agreement(walk.position, walk.yaw), abs=1e-9
    )
    assert agreement(other.position, other.yaw) > 0.9


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_what_stops_a_robot_turns_with_the_map(quarters):
    rng, angle = np.random.default_rng(4), quarters * np.pi / 2
    grid = rng.random((80, 80)) < 0.01
    here, there = (
        DistanceFields.pack([Occupancy(g, np.full(2, -4.0))])
        for g in (grid, np.rot90(grid, -quarters))
    )
    fleet, zeros = Fleet.of(["coco", "go2", "jackal", "g1"] * 50), np.zeros(200, dtype=int)
    starts = np.concatenate([rng.uniform(-3, 3, (200, 2)), rng.uniform(-np.pi, np.pi, (200, 1))], 1)
    ends = starts + np.concatenate(
        [rng.normal(0, 0.5, (200, 2)), rng.uniform(-1.5, 1.5, (200, 1))], 1
    )

    def moved(poses: np.ndarray) -> np.ndarray:
        return np.concatenate([turn_points(poses[:, :2], angle), wrapped(poses[:, 2:] + angle)], 1)

    reached, blocked = sweep(fleet, starts, ends, here, zeros)
    reached_there, blocked_there = sweep(fleet, moved(starts), moved(ends), there, zeros)
    assert 0.1 < blocked.mean() < 0.9
    # Rounding may move a robot that just touches by one look, 2 cm or 0.05 rad.
    apart = reached_there - moved(reached)
    same = (
        (np.abs(apart[:, :2]).max(1) < 1e-6)
        & (np.abs(wrapped(apart[:, 2])) < 1e-6)
        & (blocked == blocked_there)
    )
    assert same.mean() > 0.97


@settings(max_examples=15, deadline=None)
@given(TURNS)
def test_whoever_is_stuck_backs_off_to_the_same_side(angle):
    way, told = np.array([[1.0, 0.4], [1.0, -0.4], [0.5, 0.0]]), []
    places = np.array([[3.0, 0.0], [-2.0, 3.0], [0.0, 0.0]])
    for turn in (0.0, angle):
        recovery, said = Recovery(3), []
        # the second jam is near the first, the third far off
        for aside in (0.0, 0.0), (0.4, 0.3), (4.0, 0.0):
            poses = np.concatenate(
                [turn_points(places + aside, turn), wrapped(np.full((3, 1), turn))], 1
            )
            said += [recovery.relieve(way, poses, np.zeros((3, 2)), 0.2) for _ in range(9)]
        told.append(said)
    np.testing.assert_array_equal(told[0], told[1])
