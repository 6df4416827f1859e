"""A scene under construction: floors with heights, kerbs, fronts of houses, things, and the light
on all of it.
"""

import dataclasses

import numpy as np

from s2e.envs.geometry.meshes import WHITE, Tint, mark, place, quad, wall
from s2e.envs.geometry.occupancy import Occupancy
from s2e.envs.geometry.scene import SEMANTIC_ID, Ground, Mesh
from s2e.envs.streets.objects import ObjectKind, object_kinds
from s2e.envs.streets.weather import Weather

HALF_X, HALF_Y = 18.0, 10.0
RESOLUTION = 0.1
BEYOND = 16.0
"""What is drawn goes on this far behind the ends of a scene, metres."""

HOUSE_DEEP = 7.0

_SIZE = {
    "paving": 1.6,
    "cobble": 1.2,
    "asphalt": 2.0,
    "grass": 1.5,
    "concrete": 3.0,
    "gravel": 1.5,
    "sand": 2.0,
    "tiles": 2.4,
    "water": 3.0,
    "zebra": 1.0,
    "lane": 4.0,
    "tactile": 0.4,
    "planks": 1.0,
    "soil": 2.0,
    "bike_lane": 2.0,
    "brick": 0.9,
    "white": 1.0,
}
"""How many metres of ground a texture spans."""

_HOUSES = (
    (1.0, 0.97, 0.9),
    (1.0, 0.88, 0.72),
    (0.92, 0.74, 0.62),
    (0.8, 0.86, 0.92),
    (0.86, 0.86, 0.84),
    (0.95, 0.92, 0.78),
    (0.78, 0.88, 0.76),
)
_UPPER = ("facade", "facade", "facade", "glass", "brick_facade", "modern", "balcony")
_LIT = {
    "facade": "facade_lit",
    "brick_facade": "facade_lit",
    "balcony": "facade_lit",
    "modern": "glass_lit",
    "glass": "glass_lit",
}


@dataclasses.dataclass(frozen=True)
class Floor:
    """A rectangle of ground: z is `z + slope_x (x - x0) + slope_y (y - y0)`; `turn` swaps the
    texture's axes.
    """

    x0: float
    y0: float
    x1: float
    y1: float
    texture: str
    surface: str
    z: float = 0.0
    slope_x: float = 0.0
    slope_y: float = 0.0
    tint: Tint = WHITE
    turn: bool = False
    indoor: bool = False

    def height(self, x, y):
        """Height at points, metres."""
        return self.z + self.slope_x * (x - self.x0) + self.slope_y * (y - self.y0)


def house_tint(rng: np.random.Generator) -> Tint:
    """A colour of plaster."""
    r, g, b = np.array(_HOUSES[rng.integers(len(_HOUSES))]) * rng.uniform(0.8, 1.1) + rng.normal(
        0, 0.02, 3
    )
    return float(r), float(g), float(b)


def _snap(value: float) -> float:
    return round(float(value) / RESOLUTION) * RESOLUTION


class Builder:
    """What is drawn, what is solid and what the ground is like, of a scene of (nx, ny) blocks.

    Layouts give coordinates of their own block, whose middle is (0, 0); `at` moves on to another
    block.
    """

    def __init__(
        self, rng: np.random.Generator, weather: Weather, blocks: tuple[int, int] = (1, 1)
    ):
        self.rng, self.weather, self.blocks = rng, weather, blocks
        self.origin = np.array([-HALF_X, -HALF_Y])
        shape = (
            round(2 * HALF_Y * blocks[1] / RESOLUTION),
            round(2 * HALF_X * blocks[0] / RESOLUTION),
        )
        self.grid = np.zeros(shape, dtype=bool)
        self.kinds: dict[str, ObjectKind] = object_kinds()
        self.floors: list[Floor] = []
        self.walls: list[tuple] = []
        self.placed: list[tuple[ObjectKind, float, float, float, float]] = []
        self.houses: list[tuple[float, float, float, float, float]] = []
        self.meshes: dict[str, list[Mesh]] = {"sun": [], "shade": [], "lit": [], "indoor": []}
        self.slabs: list[np.ndarray] = []
        """Things in the air that cast shadows (awnings, roofs), as point sets."""
        self.lanes: list[tuple[float, float, float]] = []
        self.dx, self.dy, self.column, self.row = 0.0, 0.0, 0, 0
        self.indoor = False
        self.sides: dict[str, bool] = {}

    def at(self, column: int, row: int) -> None:
        """Moves on to the block in this column and row; `sides` says at which sides another block
        joins it.
        """
        self.column, self.row, self.indoor = column, row, False
        self.dx, self.dy = 2 * HALF_X * column, 2 * HALF_Y * row
        nx, ny = self.blocks
        self.sides = {
            "west": column > 0,
            "east": column < nx - 1,
            "south": row > 0,
            "north": row < ny - 1,
        }

    def reach(self) -> tuple[float, float]:
        """From where to where a street of this block is drawn along x: beyond the block where the
        scene ends.
        """
        west = -HALF_X if self.sides["west"] else -HALF_X - BEYOND
        return west, HALF_X if self.sides["east"] else HALF_X + BEYOND

    def floor(
        self,
        x0: float,
        y0: float,
        x1: float,
        y1: float,
        texture: str,
        surface: str = "sidewalk",
        z: float = 0.0,
        **more,
    ) -> None:
        """A rectangle of ground over what was there; edges go to the nearest 0.1 m. `more`: see
        `Floor`.
        """
        x0, x1, y0, y1 = (
            _snap(a + d) for a, d in ((x0, self.dx), (x1, self.dx), (y0, self.dy), (y1, self.dy))
        )
        if x1 - x0 > 0.05 and y1 - y0 > 0.05:
            self.floors.append(
                Floor(x0, y0, x1, y1, texture, surface, z, indoor=self.indoor, **more)
            )

    def ramp(self, x: float, y: float, width: float, depth: float, low: float, side: float) -> None:
        """A dropped kerb: from the road (height `low`) at y up to the sidewalk, which lies on the
        `side` (+1, -1) of y.
        """
        y0, y1 = sorted((_snap(y), _snap(y + side * depth)))
        slope = -low / (y1 - y0) * side
        start = low if side > 0 else 0.0
        self.floor(
            x - width / 2,
            y0,
            x + width / 2,
            y1,
            "tactile",
            "sidewalk",
            start,
            slope_y=slope,
            tint=(0.98, 0.96, 0.9),
        )

    def ramp_x(
        self, x: float, y: float, width: float, depth: float, low: float, side: float
    ) -> None:
        """The same beside a road that runs along y: the sidewalk lies on the `side` of x."""
        x0, x1 = sorted((_snap(x), _snap(x + side * depth)))
        start = low if side > 0 else 0.0
        self.floor(
            x0,
            y - width / 2,
            x1,
            y + width / 2,
            "tactile",
            "sidewalk",
            start,
            slope_x=-low / (x1 - x0) * side,
            tint=(0.98, 0.96, 0.9),
        )

    def solid(self, x0: float, y0: float, x1: float, y1: float) -> None:
        """Nobody can be in this rectangle; a cell counts when more than a sliver of it is
        covered.
        """
        shift = np.array([self.dx, self.dy]) - self.origin
        low, high = np.array([x0, y0]) + shift, np.array([x1, y1]) + shift
        c0, r0 = np.maximum(np.floor(low / RESOLUTION + 0.02), 0).astype(int)
        c1, r1 = np.maximum(np.ceil(high / RESOLUTION - 0.02), 0).astype(int)
        self.grid[r0:r1, c0:c1] = True

    def ground_at(self, x: float, y: float) -> float:
        """Height of the ground at a point of this block, metres."""
        x, y = x + self.dx, y + self.dy
        for floor in reversed(self.floors):
            if floor.x0 <= x <= floor.x1 and floor.y0 <= y <= floor.y1:
                return floor.height(x, y)
        return 0.0

    def put(self, kind: str | ObjectKind, x: float, y: float, yaw: float = 0.0) -> None:
        """A thing that stands at (x, y) of this block."""
        thing = self.kinds[kind] if isinstance(kind, str) else kind
        z = self.ground_at(x, y)
        x, y = x + self.dx, y + self.dy
        mark(self.grid, self.origin, RESOLUTION, place(thing.footprint, x, y, yaw))
        self.placed.append((thing, x, y, yaw, z))

    def free(self, kind: str, x: float, y: float, yaw: float, gap: float = 0.15) -> bool:
        """Whether a thing fits at (x, y) with a gap around it."""
        outline = place(self.kinds[kind].footprint * 1.02, x + self.dx, y + self.dy, yaw)
        low, high = outline.min(0) - gap, outline.max(0) + gap
        c0, r0 = np.maximum(np.floor((low - self.origin) / RESOLUTION).astype(int), 0)
        c1, r1 = np.ceil((high - self.origin) / RESOLUTION).astype(int)
        return not self.grid[r0:r1, c0:c1].any()

    def add(self, mesh: Mesh, light: str = "sun", semantic: str = "building") -> None:
        """Triangles of no thing, in coordinates of this block: lit by the sun, in its shade, or as
        they are (lit).
        """
        light = "indoor" if self.indoor and light == "sun" else light
        self.meshes[light].append(
            dataclasses.replace(
                mesh,
                vertices=mesh.vertices + np.array([self.dx, self.dy, 0.0], dtype=np.float32),
                semantic=np.full(len(mesh.triangles), SEMANTIC_ID[semantic], dtype=np.uint8),
            )
        )

    def wall(
        self,
        start,
        end,
        z0: float,
        z1: float,
        texture: str,
        repeat=(1.0, 1.0),
        tint: Tint = WHITE,
        semantic="building",
    ) -> None:
        """A vertical rectangle over start to end, seen from the right of that direction, on which
        shadows fall.
        """
        if z1 - z0 < 0.01:
            return
        lit = self.weather.lamps and not self.indoor and (texture in _LIT or texture == "shop")
        if lit:
            bright = (0.9, 0.9, 0.9)
            self.add(
                wall(
                    start,
                    end,
                    z0,
                    z1,
                    "shop_lit" if texture == "shop" else _LIT[texture],
                    repeat,
                    bright,
                ),
                "lit",
                semantic,
            )
            return
        mesh = wall(start, end, z0, z1, texture, repeat, tint)
        self.add(mesh, "sun", semantic)
        if not self.indoor:
            shift = np.array([self.dx, self.dy])
            self.walls.append(
                (
                    np.array(start) + shift,
                    np.array(end) + shift,
                    z0,
                    z1,
                    texture,
                    repeat,
                    tint,
                    semantic,
                )
            )

    def block_sun(self, x0: float, y0: float, x1: float, y1: float, height: float) -> None:
        """A box that casts a shadow: a house."""
        self.houses.append((x0 + self.dx, y0 + self.dy, x1 + self.dx, y1 + self.dy, height))

    def front(
        self,
        start,
        end,
        low: float = 5.0,
        high: float = 13.0,
        shops: float = 0.35,
        awnings: float = 0.15,
        sides: tuple[bool, bool] = (True, True),
        deep: float = HOUSE_DEEP,
    ) -> None:
        """A row of house fronts from start to end (along x or y), seen from the right of that
        direction.

        Houses are `low` to `high` metres tall above their ground floor; `shops` and `awnings` are
        shares of them; `sides` says whether the first and the last house show their outer sides;
        `deep` is how far back houses reach.
        """
        rng = self.rng
        a, b = np.array(start, dtype=float), np.array(end, dtype=float)
        length = float(np.linalg.norm(b - a))
        along = (b - a) / length
        back = np.array([-along[1], along[0]])
        at, before = 0.0, 0.0
        while at < length - 1e-6:
            width = float(rng.uniform(5.5, 10.5))
            width = length - at if length - at - width < 4.5 else width
            p, q = a + along * at, a + along * (at + width)
            tall = self._house_front(p, q, along, width, (low, high), shops, awnings)
            if abs(tall - before) > 0.1 and (at > 0 or sides[0]):
                # Where two houses meet, the higher one shows its side above the other's roof.
                side = (p + back * deep, p) if tall > before else (p, p + back * deep)
                self.add(
                    wall(
                        *side,
                        min(before, tall),
                        max(before, tall),
                        "plaster",
                        (2.0, 1.0),
                        house_tint(rng),
                    )
                )
            corners = np.array([p, q, p + back * deep, q + back * deep])
            (west, south), (east, north) = corners.min(0), corners.max(0)
            self.block_sun(west, south, east, north, tall)
            before = tall
            at += width
        if sides[1]:
            self.add(wall(b, b + back * deep, 0.0, before, "plaster", (2.0, 2.0), house_tint(rng)))

    def _house_front(
        self,
        p: np.ndarray,
        q: np.ndarray,
        along: np.ndarray,
        width: float,
        heights: tuple[float, float],
        shops: float,
        awnings: float,
    ) -> float:
        """One house of a row from p to q (2,), `along` its direction: ground floor, storeys, a door
        or an awning. Returns its height; see `front`.
        """
        rng, (low, high) = self.rng, heights
        back = np.array([-along[1], along[0]])
        floors = int(rng.integers(max(int(low / 3), 1), int(high / 3) + 1))
        tall = 3.2 + 3.0 * floors
        tint, bays = house_tint(rng), max(round(width / 3.5), 1)
        lower = (
            "shop"
            if rng.random() < shops
            else ("brick", "plaster", "concrete", "plaster")[rng.integers(4)]
        )
        upper = _UPPER[rng.integers(len(_UPPER))]
        base = tint if lower != "shop" else WHITE
        repeat = (bays if lower != "brick" else bays * 2.0, 2.0 if lower == "brick" else 1.0)
        self.wall(p, q, 0.0, 3.2, lower, repeat, base)
        self.wall(
            p, q, 3.2, tall, upper, (bays, floors), tint if upper != "brick_facade" else WHITE
        )
        if lower != "shop":
            door = p + along * (width * rng.uniform(0.2, 0.8))
            self.add(wall(door - back * 0.03, door + along - back * 0.03, 0.0, 2.2, "door"))
        if rng.random() < awnings:
            self.awning(p + along * 0.6, q - along * 0.6, -back)
        return tall

    def awning(self, p: np.ndarray, q: np.ndarray, out: np.ndarray, reach: float = 1.5) -> None:
        """A striped awning over a shop front from p to q that reaches out from the wall."""
        low, count = out * reach, float(max(round(np.linalg.norm(q - p) / 1.2), 2))
        color = ((1.0, 1.0, 1.0), (0.55, 0.9, 0.6), (0.5, 0.7, 1.2), (1.0, 0.95, 0.8))[
            self.rng.integers(4)
        ]
        roof = [[*(p + low), 2.45], [*(q + low), 2.45], [*q, 3.05], [*p, 3.05]]
        self.add(quad(roof, "awning", (count, 1.0), color))
        self.add(quad([roof[1], roof[0], roof[3], roof[2]], "awning", (count, 1.0), color), "shade")
        self.add(wall(p + low, q + low, 2.2, 2.45, "awning", (count, 1.0), color))
        corners = np.array([p, q, p + low, q + low]) + np.array([self.dx, self.dy])
        points = np.column_stack([corners, [3.05, 3.05, 2.45, 2.45]])
        self.slabs.append(points)

    def house(
        self, x0: float, y0: float, x1: float, y1: float, low: float = 3.0, high: float = 9.0
    ) -> None:
        """A building in the block, with fronts on all sides."""
        rng = self.rng
        self.solid(x0, y0, x1, y1)
        storeys = max(int(rng.integers(round(low / 3), round(high / 3) + 1)), 1)
        tall, tint, upper = 3.0 + 3.0 * storeys, house_tint(rng), _UPPER[rng.integers(len(_UPPER))]
        corners = [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]
        for i in range(4):
            start, end = corners[i], corners[(i + 1) % 4]
            length = float(np.hypot(end[0] - start[0], end[1] - start[1]))
            lower, bays = (
                ("brick", "plaster", "shop", "concrete")[rng.integers(4)],
                max(round(length / 3.0), 1),
            )
            self.wall(
                start,
                end,
                0.0,
                3.0,
                lower,
                (bays * 2.0, 2.0) if lower == "brick" else (bays, 1.0),
                tint if lower == "plaster" else WHITE,
            )
            self.wall(start, end, 3.0, tall, upper, (bays, storeys), tint)
        self.block_sun(x0, y0, x1, y1, tall)

    def end(self, x: float, facing: float) -> None:
        """Closes an end of the scene at x with a hedge, a fence or building-site barriers; the
        street goes on behind.
        """
        kind = ("hedge", "fence", "hazard", "brick", "planks")[self.rng.integers(5)]
        tall = {"hedge": 1.2, "fence": 1.4, "hazard": 0.9, "brick": 1.0, "planks": 1.5}[kind]
        outer = x + (0.4 if kind == "hedge" else 0.15) * facing
        self.solid(min(x, HALF_X * facing), -HALF_Y, max(x, HALF_X * facing), HALF_Y)
        start, end = ((x, HALF_Y), (x, -HALF_Y)) if facing > 0 else ((x, -HALF_Y), (x, HALF_Y))
        semantic = "vegetation" if kind == "hedge" else "fence"
        low = min((f.z for f in self.floors), default=0.0)
        self.wall(start, end, low, tall, kind, (14.0, 1.0), semantic=semantic)
        cap = [
            [x, start[1], tall],
            [x, end[1], tall],
            [outer, end[1], tall],
            [outer, start[1], tall],
        ]
        self.add(quad(cap, kind, (14.0, 0.2)), semantic=semantic)
        self.slabs.append(
            np.array(
                [[x + self.dx, y + self.dy, z] for y in (-HALF_Y, HALF_Y) for z in (low, tall)]
            )
        )

    def lane(self, x0: float, x1: float, y: float) -> None:
        """A way that people take along x; things are scattered near it."""
        self.lanes.append((x0 + self.dx, x1 + self.dx, y + self.dy))

    def ground_map(self) -> Ground:
        """Height and surface of the ground on the cells of the grid."""
        height = np.zeros(self.grid.shape, dtype=np.float32)
        surface = np.full(self.grid.shape, SEMANTIC_ID["sidewalk"], dtype=np.uint8)
        rows, columns = self.grid.shape
        for f in self.floors:
            low = np.round((np.array([f.x0, f.y0]) - self.origin) / RESOLUTION).astype(int)
            high = np.round((np.array([f.x1, f.y1]) - self.origin) / RESOLUTION).astype(int)
            (c0, r0), (c1, r1) = np.maximum(low, 0), np.minimum(high, (columns, rows))
            if c0 >= c1 or r0 >= r1:
                continue
            x = self.origin[0] + (np.arange(c0, c1) + 0.5) * RESOLUTION
            y = self.origin[1] + (np.arange(r0, r1)[:, None] + 0.5) * RESOLUTION
            height[r0:r1, c0:c1] = f.height(x, y)
            surface[r0:r1, c0:c1] = SEMANTIC_ID["sidewalk" if f.surface == "stairs" else f.surface]
        return Ground(height, surface)

    def occupancy(self) -> Occupancy:
        """What stands in everybody's way, so far."""
        return Occupancy(self.grid, self.origin, RESOLUTION)
