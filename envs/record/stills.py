"""Records stills: what robots see at random poses, and how far they can see (the format:
`s2e/video/stills.py`).

Where an expert drives there is nothing near; a policy that leaves the expert's way sees what it has
never seen. So poses are drawn, not driven: anywhere, close to things and facing them, oblique along
them, before kerbs and people, and with the nose against something as after a contact. Nothing
moves; a take is one shard, drawn in batches of views.
"""

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.ndimage import distance_transform_edt, label
from tqdm import tqdm

from s2e.core.errors import UserError, require
from s2e.core.lock import check_place, hold, release
from s2e.envs.free_space import free_space
from s2e.envs.geometry.scene import Episode, Scene
from s2e.envs.people.crowd import PERSON_RADIUS
from s2e.envs.people.people import BEHAVIOURS, PHONE, STAND
from s2e.envs.record.takes import RESUME, STATE, begin, read_state, take_seed, write_state
from s2e.envs.record.walks import Drives, Filmed, Settings, body_of, load_places, places_of
from s2e.envs.robots.collision import (
    people_gaps,
    robot_contacts,
    room_at_points,
    static_gaps,
    sweep,
)
from s2e.envs.warm import warm_up
from s2e.video.frames import jpeg
from s2e.video.stills import ShardBytes, Still, dataset

KINDS = {"free": 0.2, "near": 0.25, "oblique": 0.2, "kerb": 0.1, "person": 0.15, "contact": 0.1}
"""Why a pose was chosen, and how often."""
FREE, NEAR, OBLIQUE, KERB, PERSON, CONTACT = range(len(KINDS))
STILLS = 6144
"""Stills of a take, which is a shard: some 50 MB."""
VIEWS = 256
"""Views drawn at once."""
TRIES = 32
"""Poses that are drawn for each view; the first good one is taken."""
GAP_M = np.array(
    [(0.02, np.inf), (0.05, 1.0), (0.05, 1.0), (0.05, 1.5), (0.02, np.inf), (0.05, 0.6)]
)
"""Least and most room between the footprint and what stands still, by kind; who makes contact
drives on from there."""
TURN_RAD = np.radians([(0, 180), (0, 30), (30, 70), (0, 60), (0, 180), (0, 60)])
"""How far the robot is turned from what it is near, by kind."""
BEFORE_PERSON_M = (0.5, 3.0)
AROUND_M = 8.0
"""How far other people are away at most."""
TOUCH_M = 0.05
"""Room that is left at most after a contact."""
PERSON_TOUCHED = 0.25
"""Share of contacts that are with people."""
CLEAR_M = 0.25
"""Robots' places are connected by ways with this much room."""
TAKE = {"shard": dict, "stills": int}


@dataclass(frozen=True)
class _Places:
    """Where robots of one step class can be in a scene, and what stands in their way.

    Attributes:
        free: (K, 2) centres of the free cells that can be reached. nearest: (K, 2) centres of the
            occupied cells nearest to them.
        kerb: (J, 2) centres of cells that stop the robot, not people.
        reached: (R, C) bool, which cells `free` are. origin, resolution: of the map.
    """

    free: np.ndarray
    nearest: np.ndarray
    kerb: np.ndarray
    reached: np.ndarray
    origin: np.ndarray
    resolution: float

    def holds(self, xy: np.ndarray) -> np.ndarray:
        """(...) bool: which points (..., 2) lie in free cells that can be reached."""
        cells = np.floor((xy - self.origin) / self.resolution).astype(np.int64)[..., ::-1]
        inside = np.all((cells >= 0) & (cells < self.reached.shape), axis=-1)
        cells = np.where(inside[..., None], cells, 0)
        return inside & self.reached[cells[..., 0], cells[..., 1]]


def record_stills(out: Path, frames: int, settings: Settings, resume: bool = False) -> int:
    """Writes `frames` stills into shards below `out`, `STILLS` a shard; returns how many are there.

    With `resume` a recording of the same settings goes on after its last whole shard, or begins
    where there is none. A shard is there as a whole or not at all, whenever the process is killed.

    Raises:
        UserError: a setting is wrong; `out` is not empty and nothing is to be resumed, or holds
            another recording; it cannot be written.
    """
    settings.check("stills")
    check_place(out)
    try:
        if out.exists():
            hold(out)  # refused at once where another process records
        state = read_state(out, settings, resume, TAKE, "stills")
        if _count(state) < frames:
            loaded = load_places(settings)
            warm_up()
            hold(out)
            # as it is now that nobody else writes it
            state = read_state(out, settings, resume, TAKE, "stills")
            begin(out, state)
            for file in out.glob("stills-*.tar*"):
                if file.name not in {t["shard"]["name"] for t in state["takes"]}:
                    file.unlink()
        with tqdm(
            total=frames, initial=_count(state), desc="stills", unit="still", disable=None
        ) as bar:
            while _count(state) < frames:
                number, wanted = len(state["takes"]), min(STILLS, frames - _count(state))
                shard = _Take(number, places_of(settings, number, loaded), settings).draw(
                    wanted, bar
                )
                entry = shard.write(out)
                state["takes"].append(
                    {"shard": entry, "stills": entry["stills"], "whole": wanted == STILLS}
                )
                about = {
                    "source": f"random poses in {', '.join(settings.places())}",
                    "robot": settings.robot,
                    "seed": settings.seed,
                }
                # Before the state, so that a recording that is done has the list of its shards.
                write_state(
                    out / "dataset.json", dataset([t["shard"] for t in state["takes"]], about)
                )
                write_state(out / STATE, state)
    except OSError as error:
        raise UserError(f"{out}: stills cannot be written there ({error}); {RESUME}") from None
    finally:
        release(out)
    return _count(state)


def _count(state: dict[str, Any]) -> int:
    return sum(t["stills"] for t in state["takes"])


class _Take:
    """The stills of one shard."""

    def __init__(self, number: int, places: list[list[Scene]], settings: Settings):
        seed = take_seed(settings.seed, number)
        self.number, self.rng = number, np.random.default_rng([seed, 29])
        self.source = Drives(places, settings.envs, seed, settings.people)
        self.worlds = Filmed(
            self.source.scenes, settings.worlds(), settings.envs, self.source, settings.cameras
        )
        self.slots = settings.people
        self.places: dict[tuple[int, int], _Places] = {}

    def draw(self, wanted: int, bar: tqdm) -> ShardBytes:
        """Draws `wanted` stills; fewer are the beginning of more."""
        shard, worlds = ShardBytes(self.number), self.worlds
        every = np.arange(worlds.count)
        with ThreadPoolExecutor(2) as threads:
            while len(shard.jpegs) < wanted:
                kind = self._pose()
                rays, images = free_space(worlds, every), worlds.observe(every)["rgb"]
                for w, data in enumerate(threads.map(jpeg, images)):
                    if len(shard.jpegs) < wanted and kind[w] >= 0 and np.isfinite(rays[w]).any():
                        shard.add(self._still(w, data, rays[w], int(kind[w])))
                        bar.update()
        return shard

    def _still(self, world: int, data: bytes, rays: np.ndarray, kind: int) -> Still:
        worlds = self.worlds
        scene = worlds.scenes[worlds.scene_id[world]]
        look = "mesh" if scene.splats is None else "splats"
        return Still(
            data,
            rays,
            list(KINDS)[kind],
            look,
            scene.name,
            worlds.pose[world],
            body_of(worlds.fleet, world),
        )

    def _pose(self) -> np.ndarray:
        """Puts robots and people into all worlds; returns (N,) kinds, -1 where no pose was
        found.
        """
        worlds, rng, count = self.worlds, self.rng, self.worlds.count
        for w in range(count):
            place = self.source.places[rng.integers(len(self.source.places))]
            scene, seed = place[rng.integers(len(place))], int(rng.integers(1 << 31))
            worlds._equip(
                w, scene, Episode("still", "empty", (0.0, 0.0, 0.0), (0.0, 0.0), 0.0, 0.0, seed)
            )
        worlds.people.active[:] = False
        # Those that walk sway: at some point of their stride, half of them standing.
        worlds.travelled[:] = rng.uniform(0, 100, count)
        worlds.velocity[:, 0] = np.maximum(rng.uniform(-1, 1, count), 0) * worlds.fleet.limits[:, 0]
        kind = rng.choice(len(KINDS), count, p=list(KINDS.values()))
        with_person = (kind == PERSON) | ((kind == CONTACT) & (rng.random(count) < PERSON_TOUCHED))
        ground = [
            self._of(int(worlds.scene_id[w]), int(worlds.fleet.step_class[w])) for w in range(count)
        ]
        kind[(kind == KERB) & np.array([len(g.kerb) == 0 for g in ground])] = NEAR
        if self.slots == 0:
            kind[kind == PERSON], with_person[:] = NEAR, False
        free = np.where(with_person, FREE, kind)
        found = self._near(free, ground)
        other = ~found & (free != FREE)  # no such place in this scene
        kind[other], with_person[other] = FREE, False
        found |= self._near(np.where(other, FREE, -1), ground)
        kind[self._press(np.flatnonzero(found & (kind == CONTACT) & ~with_person))] = NEAR
        if self.slots:
            self._people(kind, with_person)
        return np.where(found, kind, -1)

    def _near(self, kind: np.ndarray, ground: list[_Places]) -> np.ndarray:
        """Draws the poses of all worlds whose kind is not -1; returns (N,) bool, where there was
        one.
        """
        worlds, rng, fleet = self.worlds, self.rng, self.worlds.fleet
        which = np.flatnonzero(kind >= 0)
        count, kinds = len(which), kind[which, None]
        target = np.zeros((count, TRIES, 2))
        for row, w in enumerate(which):
            g = ground[w]
            of = {FREE: g.free, KERB: g.kerb}.get(int(kind[w]), g.nearest)
            target[row] = of[rng.integers(len(of), size=TRIES)]
        target += (
            rng.uniform(-0.5, 0.5, target.shape)
            * np.array([ground[w].resolution for w in which])[:, None, None]
        )
        around, side = (
            rng.uniform(-np.pi, np.pi, (count, TRIES)),
            rng.choice([-1.0, 1.0], (count, TRIES)),
        )
        turn = rng.uniform(TURN_RAD[kinds, 0], TURN_RAD[kinds, 1], (count, TRIES)) * side
        # As if the robot were round: the gap that is asked for is read afterwards.
        most = np.minimum(GAP_M[kinds, 1], 1.5)
        size = np.sort(fleet.size[which, :2], axis=1)
        away = rng.uniform(0.0, most, (count, TRIES)) + 0.5 * rng.uniform(
            size[:, :1], size[:, 1:], (count, TRIES)
        )
        away = np.where(kinds == FREE, 0.0, away)
        xy = target + away[..., None] * np.stack([np.cos(around), np.sin(around)], -1)
        poses = np.concatenate([xy, _wrapped(around + np.pi + turn)[..., None]], -1)
        rows = np.repeat(which, TRIES)
        gap = static_gaps(
            fleet.rows(rows), poses.reshape(-1, 3), worlds.fields, worlds.field_id[rows]
        ).reshape(count, TRIES)
        good = (gap >= GAP_M[kinds, 0]) & (gap <= GAP_M[kinds, 1])
        good &= (
            np.stack([ground[w].holds(xy[row]) for row, w in enumerate(which)]) if count else good
        )
        first = good.argmax(1)
        found = np.zeros(worlds.count, dtype=bool)
        found[which] = good.any(1)
        worlds.pose[which] = poses[np.arange(count), first]
        return found

    def _press(self, which: np.ndarray) -> np.ndarray:
        """Drives the robots of some worlds on until they touch, and back by up to `TOUCH_M`;
        returns those that meet nothing.
        """
        worlds, rng = self.worlds, self.rng
        back = np.where(rng.random(len(which)) < 0.5, 0.0, rng.uniform(0, TOUCH_M, len(which)))
        if not len(which):
            return which
        pose, fleet, field = worlds.pose[which], worlds.fleet.rows(which), worlds.field_id[which]
        ahead = np.column_stack([np.cos(pose[:, 2]), np.sin(pose[:, 2]), np.zeros(len(which))])
        reached, blocked = sweep(fleet, pose, pose + 1.5 * ahead, worlds.fields, field)
        backed = reached - back[:, None] * ahead
        touching = robot_contacts(fleet, backed, worlds.fields, field)
        worlds.pose[which] = np.where(
            blocked[:, None], np.where(touching[:, None], reached, backed), pose
        )
        return which[~blocked]

    def _people(self, kind: np.ndarray, with_person: np.ndarray) -> None:
        """Puts people before the robots that are to meet one, and some around others; nobody
        touches robots or stands in things.
        """
        worlds, rng, slots = self.worlds, self.rng, self.slots
        fleet, count, people = worlds.fleet, worlds.count, worlds.people
        view = np.radians(fleet.camera[:, 0]) / 2
        more = np.minimum(rng.poisson(0.8, count), slots)
        for slot in range(slots):
            first = with_person & (slot == 0)
            wanted = first | (slot < more)
            bearing = rng.uniform(-1, 1, (count, TRIES)) * np.where(
                first[:, None], np.minimum(view, 0.7)[:, None] * 0.9, view[:, None]
            )
            low, high = np.where(first[:, None], BEFORE_PERSON_M, (BEFORE_PERSON_M[0], AROUND_M)).T
            away = rng.uniform(low[:, None], high[:, None], (count, TRIES))
            touch = first & (kind == CONTACT)
            # Of those who touch it is the foremost disc's distance.
            front = np.where(touch, fleet.discs.max(1), 0.0)
            near = (
                fleet.disc_radius[:, None]
                + PERSON_RADIUS
                + rng.uniform(0.001, TOUCH_M, (count, TRIES))
            )
            away = np.where(touch[:, None], near, away)
            x, y, yaw = worlds.pose.T
            angle = yaw[:, None] + bearing
            centre = np.stack([x + front * np.cos(yaw), y + front * np.sin(yaw)], -1)[:, None]
            xy = centre + away[..., None] * np.stack([np.cos(angle), np.sin(angle)], -1)
            along = (
                worlds.pose[:, None, None, :2]
                + np.linspace(0.2, 1, 8)[:, None] * (xy - worlds.pose[:, None, :2])[:, :, None]
            )
            seen = (
                (room_at_points(along.reshape(count, -1, 2), worlds.fields, worlds.scene_id) > 0)
                .reshape(count, TRIES, -1)
                .all(-1)
            )
            room = room_at_points(xy, worlds.fields, worlds.scene_id) > PERSON_RADIUS
            rows = np.repeat(np.arange(count), TRIES)
            gaps = people_gaps(
                fleet.rows(rows),
                worlds.pose[rows],
                xy.reshape(-1, 1, 2),
                np.ones((len(rows), 1), bool),
            )
            apart = (
                np.linalg.norm(xy[:, :, None] - people.position[:, None], axis=-1)
                > 2 * PERSON_RADIUS
            )
            good = (
                seen
                & room
                & (gaps.reshape(count, TRIES) > 0)
                & (apart | ~people.active[:, None]).all(-1)
            )
            there = wanted & good.any(1)
            chosen = xy[np.arange(count), good.argmax(1)]
            behaviour = np.where(
                rng.random(count) < 0.15,
                PHONE,
                np.where(rng.random(count) < 0.4, STAND, BEHAVIOURS.index("walk")),
            )
            people.position[:, slot], people.yaw[:, slot] = (
                chosen,
                rng.uniform(-np.pi, np.pi, count),
            )
            people.gait[:, slot] = np.where(
                behaviour == STAND, 0.0, rng.uniform(0, 2 * np.pi, count)
            )
            people.look[:, slot], people.behaviour[:, slot] = (
                rng.integers(1 << 20, size=count),
                behaviour,
            )
            people.active[:, slot] = there
            alone = first & ~there  # nowhere to put somebody: a pose like any other
            kind[alone] = FREE

    def _of(self, scene: int, step_class: int) -> _Places:
        """What a scene is for robots of a step class."""
        if (scene, step_class) not in self.places:
            occupancy, distance = self.worlds.stage.route_map(scene, step_class)
            of = self.worlds.scenes[scene]
            pieces = np.asarray(label(distance > CLEAR_M)[0])  # pyright: ignore[reportIndexIssue]
            cells = occupancy.cell_of(of.free_anchors)
            cells = cells[((cells >= 0) & (cells < pieces.shape)).all(1)]
            known = np.setdiff1d(pieces[tuple(cells.T)], [0])
            reached = np.isin(pieces, known) if len(known) else distance > CLEAR_M
            index = np.asarray(
                distance_transform_edt(~occupancy.grid, return_distances=False, return_indices=True)
            )
            rows, columns = np.nonzero(reached)
            nearest = (
                index[:, rows, columns].T if occupancy.grid.any() else np.stack([rows, columns], 1)
            )
            # Kerbs alone stop the robot and nobody else; those that no reached cell is near are
            # found out when a pose is drawn.
            kerb = np.argwhere(
                occupancy.grid
                & ~of.occupancy.grid
                & (np.asarray(distance_transform_edt(~reached)) < 12)
            )

            def centres(cells: np.ndarray) -> np.ndarray:
                return occupancy.origin + (cells[:, ::-1] + 0.5) * occupancy.resolution

            free = centres(np.stack([rows, columns], 1))
            require(
                len(free) > 0,
                f"scene {of.name}: no place with {CLEAR_M} m of room; give another --scene",
            )
            # Poses near things are between what is reached with room and the things.
            beside = (distance > 0) & (np.asarray(distance_transform_edt(~reached)) <= 4.0)
            self.places[scene, step_class] = _Places(
                free,
                centres(nearest),
                centres(kerb),
                beside,
                occupancy.origin,
                occupancy.resolution,
            )
        return self.places[scene, step_class]


def _wrapped(angle: np.ndarray) -> np.ndarray:
    return (angle + math.pi) % (2 * math.pi) - math.pi
