"""Where robots can go in a place that was scanned."""

from dataclasses import replace

import numpy as np
from scipy.ndimage import binary_dilation, distance_transform_edt

from s2e.core.errors import UserError
from s2e.envs.geometry.occupancy import Occupancy
from s2e.envs.geometry.scene import SEMANTIC_ID, Ground
from s2e.envs.robots.fleet import STEP_CLASSES_M
from s2e.envs.robots.kinds import ROBOTS
from s2e.envs.scan.ground.columns import Columns
from s2e.envs.scenes.propose import largest_region


def to_ground(columns: Columns) -> tuple[Occupancy, Ground]:
    """What a robot can hit and what it stands on; a cell whose ground nobody saw counts as
    occupied.

    The surface is "floor" everywhere: a capture does not say what its ground is made of. Under what
    is occupied, the height is that of the nearest ground that was seen, so that a wall is no step.
    """
    free = columns.known & ~columns.blocked
    occupancy = Occupancy(
        grid=~free,
        origin=np.asarray(columns.origin, dtype=np.float64),
        resolution=columns.resolution,
    )
    height = columns.height
    if columns.known.any():
        nearest = np.asarray(
            distance_transform_edt(~columns.known, return_distances=False, return_indices=True)
        )
        height = height[tuple(nearest)]
    surface = np.full(free.shape, SEMANTIC_ID["floor"], dtype=np.uint8)
    return occupancy, Ground(height=height.astype(np.float32), surface=surface)


def where_robots_go(
    occupancy: Occupancy, ground: Ground, robot_name: str, overhead: np.ndarray | None = None
) -> np.ndarray:
    """Cells that a robot's footprint can drive or walk over in one connected piece.

    The middle of a footprint can go where its discs fit at some heading; since a way changes
    heading, a disc of their radius has to fit everywhere along it (the discs follow one another).
    The cells under the footprint count with its middle.

    Args:
        occupancy: what stands in the way of every robot.
        ground: heights, on the same cells.
        robot_name: a key of `s2e.envs.robots.kinds.ROBOTS`.
        overhead: (R, C) metres of free height, `Columns.overhead`, for robots taller than the
            clearance `occupancy` was made with.

    Returns:
        (R, C) bool: the largest connected region, which is empty where the robot fits nowhere.

    Raises:
        UserError: no robot of that name.
    """
    robot = ROBOTS.get(robot_name)
    if robot is None:
        raise UserError(f"robot {robot_name!r}: choose one of {', '.join(ROBOTS)}")
    solid = occupancy.blocked_by(robot.step_height, ground.height)
    if overhead is not None:
        solid = replace(solid, grid=solid.grid | (overhead < robot.height + 0.05))
    middle = solid.distance() > robot.disc_radius
    if not middle.any():
        return middle
    under = (
        np.asarray(distance_transform_edt(~largest_region(middle))) * occupancy.resolution
        <= robot.disc_radius
    )
    return under & ~solid.grid


def keep_region(occupancy: Occupancy, ground: Ground) -> Occupancy:
    """The occupancy with everything solid that the smallest wheeled robot cannot reach.

    Kerbs stay as steps of the ground, not as solid cells: legs cross them, between parts that
    wheels reach too.

    Raises:
        UserError: no wheeled robot fits anywhere.
    """
    wheeled = [robot for robot in ROBOTS.values() if robot.wheel_radius > 0.0]
    smallest = min(wheeled, key=lambda robot: robot.disc_radius)
    reached = where_robots_go(occupancy, ground, smallest.name)
    if not reached.any():
        free = float((~occupancy.grid).sum()) * occupancy.resolution**2
        raise UserError(
            f"{smallest.name} fits nowhere: {free:.1f} m2 of ground are free, in pieces narrower "
            "than its "
            f"{2 * smallest.disc_radius:.2f} m; check the scale (--metres-per-unit)"
        )
    # Steps of the ground that wheels do not climb lie within the region's own edge: a cell's width
    # on either side.
    margin = (
        binary_dilation(reached, iterations=1)
        & ~occupancy.blocked_by(STEP_CLASSES_M[-1], ground.height).grid
    )
    return replace(occupancy, grid=occupancy.grid | ~(reached | margin))
