"""Darkens splats where people and added obstacles stand, so that they stand on the ground and do
not float over it.

Splats are light that was photographed without them. Each thing that stands there is a box on its
soles: around it the sky is hidden (a soft contact shadow), and away from the sun it casts a soft
shadow of limited length. A pixel is darkened by how much of it the splats cover, where it sees the
plane of the soles and the image's depth says that this is what it shows.

A Gaussian has one depth, that of its centre: those of the ground just before a foot would lie over
the foot. So soles count as a little nearer when splats are drawn.
"""

import numba
import numpy as np

from s2e.envs.geometry.scene import Mesh

_NEAR_M, _FAR_M = 0.1, 40.0
_CONTACT, _CONTACT_M = 0.6, 0.35  # how dark at the foot, and how far it reaches
# share of the sun's light that is taken, longest shadow, width of its edge
_SUN, _SUN_LENGTH_M, _SUN_SOFT_M = (0.9, 3.0, 0.14)
_LEVEL, _LEVEL_SOFT = (
    0.15,
    0.2,
    # depths of splats are rough: share by which they may differ from the plane's, and fade out
    # beyond
)
# how high over the sole, how much nearer, and how much at most
_SOLE_M, _SOLE_NEARER_M, _NEARER_M = (0.3, 0.2, 0.6)
_PERSON = (0.16, 0.15, 1.7)  # half a stride, half a body's width, height

CASTER = 8
"""Columns of a thing that stands: x, y, z of its sole, cos and sin of its yaw, half length, half
width, height; metres."""


def footprints(mesh: Mesh) -> np.ndarray:
    """(K, 8) float32: the smallest upright box around each thing of a mesh (instances above 0), as
    `CASTER` says.
    """
    angle = np.radians(np.arange(0.0, 90.0, 3.0))
    along = np.stack([np.cos(angle), np.sin(angle)])
    rows = []
    for thing in np.unique(mesh.instance[mesh.instance > 0]):
        points = mesh.vertices[np.unique(mesh.triangles[mesh.instance == thing])].astype(np.float64)
        u, v = points[:, :2] @ along, points[:, :2] @ np.stack([-along[1], along[0]])
        area = np.ptp(u, axis=0) * np.ptp(v, axis=0)
        k = int(area.argmin())
        (c, s), mu, mv = (
            along[:, k],
            (u[:, k].min() + u[:, k].max()) / 2,
            (v[:, k].min() + v[:, k].max()) / 2,
        )
        sole, top = points[:, 2].min(), points[:, 2].max()
        half = np.ptp(u[:, k]) / 2, np.ptp(v[:, k]) / 2
        rows.append((c * mu - s * mv, s * mu + c * mv, sole, c, s, *half, top - sole))
    return np.array(rows, dtype=np.float32).reshape(-1, CASTER)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _outside(x, y, caster):
    """Metres from (x, y), seen from the middle of a caster, to its box on the ground; 0 inside."""
    u = abs(x * caster[3] + y * caster[4]) - caster[5]
    v = abs(y * caster[3] - x * caster[4]) - caster[6]
    u, v = max(u, 0.0), max(v, 0.0)
    return np.sqrt(u * u + v * v)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def light_at(x, y, caster, sun):
    """Share of the ground's light at (x, y), metres from the middle of a caster.

    Args:
        x, y: metres.
        caster: (8,) as `CASTER`.
        sun: (4,) direction of shadows x, y (unit), their length for one metre of height, and how
            much light they take, 0..1.
    """
    light = 1.0
    d = _outside(x, y, caster) / _CONTACT_M
    if d < 1.0:
        light = 1.0 - _CONTACT * (1.0 - d) * (1.0 - d)
    length = min(caster[7] * sun[2], _SUN_LENGTH_M)
    if length > 0.0 and sun[3] > 0.0:
        # The box moved along the shadow is nearest where the point is beside its middle, along one
        # of three directions.
        at = min(max(x * sun[0] + y * sun[1], 0.0), length)
        best = _outside(x - at * sun[0], y - at * sun[1], caster)
        across_u, across_v = (
            sun[0] * caster[3] + sun[1] * caster[4],
            sun[1] * caster[3] - sun[0] * caster[4],
        )
        for k in range(2):
            across = across_u if k == 0 else across_v
            if abs(across) > 1e-3:
                t = (
                    x * caster[3] + y * caster[4] if k == 0 else y * caster[3] - x * caster[4]
                ) / across
                t = min(max(t, 0.0), length)
                best = min(best, _outside(x - t * sun[0], y - t * sun[1], caster))
        # half-shadows widen with the height of what casts them
        d = best / (_SUN_SOFT_M * (0.5 + at))
        if d < 1.0:
            light *= 1.0 - sun[3] * (1.0 - 0.5 * at / length) * (1.0 - d * d * (3.0 - 2.0 * d))
    return light


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _window(caster, sun, position, rotation, lens, height, width, window):
    """Writes first and one past the last column and row that a shadow can touch; whether there are
    any.
    """
    reach = np.sqrt(caster[5] * caster[5] + caster[6] * caster[6]) + _CONTACT_M
    length = min(caster[7] * sun[2], _SUN_LENGTH_M)
    dx, dy = length * sun[0], length * sun[1]
    x0, x1 = (
        caster[0] + min(dx, 0.0) - reach - position[0],
        caster[0] + max(dx, 0.0) + reach - position[0],
    )
    y0, y1 = (
        caster[1] + min(dy, 0.0) - reach - position[1],
        caster[1] + max(dy, 0.0) + reach - position[1],
    )
    z0, z1 = caster[2] - position[2], caster[2] + _SOLE_M - position[2]
    left, right, top, bottom, behind, nearest = 1e9, -1e9, 1e9, -1e9, 0, 1e9
    for k in range(8):
        x, y, z = x1 if k & 1 else x0, y1 if k & 2 else y0, z1 if k & 4 else z0
        ahead = rotation[2, 0] * x + rotation[2, 1] * y + rotation[2, 2] * z
        nearest = min(nearest, ahead)
        if ahead < _NEAR_M:
            behind += 1
            continue
        u = (
            lens[0] * (rotation[0, 0] * x + rotation[0, 1] * y + rotation[0, 2] * z) / ahead
            + lens[2]
        )
        v = (
            lens[1] * (rotation[1, 0] * x + rotation[1, 1] * y + rotation[1, 2] * z) / ahead
            + lens[3]
        )
        left, right, top, bottom = min(left, u), max(right, u), min(top, v), max(bottom, v)
    if behind == 8 or nearest > _FAR_M:
        return False
    if behind:
        left, right, top, bottom = 0.0, width, 0.0, height
    window[0], window[1] = int(max(left, 0.0)), int(min(max(right + 1.0, 0.0), width))
    window[2], window[3] = int(max(top, 0.0)), int(min(max(bottom + 1.0, 0.0), height))
    return window[0] < window[1] and window[2] < window[3]


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _shade_caster(caster, sun, depth, alpha, position, rotation, lens, window, light):
    """Lowers `light` (H, W) within a window to what one caster leaves of it."""
    drop, reach = (
        caster[2] - position[2],
        np.hypot(caster[5], caster[6]) + max(_CONTACT_M, _SUN_SOFT_M * (0.5 + _SUN_LENGTH_M)),
    )
    x0, y0 = position[0] - caster[0], position[1] - caster[1]
    fx, fy = 1.0 / lens[0], 1.0 / lens[1]
    for row in range(window[2], window[3]):
        ray_y = (row + 0.5 - lens[3]) * fy
        base_x, base_y = (
            rotation[1, 0] * ray_y + rotation[2, 0],
            rotation[1, 1] * ray_y + rotation[2, 1],
        )
        base_z = rotation[1, 2] * ray_y + rotation[2, 2]
        for column in range(window[0], window[1]):
            cover, ray_x = alpha[row, column], (column + 0.5 - lens[2]) * fx
            plane = drop / (rotation[0, 2] * ray_x + base_z)
            if cover <= 0.0 or not 0.0 < plane < 2 * _FAR_M:
                continue
            x = plane * (rotation[0, 0] * ray_x + base_x) + x0
            y = plane * (rotation[0, 1] * ray_x + base_y) + y0
            off = abs(depth[row, column] - plane)
            if abs(y * sun[0] - x * sun[1]) > reach or not off < (_LEVEL + _LEVEL_SOFT) * plane:
                continue
            level = min((_LEVEL + _LEVEL_SOFT - off / plane) / _LEVEL_SOFT, 1.0)
            here = 1.0 - cover * level * (1.0 - light_at(x, y, caster, sun))
            light[row, column] = min(light[row, column], here)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _lift_sole(caster, depth, position, rotation, lens, window, nearer):
    """Writes to `nearer` (H, W) depths of one caster's lowest part, nearer than they are."""
    above = max(position[2] - caster[2], 0.2)
    for row in range(window[2], window[3]):
        ray_y = (row + 0.5 - lens[3]) / lens[1]
        for column in range(window[0], window[1]):
            d, ray_x = depth[row, column], (column + 0.5 - lens[2]) / lens[0]
            if not d < 2 * _FAR_M:
                continue
            z = (
                d * (rotation[0, 2] * ray_x + rotation[1, 2] * ray_y + rotation[2, 2])
                + position[2]
                - caster[2]
            )
            x = (
                d * (rotation[0, 0] * ray_x + rotation[1, 0] * ray_y + rotation[2, 0])
                + position[0]
                - caster[0]
            )
            y = (
                d * (rotation[0, 1] * ray_x + rotation[1, 1] * ray_y + rotation[2, 1])
                + position[1]
                - caster[1]
            )
            if -0.1 < z < _SOLE_M and _outside(x, y, caster) < _SOLE_M:
                # A Gaussian is widened by about a pixel, which from afar is a longer stretch of
                # ground.
                stretch = min(_SOLE_NEARER_M + d * d / (lens[1] * above), _NEARER_M)
                less = stretch * (1.0 - max(z, 0.0) / _SOLE_M)
                nearer[row, column] = min(nearer[row, column], max(d - less, 0.5 * d))


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _caster(k, people, things, caster):
    """Writes the k-th of a view's people and things to `caster`; whether there is one."""
    if k >= len(people):
        caster[:] = things[k - len(people)]
        return True
    person = people[k]
    caster[0], caster[1], caster[2] = person[0], person[1], person[2]
    caster[3], caster[4] = np.cos(person[3]), np.sin(person[3])
    caster[5], caster[6], caster[7] = _PERSON
    return not np.isnan(person[0])


@numba.njit(cache=True, nogil=True, error_model="numpy")
def lift_soles(depth, positions, rotations, lenses, people, things, first, scene_id):
    """(V, H, W) depths of meshes, metres, that are a little nearer where feet and things touch the
    ground; see `shade_ground`.
    """
    views, height, width = depth.shape
    nearer, no_sun = depth.copy(), np.zeros(4)
    caster, window = np.zeros(CASTER), np.zeros(4, np.int64)
    for v in range(views):
        s = scene_id[v]
        here = things[first[s] : first[s + 1]]
        for k in range(people.shape[1] + len(here)):
            if not _caster(k, people[v], here, caster):
                continue
            if _window(
                caster, no_sun, positions[v], rotations[v], lenses[v], height, width, window
            ):
                _lift_sole(
                    caster, depth[v], positions[v], rotations[v], lenses[v], window, nearer[v]
                )
    return nearer


@numba.njit(cache=True, nogil=True, error_model="numpy")
def shade_ground(
    rgb, depth, alpha, positions, rotations, lenses, suns, people, things, first, scene_id
):
    """Darkens views (V) in place where people and things stand; where several shadows meet, the
    darkest counts.

    Args:
        rgb: (V, H, W, 3) uint8, changed in place.
        depth: (V, H, W) float32, metres along the optical axis.
        alpha: (V, H, W) float32, how much of a pixel the splats cover.
        positions, rotations, lenses: (V, 3), (V, 3, 3), (V, 4) of pinhole cameras, float64.
        suns: (S, 4) of each scene, from `shadow_directions`.
        people: (V, P, 7) rows of `render_meshes`.
        things: (K, 8) of all scenes; scene s has rows first[s] to first[s + 1].
        first: (S + 1,) int64.
        scene_id: (V,) int64.
    """
    views, height, width = depth.shape
    light, caster, window, box = (
        np.ones((height, width)),
        np.zeros(CASTER),
        np.zeros(4, np.int64),
        np.zeros(4, np.int64),
    )
    for v in range(views):
        s = scene_id[v]
        box[0], box[1], box[2], box[3] = width, 0, height, 0
        here = things[first[s] : first[s + 1]]
        for k in range(people.shape[1] + len(here)):
            if not _caster(k, people[v], here, caster):
                continue
            if not _window(
                caster, suns[s], positions[v], rotations[v], lenses[v], height, width, window
            ):
                continue
            _shade_caster(
                caster,
                suns[s],
                depth[v],
                alpha[v],
                positions[v],
                rotations[v],
                lenses[v],
                window,
                light,
            )
            box[0], box[1] = min(box[0], window[0]), max(box[1], window[1])
            box[2], box[3] = min(box[2], window[2]), max(box[3], window[3])
        for row in range(box[2], box[3]):
            for column in range(box[0], box[1]):
                if light[row, column] < 1.0:
                    for c in range(3):
                        rgb[v, row, column, c] = np.uint8(
                            rgb[v, row, column, c] * light[row, column] + 0.5
                        )
                    light[row, column] = 1.0


def shadow_directions(sky: np.ndarray) -> np.ndarray:
    """(S, 4) float64 for `light_at` of skies (S, 17), rows of `Sky.row()`: where shadows fall, how
    long, how dark.
    """
    sky = np.asarray(sky, dtype=np.float64)
    sun, level = sky[:, 7:10], np.hypot(sky[:, 7], sky[:, 8])
    up = np.maximum(sun[:, 2], 0.0)
    direct, ambient = sky[:, 10:13].mean(1) * up, sky[:, 13:16].mean(1)
    share = _SUN * direct / np.maximum(direct + ambient, 1e-6)
    slope = level / np.maximum(up, 1e-3)
    return np.column_stack(
        [-sun[:, :2] / np.maximum(level, 1e-9)[:, None], slope, np.where(up > 0.02, share, 0.0)]
    )
