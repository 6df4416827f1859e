"""Scenes: a seed is a seed, what is free is connected, the ground is where it says, and what is held out stays out."""

from s2e.envs.build import build_scene


def test_a_seed_is_a_seed():
    first, again, other = build_scene(4), build_scene(4), build_scene(12)
    for name in ("vertices", "triangles", "uv", "texture", "shade", "semantic", "instance"):
        assert getattr(first.mesh, name).tobytes() == getattr(again.mesh, name).tobytes()
    assert first.occupancy.grid.tobytes() == again.occupancy.grid.tobytes() != other.occupancy.grid.tobytes()
    assert first.free_anchors.tobytes() == again.free_anchors.tobytes()
    assert first.sky == again.sky
