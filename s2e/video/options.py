"""What a user may say about data that do not say it themselves; the same words for every format."""

from dataclasses import dataclass

ASSUMED_HZ = 10.0


@dataclass(frozen=True)
class ReadOptions:
    """How to read a dataset."""

    hz: float | None = None
    """Frames a second of data that do not say; None is what is usual (see `rate`)."""
    image: str = ""
    """Which images, where there are several: a topic of a bag, a video or image key of a LeRobot dataset."""
    poses: str = ""
    """Which poses: a topic of a bag, columns of a LeRobot dataset (x,y,yaw), a poses file beside a video."""
    scale: float = 1.0
    """Metres per unit of the positions."""

    def rate(self, usual: float = ASSUMED_HZ) -> tuple[float, str]:
        """Frames a second of data that do not say: what the user says, else what is usual, and a note that it is assumed."""
        if self.hz is not None:
            return self.hz, ""
        return usual, f"no times in the data: {usual:g} frames a second are assumed (--hz says another rate)"
