"""What all worlds of a batch share."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from s2e.core.errors import require
from s2e.envs.rewards import reward_of
from s2e.envs.robots.fleet import CONTROL_S
from s2e.envs.robots.kinds import ROBOTS
from s2e.policy.config import PolicyConfig

OUTPUTS = ("rgb", "depth", "semantic", "instance", "map")
"""What worlds can show."""


@dataclass(frozen=True)
class WorldsConfig:
    """What all worlds of a batch share.

    Attributes:
        robot: a key of `ROBOTS`, several with commas between, or "any"; of several, each episode
            draws one.
        randomise: how far each episode's robot strays from its figures, 0 (not at all) to 1
            (ranges: `randomise` in `envs/robots/kinds.py`).
        physics: "kinematic" moves all worlds in one kernel; "mujoco" simulates wheels and contact.
        people: the most people a world can hold.
        react: whether people notice the robot.
        tracks: a file of recorded pedestrian tracks (ETH/UCY obsmat.txt) to replay instead of
            simulated people.
        controls_per_step: control periods of 0.1 s that one action lasts.
        collision: "ends" finishes the episode at the first contact; "counts" blocks the robot and
            counts contacts.
        reward: its terms, as `reward_of` reads them: compact, urban_sim, module:name, several with
            commas between.
        shaping: what a reward calls the distance to the goal: "straight" through the air, or
            "geodesic", the way there.
        outputs: what `observe` shows, of `OUTPUTS`.
        camera_noise: how strongly exposure, noise and blur vary from episode to episode, 0 to 1.
        splat_backend: "cpu" draws Gaussian splats with our own kernels, "gsplat" on an NVIDIA GPU
            (the extra gs).
        height_px, width_px: size of the images.
        goal_clip_m: distance that the goal's first number is clipped to and divided by.
    """

    robot: str = "jackal"
    randomise: float = 0.0
    physics: Literal["kinematic", "mujoco"] = "kinematic"
    people: int = 6
    react: bool = True
    tracks: Path | None = None
    controls_per_step: int = 2
    collision: Literal["ends", "counts"] = "ends"
    reward: str = "urban_sim"
    shaping: Literal["straight", "geodesic"] = "straight"
    outputs: tuple[str, ...] = ("rgb",)
    camera_noise: float = 0.0
    splat_backend: Literal["cpu", "gsplat"] = "cpu"
    height_px: int = 96
    width_px: int = 160
    goal_clip_m: float = 10.0

    def __post_init__(self):
        if isinstance(self.outputs, str):
            object.__setattr__(self, "outputs", (self.outputs,))
        for name in ("people", "controls_per_step", "height_px", "width_px"):
            require(
                isinstance(getattr(self, name), int),
                f"{name} is {getattr(self, name)!r}; give a whole number",
            )
        for name in self.robots:
            require(name in ROBOTS, f"robot {name!r} is not one of {', '.join(ROBOTS)} or any")
        require(
            bool(self.robots), f"robot is {self.robot!r}; name at least one of {', '.join(ROBOTS)}"
        )
        for name in self.outputs:
            require(name in OUTPUTS, f"outputs: {name!r} is not one of {', '.join(OUTPUTS)}")
        reward_of(self.reward)
        require(
            self.physics in ("kinematic", "mujoco"),
            f"physics {self.physics!r} is not one of kinematic, mujoco",
        )
        require(
            self.splat_backend in ("cpu", "gsplat"),
            f"splat_backend {self.splat_backend!r} is not one of cpu, gsplat",
        )
        require(
            self.collision in ("ends", "counts"),
            f"collision {self.collision!r} is not one of ends, counts",
        )
        require(
            self.shaping in ("straight", "geodesic"),
            f"shaping {self.shaping!r} is not one of straight, geodesic",
        )
        require(0 <= self.people <= 64, f"people is {self.people}; a world holds 0 to 64")
        for name in ("randomise", "camera_noise"):
            require(
                0 <= getattr(self, name) <= 1,
                f"{name} is {getattr(self, name)}; it must be between 0 and 1",
            )
        require(
            self.controls_per_step >= 1,
            f"controls_per_step is {self.controls_per_step}; it must be at least 1",
        )
        require(
            min(self.height_px, self.width_px) >= 1,
            f"images of {self.width_px} x {self.height_px} pixels; at least 1 x 1",
        )

    @property
    def robots(self) -> tuple[str, ...]:
        """The names in `robot`."""
        return (
            tuple(ROBOTS)
            if self.robot == "any"
            else tuple(n.strip() for n in self.robot.split(",") if n.strip())
        )

    @property
    def step_s(self) -> float:
        """Seconds that one action lasts."""
        return CONTROL_S * self.controls_per_step

    @classmethod
    def for_policy(cls, policy: PolicyConfig, **more: Any) -> "WorldsConfig":
        """What a policy needs to see: its image size, its step and its goal's unit; `more` sets the
        other fields.
        """
        return cls(
            controls_per_step=round(policy.frame_spacing_s / CONTROL_S),
            height_px=policy.height_px,
            width_px=policy.width_px,
            goal_clip_m=policy.goal_clip_m,
            **more,
        )
