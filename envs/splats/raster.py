"""Numba kernels of the splat rasteriser: 3DGS's mathematics (Kerbl et al. 2023; gsplat's variant of
it) on a CPU.

One thread draws one region of a view, or all of it: nothing is shared, and what a pixel gets
depends on the order of depths alone, so results do not depend on the number of threads. Clusters of
Gaussians are taken front to back, some thousand Gaussians at a time: projected unless all tiles
behind which they would lie are opaque (`_take`), sorted (`sort_by_depth`), listed per tile of 8 x 8
pixels (`list_in_tiles`) with the rows in which they reach a pixel, and blended (`_blend`).
"""

import numba
import numpy as np

from s2e.envs.raster.lanes import (
    fill_f8,
    inlined,
    ints,
    lanes_at,
    mask_bits,
    put_lanes,
    put_pixels,
    ramp,
    select,
    settled,
)
from s2e.envs.splats.project import (
    BLUE,
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
    REACH2,
    RECORD,
    RED,
    SHIFT,
    Z,
    blocks_of,
    box_on_image,
    find_clusters,
    look_through,
    project_blocks,
)
from s2e.envs.splats.project_pack import BLOCKS, GEOMETRY
from s2e.envs.splats.raster_lanes import (
    bits_of_floats,
    floats_of_bits,
    least,
    magnitudes,
    most,
    part,
    powers_of_two,
)

F32 = np.float32
TILE_BITS = 3
TILE = 1 << TILE_BITS
_ZERO, _HALF = F32(0.0), F32(0.5)
LOG2_ALPHA_MAX = F32(np.log2(0.999))
T_MIN = F32(1e-4)
_SIGN = np.int32(-(2**31))
_INFINITY = F32(np.inf)

# A tile's pixels: runs of 64, a row of eight after the other. Transmittance, negative once a pixel
# takes no more light (saturated, outside the image, or hidden by the background), and sums of
# weight times red, green, blue and depth.
AREA = TILE * TILE
_LIGHT, SUM_R, _SUM_G, _SUM_B, _SUM_Z, PIXELS = 0, AREA, 2 * AREA, 3 * AREA, 4 * AREA, 5 * AREA

_BATCH = 4096  # Gaussians that are taken before they are drawn
PAIRS = 1 << 18  # Gaussians in tiles that are listed before they are drawn
RUN = 32  # entries of a tile between looks at which rows still take light

# For each set of rows, as bits: which they are, and how many.
_ROWS = np.zeros((256, 8), np.int32)
for _bits in range(256):
    _some = [r for r in range(8) if _bits >> r & 1]
    _ROWS[_bits, : len(_some)] = _some
_ROWS = _ROWS.ravel()
_HOW_MANY = np.array([bin(bits).count("1") for bits in range(256)], dtype=np.int32)


@part
def sort_by_depth(keys, order, keys2, order2, count, hist):
    """Stable radix sort of numbers by positive float32, given as their bits: these rise with the
    value.

    Returns whether the result is in `order2` and not in `order`.
    """
    least_key, most_key = np.uint32(0xFFFFFFFF), np.uint32(0)
    for i in range(count):
        least_key, most_key = min(least_key, keys[i]), max(most_key, keys[i])
    passes = 3 if most_key - least_key >= 1 << 22 else 2
    for p in range(passes):
        for b in range(2048):
            hist[p, b] = 0
    for i in range(count):
        key = keys[i] - least_key
        hist[0, key & 2047] += 1
        hist[1, (key >> 11) & 2047] += 1
        if passes == 3:
            hist[2, key >> 22] += 1
    for p in range(passes):
        total = 0
        for b in range(2048):
            here = hist[p, b]
            hist[p, b] = total
            total += here
        shift = 11 * p
        for i in range(count):
            key = keys[i]
            digit = ((key - least_key) >> shift) & 2047
            slot = hist[p, digit]
            hist[p, digit] = slot + 1
            keys2[slot], order2[slot] = key, order[i]
        keys, keys2 = keys2, keys
        order, order2 = order2, order
    return passes == 3


@inlined
def _hidden(box, first_x, first_y, columns, rows, rows_alive):
    """Whether all tiles under a box of pixels take no more light."""
    x0, x1 = (
        max(int(max(box[0], _ZERO)) >> TILE_BITS, first_x),
        min(int(min(box[1], F32(1e6))) >> TILE_BITS, first_x + columns - 1),
    )
    y0, y1 = (
        max(int(max(box[2], _ZERO)) >> TILE_BITS, first_y),
        min(int(min(box[3], F32(1e6))) >> TILE_BITS, first_y + rows - 1),
    )
    for ty in range(y0, y1 + 1):
        for tx in range(x0, x1 + 1):
            if rows_alive[(ty - first_y) * columns + tx - first_x] != 0:
                return False
    return True


@inlined
def _tile_range(centre, extent, low, high):
    """First and one past the last tile between px `low` and `high` that pixels within `extent` of
    `centre` lie in.
    """
    first, last = max(centre - extent - _HALF, low), min(centre + extent + _HALF, high)
    return int(first) >> TILE_BITS, (int(last) + TILE - 1) >> TILE_BITS


@part
def list_in_tiles(records, order, begin, end, place, rows_alive, counts, tiles, entries):
    """Lists which Gaussians reach which tiles in which rows, nearest first, until `entries` might
    overflow.

    `place` is the region in tiles: first column, first row, columns, rows. An entry is a record's
    number and, above bit 32, eight bits for rows. Returns how many Gaussians and entries were
    listed.
    """
    columns = place[2]
    low_x, high_x = F32(place[0] * TILE), F32((place[0] + columns) * TILE)
    low_y, high_y = F32(place[1] * TILE), F32((place[1] + place[3]) * TILE)
    total = 0
    for n in range(begin, end):
        i = order[n]
        at = i * RECORD
        mx, my, reach2 = records[at + MX], records[at + MY], records[at + REACH2]
        shift, inv_yy, inv_row = records[at + SHIFT], records[at + INV_YY], records[at + INV_ROW]
        y0, y1 = _tile_range(my, records[at + EY], low_y, high_y)
        x0, x1 = _tile_range(mx, records[at + EX], low_x, high_x)
        if x1 <= x0 or y1 <= y0:
            continue
        if n > begin and total + (x1 - x0) * (y1 - y0) > len(entries):
            return n, total
        tx, ty = x0, y0
        # One loop over all tiles, since a branch that is hard to foresee costs more than the sums
        # below.
        for _ in range((x1 - x0) * (y1 - y0)):
            dy = ramp() + (F32(ty * TILE) + _HALF - my)
            middle = dy * shift + mx  # where the Gaussian is strongest in each row
            left = F32(tx * TILE) + _HALF
            away = least(most(middle, fill_f8(left)), fill_f8(left + F32(TILE - 1))) - middle
            hit = dy * dy * inv_yy + away * away * inv_row <= reach2
            t = (ty - place[1]) * columns + tx - place[0]
            rows = mask_bits(hit) & rows_alive[t]
            tiles[total], entries[total] = t, i | (np.int64(rows) << 32)
            some = 1 if rows != 0 else 0
            counts[t] += some
            total += some
            tx += 1
            wrap = tx == x1
            tx, ty = (x0 if wrap else tx), (ty + 1 if wrap else ty)
    return end, total


@part
def lit_rows(pixels, at):
    """Bits of a tile's rows in which a pixel still takes light."""
    rows = 0
    for r in range(TILE):
        if mask_bits(lanes_at(pixels, at + r * TILE) > 0.0) != 0:
            rows |= 1 << r
    return rows


@inlined
def _hide(pixels, at, limits, limits_at, depth, scratch):
    """Ends the light of a tile's pixels whose background is nearer than `depth`; returns the
    nearest one that is not.
    """
    nearest = fill_f8(_INFINITY)
    for r in range(TILE):
        light, limit = lanes_at(pixels, at + r * TILE), lanes_at(limits, limits_at + r * TILE)
        nearest = least(
            nearest, select((light > 0.0) & (limit >= depth), limit, fill_f8(_INFINITY))
        )
        dark = floats_of_bits(bits_of_floats(light) | _SIGN)
        put_lanes(pixels, at + r * TILE, settled(select(limit < depth, dark, light)))
    put_lanes(scratch, 0, nearest)
    value = _INFINITY
    for k in range(TILE):
        value = min(value, scratch[k])
    return value


@inlined
def _blend_rows(records, items, count, xs, ys, pixels, base):
    """Blends Gaussians into rows of a tile, one row after the other; an item is a record's number
    times eight plus the row.
    """
    across = lanes_at(xs, 0)
    for n in range(count):
        item = items[n]
        at, row = (item >> TILE_BITS) * RECORD, item & (TILE - 1)
        dx, dy = across - records[at + MX], ys[row] - records[at + MY]
        y = (
            records[at + LOG2_OPACITY]
            - dx * dx * records[at + CA]
            - (dx * records[at + CB] + dy * records[at + CC]) * dy
        )
        to = base + row * TILE
        light = lanes_at(pixels, to)
        alpha = powers_of_two(least(y, fill_f8(LOG2_ALPHA_MAX)))
        alpha = select(y >= LOG2_ALPHA_MIN, alpha, fill_f8(0.0))
        weight = alpha * light
        after = light - weight
        # A Gaussian that would end a pixel's light is not drawn, nor any behind it: 3DGS's stopping
        # rule.
        goes_on = after > T_MIN
        weight = select(goes_on, weight, fill_f8(0.0))
        dark = floats_of_bits(bits_of_floats(light) | _SIGN)
        put_lanes(pixels, to, settled(select(goes_on, after, dark)))
        put_lanes(pixels, to + SUM_R, lanes_at(pixels, to + SUM_R) + weight * records[at + RED])
        put_lanes(pixels, to + _SUM_G, lanes_at(pixels, to + _SUM_G) + weight * records[at + GREEN])
        put_lanes(pixels, to + _SUM_B, lanes_at(pixels, to + _SUM_B) + weight * records[at + BLUE])
        put_lanes(pixels, to + _SUM_Z, lanes_at(pixels, to + _SUM_Z) + weight * records[at + Z])


@inlined
def blend_tile(
    records, entries, begin, end, place, t, pixels, rows_alive, limits, nearest, items, scratch
):
    """Blends what is listed for tile t of the region."""
    xs, ys = scratch[:TILE], scratch[TILE : 2 * TILE]
    for k in range(TILE):
        xs[k] = F32((place[0] + t % place[2]) * TILE + k) + _HALF
        ys[k] = F32((place[1] + t // place[2]) * TILE + k) + _HALF
    base, alive, near = t * PIXELS, rows_alive[t], nearest[t]
    n = begin
    while n < end and alive != 0:
        count, stop = 0, min(n + RUN, end)
        while n < stop:
            i = int(entries[n] & 0xFFFFFFFF)
            if records[i * RECORD + Z] > near:
                break
            rows = int(entries[n] >> 32) & alive
            put_lanes(items, count, lanes_at(_ROWS, rows * TILE) + np.int32(i << TILE_BITS))
            count += _HOW_MANY[rows]
            n += 1
        _blend_rows(records, items, count, xs, ys, pixels, base)
        if n < stop:
            depth = records[int(entries[n] & 0xFFFFFFFF) * RECORD + Z]
            near = _hide(pixels, base, limits, t * AREA, depth, scratch[2 * TILE :])
        alive = lit_rows(pixels, base)
    rows_alive[t], nearest[t] = alive, near


@part
def _blend(
    records,
    place,
    counts,
    tiles,
    entries,
    total,
    grouped,
    pixels,
    rows_alive,
    limits,
    nearest,
    items,
    scratch,
):
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
            blend_tile(
                records,
                grouped,
                begin,
                end,
                place,
                t,
                pixels,
                rows_alive,
                limits,
                nearest,
                items,
                scratch,
            )
        begin = end


@part
def empty_tiles(place, height, width, back_depth, has_depth, pixels, rows_alive, limits, nearest):
    """Empties a region's tiles."""
    for t in range(place[2] * place[3]):
        x0, y0 = (place[0] + t % place[2]) * TILE, (place[1] + t // place[2]) * TILE
        base, near = t * PIXELS, _INFINITY
        for i in range(base + AREA, base + PIXELS, TILE):
            put_lanes(pixels, i, fill_f8(0.0))
        for r in range(TILE):
            inside = width - x0 if y0 + r < height else 0
            put_lanes(
                pixels, base + r * TILE, select(ramp() < F32(inside), fill_f8(1.0), fill_f8(-1.0))
            )
            if has_depth:
                for k in range(TILE):
                    limit = back_depth[(y0 + r) * width + x0 + k] if k < inside else _INFINITY
                    limits[t * AREA + r * TILE + k] = limit
                    near = min(near, limit)
        nearest[t], rows_alive[t] = near, lit_rows(pixels, base)


@inlined
def _write_rest(values, count, scratch, rgb, rgb_float, first):
    """Writes colours of the last pixels of a row, or of any as numbers: `values` in scratch memory,
    0..255, eight to a channel.
    """
    for k in range(count):
        for c in range(3):
            value = scratch[values + c * TILE + k]
            if len(rgb) > 0:
                rgb[3 * (first + k) + c] = np.uint8(min(value, F32(255.0)) + _HALF)
            else:
                rgb_float[3 * (first + k) + c] = value * F32(1 / 255)


@part
def _finish(
    place, height, width, pixels, back_rgb, limits, has_depth, rgb, rgb_float, depth, alpha, scratch
):
    """Puts a region's tiles over the background and writes them to a view's images, flat: to `rgb`,
    or `rgb_float` if that is empty.
    """
    plain = len(back_rgb) == 3
    put_lanes(scratch, 3 * TILE, fill_f8(_INFINITY))
    for c in range(3):
        put_lanes(scratch, c * TILE, fill_f8(F32(back_rgb[c])))
    for row in range(place[3] * TILE):
        y = place[1] * TILE + row
        for column in range(place[2] if y < height else 0):
            x = (place[0] + column) * TILE
            t, r, first, count = (
                (row >> TILE_BITS) * place[2] + column,
                row & (TILE - 1),
                y * width + x,
                min(TILE, width - x),
            )
            at = t * PIXELS + r * TILE
            if not plain:
                for k in range(3 * count):
                    scratch[(k % 3) * TILE + k // 3] = F32(back_rgb[3 * first + k])
            light = magnitudes(lanes_at(pixels, at))
            red = lanes_at(pixels, at + SUM_R) * 255.0 + light * lanes_at(scratch, 0)
            green = lanes_at(pixels, at + _SUM_G) * 255.0 + light * lanes_at(scratch, TILE)
            blue = lanes_at(pixels, at + _SUM_B) * 255.0 + light * lanes_at(scratch, 2 * TILE)
            covered, sum_z = 1.0 - light, lanes_at(pixels, at + _SUM_Z)
            deep = select(covered > 0.0, sum_z / covered, fill_f8(_INFINITY))
            if has_depth:
                far = lanes_at(limits, t * AREA + r * TILE)
                deep = select(far < _INFINITY, sum_z + light * far, deep)
            if count == TILE:
                put_lanes(alpha, first, covered)
                put_lanes(depth, first, deep)
            else:
                put_lanes(scratch, 4 * TILE, covered)
                put_lanes(scratch, 5 * TILE, deep)
                for k in range(count):
                    alpha[first + k], depth[first + k] = (
                        scratch[4 * TILE + k],
                        scratch[5 * TILE + k],
                    )
            if count == TILE and len(rgb) > 0:
                top = fill_f8(255.0)
                whole = (
                    ints(least(red, top) + 0.5)
                    | (ints(least(green, top) + 0.5) << 8)
                    | (ints(least(blue, top) + 0.5) << 16)
                )
                put_pixels(rgb, 3 * first, whole)
            else:
                put_lanes(scratch, 6 * TILE, red)
                put_lanes(scratch, 7 * TILE, green)
                put_lanes(scratch, 8 * TILE, blue)
                _write_rest(6 * TILE, count, scratch, rgb, rgb_float, first)


@inlined
def _take(
    packed,
    sh,
    terms,
    clusters,
    seen,
    depths,
    queue,
    first,
    last,
    most_records,
    view,
    region,
    place,
    antialiased,
    rows_alive,
    some_dark,
    records,
    count,
    scratch,
    basis,
    box,
):
    """Projects clusters of the queue until there are enough records, or no place for more.

    Returns the next cluster in the queue, and how many records there are.
    """
    room = len(records) // RECORD - 8 * BLOCKS
    while first < last and count < most_records and count <= room:
        k, depth = seen[queue[first]], depths[queue[first]]
        first += 1
        if some_dark:
            box_on_image(clusters, k, view, box)
            if _hidden(box, place[0], place[1], place[2], place[3], rows_alive):
                continue
        begin, end = blocks_of(clusters, k, depth, view, len(packed) // (8 * GEOMETRY))
        count = project_blocks(
            packed, sh, terms, begin, end, view, region, antialiased, scratch, basis, records, count
        )
    return first, count


@part
def _split(records, count, boundary, keys, order):
    """Numbers and depth bits of records nearer than the boundary; returns how many."""
    chosen = 0
    for i in range(count):
        if records[i * RECORD + Z] < boundary:
            keys[chosen], order[chosen] = np.float32(records[i * RECORD + Z]).view(np.uint32), i
            chosen += 1
    return chosen


@part
def _keep(records, count, boundary):
    """Closes ranks after records nearer than the boundary were drawn."""
    kept = 0
    for i in range(count):
        if not records[i * RECORD + Z] < boundary:
            if kept != i:
                put_lanes(records, kept * RECORD, lanes_at(records, i * RECORD))
                put_lanes(records, kept * RECORD + 8, lanes_at(records, i * RECORD + 8))
            kept += 1
    return kept


@inlined
def _count_dark(rows_alive):
    count = 0
    for t in range(len(rows_alive)):
        count += rows_alive[t] == 0
    return count


@numba.njit(cache=True, error_model="numpy", inline="always")
def _draw_region(
    packed,
    sh,
    terms,
    clusters,
    groups,
    place,
    height,
    width,
    antialiased,
    back_rgb,
    back_depth,
    has_depth,
    rgb,
    rgb_float,
    depth,
    alpha,
    pixels,
    rows_alive,
    limits,
    nearest,
    counts,
    seen,
    depths,
    tiles,
    entries,
    grouped,
    items,
    records,
    small,
    work,
):
    """Draws one region of a view; returns the array of records, which may have grown, and adds to
    `work`: projected, listed.
    """
    view, region, box, scratch, basis = (
        small[:32],
        small[32:36],
        small[40:45],
        small[64:208],
        small[208:336],
    )
    region[0], region[1] = F32(place[0] * TILE), F32((place[0] + place[2]) * TILE)
    region[2], region[3] = F32(place[1] * TILE), F32((place[1] + place[3]) * TILE)
    empty_tiles(place, height, width, back_depth, has_depth, pixels, rows_alive, limits, nearest)
    last = find_clusters(clusters, groups, view, region, seen, depths, box)
    size = max(last, len(records) // RECORD)
    hist = np.empty((3, 2048), np.int32)
    keys, keys2 = np.empty(size, np.uint32), np.empty(size, np.uint32)
    order, order2 = np.empty(size, np.int32), np.empty(size, np.int32)
    queue = np.empty(last, np.int32)
    for i in range(last):
        order[i] = i
    keys[:last] = depths[:last].view(np.uint32)
    queue[:] = (
        order2[:last] if sort_by_depth(keys, order, keys2, order2, last, hist) else order[:last]
    )
    first, count, dark = 0, 0, _count_dark(rows_alive)
    while (first < last or count > 0) and dark < len(rows_alive):
        goal, before = count + _BATCH, count
        while True:
            first, count = _take(
                packed,
                sh,
                terms,
                clusters,
                seen,
                depths,
                queue,
                first,
                last,
                goal,
                view,
                region,
                place,
                antialiased,
                rows_alive,
                dark > 0,
                records,
                count,
                scratch,
                basis,
                box,
            )
            if first == last or count >= goal:
                break
            more = np.empty(2 * len(records), np.float32)
            more[: len(records)] = records
            records = more
        work[0] += count - before
        if count > len(keys):
            size = len(records) // RECORD
            keys, keys2 = np.empty(size, np.uint32), np.empty(size, np.uint32)
            order, order2 = np.empty(size, np.int32), np.empty(size, np.int32)
        boundary = depths[queue[first]] if first < last else _INFINITY
        chosen = _split(records, count, boundary, keys, order)
        by_depth = order2 if sort_by_depth(keys, order, keys2, order2, chosen, hist) else order
        begin = 0
        while begin < chosen:
            begin, total = list_in_tiles(
                records, by_depth, begin, chosen, place, rows_alive, counts, tiles, entries
            )
            work[1] += total
            _blend(
                records,
                place,
                counts,
                tiles,
                entries,
                total,
                grouped,
                pixels,
                rows_alive,
                limits,
                nearest,
                items,
                scratch,
            )
        count = _keep(records, count, boundary)
        dark = _count_dark(rows_alive)
    _finish(
        place,
        height,
        width,
        pixels,
        back_rgb,
        limits,
        has_depth,
        rgb,
        rgb_float,
        depth,
        alpha,
        scratch,
    )
    return records


@numba.njit(cache=True, error_model="numpy", nogil=True)
def draw_share(
    worker,
    workers,
    packed,
    sh,
    terms,
    clusters,
    groups,
    positions,
    rotations,
    cameras,
    fisheye,
    antialiased,
    back_rgb,
    back_depth,
    has_depth,
    height,
    width,
    bands,
    detail_px,
    rgb,
    rgb_float,
    depth,
    alpha,
):
    """Draws every `workers`-th region, counted over all views; `bands` (B, 4) are the regions of
    each view, in tiles.

    Arrays are as in `envs/splats/render.py`, one row a view. Returns how many Gaussians were
    projected, and listed in tiles.
    """
    views = len(positions)
    largest = 0
    for b in range(len(bands)):
        largest = max(largest, bands[b, 2] * bands[b, 3])
    pixels, rows_alive = np.empty(largest * PIXELS, np.float32), np.empty(largest, np.int32)
    limits, nearest = (
        np.empty(largest * AREA if has_depth else 1, np.float32),
        np.empty(largest, np.float32),
    )
    counts = np.zeros(largest, np.int32)
    seen, depths = np.empty(len(clusters), np.int32), np.empty(len(clusters), np.float32)
    room = max(PAIRS, largest)
    tiles, entries, grouped = (
        np.empty(room, np.int32),
        np.empty(room, np.int64),
        np.empty(room, np.int64),
    )
    items = np.empty((RUN + 1) * TILE, np.int32)
    records, small = np.empty(4 * _BATCH * RECORD, np.float32), np.empty(336, np.float32)
    work = np.zeros(2, np.int64)
    for item in range(worker, views * len(bands), workers):
        v, place = item // len(bands), bands[item % len(bands)]
        look_through(
            cameras[v],
            rotations[v],
            positions[v],
            F32(width),
            F32(height),
            fisheye,
            detail_px,
            small,
        )
        size = place[2] * place[3]
        records = _draw_region(
            packed,
            sh,
            terms,
            clusters,
            groups,
            place,
            height,
            width,
            antialiased,
            back_rgb[v % len(back_rgb)],
            back_depth[v % len(back_depth)],
            has_depth,
            rgb[v % len(rgb)],
            rgb_float[v % len(rgb_float)],
            depth[v],
            alpha[v],
            pixels,
            rows_alive[:size],
            limits,
            nearest,
            counts,
            seen,
            depths,
            tiles,
            entries,
            grouped,
            items,
            records,
            small,
            work,
        )
    return work
