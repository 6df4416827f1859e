"""From a capture to a place: reads it, finds floor and scale, maps where robots go, proposes
episodes, writes the scene's folder.
"""

import hashlib
import math
import os
import time
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from s2e import __version__
from s2e.core.errors import UserError, require
from s2e.core.files import sha256
from s2e.envs.geometry.meshes import empty_mesh
from s2e.envs.geometry.occupancy import Occupancy
from s2e.envs.geometry.scene import Episode, Ground, Scene, Sky, Splats
from s2e.envs.robots.kinds import ROBOTS
from s2e.envs.scan.args import Import, check_words, parse_up
from s2e.envs.scan.check import BATCH, solved, splats_against_map
from s2e.envs.scan.ground.clean import REASONS, clean
from s2e.envs.scan.ground.columns import NOISY_M, columns, fill_walked, skipped_m
from s2e.envs.scan.ground.floor import Floor, NotNavigable, find_floor, given_floor
from s2e.envs.scan.ground.mesh_file import disc_spacing, read_mesh, surface_discs
from s2e.envs.scan.ground.scale import (
    Cameras,
    read_cameras,
    scale_from_cameras,
    scale_from_point,
    track_floor,
)
from s2e.envs.scan.picture import compiling, draw_refusal
from s2e.envs.scan.places import keep_region, to_ground, where_robots_go
from s2e.envs.scan.removed import removed_report, sky_of
from s2e.envs.scan.sidecar import Correction, correct_columns, inside, read_correction, sidecar_path
from s2e.envs.scan.store import check_target, store
from s2e.envs.scenes.episodes import SETTINGS
from s2e.envs.scenes.files import check_name, collection
from s2e.envs.scenes.propose import (
    ROUTE_M,
    SHORT_M,
    SHORTEST_M,
    covered,
    free_anchors,
    make_episodes,
)
from s2e.envs.splats.formats.any import read_splats
from s2e.envs.splats.formats.streamed import is_streamed, join, read_streamed
from s2e.envs.splats.formats.whole import SplatWarning
from s2e.envs.splats.transform import Placement, place, select, upright

HANDFUL = 5
"""Fewer episodes of a setting than these make no benchmark."""
TINY = 0.1
"""A collision mesh that is smaller than this share of its capture has other units."""
APART_M = 0.3
"""From so far on, the track of the cameras less the height they were held at counts more than the
surface that was found."""
TIGHT_M = 0.35
"""Room around a robot at starts and goals of places too small for routes of `SHORT_M`: just what it
turns in."""
DRIVEN_CELLS = 1_000_000
"""In maps of at most so many cells, 100 x 100 m of 0.1 m, the expert drives all that is proposed;
in larger ones it takes too long."""
LEAST_M2 = 6.0
"""A place where the Jackal has less ground than this is none."""
_SEED = 7


@dataclass(frozen=True)
class Measured:
    """How a capture lies in the world: its floor, the scale and where that came from, the placement
    of both, and where cameras walked.

    Attributes:
        walked: (N, 3) below the cameras, metres in the world, if there are any.
    """

    floor: Floor
    placement: Placement
    how: str
    uncertainty: float | None
    walked: np.ndarray | None = None


@dataclass(frozen=True)
class Mapped:
    """A place: what is solid, what is ground, and m2 of ground for each robot."""

    occupancy: Occupancy
    ground: Ground
    areas: dict[str, float]


class Steps:
    """Says what was done and how long it took, a line a step."""

    def __init__(self) -> None:
        self.before = time.perf_counter()

    def say(self, text: str) -> None:
        """Prints a line."""
        now = time.perf_counter()
        print(f"{text} ({now - self.before:.1f} s)", flush=True)
        self.before = now


def check(args: Import) -> Cameras | None:
    """Refuses arguments and files beside the capture that make no sense, before the capture is
    read; returns the cameras.
    """
    check_words(args)
    check_name(args.name)
    if args.collision is not None:
        # to be refused at once; read again when needed: meanwhile its memory is the capture's
        read_mesh(args.collision)
    return None if args.cameras is None else read_cameras(args.cameras)


def floor_of(args: Import, kept: Splats, cameras: Cameras | None) -> Floor:
    """The floor that was given, or the one that the capture has; where cameras and scale are known,
    their track says how far below.
    """
    if args.floor is not None:
        return given_floor(kept, np.array(args.floor))
    up = parse_up(args.up)
    if cameras is None:
        return find_floor(kept, up)
    eyes, up = cameras.positions, cameras.up if up is None else up
    known = args.metres_per_unit
    if args.capture_height is None:
        return find_floor(kept, up, eyes=eyes)
    try:
        floor = find_floor(kept, up, eyes=eyes)
    except NotNavigable as error:
        if up is None or known is None:
            raise
        offset, spread = track_floor(eyes, up, args.capture_height / known)
        words = str(error).removeprefix("not navigable: ")
        extent = float(np.ptp(eyes - np.outer(eyes @ up, up), axis=0).max())
        return Floor(
            up,
            offset,
            0.0,
            extent,
            spread,
            True,
            f"the floor is {args.capture_height:g} m below the cameras: {words}",
        )
    if known is None:
        return floor
    offset, _ = track_floor(eyes, floor.normal, args.capture_height / known)
    if abs(offset - floor.offset) * known < APART_M:
        return floor
    words = (
        f"the level surface that was found lies {(floor.offset - offset) * known:+.2f} m from it"
    )
    return replace(
        floor,
        offset=offset,
        warning=f"the floor is {args.capture_height:g} m below the cameras: {words}",
    )


def scale_of(
    args: Import, correction: Correction, floor: Floor, cameras: Cameras | None
) -> tuple[float, float | None, str]:
    """Metres per unit, its relative uncertainty where that is known, and in words where it came
    from.
    """
    if correction.metres_per_unit is not None:
        return correction.metres_per_unit, None, f"corrected by hand in {args.name}.correct.json"
    if args.metres_per_unit is not None:
        return args.metres_per_unit, None, "given by --metres-per-unit"
    if cameras is not None and args.capture_height is not None:
        scale, uncertainty = scale_from_cameras(cameras.positions, floor, args.capture_height)
        return (
            scale,
            uncertainty,
            f"from {len(cameras.positions)} cameras held at {args.capture_height:g} m",
        )
    if args.at is not None and args.known_height is not None:
        scale, uncertainty = scale_from_point(np.array(args.at), floor, args.known_height)
        return scale, uncertainty, f"from a point {args.known_height:g} m above the floor"
    raise UserError(
        f"{args.file}: a floor was found, {floor.extent:.3g} units across, but how long a unit is "
        "cannot be seen: give "
        "--metres-per-unit S (1 if it is in metres), or --cameras cameras.json --capture-height "
        "1.5, or --known-height H --at X Y Z"
    )


def measure(
    args: Import, kept: Splats, floor: Floor, correction: Correction, cameras: Cameras | None
) -> Measured:
    """Scale and placement: z up, the floor at 0, the middle of the capture at x = y = 0."""
    scale, uncertainty, how = scale_of(args, correction, floor, cameras)
    across = scale * floor.extent
    require(
        2.0 <= across <= 5000.0,
        f"{args.file}: with {scale:g} metres per unit ({how}) the floor is {across:.3g} m across; "
        "a place has 2 m to 5 km",
    )
    yaw = math.radians(correction.yaw_deg)
    turn = np.array(
        [[math.cos(yaw), -math.sin(yaw), 0.0], [math.sin(yaw), math.cos(yaw), 0.0], [0.0, 0.0, 1.0]]
    )
    rotation = turn @ upright(floor.normal)
    middle = (
        scale
        * rotation
        @ np.median(kept.means[:: max(len(kept.means) // 200_000, 1)].astype(np.float64), axis=0)
    )
    translation = np.array(
        [-middle[0], -middle[1], -scale * floor.offset - correction.floor_offset_m]
    )
    placement, walked = Placement(scale, rotation, translation), None
    if cameras is not None:
        eyes = placement.points(cameras.positions)
        held = float(np.median(eyes[:, 2])) if args.capture_height is None else args.capture_height
        walked = eyes - np.array([0.0, 0.0, held])
    return Measured(floor, placement, how, uncertainty, walked)


def solid_splats(args: Import, placed: Splats, placement: Placement) -> Splats:
    """What is mapped: the capture itself, or the mesh that was given with it."""
    if args.collision is None:
        return placed
    vertices, triangles = read_mesh(args.collision)
    low, high = np.quantile(placed.means[:, :2], (0.02, 0.98), axis=0)
    (wide, long), (width, length) = np.ptp(placement.points(vertices)[:, :2], axis=0), high - low
    if max(wide, long) < TINY * max(width, length):
        raise UserError(
            f"{args.collision}: the mesh covers {wide:.3g} x {long:.3g} m, the capture {width:.3g} "
            f"x {length:.3g} m; check its units: "
            "it must be in the capture file's own coordinates"
        )
    discs = place(
        surface_discs(
            args.collision, vertices, triangles, disc_spacing(args.resolution, placement.scale)
        ),
        placement,
    )
    near = float((np.abs(discs.means[:, 2]) < 0.3).mean())
    within = float(((discs.means[:, :2] > low) & (discs.means[:, :2] < high)).all(1).mean())
    if near < 0.02 or within < 0.05:
        raise UserError(
            f"{args.collision}: does not lie where the capture does ({near:.0%} of it within 0.3 m "
            f"of the floor, {within:.0%} of it "
            "inside the capture); it must be in the capture file's own coordinates: same axes, "
            "same units"
        )
    return discs


def left_free(placed: Splats, occupancy: Occupancy, correction: Correction) -> float:
    """m2 that a collision mesh leaves free where the splats are solid, over 0.25 m from what it
    blocks, since edges differ by cells.
    """
    try:
        cells = columns(placed, occupancy.resolution)
    except UserError:
        return 0.0  # splats that are no ground by themselves are what meshes are given for
    solid = cells.blocked.copy()
    for polygon in correction.go:
        solid &= ~inside(polygon, cells.origin, cells.resolution, solid.shape)
    at = (
        np.argwhere(solid)
        - np.round((occupancy.origin - cells.origin) / cells.resolution).astype(np.int64)[::-1]
    )
    rows, cols = at[((at >= 0) & (at < occupancy.grid.shape)).all(1)].T
    return float((occupancy.distance()[rows, cols] > 0.25).sum()) * occupancy.resolution**2


def map_place(
    args: Import, solid: Splats, measured: Measured, correction: Correction, sidecar: Path
) -> Mapped:
    """Occupancy, ground and every robot's area, on the part of the grid that matters."""
    noise_m = measured.floor.noise * measured.placement.scale if args.collision is None else 0.0
    cells = columns(solid, args.resolution, noise_m=noise_m)
    if measured.walked is not None:
        cells = fill_walked(cells, measured.walked)
    cells = correct_columns(cells, correction, sidecar)
    occupancy, ground = to_ground(cells)
    regions = {name: where_robots_go(occupancy, ground, name, cells.overhead) for name in ROBOTS}
    areas = {
        name: round(float(region.sum()) * args.resolution**2, 2) for name, region in regions.items()
    }
    if areas["jackal"] < LEAST_M2:
        known, free = (float(v.sum()) * args.resolution**2 for v in (cells.known, ~occupancy.grid))
        raise NotNavigable(
            f"{args.file}: not navigable: the Jackal could drive on {areas['jackal']:.1f} m2 in "
            f"one piece, {LEAST_M2:g} are needed "
            f"({known:.0f} m2 of ground were seen, {free:.0f} of them are free); check the scale, "
            f"or declare ground free in {sidecar}"
        )
    return Mapped(*crop(keep_region(occupancy, ground), ground), areas)


def crop(occupancy: Occupancy, ground: Ground, margin_m: float = 1.0) -> tuple[Occupancy, Ground]:
    """The part of a map that holds all free cells, and a margin."""
    rows, cols = (np.flatnonzero((~occupancy.grid).any(axis)) for axis in (1, 0))
    margin = math.ceil(margin_m / occupancy.resolution)
    r0, c0 = max(int(rows[0]) - margin, 0), max(int(cols[0]) - margin, 0)
    part = slice(r0, int(rows[-1]) + margin + 1), slice(c0, int(cols[-1]) + margin + 1)
    origin = occupancy.origin + np.array([c0, r0]) * occupancy.resolution
    cut = Occupancy(np.ascontiguousarray(occupancy.grid[part]), origin, occupancy.resolution)
    return cut, Ground(
        np.ascontiguousarray(ground.height[part]), np.ascontiguousarray(ground.surface[part])
    )


def propose(args: Import, splats: Splats, mapped: Mapped, sky: Sky) -> tuple[Scene, list[Episode]]:
    """Anchors and episodes; in a large place more anchors and longer routes, in a small one shorter
    routes.

    Raises:
        NotNavigable: under a handful of episodes fit.
    """
    area = float((~mapped.occupancy.grid).sum()) * args.resolution**2
    count = int(np.clip(area / 10.0, 64, 256))
    longest = 0.0
    for room_m, shortest_m in ((0.5, SHORT_M), (TIGHT_M, SHORTEST_M)):
        try:
            # as they are written
            anchors = np.round(
                free_anchors(mapped.occupancy, mapped.ground, count, narrow=True, room_m=room_m), 3
            )
        except UserError:
            continue  # nowhere is so much room
        if len(anchors) < 2:
            continue
        scene = Scene(
            args.name, mapped.occupancy, empty_mesh(), anchors, splats, mapped.ground, sky
        )
        longest = float(np.linalg.norm(anchors[:, None] - anchors[None], axis=2).max())
        spacing = math.sqrt(area / count)
        route_m = (
            float(np.clip(0.55 * longest, shortest_m, ROUTE_M[0])),
            max(ROUTE_M[1], 4.0 * spacing),
        )
        drive = mapped.occupancy.grid.size <= DRIVEN_CELLS
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that not all people fit is no news in a small place
            wanted = args.episodes + (args.episodes + 1) // 2 if drive else args.episodes
            episodes = make_episodes(scene, _SEED, wanted, route_m, at_least=0, narrow=True)
        if drive:
            episodes = driven(scene, episodes, args.episodes)
        if len(episodes) >= 4 * min(HANDFUL, args.episodes):
            return scene, episodes
    raise NotNavigable(
        f"not navigable: too small or too narrow: {area:.1f} m2 of ground are free in one piece, "
        f"and places with {TIGHT_M:g} m of room "
        f"around a robot are at most {longest:.1f} m apart; a handful of ways of {SHORTEST_M:g} m "
        "or more with something in the way is "
        "needed: check --up and the scale, capture more of the place, or declare ground free in "
        f"{args.name}.correct.json"
    )


def check_sight(scene: Scene) -> None:
    """Refuses a capture of blobs, inside which a robot would drive.

    Raises:
        NotNavigable: says how much of what is looked at is at the end of the nose.
    """
    sight = next(splats_against_map(scene))
    if not sight.good:
        raise NotNavigable(
            f"not navigable: blobs: {sight.found}: robots would drive inside Gaussians, and what "
            "is found of the ground means little; "
            "check the scale (--metres-per-unit) and --up, take a finer level, or train it longer "
            "and on more pictures"
        )


def driven(scene: Scene, episodes: list[Episode], most: int) -> list[Episode]:
    """The first `most` of each setting whose ways the expert drives in all four: one thing and one
    person may fill a narrow place.
    """
    count = len(episodes) // len(SETTINGS)
    if count == 0:
        return []
    arrived = np.concatenate(
        [solved(scene, episodes[k : k + BATCH]) for k in range(0, len(episodes), BATCH)]
    )
    good = np.flatnonzero(arrived.reshape(len(SETTINGS), count).all(0))[:most]
    return [
        replace(episodes[s * count + way], id=f"{SETTINGS[s]}-{k:03d}")
        for s in range(len(SETTINGS))
        for k, way in enumerate(good)
    ]


def read_capture(args: Import, steps: Steps) -> tuple[Splats, Splats | None]:
    """The capture and the shell around it, if it has one; what was dropped of them is printed."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", SplatWarning)
        if is_streamed(args.file):
            require(not args.activated, f"{args.file}: --activated is for 3DGS PLY; leave it out")
            found = read_streamed(args.file, args.level, progress=True)
            splats = found.splats
            shell = found.environment
            which = f", level {found.level} of 0 to {found.levels - 1}"
        else:
            require(
                args.level is None,
                f"{args.file}: --level is for a streamed SOG (lod-meta.json); leave it out",
            )
            splats = read_splats(args.file, progress=True, activated=args.activated)
            shell = None
            which = ""
    steps.say(f"read      {len(splats.means):,} Gaussians of {args.file.name}{which}")
    for warning in caught:
        steps.say(f"warning   {warning.message}")
    if shell is not None:
        steps.say(
            f"around it {len(shell.means):,} Gaussians of an environment: to be seen, not to be hit"
        )
    return splats, shell


def import_scene(args: Import) -> Path:
    """The whole import.

    Returns:
        The scene's folder.

    Raises:
        UserError: bad arguments or files; a capture that is no place to drive in, whose picture the
            message names; a collection that cannot be written.
    """
    cameras = check(args)
    folder = (args.out or collection()) / args.name
    check_target(folder)
    sidecar = sidecar_path(folder)
    correction = read_correction(sidecar)
    steps = Steps()
    splats, shell = read_capture(args, steps)
    digest = hash_of(args.file)
    require(len(splats.means) > 0, f"{args.file}: holds no Gaussians; export the capture again")
    floor = None
    try:
        reasons = clean(splats)
        kept = select(splats, reasons == 0)
        steps.say(f"cleaned   {len(kept.means):,} kept; removed: {removed_words(reasons)}")
        floor = floor_of(args, kept, cameras)
        steps.say(
            f"floor     {floor.support:.0%} of the capture lies in it, {floor.extent:.3g} units "
            f"across, even within {floor.spread:.2g}"
        )
        if floor.warning:
            steps.say(f"warning   {floor.warning}")
        measured = measure(args, kept, floor, correction, cameras)
        placed = place(kept, measured.placement)
        del kept  # of several million Gaussians three copies are one too many
        steps.say(f"scale     {scale_words(measured)}")
        mapped = map_place(
            args, solid_splats(args, placed, measured.placement), measured, correction, sidecar
        )
        steps.say(
            "mapped    ground in m2: "
            + ", ".join(f"{name} {area:.0f}" for name, area in mapped.areas.items())
        )
        gap_m2 = 0.0 if args.collision is None else left_free(placed, mapped.occupancy, correction)
        if gap_m2 > 1.0:
            steps.say(
                f"warning   {args.collision} leaves {gap_m2:.1f} m2 free where the splats are "
                "solid: robots would drive through what "
                f"they see; complete the mesh, or close it with no_go in {sidecar}"
            )
        sky = sky_of(splats, reasons, measured.placement)
        shown = placed if shell is None else join(placed, place(shell, measured.placement))
        scene, episodes = propose(args, shown, mapped, sky)
        check_sight(scene)
    except NotNavigable as error:
        raise refusal(args, folder, splats, floor, named(args, sidecar, error)) from None
    except UserError as error:
        raise UserError(named(args, sidecar, error)) from None
    share, reach = covered(scene, episodes)
    steps.say(
        f"proposed  {len(scene.free_anchors)} anchors, {len(episodes) // 4} episodes in each of 4 "
        "settings; their starts and goals are "
        f"within 2 m of {share:.0%} of the {reach:.0f} m2 that wheels reach"
    )
    more = record(
        args,
        digest,
        measured,
        mapped,
        correction,
        removed_report(splats, reasons, measured.placement),
        placed,
    )
    store(folder, scene, episodes, more)
    refused_path(folder).unlink(missing_ok=True)
    steps.say(f"written   {folder}")
    print(summary(args, folder, measured, episodes, sidecar, correction))
    return folder


def refused_path(folder: Path) -> Path:
    """Where the picture of a refused capture goes: beside the scene's folder, which a refusal
    leaves alone.
    """
    return folder.with_name(folder.name + ".refused.png")


def named(args: Import, sidecar: Path, error: UserError) -> str:
    """The error after the name of the file it is about: the capture's, unless it names another
    itself.
    """
    own = tuple(
        f"{path}:"
        for path in (args.file, args.cameras, args.collision, sidecar)
        if path is not None
    )
    return str(error) if str(error).startswith(own) else f"{args.file}: {error}"


def refusal(
    args: Import, folder: Path, splats: Splats, floor: Floor | None, reason: str
) -> UserError:
    """The reason why a capture is no place, and the path of a picture where one can be drawn."""
    picture = refused_path(folder)
    try:
        with compiling():
            draw_refusal(picture, splats, floor, reason)
    except OSError:
        return UserError(reason)  # the reason matters more than its picture
    return UserError(f"{reason}; picture: {picture}")


def removed_words(reasons: np.ndarray) -> str:
    """How many were removed, by reason."""
    counts = np.bincount(reasons, minlength=len(REASONS))
    return (
        ", ".join(f"{counts[i]:,} {name}" for i, name in enumerate(REASONS) if i and counts[i])
        or "none"
    )


def scale_words(measured: Measured) -> str:
    """The scale with its uncertainty."""
    known = "" if measured.uncertainty is None else f" +- {100 * measured.uncertainty:.0f} %"
    return f"{measured.placement.scale:.4g} metres per unit{known}, {measured.how}"


def record(
    args: Import,
    digest: str,
    measured: Measured,
    mapped: Mapped,
    correction: Correction,
    removed: dict[str, Any],
    placed: Splats,
) -> dict[str, Any]:
    """What scene.json says of where the scene came from; of the same import always the same."""
    floor, placement = measured.floor, measured.placement
    low, high = (np.quantile(placed.means, q, axis=0) for q in (0.001, 0.999))
    return {
        "capture": {
            "file": args.file.name,
            "sha256": digest,
            "collision": args.collision.name if args.collision else None,
        },
        "transform": {
            "about": "a point p of the capture is at metres_per_unit * rotation @ p + translation "
            "in the scene",
            "metres_per_unit": placement.scale,
            "rotation": np.round(placement.rotation, 12).tolist(),
            "translation": np.round(placement.translation, 9).tolist(),
        },
        "scale": {"how": measured.how, "relative_uncertainty": measured.uncertainty},
        "floor": {
            "normal": np.round(floor.normal, 9).tolist(),
            "offset": float(floor.offset),
            "support": round(float(floor.support), 4),
            "extent_m": round(float(floor.extent) * placement.scale, 3),
            "spread_m": round(float(floor.spread) * placement.scale, 4),
            "noise_m": round(float(floor.noise) * placement.scale, 4),
            "up_sure": bool(floor.up_sure),
        },
        "bounds": {"low": np.round(low, 3).tolist(), "high": np.round(high, 3).tolist()},
        "robots_m2": mapped.areas,
        "corrections": correction.used(),
        "removed": removed,
        "made_by": f"s2e-scene import, s2e {__version__}",
    }


def summary(
    args: Import,
    folder: Path,
    measured: Measured,
    episodes: list[Episode],
    sidecar: Path,
    correction: Correction,
) -> str:
    """What a person wants to know afterwards."""
    name = args.name if args.out is None else str(folder)
    lines = []
    found = len(episodes) // 4
    routes = [e.route_m for e in episodes if e.setting == "empty"]
    if found < args.episodes:
        lines.append(f"note: the place has room for {found} of {args.episodes} episodes a setting")
    if not measured.floor.up_sure:
        lines.append(
            "note: which way is up is a guess; look at the preview, and give --up if the place "
            "stands on its head"
        )
    lines.append(f"routes of {min(routes):.1f} to {max(routes):.1f} m")
    if min(routes) < SHORT_M:
        lines.append(
            "note: the place is small: its ways are short, with at most "
            f"{max(len(e.walkers) for e in episodes)} people at a time"
        )
    noise_m = measured.floor.noise * measured.placement.scale
    if noise_m > NOISY_M:
        lines.append(
            f"note: the floor is noisy: what is lower than {skipped_m(noise_m):.2g} m above the "
            "ground is taken for part of it"
        )
    lines.append(f"corrections: {', '.join(correction.used()) or 'none'} ({sidecar})")
    lines.append(f"look at it: s2e-scene preview {name} --out preview")
    lines.append(f"            s2e-view {name}")
    lines.append(f"check it:   s2e-scene check {name}")
    lines.append(f"drive it:   s2e-bench --scene {name}")
    return "\n".join(lines)


def hash_of(path: Path) -> str:
    """sha256 of a file, or of a folder's files by name (a SOG may be named by its meta.json)."""
    path = path.parent if path.name in ("meta.json", "lod-meta.json") else path
    try:
        if path.is_dir():
            parts = [
                p
                for p in sorted(path.rglob("*") if is_streamed(path) else path.iterdir())
                if p.is_file()
            ]
            names = (os.fsencode(str(p.relative_to(path))) for p in parts)
            return hashlib.sha256(
                b"".join(
                    name + b"\0" + bytes.fromhex(sha256(p))
                    for name, p in zip(names, parts, strict=True)
                )
            ).hexdigest()
        return sha256(path)
    except OSError as error:
        raise UserError(
            f"{path}: cannot be read ({error.strerror}); check its permissions"
        ) from None
