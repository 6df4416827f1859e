"""A policy that sees distances instead of images: what can be driven through a robot's camera, if
nothing is mistaken.

It is taught by PPO without drawing anything (`s2e-ppo --sense rays`), coaches policies that see
images, and stands in the benchmark as the bound of what a camera's field of view allows. It knows
no map: rays inside the field of view, perhaps what it remembers of them, the goal and its own
motion.
"""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numba
import numpy as np
import torch
from torch import nn

from s2e.core.errors import UserError, require
from s2e.core.files import read_json
from s2e.core.observation import AROUND, ego_state, goal_token, robot_token, to_robot
from s2e.core.state import ArrayState
from s2e.envs.free_space import cast_rays
from s2e.envs.robots.kinds import ROBOTS
from s2e.envs.worlds import Worlds
from s2e.policy.checkpoint import DAMAGED, find_checkpoint, read_tensors
from s2e.policy.recovery import Recovery

NEAR_M, KEEPS_M = 0.05, 0.06
"""Nearest range that is told from nearer ones; how much nearer than they are things seem to a
policy that drives."""
BACK_M, ASIDE = 0.1, 0.8
"""How far behind a waypoint may lie, and how far aside in units of what the robot drives in a
second."""
VIEW_SHARE = 0.1
"""How far a camera's field of view may be from that of training; what `randomise` makes of one is
within it."""


@dataclass(frozen=True)
class RayConfig:
    """Shape of a ray policy, and what it was trained for.

    Attributes:
        robots: names of the robots.
        views_deg: the field of view of each one's camera, degrees; what is not told (in older
            files) is that of the robot as it is.
        rays: across the field of view of the camera.
        reach_m: how far they go.
        trail: steps ago, whose places the robot knows from its own motion: one that stands where it
            wants to drive is stuck.
        memory: scans that are remembered, one every second step; 0 is none.
        memory_m: things farther away are not remembered.
        hidden: width of its two layers.
        goal_clip_m: as in `PolicyConfig`.
    """

    robots: tuple[str, ...] = tuple(ROBOTS)
    rays: int = 32
    reach_m: float = 12.0
    trail: tuple[int, ...] = (2, 5)
    memory: int = 0
    memory_m: float = 4.0
    hidden: int = 256
    goal_clip_m: float = 10.0
    views_deg: tuple[float, ...] = ()

    @property
    def width(self) -> int:
        """Numbers of an observation."""
        return 2 * self.rays + (AROUND if self.memory else 0) + 2 * len(self.trail) + 12

    @classmethod
    def from_dict(cls, values: Any, where: str) -> "RayConfig":
        """Reads what a checkpoint's config.json holds; `where` names the file in errors."""
        fields = {f.name for f in dataclasses.fields(cls)}
        fits = isinstance(values, dict) and fields - {"views_deg"} <= set(values) <= fields
        require(
            fits,
            f"{where}: object `rays` does not have the fields {sorted(fields)}; this is not a ray "
            "policy's checkpoint",
        )
        try:
            read: dict[str, Any] = {
                k: tuple(v) if isinstance(v, list) else v for k, v in values.items()
            }
            config = cls(**read)
            sizes = (config.rays, config.memory, config.hidden)
            good = (
                all(isinstance(n, int) and 0 <= n <= 4096 for n in sizes)
                and config.rays >= 2
                and config.hidden >= 1
            )
            good &= (
                0 < config.reach_m < 1e3
                and 0 < config.memory_m < 1e3
                and 0 < config.goal_clip_m < 1e3
            )
            good &= all(isinstance(name, str) for name in config.robots)
            good &= len(config.views_deg) in (0, len(config.robots)) and all(
                0 < v < 360 for v in config.views_deg
            )
            good &= all(isinstance(n, int) and 0 < n <= 256 for n in config.trail)
        except TypeError:
            good = False
        require(good, f"{where}: a field of `rays` is out of range; use the file as it was saved")
        return config


@numba.njit(cache=True, parallel=True)
def _around(poses, points, reach, out):
    """Distance (N, AROUND) to the nearest remembered point in each sector around each robot."""
    for n in numba.prange(poses.shape[0]):
        cos, sin = np.cos(poses[n, 2]), np.sin(poses[n, 2])
        for k in range(out.shape[1]):
            out[n, k] = reach
        for s in range(points.shape[1]):
            for r in range(points.shape[2]):
                px = points[n, s, r, 0]
                if np.isnan(px):
                    continue
                dx, dy = px - poses[n, 0], points[n, s, r, 1] - poses[n, 1]
                d = np.sqrt(dx * dx + dy * dy)
                if d >= reach:
                    continue
                bearing = np.arctan2(dy * cos - dx * sin, dx * cos + dy * sin)
                k = int(np.floor(bearing / (2 * np.pi) * out.shape[1] + 0.5)) % out.shape[1]
                out[n, k] = min(out[n, k], d)


@dataclass(eq=False)
class RayMemory(ArrayState):
    """What a ray policy remembers of N worlds.

    Attributes:
        points: (N, memory, rays, 2) float32, where rays ended, NaN where nowhere. trail: (N, K, 2)
            float32, places of the last steps. tick: (N,) int64, steps.
    """

    points: np.ndarray
    trail: np.ndarray
    tick: np.ndarray


class RaySense(RayMemory):
    """What a ray policy sees of N worlds; with a memory, its state.

    Args:
        worlds: they need not be drawn. config: the policy's. nearer_m: how much nearer than they
            are things seem, but not people.
    """

    def __init__(self, worlds: Worlds, config: RayConfig, nearer_m: float = 0.0):
        self.worlds, self.config, self.nearer_m = worlds, config, nearer_m
        n = worlds.count
        super().__init__(
            points=np.full((n, config.memory, config.rays, 2), np.nan, np.float32),
            trail=np.full((n, max(config.trail, default=0), 2), np.nan, np.float32),
            tick=np.zeros(n, np.int64),
        )

    def begin(self, worlds: np.ndarray) -> None:
        """Forgets what worlds that begin an episode remember."""
        self.points[worlds], self.trail[worlds], self.tick[worlds] = np.nan, np.nan, 0

    def angles(self, worlds: np.ndarray) -> np.ndarray:
        """(V, rays) radians across the field of view of each robot's camera, from right to left."""
        half = np.radians(self.worlds.fleet.camera[worlds, :1]) / 2
        return half * np.linspace(-1.0, 1.0, self.config.rays)

    def observe(self) -> np.ndarray:
        """(N, width) of all worlds; remembers it."""
        every = np.arange(self.worlds.count)
        w = self.worlds
        seen, walls = self._look(every, w.pose, w.velocity, w.people.position)
        self._remember(walls)
        return seen

    def peek(
        self, worlds: np.ndarray, poses: np.ndarray, velocity: np.ndarray, people_xy: np.ndarray
    ) -> np.ndarray:
        """(V, width) of some worlds, if they were at other poses (V, 3) and velocities (V, 3) and
        people (V, P, 2) elsewhere too.

        Remembers nothing.
        """
        return self._look(worlds, poses, velocity, people_xy)[0]

    def _look(
        self, worlds: np.ndarray, poses: np.ndarray, velocity: np.ndarray, people_xy: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        w, config = self.worlds, self.config
        cast = cast_rays(w, worlds, self.angles(worlds), config.reach_m, poses, people_xy)
        walls = np.maximum(cast.wall - np.float32(self.nearer_m), np.float32(NEAR_M))
        goal = goal_token(to_robot(w.goal[worlds], poses), config.goal_clip_m)
        about = (
            goal,
            ego_state(velocity[:, 0], velocity[:, 1]),
            robot_token(w.fleet.about()[worlds]),
        )
        parts = [_log(walls), _log(cast.person)]
        if config.memory:
            around = np.empty((len(worlds), AROUND), np.float32)
            _around(np.ascontiguousarray(poses), self.points[worlds], config.memory_m, around)
            parts.append(_log(around))
        if config.trail:  # an episode begins as if the robot had stood there
            ago = self.trail[worlds][:, np.array(config.trail) - 1]
            been = np.clip(np.nan_to_num(to_robot(ago, poses[:, None])), -5.0, 5.0)
            parts.append(been.reshape(len(worlds), -1))
        return np.concatenate([*parts, *about], 1).astype(np.float32), walls

    def _remember(self, walls: np.ndarray) -> None:
        w, every = self.worlds, np.arange(self.worlds.count)
        if self.config.trail:
            self.trail[:, 1:] = self.trail[:, :-1].copy()
            self.trail[:, 0] = w.pose[:, :2]
        if not self.config.memory:
            return
        angles = self.angles(every) + w.pose[:, 2:]
        hit = walls < min(2.0 * self.config.memory_m, self.config.reach_m)
        ends = w.pose[:, None, :2] + walls[..., None] * np.stack(
            [np.cos(angles), np.sin(angles)], -1
        )
        due = np.flatnonzero(self.tick % 2 == 0)
        slot = (self.tick[due] // 2) % self.config.memory
        self.points[due, slot] = np.where(hit[due, :, None], ends[due], np.nan)
        self.tick += 1


def _log(metres: np.ndarray) -> np.ndarray:
    return np.log(np.maximum(metres, NEAR_M))


class RayPolicy(nn.Module):
    """Observations of `RaySense` (B, width) to actions (B, 2), about -1 to 1: see `to_waypoint`."""

    def __init__(self, config: RayConfig):
        super().__init__()
        self.config = config
        self.net = nn.Sequential(
            nn.Linear(config.width, config.hidden),
            nn.Tanh(),
            nn.Linear(config.hidden, config.hidden),
            nn.Tanh(),
            nn.Linear(config.hidden, 2),
        )

    def forward(self, seen: torch.Tensor) -> torch.Tensor:
        """Mean actions."""
        return self.net(seen)

    @torch.no_grad()
    def waypoints(self, seen: np.ndarray, v_max: np.ndarray) -> np.ndarray:
        """(B, width) observations and (B,) m/s to (B, 2) metres ahead and left, to be reached in a
        second.
        """
        return to_waypoint(self.net(torch.from_numpy(seen)).numpy(), v_max)


def to_waypoint(actions: np.ndarray, v_max: np.ndarray) -> np.ndarray:
    """(B, 2) actions, clipped to -1..1, to waypoints (B, 2) in metres: all that a robot of `v_max`
    (B,) m/s can reach in a second.
    """
    a = np.clip(actions, -1.0, 1.0)
    return np.stack([(a[:, 0] + 1.0) * 0.5 * (v_max + BACK_M) - BACK_M, a[:, 1] * ASIDE * v_max], 1)


def load_rays(path: str | Path = "rays", robots: tuple[str, ...] = ()) -> RayPolicy:
    """A ray policy from a run, a checkpoint or a shipped policy's name; `robots` are those that it
    shall drive.

    Raises:
        UserError: there is none, it does not fit its config.json, or it was trained for other
            robots or cameras.
    """
    folder = find_checkpoint(path)
    rays, file = (
        read_json(folder / "config.json", DAMAGED).get("rays"),
        folder / "model.safetensors",
    )
    config = RayConfig.from_dict(rays, str(folder / "config.json"))
    other = [name for name in robots if name not in config.robots]
    require(
        not other,
        f"{folder}: trained for {', '.join(config.robots)}, not for "
        f"{', '.join(other)}; train one with "
        f"s2e-ppo --sense rays --robot {','.join(other)}",
    )
    _refuse_cameras(config, robots, folder)
    policy, tensors = (
        RayPolicy(config),
        {k.removeprefix("rays."): v.float() for k, v in read_tensors(file).items()},
    )
    for name, tensor in tensors.items():
        require(
            bool(tensor.isfinite().all()),
            f"{file}: {name} holds NaN or infinity; use another checkpoint",
        )
    try:
        policy.load_state_dict(tensors)
    except RuntimeError as error:
        raise UserError(
            f"{file}: does not fit config.json ({str(error).splitlines()[-1].strip()})"
        ) from None
    return policy.eval()


def _refuse_cameras(config: RayConfig, robots: tuple[str, ...], folder: Path) -> None:
    """Refuses other fields of view, since each ray would mean another direction; height and pitch
    move none.
    """
    for name, trained in zip(config.robots, config.views_deg, strict=False):
        if name not in robots:
            continue
        view = ROBOTS[name].camera.hfov_deg
        what = f"trained for a camera of {trained:g} degrees on {name}, which has one of {view:g}"
        remedy = f"train one with s2e-ppo --sense rays --robot {name}"
        require(abs(trained / view - 1.0) <= VIEW_SHARE, f"{folder}: {what}; {remedy}")


class RayAgent:
    """A ray policy that drives N worlds.

    Args:
        worlds: N of them. policy: it. recovery: whether it gets out of jams; see there. nearer_m:
            as in `RaySense`.
    """

    def __init__(
        self, worlds: Worlds, policy: RayPolicy, recovery: bool = False, nearer_m: float = KEEPS_M
    ):
        self.worlds, self.policy = worlds, policy
        self.sense = RaySense(worlds, policy.config, nearer_m)
        self.recovery = Recovery(worlds.count) if recovery else None

    def reset(self, worlds: np.ndarray) -> None:
        """Forgets what worlds that begin an episode remember."""
        self.sense.begin(worlds)
        if self.recovery:
            self.recovery.begin(worlds)

    def act(self, *_: object) -> np.ndarray:
        """(N, 2) waypoints, metres; call it once a step. It looks at the worlds themselves."""
        w = self.worlds
        waypoints = self.policy.waypoints(self.sense.observe(), w.fleet.limits[:, 0])
        if self.recovery:
            waypoints = self.recovery.relieve(waypoints, w.pose, w.velocity, w.config.step_s)
        return waypoints
