import math
from pathlib import Path

import numpy as np
import pytest
import torch

from s2e.policy.config import PRESETS
from s2e.policy.mixture import Modes
from s2e.pretrain.baselines import straight_to_goal
from s2e.pretrain.evaluate import COLUMNS, evaluate, format_rows, measure, summarise, verdict
from s2e.pretrain.metrics import SHAPES, shapes
from s2e.pretrain.samples import make_batch, make_samples
from s2e.video.frames import ImageFiles
from s2e.video.walk import Walk

CONFIG = PRESETS["laptop"]


def walk(seed, length=60):
    """A walk that wanders at about 0.6 m/s."""
    rng = np.random.default_rng(seed)
    yaw = np.cumsum(np.repeat(rng.normal(0, 0.05, length // 10), 10))
    position = np.cumsum(0.06 * np.stack([np.cos(yaw), np.sin(yaw)], 1), 0)
    frames = ImageFiles(lambda t: b"", length, str)
    return Walk(f"w{seed}", Path(f"w{seed}"), frames, np.arange(length) / 10, position, yaw)


@pytest.fixture(scope="module")
def samples():
    return make_samples([walk(i) for i in range(6)], CONFIG, 60 * np.arange(6))


def oracle(samples, modes=3, noise=0.0, wrong=False):
    """A forward that knows the future: mode 0 has it and the best score (or not), the others stand
    still."""

    def forward(index):
        truth = make_batch(samples, index, CONFIG, None)
        shape = (len(index), modes, CONFIG.waypoints)
        noises = torch.from_numpy(
            np.random.default_rng(index[0]).normal(0, noise, (len(index), CONFIG.waypoints, 2))
        ).float()
        mean = torch.zeros(*shape, 2)
        mean[:, 0] = truth.future + noises
        logits = torch.zeros(shape[:2])
        logits[:, 1 if wrong else 0] = 2.0
        speed = torch.full(shape[:2], 1 / CONFIG.waypoint_dt_s)  # steps are metres
        return Modes(logits, mean, torch.full((*shape, 2), -1.0), torch.zeros(shape), speed), truth

    return forward


def first(future):
    return torch.zeros(len(future), dtype=torch.long)


def test_an_oracle_is_perfect(samples):
    row = evaluate(oracle(samples), samples, CONFIG, 50, first)["s2e"]
    for name in ("ade_m", "fde_m", "min_ade_m", "min_fde_m", "miss", "miss_1"):
        assert row[name] == pytest.approx(0, abs=1e-6), name
    assert row["map"] == row["soft_map"] == 1 and row["cos"] == pytest.approx(1)
    confidence = math.exp(2) / (math.exp(2) + 2)
    assert row["ece"] == pytest.approx(1 - confidence)
    best = 10 * (2 * math.log(math.exp(-1)) + math.log(2 * math.pi)) - math.log(confidence)
    # the other modes add nothing at these distances
    assert row["nll"] == pytest.approx(best, rel=1e-3)


def test_a_wrong_score_shows_at_one_and_not_at_m(samples):
    row = evaluate(oracle(samples, wrong=True), samples, CONFIG, 50, first)["s2e"]
    assert row["min_fde_m"] == pytest.approx(0, abs=1e-6) and row["fde_m"] > 0.5
    assert row["miss"] == 0 and row["miss_1"] == 1 and row["map"] <= 0.5


def test_intervals_hold_the_value_and_narrow_with_walks(samples):
    row = evaluate(oracle(samples, noise=0.15), samples, CONFIG, 64, first, resamples=300)["s2e"]
    for name in ("ade_m", "fde_m", "miss_1", "map", "cos", "nll", "ece"):
        assert row[f"{name}_low"] <= row[name] <= row[f"{name}_high"], name
    assert row["ade_m_low"] < row["ade_m_high"]
    again = evaluate(oracle(samples, noise=0.15), samples, CONFIG, 64, first, resamples=300)["s2e"]
    assert {k: v for k, v in again.items() if not math.isnan(v)} == {
        k: v for k, v in row.items() if not math.isnan(v)
    }


def test_the_interval_draws_whole_walks(samples):
    row = evaluate(oracle(samples), samples, CONFIG, 64, None, resamples=1500)["straight to goal"]
    truth = make_batch(samples, np.arange(len(samples)), CONFIG, None)
    predicted = straight_to_goal(truth.goal_xy, truth.ego.numpy(), CONFIG)
    ade = np.linalg.norm(predicted - truth.future.numpy(), axis=-1).mean(-1).reshape(6, 40)
    drawn = ade[np.random.default_rng(5).integers(0, 6, (4000, 6))].mean((1, 2))
    low, high = np.quantile(drawn, (0.025, 0.975))
    np.testing.assert_allclose(
        [row["ade_m_low"], row["ade_m_high"]], [low, high], atol=0.1 * (high - low)
    )


def test_batches_do_not_matter_and_baselines_are_beside(samples):
    one, two = (
        evaluate(oracle(samples), samples, CONFIG, b, first, resamples=0) for b in (17, 1000)
    )
    for name in ("s2e", "constant velocity", "straight to goal"):
        for k, v in one[name].items():
            assert two[name][k] == pytest.approx(v, nan_ok=True)
    row = one["constant velocity"]
    assert (
        row["ade_m"] == row["min_ade_m"]
        and row["miss"] == row["miss_1"]
        and math.isnan(row["nll"])
        and "ade_m_low" not in row
    )
    hits = 1 - row["miss"]
    assert 0 < row["map"] <= 1 and hits > 0


def test_a_regression_has_no_density(samples):
    row = evaluate(
        oracle(samples, modes=1), samples, CONFIG, 64, first, density=False, resamples=0
    )["s2e"]
    assert math.isnan(row["nll"]) and math.isnan(row["ece"]) and row["map"] == 1


def test_one_mode_has_nothing_to_calibrate(samples):
    row = evaluate(oracle(samples, modes=1), samples, CONFIG, 64, first, resamples=0)["s2e"]
    assert math.isnan(row["ece"]) and not math.isnan(row["nll"])


def test_one_walk_has_no_interval():
    samples = make_samples([walk(0)], CONFIG, np.array([0]))
    row = evaluate(oracle(samples), samples, CONFIG, 64)["s2e"]
    assert "ade_m_low" not in row and row["ade_m"] == pytest.approx(0, abs=1e-6)


def test_what_is_not_defined_is_left_out():
    future = np.cumsum(np.full((4, 10, 2), 0.01), 1)  # 14 cm: no MAOE
    future[0] *= 20
    table = measure(future[:, None], np.ones((4, 1)), future, 0.2)
    table["cos"][2] = np.nan
    row = summarise(table, shapes(future, 0.2), np.array([0, 0, 1, 2]), 100)
    assert (
        row["maoe_deg"] == pytest.approx(0, abs=1e-4)
        and row["maoe_deg_high"] < 1e-4
        and row["cos"] == pytest.approx(1)
    )
    future[0] /= 20
    row = summarise(
        measure(future[:, None], np.ones((4, 1)), future, 0.2),
        shapes(future, 0.2),
        np.array([0, 0, 1, 2]),
        100,
    )
    assert math.isnan(row["maoe_deg"]) and math.isnan(row["maoe_deg_low"]) and row["ade_m"] == 0


def test_the_baselines_alone(samples):
    alone, beside = (evaluate(f, samples, CONFIG, 64, resamples=0) for f in (None, oracle(samples)))
    assert set(alone) == {"constant velocity", "straight to goal"}
    for name, row in alone.items():
        assert row == pytest.approx(beside[name], nan_ok=True)


def test_the_table_fits_a_terminal(samples):
    text = format_rows(
        evaluate(oracle(samples, noise=0.1), samples, CONFIG, 64, first, resamples=50)
    )
    assert max(map(len, text.splitlines())) <= 100 and len(text.splitlines()) == 7
    assert all(title in text for title in COLUMNS.values())
    assert set(np.unique(shapes(samples.future, 0.2))) <= set(range(len(SHAPES)))
    print(text)


GOOD = {"ade_m": 0.1, "fde_m": 0.2, "miss_1": 0.05, "cos": 0.99}
POOR = {"ade_m": 0.4, "fde_m": 0.8, "miss_1": 0.50, "cos": 0.80}


def row(values, half=0.01, **other):
    """A row with intervals of so much either way; with `half` 0 there are none."""
    values = values | other
    ends = {
        f"{k}_{end}": v + sign * half
        for k, v in values.items()
        for end, sign in (("low", -1), ("high", 1))
    }
    return values | (ends if half else {})


def judged(own, velocity=POOR, straight=POOR, half=0.01, alarm=""):
    rows = {
        "constant velocity": row(velocity, half),
        "straight to goal": row(straight, half),
        "s2e": row(own, half),
    }
    return verdict(rows, alarm)


def test_beating_takes_all_four_figures_and_intervals_apart():
    assert judged(GOOD).startswith(
        "beats both baselines in ADE, FDE, miss rate and cosine, all 95 % intervals apart"
    )
    assert "beats" not in judged(
        GOOD, half=0.2
    ) and "cosine overlaps, 0.990 [0.790, 1.190] against" in judged(GOOD, half=0.2)
    assert "beats" not in judged(
        GOOD, half=0
    ) and "ADE has no interval, 0.100 against 0.400" in judged(GOOD, half=0)


@pytest.mark.parametrize(
    ("key", "title"),
    [("ade_m", "ADE"), ("fde_m", "FDE"), ("miss_1", "miss rate (best-scored)"), ("cos", "cosine")],
)
def test_one_figure_that_is_worse_or_the_same_is_named(key, title):
    for worse in (POOR[key], POOR[key] + (0.1 if key != "cos" else -0.1), math.nan):
        said = judged(GOOD | {key: worse})
        assert (
            "beats" not in said
            and said.count("no better than") == 2
            and f"{title} is no better" in said
        )
    said = judged(GOOD, straight=POOR | {key: GOOD[key]})
    assert said.splitlines()[0].startswith(f"no better than straight to goal: {title} is no better")
    assert said.splitlines()[1].startswith("better than constant velocity in ADE")


def test_a_collapsed_mixture_beats_nobody():
    said = judged(GOOD, alarm="one anchor alone: anchor 3 of 8")
    assert (
        said.startswith("no better than a baseline while there is an ALARM (one anchor alone")
        and "beats" not in said
    )
    assert "figures alone are better than those of constant velocity and straight to goal" in said
    assert (
        "beats" not in judged(POOR, alarm="x")
        and judged(POOR, alarm="x").count("no better than") == 3
    )


def test_an_oracle_beats_and_one_walk_cannot(samples):
    assert verdict(evaluate(oracle(samples), samples, CONFIG, 64, first, resamples=200)).startswith(
        "beats both"
    )
    alone = make_samples([walk(0)], CONFIG, np.array([0]))
    assert "has no interval" in verdict(evaluate(oracle(alone), alone, CONFIG, 64))
