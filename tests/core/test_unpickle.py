import io
import os
import pickle
import struct
import tracemalloc
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s2e.core.errors import UserError
from s2e.core.unpickle import numbers, read_pickle


@pytest.mark.parametrize("protocol", range(2, 6))
@pytest.mark.parametrize("dtype", ["f4", "f8", ">f8", "i8"])
def test_reads_what_numpy_writes(tmp_path, protocol, dtype):
    data = {
        "position": np.arange(10, dtype=dtype).reshape(5, 2),
        "yaw": np.asfortranarray(np.ones((5, 1))),
        "n": np.float64(3),
    }
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(data, protocol=protocol))
    read = read_pickle(tmp_path / "a.pkl")
    np.testing.assert_array_equal(read["position"], data["position"])
    np.testing.assert_array_equal(read["yaw"], data["yaw"])
    assert read["n"] == 3


def boxed(values, shape=()):
    """An array of dtype object of arrays of one number."""
    out = np.empty(len(values), dtype=object)
    out[:] = [np.full(shape or 1, v) for v in values]
    return out


NESTED = {
    "objects": np.arange(6.0).reshape(3, 2).astype(object),
    "objects in the order of Fortran": np.asfortranarray(
        np.arange(6.0).reshape(3, 2).astype(object)
    ),
    "rows that are arrays": [np.array([0, 1]), np.array([2.0, 3.0]), (4, np.float32(5))],
    "boxes": np.array([boxed([0, 1]), boxed([2, 3]), boxed([4, 5])], dtype=object),
    "boxes among numbers": [[0, np.array([1.0])], [np.array([[2]]), 3], [np.int16(4), 5]],
    "boxes without axes": [
        [np.array(v, dtype=object) for v in row] for row in ([0, 1], [2, 3], [4, 5])
    ],
    "one box around all": np.array(None, dtype=object),
    "whole numbers": np.arange(6, dtype=np.uint8).reshape(3, 2),
    "other byte order": np.arange(6).reshape(3, 2).astype(">i4"),
}
NESTED["one box around all"][()] = np.arange(6.0).reshape(3, 2)


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("name", NESTED)
def test_any_nesting_of_numbers_is_an_array(tmp_path, name, protocol):
    (tmp_path / "a.pkl").write_bytes(pickle.dumps({"position": NESTED[name]}, protocol=protocol))
    got = numbers(read_pickle(tmp_path / "a.pkl")["position"])
    np.testing.assert_array_equal(got.reshape(3, 2), np.arange(6.0).reshape(3, 2))
    assert got.dtype == np.float64


@pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")
def test_a_matrix_is_an_array(tmp_path):
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(np.asmatrix(np.arange(6.0).reshape(3, 2))))
    np.testing.assert_array_equal(
        numbers(read_pickle(tmp_path / "a.pkl")), np.arange(6.0).reshape(3, 2)
    )


LEAF = st.one_of(st.integers(-(2**60), 2**60), st.floats(width=32), st.booleans())


@st.composite
def nestings(draw):
    """The same numbers boxed at random, and as they are."""
    values = draw(st.lists(st.lists(LEAF, min_size=2, max_size=2), min_size=1, max_size=6))
    boxes = (
        lambda v: v,
        lambda v: np.array([v]),
        lambda v: np.array(v),
        lambda v: [v],
        lambda v: (v,),
        lambda v: np.float64(v),
    )
    rows = [[draw(st.sampled_from(boxes))(v) for v in row] for row in values]
    outer = draw(st.sampled_from(["list", "tuple", "objects"]))
    if outer == "objects":
        table = np.empty(len(rows), dtype=object)
        table[:] = rows
        rows = table
    return values, tuple(rows) if outer == "tuple" else rows


@settings(max_examples=200, deadline=None)
@given(nestings(), st.integers(0, 5))
def test_numbers_come_back_however_they_are_boxed(tmp_path_factory, both, protocol):
    values, boxed_values = both
    path = tmp_path_factory.getbasetemp() / "boxed.pkl"
    path.write_bytes(pickle.dumps(boxed_values, protocol=protocol))
    np.testing.assert_array_equal(
        numbers(read_pickle(path)).reshape(-1, 2), np.array(values, dtype=np.float64)
    )


def test_what_python_2_wrote_is_read(tmp_path):
    """Its pickles know no difference between text and bytes."""
    raw = np.array([1.5, -2.0]).tobytes()
    array = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
    array += (
        b"(K\x01K\x02\x85cnumpy\ndtype\nU\x02f8K\x00K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89U"
        + bytes([len(raw)])
        + raw
        + b"tb"
    )
    (tmp_path / "a.pkl").write_bytes(b"\x80\x02}U\x03yaw" + array + b"s.")
    np.testing.assert_array_equal(read_pickle(tmp_path / "a.pkl")["yaw"], [1.5, -2.0])


def test_what_is_no_array_of_numbers_is_said():
    for value, text in {
        "north": "holds str",
        "ragged": None,
    }.items():
        with pytest.raises(ValueError, match=text or "shapes"):
            numbers(value if text else [[1, 2], [1, 2, 3]])
    with pytest.raises(ValueError, match="beyond"):
        numbers([10**400])
    assert np.isnan(numbers([1.0, None])).tolist() == [False, True]


class _Calls:
    def __init__(self, function, *arguments):
        self.what = (function, arguments)

    def __reduce__(self):
        return self.what


@pytest.mark.parametrize(
    "hostile",
    [_Calls(os.system, "touch {}"), _Calls(eval, "1"), _Calls(getattr, 1, "real"), io.BytesIO],
)
def test_calls_nothing(tmp_path, hostile):
    witness = tmp_path / "witness"
    if isinstance(hostile, _Calls) and hostile.what[0] is os.system:
        hostile = _Calls(os.system, f"touch {witness}")
    (tmp_path / "a.pkl").write_bytes(pickle.dumps({"position": hostile}))
    with pytest.raises(UserError, match="refused"):
        read_pickle(tmp_path / "a.pkl")
    assert not witness.exists()


def test_objects_inside_arrays_are_not_called_either(tmp_path):
    witness = tmp_path / "witness"
    array = np.empty(2, dtype=object)
    array[:] = [1.0, _Calls(os.system, f"touch {witness}")]
    (tmp_path / "a.pkl").write_bytes(pickle.dumps({"position": array}))
    with pytest.raises(UserError, match="refused"):
        read_pickle(tmp_path / "a.pkl")
    # State for a function of the reader itself: its defaults would be changed for good.
    (tmp_path / "b.pkl").write_bytes(b"\x80\x04c_codecs\nencode\nN}\x8c\x0c__defaults__)s\x86b.")
    with pytest.raises(UserError, match="sets the state"):
        read_pickle(tmp_path / "b.pkl")
    assert not witness.exists()


def test_lists_named_many_times_cost_what_they_cost_in_the_file(tmp_path):
    bomb = b"\x80\x04]\x94(K\x01K\x02e"
    for k in range(60):  # each list holds the one before it twice
        bomb += b"\x94]\x94(h" + bytes([2 * k]) * 1 + b"h" + bytes([2 * k]) + b"e"
    (tmp_path / "a.pkl").write_bytes(bomb + b".")
    with pytest.raises(ValueError, match="without end|too many"):
        numbers(read_pickle(tmp_path / "a.pkl"))
    loop: list = [1.0]
    loop.append(loop)
    (tmp_path / "b.pkl").write_bytes(pickle.dumps({"position": loop}))
    with pytest.raises(UserError, match="refused"):
        read_pickle(tmp_path / "b.pkl")


def test_memory_follows_the_file_not_its_numbers(tmp_path):
    bombs = [
        b"\x80\x05\x96" + struct.pack("<Q", 1 << 40) + b".",  # a byte array of a terabyte
        b"\x80\x04\x8e" + struct.pack("<Q", 1 << 40) + b".",
        b"\x80\x04K\x01r" + struct.pack("<I", 0xFFFFFFF0) + b".",  # a memo with four billion places
    ]
    for i, bomb in enumerate(bombs):
        (tmp_path / f"{i}.pkl").write_bytes(bomb)
        tracemalloc.start()
        with suppress(UserError):
            assert read_pickle(tmp_path / f"{i}.pkl") == 1, (
                "the memo's place costs nothing, so it may be read"
            )
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 4 << 20


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_data_or_a_clear_error(tmp_path_factory, noise):
    path = tmp_path_factory.mktemp("noise") / "a.pkl"
    path.write_bytes(noise)
    try:
        read_pickle(path)
    except UserError as error:
        assert "a.pkl" in str(error)


def test_what_is_no_file_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.pkl")
    with pytest.raises(UserError, match="a.pkl: not a file"):
        read_pickle(tmp_path / "a.pkl")
    (tmp_path / "b.pkl").write_bytes(b"")
    with pytest.raises(UserError, match="b.pkl: 0 bytes, none"):
        read_pickle(tmp_path / "b.pkl")
