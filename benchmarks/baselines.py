"""What stands beside learned policies in the benchmark: bounds of what can be driven, and drivers that anything must beat."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from s2e.envs.drive import ExpertDriver, straight
from s2e.envs.worlds import Worlds

Act = Callable[[], np.ndarray]
"""Answers with (N, 2) waypoints for the worlds as they are."""


@dataclass(frozen=True)
class Baseline:
    """A driver without a camera: it reads the worlds themselves."""

    about: str
    """What it knows, for the report."""
    start: Callable[[Worlds, ExpertDriver], Act]
    """Makes it drive worlds that have just begun their episodes; the expert is one of these worlds."""
    files: Callable[[], tuple[Path, ...]] = tuple
    """Its weights: other contents are another question."""


def _zero(worlds: Worlds, _: ExpertDriver) -> Act:
    return lambda: np.zeros((worlds.count, 2))


def _straight(worlds: Worlds, _: ExpertDriver) -> Act:
    return lambda: straight(worlds)


def _expert(worlds: Worlds, expert: ExpertDriver) -> Act:
    expert.begin(np.arange(worlds.count))
    return expert.act


BASELINES = {
    "zero": Baseline("stands still", _zero),
    "straight": Baseline("drives straight at the goal at 1 m/s and sees nothing", _straight),
    "expert": Baseline("sees the whole map and everybody", _expert),
}
