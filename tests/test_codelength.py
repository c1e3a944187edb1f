"""Laws of the ruler: identities of code lengths that hold whatever the data."""

import json

import numpy as np
import pytest
from scipy import special, stats

from hourglass import codelength
from hourglass.codelength import Alone, Calibration, Code, bits, candidates, cross_fitted_bits, fit
from hourglass.errors import DataError, TrainingError
from hourglass.schema import Column, Kind

SEED = 11
MANY = 200_000
UNIT = {"low": 0.0, "high": 1.0}
GREY = {"resolution": 1.0, "low": 0.0, "high": 16.0}


REAL = ("gauss", "laplace", "student_t")
BOXED = (*REAL, "beta", "continuous_bernoulli")
FAMILY_AND_WALLS = [(f, {}) for f in REAL] + [(f, UNIT) for f in BOXED]


def column(kind=Kind.CONTINUOUS, resolution=None, low=None, high=None, name="x"):
    return Column(name, kind, resolution, low, high, 0)


def one(values):
    return np.asarray(values, dtype=float).reshape(-1, 1)


def length(target, reconstruction, described, families=None):
    """Bits per feature of rows that are coded with a code fitted to themselves."""
    table = one(target), one(reconstruction)
    return bits(fit(*table, [described], families), *table).mean()


def noise(family, rng, rows, mean):
    """Values around `mean` (in [0, 1] or positive) whose generating family is `family`."""
    if family == "beta":
        return rng.beta(12 * mean, 12 * (1 - mean))
    draw = {
        "gauss": lambda: mean + 0.3 * rng.normal(size=rows),
        "laplace": lambda: mean + 0.3 * rng.laplace(size=rows),
        "student_t": lambda: mean + 0.3 * rng.standard_t(3, size=rows),
        "poisson": lambda: rng.poisson(mean),
        "negative_binomial": lambda: rng.negative_binomial(2, 2 / (2 + mean)),
    }
    return draw[family]()


def test_gauss_code_length_is_the_log_of_the_rmse():
    rng = np.random.default_rng(SEED)
    x, m = rng.gamma(2, size=500), rng.normal(size=500)
    rmse = np.sqrt(np.mean((x - m) ** 2))
    expected = np.log2(rmse) + np.log2(2 * np.pi * np.e) / 2
    assert length(x, m, column(), ["gauss"]) == pytest.approx(expected, abs=1e-12)


def test_laplace_code_length_is_the_log_of_the_mae():
    rng = np.random.default_rng(SEED)
    x, m = rng.gamma(2, size=500), rng.normal(size=500)
    expected = np.log2(2 * np.e * np.mean(np.abs(x - m)))
    assert length(x, m, column(), ["laplace"]) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("a", [-3.0, 1e-4, 2.5e5])
@pytest.mark.parametrize(("family", "walls"), FAMILY_AND_WALLS, ids=str)
def test_a_change_of_unit_shifts_the_length_by_its_log(family, walls, a):
    described, b = column(**walls), 7.0
    rng = np.random.default_rng(SEED)
    m = rng.uniform(0.05, 0.95, size=300)
    x = noise("beta", rng, 300, m)
    ends = sorted((b, a + b)) if walls else (None, None)
    moved = length(a * x + b, a * m + b, column(low=ends[0], high=ends[1]), [family])
    assert moved - np.log2(abs(a)) == pytest.approx(length(x, m, described, [family]), abs=1e-5)


@pytest.mark.parametrize("family", ["gauss", "laplace", "student_t", "beta"])
def test_a_change_of_unit_leaves_the_length_at_a_resolution_as_it_is(family):
    rng = np.random.default_rng(SEED)
    m = rng.uniform(1, 15, size=300)
    x = np.rint(noise("beta", rng, 300, m / 16) * 16)
    finer = column(resolution=0.25, low=0.0, high=4.0)
    there, here = length(x / 4, m / 4, finer, [family]), length(x, m, column(**GREY), [family])
    assert there == pytest.approx(here, abs=1e-9)


@pytest.mark.parametrize(
    ("kind", "walls", "truth"),
    [
        ("continuous", {}, lambda m: stats.norm(m, 0.3)),
        ("continuous", {}, lambda m: stats.laplace(m, 0.3)),
        ("continuous", {}, lambda m: stats.t(4, m, 0.3)),
        ("continuous", {}, lambda m: stats.t(1.9, m, 0.3)),
        ("continuous", UNIT, lambda m: stats.beta(12 * m, 12 * (1 - m))),
        ("binary", {}, lambda m: stats.bernoulli(m)),
        ("count", {}, lambda m: stats.poisson(9 * m)),
        ("count", {}, lambda m: stats.nbinom(2, 2 / (2 + 9 * m))),
    ],
    ids=["gauss", "laplace", "t4", "t1.9", "beta", "bernoulli", "poisson", "negative_binomial"],
)
def test_the_true_signal_reaches_the_length_under_the_true_distribution(kind, walls, truth):
    mean = np.random.default_rng(SEED).uniform(0.1, 0.9, size=MANY)
    law = truth(mean)
    x = law.rvs(random_state=SEED + 1).astype(float)
    log_p = (law.logpdf if kind == "continuous" else law.logpmf)(x)
    described, signal = column(Kind(kind), **walls), mean * (9 if kind == "count" else 1)
    found = cross_fitted_bits(one(x), one(signal), [described]).mean()
    assert found == pytest.approx(-log_p.mean() / np.log(2), abs=0.003)


def test_gauss_noise_reaches_its_entropy():
    residual = np.random.default_rng(SEED).normal(size=MANY)
    residual /= np.sqrt(np.mean(residual**2))  # so that no luck of the draw is left
    found = cross_fitted_bits(one(residual), one(0 * residual), [column()]).mean()
    assert found == pytest.approx(stats.norm.entropy() / np.log(2), abs=0.003)


def test_a_gauss_code_on_laplace_noise_costs_a_tenth_of_a_bit():
    r = np.random.default_rng(SEED).laplace(size=MANY)
    extra = length(r, 0 * r, column(), ["gauss"]) - length(r, 0 * r, column(), ["laplace"])
    assert extra == pytest.approx(np.log2(np.pi / np.e) / 2, abs=0.01)


def test_a_laplace_code_on_gauss_noise_costs_seven_hundredths_of_a_bit():
    r = np.random.default_rng(SEED).normal(size=MANY)
    extra = length(r, 0 * r, column(), ["laplace"]) - length(r, 0 * r, column(), ["gauss"])
    assert extra == pytest.approx(
        np.log2(2 * np.e * np.sqrt(2 / np.pi) / np.sqrt(2 * np.pi * np.e)), abs=0.01
    )


FITTED = {
    "gauss": {"scale": 2.2},
    "laplace": {"scale": 1.4},
    "student_t": {"nu": 2.5, "scale": 1.7},
    "beta": {"concentration": 9.0},
    "continuous_bernoulli": {},
    "poisson": {},
    "negative_binomial": {"size": 1.5},
    "bernoulli": {"slope": 1.3, "intercept": -0.2},
}
BOXES = ({"low": 2.0, "high": 9.0}, {"low": 0.0, "high": 16.0}, {"low": 3.0, "high": 4.0})
HALF_OPEN = ({}, {"low": 0.0}, {"low": 4.0}, {"high": 3.0})
LEVELS = [
    *[(f, Kind.CONTINUOUS, w) for f in REAL for w in (*BOXES, *HALF_OPEN)],
    *[(f, Kind.CONTINUOUS, w) for f in BOXED[3:] for w in BOXES],
    *[(f, Kind.COUNT, w) for f in ("poisson", "negative_binomial") for w in (*BOXES, *HALF_OPEN)],
    *[("bernoulli", Kind.BINARY, w) for w in ({}, BOXES[0])],
]


@pytest.mark.parametrize("m", [-3.0, 0.0, 0.4, 7.9, 16.0, 40.0])
@pytest.mark.parametrize(("family", "kind", "walls"), LEVELS, ids=str)
def test_probabilities_over_all_levels_sum_to_one(family, kind, walls, m):
    described = column(kind, **{"resolution": 1.0, **walls})
    low, high, step = 0.0, 1.0, 1.0
    if family == "bernoulli" and described.low is not None and described.high is not None:
        low, high, step = described.low, described.high, described.high - described.low
    walled = walls != {} or kind is not Kind.CONTINUOUS
    code = Code(described, family, FITTED[family], (low + high) / 2, 4.0 if walled else 0.0)
    levels = one(low + step * np.arange(-12_000, 12_001))
    lengths = bits(Calibration((code,)), levels, np.full_like(levels, m))
    assert np.all(lengths >= 0)
    assert np.exp2(-lengths).sum() == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("family", BOXED)
def test_a_density_between_walls_integrates_to_one(family):
    points = (np.arange(400_000) + 0.5) / 100_000 - 1.5
    code = Code(column(**UNIT), family, FITTED[family] | {"scale": 0.05, "nu": 9.0}, 0.5, 0.5)
    for m in (0.25, 0.5, 0.7):
        lengths = bits(Calibration((code,)), one(points), np.full((len(points), 1), m))
        assert np.exp2(-lengths).sum() / 100_000 == pytest.approx(1.0, abs=1e-3)


@pytest.mark.parametrize("step", [1.0, 1e-2, 1e-5, 1e-9])
@pytest.mark.parametrize("family", ["gauss", "laplace", "student_t"])
def test_a_bin_is_as_probable_as_its_two_halves_together(family, step):
    fitted = FITTED[family]
    x = one([0.0, 0.3 * step, 0.5, 1.0, 9.0, 75.0, 300.0])
    whole, half = (
        Calibration((Code(column(resolution=d), family, fitted, 0.0, 0.0),))
        for d in (step, step / 2)
    )
    halves = [-bits(half, x + shift, 0 * x) for shift in (-step / 4, step / 4)]
    np.testing.assert_allclose(-np.logaddexp2(*halves), bits(whole, x, 0 * x), rtol=0, atol=1e-5)


@pytest.mark.parametrize(("family", "walls"), FAMILY_AND_WALLS, ids=str)
def test_a_fine_resolution_only_adds_its_log_to_the_density(family, walls):
    fitted = FITTED[family] | {"scale": 0.2}
    x, m = one(np.linspace(0.05, 0.95, 50)), one(np.linspace(0.9, 0.1, 50))
    spread = 0.5 if walls else 0.0
    dense, binned = (
        bits(Calibration((Code(column(resolution=d, **walls), family, fitted, 0.5, spread),)), x, m)
        for d in (None, 1e-5)
    )
    np.testing.assert_allclose(binned + np.log2(1e-5), dense, rtol=0, atol=1e-3)


@pytest.mark.parametrize(
    ("family", "described"),
    [
        ("gauss", column()),
        ("laplace", column()),
        ("student_t", column()),
        ("beta", column(**UNIT)),
        ("poisson", column(Kind.COUNT, 1.0, low=0.0)),
        ("negative_binomial", column(Kind.COUNT, 1.0, low=0.0)),
    ],
)
def test_the_generating_family_is_chosen_at_many_rows(family, described):
    rng = np.random.default_rng(SEED)
    mean = rng.uniform(0.1, 0.9, size=20_000) * (8 if described.kind is Kind.COUNT else 1)
    x = noise(family, rng, 20_000, mean)
    assert fit(one(x), one(mean), [described]).codes[0].family == family


def test_counts_that_are_reconstructed_better_than_poisson_noise_get_a_narrower_code():
    rng = np.random.default_rng(SEED)
    age = rng.integers(18, 90, size=2000).astype(float)
    guess, described = age + rng.normal(size=2000), column(Kind.COUNT, 1.0)
    assert fit(one(age), one(guess), [described]).codes[0].family == "gauss"
    assert length(age, guess, described) < length(age, guess, described, ["poisson"]) - 1


def test_recalibration_undoes_any_slope_and_intercept_on_the_logit():
    logit = np.random.default_rng(SEED).normal(size=4000)
    x = np.random.default_rng(SEED + 1).uniform(size=4000) < special.expit(logit)
    plain = length(x, special.expit(logit), column(Kind.BINARY))
    bent = length(x, special.expit(0.4 * logit - 1), column(Kind.BINARY))
    assert bent == pytest.approx(plain, abs=1e-4)


@pytest.mark.parametrize("sure", [0.9, 0.999, 1.0])
@pytest.mark.parametrize("rows", [100, 2000, 50_000])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.5])
def test_a_model_that_is_sure_of_flags_it_knows_nothing_of_costs_their_entropy(sure, rows, share):
    rng = np.random.default_rng(SEED)
    x = rng.permutation(np.arange(rows) < share * rows)
    m = np.where(rng.uniform(size=rows) < 0.5, sure, 1 - sure)
    found = length(x, m, column(Kind.BINARY))
    entropy = stats.bernoulli(x.mean()).entropy() / np.log(2)
    assert found == pytest.approx(entropy, abs=0.003 + 8 / rows)
    assert found <= entropy + 1e-3 + 0.1 / rows


@pytest.mark.parametrize("m", [[0.0, 1.0], [0.4, 0.6], [-5.0, 9.0], [1.0, 0.0], [0.5, 0.5]])
def test_separable_levels_stay_finite(m):
    x = np.tile([0.0, 1.0], 50)
    assert 0 <= length(x, np.tile(m, 50), column(Kind.BINARY)) <= 1.001


def mixed(rows, rng):
    """A table with a column of each kind and its reconstruction."""
    described = [
        column(name="real"),
        column(name="grid", resolution=0.5),
        column(name="grey", **GREY),
        column(name="unit", **UNIT),
        column(Kind.BINARY, name="flag"),
        column(Kind.COUNT, 1.0, name="count", low=0.0),
    ]
    m = rng.uniform(0.1, 0.9, size=(rows, 6)) * [1, 5, 16, 1, 1, 9]
    x = m + 0.2 * rng.standard_t(4, size=m.shape)
    x[:, 1] = np.rint(x[:, 1] * 2) / 2
    x[:, 2] = np.clip(np.rint(x[:, 2]), 0, 16)
    x[:, 3] = noise("beta", rng, rows, m[:, 3])
    x[:, 4] = rng.uniform(size=rows) < m[:, 4]
    x[:, 5] = rng.poisson(m[:, 5])
    return x, m, described


def test_order_of_rows_and_columns_is_irrelevant():
    rng = np.random.default_rng(SEED)
    x, m, described = mixed(200, rng)
    rows, order = rng.permutation(200), rng.permutation(6)
    plain = bits(fit(x, m, described), x, m)
    shuffled = [a[rows][:, order] for a in (x, m)]
    moved = bits(fit(*shuffled, [described[i] for i in order]), *shuffled)
    np.testing.assert_allclose(moved, plain[rows][:, order], rtol=1e-9, atol=1e-9)


def test_chunks_of_columns_change_nothing(monkeypatch):
    x, m, described = mixed(100, np.random.default_rng(SEED))
    twice = np.hstack([x, x]), np.hstack([m, m]), described * 2
    whole = cross_fitted_bits(*twice)
    monkeypatch.setattr(codelength, "CELLS", 1)
    np.testing.assert_array_equal(cross_fitted_bits(*twice), whole)


def test_unobserved_values_cost_nothing_and_change_nothing():
    rng = np.random.default_rng(SEED)
    x, m, described = mixed(300, rng)
    for i, one_column in enumerate(described):
        gaps = rng.uniform(size=300) < 0.3
        holes = np.where(gaps, np.nan, x[:, i])
        calibration = fit(one(holes), one(m[:, i]), [one_column])
        found = bits(calibration, one(holes), one(m[:, i]))[:, 0]
        kept = one(x[~gaps, i]), one(m[~gaps, i])
        assert np.all(found[gaps] == 0)
        expected = bits(fit(*kept, [one_column]), *kept)[:, 0]
        np.testing.assert_allclose(found[~gaps], expected, rtol=1e-9, atol=1e-9)


def test_a_row_is_never_scored_by_a_code_that_saw_its_half():
    x, m, described = mixed(100, np.random.default_rng(SEED))
    before = cross_fitted_bits(x, m, described)
    x[40] = x[40] + [1e3, 1e3, 0, 0, 0, 50]
    after = cross_fitted_bits(x, m, described)
    same_half = [i for i in range(0, 100, 2) if i != 40]
    np.testing.assert_array_equal(after[same_half], before[same_half])
    assert np.all(after[1::2, 0] != before[1::2, 0])


def test_lengths_are_additive_over_halves():
    x, m, described = mixed(60, np.random.default_rng(SEED))
    calibration = fit(x, m, described)
    parts = [bits(calibration, x[k], m[k]) for k in (slice(0, 17), slice(17, None))]
    np.testing.assert_array_equal(np.vstack(parts), bits(calibration, x, m))


@pytest.mark.parametrize("value", [0.0, 1.0, -7.3])
@pytest.mark.parametrize("error", [0.0, 0.5, 1e-9])
@pytest.mark.parametrize(
    "described",
    [
        column(),
        column(resolution=1.0),
        column(low=-10.0, high=10.0),
        column(resolution=0.1, low=-10.0, high=10.0),
        column(low=1.0, high=1.0),
        column(resolution=1.0, low=1.0, high=1.0),
        column(Kind.BINARY),
        column(Kind.COUNT),
    ],
    ids=str,
)
def test_constant_columns_have_a_finite_length(described, value, error):
    x = np.full((10, 1), value)
    assert np.all(np.isfinite(cross_fitted_bits(x, x + error, [described])))


@pytest.mark.parametrize("extreme", [1e300, -1e300, 1e30, -1e6, 1e-300])
def test_extremes_stay_finite_and_never_negative_with_a_resolution(extreme):
    x, m, described = mixed(80, np.random.default_rng(SEED))
    for table in (x, m):
        kept = table[3].copy()
        table[3] = extreme
        for calibration in (fit(x, m, described), fit(x[10:], m[10:], described)):
            lengths = bits(calibration, x, m)
            assert np.all(np.isfinite(lengths))
            resolved = [grid_step > 0 for grid_step in (0, 0.5, 1, 0, 1, 1)]
            assert np.all(lengths[:, resolved] >= 0)
        table[3] = kept


def test_walls_bound_the_cost_of_any_error_inside():
    x, m = np.tile([0.0, 16.0], 200), np.tile([0.0, 16.0], 200)
    calibration = fit(one(x), one(m), [column(**GREY)], ["gauss"])
    worst = bits(calibration, one([16.0]), one([-1e9]))
    assert worst.item() == pytest.approx(np.log2(1 / (1e-4 * 0.5 / 8 / np.pi)), abs=0.1)


def test_a_reconstruction_on_a_wall_costs_finite_bits_without_a_resolution():
    x = np.linspace(0, 1, 101)
    for family in candidates(column(**UNIT)):
        lengths = fit(one(x), one(np.rint(x)), [column(**UNIT)], [family])
        assert np.all(np.isfinite(bits(lengths, one(x), one(np.rint(x)))))


@pytest.mark.parametrize("family", BOXED)
def test_a_resolution_finer_than_floats_can_tell_stays_finite(family):
    x, described = one([-1e3, 1e-8, 0.5, 1e9, 3.0]), column(resolution=1e-12, low=-1e3, high=1e9)
    lengths = cross_fitted_bits(x, x[::-1], [described], [family])
    assert np.all(np.isfinite(lengths))
    assert np.all(lengths >= 0)


def test_json_keeps_every_bit():
    x, m, described = mixed(70, np.random.default_rng(SEED))
    calibration = fit(x, m, described)
    again = Calibration.from_json(json.loads(json.dumps(calibration.to_json())))
    assert again == calibration
    np.testing.assert_array_equal(bits(again, x, m), bits(calibration, x, m))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_reconstruction_that_is_not_finite_is_named(bad):
    x, m, described = mixed(10, np.random.default_rng(SEED))
    calibration = fit(x, m, described)
    m[4, 2] = bad
    message = f"the reconstruction of column 'grey' is {bad} in row 4, it must be finite"
    for call in (
        lambda: fit(x, m, described),
        lambda: bits(calibration, x, m),
        lambda: cross_fitted_bits(x, m, described),
    ):
        with pytest.raises(TrainingError, match=message):
            call()


def test_an_infinite_target_is_named():
    x, m, described = mixed(10, np.random.default_rng(SEED))
    x[7, 0] = np.inf
    with pytest.raises(DataError, match="column 'real' is inf in row 7, it must be finite"):
        fit(x, m, described)


def test_a_column_without_any_observed_value_is_named():
    x, m, described = mixed(10, np.random.default_rng(SEED))
    x[:, 3] = np.nan
    with pytest.raises(DataError, match="column 'unit' has no observed value in the 10 rows"):
        fit(x, m, described)


def test_fewer_than_four_rows_cannot_be_cross_fitted():
    x, m, described = mixed(3, np.random.default_rng(SEED))
    with pytest.raises(DataError, match="got 3 rows: it needs at least 4"):
        cross_fitted_bits(x, m, described)


def test_tables_of_unequal_shape_are_refused():
    x, m, described = mixed(5, np.random.default_rng(SEED))
    with pytest.raises(ValueError, match=r"target \(5, 6\) and reconstruction \(5, 5\)"):
        fit(x, m[:, 1:], described)


def test_a_forced_family_that_does_not_fit_the_kind_is_refused():
    x = one([0.0, 1.0, 1.0])
    with pytest.raises(ValueError, match=r"'x' \(binary\) can be coded by bernoulli, not by gauss"):
        fit(x, x, [column(Kind.BINARY)], ["gauss"])


# --- values without a model -----------------------------------------------------------------------


def test_alone_a_column_is_coded_around_its_mean_or_its_median_whichever_is_cheaper():
    rng = np.random.default_rng(3)
    normal, heavy = rng.normal(5, 2, 4001), rng.laplace(-3, 1, 4001)
    heavy[:40] += 400  # far from the median, and the mean goes with them
    target = np.stack([normal, heavy], axis=1)
    columns = [Column(n, Kind.CONTINUOUS, None, None, None, 0) for n in "ab"]
    own = Alone.of(target, columns)
    assert own.middle_W[0] == pytest.approx(normal.mean(), abs=0.1)
    assert own.middle_W[1] == np.median(heavy)
    entropy = np.log2(2 * np.sqrt(2 * np.pi * np.e))
    assert own.bits(target)[:, 0].mean() == pytest.approx(entropy, abs=0.02)
    again = Alone.from_json(json.loads(json.dumps(own.to_json())))
    np.testing.assert_array_equal(again.bits(target), own.bits(target))


def test_alone_levels_and_flags_cost_their_entropy_and_gaps_nothing():
    rng = np.random.default_rng(4)
    target = np.stack([rng.random(4000) < 0.25, rng.integers(0, 4, 4000)], axis=1).astype(float)
    target[:100, 1] = np.nan
    levels = Column("level", Kind.CATEGORICAL, None, None, None, 0, ("a", "b", "c", "d"))
    found = Alone.of(target, [Column("flag", Kind.BINARY, 1.0, 0.0, 1.0, 0), levels]).bits(target)
    assert found[:, 0].mean() == pytest.approx(0.811, abs=0.02)
    assert found[100:, 1].mean() == pytest.approx(2.0, abs=0.02)
    assert (found[:100, 1] == 0).all()
