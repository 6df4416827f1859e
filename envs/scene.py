"""A world is data: geometry or splats to look at, occupancy to drive in, and episodes to solve."""

from dataclasses import dataclass, field

import numpy as np

from s2e.envs.occupancy import Occupancy


@dataclass(frozen=True)
class Mesh:
    """Textured, lit triangles.

    Attributes:
        vertices: (V, 3) float32, metres.
        triangles: (F, 3) int32, counter-clockwise seen from outside.
        uv: (F, 3, 2) float32, texture coordinates per corner; they repeat beyond 0..1.
        texture: (F,) int32, layer of the texture atlas (`envs/textures.py`).
        shade: (F, 3, 3) float32, RGB light that multiplies the texture at each corner, 1 is the texture as it is.
    """

    vertices: np.ndarray
    triangles: np.ndarray
    uv: np.ndarray
    texture: np.ndarray
    shade: np.ndarray


@dataclass(frozen=True)
class Splats:
    """3-D Gaussians, activated: what a renderer needs, not what a file stores.

    Attributes:
        means: (G, 3) float32, metres.
        quats: (G, 4) float32, unit, (w, x, y, z).
        scales: (G, 3) float32, standard deviations, metres.
        opacities: (G,) float32 in 0..1.
        sh: (G, K, 3) float32, spherical-harmonics coefficients, K = 1, 4, 9 or 16.
    """

    means: np.ndarray
    quats: np.ndarray
    scales: np.ndarray
    opacities: np.ndarray
    sh: np.ndarray


@dataclass(frozen=True)
class Sky:
    """Colours (RGB, 0..255) of the sky straight up and at the horizon; `fog_m` is where fog halves sight, metres."""

    zenith: tuple[float, float, float] = (90.0, 140.0, 210.0)
    horizon: tuple[float, float, float] = (205.0, 215.0, 225.0)
    fog_m: float = 60.0


@dataclass(frozen=True)
class Scene:
    """One place. `ground_z` is the height of the floor; `splats` is None in a mesh world.

    `free_anchors` (K, 2) are points that people and robots may start from or walk to: on walkable ground, clear of
    obstacles, reachable from one another.
    """

    name: str
    occupancy: Occupancy
    mesh: Mesh
    free_anchors: np.ndarray
    splats: Splats | None = None
    sky: Sky = field(default_factory=Sky)
    ground_z: float = 0.0


@dataclass(frozen=True)
class Obstacle:
    """A static object that an episode adds: `kind` names a mesh of `envs/meshes.py`, at x, y (m), yaw (rad)."""

    kind: str
    x: float
    y: float
    yaw: float


@dataclass(frozen=True)
class Walker:
    """A person of an episode: walks from start to goal and back, at `speed` m/s; `look` seeds clothes and build."""

    start: tuple[float, float]
    goal: tuple[float, float]
    speed: float
    look: int


@dataclass(frozen=True)
class Episode:
    """One task, fully written down: nothing is sampled when it is run.

    `setting` is empty, obstacle, pedestrian or both; `route_m` is the length of the shortest safe route;
    `time_limit_s` ends the episode.
    """

    id: str
    setting: str
    start: tuple[float, float, float]
    goal: tuple[float, float]
    route_m: float
    time_limit_s: float
    seed: int
    obstacles: tuple[Obstacle, ...] = ()
    walkers: tuple[Walker, ...] = ()
