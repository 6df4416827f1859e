"""Driving with a policy: one camera, one robot, images in and a plan out. The frames' history is
kept here.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from s2e.core.errors import choose_device
from s2e.core.observation import (
    NOWHERE_M,
    ODOMETRY_AGO_S,
    RAYS,
    ROBOT_FIELDS,
    SCAN_STEPS,
    SCANS,
    ego_state,
    goal_token,
    odometry_token,
    reckoned,
    robot_token,
    scan_points,
)
from s2e.policy.agent import Agent
from s2e.policy.recovery import Recovery
from s2e.video.frames import MAX_PIXELS, resized
from s2e.video.walk import Body


@dataclass(frozen=True)
class Plan:
    """Where a policy would go. Metres in the robot's frame at the newest image: x forward, y left.

    Attributes:
        waypoints: (T, 2) float32, the trajectory of the best score.
        times: (T,) seconds from now at which each waypoint is reached.
        score: its probability. speed: m/s, along it on average.
        recovers: the robot is in a jam, and `waypoints` are what gets it out of it instead: see
            `s2e.policy.recovery`.
        candidates: (M, T, 2) float32, all trajectories, by anchor. scores: (M,) float32, their
            probabilities.
    """

    waypoints: np.ndarray
    times: np.ndarray
    score: float
    speed: float
    candidates: np.ndarray
    scores: np.ndarray
    recovers: bool = False


class Navigator:
    """An agent whose one camera gives frames at any rate, and which may not know all of what it is
    asked with.

    Args:
        agent: who answers; its own memory, which counts in steps, is not used.
        recovery: plans of a robot that is told to drive and stands get it out of there, also
            backwards.
    """

    def __init__(self, agent: Agent, recovery: bool = False):
        self.agent, self.policy, self.config = agent, agent.policy, agent.config
        self.recovery = Recovery(1) if recovery else None
        self.times = (1 + np.arange(self.config.waypoints)) * self.config.waypoint_dt_s
        self.reset()

    @classmethod
    def load(cls, path: str | Path, device: str = "cpu", recovery: bool = False) -> "Navigator":
        """See `s2e.load_policy`."""
        return cls(Agent.load(path, device=choose_device(device)), recovery)

    def reset(self) -> None:
        """Forgets all frames: call it when the robot was carried somewhere else, or another episode
        begins.
        """
        # (seconds, (C,) float16), oldest first; the newest frame is the last
        self.seen: list[tuple[float, np.ndarray]] = []
        # (seconds, (3,) pose by its own reckoning), oldest first
        self.way: list[tuple[float, np.ndarray]] = []
        # (seconds, (RAYS, 2) where rays ended), oldest first
        self.scans: list[tuple[float, np.ndarray]] = []
        # metres ahead and left, where the last plan would have it a second later
        self.told = np.zeros(2)
        if self.recovery:
            self.recovery.begin(np.arange(1))
        self.timed: bool | None = None

    def act(
        self,
        frame: np.ndarray,
        goal: Sequence[float] | np.ndarray | None = None,
        *,
        time_s: float | None = None,
        ego: Sequence[float] | np.ndarray | None = None,
        robot: Body | None = None,
    ) -> Plan:
        """Plans from the newest image and those before it.

        Args:
            frame: (H, W, 3) uint8 RGB of any size; stretched to the policy's.
            goal: (x, y) metres in the robot's frame now; None explores, with the goal hidden from
                the policy.
            time_s: when the frame was taken, by any clock. Frames may then come at any rate: the
                policy sees, for each moment of its history, the frame nearest to it. Without it
                every call counts as `config.frame_spacing_s` after the one before.
            ego: the robot's speed (m/s) and yaw rate (rad/s); None hides its motion from the
                policy, and nothing tells that it is in a jam. Where it is known for four seconds
                and more the policy also knows its odometry, if it learned to: it takes the robot
                for one that follows its plans.
            robot: what is driven and how its camera sees; unless all of `ROBOT_FIELDS` are known it
                counts as unknown.

        Raises:
            ValueError: an argument that cannot be; the message says what was expected. Nothing is
                remembered then.
        """
        _check_frame(frame)
        goal_xy = (
            None if goal is None else _numbers(goal, "goal", "(x, y) in metres, or None to explore")
        )
        motion = (
            None
            if ego is None
            else _numbers(
                ego, "ego", "(speed in m/s, yaw rate in rad/s), or None where it is not known"
            )
        )
        now = self._now(time_s)
        body = _robot(robot)

        image = resized(np.ascontiguousarray(frame), self.config.height_px, self.config.width_px)
        features, pooled = self.agent.encode(image[None])
        way = self._reckoned(now, motion)
        ago = np.stack(
            [way[np.abs([t - now + s for t, _ in way]).argmin()][1] for s in ODOMETRY_AGO_S]
        )
        hidden = np.zeros((1, 2), np.float32)
        context = self.agent.attend(
            features,
            self._older(now, pooled[0])[None],
            goal_token(hidden if goal_xy is None else goal_xy[None], self.config.goal_clip_m),
            ego_state(*(hidden if motion is None else motion[None]).T),
            body,
            hide_goal=np.array([goal_xy is None]),
            hide_ego=np.array([motion is None]),
        )
        points = np.concatenate([scan for _, scan in self.scans] or [np.full((RAYS, 2), NOWHERE_M)])
        odometry = odometry_token(way[-1][1][None], ago[None], self.told[None], points[None])
        found = self.agent.decide(context, odometry)
        self._scan(now, way, context, body)
        candidates, scores, speeds = found.trajectories[0], found.scores[0], found.speed[0]
        self._remember(now, pooled[0], time_s is not None)
        self.way = [(t, pose) for t, pose in way if t >= now - 2 * ODOMETRY_AGO_S[-1]]
        best = int(scores.argmax())
        self.told = candidates[best, self.config.action_waypoint].astype(float)
        waypoints, recovers = candidates[best], False
        if self.recovery and motion is not None:
            passed_s = now - way[-2][0] if len(way) > 1 else 0.0
            self.told = self.recovery.relieve(
                self.told[None], way[-1][1][None], motion[None], passed_s
            )[0]
            recovers = bool(self.recovery.busy()[0])
        elif self.recovery:
            self.recovery.begin(np.arange(1))
        if recovers:  # told for a second from now
            waypoints = (self.times[:, None] * self.told).astype(np.float32)
        return Plan(
            waypoints,
            self.times.copy(),
            float(scores[best]),
            float(speeds[best]),
            candidates,
            scores,
            recovers,
        )

    def _now(self, time_s: float | None) -> float:
        """The time of the newest frame on the clock that `seen` is kept by."""
        if self.timed is not None and self.timed != (time_s is not None):
            raise ValueError(
                "time_s was given for some frames and not for others; give it always or never, or "
                "call reset() between"
            )
        if time_s is None:
            return self.seen[-1][0] + self.config.frame_spacing_s if self.seen else 0.0
        now = float(time_s)
        if not math.isfinite(now):
            raise ValueError(f"time_s is {time_s}; expected seconds")
        if self.seen and now <= self.seen[-1][0]:
            raise ValueError(
                f"time_s is {now:.9g} after a frame of {self.seen[-1][0]:.9g}; time must go on, or "
                "call reset() between"
            )
        return now

    def _reckoned(self, now: float, motion: np.ndarray | None) -> list[tuple[float, np.ndarray]]:
        """The robot's way with its place now; NaN while its motion is not known, and anew from
        there.
        """
        if motion is None:
            return [*self.way, (now, np.full(3, np.nan))]
        then, pose = self.way[-1] if self.way else (now, np.zeros(3))
        if self.way and not np.isnan(pose).any():
            return [*self.way, (now, reckoned(pose[None], motion[None], now - then)[0])]
        return [*self.way, (now, np.zeros(3))]

    def _scan(
        self,
        now: float,
        way: list[tuple[float, np.ndarray]],
        context: np.ndarray,
        body: np.ndarray,
    ) -> None:
        """Keeps where rays of the free space end that a policy with a reader sees now; anew where
        the robot's way begins anew.
        """
        if len(way) < 2 or np.isnan(way[-2][1]).any():
            self.scans = []
        spacing = SCAN_STEPS * self.config.frame_spacing_s
        due = (
            not self.scans or now - self.scans[-1][0] > spacing - 0.5 * self.config.frame_spacing_s
        )
        if self.policy.remembers and due:
            ends = scan_points(way[-1][1][None], self.agent.free_m(context), body)[0]
            self.scans = [*self.scans, (now, ends)][-SCANS:]

    def _older(self, now: float, token: np.ndarray) -> np.ndarray:
        """(history - 1, C) float16: what older frames keep, oldest first, each the frame nearest to
        its moment.

        Before the first frame the robot counts as standing where it was taken, as in training.
        """
        steps, channels = self.policy.older_shape
        if not steps:
            return np.zeros((0, channels), np.float16)
        times = np.array([t for t, _ in self.seen] + [now])
        tokens = [x for _, x in self.seen] + [token]
        moments = now - self.config.frame_spacing_s * np.arange(steps, 0, -1)
        return np.stack([tokens[i] for i in np.abs(times - moments[:, None]).argmin(1)])

    def _remember(self, now: float, token: np.ndarray, timed: bool) -> None:
        """Keeps what later history needs: one frame older than it, and no two nearer than a
        sixteenth of the spacing.
        """
        spacing = self.config.frame_spacing_s
        if len(self.seen) > 1 and now - self.seen[-2][0] < spacing / 16:
            self.seen.pop()
        self.seen.append((now, token))
        self.timed = timed
        while len(self.seen) > 1 and self.seen[1][0] <= now - spacing * self.config.history:
            self.seen.pop(0)


def _check_frame(frame: np.ndarray) -> None:
    expected = "expected uint8 RGB (H, W, 3)"
    if not isinstance(frame, np.ndarray):
        raise ValueError(f"frame is a {type(frame).__name__}; {expected} as a NumPy array")
    if frame.ndim != 3 or frame.shape[2] != 3:
        hints = {
            (3, 4): "; drop the fourth channel",
            (2, frame.shape[-1] if frame.ndim else 0): "; a grey image has no third axis",
        }
        hint = (
            "; one frame at a time"
            if frame.ndim == 4
            else hints.get((frame.ndim, frame.shape[-1] if frame.ndim else 0), "")
        )
        raise ValueError(f"frame is {frame.shape}; {expected}{hint}")
    if frame.dtype != np.uint8:
        raise ValueError(f"frame is {frame.dtype}; {expected}, values 0 to 255")
    if not 0 < frame.shape[0] * frame.shape[1] <= MAX_PIXELS:
        raise ValueError(f"frame is {frame.shape}; {expected} of 1 to {MAX_PIXELS} pixels")


def _numbers(values: Sequence[float] | np.ndarray, name: str, expected: str) -> np.ndarray:
    """Two finite numbers as (2,) float64."""
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"{name} is {values!r}; expected {expected}") from None
    if array.shape != (2,) or not np.isfinite(array).all():
        raise ValueError(f"{name} is {np.array2string(array, threshold=8)}; expected {expected}")
    return array


def _robot(robot: Body | None) -> np.ndarray:
    """(1, 6) robot token."""
    if robot is not None and not isinstance(robot, Body):
        raise ValueError(
            f"robot is a {type(robot).__name__}; expected a s2e.video.walk.Body, or None where it "
            "is not known"
        )
    values = (robot or Body()).token()
    wrong = [
        name for name, value in zip(ROBOT_FIELDS, values, strict=True) if value < 0 or value > 1e3
    ]
    if wrong:
        raise ValueError(
            f"robot has {wrong[0]} {getattr(robot, wrong[0])}; expected metres, m/s, rad/s or "
            "degrees, or NaN (not known)"
        )
    return robot_token(values[None])
