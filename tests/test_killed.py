"""What runs long is killed at random moments, over twenty times in all, and ends as if it had not
been: bit for bit, on one thread.

Moments are drawn in seconds of the process's own work, so that a busy machine kills at the same
places as an idle one. Some kills come while something is being written: at a random one of the
calls that bring it to the disk.
"""

import hashlib
import importlib
import json
import os
import random
import shutil
import signal
import threading
import time
from pathlib import Path

import pytest
import torch
from tqdm import tqdm

from s2e.envs.rays import RayConfig
from s2e.policy.checkpoint import (
    find_checkpoint,
    load_training_state,
    policy_state,
    read_tensors,
    save_checkpoint,
)
from s2e.policy.encoder import FeatureNet
from s2e.policy.network import S2EPolicy
from tests.envs.ray_files import save
from tests.processes import forking, run_command
from tests.rl.settings import CONFIG

SHARD = 12
"""Stills of a shard."""
WRITES = 24
"""Calls that bring something to the disk, among which one is drawn: some two checkpoints or
shards."""
PPO = [
    "--envs",
    4,
    "--horizon",
    8,
    "--scenes",
    2,
    "--batch",
    16,
    "--save-every",
    2,
    "--value-warmup",
    1,
]
STAGES = {
    "stills": (
        "s2e.envs.record.command",
        [
            "stills",
            "--frames",
            12 * SHARD,
            "--scenes",
            1,
            "--people",
            2,
            "--robot",
            "any",
            "--look",
            "mesh",
        ],
    ),
    "rays": ("s2e.rl.train", ["--sense", "rays", "--robot", "any", "--steps", 32 * 100, *PPO]),
    "coach": (
        "s2e.rl.train",
        [
            "--robot",
            "jackal",
            "--splats",
            0,
            "--lessons",
            64,
            "--coach-alone",
            0.5,
            "--steps",
            32 * 40,
            *PPO,
        ],
    ),
}
KILLS = 10
"""Of each stage; every third comes while something is written."""


@pytest.fixture(scope="module")
def fork():
    """Starts processes that have the modules already."""
    with forking("tests.test_killed") as process:
        yield process


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """A pretrained policy and a coach, both of which know nothing."""
    place = tmp_path_factory.mktemp("inputs")
    torch.manual_seed(3)
    tensors = policy_state(S2EPolicy(CONFIG), FeatureNet(CONFIG))
    save_checkpoint(
        place / "seen" / "checkpoints" / "00000001",
        {"policy": CONFIG.to_dict()},
        tensors,
        {},
        {"step": 1},
    )
    save(place / "coach", RayConfig(robots=("jackal",), memory=2, hidden=16))
    return place


def command(module, words, printed, dies_at):
    """The body of a process: a command; `dies_at` is the write that kills it, below 0 before it is
    done, and 0 is none."""
    if module == "s2e.envs.record.command":
        for name, constant in (("s2e.envs.record.stills", "STILLS"), (module, "VIEWS")):
            setattr(importlib.import_module(name), constant, SHARD)
    # its own is a semaphore, of which a killed process would leave one more
    tqdm.set_lock(threading.RLock())
    writes = 0

    def deadly(function):
        def call(*args, **more):
            nonlocal writes
            writes += 1
            if writes == -dies_at:
                os.kill(os.getpid(), signal.SIGKILL)
            result = function(*args, **more)
            if writes == dies_at:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return call

    os.replace, os.fsync = deadly(os.replace), deadly(os.fsync)
    run_command(module, words, printed)


def worked_s(pid):
    """Seconds that a process has worked, or None where it is gone."""
    try:
        values = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return (
        None if values[0] == "Z" else (int(values[11]) + int(values[12])) / os.sysconf("SC_CLK_TCK")
    )


def run(process, kill_after_s=float("inf"), how=signal.SIGKILL):
    """Runs a process to its end, or kills it; returns its exit code and the seconds that it
    worked."""
    process.start()
    work, killed = 0.0, False
    while (now := worked_s(process.pid)) is not None:
        work = now
        if work >= kill_after_s and not killed:
            os.kill(process.pid, how)
            killed = True
        time.sleep(0.01)
    process.join()
    return process.exitcode, work


def done(out):
    """How many shards of stills, or which checkpoint, are there after a kill."""
    shards, last = out / "record.json", out / "checkpoints" / "last"
    return (
        len(json.loads(shards.read_text())["takes"])
        if shards.exists()
        else int(last.read_text())
        if last.exists()
        else 0
    )


def same(stage, one, other):
    """Compares what two runs ended with."""
    if stage == "stills":
        digests = [
            {
                p.name: hashlib.sha256(p.read_bytes()).hexdigest()
                for p in sorted(folder.iterdir())
                if p.name != "printed"
            }
            for folder in (one, other)
        ]
        assert digests[0] == digests[1]
        return
    ends = [find_checkpoint(folder, newest=True) for folder in (one, other)]
    assert ends[0].name == ends[1].name
    assert [p.name for p in other.glob("checkpoints/.*")] == []
    for file in ("config.json", "model.safetensors", "training_state/tensors.safetensors"):
        if file.endswith(".json"):
            assert (ends[0] / file).read_text() == (ends[1] / file).read_text()
            continue
        a, b = (read_tensors(end / file) for end in ends)
        # NaN is NaN
        a, b = ({k: v.numpy().tobytes() for k, v in tensors.items()} for tensors in (a, b))
        assert a.keys() == b.keys() and [k for k in a if a[k] != b[k]] == [], file
    a, b = (
        {k: v for k, v in load_training_state(end)[1].items() if k != "revision"} for end in ends
    )
    assert a == b
    a, b = (
        [
            {k: v for k, v in json.loads(line).items() if not k.startswith("time/")}
            for line in file.read_text().splitlines()
        ]
        for file in (folder / "metrics.jsonl" for folder in (one, other))
    )
    assert json.dumps(a) == json.dumps(b)  # as text: NaN is NaN


@pytest.mark.slow
@pytest.mark.parametrize("stage", STAGES)
def test_killed_at_random_moments_it_ends_the_same(tmp_path, fork, inputs, stage):
    module, words = STAGES[stage]
    if stage == "coach":
        words = [*words, "--init", inputs / "seen", "--coach", inputs / "coach"]
    rng, whole, cut, printed = (
        random.Random(stage),
        tmp_path / "whole",
        tmp_path / "cut",
        tmp_path / "printed",
    )

    def process(out, dies_at=0):
        resumes = stage == "stills" or (out / "checkpoints" / "last").exists()
        given = [*words, "--out", out, *(["--resume"] if resumes else [])]
        return fork(target=command, args=(module, given, printed, dies_at))

    code, work_s = run(process(whole))
    assert code == 0, printed.read_text()
    kills, ended = [], 0
    while len(kills) < KILLS:
        how = (signal.SIGKILL, signal.SIGTERM, None)[len(kills) % 3]
        if how is None:
            how = rng.choice([-1, 1]) * rng.randint(1, WRITES)
            code, worked = run(process(cut, how))
        else:
            code, worked = run(process(cut), rng.uniform(0, 0.6 * work_s), how)
        if code == 0:  # it was quicker than that
            same(stage, whole, cut)
            shutil.rmtree(cut)
            ended += 1
            continue
        assert code in (-signal.SIGKILL, -signal.SIGTERM, 130), printed.read_text()
        kills.append(f"{how!s} after {worked:.1f} s with {done(cut)} done")
        print(f"{stage}: {kills[-1]}", flush=True)
    code, _ = run(process(cut))
    assert code == 0, printed.read_text()
    same(stage, whole, cut)
    assert "Traceback" not in printed.read_text()
    print(
        f"{stage}: {work_s:.1f} s of work, killed {len(kills)} times over {ended + 1} runs",
        flush=True,
    )
