"""The scenes of a batch, packed for the kernels: where one can stand, how high, which way people
walk, what is seen.
"""

from collections.abc import Sequence

import numpy as np

from s2e.envs.geometry.ground import GroundFields
from s2e.envs.geometry.occupancy import DistanceFields, Occupancy
from s2e.envs.geometry.scene import Scene
from s2e.envs.people.roadmap import Roadmaps, build_roadmap
from s2e.envs.render import Renderer
from s2e.envs.robots.fleet import STEP_CLASSES_M


class Stage:
    """S scenes and everything that is computed of them once.

    People walk where nothing stands. What a robot cannot climb stands in its way as well, so every
    class of step heights has distance fields of its own: field s is that of scene s for people,
    field S * (1 + k) + s that for robots of `classes[k]`.

    Args:
        scenes: what worlds point into; a scene can be exchanged later.
        classes: the step classes of the robots (indices into `STEP_CLASSES_M`).
        draw: whether anything is rendered.
        splat_backend: what draws splats, see `Renderer`.
    """

    def __init__(
        self,
        scenes: Sequence[Scene],
        classes: Sequence[int],
        draw: bool,
        splat_backend: str = "cpu",
    ):
        self.scenes, self.classes = list(scenes), np.unique(classes)
        count = len(self.scenes)
        steps = (None, *self.classes)
        self.fields = DistanceFields.pack(
            [self.map_of(s, step) for step in steps for s in range(count)]
        )
        self.ground = GroundFields.pack(self.scenes)
        self.roadmaps = Roadmaps.pack(
            [build_roadmap(self.fields, s, self.scenes[s].free_anchors) for s in range(count)]
        )
        self.renderer = Renderer(self.scenes, splat_backend) if draw else None
        self._distances: dict[tuple[int, int], np.ndarray] = {}

    def map_of(self, scene: int, step_class: int | None) -> Occupancy:
        """What stands in the way in a scene, of people (None) or of robots of a step class."""
        of = self.scenes[scene]
        if step_class is None or of.ground is None:
            return of.occupancy
        return of.occupancy.blocked_by(STEP_CLASSES_M[step_class], of.ground.height)

    def route_map(self, scene: int, step_class: int) -> tuple[Occupancy, np.ndarray]:
        """The map that a robot's route is planned on, and its distances (R, C)."""
        occupancy = self.map_of(scene, step_class)
        if (scene, step_class) not in self._distances:
            self._distances[scene, step_class] = occupancy.distance()
        return occupancy, self._distances[scene, step_class]

    def field_of(self, scene_id: np.ndarray, step_class: np.ndarray) -> np.ndarray:
        """(N,) index into `fields` for robots of given step classes in given scenes."""
        return scene_id + len(self.scenes) * (1 + np.searchsorted(self.classes, step_class))

    def replace(self, slot: int, scene: Scene) -> None:
        """Puts another scene in the place of one."""
        self.scenes[slot] = scene
        for k, step in enumerate((None, *self.classes)):
            self.fields.replace(slot + k * len(self.scenes), self.map_of(slot, step))
            self._distances.pop((slot, -1 if step is None else int(step)), None)
        self.ground.replace(slot, scene)
        self.roadmaps.replace(slot, build_roadmap(self.fields, slot, scene.free_anchors))
        if self.renderer:
            self.renderer.replace(slot, scene)
