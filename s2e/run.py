"""A run is a folder: config.json, metrics.jsonl, TensorBoard events, checkpoints/, and what was printed."""

import json
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np

from s2e.checkpoint import read_json
from s2e.errors import UserError


class Run:
    """The folder of one training run, opened for writing by rank 0.

    Args:
        folder: where the run lives.
        config: what to write to config.json; when resuming it must equal what is there.
        resume: continue what the folder holds.
        resume_at: with `resume`, the step that the run continues from; metrics logged after it are dropped.
    """

    def __init__(self, folder: Path, config: dict[str, Any], resume_at: int | None = None, write: bool = True):
        self.folder, self.write = folder, write
        if not write:
            return
        from torch.utils.tensorboard.writer import SummaryWriter

        try:
            folder.mkdir(parents=True, exist_ok=True)
            self.metrics = folder / "metrics.jsonl"
            if resume_at is None:
                (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
                self.metrics.write_text("")
            else:
                logged = self.metrics.read_text().splitlines() if self.metrics.exists() else []
                kept = [x for x in logged if _step_of(x) <= resume_at]
                self.metrics.write_text("".join(f"{x}\n" for x in kept))
            self.events = SummaryWriter(str(folder), purge_step=None if resume_at is None else resume_at + 1)
        except OSError as error:
            raise UserError(f"{folder}: the run folder cannot be written ({error}); give another --out") from None

    def log(self, step: int, values: dict[str, float]) -> None:
        """Appends one line of metrics and the same numbers to TensorBoard."""
        if not self.write:
            return
        with self.metrics.open("a") as file:
            file.write(json.dumps({"step": step, **{k: float(v) for k, v in values.items()}}) + "\n")
        for name, value in values.items():
            self.events.add_scalar(name, value, step)

    def picture(self, step: int, name: str, image: np.ndarray) -> None:
        """Shows (H, W, 3) uint8 in TensorBoard."""
        if self.write:
            self.events.add_image(name, image, step, dataformats="HWC")

    def say(self, text: str) -> None:
        """Prints and keeps what was printed in `printed.txt`."""
        if not self.write:
            return
        print(text, flush=True)
        with (self.folder / "printed.txt").open("a") as file:
            file.write(text + "\n")

    def close(self) -> None:
        """Flushes TensorBoard."""
        if self.write:
            self.events.close()


class Interrupt:
    """Turns the first Ctrl-C into a flag, so that the step in hand is finished and saved; the second stops at once."""

    def __init__(self) -> None:
        self.asked = False
        self.former: Any = None

    def __enter__(self) -> "Interrupt":
        self.former = signal.signal(signal.SIGINT, self._ask)
        return self

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGINT, self.former)

    def _ask(self, *_: object) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
        print("\nfinishing this step and saving; Ctrl-C again stops at once", file=sys.stderr, flush=True)


def check_out(folder: Path, resume: bool) -> None:
    """Refuses to overwrite a run by accident, and to resume one that is not there."""
    exists = (folder / "checkpoints" / "last").exists()
    if resume and not exists:
        raise UserError(f"{folder}: nothing to resume (no checkpoints/last); start without --resume")
    if not resume and exists:
        raise UserError(f"{folder}: holds a run already; give another --out, delete it, or continue it with --resume")


def same_config(folder: Path, config: dict[str, Any], may_differ: tuple[str, ...]) -> None:
    """A resumed run must be asked for what it was started with, except for the fields in `may_differ`."""
    before = read_json(folder / "config.json")
    for name in config:
        if name not in may_differ and before.get(name) != json.loads(json.dumps(config[name])):
            raise UserError(f"--resume {folder}: {name} was {before.get(name)!r} and is now {config[name]!r}; use the former")


def _step_of(line: str) -> int:
    try:
        return int(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return 1 << 62  # a line cut by a kill goes away
