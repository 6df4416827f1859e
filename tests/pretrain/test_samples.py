import dataclasses

import numpy as np
import pytest

from s2e.core.errors import UserError
from s2e.core.observation import goal_token
from s2e.pretrain.samples import make_batch, make_samples, mirrored, split_walks
from s2e.video.walk import Body
from tests.pretrain.runs import CONFIG, walk


def circle(length=60, hz=10.0):
    """A walk around a circle: radius 2 m at 0.5 m/s."""
    angle = np.arange(length) / hz * 0.25
    return walk(
        f"circle{length}", 2 * np.stack([np.cos(angle), np.sin(angle)], 1), angle + np.pi / 2, hz
    )


def test_a_circle_looks_the_same_from_everywhere():
    walk = circle()
    samples = make_samples([walk], CONFIG, np.array([0]))
    assert len(samples) == 60 - 20
    np.testing.assert_allclose(
        samples.future, np.broadcast_to(samples.future[0], samples.future.shape), atol=1e-6
    )
    end = 2 * np.array([np.sin(0.5), 1 - np.cos(0.5)])  # 2 s later: 0.5 rad to the left
    np.testing.assert_allclose(samples.future[0, -1], end, atol=1e-6)
    np.testing.assert_allclose(samples.ego[5:], [[0.5, 0.25, 0.5]] * 35, atol=2e-3)
    assert (samples.frames[10] == [2, 4, 6, 8, 10]).all() and (samples.frames[0] == 0).all()


def test_goals_are_one_to_thirty_seconds_ahead_or_five():
    """On the circle, 5 s later is 1.25 rad further; near its end the walk's end is."""
    samples = make_samples([circle(400)], CONFIG, np.array([0]))
    assert samples.goals[0].tolist() == [10, 300, 50]
    assert samples.goals[370].tolist() == [380, 399, 399]
    one = np.zeros(3000, dtype=int)
    fixed = make_batch(samples, one[:1], CONFIG, None)
    np.testing.assert_allclose(
        fixed.goal_xy, [[2 * np.sin(1.25), 2 * (1 - np.cos(1.25))]], atol=1e-9
    )
    drawn = make_batch(samples, one, CONFIG, np.random.default_rng(0)).goal_xy
    turned = 2 * np.arctan2(drawn[:, 1], drawn[:, 0]) % (2 * np.pi)  # of the way round
    expected = np.unique((0.025 * np.arange(10, 301) % (2 * np.pi)).round(6))
    assert set(turned.round(6)) <= set(expected) and len(np.unique(turned.round(6))) > 250
    ends = [2 * np.array([np.sin(a), 1 - np.cos(a)]) for a in (0.25, 7.5)]  # both are drawn
    assert all(np.linalg.norm(drawn - end, axis=1).min() < 1e-6 for end in ends)


def test_what_is_known_of_a_moment_stays_with_it():
    """Two walks of different robots, of which one knows what was free."""
    rays = np.arange(60.0)[:, None] + np.arange(16.0) / 100
    body = Body("cart", 0.5, 0.4, 1.5, 1.0, camera_height_m=0.6, camera_hfov_deg=45.0)
    walks = [circle(), dataclasses.replace(circle(), free_space=rays, body=body)]
    samples = make_samples(walks, CONFIG, np.array([0, 60]))
    assert samples.walk.tolist() == [0] * 40 + [1] * 40
    assert samples.frame.tolist() == [*range(40), *range(60, 100)]
    assert np.isnan(samples.free_space[:40]).all()
    batch = make_batch(samples, np.array([47, 3]), CONFIG, None)
    np.testing.assert_allclose(batch.free_space[0], rays[7], rtol=1e-6)
    assert batch.frames[0].tolist() == [60, 61, 63, 65, 67] and batch.frames[1, -1] == 3
    np.testing.assert_allclose(samples.ego[[0, 40]], 0, atol=1e-12)  # nothing was before
    np.testing.assert_allclose(batch.ego[0], [0.5, 0.25, 0.5], atol=2e-3)
    np.testing.assert_allclose(batch.robot[0], [0.5, 0.4, 0.75, 0.5, 0.6, 0.5], rtol=1e-6)
    assert batch.robot[1].isnan().all()


def test_the_mirrored_moment_by_hand():
    samples = make_samples(
        [dataclasses.replace(circle(), free_space=np.tile(np.arange(1.0, 17.0), (60, 1)))],
        CONFIG,
        np.array([0]),
    )
    batch = make_batch(samples, np.array([20, 20]), CONFIG, None)
    turned = mirrored(batch, np.array([True, False]))
    for name, sign in (
        ("future", [1, -1]),
        ("goal_xy", [1, -1]),
        ("goal", [1, 1, -1]),  # distance, cos, sin
        ("ego", [1, -1, -1]),  # speed, turn, curvature
    ):
        plain, other = (np.asarray(getattr(b, name)) for b in (batch, turned))
        np.testing.assert_allclose(other[0], plain[0] * sign)
        np.testing.assert_array_equal(other[1], plain[1])
    np.testing.assert_array_equal(turned.free_space[0], np.arange(16.0, 0.0, -1))
    np.testing.assert_array_equal(turned.free_space[1], np.arange(1.0, 17.0))


def test_nothing_is_learned_from_a_nudge_or_over_a_hole():
    whole = circle()  # 6 s
    nudged = dataclasses.replace(whole, nudged=np.array([[3.0, 3.5]]))
    kept = make_samples([nudged], CONFIG, np.array([0])).frame
    assert set(range(40)) - set(kept) == {
        t for t in range(40) if t / 10 + 2 > 3.0 + 1e-9 and t / 10 < 3.5
    }
    later = np.where(np.arange(60) < 30, whole.times, whole.times + 5.0)
    samples = make_samples([dataclasses.replace(whole, times=later)], CONFIG, np.array([0]))
    assert (
        set(samples.frame) == {*range(10), *range(30, 40)}
        and (samples.frames[samples.frame >= 30] >= 30).all()
    )
    assert np.abs(samples.ego).max() < 0.6, "nothing is read across the hole"


def test_slow_frames_are_no_holes():
    slow = walk("slow", np.arange(40.0)[:, None] * [0.4, 0.0], np.zeros(40), hz=0.5)
    samples = make_samples([slow], CONFIG, np.array([0]))
    assert list(samples.frame) == list(range(39))
    np.testing.assert_allclose(samples.future[:, -1], [[0.4, 0.0]] * 39, atol=1e-6)
    torn = dataclasses.replace(slow, times=slow.times + 5.0 * (np.arange(40) >= 20))  # 7 s, of 2 s
    samples = make_samples([torn], CONFIG, np.array([0]))
    assert 19 not in samples.frame and samples.goals[samples.frame < 19].max() == 19


def test_goals_lie_ahead_in_the_same_walk():
    walks = [circle(), circle(80)]
    samples = make_samples(walks, CONFIG, np.array([100, 500]))
    batch = make_batch(samples, np.arange(len(samples)), CONFIG, np.random.default_rng(0))
    assert batch.frames[:40].max() < 160 and batch.frames[40:].min() >= 500
    own = np.linalg.norm(samples.position - [0, 0], axis=1)
    np.testing.assert_allclose(own, 2)
    np.testing.assert_allclose(batch.goal.numpy(), goal_token(batch.goal_xy, CONFIG.goal_clip_m))


def test_goals_do_not_lie_beyond_a_hole():
    whole = circle(200)  # 20 s at 10 Hz
    late = np.arange(200) >= 100
    torn = dataclasses.replace(
        whole, times=whole.times + 10.0 * late, position=whole.position + 500.0 * late[:, None]
    )
    samples, unbroken = (make_samples([w], CONFIG, np.array([0])) for w in (torn, whole))
    first = samples.frame < 100
    assert (samples.goals[first] <= 99).all() and (samples.goals[~first] > 100).all()
    assert (samples.goals > samples.frame[:, None]).all()
    same = [list(unbroken.frame).index(t) for t in samples.frame]
    limit = np.where(first, 99, 199)[:, None]
    np.testing.assert_array_equal(samples.goals, np.minimum(unbroken.goals[same], limit))
    for rng in (None, np.random.default_rng(0)):
        batch = make_batch(samples, np.arange(len(samples)), CONFIG, rng)
        assert np.linalg.norm(batch.goal_xy, axis=1).max() <= 4 + 1e-9, "the circle is 4 m wide"


def test_split_is_by_walk():
    walks = [walk(str(i), np.zeros((9, 2)), np.zeros(9)) for i in range(10)]
    train, held = split_walks(walks, 0.2, 0)
    assert (
        len(held) == 2 and not {w.name for w in train} & {w.name for w in held} and len(train) == 8
    )
    pieces = [walk(f"{i}+{k}", np.zeros((9, 2)), np.zeros(9)) for i in range(5) for k in range(3)]
    train, held = split_walks(pieces, 0.4, 1)
    assert len(held) == 6 and not {w.name[0] for w in train} & {w.name[0] for w in held}
    with pytest.raises(UserError, match="at least two"):
        split_walks(walks[:1], 0.2, 0)
    assert [len(part) for part in split_walks(walks[:2], 0.9, 0)] == [1, 1]
