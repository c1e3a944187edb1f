"""The advisor: each line of its table on data made to be that line."""

import json

import numpy as np
import pytest

from hourglass.inference import Extent, Known, infer
from hourglass.moments import moments
from hourglass.profile import profile
from hourglass.schema import Column, Kind

ROWS = 4000


def rng(seed=0):
    return np.random.default_rng(seed)


def advise(rows_NF, shape=None):
    rows_NF = np.asarray(rows_NF, dtype=float)
    names = [f"c{i}" for i in range(rows_NF.shape[1])]
    whole_F = (rows_NF == np.floor(rows_NF)).all(axis=0)
    extent = Extent(
        rows_NF.min(axis=0), rows_NF.max(axis=0), whole_F, np.zeros(len(names), dtype=np.int64)
    )
    columns = infer(names, rows_NF, extent, Known(None, None, {}))
    return profile(columns, rows_NF, moments(rows_NF), shape)


def signal(columns=12):
    """Rows on a line of two dimensions, without noise, each column with standard deviation 1."""
    signal_NF = rng(1).normal(size=(ROWS, 2)) @ rng(2).normal(size=(2, columns))
    return signal_NF / signal_NF.std(axis=0)


def noisy(noise_NF):
    return signal() + noise_NF


def test_flags_are_for_bce():
    advice = advise(rng().integers(0, 2, (ROWS, 6)))
    assert advice["likely_good"] == ["bce"]
    assert advice["scaler"] == "unit"
    assert advice["domains"]["unit"]["status"] == "admissible"
    assert advice["domains"]["real"]["reason"].endswith(
        "the reconstructions of 0 and 1 will pass beyond them"
    )


def test_bounded_columns_are_for_bce_and_mse():
    rows_NF = np.clip(rng().beta(2, 2, (ROWS, 6)), 0.05, 0.95)
    assert advise(rows_NF)["likely_good"] == ["bce", "mse"]
    assert advise(rows_NF)["scaler"] == "unit"


def test_grey_levels_with_ink_are_for_bce():
    """On scikit-learn's digits, optdigits and MNIST bce won, where huber was expected."""
    grey = np.random.default_rng(0).integers(0, 17, (400, 6)).astype(float)
    grey[:, :3][np.random.default_rng(1).random((400, 3)) < 0.5] = 0.0
    columns = [Column(f"p{i}", Kind.CONTINUOUS, 1.0, 0.0, 16.0, 0) for i in range(6)]
    found = profile(columns, grey, moments(grey))
    assert found["likely_good"][0] == "bce"
    assert found["why"].startswith("grey levels on one scale with")
    mixed = [*columns[:5], Column("p5", Kind.CONTINUOUS, 0.5, 0.0, 16.0, 0)]
    assert profile(mixed, grey, moments(grey))["likely_good"][0] == "huber"


def test_values_at_the_ends_of_a_table_are_for_huber_mae_and_bce():
    advice = advise(np.clip(rng().normal(0.5, 0.5, (ROWS, 6)), 0, 1))
    assert advice["likely_good"] == ["huber", "mae", "bce"]
    assert advice["why"] == (
        "bounded columns with 32% of the cells at their ends (saturation, salt and pepper)"
    )


def test_ink_at_the_ends_of_an_image_without_steps_is_for_bce():
    ink_NF = np.clip(rng().normal(0.5, 0.5, (ROWS, 6)), 0, 1)
    ink_NF[:, 0] = rng(1).permutation(ink_NF[:, 0].round(2))  # has steps, the others have none
    assert advise(ink_NF, shape=(3, 2, 1))["likely_good"][0] == "bce"
    assert advise(ink_NF)["likely_good"][0] == "huber"


def test_the_figures_of_a_channel_are_over_all_its_places():
    rows_NF = rng().normal(size=(ROWS, 12)) + np.tile([0.0, 100.0], 6)
    channels = advise(rows_NF, shape=(6, 2))["channels"]
    assert list(channels) == ["c0", "c1"]
    for its, own in zip(channels.values(), (rows_NF[:, ::2], rows_NF[:, 1::2]), strict=True):
        assert its["min"] == own.min()
        assert its["median"] == pytest.approx(np.median(own))
        assert its["mean"] == pytest.approx(own.mean())
        assert sum(its["histogram"]["counts"]) == own.size
    assert advise(rows_NF)["channels"] is None


@pytest.mark.parametrize(
    ("noise", "likely"),
    [
        (lambda: rng().normal(size=(ROWS, 12)), ["mse"]),
        (lambda: rng().standard_t(8, size=(ROWS, 12)), ["huber", "log_cosh", "student_t"]),
        (lambda: rng().standard_t(2.5, size=(ROWS, 12)), ["huber", "mae", "student_t"]),
        (lambda: rng().normal(size=(ROWS, 12)) * np.geomspace(0.05, 1.5, 12) / 0.3,
         ["gaussian_nll", "student_t"]),
        (lambda: rng().standard_t(2.5, size=(ROWS, 12)) * np.geomspace(0.03, 2, 12) / 0.3,
         ["student_t", "huber", "mae"]),
    ],
)  # fmt: skip
def test_the_noise_that_a_pca_leaves_decides_for_real_columns(noise, likely):
    assert advise(noisy(0.3 * noise()))["likely_good"] == likely


def test_the_advice_does_not_depend_on_units():
    rows_NF = noisy(0.3 * rng().standard_t(3, size=(ROWS, 12)))
    advice, other = advise(rows_NF), advise(rows_NF * np.geomspace(1e-5, 1e5, 12) + 7)
    assert other["likely_good"] == advice["likely_good"]
    assert other["domains"] == advice["domains"]
    assert other["residuals"] == pytest.approx(advice["residuals"], rel=1e-4)


def test_a_few_wild_rows_do_not_hide_in_the_axes_of_the_pca():
    rows_NF = noisy(0.3 * rng().normal(size=(ROWS, 12)))
    rows_NF[: ROWS // 50] += 100 * rng(3).normal(size=12)
    assert advise(rows_NF)["residuals"]["outliers"] == pytest.approx(0.02, abs=0.002)


def test_outliers_call_for_the_robust_scaler_and_normal_values_for_standard():
    rows_NF = rng().normal(size=(ROWS, 4))
    assert advise(rows_NF)["scaler"] == "standard"
    rows_NF[: ROWS // 50] *= 50
    advice = advise(rows_NF)
    assert advice["scaler"] == advice["domains"]["real"]["scaler"] == "robust"


def test_columns_that_are_mostly_zero_are_not_called_outliers():
    rows_NF = rng().normal(size=(ROWS, 4))
    rows_NF[:, 0] = np.where(rng(1).random(ROWS) < 0.7, 0, rng(2).exponential(size=ROWS))
    advice = advise(rows_NF)
    assert advice["columns"]["c0"]["outliers"] is None
    assert advice["scaler"] == "standard"


def test_open_columns_make_the_unit_domain_dubious_and_are_named():
    rows_NF = rng().normal(size=(ROWS, 5))
    rows_NF[:, 0] = rng().integers(0, 2, ROWS)
    assert advise(rows_NF)["domains"]["unit"] == {
        "status": "dubious",
        "reason": "4 of 4 columns have no walls (c1, c2, c3, ...): values beyond the training "
        "rows' range can't be represented",
        "scaler": "unit",
    }


def test_the_figures_of_a_column():
    figures = advise(np.array([[0.0, 0, 1, 2, 3, 4, 5, 6, 7, 12]]).T.repeat(10, axis=0))["columns"][
        "c0"
    ]
    del figures["histogram"], figures["looks"], figures["kind"]
    assert figures == pytest.approx({
        "missing": 0, "distinct": 9, "nu": None, "skewness": 38.4 / 12.4**1.5,
        "min": 0, "max": 12, "mean": 4, "sd": np.sqrt(12.4), "median": 3.5, "iqr": 5,
        "mass_low": 0.2, "mass_high": 0.1, "outliers": 0, "tail": 12 / 5,
        "variance_over_mean": 3.1, "resolution": 1,
    })  # fmt: skip


@pytest.mark.parametrize("columns", [1, 2, 3])
def test_narrow_tables_are_profiled_too(columns):
    advice = advise(rng().normal(size=(40, columns)))
    assert advice["likely_good"]
    assert (advice["residuals"] is None) == (columns == 1)


def test_columns_that_determine_each_other_leave_no_noise_to_judge():
    line = rng().normal(size=(ROWS, 1))
    advice = advise(line * [1.0, 2.0, -3.0])
    assert advice["why"] == "too little is left by a PCA to judge the noise"


def test_a_profile_is_plain_json():
    rows_NF = noisy(rng().normal(size=(ROWS, 12)))
    rows_NF[:, 3] = 0
    rows_NF[7, 3] = 1
    assert json.loads(json.dumps(advise(rows_NF), allow_nan=False)) == advise(rows_NF)


def test_of_many_columns_some_tell_how_counts_scatter(monkeypatch):
    """400 counts, each in a regression on the others, took 70 s; the last ones were unseen."""
    sizes, lstsq = [], np.linalg.lstsq

    def counted(known, *more, **options):
        sizes.append(known.shape[1])
        return lstsq(known, *more, **options)

    monkeypatch.setattr(np.linalg, "lstsq", counted)
    z = rng().normal(size=(600, 1))
    rows_NF = np.column_stack(
        [z + rng(1).normal(size=(600, 1100)), rng(2).poisson(np.exp(1 + 0.3 * z), (600, 90))]
    )
    kinds = [Kind.CONTINUOUS] * 1100 + [Kind.COUNT] * 90
    columns = [Column(f"c{i}", kind, None, None, None, 0) for i, kind in enumerate(kinds)]
    assert profile(columns, rows_NF, moments(rows_NF))["heads"]["count"] == "poisson"
    assert sizes == [128] * 64
