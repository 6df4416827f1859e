"""Streamed SOG: PlayCanvas's `lod-meta.json` with chunks of every level of detail, one level of
which is read.
"""

import os
import re
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from s2e.core.errors import UserError, require
from s2e.core.files import json_object
from s2e.envs.geometry.scene import Splats
from s2e.envs.splats.formats.sog import read_sog
from s2e.envs.splats.formats.whole import SplatWarning, opened, size_of
from s2e.envs.splats.transform import select

META = "lod-meta.json"
ENOUGH = 1_000_000
"""Gaussians of a level that are enough: the finest level with no more is read, unless another one
is asked for."""
_MAX_META, _MAX_NODES, _MAX_FILES = 64 << 20, 1 << 20, 1 << 12
_NAME = r"[\w-][\w .-]{0,200}(/[\w-][\w .-]{0,200}){0,4}"
_REMEDY = "export the scene again, or give one of its folders (such as 0_0)"


@dataclass(frozen=True)
class Part:
    """Rows `start` to `start + count` of the `file`-th chunk."""

    file: int
    start: int
    count: int


@dataclass(frozen=True)
class Streamed:
    """What is read of a streamed scene: one level, and the shell around it (sky, far houses), which
    is to be seen and not to be hit.
    """

    splats: Splats
    environment: Splats | None
    level: int
    levels: int


def is_streamed(path: Path) -> bool:
    """Whether a path is a streamed SOG: its folder, or the file that describes it."""
    return path.name == META or (path.is_dir() and (path / META).is_file())


def read_streamed(
    path: str | os.PathLike, level: int | None = None, progress: bool = False
) -> Streamed:
    """Reads one level of a streamed SOG.

    Where a leaf of the tree has no such level, its next coarser one is taken, or the coarsest it
    has.

    Args:
        path: the folder, or its lod-meta.json.
        level: 0 is the finest; without it, the finest of at most `ENOUGH` Gaussians whose chunks
            are there, or the coarsest of them.
        progress: whether to show a progress bar where that takes long.

    Raises:
        UserError: a file is missing or damaged, leads out of the folder, or holds other than it
            claims; no such level.
    """
    path = Path(path)
    folder = path if path.is_dir() else path.parent
    where = folder / META
    meta = _meta(where)
    names, leaves = _names(where, meta), _leaves(where, meta)
    levels = 1 + max(k for leaf in leaves for k in leaf)
    parts = {k: [leaf[_nearest(leaf, k)] for leaf in leaves] for k in range(levels)}
    missing = {
        k: [names[p.file] for p in parts[k] if not _there(folder / names[p.file])] for k in parts
    }
    whole = [k for k in parts if not missing[k]]
    if level is not None:
        require(
            0 <= level < levels,
            f"{where}: --level {level}; it has levels 0 (finest) to {levels - 1}",
        )
        if missing[level]:
            have = (
                f"levels {', '.join(map(str, whole))} are whole" if whole else "no level is whole"
            )
            raise UserError(
                f"{where}: level {level} needs {missing[level][0]}, which is missing; copy it too, "
                f"or choose ({have})"
            )
    else:
        if not whole:
            raise UserError(
                f"{where}: {missing[levels - 1][0]} is missing, and no other level is whole; copy "
                "the whole folder"
            )
        fits = [k for k in whole if sum(p.count for p in parts[k]) <= ENOUGH]
        level = fits[0] if fits else whole[-1]
    chosen = joined(
        [
            _chunk(folder, names[f], [p for p in parts[level] if p.file == f], progress)
            for f in _used(parts[level])
        ]
    )
    environment = meta.get("environment")
    shell = None
    if environment is not None:
        _check_name(where, "environment", environment)
        if _there(folder / environment):
            shell = read_sog(folder / environment, progress)
        else:
            warnings.warn(
                f"{where}: environment {environment} is missing; the scene is read without it",
                SplatWarning,
                stacklevel=2,
            )
    return Streamed(chosen, shell, level, levels)


def joined_streamed(path: Path, progress: bool = False) -> Splats:
    """All that is to be seen of a streamed scene."""
    found = read_streamed(path, None, progress)
    return found.splats if found.environment is None else join(found.splats, found.environment)


def join(first: Splats, second: Splats) -> Splats:
    """Both, one after the other; the one of fewer harmonics gets zeros."""
    return joined([first, second])


def joined(parts: list[Splats]) -> Splats:
    """All of them, one after the other; those of fewer harmonics get zeros."""
    most = max(p.sh.shape[1] for p in parts)
    return Splats(
        *(
            np.concatenate([getattr(p, name) for p in parts])
            for name in ("means", "quats", "scales", "opacities")
        ),
        sh=np.concatenate(
            [np.pad(p.sh, ((0, 0), (0, most - p.sh.shape[1]), (0, 0))) for p in parts]
        ),
        antialiased=parts[0].antialiased,
    )


def _used(parts: list[Part]) -> list[int]:
    return sorted({p.file for p in parts if p.count})


def _there(path: Path) -> bool:
    return path.is_file() and path.stat().st_size > 0


def _chunk(folder: Path, name: str, parts: list[Part], progress: bool) -> Splats:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", SplatWarning)
        splats = read_sog(folder / name, progress)
    count = len(splats.means)
    if caught:  # rows are not where they were
        raise UserError(f"{caught[0].message}; a streamed chunk must be whole: {_REMEDY}")
    for part in parts:
        if part.start + part.count > count:
            raise UserError(
                f"{folder / META}: rows {part.start} to {part.start + part.count} of {name}, which "
                f"holds {count} Gaussians; {_REMEDY}"
            )
    rows = np.concatenate([np.arange(p.start, p.start + p.count) for p in parts])
    if len(rows) > count:
        raise UserError(
            f"{folder / META}: names {len(rows)} rows of {name}, which holds {count}; {_REMEDY}"
        )
    return select(splats, rows)


def _meta(where: Path) -> dict[str, Any]:
    with opened(where) as file:
        if size_of(file) > _MAX_META:
            raise UserError(
                f"{where}: {size_of(file)} bytes; a list of chunks takes less than {_MAX_META}: "
                f"{_REMEDY}"
            )
        return json_object(file.read(), str(where), _REMEDY)


def _check_name(where: Path, field: str, name: object) -> None:
    if not isinstance(name, str) or not re.fullmatch(_NAME, name):
        raise UserError(
            f"{where}: {field}: {str(name)[:80]!r} leads out of the scene or is no file name; put "
            "its files beside it"
        )


def _names(where: Path, meta: dict[str, Any]) -> list[str]:
    names = meta.get("filenames")
    if not isinstance(names, list) or not 1 <= len(names) <= _MAX_FILES:
        raise UserError(f"{where}: filenames is not a list of 1 to {_MAX_FILES} files; {_REMEDY}")
    for name in names:
        _check_name(where, "filenames", name)
    return names


def _leaves(where: Path, meta: dict[str, Any]) -> list[dict[int, Part]]:
    """The levels of every node of the tree that has some."""
    nodes, leaves, files = [meta.get("tree")], [], len(meta["filenames"])
    for node in nodes:  # grows while it is walked
        if not isinstance(node, dict) or not isinstance(node.get("children", []), list):
            raise UserError(
                f"{where}: tree: a node is not an object with bound, children or lods; {_REMEDY}"
            )
        nodes += node.get("children", [])
        if len(nodes) > _MAX_NODES:
            raise UserError(f"{where}: tree: more than {_MAX_NODES} nodes; {_REMEDY}")
        lods = node.get("lods", {})
        if not isinstance(lods, dict):
            raise UserError(
                f"{where}: tree: lods is a {type(lods).__name__}, not an object; {_REMEDY}"
            )
        leaf = {}
        for key, lod in lods.items():
            numbers: list[Any] = (
                [lod.get(name) for name in ("file", "offset", "count")]
                if isinstance(lod, dict)
                else []
            )
            whole = len(numbers) == 3 and all(type(v) is int and 0 <= v < 1 << 40 for v in numbers)
            if not whole or not re.fullmatch(r"\d{1,2}", key) or numbers[0] >= files:
                raise UserError(
                    f"{where}: tree: lods {key[:20]!r} does not name file, offset and count of a "
                    f"chunk; {_REMEDY}"
                )
            leaf[int(key)] = Part(*numbers)
        if leaf:
            leaves.append(leaf)
    if not leaves or not any(part.count for leaf in leaves for part in leaf.values()):
        raise UserError(f"{where}: tree: no node has lods; {_REMEDY}")
    return leaves


def _nearest(leaf: dict[int, Part], level: int) -> int:
    """The level of a leaf that stands for one that it may lack."""
    coarser = [k for k in leaf if k >= level]
    return min(coarser) if coarser else max(leaf)
