"""Commands in the process of the test, and in processes that start at once: forked from one that
has the modules already, one thread each."""

import importlib
import io
import multiprocessing
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from multiprocessing.process import BaseProcess
from subprocess import CompletedProcess
from unittest.mock import patch

PRELOADED = ("tests.processes", "s2e.rl.train", "s2e.pretrain.train", "s2e.envs.record.command")


@contextmanager
def forking(*more: str) -> Iterator[Callable[..., BaseProcess]]:
    """Gives what starts processes; `more` modules are loaded before they fork."""
    before = dict(os.environ)
    os.environ.update(OMP_NUM_THREADS="1", NUMBA_NUM_THREADS="1")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([*PRELOADED, *more])
    yield context.Process
    os.environ.clear()
    os.environ.update(before)


def run_command(module: str, words: tuple[object, ...], printed: str) -> None:
    """The body of a process: a command whose output goes into a file."""
    file = os.open(printed, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(file, 1)
    os.dup2(file, 2)
    sys.argv = [module, *map(str, words)]
    importlib.import_module(module).main()


def run_here(module: str, *words: object) -> CompletedProcess[str]:
    """A command in this process: the exit code of its `main`, and what it printed."""
    out, errors, code = io.StringIO(), io.StringIO(), 0
    argv = [module, *map(str, words)]
    with patch("sys.argv", argv), redirect_stdout(out):
        with redirect_stderr(errors):
            try:
                importlib.import_module(module).main()
            except SystemExit as ended:
                code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    return CompletedProcess(argv, code, out.getvalue(), errors.getvalue())
