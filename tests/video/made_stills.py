"""Stills, made up."""

import json

import numpy as np

from s2e.core.observation import RAYS
from s2e.video.frames import jpeg
from s2e.video.stills import ShardBytes, Still, dataset
from s2e.video.walk import Body

BODY = Body("go2", 0.7, 0.31, 1.5, 2.0, 0.36, 100.0)


def make(out, count=6, number=0):
    rng = np.random.default_rng(number)
    shard = ShardBytes(number)
    for i in range(count):
        rays = rng.uniform(0.2, 12, RAYS).astype(np.float32).round(3)
        rays[0] = np.nan
        image = jpeg(rng.integers(0, 255, (12, 16, 3), dtype=np.uint8))
        shard.add(
            Still(
                image,
                rays,
                "near",
                "splats" if i % 2 else "mesh",
                f"street-{i // 2}",
                np.zeros(3),
                BODY,
            )
        )
    out.mkdir(exist_ok=True)
    return shard, shard.write(out)


def finish(out, entries):
    (out / "dataset.json").write_text(json.dumps(dataset(entries, {"seed": 0})))
