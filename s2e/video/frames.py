"""The frames of a walk: images that are read when they are asked for, whatever they are stored
in.
"""

import hashlib
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from PIL import Image

from s2e.core.errors import UserError

MAX_PIXELS = 1 << 26
# some others have Pillow start programs: PostScript is a language
KINDS = ("JPEG", "PNG", "WEBP", "BMP")


Which = Sequence[int] | np.ndarray | range
"""Numbers of frames, increasing."""


class Frames:
    """T images. Subclasses give `__len__`, `images` and `digest`; those that hold JPEG files also
    `jpegs`.
    """

    def __len__(self) -> int:
        raise NotImplementedError

    def images(self, which: Which) -> Iterator[np.ndarray]:
        """The frames `which` (increasing) as (H, W, 3) uint8 RGB at their own size, one after the
        other.

        Raises:
            UserError: a frame cannot be read; the message names the file and the frame.
        """
        raise NotImplementedError

    def jpegs(self, which: Which) -> Iterator[bytes]:
        """The same frames as JPEG files."""
        for image in self.images(which):
            yield jpeg(image)

    def digest(self) -> str:
        """A hash that changes when any frame changes: what caches are keyed by."""
        raise NotImplementedError

    def part(self, which: np.ndarray) -> "Frames":
        """The frames `which` (increasing) alone."""
        return PartOf(self, which)


class PartOf(Frames):
    """Some of another's frames."""

    def __init__(self, whole: Frames, which: np.ndarray):
        self.whole, self.which = whole, np.asarray(which, dtype=np.int64)

    def __len__(self) -> int:
        return len(self.which)

    def images(self, which: Which) -> Iterator[np.ndarray]:
        """See `Frames`."""
        return self.whole.images(self.which[np.asarray(which, dtype=np.int64)])

    def jpegs(self, which: Which) -> Iterator[bytes]:
        """See `Frames`."""
        return self.whole.jpegs(self.which[np.asarray(which, dtype=np.int64)])

    def digest(self) -> str:
        """Of the whole, and of which."""
        return hashlib.sha256(self.whole.digest().encode() + self.which.tobytes()).hexdigest()


class StoredImages(Frames):
    """Frames that are image files inside something else; subclasses give `stored`.

    Args:
        count: T.
        name: says where frame t is, for messages.
    """

    def __init__(self, count: int, name: Callable[[int], str]):
        self.count, self.name = count, name

    def __len__(self) -> int:
        return self.count

    def stored(self, which: Which) -> Iterator[tuple[int, Any]]:
        """Number and bytes of the frames `which`, as they are stored."""
        raise NotImplementedError

    def image(self, t: int, data: Any) -> np.ndarray:
        """(H, W, 3) uint8 of what is stored of frame t."""
        return decode(data, self.name(t))

    def images(self, which: Which) -> Iterator[np.ndarray]:
        """See `Frames`."""
        for t, data in self.stored(which):
            yield self.image(t, data)

    def jpegs(self, which: Which) -> Iterator[bytes]:
        """See `Frames`; JPEG files pass as they are."""
        for t, data in self.stored(which):
            image = self.image(t, data)  # a broken one is found here, not by whoever reads the copy
            as_it_is = isinstance(data, bytes) and data.startswith(b"\xff\xd8")
            yield data if as_it_is else jpeg(image)

    def digest(self) -> str:
        """Of all bytes."""
        return digest_of(data for _, data in self.stored(range(len(self))))


class ImageFiles(StoredImages):
    """Frames that are JPEG or PNG files, or such files' bytes inside another one.

    Args:
        read: gives the bytes of frame t. count: T. name: says where frame t is, for messages.
    """

    def __init__(self, read: Callable[[int], bytes], count: int, name: Callable[[int], str]):
        super().__init__(count, name)
        self.read = read

    def stored(self, which: Which) -> Iterator[tuple[int, bytes]]:
        """See `StoredImages`."""
        for t in map(int, which):
            try:
                yield t, self.read(t)
            except (OSError, KeyError) as error:
                raise UserError(
                    f"{self.name(t)}: not readable ({error}); remove the walk or record it again"
                ) from None


def digest_of(files: Iterable[bytes]) -> str:
    """A hash of files: of their bytes and lengths."""
    total = hashlib.sha256()
    for data in files:
        total.update(len(data).to_bytes(8, "little") + data)
    return total.hexdigest()


def decode(data: bytes, where: str) -> np.ndarray:
    """An image file's bytes as (H, W, 3) uint8 RGB; `where` names it in errors."""
    try:
        with Image.open(io.BytesIO(data), formats=KINDS) as image:
            if image.width * image.height > MAX_PIXELS:
                raise ValueError(f"{image.width} x {image.height} pixels are too many")
            return np.asarray(image.convert("RGB"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise UserError(
            f"{where}: not a readable image ({error}); remove the walk or record it again"
        ) from None


def jpeg(image: np.ndarray, quality: int = 90) -> bytes:
    """(H, W, 3) uint8 as a JPEG file; `quality` is Pillow's, 1 to 95."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def resized(image: np.ndarray, height_px: int, width_px: int) -> np.ndarray:
    """(H, W, 3) uint8 stretched to another size."""
    if image.shape[:2] == (height_px, width_px):
        return image
    return np.asarray(
        Image.fromarray(image).resize((width_px, height_px), Image.Resampling.BILINEAR)
    )
