"""What walks are like, in numbers and in one picture: speeds, curves, lengths, turns, where goals
lie, what the camera saw.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

from s2e.core.errors import UserError
from s2e.core.observation import to_robot, wrapped
from s2e.video.walk import Walk

GOAL_S, TURNING_RADPS, MOVING_MPS, SPAN_S = 5.0, 0.2, 0.2, 0.5
PAPER = (250, 249, 246)
INK = (40, 40, 44)
FAINT = (130, 130, 136)
GRID = (226, 224, 218)
COLOURS = (
    (38, 98, 160),
    (214, 110, 20),
    (40, 140, 80),
    (180, 50, 90),
    (120, 80, 170),
    (110, 110, 40),
)
"""Of datasets, in turn."""
FEW = 30  # values: fewer make no distribution, and are drawn in grey
WIDTH, MARGIN, HISTOGRAM, COLUMNS = 1500, 40, 230, 3


@dataclass(frozen=True)
class Quantity:
    """Something measured: its title with the unit, the range that is drawn, and how its numbers are
    printed.
    """

    title: str
    low: float
    high: float
    bins: int


QUANTITIES = {
    "speed": Quantity("speed, m/s", 0.0, 0.0, 40),
    "curvature": Quantity("curvature while moving, 1/m", -2.0, 2.0, 41),
    "goal": Quantity(
        f"bearing of the goal {GOAL_S:g} s ahead, degrees (left +)", -180.0, 180.0, 45
    ),
    "length": Quantity("length of a walk, m", 0.0, 0.0, 30),
    "duration": Quantity("duration of a walk, s", 0.0, 0.0, 30),
    "turning": Quantity(f"share of a walk spent turning (> {TURNING_RADPS:g} rad/s)", 0.0, 1.0, 25),
}
"""What is measured; a range of 0 to 0 follows the data."""


def measure(walks: Sequence[Walk]) -> dict[str, np.ndarray]:
    """Numbers of some walks, by the keys of `QUANTITIES`: one a frame (speed, curvature, goal), one
    a walk (length, duration, turning).

    Speeds and turns are over `SPAN_S` seconds, so that noise of the poses does not count as motion.
    """
    parts: dict[str, list[np.ndarray]] = {name: [] for name in QUANTITIES}
    for walk in walks:
        span = min(max(1, round(SPAN_S * walk.hz)), len(walk) - 1)
        dt = walk.times[span:] - walk.times[:-span]
        pose = np.concatenate([walk.position, walk.yaw[:, None]], 1)
        speed = np.linalg.norm(walk.position[span:] - walk.position[:-span], axis=1) / dt
        omega = wrapped(walk.yaw[span:] - walk.yaw[:-span]) / dt
        moving = speed > MOVING_MPS
        goal_at = np.searchsorted(walk.times, walk.times + GOAL_S - 1e-6)
        here = np.flatnonzero(goal_at < len(walk))
        goal = to_robot(walk.position[goal_at[here]], pose[here])
        far = np.linalg.norm(goal, axis=1) > SPAN_S * MOVING_MPS
        length = np.linalg.norm(np.diff(walk.position, axis=0), axis=1).sum()
        parts["speed"].append(speed)
        parts["curvature"].append(omega[moving] / speed[moving])
        parts["goal"].append(np.degrees(np.arctan2(goal[far, 1], goal[far, 0])))
        parts["length"].append(np.array([length]))
        parts["duration"].append(np.array([walk.times[-1] - walk.times[0]]))
        parts["turning"].append(np.array([(np.abs(omega) > TURNING_RADPS).mean()]))
    return {name: np.concatenate(values) for name, values in parts.items()}


def table(measured: Mapping[str, Mapping[str, np.ndarray]]) -> list[str]:
    """Lines of text: of each dataset and quantity the number of values and the quantiles."""
    wide = max(8, *(len(name) for name in measured)) + 2
    lines = [f"{'':{wide}}{'':58}{'values':>9}{'5 %':>9}{'median':>9}{'95 %':>9}{'most':>9}"]
    for name, values in measured.items():
        for key, quantity in QUANTITIES.items():
            x = values[key]
            numbers = (
                [*np.quantile(x, [0.05, 0.5, 0.95]), x[np.argmax(np.abs(x))]]
                if len(x)
                else [float("nan")] * 4
            )
            lines.append(
                f"{name:{wide}}{quantity.title:58}{len(x):9d}"
                + "".join(f"{n:9.2f}" for n in numbers)
            )
    return lines


def draw(
    datasets: Mapping[str, Sequence[Walk]],
    measured: Mapping[str, Mapping[str, np.ndarray]],
    out: Path,
) -> None:
    """Draws histograms, sample frames and paths of datasets into one picture, each dataset in a
    colour of its own.

    Raises:
        UserError: it cannot be written, or a frame cannot be read.
    """
    if out.suffix.lower() not in (".png", ".jpg", ".jpeg", ".webp"):
        raise UserError(f"{out}: a picture is written; give --out a name that ends in .png")
    sheet, paths = _contact_sheet(datasets), 560
    top = 72 + 24 * len(datasets)
    below = top + 2 * (HISTOGRAM + 70)
    height = below + max(sheet.height + 40, paths) + MARGIN
    image = Image.new("RGB", (WIDTH, height), PAPER)
    pen = ImageDraw.Draw(image)
    _legend(pen, datasets)
    cell = (WIDTH - 2 * MARGIN) // COLUMNS
    for i, (key, quantity) in enumerate(QUANTITIES.items()):
        left, upper = MARGIN + cell * (i % COLUMNS), top + (HISTOGRAM + 70) * (i // COLUMNS)
        _histogram(
            pen,
            (left, upper + 24, left + cell - 36, upper + HISTOGRAM),
            quantity,
            [m[key] for m in measured.values()],
        )
    pen.text((MARGIN, below), "frames", fill=INK, font=_font(15))
    image.paste(sheet, (MARGIN, below + 26))
    _paths(
        pen, (WIDTH - MARGIN - paths + 40, below + 26, WIDTH - MARGIN, below + paths - 14), datasets
    )
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        image.save(out)
    except OSError as error:
        raise UserError(
            f"{out}: cannot be written ({error.strerror or error}); give another --out"
        ) from None


def _legend(pen: ImageDraw.ImageDraw, datasets: Mapping[str, Sequence[Walk]]) -> None:
    pen.text((MARGIN, 18), "Navigation video", fill=INK, font=_font(22))
    for i, (name, walks) in enumerate(datasets.items()):
        y = 60 + 24 * i
        minutes = sum(w.times[-1] - w.times[0] for w in walks) / 60
        km = sum(np.linalg.norm(np.diff(w.position, axis=0), axis=1).sum() for w in walks) / 1000
        text = (
            f"{name}: {len(walks):,} walks, {sum(map(len, walks)):,} frames, {minutes:,.1f} "
            f"min, {km:,.2f} km"
        )
        pen.rectangle((MARGIN, y, MARGIN + 14, y + 14), fill=COLOURS[i % len(COLOURS)])
        pen.text((MARGIN + 22, y - 2), text, fill=INK, font=_font(15))


def _histogram(
    pen: ImageDraw.ImageDraw,
    box: tuple[int, int, int, int],
    quantity: Quantity,
    values: Sequence[np.ndarray],
) -> None:
    left, top, right, bottom = box
    low, high = quantity.low, quantity.high
    if low == high:
        low = 0.0
        high = _rounded_up(
            max((float(np.quantile(v, 0.995)) for v in values if len(v)), default=1.0)
        )
    counts = []
    for v in values:
        inside = np.clip(v, low, high)  # what lies beyond is drawn in the last bin, not forgotten
        counts.append(np.histogram(inside, quantity.bins, (low, high))[0] / max(1, len(v)))
    most = max(max(float(c.max()) for c in counts), 1e-9)
    pen.text((left, top - 24), quantity.title, fill=INK, font=_font(15))
    for tick in _ticks(low, high):
        x = left + (tick - low) / (high - low) * (right - left)
        pen.line((x, top, x, bottom), fill=GRID)
        pen.text((x, bottom + 5), f"{tick:g}", fill=FAINT, font=_font(12), anchor="mt")
    edges = left + np.arange(quantity.bins + 1) / quantity.bins * (right - left)
    for i, share in enumerate(counts):
        level = bottom - share / most * (bottom - top - 6)
        colour = FAINT if len(values[i]) < FEW else COLOURS[i % len(COLOURS)]
        if len(counts) == 1:
            for a, b, y in zip(edges[:-1], edges[1:], level, strict=True):
                pen.rectangle((a, min(y, bottom), b - 1, bottom), fill=colour)
        else:
            line = np.stack(
                [np.repeat(edges, 2), np.concatenate([[bottom], np.repeat(level, 2), [bottom]])], 1
            )
            pen.line([(float(x), float(y)) for x, y in line], fill=colour, width=2)
    pen.line((left, bottom, right, bottom), fill=INK)
    few = f" (grey: under {FEW})" if any(len(v) < FEW for v in values) else ""
    text = f"{', '.join(f'{len(v):,}' for v in values)} values{few}, fullest bin {100 * most:.0f} %"
    pen.text((right, bottom + 22), text, fill=FAINT, font=_font(12), anchor="rt")


def _contact_sheet(
    datasets: Mapping[str, Sequence[Walk]], columns: int = 5, wide: int = 168
) -> Image.Image:
    """Frames from walks spread over every dataset, whole rows for each, framed in its colour."""
    shown = []
    for i, walks in enumerate(datasets.values()):
        rows = max(1, (3 if _upright(walks[0]) else 5) // len(datasets))
        for n, place in enumerate(
            np.linspace(0, len(walks) - 1, columns * rows).round().astype(int)
        ):
            walk = walks[place]
            # spread over the walks' times as well
            t = round((0.15 + 0.7 * ((n * 0.618) % 1.0)) * (len(walk) - 1))
            (frame,) = walk.frames.images([t])
            shown.append((Image.fromarray(frame), COLOURS[i % len(COLOURS)]))
    rows = [shown[i : i + columns] for i in range(0, len(shown), columns)]
    tall = [max(min(wide, round(wide * im.height / im.width)) for im, _ in row) for row in rows]
    image = Image.new("RGB", (columns * (wide + 6), sum(tall) + 6 * len(rows)), PAPER)
    top = 0
    for row, high in zip(rows, tall, strict=True):
        for column, (frame, colour) in enumerate(row):
            frame = ImageOps.contain(frame, (wide - 4, high - 4))
            x = column * (wide + 6) + (wide - 4 - frame.width) // 2
            y = top + (high - 4 - frame.height) // 2
            image.paste(colour, (x, y, x + frame.width + 4, y + frame.height + 4))
            image.paste(frame, (x + 2, y + 2))
        top += high + 6
    return image


def _upright(walk: Walk) -> bool:
    (frame,) = walk.frames.images([0])
    return frame.shape[0] > 0.8 * frame.shape[1]


def _paths(
    pen: ImageDraw.ImageDraw,
    box: tuple[int, int, int, int],
    datasets: Mapping[str, Sequence[Walk]],
    most: int = 200,
) -> None:
    """Paths from above, whole, all from one dot and headed up."""
    left, top, right, bottom = box
    ways = []
    for i, walks in enumerate(datasets.values()):
        for place in np.unique(
            np.linspace(0, len(walks) - 1, min(most, len(walks))).round().astype(int)
        ):
            walk = walks[place]
            start = np.concatenate([walk.position[0], walk.yaw[:1]])
            ways.append((i, to_robot(walk.position, start)))
    # (P, 2) metres ahead and to the left; each way begins at 0, 0
    points = np.concatenate([way for _, way in ways])
    low, high = points[:, 0].min(), points[:, 0].max()
    scale = 0.94 * min(
        (right - left) / (2 * max(np.abs(points[:, 1]).max(), 0.5)),
        (bottom - top) / max(high - low, 1.0),
    )
    reach = (right - left) / (2 * scale)
    x0, y0 = (left + right) / 2, (top + bottom) / 2 + (low + high) / 2 * scale
    pen.text(
        (left, top - 26),
        "paths from above, all headed up from the dot, metres",
        fill=INK,
        font=_font(15),
    )
    pen.rectangle(box, fill=(255, 255, 255), outline=GRID)
    ticks = _ticks(-reach, reach)
    step = ticks[1] - ticks[0]
    for tick in ticks:
        x = x0 + tick * scale
        pen.line((x, top, x, bottom), fill=GRID)
        pen.text((x, bottom + 5), f"{0.0 - tick:g}", fill=FAINT, font=_font(12), anchor="mt")
    for tick in (
        np.arange(np.ceil((y0 - bottom) / scale / step), np.floor((y0 - top) / scale / step) + 1)
        * step
        + 0.0
    ):
        y = y0 - tick * scale
        pen.line((left, y, right, y), fill=GRID)
        pen.text((left - 6, y), f"{tick:g}", fill=FAINT, font=_font(12), anchor="rm")
    for i, way in sorted(ways, key=lambda w: len(w[1])):
        pen.line(
            [(x0 - y * scale, y0 - x * scale) for x, y in way.tolist()],
            fill=_faded(COLOURS[i % len(COLOURS)]),
            width=2,
        )
    pen.ellipse((x0 - 4, y0 - 4, x0 + 4, y0 + 4), fill=INK)


def _faded(colour: tuple[int, int, int]) -> tuple[int, int, int]:
    r, g, b = ((c + 255) // 2 for c in colour)
    return r, g, b


def _rounded_up(value: float) -> float:
    power = 10.0 ** np.floor(np.log10(max(value, 1e-6)))
    return float(
        power * next(f for f in (1, 1.5, 2, 3, 4, 5, 6, 8, 10) if f * power >= value * (1 - 1e-9))
    )


def _ticks(low: float, high: float, most: int = 8) -> np.ndarray:
    """Round numbers from low to high; angles go by 60 degrees."""
    if high == 180.0:
        return np.arange(-180, 181, 60)
    rough = (high - low) / most
    power = 10.0 ** np.floor(np.log10(rough))
    step = next(f * power for f in (1, 2, 5, 10) if f * power >= rough * (1 - 1e-9))
    return np.arange(np.ceil(low / step - 1e-9), np.floor(high / step + 1e-9) + 1) * step + 0.0


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
