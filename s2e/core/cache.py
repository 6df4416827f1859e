"""Where things are kept that can be made again: built scenes, tokens of frames."""

import os
from pathlib import Path


def cache() -> Path:
    """$S2E_CACHE, or s2e in the user's cache folder."""
    if os.environ.get("S2E_CACHE"):
        return Path(os.environ["S2E_CACHE"])
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "s2e"
