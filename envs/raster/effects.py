"""What a camera does to an image: blur of the lens, exposure, and noise of the sensor; in place,
one view at a time.
"""

import numpy as np

from s2e.envs.raster.lanes import (
    bytes_at,
    floats,
    ints,
    kernel,
    lanes_at,
    put_bytes,
    put_lanes,
    ramp,
    select,
)

_SIGMA = np.float32(147.8)
"""Standard deviation of the sum of four bytes; its mean is 510."""


@kernel
def _read_row(image, start, count, out):
    """Copies the values of a row of pixels to `out`, from place 3 on; the first and the last pixel
    are repeated around them.
    """
    whole = count & ~7
    for i in range(0, whole, 8):
        put_lanes(out, i + 3, bytes_at(image, start + i))
    for i in range(whole, count):
        out[i + 3] = image[start + i]
    for c in range(3):
        out[c] = out[c + 3]
        out[count + 3 + c] = out[count + c]


@kernel
def apply_effects(image, height, count, effect, rows):
    """Blurs, exposes and adds noise to one image.

    The noise of a value is a hash of the seed and of the value's place in the image, so it is the
    same in every batch: the sum of the hash's four bytes, which is close to a normal distribution.

    Args:
        image: (H * W * 3) uint8, changed in place.
        height: H.
        count: W * 3, values of a row.
        effect: (4,) exposure, standard deviation of the noise (0..255 units), share of a 3x3
            binomial blur, seed.
        rows: (3, W * 3 + 16) int32, scratch.
    """
    exposure, blur, keep = (
        np.float32(effect[0]),
        np.float32(effect[2] / 16.0),
        np.float32(1.0 - effect[2]),
    )
    sigma, seed = np.float32(effect[1]) / _SIGMA, (np.int64(effect[3]) * 0x85EBCA6B) & 0x7FFFFFFF
    half, top, none, mean = np.float32(0.5), np.float32(255.0), np.float32(0.0), np.float32(510.0)
    _read_row(image, 0, count, rows[0])
    _read_row(image, 0, count, rows[2])
    for y in range(height):
        above, here, below = rows[(y + 2) % 3], rows[y % 3], rows[(y + 1) % 3]
        _read_row(image, min(y + 1, height - 1) * count, count, below)
        for i in range(0, count, 8):
            sides = (
                lanes_at(above, i)
                + lanes_at(above, i + 6)
                + lanes_at(below, i)
                + lanes_at(below, i + 6)
            )
            middle = lanes_at(here, i + 3)
            cross = (
                lanes_at(above, i + 3)
                + lanes_at(below, i + 3)
                + lanes_at(here, i)
                + lanes_at(here, i + 6)
            )
            value = floats(middle) * keep + floats(sides + cross * 2 + middle * 4) * blur
            h = ((ints(ramp()) + (y * count + i)) ^ seed) * 0x9E3779B1
            h = (h ^ (h >> 16)) * 0x45D9F3B
            h = (h ^ (h >> 15)) * 0x45D9F3B
            h = h ^ (h >> 16)
            total = (h & 255) + ((h >> 8) & 255) + ((h >> 16) & 255) + (h >> 24)
            value = value * exposure + (floats(total) - mean) * sigma + half
            value = select(value > none, value, none)
            result = ints(select(value < top, value, top))
            if i + 8 <= count:
                put_bytes(image, y * count + i, result)
            else:
                put_lanes(above, i, result)
                for k in range(i, count):
                    image[y * count + k] = above[k]


@kernel
def _apply_to_views(images, height, count, effects, rows):
    for v in range(len(images)):
        apply_effects(images[v], height, count, effects[v], rows)


def apply_to_views(rgb: np.ndarray, effects: np.ndarray) -> None:
    """Does to images (V, H, W, 3) uint8, in place, what `render_meshes` would do for effects (V,
    4).
    """
    views, height, width = rgb.shape[:3]
    rows = np.empty((3, width * 3 + 16), np.int32)
    _apply_to_views(
        rgb.reshape(views, -1),
        height,
        width * 3,
        np.ascontiguousarray(effects, dtype=np.float64),
        rows,
    )
