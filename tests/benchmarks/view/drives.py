"""Drives to look at."""

import json


def line(episode, **more):
    path = [
        list(episode.start[:2]),
        [episode.start[0] + 0.2, episode.start[1]],
        [episode.start[0] + 0.2, episode.start[1] + 0.1],
    ]
    record = {
        "id": episode.id,
        "path": path,
        "steps": 3,
        "time_s": 0.3,
        "contacts": [[0.2, "static"]],
        "end": "goal",
    }
    return (
        json.dumps(record | {"start": list(episode.start), "goal": list(episode.goal)} | more)
        + "\n"
    )
