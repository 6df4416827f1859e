"""S2E: from seeing to experiencing. The parts that every stage shares.

import s2e
policy = s2e.load_policy("laptop")
plan = policy.act(frame, goal=(4.0, 1.0))
"""

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from s2e.policy.navigator import Navigator

# Before torch is loaded: OpenMP threads that spin while they wait take the cores from the
# rasteriser, the encoder and whatever else runs on the machine. Waiting passively costs nothing on
# an idle one and is several times as fast on a busy one.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

__version__ = "0.1.0"


def load_policy(path: "str | Path", device: str = "cpu", recovery: bool = False) -> "Navigator":
    """A policy to drive with: see `s2e.policy.navigator.Navigator`.

    Args:
        path: a run, a checkpoint or an exported folder; or the name of a shipped policy; or
            owner/name on Hugging Face (the extra hub).
        device: cpu, cuda, or auto, which is CUDA where there is one.
        recovery: whether a robot that is told to drive and stands is told to back off, where no
            camera looks, and to turn away.

    Raises:
        UserError: there is no such policy, its files are broken, or it is one of rays, which sees
            no images.
    """
    from s2e.policy.navigator import Navigator  # torch is loaded here, not when s2e is imported

    return Navigator.load(path, device, recovery)
