"""Pictures: points land where a camera sees them, and what is to be seen is there."""

import math

import numpy as np
import pytest

from s2e.policy.config import PolicyConfig
from s2e.pretrain.pictures import (
    BEST,
    FRAME_W,
    GOAL,
    HEADER,
    OTHER,
    PANEL,
    TRUTH,
    camera_known,
    fan_picture,
    pick,
    project,
    sheet,
)
from s2e.video.walk import Body

LEVEL = Body(camera_height_m=0.5, camera_hfov_deg=90.0, camera_pitch_deg=0.0, camera_x_m=0.2)


def near(image, colour, tolerance=40):
    """(H, W) where a picture has about this colour."""
    return (np.abs(image.astype(int) - colour) <= tolerance).all(-1)


def test_points_of_a_level_camera():
    size = (100, 200)  # f = 100 px
    points = np.array([[1.2, 0.0], [1.2, 1.0], [1.2, -1.0], [2.2, 0.0], [0.1, 0.0]])
    pixels = project(points, LEVEL, size)
    np.testing.assert_allclose(pixels[:4], [[100, 100], [0, 100], [200, 100], [100, 75]], atol=1e-9)
    assert np.isnan(pixels[4]).all(), "behind the camera"


@pytest.mark.parametrize("pitch", [5.0, 20.0, 60.0])
def test_a_pitched_camera_agrees_with_a_rotation_matrix(pitch):
    body = Body(camera_height_m=0.7, camera_hfov_deg=70.0, camera_pitch_deg=pitch)
    rng = np.random.default_rng(0)
    points = np.stack([rng.uniform(0.3, 5, 50), rng.uniform(-2, 2, 50)], 1)
    # Independent: the optical axes in the robot's frame as columns, then the pinhole.
    a = math.radians(pitch)
    right, down, forward = (
        np.array([0, -1, 0]),
        np.array([-math.sin(a), 0, -math.cos(a)]),
        np.array([math.cos(a), 0, -math.sin(a)]),
    )
    seen = (np.concatenate([points, np.zeros((50, 1))], 1) - [0, 0, 0.7]) @ np.stack(
        [right, down, forward], 1
    )
    f = 160 / math.tan(math.radians(35))
    expected = seen[:, :2] / seen[:, 2:] * f + [160, 90]
    np.testing.assert_allclose(project(points, body, (180, 320)), expected, atol=1e-9)
    axis = np.array([0.7 / math.tan(a), 0.0])  # where the optical axis meets the ground
    np.testing.assert_allclose(project(axis, body, (180, 320)), [160, 90], atol=1e-9)


def test_unknown_and_fisheye_cameras_are_left_alone():
    assert (
        camera_known(LEVEL)
        and not camera_known(Body())
        and not camera_known(Body(camera_height_m=0.5, camera_hfov_deg=90.0))
    )
    assert not camera_known(Body(camera_height_m=0.5, camera_hfov_deg=170.0, camera_pitch_deg=0.0))


def fan(angles, speed=1.0):
    t = speed * 0.2 * np.arange(1, 11)
    return np.stack([np.stack([t * math.cos(a), t * math.sin(a)], 1) for a in angles])


def drawn(body=LEVEL, scores=(0.1, 0.3, 0.6), goal=(1.5, -1.0)):
    frame = np.full((96, 160, 3), 128, np.uint8)
    return fan_picture(
        frame,
        body,
        fan([-0.5, 0.0, 0.5]),
        np.array(scores),
        fan([0.2])[0],
        np.array(goal),
        "a walk",
    )


def test_everything_is_in_the_picture():
    image = drawn()
    assert image.shape == (HEADER + PANEL, FRAME_W + PANEL, 3) and image.dtype == np.uint8
    frame, above = image[HEADER:, :FRAME_W], image[HEADER:, FRAME_W:]
    for colour in (TRUTH, BEST):
        assert near(frame, colour).sum() > 20 and near(above, colour).sum() > 20
    assert near(above, GOAL).sum() > 20
    assert (
        np.nonzero(near(above, BEST))[1].mean()
        < PANEL / 2
        < np.nonzero(near(above, GOAL))[1].mean()
    ), "left is left"
    unknown = drawn(Body())[HEADER:, :FRAME_W]
    assert set(np.unique(unknown)) == {128, 255}


def test_a_low_score_is_faint():
    low, high = (
        drawn(scores=s)[HEADER:, FRAME_W:] for s in ((0.02, 0.02, 0.96), (0.32, 0.32, 0.36))
    )
    assert near(low, OTHER).sum() < 5 < near(high, OTHER).sum()


def test_a_far_goal_is_a_ring_on_the_rim():
    filled, ring = (
        near(drawn(goal=g)[HEADER:, FRAME_W:], GOAL) for g in ((1.5, -1.0), (3.0, -60.0))
    )
    assert filled.sum() > ring.sum() > 10
    assert np.nonzero(ring)[1].min() > 0.9 * PANEL


def test_picked_samples_are_few_fixed_and_different():
    rng = np.random.default_rng(0)
    future = rng.uniform(-1, 1, 500)[:, None, None] * np.ones((1, 10, 2)) + [2.0, 0.0]
    future[100:200] = 0  # stands
    index = pick(future)
    assert len(index) == 6 and not set(index) & set(range(100, 200))
    np.testing.assert_array_equal(index, pick(future))
    bearing = np.arctan2(future[index, -1, 1], future[index, -1, 0])
    assert (np.diff(bearing) > 0.05).all() and bearing[0] < -0.2 < 0.2 < bearing[-1]
    assert len(pick(np.zeros((3, 10, 2)))) == 3 and len(pick(np.zeros((50, 10, 2)))) == 6


def test_a_sheet_holds_all_pictures():
    pictures = [drawn()] * 3
    image = sheet(pictures, PolicyConfig())
    assert image.shape[0] > 2 * pictures[0].shape[0] and image.shape[1] > 2 * pictures[0].shape[1]
    assert sheet(pictures[:1], PolicyConfig()).shape[1] < image.shape[1]
