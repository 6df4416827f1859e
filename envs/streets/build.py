"""Scenes from seeds: `build_scene` lays out one block or many, puts things in the way, and lights
it all.
"""

import warnings
from collections.abc import Callable, Sequence

import numpy as np
from scipy.ndimage import label
from scipy.spatial import KDTree

from s2e.core.errors import UserError
from s2e.envs.geometry.meshes import place
from s2e.envs.geometry.occupancy import Occupancy
from s2e.envs.geometry.scene import SEMANTIC_ID, Ground, Scene
from s2e.envs.geometry.spread import farthest_first
from s2e.envs.streets.block import RESOLUTION, Builder
from s2e.envs.streets.grounds import construction, corridor, park, yards
from s2e.envs.streets.layouts import alleys, boulevard, cafe, crossing, market, plaza, street
from s2e.envs.streets.light import Lighter
from s2e.envs.streets.objects import ObjectKind
from s2e.envs.streets.weather import draw_weather

LAYOUTS: dict[str, Callable[[Builder], None]] = {
    "street": street,
    "plaza": plaza,
    "alleys": alleys,
    "crossing": crossing,
    "cafe": cafe,
    "construction": construction,
    "park": park,
    "corridor": corridor,
    "yards": yards,
    "market": market,
    "boulevard": boulevard,
}
TRAIN_FAMILIES = (
    "street",
    "plaza",
    "alleys",
    "crossing",
    "cafe",
    "construction",
    "park",
    "corridor",
    "yards",
)
HELD_OUT_FAMILIES = ("market", "boulevard")
"""Layouts that training never draws."""

ANCHORS = 48
ANCHOR_CLEARANCE = 0.8
KERB_CLEARANCE = 0.5
PASSABLE_CLEARANCE = 0.45
"""Two anchors are connected when a way between them keeps this distance from everything, metres."""
STEP_M = 0.03
"""Jumps of the ground between neighbouring cells that a wheeled robot does not climb, metres."""
MOST_OBSTACLES = 40
"""Things that stand in the way of a block at a density of 1."""

_LITTER = (
    "bench",
    "bin",
    "bollard",
    "planter",
    "cone",
    "barrier",
    "box",
    "pallet",
    "sign",
    "table",
    "hydrant",
    "fence",
    "bicycle",
    "kiosk",
    "wheelie_bin",
    "shrub",
    "stone_bench",
    "post_bin",
    "blue_bin",
    "bags",
    "stone_bollard",
    "parking_meter",
    "a_board",
    "pot",
    "flower_box",
    "rock",
    "letterbox",
    "pillar_box",
    "news_box",
    "cabinet",
    "vending_machine",
    "bistro_table",
    "chair",
    "red_bicycle",
    "scooter",
    "moped",
    "barrel",
    "water_barrier",
    "cartons",
    "crates",
    "suitcase",
    "stroller",
    "shopping_cart",
    "wood_fence",
    "wheelbarrow",
    "cable_drum",
    "flag",
    "dumpster",
    "jersey",
    "trailer",
    "food_cart",
    "bricks",
)


def kerbs(height: np.ndarray, step: float = STEP_M) -> np.ndarray:
    """(R, C) bool: cells of a height map (R, C) on either side of a jump of more than `step`
    metres.
    """
    found = np.zeros(height.shape, dtype=bool)
    for axis in (0, 1):
        jump = np.abs(np.diff(height, axis=axis)) > step
        before, behind = [slice(None)] * 2, [slice(None)] * 2
        before[axis], behind[axis] = slice(None, -1), slice(1, None)
        found[tuple(before)] |= jump
        found[tuple(behind)] |= jump
    return found


def _splits(free: np.ndarray, outline: np.ndarray, origin: np.ndarray) -> bool:
    """Whether a thing with this outline would cut the ways around it into more pieces, in a window
    of the map.
    """
    low = np.floor((outline.min(0) - 1.4 - origin) / RESOLUTION).astype(int)
    high = np.ceil((outline.max(0) + 1.4 - origin) / RESOLUTION).astype(int)
    (c0, r0), (c1, r1) = np.maximum(low, 0), np.minimum(high, free.shape[::-1])
    window = free[r0:r1, c0:c1]
    x = origin[0] + (np.arange(c0, c1) + 0.5) * RESOLUTION
    y = origin[1] + (np.arange(r0, r1)[:, None] + 0.5) * RESOLUTION
    away = np.full(window.shape, -np.inf)
    for a, b in zip(outline, np.roll(outline, -1, 0)):
        normal = np.array([b[1] - a[1], a[0] - b[0]]) / np.hypot(*(b - a))
        away = np.maximum(away, (x - a[0]) * normal[0] + (y - a[1]) * normal[1])
    before, after = (
        window >= PASSABLE_CLEARANCE,
        (window >= PASSABLE_CLEARANCE) & (away >= PASSABLE_CLEARANCE + 0.1),
    )
    sizes = [np.bincount(np.asarray(label(m)[0]).ravel())[1:] for m in (before, after)]  # pyright: ignore[reportIndexIssue]
    return (sizes[1] > 20).sum() != (sizes[0] > 20).sum() if sizes[0].size else True


def _clearance(blocked: np.ndarray) -> np.ndarray:
    """(R, C) metres from each cell's centre to the nearest blocked cell's edge."""
    return Occupancy(blocked, np.zeros(2), RESOLUTION).distance()


def scatter(
    b: Builder,
    rng: np.random.Generator,
    kinds: Sequence[ObjectKind],
    wanted: int,
    height: np.ndarray,
) -> int:
    """Puts things on the lanes or beside them; never so that a way is cut. Returns how many found a
    place.
    """
    taken: list[tuple[float, float, float]] = []
    free = _clearance(b.grid | kerbs(height))
    rows, columns = free.shape
    for _ in range(14 * wanted):
        if len(taken) == wanted:
            break
        kind = kinds[int(rng.integers(len(kinds)))]
        x0, x1, along = b.lanes[rng.integers(len(b.lanes))]
        x, y = rng.uniform(x0 + 0.5, x1 - 0.5), along + rng.normal(0.0, 0.7)
        yaw = float(
            rng.uniform(-np.pi, np.pi) if rng.random() < 0.6 else rng.integers(4) * np.pi / 2
        )
        row, column = int((y - b.origin[1]) / RESOLUTION), int((x - b.origin[0]) / RESOLUTION)
        reach = float(np.linalg.norm(kind.footprint, axis=1).max())
        if not (0 <= row < rows and 0 <= column < columns) or free[row, column] < reach + 0.05:
            continue
        if any(np.hypot(x - a, y - c) < reach + r + 1.3 for a, c, r in taken):
            continue
        if _splits(free, place(kind.footprint, x, y, yaw), b.origin):
            continue
        taken.append((x, y, reach))
        b.dx = b.dy = 0.0
        b.put(kind, x, y, yaw)
    return len(taken)


def draw_anchors(
    occupancy: Occupancy, ground: Ground | None, rng: np.random.Generator, count: int = ANCHORS
) -> np.ndarray:
    """(K, 2) points to start from and to go to, spread out, in the largest region that a wheeled
    robot can cross.

    They are 0.8 m or more from anything, 0.5 m from kerbs, and not on a road or a lawn. The region
    is where the distance to anything and to jumps of the ground of more than 3 cm is at least 0.45
    m, connected over edges of cells. K is `count`, or less where there is less room.
    """
    steps = kerbs(ground.height) if ground is not None else np.zeros_like(occupancy.grid)
    walkable = _clearance(occupancy.grid | steps)
    regions = np.asarray(label(walkable >= PASSABLE_CLEARANCE)[0])  # pyright: ignore[reportIndexIssue]
    good = walkable >= KERB_CLEARANCE
    if ground is not None:
        walk = np.ones(256, dtype=bool)
        walk[[SEMANTIC_ID[name] for name in ("road", "crossing", "grass")]] = False
        good &= walk[ground.surface]
    sizes = np.bincount(regions[good], minlength=2)[1:]
    rows, columns = np.nonzero((regions == 1 + int(np.argmax(sizes))) & good)
    if len(rows) == 0:
        return np.zeros((0, 2))
    chosen = rng.choice(len(rows), size=min(40 * count, len(rows)), replace=False)
    cells = np.stack([columns, rows], 1)[chosen]
    # Only the rim of what is occupied can be nearest; outside the grid all is occupied.
    far = ANCHOR_CLEARANCE / occupancy.resolution + 0.5
    rim = occupancy.grid.copy()
    rim[1:-1, 1:-1] &= ~(
        occupancy.grid[:-2, 1:-1]
        & occupancy.grid[2:, 1:-1]
        & occupancy.grid[1:-1, :-2]
        & occupancy.grid[1:-1, 2:]
    )
    if rim.any():
        cells = cells[
            KDTree(np.argwhere(rim)[:, ::-1]).query(cells, distance_upper_bound=far)[0] >= far
        ]
    cells = cells[
        ((cells + 1 >= far) & (np.array(occupancy.grid.shape[::-1]) - cells >= far)).all(1)
    ]
    if len(cells) == 0:
        return np.zeros((0, 2))
    points = occupancy.origin + (cells[: 25 * count] + 0.5) * occupancy.resolution
    return points[farthest_first(points, min(count, len(points)))]


def _families(seed: int, family: str | None, blocks: tuple[int, int]) -> list[str]:
    """The family of each block; neighbours along a route differ where no family is asked for."""
    count = blocks[0] * blocks[1]
    if family is not None:
        return [family] * count
    chosen = [TRAIN_FAMILIES[seed % len(TRAIN_FAMILIES)]]
    rng = np.random.default_rng([seed, 35])
    for _ in range(count - 1):
        others = [f for f in TRAIN_FAMILIES if f not in chosen[-3:]]
        chosen.append(others[rng.integers(len(others))])
    return chosen


def _check(family, density, blocks, objects) -> None:
    if family is not None and family not in LAYOUTS:
        raise UserError(f"family {family!r} is unknown; choose from {', '.join(LAYOUTS)}")
    if density is not None and not 0.0 <= density <= 1.0:
        raise UserError(f"density {density}: give a number from 0 (nothing in the way) to 1")
    whole = isinstance(blocks, Sequence) and all(isinstance(n, (int, np.integer)) for n in blocks)
    if not whole or len(blocks) != 2 or not all(1 <= n <= 64 for n in blocks):
        raise UserError(f"blocks {blocks}: give two whole numbers from 1 to 64, such as (12, 1)")
    if objects is not None and len(objects) == 0:
        raise UserError(
            "objects: none given; leave it out for the packaged kinds, or set density=0"
        )


def build_scene(
    seed: int,
    family: str | None = None,
    density: float | None = None,
    obstacles: bool = True,
    objects: Sequence[ObjectKind] | None = None,
    blocks: tuple[int, int] = (1, 1),
) -> Scene:
    """Builds a scene of 36 x 20 m blocks; the same arguments give the same bytes.

    Args:
        seed: chooses layout, houses, weather and things; and the family where none is given.
        family: a name of `TRAIN_FAMILIES` or `HELD_OUT_FAMILIES`; None draws from the training
            families.
        density: how much stands in the way, 0 (nothing) to 1 (40 things a block); None draws 0.15
            to 0.4 from the seed.
        obstacles: whether things stand in the way at all; the rest of the scene does not change
            with it.
        objects: kinds that stand in the way instead of the packaged ones, see
            `envs/streets/object_files.py`.
        blocks: how many blocks are joined along x and y; (12, 1) is a route of 430 m.

    Returns:
        The scene; sidewalks are at z = 0.

    Raises:
        UserError: an argument is out of range.

    Warns:
        When a density or objects were given and not all things found a place: says how many did.
    """
    _check(family, density, blocks, objects)
    families = _families(seed, family, blocks)
    weather = draw_weather(np.random.default_rng([seed, 34]))
    b = Builder(np.random.default_rng([seed, 36]), weather, blocks)
    for k, name in enumerate(families):
        b.rng = np.random.default_rng([seed, 36, k])
        # Rows run to and fro, so that blocks which follow one another lie side by side.
        row, column = divmod(k, blocks[0])
        b.at(column if row % 2 == 0 else blocks[0] - 1 - column, row)
        LAYOUTS[name](b)
    ground = b.ground_map()
    if obstacles:
        rng = np.random.default_rng([seed, 38])
        share = float(rng.uniform(0.15, 0.4)) if density is None else density
        wanted = round(MOST_OBSTACLES * share) * len(families)
        placed = scatter(
            b, rng, objects or [b.kinds[name] for name in _LITTER], wanted, ground.height
        )
        if (density is not None or objects is not None) and placed < wanted:
            warnings.warn(
                f"seed {seed}, density {share:.2f}: {placed} of {wanted} things fit; the others "
                "were left out",
                stacklevel=2,
            )
    occupancy = b.occupancy()
    count = ANCHORS * len(families)
    anchors = draw_anchors(occupancy, ground, np.random.default_rng([seed, 37]), count)
    name = (
        f"{families[0]}-{seed}" if len(families) == 1 else f"route-{seed}-{blocks[0]}x{blocks[1]}"
    )
    return Scene(name, occupancy, Lighter(b).mesh(), anchors, ground=ground, sky=weather.sky)
