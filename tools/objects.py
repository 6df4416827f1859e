"""Makes the packaged object kinds: python -m tools.objects [--sheet sheet.png].

Writes assets/objects.npz; `--sheet` draws every kind into a picture as well.
"""

import os
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

import s2e.assets
from s2e.envs.geometry.meshes import bake, merge, transform
from s2e.envs.geometry.scene import Mesh, Sky
from s2e.envs.raster.kernels import PackedMeshes, render_meshes
from s2e.envs.streets.objects import object_kinds, store_kinds
from tools import passing_shapes as passing
from tools import street_shapes as street
from tools.meshes import ground

ALL = np.inf
KINDS: dict[str, tuple[str, str, float, Callable[[], Mesh]]] = {
    "bench": ("seating", "furniture", ALL, street.bench),
    "stone_bench": ("seating", "furniture", ALL, street.stone_bench),
    "picnic_table": ("seating", "furniture", ALL, street.picnic_table),
    "log": ("seating", "obstacle", ALL, street.log),
    "bin": ("bins", "furniture", ALL, street.bin_),
    "post_bin": ("bins", "furniture", ALL, street.post_bin),
    "wheelie_bin": ("bins", "furniture", ALL, street.wheelie_bin),
    "blue_bin": ("bins", "furniture", ALL, lambda: street.wheelie_bin((0.2, 0.32, 0.55))),
    "dumpster": ("bins", "obstacle", ALL, street.dumpster),
    "bottle_bank": ("bins", "obstacle", ALL, street.bottle_bank),
    "bags": ("bins", "obstacle", ALL, street.bags),
    "bollard": ("poles", "pole", ALL, street.bollard),
    "stone_bollard": ("poles", "pole", ALL, street.stone_bollard),
    "lamp": ("poles", "pole", 4.4, street.lamp),
    "arm_lamp": ("poles", "pole", 6.0, street.arm_lamp),
    "traffic_light": ("poles", "pole", 2.0, street.traffic_light),
    "parking_meter": ("poles", "pole", ALL, street.parking_meter),
    "pillar": ("poles", "pole", ALL, street.pillar),
    "sign": ("signs", "sign", 1.65, street.sign),
    "no_entry": ("signs", "sign", 1.7, lambda: street.round_sign("no_entry", 10)),
    "warning": ("signs", "sign", 1.7, lambda: street.round_sign("yield", 3)),
    "street_name": ("signs", "sign", 2.3, street.street_name),
    "flag": ("signs", "sign", 0.85, street.flag),
    "a_board": ("signs", "sign", ALL, passing.a_board),
    "advert_column": ("signs", "sign", ALL, street.advert_column),
    "kiosk": ("signs", "sign", ALL, street.kiosk),
    "tree": ("plants", "vegetation", 2.0, street.tree),
    "old_tree": ("plants", "vegetation", 2.4, street.old_tree),
    "poplar": ("plants", "vegetation", 1.6, street.poplar),
    "conifer": ("plants", "vegetation", ALL, street.conifer),
    "blossom_tree": ("plants", "vegetation", 1.6, street.blossom_tree),
    "planter": ("plants", "vegetation", ALL, street.planter),
    "flower_box": ("plants", "vegetation", ALL, street.flower_box),
    "pot": ("plants", "vegetation", 0.75, street.pot),
    "shrub": ("plants", "vegetation", ALL, street.shrub),
    "hedge": ("plants", "vegetation", ALL, street.hedge),
    "rock": ("plants", "obstacle", ALL, street.rock),
    "hydrant": ("street", "obstacle", ALL, street.hydrant),
    "letterbox": ("street", "furniture", ALL, street.letterbox),
    "pillar_box": ("street", "furniture", ALL, street.pillar_box),
    "news_box": ("street", "furniture", ALL, street.news_box),
    "cabinet": ("street", "obstacle", ALL, street.cabinet),
    "vending_machine": ("street", "furniture", ALL, street.vending_machine),
    "phone_booth": ("street", "furniture", ALL, street.phone_booth),
    "bus_shelter": ("street", "furniture", 2.2, street.bus_shelter),
    "fountain": ("street", "obstacle", 0.55, street.fountain),
    "statue": ("street", "obstacle", 1.3, street.statue),
    "stairs": ("street", "stairs", ALL, passing.stairs),
    "table": ("cafe", "furniture", ALL, street.table),
    "bistro_table": ("cafe", "furniture", 0.7, street.bistro_table),
    "parasol": ("cafe", "furniture", 1.9, street.parasol),
    "chair": ("cafe", "furniture", ALL, street.chair),
    "car": ("vehicles", "vehicle", ALL, lambda: passing.car((0.75, 0.76, 0.78))),
    "red_car": ("vehicles", "vehicle", ALL, lambda: passing.car((0.62, 0.1, 0.1))),
    "blue_car": ("vehicles", "vehicle", ALL, lambda: passing.car((0.14, 0.25, 0.45))),
    "dark_car": ("vehicles", "vehicle", ALL, lambda: passing.car((0.13, 0.13, 0.14))),
    "van": ("vehicles", "vehicle", ALL, lambda: passing.van((0.86, 0.86, 0.85))),
    "yellow_van": ("vehicles", "vehicle", ALL, lambda: passing.van((0.92, 0.74, 0.2))),
    "trailer": ("vehicles", "vehicle", ALL, passing.cargo_trailer),
    "bicycle": ("cycles", "bicycle", ALL, passing.bicycle),
    "red_bicycle": ("cycles", "bicycle", ALL, lambda: passing.bicycle((0.7, 0.14, 0.12))),
    "scooter": ("cycles", "bicycle", ALL, passing.scooter),
    "moped": ("cycles", "bicycle", ALL, passing.moped),
    "bike_rack": ("cycles", "furniture", ALL, street.bike_rack),
    "cone": ("site", "obstacle", ALL, passing.traffic_cone),
    "barrel": ("site", "obstacle", ALL, passing.barrel),
    "barrier": ("site", "fence", ALL, passing.barrier),
    "jersey": ("site", "fence", ALL, passing.jersey),
    "water_barrier": ("site", "fence", ALL, passing.water_barrier),
    "scaffold": ("site", "obstacle", ALL, passing.scaffold),
    "sand_heap": ("site", "obstacle", ALL, passing.sand_heap),
    "gravel_heap": ("site", "obstacle", ALL, passing.gravel_heap),
    "bricks": ("site", "obstacle", ALL, passing.bricks),
    "pipes": ("site", "obstacle", ALL, passing.pipes),
    "mixer": ("site", "obstacle", ALL, passing.mixer),
    "wheelbarrow": ("site", "obstacle", ALL, passing.wheelbarrow),
    "cable_drum": ("site", "obstacle", ALL, passing.cable_drum),
    "toilet": ("site", "obstacle", ALL, passing.toilet),
    "fence": ("fences", "fence", ALL, passing.fence),
    "site_fence": ("fences", "fence", ALL, passing.site_fence),
    "wood_fence": ("fences", "fence", ALL, passing.wood_fence),
    "box": ("boxes", "obstacle", ALL, passing.carton),
    "cartons": ("boxes", "obstacle", ALL, passing.cartons),
    "pallet": ("boxes", "obstacle", ALL, passing.pallet),
    "crates": ("boxes", "obstacle", ALL, passing.crates),
    "suitcase": ("boxes", "obstacle", ALL, passing.suitcase),
    "stroller": ("boxes", "obstacle", ALL, passing.stroller),
    "shopping_cart": ("boxes", "obstacle", ALL, passing.cart),
    "ball": ("boxes", "obstacle", ALL, passing.ball),
    "stall": ("market", "furniture", 2.1, passing.stall),
    "green_stall": ("market", "furniture", 2.1, lambda: passing.stall((0.55, 0.95, 0.6))),
    "food_cart": ("market", "furniture", ALL, passing.food_cart),
}
"""Each kind's family, semantic class, height above which it casts a shadow of its own, and
shape."""


def made() -> list[tuple[str, str, str, float, Mesh]]:
    """Name, family, semantic class, split and mesh of every kind."""
    return [
        (name, family, semantic, split, shape())
        for name, (family, semantic, split, shape) in KINDS.items()
    ]


def sheet(path: str | os.PathLike) -> None:
    """Draws every packaged kind, twelve in a row."""
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
    lens = np.array([side * 0.8, side * 0.8, side / 2, side / 2])
    eyes, turns = np.array([v[0] for v in views]), np.array([v[1] for v in views])
    rgb = render_meshes(
        PackedMeshes.pack(meshes),
        np.arange(count),
        eyes,
        turns,
        np.tile(lens, (count, 1)),
        side,
        side,
        np.empty((count, 0, 7)),
        np.array([Sky().row()] * count),
    ).rgb
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
