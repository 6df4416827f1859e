"""Ways on foot: a graph over a scene's free points with all its shortest paths, packed for many
scenes.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numba
import numpy as np

from s2e.envs.geometry.astar import astar
from s2e.envs.geometry.occupancy import DistanceFields, Occupancy
from s2e.envs.people.orca import INNER

MOST_ANCHORS = 64
"""More free points than these are thinned out."""
CLEARANCE_M = 0.35
"""An edge keeps this far from everything."""
BRIDGE_CORNERS = 16
"""How many of a roadmap's anchors are kept free for corners where its parts have to be joined."""
MOST_BRIDGES = 8
STRIDE_M = 0.05  # sight lines advance at least this far


@numba.njit(**INNER)
def ground_of(start, shape, frame, scene):
    """One scene's place in the packed fields, as plain numbers for `room_at`."""
    return (
        start[scene],
        shape[scene, 0],
        shape[scene, 1],
        frame[scene, 0],
        frame[scene, 1],
        1.0 / frame[scene, 2],
    )


@numba.njit(**INNER)
def room_at(values, ground, x, y):
    """Metres from (x, y) to the nearest obstacle of one scene: `collision.field_at`, quicker away
    from the grid's edge.
    """
    first, rows, cols = ground[0], ground[1], ground[2]
    u, v = (x - ground[3]) * ground[5] - 0.5, (y - ground[4]) * ground[5] - 0.5
    if not (u > -1.0 and v > -1.0 and u < cols and v < rows):
        return 0.0
    c, r = math.floor(u), math.floor(v)
    fu, fv, k = u - c, v - r, first + r * cols + c
    if c >= 0 and r >= 0 and c < cols - 1 and r < rows - 1:
        # Floats before anything is subtracted: the fields are unsigned millimetres.
        near = (1.0 - fu) * values[k] + fu * values[k + 1]
        far = (1.0 - fu) * values[k + cols] + fu * values[k + cols + 1]
        return 0.001 * ((1.0 - fv) * near + fv * far)
    total = 0.0  # what is outside counts as 0
    if r >= 0:
        if c >= 0:
            total += (1.0 - fu) * (1.0 - fv) * values[k]
        if c < cols - 1:
            total += fu * (1.0 - fv) * values[k + 1]
    if r < rows - 1:
        if c >= 0:
            total += (1.0 - fu) * fv * values[k + cols]
        if c < cols - 1:
            total += fu * fv * values[k + cols + 1]
    return 0.001 * total


@numba.njit(**INNER)
def sees(values, ground, ax, ay, bx, by, clearance):
    """Whether the straight way from a to b keeps `clearance`, or as much of it as both ends
    have.
    """
    here = min(room_at(values, ground, ax, ay), room_at(values, ground, bx, by))
    clearance = min(clearance, max(here - 0.02, 0.05))
    far = math.sqrt((bx - ax) ** 2 + (by - ay) ** 2)
    done = 0.0
    while done < far:
        share = done / far
        room = room_at(values, ground, ax + share * (bx - ax), ay + share * (by - ay))
        if room < clearance:
            return False
        # Nothing nearer than room - clearance can come into the way, but the field is interpolated.
        done += max(0.9 * (room - clearance), STRIDE_M)
    return True


@numba.njit(cache=True, error_model="numpy")
def _connect(values, start, shape, frame, scene, anchors, clearance, length, hop):
    """Straight edges, then all shortest paths (Floyd 1962, Warshall 1962).

    Args:
        values, start, shape, frame, scene: the distance field (`DistanceFields`) of one scene.
        anchors: (K, 2). clearance: of edges, metres. length, hop: (K, K) of the paths; written.
    """
    count, ground = len(anchors), ground_of(start, shape, frame, scene)
    for i in range(count):
        length[i, i], hop[i, i] = 0.0, i
        for j in range(i + 1, count):
            ax, ay = anchors[i, 0], anchors[i, 1]
            bx, by = anchors[j, 0], anchors[j, 1]
            if sees(values, ground, ax, ay, bx, by, clearance):
                length[i, j] = length[j, i] = math.sqrt((ax - bx) ** 2 + (ay - by) ** 2)
                hop[i, j], hop[j, i] = j, i
    for k in range(count):
        for i in range(count):
            through = length[i, k]
            if through == np.inf:
                continue
            for j in range(count):
                if through + length[k, j] < length[i, j]:
                    length[i, j] = through + length[k, j]
                    hop[i, j] = hop[i, k]


@numba.njit(**INNER)
def plan_way(values, ground, anchors, count, length, x, y, goal_x, goal_y, clearance, beyond):
    """The first and the last anchor of the shortest way from (x, y) to a goal.

    Args:
        values, ground: the distance field; see `ground_of`.
        anchors, count, length: one scene's roadmap.
        x, y, goal_x, goal_y: metres; both ends join the anchors that they see.
        clearance: for what they see, metres.
        beyond: (K,) scratch, overwritten.

    Returns:
        Anchors' numbers; -1, -1 where the goal itself is in sight, or out of reach.
    """
    if sees(values, ground, x, y, goal_x, goal_y, clearance):
        return -1, -1
    for k in range(count):
        beyond[k] = np.inf
        if sees(values, ground, anchors[k, 0], anchors[k, 1], goal_x, goal_y, clearance):
            beyond[k] = math.sqrt((goal_x - anchors[k, 0]) ** 2 + (goal_y - anchors[k, 1]) ** 2)
    best, first, last = np.inf, -1, -1
    for i in range(count):
        here = math.sqrt((x - anchors[i, 0]) ** 2 + (y - anchors[i, 1]) ** 2)
        if here >= best:
            continue
        nearest, end = np.inf, -1
        for k in range(count):
            if beyond[k] + length[i, k] < nearest:
                nearest, end = beyond[k] + length[i, k], k
        if here + nearest < best and sees(
            values, ground, x, y, anchors[i, 0], anchors[i, 1], clearance
        ):
            best, first, last = here + nearest, i, end
    return first, last


@dataclass(frozen=True)
class Roadmap:
    """The ways between one scene's anchors.

    Attributes:
        anchors: (K, 2) float64, metres.
        next_hop: (K, K) int8, the anchor after i on the way to j; -1 where there is none, i itself
            where i = j.
        length: (K, K) float32, metres; infinite where there is no way.
    """

    anchors: np.ndarray
    next_hop: np.ndarray
    length: np.ndarray


def build_roadmap(fields: DistanceFields, field_id: int, anchors: np.ndarray) -> Roadmap:
    """Joins anchors by straight edges that keep `CLEARANCE_M` from everything, and finds all
    shortest paths.

    Where that leaves parts that do not see one another, the corners of the shortest way between
    them become anchors as well.

    Args:
        fields: packed distance fields of the plain occupancy.
        field_id: which of them is this scene's.
        anchors: (K, 2) metres; of more than `MOST_ANCHORS` every so many-th is taken; none is
            allowed.
    """
    anchors = np.ascontiguousarray(np.reshape(anchors, (-1, 2)), dtype=np.float64)
    if len(anchors) > MOST_ANCHORS:
        anchors = anchors[np.linspace(0, len(anchors) - 1, MOST_ANCHORS).astype(np.int64)]
    roadmap = _edges(fields, field_id, anchors)
    for _ in range(MOST_BRIDGES):
        sizes = np.isfinite(roadmap.length).sum(0)
        if len(anchors) == 0 or sizes.max() == len(anchors):
            break
        inside = np.isfinite(roadmap.length[sizes.argmax()])
        if len(anchors) > MOST_ANCHORS - BRIDGE_CORNERS:  # makes room for corners
            anchors = anchors[: MOST_ANCHORS - BRIDGE_CORNERS]
            roadmap = _edges(fields, field_id, anchors)
            continue
        corners = _bridge(fields, field_id, anchors, inside)
        anchors = np.concatenate([anchors, corners])[:MOST_ANCHORS]
        if len(corners) == 0:
            break
        roadmap = _edges(fields, field_id, anchors)
    return roadmap


def _edges(fields: DistanceFields, field_id: int, anchors: np.ndarray) -> Roadmap:
    count = len(anchors)
    length = np.full((count, count), np.inf, dtype=np.float32)
    hop = np.full((count, count), -1, dtype=np.int8)
    _connect(
        fields.values,
        fields.start,
        fields.shape,
        fields.frame,
        int(field_id),
        anchors,
        CLEARANCE_M,
        length,
        hop,
    )
    return Roadmap(anchors, hop, length)


def _bridge(
    fields: DistanceFields, field_id: int, anchors: np.ndarray, inside: np.ndarray
) -> np.ndarray:
    """(K, 2) corners of the shortest way from the largest part to the anchor outside it that is
    nearest to it.
    """
    apart = np.linalg.norm(anchors[~inside, None] - anchors[None, inside], axis=-1)
    k, j = np.unravel_index(apart.argmin(), apart.shape)
    (rows, columns), (x, y, resolution) = fields.shape[field_id], fields.frame[field_id]
    start = fields.start[field_id]
    distance = 0.001 * fields.values[start : start + rows * columns].reshape(rows, columns)
    grid = Occupancy(distance <= 0.0, np.array([x, y]), resolution)
    way = astar(
        grid, distance, anchors[~inside][k], anchors[inside][j], CLEARANCE_M + resolution / 2
    )
    return np.zeros((0, 2)) if way is None else way[1:-1]


@dataclass(frozen=True)
class Roadmaps:
    """The roadmaps of many scenes, packed for numba; K is `MOST_ANCHORS`.

    Attributes:
        anchors: (S, K, 2) float64.
        count: (S,) int64, how many of them each scene has.
        next_hop: (S, K, K) int8.
        length: (S, K, K) float32.
    """

    anchors: np.ndarray
    count: np.ndarray
    next_hop: np.ndarray
    length: np.ndarray

    @classmethod
    def empty(cls, scenes: int) -> "Roadmaps":
        """Scenes without anchors: everybody walks straight."""
        k = MOST_ANCHORS
        return cls(
            anchors=np.zeros((scenes, k, 2)),
            count=np.zeros(scenes, dtype=np.int64),
            next_hop=np.full((scenes, k, k), -1, dtype=np.int8),
            length=np.full((scenes, k, k), np.inf, dtype=np.float32),
        )

    @classmethod
    def pack(cls, roadmaps: Sequence[Roadmap]) -> "Roadmaps":
        """Packs roadmaps; scene s of the pack is `roadmaps[s]`."""
        packed = cls.empty(len(roadmaps))
        for slot, roadmap in enumerate(roadmaps):
            packed.replace(slot, roadmap)
        return packed

    def replace(self, slot: int, roadmap: Roadmap) -> None:
        """Puts another scene's roadmap into a slot, in place; who walks there has to plan anew."""
        k = len(roadmap.anchors)
        self.count[slot] = k
        self.anchors[slot, :k] = roadmap.anchors
        self.next_hop[slot], self.length[slot] = -1, np.inf
        self.next_hop[slot, :k, :k], self.length[slot, :k, :k] = roadmap.next_hop, roadmap.length
