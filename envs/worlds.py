"""N independent worlds stepped in one call: robots, people, contacts, goals, images. All state is arrays."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from s2e.config import PolicyConfig
from s2e.envs.camera import Camera
from s2e.envs.collision import people_gaps, robot_contacts, static_gaps
from s2e.envs.controller import waypoint_to_command
from s2e.envs.crowd import step_crowd, turn_back
from s2e.envs.episodes import EpisodeSource
from s2e.envs.occupancy import DistanceFields
from s2e.envs.render import Renderer
from s2e.envs.rewards import TERMS, Change
from s2e.envs.robots import ROBOTS, step_robots
from s2e.envs.scene import Scene
from s2e.errors import UserError
from s2e.observation import ego_state, goal_token, to_robot

CONTROL_S = 0.1
ACTION_HORIZON_S = 1.0
GOAL_RADIUS_M = 1.0
CONTACT_ENDS = 5  # control periods without touching, after which a touch is a new contact


@dataclass(frozen=True)
class WorldsConfig:
    """What all worlds of a batch share.

    Attributes:
        robot: a key of `ROBOTS`.
        people: the most people a world can hold.
        controls_per_step: control periods of 0.1 s that one action lasts.
        collision: "ends" finishes the episode at the first contact; "counts" blocks the robot and counts contacts.
        height_px, width_px: size of the images.
        goal_clip_m: distance that the goal's first number is clipped to and divided by.
    """

    robot: str = "jackal"
    people: int = 6
    controls_per_step: int = 2
    collision: Literal["ends", "counts"] = "ends"
    height_px: int = 96
    width_px: int = 160
    goal_clip_m: float = 10.0

    @classmethod
    def for_policy(cls, policy: PolicyConfig, **more: Any) -> "WorldsConfig":
        """What a policy needs to see: its image size, its step and its goal's unit; `more` sets the other fields."""
        return cls(
            controls_per_step=round(policy.frame_spacing_s / CONTROL_S),
            height_px=policy.height_px,
            width_px=policy.width_px,
            goal_clip_m=policy.goal_clip_m,
            **more,
        )


_STATE = (
    "pose", "velocity", "scene_id", "goal", "person", "person_velocity", "endpoints", "leg", "person_speed", "look", "active",
    "gait", "clock", "limit", "since_contact", "with_person", "contacts",
    "contact_steps", "travelled", "steps", "live", "returns",
)  # fmt: skip


class Worlds:
    """The batch. `step` takes one waypoint a world: where the robot should be in a second, metres in its own frame.

    Finished worlds begin their next episode in the same call; the images and vectors returned are those of the new one, and
    `last` keeps what the old one ended with.

    Args:
        scenes: the pool that episodes point into.
        config: shared settings. worlds: N. source: gives each world its next episode.
        draw: whether `observe` renders images (baselines that see nothing go without).
    """

    def __init__(self, scenes: Sequence[Scene], config: WorldsConfig, worlds: int, source: EpisodeSource, draw: bool = True):
        if worlds < 1:
            raise UserError(f"{worlds} worlds asked for; at least 1 is needed (--envs 1 or more)")
        if config.robot not in ROBOTS:
            raise UserError(f"robot {config.robot!r} is not one of {', '.join(ROBOTS)}")
        self.scenes, self.config, self.count, self.source = scenes, config, worlds, source
        self.robot = ROBOTS[config.robot]
        self.fields = DistanceFields.pack([s.occupancy for s in scenes])
        mount = self.robot.camera
        camera = Camera(config.height_px, config.width_px, mount.hfov_deg, mount.x, mount.z, mount.pitch_deg)
        self.renderer = Renderer(scenes, camera) if draw else None
        n, p = worlds, config.people
        self.pose, self.velocity = np.zeros((n, 3)), np.zeros((n, 2))
        self.scene_id, self.goal = np.zeros(n, dtype=np.int64), np.zeros((n, 2))
        self.person, self.person_velocity = np.zeros((n, p, 2)), np.zeros((n, p, 2))
        self.endpoints, self.leg = np.zeros((n, p, 2, 2)), np.ones((n, p), dtype=np.int64)
        self.person_speed, self.look = np.zeros((n, p)), np.zeros((n, p))
        self.active, self.gait = np.zeros((n, p), dtype=bool), np.zeros((n, p))
        self.clock, self.limit = np.zeros(n), np.ones(n)
        self.since_contact, self.with_person = np.zeros(n, dtype=np.int64), np.zeros(n, dtype=bool)
        self.contacts = np.zeros(n, dtype=np.int64)
        self.contact_steps, self.steps = np.zeros(n, dtype=np.int64), np.zeros(n, dtype=np.int64)
        self.travelled, self.returns = np.zeros(n), np.zeros(n)
        self.live = np.ones(n, dtype=bool)
        self.last: dict[str, np.ndarray] = {}

    def reset(self) -> dict[str, np.ndarray]:
        """Begins an episode in every world and returns what is observed."""
        for world in range(self.count):
            self._begin(world)
        return self.observe(np.arange(self.count))

    def _begin(self, world: int) -> None:
        drawn = self.source.next(world)
        if drawn is None:
            self.live[world] = False
            return
        index, episode = drawn
        if len(episode.walkers) > self.config.people:
            raise UserError(f"episode {episode.id}: {len(episode.walkers)} people, the worlds hold {self.config.people}")
        self.scene_id[world] = index
        self.pose[world] = episode.start
        self.velocity[world], self.goal[world] = 0.0, episode.goal
        self.active[world] = False
        for slot, walker in enumerate(episode.walkers):
            ends = np.array([walker.start, walker.goal])
            self.endpoints[world, slot], self.person[world, slot] = ends, ends[0]
            way = ends[1] - ends[0]
            self.person_velocity[world, slot] = walker.speed * way / max(np.linalg.norm(way), 1e-9)
            self.person_speed[world, slot], self.look[world, slot] = walker.speed, walker.look
            self.active[world, slot], self.leg[world, slot], self.gait[world, slot] = True, 1, walker.look % 7
        self.clock[world], self.limit[world] = 0.0, episode.time_limit_s
        self.since_contact[world], self.contacts[world], self.contact_steps[world] = CONTACT_ENDS, 0, 0
        self.travelled[world], self.steps[world], self.returns[world] = 0.0, 0, 0.0
        self.live[world] = True

    def step(self, waypoints: np.ndarray) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray, np.ndarray]:
        """Drives all worlds for one action.

        Args:
            waypoints: (N, 2) metres in each robot's frame, to be reached in `ACTION_HORIZON_S`.

        Returns:
            Observation (`observe`) after automatic resets, reward (N,), terminated (N,) bool (goal, or a collision that ends), and
            truncated (N,) bool (time). `last` holds the ended episodes' figures and final vectors.

        Raises:
            UserError: an action is not finite; names the world.
        """
        waypoints = np.asarray(waypoints, dtype=np.float64)
        if waypoints.shape != (self.count, 2):
            raise UserError(f"actions have shape {waypoints.shape}, expected ({self.count}, 2)")
        before = np.linalg.norm(self.goal - self.pose[:, :2], axis=1)
        omega_before = self.velocity[:, 1].copy()
        command = waypoint_to_command(waypoints, ACTION_HORIZON_S, self.robot)
        command[~self.live] = np.where(np.isfinite(command[~self.live]), 0.0, command[~self.live])
        arrived, collided = np.zeros(self.count, dtype=bool), np.zeros(self.count, dtype=bool)
        for _ in range(self.config.controls_per_step):
            moving = self.live & ~arrived & ~(collided & (self.config.collision == "ends"))
            collided |= self._move(command, moving)
            arrived |= moving & (np.linalg.norm(self.goal - self.pose[:, :2], axis=1) < GOAL_RADIUS_M)
        ended_by_contact = collided if self.config.collision == "ends" else np.zeros_like(collided)
        arrived &= ~ended_by_contact
        after = np.linalg.norm(self.goal - self.pose[:, :2], axis=1)
        static = static_gaps(self.robot, self.pose, self.fields, self.scene_id)
        change = Change(before, after, arrived, collided, self.person_gap(), static, self.velocity[:, 1] - omega_before)
        terms = {term.__name__: np.where(self.live, term(change), 0.0) for term in TERMS}
        reward = np.sum(list(terms.values()), axis=0)
        self.returns += reward
        terminated = self.live & (arrived | ended_by_contact)
        truncated = self.live & ~terminated & (self.clock >= self.limit - 1e-9)
        done = np.flatnonzero(terminated | truncated)
        self.last = self._ending(done, arrived, terms)
        for world in done:
            self._begin(world)
        return self.observe(np.arange(self.count)), reward, terminated, truncated

    def _ending(self, done: np.ndarray, arrived: np.ndarray, terms: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """What the finished worlds ended with, before they begin anew: rows in the order of `world`."""
        final = self.observe(done)
        return {
            "world": done,
            "success": arrived[done].copy(),
            "contacts": self.contacts[done].copy(),
            "contact_steps": self.contact_steps[done].copy(),
            "steps": self.steps[done].copy(),
            "time_s": self.clock[done].copy(),
            "path_m": self.travelled[done].copy(),
            "return": self.returns[done].copy(),
            "pose": self.pose[done].copy(),
            **{f"final_{k}": v for k, v in final.items()},
            **{f"reward_{k}": v.copy() for k, v in terms.items()},
        }

    def _move(self, command: np.ndarray, moving: np.ndarray) -> np.ndarray:
        """One control period; returns which worlds came into contact (they were free for half a second before)."""
        pose, velocity = step_robots(self.robot, self.pose, self.velocity, command, CONTROL_S)
        self.person, self.person_velocity = step_crowd(
            self.person, self.person_velocity, self._person_goals(), self.person_speed, self.active & moving[:, None],
            self.pose, self.velocity, self.robot, self.fields, self.scene_id, CONTROL_S, 1,
        )  # fmt: skip
        self.gait += np.linalg.norm(self.person_velocity, axis=-1) * CONTROL_S * 4.2
        static = robot_contacts(self.robot, pose, self.fields, self.scene_id)
        gap_here, gap_there = self.person_gap(), self.person_gap(pose)
        person = gap_there < 0
        # A blocked robot may still turn on the spot, and may always back out of a person's way.
        blocked = static | (person & (gap_there < gap_here))
        turned = np.concatenate([self.pose[:, :2], pose[:, 2:]], 1)
        can_turn = blocked & ~robot_contacts(self.robot, turned, self.fields, self.scene_id) & (self.person_gap(turned) >= 0)
        pose = np.where(blocked[:, None], np.where(can_turn[:, None], turned, self.pose), pose)
        velocity = np.where(blocked[:, None], 0.0, velocity)
        pose, velocity = np.where(moving[:, None], pose, self.pose), np.where(moving[:, None], velocity, self.velocity)
        touching = moving & (static | person)
        fresh = touching & (self.since_contact >= CONTACT_ENDS)
        self.with_person = np.where(fresh, person & ~static, self.with_person)  # who the newest contact was with
        self.contacts += fresh
        self.contact_steps += touching
        self.since_contact = np.where(moving, np.where(touching, 0, self.since_contact + 1), self.since_contact)
        self.steps += moving
        self.travelled += np.linalg.norm(pose[:, :2] - self.pose[:, :2], axis=1)
        self.clock += CONTROL_S * moving
        self.pose, self.velocity = pose, velocity
        return fresh

    def _person_goals(self) -> np.ndarray:
        self.leg, goals = turn_back(self.person, self.endpoints, self.leg)
        return goals

    def person_gap(self, poses: np.ndarray | None = None) -> np.ndarray:
        """(N,) metres between each robot's discs and the nearest person's body; negative is contact, inf is nobody."""
        return people_gaps(self.robot, self.pose if poses is None else poses, self.person, self.active)

    def people_to_draw(self, worlds: np.ndarray) -> np.ndarray:
        """(V, P, 5) what the rasteriser draws: x, y, heading, phase of the gait, look; NaN is nobody."""
        heading = np.arctan2(self.person_velocity[worlds, :, 1], self.person_velocity[worlds, :, 0])
        x = np.where(self.active[worlds], self.person[worlds, :, 0], np.nan)
        columns = [x, self.person[worlds, :, 1], heading, self.gait[worlds], self.look[worlds]]
        return np.stack(columns, -1).astype(np.float32)

    def observe(self, worlds: np.ndarray) -> dict[str, np.ndarray]:
        """What some worlds' robots see: `rgb` (V, H, W, 3) uint8, `goal` (V, 3), `ego` (V, 3) float32.

        Without drawing, and in finished worlds, `rgb` is black.
        """
        height, width = self.config.height_px, self.config.width_px
        rgb = np.zeros((len(worlds) if self.renderer else 0, height, width, 3), dtype=np.uint8)
        seen = np.flatnonzero(self.live[worlds])
        if self.renderer and len(seen):
            shown = worlds[seen]
            images = self.renderer.render(self.scene_id[shown], self.pose[shown], self.people_to_draw(shown))
            rgb = images if len(seen) == len(worlds) else rgb
            rgb[seen] = images
        goal = to_robot(self.goal[worlds], self.pose[worlds])
        return {
            "rgb": rgb,
            "goal": goal_token(goal, self.config.goal_clip_m),
            "ego": ego_state(self.velocity[worlds, 0], self.velocity[worlds, 1]),
        }

    def state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Everything that `restore` needs, as arrays and JSON."""
        return {k: getattr(self, k).copy() for k in _STATE}, {"source": self.source.state()}

    def restore(self, arrays: dict[str, np.ndarray], state: dict[str, Any]) -> None:
        """Puts back what `state` took; worlds of another number are refused."""
        for name in _STATE:
            here = getattr(self, name)
            if arrays[name].shape != here.shape:
                raise UserError(f"world state {name}: {arrays[name].shape} saved, {here.shape} expected; resume with the same --envs")
            setattr(self, name, arrays[name].astype(here.dtype).copy())
        self.source.restore(state["source"])
