"""Places of the suite and their parts: one can drive there, and what stands in the way is
what is seen."""

import numpy as np
import pytest

from s2e.envs.geometry.scene import Sky
from s2e.envs.scenes.files import load_scene
from s2e.envs.scenes.propose import largest_region, on_wheels, route_of
from s2e.envs.splats.render import prepare, render_splats
from s2e.envs.splats.views import Views
from tools.urban import sheets as more
from tools.urban import street_parts as things
from tools.urban.paint import Canvas, Light, Place
from tools.urban.surfaces import hexes

PLACE = Place((-5.0, -5.0), (5.0, 5.0), 5.0, (0.3, 0.2, 1.0), Sky(), Light(), 3)
TONE = hexes("8a5a3c")[0]
LINE = np.array([[-2.0, 0.0], [0.5, 0.3], [2.0, 0.0]])
PARTS = {
    "car": (lambda c: things.car(c, 0.5, 0.2, 0.4, TONE), 4.2 * 1.76),
    "van": (lambda c: things.car(c, 0.5, 0.2, 2.4, TONE, tall=True), 4.9 * 1.9),
    "boat": (
        lambda c: things.boat(c, 0, 0, 0.3, 5.0, hexes("27506b", "e8e2d2", "7a3027"), 0.2),
        0.85 * 5.0 * 0.8 * 1.5,
    ),
    "bicycle": (lambda c: things.bicycle(c, 0, 0, 0.7, TONE), None),
    "stand": (lambda c: things.hoop(c, 0, 0, 0.2, TONE), None),
    "bin": (lambda c: things.wheelie_bin(c, 0, 0, 0.5, TONE), 0.48 * 0.46),
    "bollard": (lambda c: things.bollard(c, 0, 0, 0.9, 0.2, TONE), 0.42**2),
    "lamp": (lambda c: things.lamp_post(c, 0, 0, 4.0, 1.0, TONE), None),
    "seat": (lambda c: things.seat(c, 0, 0, 0.3, TONE), 0.5 * 1.8),
    "shelter": (lambda c: things.shelter(c, 0, 0, 4.0, 1.4, 0.0, 1, TONE), None),
    "hedge": (lambda c: more.hedge(c, LINE, 0.6, 1.2, TONE), 4.04 * 0.6),
    "shrub": (lambda c: more.shrub(c, 0, 0, 0.6, 0.9, TONE), 0.9**2),
    "tree": (lambda c: more.tree(c, 0, 0, 4.0, 1.4, TONE), None),
    "fence": (lambda c: more.fence(c, LINE, 1.2, TONE), None),
    "block": (
        lambda c: more.block(c, 0, 0, 0.6, (1.5, 0.8, 0.9), 0.1, more.stained(TONE)),
        1.5 * 0.8,
    ),
    "wall": (
        lambda c: more.wall(
            c,
            (-3, 1),
            (3, 1),
            3.0,
            more.stained(TONE),
            windows=[(1, 1, 1, 1)],
            doors=[(3, 1, 2, TONE)],
        ),
        6 * 0.4,
    ),
}


@pytest.mark.parametrize("name", PARTS)
def test_parts_are_painted_where_they_stand(name):
    """Finite Gaussians near the ground they cover; the solid area is that of the footprint; the
    same each time."""
    paint, area = PARTS[name]
    made = [Canvas(PLACE) for _ in range(2)]
    for canvas in made:
        paint(canvas)
    parts = [[np.concatenate([p[k] for p in canvas.parts]) for k in range(9)] for canvas in made]
    assert all(np.array_equal(a, b) for a, b in zip(*parts, strict=True)) and np.array_equal(
        made[0].grid, made[1].grid
    )
    points, direction, normal, scales, colour = parts[0][:5]
    assert len(points) > 10 and all(np.isfinite(a).all() for a in parts[0])
    assert (
        np.abs((direction * normal).sum(1)).max() < 1e-6
        and (scales > 0).all()
        and colour.min() >= 0
    )
    assert np.abs(points[:, :2]).max() < 4.5 and -0.2 < points[:, 2].min() < 0.7
    solid = made[0].grid[:, :, 1:12].any(axis=2)
    assert solid.any()
    if area is not None:
        assert solid.sum() * 0.01 == pytest.approx(area, rel=0.35)
    low = points[(points[:, 2] > 0.15) & (points[:, 2] < 1.1)]
    cells = np.argwhere(solid) * 0.1 + np.array(PLACE.low) + 0.05
    for corner in (low.min(0), low.max(0)):
        # nothing low sticks far out of what is solid
        assert np.abs(cells - corner[:2]).min(axis=0).max() < 1.0


def test_sheets_face_the_side_they_are_seen_from():
    canvas = Canvas(PLACE)
    more.wall(canvas, (-2, 0), (2, 0), 2.0, more.stained(TONE))
    more.sheet(canvas, np.array([[-2.0, -1.0], [2.0, -1.0]]), 0.0, 1.0, 0.2, more.stained(TONE))
    assert all(np.allclose(part[2], (0, -1, 0)) for part in canvas.parts)
    solid = np.argwhere(canvas.grid) * 0.1 - 5
    assert solid[:, 1].min() >= -1e-6 and solid[:, 1].max() < 0.4
    canvas = Canvas(PLACE)
    more.block(canvas, 1.0, 1.0, 0.7, (1.0, 1.0, 1.0), 0.2, more.stained(TONE))
    points, normals = (np.concatenate([p[k] for p in canvas.parts]) for k in (0, 2))
    assert ((points - (1.0, 1.0, 0.5)) * normals).sum(1).min() > 0.4


def test_pictures_lie_on_their_walls():
    image = np.zeros((10, 20, 3))
    image[:, 10:] = 1.0
    colour = things.picture(image, (2.0, 1.0), (2.0, 5.0), 0.5, 0.2)
    assert np.allclose(colour(np.array([[2.0, 1.1, 1.0], [2.0, 4.9, 1.0]])), [[0, 0, 0], [1, 1, 1]])
    drawn = things.graffiti(np.random.default_rng(1), 6.0, 2.5, TONE)
    assert drawn.min() >= 0 and drawn.max() <= 0.95 and drawn.std() > 0.05


def look_down(splats, points, height):
    """(n, 5, 5) alpha seen straight down from 0.6 m above the ground."""
    eyes = np.column_stack([points, height + 0.6]).astype(np.float32)
    down = np.tile(np.array([[1, 0, 0], [0, -1, 0], [0, 0, -1]], np.float32), (len(eyes), 1, 1))
    return render_splats(
        prepare(splats), Views(eyes, down, np.array([20.0, 20.0, 8.0, 8.0], np.float32), 16, 16)
    )[2]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["quay", "residential", "underpass", "schoolyard", "station"])
def test_scenes_can_be_driven_through(name):
    scene = load_scene(f"gs_urban/{name}")
    occupancy, ground, anchors = scene.occupancy, scene.ground, scene.free_anchors
    assert ground is not None
    clear = on_wheels(occupancy, ground).distance()
    assert largest_region(clear > 0.45).sum() * 0.01 >= 250
    assert len(anchors) == 64
    pairs = np.random.default_rng(0).choice(len(anchors), (12, 2))
    assert (
        sum(
            route_of(scene, occupancy, anchors[a], anchors[b]) is not None
            for a, b in pairs
            if a != b
        )
        >= 9
    )
    rows, columns = np.nonzero(clear > 0.2)
    chosen = np.random.default_rng(1).choice(len(rows), 400)
    cells = np.stack([columns[chosen], rows[chosen]], 1)
    alpha = look_down(
        scene.splats,
        occupancy.origin + (cells + 0.5) * 0.1,
        ground.height[rows[chosen], columns[chosen]],
    )
    assert np.quantile(alpha, 0.002) > 0.9  # nobody sees through the ground
