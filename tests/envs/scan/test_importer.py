"""Captures of a yard, turned and scaled anyhow, become scenes that can be driven in; what is no
place is refused with a picture."""

import hashlib
import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from s2e.core.errors import UserError
from s2e.envs.geometry.scene import Splats
from s2e.envs.scan import importer, store
from s2e.envs.scan.args import Import, parse_up
from s2e.envs.scan.check import solved
from s2e.envs.scan.importer import hash_of, import_scene
from s2e.envs.scenes.episodes import check_episodes, read_episodes
from s2e.envs.scenes.files import load_scene
from s2e.envs.splats.formats.any import write_splats
from s2e.envs.splats.formats.streamed import join
from s2e.envs.splats.transform import Placement
from tests.envs.scan import captures
from tests.envs.scan.yard import BOXES, DEPTH_M, TERRACE, WIDTH_M, blobs, disturbed, yard

METRES_PER_UNIT = 0.37


@pytest.fixture(scope="module", autouse=True)
def floors():
    """Finds the floor of a capture once: it is most of an import, and of the same capture always
    the same."""
    known = {}

    def once(splats, up=None, eyes=None):
        key = tuple(
            None if array is None else array.tobytes() for array in (splats.means, up, eyes)
        )
        if key not in known:
            known[key] = find_floor(splats, up, eyes=eyes)
        return known[key]

    find_floor, patch = importer.find_floor, pytest.MonkeyPatch()
    patch.setattr(importer, "find_floor", once)
    yield
    patch.undo()


@pytest.fixture(scope="module")
def capture(tmp_path_factory):
    """The file of a turned yard, and the direction that is up in it."""
    path = tmp_path_factory.mktemp("capture") / "yard.ply"
    splats, up = disturbed(yard(), 11, METRES_PER_UNIT)
    write_splats(path, splats)
    return path, up


@pytest.fixture(scope="module")
def asked(capture, tmp_path_factory):
    return Import(
        capture[0],
        "yard",
        metres_per_unit=METRES_PER_UNIT,
        out=tmp_path_factory.mktemp("scenes"),
        episodes=6,
    )


@pytest.fixture(scope="module")
def imported(asked):
    return import_scene(asked)


def truth(folder, splats_path_up):
    """The placement of a scene, and where points of the yard are in it: a turn about z and a shift
    in the plane."""
    data = json.loads((folder / "scene.json").read_text())["transform"]
    placement = Placement(
        data["metres_per_unit"], np.array(data["rotation"]), np.array(data["translation"])
    )
    _, up = splats_path_up
    return placement, placement.rotation @ up


def in_scene(folder, points):
    """Points of the yard (metres, its own frame) in the scene."""
    data = json.loads((folder / "scene.json").read_text())["transform"]
    placement = Placement(
        data["metres_per_unit"], np.array(data["rotation"]), np.array(data["translation"])
    )
    points = np.asarray(points, dtype=np.float32)
    carrier = Splats(
        points,
        np.tile([1.0, 0, 0, 0], (len(points), 1)).astype(np.float32),
        np.ones((len(points), 3), np.float32),
        np.ones(len(points), np.float32),
        np.zeros((len(points), 1, 3), np.float32),
    )
    return placement.points(disturbed(carrier, 11, METRES_PER_UNIT)[0].means)


def test_floor_and_up_are_recovered(imported, capture):
    _, up = truth(imported, capture)
    assert np.degrees(np.arccos(up[2])) < 2.0
    corners = in_scene(imported, [(1, 1, 0), (13, 1, 0), (13, 8, 0), (7, 6, 0)])
    assert np.abs(corners[:, 2]).max() < 0.03 + 12 * np.radians(0.2)
    assert abs(corners[:, 2].mean()) < 0.03


def test_what_stands_in_the_yard_is_occupied_and_the_rest_is_free(imported):
    scene = load_scene(imported)
    grid = scene.occupancy.grid

    def solid(points):
        cells = scene.occupancy.cell_of(in_scene(imported, points)[:, :2])
        inside = ((cells >= 0) & (cells < grid.shape)).all(1)
        return np.where(inside, grid[tuple(np.clip(cells, 0, np.array(grid.shape) - 1).T)], True)

    for x0, y0, x1, y1, _ in BOXES:
        assert solid(
            [
                ((x0 + x1) / 2, (y0 + y1) / 2, 0),
                (x0 + 0.08, y0 + 0.08, 0),
                (x1 - 0.08, y1 - 0.08, 0),
            ]
        ).all()
    rng = np.random.default_rng(0)
    points = np.column_stack(
        [rng.uniform(0.5, WIDTH_M - 0.5, 400), rng.uniform(0.5, DEPTH_M - 0.5, 400), np.zeros(400)]
    )
    clear = np.ones(400, dtype=bool)
    for x0, y0, x1, y1, _ in (*BOXES, TERRACE):
        clear &= ~(
            (points[:, 0] > x0 - 0.25)
            & (points[:, 0] < x1 + 0.25)
            & (points[:, 1] > y0 - 0.25)
            & (points[:, 1] < y1 + 0.25)
        )
    assert solid(points[clear]).mean() < 0.02  # floaters block nothing
    assert solid([(-0.5, 5, 0), (7, 13, 0), (15, 5, 0)]).all()


def test_the_scene_says_where_it_came_from(imported, capture):
    data = json.loads((imported / "scene.json").read_text())
    assert (
        data["units"] == "m"
        and data["capture"]["file"] == "yard.ply"
        and len(data["capture"]["sha256"]) == 64
    )
    assert (
        data["transform"]["metres_per_unit"] == METRES_PER_UNIT and "given" in data["scale"]["how"]
    )
    assert set(data["files"]) == {"splats", "occupancy", "episodes"} and data["corrections"] == {}
    counts = data["removed"]["counts"]
    assert counts["kept"] == data["gaussians"] and sum(counts.values()) - counts["kept"] >= 100
    assert all(
        sum(data["removed"]["height"][k]) == n == sum(data["removed"]["size"][k])
        for k, n in counts.items()
    )
    assert 100 < data["robots_m2"]["jackal"] < 168
    scene, path = load_scene(imported), imported / "episodes.json"
    episodes = read_episodes(path)
    check_episodes(path, scene, episodes)
    assert (
        len(episodes) == 24
        and scene.splats is not None
        and len(scene.splats.means) == data["gaussians"]
    )


def test_the_same_import_gives_the_same_bytes_and_replaces(asked, imported):
    before = {p.name: p.read_bytes() for p in imported.iterdir()}
    (imported / "stray.txt").write_text("of the former scene")
    assert import_scene(asked) == imported
    assert {p.name: p.read_bytes() for p in imported.iterdir()} == before
    assert [p.name for p in imported.parent.iterdir()] == ["yard"]


def test_corrections_survive_and_change_the_import(asked, imported, tmp_path):
    centre = in_scene(imported, [(7.0, 5.0, 0.0)])[0]
    square = [[centre[0] + a, centre[1] + b] for a, b in ((-1, -1), (1, -1), (1, 1), (-1, 1))]
    sidecar = tmp_path / "yard.correct.json"
    text = json.dumps({"floor_offset_m": 0.02, "no_go": [square], "notes": "a pond"})
    sidecar.write_text(text)
    for _ in range(2):
        folder = import_scene(replace(asked, out=tmp_path, episodes=1))
        scene, data = load_scene(folder), json.loads((folder / "scene.json").read_text())
        row, column = scene.occupancy.cell_of(centre[:2])
        assert scene.occupancy.grid[row, column] and sidecar.read_text() == text
        assert data["corrections"]["notes"] == "a pond" and data["robots_m2"]["jackal"] < 145
        was = json.loads((imported / "scene.json").read_text())["transform"]["translation"]
        assert data["transform"]["translation"][2] == pytest.approx(was[2] - 0.02)


@pytest.mark.slow
def test_scale_from_cameras_and_from_a_point(asked, capture, tmp_path, monkeypatch):
    read, opened = importer.read_cameras, []
    monkeypatch.setattr(importer, "read_cameras", lambda path: opened.append(path) or read(path))
    points = np.array(
        [(3.0, 6.0, 1.5), (6.0, 6.0, 1.55), (9.0, 5.0, 1.45), (6.0, 2.0, 1.5)], np.float32
    )
    carrier = Splats(
        points,
        np.tile([1.0, 0, 0, 0], (4, 1)).astype(np.float32),
        np.ones((4, 3), np.float32),
        np.ones(4, np.float32),
        np.zeros((4, 1, 3), np.float32),
    )
    means = disturbed(carrier, 11, METRES_PER_UNIT)[0].means.astype(float)
    (tmp_path / "cameras.json").write_text(json.dumps([{"position": list(p)} for p in means]))
    bare = replace(asked, metres_per_unit=None, out=tmp_path, episodes=1)
    for more in (
        {"cameras": tmp_path / "cameras.json", "capture_height": 1.5},
        {"known_height": 1.5, "at": tuple(means[0])},
    ):
        data = json.loads((import_scene(replace(bare, **more)) / "scene.json").read_text())
        assert data["transform"]["metres_per_unit"] == pytest.approx(METRES_PER_UNIT, rel=0.03)
        assert 0 < data["scale"]["relative_uncertainty"] < 0.2
    assert len(opened) == 1
    # they say where up and floor are
    known = {"cameras": tmp_path / "cameras.json", "metres_per_unit": METRES_PER_UNIT}
    data = json.loads((import_scene(replace(bare, **known)) / "scene.json").read_text())
    assert data["robots_m2"]["jackal"] > 100
    with pytest.raises(
        UserError,
        match=r"yard\.ply: a floor was found, .* units across.*--metres-per-unit S .* --at X Y Z$",
    ):
        import_scene(replace(bare, name="none"))
    assert not (tmp_path / "none").exists()


@pytest.mark.slow
def test_objects_are_refused_with_a_picture_and_leave_what_was_there(asked, imported, tmp_path):
    rng = np.random.default_rng(0)
    ball = rng.normal(size=(4000, 3))
    parts = blobs(rng, ball / np.linalg.norm(ball, axis=1, keepdims=True), 0.03, 0.9)
    means, quats, scales, opacities, sh = (p.astype(np.float32) for p in parts)
    write_splats(tmp_path / "ball.ply", Splats(means, quats, scales, opacities, sh))
    with pytest.raises(UserError, match=r"ball\.ply: .*picture: .*yard\.refused\.png") as caught:
        import_scene(replace(asked, file=tmp_path / "ball.ply"))
    picture = imported.parent / "yard.refused.png"
    assert str(caught.value).endswith(str(picture))
    with Image.open(picture) as image:
        assert image.size[0] > 1000 and len(np.unique(np.asarray(image.convert("L")))) > 50
    load_scene(imported)
    import_scene(asked)
    assert not picture.exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    "scale,match",
    [
        (0.0001, r"floor is 0\.\d+ m across"),
        (0.03, "not navigable: the Jackal could drive on 0|the floor is 1.* m across"),
    ],
)
def test_absurd_scales_are_refused(asked, tmp_path, scale, match):
    with pytest.raises(UserError, match=match):
        import_scene(replace(asked, out=tmp_path, metres_per_unit=scale))
    assert not (tmp_path / "yard").exists()


@pytest.mark.parametrize(
    "change,match",
    [
        ({"name": "../evil"}, "--name"),
        ({"name": ""}, "--name"),
        ({"name": "a" * 65}, "--name"),
        ({"name": ".hidden"}, "--name"),
        ({"name": "a/b"}, "--name"),
        ({"name": "a\n"}, "--name"),
        ({"name": "plaza"}, "the package has a scene gs_urban/plaza, for which it would be taken"),
        ({"name": "hall"}, "the package has a scene gs_urban/hall, for which it would be taken"),
        ({"name": "market"}, "the package has a scene of that name"),
        ({"name": "gs_urban"}, "the package has a suite of scenes of that name"),
        ({"name": "market"}, "package"),
        ({"name": "x.json"}, "--name"),
        ({"metres_per_unit": 0.0}, "--metres-per-unit is 0"),
        ({"metres_per_unit": float("nan")}, "--metres-per-unit"),
        (
            {"metres_per_unit": 1e9},
            r"--metres-per-unit is 1000000000\.0; give 0\.000001 to 1000000",
        ),
        ({"up": "sideways"}, "--up sideways"),
        ({"up": "0,0,0"}, "--up"),
        ({"capture_height": 1.5}, "give both"),
        ({"cameras": Path("c.json"), "metres_per_unit": None}, "needs --capture-height"),
        ({"at": (0.0, 0.0, 0.0)}, "belong together"),
        ({"known_height": 1.0, "at": (0.0, 0.0, 0.0)}, "one scale"),
        ({"resolution": 0.0}, "--resolution"),
        ({"episodes": 0}, "--episodes"),
    ],
)
def test_senseless_arguments_are_refused_before_anything_is_read(asked, tmp_path, change, match):
    with pytest.raises(UserError, match=match):
        import_scene(replace(asked, **{"out": tmp_path, **change}))
    assert list(tmp_path.iterdir()) == []


def test_files_beside_the_capture_are_read_before_it(asked, tmp_path, monkeypatch):
    def never(*args, **kwargs):
        raise AssertionError("the capture was read")

    monkeypatch.setattr(importer, "read_splats", never)
    (tmp_path / "c.json").write_text("{}")
    (tmp_path / "m.glb").write_bytes(b"glTF")
    (tmp_path / "m.txt").write_bytes(b"mesh")
    with pytest.raises(UserError, match=rf"^{tmp_path}/c\.json: neither a list of cameras"):
        import_scene(
            replace(
                asked,
                out=tmp_path,
                metres_per_unit=None,
                cameras=tmp_path / "c.json",
                capture_height=1.5,
            )
        )
    for name, match in (
        ("none.glb", "cannot be read"),
        ("m.txt", "not one of"),
        ("m.glb", "cannot be read as GLB"),
    ):
        with pytest.raises(UserError, match=rf"^{tmp_path}/{name}: {match}"):
            import_scene(replace(asked, out=tmp_path, collision=tmp_path / name))
    (tmp_path / "yard.correct.json").write_text("[]")
    with pytest.raises(UserError, match=rf"^{tmp_path}/yard\.correct\.json: holds a list"):
        import_scene(replace(asked, out=tmp_path))
    assert not (tmp_path / "yard.refused.png").exists()


def test_errors_name_the_file_they_are_about_and_draw_no_picture(asked, tmp_path):
    sidecar = tmp_path / "yard.correct.json"
    sidecar.write_text(json.dumps({"no_go": [[[900, 0], [901, 0], [901, 1]]]}))
    with pytest.raises(UserError, match=rf"^{sidecar}: no_go\[0\] lies outside the place"):
        import_scene(replace(asked, out=tmp_path))
    assert [p.name for p in tmp_path.iterdir()] == ["yard.correct.json"]


def test_a_folder_of_sog_is_hashed_by_its_files(tmp_path):
    for name in ("meta.json", "means_l.webp"):
        (tmp_path / name).write_text(name)
    whole = hash_of(tmp_path)
    assert whole == hash_of(tmp_path / "meta.json") and len(whole) == 64
    assert hash_of(tmp_path / "means_l.webp") == hashlib.sha256(b"means_l.webp").hexdigest()
    (tmp_path / "means_l.webp").write_text("other")
    assert hash_of(tmp_path) != whole


def test_axes_can_be_named_or_given():
    assert parse_up(None) is None
    for text, wanted in (
        ("z", (0, 0, 1)),
        ("-y", (0, -1, 0)),
        ("+x", (1, 0, 0)),
        ("0,-2,0", (0, -1, 0)),
        ("0 3 4", (0, 0.6, 0.8)),
    ):
        up = parse_up(text)
        assert up is not None and np.allclose(up, wanted)


def test_other_folders_are_not_replaced(asked, tmp_path):
    (tmp_path / "yard").mkdir()
    (tmp_path / "yard" / "thesis.tex").write_text("years of work")
    with pytest.raises(UserError, match="holds something else than a scene"):
        import_scene(replace(asked, out=tmp_path))
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be made"):
        import_scene(replace(asked, out=tmp_path / "file"))
    (tmp_path / "link").symlink_to(tmp_path / "yard")
    with pytest.raises(UserError, match="file or a link"):
        import_scene(replace(asked, out=tmp_path, name="link"))
    assert (tmp_path / "yard" / "thesis.tex").read_text() == "years of work"


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
@pytest.mark.parametrize("where", [pytest.param("write_scene", marks=pytest.mark.slow), "replace"])
def test_what_stops_the_writing_leaves_the_former_scene(asked, imported, monkeypatch, error, where):
    before = {p.name: p.read_bytes() for p in imported.iterdir()}
    failed = []

    def fails(*args, **kwargs):
        if where == "replace" and (args[1] != imported or failed):
            return real(*args)  # all but the new scene's way to its place, the first time
        failed.append(args)
        raise error

    real = os.replace
    monkeypatch.setattr(store if where == "write_scene" else os, where, fails)
    with pytest.raises(
        KeyboardInterrupt if isinstance(error, KeyboardInterrupt) else UserError,
        match="|No space left.*nothing was changed",
    ):
        import_scene(asked)
    monkeypatch.undo()
    assert {p.name: p.read_bytes() for p in imported.iterdir()} == before
    assert [p.name for p in imported.parent.iterdir()] == ["yard"]


def test_a_room_of_three_metres_is_a_small_place(tmp_path):
    """No way of 5 m fits: shorter ones are proposed, said and such as the expert drives; a cupboard
    is refused."""
    small = captures.room(furniture=False)
    for width, depth, told in (
        (3.4, 3.3, "the place is small"),
        (2.0, 3.3, "too small or too narrow|needed"),
    ):
        turned = replace(
            small, means=small.means * np.array([width / 6, depth / 4.5, 1], dtype=np.float32)
        )
        path = tmp_path / "room.ply"
        write_splats(path, turned)
        args = Import(path, "room", metres_per_unit=1.0, up="z", out=tmp_path, episodes=6)
        if width < 3.0:
            with pytest.raises(UserError, match=told):
                import_scene(args)
            continue
        folder = import_scene(args)
        scene, episodes = load_scene(str(folder)), read_episodes(folder / "episodes.json")
        check_episodes(folder / "episodes.json", scene, episodes)
        assert len(episodes) == 24 and [e.id for e in episodes[:2]] == ["empty-000", "empty-001"]
        assert all(2.0 <= e.route_m < 5.0 for e in episodes if e.setting == "empty")
        assert solved(scene, episodes).all()


def test_blobs_are_refused_by_name(asked, imported):
    """A ground with fog of large Gaussians above it, that no voxel finds solid."""
    scene = load_scene(str(imported))
    importer.check_sight(scene)
    assert scene.splats is not None
    rng = np.random.default_rng(0)
    low, count = scene.occupancy.origin, 4000
    at = np.column_stack(
        [low + rng.random((count, 2)) * (WIDTH_M, DEPTH_M), rng.uniform(0.0, 2.0, count)]
    ).astype(np.float32)
    quats = np.tile(np.array([1, 0, 0, 0], np.float32), (count, 1))
    fog = Splats(
        at,
        quats,
        np.full((count, 3), 0.4, np.float32),
        np.full(count, 0.5, np.float32),
        np.zeros((count, 1, 3), np.float32),
    )
    with pytest.raises(
        UserError,
        match=r"navigable: blobs: half of the picture is nearer than 0\.35 m in \d+% .*train it "
        r"longer",
    ):
        importer.check_sight(replace(scene, splats=join(scene.splats, fog)))
