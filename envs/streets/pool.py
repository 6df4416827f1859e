"""Pools of procedural scenes from consecutive seeds."""

from collections.abc import Callable, Sequence
from pathlib import Path

from tqdm import tqdm

from s2e.core.errors import require
from s2e.envs.geometry.scene import Scene
from s2e.envs.streets.build import build_scene
from s2e.envs.streets.capture import as_capture
from s2e.envs.streets.object_files import load_objects

SILVER = 2**0.5


def training_scenes(
    count: int,
    seed: int,
    families: Sequence[str] | str = (),
    objects: Path | None = None,
    blocks: tuple[int, int] = (1, 1),
    density: float | None = None,
    splats: float = 0.0,
) -> list[Scene]:
    """A pool of scenes from consecutive seeds.

    Args:
        count: how many.
        seed: of the pool.
        families: layouts, one after the other; none is all that training draws from.
        objects: a GLB or OBJ file, or a folder of them, that stand in the way instead of the
            packaged things.
        blocks: how many blocks each scene joins.
        density: how much stands in the way, 0 to 1; None draws it for each scene.
        splats: this share of the scenes, spread evenly, are Gaussian splats as a capture would have
            them.

    Raises:
        UserError: a setting is out of range.
    """
    build = scene_builder(families, objects, blocks, density, splats)
    bar = tqdm(
        range(count), desc="scenes", unit="scene", disable=None if count > 32 else True, leave=False
    )
    return [build(1000 * (seed + 1) + i) for i in bar]


def scene_builder(
    families: Sequence[str] | str = (),
    objects: Path | None = None,
    blocks: tuple[int, int] = (1, 1),
    density: float | None = None,
    splats: float = 0.0,
) -> Callable[[int], Scene]:
    """`build_scene` with all but the seed given, `as_capture` for a share; see
    `training_scenes`.
    """
    require(
        0 <= splats <= 1, f"splats is {splats}; give the share of scenes that are splats, 0 to 1"
    )
    kinds = load_objects(objects) if objects else None
    families = (families,) if isinstance(families, str) else families

    def build(seed: int) -> Scene:
        family = families[seed % len(families)] if families else None
        scene = build_scene(seed, family, density, objects=kinds, blocks=blocks)
        return as_capture(scene, seed) if is_capture(seed, splats) else scene

    return build


def is_capture(seed: int, share: float) -> bool:
    """Whether the scene of a seed is one of the share that are splats.

    Multiples of the root of 2 are spread evenly over 0..1 whatever run of seeds is taken, and so is
    every eighth of them: all layouts (`seed` modulo their number chooses one) get their part.
    """
    return seed * SILVER % 1.0 < share
