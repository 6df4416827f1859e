"""Which lessons stay, by the definition of a weighted reservoir."""

import numpy as np
import pytest

from s2e.rl.lessons import Lessons

SIZE = 20


def frames(count, seed=0):
    """What was seen and its label both say which frame it is; weights, and draws of chance."""
    rng = np.random.default_rng(seed)
    number = np.arange(count, dtype=np.float32)[:, None]
    return number * [1, 1, 1], number * [1, -1], rng.uniform(0.2, 5, count), rng.random(count)


def offered(pieces, order=None, **more):
    """A store that was offered a hundred frames, cut into pieces."""
    seen, label, weight, u = frames(100)
    order = np.arange(100) if order is None else order
    lessons = Lessons(SIZE, 3, 2)
    for part in np.split(order, pieces):
        lessons.add(seen[part], label[part], weight[part], u[part], **more)
    return lessons


def kept(lessons):
    return sorted(lessons.seen[: len(lessons), 0].astype(int).tolist())


@pytest.mark.parametrize(
    "pieces", [[], [3], [20], [7, 7, 90], [30, 60, 61, 62], list(range(1, 100))]
)
def test_those_with_the_largest_draws_stay_however_they_come(pieces):
    _, _, weight, u = frames(100)
    largest = np.sort(np.argsort(u ** (1 / weight))[-SIZE:])
    lessons = offered(pieces)
    assert len(lessons) == SIZE and kept(lessons) == largest.tolist()
    mixed = offered(pieces, np.random.default_rng(3).permutation(100))
    assert kept(mixed) == kept(lessons)
    for store in (lessons, mixed):  # each row is one frame's
        number = store.seen[:, 0].astype(int)
        np.testing.assert_array_equal(store.seen, np.repeat(number[:, None], 3, 1))
        np.testing.assert_array_equal(store.label, number[:, None] * [1, -1])
        np.testing.assert_allclose(np.exp(store.draw), (u ** (1 / weight))[number])
        assert store.mine.all()


def test_a_store_that_is_not_full_has_all_of_them():
    seen, label, weight, u = frames(8)
    lessons = Lessons(SIZE, 3, 2)
    assert len(lessons) == 0
    lessons.add(seen[:5], label[:5], weight[:5], u[:5])
    lessons.add(seen[5:], label[5:], weight[5:], u[5:])
    assert len(lessons) == 8 and kept(lessons) == list(range(8))
    assert lessons.mine[:8].all() and not lessons.mine[8:].any()


def test_of_equal_draws_those_that_are_here_stay():
    lessons = Lessons(2, 1, 1)
    for mark in (1.0, 2.0):
        lessons.add(np.full((2, 1), mark), np.zeros((2, 1)), np.ones(2), np.full(2, 0.5))
    assert lessons.seen[:, 0].tolist() == [1, 1]


def test_ranks_know_all_draws_and_hold_their_own_frames():
    """Two ranks of three and two frames at a time keep what one with five keeps."""
    seen, label, weight, u = frames(100)
    one, ranks = Lessons(SIZE, 3, 2), [Lessons(SIZE, 3, 2) for _ in range(2)]
    for begin in range(0, 100, 5):
        every = slice(begin, begin + 5)
        one.add(seen[every], label[every], weight[every], u[every])
        for lessons, first, count in zip(ranks, (0, 3), (3, 2), strict=True):
            own = slice(begin + first, begin + first + count)
            lessons.add(seen[own], label[own], weight[every], u[every], first)
    for lessons in ranks:
        np.testing.assert_array_equal(lessons.draw, one.draw)
    assert (ranks[0].mine ^ ranks[1].mine).all() and ranks[0].mine.any() and ranks[1].mine.any()
    for lessons in ranks:
        np.testing.assert_array_equal(lessons.seen[lessons.mine], one.seen[lessons.mine])
        np.testing.assert_array_equal(lessons.label[lessons.mine], one.label[lessons.mine])
    assert (one.seen[ranks[0].mine, 0] % 5 < 3).all()
    assert (one.seen[ranks[1].mine, 0] % 5 >= 3).all()


def test_what_was_saved_goes_on_as_if_nothing_had_happened_dealt_out_anew():
    seen, label, weight, u = frames(100)
    whole = offered([13, 40])
    half = Lessons(SIZE, 3, 2)
    for part in (slice(0, 13), slice(13, 40)):
        half.add(seen[part], label[part], weight[part], u[part])
    again = Lessons(SIZE, 3, 2)
    again.restore({k: v.copy() for k, v in half.arrays().items()})
    again.add(seen[40:], label[40:], weight[40:], u[40:])
    for name in ("seen", "label", "draw", "mine"):
        np.testing.assert_array_equal(getattr(again, name), getattr(whole, name))
    small = Lessons(SIZE, 3, 2)
    small.add(seen[:7], label[:7], weight[:7], u[:7])
    saved = small.arrays()
    assert {k: len(v) for k, v in saved.items()} == {"seen": 7, "label": 7, "draw": 7}
    parts = [Lessons(SIZE, 3, 2) for _ in range(3)]
    for rank, part in enumerate(parts):
        part.restore(saved, rank, 3)
        assert len(part) == 7
    assert [part.mine[:7].tolist().count(True) for part in parts] == [3, 2, 2]
    assert (np.sum([part.mine[:7] for part in parts], 0) == 1).all()
    alone = Lessons(SIZE, 3, 2)
    alone.restore(saved)
    assert alone.mine[:7].all() and kept(alone) == list(range(7))
