"""The colour camera of an RGB-D sensor is found by what it shows."""

from dataclasses import replace

import numpy as np
import pytest

from s2e.envs.scan.photos.pictures import Photo
from s2e.envs.scan.photos.registration import Registration, register, registered
from s2e.envs.splats.gradients import View
from s2e.envs.splats.render import prepare, render_splats
from s2e.envs.splats.views import Views
from tests.envs.scan.shots import room, walk

SIZE = (96, 72)


def sensor(focal: float, right: float) -> list[Photo]:
    """Photographs whose colour camera has another focal length and stands beside the depth
    camera."""
    eyes, axes = walk(40, seed=3)
    turned, splats = axes.transpose(0, 2, 1), prepare(room(12_000))
    lens = np.array([70.0, 70.0, 48.0, 36.0])
    size = SIZE[1], SIZE[0]
    _, depth, _ = render_splats(splats, Views(eyes, turned, lens, *size))
    rgb, _, _ = render_splats(
        splats, Views(eyes + right * axes[:, :, 0], turned, lens * [focal, focal, 1, 1], *size)
    )
    depth[~np.isfinite(depth)] = 0.0
    return [
        Photo(str(k), View(eyes[k], turned[k], lens, *size), rgb[k], depth[k]) for k in range(40)
    ]


def test_another_camera_is_found():
    photos = sensor(0.9, 0.1)
    found = register(photos)
    assert (
        found.focal == pytest.approx(0.9, abs=0.02)
        and found.right == pytest.approx(0.1, abs=0.05)
        and found.gain > 0.1
    )
    moved = registered(photos[0], Registration(0.9, 0.1))
    np.testing.assert_allclose(
        moved.view.position, photos[0].view.position + 0.1 * photos[0].view.rotation[0]
    )
    truth = sensor(1.0, 0.0)[0]
    wanted = render_splats(
        prepare(room(12_000)),
        Views(
            moved.view.position[None],
            moved.view.rotation[None],
            moved.view.intrinsics,
            SIZE[1],
            SIZE[0],
        ),
    )[1][0]
    assert moved.depth is not None and truth.depth is not None
    known = moved.depth > 0
    assert known.mean() > 0.6 and np.median(np.abs(moved.depth - wanted)[known]) < 0.05


def test_one_camera_stays():
    photos = sensor(1.0, 0.0)
    assert register(photos) == Registration()
    assert registered(photos[0], Registration()) is photos[0]
    assert register([replace(photo, depth=None) for photo in photos]) == Registration()
