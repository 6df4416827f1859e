"""Small MP4s, posed videos and LeRobot datasets for tests."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

TICK = Fraction(1, 1000)


def picture(t: int, size=(64, 48)) -> np.ndarray:
    """Tells its number: 12 bits as dark and light bars over a picture that changes. (H, W, 3)
    uint8."""
    width, height = size
    image = np.full((height, width, 3), 90, np.uint8)
    image[: height // 4] = (t * 5) % 256
    for bit in range(12):
        a, b = bit * width // 12, (bit + 1) * width // 12
        image[height // 2 :, a:b] = 255 if t >> bit & 1 else 0
    return image


def number(image: np.ndarray) -> int:
    """What `picture` wrote."""
    height, width = image.shape[:2]
    bits = [image[3 * height // 4, (2 * b + 1) * width // 24].mean() > 127 for b in range(12)]
    return sum(1 << b for b, on in enumerate(bits) if on)


def write_mp4(
    path: Path, numbers, ms=None, codec="libx264", gop=10, options=None, size=(64, 48), turn=None
) -> None:
    """Pictures with some numbers at some times (milliseconds; default 100 ms apart from 0)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", format="mp4") as out:
        stream: Any = out.add_stream(codec, rate=10, options=options or {})
        stream.width, stream.height, stream.gop_size = *size, gop
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        stream.codec_context.time_base = TICK
        if turn is not None:
            stream.set_display_rotation(turn)
        for t, n in enumerate(numbers):
            frame = av.VideoFrame.from_ndarray(picture(n, size), format="rgb24")
            frame.pts, frame.time_base = (100 * t if ms is None else ms[t]), TICK
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
