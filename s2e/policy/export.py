"""`s2e-export`: a policy out of the door; what it can be asked for is in `export_args.py`."""

import json
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

import s2e
from s2e.core.errors import UserError, require
from s2e.core.files import json_lines, read_json, whole_folder
from s2e.core.lock import check_place
from s2e.core.templates import fill
from s2e.policy import graphs, hub
from s2e.policy.checkpoint import (
    DAMAGED,
    find_checkpoint,
    load_networks,
    policy_state,
    read_tensors,
)
from s2e.policy.config import PolicyConfig
from s2e.policy.encoder import VisualNet
from s2e.policy.export_args import ExportArgs, check_words, main
from s2e.policy.network import S2EPolicy

SAMPLES = 8  # rows to compare graphs and folders on


def export_onnx(policy: S2EPolicy, net: VisualNet, path: Path, runs: int) -> None:
    """Writes both graphs and says how far they are from torch, and how fast."""
    require(path.suffix == ".onnx", f"--onnx {path}: give a name that ends in .onnx")
    places = {"whole": path, "step": path.with_name(f"{path.stem}_step.onnx")}
    for place in places.values():
        graphs.refuse_foreign(place)
    samples = graphs.sample_inputs(policy.config, SAMPLES)
    whole, step = graphs.Whole(policy, net).eval(), graphs.Step(policy, net).eval()
    inputs = {"whole": samples, "step": graphs.step_inputs(whole, samples)}
    modules = {"whole": whole, "step": step}
    written = {kind: graphs.traced(module, inputs[kind]) for kind, module in modules.items()}
    told = {
        kind: graphs.check_parity(written[kind], modules[kind], inputs[kind], str(places[kind]))
        for kind in modules
    }
    for kind, place in places.items():
        graphs.write_graph(place, written[kind])
        print(
            f"{place}: {len(written[kind]) / 1e6:.1f} MB, {told[kind]} ({SAMPLES} rows, all "
            "outputs)"
        )
    if runs:
        print(graphs.latency_table(written, modules, inputs, runs))


def export_folder(
    source: str | Path, out: Path, half: bool = False, licence: str = "apache-2.0"
) -> Path:
    """Writes a folder to share, whole or not at all, and says how far what it gives is from the
    source.

    Raises:
        UserError: `out` holds something else; weights do not fit float16; the disk is full.
    """
    out = Path(os.path.abspath(out))
    _refuse_foreign(out)
    checkpoint = find_checkpoint(source)
    rays = read_json(checkpoint / "config.json", DAMAGED).get("rays")
    networks = None if rays else load_networks(checkpoint)
    whole = policy_state(*networks) if networks else read_tensors(checkpoint / "model.safetensors")
    tensors = stored(whole, half)
    config = shared_config(
        checkpoint, {"policy": networks[0].config.to_dict()} if networks else {"rays": rays}
    )
    try:
        with whole_folder(out) as made:
            (made / "config.json").write_text(json.dumps(config, indent=2) + "\n")
            save_file(tensors, made / "model.safetensors")
            card = model_card if networks else rays_card
            (made / "README.md").write_text(
                card(out.name, config, tensors, licence),
                encoding="utf-8",
                errors="backslashreplace",
            )
            worst = _difference(networks, load_networks(made)) if networks else 0.0
            for path in (*made.iterdir(), made):  # to share, whatever the umask
                path.chmod(0o755 if path.is_dir() else 0o644)
            _refuse_foreign(out)
    except (OSError, SafetensorError) as error:
        raise UserError(
            f"{out}: not written ({error}); free some space, or give another --folder"
        ) from None
    size = sum(p.stat().st_size for p in out.iterdir()) / 1e6
    print(
        f"{out}: {size:.1f} MB"
        + (
            f"; read back, its waypoints are within {worst * 1e3:.2g} mm of the source's"
            if networks
            else ""
        )
    )
    return out


def stored(tensors: dict[str, torch.Tensor], half: bool) -> dict[str, torch.Tensor]:
    """Weights as they go into the file.

    In half precision all matrices are float16: an encoder's kernels then move waypoints by a
    millimetre or two, the policy's by 0.3 mm. Vectors, which are small, stay float32.
    """
    kept = {}
    for name, tensor in tensors.items():
        value = tensor.detach().cpu().contiguous().clone()
        if half and value.dtype == torch.float32 and value.ndim > 1:
            value = value.half()
            require(
                bool(value.isfinite().all()),
                f"--half: {name} has values beyond float16's range; export without --half",
            )
        kept[name] = value
    return kept


def shared_config(checkpoint: Path, shape: dict[str, Any]) -> dict[str, Any]:
    """What an exported config.json says: the network's `shape`, how it was trained and what it
    measured, without private paths.
    """
    own = read_json(checkpoint / "config.json", DAMAGED)
    run = checkpoint.parent.parent
    # an exported folder's own
    told = {key: own[key] for key in ("training", "measured", "printed") if key in own}
    if checkpoint.parent.name == "checkpoints" and (run / "config.json").is_file():
        step = int(checkpoint.name) if checkpoint.name.isdigit() else 0
        training = _public(read_json(run / "config.json", DAMAGED))
        # what the run printed and measured at its end is about this one
        chosen = find_checkpoint(run).name == checkpoint.name
        told = {"training": {**training, "step": step}, "measured": _measured(run, step, chosen)}
        told |= {"printed": _printed(run)} if chosen else {}
    return {
        "exported_by": f"s2e {s2e.__version__}",
        "stage": own.get("stage", "unknown"),
        **told,
        **shape,
    }


def _public(value: Any) -> Any:
    """A JSON value with absolute paths cut to their last part: where things lie on a machine is
    nobody else's business.
    """
    if isinstance(value, dict):
        return {str(k): _public(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_public(v) for v in value]
    if isinstance(value, str) and re.match(r"/|~|\.\.|[A-Za-z]:[\\/]", value):
        return re.split(r"[\\/]", value.rstrip("\\/"))[-1]
    return value


def _measured(run: Path, step: int, chosen: bool) -> dict[str, float]:
    """What a run measured rather than optimised: the newest values up to a step, and held-out
    metrics, which come at its end.
    """
    found: dict[str, float] = {}
    try:
        logged = list(json_lines((run / "metrics.jsonl").read_bytes()))
    except OSError:
        return {}
    for values in logged:
        try:
            kinds = (
                ("held_out", "validation", "episode")
                if int(values.pop("step")) <= step
                else ("held_out",)
                if chosen
                else ()
            )
            found |= {
                k: float(v)
                for k, v in values.items()
                if k.split("/")[0] in kinds and not k.endswith(("_low", "_high"))
            }
        except (ValueError, KeyError, TypeError):
            continue
    return {k: round(v, 4) for k, v in found.items() if np.isfinite(v)}


def _printed(run: Path) -> list[str]:
    """The last lines that a run printed, without those that name a place on a disk."""
    try:
        lines = (run / "printed.txt").read_text().splitlines()
    except (OSError, ValueError):
        return []
    place = re.compile(r"(^|[\s:])(/|~/|\.\./|\w:\\)|^(checkpoint|pictures):")
    return [x.replace("```", "")[:160] for x in lines[-24:] if x.strip() and not place.search(x)]


def model_card(
    name: str, config: dict[str, Any], tensors: dict[str, torch.Tensor], licence: str
) -> str:
    """README.md of an exported folder, with the front matter that Hugging Face reads."""
    policy = PolicyConfig.from_dict(config["policy"], "config.json")
    count = {
        part: sum(v.numel() for k, v in tensors.items() if k.startswith(part)) / 1e6
        for part in ("policy.", "encoder.")
    }
    kept = (
        "float16 and float32"
        if any(v.dtype == torch.float16 for v in tensors.values())
        else "float32"
    )
    sight = {
        "columns": "columns of its features",
        "grid": "a grid of its features",
        "pooled": "one pooled feature",
    }[policy.newest]
    stage = {
        "pretrain": "pretrained on navigation video",
        "ppo": "pretrained on navigation video, fine-tuned by PPO in simulation",
    }
    seconds = policy.waypoints * policy.waypoint_dt_s
    return fill(
        Path(__file__).with_name("card.md"),
        name=name,
        licence=licence,
        version=s2e.__version__,
        stage=stage.get(config["stage"], "trained in a way that is not known"),
        encoder=Path(policy.encoder).name,
        stride=policy.stride,
        sight=sight,
        millions=count["policy."],
        seen=count["encoder."],
        kept=kept,
        dim=policy.dim,
        layers=f"{policy.encoder_layers} + {policy.decoder_layers}",
        history=policy.history,
        spacing=policy.frame_spacing_s,
        size=f"{policy.height_px}x{policy.width_px}",
        clip=policy.goal_clip_m,
        anchors=policy.anchors,
        waypoints=policy.waypoints,
        seconds=seconds,
        training=_training_text(config),
        measured=_measured_text(config),
    )


def rays_card(
    name: str, config: dict[str, Any], tensors: dict[str, torch.Tensor], licence: str
) -> str:
    """README.md of an exported policy that sees rays."""
    rays, millions = config["rays"], sum(v.numel() for v in tensors.values()) / 1e6
    memory = (
        f"the nearest of what it saw in the last {0.4 * rays['memory']:.1f} s in 32 directions"
        if rays["memory"]
        else "no memory"
    )
    return fill(
        Path(__file__).with_name("rays_card.md"),
        name=name,
        licence=licence,
        version=s2e.__version__,
        robots=", ".join(rays["robots"]),
        rays=rays["rays"],
        reach=rays["reach_m"],
        memory=memory,
        millions=millions,
        training=_training_text(config),
        measured=_measured_text(config),
    )


def _training_text(config: dict[str, Any]) -> str:
    training = config.get("training")
    if not training:
        return "Not known: exported from a checkpoint without its run."
    hidden = ("out", "resume", "save_every", "device")
    rows = [
        f"| {k} | {_cell(v)} |"
        for k, v in training.items()
        if v not in (None, "") and k not in hidden
    ]
    return "\n".join(["| setting | value |", "|---|---|", *rows])


def _measured_text(config: dict[str, Any]) -> str:
    parts = []
    if config.get("measured"):
        rows = [f"| {k} | {_cell(v)} |" for k, v in config["measured"].items()]
        parts.append("\n".join(["| metric | value |", "|---|---|", *rows]))
    if config.get("printed"):
        parts.append("What the run printed last:\n\n```\n" + "\n".join(config["printed"]) + "\n```")
    return (
        "\n\n".join(parts)
        or "Nothing is known; measure it on your own walks and in `s2e-bench` before you rely "
        "on it."
    )


def _cell(value: Any) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return text.replace("|", "/").replace("\n", " ")[:160]


def _difference(first: tuple[S2EPolicy, VisualNet], second: tuple[S2EPolicy, VisualNet]) -> float:
    """Metres between the waypoints of two policies, at most, on drawn streets."""
    samples = graphs.sample_inputs(first[0].config, SAMPLES)
    one, other = (graphs.in_torch(graphs.Whole(*pair), samples)[0] for pair in (first, second))
    return float(np.abs(one - other).max())


def _refuse_foreign(out: Path) -> None:
    """Only an empty folder, or what an export left, is replaced."""
    if not out.exists() and not out.is_symlink():
        return
    require(
        out.is_dir() and not out.is_symlink(), f"--folder {out}: not a folder; give another name"
    )
    strange = sorted(p.name for p in out.iterdir() if p.name not in hub.FILES or not p.is_file())
    require(
        not strange,
        f"--folder {out}: holds {', '.join(strange[:3])}, which no export wrote; give another name "
        "or an empty folder",
    )
    marks = {"config.json": '"exported_by": "s2e', "README.md": "library_name: s2e"}
    for name, mark in marks.items():
        if (out / name).is_file():
            with (out / name).open("rb") as file:
                require(
                    mark.encode() in file.read(4096),
                    f"--folder {out}: its {name} is not of an export; give another name",
                )


def export(args: ExportArgs) -> None:
    """The whole command."""
    check_words(args)
    if args.onnx is not None:
        check_place(args.onnx.parent, "--onnx")
    if args.folder is not None:
        check_place(args.folder.absolute().parent, "--folder")
    if args.push:
        hub.library()  # before the work: without it nothing could be uploaded
    if args.onnx is not None:
        export_onnx(*load_networks(args.run), args.onnx, args.runs)
    if args.folder is not None:
        folder = export_folder(args.run, args.folder, args.half, args.license)
        if args.push:
            print(f"{hub.push(folder, args.push)}: uploaded")


if __name__ == "__main__":
    main()
