"""Why an episode failed, read from its record alone: where the robot was, when, and what it
touched.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

CAUSES = {
    "stuck at a thing": "it ended within 0.5 m of where it was 5 s before, and its last contact "
    "there was with something static",
    "stuck with a person": "it ended within 0.5 m of where it was 5 s before, and its last contact "
    "there was with a person",
    "stood still": "it ended within 0.5 m of where it was 5 s before, touching nothing",
    "slow": "it moved, and 2 m or less of the route were left, or it came 1 m nearer in the second "
    "half of the time",
    "wandering or dead end": "it moved, and came no nearer in the second half of the time than it "
    "had been",
}
"""Every cause and what it means, in the order in which it is asked for."""

STUCK_S = 5.0
STUCK_M = 0.5
NEARLY_M = 2.0
NEARER_M = 1.0
# a contact that stops a robot begins a little before the robot is within STUCK_M of its end
BEFORE_S = 1.0


def cause(record: dict[str, Any]) -> str:
    """The cause of a failed episode, one of `CAUSES`.

    Args:
        record: a line of episodes.jsonl; its `path` has points at even times from 0 to `time_s`,
            its `contacts` are (time in s, "static" or "person") of each contact's begin,
            `touched_s` is when it last touched anything.
    """
    path = finite_path(record)
    if len(path) < 2:
        return "stood still"
    times = np.linspace(0.0, float(record["time_s"]), len(path))
    away = np.linalg.norm(path - path[-1], axis=1)
    elsewhere = np.flatnonzero(away > STUCK_M)
    # when it came where it stayed
    since = float(times[elsewhere[-1] + 1]) if len(elsewhere) else 0.0
    if times[-1] - since >= STUCK_S or not len(elsewhere):
        contacts = record.get("contacts", [])
        touched_s = max([float(record.get("touched_s") or 0.0), *(float(c[0]) for c in contacts)])
        if not contacts or touched_s < since - BEFORE_S:
            return "stood still"
        return "stuck with a person" if contacts[-1][1] == "person" else "stuck at a thing"
    left_m = (1.0 - float(record["rc"])) * float(record["route_m"])
    to_goal = np.linalg.norm(path - np.asarray(record["goal"], dtype=np.float64)[:2], axis=1)
    half = len(path) // 2
    if left_m <= NEARLY_M or to_goal[half:].min() < to_goal[:half].min() - NEARER_M:
        return "slow"
    return "wandering or dead end"


def count_causes(records: Sequence[dict[str, Any]]) -> dict[str, int]:
    """How many of some records failed for each cause; causes that did not occur are left out."""
    found = [cause(r) for r in records if not r["success"]]
    return {name: found.count(name) for name in CAUSES if name in found}


def finite_path(record: dict[str, Any]) -> np.ndarray:
    """(N, 2) the finite points of a record's path, metres."""
    points = np.asarray(record.get("path", []), dtype=np.float64).reshape(-1, 2)
    return points[np.isfinite(points).all(axis=1)]
