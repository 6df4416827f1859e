"""Unit quaternions (w, x, y, z), and what files make of them."""

import numpy as np

OTHERS = np.array([[1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 2]])
"""The three places that are not the k-th."""


def rotations(quats: np.ndarray) -> np.ndarray:
    """(..., 3, 3) rotation matrices of unit quaternions (..., 4); column k is the Gaussian's axis k
    in the world.
    """
    w, x, y, z = np.moveaxis(np.asarray(quats), -1, 0)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return np.stack([np.stack(row, -1) for row in rows], -2)


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
