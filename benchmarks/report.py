"""The benchmark's report: one HTML file that needs nothing else, readable in light and dark."""

import base64
import io
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from s2e.benchmarks.failures import CAUSES, cause, finite_path
from s2e.benchmarks.metrics import (
    MEANS,
    SOCIAL_HEADS,
    Difference,
    all_settings,
    learned_first,
    planner_words,
    signed,
    verdict,
)
from s2e.benchmarks.origins import Origin
from s2e.benchmarks.social import SECONDS, SHARES
from s2e.core.files import write_whole
from s2e.core.templates import fill
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


@dataclass(frozen=True)
class Cell:
    """A cell of a table: its text, the interval beside it, its CSS classes, the colour of its
    dot.
    """

    text: Any
    interval: str = ""
    kind: str = ""
    dot: int | None = None


@dataclass(frozen=True)
class Table:
    """A table's heading, and its rows: cells, or the title of a group of rows."""

    head: Sequence[str]
    rows: Sequence[Sequence[Cell] | str] = ()


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
    sheets = {
        "results": _results(summaries, colour, compared),
        "differences": _differences(compared),
        "scenes": _by_scene(episodes, grounds, colour),
        "situations": _situations(summaries, colour),
        "causes": _causes(summaries, colour),
        "worst": _failures(episodes, colour),
    }
    text = fill(
        Path(__file__).with_name("report.html"),
        css=Path(__file__).with_name("report.css").read_text(encoding="utf-8"),
        light=LIGHT,
        dark=DARK,
        paint=lambda index: f"var(--c{index % len(LIGHT)})",
        scene=scene,
        colour=colour,
        driven={name: colour[name] for name in labels},
        lead=_lead(summaries, compared),
        planners=[w[0].upper() + w[1:] for w in map(planner_words, summaries) if w],
        learned=sum(s["learned"] for s in summaries),
        bounds=not all(s["learned"] for s in summaries),
        charts=_charts(summaries, colour),
        pictures=_pictures(summaries, episodes, grounds, colour),
        meanings={name: CAUSES[name] for name in sheets["causes"].head[2:]},
        clips=_clips(clips),
        any_episode=any(episodes.values()),
        origins=origins or {},
        conditions=_conditions(summaries, episodes, extra),
        **sheets,
    )
    write_whole(Path(path), text.encode(errors="replace"))


def _number(value: Any, digits: int = 2) -> str:
    return f"{value:.{digits}f}" if isinstance(value, int | float) and math.isfinite(value) else "–"


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
        f"{s['policy']} {_number(over_all(s))}" for s in sorted(learned, key=over_all, reverse=True)
    )
    pairs = [d for d in compared if d.setting == "all"]
    # of many, the first with each other
    said = pairs if len(learned) <= 3 else pairs[: len(learned) - 1]
    return " ".join([f"Success over all settings: {shares}.", *(f"{verdict(d)}." for d in said)])


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


def _interval(values: Sequence[float], shown: Callable[[float], str]) -> str:
    return f"[{shown(values[0])}, {shown(values[1])}]"


def _name(summary: dict[str, Any], colour: dict[str, int]) -> Cell:
    name = str(summary["policy"])
    return Cell(name, kind="name" if summary["learned"] else "name bound", dot=colour[name])


def _results(
    summaries: Sequence[dict[str, Any]], colour: dict[str, int], compared: Sequence[Difference]
) -> Table:
    rows = []
    for setting in all_settings(summaries):
        here = [s for s in summaries if setting in s["settings"]]
        leaders = _leaders(here, setting, compared)
        rows.append(setting)
        for summary in here:
            entry = summary["settings"][setting]
            cells = [_name(summary, colour), Cell(entry["episodes"])]
            for key in ("sr", *MEANS):
                best = key == "sr" and str(summary["policy"]) in leaders
                interval = _interval(entry[f"{key}_ci95"], _number)
                cells.append(Cell(_number(entry[key]), interval, "best" if best else ""))
            rows.append(cells)
    return Table(("policy", "episodes", "SR", "RC", "CT", "SPL", "SNS"), rows)


def _differences(compared: Sequence[Difference]) -> Table:
    """One row a pair, one column a setting; what is not told apart is grey."""
    settings = list(dict.fromkeys(d.setting for d in compared))
    found = {(d.a, d.b, d.setting): d for d in compared}

    def cell(d: Difference | None) -> Cell:
        if d is None:
            return Cell("–")
        kind = "best" if d.apart else "same"
        return Cell(signed(d.difference), _interval(d.ci95, signed), kind)

    rows = [
        [Cell(f"{a} minus {b}", kind="name"), *(cell(found.get((a, b, s))) for s in settings)]
        for a, b in dict.fromkeys((d.a, d.b) for d in compared)
    ]
    return Table(("policies", *settings), rows)


def _causes(summaries: Sequence[dict[str, Any]], colour: dict[str, int]) -> Table:
    """Why episodes failed: counts a policy and setting."""
    found = [
        name
        for name in CAUSES
        if any(name in e["failures"] for s in summaries for e in s["settings"].values())
    ]
    rows = []
    for setting in all_settings(summaries) if found else ():
        rows.append(setting)
        for summary in (s for s in summaries if setting in s["settings"]):
            entry = summary["settings"][setting]
            lost = f"{sum(entry['failures'].values())} of {entry['episodes']}"
            counts = [Cell(entry["failures"].get(name, 0) or "·") for name in found]
            rows.append([_name(summary, colour), Cell(lost), *counts])
    return Table(("policy", "failed", *found), rows)


def _by_scene(
    episodes: dict[str, list[dict[str, Any]]], grounds: Mapping[str, Any], colour: dict[str, int]
) -> Table:
    """Success rates of all settings together, one column a scene; nothing where there is only one
    scene.
    """
    rows = []
    for name, records in episodes.items() if len(grounds) > 1 else ():
        cells = [Cell(name, kind="name", dot=colour[name])]
        for scene in grounds:
            mine = [bool(r["success"]) for r in records if r["scene"] == scene]
            cells.append(Cell(_number(sum(mine) / len(mine)) if mine else "–"))
        rows.append(cells)
    return Table(("policy", *(scene.split("/")[-1] for scene in grounds)), rows)


def _situations(summaries: Sequence[dict[str, Any]], colour: dict[str, int]) -> Table:
    """What was judged in situations: one group of rows a kind, one row a policy."""
    names = list(dict.fromkeys(name for s in summaries for name in s.get("social", {})))
    rows = []
    for name in names:
        rows.append(name)
        for summary in (s for s in summaries if name in s.get("social", {})):
            entry = summary["social"][name]
            cells = [_name(summary, colour), Cell(entry["episodes"])]
            cells.append(Cell(_number(entry["sr"]), _interval(entry["sr_ci95"], _number)))
            cells += [Cell(_number(entry[key])) for key in ("ct", *SHARES, *SECONDS)]
            rows.append(cells)
    return Table(("policy", "episodes", "SR", "CT", *SOCIAL_HEADS), rows)


def _charts(summaries: Sequence[dict[str, Any]], colour: dict[str, int]) -> list[dict[str, Any]]:
    """Bars of SR with whiskers, one chart per setting, drawn pixel for pixel: its text is no
    smaller on a phone.
    """
    left, top, height, widest = 36, 18, 150, 320
    pitch = min(46.0, (widest - left - 16) / max(len(summaries), 1))
    width = max(150, round(left + 16 + pitch * len(summaries)))
    ticks = [(f"{t:g}", top + height * (1 - t)) for t in (0.0, 0.25, 0.5, 0.75, 1.0)]
    charts = []
    for setting in all_settings(summaries):
        here = [s for s in summaries if setting in s["settings"]]
        bars = []
        for k, summary in enumerate(here):
            x = (left + width) / 2 + (k - (len(here) - 1) / 2) * pitch
            bar = _bar(x, max(2.0, min(26.0, pitch - 2)), top, height, summary, setting)
            bar["label"] = bar["label"] if pitch >= 30 else ""
            bars.append(bar | {"colour": colour[str(summary["policy"])]})
        chart = {"setting": setting, "left": left, "width": width, "height": top + height + 6}
        charts.append(chart | {"ticks": ticks, "bars": bars})
    return charts


def _bar(
    x: float, wide: float, top: int, height: int, summary: dict[str, Any], setting: str
) -> dict[str, Any]:
    """A policy's bar around x, `wide` pixels, below `top`."""
    entry = summary["settings"][setting]
    tall = height * entry["sr"]
    low, high = (top + height * (1 - v) for v in entry["sr_ci95"])
    base, radius, cap = top + height, min(4.0, wide / 2, tall), min(4.0, wide / 3)
    shape = (
        f"M{x - wide / 2:.1f},{base}v{-(tall - radius):.1f}"
        f"q0,{-radius:.1f} {radius:.1f},{-radius:.1f}h{wide - 2 * radius:.1f}"
        f"q{radius:.1f},0 {radius:.1f},{radius:.1f}v{tall - radius:.1f}z"
    )
    whisker = (
        f"M{x:.1f},{low:.1f}V{high:.1f}M{x - cap:.1f},{high:.1f}h{2 * cap:.1f}"
        f"M{x - cap:.1f},{low:.1f}h{2 * cap:.1f}"
    )
    interval = _interval(entry["sr_ci95"], "{:.2f}".format)
    return {
        "title": f"{summary['policy']}: {entry['sr']:.2f} {interval}",
        "learned": summary["learned"],
        "shape": shape,
        "whisker": whisker,
        "x": x,
        "label": f"{entry['sr']:.2f}",
        "label_y": high - 4,
    }


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
) -> dict[str, str]:
    """An image in metres, y down, of the part of the scene within the box."""
    if background is None:
        picture = np.zeros((*occupancy.grid.shape, 4), dtype=np.uint8)
        # free ground stays clear: the theme shines through
        picture[occupancy.grid] = (138, 137, 131, 255)
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
    return {
        "x": f"{x0 + left / width * metres_x:.3f}",
        "y": f"{-(y0 + metres_y) + top / height * metres_y:.3f}",
        "width": f"{(right - left) / width * metres_x:.3f}",
        "height": f"{(bottom - top) / height * metres_y:.3f}",
        "href": _data("image/png", buffer.getvalue()),
    }


def _data(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def _pictures(
    summaries: Sequence[dict[str, Any]],
    episodes: dict[str, list[dict[str, Any]]],
    grounds: Mapping[str, tuple[Occupancy, np.ndarray | None]],
    colour: dict[str, int],
) -> list[dict[str, Any]]:
    """Every scene from above, with a panel for each setting that shows some episodes' paths."""
    settings, pictures = all_settings(summaries), []
    most = EPISODES_DRAWN if len(grounds) == 1 else EPISODES_DRAWN_EACH
    for k, (scene, (occupancy, background)) in enumerate(grounds.items()):
        if not settings or not any(episodes.values()):
            break
        here = {
            name: [r for r in records if r["scene"] == scene] for name, records in episodes.items()
        }
        box = _extent(here, occupancy)
        wide, tall = box[2] - box[0], box[3] - box[1]
        columns = 1 if wide > 1.6 * tall or len(settings) == 1 else 2
        unit = max(wide, tall * 1.2) / (1000 if columns == 1 else 500)  # metres a pixel, about
        sides = (f"{box[0]:.2f}", f"{-box[3]:.2f}", f"{wide:.2f}", f"{tall:.2f}")
        picture = {
            "scene": scene,
            "anchor": f"ground{k}",
            "columns": columns,
            "unit": f"{unit:.4g}",
            "view": " ".join(sides),
            "veil": sides if background is not None else None,
            "scale": _scale_bar(box, unit),
            "image": _ground(occupancy, background, box),
            "parts": [_panel(setting, here, colour, most) for setting in settings],
        }
        pictures.append(picture)
    return pictures


def _panel(
    setting: str, episodes: dict[str, list[dict[str, Any]]], colour: dict[str, int], most: int
) -> dict[str, Any]:
    """What is drawn of a setting: at most `most` episodes of each policy."""
    mine = {n: [r for r in records if r["setting"] == setting] for n, records in episodes.items()}
    total = max(len(records) for records in mine.values())
    drawn = {colour[name]: records[:most] for name, records in mine.items()}
    everything = [r for records in drawn.values() for r in records]
    return {
        "setting": setting,
        "title": setting + ("" if total <= most else f" ({most} of {total} episodes drawn)"),
        "paths": [(i, [line for r in rs if (line := _line(r))]) for i, rs in drawn.items()],
        "contacts": [(i, [mark for r in rs for mark in _contacts(r)]) for i, rs in drawn.items()],
        "ends": dict.fromkeys((tuple(r["start"][:2]), tuple(r["goal"][:2])) for r in everything),
    }


def _line(record: dict[str, Any]) -> dict[str, Any] | None:
    """An episode's path, in metres, y down."""
    points = finite_path(record)
    if len(points) == 0:
        return None
    keep = np.unique(
        np.linspace(0, len(points) - 1, min(len(points), POINTS_DRAWN)).round().astype(int)
    )
    line = "M" + "L".join(f"{x:.2f},{-y:.2f}" for x, y in points[keep])
    return {"d": line, "success": record["success"], "id": record["id"]}


def _contacts(record: dict[str, Any]) -> list[tuple[str, float, float]]:
    """Kind and place of an episode's contacts, placed on its path by their times."""
    points, marks = finite_path(record), []
    if len(points) == 0:
        return []
    for time_s, kind in record.get("contacts", [])[:20]:
        share = min(max(time_s / record["time_s"], 0.0), 1.0) if record["time_s"] > 0 else 0.0
        at = share * (len(points) - 1)
        x, y = (float(np.interp(at, np.arange(len(points)), points[:, d])) for d in (0, 1))
        marks.append((kind, x, y))
    return marks


def _scale_bar(box: tuple[float, float, float, float], unit: float) -> dict[str, Any]:
    length = max(v for v in (1, 2, 5, 10, 20, 50, 100) if v <= max(1.0, (box[2] - box[0]) / 3))
    x, y = box[0] + 12 * unit, box[1] + 12 * unit
    return {"length": length, "x": x, "y": y, "d": f"M{x:.2f},{-y:.2f}h{length}"}


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


def _clips(clips: dict[str, list[np.ndarray]]) -> dict[str, str]:
    """Caption to picture; none where the film is too large to show."""
    shown = {caption: frames for caption, frames in clips.items() if len(frames)}
    films = {c: _gif(list(frames), CLIPS_BYTES // len(shown)) for c, frames in shown.items()}
    return {c: "" if data is None else _data("image/gif", data) for c, data in films.items()}


def _failures(episodes: dict[str, list[dict[str, Any]]], colour: dict[str, int]) -> Table:
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
    rows = []
    for name, r in worst:
        way = f"{_number(r['path_m'], 1)} / {_number(r['route_m'], 1)}"
        words = (r["scene"], r["id"], cause(r), _number(r["rc"]), r["ct"], r["end"])
        cells = map(Cell, (*words, _number(r["time_s"], 1), way))
        rows.append([Cell(name, kind="name", dot=colour[name]), *cells])
    head = ("policy", "scene", "episode", "cause", "RC", "CT", "end", "time, s")
    return Table((*head, "driven / route, m"), rows)


def _conditions(
    summaries: Sequence[dict[str, Any]],
    episodes: dict[str, list[dict[str, Any]]],
    extra: dict[str, Any],
) -> dict[str, Any]:
    def each(key: str) -> str:
        return ", ".join(dict.fromkeys(str(s[key]) for s in summaries)) or "–"

    return {
        "scene": each("scene"),
        "benchmark version": each("version"),
        "seed": each("seed"),
        "episodes": ", ".join(f"{name} {len(r)}" for name, r in episodes.items()) or "0",
        **extra,
    }
