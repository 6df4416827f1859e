import hashlib
import json
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from s2e.envs import record as module
from s2e.envs.record import Settings, record
from s2e.errors import UserError
from s2e.video.formats import read_walks
from s2e.video.walk import RAYS

SMALL = Settings(envs=3, scenes=2, people=3, robot="any", seed=4)


def digests(folder):
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A recording of one take and a piece of a second one."""
    out = tmp_path_factory.mktemp("record") / "whole"
    counts = record(out, 1300, SMALL)
    return out, counts


def test_walks_say_what_was_recorded(whole):
    out, counts = whole
    walks, skipped = read_walks([out])
    assert not skipped and len(walks) == counts["walks"] and sum(map(len, walks)) == counts["frames"] >= 1300
    assert len({w.body.robot for w in walks}) > 1
    for walk in walks:
        assert walk.hz == pytest.approx(5.0) and walk.times[0] == 0.0
        assert walk.free_space is not None and walk.free_space.shape == (len(walk), RAYS)
        assert np.nanmin(walk.free_space) >= 0 and np.isfinite(walk.body.token()).all()
        assert next(iter(walk.frames.images([0]))).shape == (96, 160, 3)
    state = json.loads((out / "record.json").read_text())
    assert [t["whole"] for t in state["takes"]] == [True, False], "the test needs two takes, the second cut short"


def test_more_frames_later_is_the_same_as_more_at_once(whole, tmp_path):
    out, counts = whole
    assert record(tmp_path / "a", 400, SMALL)["frames"] >= 400
    assert record(tmp_path / "a", 1300, SMALL, resume=True) == counts
    assert digests(tmp_path / "a") == digests(out)
    assert record(tmp_path / "a", 200, SMALL, resume=True) == counts, "nothing is left to do"


def test_killed_and_resumed_is_the_same_as_not_interrupted(whole, tmp_path):
    out, counts = whole
    words = [f"{'--' + k}={v}" for k, v in vars(SMALL).items() if k in ("envs", "scenes", "people", "robot", "seed")]
    command = [sys.executable, "-m", "s2e.envs.data", "record", "--out", str(tmp_path / "a"), "--frames", "1300", *words]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while len(list(tmp_path.glob("a/t000_w*"))) < 3 and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert 3 <= len(list(tmp_path.glob("a/t*"))) < counts["walks"]
    assert record(tmp_path / "a", 1300, SMALL, resume=True) == counts
    assert digests(tmp_path / "a") == digests(out)


def test_refusals(whole, tmp_path):
    out, _ = whole
    with pytest.raises(UserError, match="not empty.*--resume"):
        record(out, 10, SMALL)
    with pytest.raises(UserError, match=r"record.json: recorded with --seed 4, not 5"):
        record(out, 5000, Settings(**{**vars(SMALL), "seed": 5}), resume=True)
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "mine.txt").write_text("")
    with pytest.raises(UserError, match="record.json is missing"):
        record(tmp_path / "a", 10, SMALL, resume=True)
    for bad in ("{", "[]", '{"settings": {}}', '{"settings": {}, "takes": [3]}', '{"settings": {}, "takes": [{"walks": "x"}]}'):
        (tmp_path / "a" / "record.json").write_text(bad)
        with pytest.raises(UserError, match=r"record.json: not the state"):
            record(tmp_path / "a", 10, SMALL, resume=True)
    assert (tmp_path / "a" / "mine.txt").exists()


def test_takes_differ(whole):
    out, _ = whole
    first, second = (next(out.glob(f"t00{k}_w0000")) / "0.jpg" for k in range(2))
    assert first.read_bytes() != second.read_bytes()
    assert module._seed(SMALL, 0) != module._seed(SMALL, 1)
