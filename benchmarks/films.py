"""Clips for the report. What is filmed is chosen before anybody knows what fails; what is kept,
after.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from s2e.benchmarks.failures import cause
from s2e.envs.geometry.scene import Episode
from s2e.envs.scenes.episodes import ALL_SETTINGS
from s2e.video.frames import decode, jpeg, resized

FILMED = 32
"""Episodes of a policy that are filmed in a scene, so that failures are among them: with FRAMES, 50
MB at most."""
FRAMES = 120
"""Frames of a film; one that gets longer loses every other."""
WIDTH_PX = 320


class Film:
    """What one robot's camera saw, kept small."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self.every, self.seen = 1, 0

    def add(self, image: np.ndarray) -> None:
        """Takes the next (H, W, 3) uint8 frame."""
        if self.seen % self.every == 0:
            if len(self.frames) == FRAMES:
                self.frames, self.every = self.frames[::2], 2 * self.every
            if self.seen % self.every == 0:
                height, width = image.shape[:2]
                small = min(width, WIDTH_PX)
                self.frames.append(
                    jpeg(resized(image, max(1, round(height * small / width)), small))
                )
        self.seen += 1

    def images(self) -> list[np.ndarray]:
        """Its frames, (H, W, 3) uint8 each."""
        return [decode(frame, "film") for frame in self.frames]


def choose_filmed(episodes: Sequence[Episode], count: int) -> list[int]:
    """The worlds to film: the first episode of each setting, the hardest settings first, then the
    second, and so on.
    """
    nth: dict[str, int] = {}
    rank = []
    for w, episode in enumerate(episodes):
        nth[episode.setting] = nth.get(episode.setting, 0) + 1
        rank.append((nth[episode.setting], -ALL_SETTINGS.index(episode.setting), w))
    return [w for _, _, w in sorted(rank)[:count]]


def choose_kept(
    filmed: Sequence[str], records: Mapping[str, dict[str, Any]], planned: int, shown: set[str]
) -> dict[str, str]:
    """The clips to show of one policy in one scene, with how each episode ended.

    Args:
        filmed: ids of the filmed episodes, in the order in which they were chosen.
        records: their records.
        planned: how many of the first are shown however they end.
        shown: causes of failure that have a clip already; those that get one here are added.

    Returns:
        Id to outcome: the first `planned`, and of the others the first failure by each cause that
            has no clip yet.
    """
    kept = {}
    for k, name in enumerate(filmed):
        record = records[name]
        why = "" if record["success"] else cause(record)
        if k < planned or (why and why not in shown):
            kept[name] = f"failed, {why}" if why else "reached the goal"
            shown.add(why)
    return kept
