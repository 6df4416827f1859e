import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.distributions import Categorical, Independent, MixtureSameFamily, MultivariateNormal

from s2e.policy.config import PRESETS
from s2e.policy.mixture import Modes
from s2e.pretrain.baselines import constant_velocity, straight_to_goal
from s2e.pretrain.metrics import (
    SHAPES,
    angle_error,
    calibration_gaps,
    displacement,
    end_heading,
    matches,
    mean_average_precision,
    rank,
    shapes,
    thresholds,
    trajectory_nll,
    waypoint_cosine,
)

CONFIG = PRESETS["laptop"]


def arc(v, omega, t=10, dt=0.2):
    """(1, T, 2): constant speed and yaw rate, integrated finely."""
    fine = np.linspace(0, t * dt, 20 * t + 1)
    middle = (fine[1:] + fine[:-1]) / 2
    step = v * np.diff(fine)
    xy = np.cumsum(np.stack([step * np.cos(omega * middle), step * np.sin(omega * middle)], 1), 0)
    return xy[19::20][None]


def test_displacement_by_hand():
    future = np.array([[1.0, 0], [2, 0]])
    ade, fde = displacement(np.array([[[1.0, 0], [2, 1]], [[1, 0], [2, 0]]]), future)
    np.testing.assert_allclose(ade, [0.5, 0])
    np.testing.assert_allclose(fde, [1, 0])


def test_cosine_by_hand_and_standing_still_has_no_direction():
    future = np.array([[[1.0, 0], [2, 0]], [[0, 0], [0.01, 0]], [[0, 0], [1, 0]]])
    predicted = np.array([[[1.0, 0], [2, 1]], [[1, 0], [1, 0]], [[0, 1], [0, 1]]])
    cosine = waypoint_cosine(predicted, future)
    np.testing.assert_allclose(cosine, [(1 + 2 / np.sqrt(5)) / 2, np.nan, 0], atol=1e-12)


def test_angle_error_is_the_greatest_and_only_of_samples_that_get_somewhere():
    future = np.array([[[1.0, 0], [2, 0]], [[0.5, 0], [0.9, 0]], [[0.01, 0], [0, 2]]])
    predicted = np.array([[[1.0, 1], [2, 0.5]], [[0, 1], [0, 1]], [[-1, 0], [-1, 1]]])
    degrees = angle_error(predicted, future)
    # the last one's first waypoint has no direction
    np.testing.assert_allclose(degrees, [45, np.nan, 45])
    assert angle_error(-future[:1], future[:1])[0] == pytest.approx(180)


@pytest.mark.parametrize(
    ("speed", "lateral"), [(0, 0.15), (0.2, 0.15), (0.8, 0.225), (1.4, 0.3), (3, 0.3)]
)
def test_thresholds_are_those_of_the_docstring(speed, lateral):
    side, along = thresholds(arc(speed, 0), 0.2)
    assert side[0] == pytest.approx(lateral) and along[0] == pytest.approx(2 * lateral)


@pytest.mark.parametrize(("seconds", "lateral"), [(3, 1.0), (5, 1.8), (8, 3.0)])
def test_thresholds_continue_waymos(seconds, lateral):
    side, along = thresholds(arc(1.4, 0, t=5 * seconds), 0.2)
    # Waymo halves them at 1.4 m/s
    assert side[0] == pytest.approx(lateral / 2) and along[0] == pytest.approx(lateral)


def test_end_heading():
    still = np.zeros((1, 10, 2))
    stops = arc(1, 0.5)
    stops[:, 6:] = stops[:, 5:6]
    np.testing.assert_allclose(
        np.concatenate([end_heading(f) for f in (arc(1, 0.5), still, stops)]),
        [0.95, 0, 0.55],
        atol=1e-3,
    )


def test_matching_is_in_the_frame_of_the_truths_end():
    # 1.4 m/s to the left: 0.3 aside in x, 0.6 ahead in y
    future = np.stack([np.zeros(10), 0.28 * np.arange(1, 11)], -1)[None]
    ends = np.array([[0.29, 0], [0.31, 0], [0, 0.59], [0, -0.59], [0, 0.61], [-0.29, 0.59]])
    predicted = np.repeat(future, 6, 0)[None].copy()
    predicted[0, :, -1] += ends
    assert matches(predicted, future, 0.2)[0].tolist() == [True, False, True, True, False, True]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(-4, 4))
def test_matching_does_not_depend_on_where_one_looks_from(seed, angle):
    rng = np.random.default_rng(seed)
    future = np.cumsum(rng.normal(0, 0.2, (4, 10, 2)), 1)
    predicted = future[:, None] + np.cumsum(rng.normal(0, 0.08, (4, 3, 10, 2)), 2)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    np.testing.assert_array_equal(
        matches(predicted @ turn, future @ turn, 0.2), matches(predicted, future, 0.2)
    )


CURVES = {
    "stationary": (0.05, 0),
    "straight": (0.5, 0.1),
    "straight left": (1.2, 0.25),
    "straight right": (1.2, -0.25),
    "left": (0.5, 0.6),
    "right": (0.5, -0.6),
    "left U-turn": (0.5, 2.0),
    "right U-turn": (0.5, -2.0),
}


def test_every_shape_by_an_arc():
    assert tuple(CURVES) == SHAPES
    assert [SHAPES[shapes(arc(*c), 0.2)[0]] for c in CURVES.values()] == list(SHAPES)


def test_the_end_says_which_shape_it_is():
    """The side, how far aside, whether behind: by the last waypoint, not the one before."""

    def shape(*ends):
        future = np.linspace([0, 0], ends[0], 10)[1:]
        return SHAPES[shapes(np.concatenate([future, [ends[1]]])[None], 0.2)[0]]

    # 0.3 m aside at 2 s is straight no longer
    assert shape((2.0, 0.2), (2.4, 0.31)) == "straight left"
    assert shape((2.0, 0.31), (2.4, 0.29)) == "straight"
    assert shape((2.0, 0.1), (2.6, -0.01)) == "straight"
    assert shape((2.0, -0.35), (2.4, -0.36)) == "straight right"
    # turned by 45 degrees, then by the side and whether it is behind the robot
    assert shape((1.0, -0.1), (1.2, 0.1)) == "left" and shape((1.0, 0.1), (1.2, -0.1)) == "right"
    assert shape((0.1, 0.5), (-0.1, 0.7)) == "left U-turn"
    assert shape((-0.1, -0.5), (0.1, -0.7)) == "right"
    # moved by 0.2 m, or one of its ends was faster than 0.1 m/s: 2 cm in 0.2 s
    assert shape((0.189, 0.0), (0.195, 0.0)) == "straight", "its first step"
    assert shape((0.15, 0.0), (0.16, 0.0)) == "stationary"
    assert shape((0.15, 0.0), (0.175, 0.0)) == "straight", "its last step"
    jumps = np.repeat([[0.01, 0], [0.24, 0], [0.25, 0]], [5, 4, 1], 0)
    assert SHAPES[shapes(jumps[None], 0.2)[0]] == "straight", "it came farther"
    slow = np.stack([0.021 * np.arange(1, 11), np.zeros(10)], 1)[None]
    assert SHAPES[shapes(slow * 0.95, 0.2)[0]] == "stationary"
    assert SHAPES[shapes(slow * 0.95, 0.1)[0]] == "straight", "twice as fast"


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_a_mirrored_trajectory_has_the_mirrored_shape(seed):
    future = np.cumsum(np.random.default_rng(seed).normal((0.05, 0), 0.15, (20, 10, 2)), 1)
    mirror = np.array([0, 1, 3, 2, 5, 4, 7, 6])
    np.testing.assert_array_equal(shapes(future * [1, -1], 0.2), mirror[shapes(future, 0.2)])


def slow_map(scores, matching, shape, times, soft):
    """Waymo's mAP written out: every prediction an entry, repeated as often as its sample counts;
    the integral as they do it."""
    found = []
    for kind in range(8):
        entries, truths = [], 0
        for b in range(len(shape)):
            if shape[b] != kind:
                continue
            truths += times[b]
            done = False
            for m in sorted(range(scores.shape[1]), key=lambda m: -scores[b, m]):
                hit = bool(matching[b, m])
                if soft and hit and done:
                    continue
                entries += [(-scores[b, m], hit and not done)] * times[b]
                done = done or hit
        if not truths:
            continue
        entries.sort()
        curve, hits = [], 0
        for i, (_, hit) in enumerate(entries):
            hits += hit
            curve.append((hits / (i + 1), hits / truths))
        (top, right), area = curve[-1], 0.0
        for precision, recall in reversed(curve):
            if precision > top:
                area += top * (right - recall)
                top, right = precision, recall
        found.append(area + top * right)
    return sum(found) / len(found)


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 5), st.booleans(), st.booleans())
def test_map_is_the_slow_one(seed, modes, soft, repeated):
    rng = np.random.default_rng(seed)
    scores = rng.choice(8, (30, modes)) / 8 if rng.random() < 0.3 else rng.random((30, modes))
    # Ties within a sample are broken by the order of its modes in both.
    matching, shape = rng.random((30, modes)) < 0.4, rng.integers(0, 4, 30)
    times = rng.integers(0, 3, 30) if repeated else np.ones(30, int)
    if not times.any():
        times[0] = 1
    fast = mean_average_precision(rank(scores, matching, shape, soft), times.astype(float))
    assert fast == pytest.approx(slow_map(scores, matching, shape, times, soft), abs=1e-12)


def test_map_by_hand():
    shape = np.zeros(2, int)
    scores = np.array([[0.9, 0.1], [0.6, 0.4]])
    ones = np.ones(2)
    # Sorted: .9 true, .6 false, .4 true, .1 false. Precision 1 up to recall 1/2, then 2/3.
    assert mean_average_precision(
        rank(scores, np.array([[1, 0], [0, 1]], bool), shape), ones
    ) == pytest.approx(0.5 + 0.5 * 2 / 3)
    # A second match is false, and soft mAP does not see it.
    both = np.array([[1, 0], [1, 1]], bool)
    assert mean_average_precision(rank(scores, both, shape), ones) == 1
    late = np.array([[0.2, 0.1], [0.9, 0.8]])
    assert mean_average_precision(rank(late, both, shape), ones) == pytest.approx(0.5 + 0.5 * 2 / 3)
    assert mean_average_precision(rank(late, both, shape, soft=True), ones) == 1
    assert math.isnan(mean_average_precision([], ones))


def test_one_mode_has_the_square_of_its_hits():
    hit = np.arange(10) < 7
    assert mean_average_precision(
        rank(np.ones((10, 1)), hit[:, None], np.zeros(10, int)), np.ones(10)
    ) == pytest.approx(0.49)


def random_modes(batch=5, modes=4, t=6, seed=0):
    g = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=g, dtype=torch.float64)

    return Modes(
        normal(batch, modes),
        normal(batch, modes, t, 2),
        0.3 * normal(batch, modes, t, 2),
        0.4 * normal(batch, modes, t).tanh(),
        normal(batch, modes).exp(),
    )


def test_trajectory_nll_is_torchs():
    modes, dt = random_modes(), 0.2
    future = torch.randn(5, 6, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    scale = (modes.speed * dt)[..., None, None]
    sigma = modes.log_std.exp() * scale
    off = modes.rho * sigma[..., 0] * sigma[..., 1]
    covariance = torch.stack(
        [torch.stack([sigma[..., 0] ** 2, off], -1), torch.stack([off, sigma[..., 1] ** 2], -1)], -2
    )
    each = Independent(MultivariateNormal(modes.mean * scale, covariance), 1)
    expected = -MixtureSameFamily(Categorical(logits=modes.logits), each).log_prob(future)
    torch.testing.assert_close(trajectory_nll(modes, future, dt), expected, rtol=1e-10, atol=1e-10)


def calibration_error(confidence, correct):
    return np.abs(calibration_gaps(confidence, correct).sum(0)).sum() / len(confidence)


def test_calibration_by_hand():
    confidence = np.array([0.95, 0.95, 0.95, 0.95, 0.35, 0.35])
    correct = np.array([1.0, 1, 1, 0, 1, 0])
    assert calibration_error(confidence, correct) == pytest.approx(4 / 6 * 0.2 + 2 / 6 * 0.15)
    assert calibration_error(np.ones(3), np.ones(3)) == 0
    # ten bins: .81 and .89 are in one, .79 and .81 in two
    one, two = np.array([0.81, 0.89]), np.array([0.79, 0.81])
    assert calibration_error(one, np.array([1.0, 0])) == pytest.approx(0.35)
    assert calibration_error(two, np.array([1.0, 0])) == pytest.approx(0.51)
    # the last bin holds certainty itself
    last = (np.array([1.0, 1.0, 0.92]), np.array([0.0, 0.0, 1.0]))
    assert calibration_error(*last) == pytest.approx(abs(1 / 3 - 2.92 / 3))


def test_scores_that_are_frequencies_are_calibrated():
    rng = np.random.default_rng(0)
    confidence = rng.random(200_000)
    assert calibration_error(confidence, (rng.random(200_000) < confidence).astype(float)) < 0.01


def test_constant_velocity_is_integrated_motion():
    ego = np.array([[1.0, 0.5, 0.5], [0.7, 0.0, 0.0], [0.4, -1.3, 0]])
    predicted = constant_velocity(ego, CONFIG)
    for row, (v, omega, _) in zip(predicted, ego, strict=True):
        np.testing.assert_allclose(row, arc(v, omega)[0], atol=1e-4)


def test_straight_to_goal_stops_there():
    predicted = straight_to_goal(np.array([[0.0, 0.5]]), np.array([[1.0, 0, 0]]), CONFIG)
    np.testing.assert_allclose(predicted[0, -1], [0, 0.5])
    np.testing.assert_allclose(predicted[0, 0], [0, 0.2])
