"""What a user may say about data that do not say it themselves; the same words for every format."""

import math
from dataclasses import dataclass

from s2e.core.errors import require

ASSUMED_HZ = 10.0
LEAST_HZ, MOST_HZ = 0.1, 1000.0


@dataclass(frozen=True)
class ReadOptions:
    """How to read a dataset."""

    hz: float | None = None
    """Frames a second of data that do not say; None is what is usual (see `rate`)."""
    image: str = ""
    """Which images, where there are several: a topic of a bag, a video or image key of a LeRobot
    dataset."""
    poses: str = ""
    """Which poses: a topic of a bag, columns of a LeRobot dataset (x,y,yaw), a poses file beside a
    video."""
    scale: float = 1.0
    """Metres per unit of the positions."""

    def rate(self, usual: float = ASSUMED_HZ) -> tuple[float, str]:
        """Frames a second of data that do not say: what the user says, else what is usual, and a
        note that it is assumed.
        """
        if self.hz is not None:
            return self.hz, ""
        return (
            usual,
            f"no times in the data: {usual:g} frames a second are assumed (--hz says another rate)",
        )


def check_reading(hz: float | None, scale: float) -> None:
    """Refuses what --hz and --scale cannot be.

    Raises:
        UserError: naming the option and what it may be.
    """
    right = hz is None or LEAST_HZ <= hz <= MOST_HZ
    require(right, f"--hz is {hz}; frames a second, {LEAST_HZ:g} to {MOST_HZ:g}")
    require(0 < scale < math.inf, f"--scale is {scale}; metres per unit, a positive number")
