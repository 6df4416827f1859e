import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s2e.core.errors import UserError
from s2e.core.observation import RAYS
from s2e.video.frames import ImageFiles, jpeg
from s2e.video.resample import is_uniform, nearest, split_at, split_gaps, trajectory, uniform
from s2e.video.walk import Walk


def walk_at(times, name="walk", rays=False):
    """A walk at 1 m/s whose frame t is all of grey level t."""
    times = np.asarray(times, dtype=np.float64)
    frames = ImageFiles(
        lambda t: jpeg(np.full((8, 12, 3), t % 256, np.uint8)), len(times), lambda t: f"frame {t}"
    )
    position = np.stack([times - times[0], np.zeros(len(times))], 1)
    free = np.repeat(np.arange(len(times), dtype=np.float32)[:, None], RAYS, 1) if rays else None
    return Walk(
        name,
        __import__("pathlib").Path(name),
        frames,
        times,
        position,
        0.1 * times,
        free_space=free,
    )


def levels(walk):
    return [round(i.mean()) for i in walk.frames.images(range(len(walk)))]


@pytest.mark.parametrize("source, hz, step", [(30, 5, 6), (15, 5, 3), (10, 5, 2), (20, 4, 5)])
def test_whole_ratios_take_every_nth_frame(source, hz, step):
    walk = uniform(walk_at(np.arange(61) / source, rays=True), hz)
    expected = list(range(0, 61, step))
    assert levels(walk) == expected and walk.free_space is not None
    assert walk.free_space[:, 0].tolist() == expected
    assert walk.hz == pytest.approx(hz) and is_uniform(walk, 1e-6)


def test_image_and_pose_stay_together():
    rng = np.random.default_rng(0)
    source = walk_at(np.cumsum(rng.uniform(0.02, 0.05, 200)), rays=True)
    walk = uniform(source, 5)
    frames = levels(walk)
    np.testing.assert_array_equal(walk.times, source.times[frames])
    np.testing.assert_array_equal(walk.position, source.position[frames])
    np.testing.assert_array_equal(walk.yaw, source.yaw[frames])
    assert is_uniform(walk)


@given(st.lists(st.floats(0.001, 0.5), min_size=8, max_size=120), st.floats(0.5, 60))
@settings(deadline=None, max_examples=80)
def test_never_repeats_a_frame_and_never_upsamples(steps, hz):
    source = walk_at(np.cumsum(steps))
    walk = uniform(source, hz)
    assert (np.diff(walk.times) > 0).all() and set(walk.times) <= set(source.times)
    assert len(walk.frames) == len(walk.times) == len(walk.yaw) == len(walk.position)
    # nearest: no other frame is closer to the instant that a frame was chosen for
    if walk is not source and len(walk) < len(source):
        grid = (
            source.times[0]
            + np.arange(int((source.times[-1] - source.times[0]) * hz + 1e-6) + 1) / hz
        )
        best = np.abs(source.times[:, None] - grid).min(0)
        assert all(np.isclose(np.abs(t - grid), best, atol=1e-9).any() for t in walk.times)


def test_a_slower_walk_is_kept_and_says_so():
    walk = uniform(walk_at(np.arange(20) / 4), 10)
    assert len(walk) == 20 and "4 Hz" in walk.note


def test_a_rate_nearly_right_is_left_alone():
    source = walk_at(np.arange(50) / 5.2)
    assert uniform(source, 5) is source and not source.note


def test_gaps_are_not_filled():
    source = walk_at(np.concatenate([np.arange(40) / 20, 5 + np.arange(40) / 20]))
    walk = uniform(source, 5)
    assert np.diff(walk.times).max() > 2.5 and not is_uniform(walk)
    pieces = split_gaps(source, 1.0)
    assert [p.name for p in pieces] == ["walk+0", "walk+1"] and [len(p) for p in pieces] == [40, 40]
    assert levels(pieces[1])[0] == 40 and all(is_uniform(uniform(p, 5)) for p in pieces)
    assert {trajectory(p.name) for p in pieces} == {"walk"} and split_gaps(pieces[0], 1.0) == [
        pieces[0]
    ]


@pytest.mark.parametrize("hz", [2.0, 3.0, 5.0])
def test_an_instant_has_one_frame_and_those_of_a_gap_have_none(hz):
    source = walk_at(np.concatenate([np.arange(13) / 10, 5.27 + np.arange(30) / 10]))
    walk = uniform(source, hz)
    instants = np.round(walk.times * hz)
    assert len(set(instants)) == len(instants), (
        "the frame before the gap stands for no instant inside it"
    )
    assert (np.abs(walk.times - instants / hz) <= 0.5 / hz).all()
    assert set(walk.times) <= set(source.times) and set(np.arange(1.2 * hz // 1)) <= set(instants)


def test_short_pieces_and_dropped_frames():
    walk, keep = walk_at(np.arange(60) / 5), np.ones(60, bool)
    keep[30:33] = False
    pieces = split_at(walk, np.array([5]), keep)
    assert [(levels(p)[0], len(p)) for p in pieces] == [(5, 25), (33, 27)]
    assert split_at(walk, np.array([], int), np.zeros(60, bool)) == []


@pytest.mark.parametrize("hz", [0, -1, float("nan"), float("inf")])
def test_rates_that_are_none(hz):
    with pytest.raises(UserError, match="rate"):
        uniform(walk_at(np.arange(20) / 4), hz)


@given(
    st.lists(st.integers(0, 60), min_size=1, max_size=12, unique=True),
    st.lists(st.integers(-9, 70), min_size=1, max_size=12),
)
def test_nearest_is_the_nearest_and_of_two_the_earlier(times, wanted):
    times = sorted(times)
    assert nearest(np.array(times), np.array(wanted)).tolist() == [
        int(np.argmin([abs(t - w) for t in times])) for w in wanted
    ]
