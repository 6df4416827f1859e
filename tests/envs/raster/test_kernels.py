"""The rasteriser against a slow NumPy twin, against geometry, and against itself on one thread."""

import dataclasses

import numba
import numpy as np
import pytest

from s2e.core.errors import UserError
from s2e.envs.geometry.camera import Camera, camera_poses
from s2e.envs.geometry.meshes import bake, empty_mesh, merge, quad, transform, wall
from s2e.envs.geometry.scene import SEMANTIC_ID, Mesh, Sky
from s2e.envs.geometry.textures import SIZE, TEXTURES, atlas, mipmaps
from s2e.envs.raster.figures import FACES, MAX_PARTS, person_parts
from s2e.envs.raster.kernels import NEAR, PackedMeshes, render_meshes
from s2e.envs.raster.shading import PERSON_INSTANCE
from s2e.envs.streets.objects import object_kinds, obstacle_mesh
from tools.meshes import box, ground

SKY = np.array([Sky().row()], np.float32)
CAMERA = Camera(height_px=48, width_px=80)


def render(
    mesh: Mesh, robots, camera: Camera = CAMERA, people=None, sky=SKY, effects=None, labels=False
):
    positions, rotations = camera_poses(np.atleast_2d(np.asarray(robots, float)), camera)
    views = len(positions)
    people = (
        np.full((views, 0, 7), np.nan, np.float32)
        if people is None
        else np.asarray(people, np.float32)
    )
    return render_meshes(
        PackedMeshes.pack([mesh]),
        np.zeros(views, int),
        positions,
        rotations,
        np.tile(camera.intrinsics(), (views, 1)),
        camera.height_px,
        camera.width_px,
        people,
        sky,
        effects,
        labels,
    )


def shown(*args, **kwargs):
    """(rgb, depth) of `render`."""
    images = render(*args, **kwargs)
    return images.rgb, images.depth


def twin(mesh: Mesh, robot, camera: Camera = CAMERA, sky=SKY[0]):
    """One ray a pixel against every triangle (Moeller and Trumbore), flat textures; float64, no
    clipping, no culling but by side. Returns colour before rounding, depth and the index of the
    nearest triangle."""
    position, rotation = (
        a[0] for a in camera_poses(np.atleast_2d(np.asarray(robot, float)), camera)
    )
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
        hit = (
            (det > 1e-12)
            & (u >= 0)
            & (v >= 0)
            & (u + v <= 1)
            & (distance >= NEAR)
            & (distance < depth)
        )
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
    """A floor and boxes at random around the origin, each corner lit differently; only one flat
    texture."""
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
    rgb, depth = shown(mesh, robots)
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
    _, depth = shown(ground(-80, -80, 80, 80, "white", 1.0), [0, 0, 0.7], camera)
    fy, cy = camera.intrinsics()[[1, 3]]
    angle = np.radians(camera.pitch_deg)
    below = (np.arange(48) + 0.5 - cy) / fy
    expected = camera.z / (np.sin(angle) + below * np.cos(angle))
    seen = (expected > 0) & (expected < 20)
    assert seen.sum() > 20
    np.testing.assert_allclose(depth[0][seen], np.repeat(expected[seen, None], 80, 1), rtol=1e-4)
    front = wall((5, 30), (5, -30), 0.0, 20.0, "brick")
    _, depth = shown(front, [0, 0, 0], Camera(height_px=48, width_px=80, pitch_deg=0.0))
    np.testing.assert_allclose(depth[0, :20], 5 - 0.2, rtol=1e-5)


def test_texture_is_the_right_way_up_and_exact():
    """A wall that fills the picture texel by texel shows the picture, unmirrored, its first row on
    top."""
    camera = Camera(height_px=64, width_px=64, hfov_deg=90.0, x=0.0, z=1.0, pitch_deg=0.0)
    sign = wall((1, 1), (1, -1), 0.0, 2.0, "shop")
    clear = SKY.copy()
    clear[0, 6] = 1e9
    rgb, _ = shown(sign, [0, 0, 0], camera, sky=clear)
    assert SIZE == 64
    off = np.abs(rgb[0].astype(int) - atlas()[TEXTURES["shop"]]).max(-1)
    assert (off <= 1).mean() > 0.99


def test_far_textures_are_averaged():
    """Far away a pixel shows the texture's mean, not one texel: pictures do not flicker when a
    robot moves."""
    camera = Camera(height_px=48, width_px=80, pitch_deg=0.0)
    clear = SKY.copy()
    clear[0, 6] = 1e9
    sign = wall((30, 60), (30, -60), 0.0, 60.0, "hazard", (120.0, 60.0))
    rgb, depth = shown(sign, [0, 0, 0], camera, sky=clear)
    texels = rgb[0][np.isfinite(depth[0])].astype(float)
    assert texels.std(0).max() < 25 < atlas()[TEXTURES["hazard"]].reshape(-1, 3).std(0).max()
    last = int(mipmaps()[TEXTURES["hazard"], 1])
    np.testing.assert_allclose(texels.mean(0), [last & 255, last >> 8 & 255, last >> 16], atol=12)


def test_only_the_outer_side_is_seen():
    corners = [[3, 2, -1], [3, -2, -1], [3, -2, 3], [3, 2, 3]]
    for flip, seen in ((corners, True), (corners[::-1], False)):
        _, depth = shown(quad(flip, "white"), [0, 0, 0])
        assert np.isfinite(depth).any() == seen


def test_what_is_behind_or_beside_is_not_drawn():
    cube = box((1, 1, 1), "white", bottom=True)
    alone, _ = shown(empty_mesh(), [0, 0, 0])
    for x, y in ((-3, 0), (-1.5, 0.2), (1, 8), (1, -8)):
        rgb, depth = shown(transform(cube, x, y, 0.1), [0, 0, 0])
        assert np.isinf(depth).all()
        np.testing.assert_array_equal(rgb, alone)


def test_a_triangle_through_the_camera_is_clipped():
    """A floor that reaches behind the camera is drawn up to the lower edge of the picture."""
    _, depth = shown(ground(-50, -50, 50, 50, "white", 1.0), [0, 0, 0])
    _, tiles = shown(
        merge(
            [
                ground(x, y, x + 2, y + 2, "white", 1.0)
                for x in range(-50, 50, 2)
                for y in range(-50, 50, 2)
            ]
        ),
        [0, 0, 0],
    )
    assert np.isfinite(depth[0, -1]).all()
    assert (np.isfinite(tiles) == np.isfinite(depth)).all()
    near = np.isfinite(depth)
    np.testing.assert_allclose(tiles[near], depth[near], rtol=1e-4)


def test_empty_scene_shows_sky():
    rgb, depth = shown(empty_mesh(), [[0, 0, 0], [1, 2, 3]])
    assert np.isinf(depth).all()
    assert rgb[0, 0, 40, 0] < rgb[0, 20, 40, 0]
    np.testing.assert_array_equal(rgb[0, -1, 0], [205, 215, 225])


def people_ahead(views: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    people = np.full((views, 4, 7), np.nan, np.float32)
    for view in range(views):
        for k in range(3):
            people[view, k] = [
                2 + 2 * k,
                rng.uniform(-1, 1),
                0,
                *rng.uniform(0, 6, 2),
                rng.integers(500),
                k % 2,
            ]
    return people


@pytest.mark.parametrize("views", [3, 13])
def test_threads_do_not_change_a_byte(monkeypatch, views):
    """Each view is drawn, whoever draws it: the count that it reads is patched, since the machine
    may have one core."""
    mesh = merge([random_scene(5), transform(bake_all("tree"), 4, 1, 0.0)])
    robots, people = np.random.default_rng(1).uniform(-3, 3, (views, 3)), people_ahead(views)
    alone = [shown(mesh, robots[v : v + 1], people=people[v : v + 1]) for v in range(views)]
    for threads in (1, 2, 3, 16):
        monkeypatch.setattr(numba, "get_num_threads", lambda threads=threads: threads)
        drawn = shown(mesh, robots, people=people)
        for k in range(2):
            assert drawn[k].tobytes() == b"".join(one[k].tobytes() for one in alone), threads


def bake_all(kind: str) -> Mesh:
    return bake(obstacle_mesh(kind), np.array([0.3, 0.4, 0.8]), np.full(3, 0.7), np.full(3, 0.5))


def test_people_stand_where_they_are():
    camera = Camera(height_px=96, width_px=160, pitch_deg=0.0)
    person = np.array([[[5.2, 0.0, 0.0, np.pi, 0.4, 7, 0], [np.nan, 0, 0, 0, 0, 0, 0]]])
    rgb, depth = shown(empty_mesh(), [0, 0, 0], camera, people=person)
    rows, columns = np.nonzero(np.isfinite(depth[0]))
    assert abs(columns.mean() + 0.5 - 80) < 3
    fy = camera.intrinsics()[1]
    tall = (rows.max() - rows.min() + 1) * 5.0 / fy
    assert 1.4 < tall < 2.05
    feet = (rows.max() + 1 - 48) * 5.0 / fy
    assert abs(feet - camera.z) < 0.12
    assert 4.4 < depth[0][rows, columns].min() < 5.3
    assert 0.2 < (columns.max() - columns.min()) / (rows.max() - rows.min()) < 0.7
    nobody, _ = shown(empty_mesh(), [0, 0, 0], camera)
    np.testing.assert_array_equal(rgb[0][~np.isfinite(depth[0])], nobody[0][~np.isfinite(depth[0])])


def test_people_stand_at_their_own_height_and_pose():
    camera = Camera(height_px=96, width_px=160, pitch_deg=0.0)
    rows = []
    for z, pose in ((0.0, 0), (0.15, 0), (0.0, 1)):
        person = np.array([[[3.2, 0.0, z, np.pi, 0.0, 7, pose]]])
        images = render(empty_mesh(), [0, 0, 0], camera, people=person, labels=True)
        assert images.instance is not None and images.semantic is not None
        seen = np.isfinite(images.depth[0])
        np.testing.assert_array_equal(images.instance[0] == PERSON_INSTANCE, seen)
        np.testing.assert_array_equal(images.semantic[0] == SEMANTIC_ID["person"], seen)
        rows.append(np.nonzero(seen)[0])
    assert rows[0].max() - rows[1].max() == pytest.approx(
        0.15 / 3.0 * camera.intrinsics()[1], abs=1.5
    )
    assert rows[2].min() >= rows[0].min() and not np.array_equal(rows[2], rows[0])


def test_people_are_lit_by_the_sun_of_the_scene():
    person = np.array([[[3.2, 0.0, 0.0, np.pi, 0.0, 7, 0]]])
    means = []
    for sun in ((-1.0, 0.0, 0.0), (1.0, 0.0, 0.0)):
        sky = np.array([Sky(sun=sun).row()], np.float32)
        rgb, depth = shown(empty_mesh(), [0, 0, 0], people=person, sky=sky)
        means.append(rgb[np.isfinite(depth)].mean())
    assert means[0] > 1.3 * means[1]


def test_labels_say_what_each_pixel_shows():
    thing = bake_all("bench")
    thing = dataclasses.replace(
        thing,
        semantic=np.full_like(thing.semantic, SEMANTIC_ID["furniture"]),
        instance=np.full_like(thing.instance, 7),
    )
    floor = ground(-30, -30, 30, 30, "white", 2.0)
    floor = dataclasses.replace(floor, semantic=np.full_like(floor.semantic, SEMANTIC_ID["road"]))
    images = render(merge([floor, transform(thing, 3, 0, 0.3)]), [0, 0, 0], labels=True)
    assert images.semantic is not None and images.instance is not None
    _, _, nearest = twin(merge([floor, transform(thing, 3, 0, 0.3)]), [0, 0, 0])
    expected = np.where(
        nearest < 0, 0, np.where(nearest < 2, SEMANTIC_ID["road"], SEMANTIC_ID["furniture"])
    )
    assert (images.semantic[0] == expected).mean() > 0.985
    np.testing.assert_array_equal(
        images.instance[0] == 7, images.semantic[0] == SEMANTIC_ID["furniture"]
    )
    plain = render(merge([floor, transform(thing, 3, 0, 0.3)]), [0, 0, 0])
    assert plain.semantic is None and plain.instance is None
    np.testing.assert_array_equal(plain.rgb, images.rgb)


def test_cameras_differ_between_views():
    mesh = random_scene(2)
    positions, rotations = camera_poses(np.array([[0, 0, 0.3]] * 2), CAMERA)
    lenses = np.stack(
        [CAMERA.intrinsics(), dataclasses.replace(CAMERA, hfov_deg=60.0).intrinsics()]
    )
    both = render_meshes(
        PackedMeshes.pack([mesh]),
        np.zeros(2, int),
        positions,
        rotations,
        lenses,
        48,
        80,
        np.zeros((2, 0, 7)),
        SKY,
    )
    for view, angle in enumerate((90.0, 60.0)):
        alone, _ = shown(mesh, [0, 0, 0.3], dataclasses.replace(CAMERA, hfov_deg=angle))
        np.testing.assert_array_equal(both.rgb[view], alone[0])


def test_effects_against_numpy():
    mesh, robots = random_scene(3), np.array([[0, 0, 0.3], [1, 1, 2.0]])
    clean = render(mesh, robots).rgb.astype(float)
    effects = np.array([[1.0, 0, 0, 1], [0.7, 0, 0.6, 2]])
    done = render(mesh, robots, effects=effects).rgb
    np.testing.assert_array_equal(done[0], clean[0])
    kernel = np.outer([1, 2, 1], [1, 2, 1]) / 16
    padded = np.pad(clean[1], ((1, 1), (1, 1), (0, 0)), mode="edge")
    soft = sum(kernel[r, c] * padded[r : r + 48, c : c + 80] for r in range(3) for c in range(3))
    np.testing.assert_allclose(
        done[1], np.minimum(0.7 * (0.4 * clean[1] + 0.6 * soft), 255), atol=0.51
    )
    noisy = render(mesh, robots, effects=np.array([[0.5, 8.0, 0, 3], [0.5, 8.0, 0, 4]])).rgb.astype(
        float
    )
    error = noisy - 0.5 * clean
    assert abs(error.mean()) < 0.2 and abs(error.std() - 8.0) < 0.4
    assert abs(np.corrcoef(error[0].ravel(), error[1].ravel())[0, 1]) < 0.05
    assert abs(np.corrcoef(error[0].ravel()[1:], error[0].ravel()[:-1])[0, 1]) < 0.05
    alone = render(mesh, robots[1:], effects=np.array([[0.5, 8.0, 0, 4]])).rgb
    np.testing.assert_array_equal(alone[0], noisy[1])


def test_wet_ground_mirrors_the_sky_where_it_is_flat():
    floor = ground(-60, -60, 60, 60, "white", 2.0, tint=(0.4, 0.4, 0.4))
    floor = dataclasses.replace(floor, semantic=np.full_like(floor.semantic, SEMANTIC_ID["road"]))
    camera = Camera(height_px=48, width_px=80, pitch_deg=0.0)
    (dry, depth), (wet, _) = (
        shown(floor, [0, 0, 0], camera, sky=np.array([Sky(wet=w, fog_m=1e6).row()], np.float32))
        for w in (0.0, 1.0)
    )
    near, far = (0, 47, 40), (0, 26, 40)
    assert np.isfinite(depth[far])
    assert wet[near].mean() < 0.9 * dry[near].mean()
    assert wet[far].mean() > dry[far].mean() + 30
    grass = dataclasses.replace(floor, semantic=np.full_like(floor.semantic, SEMANTIC_ID["grass"]))
    alone, _ = shown(
        grass, [0, 0, 0], camera, sky=np.array([Sky(wet=1.0, fog_m=1e6).row()], np.float32)
    )
    np.testing.assert_array_equal(alone, dry)


def test_bodies_are_closed_and_differ():
    parts = np.zeros((MAX_PARTS, 13), np.float32)
    heights, colours = [], set()
    for look in range(60):
        n = person_parts(0.9, look, look % 2, 2, parts)
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
        _, depth = shown(transform(mesh, 4.5, 0, 0.5), [0, 0, 0])
        assert np.isfinite(depth).sum() > 8, kind


def test_bad_input_is_refused():
    mesh = random_scene(0)
    with pytest.raises(UserError, match="positions"):
        render_meshes(
            PackedMeshes.pack([mesh]),
            np.zeros(2, int),
            np.zeros((1, 3)),
            np.zeros((2, 3, 3)),
            np.ones((2, 4)),
            8,
            8,
            np.zeros((2, 0, 7)),
            SKY,
        )
    with pytest.raises(UserError, match="scene_id"):
        render_meshes(
            PackedMeshes.pack([mesh]),
            np.ones(1, int),
            np.zeros((1, 3)),
            np.zeros((1, 3, 3)),
            np.ones((1, 4)),
            8,
            8,
            np.zeros((1, 0, 7)),
            SKY,
        )
    with pytest.raises(UserError, match=r"meshes\[0\]"):
        PackedMeshes.pack([dataclasses.replace(mesh, vertices=mesh.vertices[:3])])
    with pytest.raises(UserError, match="obstacle kind"):
        obstacle_mesh("dragon")


def test_a_slot_can_take_another_mesh():
    """A render after `replace` equals that of a fresh pack, whether the mesh fits its slot or the
    arrays have to grow."""
    one, two, small = (
        random_scene(1),
        merge([random_scene(2), *[transform(bake_all("tree"), 4, y, 0.0) for y in range(6)]]),
        random_scene(9),
    )
    positions, rotations = camera_poses(np.array([[0, 0, 0.3], [1, 1, 2.0]]), CAMERA)
    lenses = np.tile(CAMERA.intrinsics(), (2, 1))

    def draw(packed):
        return render_meshes(
            packed,
            np.array([0, 1]),
            positions,
            rotations,
            lenses,
            48,
            80,
            np.zeros((2, 0, 7)),
            np.tile(SKY, (2, 1)),
            labels=True,
        )

    def same(a, b):
        return all(
            np.array_equal(getattr(a, n), getattr(b, n))
            for n in ("rgb", "depth", "semantic", "instance")
        )

    packed = PackedMeshes.pack([one, small], slack=1.5)
    before = draw(packed)
    larger = packed.replace(0, two)
    assert larger is not packed and larger.nbytes() > packed.nbytes()
    assert same(draw(larger), draw(PackedMeshes.pack([two, small])))
    assert same(draw(packed), before)
    assert larger.replace(0, one) is larger
    assert same(draw(larger), before)
    assert packed.replace(1, one) is packed
    assert same(draw(packed), draw(PackedMeshes.pack([one, one])))
    assert larger.replace(1, empty_mesh()) is larger
    assert np.isinf(draw(larger).depth[1]).all()
    with pytest.raises(UserError, match="slot 2"):
        packed.replace(2, one)


def test_large_scenes_cost_what_is_seen_of_them():
    """A thousand copies of a scene behind the camera change nothing."""
    near = transform(random_scene(4), 0, 0, 0.0)
    box_of = box((1, 1, 1), "brick")
    far = merge(
        [transform(box_of, -60 - 3 * i, 3 * j - 45, 0.0) for i in range(30) for j in range(30)]
    )
    with_far = shown(merge([near, far]), [0, 0, 0])
    alone = shown(near, [0, 0, 0])
    np.testing.assert_array_equal(with_far[0], alone[0])
    np.testing.assert_array_equal(with_far[1], alone[1])


def shimmer(mesh: Mesh, steps: int = 4) -> float:
    """How much pictures of a camera that moves by millimetres change from one to the next, beside
    pictures without aliasing.

    The root mean square of the changes over that of pictures averaged down from eight times the
    size; 1 is perfect.
    """
    robots, changes = np.array([[0.004 * i, 0.001 * i, 0.3 + 0.0007 * i] for i in range(steps)]), []
    for k in (1, 8):
        rgb, _ = shown(mesh, robots, dataclasses.replace(CAMERA, height_px=48 * k, width_px=80 * k))
        pictures = rgb.astype(np.float32).reshape(steps, 48, k, 80, k, 3).mean((2, 4))
        changes.append(np.sqrt((np.diff(pictures, axis=0) ** 2).mean()))
    return float(changes[0] / changes[1])


def test_textures_hardly_shimmer():
    house = wall((6, 30), (6, -30), 0, 6, "brick", (40, 4.0))
    assert shimmer(merge([ground(-40, -40, 40, 40, "paving", 1.6), house])) < 1.6
