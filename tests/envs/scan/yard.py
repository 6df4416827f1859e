"""A capture to import: a walled yard with boxes, a terrace, floaters and a sky dome, sampled from
its surfaces."""

import numpy as np
from scipy.spatial.transform import Rotation

from s2e.envs.geometry.scene import Splats
from s2e.envs.splats.transform import Placement, place

WIDTH_M, DEPTH_M = 14.0, 12.0
BOXES = ((3.0, 3.0, 4.0, 4.2, 0.9), (8.5, 7.0, 9.5, 8.0, 1.4), (10.6, 2.2, 11.2, 2.8, 0.6))
"""x0, y0, x1, y1, height in metres."""
TERRACE = (0.0, 9.5, 5.0, 12.0, 0.12)
SPACING_M = 0.1


def sheet(rng, corner, first, second, colour, spacing=SPACING_M):
    """Flat discs over a parallelogram; returns means, quats, scales, opacities, sh."""
    corner, first, second = (np.asarray(v, dtype=np.float64) for v in (corner, first, second))
    n, m = (max(int(np.ceil(np.linalg.norm(v) / spacing)), 1) for v in (first, second))
    u, v = np.meshgrid((np.arange(n) + 0.5) / n, (np.arange(m) + 0.5) / m, indexing="ij")
    means = corner + u.reshape(-1, 1) * first + v.reshape(-1, 1) * second
    means = means + rng.normal(0, 0.008, means.shape)
    x = first / np.linalg.norm(first)
    z = np.cross(x, second) / np.linalg.norm(np.cross(x, second))
    q = Rotation.from_matrix(np.stack([x, np.cross(z, x), z], 1)).as_quat()[[3, 0, 1, 2]]
    count = len(means)
    scales = np.tile([0.6 * spacing, 0.6 * spacing, 0.008], (count, 1)) * rng.uniform(
        0.8, 1.2, (count, 1)
    )
    tint = np.asarray(colour) + rng.normal(0, 0.06, (count, 3))
    return (
        means,
        np.tile(q, (count, 1)),
        scales,
        rng.uniform(0.75, 0.99, count),
        ((tint - 0.5) / 0.2820948)[:, None],
    )


def box(rng, x0, y0, x1, y1, height, colour):
    """The five sides of a box that can be seen."""
    z0, z1 = 0.0, height
    w, d, h = x1 - x0, y1 - y0, z1 - z0
    sides = [
        ((x0, y0, z0), (w, 0, 0), (0, 0, h)),
        ((x0, y1, z0), (w, 0, 0), (0, 0, h)),
        ((x0, y0, z0), (0, d, 0), (0, 0, h)),
        ((x1, y0, z0), (0, d, 0), (0, 0, h)),
        ((x0, y0, z1), (w, 0, 0), (0, d, 0)),
    ]
    return [sheet(rng, side[0], side[1], side[2], colour) for side in sides]


def blobs(rng, means, scale, opacity):
    """Round Gaussians."""
    count = len(means)
    return (
        np.asarray(means, dtype=np.float64),
        np.tile([1.0, 0, 0, 0], (count, 1)),
        np.full((count, 3), scale),
        np.full(count, opacity),
        rng.normal(0, 1, (count, 1, 3)),
    )


def yard(seed=0, width=WIDTH_M, depth=DEPTH_M, boxes=BOXES, junk=True):
    """The yard in metres, z up, its floor at 0 and its corner at the origin."""
    rng = np.random.default_rng(seed)
    parts = [sheet(rng, (0, 0, 0), (width, 0, 0), (0, depth, 0), (0.45, 0.44, 0.42))]
    for a, b in (
        ((0, 0), (width, 0)),
        ((width, 0), (0, depth)),
        ((width, depth), (-width, 0)),
        ((0, depth), (0, -depth)),
    ):
        parts.append(sheet(rng, (*a, 0), (*b, 0), (0, 0, 2.2), (0.65, 0.45, 0.35)))
    for x0, y0, x1, y1, h in boxes:
        parts += box(rng, x0, y0, x1, y1, h, (0.25, 0.4, 0.6))
    if boxes:
        x0, y0, x1, y1, h = TERRACE
        parts += box(rng, x0, y0, x1, y1, h, (0.6, 0.6, 0.55))
    if junk:
        parts.append(
            blobs(rng, rng.uniform((1, 1, 1.5), (width - 1, depth - 1, 4), (60, 3)), 0.3, 0.08)
        )
        parts.append(blobs(rng, rng.normal((width / 2, depth / 2, 8.0), 0.1, (12, 3)), 0.05, 0.8))
        sky = rng.normal(size=(60, 3))
        sky[:, 2] = np.abs(sky[:, 2])
        parts.append(
            blobs(
                rng,
                sky / np.linalg.norm(sky, axis=1, keepdims=True) * 60 + (width / 2, depth / 2, 0),
                12.0,
                0.9,
            )
        )
    means, quats, scales, opacities, sh = (
        np.concatenate(a).astype(np.float32) for a in zip(*parts)
    )
    return Splats(means=means, quats=quats, scales=scales, opacities=opacities, sh=sh)


def disturbed(splats, seed, metres_per_unit):
    """The same place as a capture has it: turned and shifted anyhow, in units of its own. Also
    returns its up direction."""
    rotation = Rotation.from_quat(np.random.default_rng([seed, 1]).normal(size=4)).as_matrix()
    shift = np.random.default_rng(seed).normal(size=3) * 3
    return place(splats, Placement(1.0 / metres_per_unit, rotation, shift)), rotation @ np.array(
        [0.0, 0.0, 1.0]
    )


def yard_scene(folder, name="yard", count=3, **more):
    """Writes the undisturbed yard as a scene folder, mapped as the importer maps it; returns it
    loaded."""
    from s2e.envs.geometry.meshes import empty_mesh
    from s2e.envs.geometry.scene import Scene
    from s2e.envs.scan.ground.columns import columns
    from s2e.envs.scan.places import keep_region, to_ground
    from s2e.envs.scenes.files import load_scene, write_scene
    from s2e.envs.scenes.propose import free_anchors, make_episodes

    splats = yard(junk=False)
    occupancy, ground = to_ground(columns(splats))
    occupancy = keep_region(occupancy, ground)
    anchors = free_anchors(occupancy, ground)
    scene = Scene(name, occupancy, empty_mesh(), anchors, splats, ground)
    episodes = make_episodes(scene, 0, count=count)
    write_scene(folder, scene, more=more, episodes=episodes)
    return load_scene(folder)
