"""What readers of datasets of many files share: a search that follows links, and each file read by
itself, faults said as its own.
"""

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from s2e.core.errors import UserError
from s2e.video.walk import Skipped, Walk

_SHOWN = 3  # of what was passed over, by name


class Search:
    """A search through a folder of data that follows links, without going round in circles or
    astray.

    A link is followed where it leads to a place inside the folder, or where it stands in the folder
    itself: who makes a folder of links and names it means what they lead to. Links further down
    that lead elsewhere, and all that lead to a folder around this one, are not followed. Every
    place is visited once, as a real folder rather than by a link.

    Args:
        root: the folder.

    Attributes:
        astray, broken, closed: links that are not followed, links that lead nowhere, folders that
            may not be read.
    """

    def __init__(self, root: Path):
        self.root = root
        self.astray: list[Path] = []
        self.broken: list[Path] = []
        self.closed: list[Path] = []
        self._trees = [Path(os.path.realpath(root))]
        self._seen: set[str] = set()

    def folders(self) -> Iterator[tuple[Path, list[str], list[str]]]:
        """As `os.walk` does: each folder with the names of its folders and files, by name; folders
        behind links come last.

        Names of folders that a caller removes are not visited.
        """
        links: deque[Path] = deque()
        yield from self._below(self.root, str(self._trees[0]), links)
        while links:
            link = links.popleft()
            real = os.path.realpath(link)
            if real not in self._seen and self._enters(link, Path(real)):
                yield from self._below(link, real, links)

    def entries(self, folder: Path) -> tuple[list[Path], list[Path]]:
        """The folders and the files in one folder, by name: for readers that go down themselves,
        and not for ever.

        Folders that begin with a dot, and links to folders around this one, are left out.
        """
        folders, files, linked = self._listed(folder)
        here = Path(os.path.realpath(folder))
        for name in linked:
            real = Path(os.path.realpath(folder / name))
            circle = self._inside(real) and (real == here or real in here.parents)
            folders += [name] if not circle and self._enters(folder / name, real) else []
        return [folder / name for name in sorted(folders) if name[0] != "."], [
            folder / name for name in files
        ]

    def _enters(self, link: Path, real: Path) -> bool:
        """Whether a link to a folder is one to follow; keeps in mind that it was, or was not."""
        if self._inside(real):
            return True
        if link.parent != self.root or any(real in tree.parents for tree in self._trees):
            self.astray += [] if link in self.astray else [link]
            return False
        self._trees.append(real)
        return True

    def passed_over(self) -> list[Skipped]:
        """What was not visited and why, for messages; after the search."""
        out = []
        for paths, what, remedy in (
            (
                self.astray,
                "links lead out of it and are not followed",
                "name what they lead to as data of its own",
            ),
            (self.broken, "links lead nowhere", "fetch what they lead to, or remove them"),
            (self.closed, "folders may not be read", "change their permissions"),
        ):
            if paths:
                named = ", ".join(self._named(p) for p in paths[:_SHOWN]) + (
                    ", ..." if len(paths) > _SHOWN else ""
                )
                out.append(
                    Skipped(
                        self.root, f"{self.root}: {len(paths)} {what} ({named}); {remedy}", walks=0
                    )
                )
        return out

    def _named(self, path: Path) -> str:
        name = path.name if path == self.root else str(path.relative_to(self.root))
        return f"{name} -> {os.readlink(path)}" if path.is_symlink() else name

    def _inside(self, real: Path) -> bool:
        return any(real == tree or tree in real.parents for tree in self._trees)

    def _below(
        self, top: Path, real: str, links: deque[Path]
    ) -> Iterator[tuple[Path, list[str], list[str]]]:
        """The folders below one that are no links; links to folders are added to `links`."""
        todo = [(top, real)]
        while todo:
            folder, real = todo.pop()
            if real in self._seen:
                continue
            self._seen.add(real)
            folders, files, linked = self._listed(folder)
            names = [*folders, *linked]
            names.sort()
            yield folder, names, files
            kept = set(names)
            links += [folder / name for name in sorted(linked) if name in kept]
            todo += [
                (folder / name, os.path.join(real, name))
                for name in sorted(folders, reverse=True)
                if name in kept
            ]

    def _listed(self, folder: Path) -> tuple[list[str], list[str], set[str]]:
        """Names of a folder's own folders, of its files, and of its links to folders."""
        folders: list[str] = []
        files: list[str] = []
        linked: set[str] = set()
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    if entry.is_symlink() and not os.path.exists(entry.path):
                        self.broken.append(folder / entry.name)
                    elif not entry.is_dir():
                        files.append(entry.name)
                    elif entry.is_symlink():
                        linked.add(entry.name)
                    else:
                        folders.append(entry.name)
        except OSError:
            self.closed.append(folder)
        return sorted(folders), sorted(files), linked


def lines_of(notes: Sequence[tuple[str, str]]) -> list[str]:
    """Notes of (place, text) as lines; those of many places once, with their number."""
    places: dict[str, list[str]] = {}
    for place, text in notes:
        places.setdefault(text, []).append(place)
    return [
        f"note {p[0]}: {text}" if len(p) == 1 else f"note ({len(p)} walks): {text}"
        for text, p in places.items()
    ]


def once(paths: Sequence[Path]) -> list[Path]:
    """Paths without those that lead to a place where another leads; links go first."""
    first: dict[str, Path] = {}
    for path in sorted(paths, key=lambda p: sum(q.is_symlink() for q in (p, *p.parents))):
        first.setdefault(os.path.realpath(path), path)
    kept = set(first.values())
    return [path for path in dict.fromkeys(paths) if path in kept]


def read_each(
    files: Sequence[Path],
    names: Sequence[str],
    read: Callable[[Path, str], tuple[list[Walk], list[Skipped]]],
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


def text_of(path: Path, max_bytes: int, what: str, remedy: str) -> str:
    """A text file of UTF-8, with or without its mark.

    Raises:
        UserError: it cannot be read, is larger than `max_bytes`, or is no text; `what` it should
            hold and the `remedy` are said.
    """
    try:
        if (size := path.stat().st_size) > max_bytes:
            raise UserError(f"{path}: {size} bytes are too many for {what}; split it")
        return path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise UserError(f"{path}: not readable ({error.strerror}); {remedy}") from None
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path}: byte {error.start} is not UTF-8; a text file with {what} is expected"
        ) from None


@contextmanager
def reading(path: Path, what: str, advice: str) -> Iterator[None]:
    """Whatever breaks in a container's library breaks because of the file: libraries raise many
    types, and say little with some.

    Raises:
        UserError: the block raised anything but a `UserError`; names the file, what it should have
            been, and `advice`.
    """
    try:
        yield
    except (UserError, GeneratorExit, KeyboardInterrupt):
        raise
    except Exception as error:
        text = " ".join(str(error).split())[:200] or type(error).__name__
        raise UserError(f"{path}: not a readable {what} ({text}); {advice}") from None
