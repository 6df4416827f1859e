"""Lights what a canvas collected: sun with soft shadows, sky and bounce with occlusion, lamps, and
what glossy surfaces mirror.
"""

from dataclasses import dataclass

import numpy as np

from tools.urban.paint import CELL_M, Canvas
from tools.urban.rays import lamp_light, sky_share, sun_share

SUN_RAYS, SKY_RAYS = 6, 32
_CLEAR_M = 0.16  # rays begin off the surface, outside its own voxels


@dataclass(frozen=True)
class Lit:
    """Gaussians with light in their colours, before the marks of a capture.

    Attributes:
        points, direction, normal: (n, 3), metres and unit axes.
        scales: (n, 3) along direction, across, along normal, metres.
        colour: (n, 3) in 0..1 as seen from everywhere.
        mirror: (n, 3, 3): colour (last axis) is added by dot(mirror, unit direction from the eye to
            the Gaussian).
        opacity: (n,).
        leaf: (n,) bool.
    """

    points: np.ndarray
    direction: np.ndarray
    normal: np.ndarray
    scales: np.ndarray
    colour: np.ndarray
    mirror: np.ndarray
    opacity: np.ndarray
    leaf: np.ndarray


def film(linear: np.ndarray) -> np.ndarray:
    """Colours in 0..1 from light, with a shoulder for highlights."""
    return np.clip(linear * (1 + linear / 6) / (1 + linear) * 1.25, 0, 1) ** (1 / 2.2)


def even_directions(count: int) -> np.ndarray:
    """(count, 3) unit directions spread evenly (a Fibonacci spiral)."""
    z = 1 - (2 * np.arange(count) + 1) / count
    angle = np.arange(count) * np.pi * (3 - np.sqrt(5))
    r = np.sqrt(1 - z**2)
    return np.stack([r * np.cos(angle), r * np.sin(angle), z], 1)


def voxels(canvas: Canvas, points: np.ndarray) -> np.ndarray:
    """(n, 3) points in units of voxels from the grid's corner."""
    return np.ascontiguousarray((points - canvas.low) / CELL_M)


def bake(canvas: Canvas) -> Lit:
    """Lights the Gaussians of a canvas."""
    points, direction, normal, scales, albedo, opacity, leaf, gloss, glow = (
        np.concatenate([part[i] for part in canvas.parts]) for i in range(9)
    )
    leaf = leaf.astype(bool)
    place, light, rng = (
        canvas.place,
        canvas.place.light,
        np.random.default_rng([canvas.place.seed, 1]),
    )
    grid = canvas.grid | canvas.shade
    start = voxels(canvas, points + normal * _CLEAR_M)
    normal = np.ascontiguousarray(normal)
    sun = np.asarray(place.sun, float) / np.linalg.norm(place.sun)
    rays = sun + rng.normal(0, light.spread, (SUN_RAYS, 3))
    rays /= np.linalg.norm(rays, axis=1, keepdims=True)
    lit = (
        sun_share(grid, start, rays, 30.0 / CELL_M, 0.9)
        if max(light.sun_rgb) > 0
        else np.zeros(len(points))
    )
    facing = normal @ sun
    facing = np.where(leaf, 0.35 + 0.45 * np.abs(facing), np.maximum(facing, 0))
    shares = sky_share(
        grid, start, normal, leaf, even_directions(SKY_RAYS), light.reach_m / CELL_M, 1.3
    )
    total = (
        (lit * facing)[:, None] * np.array(light.sun_rgb)
        + shares[:, :1] * np.array(light.sky_rgb)
        + shares[:, 1:] * np.array(light.bounce_rgb)
    )
    if canvas.lamps:
        at = voxels(canvas, np.array([lamp.at for lamp in canvas.lamps]))
        rgb, reach = (
            np.array([getattr(lamp, name) for lamp in canvas.lamps]) for name in ("rgb", "reach")
        )
        total += lamp_light(grid, start, normal, leaf, at, rgb, reach / CELL_M, 1.0)
    linear = light.exposure * albedo**2.2 * (total + np.maximum(glow, 0)[:, None] * 6.0)
    base = film(linear)
    mirror = np.zeros((len(points), 3, 3))
    shiny = gloss > 0
    if shiny.any():
        sky_rgb = np.array([place.sky.zenith, place.sky.horizon]).mean(0) / 255
        # The surroundings seen along r are taken as mean + slope * (r . up); r . up = d . (up - 2
        # (n . up) n) for a ray d from the eye, so that what a flat mirror shows is linear in d, as
        # spherical harmonics of degree 1 are.
        n = normal[shiny]
        up = np.array([0.0, 0.0, 1.0]) + 0.6 * sun
        reflected = up - 2 * (n @ up)[:, None] * n
        strength = (gloss[shiny] * (0.35 + 0.65 * np.clip(shares[shiny, 0] * 1.5, 0, 1)))[:, None]
        base[shiny] = base[shiny] * (1 - 0.5 * strength) + 0.45 * strength * sky_rgb
        mirror[shiny] = 0.5 * strength[:, :, None] * reflected[:, :, None] * sky_rgb
    return Lit(points, direction, normal, scales, base, mirror, opacity.astype(float), leaf)
