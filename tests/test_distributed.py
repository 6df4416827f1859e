"""Two ranks of every training: the same weights on both, and the run's folder written once."""

import subprocess
import sys

import pytest
import torch

from s2e import dist
from s2e.checkpoint import load_networks
from tests.video.test_gnm import make_walk


def torchrun(module, *words):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", module, *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True)


def test_one_process_is_world_size_one():
    weight = torch.nn.Parameter(torch.ones(2))
    weight.grad = torch.tensor([1.0, 2.0])
    dist.average_gradients([weight])
    assert dist.start() == (0, 1) and weight.grad.tolist() == [1, 2]


@pytest.mark.slow
def test_two_ranks_train_and_judge(tmp_path):
    for i in range(4):
        make_walk(tmp_path / "data" / f"w{i}", 40, seed=i)
    seen = torchrun("s2e.pretrain.train", "--data", tmp_path / "data", "--out", tmp_path / "seen", "--steps", 3, "--batch", 4)
    assert seen.returncode == 0, seen.stderr
    words = ("--init", tmp_path / "seen", "--out", tmp_path / "rl", "--envs", 4, "--horizon", 4, "--steps", 64, "--scenes", 1)
    experienced = torchrun("s2e.rl.train", *words)
    assert experienced.returncode == 0, experienced.stderr
    assert load_networks(tmp_path / "rl")[0].has_adapters
    words = ("--scene", "gs_urban/plaza", "--policy", "expert", "--setting", "empty", "--episodes", 4, "--out", tmp_path / "bench")
    judged = torchrun("s2e.benchmarks.bench", *words)
    assert judged.returncode == 0, judged.stderr
    lines = [f.read_text().count("\n") for f in (tmp_path / "bench").glob("episodes*.jsonl")]
    assert sorted(lines) == [2, 2] and "1.00" in judged.stdout
