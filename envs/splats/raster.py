"""Numba kernels of the splat rasteriser: 3DGS's mathematics (Kerbl et al. 2023; gsplat's variant of it) on a CPU.

One thread draws one whole view, so results do not depend on the number of threads. A view takes four steps: cull
clusters and project Gaussians (`_project`), sort them by depth (`_sort_by_depth`), list them per tile of 8 x 8 pixels
(`_bin`), blend each tile front to back (`_blend_tile`). Blending is written without branches over the 8 pixels of a
tile's row, so that the compiler turns it into vector instructions.
"""

import numba
import numpy as np

F32 = np.float32
TILE_BITS = 3
TILE = 1 << TILE_BITS
NEAR_M = 0.1

_NEAR = F32(NEAR_M)
_ZERO, _ONE, _HALF, _TWO = F32(0.0), F32(1.0), F32(0.5), F32(2.0)
_BLUR = F32(0.3)  # px^2 added to the projected covariance, as in 3DGS
_ALPHA_MAX = F32(0.999)
_ALPHA_MIN = F32(1.0 / 255.0)
_T_MIN = F32(1e-4)
_FOREVER = F32(1e30)  # metres, instead of infinity, so that subtraction works
_FOV_SLACK = F32(0.3)  # the Jacobian is taken at most this share of the half field of view beyond the image
_SH0 = F32(0.28209479177387814)

# exp(-p) for p in 0..6 is (exp(-3 / 8) exp(-s))^8 with s = p / 8 - 3 / 8 and the Chebyshev polynomial of degree 4 for
# exp(-s): relative error under 5e-5. A record's opacity holds the factor exp(-3), its conic the division by 8.
_S_MID = F32(0.375)
_E1, _E2, _E3, _E4 = F32(-0.9999482856), F32(0.4999913899), F32(-0.1681364240), F32(0.0419114213)
_EXP_M3 = F32(np.exp(-3.0))
_EIGHTH = F32(1 / 8)

# Runs of eight in a tile's row of pixels: x, the depth beyond which nothing is drawn (negative once a pixel is
# saturated), transmittance, and the sums of weight times red, green, blue and depth.
_PX, _LIMIT, _LIGHT, _SUM_R, _SUM_G, _SUM_B, _SUM_Z, RUNS = 0, TILE, 2 * TILE, 3 * TILE, 4 * TILE, 5 * TILE, 6 * TILE, 7

# Columns of a projected Gaussian: centre, conic, opacity, colour, depth, half height (px).
_MX, _MY, _CA, _CB, _CC, _OP, _RED, _GREEN, _BLUE, _Z, _EY, RECORD = range(12)


@numba.njit(cache=True, error_model="numpy")
def _sh_colour(sh, g, x, y, z, channel):
    """One colour channel of Gaussian g seen along the unit direction (x, y, z), degree 0 to 3, clipped at 0."""
    coefficients = sh.shape[1]
    value = _SH0 * sh[g, 0, channel]
    if coefficients > 1:
        value += F32(0.4886025119029199) * (z * sh[g, 2, channel] - y * sh[g, 1, channel] - x * sh[g, 3, channel])
    if coefficients > 4:
        value += F32(1.0925484305920792) * (x * y * sh[g, 4, channel] - y * z * sh[g, 5, channel])
        value += F32(0.31539156525252005) * (_TWO * z * z - x * x - y * y) * sh[g, 6, channel]
        value -= F32(1.0925484305920792) * x * z * sh[g, 7, channel]
        value += F32(0.5462742152960396) * (x * x - y * y) * sh[g, 8, channel]
    if coefficients > 9:
        three, four = F32(3.0), F32(4.0)
        xx, yy, zz = x * x, y * y, z * z
        value -= F32(0.5900435899266435) * y * (three * xx - yy) * sh[g, 9, channel]
        value += F32(2.890611442640554) * x * y * z * sh[g, 10, channel]
        value -= F32(0.4570457994644658) * y * (four * zz - xx - yy) * sh[g, 11, channel]
        value += F32(0.3731763325901154) * z * (_TWO * zz - three * xx - three * yy) * sh[g, 12, channel]
        value -= F32(0.4570457994644658) * x * (four * zz - xx - yy) * sh[g, 13, channel]
        value += F32(1.445305721320277) * z * (xx - yy) * sh[g, 14, channel]
        value -= F32(0.5900435899266435) * x * (xx - three * yy) * sh[g, 15, channel]
    return max(value + _HALF, _ZERO)


@numba.njit(cache=True, error_model="numpy")
def _tile_range(centre, extent, tiles):
    """First and one past the last tile that pixels within `extent` of `centre` lie in."""
    low = max(centre - extent - _HALF, _ZERO)
    high = min(centre + extent + _HALF, F32(tiles * TILE))
    return int(low) >> TILE_BITS, min((int(high) + TILE - 1) >> TILE_BITS, tiles)


@numba.njit(cache=True, error_model="numpy")
def _project(
    means, covs, opacities, reach2, sh, clusters, bounds, position, rotation, camera, width, height, records, rects,
):  # fmt: skip
    """Fills `records`, and `rects` with tiles, of the Gaussians that can touch the image; returns how many."""
    tiles_x, tiles_y = (int(width) + TILE - 1) >> TILE_BITS, (int(height) + TILE - 1) >> TILE_BITS
    fx, fy, cx, cy = camera[0], camera[1], camera[2], camera[3]
    r00, r01, r02 = rotation[0, 0], rotation[0, 1], rotation[0, 2]
    r10, r11, r12 = rotation[1, 0], rotation[1, 1], rotation[1, 2]
    r20, r21, r22 = rotation[2, 0], rotation[2, 1], rotation[2, 2]
    half_x, half_y = _HALF * width / fx, _HALF * height / fy
    low_x, high_x = -(cx / fx + _FOV_SLACK * half_x), (width - cx) / fx + _FOV_SLACK * half_x
    low_y, high_y = -(cy / fy + _FOV_SLACK * half_y), (height - cy) / fy + _FOV_SLACK * half_y
    # The four side planes two pixels out (the blur's reach), as slopes and the lengths of their normals.
    left, right = -(cx + _TWO) / fx, (width - cx + _TWO) / fx
    top, bottom = -(cy + _TWO) / fy, (height - cy + _TWO) / fy
    n_left, n_right = np.sqrt(_ONE + left * left), np.sqrt(_ONE + right * right)
    n_top, n_bottom = np.sqrt(_ONE + top * top), np.sqrt(_ONE + bottom * bottom)
    count = 0
    for k in range(len(clusters) - 1):
        px, py, pz = bounds[k, 0] - position[0], bounds[k, 1] - position[1], bounds[k, 2] - position[2]
        radius = bounds[k, 3]
        x = r00 * px + r01 * py + r02 * pz
        y = r10 * px + r11 * py + r12 * pz
        z = r20 * px + r21 * py + r22 * pz
        if z + radius < _NEAR or left * z - x > radius * n_left or x - right * z > radius * n_right:
            continue
        if top * z - y > radius * n_top or y - bottom * z > radius * n_bottom:
            continue
        for g in range(clusters[k], clusters[k + 1]):
            px, py, pz = means[g, 0] - position[0], means[g, 1] - position[1], means[g, 2] - position[2]
            z = r20 * px + r21 * py + r22 * pz
            if z < _NEAR:
                continue
            x = r00 * px + r01 * py + r02 * pz
            y = r10 * px + r11 * py + r12 * pz
            inv = _ONE / z
            tx, ty = x * inv, y * inv
            mx, my = fx * tx + cx, fy * ty + cy
            tx, ty = min(max(tx, low_x), high_x), min(max(ty, low_y), high_y)
            # Rows of J R, with J the projection's Jacobian at the (clamped) centre.
            fxz, fyz = fx * inv, fy * inv
            a0, a1, a2 = fxz * (r00 - tx * r20), fxz * (r01 - tx * r21), fxz * (r02 - tx * r22)
            b0, b1, b2 = fyz * (r10 - ty * r20), fyz * (r11 - ty * r21), fyz * (r12 - ty * r22)
            sxx, sxy, sxz = covs[g, 0], covs[g, 1], covs[g, 2]
            syy, syz, szz = covs[g, 3], covs[g, 4], covs[g, 5]
            u0, u1, u2 = sxx * a0 + sxy * a1 + sxz * a2, sxy * a0 + syy * a1 + syz * a2, sxz * a0 + syz * a1 + szz * a2
            w0, w1, w2 = sxx * b0 + sxy * b1 + sxz * b2, sxy * b0 + syy * b1 + syz * b2, sxz * b0 + syz * b1 + szz * b2
            c00 = a0 * u0 + a1 * u1 + a2 * u2 + _BLUR
            c01 = b0 * u0 + b1 * u1 + b2 * u2
            c11 = b0 * w0 + b1 * w1 + b2 * w2 + _BLUR
            # Where alpha falls to 1/255: gsplat's opacity-aware extent, at most 3.33 sigma.
            ex, ey = np.sqrt(reach2[g] * c00), np.sqrt(reach2[g] * c11)
            if not (mx + ex > _ZERO and mx - ex < width and my + ey > _ZERO and my - ey < height):
                continue
            det = c00 * c11 - c01 * c01
            if not det > _ZERO:
                continue
            records[count, _MX], records[count, _MY], records[count, _Z], records[count, _EY] = mx, my, z, ey
            records[count, _OP] = opacities[g] * _EXP_M3
            inv = _EIGHTH / det
            records[count, _CA], records[count, _CC] = _HALF * c11 * inv, _HALF * c00 * inv
            records[count, _CB] = -c01 * inv
            rects[count, 0], rects[count, 1] = _tile_range(mx, ex, tiles_x)
            rects[count, 2], rects[count, 3] = _tile_range(my, ey, tiles_y)
            if sh.shape[1] > 1:
                norm = _ONE / np.sqrt(px * px + py * py + pz * pz)
                px, py, pz = px * norm, py * norm, pz * norm
            for channel in range(3):
                records[count, _RED + channel] = _sh_colour(sh, g, px, py, pz, channel)
            count += 1
    return count


@numba.njit(cache=True, error_model="numpy")
def _sort_by_depth(records, count, keys, order, keys2, order2):
    """Stable radix sort of depths: bits of positive floats rise with their value. The result lies in `order2`."""
    hist = np.zeros((3, 2048), np.int64)
    depth = np.empty(count, np.float32)
    for i in range(count):
        depth[i] = records[i, _Z]
    bits = depth.view(np.uint32)
    for i in range(count):
        key = bits[i]
        keys[i], order[i] = key, i
        hist[0, key & 2047] += 1
        hist[1, (key >> 11) & 2047] += 1
        hist[2, key >> 22] += 1
    for p in range(3):
        total = 0
        for b in range(2048):
            here = hist[p, b]
            hist[p, b] = total
            total += here
    for p in range(3):
        shift = 11 * p
        for i in range(count):
            key = keys[i]
            digit = (key >> shift) & 2047
            slot = hist[p, digit]
            hist[p, digit] = slot + 1
            keys2[slot], order2[slot] = key, order[i]
        if p < 2:
            keys, keys2 = keys2, keys
            order, order2 = order2, order


@numba.njit(cache=True, error_model="numpy")
def _bin(rects, count, order, tiles_x, tiles_y):
    """Lists Gaussians per tile, nearest first: tile t's are `listed[starts[t] : starts[t + 1]]`."""
    starts = np.zeros(tiles_x * tiles_y + 2, np.int64)
    for i in range(count):
        for ty in range(rects[i, 2], rects[i, 3]):
            for tx in range(rects[i, 0], rects[i, 1]):
                starts[ty * tiles_x + tx + 2] += 1
    for t in range(2, len(starts)):
        starts[t] += starts[t - 1]
    listed = np.empty(starts[-1], np.int32)
    for k in range(count):
        i = order[k]
        for ty in range(rects[i, 2], rects[i, 3]):
            for tx in range(rects[i, 0], rects[i, 1]):
                t = ty * tiles_x + tx + 1
                listed[starts[t]] = i
                starts[t] += 1
    return starts, listed


@numba.njit(cache=True, error_model="numpy")
def _blend_tile(records, listed, pixels, top):
    """Blends Gaussians into one tile of `pixels` (TILE, RUNS * TILE); `top` is y at the first row's centres."""
    for n in range(len(listed)):
        rec = records[listed[n]]
        mx, my, ca, cb, cc, opacity = rec[_MX], rec[_MY], rec[_CA], rec[_CB], rec[_CC], rec[_OP]
        red, green, blue, depth = rec[_RED], rec[_GREEN], rec[_BLUE], rec[_Z]
        # Rows whose centres lie within the Gaussian's reach.
        first = max(int(my - rec[_EY] - top), 0)
        last = min(int(my + rec[_EY] - top + _ONE), TILE)
        for r in range(first, last):
            row = pixels[r]
            dy = top + F32(r) - my
            linear, constant = cb * dy, cc * dy * dy - _S_MID
            for k in range(TILE):
                dx = row[_PX + k] - mx
                s = dx * (ca * dx + linear) + constant
                s = s if s < _S_MID else _S_MID
                e = _ONE + s * (_E1 + s * (_E2 + s * (_E3 + s * _E4)))
                e = e * e
                e = e * e
                alpha = opacity * (e * e)
                alpha = alpha if alpha < _ALPHA_MAX else _ALPHA_MAX
                alpha = alpha if alpha >= _ALPHA_MIN else _ZERO
                limit, light = row[_LIMIT + k], row[_LIGHT + k]
                alpha = alpha if depth <= limit else _ZERO
                # A Gaussian that would end a pixel's light is not drawn, nor any behind it: 3DGS's stopping rule.
                weight = alpha * light
                goes_on = light - weight > _T_MIN
                weight = weight if goes_on else _ZERO
                # A sum, since the compiler would turn `limit if goes_on else -1` into a slow masked store.
                row[_LIMIT + k] = limit + (_ZERO if goes_on else -_TWO * _FOREVER)
                row[_LIGHT + k] = light - weight
                row[_SUM_R + k] += weight * red
                row[_SUM_G + k] += weight * green
                row[_SUM_B + k] += weight * blue
                row[_SUM_Z + k] += weight * depth
        if n & 15 == 15:
            alive = 0
            for r in range(TILE):
                for k in range(TILE):
                    alive += depth <= pixels[r, _LIMIT + k]
            if alive == 0:
                return


@numba.njit(cache=True, error_model="numpy")
def _draw_tiles(records, starts, listed, tiles_x, back_rgb, back_depth, rgb, depth, alpha):
    """Blends every tile over the background and writes the view's images."""
    height, width = rgb.shape[0], rgb.shape[1]
    pixels = np.zeros((TILE, RUNS * TILE), np.float32)
    for t in range(len(starts) - 2):
        x0, y0 = (t % tiles_x) * TILE, (t // tiles_x) * TILE
        for r in range(TILE):
            for k in range(TILE):
                inside = x0 + k < width and y0 + r < height
                pixels[r, _PX + k] = F32(x0 + k) + _HALF
                pixels[r, _LIMIT + k] = min(back_depth[y0 + r, x0 + k], _FOREVER) if inside else -_ONE
                pixels[r, _LIGHT + k] = _ONE
                for run in range(_SUM_R, RUNS * TILE, TILE):
                    pixels[r, run + k] = _ZERO
        _blend_tile(records, listed[starts[t] : starts[t + 1]], pixels, F32(y0) + _HALF)
        for v in range(y0, min(y0 + TILE, height)):
            for u in range(x0, min(x0 + TILE, width)):
                r, k = v - y0, u - x0
                light = pixels[r, _LIGHT + k]
                for c in range(3):
                    value = F32(255.0) * pixels[r, _SUM_R + c * TILE + k] + light * back_rgb[v, u, c]
                    rgb[v, u, c] = np.uint8(min(value + _HALF, F32(255.0)))
                covered, far = _ONE - light, back_depth[v, u]
                alpha[v, u] = covered
                if far < F32(np.inf):
                    depth[v, u] = pixels[r, _SUM_Z + k] + light * far
                elif covered > _ZERO:
                    depth[v, u] = pixels[r, _SUM_Z + k] / covered
                else:
                    depth[v, u] = F32(np.inf)


@numba.njit(cache=True, error_model="numpy")
def _draw_share(
    first, step, means, covs, opacities, reach2, sh, clusters, bounds, positions, rotations, camera, back_rgb,
    back_depth, rgb, depth, alpha,
):  # fmt: skip
    """Draws views first, first + step, and so on."""
    views, height, width = depth.shape
    tiles_x, tiles_y = (width + TILE - 1) // TILE, (height + TILE - 1) // TILE
    records, rects = np.empty((len(means), RECORD), np.float32), np.empty((len(means), 4), np.int16)
    keys, keys2 = np.empty(len(means), np.uint32), np.empty(len(means), np.uint32)
    order, order2 = np.empty(len(means), np.int32), np.empty(len(means), np.int32)
    for v in range(first, views, step):
        count = _project(
            means, covs, opacities, reach2, sh, clusters, bounds, positions[v], rotations[v], camera,
            F32(width), F32(height), records, rects,
        )  # fmt: skip
        _sort_by_depth(records, count, keys, order, keys2, order2)
        starts, listed = _bin(rects, count, order2, tiles_x, tiles_y)
        _draw_tiles(
            records, starts, listed, tiles_x, back_rgb[v % len(back_rgb)], back_depth[v % len(back_depth)],
            rgb[v], depth[v], alpha[v],
        )  # fmt: skip


@numba.njit(cache=True, parallel=True, error_model="numpy")
def render_views(
    means, covs, opacities, reach2, sh, clusters, bounds, positions, rotations, camera, back_rgb, back_depth, workers,
    rgb, depth, alpha,
):  # fmt: skip
    """Draws all views on `workers` threads; arrays as in `envs/splat_render.py`."""
    for w in numba.prange(workers):  # a body of one call, which compiles faster than the loop over views
        _draw_share(
            w, workers, means, covs, opacities, reach2, sh, clusters, bounds, positions, rotations, camera, back_rgb,
            back_depth, rgb, depth, alpha,
        )  # fmt: skip
