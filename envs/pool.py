"""Pools of procedural scenes from consecutive seeds."""

from collections.abc import Callable, Sequence
from pathlib import Path

from tqdm import tqdm

from s2e.envs.build import build_scene
from s2e.envs.object_files import load_objects
from s2e.envs.scene import Scene


def training_scenes(
    count: int,
    seed: int,
    families: Sequence[str] | str = (),
    objects: Path | None = None,
    blocks: tuple[int, int] = (1, 1),
    density: float | None = None,
) -> list[Scene]:
    """A pool of scenes from consecutive seeds.

    Args:
        count: how many.
        seed: of the pool.
        families: layouts, one after the other; none is all that training draws from.
        objects: a GLB or OBJ file, or a folder of them, that stand in the way instead of the packaged things.
        blocks: how many blocks each scene joins.
        density: how much stands in the way, 0 to 1; None draws it for each scene.
    """
    build = scene_builder(families, objects, blocks, density)
    bar = tqdm(range(count), desc="scenes", unit="scene", disable=None if count > 32 else True, leave=False)
    return [build(1000 * (seed + 1) + i) for i in bar]


def scene_builder(
    families: Sequence[str] | str = (),
    objects: Path | None = None,
    blocks: tuple[int, int] = (1, 1),
    density: float | None = None,
) -> Callable[[int], Scene]:
    """`build_scene` with everything but the seed given; see `training_scenes`."""
    kinds = load_objects(objects) if objects else None
    families = (families,) if isinstance(families, str) else families

    def build(seed: int) -> Scene:
        family = families[seed % len(families)] if families else None
        return build_scene(seed, family, density, objects=kinds, blocks=blocks)

    return build
