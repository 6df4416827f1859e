"""Entry points of the commands: Ctrl-C is caught before anything is imported."""

from importlib import import_module

from s2e.core.errors import run_command


def data() -> None:
    """`s2e-data`."""
    _start("s2e.envs.record.args")


def pretrain() -> None:
    """`s2e-pretrain`."""
    _start("s2e.pretrain.args")


def ppo() -> None:
    """`s2e-ppo`."""
    _start("s2e.rl.args")


def export() -> None:
    """`s2e-export`."""
    _start("s2e.policy.export_args")


def bench() -> None:
    """`s2e-bench`."""
    _start("s2e.benchmarks.args")


def scene() -> None:
    """`s2e-scene`."""
    _start("s2e.envs.scan.command")


def speed() -> None:
    """`s2e-speed`."""
    _start("s2e.benchmarks.speed.args")


def view() -> None:
    """`s2e-view`."""
    _start("s2e.benchmarks.view.args")


def _start(module: str) -> None:
    run_command(lambda: import_module(module).main())
