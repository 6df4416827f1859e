"""Writes the mesh scenes of layouts that training never draws, with their episodes: python -m
tools.held_out.
"""

import json
import sys
from typing import Any

from s2e.envs.scenes.episodes import write_episodes
from s2e.envs.scenes.files import digest, load_scene, scene_folder
from s2e.envs.scenes.propose import make_episodes
from s2e.envs.streets.build import HELD_OUT_FAMILIES, build_scene


def write_held_out(name: str) -> None:
    """Writes scene.json of a mesh scene of one held-out family."""
    build: dict[str, Any] = {"seed": 20, "family": name, "blocks": [2, 1]}
    scene = build_scene(build["seed"], name, obstacles=False, blocks=(2, 1))
    folder = scene_folder(name)
    folder.mkdir(exist_ok=True)
    data = {"name": name, "units": "m", "build": build | {"sha256": digest(scene)}}
    (folder / "scene.json").write_text(json.dumps(data, indent=1) + "\n")


def main() -> None:
    """Writes the folders of the named scenes, or of all."""
    for name in sys.argv[1:] or HELD_OUT_FAMILIES:
        write_held_out(name)
        write_episodes(
            scene_folder(name) / "episodes.json", name, make_episodes(load_scene(name), seed=7)
        )


if __name__ == "__main__":
    main()
