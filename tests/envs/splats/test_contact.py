"""Contact shadows: the kernel against the formula at known points of the ground, and what must stay
as it is."""

import numpy as np
import pytest

from s2e.envs.geometry.camera import Camera, camera_poses
from s2e.envs.geometry.meshes import merge, transform
from s2e.envs.geometry.scene import Mesh, Sky
from s2e.envs.splats.contact import (
    CASTER,
    footprints,
    lift_soles,
    light_at,
    shade_ground,
    shadow_directions,
)
from s2e.envs.streets.objects import obstacle_mesh

CAMERA = Camera(height_px=60, width_px=80, x=0.0, z=1.2, pitch_deg=25.0)
NOBODY = np.full((1, 0, 7), np.nan, np.float32)
NOTHING = np.zeros((0, CASTER), np.float32), np.zeros(2, np.int64), np.zeros(1, np.int64)


def with_instance(mesh: Mesh, instance: int) -> Mesh:
    return Mesh(**{**mesh.__dict__, "instance": np.full(len(mesh.triangles), instance, np.int32)})


def view():
    """A camera over level ground: its position, rotation, intrinsics, the ground's points (H, W, 2)
    and depths."""
    positions, rotations = camera_poses(np.zeros((1, 3)), CAMERA)
    lens = CAMERA.intrinsics()
    v, u = np.mgrid[: CAMERA.height_px, : CAMERA.width_px] + 0.5
    rays = (
        np.stack([(u - lens[2]) / lens[0], (v - lens[3]) / lens[1], np.ones_like(u)], -1)
        @ rotations[0]
    )
    depth = np.where(rays[..., 2] < -1e-3, -positions[0, 2] / rays[..., 2], np.inf)
    points = positions[0, :2] + np.where(np.isfinite(depth), depth, 0)[..., None] * rays[..., :2]
    return positions, rotations, lens[None], points, depth[None].astype(np.float32)


def shade(people, depth, alpha=1.0, sky=None, things=NOTHING):
    positions, rotations, lens, _, _ = view()
    rgb = np.full((1, CAMERA.height_px, CAMERA.width_px, 3), 200, np.uint8)
    alpha = np.full(depth.shape, alpha, np.float32)
    suns = shadow_directions(np.array([(sky or Sky()).row()]))
    shade_ground(rgb, depth, alpha, positions, rotations, lens, suns, people, *things)
    return rgb[0]


def person(x, y, z=0.0, yaw=0.6):
    return np.array([[[x, y, z, yaw, 0, 0, 0]]], np.float32)


def test_the_ground_is_as_dark_as_the_formula_says_at_every_pixel():
    *_, points, depth = view()
    suns = shadow_directions(np.array([Sky().row()]))
    caster = np.array([2.5, 0.2, 0, np.cos(0.6), np.sin(0.6), 0.16, 0.15, 1.7])
    want = np.array(
        [[light_at(x - 2.5, y - 0.2, caster, suns[0]) for x, y in row] for row in points]
    )
    got = shade(person(2.5, 0.2), depth)
    near = np.isfinite(depth[0]) & (depth[0] < 60)
    assert want[near].min() < 0.45 and (want[near] == 1).mean() > 0.5
    np.testing.assert_allclose(got[..., 0][near], 200 * want[near], atol=0.51)


def test_shadows_fall_away_from_the_sun_and_are_of_limited_length():
    caster = np.array([0, 0, 0, 1.0, 0.0, 0.16, 0.15, 1.7])
    noon, low = (
        shadow_directions(np.array([Sky(sun=s).row()]))[0]
        for s in ((0.5, 0.0, 0.8), (0.99, 0.0, 0.1))
    )
    assert light_at(-0.8, 0.0, caster, noon) < 0.8 and light_at(0.8, 0.0, caster, noon) == 1.0
    assert light_at(-1.7, 0.0, caster, noon) == 1.0  # 1.06 m of shadow behind the body
    assert light_at(-2.5, 0.0, caster, low) < 1.0 and light_at(-4.5, 0.0, caster, low) == 1.0
    night = shadow_directions(np.array([Sky(sun=(0.8, 0.0, -0.6)).row()]))[0]
    assert light_at(-0.8, 0.0, caster, night) == 1.0 and light_at(0.0, 0.0, caster, night) < 0.6


def test_shadows_have_no_steps():
    """Neighbouring points differ little, whatever the shape and the sun: a step would be seen as an
    edge."""
    rng = np.random.default_rng(0)
    for _ in range(20):
        yaw, angle = rng.uniform(0, 7, 2)
        caster = np.array(
            [0, 0, 0, np.cos(yaw), np.sin(yaw), *rng.uniform(0.05, 1.0, 2), rng.uniform(0.3, 2)]
        )
        sun = np.array([np.cos(angle), np.sin(angle), rng.uniform(0.2, 3), 0.5])
        along = np.linspace(-4, 4, 4001)
        line = np.array(
            [light_at(t * np.cos(0.3) + 0.1, t * np.sin(0.3), caster, sun) for t in along]
        )
        assert np.abs(np.diff(line)).max() < 0.03


@pytest.mark.parametrize("what", ["nobody", "no splats", "higher", "behind the camera", "far"])
def test_all_else_stays_as_it_is(what):
    *_, depth = view()
    if what == "nobody":
        image = shade(np.full((1, 2, 7), np.nan, np.float32), depth)
    elif what == "no splats":
        image = shade(person(2.5, 0.2), depth, alpha=0.0)
    elif what == "higher":  # a table over the shadow
        image = shade(person(2.5, 0.2), (depth * 0.4).astype(np.float32))
    elif what == "behind the camera":
        image = shade(person(-6.0, 0.2), depth)
    else:
        image = shade(person(90.0, 0.2), depth)
    assert (image == 200).all()


def test_darkness_follows_what_splats_cover():
    *_, depth = view()
    whole, half = (200.0 - shade(person(2.5, 0.2), depth, alpha=a) for a in (1.0, 0.5))
    np.testing.assert_allclose(half, whole / 2, atol=1.01)


def test_overlapping_shadows_are_not_darker_than_the_darkest():
    *_, depth = view()
    alone = np.minimum(shade(person(2.5, 0.2), depth), shade(person(2.6, 0.4), depth))
    assert np.array_equal(
        shade(np.concatenate([person(2.5, 0.2), person(2.6, 0.4)], 1), depth), alone
    )


def test_footprints_are_boxes_around_things():
    box = obstacle_mesh("barrier")
    low, high = box.vertices.min(0), box.vertices.max(0)
    thing = with_instance(transform(box, 2.0, -1.0, np.radians(33.0), 0.1), 3)
    ground = with_instance(transform(box, 9.0, 9.0, 0.0), 0)
    rows = footprints(merge([ground, thing]))
    assert rows.shape == (1, CASTER)
    x, y, z, c, s, hx, hy, height = rows[0]
    middle = (
        (low + high)[:2] / 2 @ np.array([[c, s], [-s, c]])
        if abs(c - np.cos(np.radians(33))) < 1e-3
        else None
    )
    assert np.allclose(
        sorted([2 * hx, 2 * hy]), sorted((high - low)[:2]), atol=1e-3
    ) and np.isclose(height, (high - low)[2])
    assert np.isclose(z, 0.1 + low[2]) and (
        middle is None or np.allclose([x, y], middle + np.array([2, -1]), atol=1e-3)
    )
    assert footprints(ground).shape == (0, CASTER)


def test_things_darken_the_ground_of_their_scene_alone():
    *_, depth = view()
    row = np.array([[2.5, 0.2, 0, 1, 0, 0.4, 0.2, 1.0]], np.float32)
    first, other = np.array([0, 1]), np.array([0, 0])
    here = shade(NOBODY, depth, things=(row, first, np.zeros(1, np.int64)))
    assert (
        here.min() < 120
        and (shade(NOBODY, depth, things=(row, other, np.zeros(1, np.int64))) == 200).all()
    )


def test_soles_come_nearer_and_nothing_else_does():
    positions, rotations, lens, points, depth = view()
    lifted = lift_soles(depth, positions, rotations, lens, person(2.5, 0.2), *NOTHING)
    off = np.hypot(points[..., 0] - 2.5, points[..., 1] - 0.2)
    depth, lifted = (np.nan_to_num(a, posinf=1e6) for a in (depth, lifted))
    nearer = (depth - lifted)[0][off < 0.3]
    assert (nearer > 0.2).all() and (nearer < 0.6).all() and len(nearer) > 5
    assert np.array_equal(depth[0][off > 0.6], lifted[0][off > 0.6])
