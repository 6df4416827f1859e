"""Splats in the order and form the CPU kernels want; made once per scene."""

from dataclasses import dataclass

import numpy as np

from s2e.envs.scene import Splats

GEOMETRY = 10
"""Rows of eight float32 in a packed block: mean (3), covariance (xx, xy, xz, yy, yz, zz), log2 of the opacity."""

BLOCKS = 8
"""Blocks of eight Gaussians in a cluster."""

GROUP = 32
"""Clusters in a group."""

_BITS = 20  # per axis of a place on the Morton curve


@dataclass(frozen=True)
class PreparedSplats:
    """Splats in blocks of eight, 64 neighbours on a Morton curve to a cluster, 32 clusters to a group.

    Attributes:
        packed: (B * 10 * 8,) float32: B blocks of ten rows of eight, see `GEOMETRY`; metres. What fills up the last one is invisible.
        sh: (B * K * 3 * 8,) float32, harmonics by block, coefficient and channel.
        terms: K: 1, 4, 9 or 16.
        clusters: (C, 7) float32, centre and half size of a box around the centres of a cluster's Gaussians, and the longest
            reach (where alpha falls to 1/255) of one of them, metres.
        groups: the same for groups of clusters.
        count: Gaussians kept.
    """

    packed: np.ndarray
    sh: np.ndarray
    terms: int
    clusters: np.ndarray
    groups: np.ndarray
    count: int


def covariances(quats: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """(G, 3, 3) float64 covariances R S S^T R^T from unit quaternions (w, x, y, z) and standard deviations."""
    w, x, y, z = np.asarray(quats, dtype=np.float64).T
    rotation = np.stack(
        [
            np.stack([1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)], -1),
            np.stack([2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)], -1),
            np.stack([2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)], -1),
        ],
        -2,
    )
    half = rotation * np.asarray(scales, dtype=np.float64)[:, None, :]
    return half @ half.transpose(0, 2, 1)


def _spread(values: np.ndarray) -> np.ndarray:
    """Puts two zero bits between the lower 20 bits of uint64 numbers."""
    for shift, mask in (
        (32, 0x1F00000000FFFF), (16, 0x1F0000FF0000FF), (8, 0x100F00F00F00F00F), (4, 0x10C30C30C30C30C3), (2, 0x1249249249249249),
    ):  # fmt: skip
        values = (values | (values << np.uint64(shift))) & np.uint64(mask)
    return values


def _order(means: np.ndarray, reach: np.ndarray) -> np.ndarray:
    """Along a Morton curve, with Gaussians that reach farther than most in clusters of their own."""
    low = means.min(axis=0)
    cells = (means - low) * ((2**_BITS - 1) / max(float((means.max(axis=0) - low).max()), 1e-9))
    x, y, z = (_spread(column.astype(np.uint64)) for column in cells.T)
    place = x | (y << np.uint64(1)) | (z << np.uint64(2))
    size = np.ceil(np.log2(np.maximum(reach / (4 * np.median(reach)), 1e-9)) / 2).clip(0, 7).astype(np.uint64)
    return np.argsort(place | (size << np.uint64(3 * _BITS)), kind="stable")


def _boxes(means: np.ndarray, reach: np.ndarray, each: int) -> np.ndarray:
    """(C, 7) float32 boxes around runs of `each` Gaussians, see `PreparedSplats`; rounded up."""
    starts = np.arange(0, len(means), each)
    low, high = np.minimum.reduceat(means, starts), np.maximum.reduceat(means, starts)
    centres = ((low + high) / 2).astype(np.float32)
    halves = np.maximum(high - centres, centres - low)
    longest = np.maximum.reduceat(reach, starts)[:, None]
    return np.concatenate([centres, np.concatenate([halves, longest], 1) * 1.0001 + 1e-4], 1).astype(np.float32)


def prepare(splats: Splats) -> PreparedSplats:
    """Does once per scene what does not depend on the camera; Gaussians under opacity 1/255 are left out."""
    terms = splats.sh.shape[1]
    kept = np.flatnonzero(splats.opacities > 1 / 255)
    if not len(kept):
        none = np.zeros(0, np.float32)
        return PreparedSplats(none, none, terms, np.zeros((0, 7), np.float32), np.zeros((0, 7), np.float32), 0)
    strength = np.log2(splats.opacities[kept].astype(np.float64))
    reach = splats.scales[kept].max(axis=1) * np.sqrt(2 * np.log(2) * (strength + np.log2(255)))
    order = _order(splats.means[kept].astype(np.float64), reach)
    kept, strength, reach = kept[order], strength[order], reach[order]
    means = splats.means[kept].astype(np.float64)
    blocks = -(-len(kept) // 8)
    packed, sh = np.zeros((blocks, GEOMETRY, 8), np.float32), np.zeros((blocks, terms, 3, 8), np.float32)
    rows, columns = np.triu_indices(3)
    for begin in range(0, blocks, 1 << 15):  # in parts, for memory's sake
        some = slice(8 * begin, 8 * (begin + (1 << 15)))
        chosen = kept[some]
        table = np.zeros((-(-len(chosen) // 8) * 8, GEOMETRY), np.float32)
        table[:, 9] = -1e3  # what fills up is invisible, at the place of the last
        table[: len(chosen), :3] = means[some]
        table[len(chosen) :, :3] = means[some][-1]
        table[: len(chosen), 3:9] = covariances(splats.quats[chosen], splats.scales[chosen])[:, rows, columns]
        table[: len(chosen), 9] = strength[some]
        packed[begin : begin + len(table) // 8] = table.reshape(-1, 8, GEOMETRY).transpose(0, 2, 1)
        colours = np.zeros((len(table), terms, 3), np.float32)
        colours[: len(chosen)] = splats.sh[chosen]
        sh[begin : begin + len(table) // 8] = colours.reshape(-1, 8, terms, 3).transpose(0, 2, 3, 1)
    return PreparedSplats(
        packed.ravel(), sh.ravel(), terms, _boxes(means, reach, 8 * BLOCKS), _boxes(means, reach, 8 * BLOCKS * GROUP), len(kept)
    )
