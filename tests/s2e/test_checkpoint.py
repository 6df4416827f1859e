import json
import os

import numpy as np
import pytest
import torch

from s2e import checkpoint
from s2e.checkpoint import find_checkpoint, load_networks, load_training_state, policy_state, save_checkpoint
from s2e.config import PolicyConfig
from s2e.encoder import FeatureNet
from s2e.errors import UserError
from s2e.policy import S2EPolicy

CONFIG = PolicyConfig(dim=32, encoder_layers=1, decoder_layers=1)


def write(run, step=1, adapters=False):
    torch.manual_seed(step)
    policy, net = S2EPolicy(CONFIG), FeatureNet(CONFIG)
    if adapters:
        policy.add_adapters()
    folder = run / "checkpoints" / f"{step:08d}"
    save_checkpoint(folder, {"policy": CONFIG.to_dict()}, policy_state(policy, net), {"a": torch.arange(3)}, {"step": step})
    return policy, folder


@pytest.mark.parametrize("adapters", [False, True])
def test_round_trip(tmp_path, adapters):
    policy, folder = write(tmp_path, adapters=adapters)
    for path in (tmp_path, folder):
        loaded, _ = load_networks(path)
        assert loaded.has_adapters == adapters
        for name, tensor in policy.state_dict().items():
            assert torch.equal(tensor, loaded.state_dict()[name])
    tensors, state = load_training_state(folder)
    assert torch.equal(tensors["a"], torch.arange(3)) and state["step"] == 1


def test_last_names_the_newest_and_old_ones_go(tmp_path):
    for step in (1, 2, 3):
        write(tmp_path, step)
    assert find_checkpoint(tmp_path).name == "00000003"
    assert sorted(p.name for p in (tmp_path / "checkpoints").iterdir()) == ["00000002", "00000003", "last"]


def test_a_failed_write_leaves_the_previous_one(tmp_path, monkeypatch):
    write(tmp_path, 1)

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "_fsync", full)
    with pytest.raises(UserError, match="previous one is intact"):
        write(tmp_path, 2)
    monkeypatch.undo()
    assert find_checkpoint(tmp_path).name == "00000001"
    load_networks(tmp_path)
    assert not [p for p in (tmp_path / "checkpoints").iterdir() if p.name.startswith(".writing")]


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_missing_files_are_named(tmp_path, name):
    _, folder = write(tmp_path)
    os.remove(folder / name)
    with pytest.raises(UserError, match=name):
        load_networks(tmp_path)


def test_broken_files_are_named(tmp_path):
    _, folder = write(tmp_path)
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match="model.safetensors"):
        load_networks(tmp_path)
    (folder / "model.safetensors").write_bytes(whole)
    for broken in ("{", "[]", '{"policy": {}}', json.dumps({"policy": {**CONFIG.to_dict(), "dim": "32"}})):
        (folder / "config.json").write_text(broken)
        with pytest.raises(UserError, match="config.json"):
            load_networks(tmp_path)
    for field, value in (("dim", -8), ("heads", 0), ("heads", 7), ("anchors", 0), ("stride", 0), ("height_px", -96),
                         ("action_waypoint", 99), ("speed_floor", -1.0), ("encoder", "foo"), ("waypoints", 0)):  # fmt: skip
        (folder / "config.json").write_text(json.dumps({"policy": {**CONFIG.to_dict(), field: value}}))
        with pytest.raises(UserError, match="config.json"):
            load_networks(tmp_path)
    (folder / "config.json").write_text(json.dumps({"policy": {**CONFIG.to_dict(), "dim": 64}}))
    with pytest.raises(UserError, match="does not fit"):
        load_networks(tmp_path)


def test_last_cannot_lead_out_of_the_run(tmp_path):
    write(tmp_path / "run")
    write(tmp_path / "other", 9)
    (tmp_path / "run" / "checkpoints" / "last").write_text("../../other/checkpoints/00000009\n")
    with pytest.raises(UserError):
        find_checkpoint(tmp_path / "run")


def test_random_states_come_back():
    import random

    tensors, state = checkpoint.rng_state()
    state = json.loads(json.dumps(state))
    first = (torch.rand(2), np.random.rand(2), random.random())
    checkpoint.restore_rng(tensors, state)
    again = (torch.rand(2), np.random.rand(2), random.random())
    assert torch.equal(first[0], again[0]) and (first[1] == again[1]).all() and first[2] == again[2]
