"""What fits into memory, found out before it is asked for."""

import resource
from pathlib import Path

from s2e.core.errors import UserError

GIB = 1 << 30


def available_bytes() -> int | None:
    """Bytes that this process can still take: of the machine, its container and its own limit the
    least; None where nothing says.
    """
    found = [_of_machine(), _of_container()]
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit != resource.RLIM_INFINITY:
        found.append(limit)
    known = [value for value in found if value is not None]
    return min(known, default=None)


def require_memory(option: str, count: int, each: float, rest: float = 0.0) -> None:
    """Refuses a count that memory cannot hold, saying how much it needs and what fits.

    Args:
        option: what the count was given by, such as "--envs". count: how many. each: bytes of one.
            rest: bytes of all else.

    Raises:
        UserError: it does not fit.
    """
    free = available_bytes()
    needed = count * each + rest
    if free is None or needed <= free:
        return
    fits = max(0, int((free - rest) / each))
    most = f"give at most {_round(fits)}" if fits else "too little even for one"
    raise UserError(
        f"{option} {count} needs some {needed / GIB:,.1f} GiB of memory, and {free / GIB:.1f} GiB "
        f"are free: {most}"
    )


def _round(count: int) -> int:
    """A count with two digits that say something, rounded down."""
    unit = 10 ** max(0, len(str(count)) - 2)
    return count // unit * unit


def _of_machine() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return next(
            (int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")),
            None,
        )
    except (OSError, ValueError, IndexError):
        return None


def _of_container() -> int | None:
    """What a control group (version 2) leaves; files that are cached count as free."""
    here = Path("/sys/fs/cgroup")
    try:
        most, used = (
            (here / name).read_text().strip() for name in ("memory.max", "memory.current")
        )
        if most == "max":
            return None
        stat = dict(line.split() for line in (here / "memory.stat").read_text().splitlines())
        return int(most) - int(used) + int(stat.get("inactive_file", 0))
    except (OSError, ValueError):
        return None
