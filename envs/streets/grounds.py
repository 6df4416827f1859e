"""Layouts that are no street: building sites, parks, yards, corridors; see
`envs/streets/layouts.py`.
"""

import numpy as np

from s2e.envs.geometry.meshes import quad
from s2e.envs.streets.block import HALF_X, HALF_Y, Builder, house_tint
from s2e.envs.streets.layouts import (
    along_kerb,
    carriageway,
    far_ends,
    fronts,
    parked,
    pavement,
    road_depth,
    zebra,
)


def construction(b: Builder) -> None:
    """A street being dug up: a fenced trench, heaps and machines on one side, scaffolding, a
    narrowed way beside it.
    """
    rng = b.rng
    front, z = 9.4, road_depth(b)
    middle, half = round(float(rng.uniform(-0.4, 0.4)), 1), round(float(rng.uniform(2.9, 3.3)), 1)
    pave = pavement(b)
    x0, x1 = b.reach()
    b.floor(x0, -front, x1, front, pave)
    carriageway(b, middle, half, z)
    side = 1.0 if rng.random() < 0.5 else -1.0
    crossings = [float(rng.uniform(-15, -12)), float(rng.uniform(12, 15))]
    for c in crossings:
        zebra(b, c, middle, half, z)
    kerb = middle + side * half
    dug, end = round(float(rng.uniform(-8, -5)), 1), round(float(rng.uniform(4, 8)), 1)
    y0, y1 = sorted((round(kerb - side * 1.0, 1), round(kerb + side * 2.6, 1)))
    b.floor(dug - 1.0, y0 - 0.8, end + 1.0, y1 + 0.8, "soil")
    on_road = sorted((kerb, y0 - 0.8 if side > 0 else y1 + 0.8))
    b.floor(dug - 1.0, on_road[0], end + 1.0, on_road[1], "soil", "road", z)
    b.floor(dug, y0, end, y1, "soil", "sidewalk", -0.7)
    b.solid(dug - 0.6, y0 - 0.5, end + 0.6, y1 + 0.5)
    b.floor(dug + 0.6, y0 + 0.8, end - 0.6, y1 - 0.8, "sand", "sidewalk", -0.9)
    low, high = y0 - 0.5, y1 + 0.5
    for y in (low, high):
        x = dug + 0.1
        while x < end:
            kind, long = (("site_fence", 2.6), ("barrier", 1.7), ("jersey", 2.1))[rng.integers(3)]
            b.put(kind, x + long / 2, y)
            x += long
    for x in (dug - 0.6, end + 0.6):
        for y in np.arange(low + 0.7, high, 1.75):
            b.put(("barrier", "water_barrier")[rng.integers(2)], x, float(y), np.pi / 2)
    for x in (dug - 1.6, dug - 2.8, end + 1.6, end + 2.8):
        b.put(("cone", "barrel")[rng.integers(2)], x, kerb - side * 0.9)
    yard = (
        "sand_heap",
        "gravel_heap",
        "bricks",
        "pipes",
        "mixer",
        "cable_drum",
        "toilet",
        "pallet",
        "wheelbarrow",
    )
    for x in (end + 4.0, dug - 4.2):
        kind = yard[rng.integers(len(yard))]
        if b.free(kind, x, kerb + side * 1.6, 0.3):
            b.put(kind, x, kerb + side * 1.6, 0.3)
    for x in np.arange(dug, end, 2.6):
        kind = yard[rng.integers(len(yard))]
        spot = (float(x), kerb + side * 0.6, float(rng.uniform(0, 6)))
        if rng.random() < 0.2:
            b.put(kind, *spot)
    start = float(rng.uniform(-12, 2))
    for x in np.arange(start, start + 7.4, 2.5):
        b.put("scaffold", float(x), -side * (front - 0.65), 0.0 if side > 0 else np.pi)
    other = middle - side * half
    along_kerb(
        b,
        other - side * 0.7,
        crossings,
        ("bollard", "arm_lamp", "tree", "warning"),
        np.pi if -side > 0 else 0.0,
    )
    parked(b, other + side * 1.1, crossings, 0.25)
    fronts(b, front, pave, shops=0.2)
    b.lane(-16, 16, 0.5 * (y1 + front) if side > 0 else 0.5 * (y0 - front))
    b.lane(-16, 16, 0.5 * (other - side * front))
    b.lane(-16, 16, other - side * 2.0)
    far_ends(b)


def _pond(b: Builder, x: float, y: float, half_x: float, half_y: float) -> None:
    """A basin of water with a stone rim."""
    b.floor(x - half_x, y - half_y, x + half_x, y + half_y, "water", "grass", -0.1)
    b.solid(x - half_x, y - half_y, x + half_x, y + half_y)
    corners = [
        (x - half_x, y - half_y),
        (x + half_x, y - half_y),
        (x + half_x, y + half_y),
        (x - half_x, y + half_y),
    ]
    for i in range(4):
        p, q = np.array(corners[i]), np.array(corners[(i + 1) % 4])
        inward = np.array([-(q - p)[1], (q - p)[0]]) / np.linalg.norm(q - p) * 0.3
        along = (q - p) / np.linalg.norm(q - p) * 0.3
        b.wall(p, q, 0.0, 0.4, "concrete", (np.linalg.norm(q - p) / 2, 0.3), (1.1, 1.08, 1.04))
        b.wall(
            q - along + inward,
            p + along + inward,
            -0.1,
            0.4,
            "concrete",
            (4.0, 0.3),
            (1.0, 1.0, 1.0),
        )
        rim = [[*p, 0.4], [*q, 0.4], [*(q + inward - along), 0.4], [*(p + inward + along), 0.4]]
        b.add(quad(rim, "concrete", (4.0, 0.2), (1.15, 1.13, 1.1)))


def park(b: Builder) -> None:
    """Gravel paths between lawns with trees and hedges, a pond, benches; a railing and houses
    behind it.
    """
    rng = b.rng
    x0, x1 = b.reach()
    edge = 0.08 if rng.random() < 0.5 else 0.0
    path = ("gravel", "gravel", "paving", "sand")[rng.integers(4)]
    b.floor(x0, -9.8, x1, 9.8, "grass", "grass")
    b.floor(x0, -9.6, x1, 9.6, path)
    half = round(float(rng.uniform(1.2, 1.7)), 1)
    cuts = [
        -18.0,
        round(float(rng.uniform(-8.5, -5.5)), 1),
        round(float(rng.uniform(5.0, 8.5)), 1),
        18.0,
    ]
    pond = int(rng.integers(3))
    trees = ("tree", "old_tree", "conifer", "blossom_tree", "poplar", "old_tree")
    for i in range(3):
        west, east = cuts[i] + (half if i else 1.4), cuts[i + 1] - (half if i < 2 else 1.4)
        for south, north in ((-5.2, -half), (half, 5.2)):
            b.floor(west, south, east, north, "concrete", "sidewalk", edge, tint=(0.95, 0.94, 0.9))
            b.floor(west + 0.1, south + 0.1, east - 0.1, north - 0.1, "grass", "grass", edge)
            cx, cy = 0.5 * (west + east), 0.5 * (south + north)
            if i == pond and north > 0 and east - west > 5.0:
                _pond(b, round(cx, 1), round(cy, 1), round(0.5 * (east - west) - 1.2, 1), 1.3)
                continue
            for x in np.arange(west + 1.2, east - 1.0, float(rng.uniform(4.6, 7.0))):
                kind = (
                    trees[rng.integers(6)]
                    if rng.random() < 0.6
                    else ("shrub", "rock", "log", "flower_box")[rng.integers(4)]
                )
                b.put(kind, float(x), cy + float(rng.uniform(-0.8, 0.8)), float(rng.uniform(0, 6)))
            if rng.random() < 0.6:
                for x in np.arange(west + 1.0, east - 0.9, 1.85 + 1.85 * (edge > 0)):
                    b.put("hedge", float(x), south + 0.45 if south < 0 else north - 0.45)
    for y, turn in ((half + 0.5, np.pi), (-half - 0.5, 0.0)):
        for x in rng.uniform(-14, 14, 2):
            if b.ground_at(x, y) == 0.0 and b.free("bench", x, y, turn):
                b.put("bench", float(x), y, turn)
    for y, turn in ((8.9, np.pi), (-8.9, 0.0)):
        for x in np.arange(-13.0, 14.0, float(rng.uniform(5.0, 8.0))):
            if abs(x) > PATH_OPEN:
                kind = ("bench", "lamp", "stone_bench", "bin", "picnic_table", "blossom_tree")[
                    rng.integers(6)
                ]
                b.put(kind, float(x), y, turn)
    for side in (1.0, -1.0):
        joined = b.sides["north" if side > 0 else "south"]
        pieces = [(x0, -2.0), (2.0, x1)] if joined else [(x0, x1)]
        kind, tall = (("hedge", 1.3), ("fence", 1.2))[rng.integers(2)]
        for a, c in pieces:
            start, end = ((a, side * 9.6), (c, side * 9.6))
            count = (c - a) / 1.5
            b.wall(
                *((start, end) if side > 0 else (end, start)),
                0.0,
                tall,
                kind,
                (count, 1.0),
                semantic="vegetation",
            )
            b.solid(
                max(a, -HALF_X),
                min(side * 9.6, side * HALF_Y),
                min(c, HALF_X),
                max(side * 9.6, side * HALF_Y),
            )
            if not joined:
                b.floor(
                    a,
                    min(side * 9.8, side * 16.0),
                    c,
                    max(side * 9.8, side * 16.0),
                    "grass",
                    "grass",
                )
                b.front(
                    *(
                        ((a, side * 15.0), (c, side * 15.0))
                        if side > 0
                        else ((c, side * 15.0), (a, side * 15.0))
                    ),
                    3.0,
                    10.0,
                    shops=0.1,
                )
                for x in np.arange(max(a, -20.0) + 3.0, min(c, 22.0), 13.0):
                    b.put(("conifer", "poplar", "tree")[rng.integers(3)], float(x), side * 12.0)
        if joined:
            b.floor(-2.0, min(side * 9.6, side * HALF_Y), 2.0, max(side * 9.6, side * HALF_Y), path)
    for y in (0.0, 7.4, -7.4):
        b.lane(-16, 16, y)
    far_ends(b)


def _screen(b: Builder, x0: float, y0: float, x1: float, y1: float, kind: str, tall: float) -> None:
    """A wall, hedge or fence that fills a rectangle."""
    if x1 - x0 < 0.05 or y1 - y0 < 0.05:
        return
    b.solid(x0, y0, x1, y1)
    semantic = "vegetation" if kind == "hedge" else "fence"
    corners = [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]
    for i in range(4):
        (ax, ay), (cx, cy) = corners[i], corners[(i + 1) % 4]
        b.wall(
            (ax, ay),
            (cx, cy),
            0.0,
            tall,
            kind,
            (max((abs(cx - ax) + abs(cy - ay)) / 1.5, 0.2), 1.0),
            semantic=semantic,
        )
    b.add(
        quad([[x, y, tall] for x, y in corners], kind, (max((x1 - x0) / 1.5, 0.2), 0.2)),
        semantic=semantic,
    )
    b.slabs.append(np.array([[x + b.dx, y + b.dy, z] for x, y in corners for z in (0.0, tall)]))


def yards(b: Builder) -> None:
    """Walled plots between two lanes, each with a gate or two: what is near in a straight line is
    far to walk.

    Some have a side left open (a pocket that leads nowhere), some share their walls, some have a
    path between them.
    """
    rng = b.rng
    front, half = 9.4, 5.2
    x0, x1 = b.reach()
    pave = pavement(b)
    b.floor(x0, -front, x1, front, pave)
    between = round(float(rng.choice([0.0, 1.8, 2.4])), 1)
    edges = np.array([-15.4, -5.2, 5.0, 15.4]) + rng.uniform(
        [0.0, -1.6, -1.6, -1.0], [1.0, 1.6, 1.6, 0.0]
    )
    edges = [round(float(x), 1) for x in edges]
    apart = [round(float(a), 1) for a in rng.choice([0.0, 2.0], 2, p=[0.6, 0.4])]  # between columns
    kinds = (("hedge", 0.4), ("planks", 0.2), ("brick", 0.3), ("fence", 0.2))
    for column in range(3):
        west = edges[column] + (apart[column - 1] / 2 if column else 0.0)
        east = edges[column + 1] - (apart[column] / 2 if column < 2 else 0.0)
        for side in (-1.0, 1.0):
            south, north = sorted((side * between / 2, side * half))
            kind, thick = kinds[rng.integers(4)]
            tall = round(float(rng.uniform(0.9, 1.9)), 1)
            ground = ("gravel", "concrete", "paving", "cobble")[rng.integers(4)]
            b.floor(west, south, east, north, ground)
            outer, inner = ("south", "north") if side < 0 else ("north", "south")
            ways = [outer, outer] + ([inner] if between else [])
            ways += (["east"] if column < 2 and apart[column] else []) + (
                ["west"] if column and apart[column - 1] else []
            )
            gates = {ways[rng.integers(len(ways))] for _ in range(1 + (rng.random() < 0.3))}
            pocket = rng.random() < 0.2
            for name, (a, c), (low, high) in (
                ("south", (west, east), (south, south + thick)),
                ("north", (west, east), (north - thick, north)),
                ("west", (south, north), (west, west + thick)),
                ("east", (south, north), (east - thick, east)),
            ):
                if pocket and name in gates:
                    continue
                pieces = [(a, c)]
                if name in gates:
                    gap = round(float(rng.uniform(1.4, 2.2)), 1)
                    at = round(float(rng.uniform(a + 0.6, c - gap - 0.6)), 1)
                    pieces = [(a, at), (at + gap, c)]
                for p, q in pieces:
                    _screen(
                        b,
                        *((p, low, q, high) if name in ("south", "north") else (low, p, high, q)),
                        kind,
                        tall,
                    )
            middle = 0.5 * (south + north)
            draw = rng.random()
            if draw < 0.3 and east - west > 7.0:
                x = west + 2.2 if rng.random() < 0.5 else east - 4.4
                low, high = sorted(
                    (side * (between / 2 + thick), side * (between / 2 + thick + 1.2))
                )
                if inner not in gates:
                    b.house(round(x, 1), round(low, 1), round(x + 2.2, 1), round(high, 1), 3.0, 4.0)
            elif draw < 0.7:
                for x in (west + 1.6, east - 1.6):
                    kind = (
                        "tree",
                        "blossom_tree",
                        "shrub",
                        "bench",
                        "bicycle",
                        "planter",
                        "wheelie_bin",
                        "pallet",
                    )[rng.integers(8)]
                    spot = (
                        round(x, 1),
                        round(middle + float(rng.uniform(-0.8, 0.8)), 1),
                        float(rng.uniform(0, 6)),
                    )
                    if b.free(kind, *spot, 0.9):
                        b.put(kind, *spot)
            b.lane(west + 1.0, east - 1.0, middle)
    for y in (-front + 0.6, front - 0.6):
        for x in np.arange(-14.0, 15.0, float(rng.uniform(5.0, 8.0))):
            kind = ("lamp", "bin", "wheelie_bin", "planter", "bicycle", "post_bin")[rng.integers(6)]
            if rng.random() < 0.5 and b.free(kind, float(x), y, 0.0):
                b.put(kind, float(x), y)
    fronts(b, front, pave, 3.0, 10.0, shops=0.1, awnings=0.05)
    for y in (-7.1, 7.1):
        b.lane(-16, 16, y)
    far_ends(b)


PATH_OPEN = 2.6


def corridor(b: Builder) -> None:
    """Indoors: two halls along x joined by passages, shops between them, pillars, benches, a
    ceiling with lamps.
    """
    rng = b.rng
    b.indoor = True
    top, front = 3.4, 9.4
    floor = ("tiles", "concrete", "tiles", "planks")[rng.integers(4)]
    west, east = -HALF_X, HALF_X
    b.floor(west, -HALF_Y, east, HALF_Y, floor, "floor")
    if floor == "tiles":
        for y in (-7.0, 7.0):
            b.floor(west, y - 0.2, east, y + 0.2, "tactile", "floor")
    tint = house_tint(rng)
    cuts = [
        -14.4,
        round(float(rng.uniform(-4.5, -2.0)), 1),
        round(float(rng.uniform(1.8, 3.8)), 1),
        14.4,
    ]
    rooms = [(cuts[0], cuts[1] - 1.0), (cuts[2], cuts[3])]
    y0, y1 = round(float(rng.uniform(-4.6, -3.8)), 1), round(float(rng.uniform(3.8, 4.6)), 1)
    for x0, x1 in rooms:
        b.solid(x0, y0, x1, y1)
        corners = [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]
        for i in range(4):
            long = i % 2 == 0
            count = round((x1 - x0) / 3.4) if long else 2
            texture = ("shop", "shop", "glass", "plaster")[rng.integers(4)] if long else "plaster"
            b.wall(
                corners[i],
                corners[(i + 1) % 4],
                0.0,
                top,
                texture,
                (float(count), 1.0),
                tint if texture == "plaster" else (1.0, 1.0, 1.0),
            )
    for side in (1.0, -1.0):
        joined = b.sides["north" if side > 0 else "south"]
        for a, c in [(west, -2.0), (2.0, east)] if joined else [(west, east)]:
            _hall_wall(b, a, c, side, front, top, tint)
        if joined:
            for x, facing in ((-2.0, 1.0), (2.0, -1.0)):
                low, high = sorted((side * front, side * HALF_Y))
                b.wall(
                    *(((x, low), (x, high)) if facing > 0 else ((x, high), (x, low))),
                    0.0,
                    top,
                    "plaster",
                    (1.0, 1.0),
                    tint,
                )
    sky = quad(
        [[west, HALF_Y, top], [east, HALF_Y, top], [east, -HALF_Y, top], [west, -HALF_Y, top]],
        "ceiling",
        (15.0, 8.0),
    )
    b.add(sky)
    for x in np.arange(-15.8, 16.0, 6.2):
        for y in (-6.9 + 2.2, 6.9 - 2.2):
            if b.free("pillar", float(x), y, 0.0):
                b.put("pillar", float(x), y)
    for y, turn in ((front - 0.5, np.pi), (-front + 0.5, 0.0)):
        for x in np.arange(-15.0, 15.5, float(rng.uniform(4.0, 5.5))):
            kind = ("bench", "vending_machine", "pot", "bin", "planter", "stone_bench", "news_box")[
                rng.integers(7)
            ]
            yaw = turn if "bench" in kind else (-np.pi / 2 if y > 0 else np.pi / 2)
            if rng.random() < 0.6 and abs(x) > 3.0 and b.free(kind, float(x), y, yaw):
                b.put(kind, float(x), y, yaw)
    for facing, name in ((-1.0, "west"), (1.0, "east")):
        _hall_end(b, facing, b.sides[name], top, tint)
    b.indoor = False
    for y in (-6.9, 6.9):
        b.lane(-16, 16, y)
    b.slabs.append(
        np.array([[x + b.dx, y + b.dy, top + 1.0] for x in (west, east) for y in (-HALF_Y, HALF_Y)])
    )


def _hall_wall(b: Builder, a: float, c: float, side: float, y: float, top: float, tint) -> None:
    """A long wall of a hall with doors."""
    y = side * y
    start, end = ((a, y), (c, y)) if side > 0 else ((c, y), (a, y))
    texture = ("plaster", "brick", "shop", "concrete")[b.rng.integers(4)]
    bays = max(round((c - a) / (3.4 if texture == "shop" else 1.8)), 1)
    repeat = (float(bays), 2.0 if texture == "brick" else 1.0)
    b.wall(start, end, 0.0, top, texture, repeat, tint if texture == "plaster" else (1.0, 1.0, 1.0))
    b.solid(max(a, -HALF_X), min(y, side * HALF_Y), min(c, HALF_X), max(y, side * HALF_Y))
    for x in (
        np.arange(a + 2.2, c - 1.5, float(b.rng.uniform(4.5, 7.0))) if texture != "shop" else ()
    ):
        near = y - side * 0.03
        b.wall(
            *(((x, near), (x + 1.0, near)) if side > 0 else ((x + 1.0, near), (x, near))),
            0.0,
            2.1,
            "door",
        )


def _hall_end(b: Builder, facing: float, joined: bool, top: float, tint) -> None:
    """An end of the halls: a wall with doors, or, where a block joins, a house front over open
    doorways.
    """
    x = facing * (HALF_X if joined else HALF_X - 0.4)
    pieces = [(-HALF_Y, -9.0), (-4.6, 4.6), (9.0, HALF_Y)] if joined else [(-HALF_Y, HALF_Y)]
    for y0, y1 in pieces:
        ends = ((x, y1), (x, y0)) if facing > 0 else ((x, y0), (x, y1))
        b.wall(
            *ends,
            0.0,
            top,
            "glass" if not joined else "plaster",
            ((y1 - y0) / 3.0, 1.0),
            tint if joined else (1.0, 1.0, 1.0),
        )
        b.solid(min(x, facing * (HALF_X - 0.1)), y0, max(x, facing * (HALF_X - 0.1)), y1)
        if joined:
            b.indoor = False
            b.wall(ends[1], ends[0], 0.0, top, "plaster", ((y1 - y0) / 3.0, 1.0), tint)
            b.indoor = True
    if joined:
        b.indoor = False
        high = 6.4 + 3.0 * int(b.rng.integers(3))
        ends = ((x, -HALF_Y), (x, HALF_Y)) if facing > 0 else ((x, HALF_Y), (x, -HALF_Y))
        b.wall(*ends, top, high, "modern", (6.0, round((high - top) / 3.0)), tint)
        b.block_sun(min(x, 0), -HALF_Y, max(x, 0), HALF_Y, high)
        b.indoor = True
