"""Pictures show what they should, where they should."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from s2e.core.errors import UserError
from s2e.envs.geometry.scene import Sky, Splats
from s2e.envs.scan import picture, preview
from s2e.envs.scan.picture import ticks
from s2e.envs.scan.plan import DOWN, parallel_view, top_down
from s2e.envs.scan.preview import draw_removed, draw_top, eye_views, tint, write_preview
from s2e.envs.scan.removed import removed_report, sky_of
from s2e.envs.scenes.episodes import read_episodes
from s2e.envs.scenes.files import load_scene
from s2e.envs.splats.transform import Placement
from tests.envs.scan.yard import blobs, yard_scene


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scenes") / "yard"
    yard_scene(folder)
    return folder


@pytest.fixture(scope="module")
def scene(folder):
    return load_scene(folder)


def some(means, colour, scale=0.1):
    means, quats, scales, opacities, sh = blobs(np.random.default_rng(0), means, scale, 0.95)
    sh[:] = (np.array(colour) - 0.5) / 0.2820948
    means, quats, scales, opacities, sh = (
        a.astype(np.float32) for a in (means, quats, scales, opacities, sh)
    )
    return Splats(means, quats, scales, opacities, sh)


def test_views_from_above_are_to_scale(scene):
    image = parallel_view(
        some([[3.0, 1.0, 0.5]], (1, 0, 0)),
        np.array([2.0, 2.0, 0.0]),
        DOWN,
        20.0,
        100,
        200,
        (0.0, 0.0, 0.0),
    )
    rows, columns = np.nonzero(image[..., 0] > 128)
    assert abs(columns.mean() + 0.5 - (100 + 20)) < 0.7 and abs(rows.mean() + 0.5 - (50 + 20)) < 0.7
    photo = top_down(scene, 20.0)
    assert photo.shape == (
        20 * scene.occupancy.grid.shape[0] // 10,
        20 * scene.occupancy.grid.shape[1] // 10,
        3,
    )
    row = int(photo.shape[0] - 20 * (3.5 - scene.occupancy.origin[1]))
    column = int(20 * (3.5 - scene.occupancy.origin[0]))
    box, floor = (
        photo[row - 4 : row + 4, c - 4 : c + 4].mean((0, 1)) for c in (column, column + 44)
    )
    assert box[2] - box[0] > 50 > floor[2] - floor[0]  # blue box on grey ground


def test_solid_cells_are_tinted_and_free_ones_are_not(scene):
    grey = np.full((140, 160, 3), 100, np.uint8)
    grid = np.zeros((14, 16), dtype=bool)
    grid[0, 0] = grid[13, 5] = True
    import dataclasses

    flat = dataclasses.replace(
        scene, occupancy=dataclasses.replace(scene.occupancy, grid=grid), ground=None
    )
    red = tint(grey, flat)[..., 0] > 100
    assert red.sum() == 200 and red[130:, :10].all() and red[:10, 50:60].all()


def test_all_pictures_are_written(folder, tmp_path, scene, monkeypatch):
    monkeypatch.setattr(preview, "SIZE_PX", 500)
    paths = write_preview(str(folder), tmp_path / "out")
    assert [p.name for p in paths] == [
        "top.png",
        "view-1.png",
        "view-2.png",
        "view-3.png",
        "view-4.png",
    ]
    with Image.open(tmp_path / "out" / "view-1.png") as image:
        assert image.size == (640, 400) and np.asarray(image).std() > 10
    drawn = np.asarray(draw_top(scene, read_episodes(folder / "episodes.json"))).astype(int)
    bare = np.asarray(draw_top(scene, [])).astype(int)
    assert (np.abs(drawn - bare).max(-1) > 60).sum() > 500  # routes
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        write_preview(str(folder), tmp_path / "file")


def test_eye_views_look_along_free_ways(scene):
    views = eye_views(scene, 3)
    assert len(views) == 3 and all(v.shape == (400, 640, 3) for v in views)


def test_removed_gaussians_are_counted_where_they_are():
    splats = some([[0, 0, 1.0]] * 3 + [[0, 0, 40.0]] * 2 + [[0, 0, 900.0]], (0.2, 0.3, 0.9), 0.3)
    reasons = np.array([0, 5, 5, 2, 2, 3], np.uint8)
    report = removed_report(splats, reasons, Placement(0.5, np.eye(3), np.array([0, 0, 0.2])))
    assert report["counts"] == {
        "kept": 1,
        "transparent": 0,
        "oversized": 2,
        "distant": 1,
        "haze": 0,
        "isolated": 2,
    }
    edges = report["height_edges_m"]
    assert report["height"]["isolated"][edges.index(0.5)] == 2  # 0.7 m
    assert (
        report["height"]["oversized"][edges.index(20.0)] == 2
        and report["height"]["distant"][-1] == 1
    )
    assert report["size"]["oversized"][report["size_edges_m"].index(0.1)] == 2  # 0.15 m
    image = draw_removed("yard", report)
    assert image.size[0] > 1000


def test_the_sky_has_the_colours_of_its_dome():
    rng = np.random.default_rng(0)
    direction = rng.normal(size=(400, 3))
    direction[:, 2] = np.abs(direction[:, 2])
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    splats = some(direction * 100, (0.2, 0.4, 0.8), 5.0)
    low = direction[:, 2] < np.sin(np.radians(30))
    splats.sh[low] = (np.array([0.9, 0.8, 0.7]) - 0.5) / 0.2820948
    sky = sky_of(splats, np.full(400, 3, np.uint8), Placement(1.0, np.eye(3), np.zeros(3)))
    assert np.allclose(sky.zenith, [51, 102, 204], atol=1) and np.allclose(
        sky.horizon, [230, 204, 178], atol=1
    )
    assert sky_of(splats, np.zeros(400, np.uint8), Placement(1.0, np.eye(3), np.zeros(3))) == Sky(
        fog_m=400.0, sun=(0.0, 0.0, 1.0)
    )


def test_ticks():
    assert np.allclose(ticks(-1.3, 7.9), np.arange(-1, 8)) and np.allclose(
        ticks(0, 1, 5), [0, 0.2, 0.4, 0.6, 0.8, 1.0]
    )
    assert len(ticks(3.0, 3.0)) <= 2 and not np.signbit(ticks(-1, 1)[len(ticks(-1, 1)) // 2])


def test_compiling_is_said_once(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(picture, "stamp_of_sources", lambda: tmp_path / "s2e-0.compiled")
    for said in (True, False):
        with picture.compiling():
            assert ("compiling kernels, once for this version" in capsys.readouterr().err) == said


@pytest.mark.parametrize("counts", ["[]", '{"haze": 1e999}', '{"haze": []}', '{"haze": 1}'])
def test_a_damaged_report_of_what_was_removed_is_said_to_be(folder, tmp_path, counts):
    shutil.copytree(folder, tmp_path / "odd")
    file = tmp_path / "odd" / "scene.json"
    data = json.loads(file.read_bytes()) | {
        "removed": {"counts": "COUNTS", "height_edges_m": [1.0], "height": {"haze": []}}
    }
    file.write_text(json.dumps(data).replace('"COUNTS"', counts))
    with pytest.raises(UserError, match=r"scene\.json: field 'removed' is damaged"):
        write_preview(str(tmp_path / "odd"), tmp_path / "pictures")
