"""Rows are served once an epoch, in the same order for any number of processes, memory or disk."""

import threading
from collections.abc import Iterable
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
import torch

from hourglass import batches
from hourglass.batches import Batch, Epochs, Feed

ROWS = 107


@pytest.fixture(autouse=True)
def _small_pools(monkeypatch):
    """Runs of five rows, pools of three runs: 107 rows make eight pools."""
    monkeypatch.setattr(batches, "RUN_ROWS", 5)
    monkeypatch.setattr(batches, "POOL_BYTES", 15 * 2 * 4)


def numbered(count: int) -> np.ndarray:
    """Rows of two columns that say their number."""
    return np.repeat(np.arange(count, dtype=np.float32)[:, None], 2, axis=1)


@pytest.fixture(params=["memory", "disk"])
def feed(request, tmp_path: Path):
    """Makes feeds of so many rows, each of which counts its number."""

    def make(count: int = ROWS, weighted: bool = False) -> Feed:
        counts = torch.arange(count, dtype=torch.float32) if weighted else None
        if request.param == "memory":
            return Feed(torch.from_numpy(numbered(count)), counts)
        np.save(tmp_path / f"{count}.npy", numbered(count))
        return Feed(np.load(tmp_path / f"{count}.npy", mmap_mode="r"), counts)

    return make


def served(epochs: Epochs) -> list[Batch]:
    return [batch for call in epochs for batch in call]


def numbers(epochs: Epochs) -> list[list[float]]:
    return [batch.rows_BF[:, 0].tolist() for batch in served(epochs)]


def flat(lists: Iterable[list[float]]) -> list[float]:
    return list(chain.from_iterable(lists))


@pytest.mark.parametrize("size", [1, 4, 8, 15, 16, 200])
@pytest.mark.parametrize("count", [1, 5, 14, 15, 16, ROWS])
def test_each_row_is_served_once_an_epoch_in_full_batches_and_one_rest(feed, count, size):
    epochs = Epochs(feed(count), size, seed=0, rank=0, world=1)
    for _ in range(2):
        found = numbers(epochs)
        assert sorted(flat(found)) == list(range(count))
        rest = [count % size] if count % size else []
        assert [len(batch) for batch in found] == [size] * (count // size) + rest


def test_epochs_differ_and_the_seed_repeats_them(feed):
    first, again = (Epochs(feed(), 8, 3, 0, 1) for _ in range(2))
    one, two = numbers(first), numbers(first)
    assert one != two
    assert [one, two] == [numbers(again), numbers(again)]
    assert one != numbers(Epochs(feed(), 8, 4, 0, 1))


@pytest.mark.parametrize("weighted", [False, True])
def test_what_rows_count_travels_with_them(feed, weighted):
    for rank in range(2):
        for batch in served(Epochs(feed(ROWS, weighted), 8, 0, rank, 2)):
            if weighted:
                assert batch.count_B.tolist() == batch.rows_BF[:, 0].tolist()
            else:
                assert batch.count_B is None


@pytest.mark.parametrize("world", [2, 3])
def test_processes_share_each_global_batch_without_overlap(feed, world):
    whole = numbers(Epochs(feed(), 8, 1, 0, 1))
    shares = [numbers(Epochs(feed(), 8, 1, rank, world)) for rank in range(world)]
    for batch, *parts in zip(whole, *shares, strict=True):
        assert sorted(flat(parts)) == sorted(batch)


def test_averaging_weighted_sums_over_processes_gives_the_mean_of_the_global_batch(feed):
    whole = served(Epochs(feed(), 10, 1, 0, 1))
    shares = [served(Epochs(feed(), 10, 1, rank, 4)) for rank in range(4)]
    assert len(whole[-1].rows_BF) == 7  # the last batch is a part of one
    for batch, *parts in zip(whole, *shares, strict=True):
        mean = sum((p.rows_BF.sum() * p.weight for p in parts), torch.zeros(())) / 4
        torch.testing.assert_close(mean, batch.rows_BF.sum(dim=1).mean())


def test_a_process_may_get_no_row_of_the_last_batch(feed):
    last = served(Epochs(feed(9, weighted=True), 8, 0, rank=1, world=2))[-1]
    assert last.rows_BF.shape == (0, 2)
    assert last.count_B.shape == (0,)


def test_steps_and_calls_are_counted(feed, monkeypatch):
    monkeypatch.setattr(batches, "STEPS_A_CALL", 16)
    epochs = Epochs(feed(), 2, 0, 0, 1)
    assert epochs.steps == 54
    assert len(epochs) == 4
    assert [len(call) for call in epochs] == [16, 16, 16, 6]


def test_rows_are_what_the_optimiser_may_change_without_changing_the_data(feed):
    own = feed()
    for batch in served(Epochs(own, 8, 0, 0, 1)):
        assert batch.rows_BF.dtype == torch.float32
        batch.rows_BF.add_(1000)
    rows = own.rows_NF.numpy() if isinstance(own.rows_NF, torch.Tensor) else own.rows_NF
    np.testing.assert_array_equal(rows, numbered(ROWS))


def test_rows_on_disk_come_from_all_over_it(tmp_path):
    """Neighbours in time must not make up a batch: runs are drawn, then rows among them."""
    np.save(tmp_path / "rows.npy", numbered(1500))
    feed = Feed(np.load(tmp_path / "rows.npy", mmap_mode="r"))
    order = np.array(flat(numbers(Epochs(feed, 15, 0, 0, 1))))
    pools = order.reshape(-1, 15)
    assert np.abs(np.corrcoef(np.arange(1500), order)[0, 1]) < 0.1
    assert np.ptp(pools, axis=1).mean() > 500  # three runs of five, far apart
    assert {len(set((pool // 5).tolist())) for pool in pools} == {3}
    inside = (pools // 5).astype(int)
    assert np.mean(inside[:, 1:] == inside[:, :-1]) < 0.5  # runs are mixed within a pool
    assert len(feed.rows_NF) == feed.count == 1500


def test_pools_are_as_large_as_memory_allows(monkeypatch, tmp_path):
    """A pool holds one run at least, whatever the width of a row."""
    np.save(tmp_path / "rows.npy", numbered(50))
    mapped = np.load(tmp_path / "rows.npy", mmap_mode="r")
    for size, expected in ((1, 5), (15 * 2 * 4, 15), (1 << 30, 50)):
        monkeypatch.setattr(batches, "POOL_BYTES", size)
        pools = list(Feed(mapped).pools(torch.Generator().manual_seed(0)))
        assert len(pools[0][0]) == expected


def test_an_epoch_that_is_left_early_leaves_no_thread_behind(feed):
    before = threading.active_count()
    epochs = iter(Epochs(feed(), 1, 0, 0, 1))
    next(epochs)
    epochs.close()
    assert threading.active_count() == before


def test_moving_to_a_device_keeps_what_rows_count(feed):
    moved = feed(weighted=True).on(torch.device("cpu"))
    assert moved.device == torch.device("cpu")
    assert torch.equal(moved.count_N, torch.arange(ROWS, dtype=torch.float32))
    assert sorted(flat(numbers(Epochs(moved, 8, 0, 0, 1)))) == list(range(ROWS))
