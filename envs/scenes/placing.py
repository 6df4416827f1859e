"""Puts what an episode lists into its scene."""

import dataclasses

import numpy as np

from s2e.envs.geometry.ground import floor_height
from s2e.envs.geometry.meshes import bake, merge, transform
from s2e.envs.geometry.scene import Episode, Scene
from s2e.envs.streets.objects import obstacle_mesh, stamp


def place_obstacles(scene: Scene, episode: Episode) -> Scene:
    """The scene with an episode's obstacles in its mesh and occupancy, in the scene's own light.

    Raises:
        UserError: there is no such kind of obstacle.
    """
    if not episode.obstacles:
        return scene
    occupancy, placed = scene.occupancy, []
    for k, o in enumerate(episode.obstacles):
        occupancy = stamp(occupancy, o.kind, o.x, o.y, o.yaw)
        mesh = obstacle_mesh(o.kind)
        thing = np.full(
            len(mesh.triangles), int(scene.mesh.instance.max(initial=0)) + 1 + k, dtype=np.int32
        )
        height = floor_height(scene, o.x, o.y)
        placed.append(transform(dataclasses.replace(mesh, instance=thing), o.x, o.y, o.yaw, height))
    light = np.array(scene.sky.sun), np.array(scene.sky.sun_rgb), np.array(scene.sky.ambient_rgb)
    return dataclasses.replace(
        scene, occupancy=occupancy, mesh=merge([scene.mesh, bake(merge(placed), *light)])
    )
