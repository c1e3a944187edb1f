"""What single columns look like: each word on a column made to deserve it."""

import numpy as np
import pytest

from hourglass import looks
from hourglass.moments import moments
from hourglass.schema import Column, Kind

ROWS = 5000


def rng(seed=0):
    return np.random.default_rng(seed)


def described(values, kind=Kind.CONTINUOUS, step=None, walls=(None, None), levels=()):
    values_SF = np.asarray(values, dtype=float)[:, None]
    column = Column("c", kind, step, *walls, 0, levels)
    return looks.figures([column], values_SF, moments(values_SF))["c"]


def test_normal_values_have_no_tails_no_skewness_and_no_outliers():
    its = described(rng().normal(size=ROWS))
    assert its["looks"] == "continuous"
    assert its["nu"] is None
    assert abs(its["skewness"]) < 0.1


@pytest.mark.parametrize("nu", [2.0, 4.0])
def test_heavy_tails_are_told_by_degrees_of_freedom(nu):
    its = described(rng().standard_t(nu, 50_000))
    assert its["nu"] == pytest.approx(nu, rel=0.15)
    assert f"heavy tails (like t with {its['nu']:.1f} degrees of freedom)" in its["looks"]
    assert "outliers" in its["looks"]


def test_steps_walls_and_a_point_mass_are_said():
    values = np.where(rng().random(ROWS) < 0.4, 0.0, rng(1).integers(0, 256, ROWS))
    its = described(values, step=1.0, walls=(0.0, 255.0))
    assert its["looks"].startswith("continuous, steps of 1, bounded by 0 and 255, 40% are 0")


def test_skewness_has_its_side():
    assert "skewed to the right" in described(rng().exponential(size=ROWS))["looks"]
    assert "skewed to the left" in described(-rng().exponential(size=ROWS))["looks"]


def test_counts_say_how_much_they_scatter():
    its = described(rng().poisson(3, ROWS), Kind.COUNT, 1.0, (0.0, None))
    assert its["looks"] == f"count, variance {its['variance_over_mean']:.2g} times the mean"
    assert its["variance_over_mean"] == pytest.approx(1, abs=0.1)


def test_flags_say_how_often_they_are_1():
    its = described(np.arange(ROWS) % 4 == 0, Kind.BINARY, 1.0, (0.0, 1.0))
    assert its["looks"] == "binary, 1 in 25.0% of the rows"


def test_levels_have_shares_and_an_entropy_and_unseen_codes_are_none():
    codes = np.array([0.0] * 50 + [1.0] * 25 + [2.0] * 25 + [3.0] * 10)
    its = described(codes, Kind.CATEGORICAL, levels=("red", "green", "blue"))
    assert its["top"] == {"red": 0.5, "green": 0.25, "blue": 0.25}
    assert its["entropy"] == 1.5
    assert its["looks"] == "categorical, 3 levels, 'red' most often (50%)"


def test_gaps_are_counted_and_change_no_figure():
    values = rng().normal(size=ROWS)
    whole = described(values)
    holed = described(np.concatenate([values, np.full(ROWS // 4, np.nan)]))
    assert holed.pop("looks") == "continuous, 20.0% missing"
    assert holed.pop("missing") == pytest.approx(0.2)
    del whole["looks"], whole["missing"]
    for name, value in whole.items():
        if name != "histogram":
            assert holed[name] == pytest.approx(value), name


def test_a_histogram_counts_each_value_once():
    values = rng().standard_t(1.5, ROWS)
    drawn = looks.histogram(Column("c", Kind.CONTINUOUS, None, None, None, 0), values)
    assert sum(drawn["counts"]) == ROWS
    assert len(drawn["counts"]) == looks.BINS
    assert drawn["edges"][0] > values.min()  # the end bins take what lies beyond
    assert drawn["below"] == (values < drawn["edges"][0]).sum()
    assert drawn["above"] == (values > drawn["edges"][-1]).sum()


def test_a_histogram_of_few_steps_has_a_bar_for_each():
    values = rng().integers(0, 5, ROWS)
    drawn = looks.histogram(Column("c", Kind.CONTINUOUS, 1.0, None, None, 0), values.astype(float))
    assert drawn["counts"] == np.bincount(values).tolist()


@pytest.mark.parametrize(("tail", "nu"), [(6.22, 4), (4.14, 20)])
def test_degrees_of_freedom_of_a_tail_ratio(tail, nu):
    found = looks.nu_of(tail)
    assert found is None if nu >= looks.NORMAL_NU else found == pytest.approx(nu, rel=0.02)
