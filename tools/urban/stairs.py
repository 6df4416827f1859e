"""`stairs`: three terraces of a whitewashed hillside town at noon, with steps and ramps between
them, and the sky below the lowest.
"""

import numpy as np

from s2e.envs.geometry.scene import Sky
from tools.urban.houses import (
    Front,
    awning,
    balcony,
    door,
    facade,
    front_frame,
    ramp,
    steps,
    wall,
)
from tools.urban.paint import UP, Canvas, Light, Place
from tools.urban.parts import (
    bench,
    bush,
    cafe,
    conifer,
    crate,
    lamp,
    laundry,
    litter,
    pot,
    railing,
    tree,
)
from tools.urban.surfaces import concrete, flat, hexes, mottle, plaster, slabs, stones, tone

PLACE = Place(
    low=(-18.0, -15.0), high=(18.0, 20.0), top=11.0, sun=(0.45, -0.35, 1.0),
    sky=Sky(zenith=(74.0, 132.0, 206.0), horizon=(196.0, 220.0, 236.0), fog_m=600.0),
    light=Light((4.6, 4.35, 3.85), (0.9, 1.2, 1.7), (1.7, 1.6, 1.45), 0.42, 0.008, 3.5), seed=17, detail=1.45,
)  # fmt: skip
X0, X1 = -16.0, 16.0
LOW, MID, HIGH = 0.0, 1.5, 3.0  # heights of the terraces
# y of the retaining walls, of the houses above, and of the parapet below
WALL_1, WALL_2, BACK, EDGE = -2.6, 8.0, 17.5, -13.0
WAY = 2.4  # depth of the strips that hold the ramps, metres
WHITE, BLUE = tone("ece8de"), tone("2f5f94")
RUBBLE = stones(tone("b5a68c"), 171, 0.32, 0.5, 0.4)


def terraces(canvas: Canvas) -> None:
    """The ground: flags below, pebbles in white nets above, retaining walls of rubble, a parapet
    over the drop.
    """
    flags = slabs(hexes("b8ab95", "a89a84", "c2b6a2", "9f937f"), 0.75, 172, 0.05, 1.5)
    pebbles = slabs(hexes("8f8a80", "a09a8e", "7f7a72"), 0.32, 173, 0.035)
    canvas.level(X0 - 2, WALL_1, X1 + 2, 20.0, MID)
    canvas.level(X0 - 2, WALL_2, X1 + 2, 20.0, HIGH)
    canvas.sheet(X0, EDGE, X1, WALL_1, 0.17, flags)
    canvas.sheet(X0, WALL_1 + WAY, X1, WALL_2, 0.17, pebbles, MID)
    canvas.sheet(X0, WALL_2 + WAY, X1, BACK, 0.17, flags, HIGH)
    # What of the strips is neither ramp nor steps belongs to the terrace above: steps are cut into
    # it.
    low_free = ((1.0, 4.0), (8.0, 16.0))
    high_free = ((-16.0, -9.5), (-5.5, -1.5))
    for y, z, ground, free in ((WALL_1, MID, pebbles, low_free), (WALL_2, HIGH, flags, high_free)):
        for a, b in free:
            canvas.sheet(a, y, b, y + WAY, 0.17, ground, z)
            canvas.patch((a, y, z - 1.5), (b - a, 0, 0), UP * 1.5, 0.19, RUBBLE)
            canvas.bar((a, y - 0.05, z), (b, y - 0.05, z), 0.22, (0, -1, 1.0), tone("cfc4ad"), 0.22)
    wall(canvas, (X0, EDGE), (X1, EDGE), 0.75, 0.4, plaster(WHITE, 174), tone("d8d0c0"))
    canvas.solid(X0, EDGE - 0.2, 0, X1, EDGE + 0.2, 1.3)


def ways_up(canvas: Canvas) -> None:
    """A ramp and a flight of steps from each terrace to the next."""
    worn, path = stones(tone("c4b9a4"), 175, 0.15, 0.9, 0.25), concrete(tone("b3a993"), 176, 1.5)
    canvas.level(X0 - 2, WALL_1, 1.0, WALL_1 + WAY, 0.0)
    canvas.sheet(X0, WALL_1, -14.0, WALL_1 + WAY, 0.17, path)
    ramp(canvas, -14.0, WALL_1, 0.0, WAY, 15.0, LOW, MID, path)
    canvas.patch(
        (-14.0, WALL_1 + WAY, LOW),
        (15.0, 0, 0),
        UP * MID,
        0.19,
        RUBBLE,
        keep=lambda s, t: t > 0.1 * s,
    )
    canvas.patch(
        (-14.0, WALL_1, LOW),
        (15.0, 0, 0),
        UP * MID,
        0.19,
        plaster(WHITE, 177),
        keep=lambda s, t: t < 0.1 * s,
    )
    canvas.patch((X0, WALL_1 + WAY, LOW), (2.0, 0, 0), UP * MID, 0.19, RUBBLE)
    canvas.level(4.0, WALL_1 - 1.1, 8.0, WALL_1 + WAY, 0.0)
    _flight(canvas, 4.0, 8.0, WALL_1 - 1.0, LOW, worn)
    canvas.level(-1.5, WALL_2, X1 + 2, WALL_2 + WAY, MID)
    canvas.sheet(13.5, WALL_2, X1, WALL_2 + WAY, 0.17, path, MID)
    ramp(canvas, 13.5, WALL_2 + WAY, np.pi, WAY, 15.0, MID, HIGH, path)
    canvas.patch(
        (-1.5, WALL_2 + WAY, MID),
        (15.0, 0, 0),
        UP * 1.5,
        0.19,
        RUBBLE,
        keep=lambda s, t: t > 0.1 * (15 - s),
    )
    canvas.patch(
        (-1.5, WALL_2, MID),
        (15.0, 0, 0),
        UP * 1.5,
        0.19,
        plaster(WHITE, 178),
        keep=lambda s, t: t < 0.1 * (15 - s),
    )
    canvas.patch((13.5, WALL_2 + WAY, MID), (2.5, 0, 0), UP * 1.5, 0.19, RUBBLE)
    canvas.level(-9.5, WALL_2, -5.5, WALL_2 + WAY, MID)
    _flight(canvas, -9.5, -5.5, WALL_2 - 1.0, MID, worn)
    # the houses' feet beside the lower ends
    for x, y, z, flip in (X0, WALL_1, LOW, False), (X1, WALL_2, MID, True):
        canvas.patch((x, y, z), (0, WAY, 0), UP * 1.5, 0.19, plaster(WHITE, 177), flip=flip)
        canvas.solid(x - 0.5 * (x < 0), y, z, x + 0.5 * (x > 0), y + WAY, z + 1.6)
    iron = tone("3a5f8a")
    railing(canvas, (-11.5, WALL_1 + 0.06, 0.25), (1.0, WALL_1 + 0.06, 1.5), iron, gap=0.5)
    railing(canvas, (11.0, WALL_2 + 0.06, 1.75), (-1.5, WALL_2 + 0.06, 3.0), iron, gap=0.5)
    railing(
        canvas, (X0 + 0.1, WALL_1 + WAY + 0.08, MID), (0.9, WALL_1 + WAY + 0.08, MID), iron, gap=0.5
    )
    railing(
        canvas,
        (-1.4, WALL_2 + WAY + 0.08, HIGH),
        (X1 - 0.1, WALL_2 + WAY + 0.08, HIGH),
        iron,
        gap=0.5,
    )
    for x0, x1, y, z in ((8.0, 16.0, WALL_1, MID), (1.0, 4.0, WALL_1, MID), (-16.0, -9.5, WALL_2, HIGH),
                         (-5.5, -1.5, WALL_2, HIGH)):  # fmt: skip
        railing(canvas, (x0, y + 0.1, z), (x1, y + 0.1, z), iron, gap=0.5)


def _flight(canvas: Canvas, x0: float, x1: float, y: float, z: float, colour) -> None:
    """Ten steps to the north between x0 and x1, with cheeks of plaster."""
    steps(canvas, x1, y, np.pi / 2, x1 - x0, 10, colour, z)
    side = plaster(WHITE, 179)
    for x, flip in ((x0, False), (x1, True)):
        for face in (False, True):
            out = 0.09 if face == flip else -0.09
            canvas.patch((x + out, y + 0.9, z), (0, 2.5, 0), UP * 2.0, 0.18, side, flip=face,
                         keep=lambda s, t: t < np.minimum(0.75 + 0.42 * s, 1.9))  # fmt: skip
        canvas.patch((x - 0.09, y + 0.9, z + 0.75), (0.18, 0, 0), (0, 2.5, 1.05), 0.16, side)
        canvas.patch((x - 0.09, y + 0.9, z), (0.18, 0, 0), UP * 0.75, 0.16, side)
        for s in np.arange(0, 2.5, 0.1):
            canvas.solid(x - 0.1, y + 0.9 + s, z, x + 0.1, y + 1.0 + s, z + 0.8 + 0.42 * s)


def cube(canvas: Canvas, a, b, height: float, base: float, seed: int, **more) -> None:
    """A white front with a flat roof, small windows, and blue doors and shutters."""
    shutter = hexes("2f5f94", "3f7a86", "6a8f5a", "a8452f")[seed % 4]
    tint = WHITE * np.array(
        [(1, 1, 1), (1, 0.97, 0.9), (0.95, 0.9, 0.84), (1, 0.93, 0.88)][seed % 4]
    )
    front = Front(plaster(tint, 180 + seed, 0.7), None, floors=(1.0, 3.7, 6.3), pitch=2.8, window=(0.8, 1.05), shutter=shutter,
                  frame=shutter * 1.2, cornice=None, roof=None, lit=0.0, glass=tone("2d3a46"))  # fmt: skip
    facade(canvas, a, b, height, front, base=base, door_colour=shutter, **more)
    x, y, yaw, length = front_frame(a, b)
    with canvas.at(x, y, yaw, z=base):
        canvas.bar((0, -0.02, height), (length, -0.02, height), 0.16, (0, -1, 1), WHITE, 0.3)
        canvas.patch(
            (0, 0, height + 0.02), (length, 0, 0), (0, 2.0, 0), 0.35, plaster(WHITE * 0.95, 7)
        )


def houses(canvas: Canvas) -> None:
    """Houses at both sides of each terrace and along the top, and a small blue dome."""
    cube(canvas, (X0, EDGE), (X0, -7.5), 5.6, LOW, 1, doors=(2.2,))
    cube(canvas, (X0, -7.5), (X0, WALL_1), 4.2, LOW, 2, doors=(3.4,))
    cube(canvas, (X0, WALL_1), (X0, 3.2), 6.0, MID, 3, doors=(4.0,))
    cube(canvas, (X0, 3.2), (X0, WALL_2), 4.6, MID, 4, doors=(2.4,))
    cube(canvas, (X0, WALL_2), (X0, BACK), 5.4, HIGH, 5, doors=(4.5,))
    cube(canvas, (X1, WALL_1), (X1, -8.2), 5.0, LOW, 6, doors=(2.6,))
    cube(canvas, (X1, -8.2), (X1, EDGE), 6.4, LOW, 7, doors=(1.6,))
    cube(canvas, (X1, WALL_2), (X1, 2.0), 4.4, MID, 8, doors=(3.0,))
    cube(canvas, (X1, 2.0), (X1, WALL_1), 6.2, MID, 9, doors=(1.8,))
    cube(canvas, (X1, BACK), (X1, WALL_2), 5.0, HIGH, 10, doors=(3.6,))
    cube(canvas, (X0, BACK), (-8.5, BACK), 5.2, HIGH, 11, doors=(3.0,))
    cube(canvas, (-8.5, BACK), (-2.0, BACK), 6.6, HIGH, 12, doors=(1.6, 5.0))
    cube(canvas, (-2.0, BACK), (4.0, BACK), 4.4, HIGH, 13, windows_from=9.0)
    cube(canvas, (4.0, BACK), (10.5, BACK), 6.0, HIGH, 14, doors=(4.4,))
    cube(canvas, (10.5, BACK), (X1, BACK), 4.8, HIGH, 15, doors=(1.8,))
    balcony(canvas, (-8.5, BACK), (-2.0, BACK), 1.8, 3.6, 2.6, BLUE, base=HIGH)
    balcony(canvas, (X0, WALL_1), (X0, 3.2), 1.2, 3.6, 2.2, BLUE, base=MID)
    with canvas.at(-2.0, BACK, 0.0):  # the chapel
        door(canvas, 2.3, BLUE, 1.3, 2.4)
    angle = np.linspace(0, np.pi / 2, 12)
    for k, lift in enumerate(angle):
        count = max(int(62 * np.cos(lift)), 3)
        turn = np.arange(count) * 2 * np.pi / count
        normal = np.stack(
            [
                np.cos(turn) * np.cos(lift),
                np.sin(turn) * np.cos(lift),
                np.full(count, np.sin(lift)),
            ],
            1,
        )
        tint = BLUE * (1 + 0.1 * mottle(turn * 3, np.full(count, k * 0.4), 1.0, 18))[:, None]
        canvas.discs(
            np.array([1.0, BACK + 2.0, HIGH + 4.4]) + 2.0 * normal,
            np.tile(UP, (count, 1)) + 1e-3,
            normal,
            (0.17, 0.17, 0.01),
            tint,
            0.97,
        )


def furniture(canvas: Canvas) -> None:
    """Pots, vines, cypresses, benches, café tables, washing."""
    pink, vine = tone("c0357a"), tone("557a3a")
    for x, y, z, size in (
        (-15.7, -4.6, 2.6, 1.0),
        (-15.7, 1.4, 4.2, 1.2),
        (15.7, -0.4, 4.0, 1.1),
        (-5.2, 17.3, 5.6, 1.2),
        (12.4, 17.3, 5.2, 0.9),
    ):
        for _ in range(5):
            off = canvas.rng.normal(0, 0.4, 3) * (
                1 if abs(x) < 15 else 0.2,
                1 if abs(x) > 15 else 0.2,
                1.0,
            )
            canvas.cloud(
                (x + off[0], y + off[1], z + off[2] * size),
                (0.45, 0.45, 0.5 * size),
                70,
                0.07,
                vine * 0.7,
                vine * 1.2,
            )
            canvas.cloud(
                (x + off[0], y + off[1], z + off[2] * size),
                (0.5, 0.5, 0.55 * size),
                45,
                0.055,
                pink * 0.8,
                np.minimum(pink * 1.3, 1),
            )
    for x, y, h in ((-13.4, -11.6, 5.2), (13.6, -11.4, 4.6), (14.4, 5.6, 4.0), (-14.4, 15.8, 3.8)):
        conifer(canvas, x, y, h, tone("3f5a34"), 0.6)
    tree(canvas, -4.0, -8.6, 3.9, tone("8a9a6a"), 1.6, 0.2, 13)  # an olive
    tree(canvas, 7.0, 3.8, 3.9, tone("7f9060"), 1.5, 0.18, 13)
    for x, y in ((-4.0, -8.6), (7.0, 3.8)):
        with canvas.at(x, y):
            canvas.cylinder(0, 0, 0.9, 0, 0.42, 0.16, plaster(WHITE, 8), top=False)
            canvas.ring(0, 0, 0, 0.92, 0.42, 0.16, flat(tone("8f7a5a")))
        litter(canvas, x, y, 1.2, 40, hexes("8a8a5a", "a89a6a"))
    for x, y in ((-10.0, 5.0), (10.4, -5.6), (-12.0, 12.6), (6.0, 15.0)):
        lamp(canvas, x, y, colour=tone("3a4046"))
    for x, y, yaw in (
        (-8.6, -12.2, np.pi),
        (2.0, -12.2, np.pi),
        (3.0, 6.8, 0.0),
        (-3.0, 16.4, 0.0),
        (-11.6, 1.2, 0.6),
    ):
        bench(canvas, x, y, yaw, tone("a89878"))
    for x, y in ((9.4, -10.4), (12.0, -8.0), (-3.4, 4.4), (9.6, 13.2)):
        cafe(canvas, x, y, tone("d8cfae") if x > 0 else BLUE, 0.5)
    awning(canvas, (X1, -3.2), (X1, -6.4), 1.5, tone("b8935a"))
    for x, y in (
        (-15.4, -11.2),
        (-15.4, -8.9),
        (-15.4, 0.6),
        (15.4, 3.6),
        (-7.6, 17.0),
        (-1.2, 17.0),
        (5.6, 17.0),
        (3.4, -3.1),
        (8.6, -3.1),
        (-10.1, 7.5),
        (-5.0, 7.5),
    ):
        pot(canvas, x, y, 0.26, vine)
    for x, y in ((-0.5, -5.0), (12.4, 1.8)):
        bush(canvas, x, y, 0.55, 0.9, tone("6f8050"), tone("9a7ab8"))
    crate(canvas, 15.2, -6.9, 0.1, 0.55, tone("d98a2a"))
    crate(canvas, 15.3, -7.6, 0.0, 0.5, tone("c8b03a"))
    laundry(canvas, (X0 + 0.1, 10.6, HIGH + 3.6), (-8.6, BACK - 0.1, HIGH + 3.4))
    laundry(canvas, (X1 - 0.1, 3.4, MID + 3.4), (X1 - 0.1, 7.2, MID + 3.2))


def paint(canvas: Canvas) -> None:
    """Paints the terraces."""
    for part in (terraces, ways_up, houses, furniture):
        part(canvas)
