import json
import os
import signal
from pathlib import Path

import pytest

from s2e.core.errors import UserError, run_command
from s2e.core.run import Interrupt, Run, check_out, same_config


def test_resuming_drops_what_came_after_the_checkpoint(tmp_path):
    run = Run(tmp_path, {"seed": 1})
    for step in range(1, 6):
        run.log(step, {"loss": step / 2})
    run.close()
    with run.metrics.open("a") as file:
        file.write('{"step": 6, "lo')  # cut by a kill
    again = Run(tmp_path, {"seed": 1}, resume_at=3)
    again.log(4, {"loss": 9})
    again.close()
    steps = [json.loads(line) for line in again.metrics.read_text().splitlines()]
    assert [s["step"] for s in steps] == [1, 2, 3, 4] and steps[-1]["loss"] == 9
    assert list(tmp_path.glob("events.*"))


def test_a_kill_while_it_resumes_takes_no_metrics(tmp_path, monkeypatch):
    run = Run(tmp_path, {})
    run.log(1, {"loss": 1})
    run.close()
    before = run.metrics.read_text()

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        Run(tmp_path, {}, resume_at=1)
    assert run.metrics.read_text() == before


def test_what_a_run_without_a_checkpoint_left_goes(tmp_path):
    for text in ("before", "after"):
        run = Run(tmp_path, {})
        run.say(text)
        run.close()
    assert (tmp_path / "printed.txt").read_text() == "after\n" and len(
        list(tmp_path.glob("events.*"))
    ) == 1


def test_what_was_said_is_kept(tmp_path, capsys):
    run = Run(tmp_path, {})
    run.say("hello")
    run.close()
    assert (tmp_path / "printed.txt").read_text() == "hello\n" == capsys.readouterr().out


def test_a_resumed_run_is_the_same_run(tmp_path):
    Run(tmp_path, {"lr": 0.1, "steps": 5}).close()
    same_config(tmp_path, {"lr": 0.1, "steps": 9}, may_differ=("steps",))
    with pytest.raises(UserError, match=r"lr was 0\.1 and is now 0\.2"):
        same_config(tmp_path, {"lr": 0.2, "steps": 5}, may_differ=())


def test_runs_are_not_overwritten(tmp_path):
    check_out(tmp_path, resume=False)
    with pytest.raises(UserError, match="nothing to resume"):
        check_out(tmp_path, resume=True)
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "last").write_text("00000001\n")
    with pytest.raises(UserError, match="--resume"):
        check_out(tmp_path, resume=False)


def test_an_unwritable_folder_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        Run(tmp_path / "file" / "run", {})


def test_the_first_interrupt_asks_and_the_second_stops():
    with Interrupt() as interrupt:
        os.kill(os.getpid(), signal.SIGINT)
        assert interrupt.asked
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.parametrize("first", [signal.SIGINT, signal.SIGTERM])
def test_sigterm_is_ctrl_c(first, monkeypatch):
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with Interrupt() as interrupt:
        os.kill(os.getpid(), first)
        assert interrupt.asked
        os.kill(os.getpid(), signal.SIGTERM)  # at once: a scheduler's and torchrun's are one
        monkeypatch.setattr(Interrupt, "SAME_S", 0.0)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGTERM)
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


@pytest.mark.parametrize("name", ["metrics.jsonl", "printed.txt"])
def test_a_full_disk_says_what_is_left(tmp_path, monkeypatch, name):
    run = Run(tmp_path, {})
    write = {
        "metrics.jsonl": lambda: run.log(1, {"a": 1}),
        "printed.txt": lambda: run.say("hello"),
    }[name]
    whole = Path.open

    def full(self, *args, **more):
        if self.name == name:
            raise OSError(28, "No space left on device")
        return whole(self, *args, **more)

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(UserError, match=f"{name}.*No space left.*no checkpoint yet"):
        write()
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "last").write_text("00000001")
    with pytest.raises(UserError, match="--resume"):
        write()
    run.close()


def test_exit_codes(capsys):
    def wrong():
        raise UserError("x.ply: cut")

    def stopped():
        raise KeyboardInterrupt

    for main, code in ((wrong, 2), (stopped, 130)):
        with pytest.raises(SystemExit) as end:
            run_command(main)
        assert end.value.code == code
    assert "error: x.ply: cut\n" in capsys.readouterr().err
