"""What the encoder says of every frame, kept on disk, so that a frame is decoded and encoded once
and not once an epoch.

A store is a folder for one encoder and image size: `frames.bin`, to which walks are appended, and
`walks.jsonl` with a line for each: the digest of its frames, where it begins, how many there are.
The file is memory-mapped, so that data of any size trains in the memory of a laptop; a walk is
found by its content, wherever it lies and whatever dataset it is in.
"""

import contextlib
import fcntl
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
from tqdm import tqdm

from s2e.core.errors import UserError
from s2e.core.files import json_lines, write_whole
from s2e.policy.config import PolicyConfig
from s2e.policy.encoder import FrozenEncoder, VisualNet
from s2e.video.frames import Frames, decode, jpeg
from s2e.video.walk import Skipped


class Film(Protocol):
    """What a store keeps: some frames with a name, such as a walk or a shard of stills."""

    @property
    def name(self) -> str:
        """Unique in its dataset."""
        ...

    @property
    def source(self) -> Path:
        """For messages."""
        ...

    @property
    def frames(self) -> Frames:
        """Its images, with their digest."""
        ...

    def __len__(self) -> int: ...

    def images(self, height_px: int, width_px: int) -> Iterator[np.ndarray]:
        """All of them at a size."""
        ...


AnyFilm = TypeVar("AnyFilm", bound=Film)
BATCH = 64  # frames encoded at once
VERSION = 1  # of the files' layout
QUALITY = 95  # of stored JPEG files


class TokenStore:
    """Tokens of a frozen encoder for the frames of any number of walks.

    A record is a frame's features (rows x columns x C) and, after them, their mean (C), float16:
    older frames need only that.

    Args:
        net: the encoder, in eval mode. config: the policy's. folder: where stores live. device:
            torch device that encodes.
    """

    def __init__(self, net: VisualNet, config: PolicyConfig, folder: Path, device: str = "cpu"):
        self.encoder = FrozenEncoder(net, config, device)
        self.shape = (
            config.height_px // config.stride,
            config.width_px // config.stride,
            config.channels,
        )
        self.width = int(np.prod(self.shape)) + config.channels
        self.size = config.height_px, config.width_px
        key = _weights_key(
            net,
            f"{VERSION} tokens {Path(config.encoder).name} {config.stride} {self.size} {device}",
        )
        self.book = _Book(folder / f"tokens_{key}", self.width * 2)
        self.records = np.zeros((0, self.width), np.float16)

    def add(
        self, walks: Sequence[AnyFilm], label: str = "encode"
    ) -> tuple[np.ndarray, list[AnyFilm], list[Skipped]]:
        """Encodes the frames that are not in the store yet.

        Returns:
            (W,) int64 place of each good walk's first frame, the good walks, and those left out
            because a frame is unreadable.

        Raises:
            UserError: no walk is good, or the disk is full.
        """
        with self.book as book:
            first, good, skipped = _add(book, walks, self._encoded, label)
        count = book.path.stat().st_size // (2 * self.width)
        self.records = np.memmap(book.path, np.float16, "r", shape=(count, self.width))
        return first, good, skipped

    def _encoded(self, walk: Film) -> Iterator[np.ndarray]:
        for images in _ahead(_batched(walk.images(*self.size))):
            features, pooled = self.encoder(images)
            yield np.concatenate([features.reshape(len(images), -1), pooled], 1)

    def tokens(self, frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What the samples of a batch see.

        Args:
            frames: (B, history) places, oldest first.

        Returns:
            The newest frame's features (B, rows, columns, C) and the older ones' means (B, history
            - 1, C), float16.
        """
        newest = self.records[:, : self.width - self.shape[2]][frames[:, -1]].reshape(
            -1, *self.shape
        )
        return newest, self.records[:, self.width - self.shape[2] :][frames[:, :-1]]


class FrameStore:
    """The frames of any number of walks at a policy's size, as JPEG files one after the other: for
    encoders that are trained.

    Files of quality 95, the best that Pillow advises: when it drives, the encoder gets resized
    frames that no JPEG has been through.

    Args:
        config: the policy's. folder: where stores live.
    """

    def __init__(self, config: PolicyConfig, folder: Path):
        self.size = config.height_px, config.width_px
        self.book = _Book(folder / f"frames_{VERSION}_q{QUALITY}_{self.size[0]}x{self.size[1]}", 1)
        self.data, self.begin = np.zeros(0, np.uint8), np.zeros(1, np.int64)

    def add(
        self, walks: Sequence[AnyFilm], label: str = "decode"
    ) -> tuple[np.ndarray, list[AnyFilm], list[Skipped]]:
        """See `TokenStore.add`; places count frames of the walks given here."""
        lengths: dict[str, list[int]] = {}

        def encoded(walk: Film) -> Iterator[np.ndarray]:
            lengths[walk.name] = []
            for image in walk.images(*self.size):
                data = np.frombuffer(jpeg(image, QUALITY), np.uint8)
                lengths[walk.name].append(len(data))
                yield data

        with self.book as book:
            first, good, skipped = _add(
                book, walks, encoded, label, more=lambda walk: {"sizes": lengths[walk.name]}
            )
            sizes = [book.entries[book.digest(walk)]["sizes"] for walk in good]
        self.data = np.memmap(book.path, np.uint8, "r")
        self.begin = np.concatenate(
            [f + np.cumsum([0, *s[:-1]]) for f, s in zip(first, sizes, strict=True)]
        ).astype(np.int64)
        self.length = np.concatenate(sizes).astype(np.int64)
        return (
            np.concatenate([[0], np.cumsum([len(s) for s in sizes])])[:-1].astype(np.int64),
            good,
            skipped,
        )

    def images(self, frames: np.ndarray) -> np.ndarray:
        """Places (B, history) to (B * history, H, W, 3) uint8."""

        def one(place: int) -> np.ndarray:
            begin = self.begin[place]
            return decode(
                self.data[begin : begin + self.length[place]].tobytes(),
                f"{self.book.path}: frame {place}",
            )

        with ThreadPoolExecutor(2) as pool:  # JPEG decoding releases the interpreter's lock
            return np.stack(list(pool.map(one, frames.ravel())))


class _Book:
    """The folder of a store: an append-only file and the list of what is in it.

    Several processes may use it at once: the list is read without a lock, a walk is written under
    one, and each looks again for what the others wrote before it writes.
    """

    def __init__(self, folder: Path, record_bytes: int):
        self.folder, self.record_bytes = folder, record_bytes
        self.path, self.index = folder / "frames.bin", folder / "walks.jsonl"
        self.entries: dict[str, dict[str, Any]] = {}
        self.digests: dict[int, str] = {}
        self.read: tuple[int, int] = (0, 0)  # the list's file, and how much of it is known

    def __enter__(self) -> "_Book":
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self.lock = (self.folder / "lock").open("w")
            self.path.touch()
            self.index.touch()
        except OSError as error:
            raise UserError(
                f"{self.folder}: tokens cannot be kept there ({error}); give another folder with "
                "S2E_CACHE"
            ) from None
        self._look()
        return self

    def __exit__(self, *_: object) -> None:
        self.lock.close()

    def digest(self, walk: Film) -> str:
        """Of a walk's frames, computed once."""
        if id(walk) not in self.digests:
            self.digests[id(walk)] = walk.frames.digest()
        return self.digests[id(walk)]

    def _look(self) -> None:
        """Reads what was added to the list; lines that a kill cut are no JSON and are passed
        over.
        """
        with self.index.open("rb") as file:
            number = os.fstat(file.fileno()).st_ino
            if number != self.read[0]:
                self.entries, self.read = {}, (number, 0)
            file.seek(self.read[1])
            new = file.read()
        new = new[: new.rfind(b"\n") + 1]
        self.read = number, self.read[1] + len(new)
        for entry in json_lines(new):
            with contextlib.suppress(KeyError, TypeError):
                self.entries[entry["walk"]] = {**entry, "end": entry["first"] + entry["count"]}

    def _mend(self) -> None:
        """Takes from the list what the file does not hold: it was cut by others than us. Under the
        lock.
        """
        held = self.path.stat().st_size // self.record_bytes
        good = {k: e for k, e in self.entries.items() if e["end"] <= held}
        if len(good) < len(self.entries):
            write_whole(self.index, "".join(json.dumps(e) + "\n" for e in good.values()))
            self._look()

    def write(
        self,
        walk: Film,
        parts: Callable[[], Iterable[np.ndarray]],
        more: Callable[[], dict[str, Any]],
    ) -> None:
        """Appends a walk, if nobody has meanwhile; its line follows when its data are on the
        disk.
        """
        fcntl.flock(self.lock, fcntl.LOCK_EX)
        try:
            self._look()
            self._mend()
            if self.digest(walk) in self.entries:
                return
            first = max((e["end"] for e in self.entries.values()), default=0)
            with self.path.open("r+b") as file:
                file.seek(first * self.record_bytes)
                file.truncate()  # what a killed process had begun
                for part in parts():
                    file.write(part.tobytes())
                file.flush()
                os.fsync(file.fileno())
                count = file.tell() // self.record_bytes - first
            entry = {"walk": self.digest(walk), "first": first, "count": count, **more()}
            with self.index.open("a") as file:
                # the first ends what a kill may have cut
                file.write("\n" + json.dumps(entry) + "\n")
            self._look()
        except OSError as error:
            raise _DiskError(
                f"{self.path}: not written ({error}); free some space or give another folder with "
                "S2E_CACHE"
            ) from None
        finally:
            fcntl.flock(self.lock, fcntl.LOCK_UN)


class _DiskError(UserError):
    """The store cannot be written: unlike a broken frame, no reason to leave a walk out."""


def _add(
    book: _Book,
    walks: Sequence[AnyFilm],
    encoded: Callable[[AnyFilm], Iterable[np.ndarray]],
    label: str,
    more: Callable[[AnyFilm], dict[str, Any]] = lambda walk: {},
) -> tuple[np.ndarray, list[AnyFilm], list[Skipped]]:
    """Writes what is missing; see `TokenStore.add`."""
    good: list[AnyFilm] = []
    first: list[int] = []
    skipped: list[Skipped] = []
    held = book.path.stat().st_size // book.record_bytes
    with tqdm(
        total=sum(map(len, walks)), desc=label, unit="frame", disable=None, leave=False
    ) as bar:
        for walk in walks:
            try:
                known = book.entries.get(book.digest(walk))
                if known is None or known["end"] > held:
                    book.write(walk, partial(encoded, walk), partial(more, walk))
                first.append(book.entries[book.digest(walk)]["first"])
                good.append(walk)
            except _DiskError:
                raise
            except UserError as error:
                skipped.append(Skipped(walk.source, str(error)))
            bar.update(len(walk))
    if not good:
        raise UserError(
            f"{walks[0].source}: no walk has readable frames; the first: {skipped[0].reason}"
        )
    return np.array(first, np.int64), good, skipped


def _batched(images: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    """Images to stacks of at most `BATCH`."""
    while stack := list(islice(images, BATCH)):
        yield np.stack(stack)


def _ahead(items: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    """The same items, each made in a thread while the one before it is used: decoding goes on
    beside the encoder.
    """
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(next, items, None)
        while (item := coming.result()) is not None:
            coming = pool.submit(next, items, None)
            yield item


def _weights_key(net: VisualNet, about: str) -> str:
    """A short hash of an encoder's weights and of how it is used."""
    total = hashlib.sha256(about.encode())
    for name, tensor in sorted(net.state_dict().items()):
        total.update(name.encode() + tensor.detach().cpu().contiguous().numpy().tobytes())
    total.update(getattr(net, "onnx_bytes", b""))
    return total.hexdigest()[:16]
