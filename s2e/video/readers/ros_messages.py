"""The few ROS messages that walks are made of, read from their bytes.

Bags carry the definitions of their messages, and readers that follow them compile code from a file.
The layouts below have not changed since ROS 1 (sensor_msgs, nav_msgs, geometry_msgs); reading them
directly leaves a bag's definitions alone, whatever they say.

Sources: the ROS 1 wire format (wiki.ros.org/msg: little-endian, packed, texts and sequences after a
uint32 length) and CDR of the OMG's DDSI-RTPS (four bytes that name the byte order, numbers aligned
to their size from there on, texts that end in a zero byte).
"""

import math
import struct
from typing import NamedTuple

import numpy as np

RAW_IMAGE = "sensor_msgs/msg/Image"
COMPRESSED_IMAGE = "sensor_msgs/msg/CompressedImage"
IMAGE_TYPES = (RAW_IMAGE, COMPRESSED_IMAGE)
POSE_TYPES = (
    "nav_msgs/msg/Odometry",
    "geometry_msgs/msg/PoseStamped",
    "geometry_msgs/msg/PoseWithCovarianceStamped",
    "geometry_msgs/msg/TransformStamped",
)
CAMERA_INFO = "sensor_msgs/msg/CameraInfo"
_FAR_M = 1e8


class RawImage(NamedTuple):
    """sensor_msgs/Image without its stamp."""

    height: int
    width: int
    encoding: str
    big_endian: bool
    step: int
    data: memoryview


class Fields:
    """Reads a message's fields in their order.

    Args:
        data: the message. cdr: ROS 2's CDR; else ROS 1's format.

    Raises:
        ValueError: from here and every method: the message ends too early, or is in a format that
            is not known.
    """

    def __init__(self, data: bytes, cdr: bool):
        self.data, self.cdr = memoryview(data), cdr
        self.at, self.order = 0, "<"
        if cdr:
            if len(data) < 4 or data[0] != 0 or data[1] > 1:
                raise ValueError("not plain CDR")
            self.at, self.order = 4, "><"[data[1]]

    def number(self, code: str) -> int | float:
        """One number; `code` is struct's."""
        size = struct.calcsize("<" + code)
        if self.cdr:
            self.at += (4 - self.at) % size
        return struct.unpack(self.order + code, self._take(size))[0]

    def integer(self) -> int:
        """A uint32."""
        return int(self.number("I"))

    def doubles(self, count: int) -> np.ndarray:
        """(count,) float64."""
        return np.array([self.number("d") for _ in range(count)])

    def octets(self) -> memoryview:
        """A sequence of bytes."""
        return self._take(self.integer())

    def text(self) -> str:
        """A text."""
        data = bytes(self.octets())
        return (data[:-1] if self.cdr and data.endswith(b"\0") else data).decode("utf-8", "replace")

    def stamp(self) -> int:
        """A std_msgs/Header: its time in nanoseconds, 0 where it is none."""
        if not self.cdr:
            self.integer()  # seq
        seconds, nanoseconds = self.integer(), self.integer()
        self.text()  # frame_id
        return seconds * 10**9 + nanoseconds if nanoseconds < 10**9 else 0

    def _take(self, count: int) -> memoryview:
        if self.at + count > len(self.data):
            raise ValueError(f"it ends at byte {len(self.data)}, within a field of {count} bytes")
        self.at += count
        return self.data[self.at - count : self.at]


def raw_image(data: bytes, cdr: bool) -> tuple[int, RawImage]:
    """A sensor_msgs/Image: its time in nanoseconds, and the image."""
    fields = Fields(data, cdr)
    stamp, height, width, encoding = (
        fields.stamp(),
        fields.integer(),
        fields.integer(),
        fields.text(),
    )
    big_endian, step = bool(fields.number("B")), fields.integer()
    return stamp, RawImage(height, width, encoding, big_endian, step, fields.octets())


def compressed_image(data: bytes, cdr: bool) -> tuple[int, str, bytes]:
    """A sensor_msgs/CompressedImage: its time in nanoseconds, what it says of its format, and the
    file.
    """
    fields = Fields(data, cdr)
    return fields.stamp(), fields.text(), bytes(fields.octets())


def pose(data: bytes, cdr: bool, kind: str) -> tuple[int, str, np.ndarray]:
    """A message of one of `POSE_TYPES`.

    Returns:
        Its time in nanoseconds; the frame that moves, "" where it is not said; (7,) position in
        metres and unit quaternion x, y, z, w.

    Raises:
        ValueError: it ends too early, is not finite, or its quaternion is no rotation.
    """
    fields = Fields(data, cdr)
    stamp = fields.stamp()
    child = fields.text() if kind in (POSE_TYPES[0], POSE_TYPES[3]) else ""
    values = fields.doubles(7)
    if not (np.abs(values) < _FAR_M).all():  # NaN is not, either
        raise ValueError(
            "position or quaternion is not finite, or far off the Earth: "
            f"{np.round(values, 3).tolist()}"
        )
    norm = math.hypot(*values[3:].tolist())
    if not 0.9 < norm < 1.1:
        raise ValueError(f"its quaternion {np.round(values[3:], 3).tolist()} is no rotation")
    values[3:] /= norm
    return stamp, child, values


def camera_hfov_deg(data: bytes, cdr: bool) -> float:
    """Horizontal field of view of a sensor_msgs/CameraInfo in degrees; NaN where the camera is not
    calibrated.
    """
    fields = Fields(data, cdr)
    fields.stamp()
    _, width, model = fields.integer(), fields.integer(), fields.text()
    coefficients = fields.integer()
    if coefficients > 64:
        raise ValueError(f"{coefficients} distortion coefficients")
    fields.doubles(coefficients)
    focal = float(fields.doubles(9)[0])
    if not (math.isfinite(focal) and focal > 0 and width > 0):
        return float("nan")
    # An equidistant (fisheye) lens maps angles to pixels linearly, the others by their tangent.
    half = width / 2 / focal
    angle = math.degrees(2 * half if model in ("equidistant", "fisheye") else 2 * math.atan(half))
    return angle if 1 <= angle <= 300 else float("nan")
