"""`courtyard`: the yard behind brick tenements under an even grey sky, and the passage that leads
out to the street.
"""

import numpy as np

from s2e.envs.geometry.scene import Sky
from tools.urban.houses import Front, arch, balcony, facade, ramp, wall
from tools.urban.paint import UP, Canvas, Light, Place
from tools.urban.parts import (
    bench,
    bicycle,
    bush,
    car,
    hedge,
    lamp,
    laundry,
    litter,
    pot,
    railing,
    tree,
    wheelie_bin,
)
from tools.urban.surfaces import (
    asphalt,
    brick,
    cobbles,
    concrete,
    flat,
    grass,
    hexes,
    planks,
    plaster,
    slabs,
    tone,
)

PLACE = Place(
    low=(-17.0, -30.0), high=(17.0, 13.0), top=15.0, sun=(0.35, 0.5, 0.8),
    sky=Sky(zenith=(176.0, 184.0, 192.0), horizon=(216.0, 219.0, 221.0), fog_m=220.0),
    light=Light((0.7, 0.68, 0.64), (3.0, 3.15, 3.3), (1.25, 1.15, 1.05), 0.62, 0.2, 7.0), seed=11, detail=1.2,
)  # fmt: skip
X0, X1, Y0, Y1, PASS, STREET = -13.0, 13.0, -10.0, 11.0, 1.9, -17.0
FAR, HIGH = -27.5, 13.4
FLOORS = (1.2, 4.4, 7.5, 10.5)
SETTS = hexes("6f6a66", "7c766f", "625d5a", "857c72")


def yard_front(code: str, seed: int, **more) -> Front:
    """Old brick with tall white windows."""
    base = {
        "window": (1.05, 1.75),
        "pitch": 2.6,
        "roof": None,
        "glass": tone("4a5258"),
        "lit": 0.06,
    }
    return Front(
        brick(tone(code), tone("a39a8c"), seed),
        concrete(tone("7d776f"), seed),
        0.8,
        FLOORS,
        **(base | more),
    )


def houses(canvas: Canvas) -> None:
    """Four wings round the yard; the south one stands over the passage, and shows its plaster to
    the street.
    """
    red, dun = yard_front("8e4f3d", 111), yard_front("a58461", 112, frame=tone("d8d4c8"))
    pale = Front(
        plaster(tone("c9c3b2"), 113, 1.6),
        concrete(tone("76716a"), 5),
        0.9,
        FLOORS,
        2.6,
        (1.05, 1.6),
        roof=None,
        lit=0.08,
        bare=tone("8e4f3d"),
    )
    facade(canvas, (X1, Y0), (PASS, Y0), HIGH, red, doors=(8.0,))
    facade(canvas, (-PASS, Y0), (X0, Y0), HIGH, red, doors=(5.6,))
    facade(canvas, (PASS, Y0), (-PASS, Y0), HIGH - 3.6, red, base=3.6, windows_from=0.4)
    facade(canvas, (X0, Y0), (X0, Y1), HIGH, pale, doors=(5.2, 16.1))
    facade(canvas, (X0, Y1), (X1, Y1), 11.0, dun, doors=(6.5, 19.6))
    facade(canvas, (X1, Y1), (X1, Y0), HIGH, pale, doors=(10.4,))
    for along, height in ((3.2, 4.3), (3.2, 7.4), (14.6, 4.3), (14.6, 7.4), (14.6, 10.4)):
        balcony(canvas, (X0, Y1), (X1, Y1), along, height, 2.6, tone("3c4a3f"))
    tiled = Front(concrete(tone("b3aca0"), 9, 1.2), None, floors=(), roof=None, cornice=None)
    facade(canvas, (-PASS, STREET), (-PASS, Y0), 3.3, tiled)
    facade(canvas, (PASS, Y0), (PASS, STREET), 3.3, tiled)
    canvas.patch(
        (-PASS, Y0, 3.3), (2 * PASS, 0, 0), (0, STREET - Y0, 0), 0.22, plaster(tone("cfc8ba"), 6)
    )
    canvas.solid(-PASS, STREET, 3.3, PASS, Y0, 6.0)
    for y, flip in ((Y0, True), (STREET, False)):
        a, b = ((PASS, y), (-PASS, y)) if flip else ((-PASS, y), (PASS, y))
        arch(
            canvas, a, b, 2.1, 4.3, 0.4, brick(tone("8e4f3d"), tone("a39a8c"), 111), tone("b5a892")
        )
    grand = Front(
        plaster(tone("b9a98c"), 114, 0.8),
        concrete(tone("8b8478"), 6),
        1.0,
        FLOORS,
        2.6,
        (1.1, 1.7),
        roof=None,
        shutter=None,
    )
    facade(
        canvas,
        (-16.5, STREET),
        (-PASS, STREET),
        HIGH,
        grand,
        doors=(3.6,),
        shops=((6.6, 3.0, "35404a"), (10.4, 2.6, "35404a")),
    )
    facade(
        canvas,
        (PASS, STREET),
        (16.5, STREET),
        HIGH,
        grand,
        doors=(9.0,),
        shops=((2.2, 3.4, "5a2f2b"),),
    )
    facade(canvas, (-PASS, STREET), (PASS, STREET), HIGH - 4.3, grand, base=4.3, windows_from=0.2)
    facade(
        canvas,
        (16.5, FAR),
        (0.5, FAR),
        12.0,
        yard_front("6f5a50", 115, frame=tone("c9c4b8")),
        doors=(3.0, 12.0),
    )
    facade(
        canvas,
        (0.5, FAR),
        (-16.5, FAR),
        10.2,
        Front(plaster(tone("9fb0a6"), 116), floors=FLOORS[:3], lit=0.1),
        doors=(8.2,),
    )


def street(canvas: Canvas) -> None:
    """Sidewalks 0.12 m above the road at both sides, a dropped kerb before the passage, parked
    cars.
    """
    flags = slabs(hexes("9a958c", "8e8981", "a5a097"), 0.5, 21)
    for y0, y1 in ((-19.6, STREET), (FAR, -25.4)):
        canvas.sheet(-16.8, y0, 16.8, y1, 0.2, flags)
    canvas.sheet(-16.8, -25.4, 16.8, -19.6, 0.22, asphalt(tone("55565a")), -0.12)
    canvas.patch(
        (-16.8, -19.6, -0.12), (33.6, 0, 0), UP * 0.12, 0.2, flat(tone("a8a59e")), flip=False
    )
    canvas.patch(
        (-16.8, -25.4, -0.12), (33.6, 0, 0), UP * 0.12, 0.2, flat(tone("a8a59e")), flip=True
    )
    canvas.level(-17.0, -25.4, 17.0, -19.6, -0.12, "road")
    for x, y, yaw, colour in (
        (-9.5, -20.7, 0.0, "7d1f22"), (-4.4, -20.75, 0.0, "b9bcc0"), (7.2, -20.7, 0.02, "22364f"), (12.4, -20.7, 0.0, "d9d6cc"),
        (-12.2, -24.4, np.pi, "3b3d3f"), (4.4, -24.4, np.pi, "56694a"),
    ):  # fmt: skip
        car(canvas, x, y, yaw, tone(colour))
    tree(canvas, -6.9, -18.9, 5.4, tone("6a7f45"), 1.9, 0.16)
    tree(canvas, 9.8, -18.9, 5.2, tone("63793f"), 1.8, 0.15)
    for y in (-24.6, -20.4):
        canvas.box(
            -17.0, y - 5, 0.0, -16.6, y + 5, 2.2, 0.3, planks(tone("8a8378"), 0.25, (0, 1, 0)), "e"
        )
        canvas.box(
            16.6, y - 5, 0.0, 17.0, y + 5, 2.2, 0.3, planks(tone("8a8378"), 0.25, (0, 1, 0)), "w"
        )


def yard(canvas: Canvas) -> None:
    """The ground of the yard: setts, a lawn behind a low kerb, a flagged path, a terrace with a
    ramp before the north door.
    """
    setts, flags = cobbles(SETTS, 22, 0.2), slabs(hexes("8f8b83", "9b968d", "857f77"), 0.5, 23)

    def lawn(x, y):
        return (np.abs(x + 4.6) < 4.2 - 0.05 * (y - 1) ** 2) & (np.abs(y - 1.2) < 4.4)

    def path(x, y):
        return (np.abs(x - 0.25 * np.sin(0.5 * y) - 1.4) < 0.9) & (y < 6.8)

    terrace = lambda x, y: (y > 7.8) & (x > -9.6) & (x < -3.2)  # noqa: E731
    canvas.sheet(
        X0, Y0, X1, Y1, 0.17, setts, keep=lambda x, y: ~lawn(x, y) & ~path(x, y) & ~terrace(x, y)
    )
    canvas.sheet(X0, Y0, X1, Y1, 0.17, flags, keep=path, gloss=0.12)
    canvas.sheet(-9.2, -4.0, 0.0, 6.2, 0.15, grass(tone("5d7040"), tone("7f7a4c")), 0.03, lawn)
    canvas.sheet(-PASS, STREET, PASS, Y0, 0.17, slabs(hexes("77726b", "827c74"), 0.45, 24))
    canvas.level(-9.2, -4.0, 0.0, 6.2, 0.03, "grass", lawn)
    for _ in range(260):
        x, y = canvas.rng.uniform(-9, 0), canvas.rng.uniform(-3.5, 6)
        if lawn(x, y):
            canvas.cloud((x, y, 0.07), (0.09, 0.09, 0.05), 5, 0.035, tone("4b6130"), tone("7d8a4a"))
    canvas.box(-9.6, 7.8, 0, -3.2, Y1, 0.3, 0.18, flags, "sewt")
    canvas.level(-9.6, 7.8, -3.2, Y1, 0.3)
    canvas.patch(
        (-3.2, 7.8, 0),
        (3.4, 0, 0),
        UP * 0.3,
        0.15,
        concrete(tone("8f8a80")),
        keep=lambda s, t: t < 0.3 - 0.3 * s / 3.4,
    )
    railing(canvas, (-9.5, 7.9, 0.3), (-3.3, 7.9, 0.3), tone("3c4a3f"))
    ramp(canvas, -3.2, 7.8, 0.0, 1.6, 3.4, 0.3, 0.0, concrete(tone("8f8a80")))


def furniture(canvas: Canvas) -> None:
    """Trees, bicycles, bins in a pen, washing, a sandpit, benches."""
    for x, y, h, leaves, crown in (
        (-5.6, 2.6, 6.2, tone("66803c"), 2.5),
        (-2.6, -1.2, 5.0, tone("7c8f4a"), 1.7),
        (8.6, 5.4, 5.6, tone("59703a"), 2.1),
    ):
        tree(canvas, x, y, h, leaves, crown, 0.18, 15)
        litter(canvas, x, y, 1.6, 80, hexes("8b7d3a", "6f7a35", "a3823c"))
    rng, frames = canvas.rng, hexes("8c2f2b", "2f4f7a", "2b2d2f", "4f7a5a", "c9b23a", "c9c9c4")
    for k, y in enumerate(np.arange(-6.6, -1.2, 0.72)):
        bicycle(canvas, 11.6 + rng.normal(0, 0.06), y, np.pi + rng.normal(0, 0.12), frames[k % 6])
    for x in (10.8, 12.4):
        railing(canvas, (x, -7.0, 0), (x, -0.9, 0), tone("8d9094"), 0.75, 1.5, solid=False)
    bicycle(canvas, -12.5, 4.2, np.pi / 2, frames[1])
    wood = planks(tone("8a6a45"), 0.14, (1, 0, 0))
    for a, b in (((-12.9, -4.4), (-9.9, -4.4)), ((-12.9, -8.6), (-9.9, -8.6))):
        wall(canvas, a, b, 1.35, 0.12, wood)
    for k, y in enumerate(np.arange(-8.0, -4.8, 0.78)):
        wheelie_bin(
            canvas, -12.4, y, np.pi / 2, hexes("3a3f42", "2f5a3a", "7a6a2a", "30486a")[k % 4]
        )
    canvas.box(
        4.6, -1.2, 0, 8.0, 2.0, 0.28, 0.18, planks(tone("9a7a52"), 0.14), "nsew", solid=False
    )
    canvas.sheet(4.7, -1.1, 7.9, 1.9, 0.2, plaster(tone("c8b07c"), 3), 0.2)
    canvas.solid(4.6, -1.2, 0, 8.0, 2.0, 0.3)
    canvas.cloud(
        (5.5, 0.3, 0.3), (0.5, 0.5, 0.22), 90, 0.09, tone("b79e6b"), tone("cdb684"), shell=True
    )
    for x, y in ((3.8, 4.4), (3.8, 8.2), (7.6, 8.2)):
        canvas.cylinder(x, y, 0.05, 0, 2.2, 0.12, flat(tone("7d8084")), top=False)
    laundry(canvas, (3.8, 4.4, 2.15), (3.8, 8.2, 2.15))
    laundry(canvas, (3.8, 8.2, 2.2), (7.6, 8.2, 2.2))
    laundry(canvas, (-12.9, -6.0, 8.4), (X1 - 0.1, -7.0, 8.2))
    bench(canvas, -9.4, -1.6, np.pi / 2, tone("8a6a45"))
    bench(canvas, 4.0, 2.9, 0.0, tone("8a6a45"))
    hedge(canvas, (6.2, 10.3), (12.4, 10.3), 0.9, 0.8, tone("4f6636"))
    for x, y, r in ((12.0, 9.0, 0.7), (11.6, 3.1, 0.6), (-12.1, 9.6, 0.6), (-11.8, 8.2, 0.5)):
        bush(canvas, x, y, r, 1.0, tone("5f7440"), tone("c9b6c9") if r > 0.6 else None)
    for x, y in ((-10.8, 1.6), (-10.7, -2.9), (3.0, -9.4), (-3.1, -9.4), (9.3, -9.3)):
        pot(canvas, x, y, 0.26)
    lamp(canvas, 2.9, -6.3)
    lamp(canvas, -8.2, 7.4)


def paint(canvas: Canvas) -> None:
    """Paints the courtyard."""
    for part in (houses, street, yard, furniture):
        part(canvas)
