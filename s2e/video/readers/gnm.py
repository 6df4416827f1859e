"""The folder layout of GNM and visualnav-transformer.

    DATASET/WALK/0.jpg, 1.jpg, ...  frames, numbered without padding
    DATASET/WALK/traj_data.pkl      {"position": (T, 2) metres, "yaw": (T,) or (T, 1) radians}
    DATASET/WALK/walk.json          ours, optional: {"times": [...], "body": {...}, "free_space":
                                    [[...], ...],
                                        "nudged": [[begin_s, end_s], ...]}
    DATASET/dataset.json                ours, optional: {"hz": frames a second, "body": {...}}

Source of the layout: github.com/robodhruv/visualnav-transformer.
"""

import dataclasses
import json
import pickle
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from s2e.core.errors import UserError
from s2e.core.files import read_json
from s2e.core.unpickle import numbers, read_pickle
from s2e.video.files import Search
from s2e.video.frames import ImageFiles
from s2e.video.options import ReadOptions
from s2e.video.walk import Body, Skipped, Walk, checked

MOST_OF_BODY = 1e6
"""No size, limit or angle of a robot is as large; JSON has whole numbers that no float holds."""


def _find(search: Search) -> Iterator[Path]:
    """The walks' folders at any depth below a folder."""
    return (folder for folder, _, files in search.folders() if "traj_data.pkl" in files)


def fits(path: Path) -> bool:
    """Whether there is such a walk in a folder, at any depth."""
    return path.is_dir() and next(_find(Search(path)), None) is not None


def read(path: Path, options: ReadOptions) -> tuple[list[Walk], list[Skipped]]:
    """Reads every walk below a folder, in the order of their names."""
    walks, skipped, search = [], [], Search(path)
    for folder in sorted(_find(search)):
        try:
            walks.append(_read_walk(folder, path, options))
        except UserError as error:
            skipped.append(Skipped(folder, str(error)))
    return walks, skipped + search.passed_over()


def _read_walk(folder: Path, dataset: Path, options: ReadOptions) -> Walk:
    file = folder / "traj_data.pkl"
    position, yaw = _poses(file)
    hz, body, assumed = _about(folder, options)
    images = 0
    while (folder / f"{images}.jpg").is_file():
        images += 1
    total = sum(1 for p in folder.iterdir() if p.suffix == ".jpg")
    if total > images:
        raise UserError(f"{folder}: frame {images}.jpg is missing though later ones are there")
    length = min(images, len(position))
    extras: dict[str, Any] = {"times": np.arange(length) / hz, "body": body}
    own = _extras(folder / "walk.json", length) if (folder / "walk.json").is_file() else {}
    frames = ImageFiles(
        lambda t: (folder / f"{t}.jpg").read_bytes(), length, lambda t: str(folder / f"{t}.jpg")
    )
    notes = [assumed] if assumed and "times" not in own else []
    if images != len(position):
        notes.append(f"{images} images, {len(position)} poses: the first {length} of each are used")
    name = str(folder.relative_to(dataset)) if folder != dataset else folder.name
    return checked(
        Walk(
            name,
            file,
            frames,
            position=position[:length] * options.scale,
            yaw=yaw[:length],
            note="; ".join(notes),
            **(extras | own),
        )
    )


def _poses(file: Path) -> tuple[np.ndarray, np.ndarray]:
    data = read_pickle(file)
    if not isinstance(data, dict) or "position" not in data or "yaw" not in data:
        raise UserError(f"{file}: holds no dictionary with `position` and `yaw`")
    position, yaw = (
        _array(data[name], f"{file}: `{name}`", axes)
        for name, axes in (("position", 2), ("yaw", 1))
    )
    if position.ndim != 2 or position.shape[1] < 2 or yaw.shape != position.shape[:1]:
        raise UserError(
            f"{file}: position {position.shape} and yaw {yaw.shape} should be (T, 2) and (T,)"
        )
    return position[:, :2], yaw


def _array(value: Any, where: str, axes: int) -> np.ndarray:
    """Numbers by frame, however they are boxed: axes of one element are no axes, but for the first
    where there are not too many.
    """
    try:
        array = numbers(value)
    except ValueError as error:
        raise UserError(
            f"{where} is no array of numbers ({error}); write lists of numbers, one entry a frame"
        ) from None
    while array.ndim > axes and array.shape[0] == 1:
        array = array[0]
    return array.reshape(array.shape[:1] + tuple(n for n in array.shape[1:] if n != 1))


def _about(folder: Path, options: ReadOptions) -> tuple[float, Body, str]:
    """Rate and body that a dataset.json in the walk, or above it, gives; a note where nothing gives
    the rate.
    """
    stored = folder.resolve().parent  # of a walk that is linked here
    for path in (place / "dataset.json" for place in (folder, folder.parent, stored)):
        if path.is_file():
            values = read_json(path, "mend or remove it")
            try:
                hz = float(values["hz"])
            except (KeyError, TypeError, ValueError, OverflowError):
                raise UserError(f"{path}: no number `hz` in it") from None
            if not 0.1 <= hz <= 1000:
                raise UserError(
                    f"{path}: hz is {hz}; frames a second between 0.1 and 1000 are expected"
                )
            return hz, body_of(values.get("body", {}), path), ""
    hz, note = options.rate()
    return hz, Body(), note


def _extras(path: Path, length: int) -> dict[str, Any]:
    """The fields of a walk that its walk.json has."""
    values, extras = read_json(path, "mend or remove it"), {}
    try:
        if "times" in values:
            extras["times"] = np.atleast_1d(np.array(values["times"], dtype=np.float64))[:length]
        if "free_space" in values:
            # null: NaN
            extras["free_space"] = np.atleast_1d(np.array(values["free_space"], dtype=np.float32))[
                :length
            ]
        if "nudged" in values:
            extras["nudged"] = np.array(values["nudged"], dtype=np.float64).reshape(-1, 2)
    except (TypeError, ValueError, OverflowError):
        raise UserError(
            f"{path}: `times`, `free_space` or `nudged` is not an array of numbers; remove the "
            "field"
        ) from None
    if "body" in values:
        extras["body"] = body_of(values["body"], path)
    return extras


def body_of(values: Any, where: Path | str) -> Body:
    """Reads what `body_dict` wrote; `where` names the file in errors."""
    known = {f.name for f in dataclasses.fields(Body)}
    if not isinstance(values, dict) or set(values) - known:
        raise UserError(f"{where}: body is {values!r}; it may have {', '.join(sorted(known))}")
    for name, value in values.items():
        good = (
            isinstance(value, str)
            if name == "robot"
            else isinstance(value, (int, float)) and not isinstance(value, bool)
        )
        if not good or (name != "robot" and not abs(value) < MOST_OF_BODY):
            raise UserError(
                f"{where}: body has {name} {value!r}; numbers are expected, a text for robot"
            )
    return Body(**values)


def body_dict(body: Body) -> dict[str, Any]:
    """What is known of a body, as JSON values."""
    return {k: v for k, v in dataclasses.asdict(body).items() if v not in ("", None) and v == v}


def rays_list(free_space: np.ndarray) -> list[list[float | None]]:
    """(T, RAYS) metres of free space as JSON values: to the millimetre, null where it is not
    known.
    """
    return [
        [None if x != x else x for x in row]
        for row in np.round(free_space.astype(np.float64), 3).tolist()
    ]


def write_walk(
    folder: Path,
    frames: Iterable[bytes],
    position: np.ndarray,
    yaw: np.ndarray,
    times: np.ndarray | None = None,
    body: Body | None = None,
    free_space: np.ndarray | None = None,
    nudged: np.ndarray | None = None,
) -> None:
    """Writes one walk: JPEG bytes of each frame, and the poses. `traj_data.pkl` comes last, so a
    cut walk is not a walk.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for t, data in enumerate(frames):
        (folder / f"{t}.jpg").write_bytes(data)
    more: dict[str, Any] = {"body": body_dict(body)} if body else {}
    if times is not None:
        more["times"] = np.round(times, 6).tolist()
    if free_space is not None:
        more["free_space"] = rays_list(free_space)
    if nudged is not None and len(nudged):
        more["nudged"] = np.round(nudged, 6).tolist()
    if more:
        (folder / "walk.json").write_text(json.dumps(more) + "\n")
    # Plain lists: any reader of the layout understands them, whatever its NumPy.
    poses = {"position": np.asarray(position).tolist(), "yaw": np.asarray(yaw).tolist()}
    (folder / "traj_data.pkl").write_bytes(pickle.dumps(poses, protocol=4))
