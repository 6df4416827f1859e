"""Straight down and straight ahead: parallel views of places and captures, for pictures that things
are drawn on to scale.
"""

import dataclasses

import numpy as np

from s2e.envs.geometry.scene import Scene, Splats
from s2e.envs.render import Renderer
from s2e.envs.splats.render import prepare, render_splats
from s2e.envs.splats.transform import Placement, place, select
from s2e.envs.splats.views import Views

_FAR = 20.0  # extents that the camera stands off: lines of sight differ by under 3 degrees

DOWN = np.array([[1.0, 0, 0], [0, -1, 0], [0, 0, -1]])
"""Optical frame that looks down, north up."""
NORTH = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
"""Looks along +y, z up, x to the right."""
WEST = np.array([[0.0, 1, 0], [0, 0, -1], [-1, 0, 0]])
"""Looks along -x, z up, y to the right."""


def parallel_view(
    splats: Splats,
    centre: np.ndarray,
    rotation: np.ndarray,
    pixels_per_m: float,
    height_px: int,
    width_px: int,
    back: tuple[float, ...],
) -> np.ndarray:
    """(H, W, 3) uint8 nearly parallel view; `centre` (3,) is in the image's middle, its pixels are
    1 / pixels_per_m metres there.
    """
    extent = max(height_px, width_px) / pixels_per_m
    # The capture is drawn one unit large, so that near planes and precision do not depend on its
    # units.
    small = place(splats, Placement(1.0 / extent, np.eye(3), -np.asarray(centre) / extent))
    focal = pixels_per_m * extent * _FAR
    eye = -_FAR * rotation[2]
    lens = np.array([focal, focal, width_px / 2, height_px / 2])
    rgb, _, _ = render_splats(
        prepare(small),
        Views(eye[None], rotation[None], lens, height_px, width_px, background_rgb=back),
    )  # pyright: ignore[reportArgumentType]
    return rgb[0]


def top_down(scene: Scene, pixels_per_m: float = 12.0, below_m: float | None = None) -> np.ndarray:
    """View straight down on a scene's whole grid, north up.

    Args:
        scene: of splats or triangles.
        pixels_per_m: size of the picture.
        below_m: splats higher than this above the floor are left out, so that roofs and crowns hide
            nothing; None shows all.

    Returns:
        (H, W, 3) uint8; cell (r, c) of the grid covers pixels_per_m * resolution pixels a side, row
        0 at the bottom.
    """
    rows, columns = scene.occupancy.grid.shape
    extent = np.array([columns, rows]) * scene.occupancy.resolution
    centre = np.array([*(scene.occupancy.origin + extent / 2), scene.ground_z])
    width_px, height_px = (max(round(float(v) * pixels_per_m), 1) for v in extent)
    if scene.splats is not None:
        splats = scene.splats
        if below_m is not None:
            splats = select(splats, splats.means[:, 2] - scene.ground_z < below_m)
        return parallel_view(
            splats, centre, DOWN, pixels_per_m, height_px, width_px, scene.sky.horizon
        )
    # far up is not far away
    scene = dataclasses.replace(scene, sky=dataclasses.replace(scene.sky, fog_m=1e9))
    distance = _FAR * float(extent.max())
    lens = np.array(
        [[pixels_per_m * distance, pixels_per_m * distance, width_px / 2, height_px / 2]]
    )
    position = (centre + np.array([0.0, 0.0, distance]))[None]
    nobody = np.zeros((1, 0, 7), np.float32)
    return (
        Renderer([scene])
        .draw(np.zeros(1, dtype=int), position, DOWN[None], lens, (height_px, width_px), nobody)
        .rgb[0]
    )
