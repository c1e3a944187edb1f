"""Laws of the plain errors that are recorded beside the ruler."""

import numpy as np
import pytest

from hourglass.errors import DataError, TrainingError
from hourglass.metrics import PARTS, bits_per_feature, by_part, detection, measure, scales
from hourglass.schema import Column, Kind


@pytest.fixture
def table():
    rng = np.random.default_rng(5)
    target = rng.normal(size=(40, 3)) * [1, 10, 0.1] + [0, 5, -2]
    return target, target + rng.normal(size=target.shape), target.std(axis=0)


def test_errors_are_those_of_their_names():
    target, reconstruction = np.array([[0.0, 1.0], [2.0, 3.0]]), np.array([[1.0, 1.0], [2.0, 0.0]])
    found = measure(target, reconstruction, np.array([1.0, 2.0]))
    assert found == pytest.approx(
        {
            "rmse": np.sqrt(10 / 4),
            "mae": 1.0,
            "nrmse": np.sqrt((1 + 9 / 4) / 4),
            "nmae": (1 + 3 / 2) / 4,
            "median_ae": 0.5,
            "max_error": 3.0,
            "r2": 1 - 10 / 4,
            "bias": -0.5,
        }
    )


def test_a_change_of_units_leaves_normalised_errors_as_they_are(table):
    target, reconstruction, scale = table
    units = np.array([100.0, 1e-3, 7.0])
    before = measure(target, reconstruction, scale)
    after = measure(target * units, reconstruction * units, scale * units)
    assert after["nrmse"] == pytest.approx(before["nrmse"], rel=1e-12)
    assert after["nmae"] == pytest.approx(before["nmae"], rel=1e-12)
    assert after["rmse"] != pytest.approx(before["rmse"], rel=1e-2)


def test_column_means_explain_nothing(table):
    target, _, scale = table
    means = np.broadcast_to(target.mean(axis=0), target.shape)
    found = measure(target, means, scale)
    assert found["r2"] == pytest.approx(0, abs=1e-12)
    assert found["bias"] == pytest.approx(0, abs=1e-12)
    assert found["nrmse"] == pytest.approx(1, rel=1e-12)


def test_unobserved_values_change_nothing(table):
    target, reconstruction, scale = table
    extra = np.vstack([target, np.full((5, 3), np.nan)])
    shown = np.vstack([reconstruction, np.full((5, 3), 1e9)])
    assert measure(extra, shown, scale) == measure(target, reconstruction, scale)


def test_order_of_rows_is_irrelevant(table):
    target, reconstruction, scale = table
    turned = measure(target[::-1], reconstruction[::-1], scale)
    assert turned == pytest.approx(measure(target, reconstruction, scale), rel=1e-12)


@pytest.mark.parametrize("value", [0.0, 0.1, 1e9])
def test_r2_of_a_constant_table_is_one_if_perfect_and_else_zero(value):
    target = np.full((7, 2), value)
    assert measure(target, target, np.zeros(2))["r2"] == 1.0
    assert measure(target, target + 0.5, np.zeros(2))["r2"] == 0.0


def test_a_column_without_spread_counts_undivided():
    target = np.array([[1.0, 0.0], [1.0, 2.0]])
    found = measure(target, target + np.array([3.0, 0.0]), np.array([0.0, 1.0]))
    assert found["nmae"] == pytest.approx(1.5)


def test_a_reconstruction_that_is_not_finite_is_named(table):
    target, reconstruction, scale = table
    reconstruction[3, 1] = np.nan
    with pytest.raises(TrainingError, match=r"reconstruction nan of .* in row 3, column 1: both"):
        measure(target, reconstruction, scale)


def test_nothing_observed_is_refused():
    with pytest.raises(DataError, match=r"no value was observed in \(2, 3\) rows and columns"):
        measure(np.full((2, 3), np.nan), np.zeros((2, 3)), np.ones(3))


def test_unequal_shapes_are_refused():
    with pytest.raises(ValueError, match=r"target \(2, 3\) and reconstruction \(2, 2\)"):
        measure(np.zeros((2, 3)), np.zeros((2, 2)), np.ones(3))


def test_scales_are_spreads_but_never_below_the_resolution():
    columns = (
        Column("pixel", Kind.CONTINUOUS, 1.0, 0.0, 16.0, 0),
        Column("x", Kind.CONTINUOUS, None, None, None, 0),
    )
    assert scales(np.array([0.03, 0.03]), columns).tolist() == [1.0, 0.03]


def test_of_a_column_of_levels_each_level_has_a_scale():
    columns = (
        Column("a", Kind.CONTINUOUS, 0.5, None, None, 0),
        Column("b", Kind.CATEGORICAL, None, None, None, 0, ("x", "y", "z")),
        Column("c", Kind.COUNT, 1.0, 0.0, None, 0),
    )
    spread = np.array([0.1, 0.2, 0.3, 0.4, 0.5])
    assert scales(spread, columns).tolist() == [0.5, 0.2, 0.3, 0.4, 1.0]


# --- bits per feature


def lengths(gaps: float = 0.0):
    """Bits of each value, which values were observed, bits of each bottleneck."""
    rng = np.random.default_rng(3)
    seen = rng.random((50, 4)) >= gaps
    return np.where(seen, rng.normal(3, 1, (50, 4)), 0.0), seen, rng.random(50)


def test_bits_per_feature_are_the_mean_over_all_values():
    bits, seen, _ = lengths()
    assert bits_per_feature(bits, seen, np.zeros(50)) == pytest.approx(bits.mean(), rel=1e-12)


def test_gaps_are_no_values_and_cost_nothing():
    bits, seen, _ = lengths(gaps=0.4)
    expected = bits[seen].mean()
    assert bits_per_feature(bits, seen, np.zeros(50)) == pytest.approx(expected, rel=1e-12)


def test_what_a_row_costs_beside_its_values_is_shared_among_them():
    bits, seen, extra = lengths(gaps=0.4)
    expected = (bits.sum() + extra.sum()) / seen.sum()
    assert bits_per_feature(bits, seen, extra) == pytest.approx(expected, rel=1e-12)


def test_a_row_that_counts_twice_is_two_rows():
    bits, seen, extra = lengths(gaps=0.4)
    count = np.random.default_rng(0).integers(0, 4, 50)
    expected = bits_per_feature(*(np.repeat(a, count, axis=0) for a in (bits, seen, extra)))
    assert bits_per_feature(bits, seen, extra, count) == pytest.approx(expected, rel=1e-12)
    assert bits_per_feature(bits, seen, extra, 0.01 * count) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("rows", [4, PARTS, 101])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_mean_of_the_parts_is_that_of_all_rows(rows, weighted):
    rng = np.random.default_rng(0)
    seen = rng.random((rows, 3)) < 0.7
    bits, extra = rng.random((rows, 3)) * seen, rng.random(rows)
    count = rng.random(rows) if weighted else None
    parts = by_part(bits, seen, extra, count)
    assert len(parts) == min(rows, PARTS)
    assert np.mean(parts) == pytest.approx(bits_per_feature(bits, seen, extra, count))


def test_a_part_is_a_run_of_neighbours_and_may_be_without_a_value():
    bits = np.repeat([[0.0], [3.0]], [PARTS, PARTS], axis=0)  # two rows a part
    seen = bits > 0
    assert by_part(bits, seen, np.zeros(len(bits))) == [0.0] * (PARTS // 2) + [6.0] * (PARTS // 2)


def test_detection_is_how_often_an_unusual_row_scores_above_another():
    score, unusual = np.array([3.0, 1.0, 2.0, 2.0, 9.0]), np.array([1.0, 0.0, 0.0, 1.0, np.nan])
    found = detection(score, unusual)
    assert found["auroc"] == pytest.approx(3.5 / 4)  # a tie counts half
    assert found["average_precision"] == pytest.approx((1 + 2 / 3) / 2)
    assert detection(score, np.zeros(5)) == {}
    assert detection(score, np.ones(5)) == {}
