"""Made-up data: their means, their noise, and that they are the same however they are read."""

import numpy as np
import pytest
from tests.settings import preprocess

from hourglass.errors import UnknownNameError
from hourglass.sources import SOURCES
from hourglass.sources.synthetic import BLOCK, FAMILIES, signal


def options(family, rows=20_000, columns=6, seed=0):
    size = {"rows": rows, "columns": columns}
    return preprocess(source="synthetic", dataset=family, synthetic=size, seed=seed)


def drawn(own):
    source = SOURCES.load("synthetic")(own, None)
    return np.concatenate([chunk.values_NF for chunk in source.chunks()])


def residuals(family):
    own = options(family)
    data_ND = drawn(own)
    return data_ND - signal(own, np.arange(len(data_ND))), data_ND


@pytest.mark.parametrize("family", FAMILIES)
def test_the_signal_is_the_mean_of_what_is_observed(family):
    left_ND, data_ND = residuals(family)
    if family == "salt_and_pepper":  # of the cells that were left alone
        left_ND = np.where((data_ND > 0) & (data_ND < 1), left_ND, 0)
    limit = 5 * left_ND.std(axis=0) / np.sqrt(len(left_ND))
    if family == "student":  # its variance is infinite
        limit = 0.05
    assert (np.abs(left_ND.mean(axis=0)) < limit + 0.003).all()


@pytest.mark.parametrize(
    ("family", "deviation"),
    [("gauss", 0.4), ("laplace", 0.3 * np.sqrt(2)), ("skewed", 0.5), ("row_outliers", 0.916)],
)
def test_noise_has_the_size_that_its_family_says(family, deviation):
    left_ND, _ = residuals(family)
    assert left_ND.std() == pytest.approx(deviation, rel=0.05)


def test_counts_scatter_as_their_families_say():
    for family, size in (("poisson", np.inf), ("negative_binomial", 2.0)):
        left_ND, data_ND = residuals(family)
        mean_ND = data_ND - left_ND
        expected = (mean_ND + mean_ND**2 / size).mean()
        assert (left_ND**2).mean() == pytest.approx(expected, rel=0.1)
        assert (data_ND == np.round(data_ND)).all()
        assert data_ND.min() >= 0


@pytest.mark.parametrize("family", ["bernoulli", "beta", "continuous_bernoulli", "salt_and_pepper"])
def test_bounded_families_stay_between_0_and_1(family):
    _, data_ND = residuals(family)
    assert data_ND.min() >= 0
    assert data_ND.max() <= 1


def test_columns_have_noise_of_their_own_size():
    left_ND, _ = residuals("columnwise")
    deviations = left_ND.std(axis=0)
    assert deviations.max() / deviations.min() > 2


def test_a_twentieth_of_the_cells_or_rows_is_far_off():
    left_ND, _ = residuals("cell_outliers")
    assert (np.abs(left_ND) > 1).mean() == pytest.approx(0.05 * 0.803, rel=0.1)
    left_ND, _ = residuals("row_outliers")
    assert (np.abs(left_ND) > 1).any(axis=1).mean() == pytest.approx(0.05, rel=0.1)


def test_the_signal_is_standardised_and_of_low_rank():
    own = options("gauss", columns=30)
    found_ND = signal(own, np.arange(20_000))
    np.testing.assert_allclose(found_ND.mean(axis=0), 0, atol=0.05)
    np.testing.assert_allclose(found_ND.std(axis=0), 1, rtol=0.05)
    share = np.linalg.svd(found_ND, compute_uv=False) ** 2
    assert share[:6].sum() / share.sum() > 0.8


def test_rows_are_the_same_whatever_their_number_and_differ_by_seed():
    few, many = drawn(options("gauss", BLOCK + 10)), drawn(options("gauss", 2 * BLOCK + 5))
    assert len(few) == BLOCK + 10
    assert np.array_equal(few, many[: len(few)])
    assert not np.allclose(few[:100], drawn(options("gauss", 100, seed=1)))


def test_the_signal_of_single_rows_is_that_of_all():
    own = options("poisson", 2 * BLOCK)
    rows = np.array([5, BLOCK + 3, 7])
    np.testing.assert_allclose(signal(own, rows), signal(own, np.arange(2 * BLOCK))[rows])


def test_an_unknown_family_is_answered_with_the_nearest():
    with pytest.raises(UnknownNameError, match="unknown noise family 'laplac', did you mean"):
        drawn(options("laplac"))
