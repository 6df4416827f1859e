import numpy as np
import pytest
from PIL import Image

from s2e.errors import UserError
from s2e.video.stats import QUANTITIES, draw, measure, table
from tests.video.test_check import changed, make


def circle(speed=1.2, omega=0.3, seconds=20, hz=10):
    walk = make(seconds * hz, hz)
    angle = omega * walk.times
    return changed(walk, position=speed / omega * np.stack([np.sin(angle), 1 - np.cos(angle)], 1), yaw=angle)


def test_a_circle_has_its_numbers():
    numbers = measure([circle(), circle()])
    np.testing.assert_allclose(numbers["speed"], 1.2, rtol=0.01)
    np.testing.assert_allclose(numbers["curvature"], 0.25, rtol=0.01)
    np.testing.assert_allclose(numbers["goal"], np.degrees(0.3 * 5 / 2), atol=0.1)  # the angle between tangent and chord
    np.testing.assert_allclose(numbers["length"], 1.2 * 19.9, rtol=0.01)
    np.testing.assert_allclose(numbers["duration"], 19.9)
    assert numbers["turning"].tolist() == [1.0, 1.0] and len(numbers["goal"]) == 2 * 150


def test_standing_has_no_curvature_and_no_goal():
    walk = make(100)
    numbers = measure([changed(walk, position=np.zeros((100, 2)))])
    assert len(numbers["curvature"]) == len(numbers["goal"]) == 0 and numbers["length"].tolist() == [0]
    assert "nan" in "\n".join(table({"a": numbers}))


def test_the_table_names_every_quantity():
    lines = table({"a": measure([circle()]), "b": measure([make()])})
    assert len(lines) == 1 + 2 * len(QUANTITIES) and "1.20" in lines[1]


@pytest.mark.parametrize("count", [1, 3])
def test_a_picture_is_drawn_the_same_each_time(tmp_path, count):
    datasets = {f"set {i}": [make(40 + i, seed=i, size=(24, 24 + 20 * i)), circle()] for i in range(count)}
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
