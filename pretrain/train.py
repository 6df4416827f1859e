"""`s2e-pretrain`: from navigation video to a policy; what it can be asked for is in `args.py`.

Reads the walks, encodes every frame once (a frozen encoder), splits by walk, trains with the
distribution-matching loss, and prints open-loop metrics on the held-out walks beside two baselines.
Stopped at any moment, it resumes to the same weights.

From top to bottom: the command (`train`), the loop (`steps`), the step (`Trainer.train_step`), what
is validated, saved and judged.
"""

import contextlib
import dataclasses
import math
import textwrap
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from tqdm import tqdm

from s2e.core import dist
from s2e.core.errors import UserError, choose_device
from s2e.core.run import Interrupt, Run, check_out, same_config
from s2e.core.state import part, prefixed
from s2e.policy.agent import Inputs, attend, encode, forward
from s2e.policy.anchors import kmeans_anchors
from s2e.policy.checkpoint import (
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
from s2e.policy.config import PolicyConfig
from s2e.policy.encoder import VisualNet, visual_net
from s2e.policy.mixture import (
    Modes,
    free_space_loss,
    matching_loss,
    normalise,
    positive_mode,
    regression_loss,
)
from s2e.policy.network import S2EPolicy
from s2e.pretrain.args import PretrainArgs, as_json, check, main, policy_config
from s2e.pretrain.batches import Batches, Minibatch
from s2e.pretrain.dataset import Data, load_data
from s2e.pretrain.evaluate import evaluate, format_rows, verdict
from s2e.pretrain.mode_collapse import AnchorUse, UseCounter, collapse, use_of, use_picture
from s2e.pretrain.optim import Average, decay_groups, schedule
from s2e.pretrain.pictures import FanSheet
from s2e.pretrain.samples import Batch, Samples
from s2e.pretrain.stills import format_seeing, seeing_by_look

LOG_EVERY = 25  # steps
WATCHED = 4096  # samples of a validation at most, spread over all that are held out


def train(args: PretrainArgs) -> None:
    """The whole command."""
    check(args)
    args = dataclasses.replace(args, device=choose_device(args.device))
    check_out(args.out, args.resume)
    config = policy_config(args)
    rank, ranks = dist.start(args.device)
    resume_at = None
    if args.resume:
        same_config(args.out, as_json(args, ranks), may_differ=("resume", "out", "device"))
        resume_at = int(load_training_state(find_checkpoint(args.out, newest=True))[1]["step"])
    run = Run(args.out, as_json(args, ranks), resume_at, write=rank == 0)
    torch.manual_seed(args.seed)
    net = visual_net(config, args.encoder_weights).to(args.device)
    data = load_data(args, config, net, run.say)
    trainer = Trainer(args, config, net, data, rank, ranks)
    if args.resume:
        trainer.load(find_checkpoint(args.out, newest=True))
    size = sum(p.numel() for p in trainer.parameters) / 1e6
    beside = f" and {trainer.batches.still_count * ranks} stills" if data.stills else ""
    done = f", {resume_at} of them done" if resume_at else ""
    run.say(
        f"{len(data.training)} samples, {trainer.steps} steps of "
        f"{args.batch * ranks}{beside}{done}, {size:.2f} M parameters"
    )
    steps(trainer, run)
    finish(trainer, run)
    run.close()
    dist.finish()


def steps(trainer: "Trainer", run: Run) -> None:
    """Trains to the end; logs, validates and saves on the way. Ctrl-C and SIGTERM save first."""
    args, progress = trainer.args, trainer.progress
    per_step = args.batch * trainer.ranks  # samples
    pictures = FanSheet(trainer.config, trainer.data.watched) if trainer.rank == 0 else None
    bar = tqdm(
        total=trainer.steps * per_step,
        initial=progress.step * per_step,
        desc="pretrain",
        unit="sample",
        unit_scale=True,
        disable=None if trainer.rank == 0 else True,
    )
    saved, first, began = progress.step, progress.step, time.monotonic()
    with bar, Interrupt() as interrupt:
        while not trainer.done:
            terms = trainer.train_step()
            bar.update(per_step)
            if progress.step % LOG_EVERY == 0 or progress.step == trainer.steps:
                rate = (progress.step - first) * per_step / max(time.monotonic() - began, 1e-9)
                logged = {f"train/{k}": float(v) for k, v in terms.items()}
                run.log(progress.step, logged | {"time/samples_per_s": rate})
                bar.set_postfix(loss=f"{float(terms['loss']):.2f}", step=progress.step)
            if args.validate_every and progress.step % args.validate_every == 0:
                better = validate(trainer, run, pictures)
                if better and args.patience:
                    trainer.save(best=True)
                    saved = progress.step
            stop = dist.any_rank(interrupt.asked)  # all of them stop at the same step
            due = progress.step % args.save_every == 0 or stop or trainer.done
            if due and saved < progress.step:
                trainer.save()
                saved = progress.step
            if stop and not trainer.done:
                raise KeyboardInterrupt
    if progress.step < trainer.steps:
        run.say(
            f"stopped at step {progress.step}: none lower in {progress.waits} validations than "
            f"{progress.best:.4f} at step {progress.best_step}"
        )


@dataclass
class Progress:
    """Where a run is, beside its weights.

    Attributes:
        step: optimiser steps made.
        best: the lowest validation loss, best_step: when that was.
        waits: validations since then.
    """

    step: int = 0
    best: float = math.inf
    best_step: int = 0
    waits: int = 0

    def to_json(self) -> dict[str, Any]:
        """As a checkpoint keeps it; JSON has no infinity."""
        return asdict(self) | {"best": self.best if math.isfinite(self.best) else None}

    @classmethod
    def from_json(cls, state: dict[str, Any]) -> "Progress":
        """Reads what `to_json` gave."""
        values: dict[str, Any] = {f.name: state[f.name] for f in dataclasses.fields(cls)}
        values["best"] = math.inf if values["best"] is None else values["best"]
        return cls(**values)


class Trainer:
    """Everything that changes while a policy is pretrained: networks, optimiser, running mean
    (`ema`), counts.

    Args:
        args, config: of the run. net: the encoder. data: the samples. rank, ranks: this process, of
            so many.
    """

    def __init__(
        self,
        args: PretrainArgs,
        config: PolicyConfig,
        net: VisualNet,
        data: Data,
        rank: int,
        ranks: int,
    ):
        self.args, self.config, self.data = args, config, data
        self.rank, self.ranks = rank, ranks
        anchors = None
        if args.anchor_source == "kmeans":
            anchors = kmeans_anchors(data.training.future, args.anchors, config, args.seed)
        torch.manual_seed(args.seed)
        self.policy, self.net = S2EPolicy(config, anchors).to(args.device), net
        net.eval().requires_grad_(config.train_encoder)
        dist.same_start([*self.policy.parameters(), *net.parameters()])
        trained = [self.policy, net] if config.train_encoder else [self.policy]
        self.parameters = [p for module in trained for p in module.parameters()]
        self.optimizer = torch.optim.AdamW(decay_groups(trained), lr=args.peak_lr, fused=True)
        self.ema = Average(trained, args.ema) if args.ema else None
        self.use = UseCounter(args.anchors, args.device)
        self.alarm = ""  # what the last validation said of the mixture
        self.progress = Progress()
        self.batches = Batches(args, config, data, rank, ranks)
        self.steps = args.steps or max(300, 20 * len(data.training) // (args.batch * ranks))

    @property
    def done(self) -> bool:
        """Whether all steps are made or early stopping has come."""
        patience = self.args.patience
        stopped = bool(patience and self.progress.waits >= patience)
        return self.progress.step >= self.steps or stopped

    def train_step(self) -> dict[str, torch.Tensor]:
        """One optimiser step; all its randomness is a function of seed, step and rank. Returns the
        losses and the gradient's norm.

        Raises:
            UserError: the loss or its gradient is not finite; the weights are as they were.
        """
        args, config, step = self.args, self.config, self.progress.step
        minibatch, stills = self.batches.take(step, self.steps)
        self.net.train(config.train_encoder)  # batch statistics, where the encoder learns
        rate = args.peak_lr * schedule(step, self.steps, args.warmup)
        for group in self.optimizer.param_groups:
            group["lr"] = rate

        # loss: distribution matching, and free space where stills show it
        context, modes = self.forward(self.policy, self.net, minibatch)
        terms = self.losses(self.policy, context, modes, minibatch.batch)
        if stills is not None:
            context = self.context(self.policy, self.net, stills)
            terms["stills"] = self._space_loss(self.policy, context, stills.batch)
            terms["total"] = terms["total"] + args.stills_weight * terms["stills"]

        # gradient: the mean over ranks, clipped
        self.optimizer.zero_grad()
        terms["total"].backward()
        dist.average_gradients(self.parameters)
        norm = torch.nn.utils.clip_grad_norm_(self.parameters, args.clip or math.inf)
        if not math.isfinite(float(terms["total"].detach() + norm)):
            remedy = "start again with a smaller --lr, or look for bad walks (s2e-data check)"
            raise UserError(
                f"{args.out}: the loss or its gradient is not finite at step {step}; {remedy}"
            )

        # step: the weights, the encoder's statistics, and their running mean
        self.optimizer.step()
        if config.train_encoder:
            self._same_statistics()
        if self.ema:
            self.ema.update(step)
        self._count(self.use, modes, minibatch.batch)
        self.progress.step += 1
        return {
            **{k: v.detach() for k, v in terms.items()},
            "grad_norm": norm,
            "lr": torch.tensor(rate),
        }

    def inputs(self, net: VisualNet, minibatch: Minibatch) -> Inputs:
        """What the policy sees of a batch."""
        device, batch = self.args.device, minibatch.batch
        seen = [s.to(device, non_blocking=True) for s in minibatch.seen]
        with autocast(device, self.args.amp):
            if len(seen) == 2:
                newest, older = seen[0].float(), seen[1].float()
            else:
                frames = len(seen[0]) // len(batch.frames)
                newest, older = encode(net, seen[0], frames, self.config.history)
        vectors = batch.goal.to(device), batch.ego.to(device), batch.robot.to(device)
        return Inputs(newest, older, *vectors, *(h.to(device) for h in minibatch.hide or ()))

    def context(self, policy: S2EPolicy, net: VisualNet, minibatch: Minibatch) -> torch.Tensor:
        """Context tokens (B, L, d)."""
        inputs = self.inputs(net, minibatch)
        with autocast(self.args.device, self.args.amp):
            return attend(policy, inputs)

    def forward(
        self, policy: S2EPolicy, net: VisualNet, minibatch: Minibatch
    ) -> tuple[torch.Tensor, Modes]:
        """Context tokens (B, L, d) and what the policy predicts, float32."""
        inputs = self.inputs(net, minibatch)
        with autocast(self.args.device, self.args.amp):
            context, modes = forward(policy, inputs)
        return context, Modes(
            *(
                field.float()
                for field in (modes.logits, modes.mean, modes.log_std, modes.rho, modes.speed)
            )
        )

    def losses(
        self, policy: S2EPolicy, context: torch.Tensor, modes: Modes, batch: Batch
    ) -> dict[str, torch.Tensor]:
        """The terms, and `total`, which is what is minimised; `loss` is that of the trajectories
        alone.
        """
        args, config, device = self.args, self.config, self.args.device
        future = batch.future.to(device)
        if args.loss == "regression":
            terms = regression_loss(modes, future, config.waypoint_dt_s, config.speed_floor)
        else:
            terms = matching_loss(
                modes, future, policy.anchors, config.waypoint_dt_s, config.speed_floor, args.rule
            )
        total = terms["loss"]
        if args.free_space:
            terms["free_space"] = self._space_loss(policy, context, batch)
            total = total + args.free_space * terms["free_space"]
        return {**terms, "total": total}

    def _space_loss(self, policy: S2EPolicy, context: torch.Tensor, batch: Batch) -> torch.Tensor:
        with autocast(self.args.device, self.args.amp):
            predicted = policy.free_space(context)
        return free_space_loss(predicted.float(), batch.free_space.to(self.args.device))

    def _same_statistics(self) -> None:
        """Gives the batch norms of all ranks the mean of their running statistics: what is
        validated and saved is one network.
        """
        if self.ranks > 1:
            buffers = [b for b in self.net.buffers() if b.is_floating_point()]
            flat = over_ranks(torch.cat([b.flatten() for b in buffers])) / self.ranks
            for buffer, mean in zip(buffers, flat.split([b.numel() for b in buffers]), strict=True):
                buffer.copy_(mean.view_as(buffer))

    def _count(self, use: UseCounter, modes: Modes, batch: Batch) -> None:
        future, config = batch.future.to(self.args.device), self.config
        use.add(
            modes,
            future,
            self.policy.anchors,
            config.waypoint_dt_s,
            config.speed_floor,
            self.args.rule,
        )

    def anchor_use(self) -> AnchorUse:
        """Use of the anchors since the last call, over the training samples of all ranks."""
        use = use_of(over_ranks(self.use.state.clone()).cpu().numpy(), self.args.anchors)
        self.use.reset()
        return use

    @property
    def judged(self) -> tuple[S2EPolicy, VisualNet]:
        """The networks that are validated, judged and saved for use: the running means, where there
        are such.
        """
        copies: list[Any] = self.ema.copies if self.ema else [self.policy, self.net]
        return copies[0], copies[1] if len(copies) > 1 else self.net

    def _judged_eval(self) -> tuple[S2EPolicy, VisualNet]:
        policy, net = self.judged
        return policy.eval(), net.eval()

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """Losses and errors of the judged networks on watched samples, nothing hidden; the same on
        all ranks.

        Means over samples; that of `free_space` is over known rays, however they fall into batches.
        """
        samples, size = self.data.watched, self.args.batch
        index = spread(len(samples), WATCHED)
        policy, net = self._judged_eval()
        sums = {"rays": 0.0}
        for start in range(self.rank * size, len(index), self.ranks * size):
            minibatch = self.batches.video(samples, index[start : start + size], None)
            batch = minibatch.batch
            context, modes = self.forward(policy, net, minibatch)
            terms = self.losses(policy, context, modes, batch) | self._errors(modes, batch)
            rays = int((~batch.free_space.isnan()).sum())
            sums["rays"] += rays
            for name, value in terms.items():
                weight = rays if name == "free_space" else len(batch.frames)
                sums[name] = sums.get(name, 0.0) + float(value) * weight
        names = self._loss_names()
        totals = over_ranks(
            torch.tensor(
                [sums.get(n, 0.0) for n in [*names, "rays"]],
                dtype=torch.float64,
                device=self.args.device,
            )
        )
        known = max(float(totals[-1]), 1.0)
        means = {
            n: float(v) / (known if n == "free_space" else len(index))
            for n, v in zip(names, totals[:-1], strict=True)
        }
        if self.args.free_space:
            means["total"] = means["loss"] + self.args.free_space * means["free_space"]
        return means

    def _loss_names(self) -> list[str]:
        """What `validate` gives, the same on all ranks: one may have had no samples."""
        regression = self.args.loss == "regression"
        terms = ["loss", "mse", "velocity"] if regression else ["loss", "nll", "score", "velocity"]
        rays = ["free_space"] if self.args.free_space else []
        return [*terms, *rays, "total", "ade_m", "min_ade_m"]

    def _errors(self, modes: Modes, batch: Batch) -> dict[str, torch.Tensor]:
        """ADE of the best-scored mode and of the best of M. The loss punishes a wrong certainty
        without bound, these do not.
        """
        away = modes.metric(self.config.waypoint_dt_s) - batch.future.to(self.args.device)[:, None]
        ade = away.norm(dim=-1).mean(-1)
        chosen = modes.logits.argmax(-1, keepdim=True)
        return {"ade_m": ade.gather(1, chosen).mean(), "min_ade_m": ade.amin(1).mean()}

    def better(self, loss: float) -> bool:
        """Whether this validation loss is the lowest so far; counts the validations that were
        not.
        """
        progress = self.progress
        if loss < progress.best:
            progress.best, progress.best_step, progress.waits = loss, progress.step, 0
            return True
        progress.waits += 1
        return False

    @torch.no_grad()
    def seeing(self, most: int = 0) -> dict[str, dict[str, float]]:
        """What the judged networks' context says of free space in stills of scenes held out, by
        look; see `stills.seeing`.

        Args:
            most: stills to read, spread over all; 0 is all of them.
        """
        stills, size = self.data.unseen, self.args.batch
        if stills is None:
            return {}
        index = spread(len(stills), most or len(stills))
        policy, net = self._judged_eval()
        predicted = []
        for start in range(0, len(index), size):
            minibatch = self.batches.stills(stills, index[start : start + size], None)
            with autocast(self.args.device, self.args.amp):
                rays = policy.free_space(self.context(policy, net, minibatch))
                predicted.append(rays.float().cpu().numpy())
        return seeing_by_look(
            np.concatenate(predicted), stills.free_space[index], stills.look[index]
        )

    def predictor(
        self, samples: Samples, use: UseCounter | None = None
    ) -> Callable[[np.ndarray], tuple[Modes, Batch]]:
        """The function that maps an index of samples to what the judged networks predict, and the
        batch; counts in `use`.
        """
        policy, net = self._judged_eval()

        @torch.no_grad()
        def predict(index: np.ndarray) -> tuple[Modes, Batch]:
            minibatch = self.batches.video(samples, index, None)
            _, modes = self.forward(policy, net, minibatch)
            if use is not None:
                self._count(use, modes, minibatch.batch)
            return modes, minibatch.batch

        return predict

    def save(self, best: bool = False) -> None:
        """Writes a checkpoint (rank 0) while the other ranks wait."""
        if self.rank == 0:
            tensors, state = rng_state()
            moments, groups = optimizer_state(self.optimizer)
            tensors |= moments | {"use": self.use.state}
            if self.ema:  # what goes on is not what is judged
                raw = policy_state(self.policy, self.net).items()
                learned = {
                    k: v for k, v in raw if self.config.train_encoder or k.startswith("policy.")
                }
                tensors |= prefixed("raw", learned)
            save_checkpoint(
                self.args.out / "checkpoints" / f"{self.progress.step:08d}",
                {"stage": "pretrain", "policy": self.config.to_dict()},
                policy_state(*self.judged),
                tensors,
                {**state, **groups, **self.progress.to_json()},
                best=best,
            )
        dist.barrier()

    def load(self, folder: Path) -> None:
        """Puts back a checkpoint to go on from it."""
        judged = read_tensors(folder / "model.safetensors")
        tensors, state = load_training_state(folder)
        load_into(*self.judged, judged)
        if self.ema:
            load_into(self.policy, self.net, judged | part("raw", tensors))
        restore_optimizer(self.optimizer, tensors, state)
        restore_rng(tensors, state)
        self.use.state.copy_(tensors["use"])
        self.progress = Progress.from_json(state)

    def load_judged(self, folder: Path) -> None:
        """Puts a checkpoint's networks where they are judged; no training goes on from there."""
        load_into(*self.judged, read_tensors(folder / "model.safetensors"))


def spread(count: int, most: int) -> np.ndarray:
    """Indices of at most `most` of `count` samples, evenly spread."""
    return np.unique(np.linspace(0, count - 1, min(most, count)).round().astype(int))


def load_into(policy: S2EPolicy, net: VisualNet, tensors: dict[str, torch.Tensor]) -> None:
    """Puts the tensors of `policy_state` into networks."""
    policy.load_state_dict(part("policy", tensors))
    net.load_state_dict(part("encoder", tensors))


def autocast(device: str, wanted: bool) -> contextlib.AbstractContextManager:
    """bfloat16 where it is wanted and the device is CUDA."""
    if wanted and torch.device(device).type == "cuda":
        return torch.autocast("cuda", torch.bfloat16)
    return contextlib.nullcontext()


def over_ranks(tensor: torch.Tensor) -> torch.Tensor:
    """The sum over ranks, in place."""
    if torch.distributed.is_initialized():
        torch.distributed.all_reduce(tensor)
    return tensor


def validate(trainer: Trainer, run: Run, pictures: FanSheet | None) -> bool:
    """Losses on held-out samples, the alarm, and pictures; whether the loss is the lowest so
    far.
    """
    step, values = trainer.progress.step, trainer.validate()
    better = trainer.better(values["loss"])
    if trainer.rank == 0:
        values |= {
            f"{look}_{k}": row[k]
            for look, row in trainer.seeing(WATCHED).items()
            for k in ("r2", "near_m")
            if math.isfinite(row[k])
        }
    use = trainer.anchor_use()
    # the warm-up's mixture is still that of the first weights
    alarm = trainer.alarm = collapse(use) if step > trainer.args.warmup * trainer.steps else ""
    run.log(
        step,
        {f"validation/{k}": v for k, v in values.items()}
        | {f"anchors/{k}": v for k, v in use.numbers().items()}
        | {"anchors/collapsed": float(bool(alarm))},
    )
    if alarm:
        run.say(f"ALARM at step {step}: {alarm}")
    if pictures is not None:
        run.picture(step, "fans", pictures.draw(trainer.predictor(trainer.data.watched)))
        run.picture(step, "anchors", use_picture(use))
    return better


def finish(trainer: Trainer, run: Run) -> None:
    """Judges the best (or last) weights on held-out walks, beside baselines, and says where they
    are.
    """
    args, config, data = trainer.args, trainer.config, trainer.data
    if trainer.rank:
        return
    if args.patience and trainer.progress.best_step:
        trainer.load_judged(args.out / "checkpoints" / f"{trainer.progress.best_step:08d}")
    counter, anchors = UseCounter(args.anchors, args.device), trainer.policy.anchors.cpu()
    rows = evaluate(
        trainer.predictor(data.judged, counter),
        data.judged,
        config,
        args.batch,
        positive=lambda future: positive_mode(
            normalise(future, config.waypoint_dt_s, config.speed_floor)[0], anchors, args.rule
        ),
        density=args.loss == "mixture",
    )
    use = counter.use()
    alarm = collapse(use)
    fans = FanSheet(config, data.judged).draw(trainer.predictor(data.judged))
    Image.fromarray(fans).save(args.out / "fans.png")
    Image.fromarray(use_picture(use)).save(args.out / "anchors.png")
    run.say(
        f"held-out walks, {len(data.judged)} samples, {config.waypoints * config.waypoint_dt_s:g} "
        "s ahead"
    )
    run.say(format_rows(rows))
    if alarm:
        run.say(f"ALARM on the held-out walks: {alarm}")
    run.say(
        "\n".join(
            wrapped
            for line in verdict(rows, alarm or trainer.alarm).splitlines()
            for wrapped in textwrap.wrap(line, 98, subsequent_indent="    ")
        )
    )
    run.say(f"pictures: {args.out / 'fans.png'}, {args.out / 'anchors.png'}")
    run.say(f"checkpoint: {find_checkpoint(args.out)}")
    sight = trainer.seeing()
    if sight:
        run.say(format_seeing(sight))
    values = dict(rows["s2e"])
    values |= {f"{look}_{k}": v for look, row in sight.items() for k, v in row.items()}
    finite = {f"held_out/{k}": v for k, v in values.items() if math.isfinite(v)}
    run.log(trainer.progress.step, finite | {"held_out/collapsed": float(bool(alarm))})


if __name__ == "__main__":
    main()
