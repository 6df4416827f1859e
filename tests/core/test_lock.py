"""One process a folder: held by a real process, since that is what a lock is about."""

import importlib
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from s2e.core.errors import UserError
from s2e.core.lock import LOCK, hold, release
from s2e.core.run import Run, check_out

HOLDER = """
import sys
from pathlib import Path
from s2e.core.lock import hold
hold(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""
COMMANDS = {
    "s2e-pretrain": ("s2e.pretrain.train", "--data", "none"),
    "s2e-ppo": ("s2e.rl.train", "--envs", "2", "--scenes", "1"),
    "s2e-data record": ("s2e.envs.record.command", "record", "--frames", "5"),
    "s2e-data stills": ("s2e.envs.record.command", "stills", "--frames", "5"),
    "s2e-data stills, gone on with": (
        "s2e.envs.record.command",
        "stills",
        "--frames",
        "5",
        "--resume",
    ),
    "s2e-bench": (
        "s2e.benchmarks.bench",
        "--scene",
        "gs_urban/plaza",
        "--policy",
        "zero",
        "--episodes",
        "1",
        "--setting",
        "empty",
    ),
}


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the folder `out`."""
    words = [sys.executable, "-c", HOLDER, str(tmp_path / "out")]
    process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()


def test_a_folder_is_refused_while_another_process_lives(tmp_path, holder):
    out = tmp_path / "out"
    for refused in (lambda: hold(out), lambda: check_out(out, resume=False), lambda: Run(out, {})):
        with pytest.raises(
            UserError,
            match=rf"out: process {holder.pid} on .* is writing into this folder; .*another --out",
        ):
            refused()
    assert [p.name for p in out.iterdir()] == [LOCK]
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    hold(out)  # nothing stale is left
    release(out)


@pytest.mark.parametrize(
    ("write", "left"), [("", []), ("x.write_text('')", [LOCK, "x"]), ("x.mkdir()", [LOCK, "x"])]
)
def test_a_folder_that_nothing_was_put_into_is_taken_away(tmp_path, write, left):
    code = (
        "from pathlib import Path; from s2e.core.lock import hold; out = Path('out'); "
        f"hold(out); x = out / 'x'; {write}"
    )
    (tmp_path / "there").mkdir()
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
    subprocess.run(
        [sys.executable, "-c", code.replace("'out'", "'there'")], cwd=tmp_path, check=True
    )
    assert sorted(p.name for p in tmp_path.glob("out/*")) == left and (
        tmp_path / "out"
    ).exists() == bool(left)
    assert sorted(p.name for p in tmp_path.glob("there/*")) == (left or [LOCK])


@pytest.mark.parametrize("name", COMMANDS)
def test_the_second_of_two_commands_is_refused(tmp_path, holder, name, monkeypatch, capsys):
    module, *words = COMMANDS[name]
    monkeypatch.setattr("sys.argv", [name, *words, "--out", str(tmp_path / "out")])
    with pytest.raises(SystemExit) as ended:
        importlib.import_module(module).main()
    told = capsys.readouterr().err
    assert ended.value.code == 2
    assert f"process {holder.pid} on" in told and str(tmp_path / "out") in told
    assert [p.name for p in (tmp_path / "out").iterdir()] == [LOCK]


def test_a_process_may_hold_its_folder_twice_and_anew(tmp_path):
    hold(tmp_path / "a")
    hold(tmp_path / "a")
    shutil.rmtree(tmp_path / "a")
    hold(tmp_path / "a")
    assert (tmp_path / "a" / LOCK).read_text().startswith(f"process {os.getpid()} on ")
    release(tmp_path / "a")
    assert not list((tmp_path / "a").iterdir())
    release(tmp_path / "a")


def test_other_ranks_hold_nothing(tmp_path, holder, monkeypatch):
    """Of several ranks the first holds the folder for all: the others are neither refused nor write
    a lock of their own."""
    before = (tmp_path / "out" / LOCK).read_text()
    monkeypatch.setenv("RANK", "1")
    check_out(tmp_path / "out", resume=False)
    assert (tmp_path / "out" / LOCK).read_text() == before
    check_out(tmp_path / "other", resume=False)
    assert not (tmp_path / "other" / LOCK).exists()


def test_a_full_disk_is_refused_before_anything_is_made(tmp_path, monkeypatch):
    free = os.statvfs(tmp_path)
    monkeypatch.setattr(
        os, "statvfs", lambda _: SimpleNamespace(f_bavail=3, f_frsize=4096, f_blocks=free.f_blocks)
    )
    said = (
        r"out/run: cannot be written \(0.0 MB are free on its disk and 1 are needed\); free "
        r"some space"
    )
    with pytest.raises(UserError, match=said):
        hold(tmp_path / "out" / "run")
    assert not (tmp_path / "out").exists()


def test_a_read_only_disk_is_refused_before_anything_is_made(tmp_path):
    if os.access("/sys", os.W_OK):  # a place that nobody may write to, the administrator neither
        pytest.skip("/sys can be written here")
    with pytest.raises(
        UserError,
        match=r"/sys/none/run: cannot be written \(/sys is read-only here\); give another --out",
    ):
        hold(Path("/sys/none/run"))


def test_an_unwritable_folder_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="file/run: cannot be written"):
        hold(tmp_path / "file" / "run")
