"""The coach's lessons: a store of fixed size for frames that the policy drove into, with what the coach would have done there.

Easy driving floods such a store until the hard frames are a few among many (Prakash et al., DA-RB, CVPR 2020). So frames stay by
chance in proportion to their weight, which is large where the policy was wrong about the coach or something was near.
"""

import numpy as np


class Lessons:
    """At most `size` frames of one rank's worlds, as rows of numbers.

    Which stay is a weighted reservoir (Efraimidis and Spirakis 2006): each frame draws u ** (1 / weight) once, and those with the
    largest draws stay, whatever the order in which they came.

    Args:
        size: frames. width: numbers of what the policy saw. labels: numbers of a label.
    """

    def __init__(self, size: int, width: int, labels: int):
        self.seen, self.label = np.zeros((size, width), np.float16), np.zeros((size, labels), np.float32)
        self.draw, self.count = np.full(size, -np.inf), 0

    def __len__(self) -> int:
        return self.count

    def add(self, seen: np.ndarray, label: np.ndarray, weight: np.ndarray, u: np.ndarray) -> None:
        """Offers frames.

        Args:
            seen: (B, width). label: (B, labels). weight: (B,) above 0. u: (B,) uniform in 0..1, exclusive.
        """
        draw = np.log(u) / weight
        free = np.arange(self.count, min(self.count + len(seen), len(self.draw)))
        self._put(free, seen, label, draw, np.arange(len(free)))
        self.count += len(free)
        left = np.arange(len(free), len(seen))
        if len(left) == 0:
            return
        # Of those here and those that come, the largest draws stay; ties go to those here.
        both = np.concatenate([self.draw, draw[left]])
        stay = np.zeros(len(both), bool)
        stay[np.argsort(-both, kind="stable")[: len(self.draw)]] = True
        self._put(np.flatnonzero(~stay[: len(self.draw)]), seen, label, draw, left[stay[len(self.draw) :]])

    def _put(self, slots: np.ndarray, seen: np.ndarray, label: np.ndarray, draw: np.ndarray, rows: np.ndarray) -> None:
        self.seen[slots], self.label[slots], self.draw[slots] = seen[rows], label[rows], draw[rows]

    def arrays(self) -> dict[str, np.ndarray]:
        """What `restore` needs."""
        n = self.count
        return {"seen": self.seen[:n], "label": self.label[:n], "draw": self.draw[:n]}

    def restore(self, arrays: dict[str, np.ndarray]) -> None:
        """Puts back what `arrays` gave."""
        self.count = n = len(arrays["draw"])
        self.seen[:n], self.label[:n], self.draw[:n] = arrays["seen"], arrays["label"], arrays["draw"]
