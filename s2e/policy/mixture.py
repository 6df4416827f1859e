"""The Gaussian-mixture mathematics of S2E: trajectories, the distribution-matching loss, the action
density.

Formulas: S2E (arXiv 2507.22028) for the mixture and the positive mode; MTR (arXiv 2209.13508) for
the bivariate negative log-likelihood, its clamps and the other positive mode. All functions are
pure and work on any batch shape named in their docstrings.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from s2e.policy.config import Rule

LOG_STD_MIN, LOG_STD_MAX = -1.609, 5.0  # MTR: standard deviation in [0.2, 150] units
RHO_MAX = 0.5
STANDING = 0.5  # steps: an endpoint nearer than this has no direction worth following
MIN_DISTANCE_M = 0.05  # before the logarithm of a free distance


@dataclass(frozen=True)
class Modes:
    """What the policy says: M anchored trajectories over T waypoints.

    Attributes:
        logits: (B, M) unnormalised log-scores.
        mean: (B, M, T, 2) in steps: 1 is the distance travelled in one waypoint interval at the
            mode's speed.
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


def clamped_gaussian(raw: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """What a network says of a waypoint (..., 5) as offset (..., 2), log_std (..., 2) and rho
    (...), within MTR's clamps.

    Outside a clamp the gradient is zero, as in MTR's `nll_loss_gmm_direct`.
    """
    return (
        raw[..., :2],
        raw[..., 2:4].clamp(LOG_STD_MIN, LOG_STD_MAX),
        raw[..., 4].clamp(-RHO_MAX, RHO_MAX),
    )


def normalise(
    trajectories: torch.Tensor, waypoint_dt_s: float, speed_floor: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Splits metric trajectories (B, T, 2) into steps (B, T, 2) and a speed (B,) in m/s (mean over
    the trajectory).
    """
    steps = torch.diff(trajectories, dim=1, prepend=torch.zeros_like(trajectories[:, :1]))
    speed = steps.norm(dim=-1).mean(1) / waypoint_dt_s
    return trajectories / (speed.clamp(min=speed_floor) * waypoint_dt_s)[:, None, None], speed


def positive_mode(
    steps: torch.Tensor, anchors: torch.Tensor, rule: Rule = "direction"
) -> torch.Tensor:
    """(B,) index of the anchor that fits the endpoint of (B, T, 2) best; standing still counts as a
    little straight on.

    Rule "direction" (S2E): the anchor whose direction is nearest; lengths of anchors do not count.
    Rule "endpoint" (MTR): the anchor nearest to the endpoint over T, where straight motion ends at
    distance 1. On anchors of equal length both are the same rule. Of two anchors equally near
    (straight ahead lies between the middle two of an even fan) the first is taken, the one to the
    right.
    """
    end = steps[:, -1]
    ahead = torch.tensor([STANDING, 0.0], dtype=end.dtype, device=end.device)
    end = torch.where(end.norm(dim=-1, keepdim=True) > STANDING, end, ahead)
    anchors = anchors.to(end)
    if rule == "endpoint":
        return (end[:, None] / steps.shape[1] - anchors).square().sum(-1).argmin(-1)
    return (F.normalize(end, dim=-1) @ F.normalize(anchors, dim=-1).T).argmax(-1)


def bivariate_nll(
    x: torch.Tensor, mean: torch.Tensor, log_std: torch.Tensor, rho: torch.Tensor
) -> torch.Tensor:
    """Negative log-density of a bivariate normal, without the constant log(2 pi): (..., 2), (...,
    2), (..., 2), (...) to (...).
    """
    z = (x - mean) * torch.exp(-log_std)
    one_minus = 1 - rho.square()
    quadratic = z[..., 0].square() + z[..., 1].square() - 2 * rho * z[..., 0] * z[..., 1]
    return log_std.sum(-1) + 0.5 * one_minus.log() + 0.5 * quadratic / one_minus


def matching_loss(
    modes: Modes,
    trajectories: torch.Tensor,
    anchors: torch.Tensor,
    waypoint_dt_s: float,
    speed_floor: float,
    rule: Rule = "direction",
) -> dict[str, torch.Tensor]:
    """The anchor-guided distribution-matching loss on metric ground truth (B, T, 2).

    L = -log N_h(w) - log q_h + (v_h - v)^2 for the positive mode h, averaged over the batch. The
    score term and the density are reported apart; the density is summed over waypoints as in MTR.
    `rule` finds h, see `positive_mode`.

    Returns:
        Scalars `loss` and its terms `nll`, `score`, `velocity`.
    """
    steps, speed = normalise(trajectories, waypoint_dt_s, speed_floor)
    h = positive_mode(steps, anchors, rule)
    row = torch.arange(len(h), device=h.device)
    nll = (
        bivariate_nll(steps, modes.mean[row, h], modes.log_std[row, h], modes.rho[row, h])
        .sum(-1)
        .mean()
    )
    score = F.cross_entropy(modes.logits, h)
    velocity = (modes.speed[row, h] - speed.clamp(min=speed_floor)).square().mean()
    return {"loss": nll + score + velocity, "nll": nll, "score": score, "velocity": velocity}


def regression_loss(
    modes: Modes, trajectories: torch.Tensor, waypoint_dt_s: float, speed_floor: float
) -> dict[str, torch.Tensor]:
    """Plain regression of one mode (M = 1) on metric ground truth (B, T, 2): what GNM and ViNT do
    with waypoints, as a baseline.

    L = |w_hat - w|^2 + (v_hat - v)^2, the first the mean over waypoints and coordinates of
    normalised trajectories. Deviations and scores learn nothing, so densities of a policy trained
    like this mean nothing.

    Returns:
        Scalars `loss` and its terms `mse`, `velocity`.

    Raises:
        ValueError: there is more than one mode; nothing would say which of them to regress.
    """
    if modes.mean.shape[1] != 1:
        raise ValueError(f"regression has one mode, not {modes.mean.shape[1]}")
    steps, speed = normalise(trajectories, waypoint_dt_s, speed_floor)
    mse = F.mse_loss(modes.mean[:, 0], steps)
    velocity = F.mse_loss(modes.speed[:, 0], speed.clamp(min=speed_floor))
    return {"loss": mse + velocity, "mse": mse, "velocity": velocity}


def free_space_loss(predicted: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """Mean error of predicted log metres (B, R) against true metres (B, R), smooth L1; NaN in the
    truth is not known.

    In the logarithm, because an error of 0.3 m matters at 0.5 m and not at 10 m. Where nothing is
    known the loss is 0 and so is its gradient.
    """
    known = ~truth.isnan()
    # The unknown is replaced before the loss, not masked after it: 0 * NaN would be NaN in the
    # backward pass.
    target = torch.where(known, truth, 1.0).clamp(min=MIN_DISTANCE_M).log()
    error = F.smooth_l1_loss(predicted, target.to(predicted), reduction="none", beta=0.1)
    return (error * known).sum() / known.sum().clamp(min=1)


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
        """The marginal of the trajectory mixture at one waypoint, in metres: each mode is scaled by
        its own speed.
        """
        scale = modes.speed * waypoint_dt_s
        return cls(
            modes.logits.log_softmax(-1),
            modes.mean[:, :, waypoint] * scale[..., None],
            modes.log_std[:, :, waypoint] + scale.log()[..., None],
            modes.rho[:, :, waypoint],
        )

    def log_prob(self, action: torch.Tensor, mode: torch.Tensor | None = None) -> torch.Tensor:
        """(B, 2) metres to (B,): log of the sum over modes, or of the share of one mode each, (B,):
        that is never more.
        """
        nll = bivariate_nll(action[:, None], self.mean, self.log_std, self.rho) + math.log(
            2 * math.pi
        )
        return _all_or_one(self.log_weight - nll, mode)

    def entropy_bound(self) -> torch.Tensor:
        """(B,) upper bound on the entropy (a mixture has no closed form): entropy of the scores
        plus the modes' mean entropy.
        """
        gaussian = (
            1 + math.log(2 * math.pi) + self.log_std.sum(-1) + 0.5 * (1 - self.rho.square()).log()
        )
        return (self.log_weight.exp() * (gaussian - self.log_weight)).sum(-1)

    def mode(self) -> torch.Tensor:
        """(B, 2) mean of the best-scored component."""
        return self.mean[
            torch.arange(len(self.mean), device=self.mean.device), self.log_weight.argmax(-1)
        ]

    def sample(self, generator: torch.Generator | None = None) -> torch.Tensor:
        """(B, 2) one draw: a component, then a correlated normal."""
        rows, device = len(self.mean), self.mean.device
        u = torch.rand(rows, generator=generator, dtype=self.mean.dtype).to(device)
        return self.draw(
            u, torch.randn(rows, 2, generator=generator, dtype=self.mean.dtype).to(device)
        )

    def draw(self, u: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        """(B, 2) the draw that chance gives: u (B,) uniform in 0..1 chooses the component, `noise`
        (B, 2) is standard normal.
        """
        chosen = (
            (self.log_weight.exp().cumsum(-1) < u[:, None])
            .sum(-1)
            .clamp(max=self.log_weight.shape[1] - 1)
        )
        row = torch.arange(len(chosen), device=chosen.device)
        rho = self.rho[row, chosen]
        z = torch.stack(
            [noise[:, 0], rho * noise[:, 0] + (1 - rho.square()).sqrt() * noise[:, 1]], -1
        )
        return self.mean[row, chosen] + self.log_std[row, chosen].exp() * z


def _all_or_one(parts: torch.Tensor, mode: torch.Tensor | None) -> torch.Tensor:
    return torch.logsumexp(parts, -1) if mode is None else parts.gather(1, mode[:, None])[:, 0]


def trajectory_log_prob(
    modes: Modes, way: torch.Tensor, waypoint_dt_s: float, mode: torch.Tensor | None = None
) -> torch.Tensor:
    """(B, T, 2) metres to (B,): log-density of a whole way under the exact mixture, where a mode's
    waypoints are independent.

    With `mode` (B,) it is the share of one mode each, as in `WaypointMixture.log_prob`.
    """
    scale = (modes.speed * waypoint_dt_s)[..., None, None]
    nll = bivariate_nll(
        way[:, None], modes.mean * scale, modes.log_std + scale.log(), modes.rho
    ) + math.log(2 * math.pi)
    return _all_or_one(modes.logits.log_softmax(-1) - nll.sum(-1), mode)
