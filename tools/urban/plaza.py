"""`plaza`: an old-town plaza in a low warm sun, an arcade along its north side, a fountain, a
passage in the east.
"""

import numpy as np

from s2e.envs.geometry.scene import Sky
from tools.urban.houses import STONE, Front, arch, awning, facade
from tools.urban.paint import UP, Canvas, Light, Place
from tools.urban.parts import (
    LEAF,
    bench,
    bollard,
    cafe,
    crate,
    lamp,
    laundry,
    litter,
    planter,
    tree,
)
from tools.urban.surfaces import flat, hexes, mottle, plaster, scatter, stones, tone, water

PLACE = Place(
    low=(-18.0, -13.0), high=(23.0, 13.0), top=11.0, sun=(-0.5, -0.55, 0.78),
    sky=Sky(zenith=(122.0, 158.0, 205.0), horizon=(238.0, 222.0, 196.0), fog_m=400.0), light=Light(), seed=7, detail=1.3,
)  # fmt: skip
X0, X1, Y0, Y1, PASSAGE = -17.0, 17.0, -12.0, 12.0, 22.0
ARCADE_Y, ARCADE_END, HALF, SPRING, CEILING = 9.0, 8.0, 0.28, 2.1, 3.9
FOUNTAIN = (-2.0, -0.5, 2.3)


def paving(p: np.ndarray) -> np.ndarray:
    """Slabs of 0.6 m with joints, a ring of cobbles round the fountain, light bands, dirt along the
    walls.
    """
    tones = hexes("ab9a80", "97856a", "857a6b", "b09d7d", "766d60", "93745b", "8a7f79")
    x, y = p[:, 0], p[:, 1]
    column, row = np.floor(x / 0.6), np.floor(y / 0.6)
    pick = scatter(column, row, 1)
    base = (
        tones[(pick * 997).astype(int) % len(tones)]
        * (0.76 + 0.42 * scatter(row, column, 2))[:, None]
    )
    from_fountain = np.hypot(x - FOUNTAIN[0], y - FOUNTAIN[1])
    ring = (from_fountain > 3.0) & (from_fountain < 4.4)
    base[ring] = (
        tone("6e675e") * (0.75 + 0.55 * scatter(np.floor(x * 6), np.floor(y * 6), 3))[ring, None]
    )
    band = ((np.abs((x + 0.3) % 7.2 - 0.6) < 0.3) | (np.abs((y - 0.3) % 7.2 - 0.6) < 0.3)) & ~ring
    base[band] = tone("c4b596") * (0.9 + 0.15 * pick)[band, None]
    edge = np.minimum(np.minimum(x - X0, X1 - x), np.minimum(y - Y0, Y1 - y))
    dirt = (
        0.14 * mottle(x, y, 0.3, 1)
        + 0.1 * mottle(x, y, 1.1, 2)
        - 0.3 * np.exp(-np.maximum(edge, 0) / 0.5)
    )
    wet = np.clip(1.2 - np.abs(from_fountain - 2.6 - 0.4 * mottle(x, y, 1.5, 3)) / 0.5, 0, 1) * 0.3
    joint = (
        np.minimum(np.abs(x / 0.6 - np.round(x / 0.6)), np.abs(y / 0.6 - np.round(y / 0.6))) < 0.05
    )
    return np.clip(base * ((1 + dirt - wet) * np.where(joint, 0.66, 1.0))[:, None], 0.02, 1)


def arcade(canvas: Canvas) -> None:
    """Pillars, round arches, a ceiling, and the house above them; its back wall is a facade of its
    own.
    """
    pitch, front = (ARCADE_END - X0) / 8, ARCADE_Y - HALF
    hewn = stones(STONE, 15, 0.42, 0.5, 0.2)
    for k in range(9):
        x = X0 + k * pitch
        if k:
            canvas.box(x - HALF, front, 0, x + HALF, front + 2 * HALF, SPRING, 0.2, hewn, "nsew")
            canvas.box(
                x - HALF - 0.06,
                front - 0.06,
                0,
                x + HALF + 0.06,
                front + 2 * HALF + 0.06,
                0.3,
                0.17,
                hewn,
            )
            for y, side in ((front - 0.04, -1), (front + 2 * HALF + 0.04, 1)):
                canvas.bar(
                    (x - HALF - 0.08, y, SPRING),
                    (x + HALF + 0.08, y, SPRING),
                    0.1,
                    (0, side, 0),
                    STONE * 1.1,
                )
                corner = (x - HALF, front if side < 0 else front + 2 * HALF, SPRING)
                canvas.patch(
                    corner, (2 * HALF, 0, 0), UP * (CEILING - SPRING), 0.2, hewn, flip=side > 0
                )
            canvas.solid(x - HALF, front, SPRING, x + HALF, front + 2 * HALF, CEILING)
        if k < 8:
            arch(
                canvas,
                (x + HALF, front),
                (x + pitch - HALF, front),
                SPRING,
                CEILING,
                2 * HALF,
                hewn,
                STONE * 1.12,
            )
    length = ARCADE_END - X0
    canvas.patch(
        (X0, Y1, CEILING - 0.3),
        (length, 0, 0),
        (0, ARCADE_Y - Y1, 0),
        0.28,
        plaster(tone("d9b98a"), 17),
    )
    canvas.solid(X0, ARCADE_Y - HALF, CEILING - 0.3, ARCADE_END, Y1, 8.2)
    house = Front(
        plaster(tone("d8a566"), 31),
        None,
        floors=(0.4, 2.9),
        shutter=tone("3f5a4a"),
        bare=tone("9a5f46"),
    )
    facade(
        canvas, (X0, front), (ARCADE_END, front), 8.2 - CEILING, house, base=CEILING, solid=False
    )
    facade(
        canvas,
        (ARCADE_END, front),
        (ARCADE_END, Y1),
        8.2 - CEILING,
        house,
        base=CEILING,
        windows_from=9.0,
        solid=False,
    )


def fountain(canvas: Canvas) -> None:
    """A round basin with water, a column with a bowl, and a figure on top."""
    x, y, r = FOUNTAIN

    def weathered(p: np.ndarray) -> np.ndarray:
        return STONE * (0.9 + 0.16 * mottle(p[:, 0] * 2 + p[:, 1], p[:, 2] * 2, 1.2, 11))[:, None]

    canvas.cylinder(x, y, r + 0.25, 0.0, 0.16, 0.17, weathered)
    canvas.cylinder(x, y, r, 0.16, 0.58, 0.15, weathered, top=False)
    canvas.ring(x, y, r - 0.3, r + 0.06, 0.6, 0.14, weathered, gloss=0.15)
    canvas.ring(x, y, 0.0, r - 0.3, 0.46, 0.2, water(tone("4d7470")), gloss=0.6)
    for radius, z0, z1 in (
        (0.5, 0.4, 0.8),
        (0.24, 0.8, 1.7),
        (0.85, 1.7, 1.85),
        (0.2, 1.85, 2.2),
        (0.3, 2.2, 2.35),
    ):
        canvas.cylinder(x, y, radius, z0, z1, 0.12, weathered)
    bronze = tone("4f5f50")
    for dz, size, count in (
        (0.0, (0.2, 0.16, 0.42), 130),
        (0.5, (0.26, 0.17, 0.32), 120),
        (0.98, (0.12, 0.13, 0.16), 50),
    ):
        canvas.cloud((x, y, 2.75 + dz), size, count, 0.07, bronze, bronze * 1.3, shell=True)
    canvas.cloud((x + 0.35, y, 3.5), (0.3, 0.07, 0.09), 40, 0.06, bronze, bronze * 1.3, shell=True)
    for angle in np.linspace(0, 2 * np.pi, 9)[:-1]:  # jets over the bowl's rim
        jet = np.linspace(0, 1, 9)
        reach = 0.85 + 0.35 * jet
        points = np.stack(
            [x + reach * np.cos(angle), y + reach * np.sin(angle), 1.85 - 1.35 * jet**2], 1
        )
        canvas.discs(
            points,
            UP,
            np.array([np.cos(angle), np.sin(angle), 0]),
            (0.1, 0.03, 0.03),
            tone("dfe9ea"),
            0.45,
        )


def house(code: str, seed: int, shutter: str | None = None, **more) -> Front:
    """A plastered front of the old town."""
    colour = None if shutter is None else tone(shutter)
    return Front(
        plaster(tone(code), seed),
        shutter=colour,
        bare=tone("9a5f46"),
        floors=(1.0, 4.1, 7.0),
        **more,
    )


def houses(canvas: Canvas) -> None:
    """The fronts round the plaza, the church steps in the west and the passage in the east."""
    green, blue, brown = "41614c", "46688a", "6b4a33"
    facade(canvas, (X1, Y0), (6.5, Y0), 8.6, house("c98870", 41, green), doors=(5.2,))
    facade(
        canvas,
        (6.5, Y0),
        (-5.0, Y0),
        7.4,
        house("d9a45b", 42, blue),
        doors=(8.7,),
        shops=((2.0, 2.4, "4a3428"),),
    )
    facade(
        canvas,
        (-5.0, Y0),
        (X0, Y0),
        9.2,
        house("e3d3ae", 43, brown),
        doors=(1.6,),
        shops=((3.9, 2.0, "2f4f44"), (6.3, 1.8, "2f4f44")),
    )
    facade(canvas, (X0, Y0), (X0, Y1), 10.2, house("b7ab98", 44), doors=(12.0,), windows_from=4.0)
    facade(
        canvas,
        (X0, Y1),
        (ARCADE_END, Y1),
        3.6,
        house("e3d3ae", 45, roof=None, cornice=None),
        doors=(4.0, 20.0),
        shops=((10.5, 3.0, "6d2f28"),),
    )
    facade(
        canvas,
        (ARCADE_END, Y1),
        (X1, Y1),
        8.0,
        house("d3906f", 46, blue),
        doors=(1.9,),
        shops=((3.4, 2.6, "3a3f58"),),
    )
    facade(canvas, (X1, Y1), (X1, 1.2), 8.8, house("dcccaa", 47, green), doors=(3.5,))
    facade(
        canvas,
        (X1, 1.2),
        (X1, -2.4),
        6.1,
        house("d9a45b", 48, blue),
        openings=((0.0, 3.6, 0.0, 3.1),),
        windows_from=4.0,
    )
    facade(canvas, (X1, -2.4), (X1, Y0), 8.2, house("ce9c56", 49, brown), doors=(6.4,))
    grey = house("b7ab98", 50, roof=None, cornice=None)
    facade(canvas, (PASSAGE, -2.4), (X1, -2.4), 3.1, grey, windows_from=9.0)
    facade(canvas, (X1, 1.2), (PASSAGE, 1.2), 3.1, grey, windows_from=9.0)
    canvas.patch((X1, 1.2, 3.1), (PASSAGE - X1, 0, 0), (0, -3.6, 0), 0.28, grey.wall)
    facade(
        canvas,
        (PASSAGE, 1.2),
        (PASSAGE, -2.4),
        3.1,
        house("c98870", 51, roof=None, cornice=None),
        doors=(1.8,),
        windows_from=9.0,
    )
    canvas.solid(X1, -2.4, 3.1, PASSAGE + 0.5, 1.2, 6.0)
    worn = stones(STONE, 52, 0.15, 1.1, 0.2)
    for k in range(3):
        canvas.box(
            X0,
            -3.0 - 0.4 * (2 - k),
            0.15 * k,
            X0 + 2.2 - 0.6 * k,
            3.0 + 0.4 * (2 - k),
            0.15 * (k + 1),
            0.18,
            worn,
            "nset",
        )
    awning(canvas, (4.9, Y0), (1.7, Y0), 1.3, tone("9b3b34"))
    awning(canvas, (-8.6, Y0), (-13.4, Y0), 1.4, tone("3d6a57"))
    awning(canvas, (11.0, Y1), (14.2, Y1), 1.3, tone("c58b32"))
    laundry(canvas, (11.5, Y0 + 0.1, 5.6), (X1 - 0.1, -6.0, 5.4))
    laundry(canvas, (12.0, Y1 - 0.1, 5.9), (X1 - 0.1, 7.5, 5.6))


def furniture(canvas: Canvas) -> None:
    """What stands on the plaza."""
    red, white, violet = hexes("c63f3a", "f3ead8", "8f5aa5")
    for x, y, h, leaves in (
        (6.3, -6.3, 4.1, LEAF),
        (11.8, 4.2, 3.8, tone("74853a")),
        (-10.2, -6.2, 4.3, tone("55702f")),
    ):
        tree(canvas, x, y, h, leaves, planter=True)
    for x, y, length, turned, flowers in (
        (3.6, 3.4, 2.2, 0, red), (-7.6, 4.6, 2.4, 0, violet), (-7.4, -2.6, 1.8, 1, white),
        (8.2, -0.6, 2.0, 1, red), (1.0, -7.2, 2.4, 0, violet), (13.6, -7.6, 1.8, 1, white),
    ):  # fmt: skip
        planter(canvas, x, y, length, turned * np.pi / 2, flowers)
    for x, y, yaw in (
        (-2.0, 5.2, 0.0),
        (3.4, -3.6, np.pi),
        (-6.0, -8.4, 0.0),
        (13.9, 0.9, -np.pi / 2),
        (-12.6, 3.4, np.pi / 2),
    ):
        bench(canvas, x, y, yaw)
    for x, y in ((-13.0, 6.6), (4.8, 6.9), (-5.0, -5.6), (10.4, -3.4), (14.6, 8.6)):
        lamp(canvas, x, y)
    for x, y, colour in (
        (10.2, 9.3, red),
        (13.4, 6.0, tone("3d6a57")),
        (-11.5, -9.9, tone("c58b32")),
    ):
        cafe(canvas, x, y, colour)
    for x, y, s in (
        (-14.9, -8.9, 0.6),
        (-15.5, -8.2, 0.5),
        (15.9, -9.9, 0.7),
        (0.4, 11.5, 0.6),
        (-9.6, 11.5, 0.5),
        (1.1, 11.5, 0.45),
    ):
        crate(canvas, x, y, 0.0, s)
    for x in np.arange(5.2, 9.6, 1.45):  # before the café corner
        bollard(canvas, x, 6.0)


def leaves(canvas: Canvas) -> None:
    """Fallen leaves under the trees and along walls, weeds at the feet of the walls."""
    tones = hexes("8a6a2f", "a4552b", "6f7a35", "b58b3c")
    for x, y in ((6.3, -6.3), (11.8, 4.2), (-10.2, -6.2), (-14.0, 7.6), (14.0, -9.6)):
        litter(canvas, x, y, 1.2, 90, tones)
    for _ in range(26):
        s, side = canvas.rng.uniform(-16, 16), canvas.rng.choice([-1, 1])
        canvas.cloud(
            (s, side * (Y1 - 0.07), 0.05), (0.16, 0.06, 0.07), 14, 0.035, LEAF * 0.6, LEAF * 1.1
        )


def paint(canvas: Canvas) -> None:
    """Paints the plaza."""
    canvas.patch((X0, Y0, 0), (X1 - X0, 0, 0), (0, Y1 - Y0, 0), 0.18, paving, 0.64)
    canvas.patch((X1, -2.4, 0), (PASSAGE - X1, 0, 0), (0, 3.6, 0), 0.18, paving, 0.64)
    wet = flat(tone("6e675e"))
    canvas.ring(*FOUNTAIN[:2], 2.6, 3.1, 0.012, 0.2, wet, gloss=0.35)
    for part in (houses, arcade, fountain, furniture, leaves):
        part(canvas)
