"""The suite `social` as it ships: what its files say, and that it can be solved."""

import json
import math

import numpy as np
import pytest

from s2e.benchmarks.social import crosses_line
from s2e.core.files import sha256
from s2e.envs.geometry.astar import astar
from s2e.envs.geometry.scene import Script, Truth
from s2e.envs.scenes.episodes import SOCIAL, check_episodes, read_episodes
from s2e.envs.scenes.files import (
    PLACES,
    SOCIAL_HELD_OUT,
    SUITES,
    episodes_file,
    load_scene,
    scene_folder,
)
from s2e.envs.scenes.placing import place_obstacles

FOLDER = scene_folder("social/doorway").parent


@pytest.fixture(scope="module")
def suite():
    return {name: read_episodes(episodes_file(name)) for name in SUITES["social"]}


def test_the_list_names_every_file_and_its_hash():
    listed = json.loads((FOLDER / "suite.json").read_text())
    assert listed["held_out"] == list(SOCIAL_HELD_OUT)
    there = {p.relative_to(FOLDER).as_posix() for p in FOLDER.glob("*/*")}
    assert set(listed["files"]) == there
    for name, entry in listed["files"].items():
        assert sha256(FOLDER / name) == entry["sha256"], name
    assert sum(entry["bytes"] for entry in listed["files"].values()) < 10_000_000
    folders = {name.removeprefix("social/") for name in (*SUITES["social"], *PLACES)}
    assert folders == {p.name for p in FOLDER.iterdir() if p.is_dir()}


def test_there_are_twenty_of_each_kind_and_they_differ(suite):
    kinds = {e.truth.kind for listed in suite.values() for e in listed}
    assert len(kinds) >= 12 and set(SOCIAL_HELD_OUT) < kinds
    for name, listed in suite.items():
        assert len(listed) == 20 and len({e.id for e in listed}) == 20
        assert all(e.setting == SOCIAL and e.task for e in listed)
        kind = name.removeprefix("social/").removesuffix("_splats")
        assert {e.truth.kind for e in listed} == {kind}
        assert len({e.start for e in listed}) == 20
    splats = [n for n in suite if load_place(n).startswith("gs_urban/")]
    assert len({suite[n][0].truth.kind for n in splats}) >= 2


def load_place(name):
    return json.loads((scene_folder(name) / "scene.json").read_text())["place"]["scene"]


def test_what_is_judged_is_there(suite):
    for listed in suite.values():
        for e in listed:
            truth = e.truth
            assert len(truth.alone_s) == len(e.walkers)
            assert (truth.yields == "robot") == (truth.zone[2] > 0)
            assert bool(truth.whom) == bool(truth.yields or truth.side)
            walks = [w.behaviour != "stand" for w in e.walkers]
            assert [s > 0 for s in truth.alone_s] == walks
            for w, alone_s in zip(e.walkers, truth.alone_s, strict=True):
                # nobody is quicker than 1.3 times their own speed
                assert alone_s == 0 or alone_s > (math.dist(w.start, w.goal) - 0.6) / (
                    1.3 * w.speed
                )
            assert all(len(group) > 1 for group in truth.groups)
            if e.rule in ("keep_right", "keep_left"):
                assert e.rule == f"keep_{truth.side}" and f"Keep {truth.side}." in e.task


def test_both_hands_and_both_directions_occur(suite):
    for name in ("social/head_on", "social/keep_right", "social/overtake"):
        sides = [e.truth.side for e in suite[name]]
        assert min(sides.count("left"), sides.count("right")) >= 4, name
        east = [e.goal[0] > e.start[0] for e in suite[name]]
        assert 3 <= sum(east) <= 17, name
    route = [e.task for e in suite["social/route"]]
    assert {("left" in t, "Go along the arcade" in t) for t in route} == {
        (a, b) for a in (True, False) for b in (True, False)
    }


@pytest.mark.parametrize("name", ["social/gate", "social/blocked"])
def test_the_way_round_crosses_the_line_and_the_straight_way_is_closed(suite, name):
    scene = load_scene(name)
    check_episodes(episodes_file(name), scene, suite[name])
    for e in suite[name][:4]:
        occupancy = place_obstacles(scene, e).occupancy
        closed = scene.ground is None or occupancy.blocked_by(0.05, scene.ground.height)
        assert not isinstance(closed, bool)
        way = astar(closed, closed.distance(), np.array(e.start[:2]), np.array(e.goal), 0.45)
        assert way is not None and crosses_line(way, e.truth.gates[0]).any()
        length = np.linalg.norm(np.diff(way, axis=0), axis=1).sum()
        assert length == pytest.approx(e.route_m, rel=0.05)
        assert length > math.dist(e.start[:2], e.goal) + (14 if name.endswith("gate") else 4)


def test_nothing_of_it_is_default(suite):
    """A script or a truth that is written is read again as it was."""
    walkers = [w for listed in suite.values() for e in listed for w in e.walkers]
    assert {w.script.child for w in walkers} == {True, False}
    assert any(w.script.follow >= 0 for w in walkers) and any(w.script.once for w in walkers)
    assert any(w.script.wait_m > 0 for w in walkers) and any(w.script.wait_s > 0 for w in walkers)
    assert any(w.script == Script() for w in walkers)
    assert all(e.truth != Truth() for listed in suite.values() for e in listed)
