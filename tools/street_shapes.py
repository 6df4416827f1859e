"""What stays on streets, as low-polygon shapes: boxes, prisms and lumps put together.
`tools/objects.py` stores them, and those of `tools/passing_shapes.py`.

Every shape stands on z = 0 around the origin and heads along x. Footprints and shadows are worked
out from the shapes.
"""

import numpy as np

from s2e.envs.geometry.meshes import Tint, merge, quad, transform, wall
from s2e.envs.geometry.scene import Mesh
from tools.meshes import blob, box, cone, plate, prism

DARK: Tint = (0.2, 0.21, 0.23)
STEEL: Tint = (0.62, 0.64, 0.67)
LEGS: Tint = (0.35, 0.36, 0.38)


def post(
    thick: float,
    height: float,
    tint: Tint = LEGS,
    center=(0.0, 0.0),
    z: float = 0.0,
    texture: str = "metal",
) -> Mesh:
    """A thin upright of four sides, without ends."""
    return prism(0.7 * thick, height, texture, tint, center, z, sides=4, cap=False)


def _legs(xs, ys, height: float, tint: Tint = LEGS, thick: float = 0.05) -> Mesh:
    return merge([post(thick, height, tint, (x, y)) for x in xs for y in ys])


def bench() -> Mesh:
    """A wooden bench with a back."""
    legs = [box((0.08, 0.42, 0.42), "metal", LEGS, (x, 0.0)) for x in (-0.65, 0.65)]
    seat = box((1.6, 0.45, 0.06), "wood", z=0.42, bottom=True)
    back = box((1.6, 0.05, 0.36), "wood", center=(0.0, -0.22), z=0.52, bottom=True)
    return merge([*legs, seat, back])


def stone_bench() -> Mesh:
    """A slab on two blocks."""
    blocks = [box((0.35, 0.4, 0.36), "concrete", (0.9, 0.9, 0.9), (x, 0.0)) for x in (-0.6, 0.6)]
    return merge(
        [*blocks, box((1.9, 0.5, 0.1), "concrete", (1.15, 1.13, 1.1), z=0.36, bottom=True)]
    )


def picnic_table() -> Mesh:
    """A table with a bench on either side."""
    top = box((1.8, 0.75, 0.06), "wood", (1.1, 1.05, 1.0), z=0.7, bottom=True)
    seats = [
        box((1.8, 0.28, 0.05), "wood", center=(0.0, y), z=0.42, bottom=True) for y in (-0.65, 0.65)
    ]
    frames = [
        box((0.08, 1.3, 0.06), "wood", (0.8, 0.8, 0.8), (x, 0.0), 0.36, bottom=True)
        for x in (-0.6, 0.6)
    ]
    legs = [
        post(0.1, 0.7, (0.8, 0.8, 0.8), (x, y), texture="wood")
        for x in (-0.6, 0.6)
        for y in (-0.4, 0.4)
    ]
    return merge([top, *seats, *frames, *legs])


def chair(tint: Tint = (0.75, 0.72, 0.66)) -> Mesh:
    """A chair that looks along x."""
    seat = box((0.42, 0.42, 0.05), "wood", tint, z=0.43, bottom=True)
    back = box((0.05, 0.42, 0.42), "wood", tint, (-0.2, 0.0), 0.48)
    return merge([seat, back, *[_legs((-0.18, 0.18), (-0.18, 0.18), 0.43)]])


def table() -> Mesh:
    """A table for two with its chairs."""
    parts = [
        prism(0.45, 0.05, "wood", (1.15, 1.1, 1.0), z=0.72, bottom=True),
        prism(0.05, 0.72, "metal", (0.4, 0.4, 0.4), sides=5),
    ]
    for side in (-1, 1):
        parts.append(
            box((0.4, 0.4, 0.06), "wood", (0.7, 0.7, 0.75), (side * 0.8, 0.0), 0.42, bottom=True)
        )
        parts.append(box((0.05, 0.4, 0.45), "wood", (0.7, 0.7, 0.75), (side * 0.98, 0.0), 0.45))
        parts.append(post(0.24, 0.42, (0.3, 0.3, 0.3), (side * 0.8, 0.0)))
    return merge(parts)


def bistro_table() -> Mesh:
    """A small round table alone."""
    foot = prism(0.22, 0.03, "metal", DARK, sides=6)
    stem = prism(0.06, 0.7, "metal", DARK, z=0.03, sides=5, cap=False)
    return merge(
        [foot, stem, prism(0.35, 0.04, "concrete", (1.3, 1.28, 1.25), z=0.73, bottom=True)]
    )


def parasol() -> Mesh:
    """A round table under a parasol."""
    stem = prism(0.03, 2.35, "wood", (0.9, 0.85, 0.8), sides=5, cap=False)
    roof = cone(1.35, 0.5, "awning", (1.0, 1.0, 1.0), z=2.05, sides=8, bottom=True)
    return merge(
        [
            prism(0.42, 0.05, "wood", (1.1, 1.05, 1.0), z=0.72, bottom=True),
            stem,
            prism(0.25, 0.08, "concrete", sides=6),
            roof,
        ]
    )


def bin_() -> Mesh:
    """A round litter bin."""
    rim = prism(0.3, 0.08, "metal", (0.3, 0.32, 0.3), z=0.86)
    return merge([prism(0.24, 0.86, "metal", (0.32, 0.45, 0.36), top_radius=0.28, cap=False), rim])


def post_bin() -> Mesh:
    """A litter bin on a post."""
    body = box((0.34, 0.3, 0.5), "metal", (0.85, 0.45, 0.16), z=0.45, top=(0.4, 0.36), bottom=True)
    return merge(
        [
            box((0.07, 0.07, 0.45), "metal", LEGS),
            body,
            box((0.42, 0.38, 0.06), "metal", DARK, z=0.98, bottom=True),
        ]
    )


def wheelie_bin(tint: Tint = (0.2, 0.36, 0.24)) -> Mesh:
    """A household bin on wheels."""
    body = box((0.52, 0.5, 0.9), "cloth", tint, top=(0.62, 0.58))
    lid = box(
        (0.68, 0.64, 0.08),
        "cloth",
        (tint[0] * 0.7, tint[1] * 0.7, tint[2] * 0.7),
        z=0.9,
        bottom=True,
    )
    return merge([body, lid, box((0.06, 0.5, 0.05), "metal", DARK, (-0.35, 0.0), 0.9, bottom=True)])


def dumpster() -> Mesh:
    """A large bin of sheet metal."""
    body = box((1.5, 0.9, 0.95), "metal", (0.22, 0.4, 0.3), z=0.12, top=(1.75, 1.1), bottom=True)
    lid = box((1.78, 1.14, 0.2), "metal", (0.17, 0.3, 0.23), z=1.07, top=(1.7, 0.7), bottom=True)
    feet = [
        box((0.16, 0.16, 0.12), "metal", DARK, (x, y)) for x in (-0.6, 0.6) for y in (-0.35, 0.35)
    ]
    return merge([body, lid, *feet])


def bottle_bank() -> Mesh:
    """A rounded container for glass."""
    body = prism(0.62, 0.75, "metal", (0.3, 0.5, 0.32), top_radius=0.68, cap=False)
    dome = prism(0.68, 0.5, "metal", (0.34, 0.55, 0.36), z=0.75, top_radius=0.3)
    return merge([body, dome, box((0.3, 0.1, 0.2), "white", DARK, (0.0, -0.62), 0.85, bottom=True)])


def bags() -> Mesh:
    """Refuse sacks."""
    black = (0.16, 0.16, 0.18)
    return merge(
        [
            blob(0.32, (0.0, 0.0, 0.26), "cloth", black),
            blob(0.27, (0.4, 0.15, 0.22), "cloth", (0.2, 0.2, 0.24)),
            blob(0.24, (0.12, -0.36, 0.2), "cloth", black),
        ]
    )


def bollard() -> Mesh:
    """A steel post with a yellow top."""
    post = prism(0.09, 0.8, "metal", (0.45, 0.46, 0.5), sides=6, cap=False)
    return merge([post, prism(0.1, 0.12, "white", (0.9, 0.75, 0.2), z=0.8, sides=6)])


def stone_bollard() -> Mesh:
    """A short stone post."""
    return merge(
        [
            prism(0.2, 0.45, "concrete", top_radius=0.16, cap=False),
            prism(0.16, 0.1, "concrete", z=0.45, top_radius=0.08),
        ]
    )


def lamp() -> Mesh:
    """A street lamp with a square head."""
    pole = prism(0.08, 4.6, "metal", (0.4, 0.42, 0.45), top_radius=0.05, sides=5, cap=False)
    foot = prism(0.16, 0.7, "metal", (0.35, 0.37, 0.4), sides=5)
    return merge(
        [
            pole,
            foot,
            box((0.4, 0.4, 0.3), "white", z=4.6, bottom=True),
            cone(0.3, 0.2, "metal", DARK, 4.9, 4),
        ]
    )


def arm_lamp() -> Mesh:
    """A tall lamp whose arm reaches out along y."""
    pole = prism(0.09, 6.2, "metal", STEEL, top_radius=0.05, sides=5, cap=False)
    arm = box((0.06, 1.3, 0.07), "metal", STEEL, (0.0, 0.6), 6.1, bottom=True)
    return merge(
        [pole, arm, box((0.2, 0.6, 0.1), "white", (1.0, 0.98, 0.9), (0.0, 1.2), 6.05, bottom=True)]
    )


def sign() -> Mesh:
    """A blue board on a pole."""
    pole = prism(0.05, 2.3, "metal", (0.7, 0.7, 0.72), sides=5)
    return merge([pole, box((0.06, 0.75, 0.75), "sign", z=1.7, bottom=True)])


def round_sign(texture: str = "no_entry", sides: int = 8) -> Mesh:
    """A traffic sign, round or with fewer sides, that looks along x."""
    board = plate(sides, 0.36, 2.15, texture)
    return merge([prism(0.04, 2.4, "metal", STEEL, sides=5), board])


def street_name() -> Mesh:
    """Two name plates on a post."""
    plates = [
        transform(
            box((0.95, 0.04, 0.22), "nameplate", z=2.35 + 0.25 * k, bottom=True),
            0.0,
            0.0,
            1.571 * k,
        )
        for k in (0, 1)
    ]
    return merge([prism(0.045, 2.9, "metal", LEGS, sides=5), *plates])


def traffic_light() -> Mesh:
    """Signals on a pole, lamps towards x."""
    pole = prism(0.07, 3.2, "metal", (0.3, 0.32, 0.33), sides=6)
    head = box((0.22, 0.3, 0.85), "white", (0.12, 0.13, 0.13), (0.16, 0.0), 2.4, bottom=True)
    walk = box((0.18, 0.26, 0.5), "white", (0.12, 0.13, 0.13), (0.0, 0.22), 2.1, bottom=True)
    lamps = [
        wall((0.275, -0.09), (0.275, 0.09), 2.46 + 0.27 * k, 2.64 + 0.27 * k, "white", tint=c)
        for k, c in enumerate(((0.15, 0.6, 0.25), (0.7, 0.5, 0.1), (0.95, 0.15, 0.1)))
    ]
    return merge(
        [
            pole,
            head,
            walk,
            *lamps,
            box((0.14, 0.14, 0.24), "white", (0.85, 0.75, 0.2), (0.0, 0.1), 1.0, bottom=True),
        ]
    )


def parking_meter() -> Mesh:
    """A meter on a post."""
    head = box((0.22, 0.3, 0.6), "metal", (0.3, 0.38, 0.5), z=1.0, top=(0.16, 0.3), bottom=True)
    return merge([prism(0.05, 1.0, "metal", STEEL, sides=6, cap=False), head])


def flag() -> Mesh:
    """A tall advertising flag."""
    foot = box((0.5, 0.5, 0.06), "metal", DARK)
    cloth = box((0.6, 0.03, 2.2), "awning", (1.0, 0.9, 0.9), (0.33, 0.0), 0.9, bottom=True)
    return merge([foot, prism(0.025, 3.15, "metal", STEEL, sides=5), cloth])


def tree() -> Mesh:
    """A young street tree."""
    trunk = prism(0.17, 2.4, "bark", top_radius=0.11, sides=6, cap=False)
    crown = [
        blob(1.35, (0.0, 0.0, 3.3), "leaves"),
        blob(1.0, (0.5, 0.35, 4.15), "leaves", (1.12, 1.1, 0.95)),
    ]
    return merge([trunk, *crown])


def old_tree() -> Mesh:
    """A broad, tall tree."""
    trunk = prism(0.34, 2.7, "bark", (0.9, 0.9, 0.9), top_radius=0.22, sides=7, cap=False)
    tints = ((0.85, 0.95, 0.8), (1.02, 1.07, 0.9), (1.1, 1.1, 0.85))
    spots = ((0.0, 0.0, 4.4, 2.1), (1.1, 0.5, 5.3, 1.5), (-1.0, -0.4, 5.2, 1.5))
    return merge(
        [trunk, *[blob(r, (x, y, z), "leaves", t, 0.9) for (x, y, z, r), t in zip(spots, tints)]]
    )


def poplar() -> Mesh:
    """A slender tree."""
    trunk = prism(0.14, 1.8, "bark", top_radius=0.1, sides=6, cap=False)
    lower = blob(0.8, (0.0, 0.0, 3.0), "leaves", (0.85, 0.95, 0.8), 1.7)
    return merge([trunk, lower, blob(0.6, (0.05, 0.0, 4.6), "leaves", (0.95, 1.05, 0.9), 2.0)])


def conifer() -> Mesh:
    """A fir: three cones on a short trunk."""
    needles = ((0.75, 0.9, 0.8), (0.82, 1.0, 0.88), (0.9, 1.1, 0.95))
    tiers = [
        cone(r, 1.7, "hedge", t, z=z, sides=7, bottom=True)
        for (r, z), t in zip(((1.15, 0.6), (0.9, 1.5), (0.6, 2.5)), needles)
    ]
    return merge([prism(0.14, 0.7, "bark", sides=5, cap=False), *tiers])


def blossom_tree() -> Mesh:
    """A small tree in flower."""
    trunk = prism(0.1, 1.8, "bark", (0.8, 0.75, 0.75), top_radius=0.07, sides=6, cap=False)
    lumps = [
        blob(0.95, (0.0, 0.0, 2.6), "flowers", (1.1, 0.85, 0.95)),
        blob(0.65, (0.4, 0.3, 3.2), "flowers", (1.15, 0.95, 1.0)),
    ]
    return merge([trunk, *lumps])


def planter() -> Mesh:
    """A square tub with a bush."""
    tub = box((1.0, 1.0, 0.5), "concrete", top=(1.1, 1.1), top_texture="bark")
    return merge([tub, blob(0.5, (0.0, 0.0, 0.8), "hedge", (1.1, 1.15, 1.0))])


def flower_box() -> Mesh:
    """A long box of flowers."""
    tub = box((1.6, 0.5, 0.45), "wood", (0.8, 0.75, 0.7), top_texture="bark")
    return merge([tub, *[blob(0.3, (x, 0.0, 0.58), "flowers", flat=0.8) for x in (-0.5, 0.0, 0.5)]])


def pot() -> Mesh:
    """A round pot with a clipped ball."""
    clay = prism(0.24, 0.45, "plaster", (0.75, 0.42, 0.3), top_radius=0.32)
    return merge(
        [
            clay,
            prism(0.04, 0.5, "bark", z=0.45, sides=5, cap=False),
            blob(0.36, (0.0, 0.0, 1.15), "hedge"),
        ]
    )


def shrub() -> Mesh:
    """Two lumps of leaves."""
    return merge(
        [blob(0.55, (0.0, 0.0, 0.45), "hedge", flat=0.95), blob(0.38, (0.35, 0.2, 0.38), "leaves")]
    )


def hedge() -> Mesh:
    """A clipped piece of hedge."""
    return box((1.8, 0.6, 1.0), "hedge", top=(1.7, 0.5), metres=1.0)


def rock() -> Mesh:
    """A boulder."""
    return merge(
        [
            blob(0.5, (0.0, 0.0, 0.42), "concrete", (0.9, 0.88, 0.84)),
            blob(0.3, (0.5, 0.2, 0.25), "concrete", (0.8, 0.8, 0.78)),
        ]
    )


def log() -> Mesh:
    """A felled trunk to sit on."""
    angle = np.pi * 2 * np.arange(7) / 7
    ring = 0.24 * np.stack([np.cos(angle), np.sin(angle) + 0.974], 1)
    sides = []
    for i in range(7):
        a, b = ring[i], ring[(i + 1) % 7]
        sides.append(quad([[-0.9, *a], [-0.9, *b], [0.9, *b], [0.9, *a]], "bark"))
    ends = [
        transform(plate(7, 0.24, 0.234, "wood", thick=0.0), x, 0.0, yaw)
        for x, yaw in ((0.9, 0.0), (-0.9, np.pi))
    ]
    return merge([*sides, *ends])


def hydrant() -> Mesh:
    """A red hydrant."""
    red = (0.8, 0.12, 0.1)
    arms = box((0.14, 0.42, 0.12), "white", red, z=0.42, bottom=True)
    return merge(
        [
            prism(0.13, 0.6, "white", red, cap=False),
            prism(0.13, 0.16, "white", red, z=0.6, top_radius=0.05),
            arms,
        ]
    )


def letterbox() -> Mesh:
    """A post box."""
    yellow = (0.95, 0.78, 0.12)
    body = box((0.36, 0.5, 0.75), "white", yellow, z=0.6, bottom=True)
    slot = wall((0.185, -0.16), (0.185, 0.16), 1.15, 1.2, "white", tint=(0.1, 0.1, 0.1))
    return merge(
        [
            box((0.1, 0.1, 0.6), "metal", DARK),
            body,
            box((0.4, 0.54, 0.06), "white", (0.85, 0.7, 0.1), z=1.35),
            slot,
        ]
    )


def pillar_box() -> Mesh:
    """A round red post box."""
    red = (0.75, 0.1, 0.1)
    band = prism(0.27, 0.15, "white", (0.12, 0.12, 0.12))
    return merge(
        [
            band,
            prism(0.24, 1.2, "white", red, z=0.15, cap=False),
            prism(0.29, 0.14, "white", red, z=1.35, top_radius=0.2),
        ]
    )


def news_box() -> Mesh:
    """A newspaper box."""
    body = box((0.45, 0.5, 0.75), "white", (0.2, 0.35, 0.7), z=0.3, bottom=True)
    page = wall((0.235, -0.19), (0.235, 0.19), 0.6, 1.0, "poster")
    return merge([_legs((-0.17, 0.17), (-0.19, 0.19), 0.3), body, page])


def kiosk() -> Mesh:
    """A flat advertising pillar."""
    stem = box((1.2, 0.3, 2.1), "metal", (0.3, 0.32, 0.35))
    return merge([stem, box((1.0, 0.34, 1.5), "sign", (1.0, 0.75, 0.6), z=0.45, bottom=True)])


def advert_column() -> Mesh:
    """A round column with posters."""
    body = prism(0.6, 2.5, "poster", z=0.15, sides=8, repeat=(4.0, 2.0), cap=False)
    return merge(
        [
            prism(0.68, 0.15, "concrete"),
            body,
            cone(0.72, 0.35, "metal", (0.25, 0.35, 0.3), 2.65, 8, bottom=True),
        ]
    )


def cabinet() -> Mesh:
    """A grey box of the power company."""
    body = box((0.9, 0.38, 1.1), "plaster", (0.62, 0.66, 0.62), z=0.1)
    return merge(
        [
            box((0.94, 0.42, 0.1), "concrete"),
            body,
            box((0.96, 0.44, 0.06), "plaster", (0.5, 0.54, 0.5), z=1.2, bottom=True),
        ]
    )


def vending_machine() -> Mesh:
    """A drinks machine that looks along x."""
    front = wall((0.385, -0.38), (0.385, 0.38), 0.5, 1.7, "poster", tint=(1.1, 1.1, 1.1))
    return merge([box((0.76, 0.9, 1.85), "white", (0.75, 0.14, 0.16)), front])


def phone_booth() -> Mesh:
    """A glazed booth."""
    roof = box((1.0, 1.0, 0.18), "white", (0.7, 0.1, 0.12), z=2.2, bottom=True)
    return merge(
        [
            box((0.95, 0.95, 0.12), "concrete"),
            box((0.9, 0.9, 2.08), "glass", (1.1, 0.8, 0.8), z=0.12),
            roof,
        ]
    )


def bus_shelter() -> Mesh:
    """A glass shelter with a seat, open towards x."""
    back = box((0.05, 3.2, 1.9), "glass", (1.5, 1.5, 1.45), (-0.65, 0.0), 0.25, bottom=True)
    ends = [
        box((1.1, 0.05, 1.9), "glass", (1.5, 1.5, 1.45), (-0.1, y), 0.25, bottom=True)
        for y in (-1.6, 1.6)
    ]
    roof = box((1.6, 3.5, 0.1), "metal", (0.5, 0.52, 0.55), (0.0, 0.0), 2.3, bottom=True)
    seat = box((0.35, 2.2, 0.06), "wood", center=(-0.4, 0.0), z=0.42, bottom=True)
    posts = [post(0.08, 2.3, LEGS, (x, y)) for x in (-0.65, 0.45) for y in (-1.6, 1.6)]
    return merge([back, *ends, roof, seat, *posts])


def fountain() -> Mesh:
    """A basin with a column in it."""
    basin = prism(1.5, 0.5, "concrete", (1.1, 1.08, 1.02), sides=10, repeat=(8.0, 0.5), cap=False)
    water = prism(1.5, 0.02, "water", z=0.48, sides=10)
    bowl = prism(0.25, 0.2, "concrete", (1.1, 1.08, 1.02), z=1.2, top_radius=0.6, bottom=True)
    return merge(
        [
            basin,
            water,
            prism(0.2, 0.8, "concrete", z=0.48, top_radius=0.14, sides=6, cap=False),
            bowl,
        ]
    )


def statue() -> Mesh:
    """A figure on a plinth."""
    bronze = (0.42, 0.52, 0.46)
    plinth = merge(
        [
            box((1.3, 1.3, 0.25), "concrete"),
            box((0.9, 0.9, 1.1), "concrete", (1.1, 1.1, 1.08), z=0.25),
        ]
    )
    legs = box((0.3, 0.42, 0.85), "metal", bronze, z=1.35)
    body = box((0.32, 0.5, 0.7), "metal", bronze, z=2.2, top=(0.34, 0.6))
    arm = box((0.6, 0.14, 0.14), "metal", bronze, (0.35, 0.3), 2.7, bottom=True)
    return merge([plinth, legs, body, blob(0.17, (0.0, 0.0, 3.05), "metal", bronze), arm])


def pillar() -> Mesh:
    """A round column of a hall."""
    base = prism(0.32, 0.2, "concrete")
    return merge(
        [base, prism(0.24, 3.0, "plaster", (0.95, 0.93, 0.9), z=0.2, repeat=(3.0, 3.0), cap=False)]
    )


def bike_rack() -> Mesh:
    """Three hoops."""
    hoops = []
    for y in (-0.7, 0.0, 0.7):
        posts = [post(0.05, 0.75, STEEL, (x, y)) for x in (-0.35, 0.35)]
        hoops += [*posts, box((0.75, 0.05, 0.05), "metal", STEEL, (0.0, y), 0.75, bottom=True)]
    return merge(hoops)
