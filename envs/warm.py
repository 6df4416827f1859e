"""The first run on a machine compiles the kernels: here half of them in a second process, so that
it takes half as long.
"""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numba
import numpy as np

from s2e.envs.config import WorldsConfig
from s2e.envs.geometry.camera import Camera, camera_poses
from s2e.envs.render import Renderer
from s2e.envs.scenes.episodes import RandomEpisodes
from s2e.envs.streets.build import build_scene
from s2e.envs.worlds import Worlds


def warm_up() -> None:
    """Compiles what worlds need into numba's cache, unless that has been done for these sources."""
    stamp = stamp_of_sources()
    if stamp.exists() or not os.access(stamp.parent, os.W_OK):
        return
    print(
        "compiling kernels, once for this version: half a minute or so", file=sys.stderr, flush=True
    )
    _forget(stamp.parent)
    code = "from s2e.envs.warm import compile_movement; compile_movement()"
    # the same sources
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p or os.getcwd() for p in sys.path)}
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", code], env=environment, stderr=subprocess.DEVNULL
    ) as other:
        try:
            compile_drawing()
        except BaseException:
            other.kill()
            raise
    stamp.touch()  # also after a failure: what is missing is compiled when it is needed


def _forget(folder: Path) -> None:
    """Drops the kernels of other sources, since numba compares a kernel's own file and none of
    those whose kernels it calls.
    """
    here = Path(__file__).parent
    if folder == here / "__pycache__":
        kernels = here.rglob("__pycache__/*.nb[ic]")
    else:  # numba's own folder for all packages: in it one for each folder of sources, by its name
        kernels = (
            p
            for name in {p.parent.name for p in here.rglob("*.py")}
            for p in folder.glob(f"{name}_*/*.nb[ic]")
        )
    for path in [*kernels, *folder.glob("s2e-*.compiled")]:
        path.unlink(missing_ok=True)


def stamp_of_sources() -> Path:
    """A file that exists once the kernels of these sources are in the cache."""
    here = Path(__file__).parent
    sources = sorted(here.rglob("*.py"))
    state = (
        "".join(f"{p.name}{p.stat().st_size}{p.stat().st_mtime_ns}" for p in sources)
        + numba.__version__
        + sys.version
    )
    folder = Path(numba.config.CACHE_DIR) if numba.config.CACHE_DIR else here / "__pycache__"  # pyright: ignore[reportAttributeAccessIssue]
    return folder / f"s2e-{hashlib.sha256(state.encode()).hexdigest()[:16]}.compiled"


def compile_drawing() -> None:
    """Draws one small image with a person in it."""
    camera = Camera(24, 40)
    positions, rotations = camera_poses(np.zeros((1, 3)), camera)
    person = np.array([[[3.0, 0, 0, 0, 0, 0, 0]]], dtype=np.float32)
    scene = build_scene(0, density=0.0)
    Renderer([scene]).draw(
        np.zeros(1, dtype=np.int64),
        positions,
        rotations,
        camera.intrinsics()[None],
        (24, 40),
        person,
    )


def compile_movement() -> None:
    """Moves one robot and one person, without drawing."""
    scene = build_scene(0)
    worlds = Worlds(
        [scene], WorldsConfig(people=1), 1, RandomEpisodes([scene], 1, 0, 1), draw=False
    )
    worlds.reset()
    worlds.step(np.zeros((1, 2)))
