"""LeRobotDataset version 3: tables in Parquet, pictures in MP4 or in the tables, many episodes a
file.

    meta/info.json                            version, fps, features, templates of the paths below
    meta/episodes/chunk-000/file-000.parquet  a row an episode: length, data file, video files, its
                                              start there
    data/chunk-000/file-000.parquet           a row a frame: numbers, and pictures where they are
                                              not video
    videos/KEY/chunk-000/file-000.mp4

Source of the layout: github.com/huggingface/lerobot, src/lerobot/datasets. That package is not
used: it brings a training framework along, and holds a dataset to its timestamps, where
`lerobot_times.py` finds which picture is whose and paths are held inside the folder.
"""

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from s2e.core.errors import UserError
from s2e.core.files import read_json
from s2e.video.frames import Frames
from s2e.video.options import ReadOptions
from s2e.video.readers.columns import Column, PoseColumns, choose, poses
from s2e.video.readers.lerobot_times import clashing, counted, settled, shown_at
from s2e.video.readers.mp4 import Video, VideoFrames
from s2e.video.readers.parquet import ParquetImages, batches, inside, matrix, types
from s2e.video.walk import Body, Skipped, Walk, checked

_INFO = "meta/info.json"
_MAX_TEXT = 64 << 20
_OLD = "meta_data/info.json"  # of version 1


@dataclass(frozen=True)
class _Episode:
    number: int
    length: int
    data: Path
    video: Path | None
    video_start_s: float


def fits(path: Path) -> bool:
    """Whether a folder is a LeRobot dataset, of whatever version."""
    try:
        for name in (_INFO, _OLD):
            if (path / name).is_file():
                return "codebase_version" in read_json(path / name, "", _MAX_TEXT)
    except (OSError, UserError):
        return (path / _INFO).is_file()
    return False


def read(path: Path, options: ReadOptions) -> tuple[list[Walk], list[Skipped]]:
    """Reads every episode. Pictures stay in their files until they are asked for.

    Raises:
        UserError: not version 3, damaged tables, or no camera or pose columns to be told from
            others.
    """
    info = _info(path)
    fps = _number(info.get("fps"), f"{path / _INFO}: fps", 0.1, 1000)
    key, is_video = _camera(path, info, options.image)
    episodes, skipped = _episodes(path, info, key if is_video else "")
    total = info.get("total_episodes")
    if isinstance(total, int) and total != len(episodes):
        skipped.append(
            Skipped(
                path / _INFO,
                f"{path / _INFO}: total_episodes is {total}, meta/episodes lists {len(episodes)}",
            )
        )
    films: dict[Path, _Film | str] = {}
    sharing: dict[Path, list[_Episode]] = {}
    walks: list[Walk] = []
    by_file: dict[Path, list[_Episode]] = {}
    for episode in episodes:
        by_file.setdefault(episode.data, []).append(episode)
        if episode.video is not None:
            sharing.setdefault(episode.video, []).append(episode)
    robot = info.get("robot_type")
    body = Body(robot=robot if isinstance(robot, str) else "")
    chosen: PoseColumns | None = None
    for file, here in by_file.items():
        if not file.is_file():
            skipped += [
                Skipped(file, f"{file}: missing; download it, episode {e.number} is in it")
                for e in here
            ]
            continue
        try:
            if chosen is None:
                chosen = choose(_pool(file, info), options.poses, path / _INFO)
            rows = _rows(file, chosen)
        except UserError as error:
            if chosen is None:
                raise
            skipped += [Skipped(file, str(error)) for _ in here]
            continue
        for episode in here:
            try:
                stamps, values, where, notes = _of_episode(rows, episode)
                if episode.video is None:
                    frames: Frames = ParquetImages(file, key, where, path)
                else:
                    if episode.video not in films:
                        films[episode.video] = _film(episode.video, sharing[episode.video], fps)
                    frames, more = _video_frames(films[episode.video], episode, stamps, fps)
                    notes += more
                times, more = settled(stamps, fps)
                walks.append(
                    _walk(episode, frames, times, values, chosen, body, options.scale, notes + more)
                )
            except UserError as error:
                skipped.append(Skipped(file, f"episode {episode.number}: {error}"))
    return walks, skipped


def _walk(
    episode: _Episode,
    frames: Frames,
    times: np.ndarray,
    values: np.ndarray,
    chosen: PoseColumns,
    body: Body,
    scale: float,
    notes: list[str],
) -> Walk:
    if not np.isfinite(values).all():
        row = int(np.argmax(~np.isfinite(values).all(1)))
        raise UserError(
            f"{episode.data}: row {row} of it has no finite {chosen}; remove the episode"
        )
    position, yaw, note = poses(values, times, chosen, scale)
    note = "; ".join([note, *notes])
    return checked(
        Walk(
            f"episode_{episode.number:06d}",
            episode.data,
            frames,
            times,
            position,
            yaw,
            body,
            None,
            note,
        )
    )


def _info(path: Path) -> dict[str, Any]:
    file = path / (_INFO if (path / _INFO).is_file() else _OLD)
    info = read_json(file, "download it again", _MAX_TEXT)
    version = info.get("codebase_version")
    found = re.fullmatch(r"v?(\d{1,4})(\.\d+)*", version) if isinstance(version, str) else None
    if not found or int(found[1]) != 3:
        how = (
            "convert it with lerobot's convert_dataset_v21_to_v30 (older ones first with its "
            "earlier conversions)"
        )
        raise UserError(
            f"{file}: codebase_version is {str(version)[:40]!r}; LeRobotDataset v3 is read: {how}"
        )
    if not isinstance(info.get("features"), dict) or not all(
        isinstance(f, dict) for f in info["features"].values()
    ):
        raise UserError(f"{file}: `features` is not an object of objects; download it again")
    return info


def _number(value: Any, what: str, low: float, high: float) -> float:
    good = isinstance(value, (int, float)) and not isinstance(value, bool) and low <= value <= high
    if not good:
        raise UserError(
            f"{what} is {str(value)[:40]!r}; a number from {low:g} to {high:g} is expected"
        )
    return float(value)


def _camera(path: Path, info: dict[str, Any], said: str) -> tuple[str, bool]:
    """The key of the pictures, and whether they are video."""
    kinds = {
        k: f.get("dtype")
        for k, f in info["features"].items()
        if f.get("dtype") in ("video", "image") and not _is_depth(f)
    }
    if said and said not in kinds:
        raise UserError(
            f"--image {said}: {path / _INFO} has no such video or image; there are "
            f"{', '.join(kinds) or 'none'}"
        )
    if not said and len(kinds) != 1:
        raise UserError(
            f"{path / _INFO}: {len(kinds)} videos or images; choose the forward camera with "
            f"--image: {', '.join(kinds) or 'none'}"
        )
    key = said or next(iter(kinds))
    return key, kinds[key] == "video"


def _is_depth(feature: dict[str, Any]) -> bool:
    about = [feature.get("info"), feature.get("video_info")]
    return any(
        isinstance(a, dict) and (a.get("is_depth_map") or a.get("video.is_depth_map"))
        for a in about
    )


def _file(path: Path, info: dict[str, Any], field: str, **values: Any) -> Path:
    """A path from a template, which is data of others: only the fields it may have, and never out
    of the folder.
    """
    template = info.get(field)
    where = f"{path / _INFO}: {field}"
    if not isinstance(template, str) or len(template) > 500:
        raise UserError(
            f"{where} is {str(template)[:40]!r}; a path with chunk_index and file_index is expected"
        )

    def put(match: re.Match[str]) -> str:
        name, width = match[1], match[2]
        if name not in values or (width and name == "video_key"):
            raise UserError(f"{where} is {template!r}; it may name {', '.join(values)}")
        return f"{values[name]:0{int(width)}d}" if width else str(values[name])

    text = re.sub(r"\{([a-z_]+)(?::0?(\d)d)?\}", put, template)
    found = None if "{" in text or "}" in text else inside(path, text)
    if found is None:
        raise UserError(
            f"{where} is {template!r}, which makes {text[:80]!r}: not a path inside the dataset; "
            "correct it"
        )
    return found


def _episodes(
    path: Path, info: dict[str, Any], video_key: str
) -> tuple[list[_Episode], list[Skipped]]:
    files = sorted((path / "meta" / "episodes").glob("*/*.parquet"))
    if not files:
        raise UserError(
            f"{path / 'meta' / 'episodes'}: no table of episodes in it; download the whole dataset"
        )
    names = ["episode_index", "length", "data/chunk_index", "data/file_index"]
    at = f"videos/{video_key}/"
    names += [at + "chunk_index", at + "file_index", at + "from_timestamp"] if video_key else []
    episodes: dict[int, _Episode] = {}
    skipped: list[Skipped] = []
    for file in files:
        table = {n: [] for n in names}
        for _, batch in batches(file, names):
            for name in names:
                table[name].append(matrix(batch, name, file)[:, 0])
        columns = [np.concatenate(table[n]) if table[n] else np.zeros(0) for n in names]
        for row in zip(*(c.tolist() for c in columns)):
            odd = [f"{n} {v:g}" for n, v in zip(names, row, strict=True) if not abs(v) < 2**53]
            if odd:
                skipped.append(
                    Skipped(file, f"{file}: an episode with {', '.join(odd)}; remove or mend it")
                )
                continue
            number, length, chunk, index = (int(v) for v in row[:4])
            video, start = None, 0.0
            if video_key:
                video = _file(
                    path,
                    info,
                    "video_path",
                    video_key=video_key,
                    chunk_index=int(row[4]),
                    file_index=int(row[5]),
                )
                start = row[6]
            data = _file(path, info, "data_path", chunk_index=chunk, file_index=index)
            if number in episodes:
                skipped.append(
                    Skipped(file, f"{file}: episode {number} is listed twice; the first is used")
                )
            else:
                episodes[number] = _Episode(number, length, data, video, start)
    if not episodes:
        raise UserError(
            skipped[0].reason if skipped else f"{files[0]}: no episode in it; the dataset is empty"
        )
    return [episodes[k] for k in sorted(episodes)], skipped


def _pool(file: Path, info: dict[str, Any]) -> list[Column]:
    """Every number of a row, with the names that info.json gives."""
    kinds = types(file)
    pool: list[Column] = []
    for key, feature in info["features"].items():
        width = kinds.get(key)  # 1 for a number, 0 for a list
        if width is None or key in (
            "timestamp",
            "frame_index",
            "episode_index",
            "index",
            "task_index",
        ):
            continue
        names = _names(feature.get("names"))
        shape = feature.get("shape")
        if not width:
            width = (
                shape[0]
                if isinstance(shape, list) and len(shape) == 1 and type(shape[0]) is int
                else len(names)
            )
            width = max(1, min(width, 4096))
        if width == 1 and len(names) != 1:
            names = [key]
        elif len(names) != width:
            last = re.split(r"[^a-z]+", key.lower())[-1]
            names = (
                list("xyz")[:width]
                if last in ("position", "pos", "xy") and width in (2, 3)
                else [str(i) for i in range(width)]
            )
        pool += [Column(key, i, name) for i, name in enumerate(names)]
    return pool


def _names(value: Any) -> list[str]:
    """The names of a feature's elements: a list, a dictionary of lists, or a dictionary of their
    places.
    """
    if isinstance(value, dict):
        if all(isinstance(v, int) for v in value.values()):
            value = sorted(value, key=lambda k: value[k])
        else:
            value = [n for v in value.values() if isinstance(v, list) for n in v]
    return [n[:80] for n in value[:4096] if isinstance(n, str)] if isinstance(value, list) else []


@dataclass(frozen=True)
class _Rows:
    order: np.ndarray  # of the rows, by episode
    episode: np.ndarray  # in that order
    frame: np.ndarray
    times: np.ndarray
    values: np.ndarray


def _rows(file: Path, chosen: PoseColumns) -> _Rows:
    """All rows of a data file: only the columns needed, a batch at a time."""
    features = list(dict.fromkeys(c.feature for c in chosen.columns))
    parts: list[tuple[np.ndarray, ...]] = []
    for _, batch in batches(file, ["episode_index", "frame_index", "timestamp", *features]):
        tables = {
            name: matrix(batch, name, file)
            for name in ("episode_index", "frame_index", "timestamp", *features)
        }
        for column in chosen.columns:
            if column.index >= tables[column.feature].shape[1]:
                raise UserError(
                    f"{file}: {column.feature} has {tables[column.feature].shape[1]} elements, "
                    f"{column.index + 1} needed"
                )
        values = np.stack([tables[c.feature][:, c.index] for c in chosen.columns], 1)
        parts.append(
            (*(tables[n][:, 0] for n in ("episode_index", "frame_index", "timestamp")), values)
        )
    if not parts:
        raise UserError(f"{file}: no row in it; download it again")
    episode, frame, times, values = (np.concatenate(p) for p in zip(*parts))
    order = np.argsort(episode, kind="stable")
    return _Rows(order, episode[order], frame, times, values)


def _of_episode(
    rows: _Rows, episode: _Episode
) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[str]]:
    """(T,) timestamps, (T, C) values and (T,) row numbers of an episode, and notes."""
    where = rows.order[
        np.searchsorted(rows.episode, episode.number) : np.searchsorted(
            rows.episode, episode.number, side="right"
        )
    ]
    if len(where) != episode.length:
        raise UserError(
            f"{episode.data}: {len(where)} rows, meta/episodes says {episode.length}; download the "
            "dataset again"
        )
    frame, count, notes = rows.frame[where], np.arange(len(where)), []
    if len(frame) and frame[0] > 0 and np.array_equal(frame - frame[0], count):
        notes.append(
            "frame_index does not begin at 0 with the episode: it is counted from its first row"
        )
    elif not np.array_equal(frame, count):
        t = int(np.argmax(frame != count))
        raise UserError(
            f"{episode.data}: frame_index is {frame[t]:g} at row {t} of it; frames must count up "
            "from 0 by one"
        )
    return rows.times[where], rows.values[where], where, notes


@dataclass(frozen=True)
class _Film:
    """A video file that episodes share.

    Attributes:
        video: the file. first: where episodes begin, by their numbers; empty where it has not as
            many frames as they have rows.
        end_s: when each episode must have ended, because the next begins. clashing: those that
            overlap by `from_timestamp`, where that matters. notes: what was off, by episode.
    """

    video: Video
    first: dict[int, int]
    end_s: dict[int, float]
    clashing: set[int]
    notes: dict[int, list[str]]


def _film(path: Path, episodes: list[_Episode], fps: float) -> _Film | str:
    """Opens a video file and divides it among its episodes; the reason where it cannot be
    opened.
    """
    try:
        video = Video(path)
        frames = video.header_frames or len(video.index()[0])
        rows = sum(e.length for e in episodes)
        starts = sorted(e.video_start_s for e in episodes)
        end = {
            e.number: next((s for s in starts if s > e.video_start_s), math.inf) for e in episodes
        }
        first, off = counted([e.length for e in episodes], [e.video_start_s for e in episodes], fps)
        if frames != rows or min(e.length for e in episodes) < 0:
            apart = (
                f", from_timestamp is up to {np.abs(off).max():.1f} frames off them"
                if (np.abs(off) > 0.5).any()
                else ""
            )
            note = (
                f"{path.name} has {frames} frames, its episodes {rows} rows{apart}: frames are "
                "taken by from_timestamp"
            )
            clash = clashing([e.length for e in episodes], [e.video_start_s for e in episodes], fps)
            overlap = {e.number for e, bad in zip(episodes, clash.tolist(), strict=True) if bad}
            return _Film(video, {}, end, overlap, {e.number: [note] for e in episodes})
        if (np.abs(off) > 0.5).any():  # or the frames are not shown at the rate
            shown = video.times()
            off = (
                np.array([e.video_start_s for e in episodes]) * fps
                - shown[np.minimum(first, frames - 1)] * fps
            )
        wrong = np.abs(off) > 0.5
        note = (
            f"from_timestamp is up to {np.abs(off).max():.1f} frames off the frames before it "
            f"in {path.name}: frames are counted"
        )
        notes = {
            e.number: [note] if bad else [] for e, bad in zip(episodes, wrong.tolist(), strict=True)
        }
        return _Film(
            video,
            {e.number: int(k) for e, k in zip(episodes, first, strict=True)},
            end,
            set(),
            notes,
        )
    except UserError as error:
        return str(error)


def _video_frames(
    film: _Film | str, episode: _Episode, stamps: np.ndarray, fps: float
) -> tuple[Frames, list[str]]:
    if isinstance(film, str):
        raise UserError(film)
    notes = film.notes[episode.number]
    if film.first:
        return VideoFrames(film.video).part(
            film.first[episode.number] + np.arange(len(stamps))
        ), notes
    if episode.number in film.clashing:
        raise UserError(
            f"{film.video.path}: it overlaps another by from_timestamp, and {notes[0]}; correct "
            "meta/episodes"
        )
    if not len(stamps):
        return VideoFrames(film.video, stamps), notes
    room = film.end_s[episode.number], film.video.end_s
    at, more = shown_at(
        len(stamps), float(stamps[0]), episode.video_start_s, room, fps, str(film.video.path)
    )
    return VideoFrames(film.video, at, 0.5 / fps), notes + more
