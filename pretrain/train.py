"""`s2e-pretrain`: from navigation video to a policy.

    s2e-pretrain --data WALKS... --out RUN          walks in the GNM layout (docs/data.md)
    s2e-pretrain --data WALKS... --out RUN --resume

Reads the walks, encodes every frame once (a frozen encoder), splits by walk, trains with the distribution-matching loss,
and prints open-loop metrics on the held-out walks beside two baselines. Stopped at any moment, it resumes to the same weights.
"""

import dataclasses
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import tyro
from tqdm import tqdm

from s2e import dist
from s2e.cache import cache
from s2e.checkpoint import (
    find_checkpoint,
    load_training_state,
    optimizer_state,
    policy_state,
    read_tensors,
    restore_optimizer,
    restore_rng,
    rng_state,
    save_checkpoint,
)
from s2e.config import PRESETS, PolicyConfig
from s2e.encoder import FeatureNet
from s2e.errors import UserError, check_device, require, run_command
from s2e.mixture import Modes, matching_loss
from s2e.policy import S2EPolicy
from s2e.pretrain.metrics import constant_velocity, format_rows, open_loop, straight_to_goal
from s2e.pretrain.samples import Batch, Samples, make_batch, make_samples, split_walks
from s2e.pretrain.tokens import FrameStore, TokenStore
from s2e.run import Interrupt, Run, check_out, same_config
from s2e.video.formats import read_walks
from s2e.video.options import ReadOptions
from s2e.video.walk import Walk


@dataclass(frozen=True)
class PretrainArgs:
    """Pretrain an S2E policy on navigation video."""

    data: tuple[Path, ...]
    """Folders of walks in the GNM layout."""
    out: Path
    """The run's folder."""
    preset: Literal["laptop", "paper"] = "laptop"
    """Shape of the network: `laptop` (96x160, lite0, frozen) or `paper` (320x640, B0, 768-d)."""
    anchors: int = 8
    """Modes of the mixture."""
    steps: int = 0
    """Optimiser steps; 0 means 20 passes over the training samples, and 300 at least."""
    batch: int = 256
    """Samples a step."""
    lr: float = 1e-3
    """Peak learning rate, after a warm-up and before a cosine decay."""
    hide_goal: float = 0.1
    """Probability that a sample's goal is masked."""
    hide_ego: float = 0.5
    """Probability that a sample's own motion is masked: a policy that always sees it learns to go on as before."""
    validation: float = 0.2
    """Fraction of the walks held out."""
    hz: float = 10.0
    """Frames a second of datasets that have no dataset.json."""
    encoder_weights: Path | None = None
    """A state dict for the encoder; lite0's ImageNet weights come with its package, B0's do not."""
    seed: int = 0
    """Seed of everything random."""
    save_every: int = 250
    """Steps between checkpoints."""
    device: str = "cpu"
    """Torch device: cpu or cuda."""
    resume: bool = False
    """Continue the run in --out."""


def policy_config(args: PretrainArgs) -> PolicyConfig:
    """The preset with the command line's changes."""
    return dataclasses.replace(PRESETS[args.preset], anchors=args.anchors)


def check(args: PretrainArgs) -> None:
    """Refuses numbers that cannot work."""
    require(0.1 <= args.hz <= 1000, f"--hz is {args.hz}; frames a second, 0.1 to 1000")
    if args.steps < 0:
        raise UserError(f"--steps is {args.steps}; it must not be negative")
    for name in ("batch", "anchors", "save_every"):
        if getattr(args, name) < 1:
            raise UserError(f"--{name.replace('_', '-')} is {getattr(args, name)}; it must be at least 1")
    for name in ("hide_goal", "hide_ego", "validation"):
        if not 0 <= getattr(args, name) < 1:
            raise UserError(f"--{name.replace('_', '-')} is {getattr(args, name)}; it is a fraction, 0 to below 1")
    if not (math.isfinite(args.lr) and args.lr > 0):
        raise UserError(f"--lr is {args.lr}; it must be a positive number")
    check_device(args.device)
    require(args.seed >= 0, f"--seed is {args.seed}; it must not be negative")


class Trainer:
    """Network, optimiser and data of one pretraining run."""

    def __init__(self, args: PretrainArgs, rank: int, world: int, run: Run):
        self.args, self.rank, self.world, self.run = args, rank, world, run
        self.config = policy_config(args)
        torch.manual_seed(args.seed)
        self.net = FeatureNet(self.config, args.encoder_weights).to(args.device)
        self.policy = S2EPolicy(self.config).to(args.device)
        dist.same_start([*self.policy.parameters(), *self.net.parameters()])
        self.net.eval().requires_grad_(self.config.train_encoder)
        self.parameters = [*self.policy.parameters(), *(self.net.parameters() if self.config.train_encoder else ())]
        self.optimizer = torch.optim.AdamW(self.parameters, lr=args.lr, weight_decay=0.01)
        self.step, self.steps = 0, args.steps

    def load_data(self, hz: float) -> tuple[Samples, Samples]:
        """Reads and encodes the walks; says what was left out."""
        walks, skipped = read_walks(self.args.data, ReadOptions(hz=hz))
        for walk in walks:
            if walk.note:
                self.run.say(f"note: {walk.name}: {walk.note}")
        if self.config.train_encoder:
            self.store = FrameStore(self.config, cache())
        else:
            self.store = TokenStore(self.net, self.config, cache(), self.args.device)
        places, walks, left_out = self.store.add(walks)
        skipped += left_out
        for entry in skipped:
            self.run.say(f"skipped {entry.source.name}: {entry.reason}")
        training, held = split_walks(walks, self.args.validation, self.args.seed)
        self.run.say(
            f"{len(walks)} walks, {sum(map(len, walks))} frames, {len(skipped)} skipped; "
            f"{len(training)} to train on, {len(held)} held out"
        )
        first = {id(w): place for w, place in zip(walks, places, strict=True)}
        split = self._split(training, first), self._split(held, first)
        self.steps = self.args.steps or max(300, 20 * len(split[0]) // (self.args.batch * self.world))
        return split

    def _split(self, walks: list[Walk], first: dict[int, np.int64]) -> Samples:
        samples = make_samples(walks, self.config, np.array([first[id(w)] for w in walks]))
        if len(samples) == 0:
            seconds = self.config.waypoints * self.config.waypoint_dt_s
            raise UserError(f"{walks[0].source}: no walk in this split is longer than the {seconds:g} s that are predicted")
        return samples

    def forward(self, batch: Batch, hide: tuple[torch.Tensor, torch.Tensor] | None) -> Modes:
        """The policy's answer to a batch."""
        device = self.args.device
        if isinstance(self.store, TokenStore):
            features, older = (torch.from_numpy(a).to(device).float() for a in self.store.tokens(batch.frames))
            newest = self.policy.newest_tokens(features)
        else:
            features = self.net(torch.from_numpy(self.store.images(batch.frames)).to(device)).unflatten(0, (-1, self.config.history))
            newest, older = self.policy.newest_tokens(features[:, -1]), features[:, :-1].mean((2, 3))
        goal_hidden, ego_hidden = (h.to(device) for h in hide) if hide else (None, None)
        vectors = batch.goal.to(device), batch.ego.to(device), batch.robot.to(device)
        return self.policy.decode(self.policy.context(newest, older, *vectors, goal_hidden, ego_hidden))

    def train_step(self, data: Samples) -> dict[str, float]:
        """One optimiser step; all its randomness is a function of seed, step and rank."""
        args, config = self.args, self.config
        rng = np.random.default_rng([args.seed, self.step, self.rank])
        index = self._indices(len(data))
        batch = make_batch(data, index, config, rng)
        self.net.train(config.train_encoder)  # batch statistics, where the encoder learns
        hide = (torch.from_numpy(rng.random(len(index)) < args.hide_goal), torch.from_numpy(rng.random(len(index)) < args.hide_ego))
        for group in self.optimizer.param_groups:
            group["lr"] = args.lr * schedule(self.step, self.steps)
        modes = self.forward(batch, hide)
        losses = matching_loss(modes, batch.future.to(args.device), self.policy.anchors, config.waypoint_dt_s, config.speed_floor)
        if not math.isfinite(float(losses["loss"].detach())):
            raise UserError(f"{args.out}: the loss is not finite at step {self.step}; start again with a smaller --lr")
        self.optimizer.zero_grad()
        losses["loss"].backward()
        dist.average_gradients(self.parameters)
        norm = torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimizer.step()
        self.step += 1
        usage = torch.bincount(modes.logits.detach().argmax(-1).cpu(), minlength=config.anchors)
        with torch.no_grad():
            entropy = torch.distributions.Categorical(logits=modes.logits.float()).entropy().mean()
        return {
            **{k: float(v.detach()) for k, v in losses.items()},
            "grad_norm": float(norm),
            "score_entropy": float(entropy),
            "anchors_used": int((usage > 0.01 * usage.sum()).sum()),
        }

    def _indices(self, count: int) -> np.ndarray:
        """The samples of this step: epoch after epoch of seeded permutations, cut into batches, dealt to the ranks."""
        batch, args = self.args.batch, self.args
        start = (self.step * self.world + self.rank) * batch
        places = np.arange(start, start + batch)
        epochs = places // count
        orders = {e: np.random.default_rng([args.seed, 7, e]).permutation(count) for e in np.unique(epochs)}
        return np.array([orders[e][p % count] for e, p in zip(epochs, places, strict=True)])

    @torch.no_grad()
    def evaluate(self, data: Samples) -> dict[str, dict[str, float]]:
        """Open-loop metrics of the policy and the baselines on held-out samples."""
        self.net.eval()
        best, candidates, futures, baselines = [], [], [], {"constant velocity": [], "straight to goal": []}
        dt = self.config.waypoint_dt_s
        for start in range(0, len(data), self.args.batch):
            index = np.arange(start, min(start + self.args.batch, len(data)))
            batch = make_batch(data, index, self.config, None)
            modes = self.forward(batch, None)
            metric = modes.metric(dt).cpu().numpy()
            best.append(metric[np.arange(len(index)), modes.logits.argmax(-1).cpu().numpy()])
            candidates.append(metric)
            futures.append(batch.future.numpy())
            baselines["constant velocity"].append(constant_velocity(batch.ego.numpy(), self.config))
            baselines["straight to goal"].append(straight_to_goal(batch.goal_xy, batch.ego.numpy(), self.config))
        future = np.concatenate(futures)
        rows = {name: open_loop(np.concatenate(parts), future) for name, parts in baselines.items()}
        rows["s2e"] = open_loop(np.concatenate(best), future, np.concatenate(candidates))
        return rows

    def save(self) -> None:
        """Writes a checkpoint (rank 0) while the other ranks wait."""
        if self.rank == 0:
            tensors, state = rng_state()
            more, groups = optimizer_state(self.optimizer)
            folder = self.args.out / "checkpoints" / f"{self.step:08d}"
            config = {"stage": "pretrain", "policy": self.config.to_dict()}
            save_checkpoint(folder, config, policy_state(self.policy, self.net), tensors | more, {**state, **groups, "step": self.step})
        dist.barrier()

    def load(self) -> None:
        """Puts back the newest checkpoint of --out."""
        folder = find_checkpoint(self.args.out)
        tensors = read_tensors(folder / "model.safetensors")
        for module, prefix in ((self.policy, "policy."), (self.net, "encoder.")):
            module.load_state_dict({k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)})
        state_tensors, state = load_training_state(folder)
        restore_optimizer(self.optimizer, state_tensors, state)
        restore_rng(state_tensors, state)
        self.step = int(state["step"])


def schedule(step: int, steps: int) -> float:
    """Learning-rate factor: linear warm-up over 5 %, then cosine to 2 %."""
    warm = max(1, steps // 20)
    if step < warm:
        return (step + 1) / warm
    return 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))


def verdict(rows: dict[str, dict[str, float]]) -> str:
    """Says plainly whether the policy beats both baselines on cosine similarity."""
    own, others = rows["s2e"]["cos"], {k: v["cos"] for k, v in rows.items() if k != "s2e"}
    better = all(own > v for v in others.values())
    listed = ", ".join(f"{k} {v:.3f}" for k, v in others.items())
    return f"waypoint cosine {own:.3f} {'beats' if better else 'DOES NOT beat'} both baselines ({listed})"


def train(args: PretrainArgs) -> None:
    """The whole command."""
    check(args)
    check_out(args.out, args.resume)
    rank, world = dist.start(args.device)
    config: dict[str, Any] = {k: str(v) if isinstance(v, Path) else v for k, v in dataclasses.asdict(args).items()}
    config["data"] = [str(p) for p in args.data]
    config["world_size"] = world
    resume_at = None
    if args.resume:
        same_config(args.out, config, may_differ=("resume", "out", "device"))
        resume_at = int(load_training_state(find_checkpoint(args.out))[1]["step"])
    run = Run(args.out, config, resume_at, write=rank == 0)
    trainer = Trainer(args, rank, world, run)
    training, held = trainer.load_data(args.hz)
    if args.resume:
        trainer.load()
    size = sum(p.numel() for p in trainer.policy.parameters()) / 1e6
    run.say(f"{len(training)} samples, {trainer.steps} steps of {args.batch * world}, {size:.2f} M parameters")
    began, from_step = time.monotonic(), trainer.step
    bar = tqdm(total=trainer.steps, initial=trainer.step, desc="pretrain", unit="step", disable=None if rank == 0 else True)
    with bar, Interrupt() as interrupt:
        while trainer.step < trainer.steps:
            values = trainer.train_step(training)
            bar.update()
            if trainer.step % 25 == 0 or trainer.step == trainer.steps:
                rate = (trainer.step - from_step) * args.batch * world / (time.monotonic() - began)
                run.log(trainer.step, {f"train/{k}": v for k, v in values.items()} | {"time/samples_per_s": rate})
                bar.set_postfix(loss=f"{values['loss']:.2f}", samples_s=f"{rate:.0f}")
            if (trainer.step % args.save_every == 0 and trainer.step < trainer.steps) or interrupt.asked:
                trainer.save()
            if interrupt.asked:
                raise KeyboardInterrupt
    rows = trainer.evaluate(held)
    run.log(trainer.step, {f"held_out/{k}": v for k, v in rows["s2e"].items()})
    trainer.save()
    run.say(f"held-out walks, {len(held)} samples, {trainer.config.waypoints * trainer.config.waypoint_dt_s:g} s ahead")
    run.say(format_rows(rows))
    run.say(verdict(rows))
    run.say(f"checkpoint: {find_checkpoint(args.out)}" if rank == 0 else "")
    run.close()
    dist.finish()


def main() -> None:
    """Entry point of `s2e-pretrain`."""
    run_command(lambda: train(tyro.cli(PretrainArgs, description=__doc__)))


if __name__ == "__main__":
    main()
