"""Unit quaternions (w, x, y, z) as files pack them: the three smaller components."""

import numpy as np

OTHERS = np.array([[1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 2]])
"""The three places that are not the k-th."""


def from_smallest(small: np.ndarray, largest: np.ndarray) -> np.ndarray:
    """(n, 4) quaternions of their three smaller components (n, 3), in order, and the place (n,) of
    the fourth, not negative.
    """
    quats = np.empty((len(small), 4))
    np.put_along_axis(quats, OTHERS[largest], small, axis=1)
    np.put_along_axis(
        quats,
        largest[:, None],
        np.sqrt(np.maximum(0.0, 1.0 - (small**2).sum(1, keepdims=True))),
        axis=1,
    )
    return quats
