"""Where policies come from: what their files say, and no more."""

import json
import os
import shlex

from hypothesis import given, settings
from hypothesis import strategies as st

from s2e.benchmarks.origins import _commands, origin_of


def run_folder(folder, config):
    checkpoint = folder / "checkpoints" / "00000012"
    (checkpoint / "training_state").mkdir(parents=True)
    (folder / "checkpoints" / "last").write_text("00000012\n")
    (folder / "config.json").write_text(json.dumps(config))
    (checkpoint / "config.json").write_text(json.dumps({"policy": {}}))
    (checkpoint / "model.safetensors").write_bytes(b"")
    os.utime(checkpoint / "model.safetensors", (1_700_000_000, 1_700_000_000))
    (checkpoint / "training_state" / "state.json").write_text(
        json.dumps({"revision": "0123456789abcdef"})
    )
    return folder


def test_a_run_names_its_command_checkpoint_and_time(tmp_path):
    config = {
        "out": "runs/b",
        "init": "my seen",
        "envs": 64,
        "steps": 4096,
        "tracks": None,
        "reader": False,
        "curriculum": True,
    }
    run = run_folder(tmp_path / "b", config | {"world_size": 1, "resume": True})
    origin = origin_of(str(run))
    assert (
        origin is not None
        and origin.source == f"{run}, checkpoint 00000012, by revision 0123456789"
    )
    assert origin.when == "2023-11-14 22:13 UTC" and origin.about == ""
    assert origin.short == "s2e-ppo --init 'my seen' --out runs/b --envs 64 --steps 4096"
    assert (
        origin.command
        == "s2e-ppo --out runs/b --init 'my seen' --envs 64 --steps 4096 --no-reader --curriculum"
    )
    assert origin_of(str(run / "checkpoints" / "00000012")) == origin
    ranks = origin_of(str(run_folder(tmp_path / "c", config | {"world_size": 4})))
    assert ranks is not None and ranks.short.startswith(
        "torchrun --nproc-per-node 4 -m s2e.rl.train --init"
    )


def test_a_shipped_policy_has_its_card_and_a_driver_without_files_nothing():
    origin = origin_of("laptop")
    assert (
        origin is not None
        and origin.source == "laptop, shipped with s2e; exported by s2e 0.1.0"
        and origin.when == ""
    )
    assert (
        origin.short.startswith("s2e-pretrain --data walks --stills stills")
        and "--anchors 8" in origin.command
    )
    assert origin.about.startswith("A navigation policy of S2E") and "license" not in origin.about
    assert origin_of("straight") is None


def test_what_is_not_known_is_left_empty(tmp_path):
    run = run_folder(tmp_path / "b", {})
    for text in ("[]", "{", "3", '{"data": 1e999, "lr": NaN}'):
        (run / "config.json").write_text(text)
        (run / "checkpoints" / "00000012" / "training_state" / "state.json").write_text(text)
        origin = origin_of(str(run))
        assert origin is not None and origin.source == f"{run}, checkpoint 00000012"
        assert origin.command in ("", "s2e-pretrain --data inf")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda v: st.lists(v) | st.dictionaries(st.text(), v),
)


@settings(deadline=None)
@given(st.dictionaries(st.text() | st.just("envs") | st.just("data"), JSON))
def test_any_settings_become_words_that_a_shell_takes_apart_again(known):
    short, full = _commands(known | {"envs": "a b"})
    if "data" not in known:
        assert shlex.split(short)[0] == shlex.split(full)[0] == "s2e-ppo" and "a b" in shlex.split(
            full
        )


def test_nothing_but_settings_is_no_command():
    assert _commands(None) == _commands([]) == _commands({"x": 1}) == ("", "")
