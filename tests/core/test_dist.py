"""What ranks do together, by hand values, on threads that stand in for processes; real ones are in
tests/test_distributed.py."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

import s2e.core.dist
from tests.ranks import Ranks


def on_ranks(monkeypatch, count, body):
    fake = Ranks(count)
    monkeypatch.setattr(s2e.core.dist, "dist", fake)
    return fake.run(body)


def parameters(*gradients):
    """Parameters with such gradients; None is none."""
    made = [torch.nn.Parameter(torch.zeros(2)) for _ in gradients]
    for parameter, gradient in zip(made, gradients, strict=True):
        parameter.grad = None if gradient is None else torch.tensor(gradient)
    return made


@pytest.mark.parametrize(
    ("function", "share"), [("average_gradients", 1 / 3), ("sum_gradients", 1.0)]
)
def test_gradients_become_the_mean_or_the_sum_of_all_ranks(monkeypatch, function, share):
    def body(rank):
        made = parameters([1.0 + rank, 2.0], [10.0 * rank, -3.0])
        getattr(s2e.core.dist, function)(made)
        return [p.grad.tolist() for p in made if p.grad is not None]

    expected = [[6.0 * share, 6.0 * share], [30.0 * share, -9.0 * share]]
    for got in on_ranks(monkeypatch, 3, body):
        np.testing.assert_allclose(got, expected, rtol=1e-6)


def test_a_gradient_that_a_rank_lacks_is_zeros_in_the_sum(monkeypatch):
    def body(rank):
        made = parameters([4.0, 4.0] if rank == 0 else None, None, [1.0, 1.0])
        s2e.core.dist.sum_gradients(made)
        return [None if p.grad is None else p.grad.tolist() for p in made]

    assert on_ranks(monkeypatch, 2, body) == 2 * [[[4.0, 4.0], None, [2.0, 2.0]]]


def test_what_is_gathered_lies_in_the_order_of_ranks_and_totals_are_sums(monkeypatch):
    def body(rank):
        own = torch.tensor([1.0, rank])
        rows, mine = np.array([[5, 6], [7, 8]]) * (rank + 1), np.arange(2) == rank
        return (
            s2e.core.dist.gathered(np.array([10 * rank, 10 * rank + 1])).tolist(),
            s2e.core.dist.total(own).tolist(),
            own.tolist(),
            s2e.core.dist.to_first(f"rank {rank}"),
            s2e.core.dist.merged(rows, mine).tolist(),
            s2e.core.dist.any_rank(rank == 1),
            s2e.core.dist.any_rank(False),
        )

    first, second = on_ranks(monkeypatch, 2, body)
    assert first[0] == second[0] == [0, 1, 10, 11]
    assert first[1] == second[1] == [2.0, 1.0] and second[2] == [1.0, 1.0], (
        "what was given stays as it was"
    )
    assert first[3] == ["rank 0", "rank 1"] and second[3] == []
    assert first[4] == [[5, 6], [14, 16]]
    assert first[5:] == second[5:] == (True, False)


def test_every_rank_begins_with_the_weights_of_the_first(monkeypatch):
    def body(rank):
        made = [torch.full((2,), float(rank)), torch.full((1,), 5.0 - rank)]
        s2e.core.dist.same_start(made)
        return [t.tolist() for t in made]

    assert on_ranks(monkeypatch, 2, body) == 2 * [[[0.0, 0.0], [5.0]]]


@pytest.mark.parametrize(
    ("device", "backend", "gpu"), [("cpu", "gloo", []), ("cuda", "cpu:gloo,cuda:nccl", [1])]
)
def test_who_is_one_of_several_joins_them_once(monkeypatch, device, backend, gpu):
    joined, taken, inside = [], [], []
    fake = SimpleNamespace(
        is_initialized=lambda: bool(inside),
        init_process_group=lambda *args, timeout: joined.append((*args, timeout.total_seconds())),
        destroy_process_group=lambda: joined.append("left"),
    )
    monkeypatch.setattr(s2e.core.dist, "dist", fake)
    monkeypatch.setattr(torch.cuda, "set_device", taken.append)
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    assert s2e.core.dist.start(device) == (0, 1) and joined == taken == []
    for name, value in (("RANK", "1"), ("WORLD_SIZE", "2"), ("LOCAL_RANK", "1")):
        monkeypatch.setenv(name, value)
    s2e.core.dist.finish()
    assert joined == [], "nobody leaves what he is not in"
    assert s2e.core.dist.start(device) == (1, 2)
    assert joined == [(backend, 1800.0)] and taken == gpu
    assert s2e.core.dist.start(device, 5.0) == (1, 2) and joined[1] == (backend, 5.0)
    inside.append(True)
    assert s2e.core.dist.start(device) == (1, 2) and len(joined) == 2, "already there"
    s2e.core.dist.finish()
    assert joined[2:] == ["left"]


def test_nobody_passes_a_barrier_before_all_have_come(monkeypatch):
    seen = []

    def body(rank):
        seen.append("comes")
        s2e.core.dist.barrier()
        seen.append("goes")

    on_ranks(monkeypatch, 3, body)
    assert seen == 3 * ["comes"] + 3 * ["goes"]
    s2e.core.dist.barrier()  # one process waits for nobody


def test_one_process_has_what_it_gives():
    rows = np.array([[1, 2], [3, 4]])
    assert s2e.core.dist.to_first("x") == ["x"] and s2e.core.dist.gathered(rows) is rows
    assert s2e.core.dist.merged(rows, np.array([False, True])) is rows
    made: Any = parameters([1.0, 2.0], None)
    s2e.core.dist.sum_gradients(made)
    assert made[0].grad.tolist() == [1.0, 2.0] and made[1].grad is None


def test_rows_of_any_shape_and_kind_are_merged_to_the_bit(monkeypatch):
    rng = np.random.default_rng(0)
    mine = np.array([0, 1, 1, 2, 0])
    tables = [
        rng.normal(size=(5, 2, 3)).astype(np.float16),
        rng.normal(size=5),
        np.arange(5) - 2**40,
        rng.random((5, 1)) < 0.5,
    ]

    def body(rank):
        known = [np.where((mine == rank).reshape(-1, *[1] * (t.ndim - 1)), t, 99) for t in tables]
        known = [k.astype(t.dtype) for k, t in zip(known, tables, strict=True)]
        return [s2e.core.dist.merged(k, mine == rank) for k in known]

    for got, table in zip(on_ranks(monkeypatch, 3, body)[0], tables, strict=True):
        np.testing.assert_array_equal(got, table)
        assert got.dtype == table.dtype
