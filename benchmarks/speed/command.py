"""`s2e-speed`: how fast each part is on this machine, measured by itself; what it can be asked for
is in `speed_args.py`.
"""

import dataclasses
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
import numpy as np
import torch
from tqdm import tqdm

from s2e.benchmarks.speed.args import SpeedArgs, main
from s2e.core import dist
from s2e.core.errors import UserError, choose_device
from s2e.envs.config import WorldsConfig
from s2e.envs.geometry.camera import Camera, camera_poses
from s2e.envs.scenes.files import load_scene
from s2e.envs.splats.render import prepare, render_splats
from s2e.envs.splats.views import Views
from s2e.envs.vector import EpisodesConfig, make_worlds
from s2e.policy.agent import Inputs, forward
from s2e.policy.config import PRESETS
from s2e.policy.encoder import FeatureNet, FrozenEncoder
from s2e.policy.mixture import matching_loss
from s2e.policy.network import S2EPolicy
from s2e.rl.train import PPOArgs, Trainer, Watch, check_memory, settled


def rate(step: Callable[[], int], seconds: float) -> float:
    """Things a second: the median of three stretches of `seconds`, after one step that warms up and
    compiles.
    """
    step()
    rates = []
    for _ in range(3):
        done, began = 0, time.perf_counter()
        while (passed := time.perf_counter() - began) < seconds or done == 0:
            done += step()
        rates.append(done / passed if passed > 0 else 0.0)
    return float(np.median(rates))


def hardware() -> dict[str, Any]:
    """What the numbers were read on."""
    name = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo") as file:
            name = next(
                (line.split(":", 1)[1].strip() for line in file if line.startswith("model name")),
                name,
            )
    except OSError:
        pass
    return {
        "cpu": name,
        "cores": os.cpu_count(),
        "numba_threads": numba.get_num_threads(),
        "torch_threads": torch.get_num_threads(),
        "load_at_start": round(os.getloadavg()[0], 1),
    }


Measured = tuple[float, str, dict[str, Any]]

HORIZON = 8
"""Steps of each world between the updates of PPO that are measured."""


def raster_images(args: SpeedArgs) -> Measured:
    """Mesh images a second at 160x120 (width x height): streets, three people in each world, no
    simulation.
    """
    config = WorldsConfig(height_px=120, width_px=160, people=3)
    worlds = make_worlds(args.envs, config, EpisodesConfig(args.scenes, crowded=True))
    worlds.reset()
    assert worlds.stage.renderer is not None
    renderer, views = worlds.stage.renderer, worlds.views(np.arange(args.envs))

    def step() -> int:
        renderer.draw(**views)
        return args.envs

    triangles = float(np.mean([len(s.mesh.triangles) for s in worlds.scenes]))
    return (
        rate(step, args.seconds),
        "images/s",
        {"size": "160x120", "views": args.envs, "triangles": round(triangles), "people": 3},
    )


def splat_images(args: SpeedArgs) -> Measured:
    """Splat images a second at 160x96 in gs_urban/plaza."""
    return _splat_images(args, Camera(), args.envs)


def splat_large(args: SpeedArgs) -> Measured:
    """Splat images a second at 640x320 in gs_urban/plaza."""
    return _splat_images(args, Camera(height_px=320, width_px=640), 8)


def _splat_images(args: SpeedArgs, camera: Camera, views: int) -> Measured:
    scene = load_scene("gs_urban/plaza")
    assert scene.splats is not None
    prepared, rng = prepare(scene.splats), np.random.default_rng(0)
    spots = scene.free_anchors[rng.integers(len(scene.free_anchors), size=views)]
    position, rotation = camera_poses(
        np.concatenate([spots, rng.uniform(-3, 3, (views, 1))], 1), camera
    )

    def step() -> int:
        render_splats(
            prepared,
            Views(position, rotation, camera.intrinsics(), camera.height_px, camera.width_px),
        )
        return views

    size = f"{camera.width_px}x{camera.height_px}"
    return (
        rate(step, args.seconds),
        "images/s",
        {"size": size, "views": views, "gaussians": len(scene.splats.means)},
    )


def env_steps(args: SpeedArgs) -> Measured:
    """Whole environment steps a second at 240x135: two control periods, people, contacts, reward,
    an image.
    """
    config = WorldsConfig(height_px=135, width_px=240, people=8)
    worlds = make_worlds(args.envs, config, EpisodesConfig(args.scenes, crowded=True))
    worlds.reset()
    ahead = np.tile([0.8, 0.0], (args.envs, 1))

    def step() -> int:
        worlds.step(ahead)
        return args.envs

    conditions = {
        "size": "240x135",
        "worlds": args.envs,
        "people": 8,
        "controls_per_step": worlds.config.controls_per_step,
    }
    value = rate(step, args.seconds)
    return value, "steps/s", {**conditions, "peak_memory_gib": peak_memory_gib()}


def peak_memory_gib() -> float:
    """The most memory that this process has held, GiB."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(most / (1 << 30 if sys.platform == "darwin" else 1 << 20), 2)


def env_scaling(args: SpeedArgs) -> Measured:
    """Cost of a world's step with 1,024 worlds over its cost with 16, every world in a scene of its
    own; and 2 threads over 1.
    """
    rates: dict[str, float] = {}
    for count in (16, 64, 256, 1024):
        rates[f"worlds_{count}"] = env_steps(dataclasses.replace(args, envs=count, scenes=count))[0]
    threads = numba.get_num_threads()
    numba.set_num_threads(1)
    rates["worlds_256_one_thread"] = env_steps(dataclasses.replace(args, envs=256, scenes=256))[0]
    numba.set_num_threads(threads)
    rates["threads_ratio"] = round(rates["worlds_256"] / rates["worlds_256_one_thread"], 2)
    listed = {k: round(v, 2 if "ratio" in k else 0) for k, v in rates.items()}
    value = rates["worlds_16"] / rates["worlds_1024"]
    return value, "cost ratio", {"size": "240x135", **listed, "peak_memory_gib": peak_memory_gib()}


_FIRST_STEP = """
import time
began = time.perf_counter()
import gymnasium, s2e.envs
worlds = gymnasium.make_vec("s2e/Urban-v0", num_envs=2, scenes=1)
worlds.reset(seed=0)
worlds.step(worlds.action_space.sample())
print(time.perf_counter() - began)
"""


def startup(args: SpeedArgs) -> Measured:
    """Seconds from nothing to the first step of two worlds with the kernels cached; `cold_s` is the
    first time ever.
    """
    with tempfile.TemporaryDirectory() as cache:
        environment = {**os.environ, "NUMBA_CACHE_DIR": cache}
        runs = [
            subprocess.run(
                [sys.executable, "-c", _FIRST_STEP],
                env=environment,
                capture_output=True,
                text=True,
                check=True,
            )
            for _ in range(4)
        ]
    seconds = [float(run.stdout.split()[-1]) for run in runs]
    return float(np.median(seconds[1:])), "s", {"cold_s": round(seconds[0], 1)}


def encoder_images(args: SpeedArgs) -> Measured:
    """Images a second through the frozen encoder of the laptop preset."""
    config = PRESETS["laptop"]
    encoder = FrozenEncoder(FeatureNet(config), config)
    images = np.random.default_rng(0).integers(
        0, 255, (64, config.height_px, config.width_px, 3), dtype=np.uint8
    )

    def step() -> int:
        encoder(images)
        return 64

    return (
        rate(step, args.seconds),
        "images/s",
        {"encoder": config.encoder, "stride": config.stride, "size": "160x96", "batch": 64},
    )


def _split(trainer: Trainer) -> dict[str, float]:
    """Wraps the parts of a training step so that each adds the seconds it takes to what is
    returned, by name.
    """
    spent: dict[str, float] = {}

    def timed(owner: Any, method: str, name: str) -> None:
        inner = getattr(owner, method)

        def outer(*args: Any, **more: Any) -> Any:
            began = time.perf_counter()
            answer = inner(*args, **more)
            spent[name] = spent.get(name, 0.0) + time.perf_counter() - began
            return answer

        setattr(owner, method, outer)

    env: Any = trainer.env
    timed(trainer.worlds, "step", "worlds")  # what is rendered is inside, and taken off below
    timed(trainer.worlds, "_images", "render")
    timed(env.prefix.agent, "encoder", "encode")
    timed(trainer.policy, "forward", "act")
    if env.coach:
        timed(env.coach, "label", "label")
    timed(trainer.model, "train", "update")
    return spent


def ppo_steps(args: SpeedArgs) -> Measured:
    """Environment steps a second of `s2e-ppo` with its defaults; beside it the encoder alone at the
    same batch, and shares of time.
    """
    with tempfile.TemporaryDirectory() as folder:
        trainer, watch = _trainer(args, folder)
        encoder = trainer.prefix.agent.encoder
        images = np.random.default_rng(0).integers(
            0, 255, (args.envs, *encoder.size, 3), dtype=np.uint8
        )

        def alone() -> int:
            encoder(images)
            return args.envs

        least = rate(alone, args.seconds)
        spent = _split(trainer)
        trainer.start(watch)
        trainer.update(watch)
        spent.clear()
        began, done = time.perf_counter(), 0

        def step() -> int:
            nonlocal done
            trainer.update(watch)
            done += 1
            return HORIZON * args.envs

        value = rate(step, args.seconds)
        whole = time.perf_counter() - began
        spent["simulate"] = spent.pop("worlds") - spent["render"]
        shares = {f"{k}_share": round(v / whole, 2) for k, v in sorted(spent.items())}
        conditions = {
            "size": "160x96",
            "worlds": args.envs,
            "horizon": HORIZON,
            "of_encoder_alone": round(value / least, 2),
        }
        return value, "steps/s", {**conditions, **shares, "peak_memory_gib": peak_memory_gib()}


def _trainer(args: SpeedArgs, folder: str, rank: int = 0, ranks: int = 1) -> tuple[Trainer, Watch]:
    """What `s2e-ppo` trains with by its defaults, `args.envs` worlds on each rank."""
    envs = args.envs * ranks
    more = {
        "horizon": HORIZON,
        "value_warmup": 0,
        "coach_drives": 0.0,
        "device": choose_device("auto"),
    }
    wanted = settled(PPOArgs(Path(folder) / "run", envs=envs, scenes=args.scenes, **more))
    check_memory(wanted, ranks)
    trainer = Trainer(wanted, rank, ranks)
    return trainer, Watch(tqdm(disable=True), trainer.worlds)


_RANK = """
import sys
from s2e.benchmarks.speed.command import SpeedArgs, rank_steps
rank_steps(SpeedArgs(envs=int(sys.argv[1]), scenes=int(sys.argv[2]), seconds=float(sys.argv[3])))
"""


def rank_steps(args: SpeedArgs) -> None:
    """One rank of `ppo_ranks`: updates for three times `args.seconds`.

    Rank 0 prints the median of the steps a second of all ranks.
    """
    rank, ranks = dist.start()
    with tempfile.TemporaryDirectory() as folder:
        trainer, watch = _trainer(args, folder, rank, ranks)
        trainer.start(watch)
        trainer.update(watch)
        took: list[float] = []
        # all ranks stop at the same update
        while not dist.any_rank(sum(took) >= 3 * args.seconds and len(took) >= 3):
            began = time.perf_counter()
            trainer.update(watch)
            took.append(time.perf_counter() - began)
    if rank == 0:
        print(HORIZON * args.envs * ranks / float(np.median(took)))
    dist.finish()


def ppo_ranks(args: SpeedArgs) -> Measured:
    """Steps a second of two ranks of `s2e-ppo` over twice those of one rank.

    Each rank has one thread and `args.envs` worlds. Beside it what one rank with two threads does.
    """

    def steps(ranks: int, threads: int) -> float:
        limits = {
            f"{name}_NUM_THREADS": str(threads) for name in ("OMP", "MKL", "OPENBLAS", "NUMBA")
        }
        command = [
            sys.executable,
            "-m",
            "torch.distributed.run",
            "--standalone",
            "--nproc-per-node",
            str(ranks),
            "--no-python",
        ]
        command += [
            sys.executable,
            "-c",
            _RANK,
            str(args.envs),
            str(args.scenes),
            str(args.seconds),
        ]
        ran = subprocess.run(command, env={**os.environ, **limits}, capture_output=True, text=True)
        if ran.returncode:
            raise UserError(f"{ranks} ranks did not run:\n{ran.stderr[-2000:]}")
        return float(ran.stdout.split()[-1])

    one, two, threaded = steps(1, 1), steps(2, 1), steps(1, 2)
    rates = {
        "one_rank": round(one, 1),
        "two_ranks": round(two, 1),
        "one_rank_two_threads": round(threaded, 1),
    }
    conditions = {
        "size": "160x96",
        "worlds_each": args.envs,
        "horizon": HORIZON,
        "unit_of_rates": "steps/s",
    }
    return (
        two / (2 * one),
        "ratio",
        {**conditions, **rates, "over_two_threads": round(two / threaded, 2)},
    )


def pretrain_samples(args: SpeedArgs) -> Measured:
    """Samples a second of pretraining steps on cached tokens."""
    config = PRESETS["laptop"]
    policy = S2EPolicy(config)
    optimizer = torch.optim.AdamW(policy.parameters(), lr=1e-4)
    batch, rng = 256, torch.Generator().manual_seed(0)
    newest = torch.randn(batch, *policy.newest_shape, generator=rng)
    older = torch.randn(batch, *policy.older_shape, generator=rng)
    robot = torch.randn(batch, 6, generator=rng)
    vector, future = (
        torch.randn(batch, 3, generator=rng),
        torch.randn(batch, config.waypoints, 2, generator=rng).cumsum(1),
    )

    def step() -> int:
        _, modes = forward(policy, Inputs(newest, older, vector, vector, robot))
        loss = matching_loss(
            modes, future, policy.anchors, config.waypoint_dt_s, config.speed_floor
        )["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return batch

    return (
        rate(step, args.seconds),
        "samples/s",
        {"batch": batch, "dim": config.dim, "tokens": policy.context_tokens},
    )


PARTS: dict[str, Callable[[SpeedArgs], Measured]] = {
    f.__name__: f
    for f in (
        raster_images,
        splat_images,
        splat_large,
        env_steps,
        env_scaling,
        startup,
        encoder_images,
        ppo_steps,
        ppo_ranks,
        pretrain_samples,
    )
}


def speed(args: SpeedArgs) -> None:
    """The whole command."""
    if args.only and args.only not in PARTS:
        raise UserError(f"--only {args.only!r} is not one of {', '.join(PARTS)}")
    machine, results = hardware(), []
    for name in [args.only] if args.only else list(PARTS):
        value, unit, conditions = PARTS[name](args)
        results.append(
            {
                "name": name,
                "value": float(f"{value:.5g}"),
                "unit": unit,
                "conditions": {**conditions, **machine},
            }
        )
        if not args.json:
            listed = ", ".join(f"{k} {v}" for k, v in conditions.items())
            print(f"{name:18}{value:10.5g} {unit:10} {listed}", flush=True)
    if args.json:
        print(json.dumps(results, indent=2))
    else:
        print(", ".join(f"{k} {v}" for k, v in machine.items()))


if __name__ == "__main__":
    main()
