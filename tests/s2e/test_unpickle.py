import io
import os
import pickle
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s2e.errors import UserError
from s2e.unpickle import read_pickle


@pytest.mark.parametrize("protocol", range(2, 6))
@pytest.mark.parametrize("dtype", ["f4", "f8", ">f8", "i8"])
def test_reads_what_numpy_writes(tmp_path, protocol, dtype):
    data = {"position": np.arange(10, dtype=dtype).reshape(5, 2), "yaw": np.asfortranarray(np.ones((5, 1))), "n": np.float64(3)}
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(data, protocol=protocol))
    read = read_pickle(tmp_path / "a.pkl")
    np.testing.assert_array_equal(read["position"], data["position"])
    np.testing.assert_array_equal(read["yaw"], data["yaw"])
    assert read["n"] == 3


class _Calls:
    def __init__(self, function, *arguments):
        self.what = (function, arguments)

    def __reduce__(self):
        return self.what


@pytest.mark.parametrize("hostile", [_Calls(os.system, "touch {}"), _Calls(eval, "1"), _Calls(getattr, 1, "real"), io.BytesIO])
def test_calls_nothing(tmp_path, hostile):
    witness = tmp_path / "witness"
    if isinstance(hostile, _Calls) and hostile.what[0] is os.system:
        hostile = _Calls(os.system, f"touch {witness}")
    (tmp_path / "a.pkl").write_bytes(pickle.dumps({"position": hostile}))
    with pytest.raises(UserError, match="refused"):
        read_pickle(tmp_path / "a.pkl")
    assert not witness.exists()


def test_memory_follows_the_file_not_its_numbers(tmp_path):
    bombs = [
        b"\x80\x05\x96" + struct.pack("<Q", 1 << 40) + b".",  # a byte array of a terabyte
        b"\x80\x04\x8e" + struct.pack("<Q", 1 << 40) + b".",
        b"\x80\x04K\x01r" + struct.pack("<I", 0xFFFFFFF0) + b".",  # a memo with four billion places
    ]
    for i, bomb in enumerate(bombs):
        (tmp_path / f"{i}.pkl").write_bytes(bomb)
        try:
            read_pickle(tmp_path / f"{i}.pkl")
        except UserError:
            pass


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_data_or_a_clear_error(tmp_path_factory, noise):
    path = tmp_path_factory.mktemp("noise") / "a.pkl"
    path.write_bytes(noise)
    try:
        read_pickle(path)
    except UserError as error:
        assert "a.pkl" in str(error)
