"""`s2e-scene reconstruct`: from posed photographs to a place to drive in.

Reads the cameras and the photographs, lets Gaussians learn what these show, judges them by
photographs that were left out, and hands them to the import with the cameras that it has.
"""

import json
import math
import shlex
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from s2e.core.commandline import as_json
from s2e.core.errors import UserError, choose_device, require
from s2e.core.run import Interrupt, Run, check_out, same_config
from s2e.envs.scan.args import Import, Reconstruct, check_photo_words
from s2e.envs.scan.importer import import_scene
from s2e.envs.scan.listing import UNDER_WAY
from s2e.envs.scan.photos.cameras import CameraList, read_camera_list
from s2e.envs.scan.photos.pictures import Photo, back_projected, read_photos, scattered, split
from s2e.envs.scan.photos.registration import register, registered
from s2e.envs.scan.photos.sweep import sweep
from s2e.envs.scan.store import check_target
from s2e.envs.scenes.files import check_name, collection
from s2e.envs.splats.formats.ply import write_ply
from s2e.envs.splats.formats.whole import write_splat_file
from s2e.envs.splats.gsplat_backend import kernels
from s2e.envs.splats.learn import NAMES, Learner, Learning, Target, as_splats, psnr, seeds_of_points
from s2e.policy.checkpoint import (
    find_checkpoint,
    load_training_state,
    optimizer_state,
    read_tensors,
    restore_optimizer,
    save_checkpoint,
)

SIZE_PX = {"cpu": 200, "cuda": 960}
"""Longer side of a photograph, by device."""
GAUSSIANS = {"cpu": 40_000, "cuda": 400_000}
SHOWN = 6
"""Photographs beside what was learned, in views.png."""
WATCHED = 12
"""Photographs left out that are looked at on the way."""
LOG_EVERY = 100
FEW_POINTS = 100
"""With fewer points than these it begins with random ones."""
FAR, FAR_TO_NEAR = 3.0, 60.0
"""Extents of the place that may be seen where nobody knows, and the farthest over the nearest depth
that is looked for."""
DEEP = 4.0
"""Metres that the middle of what is seen is taken to be away, where nobody knows how long a unit
is."""
DOME = 0.03, 8.0
"""Share of the Gaussians that begin far away, to become sky, and how far, in extents of the
place."""
MAY_DIFFER = (
    "resume",
    "out",
    "run",
    "device",
    "dir",
    "images",
    "up",
    "floor",
    "capture_height",
    "resolution",
    "episodes",
    "save_every",
    "steps",
)


@dataclass(frozen=True)
class Seen:
    """Photographs and what they show, in the learner's lengths: metres where these are known.

    Attributes:
        learning, judging: photographs. points: (P, 3). colours: (P, 3) in 0..1. metres: of a unit
            of the list. extent: of the place.
        sensed: whether depth was measured by a sensor.
    """

    learning: list[Photo]
    judging: list[Photo]
    points: np.ndarray
    colours: np.ndarray
    metres: float
    extent: float
    sensed: bool


def reconstruct(args: Reconstruct) -> Path:
    """The whole chain.

    Returns:
        The scene's folder.

    Raises:
        UserError: bad arguments, cameras or photographs; a place that cannot be driven in, with how
            to try the import again.
    """
    check(args)
    args = with_defaults(args)
    folder = run_folder(args)
    check_out(folder, args.resume)
    listed = read_camera_list(args.dir, args.images)
    check_scale(args, listed)
    assert args.size is not None
    photos, faults = read_photos(listed, args.size)
    last = find_checkpoint(folder, newest=True) if args.resume else None
    if last is not None:
        same_config(folder, as_json(args), may_differ=MAY_DIFFER)
    run = Run(folder, as_json(args), None if last is None else int(last.name))
    say_what_was_read(run, listed, photos, faults)
    photos = on_their_colours(listed, photos, run)
    seen = measured(args, listed, photos)
    learner = begin(args, seen) if last is None else go_on(args, seen, last)
    learn(args, learner, seen, run)
    judge(learner, seen, run)
    splats = write_product(args, learner, seen, photos)
    run.close()
    return to_scene(args, listed, splats)


def check(args: Reconstruct) -> None:
    """Refuses arguments that make no sense before anything is read."""
    check_photo_words(args)
    check_name(args.name)
    check_target((args.out or collection()) / args.name)


def with_defaults(args: Reconstruct) -> Reconstruct:
    """The arguments with the device and what depends on it."""
    device = choose_device(args.device)
    if device == "cuda":
        kernels()
    return replace(
        args,
        device=device,
        size=args.size or SIZE_PX[device],
        gaussians=args.gaussians or GAUSSIANS[device],
    )


def run_folder(args: Reconstruct) -> Path:
    """Where checkpoints and the splats are kept."""
    return args.run or (args.out or collection()) / f"{args.name}{UNDER_WAY}"


def check_scale(args: Reconstruct, listed: CameraList) -> None:
    """Refuses, before hours of work, what the import would refuse after them."""
    known = listed.metric or args.metres_per_unit is not None or args.capture_height is not None
    remedy = (
        "give --metres-per-unit S (1 where poses are in metres), or --capture-height 1.5, "
        "the "
        "height the camera was held at"
    )
    require(known, f"{args.dir}: how long a unit of {listed.kind} is cannot be seen: {remedy}")


def say_what_was_read(run: Run, listed: CameraList, photos: list[Photo], faults: list[str]) -> None:
    """Counts, and the first reasons for what was left out."""
    sizes = sorted({(photo.view.width_px, photo.view.height_px) for photo in photos})
    words = ", ".join(f"{w} x {h}" for w, h in sizes[:3]) + (
        " and other sizes" if len(sizes) > 3 else ""
    )
    depths = sum(photo.depth is not None for photo in photos)
    more = f", {depths} with depth" if depths else f", {len(listed.points):,} points"
    run.say(f"read      {len(photos)} photographs of {listed.kind} at {words}{more}")
    for fault in faults[:3]:
        run.say(f"warning   {fault}")
    if len(faults) > 3:
        run.say(
            f"warning   {len(faults) - 3} more lines like these; "
            f"{len(listed.cameras) - len(photos)} photographs were left out"
        )


def on_their_colours(listed: CameraList, photos: list[Photo], run: Run) -> list[Photo]:
    """Photographs whose cameras are those of the colours, where poses and intrinsics may be the
    depth camera's.
    """
    if not listed.metric:
        return photos
    found = register(photos)
    if found.gain > 0.0:
        run.say(
            f"colours   taken by another camera than depth, it seems: {found.focal:.3f} of its "
            "focal length, "
            f"{1000 * found.right:+.0f} mm to the right, {1000 * found.down:+.0f} mm down; "
            f"neighbours differ {found.gain:.0%} less so"
        )
    return [registered(photo, found) for photo in photos]


def measured(args: Reconstruct, listed: CameraList, photos: list[Photo]) -> Seen:
    """Photographs and points in metres, or in what is taken for them until the import knows
    better.
    """
    eyes = np.stack([photo.view.position for photo in photos])
    radius = float(np.linalg.norm(eyes - np.median(eyes, axis=0), axis=1).max())
    points, colours = listed.points, listed.colours / 255.0
    if len(points) >= FEW_POINTS:
        points, colours = near_ones(points, colours, eyes)
    metres = 1.0 if listed.metric else args.metres_per_unit
    if metres is None:
        deep = float(np.median(depths(points, photos))) if len(points) >= FEW_POINTS else radius
        metres = DEEP / max(deep, 1e-9)
    points, extent = points * metres, 1.1 * max(radius * metres, 1.0)
    shown, judging = split([in_metres(photo, metres) for photo in photos])
    sensed = any(photo.depth is not None for photo in photos)
    assert args.gaussians is not None
    if sensed:
        points, colours = back_projected(shown, args.gaussians, args.seed)
    return Seen(shown, judging, points, colours, metres, extent, sensed)


def near_ones(
    points: np.ndarray, colours: np.ndarray, eyes: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Points without the few that structure from motion puts far beyond all others."""
    away = np.linalg.norm(points - np.median(eyes, axis=0), axis=1)
    kept = away <= 20.0 * np.quantile(away, 0.7)
    return points[kept], colours[kept]


def depths(points: np.ndarray, photos: list[Photo]) -> np.ndarray:
    """Depths of the points that lie before cameras, of some cameras and points."""
    some = points[:: max(len(points) // 2000, 1)]
    found = [
        (some - photo.view.position) @ photo.view.rotation[2]
        for photo in photos[:: max(len(photos) // 20, 1)]
    ]
    deep = np.concatenate(found)
    return deep[deep > 0.0] if (deep > 0.0).any() else np.ones(1)


def in_metres(photo: Photo, metres: float) -> Photo:
    """A photograph whose camera and depth are in other lengths."""
    view = replace(photo.view, position=photo.view.position * metres)
    return replace(
        photo, view=view, depth=None if photo.depth is None else photo.depth * np.float32(metres)
    )


def begin(args: Reconstruct, seen: Seen) -> Learner:
    """Gaussians at points that were seen, at depths that were measured, or anywhere in sight; where
    there is no depth also far away.
    """
    assert args.gaussians is not None
    points, colours = (
        (seen.points, seen.colours) if len(seen.points) >= FEW_POINTS else first_points(args, seen)
    )
    if len(points) > args.gaussians:
        some = np.random.default_rng([args.seed, 3]).permutation(len(points))[: args.gaussians]
        points, colours = points[some], colours[some]
    start = seeds_of_points(points, colours)
    if not seen.sensed:
        dome = seeds_of_points(*sky(args, seen, points))
        start = {name: torch.cat([dome[name], start[name]])[: args.gaussians] for name in NAMES}
    return Learner(start, learning(args, seen), args.device)


def first_points(args: Reconstruct, seen: Seen) -> tuple[np.ndarray, np.ndarray]:
    """Where photographs agree on a depth, and where that is hardly anywhere also anywhere in
    sight.
    """
    assert args.gaussians is not None
    far = FAR * max(seen.extent, FAR)
    points, colours = back_projected(
        sweep(seen.learning, far / FAR_TO_NEAR, far), args.gaussians // 2, args.seed
    )
    if len(points) < args.gaussians // 8:
        more = scattered(seen.learning, args.gaussians // 8, far / FAR_TO_NEAR, far, args.seed)
        points, colours = (
            np.concatenate(both) for both in zip((points, colours), more, strict=True)
        )
    return points, colours


def sky(args: Reconstruct, seen: Seen, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Points (n, 3) and colours far away in sight of the cameras, above them."""
    assert args.gaussians is not None
    middle = np.median(points, axis=0)
    away = DOME[1] * max(seen.extent, float(np.median(np.abs(points - middle))))
    found, colours = scattered(
        seen.learning, max(int(DOME[0] * args.gaussians), 8), away, 1.01 * away, args.seed + 1
    )
    up = -np.mean([photo.view.rotation[1] for photo in seen.learning], axis=0)
    order = np.argsort(-(found - middle) @ up)
    kept = order[: max(int(((found - middle) @ up > 0.0).sum()), 4)]
    return found[kept], colours[kept]


def learning(args: Reconstruct, seen: Seen) -> Learning:
    """How the learner is asked to learn."""
    assert args.gaussians is not None
    return Learning(args.steps, args.gaussians, seen.extent, args.seed)


def go_on(args: Reconstruct, seen: Seen, last: Path) -> Learner:
    """The learner as a checkpoint has it."""
    values = read_tensors(last / "model.safetensors")
    shapes = {name: tuple(values[name].shape[1:]) for name in NAMES if name in values}
    expected = {"means": (3,), "quats": (4,), "scales": (3,), "opacities": (), "sh": (3,)}
    require(
        shapes == expected,
        f"{last / 'model.safetensors'}: not of a reconstruction; give another --run, or start "
        "without --resume",
    )
    tensors, state = load_training_state(last)
    learner = Learner(values, learning(args, seen), args.device)
    restore_optimizer(learner.optimizer, tensors, state)
    learner.step = int(state["step"])
    return learner


def save(args: Reconstruct, learner: Learner, run: Run) -> None:
    """Writes a checkpoint."""
    tensors, state = optimizer_state(learner.optimizer)
    folder = run.folder / "checkpoints" / f"{learner.step:08d}"
    save_checkpoint(
        folder, as_json(args), learner.values, tensors, {**state, "step": learner.step}, keep=1
    )


def targets(photos: list[Photo], device: str) -> list[Target]:
    """Photographs as tensors."""
    return [
        Target(
            photo.view,
            torch.as_tensor(photo.rgb, device=device).float() / 255.0,
            None if photo.depth is None else torch.as_tensor(photo.depth, device=device),
        )
        for photo in photos
    ]


def learn(args: Reconstruct, learner: Learner, seen: Seen, run: Run) -> None:
    """Learns to the end; logs, judges and saves on the way. Ctrl-C and SIGTERM save first."""
    shown, left_out = targets(seen.learning, args.device), targets(seen.judging, args.device)
    watched = left_out[:: -(-len(left_out) // WATCHED)] if left_out else []
    bar = tqdm(
        total=args.steps, initial=learner.step, desc="reconstruct", unit="photo", disable=None
    )
    began, first, losses = time.monotonic(), learner.step, []
    with bar, Interrupt() as interrupt:
        while learner.step < args.steps:
            losses.append(learner.learn(shown[turn_of(learner.step, len(shown), args.seed)]))
            require(
                math.isfinite(losses[-1]),
                f"step {learner.step}: the loss is not finite; --resume with another --seed",
            )
            bar.update()
            done = learner.step == args.steps
            if learner.step % LOG_EVERY == 0 or done:
                rate = (learner.step - first) / max(time.monotonic() - began, 1e-9)
                run.log(
                    learner.step,
                    {
                        "loss": float(np.mean(losses)),
                        "gaussians": len(learner.values["means"]),
                        "photos_per_s": rate,
                    },
                )
                bar.set_postfix(
                    loss=f"{np.mean(losses):.3f}", gaussians=len(learner.values["means"])
                )
                losses.clear()
            if learner.step % args.save_every == 0 or interrupt.asked or done:
                save(args, learner, run)
                if watched and not interrupt.asked:
                    ratio = psnr(learner, watched)
                    run.log(learner.step, {"psnr": ratio})
                    bar.write(
                        f"step {learner.step}: {ratio:.2f} dB on {len(watched)} views left out"
                    )
            if interrupt.asked and not done:
                raise KeyboardInterrupt


def turn_of(step: int, count: int, seed: int) -> int:
    """Which photograph a step learns from: all of them in a new order, again and again."""
    return int(np.random.default_rng([seed, 4, step // count]).permutation(count)[step % count])


def judge(learner: Learner, seen: Seen, run: Run) -> None:
    """Says how well photographs are shown, and draws some beside what was learned."""
    judged = seen.judging or seen.learning
    images: list[np.ndarray] = []
    every = -(-len(judged) // SHOWN)

    def keep(k: int, rgb: Tensor) -> None:
        if k % every == 0:
            drawn = (255.0 * rgb).round().byte().cpu().numpy()
            images.append(np.concatenate([judged[k].rgb, drawn], axis=1))

    ratio = psnr(learner, targets(judged, learner.device), keep)
    of = (
        f"{len(judged)} views left out"
        if seen.judging
        else "the views it learned from: too few to leave any out"
    )
    run.say(f"learned   {len(learner.values['means']):,} Gaussians; PSNR {ratio:.2f} dB on {of}")
    sheet = np.zeros(
        (sum(i.shape[0] for i in images), max(i.shape[1] for i in images), 3), np.uint8
    )
    row = 0
    for image in images:
        sheet[row : row + image.shape[0], : image.shape[1]] = image
        row += image.shape[0]
    Image.fromarray(sheet).save(run.folder / "views.png")
    run.log(learner.step, {"psnr_all": ratio})


def write_product(args: Reconstruct, learner: Learner, seen: Seen, photos: Sequence[Photo]) -> Path:
    """The splats and their cameras as 3DGS trainers write them, in the units of the list of
    cameras.
    """
    folder = run_folder(args)
    path = folder / f"{args.name}.ply"
    write_ply(path, as_splats(learner.values, 1.0 / seen.metres))
    listed = []
    for k, photo in enumerate(photos):
        fx, fy, _, _ = photo.view.intrinsics.tolist()
        size = {"width": photo.view.width_px, "height": photo.view.height_px, "fx": fx, "fy": fy}
        at = {"position": photo.view.position.tolist(), "rotation": photo.view.rotation.T.tolist()}
        listed.append({"id": k, "img_name": photo.name, **at, **size})
    write_splat_file(folder / "cameras.json", [json.dumps(listed).encode()])
    return path


def import_args(args: Reconstruct, splats: Path, cameras: Path, metres: float | None) -> Import:
    """What the import is asked for."""
    return Import(
        file=splats,
        name=args.name,
        metres_per_unit=metres,
        up=args.up,
        floor=args.floor,
        cameras=cameras,
        capture_height=args.capture_height,
        resolution=args.resolution,
        out=args.out,
        episodes=args.episodes,
    )


def to_scene(args: Reconstruct, listed: CameraList, splats: Path) -> Path:
    """Imports what was learned; where that is refused, says what stands and how to go on."""
    metres = 1.0 if listed.metric and args.metres_per_unit is None else args.metres_per_unit
    wanted = import_args(args, splats, splats.with_name("cameras.json"), metres)
    try:
        return import_scene(wanted)
    except UserError as error:
        words = [
            "s2e-scene",
            "import",
            str(wanted.file),
            "--name",
            args.name,
            "--cameras",
            str(wanted.cameras),
        ]
        for name in ("metres_per_unit", "capture_height", "up"):
            if getattr(wanted, name) is not None:
                words += [f"--{name.replace('_', '-')}", str(getattr(wanted, name))]
        raise UserError(
            f"{error}; the splats stand in {splats}: {shlex.join(words)}, with --up or --floor, "
            "tries again"
        ) from None
