"""Commands: bad input is one clear line and exit code 2."""

import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes import run_here
from tests.video.walk_files import make_walk

COMMANDS = {
    "s2e-data": "s2e.envs.record.command",
    "s2e-pretrain": "s2e.pretrain.train",
    "s2e-ppo": "s2e.rl.train",
    "s2e-bench": "s2e.benchmarks.bench",
    "s2e-speed": "s2e.benchmarks.speed.command",
    "s2e-scene": "s2e.envs.scan.command",
    "s2e-view": "s2e.benchmarks.view.command",
}


def run(command, *words):
    return run_here(COMMANDS[command], *words)


def refused(done, *words):
    assert done.returncode == 2, done.stderr
    assert (
        done.stderr.count("\n") == 1
        and done.stderr.startswith("error: ")
        and "Traceback" not in done.stderr
    )
    assert all(w in done.stderr for w in words), done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_help(command):
    words = [sys.executable, "-m", COMMANDS[command], "--help"]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0 and command.removeprefix("s2e-") in done.stdout


def test_pretrain_refuses(tmp_path):
    refused(
        run("s2e-pretrain", "--data", tmp_path / "none", "--out", tmp_path / "run"),
        "none",
        "no such file or folder",
    )

    class Hostile:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "witness",))

    make_walk(tmp_path / "bad")
    (tmp_path / "bad" / "traj_data.pkl").write_bytes(
        pickle.dumps({"position": Hostile(), "yaw": [0.0] * 12})
    )
    refused(
        run("s2e-pretrain", "--data", tmp_path / "bad", "--out", tmp_path / "run"),
        "traj_data.pkl",
        "refused",
    )
    assert not (tmp_path / "witness").exists()


def test_broken_walks_are_counted_and_left_out(tmp_path):
    for i in range(3):
        make_walk(tmp_path / "data" / f"w{i}", 40, seed=i)
    cut = tmp_path / "data" / "w1" / "7.jpg"
    cut.write_bytes(cut.read_bytes()[:150])
    done = run(
        "s2e-pretrain",
        "--data",
        tmp_path / "data",
        "--out",
        tmp_path / "run",
        "--steps",
        2,
        "--batch",
        4,
    )
    assert done.returncode == 0, done.stderr
    assert "1 skipped" in done.stdout and "7.jpg" in done.stdout


def test_ppo_refuses(tmp_path):
    refused(
        run("s2e-ppo", "--init", tmp_path, "--out", tmp_path / "run", "--envs", 0),
        "--envs",
        "at least 1",
    )
    refused(run("s2e-ppo", "--init", tmp_path, "--out", tmp_path / "run"), "config.json", "missing")
    refused(
        run("s2e-ppo", "--init", tmp_path, "--out", tmp_path / "run", "--robot", "tank"),
        "tank",
        "jackal",
    )
    refused(
        run("s2e-ppo", "--init", tmp_path, "--out", tmp_path / "run", "--reward", "fun"),
        "fun",
        "urban_sim",
    )


def test_numbers_out_of_range_are_refused(tmp_path):
    refused(run("s2e-data", "record", "--out", tmp_path / "a", "--seed", -5), "--seed")
    refused(run("s2e-data", "record", "--out", tmp_path / "a", "--robot", "tank"), "tank", "jackal")
    assert not (tmp_path / "a").exists()
    (tmp_path / "file").write_text("")
    refused(run("s2e-data", "record", "--out", tmp_path / "file"), "file")
    refused(run("s2e-data", "check", tmp_path, "--hz", "nan"), "--hz")
    refused(
        run("s2e-pretrain", "--data", tmp_path / "file", "--out", tmp_path / "run"), "no walk in it"
    )
    refused(
        run("s2e-ppo", "--init", tmp_path, "--out", tmp_path / "run", "--entropy", "nan"),
        "--entropy",
    )


def test_speed_prints_json():
    import json

    done = run("s2e-speed", "--only", "encoder_images", "--json", "--seconds", 0.1)
    (row,) = json.loads(done.stdout)
    assert row["name"] == "encoder_images" and row["value"] > 0 and row["unit"] == "images/s"
    assert {"size", "cpu", "cores", "torch_threads"} <= set(row["conditions"])
    refused(run("s2e-speed", "--only", "everything"), "everything")
