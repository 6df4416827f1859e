"""Makes the packaged object kinds: python -m tools.objects [--sheet sheet.png].

Writes assets/objects.npz; `--sheet` draws every kind into a picture as well.
"""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

import s2e.assets
from s2e.envs.geometry.scene import Mesh
from s2e.envs.streets.objects import store_kinds
from tools import object_shapes as a
from tools import object_shapes_more as b

ALL = np.inf
KINDS: dict[str, tuple[str, str, float, Callable[[], Mesh]]] = {
    "bench": ("seating", "furniture", ALL, a.bench),
    "stone_bench": ("seating", "furniture", ALL, a.stone_bench),
    "picnic_table": ("seating", "furniture", ALL, a.picnic_table),
    "log": ("seating", "obstacle", ALL, a.log),
    "bin": ("bins", "furniture", ALL, a.bin_),
    "post_bin": ("bins", "furniture", ALL, a.post_bin),
    "wheelie_bin": ("bins", "furniture", ALL, a.wheelie_bin),
    "blue_bin": ("bins", "furniture", ALL, lambda: a.wheelie_bin((0.2, 0.32, 0.55))),
    "dumpster": ("bins", "obstacle", ALL, a.dumpster),
    "bottle_bank": ("bins", "obstacle", ALL, a.bottle_bank),
    "bags": ("bins", "obstacle", ALL, a.bags),
    "bollard": ("poles", "pole", ALL, a.bollard),
    "stone_bollard": ("poles", "pole", ALL, a.stone_bollard),
    "lamp": ("poles", "pole", 4.4, a.lamp),
    "arm_lamp": ("poles", "pole", 6.0, a.arm_lamp),
    "traffic_light": ("poles", "pole", 2.0, a.traffic_light),
    "parking_meter": ("poles", "pole", ALL, a.parking_meter),
    "pillar": ("poles", "pole", ALL, a.pillar),
    "sign": ("signs", "sign", 1.65, a.sign),
    "no_entry": ("signs", "sign", 1.7, lambda: a.round_sign("no_entry", 10)),
    "warning": ("signs", "sign", 1.7, lambda: a.round_sign("yield", 3)),
    "street_name": ("signs", "sign", 2.3, a.street_name),
    "flag": ("signs", "sign", 0.85, a.flag),
    "a_board": ("signs", "sign", ALL, b.a_board),
    "advert_column": ("signs", "sign", ALL, a.advert_column),
    "kiosk": ("signs", "sign", ALL, a.kiosk),
    "tree": ("plants", "vegetation", 2.0, a.tree),
    "old_tree": ("plants", "vegetation", 2.4, a.old_tree),
    "poplar": ("plants", "vegetation", 1.6, a.poplar),
    "conifer": ("plants", "vegetation", ALL, a.conifer),
    "blossom_tree": ("plants", "vegetation", 1.6, a.blossom_tree),
    "planter": ("plants", "vegetation", ALL, a.planter),
    "flower_box": ("plants", "vegetation", ALL, a.flower_box),
    "pot": ("plants", "vegetation", 0.75, a.pot),
    "shrub": ("plants", "vegetation", ALL, a.shrub),
    "hedge": ("plants", "vegetation", ALL, a.hedge),
    "rock": ("plants", "obstacle", ALL, a.rock),
    "hydrant": ("street", "obstacle", ALL, a.hydrant),
    "letterbox": ("street", "furniture", ALL, a.letterbox),
    "pillar_box": ("street", "furniture", ALL, a.pillar_box),
    "news_box": ("street", "furniture", ALL, a.news_box),
    "cabinet": ("street", "obstacle", ALL, a.cabinet),
    "vending_machine": ("street", "furniture", ALL, a.vending_machine),
    "phone_booth": ("street", "furniture", ALL, a.phone_booth),
    "bus_shelter": ("street", "furniture", 2.2, a.bus_shelter),
    "fountain": ("street", "obstacle", 0.55, a.fountain),
    "statue": ("street", "obstacle", 1.3, a.statue),
    "stairs": ("street", "stairs", ALL, b.stairs),
    "table": ("cafe", "furniture", ALL, a.table),
    "bistro_table": ("cafe", "furniture", 0.7, a.bistro_table),
    "parasol": ("cafe", "furniture", 1.9, a.parasol),
    "chair": ("cafe", "furniture", ALL, a.chair),
    "car": ("vehicles", "vehicle", ALL, lambda: b.car((0.75, 0.76, 0.78))),
    "red_car": ("vehicles", "vehicle", ALL, lambda: b.car((0.62, 0.1, 0.1))),
    "blue_car": ("vehicles", "vehicle", ALL, lambda: b.car((0.14, 0.25, 0.45))),
    "dark_car": ("vehicles", "vehicle", ALL, lambda: b.car((0.13, 0.13, 0.14))),
    "van": ("vehicles", "vehicle", ALL, lambda: b.van((0.86, 0.86, 0.85))),
    "yellow_van": ("vehicles", "vehicle", ALL, lambda: b.van((0.92, 0.74, 0.2))),
    "trailer": ("vehicles", "vehicle", ALL, b.cargo_trailer),
    "bicycle": ("cycles", "bicycle", ALL, a.bicycle),
    "red_bicycle": ("cycles", "bicycle", ALL, lambda: a.bicycle((0.7, 0.14, 0.12))),
    "scooter": ("cycles", "bicycle", ALL, a.scooter),
    "moped": ("cycles", "bicycle", ALL, a.moped),
    "bike_rack": ("cycles", "furniture", ALL, a.bike_rack),
    "cone": ("site", "obstacle", ALL, b.traffic_cone),
    "barrel": ("site", "obstacle", ALL, b.barrel),
    "barrier": ("site", "fence", ALL, b.barrier),
    "jersey": ("site", "fence", ALL, b.jersey),
    "water_barrier": ("site", "fence", ALL, b.water_barrier),
    "scaffold": ("site", "obstacle", ALL, b.scaffold),
    "sand_heap": ("site", "obstacle", ALL, b.sand_heap),
    "gravel_heap": ("site", "obstacle", ALL, b.gravel_heap),
    "bricks": ("site", "obstacle", ALL, b.bricks),
    "pipes": ("site", "obstacle", ALL, b.pipes),
    "mixer": ("site", "obstacle", ALL, b.mixer),
    "wheelbarrow": ("site", "obstacle", ALL, b.wheelbarrow),
    "cable_drum": ("site", "obstacle", ALL, b.cable_drum),
    "toilet": ("site", "obstacle", ALL, b.toilet),
    "fence": ("fences", "fence", ALL, b.fence),
    "site_fence": ("fences", "fence", ALL, b.site_fence),
    "wood_fence": ("fences", "fence", ALL, b.wood_fence),
    "box": ("boxes", "obstacle", ALL, b.carton),
    "cartons": ("boxes", "obstacle", ALL, b.cartons),
    "pallet": ("boxes", "obstacle", ALL, b.pallet),
    "crates": ("boxes", "obstacle", ALL, b.crates),
    "suitcase": ("boxes", "obstacle", ALL, b.suitcase),
    "stroller": ("boxes", "obstacle", ALL, b.stroller),
    "shopping_cart": ("boxes", "obstacle", ALL, b.cart),
    "ball": ("boxes", "obstacle", ALL, b.ball),
    "stall": ("market", "furniture", 2.1, b.stall),
    "green_stall": ("market", "furniture", 2.1, lambda: b.stall((0.55, 0.95, 0.6))),
    "food_cart": ("market", "furniture", ALL, b.food_cart),
}
"""Each kind's family, semantic class, height above which it casts a shadow of its own, and
shape."""


def made() -> list[tuple[str, str, str, float, Mesh]]:
    """Name, family, semantic class, split and mesh of every kind."""
    return [
        (name, family, semantic, split, shape())
        for name, (family, semantic, split, shape) in KINDS.items()
    ]


def sheet(path: str) -> None:
    """Draws every packaged kind, twelve in a row."""
    from PIL import Image

    from s2e.envs.geometry.meshes import bake, ground, merge, transform
    from s2e.envs.geometry.scene import Sky
    from s2e.envs.raster.kernels import PackedMeshes, render_meshes
    from s2e.envs.streets.objects import object_kinds

    light = np.array([0.35, -0.5, 0.8]), np.full(3, 0.65), np.full(3, 0.55)
    views, meshes = [], []
    for kind in object_kinds().values():
        size = max(kind.height, float(np.ptp(kind.mesh.vertices[:, :2], axis=0).max()), 0.6)
        floor = ground(-4, -4, 4, 4, "paving", 1.6)
        meshes.append(bake(merge([floor, transform(kind.mesh, 0, 0, 0)]), *light))
        eye = np.array([1.2, -1.0, 0.75]) * 0.95 * size
        ahead = np.array([0, 0, kind.height / 2]) - eye
        ahead /= np.linalg.norm(ahead)
        right = np.cross(ahead, [0, 0, 1]) / np.linalg.norm(np.cross(ahead, [0, 0, 1]))
        views.append((eye, np.stack([right, np.cross(ahead, right), ahead])))
    count, side = len(views), 120
    packed, row = PackedMeshes.pack(meshes), Sky().row()
    lens = np.array([side * 0.8, side * 0.8, side / 2, side / 2])
    eyes, turns = np.array([v[0] for v in views]), np.array([v[1] for v in views])
    people = np.full((count, 0, 5), np.nan)
    sky = np.array([row[:7]] * count)
    rgb = render_meshes(
        packed, np.arange(count), eyes, turns, lens, side, side, people, sky, np.zeros(count)
    )[0]
    rgb = np.concatenate([rgb, np.full((-count % 12, side, side, 3), 255, np.uint8)])
    Image.fromarray(
        rgb.reshape(-1, 12, side, side, 3).swapaxes(1, 2).reshape(-1, 12 * side, 3)
    ).save(path)


def main() -> None:
    """Writes the file, and the sheet where asked."""
    store_kinds(Path(s2e.assets.__file__).parent / "objects.npz", made())
    if "--sheet" in sys.argv[1:-1]:
        sheet(sys.argv[sys.argv.index("--sheet") + 1])


if __name__ == "__main__":
    main()
