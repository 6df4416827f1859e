"""How a command refuses bad input: one line that says what, where and what to do, and exit code 2.

Nothing heavy is imported here: a command that only refuses answers at once.
"""

import errno
import importlib
import os
import re
import sys
from collections.abc import Callable
from importlib import metadata
from typing import Any

REMEDIES = {
    errno.ENOSPC: "free some space and give the same command again",
    errno.EDQUOT: "free some space and give the same command again",
    errno.EFBIG: "free some space and give the same command again",
    errno.EROFS: "give a place that can be written",
    errno.EACCES: "its permissions forbid it; give another place",
    errno.EPERM: "its permissions forbid it; give another place",
    errno.ENAMETOOLONG: "give a shorter name",
    errno.EEXIST: "something else has this name (a link to nowhere, perhaps); give another",
}


class UserError(Exception):
    """Something the user gave is wrong; the message names the file or field and the remedy."""


def choose_device(device: str) -> str:
    """The torch device that `auto`, `cpu` or `cuda` means: auto is CUDA where each process of this
    machine can have a GPU.

    Raises:
        UserError: this machine, or this build of torch, has no such device.
    """
    import torch

    usable = torch.cuda.is_available()
    if device == "auto":
        own = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
        return "cuda" if usable and torch.cuda.device_count() >= own else "cpu"
    if device == "cpu" or (device == "cuda" and usable):
        return device
    here = "there is one" if usable else "there is none"
    message = (
        f"--device {device}: use auto, cpu, or cuda where torch finds a CUDA device (here {here})"
    )
    raise UserError(message)


def require(good: bool, message: str) -> None:
    """Raises `UserError` with the message unless `good`."""
    if not good:
        raise UserError(message)


def optional(module: str, what: str, extra: str, package: str = "") -> Any:
    """A module of a package that not everybody has installed.

    Args:
        module: its name, such as "viser".
        what: what needs it, such as "s2e-view".
        extra: the extra of pyproject.toml that lists the package.
        package: its name in an index, where that is another than the module's.

    Raises:
        UserError: it is not installed, or broken; says how to install it.
    """
    try:
        return importlib.import_module(module)
    except ImportError:
        raise missing(what, extra, package or module.partition(".")[0]) from None


def missing(what: str, extra: str, package: str = "") -> UserError:
    """The refusal of what needs a package that is not installed, with the command that installs it.

    Args:
        what: what needs it, such as "--physics mujoco". extra, package: see `how_to_install`.
    """
    why = sys.exception()
    broken = isinstance(why, ImportError) and not isinstance(why, ModuleNotFoundError)
    state = f"cannot be imported ({why})" if broken else "is not installed"
    return UserError(f"{what}: {package} {state}; {how_to_install(extra, package)}")


def how_to_install(extra: str, package: str) -> str:
    """What to type where a package of an extra of pyproject.toml is missing; "" is a package of no
    extra.

    It names the package itself, so that it works in a checkout and for a wheel alike:
    `pip install s2e[...]` would ask an index for a project of that name, and this one is on none.
    """
    wanted = packages_of(extra, package) or [package]
    more = f" (of the extra {extra})" if extra else ""
    return "install it with: pip install " + " ".join(f'"{name}"' for name in wanted) + more


def packages_of(extra: str, package: str) -> list[str]:
    """Requirements of a package that the installed s2e lists for an extra, such as "viser>=1.1"."""
    try:
        listed = metadata.requires("s2e") or []
    except metadata.PackageNotFoundError:  # run from a checkout that nothing installed
        return []
    split = [line.partition(";") for line in listed]
    of_extra = [
        need.strip()
        for need, _, where in split
        if re.search(rf"extra == ['\"]{re.escape(extra)}['\"]", where)
    ]
    return [need for need in of_extra if re.split(r"[^\w.-]", need)[0] == package]


def run_command(main: Callable[[], None]) -> None:
    """Runs a command's body and refuses in one line on stderr, with exit code 2.

    Refused are `UserError`, what the disk or the system refuses, names that are no UTF-8, and too
    little memory. Ctrl-C is exit code 130; a reader of the output that goes away (`| head`) ends
    the command in silence.
    """
    for stream in (sys.stdout, sys.stderr):
        # a terminal of ASCII alone gets \xe4 for what it cannot show
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")
    try:
        main()
        sys.stdout.flush()
    except UserError as error:
        _refuse(str(error))
    except BrokenPipeError:
        # so that nothing is flushed into it at the end
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        raise SystemExit(141) from None
    except OSError as error:
        if error.errno is None:
            raise
        place = (
            f"{os.fsdecode(error.filename)}: " if isinstance(error.filename, str | bytes) else ""
        )
        _refuse(
            f"{place}{error.strerror}; "
            f"{REMEDIES.get(error.errno, 'check the path, or give another')}"
        )
    except UnicodeEncodeError as error:
        _refuse(
            f"{error.object!r}: a name with bytes that are no UTF-8, which cannot be used here; "
            "rename it"
        )
    except MemoryError as error:
        _refuse(
            f"not enough memory ({error or 'none is left'}); ask for less at once (--envs, --batch)"
        )
    except KeyboardInterrupt:
        print("interrupted; what was saved stays saved", file=sys.stderr)
        raise SystemExit(130) from None


def _refuse(message: str) -> None:
    print(f"error: {message}", file=sys.stderr)
    raise SystemExit(2) from None
