"""The acting side of a policy: keeps the frames' history as tokens and computes the frozen context, for N worlds at once."""

import numpy as np
import torch

from s2e.encoder import FeatureNet, FrozenEncoder, pool_older
from s2e.policy import S2EPolicy


class Actor:
    """Turns observations into context tokens, encoding each image once.

    Args:
        policy: in eval mode; only its frozen part (`context`) is used here.
        net: its encoder. worlds: N. device: torch device.
        images_per_call: batch of the encoder.
    """

    def __init__(self, policy: S2EPolicy, net: FeatureNet, worlds: int, device: str = "cpu"):
        self.policy, self.device = policy.to(device), device
        self.encoder = FrozenEncoder(net, policy.config, device)
        steps, channels = policy.older_shape
        # What older frames keep, newest last, before the newest frame itself.
        self.older = np.zeros((worlds, steps, channels), np.float16)
        self.fresh = np.ones(worlds, dtype=bool)

    def observe(self, rgb: np.ndarray, goal: np.ndarray, ego: np.ndarray, worlds: np.ndarray | None = None) -> torch.Tensor:
        """The context of some worlds' newest observation (V, L, d); remembers the frame.

        Args:
            rgb: (V, H, W, 3) uint8. goal: (V, 3). ego: (V, 3). worlds: (V,) which worlds; all where None.
        """
        worlds = np.arange(len(self.older)) if worlds is None else worlds
        features = self.encoder(rgb)
        pooled = pool_older(features)
        new = self.fresh[worlds]
        self.older[worlds[new]] = pooled[new, None]  # an episode begins as if the robot had stood there
        context = self.context(features, self.older[worlds], goal, ego)
        self.older[worlds] = np.concatenate([self.older[worlds][:, 1:], pooled[:, None]], 1)
        self.fresh[worlds] = False
        return context

    def peek(self, rgb: np.ndarray, goal: np.ndarray, ego: np.ndarray, worlds: np.ndarray) -> torch.Tensor:
        """The context of an observation that ends an episode; remembers nothing."""
        return self.context(self.encoder(rgb), self.older[worlds], goal, ego)

    @torch.no_grad()
    def context(self, features: np.ndarray, older: np.ndarray, goal: np.ndarray, ego: np.ndarray) -> torch.Tensor:
        """(V, L, d) from features (V, rows, columns, C) and older tokens (V, history - 1, C), both float16."""

        def tensor(array: np.ndarray) -> torch.Tensor:
            return torch.from_numpy(np.ascontiguousarray(array)).to(self.device).float()

        newest = self.policy.newest_tokens(tensor(features))
        return self.policy.context(newest, tensor(older), tensor(goal), tensor(ego))

    def begin(self, worlds: np.ndarray) -> None:
        """Forgets the history of worlds that begin an episode."""
        self.fresh[worlds] = True
