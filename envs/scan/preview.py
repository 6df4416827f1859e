"""`s2e-scene preview`: pictures of a scene to judge it by, drawn on a CPU."""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from s2e.core.errors import UserError
from s2e.core.lock import check_place
from s2e.envs.geometry.camera import Camera, camera_poses
from s2e.envs.geometry.ground import GroundFields, ground_height_at
from s2e.envs.geometry.scene import Episode, Scene
from s2e.envs.geometry.spread import farthest_first
from s2e.envs.render import Renderer
from s2e.envs.scan.check import free_way, route_around
from s2e.envs.scan.picture import FAINT, INK, PAPER, axes, compiling, font, ticks
from s2e.envs.scan.plan import top_down
from s2e.envs.scenes.episodes import read_episodes
from s2e.envs.scenes.files import load_scene, read_description, scene_folder
from s2e.envs.scenes.propose import on_wheels

ROUTES = 12
"""Routes drawn; more hide each other."""
SIZE_PX = 1400
EYE_M = 1.5
SOLID, STEP = (200, 30, 30), (240, 150, 20)
COLOURS = (
    (31, 119, 180),
    (23, 160, 90),
    (148, 60, 190),
    (20, 170, 190),
    (200, 80, 160),
    (100, 100, 30),
)
BARS = {"height": "height above the floor, m", "size": "largest standard deviation, m"}


def write_preview(name: str, out: Path) -> list[Path]:
    """Writes top.png, view-1.png to view-4.png and, for imported scenes, removed.png.

    Args:
        name: a scene's name or folder.
        out: folder for the pictures, made if it is not there.

    Returns:
        What was written.

    Raises:
        UserError: the scene is missing or damaged, or the folder cannot be written.
    """
    check_place(out)
    scene, folder = load_scene(name), scene_folder(name)
    episodes = (
        read_episodes(folder / "episodes.json") if (folder / "episodes.json").exists() else []
    )
    removed = read_description(folder).get("removed")
    bars = None
    if isinstance(removed, dict):
        try:
            bars = draw_removed(scene.name, removed)
        except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
            raise UserError(
                f"{folder / 'scene.json'}: field 'removed' is damaged ({error!r}); import the "
                "scene again"
            ) from None
    written = []

    def save(file: str, picture: Image.Image) -> None:
        try:
            out.mkdir(parents=True, exist_ok=True)
            picture.save(out / file)
        except OSError as error:
            raise UserError(
                f"{out}: cannot be written ({error.strerror}); give another --out"
            ) from None
        written.append(out / file)
        print(out / file, flush=True)

    if bars is not None:
        save("removed.png", bars)
    with compiling():
        save("top.png", draw_top(scene, episodes))
        for k, view in enumerate(eye_views(scene), 1):
            save(f"view-{k}.png", Image.fromarray(view))
    return written


def draw_top(scene: Scene, episodes: list[Episode]) -> Image.Image:
    """The scene from above with what is solid, steps, anchors and routes, ticks in metres, a scale
    bar and a legend.
    """
    rows, columns = scene.occupancy.grid.shape
    width_m, height_m = columns * scene.occupancy.resolution, rows * scene.occupancy.resolution
    scale = SIZE_PX / max(width_m, height_m)
    below = 2.5 if scene.splats is not None else None
    photo = tint(top_down(scene, scale, below), scene)
    left, top, right = 64, 56, 232
    low = scene.occupancy.origin
    image = Image.new(
        "RGB", (left + photo.shape[1] + right, max(top + photo.shape[0] + 44, 420)), PAPER
    )
    image.paste(Image.fromarray(photo), (left, top))
    draw = ImageDraw.Draw(image)
    axes(
        draw,
        (left, top, left + photo.shape[1], top + photo.shape[0]),
        (low[0], low[1]),
        (low[0] + width_m, low[1] + height_m),
    )
    draw.text(
        (left, 24),
        f"{scene.name}: {width_m:.1f} x {height_m:.1f} m, x and y in metres",
        fill=INK,
        font=font(20),
        anchor="lm",
    )

    def at(point: Any) -> tuple[float, float]:
        return left + (point[0] - low[0]) * scale, top + photo.shape[0] - (
            point[1] - low[1]
        ) * scale

    empty = [e for e in episodes if e.setting == "empty"]
    shown = (
        [
            empty[i]
            for i in np.unique(np.linspace(0, len(empty) - 1, min(ROUTES, len(empty))).astype(int))
        ]
        if empty
        else []
    )
    for k, episode in enumerate(shown):
        route = route_around(scene, episode)
        points = [at(p) for p in (route if route is not None else [episode.start, episode.goal])]
        colour = COLOURS[k % len(COLOURS)]
        draw.line(points, fill=(255, 255, 255), width=6, joint="curve")
        draw.line(points, fill=colour, width=3, joint="curve")
        _dot(draw, points[0], 7, colour, (255, 255, 255))
        x, y = points[-1]
        draw.rectangle((x - 7, y - 7, x + 7, y + 7), fill=colour, outline=(255, 255, 255), width=2)
    for point in scene.free_anchors:
        _dot(draw, at(point), 3, (255, 230, 60), INK)
    _legend(
        draw,
        left + photo.shape[1] + 18,
        top,
        scale,
        max(width_m, height_m),
        len(scene.free_anchors),
        len(shown),
        len(empty),
    )
    return image


def tint(photo: np.ndarray, scene: Scene) -> np.ndarray:
    """A view from above with solid cells in red and steps that wheels do not climb in orange."""
    solid = scene.occupancy.grid
    step = on_wheels(scene.occupancy, scene.ground).grid & ~solid
    out = photo.astype(np.float32)
    height, width = photo.shape[:2]
    rows = (np.arange(height)[::-1] + 0.5) * solid.shape[0] // height
    columns = (np.arange(width) + 0.5) * solid.shape[1] // width
    for mask, colour, strength in ((solid, SOLID, 0.38), (step, STEP, 0.75)):
        cells = mask[rows.astype(int)[:, None], columns.astype(int)[None]]
        out[cells] = (1 - strength) * out[cells] + strength * np.array(colour, dtype=np.float32)
    return out.clip(0, 255).astype(np.uint8)


def _dot(
    draw: ImageDraw.ImageDraw,
    point: tuple[float, float],
    radius: int,
    fill: tuple[int, ...],
    outline: tuple[int, ...],
) -> None:
    x, y = point
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=fill, outline=outline)


def _legend(
    draw: ImageDraw.ImageDraw,
    x: int,
    y: int,
    scale: float,
    extent_m: float,
    anchors: int,
    shown: int,
    routes: int,
) -> None:
    """What the colours mean, and how long a length is."""
    bar_m = float(ticks(0.0, min(extent_m, 190.0 / scale), 4)[-1])
    draw.line((x, y + 6, x + bar_m * scale, y + 6), fill=INK, width=4)
    draw.text((x, y + 14), f"{bar_m:g} m", fill=INK, font=font(14))
    y += 56
    small = font(14)
    for colour, words in (
        (SOLID, "solid, unseen or\nout of reach"),
        (STEP, "step that wheels\ndo not climb"),
    ):
        draw.rectangle((x, y, x + 22, y + 18), fill=colour, outline=INK)
        draw.multiline_text((x + 32, y), words, fill=INK, font=small)
        y += 50
    _dot(draw, (x + 11, y + 9), 4, (255, 230, 60), INK)
    draw.text((x + 32, y), f"{anchors} anchors", fill=INK, font=small)
    y += 34
    draw.line((x, y + 9, x + 22, y + 9), fill=COLOURS[0], width=3)
    _dot(draw, (x, y + 9), 5, COLOURS[0], (255, 255, 255))
    draw.rectangle((x + 18, y + 4, x + 28, y + 14), fill=COLOURS[0])
    draw.multiline_text(
        (x + 36, y), f"routes, from dot to\nsquare: {shown} of {routes}", fill=INK, font=small
    )


def eye_views(scene: Scene, count: int = 4) -> list[np.ndarray]:
    """Views (400, 640, 3) from anchors far apart, each along its longest free way."""
    camera = Camera(height_px=400, width_px=640, hfov_deg=80.0, x=0.0, z=EYE_M, pitch_deg=4.0)
    poses = []
    for point in scene.free_anchors[farthest_first(scene.free_anchors, count)]:
        yaws = np.linspace(-np.pi, np.pi, 48, endpoint=False)
        poses.append(
            [
                *point,
                yaws[int(np.argmax(free_way(scene, np.repeat(point[None], 48, axis=0), yaws)))],
            ]
        )
    poses = np.array(poses)
    positions, rotations = camera_poses(poses, camera)
    positions[:, 2] += ground_height_at(
        GroundFields.pack([scene]), np.zeros(len(poses), dtype=np.int64), poses[:, :2]
    )
    lens = np.repeat(camera.intrinsics()[None], len(poses), axis=0)
    size = (camera.height_px, camera.width_px)
    nobody, which = np.zeros((len(poses), 0, 7), np.float32), np.zeros(len(poses), dtype=np.int64)
    return list(Renderer([scene]).draw(which, positions, rotations, lens, size, nobody).rgb)


def draw_removed(name: str, removed: dict[str, Any]) -> Image.Image:
    """Bars of how many Gaussians were removed at each height and of each size, stacked by
    reason.
    """
    counts = {k: int(v) for k, v in removed["counts"].items()}
    reasons = [r for r in counts if r != "kept" and counts[r]]
    image = Image.new("RGB", (1180, 500), PAPER)
    draw = ImageDraw.Draw(image)
    total = sum(counts.values())
    gone = total - counts.get("kept", 0)
    draw.text(
        (40, 26),
        f"{name}: {gone:,} of {total:,} Gaussians removed ({gone / max(total, 1):.1%})",
        fill=INK,
        font=font(20),
        anchor="lm",
    )
    for k, (key, title) in enumerate(BARS.items()):
        edges = [float(e) for e in removed[f"{key}_edges_m"]]
        stacks = np.array([removed[key][r] for r in reasons], dtype=np.float64).reshape(
            len(reasons), len(edges) - 1
        )
        _bars(draw, (90 + k * 470, 80, 90 + k * 470 + 380, 400), edges, stacks, title)
    for i, reason in enumerate(reasons):
        draw.rectangle((985, 90 + 30 * i, 1005, 108 + 30 * i), fill=COLOURS[i % len(COLOURS)])
        draw.text((1014, 91 + 30 * i), f"{reason}: {counts[reason]:,}", fill=INK, font=font(14))
    draw.text(
        (985, 96 + 30 * len(reasons)), f"kept: {counts.get('kept', 0):,}", fill=FAINT, font=font(14)
    )
    return image


def _bars(
    draw: ImageDraw.ImageDraw,
    box: tuple[int, int, int, int],
    edges: list[float],
    stacks: np.ndarray,
    title: str,
) -> None:
    """Stacked bars of equal width, whose edges are written below; the ends hold what lies
    beyond.
    """
    left, top, right, bottom = box
    most = max(float(stacks.sum(0).max(initial=0.0)), 1.0)
    width = (right - left) / (len(edges) - 1)
    for value in ticks(0.0, most, 6):
        y = bottom - value / most * (bottom - top)
        draw.line((left, y, right, y), fill=(225, 224, 220))
        draw.text((left - 8, y), f"{value:,.0f}", fill=INK, font=font(12), anchor="rm")
    base = np.zeros(len(edges) - 1)
    for i, row in enumerate(stacks):
        for b, value in enumerate(row):
            y0, y1 = (bottom - v / most * (bottom - top) for v in (base[b] + value, base[b]))
            if value:
                draw.rectangle(
                    (left + b * width + 1, y0, left + (b + 1) * width - 1, y1),
                    fill=COLOURS[i % len(COLOURS)],
                )
        base += row
    draw.line((left, bottom, right, bottom), fill=INK)
    for b in range(0, len(edges), 2 if len(edges) > 13 else 1):
        draw.text(
            (left + b * width, bottom + 8), f"{edges[b]:g}", fill=INK, font=font(12), anchor="mt"
        )
    draw.text(((left + right) / 2, bottom + 36), title, fill=INK, font=font(14), anchor="mt")
