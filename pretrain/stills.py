"""Stills in pretraining: what the policy's context says of free space, learned beside the video,
and judged in scenes held out.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from s2e.core.errors import UserError
from s2e.core.observation import ego_state, goal_token, robot_token
from s2e.policy.config import PolicyConfig
from s2e.policy.mixture import MIN_DISTANCE_M
from s2e.pretrain.samples import Batch
from s2e.video.stills import Stills

NEAR_M = 2.5
"""Of stills whose nearest thing is within this the error of the nearest distance is read."""
HIDE_GOAL, HIDE_EGO, STANDS = 0.5, 0.5, 0.5
"""Chances that a still's goal is hidden, its robot's motion too, and that a motion that is not
hidden is standing."""
SPEED_MS, TURN_RADS = (0.0, 2.0), 0.6
"""Range of a random speed, deviation of a random yaw rate."""


@dataclass(frozen=True)
class StillSamples:
    """Some stills, as arrays.

    Attributes:
        place: (S,) places in the store of frames.
        free_space: (S, RAYS) float32 metres, NaN where it is not known. robot: (S, 6) float32 robot
            tokens.
        look: (S,) texts: "mesh" or "splats".
    """

    place: np.ndarray
    free_space: np.ndarray
    robot: np.ndarray
    look: np.ndarray

    def __len__(self) -> int:
        return len(self.place)

    def part(self, which: np.ndarray) -> "StillSamples":
        """Some of them."""
        return StillSamples(
            self.place[which], self.free_space[which], self.robot[which], self.look[which]
        )


def still_samples(stills: Sequence[Stills], first: np.ndarray) -> tuple[StillSamples, np.ndarray]:
    """The stills of some shards, and (S,) texts: their scenes.

    Args:
        stills: the shards. first: (P,) place of each shard's first frame in the store.
    """
    joined = StillSamples(
        np.concatenate([f + np.arange(len(s)) for s, f in zip(stills, first, strict=True)]),
        np.concatenate([s.free_space for s in stills]),
        robot_token(np.concatenate([s.about for s in stills])),
        np.concatenate([s.look for s in stills]),
    )
    return joined, np.concatenate([s.scene for s in stills])


def split_scenes(
    scene: np.ndarray, look: np.ndarray, fraction: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Training and held-out stills (indices): whole scenes, of each look one at least that has two.

    Args:
        scene, look: (S,) texts.
        fraction: of the scenes to hold out. seed: of the choice.

    Raises:
        UserError: no look has two scenes.
    """
    held = []
    for of in np.unique(look.astype(str)):
        names = np.unique(scene[look == of].astype(str))
        order = np.random.default_rng([seed, 53]).permutation(len(names))
        held += [
            f"{of} {names[i]}"
            for i in order[: min(max(1, round(fraction * len(names))), len(names) - 1)]
        ]
    if not held:
        raise UserError(
            "--stills: all stills are of one scene; record several, so that some can be held out"
        )
    out = np.isin(np.char.add(np.char.add(look.astype(str), " "), scene.astype(str)), held)
    return np.flatnonzero(~out), np.flatnonzero(out)


def still_batch(
    samples: StillSamples, index: np.ndarray, config: PolicyConfig, rng: np.random.Generator | None
) -> tuple[Batch, tuple[torch.Tensor, torch.Tensor]]:
    """The batch of some stills, and whose goal and motion are hidden (B,), (B,) bool.

    All frames of the history are the same, as at the beginning of an episode. What the video
    teaches is left to chance, so that free space is read from the image alone: goals are drawn or
    hidden, motions hidden, standing or drawn. Without `rng` both are hidden.
    """
    count = len(index)
    goal_xy, ego = np.zeros((count, 2)), np.zeros((count, 3), np.float32)
    hide = np.ones((2, count), dtype=bool)
    if rng is not None:
        bearing, far = (
            rng.uniform(-np.pi, np.pi, count),
            rng.uniform(0.5, 2 * config.goal_clip_m, count),
        )
        goal_xy = far[:, None] * np.stack([np.cos(bearing), np.sin(bearing)], -1)
        moves = rng.random(count) >= STANDS
        ego = ego_state(
            rng.uniform(*SPEED_MS, count) * moves, rng.normal(0, TURN_RADS, count) * moves
        )
        hide = rng.random((2, count)) < np.array([[HIDE_GOAL], [HIDE_EGO]])
    batch = Batch(
        np.repeat(samples.place[index, None], config.history, 1),
        torch.zeros(count, config.waypoints, 2),
        goal_xy,
        torch.from_numpy(goal_token(goal_xy, config.goal_clip_m)),
        torch.from_numpy(ego),
        torch.from_numpy(samples.robot[index]),
        torch.from_numpy(samples.free_space[index]),
    )
    return batch, (torch.from_numpy(hide[0]), torch.from_numpy(hide[1]))


def seeing(predicted: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """How well free space is read.

    Args:
        predicted: (S, RAYS) log metres. truth: (S, RAYS) metres, NaN where it is not known.

    Returns:
        `r2` of the log range over all known rays, `near_m`: the median error of the nearest thing
        where that is within `NEAR_M`, and `stills`, how many were read. NaN where nothing can be
        said.
    """
    known = np.isfinite(truth)
    target = np.log(np.maximum(np.where(known, truth, 1.0), MIN_DISTANCE_M))
    error, spread = (
        (predicted - target)[known],
        target[known] - target[known].mean() if known.any() else target[known],
    )
    r2 = (
        1 - np.square(error).sum() / np.square(spread).sum()
        if known.any() and np.square(spread).sum() > 0
        else np.nan
    )
    some = known.any(1)
    nearest = np.min(np.where(known, truth, np.inf), axis=1)[some]
    predicted_nearest = np.exp(np.min(np.where(known, predicted, np.inf), axis=1))[some]
    near = nearest <= NEAR_M
    return {
        "r2": float(r2),
        "near_m": float(np.median(np.abs(predicted_nearest - nearest)[near]))
        if near.any()
        else np.nan,
        "stills": len(truth),
    }


def seeing_by_look(
    predicted: np.ndarray, truth: np.ndarray, look: np.ndarray
) -> dict[str, dict[str, float]]:
    """`seeing` of all stills ("all", where there are several looks) and of each look apart."""
    looks = sorted({str(v) or "?" for v in look})
    groups = {name: np.array([(str(v) or "?") == name for v in look]) for name in looks}
    rows = {"all": seeing(predicted, truth)} if len(looks) > 1 else {}
    return rows | {name: seeing(predicted[of], truth[of]) for name, of in groups.items()}


def format_seeing(rows: dict[str, dict[str, float]]) -> str:
    """The readings as a sentence a look."""
    return "\n".join(
        f"seeing, {name}: R2 of log range {row['r2']:.3f}, nearest thing within {NEAR_M:g} m to "
        f"{row['near_m']:.3f} m "
        f"(median), {row['stills']:.0f} stills"
        for name, row in rows.items()
    )
