"""Pixels of ROS images: the encodings of sensor_msgs/Image that show something a policy can see, as
RGB. What else reads them (rosbags-image, cv_bridge) needs OpenCV.
"""

import io
import warnings

import numpy as np
from PIL import Image

from s2e.video.frames import MAX_PIXELS
from s2e.video.readers.ros_messages import RawImage

_ORDER: dict[str, tuple[int, list[int]]] = {
    "rgb8": (3, [0, 1, 2]),
    "bgr8": (3, [2, 1, 0]),
    "rgba8": (4, [0, 1, 2]),
    "bgra8": (4, [2, 1, 0]),
    "mono8": (1, [0, 0, 0]),
    "8UC1": (1, [0, 0, 0]),
    "8UC3": (3, [2, 1, 0]),  # OpenCV's own types come from OpenCV, whose colours are blue first
    "8UC4": (4, [2, 1, 0]),
}
"""Bytes a pixel, and which of them are red, green and blue."""

_YUV: dict[str, list[int]] = {
    "yuv422": [1, 0, 3, 2],
    "uyvy": [1, 0, 3, 2],
    "yuv422_yuy2": [0, 1, 2, 3],
    "yuyv": [0, 1, 2, 3],
}
"""Which of a pair of pixels' four bytes are the first luma, blue, the second luma, red."""

ENCODINGS = (*_ORDER, *_YUV, "mono16")


def check(image: RawImage) -> None:
    """Refuses what `rgb` cannot show.

    Raises:
        ValueError: an encoding that is not in `ENCODINGS`, an impossible size, or data of another
            length than its rows need.
    """
    if image.encoding not in ENCODINGS:
        raise ValueError(f"encoding {image.encoding[:40]!r} is not one of {', '.join(ENCODINGS)}")
    if not 0 < image.height * image.width <= MAX_PIXELS:
        raise ValueError(f"{image.width} x {image.height} pixels")
    if image.encoding in _YUV and image.width % 2:
        raise ValueError(f"{image.encoding} of an odd width, {image.width}")
    row = image.width * (_ORDER[image.encoding][0] if image.encoding in _ORDER else 2)
    if image.step < row:
        raise ValueError(f"step {image.step} is shorter than a row of {row} bytes")
    if len(image.data) != image.step * image.height:
        raise ValueError(
            f"{len(image.data)} bytes of data; {image.height} rows of step {image.step} are "
            f"{image.step * image.height}"
        )


def rgb(image: RawImage) -> np.ndarray:
    """A `check`ed image as (H, W, 3) uint8 RGB."""
    # what is beyond the width pads the row
    rows = np.frombuffer(image.data, dtype=np.uint8).reshape(image.height, image.step)
    if image.encoding in _YUV:
        return _from_yuv(
            rows[:, : 2 * image.width].reshape(image.height, -1, 4)[..., _YUV[image.encoding]]
        )
    if image.encoding == "mono16":
        high = rows[:, : 2 * image.width].reshape(image.height, image.width, 2)[
            ..., 0 if image.big_endian else 1
        ]
        return np.repeat(high[..., None], 3, -1)
    size, channels = _ORDER[image.encoding]
    return rows[:, : size * image.width].reshape(image.height, image.width, size)[..., channels]


def _from_yuv(pairs: np.ndarray) -> np.ndarray:
    """(H, W / 2, 4) uint8 of Y, U, Y, V to RGB: ITU-R BT.601 of video range, as cameras and OpenCV
    have it.
    """
    y = 1.164 * (pairs[..., [0, 2]].astype(np.float32) - 16)
    u = pairs[..., 1, None].astype(np.float32) - 128
    v = pairs[..., 3, None].astype(np.float32) - 128
    colours = np.stack([y + 1.596 * v, y - 0.391 * u - 0.813 * v, y + 2.018 * u], -1)
    return np.clip(np.rint(colours), 0, 255).astype(np.uint8).reshape(pairs.shape[0], -1, 3)


def size_of(file: bytes, described: str = "") -> tuple[int, int]:
    """Height and width of a JPEG or PNG file, from its first bytes.

    Args:
        file: the file. described: what sensor_msgs/CompressedImage says of its format.

    Raises:
        ValueError: it is neither, or has more than 8 bits a channel (depth).
    """
    for word in ("16UC1", "32FC1", "compressedDepth", "mono16"):
        if word in described:
            raise ValueError(f"format {described[:60]!r} is not a picture of 8 bits a channel")
    # the others that Pillow reads include programs (EPS)
    if not file.startswith((b"\xff\xd8", b"\x89PNG")):
        raise ValueError(
            f"format {described[:60]!r}, starting with {file[:4].hex()}, is neither JPEG nor PNG"
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(file), formats=("JPEG", "PNG")) as image:
                return image.height, image.width
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"not a readable image ({error})") from None
