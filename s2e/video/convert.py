"""`s2e-data convert`: any readable walks into GNM folders or shards, checked; continues where it
was cut off.
"""

import json
import os
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from tqdm import tqdm

from s2e.core.errors import UserError, require
from s2e.core.files import PART, parse_json, read_json, write_whole
from s2e.core.lock import check_place
from s2e.video.check import GAP_S, check_walk, kept, look, same_as, span
from s2e.video.frames import Frames, Which, jpeg, resized
from s2e.video.options import LEAST_HZ, MOST_HZ, ReadOptions
from s2e.video.readers.formats import read_walks
from s2e.video.readers.gnm import body_dict, write_walk
from s2e.video.readers.remote import is_url
from s2e.video.resample import split_gaps, uniform
from s2e.video.shard_writer import OutError, ShardWriter, disk_errors
from s2e.video.walk import MIN_FRAMES, Body, Skipped, Walk

_SETTINGS, _JOURNAL, _PART = "convert.json", "convert.jsonl", ".part"


@dataclass(frozen=True)
class Conversion:
    """What makes the output what it is; a conversion is continued only with the same.

    Attributes:
        to: "gnm" or "shards". to_hz: frames a second of the output, 0 keeps the source's. keep_all:
            keep what `check` would drop.
        height_px, width_px: frames are shrunk to this, never enlarged; 0 follows the other, both 0
            keep the size.
        shard_mb: size of a shard. body: fills what the data do not say about robot and camera.
    """

    to: str = "gnm"
    to_hz: float = 0.0
    keep_all: bool = False
    height_px: int = 0
    width_px: int = 0
    shard_mb: float = 256.0
    body: Body = field(default_factory=Body)


@dataclass
class Report:
    """What came of a conversion: counts of the whole output, the pieces' rates, why the rest was
    left out, and what else to know.
    """

    walks: int = 0
    pieces: int = 0
    frames: int = 0
    seconds: float = 0.0
    metres: float = 0.0
    hz: list[float] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def convert(
    sources: Sequence[Path | str], out: Path, settings: Conversion, options: ReadOptions
) -> Report:
    """Reads, checks, cuts, resamples and writes walks.

    Walks that are complete are on the disk and written down in `convert.jsonl`; the same call after
    a kill continues behind them and ends with the bytes of a call that was not killed. Shards are
    safe against power loss, too; GNM folders are not (see `_GnmWriter`).

    Raises:
        UserError: nothing is usable; the output folder holds something else, other settings, or
            lies inside a source; the disk is full.
    """
    _check(sources, out, settings)
    check_place(out)
    found = [_read(source, options) for source in sources]
    journal = _begin(out, _described(sources, settings, options))
    report = Report(
        left_out=[
            f"{s.source}: {s.reason.removeprefix(f'{s.source}: ')}"
            for _, skipped in found
            for s in skipped
        ]
    )
    names = _Names()
    first = {bytes.fromhex(e["digest"]): e["name"] for e in journal.values() if e["digest"]}
    for entry in journal.values():
        for name in entry["names"]:
            names.take(name)
        _count(report, entry)
    writer = _GnmWriter(out) if settings.to == "gnm" else _Shards(out, settings.shard_mb)
    total = sum(len(w) for walks, _ in found for w in walks)
    bar = tqdm(total=total, desc="convert", unit="frame", disable=None)
    # a full disk is refused once more when the journal is closed
    with disk_errors(out), bar, (out / _JOURNAL).open("ab") as log:
        try:
            for key, walk in _in_turn(sources, [walks for walks, _ in found]):
                if key in journal:
                    bar.update(len(walk))
                    continue
                entry = _one(key, walk, settings, names, first, writer.add, bar.update)
                _count(report, entry)
                writer.done(log, entry)
            writer.close(log)
        except BaseException:
            writer.abandon()
            raise
    if not report.pieces:
        reasons = "; ".join(report.left_out[:3])
        raise UserError(f"{sources[0]}: nothing is usable: {reasons}")
    if settings.to == "gnm":
        with disk_errors(out):
            hz = round(report.frames / report.seconds, 6)
            write_whole(out / "dataset.json", json.dumps({"hz": hz}) + "\n")
    return report


def _one(
    key: str,
    walk: Walk,
    settings: Conversion,
    names: "_Names",
    first: dict[bytes, str],
    add: Callable[[Walk], None],
    seen: Callable[[int], object],
) -> dict[str, Any]:
    """Converts one walk; returns what the journal keeps of it."""
    entry: dict[str, Any] = {
        "key": key,
        "name": walk.name,
        "names": [],
        "hz": [],
        "frames": 0,
        "seconds": 0.0,
        "metres": 0.0,
        "left": [],
        "notes": [],
        "digest": "",
    }
    pieces = [walk]
    if settings.keep_all:
        seen(len(walk))
    else:
        pictures = look(walk, seen)
        findings = [*same_as(walk, pictures, first), *check_walk(walk, pictures)]
        entry["digest"] = pictures.digest.hex()
        entry["left"] = [f"{key}: {span(f)}{f.text}" for f in findings if f.drop]
        pieces = [p for piece in kept(walk, findings) for p in split_gaps(piece, GAP_S)]
        if not pieces and all(f.until - f.frame < len(walk) for f in findings if f.drop):
            entry["left"].append(f"{key}: what is left is shorter than {MIN_FRAMES} frames")
    for piece in pieces:
        rate, piece = piece.hz, uniform(piece, settings.to_hz) if settings.to_hz else piece
        if len(piece) < MIN_FRAMES:
            entry["left"].append(
                f"{key}: {len(piece)} frames at {settings.to_hz:g} Hz; {MIN_FRAMES} needed"
            )
            continue
        frames = (
            Shrunk(piece.frames, settings.height_px, settings.width_px)
            if settings.height_px or settings.width_px
            else piece.frames
        )
        # Named after the key: the same on every call, whatever came before.
        name = names.new(key + piece.name[len(walk.name) :])
        piece = replace(piece, name=name, frames=frames, body=filled(piece.body, settings.body))
        try:
            add(piece)
        except OutError:
            raise
        except UserError as error:
            entry["left"].append(f"{key}: {error}")
            continue
        entry["names"].append(name)
        entry["hz"].append(piece.hz)
        thinned = (
            [f"thinned from {rate:.3g} to {piece.hz:.3g} frames a second"]
            if piece.hz < 0.95 * rate
            else []
        )
        entry["notes"] += [
            n for fact in [*piece.notes, *thinned] if (n := f"{key}: {fact}") not in entry["notes"]
        ]
        entry["frames"] += len(piece)
        entry["seconds"] += float(piece.times[-1] - piece.times[0]) * len(piece) / (len(piece) - 1)
        entry["metres"] += float(np.linalg.norm(np.diff(piece.position, axis=0), axis=1).sum())
    return entry


def filled(body: Body, more: Body) -> Body:
    """A body with what is not known of it taken from another, unless they are two robots."""
    if body.robot and more.robot and body.robot != more.robot:
        return body
    known = body_dict(body)
    return replace(
        body, **{f.name: getattr(more, f.name) for f in fields(Body) if f.name not in known}
    )


class Shrunk(Frames):
    """Frames made smaller: to `height_px` x `width_px`, where one that is 0 follows the other;
    smaller ones stay as they are.
    """

    def __init__(self, whole: Frames, height_px: int, width_px: int):
        self.whole, self.height_px, self.width_px = whole, height_px, width_px

    def __len__(self) -> int:
        return len(self.whole)

    def images(self, which: Which) -> Iterator[np.ndarray]:
        """See `Frames`."""
        for image in self.whole.images(which):
            yield resized(image, *self._size(image))

    def jpegs(self, which: Which) -> Iterator[bytes]:
        """See `Frames`; a frame that keeps its size keeps its bytes."""
        index = [int(t) for t in which]
        for t, image in zip(index, self.whole.images(index), strict=True):
            size = self._size(image)
            yield (
                next(iter(self.whole.jpegs([t])))
                if size == image.shape[:2]
                else jpeg(resized(image, *size))
            )

    def digest(self) -> str:
        """Of the whole, and of the size."""
        return f"{self.whole.digest()}-{self.height_px}x{self.width_px}"

    def _size(self, image: np.ndarray) -> tuple[int, int]:
        height, width = image.shape[:2]
        new_height = self.height_px or max(1, round(height * self.width_px / width))
        new_width = self.width_px or max(1, round(width * self.height_px / height))
        return (
            (height, width)
            if new_height >= height and new_width >= width
            else (min(new_height, height), min(new_width, width))
        )


class _Names:
    """Gives every piece a name of its own that is a plain relative path, and no folder of
    another's.
    """

    def __init__(self) -> None:
        self.taken: set[str] = set()
        self.folders: set[str] = set()

    def new(self, wanted: str) -> str:
        parts = [re.sub(r"[^\w.+-]", "_", p).lstrip(".") for p in re.split(r"[/\\]", wanted)]
        plain = name = "/".join(p for p in parts if p) or "walk"
        number = 1
        while name in self.taken or name in self.folders or self.taken & set(_above(name)):
            number += 1
            inside, above = self.taken & set(_above(plain)), plain.split("/")
            # Where another walk is a folder of this one's path, that folder is what must change.
            name = "/".join([f"{above[0]}_{number}", *above[1:]]) if inside else f"{plain}_{number}"
        self.take(name)
        return name

    def take(self, name: str) -> None:
        self.taken.add(name)
        self.folders.update(_above(name))


def _above(name: str) -> list[str]:
    return [str(p) for p in PurePosixPath(name).parents]


class _GnmWriter:
    """Every walk is written beside its place and renamed.

    That is safe against kills, not against power loss: waiting for the disk at each frame would
    nearly double the time of a conversion. After a power loss convert into a new folder.
    """

    def __init__(self, out: Path):
        self.out = out
        shutil.rmtree(out / _PART, ignore_errors=True)

    def add(self, walk: Walk) -> None:
        place, part = self.out / walk.name, self.out / _PART
        with disk_errors(self.out):
            if place.exists():  # written, but killed before the journal said so
                shutil.rmtree(place)
            try:
                frames, poses = walk.frames.jpegs(range(len(walk))), (walk.position, walk.yaw)
                write_walk(
                    part, frames, *poses, walk.times, walk.body, walk.free_space, walk.nudged
                )
            except BaseException:
                self.abandon()
                raise
            place.parent.mkdir(parents=True, exist_ok=True)
            part.rename(place)

    def done(self, log: Any, entry: dict[str, Any]) -> None:
        with disk_errors(self.out):
            _append(log, [entry])

    def close(self, log: Any) -> None:
        pass

    def abandon(self) -> None:
        shutil.rmtree(self.out / _PART, ignore_errors=True)


class _Shards:
    """The journal waits until the shard of a walk is complete."""

    def __init__(self, out: Path, shard_mb: float):
        self.out, self.writer = out, ShardWriter(out, shard_mb)
        self.waiting: list[dict[str, Any]] = []

    def add(self, walk: Walk) -> None:
        self.writer.add(walk)

    def done(self, log: Any, entry: dict[str, Any]) -> None:
        self.waiting.append(entry)
        in_hand = {name for name, _, _ in self.writer.samples}
        ready = next(
            (i for i, e in enumerate(self.waiting) if in_hand & set(e["names"])), len(self.waiting)
        )
        with disk_errors(self.out):
            _append(log, self.waiting[:ready])
        self.waiting = self.waiting[ready:]

    def close(self, log: Any) -> None:
        self.writer.close()
        with disk_errors(self.out):
            _append(log, self.waiting)
        self.waiting = []

    def abandon(self) -> None:
        self.writer.abandon()


def _append(log: Any, entries: list[dict[str, Any]]) -> None:
    if entries:
        log.write("".join(json.dumps(e) + "\n" for e in entries).encode())
        log.flush()


def _check(sources: Sequence[Path | str], out: Path, settings: Conversion) -> None:
    require(bool(sources), "convert: no data given")
    require(settings.to in ("gnm", "shards"), f"--to {settings.to}: gnm or shards")
    right = settings.to_hz == 0 or LEAST_HZ <= settings.to_hz <= MOST_HZ
    require(
        right,
        f"--to-hz is {settings.to_hz}; frames a second, {LEAST_HZ:g} to {MOST_HZ:g}, or 0 for "
        "those of the source",
    )
    require(
        0 <= settings.height_px <= 8192 and 0 <= settings.width_px <= 8192,
        "--height and --width are pixels, 0 to 8192",
    )
    require(
        0.01 <= settings.shard_mb <= 1e5,
        f"--shard-mb is {settings.shard_mb}; megabytes, 0.01 to 100000",
    )
    for source in sources:
        # os.path: a loop of links is a path like another
        if not is_url(source) and (place := Path(os.path.realpath(source))) in (
            real := Path(os.path.realpath(out)),
            *real.parents,
        ):
            raise UserError(f"{out}: lies in {place}, which is read; give an --out outside it")


def _read(source: Path | str, options: ReadOptions) -> tuple[list[Walk], list[Skipped]]:
    return read_walks([source], options)


def _in_turn(sources: Sequence[Path | str], found: list[list[Walk]]) -> Iterator[tuple[str, Walk]]:
    """Walks with a key each: their names, behind their dataset's where there are several."""
    for source, walks in zip(sources, found, strict=True):
        dataset = re.sub(r"\?.*", "", str(source)).rstrip("/").split("/")[-1].removesuffix(".tar")
        same = [
            s
            for s in sources
            if str(s).rstrip("/").split("/")[-1] == str(source).rstrip("/").split("/")[-1]
        ]
        number = f"{same.index(source) + 1}" if len(same) > 1 else ""
        for walk in walks:
            yield f"{dataset}{number}/{walk.name}" if len(sources) > 1 else walk.name, walk


def _described(
    sources: Sequence[Path | str], settings: Conversion, options: ReadOptions
) -> dict[str, Any]:
    plain = {k: v for k, v in asdict(settings).items() if k != "body"}
    return {
        "sources": [re.sub(r"\?.*", "", str(s)) for s in sources],
        **plain,
        "body": body_dict(settings.body),
        "read": asdict(options),
    }


def _begin(out: Path, described: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Makes the folder, or reads how far it is: the journal's entries by key."""
    with disk_errors(out):
        out.mkdir(parents=True, exist_ok=True)
        settings, log = out / _SETTINGS, out / _JOURNAL
        if not settings.is_file():
            if any(p.name != _SETTINGS + PART for p in out.iterdir()):
                raise UserError(
                    f"{out}: not empty, and no conversion to continue; give a new --out"
                )
            write_whole(settings, json.dumps(described, indent=1) + "\n")
            return {}
        before = read_json(settings, f"damaged: delete {out} and convert again")
        different = [k for k, v in described.items() if before.get(k) != v]
        if different:
            k = different[0]
            raise UserError(
                f"{out}: was begun with {k} {before.get(k)!r}, now {described[k]!r}; use the same, "
                "or a new --out"
            )
        return _journal(log)


def _journal(log: Path) -> dict[str, dict[str, Any]]:
    """What is complete; a line cut by a kill is taken off the file."""
    entries, good = {}, 0
    data = log.read_bytes() if log.is_file() else b""
    for line in data.splitlines(keepends=True):
        try:
            entry = parse_json(line)
            if not line.endswith(b"\n"):
                break
            entries[entry["key"]] = entry
        except (ValueError, KeyError, TypeError):
            break
        good += len(line)
    if good < len(data):
        log.write_bytes(data[:good])
    return entries


def _count(report: Report, entry: dict[str, Any]) -> None:
    report.walks += bool(entry["names"])
    report.pieces += len(entry["names"])
    report.frames += entry["frames"]
    report.seconds += entry["seconds"]
    report.metres += entry["metres"]
    report.hz += entry.get("hz", [])
    report.left_out += entry["left"]
    report.notes += entry["notes"]
