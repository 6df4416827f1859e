"""The few ROS messages that walks are made of.

rosbags reads them by the definitions that it brings along: those of these types have not changed
since ROS 1. Bags carry definitions of their own, and readers that follow them compile code from a
file; here they are left alone, whatever they say.
"""

import functools
import math
from typing import Any, NamedTuple

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


@functools.cache
def _standard(cdr: bool) -> Any:
    """The standard messages of ROS 2 (in CDR) or ROS 1."""
    from rosbags.typesys import Stores, get_typestore

    return get_typestore(Stores.ROS2_HUMBLE if cdr else Stores.ROS1_NOETIC)


def _message(data: bytes, cdr: bool, kind: str) -> tuple[int, Any]:
    """A message's time in nanoseconds, 0 where it is none, and the message.

    Raises:
        ValueError: it ends too early or too late, or is in a format that is not known.
    """
    store = _standard(cdr)
    try:
        message = (store.deserialize_cdr if cdr else store.deserialize_ros1)(data, kind)
    except Exception as error:  # of many types
        raise ValueError(f"not readable as {kind} ({error})") from None
    stamp = message.header.stamp
    time = stamp.sec * 10**9 + stamp.nanosec if stamp.nanosec < 10**9 else 0
    return time, message


def raw_image(data: bytes, cdr: bool) -> tuple[int, RawImage]:
    """A sensor_msgs/Image: its time in nanoseconds, and the image.

    Args:
        data: the message. cdr: in ROS 2's CDR; else in ROS 1's format.

    Raises:
        ValueError: from here and every function: the message cannot be read.
    """
    time, m = _message(data, cdr, RAW_IMAGE)
    image = RawImage(m.height, m.width, m.encoding, bool(m.is_bigendian), m.step, m.data.data)
    return time, image


def compressed_image(data: bytes, cdr: bool) -> tuple[int, str, bytes]:
    """A sensor_msgs/CompressedImage: its time in nanoseconds, what it says of its format, and the
    file.
    """
    time, message = _message(data, cdr, COMPRESSED_IMAGE)
    return time, message.format, message.data.tobytes()


def pose(data: bytes, cdr: bool, kind: str) -> tuple[int, str, np.ndarray]:
    """A message of one of `POSE_TYPES`.

    Returns:
        Its time in nanoseconds; the frame that moves, "" where it is not said; (7,) position in
        metres and unit quaternion x, y, z, w.

    Raises:
        ValueError: it is not finite, or its quaternion is no rotation.
    """
    time, message = _message(data, cdr, kind)
    if kind == "geometry_msgs/msg/TransformStamped":
        place, turn = message.transform.translation, message.transform.rotation
    else:
        pose = message.pose if kind == "geometry_msgs/msg/PoseStamped" else message.pose.pose
        place, turn = pose.position, pose.orientation
    values = np.array([place.x, place.y, place.z, turn.x, turn.y, turn.z, turn.w])
    if not (np.abs(values) < _FAR_M).all():  # NaN is not, either
        raise ValueError(
            "position or quaternion is not finite, or far off the Earth: "
            f"{np.round(values, 3).tolist()}"
        )
    norm = math.hypot(*values[3:].tolist())
    if not 0.9 < norm < 1.1:
        raise ValueError(f"its quaternion {np.round(values[3:], 3).tolist()} is no rotation")
    values[3:] /= norm
    return time, getattr(message, "child_frame_id", ""), values


def camera_hfov_deg(data: bytes, cdr: bool) -> float:
    """Horizontal field of view of a sensor_msgs/CameraInfo in degrees; NaN where the camera is not
    calibrated.
    """
    _, message = _message(data, cdr, CAMERA_INFO)
    width, focal = message.width, float((message.k if cdr else message.K)[0])
    if not (math.isfinite(focal) and focal > 0 and width > 0):
        return float("nan")
    # An equidistant (fisheye) lens maps angles to pixels linearly, the others by their tangent.
    half, fisheye = width / 2 / focal, message.distortion_model in ("equidistant", "fisheye")
    angle = math.degrees(2 * half if fisheye else 2 * math.atan(half))
    return angle if 1 <= angle <= 300 else float("nan")
