"""`s2e-scene` as a user runs it: import, look, list, check and drive; bad input is one line and
exit code 2."""

import os
import resource
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from s2e.envs.expert.drive import ExpertAgent
from s2e.envs.scan.command import join_up
from s2e.envs.scenes.episodes import ListedEpisodes, read_episodes
from s2e.envs.scenes.files import load_scene
from s2e.envs.splats.formats.any import write_splats
from s2e.envs.worlds import Worlds, WorldsConfig
from tests.envs.scan.yard import disturbed, yard

METRES_PER_UNIT = 2.6


def run(home, *words, **more):
    command = [sys.executable, "-m", "s2e.envs.scan.command", *map(str, words)]
    return subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, "S2E_SCENES": str(home)}, **more
    )


def refused(done, *words):
    assert done.returncode == 2, done.stderr
    assert (
        done.stderr.count("\n") == 1
        and done.stderr.startswith("error: ")
        and "Traceback" not in done.stderr
    )
    assert all(w in done.stderr for w in words), done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--resolution", "nan"), "--resolution is nan"),
        (("--episodes", "0"), "--episodes is 0"),
        (("--up", "w"), "--up w"),
        (("--capture-height", "1.5"), "--capture-height is that of --cameras"),
        (("--known-height", "1", "--at", "0", "inf", "0"), "--at 0.0 inf 0.0"),
        ((), "no such file"),
    ],
)
def test_wrong_options_answer_before_anything_heavy_is_imported(words, said):
    code = f"""
import sys
from s2e.envs.scan.command import main
sys.argv = ["s2e-scene", "import", "none.ply", "--name", "yard", *{words!r}]
try:
    main()
finally:
    print(sorted({{"numba", "torch", "scipy"}} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    refused(done, said)
    assert done.stdout == "[]\n"


@pytest.fixture(scope="module")
def capture(tmp_path_factory):
    path = tmp_path_factory.mktemp("capture") / "yard.spz"
    splats, up = disturbed(yard(4), 5, METRES_PER_UNIT)
    write_splats(path, splats)
    return path, up


@pytest.fixture(scope="module")
def home(capture, tmp_path_factory):
    home = tmp_path_factory.mktemp("home") / "scenes"
    path, up = capture
    done = run(
        home,
        "import",
        path,
        "--name",
        "my.yard-2",
        "--metres-per-unit",
        METRES_PER_UNIT,
        "--up",
        *up.round(1),
        "--episodes",
        8,
    )
    assert done.returncode == 0, done.stderr
    assert (
        "s2e-scene preview my.yard-2" in done.stdout
        and "s2e-bench --scene my.yard-2" in done.stdout
    )
    return home


@pytest.mark.slow
def test_list_preview_and_check(home, tmp_path):
    done = run(home, "list")
    assert done.returncode == 0 and "gs_urban/plaza" in done.stdout
    (row,) = [line.split() for line in done.stdout.splitlines() if line.startswith("my.yard-2 ")]
    assert "32" in row and row[-1] == "yard.spz"
    done = run(home, "preview", "my.yard-2", "--out", tmp_path / "pictures")
    assert done.returncode == 0, done.stderr
    assert sorted(p.name for p in (tmp_path / "pictures").iterdir()) == [
        "removed.png",
        "top.png",
        "view-1.png",
        "view-2.png",
        "view-3.png",
        "view-4.png",
    ]
    done = run(home, "check", "my.yard-2", "--all")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "FAILED" not in done.stdout and "8 of 8 driven episodes reach the goal" in done.stdout
    (home / "my.yard-2" / "episodes.json").open("a").write(" \n")
    done = run(home, "check", "my.yard-2")
    assert done.returncode == 1 and "FAILED  episode file: sha256 is" in done.stdout


@pytest.mark.slow
def test_the_expert_drives_in_what_was_imported(home, monkeypatch):
    monkeypatch.setenv("S2E_SCENES", str(home))
    scene = load_scene("my.yard-2")
    episodes = [
        e for e in read_episodes(home / "my.yard-2" / "episodes.json") if e.setting == "empty"
    ][:4]
    config = WorldsConfig(people=1, collision="counts", height_px=48, width_px=80)
    worlds = Worlds([scene] * len(episodes), config, len(episodes), ListedEpisodes(episodes))
    seen, expert, arrived = worlds.reset(), ExpertAgent(worlds), 0
    expert.reset(np.arange(len(episodes)))
    assert seen["rgb"].std() > 5
    while worlds.live.any():
        worlds.step(expert.act())
        arrived += int(worlds.last["success"].sum())
    assert arrived == len(episodes)


@pytest.mark.slow
def test_bad_input_is_one_line(home, capture, tmp_path):
    path, _ = capture
    refused(run(home, "import", tmp_path / "none.ply", "--name", "a"), "none.ply", "no such file")
    refused(run(home, "import", path, "--name", "../a"), "--name")
    refused(run(home, "import", path, "--name", "a", "--up", "q"), "--up q")
    (tmp_path / "empty.ply").write_bytes(b"")
    refused(run(home, "import", tmp_path / "empty.ply", "--name", "a"), "empty.ply")
    (tmp_path / "cut.spz").write_bytes(path.read_bytes()[:900])
    refused(run(home, "import", tmp_path / "cut.spz", "--name", "a"), "cut.spz")
    refused(run(home, "preview", "nowhere"), "nowhere", "s2e-scene list")
    refused(run(home, "check", "nowhere"), "nowhere")
    (home / "b.correct.json").write_text('{"metres": 1}')
    refused(run(home, "import", path, "--name", "b"), "b.correct.json", "'metres'")
    (home / "b.correct.json").unlink()
    assert sorted(p.name for p in home.iterdir()) == ["my.yard-2"]


@pytest.mark.slow
def test_a_full_disk_leaves_nothing_half_written(home, capture):
    path, up = capture

    def small_files():
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 19, 1 << 19))

    words = (
        "import",
        path,
        "--name",
        "full",
        "--metres-per-unit",
        METRES_PER_UNIT,
        "--up",
        *up.round(1),
        "--episodes",
        1,
    )
    refused(run(home, *words, preexec_fn=small_files), "full", "nothing was changed")
    assert sorted(p.name for p in home.iterdir() if p.name != "full.refused.png") == ["my.yard-2"]


@pytest.mark.slow
@pytest.mark.parametrize("after", ["cleaned", "proposed"])
def test_ctrl_c_leaves_nothing_half_written(home, capture, after):
    path, up = capture
    words = (
        "import",
        path,
        "--name",
        "stopped",
        "--metres-per-unit",
        METRES_PER_UNIT,
        "--up",
        *up.round(1),
        "--episodes",
        50,
    )
    command = [sys.executable, "-m", "s2e.envs.scan.command", *map(str, words)]
    env = {**os.environ, "S2E_SCENES": str(home)}
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith(after):
            break
    process.send_signal(signal.SIGINT)
    time.sleep(0)
    _, errors = process.communicate(timeout=60)
    if process.returncode == 0:
        assert after == "proposed"  # it was quicker
    else:
        assert process.returncode == 130 and "Traceback" not in errors
        assert sorted(p.name for p in home.iterdir()) == ["my.yard-2"]


def test_minus_axes_are_not_options():
    assert join_up(["import", "a", "--up", "-z", "--name", "b"]) == [
        "import",
        "a",
        "--up=-z",
        "--name",
        "b",
    ]
    assert join_up(["--up", "0", "-1", "0.5", "--name", "b"]) == ["--up=0,-1,0.5", "--name", "b"]
    assert join_up(["--up", "y"]) == ["--up=y"] and join_up(["--up"]) == ["--up"]
    assert join_up(["--up", "1", "2", "--name"]) == ["--up=1", "2", "--name"]
