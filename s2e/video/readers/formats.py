"""From a path to walks: the format is told by what is there, never by a guess at a name alone."""

from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path

from s2e.core.errors import UserError, require
from s2e.video import stills
from s2e.video.files import Search
from s2e.video.options import ReadOptions
from s2e.video.readers import bags, gnm, lerobot, posed, recon, shards
from s2e.video.readers.remote import is_url, shown
from s2e.video.walk import Skipped, Walk

Source = Path | str
Reader = Callable[[Path, ReadOptions], tuple[list[Walk], list[Skipped]]]

FORMATS: dict[str, tuple[Callable[[Path], bool], Reader]] = {
    "shards": (shards.fits, shards.read),
    "gnm": (gnm.fits, gnm.read),
    "lerobot": (lerobot.fits, lerobot.read),
    "bags": (bags.fits, bags.read),
    "recon": (recon.fits, recon.read),
    "posed": (posed.fits, posed.read),
}
"""Whether a path is of a format, and the format's reader; asked in this order."""


class NoWalks(UserError):
    """No walk of some datasets is good; `skipped` has every reason."""

    def __init__(self, message: str, skipped: Sequence[Skipped]):
        super().__init__(message)
        self.skipped = list(skipped)


def read_walks(
    paths: Sequence[Source], options: ReadOptions | None = None
) -> tuple[list[Walk], list[Skipped]]:
    """Reads every walk of some datasets, of any format.

    Args:
        paths: files and folders; shards may also be URLs (`s2e.video.readers.shards`).
        options: what the data do not say.

    Returns:
        The good walks in a fixed order, and those left out with their reasons.

    Raises:
        UserError: a path is missing or of no known format.
        NoWalks: no walk is good.
    """
    options = options or ReadOptions()
    walks: list[Walk] = []
    skipped: list[Skipped] = []
    seen: set[tuple[str, str]] = set()
    for path in paths:
        good, bad = _read(path, options)
        for walk in good:
            place = (str(walk.source if is_url(path) else walk.source.resolve()), walk.name)
            if place not in seen:  # given twice, it would be trained on and held out
                seen.add(place)
                walks.append(walk)
        skipped += bad
    if not walks:
        if not skipped:
            raise NoWalks(
                f"{shown(paths[0])}: no walk in it; docs/data.md lists the formats, s2e-data "
                "record makes one",
                skipped,
            )
        count = sum(s.walks for s in skipped)
        many = f"{shown(paths[0])}: all {count} walks are bad; the first: " if count > 1 else ""
        raise NoWalks(f"{many}{skipped[0].reason}", skipped)
    return walks, skipped


def _not_searched(path: Path) -> str:
    """Where there may be walks, but nobody looked."""
    search = Search(path)
    deque(search.folders(), maxlen=0)
    return (
        "".join(f"; {s.reason.removeprefix(f'{path}: ')}" for s in search.passed_over())
        if path.is_dir()
        else ""
    )


def _read(path: Source, options: ReadOptions) -> tuple[list[Walk], list[Skipped]]:
    if is_url(path):
        return shards.read(path, options)
    path = Path(path)
    if not path.exists():
        raise UserError(
            f"{path}: no such file or folder; give navigation video (docs/data.md lists the "
            "formats)"
        )
    reader = next((read for fits, read in FORMATS.values() if fits(path)), None)
    if reader is None:
        still = (path / "dataset.json").is_file() and stills.is_stills(path)
        require(not still, f"{path}: stills, no walks; give them to s2e-pretrain with --stills")
        raise UserError(
            f"{path}: no walk in it; docs/data.md lists the formats, s2e-data record makes "
            f"one{_not_searched(path)}"
        )
    return reader(path, options)
