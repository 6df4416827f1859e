"""Procedural street blocks of 36 x 20 m: a street, a plaza or alleys, each from a seed."""

import numpy as np
from scipy.ndimage import label

from s2e.envs.meshes import (
    CARS,
    bake,
    footprint,
    ground,
    mark,
    merge,
    obstacle_mesh,
    place,
    quad,
    transform,
    wall,
)
from s2e.envs.occupancy import Occupancy
from s2e.envs.scene import SEMANTIC_ID, Mesh, Scene, Sky
from s2e.envs.textures import TEXTURES

HALF_X, HALF_Y = 18.0, 10.0
RESOLUTION = 0.1
ANCHORS = 48
ANCHOR_CLEARANCE = 0.8
PASSABLE_CLEARANCE = 0.45
"""Two anchors are connected when a way between them keeps this distance from everything, metres."""

FAMILIES = ("street", "plaza", "alleys")

_LITTER = ("bench", "bin", "bollard", "planter", "cone", "barrier", "box", "pallet", "sign", "table", "hydrant")
_LITTER += ("fence", "bicycle", "kiosk", "wheelie_bin", "shrub")
_GROUND_SIZE = {"paving": 1.6, "cobble": 1.2, "asphalt": 2.0, "grass": 1.5, "concrete": 3.0}


_HOUSES = (
    (1.0, 0.97, 0.9),
    (1.0, 0.88, 0.72),
    (0.92, 0.74, 0.62),
    (0.8, 0.86, 0.92),
    (0.86, 0.86, 0.84),
    (0.95, 0.92, 0.78),
)


def _house_tint(rng: np.random.Generator) -> tuple[float, float, float]:
    """A colour of plaster."""
    r, g, b = np.array(_HOUSES[rng.integers(len(_HOUSES))]) * rng.uniform(0.8, 1.1) + rng.normal(0, 0.02, 3)
    return float(r), float(g), float(b)


class _Block:
    """A block under construction: what is drawn and what is solid."""

    def __init__(self, rng: np.random.Generator, sun: np.ndarray):
        self.rng = rng
        self.sun = sun
        self.meshes: list[Mesh] = []
        self.floors: list[tuple[float, float, float, float, str]] = []
        self.grid = np.zeros((round(2 * HALF_Y / RESOLUTION), round(2 * HALF_X / RESOLUTION)), dtype=bool)
        self.origin = np.array([-HALF_X, -HALF_Y])

    def floor(self, x0: float, y0: float, x1: float, y1: float, texture: str, tint: float = 1.0) -> None:
        self.floors.append((x0, y0, x1, y1, texture))
        self.meshes.append(ground(x0, y0, x1, y1, texture, _GROUND_SIZE[texture], tint=(tint, tint, tint)))

    def paint(self, x0: float, y0: float, x1: float, y1: float) -> None:
        """A white marking."""
        self.meshes.append(ground(x0, y0, x1, y1, "white", 1.0, z=0.006, tint=(0.86, 0.86, 0.84)))

    def solid(self, x0: float, y0: float, x1: float, y1: float) -> None:
        mark(self.grid, self.origin, RESOLUTION, np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]]))

    def put(self, kind: str, x: float, y: float, yaw: float = 0.0) -> None:
        """An obstacle with its soft shadow on the floor."""
        outline = place(footprint(kind), x, y, yaw)
        mark(self.grid, self.origin, RESOLUTION, outline)
        self.meshes.append(transform(obstacle_mesh(kind), x, y, yaw))
        under = [f for f in self.floors if f[0] <= x <= f[2] and f[1] <= y <= f[3]]
        if not under:
            return
        x0, y0, x1, y1, texture = under[-1]
        reach = {"tree": 1.3, "lamp": 0.35}.get(kind, 0.3)
        outline = outline[::2] if len(outline) > 8 else outline
        spread = outline - [x, y]
        rim = (
            np.array([x, y])
            + spread * (1 + reach / np.linalg.norm(spread, axis=1, keepdims=True))
            - 0.25 * self.sun[:2]
        )
        # The shadow is the floor again, darker in the middle: its edge has the floor's own light and is not seen.
        points = np.clip(np.concatenate([[[x, y]], rim]), [x0, y0], [x1, y1])
        count = len(rim)
        fan = np.stack([np.zeros(count, int), 1 + np.arange(count), 1 + (np.arange(count) + 1) % count], 1)
        shade = np.ones((count, 3, 3), dtype=np.float32)
        shade[:, 0] = 0.5 if kind == "tree" else 0.3
        self.meshes.append(
            Mesh(
                vertices=np.column_stack([points, np.full(count + 1, 0.004)]).astype(np.float32),
                triangles=fan.astype(np.int32),
                uv=(points[fan] / _GROUND_SIZE[texture]).astype(np.float32),
                texture=np.full(count, TEXTURES[texture], dtype=np.int32),
                shade=shade,
                semantic=np.full(count, SEMANTIC_ID["sidewalk"], dtype=np.uint8),
                instance=np.zeros(count, dtype=np.int32),
            )
        )

    def facade(
        self, start: tuple[float, float], end: tuple[float, float], low: float = 5.0, high: float = 13.0
    ) -> None:
        """A row of house fronts from start to end, seen from the right of that direction."""
        rng = self.rng
        a, b = np.array(start), np.array(end)
        length = float(np.linalg.norm(b - a))
        along = (b - a) / length
        back = np.array([-along[1], along[0]])
        at, before = 0.0, 0.0
        while at < length - 1e-6:
            width = float(rng.uniform(5.0, 10.0))
            width = length - at if length - at - width < 4.0 else width
            p, q = a + along * at, a + along * (at + width)
            floors = int(rng.integers(max(int(low / 3), 1), int(high / 3) + 1))
            tall = 3.2 + 3.0 * floors
            tint = _house_tint(rng)
            bays = max(round(width / 3.5), 1)
            lower = ("shop", "shop", "brick", "plaster", "concrete", "plaster")[rng.integers(6)]
            upper = ("facade", "facade", "facade", "glass")[rng.integers(4)]
            base = tint if lower in ("plaster", "concrete", "brick") else (1.0, 1.0, 1.0)
            repeat = (bays if lower != "brick" else bays * 2.0, 2.0 if lower == "brick" else 1.0)
            self.meshes.append(wall(p, q, 0.0, 3.2, lower, repeat, base))
            self.meshes.append(wall(p, q, 3.2, tall, upper, (bays, floors), tint))
            if lower != "shop":
                door = p + along * (width * rng.uniform(0.2, 0.8))
                self.meshes.append(wall(door - back * 0.03, door + along - back * 0.03, 0.0, 2.2, "door"))
            # Where two houses meet, the higher one shows its side above the other's roof.
            low_z, high_z = min(before, tall), max(before, tall)
            if high_z > low_z:
                side = (p + back * 6.0, p) if tall > before else (p, p + back * 6.0)
                self.meshes.append(wall(*side, low_z, high_z, "plaster", (2.0, 1.0), tint))
            before = tall
            at += width

    def house(self, x0: float, y0: float, x1: float, y1: float, low: float = 3.0, high: float = 9.0) -> None:
        """A building in the block, with fronts on all sides."""
        self.solid(x0, y0, x1, y1)
        corners = [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]
        for i in range(4):
            self.row_side(corners[i], corners[(i + 1) % 4], low, high)

    def row_side(self, start: tuple[float, float], end: tuple[float, float], low: float, high: float) -> None:
        """One flat front without sides, the height of `low`."""
        length = float(np.hypot(end[0] - start[0], end[1] - start[1]))
        lower = ("brick", "plaster", "shop", "concrete")[self.rng.integers(4)]
        bays = max(round(length / 3.0), 1)
        tint = _house_tint(self.rng)
        repeat = (bays * 2.0, 2.0) if lower == "brick" else (bays, 1.0)
        self.meshes.append(wall(start, end, 0.0, 3.0, lower, repeat))
        self.meshes.append(wall(start, end, 3.0, 3.0 + high, "facade", (bays, round(high / 3)), tint))

    def edge(self, x: float, facing: float) -> None:
        """Closes an end of the block at x with a hedge, a fence or building-site barriers; the street goes on behind."""
        kind = ("hedge", "fence", "hazard", "brick")[self.rng.integers(4)]
        tall = {"hedge": 1.2, "fence": 1.4, "hazard": 0.9, "brick": 1.0}[kind]
        thick = 0.15 if kind != "hedge" else 0.4
        inner, outer = x, x + thick * facing
        self.solid(min(inner, outer), -HALF_Y, max(inner, outer, x), HALF_Y)
        self.solid(min(inner, HALF_X * facing), -HALF_Y, max(inner, HALF_X * facing), HALF_Y)
        start, end = ((x, HALF_Y), (x, -HALF_Y)) if facing > 0 else ((x, -HALF_Y), (x, HALF_Y))
        self.meshes.append(wall(start, end, 0.0, tall, kind, (14.0, 1.0)))
        ya, yb = start[1], end[1]
        cap = [[inner, ya, tall], [inner, yb, tall], [outer, yb, tall], [outer, ya, tall]]
        self.meshes.append(quad(cap, kind, (14.0, 0.2)))


def _far_ends(block: _Block, side: float) -> None:
    """What is seen beyond the block's ends: the street goes on for a while and a house closes the view."""
    for facing in (-1.0, 1.0):
        start, end = ((32.0, side), (32.0, -side)) if facing > 0 else ((-32.0, -side), (-32.0, side))
        block.facade(start, end, 6.0, 13.0)
    block.edge(-17.5, -1.0)
    block.edge(17.5, 1.0)


def _street(block: _Block) -> list[float]:
    """A straight street: facades, sidewalks, kerbs with trees, lamps and parked cars. Returns the lanes people walk."""
    rng = block.rng
    front = float(rng.uniform(9.0, 9.6))
    middle, half = float(rng.uniform(-0.8, 0.8)), float(rng.uniform(3.0, 3.7))
    y0, y1 = middle - half, middle + half
    pave = ("paving", "paving", "cobble", "concrete")[rng.integers(4)]
    block.floor(-32, y0, 32, y1, "asphalt", float(rng.uniform(0.85, 1.15)))
    block.floor(-32, -front, 32, y0 - 0.2, pave)
    block.floor(-32, y1 + 0.2, 32, front, pave)
    for edge in (y0 - 0.2, y1):
        block.meshes.append(ground(-32, edge, 32, edge + 0.2, "concrete", 1.0, tint=(1.25, 1.25, 1.22)))
    for x in np.arange(-30, 30, 4.0):
        block.paint(x, middle - 0.07, x + 2.0, middle + 0.07)
    crossing = float(rng.uniform(-12, 12))
    for y in np.arange(y0 + 0.4, y1 - 0.6, 1.0):
        block.paint(crossing - 1.4, y, crossing + 1.4, y + 0.5)
    for side, kerb in ((-1.0, y0), (1.0, y1)):
        strip = rng.random() < 0.5
        edge = kerb + side * 0.8
        if strip:
            inner, outer = sorted((kerb + side * 0.2, kerb + side * 1.4))
            for x in np.arange(-30, 30, 9.0):
                block.meshes.append(ground(x, inner, x + 5.0, outer, "grass", 1.5, z=0.005))
        kinds = ("tree", "lamp", "tree", "bollard") if strip else ("tree", "lamp", "bollard", "bollard")
        for i, x in enumerate(np.arange(-15.5, 16.5, float(rng.uniform(6.0, 9.0)))):
            if abs(x - crossing) > 2.0:
                block.put(kinds[(i + int(rng.integers(2))) % 4], x, edge, float(rng.uniform(0, 6)))
        for x in np.arange(-14.5, 15.5, 5.2):
            if rng.random() < 0.3 and abs(x - crossing) > 4.0:
                block.put(
                    CARS[rng.integers(4)], x + float(rng.normal(0, 0.15)), kerb - side * 1.1, np.pi * rng.integers(2)
                )
    block.facade((-32, front), (32, front))
    block.facade((32, -front), (-32, -front))
    block.solid(-HALF_X, front, HALF_X, HALF_Y)
    block.solid(-HALF_X, -HALF_Y, HALF_X, -front)
    _far_ends(block, 10.0)
    return [0.5 * (y0 - front), 0.5 * (y1 + front), middle, y0 - 1.5, y1 + 1.5]


def _plaza(block: _Block) -> list[float]:
    """A square with houses around, lawns, trees, benches and tables."""
    rng = block.rng
    front = float(rng.uniform(9.2, 9.7))
    pave, other = [("cobble", "paving"), ("paving", "concrete"), ("concrete", "cobble")][rng.integers(3)]
    block.floor(-32, -front, 32, front, pave)
    for x in np.arange(-14.0, 15.0, 7.0):
        block.meshes.append(ground(x - 0.3, -front, x + 0.3, front, other, 1.2, z=0.005))
    lawns = []
    for x in (-10.5, 0.0, 10.5):
        if rng.random() < 0.7:
            cx, cy = x + rng.uniform(-1, 1), rng.uniform(-3.5, 3.5)
            hx, hy = rng.uniform(1.5, 2.6), rng.uniform(1.2, 2.2)
            lawns.append((cx, cy))
            block.meshes.append(ground(cx - hx, cy - hy, cx + hx, cy + hy, "grass", 1.5, z=0.006))
            block.put("tree", cx, cy)
            if rng.random() < 0.6:
                block.put("bench", cx, cy - hy - 0.5, np.pi)
            if rng.random() < 0.6:
                block.put("shrub", cx + hx * 0.7, cy + hy * 0.6)
    for y in (-front + 1.6, front - 1.6):
        for x in np.arange(-15.0, 16.0, 6.0):
            if rng.random() < 0.45:
                block.put(
                    ("table", "planter", "table", "lamp")[rng.integers(4)],
                    x + rng.uniform(-1, 1),
                    y,
                    rng.uniform(-0.4, 0.4),
                )
    block.facade((-32, front), (32, front))
    block.facade((32, -front), (-32, -front))
    block.solid(-HALF_X, front, HALF_X, HALF_Y)
    block.solid(-HALF_X, -HALF_Y, HALF_X, -front)
    if rng.random() < 0.5:
        block.facade((17.4, front), (17.4, -front))
        block.facade((-17.4, -front), (-17.4, front))
        block.solid(17.4, -HALF_Y, HALF_X, HALF_Y)
        block.solid(-HALF_X, -HALF_Y, -17.4, HALF_Y)
    else:
        _far_ends(block, 10.0)
    return [-front + 3.2, front - 3.2, 0.0, -2.0, 2.0]


def _alleys(block: _Block) -> list[float]:
    """A courtyard with houses inside it, so that ways are narrow and corners blind."""
    rng = block.rng
    front = float(rng.uniform(9.2, 9.7))
    block.floor(-17.6, -front, 17.6, front, ("cobble", "concrete", "asphalt", "paving")[rng.integers(4)])
    alley = float(rng.uniform(-1.5, 1.5))
    width = float(rng.uniform(3.4, 4.6))
    cuts = [-13.5, float(rng.uniform(-3.5, -1.5)), float(rng.uniform(1.8, 3.6)), 13.5]
    for y0, y1 in ((-front + 3.0, alley - width / 2), (alley + width / 2, front - 3.0)):
        if y1 - y0 < 1.2:
            continue
        for x0, x1 in ((cuts[0], cuts[1]), (cuts[2], cuts[3])):
            if rng.random() < 0.8:
                shrink = float(rng.uniform(0.0, 3.0))
                block.house(x0 + shrink, y0, x1, y1, 3.0, 3.0 * int(rng.integers(1, 3)))
            else:
                block.meshes.append(ground(x0, y0, x1, y1, "grass", 1.5, z=0.006))
                block.put("tree", 0.5 * (x0 + x1), 0.5 * (y0 + y1))
    for x, y, yaw in (
        (-16.5, -front + 1, 0.2),
        (16.4, front - 1, 1.7),
        (-16.2, front - 1.2, 2.0),
        (16.0, -front + 1.2, 3.0),
    ):
        block.put(("wheelie_bin", "pallet", "bicycle", "planter", "lamp")[rng.integers(5)], x, y, yaw)
    for start, end in (
        ((-17.6, front), (17.6, front)),
        ((17.6, front), (17.6, -front)),
        ((17.6, -front), (-17.6, -front)),
        ((-17.6, -front), (-17.6, front)),
    ):
        block.facade(start, end, 3.0, 10.0)
    block.solid(-HALF_X, front, HALF_X, HALF_Y)
    block.solid(-HALF_X, -HALF_Y, HALF_X, -front)
    block.solid(17.6, -HALF_Y, HALF_X, HALF_Y)
    block.solid(-HALF_X, -HALF_Y, -17.6, HALF_Y)
    return [alley, -front + 1.5, front - 1.5]


def _weather(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray, Sky]:
    """Sun direction, sun light, sky light and sky."""
    azimuth, elevation = rng.uniform(0, 2 * np.pi), np.radians(rng.uniform(28, 60))
    sun = np.array([np.cos(azimuth) * np.cos(elevation), np.sin(azimuth) * np.cos(elevation), np.sin(elevation)])
    fog = float(rng.uniform(60, 160))
    kind = rng.integers(4)
    if kind == 0:  # overcast
        return (
            sun,
            np.array([0.18, 0.18, 0.18]),
            np.array([0.82, 0.84, 0.88]),
            Sky((168, 178, 190), (208, 212, 216), fog),
        )
    if kind == 1:  # low, warm sun
        return sun, np.array([0.72, 0.56, 0.38]), np.array([0.52, 0.53, 0.6]), Sky((92, 118, 170), (238, 208, 172), fog)
    blue = rng.uniform(0.85, 1.1)
    sky = Sky((min(90 * blue, 255), min(145 * blue, 255), min(212 * blue, 255)), (206, 220, 232), fog)
    return sun, np.array([0.66, 0.63, 0.57]), np.array([0.56, 0.6, 0.66]), sky


def _scatter(block: _Block, lanes: list[float]) -> None:
    """6 to 14 obstacles on the lanes or beside them, never closer together than a robot's way through."""
    rng = block.rng
    wanted, taken = int(rng.integers(6, 15)), []
    clearance = Occupancy(block.grid, block.origin, RESOLUTION)
    free = clearance.distance()
    for _ in range(200):
        if len(taken) == wanted:
            break
        kind = _LITTER[rng.integers(len(_LITTER))]
        x, y = rng.uniform(-15.5, 15.5), lanes[rng.integers(len(lanes))] + rng.normal(0.0, 0.7)
        row, column = clearance.cell_of(np.array([x, y]))
        inside = 0 <= row < free.shape[0] and 0 <= column < free.shape[1]
        reach = float(np.linalg.norm(footprint(kind), axis=1).max())
        if not inside or free[row, column] < reach + 0.1:
            continue
        if any(np.hypot(x - a, y - b) < reach + c + 1.3 for a, b, c in taken):
            continue
        taken.append((x, y, reach))
        block.put(kind, x, y, rng.uniform(-np.pi, np.pi) if rng.random() < 0.6 else rng.integers(4) * np.pi / 2)


def free_anchors(occupancy: Occupancy, rng: np.random.Generator, count: int = ANCHORS) -> np.ndarray:
    """(K, 2) points 0.8 m or more from anything, spread out, in the largest region that a robot can cross.

    The region is where the distance to anything is at least 0.45 m, connected over edges of cells. K is `count`, or
    less where there is less room.
    """
    distance = occupancy.distance()
    regions = np.asarray(label(distance >= PASSABLE_CLEARANCE)[0])  # pyright: ignore[reportIndexIssue]
    sizes = np.bincount(regions.ravel(), minlength=2)[1:]
    largest = 1 + int(np.argmax(sizes))
    rows, columns = np.nonzero((regions == largest) & (distance >= ANCHOR_CLEARANCE))
    if len(rows) == 0:
        return np.zeros((0, 2))
    chosen = rng.choice(len(rows), size=min(1200, len(rows)), replace=False)
    points = occupancy.origin + (np.stack([columns, rows], 1)[chosen] + 0.5) * occupancy.resolution
    # Each next point is the farthest from those so far.
    order, nearest = [0], np.linalg.norm(points - points[0], axis=1)
    while len(order) < min(count, len(points)):
        order.append(int(np.argmax(nearest)))
        nearest = np.minimum(nearest, np.linalg.norm(points - points[order[-1]], axis=1))
    return points[order]


def make_street(seed: int, obstacles: bool = True) -> Scene:
    """Builds a block; the same seed gives the same bytes.

    Args:
        seed: chooses the family (`seed % 3`: street, plaza, alleys), the layout, the houses and the weather.
        obstacles: whether 6 to 14 things stand in the way as well; the rest of the block does not change with it.
    """
    rng = np.random.default_rng([seed, 36])
    sun, sun_rgb, ambient_rgb, sky = _weather(rng)
    block = _Block(rng, sun)
    family = FAMILIES[seed % len(FAMILIES)]
    lanes = {"street": _street, "plaza": _plaza, "alleys": _alleys}[family](block)
    if obstacles:
        _scatter(block, lanes)
    occupancy = Occupancy(block.grid, block.origin, RESOLUTION)
    mesh = bake(merge(block.meshes), sun, sun_rgb, ambient_rgb)
    anchors = free_anchors(occupancy, np.random.default_rng([seed, 37]))
    return Scene(f"{family}-{seed}", occupancy, mesh, anchors, sky=sky)
