"""What stands beside learned policies in the benchmark: bounds of what can be driven, and drivers
that anything must beat.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from s2e.core.errors import UserError
from s2e.core.files import read_json
from s2e.envs.expert.drive import ExpertDriver, straight
from s2e.envs.rays import RayDriver, load_rays
from s2e.envs.worlds import Worlds
from s2e.policy.checkpoint import DAMAGED, find_checkpoint

Act = Callable[[dict[str, np.ndarray]], np.ndarray]
"""Maps what worlds observe to (N, 2) waypoints; baselines look at the worlds themselves instead."""


@dataclass(frozen=True)
class Baseline:
    """A driver without a camera: it reads the worlds themselves."""

    about: str
    """What it knows, for the report."""
    start: Callable[[Worlds, ExpertDriver, bool], Act]
    """Makes it drive worlds that have just begun their episodes; the expert is one of these worlds.
    The last says whether a policy is helped out of jams."""
    files: Callable[[], tuple[Path, ...]] = tuple
    """Its weights: other contents are another question."""
    check: Callable[[str], object] = str
    """Refuses a robot that it cannot drive, by its name."""


def _zero(worlds: Worlds, *_: object) -> Act:
    return lambda _: np.zeros((worlds.count, 2))


def _straight(worlds: Worlds, *_: object) -> Act:
    return lambda _: straight(worlds)


def _expert(worlds: Worlds, expert: ExpertDriver, _: bool) -> Act:
    expert.begin(np.arange(worlds.count))
    return lambda _: expert.act()


def rays(policy: str) -> Baseline:
    """The ray policy that a name or a path stands for."""

    def start(worlds: Worlds, _: ExpertDriver, recovery: bool) -> Act:
        driver = RayDriver(worlds, load_rays(policy, worlds.config.robots), recovery)
        driver.begin(np.arange(worlds.count))
        return lambda _: driver.act()

    return Baseline(
        "sees exact distances inside the camera's field of view, and no image: what can be driven "
        "through that camera",
        start,
        files=lambda: tuple(
            find_checkpoint(policy) / name for name in ("config.json", "model.safetensors")
        ),
        check=lambda robot: load_rays(policy, (robot,)),
    )


BASELINES = {
    "zero": Baseline("stands still", _zero),
    "straight": Baseline("drives straight at the goal at 1 m/s and sees nothing", _straight),
    "rays": rays("rays"),
    "expert": Baseline("sees the whole map and everybody", _expert),
}


def baseline_of(policy: str) -> Baseline | None:
    """The bound or baseline that a name, or a ray policy's run or checkpoint, stands for; None for
    learned policies.
    """
    if policy in BASELINES:
        return BASELINES[policy]
    try:
        config = read_json(find_checkpoint(policy) / "config.json", DAMAGED)
    except UserError:
        return None  # whoever loads it says why
    return rays(policy) if "rays" in config else None
