"""Options that several commands have, with their help; each command has its own defaults."""

from typing import Annotated, Literal

from tyro.conf import arg

Device = Annotated[
    Literal["auto", "cpu", "cuda"],
    arg(help="Torch device: auto (CUDA where there is one), cpu or cuda."),
]
Seed = Annotated[int, arg(help="Seed of everything random.")]
OneRobot = Annotated[str, arg(help="jackal, coco, go2 or g1.")]
Robots = Annotated[
    str,
    arg(
        help="jackal, coco, go2, g1, several with commas between, or any: of several, each episode "
        "draws one."
    ),
]
Physics = Annotated[Literal["kinematic", "mujoco"], arg(help="What moves the robots.")]
SplatBackend = Annotated[
    Literal["cpu", "gsplat"],
    arg(help="What draws splats: our own kernels, or gsplat on an NVIDIA GPU (the extra gs)."),
]
