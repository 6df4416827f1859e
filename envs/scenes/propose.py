"""Proposes where to go in a scene: anchors that robots reach, and the benchmark's episodes between
them.

Episode k has the same start and goal in all four settings, the same obstacles in `obstacle` and
`both`, and the same people in `pedestrian` and `both`, so settings can be compared pair by pair.
Every episode has a route with 0.45 m of clearance.
"""

import dataclasses
import math

import numpy as np
from scipy.ndimage import distance_transform_edt, label

from s2e.core.errors import UserError, require
from s2e.envs.geometry.astar import ROUTE_CLEARANCE_M, astar, path_length
from s2e.envs.geometry.occupancy import Occupancy
from s2e.envs.geometry.scene import GOAL_RADIUS_M, Episode, Ground, Obstacle, Scene, Walker
from s2e.envs.geometry.spread import farthest_first
from s2e.envs.people.people import CLEAR_M, DENSITY_M2, SHARES, draw_walkers
from s2e.envs.robots.fleet import STEP_CLASSES_M
from s2e.envs.scenes.episodes import SETTINGS
from s2e.envs.streets.objects import footprint, object_kinds, stamp

KINDS = (
    "bench",
    "bin",
    "bollard",
    "cone",
    "barrier",
    "box",
    "planter",
    "table",
    "sign",
    "hydrant",
    "wheelie_bin",
    "bicycle",
)
EPISODES = 50
ROUTE_M = (8.0, 22.0)
SHORT_M = 5.0
"""Routes from so long on have things in their way that keep 2 m from both ends; on shorter ones
these stand nearer."""
SHORTEST_M = 2.0
"""No route may be shorter: a goal counts as reached from 1 m away, and before that something stands
in the way."""
SMALL_M = 0.35
"""What stands in the way of such a short route reaches no further from its middle."""
APART_M = 0.4
"""Anchors nearer to one another are one."""
NARROW_M = 0.34
"""Clearance that the expert is content with where there is no wider way: what every robot's discs
need, doors of flats have it."""
_TRIES = (
    300,
    40,
    # at first, and for every episode more: half of all pairs fit in the suite's scenes, one in ten
    # in a yard
)


def largest_region(free: np.ndarray) -> np.ndarray:
    """The largest connected part (4 neighbours) of a boolean grid; nothing where all of it is
    false.
    """
    regions = np.zeros(free.shape, np.int32)
    if not label(free, output=regions):
        return np.zeros(free.shape, dtype=bool)
    return np.equal(regions, np.argmax(np.bincount(regions.ravel())[1:]) + 1)


def on_wheels(occupancy: Occupancy, ground: Ground | None) -> Occupancy:
    """What stands in the way of the robot that climbs least."""
    return occupancy if ground is None else occupancy.blocked_by(STEP_CLASSES_M[0], ground.height)


def free_anchors(
    occupancy: Occupancy,
    ground: Ground | None = None,
    count: int = 64,
    narrow: bool = False,
    room_m: float | None = None,
) -> np.ndarray:
    """Points 0.8 m clear of everything in the largest region a wheeled robot of 0.45 m reaches,
    each far from the others.

    Args:
        occupancy, ground: of the place.
        count: how many.
        narrow: go through doors too, ways of `NARROW_M`, and stand 0.5 m clear: rooms and corridors
            count, not halls alone.
        room_m: how clear they stand, if not that.

    Returns:
        (K, 2) metres, K = `count`, or fewer where a place has no more room for points `APART_M`
        apart.

    Raises:
        UserError: nowhere is so much room.
    """
    clear = on_wheels(occupancy, ground).distance()
    room = (0.5 if narrow else 0.8) if room_m is None else room_m
    cells = np.argwhere(reachable(clear, narrow) & (clear > room + 0.05))
    require(
        len(cells) > 0,
        f"nowhere in the place is {room:g} m of room on level ground around a robot; no start or "
        "goal fits",
    )
    points = occupancy.origin + (cells[:, ::-1] + 0.5) * occupancy.resolution
    return points[farthest_first(points, count, int(np.argmin(points[:, 0])), APART_M)]


def reachable(clear: np.ndarray, narrow: bool) -> np.ndarray:
    """(R, C) bool, the largest region that is clear enough to drive in."""
    return largest_region(clear > (NARROW_M if narrow else ROUTE_CLEARANCE_M))


def covered(scene: Scene, episodes: list[Episode], within_m: float = 2.0) -> tuple[float, float]:
    """Share of the ground that wheels reach, through doors too, that lies near a start or goal, and
    its m2.
    """
    occupancy = on_wheels(scene.occupancy, scene.ground)
    ground = reachable(occupancy.distance(), narrow=True)
    away = np.ones(ground.shape, dtype=bool)
    points = np.array([p for e in episodes for p in (e.start[:2], e.goal)]).reshape(-1, 2)
    rows, cols = occupancy.cell_of(points).T
    away[rows, cols] = False
    near = np.asarray(distance_transform_edt(away)) * occupancy.resolution <= within_m
    return float((ground & near).sum() / max(ground.sum(), 1)), float(
        ground.sum()
    ) * occupancy.resolution**2


def route_of(
    scene: Scene,
    occupancy: Occupancy,
    start: np.ndarray,
    goal: np.ndarray,
    narrow: bool = False,
    before: np.ndarray | None = None,
) -> np.ndarray | None:
    """The safe route on wheels, if there is one.

    Args:
        scene: whose ground it is.
        occupancy: what stands in the way.
        start, goal: (2,) metres.
        narrow: go through doors where there is no wider way.
        before: (R, C) metres of room without what was put in the way, which must leave room for a
            wide way where it stands.
    """
    occupancy = on_wheels(occupancy, scene.ground)
    distance = occupancy.distance()
    route = astar(occupancy, distance, start, goal, ROUTE_CLEARANCE_M)
    if route is None and narrow:
        if before is not None:
            distance = np.where(
                (distance < before - 1e-6) & (distance <= ROUTE_CLEARANCE_M), 0.0, distance
            )
        route = astar(occupancy, distance, start, goal, NARROW_M)
    return route


def draw_obstacles(
    rng: np.random.Generator,
    scene: Scene,
    route: np.ndarray,
    kinds: list[str],
    narrow: bool = False,
):
    """Two to four things on or beside the route, with a way around left; returns them and the new
    route.
    """
    along = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(route, axis=0), axis=1))])
    # metres along it from its start and its goal, and from both as the crow flies
    first, last, apart = 2.5, 2.0, 2.0
    if along[-1] < SHORT_M:
        first, last, apart = 0.4 * along[-1], max(0.4 * along[-1], GOAL_RADIUS_M), 0.4 * along[-1]
        kinds = [k for k in kinds if np.linalg.norm(footprint(k), axis=1).max() < SMALL_M]
    scene = nearby(scene, (route[0] + route[-1]) / 2, (1.5 * along[-1] + 2) / 2 + 3.0)
    before = on_wheels(scene.occupancy, scene.ground).distance() if narrow else None
    occupancy, placed, best, wanted = scene.occupancy, [], route, int(rng.integers(2, 5))
    for _ in range(40):
        at = rng.uniform(first, along[-1] - last)
        x, y = (np.interp(at, along, route[:, i]) + rng.normal(0, 0.35) for i in range(2))
        if any(np.hypot(x - o.x, y - o.y) < 1.8 for o in placed):
            continue
        o = Obstacle(
            kinds[rng.integers(len(kinds))],
            round(x, 3),
            round(y, 3),
            round(rng.uniform(-np.pi, np.pi), 3),
        )
        trial = stamp(occupancy, o.kind, o.x, o.y, o.yaw)
        start, goal = route[0], route[-1]
        ends_clear = min(np.hypot(*(start - (o.x, o.y))), np.hypot(*(goal - (o.x, o.y)))) > apart
        around = route_of(scene, trial, start, goal, narrow, before) if ends_clear else None
        if around is None or path_length(around) > 1.5 * along[-1] + 2:
            continue
        occupancy, best = trial, around
        placed.append(o)
        if len(placed) == wanted:
            break
    return tuple(placed), best


def nearby(scene: Scene, middle: np.ndarray, reach_m: float) -> Scene:
    """The scene's map within so many metres of a point: no way longer than twice that between its
    foci leaves it.
    """
    occupancy, shape = scene.occupancy, scene.occupancy.grid.shape
    low, high = (occupancy.cell_of(middle + sign * reach_m) for sign in (-1, 1))
    (r0, c0), (r1, c1) = np.clip(low, 0, shape), np.clip(high + 1, 0, shape)
    if (r1 - r0, c1 - c0) == shape:
        return scene
    part, ground = (slice(r0, r1), slice(c0, c1)), scene.ground
    origin = occupancy.origin + np.array([c0, r0]) * occupancy.resolution
    return dataclasses.replace(
        scene,
        occupancy=Occupancy(occupancy.grid[part], origin, occupancy.resolution),
        ground=None if ground is None else Ground(ground.height[part], ground.surface[part]),
    )


def make_episodes(
    scene: Scene,
    seed: int,
    count: int = EPISODES,
    route_m: tuple[float, float] = ROUTE_M,
    at_least: int | None = None,
    narrow: bool = False,
) -> list[Episode]:
    """Four settings of `count` episodes each, between the scene's anchors.

    Args:
        scene: where; its `free_anchors` are the starts and goals.
        seed: decides everything.
        count: episodes of each setting.
        route_m: shortest and longest route, metres.
        at_least: how many of each setting are enough where more are not found in a bounded number
            of tries; None is all of them.
        narrow: through doors too, as in `free_anchors`, starting in turn from all anchors rather
            than from any, and with no more people than small places hold.

    Returns:
        Episodes, `empty` first, then `obstacle`, `pedestrian` and `both`.

    Raises:
        UserError: count or route_m make no sense, the scene has too few anchors, or too few routes
            fit.
    """
    near, far = route_m
    require(count >= 1, f"{count} episodes asked for; at least 1")
    require(
        math.isfinite(far) and SHORTEST_M <= near <= far,
        f"routes of {near:g} to {far:g} m: give two lengths of {SHORTEST_M:g} m or more",
    )
    anchors = scene.free_anchors
    require(
        len(anchors) >= 2,
        f"scene {scene.name!r}: {len(anchors)} anchors; an episode needs two, a start and a goal",
    )
    kinds = [k for k in KINDS if k in object_kinds()]
    rng = np.random.default_rng(seed)
    occupancy = on_wheels(scene.occupancy, scene.ground)
    distance = occupancy.distance()
    by_setting: dict[str, list[Episode]] = {s: [] for s in SETTINGS}
    visits = np.zeros(len(anchors))
    crowd = max(
        1, int(DENSITY_M2[1] * float(reachable(distance, narrow).sum()) * occupancy.resolution**2)
    )
    for _ in range(_TRIES[0] + _TRIES[1] * count):
        if len(by_setting["empty"]) == count:
            break
        pair = rng.choice(len(anchors), 2, replace=False)
        if narrow:
            first = int(np.argmin(visits + rng.random(len(anchors))))
            visits[first] += 0.25  # a start that leads nowhere is not tried for ever
            pair[:] = first, (pair[1] if pair[1] != first else pair[0])
        start, goal = anchors[pair]
        # at the goal, if behind a wall; no route is shorter
        if not GOAL_RADIUS_M <= np.linalg.norm(goal - start) <= far:
            continue
        route = astar(occupancy, distance, start, goal, ROUTE_CLEARANCE_M)
        if route is None and narrow:
            route = astar(occupancy, distance, start, goal, NARROW_M)
        if route is None or not near <= path_length(route) <= far:
            continue
        obstacles, around = draw_obstacles(rng, scene, route, kinds, narrow)
        if len(obstacles) < (2 if path_length(route) >= ROUTE_M[0] else 1):
            continue
        visits[pair] += 1.0
        people, length = int(rng.integers(3, 7)), path_length(route)
        manners, clear_m = SHARES, CLEAR_M
        if length < SHORT_M:  # whoever stands in a small room stands in its only way
            manners, clear_m = (
                {name: share for name, share in SHARES.items() if name != "stand"},
                0.6 * length,
            )
        walkers = draw_walkers(
            rng, anchors, start, goal, min(people, crowd) if narrow else people, manners, clear_m
        )
        first = route[min(len(route) - 1, 1)] - route[0]
        yaw = float(np.arctan2(first[1], first[0]) + rng.uniform(-0.6, 0.6))
        lengths = path_length(route), path_length(around)
        for episode in _settings(
            rng, len(by_setting["empty"]), (*start, yaw), (*goal,), lengths, obstacles, walkers
        ):
            by_setting[episode.setting].append(episode)
    found = len(by_setting["empty"])
    if found < (count if at_least is None else at_least):
        remedy = (
            "ask for fewer or shorter ones" if at_least is None else "check --up and the scale"
        )  # only the import bargains
        raise UserError(
            f"scene {scene.name!r}: {found} of {count} episodes found with routes of {near:g} to "
            f"{far:g} m and room for obstacles; "
            f"the place is too small or too narrow for them: {remedy}"
        )
    return [e for setting in SETTINGS for e in by_setting[setting]]


def _settings(
    rng: np.random.Generator,
    k: int,
    start: tuple[float, ...],
    goal: tuple[float, ...],
    lengths: tuple[float, float],
    obstacles: tuple[Obstacle, ...],
    walkers: tuple[Walker, ...],
) -> list[Episode]:
    """Episode k in every setting; `lengths` are those of the free route and of the one around the
    obstacles.
    """
    made = []
    for setting in SETTINGS:
        blocked = setting in ("obstacle", "both")
        made.append(
            Episode(
                id=f"{setting}-{k:03d}",
                setting=setting,
                start=tuple(round(float(v), 3) for v in start),  # pyright: ignore[reportArgumentType]
                goal=tuple(round(float(v), 3) for v in goal),  # pyright: ignore[reportArgumentType]
                route_m=round(lengths[blocked], 3),
                time_limit_s=round(8.0 + 1.4 * lengths[blocked], 1),
                seed=int(rng.integers(1 << 31)),
                obstacles=obstacles if blocked else (),
                walkers=walkers if setting in ("pedestrian", "both") else (),
            )
        )
    return made
