"""One walk written in every format is the same walk when it is read."""

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from s2e.core.errors import UserError
from s2e.video.options import ReadOptions
from s2e.video.readers import lerobot, posed
from s2e.video.walk import Walk
from tests.video.bag_files import Scene, encoded
from tests.video.writers import (
    POSE_T,
    TIMES,
    WRITERS,
    write_lerobot,
    write_posed,
)


def written(folder: Path, format: str, scene: Scene) -> Walk:
    write, read = WRITERS[format]
    (walk,), skipped = read(write(folder / format, scene), ReadOptions())
    assert not skipped, skipped
    return walk


JPEG_ALONE = ("gnm", "shards")


@pytest.mark.parametrize(
    ("format", "compressed"),
    [(f, c) for f in WRITERS for c in ("jpeg", "") if c or f not in JPEG_ALONE],
)
def test_readers_agree(tmp_path, format, compressed):
    scene = Scene(image_t=TIMES, pose_t=POSE_T, compressed=compressed)
    walk = written(tmp_path, format, scene)
    truth = np.array([scene.pose(t) for t in TIMES])
    np.testing.assert_allclose(walk.times - walk.times[0], TIMES, atol=1e-6)
    np.testing.assert_allclose(walk.position, truth[:, :2], atol=1e-6)
    np.testing.assert_allclose(np.exp(1j * walk.yaw), np.exp(1j * truth[:, 2]), atol=1e-6)
    if compressed:
        assert list(walk.frames.jpegs(range(20))) == [
            encoded(scene.image(k), "jpeg") for k in range(20)
        ]
    else:
        for k, image in enumerate(walk.frames.images(range(20))):
            np.testing.assert_array_equal(image, scene.image(k))
    part = walk.part(np.array([3, 4, 7, 8, 9, 12, 13, 19]))
    np.testing.assert_array_equal(next(part.frames.images([6])), next(walk.frames.images([13])))
    assert (
        part.frames.digest()
        != walk.frames.digest()
        == written(tmp_path / "again", format, scene).frames.digest()
    )


def posed_by(
    name: str, header: str, row: Callable[[float, float, float, float], tuple]
) -> Callable[[Path, Scene], Path]:
    """A writer of pictures whose poses are in a file of another kind: `row` of time, x, y and yaw,
    one for each picture."""

    def write(path: Path, scene: Scene) -> Path:
        write_posed(path, scene)
        (path / "groundtruth.txt").unlink()
        rows = [",".join(f"{v:.17g}" for v in row(t, *scene.pose(t))) for t in scene.image_t]
        text = "\n".join([header, *rows] if header else rows)
        (path / name).write_text(text if header else text.replace(",", " "))
        return path

    return write


def kitti_row(t: float, x: float, y: float, yaw: float) -> tuple[float, ...]:
    """A camera's: x right, y down, z ahead."""
    c, s = np.cos(yaw), np.sin(yaw)
    return c, 0, -s, -y, 0, 1, 0, 0, s, 0, c, x


def velocities(path: Path, scene: Scene) -> Path:
    """LeRobot with speeds alone: 0.8 m/s, some of it to the left."""
    pq = pytest.importorskip("pyarrow.parquet")
    file = write_lerobot(path, scene) / "data/chunk-000/file-000.parquet"
    table = pq.read_table(file)
    states = [[0.64, 0.48, 0.4]] * len(table)
    pq.write_table(table.set_column(0, "observation.state", [states]), file)
    return path


MORE: dict[str, tuple[Callable[[Path, Scene], Path], Callable, ReadOptions]] = {
    "kitti": (
        posed_by("poses.txt", "", kitti_row),
        posed.read,
        ReadOptions(poses="poses.txt:optical"),
    ),
    "csv": (posed_by("poses.csv", "time,x,y,yaw", lambda *pose: pose), posed.read, ReadOptions()),
    "csv in space": (
        posed_by(
            "poses.csv",
            "time,x,y,z,qx,qy,qz,qw",
            lambda t, x, y, yaw: (t, x, y, 0, 0, 0, np.sin(yaw / 2), np.cos(yaw / 2)),
        ),
        posed.read,
        ReadOptions(),
    ),
    "speeds": (velocities, lerobot.read, ReadOptions(poses="velocity:observation.state:x,y,yaw")),
}


@pytest.mark.parametrize("format", [*WRITERS, *MORE])
def test_scale_is_metres_per_unit_in_every_reader(tmp_path, format):
    write, read, options = MORE[format] if format in MORE else (*WRITERS[format], ReadOptions())
    path = write(tmp_path / format, Scene(image_t=TIMES, pose_t=POSE_T, compressed="jpeg"))
    (plain,), (scaled,) = (read(path, replace(options, scale=scale))[0] for scale in (1.0, 0.25))
    assert np.linalg.norm(plain.position[-1] - plain.position[0]) == pytest.approx(
        0.8 * TIMES[-1], rel=0.05
    )
    np.testing.assert_allclose(scaled.position, 0.25 * plain.position, atol=1e-9)
    np.testing.assert_array_equal(scaled.yaw, plain.yaw)
    np.testing.assert_array_equal(scaled.times, plain.times)


def test_latitudes_have_a_scale_of_their_own(tmp_path):
    def row(t: float, x: float, y: float, yaw: float) -> tuple[float, ...]:
        return t, 48.0 + y / 111_200, 9.0 + x / 74_600, (90 - np.degrees(yaw)) % 360

    path = posed_by("poses.csv", "time,lat,lon,heading", row)(
        tmp_path / "walk", Scene(image_t=TIMES, compressed="jpeg")
    )
    (plain,), (scaled,) = (posed.read(path, ReadOptions(scale=scale))[0] for scale in (1.0, 0.25))
    np.testing.assert_array_equal(scaled.position, plain.position)
    assert np.linalg.norm(plain.position[-1] - plain.position[0]) == pytest.approx(
        0.8 * TIMES[-1], rel=0.05
    )


def open_files(folder: Path) -> list[str]:
    """What this process holds open or mapped below a folder."""
    held = []
    for number in os.listdir("/proc/self/fd"):
        try:
            held.append(os.readlink(f"/proc/self/fd/{number}"))
        except OSError:
            continue  # the list itself
    held += [
        line.split(maxsplit=5)[5]
        for line in Path("/proc/self/maps").read_text().splitlines()
        if "/" in line
    ]
    return [name for name in held if name.startswith(str(folder))]


@pytest.mark.skipif(
    not Path("/proc/self/fd").is_dir(), reason="the system does not list open files"
)
@pytest.mark.parametrize("format", WRITERS)
def test_no_file_stays_open(tmp_path, format):
    """A dataset of thousands of walks would run out of files: neither a walk that is kept nor one
    half looked at holds any."""
    scene = Scene(image_t=TIMES, pose_t=POSE_T, compressed="jpeg")
    walk = written(tmp_path, format, scene)
    assert not open_files(tmp_path)
    started = walk.frames.images(range(20))
    next(started)
    started.close()  # pyright: ignore[reportAttributeAccessIssue]
    assert len(list(walk.frames.jpegs(range(20)))) == 20 and walk.frames.digest()
    assert not open_files(tmp_path)
    write, read = WRITERS[format]
    file = max(
        (f for f in (tmp_path / format).parent.rglob("*") if f.is_file()),
        key=lambda f: f.stat().st_size,
    )
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with suppress(UserError):
        read(next(p for p in tmp_path.iterdir() if p.stem == format), ReadOptions())
    assert not open_files(tmp_path), "after a damaged one"
