"""Splats in the order and form the CPU kernels want; made once per scene."""

from dataclasses import dataclass

import numpy as np

from s2e.envs.geometry.scene import Splats
from s2e.envs.splats.transform import rotations

GEOMETRY = 10
"""Rows of eight float32 in a packed block: mean (3), covariance (xx, xy, xz, yy, yz, zz), log2 of
the opacity."""

BLOCKS = 8
"""Blocks of eight Gaussians in a cluster."""

GROUP = 32
"""Clusters in a group."""

_BITS = 20  # per axis of a place on the Morton curve
_LONGER = 4.0  # merged Gaussians reach at most so many times as far as the longest of a cluster


@dataclass(frozen=True)
class PreparedSplats:
    """Splats in blocks of eight, 64 neighbours on a Morton curve to a cluster, 32 clusters to a
    group.

    Attributes:
        packed: (B * 10 * 8,) float32: B blocks of ten rows of eight, see `GEOMETRY`; metres. What
            fills up the last one is invisible. With `coarse`, blocks up to a whole cluster, then
            four of pairs for each cluster, then two of pairs of these.
        sh: (B * K * 3 * 8,) float32, harmonics by block, coefficient and channel.
        terms: K: 1, 4, 9 or 16.
        clusters: (C, 7) float32, centre and half size of a box around the centres of a cluster's
            Gaussians, and the longest reach (where alpha falls to 1/255) of one of them, metres.
            With `coarse`, (C, 9): also how large its pairs and pairs of pairs are, root mean square
            of the root of a covariance's trace, metres.
        groups: (G, 7), the same for groups of clusters.
        count: Gaussians kept.
        coarse: whether there are also Gaussians that stand for two and four neighbours.
    """

    packed: np.ndarray
    sh: np.ndarray
    terms: int
    clusters: np.ndarray
    groups: np.ndarray
    count: int
    coarse: bool = False


def covariances(quats: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """(G, 3, 3) float64 covariances R S S^T R^T from unit quaternions (w, x, y, z) and standard
    deviations.
    """
    half = (
        rotations(np.asarray(quats, dtype=np.float64))
        * np.asarray(scales, dtype=np.float64)[:, None, :]
    )
    return half @ half.transpose(0, 2, 1)


def _spread(values: np.ndarray) -> np.ndarray:
    """Puts two zero bits between the lower 20 bits of uint64 numbers."""
    for shift, mask in (
        (32, 0x1F00000000FFFF),
        (16, 0x1F0000FF0000FF),
        (8, 0x100F00F00F00F00F),
        (4, 0x10C30C30C30C30C3),
        (2, 0x1249249249249249),
    ):
        values = (values | (values << np.uint64(shift))) & np.uint64(mask)
    return values


def _order(means: np.ndarray, reach: np.ndarray) -> np.ndarray:
    """Along a Morton curve, with Gaussians that reach farther than most in clusters of their
    own.
    """
    low = means.min(axis=0)
    cells = (means - low) * ((2**_BITS - 1) / max(float((means.max(axis=0) - low).max()), 1e-9))
    x, y, z = (_spread(column.astype(np.uint64)) for column in cells.T)
    place = x | (y << np.uint64(1)) | (z << np.uint64(2))
    size = (
        np.ceil(np.log2(np.maximum(reach / (4 * np.median(reach)), 1e-9)) / 2)
        .clip(0, 7)
        .astype(np.uint64)
    )
    return np.argsort(place | (size << np.uint64(3 * _BITS)), kind="stable")


def _boxes(means: np.ndarray, reach: np.ndarray, each: int) -> np.ndarray:
    """(C, 7) float32 boxes around runs of `each` Gaussians, see `PreparedSplats`; rounded up."""
    starts = np.arange(0, len(means), each)
    low, high = np.minimum.reduceat(means, starts), np.maximum.reduceat(means, starts)
    centres = ((low + high) / 2).astype(np.float32)
    halves = np.maximum(high - centres, centres - low)
    longest = np.maximum.reduceat(reach, starts)[:, None]
    return np.concatenate(
        [centres, np.concatenate([halves, longest], 1) * 1.0001 + 1e-4], 1
    ).astype(np.float32)


def _area2(covariance: np.ndarray) -> np.ndarray:
    """(N,) mean over all directions of the determinant of a projected covariance (N, 6), times
    three: the trace of the adjugate.
    """
    xx, xy, xz, yy, yz, zz = covariance.T
    return np.maximum(xx * yy - xy * xy + xx * zz - xz * xz + yy * zz - yz * yz, 1e-30)


def merged(table: np.ndarray, colours: np.ndarray, sharp: bool) -> tuple[np.ndarray, np.ndarray]:
    """One Gaussian for every two neighbours in rows (2N, 10), see `GEOMETRY`, with the mean and
    covariance of their mixture.

    A Gaussian's weight in the mixture is what it shows of itself, in front of the other half of the
    time, so that of two opaque ones half remains of each. The opacity is that of both, one behind
    the other: they are to be merged where they are small before the blur, which makes all that are
    opaque of a size. With `sharp`, for the antialiased mode that has no such blur, opacities are
    lowered first by how much more area is covered.

    Args:
        table: (2N, 10) float64.
        colours: (2N, K, 3) harmonics.
        sharp: whether opacity times area is to be kept.

    Returns:
        (N, 10) and (N, K, 3).
    """
    one, other = table[0::2], table[1::2]
    a, b = np.exp2(one[:, 9]), np.exp2(other[:, 9])
    weight, weight_b = a * (1 - b / 2), b * (1 - a / 2)
    total = weight + weight_b
    weight = np.where(total > 0, weight / np.where(total > 0, total, 1), 0.5)[:, None]
    out = weight * one + (1 - weight) * other
    apart = one[:, :3] - other[:, :3]
    rows, columns = np.triu_indices(3)
    out[:, 3:9] += weight * (1 - weight) * apart[:, rows] * apart[:, columns]
    if sharp:
        area2 = _area2(out[:, 3:9])
        a = np.minimum(a * np.sqrt(_area2(one[:, 3:9]) / area2), 1)
        b = np.minimum(b * np.sqrt(_area2(other[:, 3:9]) / area2), 1)
    out[:, 9] = np.log2(np.maximum(a + b - a * b, 2.0**-1000))
    weight = weight[:, :, None].astype(np.float32)
    return out, weight * colours[0::2] + (1 - weight) * colours[1::2]


def _sizes(table: np.ndarray, each: int) -> tuple[np.ndarray, np.ndarray]:
    """For runs of `each` merged Gaussians the root mean square of a covariance's root of the trace,
    and a bound of their reach.
    """
    xx, xy, xz, yy, yz, zz = np.abs(table[:, 3:9].T)
    trace = xx + yy + zz
    # Gershgorin's circles
    widest = np.minimum(trace, np.maximum(np.maximum(xx + xy + xz, xy + yy + yz), xz + yz + zz))
    reach = np.sqrt(widest * np.maximum(2 * np.log(2) * (table[:, 9] + np.log2(255)), 0))
    shown = (table[:, 9] > -500).reshape(-1, each)  # not what fills up
    return np.sqrt(
        (trace.reshape(-1, each) * shown).sum(1) / np.maximum(shown.sum(1), 1)
    ), reach.reshape(-1, each).max(1)


def _store(
    packed: np.ndarray, sh: np.ndarray, at: int, table: np.ndarray, colours: np.ndarray
) -> None:
    """Puts Gaussians into blocks from block `at` on."""
    end = at + len(table) // 8
    packed[at:end] = table.reshape(-1, 8, GEOMETRY).transpose(0, 2, 1)
    sh[at:end] = colours.reshape(-1, 8, colours.shape[1], 3).transpose(0, 2, 3, 1)


def prepare(splats: Splats, coarse: bool = False) -> PreparedSplats:
    """Does once per scene what does not depend on the camera; Gaussians under opacity 1/255 are
    left out.

    Args:
        splats: the scene.
        coarse: also merge neighbours, for `detail_px` of `render_splats`; takes 1.75 times the
            memory.
    """
    terms = splats.sh.shape[1]
    kept = np.flatnonzero(splats.opacities > 1 / 255)
    if not len(kept):
        none = np.zeros(0, np.float32)
        return PreparedSplats(
            none, none, terms, np.zeros((0, 9), np.float32), np.zeros((0, 7), np.float32), 0, coarse
        )
    strength = np.log2(splats.opacities[kept].astype(np.float64))
    reach = splats.scales[kept].max(axis=1) * np.sqrt(2 * np.log(2) * (strength + np.log2(255)))
    order = _order(splats.means[kept].astype(np.float64), reach)
    kept, strength, reach = kept[order], strength[order], reach[order]
    means = splats.means[kept].astype(np.float64)
    each = 8 * BLOCKS
    clusters, groups = _boxes(means, reach, each), _boxes(means, reach, each * GROUP)
    exact = BLOCKS * len(clusters) if coarse else -(-len(kept) // 8)
    blocks = exact * 7 // 4 if coarse else exact
    packed = np.zeros((blocks, GEOMETRY, 8), np.float32)
    sh = np.zeros((blocks, terms, 3, 8), np.float32)
    sizes, reaches = np.zeros((2, 2, len(clusters)))
    rows, columns = np.triu_indices(3)
    for begin in range(0, exact, 1 << 15):  # in parts, for memory's sake
        some = slice(8 * begin, 8 * (begin + (1 << 15)))
        chosen = kept[some]
        table = np.zeros((8 * min(1 << 15, exact - begin), GEOMETRY))
        table[:, 9] = -1e3  # what fills up is invisible, at the place of the last
        table[: len(chosen), :3] = means[some]
        table[len(chosen) :, :3] = means[some][-1]
        table[: len(chosen), 3:9] = covariances(splats.quats[chosen], splats.scales[chosen])[
            :, rows, columns
        ]
        table[: len(chosen), 9] = strength[some]
        colours = np.zeros((len(table), terms, 3), np.float32)
        colours[: len(chosen)] = splats.sh[chosen]
        _store(packed, sh, begin, table, colours)
        for level, first in ((1, exact), (2, exact * 3 // 2)) if coarse else ():
            table, colours = merged(table, colours, splats.antialiased)
            _store(packed, sh, first + (begin >> level), table, colours)
            of = slice(begin // BLOCKS, begin // BLOCKS + len(table) // (each >> level))
            sizes[level - 1, of], reaches[level - 1, of] = _sizes(table, each >> level)
    if coarse:
        # Where the curve jumps, neighbours are far apart: such clusters stay as they are, lest they
        # be seen from everywhere.
        far = reaches > _LONGER * clusters[:, 6]
        sizes[far], reaches[far] = np.inf, 0
        clusters[:, 6] = np.maximum(clusters[:, 6], reaches.max(axis=0) * 1.0001 + 1e-4)
        groups[:, 6] = np.maximum.reduceat(clusters[:, 6], np.arange(0, len(clusters), GROUP))
        clusters = np.concatenate([clusters, sizes.T], 1).astype(np.float32)
    return PreparedSplats(packed.ravel(), sh.ravel(), terms, clusters, groups, len(kept), coarse)
