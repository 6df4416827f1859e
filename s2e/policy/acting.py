"""The acting side of a policy: keeps the frames' history as tokens and computes the frozen context,
for N worlds at once.
"""

from collections.abc import Callable

import numpy as np
import torch

from s2e.core.observation import Odometry
from s2e.policy.encoder import FrozenEncoder, VisualNet, pool_older
from s2e.policy.network import S2EPolicy


def in_chunks(
    function: Callable[..., torch.Tensor | np.ndarray], size: int, *arrays: np.ndarray
) -> list:
    """Calls a batched function on pieces of exactly `size` rows (the last is filled up) and returns
    the answers, cut to fit.

    What a row gives then does not depend on how many rows there are: matrix kernels round
    differently for different shapes.
    """
    parts = []
    for start in range(0, len(arrays[0]), size):
        rows = [a[start : start + size] for a in arrays]
        filled = [np.concatenate([r, np.repeat(r[-1:], size - len(r), 0)]) for r in rows]
        parts.append(function(*filled)[: len(rows[0])])
    return parts


class Actor:
    """Turns observations into context tokens, encoding each image once.

    Args:
        policy: in eval mode; only its frozen part (`context`) is used here.
        net: its encoder. worlds: N. device: torch device.
        chunk: rows that the network sees at once, whatever the number of worlds; 0 is all of them.
    """

    def __init__(
        self, policy: S2EPolicy, net: VisualNet, worlds: int, device: str = "cpu", chunk: int = 0
    ):
        self.chunk = chunk
        self.policy, self.device = policy.to(device), device
        self.encoder = FrozenEncoder(net, policy.config, device)
        steps, channels = policy.older_shape
        # What older frames keep, newest last, before the newest frame itself.
        self.older = np.zeros((worlds, steps, channels), np.float16)
        self.fresh = np.ones(worlds, dtype=bool)
        self.odometry = Odometry(worlds, policy.config.frame_spacing_s)

    def observe(
        self,
        rgb: np.ndarray,
        goal: np.ndarray,
        ego: np.ndarray,
        robot: np.ndarray,
        worlds: np.ndarray | None = None,
        hide_ego: np.ndarray | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """What `S2EPolicy.decode` asks of some worlds' newest observation, once a step: context (V,
        L, d) and odometry (V, ODOMETRY).

        Remembers the frame, and what is seen in it.

        Args:
            rgb: (V, H, W, 3) uint8. goal: (V, 3). ego: (V, 3). robot: (V, 6). worlds: (V,) which
                worlds; all where None.
            hide_ego: (V,) bool, in which the robot's own motion is hidden; in none where None.
        """
        features, older = self.remember(rgb, worlds)
        context = self.context(features, older, goal, ego, robot, hide_ego)
        return context, self.moved(context, ego, robot, worlds, hide_ego)

    def remember(
        self, rgb: np.ndarray, worlds: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Features (V, rows, columns, C) of some worlds' newest frames and what is kept of the
        older ones (V, history - 1, C), float16.

        The newest frame will be among the older ones of the next call.
        """
        worlds = np.arange(len(self.older)) if worlds is None else worlds
        features = (
            np.concatenate(in_chunks(self.encoder, self.chunk, rgb))
            if self.chunk and len(rgb)
            else self.encoder(rgb)
        )
        pooled = pool_older(features)
        new = self.fresh[worlds]
        self.older[worlds[new]] = pooled[
            new, None
        ]  # an episode begins as if the robot had stood there
        before = self.older[worlds]
        self.older[worlds] = np.concatenate([before[:, 1:], pooled[:, None]], 1)
        self.fresh[worlds] = False
        return features, before

    @torch.no_grad()
    def context(
        self,
        features: np.ndarray,
        older: np.ndarray,
        goal: np.ndarray,
        ego: np.ndarray,
        robot: np.ndarray,
        hide_ego: np.ndarray | None = None,
    ) -> torch.Tensor:
        """(V, L, d) from features (V, rows, columns, C) and older tokens (V, history - 1, C), both
        float16.
        """
        hide_ego = np.zeros(len(features), bool) if hide_ego is None else hide_ego
        if self.chunk and len(features) != self.chunk:
            return torch.cat(
                in_chunks(self.context, self.chunk, features, older, goal, ego, robot, hide_ego)
            )

        def tensor(array: np.ndarray) -> torch.Tensor:
            return torch.from_numpy(np.ascontiguousarray(array)).to(self.device).float()

        newest = self.policy.newest_tokens(tensor(features))
        hidden = tensor(hide_ego) > 0.5 if hide_ego.any() else None
        return self.policy.context(
            newest, tensor(older), tensor(goal), tensor(ego), tensor(robot), hide_ego=hidden
        )

    @torch.no_grad()
    def moved(
        self,
        context: torch.Tensor | None,
        ego: np.ndarray,
        robot: np.ndarray,
        worlds: np.ndarray | None = None,
        hide_ego: np.ndarray | None = None,
    ) -> torch.Tensor:
        """The odometry alone (V, ODOMETRY).

        `context` (V, L, d) is what is seen; None where the policy does not remember it. The rest is
        as in `observe`.
        """
        worlds = np.arange(len(self.older)) if worlds is None else worlds
        token = self.odometry.token(ego, worlds)
        if self.policy.remembers and context is not None and len(worlds):
            rows = in_chunks(self._free_m, self.chunk or len(worlds), context.cpu().numpy())
            self.odometry.saw(np.concatenate(rows), robot, worlds)
        if hide_ego is not None:
            token[hide_ego] = 0.0
        return torch.from_numpy(token).to(self.device)

    def _free_m(self, context: np.ndarray) -> np.ndarray:
        """(V, RAYS) metres of free space, as the policy sees it."""
        return self.policy.free_space(torch.from_numpy(context).to(self.device)).exp().cpu().numpy()

    def told(self, waypoints: np.ndarray, worlds: np.ndarray | None = None) -> None:
        """Where some worlds' robots (V, 2) were told to be in a second: part of the next step's
        odometry.
        """
        self.odometry.command[slice(None) if worlds is None else worlds] = waypoints

    def begin(self, worlds: np.ndarray) -> None:
        """Forgets the history of worlds that begin an episode."""
        self.fresh[worlds] = True
        self.odometry.begin(worlds)
