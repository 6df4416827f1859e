import numpy as np
import pytest

from s2e.pretrain.batches import Batches
from tests.pretrain.runs import tiny


@pytest.mark.parametrize("ranks", [2, 3])
def test_ranks_read_batches_of_their_own_and_every_sample_once_an_epoch(tmp_path, ranks):
    count, batch, trainer = 60, 5, tiny(tmp_path)[0]
    args, config, data = trainer.args, trainer.config, trainer.data
    per_epoch = count // (batch * ranks)
    read = [
        Batches(args, config, data, rank, ranks).dealt(step, batch, count)
        for step in range(2 * per_epoch)
        for rank in range(ranks)
    ]
    first, second = np.concatenate(read).reshape(2, count)
    assert sorted(first) == sorted(second) == list(range(count)) and list(first) != list(second)
    one = Batches(args, config, data)
    alone = [one.dealt(step, batch * ranks, count) for step in range(2 * per_epoch)]
    np.testing.assert_array_equal(np.concatenate(alone), np.concatenate(read))


def test_batches_read_ahead_are_the_same_batches(tmp_path):
    trainer, _ = tiny(tmp_path, steps=4)
    seen = []
    read = trainer.batches.video
    trainer.batches.video = lambda samples, index, rng: (
        seen.append(index) or read(samples, index, rng)
    )
    for _ in range(4):
        trainer.train_step()
    count = len(trainer.data.training)
    order = np.concatenate([np.random.default_rng([0, 7, e]).permutation(count) for e in range(2)])
    np.testing.assert_array_equal(np.concatenate(seen), order[:32])
