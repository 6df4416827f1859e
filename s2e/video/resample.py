"""From the times that a recorder left to those that training wants: an (almost) uniform rate, and
no gaps.
"""

import math
import re
from dataclasses import replace
from itertools import pairwise

import numpy as np

from s2e.core.errors import require
from s2e.video.walk import MIN_FRAMES, Walk

UNIFORM = 0.25
"""How far an interval may be from the median one, as a share of it, where a rate still counts as
uniform."""


def nearest(times: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Index of the entry of increasing `times` (T,) that is nearest to each of `wanted`, the
    earlier one of two as near.
    """
    after = np.searchsorted(times[:-1], wanted)
    before = np.maximum(after - 1, 0)
    return np.where(wanted - times[before] <= times[after] - wanted, before, after)


def in_order(times: np.ndarray) -> np.ndarray:
    """Indices that sort (N,) times; of repeated ones the first remains."""
    order = np.argsort(times, kind="stable")
    return order[np.concatenate([[True], np.diff(times[order]) > 0])] if len(order) else order


def by_time(times: np.ndarray, what: str) -> tuple[np.ndarray, str]:
    """`in_order`, and what to say of it; `what` names the things."""
    order = in_order(times)
    note = f"{what} sorted by time; " if (np.diff(times) < 0).any() else ""
    if len(order) < len(times):
        note += f"{len(times) - len(order)} {what} with the time of another are left out; "
    return order, note


def uniform(walk: Walk, hz: float) -> Walk:
    """A walk at a uniform rate: for each instant of a grid that begins with the walk, the frame
    nearest to it.

    Each frame keeps the time and the pose at which it was taken, so that image and pose belong
    together: the new times stand within half a source interval of the grid, at a gap's rim within
    half of the grid's own. No frame is used twice (repeating one would show a robot that stands
    still), so the rate never rises above the source's: a walk that is slower than `hz` comes back
    whole, with a note. Where the walk has a gap, so has the result: see `split_gaps`.

    Raises:
        UserError: `hz` is not a rate.
    """
    require(0.0 < hz < math.inf, f"{hz} frames a second: a rate above 0 is needed")
    # leaving out one frame in nine would make holes, not a rate
    if walk.hz <= hz * (1 + UNIFORM / 2):
        if walk.hz < hz * (1 - UNIFORM / 2):
            return replace(
                walk,
                note=_joined(
                    walk.note, f"recorded at {walk.hz:.3g} Hz, kept at that: frames are not made up"
                ),
            )
        return walk
    times = walk.times
    grid = times[0] + np.arange(math.floor((times[-1] - times[0]) * hz + 1e-6) + 1) / hz
    found = nearest(times, grid)
    near = np.abs(times[found] - grid) <= 0.5 / hz  # instants inside a gap have no frame
    chosen = np.unique(found[near])
    return walk if len(chosen) == len(times) else walk.part(chosen)


def split_gaps(walk: Walk, gap_s: float) -> list[Walk]:
    """Cuts a walk wherever more than `gap_s` seconds pass between two frames; pieces below
    `MIN_FRAMES` frames are left out.
    """
    return split_at(walk, np.flatnonzero(np.diff(walk.times) > gap_s) + 1)


def split_at(walk: Walk, cuts: np.ndarray, keep: np.ndarray | None = None) -> list[Walk]:
    """Cuts a walk before the frames `cuts` and around frames that are not kept.

    Args:
        walk: T frames.
        cuts: places in 0..T.
        keep: (T,) bool.

    Returns:
        The pieces of `MIN_FRAMES` frames or more, in order; named `NAME+0`, `NAME+1` unless it is
        the walk as it was.
    """
    kept = np.ones(len(walk), dtype=bool) if keep is None else keep
    edges = np.unique(
        np.concatenate(
            [[0, len(walk)], np.asarray(cuts, dtype=np.int64), np.flatnonzero(np.diff(kept)) + 1]
        )
    )
    parts = [np.arange(a, b) for a, b in pairwise(edges) if kept[a] and b - a >= MIN_FRAMES]
    if len(parts) == 1 and len(parts[0]) == len(walk):
        return [walk]
    return [walk.part(part, name=f"{walk.name}+{i}") for i, part in enumerate(parts)]


def trajectory(name: str) -> str:
    """The name of the walk that a piece was cut from. Training and validation are split by it, so
    that pieces stay together.
    """
    return re.sub(r"(\+\d+)+$", "", name)


def is_uniform(walk: Walk, tolerance: float = UNIFORM) -> bool:
    """Whether every interval between frames is within `tolerance`, a share, of the median one."""
    dt = np.diff(walk.times)
    return bool((np.abs(dt - np.median(dt)) <= tolerance * np.median(dt) + 1e-9).all())


def _joined(note: str, more: str) -> str:
    return f"{note}; {more}" if note else more
