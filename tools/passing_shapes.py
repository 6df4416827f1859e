"""Shapes of what comes and goes: vehicles, building sites, markets, luggage; see
`tools/street_shapes.py`.
"""

import numpy as np

from s2e.envs.geometry.meshes import WHITE, Tint, merge, quad, transform, wall
from s2e.envs.geometry.scene import Mesh
from tools.meshes import blob, box, cone, plate, prism, wheel
from tools.street_shapes import DARK, STEEL, post


def _tyres(xs, y: float, radius: float) -> list[Mesh]:
    """Wheels on both flanks, seen from outside."""
    wheels = []
    for x in xs:
        for side in (-1, 1):
            face = plate(8, radius, radius, "tyre", thick=0.0)
            wheels.append(transform(face, x, side * y, side * np.pi / 2))
    return wheels


def _treads(xs, y: float, radius: float) -> list[Mesh]:
    """The thickness of wheels, for what stands high enough to look under."""
    return [
        box((1.4 * radius, 0.11, 1.7 * radius), "white", (0.1, 0.1, 0.1), (x, side * y))
        for x in xs
        for side in (-1, 1)
    ]


def _lamps(length: float, y: float, z: float) -> list[Mesh]:
    """Head lamps and tail lamps."""
    lamps, reach = [], length / 2
    for at in (-y, y):
        lamps.append(
            wall(
                (reach, at - 0.16), (reach, at + 0.16), z, z + 0.16, "white", tint=(0.95, 0.93, 0.8)
            )
        )
        lamps.append(
            wall(
                (-reach, at + 0.16),
                (-reach, at - 0.16),
                z,
                z + 0.16,
                "white",
                tint=(0.75, 0.1, 0.1),
            )
        )
    return lamps


def car(tint: Tint) -> Mesh:
    """A saloon."""
    body = box(
        (4.2, 1.76, 0.58),
        "car_side",
        tint,
        z=0.22,
        top=(4.1, 1.66),
        top_texture="white",
        bottom=True,
    )
    cabin = box(
        (2.5, 1.6, 0.52), "car_glass", WHITE, (-0.2, 0.0), 0.8, top=(1.6, 1.32), top_texture="white"
    )
    roof = box((1.62, 1.34, 0.04), "white", tint, (-0.2, 0.0), 1.32)
    return merge([body, cabin, roof, *_tyres((-1.3, 1.3), 0.89, 0.31), *_lamps(4.2, 0.6, 0.5)])


def van(tint: Tint) -> Mesh:
    """A delivery van."""
    cargo = box((3.3, 1.95, 1.75), "white", tint, (-0.85, 0.0), 0.3, top=(3.25, 1.85), bottom=True)
    bonnet = box((1.75, 1.9, 0.75), "white", tint, (1.65, 0.0), 0.3, top=(1.6, 1.85), bottom=True)
    glass = box(
        (1.3, 1.8, 0.75), "car_glass", WHITE, (1.3, 0.0), 1.05, top=(0.5, 1.7), top_texture="white"
    )
    stripe = [
        wall((-2.3, -0.985), (0.6, -0.985), 0.9, 1.25, "awning", (6.0, 1.0)),
        wall((0.6, 0.985), (-2.3, 0.985), 0.9, 1.25, "awning", (6.0, 1.0)),
    ]
    return merge(
        [cargo, bonnet, glass, *stripe, *_tyres((-1.6, 1.6), 0.99, 0.34), *_lamps(5.06, 0.7, 0.6)]
    )


def cargo_trailer() -> Mesh:
    """A box trailer on two wheels."""
    bed = box((1.9, 1.2, 0.55), "metal", STEEL, (0.0, 0.0), 0.4, bottom=True)
    return merge(
        [
            bed,
            box((0.9, 0.06, 0.06), "metal", DARK, (1.35, 0.0), 0.42, bottom=True),
            *_tyres((0.0,), 0.64, 0.3),
            *_treads((0.0,), 0.58, 0.3),
        ]
    )


def bicycle(frame: Tint = (0.15, 0.35, 0.6)) -> Mesh:
    """A bicycle."""
    parts = [wheel(-0.52, 0.33), wheel(0.52, 0.33)]
    parts.append(box((0.75, 0.05, 0.07), "white", frame, (0.02, 0.0), 0.62, bottom=True))
    parts.append(box((0.05, 0.05, 0.55), "white", frame, (-0.2, 0.0), 0.33))
    parts.append(box((0.05, 0.05, 0.72), "white", frame, (0.42, 0.0), 0.3))
    parts.append(box((0.26, 0.16, 0.07), "white", (0.1, 0.1, 0.1), (-0.22, 0.0), 0.88, bottom=True))
    parts.append(box((0.05, 0.56, 0.05), "white", (0.2, 0.2, 0.2), (0.42, 0.0), 1.0, bottom=True))
    return merge(parts)


def scooter() -> Mesh:
    """A kick scooter with a motor."""
    deck = box((0.75, 0.16, 0.06), "white", (0.15, 0.16, 0.17), (0.0, 0.0), 0.12, bottom=True)
    stem = box((0.06, 0.06, 1.0), "white", (0.3, 0.75, 0.55), (0.45, 0.0), 0.15)
    bar = box((0.05, 0.45, 0.05), "white", (0.12, 0.12, 0.13), (0.45, 0.0), 1.12, bottom=True)
    return merge([wheel(-0.45, 0.11), wheel(0.5, 0.11), deck, stem, bar])


def moped(tint: Tint = (0.7, 0.2, 0.2)) -> Mesh:
    """A motor scooter."""
    tail = box((0.75, 0.36, 0.4), "white", tint, (-0.35, 0.0), 0.35, top=(0.7, 0.28), bottom=True)
    seat = box((0.7, 0.28, 0.1), "cloth", DARK, (-0.32, 0.0), 0.75)
    shield = box((0.12, 0.42, 0.65), "white", tint, (0.38, 0.0), 0.3, top=(0.08, 0.3), bottom=True)
    floor = box((0.5, 0.3, 0.08), "white", DARK, (0.1, 0.0), 0.27, bottom=True)
    return merge(
        [
            wheel(-0.55, 0.23, 0.1),
            wheel(0.55, 0.23, 0.1),
            tail,
            seat,
            shield,
            floor,
            box((0.06, 0.62, 0.06), "white", DARK, (0.38, 0.0), 0.98, bottom=True),
        ]
    )


def traffic_cone() -> Mesh:
    """A traffic cone."""
    base = box((0.4, 0.4, 0.05), "white", (0.15, 0.15, 0.16))
    return merge([base, prism(0.15, 0.68, "cone", z=0.05, top_radius=0.03)])


def barrel() -> Mesh:
    """A traffic drum."""
    return merge(
        [prism(0.36, 0.08, "white", DARK), prism(0.29, 0.95, "cone", z=0.08, top_radius=0.25)]
    )


def barrier() -> Mesh:
    """Two red and white boards on feet."""
    boards = [box((1.6, 0.06, 0.24), "hazard", z=z, metres=0.5, bottom=True) for z in (0.35, 0.75)]
    feet = [box((0.08, 0.5, 0.06), "metal", (0.5, 0.5, 0.5), (x, 0.0)) for x in (-0.7, 0.7)]
    posts = [post(0.05, 0.98, (0.8, 0.8, 0.8), (x, 0.0)) for x in (-0.7, 0.7)]
    return merge([*boards, *feet, *posts])


def jersey() -> Mesh:
    """A concrete barrier."""
    foot = box((2.0, 0.6, 0.3), "concrete", (1.1, 1.1, 1.08), top=(2.0, 0.3))
    return merge(
        [foot, box((2.0, 0.3, 0.55), "concrete", (1.1, 1.1, 1.08), z=0.3, top=(2.0, 0.18))]
    )


def water_barrier() -> Mesh:
    """A plastic barrier filled with water."""
    return merge(
        [
            box((1.2, 0.45, 0.4), "white", (0.9, 0.3, 0.2), top=(1.2, 0.3)),
            box((1.15, 0.3, 0.4), "white", (0.92, 0.92, 0.9), z=0.4, top=(1.15, 0.2)),
        ]
    )


def fence() -> Mesh:
    """A metal railing."""
    panel = [wall((-1.2, -0.03), (1.2, -0.03), 0.0, 1.1, "fence", (3.0, 1.0))]
    panel.append(wall((1.2, 0.03), (-1.2, 0.03), 0.0, 1.1, "fence", (3.0, 1.0)))
    posts = [box((0.08, 0.08, 1.16), "metal", (0.6, 0.6, 0.62), (x, 0.0)) for x in (-1.2, 1.2)]
    return merge([*panel, *posts])


def site_fence() -> Mesh:
    """A building-site fence on concrete feet."""
    panel = [wall((-1.25, -0.02), (1.25, -0.02), 0.12, 2.0, "mesh", (5.0, 4.0))]
    panel.append(wall((1.25, 0.02), (-1.25, 0.02), 0.12, 2.0, "mesh", (5.0, 4.0)))
    feet = [box((0.25, 0.65, 0.14), "concrete", (0.8, 0.8, 0.8), (x, 0.0)) for x in (-1.2, 1.2)]
    posts = [post(0.05, 2.05, STEEL, (x, 0.0)) for x in (-1.25, 1.25)]
    return merge([*panel, *feet, *posts])


def wood_fence() -> Mesh:
    """A garden fence of boards."""
    return merge(
        [
            box((2.2, 0.06, 0.95), "planks", z=0.08, metres=1.0, bottom=True),
            *[box((0.1, 0.1, 1.1), "wood", (0.8, 0.8, 0.8), (x, 0.0)) for x in (-1.05, 1.05)],
        ]
    )


def scaffold() -> Mesh:
    """Two storeys of scaffolding."""
    poles = [post(0.06, 4.6, STEEL, (x, y)) for x in (-1.25, 1.25) for y in (-0.45, 0.45)]
    decks = [
        box((2.5, 0.9, 0.06), "planks", (0.9, 0.85, 0.8), z=z, bottom=True) for z in (2.1, 4.1)
    ]
    rails = [
        box((2.5, 0.05, 0.12), "hazard", WHITE, (0.0, -0.45), z, metres=0.5, bottom=True)
        for z in (0.9, 3.0)
    ]
    return merge([*poles, *decks, *rails])


def sand_heap() -> Mesh:
    """A heap of sand."""
    return merge(
        [
            prism(1.15, 0.45, "sand", top_radius=0.65, sides=9, repeat=(6.0, 0.5), cap=False),
            cone(0.65, 0.4, "sand", z=0.45, sides=9),
        ]
    )


def gravel_heap() -> Mesh:
    """A heap of gravel."""
    return merge(
        [
            prism(
                0.9,
                0.35,
                "gravel",
                (0.85, 0.85, 0.85),
                top_radius=0.5,
                sides=8,
                repeat=(5.0, 0.5),
                cap=False,
            ),
            cone(0.5, 0.3, "gravel", z=0.35, sides=8),
        ]
    )


def pallet() -> Mesh:
    """Crates on a pallet."""
    crates = [
        box((0.75, 0.5, 0.4), "wood", WHITE, z=0.14),
        box((0.5, 0.4, 0.35), "wood", (1.15, 1.1, 1), (0.05, 0.02), 0.54),
    ]
    return merge([box((0.9, 0.65, 0.14), "wood", (0.7, 0.68, 0.66)), *crates])


def bricks() -> Mesh:
    """A stack of bricks on a pallet."""
    stack = box((1.0, 0.75, 0.55), "brick", z=0.14, metres=0.6)
    return merge(
        [
            box((1.1, 0.85, 0.14), "wood", (0.7, 0.68, 0.66)),
            stack,
            box((0.5, 0.7, 0.22), "brick", (0.95, 0.9, 0.9), (-0.2, 0.0), 0.69, metres=0.6),
        ]
    )


def pipes() -> Mesh:
    """Concrete pipes, stacked."""
    parts = []
    for y, z in ((-0.26, 0.0), (0.26, 0.0), (0.0, 0.43)):
        angle = 2 * np.pi * np.arange(7) / 7
        ring = np.stack([y + 0.25 * np.cos(angle), z + 0.25 + 0.25 * np.sin(angle)], 1)
        for i in range(7):
            a, b = ring[i], ring[(i + 1) % 7]
            parts.append(
                quad([[0.9, *a], [0.9, *b], [-0.9, *b], [-0.9, *a]][::-1], "concrete", (1.0, 0.3))
            )
        for side, turn in ((0.9, 0.0), (-0.9, np.pi)):
            parts.append(transform(plate(7, 0.25, z + 0.25, "tyre", thick=0.0), side, y, turn))
    return merge(parts)


def mixer() -> Mesh:
    """A concrete mixer."""
    orange = (0.9, 0.5, 0.12)
    drum = [
        prism(0.28, 0.35, "white", orange, z=0.7, top_radius=0.42, cap=False, bottom=True),
        prism(0.42, 0.4, "white", orange, z=1.05, top_radius=0.22),
    ]
    frame = [
        box((0.9, 0.08, 0.7), "metal", DARK, (0.0, y), 0.0, top=(0.3, 0.08)) for y in (-0.35, 0.35)
    ]
    return merge(
        [*drum, *frame, box((0.3, 0.3, 0.35), "white", orange, (-0.4, 0.0), 0.3, bottom=True)]
    )


def wheelbarrow() -> Mesh:
    """A wheelbarrow."""
    tray = box((0.6, 0.4, 0.3), "metal", (0.3, 0.5, 0.35), z=0.38, top=(0.9, 0.62), bottom=True)
    shafts = [
        box((1.3, 0.05, 0.05), "wood", WHITE, (-0.2, y), 0.36, bottom=True) for y in (-0.22, 0.22)
    ]
    legs = [box((0.05, 0.05, 0.36), "metal", DARK, (-0.3, y)) for y in (-0.22, 0.22)]
    sides = [
        transform(plate(7, 0.18, 0.18, "tyre", thick=0.0), 0.5, s * 0.04, s * np.pi / 2)
        for s in (-1, 1)
    ]
    return merge([tray, *shafts, *legs, *sides])


def cable_drum() -> Mesh:
    """A cable drum lying on its side."""
    return merge(
        [
            prism(0.6, 0.08, "wood"),
            prism(0.35, 0.5, "cloth", (0.25, 0.22, 0.2), z=0.08, cap=False),
            prism(0.6, 0.08, "wood", z=0.58, bottom=True),
        ]
    )


def toilet() -> Mesh:
    """A portable cabin."""
    door = wall((0.56, -0.35), (0.56, 0.35), 0.1, 1.95, "white", tint=(0.75, 0.78, 0.8))
    return merge(
        [
            box((1.1, 1.1, 2.1), "white", (0.15, 0.42, 0.5)),
            box((1.16, 1.16, 0.2), "white", (0.85, 0.87, 0.88), z=2.1, top=(0.9, 0.9), bottom=True),
            door,
        ]
    )


def carton() -> Mesh:
    """A cardboard box."""
    return box((0.5, 0.4, 0.45), "wood", (1.2, 1.05, 0.85))


def cartons() -> Mesh:
    """Three cardboard boxes."""
    tan = (1.2, 1.05, 0.85)
    return merge(
        [
            box((0.6, 0.5, 0.5), "wood", tan),
            box((0.45, 0.4, 0.35), "wood", (1.1, 0.95, 0.75), (0.05, 0.02), 0.5),
            box((0.4, 0.4, 0.3), "wood", tan, (0.5, 0.15)),
        ]
    )


def crates() -> Mesh:
    """Crates of fruit."""
    fruit = ((1.0, 0.5, 0.15), (0.55, 0.8, 0.2), (0.9, 0.2, 0.15))
    parts = []
    for k, tint in enumerate(fruit):
        x, z = (-0.3, 0.3, 0.0)[k], (0.0, 0.0, 0.32)[k]
        parts += [box((0.55, 0.4, 0.28), "wood", (1.0, 0.95, 0.9), (x, 0.0), z, bottom=z > 0)]
        parts += [
            box(
                (0.47, 0.32, 0.06),
                "leaves",
                (tint[0] * 2.2, tint[1] * 1.6, tint[2] * 2.2),
                (x, 0.0),
                z + 0.27,
            )
        ]
    return merge(parts)


def stall(tint: Tint = (1.0, 1.0, 1.0)) -> Mesh:
    """A market stall under an awning; its counter looks along y."""
    posts = [
        post(0.06, 2.2, WHITE, (x, y), texture="wood") for x in (-1.15, 1.15) for y in (-0.65, 0.65)
    ]
    counter = box((2.3, 1.3, 0.85), "planks", (0.9, 0.85, 0.8), metres=1.2)
    goods = [box((2.1, 1.0, 0.14), "flowers", WHITE, (0.0, 0.0), 0.85, metres=0.7)]
    roof = box((2.7, 1.9, 0.4), "awning", tint, (0.0, 0.1), 2.15, top=(2.5, 0.1), bottom=True)
    return merge([*posts, counter, *goods, roof])


def food_cart() -> Mesh:
    """A cart with a striped roof."""
    body = box((1.4, 0.75, 0.75), "white", (0.85, 0.25, 0.2), z=0.3, bottom=True)
    posts = [post(0.04, 1.0, STEEL, (x, y), 1.05) for x in (-0.62, 0.62) for y in (-0.3, 0.3)]
    roof = box((1.7, 1.0, 0.25), "awning", WHITE, z=2.05, top=(1.2, 0.3), bottom=True)
    return merge(
        [
            body,
            *posts,
            roof,
            *_tyres((-0.4, 0.4), 0.39, 0.28),
            *_treads((-0.4, 0.4), 0.33, 0.28),
            box((0.9, 0.5, 0.25), "metal", STEEL, z=1.05),
        ]
    )


def a_board() -> Mesh:
    """A folding board in front of a shop."""
    return merge(
        [
            box((0.5, 0.6, 0.95), "poster", (0.6, 0.6, 0.6), top=(0.06, 0.6)),
            box((0.1, 0.62, 0.04), "wood", z=0.95, bottom=True),
        ]
    )


def stairs() -> Mesh:
    """Three steps of stone that lead up along x."""
    return merge(
        [
            box((1.2 - 0.4 * k, 1.5, 0.17), "concrete", (1.1, 1.08, 1.05), (0.2 * k, 0.0), 0.17 * k)
            for k in range(3)
        ]
    )


def suitcase() -> Mesh:
    """Luggage."""
    handle = box((0.03, 0.3, 0.35), "metal", STEEL, (-0.08, 0.0), 0.66)
    return merge(
        [
            box((0.26, 0.46, 0.62), "cloth", (0.5, 0.2, 0.25), z=0.05, bottom=True),
            handle,
            box((0.24, 0.42, 0.05), "white", DARK),
        ]
    )


def stroller() -> Mesh:
    """A push-chair."""
    blue = (0.25, 0.32, 0.5)
    tub = box((0.5, 0.4, 0.25), "cloth", blue, (0.05, 0.0), 0.45, top=(0.75, 0.45), bottom=True)
    hood = box(
        (0.35, 0.44, 0.3), "cloth", (0.2, 0.25, 0.4), (-0.1, 0.0), 0.7, top=(0.1, 0.4), bottom=True
    )
    bar = box((0.04, 0.45, 0.04), "metal", DARK, (-0.5, 0.0), 1.0, bottom=True)
    arms = [
        box((0.05, 0.04, 0.62), "metal", STEEL, (-0.45, y), 0.4, bottom=True) for y in (-0.2, 0.2)
    ]
    return merge(
        [
            tub,
            hood,
            bar,
            *arms,
            *_tyres((-0.3, 0.35), 0.24, 0.14),
            box((0.7, 0.4, 0.04), "metal", STEEL, z=0.25, bottom=True),
        ]
    )


def cart() -> Mesh:
    """A shopping cart."""
    basket = box((0.7, 0.45, 0.45), "mesh", (1.2, 1.2, 1.2), z=0.5, top=(0.9, 0.56), bottom=True)
    frame = box((0.8, 0.45, 0.06), "metal", STEEL, z=0.14, bottom=True)
    posts = [box((0.04, 0.04, 0.4), "metal", STEEL, (-0.33, y), 0.14) for y in (-0.2, 0.2)]
    grip = box((0.05, 0.56, 0.05), "white", (0.8, 0.15, 0.1), (-0.52, 0.0), 0.98, bottom=True)
    return merge([basket, frame, *posts, grip, *_tyres((-0.33, 0.33), 0.2, 0.08)])


def ball() -> Mesh:
    """A large ball that somebody forgot."""
    return blob(0.27, (0.0, 0.0, 0.23), "check", (1.0, 0.4, 0.3))
