import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch

from s2e.checkpoint import find_checkpoint, load_networks, policy_state, read_tensors, save_checkpoint
from s2e.config import PolicyConfig
from s2e.encoder import FeatureNet
from s2e.mixture import WaypointMixture
from s2e.policy import S2EPolicy
from s2e.rl.train import PPOArgs, Trainer

CONFIG = PolicyConfig(dim=32, encoder_layers=1, decoder_layers=1)


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory):
    torch.manual_seed(3)
    run = tmp_path_factory.mktemp("pretrained")
    tensors = policy_state(S2EPolicy(CONFIG), FeatureNet(CONFIG))
    save_checkpoint(run / "checkpoints" / "00000001", {"policy": CONFIG.to_dict()}, tensors, {}, {"step": 1})
    return run


class Watch:
    """Stands in for the progress bar's callback."""

    def __new__(cls, trainer):
        from tqdm import tqdm

        from s2e.rl.train import _Watch

        return _Watch(tqdm(disable=True), trainer.worlds)


def make(pretrained, out, **more):
    args = PPOArgs(out, str(pretrained), envs=4, horizon=8, scenes=2, steps=128, batch=16, **more)
    trainer = Trainer(args, 0, 1)
    watch = Watch(trainer)
    trainer.start(watch)
    return trainer, watch


def rollout(trainer, watch):
    trainer.model.collect_rollouts(trainer.env, watch, trainer.model.rollout_buffer, 8)
    return trainer.model.rollout_buffer


def test_step_zero_is_the_pretrained_policy(pretrained, tmp_path):
    trainer, _ = make(pretrained, tmp_path)
    before, _ = load_networks(pretrained)
    context = torch.from_numpy(np.asarray(trainer.model._last_obs))
    with torch.no_grad():
        a, b = before.decode(context), trainer.policy.s2e.decode(context)
    assert trainer.policy.s2e.has_adapters and not before.has_adapters
    assert all(torch.equal(getattr(a, n), getattr(b, n)) for n in ("logits", "mean", "log_std", "rho", "speed"))


def test_ratio_is_one_on_the_first_minibatch(pretrained, tmp_path):
    trainer, watch = make(pretrained, tmp_path)
    buffer = rollout(trainer, watch)
    trainer.policy.set_training_mode(True)  # as PPO.train does
    sample = next(buffer.get(16))
    _, log_prob, _ = trainer.policy.evaluate_actions(sample.observations, sample.actions)
    ratio = (log_prob - sample.old_log_prob).exp()
    torch.testing.assert_close(ratio, torch.ones_like(ratio), atol=1e-5, rtol=0)


def test_no_image_is_stored(pretrained, tmp_path):
    trainer, _ = make(pretrained, tmp_path)
    assert trainer.model.rollout_buffer.observations.shape == (8, 4, trainer.policy.s2e.context_tokens, 32)
    assert trainer.model.rollout_buffer.observations.dtype == np.float32


def test_cached_and_uncached_log_probabilities_agree(pretrained, tmp_path):
    """The stored context against encoding five whole frames and running the network from the images."""
    trainer, watch = make(pretrained, tmp_path)
    seen = []
    observe = trainer.actor.observe

    def spy(rgb, goal, ego, robot, worlds=None):
        seen.append((rgb.copy(), goal.copy(), ego.copy(), trainer.actor.fresh.copy(), robot.copy()))
        return observe(rgb, goal, ego, robot, worlds)

    trainer.actor.observe = spy
    trainer.model._last_obs = trainer.env.reset()
    buffer = rollout(trainer, watch)
    net, s2e = trainer.net, trainer.policy.s2e
    for t in range(8):
        for world in range(4):
            begin = max(u for u in range(t + 1) if seen[u][3][world])
            past = [max(begin, t - k) for k in (4, 3, 2, 1, 0)]
            frames = np.stack([seen[p][0][world] for p in past])
            features = trainer.actor.encoder(frames)
            older = features[:-1].astype(np.float32).mean((1, 2)).astype(np.float16)
            goal, ego, robot = (torch.from_numpy(seen[t][i][[world]]) for i in (1, 2, 4))
            with torch.no_grad():
                newest = s2e.newest_tokens(torch.from_numpy(features[-1:]).float())
                context = s2e.context(newest, torch.from_numpy(older[None]).float(), goal, ego, robot)
                mixture = WaypointMixture.at(s2e.decode(context), CONFIG.action_waypoint, CONFIG.waypoint_dt_s)
                uncached = mixture.log_prob(torch.from_numpy(buffer.actions[t, world][None]))
            np.testing.assert_allclose(uncached.item(), buffer.log_probs[t, world], atol=1e-5)
    assert not net.training


def test_only_adapters_and_value_change(pretrained, tmp_path):
    trainer, watch = make(pretrained, tmp_path, value_warmup=1)
    before = {k: v.clone() for k, v in trainer.policy.state_dict().items()}
    encoder = {k: v.clone() for k, v in trainer.net.state_dict().items()}
    trainer.update(watch)
    changed = {k for k, v in trainer.policy.state_dict().items() if not torch.equal(v, before[k])}
    assert changed and all(k.startswith("value.") for k in changed), "the first update warms the value up"
    trainer.update(watch)
    changed = {k for k, v in trainer.policy.state_dict().items() if not torch.equal(v, before[k])}
    assert any(".adapter." in k for k in changed)
    assert all(k.startswith("value.") or ".adapter." in k for k in changed)
    assert all(torch.equal(v, encoder[k]) for k, v in trainer.net.state_dict().items())


def command(*words):
    return [sys.executable, "-c", "from s2e.rl.train import main; main()", *map(str, words)]


def test_killed_and_resumed_is_bit_for_bit_the_same(pretrained, tmp_path):
    common = ["--init", pretrained, "--envs", 4, "--horizon", 8, "--scenes", 2, "--steps", 320, "--batch", 16, "--save-every", 2]
    subprocess.run(command(*common, "--out", tmp_path / "whole"), check=True, capture_output=True)
    cut = subprocess.Popen(command(*common, "--out", tmp_path / "cut"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    pointer = tmp_path / "cut" / "checkpoints" / "last"
    deadline = time.monotonic() + 120
    while not pointer.exists() and cut.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    os.kill(cut.pid, signal.SIGKILL)
    cut.wait()
    assert int(pointer.read_text()) < 10, "it was to be killed in the middle"
    subprocess.run(command(*common, "--out", tmp_path / "cut", "--resume"), check=True, capture_output=True)
    one, other = (find_checkpoint(tmp_path / n) for n in ("whole", "cut"))
    for file in ("model.safetensors", "training_state/tensors.safetensors"):
        a, b = read_tensors(one / file), read_tensors(other / file)
        assert a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a), file
    steps = [line.split(",")[0] for line in (tmp_path / "cut" / "metrics.jsonl").read_text().splitlines()]
    assert steps == [f'{{"step": {i}' for i in range(1, 11)]
