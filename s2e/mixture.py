"""The Gaussian-mixture mathematics of S2E: trajectories, anchors, the distribution-matching loss, the action density.

Formulas: S2E (arXiv 2507.22028) for the mixture and the positive mode; MTR (arXiv 2209.13508) for the bivariate negative
log-likelihood and its clamps. All functions are pure and work on any batch shape named in their docstrings.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F

LOG_STD_MIN, LOG_STD_MAX = -1.609, 5.0  # MTR: standard deviation in [0.2, 150] units
RHO_MAX = 0.5


@dataclass(frozen=True)
class Modes:
    """What the policy says: M anchored trajectories over T waypoints.

    Attributes:
        logits: (B, M) unnormalised log-scores.
        mean: (B, M, T, 2) in steps: 1 is the distance travelled in one waypoint interval at the mode's speed.
        log_std: (B, M, T, 2) in the same unit, clamped.
        rho: (B, M, T) correlation, clamped.
        speed: (B, M) metres per second, positive: the velocity scale.
    """

    logits: torch.Tensor
    mean: torch.Tensor
    log_std: torch.Tensor
    rho: torch.Tensor
    speed: torch.Tensor

    def metric(self, waypoint_dt_s: float) -> torch.Tensor:
        """(B, M, T, 2) mean trajectories in metres."""
        return self.mean * (self.speed * waypoint_dt_s)[..., None, None]


def anchor_fan(anchors: int, half_angle_deg: float) -> torch.Tensor:
    """(M, 2) unit directions fanned evenly around straight ahead, from right to left; a single anchor is straight ahead."""
    if anchors < 1:
        raise ValueError(f"{anchors} anchors; at least 1 is needed")
    half = math.radians(half_angle_deg) if anchors > 1 else 0.0
    angles = torch.linspace(-half, half, anchors)
    return torch.stack([angles.cos(), angles.sin()], -1)


def normalise(trajectories: torch.Tensor, waypoint_dt_s: float, speed_floor: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Splits metric trajectories (B, T, 2) into steps (B, T, 2) and a speed (B,) in m/s (mean over the trajectory)."""
    steps = torch.diff(trajectories, dim=1, prepend=torch.zeros_like(trajectories[:, :1]))
    speed = steps.norm(dim=-1).mean(1) / waypoint_dt_s
    return trajectories / (speed.clamp(min=speed_floor) * waypoint_dt_s)[:, None, None], speed


def positive_mode(steps: torch.Tensor, anchors: torch.Tensor) -> torch.Tensor:
    """(B,) index of the anchor whose direction fits the endpoint of (B, T, 2) best; standing still counts as straight on."""
    end = steps[:, -1]
    ahead = torch.tensor([1.0, 0.0], dtype=end.dtype, device=end.device)
    direction = torch.where(end.norm(dim=-1, keepdim=True) > 0.5, end, ahead)
    return (F.normalize(direction, dim=-1) @ anchors.to(end).T).argmax(-1)


def bivariate_nll(
    x: torch.Tensor, mean: torch.Tensor, log_std: torch.Tensor, rho: torch.Tensor
) -> torch.Tensor:
    """Negative log-density of a bivariate normal, without the constant log(2 pi): (..., 2), (..., 2), (..., 2), (...) to (...)."""
    z = (x - mean) * torch.exp(-log_std)
    one_minus = 1 - rho.square()
    quadratic = z[..., 0].square() + z[..., 1].square() - 2 * rho * z[..., 0] * z[..., 1]
    return log_std.sum(-1) + 0.5 * one_minus.log() + 0.5 * quadratic / one_minus


def matching_loss(
    modes: Modes, trajectories: torch.Tensor, anchors: torch.Tensor, waypoint_dt_s: float, speed_floor: float
) -> dict[str, torch.Tensor]:
    """The anchor-guided distribution-matching loss on metric ground truth (B, T, 2).

    L = -log N_h(w) - log q_h + (v_h - v)^2 for the positive mode h, averaged over the batch. The score term and the density are
    reported apart; the density is summed over waypoints as in MTR.
    """
    steps, speed = normalise(trajectories, waypoint_dt_s, speed_floor)
    h = positive_mode(steps, anchors)
    row = torch.arange(len(h), device=h.device)
    nll = bivariate_nll(steps, modes.mean[row, h], modes.log_std[row, h], modes.rho[row, h]).sum(-1).mean()
    score = F.cross_entropy(modes.logits, h)
    velocity = (modes.speed[row, h] - speed.clamp(min=speed_floor)).square().mean()
    return {"loss": nll + score + velocity, "nll": nll, "score": score, "velocity": velocity}


@dataclass(frozen=True)
class WaypointMixture:
    """The exact density of one metric waypoint: a mixture over modes of scaled bivariate normals.

    Attributes:
        log_weight: (B, M) normalised log-scores.
        mean: (B, M, 2) metres. log_std: (B, M, 2), log metres. rho: (B, M).
    """

    log_weight: torch.Tensor
    mean: torch.Tensor
    log_std: torch.Tensor
    rho: torch.Tensor

    @classmethod
    def at(cls, modes: Modes, waypoint: int, waypoint_dt_s: float) -> "WaypointMixture":
        """The marginal of the trajectory mixture at one waypoint, in metres: each mode is scaled by its own speed."""
        scale = modes.speed * waypoint_dt_s
        return cls(
            modes.logits.log_softmax(-1),
            modes.mean[:, :, waypoint] * scale[..., None],
            modes.log_std[:, :, waypoint] + scale.log()[..., None],
            modes.rho[:, :, waypoint],
        )

    def log_prob(self, action: torch.Tensor) -> torch.Tensor:
        """(B, 2) metres to (B,): log of the sum over modes."""
        nll = bivariate_nll(action[:, None], self.mean, self.log_std, self.rho) + math.log(2 * math.pi)
        return torch.logsumexp(self.log_weight - nll, -1)

    def entropy_bound(self) -> torch.Tensor:
        """(B,) upper bound on the entropy (a mixture has no closed form): entropy of the scores plus the modes' mean entropy."""
        gaussian = 1 + math.log(2 * math.pi) + self.log_std.sum(-1) + 0.5 * (1 - self.rho.square()).log()
        return (self.log_weight.exp() * (gaussian - self.log_weight)).sum(-1)

    def mode(self) -> torch.Tensor:
        """(B, 2) mean of the best-scored component."""
        return self.mean[torch.arange(len(self.mean), device=self.mean.device), self.log_weight.argmax(-1)]

    def sample(self, generator: torch.Generator | None = None) -> torch.Tensor:
        """(B, 2) one draw: a component, then a correlated normal."""
        chosen = torch.multinomial(self.log_weight.exp(), 1, generator=generator)[:, 0]
        row = torch.arange(len(chosen), device=chosen.device)
        noise = torch.randn(len(chosen), 2, generator=generator, dtype=self.mean.dtype).to(self.mean.device)
        rho = self.rho[row, chosen]
        z = torch.stack([noise[:, 0], rho * noise[:, 0] + (1 - rho.square()).sqrt() * noise[:, 1]], -1)
        return self.mean[row, chosen] + self.log_std[row, chosen].exp() * z
