"""Small drawing helpers over Pillow, and the picture that goes with a refusal."""

import contextlib
import os
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from s2e.envs.geometry.scene import Splats
from s2e.envs.scan.ground.clean import clean
from s2e.envs.scan.ground.floor import Floor
from s2e.envs.scan.plan import DOWN, NORTH, WEST, parallel_view
from s2e.envs.splats.transform import Placement, place, select, upright
from s2e.envs.warm import stamp_of_sources

PAPER = (250, 249, 246)
INK = (40, 40, 44)
FAINT = (150, 150, 155)
RED = (214, 39, 40)


def font(size: int = 14) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Pillow's own font."""
    return ImageFont.load_default(size)


@contextlib.contextmanager
def compiling() -> Iterator[None]:
    """Around the first drawing: says that kernels are compiled, unless splats were drawn before
    with these sources.
    """
    mark = stamp_of_sources().with_suffix(".drawn")
    if mark.exists() or not os.access(mark.parent, os.W_OK):
        yield
        return
    print(
        "compiling kernels, once for this version: half a minute or so", file=sys.stderr, flush=True
    )
    yield
    mark.touch()


def ticks(low: float, high: float, most: int = 10) -> np.ndarray:
    """Round numbers from low to high, at most `most` of them: 1, 2 or 5 times a power of ten
    apart.
    """
    rough = max(high - low, 1e-12) / most
    power = 10.0 ** np.floor(np.log10(rough))
    step = next(f * power for f in (1.0, 2.0, 5.0, 10.0) if f * power >= rough * (1 - 1e-9))
    # never -0
    return np.arange(np.ceil(low / step - 1e-9), np.floor(high / step + 1e-9) + 1) * step + 0.0


def axes(
    draw: ImageDraw.ImageDraw,
    box: tuple[int, int, int, int],
    low: tuple[float, float],
    high: tuple[float, float],
) -> None:
    """A frame around pixels `box` (left, top, right, bottom) with ticks and numbers of x below and
    y on the left.
    """
    left, top, right, bottom = box
    draw.rectangle((left - 1, top - 1, right, bottom), outline=INK)
    small = font(12)
    for value in ticks(low[0], high[0]):
        x = left + (value - low[0]) / (high[0] - low[0]) * (right - left)
        draw.line((x, bottom, x, bottom + 5), fill=INK)
        draw.text((x, bottom + 7), f"{value:g}", fill=INK, font=small, anchor="mt")
    for value in ticks(low[1], high[1]):
        y = bottom - (value - low[1]) / (high[1] - low[1]) * (bottom - top)
        draw.line((left - 6, y, left - 1, y), fill=INK)
        draw.text((left - 8, y), f"{value:g}", fill=INK, font=small, anchor="rm")


def draw_refusal(path: Path, splats: Splats, floor: Floor | None, reason: str) -> None:
    """Draws a capture from above and from two sides, with the plane that was found, if any, in red,
    and the reason below.

    Args:
        path: the PNG to write.
        splats: the capture in its own units.
        floor: what was found; None draws along the file's axes.
        reason: why it was refused.
    """
    kept = clean(splats) == 0
    shown = select(splats, kept if kept.sum() > 100 else splats.opacities > 0.05)
    rotation = np.eye(3) if floor is None else upright(floor.normal)
    shown = place(shown, Placement(1.0, rotation, np.zeros(3)))
    solid = (
        shown.means[shown.opacities > 0.2] if (shown.opacities > 0.2).sum() > 100 else shown.means
    )
    low, high = (
        np.quantile(
            solid[:: max(len(solid) // 500_000, 1)].astype(np.float64), (0.005, 0.995), axis=0
        )
        if len(solid)
        else (np.zeros(3), np.ones(3))
    )
    if floor is not None:
        low[2], high[2] = min(low[2], floor.offset), max(high[2], floor.offset)
    size = max(float((high - low).max()) * 1.1, 1e-6)
    centre, side, gap = (low + high) / 2, 380, 62
    lines = textwrap.wrap(reason, 150, break_long_words=False, break_on_hyphens=False)
    image = Image.new("RGB", (3 * (side + gap) + 20, side + 100 + 18 * len(lines)), PAPER)
    draw = ImageDraw.Draw(image)
    names = ("x", "y", "z") if floor is None else ("across", "along", "up")
    for k, (title, view, a, b) in enumerate(
        (("from above", DOWN, 0, 1), ("from the front", NORTH, 0, 2), ("from the side", WEST, 1, 2))
    ):
        left, top = gap + k * (side + gap), 40
        if len(shown.means):
            image.paste(
                Image.fromarray(
                    parallel_view(
                        shown, centre, view, side / size, side, side, (225.0, 228.0, 232.0)
                    )
                ),
                (left, top),
            )
        frame_low = float(centre[a] - size / 2), float(centre[b] - size / 2)
        axes(
            draw,
            (left, top, left + side, top + side),
            frame_low,
            (frame_low[0] + size, frame_low[1] + size),
        )
        draw.text(
            (left, 20),
            f"{title}: {names[a]} and {names[b]}, units of the file",
            fill=INK,
            font=font(14),
            anchor="lm",
        )
        if floor is not None and b == 2:
            y = top + side - (floor.offset - frame_low[1]) / size * side
            draw.line((left, y, left + side, y), fill=RED, width=2)
    for k, line in enumerate(lines):
        draw.text((gap, side + 78 + 18 * k), line, fill=RED, font=font(14))
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)
