"""A robot in a scene as an MJCF text: ground, walls, wheels, casters and steering, for
`s2e.envs.robots.mujoco_physics`.
"""

import math

import numpy as np

from s2e.core.errors import UserError
from s2e.envs.geometry.scene import Scene
from s2e.envs.robots.kinds import Robot

TIMESTEP_S = 0.005
"""One step of MuJoCo: URBAN-SIM's."""

LEVEL_M = 0.01
"""Ground heights are boxes whose tops are whole centimetres."""

_WALL, _FLOOR = 1, 2  # bits of contype: what stands in the way, what is stood on
_CLEARANCE = (
    0.1  # of the discs above the ground, metres: they reach beyond the chassis that they cover
)
_SCRUB, _LIFT = (
    0.2,
    0.001,
    # friction of the corner wheels of a differential robot, and how far they are off the ground,
    # metres
)


def rectangles(labels: np.ndarray) -> np.ndarray:
    """Covers every cell of a grid whose label is not 0 with rectangles of one label.

    Runs of equal cells of a row that continue unchanged in the next row are one rectangle.

    Args:
        labels: (R, C) integer.

    Returns:
        (K, 5) int64: first row, first column, one past the last row and column, label. No two
            overlap.
    """
    found, growing = [], {}
    for row in range(len(labels) + 1):
        runs = {}
        if row < len(labels):
            line = labels[row]
            edges = np.flatnonzero(np.diff(line)) + 1
            for first, end in zip([0, *edges.tolist()], [*edges.tolist(), len(line)]):
                if line[first]:
                    key = (first, end, int(line[first]))
                    runs[key] = growing.pop(key, row)
        found += [(top, first, row, end, label) for (first, end, label), top in growing.items()]
        growing = runs
    return np.array(found, dtype=np.int64).reshape(-1, 5)


def _boxes(
    scene: Scene, labels: np.ndarray, kind: str, bottom: float, tops: np.ndarray
) -> list[str]:
    """Boxes over labelled cells, from `bottom` up to tops[label]."""
    cell, origin = scene.occupancy.resolution, scene.occupancy.origin
    lines = []
    for r0, c0, r1, c1, label in rectangles(labels):
        x, y = origin + cell * 0.5 * np.array([c0 + c1, r0 + r1])
        half = 0.5 * (tops[label] - bottom)
        size = f"{cell * (c1 - c0) / 2:.5g} {cell * (r1 - r0) / 2:.5g} {half:.5g}"
        lines.append(
            f'<geom class="{kind}" type="box" pos="{x:.6g} {y:.6g} {bottom + half:.6g}" '
            f'size="{size}"/>'
        )
    return lines


def _surroundings(scene: Scene, robot: Robot) -> list[str]:
    occupancy = scene.occupancy
    height = (
        np.zeros(occupancy.grid.shape)
        if scene.ground is None
        else scene.ground.height.astype(np.float64)
    )
    lowest = scene.ground_z + float(height.min())
    # Legs are not simulated: what they cannot climb stands in their way, what they can they do not
    # feel.
    walls = (
        occupancy.blocked_by(robot.step_height, height) if robot.drive == "holonomic" else occupancy
    )
    rows, cols = occupancy.grid.shape
    # outside the grid is occupied
    fence = np.pad(walls.grid, 1, constant_values=True).astype(np.int64)
    wider = np.array([occupancy.resolution, occupancy.resolution])
    lines = [f'<geom class="floor" name="plane" type="plane" size="0 0 1" pos="0 0 {lowest:.6g}"/>']
    shifted = Scene(
        scene.name,
        type(occupancy)(fence > 0, occupancy.origin - wider, occupancy.resolution),
        scene.mesh,
        scene.free_anchors,
    )
    lines += _boxes(shifted, fence, "wall", lowest - 1.0, np.array([0.0, lowest + 4.0]))
    if robot.drive != "holonomic":
        levels = np.round((height - height.min()) / LEVEL_M).astype(np.int64)
        lines += _boxes(
            scene, levels, "floor", lowest - 1.0, lowest + LEVEL_M * np.arange(levels.max() + 1)
        )
    return lines


def _discs(robot: Robot, kind: str, bottom: float) -> list[str]:
    """The footprint's discs as cylinders: what the other physics stops at a wall stops here too."""
    half = max(0.5 * (robot.height - bottom), 0.02)
    size = f"{robot.disc_radius:.6g} {half:.6g}"
    return [
        f'<geom class="{kind}" type="cylinder" pos="{x:.6g} 0 {bottom + half:.6g}" size="{size}"/>'
        for x in robot.disc_offsets
    ]


def _inertia(robot: Robot, mass: float) -> str:
    x, low = float(np.mean(robot.disc_offsets)), 0.35 * robot.height
    l2, w2, h2 = robot.length**2, robot.width**2, robot.height**2
    moments = " ".join(f"{mass / 12 * m:.6g}" for m in (w2 + h2, l2 + h2, l2 + w2))
    return f'<inertial pos="{x:.6g} 0 {low:.6g}" mass="{mass:.6g}" diaginertia="{moments}"/>'


def _wheel_mass(robot: Robot) -> float:
    return min(1.0, 0.05 * robot.mass)


def _wheel(
    robot: Robot,
    name: str,
    x: float,
    side: int,
    steered: bool = False,
    friction: float = 1.0,
    lift: float = 0.0,
) -> str:
    r = robot.wheel_radius
    steer = (
        f'<joint name="steer_{name}" type="hinge" axis="0 0 1" damping="0.5" armature="0.05"/>'
        if steered
        else ""
    )
    return (
        f'<body name="{name}" pos="{x:.6g} {side * robot.track / 2:.6g} {r + lift:.6g}">{steer}'
        f'<joint name="roll_{name}" type="hinge" axis="0 1 0" armature="0.01"/>'
        # An ellipsoid touches the ground in a point, so that turning does not scrub.
        f'<geom class="wheel" type="ellipsoid" size="{r:.6g} 0.03 {r:.6g}" '
        f'mass="{_wheel_mass(robot):.6g}" '
        f'friction="{friction} 0.005 0.0001"/></body>'
    )


def _wheeled(robot: Robot) -> tuple[list[str], list[str]]:
    ackermann = robot.drive == "ackermann"
    sides = (("left", 1), ("right", -1))
    # Those that grip: where an Ackermann robot is driven, and where turning does not scrub.
    names = [name for name, _ in sides]
    wheels = [_wheel(robot, name, 0.0, side) for name, side in sides]
    for end, x in (("front", 1.0),) if ackermann else (("front", 0.5), ("rear", -0.5)):
        for name, side in sides:
            if ackermann:
                wheels.append(
                    _wheel(robot, f"{end}_{name}", x * robot.wheelbase, side, steered=True)
                )
            else:  # driven too: they hold it level and climb
                wheels.append(
                    _wheel(
                        robot,
                        f"{end}_{name}",
                        x * robot.wheelbase,
                        side,
                        friction=_SCRUB,
                        lift=_LIFT,
                    )
                )
                names.append(f"{end}_{name}")
    body = [
        '<body name="robot"><freejoint/>',
        _inertia(robot, robot.mass - len(wheels) * _wheel_mass(robot)),
        *_discs(robot, "chassis", _CLEARANCE),
        *wheels,
    ]
    torque = robot.mass * 9.81 * robot.wheel_radius  # more than the tyres hold
    kv, force = 0.4 * robot.mass, f"-{torque:.5g} {torque:.5g}"
    servos = [
        f'<velocity joint="roll_{name}" kv="{kv:.5g}" forcerange="{force}"/>' for name in names
    ]
    if ackermann:
        servos += [
            f'<position joint="steer_{name}" kp="200" kv="8"/>'
            for name in ("front_left", "front_right")
        ]
    return [*body, "</body>"], servos


def _legged(robot: Robot) -> tuple[list[str], list[str]]:
    body = ['<body name="robot">']
    body += [
        f'<joint name="{n}" type="{t}" axis="{a}"/>'
        for n, t, a in (("x", "slide", "1 0 0"), ("y", "slide", "0 1 0"), ("yaw", "hinge", "0 0 1"))
    ]
    body += [_inertia(robot, robot.mass), *_discs(robot, "legged", 0.05), "</body>"]
    grip = 0.8 * robot.mass * 9.81  # what feet hold before they slide
    twist = grip * math.hypot(robot.length, robot.width) / 4
    servos = [
        f'<velocity joint="{n}" kv="{40 * robot.mass:.5g}" forcerange="-{f:.5g} {f:.5g}"/>'
        for n, f in (("x", grip), ("y", grip))
    ]
    return body, [
        *servos,
        f'<velocity joint="yaw" kv="{10 * robot.mass:.5g}" forcerange="-{twist:.5g} {twist:.5g}"/>',
    ]


def mjcf(scene: Scene, robot: Robot) -> str:
    """The MJCF of one robot in one scene.

    Walls are the occupied cells (with the outside of the grid) as boxes; under wheels, ground
    heights are boxes too, in centimetres. A differential robot is driven on all its wheels, but the
    tyres that grip are an axle in its middle: it then turns as its wheels are told, as four that
    skid do not. An Ackermann robot is driven at the rear and steered in front. A holonomic robot's
    legs are idealised: a body on planar joints that pushes with what feet hold, and climbs what its
    step height says.

    Raises:
        UserError: a robot on wheels does not say how large they are, or where.
    """
    if robot.drive != "holonomic" and not (robot.wheel_radius and robot.track and robot.wheelbase):
        raise UserError(
            f"robot {robot.name!r}: --physics mujoco needs wheel_radius, track and wheelbase "
            "above 0"
        )
    body, servos = _legged(robot) if robot.drive == "holonomic" else _wheeled(robot)
    return "\n".join(
        [
            '<mujoco><compiler angle="radian" autolimits="true"/>',
            f'<option timestep="{TIMESTEP_S}" integrator="implicitfast" cone="elliptic" '
            'impratio="5"/>',
            "<default>",
            f'<default class="wall"><geom contype="{_WALL}" conaffinity="0" '
            'friction="0.3"/></default>',
            f'<default class="floor"><geom contype="{_FLOOR}" conaffinity="0" friction="1 0.005 '
            '0.0001"/></default>',
            f'<default class="chassis"><geom contype="0" conaffinity="{_WALL | _FLOOR}" '
            'friction="0.3" mass="0"/></default>',
            f'<default class="legged"><geom contype="0" conaffinity="{_WALL}" friction="0.3" '
            'mass="0"/></default>',
            f'<default class="wheel"><geom contype="0" conaffinity="{_WALL | _FLOOR}" '
            'priority="1"/></default>',
            "</default><worldbody>",
            *_surroundings(scene, robot),
            *body,
            "</worldbody><actuator>",
            *servos,
            "</actuator></mujoco>",
        ]
    )
