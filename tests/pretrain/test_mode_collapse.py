"""The alarm is raised by policies that were made to collapse, and by no others."""

import math

import numpy as np
import pytest
import torch

from s2e.policy.anchors import anchor_fan
from s2e.policy.config import PolicyConfig
from s2e.policy.mixture import Modes
from s2e.policy.network import S2EPolicy
from s2e.pretrain.mode_collapse import UNIFORM, AnchorUse, UseCounter, collapse, use_picture

T, DT, FLOOR = 10, 0.2, 0.1


def truths(which, m, speed=1.0):
    """(B, T, 2) straight ways along the anchors `which`, in metres."""
    along = torch.arange(1, T + 1) * DT * speed
    return anchor_fan(m, 60)[which][:, None] * along[:, None]


def modes_of(logits, mean=None):
    """Modes that go along their anchors, unless `mean` says otherwise."""
    b, m = logits.shape
    straight = anchor_fan(m, 60)[:, None] * torch.arange(1, T + 1)[:, None]
    mean = straight.expand(b, m, T, 2) if mean is None else mean
    return Modes(logits, mean, torch.zeros(b, m, T, 2), torch.zeros(b, m, T), torch.ones(b, m))


def use(logits, which, mean=None):
    counter = UseCounter(logits.shape[1])
    counter.add(
        modes_of(logits, mean),
        truths(which, logits.shape[1]),
        anchor_fan(logits.shape[1], 60),
        DT,
        FLOOR,
        "direction",
    )
    return counter.use()


@pytest.fixture
def which():
    """Positive anchors as walks have them: straight on most of the time."""
    p = np.array([1, 2, 10, 30, 35, 15, 5, 2]) / 100
    return torch.from_numpy(np.random.default_rng(0).choice(8, 2000, p=p))


def looking(which, m=8, sure=3.0, noise=1.0):
    """Scores of a policy that sees where it will go, not always rightly."""
    generator = torch.Generator().manual_seed(0)
    return sure * torch.eye(m)[which] + noise * torch.randn(len(which), m, generator=generator)


def test_a_policy_that_looks_is_healthy(which):
    healthy = use(looking(which), which)
    assert collapse(healthy) == ""
    assert healthy.numbers()["used"] == healthy.numbers()["needed"] == 8
    assert healthy.numbers()["mismatch"] < 0.1 and 0.5 < healthy.numbers()["spread"] < 0.7


def test_one_anchor_alone(which):
    logits = 0.3 * looking(which, sure=0.0)
    logits[:, 4] += 3
    told = collapse(use(logits, which))
    assert (
        told.startswith("one anchor alone: anchor 4 of 8")
        and "100%" in told
        and "35%" in told.replace("34%", "35%")
    )


def test_all_scores_alike(which):
    assert collapse(use(0.05 * looking(which), which)).startswith("all anchors alike: the scores")


def test_all_modes_alike(which):
    same = truths(which, 8)[:, None].expand(-1, 8, -1, -1) / DT
    assert "ends of the 8 modes" in collapse(use(looking(which), which, same))
    nudged = same + 0.02 * T * anchor_fan(8, 60)[:, None]
    assert "ends of the 8 modes" in collapse(use(looking(which), which, nudged))


def test_standing_still_has_no_direction_to_differ_in(which):
    still = 0.01 * anchor_fan(8, 60)[:, None].expand(len(which), 8, T, 2)
    assert collapse(use(looking(which), which, still)) == ""


def test_data_of_one_direction_are_no_collapse():
    which = torch.full((1000,), 4)
    which[:60] = 1
    logits = torch.zeros(1000, 8)
    logits[:, 4] = 5
    assert collapse(use(logits, which)) == ""


@pytest.mark.parametrize("logits", [torch.zeros(1000, 1), torch.full((1000, 1), 7.0)])
def test_a_single_anchor_is_no_collapse(logits):
    assert collapse(use(logits, torch.zeros(1000, dtype=torch.int64))) == ""


def test_few_samples_prove_nothing():
    assert collapse(use(torch.zeros(100, 8), torch.zeros(100, dtype=torch.int64))) == ""


def test_counts_of_batches_add_up(which):
    whole, parts = UseCounter(8), UseCounter(8)
    logits, truth, anchors = looking(which), truths(which, 8), anchor_fan(8, 60)
    whole.add(modes_of(logits), truth, anchors, DT, FLOOR, "direction")
    for piece in torch.arange(len(which)).split(300):
        parts.add(modes_of(logits[piece]), truth[piece], anchors, DT, FLOOR, "direction")
    torch.testing.assert_close(parts.state, whole.state)
    used = whole.use()
    np.testing.assert_array_equal(used.positive, np.bincount(which, minlength=8))
    np.testing.assert_array_equal(used.chosen, np.bincount(logits.argmax(1), minlength=8))
    assert used.entropy == pytest.approx(
        float(torch.distributions.Categorical(logits=logits).entropy().mean()), rel=1e-5
    )
    mean = anchors.double().mean(0)
    assert used.spread == pytest.approx(
        T * float((anchors.double() - mean).square().sum(1).mean().sqrt()), rel=1e-5
    )
    assert used.reach == pytest.approx(T, rel=1e-5)
    whole.reset()
    assert whole.use().samples == 0 and collapse(whole.use()) == ""


def test_a_network_that_was_made_to_collapse():
    torch.manual_seed(0)
    config = PolicyConfig(dim=16, heads=2, encoder_layers=1, decoder_layers=1)
    policy = S2EPolicy(config).eval()
    context = torch.randn(512, policy.context_tokens, 16)
    truth = truths(torch.arange(512) % 8, 8)

    def told():
        counter = UseCounter(8)
        with torch.no_grad():
            counter.add(policy.decode(context), truth, policy.anchors, DT, FLOOR, "direction")
        return collapse(counter.use())

    head = policy.score_head[-1]
    assert isinstance(head, torch.nn.Linear)
    torch.nn.init.normal_(head.weight, std=3.0)
    assert told().startswith("one anchor alone"), "an untrained network does not look"
    torch.nn.init.zeros_(head.weight)
    assert told().startswith("all anchors alike: the scores")
    torch.nn.init.normal_(head.weight, std=3.0)
    with torch.no_grad():
        policy.anchors.copy_(torch.tensor([1.0, 0.0]).expand(8, 2))  # eight times the same query
    assert "all anchors alike" in told()


def test_thresholds_are_what_their_reasons_say():
    for times, share in ((1.5, 0.995), (2, 0.983), (3, 0.949)):
        p = np.array([times, *[1.0] * 7])
        p /= p.sum()
        assert -(p * np.log(p)).sum() / math.log(8) == pytest.approx(share, abs=1e-3)
    assert 0.949 < UNIFORM < 0.995
    fan = anchor_fan(16, 60).numpy()
    assert np.linalg.norm(fan[1] - fan[0]) == pytest.approx(0.14, abs=0.005)
    assert np.sqrt(((fan - fan.mean(0)) ** 2).sum(1).mean()) == pytest.approx(0.59, abs=0.01)


@pytest.mark.parametrize("m", [1, 8, 64])
def test_the_picture_shows_both_histograms(m):
    counts = np.arange(1, m + 1, dtype=float)
    image = use_picture(AnchorUse(int(counts.sum()), counts, counts[::-1], 1.0, 0.5, 1.0))
    for colour in ((42, 157, 74), (52, 101, 200)):
        assert (image == colour).all(-1).sum() > 100
    assert use_picture(AnchorUse(0, np.zeros(m), np.zeros(m), 0.0, 0.0, 0.0)).shape == image.shape
