"""One walk in every format."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from s2e.video.options import ReadOptions
from s2e.video.readers import bags, gnm, lerobot, posed, recon, shards
from tests.video.bag_files import Scene, encoded, write_bag, write_recon
from tests.video.shard_files import write_shards


def write_gnm(path: Path, scene: Scene) -> Path:
    files = [encoded(scene.image(k), scene.compressed) for k in range(len(scene.image_t))]
    poses = np.array([scene.pose(t) for t in scene.image_t])
    gnm.write_walk(path / "walk", files, poses[:, :2], poses[:, 2], times=scene.image_t)
    return path


def write_hdf(path: Path, scene: Scene) -> Path:
    return write_recon(
        path.with_suffix(".hdf5"),
        scene,
        "S" if scene.compressed else "pixels",
        jackal__time=scene.image_t,
    )


def write_posed(path: Path, scene: Scene) -> Path:
    """Pictures, their times, and a TUM file with more poses than pictures."""
    kind = scene.compressed or "png"
    (path / "rgb").mkdir(parents=True)
    for k in range(len(scene.image_t)):
        (path / "rgb" / f"{k:04d}.{kind.replace('jpeg', 'jpg')}").write_bytes(
            encoded(scene.image(k), kind)
        )
    (path / "times.txt").write_text("\n".join(f"{t:.6f}" for t in scene.image_t))
    rows = [
        (t, x, y, 0, 0, 0, np.sin(yaw / 2), np.cos(yaw / 2))
        for t in scene.pose_t
        for x, y, yaw in [scene.pose(t)]
    ]
    (path / "groundtruth.txt").write_text(
        "\n".join(" ".join(f"{v:.17g}" for v in row) for row in rows)
    )
    return path


def write_lerobot(path: Path, scene: Scene) -> Path:
    """One episode with its pictures in Parquet."""
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    count, files = (
        len(scene.image_t),
        [encoded(scene.image(k), scene.compressed or "png") for k in range(len(scene.image_t))],
    )
    for folder in ("meta/episodes/chunk-000", "data/chunk-000"):
        (path / folder).mkdir(parents=True)
    every = list(range(count))
    rows = {
        "observation.state": [list(map(float, scene.pose(t))) for t in scene.image_t],
        "observation.images.front": [{"bytes": f, "path": None} for f in files],
        "timestamp": scene.image_t.tolist(),
        "frame_index": every,
        "index": every,
        "episode_index": [0] * count,
    }
    pq.write_table(pa.table(rows), path / "data/chunk-000/file-000.parquet")
    episode = {"episode_index": 0, "length": count, "data/chunk_index": 0, "data/file_index": 0}
    episode |= {"dataset_from_index": 0, "dataset_to_index": count}
    pq.write_table(
        pa.Table.from_pylist([episode]), path / "meta/episodes/chunk-000/file-000.parquet"
    )
    features = {
        "observation.state": {"dtype": "float64", "shape": [3], "names": ["x", "y", "yaw"]},
        "observation.images.front": {
            "dtype": "image",
            "shape": [24, 32, 3],
            "names": ["height", "width", "channels"],
        },
    }
    where = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
    info = {
        "codebase_version": "v3.0",
        "fps": 10,
        "total_episodes": 1,
        "total_frames": count,
        "data_path": where,
        "features": features,
    }
    (path / "meta" / "info.json").write_text(json.dumps(info))
    return path


def write_shard(path: Path, scene: Scene) -> Path:
    walks, _ = gnm.read(write_gnm(path.with_name(path.name + "-gnm"), scene), ReadOptions())
    write_shards(path, walks)
    return path


WRITERS: dict[str, tuple[Callable[[Path, Scene], Path], Callable]] = {
    "gnm": (write_gnm, gnm.read),
    "ros1": (lambda path, scene: write_bag(path.with_suffix(".bag"), "ros1", scene), bags.read),
    "db3": (lambda path, scene: write_bag(path, "db3", scene), bags.read),
    "mcap": (lambda path, scene: write_bag(path, "mcap", scene), bags.read),
    "recon": (write_hdf, recon.read),
    "posed": (write_posed, posed.read),
    "lerobot": (write_lerobot, lerobot.read),
    "shards": (write_shard, shards.read),
}


# Not a whole number of steps a second, so that no reader can have guessed the times.
TIMES = np.round(np.cumsum(np.random.default_rng(3).uniform(0.08, 0.15, 20)), 6)
TIMES -= TIMES[0]


POSE_T = np.unique(np.round(np.concatenate([TIMES, np.arange(-2, 80) * 0.05]), 6))
