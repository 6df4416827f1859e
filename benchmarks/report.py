"""The benchmark's report: one HTML file that needs nothing else, readable in light and dark."""

import base64
import html
import io
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from s2e.benchmarks.failures import CAUSES, cause, finite_path
from s2e.benchmarks.metrics import (
    MEANS,
    Difference,
    all_settings,
    learned_first,
    planner_words,
    signed,
    verdict,
)
from s2e.benchmarks.origins import Origin
from s2e.core.files import write_whole
from s2e.envs.geometry.occupancy import Occupancy

# Eight hues, a light and a dark step of each. The order keeps neighbours, and any two of the first
# five, apart for readers with protanopia and deuteranopia too (6.7 or more in OKLab times 100, by
# the matrices of Machado 2009).
LIGHT = ("#e34948", "#2a78d6", "#008300", "#e87ba4", "#eda100", "#4a3aa7", "#1baf7a", "#eb6834")
DARK = ("#e66767", "#3987e5", "#008300", "#d55181", "#c98500", "#9085e9", "#199e70", "#d95926")
EPISODES_DRAWN = 12
EPISODES_DRAWN_EACH = 5  # where there are several scenes
POINTS_DRAWN = 80
FAILURES_LISTED = 12
CLIPS_BYTES = 3_600_000
GROUND_PX = 1000

_STYLE = """
:root{color-scheme:light dark;--bg:#f9f9f7;--card:#fcfcfb;--ink:#0b0b0b;--soft:#52514e;--line:#d9d8d4;--halo:#fff;LIGHTVARS}
@media(prefers-color-scheme:dark){:root{--bg:#0d0d0d;--card:#1a1a19;--ink:#fff;--soft:#c3c2b7;--line:#3a3a37;--halo:#000;DARKVARS}}
*{box-sizing:border-box}body{margin:0;background:var(--bg);color:var(--ink);font:15px/1.5 system-ui,sans-serif}
main{max-width:1120px;margin:0 auto;padding:24px 20px 60px}h1{font-size:26px;margin:8px 0 2px}h2{font-size:18px;margin:36px 0 10px}
p{margin:4px 0 10px;color:var(--soft);max-width:75ch}.card{background:var(--card);border:1px solid var(--line);border-radius:8px;padding:14px 16px}
.scroll{overflow-x:auto}table{border-collapse:collapse;width:100%;font-size:14px;font-variant-numeric:tabular-nums}
th,td{padding:5px 10px;text-align:right;white-space:nowrap}th:first-child,td:first-child{text-align:left}
thead th:first-child,td:first-child{position:sticky;left:0;background:var(--card)}
thead th{color:var(--soft);font-weight:600;border-bottom:1px solid var(--line)}
tbody tr.group th{text-align:left;padding-top:14px;font-size:13px;color:var(--soft);border-bottom:1px solid var(--line)}
td small{color:var(--soft);font-weight:400;font-size:12px;margin-left:5px}td.best{font-weight:700}td.name,.legend span,figcaption{overflow-wrap:anywhere;white-space:normal}
td.name{min-width:150px}td.bound{font-style:italic;color:var(--soft)}td.same{color:var(--soft)}.meaning{margin:12px 2px 0}.meaning dd{font:inherit;color:var(--soft)}.meaning dt{color:inherit}
.bars{display:flex;flex-wrap:wrap;gap:8px 18px}.bars figure{margin:0;max-width:100%}.bars figcaption{text-align:center;padding-left:36px}.dot{display:inline-block;width:10px;height:10px;border-radius:3px;margin-right:7px}
svg{display:block;width:100%;height:auto}svg text{fill:var(--soft);font:12px system-ui,sans-serif}
.legend{display:flex;flex-wrap:wrap;gap:4px 18px;margin:0 0 12px;font-size:14px}.legend label{cursor:pointer}
.toggle{position:absolute;opacity:0}.toggle:focus-visible~.legend{outline:2px solid var(--c0)}
.panels{display:grid;gap:14px;grid-template-columns:minmax(0,1fr)}.two{grid-template-columns:repeat(2,minmax(0,1fr))}.panels h3{font-size:14px;margin:0 0 8px}.panels svg{max-height:560px;border-radius:4px}
.clips{display:flex;flex-wrap:wrap;gap:14px}.clips figure{margin:0;width:320px;max-width:100%}.clips img{width:100%;border-radius:6px;display:block}
figcaption{font-size:13px;color:var(--soft);margin-top:5px}dl{display:grid;grid-template-columns:max-content 1fr;gap:4px 18px;margin:0;font-size:14px}
dt{color:var(--soft)}dd{margin:0;overflow-wrap:anywhere;font-family:ui-monospace,monospace;font-size:13px}
.path,.line{fill:none;stroke-linejoin:round;vector-effect:non-scaling-stroke}.path{stroke-linecap:round}
.mark{transform:scale(calc(var(--u)*var(--k,1)))}.mark text{fill:var(--ink);font-size:13px}
summary{cursor:pointer}details{overflow-wrap:anywhere}
@media(max-width:720px){main{padding:12px 10px 40px}.two{grid-template-columns:minmax(0,1fr)}.card{padding:10px}
.map{--k:1.5}.long{--k:2.9}dl{grid-template-columns:1fr;gap:0}dd{margin-bottom:8px}
table,tbody,tr.group{display:block}thead{display:none}
tr{display:grid;grid-template-columns:repeat(auto-fill,minmax(150px,1fr));gap:0 16px;padding:6px 0;border-bottom:1px solid var(--line)}
tbody tr.group{border:0;padding:8px 0 0}tbody tr.group th{display:block;padding:0}
td{display:flex;flex-wrap:wrap;justify-content:flex-end;padding:2px 0;white-space:normal;min-width:0;overflow-wrap:anywhere}
td small{white-space:nowrap}td::before{content:attr(data-of);flex:none;margin-right:auto;padding-right:8px;color:var(--soft);font:400 13px/1.6 system-ui,sans-serif}
td:first-child{grid-column:1/-1;position:static;display:block}td:first-child::before{content:none}}
"""


def write_report(
    path: str | Path,
    summaries: Sequence[dict[str, Any]],
    episodes: dict[str, list[dict[str, Any]]],
    grounds: Mapping[str, tuple[Occupancy, np.ndarray | None]],
    clips: dict[str, list[np.ndarray]],
    extra: dict[str, Any],
    compared: Sequence[Difference] = (),
    origins: Mapping[str, Origin] | None = None,
) -> None:
    """Writes report.html, a few megabytes at most.

    Args:
        path: the file; written beside itself and renamed.
        summaries: one per policy, from `metrics.summarise`.
        episodes: the records of each policy.
        grounds: each scene's occupancy, drawn when there is no background, and background: (H, W,
            3) uint8 view from straight above that covers the grid's extent exactly, north (y) up
            and east (x) right; or None.
        clips: caption to frames, each (H, W, 3) uint8; shown as small GIFs.
        extra: further conditions to list: the command, the date, what the user must know.
        compared: from `metrics.differences` of the learned policies: what the report says of which
            is better.
        origins: of each policy that has files, how it was made.
    """
    summaries = learned_first(summaries)
    episodes = {
        str(s["policy"]): episodes[str(s["policy"])]
        for s in summaries
        if str(s["policy"]) in episodes
    } | episodes
    labels = [str(s["policy"]) for s in summaries]
    colour = {name: i for i, name in enumerate(dict.fromkeys([*labels, *episodes]))}
    scene = ", ".join(dict.fromkeys(str(s["scene"]) for s in summaries)) or "no scene"
    parts = [
        f"<h1>{_text(scene)}</h1><p>Closed-loop navigation benchmark. "
        f"{_lead(summaries, compared)}</p>",
        _section(
            "Results",
            _table(summaries, colour, compared) + _planners(summaries) + _meaning(summaries),
        ),
        _section("Differences between learned policies", _differences(compared)),
        _section("Success rate", _bars(summaries, colour)),
        _section("Scenes", _by_scene(episodes, grounds, colour)),
        _section("Paths", _paths(summaries, episodes, grounds, colour)),
        _section("Failures by cause", _causes(summaries, colour)),
        _section("Clips", _clips(clips)),
        _section("Worst episodes", _failures(episodes, colour)),
        _section("Where the policies come from", _origins(origins or {})),
        _section("Conditions", _conditions(summaries, episodes, extra)),
    ]
    text = (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{_text(scene)}: benchmark "
        f"report</title><style>{_style(len(colour))}</style></head>"
        f"<body><main>{''.join(parts)}</main></body></html>\n"
    )
    write_whole(Path(path), text.encode(errors="replace"))


def _text(value: Any) -> str:
    return html.escape(str(value), quote=True)


def _number(value: Any, digits: int = 2) -> str:
    return f"{value:.{digits}f}" if isinstance(value, int | float) and math.isfinite(value) else "–"


def _section(title: str, body: str) -> str:
    return f"<h2>{title}</h2>{body}" if body else ""


def _style(policies: int) -> str:
    def variables(colours):
        return "".join(f"--c{i}:{c};" for i, c in enumerate(colours))

    hide = "".join(
        f"#t{i}:not(:checked)~.panels .p{i}{{display:none}}#t{i}:not(:checked)~.legend "
        f".l{i}{{opacity:.35}}"
        for i in range(policies)
    )
    return _STYLE.replace("LIGHTVARS", variables(LIGHT)).replace("DARKVARS", variables(DARK)) + hide


def _paint(index: int) -> str:
    return f"var(--c{index % len(LIGHT)})"


def _dot(index: int) -> str:
    return f'<i class="dot" style="background:{_paint(index)}"></i>'


def _lead(summaries: Sequence[dict[str, Any]], compared: Sequence[Difference]) -> str:
    """The outcome of learned policies: their success, and which differ. Bounds and baselines are
    not in the race.
    """
    learned = [s for s in summaries if s["learned"] and s["settings"]]
    if not learned:
        there = any(s["settings"] for s in summaries)
        return (
            "No learned policy was driven: these are bounds and baselines."
            if there
            else "There are no episodes yet."
        )

    def over_all(summary: dict[str, Any]) -> float:
        entries = summary["settings"].values()
        return sum(e["sr"] * e["episodes"] for e in entries) / sum(e["episodes"] for e in entries)

    shares = ", ".join(
        f"{_text(s['policy'])} {_number(over_all(s))}"
        for s in sorted(learned, key=over_all, reverse=True)
    )
    pairs = [d for d in compared if d.setting == "all"]
    said = (
        pairs if len(learned) <= 3 else pairs[: len(learned) - 1]
    )  # of many, the first with each other
    return " ".join(
        [f"Success over all settings: {shares}.", *(f"{_text(verdict(d))}." for d in said)]
    )


def _planners(summaries: Sequence[dict[str, Any]]) -> str:
    """What became of the questions to each policy's planner: without answers a table is the bare
    policy's.
    """
    return "".join(
        f'<p class="planner">{_text(words[0].upper() + words[1:])}.</p>'
        for words in map(planner_words, summaries)
        if words
    )


def _meaning(summaries: Sequence[dict[str, Any]]) -> str:
    bold = (
        "Bold: the learned policy with the highest SR of a setting, and those that are not "
        "told "
        "apart from it. "
    )
    others = (
        "Italic, and outlined below: bounds and baselines, which see more than a camera or "
        "nothing at all and are not compared. "
    )
    return (
        "<p>SR success rate (Wilson interval). RC completed share of the route. CT contacts per "
        "episode. SPL success "
        "weighted by path length. SNS share of steps without contact. Brackets: 95 % intervals, "
        "bootstrap for the "
        f"means. {bold if sum(s['learned'] for s in summaries) > 1 else ''}"
        f"{others if not all(s['learned'] for s in summaries) else ''}</p>"
    )


def _leaders(
    here: Sequence[dict[str, Any]], setting: str, compared: Sequence[Difference]
) -> set[str]:
    """The learned policy with the highest SR of a setting and those not told apart from it; nobody
    where that is all.
    """
    learned = [s for s in here if s["learned"]]
    if not learned:
        return set()
    first = str(max(learned, key=lambda s: s["settings"][setting]["sr"])["policy"])
    below = {
        d.b if d.a == first else d.a
        for d in compared
        if d.setting == setting and d.apart and first in (d.a, d.b)
    }
    return {str(s["policy"]) for s in learned} - below if below else set()


def _name(summary: dict[str, Any], colour: dict[str, int]) -> str:
    kind = "name" if summary["learned"] else "name bound"
    return (
        f'<td class="{kind}">{_dot(colour[str(summary["policy"])])}{_text(summary["policy"])}</td>'
    )


def _table(
    summaries: Sequence[dict[str, Any]], colour: dict[str, int], compared: Sequence[Difference]
) -> str:
    rows = []
    for setting in all_settings(summaries):
        here = [s for s in summaries if setting in s["settings"]]
        leaders = _leaders(here, setting, compared)
        rows.append(f'<tr class="group"><th colspan="7">{_text(setting)}</th></tr>')
        for summary in here:
            entry, cells = summary["settings"][setting], []
            for key in ("sr", *MEANS):
                low, high = entry[f"{key}_ci95"]
                mark = ' class="best"' if key == "sr" and str(summary["policy"]) in leaders else ""
                interval = f"<small>[{_number(low)}, {_number(high)}]</small>"
                cells.append(f"<td{mark}>{_number(entry[key])}{interval}</td>")
            rows.append(
                f"<tr>{_name(summary, colour)}<td>{entry['episodes']}</td>{''.join(cells)}</tr>"
            )
    if not rows:
        return "<p>No episodes.</p>"
    return _sheet(("policy", "episodes", "SR", "RC", "CT", "SPL", "SNS"), rows)


def _sheet(head: Sequence[str], rows: Sequence[str]) -> str:
    """A table; where the page is narrow each row is a card whose cells are named, since no table of
    seven columns fits a phone.
    """
    cells = "".join(f"<th>{_text(h)}</th>" for h in head)

    def named(row: str) -> str:
        names = iter(head)
        return re.sub(
            r'<td((?: class="[^"]*")?)',
            lambda cell: f'<td{cell[1]} data-of="{_text(next(names, ""))}"',
            row,
        )

    rows = [named(row) for row in rows]
    return (
        '<div class="card '
        f'scroll"><table><thead><tr>{cells}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'
    )


def _differences(compared: Sequence[Difference]) -> str:
    """One row a pair, one column a setting; what is not told apart is grey."""
    if not compared:
        return ""
    settings = list(dict.fromkeys(d.setting for d in compared))
    found = {(d.a, d.b, d.setting): d for d in compared}
    rows = []
    for a, b in dict.fromkeys((d.a, d.b) for d in compared):
        cells = []
        for setting in settings:
            d = found.get((a, b, setting))
            if d is None:
                cells.append("<td>–</td>")
                continue
            interval = f"<small>[{signed(d.ci95[0])}, {signed(d.ci95[1])}]</small>"
            cells.append(
                f'<td class="{"best" if d.apart else "same"}">{signed(d.difference)}{interval}</td>'
            )
        rows.append(f'<tr><td class="name">{_text(a)} minus {_text(b)}</td>{"".join(cells)}</tr>')
    note = (
        "<p>Success rate of one minus that of the other on the same episodes, with the 95 % "
        "interval of a paired bootstrap. "
        "Bold: told apart. Grey: the interval includes 0, they are not told apart.</p>"
    )
    return note + _sheet(("policies", *settings), rows)


def _causes(summaries: Sequence[dict[str, Any]], colour: dict[str, int]) -> str:
    """Why episodes failed: counts a policy and setting, and what each cause means."""
    found = [
        name
        for name in CAUSES
        if any(name in e["failures"] for s in summaries for e in s["settings"].values())
    ]
    if not found:
        return "<p>No episode failed.</p>" if any(s["settings"] for s in summaries) else ""
    rows = []
    for setting in all_settings(summaries):
        rows.append(f'<tr class="group"><th colspan="{len(found) + 2}">{_text(setting)}</th></tr>')
        for summary in (s for s in summaries if setting in s["settings"]):
            entry = summary["settings"][setting]
            cells = "".join(f"<td>{entry['failures'].get(name, 0) or '·'}</td>" for name in found)
            lost = f"{sum(entry['failures'].values())} of {entry['episodes']}"
            rows.append(f"<tr>{_name(summary, colour)}<td>{lost}</td>{cells}</tr>")
    meaning = "".join(f"<dt>{_text(name)}</dt><dd>{_text(CAUSES[name])}</dd>" for name in found)
    return _sheet(("policy", "failed", *found), rows) + f'<dl class="meaning">{meaning}</dl>'


def _by_scene(
    episodes: dict[str, list[dict[str, Any]]], grounds: Mapping[str, Any], colour: dict[str, int]
) -> str:
    """Success rates of all settings together, one column a scene; nothing where there is only one
    scene.
    """
    if len(grounds) < 2:
        return ""
    rows = []
    for name, records in episodes.items():
        cells = []
        for scene in grounds:
            mine = [bool(r["success"]) for r in records if r["scene"] == scene]
            cells.append(f"<td>{_number(sum(mine) / len(mine)) if mine else '–'}</td>")
        rows.append(
            f'<tr><td class="name">{_dot(colour[name])}{_text(name)}</td>{"".join(cells)}</tr>'
        )
    note = "<p>Success rate in each scene, all settings together.</p>"
    return note + _sheet(("policy", *(scene.split("/")[-1] for scene in grounds)), rows)


def _legend(colour: dict[str, int], toggles: bool) -> str:
    items = []
    for name, i in colour.items():
        body = f"{_dot(i)}<span>{_text(name)}</span>"
        items.append(
            f'<label class="l{i}" for="t{i}">{body}</label>' if toggles else f"<span>{body}</span>"
        )
    return f'<div class="legend">{"".join(items)}</div>'


def _bars(summaries: Sequence[dict[str, Any]], colour: dict[str, int]) -> str:
    """Bars of SR with whiskers, one chart per setting, drawn pixel for pixel: its text is no
    smaller on a phone.
    """
    settings = all_settings(summaries)
    if not settings:
        return ""
    left, top, height, widest = 36, 18, 150, 320
    pitch = min(46.0, (widest - left - 16) / len(summaries))
    bar, width = max(2.0, min(26.0, pitch - 2)), max(150, round(left + 16 + pitch * len(summaries)))
    charts = []
    for setting in settings:
        marks = []
        for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
            y = top + height * (1 - tick)
            marks.append(
                f'<line x1="{left}" x2="{width}" y1="{y:g}" y2="{y:g}" stroke="var(--line)"/>'
            )
            marks.append(f'<text x="{left - 6}" y="{y + 4:g}" text-anchor="end">{tick:g}</text>')
        here = [s for s in summaries if setting in s["settings"]]
        for k, summary in enumerate(here):
            x = (left + width) / 2 + (k - (len(here) - 1) / 2) * pitch
            marks.append(
                _bar(
                    x, bar, top, height, summary["settings"][setting], summary, colour, pitch >= 30
                )
            )
        svg = (
            f'<svg style="width:{width}px" viewBox="0 0 {width} {top + height + 6}" role="img" '
            'aria-label="success rate, '
        )
        charts.append(
            f'<figure>{svg}{_text(setting)}">{"".join(marks)}</svg><figcaption>{_text(setting)}</figcaption></figure>'
        )
    legend = _legend({str(s["policy"]): colour[str(s["policy"])] for s in summaries}, False)
    return f'<div class="card">{legend}<div class="bars">{"".join(charts)}</div></div>'


def _bar(
    x: float,
    bar: float,
    top: int,
    height: int,
    entry: dict,
    summary: dict[str, Any],
    colour: dict[str, int],
    value: bool,
) -> str:
    """A policy's bar; a bound or baseline is an outline."""
    name = str(summary["policy"])
    paint = _paint(colour[name])
    fill = (
        f'fill="{paint}"'
        if summary["learned"]
        else f'fill="{paint}" fill-opacity=".12" stroke="{paint}" stroke-width="1.5"'
    )
    tall = height * entry["sr"]
    low, high = (top + height * (1 - v) for v in entry["sr_ci95"])
    base, radius = top + height, min(4.0, bar / 2, tall)
    shape = (
        f"M{x - bar / 2:.1f},{base}v{-(tall - radius):.1f}q0,{-radius:.1f} "
        f"{radius:.1f},{-radius:.1f}"
        f"h{bar - 2 * radius:.1f}q{radius:.1f},0 {radius:.1f},{radius:.1f}v{tall - radius:.1f}z"
    )
    title = f"{name}: {entry['sr']:.2f} [{entry['sr_ci95'][0]:.2f}, {entry['sr_ci95'][1]:.2f}]"
    label = (
        f'<text x="{x:.1f}" y="{high - 4:.1f}" text-anchor="middle">{entry["sr"]:.2f}</text>'
        if value
        else ""
    )
    cap = min(4.0, bar / 3)
    return (
        f'<g><title>{_text(title)}</title><path d="{shape}" {fill}/>'
        "<path "
        f'd="M{x:.1f},{low:.1f}V{high:.1f}M{x - cap:.1f},{high:.1f}h{2 * cap:.1f}M{x - cap:.1f},{low:.1f}'
        f'h{2 * cap:.1f}" stroke="var(--ink)" stroke-width="1.3"/>{label}</g>'
    )


def _extent(
    episodes: dict[str, list[dict[str, Any]]], occupancy: Occupancy
) -> tuple[float, float, float, float]:
    """x0, y0, x1, y1 in metres: everything that happened and a margin, within the grid."""
    rows, columns = occupancy.grid.shape
    low = np.asarray(occupancy.origin, dtype=np.float64)
    high = low + occupancy.resolution * np.array([columns, rows])
    points = [np.zeros((0, 2))]
    for records in episodes.values():
        for record in records:
            xy = np.array(
                [record["start"][:2], record["goal"][:2], *record["path"]], dtype=np.float64
            )
            points.append(xy[np.isfinite(xy).all(axis=1)])
    used = np.concatenate(points)
    if len(used):
        low, high = (
            np.maximum(low, used.min(axis=0) - 2.5),
            np.minimum(high, used.max(axis=0) + 2.5),
        )
    high = np.maximum(high, low + 1.0)
    return float(low[0]), float(low[1]), float(high[0]), float(high[1])


def _ground(
    occupancy: Occupancy, background: np.ndarray | None, box: tuple[float, float, float, float]
) -> str:
    """An <image> in metres, y down, of the part of the scene within the box."""
    if background is None:
        picture = np.zeros((*occupancy.grid.shape, 4), dtype=np.uint8)
        picture[occupancy.grid] = (
            138,
            137,
            131,
            255,
        )  # free ground stays clear: the theme shines through
        picture = picture[::-1]
    else:
        picture = np.asarray(background, dtype=np.uint8)[..., :3]
    height, width = picture.shape[:2]
    rows, columns = occupancy.grid.shape
    metres_x, metres_y = columns * occupancy.resolution, rows * occupancy.resolution
    x0, y0 = float(occupancy.origin[0]), float(occupancy.origin[1])
    # Whole pixels around the box, so that the cut stays in register with the paths.
    left = int(np.clip(np.floor((box[0] - x0) / metres_x * width), 0, width - 1))
    right = int(np.clip(np.ceil((box[2] - x0) / metres_x * width), left + 1, width))
    top = int(np.clip(np.floor((y0 + metres_y - box[3]) / metres_y * height), 0, height - 1))
    bottom = int(np.clip(np.ceil((y0 + metres_y - box[1]) / metres_y * height), top + 1, height))
    image = Image.fromarray(np.ascontiguousarray(picture[top:bottom, left:right]))
    shrink = min(1.0, GROUND_PX / max(image.size))
    if shrink < 1.0:
        image = image.resize(
            (max(1, round(image.width * shrink)), max(1, round(image.height * shrink)))
        )
    if background is not None:
        image = image.quantize(96)
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return (
        f'<image x="{x0 + left / width * metres_x:.3f}" '
        f'y="{-(y0 + metres_y) + top / height * metres_y:.3f}" '
        f'width="{(right - left) / width * metres_x:.3f}" '
        f'height="{(bottom - top) / height * metres_y:.3f}" '
        f'preserveAspectRatio="none" href="{_data("image/png", buffer.getvalue())}"/>'
    )


def _data(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def _paths(
    summaries: Sequence[dict[str, Any]],
    episodes: dict[str, list[dict[str, Any]]],
    grounds: Mapping[str, tuple[Occupancy, np.ndarray | None]],
    colour: dict[str, int],
) -> str:
    """Top-down panels of every scene; the legend's entries show and hide a policy, without a
    script.
    """
    settings = all_settings(summaries)
    if not settings or not any(episodes.values()):
        return ""
    toggles = "".join(
        f'<input class="toggle" type="checkbox" id="t{i}" checked>' for i in colour.values()
    )
    note = (
        "<p>Ring: start. Filled square: goal. Cross: contact with something static. Diamond: "
        "contact with a person. "
        "Dashed: the goal was not reached. Select a policy in the legend to hide or show it.</p>"
    )
    parts = [note, toggles, _legend(colour, True)]
    for k, (scene, ground) in enumerate(grounds.items()):
        here = {
            name: [r for r in records if r["scene"] == scene] for name, records in episodes.items()
        }
        title = f"<h3>{_text(scene)}</h3>" if len(grounds) > 1 else ""
        most = EPISODES_DRAWN if len(grounds) == 1 else EPISODES_DRAWN_EACH
        parts.append(title + _panels(settings, here, *ground, colour, f"ground{k}", most))
    return "".join(parts)


def _panels(
    settings: Sequence[str],
    episodes: dict[str, list[dict[str, Any]]],
    occupancy: Occupancy,
    background: np.ndarray | None,
    colour: dict[str, int],
    anchor: str,
    most: int,
) -> str:
    """One scene's panels, one per setting; `anchor` names the picture that they share, `most`
    episodes are drawn.
    """
    box = _extent(episodes, occupancy)
    wide, tall = box[2] - box[0], box[3] - box[1]
    view = f"{box[0]:.2f} {-box[3]:.2f} {wide:.2f} {tall:.2f}"
    columns = 1 if wide > 1.6 * tall or len(settings) == 1 else 2
    unit = max(wide, tall * 1.2) / (
        1000 if columns == 1 else 500
    )  # metres per pixel on the page, about
    ground = (
        '<svg style="position:absolute;width:0;height:0" aria-hidden="true"><defs><g '
        f'id="{anchor}">'
        f"{_ground(occupancy, background, box)}</g></defs></svg>"
    )
    veil = (
        ""
        if background is None
        else (
            f'<rect x="{box[0]:.2f}" y="{-box[3]:.2f}" width="{wide:.2f}" height="{tall:.2f}" '
            'fill="var(--card)" opacity=".45"/>'
        )
    )
    panels, kind = [], "map long" if columns == 1 else "map"
    for setting in settings:
        mine = {
            name: [r for r in records if r["setting"] == setting]
            for name, records in episodes.items()
        }
        total = max(len(records) for records in mine.values())
        drawn = {name: records[:most] for name, records in mine.items()}
        marks = [
            f'<g class="p{colour[n]}">{"".join(_episode(r, colour[n]) for r in rs)}</g>'
            for n, rs in drawn.items()
        ]
        marks += [
            f'<g class="p{colour[n]}">{"".join(_contacts(r, colour[n]) for r in rs)}</g>'
            for n, rs in drawn.items()
        ]
        ends = {
            (tuple(r["start"][:2]), tuple(r["goal"][:2])): None
            for records in drawn.values()
            for r in records
        }
        few = "" if total <= most else f" ({most} of {total} episodes drawn)"
        panels.append(
            f'<div class="card"><h3>{_text(setting)}{few}</h3><svg class="{kind}" '
            f'style="--u:{unit:.4g}" viewBox="{view}" role="img" '
            f'aria-label="paths, {_text(setting)}"><use href="#{anchor}"/>{veil}{"".join(marks)}'
            f"{''.join(_ends(*pair) for pair in ends)}{_scale_bar(box, unit)}</svg></div>"
        )
    grid = f'<div class="panels{" two" if columns == 2 else ""}">{"".join(panels)}</div>'
    return ground + grid


def _episode(record: dict[str, Any], index: int) -> str:
    """A path with a halo that keeps it apart from what lies under it."""
    points = finite_path(record)
    if len(points) == 0:
        return ""
    keep = np.unique(
        np.linspace(0, len(points) - 1, min(len(points), POINTS_DRAWN)).round().astype(int)
    )
    line = "M" + "L".join(f"{x:.2f},{-y:.2f}" for x, y in points[keep])
    dash = "" if record["success"] else ' stroke-dasharray="5 4"'
    return (
        f'<path class="path" d="{line}" stroke="var(--halo)" stroke-width="4" opacity=".55"/>'
        f'<path class="path" d="{line}" stroke="{_paint(index)}" stroke-width="2"{dash}><title>'
        f"{_text(record['id'])}</title></path>"
    )


def _contacts(record: dict[str, Any], index: int) -> str:
    """The contacts of an episode, placed on its path by their times."""
    points, marks = finite_path(record), []
    if len(points) == 0:
        return ""
    for time_s, kind in record.get("contacts", [])[:20]:
        share = min(max(time_s / record["time_s"], 0.0), 1.0) if record["time_s"] > 0 else 0.0
        at = share * (len(points) - 1)
        x, y = (float(np.interp(at, np.arange(len(points)), points[:, d])) for d in (0, 1))
        marks.append(_mark(x, y, _contact(kind, index)))
    return "".join(marks)


def _mark(x: float, y: float, shape: str) -> str:
    """A shape around the origin, in pixels of the page, at a place in metres: as large on a phone
    as on a desk.
    """
    return f'<g transform="translate({x:.2f} {-y:.2f})"><g class="mark">{shape}</g></g>'


def _contact(kind: str, index: int) -> str:
    if kind == "person":
        return (
            f'<path d="M0,-4.5l4.5,4.5l-4.5,4.5l-4.5,-4.5z" fill="{_paint(index)}" '
            'stroke="var(--ink)" stroke-width="1.3"/>'
        )
    cross = "M-4.5,-4.5l9,9m0,-9l-9,9"
    return (
        f'<path d="{cross}" stroke="var(--halo)" stroke-width="4"/><path d="{cross}" '
        'stroke="var(--ink)" stroke-width="2"/>'
    )


def _ends(start: Sequence[float], goal: Sequence[float]) -> str:
    ring = '<circle r="4.5" fill="var(--card)" stroke="var(--ink)" stroke-width="1.8"/>'
    square = (
        '<rect x="-4.5" y="-4.5" width="9" height="9" fill="var(--ink)" stroke="var(--card)" '
        'stroke-width="1.2"/>'
    )
    return _mark(start[0], start[1], ring) + _mark(goal[0], goal[1], square)


def _scale_bar(box: tuple[float, float, float, float], unit: float) -> str:
    length = max(v for v in (1, 2, 5, 10, 20, 50, 100) if v <= max(1.0, (box[2] - box[0]) / 3))
    x, y = box[0] + 12 * unit, box[1] + 12 * unit
    words = (
        '<text y="-6" fill="var(--ink)" stroke="var(--halo)" stroke-width="3" '
        f'paint-order="stroke">{length} m</text>'
    )
    return (
        f'<path class="line" d="M{x:.2f},{-y:.2f}h{length}" stroke="var(--halo)" stroke-width="6"/>'
        f'<path class="line" d="M{x:.2f},{-y:.2f}h{length}" stroke="var(--ink)" '
        f'stroke-width="2.5"/>{_mark(x, y, words)}'
    )


def _gif(frames: list[np.ndarray], budget: int) -> bytes | None:
    """The largest of a few sizes of a GIF that fits the budget in bytes; None if none does."""
    for width_px, most, colours in ((320, 60, 64), (240, 48, 48), (160, 40, 32), (120, 24, 16)):
        stride = math.ceil(len(frames) / most)
        images = []
        for frame in frames[::stride]:
            image = Image.fromarray(np.ascontiguousarray(frame[..., :3], dtype=np.uint8))
            scale = min(1.0, width_px / image.width)
            size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
            images.append(image.resize(size).quantize(colours, dither=Image.Dither.NONE))
        buffer = io.BytesIO()
        duration = min(100 * stride, 400)
        images[0].save(
            buffer,
            "GIF",
            save_all=True,
            append_images=images[1:],
            duration=duration,
            loop=0,
            optimize=True,
        )
        if buffer.tell() * 4 // 3 <= budget:
            return buffer.getvalue()
    return None


def _clips(clips: dict[str, list[np.ndarray]]) -> str:
    shown = {caption: frames for caption, frames in clips.items() if len(frames)}
    figures = []
    for caption, frames in shown.items():
        data = _gif(list(frames), CLIPS_BYTES // len(shown))
        picture = (
            "<p>Too large to show.</p>"
            if data is None
            else (f'<img src="{_data("image/gif", data)}" alt="{_text(caption)}">')
        )
        figures.append(f"<figure>{picture}<figcaption>{_text(caption)}</figcaption></figure>")
    return f'<div class="clips">{"".join(figures)}</div>' if figures else ""


def _failures(episodes: dict[str, list[dict[str, Any]]], colour: dict[str, int]) -> str:
    """The failed episodes that got least far, worst first, taking the policies in turn."""
    queues = []
    for name, records in episodes.items():
        lost = sorted(
            (r for r in records if not r["success"]),
            key=lambda r: (r["rc"], -r["ct"], str(r["id"])),
        )
        queues.append([(name, r) for r in lost])
    turns = [queue[k] for k in range(FAILURES_LISTED) for queue in queues if k < len(queue)][
        :FAILURES_LISTED
    ]
    worst = sorted(turns, key=lambda item: (item[1]["rc"], -item[1]["ct"]))
    if not worst:
        return "<p>No episode failed.</p>" if any(episodes.values()) else ""
    rows = [
        "<tr><td "
        f'class="name">{_dot(colour[name])}{_text(name)}</td><td>{_text(r["scene"])}</td><td>{_text(r["id"])}</td>'
        f"<td>{_text(cause(r))}</td><td>{_number(r['rc'])}</td><td>{r['ct']:d}</td><td>{_text(r['end'])}</td>"
        f"<td>{_number(r['time_s'], 1)}</td>"
        f"<td>{_number(r['path_m'], 1)} / {_number(r['route_m'], 1)}</td></tr>"
        for name, r in worst
    ]
    return _sheet(
        ("policy", "scene", "episode", "cause", "RC", "CT", "end", "time, s", "driven / route, m"),
        rows,
    )


def _origins(origins: Mapping[str, Origin]) -> str:
    """Which run made each policy, when, by what command; the whole command unfolds."""
    items = []
    for name, origin in origins.items():
        lines = [
            origin.source,
            *([f"written {origin.when}"] if origin.when else []),
            *([origin.about] if origin.about else []),
        ]
        body = "".join(f"<div>{_text(line)}</div>" for line in lines)
        if origin.command:
            body += (
                f"<details><summary>{_text(origin.short)}</summary>with all options: "
                f"{_text(origin.command)}</details>"
            )
        else:
            body += "<div>by what command is not known</div>"
        items.append(f"<dt>{_text(name)}</dt><dd>{body}</dd>")
    return f'<div class="card"><dl>{"".join(items)}</dl></div>' if items else ""


def _conditions(
    summaries: Sequence[dict[str, Any]],
    episodes: dict[str, list[dict[str, Any]]],
    extra: dict[str, Any],
) -> str:
    def each(key: str) -> str:
        return ", ".join(dict.fromkeys(str(s[key]) for s in summaries)) or "–"

    count = {name: len(records) for name, records in episodes.items()}
    facts = {
        "scene": each("scene"),
        "benchmark version": each("version"),
        "seed": each("seed"),
        "episodes": ", ".join(f"{name} {n}" for name, n in count.items()) or "0",
        **extra,
    }
    items = "".join(f"<dt>{_text(key)}</dt><dd>{_text(value)}</dd>" for key, value in facts.items())
    return f'<div class="card"><dl>{items}</dl></div>'
