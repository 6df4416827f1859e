"""The coach's lessons: a store of fixed size for frames that the policy drove into, with what the
coach would have done there.

Easy driving floods such a store until the hard frames are a few among many (Prakash et al., DA-RB,
CVPR 2020). So frames stay by chance in proportion to their weight, which is large where the policy
was wrong about the coach or something was near.
"""

import numpy as np

from s2e.core import dist


class Lessons:
    """At most `size` frames of all ranks' worlds, as rows of numbers.

    Which stay is a weighted reservoir (Efraimidis and Spirakis 2006): each frame draws u ** (1 /
    weight) once, and those with the largest draws stay, whatever the order in which they came.

    Of several ranks all know the draws of all frames, so what stays where is the same for each and
    for one rank with all worlds; each rank keeps the frames that it has seen, those of `mine`.

    Args:
        size: frames. width: numbers of what the policy saw. labels: numbers of a label.
    """

    def __init__(self, size: int, width: int, labels: int):
        self.seen = np.zeros((size, width), np.float16)
        self.label = np.zeros((size, labels), np.float32)
        self.draw, self.mine, self.count = np.full(size, -np.inf), np.zeros(size, bool), 0

    def __len__(self) -> int:
        return self.count

    def add(
        self, seen: np.ndarray, label: np.ndarray, weight: np.ndarray, u: np.ndarray, first: int = 0
    ) -> None:
        """Offers frames, on all ranks at once.

        Args:
            seen: (B, width) of this rank. label: (B, labels) of this rank.
            weight: (A,) above 0, of all ranks' frames. u: (A,) uniform in 0..1, exclusive, of all
                ranks' frames. first: where among those this rank's begin.
        """
        draw = np.log(u) / weight
        frames = np.full(len(draw), -1)
        frames[first : first + len(seen)] = np.arange(len(seen))
        free = np.arange(self.count, min(self.count + len(draw), len(self.draw)))
        self._put(free, seen, label, draw[: len(free)], frames[: len(free)])
        self.count += len(free)
        left = np.arange(len(free), len(draw))
        if len(left) == 0:
            return
        # Of those here and those that come, the largest draws stay; ties go to those here.
        both = np.concatenate([self.draw, draw[left]])
        stay = np.zeros(len(both), bool)
        stay[np.argsort(-both, kind="stable")[: len(self.draw)]] = True
        new = left[stay[len(self.draw) :]]
        self._put(np.flatnonzero(~stay[: len(self.draw)]), seen, label, draw[new], frames[new])

    def _put(
        self,
        slots: np.ndarray,
        seen: np.ndarray,
        label: np.ndarray,
        draw: np.ndarray,
        frames: np.ndarray,
    ) -> None:
        """Fills slots; of `frames` (S,), rows of `seen` and `label`, those of other ranks are
        -1.
        """
        own = frames >= 0
        self.draw[slots], self.mine[slots] = draw, own
        self.seen[slots[own]], self.label[slots[own]] = seen[frames[own]], label[frames[own]]

    def arrays(self) -> dict[str, np.ndarray]:
        """What `restore` needs, on rank 0; to be called on all ranks at once."""
        n = self.count
        whole = {
            name: dist.merged(rows[:n], self.mine[:n])
            for name, rows in (("seen", self.seen), ("label", self.label))
        }
        return whole | {"draw": self.draw[:n]}

    def restore(self, arrays: dict[str, np.ndarray], rank: int = 0, ranks: int = 1) -> None:
        """Puts back what `arrays` gave, dealt out anew over any number of ranks."""
        self.count = n = len(arrays["draw"])
        for name in ("seen", "label", "draw"):
            getattr(self, name)[:n] = arrays[name]
        self.mine[:n] = np.arange(n) % ranks == rank
