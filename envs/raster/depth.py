"""The rasteriser's first pass: which polygon is nearest in every pixel.

Inverse depth is linear on the screen: a polygon's plane n . p = d, seen from distance D in front of
it, has inverse depth -(n . ray) / D along the ray through a pixel. Anything linear over the polygon
is linear on the screen too once it is divided by depth: a / z = A . ray + c / z, with A its
gradient and c its value at the camera. No clipping of attributes is needed.
"""

import numpy as np

from s2e.envs.raster.lanes import (
    ceilings,
    fill_m8,
    kernel,
    lanes_at,
    mask_bits,
    put_lanes,
    ramp,
    select,
    settled,
)

NEAR = 0.05
"""What is nearer to the camera than this (metres along the optical axis) is not drawn."""

BUCKETS = 48
"""Groups are drawn from near to far in steps of distance, which grow by a fifth: the nearest 1 m,
the farthest beyond 4 km."""


@kernel
def _edge(side, xa, ya, xb, yb, height, width):
    """Writes where an edge from (xa, ya) down to (xb, yb) lies in every row whose middle it
    crosses: the first pixel on its right.
    """
    y0 = np.int64(np.ceil(max(min(ya - np.float32(0.5), height), np.float32(0.0))))
    y1 = np.int64(np.ceil(max(min(yb - np.float32(0.5), height), np.float32(0.0))))
    if y0 >= y1:
        return
    slope = (xb - xa) / (yb - ya)
    start, half = xa - np.float32(0.5), np.float32(0.5) - ya
    for y in range(y0, y1, 8):
        row = ramp() + np.float32(y)
        x = (row + half) * slope + start
        x = select(x > np.float32(0.0), x, np.float32(0.0))
        x = ceilings(select(x < width, x, width))
        put_lanes(side, y, select(row < np.float32(y1), x, settled(lanes_at(side, y))))


@kernel
def fill(xs, ys, n, plane, index, size, inv_z, ids, left, right):
    """Draws a convex polygon, counter-clockwise as seen, where it is nearer than what was drawn
    before.

    A pixel belongs to it when its centre is inside, right and lower edges excluded. Edges are
    walked from their upper end whatever their direction, so that neighbours agree on every pixel.

    Args:
        xs: (N,) float32 corners, pixels.
        ys: likewise.
        n: number of corners.
        plane: inverse depth at pixel (0, 0), and what a step right and a step down add.
        index: what to write into `ids`.
        size: height, width and length of a row of the buffers.
        inv_z: flat float32 buffer of inverse depths; rows are a multiple of eight long.
        ids: flat int32 buffer.
        left: scratch, float32, eight longer than the image is high.
        right: likewise.

    Returns:
        Whether any pixel was written.
    """
    height, width, pitch = np.float32(size[0]), np.float32(size[1]), size[2]
    west = east = xs[0]
    north = south = ys[0]
    for i in range(1, n):
        west, east = min(west, xs[i]), max(east, xs[i])
        north, south = min(north, ys[i]), max(south, ys[i])
    half, none = np.float32(0.5), np.float32(0.0)
    y0 = np.int64(np.ceil(max(min(north - half, height), none)))
    y1 = np.int64(np.ceil(max(min(south - half, height), none)))
    if y0 >= y1 or np.ceil(max(west - half, none)) >= np.ceil(min(east - half, width)):
        return False
    for i in range(n):
        j = i + 1 if i + 1 < n else 0
        if ys[i] < ys[j]:
            _edge(left, xs[i], ys[i], xs[j], ys[j], height, width)
        else:
            _edge(right, xs[j], ys[j], xs[i], ys[i], height, width)
    step = plane[1]
    seen = fill_m8(False)
    for y in range(y0, y1):
        x0, x1 = left[y], right[y]
        if x0 >= x1:
            continue
        base = plane[0] + plane[2] * np.float32(y)
        first = np.int64(x0) & ~7
        x = ramp() + np.float32(first)
        last = y * pitch + np.int64(x1)
        for k in range(y * pitch + first, last, 8):
            value, old = x * step + base, settled(lanes_at(inv_z, k))
            nearer = (value > old) & (x >= x0) & (x < x1)
            put_lanes(inv_z, k, select(nearer, value, old))
            put_lanes(ids, k, select(nearer, index, settled(lanes_at(ids, k))))
            seen = seen | nearer
            x = x + np.float32(8.0)
    return mask_bits(seen) != 0


@kernel
def clip_near(corner, n, camera, lens, xs, ys):
    """Projects the part of a polygon that is farther than `NEAR`; returns its number of corners."""
    fx, fy, cx, cy = lens[0], lens[1], lens[2], lens[3]
    m = 0
    for i in range(n):
        a, b = corner[i], corner[i + 1 if i + 1 < n else 0]
        za, zb = camera[2, a], camera[2, b]
        if za >= NEAR:
            xs[m], ys[m] = camera[3, a], camera[4, a]
            m += 1
        if (za >= NEAR) != (zb >= NEAR):
            if za < NEAR:
                a, b, za, zb = b, a, zb, za
            t = (np.float64(za) - NEAR) / (np.float64(za) - np.float64(zb))
            xs[m] = fx * (camera[0, a] + t * (camera[0, b] - camera[0, a])) / NEAR + cx
            ys[m] = fy * (camera[1, a] + t * (camera[1, b] - camera[1, a])) / NEAR + cy
            m += 1
    return m


@kernel
def project(vertices, first, count, position, rotation, lens, camera):
    """Brings vertices into the optical frame and onto the screen: rows x, y, z (metres), column and
    row (pixels) of `camera`.
    """
    px, py, pz = position[0], position[1], position[2]
    xx, xy, xz = rotation[0, 0], rotation[0, 1], rotation[0, 2]
    yx, yy, yz = rotation[1, 0], rotation[1, 1], rotation[1, 2]
    zx, zy, zz = rotation[2, 0], rotation[2, 1], rotation[2, 2]
    world_x, world_y, world_z = vertices[0], vertices[1], vertices[2]
    out_x, out_y, out_z, column, row = camera[0], camera[1], camera[2], camera[3], camera[4]
    for i in range(0, count, 8):
        x, y, z = (
            lanes_at(world_x, first + i) - px,
            lanes_at(world_y, first + i) - py,
            lanes_at(world_z, first + i) - pz,
        )
        cx, cy, cz = x * xx + y * xy + z * xz, x * yx + y * yy + z * yz, x * zx + y * zy + z * zz
        put_lanes(out_x, i, cx)
        put_lanes(out_y, i, cy)
        put_lanes(out_z, i, cz)
        near = np.float32(1.0) / cz
        put_lanes(column, i, cx * near * lens[0] + lens[2])
        put_lanes(row, i, cy * near * lens[1] + lens[3])


@kernel
def inverse_depth(nx, ny, nz, distance, lens):
    """Inverse depth at pixel (0, 0) and its steps, of a plane with this normal in the optical frame
    at `distance` before the camera.
    """
    scale = np.float32(-1.0) / distance
    step_x, step_y = nx * scale / lens[0], ny * scale / lens[1]
    half = np.float32(0.5)
    return nz * scale + step_x * (half - lens[2]) + step_y * (half - lens[3]), step_x, step_y


@kernel
def note_polygon(plan, count, table, polygon, cx, cy, cz, rotation, lens, plane):
    """Writes how a polygon's attributes over depth lie on the screen: at pixel (0, 0), and what a
    step right and down adds.
    """
    at = polygon * 32
    gx, gy, gz = lanes_at(table, at), lanes_at(table, at + 8), lanes_at(table, at + 16)
    value = lanes_at(table, at + 24) + gx * cx + gy * cy + gz * cz
    along_x = (gx * rotation[0, 0] + gy * rotation[0, 1] + gz * rotation[0, 2]) * (
        np.float32(1.0) / lens[0]
    )
    along_y = (gx * rotation[1, 0] + gy * rotation[1, 1] + gz * rotation[1, 2]) * (
        np.float32(1.0) / lens[1]
    )
    along_z = gx * rotation[2, 0] + gy * rotation[2, 1] + gz * rotation[2, 2]
    half = np.float32(0.5)
    zero = along_z + along_x * (half - lens[2]) + along_y * (half - lens[3])
    row = plan[count]
    put_lanes(row, 0, zero + value * plane[0])
    put_lanes(row, 8, along_x + value * plane[1])
    put_lanes(row, 16, along_y + value * plane[2])


@kernel
def visible_groups(spheres, first, count, position, rotation, lens, size, order, bucket, ends):
    """Groups of a scene that may be in view, nearer ones first, written to `order`; returns how
    many there are.
    """
    fx, fy, cx, cy = lens[0], lens[1], lens[2], lens[3]
    # Normals of the four sides of the pyramid of sight, inwards; the camera is in all of them.
    w, e, n, s = cx / fx, (size[1] - cx) / fx, cy / fy, (size[0] - cy) / fy
    ws, es, ns, ss = (
        np.sqrt(w * w + 1.0),
        np.sqrt(e * e + 1.0),
        np.sqrt(n * n + 1.0),
        np.sqrt(s * s + 1.0),
    )
    ends[:] = 0
    for g in range(count):
        sphere = spheres[first + g]
        x, y, z = sphere[0] - position[0], sphere[1] - position[1], sphere[2] - position[2]
        r = sphere[3]
        ahead = rotation[2, 0] * x + rotation[2, 1] * y + rotation[2, 2] * z
        across = rotation[0, 0] * x + rotation[0, 1] * y + rotation[0, 2] * z
        down = rotation[1, 0] * x + rotation[1, 1] * y + rotation[1, 2] * z
        out = ahead < NEAR - r or across + w * ahead < -r * ws or e * ahead - across < -r * es
        if out or down + n * ahead < -r * ns or s * ahead - down < -r * ss:
            bucket[g] = -1
            continue
        nearest = max(np.sqrt(x * x + y * y + z * z) - r, np.float32(1.0))
        bucket[g] = min(np.int64(np.log(nearest) * 5.5), BUCKETS - 1)
        ends[bucket[g] + 1] += 1
    for b in range(BUCKETS):
        ends[b + 1] += ends[b]
    total = ends[BUCKETS]
    for g in range(count):
        if bucket[g] >= 0:
            order[ends[bucket[g]]] = first + g
            ends[bucket[g]] += 1
    return total


@kernel
def draw_scene(mesh, first, groups, position, rotation, lens, size, plan, source, inv_z, ids, work):
    """Draws the polygons of a scene that face the camera; notes those seen in `plan` and `source`,
    and returns how many.
    """
    vertices, planes, table, corners, spheres, group_table = mesh
    order, bucket, ends, facing, camera, left, right, xs, ys = work
    px, py, pz = position[0], position[1], position[2]
    plane_x, plane_y, plane_z, plane_d = planes[0], planes[1], planes[2], planes[3]
    wx, wy, wz = vertices[0], vertices[1], vertices[2]
    count = np.int64(0)
    total = visible_groups(
        spheres, first, groups, position, rotation, lens, size, order, bucket, ends
    )
    for g in range(total):
        group = group_table[order[g]]
        vertex, polygon = np.int64(group[0]), np.int64(group[2])
        project(vertices, vertex, np.int64(group[1]), position, rotation, lens, camera)
        for i in range(0, group[3], 8):
            k = polygon + i
            side = (
                lanes_at(plane_x, k) * px
                + lanes_at(plane_y, k) * py
                + lanes_at(plane_z, k) * pz
                + lanes_at(plane_d, k)
            )
            put_lanes(facing, i, side)
        for i in range(group[3]):
            if facing[i] <= np.float32(1e-6):
                continue
            f = polygon + i
            corner = corners[f]
            n = 4 if corner[2] != corner[3] else 3
            near, far = camera[2, corner[0]], camera[2, corner[0]]
            for c in range(1, n):
                near, far = min(near, camera[2, corner[c]]), max(far, camera[2, corner[c]])
            if far < NEAR:
                continue
            if near >= NEAR:
                for c in range(n):
                    xs[c], ys[c] = camera[3, corner[c]], camera[4, corner[c]]
            else:
                n = clip_near(corner, n, camera, lens, xs, ys)
            start = vertex + corner[0]
            cx, cy, cz = px - wx[start], py - wy[start], pz - wz[start]
            a, b, c = plane_x[f], plane_y[f], plane_z[f]
            nx = rotation[0, 0] * a + rotation[0, 1] * b + rotation[0, 2] * c
            ny = rotation[1, 0] * a + rotation[1, 1] * b + rotation[1, 2] * c
            nz = rotation[2, 0] * a + rotation[2, 1] * b + rotation[2, 2] * c
            plane = inverse_depth(nx, ny, nz, max(a * cx + b * cy + c * cz, np.float32(1e-6)), lens)
            if fill(xs, ys, n, plane, count, size, inv_z, ids, left, right):
                note_polygon(plan, count, table, f, cx, cy, cz, rotation, lens, plane)
                source[count] = f
                count += 1
    return count
