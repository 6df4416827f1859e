"""Closed-loop metrics: from episodes to success rate, route completion, contacts, SPL and SNS, with
intervals.

SR, RC and CT are those of NavBench-GS, SPL is that of Anderson et al. (arXiv 1807.06757), SNS that
of Vid2Sim. An episode record is a dictionary that is one line of `episodes.jsonl`: scene, id,
setting, success, rc, ct, spl, sns, steps, time_s, path_m, route_m, end, contacts, path, start,
goal, with a planner what became of its questions, and of the suite `social` what
`benchmarks/social.py` judged.
"""

import functools
import itertools
import math
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from s2e.benchmarks.failures import count_causes
from s2e.benchmarks.social import SECONDS, SHARES
from s2e.envs.scenes.files import SOCIAL_HELD_OUT

SETTINGS = ("empty", "obstacle", "pedestrian", "both")
MEANS = ("rc", "ct", "spl", "sns")
SOCIAL_HEADS = ("right", "yielded", "side", "detour", "close", "group", "delay")
"""Heads of the columns of `SHARES` and `SECONDS`."""
RESAMPLES = 2000
_Z95 = 1.959963984540054


def route_completion(remaining_m: float, initial_m: float) -> float:
    """RC = 1 - remaining route / initial route, within 0..1; 1 for a route of no length."""
    if initial_m <= 0.0:
        return 1.0
    return float(min(max(1.0 - remaining_m / initial_m, 0.0), 1.0))


def spl(success: bool, route_m: float, path_m: float) -> float:
    """S l / max(p, l): success weighted by the shortest route l over the driven path p."""
    longest = max(path_m, route_m)
    return float(success) * (route_m / longest if longest > 0.0 else 1.0)


def sns(steps: int, contact_steps: int) -> float:
    """(steps - contact steps) / steps: the share of the time spent without touching anything; 1 for
    no steps.
    """
    return (steps - contact_steps) / steps if steps > 0 else 1.0


def episode_metrics(
    success: bool,
    remaining_m: float,
    route_m: float,
    path_m: float,
    steps: int,
    contact_steps: int,
    contacts: int,
) -> dict[str, Any]:
    """The metrics of one episode.

    Args:
        success: whether the goal was reached in time.
        remaining_m: shortest route from where it ended to the goal, metres; ignored after a
            success.
        route_m: shortest route from start to goal, metres.
        path_m: metres driven.
        steps: control steps.
        contact_steps: steps in which the robot touched something.
        contacts: contact events.

    Returns:
        success, rc, ct, spl, sns.
    """
    return {
        "success": bool(success),
        "rc": 1.0 if success else route_completion(remaining_m, route_m),
        "ct": int(contacts),
        "spl": spl(success, route_m, path_m),
        "sns": sns(steps, contact_steps),
    }


def wilson(successes: int, trials: int) -> tuple[float, float]:
    """95 % Wilson score interval of a proportion; (0, 1) without trials."""
    if trials == 0:
        return 0.0, 1.0
    share, square = successes / trials, _Z95**2
    middle = (share + square / (2 * trials)) / (1 + square / trials)
    half = (
        _Z95
        / (1 + square / trials)
        * math.sqrt(share * (1 - share) / trials + square / (4 * trials**2))
    )
    low = 0.0 if successes == 0 else middle - half  # exact ends, where the formula leaves rounding
    high = 1.0 if successes == trials else middle + half
    return low, high


def bootstrap(values: Sequence[float] | np.ndarray, seed: int) -> tuple[float, float]:
    """95 % percentile bootstrap interval of the mean of (N,) values, N >= 1; the seed makes it
    repeatable.
    """
    values = np.asarray(values, dtype=np.float64)
    pick = np.random.default_rng(seed).integers(0, len(values), (RESAMPLES, len(values)))
    low, high = np.percentile(values[pick].mean(axis=1), [2.5, 97.5])
    return float(low), float(high)


@dataclass(frozen=True)
class Difference:
    """Success rate of policy `a` minus that of `b` over the `episodes` that both have driven, with
    its 95 % interval.
    """

    a: str
    b: str
    setting: str
    episodes: int
    difference: float
    ci95: tuple[float, float]

    @property
    def apart(self) -> bool:
        """Whether the interval excludes 0: only then is one of them said to be better."""
        return self.ci95[0] > 0.0 or self.ci95[1] < 0.0


def difference(
    a: tuple[str, Sequence[dict[str, Any]]],
    b: tuple[str, Sequence[dict[str, Any]]],
    setting: str,
    seed: int,
) -> Difference | None:
    """The paired difference in success of two policies, by a bootstrap over what both have driven.

    What is drawn again and again are starts and goals: an episode's settings share them, so over
    all settings they stay together. Two more draws, one won by either side, keep few episodes from
    looking certain, in the manner of Agresti and Min (2005) for paired shares: four wins of four,
    or five more of fifty, do not tell two policies apart.

    Args:
        a: name and records of one policy.
        b: of the other.
        setting: one setting, or "all".
        seed: of the bootstrap.

    Returns:
        None where they have no episode in common.
    """
    won = [
        {_key(r): r for r in records if setting in ("all", str(r["setting"]))}
        for _, records in (a, b)
    ]
    common = sorted(won[0].keys() & won[1].keys())
    if not common:
        return None
    places: dict[Any, list[int]] = {}
    for k in common:
        r = won[0][k]
        place = (k[0], *map(tuple, (r["start"], r["goal"]))) if "start" in r and "goal" in r else k
        places.setdefault(place, []).append(
            int(bool(r["success"])) - int(bool(won[1][k]["success"]))
        )
    size = max(map(len, places.values()))
    sums = np.array([sum(v) for v in places.values()] + [size, -size], dtype=np.float64)
    sizes = np.array([len(v) for v in places.values()] + [size, size], dtype=np.float64)
    pick = np.random.default_rng(seed).integers(0, len(sums), (RESAMPLES, len(sums)))
    low, high = np.percentile(sums[pick].sum(1) / sizes[pick].sum(1), [2.5, 97.5])
    mean = sum(map(sum, places.values())) / len(common)
    return Difference(a[0], b[0], setting, len(common), mean, (float(low), float(high)))


def differences(records: Mapping[str, Sequence[dict[str, Any]]], seed: int) -> list[Difference]:
    """Every pair of policies, over all settings and in each; of a pair the one with more success
    over all comes first.
    """
    share = {
        name: (np.mean([bool(r["success"]) for r in mine]) if mine else 0.0)
        for name, mine in records.items()
    }
    names = sorted(records, key=lambda name: -share[name])
    settings = all_settings(
        [{"settings": {str(r["setting"]): None for mine in records.values() for r in mine}}]
    )
    found = []
    for a, b in itertools.combinations(names, 2):
        both = [difference((a, records[a]), (b, records[b]), s, seed) for s in ["all", *settings]]
        found += [d for d in both if d is not None]
    return found


def _key(record: dict[str, Any]) -> tuple[str, str, str]:
    return str(record["scene"]), str(record["setting"]), str(record["id"])


def summarise(
    records: Sequence[dict[str, Any]],
    scene: str,
    policy: str,
    seed: int,
    version: str,
    learned: bool = True,
) -> dict[str, Any]:
    """Means and 95 % intervals per setting.

    Args:
        records: episode records of one policy; their order does not matter.
        scene: name of the scene or of the suite.
        policy: name of the policy.
        seed: of the bootstrap and of the run.
        version: of the benchmark.
        learned: whether it is a learned policy; others are bounds and baselines, which no sentence
            compares.

    Returns:
        scene, policy, learned, seed, version, planner (`planner_totals`, where one was asked),
        social (`social_totals`, where there are situations),
        settings: {setting: {episodes, sr, sr_ci95, rc, rc_ci95, ..., failures}} with only the
            settings that have
        episodes, in the order of SETTINGS, `failures` the number of episodes lost to each cause
        (`failures.CAUSES`),
        and scenes: {scene: {episodes, sr, sr_ci95}} of all settings together. Intervals take
            episodes as
        independent, also those of one scene.
    """
    names = {str(record["setting"]) for record in records}
    order = [name for name in SETTINGS if name in names] + sorted(names - set(SETTINGS))
    settings = {}
    for name in order:
        mine = sorted(
            (r for r in records if r["setting"] == name),
            key=lambda r: (str(r["scene"]), str(r["id"])),
        )
        wins = sum(bool(r["success"]) for r in mine)
        entry: dict[str, Any] = {
            "episodes": len(mine),
            "sr": wins / len(mine),
            "sr_ci95": list(wilson(wins, len(mine))),
        }
        for key in MEANS:
            values = np.array([float(r[key]) for r in mine])
            entry[key] = float(values.mean())
            entry[f"{key}_ci95"] = list(bootstrap(values, seed))
        entry["failures"] = count_causes(mine)
        settings[name] = entry
    scenes = {}
    for where in dict.fromkeys(str(r["scene"]) for r in records):
        wins, count = (
            sum(bool(r["success"]) for r in records if r["scene"] == where),
            sum(r["scene"] == where for r in records),
        )
        scenes[where] = {
            "episodes": count,
            "sr": wins / count,
            "sr_ci95": list(wilson(wins, count)),
        }
    about = {"scene": scene, "policy": policy, "learned": learned, "seed": seed, "version": version}
    totals, situations = planner_totals(records), social_totals(records)
    return {
        **about,
        **({"planner": totals} if totals else {}),
        **({"social": situations} if situations else {}),
        "settings": settings,
        "scenes": scenes,
    }


def planner_totals(records: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """What became of all questions to a planner.

    Returns:
        episodes with a planner, the sums of their counts (asked, answered, advised, ...), and
        median and 95th percentile of the latencies in seconds, None where there are none; None
        where no episode had a planner.
    """
    asked = [r["planner"] for r in records if r.get("planner")]
    if not asked:
        return None
    names = dict.fromkeys(name for each in asked for name in each if name != "latencies_s")
    latencies = [v for each in asked for v in each["latencies_s"]]
    p50, p95 = (
        (round(float(v), 3) for v in np.percentile(latencies, [50, 95]))
        if latencies
        else (None, None)
    )
    counts = {name: sum(each.get(name, 0) for each in asked) for name in names}
    return {"episodes": len(asked), **counts, "latency_p50_s": p50, "latency_p95_s": p95}


def social_totals(records: Sequence[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """What was judged in situations: a row for all, for the kinds held out and the others, and for
    each kind.

    Returns:
        {row: {episodes, sr, sr_ci95, ct, right, right_of, ...}}: of each of `SHARES` the share
        and of each of `SECONDS` the mean, over the `_of` episodes in which there was something to
        judge; None where there was none. Empty without situations.
    """
    judged = [r for r in records if "social" in r]
    kinds = sorted({str(r["social"]["kind"]) for r in judged})
    held_out = [r for r in judged if r["social"]["kind"] in SOCIAL_HELD_OUT]
    rows = {"all": judged, "held out": held_out}
    rows["not held out"] = [r for r in judged if r not in held_out]
    rows |= {kind: [r for r in judged if r["social"]["kind"] == kind] for kind in kinds}
    totals = {}
    for name, mine in rows.items():
        if not mine:
            continue
        wins = sum(bool(r["success"]) for r in mine)
        entry: dict[str, Any] = {
            "episodes": len(mine),
            "sr": wins / len(mine),
            "sr_ci95": list(wilson(wins, len(mine))),
            "ct": math.fsum(r["ct"] for r in mine) / len(mine),
        }
        for key in (*SHARES, *SECONDS):
            values = [float(v) for r in mine if (v := r["social"][key]) is not None]
            entry[key] = math.fsum(values) / len(values) if values else None
            entry[f"{key}_of"] = len(values)
        totals[name] = entry
    return totals


def planner_words(summary: dict[str, Any]) -> str:
    """A policy's planner in one sentence: how often it was asked, answered and failed, and how
    late; "" without one.
    """
    totals = summary.get("planner")
    if not totals:
        return ""
    parts = [f"{totals['answered']:,} answered"]
    others = {
        "unparsed": "could not be read",
        "failed": "failed",
        "late": "late or overtaken",
        "skipped": "passed over while others were open or the planner rested",
    }
    for name, words in others.items():
        if totals.get(name):
            parts.append(f"{totals[name]:,} {words}")
    still = totals["asked"] - sum(totals.get(name, 0) for name in ("answered", "failed", "late"))
    if still > 0:
        parts.append(f"{still:,} open when their episode ended")
    end = (
        ""
        if totals["advised"]
        else "; it gave no advice at all: these are the figures of the bare policy"
    )
    if totals["latency_p50_s"] is not None:
        end = (
            f"; latency {totals['latency_p50_s']:.2f} s in the median, "
            f"{totals['latency_p95_s']:.2f} s at 95 %{end}"
        )
    asked = f"was asked {totals['asked']:,} times in {totals['episodes']} episodes"
    return (
        f"the planner of {summary['policy']} {asked}: {', '.join(parts)}, "
        f"{totals['advised']:,} "
        f"with advice{end}"
    )


def all_settings(summaries: Sequence[dict[str, Any]]) -> list[str]:
    """Every setting of some summaries, in the order of SETTINGS, unknown ones last."""
    names = {name for summary in summaries for name in summary["settings"]}
    return [name for name in SETTINGS if name in names] + sorted(names - set(SETTINGS))


def learned_first(summaries: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The summaries of learned policies, then those of bounds and baselines."""
    return sorted(summaries, key=lambda s: not s["learned"])


def signed(value: float) -> str:
    """A difference of shares: +0.21, -0.03, 0.00."""
    text = f"{value:+.2f}"
    return text[1:] if float(text) == 0.0 else text


def verdict(d: Difference) -> str:
    """A difference in words, with its interval: what may be said of two policies and no more."""
    interval = f"{signed(d.difference)} [{signed(d.ci95[0])}, {signed(d.ci95[1])}]"
    if not d.apart:
        return f"{d.a} and {d.b} are not told apart ({interval})"
    better, worse = (d.a, d.b) if d.difference > 0 else (d.b, d.a)
    return (
        f"{better} is above {worse} "
        f"({interval if better == d.a else f'{d.a} minus {d.b} {interval}'})"
    )


def format_table(summaries: Sequence[dict[str, Any]], compared: Sequence[Difference] = ()) -> str:
    """A plain-text table, one block per setting, one row per policy, at most 100 columns wide; of a
    suite also SR per scene.

    Learned policies come first, and `compared` says which of them differ; bounds and baselines are
    named as such.
    """
    summaries = learned_first(summaries)
    width = min(max([len(str(s["policy"])) for s in summaries] + [6]), 32)
    blocks = []
    for scene in dict.fromkeys(str(s["scene"]) for s in summaries):
        here = [s for s in summaries if str(s["scene"]) == scene]
        for setting in all_settings(here):
            head = f"{scene}, {setting}"
            lines = [
                head,
                f"  {'policy':<{width}}  {'n':>5}  {'SR':>5} {'95 %':>12}  "
                + _cells("RC CT SPL SNS".split()),
            ]
            for summary in here:
                entry = summary["settings"].get(setting)
                if entry is None:
                    continue
                low, high = entry["sr_ci95"]
                name = _short(str(summary["policy"]), width)
                numbers = _cells([f"{entry[key]:.2f}" for key in MEANS])
                interval = f"[{low:.2f}, {high:.2f}]"
                lines.append(
                    f"  {name:<{width}}  {entry['episodes']:>5}  {entry['sr']:>5.2f} "
                    f"{interval:>12}  {numbers}"
                )
            blocks.append("\n".join(lines))
        blocks += _scene_block(here)
        blocks += _social_block(here)
        blocks += _compared_block(here, compared)
    return "\n\n".join(blocks) if blocks else "no episodes"


def _scene_block(summaries: Sequence[dict[str, Any]]) -> list[str]:
    """SR in each scene, one row a scene and one numbered column a policy; nothing for one scene."""
    scenes = list(dict.fromkeys(scene for s in summaries for scene in s["scenes"]))
    if len(scenes) < 2:
        return []
    wide = min(max(len(scene) for scene in scenes), 40)
    lines = ["success rate, all settings"] + [
        f"  [{k}] {_short(str(s['policy']), 90)}" for k, s in enumerate(summaries, 1)
    ]
    step = (100 - 2 - wide) // 7  # policies side by side
    for first in range(0, len(summaries), step):
        some = summaries[first : first + step]
        heads = [f"[{first + k}]" for k in range(1, len(some) + 1)]
        lines.append(f"  {'scene':<{wide}}" + "".join(f"{head:>7}" for head in heads))
        for scene in scenes:
            rates = [
                f"{s['scenes'][scene]['sr']:.2f}" if scene in s["scenes"] else "-" for s in some
            ]
            lines.append(
                f"  {_short(scene, wide):<{wide}}" + "".join(f"{rate:>7}" for rate in rates)
            )
    return ["\n".join(lines)]


def _social_block(summaries: Sequence[dict[str, Any]]) -> list[str]:
    """Each policy's situations, one row a kind."""
    blocks = []
    for summary in summaries:
        rows = summary.get("social", {})
        if not rows:
            continue
        heads = ["n", "SR", "CT", *SOCIAL_HEADS]
        lines = [
            f"situations, {_short(str(summary['policy']), 80)}: shares, then mean seconds",
            f"  {'':<14}" + "".join(f"{head:>8}" for head in heads),
        ]
        for name, entry in rows.items():
            means = (entry[key] for key in ("sr", "ct", *SHARES, *SECONDS))
            shown = [str(entry["episodes"]), *("-" if v is None else f"{v:.2f}" for v in means)]
            lines.append(f"  {name:<14}" + "".join(f"{cell:>8}" for cell in shown))
        blocks.append("\n".join(lines))
    return blocks


def _compared_block(
    summaries: Sequence[dict[str, Any]], compared: Sequence[Difference]
) -> list[str]:
    """Which learned policies differ over all settings; the rest is in the report."""
    lines = [verdict(d) for d in compared if d.setting == "all"]
    if lines:
        lines = [
            "success, all settings, difference with its 95 % interval:",
            *(f"  {line}" for line in lines),
        ]
    others = [str(s["policy"]) for s in summaries if not s["learned"] and s["settings"]]
    if others:
        lines.append(f"bounds and baselines, which nothing is compared with: {', '.join(others)}")
    lines += [words for words in map(planner_words, summaries) if words]
    wrap = functools.partial(
        textwrap.wrap,
        width=100,
        subsequent_indent="    ",
        break_long_words=True,
        break_on_hyphens=False,
    )
    return ["\n".join(part for line in lines for part in wrap(line))] if lines else []


def _short(name: str, most: int) -> str:
    """A name cut from the left, since names differ at their end."""
    return name if len(name) <= most else "..." + name[3 - most :]


def _cells(texts: Sequence[str]) -> str:
    return "  ".join(f"{text:>6}" for text in texts)
