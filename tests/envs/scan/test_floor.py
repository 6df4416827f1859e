from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s2e.core.errors import UserError
from s2e.envs.geometry.scene import Splats
from s2e.envs.scan.ground.clean import clean
from s2e.envs.scan.ground.field import level_direction
from s2e.envs.scan.ground.floor import (
    Floor,
    NotNavigable,
    _under,
    find_floor,
    given_floor,
    surface_of,
)
from s2e.envs.scan.ground.planes import sample_surface
from s2e.envs.splats.transform import Placement, place, select
from tests.envs.scan import captures

QUICK = ("street", "quay")


def found(splats, placement, up=None):
    """Floor of a cleaned capture and its error in degrees and metres, in the middle of the
    ground."""
    return find_floor(select(splats, clean(splats) == 0), up)


def middle_of(splats):
    level = splats.means[np.abs(splats.means[:, 2]) < 0.03]
    return (*level[:, :2].mean(0), 0.0)


def check(name, seed, hinted):
    truth = captures.PLACES[name](seed)
    splats, placement = captures.disturbed(truth, 31 * seed + 7)
    up = placement.rotation @ np.array([0.2, -0.1, 1.0]) if hinted else None
    floor = found(splats, placement, up)
    angle, height = captures.floor_error(floor, placement, middle_of(truth))
    assert angle < 2.0
    assert abs(height) < 0.03
    assert floor.up_sure or not hinted
    assert 0.0 < floor.support <= 1.0


@pytest.mark.parametrize("name", QUICK)
def test_places(name):
    check(name, 1, hinted=False)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("hinted", [False, True])
@pytest.mark.parametrize("name", captures.PLACES)
def test_all_places(name, hinted, seed):
    check(name, seed, hinted)


@pytest.mark.slow
def test_kerb_and_road_are_one_floor_at_the_road():
    truth = captures.street(2, kerb=0.15)
    assert found(truth, None).offset == pytest.approx(0.0, abs=0.01)


@pytest.mark.slow
def test_a_sloped_street():
    truth = captures.street(0, slope=0.08)
    floor = found(truth, None)
    assert np.degrees(np.arccos(floor.normal @ np.array([-np.sin(0.08), 0, np.cos(0.08)]))) < 0.5


@given(st.integers(0, 1000))
@settings(max_examples=1, deadline=None)
def test_turning_and_scaling_the_capture_turns_and_scales_the_floor(seed):
    truth = captures.plaza(3)
    before = find_floor(truth)
    splats, placement = captures.disturbed(truth, seed)
    after = find_floor(splats)
    assert after.normal @ placement.rotation @ before.normal > np.cos(np.radians(0.1))
    point = placement.points(before.normal * before.offset)
    assert after.normal @ point - after.offset == pytest.approx(0.0, abs=0.005 * placement.scale)
    assert after.extent == pytest.approx(before.extent * placement.scale, rel=0.05)


def test_deterministic():
    splats = captures.plaza(0)
    a, b = find_floor(splats, seed=3), find_floor(splats, seed=3)
    assert np.array_equal(a.normal, b.normal)
    assert (a.offset, a.support, a.extent, a.spread) == (b.offset, b.support, b.extent, b.spread)


@pytest.mark.parametrize(
    ("capture", "words"),
    [
        (captures.statue, "object"),
        (captures.ball, "object"),
        (captures.ceiling_only, "--up"),
        (captures.plane_only, "--up"),
    ],
)
def test_refused(capture, words):
    splats, _ = captures.disturbed(capture(0), 4)
    with pytest.raises(NotNavigable, match=words) as refusal:
        find_floor(splats)
    assert any(letter.isdigit() for letter in str(refusal.value))


def test_hints():
    plaza, up = captures.plaza(0), np.array([0.0, 0.1, 1.0])
    assert find_floor(plaza, up).up_sure
    ceiling = find_floor(captures.ceiling_only(0), up)  # what a person says counts
    assert (
        ceiling.normal[2] > 0.999
        and "up is taken as given, but next to nothing stands on the floor" in ceiling.warning
    )
    with pytest.raises(NotNavigable, match="none of the .* level.*check --up, or leave it out$"):
        find_floor(captures.wall_only(0), up)
    assert find_floor(captures.plane_only(0), up).normal[2] > 0.999
    for bad in (np.zeros(3), np.array([np.nan, 0, 1]), np.ones(2)):
        with pytest.raises(UserError, match="up"):
            find_floor(plaza, bad)


@pytest.mark.parametrize(("lean", "good"), [(25.0, True), (45.0, False), (70.0, False)])
def test_the_floor_is_within_30_degrees_of_a_hint(lean, good):
    up = np.array([np.sin(np.radians(lean)), 0.0, np.cos(np.radians(lean))])
    try:
        normal = find_floor(captures.plane_only(0), up).normal
    except NotNavigable:
        assert not good
        return
    assert np.degrees(np.arccos(normal @ up)) <= 30.1 and (normal[2] > 0.999) == good


@pytest.mark.parametrize("most_deg", [10.0, 30.0])
def test_no_level_direction_is_farther_from_a_hint_than_may_be(most_deg):
    surface = sample_surface(captures.plane_only(0), 0)
    assert surface is not None
    for lean in (0.8 * most_deg, 1.6 * most_deg):
        hint = np.array([0.0, np.sin(np.radians(lean)), np.cos(np.radians(lean))])
        found = level_direction(surface, hint, most_deg, 0)
        assert np.degrees(np.arccos(min(found @ hint, 1.0))) <= most_deg + 0.1
        assert (np.degrees(np.arccos(found[2])) < 1.0) == (lean < most_deg)


@pytest.mark.parametrize("count", [0, 1, 150])
def test_too_few(count):
    with pytest.raises(NotNavigable, match="solid"):
        find_floor(select(captures.plaza(0), np.arange(count)))


def test_all_in_one_point():
    count = 500
    splats = Splats(
        np.full((count, 3), 7.0, dtype=np.float32),
        np.tile(np.array([1, 0, 0, 0], dtype=np.float32), (count, 1)),
        np.full((count, 3), 0.1, dtype=np.float32),
        np.full(count, 0.9, dtype=np.float32),
        np.zeros((count, 1, 3), dtype=np.float32),
    )
    with pytest.raises(NotNavigable, match="one point"):
        find_floor(splats)


def test_a_line_of_gaussians():
    line = np.zeros((400, 3), dtype=np.float32)
    line[:, 0] = np.linspace(0, 1, 400)
    splats = select(captures.plaza(0), np.arange(400))
    splats = Splats(
        line, splats.quats, splats.scales * 1e-3, np.full(400, 0.9, dtype=np.float32), splats.sh
    )
    with pytest.raises(NotNavigable):
        find_floor(splats)


@pytest.mark.slow
def test_far_from_the_origin():
    truth = captures.plaza(1)
    moved = place(truth, Placement(1.0, np.eye(3), np.array([800.0, -500.0, 40.0])))
    assert find_floor(moved).offset == pytest.approx(40.0, abs=0.02)


def noisy(seed):
    splats, placement = captures.disturbed(captures.corridor(seed), 31 * seed + 7)
    return select(splats, clean(splats) == 0), placement


@pytest.mark.parametrize(
    "seed", [0, pytest.param(1, marks=pytest.mark.slow), pytest.param(2, marks=pytest.mark.slow)]
)
def test_a_corridor_of_round_gaussians_has_a_floor_where_up_is_said(seed):
    splats, placement = noisy(seed)
    floor = find_floor(splats, placement.rotation @ np.array([0.2, -0.1, 1.0]))
    angle, height = captures.floor_error(floor, placement, (9.0, 0.0, 0.0))
    assert angle < 2.0 and abs(height) < 0.03 and not floor.warning
    assert 0.02 < floor.noise / placement.scale < 0.15


@pytest.mark.slow
def test_a_corridor_without_a_hint_is_refused_since_floor_and_ceiling_look_alike():
    with pytest.raises(
        NotNavigable,
        match=r"\d level surfaces look alike .floor, ceiling or wall.*--up, or give --cameras",
    ):
        find_floor(noisy(0)[0])


def test_cameras_are_above_the_floor():
    splats, placement = noisy(3)
    eyes = placement.points(np.stack([np.linspace(2, 16, 40), np.zeros(40), np.full(40, 1.5)], 1))
    floor = find_floor(splats, placement.rotation @ np.array([0.0, 0.0, 1.0]), eyes=eyes)
    angle, height = captures.floor_error(floor, placement, (9.0, 0.0, 0.0))
    assert angle < 2.0 and abs(height) < 0.04


@pytest.mark.slow
@pytest.mark.parametrize("capture", [captures.statue, captures.ball, captures.wall_only])
def test_objects_are_refused_whatever_is_said_to_be_up(capture):
    splats, placement = captures.disturbed(capture(0), 4)
    with pytest.raises(NotNavigable):
        find_floor(splats, placement.rotation @ np.array([0.0, 0.1, 1.0]))


def test_a_floor_that_is_given_is_taken_and_judged():
    splats, placement = captures.disturbed(captures.plaza(0), 5)
    up = placement.rotation[:, 2]
    true = -float(up @ placement.points(np.zeros(3)))
    good = given_floor(splats, np.array([*(3.0 * up), 3.0 * true]))
    assert (
        good.normal @ up > 1 - 1e-9
        and good.offset == pytest.approx(-true)
        and not good.warning
        and good.support > 0.5
    )
    high = given_floor(splats, np.array([*up, true - 2.0 * placement.scale]))
    assert (
        high.offset == pytest.approx(2.0 * placement.scale - true)
        and "--floor is taken as given, but" in high.warning
    )
    assert "beneath it" in high.warning and "units above it" in high.warning


def test_a_table_is_not_the_floor():
    """What was taken for the ground is a table's top: the plane under it has nothing beneath it."""
    build, up = captures.Builder(np.random.default_rng(4)), np.array([0.0, 0.0, 1.0])
    build.ground(-2.5, 2.5, -2.5, 2.5, density=25.0)
    build.ground(-1.2, 1.2, -1.6, 1.6, z=0.72, density=300.0)
    for low, high in ((0.05, 0.68), (0.8, 2.0)):  # chairs, and what stands on the table
        points = build.rng.uniform((-2.5, -2.5, low), (2.5, 2.5, high), (6000, 3))
        build.discs(points, build.rng.normal(size=points.shape), 60.0)
    surface = surface_of(build.splats())
    table = Floor(up, 0.72, 0.1, 4.0, 0.01, True, "much lies beneath the floor")
    floor = _under(surface, up, 0, table)
    assert (
        floor is not None and abs(floor.offset) < 0.03 and floor.normal[2] > np.cos(np.radians(1.5))
    )
    assert "units above the floor" in floor.warning
    assert _under(surface, up, 0, replace(table, offset=0.0)) is None
    assert _under(surface, up, 0, replace(table, normal=np.array([1.0, 0.0, 0.0]))) is None
