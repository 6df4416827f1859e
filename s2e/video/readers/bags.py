"""ROS 1 and ROS 2 bags: an image topic and a pose topic become walks.

    NAME.bag                          ROS 1, also with chunks in bz2 or lz4
    NAME/metadata.yaml, *.db3, *.mcap ROS 2, also with messages or files in zstd
    NAME.mcap, NAME.db3               the file alone
    DATASET/...                       any of these at any depth

The `rosbags` package reads the containers, and the messages by their standard definitions
(s2e/video/readers/ros_messages.py), so nothing that a bag defines is compiled. A bag is read once
from end to end for its poses, and for the time and a hash of each image; images are read again
when asked for.
"""

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import numpy as np

from s2e.core.errors import UserError, optional
from s2e.video.files import Search, once, read_each, reading
from s2e.video.frames import Frames, Which, decode, jpeg
from s2e.video.ground import AXES, MAX_GAP_S, Axes, agreement, at_times, rotations, to_ground
from s2e.video.options import ReadOptions
from s2e.video.readers import ros_images, ros_messages
from s2e.video.readers.ros_times import Stamps, choose_clock, pieces
from s2e.video.resample import in_order
from s2e.video.walk import MIN_FRAMES, Body, Skipped, Walk, checked

_MAGIC = {".bag": b"#ROSBAG V", ".mcap": b"\x89MCAP0\r\n", ".db3": b"SQLite format 3\0"}
_MAX_UNPACKED = 1 << 30  # bytes that a chunk or a message may become
_MAX_RATIO = 100  # so many times its size may a packed file become on the disk, or `_MAX_UNPACKED`
_LISTED = 40
_MIN_AGREEMENT = 0.2


def _is_bag(path: Path) -> bool:
    try:
        file, magic = (
            (path / "metadata.yaml", b"") if path.is_dir() else (path, _MAGIC.get(path.suffix))
        )
        if magic is None or not file.is_file():  # a pipe would wait for ever
            return False
        with file.open("rb") as stream:
            return (
                stream.read(len(magic)) == magic
                if magic
                else b"rosbag2_bagfile_information" in stream.read(4096)
            )
    except OSError:
        return False


def _find(path: Path, search: Search) -> Iterator[Path]:
    if _is_bag(path):
        yield path
    elif path.is_dir():
        for folder, folders, files in search.folders():
            if folder != path and _is_bag(folder):
                folders.clear()  # its files are one bag
                yield folder
            else:
                yield from (folder / name for name in files if _is_bag(folder / name))


def fits(path: Path) -> bool:
    """Whether this is a bag, or a folder with bags at any depth; told by their first bytes."""
    return next(_find(path, Search(path)), None) is not None


def read(path: Path, options: ReadOptions) -> tuple[list[Walk], list[Skipped]]:
    """Reads every bag below a path.

    Args:
        path: a bag or a folder of them.
        options: `image` and `poses` name topics; without them a bag's only topic of the kind is
            taken. `poses` may end in `:AXES` (`s2e.video.ground.Axes`) where the poses are those of
            a camera.

    Raises:
        UserError: the rosbags package is missing.
    """
    _library()
    search = Search(path)
    bags = once(list(_find(path, search)))
    walks, skipped = read_each(
        bags, [_name(bag, path) for bag in bags], lambda bag, name: _read_bag(bag, name, options)
    )
    return walks, skipped + search.passed_over()


def _library() -> Any:
    for version in ("rosbag1", "rosbag2"):
        optional(f"rosbags.{version}", "ROS bags", "video")
    return optional("rosbags", "ROS bags", "video")


def _name(bag: Path, dataset: Path) -> str:
    plain = bag.with_suffix("") if bag.suffix in _MAGIC and not bag.is_dir() else bag
    return str(plain.relative_to(dataset)) if bag != dataset else plain.name


class Bag:
    """An open bag: its topics, and their messages."""

    def __init__(self, path: Path, reader: Any, ros1: bool):
        self.path, self.reader, self.cdr = path, reader, not ros1
        self.types: dict[str, str] = {}
        self.counts: dict[str, int] = {}
        for connection in reader.connections:
            self.types[connection.topic] = connection.msgtype
            self.counts[connection.topic] = (
                self.counts.get(connection.topic, 0) + connection.msgcount
            )

    def topic(self, wanted: str, kinds: Sequence[str], option: str) -> str:
        """The topic that the user wants, or the only one of some types.

        Raises:
            UserError: it is not there, of another type or empty, or the choice is not clear.
        """
        if wanted:
            name = wanted if wanted in self.types else "/" + wanted.strip("/")
            if name not in self.types:
                raise UserError(f"{self.path}: no topic {wanted}; {self._listed()}")
            if self.types[name] not in kinds:
                raise UserError(
                    f"{self.path}: {name} is {_short(self.types[name])}; {option} may be "
                    f"{', '.join(map(_short, kinds))}"
                )
            if not self.counts[name]:
                raise UserError(f"{self.path}: topic {name} has no messages; {self._listed()}")
            return name
        found = [
            t
            for t, kind in self.types.items()
            if kind in kinds and self.counts[t] and not t.endswith("/compressedDepth")
        ]
        if len(found) != 1:
            what = (
                f"no topic of {', '.join(map(_short, kinds))}"
                if not found
                else f"{len(found)} topics may be meant, name one with {option}"
            )
            raise UserError(f"{self.path}: {what}; {self._listed()}")
        return found[0]

    def messages(
        self, topics: Sequence[str], start: int | None = None, stop: int | None = None
    ) -> Iterator[tuple[str, int, bytes]]:
        """Topic, receive time in nanoseconds and bytes of some topics' messages, by receive time,
        from `start` to before `stop`.
        """
        chosen = [c for c in self.reader.connections if c.topic in topics]
        for connection in chosen:
            if self.cdr and (form := connection.ext.serialization_format) != "cdr":
                raise UserError(
                    f"{self.path}: {connection.topic} is in the format {form!r}; cdr is expected, "
                    "convert the bag"
                )
        with _reading(self.path):
            for connection, received, data in self.reader.messages(chosen, start=start, stop=stop):
                yield connection.topic, received, bytes(data)

    def _listed(self) -> str:
        topics = [
            f"{t} ({_short(kind)}, {self.counts[t]})" for t, kind in sorted(self.types.items())
        ]
        more = f" and {len(topics) - _LISTED} more" if len(topics) > _LISTED else ""
        return (
            f"the bag has {', '.join(topics[:_LISTED])}{more}"
            if topics
            else "the bag has no topics"
        )


def _short(kind: str) -> str:
    return kind.replace("/msg/", "/")


def _reading(path: Path) -> AbstractContextManager[None]:
    advice = (
        "`rosbag reindex` may mend it"
        if path.suffix == ".bag"
        else "`ros2 bag reindex` or `mcap recover` may mend it"
    )
    return reading(path, "bag", advice)


@contextmanager
def opened(path: Path) -> Iterator[Bag]:
    """Opens a bag.

    Raises:
        UserError: it is damaged, or in a format that rosbags does not read.
    """
    rosbags = _library()
    ros1 = path.suffix == ".bag" and not path.is_dir()
    with _reading(path):
        if not ros1:
            _bound_ros2()
        reader = rosbags.rosbag1.Reader(path) if ros1 else rosbags.rosbag2.Reader(path)
        reader.open()
        if ros1:
            _bound_ros1(reader)
        bag = Bag(path, reader, ros1)
    try:
        yield bag
    finally:
        reader.close()


def _bounded(new: Callable[[], Any]) -> Callable[..., bytes]:
    """Unpacks bytes by an incremental unpacker, to at most `_MAX_UNPACKED`: a file may claim
    anything.
    """

    def unpack(data: bytes, *_: object) -> bytes:
        unpacker = new()
        out = unpacker.decompress(data, max_length=_MAX_UNPACKED)
        if not unpacker.eof:
            raise ValueError("a chunk or message is cut short, or too big")
        return out

    return unpack


def _bound_ros1(reader: Any) -> None:
    """Chunks of a ROS 1 bag that would unpack to more than `_MAX_UNPACKED` raise instead."""
    import bz2

    from lz4.frame import LZ4FrameDecompressor
    from rosbags.rosbag1.reader import decompressors

    safe = {
        decompressors["bz2"]: _bounded(bz2.BZ2Decompressor),
        decompressors["lz4"]: _bounded(LZ4FrameDecompressor),
    }
    reader.chunks = {
        at: c._replace(decompressor=safe.get(c.decompressor, c.decompressor))
        for at, c in reader.chunks.items()
    }


def _bound_ros2() -> None:
    """The same for chunks of MCAP, for packed messages and for packed files; rosbags unpacks the
    latter as it opens a bag.

    It gives no place for this, so the names by which its modules know zstd and lz4 are set anew,
    for the whole process.
    """
    from lz4.frame import LZ4FrameDecompressor
    from rosbags.rosbag2 import reader, storage_mcap

    zstd = storage_mcap.zstd

    class BoundedFile(zstd.ZstdFile):
        def __init__(self, file: Any, mode: Literal["rb"]):
            super().__init__(file, mode)
            self.most = max(_MAX_UNPACKED, _MAX_RATIO * os.fstat(file.fileno()).st_size)

        def read(self, size: int | None = -1) -> bytes:
            data = super().read(size)
            if self.tell() > self.most:
                raise ValueError("a packed file is too big")
            return data

    unpack = _bounded(zstd.ZstdDecompressor)
    storage_mcap.DECOMPRESSORS.update(zstd=unpack, lz4=_bounded(LZ4FrameDecompressor))
    reader.zstd = SimpleNamespace(open=BoundedFile, decompress=unpack)  # pyright: ignore[reportAttributeAccessIssue]


@dataclass(frozen=True)
class _Index:
    """What one pass over a bag finds: N images, M poses."""

    images: Stamps
    hashes: bytes  # 32 bytes of each image's message
    poses: Stamps
    space: np.ndarray  # (M, 7) positions and quaternions
    hfov_deg: float


def _index(bag: Bag, image_topic: str, pose_topic: str, axes: str) -> _Index:
    stamps: dict[str, list[tuple[int, int]]] = {image_topic: [], pose_topic: []}
    hashes = []
    poses = []
    hfov = float("nan")
    first = (0, 0)
    camera = next(
        (t for t in _camera_topics(image_topic) if bag.types.get(t) == ros_messages.CAMERA_INFO), ""
    )
    for topic, received, data in bag.messages([t for t in (image_topic, pose_topic, camera) if t]):
        number = len(stamps.get(topic, ()))
        with _parsing(bag.path, topic, number):
            if topic == camera:
                hfov = ros_messages.camera_hfov_deg(data, bag.cdr) if hfov != hfov else hfov
                continue
            if topic == pose_topic:
                stamp, child, pose = ros_messages.pose(data, bag.cdr, bag.types[topic])
                if "optical" in child and not axes:
                    raise ValueError(
                        f"it is of {child}, whose x axis points right; {_axes_advice(topic)}"
                    )
                poses.append(pose)
            else:
                stamp, size = _stamp_and_size(data, bag.cdr, bag.types[topic])
                first = first if number else size
                if size != first:
                    raise ValueError(
                        f"{size[1]} x {size[0]} pixels, the ones before are {first[1]} x {first[0]}"
                    )
                hashes.append(hashlib.sha256(data).digest())
        stamps[topic].append((stamp, received))
    tables = [
        Stamps(t, *np.array(stamps[t], dtype=np.int64).reshape(-1, 2).T.copy())
        for t in (image_topic, pose_topic)
    ]
    return _Index(tables[0], b"".join(hashes), tables[1], np.array(poses).reshape(-1, 7), hfov)


@contextmanager
def _parsing(path: Path, topic: str, number: int) -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise UserError(f"{path}: message {number} of {topic}: {error}") from None


def _stamp_and_size(data: bytes, cdr: bool, kind: str) -> tuple[int, tuple[int, int]]:
    if kind == ros_messages.RAW_IMAGE:
        stamp, image = ros_messages.raw_image(data, cdr)
        ros_images.check(image)
        return stamp, (image.height, image.width)
    stamp, described, file = ros_messages.compressed_image(data, cdr)
    return stamp, ros_images.size_of(file, described)


def _camera_topics(image_topic: str) -> list[str]:
    """Where a camera's calibration may be: beside its images, or beside the topic that they are a
    compressed form of.
    """
    parents = image_topic.split("/")[:-1]
    return [
        "/".join([*parents[: len(parents) - up], "camera_info"])
        for up in range(min(2, len(parents)))
    ]


class BagFrames(Frames):
    """The images of a bag's topic in the order of their times. They are read from the bag in one
    pass whenever some are asked for.
    """

    def __init__(self, path: Path, topic: str, kind: str, index: _Index, order: np.ndarray):
        self.path, self.topic, self.kind = path, topic, kind
        self.stamps, self.hashes, self.order = index.images, index.hashes, order

    def __len__(self) -> int:
        return len(self.order)

    def images(self, which: Which) -> Iterator[np.ndarray]:
        """See `Frames`."""
        for number, data, cdr in self._messages(which):
            yield self._image(number, data, cdr)[0]

    def jpegs(self, which: Which) -> Iterator[bytes]:
        """See `Frames`; JPEG files pass as they are."""
        for number, data, cdr in self._messages(which):
            image, file = self._image(number, data, cdr)
            yield file if file.startswith(b"\xff\xd8") else jpeg(image)

    def digest(self) -> str:
        """Of all messages and of their times; it was made as the bag was read first, and costs
        nothing now.
        """
        times = self.stamps.header.tobytes() + self.stamps.received.tobytes() + self.order.tobytes()
        return hashlib.sha256(self.hashes + times).hexdigest()

    def _image(self, number: int, data: bytes, cdr: bool) -> tuple[np.ndarray, bytes]:
        """The picture, and the file that it was, b"" where it was none."""
        with _parsing(self.path, self.topic, number):
            if self.kind == ros_messages.RAW_IMAGE:
                image = ros_messages.raw_image(data, cdr)[1]
                ros_images.check(image)
                return ros_images.rgb(image), b""
            _, described, file = ros_messages.compressed_image(data, cdr)
            ros_images.size_of(file, described)
            return decode(file, f"{self.path}: message {number} of {self.topic}"), file

    def _messages(self, which: Which) -> Iterator[tuple[int, bytes, bool]]:
        """Number in the topic and bytes of the messages behind frames, and whether they are CDR."""
        wanted = self.order[np.asarray(which, dtype=np.int64)]
        if not len(wanted):
            return
        received = self.stamps.received
        start, stop = int(received[wanted].min()), int(received[wanted].max()) + 1
        # the messages that the bag will give, in its order
        coming = np.flatnonzero((received >= start) & (received < stop))
        needed, held, done = set(wanted.tolist()), {}, 0
        with opened(self.path) as bag:
            for place, (_, at, data) in enumerate(bag.messages([self.topic], start, stop)):
                number = int(coming[place]) if place < len(coming) else -1
                if number < 0 or at != received[number]:
                    break
                if number in needed:
                    if hashlib.sha256(data).digest() != self.hashes[32 * number : 32 * number + 32]:
                        break
                    held[number] = (
                        # at most as many as messages are out of order, see `ros_times.MAX_SHUFFLE`
                        data
                    )
                while done < len(wanted) and int(wanted[done]) in held:
                    number = int(wanted[done])
                    yield number, held[number], bag.cdr
                    done += 1
                    # a frame may be asked for twice
                    if done == len(wanted) or wanted[done] != number:
                        del held[number]
        if done < len(wanted):
            raise UserError(
                f"{self.path}: message {int(wanted[done])} of {self.topic} is not as it was; the "
                "bag has changed since it was read"
            )


def _split(said: str) -> tuple[str, Axes | Literal[""]]:
    """`--poses [TOPIC][:AXES]`, as with poses files (s2e/video/ground.py says what the axes
    are).
    """
    topic, _, word = said.rpartition(":")
    for axes in AXES:
        if axes == word:
            return topic, axes
    return said, ""


def _axes_advice(topic: str) -> str:
    return f"give the poses of the robot's base, or say --poses {topic}:{'|'.join(AXES)}"


def _on_ground(
    space: np.ndarray, axes: Axes | Literal[""], scale: float, where: str, advice: str
) -> tuple[np.ndarray, np.ndarray]:
    """(M, 2) positions and (M,) yaw of (M, 7) poses in space; ROS has x ahead and z up, where the
    user does not say otherwise.
    """
    flat, height, yaw = to_ground(space[:, :3] * scale, rotations(space[:, 3:]), axes or "body")
    steep = np.ptp(height) > max(float(np.hypot(*np.ptp(flat, axis=0))), 2.0)
    if not axes and (steep or agreement(flat, yaw) < _MIN_AGREEMENT):
        raise UserError(
            f"{where}: the motion is mostly sideways or vertical, so x may not point ahead; "
            f"{advice}"
        )
    if np.isnan(yaw).any():
        raise UserError(
            f"{where}: pose {int(np.argmax(np.isnan(yaw)))} by time looks straight up or down; "
            f"{advice}"
        )
    return flat, yaw


def _read_bag(path: Path, name: str, options: ReadOptions) -> tuple[list[Walk], list[Skipped]]:
    with opened(path) as bag:
        image_topic = bag.topic(options.image, ros_messages.IMAGE_TYPES, "--image")
        wanted, axes = _split(options.poses)
        pose_topic = bag.topic(wanted, ros_messages.POSE_TYPES, "--poses")
        index, kind = _index(bag, image_topic, pose_topic, axes), bag.types[image_topic]
        packed = bag.cdr and bag.reader.compression_mode == "file"
        for topic, count in (
            (image_topic, len(index.images.header)),
            (pose_topic, len(index.space)),
        ):
            if not count:
                raise UserError(
                    f"{path}: topic {topic} has no messages though the bag's index says so; "
                    "`rosbag reindex` may mend it"
                )
    try:
        image_ns, pose_ns, clock_note = choose_clock(index.images, index.poses)
    except ValueError as error:
        raise UserError(f"{path}: {error}") from None
    order, pose_order = in_order(image_ns), in_order(pose_ns)
    origin = image_ns[order[0]]
    times, pose_times = (image_ns[order] - origin) / 1e9, (pose_ns[pose_order] - origin) / 1e9
    position, yaw = _on_ground(
        index.space[pose_order],
        axes,
        options.scale,
        f"{path}: {pose_topic}",
        _axes_advice(pose_topic),
    )
    stretch, position, yaw = at_times(times, pose_times, position, yaw)
    inside = (times >= pose_times[0]) & (times <= pose_times[-1])
    parts = pieces(times, stretch)
    notes = [
        clock_note,
        "compressed as a whole: every pass over its images unpacks all of it" if packed else "",
        _counted(len(image_ns) - len(order), "images of repeated times left out"),
        _counted(len(pose_ns) - len(pose_order), "poses of repeated times left out"),
        _counted(
            int((~inside & (stretch < 0)).sum()),
            "images before the first or after the last pose left out",
        ),
        _counted(
            int((inside & (stretch < 0)).sum()),
            f"images in gaps of over {MAX_GAP_S:g} s between poses left out",
        ),
        f"split into {len(parts)} at gaps of over {MAX_GAP_S:g} s" if len(parts) > 1 else "",
    ]
    frames = BagFrames(path, image_topic, kind, index, order)
    body = Body(camera_hfov_deg=index.hfov_deg)

    def walk(k: int, part: np.ndarray) -> Walk:
        called = name if len(parts) == 1 else f"{name}+{k}"
        whole = len(part) == len(frames)
        return Walk(
            called,
            path,
            frames if whole else frames.part(part),
            times[part] - times[part[0]],
            position[part],
            yaw[part],
            body,
            note="; ".join(n for n in notes if n),
        )

    return _good(path, [walk(k, part) for k, part in enumerate(parts)], notes)


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" if count else ""


def _good(path: Path, walks: list[Walk], notes: list[str]) -> tuple[list[Walk], list[Skipped]]:
    """Those that hold what walks must, and why the others do not; short pieces together, for there
    may be thousands.
    """
    good: list[Walk] = []
    skipped: list[Skipped] = []
    short = sum(len(w) < MIN_FRAMES for w in walks)
    for walk in walks:
        try:
            if len(walk) >= MIN_FRAMES:
                good.append(checked(walk))
        except UserError as error:
            skipped.append(Skipped(path, str(error)))
    if short or not walks:
        said = "; ".join(n for n in notes if n)
        what = (
            f"{short} pieces shorter than {MIN_FRAMES} frames left out"
            if short
            else "no image has a pose before and after it"
        )
        skipped.append(Skipped(path, f"{path}: {what}{f' ({said})' if said else ''}"))
    return good, skipped
