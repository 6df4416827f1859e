"""One walk written in every format is the same walk when it is read."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from s2e.video import bags, gnm, recon
from s2e.video.options import ReadOptions
from s2e.video.walk import Walk
from tests.video.bag_files import Scene, encoded, write_bag, write_recon


def write_gnm(path: Path, scene: Scene) -> Path:
    files = [encoded(scene.image(k), scene.compressed) for k in range(len(scene.image_t))]
    poses = np.array([scene.pose(t) for t in scene.image_t])
    gnm.write_walk(path / "walk", files, poses[:, :2], poses[:, 2], times=scene.image_t)
    return path


def write_hdf(path: Path, scene: Scene) -> Path:
    return write_recon(path.with_suffix(".hdf5"), scene, "S" if scene.compressed else "pixels", jackal__time=scene.image_t)


WRITERS: dict[str, tuple[Callable[[Path, Scene], Path], Callable]] = {
    "gnm": (write_gnm, gnm.read),
    "ros1": (lambda path, scene: write_bag(path.with_suffix(".bag"), "ros1", scene), bags.read),
    "db3": (lambda path, scene: write_bag(path, "db3", scene), bags.read),
    "mcap": (lambda path, scene: write_bag(path, "mcap", scene), bags.read),
    "recon": (write_hdf, recon.read),
}


def written(folder: Path, format: str, scene: Scene) -> Walk:
    write, read = WRITERS[format]
    (walk,), skipped = read(write(folder / format, scene), ReadOptions())
    assert not skipped
    return walk


# Not a whole number of steps a second, so that no reader can have guessed the times.
TIMES = np.round(np.cumsum(np.random.default_rng(3).uniform(0.08, 0.15, 20)), 6)
TIMES -= TIMES[0]


@pytest.mark.parametrize("compressed", ["jpeg", ""])
def test_readers_agree(tmp_path, compressed):
    poses = np.unique(np.round(np.concatenate([TIMES, np.arange(-2, 80) * 0.05]), 6))
    scene = Scene(image_t=TIMES, pose_t=poses, compressed=compressed)
    formats = [f for f in WRITERS if compressed or f != "gnm"]
    truth = np.array([scene.pose(t) for t in TIMES])
    for walk in (written(tmp_path, f, scene) for f in formats):
        np.testing.assert_allclose(walk.times, TIMES, atol=1e-6)
        np.testing.assert_allclose(walk.position, truth[:, :2], atol=1e-6)
        np.testing.assert_allclose(np.exp(1j * walk.yaw), np.exp(1j * truth[:, 2]), atol=1e-6)
        if compressed:
            assert list(walk.frames.jpegs(range(20))) == [encoded(scene.image(k), "jpeg") for k in range(20)]
        else:
            for k, image in enumerate(walk.frames.images(range(20))):
                np.testing.assert_array_equal(image, scene.image(k))
        (one,) = walk.part(np.array([3, 4, 7, 8, 9, 12, 13, 19])).frames.images([6])  # a part of a part is the same, too
        np.testing.assert_array_equal(one, next(walk.frames.images([13])))
