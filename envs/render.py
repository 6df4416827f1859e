"""One camera image a world, whether the world is made of triangles, of splats, or of both."""

import weakref
from collections.abc import Sequence
from typing import Any

import numpy as np

from s2e.envs.geometry.scene import Scene, Splats
from s2e.envs.raster.effects import apply_to_views
from s2e.envs.raster.kernels import Images, PackedMeshes, render_meshes
from s2e.envs.splats import render as cpu
from s2e.envs.splats.contact import CASTER, footprints, lift_soles, shade_ground, shadow_directions
from s2e.envs.splats.views import Views

_KEPT: dict[tuple[int, str], Any] = {}


def _prepared(splats: Splats, door: Any) -> Any:
    """`prepare(splats)`, done once for as long as the splats live: each episode that is looked at
    has a Renderer of its own.
    """
    key = id(splats), door.__name__
    if key not in _KEPT:
        _KEPT[key] = door.prepare(splats)
        weakref.finalize(splats, _KEPT.pop, key, None)
    return _KEPT[key]


def _standing(scene: Scene) -> np.ndarray:
    """(K, 8) what casts shadows on a scene's splats; nothing where there are none."""
    return footprints(scene.mesh) if scene.splats is not None else np.zeros((0, CASTER), np.float32)


class Renderer:
    """Draws views of a list of scenes.

    Splats are drawn over the mesh image (people, added obstacles, sky) and hide it or are hidden by
    it pixel by pixel. They have no labels: where they hide the mesh, semantic and instance stay
    those of what is behind. People and things of the mesh (instances above 0) darken the splats
    that they stand on.

    Args:
        scenes: what may be drawn; scenes may share one `Splats` object, which is then prepared
            once.
        backend: what draws splats: "cpu", the kernels of this package, or "gsplat" on CUDA.

    Raises:
        UserError: gsplat or a CUDA device is missing, and there are splats to draw with them.
    """

    def __init__(self, scenes: Sequence[Scene], backend: str = "cpu"):
        self.meshes = PackedMeshes.pack([s.mesh for s in scenes])
        self.sky = np.array([s.sky.row() for s in scenes], dtype=np.float32)
        self.backend = backend
        self.splat_door: Any = cpu
        self.splats = [s.splats for s in scenes]
        self.prepared: dict[int, tuple[Any, bool]] = {}
        for splats in self.splats:
            self._prepare(splats)
        self.splats_of = np.array(
            [id(s) if s is not None else 0 for s in self.splats], dtype=np.int64
        )
        self.standing = [_standing(s) for s in scenes]
        self._gather()

    def _prepare(self, splats: Splats | None) -> None:
        """Makes splats ready to be drawn, once."""
        if splats is None or id(splats) in self.prepared:
            return
        if self.backend == "gsplat":
            from s2e.envs.splats import gsplat_backend

            self.splat_door = gsplat_backend
        self.prepared[id(splats)] = _prepared(splats, self.splat_door), splats.antialiased

    def _gather(self) -> None:
        """Puts what stands in all scenes into one array."""
        self.things = np.concatenate([np.zeros((0, CASTER), np.float32), *self.standing])
        self.first_thing = np.cumsum([0, *(len(t) for t in self.standing)])

    def replace(self, slot: int, scene: Scene) -> None:
        """Puts another scene in the place of one, and forgets splats that no scene shows any
        more.
        """
        self.meshes = self.meshes.replace(slot, scene.mesh)
        self.sky[slot] = scene.sky.row()
        # Prepared before the old ones are let go: while they live, no others have their id.
        self._prepare(scene.splats)
        old, self.splats[slot] = self.splats[slot], scene.splats
        self.splats_of[slot] = id(scene.splats) if scene.splats is not None else 0
        if old is not None and not (self.splats_of == id(old)).any():
            del self.prepared[id(old)]
        standing = _standing(scene)
        if len(standing) or len(self.standing[slot]):
            self.standing[slot] = standing
            self._gather()

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
        """Views (V) of cameras at `positions` (V, 3), `rotations` (V, 3, 3), `intrinsics` (V, 4);
        see `render_meshes`.
        """
        splats = (
            np.flatnonzero(self.splats_of[scene_id])
            if self.prepared
            else np.zeros(0, dtype=np.int64)
        )
        before = effects
        if effects is not None and len(splats):  # they come last, when the splats are in the image
            before = np.array(effects, dtype=np.float64)
            before[splats, :3] = 1.0, 0.0, 0.0
        images = render_meshes(
            self.meshes,
            scene_id,
            positions,
            rotations,
            intrinsics,
            *size,
            people,
            self.sky,
            before,
            labels,
        )
        if len(splats):
            rgb = self._draw_splats(
                splats, scene_id, positions, rotations, intrinsics, images, people
            )
            if effects is not None:
                apply_to_views(rgb, effects[splats])
            images.rgb[splats] = rgb
        return images

    def _draw_splats(
        self, views, scene_id, positions, rotations, intrinsics, images: Images, people
    ) -> np.ndarray:
        """Colours of views of splat scenes; their depths go into `images`."""
        height, width = images.depth.shape[1:]
        rgb, alpha = (
            np.empty((len(views), height, width, 3), np.uint8),
            np.empty((len(views), height, width), np.float32),
        )
        cameras: Any = [
            np.ascontiguousarray(a[views], dtype=np.float64)
            for a in (positions, rotations, intrinsics)
        ]
        standing: Any = (
            np.ascontiguousarray(people[views], dtype=np.float32),
            self.things,
            self.first_thing,
            np.ascontiguousarray(scene_id[views], dtype=np.int64),
        )
        behind = images.depth[views]
        nearer = lift_soles(behind, *cameras, *standing)
        depth = np.empty_like(behind)
        for key, (prepared, antialiased) in self.prepared.items():
            of = np.flatnonzero(self.splats_of[scene_id[views]] == key)
            some = views[of]
            rgb[of], depth[of], alpha[of] = self.splat_door.render_splats(
                prepared,
                Views(
                    positions[some],
                    rotations[some],
                    intrinsics[some],
                    height,
                    width,
                    images.rgb[some],
                    nearer[of],
                    antialiased=antialiased,
                ),
            )
        lifted = np.nonzero(nearer < behind)
        depth[lifted] += (1 - alpha[lifted]) * (behind[lifted] - nearer[lifted])
        stands: Any = (*cameras, shadow_directions(self.sky), *standing)
        shade_ground(rgb, depth, alpha, *stands)
        images.depth[views] = depth
        return rgb
