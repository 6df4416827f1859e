"""One camera image a world, whether the world is made of triangles, of splats, or of both."""

from collections.abc import Sequence

import numpy as np

from s2e.envs.camera import Camera, camera_poses
from s2e.envs.raster import PackedMeshes, render_meshes
from s2e.envs.scene import Scene
from s2e.envs.splat_render import prepare, render_splats


class Renderer:
    """Draws the views of robots in a fixed list of scenes.

    Splats are drawn over the mesh image (people, added obstacles, sky) and hide it or are hidden by it pixel by pixel.

    Args:
        scenes: what may be drawn; scenes may share one `Splats` object, which is then prepared once.
        camera: the camera of every robot.
    """

    def __init__(self, scenes: Sequence[Scene], camera: Camera):
        self.camera = camera
        self.meshes = PackedMeshes.pack([s.mesh for s in scenes])
        self.sky = np.array([s.sky.row() for s in scenes], dtype=np.float32)
        self.ground_z = np.array([s.ground_z for s in scenes], dtype=np.float32)
        distinct = {id(s.splats): s.splats for s in scenes if s.splats is not None}
        self.prepared = {key: prepare(splats) for key, splats in distinct.items()}
        self.splats_of = np.array([id(s.splats) if s.splats is not None else 0 for s in scenes], dtype=np.int64)

    def render(self, scene_id: np.ndarray, poses: np.ndarray, people: np.ndarray) -> np.ndarray:
        """(V, H, W, 3) uint8 views of robots at poses (V, 3) among people (V, P, 5) (`envs/raster.py`)."""
        positions, rotations = camera_poses(poses, self.camera)
        positions[:, 2] += self.ground_z[scene_id]
        return self.draw(scene_id, positions, rotations, people, self.camera)

    def draw(
        self, scene_id: np.ndarray, positions: np.ndarray, rotations: np.ndarray, people: np.ndarray, camera: Camera
    ) -> np.ndarray:
        """The same for any camera positions (V, 3) and rotations (V, 3, 3)."""
        size = (camera.height_px, camera.width_px)
        intrinsics = camera.intrinsics()
        if people.shape[2] == 5:
            # Rows without a height and a pose: people who walk on the floor.
            z = np.broadcast_to(self.ground_z[scene_id][:, None, None], (*people.shape[:2], 1))
            people = np.concatenate([people[..., :2], z, people[..., 2:], np.zeros_like(z)], 2)
        lenses = np.broadcast_to(intrinsics, (len(scene_id), 4))
        images = render_meshes(self.meshes, scene_id, positions, rotations, lenses, *size, people, self.sky)
        rgb, depth = images.rgb, images.depth
        for key, prepared in self.prepared.items():
            views = np.flatnonzero(self.splats_of[scene_id] == key)
            if len(views):
                drawn, _, _ = render_splats(prepared, positions[views], rotations[views], intrinsics, *size, rgb[views], depth[views])
                rgb[views] = drawn
        return rgb
