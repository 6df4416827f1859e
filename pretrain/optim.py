"""How weights are learned: which of them decay, how the learning rate goes, and their running
mean.
"""

import copy
import math
from collections.abc import Sequence

import torch
from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

WEIGHT_DECAY = 0.01
LAST_RATE = 0.02  # of the peak learning rate, at the last step


def decay_groups(modules: Sequence[nn.Module]) -> list[dict]:
    """Parameter groups for AdamW: the matrices of linear layers and convolutions decay, everything
    else does not.

    Decay prefers small gains from input to output. Biases and norms have no such gain: they place
    the operating point, and pulling them to zero moves it. Learned tokens (positions, masks) are
    read as they are; those of a mask get a gradient only when something is masked, and would fade
    in between.
    """
    matrices, others = [], []
    for module in modules:
        for part in module.modules():
            for name, parameter in part.named_parameters(recurse=False):
                if parameter.requires_grad:
                    matrix = name == "weight" and isinstance(part, (nn.Linear, nn.Conv2d))
                    (matrices if matrix else others).append(parameter)
    return [
        {"params": matrices, "weight_decay": WEIGHT_DECAY},
        {"params": others, "weight_decay": 0.0},
    ]


def schedule(step: int, steps: int, warmup: float = 0.05) -> float:
    """Learning-rate factor: linear warm-up over a fraction of the steps, then cosine to 2 %."""
    warm = max(1, int(steps * warmup))
    if step < warm:
        return (step + 1) / warm
    return LAST_RATE + (1 - LAST_RATE) * 0.5 * (
        1 + math.cos(math.pi * (step - warm) / max(1, steps - warm))
    )


class Average:
    """The running mean of modules' weights, as modules: `copies` are what is judged and saved for
    use.

    The decay rises to its final value as min(decay, (1 + t) / (10 + t)) after t updates, so that
    the mean of a short run is not still made of its first weights (the rule of TensorFlow's
    ExponentialMovingAverage). Buffers are not averaged but copied: they are means already, or
    constants.
    """

    def __init__(self, modules: Sequence[nn.Module], decay: float):
        self.decay = decay
        self.copies = [copy.deepcopy(m).eval().requires_grad_(False) for m in modules]
        self.raw = [p.detach() for m in modules for p in m.parameters()]
        self.mean = [p.detach() for m in self.copies for p in m.parameters()]
        self.buffers = [
            pair
            for c, m in zip(self.copies, modules, strict=True)
            for pair in zip(c.buffers(), m.buffers(), strict=True)
        ]

    @torch.no_grad()
    def update(self, updates: int) -> None:
        """Takes in the weights after `updates` earlier updates."""
        decay = min(self.decay, (1 + updates) / (10 + updates))
        get_ema_multi_avg_fn(decay)(self.mean, self.raw, None)
        for mine, theirs in self.buffers:
            mine.copy_(theirs)
