"""`s2e-pretrain`: from navigation video to a policy.

    s2e-pretrain --data WALKS... --out RUN          any format of docs/data.md
    s2e-pretrain --data WALKS... --out RUN --resume

Reads the walks, encodes every frame once (a frozen encoder), splits by walk, trains with the
distribution-matching loss, and prints open-loop metrics on the held-out walks beside two baselines.
Stopped at any moment, it resumes to the same weights.
"""

import dataclasses
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from s2e.core import commandline
from s2e.core.errors import require, run_command
from s2e.core.options import Device, Seed
from s2e.policy.config import PRESETS, PolicyConfig, Rule
from s2e.video.options import check_reading
from s2e.video.readers.remote import shown

LEARNING_RATE = {"laptop": 1e-3, "paper": 1e-4}  # of 128 and of 768 dimensions; the second is MTR's


@dataclass(frozen=True)
class PretrainArgs:
    """Pretrain an S2E policy on navigation video."""

    data: tuple[str, ...]
    """Navigation video: files and folders of any format of docs/data.md, URLs of shards."""
    out: Path
    """The run's folder."""
    preset: Literal["laptop", "paper"] = "laptop"
    """Shape of the network: `laptop` (96x160, lite0, frozen) or `paper` (320x640, B0, trained,
    768-d)."""
    newest: Literal["columns", "grid", "pooled"] | None = None
    """Tokens of the newest frame: image columns, every feature, or one pooled; the preset's where
    not given."""
    stride: Literal[8, 16, 32] | None = None
    """The encoder's stage, in pixels a feature; the preset's where not given."""
    encoder: str | None = None
    """efficientnet-lite0, efficientnet-b0 or an ONNX file; the preset's where not given."""
    channels: int | None = None
    """Channels of an ONNX encoder's features."""
    encoder_weights: Path | None = None
    """A state dict for the encoder; lite0's ImageNet weights come with its package, B0's do not."""
    train_encoder: bool | None = None
    """Train the encoder too (then every frame is encoded in every step); the preset's where not
    given."""
    anchors: int = 8
    """Modes of the mixture."""
    anchor_source: Literal["fan", "kmeans"] = "fan"
    """Anchors fanned out before the robot, or k-means of the training data's endpoints."""
    positive: Rule | None = None
    """The anchor that a sample trains: nearest in direction (S2E; where not given, with a fan) or
    in endpoint (MTR; with k-means)."""
    loss: Literal["mixture", "regression"] = "mixture"
    """Distribution matching, or plain regression of a single mode (with --anchors 1) as a
    baseline."""
    free_space: float = 0.0
    """Weight of an auxiliary loss, the free distance at 16 bearings, where the data have it
    (`s2e-data record`); 0 is no such head."""
    stills: tuple[str, ...] = ()
    """Stills (`s2e-data stills`): folders, shards or URLs; the policy learns their free space
    beside the video, and is judged by those of scenes held out."""
    stills_share: float = 3.0
    """Stills of a step, as a share of --batch."""
    stills_weight: float = 30.0
    """Weight of their loss."""
    mirror: float = 0.0
    """Probability that a sample, and a still, is seen and driven mirrored left to right."""
    steps: int = 0
    """Optimiser steps; 0 means 20 passes over the training samples, and 300 at least: for ten hours
    of video some 15 minutes on two cores, half of them to encode its frames, which are kept."""
    batch: int = 256
    """Samples a step."""
    lr: float | None = None
    """Peak learning rate, after the warm-up and before the cosine; 1e-3 (laptop) or 1e-4 (paper)
    where not given."""
    warmup: float = 0.05
    """Fraction of the steps in which the learning rate rises."""
    clip: float = 1.0
    """Gradients are scaled down to this norm; 0 leaves them."""
    ema: float = 0.999
    """Decay of the running mean of the weights, which is what is judged and saved for use; 0 uses
    the weights as they are."""
    amp: bool = True
    """bfloat16 autocast on CUDA; a CPU computes in float32 anyway."""
    hide_goal: float = 0.1
    """Probability that a sample's goal is masked."""
    hide_ego: float = 0.5
    """Probability that a sample's own motion is masked: a policy that always sees it learns to go
    on as before."""
    hide_robot: float = 0.1
    """Probability that a sample's robot is masked: a policy then also drives robots of which
    nothing is known."""
    fraction: float = 1.0
    """Share of the training walks to use; a smaller share is part of a larger one."""
    validation: float = 0.2
    """Fraction of the walks held out."""
    held_out: Path | None = None
    """A file with names of walks, one a line: these are held out instead, and --validation is of
    the others (for --patience)."""
    validate_every: int = 250
    """Steps between validations (loss on walks held out, pictures, the alarm for collapse); 0 is
    never."""
    patience: int = 0
    """Stop after this many validations without a lower loss, and keep the best; 0 trains to the end
    and keeps the last."""
    save_every: int = 250
    """Steps between checkpoints."""
    hz: float | None = None
    """Frames a second of data that do not say; where not given, 10 are assumed (RECON: 4), and it
    is said."""
    image: str = ""
    """Which images, where a format has several: a topic or key."""
    poses: str = ""
    """Which poses, where a format has several: a topic, columns or file."""
    scale: float = 1.0
    """Metres per unit of the positions."""
    seed: Seed = 0
    device: Device = "auto"
    config: Path | None = None
    """A run's config.json to take options from; those of the command line win."""
    resume: bool = False
    """Continue the run in --out."""

    @property
    def rule(self) -> Rule:
        """Which anchor is the positive one."""
        return self.positive or ("endpoint" if self.anchor_source == "kmeans" else "direction")

    @property
    def peak_lr(self) -> float:
        """The learning rate after the warm-up."""
        return LEARNING_RATE[self.preset] if self.lr is None else self.lr


def policy_config(args: PretrainArgs) -> PolicyConfig:
    """The preset with the command line's changes."""
    config, changes = PRESETS[args.preset], {}
    for name in ("newest", "stride", "encoder", "train_encoder"):
        if getattr(args, name) is not None:
            changes[name] = getattr(args, name)
    own = {8: 40, 16: 112, 32: 320}[changes.get("stride", config.stride)]
    changes["channels"] = own if args.channels is None else args.channels
    config = dataclasses.replace(
        config, **changes, anchors=args.anchors, free_space=args.free_space > 0 or bool(args.stills)
    )
    config.check("the command line")
    return config


def check(args: PretrainArgs) -> None:
    """Refuses numbers that cannot work.

    Raises:
        UserError: naming the option and what it may be.
    """
    check_reading(args.hz, args.scale)
    least_of = {
        "steps": 0,
        "validate_every": 0,
        "patience": 0,
        "seed": 0,
        "batch": 1,
        "anchors": 1,
        "save_every": 1,
    }
    for name, least in least_of.items():
        value = getattr(args, name)
        require(
            value >= least, f"--{name.replace('_', '-')} is {value}; it must be at least {least}"
        )
    for name in ("hide_goal", "hide_ego", "hide_robot", "validation", "ema", "warmup"):
        value = getattr(args, name)
        require(
            0 <= value < 1, f"--{name.replace('_', '-')} is {value}; it is a fraction, 0 to below 1"
        )
    require(
        0 < args.fraction <= 1, f"--fraction is {args.fraction}; it is a fraction, above 0 to 1"
    )
    require(
        0 < args.stills_share <= 16,
        f"--stills-share is {args.stills_share}; stills per sample of the batch, above 0, 16 at "
        "most",
    )
    require(0 <= args.mirror <= 1, f"--mirror is {args.mirror}; it is a probability, 0 to 1")
    for name in ("clip", "free_space", "stills_weight"):
        value = getattr(args, name)
        require(
            math.isfinite(value) and value >= 0,
            f"--{name.replace('_', '-')} is {value}; it must be a number, 0 or more",
        )
    require(
        math.isfinite(args.peak_lr) and args.peak_lr > 0,
        f"--lr is {args.peak_lr}; it must be a positive number",
    )
    one = args.loss == "mixture" or args.anchors == 1
    require(
        one,
        f"--loss regression has a single mode, not {args.anchors}; add --anchors 1, or train the "
        "mixture",
    )
    watched = args.patience == 0 or args.validate_every > 0
    require(watched, "--patience needs validations; give --validate-every a number of steps")


def as_json(args: PretrainArgs, world: int) -> dict[str, Any]:
    """What a run's config.json keeps of the command line; URLs without what may hold a key."""
    values = commandline.as_json(args)
    paths = {name: [shown(p) for p in getattr(args, name)] for name in ("data", "stills")}
    return values | paths | {"world_size": world}


def main() -> None:
    """Entry point of `s2e-pretrain`."""
    run_command(_main)


def _main() -> None:
    args = commandline.parse(PretrainArgs, __doc__ or "")
    check(args)
    # torch and the readers: imported once the options are right
    from s2e.pretrain.train import train

    train(args)
