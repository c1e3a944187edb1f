"""The ruler on levels: true probabilities cost the entropy, useless ones that of the shares."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize

from hourglass.codelength import Calibration, bits, candidates, cross_fitted_bits, fit
from hourglass.errors import DataError, TrainingError
from hourglass.residuals import levels
from hourglass.schema import Column, Kind

ROWS = 20_000
NEAR = 0.01  # bits


def column(count: int, name: str = "level") -> Column:
    texts = tuple(f"L{k}" for k in range(count))
    return Column(name, Kind.CATEGORICAL, None, None, None, 0, texts)


def truth(count: int, rows: int = ROWS, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Codes drawn from probabilities that differ from row to row: (N,) and (N, K)."""
    rng = np.random.default_rng(seed)
    score_NK = 1.5 * rng.normal(size=(rows, count)) + np.linspace(0, 1, count)
    p_NK = np.exp(score_NK)
    p_NK /= p_NK.sum(axis=1, keepdims=True)
    at_N = (rng.random(rows)[:, None] > p_NK.cumsum(axis=1)).sum(axis=1)
    return np.minimum(at_N, count - 1).astype(np.float64), p_NK


def entropy(p_NK: np.ndarray) -> float:
    """Mean over the rows, bits."""
    return float(-(p_NK * np.log2(p_NK)).sum(axis=-1).mean())


def length(codes_N: np.ndarray, p_NK: np.ndarray) -> float:
    """Bits of an observed level under the code of the other half."""
    found = cross_fitted_bits(codes_N[:, None], p_NK, [column(p_NK.shape[1])])
    return float(found.sum() / (~np.isnan(codes_N)).sum())


def shares(codes_N: np.ndarray) -> np.ndarray:
    return np.unique(codes_N, return_counts=True)[1] / len(codes_N)


@pytest.mark.parametrize("count", [2, 3, 12])
def test_true_probabilities_cost_the_entropy(count):
    codes_N, p_NK = truth(count)
    ideal = -np.log2(p_NK[np.arange(ROWS), codes_N.astype(int)]).mean()
    assert length(codes_N, p_NK) == pytest.approx(ideal, abs=1e-3)
    assert length(codes_N, p_NK) == pytest.approx(entropy(p_NK), abs=0.03)


USELESS = {
    "uniform": lambda rng, k: np.full((ROWS, k), 1 / k),
    "noise": lambda rng, k: rng.dirichlet(np.ones(k), ROWS),
    "sure of one level": lambda rng, k: np.eye(k)[np.zeros(ROWS, int)],
    "sure of a random level": lambda rng, k: np.eye(k)[rng.integers(0, k, ROWS)],
    "nearly sure of a random level": lambda rng, k: (
        np.eye(k)[rng.integers(0, k, ROWS)] * 0.99 + 0.01 / k
    ),
    "nothing at all": lambda rng, k: np.zeros((ROWS, k)),
}


@pytest.mark.parametrize("count", [2, 5])
@pytest.mark.parametrize("kind", USELESS)
def test_a_useless_model_costs_the_entropy_of_the_shares(kind, count):
    codes_N = truth(count)[0]
    p_NK = USELESS[kind](np.random.default_rng(1), count)
    assert length(codes_N, p_NK) == pytest.approx(entropy(shares(codes_N)), abs=NEAR)


@pytest.mark.parametrize("power", [0.3, 2.0, 3.0])
def test_sharpened_and_flattened_probabilities_are_recalibrated(power):
    codes_N, p_NK = truth(4)
    bent_NK = p_NK**power
    plain, bent = length(codes_N, p_NK), length(codes_N, bent_NK / bent_NK.sum(1, keepdims=True))
    assert bent == pytest.approx(plain, abs=1e-3)
    fitted = levels.fit(codes_N, bent_NK)
    assert fitted["slope"] == pytest.approx(1 / power, rel=0.05)


def test_probabilities_turned_upside_down_are_turned_back():
    codes_N, p_NK = truth(2)
    assert length(codes_N, p_NK[:, ::-1]) == pytest.approx(length(codes_N, p_NK), abs=0.05)


def test_a_model_that_knows_more_costs_less():
    codes_N, p_NK = truth(4)
    mixed_NK = 0.5 * p_NK + 0.5 * shares(codes_N)
    costs = [length(codes_N, p) for p in (p_NK, mixed_NK, np.full((ROWS, 4), 0.25))]
    assert costs[0] < costs[1] - NEAR < costs[2] - 2 * NEAR


def test_a_model_that_is_always_right_costs_next_to_nothing():
    codes_N = truth(3)[0]
    assert 0 <= length(codes_N, np.eye(3)[codes_N.astype(int)]) < 0.001


@given(seed=st.integers(0, 999), count=st.integers(2, 6), rows=st.integers(1, 40))
def test_the_code_of_any_table_is_a_probability_over_levels_and_the_unseen_one(seed, count, rows):
    rng = np.random.default_rng(seed)
    codes_N = rng.integers(0, count + 1, rows).astype(np.float64)
    p_NK = rng.dirichlet(np.full(count, 0.1), rows)
    fitted = levels.fit(codes_N, p_NK)
    every = [levels.bits(fitted, np.full(rows, float(k)), p_NK) for k in range(count + 1)]
    assert np.isfinite(every).all()
    assert np.min(every) >= 0
    np.testing.assert_allclose(np.exp2(-np.array(every)).sum(axis=0), 1, rtol=1e-9)


@given(seed=st.integers(0, 999), count=st.integers(2, 5))
def test_no_reconstruction_makes_a_fit_cost_more_than_the_shares(seed, count):
    """On the fitting rows themselves: the code has the shares within its reach."""
    rng = np.random.default_rng(seed)
    codes_N = rng.integers(0, count, 60).astype(np.float64)
    p_NK = rng.dirichlet(np.full(count, rng.choice([0.01, 0.1, 1.0])), 60)
    found = levels.bits(levels.fit(codes_N, p_NK), codes_N, p_NK).mean()
    uniform_NK = np.full((60, count), 1 / count)
    plain = levels.bits(levels.fit(codes_N, uniform_NK), codes_N, uniform_NK).mean()
    assert found <= plain + 0.01


@pytest.mark.parametrize("error", [0.0, 0.001, 0.02, 0.3, 0.7, 1.0])
@pytest.mark.parametrize("sureness", [0.5, 0.99, 1.0])
@pytest.mark.parametrize("count", [2, 4])
def test_the_best_code_is_found_however_sure_and_wrong_the_model_is(count, sureness, error):
    """Compared with a general optimiser on the same two parameters."""
    rng = np.random.default_rng(3)
    codes_N = truth(count, 1000)[0]
    wrong_N = rng.random(1000) < error
    told_N = np.where(wrong_N, (codes_N + rng.integers(1, count, 1000)) % count, codes_N)
    p_NK = sureness * np.eye(count)[told_N.astype(int)] + (1 - sureness) / count
    fitted = levels.fit(codes_N, p_NK)

    def mean_bits(theta: np.ndarray) -> float:
        own = {**fitted, "slope": theta[0], "prior": theta[1]}
        ridge = levels.RIDGE / 2 * ((theta[0] - 1) ** 2 + theta[1] ** 2) / np.log(2) / 1000
        return float(levels.bits(own, codes_N, p_NK).mean() + ridge)

    best = min(
        optimize.minimize(mean_bits, start, method="Nelder-Mead", options={"maxiter": 2000}).fun
        for start in ([1.0, 0.0], [0.0, 1.0], [-0.1, 1.0])
    )
    assert mean_bits(np.array([fitted["slope"], fitted["prior"]])) <= best + 1e-5


# --- levels that training rows lack


def test_an_unseen_level_costs_what_its_share_of_the_fitting_rows_says():
    codes_N, p_NK = truth(3, 2000)
    codes_N[:40] = 3.0
    fitted = levels.fit(codes_N, p_NK)
    assert fitted["unseen"] == pytest.approx(40.5 / 2001)
    found = levels.bits(fitted, codes_N, p_NK)
    np.testing.assert_allclose(found[:40], -np.log2(fitted["unseen"]))
    without = levels.fit(codes_N[40:], p_NK[40:])
    spared = levels.bits(without, codes_N[40:], p_NK[40:])
    given_up = -np.log2(1 - fitted["unseen"]) + np.log2(1 - without["unseen"])
    np.testing.assert_allclose(found[40:], spared + given_up, atol=1e-9)


def test_a_level_that_no_fitting_row_lacked_is_dear_but_finite():
    codes_N, p_NK = truth(3, 1000)
    fitted = levels.fit(codes_N, p_NK)
    dear = levels.bits(fitted, np.array([3.0]), p_NK[:1])
    assert dear.item() == pytest.approx(np.log2(2 * 1001))


def test_unseen_levels_alone_can_be_fitted():
    fitted = levels.fit(np.full(9, 2.0), np.full((9, 2), 0.5))
    found = levels.bits(fitted, np.array([0.0, 1.0, 2.0]), np.full((3, 2), 0.5))
    assert np.exp2(-found).tolist() == pytest.approx([0.025, 0.025, 0.95])


def test_a_level_that_no_fitting_row_shows_keeps_a_share():
    fitted = levels.fit(np.zeros(100), np.full((100, 3), 1 / 3))
    found = levels.bits(fitted, np.array([0.0, 1.0]), np.full((2, 3), 1 / 3))
    assert found[0] < 0.1 < 5 < found[1] < 20


# --- gaps


def test_gaps_cost_nothing_and_change_nothing():
    codes_N, p_NK = truth(4, 500)
    gaps_N = np.random.default_rng(1).random(500) < 0.3
    holed_N = np.where(gaps_N, np.nan, codes_N)
    found = bits(fit(holed_N[:, None], p_NK, [column(4)]), holed_N[:, None], p_NK)[:, 0]
    kept = codes_N[~gaps_N][:, None], p_NK[~gaps_N]
    expected = bits(fit(*kept, [column(4)]), *kept)[:, 0]
    assert (found[gaps_N] == 0).all()
    np.testing.assert_array_equal(found[~gaps_N], expected)


# --- beside other columns


def mixed(rows: int = 400):
    """Levels, a number, levels: target (N, 3), reconstruction (N, 6), columns."""
    (a_N, p_NK), (b_N, q_NK) = truth(3, rows), truth(2, rows, seed=1)
    signal_N = np.random.default_rng(2).normal(size=rows)
    x_N = signal_N + 0.1 * np.random.default_rng(3).normal(size=rows)
    columns = [column(3, "a"), Column("x", Kind.CONTINUOUS, None, None, None, 0), column(2, "b")]
    reconstruction = np.column_stack([p_NK, signal_N, q_NK])
    return np.column_stack([a_N, x_N, b_N]), reconstruction, columns


@pytest.mark.parametrize("ruler", ["fitted", "cross-fitted"])
def test_each_column_is_measured_by_itself(ruler):
    target, reconstruction, columns = mixed()

    def lengths(x, m, described):
        if ruler == "fitted":
            return bits(fit(x, m, described), x, m)
        return cross_fitted_bits(x, m, described)

    whole = lengths(target, reconstruction, columns)
    assert whole.shape == (400, 3)
    for f, place in enumerate((slice(0, 3), slice(3, 4), slice(4, 6))):
        alone = lengths(target[:, f : f + 1], reconstruction[:, place], columns[f : f + 1])
        np.testing.assert_allclose(whole[:, f : f + 1], alone, rtol=1e-12)


def test_levels_are_coded_by_the_softmax_only():
    assert candidates(column(3)) == (levels.NAME,)
    target, reconstruction, columns = mixed()
    with pytest.raises(ValueError, match=r"'a' \(categorical\) can be coded by softmax, not by ga"):
        fit(target, reconstruction, columns, ["gauss"])


def test_json_keeps_every_bit():
    target, reconstruction, columns = mixed()
    calibration = fit(target, reconstruction, columns)
    again = Calibration.from_json(json.loads(json.dumps(calibration.to_json())))
    assert again == calibration
    found = bits(again, target, reconstruction)
    np.testing.assert_array_equal(found, bits(calibration, target, reconstruction))


def test_a_row_is_never_scored_by_a_code_that_saw_its_half():
    target, reconstruction, columns = mixed()
    before = cross_fitted_bits(target, reconstruction, columns)
    target[40, 0] = (target[40, 0] + 1) % 3
    after = cross_fitted_bits(target, reconstruction, columns)
    same_half = [i for i in range(0, 400, 2) if i != 40]
    np.testing.assert_array_equal(after[same_half], before[same_half])
    assert (after[1::2, 0] != before[1::2, 0]).all()


@pytest.mark.parametrize("half", [0, 1])
def test_a_column_that_was_observed_in_one_half_only_is_fitted_to_all_rows(half):
    target, reconstruction, columns = mixed()
    plain = cross_fitted_bits(target, reconstruction, columns)
    for f, place in ((0, slice(0, 3)), (1, slice(3, 4))):
        holed = target.copy()
        holed[half::2, f] = np.nan
        found = cross_fitted_bits(holed, reconstruction, columns)
        others = [i for i in range(3) if i != f]
        np.testing.assert_array_equal(found[:, others], plain[:, others])
        own = holed[:, f : f + 1], reconstruction[:, place]
        expected = bits(fit(*own, [columns[f]]), *own)
        np.testing.assert_allclose(found[:, f : f + 1], expected, rtol=1e-12)
        assert (found[half::2, f] == 0).all()


def test_a_column_of_levels_without_any_observed_value_is_named():
    target, reconstruction, columns = mixed()
    target[:, 2] = np.nan
    with pytest.raises(DataError, match="column 'b' has no observed value in the 400 rows"):
        cross_fitted_bits(target, reconstruction, columns)


def test_a_probability_that_is_not_finite_is_named_with_its_level():
    target, reconstruction, columns = mixed()
    reconstruction[4, 5] = np.nan
    with pytest.raises(TrainingError, match="the reconstruction of column 'b=L1' is nan in row 4"):
        fit(target, reconstruction, columns)


def test_reconstructions_must_have_a_number_for_each_level():
    target, reconstruction, columns = mixed()
    message = r"reconstruction \(400, 5\) must be \(rows, 3\) and \(rows, 6\): of the 3 columns"
    with pytest.raises(ValueError, match=message):
        fit(target, reconstruction[:, 1:], columns)
    fewer = [replace(columns[0], levels=("L0",)), *columns[1:]]
    with pytest.raises(ValueError, match=r"must be \(rows, 3\) and \(rows, 4\)"):
        fit(target, reconstruction, fewer)
