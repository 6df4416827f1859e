"""Numba kernels of the splat rasteriser: 3DGS's mathematics (Kerbl et al. 2023; gsplat's variant of it) on a CPU.

One thread draws one region of a view, or all of it: nothing is shared, and what a pixel gets depends on the order of depths alone, so
results do not depend on the number of threads. Clusters of Gaussians are taken front to back, some thousand Gaussians at a
time: projected unless all tiles behind which they would lie are opaque (`_take`), sorted (`_sort`), listed per
tile of 8 x 8 pixels (`_list`) with the rows in which they reach a pixel, and blended (`_blend`).
"""

import numba
import numpy as np

from s2e.envs.lanes import ceilings, fill_f8, kernel, lanes_at, mask_bits, put_lanes, ramp, roots, select, settled
from s2e.envs.splats.project import (
    BLUE, CA, CB, CC, GREEN, INV_YY, LOG2_ALPHA_MIN, LOG2_OPACITY, MX, MY, REACH2, RECORD, RED, ROW_VAR, SHIFT, TILE,
    TILE_BITS, TILES, Z, find_clusters, look_through, project_cluster, sphere_on_image, tile_range,
)  # fmt: skip
from s2e.envs.splats.project_pack import BLOCKS
from s2e.envs.splats.raster_lanes import bits_of_floats, floats_of_bits, floors, least, most, powers_of_two

F32 = np.float32
_ZERO, _ONE, _HALF = F32(0.0), F32(1.0), F32(0.5)
_LOG2_ALPHA_MAX = F32(np.log2(0.999))
_T_MIN = F32(1e-4)
_SIGN = np.int32(-(2**31))
_INFINITY = F32(np.inf)

# A tile's pixels: runs of 64, a row of eight after the other. Transmittance, negative once a pixel takes no more light (saturated,
# outside the image, or hidden by the background), and sums of weight times red, green, blue and depth.
_AREA = TILE * TILE
_LIGHT, _SUM_R, _SUM_G, _SUM_B, _SUM_Z, PIXELS = 0, _AREA, 2 * _AREA, 3 * _AREA, 4 * _AREA, 5 * _AREA

_BATCH = 4096  # Gaussians that are taken before they are drawn
_PAIRS = 1 << 18  # Gaussians in tiles that are listed before they are drawn
_ALL_ROWS = (1 << TILE) - 1


@numba.njit(cache=True, error_model="numpy")
def _sort(keys, order, keys2, order2, count, hist):
    """Stable radix sort of positive float32, given as their bits: these rise with the value. The result lies in `order2`."""
    hist[:] = 0
    for i in range(count):
        key = keys[i]
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


@kernel
def _hidden(box, first_x, first_y, columns, rows, rows_alive):
    """Whether all tiles under a box of pixels take no more light."""
    x0, x1 = max(int(max(box[0], _ZERO)) >> TILE_BITS, first_x), min(int(min(box[1], F32(1e6))) >> TILE_BITS, first_x + columns - 1)
    y0, y1 = max(int(max(box[2], _ZERO)) >> TILE_BITS, first_y), min(int(min(box[3], F32(1e6))) >> TILE_BITS, first_y + rows - 1)
    for ty in range(y0, y1 + 1):
        for tx in range(x0, x1 + 1):
            if rows_alive[(ty - first_y) * columns + tx - first_x] != 0:
                return False
    return True


@kernel
def _list(records, order, begin, end, place, rows_alive, counts, tiles, entries):
    """Lists which Gaussians reach which tiles in which rows, nearest first, until `entries` might overflow.

    `place` is the region in tiles: first column, first row, columns, rows. An entry is a record's number and, above bit 32, eight bits for
    rows. Returns how many Gaussians and entries were listed.
    """
    first_x, first_y, columns, height = place[0], place[1], place[2], place[3]
    low_x, high_x = F32(first_x * TILE), F32((first_x + columns) * TILE)
    low_y, high_y = F32(first_y * TILE), F32((first_y + height) * TILE)
    total = 0
    for n in range(begin, end):
        i = order[n]
        at = i * RECORD
        if n > begin and total + int(records[at + TILES]) > len(entries):
            return n, total
        mx, my, reach2 = records[at + MX], records[at + MY], records[at + REACH2]
        shift, inv_yy, variance = records[at + SHIFT], records[at + INV_YY], records[at + ROW_VAR]
        ey, sxx = np.sqrt(reach2 / inv_yy), variance + shift * shift / inv_yy
        y0, y1 = tile_range(my, ey, low_y, high_y)
        x0, x1 = tile_range(mx, np.sqrt(reach2 * sxx), low_x, high_x)
        for ty in range(y0, y1):
            # The pixels of each of eight rows whose centres lie within the reach.
            dy = ramp() + (F32(ty * TILE) + _HALF - my)
            rest = reach2 - dy * dy * inv_yy
            half = roots(most(rest, fill_f8(0.0)) * variance)
            middle = dy * shift + (mx - _HALF)
            left, right = most(ceilings(middle - half), fill_f8(low_x)), least(floors(middle + half), fill_f8(high_x - _ONE))
            some = (rest >= 0.0) & (left <= right)
            row = (ty - first_y) * columns - first_x
            for tx in range(x0, x1):
                hit = some & (left <= F32(tx * TILE + TILE - 1)) & (right >= F32(tx * TILE))
                rows = mask_bits(hit) & rows_alive[row + tx]
                if rows != 0:
                    counts[row + tx] += 1
                    tiles[total] = row + tx
                    entries[total] = i | (np.int64(rows) << 32)
                    total += 1
    return end, total


@kernel
def _lit_rows(pixels, at):
    """Bits of a tile's rows in which a pixel still takes light."""
    rows = 0
    for r in range(TILE):
        if mask_bits(lanes_at(pixels, at + r * TILE) > 0.0) != 0:
            rows |= 1 << r
    return rows


@kernel
def _hide(pixels, at, limits, limits_at, depth, scratch):
    """Ends the light of a tile's pixels whose background is nearer than `depth`; returns the nearest one that is not."""
    nearest = fill_f8(_INFINITY)
    for r in range(TILE):
        light, limit = lanes_at(pixels, at + r * TILE), lanes_at(limits, limits_at + r * TILE)
        nearest = least(nearest, select((light > 0.0) & (limit >= depth), limit, fill_f8(_INFINITY)))
        dark = floats_of_bits(bits_of_floats(light) | _SIGN)
        put_lanes(pixels, at + r * TILE, settled(select(limit < depth, dark, light)))
    put_lanes(scratch, 0, nearest)
    value = _INFINITY
    for k in range(TILE):
        value = min(value, scratch[k])
    return value


@kernel
def _blend_one(records, at, rows, left, top, pixels, base):
    """Blends one Gaussian into the given rows of a tile whose first pixel's centre is at left, top (px)."""
    dy = top - records[at + MY]
    dx = ramp() + (left - records[at + MX])
    ca, cb, cc = records[at + CA], records[at + CB], records[at + CC]
    fixed, linear = records[at + LOG2_OPACITY] - dx * dx * ca, dx * cb
    red, green, blue, depth = records[at + RED], records[at + GREEN], records[at + BLUE], records[at + Z]
    r = 0
    while rows != 0:
        if rows & 1:
            d = dy + F32(r)
            y = fixed - (linear + d * cc) * d
            to = base + r * TILE
            light = lanes_at(pixels, to)
            alpha = powers_of_two(least(y, fill_f8(_LOG2_ALPHA_MAX)))
            alpha = select(y >= LOG2_ALPHA_MIN, alpha, fill_f8(0.0))
            weight = alpha * light
            after = light - weight
            # A Gaussian that would end a pixel's light is not drawn, nor any behind it: 3DGS's stopping rule.
            goes_on = after > _T_MIN
            weight = select(goes_on, weight, fill_f8(0.0))
            dark = floats_of_bits(bits_of_floats(light) | _SIGN)
            put_lanes(pixels, to, settled(select(goes_on, after, dark)))
            put_lanes(pixels, to + _SUM_R, lanes_at(pixels, to + _SUM_R) + weight * red)
            put_lanes(pixels, to + _SUM_G, lanes_at(pixels, to + _SUM_G) + weight * green)
            put_lanes(pixels, to + _SUM_B, lanes_at(pixels, to + _SUM_B) + weight * blue)
            put_lanes(pixels, to + _SUM_Z, lanes_at(pixels, to + _SUM_Z) + weight * depth)
        r += 1
        rows >>= 1


@kernel
def _blend_tile(records, entries, begin, end, place, t, pixels, rows_alive, limits, nearest, scratch):
    """Blends what is listed for tile t of the region."""
    left, top = F32((place[0] + t % place[2]) * TILE) + _HALF, F32((place[1] + t // place[2]) * TILE) + _HALF
    base, alive, near = t * PIXELS, rows_alive[t], nearest[t]
    for n in range(begin, end):
        at = int(entries[n] & 0xFFFFFFFF) * RECORD
        if records[at + Z] > near:
            near = _hide(pixels, base, limits, t * _AREA, records[at + Z], scratch)
            alive = _lit_rows(pixels, base)
        rows = int(entries[n] >> 32) & alive
        if rows != 0:
            _blend_one(records, at, rows, left, top, pixels, base)
        if n & 15 == 15 or n == end - 1:
            alive = _lit_rows(pixels, base)
            if alive == 0:
                break
    rows_alive[t], nearest[t] = alive, near


@kernel
def _blend(records, place, counts, tiles, entries, total, grouped, pixels, rows_alive, limits, nearest, scratch):
    """Blends all that is listed, tile by tile; leaves `counts` zero."""
    begin = 0
    for t in range(len(rows_alive)):
        here = counts[t]
        counts[t] = begin
        begin += here
    for k in range(total):
        t = tiles[k]
        grouped[counts[t]] = entries[k]
        counts[t] += 1
    begin = 0
    for t in range(len(rows_alive)):
        end = counts[t]
        counts[t] = 0
        if end > begin:
            _blend_tile(records, grouped, begin, end, place, t, pixels, rows_alive, limits, nearest, scratch)
        begin = end


@kernel
def _begin(place, height, width, back_depth, has_depth, pixels, rows_alive, limits, nearest):
    """Empties a region's tiles."""
    for t in range(place[2] * place[3]):
        x0, y0 = (place[0] + t % place[2]) * TILE, (place[1] + t // place[2]) * TILE
        base, near = t * PIXELS, _INFINITY
        for i in range(base, base + PIXELS):
            pixels[i] = _ZERO
        for r in range(TILE):
            for k in range(TILE):
                inside = x0 + k < width and y0 + r < height
                pixels[base + r * TILE + k] = _ONE if inside else -_ONE
                if has_depth:
                    limit = back_depth[y0 + r, x0 + k] if inside else _INFINITY
                    limits[t * _AREA + r * TILE + k] = limit
                    near = min(near, limit)
        nearest[t], rows_alive[t] = near, _lit_rows(pixels, base)


@kernel
def _finish(place, pixels, back_rgb, back_depth, has_depth, rgb, rgb_float, depth, alpha):
    """Puts a region's tiles over the background and writes them to the view's images: to `rgb`, or `rgb_float` if that is as large."""
    height, width = depth.shape
    floating, plain = rgb_float.shape[0] == height and rgb_float.shape[1] == width, back_rgb.shape[0] == 1 and back_rgb.shape[1] == 1
    for t in range(place[2] * place[3]):
        x0, y0 = (place[0] + t % place[2]) * TILE, (place[1] + t // place[2]) * TILE
        for v in range(y0, min(y0 + TILE, height)):
            for u in range(x0, min(x0 + TILE, width)):
                at = t * PIXELS + (v - y0) * TILE + u - x0
                light = abs(pixels[at])
                for c in range(3):
                    behind = light * (back_rgb[0, 0, c] if plain else back_rgb[v, u, c])
                    value = F32(255.0) * pixels[at + _SUM_R + c * _AREA] + behind
                    if floating:
                        rgb_float[v, u, c] = value * F32(1 / 255)
                    else:
                        rgb[v, u, c] = np.uint8(min(value + _HALF, F32(255.0)))
                covered, far = _ONE - light, (back_depth[v, u] if has_depth else _INFINITY)
                alpha[v, u] = covered
                if far < _INFINITY:
                    depth[v, u] = pixels[at + _SUM_Z] + light * far
                elif covered > _ZERO:
                    depth[v, u] = pixels[at + _SUM_Z] / covered
                else:
                    depth[v, u] = _INFINITY


@kernel
def _take(
    packed, sh, terms, clusters, seen, queue, first, last, most_records, view, region, place, antialiased, rows_alive,
    some_dark, records, count, scratch, basis, box,
):  # fmt: skip
    """Projects clusters of the queue until there are enough records, or no place for more; returns the next one and how many there are."""
    room = len(records) // RECORD - 8 * BLOCKS
    while first < last and count < most_records and count <= room:
        k = seen[queue[first]]
        first += 1
        if some_dark:
            sphere_on_image(clusters, k, view, box)
            if _hidden(box, place[0], place[1], place[2], place[3], rows_alive):
                continue
        count = project_cluster(packed, sh, terms, k, view, region, antialiased, scratch, basis, records, count)
    return first, count


@kernel
def _split(records, count, boundary, keys, order):
    """Numbers and depth bits of records nearer than the boundary; returns how many."""
    chosen = 0
    for i in range(count):
        if records[i * RECORD + Z] < boundary:
            keys[chosen], order[chosen] = np.float32(records[i * RECORD + Z]).view(np.uint32), i
            chosen += 1
    return chosen


@kernel
def _keep(records, count, boundary):
    """Closes ranks after records nearer than the boundary were drawn."""
    kept = 0
    for i in range(count):
        if not records[i * RECORD + Z] < boundary:
            if kept != i:
                for f in range(RECORD):
                    records[kept * RECORD + f] = records[i * RECORD + f]
            kept += 1
    return kept


@kernel
def _count_dark(rows_alive):
    count = 0
    for t in range(len(rows_alive)):
        count += rows_alive[t] == 0
    return count


@numba.njit(cache=True, error_model="numpy")
def _draw_region(
    packed, sh, terms, clusters, groups, view, place, antialiased, back_rgb, back_depth, has_depth, rgb, rgb_float, depth, alpha,
    pixels, rows_alive, limits, nearest, counts, seen, depths, tiles, entries, grouped, records, small,
):  # fmt: skip
    """Draws one region of a view; returns the array of records, which may have grown."""
    region, scratch, basis, box = small[32:36], small[64:192], small[192:320], small[40:45]
    region[0], region[1] = F32(place[0] * TILE), F32((place[0] + place[2]) * TILE)
    region[2], region[3] = F32(place[1] * TILE), F32((place[1] + place[3]) * TILE)
    _begin(place, depth.shape[0], depth.shape[1], back_depth, has_depth, pixels, rows_alive, limits, nearest)
    last = find_clusters(clusters, groups, view, region, seen, depths, box)
    size = max(last, len(records) // RECORD)
    hist = np.empty((3, 2048), np.int64)
    keys, keys2, order, order2 = (
        np.empty(size, np.uint32),
        np.empty(size, np.uint32),
        np.empty(size, np.int32),
        np.empty(size, np.int32),
    )
    queue = np.empty(last, np.int32)
    for i in range(last):
        order[i] = i
    keys[:last] = depths[:last].view(np.uint32)
    _sort(keys, order, keys2, order2, last, hist)
    queue[:] = order2[:last]
    first, count, dark = 0, 0, _count_dark(rows_alive)
    while (first < last or count > 0) and dark < len(rows_alive):
        goal = count + _BATCH
        while True:
            first, count = _take(
                packed, sh, terms, clusters, seen, queue, first, last, goal, view, region, place, antialiased, rows_alive,
                dark > 0, records, count, scratch, basis, box,
            )  # fmt: skip
            if first == last or count >= goal:
                break
            more = np.empty(2 * len(records), np.float32)
            more[: len(records)] = records
            records = more
        if count > len(keys):
            size = len(records) // RECORD
            keys, keys2 = np.empty(size, np.uint32), np.empty(size, np.uint32)
            order, order2 = np.empty(size, np.int32), np.empty(size, np.int32)
        boundary = depths[queue[first]] if first < last else _INFINITY
        chosen = _split(records, count, boundary, keys, order)
        _sort(keys, order, keys2, order2, chosen, hist)
        begin = 0
        while begin < chosen:
            begin, total = _list(records, order2, begin, chosen, place, rows_alive, counts, tiles, entries)
            _blend(records, place, counts, tiles, entries, total, grouped, pixels, rows_alive, limits, nearest, scratch)
        count = _keep(records, count, boundary)
        dark = _count_dark(rows_alive)
    _finish(place, pixels, back_rgb, back_depth, has_depth, rgb, rgb_float, depth, alpha)
    return records


@numba.njit(cache=True, error_model="numpy")
def _draw_share(
    worker, workers, packed, sh, terms, clusters, groups, positions, rotations, cameras, fisheye, antialiased, back_rgb, back_depth,
    has_depth, bands, rgb, rgb_float, depth, alpha,
):  # fmt: skip
    """Draws every `workers`-th region, counted over all views; `bands` (B, 4) are the regions of each view, in tiles."""
    views, height, width = depth.shape
    largest = 0
    for b in range(len(bands)):
        largest = max(largest, bands[b, 2] * bands[b, 3])
    pixels, rows_alive = np.empty(largest * PIXELS, np.float32), np.empty(largest, np.int32)
    limits, nearest = np.empty(largest * _AREA if has_depth else 1, np.float32), np.empty(largest, np.float32)
    counts = np.zeros(largest, np.int32)
    seen, depths = np.empty(len(clusters), np.int32), np.empty(len(clusters), np.float32)
    room = max(_PAIRS, largest)
    tiles, entries, grouped = np.empty(room, np.int32), np.empty(room, np.int64), np.empty(room, np.int64)
    records, small = np.empty(4 * _BATCH * RECORD, np.float32), np.empty(320, np.float32)
    for item in range(worker, views * len(bands), workers):
        v, place = item // len(bands), bands[item % len(bands)]
        look_through(cameras[v], rotations[v], positions[v], F32(width), F32(height), fisheye, small)
        size = place[2] * place[3]
        records = _draw_region(
            packed, sh, terms, clusters, groups, small, place, antialiased, back_rgb[v % len(back_rgb)],
            back_depth[v % len(back_depth)], has_depth, rgb[v % len(rgb)], rgb_float[v % len(rgb_float)], depth[v], alpha[v],
            pixels, rows_alive[:size], limits, nearest, counts, seen, depths, tiles, entries, grouped, records, small,
        )  # fmt: skip


@numba.njit(cache=True, parallel=True, error_model="numpy")
def render_views(
    packed, sh, terms, clusters, groups, positions, rotations, cameras, fisheye, antialiased, back_rgb, back_depth, has_depth,
    bands, workers, rgb, rgb_float, depth, alpha,
):  # fmt: skip
    """Draws all views on `workers` threads; arrays as in `envs/splats/render.py`."""
    for w in numba.prange(workers):  # a body of one call, which compiles faster than the loop over views
        _draw_share(
            w, workers, packed, sh, terms, clusters, groups, positions, rotations, cameras, fisheye, antialiased, back_rgb,
            back_depth, has_depth, bands, rgb, rgb_float, depth, alpha,
        )  # fmt: skip
