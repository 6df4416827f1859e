import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.distributions import Categorical, Independent, MixtureSameFamily, MultivariateNormal

from s2e.policy.anchors import anchor_fan
from s2e.policy.mixture import (
    LOG_STD_MAX,
    LOG_STD_MIN,
    RHO_MAX,
    Modes,
    WaypointMixture,
    bivariate_nll,
    clamped_gaussian,
    free_space_loss,
    matching_loss,
    normalise,
    positive_mode,
    regression_loss,
    trajectory_log_prob,
)

B, M, T = 5, 4, 6


def modes(seed=0, dtype=torch.float64):
    g = torch.Generator().manual_seed(seed)

    def random(*shape):
        return torch.randn(*shape, generator=g, dtype=dtype)

    return Modes(
        random(B, M),
        random(B, M, T, 2),
        0.3 * random(B, M, T, 2),
        0.4 * torch.tanh(random(B, M, T)),
        0.5 + random(B, M).abs(),
    )


def covariance(log_std, rho):
    s = log_std.exp()
    off = rho * s[..., 0] * s[..., 1]
    return torch.stack(
        [torch.stack([s[..., 0] ** 2, off], -1), torch.stack([off, s[..., 1] ** 2], -1)], -2
    )


def test_nll_is_that_of_torch():
    m = modes()
    x = torch.randn(B, M, T, 2, dtype=torch.float64)
    expected = -MultivariateNormal(m.mean, covariance(m.log_std, m.rho)).log_prob(x) - math.log(
        2 * math.pi
    )
    torch.testing.assert_close(
        bivariate_nll(x, m.mean, m.log_std, m.rho), expected, rtol=1e-12, atol=1e-12
    )


def test_nll_gradient_is_right():
    m = modes()
    x, mean, log_std, rho = (
        v[0, 0].clone().requires_grad_()
        for v in (torch.zeros_like(m.mean), m.mean, m.log_std, m.rho)
    )
    assert torch.autograd.gradcheck(bivariate_nll, (x, mean, log_std, rho))


def test_action_density_is_the_mixture_of_scaled_modes():
    m, dt, k = modes(), 0.2, 3
    scale = (m.speed * dt)[..., None]
    components = MultivariateNormal(
        m.mean[:, :, k] * scale,
        covariance(m.log_std[:, :, k], m.rho[:, :, k]) * scale[..., None] ** 2,
    )
    reference = MixtureSameFamily(Categorical(logits=m.logits), components)
    action = torch.randn(B, 2, dtype=torch.float64)
    torch.testing.assert_close(
        WaypointMixture.at(m, k, dt).log_prob(action),
        reference.log_prob(action),
        rtol=1e-12,
        atol=1e-10,
    )


def test_density_of_a_way_is_the_mixture_of_scaled_independent_waypoints():
    m, dt = modes(), 0.2
    scale = (m.speed * dt)[..., None, None]
    waypoints = MultivariateNormal(
        m.mean * scale, covariance(m.log_std, m.rho) * scale[..., None] ** 2
    )
    reference = MixtureSameFamily(Categorical(logits=m.logits), Independent(waypoints, 1))
    way = torch.randn(B, T, 2, dtype=torch.float64)
    torch.testing.assert_close(
        trajectory_log_prob(m, way, dt), reference.log_prob(way), rtol=1e-12, atol=1e-10
    )


def test_shares_of_the_modes_add_up_to_the_density():
    said, where = modes(), torch.randn(B, 2, dtype=torch.float64)
    mixture, way = WaypointMixture.at(said, 3, 0.2), torch.randn(B, T, 2, dtype=torch.float64)
    each = [torch.full((B,), k) for k in range(M)]
    torch.testing.assert_close(
        sum(mixture.log_prob(where, k).exp() for k in each), mixture.log_prob(where).exp()
    )
    shares = torch.stack([trajectory_log_prob(said, way, 0.2, k) for k in each])
    torch.testing.assert_close(shares.logsumexp(0), trajectory_log_prob(said, way, 0.2))


def test_samples_follow_the_density():
    one = WaypointMixture.at(modes(3), 2, 0.5)
    many = WaypointMixture(
        *(
            v[:1].expand(200_000, *v.shape[1:])
            for v in (one.log_weight, one.mean, one.log_std, one.rho)
        )
    )
    drawn = many.sample(torch.Generator().manual_seed(0))
    weight = one.log_weight[0].exp()
    mean = (weight[:, None] * one.mean[0]).sum(0)
    second = (
        weight[:, None, None]
        * (covariance(one.log_std[0], one.rho[0]) + one.mean[0, :, :, None] * one.mean[0, :, None])
    ).sum(0)
    torch.testing.assert_close(drawn.mean(0), mean, atol=0.02, rtol=0)
    torch.testing.assert_close(
        torch.cov(drawn.T), second - mean[:, None] * mean, atol=0.05, rtol=0.05
    )


def test_a_draw_has_the_covariance_of_its_mode():
    """A draw is linear in its noise, and the matrix of that map is a root of the covariance."""
    mixture = WaypointMixture.at(modes(), 2, 0.2)
    for h in range(M):
        only = torch.where(torch.arange(M) == h, 0.0, -math.inf).expand(B, M).double()
        one = WaypointMixture(only, mixture.mean, mixture.log_std, mixture.rho)
        middle = torch.full((B,), 0.5, dtype=torch.float64)
        columns = [
            one.draw(middle, torch.eye(2, dtype=torch.float64)[k].expand(B, 2)) - one.mean[:, h]
            for k in range(2)
        ]
        # a triangle with a positive diagonal: noise ahead is ahead
        root = torch.linalg.cholesky(covariance(one.log_std[:, h], one.rho[:, h]))
        torch.testing.assert_close(torch.stack(columns, -1), root, rtol=1e-12, atol=1e-12)


def test_entropy_bound_is_above_the_sampled_entropy_and_exact_for_one_mode():
    m = WaypointMixture.at(modes(1), 2, 0.5)
    many = WaypointMixture(
        *(v.repeat_interleave(4000, 0) for v in (m.log_weight, m.mean, m.log_std, m.rho))
    )
    sampled = -many.log_prob(many.sample(torch.Generator().manual_seed(0))).view(B, -1).mean(1)
    assert (m.entropy_bound() > sampled - 0.05).all()
    single = WaypointMixture(
        torch.zeros(B, 1).double(), m.mean[:, :1], m.log_std[:, :1], m.rho[:, :1]
    )
    exact = MultivariateNormal(
        single.mean[:, 0], covariance(single.log_std, single.rho)[:, 0]
    ).entropy()
    torch.testing.assert_close(single.entropy_bound(), exact)


def walks(seed=0, batch=B):
    g = torch.Generator().manual_seed(seed)
    return torch.cumsum(0.2 + 0.1 * torch.randn(batch, T, 2, dtype=torch.float64, generator=g), 1)


@pytest.mark.parametrize("rule", ["direction", "endpoint"])
def test_every_term_of_the_loss_is_that_of_torch_distributions(rule):
    m, path = modes(), walks()
    anchors = (
        anchor_fan(M, 60.0).double()
        * torch.tensor([0.4, 1.0, 0.7, 0.9], dtype=torch.float64)[:, None]
    )
    losses = matching_loss(m, path, anchors, 0.2, 0.1, rule)
    steps, speed = normalise(path, 0.2, 0.1)
    h = positive_mode(steps, anchors, rule)
    row = torch.arange(B)
    normal = MultivariateNormal(m.mean[row, h], covariance(m.log_std[row, h], m.rho[row, h]))
    nll = (-normal.log_prob(steps) - math.log(2 * math.pi)).sum(1).mean()
    score = -Categorical(logits=m.logits).log_prob(h).mean()
    torch.testing.assert_close(losses["nll"], nll, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(losses["score"], score, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(
        losses["velocity"], ((m.speed[row, h] - speed) ** 2).mean(), rtol=1e-12, atol=1e-12
    )
    torch.testing.assert_close(
        losses["loss"], losses["nll"] + losses["score"] + losses["velocity"], rtol=0, atol=0
    )


@pytest.mark.parametrize("term", ["loss", "nll", "score", "velocity"])
@pytest.mark.parametrize("rule", ["direction", "endpoint"])
def test_gradient_of_every_term_is_right(rule, term):
    m, path, anchors = modes(), walks(batch=2), anchor_fan(M, 60.0).double()
    names = ("logits", "mean", "log_std", "rho", "speed")
    values = tuple(getattr(m, n)[:2].clone().requires_grad_() for n in names)
    assert torch.autograd.gradcheck(
        lambda *v: matching_loss(Modes(*v), path, anchors, 0.2, 0.1, rule)[term], values
    )


def test_gradient_through_the_clamps_is_zero_outside_and_right_inside():
    raw = torch.tensor(
        [
            [0.3, -0.2, LOG_STD_MIN - 0.1, LOG_STD_MAX + 0.1, RHO_MAX + 0.1],
            [0.1, 0.4, 0.2, -0.3, 0.2],
        ],
        dtype=torch.float64,
    ).requires_grad_()
    x = torch.tensor([[1.0, 2.0], [0.5, -0.5]], dtype=torch.float64)
    loss = bivariate_nll(x, *clamped_gaussian(raw))
    loss.sum().backward()
    assert raw.grad is not None
    assert (
        (raw.grad[0, 2:] == 0).all() and (raw.grad[0, :2] != 0).all() and (raw.grad[1] != 0).all()
    )
    # 0.1 is far from every kink
    assert torch.autograd.gradcheck(lambda r: bivariate_nll(x, *clamped_gaussian(r)), (raw,))


def test_regression_is_the_mean_square_and_has_one_mode():
    m, path = modes(), walks()
    one = Modes(*(v[:, :1] for v in (m.logits, m.mean, m.log_std, m.rho, m.speed)))
    losses = regression_loss(one, path, 0.2, 0.1)
    steps, speed = normalise(path, 0.2, 0.1)
    torch.testing.assert_close(losses["mse"], (one.mean[:, 0] - steps).square().mean())
    torch.testing.assert_close(losses["velocity"], (one.speed[:, 0] - speed).square().mean())
    torch.testing.assert_close(losses["loss"], losses["mse"] + losses["velocity"])
    values = one.mean.clone().requires_grad_(), one.speed.clone().requires_grad_()
    assert torch.autograd.gradcheck(
        lambda mean, speed: regression_loss(
            Modes(one.logits, mean, one.log_std, one.rho, speed), path, 0.2, 0.1
        )["loss"],
        values,
    )
    with pytest.raises(ValueError, match="one mode"):
        regression_loss(m, path, 0.2, 0.1)


def test_free_space_loss_knows_what_is_not_known():
    predicted = torch.zeros(2, 4, dtype=torch.float64, requires_grad=True)
    truth = torch.tensor(
        [[1.0, math.e**2, float("nan"), float("nan")], [float("nan")] * 4], dtype=torch.float64
    )
    loss = free_space_loss(predicted, truth)
    torch.testing.assert_close(
        loss.detach(), torch.tensor((0 + (2 - 0.05)) / 2, dtype=torch.float64)
    )  # smooth L1: |x| - beta / 2
    loss.backward()
    assert predicted.grad is not None and predicted.grad.isfinite().all()
    assert (predicted.grad[truth.isnan()] == 0).all() and predicted.grad[0, 1] != 0
    empty = free_space_loss(predicted, torch.full((2, 4), float("nan")))
    (gradient,) = torch.autograd.grad(empty, predicted)
    assert empty == 0 and (gradient == 0).all()
    # something touches the robot: no log of 0
    assert free_space_loss(torch.zeros(1, 2), torch.zeros(1, 2)).isfinite()
    random = torch.randn(3, 16, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda p: free_space_loss(p, torch.full((3, 16), 2.0)), (random,)
    )


def test_steps_and_speed_by_hand():
    """5, 2 and 0 metres in steps of half a second: 14/3 m/s; a hundredth of it is below the
    floor."""
    way = torch.tensor([[[3.0, 4.0], [3.0, 6.0], [3.0, 6.0]]])
    steps, speed = normalise(torch.cat([way, way / 100]), 0.5, 1.0)
    torch.testing.assert_close(speed, torch.tensor([14 / 3, 0.14 / 3]))
    torch.testing.assert_close(steps[0], way[0] / (7 / 3))
    torch.testing.assert_close(steps[1], way[0] / 100 / 0.5)


def test_normalise_and_metric_are_inverse():
    path = torch.cumsum(torch.rand(B, T, 2, dtype=torch.float64), 1)
    steps, speed = normalise(path, 0.2, 0.1)
    back = Modes(
        torch.zeros(B, 1), steps[:, None], steps[:, None], steps[:, None, :, 0], speed[:, None]
    ).metric(0.2)
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


@given(
    st.lists(st.tuples(st.floats(-12, 12), st.floats(-12, 12)), min_size=1, max_size=20),
    st.integers(1, 17),
    st.floats(0.2, 3),
    st.floats(10, 180),
)
def test_both_rules_are_one_on_anchors_of_equal_length(ends, count, radius, half_angle):
    # equal beyond float32
    fan = radius * torch.nn.functional.normalize(anchor_fan(count, half_angle).double(), dim=-1)
    steps = torch.tensor(ends, dtype=torch.float64)[:, None].expand(-1, T, -1)
    by_direction, by_endpoint = positive_mode(steps, fan), positive_mode(steps, fan, "endpoint")
    end = torch.where(
        steps[:, -1].norm(dim=-1, keepdim=True) > 0.5,
        steps[:, -1],
        torch.tensor([1.0, 0.0], dtype=torch.float64),
    )
    along = (torch.nn.functional.normalize(end, dim=-1)[:, None] * fan / radius).sum(-1)
    # two anchors may be equally near: either is right, up to rounding
    row = torch.arange(len(ends))
    tie = (along[row, by_direction] - along[row, by_endpoint]).abs() < 1e-9
    assert ((by_direction == by_endpoint) | tie).all()


def test_endpoint_rule_tells_gentle_from_sharp():
    """Two anchors in nearly one direction: their lengths, not their directions, tell them apart."""
    anchors = torch.tensor([[0.95, 0.30], [0.60, 0.20]])
    sharp = torch.tensor([[0.61, 0.19]])[:, None].expand(-1, T, -1) * T
    assert positive_mode(sharp, anchors, "endpoint") == 1 and positive_mode(sharp, anchors) == 0
    standing = torch.zeros(1, T, 2)
    assert positive_mode(standing, torch.tensor([[1.0, 0.0], [0.05, 0.0]]), "endpoint") == 1


@pytest.mark.parametrize("rule", ["direction", "endpoint"])
@pytest.mark.parametrize("count", [2, 4, 8, 16])
def test_straight_ahead_of_an_even_fan_is_the_right_one_of_the_middle_two(count, rule):
    straight = torch.tensor([[0.0, 0.0], [0.3, 0.0], [1.0, 0.0], [6.0, 0.0]])[:, None].expand(
        -1, T, -1
    )
    assert (positive_mode(straight, anchor_fan(count, 60.0), rule) == count // 2 - 1).all()


def test_clamp_is_that_of_mtr():
    assert math.exp(LOG_STD_MIN) == pytest.approx(0.2, abs=1e-3)
