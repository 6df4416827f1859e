"""Checkpoints are folders of JSON and safetensors: nothing in them can run code.

    RUN/checkpoints/00000400/config.json, model.safetensors, training_state/{tensors.safetensors,
    state.json} RUN/checkpoints/last  the name of the newest folder; `best`, where there is one,
                                      that of the best

A checkpoint is written beside its place, flushed to disk and renamed, so a killed process leaves
the previous one.
"""

import json
import os
import random
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

import s2e.assets
from s2e.core.errors import UserError, require
from s2e.core.files import read_json, whole_folder, write_whole
from s2e.policy import hub
from s2e.policy.config import PolicyConfig
from s2e.policy.encoder import VisualNet, visual_net
from s2e.policy.network import S2EPolicy

# What a config.json may ask for: beyond these no policy of ours goes, and a hostile file would take
# all memory.
MAX_CONFIG_BYTES, MAX_PIXELS, MAX_TOKENS = 1 << 20, 1 << 22, 4096
DAMAGED = "restore the file or use another checkpoint"


def save_checkpoint(
    folder: Path,
    config: Mapping[str, Any],
    model: Mapping[str, torch.Tensor],
    state_tensors: Mapping[str, torch.Tensor],
    state: Mapping[str, Any],
    keep: int = 2,
    best: bool = False,
) -> None:
    """Writes one checkpoint folder atomically, points `last` (and with `best` also `best`) at it
    and deletes old ones.

    The newest `keep` folders stay, and so does the one that `best` names.

    Raises:
        UserError: the disk refused; the checkpoints that were there, if any, are as they were.
    """
    try:
        with whole_folder(folder) as made:
            (made / "training_state").mkdir()
            (made / "config.json").write_text(json.dumps(config, indent=2) + "\n")
            save_file(
                {k: v.detach().cpu().contiguous().clone() for k, v in model.items()},
                made / "model.safetensors",
            )
            tensors = {k: v.detach().cpu().contiguous().clone() for k, v in state_tensors.items()}
            save_file(tensors, made / "training_state" / "tensors.safetensors")
            (made / "training_state" / "state.json").write_text(
                json.dumps({**state, "revision": _revision()})
            )
    except (OSError, SafetensorError) as error:
        raise UserError(f"{folder}: checkpoint not written ({error}); {_remains(folder)}") from None
    # `last` after `best`: a run killed between the two resumes before this checkpoint and arrives
    # at it again.
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


def find_checkpoint(path: Path | str, newest: bool = False) -> Path:
    """The checkpoint folder that a name stands for.

    Args:
        path: a run folder, a checkpoint folder or an exported folder; where there is no such folder
            also the name of a shipped policy (`shipped_policies`) or of a Hugging Face repository
            (owner/name), which is then downloaded.
        newest: for going on with a run: its newest checkpoint, and local folders alone. Otherwise a
            run's best one (`checkpoints/best`) where it has one.

    Raises:
        UserError: there is no such thing, or it is not complete.
    """
    path, name = Path(path), str(path)
    # os.path: names that no file can have (too long, with a zero byte) are just not there.
    if not os.path.isdir(path):
        if os.path.exists(path):
            raise UserError(
                f"{path}: a file, not a folder; give a run folder (with checkpoints/) or a "
                "checkpoint folder"
            )
        shipped = {} if newest else shipped_policies()
        if name in shipped:
            path = shipped[name]
        elif not newest and hub.is_repository(name):
            path = hub.download(name)
        else:
            listed = f", or one of the shipped policies ({', '.join(shipped)})" if shipped else ""
            raise UserError(
                f"{path}: no such folder; give a run folder (with checkpoints/) or a checkpoint "
                f"folder{listed}"
            )
    for pointer in (
        path / "checkpoints" / name for name in (("last",) if newest else ("best", "last"))
    ):
        if os.path.isfile(pointer):
            path = path / "checkpoints" / _pointed(pointer)
            break
    for name in ("config.json", "model.safetensors"):
        if not os.path.isfile(path / name):
            raise UserError(
                f"{path / name}: missing; {path} is not a complete checkpoint, give another or "
                "train again"
            )
    return path


def shipped_policies() -> dict[str, Path]:
    """The folders of the policies that come with the package, by name."""
    inside = Path(s2e.assets.__file__).parent
    return {p.parent.name: p.parent for p in sorted(inside.glob("*/model.safetensors"))}


def _pointed(pointer: Path) -> str:
    """The folder name in a pointer file; never a way out of the pointer's folder."""
    try:
        with pointer.open() as file:
            return Path(file.read(256).strip()).name
    except (OSError, ValueError) as error:
        raise UserError(
            f"{pointer}: not readable ({error}); write the name of a folder beside it there"
        ) from None


def read_tensors(path: Path) -> dict[str, torch.Tensor]:
    """A safetensors file's content; a broken file is the user's error."""
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise UserError(
            f"{path}: not a readable safetensors file ({error}); use another checkpoint"
        ) from None


def policy_state(policy: S2EPolicy, net: VisualNet) -> dict[str, torch.Tensor]:
    """The tensors of a policy and its encoder, under `policy.` and `encoder.`."""
    tensors = {f"policy.{k}": v for k, v in policy.state_dict().items()}
    return tensors | {f"encoder.{k}": v for k, v in net.state_dict().items()}


def load_networks(path: Path | str, newest: bool = False) -> tuple[S2EPolicy, VisualNet]:
    """A policy and its encoder, in eval mode, from what `find_checkpoint` finds. Executes nothing
    of the files.

    Weights may be stored in half precision; the networks are float32.
    """
    folder = find_checkpoint(path, newest)
    config_file, model_file = folder / "config.json", folder / "model.safetensors"
    config = read_policy_config(config_file)
    _refuse_giants(config, tensor_shapes(model_file), config_file, model_file)
    tensors = read_tensors(model_file)
    for name, tensor in tensors.items():
        require(
            bool(tensor.isfinite().all()),
            f"{model_file}: {name} holds NaN or infinity; use another checkpoint",
        )
    own, seen = (
        {k.removeprefix(x): v for k, v in tensors.items() if k.startswith(x)}
        for x in ("policy.", "encoder.")
    )
    policy = S2EPolicy(config)
    if any(".adapter." in name for name in own):
        policy.add_adapters()
    policy.load_state_dict(own)  # fits: `_refuse_giants` compared it
    return policy.eval(), visual_net(config, state=seen, where=str(model_file))


def read_policy_config(path: Path) -> PolicyConfig:
    """The object `policy` of a checkpoint's config.json."""
    values = read_json(path, DAMAGED, MAX_CONFIG_BYTES)
    if "rays" in values and "policy" not in values:
        use = "it is for s2e-bench --policy and s2e-ppo --coach"
        instead = "what drives by a camera is laptop-experienced, or a run without --sense rays"
        raise UserError(
            f"{path}: a policy of rays, which sees distances in simulated worlds and no images: "
            f"{use}; {instead}"
        )
    if not isinstance(values.get("policy"), dict):
        raise UserError(f"{path}: no object `policy`; this is not a policy's checkpoint")
    return PolicyConfig.from_dict(values["policy"], str(path))


def tensor_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a safetensors file from its header alone, which the library has checked
    against the file's size.
    """
    try:
        with safe_open(path, framework="pt") as file:
            parts = {name: file.get_slice(name) for name in file.keys()}
            shapes = {name: tuple(part.get_shape()) for name, part in parts.items()}
            kinds = {
                name: part.get_dtype() for name, part in parts.items() if name != "encoder.onnx"
            }
    except (OSError, SafetensorError) as error:
        raise UserError(
            f"{path}: not a readable safetensors file ({error}); use another checkpoint"
        ) from None
    odd = sorted(set(kinds.values()) - {"F16", "BF16", "F32", "F64", "I64"})
    require(
        not odd, f"{path}: numbers of type {', '.join(odd)}; weights are floats (F16, BF16, F32)"
    )
    return shapes


def _refuse_giants(
    config: PolicyConfig, shapes: Mapping[str, tuple[int, ...]], config_file: Path, model_file: Path
) -> None:
    """Refuses a config.json that would take more memory than its weights: shapes are compared
    before anything is allocated.
    """
    pixels = config.height_px * config.width_px
    require(
        pixels <= MAX_PIXELS,
        f"{config_file}: images of {config.height_px}x{config.width_px}; {MAX_PIXELS} pixels at "
        "most",
    )
    layers = {"encoder": config.encoder_layers, "decoder": config.decoder_layers}
    for part, count in layers.items():
        found = len({name.split(".")[2] for name in shapes if name.startswith(f"policy.{part}.")})
        require(
            found == count, _misfit(model_file, f"{found} {part} layers, config.json says {count}")
        )
    anchors = torch.zeros(config.anchors, 2)
    with torch.device("meta"):
        policy = S2EPolicy(config, anchors)
        if any(".adapter." in name for name in shapes):
            policy.add_adapters()
    tokens = policy.context_tokens
    require(
        tokens <= MAX_TOKENS,
        f"{config_file}: {tokens} context tokens; {MAX_TOKENS} at most, use a larger stride or "
        "fewer frames",
    )
    wanted = {f"policy.{name}": tuple(tensor.shape) for name, tensor in policy.state_dict().items()}
    given = {name: shape for name, shape in shapes.items() if name.startswith("policy.")}
    for name in sorted(wanted.keys() | given.keys()):
        has, needs = given.get(name, "absent"), wanted.get(name, "absent")
        require(has == needs, _misfit(model_file, f"{name} is {has}, expected {needs}"))


def _misfit(path: Path, detail: str) -> str:
    return (
        f"{path}: does not fit config.json ({detail}); use the pair as it was saved, and the "
        "version of s2e that saved it"
    )


def rng_state() -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """The global random states of torch, NumPy and Python, as tensors and JSON."""
    name, keys, position, has_gauss, gauss = np.random.get_state()
    version, internal, gauss_next = random.getstate()
    tensors = {
        "rng.torch": torch.get_rng_state(),
        "rng.numpy": torch.from_numpy(np.asarray(keys).astype(np.int64)),
    }
    if torch.cuda.is_available():
        tensors["rng.cuda"] = torch.cuda.get_rng_state()
    state = {
        "numpy": [name, position, has_gauss, gauss],
        "python": [version, list(internal), gauss_next],
    }
    return tensors, {"rng": state}


def restore_rng(tensors: Mapping[str, torch.Tensor], state: Mapping[str, Any]) -> None:
    """Puts back what `rng_state` took."""
    torch.set_rng_state(tensors["rng.torch"])
    if "rng.cuda" in tensors and torch.cuda.is_available():
        torch.cuda.set_rng_state(tensors["rng.cuda"])
    name, position, has_gauss, gauss = state["rng"]["numpy"]
    np.random.set_state(
        (name, tensors["rng.numpy"].numpy().astype(np.uint32), position, has_gauss, gauss)
    )
    version, internal, gauss_next = state["rng"]["python"]
    random.setstate((version, tuple(internal), gauss_next))


def optimizer_state(
    optimizer: torch.optim.Optimizer,
) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
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
    state = read_json(inside / "state.json", DAMAGED)
    if "step" not in state or not folder.name.isdigit():
        raise UserError(
            f"{inside / 'state.json'}: no training state to resume from; start anew with another "
            "--out"
        )
    return read_tensors(inside / "tensors.safetensors"), state


def _point(folder: Path, name: str) -> None:
    """Makes `name`, beside a checkpoint folder, name that folder."""
    try:
        write_whole(folder.parent / name, folder.name + "\n")
    except OSError as error:
        raise UserError(
            f"{folder.parent / name}: not written ({error}); {_remains(folder)}"
        ) from None


def _remains(folder: Path) -> str:
    """What is left, and to do, when the checkpoint `folder` could not be written: what `last`
    names, if that is whole.
    """
    pointer = folder.parent / "last"
    kept = folder.parent / _pointed(pointer) if pointer.is_file() else folder.parent / "none"
    files = (
        "config.json",
        "model.safetensors",
        "training_state/tensors.safetensors",
        "training_state/state.json",
    )
    if all((kept / name).is_file() for name in files):
        which = "it is whole" if kept == folder else f"the previous one, {kept.name}, is intact"
        return f"{which}: free some space and go on with --resume"
    return "there is no checkpoint yet: free some space and start again, without --resume"


def _revision() -> str:
    """The git revision of the code, or the empty string where it is not in a checkout."""
    try:
        command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
        return subprocess.run(command, capture_output=True, text=True, timeout=5).stdout.strip()
    except (OSError, subprocess.TimeoutExpired):
        return ""
