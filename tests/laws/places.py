"""Places, robots and people that laws are tried on."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from s2e.envs.geometry.occupancy import DistanceFields, Occupancy
from s2e.envs.people.crowd import Robots, Walkable, step_crowd
from s2e.envs.people.people import GOAL_X, SPEED, START_X, VX, VY, YAW, People
from s2e.envs.people.roadmap import Roadmaps
from s2e.envs.robots.fleet import Fleet
from s2e.planner.fusion import Fusion
from s2e.planner.guide import Guide
from s2e.planner.rules import advise
from s2e.planner.scene import PlannerView
from s2e.video.frames import ImageFiles
from s2e.video.walk import Walk

KINDS = ("jackal", "coco", "go2", "g1")
HALF_M = 4.0
WHOLE = np.array([-4.0, -2.0, 2.0, 4.0]) * np.pi
"""Turns that change nothing."""


def scattered(seed: int, share: float = 0.01) -> np.ndarray:
    """(80, 80) bool: a place of 8 m with small things in it, around the origin."""
    return np.random.default_rng(seed).random((80, 80)) < share


def fields_of(grid: np.ndarray, scale: float = 1.0) -> DistanceFields:
    """A grid of 80 cells around the origin as a field; cells are 0.1 m times `scale`."""
    return DistanceFields.pack([Occupancy(grid, np.full(2, -HALF_M * scale), 0.1 * scale)])


def poses_of(rng: np.random.Generator, count: int, reach_m: float = 3.0) -> np.ndarray:
    """(count, 3) anywhere within the reach."""
    return np.concatenate(
        [rng.uniform(-reach_m, reach_m, (count, 2)), rng.uniform(-np.pi, np.pi, (count, 1))], 1
    )


def walk_of(rng: np.random.Generator, turned: np.ndarray | float = 0.0) -> Walk:
    """7 s at 0.8 m/s to the left and right; `turned` is added to what is told of the yaw."""
    yaw, times = np.cumsum(rng.normal(0.03, 0.05, 70)), np.arange(70) / 10
    step = 0.08 * np.stack([np.cos(yaw), np.sin(yaw)], 1)
    frames = ImageFiles(lambda k: b"", 70, str)
    return Walk("walk", Path("walk"), frames, times, np.cumsum(step, 0), yaw + turned)


def guided(views: Sequence[PlannerView], fusion: Fusion) -> list[tuple[np.ndarray, float]]:
    """What the rules and a guide make of a robot's views, one after the other."""
    guide, found = Guide(fusion), []
    for view in views:
        guide.see(view)
        guide.hear(advise(view))
        found.append(guide.apply(view))
    return found


@dataclass
class Street:
    """Worlds with a robot of every kind, some things and some people, as far as rays and crowds
    look into them."""

    seed: int = 0
    worlds: int = 12
    slots: int = 3
    share: float = 0.01
    fleet: Fleet = field(init=False)
    pose: np.ndarray = field(init=False)
    velocity: np.ndarray = field(init=False)
    goal: np.ndarray = field(init=False)
    people: People = field(init=False)
    fields: DistanceFields = field(init=False)

    def __post_init__(self):
        rng, n = np.random.default_rng(self.seed), self.worlds
        self.grid = scattered(self.seed, self.share)
        self.fields = fields_of(self.grid)
        self.fleet = Fleet.of([KINDS[k % 4] for k in range(n)])
        self.count, self.field_id = n, np.zeros(n, dtype=np.int64)
        self.pose = poses_of(rng, n)
        self.velocity = rng.uniform([0.0, -1.0, -0.2], [1.2, 1.0, 0.2], (n, 3))
        self.goal = rng.uniform(-6.0, 6.0, (n, 2))
        self.people = People.empty(n, self.slots)
        self.people.active[:] = True
        real = self.people.real
        real[..., :2] = rng.uniform(-3.0, 3.0, (n, self.slots, 2))
        real[..., START_X : START_X + 2] = real[..., :2]
        real[..., GOAL_X : GOAL_X + 2] = rng.uniform(-3.5, 3.5, (n, self.slots, 2))
        real[..., SPEED] = rng.uniform(0.8, 1.6, (n, self.slots))
        way = real[..., GOAL_X : GOAL_X + 2] - real[..., :2]
        real[..., YAW] = np.arctan2(way[..., 1], way[..., 0])
        real[..., VX] = 0.8 * np.cos(real[..., YAW])
        real[..., VY] = 0.8 * np.sin(real[..., YAW])
        self.people.whole[..., 3] = rng.integers(0, 1 << 20, (n, self.slots))

    def as_worlds(self) -> Any:
        """What rays ask of worlds."""
        return SimpleNamespace(
            count=self.count,
            fleet=self.fleet,
            fields=self.fields,
            field_id=self.field_id,
            pose=self.pose,
            velocity=self.velocity,
            goal=self.goal,
            people=self.people,
        )

    def walk(self, steps: int = 1, dt: float = 0.1) -> np.ndarray:
        """Moves the people for some steps past the robots; (N, P, 11) what became of them."""
        robots = Robots(self.pose, self.velocity, self.fleet.discs, self.fleet.disc_radius)
        ground = Walkable(self.fields, Roadmaps.empty(1), self.field_id)
        for step in range(steps):
            step_crowd(self.people, np.full(self.count, dt * step), robots, ground, dt)
        return self.people.real
