"""How a command refuses bad input: one line that says what, where and what to do, and exit code 2."""

import sys
from collections.abc import Callable


class UserError(Exception):
    """Something the user gave is wrong; the message names the file or field and the remedy."""


def check_device(device: str) -> None:
    """Refuses a torch device that this machine or build does not have."""
    import torch

    if device == "cpu" or (device == "cuda" and torch.cuda.is_available()):
        return
    here = "there is one" if torch.cuda.is_available() else "there is none"
    raise UserError(f"--device {device}: use cpu, or cuda where torch finds a CUDA device (here {here})")


def require(good: bool, message: str) -> None:
    """Raises `UserError` with the message unless `good`."""
    if not good:
        raise UserError(message)


def run_command(main: Callable[[], None]) -> None:
    """Runs a command's body; a `UserError` becomes one line on stderr and exit code 2, Ctrl-C exit code 130."""
    try:
        main()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        print("interrupted; what was saved stays saved", file=sys.stderr)
        raise SystemExit(130) from None
