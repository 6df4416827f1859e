"""A capture in tiles: a folder of files of one frame, which are read as one."""

import itertools
import warnings
from pathlib import Path

import numpy as np

from s2e.core.errors import require
from s2e.envs.geometry.scene import Splats
from s2e.envs.splats.formats.whole import SplatWarning

ENDINGS = (".ply", ".spz", ".sog", ".splat")
"""Of tiles; of one that is there in several formats the first is read."""
_NEAR = 0.25
"""Tiles whose middles are nearer than this share of their extents are not beside one another."""
MOST = 256


def tiles_of(folder: Path) -> list[Path]:
    """The tiles of a folder, by name; of a name in several formats one, and none that holds zero
    bytes.
    """
    found: dict[str, list[Path]] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in ENDINGS and path.is_file():
            found.setdefault(path.stem, []).append(path)
    best = (
        min(paths, key=lambda p: (p.stat().st_size == 0, ENDINGS.index(p.suffix.lower())))
        for paths in found.values()
    )
    return [path for path in best if path.stat().st_size > 0]


def check_tiles(folder: Path, paths: list[Path], tiles: list[Splats]) -> None:
    """Says what is read, and refuses files that are not tiles of one capture: different ones, or
    one twice.

    Raises:
        UserError: two of them show the same place.
    """
    names = ", ".join(p.name for p in paths[:3]) + (
        f" and {len(paths) - 3} more" if len(paths) > 3 else ""
    )
    warnings.warn(
        f"{folder}: {len(paths)} tiles of one capture, read together: {names}",
        SplatWarning,
        stacklevel=3,
    )
    low, middle, high = (
        np.array([np.quantile(t.means, q, axis=0) for t in tiles]) for q in (0.05, 0.5, 0.95)
    )
    extent = np.linalg.norm(high - low, axis=1)
    for a, b in itertools.combinations(range(len(tiles)), 2):
        near = np.linalg.norm(middle[a] - middle[b]) < _NEAR * max(extent[a], extent[b])
        require(
            not near,
            f"{folder}: {paths[a].name} and {paths[b].name} lie over one another, so they are no "
            "tiles of one capture; give one",
        )
