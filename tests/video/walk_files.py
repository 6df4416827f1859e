"""Walks of GNM's layout, made up."""

import numpy as np
from PIL import Image

from s2e.video.readers.gnm import write_walk


def make_walk(folder, length=12, images=None, seed=0):
    import io

    rng = np.random.default_rng(seed)
    data = []
    for _ in range(length if images is None else images):
        buffer = io.BytesIO()
        Image.fromarray(rng.integers(0, 255, (24, 32, 3), dtype=np.uint8)).save(buffer, "JPEG")
        data.append(buffer.getvalue())
    position = np.cumsum(0.1 * rng.random((length, 2)), 0)
    write_walk(folder, data, position, np.zeros(length))
    return position
