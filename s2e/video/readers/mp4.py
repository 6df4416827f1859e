"""The frames of MP4 (MOV, M4V) files, decoded by PyAV in one pass.

A frame's number is its rank by presentation time among the frames that a player shows: the file's
index is read once, so variable frame rates, B-frames, edit lists and starts in the middle all give
the frame that a full decode gives.
"""

import hashlib
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, BinaryIO

import numpy as np

from s2e.core.errors import UserError, optional
from s2e.core.files import sha256
from s2e.video.frames import MAX_PIXELS, Frames, Which
from s2e.video.resample import nearest

SUFFIXES = (".mp4", ".m4v", ".mov")
_SKIP = 16  # frames: a seek must save at least so many decoded ones
_REMEDY = "copy or encode it again (ffmpeg -i IN OUT.mp4), or remove it"
_INSIDE = (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"moof", b"traf")
# bytes an entry
_TABLES = {
    b"stts": 8,
    b"ctts": 8,
    b"stss": 4,
    b"stsc": 12,
    b"stco": 4,
    b"co64": 8,
    b"stsz": 4,
    b"trun": 1,
}


class Video:
    """One file's picture stream. Only its header is read at first; the index of its frames when it
    is asked for.

    Args:
        path: an MP4, M4V or MOV file.

    Raises:
        UserError: missing, no video in it, cut, damaged, or PyAV is not installed.
    """

    def __init__(self, path: Path):
        self.path = path
        self._index: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None
        self._hash = ""
        _check_boxes(path)
        with self._open() as (_, stream):
            self.seconds_per_tick = float(stream.time_base)
            shown = [e for e in stream.index_entries if not e.is_discard]
            size = path.stat().st_size
            for t, entry in enumerate(shown):
                if entry.pos + entry.size > size:
                    at = entry.timestamp * self.seconds_per_tick
                    raise UserError(
                        f"{path}: cut at frame {t} ({at:.2f} s): {size} bytes, "
                        f"{entry.pos + entry.size} needed; {_REMEDY}"
                    )
            self.header_frames = len(shown)  # 0 where the header does not say (fragmented files)
            ticks = None if stream.duration is None else (stream.start_time or 0) + stream.duration
            self.end_s = float("nan") if ticks is None else ticks * self.seconds_per_tick

    def index(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Presentation times, and the keyframes to seek to, from one pass over the file without
        decoding.

        Returns:
            (T,) int64 presentation times in ticks, increasing; (K,) int64 the keyframes' ranks
            among them, increasing; (K,) int64 the decoding times of those.
        """
        if self._index is None:  # two threads at once compute the same
            pts, dts, key = [], [], []
            with self._open() as (container, stream):
                for packet in container.demux(stream):
                    if packet.dts is None and packet.pts is None and not packet.size:
                        continue  # the flush at the end
                    if packet.is_corrupt or packet.pts is None:
                        raise UserError(
                            f"{self.path}: frame {len(pts)} is cut or has no time; {_REMEDY}"
                        )
                    if not packet.is_discard:
                        pts.append(packet.pts)
                        dts.append(packet.pts if packet.dts is None else packet.dts)
                        key.append(packet.is_keyframe)
            if not pts:
                raise UserError(f"{self.path}: no frame in it; {_REMEDY}")
            order = np.argsort(pts, kind="stable")
            times = np.array(pts, dtype=np.int64)[order]
            if (np.diff(times) <= 0).any():
                t = int(np.argmax(np.diff(times) <= 0))
                raise UserError(
                    f"{self.path}: frames {t}, {t + 1} have one time "
                    f"({times[t] * self.seconds_per_tick:.3f} s); {_REMEDY}"
                )
            keys = np.flatnonzero(np.array(key)[order])
            self._index = times, keys, np.array(dts, dtype=np.int64)[order][keys]
        return self._index

    def times(self) -> np.ndarray:
        """(T,) float64 seconds: when each frame is shown."""
        return self.index()[0] * self.seconds_per_tick

    def digest(self) -> str:
        """A hash of the file's bytes."""
        if not self._hash:
            try:
                self._hash = sha256(self.path)
            except OSError as error:
                raise UserError(f"{self.path}: not readable ({error.strerror})") from None
        return self._hash

    def frames(self, which: np.ndarray) -> Iterator[np.ndarray]:
        """The frames `which` (not decreasing) as (H, W, 3) uint8 RGB, upright as a player shows
        them.

        Raises:
            UserError: one cannot be decoded; the message gives its number and time.
        """
        pts, keys, key_dts = self.index()
        if len(which) and which[-1] >= len(pts):
            raise UserError(
                f"{self.path}: frame {which[-1]} is asked for, {len(pts)} can be read; {_REMEDY}"
            )
        with self._open() as (container, stream):
            run: Iterator[tuple[int, Any]] | None = None
            at, image = -1, np.zeros((0, 0, 3), np.uint8)
            for target in which.tolist():
                if target != at:
                    with _refusing(
                        f"{self.path}: frame {target} ({pts[target] * self.seconds_per_tick:.2f} "
                        "s) cannot be decoded"
                    ):
                        k = int(np.searchsorted(keys, target, side="right")) - 1
                        if run is None or (k >= 0 and keys[k] - at > _SKIP):
                            seek = int(key_dts[k]) if k >= 0 and keys[k] > _SKIP else None
                            run = _run(container, stream, pts, seek, target)
                        rank, frame = next((r for r in run if r[0] >= target), (-1, None))
                        if rank != target or frame is None or frame.is_corrupt:
                            raise ValueError("missing or damaged in the file")
                        at, image = target, _upright(frame)
                yield image

    @contextmanager
    def _open(self) -> Iterator[tuple[Any, Any]]:
        av = _av()
        with _refusing(f"{self.path}: not a readable MP4"):
            # The format is said, not guessed: other ones may name further files or addresses to be
            # opened.
            container = av.open(str(self.path.absolute()), format="mov", metadata_errors="replace")
        with container, _refusing(f"{self.path}: not a readable MP4"):
            if not container.streams.video:
                raise UserError(f"{self.path}: no video in it; give another file")
            stream = container.streams.video[0]
            if stream.time_base is None or stream.codec_context is None:
                raise UserError(
                    f"{self.path}: its video is in no format that PyAV decodes; {_REMEDY}"
                )
            # Damage is an error: what a decoder paints over it would be trained on.
            stream.codec_context.options = {"err_detect": "explode", "max_pixels": str(MAX_PIXELS)}
            yield container, stream


class VideoFrames(Frames):
    """Frames of a video file: all of them, or those shown at some times.

    Args:
        video: the file, or its path; episodes that share a file share one `Video`, so that it is
            read once.
        at: (T,) float64 seconds, increasing: frame t is the one shown nearest to at[t]. None is
            every frame.
        tolerance_s: how far from at[t] that may be.

    Raises:
        UserError: see `Video`; when frames are asked for, also that there is none near enough.
    """

    def __init__(
        self, video: Video | Path, at: np.ndarray | None = None, tolerance_s: float = 0.05
    ):
        self.video = video if isinstance(video, Video) else Video(video)
        self.at, self.tolerance_s = at, tolerance_s

    def __len__(self) -> int:
        return len(self.video.index()[0]) if self.at is None else len(self.at)

    def images(self, which: Which) -> Iterator[np.ndarray]:
        """See `Frames`; upright, as the file's rotation says. Each call opens the file, so threads
        do not meet.
        """
        index = np.asarray(which, dtype=np.int64)
        return self.video.frames(index if self.at is None else self._nearest(self.at[index]))

    def digest(self) -> str:
        """Of the file's bytes, and of the times."""
        which = b"all" if self.at is None else np.asarray(self.at, dtype="<f8").tobytes()
        return hashlib.sha256(self.video.digest().encode() + which).hexdigest()

    def _nearest(self, at: np.ndarray) -> np.ndarray:
        times = self.video.times()
        found = nearest(times, at)
        off = np.abs(times[found] - at)
        if (off > self.tolerance_s).any():
            t = int(np.argmax(off > self.tolerance_s))
            raise UserError(
                f"{self.video.path}: no frame within {self.tolerance_s:.3f} s of {at[t]:.3f} s; "
                f"the video runs from {times[0]:.3f} to "
                f"{times[-1]:.3f} s and does not fit the data beside it"
            )
        return found


def _run(
    container: Any, stream: Any, pts: np.ndarray, seek: int | None, target: int
) -> Iterator[tuple[int, Any]]:
    """Ranks and frames from a keyframe on, given by its decoding time; all of a file just opened
    for None.
    """
    if seek is not None:
        container.seek(seek, stream=stream, backward=True)
        first = True
        for rank, frame in _decoded(container, stream, pts, pts[target]):
            if first and rank > target:  # the seek came down too late
                container.seek(min(int(pts[0]), 0), stream=stream, backward=True)
                break
            first = False
            yield rank, frame
        else:
            return
    yield from _decoded(container, stream, pts, pts[0])


def _decoded(container: Any, stream: Any, pts: np.ndarray, since: int) -> Iterator[tuple[int, Any]]:
    from av.error import FFmpegError

    for packet in container.demux(stream):
        try:
            frames = packet.decode()
        except FFmpegError:
            # After a seek, frames shown before their keyframe may lack what they refer to; nobody
            # asked for them.
            if packet.pts is not None and packet.pts < since:
                continue
            raise
        for frame in frames:
            if frame.pts is not None:
                rank = int(np.searchsorted(pts, frame.pts))
                if rank < len(pts) and pts[rank] == frame.pts:
                    yield rank, frame


def _upright(frame: Any) -> np.ndarray:
    """(H, W, 3) uint8, turned as the file asks players to."""
    if frame.width * frame.height > MAX_PIXELS:
        raise ValueError(f"{frame.width} x {frame.height} pixels are too many")
    image = frame.to_ndarray(format="rgb24")
    turn = frame.rotation  # degrees counter-clockwise
    if turn % 90:
        raise ValueError(f"it is turned by {turn} degrees; encode it upright")
    return np.ascontiguousarray(np.rot90(image, turn // 90)) if turn else image


def _check_boxes(path: Path) -> None:
    """Refuses tables that claim more entries than the file has bytes.

    FFmpeg, and PyAV with it, makes room for them before it looks: a file of a few kilobytes that
    claims 50 million frames of one size took 3.5 GB and 17 seconds.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            todo = [(0, size)]
            while todo:
                todo += _boxes(file, *todo.pop(), path, size)
    except OSError as error:
        raise UserError(
            f"{path}: not readable ({error.strerror}); give the video, or remove what names it"
        ) from None


def _boxes(file: BinaryIO, start: int, end: int, path: Path, size: int) -> list[tuple[int, int]]:
    inner = []
    while start + 8 <= end:
        file.seek(start)
        head = file.read(32)
        if len(head) < 8:
            break
        length, kind = int.from_bytes(head[:4], "big"), head[4:8]
        skip = 8
        if length == 1:
            length, skip = int.from_bytes(head[8:16], "big"), 16
        length = end - start if length == 0 else length
        if length < skip:
            break  # FFmpeg says what is wrong with it
        if kind in _INSIDE:
            inner.append((start + skip, min(start + length, end)))
        elif kind in _TABLES and len(head) >= skip + 12:
            same, count = struct.unpack(">II", head[skip + 4 : skip + 12])
            each = _TABLES[kind]
            if kind == b"stsz":  # one size for all samples, or a table of sizes
                bad = count * max(same, 1) > size if same else 4 * count > length
            else:
                bad = same * each > (size if kind == b"trun" else length)
            if bad:
                raise UserError(
                    f"{path}: byte {start}: a {kind.decode()} table of more entries than the file "
                    f"holds; {_REMEDY}"
                )
        start += length
    return inner


@contextmanager
def _refusing(what: str) -> Iterator[None]:
    """Damaged files fail in PyAV in many ways; all of them become one line."""
    try:
        yield
    except (UserError, GeneratorExit):
        raise
    except Exception as error:
        text = " ".join(str(error).split())
        raise UserError(f"{what} ({text[:200]}); {_REMEDY}") from None


def _av() -> ModuleType:
    return optional("av", "MP4 video", "video")
