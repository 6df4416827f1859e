"""How fast splats are drawn on the CPU, by how many are stored and how many are seen: a table in
Markdown.

    python -m s2e.benchmarks.speed.splats    the curve: 0.1, 0.3, 1 and 3 million Gaussians
    python -m s2e.benchmarks.speed.splats --millions 0.139 --reference
                                             with the torch twin of gsplat's mathematics

The scenes are made here: blocks of houses with streets and trees between them, as flat Gaussians on
their surfaces. "corner" looks out of a corner of the city, so that about the same is seen however
large it is; "street" looks along streets anywhere in it; "all" is one block in which every Gaussian
is in view, so that with more of them each is smaller.
"""

import importlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
import tyro

from s2e.benchmarks.speed.command import hardware
from s2e.core.errors import UserError, run_command
from s2e.envs.geometry.camera import Camera, camera_poses
from s2e.envs.geometry.scene import Splats
from s2e.envs.splats.render import prepare, render_counted, render_splats
from s2e.envs.splats.views import Views

BLOCK_M = 32.0
HOUSE_M = 22.0
BLOCK_GAUSSIANS = 25_000
BACKGROUND = (150.0, 190.0, 230.0)


@dataclass(frozen=True)
class SplatBenchmarkArgs:
    """Measure the CPU splat rasteriser."""

    millions: tuple[float, ...] = (0.1, 0.3, 1.0, 3.0)
    """Gaussians stored, in millions."""
    views: int = 16
    """Cameras of a batch."""
    degree: int = 0
    """Of the spherical harmonics, 0 to 3."""
    threads: tuple[int, ...] = (1, 2)
    """Numbers of threads; as many as there are where there are fewer."""
    repetitions: int = 3
    """Batches of which the median counts."""
    reference: bool = False
    """Also draw the first view with the torch twin, and say how many times faster the kernels
    are."""


def surfaces(blocks: int, rng: np.random.Generator) -> np.ndarray:
    """(R, 3, 3) corner and two edges of the rectangles of a city of blocks x blocks houses with
    trees, its middle at 0, metres.
    """
    side, half = blocks * BLOCK_M, HOUSE_M / 2
    found: list[Any] = [((-side / 2, -side / 2, 0), (side, 0, 0), (0, side, 0))]
    for i, j in np.ndindex(blocks, blocks):
        x, y = (i + 0.5) * BLOCK_M - side / 2, (j + 0.5) * BLOCK_M - side / 2
        height = rng.uniform(6, 13)
        for s in (-half, half):
            found.append(((x - half, y + s, 0), (HOUSE_M, 0, 0), (0, 0, height)))
            found.append(((x + s, y - half, 0), (0, HOUSE_M, 0), (0, 0, height)))
        for _ in range(3):
            along, beside = rng.uniform(-half, half), (half + 2) * rng.choice((-1, 1))
            for turn in rng.uniform(0, np.pi, 3):
                reach = 1.2 * np.array([np.cos(turn), np.sin(turn), 0])
                found.append(
                    (np.array([x + along, y + beside, 1.8]) - reach, 2 * reach, (0, 0, 2.5))
                )
            found.append(((x + along, y + beside, 0), (0.2, 0.1, 0), (0, 0, 2)))
    return np.array([[np.asarray(v, dtype=np.float64) for v in rectangle] for rectangle in found])


def city(count: int, blocks: int, rng: np.random.Generator, degree: int = 0) -> Splats:
    """`count` flat Gaussians spread evenly over a city's surfaces, three in ten of them rather
    transparent.
    """
    corner, u, v = surfaces(blocks, rng).transpose(1, 0, 2)
    normal = np.cross(u, v)
    area = np.linalg.norm(normal, axis=1)
    normal /= area[:, None]
    of = rng.choice(len(area), count, p=area / area.sum())
    a, b = rng.uniform(size=(2, count, 1))
    means = corner[of] + a * u[of] + b * v[of] + normal[of] * rng.normal(0, 0.02, (count, 1))
    # The shortest turn of z to the normal, after one about z.
    turn = np.stack([1 + normal[:, 2], -normal[:, 1], normal[:, 0], 0 * area], 1)
    turn[turn[:, 0] < 1e-6] = (0, 1, 0, 0)
    turn = (turn / np.linalg.norm(turn, axis=1, keepdims=True))[of]
    w, z = np.cos(spin := rng.uniform(0, np.pi / 2, count)), np.sin(spin)
    quats = np.stack(
        [
            turn[:, 0] * w,
            turn[:, 1] * w + turn[:, 2] * z,
            turn[:, 2] * w - turn[:, 1] * z,
            turn[:, 0] * z,
        ],
        1,
    )
    spacing = np.sqrt(area.sum() / count)
    sizes = spacing * np.exp(rng.normal(-0.2, 0.3, (count, 2)))
    sh = np.zeros((count, (degree + 1) ** 2, 3), np.float32)
    sh[:, 1:] = rng.normal(0, 0.05, (count, sh.shape[1] - 1, 3))
    sh[:, 0] = (
        rng.uniform(-1, 1, (len(area), 3))[of]
        + 0.35 * np.sin(2 * means @ rng.normal(size=(3, 3)))
        + rng.normal(0, 0.15, (count, 3))
    )
    opacities = np.where(
        rng.uniform(size=count) < 0.7, rng.uniform(0.7, 0.99, count), rng.uniform(0.05, 0.7, count)
    )
    scales = np.concatenate([sizes, np.full((count, 1), 0.1 * spacing)], 1)
    means, quats, scales, opacities, sh = (
        np.ascontiguousarray(x, dtype=np.float32) for x in (means, quats, scales, opacities, sh)
    )
    return Splats(means, quats, scales, opacities, sh)


def cameras(how: str, blocks: int, views: int, rng: np.random.Generator) -> np.ndarray:
    """(views, 3) x, y, yaw of cameras: see the module's text."""
    side = blocks * BLOCK_M
    if how == "all":
        return np.stack(
            [
                np.full(views, -0.5 * side),
                np.full(views, -0.5 * side),
                np.pi / 4 + rng.uniform(-0.05, 0.05, views),
            ],
            1,
        )
    if how == "corner":
        corner = np.array([-side / 2 + BLOCK_M + 2, -side / 2 + BLOCK_M + 2])
        return np.concatenate(
            [
                corner + rng.uniform(-2, 2, (views, 2)),
                -0.75 * np.pi + rng.uniform(-0.4, 0.4, (views, 1)),
            ],
            1,
        )
    line = rng.integers(0, blocks + 1, views) * BLOCK_M - side / 2 + rng.uniform(-2, 2, views)
    along, across = rng.uniform(-side / 2, side / 2, views), rng.uniform(size=views) < 0.5
    yaw = (
        np.where(across, np.pi / 2, 0)
        + np.pi * rng.integers(0, 2, views)
        + rng.uniform(-0.4, 0.4, views)
    )
    return np.stack([np.where(across, line, along), np.where(across, along, line), yaw], 1)


def seconds(draw: Callable[[], object], repetitions: int) -> float:
    """Median time of one call, after one that warms up."""
    draw()
    times = []
    for _ in range(repetitions):
        began = time.perf_counter()
        draw()
        times.append(time.perf_counter() - began)
    return float(np.median(times))


def times_faster(splats: Splats, view: tuple, kernels_s: float, repetitions: int) -> str:
    """How many times as long as `kernels_s` (s an image) the torch twin takes, or a dash where
    there is none.
    """
    views = Views(*view, BACKGROUND)
    try:
        twin = importlib.import_module("s2e.envs.splats.reference").render_reference
        return f"{seconds(lambda: twin(splats, views), repetitions) / kernels_s:.0f}"
    except (ImportError, UserError):  # no gsplat
        return "-"


def measure(args: SplatBenchmarkArgs) -> None:
    """Prints a row for every scene, size and number of threads."""
    most = numba.get_num_threads()
    counts = list(dict.fromkeys(min(threads, most) for threads in args.threads))
    print(", ".join(f"{k} {v}" for k, v in hardware().items()) + "\n")
    print(
        "| stored | view | size | views | threads | Gaussians projected | in tiles | images/s | "
        "times the twin |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for millions in args.millions:
        for how in ("corner", "street", "all"):
            rng, count = np.random.default_rng(0), round(millions * 1e6)
            blocks = 1 if how == "all" else max(round(np.sqrt(count / BLOCK_GAUSSIANS)), 1)
            splats = city(count, blocks, rng, args.degree)
            prepared, poses = prepare(splats), cameras(how, blocks, args.views, rng)
            for camera in (Camera(96, 160), Camera(320, 640)):
                size = (camera.height_px, camera.width_px)
                views = (*camera_poses(poses, camera), camera.intrinsics(), *size)
                work = render_counted(prepared, Views(*views, BACKGROUND))[3] / len(poses)
                for threads in counts:
                    numba.set_num_threads(threads)
                    each = seconds(
                        lambda p=prepared, v=views: render_splats(p, Views(*v, BACKGROUND)),
                        args.repetitions,
                    ) / len(poses)
                    first = (views[0][:1], views[1][:1], *views[2:])
                    ratio = times_faster(splats, first, each, 1) if args.reference else "-"
                    print(
                        f"| {millions} M | {how} | {size[1]}x{size[0]} | {len(poses)} | {threads} "
                        f"| {work[0]:.0f} | {work[1]:.0f} "
                        f"| {1 / each:.1f} | {ratio} |",
                        flush=True,
                    )
    numba.set_num_threads(most)


def main() -> None:
    """Entry point."""

    def run() -> None:
        args = tyro.cli(SplatBenchmarkArgs, description=__doc__)
        if (
            not 0 <= args.degree <= 3
            or args.views < 1
            or args.repetitions < 1
            or min(args.threads) < 1
            or min(args.millions) <= 0
        ):
            raise UserError(
                "--degree must be 0 to 3, and --views, --repetitions, --threads and --millions "
                "positive"
            )
        measure(args)

    run_command(run)


if __name__ == "__main__":
    main()
