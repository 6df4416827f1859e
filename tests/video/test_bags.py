import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from s2e.video.ground import MAX_GAP_S, at_times
from s2e.video.options import ReadOptions
from s2e.video.readers import bags, ros_images, ros_messages, ros_times
from tests.video.bag_files import (
    Scene,
    Writer,
    encoded,
    path_of,
    raw,
    read,
    reason,
    same,
    write_bag,
)

pytest.importorskip("rosbags")

FORMATS = [
    "ros1",
    "ros1-bz2",
    "ros1-lz4",
    "db3",
    "db3-file",
    "mcap",
    "mcap-message",
    "mcap-storage",
]


@pytest.mark.parametrize("format", FORMATS)
def test_every_container_gives_the_same_walk(tmp_path, format):
    scene = Scene()
    path = write_bag(path_of(tmp_path, format), format, scene)
    assert bags.fits(path) and bags.fits(tmp_path)
    (walk,) = read(path)
    same(walk, scene)
    assert walk.name == "walk" and walk.body.camera_hfov_deg == pytest.approx(90)
    assert ("compressed as a whole" in walk.note) == (format == "db3-file")


def test_a_container_alone_and_a_folder_of_bags(tmp_path):
    for format in ("ros1", "db3", "mcap"):
        write_bag(path_of(tmp_path / format, format), format)
    (tmp_path / "mcap" / "walk" / "metadata.yaml").unlink()
    (tmp_path / "notes.db3").write_bytes(b"not a database")
    assert bags.fits(next((tmp_path / "mcap" / "walk").glob("*.mcap")))
    assert not bags.fits(tmp_path / "notes.db3") and not bags.fits(tmp_path / "nowhere")
    assert [w.name for w in read(tmp_path)] == ["db3/walk", "mcap/walk/walk", "ros1/walk"]


def test_a_ros2_bag_of_several_files_is_one_walk(tmp_path):
    scene = Scene()
    for part, name in enumerate("ab"):
        with Writer(tmp_path / name, "db3") as bag:
            for k in range(10 * part, 10 * part + 10):
                bag.pose(scene, 0.1 * k)
                bag.image(scene, k, scene.start + 0.1 * k)
    (tmp_path / "b" / "b.db3").rename(tmp_path / "a" / "b.db3")
    yaml = tmp_path / "a" / "metadata.yaml"
    before, found, after = yaml.read_text().partition("- a.db3\n")
    yaml.write_text(f"{before}{found}  {found.replace('a.db3', 'b.db3')}{after}")
    (walk,) = read(tmp_path / "a")
    same(walk, scene)


def test_names_are_unique(tmp_path):
    write_bag(tmp_path / "a", "db3")
    write_bag(tmp_path / "a.bag", "ros1")
    assert sorted(w.name for w in read(tmp_path)) == ["a", "a.bag"]


@pytest.mark.parametrize("kind", ros_messages.POSE_TYPES)
@pytest.mark.parametrize("format", ["ros1", "mcap"])
def test_pose_types(tmp_path, format, kind):
    scene = Scene(pose_type=kind)
    same(read(write_bag(path_of(tmp_path, format), format, scene))[0], scene)


@pytest.mark.parametrize(
    "encoding", ["rgb8", "bgr8", "rgba8", "bgra8", "8UC3", "mono8", "8UC1", "mono16"]
)
@pytest.mark.parametrize("padding", [0, 6])
def test_encodings(encoding, padding):
    image = Scene().image(3)
    data, step = raw(image, encoding, padding)
    message = ros_messages.RawImage(24, 32, encoding, True, step, memoryview(data))
    if encoding == "mono16":  # `raw` writes the grey as the second byte
        message = message._replace(big_endian=False)
    ros_images.check(message)
    got = ros_images.rgb(message)
    grey = encoding in ("mono8", "8UC1", "mono16")
    expected = (
        np.asarray(ros_images.Image.fromarray(image).convert("L").convert("RGB")) if grey else image
    )
    assert got.dtype == np.uint8
    np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("encoding", ["uyvy", "yuv422", "yuyv", "yuv422_yuy2"])
def test_yuv_against_ffmpeg(encoding):
    av = pytest.importorskip("av")
    rng = np.random.default_rng(0)
    pairs = np.empty((16, 16, 4), dtype=np.uint8)  # Y U Y V
    # constant chroma: how it is interpolated is no part of this
    pairs[...] = rng.integers(60, 200, 4)
    pairs[..., [0, 2]] = np.linspace(30, 220, 16 * 32).reshape(16, 16, 2)
    expected = av.VideoFrame.from_ndarray(pairs.reshape(16, 32, 2), format="yuyv422").to_ndarray(
        format="rgb24"
    )
    data = pairs[..., [1, 0, 3, 2]] if encoding in ("uyvy", "yuv422") else pairs
    got = ros_images.rgb(
        ros_messages.RawImage(16, 32, encoding, False, 64, memoryview(data.tobytes()))
    )
    # swscale's fast path rounds down in fixed point
    assert np.abs(got.astype(int) - expected).max() <= 4
    # The definition: luma weights .299, .587, .114; 219 steps of luma, 224 of chroma.
    y, u, v = (
        (pairs[..., [0, 2]].reshape(16, 32) - 16.0) / 219,
        (pairs[0, 0, 1] - 128.0) / 224,
        (pairs[0, 0, 3] - 128.0) / 224,
    )
    red, blue = y + 2 * (1 - 0.299) * v, y + 2 * (1 - 0.114) * u
    exact = 255 * np.stack([red, (y - 0.299 * red - 0.114 * blue) / 0.587, blue], -1)
    assert np.abs(got - np.clip(exact, 0, 255)).max() <= 1


@pytest.mark.parametrize("format", ["ros1", "db3"])
@pytest.mark.parametrize("kind", ["jpeg", "png"])
def test_compressed_images(tmp_path, format, kind):
    scene = Scene(compressed=kind, image_topic="/camera/image_raw/compressed")
    (walk,) = read(write_bag(path_of(tmp_path, format), format, scene))
    (frame,) = walk.frames.images([4])
    (file,) = walk.frames.jpegs([4])
    if kind == "png":
        np.testing.assert_array_equal(frame, scene.image(4))
    else:
        assert file == encoded(scene.image(4), "jpeg")  # as it is
    assert walk.body.camera_hfov_deg == pytest.approx(90)  # of /camera/camera_info


def test_fisheye_and_uncalibrated_cameras(tmp_path):
    scene = Scene(info=False)
    with Writer(tmp_path / "a.bag", "ros1") as bag:
        bag.camera_info(scene, scene.start, model="equidistant")
    with bags.opened(tmp_path / "a.bag") as bag:
        ((_, _, data),) = bag.messages(["/camera/camera_info"])
    # 640 / 320 radians
    assert ros_messages.camera_hfov_deg(data, False) == pytest.approx(math.degrees(2.0))
    zero = data.replace(np.float64(320).tobytes(), bytes(8))
    assert math.isnan(ros_messages.camera_hfov_deg(zero, False))


def test_topics_are_chosen_or_listed(tmp_path):
    scene, other = Scene(), Scene(image_topic="/rear/image_raw", pose_topic="/vo")
    with Writer(tmp_path / "two.bag", "ros1") as bag:
        for k in range(20):
            for s in (scene, other):
                bag.pose(s, 0.1 * k)
                bag.image(s, k, s.start + 0.1 * k)
    text = reason(tmp_path / "two.bag")
    assert (
        "--image" in text
        and "/rear/image_raw (sensor_msgs/Image, 20)" in text
        and "/vo (nav_msgs/Odometry, 20)" in text
    )
    assert "--poses" in reason(tmp_path / "two.bag", image="/rear/image_raw")
    assert "no topic /front" in reason(tmp_path / "two.bag", image="/front")
    assert "--image may be sensor_msgs/Image" in reason(tmp_path / "two.bag", image="/odom")
    (walk,) = read(tmp_path / "two.bag", image="rear/image_raw", poses="/vo")
    assert len(walk) == 20


def test_a_bag_without_images_or_poses_lists_what_it_has(tmp_path):
    scene = Scene(info=False)
    with Writer(tmp_path / "a.bag", "ros1") as bag:
        bag.pose(scene, 0.0)
        bag.connect("/silent", "sensor_msgs/msg/Image")
    text = reason(tmp_path / "a.bag")
    assert "no topic of sensor_msgs/Image" in text and "/odom (nav_msgs/Odometry, 1)" in text
    assert "no messages" in reason(tmp_path / "a.bag", image="/silent")


@pytest.mark.parametrize("format", ["ros1", "db3", "mcap"])
def test_types_that_nobody_knows_are_left_alone(tmp_path, format):
    scene = Scene()
    path = path_of(tmp_path, format)
    with Writer(path, format) as bag:
        bag.connect("/custom", "acme_msgs/msg/Thing", "nonsense ~~ not a definition", "0" * 32)
        for k in range(20):
            bag.write("/custom", "", scene.start + 0.1 * k, b"\1\2\3\4")
            bag.pose(scene, 0.1 * k)
            bag.image(scene, k, scene.start + 0.1 * k)
    same(read(path)[0], scene)


def test_images_outside_the_poses_are_dropped_with_a_note(tmp_path):
    scene = Scene(pose_t=np.arange(0.48, 1.63, 0.05))
    (walk,) = read(write_bag(tmp_path / "a.bag", "ros1", scene))
    same(walk, scene, np.arange(5, 16))
    assert "9 images before the first or after the last pose" in walk.note


def test_gaps_split_the_walk(tmp_path):
    t = np.arange(50) * 0.1
    images = np.concatenate([t, 8 + t, 16 + t, 24 + t[:3]])
    poses = np.arange(-0.1, 28, 0.05)
    poses = poses[(poses < 18) | (poses > 20.1)]  # a gap amid the third piece's images
    scene = Scene(image_t=images, pose_t=poses)
    walks, skipped = bags.read(write_bag(tmp_path / "a.bag", "ros1", scene), ReadOptions())
    assert [w.name for w in walks] == ["a+0", "a+1", "a+2", "a+3"]
    same(walks[1], scene, np.arange(50, 100))
    same(walks[2], scene, np.arange(100, 120))
    same(walks[3], scene, np.arange(142, 150))
    assert "22 images in gaps" in walks[0].note and "split into 5" in walks[0].note
    assert len(skipped) == 1 and "1 pieces shorter than 8" in skipped[0].reason
    assert len({w.frames.digest() for w in walks}) == 4


@pytest.mark.parametrize("format", ["ros1", "db3", "mcap"])
def test_shuffled_and_repeated_stamps(tmp_path, format):
    scene = Scene()
    # as received; the stamps say better
    order = np.arange(20).reshape(-1, 4)[:, [2, 0, 3, 1]].ravel()
    path = path_of(tmp_path, format)
    with Writer(path, format) as bag:
        for place, k in enumerate(order):
            received = scene.start + 0.1 * place
            for t in (0.1 * place - 0.05, 0.1 * place):
                bag.pose(scene, t)
            stamp = bag.header(scene.start + 0.1 * k)
            bag.image(scene, int(k), received, header=stamp)
            if k == 7:
                bag.image(scene, 3, received + 0.01, header=stamp)
    (walk,) = read(path)
    same(walk, scene)
    assert "1 images of repeated times" in walk.note
    some = [0, 1, 5, 5, 18]
    for image, k in zip(walk.frames.images(some), some, strict=True):
        np.testing.assert_array_equal(image, scene.image(k))
    part = walk.part(np.arange(6, 15))
    np.testing.assert_array_equal(next(part.frames.images([2])), scene.image(8))


@pytest.mark.parametrize(
    ("shift", "note"),
    [
        ((0.0, 0.0), ""),
        ((-5e8, -5e8), ""),
        ((np.nan, 0.0), "are empty"),
        ((0.0, np.nan), "are empty"),
        ((30.0, 0.0), "clocks of"),
    ],
)
def test_which_clock(tmp_path, shift, note):
    scene = Scene(header_shift=shift)
    (walk,) = read(write_bag(tmp_path / "a.bag", "ros1", scene))
    same(walk, scene)
    assert (note in walk.note) if note else not walk.note


def test_header_stamps_that_stand_still_or_jump_are_not_believed():
    received = np.arange(100, dtype=np.int64) * 10**8 + 10**18
    good = ros_times.Stamps("/odom", received.copy(), received)
    for header in (np.full(100, 10**18), np.roll(received, 50), received[::-1]):
        times, _, note = ros_times.choose_clock(
            ros_times.Stamps("/i", header.astype(np.int64), received), good
        )
        assert times is received and "times are those at which" in note
    jumbled = received[::-1].copy()
    with pytest.raises(ValueError, match="out of order"):
        ros_times.choose_clock(ros_times.Stamps("/i", np.zeros(100, np.int64), jumbled), good)


@given(
    st.lists(st.floats(0, 50, width=32), min_size=1, max_size=30, unique=True),
    st.lists(st.floats(0, 50, width=32), min_size=1, max_size=30, unique=True),
)
def test_pieces_have_poses_on_both_sides(images, poses):
    t, p = np.array(sorted(images), dtype=np.float64), np.array(sorted(poses), dtype=np.float64)
    stretch, _, _ = at_times(t, p, np.zeros((len(p), 2)), np.zeros(len(p)))
    parts = ros_times.pieces(t, stretch)
    kept = np.concatenate(parts) if parts else np.array([], dtype=int)
    for k, time in enumerate(t):  # the definition, one by one
        before, after = p[p <= time], p[p >= time]
        between = len(before) and len(after) and after[0] - before[-1] <= MAX_GAP_S
        assert (k in kept) == bool(between or np.abs(p - time).min() < 1e-3)
    for part in parts:
        assert (np.diff(t[part]) <= MAX_GAP_S).all() and (np.diff(part) >= 1).all()
        bridged = p[(p >= t[part[0]] - 1e-3) & (p <= t[part[-1]] + 1e-3)]
        assert (np.diff(bridged) <= MAX_GAP_S).all()


def test_another_stretch_of_poses_is_another_piece():
    parts = ros_times.pieces(np.arange(7) * 0.1, np.array([-1, 0, 0, -1, 1, 1, 2]))
    assert [p.tolist() for p in parts] == [[1, 2], [4, 5], [6]]


def test_yaw_takes_the_shorter_way():
    _, _, yaw = at_times(
        np.array([0.25, 0.5]), np.array([0.0, 1.0]), np.zeros((2, 2)), np.array([3.0, -3.0])
    )
    np.testing.assert_allclose(yaw, [3 + (math.pi - 3) / 2, math.pi], atol=1e-12)


def camera_bag(path: Path, scene: Scene, world: str) -> Path:
    """A bag whose poses are those of a camera that looks ahead; the `world`'s axes are z up, or
    those of the camera at the start."""
    optical = Rotation.from_matrix([[0, 0, 1], [-1, 0, 0], [0, -1, 0]])

    with Writer(path, "ros1") as bag:
        for k in range(60):
            x, y, yaw = scene.pose(0.1 * k)
            turn, place = Rotation.from_euler("z", yaw) * optical, np.array([x, y, 0.3])
            if world == "optical":
                turn, place = optical.inv() * turn, optical.inv().apply(place)
            pose = (
                bag.make("geometry_msgs/msg/Point", *map(float, place)),
                bag.make("geometry_msgs/msg/Quaternion", *turn.as_quat()),
            )
            header = bag.header(scene.start + 0.1 * k)
            message = bag.make(
                "geometry_msgs/msg/PoseStamped", header, bag.make("geometry_msgs/msg/Pose", *pose)
            )
            bag.write("/slam", "geometry_msgs/msg/PoseStamped", scene.start + 0.1 * k, message)
            bag.image(scene, k, scene.start + 0.1 * k)
    return path


@pytest.mark.parametrize("world", ["camera", "optical"])
def test_poses_of_a_camera_need_the_word_for_their_axes(tmp_path, world):
    scene = Scene(image_t=np.arange(60) * 0.1)
    # ahead on a circle
    scene.pose = lambda t: (math.sin(0.2 * t) / 0.2, (1 - math.cos(0.2 * t)) / 0.2, 0.2 * t)
    path = camera_bag(tmp_path / "a.bag", scene, world)
    assert "--poses /slam:body|optical|camera" in reason(path)
    for said in (f":{world}", f"/slam:{world}"):
        same(read(path, poses=said)[0], scene)
    assert "no topic /odom" in reason(path, poses=f"/odom:{world}")


def test_poses_of_an_optical_frame_are_refused(tmp_path):
    path = write_bag(tmp_path / "a.bag", "ros1", Scene(frame="cam_optical_frame"))
    assert (
        "x axis points right; give the poses of the robot's base, or say --poses /odom:"
        in reason(path)
    )
    assert len(read(path, poses="/odom:body")) == 1


def test_units_that_imply_a_racing_car(tmp_path):
    path = write_bag(tmp_path / "a.bag", "ros1")
    assert "--scale" in reason(path, scale=100.0)
    assert read(path, scale=0.5)[0].position[-1, 0] == pytest.approx(0.5 * Scene().pose(1.9)[0])


@pytest.mark.parametrize("format", ["ros1", "db3", "mcap"])
def test_the_digest_changes_with_any_image(tmp_path, format):
    first = read(write_bag(path_of(tmp_path / "1", format), format))[0].frames.digest()
    assert first == read(write_bag(path_of(tmp_path / "2", format), format))[0].frames.digest()
    scene = Scene()
    path = path_of(tmp_path / "3", format)
    path.parent.mkdir()
    with Writer(path, format) as bag:
        for k in range(20):
            bag.pose(scene, 0.1 * k)
            other = {"data": np.zeros(24 * 32 * 3, np.uint8)} if k == 19 else {}
            bag.image(scene, k, scene.start + 0.1 * k, **other)
    assert first != read(path)[0].frames.digest()


@pytest.mark.parametrize("format", ["ros1", "db3", "mcap"])
def test_messages_received_at_once_keep_their_order(tmp_path, format):
    scene = Scene()
    path = path_of(tmp_path, format)
    with Writer(path, format) as bag:
        for k in range(20):
            bag.pose(scene, 0.1 * k)
        for k in range(20):
            bag.image(
                scene, k, scene.start + 0.5 * (k // 5), header=bag.header(scene.start + 0.1 * k)
            )
    (walk,) = read(path)
    same(walk, scene)
    for k in (0, 7, 13, 19):
        np.testing.assert_array_equal(next(walk.frames.images([k])), scene.image(k))
