"""Draws people, boxes on joints (`envs/raster/figures.py`), into the rasteriser's first pass."""

import numpy as np

from s2e.envs.raster.depth import NEAR, clip_near, fill, inverse_depth
from s2e.envs.raster.figures import FACE, SKIN, person_parts
from s2e.envs.raster.lanes import kernel, lanes_at, put_lanes

_AHEAD = np.array([1, -1, -1, 1] * 2, np.float32)
_ASIDE = np.array([1, 1, -1, -1] * 2, np.float32)
_LOW = np.array([0] * 4 + [1] * 4, np.float32)


@kernel
def _place_box(part, frame, lens, camera):
    """Writes the eight corners of a part to the first columns of `camera`; `frame` (3, 4) takes the
    body's frame to the optical one.
    """
    cos_a, sin_a = np.float32(np.cos(part[3])), np.float32(np.sin(part[3]))
    low = lanes_at(_LOW, 0)
    dx = lanes_at(_AHEAD, 0) * (low * (part[7] - part[5]) + part[5])
    dy = lanes_at(_ASIDE, 0) * (low * (part[8] - part[6]) + part[6])
    dz = low * -part[4]
    x, y, z = dx * cos_a - dz * sin_a + part[0], dy + part[1], dx * sin_a + dz * cos_a + part[2]
    cx = x * frame[0, 0] + y * frame[0, 1] + z * frame[0, 2] + frame[0, 3]
    cy = x * frame[1, 0] + y * frame[1, 1] + z * frame[1, 2] + frame[1, 3]
    cz = x * frame[2, 0] + y * frame[2, 1] + z * frame[2, 2] + frame[2, 3]
    put_lanes(camera[0], 0, cx)
    put_lanes(camera[1], 0, cy)
    put_lanes(camera[2], 0, cz)
    near = np.float32(1.0) / cz
    put_lanes(camera[3], 0, cx * near * lens[0] + lens[2])
    put_lanes(camera[4], 0, cy * near * lens[1] + lens[3])


@kernel
def _note_face(plan, count, u, v, light, lens, plane):
    """As `note_polygon`, for a face with gradients u, v (3,) in the optical frame, their values at
    the camera, and one light.
    """
    n, half = plan[count], np.float32(0.5)
    n[0], n[8], n[16] = plane[0], plane[1], plane[2]
    for k in range(2):
        x, y, z, value = u if k == 0 else v
        x, y = x / lens[0], y / lens[1]
        n[0 + 1 + k] = z + x * (half - lens[2]) + y * (half - lens[3]) + value * plane[0]
        n[8 + 1 + k] = x + value * plane[1]
        n[16 + 1 + k] = y + value * plane[2]
    for k in range(3):
        n[0 + 3 + k] = light[k] * plane[0]
        n[8 + 3 + k] = light[k] * plane[1]
        n[16 + 3 + k] = light[k] * plane[2]


@kernel
def _box(
    part,
    camera,
    faces,
    e,
    sun,
    up,
    sky,
    lens,
    size,
    plan,
    source,
    slot,
    texture,
    count,
    inv_z,
    ids,
    left,
    right,
    xs,
    ys,
):
    """Draws the sides of a box that look at the camera; returns the new count of noted polygons."""
    z = camera[2]
    small = np.float32(1e-12)
    for f in range(6):
        corner = faces[f]
        a, b, c, d = corner[0], corner[1], corner[2], corner[3]
        if max(max(z[a], z[b]), max(z[c], z[d])) < NEAR:
            continue
        # The middle lines of the side, and its middle.
        for i in range(3):
            row = camera[i]
            e[0, i] = np.float32(0.5) * (row[b] + row[c] - row[a] - row[d])
            e[1, i] = np.float32(0.5) * (row[d] + row[c] - row[a] - row[b])
            e[2, i] = np.float32(0.25) * (row[a] + row[b] + row[c] + row[d])
        nx, ny, nz = (
            e[0, 1] * e[1, 2] - e[0, 2] * e[1, 1],
            e[0, 2] * e[1, 0] - e[0, 0] * e[1, 2],
            e[0, 0] * e[1, 1] - e[0, 1] * e[1, 0],
        )
        distance = -(nx * e[2, 0] + ny * e[2, 1] + nz * e[2, 2])
        square = nx * nx + ny * ny + nz * nz
        if distance <= small or square <= small * small:
            continue
        n = np.int64(4)
        if min(min(z[a], z[b]), min(z[c], z[d])) >= NEAR:
            for i in range(4):
                xs[i], ys[i] = camera[3, corner[i]], camera[4, corner[i]]
        else:
            n = clip_near(corner, n, camera, lens, xs, ys)
        plane = inverse_depth(nx, ny, nz, distance, lens)
        if not fill(xs, ys, n, plane, count, size, inv_z, ids, left, right):
            continue
        scale = np.float32(0.999) / square
        u = (
            (e[1, 1] * nz - e[1, 2] * ny) * scale,
            (e[1, 2] * nx - e[1, 0] * nz) * scale,
            (e[1, 0] * ny - e[1, 1] * nx) * scale,
        )
        v = (
            (ny * e[0, 2] - nz * e[0, 1]) * scale,
            (nz * e[0, 0] - nx * e[0, 2]) * scale,
            (nx * e[0, 1] - ny * e[0, 0]) * scale,
        )
        half = np.float32(0.5)
        u_here = half - (u[0] * e[2, 0] + u[1] * e[2, 1] + u[2] * e[2, 2])
        v_here = half - (v[0] * e[2, 0] + v[1] * e[2, 1] + v[2] * e[2, 2])
        length = np.float32(1.0) / np.sqrt(square)
        toward = max((nx * sun[0] + ny * sun[1] + nz * sun[2]) * length, np.float32(0.0))
        sky_share = (
            np.float32(0.78) + np.float32(0.22) * (nx * up[0] + ny * up[1] + nz * up[2]) * length
        )
        red = part[9] * (sky[10] * toward + sky[13] * sky_share)
        green = part[10] * (sky[11] * toward + sky[14] * sky_share)
        blue = part[11] * (sky[12] * toward + sky[15] * sky_share)
        _note_face(plan, count, (*u, u_here), (*v, v_here), (red, green, blue), lens, plane)
        source[count] = -1 - slot
        layer = np.int32(part[12])
        texture[count] = SKIN if layer == FACE and f > 0 else layer
        count += 1
    return count


@kernel
def draw_people(
    people,
    position,
    rotation,
    sky,
    lens,
    size,
    plan,
    source,
    texture,
    count,
    inv_z,
    ids,
    work,
    body,
):
    """Draws the people of a view; returns the new count of noted polygons."""
    _, _, _, _, camera, left, right, xs, ys = work
    parts, frame, e, sun, faces = body
    height, width = size[0], size[1]
    up = rotation[:, 2]
    for r in range(3):
        sun[r] = rotation[r, 0] * sky[7] + rotation[r, 1] * sky[8] + rotation[r, 2] * sky[9]
    for k in range(people.shape[0]):
        person = people[k]
        if np.isnan(person[0]):
            continue
        x, y, z = person[0] - position[0], person[1] - position[1], person[2] - position[2]
        cos_yaw, sin_yaw = np.cos(person[3]), np.sin(person[3])
        for r in range(3):
            a, b, c = rotation[r, 0], rotation[r, 1], rotation[r, 2]
            frame[r, 0], frame[r, 1], frame[r, 2] = (
                a * cos_yaw + b * sin_yaw,
                b * cos_yaw - a * sin_yaw,
                c,
            )
            frame[r, 3] = a * x + b * y + c * z
        # A sphere of 1.2 m around the middle of the body holds all of it.
        ahead = frame[2, 3] + np.float32(0.9) * frame[2, 2]
        across, down = (
            frame[0, 3] + np.float32(0.9) * frame[0, 2],
            frame[1, 3] + np.float32(0.9) * frame[1, 2],
        )
        w, e0 = lens[2] / lens[0], (width - lens[2]) / lens[0]
        n, s = lens[3] / lens[1], (height - lens[3]) / lens[1]
        reach = np.float32(1.2)
        if (
            ahead < -reach
            or across + w * ahead < -reach * np.sqrt(w * w + 1)
            or e0 * ahead - across < -reach * np.sqrt(e0 * e0 + 1)
        ):
            continue
        if down + n * ahead < -reach * np.sqrt(n * n + 1) or s * ahead - down < -reach * np.sqrt(
            s * s + 1
        ):
            continue
        # How high the body is in the image decides how finely it is drawn.
        tall = lens[1] * 1.75 / max(ahead, np.float32(0.5))
        if tall < 0.7:
            continue
        detail = 2 if tall > 44.0 else (1 if tall > 18.0 else 0)
        for i in range(person_parts(person[4], int(person[5]), int(person[6]), detail, parts)):
            _place_box(parts[i], frame, lens, camera)
            count = _box(
                parts[i],
                camera,
                faces,
                e,
                sun,
                up,
                sky,
                lens,
                size,
                plan,
                source,
                k,
                texture,
                count,
                inv_z,
                ids,
                left,
                right,
                xs,
                ys,
            )
    return count
