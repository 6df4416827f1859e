"""Reads the pickles of GNM datasets without running what is in them.

A pickle can name any function and have it called. This reader knows lists, tuples, dictionaries,
numbers and strings, and the few names that NumPy writes for its arrays, which it replaces by
stand-ins that only hold bytes or lists. Every other name is refused.
"""

import io
import math
import pickle
import re
import stat
from pathlib import Path
from typing import Any

import numpy as np

from s2e.core.errors import UserError

MAX_BYTES = 64 << 20
MOST_NUMBERS = MAX_BYTES // 8
"""A few bytes of a pickle can name one list many times over; more numbers than this are refused."""


class _Dtype:
    """Stands in for numpy.dtype: kind and size, then byte order from the state."""

    def __init__(self, code: Any, *_: Any):
        if not isinstance(code, str) or not re.fullmatch(r"[<>=|]?([fiub]\d{0,2}|O8?)", code):
            raise pickle.UnpicklingError(f"array of type {str(code)[:40]!r}; only numbers are read")
        self.dtype = np.dtype(code)

    def __setstate__(self, state: Any) -> None:
        if isinstance(state, tuple) and len(state) > 1 and state[1] in ("<", ">"):
            self.dtype = self.dtype.newbyteorder(state[1])


class _Array:
    """Stands in for numpy.ndarray: shape, type and raw bytes; of an array of objects the shape and
    the list of them.
    """

    def __init__(self, *_: Any):
        self.value = np.zeros(0)
        self.objects: list[Any] | None = None
        self.shape: tuple[int, ...] = (0,)

    def __setstate__(self, state: Any) -> None:
        _, shape, dtype, fortran, raw = state
        if isinstance(dtype, _Dtype) and dtype.dtype.kind == "O":
            self.objects, self.shape = _objects(raw, shape)
        else:
            self.value = _array(raw, dtype, shape, "F" if fortran else "C")


def _objects(items: Any, shape: Any) -> tuple[list[Any], tuple[int, ...]]:
    """The elements of an array of dtype object, in C order whatever its memory was, and its
    shape.
    """
    good = isinstance(items, list) and isinstance(shape, tuple) and len(shape) <= 8
    good = good and all(type(n) is int and n >= 0 for n in shape)
    if not good or math.prod(shape) != len(items) or max(shape, default=1) > max(len(items), 1):
        raise pickle.UnpicklingError("an array of objects whose shape does not fit its elements")
    return items, shape


def _array(raw: Any, dtype: Any, shape: Any, order: str) -> np.ndarray:
    raw = raw.encode("latin1") if isinstance(raw, str) else raw  # Python 2 knew no difference
    if (
        not isinstance(dtype, _Dtype)
        or dtype.dtype.kind == "O"
        or not isinstance(raw, (bytes, bytearray))
    ):
        raise pickle.UnpicklingError("an array without a number type or bytes")
    return (
        np.frombuffer(bytes(raw), dtype.dtype)
        .reshape(shape, order="F" if order == "F" else "C")
        .copy()
    )


def _frombuffer(raw: Any, dtype: Any, shape: Any, order: str) -> np.ndarray:
    return _array(raw, dtype, shape, order)


def _scalar(dtype: Any, raw: Any) -> Any:
    return _array(raw, dtype, (1,), "C")[0].item()


def _encode(text: Any, coding: Any) -> bytes:
    if not isinstance(text, str) or coding != "latin1":
        raise pickle.UnpicklingError("a text that is not the bytes of an array")
    return text.encode("latin1")


def _no_bytes() -> bytes:
    return b""


def _no_entries() -> dict[Any, Any]:
    return {}


_NAMES = {
    ("numpy", "ndarray"): _Array,
    ("numpy", "matrix"): _Array,
    ("numpy", "dtype"): _Dtype,
    ("_codecs", "encode"): _encode,
}
_NAMES |= {(name, "bytes"): _no_bytes for name in ("builtins", "__builtin__")} | {
    ("collections", "OrderedDict"): _no_entries
}
_NAMES[("numpy.matrixlib.defmatrix", "matrix")] = _Array
for _core in ("numpy.core", "numpy._core"):
    _NAMES[(f"{_core}.multiarray", "_reconstruct")] = _Array
    _NAMES[(f"{_core}.multiarray", "scalar")] = _scalar
    _NAMES[(f"{_core}.numeric", "_frombuffer")] = _frombuffer


# the Python one: its memory follows the file's bytes, not numbers written in it
class _Reader(pickle._Unpickler):
    dispatch = dict(pickle._Unpickler.dispatch)  # type: ignore[attr-defined]

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _NAMES:
            raise pickle.UnpicklingError(
                f"it names {module}.{name}, which reading data never needs"
            )
        return _NAMES[(module, name)]

    def load_bytearray8(self) -> None:
        length = int.from_bytes(self.read(8), "little")  # type: ignore[attr-defined]
        data = self.read(min(length, MAX_BYTES + 1))  # type: ignore[attr-defined]
        if len(data) != length:
            raise pickle.UnpicklingError("cut in the middle of an array")
        self.append(bytes(data))  # type: ignore[attr-defined]

    def load_build(self) -> None:
        """Gives a stand-in its state; pickle's own would set attributes of anything, functions of
        this module among them.
        """
        state = self.stack.pop()  # type: ignore[attr-defined]
        if not isinstance(self.stack[-1], (_Array, _Dtype)):  # type: ignore[attr-defined]
            raise pickle.UnpicklingError("it sets the state of something that is no array")
        self.stack[-1].__setstate__(state)  # type: ignore[attr-defined]

    dispatch[pickle.BYTEARRAY8[0]] = load_bytearray8  # type: ignore[assignment]
    dispatch[pickle.BUILD[0]] = load_build  # type: ignore[assignment]


def _plain(value: Any, done: dict[int, Any]) -> Any:
    """Without stand-ins. What is named many times is made once (`done`, by identity), so that it
    costs what it costs in the file.
    """
    if isinstance(value, _Array) and value.objects is None:
        return value.value
    if not isinstance(value, (_Array, dict, list, tuple)):
        return value
    if id(value) not in done:
        if isinstance(value, _Array):
            plain: Any = _nested([_plain(v, done) for v in value.objects or []], value.shape)
        elif isinstance(value, dict):
            plain = {k: _plain(v, done) for k, v in value.items()}
        else:
            plain = [_plain(v, done) for v in value]
        done[id(value)] = plain
    return done[id(value)]


def _nested(items: list[Any], shape: tuple[int, ...]) -> Any:
    """A flat list in C order as lists of lists; without axes its only element."""
    if not shape:
        return items[0]
    for width in reversed(shape[1:]):
        items = [items[i : i + width] for i in range(0, len(items), width)] if width else []
    return items


def numbers(value: Any) -> np.ndarray:
    """Any nesting of lists and arrays of numbers as one float64 array; None is NaN.

    Where a number stands among arrays of one number, these count as numbers: some recorders box
    some of theirs.

    Raises:
        ValueError: elements of different shapes, something that is no number, more than
            `MOST_NUMBERS`, or nested too deep.
    """
    try:
        return _numbers(value, [MOST_NUMBERS], 0)
    except OverflowError:
        raise ValueError("a number is beyond what a float holds") from None


def _numbers(value: Any, left: list[int], depth: int) -> np.ndarray:
    plain = isinstance(value, (list, tuple)) and all(type(v) in (int, float) for v in value)
    left[0] -= value.size if isinstance(value, np.ndarray) else len(value) + 1 if plain else 1
    if left[0] < 0:
        raise ValueError("too many numbers")
    if plain:  # the usual case, and the fast way
        return np.array(value, dtype=np.float64)
    if isinstance(value, np.ndarray):
        return value.astype(np.float64)
    if value is None or isinstance(value, (int, float)):
        return np.array(math.nan if value is None else float(value))
    if not isinstance(value, (list, tuple)):
        raise ValueError(f"holds {type(value).__name__}")
    if depth > 16:
        raise ValueError("lists in lists without end")
    parts = [_numbers(v, left, depth + 1) for v in value]
    if len({p.shape for p in parts}) > 1:
        parts = [p.reshape([n for n in p.shape if n != 1]) for p in parts]
    shapes = list(dict.fromkeys(p.shape for p in parts))
    if len(shapes) > 1:
        raise ValueError(f"holds elements of shapes {shapes[0]} and {shapes[1]}")
    return np.stack(parts)


def read_pickle(path: Path) -> Any:
    """The data in a pickle: dictionaries, lists, numbers, strings and NumPy arrays of numbers;
    arrays of objects become lists.

    Raises:
        UserError: not a pickle, cut, larger than 64 MiB, or holding anything that would have to be
            called.
    """
    try:
        about = path.stat()
        if not stat.S_ISREG(about.st_mode):  # a pipe would wait for ever
            raise UserError(f"{path}: not a file; put the walk's poses there")
        if not 0 < about.st_size <= MAX_BYTES:
            raise UserError(
                f"{path}: {about.st_size} bytes, none or too many for a walk's poses; copy it "
                "again, or split the walk"
            )
        return _plain(_Reader(io.BytesIO(path.read_bytes()), encoding="latin1").load(), {})
    except UserError:
        raise
    except OSError as error:
        raise UserError(f"{path}: not readable ({error.strerror})") from None
    except Exception as error:
        # a hostile pickle fails in many ways, and none of them is worth a traceback
        raise UserError(
            f"{path}: refused ({error}); expected a dictionary with arrays `position` and `yaw`"
        ) from None
