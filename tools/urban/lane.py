"""`lane`: a narrow shopping lane that bends through an old quarter at dusk, wet from rain, with lit
shops and a house built over it.
"""

import numpy as np

from s2e.envs.geometry.scene import Sky
from tools.urban.houses import STONE, Front, arch, awning, facade
from tools.urban.paint import UP, Canvas, Light, Place
from tools.urban.parts import (
    WOOD,
    bicycle,
    bush,
    cafe,
    chair,
    crate,
    laundry,
    planter,
    pot,
    stall,
)
from tools.urban.surfaces import (
    Colour,
    cobbles,
    flat,
    hexes,
    planks,
    plaster,
    roof_tiles,
    stones,
    tone,
)

PLACE = Place(
    low=(-31.0, -13.0), high=(31.0, 15.0), top=11.0, sun=(-0.9, 0.12, 0.25),
    sky=Sky(zenith=(52.0, 68.0, 112.0), horizon=(196.0, 148.0, 128.0), fog_m=160.0),
    light=Light((0.5, 0.32, 0.22), (1.0, 1.08, 1.5), (0.9, 0.75, 0.62), 0.85, 0.05, 4.5), seed=13, detail=1.5,
)  # fmt: skip
XS = np.array([-29.0, -24.0, -19.0, -13.5, -8.0, -2.5, 3.0, 8.5, 14.0, 19.5, 24.5, 29.0])
BRIDGE = 5, 6  # the segment that a house is built over
TONES = (
    "c7a27a",
    "b3745c",
    "d8c9a8",
    "8fa08c",
    "a98f76",
    "c4b7a6",
    "9a6b52",
    "cbb27e",
    "7f8c98",
    "c99a86",
    "b8a58a",
)
SHUTTERS = "35504a", "5b3a2a", "2f4560", "4a5a3a", "6a2f2a"


def middle(x: np.ndarray) -> np.ndarray:
    """Y of the lane's middle."""
    return 4.2 * np.sin(x / 9.5) + 0.06 * x


def half_width(x: np.ndarray) -> np.ndarray:
    """Half the lane's width: it opens to a small square near x = 12."""
    return 2.15 + 0.25 * np.sin(x / 3.3) + 2.6 * np.exp(-(((x - 12.5) / 4.0) ** 2))


def edges() -> tuple[np.ndarray, np.ndarray]:
    """(12, 2) feet of the houses on the left and on the right of somebody who walks to the east."""
    slope = (middle(XS + 0.1) - middle(XS - 0.1)) / 0.2
    normal = np.stack([-slope, np.ones(len(XS))], 1) / np.hypot(slope, 1)[:, None]
    line, half = np.stack([XS, middle(XS)], 1), half_width(XS)[:, None]
    return line + normal * half, line - normal * half


def centre(x: float) -> float:
    """Y of the lane's middle at one place."""
    return float(middle(np.array(x)))


def along(a: np.ndarray, b: np.ndarray, s: float, out: float = 0.0) -> tuple[float, float]:
    """(x, y) s metres from a to b and `out` metres to the right of that."""
    d = (b - a) / np.linalg.norm(b - a)
    at = a + s * d + out * np.array([d[1], -d[0]])
    return float(at[0]), float(at[1])


def house(canvas: Canvas, a, b, k: int, shops: bool = True) -> None:
    """One house of the lane with a shop or two, an awning, a sign and a lamp over its door."""
    rng, length = canvas.rng, float(np.linalg.norm(b - a))
    height = float(rng.uniform(6.4, 9.4))
    wall: Colour = (
        plaster(tone(TONES[k % len(TONES)]), 130 + k, 1.3)
        if k % 4
        else stones(tone("a3947e"), 130 + k, 0.35, 0.6)
    )
    front = Front(wall, stones(tone("7d7368"), 12), 0.7, (1.1, 3.7, 6.3), 2.2, (0.85, 1.3), lit=0.3, shutter=tone(SHUTTERS[k % 5]),
                  roof=roof_tiles(tone("8a5a48"), k), bare=tone("8b5a45") if k % 3 == 0 else None)  # fmt: skip
    wide = 2.4 if length > 5.2 else 1.9
    code = ("3a2a22", "24404a", "4a2030", "2f4030", "54402a")[k % 5]
    fittings = ((0.5, wide, code),) if shops else ()
    facade(
        canvas,
        a,
        b,
        height,
        front,
        doors=(min(wide + 1.5, length - 0.8),),
        shops=fittings,
        depth=0.8,
    )
    if not shops:
        return
    colour = hexes("8f2f2a", "2f5f56", "c08a2c", "35507a", "6a3560")[k % 5]
    if k % 3 != 1:
        awning(canvas, along(a, b, 0.35), along(a, b, wide + 0.65), 1.05, colour, 2.95)
    with canvas.at(*along(a, b, 0.5 + wide / 2), float(np.arctan2(*(b - a)[::-1]))):
        canvas.lamp_at(0.0, -0.5, 2.2, np.array([4.2, 3.0, 1.6]) * rng.uniform(0.7, 1.2), 6.5)
        canvas.bar(
            (-0.4, -0.2, 2.15), (0.4, -0.2, 2.15), 0.1, (0, -1, 0), tone("ffe2a0"), 0.12, glow=1.5
        )
        sign = hexes("d9c48a", "2b3a4a", "8a2f2a")[k % 3]
        canvas.box(
            wide / 2 + 0.25,
            -0.75,
            2.9,
            wide / 2 + 0.31,
            -0.1,
            3.4,
            0.12,
            flat(sign),
            "nsewtb",
            solid=False,
        )
        for s in np.arange(-wide / 2, wide / 2, 0.62)[: 3 - k % 2]:
            goods = hexes("b8422f", "d9a03a", "6f8f3a", "c9c27a", "7a3f6a")[int(rng.integers(5))]
            if rng.random() < 0.75:
                crate(canvas, s + 0.3, -0.42, rng.normal(0, 0.08), 0.5, goods)


def over(canvas: Canvas, left: np.ndarray, right: np.ndarray) -> None:
    """The house over the lane: an arch at both ends, a ceiling of beams with a lantern, rooms
    above.
    """
    i, j = BRIDGE
    corners = [left[i], left[j], right[j], right[i]]
    front = Front(
        plaster(tone("b99a72"), 160),
        None,
        floors=(0.6, 3.0),
        pitch=1.9,
        window=(0.85, 1.2),
        lit=0.5,
        shutter=tone("35504a"),
    )
    for a, b in ((left[i], right[i]), (right[j], left[j])):
        spring, top = 1.5, 4.1
        arch(canvas, b, a, spring, top, 0.45, stones(tone("9a8c78"), 161, 0.35, 0.5), STONE)
        facade(canvas, b, a, 4.6, front, base=top, solid=False)
    beams = planks(WOOD * 0.8, 0.4, (1, 0, 0))
    u, v = corners[1] - corners[0], corners[3] - corners[0]
    canvas.patch((*corners[0], 3.7), (*u, 0), (*v, 0), 0.2, beams)
    for s in np.linspace(0, 1, 60):
        edge = np.stack([corners[0] + s * u, corners[3] + s * (corners[2] - corners[3])])
        canvas.thin_solid((*edge[0], 3.75), (*edge[1], 3.75), np.array([0, 0, 0.2]))
    hub = np.mean(corners, axis=0)
    canvas.cloud(
        (*hub, 3.1),
        (0.14, 0.14, 0.2),
        50,
        0.06,
        tone("f0c878"),
        tone("ffe2a0"),
        shell=True,
        glow=1.8,
    )
    canvas.lamp_at(hub[0], hub[1], 3.0, (5.5, 3.8, 2.0), 8.0)


def ends(canvas: Canvas, left: np.ndarray, right: np.ndarray) -> None:
    """A gate in the west, a chapel front in the east."""
    gate = Front(stones(tone("8f8372"), 170, 0.4, 0.6), None, floors=(), roof=None, cornice=None)
    facade(canvas, right[0], left[0], 7.0, gate, doors=(2.0,), depth=0.6)
    chapel = Front(
        plaster(tone("cfc4ae"), 171),
        stones(tone("7d7368"), 14),
        0.8,
        (4.6,),
        2.2,
        (0.9, 1.8),
        lit=1.0,
        roof=roof_tiles(tone("8a5a48")),
    )
    facade(
        canvas,
        left[-1],
        right[-1],
        9.0,
        chapel,
        doors=(2.2,),
        windows_from=3.0,
        door_colour=tone("4a2c1e"),
        depth=0.6,
    )


def paving(canvas: Canvas) -> None:
    """Wet setts with a gutter of darker stones in the middle and puddles that mirror the sky."""
    setts, low = cobbles(hexes("5a5450", "675f58", "504a48", "6f665c"), 132, 0.19), PLACE.low[1]

    def inside(x, y):
        return np.abs(y - middle(x)) < (half_width(x) + 0.5) * np.hypot(
            (middle(x + 0.1) - middle(x - 0.1)) / 0.2, 1
        )

    def gutter(x, y):
        return inside(x, y) & (np.abs(y - middle(x) - 0.1 * np.sin(2 * x)) < 0.28)

    def puddle(x, y):
        return (
            inside(x, y)
            & ~gutter(x, y)
            & (np.sin(1.1 * x + 0.4 * np.sin(y)) * np.sin(1.7 * y + 0.5 * x) > 0.72)
        )

    canvas.sheet(
        -29.2,
        low,
        29.2,
        -low,
        0.16,
        setts,
        keep=lambda x, y: inside(x, y) & ~gutter(x, y) & ~puddle(x, y),
        gloss=0.22,
    )
    canvas.sheet(-29.2, low, 29.2, -low, 0.16, flat(tone("45413f")), keep=gutter, gloss=0.35)
    canvas.sheet(-29.2, low, 29.2, -low, 0.2, flat(tone("3c3a3c")), keep=puddle, gloss=0.75)


def things(canvas: Canvas, left: np.ndarray, right: np.ndarray) -> None:
    """What stands before the shops, and hangs over the lane."""
    rng = canvas.rng
    for k in (0, 2, 3, 6, 9, 10):
        a, b = right[k + 1], right[k]
        p = along(a, b, 4.4, 0.35)
        pot(canvas, *p, 0.22, tone(("5e7a34", "6f7a44", "4f6a3a")[k % 3]))
    for k in (1, 4, 8):
        pot(canvas, *along(left[k], left[k + 1], 4.6, 0.35), 0.24)
    for k, s in ((2, 3.4), (6, 4.0)):
        a, b = left[k], left[k + 1]
        bicycle(
            canvas,
            *along(a, b, s, 0.45),
            float(np.arctan2(*(b - a)[::-1])),
            hexes("2f4f7a", "7a2f2a")[k % 2],
        )
    for x, y, yaw in ((10.6, 0.8, 0.4), (13.4, 1.4, 1.9), (15.2, 5.2, 0.9)):
        cafe(
            canvas,
            x,
            centre(x) + y - 1.2,
            hexes("8f2f2a", "d9c9a0", "2f5f56")[int(x) % 3],
            yaw,
            parasol=x < 15,
        )
    stall(
        canvas,
        12.4,
        centre(12.4) - 2.6,
        0.35,
        2.2,
        tone("a8702a"),
        hexes("c8402f", "e0a030", "7a9a3a", "d9d0a0"),
    )
    planter(canvas, 16.0, centre(16.0) - 2.2, 1.6, 0.2, tone("c98fa0"), tone("6f6a62"))
    bush(canvas, -27.6, centre(-27.6) + 1.2, 0.5, 1.1)
    chair(canvas, -16.4, centre(-16.4) - 1.6, 1.2, tone("9a4a3a"))
    for k, x in enumerate((-22.0, -10.6, 6.0, 22.0)):
        t = np.array([x, x + 0.6])
        y = middle(t) + np.array([-1, 1]) * (half_width(t) - 0.1)
        if k % 2:
            laundry(canvas, (t[0], y[0], 5.6), (t[1], y[1], 5.4))
        for s in np.linspace(0.06, 0.94, 11):  # lanterns on a wire
            p = np.array(
                [t[0] + s * (t[1] - t[0]), y[0] + s * (y[1] - y[0]), 4.4 - 1.6 * s * (1 - s)]
            )
            canvas.discs(
                p[None],
                UP,
                (1, 0, 0),
                (0.07, 0.06, 0.06),
                hexes("ffdf9a", "ff9a6a", "e8f0b0")[int(s * 20) % 3],
                0.95,
                glow=1.4,
            )
        canvas.lamp_at(float(t.mean()), float(y.mean()), 3.9, (2.6, 1.9, 1.1), 7.0)
    for _ in range(160):  # grass between the stones along the walls
        x, side = rng.uniform(-28, 28), rng.choice([-1, 1])
        canvas.cloud(
            (x, centre(x) + side * half_width(np.array(x)) * 0.97, 0.04),
            (0.12, 0.08, 0.06),
            8,
            0.03,
            tone("3f4f28"),
            tone("6a7a40"),
        )


def paint(canvas: Canvas) -> None:
    """Paints the lane."""
    left, right = edges()
    paving(canvas)
    for k in range(len(XS) - 1):
        inside = k == BRIDGE[0]
        house(canvas, left[k], left[k + 1], 2 * k, not inside)
        house(canvas, right[k + 1], right[k], 2 * k + 1, not inside and k != 7)
    over(canvas, left, right)
    ends(canvas, left, right)
    things(canvas, left, right)
