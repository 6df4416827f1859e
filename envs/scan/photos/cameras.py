"""Where photographs were taken: camera lists of trainers and of structure from motion, read without
trusting a word of them.

    cameras.json          3DGS trainers: a list of cameras, axes right, down and forward
    transforms.json       NeRF, instant-ngp, nerfstudio: camera to world, axes right, up and back
    a folder of COLMAP    cameras, images and points3D (.bin or .txt) in it, in sparse/0 or sparse,
                          the pictures in images/
    a folder of 7-Scenes  NAME.pose.txt (camera to world), NAME.color.png or .jpg, NAME.depth.png
                          (mm)

Sources: colmap.github.io/format.html, docs.nerf.studio (data conventions), the readme of the
7-Scenes data set.
"""

import math
import os
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import numpy as np
from PIL import Image

from s2e.core.errors import UserError, require
from s2e.core.files import parse_json
from s2e.envs.splats.formats.ply_header import read_header, read_rows
from s2e.envs.splats.formats.whole import opened, read_exactly, size_of
from s2e.envs.splats.transform import rotations

_MAX_BYTES = 256 << 20
_MAX_NUMBER = 1e12
_KINDS = (
    "cameras.json of 3DGS, transforms.json, a COLMAP folder (sparse/0 and images), or posed "
    "RGB-D (NAME.pose.txt beside pictures)"
)
COLMAP_MODELS = {
    0: ("SIMPLE_PINHOLE", 3),
    1: ("PINHOLE", 4),
    2: ("SIMPLE_RADIAL", 4),
    3: ("RADIAL", 5),
    4: ("OPENCV", 8),
    5: ("OPENCV_FISHEYE", 8),
    6: ("FULL_OPENCV", 12),
    7: ("FOV", 5),
    8: ("SIMPLE_RADIAL_FISHEYE", 4),
    9: ("RADIAL_FISHEYE", 5),
    10: ("THIN_PRISM_FISHEYE", 12),
}
"""Number in a binary file -> name and how many parameters."""
KINECT = (585.0, 585.0, 320.0, 240.0)
"""Intrinsics of 7-Scenes where no file says others."""


@dataclass(frozen=True)
class Lens:
    """What a camera makes of directions.

    Attributes:
        intrinsics: fx, fy, cx, cy in pixels, the corner of the image at 0, 0.
        size_px: width and height that these are for; zeros where they are not known.
        bent: k1, k2, p1, p2, k3 of OpenCV's distortion.
    """

    intrinsics: tuple[float, float, float, float]
    size_px: tuple[int, int] = (0, 0)
    bent: tuple[float, float, float, float, float] = (0.0, 0.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Posed:
    """One camera of a list.

    Attributes:
        name: what the list calls it.
        position: (3,) in the list's units.
        axes: (3, 3) whose columns are right, down and forward of the camera, as the list has them;
            None where it does not say.
        lens: None where the list does not say.
        image, depth: files, not looked at yet; None where there is none.
        depth_unit: what one step of the depth file is, in the list's units.
    """

    name: str
    position: np.ndarray
    axes: np.ndarray | None
    lens: Lens | None = None
    image: Path | None = None
    depth: Path | None = None
    depth_unit: float = 1e-3


@dataclass
class CameraList:
    """What a list holds.

    Attributes:
        kind: of which program.
        cameras: that could be read.
        faults: a line for each that could not.
        notes: a line for what else could not: points, lenses.
        points: (P, 3) float64 that were seen, in the list's units.
        colours: (P, 3) uint8 of these.
        metric: whether its units are known to be metres.
    """

    kind: str
    cameras: list[Posed] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    points: np.ndarray = field(default_factory=lambda: np.zeros((0, 3)))
    colours: np.ndarray = field(default_factory=lambda: np.zeros((0, 3), np.uint8))
    metric: bool = False


def read_camera_list(path: str | os.PathLike, images: Path | None = None) -> CameraList:
    """Reads a camera list of any kind; what of it cannot be read is left out, a line each in
    `faults`.

    Args:
        path: a file or a folder, see the head of this module.
        images: where the pictures of a COLMAP folder are; None looks beside the model.

    Raises:
        UserError: there is no such list, or nothing of it can be read; the message names the field.
    """
    path = Path(path)
    if not os.path.isdir(path):
        return _of_json(path)
    model = colmap_model(path)
    if model is not None:
        return _of_colmap(path, model, images)
    for name in ("transforms.json", "transforms_train.json", "cameras.json"):
        if (path / name).is_file():
            return _of_json(path / name)
    poses = sorted(path.glob("*.pose.txt")) or sorted(path.glob("*/*.pose.txt"))
    if poses:
        return _of_rgbd(path, poses)
    raise UserError(f"{path}: no cameras in this folder; give {_KINDS}")


def _numbers(value: object, count: int) -> list[float] | None:
    """`count` finite numbers, or None."""
    if not isinstance(value, list | tuple) or len(value) != count:
        return None
    good = all(
        isinstance(v, int | float) and not isinstance(v, bool) and abs(v) < _MAX_NUMBER
        for v in value
    )
    return [float(v) for v in value] if good else None


# JSON of trainers


def _of_json(path: Path) -> CameraList:
    """cameras.json or transforms.json."""
    data = _load(path)
    if isinstance(data, list):
        found = CameraList("cameras.json of 3DGS")
        for i, item in enumerate(data):
            _add_3dgs(found, path, i, item if isinstance(item, dict) else {})
    else:
        found = CameraList("transforms.json")
        for i, item in enumerate(data["frames"]):
            _add_nerf(found, path, i, item if isinstance(item, dict) else {}, data)
        found.points, found.colours = _points_of_ply(path, data.get("ply_file_path"), found.notes)
    return found


def _load(path: Path) -> Any:
    """A list of cameras, or an object whose `frames` are one."""
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise UserError(
                f"{path}: {path.stat().st_size} bytes is more than a camera list takes; give "
                "cameras.json or transforms.json"
            )
        data = parse_json(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); check the path") from None
    except ValueError as error:
        raise UserError(
            f"{path}: not JSON ({error}); give cameras.json or transforms.json"
        ) from None
    if isinstance(data, list) or (isinstance(data, dict) and isinstance(data.get("frames"), list)):
        return data
    raise UserError(
        f"{path}: neither a list of cameras (3DGS cameras.json) nor an object with frames "
        "(transforms.json)"
    )


def _add_3dgs(found: CameraList, path: Path, i: int, item: dict[str, Any]) -> None:
    position = _numbers(item.get("position"), 3)
    if position is None:
        found.faults.append(
            f"{path}: [{i}].position must be three finite numbers; export the cameras again"
        )
        return
    rows = item.get("rotation")
    parsed = (
        [_numbers(row, 3) for row in rows] if isinstance(rows, list) and len(rows) == 3 else [None]
    )
    axes = None if any(row is None for row in parsed) else np.array(parsed)
    size = _numbers([item.get("width"), item.get("height")], 2)
    focal = _numbers([item.get("fx"), item.get("fy")], 2)
    lens = None
    if size is not None and focal is not None and min(*size, *focal) > 0:
        lens = Lens((focal[0], focal[1], size[0] / 2, size[1] / 2), (int(size[0]), int(size[1])))
    name = str(item.get("img_name", i))
    found.cameras.append(Posed(name, np.array(position), axes, lens, _inside(path.parent, name)))


def _add_nerf(
    found: CameraList, path: Path, i: int, item: dict[str, Any], whole: dict[str, Any]
) -> None:
    matrix, where = item.get("transform_matrix"), f"{path}: frames[{i}].transform_matrix"
    rows = (
        [_numbers(row, 4) for row in matrix[:3]]
        if isinstance(matrix, list) and len(matrix) in (3, 4)
        else [None]
    )
    if any(row is None for row in rows):
        found.faults.append(f"{where} must be 4 x 4 finite numbers; export the cameras again")
        return
    pose = np.array(rows)
    name = item.get("file_path")
    image = _inside(path.parent, name) if isinstance(name, str) else None
    depth = item.get("depth_file_path")
    unit = _numbers([whole.get("depth_unit_scale_factor", 1e-3)], 1) or [1e-3]
    found.cameras.append(
        Posed(
            name if isinstance(name, str) else f"frames[{i}]",
            pose[:, 3],
            pose[:, :3] * np.array([1.0, -1.0, -1.0]),
            _nerf_lens(item, whole, image),
            image,
            _inside(path.parent, depth) if isinstance(depth, str) else None,
            unit[0],
        )
    )


def _nerf_lens(item: dict[str, Any], whole: dict[str, Any], image: Path | None) -> Lens | None:
    """Intrinsics of a frame, else of the whole file; by field of view alone the middle of the
    picture is their centre.
    """

    def of(name: str, default: float = 0.0) -> float:
        value = _numbers([item.get(name, whole.get(name, default))], 1)
        return default if value is None else value[0]

    fisheye = str(item.get("camera_model", whole.get("camera_model", "")))
    if "FISHEYE" in fisheye.upper() or of("is_fisheye"):
        return None
    size = (int(of("w")), int(of("h")))
    if min(size) <= 0 and image is not None:
        size = image_size(image)
    fx = of("fl_x")
    if fx <= 0 and 0 < of("camera_angle_x") < math.pi and size[0] > 0:
        fx = size[0] / 2 / math.tan(of("camera_angle_x") / 2)
    if fx <= 0 or min(size) <= 0:
        return None
    bent = (of("k1"), of("k2"), of("p1"), of("p2"), of("k3"))
    fy = of("fl_y")
    return Lens(
        (fx, fy if fy > 0 else fx, of("cx", size[0] / 2), of("cy", size[1] / 2)), size, bent
    )


def image_size(path: Path) -> tuple[int, int]:
    """Width and height of a picture by its head; zeros where it cannot be read."""
    try:
        with Image.open(path) as image:
            return image.size
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return 0, 0


def _inside(folder: Path, name: str) -> Path:
    """The picture that a list names: with any slashes, and without the suffix as some lists have
    it.
    """
    path = folder / name.replace("\\", "/")
    if os.path.isfile(path):
        return path
    for suffix in (".png", ".jpg", ".jpeg", ".JPG"):
        for there in (path, folder / "images" / path.name):
            if os.path.isfile(f"{there}{suffix}"):
                return Path(f"{there}{suffix}")
    return path


def _points_of_ply(path: Path, name: object, faults: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Points and colours of the PLY that a transforms.json of nerfstudio names."""
    none = np.zeros((0, 3)), np.zeros((0, 3), np.uint8)
    if not isinstance(name, str):
        return none
    file = path.parent / name
    try:
        element = read_header(file).elements["vertex"]
        fields = element.dtype.names or ()
        require(all(axis in fields for axis in "xyz"), f"{file}: no x, y and z in it")
        with opened(file) as data:
            table = read_rows(file, data, element, slice(0, element.count))
    except UserError as error:
        faults.append(f"{error} (points were not read)")
        return none
    points = np.stack([table[axis].astype(np.float64) for axis in "xyz"], 1)
    tints = [n for n in ("red", "green", "blue") if n in fields]
    colours = (
        np.stack([table[n] for n in tints], 1).astype(np.uint8)
        if len(tints) == 3
        else np.full(points.shape, 128, np.uint8)
    )
    good = (np.abs(points) < _MAX_NUMBER).all(1)
    return points[good], colours[good]


# COLMAP


def colmap_model(folder: Path) -> Path | None:
    """The folder of a sparse model, the one with most of images where there are several; None where
    there is none.
    """
    places = [folder, folder / "sparse", folder / "colmap" / "sparse"]
    places += [
        p for place in places[1:] if place.is_dir() for p in sorted(place.iterdir()) if p.is_dir()
    ]
    found = [
        (file.stat().st_size, -k, place)
        for k, place in enumerate(places)
        if (file := _of_model(place, "images")) is not None
    ]
    return max(found)[2] if found else None


def _of_model(place: Path, name: str) -> Path | None:
    for suffix in (".bin", ".txt"):
        if (place / f"{name}{suffix}").is_file():
            return place / f"{name}{suffix}"
    return None


def _of_colmap(folder: Path, model: Path, images: Path | None) -> CameraList:
    found = CameraList(f"COLMAP ({model})")
    file = _of_model(model, "cameras")
    if file is None:
        raise UserError(f"{model}: images without cameras.bin or cameras.txt; copy the whole model")
    lenses = dict(_colmap_lenses(file, found.notes))
    places = (
        folder / "images",
        model / "images",
        model.parent / "images",
        model.parent.parent / "images",
        folder / "input",
    )
    where = images or next((p for p in places if p.is_dir()), folder)
    listed = _of_model(model, "images")
    assert listed is not None
    for name, quat, shift, camera in _colmap_images(listed, found.faults):
        good = bool((np.abs(np.concatenate([quat, shift])) < _MAX_NUMBER).all())
        length = float(np.linalg.norm(quat)) if good else 0.0
        if not length > 1e-9:
            found.faults.append(f"{listed}: {name}: its pose is not finite; left out")
            continue
        turn = rotations(quat / length)
        found.cameras.append(
            Posed(
                name, -turn.T @ shift, turn.T, lenses.get(camera), where / name.replace("\\", "/")
            )
        )
    file = _of_model(model, "points3D")
    if file is not None:
        found.points, found.colours = _colmap_points(file, found.notes)
    found.cameras.sort(key=lambda posed: posed.name)
    return found


def _lens_of(model: str, size: tuple[int, int], p: list[float]) -> Lens | None:
    """A COLMAP camera; None for models of fisheyes and others that a pinhole with OpenCV's
    distortion is not.
    """
    if not all(abs(v) < _MAX_NUMBER for v in p) or min(size) <= 0:
        return None
    if model in ("SIMPLE_PINHOLE", "SIMPLE_RADIAL", "RADIAL"):
        k1, k2 = (*p[3:], 0.0, 0.0)[:2]
        lens = Lens((p[0], p[0], p[1], p[2]), size, (k1, k2, 0.0, 0.0, 0.0))
    elif model in ("PINHOLE", "OPENCV"):
        k1, k2, p1, p2 = (*p[4:], 0.0, 0.0, 0.0, 0.0)[:4]
        lens = Lens((p[0], p[1], p[2], p[3]), size, (k1, k2, p1, p2, 0.0))
    elif model == "FULL_OPENCV" and not any(p[9:12]):
        lens = Lens((p[0], p[1], p[2], p[3]), size, (p[4], p[5], p[6], p[7], p[8]))
    else:
        return None
    return lens if min(lens.intrinsics[:2]) > 0 else None


def _colmap_lenses(file: Path, faults: list[str]) -> Iterator[tuple[int, Lens]]:
    for number, model, size, values in _colmap_cameras(file, faults):
        lens = _lens_of(model, size, values)
        if lens is None:
            remedy = "run colmap image_undistorter and give its folder"
            faults.append(
                f"{file}: camera {number}, {model} of {size[0]} x {size[1]}, is not one that can "
                f"be straightened; {remedy}"
            )
        else:
            yield number, lens


T = TypeVar("T")


def _records(
    file: Path, faults: list[str], what: str, least_bytes: int, parse: Callable[[Path, BinaryIO], T]
) -> Iterator[T]:
    """What `parse` makes of each record of a binary file; ends early, with a fault, where it is
    cut.
    """
    with opened(file) as data:
        done, count = 0, 0
        try:
            (count,) = struct.unpack("<Q", read_exactly(file, data, 8))
            if count * least_bytes > size_of(data):
                faults.append(
                    f"{file}: claims {count} {what}, too many for its {size_of(data)} bytes; what "
                    "there is was read"
                )
            while done < count:
                yield parse(file, data)
                done += 1
        except UserError as error:
            faults.append(f"{error} ({done} of {count} {what} were read)")


def _colmap_cameras(
    file: Path, faults: list[str]
) -> Iterator[tuple[int, str, tuple[int, int], list[float]]]:
    if file.suffix == ".bin":
        yield from _records(file, faults, "cameras", 24, _binary_camera)
        return
    counts = dict(COLMAP_MODELS.values())
    for k, words in _lines(file):
        try:
            number = int(words[0])
            width = int(words[2])
            height = int(words[3])
            values = [float(v) for v in words[4:]]
            if len(values) != counts[words[1]]:
                raise ValueError
            yield number, words[1], (_small(width), _small(height)), values
        except (ValueError, IndexError, KeyError, OverflowError):
            faults.append(f"{file}: line {k}: not CAMERA_ID MODEL WIDTH HEIGHT PARAMS; left out")


def _binary_camera(file: Path, data: BinaryIO) -> tuple[int, str, tuple[int, int], list[float]]:
    number, model, width, height = struct.unpack("<iiQQ", read_exactly(file, data, 24))
    require(
        model in COLMAP_MODELS, f"{file}: camera {number} is of model {model}, which is not known"
    )
    name, count = COLMAP_MODELS[model]
    return (
        number,
        name,
        (_small(width), _small(height)),
        list(struct.unpack(f"<{count}d", read_exactly(file, data, 8 * count))),
    )


def _small(pixels: int) -> int:
    return pixels if 0 < pixels < 1 << 20 else 0


def _lines(file: Path) -> Iterator[tuple[int, list[str]]]:
    """Numbers from 1 and words of the lines that are no comments."""
    with opened(file) as data:
        for k, line in enumerate(data, 1):
            text = line.decode("utf-8", "surrogateescape").strip()
            if text and not text.startswith("#"):
                yield k, text.split()


def _colmap_images(
    file: Path, faults: list[str]
) -> Iterator[tuple[str, np.ndarray, np.ndarray, int]]:
    """Name, quaternion (w, x, y, z) and shift of the world in the camera, and the camera's
    number.
    """
    if file.suffix == ".bin":
        yield from _records(file, faults, "images", 73, _binary_image)
        return
    with opened(file) as data:
        wants_pose = True
        for k, line in enumerate(data, 1):
            text = line.decode("utf-8", "surrogateescape").strip()
            if text.startswith("#"):
                continue
            if not wants_pose:  # the points of an image, which may be none
                wants_pose = True
                continue
            if not text:
                continue
            wants_pose, words = False, text.split(maxsplit=9)
            try:
                values = np.array([float(word) for word in words[1:8]])
                yield words[9], values[:4], values[4:7], int(words[8])
            except (ValueError, IndexError):
                faults.append(
                    f"{file}: line {k}: not IMAGE_ID QW QX QY QZ TX TY TZ CAMERA_ID NAME; left out"
                )


def _binary_image(file: Path, data: BinaryIO) -> tuple[str, np.ndarray, np.ndarray, int]:
    numbers = struct.unpack("<i7di", read_exactly(file, data, 64))
    name = bytearray()
    while (letter := read_exactly(file, data, 1)) != b"\0":
        name += letter
        require(
            len(name) < 4096,
            f"{file}: a name that does not end at byte {data.tell()}; copy it again",
        )
    (count,) = struct.unpack("<Q", read_exactly(file, data, 8))
    _skip(file, data, 24 * count)
    return os.fsdecode(bytes(name)), np.array(numbers[1:5]), np.array(numbers[5:8]), numbers[8]


def _skip(file: Path, data: BinaryIO, count: int) -> None:
    require(
        data.tell() + count <= size_of(data), f"{file}: cut at byte {size_of(data)}; copy it again"
    )
    data.seek(count, os.SEEK_CUR)


def _binary_point(file: Path, data: BinaryIO) -> tuple[float, ...]:
    values = struct.unpack("<q3d3BdQ", read_exactly(file, data, 51))
    _skip(file, data, 8 * values[8])
    return values[1:7]


def _colmap_points(file: Path, faults: list[str]) -> tuple[np.ndarray, np.ndarray]:
    rows: list[tuple[float, ...]] = []
    if file.suffix == ".bin":
        rows += _records(file, faults, "points", 51, _binary_point)
    else:
        for k, words in _lines(file):
            try:
                rows.append(
                    (
                        *(float(v) for v in words[1:4]),
                        *(min(max(int(v), 0), 255) for v in words[4:7]),
                    )
                )
                if len(rows[-1]) != 6:
                    rows.pop()
                    raise ValueError
            except ValueError:
                faults.append(f"{file}: line {k}: not POINT3D_ID X Y Z R G B; left out")
    table = np.array(rows, np.float64).reshape(-1, 6)
    good = (np.abs(table[:, :3]) < _MAX_NUMBER).all(1)
    if not good.all():
        faults.append(f"{file}: {int((~good).sum())} points are not finite; left out")
    return table[good, :3], table[good, 3:].astype(np.uint8)


# Posed RGB-D


def _of_rgbd(folder: Path, poses: list[Path]) -> CameraList:
    found = CameraList("posed RGB-D", metric=True)
    lens = _rgbd_lens(folder, poses[0].parent)
    for file in poses:
        stem = file.name.removesuffix(".pose.txt")
        try:
            pose = np.array([[float(word) for word in words] for _, words in _lines(file)])
        except ValueError:
            pose = np.zeros(0)
        if pose.shape not in ((4, 4), (3, 4)) or not (np.abs(pose) < _MAX_NUMBER).all():
            found.faults.append(f"{file}: not 4 x 4 finite numbers; left out")
            continue
        images = [file.with_name(f"{stem}.color{suffix}") for suffix in (".png", ".jpg", ".jpeg")]
        image = next((p for p in images if p.is_file()), images[0])
        depth = file.with_name(f"{stem}.depth.png")
        name = str(file.relative_to(folder)).removesuffix(".pose.txt")
        found.cameras.append(
            Posed(name, pose[:3, 3], pose[:3, :3], lens, image, depth if depth.is_file() else None)
        )
    return found


def _rgbd_lens(*folders: Path) -> Lens:
    """Of camera-intrinsics.txt (3 x 3), where there is one."""
    for folder in folders:
        file = folder / "camera-intrinsics.txt"
        if file.is_file():
            try:
                rows = np.array([[float(word) for word in words] for _, words in _lines(file)])
            except ValueError:
                rows = np.zeros(0)
            good = rows.ndim == 2 and min(rows.shape) >= 3 and bool(np.isfinite(rows).all())
            if not (good and rows[0, 0] > 0 and rows[1, 1] > 0):
                raise UserError(
                    f"{file}: not a 3 x 3 matrix of intrinsics in pixels; mend it, or delete it "
                    f"for {KINECT}"
                )
            return Lens(
                (float(rows[0, 0]), float(rows[1, 1]), float(rows[0, 2]), float(rows[1, 2]))
            )
    return Lens(KINECT)
