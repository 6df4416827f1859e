"""gs_urban: what ships is what its list says, every scene is fit to drive in, looks where it says
something stands, and is made by its script."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import label

import s2e.assets
from s2e.benchmarks.bench import PROTOCOL
from s2e.core.errors import UserError
from s2e.envs.config import WorldsConfig
from s2e.envs.expert.drive import ExpertAgent
from s2e.envs.geometry.camera import Camera, camera_poses
from s2e.envs.geometry.ground import GroundFields, ground_height_at
from s2e.envs.scenes.episodes import SETTINGS, ListedEpisodes, read_episodes
from s2e.envs.scenes.files import load_scene, scene_folder
from s2e.envs.scenes.placing import place_obstacles
from s2e.envs.scenes.propose import on_wheels
from s2e.envs.splats.render import prepare, render_splats
from s2e.envs.splats.views import Views
from s2e.envs.worlds import Worlds
from tools.urban import suite

FIRST, *OTHERS = suite.SCENES


@pytest.fixture(
    scope="module", params=[FIRST, *(pytest.param(name, marks=pytest.mark.slow) for name in OTHERS)]
)
def urban(request):
    """A scene of the suite and its episodes."""
    name = f"gs_urban/{request.param}"
    return load_scene(name), read_episodes(scene_folder(name) / "episodes.json")


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
    # in a street nearly every far pair has something between
    assert far.sum() > 300 and 0.3 < blocked.mean() < 1


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
        Views(positions, rotations, camera.intrinsics(), camera.height_px, camera.width_px),
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
    driver, reached = ExpertAgent(worlds), 0
    driver.reset(np.arange(len(chosen)))
    while worlds.live.any():
        worlds.step(driver.act())
        reached += int(worlds.last["success"].sum()) if len(worlds.last) else 0
    assert reached >= len(chosen) - 1


def test_what_ships_is_what_is_listed():
    folder = Path(s2e.assets.__file__).parent / "gs_urban"
    listed = json.loads((folder / "suite.json").read_text())
    assert listed == suite.listing(folder) and listed["protocol"] == PROTOCOL
    kinds = ("episodes.json", "occupancy.npz", "scene.json", "splats.spz")
    assert set(listed["files"]) == {f"{name}/{kind}" for name in suite.SCENES for kind in kinds}
    assert sum(file["bytes"] for file in listed["files"].values()) < 30e6


@pytest.mark.slow
def test_the_script_makes_the_scene_that_ships(tmp_path):
    suite.build("plaza", tmp_path)
    ships = scene_folder("gs_urban/plaza")
    for file in ("episodes.json", "occupancy.npz"):
        assert (tmp_path / file).read_bytes() == (ships / file).read_bytes()
    made, shipped = (
        np.frombuffer(gzip.decompress((folder / "splats.spz").read_bytes()), np.uint8)
        for folder in (tmp_path, ships)
    )
    # Another numpy or another processor may round differently; a shadow ray then grazes.
    assert len(made) == len(shipped) and np.mean(made == shipped) > 0.999


def test_no_such_scene():
    with pytest.raises(UserError, match="no scene of gs_urban; choose among plaza"):
        suite.build("nowhere", "unused")
