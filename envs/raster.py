"""Textured triangles and walking people on the CPU: a z-buffer renderer over batches of views, in numba.

Each view is drawn by one thread in two passes. The first finds the nearest triangle of every pixel; inverse depth is
linear on the screen, so a row of a triangle is one addition a pixel. The second gives every pixel its texel, light and
fog once, whatever the overdraw (`envs/shading.py`). `envs/figures.py` makes the bodies.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numba
import numpy as np

from s2e.envs.figures import FACE, FACES, MAX_PARTS, SKIN, person_parts
from s2e.envs.raster_effects import apply_effects
from s2e.envs.scene import Mesh
from s2e.envs.shading import shade, shade_under_people, shade_wet, write_labels
from s2e.envs.textures import mipmaps
from s2e.errors import UserError

NEAR = 0.05
"""What is nearer to the camera than this (metres along the optical axis) is not drawn."""


@dataclass(frozen=True)
class Images:
    """What V cameras see.

    Attributes:
        rgb: (V, H, W, 3) uint8.
        depth: (V, H, W) float32 along the optical axis, metres, inf where only sky is.
        semantic: (V, H, W) uint8, index into `SEMANTICS`; None unless asked for.
        instance: (V, H, W) int32, `Mesh.instance`, `PERSON_INSTANCE` + slot for people, 0 for the sky; None likewise.
    """

    rgb: np.ndarray
    depth: np.ndarray
    semantic: np.ndarray | None
    instance: np.ndarray | None


@dataclass(frozen=True)
class PackedMeshes:
    """The meshes of many scenes, one after the other.

    Attributes:
        vertices: (N, 3) float32, metres.
        triangles: (F, 3) int32, into `vertices`.
        planes: (F, 4) float64, outward normal and offset: positive on the side a triangle is seen from.
        corners: (F, 3, 5) float32, u, v and RGB light per corner.
        texture: (F,) int32.
        semantic: (F,) uint8.
        instance: (F,) int32.
        vertex_start: (S + 1,) int64, scene s owns vertices `vertex_start[s]` to `vertex_start[s + 1]`.
        triangle_start: (S + 1,) int64, likewise.
    """

    vertices: np.ndarray
    triangles: np.ndarray
    planes: np.ndarray
    corners: np.ndarray
    texture: np.ndarray
    semantic: np.ndarray
    instance: np.ndarray
    vertex_start: np.ndarray
    triangle_start: np.ndarray

    @classmethod
    def pack(cls, meshes: Sequence[Mesh]) -> "PackedMeshes":
        """Packs meshes; scene s of the pack is `meshes[s]`.

        Raises:
            UserError: there is no mesh, or a triangle names a vertex or texture that does not exist.
        """
        if not meshes:
            raise UserError("meshes: none given; pack at least one mesh (it may be empty)")
        vertex_start = np.cumsum([0] + [len(m.vertices) for m in meshes]).astype(np.int64)
        triangle_start = np.cumsum([0] + [len(m.triangles) for m in meshes]).astype(np.int64)
        for s, mesh in enumerate(meshes):
            bad_vertex = mesh.triangles.size and not 0 <= mesh.triangles.min() <= mesh.triangles.max() < len(mesh.vertices)
            bad_layer = mesh.texture.size and not 0 <= mesh.texture.min() <= mesh.texture.max() < len(mipmaps())
            if bad_vertex or bad_layer:
                raise UserError(f"meshes[{s}]: a triangle names a vertex or a texture that does not exist; rebuild it")
        triangles = np.concatenate([m.triangles.reshape(-1, 3) + vertex_start[s] for s, m in enumerate(meshes)])
        vertices = np.concatenate([m.vertices.reshape(-1, 3) for m in meshes]).astype(np.float32)
        points = vertices[triangles].astype(np.float64)
        normals = np.cross(points[:, 1] - points[:, 0], points[:, 2] - points[:, 0])
        offsets = -np.sum(normals * points[:, 0], 1, keepdims=True)
        uv = np.concatenate([m.uv.reshape(-1, 3, 2) for m in meshes])
        # Textures repeat, so whole numbers of repeats can go: small coordinates keep float32 precise.
        uv = uv - np.floor(uv.min(1, keepdims=True))
        shade = np.concatenate([m.shade.reshape(-1, 3, 3) for m in meshes])
        return cls(
            vertices=vertices,
            triangles=triangles.astype(np.int32),
            planes=np.concatenate([normals, offsets], 1),
            corners=np.concatenate([uv, shade], 2).astype(np.float32),
            texture=np.concatenate([m.texture.reshape(-1) for m in meshes]).astype(np.int32),
            semantic=np.concatenate([m.semantic.reshape(-1) for m in meshes]).astype(np.uint8),
            instance=np.concatenate([m.instance.reshape(-1) for m in meshes]).astype(np.int32),
            vertex_start=vertex_start,
            triangle_start=triangle_start,
        )


@numba.njit(cache=True, error_model="numpy")
def _nearest(inv_z, ids, x0, x1, base, step, index):
    """One row of one triangle: keeps what is nearer. Inverse depth at pixel x0 + i is `base + step * i`."""
    for i in range(x0, x1):
        k = np.uint32(i)  # unsigned, so that no check for negative indices keeps this from being vector code
        value = base + step * np.float32(np.int32(i - x0))
        closer = value > inv_z[k]
        inv_z[k] = value if closer else inv_z[k]
        ids[k] = index if closer else ids[k]


@numba.njit(cache=True, error_model="numpy")
def _outline(points, n, left, right, width, height):
    """Spans of a convex polygon, counter-clockwise as seen: pixels whose centres are inside, right edge excluded.

    Edges are walked from their upper end whatever their direction, so that neighbours agree on every pixel.
    Returns the first row and the row after the last.
    """
    first, last = height, 0
    for i in range(n):
        j = i + 1 if i + 1 < n else 0
        down = points[i, 1] < points[j, 1]
        a, b = (i, j) if down else (j, i)
        ya, yb = points[a, 1], points[b, 1]
        y0 = int(np.ceil(max(min(ya - 0.5, height), 0.0)))
        y1 = int(np.ceil(max(min(yb - 0.5, height), 0.0)))
        if y0 >= y1:
            continue
        first, last = min(first, y0), max(last, y1)
        slope = (points[b, 0] - points[a, 0]) / (yb - ya)
        start = points[a, 0] - 0.5 + (0.5 - ya) * slope
        for y in range(y0, y1):
            x = int(np.ceil(max(min(start + y * slope, width), 0.0)))
            if down:
                left[y] = x
            else:
                right[y] = x
    return first, last


@numba.njit(cache=True, error_model="numpy")
def _draw(p, corners, texture, lens, plan, layer, count, inv_z, ids, spans, poly):
    """Draws one triangle into the nearest-triangle buffers and notes its planes; returns the new count.

    `p` (3, 3) are its corners in the optical frame, `corners` (3, 5) their u, v and light. With n_k the cross product
    of the other two corners, any quantity divided by depth is linear in the ray: sum_k a_k n_k . ray / det
    (homogeneous rasterisation, Olano and Greer 1997), which needs no clipping and whose det tells the facing side.
    """
    fx, fy, cx, cy = lens[0], lens[1], lens[2], lens[3]
    height, width = inv_z.shape
    near, west, east, north, south = 0, 0, 0, 0, 0
    for i in range(3):
        x, y, z = p[i, 0] * fx + p[i, 2] * cx, p[i, 1] * fy + p[i, 2] * cy, p[i, 2]
        near += z < NEAR
        west += x < 0.0
        east += x > width * z
        north += y < 0.0
        south += y > height * z
    if near == 3 or west == 3 or east == 3 or north == 3 or south == 3:
        return count
    ax, ay, az = p[1, 1] * p[2, 2] - p[1, 2] * p[2, 1], p[1, 2] * p[2, 0] - p[1, 0] * p[2, 2], 0.0
    az = p[1, 0] * p[2, 1] - p[1, 1] * p[2, 0]
    det = p[0, 0] * ax + p[0, 1] * ay + p[0, 2] * az
    if det > -1e-12:
        return count
    n = 0
    for i in range(3):
        j = i + 1 if i < 2 else 0
        if p[i, 2] >= NEAR:
            poly[n, 0] = fx * p[i, 0] / p[i, 2] + cx
            poly[n, 1] = fy * p[i, 1] / p[i, 2] + cy
            n += 1
        if (p[i, 2] >= NEAR) != (p[j, 2] >= NEAR):
            a, b = (i, j) if p[i, 2] >= NEAR else (j, i)
            t = (p[a, 2] - NEAR) / (p[a, 2] - p[b, 2])
            poly[n, 0] = fx * (p[a, 0] + t * (p[b, 0] - p[a, 0])) / NEAR + cx
            poly[n, 1] = fy * (p[a, 1] + t * (p[b, 1] - p[a, 1])) / NEAR + cy
            n += 1
    left, right = spans[0], spans[1]
    first, last = _outline(poly, n, left, right, width, height)
    if first >= last:
        return count
    bx, by, bz = p[2, 1] * p[0, 2] - p[2, 2] * p[0, 1], p[2, 2] * p[0, 0] - p[2, 0] * p[0, 2], 0.0
    bz = p[2, 0] * p[0, 1] - p[2, 1] * p[0, 0]
    gx, gy, gz = p[0, 1] * p[1, 2] - p[0, 2] * p[1, 1], p[0, 2] * p[1, 0] - p[0, 0] * p[1, 2], 0.0
    gz = p[0, 0] * p[1, 1] - p[0, 1] * p[1, 0]
    step_x, step_y = (ax + bx + gx) / (det * fx), (ay + by + gy) / (det * fy)
    at_zero = (az + bz + gz) / det + step_x * (0.5 - cx) + step_y * (0.5 - cy)
    seen = False
    for y in range(first, last):
        x0, x1 = left[y], right[y]
        if x0 < x1:
            seen = True
            base = np.float32(at_zero + step_y * y + step_x * x0)
            _nearest(inv_z[y], ids[y], x0, x1, base, np.float32(step_x), np.int32(count))
    if not seen:
        return count
    note = plan[count]
    note[0], note[1], note[2] = step_x, step_y, at_zero
    for k in range(5):
        a, b, g = corners[0, k] / det, corners[1, k] / det, corners[2, k] / det
        along_x, along_y = (a * ax + b * bx + g * gx) / fx, (a * ay + b * by + g * gy) / fy
        note[3 + 3 * k] = along_x
        note[4 + 3 * k] = along_y
        note[5 + 3 * k] = a * az + b * bz + g * gz + along_x * (0.5 - cx) + along_y * (0.5 - cy)
    layer[count] = texture
    return count + 1


@numba.njit(cache=True, error_model="numpy")
def _box(body, part, yaw, sky, p, corners, lens, plan, layer, count, inv_z, ids, spans, poly):
    """Draws one part of a person, a box whose eight corners `body` are in the optical frame."""
    for f in range(6):
        # The sun and the sky light a face by the way it looks, as `bake` does for meshes.
        up = 1.0 if f == 4 else (-1.0 if f == 5 else 0.0)
        angle = yaw + f * 0.5 * np.pi
        facing = sky[9] * up if f >= 4 else sky[7] * np.cos(angle) + sky[8] * np.sin(angle)
        texture = np.int64(part[12])
        if texture == FACE and f > 0:
            texture = SKIN
        for half in range(2):
            for i in range(3):
                corner = i + half if i > 0 else 0
                vertex = FACES[f, corner]
                for r in range(3):
                    p[i, r] = body[vertex, r]
                    light = sky[10 + r] * max(facing, 0.0) + sky[13 + r] * (0.78 + 0.22 * up)
                    corners[i, 2 + r] = part[9 + r] * light
                corners[i, 0] = 0.0 if corner == 0 or corner == 3 else 0.999
                corners[i, 1] = 0.0 if corner < 2 else 0.999
            count = _draw(p, corners, texture, lens, plan, layer, count, inv_z, ids, spans, poly)
    return count


@numba.njit(cache=True, error_model="numpy")
def _person(
    person,
    position,
    rotation,
    sky,
    parts,
    body,
    p,
    corners,
    lens,
    plan,
    layer,
    count,
    inv_z,
    ids,
    spans,
    poly,
):
    """Draws one person: poses the parts, places them in the world and brings them into the optical frame."""
    x, y, z = person[0] - position[0], person[1] - position[1], person[2] + 0.9 - position[2]
    ahead = rotation[2, 0] * x + rotation[2, 1] * y + rotation[2, 2] * z
    aside = rotation[0, 0] * x + rotation[0, 1] * y + rotation[0, 2] * z
    reach = 0.5 * inv_z.shape[1] / lens[0]
    if ahead < -1.2 or abs(aside) > reach * ahead + 1.2 * np.sqrt(1.0 + reach * reach):
        return count
    cos_yaw, sin_yaw = np.cos(person[3]), np.sin(person[3])
    for k in range(person_parts(person[4], int(person[5]), int(person[6]), parts)):
        part = parts[k]
        cos_a, sin_a = np.cos(part[3]), np.sin(part[3])
        for c in range(8):
            low = c >= 4
            dx = part[7] if low else part[5]
            dy = part[8] if low else part[6]
            dz = -part[4] if low else 0.0
            dx = dx if c % 4 == 0 or c % 4 == 3 else -dx
            dy = dy if c % 4 < 2 else -dy
            bx, by = part[0] + cos_a * dx - sin_a * dz, part[1] + dy
            wx, wy = cos_yaw * bx - sin_yaw * by + x, sin_yaw * bx + cos_yaw * by + y
            wz = part[2] + sin_a * dx + cos_a * dz + person[2] - position[2]
            for r in range(3):
                body[c, r] = rotation[r, 0] * wx + rotation[r, 1] * wy + rotation[r, 2] * wz
        count = _box(body, part, person[3], sky, p, corners, lens, plan, layer, count, inv_z, ids, spans, poly)
    return count


@numba.njit(cache=True, error_model="numpy")
def _scene(
    first,
    last,
    vertex_first,
    vertex_last,
    mesh,
    position,
    rotation,
    camera,
    p,
    lens,
    plan,
    layer,
    source,
    inv_z,
    ids,
    spans,
    poly,
):
    """Draws the triangles of a scene that face the camera; returns how many were noted."""
    vertices, triangles, planes, corners, texture, _, _ = mesh
    # Read once: the compiler cannot know that writing `camera` leaves them as they are.
    x0, y0, z0 = position[0], position[1], position[2]
    xx, xy, xz = rotation[0, 0], rotation[0, 1], rotation[0, 2]
    yx, yy, yz = rotation[1, 0], rotation[1, 1], rotation[1, 2]
    zx, zy, zz = rotation[2, 0], rotation[2, 1], rotation[2, 2]
    for i in range(vertex_last - vertex_first):
        vertex = vertices[vertex_first + i]
        x, y, z = vertex[0] - x0, vertex[1] - y0, vertex[2] - z0
        camera[i, 0] = xx * x + xy * y + xz * z
        camera[i, 1] = yx * x + yy * y + yz * z
        camera[i, 2] = zx * x + zy * y + zz * z
    count = np.int64(0)
    for f in range(first, last):
        plane = planes[f]
        if plane[0] * x0 + plane[1] * y0 + plane[2] * z0 + plane[3] <= 0.0:
            continue
        for i in range(3):
            vertex = triangles[f, i] - vertex_first
            for r in range(3):
                p[i, r] = camera[vertex, r]
        drawn = _draw(p, corners[f], np.int64(texture[f]), lens, plan, layer, count, inv_z, ids, spans, poly)
        source[count] = f
        count = drawn
    return count


@numba.njit(cache=True, error_model="numpy")
def _views(
    start,
    stride,
    mesh,
    vertex_start,
    triangle_start,
    scene_id,
    positions,
    rotations,
    lenses,
    people,
    sky,
    effects,
    labelled,
    texels,
    most,
    rgb,
    depth,
    semantic,
    instance,
):
    """Draws views start, start + stride, ... in buffers of its own. `most`: vertices and triangles of a view at most."""
    views, height, width = depth.shape
    inv_z, ids = np.empty((height, width), np.float32), np.empty((height, width), np.int32)
    camera, plan = np.empty((most[0], 3)), np.empty((most[1], 18), np.float32)
    layer, spans, poly = np.empty(most[1], np.int64), np.empty((2, height), np.int64), np.empty((4, 2))
    parts, body, p = np.empty((MAX_PARTS, 13)), np.empty((8, 3)), np.empty((3, 3))
    corners = np.empty((3, 5), np.float32)
    fields, places = np.zeros((5, width), np.float32), np.zeros((3, width), np.int32)
    ray_x, ray_y = np.empty(width, np.float32), np.empty(height, np.float32)
    source, rows = np.empty(most[1], np.int32), np.empty((3, width * 3), np.int32)
    for v in range(start, views, stride):
        inv_z[:] = 0.0
        ids[:] = -1
        s, position, rotation, lens = scene_id[v], positions[v], rotations[v], lenses[v]
        for x in range(width):
            ray_x[x] = (x + 0.5 - lens[2]) / lens[0]
        for y in range(height):
            ray_y[y] = (y + 0.5 - lens[3]) / lens[1]
        count = _scene(
            triangle_start[s], triangle_start[s + 1], vertex_start[s], vertex_start[s + 1],
            mesh, position, rotation, camera, p, lens, plan, layer, source, inv_z, ids, spans, poly,
        )  # fmt: skip
        for k in range(people.shape[1]):
            if not np.isnan(people[v, k, 0]):
                before = count
                count = _person(
                    people[v, k], position, rotation, sky[s], parts, body, p, corners,
                    lens, plan, layer, count, inv_z, ids, spans, poly,
                )  # fmt: skip
                source[before:count] = -1 - k
        up = rotation[:, 2].astype(np.float32)
        shade(plan, layer, inv_z, ids, rgb[v], depth[v], texels, ray_x, ray_y, up, sky[s], fields, places)
        if sky[s, 16] > 0.0:
            shade_wet(ids, source, mesh[5], rgb[v], depth[v], ray_x, ray_y, up, sky[s])
        shade_under_people(rgb[v], depth[v], people[v], position, rotation, lens)
        if effects.shape[0]:
            apply_effects(rgb[v].reshape(height, width * 3), effects[v], rows)
        if labelled:
            write_labels(ids, source, mesh[5], mesh[6], semantic[v], instance[v])


@numba.njit(cache=True, parallel=True, error_model="numpy")
def _render(
    mesh,
    vertex_start,
    triangle_start,
    scene_id,
    positions,
    rotations,
    lenses,
    people,
    sky,
    effects,
    labelled,
    texels,
    most,
    rgb,
    depth,
    semantic,
    instance,
    threads,
):
    """Every view, shared out over threads; what a view shows does not depend on how many there are."""
    for t in numba.prange(threads):
        _views(
            np.int64(t),
            threads,
            mesh,
            vertex_start,
            triangle_start,
            scene_id,
            positions,
            rotations,
            lenses,
            people,
            sky,
            effects,
            labelled,
            texels,
            most,
            rgb,
            depth,
            semantic,
            instance,
        )


def render_meshes(
    packed: PackedMeshes,
    scene_id: np.ndarray,
    positions: np.ndarray,
    rotations: np.ndarray,
    intrinsics: np.ndarray,
    height_px: int,
    width_px: int,
    people: np.ndarray,
    sky: np.ndarray,
    effects: np.ndarray | None = None,
    labels: bool = False,
) -> Images:
    """Draws V views of S scenes with people in them.

    Args:
        packed: the scenes' meshes; one without triangles shows sky and people only.
        scene_id: (V,) int, scene of each view.
        positions: (V, 3) of the cameras, metres (`envs/camera.py`).
        rotations: (V, 3, 3), world to optical frame.
        intrinsics: (V, 4) fx, fy, cx, cy of each view, pixels.
        height_px: rows.
        width_px: columns.
        people: (V, P, 7) x, y, z of the soles, yaw, phase of the gait (radians), look (integer seed), pose (0 walks or
            stands, 1 looks at a phone); an x of NaN is nobody.
        sky: (S, 17) `Sky.row()` of each scene.
        effects: (V, 4) exposure (1 is none), standard deviation of the noise (0..255 units), share of a 3x3 binomial
            blur (0..1), seed of the noise; None is a perfect camera.
        labels: whether to say what each pixel shows.

    Raises:
        UserError: the arrays do not fit together.
    """
    scenes = len(packed.vertex_start) - 1
    ids = np.ascontiguousarray(scene_id, dtype=np.int64)
    views = len(ids)
    effects = np.zeros((0, 4)) if effects is None else effects
    expected = {
        "positions": (positions, (views, 3)),
        "rotations": (rotations, (views, 3, 3)),
        "intrinsics": (intrinsics, (views, 4)),
        "people": (people, (views, np.shape(people)[1] if np.ndim(people) == 3 else 0, 7)),
        "sky": (sky, (scenes, 17)),
        "effects": (effects, (views if len(effects) else 0, 4)),
    }
    for name, (array, shape) in expected.items():
        if np.shape(array) != shape:
            raise UserError(f"{name}: shape {np.shape(array)}, expected {shape}; check the number of views and scenes")
    if views and not 0 <= ids.min() <= ids.max() < scenes:
        raise UserError(f"scene_id: from {ids.min()} to {ids.max()}, but {scenes} scenes are packed; pack them all")
    shape = (views, height_px, width_px)
    images = Images(
        np.empty((*shape, 3), np.uint8),
        np.empty(shape, np.float32),
        np.empty(shape, np.uint8) if labels else None,
        np.empty(shape, np.int32) if labels else None,
    )
    triangles = int(np.diff(packed.triangle_start).max()) + 12 * MAX_PARTS * np.shape(people)[1] + 1
    _render(
        (
            packed.vertices, packed.triangles, packed.planes, packed.corners, packed.texture, packed.semantic, packed.instance,
        ),
        packed.vertex_start,
        packed.triangle_start,
        ids,
        np.ascontiguousarray(positions, dtype=np.float64),
        np.ascontiguousarray(rotations, dtype=np.float64),
        np.ascontiguousarray(intrinsics, dtype=np.float64),
        np.ascontiguousarray(people, dtype=np.float32),
        np.ascontiguousarray(sky, dtype=np.float32),
        np.ascontiguousarray(effects, dtype=np.float64),
        labels,
        mipmaps().view(np.int32).ravel(),
        (int(np.diff(packed.vertex_start).max()), triangles),
        images.rgb,
        images.depth,
        np.empty((0, 0, 0), np.uint8) if images.semantic is None else images.semantic,
        np.empty((0, 0, 0), np.int32) if images.instance is None else images.instance,
        min(numba.get_num_threads(), max(views, 1)),
    )  # fmt: skip
    return images
