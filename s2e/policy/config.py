"""What a policy is made of: one frozen dataclass, two presets."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from s2e.core.errors import UserError, require

ENCODERS = ("efficientnet-lite0", "efficientnet-b0")
LATER = ("newest_hidden", "free_space_narrow", "free_space_hidden", "reader")
"""Fields that checkpoints of earlier versions lack: those are as the defaults say."""
Rule = Literal["direction", "endpoint"]
"""Which anchor a sample trains: the nearest in direction, or in endpoint (`s2e.policy.mixture`)."""


@dataclass(frozen=True)
class PolicyConfig:
    """Shape of the S2E network. Lengths in metres, times in seconds, images in pixels.

    The `paper` preset follows S2E (arXiv 2507.22028): 320x640, EfficientNet-B0, five frames, 768-d,
    4 + 4 layers, 8 anchors, one pooled token a frame. The `laptop` preset keeps the place of a
    feature in the image for the newest frame.
    """

    height_px: int = 96
    width_px: int = 160
    # or efficientnet-b0, or the path of an ONNX file (see s2e/policy/encoder.py)
    encoder: str = "efficientnet-lite0"
    stride: int = 16  # pixels a feature: the encoder's stage 8, 16 or 32; an ONNX file has its own
    channels: int = 112  # of that stage: 40, 112, 320; an ONNX file has its own
    # the newest frame's tokens: "columns" (rows stacked into each), "grid" (each feature), "pooled"
    # (one)
    newest: str = "columns"
    train_encoder: bool = False  # pretraining may train the encoder; fine-tuning never does
    history: int = 5  # frames, the newest among them
    frame_spacing_s: float = (
        0.2  # between them: five frames look 0.8 s back, at any frame rate of the video
    )
    dim: int = 128
    heads: int = 4
    encoder_layers: int = 2
    decoder_layers: int = 2
    ffn_factor: int = 2
    # width of a hidden layer between the newest frame's features and its tokens; 0 is one linear
    # layer
    newest_hidden: int = 0
    free_space: bool = (
        False  # an auxiliary head predicts the distance to the first thing at 16 bearings
    )
    free_space_narrow: int = 16  # numbers that the head keeps of each token
    free_space_hidden: int = 64  # width of its hidden layer
    # a branch that fine-tuning adds: it reads the whole context and what the robot did lately
    reader: bool = False
    anchors: int = 8
    anchor_half_angle_deg: float = 60.0
    waypoints: int = 10
    waypoint_dt_s: float = 0.2
    action_waypoint: int = 4  # index of the waypoint that is the action: 1.0 s ahead
    goal_clip_m: float = 10.0
    speed_floor: float = 0.1  # m/s; slower trajectories are normalised by this

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON values. Of an encoder's path only the name: the file travels with the
        checkpoint.
        """
        return {**dataclasses.asdict(self), "encoder": Path(self.encoder).name}

    @classmethod
    def from_dict(cls, values: dict[str, Any], where: str) -> "PolicyConfig":
        """Reads what `to_dict` wrote; `where` names the file in errors."""
        fields = {f.name: f.type for f in dataclasses.fields(cls)}
        unknown, missing = (
            sorted(set(values) - set(fields)),
            sorted(set(fields) - set(values) - set(LATER)),
        )
        if unknown or missing:
            raise UserError(
                f"{where}: policy has unknown fields {unknown} and lacks {missing}; use a matching "
                "version"
            )
        for name, value in values.items():
            default = getattr(cls, name)
            if isinstance(value, bool) != isinstance(default, bool) or not isinstance(
                value, (type(default), int)
            ):
                raise UserError(
                    f"{where}: field {name} is {value!r}, expected {type(default).__name__}"
                )
        config = cls(**values)
        config.check(where)
        return config

    def check(self, where: str) -> None:
        """Refuses shapes that no network can have; `where` names the file or option."""
        for name in (
            "height_px",
            "width_px",
            "stride",
            "channels",
            "history",
            "dim",
            "heads",
            "encoder_layers",
            "decoder_layers",
            "ffn_factor",
            "anchors",
            "waypoints",
            "free_space_narrow",
            "free_space_hidden",
        ):
            require(
                1 <= getattr(self, name) <= 8192,
                f"{where}: field {name} is {getattr(self, name)}; 1 to 8192 is possible",
            )
        for name in (
            "frame_spacing_s",
            "waypoint_dt_s",
            "goal_clip_m",
            "speed_floor",
            "anchor_half_angle_deg",
        ):
            value = getattr(self, name)
            require(
                0 < value < 1e4, f"{where}: field {name} is {value}; it must be a positive number"
            )
        require(
            0 <= self.newest_hidden <= 8192,
            f"{where}: field newest_hidden is {self.newest_hidden}; 0 to 8192 is possible",
        )
        require(
            self.dim % self.heads == 0,
            f"{where}: dim {self.dim} is not a multiple of heads {self.heads}",
        )
        require(
            0 <= self.action_waypoint < self.waypoints,
            f"{where}: action_waypoint {self.action_waypoint} is not a waypoint",
        )
        require(
            self.newest in ("columns", "grid", "pooled"),
            f"{where}: newest is {self.newest!r}; columns, grid or pooled",
        )
        own = self.encoder.endswith(".onnx")
        known = own or self.encoder in ENCODERS
        require(
            known,
            f"{where}: encoder {self.encoder!r} is unknown; {', '.join(ENCODERS)} or the path of "
            "an .onnx file",
        )
        require(
            not (own and self.train_encoder),
            f"{where}: train_encoder with {self.encoder}; an ONNX encoder stays frozen",
        )
        require(
            self.frame_spacing_s >= 0.1,
            f"{where}: frame_spacing_s is {self.frame_spacing_s}; 0.1 at least",
        )
        fits = self.height_px % self.stride == 0 and self.width_px % self.stride == 0
        require(
            fits,
            f"{where}: stride {self.stride} does not divide the image "
            f"{self.height_px}x{self.width_px}",
        )
        require(
            own or self.stride in (8, 16, 32),
            f"{where}: stride {self.stride} of {self.encoder}; it has 8, 16 and 32",
        )


PRESETS = {
    "laptop": PolicyConfig(newest_hidden=256, free_space_narrow=32, free_space_hidden=128),
    "paper": PolicyConfig(
        height_px=320,
        width_px=640,
        encoder="efficientnet-b0",
        stride=32,
        channels=320,
        newest="pooled",
        train_encoder=True,
        dim=768,
        heads=12,
        encoder_layers=4,
        decoder_layers=4,
        ffn_factor=4,
    ),
}
