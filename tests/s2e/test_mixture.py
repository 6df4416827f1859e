import math

import pytest
import torch
from torch.distributions import Categorical, MixtureSameFamily, MultivariateNormal

from s2e.mixture import (
    LOG_STD_MIN,
    Modes,
    WaypointMixture,
    anchor_fan,
    bivariate_nll,
    matching_loss,
    normalise,
    positive_mode,
)

B, M, T = 5, 4, 6


def modes(seed=0, dtype=torch.float64):
    g = torch.Generator().manual_seed(seed)

    def random(*shape):
        return torch.randn(*shape, generator=g, dtype=dtype)

    return Modes(
        random(B, M), random(B, M, T, 2), 0.3 * random(B, M, T, 2), 0.4 * torch.tanh(random(B, M, T)), 0.5 + random(B, M).abs()
    )


def covariance(log_std, rho):
    s = log_std.exp()
    off = rho * s[..., 0] * s[..., 1]
    return torch.stack([torch.stack([s[..., 0] ** 2, off], -1), torch.stack([off, s[..., 1] ** 2], -1)], -2)


def test_nll_is_that_of_torch():
    m = modes()
    x = torch.randn(B, M, T, 2, dtype=torch.float64)
    expected = -MultivariateNormal(m.mean, covariance(m.log_std, m.rho)).log_prob(x) - math.log(2 * math.pi)
    torch.testing.assert_close(bivariate_nll(x, m.mean, m.log_std, m.rho), expected, rtol=1e-12, atol=1e-12)


def test_nll_gradient_is_right():
    m = modes()
    x, mean, log_std, rho = (v[0, 0].clone().requires_grad_() for v in (torch.zeros_like(m.mean), m.mean, m.log_std, m.rho))
    assert torch.autograd.gradcheck(bivariate_nll, (x, mean, log_std, rho))


def test_action_density_is_the_mixture_of_scaled_modes():
    m, dt, k = modes(), 0.2, 3
    scale = (m.speed * dt)[..., None]
    components = MultivariateNormal(m.mean[:, :, k] * scale, covariance(m.log_std[:, :, k], m.rho[:, :, k]) * scale[..., None] ** 2)
    reference = MixtureSameFamily(Categorical(logits=m.logits), components)
    action = torch.randn(B, 2, dtype=torch.float64)
    torch.testing.assert_close(WaypointMixture.at(m, k, dt).log_prob(action), reference.log_prob(action), rtol=1e-12, atol=1e-10)


def test_samples_follow_the_density():
    one = WaypointMixture.at(modes(3), 2, 0.5)
    many = WaypointMixture(*(v[:1].expand(200_000, *v.shape[1:]) for v in (one.log_weight, one.mean, one.log_std, one.rho)))
    drawn = many.sample(torch.Generator().manual_seed(0))
    weight = one.log_weight[0].exp()
    mean = (weight[:, None] * one.mean[0]).sum(0)
    second = (weight[:, None, None] * (covariance(one.log_std[0], one.rho[0]) + one.mean[0, :, :, None] * one.mean[0, :, None])).sum(0)
    torch.testing.assert_close(drawn.mean(0), mean, atol=0.02, rtol=0)
    torch.testing.assert_close(torch.cov(drawn.T), second - mean[:, None] * mean, atol=0.05, rtol=0.05)


def test_entropy_bound_is_above_the_sampled_entropy_and_exact_for_one_mode():
    m = WaypointMixture.at(modes(1), 2, 0.5)
    many = WaypointMixture(*(v.repeat_interleave(4000, 0) for v in (m.log_weight, m.mean, m.log_std, m.rho)))
    sampled = -many.log_prob(many.sample(torch.Generator().manual_seed(0))).view(B, -1).mean(1)
    assert (m.entropy_bound() > sampled - 0.05).all()
    single = WaypointMixture(torch.zeros(B, 1).double(), m.mean[:, :1], m.log_std[:, :1], m.rho[:, :1])
    exact = MultivariateNormal(single.mean[:, 0], covariance(single.log_std, single.rho)[:, 0]).entropy()
    torch.testing.assert_close(single.entropy_bound(), exact)


def test_loss_matches_torch_distributions():
    m, anchors = modes(), anchor_fan(M, 60.0)
    path = torch.cumsum(0.2 + 0.1 * torch.randn(B, T, 2, dtype=torch.float64), 1)
    losses = matching_loss(m, path, anchors, 0.2, 0.1)
    steps, speed = normalise(path, 0.2, 0.1)
    h = positive_mode(steps, anchors)
    row = torch.arange(B)
    normal = MultivariateNormal(m.mean[row, h], covariance(m.log_std[row, h], m.rho[row, h]))
    nll = (-normal.log_prob(steps) - math.log(2 * math.pi)).sum(1).mean()
    score = -Categorical(logits=m.logits).log_prob(h).mean()
    torch.testing.assert_close(losses["loss"], nll + score + ((m.speed[row, h] - speed) ** 2).mean())


def test_normalise_and_metric_are_inverse():
    path = torch.cumsum(torch.rand(B, T, 2, dtype=torch.float64), 1)
    steps, speed = normalise(path, 0.2, 0.1)
    back = Modes(torch.zeros(B, 1), steps[:, None], steps[:, None], steps[:, None, :, 0], speed[:, None]).metric(0.2)
    torch.testing.assert_close(back[:, 0], path)
    assert torch.isfinite(normalise(torch.zeros(B, T, 2), 0.2, 0.1)[0]).all()


@pytest.mark.parametrize("count", [1, 2, 8, 64])
def test_positive_mode_is_the_nearest_direction(count):
    fan = anchor_fan(count, 60.0)
    angles = torch.linspace(-1.5, 1.5, 31)
    ends = 7 * torch.stack([angles.cos(), angles.sin()], -1)[:, None]
    own = torch.atan2(fan[:, 1], fan[:, 0])
    assert torch.equal(positive_mode(ends, fan), (angles[:, None] - own).abs().argmin(1))
    straight = positive_mode(torch.zeros(1, 3, 2), fan)
    assert own[straight].abs() <= own.abs().min() + 1e-6


def test_clamp_is_that_of_mtr():
    assert math.exp(LOG_STD_MIN) == pytest.approx(0.2, abs=1e-3)
