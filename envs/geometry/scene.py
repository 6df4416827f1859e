"""A world is data: geometry or splats to look at, occupancy to drive in, and episodes to solve."""

from dataclasses import dataclass, field

import numpy as np

from s2e.envs.geometry.occupancy import Occupancy

SEMANTICS = (
    "sky",
    "road",
    "sidewalk",
    "crossing",
    "grass",
    "floor",
    "building",
    "fence",
    "pole",
    "sign",
    "vegetation",
    "vehicle",
    "bicycle",
    "furniture",
    "obstacle",
    "stairs",
    "person",
)
"""Semantic classes, in the order of their ids."""

SEMANTIC_ID: dict[str, int] = {name: i for i, name in enumerate(SEMANTICS)}


@dataclass(frozen=True)
class Mesh:
    """Textured, lit triangles.

    Attributes:
        vertices: (V, 3) float32, metres.
        triangles: (F, 3) int32, counter-clockwise seen from outside.
        uv: (F, 3, 2) float32, texture coordinates per corner; they repeat beyond 0..1.
        texture: (F,) int32, layer of the texture atlas (`envs/geometry/textures.py`).
        shade: (F, 3, 3) float32, RGB light that multiplies the texture at each corner, 1 is the
            texture as it is.
        semantic: (F,) uint8, what each triangle is: an index into `SEMANTICS`.
        instance: (F,) int32, which thing of the scene each triangle belongs to; 0 is ground and
            buildings.
    """

    vertices: np.ndarray
    triangles: np.ndarray
    uv: np.ndarray
    texture: np.ndarray
    shade: np.ndarray
    semantic: np.ndarray
    instance: np.ndarray


@dataclass(frozen=True)
class Ground:
    """What people and robots stand on, on the cells of the scene's occupancy grid.

    Attributes:
        height: (R, C) float32, metres above `Scene.ground_z`; a kerb is a jump between neighbouring
            cells, a ramp is not.
        surface: (R, C) uint8, an index into `SEMANTICS`: road, sidewalk, crossing, grass or floor.
    """

    height: np.ndarray
    surface: np.ndarray


@dataclass(frozen=True)
class Splats:
    """3-D Gaussians, activated: what a renderer needs, not what a file stores.

    Attributes:
        means: (G, 3) float32, metres.
        quats: (G, 4) float32, unit, (w, x, y, z).
        scales: (G, 3) float32, standard deviations, metres.
        opacities: (G,) float32 in 0..1.
        sh: (G, K, 3) float32, spherical-harmonics coefficients, K = 1, 4, 9 or 16.
        antialiased: whether they were trained with opacities compensated for the blur of the
            projection (Mip-Splatting's rule), and want to be drawn so.
    """

    means: np.ndarray
    quats: np.ndarray
    scales: np.ndarray
    opacities: np.ndarray
    sh: np.ndarray
    antialiased: bool = False


@dataclass(frozen=True)
class Sky:
    """The weather of a scene.

    Attributes:
        zenith, horizon: colours (RGB, 0..255) of the sky straight up and at the horizon.
        fog_m: where fog halves sight, metres.
        sun: (x, y, z) unit direction towards the sun.
        sun_rgb, ambient_rgb: light of the sun on a face that looks at it, and of the sky on a face
            that looks up; 1 shows a texture as it is. Meshes carry their light in `shade`; people
            are lit by these.
        wet: 0 is dry ground, 1 is ground that mirrors much of the sky.
    """

    zenith: tuple[float, float, float] = (90.0, 140.0, 210.0)
    horizon: tuple[float, float, float] = (205.0, 215.0, 225.0)
    fog_m: float = 60.0
    sun: tuple[float, float, float] = (0.5, 0.4, 0.77)
    sun_rgb: tuple[float, float, float] = (0.66, 0.63, 0.57)
    ambient_rgb: tuple[float, float, float] = (0.56, 0.6, 0.66)
    wet: float = 0.0

    def row(self) -> tuple[float, ...]:
        """(17,) all of it, in the order above, for the rasteriser."""
        return (
            *self.zenith,
            *self.horizon,
            self.fog_m,
            *self.sun,
            *self.sun_rgb,
            *self.ambient_rgb,
            self.wet,
        )


@dataclass(frozen=True)
class Scene:
    """One place. `ground_z` is the height of the floor; `splats` is None in a mesh world; `ground`
    None is a level sidewalk.

    `free_anchors` (K, 2) are points that people and robots may start from or walk to: on walkable
    ground, clear of obstacles, reachable from one another.
    """

    name: str
    occupancy: Occupancy
    mesh: Mesh
    free_anchors: np.ndarray
    splats: Splats | None = None
    ground: Ground | None = None
    sky: Sky = field(default_factory=Sky)
    ground_z: float = 0.0


@dataclass(frozen=True)
class Obstacle:
    """A static object that an episode adds: `kind` names a mesh of `envs/geometry/meshes.py`, at x,
    y (m), yaw (rad).
    """

    kind: str
    x: float
    y: float
    yaw: float


BEHAVIOURS = ("walk", "group", "stand", "cross", "cut_in", "stop", "phone", "give_way", "insist")
"""How people of an episode move; see `envs/people/people.py`."""


@dataclass(frozen=True)
class Script:
    """What somebody does beside walking; the defaults are nobody's script.

    Attributes:
        wait_m: stands at the start until the robot's middle is so near, metres; 0 does not wait.
        wait_s: stands there for so long at least, seconds.
        once: stays at the goal, instead of walking back.
        follow: number of the person in the episode behind whom this one walks in single file; -1
            nobody.
        child: is as tall as a child.
    """

    wait_m: float = 0.0
    wait_s: float = 0.0
    once: bool = False
    follow: int = -1
    child: bool = False


@dataclass(frozen=True)
class Walker:
    """A person of an episode: walks from start to goal and back, at `speed` m/s; `look` seeds
    clothes and build.

    `behaviour` is one of `BEHAVIOURS`; people of one `group` (not -1) keep together. Who stands
    looks from start to goal.
    """

    start: tuple[float, float]
    goal: tuple[float, float]
    speed: float
    look: int
    behaviour: str = "walk"
    group: int = -1
    script: Script = Script()


GOAL_RADIUS_M = 1.0
"""A robot whose centre is nearer to its goal than this has reached it."""


@dataclass(frozen=True)
class Truth:
    """What is right in an episode of the suite `social`, for its judge (`benchmarks/social.py`).

    Attributes:
        kind: of situation; "" is none, and nothing is judged.
        yields: "robot" where it is to let `whom` pass first, "" where nobody in particular is.
        zone: x, y, radius (m) of where their ways meet; radius 0 is nowhere.
        whom: numbers of the people that this and `side` are about.
        side: "right" or "left": on which half of the way the robot is to pass them; "" either.
        groups: numbers of the people of each group that shares a space.
        gates: (ax, ay, bx, by) lines that the right way crosses, in this order, metres.
        alone_s: of each person, seconds from setting off to the goal with no robot there; 0 stands.
    """

    kind: str = ""
    yields: str = ""
    zone: tuple[float, float, float] = (0.0, 0.0, 0.0)
    whom: tuple[int, ...] = ()
    side: str = ""
    groups: tuple[tuple[int, ...], ...] = ()
    gates: tuple[tuple[float, float, float, float], ...] = ()
    alone_s: tuple[float, ...] = ()


@dataclass(frozen=True)
class Episode:
    """One task, fully written down: nothing is sampled when it is run.

    `setting` is empty, obstacle, pedestrian, both or social; `route_m` is the length of the
    shortest safe route; `time_limit_s` ends the episode. `task` is the errand in words and `rule`
    its rule in one word ("" where there is none), which planners may read; `truth` they may not.
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
    task: str = ""
    rule: str = ""
    truth: Truth = Truth()

    @property
    def random(self) -> bool:
        """Whether it was drawn while worlds run, for no robot in particular, and not listed in a
        file.
        """
        return self.id.startswith("random-")
