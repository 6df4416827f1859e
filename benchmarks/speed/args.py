"""`s2e-speed`: how fast each part is on this machine, measured by itself.

s2e-speed                     all parts, a table
s2e-speed --only env_steps --json
s2e-speed --only ppo_ranks    two ranks against one, one thread each
"""

from dataclasses import dataclass

from s2e.core.commandline import parse
from s2e.core.errors import require, run_command


@dataclass(frozen=True)
class SpeedArgs:
    """Measure throughput."""

    only: str = ""
    """Measure one part: raster_images, splat_images, splat_large, env_steps, env_scaling, startup,
    encoder_images, ppo_steps, ppo_ranks or pretrain_samples."""
    envs: int = 256
    """Worlds of the batched parts; in ppo_ranks of each rank."""
    scenes: int = 32
    """Different streets."""
    seconds: float = 3.0
    """Time spent on each of three repetitions; the median counts."""
    json: bool = False
    """Print a JSON list instead of a table."""


def check_words(args: SpeedArgs) -> None:
    """Refuses numbers that cannot work.

    Raises:
        UserError: naming the option and what it may be.
    """
    require(args.envs >= 1 and args.scenes >= 1, "--envs and --scenes must be at least 1")
    require(0 < args.seconds < 3600, f"--seconds is {args.seconds}; above 0, below 3600")


def main() -> None:
    """Entry point of `s2e-speed`."""
    run_command(_main)


def _main() -> None:
    args = parse(SpeedArgs, __doc__ or "")
    check_words(args)
    # torch and the worlds: imported once the options are right
    from s2e.benchmarks.speed.command import speed

    speed(args)
