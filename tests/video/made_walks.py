"""Walks in memory, to be spoiled."""

from pathlib import Path

import numpy as np

from s2e.core.errors import UserError
from s2e.video.frames import Frames
from s2e.video.walk import Walk


class Pictures(Frames):
    """Images from memory; None is a broken one."""

    def __init__(self, images):
        self.list = images

    def __len__(self):
        return len(self.list)

    def images(self, which):
        for t in which:
            if self.list[t] is None:
                raise UserError(f"walk/{t}.jpg: not a readable image")
            yield self.list[t]

    def digest(self):
        return ""


def make(frames=100, hz=10.0, seed=0, name="walk", size=(24, 32)):
    """An S-curve at 0.8 to 1.2 m/s, textured frames that all differ."""
    rng = np.random.default_rng(seed)
    times = np.arange(frames) / hz
    yaw = 0.8 * np.sin(0.3 * times)
    speed = 1 + 0.2 * np.sin(times)
    position = np.cumsum((speed / hz)[:, None] * np.stack([np.cos(yaw), np.sin(yaw)], 1), 0)
    images = [rng.integers(0, 255, (*size, 3), dtype=np.uint8) for _ in range(frames)]
    return Walk(name, Path(name), Pictures(images), times, position, yaw)


def changed(walk, **arrays):
    from dataclasses import replace

    return replace(walk, **arrays)
