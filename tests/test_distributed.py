"""Two ranks of every training: the same weights on both, and the run's folder written once."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from s2e.core import dist
from s2e.core.errors import UserError
from s2e.policy.checkpoint import load_networks, load_training_state
from tests.ranks import Ranks
from tests.video.walk_files import make_walk

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]


def torchrun(module, *words):
    return subprocess.run(
        [*TORCHRUN, "-m", module, *map(str, words)], capture_output=True, text=True
    )


def test_one_process_is_world_size_one():
    weight = torch.nn.Parameter(torch.ones(2))
    weight.grad = torch.tensor([1.0, 2.0])
    dist.average_gradients([weight])
    assert dist.start() == (0, 1) and weight.grad.tolist() == [1, 2]


def test_a_rank_that_is_gone_is_said(monkeypatch):
    """Whatever a collective raises, in one line with the remedy."""

    class Broken(Ranks):
        def all_reduce(self, tensor):
            raise RuntimeError(
                "[../third_party/gloo/gloo/transport/tcp/pair.cc:538] Connection closed by peer "
                "[127.0.0.1]:4242\nmore"
            )

    fake = Broken(1)
    monkeypatch.setattr(dist, "dist", fake)
    monkeypatch.setenv("RANK", "3")
    monkeypatch.setenv("WORLD_SIZE", "8")
    with pytest.raises(
        UserError,
        match=r"^rank 3 of 8 .* a rank is gone .*\(Connection closed by peer.*4242\).* --resume$",
    ):
        fake.run(lambda _: dist.any_rank(True))


RANK_OF = r"""
import sys
import s2e.rl.train
s2e.rl.train.PATIENCE_S = float(sys.argv.pop(1))
s2e.rl.train.main()
"""


def rank_process(launcher, rank):
    """The process of a rank that `torchrun` started."""
    for child in Path(f"/proc/{launcher}/task/{launcher}/children").read_text().split():
        if f"RANK={rank}".encode() in Path(f"/proc/{child}/environ").read_bytes().split(b"\0"):
            return int(child)
    raise AssertionError("no such rank")


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="finds the ranks in /proc")
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_a_rank_that_dies_or_hangs_ends_the_run_and_one_rank_takes_over(tmp_path, how):
    words = [
        "--sense",
        "rays",
        "--envs",
        4,
        "--horizon",
        4,
        "--scenes",
        2,
        "--save-every",
        2,
        "--out",
        tmp_path / "run",
    ]
    script, pointer = tmp_path / "ranked.py", tmp_path / "run" / "checkpoints" / "last"
    script.write_text(RANK_OF)
    asked = [*TORCHRUN, str(script), "30", *map(str, words), "--steps", "10000000"]
    with subprocess.Popen(
        asked, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as run:
        deadline = time.monotonic() + 240
        while not pointer.exists() and run.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        os.kill(rank_process(run.pid, 1), how)
        said, _ = run.communicate(timeout=240)
    assert (
        run.returncode != 0
        and "rank 0 of 2 has lost the others: a rank is gone or silent" in said
        and "--resume" in said
    )
    assert "Traceback" not in said.split("rank 0 of 2 has lost")[0], (
        "nothing of it before the line that says what happened"
    )
    done = load_training_state(tmp_path / "run" / "checkpoints" / pointer.read_text().strip())[1][
        "step"
    ]
    one = [
        sys.executable,
        "-m",
        "s2e.rl.train",
        *map(str, words),
        "--steps",
        str(16 * (done + 2)),
        "--resume",
    ]
    resumed = subprocess.run(one, capture_output=True, text=True)
    assert resumed.returncode == 0 and "ranks: 2 before, 1 now" in resumed.stdout, (
        resumed.stdout + resumed.stderr
    )


@pytest.mark.slow
def test_two_ranks_train_and_judge(tmp_path):
    for i in range(4):
        make_walk(tmp_path / "data" / f"w{i}", 40, seed=i)
    seen = torchrun(
        "s2e.pretrain.train",
        "--data",
        tmp_path / "data",
        "--out",
        tmp_path / "seen",
        "--steps",
        3,
        "--batch",
        4,
    )
    assert seen.returncode == 0, seen.stderr
    words = (
        "--init",
        tmp_path / "seen",
        "--out",
        tmp_path / "rl",
        "--envs",
        4,
        "--horizon",
        4,
        "--steps",
        64,
        "--scenes",
        1,
    )
    experienced = torchrun("s2e.rl.train", *words)
    assert experienced.returncode == 0, experienced.stderr
    assert load_networks(tmp_path / "rl")[0].has_adapters
    words = (
        "--scene",
        "gs_urban/plaza",
        "--policy",
        "expert",
        "--setting",
        "empty",
        "--episodes",
        4,
        "--out",
        tmp_path / "bench",
    )
    judged = torchrun("s2e.benchmarks.bench", *words)
    assert judged.returncode == 0, judged.stderr
    lines = [f.read_text().count("\n") for f in (tmp_path / "bench").glob("episodes*.jsonl")]
    assert sorted(lines) == [2, 2] and "1.00" in judged.stdout
