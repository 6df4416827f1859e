"""The marks of a real capture: what a scan's optimisation leaves behind where few photographs, or
none, looked.

A walk of cameras through the place decides it. A Gaussian that many of them saw well stays as it
was sampled. The fewer did, the wider, longer, thinner and more misplaced it is; what none saw is
noisy, partly missing, or a needle that points at the camera. Film exposure drifts along the walk,
glossy surfaces change with the eye, floaters hang in the air, and the borders are ragged.
"""

import numpy as np
from scipy.spatial import KDTree
from scipy.spatial.transform import Rotation

from s2e.envs.geometry.scene import Splats
from s2e.envs.splats.marks import SH0, SH1, mottle
from tools.urban.light import Lit, voxels
from tools.urban.paint import Canvas
from tools.urban.rays import seen_by

CAMERA_M = 1.55
_REACH_M, _ENOUGH, _RAGGED_M = 16.0, 2.2, 9.0


def walk(canvas: Canvas, anchors: np.ndarray) -> np.ndarray:
    """(C, 3) where photographs were taken: most anchors, without those of a corner or two that the
    walk left out.
    """
    low, high = anchors.min(0), anchors.max(0)
    missed = (
        mottle(anchors[:, 0], anchors[:, 1], 0.7 / float((high - low).max()), canvas.place.seed)
        > 0.85
    )
    kept = anchors[~missed]
    z = np.array([canvas.ground_at(x, y) + CAMERA_M for x, y in kept])
    return np.column_stack([kept, z])


def capture(canvas: Canvas, lit: Lit, cameras: np.ndarray) -> Splats:
    """What a scan from these cameras would have made of the lit Gaussians.

    Args:
        canvas: what was painted; its voxels hide things from cameras.
        lit: the Gaussians.
        cameras: (C, 3) world positions of photographs, metres.

    Returns:
        Splats of SH degree 1.
    """
    rng = np.random.default_rng([canvas.place.seed, 2])
    start = voxels(canvas, lit.points + lit.normal * 0.16)
    seen = seen_by(
        canvas.grid | canvas.shade,
        start,
        lit.normal,
        lit.leaf,
        voxels(canvas, cameras),
        _REACH_M / 0.1,
        1.5,
    )
    blur = 1 / (1 + (seen / _ENOUGH) ** 1.2)  # 0: seen well from many places, 1: by nobody
    i, j = (
        np.clip(
            ((lit.points[:, k] - canvas.low[k]) / 0.1).astype(int), 0, canvas.height.shape[k] - 1
        )
        for k in range(2)
    )
    above = lit.points[:, 2] - canvas.height[i, j]
    nearest = KDTree(cameras[:, :2]).query(lit.points[:, :2])[0]
    floor = (above < 0.12) & (lit.normal[:, 2] > 0.6)
    blur = np.where(floor, np.minimum(blur, 0.55), blur)
    keep = _kept(rng, lit, blur, above, nearest, floor)
    blur, floor = blur[keep], floor[keep]
    normal, direction = _tilted(
        rng, lit.normal[keep], lit.direction[keep], lit.scales[keep], blur, floor
    )
    scales = _grown(rng, lit.scales[keep], blur, floor, lit.leaf[keep])
    off = rng.normal(0, 1, (keep.sum(), 3)) * (0.05 * blur**2 * ~floor)[
        :, None
    ] + normal * rng.normal(0, 0.006, (keep.sum(), 1))
    means = lit.points[keep] + off
    colour = _drifted(rng, canvas.place.seed, means, lit.colour[keep], blur)
    opacity = np.clip(
        lit.opacity[keep] * np.where(floor, 1.0, 1 - 0.3 * blur * rng.random(keep.sum())),
        0.02,
        0.99,
    )
    sh = np.zeros((keep.sum(), 4, 3))
    sh[:, 0] = (colour - 0.5) / SH0
    mirror = (
        lit.mirror[keep] + rng.normal(0, 0.012, (keep.sum(), 3, 3)) * (0.3 + blur)[:, None, None]
    )
    sh[:, 1], sh[:, 2], sh[:, 3] = -mirror[:, 1] / SH1, mirror[:, 2] / SH1, -mirror[:, 0] / SH1
    across = np.cross(normal, direction)
    quats = Rotation.from_matrix(np.stack([direction, across, normal], -1)).as_quat()[
        :, [3, 0, 1, 2]
    ]
    parts = [
        (means, quats, scales, opacity, sh),
        _floaters(rng, canvas, cameras, means, colour, blur),
    ]
    means, quats, scales, opacity, sh = (
        np.concatenate([p[k] for p in parts]).astype(np.float32) for k in range(5)
    )
    return Splats(means=means, quats=quats, scales=scales, opacities=opacity, sh=sh)


def _kept(rng, lit: Lit, blur, above, nearest, floor) -> np.ndarray:
    """(n,) bool: without the holes where nobody looked, and with a ragged edge far from the
    walk.
    """
    noise = mottle(
        lit.points[:, 0] + 0.7 * lit.points[:, 2],
        lit.points[:, 1] - 0.7 * lit.points[:, 2],
        0.22,
        21,
    )
    hole = (blur > 0.8) & (noise > 0.75) & (above > 1.6)
    frayed = rng.random(len(blur)) * 8.0 + 2.0 * noise < nearest - _RAGGED_M
    # nobody saw it: the optimiser put less there
    gone = (blur > 0.97) & (rng.random(len(blur)) < 0.35) & ~floor
    return ~(hole | frayed & ~(floor & (nearest < _RAGGED_M + 3)) | gone)


def _tilted(rng, normal, direction, scales, blur, floor) -> tuple[np.ndarray, np.ndarray]:
    """Axes that lean the more the less a Gaussian was seen, and turn in the plane of the surface as
    optimised ones do.
    """
    lean = np.where(floor, 0.03, 0.04 + 0.35 * blur**2)[:, None]
    n = normal + rng.normal(0, 1, normal.shape) * lean
    n /= np.linalg.norm(n, axis=1, keepdims=True)
    # thin strips keep their direction
    round_ = np.clip(1.6 * scales[:, 1:2] / scales[:, :1] - 0.3, 0.08, 1)
    angle = rng.normal(0, 0.25, (len(n), 1)) * round_
    d = direction * np.cos(angle) + np.cross(normal, direction) * np.sin(angle)
    d -= (d * n).sum(1, keepdims=True) * n
    return n, d / np.linalg.norm(d, axis=1, keepdims=True)


def _grown(rng, scales, blur, floor, leaf) -> np.ndarray:
    """Standard deviations: uneven everywhere, wider and longer where few looked, some of them
    needles.
    """
    uneven = np.exp(rng.normal(0, 0.13, (len(blur), 1))) * np.exp(
        rng.normal(0, 0.12, (len(blur), 3))
    )
    grown = scales * uneven
    grown[:, :2] *= (1 + np.where(leaf, 0.3, 0.75) * blur**1.5)[:, None]
    longer = rng.random(len(blur)) < 0.06 * blur + 0.012
    grown[:, 0] *= np.where(longer & ~floor, 1 + 2.2 * rng.random(len(blur)), 1.0)
    needle = longer & (blur > 0.7) & ~floor
    grown[:, 1] *= np.where(needle, 0.35, 1.0)
    grown[:, 2] += np.where(floor, 0.002, 0.03 * blur**2 * rng.random(len(blur)))
    return np.maximum(grown, 0.003)


def _drifted(rng, seed: int, means, colour, blur) -> np.ndarray:
    """Colours under an exposure and white balance that drift along the walk, noisy where few
    looked.
    """
    x, y = means[:, 0], means[:, 1]
    exposure = 1 + 0.05 * mottle(x, y, 0.05, seed + 100) + 0.025 * mottle(x, y, 0.25, seed + 101)
    warm = 0.02 * mottle(x, y, 0.06, seed + 102)
    drift = np.stack([exposure * (1 + warm), exposure, exposure * (1 - warm)], 1)
    noise = (
        rng.normal(0, 0.012, colour.shape)
        + rng.normal(0, 0.075, (len(means), 1)) * (blur**2)[:, None]
    )
    grey = colour.mean(1, keepdims=True)
    washed = colour + (grey - colour) * (0.3 * blur**2)[:, None]
    return np.clip(washed * drift + noise, 0, 1)


def _floaters(rng, canvas: Canvas, cameras, means, colour, blur) -> tuple[np.ndarray, ...]:
    """Faint stretched blobs: in the air before what was badly seen, in its colours, and near the
    sky.
    """
    count = max(len(means) // 700, 80)
    chosen = rng.choice(len(means), count, p=(0.02 + blur**2) / (0.02 + blur**2).sum())
    eye = cameras[rng.integers(0, len(cameras), count)]
    share = rng.uniform(0.45, 0.9, (count, 1))
    where = eye + (means[chosen] - eye) * share
    where[:, 2] = np.maximum(
        where[:, 2],
        1.9 + 2.0 * rng.random(count) + np.array([canvas.ground_at(*p) for p in where[:, :2]]),
    )
    where += rng.normal(0, 0.25, (count, 3))
    away = means[chosen] - eye + rng.normal(0, 1.0, (count, 3))
    away /= np.linalg.norm(away, axis=1, keepdims=True)
    quats = np.empty((count, 4))
    for k in range(count):
        quats[k] = Rotation.align_vectors(away[k : k + 1], [[1.0, 0, 0]])[0].as_quat()
    size = rng.uniform(0.03, 0.16, (count, 1)) * np.column_stack(
        [rng.uniform(1.0, 4.0, count), np.ones(count), rng.uniform(0.4, 1.0, count)]
    )
    sky = np.array(canvas.place.sky.horizon) / 255
    tint = np.where(rng.random((count, 1)) < 0.4, sky, colour[chosen])
    sh = np.zeros((count, 4, 3))
    sh[:, 0] = (np.clip(tint + rng.normal(0, 0.05, (count, 3)), 0, 1) - 0.5) / SH0
    sh[:, 1:] = rng.normal(0, 0.06, (count, 3, 3))
    return where, quats[:, [3, 0, 1, 2]], size, rng.uniform(0.04, 0.2, count), sh
