"""From walks to training samples: what was seen, where the goal was, and where the robot went."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from s2e.core.errors import UserError
from s2e.core.observation import RAYS, ego_state, goal_token, robot_token, to_robot, wrapped
from s2e.policy.config import PolicyConfig
from s2e.video.resample import nearest, trajectory
from s2e.video.walk import Walk

# how far ahead in time a goal is taken from the walk
GOAL_MIN_S, GOAL_MAX_S, GOAL_FIXED_S = 1.0, 30.0, 5.0
# a sample does not reach over a longer hole in the times, unless the frames are that far apart
# anyway
GAP_S = 1.0


@dataclass(frozen=True)
class Samples:
    """Every moment of some walks that has a whole future, as arrays.

    Attributes:
        walks: the walks. walk: (S,) which of them a sample is from.
        position: (F, 2), yaw: (F,) poses of all frames of these walks, one walk after the other.
        frame: (S,) place of each sample's newest frame in these.
        frames: (S, history) places in the store that `first` counts in, oldest first.
        goals: (S, 3) places in `position`: the nearest and the farthest goal to draw, and the fixed
            one.
        future: (S, T, 2) float32, metres in the robot's frame. ego: (S, 3) float32. robot: (S, 6)
            float32 robot tokens.
        free_space: (S, RAYS) float32 metres, NaN where it is not known.
    """

    walks: list[Walk]
    walk: np.ndarray
    position: np.ndarray
    yaw: np.ndarray
    frame: np.ndarray
    frames: np.ndarray
    goals: np.ndarray
    future: np.ndarray
    ego: np.ndarray
    robot: np.ndarray
    free_space: np.ndarray

    def __len__(self) -> int:
        return len(self.frame)


def make_samples(walks: Sequence[Walk], config: PolicyConfig, first: np.ndarray) -> Samples:
    """Lists the samples of walks: frames with `waypoints * waypoint_dt_s` seconds of future.

    Works in the walks' own times, so that uneven ones are right; what would reach over a hole or
    into a nudge is left out. A hole is an interval of more than `GAP_S` and of more than three
    times the walk's median one (as in `s2e-data check`).

    Args:
        walks: W walks.
        config: says how far samples look back and ahead.
        first: (W,) place of each walk's first frame in the store of frames.
    """
    parts, own = [], 0
    for number, (walk, begin) in enumerate(zip(walks, first, strict=True)):
        part = _of_walk(walk, config)
        size = len(part["frame"])
        part["walk"] = np.full(size, number)
        part["frames"] = part["frames"] + begin
        part["frame"], part["goals"] = part["frame"] + own, part["goals"] + own
        part["robot"] = np.repeat(robot_token(walk.body.token())[None], size, 0)
        parts.append(part)
        own += len(walk)
    joined = {name: np.concatenate([p[name] for p in parts]) for name in parts[0]}
    position, yaw = (
        np.concatenate([w.position for w in walks]),
        np.concatenate([w.yaw for w in walks]),
    )
    return Samples(list(walks), position=position, yaw=yaw, **joined)


def _of_walk(walk: Walk, config: PolicyConfig) -> dict[str, np.ndarray]:
    """The samples of one walk; places count its own frames."""
    times, last = walk.times, len(walk) - 1
    horizon_s = config.waypoints * config.waypoint_dt_s
    t = np.flatnonzero(times + horizon_s <= times[-1] + 1e-6)
    dt = np.diff(times)
    # how many holes lie before each frame
    holes = np.concatenate([[0], np.cumsum(dt > max(GAP_S, 3 * np.median(dt)))])
    ends = np.minimum(np.searchsorted(times, times[t] + horizon_s - 1e-6), last)
    t = t[holes[ends] == holes[t]]
    # What was done to the robot is no behaviour: a nudge is not to be foreseen, only what follows
    # it is to be learned.
    begin, end = walk.nudged.T
    t = t[~((begin < times[t, None] + horizon_s) & (end > times[t, None])).any(1)]
    back = np.arange(config.history - 1, -1, -1) * config.frame_spacing_s
    frames = nearest(times, times[t, None] - back)
    since = np.searchsorted(holes, holes[t])
    frames = np.maximum(frames, since[:, None])  # a history begins after the hole
    ahead = times[t, None] + np.arange(1, config.waypoints + 1) * config.waypoint_dt_s
    track = np.stack([np.interp(ahead, times, walk.position[:, i]) for i in range(2)], -1)
    pose = np.concatenate([walk.position[t], walk.yaw[t, None]], 1)
    reach = np.array([GOAL_MIN_S, GOAL_MAX_S, GOAL_FIXED_S])
    goals = np.maximum(nearest(times, times[t, None] + reach), np.minimum(t + 1, last)[:, None])
    # nothing is known of the way over a hole
    goals = np.minimum(goals, np.searchsorted(holes, holes[t], side="right")[:, None] - 1)
    rays = (
        np.full((len(walk), RAYS), np.nan, np.float32)
        if walk.free_space is None
        else walk.free_space.astype(np.float32)
    )
    return {
        "frame": t,
        "frames": frames,
        "goals": goals,
        "future": to_robot(track, pose[:, None]).astype(np.float32),
        "ego": ego_states(walk, t, config.frame_spacing_s, since),
        "free_space": rays[t],
    }


def ego_states(walk: Walk, t: np.ndarray, spacing_s: float, since: np.ndarray) -> np.ndarray:
    """(S, 3) speed (m/s), yaw rate (rad/s) and curvature (1/m, within 2) over the last `spacing_s`;
    zeros at frames `since`.
    """
    before = np.maximum(np.minimum(nearest(walk.times, walk.times[t] - spacing_s), t - 1), since)
    dt = np.where(before < t, walk.times[t] - walk.times[before], 1.0)
    forward = to_robot(
        walk.position[t], np.concatenate([walk.position[before], walk.yaw[before, None]], 1)
    )[:, 0]
    return ego_state(forward / dt, wrapped(walk.yaw[t] - walk.yaw[before]) / dt)


@dataclass(frozen=True)
class Batch:
    """One batch. `frames` (B, history) are places in the store of frames, oldest first; the rest
    are float32.

    `future` (B, T, 2) and `goal_xy` (B, 2) are metres in the robot's frame; `goal`, `ego` (B, 3)
    and `robot` (B, 6) are network inputs; `free_space` (B, RAYS) is metres, NaN where it is not
    known.
    """

    frames: np.ndarray
    future: torch.Tensor
    goal_xy: np.ndarray
    goal: torch.Tensor
    ego: torch.Tensor
    robot: torch.Tensor
    free_space: torch.Tensor


def make_batch(
    samples: Samples, index: np.ndarray, config: PolicyConfig, rng: np.random.Generator | None
) -> Batch:
    """Builds the batch of some samples.

    The goal is a pose that the walk reaches later: drawn by `rng`, or five seconds ahead where it
    is None, both before the next hole.
    """
    low, high, fixed = samples.goals[index].T
    at = fixed if rng is None else rng.integers(low, high + 1)
    here = samples.frame[index]
    goal_xy = to_robot(
        samples.position[at], np.concatenate([samples.position[here], samples.yaw[here, None]], 1)
    )
    return Batch(
        samples.frames[index],
        torch.from_numpy(samples.future[index]),
        goal_xy,
        torch.from_numpy(goal_token(goal_xy, config.goal_clip_m)),
        torch.from_numpy(samples.ego[index]),
        torch.from_numpy(samples.robot[index]),
        torch.from_numpy(samples.free_space[index]),
    )


def mirrored(batch: Batch, which: np.ndarray) -> Batch:
    """The batch with the samples `which` (B,) bool seen and driven the other way round: left and
    right are exchanged.

    What the network sees of their frames is mirrored beside this, by columns.
    """
    sign = torch.where(torch.from_numpy(which), -1.0, 1.0)[:, None]
    aside = torch.cat([torch.ones_like(sign), sign], 1)
    goal, ego = (
        torch.cat([torch.ones_like(aside), sign], 1),
        torch.cat([torch.ones_like(sign), sign, sign], 1),
    )
    rays = torch.where(sign < 0, batch.free_space.flip(1), batch.free_space)
    return replace(
        batch,
        future=batch.future * aside[:, None],
        goal_xy=batch.goal_xy * aside.numpy(),
        goal=batch.goal * goal,
        ego=batch.ego * ego,
        free_space=rays,
    )


def split_walks(walks: Sequence[Walk], fraction: float, seed: int) -> tuple[list[Walk], list[Walk]]:
    """Training and validation walks: whole walks with all their pieces, never frames of one in
    both; one walk each at least.
    """
    names = list(dict.fromkeys(trajectory(w.name) for w in walks))
    if len(names) < 2:
        raise UserError(
            f"{walks[0].source}: one walk cannot be split into training and validation; give at "
            "least two"
        )
    order = np.random.default_rng(seed).permutation(len(names))
    held = {names[i] for i in order[: min(max(1, round(fraction * len(names))), len(names) - 1)]}
    return [w for w in walks if trajectory(w.name) not in held], [
        w for w in walks if trajectory(w.name) in held
    ]
