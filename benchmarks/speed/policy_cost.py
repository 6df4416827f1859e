"""What a policy costs: samples/s, memory, parameters and arithmetic, over anchors, tokens and
layers, and for the `paper` preset.

One process, all variants in turn, round after round, and the median counts: a busy machine slows
all of them alike. Part of `python -m experiments.open_loop cost`.
"""

import dataclasses
import statistics
import time
from dataclasses import dataclass

import torch
from torch.autograd.graph import saved_tensors_hooks
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from s2e.policy.agent import Inputs, encode, forward
from s2e.policy.config import PRESETS, PolicyConfig
from s2e.policy.encoder import FeatureNet
from s2e.policy.mixture import Modes, matching_loss
from s2e.policy.network import S2EPolicy

LAPTOP = PRESETS["laptop"]
LAYERS = (1, 2, 4, 8)
VARIANTS: dict[str, PolicyConfig] = {
    **{f"{m} anchors": dataclasses.replace(LAPTOP, anchors=m) for m in (1, 2, 4, 8, 16, 32, 64)},
    **{f"{n} tokens": dataclasses.replace(LAPTOP, newest=n) for n in ("pooled", "columns", "grid")},
    **{
        f"{n} + {n} layers": dataclasses.replace(LAPTOP, encoder_layers=n, decoder_layers=n)
        for n in LAYERS
    },
}
STATE_BYTES = 16  # a trained parameter in float32: itself, its gradient, AdamW's two moments


@dataclass
class Subject:
    """A network with a batch to train on: from features, or from images where the encoder is
    trained too.

    Attributes:
        batch: samples a step. times: seconds of steps so far. saved: bytes that one sample keeps
            for the backward pass.
        flops: of one sample forward, two a multiply-add.
    """

    config: PolicyConfig
    batch: int

    def __post_init__(self) -> None:
        config, rng = self.config, torch.Generator().manual_seed(0)
        self.policy, self.net = (
            S2EPolicy(config),
            FeatureNet(config).train() if config.train_encoder else None,
        )
        modules = [self.policy, self.net] if self.net else [self.policy]
        self.parameters = [p for m in modules for p in m.parameters()]
        self.optimizer = torch.optim.AdamW(self.parameters, lr=1e-4)
        self.newest = torch.randn(self.batch, *self.policy.newest_shape, generator=rng)
        self.older = torch.randn(self.batch, *self.policy.older_shape, generator=rng)
        self.images = torch.randint(
            0,
            256,
            (self.batch * config.history, config.height_px, config.width_px, 3),
            generator=rng,
        ).byte()
        self.vector, self.robot = (
            torch.randn(self.batch, 3, generator=rng),
            torch.randn(self.batch, 6, generator=rng),
        )
        self.future = 0.1 * torch.randn(self.batch, config.waypoints, 2, generator=rng).cumsum(1)
        self.times: list[float] = []
        self.flops, self.saved = (
            self._forward_flops() / self.batch,
            self._saved_bytes() / self.batch,
        )

    def forward(self) -> Modes:
        """What the policy says of the batch."""
        newest, older, history = self.newest, self.older, self.config.history
        if self.net is not None:
            newest, older = encode(self.net, self.images, history, history)
        return forward(self.policy, Inputs(newest, older, self.vector, self.vector, self.robot))[1]

    def loss(self) -> torch.Tensor:
        """The distribution-matching loss of the batch."""
        config = self.config
        return matching_loss(
            self.forward(),
            self.future,
            self.policy.anchors,
            config.waypoint_dt_s,
            config.speed_floor,
        )["loss"]

    def step(self) -> None:
        """One optimiser step, timed."""
        began = time.perf_counter()
        self.optimizer.zero_grad()
        self.loss().backward()
        self.optimizer.step()
        self.times.append(time.perf_counter() - began)

    def _forward_flops(self) -> int:
        # Fused attention on a CPU is unknown to the counter; the plain form is the same arithmetic.
        with (
            torch.no_grad(),
            sdpa_kernel(SDPBackend.MATH),
            FlopCounterMode(display=False) as counter,
        ):
            self.forward()
        return counter.get_total_flops()

    def _saved_bytes(self) -> int:
        own = {p.untyped_storage().data_ptr() for p in self.parameters}
        kept: dict[int, int] = {}

        def pack(tensor: torch.Tensor) -> torch.Tensor:
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in own:
                kept[storage.data_ptr()] = storage.nbytes()
            return tensor

        with saved_tensors_hooks(pack, lambda tensor: tensor):
            loss = self.loss()  # alive until all is counted, or an address would be given out twice
        total = sum(kept.values())
        del loss
        return total


def row(name: str, subject: Subject) -> str:
    """A line of the table."""
    parameters = sum(p.numel() for p in subject.parameters)
    seconds = statistics.median(subject.times[1:])
    memory = (STATE_BYTES * parameters + 256 * subject.saved) / 2**20
    rate = subject.batch / seconds
    return (
        f"{name:22}{subject.policy.context_tokens:8}{parameters / 1e6:10.2f}"
        f"{subject.flops / 1e6:12.1f}{rate:12.4g}"
        f"{subject.saved / 2**20:12.3f}{memory:14.0f}"
    )


def cost_table(rounds: int = 5, batch: int = 32, paper_batch: int = 1) -> str:
    """Measures all variants and the `paper` preset with its encoder; a plain table.

    Args:
        rounds: steps of each variant that are timed, after one that warms up. batch: samples a
            step. paper_batch: of `paper`.
    """
    subjects = {name: Subject(config, batch) for name, config in VARIANTS.items()}
    for _ in range(rounds + 1):
        for subject in subjects.values():
            subject.step()
    columns = (8, "tokens"), (10, "params M"), (12, "MFLOP"), (12, "samples/s"), (12, "MiB/sample")
    head = " " * 22 + "".join(f"{name:>{width}}" for width, name in (*columns, (14, "MiB at 256")))
    lines = [head, *(row(name, subject) for name, subject in subjects.items())]
    if paper_batch:
        config = PRESETS["paper"]
        alone, whole = (
            Subject(dataclasses.replace(config, train_encoder=False), batch),
            Subject(config, paper_batch),
        )
        for _ in range(3):
            alone.step()
            whole.step()
        lines += [row("paper, from features", alone), row("paper, from images", whole)]
    lines.append(
        "MFLOP: forward, of one sample. samples/s: training steps (forward, backward, AdamW) on "
        "this machine. MiB/sample: kept for\n"
        "the backward pass. MiB at 256: that of 256 samples and 16 bytes a parameter, what a step "
        "needs in float32. Encoded features\n"
        "are given, but for `paper, from images`, whose encoder is trained on 5 images of 320 x "
        "640 a sample."
    )
    return "\n".join(lines)
