"""The rasteriser's second pass: every pixel's texel, light, fog and depth, once, from its nearest
polygon.
"""

import numpy as np

from s2e.envs.geometry.scene import SEMANTIC_ID
from s2e.envs.geometry.textures import LEVELS, SIZE, TEXELS, TEXTURES
from s2e.envs.raster.lanes import (
    fill_f8,
    fill_i8,
    fill_m8,
    first_true,
    float_bits,
    floats,
    gather,
    inlined,
    ints,
    kernel,
    lanes_at,
    mask_bits,
    put_lanes,
    put_pixels,
    ramp,
    roots,
    select,
)

PERSON_INSTANCE = 1_000_000
"""Instance of the person in slot 0."""

_PERSON, _ROAD, _CROSSING = SEMANTIC_ID["person"], SEMANTIC_ID["road"], SEMANTIC_ID["crossing"]

LEAVE = 125
"""A pixel that spans more than one texel takes the next mip level. One more would be root 2 texels:
sharper, and it shimmers more."""

_WHITE = TEXTURES["white"] * TEXELS + 1


@inlined
def _sky(x, y, length, up, sky):
    """How much of the zenith's colour, instead of the horizon's, there is along rays (x, y, 1), one
    over `length` long.
    """
    rise = (x * up[0] + (up[1] * y + up[2])) * length
    rise = select(rise > np.float32(0.0), rise, np.float32(0.0))
    return rise * (np.float32(2.0) - rise)


@inlined
def _texels(n, x, y, z):
    """Size of the mip level that pixels (x, y) at depth z of a polygon need, and where in it they
    are, in texels, never negative.
    """
    u, v = (x * n[9] + (n[1] + n[17] * y)) * z, (x * n[10] + (n[2] + n[18] * y)) * z
    along = z * np.float32(SIZE)
    a, b, c, d = (
        (u * -n[8] + n[9]) * along,
        (v * -n[8] + n[10]) * along,
        (u * -n[16] + n[17]) * along,
        (v * -n[16] + n[18]) * along,
    )
    right, down = a * a + b * b, c * c + d * d
    # A tenth less: what is exactly one texel wide stays in its level whatever the rounding.
    spread = select(right > down, right, down) * np.float32(0.9)
    # The exponent of a float32 is its logarithm: half of it, rounded up, is how often the picture
    # has to be halved.
    halved = (float_bits(spread) >> 23) - LEAVE
    halved = select(halved > 0, halved, 0) >> 1
    size = fill_i8(SIZE) >> select(halved < LEVELS - 1, halved, LEVELS - 1)
    edge = floats(size)
    # Texel middles are at halves. Four repeats more change nothing and keep the sides of people,
    # which reach beyond 0, positive.
    shift = edge * np.float32(4.0) - np.float32(0.5)
    return size, u * edge + shift, v * edge + shift


@inlined
def _blended(texels, base, size, u, v):
    """Red and blue (their sums of 256 parts, red in the lower half) and green (likewise) between
    the four texels around u, v.
    """
    x, y = ints(u * np.float32(256.0)), ints(v * np.float32(256.0))
    right, down, mask = x & 255, y & 255, size - 1
    column, row = x >> 8, y >> 8
    left, over = column & mask, base + (row & mask) * size
    next_column, under = (column + 1) & mask, base + ((row + 1) & mask) * size
    d = (right * down) >> 8
    b, c = right - d, down - d
    a = 256 - right - c
    t0, t1, t2, t3 = (
        gather(texels, over + left),
        gather(texels, over + next_column),
        gather(texels, under + left),
        gather(texels, under + next_column),
    )
    pair = 0xFF00FF
    red_blue = (t0 & pair) * a + (t1 & pair) * b + (t2 & pair) * c + (t3 & pair) * d + 0x800080
    green = (
        ((t0 >> 8) & 255) * a
        + ((t1 >> 8) & 255) * b
        + ((t2 >> 8) & 255) * c
        + ((t3 >> 8) & 255) * d
        + 128
    )
    return red_blue, green


@inlined
def _colour_row(rgb, depth, inv_z, start, out, width, fields, levels, texels, sky, wet):
    """Texture, light and fog of a row of pixels. `fields` are light over depth and, on wet ground,
    what it mirrors.
    """
    one, half, top = np.float32(1.0), np.float32(0.5), np.float32(255.0)
    red, green, blue, mirror_red, mirror_green, mirror_blue, us, vs = fields
    places, sizes = levels
    inv_fog = one / sky[6]
    for column in range(0, width, 8):
        near = lanes_at(inv_z, start + column)
        size = lanes_at(sizes, column)
        red_blue, g = _blended(
            texels, lanes_at(places, column), size, lanes_at(us, column), lanes_at(vs, column)
        )
        light = one / (near + inv_fog)
        haze = one - near * light
        r = floats((red_blue >> 8) & 255) * (lanes_at(red, column) * light) + (haze * sky[3] + half)
        g = floats(g >> 8) * (lanes_at(green, column) * light) + (haze * sky[4] + half)
        b = floats(red_blue >> 24) * (lanes_at(blue, column) * light) + (haze * sky[5] + half)
        if wet:
            r, g, b = (
                r + lanes_at(mirror_red, column),
                g + lanes_at(mirror_green, column),
                b + lanes_at(mirror_blue, column),
            )
        r, g, b = select(r < top, r, top), select(g < top, g, top), select(b < top, b, top)
        pixels = ints(r) | (ints(g) << 8) | (ints(b) << 16)
        if column + 8 <= width:
            put_lanes(depth, out + column, one / near)
            put_pixels(rgb, 3 * (out + column), pixels)
        else:
            put_lanes(places, column, pixels)
            for i in range(column, width):
                depth[out + i] = one / inv_z[start + i]
                for c in range(3):
                    rgb[3 * (out + i) + c] = (places[i] >> (8 * c)) & 255


@kernel
def ray_lengths(lens, size, lengths):
    """Writes one over the length of every pixel's ray, which is 1 along the optical axis."""
    height, width, pitch = size
    one, half = np.float32(1.0), np.float32(0.5)
    for row in range(height):
        y = (np.float32(row) + half - lens[3]) / lens[1]
        for column in range(0, width, 8):
            x = (ramp() + (np.float32(column) + half - lens[2])) / lens[0]
            put_lanes(lengths, row * pitch + column, one / roots(x * x + (y * y + one)))


@kernel
def shade(
    plan,
    source,
    texture,
    mesh_texture,
    semantic,
    inv_z,
    ids,
    shape,
    rgb,
    depth,
    texels,
    lens,
    lengths,
    up,
    sky,
    fields,
    levels,
):
    """Second pass over a view: every pixel's depth, and its colour from its nearest polygon; flat
    `rgb` and `depth` are written.

    Row by row: first where each pixel's texel lies and how it is lit, then the texels and the fog,
    so that reading the texels of some pixels does not wait for those of others.

    Sky is drawn as a white polygon infinitely far away, lit by as much as the sky differs from the
    horizon.
    """
    height, width, pitch = shape
    one, half = np.float32(1.0), np.float32(0.5)
    scale, wet, inv_fog = one / lens[0], sky[16] > np.float32(0.0), one / sky[6]
    red, green, blue, mirror_red, mirror_green, mirror_blue, us, vs = fields
    places, sizes = levels
    sky_r, sky_g, sky_b = sky[0] - sky[3], sky[1] - sky[4], sky[2] - sky[5]
    for row in range(height):
        y = np.float32(row)
        ray_y = (y + half - lens[3]) / lens[1]
        for column in range(0, width, 8):
            k = row * pitch + column
            near, index = lanes_at(inv_z, k), lanes_at(ids, k)
            z = one / near
            x = ramp() + np.float32(column)
            place, size, rest, nothing = fill_i8(0), fill_i8(1), fill_m8(True), fill_f8(0.0)
            r, g, b, u, v = nothing, nothing, nothing, nothing, nothing
            if wet:
                put_lanes(mirror_red, column, nothing)
                put_lanes(mirror_green, column, nothing)
                put_lanes(mirror_blue, column, nothing)
            # Once for each polygon that shows in these eight pixels, which mostly is one.
            while mask_bits(rest) != 0:
                here = ids[k + first_true(rest)]
                these = index == here
                rest = rest ^ these
                if here < 0:
                    t = _sky(
                        (x + (half - lens[2])) * scale, ray_y, lanes_at(lengths, k), up, sky
                    ) * (inv_fog / np.float32(255.0))
                    place, r = select(these, _WHITE, place), select(these, t * sky_r, r)
                    g, b = select(these, t * sky_g, g), select(these, t * sky_b, b)
                    continue
                thing = source[here]
                layer = mesh_texture[thing] if thing >= 0 else texture[here]
                n = plan[here]
                level, across, along = _texels(n, x, y, z)
                place, size = (
                    select(these, level * level + layer * TEXELS, place),
                    select(these, level, size),
                )
                u, v = select(these, across, u), select(these, along, v)
                lit_r, lit_g, lit_b = (
                    x * n[11] + (n[3] + n[19] * y),
                    x * n[12] + (n[4] + n[20] * y),
                    x * n[13] + (n[5] + n[21] * y),
                )
                if wet and thing >= 0 and _ROAD <= semantic[thing] <= _CROSSING:
                    # Wet ground is darker and mirrors the sky, more so the flatter it is looked at:
                    # Schlick's approximation of Fresnel's law, with 0.04 straight down and a
                    # gentler power.
                    down = (
                        (x + (half - lens[2])) * (scale * -up[0]) - (up[1] * ray_y + up[2])
                    ) * lanes_at(lengths, k)
                    flat = one - select(down > np.float32(0.0), down, np.float32(0.0))
                    mirror = (flat * flat * np.float32(0.8) + np.float32(0.04)) * sky[16]
                    keep = (one - mirror) * (one - np.float32(0.4) * sky[16])
                    lit_r, lit_g, lit_b = lit_r * keep, lit_g * keep, lit_b * keep
                    mirror, t = (
                        select(these, mirror * near / (near + inv_fog), np.float32(0.0)),
                        one - flat * flat,
                    )
                    put_lanes(
                        mirror_red,
                        column,
                        lanes_at(mirror_red, column) + (t * sky_r + sky[3]) * mirror,
                    )
                    put_lanes(
                        mirror_green,
                        column,
                        lanes_at(mirror_green, column) + (t * sky_g + sky[4]) * mirror,
                    )
                    put_lanes(
                        mirror_blue,
                        column,
                        lanes_at(mirror_blue, column) + (t * sky_b + sky[5]) * mirror,
                    )
                r, g, b = select(these, lit_r, r), select(these, lit_g, g), select(these, lit_b, b)
            put_lanes(places, column, place)
            put_lanes(sizes, column, size)
            put_lanes(us, column, u)
            put_lanes(vs, column, v)
            put_lanes(red, column, r)
            put_lanes(green, column, g)
            put_lanes(blue, column, b)
        _colour_row(
            rgb, depth, inv_z, row * pitch, row * width, width, fields, levels, texels, sky, wet
        )


@kernel
def shade_under_people(rgb, depth, people, position, rotation, lens):
    """Darkens the floor around the feet of people, in place, where the floor is what is seen."""
    height, width = depth.shape
    radius = 0.45
    for k in range(people.shape[0]):
        if np.isnan(people[k, 0]):
            continue
        x, y, z = people[k, 0] - position[0], people[k, 1] - position[1], people[k, 2] - position[2]
        px = rotation[0, 0] * x + rotation[0, 1] * y + rotation[0, 2] * z
        py = rotation[1, 0] * x + rotation[1, 1] * y + rotation[1, 2] * z
        pz = rotation[2, 0] * x + rotation[2, 1] * y + rotation[2, 2] * z
        if pz < radius + 0.1 or pz > 25.0:
            continue
        near, far = pz - radius, pz + radius
        x0 = int(
            max(min(lens[0] * (px - radius) / near, lens[0] * (px - radius) / far) + lens[2], 0.0)
        )
        x1 = int(
            min(
                max(lens[0] * (px + radius) / near, lens[0] * (px + radius) / far) + lens[2] + 1.0,
                width,
            )
        )
        y0 = int(max(lens[1] * (py - radius) / pz + lens[3], 0.0))
        y1 = int(min(lens[1] * (py + radius) / near + lens[3] + 1.0, height))
        for row in range(y0, y1):
            ray_y = (row + 0.5 - lens[3]) / lens[1]
            for column in range(x0, x1):
                d = depth[row, column]
                ray_x = (column + 0.5 - lens[2]) / lens[0]
                # Where this pixel's point is, from the middle of the shadow.
                wx = d * (rotation[0, 0] * ray_x + rotation[1, 0] * ray_y + rotation[2, 0]) - x
                wy = d * (rotation[0, 1] * ray_x + rotation[1, 1] * ray_y + rotation[2, 1]) - y
                wz = d * (rotation[0, 2] * ray_x + rotation[1, 2] * ray_y + rotation[2, 2]) - z
                off = (wx * wx + wy * wy) / (radius * radius)
                if off < 1.0 and abs(wz) < 0.015:
                    light = 0.5 + 0.5 * off
                    for c in range(3):
                        rgb[row, column, c] = np.uint8(rgb[row, column, c] * light + 0.5)


@kernel
def write_labels(ids, source, semantic, instance, pitch, semantics, instances):
    """Says of each pixel what it shows and which thing of the scene that is; people are known by
    their slot.
    """
    height, width = semantics.shape
    for y in range(height):
        for x in range(width):
            index = ids[y * pitch + x]
            thing = source[index] if index >= 0 else np.int32(0)
            if index < 0:
                semantics[y, x], instances[y, x] = 0, 0
            elif thing < 0:
                semantics[y, x], instances[y, x] = _PERSON, PERSON_INSTANCE - 1 - thing
            else:
                semantics[y, x], instances[y, x] = semantic[thing], instance[thing]
