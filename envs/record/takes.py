"""What recordings share: they are made of takes, and their folder says in `record.json` which are
whole.

A take follows from the settings and its number alone, so one that was cut off is made again, to the
same bytes.
"""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from s2e.core.errors import UserError
from s2e.core.files import PART, read_json, write_whole
from s2e.core.lock import LOCK

STATE = "record.json"
RESUME = "free some space and go on with --resume, or give another --out"
"""What to do where a recording cannot be written."""


def read_state(
    out: Path, settings: Any, resume: bool, fields: Mapping[str, type], what: str = "walks"
) -> dict[str, Any]:
    """The state of the recording in a folder, or that of a new one: its settings, and what each
    take holds.

    Args:
        out: the folder.
        settings: the dataclass that the recording follows from.
        resume: whether a recording of the same settings may be there.
        fields: what is noted of each take beside `whole`, and its type.
        what: what is recorded, for messages.

    Raises:
        UserError: the folder is not empty and nothing is to be resumed, or holds another recording.
    """
    file, mine = out / STATE, dataclasses.asdict(settings)
    if resume and file.is_file():
        state = _checked(file, {"whole": bool, **fields})
        for name, value in mine.items():
            if state["settings"].get(name) != value:
                option = name.replace("_", "-")
                raise UserError(
                    f"{file}: recorded with --{option} {state['settings'].get(name)}, not {value}"
                )
        return state
    nothing = (LOCK, STATE + PART)  # the latter of a recording that was killed while it began
    if out.exists() and any(p.name not in nothing for p in out.iterdir()):
        wrong = f"no recording to resume ({STATE} is missing)" if resume else "not empty"
        more = "" if resume else ", or --resume to go on with a recording"
        raise UserError(f"{out}: {wrong}; give a new folder for the {what}{more}")
    return {"settings": mine, "takes": []}


def _checked(file: Path, fields: Mapping[str, type]) -> dict[str, Any]:
    try:
        state = read_json(file, "record into a new folder")
        good = isinstance(state["settings"], dict) and all(
            isinstance(take[key], kind) for take in state["takes"] for key, kind in fields.items()
        )
    except (KeyError, TypeError) as error:
        raise UserError(
            f"{file}: not the state of a recording ({error!r}); record into a new folder"
        ) from None
    if not good:
        raise UserError(f"{file}: not the state of a recording; record into a new folder")
    return state


def begin(out: Path, state: dict[str, Any]) -> None:
    """Prepares the folder for the next take; the last one is forgotten where it ended early, with
    frames enough.
    """
    out.mkdir(parents=True, exist_ok=True)
    if state["takes"] and not state["takes"][-1]["whole"]:
        state["takes"].pop()
    write_state(out / STATE, state)


def write_state(file: Path, state: Mapping[str, Any]) -> None:
    """Writes JSON so that, whatever happens, the old or the new file is there, whole."""
    write_whole(file, json.dumps(state) + "\n")


def take_seed(seed: int, number: int) -> int:
    """What everything in a take is drawn from."""
    return int(np.random.SeedSequence([seed, 23, number]).generate_state(1)[0])
