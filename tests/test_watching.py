"""What a watcher says follows from the bits so far, and from the limits it was given."""

import math

import pytest

from hourglass.watching import LEAST_GAIN, Watch, Watcher


def seen(watch: Watch, bits: list[float]) -> list[tuple[bool, bool]]:
    """(keep, stop) of each epoch."""
    watcher, found = Watcher(watch), []
    for value in bits:
        watcher.see(value)
        found.append((watcher.keep, watcher.stop))
    return found


def stops(watch: Watch, bits: list[float]) -> int:
    """The first epoch that it stops at; 0: none."""
    return next((e for e, (_, stop) in enumerate(seen(watch, bits), 1) if stop), 0)


def test_without_limits_every_epoch_is_run_and_none_is_kept():
    bits = [3.0, 9.0, 9.0, math.nan, 2.0]
    assert seen(Watch(), bits) == [(False, False)] * 5


@pytest.mark.parametrize(("bits", "epoch"), [(2.0, 0), (2.5, 0), (2.5000001, 2), (math.nan, 2)])
def test_a_fit_with_more_bits_than_the_bar_ends_at_that_epoch(bits, epoch):
    assert stops(Watch({2: 2.5}), [9.0, bits, 9.0]) == epoch


def test_each_bar_holds_at_its_own_epoch():
    assert stops(Watch({1: 3.0, 3: 2.0}), [2.9, 2.9, 2.9, 2.9]) == 3
    assert Watch({3: 2.0}).prunes(3, 2.9)
    assert not Watch({3: 2.0}).prunes(2, 2.9)


def test_patience_is_counted_from_the_last_gain():
    falling_then_flat = [5.0, 4.0, 3.0, 3.0, 3.0, 3.0]
    assert stops(Watch(patience=3), falling_then_flat) == 6
    assert stops(Watch(patience=4), falling_then_flat) == 0


def test_a_gain_below_the_least_is_none_but_slow_gains_add_up():
    slow = [3.0 - 0.4 * LEAST_GAIN * n for n in range(12)]
    assert stops(Watch(patience=2), slow) == 3
    assert stops(Watch(patience=3), slow) == 0  # 1.2 of the least in three epochs


def test_the_lowest_epoch_is_kept_however_small_its_gain():
    bits = [3.0, 3.0 - 0.1 * LEAST_GAIN, 3.0, math.nan, 2.0]
    assert [keep for keep, _ in seen(Watch(patience=9), bits)] == [True, True, False, False, True]


def test_a_curve_of_nan_ends_with_the_patience_and_keeps_nothing():
    found = seen(Watch(patience=3), [math.nan] * 5)
    assert found == [(False, False)] * 2 + [(False, True)] * 3
