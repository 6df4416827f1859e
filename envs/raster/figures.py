"""The bodies of people: boxes on joints, posed by the phase of the gait and dressed by a seed."""

import numpy as np

from s2e.envs.geometry.textures import TEXTURES
from s2e.envs.raster.lanes import kernel

MAX_PARTS = 20
"""Boxes of a body at most."""

SKIN = TEXTURES["skin"]
FACE = TEXTURES["face"]
# As floats: numba would compile a function once for every whole number that it is called with.
_SKIN_LAYER, _FACE_LAYER = float(SKIN), float(FACE)
_HAIR_LAYER, _DENIM_LAYER = float(TEXTURES["hair"]), float(TEXTURES["denim"])
_TOPS = np.array(
    [TEXTURES[n] for n in ("cloth", "cloth", "stripes", "check", "cloth", "denim")],
    dtype=np.float64,
)

FACES = np.array(
    [[7, 4, 0, 3], [4, 5, 1, 0], [5, 6, 2, 1], [6, 7, 3, 2], [0, 1, 2, 3], [7, 6, 5, 4]],
    dtype=np.int64,
)
"""(6, 4) corners of a box's front, left, back, right, top and bottom; each from its lower left,
counter-clockwise.

Corners 0 to 3 are the upper ones: front left, back left, back right, front right; 4 to 7 those
below them.
"""

_SHIRTS = np.array(
    [
        [0.92, 0.92, 0.9],
        [0.16, 0.17, 0.2],
        [0.75, 0.16, 0.16],
        [0.15, 0.3, 0.6],
        [0.16, 0.45, 0.28],
        [0.9, 0.72, 0.2],
        [0.5, 0.52, 0.55],
        [0.45, 0.2, 0.45],
        [0.9, 0.5, 0.55],
        [0.45, 0.68, 0.82],
        [0.36, 0.26, 0.18],
        [0.9, 0.45, 0.12],
    ]
)
_TROUSERS = np.array(
    [
        [0.16, 0.18, 0.26],
        [0.1, 0.1, 0.11],
        [0.26, 0.34, 0.5],
        [0.6, 0.52, 0.4],
        [0.32, 0.32, 0.33],
        [0.24, 0.3, 0.22],
        [0.4, 0.27, 0.2],
        [0.74, 0.72, 0.68],
    ]
)
_HAIRS = np.array(
    [
        [0.1, 0.08, 0.07],
        [0.24, 0.15, 0.1],
        [0.42, 0.28, 0.16],
        [0.75, 0.6, 0.34],
        [0.5, 0.22, 0.1],
        [0.68, 0.68, 0.68],
    ]
)
_SKINS = np.array(
    [
        [0.98, 0.82, 0.72],
        [0.93, 0.74, 0.6],
        [0.82, 0.62, 0.48],
        [0.66, 0.46, 0.34],
        [0.48, 0.32, 0.23],
        [0.33, 0.22, 0.17],
    ]
)


@kernel
def _choice(look, question):
    """A number in 0..1 that the seed `look` gives as its answer to a question."""
    mask = 0xFFFFFFFF
    x = (look * 40503 + question * 9973 + 12345) & mask
    for _ in range(2):
        x = ((x ^ (x >> 16)) * 0x45D9F3B) & mask
    return ((x ^ (x >> 16)) & mask) / 4294967296.0


@kernel
def _put(parts, n, x, y, z, angle, length, top, bottom, tint, texture, gain, lift):
    """Writes part n; `top` and `bottom` are half depth and half width at its two ends, its tint is
    `tint * gain + lift`.
    """
    part = parts[n]
    part[0], part[1], part[2], part[3], part[4] = x, y, z, angle, length
    part[5], part[6], part[7], part[8] = top[0], top[1], bottom[0], bottom[1]
    part[9], part[10], part[11] = (
        tint[0] * gain + lift,
        tint[1] * gain + lift,
        tint[2] * gain + lift,
    )
    part[12] = texture
    return n + 1


@kernel
def _limbs(parts, n, phase, build, top, top_layer, legs, skin, bare_arms, bare_legs, phone):
    """Legs with knees, shoes and arms that swing against the legs; returns the count and the lowest
    sole.
    """
    lowest = 0.0
    for side in (1.0, -1.0):
        swing = 0.42 * side * np.sin(phase)
        bend = 0.1 + 0.6 * max(0.0, side * np.cos(phase)) ** 2
        hip_y = side * 0.085 * build
        n = _put(
            parts,
            n,
            0.0,
            hip_y,
            0.92,
            swing,
            0.45,
            (0.085, 0.08 * build),
            (0.065, 0.062),
            legs,
            _DENIM_LAYER,
            1.0,
            0.0,
        )
        knee_x, knee_z = 0.44 * np.sin(swing), 0.92 - 0.44 * np.cos(swing)
        low = swing - bend
        shin = skin if bare_legs else legs
        n = _put(
            parts,
            n,
            knee_x,
            hip_y,
            knee_z,
            low,
            0.42,
            (0.063, 0.06),
            (0.05, 0.048),
            shin,
            _DENIM_LAYER,
            1.0,
            0.0,
        )
        ankle_x, ankle_z = knee_x + 0.4 * np.sin(low), knee_z - 0.4 * np.cos(low)
        n = _put(
            parts,
            n,
            ankle_x + 0.05,
            hip_y,
            ankle_z + 0.02,
            0.0,
            0.1,
            (0.1, 0.045),
            (0.135, 0.05),
            legs,
            _SKIN_LAYER,
            0.4,
            0.06,
        )
        lowest = min(lowest, ankle_z - 0.08)
        raised = phone and side < 0.0
        swing = 0.25 if raised else -0.75 * swing
        arm_y = side * 0.225 * build
        n = _put(
            parts,
            n,
            0.0,
            arm_y,
            1.43,
            swing,
            0.3,
            (0.055, 0.05),
            (0.045, 0.043),
            top,
            top_layer,
            1.0,
            0.0,
        )
        elbow_x, elbow_z = 0.29 * np.sin(swing), 1.43 - 0.29 * np.cos(swing)
        swing += 1.55 if raised else 0.35
        sleeve, layer = (skin, _SKIN_LAYER) if bare_arms else (top, top_layer)
        n = _put(
            parts,
            n,
            elbow_x,
            arm_y,
            elbow_z,
            swing,
            0.24,
            (0.042, 0.04),
            (0.034, 0.032),
            sleeve,
            layer,
            1.0,
            0.0,
        )
        hand_x, hand_z = elbow_x + 0.235 * np.sin(swing), elbow_z - 0.235 * np.cos(swing)
        n = _put(
            parts,
            n,
            hand_x,
            arm_y,
            hand_z,
            swing,
            0.12,
            (0.04, 0.026),
            (0.035, 0.024),
            skin,
            _SKIN_LAYER,
            1.0,
            0.0,
        )
        if raised:
            hand_x, hand_z = hand_x + 0.09 * np.sin(swing), hand_z - 0.09 * np.cos(swing) + 0.1
            n = _put(
                parts,
                n,
                hand_x,
                arm_y,
                hand_z,
                -0.6,
                0.15,
                (0.012, 0.04),
                (0.012, 0.04),
                legs,
                _SKIN_LAYER,
                0.0,
                0.08,
            )
    return n, lowest


@kernel
def _simple_limbs(parts, n, phase, build, top, top_layer, legs, skin, phone, arms):
    """Limbs of one box each, for people farther away; returns the count and the lowest sole."""
    lowest = 0.0
    for side in (1.0, -1.0):
        swing = 0.3 * side * np.sin(phase)
        n = _put(
            parts,
            n,
            0.0,
            side * 0.085 * build,
            0.92,
            swing,
            0.92,
            (0.085, 0.08 * build),
            (0.08, 0.05),
            legs,
            _DENIM_LAYER,
            1.0,
            0.0,
        )
        lowest = min(lowest, 0.92 * (1.0 - np.cos(swing)))
        if arms:
            raised = phone and side < 0.0
            swing, length = (0.9, 0.45) if raised else (0.12 - swing, 0.64)
            n = _put(
                parts,
                n,
                0.0,
                side * 0.225 * build,
                1.43,
                swing,
                length,
                (0.052, 0.047),
                (0.036, 0.03),
                top,
                top_layer,
                1.0,
                0.0,
            )
    return n, lowest


@kernel
def _head(parts, n, pose, detail, style, skin, hair):
    """Neck, head and hair; a bowed head hangs from a crown that is farther ahead and lower."""
    bow, ahead, down = (-0.5, 0.1, 0.03) if pose == 1 else (0.0, 0.0, 0.0)
    n = _put(
        parts,
        n,
        0.02 + ahead,
        0.0,
        1.75 - down,
        bow,
        0.23,
        (0.095, 0.08),
        (0.075, 0.058),
        skin,
        _FACE_LAYER,
        1.0,
        0.0,
    )
    n = _put(
        parts,
        n,
        0.005 + 1.1 * ahead,
        0.0,
        1.775 - down,
        bow,
        0.08,
        (0.095, 0.078),
        (0.115, 0.092),
        hair,
        _HAIR_LAYER,
        1.0,
        0.0,
    )
    back = 0.34 if style > 0.6 else 0.15
    n = _put(
        parts,
        n,
        -0.06 + ahead,
        0.0,
        1.72 + 0.5 * down,
        bow,
        back,
        (0.05, 0.09),
        (0.045, 0.085),
        hair,
        _HAIR_LAYER,
        1.0,
        0.0,
    )
    if detail == 2:
        n = _put(
            parts,
            n,
            0.01,
            0.0,
            1.56,
            0.0,
            0.1,
            (0.045, 0.05),
            (0.06, 0.075),
            skin,
            _SKIN_LAYER,
            1.0,
            0.0,
        )
    return n


@kernel
def person_parts(phase, look, pose, detail, parts):
    """Poses and dresses a person.

    Args:
        phase: of the gait, radians; 0 and pi have both feet below the hips.
        look: integer seed of build and clothes; the height is 1.5 to 1.9 m.
        pose: 0 walks or stands, 1 looks at a phone: the right forearm raised, a small dark box in
            the hand, head bowed; 2 as 0, a child of 1 to 1.2 m.
        detail: 2 is all of a body, 1 is limbs of one box each, 0 is legs, trunk and head, for
            people a few pixels high.
        parts: (MAX_PARTS, 13) float32, written. A part is a tapered box that hangs from a joint:
            the joint's x, y, z in the body's frame (x ahead, z = 0 the ground), angle about y
            (positive swings it ahead), length, half depth and half width at the joint and at the
            end, tint (RGB), texture layer.

    Returns:
        Number of parts.
    """
    tall = (1.5 + 0.4 * _choice(look, np.int64(0))) / 1.77
    if pose == 2:
        tall *= 0.65
    build = 0.9 + 0.3 * _choice(look, np.int64(1))
    top = _SHIRTS[int(_choice(look, np.int64(2)) * 12)]
    legs = _TROUSERS[int(_choice(look, np.int64(3)) * 8)]
    hair = _HAIRS[int(_choice(look, np.int64(4)) * 6)]
    skin = _SKINS[int(_choice(look, np.int64(5)) * 6)]
    layer = _TOPS[int(_choice(look, np.int64(6)) * 6)]
    style, coat = _choice(look, np.int64(7)), _choice(look, np.int64(8))
    if detail == 2:
        n, lowest = _limbs(
            parts,
            np.int64(0),
            phase,
            build,
            top,
            layer,
            legs,
            skin,
            coat > 0.55,
            coat > 0.85,
            pose == 1,
        )
    else:
        n, lowest = _simple_limbs(
            parts, np.int64(0), phase, build, top, layer, legs, skin, pose == 1, detail == 1
        )
    waist = (0.095 * build, 0.155 * build)
    if detail == 0:
        n = _put(
            parts, n, 0.0, 0.0, 1.5, 0.0, 0.6, (0.085, 0.24 * build), waist, top, layer, 1.0, 0.0
        )
        n = _put(
            parts,
            n,
            0.0,
            0.0,
            1.775,
            0.0,
            0.28,
            (0.1, 0.085),
            (0.08, 0.065),
            skin,
            _FACE_LAYER,
            1.0,
            0.0,
        )
    else:
        n = _put(
            parts, n, 0.0, 0.0, 1.5, 0.0, 0.4, (0.085, 0.185 * build), waist, top, layer, 1.0, 0.0
        )
        if coat < 0.25:
            n = _put(
                parts,
                n,
                0.0,
                0.0,
                1.12,
                0.0,
                0.5,
                waist,
                (0.15, 0.22 * build),
                top,
                layer,
                1.0,
                0.0,
            )
        else:
            n = _put(
                parts,
                n,
                0.0,
                0.0,
                1.12,
                0.0,
                0.26,
                waist,
                (0.1, 0.17 * build),
                legs,
                _DENIM_LAYER,
                1.0,
                0.0,
            )
        n = _head(parts, n, pose, detail, style, skin, hair)
        if 0.25 < style < 0.5:
            n = _put(
                parts,
                n,
                -0.17,
                0.0,
                1.48,
                0.0,
                0.42,
                (0.06, 0.12),
                (0.09, 0.15),
                legs,
                _SKIN_LAYER,
                0.8,
                0.1,
            )
    for k in range(n):
        parts[k, 2] = (parts[k, 2] - lowest) * tall
        parts[k, 0] *= tall
        parts[k, 1] *= tall
        for i in range(4, 9):
            parts[k, i] *= tall
    return n
