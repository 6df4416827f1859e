"""What readers of datasets of many files share: each file read by itself, and whatever breaks in a library said as the file's fault."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from s2e.errors import UserError
from s2e.video.walk import Skipped, Walk


def read_each(
    files: Sequence[Path], names: Sequence[str], read: Callable[[Path, str], tuple[list[Walk], list[Skipped]]]
) -> tuple[list[Walk], list[Skipped]]:
    """Reads files under their names, one after the other; a bad one is skipped with its reason.

    Names that several files have (they differ in their endings) get the endings back.
    """
    walks: list[Walk] = []
    skipped: list[Skipped] = []
    for file, name in zip(files, names, strict=True):
        try:
            good, bad = read(file, name if names.count(name) == 1 else name + file.suffix)
            walks += good
            skipped += bad
        except UserError as error:
            skipped.append(Skipped(file, str(error)))
    return walks, skipped


@contextmanager
def reading(path: Path, what: str, advice: str) -> Iterator[None]:
    """Whatever breaks in a container's library breaks because of the file: libraries raise many types, and say little with some.

    Raises:
        UserError: the block raised anything but a `UserError`; names the file, what it should have been, and `advice`.
    """
    try:
        yield
    except (UserError, GeneratorExit, KeyboardInterrupt):
        raise
    except Exception as error:
        text = " ".join(str(error).split())[:200] or type(error).__name__
        raise UserError(f"{path}: not a readable {what} ({text}); {advice}") from None
