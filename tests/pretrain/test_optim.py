import dataclasses

import numpy as np
import pytest
import torch

from s2e.policy.encoder import FeatureNet
from s2e.policy.network import S2EPolicy
from s2e.pretrain.optim import Average, decay_groups, schedule
from tests.pretrain.runs import CONFIG


def test_only_matrices_decay():
    policy = S2EPolicy(dataclasses.replace(CONFIG, dim=16, free_space=True))
    decayed, others = (set(map(id, g["params"])) for g in decay_groups([policy]))
    for name, p in policy.named_parameters():
        inside = name.endswith("weight") and "norm" not in name
        assert (id(p) in decayed) == inside and (id(p) in others) != inside, name
    assert {"position", "goal_mask"} <= {n for n, p in policy.named_parameters() if id(p) in others}
    matrices, rest = decay_groups([FeatureNet(CONFIG)])
    assert all(p.ndim == 4 for p in matrices["params"]) and all(p.ndim == 1 for p in rest["params"])


def test_the_running_mean_is_the_formula():
    module = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    average = Average([module], decay=0.9)
    expected = [p.detach().double().numpy().copy() for p in module.parameters()]
    generator = torch.Generator().manual_seed(0)
    for t in range(300):
        with torch.no_grad():
            for p in module.parameters():
                p.add_(torch.randn(p.shape, generator=generator))
            dict(module.named_buffers())["1.running_mean"].fill_(t)
        average.update(t)
        decay = min(0.9, (1 + t) / (10 + t))
        expected = [
            decay * e + (1 - decay) * p.detach().double().numpy()
            for e, p in zip(expected, module.parameters(), strict=True)
        ]
    for e, p in zip(expected, average.copies[0].parameters(), strict=True):
        np.testing.assert_allclose(p.numpy(), e, rtol=1e-5, atol=1e-5)
    assert (average.copies[0].state_dict()["1.running_mean"] == 299).all() and not average.copies[
        0
    ].training


def test_the_learning_rate_rises_and_falls():
    rates = [schedule(s, 1000, 0.1) for s in range(1000)]
    assert (
        rates[0] == pytest.approx(0.01)
        and max(rates) == rates[100] == 1
        and rates[-1] == pytest.approx(0.02, abs=1e-4)
    )
    assert (np.diff(rates[:100]) > 0).all() and (np.diff(rates[100:]) < 0).all()
