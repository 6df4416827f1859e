"""The script of the packaged things draws all of them."""

import numpy as np
from PIL import Image

from s2e.envs.streets.objects import object_kinds
from tools.objects import sheet


def test_the_sheet_shows_every_kind(tmp_path):
    sheet(tmp_path / "sheet.png")
    pixels = np.asarray(Image.open(tmp_path / "sheet.png"))
    rows = -(-len(object_kinds()) // 12)
    assert pixels.shape == (120 * rows, 120 * 12, 3)
    boxes = pixels.reshape(rows, 120, 12, 120, 3).swapaxes(1, 2).reshape(-1, 120, 120, 3)
    assert all(box.std() > 10 for box in boxes[: len(object_kinds())])
