"""People and obstacles in splat scenes: who hides whom, what the ground under them looks like, and
the camera's faults."""

import dataclasses

import numpy as np
import pytest

from s2e.core.errors import UserError
from s2e.envs.geometry.camera import Camera, camera_poses
from s2e.envs.geometry.meshes import empty_mesh, transform
from s2e.envs.geometry.occupancy import Occupancy
from s2e.envs.geometry.scene import Scene, Sky, Splats
from s2e.envs.raster.effects import apply_to_views
from s2e.envs.raster.kernels import render_meshes
from s2e.envs.render import Renderer
from s2e.envs.splats.render import prepare, render_splats
from s2e.envs.splats.views import Views
from s2e.envs.streets.build import build_scene
from s2e.envs.streets.objects import obstacle_mesh

CAMERA = Camera(height_px=90, width_px=120, x=0.0, z=1.0, pitch_deg=8.0)
SIZE = CAMERA.height_px, CAMERA.width_px


def flat(points, colour, sigma, opacity=0.99) -> Splats:
    count = len(points)
    return Splats(
        means=np.asarray(points, np.float32),
        quats=np.tile(np.array([1, 0, 0, 0], np.float32), (count, 1)),
        scales=np.tile(np.array(sigma, np.float32), (count, 1)),
        opacities=np.full(count, opacity, np.float32),
        sh=np.tile((np.array(colour, np.float32) - 0.5) / 0.28209479, (count, 1))
        .reshape(count, 1, 3)
        .astype(np.float32),
    )


def together(*parts: Splats) -> Splats:
    means, quats, scales, opacities, sh = (
        np.concatenate([getattr(p, name) for p in parts])
        for name in ("means", "quats", "scales", "opacities", "sh")
    )
    return Splats(means, quats, scales, opacities, sh)


def ground() -> Splats:
    x, y = np.meshgrid(np.arange(0.2, 14, 0.15), np.arange(-6, 6, 0.15))
    return flat(
        np.column_stack([x.ravel(), y.ravel(), np.zeros(x.size)]),
        (0.6, 0.55, 0.5),
        (0.1, 0.1, 0.005),
    )


def wall(x: float, low: float = 0.0) -> Splats:
    """A green wall across the view, from a height up to 3 m."""
    y, z = np.meshgrid(np.arange(-4, 4, 0.1), np.arange(low, 3, 0.1))
    return flat(
        np.column_stack([np.full(y.size, x), y.ravel(), z.ravel()]),
        (0.1, 0.8, 0.1),
        (0.005, 0.07, 0.07),
    )


def scene(splats: Splats | None, mesh=None) -> Scene:
    occupancy = Occupancy(np.zeros((100, 100), bool), np.array([-5.0, -5.0]), 0.1)
    return Scene(
        "test",
        occupancy,
        empty_mesh() if mesh is None else mesh,
        np.zeros((1, 2)),
        splats,
        sky=Sky(fog_m=1e4),
    )


def draw(of: Scene, people=None, **more):
    positions, rotations = camera_poses(np.zeros((1, 3)), CAMERA)
    people = np.full((1, 1, 7), np.nan, np.float32) if people is None else people
    return Renderer([of]).draw(
        np.zeros(1, int), positions, rotations, CAMERA.intrinsics()[None], SIZE, people, **more
    )


def person(x: float, y: float = 0.0, look: int = 3):
    return np.array([[[x, y, 0.0, 1.0, 0.0, look, 0.0]]], np.float32)


def test_a_wall_hides_a_person_and_a_person_hides_a_wall():
    splats = together(ground(), wall(5.0))
    alone, behind, before = (draw(scene(splats), p) for p in (None, person(7.0), person(3.0)))
    assert np.abs(behind.rgb[0, :40].astype(int) - alone.rgb[0, :40]).max() <= 2
    np.testing.assert_allclose(behind.depth[0, :40], alone.depth[0, :40], atol=0.02)
    only = draw(scene(None), person(3.0))
    body = (np.abs(only.depth[0] - 3.0) < 0.4) & (np.arange(SIZE[0])[:, None] < 65)
    assert body.sum() > 200
    np.testing.assert_allclose(before.depth[0][body], only.depth[0][body], atol=0.02)
    assert np.abs(before.rgb[0][body].astype(int) - only.rgb[0][body]).max() <= 2


def test_a_wall_half_way_up_hides_half_a_person():
    splats = together(ground(), wall(4.0, low=0.95))
    seen, only = draw(scene(splats), person(6.0)), draw(scene(None), person(6.0))
    body = np.abs(only.depth[0] - 6.0) < 0.4
    rows = np.flatnonzero(body.any(1))
    shown = body & (np.abs(seen.depth[0] - np.nan_to_num(only.depth[0], posinf=1e6)) < 0.2)
    by_row = (shown.sum(1) / np.maximum(body.sum(1), 1))[rows]
    quarter = len(rows) // 4
    assert by_row[:quarter].max() < 0.1 and by_row[-quarter:].min() > 0.9
    green = seen.rgb[0, rows[1]][body[rows[1]]]
    assert (green[:, 1] > 2 * green[:, 0].astype(int)).all()


def test_feet_stand_on_the_ground_and_do_not_sink_into_it():
    seen, only = draw(scene(ground()), person(3.0)), draw(scene(None), person(3.0))
    body = np.isfinite(only.depth[0])
    lowest = body & (np.arange(SIZE[0])[:, None] > np.flatnonzero(body.any(1))[-1] - 3)
    np.testing.assert_allclose(seen.depth[0][lowest], only.depth[0][lowest], atol=0.08)


def test_the_ground_under_people_and_obstacles_is_dark_and_elsewhere_as_before():
    without, with_person = draw(scene(ground())), draw(scene(ground()), person(3.0))
    darker = without.rgb[0].astype(int).sum(-1) - with_person.rgb[0].astype(int).sum(-1)
    splat = np.isinf(draw(scene(None), person(3.0)).depth[0])
    row = np.flatnonzero(~splat.all(1))[-1]
    assert (darker[row + 1] > 150).sum() >= 3  # right below the soles
    assert np.all(darker[splat] >= -1) and (darker[splat] == 0).mean() > 0.85
    cone = obstacle_mesh("cone")
    cone = dataclasses.replace(
        transform(cone, 3.0, 0.5, 0.0), instance=np.ones(len(cone.triangles), np.int32)
    )
    with_cone = draw(scene(ground(), cone))
    darker = without.rgb[0].astype(int).sum(-1) - with_cone.rgb[0].astype(int).sum(-1)
    assert (darker[np.isinf(draw(scene(None, cone)).depth[0])] > 100).sum() > 10


def test_the_cameras_faults_come_last():
    """Exposure, noise and blur work on the image with its splats, and in mesh scenes of the same
    batch as ever."""
    street = build_scene(0, density=0.0)
    scenes, splat = [street, scene(ground())], scene(ground())
    positions, rotations = camera_poses(np.zeros((3, 3)), CAMERA)
    positions[[0, 2], :2] += street.free_anchors[0]
    lenses, ids = np.tile(CAMERA.intrinsics(), (3, 1)), np.array([0, 1, 0])
    people = np.full((3, 1, 7), np.nan, np.float32)
    people[1] = person(3.0)
    effects = np.array([[1.2, 4.0, 0.5, 7], [0.7, 9.0, 0.8, 8], [0.9, 2.0, 0.1, 9]])
    renderer = Renderer(scenes)
    clean = renderer.draw(ids, positions, rotations, lenses, SIZE, people)
    dirty = renderer.draw(ids, positions, rotations, lenses, SIZE, people, effects)
    expected = clean.rgb.copy()
    apply_to_views(expected, effects)
    assert np.array_equal(dirty.rgb, expected)
    two = [0, 2]
    mesh = Renderer([street]).draw(
        np.zeros(2, int),
        positions[two],
        rotations[two],
        lenses[two],
        SIZE,
        people[two],
        effects[two],
    )
    assert np.array_equal(dirty.rgb[[0, 2]], mesh.rgb) and np.array_equal(dirty.depth, clean.depth)
    assert np.abs(dirty.rgb[1].astype(int) - clean.rgb[1]).mean() > 5 and splat.splats is not None


def test_mesh_scenes_are_drawn_as_render_meshes_draws_them():
    street = build_scene(1)
    positions, rotations = camera_poses(
        np.column_stack([street.free_anchors[:4], np.arange(4)]), CAMERA
    )
    people = np.full((4, 2, 7), np.nan, np.float32)
    people[:, 0] = np.column_stack([street.free_anchors[:4] + 2, np.zeros((4, 5))])
    lenses, effects = np.tile(CAMERA.intrinsics(), (4, 1)), np.tile([1.1, 3.0, 0.3, 5], (4, 1))
    renderer = Renderer([street])
    got = renderer.draw(
        np.zeros(4, int), positions, rotations, lenses, SIZE, people, effects, labels=True
    )
    want = render_meshes(
        renderer.meshes,
        np.zeros(4, int),
        positions,
        rotations,
        lenses,
        *SIZE,
        people,
        renderer.sky,
        effects,
        True,
    )
    for name in ("rgb", "depth", "semantic", "instance"):
        assert np.array_equal(getattr(got, name), getattr(want, name))


def test_every_view_has_the_scene_the_lens_and_the_mode_of_its_own():
    """A mixed batch shows what each view shows alone; splats trained antialiased are drawn so."""
    soft = dataclasses.replace(together(ground(), wall(5.0)), antialiased=True)
    scenes = [scene(ground()), scene(soft), scene(None)]
    ids = np.array([1, 0, 2, 1, 0])
    positions, rotations = camera_poses(
        np.column_stack([np.zeros((5, 2)), np.linspace(-0.5, 0.5, 5)]), CAMERA
    )
    lenses = CAMERA.intrinsics() * np.array([1.0, 1.3, 1.0, 1.3, 1.0])[:, None] ** np.array(
        [1, 1, 0, 0]
    )
    people = np.repeat(person(3.0), 5, axis=0)
    renderer = Renderer(scenes)
    every = renderer.draw(ids, positions, rotations, lenses, SIZE, people)
    for v in range(5):
        one = slice(v, v + 1)
        alone = renderer.draw(
            ids[one], positions[one], rotations[one], lenses[one], SIZE, people[one]
        )
        assert np.array_equal(alone.rgb[0], every.rgb[v]) and np.array_equal(
            alone.depth[0], every.depth[v]
        )
    nobody = np.full((1, 0, 7), np.nan, np.float32)
    plain = renderer.draw(ids[:1], positions[:1], rotations[:1], lenses[:1], SIZE, nobody)
    sky = Renderer([scene(None)]).draw(
        np.zeros(1, int), positions[:1], rotations[:1], lenses[:1], SIZE, nobody
    )
    want, *_ = render_splats(
        prepare(soft),
        Views(positions[:1], rotations[:1], lenses[0], *SIZE, sky.rgb, sky.depth, antialiased=True),
    )
    assert np.array_equal(plain.rgb, want)


def test_a_backend_that_is_missing_is_missed_where_splats_are_drawn_alone(monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    Renderer([build_scene(0, density=0.0)], backend="gsplat")
    with pytest.raises(UserError, match="CUDA.*of the extra gs"):
        Renderer([scene(ground())], backend="gsplat")
