import json
import os
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import s2e
from s2e.core import files
from s2e.core.errors import UserError
from s2e.policy import checkpoint
from s2e.policy.checkpoint import (
    find_checkpoint,
    load_networks,
    load_training_state,
    policy_state,
    save_checkpoint,
)
from s2e.policy.config import PolicyConfig
from s2e.policy.encoder import FeatureNet
from s2e.policy.network import S2EPolicy

CONFIG = PolicyConfig(
    dim=32, encoder_layers=1, decoder_layers=1, height_px=32, width_px=64, stride=8, channels=40
)


def write(run, step=1, adapters=False):
    torch.manual_seed(step)
    policy, net = S2EPolicy(CONFIG), FeatureNet(CONFIG)
    if adapters:
        policy.add_adapters()
    folder = run / "checkpoints" / f"{step:08d}"
    save_checkpoint(
        folder,
        {"policy": CONFIG.to_dict()},
        policy_state(policy, net),
        {"a": torch.arange(3)},
        {"step": step},
    )
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
    assert sorted(p.name for p in (tmp_path / "checkpoints").iterdir()) == [
        "00000002",
        "00000003",
        "last",
    ]


def test_a_failed_write_leaves_the_previous_one(tmp_path, monkeypatch):
    write(tmp_path, 1)

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "fsync", full)
    with pytest.raises(UserError, match="previous one, 00000001, is intact"):
        write(tmp_path, 2)
    monkeypatch.undo()
    assert find_checkpoint(tmp_path).name == "00000001"
    load_networks(tmp_path)
    assert not [p for p in (tmp_path / "checkpoints").iterdir() if p.name.startswith(".writing")]


# while it is written; when `last` is to name it
@pytest.mark.parametrize("file", ["model.safetensors", "last.part"])
def test_a_full_disk_at_the_first_checkpoint_says_that_there_is_none(tmp_path, monkeypatch, file):
    def full(path):
        if path.name == file:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "fsync", full)
    with pytest.raises(UserError, match="No space left.*there is no checkpoint yet") as refused:
        write(tmp_path, 1)
    assert "intact" not in str(refused.value) and not (tmp_path / "checkpoints" / "last").exists()
    monkeypatch.undo()
    write(tmp_path, 1)
    load_networks(tmp_path)


def test_a_pointer_to_nothing_is_no_previous_checkpoint(tmp_path, monkeypatch):
    write(tmp_path, 1)
    shutil.rmtree(tmp_path / "checkpoints" / "00000001")

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "fsync", full)
    with pytest.raises(UserError, match="there is no checkpoint yet"):
        write(tmp_path, 2)


def test_a_checkpoint_that_is_written_again_in_vain_is_put_back(tmp_path, monkeypatch):
    write(tmp_path, 1)
    replace = os.replace

    def full(source, target):
        if (Path(source) / "model.safetensors").is_file() and Path(target).name == "00000001":
            monkeypatch.undo()
            raise OSError(28, "No space left on device")
        replace(source, target)

    monkeypatch.setattr(checkpoint.os, "replace", full)
    with pytest.raises(UserError, match="it is whole: free some space"):
        write(tmp_path, 1)
    load_networks(tmp_path)


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
    for broken in (
        "{",
        "[]",
        '{"policy": {}}',
        json.dumps({"policy": {**CONFIG.to_dict(), "dim": "32"}}),
    ):
        (folder / "config.json").write_text(broken)
        with pytest.raises(UserError, match="config.json"):
            load_networks(tmp_path)
    for field, value in (
        ("dim", -8),
        ("heads", 0),
        ("heads", 7),
        ("anchors", 0),
        ("stride", 0),
        ("height_px", -96),
        ("action_waypoint", 99),
        ("speed_floor", -1.0),
        ("encoder", "foo"),
        ("waypoints", 0),
    ):
        (folder / "config.json").write_text(
            json.dumps({"policy": {**CONFIG.to_dict(), field: value}})
        )
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


def test_best_is_used_and_last_is_resumed(tmp_path):
    for step in (1, 2):
        write(tmp_path, step)
    (tmp_path / "checkpoints" / "best").write_text("00000001\n")
    assert find_checkpoint(tmp_path).name == "00000001"
    assert find_checkpoint(tmp_path, newest=True).name == "00000002"
    policy, other = load_networks(tmp_path)[0], load_networks(tmp_path, newest=True)[0]
    assert not torch.equal(policy.position, other.position)
    for broken in ("", "x" * 10_000, "00000009", "..", "/"):
        (tmp_path / "checkpoints" / "best").write_text(broken)
        with pytest.raises(UserError):
            find_checkpoint(tmp_path)


def test_names_of_shipped_policies(tmp_path, monkeypatch):
    _, folder = write(tmp_path / "run")
    (tmp_path / "assets").mkdir()
    os.rename(folder, tmp_path / "assets" / "laptop")
    monkeypatch.setattr("s2e.assets.__file__", str(tmp_path / "assets" / "__init__.py"))
    monkeypatch.chdir(tmp_path / "run")
    assert find_checkpoint("laptop") == tmp_path / "assets" / "laptop"
    load_networks("laptop")
    for path, newest in (
        ("desktop", False),
        ("laptop/", True),
        ("laptop", True),
        ("x" * 5000, False),
        ("a\0b", False),
    ):
        with pytest.raises(UserError, match="no such folder"):
            find_checkpoint(path, newest)
    with pytest.raises(UserError, match="shipped policies \\(laptop\\)"):
        find_checkpoint("desktop")
    _, here = write(tmp_path / "other", step=2)
    os.rename(here, tmp_path / "run" / "laptop")
    assert find_checkpoint("laptop").resolve() == tmp_path / "run" / "laptop"


def test_the_shipped_policy_is_small_and_drives():
    path = checkpoint.shipped_policies().get("laptop")
    if path is None:
        pytest.skip("assets/laptop holds no policy yet")
    assert sum(p.stat().st_size for p in path.iterdir()) < 8e6 and (path / "README.md").is_file()
    plan = s2e.load_policy("laptop").act(np.full((120, 160, 3), 128, np.uint8), goal=(4.0, 0.0))
    assert np.isfinite(plan.candidates).all()


def test_other_versions_are_said_to_be(tmp_path):
    _, folder = write(tmp_path)
    values = CONFIG.to_dict()
    for changed in ({**values, "flux": 1}, {k: v for k, v in values.items() if k != "dim"}):
        (folder / "config.json").write_text(json.dumps({"policy": changed}))
        with pytest.raises(UserError, match="matching version"):
            load_networks(tmp_path)


def test_giants_are_refused_before_memory_is_taken(tmp_path, monkeypatch):
    _, folder = write(tmp_path)
    real, made = checkpoint.S2EPolicy, []

    def on_paper(config, anchors=None):
        made.append(torch.empty(0).device.type)
        return real(config, anchors)

    monkeypatch.setattr(checkpoint, "S2EPolicy", on_paper)
    cases = [
        ("dim", 8192, "does not fit"),
        ("encoder_layers", 8192, "encoder layers"),
        ("decoder_layers", 3, "decoder layers"),
    ]
    cases += [(field, 8192, "does not fit") for field in ("waypoints", "anchors", "ffn_factor")]
    for field, value, said in [
        *cases,
        ("history", 8192, "context tokens"),
        ("height_px", 8192, "pixels"),
    ]:
        changes = {field: value} | ({"width_px": 8192} if field == "height_px" else {})
        (folder / "config.json").write_text(json.dumps({"policy": {**CONFIG.to_dict(), **changes}}))
        with pytest.raises(UserError, match=said):
            load_networks(tmp_path)
    assert set(made) <= {"meta"}
    (folder / "config.json").write_text(
        json.dumps({"policy": CONFIG.to_dict(), "more": "x" * (1 << 20)})
    )
    with pytest.raises(UserError, match="larger than"):
        load_networks(tmp_path)
    (folder / "config.json").write_text("[" * 200_000)
    with pytest.raises(UserError, match="cannot be read as JSON"):
        load_networks(tmp_path)


def header(value, body=b""):
    text = json.dumps(value).encode() if not isinstance(value, bytes) else value
    return struct.pack("<Q", len(text)) + text + body


def tensor(shape, offsets, dtype="F32"):
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x80\x04.",
        struct.pack("<Q", 1 << 62) + b"{}",
        struct.pack("<Q", 100 << 20) + b"{}",
        header(b"[" * 100_000),
        header({"policy.position": tensor([1 << 40], [0, 4])}, bytes(4)),
        header({"policy.position": tensor([1 << 32, 1 << 32], [0, 0])}),
        header({"policy.position": tensor([1], [0, 1 << 50])}, bytes(4)),
        header({"policy.position": tensor([1], [8, 4])}, bytes(8)),
        header({"policy.position": tensor([-1], [0, 4])}, bytes(4)),
        header({"a": tensor([2], [0, 8]), "b": tensor([2], [4, 12])}, bytes(12)),
        header({"policy.position": tensor([4], [0, 4], "F8_E4M3")}, bytes(4)),
        header({"policy.position": tensor([1], [0, 8], "C64")}, bytes(8)),
        header({"policy.position": tensor([1], [0, 4])}, bytes(4)),
        header({}),
    ],
)
def test_hostile_weights(tmp_path, content):
    (tmp_path / "config.json").write_text(json.dumps({"policy": CONFIG.to_dict()}))
    (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(UserError, match="model.safetensors"):
        load_networks(tmp_path)


def test_weights_that_are_no_numbers(tmp_path):
    _, folder = write(tmp_path)
    tensors = checkpoint.read_tensors(folder / "model.safetensors")
    tensors["policy.position"][0, 0] = torch.nan
    save_file(tensors, folder / "model.safetensors")
    with pytest.raises(UserError, match="policy.position holds NaN"):
        load_networks(tmp_path)


def test_random_states_come_back():
    import random

    tensors, state = checkpoint.rng_state()
    state = json.loads(json.dumps(state))
    first = (torch.rand(2), np.random.rand(2), random.random())
    checkpoint.restore_rng(tensors, state)
    again = (torch.rand(2), np.random.rand(2), random.random())
    assert torch.equal(first[0], again[0]) and (first[1] == again[1]).all() and first[2] == again[2]
