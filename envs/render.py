"""One camera image a world, whether the world is made of triangles, of splats, or of both."""

from collections.abc import Sequence

import numpy as np

from s2e.envs.raster import Images, PackedMeshes, render_meshes
from s2e.envs.scene import Scene
from s2e.envs.splats.render import prepare, render_splats


class Renderer:
    """Draws views of a list of scenes.

    Splats are drawn over the mesh image (people, added obstacles, sky) and hide it or are hidden by it pixel by pixel. They
    have no labels: where they hide the mesh, semantic and instance stay those of what is behind.

    Args:
        scenes: what may be drawn; scenes may share one `Splats` object, which is then prepared once.
    """

    def __init__(self, scenes: Sequence[Scene]):
        self.meshes = PackedMeshes.pack([s.mesh for s in scenes])
        self.sky = np.array([s.sky.row() for s in scenes], dtype=np.float32)
        distinct = {id(s.splats): s.splats for s in scenes if s.splats is not None}
        self.prepared = {key: prepare(splats) for key, splats in distinct.items()}
        self.splats_of = np.array([id(s.splats) if s.splats is not None else 0 for s in scenes], dtype=np.int64)

    def replace(self, slot: int, scene: Scene) -> None:
        """Puts another mesh scene in the place of one."""
        self.meshes = self.meshes.replace(slot, scene.mesh)
        self.sky[slot], self.splats_of[slot] = scene.sky.row(), 0

    def draw(
        self,
        scene_id: np.ndarray,
        positions: np.ndarray,
        rotations: np.ndarray,
        intrinsics: np.ndarray,
        size: tuple[int, int],
        people: np.ndarray,
        effects: np.ndarray | None = None,
        labels: bool = False,
    ) -> Images:
        """Views (V) of cameras at `positions` (V, 3), `rotations` (V, 3, 3), `intrinsics` (V, 4); see `render_meshes`."""
        images = render_meshes(
            self.meshes, scene_id, positions, rotations, intrinsics, *size, people, self.sky, effects, labels
        )
        for key, prepared in self.prepared.items():
            views = np.flatnonzero(self.splats_of[scene_id] == key)
            for lens in np.unique(intrinsics[views], axis=0):
                some = views[(intrinsics[views] == lens).all(1)]
                behind = images.rgb[some], images.depth[some]
                images.rgb[some], images.depth[some], _ = render_splats(
                    prepared, positions[some], rotations[some], lens, *size, *behind
                )
        return images
