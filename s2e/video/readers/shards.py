"""Tar shards in the manner of webdataset: walks at a size that no memory and no disk holds.

    OUT/index.json              which shards are complete, and what is in them
    OUT/shard-000000.tar        one sample after the other; a sample is a walk, or a piece of a long
                                one:
        000000_NAME.json        name, piece, pieces, source, times, position, yaw, body, free_space,
                                nudged, note, bytes
        000000_NAME.000000.jpg  its frames in order
        000000_NAME.000001.jpg

Any reader of webdataset sees samples with the fields json, 000000.jpg, 000001.jpg, ...
Source of the convention: github.com/webdataset/webdataset. `shard_writer.py` writes them. The
webdataset package itself reads by tarfile (see `tar.py`) and from the beginning to the end alone,
while frames are wanted from their places.
"""

import hashlib
import io
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from s2e.core.errors import UserError, require
from s2e.core.files import parse_json
from s2e.video.frames import Frames, ImageFiles, StoredImages, Which
from s2e.video.options import ReadOptions
from s2e.video.readers.gnm import body_of
from s2e.video.readers.remote import is_url, read_all, read_range, shown
from s2e.video.readers.tar import BLOCK, MAX_MEMBER, TarReader, padded
from s2e.video.walk import Skipped, Walk, checked

MAX_SAMPLE = 1 << 30
"""Bytes of one sample at most."""
MAX_JSON = 1 << 24
"""Bytes of the description of one sample at most."""
_MAX_INDEX = 1 << 28
_FETCH = 1 << 24  # bytes of one request for frames behind a URL


@dataclass
class _Sample:
    """One sample: its description, and the place (offset, size) of each frame."""

    key: str
    about: bytes = b""
    frames: dict[int, tuple[int, int]] = field(default_factory=dict)
    size: int = 0


def fits(path: Path | str) -> bool:
    """Whether a path is a shard, a folder of them, or a URL (of a shard, or of a folder with an
    index.json).
    """
    if is_url(path):
        return True
    try:
        first = _tars(Path(path))[0]
        with first.open("rb") as file:
            member = next(iter(TarReader(file, str(first), first.stat().st_size)), None)
        return member is not None and _split(member.name)[1] in ("json", "000000.jpg")
    except (UserError, OSError, IndexError):
        return False


def read(path: Path | str, options: ReadOptions) -> tuple[list[Walk], list[Skipped]]:
    """Reads the walks of shards: poses at once, frames when they are asked for, from their places
    in the files.

    Pieces of one walk are joined. On a disk every member's header is looked at; behind a URL the
    descriptions alone are fetched, which needs shards of `ShardWriter` and a store that gives parts
    of files.

    Raises:
        UserError: a shard is damaged, hostile or cannot be read; the message names the member or
            the byte.
    """
    pieces: list[tuple[dict[str, Any], Walk]] = []
    skipped: list[Skipped] = []
    for shard in _shards(path):
        for sample in _placed_url(shard) if isinstance(shard, str) else _placed_file(shard):
            try:
                pieces.append(_walk(sample, shard, options))
            except UserError as error:
                skipped.append(Skipped(Path(str(shard)), str(error)))
    return _joined(pieces), skipped


def _tars(path: Path) -> list[Path]:
    if path.is_dir():
        return sorted(p for p in path.glob("*.tar") if p.is_file())
    return [path] if path.suffix == ".tar" else []


def _shards(path: Path | str) -> Sequence[Path | str]:
    if not is_url(path):
        found = _tars(Path(path))
        require(bool(found), f"{path}: no .tar in it; s2e-data convert --to shards writes them")
        return found
    url, _, query = str(path).partition("?")
    if url.endswith(".tar"):
        return [str(path)]
    place, ask = url.rstrip("/"), f"?{query}" if query else ""
    index = read_index(
        read_all(f"{place}/index.json{ask}", _MAX_INDEX), f"{shown(place)}/index.json"
    )
    return [f"{place}/{shard['name']}{ask}" for shard in index["shards"]]


def read_index(data: bytes, where: str) -> dict[str, Any]:
    """Reads index.json; `where` names it in errors."""
    try:
        values = parse_json(data)
        good = values["format"] == "s2e-shards" and values["version"] == 1
        for shard in values["shards"]:
            good = (
                good
                and re.fullmatch(r"[A-Za-z0-9_-]+\.tar", shard["name"]) is not None
                and isinstance(shard["bytes"], int)
            )
            good = good and all(
                isinstance(n, str) and isinstance(p, int) and isinstance(t, int)
                for n, p, t in shard["samples"]
            )
    except (ValueError, KeyError, TypeError):
        good, values = False, {}
    require(
        good,
        f"{where}: no index of shards; name the .tar files one by one, or write the folder again "
        "with s2e-data convert",
    )
    return values


def _samples(reader: TarReader) -> Iterator[_Sample]:
    """Groups members by key."""
    seen: set[str] = set()
    now: _Sample | None = None
    for member in reader:
        key, kind = _split(member.name)
        where = f"{reader.where}: member {member.name}"
        if now is None or key != now.key:
            if now is not None:
                yield now
            require(
                key not in seen,
                f"{where}: its sample has been before; pack the shard again with s2e-data convert",
            )
            seen.add(key)
            now = _Sample(key)
        frame = re.fullmatch(r"(\d{1,9})\.jpe?g", kind)
        require(
            kind == "json" or frame is not None,
            f"{where}: neither KEY.json nor KEY.000000.jpg; these are no walks",
        )
        again = bool(now.about) if frame is None else int(frame[1]) in now.frames
        require(not again, f"{where} is there twice; pack the shard again with s2e-data convert")
        now.size += padded(member.size) + BLOCK
        require(
            now.size <= MAX_SAMPLE,
            f"{where}: its sample is larger than {MAX_SAMPLE >> 20} MB; cut the walk into pieces",
        )
        if frame is None:
            require(
                0 < member.size <= MAX_JSON,
                f"{where}: {member.size} bytes are no description of a walk",
            )
            now.about = reader.data(member)
        else:
            now.frames[int(frame[1])] = member.offset, member.size
    if now is not None:
        yield now


def _split(name: str) -> tuple[str, str]:
    """Key and field, as webdataset has it: the key ends at the first dot after the last slash."""
    folder, slash, file = name.rpartition("/")
    base, _, kind = file.partition(".")
    return folder + slash + base, kind.lower()


def _placed_file(shard: Path) -> Iterator[_Sample]:
    try:
        with shard.open("rb") as file:
            reader = TarReader(file, str(shard), os.fstat(file.fileno()).st_size)
            yield from _samples(reader)
    except OSError as error:
        raise UserError(f"{shard}: cannot be read ({error.strerror or error})") from None


def _placed_url(url: str) -> Iterator[_Sample]:
    """Jumps from description to description: each says how long its frames are."""
    at, where = 0, shown(url)
    while True:
        head = read_range(url, at, 1 << 16)
        reader = TarReader(io.BytesIO(head), where, at=at)
        member = next(iter(reader), None)
        if member is None:
            return
        key, kind = _split(member.name)
        require(
            kind == "json" and member.size <= MAX_JSON,
            f"{where}: byte {at}: no KEY.json; copy the shard to a disk to read it",
        )
        about = head[member.offset - at :][: member.size]
        about += (
            read_range(url, member.offset + len(about), member.size - len(about))
            if len(about) < member.size
            else b""
        )
        sample, at = _Sample(key, about), member.offset + padded(member.size)
        for t, size in enumerate(_sizes(about, f"{where}: member {member.name}")):
            sample.frames[t] = (at + BLOCK, size)
            at += BLOCK + padded(size)
        yield sample


def _about(sample: _Sample, where: str) -> dict[str, Any]:
    require(bool(sample.about), f"{where}: has no description ({sample.key}.json)")
    try:
        values = parse_json(sample.about)
        name = values["name"]
        good = isinstance(name, str) and 0 < len(name) <= 300 and name.isprintable()
        good = (
            good and not name.startswith("/") and ".." not in name.split("/") and "\\" not in name
        )
        good = good and all(
            isinstance(values.get(k, v), int) for k, v in (("piece", 0), ("pieces", 1))
        )
        good = (
            good
            and isinstance(values.get("note", ""), str)
            and isinstance(values.get("digest", ""), str)
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        good, values = False, {}
    require(
        good,
        f"{where}: its description is no JSON object with a plain `name`; pack the shard again "
        "with s2e-data convert",
    )
    return values


def _sizes(about: bytes, where: str) -> list[int]:
    sizes = _about(_Sample("", about), where).get("bytes")
    good = (
        isinstance(sizes, list)
        and all(isinstance(n, int) and 0 < n <= MAX_MEMBER for n in sizes)
        and sum(sizes) <= MAX_SAMPLE
    )
    require(
        good,
        f"{where}: does not say how long its frames are; copy the shard to a disk, or pack it "
        "again with s2e-data convert",
    )
    return sizes or []


def _walk(sample: _Sample, shard: Path | str, options: ReadOptions) -> tuple[dict[str, Any], Walk]:
    """The description and the walk of a sample; the walk of a piece is named after it."""
    where = f"{shown(shard)}: sample {sample.key}"
    about = _about(sample, where)
    count = len(sample.frames)
    require(
        sorted(sample.frames) == list(range(count)),
        f"{where}: frames are missing in the middle; pack the shard again with s2e-data convert",
    )
    hz, assumed = options.rate()
    assumed = "" if "times" in about else assumed
    try:
        position = np.array(about["position"], dtype=np.float64) * options.scale
        yaw = np.array(about["yaw"], dtype=np.float64)
        times = (
            np.array(about["times"], dtype=np.float64)
            if "times" in about
            else np.arange(count) / hz
        )
        rays = (
            np.array(about["free_space"], dtype=np.float32)
            if about.get("free_space") is not None
            else None
        )
        nudged = np.array(about.get("nudged", []), dtype=np.float64).reshape(-1, 2)
    except (KeyError, ValueError, TypeError, OverflowError) as error:
        text = f"{error} is missing" if isinstance(error, KeyError) else "not arrays of numbers"
        fields = "times, position, yaw, free_space or nudged"
        raise UserError(
            f"{where}: {fields}: {text}; pack the shard again with s2e-data convert"
        ) from None
    frames = placed_frames(
        shard,
        [sample.frames[t] for t in range(count)],
        lambda t: f"{shown(shard)}: member {sample.key}.{t:06d}.jpg",
        about.get("digest", ""),
    )
    name = about["name"] if about.get("pieces", 1) == 1 else f"{about['name']}+{about['piece']}"
    body = body_of(about.get("body", {}), where)
    note = "; ".join(n for n in (about.get("note", ""), assumed) if n)
    walk = Walk(name, Path(shown(shard)), frames, times, position, yaw, body, rays, note, nudged)
    try:
        return about, checked(walk)
    except UserError as error:
        raise UserError(f"{where}: {str(error).removeprefix(f'{walk.source}: ')}") from None


def placed_frames(
    shard: Path | str, places: Sequence[tuple[int, int]], name: Callable[[int], str], digest: str
) -> Frames:
    """Images inside a shard or behind its URL.

    Args:
        shard: the file or its URL.
        places: offset and size of each.
        name: says where frame t is, for messages.
        digest: of the frames, where the writer said it; used behind a URL alone.
    """
    offsets = np.array(places, dtype=np.int64).reshape(-1, 2)
    if isinstance(shard, str):
        return UrlFrames(shard, offsets, name, digest)

    def file_bytes(t: int) -> bytes:
        with shard.open("rb") as file:
            file.seek(int(offsets[t, 0]))
            return file.read(int(offsets[t, 1]))

    return ImageFiles(file_bytes, len(offsets), name)


class UrlFrames(StoredImages):
    """Frames behind a URL; neighbours are fetched together."""

    def __init__(self, url: str, offsets: np.ndarray, name: Callable[[int], str], digest: str):
        super().__init__(len(offsets), name)
        self.url, self.offsets, self.said = url, offsets, digest

    def digest(self) -> str:
        """What the writer found; only where it said nothing all frames are fetched."""
        return self.said or super().digest()

    def stored(self, which: Which) -> Iterator[tuple[int, bytes]]:
        """See `StoredImages`."""
        wanted = [int(t) for t in which]
        while wanted:
            start = int(self.offsets[wanted[0], 0])
            near = [t for t in wanted if self.offsets[t].sum() - start <= _FETCH] or wanted[:1]
            data = read_range(self.url, start, int(self.offsets[near[-1]].sum()) - start)
            for t in near:
                at = int(self.offsets[t, 0]) - start
                yield t, data[at : at + int(self.offsets[t, 1])]
            wanted = wanted[len(near) :]


class _Joined(Frames):
    """The frames of pieces, one after the other."""

    def __init__(self, parts: list[Frames]):
        self.parts, self.first = parts, np.cumsum([0, *map(len, parts)])

    def __len__(self) -> int:
        return int(self.first[-1])

    def images(self, which: Which) -> Iterator[np.ndarray]:
        """See `Frames`."""
        for part, own in self._shared(which):
            yield from part.images(own)

    def jpegs(self, which: Which) -> Iterator[bytes]:
        """See `Frames`."""
        for part, own in self._shared(which):
            yield from part.jpegs(own)

    def digest(self) -> str:
        """Of the parts."""
        return hashlib.sha256("".join(p.digest() for p in self.parts).encode()).hexdigest()

    def _shared(self, which: Which) -> Iterator[tuple[Frames, np.ndarray]]:
        index = np.asarray(which, dtype=np.int64)
        for part, first in zip(self.parts, self.first):
            yield part, index[(index >= first) & (index < first + len(part))] - first


def _joined(pieces: list[tuple[dict[str, Any], Walk]]) -> list[Walk]:
    """Neighbouring pieces of one walk become one walk again."""
    walks: list[Walk] = []
    group: list[tuple[dict[str, Any], Walk]] = []
    for about, walk in [*pieces, (None, None)]:
        if group and (
            about is None
            or about["name"] != group[-1][0]["name"]
            or about.get("piece", 0) != group[-1][0]["piece"] + 1
        ):
            walks.append(_one([w for _, w in group], group[-1][0]))
            group = []
        if about is not None and walk is not None:
            group.append(({"piece": 0, **about}, walk))
    return walks


def _one(parts: list[Walk], about: dict[str, Any]) -> Walk:
    if len(parts) == 1:
        return parts[0]
    rays = (
        None
        if any(p.free_space is None for p in parts)
        else np.concatenate([p.free_space for p in parts if p.free_space is not None])
    )
    times, position, yaw = (
        np.concatenate([getattr(p, k) for p in parts]) for k in ("times", "position", "yaw")
    )
    whole = len(parts) == about.get("pieces", 1)
    name = about["name"] if whole else parts[0].name
    return replace(
        parts[0],
        name=name,
        frames=_Joined([p.frames for p in parts]),
        times=times,
        position=position,
        yaw=yaw,
        free_space=rays,
    )
