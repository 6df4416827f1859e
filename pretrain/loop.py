"""The state of a pretraining run: networks, optimiser, running mean, counters; one step, one
validation, save and load.
"""

import contextlib
import math
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from s2e.core import dist
from s2e.core.errors import UserError
from s2e.policy.agent import Inputs, attend, encode, forward
from s2e.policy.anchors import kmeans_anchors
from s2e.policy.checkpoint import (
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
from s2e.policy.encoder import VisualNet
from s2e.policy.mixture import Modes, free_space_loss, matching_loss, regression_loss
from s2e.policy.network import S2EPolicy
from s2e.pretrain.alarm import AnchorUse, UseCounter, use_of
from s2e.pretrain.args import PretrainArgs
from s2e.pretrain.data import Data
from s2e.pretrain.optim import Average, decay_groups, schedule
from s2e.pretrain.samples import Batch, Samples, make_batch, mirrored
from s2e.pretrain.stills import StillSamples, seeing_by_look, still_batch
from s2e.pretrain.tokens import TokenStore

WATCHED = 4096  # samples of a validation at most, spread over all that are held out


@dataclass
class Progress:
    """Where a run is, beside its weights. `best` is the lowest validation loss, `waits` the
    validations since then.
    """

    step: int = 0
    best: float = math.inf
    best_step: int = 0
    waits: int = 0


@dataclass(frozen=True)
class Prepared:
    """A batch and what the network sees of its frames: (features, older means) of a frozen encoder,
    or (images,).
    """

    batch: Batch
    seen: tuple[torch.Tensor, ...]
    hide: tuple[torch.Tensor, torch.Tensor] | None


class Trainer:
    """Everything that changes while a policy is pretrained."""

    def __init__(
        self,
        args: PretrainArgs,
        config: PolicyConfig,
        net: VisualNet,
        data: Data,
        rank: int,
        world: int,
    ):
        self.args, self.config, self.data, self.rank, self.world = args, config, data, rank, world
        anchors = None
        if args.anchor_source == "kmeans":
            anchors = kmeans_anchors(data.training.future, args.anchors, config, args.seed)
        torch.manual_seed(args.seed)
        self.policy, self.net = S2EPolicy(config, anchors).to(args.device), net
        net.eval().requires_grad_(config.train_encoder)
        dist.same_start([*self.policy.parameters(), *net.parameters()])
        self.trained = [self.policy, net] if config.train_encoder else [self.policy]
        self.parameters = [p for m in self.trained for p in m.parameters()]
        self.optimizer = torch.optim.AdamW(decay_groups(self.trained), lr=args.peak_lr, fused=True)
        self.average = Average(self.trained, args.ema) if args.ema else None
        self.use = UseCounter(args.anchors, args.device)
        self.alarm = ""  # what the last validation said of the mixture
        self.at = Progress()
        self.steps = args.steps or max(300, 20 * len(data.training) // (args.batch * world))
        self.pool, self.coming = (
            ThreadPoolExecutor(1),
            None,
        )  # the next step's batch is read while this one's is learned
        self._order = lru_cache(maxsize=4)(
            lambda count, e: np.random.default_rng([args.seed, 7, e]).permutation(count)
        )
        self.still_count = max(1, round(args.stills_share * args.batch))

    @property
    def shown(self) -> tuple[S2EPolicy, VisualNet]:
        """The networks that are judged and saved for use: the running means, where there are
        such.
        """
        copies: list[Any] = self.average.copies if self.average else [self.policy, self.net]
        return copies[0], copies[1] if len(copies) > 1 else self.net

    def prepare(
        self, samples: Samples, index: np.ndarray, rng: np.random.Generator | None
    ) -> Prepared:
        """Reads the batch of some samples; with `rng` for training: drawn goals, some of what is
        seen hidden.
        """
        args, store = self.args, self.data.store
        batch = make_batch(samples, index, self.config, rng)
        arrays = (
            store.tokens(batch.frames)
            if isinstance(store, TokenStore)
            else (store.images(batch.frames),)
        )
        hide = None
        if rng is not None:
            goal, ego, robot = (
                torch.from_numpy(rng.random(len(index)) < p)
                for p in (args.hide_goal, args.hide_ego, args.hide_robot)
            )
            batch.robot[robot] = math.nan  # as a robot of which nothing is known
            hide = goal, ego
        return self._mirrored(
            Prepared(batch, tuple(torch.from_numpy(np.ascontiguousarray(a)) for a in arrays), hide),
            rng,
        )

    def prepare_stills(
        self, stills: StillSamples, index: np.ndarray, rng: np.random.Generator | None
    ) -> Prepared:
        """Reads the batch of some stills; with `rng` for training."""
        batch, hide = still_batch(stills, index, self.config, rng)
        if isinstance(self.data.store, TokenStore):
            arrays = self.data.store.tokens(batch.frames)
        else:  # one image each: the history repeats it
            arrays = (self.data.store.images(batch.frames[:, -1:]),)
        if rng is not None:
            batch.robot[torch.from_numpy(rng.random(len(index)) < self.args.hide_robot)] = math.nan
        return self._mirrored(
            Prepared(batch, tuple(torch.from_numpy(np.ascontiguousarray(a)) for a in arrays), hide),
            rng,
        )

    def _mirrored(self, ready: Prepared, rng: np.random.Generator | None) -> Prepared:
        """Some of the samples with left and right exchanged. An encoder gives nearly the mirrored
        features of a mirrored image.
        """
        if rng is None or not self.args.mirror:
            return ready
        which = rng.random(len(ready.batch.frames)) < self.args.mirror
        turned = torch.from_numpy(which)
        seen = ready.seen[0].clone()
        per = len(seen) // len(which)  # images of a sample
        rows = turned.repeat_interleave(per)
        seen[rows] = seen[rows].flip(2)
        return Prepared(mirrored(ready.batch, which), (seen, *ready.seen[1:]), ready.hide)

    def inputs(self, net: VisualNet, ready: Prepared) -> Inputs:
        """What the policy sees of a batch."""
        device, batch = self.args.device, ready.batch
        seen = [s.to(device, non_blocking=True) for s in ready.seen]
        with autocast(device, self.args.amp):
            if len(seen) == 2:
                newest, older = seen[0].float(), seen[1].float()
            else:
                frames = len(seen[0]) // len(batch.frames)
                newest, older = encode(net, seen[0], frames, self.config.history)
        vectors = batch.goal.to(device), batch.ego.to(device), batch.robot.to(device)
        return Inputs(newest, older, *vectors, *(h.to(device) for h in ready.hide or ()))

    def context(self, policy: S2EPolicy, net: VisualNet, ready: Prepared) -> torch.Tensor:
        """Context tokens (B, L, d)."""
        inputs = self.inputs(net, ready)
        with autocast(self.args.device, self.args.amp):
            return attend(policy, inputs)

    def forward(
        self, policy: S2EPolicy, net: VisualNet, ready: Prepared
    ) -> tuple[torch.Tensor, Modes]:
        """Context tokens (B, L, d) and what the policy says, float32."""
        inputs = self.inputs(net, ready)
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

    def train_step(self) -> dict[str, torch.Tensor]:
        """One optimiser step; all its randomness is a function of seed, step and rank. Returns the
        losses and the gradient's norm.

        Raises:
            UserError: the loss or its gradient is not finite; the weights are as they were.
        """
        args, config, step = self.args, self.config, self.at.step
        coming: Future | None = self.coming
        ready, still = coming.result() if coming else self._batch_of(step)
        self.coming = self.pool.submit(self._batch_of, step + 1) if step + 1 < self.steps else None
        self.net.train(config.train_encoder)  # batch statistics, where the encoder learns
        rate = args.peak_lr * schedule(step, self.steps, args.warmup)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        context, modes = self.forward(self.policy, self.net, ready)
        terms = self.losses(self.policy, context, modes, ready.batch)
        if still is not None:
            terms["stills"] = self._space_loss(
                self.policy, self.context(self.policy, self.net, still), still.batch
            )
            terms["total"] = terms["total"] + args.stills_weight * terms["stills"]
        self.optimizer.zero_grad()
        terms["total"].backward()
        dist.average_gradients(self.parameters)
        norm = torch.nn.utils.clip_grad_norm_(self.parameters, args.clip or math.inf)
        if not math.isfinite(float(terms["total"].detach() + norm)):
            remedy = "start again with a smaller --lr, or look for bad walks (s2e-data check)"
            raise UserError(
                f"{args.out}: the loss or its gradient is not finite at step {step}; {remedy}"
            )
        self.optimizer.step()
        if config.train_encoder:
            self._same_statistics()
        if self.average:
            self.average.update(step)
        self._count(self.use, modes, ready.batch)
        self.at.step += 1
        return {
            **{k: v.detach() for k, v in terms.items()},
            "grad_norm": norm,
            "lr": torch.tensor(rate),
        }

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

    def _batch_of(self, step: int) -> tuple[Prepared, Prepared | None]:
        """What a step learns from: samples of the video and, where there are such, stills."""
        data, seeds = self.data, [self.args.seed, step, self.rank]
        index = self._dealt(step, self.args.batch, len(data.training))
        ready = self.prepare(data.training, index, np.random.default_rng(seeds))
        if data.stills is None:
            return ready, None
        index = self._dealt(step, self.still_count, len(data.stills))
        return ready, self.prepare_stills(data.stills, index, np.random.default_rng([*seeds, 59]))

    def _dealt(self, step: int, batch: int, count: int) -> np.ndarray:
        """Which of `count` samples a step learns from: epochs of seeded permutations, cut into
        batches, dealt to the ranks.
        """
        places = np.arange(batch) + (step * self.world + self.rank) * batch
        epochs = places // count
        return np.concatenate(
            [self._order(count, int(e))[places[epochs == e] % count] for e in np.unique(epochs)]
        )

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """Losses and errors on watched samples, nothing hidden, by the networks that are shown; the
        same on all ranks.

        Means over samples; that of `free_space` is over known rays, however they fall into batches.
        """
        samples, batch = self.data.watched, self.args.batch
        index = np.unique(
            np.linspace(0, len(samples) - 1, min(WATCHED, len(samples))).round().astype(int)
        )
        policy, net = self.shown
        policy.eval()
        net.eval()
        sums = {"rays": 0.0}
        for start in range(self.rank * batch, len(index), self.world * batch):
            ready = self.prepare(samples, index[start : start + batch], None)
            context, modes = self.forward(policy, net, ready)
            terms = self.losses(policy, context, modes, ready.batch) | self._errors(
                modes, ready.batch
            )
            rays = int((~ready.batch.free_space.isnan()).sum())
            sums["rays"] += rays
            for name, value in terms.items():
                sums[name] = sums.get(name, 0.0) + float(value) * (
                    rays if name == "free_space" else len(ready.batch.frames)
                )
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

    @torch.no_grad()
    def seeing(self, most: int = 0) -> dict[str, dict[str, float]]:
        """What the shown networks' context says of free space in stills of scenes held out, by
        look; see `stills.seeing`.

        Args:
            most: stills to read, spread over all; 0 is all of them.
        """
        stills = self.data.unseen
        if stills is None:
            return {}
        index = np.unique(
            np.linspace(0, len(stills) - 1, min(most or len(stills), len(stills)))
            .round()
            .astype(int)
        )
        policy, net = self.shown
        policy.eval()
        net.eval()
        said = []
        for start in range(0, len(index), self.args.batch):
            ready = self.prepare_stills(stills, index[start : start + self.args.batch], None)
            with autocast(self.args.device, self.args.amp):
                said.append(
                    policy.free_space(self.context(policy, net, ready)).float().cpu().numpy()
                )
        return seeing_by_look(np.concatenate(said), stills.free_space[index], stills.look[index])

    def _loss_names(self) -> list[str]:
        terms = (
            ["loss", "mse", "velocity"]
            if self.args.loss == "regression"
            else ["loss", "nll", "score", "velocity"]
        )
        return [
            *terms,
            *(["free_space"] if self.args.free_space else []),
            "total",
            "ade_m",
            "min_ade_m",
        ]

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
        if loss < self.at.best:
            self.at.best, self.at.best_step, self.at.waits = loss, self.at.step, 0
            return True
        self.at.waits += 1
        return False

    @property
    def done(self) -> bool:
        """Whether all steps are made or early stopping has come."""
        return self.at.step >= self.steps or bool(
            self.args.patience and self.at.waits >= self.args.patience
        )

    def anchor_use(self) -> AnchorUse:
        """Use of the anchors since the last call, over the training samples of all ranks."""
        use = use_of(over_ranks(self.use.state.clone()).cpu().numpy(), self.args.anchors)
        self.use.reset()
        return use

    def answers(
        self, samples: Samples, use: UseCounter | None = None
    ) -> Callable[[np.ndarray], tuple[Modes, Batch]]:
        """The function that maps an index of samples to what the shown networks say, and the batch;
        counts in `use`.
        """
        policy, net = self.shown
        policy.eval()
        net.eval()

        @torch.no_grad()
        def answer(index: np.ndarray) -> tuple[Modes, Batch]:
            ready = self.prepare(samples, index, None)
            _, modes = self.forward(policy, net, ready)
            if use is not None:
                self._count(use, modes, ready.batch)
            return modes, ready.batch

        return answer

    def save(self, best: bool = False) -> None:
        """Writes a checkpoint (rank 0) while the other ranks wait."""
        if self.rank == 0:
            tensors, state = rng_state()
            more, groups = optimizer_state(self.optimizer)
            tensors |= more | {"use": self.use.state}
            if self.average:
                tensors |= {
                    f"raw.{k}": v
                    for k, v in policy_state(self.policy, self.net).items()
                    if self._is_trained(k)
                }
            progress = asdict(self.at) | {
                "best": self.at.best if math.isfinite(self.at.best) else None
            }  # JSON has no infinity
            folder = self.args.out / "checkpoints" / f"{self.at.step:08d}"
            config = {"stage": "pretrain", "policy": self.config.to_dict()}
            save_checkpoint(
                folder,
                config,
                policy_state(*self.shown),
                tensors,
                {**state, **groups, **progress},
                best=best,
            )
        dist.barrier()

    def _is_trained(self, name: str) -> bool:
        return name.startswith("policy.") or self.config.train_encoder

    def load(self, folder: Path) -> None:
        """Puts back a checkpoint to go on from it."""
        shown = read_tensors(folder / "model.safetensors")
        tensors, state = load_training_state(folder)
        load_into(*self.shown, shown)
        if self.average:
            raw = {k.removeprefix("raw."): v for k, v in tensors.items() if k.startswith("raw.")}
            load_into(self.policy, self.net, shown | raw)
        restore_optimizer(self.optimizer, tensors, state)
        restore_rng(tensors, state)
        self.use.state.copy_(tensors["use"])
        best = math.inf if state["best"] is None else state["best"]
        self.at = Progress(int(state["step"]), best, int(state["best_step"]), int(state["waits"]))

    def show(self, folder: Path) -> None:
        """Puts a checkpoint's networks where they are judged; no training goes on from there."""
        load_into(*self.shown, read_tensors(folder / "model.safetensors"))

    def _same_statistics(self) -> None:
        """Gives the batch norms of all ranks the mean of their running statistics: what is
        validated and saved is one network.
        """
        if self.world > 1:
            buffers = [b for b in self.net.buffers() if b.is_floating_point()]
            flat = over_ranks(torch.cat([b.flatten() for b in buffers])) / self.world
            for buffer, part in zip(buffers, flat.split([b.numel() for b in buffers]), strict=True):
                buffer.copy_(part.view_as(buffer))


def load_into(policy: S2EPolicy, net: VisualNet, tensors: dict[str, torch.Tensor]) -> None:
    """Puts the tensors of `policy_state` into networks."""
    for module, prefix in ((policy, "policy."), (net, "encoder.")):
        module.load_state_dict(
            {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
        )


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
