"""`s2e-export`: a policy out of the door.

    s2e-export RUN --onnx FILE.onnx     two graphs: FILE.onnx (frames in) and FILE_step.onnx (one
                                        frame and kept tokens)
    s2e-export RUN --folder OUT --half  a folder to share: weights, config.json, model card
    s2e-export RUN --folder OUT --push owner/name

RUN is anything that `s2e.load_policy` takes. Graphs are compared with torch before they are
written, and timed.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import tyro

from s2e.core.commandline import parse
from s2e.core.errors import require, run_command
from s2e.policy import hub


@dataclass(frozen=True)
class ExportArgs:
    """Write a policy as ONNX graphs or as a folder to share."""

    run: tyro.conf.Positional[str]
    """A run, checkpoint or exported folder, a shipped policy's name, or owner/name on Hugging
    Face."""
    onnx: Path | None = None
    """Where the graph from frames to trajectories goes; the one with kept tokens goes beside it, as
    NAME_step.onnx."""
    folder: Path | None = None
    """Where the folder to share goes."""
    half: bool = False
    """Store the policy's matrices in float16, beside a float32 encoder: the same trajectories to
    about a millimetre."""
    push: str = ""
    """Upload the folder to this Hugging Face repository (owner/name); a new one is private."""
    license: str = "apache-2.0"
    """The weights' licence, for the model card."""
    runs: int = 50
    """Calls that each latency is the median of; 0 measures none."""


def check_words(args: ExportArgs) -> None:
    """Refuses options that cannot work.

    Raises:
        UserError: naming the option and what it may be.
    """
    require(
        args.onnx is not None or args.folder is not None,
        "nothing to export; give --onnx FILE.onnx, --folder OUT, or both",
    )
    require(
        args.onnx is None or args.onnx.suffix == ".onnx",
        f"--onnx {args.onnx}: give a name that ends in .onnx",
    )
    require(
        args.folder is not None or not (args.half or args.push),
        "--half and --push are about --folder; give it as well",
    )
    require(args.runs >= 0, f"--runs is {args.runs}; it must not be negative")
    identifier = re.fullmatch(r"[a-z0-9][a-z0-9.+-]*", args.license) is not None
    require(identifier, f"--license {args.license}: an identifier such as apache-2.0")
    require(
        not args.push or hub.is_name(args.push),
        f"--push {args.push}: not a Hugging Face repository; owner/name is",
    )


def main() -> None:
    """Entry point of `s2e-export`."""
    run_command(_main)


def _main() -> None:
    args = parse(ExportArgs, __doc__ or "")
    check_words(args)
    from s2e.policy.export import export  # torch: imported once the options are right

    export(args)
