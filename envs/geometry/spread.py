"""Points far from each other."""

import numpy as np


def farthest_first(
    points: np.ndarray, count: int, first: int = 0, apart_m: float = 0.0
) -> np.ndarray:
    """Chooses points, each the farthest from those before it.

    Args:
        points: (N, 2) or (N, 3) metres, N >= 1.
        count: how many.
        first: the one to begin with.
        apart_m: ends where none is so far from all others.

    Returns:
        (K,) indices, K = `count` unless it ended before.
    """
    chosen, nearest = [first], np.linalg.norm(points - points[first], axis=1)
    while len(chosen) < count:
        farthest = int(np.argmax(nearest))
        if nearest[farthest] < apart_m:
            break
        chosen.append(farthest)
        nearest = np.minimum(nearest, np.linalg.norm(points - points[farthest], axis=1))
    return np.array(chosen)
