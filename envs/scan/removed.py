"""What cleaning took away: counts and histograms for the preview, and the colours of a sky that was
a dome of Gaussians.
"""

import dataclasses
from typing import Any

import numpy as np

from s2e.envs.geometry.scene import Sky, Splats
from s2e.envs.scan.ground.clean import REASONS
from s2e.envs.splats.marks import SH0
from s2e.envs.splats.transform import Placement

HEIGHT_EDGES_M = np.array(
    [-5.0, -2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 20.0, 50.0]
)
SIZE_EDGES_M = np.array([0.003, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 50.0])
"""Largest standard deviation of a Gaussian, metres. Both: what lies beyond the ends counts with the
last."""


def removed_report(splats: Splats, reasons: np.ndarray, placement: Placement) -> dict[str, Any]:
    """Counts by reason, and histograms of height above the floor and of size for each, as JSON.

    Args:
        splats: the whole capture, in its own units.
        reasons: (G,) indices into `REASONS`.
        placement: of the capture in the scene.
    """
    up = placement.rotation[2].astype(np.float32)
    height = np.float32(placement.scale) * (splats.means @ up) + np.float32(
        placement.translation[2]
    )
    size = splats.scales.max(1) * np.float32(placement.scale)
    report: dict[str, Any] = {
        "counts": {name: int((reasons == i).sum()) for i, name in enumerate(REASONS)},
        "height_edges_m": HEIGHT_EDGES_M.tolist(),
        "size_edges_m": SIZE_EDGES_M.tolist(),
        "height": {},
        "size": {},
    }
    for i, name in enumerate(REASONS):
        which = reasons == i
        for key, values, edges in (
            ("height", height, HEIGHT_EDGES_M),
            ("size", size, SIZE_EDGES_M),
        ):
            clipped = np.clip(np.nan_to_num(values[which]), edges[0], edges[-1])
            report[key][name] = np.histogram(clipped, edges)[0].tolist()
    return report


def sky_of(splats: Splats, reasons: np.ndarray, placement: Placement) -> Sky:
    """The sky in the colours of what was removed high up and far out; without such, the usual one.

    Where the sun stood is not known: it is put overhead, where shadows lie under what casts them.

    Args:
        splats: the whole capture, in its own units.
        reasons: (G,) indices into `REASONS`.
        placement: of the capture in the scene.
    """
    far = np.isin(reasons, [REASONS.index("oversized"), REASONS.index("distant")]) & (
        splats.opacities > 0.3
    )
    usual = Sky(fog_m=400.0, sun=(0.0, 0.0, 1.0))
    if far.sum() < 20:
        return usual
    direction = placement.points(splats.means[far])
    elevation = np.degrees(np.arctan2(direction[:, 2], np.linalg.norm(direction[:, :2], axis=1)))
    colour = np.clip(0.5 + SH0 * splats.sh[far, 0].astype(np.float64), 0.0, 1.0) * 255.0
    tones = []
    for least, most, fallback in ((45.0, 90.0, usual.zenith), (0.0, 25.0, usual.horizon)):
        band = (elevation >= least) & (elevation <= most)
        tone = np.median(colour[band], axis=0) if band.sum() >= 5 else np.array(fallback)
        tones.append(tuple(round(float(v), 1) for v in tone))
    return dataclasses.replace(usual, zenith=tones[0], horizon=tones[1])
