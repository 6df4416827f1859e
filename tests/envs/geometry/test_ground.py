import numpy as np
from scipy.interpolate import RegularGridInterpolator

from s2e.envs.geometry.ground import GroundFields, ground_height_at, surface_at
from s2e.envs.geometry.occupancy import Occupancy
from s2e.envs.geometry.scene import SEMANTIC_ID, Ground, Mesh, Scene


def place(seed: int, rows: int, cols: int, ground: bool = True) -> Scene:
    rng = np.random.default_rng(seed)
    occupancy = Occupancy(np.zeros((rows, cols), dtype=bool), rng.normal(0, 3, 2), 0.1)
    empty = np.zeros((0, 3), dtype=np.float32)
    mesh = Mesh(
        empty,
        empty.astype(np.int32),
        np.zeros((0, 3, 2)),
        np.zeros(0),
        np.zeros((0, 3, 3)),
        np.zeros(0),
        np.zeros(0),
    )
    field = Ground(
        rng.uniform(-0.2, 0.5, (rows, cols)).astype(np.float32),
        rng.integers(0, 6, (rows, cols)).astype(np.uint8),
    )
    return Scene(
        f"place-{seed}",
        occupancy,
        mesh,
        np.zeros((1, 2)),
        ground=field if ground else None,
        ground_z=0.25 * seed,
    )


def check(ground: GroundFields, scenes: list[Scene]) -> None:
    rng = np.random.default_rng(9)
    ids = rng.integers(0, len(scenes), 300)
    xy = np.array(
        [
            scenes[s].occupancy.origin
            + rng.uniform(-0.1, 1.1, 2) * np.array(scenes[s].occupancy.grid.shape)[::-1] * 0.1
            for s in ids
        ]
    )
    height, surface = ground_height_at(ground, ids, xy), surface_at(ground, ids, xy)
    for m, s in enumerate(ids):
        occupancy, field = scenes[s].occupancy, scenes[s].ground
        if field is None:
            assert height[m] == scenes[s].ground_z and surface[m] == SEMANTIC_ID["sidewalk"]
            continue
        rows, cols = occupancy.grid.shape
        centres = [
            occupancy.origin[k] + 0.1 * (np.arange(size) + 0.5)
            for k, size in ((1, rows), (0, cols))
        ]
        inside = np.clip(xy[m, ::-1], [c[0] for c in centres], [c[-1] for c in centres])
        expected = RegularGridInterpolator(centres, field.height.astype(float))(inside)[0]
        assert abs(height[m] - expected - scenes[s].ground_z) < 6e-4
        r, c = np.clip(occupancy.cell_of(xy[m]), 0, [rows - 1, cols - 1])
        assert surface[m] == field.surface[r, c]


def test_height_and_surface_agree_with_scipy_and_slots_are_exchanged():
    scenes = [place(0, 30, 40), place(1, 20, 25, ground=False), place(2, 50, 12)]
    ground = GroundFields.pack(scenes)
    check(ground, scenes)
    for slot, scene in (
        (0, place(5, 30, 40)),
        (1, place(6, 33, 21)),
        (2, place(7, 9, 9, ground=False)),
    ):
        ground.replace(slot, scene)
        scenes[slot] = scene
        check(ground, scenes)


def test_points_that_are_nowhere_lie_on_the_floor():
    ground = GroundFields.pack([place(1, 20, 25)])
    np.testing.assert_array_equal(
        ground_height_at(ground, np.zeros(2, int), np.array([[np.nan, 0.0], [0.0, np.inf]])), 0.25
    )
