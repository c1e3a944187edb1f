"""Laws of the scalers: exact inverse, exact record, equivariance, training rows only."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from hourglass import moments, scaling, wide
from hourglass.schema import Column, Kind, Schema

VALUES = st.floats(-1e6, 1e6, allow_subnormal=False).map(lambda v: round(v, 6))
TABLES = hnp.arrays(np.float64, st.tuples(st.integers(2, 30), st.integers(1, 4)), elements=VALUES)
NAMES = st.sampled_from(scaling.names)


def schema_of(*columns, shape=None):
    return Schema("a test", tuple(columns), {}, {}, shape, {}, "0", gaps=True)


def numbers(count, low=None, high=None):
    return [Column(f"c{i}", Kind.CONTINUOUS, None, low, high, 0) for i in range(count)]


def fit(name, rows_NF, low=None, high=None, shape=None):
    columns = numbers(rows_NF.shape[1], low, high)
    return scaling.fit(name, rows_NF, schema_of(*columns, shape=shape))


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


def test_memory_maps_are_fitted_as_arrays_are(tmp_path):
    np.save(tmp_path / "rows.npy", random())
    mapped = np.load(tmp_path / "rows.npy", mmap_mode="r")
    for name in scaling.names:
        assert fit(name, mapped).to_json() == fit(name, random()).to_json()


# --- gaps


@pytest.mark.parametrize("name", scaling.names)
def test_gaps_are_ignored(name):
    rows_NF = random()
    holed_NF = np.full((3 * len(rows_NF), 3), np.nan)
    for f in range(3):
        places = np.random.default_rng(f).permutation(len(holed_NF))[: len(rows_NF)]
        holed_NF[np.sort(places), f] = rows_NF[:, f]
    plain, found = fit(name, rows_NF), fit(name, holed_NF)
    np.testing.assert_allclose(found.offset_F, plain.offset_F, rtol=1e-12)
    np.testing.assert_allclose(found.scale_F, plain.scale_F, rtol=1e-12)
    scaled_NF = found.transform(holed_NF)
    np.testing.assert_array_equal(np.isnan(scaled_NF), np.isnan(holed_NF))
    np.testing.assert_array_equal(np.isnan(found.inverse(scaled_NF)), np.isnan(holed_NF))


@pytest.mark.parametrize("shape", [None, (1, 2)])
@pytest.mark.parametrize("name", scaling.names)
def test_a_column_that_was_never_observed_stays_as_it_is(name, shape):
    """Later rows may hold a value after all: it must not become NaN in silence."""
    rows_NF = random()[:, :2]
    rows_NF[:, 1] = np.nan
    scaler = fit(name, rows_NF, shape=shape)
    assert scaler.scale_F[1] == 1.0
    assert np.isfinite(scaler.transform(np.ones((1, 2)))).all()


# --- kinds


def flagged_and_levelled():
    """A flag, a number, levels, a count; their columns."""
    rng = np.random.default_rng(0)
    rows_NF = np.column_stack(
        [
            rng.integers(0, 2, 200),
            rng.normal(5, 3, 200),
            rng.integers(0, 4, 200),
            rng.poisson(6, 200),
        ]
    ).astype(np.float64)
    columns = (
        Column("flag", Kind.BINARY, 1.0, 0.0, 1.0, 0),
        Column("number", Kind.CONTINUOUS, None, None, None, 0),
        Column("level", Kind.CATEGORICAL, None, None, None, 0, ("a", "b", "c")),
        Column("count", Kind.COUNT, 1.0, 0.0, None, 0),
    )
    return rows_NF, schema_of(*columns)


@pytest.mark.parametrize("name", scaling.names)
def test_flags_and_levels_stay_as_they_are_and_counts_do_not(name):
    rows_NF, schema = flagged_and_levelled()
    scaled_NF = scaling.fit(name, rows_NF, schema).transform(rows_NF)
    np.testing.assert_array_equal(scaled_NF[:, [0, 2]], rows_NF[:, [0, 2]])
    assert np.abs(scaled_NF[:, [1, 3]]).max(axis=0).max() < 6
    assert (scaled_NF[:, [1, 3]] != rows_NF[:, [1, 3]]).any(axis=0).all()


@pytest.mark.parametrize("name", scaling.names)
def test_in_the_wide_form_each_level_keeps_its_probability(name):
    rows_NF, schema = flagged_and_levelled()
    scaler = scaling.fit(name, rows_NF, schema)
    wider = scaler.widened(schema)
    assert wider.scale_F.tolist() == [*scaler.scale_F[:2], 1.0, 1.0, 1.0, scaler.scale_F[3]]
    assert wider.offset_F.tolist() == [*scaler.offset_F[:2], 0.0, 0.0, 0.0, scaler.offset_F[3]]
    wide_NW = wide.expand(scaler.transform(rows_NF), schema.columns)
    np.testing.assert_allclose(
        wider.inverse(wide_NW), wide.expand(rows_NF, schema.columns), atol=1e-12
    )


def test_without_levels_the_wide_form_changes_nothing():
    scaler = fit("standard", random())
    assert scaler.widened(schema_of(*numbers(3))).to_json() == scaler.to_json()


# --- arrays


def windows(rows=300):
    """Five places of two channels that differ a thousandfold; the places differ in level too."""
    rng = np.random.default_rng(0)
    levels_FC = np.arange(5)[:, None] * [0.5, 2000.0]
    values = rng.normal(size=(rows, 5, 2)) * [1.0, 1000.0] + levels_FC
    return values.reshape(rows, 10)


@pytest.mark.parametrize("name", scaling.names)
def test_the_places_of_a_channel_share_what_their_values_together_say(name):
    rows_NF = windows()
    scaler = fit(name, rows_NF, shape=(5, 2))
    for channel in range(2):
        pooled = rows_NF[:, channel::2].reshape(-1, 1)
        alone = fit(name, pooled)
        np.testing.assert_allclose(scaler.offset_F[channel::2], alone.offset_F[0], rtol=1e-12)
        np.testing.assert_allclose(scaler.scale_F[channel::2], alone.scale_F[0], rtol=1e-12)


@pytest.mark.parametrize("name", scaling.names)
def test_a_channel_with_gaps_is_scaled_by_what_was_observed_of_it(name):
    rows_NF = windows()
    rows_NF[np.random.default_rng(1).random(rows_NF.shape) < 0.3] = np.nan
    rows_NF[:, 4] = np.nan  # a place that was never seen, such as a corner of a round picture
    scaler = fit(name, rows_NF, shape=(5, 2))
    for channel in range(2):
        pooled = rows_NF[:, channel::2].ravel()
        alone = fit(name, pooled[~np.isnan(pooled)][:, None])
        np.testing.assert_allclose(scaler.offset_F[channel::2], alone.offset_F[0], rtol=1e-12)
        np.testing.assert_allclose(scaler.scale_F[channel::2], alone.scale_F[0], rtol=1e-12)


def test_the_channel_is_what_turns_fastest():
    assert scaling.channels(schema_of(*numbers(12), shape=(2, 2, 3))).tolist() == [0, 1, 2] * 4
    assert scaling.channels(schema_of(*numbers(4), shape=(2, 2))).tolist() == [0, 1, 0, 1]


def test_a_quartile_of_many_pixels_is_that_of_evenly_spaced_ones(monkeypatch):
    rows_NF = np.random.default_rng(0).normal(3, 2, (4000, 4))
    exact = fit("robust", rows_NF, shape=(2, 2, 1))
    monkeypatch.setattr(moments, "SLICE_VALUES", 4000)
    some = fit("robust", rows_NF, shape=(2, 2, 1))
    np.testing.assert_allclose(some.offset_F, exact.offset_F, atol=0.2)
    np.testing.assert_allclose(some.scale_F, exact.scale_F, rtol=0.1)
    assert len(set(some.offset_F.tolist())) == 1


# --- odd tables

KINDS = st.sampled_from(list(Kind))


@st.composite
def odd_tables(draw):
    """Columns of all kinds, offsets, scales and gaps; constants; arrays."""
    rng = np.random.default_rng(draw(st.integers(0, 9999)))
    rows, count = draw(st.integers(2, 40)), draw(st.integers(1, 4))
    values, columns = [], []
    for f in range(count):
        kind = draw(KINDS)
        offset = draw(st.sampled_from([0.0, -3.0, 1e6, -1e15, 1e80]))
        size = draw(st.sampled_from([0.0, 1e-80, 1e-3, 1.0, 1e80]))
        own = {
            Kind.CONTINUOUS: offset + size * rng.standard_t(2, size=rows),
            Kind.COUNT: rng.poisson(draw(st.sampled_from([0.1, 5.0, 1e6])), rows),
            Kind.BINARY: rng.integers(0, 2, rows),
            Kind.CATEGORICAL: rng.integers(0, 4, rows),
        }[kind].astype(np.float64)
        own[rng.random(rows) < draw(st.sampled_from([0.0, 0.3]))] = np.nan
        values.append(own)
        levels = ("a", "b", "c") if kind is Kind.CATEGORICAL else ()
        columns.append(Column(f"c{f}", kind, None, None, None, 0, levels))
    shape = draw(st.sampled_from([None, (count, 1), (1, count)]))
    return np.column_stack(values), schema_of(*columns, shape=shape)


@given(NAMES, odd_tables())
def test_any_table_comes_back_from_single_precision_as_well_as_it_can(name, table):
    rows_NF, schema = table
    scaler = scaling.fit(name, rows_NF, schema)
    assert np.isfinite(scaler.offset_F).all()
    assert np.isfinite(scaler.scale_F).all()
    assert (scaler.scale_F > 0).all()
    scaled_NF = scaler.transform(rows_NF)
    back_NF = scaler.inverse(scaled_NF)
    np.testing.assert_array_equal(np.isnan(back_NF), np.isnan(rows_NF))
    size_NF = np.abs(rows_NF) + np.abs(scaler.offset_F)
    assert np.all((np.abs(back_NF - rows_NF) <= 1e-15 * size_NF) | np.isnan(rows_NF))
    if np.nanmax(np.abs(scaled_NF), initial=0) > 1e30:
        return  # of mixed channels: normalize refuses what float32 can't hold
    single_NF = scaler.inverse(scaled_NF.astype(np.float32))
    slack_NF = 6e-8 * np.abs(scaled_NF) * scaler.scale_F + 1e-15 * size_NF + 1e-44 * scaler.scale_F
    assert np.all((np.abs(single_NF - rows_NF) <= slack_NF) | np.isnan(rows_NF))


@given(NAMES, odd_tables())
def test_figures_that_are_known_already_change_nothing(name, table):
    rows_NF, schema = table
    known = scaling.fit(name, rows_NF, schema, moments.moments(rows_NF))
    assert known.to_json() == scaling.fit(name, rows_NF, schema).to_json()
