"""Walks, tiny trainers and runs of the command that several tests use."""

import dataclasses
import json
import sys
from pathlib import Path

import numpy as np

from s2e.core.run import Run
from s2e.policy.checkpoint import find_checkpoint, read_tensors
from s2e.policy.config import PRESETS
from s2e.policy.encoder import FeatureNet
from s2e.pretrain.args import PretrainArgs, policy_config
from s2e.pretrain.dataset import Data
from s2e.pretrain.samples import make_samples
from s2e.pretrain.tokens import TokenStore
from s2e.pretrain.train import Trainer
from s2e.video.frames import ImageFiles
from s2e.video.readers.formats import read_walks
from s2e.video.walk import Walk
from tests.video.walk_files import make_walk

CONFIG = PRESETS["laptop"]


def walk(name, position, yaw, hz=10.0):
    frames = ImageFiles(lambda t: b"", len(position), str)
    return Walk(name, Path(name), frames, np.arange(len(position)) / hz, position, yaw)


class FakeStore(TokenStore):
    """Tokens without an encoder."""

    def __init__(self, config, frames):
        self.shape = (
            config.height_px // config.stride,
            config.width_px // config.stride,
            config.channels,
        )
        self.width = int(np.prod(self.shape)) + config.channels
        self.records = (
            np.random.default_rng(0).standard_normal((frames, self.width)).astype(np.float16)
        )


def tiny(tmp_path, **changes):
    """A trainer of a small network on four walks, and its run."""
    if not (tmp_path / "data").exists():
        for i in range(4):
            make_walk(tmp_path / "data" / f"w{i}", 40, seed=i)
    fixed = {"steps": 12, "batch": 8, "validate_every": 2, "save_every": 4, **changes}
    args = PretrainArgs((tmp_path / "data",), tmp_path / "run", device="cpu", **fixed)
    config = dataclasses.replace(
        policy_config(args), dim=16, heads=2, encoder_layers=1, decoder_layers=1
    )
    walks, _ = read_walks([tmp_path / "data"])
    rays = np.random.default_rng(1).uniform(0.5, 12, (40, 16)).astype(np.float32)
    walks = [dataclasses.replace(w, free_space=rays) for w in walks]
    training = make_samples(walks[:3], config, np.array([0, 40, 80]))
    held = make_samples(walks[3:], config, np.array([120]))
    net = FeatureNet(config)
    trainer = Trainer(args, config, net, Data(training, held, held, FakeStore(config, 160)), 0, 1)
    return trainer, Run(args.out, {}, None)


def command(*words):
    return [
        sys.executable,
        "-c",
        "import sys; from s2e.pretrain.train import main; main()",
        *map(str, words),
    ]


def weights(run):
    return read_tensors(find_checkpoint(run) / "model.safetensors")


def logged(run):
    """What a run logged, without the clock."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if not k.startswith("time/")} for line in lines]
