"""Video with poses beside it: a folder of pictures or an MP4, and a TUM, KITTI or CSV file (see
`s2e.video.readers.poses`).

WALK.mp4                           WALK.csv                     by name; or the only one of each in
                                   a folder
WALK/0001.jpg ... WALK/poses.txt   pictures and poses in one folder, or WALK.txt beside it
WALK/rgb/... WALK/groundtruth.txt  pictures in a folder of their own; rgb.txt or times.txt give
                                   their times
SET/WALK1/... SET/WALK2/...        any number of those
"""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from s2e.core.errors import UserError
from s2e.video.files import Search, once, text_of
from s2e.video.frames import Frames, ImageFiles
from s2e.video.ground import AXES, at_times
from s2e.video.options import ReadOptions
from s2e.video.readers import mp4, poses
from s2e.video.readers.mp4 import VideoFrames
from s2e.video.readers.parquet import inside
from s2e.video.readers.poses import Poses, read_poses, sniff
from s2e.video.resample import by_time
from s2e.video.walk import Body, Skipped, Walk, checked

_PICTURES = (".jpg", ".jpeg", ".png")
_USUAL = ("rgb", "color", "image_2", "image_02", "images", "frames")
_TIMES = ("times.txt", "timestamps.txt")
_DEPTH = 3
_MAX_TEXT = 64 << 20


@dataclass(frozen=True)
class _Place:
    """A walk that may be: the folders of pictures or MP4s to choose from, and the files of
    poses.
    """

    folder: Path
    pictures: tuple[Path, ...]
    poses: tuple[Path, ...]


def fits(path: Path) -> bool:
    """Whether there are pictures or an MP4 with a file of poses."""
    try:
        return bool(_places(path, _DEPTH, Search(path)))
    except OSError:
        return False


def read(path: Path, options: ReadOptions) -> tuple[list[Walk], list[Skipped]]:
    """Reads every walk. `options.poses` is `[FILE][:AXES]`, AXES one of body, optical, camera (see
    `s2e.video.ground.Axes`).

    Raises:
        UserError: there is none.
    """
    walks, skipped, search = [], [], Search(path)
    found = _places(path, _DEPTH, search)
    if not found:
        raise UserError(
            f"{path}: no pictures or MP4 with a file of poses (TUM, KITTI, or CSV with x, y, yaw "
            "in its header)"
        )
    places = {place.folder: place for place in found}
    for place in (places[folder] for folder in once(list(places))):
        try:
            walks.append(_walk(place, path, options))
        except UserError as error:
            skipped.append(Skipped(place.folder, str(error)))
    return walks, skipped + search.passed_over()


def _places(path: Path, depth: int, search: Search) -> list[_Place]:
    if path.is_file():
        return _of_videos([path], path.parent) if path.suffix.lower() in mp4.SUFFIXES else []
    if not path.is_dir():
        return []
    folders, files = search.entries(path)
    videos = [f for f in files if f.suffix.lower() in mp4.SUFFIXES and f.is_file()]
    texts = tuple(
        f
        for f in files
        if f.suffix.lower() in poses.SUFFIXES and f.is_file() and f.name not in _TIMES and sniff(f)
    )
    own = _of_videos(videos, path) if len(videos) > 1 else []
    named = [f for f in folders if any(t.stem == f.name for t in texts)]
    if own or named:
        return [*own, *(place for folder in named for place in _places(folder, 0, search))]
    # the last is KITTI's
    beside = (
        *(path.with_name(path.name + s) for s in poses.SUFFIXES),
        path.parent.parent / "poses" / f"{path.name}.txt",
    )
    texts = texts or tuple(f for f in beside if sniff(f))
    if texts:
        shown = [path] if _has_pictures(path) else [f for f in folders if _has_pictures(f)]
        return [_Place(path, (*shown, *videos), texts)] if shown or videos else []
    return (
        [place for folder in folders for place in _places(folder, depth - 1, search)]
        if depth
        else []
    )


def _of_videos(videos: list[Path], folder: Path) -> list[_Place]:
    """Videos with poses of the same name; one alone may have any."""
    places = []
    for video in videos:
        named = tuple(f for s in poses.SUFFIXES if sniff(f := video.with_suffix(s)))
        if not named and len(videos) == 1:
            named = tuple(
                f
                for f in sorted(folder.iterdir())
                if f.suffix.lower() in poses.SUFFIXES and sniff(f)
            )
        if named:
            places.append(_Place(video, (video,), named))
    return places


def _has_pictures(folder: Path) -> bool:
    return any(f.suffix.lower() in _PICTURES for f in folder.iterdir())


def _walk(place: _Place, dataset: Path, options: ReadOptions) -> Walk:
    name, axes = options.poses, None
    word = name.rpartition(":")[2]
    if word in AXES:
        name, axes = name.rpartition(":")[0], word
    file = _chosen(place.poses, name, "--poses", place.folder)
    usual = [p for p in place.pictures if p.name in _USUAL] if not options.image else []
    source = _chosen(
        tuple(usual) if len(usual) == 1 else place.pictures, options.image, "--image", place.folder
    )
    known: Poses = read_poses(file, axes, options.scale)
    hz, assumed = options.rate()
    frames, times, note = (
        _video(source) if source.is_file() else _images(source, place.folder, options)
    )
    rate = times if times is not None else np.arange(len(frames)) / hz
    timed = times is not None
    keep, times, position, yaw, more = _aligned(file, known, timed, rate)
    if assumed and not timed and times is not known.times:
        note += f"{assumed}; "
    if len(keep) < len(frames):
        frames = frames.part(keep)
    title = place.folder.name if place.folder == dataset else str(place.folder.relative_to(dataset))
    return checked(
        Walk(
            title,
            file,
            frames,
            times,
            position,
            yaw,
            Body(),
            None,
            (note + known.note + more).removesuffix("; "),
        )
    )


def _chosen(there: tuple[Path, ...], name: str, option: str, where: Path) -> Path:
    good = [f for f in there if not name or name in (f.name, f.stem, str(f))]
    if len(good) == 1:
        return good[0]
    names = ", ".join(f.name for f in there)
    raise UserError(
        f"{where}: {'choose one with' if not name else 'there is no'} "
        f"{option}{' ' + name if name else ''}; there are {names}"
    )


def _video(file: Path) -> tuple[Frames, np.ndarray, str]:
    frames = VideoFrames(file)
    return frames, frames.video.times(), ""


def _images(
    folder: Path, walk: Path, options: ReadOptions
) -> tuple[Frames, np.ndarray | None, str]:
    """The pictures of a folder and their times, None where nothing tells them."""
    note, times = "", None
    listed = walk / f"{folder.name}.txt"
    if folder != walk and listed.is_file() and not sniff(listed):
        files, times = _list(listed, walk)
    else:
        files = sorted((f for f in folder.iterdir() if f.suffix.lower() in _PICTURES), key=_natural)
        stamps = next((f for n in _TIMES for d in (folder, walk) if (f := d / n).is_file()), None)
        if stamps is not None:
            times = _column(stamps, 1)[0]
            if len(times) != len(files):
                raise UserError(
                    f"{stamps}: {len(times)} times, {len(files)} pictures in {folder}; they must "
                    "be as many"
                )
        else:
            times, is_rank = _named(files)
            if times is not None and is_rank:
                hz, assumed = options.rate()
                times, note = times / hz, f"{assumed}; " if assumed else ""
    if times is not None:
        order, more = by_time(times, "pictures")
        files, times, note = [files[k] for k in order], times[order], note + more
    return (
        ImageFiles(lambda t: files[t].read_bytes(), len(files), lambda t: str(files[t])),
        times,
        note,
    )


def _natural(file: Path) -> list[tuple[int, int, str]]:
    """Sorts 2.jpg before 10.jpg."""
    parts = re.findall(r"[0-9]+|[^0-9]+", file.name)
    return [(0, int(p[:4000]), p) if p[0] in "0123456789" else (1, 0, p) for p in parts]


def _named(files: list[Path]) -> tuple[np.ndarray | None, bool]:
    """Times that the pictures' names are, or where some numbers are missing their ranks (True);
    None where they count without gaps.
    """
    found = [re.fullmatch(r"(.*?)([0-9]{1,19}(?:\.[0-9]{1,9})?)", f.stem) for f in files]
    numbers = np.array([float(m[2]) if m else np.nan for m in found])
    if len(numbers) < 2 or np.isnan(numbers).any() or len({m[1] for m in found if m}) > 1:
        return None, False
    if any("." in m[2] for m in found if m) or numbers.min() >= 1e9:
        return poses.as_seconds(numbers)[0], False
    step = np.diff(numbers)
    if (step <= 0).any() or (step == step[0]).all():
        return None, False
    return (numbers - numbers[0]) / float(np.median(step)), True


def _list(file: Path, walk: Path) -> tuple[list[Path], np.ndarray]:
    """Pictures and times from a list of `time name` lines."""
    times, names = _column(file, 2)
    files = []
    for name in names:
        found = inside(walk, name)
        if found is None:
            raise UserError(
                f"{file}: {name[:80]!r} is no file inside {walk}; names relative to it are expected"
            )
        files.append(found)
    return files, times


def _column(file: Path, width: int) -> tuple[np.ndarray, list[str]]:
    """Seconds in the first of `width` columns of a text file, and what the second holds."""
    times, rest = [], []
    lines = text_of(file, _MAX_TEXT, "a list of times", "check its permissions").splitlines()
    for n, line in enumerate(lines):
        cells = line.split(None, width - 1)
        if not cells or cells[0].startswith("#"):
            continue
        try:
            times.append(float(cells[0]))
            rest.append(cells[width - 1].strip())
        except (ValueError, IndexError):
            raise UserError(
                f"{file}: line {n + 1} is {line[:40]!r}; expected a "
                f"time{' and a name' if width > 1 else ''}"
            ) from None
        if not abs(times[-1]) < 1e20:
            raise UserError(f"{file}: line {n + 1}: {cells[0][:40]} is no time")
    return poses.as_seconds(np.array(times))[0] if times else np.zeros(0), rest


def _aligned(
    file: Path, known: Poses, timed: bool, times: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, str]:
    """Poses at the frames' times.

    Returns:
        (K,) the frames that have a pose; (K,) times, (K, 2) positions, (K,) yaw of those; a note.
    """
    frames, count = len(times), len(known.position)
    if not frames:
        raise UserError(f"{file}: no picture beside it")
    if known.times is None:
        return _one_each(file, known, times)
    stamps, note = known.times, ""
    span = float(times[-1] - times[0])
    whole = bool((stamps == np.round(stamps)).all()) and count >= 2
    if whole and 0 <= stamps[0] and stamps[-1] <= frames and stamps[-1] - stamps[0] > 1.5 * span:
        # Trajectories of visual odometry count frames: 300 of them are not 300 seconds of a 10 s
        # video.
        stamps = np.interp(stamps - (1 if stamps[-1] == frames else 0), np.arange(frames), times)
        note = "the poses' times are taken for frame numbers; "
    elif count == frames and (not timed or stamps[0] > times[-1] or stamps[-1] < times[0]):
        every = np.arange(frames)
        return (
            every,
            stamps,
            known.position,
            known.yaw,
            "as many poses as frames: one each, at the poses' times; ",
        )
    stretch, position, yaw = at_times(times, stamps, known.position, known.yaw)
    good = stretch >= 0
    if not good.any():
        how = (
            "subtract what lies between"
            if timed
            else "name the pictures by their times, or give as many poses as pictures"
        )
        raise UserError(
            f"{file}: poses from {stamps[0]:.3f} to {stamps[-1]:.3f} s, frames from {times[0]:.3f} "
            f"to {times[-1]:.3f} s; {how}"
        )
    if not good.all():
        note += (
            f"{int((~good).sum())} of {frames} frames have no pose at their time and are left out; "
        )
    keep = np.flatnonzero(good)
    return keep, times[keep], position[keep], yaw[keep], note


def _one_each(
    file: Path, known: Poses, times: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, str]:
    frames, count = len(times), len(known.position)
    both, note = min(frames, count), ""
    if abs(frames - count) > max(2, 0.01 * frames):
        raise UserError(
            f"{file}: {count} poses without times, {frames} frames; one pose a frame is needed"
        )
    if frames != count:
        note = f"{frames} frames, {count} poses: the first {both} of each are used; "
    return np.arange(both), times[:both], known.position[:both], known.yaw[:both], note
