import errno
import io
import json
import os
import sys

import pytest

from s2e.core import errors
from s2e.core.errors import UserError, choose_device, how_to_install, missing, optional, run_command


def ends(capsys, error):
    def main():
        raise error

    with pytest.raises(SystemExit) as ended:
        run_command(main)
    return ended.value.code, capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (UserError("wrong"), 2, "error: wrong"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (
            OSError(errno.ENOSPC, "No space left on device", "/a/b"),
            2,
            "/a/b: No space left on device; free some space",
        ),
        (
            OSError(errno.EROFS, "Read-only file system"),
            2,
            "error: Read-only file system; give a place",
        ),
        (UnicodeEncodeError("utf-8", "a\udcff", 1, 2, "surrogates not allowed"), 2, "rename it"),
        (MemoryError(), 2, "not enough memory"),
    ],
)
def test_what_is_refused_is_one_line(capsys, error, code, said):
    ended, told = ends(capsys, error)
    assert ended == code and said in told and told.count("\n") == 1


def test_a_fault_of_ours_stays_a_traceback():
    with pytest.raises(ZeroDivisionError):
        run_command(lambda: print(1 // 0))


def test_a_terminal_of_ascii_shows_every_name(monkeypatch):
    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", out)
    run_command(lambda: print("n\u00e4\udcff"))
    assert out.buffer.getvalue() == b"n\\xe4\\udcff\n"


def test_what_is_missing_is_said_with_what_to_type(monkeypatch):
    listed = [
        'viser>=1.1; extra == "view"',
        'viser-more; extra == "view"',
        'viser>=2; extra == "dev"',
        "numpy>=2.0",
    ]
    monkeypatch.setattr(errors.metadata, "requires", lambda _: listed)
    assert str(missing("s2e-view", "view", "viser")) == (
        's2e-view: viser is not installed; install it with: pip install "viser>=1.1" (of the extra '
        "view)"
    )
    assert how_to_install("", "zstandard") == 'install it with: pip install "zstandard"'
    assert "s2e[" not in how_to_install("view", "viser")

    def nowhere(_):
        raise errors.metadata.PackageNotFoundError

    monkeypatch.setattr(errors.metadata, "requires", nowhere)
    assert (
        how_to_install("view", "viser")
        == 'install it with: pip install "viser" (of the extra view)'
    )


def test_an_optional_package_is_imported_or_named():
    assert optional("json", "JSON", "") is json
    with pytest.raises(UserError, match='^x: no_such_thing is not installed; .*"no_such_thing"'):
        optional("no_such_thing.part", "x", "")
    with pytest.raises(UserError, match="s2e-view: no-such is not installed"):
        optional("no_such", "s2e-view", "view", "no-such")


def test_what_is_installed_and_broken_is_said():
    try:
        raise ImportError("libGL.so.1")
    except ImportError:
        assert "av cannot be imported (libGL.so.1)" in str(missing("video", "video", "av"))


@pytest.mark.parametrize(
    ("there", "gpus", "ranks", "device"),
    [
        (False, 0, 1, "cpu"),
        (True, 1, 1, "cuda"),
        (True, 1, 2, "cpu"),
        (True, 2, 2, "cuda"),
    ],
)
def test_auto_is_cuda_where_each_process_can_have_a_gpu(monkeypatch, there, gpus, ranks, device):
    monkeypatch.setattr("torch.cuda.is_available", lambda: there)
    monkeypatch.setattr("torch.cuda.device_count", lambda: gpus)
    monkeypatch.setitem(os.environ, "LOCAL_WORLD_SIZE", str(ranks))
    assert choose_device("auto") == device and choose_device("cpu") == "cpu"
    if not there:
        with pytest.raises(UserError, match="--device cuda: .*there is none"):
            choose_device("cuda")
    with pytest.raises(UserError, match="--device abacus"):
        choose_device("abacus")
