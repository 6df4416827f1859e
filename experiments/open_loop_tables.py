"""Tables and curves of the open-loop experiments: means over seeds or splits, with intervals."""

import math
import statistics
from collections.abc import Sequence
from pathlib import Path

from scipy.stats import t as student

from s2e.pretrain.evaluate import Row

METRICS = {
    "min_ade_m": "minADE m",
    "min_fde_m": "minFDE m",
    "miss": "miss",
    "map": "mAP",
    "ade_m": "ADE m",
    "fde_m": "FDE m",
    "miss_1": "miss of best",
    "cos": "cos",
    "maoe_deg": "MAOE",
    "nll": "NLL",
    "ece": "ECE",
}
DIGITS = {"maoe_deg": 1, "nll": 2}  # after the point; 3 elsewhere


def interval(values: Sequence[float], shared: float = 0.0) -> float:
    """Half the width of the 95 % t-interval of a mean; NaN of fewer than two.

    Args:
        values: one per seed or split.
        shared: test size over training size, where the values are from random splits of the same
            data: they are not independent, and the variance is corrected for it (Nadeau & Bengio
            2003).
    """
    n = len(values)
    if n < 2:
        return math.nan
    return float(student.ppf(0.975, n - 1)) * statistics.stdev(values) * math.sqrt(1 / n + shared)


def shown(values: Sequence[float], digits: int, shared: float = 0.0, sign: str = "") -> str:
    """Mean and interval as they stand in a table."""
    if not values:
        return ""
    half = interval(values, shared)
    return f"{statistics.fmean(values):{sign}.{digits}f}" + (
        "" if math.isnan(half) else f" ±{half:.{digits}f}"
    )


def table(rows: dict[str, list[Row]], shared: float) -> str:
    """A Markdown table: a line per label, each metric's mean over seeds or splits with its
    interval.
    """
    lines = ["| | " + " | ".join(METRICS.values()) + " |", "|---" * (len(METRICS) + 1) + "|"]
    for label, each in rows.items():
        cells = [shown([r[m] for r in each if m in r], DIGITS.get(m, 3), shared) for m in METRICS]
        lines.append(f"| {label} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def between_walks(rows: dict[str, list[Row]]) -> str:
    """How far the held-out walks determine the numbers: the mean half width of the bootstrap
    intervals.
    """
    parts = []
    for metric, title in METRICS.items():
        half = [
            (r[f"{metric}_high"] - r[f"{metric}_low"]) / 2
            for each in rows.values()
            for r in each
            if f"{metric}_high" in r
        ]
        parts += [f"{title} ±{statistics.fmean(half):.3g}"] if half else []
    return "95 % over held-out walks (bootstrap; mean half width of all runs): " + ", ".join(parts)


def differences(rows: dict[str, list[Row]], reference: str, shared: float) -> str:
    """Each label minus the reference, seed by seed or split by split, with the interval of the
    difference.
    """
    lines = []
    for label, each in rows.items():
        pairs = {
            m: [
                r[m] - base[m]
                for r, base in zip(each, rows[reference], strict=True)
                if m in r and m in base
            ]
            for m in METRICS
        }
        numbers = [
            f"{METRICS[m]} {shown(v, DIGITS.get(m, 3), shared, '+')}" for m, v in pairs.items() if v
        ]
        lines += [f"{label} minus {reference}: {', '.join(numbers)}"] if label != reference else []
    return "\n".join(lines)


def draw(
    rows: dict[str, list[Row]], x: Sequence[float], title: str, caption: str, path: Path
) -> bool:
    """Curves of mAP and of the displacements over `x` as a PNG: a dot per seed, their mean, and its
    interval as a band.

    Returns:
        Whether it was drawn: matplotlib is not among the requirements.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return False
    figure = Figure((9, 3.8), dpi=150, layout="constrained")
    panels = {
        "mean average precision": {"map": "mAP", "soft_map": "soft mAP"},
        "metres": {"ade_m": "ADE", "min_ade_m": "minADE", "min_fde_m": "minFDE"},
    }
    for axes, (unit, names) in zip(figure.subplots(1, 2), panels.items(), strict=True):
        for k, (name, label) in enumerate(names.items()):
            values = [[r[name] for r in each] for each in rows.values()]
            means = [statistics.fmean(v) for v in values]
            half = [0.0 if len(v) < 2 else interval(v) for v in values]
            axes.plot(x, means, marker="o", label=label, color=f"C{k}")
            axes.fill_between(
                x,
                [m - h for m, h in zip(means, half, strict=True)],
                [m + h for m, h in zip(means, half, strict=True)],
                color=f"C{k}",
                alpha=0.12,
                linewidth=0,
            )
            for at, each in zip(x, values, strict=True):
                axes.plot([at] * len(each), each, ".", color=f"C{k}", alpha=0.5, markersize=5)
        axes.set_xscale("log", base=2)
        axes.set_xticks(list(x), [f"{v:g}" for v in x])
        axes.minorticks_off()
        axes.set_xlabel(title)
        axes.set_ylabel(unit)
        axes.grid(alpha=0.3)
        axes.legend(frameon=False)
    figure.supxlabel(f"{caption}. Dots: seeds; band: 95 % of their mean", fontsize=7)
    figure.savefig(path)
    return True
