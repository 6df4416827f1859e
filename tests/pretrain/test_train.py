import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from s2e.checkpoint import find_checkpoint, read_tensors
from s2e.config import PRESETS
from s2e.errors import UserError
from s2e.observation import goal_token, to_robot
from s2e.pretrain.samples import make_batch, make_samples, split_walks
from s2e.video.formats import read_walks
from s2e.video.frames import ImageFiles
from s2e.video.walk import Walk
from tests.video.test_gnm import make_walk

CONFIG = PRESETS["laptop"]
DATA = Path(__file__).parents[3] / "shared" / "data" / "gnm" / "go2"


def circle(length=60, hz=10.0):
    """A walk around a circle: radius 2 m at 0.5 m/s."""
    angle = np.arange(length) / hz * 0.25
    return walk(f"circle{length}", 2 * np.stack([np.cos(angle), np.sin(angle)], 1), angle + np.pi / 2, hz)


def walk(name, position, yaw, hz=10.0):
    frames = ImageFiles(lambda t: b"", len(position), str)
    return Walk(name, Path(name), frames, np.arange(len(position)) / hz, position, yaw)


def test_a_circle_looks_the_same_from_everywhere():
    walk = circle()
    samples = make_samples([walk], CONFIG, np.array([0]))
    assert len(samples) == 60 - 20
    np.testing.assert_allclose(samples.future, np.broadcast_to(samples.future[0], samples.future.shape), atol=1e-6)
    end = 2 * np.array([np.sin(0.5), 1 - np.cos(0.5)])  # 2 s later: 0.5 rad to the left
    np.testing.assert_allclose(samples.future[0, -1], end, atol=1e-6)
    np.testing.assert_allclose(samples.ego[5:], [[0.5, 0.25, 0.5]] * 35, atol=2e-3)
    assert (samples.frames[10] == [2, 4, 6, 8, 10]).all() and (samples.frames[0] == 0).all()


def test_goals_lie_ahead_in_the_same_walk():
    walks = [circle(), circle(80)]
    samples = make_samples(walks, CONFIG, np.array([100, 500]))
    batch = make_batch(samples, np.arange(len(samples)), CONFIG, np.random.default_rng(0))
    assert batch.frames[:40].max() < 160 and batch.frames[40:].min() >= 500
    own = np.linalg.norm(samples.position - [0, 0], axis=1)
    np.testing.assert_allclose(own, 2)
    np.testing.assert_allclose(batch.goal.numpy(), goal_token(batch.goal_xy, CONFIG.goal_clip_m))


def test_to_robot():
    np.testing.assert_allclose(to_robot(np.array([1.0, 1.0]), np.array([1.0, 0.0, np.pi / 2])), [1, 0], atol=1e-12)


def test_split_is_by_walk():
    walks = [walk(str(i), np.zeros((9, 2)), np.zeros(9)) for i in range(10)]
    train, held = split_walks(walks, 0.2, 0)
    assert len(held) == 2 and not {w.name for w in train} & {w.name for w in held} and len(train) == 8
    with pytest.raises(UserError, match="at least two"):
        split_walks(walks[:1], 0.2, 0)


def command(*words):
    return [sys.executable, "-c", "import sys; from s2e.pretrain.train import main; main()", *map(str, words)]


def weights(run):
    return read_tensors(find_checkpoint(run) / "model.safetensors")


def test_killed_and_resumed_is_bit_for_bit_the_same(tmp_path):
    for i in range(4):
        make_walk(tmp_path / "data" / f"w{i}", 40, seed=i)
    common = ["--data", tmp_path / "data", "--steps", 24, "--batch", 8, "--save-every", 4]
    subprocess.run(command(*common, "--out", tmp_path / "whole"), check=True, capture_output=True)
    cut = subprocess.Popen(command(*common, "--out", tmp_path / "cut"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    pointer = tmp_path / "cut" / "checkpoints" / "last"
    deadline = time.monotonic() + 120
    while not pointer.exists() and cut.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    os.kill(cut.pid, signal.SIGKILL)
    cut.wait()
    assert int(pointer.read_text()) < 24, "it was to be killed in the middle"
    subprocess.run(command(*common, "--out", tmp_path / "cut", "--resume"), check=True, capture_output=True)
    one, other = weights(tmp_path / "whole"), weights(tmp_path / "cut")
    assert one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)
    again = subprocess.run(command(*common, "--out", tmp_path / "cut"), capture_output=True, text=True)
    assert again.returncode == 2 and "--resume" in again.stderr


@pytest.mark.slow
@pytest.mark.skipif(not DATA.is_dir(), reason="the real walks are not beside this checkout")
def test_real_walks_beat_both_baselines(tmp_path):
    done = subprocess.run(command("--data", DATA, "--out", tmp_path / "run", "--steps", 300), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "beats both baselines" in done.stdout


@pytest.mark.skipif(not DATA.is_dir(), reason="the real walks are not beside this checkout")
def test_real_walks_are_read():
    walks, skipped = read_walks([DATA])
    assert len(walks) == 19 and not skipped
    assert sum(bool(w.note) for w in walks) == 1
