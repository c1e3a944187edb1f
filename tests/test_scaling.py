"""Laws of the scalers: exact inverse, exact record, equivariance, training rows only."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from hourglass import moments, scaling
from hourglass.schema import Column, Kind

VALUES = st.floats(-1e6, 1e6, allow_subnormal=False).map(lambda v: round(v, 6))
TABLES = hnp.arrays(np.float64, st.tuples(st.integers(2, 30), st.integers(1, 4)), elements=VALUES)
NAMES = st.sampled_from(scaling.names)


def columns(count, low=None, high=None):
    return [Column(f"c{i}", Kind.CONTINUOUS, None, low, high, 0) for i in range(count)]


def fit(name, rows_NF, low=None, high=None):
    return scaling.fit(name, rows_NF, columns(rows_NF.shape[1], low, high))


def random(rows=1000, seed=0):
    return np.random.default_rng(seed).standard_t(3, size=(rows, 3)) * [1, 1e-3, 1e5] + [0, 5, -7]


@given(NAMES, TABLES)
def test_the_inverse_gives_back_the_original_units(name, rows_NF):
    scaler = fit(name, rows_NF)
    back_NF = scaler.inverse(scaler.transform(rows_NF))
    size_F = np.abs(rows_NF).max(axis=0) + np.abs(scaler.offset_F)
    assert np.all(np.abs(back_NF - rows_NF) <= 1e-14 * size_F)


@given(NAMES, TABLES)
def test_json_keeps_every_bit(name, rows_NF):
    scaler = fit(name, rows_NF)
    again = scaling.Scaler.from_json(json.loads(json.dumps(scaler.to_json())))
    assert again.name == name
    assert again.offset_F.tobytes() == scaler.offset_F.tobytes()
    assert again.scale_F.tobytes() == scaler.scale_F.tobytes()


@given(NAMES, TABLES)
def test_scales_are_finite_and_positive(name, rows_NF):
    scaler = fit(name, rows_NF)
    assert np.all(np.isfinite(scaler.offset_F))
    assert np.all(np.isfinite(scaler.scale_F) & (scaler.scale_F > 0))


@pytest.mark.parametrize("name", scaling.names)
@pytest.mark.parametrize(("a", "b"), [(2.5, 0.0), (1e-4, 3.0), (1e5, -1e6)])
def test_scaled_values_do_not_depend_on_the_unit(name, a, b):
    rows_NF = random()
    scaled_NF = fit(name, rows_NF).transform(rows_NF)
    other_NF = a * rows_NF + b
    assert np.allclose(fit(name, other_NF).transform(other_NF), scaled_NF, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", scaling.names)
def test_the_order_of_rows_does_not_matter(name):
    rows_NF = random()
    scaler, other = fit(name, rows_NF), fit(name, rows_NF[::-1])
    assert np.allclose(scaler.offset_F, other.offset_F, rtol=1e-12)
    assert np.allclose(scaler.scale_F, other.scale_F, rtol=1e-12)


def test_unit_ends_at_the_extremes_seen():
    scaled_NF = fit("unit", random()).transform(random())
    assert scaled_NF.min(axis=0).tolist() == [0, 0, 0]
    assert scaled_NF.max(axis=0).tolist() == [1, 1, 1]


def test_unit_ends_at_the_walls_where_there_are_any():
    scaler = fit("unit", np.array([[3.0], [5.0]]), low=0.0, high=16.0)
    assert (scaler.offset_F[0], scaler.scale_F[0]) == (0, 16)
    open_above = fit("unit", np.array([[3.0], [5.0]]), low=0.0)
    assert (open_above.offset_F[0], open_above.scale_F[0]) == (0, 5)


def test_standard_has_mean_0_and_standard_deviation_1():
    scaled_NF = fit("standard", random()).transform(random())
    assert np.allclose(scaled_NF.mean(axis=0), 0, atol=1e-12)
    assert np.allclose(scaled_NF.std(axis=0), 1, rtol=1e-12)


def test_robust_has_median_0_and_interquartile_range_1():
    scaled_NF = fit("robust", random()).transform(random())
    quartiles = np.quantile(scaled_NF, (0.25, 0.5, 0.75), axis=0)
    assert np.allclose(quartiles[1], 0, atol=1e-12)
    assert np.allclose(quartiles[2] - quartiles[0], 1, rtol=1e-12)


def test_robust_does_not_see_an_outlier_that_rules_the_others():
    rows_NF = random()
    wild_NF = rows_NF.copy()
    wild_NF[0] = 1e12
    assert np.allclose(fit("robust", wild_NF).scale_F, fit("robust", rows_NF).scale_F, rtol=0.01)
    assert np.all(fit("standard", wild_NF).scale_F > 1e4 * fit("standard", rows_NF).scale_F)


@pytest.mark.parametrize("share", [0.3, 0.62, 0.9])
def test_robust_takes_the_standard_deviation_where_many_rows_share_the_median(share):
    values = np.random.default_rng(0).exponential(size=1000)
    values[: int(share * 1000)] = np.median(values)
    scaler = fit("robust", values[:, None])
    assert scaler.scale_F[0] == pytest.approx(values.std(), rel=1e-12)


@pytest.mark.parametrize("name", scaling.names)
def test_a_constant_column_keeps_its_unit(name):
    scaler = fit(name, np.full((7, 1), 0.1))
    assert scaler.scale_F.tolist() == [1.0]
    assert scaler.transform(np.array([[0.1], [0.6]])).ravel().tolist() == pytest.approx([0, 0.5])


def test_moments_neither_overflow_nor_cancel():
    huge_NF = np.array([[1e300], [3e300]])
    assert moments.moments(huge_NF).sd_F[0] == pytest.approx(1e300)
    far_NF = 1e9 + random()[:, :1]
    assert moments.moments(far_NF).sd_F[0] == pytest.approx((far_NF - 1e9).std(), rel=1e-9)


@given(TABLES, st.integers(1, 50))
def test_moments_are_those_of_the_whole_for_any_slice(rows_NF, values):
    whole = np.concatenate(list(moments.slices(rows_NF, values)))
    assert np.array_equal(whole, rows_NF)
    seen = moments.moments(rows_NF)
    size = np.abs(rows_NF).max() + 1e-300
    assert np.allclose(seen.mean_F, rows_NF.mean(axis=0), rtol=0, atol=1e-12 * size)
    assert np.allclose(seen.sd_F, rows_NF.std(axis=0), rtol=0, atol=1e-12 * size)


def test_a_sample_is_all_rows_or_evenly_spaced_ones():
    rows_NF = np.arange(1000.0)[:, None]
    assert np.array_equal(moments.sample(rows_NF), rows_NF)
    few = moments.sample(rows_NF, values=100).ravel()
    assert (len(few), few[0], few[-1]) == (100, 0, 999)
    assert np.ptp(np.diff(few)) <= 1


def test_memory_maps_are_fitted_as_arrays_are(tmp_path):
    np.save(tmp_path / "rows.npy", random())
    mapped = np.load(tmp_path / "rows.npy", mmap_mode="r")
    for name in scaling.names:
        assert fit(name, mapped).to_json() == fit(name, random()).to_json()
