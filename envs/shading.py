"""The rasteriser's second pass: every pixel's texel, light, fog and depth, once, from its nearest polygon."""

import numba
import numpy as np

from s2e.envs.lanes import (
    fill_i8, fill_m8, first_true, float_bits, floats, gather, ints, lanes_at, mask_bits, put_lanes, put_pixels, ramp, roots, select,
)  # fmt: skip
from s2e.envs.scene import SEMANTIC_ID
from s2e.envs.textures import LEVELS, SIZE, TEXELS

PERSON_INSTANCE = 1_000_000
"""Instance of the person in slot 0."""

_PERSON, _ROAD, _CROSSING = SEMANTIC_ID["person"], SEMANTIC_ID["road"], SEMANTIC_ID["crossing"]

SHARPNESS = np.float32(0.5)
"""A mip level is left for the next one when a pixel spans more texels than the root of its inverse."""


@numba.njit(cache=True, error_model="numpy", _nrt=False, inline="always")
def _packed(red, green, blue):
    """Colours as they lie in a pixel, rounded."""
    half, top = np.float32(0.5), np.float32(255.0)
    red, green, blue = select(red < top, red, top), select(green < top, green, top), select(blue < top, blue, top)
    return ints(red + half) | (ints(green + half) << 8) | (ints(blue + half) << 16)


@numba.njit(cache=True, error_model="numpy", _nrt=False, inline="always")
def _sky(x, y, length, up, sky):
    """Colours of the sky along rays (x, y, 1), one over `length` long: horizon to zenith by elevation."""
    rise = (x * up[0] + (up[1] * y + up[2])) * length
    rise = select(rise > np.float32(0.0), rise, np.float32(0.0))
    t = rise * (np.float32(2.0) - rise)
    return t * (sky[0] - sky[3]) + sky[3], t * (sky[1] - sky[4]) + sky[4], t * (sky[2] - sky[5]) + sky[5]


@numba.njit(cache=True, error_model="numpy", _nrt=False, inline="always")
def _texels(n, x, y, z, layer, texels):
    """The texels that pixels (x, y) at depth z show of a polygon: nearest of the mip level that a pixel's size asks for."""
    nx, ux, vx = n[8], n[9], n[10]
    ny, uy, vy = n[16], n[17], n[18]
    u, v = (x * ux + (n[1] + uy * y)) * z, (x * vx + (n[2] + vy * y)) * z
    along = z * np.float32(SIZE)
    a, b, c, d = (ux - u * nx) * along, (vx - v * nx) * along, (uy - u * ny) * along, (vy - v * ny) * along
    right, down = a * a + b * b, c * c + d * d
    spread = select(right > down, right, down) * SHARPNESS
    # The exponent of a float32 is its logarithm: half of it, rounded up, is how often the picture has to be halved.
    halved = (float_bits(spread) >> 23) - 125
    halved = select(halved > 0, halved, 0) >> 1
    size = fill_i8(SIZE) >> select(halved < LEVELS - 1, halved, LEVELS - 1)
    edge, mask = floats(size), size - 1
    column, row = ints(u * edge) & mask, ints(v * edge) & mask
    return gather(texels, size * (size + row) + column + layer * TEXELS)


@numba.njit(cache=True, error_model="numpy", _nrt=False, inline="always")
def _polygon(n, x, y, near, z, layer, texels, sky):
    """Colours of a polygon at pixels (x, y) of inverse depth `near`: texture, light and fog."""
    texel = _texels(n, x, y, z, layer, texels)
    light = np.float32(1.0) / (near + np.float32(1.0) / sky[6])
    haze = np.float32(1.0) - near * light
    red = x * n[11] + (n[3] + n[19] * y)
    green = x * n[12] + (n[4] + n[20] * y)
    blue = x * n[13] + (n[5] + n[21] * y)
    return (
        floats(texel & 255) * (red * light) + haze * sky[3],
        floats((texel >> 8) & 255) * (green * light) + haze * sky[4],
        floats(texel >> 16) * (blue * light) + haze * sky[5],
    )


@numba.njit(cache=True, error_model="numpy", _nrt=False, inline="always")
def _wet(red, green, blue, x, y, z, length, up, sky):
    """Darkens wet ground and lets it mirror the sky along rays (x, y, 1), more so the flatter it is looked at.

    The share of the mirrored sky follows Schlick's approximation of Fresnel's law, with 0.04 straight down and a gentler power.
    """
    one, wet = np.float32(1.0), sky[16]
    down = (x * up[0] + (up[1] * y + up[2])) * length
    down = select(down < np.float32(0.0), np.float32(0.0) - down, np.float32(0.0))
    flat = one - down
    mirror = (flat * flat * np.float32(0.8) + np.float32(0.04)) * wet
    clear = one / (z * (one / sky[6]) + one)
    keep = (one - mirror) * (one - np.float32(0.4) * wet)
    fog, shown, t = one - clear, mirror * clear, down * (np.float32(2.0) - down)
    r, g, b = t * (sky[0] - sky[3]) + sky[3], t * (sky[1] - sky[4]) + sky[4], t * (sky[2] - sky[5]) + sky[5]
    return (
        (red - fog * sky[3]) * keep + r * shown + fog * sky[3],
        (green - fog * sky[4]) * keep + g * shown + fog * sky[4],
        (blue - fog * sky[5]) * keep + b * shown + fog * sky[5],
    )


@numba.njit(cache=True, error_model="numpy", _nrt=False)
def ray_lengths(lens, size, lengths):
    """Writes one over the length of every pixel's ray, which is 1 along the optical axis."""
    height, width, pitch = size
    one, half = np.float32(1.0), np.float32(0.5)
    for row in range(height):
        y = (np.float32(row) + half - lens[3]) / lens[1]
        for column in range(0, width, 8):
            x = (ramp() + (np.float32(column) + half - lens[2])) / lens[0]
            put_lanes(lengths, row * pitch + column, one / roots(x * x + (y * y + one)))


@numba.njit(cache=True, error_model="numpy", _nrt=False)
def shade(plan, source, texture, mesh_texture, semantic, inv_z, ids, size, rgb, depth, texels, lens, lengths, up, sky, tail):
    """Second pass over a view: every pixel's depth, and its colour from its nearest polygon; flat `rgb` and `depth` are written."""
    height, width, pitch = size
    one, half = np.float32(1.0), np.float32(0.5)
    scale, wet = one / lens[0], sky[16] > np.float32(0.0)
    for row in range(height):
        y = np.float32(row)
        ray_y = (y + half - lens[3]) / lens[1]
        for column in range(0, width, 8):
            k = row * pitch + column
            near, index = lanes_at(inv_z, k), lanes_at(ids, k)
            z = one / near
            x = ramp() + np.float32(column)
            ray_x = (x + (half - lens[2])) * scale
            pixels, rest = fill_i8(0), fill_m8(True)
            # Once for each polygon that shows in these eight pixels, which mostly is one.
            while mask_bits(rest) != 0:
                here = ids[k + first_true(rest)]
                these = index == here
                rest = rest ^ these
                if here < 0:
                    red, green, blue = _sky(ray_x, ray_y, lanes_at(lengths, k), up, sky)
                else:
                    thing = source[here]
                    layer = mesh_texture[thing] if thing >= 0 else texture[here]
                    red, green, blue = _polygon(plan[here], x, y, near, z, layer, texels, sky)
                    if wet and thing >= 0 and _ROAD <= semantic[thing] <= _CROSSING:
                        red, green, blue = _wet(red, green, blue, ray_x, ray_y, z, lanes_at(lengths, k), up, sky)
                pixels = select(these, _packed(red, green, blue), pixels)
            out = row * width + column
            if column + 8 <= width:
                put_lanes(depth, out, z)
                put_pixels(rgb, 3 * out, pixels)
            else:
                put_lanes(tail, 0, pixels)
                for i in range(width - column):
                    depth[out + i] = one / inv_z[k + i]
                    for c in range(3):
                        rgb[3 * (out + i) + c] = (tail[i] >> (8 * c)) & 255


@numba.njit(cache=True, error_model="numpy", _nrt=False)
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
        x0 = int(max(min(lens[0] * (px - radius) / near, lens[0] * (px - radius) / far) + lens[2], 0.0))
        x1 = int(min(max(lens[0] * (px + radius) / near, lens[0] * (px + radius) / far) + lens[2] + 1.0, width))
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


@numba.njit(cache=True, error_model="numpy", _nrt=False)
def write_labels(ids, source, semantic, instance, pitch, semantics, instances):
    """Says of each pixel what it shows and which thing of the scene that is; people are known by their slot."""
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
