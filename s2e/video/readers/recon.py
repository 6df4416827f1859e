"""RECON's HDF5 files: outdoor walks of a Clearpath Jackal, one a file.

    FILE.hdf5  jackal/position (T, 2 or more) metres, jackal/yaw (T,) or (T, 1) radians,
               images/rgb_left T JPEG files

Sources: sites.google.com/view/recon-robot; the conversion and the camera's calibration in
github.com/robodhruv/visualnav-transformer. The frames are a quarter of a second apart; the files do
not say so.
"""

import math
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from s2e.core.errors import UserError, optional
from s2e.video.files import Search, once, read_each, reading
from s2e.video.frames import MAX_PIXELS, StoredImages, Which, digest_of
from s2e.video.options import ReadOptions
from s2e.video.readers.ros_images import size_of
from s2e.video.walk import Body, Skipped, Walk, checked

_SUFFIXES = (".hdf5", ".h5")
_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_POSITION, _YAW, _IMAGES = "jackal/position", "jackal/yaw", "images/rgb_left"
_TIMES = ("jackal/timestamps", "jackal/timestamp", "jackal/time")
_HZ = 4.0
_MAX_BYTES = 1 << 28  # of all poses, of one image, of one chunk
_LISTED = 40

# The robot as Clearpath gives it (0.508 x 0.430 m, 2 m/s; its navigation turns at 2 rad/s), the
# camera as calibrated at 640 x 480.
_JACKAL = Body(
    "jackal",
    length_m=0.508,
    width_m=0.430,
    v_max=2.0,
    omega_max=2.0,
    camera_height_m=0.95,
    camera_x_m=0.45,
)
_HFOV_DEG, _ASPECT = math.degrees(2 * math.atan(640 / 2 / 272.547)), 640 / 480


def _is_hdf5(path: Path) -> bool:
    try:
        if path.suffix not in _SUFFIXES or not path.is_file():
            return False
        with path.open("rb") as stream:
            return stream.read(8) == _SIGNATURE
    except OSError:
        return False


def _find(path: Path, search: Search) -> Iterator[Path]:
    if _is_hdf5(path):
        yield path
    elif path.is_dir():
        for folder, _, files in search.folders():
            yield from (folder / name for name in files if _is_hdf5(folder / name))


def fits(path: Path) -> bool:
    """Whether this is an HDF5 file, or a folder with such files at any depth; what a file lacks of
    RECON's layout, `read` says.
    """
    return next(_find(path, Search(path)), None) is not None


def read(path: Path, options: ReadOptions) -> tuple[list[Walk], list[Skipped]]:
    """Reads every file below a path.

    Args:
        path: a file or a folder of them. options: an `hz` takes the place of RECON's 4 Hz.

    Raises:
        UserError: the h5py package is missing.
    """
    _library()
    search = Search(path)
    files = once(list(_find(path, search)))
    names = [str(f.with_suffix("").relative_to(path)) if f != path else f.stem for f in files]
    walks, skipped = read_each(
        files, names, lambda file, name: ([_read_file(file, name, options)], [])
    )
    return walks, skipped + search.passed_over()


def _library() -> Any:
    return optional("h5py", "HDF5 files", "video")


def _reading(path: Path) -> AbstractContextManager[None]:
    return reading(path, "HDF5 file", "fetch it again")


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    h5py = _library()
    with _reading(path):
        # Nothing is written, so nothing needs a lock, which archives on network disks refuse.
        file = h5py.File(path, "r", locking=False, rdcc_nbytes=1 << 26)
    try:
        yield file
    finally:
        file.close()


def _dataset(file: Any, key: str, path: Path) -> Any:
    """A dataset of the file itself.

    Raises:
        UserError: it is not there; it is a link that may lead out of the file, or keeps its values
            in another; or its parts are so big that reading one could take all memory.
    """
    h5py, at = _library(), file
    for name in key.split("/"):
        link = at.get(name, getlink=True) if isinstance(at, h5py.Group) else None
        if link is None:
            raise UserError(f"{path}: no {key} in it; it has {_listed(file)}")
        if not isinstance(link, h5py.HardLink):
            raise UserError(
                f"{path}: {key} is a link, which may lead to other files; copy the data into the "
                "file"
            )
        at = at[name]
    if not isinstance(at, h5py.Dataset) or at.shape is None:
        raise UserError(f"{path}: {key} is no array")
    if at.is_virtual or at.external:
        raise UserError(
            f"{path}: {key} keeps its values in other files; copy the data into the file"
        )
    if math.prod(at.chunks or ()) * at.dtype.itemsize > _MAX_BYTES:
        raise UserError(
            f"{path}: {key} has chunks of {at.chunks} x {at.dtype.itemsize} bytes, which are "
            "too big"
        )
    return at


def _listed(file: Any) -> str:
    """Names of what is in a file, to the depth that matters here."""
    h5py = _library()
    names: list[str] = []
    for name in file:
        group: Any = (
            file[name] if file.get(name, getclass=True, getlink=True) is h5py.HardLink else None
        )
        below = list(group) if isinstance(group, h5py.Group) else []
        names += [f"{name}/{b}" for b in below] or [name]
        if len(names) > _LISTED:
            return ", ".join(names[:_LISTED]) + " and more"
    return ", ".join(names) or "nothing"


def _numbers(file: Any, key: str, path: Path) -> np.ndarray:
    """A dataset of numbers as float64."""
    data = _dataset(file, key, path)
    if data.dtype.kind not in "fiu":
        raise UserError(f"{path}: {key} holds {data.dtype}; numbers are expected")
    if math.prod(data.shape) * max(data.dtype.itemsize, 8) > _MAX_BYTES:
        raise UserError(f"{path}: {key} is {data.shape}, too big for the poses of a walk")
    return np.asarray(data[()], dtype=np.float64)


def _pictures(file: Any, path: Path) -> Any:
    """The dataset of images: JPEG files as fixed or variable lengths of bytes, or rows of bytes; or
    pictures of (T, H, W, 3) bytes.

    Raises:
        UserError: it is of another type, or its images are too big.
    """
    h5py, data = _library(), _dataset(file, _IMAGES, path)
    varying = h5py.check_vlen_dtype(data.dtype)
    byte_rows = data.dtype == np.uint8 and (
        data.ndim == 2 or (data.ndim == 4 and data.shape[-1] == 3)
    )
    if not (byte_rows or (data.ndim == 1 and (data.dtype.kind in "SV" or varying == np.uint8))):
        raise UserError(
            f"{path}: {_IMAGES} is {data.shape} of {data.dtype}; JPEG files are expected"
        )
    size = (
        math.prod(data.shape[1:]) * data.dtype.itemsize if varying is None else _longest(data, path)
    )
    if size > min(_MAX_BYTES, 3 * MAX_PIXELS):
        raise UserError(f"{path}: {_IMAGES} has {size} bytes an image, which are too many")
    return data


def _longest(data: Any, path: Path) -> int:
    """The longest image that a dataset of variable lengths claims: HDF5 allocates what is claimed
    before it looks whether it is there.

    Each is kept as 16 bytes, its length first, in the dataset's storage (HDF5 file format
    specification, IV.B, "variable-length").
    """
    if data.id.get_create_plist().get_nfilters():
        raise UserError(
            f"{path}: {_IMAGES} has variable lengths and is compressed, which gains nothing; write "
            "it without"
        )
    if data.chunks is None:
        places = [(data.id.get_offset(), 16 * len(data))]
    else:
        chunks = [data.id.get_chunk_info(k) for k in range(data.id.get_num_chunks())]
        places = [(c.byte_offset, c.size) for c in chunks]
    longest, end = 0, path.stat().st_size
    with path.open("rb") as stream:
        for at, count in places:
            if at is None or at + count > end or count % 16:
                raise ValueError(f"{_IMAGES} lies beyond the file's end")
            stream.seek(at)
            lengths = np.frombuffer(stream.read(count), dtype="<u4")[::4]
            longest = max(longest, int(lengths.max(initial=0)))
    return longest


class HdfFrames(StoredImages):
    """Images of an HDF5 file; it is opened whenever some are asked for."""

    def __init__(self, path: Path, count: int):
        super().__init__(count, lambda t: f"{path}: image {t} of {_IMAGES}")
        self.path = path

    def image(self, t: int, data: bytes | np.ndarray) -> np.ndarray:
        """See `StoredImages`."""
        if not isinstance(data, bytes):
            return data
        try:
            size_of(data)
        except ValueError as error:
            raise UserError(f"{self.name(t)}: {error}; fetch the file again") from None
        return super().image(t, data)

    def digest(self) -> str:
        """Of all images' bytes."""
        every = (data for _, data in self.stored(range(self.count)))
        return digest_of(
            data if isinstance(data, bytes) else repr(data.shape).encode() + data.tobytes()
            for data in every
        )

    def stored(self, which: Which) -> Iterator[tuple[int, bytes | np.ndarray]]:
        """Frame number, and a JPEG file's bytes or (H, W, 3) uint8."""
        with _opened(self.path) as file, _reading(self.path):
            images = _pictures(file, self.path)
            for t in map(int, which):
                data = images[t]
                if images.ndim != 4:
                    whole = isinstance(data, (np.ndarray, np.void))
                    data = data.tobytes() if whole else bytes(data)
                yield t, data


def _read_file(path: Path, name: str, options: ReadOptions) -> Walk:
    with _opened(path) as file, _reading(path):
        position = _numbers(file, _POSITION, path)
        yaw = _numbers(file, _YAW, path)
        images = _pictures(file, path)
        there = set(file["jackal"])  # `in` would follow links
        key = next((k for k in _TIMES if k.removeprefix("jackal/") in there), "")
        times = _numbers(file, key, path).reshape(-1) if key else None
        lengths = {_POSITION: len(position), _YAW: len(yaw), _IMAGES: len(images)} | (
            {key: len(times)} if times is not None else {}
        )
    yaw = yaw[:, 0] if yaw.ndim == 2 and yaw.shape[1] == 1 else yaw
    if position.ndim != 2 or position.shape[1] < 2 or yaw.ndim != 1:
        raise UserError(
            f"{path}: {_POSITION} {position.shape} and {_YAW} {yaw.shape} should be (T, 2 or more) "
            "and (T,)"
        )
    length = min(lengths.values())
    if not length:
        raise UserError(f"{path}: {', '.join(k for k, n in lengths.items() if not n)} is empty")
    notes = []
    if len(set(lengths.values())) > 1:
        notes.append(
            f"{', '.join(f'{n} of {k}' for k, n in lengths.items())}: the first {length} of each "
            "are used"
        )
    if times is None:
        hz, assumed = options.rate(_HZ)
        notes += [assumed] if assumed else []
        times = np.arange(length) / hz
    frames = HdfFrames(path, length)
    height, width = next(frames.images([0])).shape[:2]
    # else it was cropped
    body = (
        replace(_JACKAL, camera_hfov_deg=_HFOV_DEG)
        if abs(width / height - _ASPECT) < 0.01
        else _JACKAL
    )
    place = position[:length, :2] * options.scale
    return checked(
        Walk(
            name,
            path,
            frames,
            times[:length] - times[0],
            place,
            yaw[:length],
            body,
            note="; ".join(notes),
        )
    )
