import hashlib
import os

import pytest

from s2e.core import files
from s2e.core.errors import UserError


@pytest.mark.parametrize(
    "data, wrong",
    [
        (b"{", "f: cannot be read as JSON .*; mend it"),
        (b"[" * 100_000, "f: cannot be read as JSON .nested too deep.; mend it"),
        (b'{"n": ' + b"1" * 5000 + b"}", "f: cannot be read as JSON"),
        (b"\xff{}", "f: cannot be read as JSON"),
        (b"[1]", "f: holds a list, not a JSON object; mend it"),
    ],
)
def test_what_is_no_json_object_is_refused(tmp_path, data, wrong):
    (tmp_path / "f").write_bytes(data)
    with pytest.raises(UserError, match=wrong):
        files.read_json(tmp_path / "f", "mend it")


def test_a_file_is_read_within_bounds(tmp_path):
    (tmp_path / "f").write_text('{"a": [1]}')
    assert files.read_json(tmp_path / "f", "") == {"a": [1]}
    with pytest.raises(UserError, match="larger than 5 bytes; cut it"):
        files.read_json(tmp_path / "f", "cut it", max_bytes=5)
    for place in (tmp_path / "none", tmp_path, tmp_path / "a\0b"):
        with pytest.raises(UserError, match="cannot be read .*; look"):
            files.read_json(place, "look")


def test_lines_that_a_kill_cut_are_passed_over():
    data = b'{"a": 1}\n[2]\n' + b"[" * 100_000 + b'\n{"a": 3}\n{"a": '
    assert list(files.json_lines(data)) == [{"a": 1}, {"a": 3}]


def test_a_file_is_written_whole_or_not_at_all(tmp_path):
    place = tmp_path / "f"
    files.write_whole(place, "é\n")
    assert place.read_bytes() == "é\n".encode()
    (tmp_path / "f.part").write_text("left by a kill, and longer")

    def broken():
        yield b"half"
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        files.write_whole(place, broken())
    assert place.read_text() == "é\n" and os.listdir(tmp_path) == ["f"]
    files.write_whole(place, [b"a", b"b"])
    assert place.read_bytes() == b"ab" and os.listdir(tmp_path) == ["f"]


def test_a_folder_takes_the_place_of_the_former_one_whole(tmp_path, monkeypatch):
    place = tmp_path / "more" / "d"
    for text in ("one", "two"):
        with files.whole_folder(place) as made:
            (made / text).write_text(text)
    assert os.listdir(place) == ["two"] and os.listdir(place.parent) == ["d"]
    with pytest.raises(KeyError), files.whole_folder(place) as made:
        (made / "three").write_text("")
        raise KeyError
    assert os.listdir(place) == ["two"] and os.listdir(place.parent) == ["d"]
    replace = os.replace

    def full(source, target):
        if target == place:
            monkeypatch.undo()
            raise OSError(28, "No space left on device")
        replace(source, target)

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError), files.whole_folder(place) as made:
        (made / "four").write_text("")
    assert os.listdir(place) == ["two"] and os.listdir(place.parent) == ["d"]


def test_sha256_is_of_the_content(tmp_path):
    (tmp_path / "f").write_bytes(b"abc")
    assert files.sha256(tmp_path / "f") == hashlib.sha256(b"abc").hexdigest()
