import json
import math

import numpy as np
import pytest
from scipy import stats

from s2e.benchmarks import metrics


def record(i, setting="empty", success=True, rc=1.0, ct=0, spl=0.9, sns=1.0, scene="street"):
    return {
        "scene": scene,
        "id": f"e{i}",
        "setting": setting,
        "success": success,
        "rc": rc,
        "ct": ct,
        "spl": spl,
        "sns": sns,
    }


def test_episode_metrics_by_hand():
    won = metrics.episode_metrics(True, 0.4, 10.0, 12.5, 100, 5, 2)
    assert won == {"success": True, "rc": 1.0, "ct": 2, "spl": 0.8, "sns": 0.95}
    lost = metrics.episode_metrics(False, 4.0, 10.0, 6.0, 200, 0, 0)
    assert lost == {"success": False, "rc": 0.6, "ct": 0, "spl": 0.0, "sns": 1.0}


def test_ends_of_the_ranges():
    assert metrics.route_completion(15.0, 10.0) == 0.0
    assert metrics.route_completion(-1.0, 10.0) == 1.0
    assert metrics.route_completion(math.inf, 10.0) == 0.0
    assert metrics.route_completion(0.0, 0.0) == 1.0
    assert metrics.spl(True, 10.0, 9.0) == 1.0
    assert metrics.spl(True, 0.0, 0.0) == 1.0
    assert metrics.sns(0, 0) == 1.0


@pytest.mark.parametrize(
    ("wins", "trials"), [(0, 1), (1, 1), (0, 40), (40, 40), (3, 10), (57, 100), (1, 1000)]
)
def test_wilson_against_scipy(wins, trials):
    expected = stats.binomtest(wins, trials).proportion_ci(method="wilson")
    assert metrics.wilson(wins, trials) == pytest.approx((expected.low, expected.high), abs=1e-12)
    low, high = metrics.wilson(wins, trials)
    assert 0.0 <= low <= wins / trials <= high <= 1.0
    assert metrics.wilson(0, 0) == (0.0, 1.0), "nothing is known"


def test_bootstrap_against_scipy_and_its_own_seed():
    values = np.random.default_rng(3).exponential(2.0, 60)
    reference = stats.bootstrap(
        (values,), np.mean, n_resamples=20_000, method="percentile", rng=np.random.default_rng(5)
    ).confidence_interval
    low, high = metrics.bootstrap(values, 0)
    spread = reference.high - reference.low
    assert abs(low - reference.low) < 0.06 * spread and abs(high - reference.high) < 0.06 * spread
    assert metrics.bootstrap(values, 0) == (low, high) != metrics.bootstrap(values, 1)
    assert metrics.bootstrap([0.25], 0) == (0.25, 0.25)


def test_summarise_has_the_agreed_shape_and_ignores_order():
    records = [record(i, success=i < 3, rc=0.25 * i, ct=i, sns=1 - 0.1 * i) for i in range(4)]
    records += [record(9, setting="both", ct=1)]
    summary = metrics.summarise(records, "street", "ours", 7, "1")
    assert {k: summary[k] for k in ("scene", "policy", "learned", "seed", "version")} == {
        "scene": "street",
        "policy": "ours",
        "learned": True,
        "seed": 7,
        "version": "1",
    }
    assert list(summary["settings"]) == ["empty", "both"]
    entry = summary["settings"]["empty"]
    assert set(entry) == {"episodes", "failures"} | {
        k + s for k in ("sr", "rc", "ct", "spl", "sns") for s in ("", "_ci95")
    }
    assert (entry["episodes"], entry["sr"], entry["rc"], entry["ct"]) == (4, 0.75, 0.375, 1.5)
    assert entry["sns"] == pytest.approx(0.85)
    assert entry["ct_ci95"][0] <= 1.5 <= entry["ct_ci95"][1]
    assert summary["settings"]["both"]["sr_ci95"] == pytest.approx([0.20654931437723745, 1.0])
    assert metrics.summarise(records[::-1], "street", "ours", 7, "1") == summary
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary


def test_what_became_of_a_planners_questions():
    asked = {"asked": 5, "answered": 3, "advised": 2, "failed": 1, "unparsed": 1, "skipped": 2}
    records = [
        record(0) | {"planner": asked | {"latencies_s": [0.1, 0.2, 0.3]}},
        record(1) | {"planner": asked | {"latencies_s": []}},
    ]
    summary = metrics.summarise([*records, record(2)], "street", "ours", 0, "1")
    doubled = {name: 2 * count for name, count in asked.items()}
    assert summary["planner"] == {
        "episodes": 2,
        **doubled,
        "latency_p50_s": 0.2,
        "latency_p95_s": 0.29,
    }
    said = metrics.planner_words(summary)
    assert (
        "asked 10 times in 2 episodes: 6 answered, 2 could not be read, 2 failed, 4 passed over"
        in said
    )
    assert (
        "2 open when their episode ended, 4 with advice; latency 0.20 s in the median, 0.29 s at "
        "95 %" in said
    )
    assert said in " ".join(metrics.format_table([summary]).split()) and "bare policy" not in said
    assert "planner" not in metrics.summarise([record(2)], "street", "ours", 0, "1")


def test_table():
    a = metrics.summarise(
        [record(i, success=i % 2 == 0) for i in range(10)], "street", "ours", 0, "1"
    )
    b = metrics.summarise([record(0, "pedestrian", ct=3)], "street", "x" * 60, 0, "1")
    text = metrics.format_table([a, b])
    lines = text.splitlines()
    assert "street, empty" in lines and "street, pedestrian" in lines
    row = next(line for line in lines if line.strip().startswith("ours"))
    assert row.split() == ["ours", "10", "0.50", "[0.24,", "0.76]", "1.00", "0.00", "0.90", "1.00"]
    assert max(map(len, lines)) <= 100
    assert metrics.format_table([]) == "no episodes"
    assert metrics.format_table([metrics.summarise([], "s", "p", 0, "1")]) == "no episodes"


def test_a_suite_is_summed_up_by_scene_too():
    records = [record(i, success=i < 3, scene="town/lane") for i in range(4)] + [
        record(0, success=False, scene="town/quay")
    ]
    summary = metrics.summarise(records, "town", "ours", 0, "1")
    assert (
        summary["settings"]["empty"]["episodes"] == 5 and summary["settings"]["empty"]["sr"] == 0.6
    )
    assert {k: (v["episodes"], v["sr"]) for k, v in summary["scenes"].items()} == {
        "town/lane": (4, 0.75),
        "town/quay": (1, 0.0),
    }
    rows = [line.split() for line in metrics.format_table([summary]).splitlines()]
    assert ["town/lane", "0.75"] in rows and ["town/quay", "0.00"] in rows
    alone = metrics.summarise(records[:4], "town/lane", "ours", 0, "1")
    assert "success rate, all settings" not in metrics.format_table([alone])


def test_policies_of_like_names_are_told_apart_beside_one_another():
    records = [record(0, scene="town/lane"), record(0, success=False, scene="town/" + "long" * 20)]
    names = [f"{'finetuned-' * 9}run-{k}" for k in range(1, 21)]
    text = metrics.format_table(
        [metrics.summarise(records, "town", name, 0, "1") for name in names]
    )
    assert max(map(len, text.splitlines())) <= 100
    block = text[text.index("success rate") :]
    assert all(f"[{k}] ..." in block and f"run-{k}\n" in block for k in range(1, 21))
    heads = [line.split() for line in block.splitlines() if line.split()[0] == "scene"]
    assert [name for head in heads for name in head[1:]] == [
        f"[{k}]" for k in range(1, 21)
    ] and len(heads) == 3
    rows = [line for line in text.splitlines() if line.endswith("1.00") and "run-" in line]
    assert len({row.split()[0] for row in rows}) == 20


def drives(wins, setting="empty"):
    """One policy's records: which episodes it won."""
    return [
        record(i, setting, success=bool(won)) | {"start": [0.0, i, 0.0], "goal": [9.0, i]}
        for i, won in enumerate(wins)
    ]


def test_a_difference_is_paired_over_the_same_episodes():
    rng = np.random.default_rng(0)
    hard = rng.random(200) < 0.5  # both fail where it is hard, so that few episodes tell them apart
    a, b = ~hard, ~hard & (np.arange(200) % 8 > 0)
    d = metrics.difference(("a", drives(a)), ("b", drives(b)), "empty", 0)
    assert d is not None and (d.a, d.b, d.episodes) == ("a", "b", 200)
    assert (
        d.difference == pytest.approx(a.mean() - b.mean())
        and d.apart
        and 0 < d.ci95[0] < d.difference < d.ci95[1]
    )
    paired = a.astype(float) - b
    drawn = stats.bootstrap(
        (paired,), np.mean, n_resamples=5000, method="percentile", rng=np.random.default_rng(1)
    )
    reference = drawn.confidence_interval
    assert d.ci95 == pytest.approx((reference.low, reference.high), abs=0.02)
    independent = 1.96 * math.sqrt(a.var() / 200 + b.var() / 200)
    assert d.ci95[1] - d.ci95[0] < 0.7 * 2 * independent
    assert metrics.difference(("a", drives(a)), ("b", drives(b)), "empty", 0) == d
    back = metrics.difference(("b", drives(b)), ("a", drives(a)), "empty", 0)
    assert back is not None and back.apart and back.difference == -d.difference
    assert metrics.difference(("a", drives(a)), ("b", drives(b)[:0]), "empty", 0) is None
    few = metrics.difference(("a", drives(a)), ("b", drives(b)[:50]), "all", 0)
    assert few is not None and few.episodes == 50


@pytest.mark.parametrize(
    ("wins", "episodes", "apart"),
    [(0, 50, False), (1, 1, False), (4, 4, False), (5, 50, False), (6, 6, True), (8, 50, True)],
)
def test_few_episodes_do_not_look_certain(wins, episodes, apart):
    """One policy wins `wins` episodes more, and never loses one that the other wins: compare
    McNemar's exact test."""
    a, b = np.arange(episodes) < wins, np.zeros(episodes, bool)
    d = metrics.difference(("a", drives(a)), ("b", drives(b)), "empty", 0)
    assert d is not None and d.apart == apart and d.ci95[0] < d.ci95[1]
    assert apart == (wins > 0 and stats.binomtest(wins, wins).pvalue < 0.05)


def test_settings_of_one_start_and_goal_stay_together():
    """Four settings that all say the same of a place are one place's word, not four."""
    wins = np.arange(40) % 5 == 0
    alone = metrics.difference(("a", drives(wins)), ("b", drives(~wins & False)), "all", 0)
    four = [[r for s in metrics.SETTINGS for r in drives(w, s)] for w in (wins, ~wins & False)]
    for r in four[0] + four[1]:
        r["id"] = f"{r['setting']}-{r['id']}"
    together = metrics.difference(("a", four[0]), ("b", four[1]), "all", 0)
    assert alone is not None and together is not None and together.episodes == 160
    assert together.ci95 == pytest.approx(alone.ci95, abs=1e-9)


def test_every_pair_in_every_setting_and_what_may_be_said():
    sure, same = [True] * 30, [True] * 29 + [False]
    records = {"low": drives([False] * 30), "high": drives(sure), "like": drives(same)}
    found = metrics.differences(records, 0)
    assert [(d.a, d.b, d.setting) for d in found] == [
        (a, b, s)
        for a, b in (("high", "like"), ("high", "low"), ("like", "low"))
        for s in ("all", "empty")
    ]
    assert [d.apart for d in found] == [False, False, True, True, True, True]
    assert "high and like are not told apart (+0.03 [" in metrics.verdict(found[0])
    assert metrics.verdict(found[2]).startswith("high is above low (+1.00 [+0.8")
    assert metrics.differences({"alone": drives(sure)}, 0) == metrics.differences({}, 0) == []


def test_bounds_come_last_and_are_not_compared():
    bound = metrics.summarise(drives([True] * 9), "street", "expert", 0, "1", learned=False)
    ours = metrics.summarise(drives([False] * 9), "street", "ours", 0, "1")
    lines = metrics.format_table([bound, ours]).splitlines()
    assert [line.split()[0] for line in lines if " 9 " in line] == ["ours", "expert"]
    assert lines[-1] == "bounds and baselines, which nothing is compared with: expert"
    compared = metrics.differences(
        {"a" * 120: drives([True] * 9), "b" * 60: drives([False] * 9)}, 0
    )
    lines = metrics.format_table([ours], compared).splitlines()
    assert max(map(len, lines)) <= 100 and "is above" in " ".join(lines)


def test_causes_are_counted_by_setting():
    lost = record(1, success=False) | {
        "path": [[0.0, 0.0]] * 40,
        "time_s": 20.0,
        "contacts": [[3.0, "static"]],
        "route_m": 9.0,
    }
    summary = metrics.summarise([lost, lost | {"id": "e2"}, record(3)], "street", "ours", 0, "1")
    assert summary["settings"]["empty"]["failures"] == {"stuck at a thing": 2}
