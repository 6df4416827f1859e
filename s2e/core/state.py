"""What changes while something runs, as a dataclass of arrays: saved and restored as such.

A field is in a checkpoint because the dataclass has it; nothing lists names a second time.
"""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, ClassVar, TypeVar

import numpy as np

from s2e.core.errors import UserError

T = TypeVar("T")


class ArrayState:
    """Base of dataclasses whose fields are arrays; `WHAT` is what errors call them."""

    __dataclass_fields__: ClassVar[dict[str, Any]]
    WHAT: ClassVar[str] = "state"

    def arrays(self) -> dict[str, np.ndarray]:
        """Everything that `restore` needs; the arrays are copies."""
        return {field.name: getattr(self, field.name).copy() for field in fields(self)}

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Puts back what `arrays` took, in place.

        Raises:
            UserError: an array is missing or of another shape; nothing has changed then.
        """
        for field in fields(self):
            here = getattr(self, field.name)
            if field.name not in arrays or arrays[field.name].shape != here.shape:
                found = arrays[field.name].shape if field.name in arrays else "nothing"
                raise UserError(
                    f"{self.WHAT} {field.name}: {found} saved, {here.shape} expected; resume with "
                    "the same --envs and version"
                )
        for field in fields(self):
            getattr(self, field.name)[...] = arrays[field.name]


def prefixed(name: str, values: Mapping[str, T]) -> dict[str, T]:
    """The same values with `name.` before their names: a part of a larger state."""
    return {f"{name}.{key}": value for key, value in values.items()}


def part(name: str, values: Mapping[str, T]) -> dict[str, T]:
    """What `prefixed` put into a larger state under this name."""
    return {
        key.removeprefix(f"{name}."): value
        for key, value in values.items()
        if key.startswith(f"{name}.")
    }
