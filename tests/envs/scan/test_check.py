"""What `s2e-scene check` finds: nothing in a good scene, and each thing by name in a spoiled
one."""

import dataclasses
import json
import shutil

import numpy as np
import pytest

from s2e.core.errors import UserError
from s2e.envs.geometry.occupancy import Occupancy
from s2e.envs.scan.check import (
    _noise_of,
    check_scene,
    findings,
    free_way,
    route_around,
    solved,
    splats_against_map,
)
from s2e.envs.scan.listing import describe, scene_table
from s2e.envs.scenes.episodes import read_episodes, write_episodes
from s2e.envs.scenes.files import scene_folder
from tests.envs.scan.yard import yard_scene


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scenes") / "yard"
    yard_scene(folder)
    return folder


@pytest.fixture(scope="module")
def scene(folder):
    from s2e.envs.scenes.files import load_scene

    return load_scene(folder)


def test_a_good_scene_passes(folder, capsys):
    assert check_scene(str(folder), everything=False)
    printed = capsys.readouterr().out
    assert (
        "FAILED" not in printed
        and "12 of 12 episodes have one" in printed
        and "3 of 3 driven episodes" in printed
    )
    assert printed.splitlines()[-1].endswith("fit to drive in")


def test_spoiled_files_are_named(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "a")
    path = tmp_path / "a" / "episodes.json"
    listed = read_episodes(path)
    write_episodes(path, "yard", [dataclasses.replace(listed[0], time_limit_s=2.0), *listed[1:]])
    found = {f.what: f for f in findings(str(tmp_path / "a"), everything=True)}
    assert not found["episode file"].good and "sha256" in found["episode file"].found
    assert (
        not found["expert, empty"].good
        and f"2 of 3 driven episodes reach the goal in time; not: {listed[0].id}"
        in found["expert, empty"].found
    )
    assert found["expert, obstacle"].good and found["anchors"].good
    write_episodes(path, "yard", [dataclasses.replace(listed[0], start=(500.0, 0.0, 0.0))])
    *_, last = findings(str(tmp_path / "a"), everything=False)
    assert last.what == "episodes" and not last.good and "outside the scene's grid" in last.found
    write_episodes(
        path, "yard", [listed[0], dataclasses.replace(listed[1], start=(*listed[1].goal, 0.0))]
    )
    *_, last = findings(str(tmp_path / "a"), everything=False)
    assert (
        not last.good
        and f"episodes.json: episode {listed[1].id}: the start is within 1 m of the goal"
        in last.found
    )
    (tmp_path / "a" / "splats.ply").write_bytes(b"ply")
    with pytest.raises(UserError, match=r"splats\.ply: sha256"):
        check_scene(str(tmp_path / "a"), everything=False)


def test_a_map_without_its_obstacles_is_found_out(scene):
    good = {f.what: f for f in splats_against_map(scene)}
    assert good["free ground"].good and good["ground height"].good
    shifted = dataclasses.replace(
        scene,
        occupancy=Occupancy(
            np.zeros_like(scene.occupancy.grid), scene.occupancy.origin, scene.occupancy.resolution
        ),
    )
    assert not {f.what: f for f in splats_against_map(shifted)}["free ground"].good
    lifted = dataclasses.replace(
        scene,
        ground=dataclasses.replace(scene.ground, height=scene.ground.height + np.float32(0.15)),
    )
    assert not {f.what: f for f in splats_against_map(lifted)}["ground height"].good
    noisy = {f.what: f for f in splats_against_map(lifted, noise_m=0.06)}["ground height"]
    assert noisy.good and "within 0.18 m" in noisy.found


def test_lost_anchors_and_closed_routes_are_named(scene, folder):
    from s2e.envs.scan.check import _anchors

    anchors = scene.free_anchors.copy()
    anchors[3] = (-5.0, 0.0)
    (finding,) = _anchors(dataclasses.replace(scene, free_anchors=anchors))
    assert not finding.good and "(-5.0, 0.0)" in finding.found
    wall = scene.occupancy.grid.copy()
    wall[:, wall.shape[1] // 2] = True
    closed = dataclasses.replace(scene, occupancy=dataclasses.replace(scene.occupancy, grid=wall))
    episode = read_episodes(folder / "episodes.json")[0]
    middle = scene.occupancy.origin[0] + 0.05 * wall.shape[1]
    across = dataclasses.replace(episode, start=(middle - 4, 5.0, 0.0), goal=(middle + 4, 5.0))
    assert route_around(closed, across) is None and route_around(scene, across) is not None
    assert not solved(closed, [across]).any()


def test_free_ways_end_at_walls(scene):
    ahead = free_way(
        scene, np.array([[7.0, 6.0], [7.0, 6.0], [6.0, 3.6]]), np.array([0.0, np.pi / 2, np.pi])
    )
    assert np.allclose(ahead, [7.0, 6.0, 2.0], atol=0.25)  # two walls and a box


def test_the_list_shows_what_there_is(folder, tmp_path):
    assert describe("yard", folder)[3] == "12" and describe("yard", folder)[2].endswith(" m")
    plaza, where = (
        describe("gs_urban/plaza", scene_folder("gs_urban/plaza")),
        scene_folder("gs_urban/plaza") / "scene.json",
    )
    assert (
        plaza[1] == f"{json.loads(where.read_bytes())['gaussians']:,}"
        and plaza[3] == "200"
        and plaza[5] == "the package"
    )
    assert describe("market", scene_folder("market"))[1] == "triangles"
    assert describe("none", tmp_path / "none")[5] == "missing scene.json"
    good = json.loads((folder / "scene.json").read_bytes())
    out = {**good, "files": {**good["files"], "splats": {"path": str(folder / "splats.ply")}}}
    for data in ([], {"files": {"splats": {"path": "none"}}}, {**good, "units": "cm"}, out, good):
        (tmp_path / "scene.json").write_text(json.dumps(data))
        assert describe("bad", tmp_path) == (
            "bad",
            "",
            "",
            "",
            "",
            "damaged; see `s2e-scene check bad`",
        )


@pytest.mark.parametrize("odd", ["1e999", "-1", "NaN", "1" + 400 * "0", '"x"', "[]"])
def test_odd_figures_of_a_scene_are_none(folder, tmp_path, odd):
    shutil.copytree(folder, tmp_path / "odd")
    file = tmp_path / "odd" / "scene.json"
    data = json.loads(file.read_bytes()) | {"floor": {"noise_m": "ODD"}, "gaussians": "ODD"}
    file.write_text(json.dumps(data).replace('"ODD"', odd))
    assert _noise_of(tmp_path / "odd") == 0.0
    assert len(describe("odd", tmp_path / "odd")) == 6


def test_a_collection_that_is_a_file_is_said_to_be_one(tmp_path, monkeypatch):
    monkeypatch.setenv("S2E_SCENES", str(tmp_path / "none"))
    assert "gs_urban/plaza" in scene_table()
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("S2E_SCENES", str(tmp_path / "file"))
    with pytest.raises(
        UserError, match=r"file: cannot be listed \(Not a directory\); set S2E_SCENES to a folder"
    ):
        scene_table()
