import base64
import copy
import io
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from s2e.benchmarks.failures import CAUSES
from s2e.benchmarks.metrics import differences, summarise
from s2e.benchmarks.origins import Origin
from s2e.benchmarks.report import DARK, LIGHT, write_report
from s2e.envs.geometry.occupancy import Occupancy

VOID = {"meta", "input", "img", "br"}


class Page(HTMLParser):
    """Checks that every element is closed in order; collects what the tests look at."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.words, self.links = [], [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.links += [value for name, value in attrs if name in ("href", "src")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.links += [value for name, value in attrs if name in ("href", "src")]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)

    def of_class(self, name):
        return [attrs for _, attrs in self.tags if name in (attrs.get("class") or "").split()]


def record(i, setting, success, policy_shift=0.0):
    path = [[k * 0.5, i + policy_shift] for k in range(20 if success else 8)]
    return {
        "scene": "street",
        "id": f"{setting}-{i}",
        "setting": setting,
        "success": success,
        "rc": 1.0 if success else 0.4 + 0.01 * i,
        "ct": 0 if success else 2,
        "spl": 0.9 * success,
        "sns": 0.99,
        "steps": 100,
        "time_s": 10.0,
        "path_m": 9.5,
        "route_m": 9.0,
        "end": "goal" if success else "timeout",
        "contacts": [] if success else [[5.0, "static"], [9.0, "person"]],
        "path": path,
        "start": [0.0, float(i), 0.0],
        "goal": [9.5, float(i)],
    }


OCCUPANCY = Occupancy(
    np.pad(np.zeros((96, 146), bool), 2, constant_values=True), np.array([-2.0, -2.0]), 0.1
)
EPISODES = {
    "ours": [record(i, s, i != 1) for s in ("empty", "both") for i in range(4)],
    "zero": [record(i, s, False, 0.2) for s in ("empty", "both") for i in range(4)],
}


def write(
    tmp_path, episodes=EPISODES, background=None, clips=None, extra=None, occupancy=OCCUPANCY
):
    summaries = [summarise(records, "street", name, 3, "1") for name, records in episodes.items()]
    path = tmp_path / "report.html"
    write_report(
        path, summaries, episodes, {"street": (occupancy, background)}, clips or {}, extra or {}
    )
    assert list(tmp_path.iterdir()) == [path]
    return path.read_text(encoding="utf-8")


def test_the_page_is_complete_and_stands_alone(tmp_path):
    frames = [np.full((48, 80, 3), 10 * k, dtype=np.uint8) for k in range(12)]
    text = write(
        tmp_path, clips={"ours, both-1": frames}, extra={"command": "s2e-bench --scene street"}
    )
    page = Page(text)
    words = " ".join(page.words)
    assert (
        all(link.startswith(("data:image/", "#")) for link in page.links) and len(page.links) >= 3
    )
    assert (
        not [tag for tag, _ in page.tags if tag in ("script", "link", "iframe")]
        and "http" not in text
    )
    assert "nan" not in re.sub(r"base64,[\w+/=]+", "", text).lower()
    assert "0.75" in words and "[0.30, 0.95]" in words  # SR of ours, 3 of 4, and its interval
    assert "s2e-bench --scene street" in words and "benchmark version" in words
    assert len(page.of_class("path")) == 2 * 16  # a halo and a line for each episode
    dashed = [a for a in page.of_class("path") if "stroke-dasharray" in a]
    assert len(dashed) == sum(not r["success"] for records in EPISODES.values() for r in records)
    gif = next(link for link in page.links if link.startswith("data:image/gif;base64,"))
    with Image.open(io.BytesIO(base64.b64decode(gif.partition(",")[2]))) as image:
        assert image.size == (80, 48) and getattr(image, "n_frames", 1) == 12


@pytest.mark.parametrize("with_background", [False, True])
def test_the_ground_is_in_register_with_the_paths(tmp_path, with_background):
    """A marked block of the scene must lie in the picture where the SVG's metres say it lies."""
    grid = np.zeros((100, 150), bool)
    grid[60:64, 100:106] = True  # world x 8.0 to 8.6, y 4.0 to 4.4
    background = None
    if with_background:
        background = np.full((300, 450, 3), 240, dtype=np.uint8)
        background[np.kron(grid[::-1], np.ones((3, 3), bool))] = 0
    text = write(
        tmp_path, background=background, occupancy=Occupancy(grid, np.array([-2.0, -2.0]), 0.1)
    )
    attrs = next(attrs for tag, attrs in Page(text).tags if tag == "image")
    data = base64.b64decode(attrs["href"].partition(",")[2])
    pixels = np.asarray(Image.open(io.BytesIO(data)).convert("RGBA"))
    dark = (pixels[..., 3] > 128) & (pixels[..., 0] < 180)
    rows, columns = np.nonzero(dark)
    x = float(attrs["x"]) + (columns + 0.5) / pixels.shape[1] * float(attrs["width"])
    y = -(float(attrs["y"]) + (rows + 0.5) / pixels.shape[0] * float(attrs["height"]))
    assert abs(x.mean() - 8.3) < 0.05 and abs(y.mean() - 4.2) < 0.05
    assert abs(np.ptp(x) - 0.6) < 0.15 and abs(np.ptp(y) - 0.4) < 0.15


def test_hostile_names_are_escaped(tmp_path):
    evil = "<script>alert(1)</script>\"'&</style>"
    records = [record(0, evil, False), record(1, evil, True)]
    records[0]["id"] = records[0]["end"] = evil
    frames = [np.zeros((8, 8, 3), np.uint8)]
    text = write(tmp_path, {evil: records}, clips={evil: frames}, extra={evil: evil})
    page = Page(text)
    assert not [tag for tag, _ in page.tags if tag == "script"]
    assert text.count("</style>") == 1 and "<script" not in text
    assert sum(evil in word for word in page.words) >= 8


@pytest.mark.parametrize("episodes", [{}, {"ours": []}, {"ours": [], "zero": EPISODES["zero"][:4]}])
def test_empty_settings_and_policies(tmp_path, episodes):
    Page(write(tmp_path, episodes))


def test_odd_records(tmp_path):
    records = copy.deepcopy(EPISODES["ours"])
    records[0]["path"] = []
    records[1]["path"] = [[0.0, 0.0]]
    records[2]["path"][3] = [float("nan"), float("inf")]
    records[3]["time_s"] = 0.0
    records[3]["contacts"] = [[1.0, "person"]]
    text = write(tmp_path, {"ours": records}, extra={"none": None})
    Page(text)
    assert "nan" not in re.sub(r"base64,[\w+/=]+", "", text).lower()


def test_size_stays_small(tmp_path):
    rng = np.random.default_rng(0)
    episodes = {}
    for p in range(8):
        many = [
            record(i, s, i % 3 > 0)
            for s in ("empty", "obstacle", "pedestrian", "both")
            for i in range(30)
        ]
        for r in many:
            r["path"] = rng.uniform(0, 9, (600, 2)).round(2).tolist()
        episodes[f"policy {p}"] = many
    noise = [rng.integers(0, 256, (96, 160, 3), dtype=np.uint8) for _ in range(16)]
    background = rng.integers(0, 256, (1000, 1500, 3), dtype=np.uint8)
    text = write(tmp_path, episodes, background, {f"clip {k}": noise for k in range(3)})
    assert len(text.encode()) < 6_000_000
    assert "of 30 episodes drawn" in text


def contrast(a, b):
    def luminance(colour):
        rgb = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
        return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4) @ [
            0.2126,
            0.7152,
            0.0722,
        ]

    low, high = sorted([luminance(a), luminance(b)])
    return (high + 0.05) / (low + 0.05)


def test_colours_stand_out_in_both_themes():
    assert len(set(LIGHT)) == len(set(DARK)) == 8
    assert min(contrast(c, "#fcfcfb") for c in LIGHT) > 2.0
    assert min(contrast(c, "#1a1a19") for c in DARK) > 3.0


def test_a_suite_has_panels_and_a_column_for_each_scene(tmp_path):
    two = {
        name: [{**r, "scene": s} for r in records for s in ("town/lane", "town/quay")]
        for name, records in EPISODES.items()
    }
    summaries = [summarise(records, "town", name, 3, "1") for name, records in two.items()]
    write_report(
        tmp_path / "r.html",
        summaries,
        two,
        {s: (OCCUPANCY, None) for s in ("town/lane", "town/quay")},
        {},
        {},
    )
    page = Page((tmp_path / "r.html").read_text(encoding="utf-8"))
    words = [w.strip() for w in page.words]
    assert words.count("lane") == 1 and words.count("quay") == 1 and "Scenes" in words
    assert len(page.of_class("panels")) == 2 and len(page.of_class("toggle")) == 2
    named = [attrs["id"] for tag, attrs in page.tags if tag == "g" and "id" in attrs]
    assert named == ["ground0", "ground1"]


def judged(tmp_path, learned, bounds):
    """A report of learned policies and bounds, each given as the episodes that it wins of 40 in
    each setting; its page."""
    episodes = {
        n: [record(i, s, i < w) for s in ("empty", "both") for i in range(40)]
        for n, w in (bounds | learned).items()
    }
    summaries = [
        summarise(r, "street", n, 3, "1", learned=n in learned) for n, r in episodes.items()
    ]
    compared = differences({n: episodes[n] for n in learned}, 3)
    write_report(
        tmp_path / "r.html", summaries, episodes, {"street": (OCCUPANCY, None)}, {}, {}, compared
    )
    text = (tmp_path / "r.html").read_text(encoding="utf-8")
    Page(text)
    return text, text[text.index("<h1>") : text.index("<h2>")]


def rows(text, title):
    """The rows of the table under a heading, each with its cells' classes and words."""
    part = text[text.index(f"<h2>{title}</h2>") :].partition("</table>")[0]
    return [
        re.findall(r'<t[dh](?: class="([^"]*)")?[^>]*>(.*?)</t[dh]>', row)
        for row in re.findall(r"<tr[^>]*>(.*?)</tr>", part)
    ]


BOUNDS = {"zero": 0, "expert": 40}


def test_the_headline_compares_learned_policies_alone(tmp_path):
    text, lead = judged(tmp_path, {"seen": 10, "tuned": 32, "twin": 31}, BOUNDS)
    assert "Success over all settings: tuned 0.80, twin 0.78, seen 0.25." in lead
    assert re.search(r"tuned is above seen \(\+0\.55 \[\+0\.\d\d, \+0\.\d\d\]\)", lead)
    assert "tuned and twin are not told apart (+0.03 [" in lead
    assert (
        "expert" not in lead and "zero" not in lead and "best" not in lead and "ighest" not in lead
    )
    table = rows(text, "Results")
    names = [re.sub("<.*?>", "", row[0][1]) for row in table if len(row) == 7]
    # learned first, in their own order
    assert names[1:] == 2 * ["seen", "tuned", "twin", "zero", "expert"]
    bold = {
        re.sub("<.*?>", "", row[0][1]): [k for k, (kind, _) in enumerate(row) if kind == "best"]
        for row in table
        if len(row) == 7
    }
    # of SR alone
    assert bold == {"policy": [], "seen": [], "tuned": [2], "twin": [2], "zero": [], "expert": []}
    assert [row[0][0] for row in table if len(row) == 7][1:6] == 3 * ["name"] + 2 * ["name bound"]
    pairs = rows(text, "Differences between learned policies")
    assert [[c[1] for c in pairs[0]]] == [["policies", "all", "empty", "both"]]
    assert {row[0][1]: [c[0] for c in row[1:]] for row in pairs[1:]} == {
        "tuned minus twin": 3 * ["same"],
        "tuned minus seen": 3 * ["best"],
        "twin minus seen": 3 * ["best"],
    }


def test_of_failures_as_near_the_goal_those_with_more_contacts_are_worse(tmp_path):
    """SR, RC, SPL and SNS are better where they are higher; contacts are not. More fail than are
    listed."""
    contacts = np.random.default_rng(0).permutation(60)
    episodes = {
        "tuned": [
            record(k, "both", False) | {"rc": 0.2, "ct": int(ct)} for k, ct in enumerate(contacts)
        ]
    }
    episodes["tuned"].append(record(60, "both", False) | {"rc": 0.1, "ct": 0})
    summaries = [summarise(r, "street", n, 3, "1") for n, r in episodes.items()]
    write_report(tmp_path / "r.html", summaries, episodes, {"street": (OCCUPANCY, None)}, {}, {})
    table = [
        [words for _, words in row]
        for row in rows((tmp_path / "r.html").read_text(encoding="utf-8"), "Worst episodes")
    ]
    listed = [int(row[table[0].index("CT")]) for row in table[1:]]
    assert 3 < len(listed) < 61 and listed == [0, *range(59, 60 - len(listed), -1)]


def test_nothing_is_bold_where_learned_policies_are_not_told_apart(tmp_path):
    text, lead = judged(tmp_path, {"tuned": 32, "twin": 31}, BOUNDS)
    assert "not told apart" in lead and 'class="best"' not in text


@pytest.mark.parametrize(
    ("learned", "said"),
    [
        ({}, "No learned policy was driven: these are bounds and baselines."),
        ({"tuned": 32}, "settings: tuned 0.80."),
    ],
)
def test_headlines_without_a_comparison(tmp_path, learned, said):
    text, lead = judged(tmp_path, learned, BOUNDS)
    assert (
        said in lead
        and "expert" not in lead
        and "Differences between" not in text
        and 'class="best"' not in text
    )


def test_failures_are_counted_by_cause(tmp_path):
    text, _ = judged(tmp_path, {"tuned": 32}, BOUNDS)
    table = [
        [re.sub("<.*?>", "", words) for _, words in row] for row in rows(text, "Failures by cause")
    ]
    column = {name: k for k, name in enumerate(table[0])}
    tuned, zero, expert = (
        next(row for row in table if row[0] == name) for name in ("tuned", "zero", "expert")
    )
    assert tuned[1] == "8 of 40" and zero[1] == "40 of 40" and expert[1] == "0 of 40"
    assert sum(int(n) for n in zero[2:] if n != "·") == 40 and set(column) - {
        "policy",
        "failed",
    } <= set(CAUSES)
    assert all(CAUSES[name] in text for name in column if name in CAUSES)
    alone, _ = judged(tmp_path, {"tuned": 40}, {})
    assert "No episode failed." in alone


def test_every_cell_is_named_for_narrow_pages_and_charts_are_drawn_pixel_for_pixel(tmp_path):
    text, _ = judged(tmp_path, {"tuned": 32, "twin": 31}, BOUNDS)
    page = Page(text)
    cells = [attrs["data-of"] for tag, attrs in page.tags if tag == "td"]
    assert (
        cells[:7] == ["policy", "episodes", "SR", "RC", "CT", "SPL", "SNS"]
        and "driven / route, m" in cells
    )
    assert "min-width:640px" not in text
    charts = [
        a
        for tag, a in page.tags
        if tag == "svg" and a.get("aria-label", "").startswith("success rate")
    ]
    widths = [(a["style"], a["viewbox"].split()[2]) for a in charts]
    assert len(widths) == 2 and all(
        style == f"width:{width}px" and int(width) <= 340 for style, width in widths
    )
    maps = page.of_class("map")
    assert (
        maps
        and all(float(a["style"].removeprefix("--u:")) > 0 for a in maps)
        and len(page.of_class("mark")) > len(maps)
    )


def test_it_says_where_policies_come_from(tmp_path):
    summaries = [summarise(records, "street", name, 3, "1") for name, records in EPISODES.items()]
    origins = {
        "ours": Origin(
            "runs/<b>", "2023-11-14 22:13 UTC", "s2e-ppo --seed 1", "s2e-ppo --seed 1 --lr 2"
        ),
        "zero": Origin("x"),
    }
    write_report(
        tmp_path / "r.html",
        summaries,
        EPISODES,
        {"street": (OCCUPANCY, None)},
        {},
        {},
        origins=origins,
    )
    text = (tmp_path / "r.html").read_text(encoding="utf-8")
    words = " ".join(Page(text).words)
    assert (
        "Where the policies come from" in words and "runs/<b>" in words and "runs/&lt;b&gt;" in text
    )
    assert (
        "written 2023-11-14 22:13 UTC" in words
        and "with all options: s2e-ppo --seed 1 --lr 2" in words
    )
    assert "by what command is not known" in words


def test_a_planners_answers_stand_beside_the_table(tmp_path):
    asked = {
        "asked": 4,
        "answered": 0,
        "advised": 0,
        "failed": 4,
        "unparsed": 0,
        "skipped": 9,
        "latencies_s": [],
    }
    episodes = {
        "ours": [r | {"planner": asked} for r in EPISODES["ours"]],
        "zero": EPISODES["zero"],
    }
    page = Page(write(tmp_path, episodes))
    (said,) = [w for w in page.words if w.startswith("The planner of ")]
    assert (
        "ours was asked 32 times in 8 episodes: 0 answered, 32 failed, 72 passed over" in said
        and "bare policy" in said
    )
