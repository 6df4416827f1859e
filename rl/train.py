"""`s2e-ppo`: from a pretrained policy to an experienced one.

    s2e-ppo --envs 256 --init RUN --out RUN2
    s2e-ppo --envs 256 --init RUN --out RUN2 --resume

PPO of Stable-Baselines3 over batched worlds. Only the residual-attention adapters (and a value network) are trained; what is frozen
runs once per frame. At step 0 the policy is the pretrained one exactly. Stopped at any moment, it resumes to the same weights.
"""

import dataclasses
import math
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import tyro
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import Logger
from tqdm import tqdm

from s2e import dist
from s2e.acting import Actor
from s2e.checkpoint import (
    find_checkpoint,
    load_networks,
    load_training_state,
    optimizer_state,
    policy_state,
    restore_optimizer,
    restore_rng,
    rng_state,
    save_checkpoint,
)
from s2e.config import PRESETS, PolicyConfig
from s2e.envs.config import WorldsConfig
from s2e.envs.sb3 import UrbanVecEnv
from s2e.envs.vector import make_worlds
from s2e.errors import UserError, check_device, require, run_command
from s2e.rl.policy import AdapterPolicy
from s2e.rl.prefix import FrozenPrefix
from s2e.run import Interrupt, Run, check_out, same_config


@dataclass(frozen=True)
class PPOArgs:
    """Fine-tune a pretrained S2E policy with PPO in simulated streets."""

    out: Path
    """The new run's folder."""
    init: str = "laptop"
    """What to start from: a pretrained run, a checkpoint or an exported folder, or the name of a shipped policy."""
    envs: int = 256
    """Worlds side by side, over all ranks."""
    steps: int = 500_000
    """Environment steps (0.2 s each), over all worlds."""
    horizon: int = 32
    """Steps of each world between updates."""
    scenes: int = 64
    """Different streets in the pool."""
    scene: str = ""
    """A scene to train in instead of streets: gs_urban/plaza, what `s2e-scene` imported, a folder, or gs_urban, all of them."""
    refresh: int = 0
    """0 draws from the pool; otherwise each world has streets of its own and a new one after so many episodes."""
    people: int = 6
    """Most people in a world."""
    robot: str = "jackal"
    """jackal, coco, go2, g1, several with commas between, or any: of several, each episode draws one."""
    randomise: float = 0.0
    """How far each episode's robot strays from its figures, and its camera from a clean image: 0 to 1."""
    physics: Literal["kinematic", "mujoco"] = "kinematic"
    """What moves the robots."""
    splat_backend: Literal["cpu", "gsplat"] = "cpu"
    """What draws the splats of --scene: our own kernels, or gsplat on an NVIDIA GPU (pip install s2e[gs])."""
    objects: Path | None = None
    """A GLB or OBJ file, or a folder of them, to stand in the way instead of the packaged things."""
    tracks: Path | None = None
    """Recorded pedestrians (ETH/UCY obsmat.txt) instead of simulated ones."""
    reward: str = "urban_sim"
    """Set of reward terms: urban_sim or compact."""
    curriculum: bool = False
    """Begin with near goals, emptier streets and fewer people; success makes it harder, world by world."""
    lr: float = 1e-3
    """Learning rate."""
    batch: int = 1024
    """Samples of a minibatch."""
    epochs: int = 3
    """Passes over each rollout."""
    gamma: float = 0.98
    """Discount per step of 0.2 s."""
    gae_lambda: float = 0.95
    """Lambda of generalised advantage estimation."""
    clip: float = 0.2
    """PPO's clip range."""
    entropy: float = 0.001
    """Weight of the mixture's entropy bound."""
    value_warmup: int = 2
    """Updates in which only the value network learns."""
    save_every: int = 5
    """Updates between checkpoints."""
    seed: int = 0
    """Seed of everything random."""
    device: str = "cpu"
    """Torch device: cpu or cuda."""
    resume: bool = False
    """Continue the run in --out."""


def check(args: PPOArgs, world: int) -> None:
    """Refuses numbers that cannot work."""
    for name in ("envs", "steps", "horizon", "scenes", "batch", "epochs", "save_every"):
        if getattr(args, name) < 1:
            raise UserError(f"--{name.replace('_', '-')} is {getattr(args, name)}; it must be at least 1")
    require(args.value_warmup >= 0, f"--value-warmup is {args.value_warmup}; it must not be negative")
    worlds_config(args)  # refuses names and numbers that cannot be, before anything is loaded
    require(args.refresh >= 0, f"--refresh is {args.refresh}; it must not be negative")
    if args.envs % world:
        raise UserError(f"--envs {args.envs} cannot be dealt to {world} ranks; use a multiple")
    if args.envs // world * args.horizon < 2:
        raise UserError("--envs times --horizon is 1; PPO needs at least 2 samples an update")
    require(math.isfinite(args.entropy) and args.entropy >= 0, f"--entropy is {args.entropy}; it must be a number, 0 or more")
    for name in ("lr", "clip"):
        if not (math.isfinite(getattr(args, name)) and getattr(args, name) > 0):
            raise UserError(f"--{name} is {getattr(args, name)}; it must be a positive number")
    if not (0 < args.gamma < 1 and 0 <= args.gae_lambda <= 1):
        raise UserError(f"--gamma {args.gamma} must be between 0 and 1, --gae-lambda {args.gae_lambda} within 0 and 1")
    check_device(args.device)
    require(args.seed >= 0, f"--seed is {args.seed}; it must not be negative")


def worlds_config(args: PPOArgs, policy: PolicyConfig = PRESETS["laptop"]) -> WorldsConfig:
    """What the worlds of a run share."""
    return WorldsConfig.for_policy(
        policy, robot=args.robot, people=args.people, randomise=args.randomise, camera_noise=args.randomise,
        physics=args.physics, reward=args.reward, tracks=args.tracks, splat_backend=args.splat_backend,
    )  # fmt: skip


class _Watch(BaseCallback):
    """Counts what finished episodes ended with, and the reward terms."""

    def __init__(self, bar: tqdm, worlds: Any):
        super().__init__()
        self.bar, self.worlds = bar, worlds
        self.ended: deque[tuple[float, float, float]] = deque(maxlen=400)
        self.terms: dict[str, list[float]] = {}

    def _on_step(self) -> bool:
        self.bar.update(self.worlds.count)
        last = self.worlds.last
        self.ended.extend(zip(last["success"], last["contacts"] > 0, last["return"], strict=True))
        for name, values in last.items():
            if name.startswith("reward_"):
                self.terms.setdefault(name.removeprefix("reward_"), []).append(float(values.mean()))
        return True

    def collect(self) -> dict[str, float]:
        """Means since the last call (terms) and over the last 400 episodes (the rest)."""
        values = {f"reward/{k}": float(np.mean(v)) for k, v in self.terms.items()}
        self.terms = {}
        if self.ended:
            success, collided, returned = np.array(self.ended, dtype=float).mean(0)
            values |= {"episode/success": success, "episode/collision": collided, "episode/return": returned}
        return values


class Trainer:
    """Worlds, frozen prefix and PPO of one fine-tuning run."""

    def __init__(self, args: PPOArgs, rank: int, world: int):
        self.args, self.rank = args, rank
        torch.manual_seed(args.seed)
        source = args.out if args.resume else args.init
        policy, self.net = load_networks(source, newest=args.resume)
        torch.manual_seed(args.seed)  # the value network's start must not depend on how the policy was loaded
        policy.add_adapters()
        self.count = args.envs // world
        self.worlds = make_worlds(
            self.count, args.scenes, args.seed, worlds_config(args, policy.config), rank,
            scene=args.scene, curriculum=args.curriculum, refresh=args.refresh, objects=args.objects,
        )  # fmt: skip
        self.actor = Actor(policy, self.net, self.count, args.device)
        self.env = FrozenPrefix(UrbanVecEnv(self.worlds), self.actor)
        self.model = PPO(
            AdapterPolicy,  # pyright: ignore[reportArgumentType]
            self.env,
            learning_rate=args.lr,
            n_steps=args.horizon,
            batch_size=min(args.batch, self.count * args.horizon),
            n_epochs=args.epochs,
            gamma=args.gamma,
            gae_lambda=args.gae_lambda,
            clip_range=args.clip,
            ent_coef=args.entropy,
            max_grad_norm=1.0,
            policy_kwargs={"s2e": policy},
            device=args.device,
            seed=args.seed + rank,
        )
        self.model.set_logger(Logger(folder=None, output_formats=[]))
        self.policy: AdapterPolicy = self.model.policy  # pyright: ignore[reportAttributeAccessIssue]
        dist.same_start(self.policy.parameters())
        self.policy.optimizer.register_step_pre_hook(lambda *_: dist.average_gradients(self.policy.parameters()))
        self.updates = 0

    def start(self, watch: _Watch) -> None:
        """Begins all episodes, or goes on with those of the checkpoint."""
        self.model._last_obs = self.env.reset()
        self.model._last_episode_starts = np.ones(self.count, dtype=bool)
        if self.args.resume:
            self.load()
        watch.init_callback(self.model)
        self.model.ep_info_buffer, self.model.ep_success_buffer = deque(maxlen=100), deque(maxlen=100)

    def update(self, watch: _Watch) -> dict[str, float]:
        """One rollout and one PPO update; returns what to log."""
        began = time.monotonic()
        model = self.model
        model.collect_rollouts(self.env, watch, model.rollout_buffer, self.args.horizon)
        collected = time.monotonic()
        model._update_current_progress_remaining(model.num_timesteps, self.args.steps)
        warm = self.updates >= self.args.value_warmup
        for name, parameter in self.policy.s2e.named_parameters():
            if ".adapter." in name:
                parameter.requires_grad_(warm)
                parameter.grad = None  # a stale gradient would still move it
        model.train()
        if not math.isfinite(model.logger.name_to_value["train/loss"]):
            raise UserError(f"{self.args.out}: the loss is not finite at update {self.updates}; resume with a smaller --lr")
        self.updates += 1
        ended = time.monotonic()
        steps = self.count * self.args.horizon
        values = {k: float(v) for k, v in model.logger.name_to_value.items() if k.startswith("train/")}
        model.logger.name_to_value.clear()
        return {
            **values,
            **watch.collect(),
            "time/steps_per_s": steps / (ended - began),
            "time/rollout_per_s": steps / (collected - began),
        }

    def save(self) -> None:
        """Writes a checkpoint (rank 0) while the other ranks wait. It holds rank 0's worlds only: see `load`."""
        if self.rank == 0:
            tensors, state = rng_state()
            more, groups = optimizer_state(self.policy.optimizer)
            arrays, worlds = self.worlds.state()
            arrays |= {"older": self.actor.older, "fresh": self.actor.fresh}
            arrays |= {"last_obs": np.asarray(self.model._last_obs), "starts": np.asarray(self.model._last_episode_starts)}
            tensors |= more | {f"world.{k}": torch.from_numpy(np.ascontiguousarray(v)) for k, v in arrays.items()}
            tensors |= {f"value.{k}": v for k, v in self.policy.value.state_dict().items()}
            counts = {"step": self.updates, "env_steps": self.model.num_timesteps, "n_updates": self.model._n_updates}
            config = {"stage": "ppo", "policy": self.policy.s2e.config.to_dict()}
            folder = self.args.out / "checkpoints" / f"{self.updates:08d}"
            model = policy_state(self.policy.s2e, self.net)
            save_checkpoint(folder, config, model, tensors, {**state, **groups, **counts, "worlds": worlds})
        dist.barrier()

    def load(self) -> None:
        """Puts back everything but the weights, which came with the policy.

        Ranks other than 0 begin new episodes: exact resume is a promise for one process.
        """
        tensors, state = load_training_state(find_checkpoint(self.args.out, newest=True))
        self.policy.value.load_state_dict({k.removeprefix("value."): v for k, v in tensors.items() if k.startswith("value.")})
        restore_optimizer(self.policy.optimizer, tensors, state)
        self.model.num_timesteps, self.model._n_updates = state["env_steps"], state["n_updates"]
        self.updates = state["step"]
        if self.rank == 0:
            arrays = {k.removeprefix("world."): v.numpy() for k, v in tensors.items() if k.startswith("world.")}
            self.worlds.restore(arrays, state["worlds"])
            self.actor.older, self.actor.fresh = arrays["older"].copy(), arrays["fresh"].copy()
            self.model._last_obs, self.model._last_episode_starts = arrays["last_obs"].copy(), arrays["starts"].copy()
            restore_rng(tensors, state)


def train(args: PPOArgs) -> None:
    """The whole command."""
    rank, world = dist.start(args.device)
    check(args, world)
    check_out(args.out, args.resume)
    config: dict[str, Any] = {k: str(v) if isinstance(v, Path) else v for k, v in dataclasses.asdict(args).items()}
    config["world_size"] = world
    resume_at = None
    if args.resume:
        same_config(args.out, config, may_differ=("resume", "out", "device", "steps"))
        resume_at = int(load_training_state(find_checkpoint(args.out, newest=True))[1]["step"])
    trainer = Trainer(args, rank, world)
    run = Run(args.out, config, resume_at, write=rank == 0)
    per_update = args.envs * args.horizon
    updates = max(1, math.ceil(args.steps / per_update))
    adapters = sum(p.numel() for n, p in trainer.policy.s2e.named_parameters() if ".adapter." in n)
    streets = f"new streets every {args.refresh} episodes" if args.refresh else f"{args.scenes} streets"
    run.say(f"{args.envs} worlds, {streets}, {updates} updates of {per_update} steps")
    run.say(f"{adapters / 1e6:.2f} M adapter weights train, all else of the policy is frozen")
    bar = tqdm(total=updates * per_update // world, desc="ppo", unit="step", disable=None if rank == 0 else True)
    with bar, Interrupt() as interrupt:
        watch = _Watch(bar, trainer.worlds)
        trainer.start(watch)
        bar.update(trainer.updates * per_update // world)
        while trainer.updates < updates:
            values = trainer.update(watch)
            run.log(trainer.updates, values)
            bar.set_postfix(success=f"{values.get('episode/success', math.nan):.2f}")
            if trainer.updates % args.save_every == 0 or trainer.updates == updates or interrupt.asked:
                trainer.save()
            if interrupt.asked and trainer.updates < updates:
                raise KeyboardInterrupt
    ended = watch.collect()
    means = ", ".join(f"{k.split('/')[1]} {v:.2f}" for k, v in ended.items() if k.startswith("episode/"))
    run.say(f"training worlds, last 400 episodes: {means or 'none has ended'}")
    if rank == 0:
        run.say(f"checkpoint: {find_checkpoint(args.out)}")
    run.close()
    dist.finish()


def main() -> None:
    """Entry point of `s2e-ppo`."""
    run_command(lambda: train(tyro.cli(PPOArgs, description=__doc__)))


if __name__ == "__main__":
    main()
