"""Corrections by hand: what is drawn is what is marked, and what makes no sense is refused by
name."""

import json

import numpy as np
import pytest
from scipy.ndimage import label

from s2e.core.errors import UserError
from s2e.envs.scan.ground.columns import Columns
from s2e.envs.scan.sidecar import Correction, correct_columns, inside, read_correction, sidecar_path

SQUARE = ((1.0, 1.0), (3.0, 1.0), (3.0, 2.0), (1.0, 2.0))


def columns():
    known = np.ones((40, 50), dtype=bool)
    known[:, 40:] = False
    height = np.where(known, 0.2, 0.0).astype(np.float32)
    blocked = np.zeros_like(known)
    blocked[10:20, 10:20] = True
    return Columns(
        np.array([0.0, 0.0]), 0.1, height, known, blocked, np.full(known.shape, np.inf, np.float32)
    )


def test_a_missing_sidecar_is_no_correction(tmp_path):
    path = sidecar_path(tmp_path / "yard.v2")
    assert path == tmp_path / "yard.v2.correct.json"
    assert read_correction(path) == Correction() and Correction().used() == {}


@pytest.mark.parametrize(
    ("limit", "most", "words"),
    [
        ("MOST_BYTES", 20, "20 bytes"),
        ("MOST_POLYGONS", 1, "'no_go' must be a list of at most 1 polygons"),
        ("MOST_POINTS", 3, r"no_go\[0\] must be a list of 3 to 3 points"),
    ],
)
def test_a_sidecar_is_bounded(tmp_path, monkeypatch, limit, most, words):
    path = tmp_path / "a.correct.json"
    path.write_text(json.dumps({"no_go": [SQUARE, SQUARE]}))
    assert len(read_correction(path).no_go) == 2
    monkeypatch.setattr(f"s2e.envs.scan.sidecar.{limit}", most)
    with pytest.raises(UserError, match=words):
        read_correction(path)


def test_what_is_written_is_read(tmp_path):
    path = tmp_path / "a.correct.json"
    path.write_text(
        json.dumps(
            {
                "metres_per_unit": 2,
                "yaw_deg": -15,
                "no_go": [[[1, 1], [3, 1], [3, 2], [1, 2]]],
                "notes": "pond",
            }
        )
    )
    found = read_correction(path)
    assert found == Correction(metres_per_unit=2.0, yaw_deg=-15.0, no_go=(SQUARE,), notes="pond")
    assert set(found.used()) == {"metres_per_unit", "yaw_deg", "no_go", "notes"}


@pytest.mark.parametrize(
    "text,match",
    [
        ("{", "cannot be read as JSON"),
        ("[" * 100_000, "cannot be read as JSON"),
        ("[]", "holds a list"),
        ('{"scale": 1}', "unknown field 'scale'; the fields are metres_per_unit, floor_offset_m"),
        ('{"metres_per_unit": 0}', "field 'metres_per_unit' is 0; give a number from 1e-06"),
        ('{"metres_per_unit": "1"}', "metres_per_unit"),
        ('{"yaw_deg": NaN}', "field 'yaw_deg' is NaN"),
        ('{"floor_offset_m": 1e9}', "floor_offset_m"),
        ('{"floor_offset_m": true}', "floor_offset_m"),
        ('{"floor_offset_m": 1' + 400 * "0" + "}", "field 'floor_offset_m' is 1000"),
        ('{"yaw_deg": -1' + 5000 * "0" + "}", "cannot be read as JSON"),
        ('{"go": [[[0, 0], [1, 1], [1, 1' + 400 * "0" + "]]]}", r"go\[0\]\[2\]"),
        ('{"notes": 3}', "notes"),
        ('{"go": {}}', "field 'go' must be a list"),
        ('{"no_go": [[[0, 0], [1, 1]]]}', r"no_go\[0\] must be a list of 3 to 1000 points"),
        ('{"no_go": [[[0, 0], [1, 1], [1]]]}', r"no_go\[0\]\[2\] is \[1\]; give \[x, y\]"),
        ('{"go": [[[0, 0], [1, 1], [1, Infinity]]]}', r"go\[0\]\[2\]"),
        ('{"go": [[[0, 0], [1, 1], "ab"]]}', r"go\[0\]\[2\]"),
    ],
)
def test_what_makes_no_sense_is_named(tmp_path, text, match):
    path = tmp_path / "a.correct.json"
    path.write_text(text)
    with pytest.raises(UserError, match=r"a\.correct\.json: .*" + match):
        read_correction(path)


def test_polygons_cover_the_cells_whose_centres_they_hold():
    from matplotlib.path import Path as Outline

    rng = np.random.default_rng(0)
    origin, shape = np.array([-1.0, 2.0]), (37, 51)
    x, y = origin[0] + 0.1 * (np.arange(51) + 0.5), origin[1] + 0.1 * (np.arange(37) + 0.5)
    centres = np.stack(np.meshgrid(x, y), -1).reshape(-1, 2)
    for k in range(20):
        # star-shaped: no crossing edges, where rules differ
        angle = np.sort(rng.uniform(0, 2 * np.pi, 7))
        corners = np.array([1.5, 3.8]) + rng.uniform(0.3, 3.5, (7, 1)) * np.stack(
            [np.cos(angle), np.sin(angle)], 1
        )
        wanted = (
            Outline(np.concatenate([corners, corners[:1]]), closed=True)
            .contains_points(centres)
            .reshape(shape)
        )
        found = inside(tuple(map(tuple, corners)), origin, 0.1, shape)
        assert (found == wanted).mean() > 0.999, k
        touched = inside(tuple(map(tuple, corners)), origin, 0.1, shape, edges=True)
        assert (touched | found == touched).all() and touched.sum() >= found.sum()


def test_a_thin_line_blocks_without_gaps():
    thin = ((0.52, 0.03), (4.53, 3.87), (4.54, 3.87))
    mask = inside(thin, np.zeros(2), 0.1, (40, 50), edges=True)
    parts = np.zeros(mask.shape, np.int32)
    assert label(mask, structure=np.ones((3, 3)), output=parts) == 1 and mask.sum() >= 40


def test_no_go_blocks_and_go_frees_and_levels(tmp_path):
    go = ((3.5, 0.5), (4.8, 0.5), (4.8, 3.0), (3.5, 3.0))
    over_box = ((0.95, 0.95), (2.05, 0.95), (2.05, 1.5), (0.95, 1.5))
    fixed = correct_columns(columns(), Correction(no_go=(SQUARE,), go=(go, over_box)), tmp_path)
    assert fixed.blocked[10:20, 10:30].all() and not fixed.blocked[5:9].any()
    freed = correct_columns(columns(), Correction(go=(over_box,)), tmp_path)
    assert not freed.blocked[10:14, 10:20].any() and freed.blocked[16:20, 10:20].all()
    assert (
        fixed.known[5:30, 35:48].all()
        and np.allclose(fixed.height[5:30, 40:48], 0.2)
        and not fixed.known[35, 45]
    )


def test_polygons_elsewhere_are_refused(tmp_path):
    far = tuple((x + 100, y) for x, y in SQUARE)
    with pytest.raises(
        UserError,
        match=r"c\.json: no_go\[1\] lies outside the place \(x 0\.0 to 5\.0, y 0\.0 to 4\.0 m\)",
    ):
        correct_columns(columns(), Correction(no_go=(SQUARE, far)), tmp_path / "c.json")
