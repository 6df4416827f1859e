import dataclasses
import json
import subprocess
import sys
import typing
from pathlib import Path

import pytest
import tyro
from hypothesis import given
from hypothesis import strategies as st

import s2e
from s2e.benchmarks.args import BenchArgs
from s2e.core.commandline import NOT_TAKEN, as_json, as_kind, defaults_from, parse
from s2e.core.errors import UserError
from s2e.pretrain.args import PretrainArgs
from s2e.rl.args import PPOArgs

LIGHT = """
import sys
from importlib import import_module
for module in sys.argv[1:]:
    import_module(module)
heavy = {"torch", "numba", "scipy", "onnxruntime", "stable_baselines3", "PIL"}
print(*sorted(heavy & set(sys.modules)))
"""
ENTRIES = (
    "s2e.start",
    "s2e.envs.record.args",
    "s2e.pretrain.args",
    "s2e.rl.args",
    "s2e.policy.export_args",
    "s2e.benchmarks.args",
    "s2e.envs.scan.command",
    "s2e.benchmarks.speed.args",
    "s2e.benchmarks.view.args",
)
PLAIN = st.none() | st.booleans() | st.integers() | st.just(10**400) | st.floats() | st.text()
JSON = st.recursive(PLAIN, lambda x: st.lists(x) | st.dictionaries(st.text(), x))


def test_what_a_command_can_be_asked_for_imports_nothing_heavy():
    done = subprocess.run(
        [sys.executable, "-c", LIGHT, *ENTRIES], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == []


def test_every_command_starts_from_a_module_of_arguments():
    import tomllib

    import s2e.start

    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    for name, place in project["scripts"].items():
        assert place == f"s2e.start:{name.removeprefix('s2e-')}" and callable(
            getattr(s2e.start, name.removeprefix("s2e-"))
        )


def test_version_is_printed_whatever_else_is_said(capsys):
    with pytest.raises(SystemExit) as ended:
        parse(PPOArgs, "about", ["--bogus", "--version"])
    assert ended.value.code == 0 and capsys.readouterr().out == f"s2e {s2e.__version__}\n"


CHANGED = {
    PPOArgs: dict(out=Path("a"), envs=3, splats=0.5, objects=Path("b"), reader=False, sense="rays"),
    PretrainArgs: dict(
        data=("a", "b"),
        out=Path("a"),
        lr=0.1,
        newest="grid",
        held_out=Path("c"),
        stills=("d",),
        amp=False,
    ),
    BenchArgs: dict(out=Path("a"), policy=("x", "y"), recovery=True, planner_weight=0.5),
}


@pytest.mark.parametrize("kind", CHANGED)
def test_a_config_gives_back_its_options_and_flags_win(tmp_path, kind):
    args = kind(**CHANGED[kind])
    file = tmp_path / "config.json"
    file.write_text(json.dumps(as_json(args) | {"world_size": 2, "resume": True}))
    again = parse(kind, "about", ["--config", str(file)])
    assert again == dataclasses.replace(args, config=file)
    other = parse(kind, "about", ["--out", "other", f"--config={file}", "--seed", "7"])
    assert other == dataclasses.replace(args, config=file, out=Path("other"), seed=7)


def test_a_config_may_lack_what_is_required(tmp_path):
    (tmp_path / "c").write_text('{"envs": 2}')
    assert defaults_from(PPOArgs, tmp_path / "c").out is tyro.MISSING
    assert parse(PPOArgs, "about", ["--config", str(tmp_path / "c"), "--out", "x"]).envs == 2
    with pytest.raises(SystemExit) as ended:
        parse(PPOArgs, "about", ["--config", str(tmp_path / "c")])
    assert ended.value.code == 2


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"envs": "many"}', "envs is 'many'; it is a whole number"),
        ('{"envs": true}', "envs is True"),
        ('{"envs": 1.5}', "envs is 1.5"),
        ('{"sense": "smell"}', "sense is 'smell'; it is one of images, rays"),
        ('{"reader": 1}', "true or false"),
        ('{"out": null}', "out is None; it is a path"),
        ('{"out": "a\\u0000b"}', "out is 'a.x00b'; it is a path"),
        ('{"robot": "\\u0000"}', "robot is '.x00'; it is a text"),
        ('{"gamma": 1' + "0" * 400 + "}", "gamma is beyond what a number can be"),
        ('{"policy": {"dim": 128}}', "no option of this command"),
        ('{"seed": 1, "anchors": 8, "ema": 0.9}', "of another command.*anchors, ema"),
        ("[1]", "not a JSON object"),
        ("{", "cannot be read as JSON"),
        ("[" * 100_000, "cannot be read as JSON"),
    ],
)
def test_a_config_that_is_none_is_refused(tmp_path, text, said):
    (tmp_path / "c.json").write_text(text)
    with pytest.raises(UserError, match=said):
        defaults_from(PPOArgs, tmp_path / "c.json")


@pytest.mark.parametrize("place", ["none", ".", "a" * 300])
def test_a_config_that_is_not_there_is_refused(tmp_path, place):
    with pytest.raises(UserError, match="cannot be read"):
        defaults_from(PPOArgs, tmp_path / place)


def test_what_is_not_known_is_noted(tmp_path, capsys):
    (tmp_path / "c.json").write_text('{"envs": 2, "world_size": 1, "enves": 3}')
    defaults_from(PPOArgs, tmp_path / "c.json")
    assert capsys.readouterr().err.strip().endswith("does not know: enves")


@given(st.sampled_from([PPOArgs, PretrainArgs, BenchArgs]), st.data())
def test_any_value_is_read_or_refused(kind, data):
    hints = typing.get_type_hints(kind)
    name = data.draw(st.sampled_from([n for n in hints if n not in NOT_TAKEN]))
    value = data.draw(JSON)
    try:
        read = as_kind(hints[name], value, name)
    except UserError as error:
        assert name in str(error)
    else:
        if read is not None and isinstance(read, int | str):
            assert read == value
