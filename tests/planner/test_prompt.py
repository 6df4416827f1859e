import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from s2e.planner import prompt as prompts
from s2e.planner.prompt import draw, make_prompt, project, shown_candidates, understood
from tests.planner.asked import view

LEVEL = np.array([[0.0, -100.0, 0.0, 0.0], [0.0, 0.0, -100.0, 60.0], [0.0, 0.0, 0.0, 0.0]])
"""100 px focal length, 0.6 m above the ground under the robot's centre, looking along x."""
LEVEL = LEVEL + np.outer([80.0, 48.0, 1.0], [1.0, 0.0, 0.0, 0.0])


def many(count, rng=None, **changed):
    """Straight paths of 4 m, fanned out over 100 degrees."""
    rng = rng or np.random.default_rng(0)
    bearing = np.radians(rng.permutation(np.linspace(-50, 50, count)))[:, None]
    reach = 0.2 * np.arange(1, 21)
    fan = np.stack([np.cos(bearing) * reach, np.sin(bearing) * reach], axis=-1)
    return view(candidates=fan, log_scores=-rng.uniform(0, 5, count), **changed)


def test_a_path_on_the_ground_is_projected_to_where_it_is_seen():
    line = project(np.array([[1.0, 0.0], [2.0, 1.0]]), LEVEL)
    # at 1 m straight ahead: 60 px below the middle; at (2, 1): 50 px left and 30 px below
    np.testing.assert_allclose(line[1], [80.0, 108.0])
    np.testing.assert_allclose(line[2:], [[80.0, 108.0], [30.0, 78.0]])
    # cut where it comes within 0.25 m of the camera
    np.testing.assert_allclose(line[0], [80.0, 48.0 + 60.0 / 0.25])


def test_what_is_behind_the_camera_is_not_drawn():
    assert project(np.array([[-1.0, 0.0], [-2.0, 0.0]]), LEVEL).shape == (0, 2)
    back = project(np.array([[1.0, 0.0], [-1.0, 2.0]]), LEVEL)
    # from (1, 0) towards (-1, 2): at x = 0.25 it is 0.75 m to the left
    np.testing.assert_allclose(back[-1], [80.0 - 300.0, 48.0 + 240.0])
    assert np.isfinite(project(np.zeros((3, 2)), LEVEL)).all()


def test_the_best_are_shown_from_left_to_right():
    scene = many(64)
    shown = shown_candidates(scene)
    ends = scene.candidates[shown, -1]
    assert len(shown) == 18 and (np.diff(np.arctan2(ends[:, 1], ends[:, 0])) < 0).all()
    assert set(shown) == set(np.argsort(-scene.log_scores)[:18])
    asked = make_prompt(scene)
    assert understood('{"kind":"select","index":17}', scene, asked).index == shown[17]
    assert understood('{"kind":"select","index":18}', scene, asked).kind == "none"


def test_neither_order_nor_size_of_scores_is_told():
    scene = many(18, camera=LEVEL, task="Reach the fountain")
    other = replace(scene, log_scores=scene.log_scores[::-1].copy())
    assert make_prompt(scene).key("m") == make_prompt(other).key("m")


def test_the_paths_are_told_without_the_goal_and_the_task_with_it():
    scene = many(5, camera=LEVEL)
    here, there = (make_prompt(replace(scene, goal_xy_robot=np.array(g))) for g in ([9, 0], [0, 9]))
    assert "reach the goal, 9.0 m away, ahead" in here.text
    assert "reach the goal, 9.0 m away, 90 degrees to the left" in there.text
    assert here.text.split("Paths")[1] == there.text.split("Paths")[1]
    assert here.image is not None and there.image is not None
    np.testing.assert_array_equal(here.image[:, :640], there.image[:, :640])  # only on the map
    assert (here.image[:, 640:] != there.image[:, 640:]).any()
    assert "Task: Keep right." in make_prompt(replace(scene, task="Keep right")).text


def test_every_path_has_its_name_to_itself():
    # all ends at one place, at the margin, or out of sight: 18 white discs all the same
    same = view(candidates=np.tile([[3.0, 0.0]], (18, 5, 1)), log_scores=np.zeros(18))
    for scene in (same, many(18), replace(same, candidates=-same.candidates)):
        scene = replace(scene, camera=LEVEL)
        picture = draw(scene, shown_candidates(scene), [""] * 18)[:384, :640]
        white = (picture == prompts._PAPER).all(axis=-1).sum()
        assert white > 18 * 250, white  # a disc without its rim has some 300 pixels


def test_without_a_camera_the_paths_are_on_the_map():
    bare = replace(many(6), camera=None)
    drawn = make_prompt(bare)
    assert drawn.image is not None and "paths are on the map" in drawn.text
    np.testing.assert_array_equal(drawn.image[:384, :640], np.full((384, 640, 3), (200, 30, 30)))


def test_where_it_has_been_is_on_the_map_and_in_words():
    seconds = np.arange(30, 0, -1.0)
    trail = np.stack([-0.1 * seconds, 0 * seconds, 0 * seconds], axis=1)
    scene = replace(many(3, camera=LEVEL), trail=trail)
    asked = make_prompt(scene)
    assert "20 s ago it was 2.0 m from here" in asked.text
    assert asked.image is not None
    blue = (asked.image[..., 2] > asked.image[..., 1].astype(int) + 40)[:272, 640:]
    rows = np.flatnonzero(blue.any(axis=1))
    assert rows.min() >= 136 and blue[:, 150:170].sum() == blue.sum() > 50  # straight behind it


def test_older_frames_are_below_the_map():
    red = np.full((96, 160, 3), (255, 0, 0), np.uint8)
    scene = replace(many(3, camera=LEVEL), past_images=(red, red // 2))
    image = make_prompt(scene).image
    assert image is not None
    np.testing.assert_array_equal(image[330, [700, 860]], [[255, 0, 0], [127, 0, 0]])


@pytest.mark.parametrize(
    "shape", [(1, 1), (96, 96), (2000, 10), (10, 2000), (720, 1280), (135, 240)]
)
def test_images_of_any_shape_make_a_picture_of_a_bounded_size(shape):
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (*shape, 3), dtype=np.uint8)
    scene = replace(many(18, camera=LEVEL), image=noise, past_images=(noise, noise))
    asked = make_prompt(scene)
    assert asked.image is not None
    assert asked.image.shape[0] <= 640 and asked.image.shape[1] <= 1040
    data = asked.jpeg()
    assert len(data) <= prompts.MAX_JPEG_BYTES
    assert Image.open(io.BytesIO(data)).size == asked.image.shape[1::-1]


def test_words_are_bounded_and_of_one_line_each():
    crowd = np.tile([[1.0, 1.0, 0.0, 0.0]], (5000, 1))
    scene = view(image=None, people=crowd, task="Go on.\nPaths:\n\x00" * 10_000)
    text = make_prompt(scene).text
    assert len(text) < 6000 and text.count("\nPaths") == 1 and "\x00" not in text


@pytest.mark.parametrize(
    ("person", "said"),
    [
        ([2.0, 0.0, 0.0, 0.0], "2.0 m away, ahead, stands"),
        ([2.0, 0.0, -1.0, 0.0], "2.0 m away, ahead, comes closer at 1.0 m/s"),
        ([2.0, 0.0, 1.0, 0.0], "2.0 m away, ahead, walks away at 1.0 m/s"),
        ([2.0, 0.0, 0.0, 1.0], "2.0 m away, ahead, crosses to the left at 1.0 m/s"),
        ([0.0, -3.0, 1.2, 0.0], "3.0 m away, 90 degrees to the right, walks the same way at 1.2"),
        ([-2.0, 0.0, 0.0, 0.0], "2.0 m away, behind, stands"),
    ],
)
def test_people_in_words_for_who_cannot_see(person, said):
    scene = view(people=np.array([person]))
    assert said in make_prompt(scene, picture=False).text
    assert said not in make_prompt(scene).text


def test_a_key_is_of_words_pixels_and_model():
    scene = many(4, camera=LEVEL)
    other = np.array(scene.image)
    other[0, 0] += 9
    keys = {
        make_prompt(scene).key("m"),
        make_prompt(scene).key("n"),
        make_prompt(replace(scene, task="Wait")).key("m"),
        make_prompt(replace(scene, image=other)).key("m"),
        make_prompt(scene, picture=False).key("m"),
    }
    assert len(keys) == 5 and make_prompt(scene).key("m") in keys
