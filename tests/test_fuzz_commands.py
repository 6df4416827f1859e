"""All commands with options and paths drawn at random: whatever a user types, there is no
traceback.

What takes long once all is checked (worlds, training, graphs) is stood in for by `Begun`; readers
and writers of data run as they are. Every draw follows from its number alone: `draw(number)` says
it again.
"""

import contextlib
import dataclasses
import io
import os
import random
import signal
import sys
import traceback
import typing
from pathlib import Path

import pytest

from s2e.benchmarks.args import BenchArgs
from s2e.benchmarks.speed.args import SpeedArgs
from s2e.benchmarks.view.args import ViewArgs
from s2e.core.errors import UserError
from s2e.envs.record import args as data_args
from s2e.envs.scan import args as scan_args
from s2e.policy.export_args import ExportArgs
from s2e.pretrain.args import PretrainArgs
from s2e.rl.args import PPOArgs
from tests.video.walk_files import make_walk

COMMANDS = {
    "ppo": ("s2e.rl.args", "", PPOArgs),
    "pretrain": ("s2e.pretrain.args", "", PretrainArgs),
    "bench": ("s2e.benchmarks.args", "", BenchArgs),
    "speed": ("s2e.benchmarks.speed.args", "", SpeedArgs),
    "view": ("s2e.benchmarks.view.args", "", ViewArgs),
    "export": ("s2e.policy.export_args", "", ExportArgs),
    "record": ("s2e.envs.record.args", "record", data_args.Record),
    "stills": ("s2e.envs.record.args", "stills", data_args.StillsArgs),
    "check": ("s2e.envs.record.args", "check", data_args.Check),
    "convert": ("s2e.envs.record.args", "convert", data_args.Convert),
    "stats": ("s2e.envs.record.args", "stats", data_args.Stats),
    "import": ("s2e.envs.scan.command", "import", scan_args.Import),
    "reconstruct": ("s2e.envs.scan.command", "reconstruct", scan_args.Reconstruct),
    "preview": ("s2e.envs.scan.command", "preview", scan_args.Preview),
    "scene check": ("s2e.envs.scan.command", "check", scan_args.Check),
}
NUMBERS = [
    "0",
    "1",
    "2",
    "5",
    "-1",
    "0.5",
    "nan",
    "inf",
    "-inf",
    "1e309",
    "1e-320",
    "9" * 30,
    "0x10",
    "",
    " 3",
    "1_0",
    "\u0663",
    "None",
]
WORDS = [
    "",
    "none",
    "jackal",
    "any",
    "jackal,go2",
    ",",
    "tank",
    "laptop",
    "rays",
    "expert",
    "scratch",
    "gs_urban/plaza",
    "streets",
    "nowhere",
    "gs_urban",
    "a\nb",
    "\udcff",
    "x" * 300,
    "\u00e4",
    "../up",
    "-",
    "--",
    "http://127.0.0.1:9/x.tar",
    "s3://a/b",
    "rules",
    "openai:http://127.0.0.1:9#m",
    "openai:",
    "owner/name",
    "1,2",
    "z",
    "-z",
    "nan",
]
PATHS = [
    "photos",
    "none",
    "none/deep/er",
    "walks",
    "walks/w0",
    "file",
    "file/below",
    "empty",
    "link",
    "loop",
    "dangling/below",
    ".",
    "",
    "bad.json",
    "config.json",
    "list.json",
    "deep.json",
    "bad.ply",
    "bad.spz",
    "bad.glb",
    "bad.obj",
    "bad.onnx",
    "bad.txt",
    "bad.tar",
    "bad.bag",
    "bad.mp4",
    "bad.hdf5",
    "walks.png",
    "new.onnx",
    "new.png",
    "/proc/new",
    "/proc/version",
    "/dev/full",
    "/dev/full/x",
    "/dev/null",
    "na\u00efve",
    "sur\udcffrogate",
    "new\udcff",
    "x" * 300,
    "y" * 200 + "/" + "z" * 200,
    "a\nb",
    "-",
    "~",
]
ODD = [
    "--bogus",
    "--",
    "-h",
    "--help",
    "--version",
    "--config",
    "--config=none",
    "--config=config.json",
    "--config=bad.json",
    "--config=list.json",
    "--config=deep.json",
    "--config=walks",
    "word",
    "",
    "\udcff",
    "--out",
    "--no-resume",
    "-x",
]
SHORT, LONG, EACH_S = 120, 2000, 60


class Begun(UserError):
    """All was checked, and the work would begin."""


def begun(*_, **__):
    raise Begun("begun")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder of inputs good and bad, which the commands are run in."""
    folder = tmp_path_factory.mktemp("fuzz")
    make_walk(folder / "walks" / "w0")
    make_walk(folder / "walks" / "w1", seed=1)
    make_walk(folder / "sur\udcffrogate", seed=2)
    (folder / "file").write_text("text")
    (folder / "empty").mkdir()
    (folder / "link").symlink_to(folder / "nowhere")
    (folder / "dangling").symlink_to(folder / "gone")
    (folder / "loop").symlink_to(folder / "loop")
    (folder / "config.json").write_text(
        '{"envs": 4, "steps": 10, "seed": "x", "policy": ["zero"], "out": "given", "data": '
        '["walks"]}'
    )
    (folder / "photos").mkdir()
    (folder / "photos" / "transforms.json").write_text(
        '{"frames": [{"transform_matrix": [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]]}]}'
    )
    (folder / "list.json").write_text("[1, 2]")
    (folder / "deep.json").write_text("[" * 100_000)
    for number, end in enumerate(
        ("json", "ply", "spz", "glb", "obj", "onnx", "txt", "tar", "bag", "mp4", "hdf5")
    ):
        (folder / f"bad.{end}").write_bytes(
            random.Random(number).randbytes(300) if number % 2 else b"ply\nformat x\n" * 9
        )
    return folder


@pytest.fixture
def stand_ins(place, monkeypatch):
    """Puts `Begun` where the long work begins."""
    monkeypatch.chdir(place)
    for name, value in {
        "HOME": place / "home",
        "S2E_SCENES": place / "scenes",
        "HF_HUB_OFFLINE": 1,
        "COLUMNS": 100,
    }.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.setattr("s2e.rl.train.Trainer", begun)
    monkeypatch.setattr("s2e.rl.train.load_rays", begun)
    monkeypatch.setattr("s2e.pretrain.train.load_data", begun)
    monkeypatch.setattr("s2e.benchmarks.bench.load_scene", begun)
    monkeypatch.setattr("s2e.benchmarks.view.command.load_scene", begun)
    monkeypatch.setattr("s2e.benchmarks.speed.command.PARTS", {"env_steps": begun})
    monkeypatch.setattr("s2e.envs.record.walks.load_places", begun)
    monkeypatch.setattr("s2e.envs.record.stills.load_places", begun)
    monkeypatch.setattr("s2e.policy.graphs.traced", begun)
    monkeypatch.setattr("s2e.policy.export.load_networks", begun)
    monkeypatch.setattr("s2e.envs.scan.reconstruct.read_photos", begun)
    monkeypatch.setattr("s2e.envs.scan.preview.load_scene", begun)
    monkeypatch.setattr("s2e.envs.scan.check.load_scene", begun)


def value_of(rng, kind):
    """Words for a field of a type, of which some are right."""
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Annotated:
        return value_of(rng, inner[0])
    if origin is typing.Literal:
        return [rng.choice([*map(str, inner), *WORDS[:3]])]
    if origin is tuple:
        count = rng.randint(0, 3) if inner[-1] is Ellipsis else len(inner)
        return [
            w for k in range(count) for w in value_of(rng, inner[0 if inner[-1] is Ellipsis else k])
        ]
    if origin is not None:  # an optional one
        return ["None"] if rng.random() < 0.1 else value_of(rng, inner[0])
    if kind is bool or rng.random() < 0.03:
        return []
    if kind in (int, float):
        return (
            [rng.choice(NUMBERS)] if rng.random() < 0.6 else [str(kind(rng.choice([1, 2, 3, 8])))]
        )
    return [rng.choice(PATHS if kind is Path or rng.random() < 0.5 else WORDS)]


def draw(number):
    """The module and the words of a draw."""
    rng = random.Random(f"commands {number}")
    module, sub, kind = COMMANDS[rng.choice(list(COMMANDS))]
    hints = typing.get_type_hints(kind, include_extras=True)
    words, places = [sub] if sub else [], []
    for field in dataclasses.fields(kind):
        required = field.default is dataclasses.MISSING or field.name == "out"
        if rng.random() >= (0.95 if required else 2.5 / len(hints)):
            continue
        value = value_of(rng, hints[field.name])
        if "Positional" in str(hints[field.name]):
            places += value
        else:
            off = "no-" if hints[field.name] is bool and rng.random() < 0.3 else ""
            words += [f"--{off}{field.name.replace('_', '-')}", *value]
    words = words[:1] + places + words[1:] if sub else places + words
    if rng.random() < 0.1:
        words.insert(rng.randint(0, len(words)), rng.choice(ODD))
    return module, words, rng.choice(["utf-8", "ascii"])


def fails(number):
    """What a draw ends with where it does not end as it should: a traceback, a hang, or nothing
    said; else ''."""
    module, words, encoding = draw(number)
    streams = [io.TextIOWrapper(io.BytesIO(), encoding=encoding) for _ in range(2)]
    before, sys.argv = sys.argv, ["s2e", *words]
    signal.alarm(EACH_S)
    wrong = ""
    try:
        with contextlib.redirect_stdout(streams[0]), contextlib.redirect_stderr(streams[1]):
            sys.modules[module].main()  # pyright: ignore[reportAttributeAccessIssue]
    except SystemExit as ended:
        streams[1].flush()
        told = streams[1].buffer.getvalue()  # pyright: ignore[reportAttributeAccessIssue]
        if ended.code not in (0, 1, 2) or b"Traceback" in told or (ended.code == 2 and not told):
            wrong = f"exit code {ended.code}, {told[-300:]!r}"
    except BaseException:
        wrong = "".join(traceback.format_exc().splitlines(keepends=True)[-8:])
    finally:
        signal.alarm(0)
        sys.argv = before
    return wrong and f"draw({number}): {module} {words}\n{wrong}"


def hangs(*_):
    raise TimeoutError("hangs")


def sweep(numbers):
    former = signal.signal(signal.SIGALRM, hangs)
    try:
        return [wrong for number in numbers if (wrong := fails(number))]
    finally:
        signal.signal(signal.SIGALRM, former)


def imported():
    for module, *_ in COMMANDS.values():
        __import__(module)


def test_no_words_give_a_traceback(stand_ins):
    imported()
    assert sweep(range(SHORT)) == []


@pytest.mark.slow
def test_no_words_give_a_traceback_in_many_draws(stand_ins):
    imported()
    assert sweep(range(LONG)) == [], f"of {LONG} draws in {os.getcwd()}"
