"""A walk: what every format of navigation video becomes in memory. Frames are read when they are
asked for.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from s2e.core.errors import UserError
from s2e.core.observation import RAYS, ROBOT_FIELDS
from s2e.video.frames import Frames, resized

MIN_FRAMES = 8
MAX_SPEED = 20.0  # m/s: beyond this a walk's poses are in other units


@dataclass(frozen=True)
class Body:
    """What carried the camera, and how. NaN is unknown.

    Attributes:
        robot: its name, "" where unknown.
        length_m, width_m: footprint. v_max: m/s. omega_max: rad/s.
        camera_height_m: above the ground. camera_hfov_deg: horizontal field of view.
            camera_pitch_deg: positive looks down.
        camera_x_m: of the camera before the robot's centre.
    """

    robot: str = ""
    length_m: float = float("nan")
    width_m: float = float("nan")
    v_max: float = float("nan")
    omega_max: float = float("nan")
    camera_height_m: float = float("nan")
    camera_hfov_deg: float = float("nan")
    camera_pitch_deg: float = float("nan")
    camera_x_m: float = float("nan")

    def token(self) -> np.ndarray:
        """(len(ROBOT_FIELDS),) float32, what the policy's robot token is made of; NaN is
        unknown.
        """
        return np.array([getattr(self, name) for name in ROBOT_FIELDS], dtype=np.float32)


@dataclass(frozen=True)
class Walk:
    """One recorded walk of T frames.

    Attributes:
        name: unique in its dataset.
        source: the file or folder it came from, for messages.
        frames: T images.
        times: (T,) float64 seconds, increasing.
        position: (T, 2) float64 metres; x, y on the ground. yaw: (T,) float64 radians,
            counter-clockwise, of x forward.
        body: robot and camera.
        free_space: (T, RAYS) float32 metres from the robot's centre to the first thing at
            `RAY_ANGLES`, within `RAY_RANGE_M`, NaN where it is not known; None where there is no
            such truth.
        note: what a user should know about how it was read; facts with "; " between.
        nudged: (K, 2) float64 begin and end, on the clock of `times`, of what was done to the robot
            by others than its driver.
    """

    name: str
    source: Path
    frames: Frames
    times: np.ndarray
    position: np.ndarray
    yaw: np.ndarray
    body: Body = field(default_factory=Body)
    free_space: np.ndarray | None = None
    note: str = ""
    nudged: np.ndarray = field(default_factory=lambda: np.zeros((0, 2)))

    def __len__(self) -> int:
        return len(self.position)

    @property
    def hz(self) -> float:
        """Frames a second: the inverse of the median interval."""
        return float(1 / np.median(np.diff(self.times)))

    @property
    def notes(self) -> list[str]:
        """The facts of `note`, one by one."""
        return [fact for fact in self.note.split("; ") if fact]

    def images(self, height_px: int, width_px: int) -> Iterator[np.ndarray]:
        """All frames in order as (H, W, 3) uint8, stretched to the size asked for."""
        for image in self.frames.images(range(len(self))):
            yield resized(image, height_px, width_px)

    def part(self, which: Sequence[int] | np.ndarray, **changes: object) -> "Walk":
        """The frames `which` (increasing) of this walk as a walk."""
        index = np.asarray(which, dtype=np.int64)
        rays = None if self.free_space is None else self.free_space[index]
        cut = {
            "times": self.times[index],
            "position": self.position[index],
            "yaw": self.yaw[index],
            "free_space": rays,
        }
        return replace(self, frames=self.frames.part(index), **{**cut, **changes})


@dataclass(frozen=True)
class Skipped:
    """Something that was left out, and why.

    Attributes:
        source: the file or folder. reason: for people. walks: how many walks that is, 0 where it
            cannot be told.
    """

    source: Path
    reason: str
    walks: int = 1


def checked(walk: Walk) -> Walk:
    """Refuses what no dataset may contain; every reader returns its walks through here.

    Raises:
        UserError: too few frames; arrays that do not fit; poses or times that are not finite, or
            times not increasing; steps beyond `MAX_SPEED`.
    """
    t, where = len(walk.frames), walk.source
    shapes = walk.times.shape, walk.position.shape, walk.yaw.shape
    if shapes != ((t,), (t, 2), (t,)):
        raise UserError(
            f"{where}: {t} frames, times {shapes[0]}, position {shapes[1]} and yaw {shapes[2]} do "
            "not fit together"
        )
    if t < MIN_FRAMES:
        raise UserError(f"{where}: {t} frames with poses; {MIN_FRAMES} needed")
    bad = np.flatnonzero(
        ~(np.isfinite(walk.position).all(1) & np.isfinite(walk.yaw) & np.isfinite(walk.times))
    )
    if len(bad):
        raise UserError(
            f"{where}: {len(bad)} poses or times are not finite, the first at index {bad[0]}"
        )
    dt = np.diff(walk.times)
    if (dt <= 0).any():
        raise UserError(
            f"{where}: time stands still or runs backwards after frame {int(np.argmax(dt <= 0))}; "
            "sort the frames by time"
        )
    # Over the median interval, not each: one late stamp is no proof of other units.
    speed = np.linalg.norm(np.diff(walk.position, axis=0), axis=1).max() / np.maximum(
        np.median(dt), 1e-9
    )
    if speed > MAX_SPEED:
        raise UserError(
            f"{where}: a step of {speed:.0f} m/s at {walk.hz:.3g} Hz; give --scale 0.001 if the "
            "positions are millimetres"
        )
    if walk.free_space is not None and walk.free_space.shape != (t, RAYS):
        raise UserError(f"{where}: free_space is {walk.free_space.shape}, expected {(t, RAYS)}")
    if walk.nudged.ndim != 2 or walk.nudged.shape[1] != 2 or not np.isfinite(walk.nudged).all():
        raise UserError(f"{where}: nudged is {walk.nudged.shape}, expected (K, 2) finite seconds")
    return walk
