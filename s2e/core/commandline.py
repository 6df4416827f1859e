"""Words of a command line to the command's dataclass: `--version`, `--config FILE`, and the rest by
tyro.

Dataclasses of arguments lie in modules that import nothing heavy, and a command imports what it
works with after this: `--help` and wrong options answer at once.
"""

import dataclasses
import sys
import types
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

import tyro

from s2e import __version__
from s2e.core.errors import UserError, require
from s2e.core.files import read_json

MAX_CONFIG_BYTES = 1 << 20
RECORDS = ("world_size", "files")
"""What a config.json notes of a run that nobody can ask for."""
NOT_TAKEN = ("config", "resume")
"""Fields that a config.json does not set: going on with a run is asked for by hand."""
T = TypeVar("T")


def parse(kind: Any, about: str, words: Sequence[str] | None = None) -> Any:
    """The arguments of a command; ends the process after --help and --version (exit code 0) and
    wrong options (2).

    A field `config: Path | None` stands for a run's config.json: what it says is the default of
    what the words do not say.

    Args:
        kind: a dataclass, or a union of subcommands.
        about: the command's description.
        words: the command line; where not given that of the process.

    Raises:
        UserError: the file of --config is not one.
    """
    words = list(sys.argv[1:] if words is None else words)
    if "--version" in words:
        print(f"s2e {__version__}")
        raise SystemExit(0)
    more: dict[str, Any] = {}
    file = _config_of(words)
    if file is not None and "config" in getattr(kind, "__dataclass_fields__", ()):
        more["default"] = defaults_from(kind, file)
    return tyro.cli(
        kind, description=f"{about}\n\n--version prints the version.", args=words, **more
    )


def as_json(args: Any) -> dict[str, Any]:
    """Arguments as a config.json keeps them, so that --config can give them back."""
    values = {f.name: getattr(args, f.name) for f in dataclasses.fields(args) if f.name != "config"}
    return {name: _plain(value) for name, value in values.items()}


def defaults_from(kind: type[T], file: Path) -> T:
    """An instance of a dataclass of arguments with what a config.json says; what has no default
    stays `tyro.MISSING`.

    What the file says and the dataclass does not know is named in a note on stderr and left out.

    Raises:
        UserError: no such file, not a JSON object, nothing of this command in it, or a value of the
            wrong kind.
    """
    told = read_json(file, "give --config the config.json of a run", MAX_CONFIG_BYTES)
    hints = typing.get_type_hints(kind)
    fields = {
        f.name: f for f in dataclasses.fields(typing.cast(Any, kind)) if f.name not in NOT_TAKEN
    }
    known = {name: value for name, value in told.items() if name in fields}
    require(
        bool(known),
        f"--config {file}: no option of this command in it; give the config.json of a run",
    )
    unknown = sorted(set(told) - set(fields) - set(RECORDS) - set(NOT_TAKEN))
    few = ", ".join(unknown[:4])
    foreign = (
        f"--config {file}: of another command, most of it is not known here ({few}); give "
        "that of a run of this one"
    )
    require(len(known) >= len(unknown), foreign)
    if unknown:
        print(
            f"note: {file}: left out what this command does not know: {', '.join(unknown)}",
            file=sys.stderr,
        )
    values = {
        name: as_kind(hints[name], value, f"--config {file}: {name}")
        for name, value in known.items()
    }
    for name, field in fields.items():
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            values.setdefault(name, tyro.MISSING)
    return kind(**values)


def as_kind(kind: Any, value: Any, where: str) -> Any:
    """A JSON value as a field's type; `where` begins the message.

    Raises:
        UserError: it is not of this type.
    """
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in inner:
            return None
        (kind,) = (k for k in inner if k is not type(None))
        return as_kind(kind, value, where)
    if origin is Literal:
        named = ", ".join(map(str, inner))
        good = value in inner and not isinstance(value, bool | float)
        require(good, f"{where} is {value!r}; it is one of {named}")
        return value
    if origin is tuple:
        listed = value if isinstance(value, list) else [value]
        kinds = [inner[0]] * len(listed) if inner[-1] is Ellipsis else inner
        require(
            len(listed) == len(kinds), f"{where} has {len(listed)} values; it takes {len(kinds)}"
        )
        return tuple(as_kind(k, v, where) for k, v in zip(kinds, listed))
    names = {
        bool: "true or false",
        int: "a whole number",
        float: "a number",
        str: "a text",
        Path: "a path",
    }
    fits = {bool: bool, int: int, float: (int, float), str: str, Path: str}
    good = isinstance(value, fits[kind]) and (kind is bool or not isinstance(value, bool))
    # no command line, and no file's name, can have it
    good = good and not (isinstance(value, str) and "\0" in value)
    require(good, f"{where} is {value!r}; it is {names[kind]}")
    try:
        return kind(value)
    except OverflowError:
        raise UserError(f"{where} is beyond what a number can be") from None


def _config_of(words: Sequence[str]) -> Path | None:
    """The file of the last --config among the words, which tyro sees as well."""
    found = None
    for k, word in enumerate(words):
        if word.startswith("--config="):
            found = word.removeprefix("--config=")
        elif word == "--config" and k + 1 < len(words):
            found = words[k + 1]
    return None if found in (None, "None") else Path(found)


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(v) for v in value]
    return str(value) if isinstance(value, Path) else value
