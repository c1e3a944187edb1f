"""Laws of the split: numbers, groups or times, the fractions and the seed say who goes where."""

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hourglass.errors import DataError
from hourglass.splitting import LEAST, block_rows, by_group, by_time, check, deal, resplit

SEEDS = st.integers(0, 2**31 - 1)
SHARES = st.floats(0.05, 0.45)


@dataclass(frozen=True)
class Shares:
    """Fractions as params.yaml gives them."""

    val_fraction: float = 0.15
    test_fraction: float = 0.15
    seed: int = 0


FRACTIONS = st.builds(Shares, SHARES, SHARES, SEEDS)


# --- single rows


@given(rows=st.integers(0, 3000), fractions=FRACTIONS, block=st.integers(0, 99))
def test_fractions_hold_to_within_a_row_in_each_block(rows, fractions, block):
    counts = np.bincount(deal(block, rows, fractions), minlength=3)
    assert counts.sum() == rows
    assert len(counts) == 3
    assert abs(counts[1] - fractions.val_fraction * rows) <= 0.5 + 1e-9
    assert abs(counts[2] - fractions.test_fraction * rows) <= 0.5 + 1e-9


def test_blocks_and_seeds_are_dealt_out_differently_and_always_alike():
    one = deal(0, 500, Shares())
    np.testing.assert_array_equal(one, deal(0, 500, Shares()))
    assert np.mean(one == deal(1, 500, Shares())) < 0.7
    assert np.mean(one == deal(0, 500, Shares(seed=1))) < 0.7


def test_every_row_is_as_likely_to_be_tested_as_any_other():
    fractions = [Shares(0.2, 0.2, seed) for seed in range(2000)]
    tested = np.mean([deal(0, 50, f) == 2 for f in fractions], axis=0)
    assert np.abs(tested - 0.2).max() < 5 * np.sqrt(0.2 * 0.8 / 2000)


@given(columns=st.integers(0, 10**7))
def test_a_block_is_a_power_of_two_of_32_megabytes_at_most_while_rows_are_narrow(columns):
    rows = block_rows(columns)
    assert 256 <= rows <= 65536
    assert rows & (rows - 1) == 0
    assert rows * columns * 8 <= 32 << 20 or rows == 256
    assert 2 * rows * columns * 8 > 32 << 20 or rows == 65536


# --- groups


@given(groups=st.integers(1, 300), fractions=FRACTIONS)
def test_no_group_is_in_two_splits(groups, fractions):
    group_N = np.random.default_rng(groups).integers(0, groups, 1000)
    split = by_group(group_N, fractions)
    assert split.dtype == np.int8
    for group in range(groups):
        assert len(set(split[group_N == group].tolist())) <= 1


@given(groups=st.integers(10, 5000), fractions=FRACTIONS)
def test_shares_of_groups_are_as_good_as_the_golden_ratio_makes_them(groups, fractions):
    """Discrepancy of the golden-ratio sequence: below (2 + log N) / N for every interval."""
    counts = np.bincount(by_group(np.arange(groups), fractions), minlength=3)
    off = (2 + np.log(groups)) / groups
    assert abs(counts[1] / groups - fractions.val_fraction) <= off
    assert abs(counts[2] / groups - fractions.test_fraction) <= off


@given(groups=st.integers(10, 40), seed=SEEDS)
def test_ten_groups_give_each_split_one_at_the_default_fractions(groups, seed):
    assert set(by_group(np.arange(groups), Shares(seed=seed)).tolist()) == {0, 1, 2}


def test_groups_that_come_later_leave_the_earlier_ones_where_they_were():
    few, many = (by_group(np.arange(n), Shares(seed=7)) for n in (50, 5000))
    np.testing.assert_array_equal(few, many[:50])


def test_another_seed_deals_groups_out_differently():
    groups = np.arange(200)
    assert np.mean(by_group(groups, Shares()) == by_group(groups, Shares(seed=3))) < 0.9


def test_every_group_is_as_likely_to_be_tested_as_any_other():
    tested = np.mean([by_group(np.arange(12), Shares(seed=s)) == 2 for s in range(2000)], axis=0)
    assert np.abs(tested - 0.15).max() < 5 * np.sqrt(0.15 * 0.85 / 2000)


# --- times


@given(
    times=st.lists(st.integers(-20, 20), min_size=1, max_size=200),
    scale=st.sampled_from([1e-9, 1.0, 1e15]),
    fractions=FRACTIONS,
)
def test_nothing_trains_on_what_comes_after_and_ties_stay_together(times, scale, fractions):
    time_N = np.array(times) * scale
    split = by_time(time_N, fractions)
    order = np.argsort(time_N, kind="stable")
    assert (np.diff(split[order]) >= 0).all()
    for time in np.unique(time_N):
        assert len(set(split[time_N == time].tolist())) == 1


@given(rows=st.integers(1, 500), fractions=FRACTIONS)
def test_fractions_of_different_times_hold_to_within_a_row(rows, fractions):
    time_N = np.random.default_rng(rows).permutation(rows).astype(np.float64)
    counts = np.bincount(by_time(time_N, fractions), minlength=3)
    train = 1 - fractions.val_fraction - fractions.test_fraction
    if round(train * rows) < rows and round((1 - fractions.test_fraction) * rows) < rows:
        assert abs(counts[0] - train * rows) <= 0.5 + 1e-9
        assert abs(counts[2] - fractions.test_fraction * rows) <= 0.5 + 1e-9


def test_rows_of_the_time_of_a_cut_go_to_the_later_split():
    time_N = np.array([0.0, 1, 2, 3, 4, 4, 4, 7, 7, 9])  # the cuts fall at 4 and at 7
    split = by_time(time_N, Shares(0.2, 0.2))
    assert split.tolist() == [0, 0, 0, 0, 1, 1, 1, 2, 2, 2]


# --- too few


@pytest.mark.parametrize(
    ("counts", "how", "message"),
    [
        ((0, 0, 0), "random", "0 rows are too few: preprocess.val_fraction 0.15 and test_fraction "
         "0.2 give 0 training, 0 validation, 0 test rows, and at least 20, 10, 10 are needed; "
         "bring about 67 rows or more, or change the fractions in params.yaml"),
        ((1, 0, 0), "random", "1 row is too few: preprocess.val_fraction 0.15 and test_fraction "
         "0.2 give 1 training, 0 validation, 0 test rows, and at least 20, 10, 10 are needed; "
         "bring about 67 rows or more, or change the fractions in params.yaml"),
        ((30, 9, 10), "group", "49 rows are too few: preprocess.val_fraction 0.15 and "
         "test_fraction 0.2 give 30 training, 9 validation, 10 test rows, and at least 20, 10, 10 "
         "are needed; bring about 67 rows or more, or change the fractions in params.yaml"),
        ((900, 0, 100), "group", "1000 rows are too few: preprocess.val_fraction 0.15 and "
         "test_fraction 0.2 give 900 training, 0 validation, 100 test rows, and at least 20, 10, "
         "10 are needed; change the fractions or the seed in params.yaml, or bring more groups: "
         "each goes to one split as a whole"),
        ((0, 0, 1000), "time", "1000 rows are too few: preprocess.val_fraction 0.15 and "
         "test_fraction 0.2 give 0 training, 0 validation, 1000 test rows, and at least 20, 10, "
         "10 are needed; change the fractions in params.yaml, or bring rows of more times: those "
         "of one time stay together"),
        ((980, 5, 15), "source", "1000 rows are too few: preprocess.val_fraction 0.15 and "
         "test_fraction 0.2 give 980 training, 5 validation, 15 test rows, and at least 20, 10, "
         "10 are needed; bring more rows, or change the fractions in params.yaml"),
    ],
)  # fmt: skip
def test_too_few_rows_are_refused_with_the_numbers(counts, how, message):
    with pytest.raises(DataError) as error:
        check(dict(zip(LEAST, counts, strict=True)), Shares(0.15, 0.2), how)
    assert str(error.value) == message


def test_just_enough_rows_pass():
    check(dict(LEAST), Shares())
    for name in LEAST:
        with pytest.raises(DataError):
            check({**LEAST, name: LEAST[name] - 1}, Shares())


@given(val=SHARES, test=SHARES)
def test_the_number_of_rows_that_the_message_asks_for_is_enough(val, test):
    fractions = Shares(val, test)
    with pytest.raises(DataError) as error:
        check(dict.fromkeys(LEAST, 0), fractions)
    needed = int(str(error.value).split("bring about ")[1].split()[0])
    counts = np.bincount(deal(0, needed + 1, fractions), minlength=3).tolist()
    check(dict(zip(LEAST, counts, strict=True)), fractions)


# --- again


@given(train=st.integers(1, 200), val=st.integers(1, 200), seed=SEEDS)
def test_a_new_split_deals_out_the_same_rows_in_the_same_numbers(train, val, seed):
    new_train, new_val = resplit(train, val, seed)
    assert (len(new_train), len(new_val)) == (train, val)
    together = np.concatenate([new_train, new_val])
    assert np.array_equal(np.sort(together), np.arange(train + val))


def test_new_splits_are_told_apart_by_their_seed():
    assert np.array_equal(resplit(90, 10, 1)[1], resplit(90, 10, 1)[1])
    assert not np.array_equal(resplit(90, 10, 1)[1], resplit(90, 10, 2)[1])


def test_what_no_draw_can_mend_is_drawn_all_the_same():
    seen_NF = np.zeros((100, 2), bool)
    train, val = resplit(90, 10, 1, seen_NF)
    assert sorted([*train, *val]) == list(range(100))


def test_where_all_is_observed_the_first_draw_stands():
    for one, other in zip(
        resplit(90, 10, 1), resplit(90, 10, 1, np.ones((100, 2), bool)), strict=True
    ):
        np.testing.assert_array_equal(one, other)
