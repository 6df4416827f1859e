"""Photographs of made-up places with the cameras they were taken by."""

import json
from pathlib import Path

import numpy as np
from PIL import Image

from s2e.envs.geometry.scene import Splats
from s2e.envs.splats.render import prepare, render_splats
from s2e.envs.splats.views import Views

FIELD_OF_VIEW = 1.2


def room(count: int, seed: int = 0) -> Splats:
    """A floor and four walls, 8 x 6 x 2.5 m, in patches of colour; metres, z up, the floor at 0."""
    rng = np.random.default_rng(seed)
    width, depth, height = 8.0, 6.0, 2.5
    area = np.array([width * depth, *[width * height] * 2, *[depth * height] * 2])
    side = rng.choice(5, count, p=area / area.sum())
    u, v = rng.random(count), rng.random(count)
    places = [
        (u * width, v * depth, 0 * u),
        (u * width, 0 * u, v * height),
        (u * width, 0 * u + depth, v * height),
        (0 * u, u * depth, v * height),
        (0 * u + width, u * depth, v * height),
    ]
    means = np.stack([np.stack(place, 1) for place in places])[side, np.arange(count)]
    thin = np.array([2, 1, 1, 0, 0])[side]
    size = 0.75 * np.sqrt(area.sum() / count)
    scales = np.full((count, 3), size)
    scales[np.arange(count), thin] = 0.01
    patch = np.floor(means / 0.9).astype(int)
    tint = np.stack([np.sin(1.7 * patch @ [1, 2, 3] + phase) for phase in (0, 2, 4)], 1)
    quats = np.tile([1.0, 0.0, 0.0, 0.0], (count, 1))
    means, quats, scales, opacities, sh = (
        np.ascontiguousarray(a, dtype=np.float32)
        for a in (means, quats, scales, np.full(count, 0.95), (0.9 * tint)[:, None])
    )
    return Splats(means, quats, scales, opacities, sh)


def walk(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Positions (N, 3) and axes (N, 3, 3), right, down and forward in columns, of cameras on a
    round through the room, 1.4 m high."""
    rng = np.random.default_rng(seed)
    turn = np.linspace(0, 2 * np.pi, count, endpoint=False)
    eyes = np.stack([4 + 1.8 * np.cos(turn), 3 + 1.2 * np.sin(turn), np.full(count, 1.4)], 1)
    yaw, pitch = turn + np.pi / 2 + rng.normal(0, 0.8, count), 0.25 + rng.normal(0, 0.08, count)
    forward = np.stack(
        [np.cos(yaw) * np.cos(pitch), np.sin(yaw) * np.cos(pitch), -np.sin(pitch)], 1
    )
    right = np.stack([np.sin(yaw), -np.cos(yaw), 0 * yaw], 1)
    return eyes, np.stack([right, np.cross(forward, right), forward], 2)


def shoot(folder: Path, splats: Splats, count: int, size: tuple[int, int], rgbd: bool) -> None:
    """Writes photographs of a walk: posed RGB-D, or a transforms.json; `size` is width and
    height."""
    eyes, axes = walk(count)
    focal = size[0] / 2 / np.tan(FIELD_OF_VIEW / 2)
    lens = np.array([focal, focal, size[0] / 2, size[1] / 2])
    rgb, depth, _ = render_splats(
        prepare(splats), Views(eyes, axes.transpose(0, 2, 1), lens, size[1], size[0])
    )
    folder.mkdir(parents=True, exist_ok=True)
    frames = []
    for k in range(count):
        matrix = np.eye(4)
        matrix[:3, :3], matrix[:3, 3] = axes[k], eyes[k]
        name = f"frame-{k:06d}"
        Image.fromarray(rgb[k]).save(folder / f"{name}.color.png")
        if rgbd:
            np.savetxt(folder / f"{name}.pose.txt", matrix)
            millimetres = np.where(np.isfinite(depth[k]), depth[k] * 1000, 0).astype(np.uint16)
            Image.fromarray(millimetres).save(folder / f"{name}.depth.png")
        matrix[:3, :3] *= [1, -1, -1]
        frames.append({"file_path": f"{name}.color.png", "transform_matrix": matrix.tolist()})
    if rgbd:
        np.savetxt(
            folder / "camera-intrinsics.txt",
            [[lens[0], 0, lens[2]], [0, lens[1], lens[3]], [0, 0, 1]],
        )
    else:
        whole = {
            "fl_x": focal,
            "fl_y": focal,
            "cx": size[0] / 2,
            "cy": size[1] / 2,
            "w": size[0],
            "h": size[1],
            "frames": frames,
        }
        (folder / "transforms.json").write_text(json.dumps(whole))
