import dataclasses

import numpy as np
import pytest
import torch

from s2e.core.errors import UserError
from s2e.policy.anchors import _lloyd, _spread, anchor_fan, kmeans_anchors
from s2e.policy.config import PolicyConfig
from s2e.policy.network import S2EPolicy

CONFIG = PolicyConfig(dim=32, encoder_layers=1, decoder_layers=1)


def arcs(curvature, speed, jitter=0.0, seed=0):
    """(S, T, 2) metres: motion on circles."""
    t = np.arange(1, CONFIG.waypoints + 1) * CONFIG.waypoint_dt_s
    s = np.asarray(speed, dtype=float)[:, None] * t
    k = np.asarray(curvature, dtype=float)[:, None] + 1e-9
    path = np.stack([np.sin(k * s) / k, (1 - np.cos(k * s)) / k], -1)
    return path + jitter * np.random.default_rng(seed).normal(size=path.shape)


@pytest.mark.parametrize("count", [1, 2, 3, 8, 64])
def test_fan_is_even_and_around_straight_ahead(count):
    fan = anchor_fan(count, 60.0)
    angles = torch.atan2(fan[:, 1], fan[:, 0])
    torch.testing.assert_close(fan.norm(dim=-1), torch.ones(count))
    torch.testing.assert_close(angles, -angles.flip(0), atol=1e-6, rtol=0)
    if count > 1:
        torch.testing.assert_close(angles.diff(), angles.diff()[:1].expand(count - 1))
        torch.testing.assert_close(torch.rad2deg(angles[-1]), torch.tensor(60.0))


def test_kmeans_finds_the_groups_whatever_the_speed():
    curvature, speed = np.repeat([-0.8, 0.0, 0.5], 40), np.tile(np.linspace(0.9, 1.1, 40), 3)
    anchors = kmeans_anchors(arcs(curvature, speed, 0.002), 3, CONFIG)
    assert anchors.dtype == torch.float32 and anchors.shape == (3, 2)
    # a straight walk ends at (1, 0)
    torch.testing.assert_close(anchors[1], torch.tensor([1.0, 0.0]), atol=0.02, rtol=0)
    for anchor, k in zip(anchors[[0, 2]], (-0.8, 0.5), strict=True):
        expected = arcs([k], [1.0])[0, -1] / 2.0  # of 2 m walked
        np.testing.assert_allclose(anchor.numpy(), expected, atol=0.03)
    faster = kmeans_anchors(3 * arcs(curvature, speed, 0.002), 3, CONFIG)
    torch.testing.assert_close(anchors, faster, atol=1e-5, rtol=0)


def test_kmeans_is_the_same_per_seed_and_sorted():
    rng = np.random.default_rng(1)
    futures = arcs(rng.normal(size=500), rng.random(500) + 0.3)
    a, b, other = (kmeans_anchors(futures, 64, CONFIG, seed) for seed in (3, 3, 4))
    assert torch.equal(a, b) and not torch.equal(a, other)
    angles = torch.atan2(a[:, 1], a[:, 0])
    assert (angles.diff() >= 0).all() and len(torch.unique(a, dim=0)) == 64
    assert (a.norm(dim=-1) <= 1 + 1e-6).all()


def test_standing_still_makes_no_anchor():
    rng = np.random.default_rng(0)
    still = 0.001 * rng.normal(size=(300, CONFIG.waypoints, 2))
    moving = arcs(np.repeat([-0.5, 0.5], 50), np.linspace(0.8, 1, 100), 0.002)
    anchors = kmeans_anchors(np.concatenate([still, moving]), 2, CONFIG)
    assert (anchors.norm(dim=-1) > 0.8).all()


@pytest.mark.parametrize(
    "futures", [np.zeros((50, 10, 2)), np.zeros((0, 10, 2)), arcs([0.0] * 50, [1.0] * 50)]
)
def test_too_few_different_endpoints_are_refused(futures):
    with pytest.raises(UserError, match="different endpoints"):
        kmeans_anchors(futures, 4, CONFIG)
    with pytest.raises(ValueError):
        kmeans_anchors(np.full((5, 10, 2), np.nan), 1, CONFIG)


def test_as_many_anchors_as_endpoints_are_those_endpoints():
    curvature = np.linspace(-1, 1, 7)
    anchors = kmeans_anchors(np.repeat(arcs(curvature, np.ones(7)), 9, 0), 7, CONFIG)
    np.testing.assert_allclose(anchors.numpy(), arcs(curvature, np.ones(7))[:, -1] / 2, atol=0.01)


def test_an_empty_cluster_moves_to_where_it_is_needed():
    points = (
        np.concatenate([np.zeros((10, 2)), np.ones((10, 2)), np.full((10, 2), 5.0)])
        + 0.01 * np.arange(30)[:, None] % 0.05
    )
    centres = _lloyd(points, np.array([[0.0, 0.0], [3.0, 3.0], [90.0, 90.0]]))
    np.testing.assert_allclose(np.sort(centres[:, 0]), [0, 1, 5], atol=0.05)


def test_centres_are_drawn_by_square_distance_to_the_nearest():
    """Of 0, 1 and 3 on a line: after 0, 3 is drawn nine times as often as 1; after 3, 0 and 1 as 9
    to 4; after both ends only the middle is left."""
    line = np.array([[0.0, 0.0], [1.0, 0.0], [3.0, 0.0]])
    drawn = np.array([_spread(line, 3, np.random.default_rng(k))[:, 0] for k in range(3000)])
    assert (np.sort(drawn, 1) == [0, 1, 3]).all()
    for first, second, share in ((0, 3, 9 / 10), (3, 0, 9 / 13), (1, 3, 4 / 5)):
        after = drawn[drawn[:, 0] == first, 1]
        assert len(after) > 900 and (after == second).mean() == pytest.approx(share, abs=0.05)


def test_of_many_futures_some_are_looked_at(monkeypatch):
    looked_at = []

    def counted(points, centres):
        looked_at.append(points)
        return _lloyd(points, centres)

    monkeypatch.setattr("s2e.policy.anchors._MOST", 60)
    monkeypatch.setattr("s2e.policy.anchors._lloyd", counted)
    for size in (60, 61, 600):
        futures = arcs(np.linspace(-0.8, 0.8, size), np.ones(size))
        anchors = kmeans_anchors(futures, 3, CONFIG)
        assert anchors.shape == (3, 2) and len(np.unique(looked_at[-1], axis=0)) == 60
    assert np.ptp(looked_at[-1][:, 1]) > 0.9, "from all over"


def test_what_cannot_be_anchors_is_refused():
    for wrong in (0, -1):
        with pytest.raises(ValueError, match="at least 1"):
            anchor_fan(wrong, 60.0)
    for shape in ((5, 10), (5, 10, 3)):
        with pytest.raises(ValueError, match="expected"):
            kmeans_anchors(np.ones(shape), 1, CONFIG)


def test_policy_takes_anchors_and_a_checkpoint_brings_them():
    config = dataclasses.replace(CONFIG, anchors=3)
    anchors = torch.tensor([[0.7, -0.4], [1.0, 0.0], [0.7, 0.4]])
    policy, other = S2EPolicy(config, anchors), S2EPolicy(config)
    assert torch.equal(policy.anchors, anchors) and not torch.equal(other.anchors, anchors)
    other.load_state_dict(policy.state_dict())
    assert torch.equal(other.anchors, anchors)
    for p in policy.trajectory_head.parameters():
        torch.nn.init.zeros_(p)
    # no refinement: straight ways to the anchors
    mean = policy.decode(torch.zeros(1, policy.context_tokens, 32)).mean
    torch.testing.assert_close(mean[0, :, -1], anchors * config.waypoints)
    for wrong in (anchors[:2], anchors * float("nan")):
        with pytest.raises(ValueError, match="anchors"):
            S2EPolicy(config, wrong)
