"""Faces of a mesh to put Gaussians on: small triangles, what lies on them, who saw them."""

from dataclasses import dataclass, fields

import numba
import numpy as np

from s2e.envs.geometry.scene import Mesh

_CELL_M = 1.0
_REACH_M = 16.0


@dataclass(frozen=True)
class Faces:
    """Triangles with everything about each in its row.

    Attributes:
        corners: (F, 3, 3) metres.
        uv: (F, 3, 2). shade: (F, 3, 3). texture, semantic, instance: (F,); all as in `Mesh`.
        normal: (F, 3) unit, outward.
        first: (F, 3) unit, along the longest edge.
        length, width: (F,) metres along that edge, and across it.
        area: (F,) square metres.
        texture_m: (F,) metres that one repeat of the texture spans.
    """

    corners: np.ndarray
    uv: np.ndarray
    shade: np.ndarray
    texture: np.ndarray
    semantic: np.ndarray
    instance: np.ndarray
    normal: np.ndarray
    first: np.ndarray
    length: np.ndarray
    width: np.ndarray
    area: np.ndarray
    texture_m: np.ndarray

    def take(self, rows: np.ndarray) -> "Faces":
        """Some of the faces."""
        return Faces(*(getattr(self, f.name)[rows] for f in fields(self)))

    def at(self, of: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Texture coordinates (n, 2) and light (n, 3) of faces `of` (n,) at points (n, 3)."""
        a = self.corners[of, 0]
        p, q, d = self.corners[of, 1] - a, self.corners[of, 2] - a, points - a
        pp, pq, qq = ((x * y).sum(1) for x, y in ((p, p), (p, q), (q, q)))
        dp, dq = (d * p).sum(1), (d * q).sum(1)
        scale = 1.0 / np.maximum(pp * qq - pq * pq, 1e-18)
        v, w = ((qq * dp - pq * dq) * scale)[:, None], ((pp * dq - pq * dp) * scale)[:, None]
        weights = 1 - v - w, v, w
        return tuple(
            sum(x * values[of, k] for k, x in enumerate(weights))
            for values in (self.uv, self.shade)
        )  # pyright: ignore[reportReturnType]


def split(mesh: Mesh, edge_m: float) -> Faces:
    """The mesh's triangles, halved across their longest edge until none is longer than `edge_m`."""
    corners = mesh.vertices[mesh.triangles].astype(np.float64)
    values = np.concatenate([corners, mesh.uv, mesh.shade], 2)
    source, done, from_ = np.arange(len(values)), [], []
    while len(values):
        sides = np.linalg.norm(np.roll(values[:, :, :3], -1, 1) - values[:, :, :3], axis=2)
        k = sides.argmax(1)
        longer = sides[np.arange(len(k)), k] > edge_m
        done.append(values[~longer])
        from_.append(source[~longer])
        values, source, k = values[longer], source[longer], k[longer]
        rows = np.arange(len(k))
        a, b, c = values[rows, k], values[rows, (k + 1) % 3], values[rows, (k + 2) % 3]
        middle = (a + b) / 2
        values = np.concatenate([np.stack([a, middle, c], 1), np.stack([middle, b, c], 1)])
        source = np.concatenate([source, source])
    values, source = (
        np.concatenate([np.zeros((0, 3, 8)), *done]),
        np.concatenate([np.zeros(0, np.int64), *from_]),
    )
    # As the mesh had them, so that neighbours stay together.
    order = np.argsort(source, kind="stable")
    return _faces(mesh, values[order], source[order])


def _faces(mesh: Mesh, values: np.ndarray, source: np.ndarray) -> Faces:
    corners, uv, shade = values[:, :, :3], values[:, :, 3:5], values[:, :, 5:]
    edges = np.roll(corners, -1, 1) - corners
    normal = np.cross(edges[:, 0], -edges[:, 2])
    double = np.linalg.norm(normal, axis=1)
    good = double > 1e-8
    corners, uv, shade, edges, normal, double, source = (
        x[good] for x in (corners, uv, shade, edges, normal, double, source)
    )
    sides = np.linalg.norm(edges, axis=2)
    k = sides.argmax(1)
    rows = np.arange(len(k))
    length = sides[rows, k]
    turned = np.roll(uv, -1, 1) - uv
    flat = np.abs(turned[:, 0, 0] * turned[:, 1, 1] - turned[:, 0, 1] * turned[:, 1, 0])
    return Faces(
        corners=np.ascontiguousarray(corners),
        uv=uv,
        shade=shade,
        texture=mesh.texture[source],
        semantic=mesh.semantic[source],
        instance=mesh.instance[source],
        normal=normal / double[:, None],
        first=edges[rows, k] / length[:, None],
        length=length,
        width=double / length,
        area=double / 2,
        texture_m=np.sqrt(double / np.maximum(flat, 1e-9)),
    )


def _cells(faces: Faces) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Faces in each cell of a grid: first (K + 1,), members, the grid's corner and shape."""
    low, high = faces.corners[:, :, :2].min(1), faces.corners[:, :, :2].max(1)
    origin = low.min(0) - 0.01
    begin, end = (
        np.floor((x - origin) / _CELL_M).astype(np.int64) for x in (low - 0.005, high + 0.005)
    )
    begin = np.maximum(begin, 0)
    shape = end.max(0) + 1
    wide = end - begin + 1
    each = wide.prod(1)
    member = np.repeat(np.arange(len(each)), each)
    k = np.arange(len(member)) - np.repeat(np.cumsum(each) - each, each)
    cell = (
        (begin[member, 1] + k // wide[member, 0]) * shape[0]
        + begin[member, 0]
        + k % wide[member, 0]
    )
    order = np.argsort(cell, kind="stable")
    first = np.searchsorted(cell[order], np.arange(shape.prod() + 1))
    return first, member[order], origin, shape


def top_layer(faces: Faces, points: np.ndarray, normals: np.ndarray, most_m: float) -> np.ndarray:
    """(n,) the highest face that lies parallel over each point within `most_m`, or -1."""
    return _layer(points, normals, faces.corners, faces.normal, *_cells(faces), 1.0, most_m)


def lying_on(faces: Faces, points: np.ndarray, normals: np.ndarray, most_m: float) -> np.ndarray:
    """(n,) bool: whether a face lies parallel under a point within `most_m`."""
    return _layer(points, normals, faces.corners, faces.normal, *_cells(faces), -1.0, most_m) >= 0


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _layer(points, normals, corners, face_normals, first, members, origin, shape, sign, most):
    out = np.full(len(points), -1, np.int64)
    for n in range(len(points)):
        x, y, z = points[n, 0], points[n, 1], points[n, 2]
        i, j = int(np.floor((x - origin[0]) / _CELL_M)), int(np.floor((y - origin[1]) / _CELL_M))
        if i < 0 or j < 0 or i >= shape[0] or j >= shape[1]:
            continue
        cell, best = j * shape[0] + i, 5e-4
        for k in range(first[cell], first[cell + 1]):
            f = members[k]
            c, m = corners[f], face_normals[f]
            h = sign * ((c[0, 0] - x) * m[0] + (c[0, 1] - y) * m[1] + (c[0, 2] - z) * m[2])
            if (
                h < best
                or h > most
                or m[0] * normals[n, 0] + m[1] * normals[n, 1] + m[2] * normals[n, 2] < 0.999
            ):
                continue
            inside = True
            for e in range(3):
                a, b = c[e], c[(e + 1) % 3]
                ux, uy, uz, vx, vy, vz = (
                    b[0] - a[0],
                    b[1] - a[1],
                    b[2] - a[2],
                    x - a[0],
                    y - a[1],
                    z - a[2],
                )
                turn = (
                    m[0] * (uy * vz - uz * vy)
                    + m[1] * (uz * vx - ux * vz)
                    + m[2] * (ux * vy - uy * vx)
                )
                if turn < -1e-9:
                    inside = False
                    break
            if inside:
                best, out[n] = h, f
    return out


@numba.njit(cache=True, nogil=True, error_model="numpy")
def seen_from(points, normals, leaf, positions, rotations, depth):
    """(n,) float64: sum of facing / (1 + (metres / 5)^2) over 90 degree views of each point.

    Args:
        points, normals: (n, 3).
        leaf: (n,) bool, what is seen alike from all sides.
        positions, rotations: (V, 3), (V, 3, 3) of the cameras, see `camera_poses`.
        depth: (V, S, S) metres along the axes to what is nearest.
    """
    out = np.zeros(len(points))
    side = depth.shape[1]
    half = side / 2
    for v in range(len(positions)):
        p, r = positions[v], rotations[v]
        for n in range(len(points)):
            dx, dy, dz = points[n, 0] - p[0], points[n, 1] - p[1], points[n, 2] - p[2]
            far2 = dx * dx + dy * dy + dz * dz
            if far2 > _REACH_M * _REACH_M:
                continue
            z = r[2, 0] * dx + r[2, 1] * dy + r[2, 2] * dz
            if z < 0.1:
                continue
            column = (r[0, 0] * dx + r[0, 1] * dy + r[0, 2] * dz) / z * half + half
            row = (r[1, 0] * dx + r[1, 1] * dy + r[1, 2] * dz) / z * half + half
            if column < 0 or row < 0 or column >= side or row >= side:
                continue
            if z > 1.03 * depth[v, int(row), int(column)] + 0.08:
                continue
            far = np.sqrt(far2)
            facing = (
                0.4
                if leaf[n]
                else -(normals[n, 0] * dx + normals[n, 1] * dy + normals[n, 2] * dz)
                / max(far, 1e-6)
            )
            if facing > 0.02:
                out[n] += facing / (1.0 + 0.04 * far2)
    return out
