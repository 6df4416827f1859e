"""Where situations are: four places of two blocks each, 72 x 20 m, made of what streets are of.

Both blocks of a place hold the same things in other sizes, the second one mirrored (y to -y). What
episodes need to know of a block, where its corridors, doors, crossings and gates are, stands in
`HALLS`, `STREETS`, `SQUARES` and `YARDS`, in coordinates of the block, before it is mirrored.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from s2e.envs.geometry.meshes import WHITE, Tint, quad
from s2e.envs.geometry.scene import Scene
from s2e.envs.streets.block import HALF_X, HALF_Y, Builder
from s2e.envs.streets.build import draw_anchors
from s2e.envs.streets.layouts import carriageway, far_ends, zebra
from s2e.envs.streets.light import Lighter
from s2e.envs.streets.weather import draw_weather

FRONT = 9.4
"""Where houses begin, |y|, metres."""


@dataclass(frozen=True)
class Mirror:
    """A block of a place as layouts and episodes see it: number `block`, mirrored where it is 1."""

    block: int

    @property
    def sign(self) -> float:
        """-1 where left and right are exchanged."""
        return 1.0 - 2.0 * self.block

    def point(self, x: float, y: float) -> tuple[float, float]:
        """Where a point of the block lies in the place."""
        return round(x + 2 * HALF_X * self.block, 3), round(self.sign * y, 3)

    def span(self, y0: float, y1: float) -> tuple[float, float]:
        """Lower and upper y of a band."""
        low, high = sorted((self.sign * y0, self.sign * y1))
        return low, high


def mass(
    b: Builder,
    box: tuple[float, float, float, float],
    tall: float,
    texture: str,
    tint: Tint = WHITE,
    metres: float = 1.6,
) -> None:
    """A wall, hedge or house over x0, y0, x1, y1, seen from all sides and from above."""
    x0, y0, x1, y1 = box
    b.solid(x0, y0, x1, y1)
    corners = [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]
    semantic = {"hedge": "vegetation", "planks": "fence"}.get(texture, "building")
    for i in range(4):
        p, q = corners[i], corners[(i + 1) % 4]
        long = abs(p[0] - q[0]) + abs(p[1] - q[1])
        repeat = (max(round(long / metres), 1), max(round(tall / metres), 1))
        b.wall(p, q, 0.0, tall, texture, repeat, tint, semantic)
    top = [[x, y, tall] for x, y in corners]
    cap = texture if texture in ("hedge", "planks") else "concrete"
    b.add(quad(top, cap, ((x1 - x0) / 2, (y1 - y0) / 2)), semantic=semantic)
    b.block_sun(x0, y0, x1, y1, tall)


@dataclass(frozen=True)
class Hall:
    """Bands of y of two corridors, and of rooms with a door each in walls across them."""

    corridors: tuple[tuple[float, float], tuple[float, float]]
    rooms: tuple[float, float]
    doors: tuple[tuple[float, float], ...]
    """x of the wall's middle, y of the door's middle."""
    door_m: float


HALLS = (
    Hall(((-8.8, -6.4), (5.6, 8.8)), (-4.6, 3.6), ((-9.0, -1.6), (0.0, 1.2), (9.0, -0.4)), 1.2),
    Hall(((-8.8, -6.0), (5.4, 8.2)), (-4.2, 3.4), ((-8.0, 0.8), (1.0, -2.0), (9.6, 1.0)), 1.3),
)
OPEN_M = 15.0
"""Corridors and rooms are joined beyond this |x|."""


def halls(b: Builder, m: Mirror) -> None:
    """Corridors between walls, and rooms in a row with doors."""
    hall, rng = HALLS[m.block], b.rng
    x0, x1 = b.reach()
    b.floor(x0, -HALF_Y, x1, HALF_Y, "tiles" if m.block else "concrete")
    (south, north), tints = hall.corridors, ((1.0, 0.95, 0.86), (0.86, 0.92, 0.95))
    for y0, y1 in ((-HALF_Y, south[0]), (north[1], HALF_Y)):
        mass(b, (-HALF_X, *_at(m, y0, y1, 0), HALF_X, *_at(m, y0, y1, 1)), 3.2, "brick")
    for k, (y0, y1) in enumerate(((south[1], hall.rooms[0]), (hall.rooms[1], north[0]))):
        box = (-OPEN_M, *_at(m, y0, y1, 0), OPEN_M, *_at(m, y0, y1, 1))
        mass(b, box, 3.0, "plaster", tints[k], 2.0)
    for x, y in hall.doors:
        for y0, y1 in (
            (hall.rooms[0], y - hall.door_m / 2),
            (y + hall.door_m / 2, hall.rooms[1]),
        ):
            box = (x - 0.15, *_at(m, y0, y1, 0), x + 0.15, *_at(m, y0, y1, 1))
            mass(b, box, 3.0, "plaster", tints[m.block], 2.0)
        low, high = m.span(y - hall.door_m / 2, y + hall.door_m / 2)
        for facing in (1.0, -1.0):  # the lintel
            at = x + 0.15 * facing
            ends = ((at, low), (at, high)) if facing > 0 else ((at, high), (at, low))
            b.wall(*ends, 2.2, 3.0, "plaster", (1.0, 1.0), tints[m.block])
    for x in (-12.5, -4.5, 4.5, 12.0):
        y = float(rng.choice([hall.rooms[0] + 0.5, hall.rooms[1] - 0.5]))
        kind = ("pot", "stone_bench", "vending_machine", "planter", "cabinet")[rng.integers(5)]
        b.put(kind, x, m.sign * y, np.pi / 2 if kind == "vending_machine" else 0.0)
    far_ends(b)


def _at(m: Mirror, y0: float, y1: float, k: int) -> tuple[float]:
    return (m.span(y0, y1)[k],)


@dataclass(frozen=True)
class Street:
    """A road between pavements: `half` its half width, zebras' x, parked vans' x along the south,
    the hedge row's y band along the north and the x spans of its pieces.
    """

    half: float
    zebras: tuple[float, ...]
    vans: tuple[float, ...]
    hedge: tuple[float, float]
    pieces: tuple[tuple[float, float], ...]


STREETS = (
    Street(2.6, (-3.0,), (-13.0, 4.5, 12.0), (4.9, 5.5), ((-14.0, -5.0), (-2.6, 5.6), (8.0, 15.0))),
    Street(2.4, (5.0,), (-12.0, -3.5, 12.5), (4.7, 5.2), ((-15.0, -8.0), (-5.6, 2.4), (7.6, 14.6))),
)
KERB_M = 0.2


def streets(b: Builder, m: Mirror) -> None:
    """A road with parked cars; on one pavement a row of hedges along it, with gaps."""
    street, rng, z = STREETS[m.block], b.rng, -0.13
    x0, x1 = b.reach()
    b.floor(x0, -FRONT, x1, FRONT, "paving")
    carriageway(b, 0.0, street.half, z)
    for x in street.zebras:
        zebra(b, x, 0.0, street.half, z)
    for x in street.vans:
        kind = ("van", "yellow_van")[rng.integers(2)]
        b.put(kind, x, -m.sign * (street.half - 1.15), np.pi * rng.integers(2))
    for x0, x1 in street.pieces:
        low, high = m.span(*street.hedge)
        mass(b, (x0, low, x1, high), 1.3, "hedge")
    for x in (-16.4, 16.4):
        b.put("tree", x, m.sign * (street.half + 0.8))
    for x in (-8.0, 0.5, 8.5):
        b.put(("pot", "bin", "flower_box")[rng.integers(3)], x, -m.sign * (FRONT - 0.45))
    _fronts(b)
    far_ends(b)


def _fronts(b: Builder) -> None:
    x0, x1 = b.reach()
    for side in (1.0, -1.0):
        ends = ((x0, FRONT), (x1, FRONT)) if side > 0 else ((x1, -FRONT), (x0, -FRONT))
        b.front(*ends, 3.0, 7.0, shops=0.5, awnings=0.1)
        low, high = sorted((side * FRONT, side * HALF_Y))
        b.solid(-HALF_X, low, HALF_X, high)


@dataclass(frozen=True)
class Square:
    """A house in the middle, streets north and south of it, squares east and west: its box, the y
    of the pillars of an arcade along the southern front, the fountain's place.
    """

    house: tuple[float, float, float, float]
    arcade: float
    fountain: tuple[float, float]


SQUARES = (
    Square((-7.0, -2.6, 6.0, 3.0), -6.4, (11.6, -0.4)),
    Square((-6.0, -2.4, 7.0, 3.2), -6.2, (12.4, 0.4)),
)
QUEUE_X = (-3.5, 3.0)
"""Where stalls stand along the northern front."""


def squares(b: Builder, m: Mirror) -> None:
    """A house between two streets and two squares; an arcade, a fountain, stalls."""
    square, rng = SQUARES[m.block], b.rng
    x0, x1 = b.reach()
    b.floor(x0, -FRONT, x1, FRONT, "cobble" if m.block else "paving")
    west, south, east, north = square.house
    low, high = m.span(south, north)
    tint = ((1.0, 0.88, 0.72), (0.92, 0.78, 0.66))[m.block]
    mass(b, (west, low, east, high), 6.4, "plaster", tint, 3.2)
    for facing, y in ((-1.0, low), (1.0, high)):
        ends = (
            ((west, y - 0.02), (east, y - 0.02))
            if facing < 0
            else ((east, y + 0.02), (west, y + 0.02))
        )
        b.wall(*ends, 0.0, 3.2, "shop", (4.0, 1.0))
    for x in np.arange(west - 1.0, east + 1.1, 2.75):
        b.put("pillar", round(float(x), 2), m.sign * square.arcade)
    y0, y1 = m.span(square.arcade - 0.3, square.arcade + 0.3)
    for facing in (1.0, -1.0):  # the beam over the pillars
        y = y1 if facing > 0 else y0
        ends = (
            ((east + 1.4, y), (west - 1.4, y)) if facing > 0 else ((west - 1.4, y), (east + 1.4, y))
        )
        b.wall(*ends, 3.0, 3.7, "plaster", (9.0, 1.0), tint)
    b.put("fountain", square.fountain[0], m.sign * square.fountain[1])
    for x in QUEUE_X:
        b.put("food_cart", x, m.sign * (FRONT - 0.6), -m.sign * np.pi / 2)
    for x, y in ((-15.5, 7.8), (-15.5, -8.0), (15.8, 8.0), (15.8, -8.2)):
        b.put(("tree", "blossom_tree", "pot")[rng.integers(3)], x, m.sign * y)
    b.put("advert_column", -16.6, 0.0)
    _fronts(b)
    far_ends(b)


@dataclass(frozen=True)
class Yard:
    """Two courts with a wall between them, whose gates are at these x, `gate_m` wide; y of the
    wall's middle.
    """

    wall: float
    gates: tuple[float, ...]
    gate_m: float


YARDS = (Yard(0.4, (-12.0, -1.0, 11.0), 2.0), Yard(-0.6, (-11.0, 1.0, 12.5), 2.2))


def yards(b: Builder, m: Mirror) -> None:
    """Two long courts side by side with a wall between them that has three gates."""
    yard, rng = YARDS[m.block], b.rng
    x0, x1 = b.reach()
    b.floor(x0, -FRONT, x1, FRONT, "gravel" if m.block else "paving")
    low, high = m.span(yard.wall - 0.2, yard.wall + 0.2)
    half, texture = yard.gate_m / 2, ("brick", "planks")[m.block]
    edges = [-HALF_X, *(x + s * half for x in yard.gates for s in (-1, 1)), HALF_X]
    for a, c in zip(edges[::2], edges[1::2]):
        mass(b, (a, low, c, high), 1.8, texture, metres=1.0)
    for x in (-6.5, 5.0, 15.6):
        for side in (1.0, -1.0):
            kind = ("tree", "shrub", "bench", "wheelie_bin", "planter")[rng.integers(5)]
            b.put(kind, x, side * 7.6, 0.0)
    _fronts(b)
    far_ends(b)


PLACES: dict[str, tuple[Callable[[Builder, Mirror], None], int]] = {
    "halls": (halls, 8),
    "streets": (streets, 10),
    "squares": (squares, 14),
    "yards": (yards, 12),
}
"""How each is laid out, and the seed of its weather and things."""


def build_place(name: str) -> Scene:
    """A place; the same bytes every time."""
    layout, seed = PLACES[name]
    weather = draw_weather(np.random.default_rng([seed, 61]))
    b = Builder(np.random.default_rng([seed, 62]), weather, (2, 1))
    for block in range(2):
        b.at(block, 0)
        layout(b, Mirror(block))
    ground, occupancy = b.ground_map(), b.occupancy()
    anchors = np.round(draw_anchors(occupancy, ground, np.random.default_rng([seed, 63]), 64), 3)
    return Scene(name, occupancy, Lighter(b).mesh(), anchors, ground=ground, sky=weather.sky)
