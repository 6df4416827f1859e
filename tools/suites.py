"""What every suite of scenes that ships has: a list of its files."""

from collections.abc import Iterable
from pathlib import Path

from s2e.core.files import sha256


def listed(folder: Path, paths: Iterable[Path]) -> dict[str, dict[str, int | str]]:
    """Bytes and sha256 of files, by their place below a folder, in order."""
    return {
        path.relative_to(folder).as_posix(): {"bytes": path.stat().st_size, "sha256": sha256(path)}
        for path in sorted(paths)
    }
