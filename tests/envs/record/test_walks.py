import hashlib
import json
import time

import numpy as np
import pytest

from s2e.core.errors import UserError
from s2e.core.observation import RAYS
from s2e.envs.record import walks as module
from s2e.envs.record.takes import take_seed
from s2e.envs.record.walks import (
    ASIDE_M,
    ASIDE_ROOM_M,
    AWAY_RAD,
    DRIVES,
    NUDGE_STEPS,
    Drives,
    Settings,
    record,
)
from s2e.envs.robots.kinds import ROBOTS
from s2e.envs.streets.pool import training_scenes
from s2e.video.readers.formats import read_walks
from tests.processes import forking

SMALL = Settings(envs=2, scenes=2, people=3, robot="any", cameras=0.5, look="mesh", seed=5)
SHORT = 3  # drives a world in a take
WANTED = 330


@pytest.fixture(scope="module", autouse=True)
def short_takes():
    module.DRIVES = SHORT
    yield
    module.DRIVES = DRIVES


def digests(folder):
    return {
        str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(folder.rglob("*"))
        if p.is_file()
    }


@pytest.fixture(scope="module")
def whole(tmp_path_factory, short_takes):
    """A recording of one take and a piece of a second one."""
    out = tmp_path_factory.mktemp("record") / "whole"
    counts = record(out, WANTED, SMALL)
    return out, counts


def test_walks_say_what_was_recorded(whole):
    out, counts = whole
    walks, skipped = read_walks([out])
    assert (
        not skipped
        and len(walks) == counts.walks
        and sum(map(len, walks)) == counts.frames >= WANTED
    )
    assert len({w.body.robot for w in walks}) > 1
    for walk in walks:
        assert walk.hz == pytest.approx(5.0) and walk.times[0] == 0.0
        assert walk.free_space is not None and walk.free_space.shape == (len(walk), RAYS)
        assert np.nanmin(walk.free_space) >= 0 and np.isfinite(walk.body.token()).all()
        assert next(iter(walk.frames.images([0]))).shape == (96, 160, 3)
    state = json.loads((out / "record.json").read_text())
    assert [t["whole"] for t in state["takes"]] == [True, False], (
        "the test needs two takes, the second cut short"
    )


def test_more_frames_later_is_the_same_as_more_at_once(whole, tmp_path):
    out, counts = whole
    assert record(tmp_path / "a", 200, SMALL).frames >= 200
    assert record(tmp_path / "a", WANTED, SMALL, resume=True) == counts
    assert digests(tmp_path / "a") == digests(out)
    assert record(tmp_path / "a", 100, SMALL, resume=True) == counts, "nothing is left to do"


def record_short(out):
    """The body of a process."""
    module.DRIVES = SHORT
    record(out, WANTED, SMALL)


def test_killed_and_resumed_is_the_same_as_not_interrupted(whole, tmp_path):
    out, counts = whole
    with forking() as fork:
        process = fork(target=record_short, args=(tmp_path / "a",))
        process.start()
        while len(list(tmp_path.glob("a/t000_w*"))) < 3 and process.is_alive():
            time.sleep(0.02)
        process.kill()
        process.join()
    assert 2 <= len(list(tmp_path.glob("a/t*"))) < counts.walks
    assert record(tmp_path / "a", WANTED, SMALL, resume=True) == counts
    assert digests(tmp_path / "a") == digests(out)


def test_refusals(whole, tmp_path):
    out, _ = whole
    with pytest.raises(UserError, match="not empty.*--resume"):
        record(out, 10, SMALL)
    with pytest.raises(UserError, match=r"record.json: recorded with --seed 5, not 6"):
        record(out, 5000, Settings(**{**vars(SMALL), "seed": 6}), resume=True)
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "mine.txt").write_text("")
    with pytest.raises(UserError, match="record.json is missing"):
        record(tmp_path / "a", 10, SMALL, resume=True)
    for bad in (
        "{",
        "[]",
        '{"settings": {}}',
        '{"settings": {}, "takes": [3]}',
        '{"settings": {}, "takes": [{"walks": "x"}]}',
    ):
        (tmp_path / "a" / "record.json").write_text(bad)
        with pytest.raises(UserError, match=r"record.json: .*; record into a new folder"):
            record(tmp_path / "a", 10, SMALL, resume=True)
    assert (tmp_path / "a" / "mine.txt").exists()


def test_nudges_are_marked(whole):
    out, _ = whole
    marks = [
        m for p in out.glob("t*/walk.json") for m in json.loads(p.read_text()).get("nudged", [])
    ]
    assert marks
    for begin, end in marks:
        assert NUDGE_STEPS[0] * 0.2 - 1e-5 <= end - begin <= NUDGE_STEPS[1] * 0.2 + 1e-5


def test_perturbed_starts_are_free_near_the_usual_ones_and_turned_away(monkeypatch):
    scenes = training_scenes(3, 0)
    drives, usual = Drives([scenes], 40, 7, 0), Drives([scenes], 40, 7, 0)
    away, aside, changed = [], [], 0
    for world in range(40):
        monkeypatch.setattr(module, "PERTURBED", 0.0)
        scene, before = usual.next(world) or pytest.fail()
        monkeypatch.setattr(module, "PERTURBED", 0.5)
        _, after = drives.next(world) or pytest.fail()
        assert before.goal == after.goal and before.seed == after.seed
        if after == before:
            continue
        changed += 1
        row, col = scenes[scene].occupancy.cell_of(np.array(after.start[:2]))
        assert scenes[scene].occupancy.distance()[row, col] > ASIDE_ROOM_M
        aside.append(np.linalg.norm(np.subtract(after.start[:2], before.start[:2])))
        bearing = np.arctan2(after.goal[1] - after.start[1], after.goal[0] - after.start[0])
        away.append(abs((after.start[2] - bearing + np.pi) % (2 * np.pi) - np.pi))
    assert 10 < changed < 30 and max(aside) <= ASIDE_M * 2**0.5 and np.mean(aside) > 0.5
    assert max(away) <= AWAY_RAD and max(away) > 1.5
    assert drives.drawn == [1] * 40 and [drives.next(0) is None for _ in range(SHORT)] == [
        False
    ] * (SHORT - 1) + [True]


def test_other_cameras(whole):
    out, _ = whole
    walks, _ = read_walks([out])
    own = [w.body.camera_hfov_deg == ROBOTS[w.body.robot].camera.hfov_deg for w in walks]
    assert any(own) and not all(own)
    for walk in walks:
        assert 60 <= walk.body.camera_hfov_deg <= 120 and 0.3 <= walk.body.camera_height_m <= 1.3


def test_places_share_the_drives(tmp_path):
    streets = training_scenes(3, 0)
    drives = Drives([streets[:2], streets[2:], streets[:2]], 200, 0, 0)
    drawn = np.array([(drives.next(w) or (-1,))[0] for w in range(200)])
    assert abs((drawn == 2).mean() - 1 / 3) < 0.1
    counts = record(
        tmp_path / "a",
        60,
        Settings(
            envs=2, scenes=1, scene="streets, gs_urban/plaza", people=0, look="splats", seed=1
        ),
    )
    assert counts.frames >= 60
    with pytest.raises(UserError, match="nowhere"):
        record(tmp_path / "b", 60, Settings(scene="streets,nowhere"))
    assert not (tmp_path / "b").exists()


def test_takes_differ(whole):
    out, _ = whole
    first, second = (next(out.glob(f"t00{k}_w0000")) / "0.jpg" for k in range(2))
    assert first.read_bytes() != second.read_bytes()
    assert take_seed(4, 0) != take_seed(4, 1)
