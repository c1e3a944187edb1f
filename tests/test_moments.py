"""Figures of columns: read in slices, they are those of the whole."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hourglass import moments
from hourglass.moments import Gathering, Moments

SCALES = st.sampled_from([0.0, 1e-80, 1e-6, 1.0, 1e5, 1e80])
OFFSETS = st.sampled_from([0.0, 1.0, -1e15, 1e15])


@st.composite
def tables(draw, least_rows: int = 1) -> np.ndarray:
    """Columns of any offset and scale, some constant, some with gaps, some empty."""
    rng = np.random.default_rng(draw(st.integers(0, 9999)))
    rows = draw(st.integers(least_rows, 60))
    columns = draw(st.integers(1, 4))
    values = [draw(OFFSETS) + draw(SCALES) * rng.normal(size=rows) for _ in range(columns)]
    rows_NF = np.column_stack(values)
    share = draw(st.sampled_from([0.0, 0.3, 1.0]))
    rows_NF[rng.random(rows) < share, rng.integers(columns)] = np.nan
    return rows_NF


def gathered(rows_NF: np.ndarray, step: int) -> Moments:
    gathering = Gathering(rows_NF.shape[1])
    for start in range(0, len(rows_NF), step):
        gathering.add(rows_NF[start : start + step])
    return gathering.moments()


def plain(values: np.ndarray) -> tuple[int, float, float, float, float]:
    """NumPy's figures of the observed values: number, extremes, mean, standard deviation."""
    seen = values[~np.isnan(values)]
    if not len(seen):
        return 0, np.nan, np.nan, np.nan, 0.0
    centred = seen - seen[0]  # so that NumPy too loses no digits to an offset
    return len(seen), seen.min(), seen.max(), seen[0] + centred.mean(), centred.std()


def check(found: Moments, f: int, values: np.ndarray) -> None:
    count, low, high, mean, sd = plain(values)
    assert found.count_F[f] == count
    np.testing.assert_array_equal([found.low_F[f], found.high_F[f]], [low, high])
    size = max(abs(low), abs(high)) if count else 0.0
    np.testing.assert_allclose(found.mean_F[f], mean, rtol=0, atol=1e-14 * size + 1e-300)
    # An offset costs digits only as far as the values themselves are rounded.
    np.testing.assert_allclose(found.sd_F[f], sd, rtol=1e-9, atol=1e-15 * size)
    if low == high:
        assert (found.sd_F[f], found.mean_F[f]) == (0.0, low)


@given(tables(), st.integers(1, 70))
def test_figures_are_those_of_the_whole_for_any_slicing(rows_NF, step):
    found = gathered(rows_NF, step)
    for f in range(rows_NF.shape[1]):
        check(found, f, rows_NF[:, f])


@given(tables(), st.integers(1, 3), st.integers(1, 70))
def test_pooled_figures_are_those_of_the_pooled_values(rows_NF, groups, step):
    groups_F = np.arange(rows_NF.shape[1]) % groups
    found = gathered(rows_NF, step).pooled(groups_F)
    for f, group in enumerate(groups_F):
        check(found, f, rows_NF[:, groups_F == group].ravel())


def test_a_constant_is_told_from_what_varies_whatever_its_offset():
    values = np.full((1000, 2), 1e15 + 0.3)
    values[500, 1] += 1
    seen = gathered(values, 7)
    assert seen.sd_F[0] == 0.0
    assert seen.mean_F[0] == values[0, 0]
    assert seen.sd_F[1] > 0


@pytest.mark.parametrize("gaps", [False, True])
def test_many_rows_far_from_zero_keep_their_spread(gaps):
    """A regression: sums of many large numbers are off by more than these values vary."""
    values = 1e15 + np.random.default_rng(0).normal(size=(300_000, 3))
    if gaps:
        values[::7] = np.nan
    found = moments.moments(values)
    centred = values[~np.isnan(values).any(axis=1)] - 1e15
    np.testing.assert_allclose(found.mean_F - 1e15, centred.mean(axis=0), atol=0.126)
    np.testing.assert_allclose(found.sd_F, centred.std(axis=0), rtol=0.02)


def test_what_was_never_observed_has_no_figures():
    values = np.column_stack([np.full(5, np.nan), np.arange(5.0)])
    seen = gathered(values, 2)
    assert seen.count_F.tolist() == [0, 5]
    assert np.isnan([seen.low_F[0], seen.high_F[0], seen.mean_F[0]]).all()
    assert seen.sd_F[0] == 0.0
    pooled = seen.pooled(np.array([0, 1]))
    assert np.isnan([pooled.low_F[0], pooled.high_F[0], pooled.mean_F[0]]).all()
    assert pooled.sd_F[0] == 0.0
    assert seen.pooled(np.array([0, 0])).mean_F.tolist() == [2.0, 2.0]


def test_no_rows_at_all_are_no_error():
    gathering = Gathering(2)
    gathering.add(np.zeros((0, 2)))
    assert gathering.moments().count_F.tolist() == [0, 0]


def test_a_choice_of_columns_keeps_their_figures():
    rows_NF = np.random.default_rng(0).normal(size=(9, 4))
    chosen_F = np.array([True, False, False, True])
    every = moments.moments(rows_NF)
    taken = every.take(chosen_F)
    for name in vars(every):
        np.testing.assert_array_equal(getattr(taken, name), getattr(every, name)[[0, 3]])


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.int64, np.float64])
def test_types_of_files_are_read_as_the_numbers_they_are(tmp_path, dtype):
    rows_NF = np.random.default_rng(0).integers(0, 200, (500, 3)).astype(dtype)
    np.save(tmp_path / "rows.npy", rows_NF)
    seen = moments.moments(np.load(tmp_path / "rows.npy", mmap_mode="r"))
    np.testing.assert_allclose(seen.mean_F, rows_NF.astype(float).mean(axis=0), rtol=1e-14)
    np.testing.assert_allclose(seen.sd_F, rows_NF.astype(float).std(axis=0), rtol=1e-12)


def test_values_up_to_the_largest_that_are_taken_in_do_not_overflow():
    huge_NF = np.array([[1e100, -1e100], [1e100, 1e100], [-1e100, np.nan]])
    seen = moments.moments(huge_NF)
    assert seen.sd_F[0] == pytest.approx(np.sqrt(8 / 9) * 1e100)
    assert seen.sd_F[1] == pytest.approx(1e100)


@given(tables(), st.integers(1, 300))
def test_slices_are_the_rows_in_their_order(rows_NF, values):
    whole = np.concatenate(list(moments.slices(rows_NF, values)))
    np.testing.assert_array_equal(whole, rows_NF)


def test_slices_are_copies_of_what_is_on_disk():
    rows_NF = np.zeros((4, 2))
    for part in moments.slices(rows_NF):
        part += 1
    assert not rows_NF.any()


@given(tables())
def test_quantiles_are_those_of_the_observed_values(rows_NF):
    found = moments.quantiles(rows_NF, (0.1, 0.5))
    for f in range(rows_NF.shape[1]):
        seen = rows_NF[~np.isnan(rows_NF[:, f]), f]
        expected = np.quantile(seen, (0.1, 0.5)) if len(seen) else [np.nan, np.nan]
        np.testing.assert_allclose(found[:, f], expected, rtol=1e-12)


def test_the_interquartile_range_tells_no_spread_where_many_rows_share_the_median():
    rng = np.random.default_rng(0)
    normal = rng.normal(size=1000)
    mostly_zero = np.where(rng.random(1000) < 0.7, 0.0, normal)
    gaps = np.where(rng.random(1000) < 0.5, np.nan, normal)
    # Of the observed values three tenths are zero, of all rows only 15 %.
    zeros_and_gaps = np.where(
        rng.random(1000) < 0.5, np.nan, np.where(abs(normal) < 0.39, 0.0, normal)
    )
    found = moments.spread(
        np.column_stack([normal, mostly_zero, gaps, np.ones(1000), zeros_and_gaps])
    )
    assert found[0] == pytest.approx(np.subtract(*np.quantile(normal, (0.75, 0.25))))
    assert found[2] == pytest.approx(1.35, abs=0.15)
    assert np.isnan(found[[1, 3, 4]]).tolist() == [True, True, True]


def test_a_sample_is_all_rows_or_evenly_spaced_ones():
    rows_NF = np.arange(1000.0)[:, None]
    np.testing.assert_array_equal(moments.sample(rows_NF), rows_NF)
    few = moments.sample(rows_NF, values=100).ravel()
    assert (len(few), few[0], few[-1]) == (100, 0, 999)
    assert np.ptp(np.diff(few)) <= 1


def test_a_sample_shows_what_is_seldom_observed_and_what_seldom_varies():
    rows_NF = np.zeros((5000, 4))
    rows_NF[:, 0] = np.arange(5000)
    rows_NF[:, 1] = np.nan
    rows_NF[7:4000:101, 1] = np.arange(40)  # of which evenly spaced rows hold few
    rows_NF[[13, 14, 4001], 2] = 1
    few = moments.sample(rows_NF, values=400, seen=moments.moments(rows_NF))
    assert 100 <= len(few) <= 150
    assert (np.diff(few[:, 0]) > 0).all()
    assert (~np.isnan(few[:, 1])).sum() >= 20
    assert few[:, 2].sum() == 3
    without = moments.sample(rows_NF, values=400)
    assert (~np.isnan(without[:, 1])).sum() >= 20
    assert without[:, 2].sum() == 0


@given(rows=st.integers(1, 500), wanted=st.integers(0, 600))
def test_evenly_spaced_rows_are_as_many_as_wanted_and_none_twice(rows, wanted):
    at = np.arange(rows)[moments.evenly(rows, wanted)]
    assert len(at) == min(rows, max(1, wanted))
    assert (np.diff(at) > 0).all()
