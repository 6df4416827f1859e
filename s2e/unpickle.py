"""Reads the pickles of GNM datasets without running what is in them.

A pickle can name any function and have it called. This reader knows lists, tuples, dictionaries, numbers and strings, and the few
names that NumPy writes for its arrays, which it replaces by stand-ins that only hold bytes. Every other name is refused.
"""

import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np

from s2e.errors import UserError

MAX_BYTES = 64 << 20
_KINDS = frozenset("fiub")


class _Dtype:
    """Stands in for numpy.dtype: kind and size, then byte order from the state."""

    def __init__(self, code: Any, *_: Any):
        if not isinstance(code, str) or np.dtype(code).kind not in _KINDS:
            raise pickle.UnpicklingError(f"array of type {code!r}; only numbers are read")
        self.dtype = np.dtype(code)

    def __setstate__(self, state: Any) -> None:
        if isinstance(state, tuple) and len(state) > 1 and state[1] in ("<", ">"):
            self.dtype = self.dtype.newbyteorder(state[1])


class _Array:
    """Stands in for numpy.ndarray: shape, type and raw bytes."""

    def __init__(self, *_: Any):
        self.value = np.zeros(0)

    def __setstate__(self, state: Any) -> None:
        _, shape, dtype, fortran, raw = state
        self.value = _array(raw, dtype, shape, "F" if fortran else "C")


def _array(raw: Any, dtype: Any, shape: Any, order: str) -> np.ndarray:
    if not isinstance(dtype, _Dtype) or not isinstance(raw, (bytes, bytearray)):
        raise pickle.UnpicklingError("an array without a number type or bytes")
    return np.frombuffer(bytes(raw), dtype.dtype).reshape(shape, order="F" if order == "F" else "C").copy()


def _frombuffer(raw: Any, dtype: Any, shape: Any, order: str) -> np.ndarray:
    return _array(raw, dtype, shape, order)


def _scalar(dtype: Any, raw: Any) -> Any:
    return _array(raw, dtype, (1,), "C")[0].item()


def _encode(text: Any, coding: Any) -> bytes:
    if not isinstance(text, str) or coding != "latin1":
        raise pickle.UnpicklingError("a text that is not the bytes of an array")
    return text.encode("latin1")


_NAMES = {("numpy", "ndarray"): _Array, ("numpy", "dtype"): _Dtype, ("_codecs", "encode"): _encode}
for _core in ("numpy.core", "numpy._core"):
    _NAMES[(f"{_core}.multiarray", "_reconstruct")] = _Array
    _NAMES[(f"{_core}.multiarray", "scalar")] = _scalar
    _NAMES[(f"{_core}.numeric", "_frombuffer")] = _frombuffer


class _Reader(pickle._Unpickler):  # the Python one: its memory follows the file's bytes, not numbers written in it
    dispatch = dict(pickle._Unpickler.dispatch)  # type: ignore[attr-defined]

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _NAMES:
            raise pickle.UnpicklingError(f"it names {module}.{name}, which reading data never needs")
        return _NAMES[(module, name)]

    def load_bytearray8(self) -> None:
        length = int.from_bytes(self.read(8), "little")  # type: ignore[attr-defined]
        data = self.read(min(length, MAX_BYTES + 1))  # type: ignore[attr-defined]
        if len(data) != length:
            raise pickle.UnpicklingError("cut in the middle of an array")
        self.append(bytes(data))  # type: ignore[attr-defined]

    dispatch[pickle.BYTEARRAY8[0]] = load_bytearray8  # type: ignore[assignment]


def _plain(value: Any) -> Any:
    if isinstance(value, _Array):
        return value.value
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    return value


def read_pickle(path: Path) -> Any:
    """The data in a pickle: dictionaries, lists, numbers, strings and NumPy arrays of numbers.

    Raises:
        UserError: not a pickle, cut, larger than 64 MiB, or holding anything that would have to be called.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise UserError(f"{path}: {path.stat().st_size} bytes are too many for a walk's poses; split the walk")
        return _plain(_Reader(io.BytesIO(path.read_bytes())).load())
    except UserError:
        raise
    except OSError as error:
        raise UserError(f"{path}: not readable ({error.strerror})") from None
    except Exception as error:  # a hostile pickle fails in many ways, and none of them is worth a traceback
        raise UserError(f"{path}: refused ({error}); expected a dictionary with arrays `position` and `yaw`") from None
