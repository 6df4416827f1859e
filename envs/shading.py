"""The rasteriser's second pass: every pixel's texel, light, fog and depth, once, from its nearest triangle."""

import numba
import numpy as np

from s2e.envs.scene import SEMANTIC_ID
from s2e.envs.textures import LEVELS, SIZE, TEXELS

CHUNK = 32
"""Pixels of a row that share a mip level."""

PERSON_INSTANCE = 1_000_000
"""Instance of the person in slot 0."""

_PERSON, _ROAD, _CROSSING = SEMANTIC_ID["person"], SEMANTIC_ID["road"], SEMANTIC_ID["crossing"]

_OFFSETS = np.cumsum([0] + [(SIZE >> level) ** 2 for level in range(LEVELS - 1)]).astype(np.int64)


@numba.njit(cache=True, error_model="numpy")
def _shade_sky(pixels, ray_x, ray_y, up, sky):
    """Neighbouring pixels of the sky: horizon to zenith by the ray's elevation."""
    zero, half, one, two = np.float32(0.0), np.float32(0.5), np.float32(1.0), np.float32(2.0)
    up_x, rest, square = up[0], up[1] * ray_y + up[2], ray_y * ray_y + one
    r0, g0, b0 = sky[3] + half, sky[4] + half, sky[5] + half
    r1, g1, b1 = sky[0] - sky[3], sky[1] - sky[4], sky[2] - sky[5]
    for i in range(pixels.shape[0]):
        x = ray_x[i]
        rise = (up_x * x + rest) / np.sqrt(x * x + square)
        rise = rise if rise > zero else zero
        t = rise * (two - rise)
        g, b = np.int32(g0 + g1 * t) << np.int32(8), np.int32(b0 + b1 * t) << np.int32(16)
        pixels[i] = np.int32(r0 + r1 * t) | g | b


@numba.njit(cache=True, error_model="numpy")
def _expand_row(plan, layer, y, ids, u, v, red, green, blue, size, first):
    """Writes what each pixel of a row needs from its triangle: u, v and light over depth, and where its texture is.

    Pixels come in runs of one triangle, at most `CHUNK` long, which share a mip level. Returns how many show sky.
    """
    width = ids.shape[0]
    row, half, one = np.float32(y), np.float32(0.5), np.float32(1.0)
    sky = 0
    x0 = 0
    while x0 < width:
        index = ids[x0]
        stop = min((x0 // CHUNK + 1) * CHUNK, width)
        x1 = x0 + 1
        while x1 < stop and ids[np.uint32(x1)] == index:
            x1 += 1
        if index < 0:
            sky += x1 - x0
            for x in range(x0, x1):
                size[x], first[x] = 1, 0
            x0 = x1
            continue
        n = plan[index]
        left = np.float32(x0)
        u0, v0 = n[5] + n[4] * row + n[3] * left, n[8] + n[7] * row + n[6] * left
        r0, g0, b0 = n[11] + n[10] * row + n[9] * left, n[14] + n[13] * row + n[12] * left, np.float32(0.0)
        b0 = n[17] + n[16] * row + n[15] * left
        # How many texels a pixel spans at the middle of the run chooses the mip level.
        middle = half * np.float32(x1 - x0 - 1)
        z = one / (n[2] + n[1] * row + n[0] * (left + middle))
        um, vm = (u0 + n[3] * middle) * z, (v0 + n[6] * middle) * z
        z *= np.float32(SIZE)
        ux, vx, uy, vy = (n[3] - um * n[0]) * z, (n[6] - vm * n[0]) * z, (n[4] - um * n[1]) * z, (n[7] - vm * n[1]) * z
        spread = max(ux * ux + vx * vx, uy * uy + vy * vy)
        level = 0
        while spread > np.float32(2.0) and level < LEVELS - 1:
            level += 1
            spread *= np.float32(0.25)
        edge = np.int32(SIZE >> level)
        scale, begin = np.float32(edge), np.int32(layer[index] * TEXELS + _OFFSETS[level])
        u0, v0, u1, v1, r1, g1, b1 = u0 * scale, v0 * scale, n[3] * scale, n[6] * scale, n[9], n[12], n[15]
        for i in range(x0, x1):
            x, k = np.float32(np.int32(i - x0)), np.uint32(i)
            u[k] = u0 + u1 * x
            v[k] = v0 + v1 * x
            red[k] = r0 + r1 * x
            green[k] = g0 + g1 * x
            blue[k] = b0 + b1 * x
            size[k] = edge
            first[k] = begin
        x0 = x1
    return sky


@numba.njit(cache=True, error_model="numpy")
def _colour_row(pixels, depth, inv_z, texels, u, v, red, green, blue, size, first, inv_fog, sky):
    """Texture, light and fog of a row; plain loops without branches, which the compiler makes into vector code."""
    byte, top, half, one = np.int32(255), np.float32(255.0), np.float32(0.5), np.float32(1.0)
    fog_r, fog_g, fog_b = sky[3], sky[4], sky[5]
    for x in range(pixels.shape[0]):
        z = one / inv_z[x]
        depth[x] = z
        mask = size[x] - np.int32(1)
        pixels[x] = (np.int32(v[x] * z) & mask) * size[x] + (np.int32(u[x] * z) & mask) + first[x]
    for x in range(pixels.shape[0]):
        pixels[x] = texels[pixels[x]]
    for x in range(pixels.shape[0]):
        texel = pixels[x]
        light = one / (inv_z[x] + inv_fog)
        haze = one - inv_z[x] * light
        r = np.float32(texel & byte) * (red[x] * light) + fog_r * haze
        g = np.float32((texel >> np.int32(8)) & byte) * (green[x] * light) + fog_g * haze
        b = np.float32(texel >> np.int32(16)) * (blue[x] * light) + fog_b * haze
        r, g, b = (r if r < top else top) + half, (g if g < top else top) + half, (b if b < top else top) + half
        pixels[x] = np.int32(r) | (np.int32(g) << np.int32(8)) | (np.int32(b) << np.int32(16))


@numba.njit(cache=True, error_model="numpy")
def shade(plan, layer, inv_z, ids, rgb, depth, texels, ray_x, ray_y, up, sky, fields, places):
    """Second pass: every pixel's depth, and its colour from its nearest triangle."""
    height, width = inv_z.shape
    inv_fog = np.float32(1.0) / sky[6]
    u, v, red, green, blue = fields[0], fields[1], fields[2], fields[3], fields[4]
    size, first, pixels = places[0], places[1], places[2]
    for y in range(height):
        near, colour = ids[y], rgb[y]
        gaps = _expand_row(plan, layer, y, near, u, v, red, green, blue, size, first)
        if gaps < width:
            _colour_row(pixels, depth[y], inv_z[y], texels, u, v, red, green, blue, size, first, inv_fog, sky)
        else:
            depth[y] = np.inf
        if gaps > 0:
            x0 = 0
            while x0 < width:
                x1 = x0
                while x1 < width and near[x1] < 0:
                    x1 += 1
                if x1 > x0:
                    _shade_sky(pixels[x0:x1], ray_x[x0:x1], ray_y[y], up, sky)
                x0 = x1 + 1
        for x in range(width):
            colour[x, 0] = np.uint8(pixels[x])
            colour[x, 1] = np.uint8(pixels[x] >> np.int32(8))
            colour[x, 2] = np.uint8(pixels[x] >> np.int32(16))


@numba.njit(cache=True, error_model="numpy")
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


@numba.njit(cache=True, error_model="numpy")
def shade_wet(ids, source, semantic, rgb, depth, ray_x, ray_y, up, sky):
    """Darkens wet roads, sidewalks and crossings and lets them mirror the sky, more so the flatter they are looked at.

    The share of the mirrored sky is Schlick's approximation of Fresnel's law with 0.04 straight down.
    """
    height, width = ids.shape
    dark, wet = 1.0 - 0.4 * sky[16], sky[16]
    for y in range(height):
        for x in range(width):
            if ids[y, x] < 0:
                continue
            thing = source[ids[y, x]]
            if thing < 0 or not _ROAD <= semantic[thing] <= _CROSSING:
                continue
            ray = np.sqrt(ray_x[x] * ray_x[x] + ray_y[y] * ray_y[y] + 1.0)
            down = max(-(up[0] * ray_x[x] + up[1] * ray_y[y] + up[2]) / ray, 0.0)
            flat = (1.0 - down) * (1.0 - down)
            mirror = wet * (0.04 + 0.8 * flat * flat)
            clear = sky[6] / (sky[6] + depth[y, x])
            t = down * (2.0 - down)
            for c in range(3):
                fog = sky[3 + c] * (1.0 - clear)
                above = sky[3 + c] + (sky[c] - sky[3 + c]) * t
                value = (rgb[y, x, c] - fog) * dark * (1.0 - mirror) + above * mirror * clear + fog
                rgb[y, x, c] = np.uint8(min(max(value, 0.0), 255.0) + 0.5)


@numba.njit(cache=True, error_model="numpy")
def write_labels(ids, source, semantic, instance, semantics, instances):
    """Says of each pixel what it shows and which thing of the scene that is; people are known by their slot."""
    height, width = ids.shape
    for y in range(height):
        for x in range(width):
            thing = source[ids[y, x]] if ids[y, x] >= 0 else np.int32(0)
            if ids[y, x] < 0:
                semantics[y, x], instances[y, x] = 0, 0
            elif thing < 0:
                semantics[y, x], instances[y, x] = _PERSON, PERSON_INSTANCE - 1 - thing
            else:
                semantics[y, x], instances[y, x] = semantic[thing], instance[thing]
