"""Puts an imported scene into its folder: whole or not at all."""

import os
from pathlib import Path
from typing import Any

from s2e.core.errors import UserError
from s2e.core.files import whole_folder
from s2e.envs.geometry.scene import Episode, Scene
from s2e.envs.scenes.files import write_scene

LARGE = 500_000
"""Captures of more Gaussians are kept as SPZ, a quarter of the size."""


def check_target(folder: Path) -> None:
    """Refuses, before any work is done, a place that cannot be written or that holds something else
    than a scene.

    Raises:
        UserError: says which and the remedy.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"{folder.parent}: cannot be made ({error.strerror}); give another --out or set "
            "S2E_SCENES"
        ) from None
    if not os.access(folder.parent, os.W_OK | os.X_OK):
        raise UserError(
            f"{folder.parent}: cannot be written; give another --out or set S2E_SCENES to a folder "
            "of yours"
        )
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise UserError(
            f"{folder}: is a file or a link, not a scene's folder; move it away or choose another "
            "--name"
        )
    if folder.is_dir() and not (folder / "scene.json").is_file() and any(folder.iterdir()):
        raise UserError(
            f"{folder}: holds something else than a scene; move it away or choose another --name"
        )


def store(folder: Path, scene: Scene, episodes: list[Episode], more: dict[str, Any]) -> None:
    """Writes a scene beside its folder and moves it into place; a former scene of that name goes.

    Whatever stops it, Ctrl-C too, the folder holds the former scene or the new one, never parts.

    Raises:
        UserError: it cannot be written.
    """
    assert scene.splats is not None
    try:
        with whole_folder(folder) as made:
            file = "splats.spz" if len(scene.splats.means) > LARGE else "splats.ply"
            write_scene(made, scene, file, more, episodes)
    except OSError as error:
        raise UserError(
            f"{folder}: cannot be written ({error.strerror or error}); free some space or give "
            "another --out; nothing was changed"
        ) from None
    except UserError as error:
        raise UserError(f"{folder}: {error}; nothing was changed") from None
