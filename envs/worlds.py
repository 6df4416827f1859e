"""N independent worlds stepped in one call: robots, people, contacts, goals, images. All state is
arrays.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from s2e.core.errors import UserError
from s2e.core.observation import ego_state, goal_token, robot_token, to_robot
from s2e.core.state import ArrayState, part, prefixed
from s2e.envs.config import WorldsConfig
from s2e.envs.geometry.camera import view_intrinsics, view_poses
from s2e.envs.geometry.geodesic import GoalFields
from s2e.envs.geometry.ground import ground_height_at, surface_at
from s2e.envs.geometry.occupancy import DistanceFields, Occupancy
from s2e.envs.geometry.scene import GOAL_RADIUS_M, SEMANTIC_ID, Episode, Scene
from s2e.envs.geometry.topdown import top_down_maps
from s2e.envs.people.crowd import Robots, Walkable, step_crowd
from s2e.envs.people.people import CLEAR_M, People
from s2e.envs.people.tracks import read_tracks, replay
from s2e.envs.rewards import Transition, reward_of, reward_terms
from s2e.envs.robots.collision import (
    clear_heading,
    people_gaps,
    robot_contacts,
    room_at_points,
    static_gaps,
)
from s2e.envs.robots.controller import waypoint_to_command
from s2e.envs.robots.fleet import CONTROL_S, Fleet
from s2e.envs.robots.kinds import ROBOTS, randomise
from s2e.envs.robots.kinematic import Kinematic, Physics
from s2e.envs.robots.mujoco_physics import MujocoPhysics
from s2e.envs.scenes.episodes import EpisodeSource
from s2e.envs.stage import Stage

ACTION_HORIZON_S = 1.0
CONTACT_ENDS = 5  # control periods without touching, after which a touch is a new contact
PARTS = ("fleet", "people", "physics")
"""Attributes of `Worlds` with a state of their own, in the order in which they are restored."""
_OFF_SIDEWALK = np.array([SEMANTIC_ID["road"], SEMANTIC_ID["grass"]], dtype=np.uint8)


@dataclass(eq=False)
class WorldsState(ArrayState):
    """What changes while N worlds run, beside robots, people, physics and episodes.

    Attributes:
        pose: (N, 3) x, y (m), yaw (rad). velocity: (N, 3) m/s, rad/s, m/s to the left.
        scene_id, field_id: (N,) int64, the scene, and the distance field of the robot in it.
        goal: (N, 2) metres. way: (N, 2, 2) start and goal, as the episode has them.
        clock, limit: (N,) seconds of the episode, and how many it may take.
        since_contact: (N,) int64, control periods without touching. with_person: (N,) bool, whether
            the newest contact was with a person.
        contacts, contact_steps: (N,) int64, contacts, and control periods with one.
        travelled: (N,) metres. steps: (N,) int64, control periods.
        live: (N,) bool, whether there is an episode. returns: (N,) sum of its rewards.
        seed: (N,) int64, the episode's. effects: (N, 3) exposure, noise and blur of its camera.
        track_offset_s, track_turn: (N,) when the recording of people begins, and how far it is
            turned, radians.
    """

    WHAT: ClassVar[str] = "world state"

    pose: np.ndarray
    velocity: np.ndarray
    scene_id: np.ndarray
    field_id: np.ndarray
    goal: np.ndarray
    way: np.ndarray
    clock: np.ndarray
    limit: np.ndarray
    since_contact: np.ndarray
    with_person: np.ndarray
    contacts: np.ndarray
    contact_steps: np.ndarray
    travelled: np.ndarray
    steps: np.ndarray
    live: np.ndarray
    returns: np.ndarray
    seed: np.ndarray
    effects: np.ndarray
    track_offset_s: np.ndarray
    track_turn: np.ndarray


class Worlds(WorldsState):
    """The batch. `step` takes one waypoint a world: where the robot should be in a second, metres
    in its own frame.

    Finished worlds begin their next episode in the same call; the images and vectors returned are
    those of the new one, and `last` keeps what the old one ended with.

    Args:
        scenes: the pool that episodes point into.
        config: shared settings. worlds: N. source: gives each world its next episode.
        draw: whether `observe` renders images (baselines that see nothing go without).
    """

    def __init__(
        self,
        scenes: Sequence[Scene],
        config: WorldsConfig,
        worlds: int,
        source: EpisodeSource,
        draw: bool = True,
    ):
        if worlds < 1:
            raise UserError(f"{worlds} worlds asked for; at least 1 is needed (--envs 1 or more)")
        n = worlds
        super().__init__(
            pose=np.zeros((n, 3)),
            velocity=np.zeros((n, 3)),
            scene_id=np.zeros(n, dtype=np.int64),
            field_id=np.zeros(n, dtype=np.int64),
            goal=np.zeros((n, 2)),
            way=np.zeros((n, 2, 2)),
            clock=np.zeros(n),
            limit=np.ones(n),
            since_contact=np.zeros(n, dtype=np.int64),
            with_person=np.zeros(n, dtype=bool),
            contacts=np.zeros(n, dtype=np.int64),
            contact_steps=np.zeros(n, dtype=np.int64),
            travelled=np.zeros(n),
            steps=np.zeros(n, dtype=np.int64),
            live=np.ones(n, dtype=bool),
            returns=np.zeros(n),
            seed=np.zeros(n, dtype=np.int64),
            effects=np.tile([1.0, 0.0, 0.0], (n, 1)),
            track_offset_s=np.zeros(n),
            track_turn=np.zeros(n),
        )
        self.config, self.count, self.source = config, n, source
        self.reward = reward_of(config.reward)
        self.fleet = Fleet.of([config.robots[0]] * n)
        classes = Fleet.of(config.robots).step_class
        self.stage = Stage(scenes, classes.tolist(), draw, config.splat_backend)
        self.people = People.empty(n, config.people)
        self.tracks = read_tracks(config.tracks) if config.tracks else None
        self.physics = self._physics()
        self.ways = GoalFields(n) if config.shaping == "geodesic" else None
        self.last: dict[str, np.ndarray] = {}
        # what else `last` keeps of finished worlds, by name
        self.finals: dict[str, Callable[[np.ndarray], np.ndarray]] = {}

    def _physics(self) -> Physics:
        if self.config.physics == "kinematic":
            return Kinematic(self.fleet, self.stage.fields)
        return MujocoPhysics(self.fleet, self.stage.scenes)

    @property
    def scenes(self) -> list[Scene]:
        """The scenes that worlds are in."""
        return self.stage.scenes

    @property
    def fields(self) -> DistanceFields:
        """Their distance fields; `field_id` has each robot's."""
        return self.stage.fields

    def route_map(self, world: int) -> tuple[Occupancy, np.ndarray]:
        """The map that a world's robot can drive on, and its distances (R, C)."""
        return self.stage.route_map(int(self.scene_id[world]), int(self.fleet.step_class[world]))

    def reset(self) -> dict[str, np.ndarray]:
        """Begins an episode in every world and returns what is observed."""
        self._update_scenes()
        for world in range(self.count):
            self._begin(world)
        return self.observe(np.arange(self.count))

    def close(self) -> None:
        """Stops building scenes in the background."""
        self.source.close()

    def _begin(self, world: int) -> None:
        exchanged = self.source.new_scene(world)
        if exchanged is not None:
            self._exchange(world, exchanged)
        drawn = self.source.next(world)
        if drawn is None:
            self.live[world] = False
            return
        index, episode = drawn
        if len(episode.walkers) > self.config.people:
            raise UserError(
                f"episode {episode.id}: {len(episode.walkers)} people, the worlds hold "
                f"{self.config.people}"
            )
        self._equip(world, index, episode)
        walkers = () if self.tracks else episode.walkers
        self.people.place(world, walkers, wander=episode.random)
        self.clock[world], self.limit[world] = 0.0, episode.time_limit_s
        self.since_contact[world] = CONTACT_ENDS
        self.contacts[world] = self.contact_steps[world] = self.steps[world] = 0
        self.travelled[world] = self.returns[world] = 0.0
        self.live[world] = True

    def _exchange(self, slot: int, scene: Scene) -> None:
        self.stage.replace(slot, scene)
        self.physics.forget(slot)

    def _update_scenes(self) -> None:
        for slot, scene in self.source.out_of_date():
            self._exchange(slot, scene)

    def _equip(self, world: int, scene: int, episode: Episode) -> None:
        """Puts a robot with its camera at the start; what the episode leaves open is drawn from its
        seed.
        """
        config, rng = self.config, np.random.default_rng([episode.seed, 31])
        robot = ROBOTS[config.robots[rng.integers(len(config.robots))]]
        robot = randomise(rng, robot, config.randomise)
        self.fleet.put(world, robot)
        self.scene_id[world] = scene
        self.field_id[world] = self.stage.field_of(
            self.scene_id[world : world + 1], self.fleet.step_class[world : world + 1]
        )[0]
        self.pose[world], self.velocity[world], self.goal[world] = episode.start, 0.0, episode.goal
        if episode.random:  # a long robot may have to look another way
            self.pose[world] = clear_heading(
                self.fleet, world, self.pose[world], self.fields, int(self.field_id[world])
            )
        self.physics.reset(
            world, scene, int(self.field_id[world]), self.pose[world], robot, episode.seed
        )
        self.seed[world], self.way[world] = episode.seed, [episode.start[:2], episode.goal]
        self._find_way(world)
        strength = config.camera_noise
        exposure, noise, blur = np.exp(rng.normal(0, 0.18)), rng.uniform(0, 10), rng.uniform(0, 0.8)
        self.effects[world] = [exposure**strength, noise * strength, blur * strength]
        if self.tracks is not None:
            self._cue(world, rng, max(self.tracks.duration_s - episode.time_limit_s, 0.0))

    def _find_way(self, world: int) -> None:
        if self.ways:
            self.ways.begin(
                world,
                *self.route_map(world),
                float(self.fleet.disc_radius[world]),
                self.goal[world],
            )

    def to_go(self) -> np.ndarray:
        """(N,) metres to each goal, as `config.shaping` measures them; NaN where no way is
        known.
        """
        return (
            self.ways.at(self.pose[:, :2])
            if self.ways
            else np.linalg.norm(self.goal - self.pose[:, :2], axis=1)
        )

    def _cue(self, world: int, rng: np.random.Generator, latest_s: float) -> None:
        """Chooses when and how turned a recording begins in a world, with nobody near the robot if
        that can be.
        """
        assert self.tracks is not None
        way, slots = self.way[world][None], np.full((1, self.config.people), -1)
        for _ in range(20):
            self.track_offset_s[world] = rng.uniform(0, latest_s)
            self.track_turn[world] = rng.uniform(-np.pi, np.pi)
            cue = self.track_offset_s[world, None], way.mean(1), self.track_turn[world, None]
            where, _, present, _ = self.tracks.at(*cue, way, slots)
            away = np.linalg.norm(where[present] - self.pose[world, :2], axis=-1)
            if away.min(initial=np.inf) > CLEAR_M:
                return

    def step(
        self, waypoints: np.ndarray
    ) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray, np.ndarray]:
        """Drives all worlds for one action.

        Args:
            waypoints: (N, 2) metres ahead and left of each robot, to be reached in a second.

        Returns:
            What is observed now, the reward (N,), terminated (N,) and truncated (N,) bool.

        Raises:
            UserError: waypoints of another shape, or a live world's that is not finite.
        """
        waypoints = np.asarray(waypoints, dtype=np.float64)
        if waypoints.shape != (self.count, 2):
            raise UserError(
                f"actions: shape {waypoints.shape}, expected ({self.count}, 2): one waypoint a "
                "world"
            )
        waypoints = np.where(self.live[:, None], waypoints, 0.0)
        distance_before, omega_before = self.to_go(), self.velocity[:, 1].copy()

        # Drive: the command stands for some control periods; who has arrived, or whose episode a
        # contact has ended, stays where it is.
        ends = self.config.collision == "ends"
        command = waypoint_to_command(waypoints, ACTION_HORIZON_S, self.fleet)
        arrived, collided = np.zeros(self.count, dtype=bool), np.zeros(self.count, dtype=bool)
        for _ in range(self.config.controls_per_step):
            moving = self.live & ~arrived & ~(collided & ends)
            collided |= self._move(command, moving)
            away = np.linalg.norm(self.goal - self.pose[:, :2], axis=1)
            arrived |= moving & (away < GOAL_RADIUS_M)
        arrived &= ~(collided & ends)

        # Pay.
        step = self._transition(waypoints, distance_before, omega_before, arrived, collided)
        terms = {
            name: np.where(self.live, values, 0.0)
            for name, values in reward_terms(self.reward, step).items()
        }
        reward = np.sum(list(terms.values()), axis=0)
        self.returns += reward

        # End what is over, keep what it ended with, and begin anew.
        terminated = self.live & (arrived | (collided & ends))
        truncated = self.live & ~terminated & (self.clock >= self.limit - 1e-9)
        done = np.flatnonzero(terminated | truncated)
        self.last = self._ending(done, arrived, terms)
        for world in done:
            self.source.ended(int(world), bool(arrived[world]))
            self._begin(int(world))

        # Look: what is seen now, in worlds that began anew of the new episode.
        return self.observe(np.arange(self.count)), reward, terminated, truncated

    def _transition(
        self,
        waypoints: np.ndarray,
        distance_before: np.ndarray,
        omega_before: np.ndarray,
        arrived: np.ndarray,
        collided: np.ndarray,
    ) -> Transition:
        """What the step did; `distance_before` and `omega_before` are from before it."""
        surface = surface_at(self.stage.ground, self.scene_id, self.pose[:, :2])
        after = self.to_go()
        # where no way is known nothing is said to have come nearer
        known = np.isfinite(distance_before) & np.isfinite(after)
        straight = np.linalg.norm(self.goal - self.pose[:, :2], axis=1)
        return Transition(
            step_s=self.config.step_s,
            waypoint=waypoints,
            pose=self.pose,
            velocity=self.velocity,
            goal=self.goal,
            distance_before=np.where(known, distance_before, straight),
            distance_after=np.where(known, after, straight),
            time_s=self.clock,
            speed=np.hypot(self.velocity[:, 0], self.velocity[:, 2]),
            arrived=arrived,
            collided=collided,
            person_gap=self.person_gap(),
            static_gap=static_gaps(self.fleet, self.pose, self.fields, self.field_id),
            omega_change=self.velocity[:, 1] - omega_before,
            off_sidewalk=np.isin(surface, _OFF_SIDEWALK),
        )

    def _ending(
        self, done: np.ndarray, arrived: np.ndarray, terms: dict[str, np.ndarray]
    ) -> dict[str, np.ndarray]:
        """What the finished worlds ended with, before they begin anew: rows in the order of
        `world`.
        """
        final = self.observe(done) | {name: of(done) for name, of in self.finals.items()}
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
        """One control period; returns which worlds came into contact (they were free for half a
        second before).
        """
        # Robots as far as things let them, then people.
        here = self.pose
        pose, velocity, static = self.physics.move(here, self.velocity, command, moving, CONTROL_S)
        self._move_people(moving)

        # Who would walk into a person stays, and may turn on the spot; out of a person's way
        # everybody may back.
        gap_here, gap_there = self.person_gap(here), self.person_gap(pose)
        person = moving & (gap_there < 0)
        blocked = person & (gap_there < gap_here)
        turned = np.concatenate([here[:, :2], pose[:, 2:]], 1)
        can_turn = (
            blocked
            & ~robot_contacts(self.fleet, turned, self.fields, self.field_id)
            & (self.person_gap(turned) >= 0)
        )
        self.pose = np.where(blocked[:, None], np.where(can_turn[:, None], turned, here), pose)
        self.velocity = np.where(blocked[:, None], 0.0, velocity)

        # Contacts: a touch after a while without one is a new one.
        touching = moving & (static | person)
        fresh = touching & (self.since_contact >= CONTACT_ENDS)
        self.with_person = np.where(fresh, person & ~static, self.with_person)
        self.contacts += fresh
        self.contact_steps += touching
        apart = np.where(touching, 0, self.since_contact + 1)
        self.since_contact = np.where(moving, apart, self.since_contact)

        self.steps += moving
        self.travelled += np.linalg.norm(self.pose[:, :2] - here[:, :2], axis=1)
        self.clock += CONTROL_S * moving
        return fresh

    def _move_people(self, moving: np.ndarray) -> None:
        if self.tracks is not None:
            middle = self.way.mean(1)
            replay(
                self.people,
                self.tracks,
                self.track_offset_s + self.clock,
                middle,
                self.track_turn,
                self.way,
                CONTROL_S,
                moving,
            )
            # The recorded ground was open: who would stand inside something here is not there.
            self.people.active &= (
                room_at_points(self.people.position, self.fields, self.scene_id) > 0
            )
            return
        step_crowd(
            self.people,
            self.clock,
            Robots(self.pose, self.velocity, self.fleet.discs, self.fleet.disc_radius),
            Walkable(self.fields, self.stage.roadmaps, self.scene_id),
            CONTROL_S,
            react=self.config.react,
            moving=moving,
        )

    def person_gap(self, poses: np.ndarray | None = None) -> np.ndarray:
        """(N,) metres between each robot's discs and the nearest person's body; negative is
        contact, inf is nobody.
        """
        return people_gaps(
            self.fleet,
            self.pose if poses is None else poses,
            self.people.position,
            self.people.active,
        )

    def people_to_draw(self, worlds: np.ndarray) -> np.ndarray:
        """(V, P, 7) what the rasteriser draws, with their soles on the ground; see
        `render_meshes`.
        """
        rows = self.people.rows()[worlds]
        if rows.size:
            scene = np.repeat(self.scene_id[worlds], rows.shape[1])
            height = ground_height_at(
                self.stage.ground, scene, self.people.position[worlds].reshape(-1, 2)
            )
            rows[..., 2] = height.reshape(rows.shape[:2])
        return rows

    def views(self, worlds: np.ndarray) -> dict[str, Any]:
        """What `Renderer.draw` needs to draw what some worlds' robots see."""
        config, scene, pose = self.config, self.scene_id[worlds], self.pose[worlds]
        ground = ground_height_at(self.stage.ground, scene, pose[:, :2])
        camera, sway = self.fleet.camera[worlds], self.fleet.sway[worlds]
        positions, rotations = view_poses(
            pose, ground, camera, sway, self.travelled[worlds], self.velocity[worlds, 0]
        )
        frame = (self.seed[worlds] + 7919 * self.steps[worlds]) % (1 << 24)
        return {
            "scene_id": scene,
            "positions": positions,
            "rotations": rotations,
            "intrinsics": view_intrinsics(camera, config.height_px, config.width_px),
            "size": (config.height_px, config.width_px),
            "people": self.people_to_draw(worlds),
            "effects": np.column_stack([self.effects[worlds], frame])
            if config.camera_noise
            else None,
        }

    def observe(self, worlds: np.ndarray) -> dict[str, np.ndarray]:
        """What some worlds' robots see: `goal` (V, 3), `ego` (V, 3), `robot` (V, 6) float32, and
        what `outputs` asks for.

        `rgb` is (V, H, W, 3) uint8, `depth` (V, H, W) float32 metres, `semantic` (V, H, W) uint8,
        `instance` (V, H, W) int32, `map` (V, 64, 64) uint8. Without drawing there are no images; in
        finished worlds they are 0.
        """
        goal = to_robot(self.goal[worlds], self.pose[worlds])
        vectors = {
            "goal": goal_token(goal, self.config.goal_clip_m),
            "ego": ego_state(self.velocity[worlds, 0], self.velocity[worlds, 1]),
            "robot": robot_token(self.fleet.about()[worlds]),
        }
        return {**self._images(worlds), **vectors}

    def _images(self, worlds: np.ndarray) -> dict[str, np.ndarray]:
        wanted = [name for name in self.config.outputs if name != "map"]
        live = np.flatnonzero(self.live[worlds])
        out: dict[str, np.ndarray] = {}
        if wanted and self.stage.renderer:
            labels = "semantic" in wanted or "instance" in wanted
            images = self.stage.renderer.draw(**self.views(worlds[live]), labels=labels)
            for name in wanted:
                drawn = getattr(images, name)
                if len(live) < len(worlds):
                    filled = np.zeros((len(worlds), *drawn.shape[1:]), dtype=drawn.dtype)
                    filled[live] = drawn
                    drawn = filled
                out[name] = drawn
        if "map" in self.config.outputs:
            people = self.people.position[worlds], self.people.active[worlds]
            out["map"] = top_down_maps(
                self.pose[worlds], self.goal[worlds], *people, self.fields, self.field_id[worlds]
            )
        return out

    def state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Everything that `restore_state` needs, as arrays and JSON."""
        arrays = self.arrays()
        for name in PARTS:
            arrays |= prefixed(name, getattr(self, name).arrays())
        return arrays, {"source": self.source.state()}

    def restore_state(self, arrays: dict[str, np.ndarray], state: dict[str, Any]) -> None:
        """Puts back what `state` took; worlds of another number are refused."""
        self.restore(arrays)
        self.source.restore(state["source"])
        self._update_scenes()  # before the physics, which may build its own of them
        for name in PARTS:
            getattr(self, name).restore(part(name, arrays))
        for world in np.flatnonzero(self.live):
            self._find_way(int(world))
