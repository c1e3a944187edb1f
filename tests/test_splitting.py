"""Laws of the split: who goes where depends on the row count, the fractions and the seed alone."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hourglass.errors import DataError
from hourglass.splitting import BLOCK, assign, resplit

SEEDS = st.integers(0, 2**31 - 1)
FRACTIONS = st.floats(0.1, 0.4)


@given(rows=st.integers(200, 3000), val=FRACTIONS, test=FRACTIONS, seed=SEEDS)
def test_fractions_hold_to_within_a_row(rows, val, test, seed):
    counts = np.bincount(assign(rows, val, test, seed), minlength=3)
    assert counts.sum() == rows
    assert abs(counts[1] - val * rows) <= 0.5 + 1e-9
    assert abs(counts[2] - test * rows) <= 0.5 + 1e-9


def test_each_block_holds_the_fractions():
    split = assign(3 * BLOCK + 100, 0.15, 0.2, 0)
    for start in range(0, len(split), BLOCK):
        part = split[start : start + BLOCK]
        assert np.count_nonzero(part == 1) == round(0.15 * len(part))
        assert np.count_nonzero(part == 2) == round(0.2 * len(part))


def test_more_rows_leave_the_full_blocks_before_them_as_they_were():
    assert np.array_equal(assign(BLOCK + 10, 0.2, 0.2, 3)[:BLOCK], assign(BLOCK, 0.2, 0.2, 3))


def test_blocks_are_permuted_differently():
    split = assign(2 * BLOCK, 0.2, 0.2, 0)
    assert np.mean(split[:BLOCK] == split[BLOCK:]) < 0.5


@given(seed=SEEDS)
def test_the_same_seed_gives_the_same_split(seed):
    assert np.array_equal(assign(100, 0.2, 0.2, seed), assign(100, 0.2, 0.2, seed))


def test_another_seed_gives_another_split():
    assert not np.array_equal(assign(100, 0.2, 0.2, 0), assign(100, 0.2, 0.2, 1))


def test_every_row_is_as_likely_to_be_tested_as_any_other():
    tested = np.mean([assign(50, 0.2, 0.2, seed) == 2 for seed in range(2000)], axis=0)
    assert np.abs(tested - 0.2).max() < 5 * np.sqrt(0.2 * 0.8 / 2000)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (0, "0 rows are too few: preprocess.val_fraction 0.15 and test_fraction 0.2 give 0 "
         "training, 0 validation, 0 test rows, and at least 20, 10, 10 are needed; bring about 67 "
         "rows or more, or change the fractions in params.yaml"),
        (1, "1 row is too few: preprocess.val_fraction 0.15 and test_fraction 0.2 give 1 training, "
         "0 validation, 0 test rows, and at least 20, 10, 10 are needed; bring about 67 rows or "
         "more, or change the fractions in params.yaml"),
    ],
)  # fmt: skip
def test_too_few_rows_are_refused_with_the_numbers(rows, message):
    with pytest.raises(DataError) as error:
        assign(rows, 0.15, 0.2, 0)
    assert str(error.value) == message


@given(val=st.floats(0.05, 0.45), test=st.floats(0.05, 0.45))
def test_the_number_of_rows_that_the_message_asks_for_is_enough(val, test):
    with pytest.raises(DataError) as error:
        assign(5, val, test, 0)
    needed = int(str(error.value).split("bring about ")[1].split()[0])
    assert len(assign(needed + 1, val, test, 0)) == needed + 1


@given(train=st.integers(1, 200), val=st.integers(1, 200), seed=SEEDS)
def test_a_new_split_deals_out_the_same_rows_in_the_same_numbers(train, val, seed):
    new_train, new_val = resplit(train, val, seed)
    assert (len(new_train), len(new_val)) == (train, val)
    together = np.concatenate([new_train, new_val])
    assert np.array_equal(np.sort(together), np.arange(train + val))


def test_new_splits_are_told_apart_by_their_seed():
    assert np.array_equal(resplit(90, 10, 1)[1], resplit(90, 10, 1)[1])
    assert not np.array_equal(resplit(90, 10, 1)[1], resplit(90, 10, 2)[1])
