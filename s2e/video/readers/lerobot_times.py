"""Which pictures and times belong to the rows of a LeRobot episode, where its times do not say so
themselves.

A row's picture is the one shown at `from_timestamp + timestamp`, of its episode and its own.
Recorders write timestamps that run on over episodes, or a clock's, and a `from_timestamp` that
drifts as rounded durations are added up. But every row has a picture, in order: where a file has as
many pictures as its episodes have rows, counting settles which is whose, and times are only
compared.
"""

from collections.abc import Sequence

import numpy as np

from s2e.core.errors import UserError

_HALF = 0.5  # of a frame: nearer than this is the same frame
_PACE = 2.0  # so many times too fast or too slow, timestamps are in another unit


def settled(stamps: np.ndarray, fps: float) -> tuple[np.ndarray, list[str]]:
    """The times of an episode's rows from its first row on, and what was off about its timestamps.

    Args:
        stamps: (T,) the column `timestamp`, of rows whose `frame_index` counts up by one. fps:
            frames a second.

    Returns:
        (T,) seconds, 0 at first: the timestamps' where they go forward at about the rate, else T
            frames at the rate; notes.
    """
    counted = np.arange(len(stamps)) / fps
    instead = f"frame_index at {fps:g} frames a second is used"
    if len(stamps) < 2:
        return counted, []
    with np.errstate(invalid="ignore", over="ignore"):
        step = np.diff(stamps)
        if not (step > 0).all() or not np.isfinite(stamps).all():
            return counted, [f"timestamps stand still or run backwards: {instead}"]
        pace = float(np.median(step)) * fps
    if not 1 / _PACE <= pace <= _PACE:
        return counted, [f"timestamps advance by {pace / fps:.3g} a frame: {instead}"]
    times, notes = stamps - stamps[0], []
    if abs(stamps[0]) > _HALF / fps:
        notes.append(
            "timestamps do not begin at 0 with the episode: they are counted from its first frame"
        )
    late = float(np.abs(times - counted).max())
    if late > _HALF / fps:
        notes.append(f"timestamps are up to {late:.2f} s off {fps:g} frames a second, and are used")
    return times, notes


def counted(
    lengths: Sequence[int], starts_s: Sequence[float], fps: float
) -> tuple[np.ndarray, np.ndarray]:
    """Where the episodes of a file begin in it, by the number of pictures before them.

    Args:
        lengths: rows of E episodes, in the order of their numbers. starts_s: `from_timestamp` of
            each. fps: frames a second.

    Returns:
        (E,) int64 the first frame of each; (E,) float64 how many frames their `from_timestamp` is
        after it. The order of episodes in the file is that of `starts_s` or of their numbers,
        whichever fits `starts_s` better.
    """
    at, size = np.asarray(starts_s, dtype=np.float64) * fps, np.asarray(lengths, dtype=np.int64)
    found = []
    for order in (np.argsort(at, kind="stable"), np.arange(len(at))):
        first = np.zeros(len(at), dtype=np.int64)
        first[order] = np.cumsum(size[order]) - size[order]
        found.append((first, at - first))
    return min(found, key=lambda both: float(np.abs(both[1]).max(initial=0.0)))


def clashing(lengths: Sequence[int], starts_s: Sequence[float], fps: float) -> np.ndarray:
    """(E,) bool, which episodes of a file begin before the one before them has ended, or end after
    the next has begun.
    """
    at, size = np.asarray(starts_s, dtype=np.float64) * fps, np.asarray(lengths, dtype=np.float64)
    order, clash = np.argsort(at, kind="stable"), np.zeros(len(at), dtype=bool)
    over = np.flatnonzero(np.diff(at[order]) < size[order][:-1] - _HALF)
    clash[order[over]] = clash[order[over + 1]] = True
    return clash


def shown_at(
    length: int, stamp: float, start_s: float, room: tuple[float, float], fps: float, where: str
) -> tuple[np.ndarray, list[str]]:
    """When an episode's pictures are shown, where counting does not settle it; and what is doubtful
    about it.

    Args:
        length: rows of it. stamp: `timestamp` of the first. start_s: its `from_timestamp`. room:
            when the next episode begins, and when the file ends, seconds. fps: frames a second.
            where: names the file, for messages.

    Returns:
        (length,) seconds in the file; notes.

    Raises:
        UserError: there is no room for so many pictures.
    """
    counted, half = np.arange(length) / fps, _HALF / fps
    fits = (
        np.isfinite(stamp)
        and stamp >= 0
        and start_s + stamp + counted[-1] <= np.nanmin(room) - 1 / fps + half
    )
    at = start_s + (stamp if fits else 0.0) + counted
    if at[0] < -half or at[-1] > room[1] + half:
        raise UserError(
            f"{where}: ends at {room[1]:.2f} s, the episode runs from {at[0]:.2f} to {at[-1]:.2f} "
            "s there"
        )
    between = abs(at[0] * fps - round(at[0] * fps)) > _HALF / 2
    return at, [
        "from_timestamp lies between two frames: pictures may be one off"
    ] if between else []
