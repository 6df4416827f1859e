"""What training on captures of streets does for perception in splat scenes: one table.

    python -m experiments.look_gap

Free space is read from a frozen encoder's features of frames at random poses, by a small head that
is trained on streets of triangles alone, and on some of them as captures
(`envs/streets/capture.py`). Both heads see as many frames, and none of the scenes that they are
judged in.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
import tyro
from torch import nn
from tqdm import tqdm

from s2e.core.errors import run_command
from s2e.core.observation import RAY_RANGE_M, RAYS
from s2e.envs.config import WorldsConfig
from s2e.envs.free_space import free_space
from s2e.envs.geometry.scene import Scene
from s2e.envs.scenes.episodes import RandomEpisodes
from s2e.envs.scenes.files import load_scene
from s2e.envs.streets.pool import scene_builder
from s2e.envs.warm import warm_up
from s2e.envs.worlds import Worlds
from s2e.policy.config import PRESETS
from s2e.policy.encoder import FrozenEncoder, visual_net

NEAR_M = 2.5
"""The nearest thing counts where it is within this."""
ROOM_M = (0.3, 0.8)
"""Half of the poses have at least the first to the next thing, half at most the second."""
BATCH = 128
"""Worlds drawn at once."""
STREETS = 16
"""Streets of a batch of worlds; each batch is used four times."""
LEAST_M = 0.05


@dataclass(frozen=True)
class LookGapArgs:
    """Train a head on features of streets, with and without captures, and judge both in splats."""

    frames: int = 16_000
    """Frames to train on."""
    captures: int = 5_000
    """How many of them are captures, for the second head."""
    scenes: tuple[str, ...] = ("plaza", "residential", "station", "courtyard")
    """Scenes of gs_urban to judge in."""
    judged: int = 600
    """Frames of each."""
    epochs: int = 10
    """Over the frames."""
    seed: int = 0
    """Of streets, poses and the heads."""


class Head(nn.Module):
    """Features (B, 6, 10, C) to log metres (B, RAYS)."""

    def __init__(self, shape: tuple[int, ...]):
        super().__init__()
        rows, columns, channels = shape
        self.narrow = nn.Conv2d(channels, 48, 1)
        self.out = nn.Sequential(
            nn.Linear(48 * rows * columns, 256), nn.GELU(), nn.Linear(256, RAYS)
        )

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Log metres along each ray."""
        return self.out(F.gelu(self.narrow(features.permute(0, 3, 1, 2))).flatten(1))


def random_poses(worlds: Worlds, rng: np.random.Generator) -> None:
    """Puts every robot somewhere free in its scene, half of them close to something."""
    for world in range(worlds.count):
        occupancy, room = worlds.route_map(world)
        high = ROOM_M[1] if world % 2 else np.inf
        rows, columns = np.nonzero((room > ROOM_M[0]) & (room < high))
        k = rng.integers(len(rows))
        x, y = (
            occupancy.origin
            + (np.array([columns[k], rows[k]]) + rng.random(2)) * occupancy.resolution
        )
        worlds.pose[world] = x, y, rng.uniform(-np.pi, np.pi)


def frames(
    scenes: Sequence[Scene], count: int, seed: int, encoder: FrozenEncoder, noise: float
) -> tuple[np.ndarray, np.ndarray]:
    """Features (count, 6, 10, C) and free space (count, RAYS) metres at random poses."""
    source = RandomEpisodes(scenes, BATCH, seed, 0)
    worlds = Worlds(scenes, WorldsConfig(people=0, camera_noise=noise), BATCH, source)
    rng, features, rays = np.random.default_rng([seed, 61]), [], []
    for _ in range(-(-count // BATCH)):
        for world in range(BATCH):
            worlds._begin(world)  # another scene and camera, without drawing what nobody looks at
        random_poses(worlds, rng)
        features.append(encoder(worlds.observe(np.arange(BATCH))["rgb"])[0])
        rays.append(free_space(worlds, np.arange(BATCH)))
    return np.concatenate(features)[:count], np.concatenate(rays)[:count]


def streets(
    count: int, seed: int, splats: float, encoder: FrozenEncoder, noise: float = 0.5
) -> tuple[np.ndarray, np.ndarray]:
    """`frames` in procedural streets, of which a share are captures."""
    build, each, parts = scene_builder(splats=splats), 4 * BATCH, []
    with tqdm(
        total=count, desc=f"streets, {splats:.0%} captures", unit="frame", disable=None
    ) as bar:
        for k in range(-(-count // each)):
            some = min(each, count - k * each)
            scenes = [build(1_000_000 + 10_000 * seed + STREETS * k + i) for i in range(STREETS)]
            parts.append(frames(scenes, some, 1000 * seed + k, encoder, noise))
            bar.update(some)
    return np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])


def log_metres(rays: np.ndarray) -> np.ndarray:
    """Logarithms of distances, which end at `RAY_RANGE_M`; what nobody knows stays NaN."""
    return np.log(np.clip(rays, LEAST_M, RAY_RANGE_M))


def train(features: np.ndarray, rays: np.ndarray, epochs: int, seed: int) -> Head:
    """A head trained on log metres with a smooth L1 loss, at a rate that falls to nothing."""
    torch.manual_seed(seed)
    head, rng, size = Head(features.shape[1:]), np.random.default_rng(seed), 256
    target = log_metres(rays).astype(np.float32)
    steps = epochs * (len(features) // size)
    optimizer = torch.optim.AdamW(head.parameters(), 1e-3, weight_decay=1e-2)
    rate = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps)
    for _ in tqdm(range(epochs), desc="head", unit="epoch", disable=None, leave=False):
        for rows in np.array_split(
            rng.permutation(len(features))[: len(features) // size * size], len(features) // size
        ):
            rows = np.sort(rows)
            wanted = torch.from_numpy(target[rows])
            known = torch.isfinite(wanted)
            loss = F.smooth_l1_loss(
                head(torch.from_numpy(features[rows]).float())[known], wanted[known], beta=0.2
            )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            rate.step()
    return head.eval()


def score(head: Head, features: np.ndarray, rays: np.ndarray) -> tuple[float, float]:
    """R2 of log range, and the median error (m) of the nearest thing within `NEAR_M`."""
    with torch.inference_mode():
        found = head(torch.from_numpy(features).float()).numpy()
    wanted = log_metres(rays)
    known = np.isfinite(wanted)
    r2 = (
        1
        - ((found - wanted)[known] ** 2).sum() / ((wanted[known] - wanted[known].mean()) ** 2).sum()
    )
    some = known.any(1)
    nearest = np.exp(np.where(known, wanted, np.inf)[some].min(1))
    guessed = np.exp(np.where(known, found, np.inf)[some].min(1))
    return float(r2), float(np.median(np.abs(guessed - nearest)[nearest < NEAR_M]))


def main(args: LookGapArgs) -> None:
    """Prints the table."""
    warm_up()
    encoder = FrozenEncoder(visual_net(PRESETS["laptop"]), PRESETS["laptop"], "cpu")
    mesh = streets(args.frames, args.seed, 0.0, encoder)
    captures = streets(args.captures, args.seed + 1, 1.0, encoder)
    kept = args.frames - args.captures
    mixed = tuple(np.concatenate([m[:kept], c]) for m, c in zip(mesh, captures, strict=True))
    heads = {
        f"{args.frames:,} of triangles": train(*mesh, args.epochs, args.seed),
        f"{kept:,} of triangles, {args.captures:,} captures": train(
            mixed[0], mixed[1], args.epochs, args.seed
        ),
    }
    judged = {
        name: frames([load_scene(f"gs_urban/{name}")], args.judged, 7, encoder, 0.0)
        for name in args.scenes
    }
    judged["new streets"] = streets(args.judged, args.seed + 2, 0.0, encoder, 0.0)
    judged["new captures"] = streets(args.judged, args.seed + 3, 1.0, encoder, 0.0)
    print(f"| trained on | {' | '.join(judged)} |")
    print("|---" * (1 + len(judged)) + "|")
    for name, head in heads.items():
        scores = [score(head, *data) for data in judged.values()]
        print(f"| {name} | {' | '.join(f'{r2:.2f}, {near:.2f} m' for r2, near in scores)} |")


if __name__ == "__main__":
    run_command(lambda: main(tyro.cli(LookGapArgs)))
