"""Where photographs agree on a depth, a surface is."""

import numpy as np
import pytest

from s2e.envs.scan.photos.cameras import read_camera_list
from s2e.envs.scan.photos.pictures import back_projected, read_photos
from s2e.envs.scan.photos.sweep import sweep
from tests.envs.scan.shots import room, shoot

pytestmark = pytest.mark.usefixtures("one_thread")


def test_the_walls_of_a_room(tmp_path):
    shoot(tmp_path, room(20_000), 40, (96, 72), rgbd=False)
    photos, _ = read_photos(read_camera_list(tmp_path), 96)
    swept = sweep(photos, 0.4, 12.0)
    points, colours = back_projected(swept, 4000, 0)
    away = np.stack(
        [points[:, 2], points[:, 0], 8 - points[:, 0], points[:, 1], 6 - points[:, 1]]
    ).min(0)
    assert len(swept) == 40 and len(points) == len(colours) == 4000
    # A pixel of disparity is some 0.2 m of depth at 4 m, with a metre between the cameras.
    assert np.median(np.abs(away)) < 0.15 and np.quantile(np.abs(away), 0.8) < 0.3
    assert colours.min() >= 0 and colours.max() <= 1


def test_nothing_to_compare_with(tmp_path):
    shoot(tmp_path, room(500), 3, (48, 32), rgbd=False)
    photos, _ = read_photos(read_camera_list(tmp_path), 48)
    swept = sweep(photos, 0.4, 12.0)
    assert [photo.name for photo in swept] == [photo.name for photo in photos]
    assert all(photo.depth is not None and photo.depth.shape == (32, 48) for photo in swept)
