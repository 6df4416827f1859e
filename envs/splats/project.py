"""Numba kernels that find and project the Gaussians a camera can see: EWA splatting as gsplat has
it, eight at a time.

Gaussians come in blocks of eight, blocks in clusters, clusters in groups, each inside a box
(`envs/splats/project_pack.py`), so that the cost follows what is seen. What leaves here are
records, one per Gaussian on the image.
"""

import numpy as np

from s2e.envs.raster.lanes import fill_f8, inlined, lanes_at, mask_bits, put_lanes, roots, select
from s2e.envs.splats.project_pack import BLOCKS, GEOMETRY, GROUP
from s2e.envs.splats.raster_lanes import arctangents, least, most, part

F32 = np.float32
NEAR_M = 0.1
BLUR = 0.3  # px^2 added to the projected covariance, as in 3DGS
LOG2_ALPHA_MIN = F32(np.log2(1 / 255))

_NEAR = F32(NEAR_M)
_ZERO, _ONE, _HALF, _TWO = F32(0.0), F32(1.0), F32(0.5), F32(2.0)
# the Jacobian is taken at most this share of the half field of view beyond the image
_FOV_SLACK = F32(0.3)
_FAR = F32(1e30)
# squared reach in standard deviations, per factor two above 1/255
_REACH2_OF_LOG2 = F32(2 * np.log(2))
_LOG2_E = F32(np.log2(np.e))
# how much wider than the angle a fisheye draws it at most, at the rim of 180 degrees
_WIDEST = F32(np.pi / 2)
_EPS = 1e-7  # gsplat's, against division by zero on the fisheye's axis

# Columns of a record. Drawing: centre, conic (times log2(e) / 2), log2 of the opacity, colour,
# depth. Listing: the shift of a row's middle per row, inverse variances along y and of a row, the
# squared reach (standard deviations), half width and height (px).
(
    MX,
    MY,
    CA,
    CB,
    CC,
    LOG2_OPACITY,
    RED,
    GREEN,
    BLUE,
    Z,
    SHIFT,
    INV_YY,
    INV_ROW,
    REACH2,
    EX,
    EY,
    RECORD,
) = range(17)
# row of the scratch memory behind a record's: how much of its weight the blur left in place,
# squared
_KEPT = RECORD


@part
def look_through(camera, rotation, position, width, height, fisheye, detail_px, view):
    """Fills `view` (32,) with what all Gaussians of a view need: rotation, position, intrinsics,
    where slopes are clamped, detail.
    """
    for i in range(3):
        for j in range(3):
            view[3 * i + j] = rotation[i, j]
        view[9 + i] = position[i]
    fx, fy, cx, cy = camera[0], camera[1], camera[2], camera[3]
    view[12], view[13], view[14], view[15] = fx, fy, cx, cy
    slack_x, slack_y = _FOV_SLACK * _HALF * width / fx, _FOV_SLACK * _HALF * height / fy
    view[16], view[17] = -(cx / fx + slack_x), (width - cx) / fx + slack_x
    view[18], view[19] = -(cy / fy + slack_y), (height - cy) / fy + slack_y
    view[20] = _ONE if fisheye else _ZERO
    view[21] = detail_px / max(fx, fy)


@inlined
def _interval(middle, spread, near, far):
    """Slopes of points within `spread` of `middle` at depths near to far."""
    low, high = middle - spread, middle + spread
    return low / (near if low < _ZERO else far), high / (far if high < _ZERO else near)


@part
def box_on_image(boxes, k, view, area):
    """Fills `area` with x0, x1, y0, y1 (px) around all that Gaussians of box k may draw, and with
    its least depth; says if any can.

    Rows of `boxes` are centre and half size of a box around centres, and the longest reach of a
    Gaussian from its centre.
    """
    px, py, pz = boxes[k, 0] - view[9], boxes[k, 1] - view[10], boxes[k, 2] - view[11]
    hx, hy, hz, reach = boxes[k, 3], boxes[k, 4], boxes[k, 5], boxes[k, 6]
    z = view[6] * px + view[7] * py + view[8] * pz
    deep = abs(view[6]) * hx + abs(view[7]) * hy + abs(view[8]) * hz
    if z + deep < _NEAR:
        return False
    x = view[0] * px + view[1] * py + view[2] * pz
    y = view[3] * px + view[4] * py + view[5] * pz
    near, far = max(z - deep, _NEAR), z + deep
    area[4] = near
    fx, fy = view[12], view[13]
    if view[20] == _ZERO:
        low_x, high_x = _interval(
            x, abs(view[0]) * hx + abs(view[1]) * hy + abs(view[2]) * hz, near, far
        )
        low_y, high_y = _interval(
            y, abs(view[3]) * hx + abs(view[4]) * hy + abs(view[5]) * hz, near, far
        )
        # The Jacobian's rows are as long as sqrt(1 + slope^2), with the slope clamped.
        tx, ty = (
            max(min(high_x, view[17]), -max(low_x, view[16])),
            max(min(high_y, view[19]), -max(low_y, view[18])),
        )
        grow_x = fx * reach * np.sqrt(_ONE + tx * tx) / near + _TWO
        grow_y = fy * reach * np.sqrt(_ONE + ty * ty) / near + _TWO
    else:
        radius = np.sqrt(hx * hx + hy * hy + hz * hz)
        distance, flat = np.sqrt(x * x + y * y + z * z), np.sqrt(x * x + y * y)
        if z < _ZERO or distance <= radius + reach:
            low_x, high_x, low_y, high_y, grow_x, grow_y = -_FAR, _FAR, -_FAR, _FAR, _ZERO, _ZERO
        else:
            away = np.arctan2(flat, z) / max(flat, F32(1e-9))
            low_x, low_y = x * away, y * away
            high_x, high_y = low_x, low_y
            angle = _WIDEST * (np.arcsin(radius / distance) + reach / (distance - radius))
            grow_x, grow_y = fx * angle + _TWO, fy * angle + _TWO
    area[0], area[1] = fx * low_x + view[14] - grow_x, fx * high_x + view[14] + grow_x
    area[2], area[3] = fy * low_y + view[15] - grow_y, fy * high_y + view[15] + grow_y
    return True


@part
def find_clusters(clusters, groups, view, region, seen, depths, area):
    """Lists clusters that may draw on `region` (x0, x1, y0, y1, px) in `seen`, their least depths
    in `depths`; returns how many.
    """
    count = 0
    for g in range(len(groups)):
        if not box_on_image(groups, g, view, area):
            continue
        if not (
            area[0] < region[1]
            and area[1] > region[0]
            and area[2] < region[3]
            and area[3] > region[2]
        ):
            continue
        for k in range(g * GROUP, min((g + 1) * GROUP, len(clusters))):
            if box_on_image(clusters, k, view, area):
                if (
                    area[0] < region[1]
                    and area[1] > region[0]
                    and area[2] < region[3]
                    and area[3] > region[2]
                ):
                    seen[count], depths[count] = k, area[4]
                    count += 1
    return count


@inlined
def blocks_of(clusters, k, depth, view, blocks):
    """First and one past the last of the blocks that cluster k is drawn from, nowhere nearer than
    `depth`.

    Only the view and the cluster decide, never the region, so that regions of a view fit together.
    """
    size = view[21] * depth
    if size > _ZERO:
        exact, half, quarter = BLOCKS * len(clusters), BLOCKS // 2, BLOCKS // 4
        if clusters[k, 8] < size:
            return exact + half * len(clusters) + quarter * k, exact + half * len(
                clusters
            ) + quarter * (k + 1)
        if clusters[k, 7] < size:
            return exact + half * k, exact + half * (k + 1)
    return BLOCKS * k, min(BLOCKS * (k + 1), blocks)


@inlined
def _harmonics(x, y, z, terms, basis):
    """Spherical harmonics of eight unit directions, in 3DGS's order and signs, to `basis` (16 * 8,)
    from the second term on.
    """
    put_lanes(basis, 8, y * -0.4886025119029199)
    put_lanes(basis, 16, z * 0.4886025119029199)
    put_lanes(basis, 24, x * -0.4886025119029199)
    if terms > 4:
        xx, yy, zz, xy = x * x, y * y, z * z, x * y
        put_lanes(basis, 32, xy * 1.0925484305920792)
        put_lanes(basis, 40, y * z * -1.0925484305920792)
        put_lanes(basis, 48, (2.0 * zz - xx - yy) * 0.31539156525252005)
        put_lanes(basis, 56, x * z * -1.0925484305920792)
        put_lanes(basis, 64, (xx - yy) * 0.5462742152960396)
        if terms > 9:
            five = 4.0 * zz - xx - yy
            put_lanes(basis, 72, y * (3.0 * xx - yy) * -0.5900435899266435)
            put_lanes(basis, 80, xy * z * 2.890611442640554)
            put_lanes(basis, 88, y * five * -0.4570457994644658)
            put_lanes(basis, 96, z * (2.0 * zz - 3.0 * xx - 3.0 * yy) * 0.3731763325901154)
            put_lanes(basis, 104, x * five * -0.4570457994644658)
            put_lanes(basis, 112, z * (xx - yy) * 1.445305721320277)
            put_lanes(basis, 120, x * (xx - 3.0 * yy) * -0.5900435899266435)


@inlined
def _colours(sh, block, terms, basis, scratch):
    """Colours of a block's Gaussians, clipped at 0."""
    base = block * terms * 24
    for channel in range(3):
        value = fill_f8(0.5)
        for k in range(terms):
            value = value + lanes_at(basis, 8 * k) * lanes_at(sh, base + 24 * k + 8 * channel)
        put_lanes(scratch, 8 * (RED + channel), most(value, fill_f8(0.0)))


@inlined
def _lens(x, y, z, view, scratch):
    """Where eight points (optical frame) fall and the Jacobian there, rows 0 to 7 of `scratch`: mx,
    my, J without its zeros.

    The fisheye is equidistant, with the formulas of gsplat.
    """
    fx, fy = view[12], view[13]
    if view[20] == _ZERO:
        inv = 1.0 / z
        tx, ty = x * inv, y * inv
        put_lanes(scratch, 0, tx * fx + view[14])
        put_lanes(scratch, 8, ty * fy + view[15])
        tx, ty = (
            least(most(tx, fill_f8(view[16])), fill_f8(view[17])),
            least(most(ty, fill_f8(view[18])), fill_f8(view[19])),
        )
        put_lanes(scratch, 16, inv * fx)
        put_lanes(scratch, 24, fill_f8(0.0))
        put_lanes(scratch, 32, tx * inv * -fx)
        put_lanes(scratch, 40, fill_f8(0.0))
        put_lanes(scratch, 48, inv * fy)
        put_lanes(scratch, 56, ty * inv * -fy)
    else:
        xx, yy, xy = x * x + _EPS, y * y, x * y
        flat2 = xx + yy
        flat = roots(x * x + yy) + _EPS
        flip = flat > z
        angle = arctangents(select(flip, z, flat) / select(flip, flat, z))
        per = select(flip, 1.5707963267948966 - angle, angle) / flat
        put_lanes(scratch, 0, x * per * fx + view[14])
        put_lanes(scratch, 8, y * per * fy + view[15])
        inv2 = 1.0 / (flat2 + z * z)
        a, b = z * inv2 / flat2, per / flat2
        put_lanes(scratch, 16, (xx * a + yy * b) * fx)
        put_lanes(scratch, 24, xy * (a - b) * fx)
        put_lanes(scratch, 32, x * inv2 * -fx)
        put_lanes(scratch, 40, xy * (a - b) * fy)
        put_lanes(scratch, 48, (yy * a + xx * b) * fy)
        put_lanes(scratch, 56, y * inv2 * -fy)


@inlined
def _turned(view, column, j0, j1, j2):
    """Element `column` of a row of the Jacobian times the rotation."""
    return j0 * view[column] + j1 * view[3 + column] + j2 * view[6 + column]


@inlined
def _project_block(packed, sh, terms, block, view, region, scratch, basis):
    """Projects eight Gaussians to rows of `scratch`, in a record's order (see MX); the bits of
    those that can touch the region.
    """
    at = block * 8 * GEOMETRY
    px, py = lanes_at(packed, at) - view[9], lanes_at(packed, at + 8) - view[10]
    pz = lanes_at(packed, at + 16) - view[11]
    z = px * view[6] + py * view[7] + pz * view[8]
    ahead = z >= _NEAR
    if mask_bits(ahead) == 0:
        return 0
    x, y = px * view[0] + py * view[1] + pz * view[2], px * view[3] + py * view[4] + pz * view[5]
    _lens(x, y, z, view, scratch)
    mx, my = lanes_at(scratch, 0), lanes_at(scratch, 8)
    j0, j1, j2 = lanes_at(scratch, 16), lanes_at(scratch, 24), lanes_at(scratch, 32)
    a0, a1, a2 = (
        _turned(view, 0, j0, j1, j2),
        _turned(view, 1, j0, j1, j2),
        _turned(view, 2, j0, j1, j2),
    )
    j0, j1, j2 = lanes_at(scratch, 40), lanes_at(scratch, 48), lanes_at(scratch, 56)
    b0, b1, b2 = (
        _turned(view, 0, j0, j1, j2),
        _turned(view, 1, j0, j1, j2),
        _turned(view, 2, j0, j1, j2),
    )
    sxx, sxy, sxz = lanes_at(packed, at + 24), lanes_at(packed, at + 32), lanes_at(packed, at + 40)
    syy, syz, szz = lanes_at(packed, at + 48), lanes_at(packed, at + 56), lanes_at(packed, at + 64)
    u0, u1, u2 = (
        sxx * a0 + sxy * a1 + sxz * a2,
        sxy * a0 + syy * a1 + syz * a2,
        sxz * a0 + syz * a1 + szz * a2,
    )
    c01 = b0 * u0 + b1 * u1 + b2 * u2
    sharp00 = a0 * u0 + a1 * u1 + a2 * u2
    u0, u1, u2 = (
        sxx * b0 + sxy * b1 + sxz * b2,
        sxy * b0 + syy * b1 + syz * b2,
        sxz * b0 + syz * b1 + szz * b2,
    )
    sharp11 = b0 * u0 + b1 * u1 + b2 * u2
    c00, c11 = sharp00 + BLUR, sharp11 + BLUR
    det = c00 * c11 - c01 * c01
    strength = lanes_at(packed, at + 72)
    reach2 = (strength - LOG2_ALPHA_MIN) * _REACH2_OF_LOG2  # where alpha falls to 1/255
    ex, ey = roots(reach2 * c00), roots(reach2 * c11)
    on = (
        ahead
        & (det > 0.0)
        & (mx + ex > region[0])
        & (mx - ex < region[1])
        & (my + ey > region[2])
        & (my - ey < region[3])
    )
    bits = mask_bits(on)
    if bits == 0:
        return 0
    inv = 1.0 / det
    half = inv * (_LOG2_E * 0.5)
    put_lanes(scratch, 8 * INV_ROW, c11 * inv)
    put_lanes(scratch, 8 * CA, c11 * half)
    put_lanes(scratch, 8 * CB, c01 * inv * -_LOG2_E)
    put_lanes(scratch, 8 * CC, c00 * half)
    put_lanes(scratch, 8 * LOG2_OPACITY, strength)
    put_lanes(scratch, 8 * Z, z)
    inv = 1.0 / c11
    put_lanes(scratch, 8 * SHIFT, c01 * inv)
    put_lanes(scratch, 8 * INV_YY, inv)
    put_lanes(scratch, 8 * REACH2, reach2)
    put_lanes(scratch, 8 * EX, ex)
    put_lanes(scratch, 8 * EY, ey)
    put_lanes(scratch, 8 * _KEPT, (sharp00 * sharp11 - c01 * c01) / det)
    put_lanes(basis, 0, fill_f8(0.28209479177387814))
    if terms > 1:
        inv = 1.0 / roots(px * px + py * py + pz * pz)
        _harmonics(px * inv, py * inv, pz * inv, terms, basis)
    _colours(sh, block, terms, basis, scratch)
    return bits


@inlined
def _compensate(records, at, kept):
    """Lowers a record's opacity, and with it its reach, to what the blur left of its weight; says
    if anything is left.
    """
    if not kept > _ZERO:
        return False
    strength = records[at + LOG2_OPACITY] + _HALF * np.log2(min(kept, _ONE))
    if strength <= LOG2_ALPHA_MIN:
        return False
    reach2 = (strength - LOG2_ALPHA_MIN) * _REACH2_OF_LOG2
    shrunk = np.sqrt(reach2 / records[at + REACH2])
    records[at + LOG2_OPACITY], records[at + REACH2] = strength, reach2
    records[at + EX] *= shrunk
    records[at + EY] *= shrunk
    return True


@part
def project_blocks(
    packed, sh, terms, begin, end, view, region, antialiased, scratch, basis, records, count
):
    """Appends records of Gaussians in blocks that can touch the region to `records` (flat) at
    `count`; returns the new count.
    """
    for block in range(begin, end):
        bits = _project_block(packed, sh, terms, block, view, region, scratch, basis)
        lane = 0
        while bits != 0:
            if bits & 1:
                at = count * RECORD
                for field in range(RECORD):
                    records[at + field] = scratch[8 * field + lane]
                if not antialiased or _compensate(records, at, scratch[8 * _KEPT + lane]):
                    count += 1
            lane += 1
            bits >>= 1
    return count
