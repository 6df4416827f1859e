"""Recording stills: poses are what their kind says, and a recording that was cut off is the same as
one that was not."""

import hashlib
import shutil
import sys
import time

import numpy as np
import pytest

from s2e.core.errors import UserError
from s2e.envs.free_space import free_space
from s2e.envs.record import stills as module
from s2e.envs.record.command import main
from s2e.envs.record.stills import CONTACT, GAP_M, KERB, NEAR, PERSON, TOUCH_M, record_stills
from s2e.envs.record.takes import read_state
from s2e.envs.record.walks import Settings
from s2e.envs.robots.collision import static_gaps
from s2e.envs.streets.pool import training_scenes
from s2e.video.stills import read_stills
from tests.processes import forking

SMALL = Settings(
    envs=12, scenes=2, people=2, robot="any", cameras=0.5, camera_noise=0.5, look="mesh", seed=4
)
SHARD, WANTED = 30, 50


@pytest.fixture(scope="module", autouse=True)
def small_shards():
    before, module.STILLS = module.STILLS, SHARD
    yield
    module.STILLS = before


def digests(folder):
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.iterdir())}


@pytest.fixture(scope="module")
def whole(tmp_path_factory, small_shards):
    out = tmp_path_factory.mktemp("stills") / "whole"
    assert record_stills(out, WANTED, SMALL) == WANTED
    return out


def test_stills_are_recorded_and_read(whole):
    stills, skipped = read_stills([whole])
    assert not skipped and [len(s) for s in stills] == [SHARD, WANTED - SHARD]
    assert len(np.unique(np.concatenate([s.robot for s in stills]))) > 1
    assert np.isfinite(np.concatenate([s.about for s in stills])).all()
    assert next(iter(stills[0].frames.images([0]))).shape == (96, 160, 3)
    assert len({s for part in stills for s in part.scene}) >= 3, (
        "every shard has streets of its own"
    )


def test_more_later_is_the_same_as_more_at_once(whole, tmp_path):
    assert record_stills(tmp_path / "a", 20, SMALL) == 20
    (tmp_path / "a" / "stills-00007.tar.part").write_bytes(b"of a take that was cut off")
    assert record_stills(tmp_path / "a", WANTED, SMALL, resume=True) == WANTED
    assert digests(tmp_path / "a") == digests(whole)
    with pytest.raises(UserError, match="not empty"):
        record_stills(tmp_path / "a", WANTED, SMALL)
    with pytest.raises(UserError, match="--people 2, not 1"):
        record_stills(
            tmp_path / "a", WANTED, Settings(**{**SMALL.__dict__, "people": 1}), resume=True
        )


def test_a_recording_that_was_killed_as_it_began_begins_again(tmp_path):
    (tmp_path / "record.json.part").write_bytes(b"{")
    assert read_state(tmp_path, SMALL, True, module.TAKE)["takes"] == []
    (tmp_path / "other").touch()
    with pytest.raises(UserError, match="no recording to resume"):
        read_state(tmp_path, SMALL, True, module.TAKE)


def test_what_another_process_recorded_meanwhile_is_kept(whole, tmp_path, monkeypatch):
    """It began and ended while this one loaded its scenes."""
    load = module.load_places

    def meanwhile(settings):
        shutil.copytree(whole, tmp_path / "a")
        return load(settings)

    monkeypatch.setattr(module, "load_places", meanwhile)
    with pytest.raises(UserError, match="not empty"):
        record_stills(tmp_path / "a", WANTED, SMALL)
    assert digests(tmp_path / "a") == digests(whole)


def record_small(out):
    """The body of a process."""
    module.STILLS = SHARD
    record_stills(out, WANTED, SMALL)


def test_killed_and_resumed_is_the_same_as_not_interrupted(whole, tmp_path):
    with forking() as fork:
        process = fork(target=record_small, args=(tmp_path / "a",))
        process.start()
        while not (tmp_path / "a" / "stills-00000.tar").exists() and process.is_alive():
            time.sleep(0.005)
        process.kill()
        process.join()
    record_stills(tmp_path / "a", WANTED, SMALL, resume=True)
    assert digests(tmp_path / "a") == digests(whole)


def test_poses_are_what_their_kind_says():
    scenes = training_scenes(2, 3)
    take = module._Take(0, [scenes], Settings(envs=160, people=2, robot="any", seed=1))
    kind, worlds = take._pose(), take.worlds
    gap = static_gaps(worlds.fleet, worlds.pose, worlds.fields, worlds.field_id)
    alone = ~worlds.people.active.any(1)
    for k in (NEAR, KERB):
        of = kind == k
        assert (
            of.any()
            and (gap[of] >= GAP_M[k, 0] - 1e-9).all()
            and (gap[of] <= GAP_M[k, 1] + 1e-9).all()
        )
    person = worlds.person_gap()
    assert (person > 0).all() and (gap[kind >= 0] >= 0).all(), "nobody stands in anything"
    touch = kind == CONTACT
    assert touch.any() and (np.minimum(gap, person)[touch & alone] <= TOUCH_M + 0.03).all()
    before = np.flatnonzero(kind == PERSON)
    away = np.linalg.norm(worlds.people.position[before, 0] - worlds.pose[before, :2], axis=1)
    assert len(before) and (away >= 0.5).all() and (away <= 3).all()
    rays = free_space(worlds, before)
    assert (np.nanmin(rays, axis=1) <= away + 0.05).mean() > 0.9, (
        "the person is seen, or something nearer"
    )


def test_the_command_records_and_checks(tmp_path, monkeypatch, capsys, whole):
    def run(*words):
        monkeypatch.setattr(sys, "argv", ["s2e-data", *map(str, words)])
        try:
            main()
        except SystemExit as end:
            return end.code, capsys.readouterr()
        return 0, capsys.readouterr()

    code, (out, _) = run("check", whole)
    assert code == 0 and f"{WANTED} stills in" in out and "mesh" in out and "nearest" in out
    code, (_, err) = run("stills", "--out", tmp_path / "x", "--frames", "0")
    assert code == 2 and "--frames is 0" in err
    code, (_, err) = run("stills", "--out", tmp_path / "x", "--cameras", "2")
    assert code == 2 and "--cameras" in err and not (tmp_path / "x").exists()
