"""What `s2e-view` sends to the browser, as plain arrays: splats, meshes, forbidden ground, bodies,
and the colours of a fan.
"""

import functools
import math
from typing import Any

import numpy as np

from s2e.envs.geometry.ground import floor_height
from s2e.envs.geometry.scene import Mesh, Scene, Splats
from s2e.envs.geometry.textures import atlas
from s2e.envs.raster.figures import MAX_PARTS, person_parts
from s2e.envs.robots.fleet import STEP_CLASSES_M
from s2e.envs.robots.kinds import Robot
from s2e.envs.splats.marks import SH0
from s2e.envs.splats.render import covariances

MOST_GAUSSIANS = 300_000
"""More than these are thinned out: a browser sorts all of them for every picture."""


CUBE = np.array(
    [[x, y, z] for x in (-0.5, 0.5) for y in (-0.5, 0.5) for z in (-0.5, 0.5)], dtype=np.float32
)
CUBE_FACES = np.array(
    [
        [0, 1, 3],
        [0, 3, 2],
        [4, 6, 7],
        [4, 7, 5],
        [0, 4, 5],
        [0, 5, 1],
        [2, 3, 7],
        [2, 7, 6],
        [0, 2, 6],
        [0, 6, 4],
        [1, 5, 7],
        [1, 7, 3],
    ]
)
"""(12, 3) triangles of `CUBE`, counter-clockwise seen from outside."""


def splat_arrays(
    splats: Splats, most: int = MOST_GAUSSIANS
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Centres (G, 3), covariances (G, 3, 3), colours (G, 3) and opacities (G, 1) in 0..1.

    Colours are those of the constant harmonic: a browser shows no dependence on the view. Of too
    many, a fixed random part is kept and widened so that together they cover what all of them did.
    """
    keep = np.arange(len(splats.means))
    if len(keep) > most:
        keep = np.sort(np.random.default_rng(0).choice(len(keep), most, replace=False))
    wider = len(splats.means) / max(len(keep), 1)
    covs = covariances(splats.quats[keep], splats.scales[keep]) * wider
    return (
        np.ascontiguousarray(splats.means[keep]),
        covs.astype(np.float32),
        np.clip(0.5 + SH0 * splats.sh[keep, 0], 0.0, 1.0),
        splats.opacities[keep, None],
    )


def part_of_mesh(mesh: Mesh, first: int, last: int | None = None) -> Mesh:
    """The triangles first to last of a mesh."""
    some = slice(first, last)
    return Mesh(
        mesh.vertices,
        mesh.triangles[some],
        mesh.uv[some],
        mesh.texture[some],
        mesh.shade[some],
        mesh.semantic[some],
        mesh.instance[some],
    )


def mesh_glb(mesh: Mesh) -> bytes:
    """A mesh as a GLB file: textured, its baked light in the corners' colours, not lit again. Empty
    for a mesh without triangles.
    """
    import trimesh
    from PIL import Image
    from trimesh.exchange.gltf import export_glb
    from trimesh.visual import TextureVisuals
    from trimesh.visual.material import PBRMaterial

    scene = trimesh.Scene()
    for layer in np.unique(mesh.texture):
        chosen = mesh.texture == layer
        corners = mesh.vertices[mesh.triangles[chosen]].reshape(-1, 3)
        shade = np.clip(mesh.shade[chosen].reshape(-1, 3), 0.0, 1.0)
        # Light multiplies the picture as it is seen, glTF multiplies linear light.
        colours = np.concatenate([shade**2.2, np.ones((len(shade), 1))], 1)
        material = PBRMaterial(
            baseColorTexture=Image.fromarray(atlas()[layer]),
            metallicFactor=0.0,
            roughnessFactor=1.0,
        )
        visual = TextureVisuals(uv=mesh.uv[chosen].reshape(-1, 2), material=material)
        visual.vertex_attributes["color"] = np.round(colours * 255).astype(np.uint8)
        faces = np.arange(len(corners)).reshape(-1, 3)
        scene.add_geometry(
            trimesh.Trimesh(corners, faces, visual=visual, process=False), geom_name=f"layer{layer}"
        )
    if not scene.geometry:
        return b""

    def unlit(tree: dict[str, Any]) -> None:
        tree.setdefault("extensionsUsed", []).append("KHR_materials_unlit")
        for material in tree.get("materials", []):
            material["extensions"] = {"KHR_materials_unlit": {}}

    return export_glb(scene, tree_postprocessor=unlit)


def forbidden_ground(scene: Scene, robot: Robot) -> tuple[np.ndarray, np.ndarray]:
    """Where a robot cannot drive, as flat rectangles: vertices (4 K, 3) and triangles (2 K, 3).

    What stands on the ground and, as in `Worlds`, steps that this robot does not climb; a rectangle
    is a run of cells of a row.
    """
    occupancy, height = scene.occupancy, np.zeros(scene.occupancy.grid.shape)
    if scene.ground is not None:
        climbs = [s for s in STEP_CLASSES_M if s <= robot.step_height + 1e-9]
        occupancy = occupancy.blocked_by(
            climbs[-1] if climbs else STEP_CLASSES_M[0], scene.ground.height
        )
        height = scene.ground.height.astype(np.float64)
    grid, size = occupancy.grid, occupancy.resolution
    level = np.round(height, 2)
    begins = grid.copy()
    begins[:, 1:] &= ~grid[:, :-1] | (level[:, 1:] != level[:, :-1])
    ends = grid.copy()
    ends[:, :-1] &= ~grid[:, 1:] | (level[:, 1:] != level[:, :-1])
    (rows, first), (_, last) = np.nonzero(begins), np.nonzero(ends)
    x0, y0 = occupancy.origin[0] + first * size, occupancy.origin[1] + rows * size
    # above the fuzz of a splat ground
    x1, z = occupancy.origin[0] + (last + 1) * size, scene.ground_z + height[rows, first] + 0.12
    corners = np.stack(
        [
            np.stack([x, y, z], -1)
            for x, y in ((x0, y0), (x1, y0), (x1, y0 + size), (x0, y0 + size))
        ],
        1,
    )
    k = np.arange(len(rows))[:, None] * 4
    return corners.reshape(-1, 3).astype(np.float32), np.concatenate(
        [k + np.array(three) for three in ((0, 1, 2), (0, 2, 3))]
    )


def on_ground(scene: Scene, points: np.ndarray, above_m: float = 0.15) -> np.ndarray:
    """(..., 3) points (..., 2) a little above a scene's ground."""
    flat = np.asarray(points, dtype=np.float64).reshape(-1, 2)
    z = [floor_height(scene, x, y) + above_m for x, y in flat]
    return np.column_stack([flat, z]).reshape(*np.shape(points)[:-1], 3)


def segments(points: np.ndarray) -> np.ndarray:
    """(..., L - 1, 2, D) lines between neighbours of (..., L, D); a single point is a line to
    itself.
    """
    if points.shape[-2] == 1:
        points = np.concatenate([points, points], -2)
    return np.stack([points[..., :-1, :], points[..., 1:, :]], -2)


FAN = ((20, 50, 200), (220, 10, 130), (255, 200, 0))
"""Colours of a policy's ways, from the unlikely ones to the likeliest."""


def fan_colours(scores: np.ndarray) -> np.ndarray:
    """(M, 3) uint8: blue for the unlikely ones over magenta to yellow for the likeliest; scores
    (M,) are log-probabilities.
    """
    share = np.exp(scores - scores.max())
    stops = np.array(FAN, dtype=np.float64)
    at = np.sqrt(share)  # most modes are unlikely: spread them
    return (
        np.stack([np.interp(at, [0.0, 0.5, 1.0], stops[:, k]) for k in range(3)], -1)
        .round()
        .astype(np.uint8)
    )


@functools.cache
def _texture_means() -> np.ndarray:
    return atlas().reshape(len(atlas()), -1, 3).mean(1) / 255.0


def bodies(people: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """People as boxes, `MAX_PARTS` a slot.

    Args:
        people: (P, 7) x (NaN is nobody), y, z, yaw, gait, look, pose: rows of
            `Worlds.people_to_draw`.

    Returns:
        Positions (K, 3), orientations (K, 4) wxyz, sizes (K, 3) and colours (K, 3) uint8; unused
        boxes have no size.
    """
    count = len(people) * MAX_PARTS
    positions, quats = np.zeros((count, 3)), np.tile([1.0, 0, 0, 0], (count, 1))
    sizes, colours = np.full((count, 3), 1e-6), np.zeros((count, 3), np.uint8)
    parts = np.zeros((MAX_PARTS, 13), np.float32)
    for slot, (x, y, z, yaw, gait, look, pose) in enumerate(people.astype(np.float64)):
        if not np.isfinite(x):
            continue
        n = int(person_parts(gait, np.int64(look), np.int64(pose), np.int64(2), parts))
        part, rows = parts[:n].astype(np.float64), slice(slot * MAX_PARTS, slot * MAX_PARTS + n)
        angle, length = part[:, 3], part[:, 4]
        # A part hangs from its joint: its middle is half its length down, swung ahead by the angle.
        ahead, up = part[:, 0] + np.sin(angle) * length / 2, part[:, 2] - np.cos(angle) * length / 2
        c, s = math.cos(yaw), math.sin(yaw)
        positions[rows] = np.column_stack(
            [x + c * ahead - s * part[:, 1], y + s * ahead + c * part[:, 1], z + up]
        )
        quats[rows] = _yaw_then_pitch(yaw, -angle)
        sizes[rows] = np.column_stack([part[:, 5] + part[:, 7], part[:, 6] + part[:, 8], length])
        tint = np.clip(part[:, 9:12] * _texture_means()[part[:, 12].astype(int)], 0.0, 1.0)
        colours[rows] = (tint * 255).astype(np.uint8)
    return positions, quats, sizes, colours


def _yaw_then_pitch(yaw: float, pitch: np.ndarray) -> np.ndarray:
    """(K, 4) wxyz of turning about y by `pitch` (K,) and then about z by `yaw`."""
    c, s, cp, sp = math.cos(yaw / 2), math.sin(yaw / 2), np.cos(pitch / 2), np.sin(pitch / 2)
    return np.stack([c * cp, -s * sp, c * sp, s * cp], -1)


def matrix_to_wxyz(rotation: np.ndarray) -> np.ndarray:
    """(4,) unit quaternion of a rotation (3, 3)."""
    w, x, y, z = 1 + np.trace(rotation), *(1 - np.trace(rotation) + 2 * np.diag(rotation))
    a = rotation
    rows = np.array(
        [
            [w, a[2, 1] - a[1, 2], a[0, 2] - a[2, 0], a[1, 0] - a[0, 1]],
            [a[2, 1] - a[1, 2], x, a[0, 1] + a[1, 0], a[0, 2] + a[2, 0]],
            [a[0, 2] - a[2, 0], a[0, 1] + a[1, 0], y, a[1, 2] + a[2, 1]],
            [a[1, 0] - a[0, 1], a[0, 2] + a[2, 0], a[1, 2] + a[2, 1], z],
        ]
    )
    best = rows[np.argmax(np.diag(rows))]
    return best / np.linalg.norm(best)
