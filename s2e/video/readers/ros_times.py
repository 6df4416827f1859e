"""Images and poses that were stamped apart, brought to one clock: which stamps to trust, their
order, and where they have gaps.
"""

from dataclasses import dataclass

import numpy as np

from s2e.video.ground import MAX_GAP_S

MAX_SHUFFLE = 32
"""How many places a message may be from where its time belongs."""
_MAX_CLOCKS_APART_S = 1.0
_MAX_REPEATED = 0.1


@dataclass(frozen=True)
class Stamps:
    """Times of a topic's messages in the order of the bag.

    Attributes:
        topic: its name. header: (N,) int64 nanoseconds of the messages' headers, 0 where there is
            none. received: (N,) int64 nanoseconds at which the bag received them.
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
        apart = np.median(images.header - images.received) - np.median(
            poses.header - poses.received
        )
        if abs(apart) / 1e9 > _MAX_CLOCKS_APART_S:
            why = (
                f"the clocks of {images.topic} and {poses.topic} are {abs(apart) / 1e9:.3g} s apart"
            )
    if not why:
        return images.header, poses.header, ""
    for stamps in (images, poses):
        if _shuffle(stamps.received) > MAX_SHUFFLE:
            raise ValueError(
                f"{why}, and the bag's receive times of {stamps.topic} are out of order; sort the "
                "bag by time"
            )
    return (
        images.received,
        poses.received,
        f"times are those at which the bag received the messages: {why}",
    )


def _distrust(stamps: Stamps) -> str:
    """Why header stamps cannot be believed, "" where they can."""
    bad = int(np.count_nonzero(stamps.header <= 0))
    if bad:
        return f"{bad} header stamps of {stamps.topic} are empty"
    if _shuffle(stamps.header) > MAX_SHUFFLE:
        return f"header stamps of {stamps.topic} are out of order"
    repeated = 1 - len(np.unique(stamps.header)) / len(stamps.header)
    return (
        f"{repeated:.0%} of the header stamps of {stamps.topic} are repeated"
        if repeated > _MAX_REPEATED
        else ""
    )


def _shuffle(times: np.ndarray) -> int:
    """How many places the worst is from where it belongs."""
    return int(np.abs(np.argsort(times, kind="stable") - np.arange(len(times))).max(initial=0))


def pieces(times: np.ndarray, stretch: np.ndarray) -> list[np.ndarray]:
    """Indices of images that belong together: of one stretch of poses (`ground.at_times`), and
    never `MAX_GAP_S` apart.
    """
    kept = np.flatnonzero(stretch >= 0)
    cuts = (np.diff(times[kept]) > MAX_GAP_S) | (np.diff(stretch[kept]) != 0)
    return [part for part in np.split(kept, np.flatnonzero(cuts) + 1) if len(part)]
