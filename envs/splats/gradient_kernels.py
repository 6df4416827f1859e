"""Numba kernels of the splat rasteriser with gradients: what a view shows, and how that changes
with every Gaussian.

Forward is the blending of `envs/splats/raster.py`, after a plain projection that keeps every
Gaussian at its place. Backward goes through each tile once more, nearest Gaussian first as well:
what lies behind a Gaussian is the pixel's sum, which is known by then, less what came before. Every
entry of a tile has a row of its own for gradients, so threads share nothing, and sums are formed in
one order whatever their number.
"""

import math

import numba
import numpy as np

from s2e.envs.raster.lanes import fill_f8, inlined, lanes_at, put_lanes, ramp, select
from s2e.envs.splats.project import (
    BLUE,
    BLUR,
    CA,
    CB,
    CC,
    EX,
    EY,
    GREEN,
    INV_ROW,
    INV_YY,
    LOG2_ALPHA_MIN,
    LOG2_OPACITY,
    MX,
    MY,
    NEAR_M,
    REACH2,
    RECORD,
    RED,
    SHIFT,
    Z,
    look_through,
)
from s2e.envs.splats.raster import (
    AREA,
    LOG2_ALPHA_MAX,
    PIXELS,
    RUN,
    SUM_R,
    T_MIN,
    TILE,
    blend_tile,
    empty_tiles,
    list_in_tiles,
    lit_rows,
    sort_by_depth,
)
from s2e.envs.splats.raster_lanes import least, part, powers_of_two, sum_of_lanes

F32 = np.float32
_LOG2_E, _LN_2 = F32(np.log2(np.e)), F32(np.log(2.0))
_REACH2_OF_LOG2 = F32(2 * np.log(2))

# Columns of an entry's gradients: of log2 of the opacity, its moments in x and y from the centre,
# and of colour and depth.
_G_L, _G_X, _G_Y, _G_XX, _G_XY, _G_YY, _G_R, _G_G, _G_B, _G_Z, GRADS = range(11)
_ZERO, _ONE, _HALF, _TWO = F32(0.0), F32(1.0), F32(0.5), F32(2.0)

kernel = numba.njit(cache=True, error_model="numpy", nogil=True)


@kernel
def fill_view(camera, rotation, position, width, height, view):
    """Fills `view` (32,) float32 with what `look_through` puts there for a pinhole camera."""
    look_through(camera, rotation, position, F32(width), F32(height), False, F32(0.0), view)


@inlined
def _turn(quats, i, turn):
    """Fills `turn` (9,) with the rotation matrix of the i-th quaternion, which has unit length."""
    w, x, y, z = quats[i, 0], quats[i, 1], quats[i, 2], quats[i, 3]
    turn[0], turn[1], turn[2] = (
        _ONE - _TWO * (y * y + z * z),
        _TWO * (x * y - w * z),
        _TWO * (x * z + w * y),
    )
    turn[3], turn[4], turn[5] = (
        _TWO * (x * y + w * z),
        _ONE - _TWO * (x * x + z * z),
        _TWO * (y * z - w * x),
    )
    turn[6], turn[7], turn[8] = (
        _TWO * (x * z - w * y),
        _TWO * (y * z + w * x),
        _ONE - _TWO * (x * x + y * y),
    )


@inlined
def _rows(view, x, y, z, a, b):
    """Fills `a` and `b` (3,) with the rows of the Jacobian times the view's rotation; where slopes
    are clamped as in 3DGS.
    """
    tx, ty = min(max(x / z, view[16]), view[17]), min(max(y / z, view[18]), view[19])
    fx, fy = view[12] / z, view[13] / z
    for k in range(3):
        a[k] = fx * (view[k] - tx * view[6 + k])
        b[k] = fy * (view[3 + k] - ty * view[6 + k])


@inlined
def _seen_from(means, i, view):
    """Where a centre is in the optical frame."""
    px, py, pz = means[i, 0] - view[9], means[i, 1] - view[10], means[i, 2] - view[11]
    x = view[0] * px + view[1] * py + view[2] * pz
    y = view[3] * px + view[4] * py + view[5] * pz
    return x, y, view[6] * px + view[7] * py + view[8] * pz


@inlined
def _spread(turn, scales, i, a, u):
    """Fills `u` (3,) with a row of the Jacobian in the Gaussian's own axes, in standard
    deviations.
    """
    for k in range(3):
        u[k] = (turn[k] * a[0] + turn[3 + k] * a[1] + turn[6 + k] * a[2]) * scales[i, k]


@kernel
def project_share(
    worker, workers, means, quats, scales, opacities, colours, view, width, height, records, seen
):
    """Fills in the records of every `workers`-th run of Gaussians, and `seen` (G,) whether they can
    draw on the image.
    """
    turn, a, b, u, v = (
        np.empty(9, F32),
        np.empty(3, F32),
        np.empty(3, F32),
        np.empty(3, F32),
        np.empty(3, F32),
    )
    count = len(means)
    for i in range(worker * count // workers, (worker + 1) * count // workers):
        seen[i] = 0
        x, y, z = _seen_from(means, i, view)
        if not (z >= F32(NEAR_M) and opacities[i] > _ZERO):
            continue
        strength = F32(math.log2(opacities[i]))
        if strength <= LOG2_ALPHA_MIN:
            continue
        _turn(quats, i, turn)
        _rows(view, x, y, z, a, b)
        _spread(turn, scales, i, a, u)
        _spread(turn, scales, i, b, v)
        c00 = u[0] * u[0] + u[1] * u[1] + u[2] * u[2] + F32(BLUR)
        c11 = v[0] * v[0] + v[1] * v[1] + v[2] * v[2] + F32(BLUR)
        c01 = u[0] * v[0] + u[1] * v[1] + u[2] * v[2]
        det = c00 * c11 - c01 * c01
        mx, my = view[12] * x / z + view[14], view[13] * y / z + view[15]
        reach2 = (strength - LOG2_ALPHA_MIN) * _REACH2_OF_LOG2
        ex, ey = F32(math.sqrt(reach2 * c00)), F32(math.sqrt(reach2 * c11))
        if not (
            det > _ZERO
            and mx + ex > _ZERO
            and mx - ex < width
            and my + ey > _ZERO
            and my - ey < height
        ):
            continue
        seen[i] = 1
        at, inv = i * RECORD, _ONE / det
        records[at + MX], records[at + MY], records[at + Z] = mx, my, z
        inv *= _LOG2_E
        records[at + CA], records[at + CB], records[at + CC] = (
            c11 * inv * _HALF,
            -c01 * inv,
            c00 * inv * _HALF,
        )
        records[at + LOG2_OPACITY] = strength
        records[at + RED], records[at + GREEN], records[at + BLUE] = (
            colours[i, 0],
            colours[i, 1],
            colours[i, 2],
        )
        records[at + SHIFT], records[at + INV_YY], records[at + INV_ROW] = (
            c01 / c11,
            _ONE / c11,
            c11 / det,
        )
        records[at + REACH2], records[at + EX], records[at + EY] = reach2, ex, ey


@kernel
def list_all(
    records, seen, place, height, width, pixels, counts, starts, tiles, entries, grouped, slots
):
    """Empties the tiles and lists which Gaussians reach which, nearest first.

    `starts` (T + 1,) becomes where a tile's entries lie in `grouped`; `slots` says which entry of
    `entries`, where those of one Gaussian are together, each is. Returns how many there are, -1
    where `entries` is too short for them.
    """
    size = place[2] * place[3]
    rows_alive, nearest = np.empty(size, np.int32), np.empty(size, F32)
    empty_tiles(
        place, height, width, np.empty(0, F32), False, pixels, rows_alive, np.empty(0, F32), nearest
    )
    shown = 0
    for i in range(len(seen)):
        shown += seen[i]
    keys, keys2, order, order2 = (
        np.empty(shown, F32),
        np.empty(shown, np.uint32),
        np.empty(shown, np.int32),
        np.empty(shown, np.int32),
    )
    n = 0
    for i in range(len(seen)):
        if seen[i]:
            keys[n], order[n] = records[i * RECORD + Z], i
            n += 1
    by_depth = (
        order2
        if sort_by_depth(
            keys.view(np.uint32), order, keys2, order2, shown, np.empty((3, 2048), np.int32)
        )
        else order
    )
    counts[:] = 0
    listed, total = 0, 0
    if shown > 0:
        listed, total = list_in_tiles(
            records, by_depth, 0, shown, place, rows_alive, counts, tiles, entries
        )
    if listed < shown:
        return -1
    starts[0] = 0
    for t in range(size):
        starts[t + 1] = starts[t] + counts[t]
        counts[t] = starts[t]
    for k in range(total):
        t = tiles[k]
        grouped[counts[t]], slots[counts[t]] = entries[k], k
        counts[t] += 1
    return total


@kernel
def blend_share(worker, workers, records, place, starts, grouped, pixels):
    """Blends every `workers`-th tile into `pixels`, which `list_all` emptied."""
    items, scratch = np.empty((RUN + 1) * TILE, np.int32), np.empty(4 * TILE, F32)
    size = place[2] * place[3]
    rows_alive, nearest, limits = np.empty(size, np.int32), np.empty(size, F32), np.empty(0, F32)
    for t in range(worker, size, workers):
        rows_alive[t], nearest[t] = lit_rows(pixels, t * PIXELS), F32(np.inf)
        blend_tile(
            records,
            grouped,
            starts[t],
            starts[t + 1],
            place,
            t,
            pixels,
            rows_alive,
            limits,
            nearest,
            items,
            scratch,
        )


@kernel
def blend_back_share(
    worker, workers, records, place, height, width, starts, grouped, slots, pixels, upstream, grads
):
    """Writes the gradients of every `workers`-th tile's entries to `grads` (entries, GRADS), flat,
    which hold zeros.

    `upstream` is laid out as `pixels`: gradients of a pixel's light, red, green, blue and depth.
    """
    light, before, total = np.empty(AREA, F32), np.empty(AREA, F32), np.empty(AREA, F32)
    xs, ys = np.empty(TILE, F32), np.empty(TILE, F32)
    for t in range(worker, place[2] * place[3], workers):
        begin, end, base = starts[t], starts[t + 1], t * PIXELS
        if begin == end:
            continue
        x0, y0 = (place[0] + t % place[2]) * TILE, (place[1] + t // place[2]) * TILE
        for k in range(TILE):
            xs[k], ys[k] = F32(x0 + k) + _HALF, F32(y0 + k) + _HALF
        for r in range(TILE):
            inside = width - x0 if y0 + r < height else 0
            at = base + r * TILE
            put_lanes(light, r * TILE, select(ramp() < F32(inside), fill_f8(1.0), fill_f8(-1.0)))
            put_lanes(before, r * TILE, fill_f8(0.0))
            left = lanes_at(pixels, at)
            whole = select(left < 0.0, 0.0 - left, left) * lanes_at(upstream, at)
            for c in range(1, 5):
                whole = whole + lanes_at(pixels, at + c * AREA) * lanes_at(upstream, at + c * AREA)
            put_lanes(total, r * TILE, whole)
        _blend_back_tile(
            records, grouped, slots, begin, end, upstream, base, light, before, total, xs, ys, grads
        )


@part
def _blend_back_tile(
    records, grouped, slots, begin, end, upstream, base, light, before, total, xs, ys, grads
):
    """Gradients of one tile's entries; `light`, `before` and `total` (64,) are what is left, was
    and will be blended at its pixels.
    """
    alive, across = 255, lanes_at(xs, 0)
    for n in range(begin, end):
        if (n - begin) % RUN == 0:
            alive = lit_rows(light, 0)
            if alive == 0:
                return
        at = int(grouped[n] & 0xFFFFFFFF) * RECORD
        rows = int(grouped[n] >> 32) & alive
        if rows == 0:
            continue
        dx = across - records[at + MX]
        none = fill_f8(0.0)
        g_l, g_x, g_y, g_xx, g_xy, g_yy, g_r, g_g, g_b, g_z = (
            none,
            none,
            none,
            none,
            none,
            none,
            none,
            none,
            none,
            none,
        )
        for r in range(TILE):
            if (rows >> r) & 1 == 0:
                continue
            q, up = r * TILE, base + r * TILE
            dy = ys[r] - records[at + MY]
            y = (
                records[at + LOG2_OPACITY]
                - dx * dx * records[at + CA]
                - (dx * records[at + CB] + dy * records[at + CC]) * dy
            )
            shown = lanes_at(light, q)
            alpha = powers_of_two(least(y, fill_f8(LOG2_ALPHA_MAX)))
            alpha = select(y >= LOG2_ALPHA_MIN, alpha, none)
            weight = alpha * shown
            after = shown - weight
            goes_on = after > T_MIN
            weight = select(goes_on, weight, none)
            put_lanes(light, q, select(goes_on, after, select(shown < 0.0, shown, 0.0 - shown)))
            red, green, blue, deep = (
                lanes_at(upstream, up + SUM_R),
                lanes_at(upstream, up + SUM_R + AREA),
                lanes_at(upstream, up + SUM_R + 2 * AREA),
                lanes_at(upstream, up + SUM_R + 3 * AREA),
            )
            value = (
                red * records[at + RED]
                + green * records[at + GREEN]
                + blue * records[at + BLUE]
                + deep * records[at + Z]
            )
            past = lanes_at(before, q) + weight * value
            put_lanes(before, q, past)
            behind = lanes_at(total, q) - past
            slope = shown * value - behind / (1.0 - alpha)
            slope = select(goes_on & (y < LOG2_ALPHA_MAX), slope * alpha * _LN_2, none)
            g_l = g_l + slope
            slope_x, slope_y = slope * dx, slope * dy
            g_x, g_y = g_x + slope_x, g_y + slope_y
            g_xx, g_xy, g_yy = g_xx + slope_x * dx, g_xy + slope_x * dy, g_yy + slope_y * dy
            g_r, g_g, g_b, g_z = (
                g_r + weight * red,
                g_g + weight * green,
                g_b + weight * blue,
                g_z + weight * deep,
            )
        to = np.int64(slots[n]) * GRADS
        grads[to + _G_L], grads[to + _G_X], grads[to + _G_Y] = (
            sum_of_lanes(g_l),
            sum_of_lanes(g_x),
            sum_of_lanes(g_y),
        )
        grads[to + _G_XX], grads[to + _G_XY], grads[to + _G_YY] = (
            sum_of_lanes(g_xx),
            sum_of_lanes(g_xy),
            sum_of_lanes(g_yy),
        )
        grads[to + _G_R], grads[to + _G_G], grads[to + _G_B] = (
            sum_of_lanes(g_r),
            sum_of_lanes(g_g),
            sum_of_lanes(g_b),
        )
        grads[to + _G_Z] = sum_of_lanes(g_z)


@kernel
def sum_entries(entries, total, grads, sums):
    """Adds up the gradients of each Gaussian's entries in `sums` (G, GRADS), which holds zeros."""
    for k in range(total):
        i, at = int(entries[k] & 0xFFFFFFFF), k * GRADS
        for c in range(GRADS):
            sums[i, c] += grads[at + c]


@kernel
def project_back_share(
    worker,
    workers,
    means,
    quats,
    scales,
    opacities,
    view,
    records,
    seen,
    sums,
    g_means,
    g_quats,
    g_scales,
    g_opacities,
    g_colours,
):
    """Fills in the gradients of every `workers`-th run of Gaussians from those of their records; of
    what was not seen they are zero.
    """
    turn, a, b, u, v = (
        np.empty(9, F32),
        np.empty(3, F32),
        np.empty(3, F32),
        np.empty(3, F32),
        np.empty(3, F32),
    )
    g_a, g_b, g_u, g_v, g_turn = (
        np.empty(3, F32),
        np.empty(3, F32),
        np.empty(3, F32),
        np.empty(3, F32),
        np.empty(9, F32),
    )
    count = len(means)
    for i in range(worker * count // workers, (worker + 1) * count // workers):
        g_opacities[i] = _ZERO
        for k in range(3):
            g_means[i, k], g_scales[i, k], g_colours[i, k] = _ZERO, _ZERO, _ZERO
        for k in range(4):
            g_quats[i, k] = _ZERO
        if not seen[i]:
            continue
        at, s = i * RECORD, sums[i]
        ca, cb, cc = records[at + CA], records[at + CB], records[at + CC]
        g_mx, g_my = _TWO * ca * s[_G_X] + cb * s[_G_Y], cb * s[_G_X] + _TWO * cc * s[_G_Y]
        g_opacities[i] = s[_G_L] * _LOG2_E / opacities[i]
        g_colours[i, 0], g_colours[i, 1], g_colours[i, 2] = s[_G_R], s[_G_G], s[_G_B]
        # The conic is the inverse of the covariance: dL/dcovariance = - conic * dL/dconic * conic.
        q00, q01, q11 = _TWO * ca / _LOG2_E, cb / _LOG2_E, _TWO * cc / _LOG2_E
        g00, g01, g11 = (
            -s[_G_XX] * _LOG2_E * _HALF,
            -s[_G_XY] * _LOG2_E * _HALF,
            -s[_G_YY] * _LOG2_E * _HALF,
        )
        m00, m01, m10, m11 = (
            q00 * g00 + q01 * g01,
            q00 * g01 + q01 * g11,
            q01 * g00 + q11 * g01,
            q01 * g01 + q11 * g11,
        )
        h00, h01, h11 = (
            -(m00 * q00 + m01 * q01),
            -_TWO * (m00 * q01 + m01 * q11),
            -(m10 * q01 + m11 * q11),
        )
        x, y, z = _seen_from(means, i, view)
        _turn(quats, i, turn)
        _rows(view, x, y, z, a, b)
        _spread(turn, scales, i, a, u)
        _spread(turn, scales, i, b, v)
        for k in range(3):
            g_u[k], g_v[k] = _TWO * h00 * u[k] + h01 * v[k], _TWO * h11 * v[k] + h01 * u[k]
        for row in range(3):
            g_a[row], g_b[row] = _ZERO, _ZERO
            for k in range(3):
                part_of = turn[3 * row + k] * scales[i, k]
                g_a[row] += part_of * g_u[k]
                g_b[row] += part_of * g_v[k]
                g_turn[3 * row + k] = a[row] * g_u[k] + b[row] * g_v[k]
        for k in range(3):
            g_scales[i, k] = (
                g_turn[k] * turn[k] + g_turn[3 + k] * turn[3 + k] + g_turn[6 + k] * turn[6 + k]
            )
            for row in range(3):
                g_turn[3 * row + k] *= scales[i, k]
        _turn_back(quats, i, g_turn, g_quats)
        # Through the Jacobian: a = fx / z (R0 - tx R2), tx the slope x / z, clamped.
        fx, fy, inv = view[12] / z, view[13] / z, _ONE / z
        tx, ty = x * inv, y * inv
        tx_on, ty_on = min(max(tx, view[16]), view[17]), min(max(ty, view[18]), view[19])
        g_tx = -fx * (g_a[0] * view[6] + g_a[1] * view[7] + g_a[2] * view[8])
        g_ty = -fy * (g_b[0] * view[6] + g_b[1] * view[7] + g_b[2] * view[8])
        g_z = s[_G_Z] - inv * (
            g_a[0] * a[0]
            + g_a[1] * a[1]
            + g_a[2] * a[2]
            + g_b[0] * b[0]
            + g_b[1] * b[1]
            + g_b[2] * b[2]
        )
        g_x, g_y = g_mx * fx, g_my * fy
        g_z -= g_mx * fx * tx + g_my * fy * ty
        if tx_on == tx:
            g_x += g_tx * inv
            g_z -= g_tx * inv * tx
        if ty_on == ty:
            g_y += g_ty * inv
            g_z -= g_ty * inv * ty
        for k in range(3):
            g_means[i, k] = view[k] * g_x + view[3 + k] * g_y + view[6 + k] * g_z


@inlined
def _turn_back(quats, i, g, g_quats):
    """Gradients of a quaternion from those of its rotation matrix, `g` (9,)."""
    w, x, y, z = quats[i, 0], quats[i, 1], quats[i, 2], quats[i, 3]
    g_quats[i, 0] = _TWO * (x * (g[7] - g[5]) + y * (g[2] - g[6]) + z * (g[3] - g[1]))
    g_quats[i, 1] = _TWO * (
        y * (g[1] + g[3]) + z * (g[2] + g[6]) + w * (g[7] - g[5]) - _TWO * x * (g[4] + g[8])
    )
    g_quats[i, 2] = _TWO * (
        x * (g[1] + g[3]) + z * (g[5] + g[7]) + w * (g[2] - g[6]) - _TWO * y * (g[0] + g[8])
    )
    g_quats[i, 3] = _TWO * (
        x * (g[2] + g[6]) + y * (g[5] + g[7]) + w * (g[3] - g[1]) - _TWO * z * (g[0] + g[4])
    )
