"""The S2E network: history and goal tokens, self-attention, anchors that query them, three heads,
residual-attention adapters.

Source: S2E (arXiv 2507.22028), figure 2: context by self-attention, anchors as queries of
cross-attention blocks (`RAM`), heads for scores, trajectories and velocity scale. The encoder is
outside (`s2e/policy/encoder.py`): this module starts from its features.
"""

import copy
import dataclasses
import math

import torch
import torch.nn.functional as F
from torch import nn

from s2e.core.observation import ODOMETRY, RAYS, ROBOT_FIELDS
from s2e.policy.anchors import anchor_fan
from s2e.policy.config import PolicyConfig
from s2e.policy.mixture import Modes, clamped_gaussian


def mlp(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    """Two layers with GELU."""
    return nn.Sequential(nn.Linear(inputs, hidden), nn.GELU(), nn.Linear(hidden, outputs))


class Attention(nn.Module):
    """Multi-head attention of queries (B, Q, d) over context (B, L, d)."""

    def __init__(self, dim: int, heads: int):
        super().__init__()
        self.heads = heads
        self.query, self.key_value, self.out = (
            nn.Linear(dim, dim),
            nn.Linear(dim, 2 * dim),
            nn.Linear(dim, dim),
        )

    def forward(self, queries: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        """Attended values (B, Q, d)."""
        q = self.query(queries).unflatten(-1, (self.heads, -1))
        k, v = self.key_value(context).unflatten(-1, (2 * self.heads, -1)).chunk(2, -2)
        # Written out: for so few tokens torch's own attention takes twice as long on a CPU.
        weights = torch.softmax(torch.einsum("bqhd,blhd->bhql", q / math.sqrt(q.shape[-1]), k), -1)
        return self.out(torch.einsum("bhql,blhd->bqhd", weights, v).flatten(2))


class ResidualAttention(nn.Module):
    """The trainable branch beside a frozen attention block: zero linear, a copy of the block, zero
    linear.

    Both linears start at zero, so the branch adds exactly nothing until it is trained.
    """

    def __init__(self, frozen: Attention, dim: int):
        super().__init__()
        self.zero_in, self.copy, self.zero_out = (
            nn.Linear(dim, dim),
            copy.deepcopy(frozen),
            nn.Linear(dim, dim),
        )
        for layer in (self.zero_in, self.zero_out):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, queries: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        """What the branch adds (B, Q, d)."""
        return self.zero_out(self.copy(self.zero_in(queries), context))


class Block(nn.Module):
    """Pre-norm attention and feed-forward. With `context` it is cross-attention, without it
    self-attention.
    """

    def __init__(self, config: PolicyConfig):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(config.dim), nn.LayerNorm(config.dim)
        self.attention = Attention(config.dim, config.heads)
        self.ffn = mlp(config.dim, config.ffn_factor * config.dim, config.dim)
        self.adapter: ResidualAttention | None = None

    def forward(self, x: torch.Tensor, context: torch.Tensor | None = None) -> torch.Tensor:
        """(B, Q, d) to (B, Q, d)."""
        y = self.norm1(x)
        context = y if context is None else context
        attended = self.attention(y, context)
        if self.adapter is not None:
            attended = attended + self.adapter(y, context)
        x = x + attended
        return x + self.ffn(self.norm2(x))


def token_places(config: PolicyConfig) -> torch.Tensor:
    """(L - 3, 3) where each image token was seen: column and row (0: the image's centre, 1: its
    width, height), age in seconds.

    The newest frame's tokens come first, then the older frames, oldest first. A column token has no
    row (0), a pooled token neither. An older frame's age is a multiple of `frame_spacing_s`.
    """
    rows, columns = config.height_px // config.stride, config.width_px // config.stride
    rows, columns = {"columns": (1, columns), "grid": (rows, columns), "pooled": (1, 1)}[
        config.newest
    ]
    row, column = ((torch.arange(n) + 0.5) / n - 0.5 for n in (rows, columns))
    newest = torch.stack(
        [column.repeat(rows), row.repeat_interleave(columns), torch.zeros(rows * columns)], -1
    )
    age = config.frame_spacing_s * torch.arange(config.history - 1, 0, -1.0)
    return torch.cat([newest, torch.stack([torch.zeros_like(age), torch.zeros_like(age), age], -1)])


def sinusoids(places: torch.Tensor, dim: int) -> torch.Tensor:
    """(L, 3) places to (L, dim): sines and cosines of each coordinate, 1/4 to 2 periods a unit, so
    that near places are alike.
    """
    frequencies = 2 * math.pi * torch.logspace(math.log10(0.25), math.log10(2.0), -(-dim // 6))
    angles = (places[:, :, None] * frequencies).flatten(1)
    return torch.cat([angles.sin(), angles.cos()], -1)[:, :dim]


class PlacedHead(nn.Module):
    """Tokens (B, n, d), and more numbers (B, more), to (B, outputs): each token narrowed, then all
    of them together.

    Flattened, not averaged: which token sees an obstacle says at which bearing it is.
    """

    def __init__(
        self, tokens: int, dim: int, narrow: int, hidden: int, outputs: int, more: int = 0
    ):
        super().__init__()
        self.narrow, self.head = (
            nn.Linear(dim, narrow),
            mlp(tokens * narrow + more, hidden, outputs),
        )

    def forward(self, tokens: torch.Tensor, *more: torch.Tensor) -> torch.Tensor:
        """What the head says."""
        return self.head(torch.cat([F.gelu(self.narrow(tokens)).flatten(1), *more], 1))


class Reader(PlacedHead):
    """Context tokens (B, L, d) and odometry (B, ODOMETRY) to shifts of the anchors' queries (B, M,
    d); zero at first.

    What an adapter beside attention adds is a mixture of tokens, whichever they are; here each has
    its place. `answers` adds to what the three heads say of each anchor (B, M, 2 + 5 T); zero at
    first as well.
    """

    NARROW, HIDDEN = 32, 256

    def __init__(self, tokens: int, config: PolicyConfig):
        super().__init__(
            tokens, config.dim, self.NARROW, self.HIDDEN, config.anchors * config.dim, ODOMETRY
        )
        self.anchors = config.anchors
        self.answers = mlp(config.dim, config.dim, 2 + 5 * config.waypoints)
        for last in (self.head[-1], self.answers[-1]):
            nn.init.zeros_(last.weight)  # pyright: ignore[reportArgumentType]
            nn.init.zeros_(last.bias)  # pyright: ignore[reportArgumentType]

    def forward(self, tokens: torch.Tensor, *more: torch.Tensor) -> torch.Tensor:
        """What is added."""
        return super().forward(tokens, *more).unflatten(1, (self.anchors, -1))


class S2EPolicy(nn.Module):
    """Features, goal and ego state in; a mixture of anchored trajectories out.

    `context` is the part that fine-tuning leaves alone: it may be computed once and kept. `decode`
    is the part with adapters. `free_space` reads the context beside it, where `config.free_space`
    says so: an auxiliary task, for pretraining alone.

    Args:
        config: its shape.
        anchors: (M, 2) normalised endpoints, M = `config.anchors`; `anchor_fan` where None. They
            are part of the state, so a checkpoint brings its own.
    """

    anchors: torch.Tensor

    def __init__(self, config: PolicyConfig, anchors: torch.Tensor | None = None):
        super().__init__()
        self.config = config
        rows, columns = config.height_px // config.stride, config.width_px // config.stride
        channels = config.channels
        newest_tokens, newest_width = {
            "columns": (columns, rows * channels),
            "grid": (rows * columns, channels),
            "pooled": (1, channels),
        }[config.newest]
        self.newest_shape, self.older_shape = (
            (newest_tokens, newest_width),
            (config.history - 1, channels),
        )
        self.context_tokens = newest_tokens + config.history - 1 + 3
        deep = config.newest_hidden
        self.newest_in: nn.Module = (
            mlp(newest_width, deep, config.dim) if deep else nn.Linear(newest_width, config.dim)
        )
        self.older_in = nn.Linear(channels, config.dim)
        self.goal_in, self.ego_in = mlp(3, config.dim, config.dim), mlp(3, config.dim, config.dim)
        self.goal_mask = nn.Parameter(torch.zeros(config.dim))
        self.ego_mask = nn.Parameter(torch.zeros(config.dim))
        self.robot_in, self.robot_mask = (
            mlp(len(ROBOT_FIELDS), config.dim, config.dim),
            nn.Parameter(torch.zeros(config.dim)),
        )
        # Learned, but not from nothing: neighbours in the image and in time begin alike. Goal, ego
        # and robot have no place.
        places = sinusoids(token_places(config), config.dim)
        self.position = nn.Parameter(torch.cat([0.5 * places, 0.02 * torch.randn(3, config.dim)]))
        self.encoder = nn.ModuleList(Block(config) for _ in range(config.encoder_layers))
        self.context_norm = nn.LayerNorm(config.dim)
        if anchors is None:
            anchors = anchor_fan(config.anchors, config.anchor_half_angle_deg)
        if anchors.shape != (config.anchors, 2) or not anchors.isfinite().all():
            raise ValueError(
                f"anchors are {tuple(anchors.shape)}, expected ({config.anchors}, 2), finite"
            )
        self.register_buffer("anchors", anchors.detach().clone().float())
        self.anchor_in = mlp(2, config.dim, config.dim)
        self.decoder = nn.ModuleList(Block(config) for _ in range(config.decoder_layers))
        self.query_norm = nn.LayerNorm(config.dim)
        self.score_head = mlp(config.dim, config.dim, 1)
        self.trajectory_head = mlp(config.dim, config.dim, 5 * config.waypoints)
        self.speed_head = mlp(config.dim, config.dim, 1)
        sizes = config.free_space_narrow, config.free_space_hidden
        self.free_space_head = (
            PlacedHead(newest_tokens, config.dim, *sizes, RAYS) if config.free_space else None
        )
        self.reader = Reader(self.context_tokens, config) if config.reader else None

    def newest_tokens(self, features: torch.Tensor) -> torch.Tensor:
        """Features of the newest frame (B, rows, columns, C) to its tokens (B, n, w)."""
        if self.config.newest == "pooled":
            return features.mean((1, 2))[:, None]
        if self.config.newest == "grid":
            return features.flatten(1, 2)
        return features.permute(0, 2, 1, 3).flatten(2)

    def context(
        self,
        newest: torch.Tensor,
        older: torch.Tensor,
        goal: torch.Tensor,
        ego: torch.Tensor,
        robot: torch.Tensor,
        hide_goal: torch.Tensor | None = None,
        hide_ego: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """(B, L, d) context tokens.

        Args:
            newest: (B, n, w) tokens of the newest frame. older: (B, history - 1, C), oldest first.
            goal: (B, 3) clipped distance over `goal_clip_m`, cos and sin of the bearing. ego: (B,
                3) v, omega, last curvature.
            robot: (B, 6) `robot_token`; rows with NaN are replaced by a learned token.
            hide_goal, hide_ego: (B,) bool, replaces the token by a learned one.
        """
        goal_token, ego_token = self.goal_in(goal), self.ego_in(ego)
        if hide_goal is not None:
            goal_token = torch.where(hide_goal[:, None], self.goal_mask, goal_token)
        if hide_ego is not None:
            ego_token = torch.where(hide_ego[:, None], self.ego_mask, ego_token)
        unknown = robot.isnan().any(-1, keepdim=True)
        robot_token = torch.where(unknown, self.robot_mask, self.robot_in(robot.nan_to_num()))
        tokens = [
            self.newest_in(newest),
            self.older_in(older),
            goal_token[:, None],
            ego_token[:, None],
            robot_token[:, None],
        ]
        x = torch.cat(tokens, 1) + self.position
        for block in self.encoder:
            x = block(x)
        return self.context_norm(x)

    def decode(self, context: torch.Tensor, odometry: torch.Tensor | None = None) -> Modes:
        """Anchors query the context; three heads read the answers.

        Args:
            context: (B, L, d). odometry: (B, ODOMETRY) `odometry_token`, for policies that know it;
                None is not known.
        """
        config = self.config
        x = self.anchor_in(self.anchors).expand(len(context), -1, -1)
        if self.reader is not None:
            odometry = context.new_zeros(len(context), ODOMETRY) if odometry is None else odometry
            x = x + self.reader(context, odometry)
        for block in self.decoder:
            x = block(x, context)
        x = self.query_norm(x)
        score, trajectory, speed = self.score_head(x), self.trajectory_head(x), self.speed_head(x)
        if self.reader is not None:
            more = self.reader.answers(x).split([1, 5 * config.waypoints, 1], -1)
            score, trajectory, speed = score + more[0], trajectory + more[1], speed + more[2]
        offset, log_std, rho = clamped_gaussian(trajectory.unflatten(-1, (config.waypoints, 5)))
        along = torch.arange(1, config.waypoints + 1, device=x.device, dtype=x.dtype)
        # (M, T, 2): the head refines the straight way to the anchor
        straight = self.anchors[:, None] * along[:, None]
        return Modes(
            logits=score[..., 0],
            mean=straight + offset,
            log_std=log_std,
            rho=rho,
            speed=config.speed_floor + F.softplus(speed[..., 0]),
        )

    def free_space(self, context: torch.Tensor) -> torch.Tensor:
        """(B, RAYS) log metres to the first thing at `RAY_ANGLES`, from context tokens (B, L, d).

        Raises:
            ValueError: the policy was made without the head (`config.free_space`).
        """
        if self.free_space_head is None:
            raise ValueError("this policy has no free-space head; make it with free_space=True")
        return self.free_space_head(context[:, : self.newest_shape[0]])

    def add_reader(self) -> None:
        """Lets the context as a whole and what the robot did lately shift the anchors' queries: by
        nothing, until it is trained.
        """
        if self.reader is None:
            self.config = dataclasses.replace(self.config, reader=True)
            self.reader = Reader(self.context_tokens, self.config).to(self.anchors.device)

    def add_adapters(self) -> None:
        """Puts a residual-attention branch beside every cross-attention block and freezes all but
        these and the reader.
        """
        self.requires_grad_(False)
        for block in self.decoder:
            assert isinstance(block, Block)
            if block.adapter is None:
                block.adapter = ResidualAttention(block.attention, self.config.dim)
            block.adapter.requires_grad_(True)
        if self.reader is not None:
            self.reader.requires_grad_(True)

    @property
    def remembers(self) -> bool:
        """Whether what its free-space head saw is part of its odometry."""
        return self.config.reader and self.config.free_space

    @property
    def has_adapters(self) -> bool:
        """Whether `add_adapters` was called."""
        return any(isinstance(block, Block) and block.adapter is not None for block in self.decoder)
