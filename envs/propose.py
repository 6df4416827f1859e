"""Proposes where to go in a scene: anchors that robots reach, and the benchmark's episodes between them.

Episode k has the same start and goal in all four settings, the same obstacles in `obstacle` and `both`, and the same people in
`pedestrian` and `both`, so settings can be compared pair by pair. Every episode has a route with 0.45 m of clearance.
"""

import numpy as np
from scipy.ndimage import label

from s2e.envs.astar import astar, path_length
from s2e.envs.drive import CLEARANCE_M
from s2e.envs.episodes import SETTINGS
from s2e.envs.fleet import STEP_CLASSES_M
from s2e.envs.objects import object_kinds, stamp
from s2e.envs.occupancy import Occupancy
from s2e.envs.people import draw_walkers
from s2e.envs.scene import Episode, Ground, Obstacle, Scene

KINDS = ("bench", "bin", "bollard", "cone", "barrier", "box", "planter", "table", "sign", "hydrant", "wheelie_bin", "bicycle")
EPISODES = 50
ROUTE_M = (8.0, 22.0)


def largest_region(free: np.ndarray) -> np.ndarray:
    """The largest connected part of a boolean grid."""
    regions = np.zeros(free.shape, np.int32)
    label(free, output=regions)
    return np.equal(regions, np.argmax(np.bincount(regions.ravel())[1:]) + 1)


def on_wheels(occupancy: Occupancy, ground: Ground | None) -> Occupancy:
    """What stands in the way of the robot that climbs least."""
    return occupancy if ground is None else occupancy.blocked_by(STEP_CLASSES_M[0], ground.height)


def free_anchors(occupancy: Occupancy, ground: Ground | None = None, count: int = 64) -> np.ndarray:
    """(count, 2) points 0.8 m clear of everything in the largest region a wheeled robot of 0.45 m reaches, each far from the others."""
    clear = on_wheels(occupancy, ground).distance()
    cells = np.argwhere(largest_region(clear > 0.45) & (clear > 0.85))
    points = occupancy.origin + (cells[:, ::-1] + 0.5) * occupancy.resolution
    chosen = [int(np.argmin(points[:, 0]))]
    nearest = np.full(len(points), np.inf)
    for _ in range(count - 1):
        nearest = np.minimum(nearest, np.linalg.norm(points - points[chosen[-1]], axis=1))
        chosen.append(int(np.argmax(nearest)))
    return points[chosen]


def route_of(scene: Scene, occupancy: Occupancy, start: np.ndarray, goal: np.ndarray) -> np.ndarray | None:
    """The safe route on wheels, if there is one."""
    occupancy = on_wheels(occupancy, scene.ground)
    return astar(occupancy, occupancy.distance(), start, goal, CLEARANCE_M)


def draw_obstacles(rng: np.random.Generator, scene: Scene, route: np.ndarray, kinds: list[str]):
    """Two to four things on or beside the route, with a way around left; returns them, the occupancy and the new route."""
    along = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(route, axis=0), axis=1))])
    occupancy, placed, best, wanted = scene.occupancy, [], route, int(rng.integers(2, 5))
    for _ in range(40):
        at = rng.uniform(2.5, along[-1] - 2.0)
        x, y = (np.interp(at, along, route[:, i]) + rng.normal(0, 0.35) for i in range(2))
        if any(np.hypot(x - o.x, y - o.y) < 1.8 for o in placed):
            continue
        o = Obstacle(kinds[rng.integers(len(kinds))], round(x, 3), round(y, 3), round(rng.uniform(-np.pi, np.pi), 3))
        trial = stamp(occupancy, o.kind, o.x, o.y, o.yaw)
        start, goal = route[0], route[-1]
        ends_clear = min(np.hypot(*(start - (o.x, o.y))), np.hypot(*(goal - (o.x, o.y)))) > 2.0
        around = route_of(scene, trial, start, goal) if ends_clear else None
        if around is None or path_length(around) > 1.5 * along[-1] + 2:
            continue
        occupancy, best = trial, around
        placed.append(o)
        if len(placed) == wanted:
            break
    return tuple(placed), best


def make_episodes(scene: Scene, seed: int) -> list[Episode]:
    """Four settings of `EPISODES` episodes each."""
    kinds = [k for k in KINDS if k in object_kinds()]
    rng = np.random.default_rng(seed)
    by_setting: dict[str, list[Episode]] = {s: [] for s in SETTINGS}
    while len(by_setting["empty"]) < EPISODES:
        anchors = scene.free_anchors
        start, goal = anchors[rng.choice(len(anchors), 2, replace=False)]
        route = route_of(scene, scene.occupancy, start, goal)
        if route is None or not ROUTE_M[0] <= path_length(route) <= ROUTE_M[1]:
            continue
        obstacles, around = draw_obstacles(rng, scene, route, kinds)
        if len(obstacles) < 2:
            continue
        walkers = draw_walkers(rng, anchors, start, goal, int(rng.integers(3, 7)))
        first = route[min(len(route) - 1, 1)] - route[0]
        yaw = float(np.arctan2(first[1], first[0]) + rng.uniform(-0.6, 0.6))
        k = len(by_setting["empty"])
        for setting in SETTINGS:
            blocked = setting in ("obstacle", "both")
            length = path_length(around if blocked else route)
            by_setting[setting].append(
                Episode(
                    id=f"{setting}-{k:03d}",
                    setting=setting,
                    start=(round(float(start[0]), 3), round(float(start[1]), 3), round(yaw, 3)),
                    goal=(round(float(goal[0]), 3), round(float(goal[1]), 3)),
                    route_m=round(length, 3),
                    time_limit_s=round(8.0 + 1.4 * length, 1),
                    seed=int(rng.integers(1 << 31)),
                    obstacles=obstacles if blocked else (),
                    walkers=walkers if setting in ("pedestrian", "both") else (),
                )
            )
    return [e for setting in SETTINGS for e in by_setting[setting]]
