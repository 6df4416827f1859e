"""Writes tar shards (see `shards.py`): complete ones alone, and the same bytes for the same
walks.
"""

import contextlib
import hashlib
import json
import math
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from s2e.core.errors import UserError, require
from s2e.core.files import write_whole
from s2e.video.frames import digest_of
from s2e.video.readers.gnm import body_dict, rays_list
from s2e.video.readers.shards import MAX_JSON, MAX_SAMPLE, read_index
from s2e.video.readers.tar import END, MAX_MEMBER, packed
from s2e.video.walk import Walk

PIECE_FRAMES = 1000


class ShardWriter:
    """Writes walks into the shards of a folder; one that is cut off continues where its last
    complete shard ends.

    Every shard is written beside its place, brought to the disk, and renamed; then `index.json`
    names it. The same walks give the same bytes, interrupted or not.

    Args:
        out: the folder, new or begun by the same call.
        shard_mb: a shard takes walks up to this many megabytes (a longer walk alone takes more).
        piece_frames: longer walks are cut into pieces of this many frames (the last takes the
            rest), which `shards.read` joins.

    Raises:
        UserError: the folder holds something else, was begun with other settings, lacks a shard, or
            cannot be written.
    """

    def __init__(self, out: Path, shard_mb: float = 256, piece_frames: int = PIECE_FRAMES):
        require(0 < shard_mb < math.inf, f"shards of {shard_mb} MB: a size above 0 is needed")
        self.out, self.limit, self.piece_frames = out, int(shard_mb * 1e6), piece_frames
        self.index: dict[str, Any] = {
            "format": "s2e-shards",
            "version": 1,
            "shard_mb": shard_mb,
            "piece_frames": piece_frames,
            "shards": [],
        }
        with disk_errors(out):
            out.mkdir(parents=True, exist_ok=True)
            self._continue()
        self.stored = {
            (name, piece) for shard in self.index["shards"] for name, piece, _ in shard["samples"]
        }
        self.names: set[str] = set()
        self.file: Any = None
        self.hash = hashlib.sha256()
        self.size, self.samples = 0, []

    def add(self, walk: Walk) -> None:
        """Puts a walk at the end; one that a complete shard holds already from before is passed
        over.

        Raises:
            UserError: a frame cannot be read, its name has been before, or the disk is full.
        """
        require(
            walk.name not in self.names,
            f"{walk.source}: a second walk named {walk.name}; names must differ",
        )
        self.names.add(walk.name)
        # the last takes the rest, so that none is too short to be read
        pieces = max(1, len(walk) // self.piece_frames)
        for piece in range(pieces):
            if (walk.name, piece) not in self.stored:
                first = piece * self.piece_frames
                last = len(walk) if piece == pieces - 1 else first + self.piece_frames
                part = walk.part(np.arange(first, last)) if pieces > 1 else walk
                key = f"{len(self.stored):06d}_{slug(walk.name)}"
                self._put(_sample(key, part, piece, pieces))
                self.stored.add((walk.name, piece))
                self.samples.append([walk.name, piece, len(part)])

    def close(self) -> None:
        """Completes the last shard."""
        if self.file is not None:
            self._finish()

    def abandon(self) -> None:
        """Removes the shard that is not complete."""
        if self.file is not None:
            # of a full disk: what is in the buffer cannot be written, and need not be
            with contextlib.suppress(OSError):
                self.file.close()
            self.file = None
            self._part().unlink(missing_ok=True)

    def _continue(self) -> None:
        file = self.out / "index.json"
        if not file.is_file():
            if any(
                p.suffix != ".part" and not p.name.startswith("convert.")
                for p in self.out.iterdir()
            ):
                raise UserError(f"{self.out}: holds something else than shards; give a new --out")
            return
        before = read_index(file.read_bytes(), str(file))
        for name in ("shard_mb", "piece_frames"):
            require(
                before.get(name) == self.index[name],
                f"{self.out}: its {name} is {before.get(name)}; use the same, or a new --out",
            )
        for shard in before["shards"]:
            place = self.out / shard["name"]
            if not place.is_file() or place.stat().st_size != shard["bytes"]:
                raise UserError(
                    f"{place}: missing or of another size than index.json says; delete {self.out} "
                    "and write it again"
                )
        self.index = before

    def _part(self) -> Path:
        return self.out / f"shard-{len(self.index['shards']):06d}.tar.part"

    def _put(self, members: list[bytes]) -> None:
        size = sum(map(len, members))
        if self.samples and self.size + size + len(END) > self.limit:
            self._finish()
        with disk_errors(self.out):
            if self.file is None:
                self.file = self._part().open("wb")
                self.hash = hashlib.sha256()
                self.size = 0
                self.samples = []
            self._write(members)

    def _write(self, members: list[bytes]) -> None:
        for data in members:
            self.file.write(data)
            self.hash.update(data)
            self.size += len(data)

    def _finish(self) -> None:
        part = self._part()
        with disk_errors(self.out):
            self._write([END])
            self.file.flush()
            os.fsync(self.file.fileno())
            self.file.close()
            part.rename(part.with_suffix(""))
            shard = {
                "name": part.stem,
                "bytes": self.size,
                "sha256": self.hash.hexdigest(),
                "samples": self.samples,
            }
            index = {**self.index, "shards": [*self.index["shards"], shard]}
            write_whole(self.out / "index.json", json.dumps(index) + "\n")
        self.index, self.file, self.samples = index, None, []


def slug(name: str) -> str:
    """A name in letters, digits, - and _ alone, 60 at most: a webdataset key ends at its first
    dot.
    """
    return re.sub(r"[^A-Za-z0-9_-]+", "_", name)[-60:]


class OutError(UserError):
    """What is written to is at fault, not what is read."""


@contextlib.contextmanager
def disk_errors(out: Path) -> Iterator[None]:
    """Turns what a disk refuses into an `OutError` that says what to do."""
    try:
        yield
    except OSError as error:
        raise OutError(
            f"{out}: cannot be written ({error.strerror or error}); what is complete is kept: make "
            "room and give the same command again, or give another --out"
        ) from None


def _sample(key: str, walk: Walk, piece: int, pieces: int) -> list[bytes]:
    frames = list(walk.frames.jpegs(range(len(walk))))
    about: dict[str, Any] = {
        "name": walk.name,
        "piece": piece,
        "pieces": pieces,
        "source": "/".join(walk.source.parts[-2:]),
        "times": walk.times.tolist(),
        "position": walk.position.tolist(),
        "yaw": walk.yaw.tolist(),
        "body": body_dict(walk.body),
    }
    if walk.free_space is not None:
        about["free_space"] = rays_list(walk.free_space)
    if len(walk.nudged):
        about["nudged"] = walk.nudged.tolist()
    about |= {"note": walk.note, "bytes": [len(f) for f in frames], "digest": digest_of(frames)}
    members = [packed(f"{key}.json", (json.dumps(about) + "\n").encode())]
    members += [packed(f"{key}.{t:06d}.jpg", data) for t, data in enumerate(frames)]
    size, big = sum(map(len, members)), max(map(len, [*frames, members[0]]))
    if size > MAX_SAMPLE or big > MAX_MEMBER or len(members[0]) > MAX_JSON:
        raise UserError(
            f"{walk.source}: a sample of {size >> 20} MB, too large for a shard; shrink the frames "
            "(--height)"
        )
    return members
