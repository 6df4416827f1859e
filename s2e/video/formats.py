"""From a path to walks: the format is told by what is there, never by a guess at a name alone."""

from collections.abc import Callable, Sequence
from pathlib import Path

from s2e.errors import UserError
from s2e.video import gnm
from s2e.video.options import ReadOptions
from s2e.video.walk import Skipped, Walk

Reader = Callable[[Path, ReadOptions], tuple[list[Walk], list[Skipped]]]

_FORMATS: tuple[tuple[str, Callable[[Path], bool], Reader], ...] = (("gnm", lambda path: bool(gnm.find(path)), gnm.read),)
"""Name, whether a path is of this format, and its reader; asked in this order."""


def read_walks(paths: Sequence[Path], options: ReadOptions | None = None) -> tuple[list[Walk], list[Skipped]]:
    """Reads every walk of some datasets, of any format.

    Returns:
        The good walks in a fixed order, and those left out with their reasons.

    Raises:
        UserError: a path is missing, of no known format, or no walk is good.
    """
    options = options or ReadOptions()
    walks: list[Walk] = []
    skipped: list[Skipped] = []
    seen: set[Path] = set()
    for path in paths:
        if not path.exists():
            raise UserError(f"{path}: no such file or folder; give navigation video (docs/data.md lists the formats)")
        reader = next((read for _, fits, read in _FORMATS if fits(path)), None)
        if reader is None:
            raise UserError(f"{path}: no walk in it; docs/data.md lists the formats, s2e-data record makes one")
        good, bad = reader(path, options)
        for walk in good:
            place = walk.source.resolve() / walk.name
            if place not in seen:  # given twice, it would be trained on and held out
                seen.add(place)
                walks.append(walk)
        skipped += bad
    if not walks:
        first = f"; the first: {skipped[0].reason}" if skipped else ""
        raise UserError(f"{paths[0]}: all {len(skipped)} walks are bad{first}")
    return walks, skipped
