"""What captures of the suite (`tools/urban/capture.py`) and of streets (`street.py`) share."""

import numpy as np

SH0, SH1 = 0.28209479177387814, 0.4886025119029199
"""Spherical harmonics of degree 0, and the factor of those of degree 1."""


def mottle(x: np.ndarray, y: np.ndarray, frequency: float, seed: int) -> np.ndarray:
    """Smooth noise around 0, mostly within -1.5..1.5: six waves of about `frequency` per metre."""
    rng = np.random.default_rng(seed)
    total = np.zeros(np.shape(x))
    for _ in range(6):
        angle = rng.uniform(0, 2 * np.pi)
        phase = rng.uniform(0, 2 * np.pi)
        scale = rng.uniform(0.5, 1.6)
        total += np.sin(
            2 * np.pi * frequency * scale * (np.cos(angle) * x + np.sin(angle) * y) + phase
        )
    return total * 0.4
