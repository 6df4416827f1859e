"""From walks to training samples: what was seen, where the goal was, and where the robot went."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from tqdm import tqdm

from s2e.config import PolicyConfig
from s2e.encoder import FrozenEncoder
from s2e.errors import UserError
from s2e.observation import ego_state, goal_token, robot_token, to_robot
from s2e.video.walk import Skipped, Walk

GOAL_MIN_S, GOAL_MAX_S, GOAL_FIXED_S = 1.0, 30.0, 5.0  # how far ahead in time a goal is taken from the walk


@dataclass(frozen=True)
class Samples:
    """Every moment of some walks that has a whole future, as arrays.

    Attributes:
        walks: the walks. first: (W,) place of each walk's first frame in an array over all frames.
        position: (F, 2), yaw: (F,) poses of all frames.
        frame: (S,) place of each sample's frame among all frames of these walks.
        frames: (S, history) places in the array over all frames that `first` counts in, oldest first.
        goals: (S, 3) places in `position`: the nearest and the farthest goal to draw, and the fixed one.
        future: (S, T, 2) float32, metres in the robot's frame. ego: (S, 3) float32. robot: (S, 6) float32 robot tokens.
    """

    walks: list[Walk]
    first: np.ndarray
    position: np.ndarray
    yaw: np.ndarray
    frame: np.ndarray
    frames: np.ndarray
    goals: np.ndarray
    future: np.ndarray
    ego: np.ndarray
    robot: np.ndarray

    def __len__(self) -> int:
        return len(self.frame)


def make_samples(walks: Sequence[Walk], config: PolicyConfig, first: np.ndarray) -> Samples:
    """Lists the samples of walks: frames with `waypoints * waypoint_dt_s` seconds of future.

    `first` (W,) says where each walk's frames begin in the array over all frames.
    """
    frame, frames, goals, future, ego, robot = [], [], [], [], [], []
    own = 0
    for walk, begin in zip(walks, first, strict=True):
        last = len(walk) - 1
        t = np.arange(max(0, len(walk) - round(config.waypoints * config.waypoint_dt_s * walk.hz)))
        back = np.round(np.arange(config.history - 1, -1, -1) * config.frame_spacing_s * walk.hz).astype(int)
        ahead = t[:, None] + np.arange(1, config.waypoints + 1) * config.waypoint_dt_s * walk.hz
        track = np.stack([np.interp(ahead, np.arange(len(walk)), walk.position[:, i]) for i in range(2)], -1)
        pose = np.concatenate([walk.position[t], walk.yaw[t, None]], 1)
        frame.append(own + t)
        frames.append(begin + np.maximum(t[:, None] - back, 0))
        reach = [round(s * walk.hz) for s in (GOAL_MIN_S, GOAL_MAX_S, GOAL_FIXED_S)]
        goals.append(own + np.minimum(t[:, None] + reach, last))
        future.append(to_robot(track, pose[:, None]))
        ego.append(ego_states(walk, t, config.frame_spacing_s))
        robot.append(np.repeat(robot_token(walk.body.token())[None], len(t), 0))
        own += len(walk)
    return Samples(
        list(walks),
        np.asarray(first),
        np.concatenate([w.position for w in walks]),
        np.concatenate([w.yaw for w in walks]),
        np.concatenate(frame),
        np.concatenate(frames),
        np.concatenate(goals),
        np.concatenate(future).astype(np.float32),
        np.concatenate(ego).astype(np.float32),
        np.concatenate(robot),
    )


def encode_walks(walks: Sequence[Walk], encoder: FrozenEncoder, label: str) -> tuple[np.ndarray, list[Walk], list[Skipped]]:
    """Features of every frame of every walk, (frames, rows, columns, C) float16, once.

    Walks with an unreadable frame are left out and reported.
    """
    height, width = encoder.size
    parts: list[np.ndarray] = []
    good, skipped = [], []
    with tqdm(total=sum(map(len, walks)), desc=label, unit="frame", disable=None) as bar:
        for walk in walks:
            try:
                parts.append(encoder(np.stack(list(walk.images(height, width)))))
                good.append(walk)
            except UserError as error:
                skipped.append(Skipped(walk.source, str(error)))
            bar.update(len(walk))
    if not good:
        raise UserError(f"{walks[0].source}: no walk has readable frames; the first: {skipped[0].reason}")
    return np.concatenate(parts), good, skipped


@dataclass(frozen=True)
class Batch:
    """One batch. `frames` (B, history) are places in the array over all frames, oldest first; the rest are float32.

    `future` (B, T, 2) and `goal_xy` (B, 2) are metres in the robot's frame; `goal`, `ego` (B, 3) and `robot` (B, 6) are network inputs.
    """

    frames: np.ndarray
    future: torch.Tensor
    goal_xy: np.ndarray
    goal: torch.Tensor
    ego: torch.Tensor
    robot: torch.Tensor


def make_batch(samples: Samples, index: np.ndarray, config: PolicyConfig, rng: np.random.Generator | None) -> Batch:
    """Builds the batch of some samples.

    The goal is a pose that the walk reaches later: drawn by `rng`, or five seconds ahead (or the end) where it is None.
    """
    low, high, fixed = samples.goals[index].T
    at = fixed if rng is None else rng.integers(low, high + 1)
    here = samples.frame[index]
    goal_xy = to_robot(samples.position[at], np.concatenate([samples.position[here], samples.yaw[here, None]], 1))
    return Batch(
        samples.frames[index],
        torch.from_numpy(samples.future[index]),
        goal_xy,
        torch.from_numpy(goal_token(goal_xy, config.goal_clip_m)),
        torch.from_numpy(samples.ego[index]),
        torch.from_numpy(samples.robot[index]),
    )


def ego_states(walk: Walk, t: np.ndarray, spacing_s: float) -> np.ndarray:
    """(S, 3) speed (m/s), yaw rate (rad/s) and curvature (1/m, within 2) over the last `spacing_s`; zeros at the start."""
    before = np.maximum(t - max(1, round(spacing_s * walk.hz)), 0)
    dt = np.maximum(t - before, 1) / walk.hz
    forward = to_robot(walk.position[t], np.concatenate([walk.position[before], walk.yaw[before, None]], 1))[:, 0]
    turn = walk.yaw[t] - walk.yaw[before]
    return ego_state(forward / dt, np.arctan2(np.sin(turn), np.cos(turn)) / dt)


def split_walks(walks: Sequence[Walk], fraction: float, seed: int) -> tuple[list[Walk], list[Walk]]:
    """Training and validation walks: whole walks, never frames of one walk in both."""
    if len(walks) < 2:
        raise UserError(f"{walks[0].source}: one walk cannot be split into training and validation; give at least two")
    order = np.random.default_rng(seed).permutation(len(walks))
    held = set(order[: max(1, round(fraction * len(walks)))].tolist())
    return [w for i, w in enumerate(walks) if i not in held], [w for i, w in enumerate(walks) if i in held]
