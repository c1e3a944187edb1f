"""Rows are served once an epoch, in the same order for any number of processes."""

import torch

from hourglass.batches import STEPS_A_CALL, Epochs, Slices


def rows(count: int = 107) -> torch.Tensor:
    return torch.arange(count, dtype=torch.float32)[:, None].repeat(1, 2)


def served(epochs: Epochs) -> list[torch.Tensor]:
    return [batch.rows_BF[:, 0] for call in epochs for batch in call]


def test_each_row_is_served_once_an_epoch():
    every = torch.cat(served(Epochs(rows(), 8, seed=0, rank=0, world=1)))
    assert sorted(every.tolist()) == list(range(107))


def test_epochs_differ_and_the_seed_repeats_them():
    first, again = Epochs(rows(), 8, 3, 0, 1), Epochs(rows(), 8, 3, 0, 1)
    one, two = torch.cat(served(first)), torch.cat(served(first))
    assert not torch.equal(one, two)
    assert torch.equal(one, torch.cat(served(again)))
    assert torch.equal(two, torch.cat(served(again)))


def test_processes_share_each_global_batch_without_overlap():
    whole = served(Epochs(rows(), 8, 1, 0, 1))
    shares = [served(Epochs(rows(), 8, 1, rank, 3)) for rank in range(3)]
    for batch, *parts in zip(whole, *shares, strict=True):
        assert sorted(torch.cat(parts).tolist()) == sorted(batch.tolist())


def test_averaging_weighted_sums_over_processes_gives_the_mean_of_the_global_batch():
    whole = next(iter(Epochs(rows(107), 10, 1, 0, 1)))
    shares = [next(iter(Epochs(rows(107), 10, 1, rank, 4))) for rank in range(4)]
    assert len(whole[-1].rows_BF) == 7  # the last batch is a part of one
    for batch, *parts in zip(whole, *shares, strict=True):
        mean = sum((p.rows_BF.sum() * p.weight for p in parts), torch.zeros(())) / 4
        torch.testing.assert_close(mean, batch.rows_BF.sum(dim=1).mean())


def test_a_process_may_get_no_row_of_the_last_batch():
    last = [b for call in Epochs(rows(9), 8, 0, rank=1, world=2) for b in call][-1]
    assert last.rows_BF.shape == (0, 2)


def test_steps_and_calls_are_counted():
    epochs = Epochs(rows(107), 2, 0, 0, 1)
    assert epochs.steps == 54
    assert len(epochs) == len(list(epochs)) == -(-54 // STEPS_A_CALL)


def test_slices_keep_the_order():
    slices = Slices(rows(), size=10)
    assert len(slices) == 11
    assert torch.equal(torch.cat(list(slices)), rows())
