"""A run is a folder: config.json, metrics.jsonl, TensorBoard events, checkpoints/, and what was
printed.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from s2e.core.errors import UserError
from s2e.core.files import parse_json, read_json, write_whole
from s2e.core.lock import hold, release

ROOM_MB = 64.0
"""What a run needs on the disk at least: two checkpoints."""


class Run:
    """The folder of one training run, opened for writing by rank 0 and locked against other
    processes.

    Args:
        folder: where the run lives.
        config: what to write to config.json; when resuming it must equal what is there.
        resume: continue what the folder holds.
        resume_at: with `resume`, the step that the run continues from; metrics logged after it are
            dropped.
    """

    def __init__(
        self, folder: Path, config: dict[str, Any], resume_at: int | None = None, write: bool = True
    ):
        self.folder, self.write = folder, write
        if not write:
            return
        from torch.utils.tensorboard.writer import SummaryWriter

        hold(folder)
        try:
            self.metrics = folder / "metrics.jsonl"
            if resume_at is None:
                for left in (folder / "printed.txt", *folder.glob("events.out.tfevents.*")):
                    # by a run that was killed before its first checkpoint
                    left.unlink(missing_ok=True)
                (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
                self.metrics.write_text("")
            else:
                logged = self.metrics.read_text().splitlines() if self.metrics.exists() else []
                kept = [x for x in logged if _step_of(x) <= resume_at]
                # at once: a kill in between must not take what was logged
                write_whole(self.metrics, "".join(f"{x}\n" for x in kept))
            self.events = SummaryWriter(
                str(folder), purge_step=None if resume_at is None else resume_at + 1
            )
        except OSError as error:
            raise UserError(
                f"{folder}: the run folder cannot be written ({error}); give another --out"
            ) from None

    def log(self, step: int, values: dict[str, float]) -> None:
        """Appends one line of metrics and the same numbers to TensorBoard."""
        if not self.write:
            return
        self._append(
            "metrics.jsonl", json.dumps({"step": step, **{k: float(v) for k, v in values.items()}})
        )
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
        self._append("printed.txt", text)

    def _append(self, name: str, line: str) -> None:
        try:
            with (self.folder / name).open(
                "a", encoding="utf-8", errors="backslashreplace"
            ) as file:
                file.write(line + "\n")
        except OSError as error:
            saved = (self.folder / "checkpoints" / "last").exists()
            then = "go on with --resume" if saved else "start again: there is no checkpoint yet"
            raise UserError(
                f"{self.folder / name}: not written ({error}); free some space and {then}"
            ) from None

    def close(self) -> None:
        """Flushes TensorBoard and gives up the folder."""
        if self.write:
            self.events.close()
            release(self.folder)


class Interrupt:
    """Turns the first Ctrl-C or SIGTERM into a flag, so that the step in hand is finished and
    saved; the second stops at once.

    SIGTERM is what schedulers, containers and `torchrun` send before they kill. Where a scheduler
    tells every process and `torchrun` passes it on, it arrives twice: what comes within a second of
    the first is the first. For the main thread alone, as signals are.
    """

    SIGNALS = (signal.SIGINT, signal.SIGTERM)
    SAME_S = 1.0

    def __init__(self) -> None:
        self.asked, self.asked_at = False, 0.0
        self.former: list[Any] = []

    def __enter__(self) -> "Interrupt":
        self.former = [signal.signal(number, self._ask) for number in self.SIGNALS]
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in zip(self.SIGNALS, self.former, strict=True):
            signal.signal(number, handler)

    def _ask(self, number: int, _: object) -> None:
        if self.asked:
            if number == signal.SIGTERM and time.monotonic() - self.asked_at < self.SAME_S:
                return
            raise KeyboardInterrupt
        self.asked, self.asked_at = True, time.monotonic()
        again = "Ctrl-C again" if number == signal.SIGINT else "a second signal"
        print(
            f"\nfinishing this step and saving; {again} stops at once", file=sys.stderr, flush=True
        )


def check_out(folder: Path, resume: bool) -> None:
    """Takes a run's folder for this process (rank 0) until it ends; see `hold`.

    Raises:
        UserError: it holds a run already and `resume` is not asked for, or it is and there is none;
            another process writes there.
    """
    last = folder / "checkpoints" / "last"
    if resume and not last.exists():
        raise UserError(
            f"{folder}: nothing to resume (no checkpoints/last); start without --resume"
        )
    if int(os.environ.get("RANK", "0")) == 0:
        hold(folder, ROOM_MB)
    if not resume and last.exists():
        raise UserError(
            f"{folder}: holds a run already; give another --out, delete it, or continue it with "
            "--resume"
        )


def same_config(folder: Path, config: dict[str, Any], may_differ: tuple[str, ...]) -> None:
    """A resumed run must be asked for what it was started with, except for the fields in
    `may_differ`.
    """
    before = read_json(folder / "config.json", "restore the file, or start anew with another --out")
    for name in config:
        if name not in may_differ and before.get(name) != json.loads(json.dumps(config[name])):
            raise UserError(
                f"--resume {folder}: {name} was {before.get(name)!r} and is now {config[name]!r}; "
                "use the former"
            )


def _step_of(line: str) -> int:
    try:
        return int(parse_json(line)["step"])
    except (ValueError, KeyError, TypeError):
        return 1 << 62  # a line cut by a kill goes away
