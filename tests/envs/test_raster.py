"""The rasteriser against a slow NumPy twin, against geometry, and against itself on one thread."""

import dataclasses

import numba
import numpy as np
import pytest

from s2e.envs.camera import Camera, camera_poses
from s2e.envs.figures import FACES, MAX_PARTS, person_parts
from s2e.envs.meshes import bake, box, empty_mesh, ground, merge, quad, transform, wall
from s2e.envs.objects import object_kinds, obstacle_mesh
from s2e.envs.raster import NEAR, PackedMeshes, render_meshes
from s2e.envs.scene import Mesh
from s2e.envs.textures import SIZE, TEXTURES, atlas, mipmaps
from s2e.errors import UserError

SKY = np.array([[90, 140, 210, 205, 215, 225, 60]], np.float32)
CAMERA = Camera(height_px=48, width_px=80)


def render(mesh: Mesh, robots, camera: Camera = CAMERA, people=None, sky=SKY):
    positions, rotations = camera_poses(np.atleast_2d(np.asarray(robots, float)), camera)
    views = len(positions)
    people = np.full((views, 0, 5), np.nan, np.float32) if people is None else np.asarray(people, np.float32)
    return render_meshes(
        PackedMeshes.pack([mesh]),
        np.zeros(views, int),
        positions,
        rotations,
        camera.intrinsics(),
        camera.height_px,
        camera.width_px,
        people,
        sky,
        np.zeros(1),
    )


def twin(mesh: Mesh, robot, camera: Camera = CAMERA, sky=SKY[0]):
    """One ray a pixel against every triangle (Moeller and Trumbore), flat textures; float64, no clipping, no culling
    but by side. Returns colour before rounding, depth and the index of the nearest triangle."""
    position, rotation = (a[0] for a in camera_poses(np.atleast_2d(np.asarray(robot, float)), camera))
    fx, fy, cx, cy = camera.intrinsics()
    y, x = np.mgrid[: camera.height_px, : camera.width_px] + 0.5
    optical = np.stack([(x - cx) / fx, (y - cy) / fy, np.ones_like(x)], -1)
    rays = optical @ rotation
    depth = np.full(x.shape, np.inf)
    nearest = np.full(x.shape, -1)
    rise = np.maximum(rays[..., 2] / np.linalg.norm(rays, axis=-1), 0)
    t = (rise * (2 - rise))[..., None]
    colour = sky[3:6] * (1 - t) + sky[:3] * t
    flat = atlas().reshape(len(atlas()), -1, 3).astype(np.float64).mean(1)
    for f, triangle in enumerate(mesh.triangles):
        a, b, c = mesh.vertices[triangle].astype(np.float64)
        p = np.cross(rays, c - a)
        det = p @ (b - a)
        with np.errstate(divide="ignore", invalid="ignore"):
            u = p @ (position - a) / det
            q = np.cross(position - a, b - a)
            v = rays @ q / det
            distance = (c - a) @ q / det
        hit = (det > 1e-12) & (u >= 0) & (v >= 0) & (u + v <= 1) & (distance >= NEAR) & (distance < depth)
        light = (
            mesh.shade[f, 0] * (1 - u - v)[..., None]
            + mesh.shade[f, 1] * u[..., None]
            + mesh.shade[f, 2] * v[..., None]
        )
        clear = (1 / (1 + distance / sky[6]))[..., None]
        shaded = np.minimum(flat[mesh.texture[f]] * light * clear + sky[3:6] * (1 - clear), 255)
        colour[hit], depth[hit], nearest[hit] = shaded[hit], distance[hit], f
    return colour, depth, nearest


def inner(nearest: np.ndarray) -> np.ndarray:
    """Pixels whose eight neighbours show the same triangle."""
    padded = np.pad(nearest, 1, mode="edge")
    rows, columns = nearest.shape
    shifted = [padded[r : r + rows, c : c + columns] for r in range(3) for c in range(3)]
    return np.all([s == nearest for s in shifted], axis=0)


def random_scene(seed: int) -> Mesh:
    """A floor and boxes at random around the origin, each corner lit differently; only one flat texture."""
    rng = np.random.default_rng(seed)
    parts = [ground(-30, -30, 30, 30, "white", 2.0, tint=(0.5, 0.6, 0.4))]
    for _ in range(12):
        size = tuple(rng.uniform(0.3, 2.0, 3))
        body = box(size, "white", top=(0.5 * size[0], 0.7 * size[1]), bottom=True)
        x, y = rng.uniform(-6, 6, 2)
        parts.append(transform(body, x, y, rng.uniform(0, 6), rng.uniform(0, 0.5)))
    mesh = merge(parts)
    shade = (mesh.shade * rng.uniform(0.2, 1.1, mesh.shade.shape)).astype(np.float32)
    return dataclasses.replace(mesh, shade=shade)


@pytest.mark.parametrize("seed", range(3))
def test_agrees_with_rays(seed):
    mesh = random_scene(seed)
    robots = np.array([[0, 0, 0.3], [2, -1, 2.0], [-3, 2, -2.0]])
    rgb, depth = render(mesh, robots)
    for view, robot in enumerate(robots):
        colour, distance, nearest = twin(mesh, robot)
        compare = inner(nearest)
        assert compare.mean() > 0.5
        drawn, known = np.isfinite(depth[view]), np.isfinite(distance)
        assert (drawn == known)[compare].mean() > 0.999
        both = compare & drawn & known
        wrong = np.abs(depth[view][both] - distance[both]) > 1e-3 * np.maximum(distance[both], 1)
        assert wrong.mean() < 0.005
        off = np.abs(rgb[view].astype(float) - colour).max(-1) > 2
        assert off[compare].mean() < 0.01
        assert (drawn == known).mean() > 0.98


def test_depth_of_planes():
    camera = Camera(height_px=48, width_px=80, pitch_deg=10.0)
    _, depth = render(ground(-80, -80, 80, 80, "white", 1.0), [0, 0, 0.7], camera)
    fy, cy = camera.intrinsics()[[1, 3]]
    angle = np.radians(camera.pitch_deg)
    below = (np.arange(48) + 0.5 - cy) / fy
    expected = camera.z / (np.sin(angle) + below * np.cos(angle))
    seen = (expected > 0) & (expected < 20)
    assert seen.sum() > 20
    np.testing.assert_allclose(depth[0][seen], np.repeat(expected[seen, None], 80, 1), rtol=1e-4)
    front = wall((5, 30), (5, -30), 0.0, 20.0, "brick")
    _, depth = render(front, [0, 0, 0], Camera(height_px=48, width_px=80, pitch_deg=0.0))
    np.testing.assert_allclose(depth[0, :20], 5 - 0.2, rtol=1e-5)


def test_texture_is_the_right_way_up_and_exact():
    """A wall that fills the picture texel by texel shows the picture, unmirrored, its first row on top."""
    camera = Camera(height_px=64, width_px=64, hfov_deg=90.0, x=0.0, z=1.0, pitch_deg=0.0)
    sign = wall((1, 1), (1, -1), 0.0, 2.0, "shop")
    clear = SKY.copy()
    clear[0, 6] = 1e9
    rgb, _ = render(sign, [0, 0, 0], camera, sky=clear)
    assert SIZE == 64
    off = np.abs(rgb[0].astype(int) - atlas()[TEXTURES["shop"]]).max(-1)
    assert (off <= 1).mean() > 0.99


def test_far_textures_are_averaged():
    """Far away a pixel shows the texture's mean, not one texel: pictures do not flicker when a robot moves."""
    camera = Camera(height_px=48, width_px=80, pitch_deg=0.0)
    clear = SKY.copy()
    clear[0, 6] = 1e9
    sign = wall((30, 60), (30, -60), 0.0, 60.0, "hazard", (120.0, 60.0))
    rgb, depth = render(sign, [0, 0, 0], camera, sky=clear)
    shown = rgb[0][np.isfinite(depth[0])].astype(float)
    assert shown.std(0).max() < 25 < atlas()[TEXTURES["hazard"]].reshape(-1, 3).std(0).max()
    last = int(mipmaps()[TEXTURES["hazard"], -1])
    np.testing.assert_allclose(shown.mean(0), [last & 255, last >> 8 & 255, last >> 16], atol=12)


def test_only_the_outer_side_is_seen():
    corners = [[3, 2, -1], [3, -2, -1], [3, -2, 3], [3, 2, 3]]
    for flip, seen in ((corners, True), (corners[::-1], False)):
        _, depth = render(quad(flip, "white"), [0, 0, 0])
        assert np.isfinite(depth).any() == seen


def test_what_is_behind_or_beside_is_not_drawn():
    cube = box((1, 1, 1), "white", bottom=True)
    alone, _ = render(empty_mesh(), [0, 0, 0])
    for x, y in ((-3, 0), (-1.5, 0.2), (1, 8), (1, -8)):
        rgb, depth = render(transform(cube, x, y, 0.1), [0, 0, 0])
        assert np.isinf(depth).all()
        np.testing.assert_array_equal(rgb, alone)


def test_a_triangle_through_the_camera_is_clipped():
    """A floor that reaches behind the camera is drawn up to the lower edge of the picture."""
    _, depth = render(ground(-50, -50, 50, 50, "white", 1.0), [0, 0, 0])
    _, tiles = render(
        merge([ground(x, y, x + 2, y + 2, "white", 1.0) for x in range(-50, 50, 2) for y in range(-50, 50, 2)]),
        [0, 0, 0],
    )
    assert np.isfinite(depth[0, -1]).all()
    assert (np.isfinite(tiles) == np.isfinite(depth)).all()
    near = np.isfinite(depth)
    np.testing.assert_allclose(tiles[near], depth[near], rtol=1e-4)


def test_empty_scene_shows_sky():
    rgb, depth = render(empty_mesh(), [[0, 0, 0], [1, 2, 3]])
    assert np.isinf(depth).all()
    assert rgb[0, 0, 40, 0] < rgb[0, 20, 40, 0]
    np.testing.assert_array_equal(rgb[0, -1, 0], [205, 215, 225])


def people_ahead(views: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    people = np.full((views, 4, 5), np.nan, np.float32)
    for view in range(views):
        for k in range(3):
            people[view, k] = [2 + 2 * k, rng.uniform(-1, 1), rng.uniform(0, 6), rng.uniform(0, 6), rng.integers(500)]
    return people


def test_threads_do_not_change_a_byte():
    mesh = merge([random_scene(5), transform(bake_all("tree"), 4, 1, 0.0)])
    robots = np.random.default_rng(1).uniform(-3, 3, (7, 3))
    threads = numba.get_num_threads()
    try:
        numba.set_num_threads(1)
        one = render(mesh, robots, people=people_ahead(7))
        numba.set_num_threads(min(2, numba.config.NUMBA_NUM_THREADS))  # pyright: ignore[reportAttributeAccessIssue]
        two = render(mesh, robots, people=people_ahead(7))
    finally:
        numba.set_num_threads(threads)
    assert one[0].tobytes() == two[0].tobytes()
    assert one[1].tobytes() == two[1].tobytes()


def bake_all(kind: str) -> Mesh:
    return bake(obstacle_mesh(kind), np.array([0.3, 0.4, 0.8]), np.full(3, 0.7), np.full(3, 0.5))


def test_people_stand_where_they_are():
    camera = Camera(height_px=96, width_px=160, pitch_deg=0.0)
    person = np.array([[[5.2, 0.0, np.pi, 0.4, 7], [np.nan, 0, 0, 0, 0]]])
    rgb, depth = render(empty_mesh(), [0, 0, 0], camera, people=person)
    rows, columns = np.nonzero(np.isfinite(depth[0]))
    assert abs(columns.mean() + 0.5 - 80) < 3
    fy = camera.intrinsics()[1]
    tall = (rows.max() - rows.min() + 1) * 5.0 / fy
    assert 1.4 < tall < 2.05
    feet = (rows.max() + 1 - 48) * 5.0 / fy
    assert abs(feet - camera.z) < 0.12
    assert 4.4 < depth[0][rows, columns].min() < 5.3
    assert 0.2 < (columns.max() - columns.min()) / (rows.max() - rows.min()) < 0.7
    nobody, _ = render(empty_mesh(), [0, 0, 0], camera)
    np.testing.assert_array_equal(rgb[0][~np.isfinite(depth[0])], nobody[0][~np.isfinite(depth[0])])


def test_bodies_are_closed_and_differ():
    parts = np.zeros((MAX_PARTS, 13))
    heights, colours = [], set()
    for look in range(60):
        n = person_parts(0.9, look, parts)
        assert 15 <= n <= MAX_PARTS
        ends = parts[:n, 2] - parts[:n, 4] * np.cos(parts[:n, 3])
        assert -0.03 < ends.min() < 0.06
        heights.append(parts[:n, 2].max())
        colours.add(tuple(np.round(parts[6, 9:12], 3)))
    assert 1.45 < min(heights) < 1.6 and 1.8 < max(heights) < 1.95
    assert len(colours) > 5
    # Every edge of a box is walked once in each direction: the surface is closed and faces one way.
    edges = {(face[i], face[(i + 1) % 4]) for face in FACES.tolist() for i in range(4)}
    assert len(edges) == 24 and all((b, a) in edges for a, b in edges)


def test_every_obstacle_can_be_seen():
    for kind in object_kinds():
        mesh = bake_all(kind)
        assert 4 <= len(mesh.triangles) <= 150
        _, depth = render(transform(mesh, 4.5, 0, 0.5), [0, 0, 0])
        assert np.isfinite(depth).sum() > 8, kind


def test_bad_input_is_refused():
    mesh = random_scene(0)
    with pytest.raises(UserError, match="positions"):
        render_meshes(
            PackedMeshes.pack([mesh]), np.zeros(2, int), np.zeros((1, 3)), np.zeros((2, 3, 3)), np.ones(4), 8, 8,
            np.zeros((2, 0, 5)), SKY, np.zeros(1),
        )  # fmt: skip
    with pytest.raises(UserError, match="scene_id"):
        render_meshes(
            PackedMeshes.pack([mesh]), np.ones(1, int), np.zeros((1, 3)), np.zeros((1, 3, 3)), np.ones(4), 8, 8,
            np.zeros((1, 0, 5)), SKY, np.zeros(1),
        )  # fmt: skip
    with pytest.raises(UserError, match=r"meshes\[0\]"):
        PackedMeshes.pack([Mesh(mesh.vertices[:3], mesh.triangles, mesh.uv, mesh.texture, mesh.shade)])
    with pytest.raises(UserError, match="obstacle kind"):
        obstacle_mesh("dragon")
