"""What a camera does to an image: blur of the lens, exposure, and noise of the sensor; in place, one view at a time."""

import numba
import numpy as np


@numba.njit(cache=True, error_model="numpy")
def _blurred_row(row, out):
    """1 2 1 along one row of pixels (W * 3 values); the ends repeat."""
    last = row.shape[0] - 3
    for i in range(row.shape[0]):
        k = np.uint32(i)
        left = np.int32(row[k - np.uint32(3)]) if i >= 3 else np.int32(row[k])
        right = np.int32(row[k + np.uint32(3)]) if i < last else np.int32(row[k])
        out[k] = left + np.int32(2) * np.int32(row[k]) + right


@numba.njit(cache=True, error_model="numpy")
def apply_effects(rgb, effect, rows):
    """Blurs, exposes and adds noise to one image.

    The noise of a value is a hash of the seed and of the value's place in the image, so it is the same in every batch:
    the sum of the hash's four bytes, which is close to a normal distribution.

    Args:
        rgb: (H, W * 3) uint8, changed in place.
        effect: (4,) exposure, standard deviation of the noise (0..255 units), share of a 3x3 binomial blur, seed.
        rows: (3, W * 3) int32, scratch.
    """
    height, width = rgb.shape
    blur, exposure = np.float32(effect[2] / 16.0), np.float32(effect[0])
    # Four bytes: mean 510, standard deviation 147.8.
    sigma, seed = np.float32(effect[1] / 147.8), np.uint32(np.int64(effect[3]) & 0xFFFFFFFF)
    keep, half, top, zero = np.float32(1.0 - effect[2]), np.float32(0.5), np.float32(255.0), np.float32(0.0)
    byte, mix, stir = np.uint32(255), np.uint32(0x45D9F3B), np.uint32(0x9E3779B1)
    soft = effect[2] > 0.0
    if soft:
        _blurred_row(rgb[0], rows[0])
        rows[2] = rows[0]
    for y in range(height):
        row = rgb[y]
        above, here, below = rows[(y + 2) % 3], rows[y % 3], rows[(y + 1) % 3]
        if soft:
            _blurred_row(rgb[min(y + 1, height - 1)] if y + 1 < height else row, below)
        start = np.uint32(np.uint32(y * width) + seed * stir)
        for i in range(width):
            value = np.float32(row[i])
            if soft:
                total = above[i] + np.int32(2) * here[i] + below[i]
                value = value * keep + np.float32(total) * blur
            h = np.uint32(np.uint32(start + np.uint32(i)) * stir)
            h = np.uint32((h ^ (h >> np.uint32(16))) * mix)
            h = np.uint32((h ^ (h >> np.uint32(15))) * mix)
            h = np.uint32(h ^ (h >> np.uint32(16)))
            total = (h & byte) + ((h >> np.uint32(8)) & byte) + ((h >> np.uint32(16)) & byte) + (h >> np.uint32(24))
            value = value * exposure + (np.float32(np.int32(total)) - np.float32(510.0)) * sigma + half
            row[i] = np.uint8(np.int32(min(max(value, zero), top)))
