"""Checkpoints are folders of JSON and safetensors: nothing in them can run code.

    RUN/checkpoints/00000400/config.json, model.safetensors, training_state/{tensors.safetensors, state.json}
    RUN/checkpoints/last            the name of the newest folder

A checkpoint is written beside its place, flushed to disk and renamed, so a killed process leaves the previous one.
"""

import json
import os
import random
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from s2e.config import PolicyConfig
from s2e.encoder import FeatureNet
from s2e.errors import UserError
from s2e.policy import S2EPolicy


def save_checkpoint(
    folder: Path,
    config: Mapping[str, Any],
    model: Mapping[str, torch.Tensor],
    state_tensors: Mapping[str, torch.Tensor],
    state: Mapping[str, Any],
    keep: int = 2,
    best: bool = False,
) -> None:
    """Writes one checkpoint folder atomically, points `last` (and with `best` also `best`) at it and deletes old ones.

    The newest `keep` folders stay, and so does the one that `best` names.

    Raises:
        UserError: the disk refused; the checkpoints that were there are as they were.
    """
    temporary = None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=".writing-", dir=folder.parent))
        (temporary / "training_state").mkdir()
        (temporary / "config.json").write_text(json.dumps(config, indent=2) + "\n")
        save_file({k: v.detach().cpu().contiguous().clone() for k, v in model.items()}, temporary / "model.safetensors")
        tensors = {k: v.detach().cpu().contiguous().clone() for k, v in state_tensors.items()}
        save_file(tensors, temporary / "training_state" / "tensors.safetensors")
        (temporary / "training_state" / "state.json").write_text(json.dumps({**state, "revision": _revision()}))
        for path in [*temporary.rglob("*"), temporary]:
            _fsync(path)
        if folder.exists():  # set aside, not deleted first: a kill in between must not leave a pointer to nothing for long
            former = Path(tempfile.mkdtemp(prefix=".writing-", dir=folder.parent))
            os.replace(folder, former)
            os.replace(temporary, folder)
            shutil.rmtree(former)
        else:
            os.replace(temporary, folder)
    except (OSError, SafetensorError) as error:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)
        raise UserError(f"{folder}: checkpoint not written ({error}); the previous one is intact, free some space") from None
    # `last` after `best`: a run killed between the two resumes before this checkpoint and arrives at it again.
    for name in ("best", "last") if best else ("last",):
        _point(folder, name)
    pointer = folder.parent / "best"
    chosen = pointer.read_text().strip() if pointer.is_file() else ""
    older = sorted(p for p in folder.parent.iterdir() if p.is_dir() and p.name.isdigit())[:-keep]
    for path in older:
        if path.name != chosen:
            shutil.rmtree(path, ignore_errors=True)
    for path in folder.parent.glob(".writing-*"):  # of a run that was killed while it saved
        shutil.rmtree(path, ignore_errors=True)


def find_checkpoint(path: Path) -> Path:
    """The checkpoint folder that a run folder or a checkpoint folder names."""
    if not path.is_dir():
        what = "a file, not a folder" if path.exists() else "no such folder"
        raise UserError(f"{path}: {what}; give a run folder (with checkpoints/) or a checkpoint folder")
    pointer = path / "checkpoints" / "last"
    if pointer.is_file():
        path = path / "checkpoints" / Path(pointer.read_text().strip()).name
    for name in ("config.json", "model.safetensors"):
        if not (path / name).is_file():
            raise UserError(f"{path / name}: missing; {path} is not a complete checkpoint, give another or train again")
    return path


def read_json(path: Path) -> Any:
    """A JSON file's value; a broken file is the user's error."""
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: not readable JSON ({error}); restore the file or use another checkpoint") from None


def read_tensors(path: Path) -> dict[str, torch.Tensor]:
    """A safetensors file's content; a broken file is the user's error."""
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path}: not a readable safetensors file ({error}); use another checkpoint") from None


def policy_state(policy: S2EPolicy, net: FeatureNet) -> dict[str, torch.Tensor]:
    """The tensors of a policy and its encoder, under `policy.` and `encoder.`."""
    tensors = {f"policy.{k}": v for k, v in policy.state_dict().items()}
    return tensors | {f"encoder.{k}": v for k, v in net.state_dict().items()}


def load_networks(path: Path | str) -> tuple[S2EPolicy, FeatureNet]:
    """A policy and its encoder from a run folder or a checkpoint folder, in eval mode. Executes nothing of the file."""
    folder = find_checkpoint(Path(path))
    config_file, tensors = folder / "config.json", read_tensors(folder / "model.safetensors")
    values = read_json(config_file)
    if not isinstance(values, dict) or not isinstance(values.get("policy"), dict):
        raise UserError(f"{config_file}: no object `policy`; this is not a policy's checkpoint")
    config = PolicyConfig.from_dict(values["policy"], str(config_file))
    policy, net = S2EPolicy(config), FeatureNet(config)
    if any(".adapter." in name for name in tensors):
        policy.add_adapters()
    for module, prefix in ((policy, "policy."), (net, "encoder.")):
        part = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
        try:
            module.load_state_dict(part)
        except RuntimeError as error:
            detail = str(error).splitlines()[-1].strip()
            raise UserError(f"{folder / 'model.safetensors'}: does not fit config.json ({detail})") from None
    return policy.eval(), net.eval()


def rng_state() -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """The global random states of torch, NumPy and Python, as tensors and JSON."""
    name, keys, position, has_gauss, gauss = np.random.get_state()
    version, internal, gauss_next = random.getstate()
    tensors = {"rng.torch": torch.get_rng_state(), "rng.numpy": torch.from_numpy(np.asarray(keys).astype(np.int64))}
    if torch.cuda.is_available():
        tensors["rng.cuda"] = torch.cuda.get_rng_state()
    state = {"numpy": [name, position, has_gauss, gauss], "python": [version, list(internal), gauss_next]}
    return tensors, {"rng": state}


def restore_rng(tensors: Mapping[str, torch.Tensor], state: Mapping[str, Any]) -> None:
    """Puts back what `rng_state` took."""
    torch.set_rng_state(tensors["rng.torch"])
    if "rng.cuda" in tensors and torch.cuda.is_available():
        torch.cuda.set_rng_state(tensors["rng.cuda"])
    name, position, has_gauss, gauss = state["rng"]["numpy"]
    np.random.set_state((name, tensors["rng.numpy"].numpy().astype(np.uint32), position, has_gauss, gauss))
    version, internal, gauss_next = state["rng"]["python"]
    random.setstate((version, tuple(internal), gauss_next))


def optimizer_state(optimizer: torch.optim.Optimizer) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """An optimizer's state as tensors and JSON."""
    packed = optimizer.state_dict()
    tensors = {
        f"optimizer.{index}.{name}": torch.as_tensor(value)
        for index, entry in packed["state"].items()
        for name, value in entry.items()
    }
    return tensors, {"optimizer": packed["param_groups"]}


def restore_optimizer(
    optimizer: torch.optim.Optimizer, tensors: Mapping[str, torch.Tensor], state: Mapping[str, Any]
) -> None:
    """Puts back what `optimizer_state` took."""
    entries: dict[int, dict[str, torch.Tensor]] = {}
    for key, value in tensors.items():
        if key.startswith("optimizer."):
            _, index, name = key.split(".", 2)
            entries.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict({"state": entries, "param_groups": state["optimizer"]})


def load_training_state(folder: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """The `training_state` of a checkpoint folder: tensors and JSON."""
    inside = folder / "training_state"
    state = read_json(inside / "state.json")
    if not isinstance(state, dict) or "step" not in state or not folder.name.isdigit():
        raise UserError(f"{inside / 'state.json'}: no training state to resume from; start anew with another --out")
    return read_tensors(inside / "tensors.safetensors"), state


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _point(folder: Path, name: str) -> None:
    """Makes `name`, beside a checkpoint folder, name that folder."""
    try:
        pointer = folder.parent / f".{name}"
        pointer.write_text(folder.name + "\n")
        _fsync(pointer)
        os.replace(pointer, folder.parent / name)
        _fsync(folder.parent)
    except OSError as error:
        raise UserError(f"{folder.parent / name}: not written ({error}); it names the previous checkpoint, free some space") from None


def _revision() -> str:
    """The git revision of the code, or the empty string where it is not in a checkout."""
    try:
        command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
        return subprocess.run(command, capture_output=True, text=True, timeout=5).stdout.strip()
    except (OSError, subprocess.TimeoutExpired):
        return ""
