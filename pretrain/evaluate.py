"""Open-loop evaluation: one pass over held-out samples, for a policy and for the baselines beside
it.

Intervals are 95 % bootstrap intervals that draw walks, not frames: the frames of a walk resemble
each other, and resampling them would claim to know more than was seen.
"""

import math
from collections.abc import Callable

import numpy as np
import torch

from s2e.policy.config import PolicyConfig
from s2e.policy.mixture import Modes
from s2e.pretrain.baselines import constant_velocity, straight_to_goal
from s2e.pretrain.metrics import (
    angle_error,
    calibration_gaps,
    displacement,
    matches,
    mean_average_precision,
    rank,
    shapes,
    trajectory_nll,
    waypoint_cosine,
)
from s2e.pretrain.samples import Batch, Samples, make_batch

Row = dict[str, float]

COLUMNS = {
    "ade_m": "ADE m",
    "fde_m": "FDE m",
    "min_ade_m": "minADE",
    "min_fde_m": "minFDE",
    "miss": "miss",
    "map": "mAP",
    "cos": "cos",
    "maoe_deg": "MAOE",
    "nll": "NLL",
    "ece": "ECE",
}
"""What the table shows, of: ade_m, fde_m, miss_1 of the best-scored trajectory; min_ade_m,
min_fde_m, miss of the best of M; map, soft_map; cos and maoe_deg of the best-scored; nll in nats a
trajectory; ece."""

_MEANS = ("ade_m", "fde_m", "min_ade_m", "min_fde_m", "miss_1", "miss", "cos", "maoe_deg", "nll")


def evaluate(
    forward: Callable[[np.ndarray], tuple[Modes, Batch]] | None,
    samples: Samples,
    config: PolicyConfig,
    batch: int,
    positive: Callable[[torch.Tensor], torch.Tensor] | None = None,
    density: bool = True,
    resamples: int = 1000,
) -> dict[str, Row]:
    """Metrics of the policy ("s2e") and the baselines ("constant velocity", "straight to goal") on
    all samples.

    Args:
        forward: the policy's answer to the samples of an index (b,), and their batch; None is the
            baselines alone.
        samples: the held-out samples.
        config: the policy's.
        batch: samples at a time.
        positive: true futures (b, T, 2) in metres to the positive modes (b,) by the rule of
            training; without it there is no `ece`.
        density: whether deviations and scores were trained; a regression's mean nothing, so `nll`
            and `ece` are left out.
        resamples: of the bootstrap; 0 leaves the intervals out.

    Returns:
        A row per predictor: the metrics (NaN where one is not defined), and with `_low` and `_high`
            behind their names the intervals.
    """
    parts: dict[str, list[dict[str, np.ndarray]]] = {
        "constant velocity": [],
        "straight to goal": [],
    }
    shape, dt = [], config.waypoint_dt_s
    for start in range(0, len(samples), batch):
        index = np.arange(start, min(start + batch, len(samples)))
        if forward is None:
            truth = make_batch(samples, index, config, None)
        else:
            with torch.no_grad():
                modes, truth = forward(index)
            parts.setdefault("s2e", []).append(
                _of_policy(modes, truth.future, dt, positive, density)
            )
        future, ego = truth.future.cpu().numpy(), truth.ego.cpu().numpy()
        shape.append(shapes(future, dt))
        alone = np.ones((len(index), 1))
        parts["constant velocity"].append(
            measure(constant_velocity(ego, config)[:, None], alone, future, dt)
        )
        parts["straight to goal"].append(
            measure(straight_to_goal(truth.goal_xy, ego, config)[:, None], alone, future, dt)
        )
    return {
        name: summarise(
            {k: np.concatenate([p[k] for p in each]) for k in each[0]},
            np.concatenate(shape),
            samples.walk,
            resamples,
        )
        for name, each in parts.items()
    }


def _of_policy(
    modes: Modes,
    future: torch.Tensor,
    dt: float,
    positive: Callable[[torch.Tensor], torch.Tensor] | None,
    density: bool,
) -> dict[str, np.ndarray]:
    scores = modes.logits.double().softmax(-1)
    table = measure(
        modes.metric(dt).double().cpu().numpy(), scores.cpu().numpy(), future.cpu().numpy(), dt
    )
    if density:
        table["nll"] = trajectory_nll(modes, future.to(modes.mean.device), dt).cpu().numpy()
        if positive is not None and scores.shape[1] > 1:  # a single mode is always the right one
            table["correct"] = (
                (positive(future).cpu() == scores.argmax(-1).cpu()).numpy().astype(float)
            )
    return table


def measure(
    predicted: np.ndarray, scores: np.ndarray, future: np.ndarray, dt: float
) -> dict[str, np.ndarray]:
    """What is known of each sample: (B,) numbers, and `matching` and `scores` (B, M), of
    trajectories (B, M, T, 2).
    """
    best = scores.argmax(1)
    row = np.arange(len(best))
    chosen = predicted[row, best]
    ade, fde = displacement(chosen, future)
    each_ade, each_fde = displacement(predicted, future[:, None])
    matching = matches(predicted, future, dt)
    return {
        "ade_m": ade,
        "fde_m": fde,
        "min_ade_m": each_ade.min(1),
        "min_fde_m": each_fde.min(1),
        "miss_1": (~matching[row, best]).astype(float),
        "miss": (~matching.any(1)).astype(float),
        "cos": waypoint_cosine(chosen, future),
        "maoe_deg": angle_error(chosen, future),
        "matching": matching,
        "scores": scores,
    }


def summarise(
    table: dict[str, np.ndarray], shape: np.ndarray, walk: np.ndarray, resamples: int
) -> Row:
    """The metrics of all samples, from what `measure` says of each, with bootstrap intervals over
    walks (two at least).

    Args:
        table: of `measure`, joined; with `nll` and `correct` (B,) where these are defined.
        shape: (B,) from `shapes`. walk: (B,) of each sample. resamples: of the bootstrap.
    """
    walks, walk = np.unique(walk, return_inverse=True)
    draws = np.ones((1, len(walks)), np.int64)  # the first is the data as they are
    if resamples and len(walks) > 1:
        rng = np.random.default_rng(0)
        draws = np.concatenate(
            [draws, rng.multinomial(len(walks), np.full(len(walks), 1 / len(walks)), resamples)]
        )
    values = {
        k: _means(table[k], walk, draws) if k in table else np.full(len(draws), math.nan)
        for k in _MEANS
    }
    for name, soft in (("map", False), ("soft_map", True)):
        rankings = rank(table["scores"], table["matching"], shape, soft)
        values[name] = np.array([mean_average_precision(rankings, d[walk]) for d in draws])
    values["ece"] = np.full(len(draws), math.nan)
    if "correct" in table:
        gaps = _by_walk(calibration_gaps(table["scores"].max(1), table["correct"]), walk)
        values["ece"] = np.abs(draws @ gaps).sum(1) / (draws @ np.bincount(walk))
    result = {k: float(v[0]) for k, v in values.items()}
    if len(draws) > 1:
        for name, each in values.items():
            # a metric that is defined for few walks may miss all of them in a draw
            good = each[1:][~np.isnan(each[1:])]
            low, high = np.quantile(good, (0.025, 0.975)) if len(good) else (math.nan, math.nan)
            result |= {f"{name}_low": float(low), f"{name}_high": float(high)}
    return result


def _means(values: np.ndarray, walk: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """(R,) means of (B,) without the NaN when each walk counts as often as `draws` (R, W) says; NaN
    where nothing is left.
    """
    good = ~np.isnan(values)
    total, count = (
        draws @ _by_walk(np.where(good, values, 0)[:, None], walk)[:, 0],
        draws @ np.bincount(walk, good),
    )
    return np.where(count > 0, total / np.maximum(count, 1), math.nan)


def _by_walk(values: np.ndarray, walk: np.ndarray) -> np.ndarray:
    """(B, K) summed to (W, K)."""
    return np.stack([np.bincount(walk, column) for column in values.T], 1)


def format_rows(rows: dict[str, Row]) -> str:
    """A plain table of 98 characters a line: a line per predictor, and below it half the width of
    its 95 % intervals.
    """
    lines = [" " * 18 + "".join(f"{title:>8}" for title in COLUMNS.values())]
    for name, row in rows.items():
        lines.append(f"{name:18}" + "".join(_cell(row.get(k, math.nan)) for k in COLUMNS))
        half = [
            (row.get(f"{k}_high", math.nan) - row.get(f"{k}_low", math.nan)) / 2 for k in COLUMNS
        ]
        if not all(map(math.isnan, half)):
            lines.append(f"{'  95 % +-':18}" + "".join(map(_cell, half)))
    return "\n".join(lines)


_JUDGED = {
    "ade_m": ("ADE", -1),
    "fde_m": ("FDE", -1),
    "miss_1": ("miss rate (best-scored)", -1),
    "cos": ("cosine", 1),
}
"""What a verdict rests on, all of the best-scored trajectory, since baselines have one only; 1
where more is better."""


def verdict(rows: dict[str, Row], alarm: str = "") -> str:
    """Says in words whether the policy beats every baseline, and if not, why not.

    It beats one when ADE, FDE, miss rate and cosine are all better than the baseline's and their 95
    % intervals are apart. A mixture that has collapsed beats nobody: the alarm counts more than any
    figure.

    Args:
        rows: of `evaluate`: the policy's ("s2e") and the baselines', with intervals where there are
            two walks or more.
        alarm: what `pretrain.mode_collapse.collapse` says.
    """
    own, others = rows["s2e"], {name: row for name, row in rows.items() if name != "s2e"}
    against = {name: _not_better(own, row) for name, row in others.items()}
    lines = [
        f"no better than {name}: {'; '.join(reasons)}"
        for name, reasons in against.items()
        if reasons
    ]
    apart = "in ADE, FDE, miss rate and cosine, all 95 % intervals apart"
    above = [name for name, reasons in against.items() if not reasons]
    if alarm:
        figures = (
            f"; the figures alone are better than those of {' and '.join(above)}" if above else ""
        )
        return "\n".join(
            [f"no better than a baseline while there is an ALARM ({alarm}){figures}", *lines]
        )
    if not lines:
        return (
            f"beats {'both' if len(others) == 2 else 'all'} baselines {apart}: {', '.join(others)}"
        )
    return "\n".join([*lines, *(f"better than {name} {apart}" for name in above)])


def _not_better(own: Row, other: Row) -> list[str]:
    """Why a row is not better than another: each metric that is not, with both values and their
    intervals.
    """
    reasons = []
    for key, (title, sign) in _JUDGED.items():
        ours, theirs = (
            sorted(sign * row.get(f"{key}_{end}", math.nan) for end in ("low", "high"))
            for row in (own, other)
        )
        if ours[0] > theirs[1]:  # apart; false where one of them is not known
            continue
        known = not any(map(math.isnan, (*ours, *theirs)))
        how = (
            "is no better"
            if not sign * own[key] > sign * other[key]
            else "overlaps"
            if known
            else "has no interval"
        )
        reasons.append(
            f"{title} {how}, {_with_interval(own, key)} against {_with_interval(other, key)}"
        )
    return reasons


def _with_interval(row: Row, key: str) -> str:
    low, high = (row.get(f"{key}_{end}", math.nan) for end in ("low", "high"))
    return f"{row[key]:.3f}" + (
        "" if math.isnan(low) or math.isnan(high) else f" [{low:.3f}, {high:.3f}]"
    )


def _cell(value: float) -> str:
    if math.isnan(value):
        return " " * 8
    return f"{value:8.3f}" if abs(value) < 100 else f"{value:8.3g}"
