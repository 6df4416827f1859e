"""`s2e-scene list`: every scene there is, with what can be said of it without loading it."""

import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from s2e.core.errors import UserError
from s2e.core.files import read_json
from s2e.envs.scenes.files import PACKAGED, collection, read_description, scene_folder

COLUMNS = ("name", "Gaussians", "size", "episodes", "made", "from")

UNDER_WAY = ".reconstruction"
"""How folders end in which `s2e-scene reconstruct` keeps its checkpoints."""


def every_scene() -> list[tuple[str, Path]]:
    """Names and folders: of the package, and imported; folders that begin with a dot are unfinished
    and left out.
    """
    found = [(name, scene_folder(name)) for name in PACKAGED]
    try:
        own = sorted(
            p
            for p in collection().iterdir()
            if p.is_dir() and not p.name.startswith(".") and p.suffix != UNDER_WAY
        )
    except FileNotFoundError:
        own = []
    except OSError as error:
        raise UserError(
            f"{collection()}: cannot be listed ({error.strerror}); set S2E_SCENES to a folder"
        ) from None
    return found + [(p.name, p) for p in own]


def describe(name: str, folder: Path) -> tuple[str, ...]:
    """One row of the list; what cannot be read is said to be damaged."""
    where = folder / "scene.json"
    try:
        if not where.is_file():
            return (name, "", "", "", "", "missing scene.json")
        data = read_description(folder)
        if data["units"] != "m":
            raise ValueError("its units are not metres")
        episodes = _episodes(folder)
        if "place" in data:
            folder = scene_folder(data["place"]["scene"])
            data = read_description(folder)
        made = time.strftime("%Y-%m-%d %H:%M", time.localtime(where.stat().st_mtime))
        return (
            name,
            _gaussians(folder, data),
            _size(folder, data),
            episodes,
            made,
            _origin(name, data),
        )
    except (
        OSError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        OverflowError,
        EOFError,
        UserError,
        zipfile.BadZipFile,
    ):
        return (name, "", "", "", "", f"damaged; see `s2e-scene check {name}`")


def _gaussians(folder: Path, data: dict[str, Any]) -> str:
    if "build" in data or "mesh" in data["files"]:
        return "triangles"
    path = _inside(folder, data, "splats")
    if "gaussians" in data:
        return f"{int(data['gaussians']):,}"
    with path.open("rb") as file:
        for line in file.read(4096).splitlines():
            if line.startswith(b"element vertex "):
                return f"{int(line.split()[2]):,}"
    return "?"


def _inside(folder: Path, data: dict[str, Any], key: str) -> Path:
    """The path of a scene's file, which has to be there and in its folder."""
    path = (folder / str(data["files"][key]["path"])).resolve()
    if not path.is_relative_to(folder.resolve()) or not path.is_file():
        raise ValueError(f"{path} is missing or outside the scene")
    return path


def _size(folder: Path, data: dict[str, Any]) -> str:
    if "build" in data:
        return ""
    with np.load(_inside(folder, data, "occupancy"), allow_pickle=False) as arrays:
        rows, columns = np.array(arrays["grid"].shape) * float(arrays["resolution"])
    return f"{columns:.0f} x {rows:.0f} m"


def _episodes(folder: Path) -> str:
    path = folder / "episodes.json"
    return str(len(read_json(path, "")["episodes"])) if path.is_file() else "none"


def _origin(name: str, data: dict[str, Any]) -> str:
    if "capture" in data:
        return str(data["capture"]["file"])
    return "the package" if name in PACKAGED else "a script"


def scene_table() -> str:
    """The list as text."""
    rows = [COLUMNS, *(describe(name, folder) for name, folder in every_scene())]
    widths = [max(len(row[k]) for row in rows) for k in range(len(COLUMNS))]
    right = (False, True, True, True, False, False)
    lines = [
        "  ".join(
            cell.rjust(w) if r else cell.ljust(w)
            for cell, w, r in zip(row, widths, right, strict=True)
        ).rstrip()
        for row in rows
    ]
    return "\n".join([*lines, f"imported scenes are in {collection()}"])
