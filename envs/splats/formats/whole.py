"""What readers and writers of splats share: opening with care, bounds, checks of values, writing a
file whole or not at all.
"""

import os
import stat
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
from tqdm import tqdm

from s2e.core.errors import UserError
from s2e.core.files import write_whole
from s2e.envs.geometry.scene import Splats

ROWS = (
    1 << 16
    # Gaussians decoded at a time, a multiple of compressed PLY's 256: working memory stays near 30
    # MB
)
_BAR_BYTES = 1 << 26
_DENSEST = (
    32  # real captures pack 2 to 8 times, and the slack lets small made-up ones pack as they like
)
_SLACK_BYTES = 1 << 24


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """Opens a regular file to read; a folder, a pipe or an error of the system becomes a
    `UserError`.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # a pipe would wait for ever
            raise UserError(f"{path}: cannot be read (it is not a file); give the file itself")
        with path.open("rb") as file:
            yield file
    except OSError as error:
        raise UserError(
            f"{path}: cannot be read ({error.strerror or error}); check the path"
        ) from None


def size_of(file: BinaryIO) -> int:
    """Bytes of an open file."""
    return os.fstat(file.fileno()).st_size


def read_exactly(path: Path, file: BinaryIO, count: int) -> bytes:
    """The next `count` bytes; a `UserError` where the file ends before."""
    data = file.read(count)
    if len(data) != count:
        raise UserError(f"{path}: cut at byte {file.tell()}; copy or export it again")
    return data


def progress_bar(path: Path, total: int, progress: bool) -> tqdm:
    """A bar over `total` bytes to decode, shown on a terminal where it is wanted and there are
    many.
    """
    hidden = None if progress and total > _BAR_BYTES else True
    return tqdm(total=total, desc=path.name, unit="B", unit_scale=True, disable=hidden, leave=False)


def row_slices(count: int) -> Iterator[slice]:
    """Slices of at most `ROWS` that cover 0..count."""
    for start in range(0, count, ROWS):
        yield slice(start, min(start + ROWS, count))


def check_density(path: Path, where: str, count: int, unpacked: int, packed: int) -> None:
    """Refuses, before anything is allocated, a count of Gaussians that so small a file cannot
    honestly hold.

    Args:
        path: the file.
        where: the byte or field that names the count.
        count: Gaussians.
        unpacked: bytes that they take when decompressed.
        packed: bytes of the file.
    """
    if count < 1:
        raise UserError(
            f"{path}: {where}: holds {count or 'zero'} Gaussians; train or export the scene again"
        )
    if unpacked > _DENSEST * packed + _SLACK_BYTES:
        raise UserError(
            f"{path}: {where}: claims {count} Gaussians, which unpack to {unpacked} bytes from a "
            f"file of {packed}; "
            "no capture packs so tightly: the file is damaged or a bomb, export it again"
        )


def blank(count: int, coefficients: int, antialiased: bool = False) -> Splats:
    """Splats to fill in: every array allocated, none of it set."""
    return Splats(
        means=np.empty((count, 3), np.float32),
        quats=np.empty((count, 4), np.float32),
        scales=np.empty((count, 3), np.float32),
        opacities=np.empty(count, np.float32),
        sh=np.empty((count, coefficients, 3), np.float32),
        antialiased=antialiased,
    )


def unit(quats: np.ndarray) -> np.ndarray:
    """(n, 4) quaternions at unit length, computed in float64; one of length zero becomes NaN."""
    quats = quats.astype(np.float64, copy=False)
    with np.errstate(all="ignore"):
        return quats / np.sqrt(np.einsum("ij,ij->i", quats, quats))[:, None]


class SplatWarning(UserWarning):
    """What of a file of splats was left out or read otherwise than its format says."""


def drop_bad(path: Path, splats: Splats, names: tuple[str, str, str, str, str]) -> Splats:
    """The splats without the rows that are not finite; a `SplatWarning` counts them.

    Args:
        path: the file they came from.
        splats: what was decoded, overwritten; a value out of range has been set to NaN.
        names: how the file calls means, quats, scales, opacities and sh.

    Returns:
        The good rows, in their order, as views of the arrays.

    Raises:
        UserError: half of the rows or more are bad.
    """
    arrays = (splats.means, splats.quats, splats.scales, splats.opacities, splats.sh)
    count = len(splats.means)
    kept = 0
    first = -1
    reasons = dict.fromkeys(names, 0)
    for rows in row_slices(count):
        good = np.ones(rows.stop - rows.start, dtype=bool)
        for name, values in zip(names, arrays, strict=True):
            finite = np.isfinite(values[rows].reshape(len(good), -1)).all(axis=1)
            reasons[name] += int((good & ~finite).sum())
            good &= finite
        if not good.all() and first < 0:
            first = rows.start + int(np.argmin(good))
        if kept < rows.start or not good.all():
            for values in arrays:
                values[kept : kept + int(good.sum())] = values[rows][good]
        kept += int(good.sum())
    if kept == count:
        return splats
    words = ", ".join(f"{name} in {bad:,}" for name, bad in reasons.items() if bad)
    found = f"{count - kept:,} of {count:,} Gaussians are NaN, infinite, all zero or out of range "
    found += f"({words}; the first is number {first})"
    if 2 * kept <= count:
        raise UserError(
            f"{path}: {found}; half or more are bad, so the rest is not to be trusted either: "
            "train or export again"
        )
    warnings.warn(f"{path}: {found}; they were dropped", SplatWarning, stacklevel=3)
    return Splats(*(values[:kept] for values in arrays), antialiased=splats.antialiased)


def write_splat_file(path: Path, parts: Iterable[bytes]) -> None:
    """Writes the parts to a file that appears whole or not at all.

    Raises:
        UserError: the file cannot be written.
    """
    try:
        write_whole(path, parts)
    except OSError as error:
        raise UserError(
            f"{path}: cannot be written ({error.strerror}); check the folder and the free space"
        ) from None
