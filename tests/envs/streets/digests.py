"""Scenes as one number."""

import hashlib

FIELDS = ("vertices", "triangles", "uv", "texture", "shade", "semantic", "instance")


def height_of(scene):
    assert scene.ground is not None
    return scene.ground.height


def digest(scene) -> str:
    h = hashlib.sha256()
    for name in FIELDS:
        h.update(getattr(scene.mesh, name).tobytes())
    for part in (scene.occupancy.grid, height_of(scene), scene.ground.surface, scene.free_anchors):
        h.update(part.tobytes())
    h.update(repr(scene.sky).encode())
    return h.hexdigest()
