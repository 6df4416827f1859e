"""The minibatches of a run: which samples a step learns from, read and prepared for the network.

All that is drawn by chance is a function of seed, step and rank, so a resumed run reads what an
uninterrupted one does, and two ranks read what one with both batches does.
"""

import math
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch

from s2e.policy.config import PolicyConfig
from s2e.pretrain.args import PretrainArgs
from s2e.pretrain.dataset import Data
from s2e.pretrain.samples import Batch, Samples, make_batch, mirrored
from s2e.pretrain.stills import StillSamples, still_batch
from s2e.pretrain.tokens import TokenStore


@dataclass(frozen=True)
class Minibatch:
    """Some samples and what the network sees of their frames.

    Attributes:
        batch: goals, motion, robots and the true future.
        seen: (features, older means) of a frozen encoder, or (images,).
        hide: (B,) bool twice, in which samples the goal and the robot's motion are hidden.
    """

    batch: Batch
    seen: tuple[torch.Tensor, ...]
    hide: tuple[torch.Tensor, torch.Tensor] | None


class Batches:
    """Reads minibatches, the next step's while the network learns from this one's.

    Args:
        args, config: of the run. data: its samples. rank, ranks: this process, of so many.
    """

    def __init__(
        self, args: PretrainArgs, config: PolicyConfig, data: Data, rank: int = 0, ranks: int = 1
    ):
        self.args, self.config, self.data = args, config, data
        self.rank, self.ranks = rank, ranks
        self.still_count = max(1, round(args.stills_share * args.batch))
        self._reader = ThreadPoolExecutor(1)
        self._next: Future | None = None
        self._permutation = lru_cache(maxsize=4)(
            lambda count, epoch: np.random.default_rng([args.seed, 7, epoch]).permutation(count)
        )

    def take(self, step: int, steps: int) -> tuple[Minibatch, Minibatch | None]:
        """What step `step` of `steps` learns from; to be called once a step, in order."""
        batches = self._next.result() if self._next else self.of_step(step)
        last = step + 1 == steps
        self._next = None if last else self._reader.submit(self.of_step, step + 1)
        return batches

    def of_step(self, step: int) -> tuple[Minibatch, Minibatch | None]:
        """What a step learns from: samples of the video and, where there are such, stills."""
        data, seeds = self.data, [self.args.seed, step, self.rank]
        index = self.dealt(step, self.args.batch, len(data.training))
        video = self.video(data.training, index, np.random.default_rng(seeds))
        if data.stills is None:
            return video, None
        index = self.dealt(step, self.still_count, len(data.stills))
        return video, self.stills(data.stills, index, np.random.default_rng([*seeds, 59]))

    def dealt(self, step: int, batch: int, count: int) -> np.ndarray:
        """Which of `count` samples a step learns from: epochs of seeded permutations, cut into
        batches, dealt to the ranks.
        """
        places = np.arange(batch) + (step * self.ranks + self.rank) * batch
        epochs = places // count
        return np.concatenate(
            [
                self._permutation(count, int(e))[places[epochs == e] % count]
                for e in np.unique(epochs)
            ]
        )

    def video(
        self, samples: Samples, index: np.ndarray, rng: np.random.Generator | None
    ) -> Minibatch:
        """Reads some samples; with `rng` for training: drawn goals, some of what is seen hidden."""
        args, store = self.args, self.data.store
        batch = make_batch(samples, index, self.config, rng)
        if isinstance(store, TokenStore):
            arrays = store.tokens(batch.frames)
        else:
            arrays = (store.images(batch.frames),)
        hide = None
        if rng is not None:
            goal, ego, robot = (
                torch.from_numpy(rng.random(len(index)) < p)
                for p in (args.hide_goal, args.hide_ego, args.hide_robot)
            )
            batch.robot[robot] = math.nan  # as a robot of which nothing is known
            hide = goal, ego
        return self._mirrored(Minibatch(batch, _tensors(arrays), hide), rng)

    def stills(
        self, stills: StillSamples, index: np.ndarray, rng: np.random.Generator | None
    ) -> Minibatch:
        """Reads some stills; with `rng` for training."""
        batch, hide = still_batch(stills, index, self.config, rng)
        if isinstance(self.data.store, TokenStore):
            arrays = self.data.store.tokens(batch.frames)
        else:  # one image each: the history repeats it
            arrays = (self.data.store.images(batch.frames[:, -1:]),)
        if rng is not None:
            batch.robot[torch.from_numpy(rng.random(len(index)) < self.args.hide_robot)] = math.nan
        return self._mirrored(Minibatch(batch, _tensors(arrays), hide), rng)

    def _mirrored(self, minibatch: Minibatch, rng: np.random.Generator | None) -> Minibatch:
        """Some of the samples with left and right exchanged. An encoder gives nearly the mirrored
        features of a mirrored image.
        """
        if rng is None or not self.args.mirror:
            return minibatch
        which = rng.random(len(minibatch.batch.frames)) < self.args.mirror
        seen = minibatch.seen[0].clone()
        per_sample = len(seen) // len(which)  # images
        rows = torch.from_numpy(which).repeat_interleave(per_sample)
        seen[rows] = seen[rows].flip(2)
        return Minibatch(
            mirrored(minibatch.batch, which), (seen, *minibatch.seen[1:]), minibatch.hide
        )


def _tensors(arrays: tuple[np.ndarray, ...]) -> tuple[torch.Tensor, ...]:
    return tuple(torch.from_numpy(np.ascontiguousarray(a)) for a in arrays)
