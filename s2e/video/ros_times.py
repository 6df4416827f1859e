"""Images and poses that were stamped apart, brought to one clock: which stamps to trust, their order, and the poses between."""

from dataclasses import dataclass

import numpy as np

MAX_GAP_S = 2.0
"""Beyond this between images, or between poses, nothing is known of the way: the walk is split."""
MAX_SHUFFLE = 32
"""How many places a message may be from where its time belongs."""
_MAX_CLOCKS_APART_S = 1.0
_MAX_REPEATED = 0.1


@dataclass(frozen=True)
class Stamps:
    """Times of a topic's messages in the order of the bag.

    Attributes:
        topic: its name. header: (N,) int64 nanoseconds of the messages' headers, 0 where there is none. received: (N,) int64
            nanoseconds at which the bag received them.
    """

    topic: str
    header: np.ndarray
    received: np.ndarray


def choose_clock(images: Stamps, poses: Stamps) -> tuple[np.ndarray, np.ndarray, str]:
    """Header stamps where those of both topics can be believed, else the bag's receive times.

    Returns:
        (N,) and (M,) int64 nanoseconds, and a note that says why where the receive times are taken.

    Raises:
        ValueError: the receive times are out of order, too.
    """
    why = _distrust(images) or _distrust(poses)
    if not why:
        apart = np.median(images.header - images.received) - np.median(poses.header - poses.received)
        if abs(apart) / 1e9 > _MAX_CLOCKS_APART_S:
            why = f"the clocks of {images.topic} and {poses.topic} are {abs(apart) / 1e9:.3g} s apart"
    if not why:
        return images.header, poses.header, ""
    for stamps in (images, poses):
        if _shuffle(stamps.received) > MAX_SHUFFLE:
            raise ValueError(f"{why}, and the bag's receive times of {stamps.topic} are out of order; sort the bag by time")
    return images.received, poses.received, f"times are those at which the bag received the messages: {why}"


def _distrust(stamps: Stamps) -> str:
    """Why header stamps cannot be believed, "" where they can."""
    bad = int(np.count_nonzero(stamps.header <= 0))
    if bad:
        return f"{bad} header stamps of {stamps.topic} are empty"
    if _shuffle(stamps.header) > MAX_SHUFFLE:
        return f"header stamps of {stamps.topic} are out of order"
    repeated = 1 - len(np.unique(stamps.header)) / len(stamps.header)
    return f"{repeated:.0%} of the header stamps of {stamps.topic} are repeated" if repeated > _MAX_REPEATED else ""


def _shuffle(times: np.ndarray) -> int:
    """How many places the worst is from where it belongs."""
    return int(np.abs(np.argsort(times, kind="stable") - np.arange(len(times))).max(initial=0))


def in_order(times: np.ndarray) -> np.ndarray:
    """Indices that sort (N,) times; of repeated ones the first remains."""
    order = np.argsort(times, kind="stable")
    return order[np.concatenate([[True], np.diff(times[order]) > 0])] if len(order) else order


def brackets(times: np.ndarray, pose_times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which images have poses on both sides, and the stretch without a pose gap that each lies in.

    Args:
        times: (N,) seconds, increasing. pose_times: (M,) seconds, increasing.

    Returns:
        (N,) int64 number of the stretch, -1 without a pose before and after within `MAX_GAP_S` of each other; (N,) bool, whether the
        image lies within the poses' time at all.
    """
    inside = (times >= pose_times[0]) & (times <= pose_times[-1])
    after = np.clip(np.searchsorted(pose_times, times), 0, len(pose_times) - 1)
    stretch = np.concatenate([[0], np.cumsum(np.diff(pose_times) > MAX_GAP_S)])
    known = (stretch[after] == stretch[np.maximum(after - 1, 0)]) | (pose_times[after] == times)
    return np.where(inside & known, stretch[after], -1), inside


def pieces(times: np.ndarray, stretch: np.ndarray) -> list[np.ndarray]:
    """Indices of images that belong together: of one stretch, and never `MAX_GAP_S` apart."""
    kept = np.flatnonzero(stretch >= 0)
    cuts = (np.diff(times[kept]) > MAX_GAP_S) | (np.diff(stretch[kept]) != 0)
    return [part for part in np.split(kept, np.flatnonzero(cuts) + 1) if len(part)]


def poses_at(times: np.ndarray, pose_times: np.ndarray, position: np.ndarray, yaw: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Poses between poses: positions on the straight line, yaw along the shorter way around.

    Args:
        times: (N,) seconds within `pose_times`, (M,) seconds, increasing. position: (M, 2). yaw: (M,) radians.

    Returns:
        (N, 2) positions and (N,) yaw in (-pi, pi].
    """
    at = np.stack([np.interp(times, pose_times, position[:, k]) for k in range(2)], -1)
    turned = np.interp(times, pose_times, np.unwrap(yaw))
    return at, np.arctan2(np.sin(turned), np.cos(turned))
