"""What a user may say about data that do not say it themselves; the same words for every format."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ReadOptions:
    """How to read a dataset."""

    hz: float = 10.0
    """Frames a second of data that do not say."""
    image: str = ""
    """Which images, where there are several: a topic of a bag, a video or image key of a LeRobot dataset."""
    poses: str = ""
    """Which poses: a topic of a bag, columns of a LeRobot dataset (x,y,yaw), a poses file beside a video."""
    scale: float = 1.0
    """Metres per unit of the positions."""
