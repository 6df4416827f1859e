import math
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from s2e.core.errors import UserError
from s2e.video.frames import decode
from s2e.video.options import ReadOptions
from s2e.video.readers import recon
from tests.video.bag_files import Scene, encoded, write_recon

h5py = pytest.importorskip("h5py")


def read(path: Path, **options):
    walks, skipped = recon.read(path, ReadOptions(**options))
    assert not skipped, skipped
    return walks


def reason(path: Path) -> str:
    """Why a file gives no walk."""
    walks, skipped = recon.read(path, ReadOptions())
    assert not walks and len(skipped) == 1
    assert "\n" not in skipped[0].reason and str(path) in skipped[0].reason
    return skipped[0].reason


@pytest.mark.parametrize("images", ["S", "vlen", "rows", "pixels"])
def test_ways_to_keep_images(tmp_path, images):
    scene = Scene()
    path = write_recon(tmp_path / "walk.hdf5", scene, images)
    assert recon.fits(path) and recon.fits(tmp_path) and not recon.fits(tmp_path / "other")
    (walk,) = read(path)
    truth = np.array([scene.pose(t) for t in scene.image_t])
    np.testing.assert_array_equal(walk.position, truth[:, :2])
    np.testing.assert_array_equal(walk.yaw, truth[:, 2])
    assert walk.name == "walk" and walk.hz == pytest.approx(4) and "4 frames a second" in walk.note
    for k, image in zip((2, 2, 19), walk.frames.images([2, 2, 19]), strict=True):
        np.testing.assert_array_equal(
            image,
            scene.image(k) if images == "pixels" else decode(encoded(scene.image(k), "jpeg"), ""),
        )
    if images in ("S", "vlen"):
        assert list(walk.frames.jpegs([5])) == [encoded(scene.image(5), "jpeg")]  # as it is


def test_body_rate_times_and_scale(tmp_path):
    path = write_recon(tmp_path / "a.hdf5")
    (walk,) = read(path, hz=3, scale=2.0)
    assert walk.hz == pytest.approx(3) and walk.position[-1, 0] == pytest.approx(
        2 * Scene().pose(1.9)[0]
    )
    body = walk.body
    assert (body.robot, body.length_m, body.width_m, body.camera_height_m, body.camera_x_m) == (
        "jackal",
        0.508,
        0.43,
        0.95,
        0.45,
    )
    # 640 pixels of focal length 272.547
    assert body.camera_hfov_deg == pytest.approx(99.16, abs=0.01)
    assert not np.isnan(body.token()).any()
    times = 100 + np.arange(20) * 0.31
    (walk,) = read(write_recon(tmp_path / "b.hdf5", jackal__time=times))
    np.testing.assert_allclose(walk.times, times - 100)
    (walk,) = read(
        write_recon(
            tmp_path / "c.hdf5",
            images="pixels",
            images__rgb_left=np.zeros((20, 24, 24, 3), np.uint8),
        )
    )
    assert math.isnan(walk.body.camera_hfov_deg)  # cropped


def test_a_folder_and_unique_names(tmp_path):
    for name in ("b/1.hdf5", "b/1.h5", "a.hdf5"):
        write_recon(tmp_path / name)
    (tmp_path / "b" / "2.hdf5").write_bytes(b"text")
    assert [w.name for w in read(tmp_path)] == ["a", "b/1.h5", "b/1.hdf5"]


def test_lengths_that_differ(tmp_path):
    path = write_recon(
        tmp_path / "a.hdf5", jackal__position=np.zeros((22, 3)), jackal__yaw=np.zeros((19, 1))
    )
    (walk,) = read(path)
    assert len(walk) == 19 and "22 of jackal/position" in walk.note and "first 19" in walk.note


def test_the_digest_changes_with_any_image(tmp_path):
    scene = Scene()
    digests = {
        read(write_recon(tmp_path / f"{i}.hdf5", scene, i))[0].frames.digest()
        for i in ("S", "vlen", "pixels")
    }
    assert len(digests) == 2  # fixed and variable lengths are the same bytes
    scene.image = lambda k: np.zeros((24, 32, 3), np.uint8) if k == 19 else Scene().image(k)
    assert read(write_recon(tmp_path / "other.hdf5", scene))[0].frames.digest() not in digests


BAD = {
    "no jackal/yaw in it; it has gps/latlong, images/rgb_left, jackal/position": {
        "jackal__yaw": None
    },
    "no images/rgb_left": {"images": "none"},
    "should be (T, 2 or more)": {"jackal__position": np.zeros(20)},
    "numbers are expected": {"jackal__position": np.array([b"north"] * 20)},
    "JPEG files are expected": {"images__rgb_left": np.zeros(20)},
    "neither JPEG nor PNG": {"images__rgb_left": np.array([b"%!PS-Adobe-3.0 EPSF"] * 20)},
    "jackal/yaw is empty": {"jackal__yaw": np.zeros(0)},
    "not finite": {"jackal__yaw": np.full(20, np.nan)},
    "4 frames with poses; 8 needed": {"jackal__yaw": np.zeros(4)},
    "m/s": {"jackal__position": 1000 * np.random.default_rng(0).random((20, 3))},
    "time stands still": {"jackal__time": np.zeros(20)},
    "jackal/position is no array": {"jackal__position": None, "jackal__position__x": np.zeros(20)},
}


@pytest.mark.parametrize("text", BAD)
def test_bad_files_say_why(tmp_path, text):
    assert text in reason(write_recon(tmp_path / "a.hdf5", **BAD[text]))


def put(path: Path, key: str, make) -> None:
    """Replaces a dataset of a good file."""
    write_recon(path)
    with h5py.File(path, "a") as file:
        data = file[key][()]
        del file[key]
        make(file, data)


def test_links_out_of_the_file_are_refused(tmp_path):
    secret = write_recon(tmp_path / "else" / "secret.h5")
    path = tmp_path / "a.hdf5"
    for key in ("jackal/position", "jackal/yaw", "images/rgb_left"):
        for link in (h5py.ExternalLink(str(secret), key), h5py.SoftLink("/gps/latlong")):
            put(path, key, lambda f, _, k=key, to=link: f.__setitem__(k, to))
            assert f"{key} is a link" in reason(path)
    write_recon(path)
    with h5py.File(path, "a") as file:
        del file["jackal"]
        file["jackal"] = h5py.ExternalLink(str(secret), "jackal")
    assert "is a link" in reason(path)
    write_recon(path)
    with h5py.File(path, "a") as file:
        file["jackal/time"] = h5py.ExternalLink(str(secret), "jackal/yaw")
    assert "jackal/time is a link" in reason(path)


def test_values_kept_in_other_files_are_refused(tmp_path):
    secret = write_recon(tmp_path / "else" / "secret.h5")
    layout = h5py.VirtualLayout((20,), "f8")
    layout[:] = h5py.VirtualSource(str(secret), "jackal/yaw", shape=(20,))
    path = tmp_path / "a.hdf5"
    put(path, "jackal/yaw", lambda f, _: f.create_virtual_dataset("jackal/yaw", layout))
    assert "keeps its values in other files" in reason(path)
    raw = tmp_path / "else" / "raw"
    raw.write_bytes(bytes(160))
    put(
        path,
        "jackal/yaw",
        lambda f, _: f.create_dataset("jackal/yaw", (20,), "f8", external=[(str(raw), 0, 160)]),
    )
    assert "keeps its values in other files" in reason(path)


def test_sizes_are_refused_before_anything_is_allocated(tmp_path):
    path = tmp_path / "a.hdf5"
    put(
        path,
        "jackal/yaw",
        lambda f, _: f.create_dataset("jackal/yaw", (1 << 40,), "f8", chunks=(1024,)),
    )
    assert "too big for the poses" in reason(path)
    put(
        path,
        "jackal/yaw",
        lambda f, _: f.create_dataset(
            "jackal/yaw", (20,), "f8", maxshape=(None,), chunks=(1 << 28,)
        ),
    )
    assert "chunks" in reason(path)
    put(
        path,
        "images/rgb_left",
        lambda f, _: f.create_dataset("images/rgb_left", (20, 1 << 30), "u1", chunks=(1, 1 << 20)),
    )
    assert "bytes an image" in reason(path)


def test_variable_lengths_are_looked_at_before_they_are_read(tmp_path):
    scene, path = Scene(), tmp_path / "a.hdf5"
    length = len(encoded(scene.image(6), "jpeg"))
    data = bytearray(write_recon(path, scene, "vlen").read_bytes())
    with h5py.File(path) as file:
        at = file["images/rgb_left"].id.get_offset() + 16 * 6
    assert data[at : at + 4] == length.to_bytes(4, "little")
    data[at : at + 4] = b"\xff" * 4
    path.write_bytes(data)
    assert "4294967295 bytes an image" in reason(path)


@pytest.mark.parametrize("chunks", [(7,), (64,)])
def test_variable_lengths_in_chunks(tmp_path, chunks):
    scene, path = Scene(), tmp_path / "a.hdf5"

    def put_chunks(file, files, **more):
        new = file.create_dataset(
            "images/rgb_left",
            (20,),
            h5py.vlen_dtype(np.uint8),
            chunks=chunks,
            maxshape=(None,),
            **more,
        )
        for k in range(20):
            new[k] = np.frombuffer(encoded(scene.image(k), "jpeg"), np.uint8)

    put(path, "images/rgb_left", put_chunks)
    assert list(read(path)[0].frames.jpegs(range(20))) == [
        encoded(scene.image(k), "jpeg") for k in range(20)
    ]
    put(path, "images/rgb_left", lambda f, d: put_chunks(f, d, compression="gzip"))
    assert "write it without" in reason(path)


@pytest.mark.parametrize("images", ["S", "vlen"])
def test_a_broken_image_is_named_when_it_is_read(tmp_path, images):
    scene = Scene()
    path = write_recon(tmp_path / "a.hdf5", scene, images)
    file = encoded(scene.image(6), "jpeg")
    data = path.read_bytes()
    at = data.index(file)
    path.write_bytes(data[: at + 20] + bytes(len(file) - 20) + data[at + len(file) :])
    (walk,) = read(path)
    assert len(list(walk.frames.images(range(6)))) == 6
    with pytest.raises(UserError, match="image 6 of images/rgb_left"):
        list(walk.frames.images([6]))


def test_truncated_and_missing_files(tmp_path):
    path = write_recon(tmp_path / "a.hdf5")
    data = path.read_bytes()
    for part in (0.99, 0.5, 0.001):
        path.write_bytes(data[: int(part * len(data))])
        assert "not a readable HDF5 file" in reason(path)
    path.write_bytes(data)
    (walk,) = read(path)
    path.unlink()
    with pytest.raises(UserError, match="not a readable HDF5 file"):
        list(walk.frames.images([0]))


def test_without_the_library_the_extra_is_named(tmp_path, monkeypatch):
    path = write_recon(tmp_path / "a.hdf5")
    monkeypatch.setitem(sys.modules, "h5py", None)
    assert recon.fits(path)
    with pytest.raises(UserError, match='pip install "h5py'):
        recon.read(path, ReadOptions())


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> list[bytes]:
    folder, scene = tmp_path_factory.mktemp("small"), Scene(image_t=np.arange(9) * 0.1)
    return [write_recon(folder / f"{i}.hdf5", scene, i).read_bytes() for i in ("S", "vlen", "rows")]


@pytest.mark.filterwarnings("ignore:overflow")
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    which=st.integers(0, 2),
    changes=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=6),
)
def test_spoilt_bytes_raise_user_errors_alone(small, tmp_path, which, changes):
    data = bytearray(small[which])
    for place, value in changes:
        data[int(place**3 * (len(data) - 1))] = value  # most of the structure is at the beginning
    path = tmp_path / "spoilt.hdf5"
    path.write_bytes(data)
    walks, _ = recon.read(path, ReadOptions())
    for walk in walks:
        try:
            list(walk.frames.images(range(len(walk))))
        except UserError:
            pass
