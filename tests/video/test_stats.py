import numpy as np
import pytest
from PIL import Image

from s2e.core.errors import UserError
from s2e.video.stats import COLOURS, FAINT, QUANTITIES, _faded, draw, measure, table
from tests.video.made_walks import changed, make


def circle(speed=1.2, omega=0.3, seconds=20, hz=10):
    walk = make(seconds * hz, hz)
    angle = omega * walk.times
    return changed(
        walk, position=speed / omega * np.stack([np.sin(angle), 1 - np.cos(angle)], 1), yaw=angle
    )


def test_a_circle_has_its_numbers():
    numbers = measure([circle(), circle()])
    np.testing.assert_allclose(numbers["speed"], 1.2, rtol=0.01)
    np.testing.assert_allclose(numbers["curvature"], 0.25, rtol=0.01)
    # the angle between tangent and chord
    np.testing.assert_allclose(numbers["goal"], np.degrees(0.3 * 5 / 2), atol=0.1)
    np.testing.assert_allclose(numbers["length"], 1.2 * 19.9, rtol=0.01)
    np.testing.assert_allclose(numbers["duration"], 19.9)
    assert numbers["turning"].tolist() == [1.0, 1.0] and len(numbers["goal"]) == 2 * 150


def test_standing_has_no_curvature_and_no_goal():
    walk = make(100)
    numbers = measure([changed(walk, position=np.zeros((100, 2)))])
    assert len(numbers["curvature"]) == len(numbers["goal"]) == 0 and numbers[
        "length"
    ].tolist() == [0]
    assert "nan" in "\n".join(table({"a": numbers}))


def test_the_table_names_every_quantity():
    lines = table({"a": measure([circle()]), "b": measure([make()])})
    assert len(lines) == 1 + 2 * len(QUANTITIES) and "1.20" in lines[1]
    assert lines[1].split()[-5] == "195" and "values" in lines[0]


def test_few_values_are_grey_and_every_path_fits(tmp_path):
    long = changed(
        make(40), position=np.stack([100 * make(40).times, 0 * make(40).times], 1), yaw=np.zeros(40)
    )
    walks = [circle() for _ in range(10)] + [long]
    draw({"a": walks}, {"a": measure(walks)}, tmp_path / "a.png")
    image = np.asarray(Image.open(tmp_path / "a.png").convert("RGB")).astype(int)
    shades = [int((image == np.array(c)).all(-1).sum()) for c in (FAINT, COLOURS[0])]
    assert min(shades) > 5000  # histograms of 11 walks, and of hundreds of frames
    path = np.argwhere((image == np.array(_faded(COLOURS[0]))).all(-1))
    box = path[path[:, 1] > 1000]
    # the long one is seen whole, ending inside the frame
    assert 400 < np.ptp(box[:, 0]) < 560 and np.ptp(box[:, 1]) < 520


@pytest.mark.parametrize("count", [1, 3])
def test_a_picture_is_drawn_the_same_each_time(tmp_path, count):
    datasets = {
        f"set {i}": [make(40 + i, seed=i, size=(24, 24 + 20 * i)), circle()] for i in range(count)
    }
    measured = {name: measure(walks) for name, walks in datasets.items()}
    for name in ("a.png", "b.png"):
        draw(datasets, measured, tmp_path / "new" / name)
    assert (tmp_path / "new" / "a.png").read_bytes() == (tmp_path / "new" / "b.png").read_bytes()
    image = Image.open(tmp_path / "new" / "a.png").convert("RGB")
    colours = image.getcolors(1 << 24)
    assert image.width == 1500 and colours is not None and len(colours) > 200


def test_where_a_picture_cannot_be(tmp_path):
    walks = {"a": [make(20)]}
    numbers = {"a": measure(walks["a"])}
    with pytest.raises(UserError, match="ends in .png"):
        draw(walks, numbers, tmp_path / "stats.pdf")
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        draw(walks, numbers, tmp_path / "file" / "a.png")
