"""gs_urban: every scene is fit to drive in, looks where it says something stands, and is made by
its script to the byte."""

import json
import os
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import label

from s2e.assets.urban import SCENES, suite
from s2e.core.errors import UserError
from s2e.envs.config import WorldsConfig
from s2e.envs.expert.drive import ExpertDriver
from s2e.envs.geometry.camera import Camera, camera_poses
from s2e.envs.geometry.ground import GroundFields, ground_height_at
from s2e.envs.scenes.episodes import SETTINGS, ListedEpisodes, read_episodes
from s2e.envs.scenes.files import load_scene, scene_folder
from s2e.envs.scenes.placing import place_obstacles
from s2e.envs.scenes.propose import on_wheels
from s2e.envs.splats.render import prepare, render_splats
from s2e.envs.worlds import Worlds

MADE = [name for name in SCENES if name != "plaza"]


@pytest.fixture(
    scope="module", params=["plaza", *(pytest.param(name, marks=pytest.mark.slow) for name in MADE)]
)
def urban(request, tmp_path_factory):
    """A scene of the suite; what does not ship is built once, into a folder of its own unless
    S2E_CACHE names one."""
    with pytest.MonkeyPatch.context() as patch:
        if "S2E_CACHE" not in os.environ:
            patch.setenv("S2E_CACHE", str(tmp_path_factory.mktemp("cache")))
        scene = load_scene(f"gs_urban/{request.param}")
        episodes = read_episodes(scene_folder(f"gs_urban/{request.param}") / "episodes.json")
    return scene, episodes


def heights(scene, points):
    """World z of the ground under points (..., 2)."""
    flat = points.reshape(-1, 2)
    return ground_height_at(GroundFields.pack([scene]), np.zeros(len(flat), int), flat).reshape(
        points.shape[:-1]
    )


def test_anchors_are_clear_and_connected(urban):
    scene, _ = urban
    distance = on_wheels(scene.occupancy, scene.ground).distance()
    rows, columns = scene.occupancy.cell_of(scene.free_anchors).T
    assert len(scene.free_anchors) >= 40
    assert (distance[rows, columns] >= 0.8).all()
    regions = np.zeros(distance.shape, np.int32)
    label(distance > 0.45, output=regions)
    assert len(set(regions[rows, columns])) == 1 and regions[rows[0], columns[0]] > 0
    apart = np.linalg.norm(
        scene.free_anchors[:, None] - scene.free_anchors[None], axis=2
    ) + 100 * np.eye(len(rows))
    assert apart.min() > 1.0


def test_something_stands_between_many_far_anchors(urban):
    scene, _ = urban
    anchors, distance = scene.free_anchors, on_wheels(scene.occupancy, scene.ground).distance()
    first, second = np.triu_indices(len(anchors), 1)
    far = np.linalg.norm(anchors[first] - anchors[second], axis=1) > 12
    line = (
        anchors[first[far], None]
        + np.linspace(0, 1, 400)[:, None] * (anchors[second[far]] - anchors[first[far]])[:, None]
    )
    cells = scene.occupancy.cell_of(line)
    blocked = (distance[cells[..., 0], cells[..., 1]] < 0.4).any(axis=1)
    assert (
        far.sum() > 300 and 0.3 < blocked.mean() < 1
    )  # in a street nearly every far pair has something between


def way_ahead(scene, anchors, yaws):
    """Metres to what stands in the way, 40 where nothing does; NaN where the ground rises or falls
    by 0.3 m before."""
    steps = np.arange(0, 40, 0.02)
    rays = anchors[:, None] + steps[:, None] * np.stack([np.cos(yaws), np.sin(yaws)], 1)[:, None]
    rows, columns = np.moveaxis(scene.occupancy.cell_of(rays), -1, 0)
    shape = scene.occupancy.grid.shape
    inside = (rows >= 0) & (columns >= 0) & (rows < shape[0]) & (columns < shape[1])
    hit = ~inside | scene.occupancy.grid[rows.clip(0, shape[0] - 1), columns.clip(0, shape[1] - 1)]
    hit[:, -1] = True
    sloped = np.abs(heights(scene, rays) - heights(scene, anchors)[:, None]) > 0.3
    first = np.argmax(hit, axis=1)
    return np.where(np.argmax(sloped | hit, axis=1) < first, np.nan, steps[first])


def test_robots_see_what_stands_in_their_way(urban):
    """Depth rendered at camera height agrees with the occupancy along the optical axis, and the
    ground is closed."""
    scene, _ = urban
    camera = Camera(x=0.0, pitch_deg=0.0)
    anchors = np.repeat(scene.free_anchors, 2, axis=0)
    yaws = np.linspace(0, 2 * np.pi, len(anchors), endpoint=False) * 7
    positions, rotations = camera_poses(np.column_stack([anchors, yaws]), camera)
    positions[:, 2] += heights(scene, anchors)
    _, depth, alpha = render_splats(
        prepare(scene.splats),
        positions,
        rotations,
        camera.intrinsics(),
        camera.height_px,
        camera.width_px,
    )
    seen = np.median(depth[:, 46:50, 78:82], axis=(1, 2))
    # Four pixels are 2 degrees, in which an edge may lie; a Gaussian is some 0.2 m wide.
    measured = np.array(
        [way_ahead(scene, anchors, yaws + turn) for turn in np.radians([-1.5, -0.75, 0, 0.75, 1.5])]
    )
    judged = ~np.isnan(measured).any(axis=0) & (measured.max(axis=0) < 39)
    near, far = (
        measured[:, judged].min(axis=0) * 0.9 - 0.25,
        measured[:, judged].max(axis=0) * 1.08 + 0.25,
    )
    close = (seen[judged] > near) & (seen[judged] < far)
    by_chance = (np.roll(seen[judged], 1) > near) & (np.roll(seen[judged], 1) < far)
    # Not every ray: seats and tubs lie below the eye, railings are seen through, and leaves hang
    # over what stands.
    assert judged.sum() > 30 and close.mean() > max(0.6, by_chance.mean() + 0.3)
    assert np.mean(alpha[:, 60:]) > 0.98


def test_size_and_ground(urban):
    scene, _ = urban
    assert (
        100_000 <= len(scene.splats.means) <= 500_000
        and scene.ground_z == 0.0
        and not len(scene.mesh.triangles)
    )
    assert scene.splats.sh.shape[1:] == (4, 3)
    assert np.allclose(np.linalg.norm(scene.splats.quats, axis=1), 1, atol=5e-3)
    assert np.isfinite(scene.splats.means).all() and (scene.splats.scales > 0).all()
    assert scene.ground.height.shape == scene.occupancy.grid.shape
    assert (~scene.occupancy.grid).sum() * scene.occupancy.resolution**2 > 200


def test_episodes_have_all_settings(urban):
    _, episodes = urban
    assert all(sum(e.setting == setting for e in episodes) >= 50 for setting in SETTINGS)


@pytest.mark.slow
def test_the_expert_reaches(urban):
    scene, episodes = urban
    chosen = [
        e
        for setting in ("empty", "obstacle")
        for e in [e for e in episodes if e.setting == setting][::10]
    ]
    scenes = [place_obstacles(scene, e) for e in chosen]
    worlds = Worlds(
        scenes,
        WorldsConfig(people=1, collision="counts"),
        len(chosen),
        ListedEpisodes(chosen),
        draw=False,
    )
    worlds.reset()
    driver, reached = ExpertDriver(worlds), 0
    driver.begin(np.arange(len(chosen)))
    while worlds.live.any():
        worlds.step(driver.act())
        reached += int(worlds.last["success"].sum()) if len(worlds.last) else 0
    assert reached >= len(chosen) - 1


def test_what_ships_is_small():
    files = {p.name: p.stat().st_size for p in scene_folder("gs_urban/plaza").iterdir()}
    splats = max(size for name, size in files.items() if name.startswith("splats"))
    assert splats < 3 * 2**20 and sum(files.values()) < 4 * 2**20


def test_the_script_makes_the_scene_that_ships(tmp_path):
    suite.build("plaza", tmp_path / "plaza", suite.SHIPPED_FILE)
    made, ships = load_scene(tmp_path / "plaza"), load_scene("gs_urban/plaza")
    assert (
        made.splats is not None
        and ships.splats is not None
        and made.splats.means.shape == ships.splats.means.shape
    )
    assert np.mean(np.abs(made.splats.means - ships.splats.means) < 2e-3) > 0.999
    assert (
        np.mean(np.abs(made.splats.sh - ships.splats.sh) < 0.1) > 0.999
    )  # a shadow ray may graze differently elsewhere
    assert np.array_equal(made.occupancy.grid, ships.occupancy.grid)
    assert np.allclose(made.free_anchors, ships.free_anchors)
    assert (tmp_path / "plaza" / "episodes.json").read_bytes() == (
        scene_folder("gs_urban/plaza") / "episodes.json"
    ).read_bytes()


def test_scenes_are_built_once_and_again_when_sources_change(tmp_path, monkeypatch):
    monkeypatch.setenv("S2E_CACHE", str(tmp_path))
    built = []

    def write(name, folder):
        files = {
            key: {"path": f"{key}.file", "bytes": 2} for key in ("splats", "occupancy", "episodes")
        }
        (folder / "scene.json").write_text(
            json.dumps({"sources": suite.sources(name), "files": files})
        )
        for file in files.values():
            (folder / file["path"]).write_text("{}")

    def build(name, folder, bar=None):
        built.append(name)
        write(name, folder)

    monkeypatch.setattr(suite, "build", build)
    folder = suite.ensure("lane")
    assert (
        folder == tmp_path / "gs_urban" / "lane"
        and suite.ensure("lane") == folder
        and built == ["lane"]
    )
    (folder / "scene.json").write_text(json.dumps({"sources": "0"}))
    suite.ensure("lane")
    assert built == ["lane", "lane"]
    for k, damage in enumerate((Path.unlink, lambda path: path.write_text("{"))):
        damage(folder / "splats.file")
        assert (
            suite.ensure("lane") == folder
            and len(built) == 3 + k
            and (folder / "splats.file").read_text() == "{}"
        )

    def raced(name, folder, bar=None):
        build(name, folder)
        (tmp_path / "gs_urban" / name).mkdir()
        write(name, tmp_path / "gs_urban" / name)

    monkeypatch.setattr(suite, "build", raced)
    assert suite.ensure("hall").is_dir()

    def stopped(name, folder, bar=None):
        (folder / "splats.ply").write_text("half")
        raise KeyboardInterrupt

    monkeypatch.setattr(suite, "build", stopped)
    with pytest.raises(KeyboardInterrupt):
        suite.ensure("park")
    locks = [".hall.lock", ".lane.lock", ".park.lock"]
    assert sorted(p.name for p in (tmp_path / "gs_urban").iterdir() if p.name not in locks) == [
        "hall",
        "lane",
    ]


def test_of_several_that_want_a_scene_one_builds(tmp_path, monkeypatch):
    monkeypatch.setenv("S2E_CACHE", str(tmp_path))
    built = []

    def build(name, folder, bar=None):
        built.append(name)
        time.sleep(0.1)
        (folder / "scene.json").write_text(
            json.dumps({"sources": suite.sources(name), "files": {}})
        )

    monkeypatch.setattr(suite, "build", build)
    monkeypatch.setattr(suite, "_up_to_date", lambda folder, name: folder.is_dir())
    wanted = [threading.Thread(target=suite.ensure, args=("lane",)) for _ in range(3)]
    for thread in wanted:
        thread.start()
    for thread in wanted:
        thread.join()
    assert built == ["lane"] or suite.fcntl is None


def test_no_such_scene():
    with pytest.raises(UserError, match="no scene of gs_urban; choose among plaza"):
        suite.build("nowhere", "unused")
