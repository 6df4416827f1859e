"""Splats of every format, by what a file is and not by what it is called: `read_splats` and `write_splats`."""

import os

from s2e.envs.scene import Splats
from s2e.envs.splats.ply import read_ply, write_ply


def read_splats(path: str | os.PathLike, progress: bool = False) -> Splats:
    """Reads splats from a 3DGS PLY.

    Args:
        path: the file.
        progress: whether to show a progress bar where that takes long.

    Raises:
        UserError: the file is missing or damaged; the message names file, field or byte, and the remedy.
    """
    return read_ply(path)


def write_splats(path: str | os.PathLike, splats: Splats) -> None:
    """Writes splats in the format that the path's ending names: .ply or .spz.

    Raises:
        UserError: another ending, or the file cannot be written.
    """
    write_ply(path, splats)
