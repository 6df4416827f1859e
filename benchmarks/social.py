"""How the suite `social` is judged: what was right in an episode (`Truth`), and what was done.

The formulas are plain functions of what was sampled after every action: the robot's poses
(T, 3) and the people's positions (T, P, 2), `step_s` apart, in metres; docs/social.md says where
each comes from. Left and right change places with the world: a mirrored episode is judged the same.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from s2e.envs.geometry.scene import Episode, Walker
from s2e.envs.people.crowd import ARRIVED_M, PERSON_RADIUS

CLOSE_M = 0.5
"""Room between the robot's edge and a person's below which it is in their personal space: the
threshold of Space Compliance in Francis et al. 2023 (arXiv 2306.16740), near Hall's (1966) intimate
distance of 0.45 m, which HuNavSim counts by as well."""
AHEAD_S = 2.0
"""Who is through so long before a person comes has taken nothing from them: the post-encroachment
time of Allen, Shin and Cooper (1978)."""
PASSING_M = 3.0
"""Whoever is farther away is not being passed."""
SET_OFF_M = 0.1
"""Who is so far from their start has set off."""

SHARES = ("right", "yielded", "side", "detour")
"""Metrics that are true, false, or None where nothing was to be judged; the first is always
judged."""
SECONDS = ("close_s", "group_s", "delay_s")
"""Metrics in seconds, None where nothing was to be judged."""


@dataclass
class Watched:
    """What an episode leaves for its judge while it runs, one sample an action.

    Attributes:
        step_s: seconds from sample to sample. discs: (D,) x of the robot's discs, in its frame.
        radius: of the discs. poses: of the robot, (3,) each. people: everybody's positions, (P, 2)
            each.
    """

    step_s: float
    discs: np.ndarray
    radius: float
    poses: list[np.ndarray] = field(default_factory=list)
    people: list[np.ndarray] = field(default_factory=list)

    def add(self, pose: np.ndarray, people: np.ndarray) -> None:
        """Takes a sample."""
        self.poses.append(pose.copy())
        self.people.append(people.copy())


def judge(episode: Episode, watched: Watched) -> dict[str, Any]:
    """What a record says of an episode of the suite: `kind`, and `SECONDS` and `SHARES` but for
    `right`, see `was_right`.
    """
    truth, step_s = episode.truth, watched.step_s
    poses, people = np.array(watched.poses), np.array(watched.people)[:, : len(episode.walkers)]
    discs, way = disc_centres(poses, watched.discs), poses[:, :2]
    yielded = None
    if truth.yields == "robot":
        strict = episode.rule == "wait"
        yielded = has_yielded(way, people[:, list(truth.whom)], truth.zone, step_s, strict)
    axis = np.array(episode.goal) - episode.start[:2]
    side = passed_on(way, people[:, list(truth.whom)], axis, truth.side) if truth.side else None
    return {
        "kind": truth.kind,
        "yielded": yielded,
        "side": side,
        "detour": crossed_in_order(way, truth.gates) if truth.gates else None,
        "close_s": seconds(gaps(discs, watched.radius, people) < CLOSE_M, step_s)
        if people.size
        else None,
        "group_s": seconds(in_group(discs, watched.radius, people, truth.groups), step_s)
        if truth.groups
        else None,
        "delay_s": delay(people, episode.walkers, truth.alone_s, step_s),
    }


def was_right(judged: dict[str, Any], success: bool, contacts: Sequence[Sequence[Any]]) -> bool:
    """Whether an episode went as it should: the goal was reached, no person touched, no group
    entered, and what was to be judged of `yielded`, `side` and `detour` was as it is right.

    Args:
        judged: from `judge`. success: whether the goal was reached. contacts: (time, kind) of each.
    """
    kept = all(judged[name] is not False for name in SHARES[1:]) and not judged["group_s"]
    return bool(success and kept and all(kind != "person" for _, kind in contacts))


def seconds(steps: np.ndarray, step_s: float) -> float:
    """How long something held: (T,) bool, the sample of the start aside."""
    return round(float(np.count_nonzero(steps[1:]) * step_s), 2)


def disc_centres(poses: np.ndarray, discs: np.ndarray) -> np.ndarray:
    """(T, D, 2) where the robot's discs are."""
    heading = np.stack([np.cos(poses[:, 2]), np.sin(poses[:, 2])], -1)
    return poses[:, None, :2] + discs[np.isfinite(discs)][None, :, None] * heading[:, None]


def gaps(discs: np.ndarray, radius: float, people: np.ndarray) -> np.ndarray:
    """(T,) metres between the robot's edge and the nearest person's."""
    apart = np.linalg.norm(discs[:, :, None] - people[:, None], axis=-1)
    return apart.min(axis=(1, 2)) - radius - PERSON_RADIUS


def set_off(track: np.ndarray) -> int | None:
    """The sample at which somebody (T, 2) was last at their start; None if they never left it."""
    away = np.flatnonzero(np.linalg.norm(track - track[0], axis=1) > SET_OFF_M)
    return int(away[0]) - 1 if len(away) else None


def stay(track: np.ndarray, zone: Sequence[float]) -> tuple[int, int, bool]:
    """First and last sample of (T, 2) inside a disc x, y, radius, and true; the nearest sample
    twice, and false, where it is never inside.
    """
    away = np.linalg.norm(track - np.asarray(zone[:2]), axis=1)
    inside = np.flatnonzero(away < zone[2])
    if len(inside):
        return int(inside[0]), int(inside[-1]), True
    return int(away.argmin()), int(away.argmin()), False


def has_yielded(
    robot: np.ndarray,
    people: np.ndarray,
    zone: Sequence[float],
    step_s: float,
    strict: bool = False,
) -> bool | None:
    """Whether a robot (T, 2) let people (T, P, 2) through where their ways meet, `zone`.

    It has where, of everybody who had set off before it came in, each was out before, or came
    `AHEAD_S` after it was out; `strict` lets only the first count. It also has where it stayed out.

    Returns:
        None where nobody had set off: then it owed nobody anything.
    """
    robot_in, robot_out, inside = stay(robot, zone)
    due = []
    for p in range(people.shape[1]):
        began = set_off(people[:, p])
        if began is None or (inside and began > robot_in):
            continue
        person_in, person_out, _ = stay(people[:, p], zone)
        ahead = not strict and (person_in - robot_out) * step_s >= AHEAD_S
        due.append(not inside or person_out <= robot_in or ahead)
    return all(due) if due else None


def passed_on(robot: np.ndarray, people: np.ndarray, axis: np.ndarray, side: str) -> bool | None:
    """Whether a robot (T, 2) that goes along `axis` (2,) passed everybody (T, P, 2) on a side.

    Somebody is passed when they are ahead of it, along the axis, at one sample and no more at the
    next, within `PASSING_M`; the robot passes on the right when they are on its left then. This
    holds for those who come and for those it overtakes.

    Returns:
        None where nobody was passed.
    """
    ahead_of, left_of = (axis / np.linalg.norm(axis)), np.array([-axis[1], axis[0]])
    offset = people - robot[:, None]
    ahead, left = offset @ ahead_of, offset @ (left_of / np.linalg.norm(axis))
    found = []
    for p in range(people.shape[1]):
        passed = (ahead[:-1, p] > 0) & (ahead[1:, p] <= 0)
        passed &= np.linalg.norm(offset[1:, p], axis=-1) < PASSING_M
        for k in np.flatnonzero(passed)[:1]:
            share = ahead[k, p] / (ahead[k, p] - ahead[k + 1, p])
            at = (1 - share) * left[k, p] + share * left[k + 1, p]
            found.append(at > 0 if side == "right" else at < 0)
    return bool(all(found)) if found else None


def in_group(
    discs: np.ndarray, radius: float, people: np.ndarray, groups: Sequence[Sequence[int]]
) -> np.ndarray:
    """(T,) whether the robot's body reaches into what a group shares: the convex hull of its
    members' middles, for those who stand around it the o-space of Kendon (1990), for a queue what
    lies between its people.
    """
    found = np.zeros(len(discs), dtype=bool)
    for group in groups:
        members = people[:, list(group)]
        for a, b in itertools.combinations(range(len(group)), 2):
            away = from_segment(discs, members[:, None, a], members[:, None, b])
            found |= (away < radius).any(axis=1)
        for a, b, c in itertools.combinations(range(len(group)), 3):
            corners = members[:, None, a], members[:, None, b], members[:, None, c]
            found |= in_triangle(discs, *corners).any(axis=1)
    return found


def from_segment(points: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(...) metres from points (..., 2) to segments from a to b (..., 2)."""
    along, far = b - a, np.maximum(((b - a) ** 2).sum(-1), 1e-12)
    share = np.clip(((points - a) * along).sum(-1) / far, 0.0, 1.0)
    return np.linalg.norm(points - a - share[..., None] * along, axis=-1)


def _turn(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    """Positive where c lies to the left of the way from a to b."""
    return (b - a)[..., 0] * (c - a)[..., 1] - (b - a)[..., 1] * (c - a)[..., 0]


def in_triangle(p: np.ndarray, a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    """(...) whether points (..., 2) lie in triangles."""
    turns = np.stack([_turn(a, b, p), _turn(b, c, p), _turn(c, a, p)])
    return np.abs(np.sign(turns).sum(axis=0)) == 3


def crosses_line(path: np.ndarray, line: Sequence[float]) -> np.ndarray:
    """(T - 1,) whether each piece of a path (T, 2) crosses the line ax, ay, bx, by."""
    a, b = np.asarray(line[:2], dtype=np.float64), np.asarray(line[2:], dtype=np.float64)
    here, there = path[:-1], path[1:]
    apart = (_turn(a, b, here) > 0) != (_turn(a, b, there) > 0)
    return apart & ((_turn(here, there, a) > 0) != (_turn(here, there, b) > 0))


def crossed_in_order(path: np.ndarray, gates: Sequence[Sequence[float]]) -> bool:
    """Whether a path (T, 2) crosses all gates, one after the other."""
    at = 0
    for gate in gates:
        crossings = np.flatnonzero(crosses_line(path, gate)[at:])
        if not len(crossings):
            return False
        at += int(crossings[0])
    return True


def delay(
    people: np.ndarray, walkers: Sequence[Walker], alone_s: Sequence[float], step_s: float
) -> float | None:
    """Seconds that the robot cost each of those who set off, on average.

    Of somebody who arrived: the time from setting off, less what it takes with no robot there. Of
    somebody still on the way: the time until the end, less the same share of what it takes as they
    have done of their way. Nobody gains.

    Args:
        people: (T, P, 2). walkers: P. alone_s: (P,) with no robot, 0 of who stands.
        step_s: between samples.

    Returns:
        None where nobody set off.
    """
    found = []
    for p, usual_s in enumerate(alone_s):
        began = set_off(people[:, p])
        if usual_s <= 0 or began is None:
            continue
        left = np.linalg.norm(people[:, p] - walkers[p].goal, axis=1)
        arrived = np.flatnonzero(left < ARRIVED_M)
        took = (int(arrived[0]) if len(arrived) else len(left) - 1) - began
        whole = max(float(left[0]) - ARRIVED_M, 1e-9)
        done = 1.0 if len(arrived) else min(max(float(left[0] - left[-1]) / whole, 0.0), 1.0)
        found.append(max(took * step_s - done * usual_s, 0.0))
    return round(math.fsum(found) / len(found), 2) if found else None
