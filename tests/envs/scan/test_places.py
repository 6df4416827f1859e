import numpy as np
import pytest

from s2e.core.errors import UserError
from s2e.envs.geometry.scene import SEMANTIC_ID
from s2e.envs.scan.ground.columns import Columns, columns
from s2e.envs.scan.places import keep_region, to_ground, where_robots_go
from tests.envs.scan import captures


def flat(rows=60, cols=80):
    """An empty square with a rim of a cell that nobody saw."""
    known = np.zeros((rows, cols), dtype=bool)
    known[1:-1, 1:-1] = True
    return Columns(
        np.zeros(2),
        0.1,
        np.zeros((rows, cols), np.float32),
        known,
        np.zeros((rows, cols), bool),
        np.full((rows, cols), np.inf, np.float32),
    )


def test_unknown_is_occupied():
    found = flat()
    found.blocked[10:13, 20:24] = True
    occupancy, ground = to_ground(found)
    assert np.array_equal(occupancy.grid, ~found.known | found.blocked)
    assert (ground.surface == SEMANTIC_ID["floor"]).all()
    assert ground.height.dtype == np.float32


def test_walls_are_no_steps_of_the_ground():
    found = flat()
    found.height[:, 40:] = 2.0
    found.known[:, 38:42] = False
    found.height[:, 38:42] = 0.0
    _, ground = to_ground(found)
    assert set(np.unique(ground.height)) == {0.0, 2.0}


def test_kerbs_keep_wheels_back_and_legs_not():
    found = flat()
    found.height[:, 40:] = 0.14
    occupancy, ground = to_ground(found)
    jackal, go2 = (where_robots_go(occupancy, ground, name) for name in ("jackal", "go2"))
    assert not (jackal[:, :38].any() and jackal[:, 42:].any())
    assert go2[30, 20]
    assert go2[30, 60]
    kept = keep_region(occupancy, ground)
    assert kept.grid[30, 60] != kept.grid[30, 20]


def test_gaps_by_footprint():
    found = flat()
    found.blocked[:, 40] = True
    found.blocked[28:34, 40] = (
        False  # 0.6 m: a jackal's discs (0.5 m) pass, a coco's (0.63 m) do not
    )
    occupancy, ground = to_ground(found)
    for name, passes in (("jackal", True), ("coco", False)):
        region = where_robots_go(occupancy, ground, name)
        assert (region[:, :35].any() and region[:, 46:].any()) == passes


def test_low_roofs():
    found = flat()
    found.overhead[:, 30:] = 1.25
    occupancy, ground = to_ground(found)
    assert where_robots_go(occupancy, ground, "g1")[30, 60]  # the grid alone does not know
    assert not where_robots_go(occupancy, ground, "g1", found.overhead)[30, 60]
    assert where_robots_go(occupancy, ground, "jackal", found.overhead)[30, 60]


def test_largest_region_only():
    found = flat()
    found.blocked[:, 30] = True
    occupancy, ground = to_ground(found)
    region = where_robots_go(occupancy, ground, "jackal")
    assert region[30, 60]
    assert not region[:, :30].any()
    assert keep_region(occupancy, ground).grid[:, :29].all()


def test_nowhere():
    found = flat(8, 8)
    found.blocked[:] = True
    occupancy, ground = to_ground(found)
    assert not where_robots_go(occupancy, ground, "coco").any()
    with pytest.raises(UserError, match="fits nowhere"):
        keep_region(occupancy, ground)
    with pytest.raises(UserError, match="choose one of"):
        where_robots_go(occupancy, ground, "spot")


def test_kept_cells_are_free_cells():
    found = columns(captures.stairs(1))
    occupancy, ground = to_ground(found)
    kept = keep_region(occupancy, ground)
    assert (kept.grid | ~occupancy.grid).all()
    assert 0.3 < (~kept.grid).mean() < 0.8


def test_legs_take_stairs_and_wheels_the_ramp():
    found = columns(captures.stairs(0))
    occupancy, ground = to_ground(found)
    c = int((10.0 - found.origin[0]) / 0.1)
    r = int((-3.0 - found.origin[1]) / 0.1)
    assert where_robots_go(occupancy, ground, "go2")[r, c]  # the terrace
    steps = (
        slice(r - 10, r + 10),
        slice(int((4.3 - found.origin[0]) / 0.1), int((5.3 - found.origin[0]) / 0.1)),
    )
    assert where_robots_go(occupancy, ground, "go2")[steps].mean() > 0.8
    assert where_robots_go(occupancy, ground, "jackal")[steps].mean() < 0.3
