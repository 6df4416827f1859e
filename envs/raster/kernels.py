"""Textured polygons and walking people on the CPU: a z-buffer renderer over batches of views, in
numba.

Each view is drawn by one thread in two passes. The first (`envs/raster/depth.py`,
`envs/raster/people.py`) finds the nearest polygon of every pixel, group by group from near to far.
The second (`envs/raster/shading.py`) gives every pixel its texel, light and fog once, whatever the
overdraw. Both work on eight neighbouring pixels at a time (`envs/raster/lanes.py`).
"""

from dataclasses import dataclass
from threading import Thread

import numba
import numpy as np

from s2e.core.errors import UserError
from s2e.envs.geometry.textures import mipmaps
from s2e.envs.raster.depth import BUCKETS, NEAR, draw_scene
from s2e.envs.raster.effects import apply_effects
from s2e.envs.raster.figures import FACES, MAX_PARTS
from s2e.envs.raster.lanes import WIDTH
from s2e.envs.raster.pack import GROUP, PackedMeshes
from s2e.envs.raster.people import draw_people
from s2e.envs.raster.shading import (
    PERSON_INSTANCE,
    ray_lengths,
    shade,
    shade_under_people,
    write_labels,
)

__all__ = ["NEAR", "PERSON_INSTANCE", "Images", "PackedMeshes", "render_meshes"]


@dataclass(frozen=True)
class Images:
    """What V cameras see.

    Attributes:
        rgb: (V, H, W, 3) uint8.
        depth: (V, H, W) float32 along the optical axis, metres, inf where only sky is.
        semantic: (V, H, W) uint8, index into `SEMANTICS`; None unless asked for.
        instance: (V, H, W) int32, `Mesh.instance`, `PERSON_INSTANCE` + slot for people, 0 for the
            sky; None likewise.
    """

    rgb: np.ndarray
    depth: np.ndarray
    semantic: np.ndarray | None
    instance: np.ndarray | None


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _views(
    start, stride, mesh, looks, scenes, views, people, sky, effects, labelled, texels, most, out
):
    """Draws views start, start + stride, ... in buffers of its own. `most`: groups and noted
    polygons of a view at most.
    """
    texture, semantic, instance = looks
    first_group, group_count = scenes
    scene_id, positions, rotations, lenses = views
    rgb, depth, semantics, instances = out
    total, height, width = depth.shape
    size = (height, width, -(-width // WIDTH) * WIDTH)
    inv_z, ids = np.empty(height * size[2], np.float32), np.empty(height * size[2], np.int32)
    plan, source, layer = (
        np.empty((most[1], 24), np.float32),
        np.empty(most[1], np.int32),
        np.empty(most[1], np.int32),
    )
    work = (
        np.empty(most[0], np.int64),
        np.empty(most[0], np.int64),
        np.empty(BUCKETS + 1, np.int64),
        np.empty(GROUP, np.float32),
        np.empty((5, 4 * GROUP), np.float32),
        np.empty(height + 8, np.float32),
        np.empty(height + 8, np.float32),
        np.empty(8, np.float32),
        np.empty(8, np.float32),
    )
    body = (
        np.empty((MAX_PARTS, 13), np.float32),
        np.empty((3, 4), np.float32),
        np.empty((3, 3), np.float32),
        np.empty(3, np.float32),
        FACES.astype(np.int32),
    )
    row = np.empty((8, size[2]), np.float32)
    fields, levels = (
        (row[0], row[1], row[2], row[3], row[4], row[5], row[6], row[7]),
        (np.empty(size[2], np.int32), np.empty(size[2], np.int32)),
    )
    rows, lengths = np.empty((3, width * 3 + 16), np.int32), np.empty(height * size[2], np.float32)
    for v in range(start, total, stride):
        inv_z[:] = 0.0
        ids[:] = -1
        s, position, rotation, lens = scene_id[v], positions[v], rotations[v], lenses[v]
        if v == start or np.any(lens != lenses[v - stride]):
            ray_lengths(lens, size, lengths)
        count = draw_scene(
            mesh,
            first_group[s],
            group_count[s],
            position,
            rotation,
            lens,
            size,
            plan,
            source,
            inv_z,
            ids,
            work,
        )
        count = draw_people(
            people[v],
            position,
            rotation,
            sky[s],
            lens,
            size,
            plan,
            source,
            layer,
            count,
            inv_z,
            ids,
            work,
            body,
        )
        flat_rgb, flat_depth = rgb[v].reshape(-1), depth[v].reshape(-1)
        up = rotation[:, 2]
        shade(
            plan,
            source,
            layer,
            texture,
            semantic,
            inv_z,
            ids,
            size,
            flat_rgb,
            flat_depth,
            texels,
            lens,
            lengths,
            up,
            sky[s],
            fields,
            levels,
        )
        shade_under_people(rgb[v], depth[v], people[v], position, rotation, lens)
        if effects.shape[0]:
            apply_effects(flat_rgb, height, width * 3, effects[v], rows)
        if labelled:
            write_labels(ids, source, semantic, instance, size[2], semantics[v], instances[v])


def render_meshes(
    packed: PackedMeshes,
    scene_id: np.ndarray,
    positions: np.ndarray,
    rotations: np.ndarray,
    intrinsics: np.ndarray,
    height_px: int,
    width_px: int,
    people: np.ndarray,
    sky: np.ndarray,
    effects: np.ndarray | None = None,
    labels: bool = False,
) -> Images:
    """Draws V views of S scenes with people in them.

    Args:
        packed: the scenes' meshes; one without triangles shows sky and people only.
        scene_id: (V,) int, scene of each view.
        positions: (V, 3) of the cameras, metres (`envs/geometry/camera.py`).
        rotations: (V, 3, 3), world to optical frame.
        intrinsics: (V, 4) fx, fy, cx, cy of each view, pixels.
        height_px: rows.
        width_px: columns.
        people: (V, P, 7) x, y, z of the soles, yaw, phase of the gait (radians), look (integer
            seed), pose (0 walks or stands, 1 looks at a phone, 2 is a child); an x of NaN is
            nobody.
        sky: (S, 17) `Sky.row()` of each scene.
        effects: (V, 4) exposure (1 is none), standard deviation of the noise (0..255 units), share
            of a 3x3 binomial blur (0..1), seed of the noise; None is a perfect camera.
        labels: whether to say what each pixel shows.

    Raises:
        UserError: the arrays do not fit together.
    """
    scenes = len(packed.scenes)
    ids = np.ascontiguousarray(scene_id, dtype=np.int64)
    views = len(ids)
    effects = np.zeros((0, 4)) if effects is None else effects
    expected = {
        "positions": (positions, (views, 3)),
        "rotations": (rotations, (views, 3, 3)),
        "intrinsics": (intrinsics, (views, 4)),
        "people": (people, (views, np.shape(people)[1] if np.ndim(people) == 3 else 0, 7)),
        "sky": (sky, (scenes, 17)),
        "effects": (effects, (views if len(effects) else 0, 4)),
    }
    for name, (array, shape) in expected.items():
        if np.shape(array) != shape:
            raise UserError(
                f"{name}: shape {np.shape(array)}, expected {shape}; check the number of views and "
                "scenes"
            )
    if views and not 0 <= ids.min() <= ids.max() < scenes:
        raise UserError(
            f"scene_id: from {ids.min()} to {ids.max()}, but {scenes} scenes are packed; pack "
            "them all"
        )
    shape = (views, height_px, width_px)
    images = Images(
        np.empty((*shape, 3), np.uint8),
        np.empty(shape, np.float32),
        np.empty(shape, np.uint8) if labels else None,
        np.empty(shape, np.int32) if labels else None,
    )
    single = np.float32
    polygons = int(packed.scenes[:, 3].max()) + 6 * MAX_PARTS * np.shape(people)[1] + 1
    shared = (
        (
            packed.vertices,
            packed.planes,
            packed.gradients.reshape(-1),
            packed.corners,
            packed.spheres,
            packed.groups,
        ),
        (packed.texture, packed.semantic, packed.instance),
        (np.ascontiguousarray(packed.scenes[:, 4]), packed.group_count),
        (
            ids,
            np.ascontiguousarray(positions, dtype=single),
            np.ascontiguousarray(rotations, dtype=single),
            np.ascontiguousarray(intrinsics, dtype=single),
        ),
        np.ascontiguousarray(people, dtype=single),
        np.ascontiguousarray(sky, dtype=single),
        np.ascontiguousarray(effects, dtype=np.float64),
        labels,
        mipmaps().view(np.int32).reshape(-1),
        (int(packed.scenes[:, 5].max()), polygons),
        (
            images.rgb,
            images.depth,
            np.empty((0, 0, 0), np.uint8) if images.semantic is None else images.semantic,
            np.empty((0, 0, 0), np.int32) if images.instance is None else images.instance,
        ),
    )
    count = max(min(numba.get_num_threads(), views // 4), 1)
    # Threads take shares as they finish: where other programs take a core for a while, nobody waits
    # for one thread's half.
    shares = 4 * count if count > 1 else 1
    starts = iter(range(shares))

    def work() -> None:
        for start in starts:
            _views(start, shares, *shared)

    threads = [Thread(target=work) for _ in range(count - 1)]
    for thread in threads:
        thread.start()
    work()
    for thread in threads:
        thread.join()
    return images
