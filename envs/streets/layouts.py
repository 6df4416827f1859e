"""Layouts of blocks along houses: streets, crossings, squares, alleys, cafe fronts, and the
held-out ones, markets and boulevards. Each fills one 36 x 20 m block.

Every layout keeps its ground at height 0 and free at its west and east ends where 5.6 m <= |y| <=
8.2 m, so that blocks join; `Builder.sides` says where it is joined. South and north sides join
through a passage at |x| < 2 m.
"""

import numpy as np

from s2e.envs.streets.block import HALF_X, HALF_Y, HOUSE_DEEP, Builder
from s2e.envs.streets.objects import CARS

KERB: dict = {"tint": (1.25, 1.25, 1.22)}
PASSAGE = 2.0
"""Half the width of a passage between rows of blocks, metres."""


def pavement(b: Builder) -> str:
    """A texture for sidewalks."""
    return ("paving", "paving", "cobble", "concrete")[b.rng.integers(4)]


def road_depth(b: Builder) -> float:
    """How much lower than the sidewalk a road lies: -0.15 to -0.12 m."""
    return -0.01 * float(b.rng.integers(12, 16))


def fronts(
    b: Builder,
    front: float,
    pave: str,
    low: float = 5.0,
    high: float = 13.0,
    shops: float = 0.35,
    awnings: float = 0.15,
    reach: tuple[float, float] | None = None,
) -> None:
    """Houses along both long sides, |y| = front, from `reach` to `reach`, with passages where
    another row joins.
    """
    x0, x1 = reach or b.reach()
    for side, joined in ((1.0, b.sides["north"]), (-1.0, b.sides["south"])):
        y, edge = side * front, side * HALF_Y
        pieces = [(x0, -PASSAGE), (PASSAGE, x1)] if joined else [(x0, x1)]
        for a, c in pieces:
            start, end = ((a, y), (c, y)) if side > 0 else ((c, y), (a, y))
            # Where another row joins, its houses stand back to back with these.
            deep = HALF_Y - front if joined else HOUSE_DEEP
            b.front(start, end, low, high, shops, awnings, deep=deep)
            b.solid(max(a, -HALF_X), min(y, edge), min(c, HALF_X), max(y, edge))
        if joined:
            b.floor(-PASSAGE, min(y, edge), PASSAGE, max(y, edge), pave)


def far_ends(b: Builder, tall: tuple[float, float] = (6.0, 13.0)) -> None:
    """Where no block joins: a low edge closes the block, the street goes on for a while and a house
    closes the view.
    """
    for name, facing in (("west", -1.0), ("east", 1.0)):
        if b.sides[name]:
            continue
        x = facing * 32.0
        b.front(
            (x, 10.0) if facing > 0 else (x, -10.0), (x, -10.0) if facing > 0 else (x, 10.0), *tall
        )
        b.end(facing * 17.5, facing)


def carriageway(b: Builder, middle: float, half: float, z: float, dashes: bool = True) -> None:
    """A road along x with a broken middle line and kerb stones."""
    x0, x1 = b.reach()
    y0, y1 = middle - half, middle + half
    tone = float(b.rng.uniform(0.85, 1.15))
    b.floor(x0, y0, x1, y1, "asphalt", "road", z, tint=(tone, tone, tone))
    if dashes:
        b.floor(x0, middle - 0.1, x1, middle + 0.1, "lane", "road", z, tint=(tone, tone, tone))
    for edge in (y0 - 0.2, y1):
        b.floor(x0, edge, x1, edge + 0.2, "concrete", "sidewalk", **KERB)


def zebra(b: Builder, x: float, middle: float, half: float, z: float, width: float = 3.0) -> None:
    """A zebra crossing over a road along x, with a ramp at either end."""
    b.floor(x - width / 2, middle - half, x + width / 2, middle + half, "zebra", "crossing", z)
    for side in (-1.0, 1.0):
        b.ramp(x, middle + side * half, width - 0.4, 1.0, z, side)


def parked(b: Builder, y: float, keep_off: list[float], share: float, yaw: float = 0.0) -> None:
    """Cars along a kerb, none within 4.4 m of crossings."""
    rng = b.rng
    for x in np.arange(-14.5, 15.5, 5.6):
        if rng.random() < share and min((abs(x - c) for c in keep_off), default=99.0) > 4.4:
            kind = (
                ("van", "yellow_van")[rng.integers(2)]
                if rng.random() < 0.15
                else CARS[rng.integers(4)]
            )
            b.put(kind, x + float(rng.normal(0, 0.15)), y, yaw + np.pi * rng.integers(2))


def along_kerb(
    b: Builder, y: float, keep_off: list[float], kinds: tuple[str, ...], turn: float = 0.0
) -> None:
    """Trees, lamps and the like in a row."""
    rng = b.rng
    for i, x in enumerate(np.arange(-15.8, 16.3, float(rng.uniform(5.0, 7.5)))):
        kind = kinds[(i + int(rng.integers(2))) % len(kinds)]
        if min((abs(x - c) for c in keep_off), default=99.0) > 2.4 and b.free(kind, x, y, turn):
            b.put(
                kind,
                x,
                y,
                turn
                + (0.0 if "lamp" in kind else float(rng.uniform(0, 6)) if "tree" in kind else 0.0),
            )


def stoop(b: Builder, x: float, y: float, side: float) -> None:
    """A flight of three steps up to a landing in front of a house at y, the street on the other
    side.
    """
    steps, deep = 3, 0.3
    for k in range(steps + 1):
        reach = 1.0 + (steps - k) * deep
        y0, y1 = sorted((y, y - side * reach))
        b.floor(
            x - 1.1, y0, x + 1.1, y1, "concrete", "stairs", 0.15 * (k + 1), tint=(1.15, 1.13, 1.1)
        )
    for edge in (x - 1.1, x + 1.1):
        railing(b, (edge, y), (edge, y - side), 0.6, 1.4)
        railing(b, (edge, y - side), (edge, y - side * 1.9), 0.0, 1.1)


def railing(
    b: Builder, start: tuple[float, float], end: tuple[float, float], z0: float, z1: float
) -> None:
    """A railing along x or y, seen from both sides, that nobody passes."""
    count = max(float(round(abs(end[0] - start[0]) + abs(end[1] - start[1]))), 1.0)
    for p, q in ((start, end), (end, start)):
        b.wall(p, q, z0, z1, "fence", (count, 1.0), semantic="fence")
    (x0, x1), (y0, y1) = sorted((start[0], end[0])), sorted((start[1], end[1]))
    b.solid(x0 - 0.05, y0 - 0.05, x1 + 0.05, y1 + 0.05)


def street(b: Builder) -> None:
    """A straight street: fronts, sidewalks, kerbs with trees, lamps and parked cars, one or two
    zebra crossings.
    """
    rng = b.rng
    front, z = float(rng.uniform(9.0, 9.6)), road_depth(b)
    front = round(front, 1)
    middle, half = round(float(rng.uniform(-0.6, 0.6)), 1), round(float(rng.uniform(2.9, 3.5)), 1)
    y0, y1 = middle - half, middle + half
    pave = pavement(b)
    x0, x1 = b.reach()
    b.floor(x0, -front, x1, front, pave)
    carriageway(b, middle, half, z)
    crossings = [float(rng.uniform(-13, -2)), float(rng.uniform(4, 13))][: 1 + int(rng.integers(2))]
    for side, kerb in ((-1.0, y0), (1.0, y1)):
        strip = rng.random() < 0.5
        if strip:
            inner, outer = sorted((kerb + side * 0.2, kerb + side * 1.3))
            for x in np.arange(-30, 30, 9.0):
                if x + 5.0 <= x1 and x >= x0:
                    b.floor(x, inner, x + 5.0, outer, "grass", "grass")
    for c in crossings:
        zebra(b, c, middle, half, z)
    for side, kerb in ((-1.0, y0), (1.0, y1)):
        kinds = (
            ("tree", "arm_lamp", "tree", "bollard"),
            ("poplar", "lamp", "parking_meter", "bollard"),
            ("old_tree", "lamp", "bin"),
        )
        # A lamp's arm reaches over the road.
        along_kerb(
            b, kerb + side * 0.75, crossings, kinds[rng.integers(3)], np.pi if side > 0 else 0.0
        )
        parked(b, kerb - side * 1.1, crossings, 0.45)
        if rng.random() < 0.4:
            stoop(b, float(rng.uniform(-13, 13)), side * front, side)
        if rng.random() < 0.4:
            x = float(rng.uniform(-13, 13))
            if min(abs(x - c) for c in crossings) > 4.5 and b.free(
                "bus_shelter", x, kerb + side * 1.2, 0.0
            ):
                b.put("bus_shelter", x, kerb + side * 1.3, -side * np.pi / 2)
        b.lane(-16, 16, 0.5 * (kerb + side * front))
        b.lane(-16, 16, kerb + side * 1.8)
    fronts(b, front, pave)
    far_ends(b)


def crossing(b: Builder) -> None:
    """Two roads that cross, zebra crossings on all four arms, ramps at every corner.

    Where another row of blocks joins there is no room for the second road's arms: a street stands
    there instead.
    """
    if b.sides["north"] or b.sides["south"]:
        street(b)
        return
    rng = b.rng
    front, z = 9.4, road_depth(b)
    half, cross = round(float(rng.uniform(2.8, 3.3)), 1), round(float(rng.uniform(2.6, 3.2)), 1)
    middle = round(float(rng.uniform(-4.0, 4.0)), 1)
    corner = cross + 3.2
    pave = pavement(b)
    x0, x1 = b.reach()
    b.floor(x0, -front, x1, front, pave)
    b.floor(middle - corner, -26.0, middle + corner, 26.0, pave)
    carriageway(b, 0.0, half, z)
    far = 26.0
    for edge in (middle - cross - 0.2, middle + cross):
        for south, north in ((-far, -half), (half, far)):
            b.floor(edge, south, edge + 0.2, north, "concrete", "sidewalk", **KERB)
    b.floor(middle - cross, -far, middle + cross, far, "asphalt", "road", z)
    for low, high in ((-far, -half - 4.2), (half + 4.2, far)):
        b.floor(middle - 0.1, low, middle + 0.1, high, "lane", "road", z, turn=True)
    wide = 2.6
    for side in (-1.0, 1.0):
        x = middle + side * (cross + 1.9)
        zebra(b, x, 0.0, half, z, wide)
        y = side * (half + 1.9)
        b.floor(
            middle - cross,
            y - wide / 2,
            middle + cross,
            y + wide / 2,
            "zebra",
            "crossing",
            z,
            turn=True,
        )
        for along in (-1.0, 1.0):
            b.ramp_x(middle + along * cross, y, wide - 0.4, 1.0, z, along)
            b.put(
                "traffic_light",
                middle + along * (cross + 0.4),
                side * (half + 0.4),
                np.pi / 2 * (1 - along),
            )
            row = (x0, middle - corner) if along < 0 else (middle + corner, x1)
            start, end = ((row[0], side * front), (row[1], side * front))
            # The corner house's side is the cross street's front.
            inner = (along > 0, along < 0) if side > 0 else (along < 0, along > 0)
            b.front(
                *((start, end) if side > 0 else (end, start)),
                5.0,
                12.0,
                sides=(not inner[0], not inner[1]),
            )
            b.solid(
                max(row[0], -HALF_X),
                min(side * front, side * HALF_Y),
                min(row[1], HALF_X),
                max(side * front, side * HALF_Y),
            )
            up = ((middle + along * corner, side * far), (middle + along * corner, side * front))
            up = up if (along > 0) == (side > 0) else (up[1], up[0])
            b.front(up[0], up[1], 5.0, 12.0, sides=(False, False))
        kind = ("planks", "hazard", "brick")[rng.integers(3)]
        ends = ((middle - corner, side * 9.7), (middle + corner, side * 9.7))
        ends = ends if side > 0 else (ends[1], ends[0])
        b.wall(ends[0], ends[1], z, 1.1, kind, (8.0, 1.0), semantic="fence")
        b.solid(
            middle - corner,
            min(side * 9.7, side * HALF_Y),
            middle + corner,
            max(side * 9.7, side * HALF_Y),
        )
        for x in (middle - corner - 4.0, middle + corner + 4.0):
            kind = ("tree", "lamp", "street_name", "bin", "bike_rack", "cabinet")[rng.integers(6)]
            if abs(x) < 16 and b.free(kind, x, side * (half + 1.0), 0.0):
                b.put(kind, x, side * (half + 1.0))
        b.lane(-16, 16, side * 0.5 * (half + front))
        b.lane(-16, 16, side * (front - 1.5))
        parked(
            b,
            side * (half - 1.1),
            [middle - 3.5, middle, middle + 3.5, middle - 7.0, middle + 7.0],
            0.4,
        )
    far_ends(b)


def plaza(b: Builder) -> None:
    """A square with houses around: lawns, trees, benches, tables, sometimes a fountain and a
    terrace with steps.
    """
    rng = b.rng
    front = round(float(rng.uniform(9.2, 9.7)), 1)
    pave, other = [("cobble", "paving"), ("paving", "concrete"), ("concrete", "cobble")][
        rng.integers(3)
    ]
    x0, x1 = b.reach()
    b.floor(x0, -front, x1, front, pave)
    for x in np.arange(-14.0, 15.0, 7.0):
        b.floor(x - 0.3, -front, x + 0.3, front, other)
    raised = 0.08 * float(rng.random() < 0.4)
    for i, x in enumerate((-10.5, 0.0, 10.5)):
        cx, cy = round(x + rng.uniform(-1, 1), 1), round(rng.uniform(-3.0, 3.0), 1)
        if i == 1 and rng.random() < 0.6:
            b.put(("fountain", "statue", "advert_column", "old_tree")[rng.integers(4)], cx, cy)
        elif rng.random() < 0.7:
            hx, hy = round(rng.uniform(1.5, 2.6), 1), round(rng.uniform(1.2, 2.2), 1)
            b.floor(cx - hx, cy - hy, cx + hx, cy + hy, "concrete", "sidewalk", raised, **KERB)
            b.floor(
                cx - hx + 0.2, cy - hy + 0.2, cx + hx - 0.2, cy + hy - 0.2, "grass", "grass", raised
            )
            b.put(("tree", "blossom_tree", "conifer", "old_tree")[rng.integers(4)], cx, cy)
            if rng.random() < 0.6:
                b.put("bench", cx, cy - hy - 0.5, np.pi)
            if rng.random() < 0.6:
                b.put("shrub", cx + hx * 0.6, cy + hy * 0.5)
    if rng.random() < 0.5:
        terrace(b, float(rng.uniform(-9, 9)), front, 1.0 if rng.random() < 0.5 else -1.0)
    for y in (-front + 1.6, front - 1.6):
        for x in np.arange(-14.0, 15.0, 4.5):
            kind = ("table", "planter", "parasol", "lamp", "flower_box", "pot")[rng.integers(6)]
            spot = (x + rng.uniform(-1, 1), y, rng.uniform(-0.4, 0.4))
            if rng.random() < 0.5 and b.ground_at(*spot[:2]) == 0.0 and b.free(kind, *spot):
                b.put(kind, *spot)
    closed = rng.random() < 0.5 and b.blocks == (1, 1)
    fronts(b, front, pave, shops=0.6, awnings=0.35)
    for y in (-front + 3.4, front - 3.4, -2.0, 2.0):
        b.lane(-16, 16, y)
    if closed:
        b.front((17.4, front), (17.4, -front))
        b.front((-17.4, -front), (-17.4, front))
        b.solid(17.4, -HALF_Y, HALF_X, HALF_Y)
        b.solid(-HALF_X, -HALF_Y, -17.4, HALF_Y)
    else:
        far_ends(b)


def terrace(b: Builder, x: float, y: float, side: float) -> None:
    """A raised terrace before the houses at |y|, with four steps on its front and a railing beside
    them.
    """
    y, wide, deep = side * y, 3.6, 2.0
    x = round(x, 1)
    top = 0.6
    for k in range(4):
        reach = deep + (3 - k) * 0.3
        y0, y1 = sorted((y, y - side * reach))
        b.floor(
            x - 1.4, y0, x + 1.4, y1, "concrete", "stairs", 0.15 * (k + 1), tint=(1.12, 1.1, 1.06)
        )
    y0, y1 = sorted((y, y - side * deep))
    b.floor(x - wide, y0, x + wide, y1, "tiles", "sidewalk", top)
    rail = y - side * deep
    for edge, outer in ((x - 1.4, x - wide), (x + 1.4, x + wide)):
        railing(b, (edge, rail), (outer, rail), top, top + 0.9)
        railing(b, (outer, rail), (outer, y), top, top + 0.9)
        railing(b, (edge, rail), (edge, rail - side * 0.9), 0.0, 1.2)
    b.put("table", x - wide + 1.3, y - side * 0.9)
    b.put("pot", x + wide - 0.5, y - side * 0.5)


def alleys(b: Builder) -> None:
    """A courtyard with houses inside it, so that ways are narrow and corners blind."""
    rng = b.rng
    front = round(float(rng.uniform(9.2, 9.7)), 1)
    pave = ("cobble", "concrete", "asphalt", "paving")[rng.integers(4)]
    west, east = -18.0 if b.sides["west"] else -17.6, 18.0 if b.sides["east"] else 17.6
    b.floor(west, -front, east, front, pave, "floor")
    b.floor(west, -0.2, east, 0.2, "concrete", "floor", tint=(0.8, 0.8, 0.8))
    alley, width = float(rng.uniform(-1.5, 1.5)), float(rng.uniform(3.4, 4.6))
    cuts = [-13.5, float(rng.uniform(-3.5, -1.8)), float(rng.uniform(2.0, 3.6)), 13.5]
    for y0, y1 in ((-front + 3.0, alley - width / 2), (alley + width / 2, front - 3.0)):
        if y1 - y0 < 1.2:
            continue
        for x0, x1 in ((cuts[0], cuts[1]), (cuts[2], cuts[3])):
            if rng.random() < 0.8:
                b.house(x0 + float(rng.uniform(0.0, 3.0)), y0, x1, y1, 3.0, 7.0)
            else:
                b.floor(x0, y0, x1, y1, "grass", "grass")
                b.put(("tree", "old_tree")[rng.integers(2)], 0.5 * (x0 + x1), 0.5 * (y0 + y1))
                b.put("picnic_table", 0.5 * (x0 + x1) + 2.6, 0.5 * (y0 + y1), 0.2)
    for x, y, yaw in (
        (-16.5, -front + 0.8, 0.2),
        (16.4, front - 0.8, 1.7),
        (-8.0, front - 0.5, 3.1),
        (6.0, -front + 0.5, 0.0),
        (9.0, front - 0.5, 3.1),
        (-4.0, -front + 0.5, 0.0),
    ):
        kind = (
            "wheelie_bin",
            "pallet",
            "bicycle",
            "planter",
            "lamp",
            "dumpster",
            "bags",
            "blue_bin",
        )[rng.integers(8)]
        b.put(kind, x, y, yaw)
    fronts_or_ends(b, front, pave, west, east)
    for y in (alley, -front + 1.5, front - 1.5):
        b.lane(-16, 16, y)


def fronts_or_ends(b: Builder, front: float, pave: str, west: float, east: float) -> None:
    """Houses all around a court, left out where a block joins."""
    fronts(b, front, pave, 3.0, 10.0, shops=0.15, awnings=0.05, reach=(west, east))
    for name, facing in (("west", -1.0), ("east", 1.0)):
        if b.sides[name]:
            continue
        x = 17.6 * facing
        b.front(
            (x, front) if facing > 0 else (x, -front),
            (x, -front) if facing > 0 else (x, front),
            3.0,
            10.0,
        )
        b.solid(min(x, facing * HALF_X), -HALF_Y, max(x, facing * HALF_X), HALF_Y)


def cafe(b: Builder) -> None:
    """A narrow road, one narrow sidewalk, and a broad one full of tables and parasols under
    awnings.
    """
    rng = b.rng
    front, z = 9.4, road_depth(b)
    side = 1.0 if rng.random() < 0.5 else -1.0
    half = round(float(rng.uniform(2.4, 2.8)), 1)
    middle = round(-side * float(rng.uniform(2.0, 2.4)), 1)
    pave = ("cobble", "paving")[rng.integers(2)]
    x0, x1 = b.reach()
    b.floor(x0, -front, x1, front, pave)
    carriageway(b, middle, half, z, dashes=False)
    crossings = [float(rng.uniform(-12, -5)), float(rng.uniform(5, 12))]
    for c in crossings:
        zebra(b, c, middle, half, z)
    wide, narrow = middle + side * half, middle - side * half
    # The cafe: two rows of tables before the fronts, a way between them and the kerb.
    for x in np.arange(-14.5, 15.0, 3.1):
        for row in (1.5, 3.4) if rng.random() < 0.4 else (1.5,):
            kind = ("table", "parasol", "parasol", "table", "flower_box")[rng.integers(5)]
            spot = (
                float(x + rng.uniform(-0.3, 0.3)),
                side * (front - row),
                float(rng.uniform(-0.5, 0.5)),
            )
            if rng.random() < 0.65 and b.free(kind, *spot, 0.1):
                b.put(kind, *spot)
                for turn in (0.3,) if kind == "parasol" else ():
                    cx, cy = spot[0] + 0.8 * np.cos(turn), spot[1] + 0.8 * np.sin(turn)
                    if b.free("chair", cx, cy, 0.0, 0.0):
                        b.put("chair", cx, cy, turn + np.pi)
    along_kerb(
        b, wide + side * 0.6, crossings, ("bollard", "lamp", "planter", "bollard", "blossom_tree")
    )
    along_kerb(b, narrow - side * 0.5, crossings, ("bollard", "bollard", "no_entry"))
    for _ in range(3):
        spot = (float(rng.uniform(-14, 14)), side * (front - 0.5), 0.0)
        if b.free("a_board", *spot):
            b.put("a_board", *spot)
    parked(b, narrow + side * 1.0, crossings, 0.25)
    fronts(b, front, pave, shops=0.85, awnings=0.7)
    b.lane(-16, 16, wide + side * 2.2)
    b.lane(-16, 16, wide + side * 3.4)
    b.lane(-16, 16, 0.5 * (narrow - side * front))
    far_ends(b)


def market(b: Builder) -> None:
    """A square full of stalls in rows with crates between them."""
    rng = b.rng
    front = 9.5
    x0, x1 = b.reach()
    b.floor(x0, -front, x1, front, "cobble")
    b.floor(x0, -0.4, x1, 0.4, "concrete", tint=(0.9, 0.9, 0.9))
    rows = ((-6.2 + 3.4, 0.0), (6.2 - 3.4, np.pi), (front - 1.2, np.pi), (-front + 1.2, 0.0))
    for y, turn in rows:
        for x in np.arange(-14.5, 15.5, float(rng.uniform(3.6, 5.0))):
            draw = rng.random()
            spot = (float(x + rng.uniform(-0.2, 0.2)), y + float(rng.uniform(-0.15, 0.15)), turn)
            if draw < 0.55:
                kind = ("stall", "green_stall")[rng.integers(2)]
            elif draw < 0.75:
                kind = ("crates", "food_cart", "cartons", "pallet", "barrel", "crates")[
                    rng.integers(6)
                ]
            else:
                continue
            if b.free(kind, *spot):
                b.put(kind, *spot)
                if draw < 0.12 and b.free("crates", spot[0] + 1.7, y, turn):
                    b.put("crates", spot[0] + 1.7, y, turn)
    for x in (-15.5, 15.5):
        b.put(("lamp", "advert_column", "old_tree")[rng.integers(3)], x, 0.0)
    fronts(b, front, "cobble", shops=0.5, awnings=0.5)
    for y in (-5.6, 5.6, 0.0):
        b.lane(-16, 16, y)
    far_ends(b)


def boulevard(b: Builder) -> None:
    """Two carriageways, a green strip with old trees and a path between them, cycle lanes along
    broad sidewalks.
    """
    rng = b.rng
    front, z = 9.5, road_depth(b)
    x0, x1 = b.reach()
    pave = ("paving", "concrete")[rng.integers(2)]
    b.floor(x0, -front, x1, front, pave)
    crossings = [float(rng.uniform(-13, -8)), float(rng.uniform(6, 13))]
    strip = round(float(rng.uniform(1.8, 2.2)), 1)
    for side in (-1.0, 1.0):
        middle = side * (strip + 1.5)
        carriageway(b, middle, 1.5, z, dashes=False)
        inner, outer = sorted((side * (strip + 3.4), side * (strip + 4.4)))
        b.floor(x0, inner, x1, outer, "bike_lane")
        for c in crossings:
            zebra(b, c, middle, 1.5, z)
            b.floor(c - 1.5, -0.9, c + 1.5, 0.9, pave)
    for x in np.arange(np.ceil(x0), x1 - 4.0, 9.0):
        if min(abs(x + 2.5 - c) for c in crossings) > 4.3:
            for y0, y1 in ((-strip + 0.2, -0.8), (0.8, strip - 0.2)):
                b.floor(x, y0, x + 5.0, y1, "grass", "grass")
    for side in (-1.0, 1.0):
        along_kerb(
            b,
            side * (strip - 0.6),
            crossings,
            ("old_tree", "old_tree", "bench", "lamp"),
            0.0 if side > 0 else np.pi,
        )
        along_kerb(
            b,
            side * (front - 0.6),
            [],
            ("flower_box", "bench", "bike_rack", "advert_column", "pot"),
            np.pi if side > 0 else 0.0,
        )
        b.lane(-16, 16, side * (strip + 5.2))
    b.lane(-16, 16, 0.0)
    fronts(b, front, pave, 8.0, 16.0, shops=0.7, awnings=0.3)
    far_ends(b, (9.0, 16.0))
