"""Splats of every format, by what a file is and not by what it is called: `read_splats` and
`write_splats`.
"""

import os
from pathlib import Path

from s2e.core.errors import UserError, require
from s2e.envs.geometry.scene import Splats
from s2e.envs.splats.formats.compressed_ply import is_compressed, read_compressed_ply
from s2e.envs.splats.formats.dotsplat import looks_like_dotsplat, read_dotsplat
from s2e.envs.splats.formats.ply import read_ply, write_ply
from s2e.envs.splats.formats.ply_header import read_header
from s2e.envs.splats.formats.sog import read_sog
from s2e.envs.splats.formats.spz import FINEST, Packing, read_spz, write_spz
from s2e.envs.splats.formats.streamed import is_streamed, joined, joined_streamed
from s2e.envs.splats.formats.tiles import MOST, check_tiles, tiles_of
from s2e.envs.splats.formats.whole import opened

_KNOWN = (
    "a 3DGS or compressed PLY, SPZ, SOG (folder, meta.json or zip; streamed: lod-meta.json), "
    ".splat, or a folder of tiles"
)


def read_splats(path: str | os.PathLike, progress: bool = False, activated: bool = False) -> Splats:
    """Reads splats: 3DGS PLY, PlayCanvas compressed PLY, SPZ 1 to 4, SOG 2 (folder, meta.json, zip,
    streamed) or `.splat`.

    A folder of such files, tiles of one capture, is read as one. The first bytes say which it is; a
    file without any known mark is a `.splat` when its values look like one. All formats come out
    with the axes that their PLY has, which for trainers is x right, y down, z front. Bad rows are
    dropped with a `SplatWarning`, unless half of them or more are.

    Args:
        path: the file, or the folder of a SOG or of tiles.
        progress: whether to show a progress bar where that takes long.
        activated: of a 3DGS PLY, that its scales are lengths and its opacities lie in 0..1 already.

    Raises:
        UserError: the file is missing, damaged or of no known format; the message names file, field
            or byte, and the remedy.
    """
    path = Path(path)
    if activated:
        with opened(path) as file:
            plain = file.read(3) == b"ply" and not is_compressed(read_header(path))
        require(
            plain,
            f"{path}: --activated is for 3DGS PLY; this format says itself how its values are "
            "stored: leave it out",
        )
        return read_ply(path, progress, activated)
    if is_streamed(path):
        return joined_streamed(path, progress)
    if path.is_dir():
        return (
            read_sog(path, progress)
            if (path / "meta.json").is_file()
            else _read_tiles(path, progress)
        )
    with opened(path) as file:
        start = file.read(4)
        plain = (
            start[:2] != b"\x1f\x8b"
            and start not in (b"NGSP", b"PK\x03\x04", b"PK\x05\x06")
            and start[:3] != b"ply"
        )
        likely = path.suffix.lower() == ".splat" or (plain and looks_like_dotsplat(file))
    if not start:
        raise UserError(f"{path}: holds zero bytes; copy or export it again")
    if start[:3] == b"ply":
        return (
            read_compressed_ply(path, progress)
            if is_compressed(read_header(path))
            else read_ply(path, progress)
        )
    if start[:2] == b"\x1f\x8b" or start == b"NGSP":
        return read_spz(path, progress)
    if start in (b"PK\x03\x04", b"PK\x05\x06") or path.name == "meta.json":
        return read_sog(path, progress)
    if likely:
        return read_dotsplat(path, progress)
    raise UserError(f"{path}: byte 0: begins with {start!r}, of no known format; give {_KNOWN}")


def _read_tiles(folder: Path, progress: bool) -> Splats:
    """All tiles of a folder, one after the other."""
    paths = tiles_of(folder)
    require(
        len(paths) > 0,
        f"{folder}: a folder without meta.json, lod-meta.json or tiles (.ply, .spz, .sog, .splat); "
        f"give {_KNOWN}",
    )
    require(
        len(paths) <= MOST,
        f"{folder}: {len(paths)} files; a capture of at most {MOST} tiles is read: "
        "give one of them",
    )
    tiles = [read_splats(path, progress) for path in paths]
    check_tiles(folder, paths, tiles)
    return joined(tiles)


def write_splats(path: str | os.PathLike, splats: Splats, packing: Packing = FINEST) -> None:
    """Writes splats in the format that the path's ending names: .ply, or .spz in a packing.

    Raises:
        UserError: another ending, or the file cannot be written.
    """
    ending = Path(path).suffix.lower()
    if ending not in (".ply", ".spz"):
        raise UserError(
            f"{path}: ending {ending or 'missing'!r}; splats are written as .ply or .spz"
        )
    if ending == ".ply":
        write_ply(path, splats)
    else:
        write_spz(path, splats, packing)
