"""Writes small bags and RECON files for the tests, with the libraries of others; reads bags."""

import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from s2e.video.options import ReadOptions
from s2e.video.readers import bags
from s2e.video.walk import Walk

T = 20


@dataclass
class Scene:
    """A short walk as sensors see it. Times in seconds from the bag's start."""

    image_t: np.ndarray = field(default_factory=lambda: np.arange(T) * 0.1)
    pose_t: np.ndarray = field(default_factory=lambda: np.arange(-2, 2 * T + 2) * 0.05)
    start: float = 1.7e9
    encoding: str = "rgb8"
    compressed: str = ""  # jpeg or png: sensor_msgs/CompressedImage
    padding: int = 0  # bytes after each row
    pose_type: str = "nav_msgs/msg/Odometry"
    image_topic: str = "/camera/image_raw"
    pose_topic: str = "/odom"
    frame: str = "base_link"
    header_shift: tuple[float, float] = (0.0, 0.0)  # of images, of poses; NaN writes empty stamps
    info: bool = True

    def image(self, k: int) -> np.ndarray:
        """(H, W, 3) that tells the frames apart."""
        ramp = np.arange(24 * 32 * 3, dtype=np.int64).reshape(24, 32, 3)
        return ((ramp * 7 + 31 * k) % 256).astype(np.uint8)

    def pose(self, t: float) -> tuple[float, float, float]:
        """x, y, yaw of a circle at 0.8 m/s; the yaw passes through pi."""
        yaw = 3.0 + 0.4 * t
        return 2 * (np.sin(yaw) - np.sin(3.0)), 2 * (np.cos(3.0) - np.cos(yaw)), yaw


def encoded(image: np.ndarray, kind: str) -> bytes:
    """As a JPEG or PNG file."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, kind.upper(), **({"quality": 95} if kind == "jpeg" else {}))
    return buffer.getvalue()


def raw(image: np.ndarray, encoding: str, padding: int = 0) -> tuple[bytes, int]:
    """Bytes and step of an RGB image in a ROS encoding."""
    grey = np.asarray(Image.fromarray(image).convert("L"))
    pixels = {
        "rgb8": image,
        "bgr8": image[..., ::-1],
        "8UC3": image[..., ::-1],
        "mono8": grey[..., None],
        "8UC1": grey[..., None],
        "rgba8": np.dstack([image, grey]),
        "bgra8": np.dstack([image[..., ::-1], grey]),
        "mono16": np.dstack([np.zeros_like(grey), grey]),
    }.get(encoding, image)
    rows = pixels.reshape(image.shape[0], -1)
    rows = np.pad(rows, ((0, 0), (0, padding)), constant_values=99)
    return rows.astype(np.uint8).tobytes(), rows.shape[1]


class Writer:
    """A bag to write messages to; `format` is ros1, ros1-bz2, ros1-lz4, db3, mcap, or one with
    -message, -file, -storage after it."""

    def __init__(self, path: Path, format: str):
        from rosbags import rosbag1, rosbag2
        from rosbags.typesys import Stores, get_typestore

        base, _, packed = format.partition("-")
        self.ros1 = base == "ros1"
        self.store = get_typestore(Stores.ROS1_NOETIC if self.ros1 else Stores.ROS2_HUMBLE)
        self.connections: dict[str, Any] = {}
        if self.ros1:
            self.writer: Any = rosbag1.Writer(path)
            if packed:
                self.writer.set_compression(rosbag1.Writer.CompressionFormat[packed.upper()])
        else:
            plugin = rosbag2.StoragePlugin.SQLITE3 if base == "db3" else rosbag2.StoragePlugin.MCAP
            self.writer = rosbag2.Writer(path, version=9, storage_plugin=plugin)
            if packed:
                self.writer.set_compression(
                    rosbag2.CompressionMode[packed.upper()], rosbag2.CompressionFormat.ZSTD
                )

    def __enter__(self) -> "Writer":
        self.writer.open()
        return self

    def __exit__(self, *error: object) -> None:
        self.writer.close()

    def make(self, kind: str, *values: Any, **fields: Any) -> Any:
        """A message of a type."""
        return self.store.types[kind](*values, **fields)

    def header(self, seconds: float, frame: str = "") -> Any:
        """A std_msgs/Header."""
        whole = 0 if np.isnan(seconds) else round(seconds * 1e9)
        stamp = self.make("builtin_interfaces/msg/Time", whole // 10**9, whole % 10**9)
        return self.make("std_msgs/msg/Header", *([0] if self.ros1 else []), stamp, frame)

    def connect(
        self, topic: str, kind: str, msgdef: str | None = None, md5: str | None = None
    ) -> None:
        """Declares a topic."""
        extra = (
            {} if msgdef is None else {"msgdef": msgdef, ("md5sum" if self.ros1 else "rihs01"): md5}
        )
        self.connections[topic] = self.writer.add_connection(
            topic, kind, typestore=self.store, **extra
        )

    def write(self, topic: str, kind: str, seconds: float, message: Any) -> None:
        """One message, received at a time."""
        if topic not in self.connections:
            self.connect(topic, kind)
        data = message
        if not isinstance(message, bytes):
            data = (
                self.store.serialize_ros1(message, kind)
                if self.ros1
                else self.store.serialize_cdr(message, kind)
            )
        self.writer.write(self.connections[topic], round(seconds * 1e9), data)

    def image(self, scene: Scene, k: int, seconds: float, **changes: Any) -> None:
        """Frame k of a scene."""
        header = self.header(seconds + scene.header_shift[0], "camera")
        if scene.compressed:
            data = np.frombuffer(encoded(scene.image(k), scene.compressed), np.uint8)
            fields = {
                "header": header,
                "format": f"rgb8; {scene.compressed} compressed bgr8",
                "data": data,
                **changes,
            }
            kind = "sensor_msgs/msg/CompressedImage"
        else:
            data, step = raw(scene.image(k), scene.encoding, scene.padding)
            fields = {
                "header": header,
                "height": 24,
                "width": 32,
                "encoding": scene.encoding,
                "is_bigendian": 0,
                "step": step,
            }
            fields |= {"data": np.frombuffer(data, np.uint8), **changes}
            kind = "sensor_msgs/msg/Image"
        self.write(scene.image_topic, kind, seconds, self.make(kind, **fields))

    def pose(
        self,
        scene: Scene,
        t: float,
        quaternion: tuple[float, ...] | None = None,
        x: float | None = None,
    ) -> None:
        """The pose of a scene at a time, or with another quaternion or x."""
        seconds = scene.start + t
        at_x, at_y, yaw = scene.pose(t)
        q = quaternion or (0.0, 0.0, np.sin(yaw / 2), np.cos(yaw / 2))
        turn = self.make("geometry_msgs/msg/Quaternion", *map(float, q))
        place = (float(at_x if x is None else x), float(at_y), 0.3)
        header = self.header(seconds + scene.header_shift[1], "odom")
        pose = self.make(
            "geometry_msgs/msg/Pose", self.make("geometry_msgs/msg/Point", *place), turn
        )
        unsure = self.make("geometry_msgs/msg/PoseWithCovariance", pose, np.zeros(36))
        still = self.make("geometry_msgs/msg/Vector3", 0.0, 0.0, 0.0)
        if scene.pose_type.endswith("Odometry"):
            twist = self.make("geometry_msgs/msg/Twist", still, still)
            rest = (
                scene.frame,
                unsure,
                self.make("geometry_msgs/msg/TwistWithCovariance", twist, np.zeros(36)),
            )
        elif scene.pose_type.endswith("TransformStamped"):
            shift = self.make("geometry_msgs/msg/Vector3", *place)
            rest = (scene.frame, self.make("geometry_msgs/msg/Transform", shift, turn))
        else:
            rest = (unsure,) if "Covariance" in scene.pose_type else (pose,)
        self.write(
            scene.pose_topic, scene.pose_type, seconds, self.make(scene.pose_type, header, *rest)
        )

    def camera_info(self, scene: Scene, seconds: float, model: str = "plumb_bob") -> None:
        """A camera of 90 degrees, in pixels of another size than the images."""
        big = (lambda n: n) if self.ros1 else str.lower
        topic = scene.image_topic.removesuffix("/compressed").rsplit("/", 1)[0] + "/camera_info"
        fields = {
            "header": self.header(seconds),
            "height": 480,
            "width": 640,
            "distortion_model": model,
            big("D"): np.zeros(5),
        }
        fields |= {
            big("K"): np.array([320.0, 0, 320, 0, 320, 240, 0, 0, 1]),
            big("R"): np.zeros(9),
            big("P"): np.zeros(12),
        }
        region = self.make("sensor_msgs/msg/RegionOfInterest", 0, 0, 0, 0, False)
        kind = "sensor_msgs/msg/CameraInfo"
        self.write(
            topic, kind, seconds, self.make(kind, **fields, binning_x=0, binning_y=0, roi=region)
        )


def write_bag(path: Path, format: str = "db3", scene: Scene | None = None) -> Path:
    """A whole scene as a bag, messages in the order of their receipt."""
    scene = scene or Scene()
    path.parent.mkdir(parents=True, exist_ok=True)
    with Writer(path, format) as bag:
        if scene.info:
            bag.camera_info(scene, scene.start - 1)
        events = [(t, 1, k) for k, t in enumerate(scene.image_t)] + [
            (t, 0, k) for k, t in enumerate(scene.pose_t)
        ]
        for t, is_image, k in sorted(events):
            if is_image:
                bag.image(scene, k, scene.start + t)
            else:
                bag.pose(scene, t)
    return path


def write_recon(path: Path, scene: Scene | None = None, images: str = "S", **more: Any) -> Path:
    """A scene as RECON has it; `images` is how: S (fixed length), vlen, rows or pixels. `more`
    replaces datasets, None removes one."""
    import h5py

    scene = scene or Scene()
    files = [encoded(scene.image(k), scene.compressed or "jpeg") for k in range(len(scene.image_t))]
    poses = np.array([(*scene.pose(t), 0.3) for t in scene.image_t])
    sets: dict[str, Any] = {
        "jackal/position": poses[:, [0, 1, 3]],
        "jackal/yaw": poses[:, 2],
        "gps/latlong": poses[:, :2],
    }
    if images == "S":
        sets["images/rgb_left"] = np.array(files, dtype=f"S{max(map(len, files))}")
    elif images == "rows":
        longest = max(map(len, files))
        sets["images/rgb_left"] = np.stack(
            [np.frombuffer(f.ljust(longest, b"\0"), np.uint8) for f in files]
        )
    elif images == "pixels":
        sets["images/rgb_left"] = np.stack([scene.image(k) for k in range(len(files))])
    sets |= {key.replace("__", "/"): value for key, value in more.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        for key, value in sets.items():
            if value is not None:
                file[key] = value
        if images == "vlen":
            data = file.create_dataset(
                "images/rgb_left", (len(files),), dtype=h5py.vlen_dtype(np.uint8)
            )
            for k, f in enumerate(files):
                data[k] = np.frombuffer(f, np.uint8)
    return path


def path_of(folder: Path, format: str) -> Path:
    """Where a bag of a format lies in a folder."""
    return folder / ("walk.bag" if format.startswith("ros1") else "walk")


def read(path: Path, **options) -> list[Walk]:
    """The walks of a bag that has no other."""
    walks, skipped = bags.read(path, ReadOptions(**options))
    assert not skipped, skipped
    return walks


def reason(path: Path, **options) -> str:
    """Why a bag gives no walk."""
    walks, skipped = bags.read(path, ReadOptions(**options))
    assert not walks and len(skipped) == 1
    assert "\n" not in skipped[0].reason and str(path) in skipped[0].reason
    return skipped[0].reason


def same(walk: Walk, scene: Scene, which: np.ndarray | None = None) -> None:
    """The walk is the scene's images `which`, with the poses of their times."""
    which = np.arange(len(scene.image_t)) if which is None else which
    t = scene.image_t[which]
    truth = np.array([scene.pose(s) for s in t])
    np.testing.assert_allclose(walk.times, t - t[0], atol=1e-6)
    # the way is bent between poses
    np.testing.assert_allclose(walk.position, truth[:, :2], atol=1e-3)
    np.testing.assert_allclose(np.exp(1j * walk.yaw), np.exp(1j * truth[:, 2]), atol=1e-6)
    for image, k in zip(walk.frames.images(range(len(walk))), which, strict=True):
        np.testing.assert_array_equal(image, scene.image(int(k)))
