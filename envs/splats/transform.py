"""Moves a capture into the scene's frame: a similarity applied to means, shapes and view-dependent
colours.
"""

from dataclasses import dataclass

import numpy as np

from s2e.core.errors import UserError
from s2e.envs.geometry.scene import Splats
from s2e.envs.splats.marks import SH0

_CHUNK = 1 << 18
"""Gaussians whose colours are rotated at once: bounds the memory beside input and output."""


@dataclass(frozen=True)
class Placement:
    """Where a capture lies in its scene: a point p of the file is at
    `scale * rotation @ p + translation`.

    Attributes:
        scale: metres per unit of the file, above 0.
        rotation: (3, 3) proper rotation.
        translation: (3,) metres.
    """

    scale: float
    rotation: np.ndarray
    translation: np.ndarray

    def __post_init__(self):
        rotation = np.asarray(self.rotation, dtype=np.float64)
        translation = np.asarray(self.translation, dtype=np.float64)
        if not (np.isfinite(self.scale) and self.scale > 0.0):
            raise UserError(
                f"scale is {self.scale} metres per unit: give a finite number above 0 "
                "(--metres-per-unit)"
            )
        if rotation.shape != (3, 3) or not np.isfinite(rotation).all():
            raise UserError(
                f"rotation must be a finite 3 x 3 matrix, not of shape {rotation.shape}"
            )
        if np.abs(rotation @ rotation.T - np.eye(3)).max() > 1e-4 or np.linalg.det(rotation) < 0.0:
            raise UserError(
                "rotation is not a proper rotation (orthonormal, determinant 1): give its rows as "
                "unit axes"
            )
        if translation.shape != (3,) or not np.isfinite(translation).all():
            raise UserError("translation must be three finite metres")

    def points(self, xyz: np.ndarray) -> np.ndarray:
        """(..., 3) points of the file to float64 points of the scene, metres."""
        return (
            self.scale * (np.asarray(xyz, dtype=np.float64) @ np.asarray(self.rotation).T)
            + self.translation
        )


def upright(normal: np.ndarray) -> np.ndarray:
    """(3, 3) the smallest rotation that turns the unit vector `normal` into z up (half a turn about
    x from straight down).
    """
    x, y, z = np.asarray(normal, dtype=np.float64) / np.linalg.norm(normal)
    if z < -1.0 + 1e-12:
        return np.diag([1.0, -1.0, -1.0])
    # Rodrigues about normal x z_axis = (y, -x, 0): R = I + K + K^2 / (1 + cos).
    k = np.array([[0.0, 0.0, -x], [0.0, 0.0, -y], [x, y, 0.0]])
    rotation = np.eye(3) + k + k @ k / (1.0 + z)
    u, _, vt = np.linalg.svd(rotation)
    return u @ vt


def basis(directions: np.ndarray, degree: int) -> np.ndarray:
    """Real spherical harmonics in 3DGS's convention (signs and order as in
    `s2e.envs.splats.raster`).

    Args:
        directions: (N, 3) unit.
        degree: 0 to 3.

    Returns:
        (N, (degree + 1)^2) float64.
    """
    x, y, z = np.asarray(directions, dtype=np.float64).T
    xx, yy, zz = x * x, y * y, z * z
    one = np.ones_like(x)
    columns = [SH0 * one]
    if degree > 0:
        columns += [-0.4886025119029199 * y, 0.4886025119029199 * z, -0.4886025119029199 * x]
    if degree > 1:
        columns += [
            1.0925484305920792 * x * y,
            -1.0925484305920792 * y * z,
            0.31539156525252005 * (2.0 * zz - xx - yy),
            -1.0925484305920792 * x * z,
            0.5462742152960396 * (xx - yy),
        ]
    if degree > 2:
        columns += [
            -0.5900435899266435 * y * (3.0 * xx - yy),
            2.890611442640554 * x * y * z,
            -0.4570457994644658 * y * (4.0 * zz - xx - yy),
            0.3731763325901154 * z * (2.0 * zz - 3.0 * xx - 3.0 * yy),
            -0.4570457994644658 * x * (4.0 * zz - xx - yy),
            1.445305721320277 * z * (xx - yy),
            -0.5900435899266435 * x * (xx - 3.0 * yy),
        ]
    return np.stack(columns, 1)


def _directions(count: int = 64) -> np.ndarray:
    """(count, 3) unit directions spread evenly (Fibonacci's spiral)."""
    k = np.arange(count) + 0.5
    z = 1.0 - 2.0 * k / count
    turn = np.pi * (1.0 + np.sqrt(5.0)) * k
    flat = np.sqrt(1.0 - z * z)
    return np.stack([flat * np.cos(turn), flat * np.sin(turn), z], 1)


def sh_rotation(rotation: np.ndarray, degree: int) -> np.ndarray:
    """(K, K) float64 matrix that rotates coefficients: new = matrix @ old, K = (degree + 1)^2.

    A band of harmonics is closed under rotations, so the matrix that maps its values in rotated
    directions follows from more directions than coefficients without error (least squares with
    residual 0; Ivanic and Ruedenberg 1996 have the recurrence).
    """
    directions = _directions()
    matrix = np.zeros(((degree + 1) ** 2,) * 2)
    new = basis(directions, degree)
    # R^T d: what the old frame calls d
    old = basis(directions @ np.asarray(rotation, dtype=np.float64), degree)
    for band in range(degree + 1):
        part = slice(band * band, (band + 1) ** 2)
        matrix[part, part] = np.linalg.lstsq(new[:, part], old[:, part], rcond=None)[0]
    return matrix


def rotate_sh(sh: np.ndarray, rotation: np.ndarray) -> np.ndarray:
    """Colours of Gaussians that turn with their scene.

    Args:
        sh: (G, K, 3) coefficients, K = 1, 4, 9 or 16.
        rotation: (3, 3) proper rotation from the old frame to the new.

    Returns:
        (G, K, 3) float32: the colour of `sh` in direction d is that of the result in direction
            `rotation @ d`.
    """
    sh = np.asarray(sh)
    count = sh.shape[1]
    degree = {1: 0, 4: 1, 9: 2, 16: 3}.get(count)
    if degree is None:
        raise UserError(
            f"spherical harmonics have {count} coefficients a channel: 1, 4, 9 or 16 make degree 0 "
            "to 3"
        )
    if degree == 0:
        return sh.astype(np.float32)
    matrix = sh_rotation(rotation, degree).astype(np.float32)
    out = np.empty(sh.shape, dtype=np.float32)
    for first in range(0, len(sh), _CHUNK):
        part = sh[first : first + _CHUNK].astype(np.float32, copy=False)
        out[first : first + _CHUNK] = np.matmul(matrix, part)
    return out


def quaternion(rotation: np.ndarray) -> np.ndarray:
    """(4,) unit quaternion (w, x, y, z), w >= 0, of a rotation matrix."""
    m = np.asarray(rotation, dtype=np.float64)
    # The largest of the four squares is taken as pivot (Shepperd 1978), so nothing is divided by a
    # small number.
    squares = np.array([1.0 + m.trace(), *(1.0 + 2.0 * m[i, i] - m.trace() for i in range(3))])
    pivot = int(np.argmax(squares))
    skew = np.array([m[2, 1] - m[1, 2], m[0, 2] - m[2, 0], m[1, 0] - m[0, 1]])
    if pivot == 0:
        q = np.array([squares[0], *skew])
    else:
        i = pivot - 1
        q = np.array([skew[i], *(m[i, j] + m[j, i] for j in range(3))])
        q[pivot] = squares[pivot]
    q /= np.linalg.norm(q)
    return -q if q[0] < 0.0 else q


def multiply(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Quaternions (..., 4) of the rotations b, then a."""
    aw, ax, ay, az = np.moveaxis(np.asarray(a), -1, 0)
    bw, bx, by, bz = np.moveaxis(np.asarray(b), -1, 0)
    return np.stack(
        [
            aw * bw - ax * bx - ay * by - az * bz,
            aw * bx + ax * bw + ay * bz - az * by,
            aw * by - ax * bz + ay * bw + az * bx,
            aw * bz + ax * by - ay * bx + az * bw,
        ],
        -1,
    )


def place(splats: Splats, placement: Placement) -> Splats:
    """A capture in its scene's frame: metres, z up, floor at 0 where the placement says so.

    Args:
        splats: in the file's units and axes.
        placement: the similarity.

    Returns:
        New arrays; colours turn with the scene. Opacities do not change.
    """
    q = quaternion(placement.rotation).astype(np.float32)
    quats = multiply(q, splats.quats)
    quats /= np.linalg.norm(quats, axis=1, keepdims=True)
    return Splats(
        means=placement.points(splats.means).astype(np.float32),
        quats=quats.astype(np.float32),
        scales=(splats.scales * np.float32(placement.scale)).astype(np.float32),
        opacities=splats.opacities,
        sh=rotate_sh(splats.sh, placement.rotation),
        antialiased=splats.antialiased,
    )


def select(splats: Splats, which: np.ndarray) -> Splats:
    """The Gaussians of a mask or an index array."""
    return Splats(
        means=splats.means[which],
        quats=splats.quats[which],
        scales=splats.scales[which],
        opacities=splats.opacities[which],
        sh=splats.sh[which],
        antialiased=splats.antialiased,
    )


def rotations(quats: np.ndarray) -> np.ndarray:
    """(..., 3, 3) rotation matrices of unit quaternions (..., 4); column k is the Gaussian's axis k
    in the world.
    """
    w, x, y, z = np.moveaxis(np.asarray(quats), -1, 0)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return np.stack([np.stack(row, -1) for row in rows], -2)


def diameter(means: np.ndarray, opacities: np.ndarray) -> tuple[np.ndarray, float]:
    """The middle (3,) and the robust diameter of a capture, in its units: twice the 90th percentile
    of distances from the opacity-weighted median, over the solid Gaussians."""  # noqa: D209
    solid = opacities > min(0.3, float(np.median(opacities)))
    points = means[solid if solid.any() else slice(None)]
    points = points[:: max(len(points) // 200_000, 1)].astype(np.float64)
    middle = np.median(points, axis=0)
    distance = np.linalg.norm(points - middle, axis=1)
    # Twice over, so that a far shell of few points does not move the middle.
    near = distance <= 2.0 * np.quantile(distance, 0.8) + 1e-12
    middle = np.median(points[near], axis=0)
    distance = np.linalg.norm(points[near] - middle, axis=1)
    return middle, 2.0 * float(np.quantile(distance, 0.9))
