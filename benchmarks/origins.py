"""Where a policy comes from: which run or export, when, and by what command, as far as its files
say.
"""

import math
import re
import shlex
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from s2e.core.commandline import NOT_TAKEN, RECORDS
from s2e.core.errors import UserError
from s2e.core.files import read_json
from s2e.policy.checkpoint import DAMAGED, find_checkpoint, shipped_policies

COMMANDS = {"data": "s2e-pretrain", "envs": "s2e-ppo"}
"""Which command has a setting that no other has."""
NO_OPTIONS = (*RECORDS, *NOT_TAKEN, "step")
"""What the settings of a run hold beside options, and what was said to go on with it."""
SHORT = ("data", "stills", "init", "sense", "scene", "out", "envs", "steps", "seed")
"""What tells runs apart at a glance."""


@dataclass(frozen=True)
class Origin:
    """What is known of how a policy was made; what is not known is empty.

    Attributes:
        source: the run and its checkpoint, or the exported folder.
        when: when the weights were written.
        short: the command with the options of `SHORT`. command: with all of them, but for those
            that are empty.
        about: what its card says it is.
    """

    source: str
    when: str = ""
    short: str = ""
    command: str = ""
    about: str = ""


def origin_of(policy: str) -> Origin | None:
    """What the files of a run, checkpoint, export or shipped policy say of how it was made; None
    where there are none.
    """
    try:
        folder = find_checkpoint(policy)
    except UserError:
        return None
    config = _json(folder / "config.json")
    if "exported_by" in config:
        shipped = policy if policy in shipped_policies() and not Path(policy).is_dir() else ""
        source = f"{shipped}, shipped with s2e" if shipped else str(folder)
        when = "" if shipped else _written(folder / "model.safetensors")
        commands = _commands(config.get("training"))
        return Origin(
            f"{source}; exported by {config['exported_by']}",
            when,
            *commands,
            _card(folder / "README.md"),
        )
    run = folder.parent.parent if folder.parent.name == "checkpoints" else folder
    state = _json(folder / "training_state" / "state.json")
    source = str(run) if run == folder else f"{run}, checkpoint {folder.name}"
    revision = state.get("revision")
    if isinstance(revision, str) and revision:
        source += f", by revision {revision[:10]}"
    settings = _json(run / "config.json") if run != folder else {}
    return Origin(source, _written(folder / "model.safetensors"), *_commands(settings))


def _json(path: Path) -> dict[str, Any]:
    """An object of a JSON file; an empty one where it cannot be read, since nothing depends on
    it.
    """
    try:
        return read_json(path, DAMAGED)
    except UserError:
        return {}


def _written(path: Path) -> str:
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(path.stat().st_mtime))


def _commands(settings: Any) -> tuple[str, str]:
    """The command that has such settings: with the options that tell runs apart, and with all;
    empty where it is not known.
    """
    if not isinstance(settings, Mapping):
        return "", ""
    name = next((command for key, command in COMMANDS.items() if key in settings), "")
    if not name:
        return "", ""
    given = {
        key: _option(str(key), value) for key, value in settings.items() if key not in NO_OPTIONS
    }
    ranks = settings.get("world_size")
    launcher = (
        f"torchrun --nproc-per-node {ranks} -m " if isinstance(ranks, int) and ranks > 1 else ""
    )
    module = (
        {"s2e-pretrain": "s2e.pretrain.train", "s2e-ppo": "s2e.rl.train"}[name]
        if launcher
        else name
    )
    short, full = (
        " ".join([module, *filter(None, words)])
        for words in ([given.get(k) for k in SHORT], given.values())
    )
    return launcher + short, launcher + full


def _option(name: str, value: Any) -> str:
    """One option as it is typed; nothing for what is not set."""
    flag = "--" + re.sub(r"[^\w-]", "", name).replace("_", "-")
    if isinstance(value, bool):
        return flag if value else "--no-" + flag[2:]
    values = list(value) if isinstance(value, list | tuple) else [value]
    if (
        value is None
        or value == ""
        or not values
        or any(isinstance(v, float) and math.isnan(v) for v in values)
    ):
        return ""
    return " ".join([flag, *(shlex.quote(str(v)) for v in values)])


def _card(path: Path) -> str:
    """The first paragraph of a model card below its heading."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")[:20_000]
    except OSError:
        return ""
    text = re.sub(r"\A---\n.*?\n---\n", "", text, flags=re.DOTALL)
    parts = [
        part
        for part in re.split(r"\n\s*\n", text)
        if part.strip() and not part.lstrip().startswith(("#", "```"))
    ]
    return " ".join(parts[0].split()) if parts else ""
