"""A fit as a pure function: what it reads, how it is judged, what counts as its own failure."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tests import fits
from tests.fits import (
    MIXED,
    TRAIN,
    VAL,
    columns,
    make_files,
    make_mixed_files,
    mixed_schema,
    mixed_spec,
    schema,
    spec,
)
from tests.settings import params, write_rows

from hourglass import batches, codelength, trials, wide
from hourglass.bundle import Bundle
from hourglass.errors import ConfigError, MissingInputError, StaleInputError, TrainingError
from hourglass.paths import Paths, read_json, write_json
from hourglass.schema import Column, Kind, Schema
from hourglass.splitting import resplit
from hourglass.stages import normalize
from hourglass.trials import Spec
from hourglass.watching import Watch


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_files(tmp_path_factory.mktemp("project"))


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_mixed_files(tmp_path_factory.mktemp("mixed"))


def small(one: Spec, **model) -> Spec:
    """Enough steps to learn something, and other options of the model."""
    return replace(one, epochs=40, batch_size=16, model=one.model.model_copy(update=model))


class Echo:
    """A stand-in for a bundle: answers with its input, gaps by the mean, and remembers it."""

    def __init__(self, factor: float = 1.0, extra: float = 0.0) -> None:
        self.factor, self.extra, self.mean_F = factor, extra, TRAIN.mean(axis=0)
        self.asked: list[np.ndarray] = []

    def reconstruct(self, rows_NF: np.ndarray) -> np.ndarray:
        self.asked.append(rows_NF)
        return np.where(np.isnan(rows_NF), self.mean_F, rows_NF * self.factor)

    def written(self, rows_NF: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return self.reconstruct(rows_NF), np.full(len(rows_NF), self.extra)


def test_the_same_spec_gives_the_same_result_and_the_same_files(root, tmp_path):
    results, digests = [], []
    for name in ("one", "two"):
        results.append(trials.run(replace(spec(root), save_to=tmp_path / name)))
        files = sorted((tmp_path / name).iterdir())
        digests.append([(f.name, f.read_bytes()) for f in files])
    assert replace(results[0], seconds=0.0) == replace(results[1], seconds=0.0)
    assert digests[0] == digests[1]


def test_a_saved_bundle_scores_what_the_fit_reported(root, tmp_path):
    result = trials.run(replace(spec(root), save_to=tmp_path / "bundle"))
    bundle = Bundle.load(tmp_path / "bundle")
    assert (
        trials.judge(bundle, trials.load(Paths(root), "standard", None)).metrics == result.metrics
    )
    again = codelength.fit(VAL, bundle.reconstruct(VAL), columns())
    assert bundle.calibration == again  # validation rows, never others


def test_threads_are_as_before(root):
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    trials.run(spec(root))
    assert torch.get_num_threads() == 2
    torch.set_num_threads(before)


def test_a_pruned_fit_has_its_curve_but_is_neither_judged_nor_saved(root, tmp_path, monkeypatch):
    whole = trials.run(spec(root))
    assert (whole.pruned, len(whole.curve)) == (0, 3)
    monkeypatch.setattr(trials, "judge", None)
    bars = {1: math.inf, 2: whole.curve[1]["val_gauss_bits"] - 1e-9}
    own = replace(spec(root), watch=Watch(bars), save_to=tmp_path / "bundle")
    result = trials.run(own)
    assert result.curve == whole.curve[:2]
    assert (result.pruned, result.metrics, result.parts, result.failure) == (2, {}, {}, "")
    assert not (tmp_path / "bundle").exists()


def test_a_fit_whose_patience_ends_is_judged_as_any_other(root):
    own = replace(spec(root), hyper={"learning_rate": 1e-12}, epochs=9, watch=Watch(patience=2))
    result = trials.run(own)
    assert (len(result.curve), result.pruned) == (3, 0)
    assert result.metrics


def test_code_lengths_are_told_of_parts_of_the_rows_too(root):
    result = trials.run(spec(root))
    for name in ("bits_per_feature", "bits_per_feature_masked"):
        assert len(result.parts[name]) == len(VAL)  # fewer rows than parts
        assert np.mean(result.parts[name]) == pytest.approx(result.metrics[name])


@pytest.mark.parametrize(
    ("kind", "step", "least"),
    [
        (Kind.CONTINUOUS, 0.5, 0.5 / math.sqrt(12)),
        (Kind.CONTINUOUS, None, 1e-12 / math.sqrt(12)),
        (Kind.BINARY, 1.0, 0.01),
        (Kind.COUNT, 1.0, 0.01),
    ],
)
def test_errors_count_down_to_those_of_rounding_and_of_means_of_flags_further(kind, step, least):
    assert trials.smallest_error(Column("a", kind, step, None, None, 0)) == pytest.approx(least)


def test_the_curve_of_a_table_of_flags_tells_epochs_apart(tmp_path):
    """A regression: errors below a whole step counted as one, so that the curve was flat."""
    rng = np.random.default_rng(0)
    z_N1 = rng.normal(size=(160, 1))
    flags = (rng.random((160, 6)) < 1 / (1 + np.exp(-3 * z_N1))).astype(np.float64)
    described = tuple(Column(f"c{i}", Kind.BINARY, 1.0, 0.0, 1.0, 0) for i in range(6))
    schema = Schema("flags", described, {}, {}, None, {"train": 120, "val": 40, "test": 0}, "8")
    root = fits.written(tmp_path, schema, {"train": flags[:120], "val": flags[120:]})
    result = trials.run(spec(root))
    assert result.failure == ""
    assert len({p["val_gauss_bits"] for p in result.curve}) == 3


def test_a_diverging_fit_is_a_result_with_its_cause_and_saves_nothing(root, tmp_path):
    wild = replace(spec(root), hyper={"learning_rate": 1e30}, save_to=tmp_path / "bundle")
    result = trials.run(wild)
    assert result.failure.startswith("the loss became ")
    assert (result.metrics, result.curve) == ({}, [])
    assert not (tmp_path / "bundle").exists()


def test_a_loss_that_the_data_do_not_admit_is_a_result(root):
    wide = replace(spec(root), loss="huber", hyper={"learning_rate": 1e-2, "delta": 1e6})
    assert "no residual would count as large" in trials.run(wide).failure


def test_options_that_lightning_refuses_are_no_failure_of_the_loss(root):
    options = replace(spec(root).trainer, accelerator="abacus")
    with pytest.raises(ConfigError, match="Lightning refuses accelerator 'abacus', devices 1"):
        trials.run(replace(spec(root), trainer=options))


def test_a_lack_of_memory_is_no_failure_of_the_loss(root, monkeypatch):
    def full(*_: object) -> None:
        raise torch.OutOfMemoryError("out of memory")

    monkeypatch.setattr("hourglass.training.fit", full)
    with pytest.raises(TrainingError, match=r"mse: the device has no memory left\. Nothing"):
        trials.run(spec(root))


def test_a_bug_is_no_failure_of_the_loss(root, monkeypatch):
    def wrong(*_: object) -> None:
        raise RuntimeError("shapes do not match")

    monkeypatch.setattr("hourglass.training.fit", wrong)
    with pytest.raises(RuntimeError, match="shapes do not match") as raised:
        trials.run(spec(root))
    assert raised.value.__notes__ == [
        "in the fit of mse (scaler standard, learning_rate 0.01, seed 1)"
    ]


@pytest.mark.parametrize(
    "error", [OverflowError, FloatingPointError, np.linalg.LinAlgError, torch.linalg.LinAlgError]
)
def test_arithmetic_that_gives_up_is_a_failure_of_the_trial(root, monkeypatch, error):
    def wrong(*_: object) -> None:
        raise error("the matrix is singular")

    monkeypatch.setattr(trials, "judge", wrong)
    assert trials.run(spec(root)).failure == "the matrix is singular"


def test_missing_files_name_the_stage_to_run(tmp_path):
    with pytest.raises(MissingInputError, match="run `dvc repro preprocess` first"):
        trials.run(spec(tmp_path))


def test_test_rows_are_never_read(root):
    """There are none in these files: a fit that looked for them would fail."""
    assert not Paths(root).values("test").exists()
    assert trials.run(replace(spec(root), resplit=True)).failure == ""


def test_without_a_resplit_split_and_scaler_are_those_of_the_earlier_stages(root):
    data = trials.load(Paths(root), "standard", None)
    np.testing.assert_array_equal(data.val_NF, VAL)
    np.testing.assert_allclose(data.scaler.offset_F, TRAIN.mean(axis=0))
    for rows_NF, scaled_NF in ((TRAIN, data.train_NF), (VAL, data.val_scaled_NF)):
        np.testing.assert_array_equal(scaled_NF, data.scaler.transform(rows_NF).astype(np.float32))
    np.testing.assert_allclose(data.mean_F, TRAIN.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(data.mean_W, TRAIN.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(data.spread_W, TRAIN.std(axis=0), rtol=1e-6)
    assert (data.count_train_N, data.count_val_N) == (None, None)


def test_a_resplit_redraws_the_same_rows_and_fits_the_scaler_on_its_training_rows(root):
    data, other = (trials.load(Paths(root), "standard", seed) for seed in (1, 2))
    both = np.concatenate([TRAIN, VAL])
    at, _ = resplit(len(TRAIN), len(VAL), 1)
    train_NF = both[at]
    np.testing.assert_array_equal(data.train_NF, data.scaler.transform(train_NF).astype(np.float32))
    together = np.concatenate([train_NF, data.val_NF])
    np.testing.assert_array_equal(np.sort(together, axis=0), np.sort(both, axis=0))
    np.testing.assert_allclose(data.scaler.offset_F, train_NF.mean(axis=0))
    np.testing.assert_allclose(data.scaler.scale_F, train_NF.std(axis=0))
    assert not np.array_equal(data.train_NF, other.train_NF)


def test_a_redrawn_split_keeps_a_seldom_observed_column_in_both_parts(tmp_path):
    rng = np.random.default_rng(0)
    values = {"train": rng.normal(size=(140, 6)), "val": rng.normal(size=(30, 6))}
    values["train"][6:, 5], values["val"][2:, 5] = np.nan, np.nan
    paths = write_rows(tmp_path, replace(schema(), gaps=True), values)
    seen_N = np.concatenate([~np.isnan(own[:, 5]) for own in values.values()])
    unlucky = next(seed for seed in range(99) if not seen_N[resplit(140, 30, seed)[1]].any())
    data = trials.load(paths, "standard", unlucky)
    assert (~np.isnan(data.val_NF[:, 5])).any()
    assert (~np.isnan(data.train_NF[:, 5])).any()
    assert (len(data.train_NF), len(data.val_NF)) == (140, 30)
    assert trials.run(replace(spec(tmp_path), resplit=True, seed=unlucky)).failure == ""


def test_a_fit_of_a_resplit_trains_on_the_redrawn_rows(root, tmp_path):
    """A survivor of mutation: nothing saw whether `resplit` was heeded."""
    for redrawn in (False, True):
        folder = tmp_path / str(redrawn)
        trials.run(replace(spec(root), resplit=redrawn, save_to=folder))
        data = trials.load(Paths(root), "standard", spec(root).seed if redrawn else None)
        bundle = Bundle.load(folder)
        np.testing.assert_array_equal(bundle.scaler.offset_F, data.scaler.offset_F)
        again = codelength.fit(data.val_NF, bundle.reconstruct(data.val_NF), columns())
        assert bundle.calibration == again


def test_what_a_loss_may_know_depends_on_no_number_of_threads(root, monkeypatch):
    asked = []
    real = trials.pca_residuals
    monkeypatch.setattr(
        trials, "pca_residuals", lambda *a: asked.append(torch.get_num_threads()) or real(*a)
    )
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    trials.context(Paths(root), "standard", 2)
    trials.run(spec(root))
    assert torch.get_num_threads() == 2
    torch.set_num_threads(before)
    assert asked == [1, 1]


def test_the_judge_compares_across_losses_in_original_units(root):
    data = trials.load(Paths(root), "standard", None)
    exact, off = trials.judge(Echo(), data).metrics, trials.judge(Echo(0.9), data).metrics
    assert (exact["rmse"], exact["mae"]) == (0.0, 0.0)
    assert off["rmse"] == pytest.approx(0.1 * np.sqrt(np.square(VAL).mean()))
    assert exact["bits_per_feature"] < off["bits_per_feature"]


def test_a_column_that_hardly_varies_counts_in_steps_of_its_resolution(root):
    """A survivor of mutation: errors were divided by a spread far below the resolution of 0.5."""
    data = trials.load(Paths(root), "standard", None)
    spread_W = np.where(np.arange(6) == 0, 1e-3, data.spread_W)
    values = trials.judge(Echo(0.9), replace(data, spread_W=spread_W)).metrics
    scale_F = np.where(np.arange(6) == 0, 0.5, data.spread_W)
    assert values["nrmse"] == pytest.approx(np.sqrt(np.square(0.1 * VAL / scale_F).mean()))


def test_the_judge_needs_few_rows(root):
    """A regression: some column of ten rows had no hidden value to calibrate the ruler on."""
    data = trials.load(Paths(root), "standard", None)
    values = trials.judge(Echo(0.9), replace(data, val_NF=VAL[:10])).metrics
    assert math.isfinite(values["bits_per_feature_masked"])


def test_copying_does_not_win_the_masked_code_length(root):
    values = trials.judge(Echo(), trials.load(Paths(root), "standard", None)).metrics
    assert values["bits_per_feature_masked"] > values["bits_per_feature"] + 3


@pytest.mark.parametrize("wrong", [math.nan, math.inf])
def test_a_reconstruction_that_is_not_finite_fails_the_trial(root, wrong):
    with pytest.raises(TrainingError, match="not finite"):
        trials.judge(Echo(wrong), trials.load(Paths(root), "standard", None))


def test_a_ruler_that_overflows_fails_the_trial(root, monkeypatch):
    monkeypatch.setattr(trials.metrics, "measure", lambda *_: {"rmse": math.inf, "nrmse": 0.0})
    with pytest.raises(TrainingError, match="rmse of validation rows is inf"):
        trials.judge(Echo(), trials.load(Paths(root), "standard", None))


def test_objectives_are_bits_and_lower_is_better():
    values = {"bits_per_feature": 2.0, "bits_per_feature_masked": 3.0, "nrmse": 0.5, "nmae": 0.25}
    found = {n: trials.objective(n, values) for n in ("code_length", "rmse", "mae")}
    assert found == {"code_length": 2.0, "rmse": -1.0, "mae": -2.0}
    assert trials.objective("code_length_masked", values) == 3.0
    assert math.isfinite(trials.objective("rmse", {"nrmse": 0.0}))
    assert trials.objective_unit("code_length_masked") == "bits per hidden value"
    assert "standardised rmse" in trials.objective_unit("rmse")


def test_scaled_rows_of_other_data_are_refused(tmp_path):
    """A regression: search after preprocess without normalize trained on the rows of before."""
    paths = Paths(make_files(tmp_path))
    described = read_json(paths.schema, "preprocess")
    write_json(paths.schema, described | {"digest": "new rows"})
    with pytest.raises(StaleInputError, match="made from other rows") as error:
        trials.load(paths, "standard", None)
    assert "(new rows): run `hourglass normalize` again" in str(error.value)


def residual_scale(rows_NF: torch.Tensor, latent_dim: int) -> float:
    return trials.typical(trials.pca_residuals(rows_NF, latent_dim))


def test_the_residual_scale_is_that_of_the_noise_a_pca_leaves():
    generator = torch.Generator().manual_seed(0)
    signal = torch.randn(4000, 2, generator=generator) @ torch.randn(2, 20, generator=generator)
    noisy = signal + 0.3 * torch.randn(4000, 20, generator=generator)
    assert residual_scale(noisy, 2) == pytest.approx(0.3, rel=0.08)


def test_outliers_hardly_move_the_residual_scale():
    rows = torch.randn(4000, 10, generator=torch.Generator().manual_seed(0))
    hit = rows.clone()
    hit[::100, 0] += 1000.0
    assert residual_scale(hit, 1) == pytest.approx(residual_scale(rows, 1), rel=0.2)


@pytest.mark.parametrize("latent_dim", [5, 9])
def test_a_bottleneck_as_wide_as_the_data_leaves_a_scale_above_zero(latent_dim):
    rows = torch.randn(50, 5, generator=torch.Generator().manual_seed(0))
    assert 0 < residual_scale(rows, latent_dim) < 1e-3


def test_of_many_rows_the_residual_scale_looks_at_all_parts(root, monkeypatch):
    monkeypatch.setattr(trials, "PCA_ROWS", 20)
    data = trials.load(Paths(root), "standard", None)
    still = data.train_NF.copy()
    still[:20] *= 1e-3  # a sorted table
    sorted_ = trials._seen(replace(data, train_NF=still), 1).residual_scale["continuous"]
    assert sorted_ > 0.3 * trials._seen(data, 1).residual_scale["continuous"]


def test_of_wide_rows_few_make_the_residual_scale_but_more_than_the_bottleneck(root, monkeypatch):
    sizes, residuals = [], trials.pca_residuals

    def counted(rows_NF: torch.Tensor, latent_dim: int) -> torch.Tensor:
        sizes.append(len(rows_NF))
        return residuals(rows_NF, latent_dim)

    monkeypatch.setattr(trials, "pca_residuals", counted)
    monkeypatch.setattr(trials, "PCA_VALUES", 6 * 30)
    for latent_dim in (2, 10):
        trials.context(Paths(root), "standard", latent_dim)
    assert sizes == [30, 40]


def test_the_context_has_steps_and_span_in_scaled_units(root):
    known = trials.context(Paths(root), "standard", 2)
    sd_F = TRAIN.std(axis=0)
    np.testing.assert_allclose(known.resolution_F[:1], 0.5 / sd_F[:1], rtol=1e-6)
    assert known.resolution_F[1:].sum() == 0
    scaled = (TRAIN - TRAIN.mean(axis=0)) / sd_F
    assert known.span == pytest.approx(np.ptp(scaled), rel=1e-6)
    np.testing.assert_allclose(known.offset_F, TRAIN.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(known.unit_F, sd_F, rtol=1e-6)
    np.testing.assert_allclose(known.mean_F, TRAIN.mean(axis=0), rtol=1e-6)


# --- tables of all kinds of columns, with gaps ----------------------------------------------------


def test_the_context_is_of_the_searched_columns_alone(mixed):
    known = trials.context(Paths(mixed), "standard", 2)
    assert (known.features, known.gaps, known.levels) == (2, True, ())
    scaled_NF = np.load(Paths(mixed).scaled("standard", "train"))
    assert known.span == pytest.approx(
        np.nanmax(scaled_NF[:, :2]) - np.nanmin(scaled_NF[:, :2]), rel=1e-6
    )
    assert known.residual_scale > 0


def test_figures_of_the_wide_form_leave_gaps_out_and_count_levels(mixed):
    data = trials.load(Paths(mixed), "standard", None)
    wide_NW = wide.expand(MIXED["train"], mixed_schema().columns)
    np.testing.assert_allclose(data.mean_W, np.nanmean(wide_NW, axis=0), rtol=1e-5)
    np.testing.assert_allclose(data.spread_W, np.nanstd(wide_NW, axis=0), rtol=1e-5)
    np.testing.assert_allclose(data.mean_F, np.nanmean(MIXED["train"], axis=0), rtol=1e-5)


def test_levels_that_training_rows_lack_are_counted_nowhere(mixed):
    train_NF = MIXED["train"].copy()
    train_NF[:30, 4] = 3  # there are three levels: 0, 1, 2
    train_NF[30:60, 4] = np.nan
    mean_W, spread_W = trials.wide_figures(mixed_schema(), np.zeros(5), np.ones(5), train_NF)
    shares = [np.mean(train_NF[60:, 4][~np.isnan(train_NF[60:, 4])] == code) for code in range(3)]
    np.testing.assert_allclose(mean_W[4:], shares)
    np.testing.assert_allclose(spread_W[4:], np.sqrt(mean_W[4:] * (1 - mean_W[4:])))


def test_a_mixed_table_is_learned_in_every_column(mixed, tmp_path):
    one = replace(small(mixed_spec(mixed)), save_to=tmp_path / "bundle")
    result = trials.run(one)
    assert result.failure == ""
    columns_ = mixed_schema().columns
    bundle = Bundle.load(tmp_path / "bundle")
    answer_NW = bundle.reconstruct(MIXED["val"])
    assert (answer_NW.min(axis=0)[2:] >= 0).all()  # flag, count, levels
    np.testing.assert_allclose(answer_NW[:, 4:].sum(axis=1), 1, rtol=1e-5)
    own_F = codelength.cross_fitted_bits(MIXED["val"], answer_NW, columns_).sum(axis=0)
    wide_NW = wide.expand(MIXED["train"], columns_)
    guess_NW = np.broadcast_to(np.nanmean(wide_NW, axis=0), answer_NW.shape)
    mean_F = codelength.cross_fitted_bits(MIXED["val"], guess_NW, columns_).sum(axis=0)
    assert (own_F < mean_F).all()


def test_bits_of_a_mixed_table_are_a_mean_over_what_was_observed(mixed, tmp_path):
    result = trials.run(replace(mixed_spec(mixed), save_to=tmp_path / "bundle"))
    bundle = Bundle.load(tmp_path / "bundle")
    answer_NW = bundle.reconstruct(MIXED["val"])
    bits_NF = codelength.cross_fitted_bits(MIXED["val"], answer_NW, mixed_schema().columns)
    seen_NF = ~np.isnan(MIXED["val"])
    assert 0 < seen_NF.sum() < seen_NF.size
    expected = bits_NF[seen_NF].sum() / seen_NF.sum()
    assert result.metrics["bits_per_feature"] == pytest.approx(expected)
    assert (
        trials.judge(bundle, trials.load(Paths(mixed), "standard", None)).metrics == result.metrics
    )


def test_hidden_values_are_filled_in_better_than_by_the_mean(mixed, root):
    for one in (mixed_spec(mixed), spec(root)):
        values = trials.run(small(one)).metrics
        assert values["imputation_nrmse"] < 0.85 * values["imputation_nrmse_mean"]


def test_the_mean_fills_in_with_an_error_of_its_own(root):
    data = trials.load(Paths(root), "standard", None)
    values = trials.judge(Echo(), data).metrics
    error = np.sqrt(np.square((VAL - data.mean_F) / data.spread_W).mean())
    assert values["imputation_nrmse_mean"] == pytest.approx(error, rel=1e-6)
    assert values["imputation_nrmse"] == pytest.approx(error, rel=1e-6)  # Echo knows no better
    assert values["nrmse"] == 0  # of what it was shown it does


def test_a_resplit_of_a_mixed_table_keeps_gaps_and_levels(mixed):
    result = trials.run(replace(mixed_spec(mixed), resplit=True))
    assert result.failure == ""
    data = trials.load(Paths(mixed), "standard", 1)
    both_NF = np.concatenate([MIXED["train"], MIXED["val"]])
    assert np.isnan(data.train_NF).sum() + np.isnan(data.val_NF).sum() == np.isnan(both_NF).sum()
    codes = data.train_NF[:, 4]
    assert set(codes[~np.isnan(codes)]) == {0, 1, 2}


@pytest.mark.parametrize("kinds", [("binary",), ("categorical",), ("count",), ("count", "binary")])
def test_a_table_without_continuous_columns_is_fitted(kinds, tmp_path):
    at = [f for f, c in enumerate(mixed_schema().columns) if c.kind in kinds]
    columns_ = tuple(mixed_schema().columns[f] for f in at)
    described = replace(mixed_schema(), columns=columns_)
    values = {s: MIXED[s][:, at] for s in ("train", "val")}
    normalize.run(params(), write_rows(tmp_path, described, values))
    loss = {"binary": "bce", "categorical": "cross_entropy", "count": "poisson"}[kinds[0]]
    one = replace(small(mixed_spec(tmp_path), latent_dim=1), loss=loss, scaler="unit")
    result = trials.run(one)
    assert result.failure == ""
    assert result.metrics["bits_per_feature"] < 3
    assert [math.isfinite(p["val_gauss_bits"]) for p in result.curve] == [True] * 40


# --- weights, many rows, rows on disk -------------------------------------------------------------


def weighted(folder: Path, train_N: np.ndarray, val_N: np.ndarray) -> Paths:
    paths = Paths(make_files(folder))
    for split, count_N in (("train", train_N), ("val", val_N)):
        np.save(paths.beside(split, "weights"), count_N)
    return paths


def test_a_row_that_counts_twice_is_learned_as_if_it_stood_twice(tmp_path):
    twice = np.where(np.arange(100) < 20, 2.0, 1.0)
    by_weight = weighted(tmp_path / "weights", 7 * twice, np.ones(30))
    by_rows = Paths(make_files(tmp_path / "rows"))
    for file in (by_rows.values("train"), by_rows.scaled("standard", "train")):
        np.save(file, np.load(file).repeat(twice.astype(int), axis=0))
    unweighted = Paths(make_files(tmp_path / "plain"))
    whole = {"batch_size": 1000, "epochs": 20}
    curves = [
        [point["val_loss"] for point in trials.run(replace(spec(p.root), **whole)).curve]
        for p in (by_weight, by_rows, unweighted)
    ]
    np.testing.assert_allclose(curves[0], curves[1], rtol=1e-4)
    assert not np.allclose(curves[0], curves[2], rtol=1e-3)


def test_the_ruler_is_a_mean_over_weighted_rows(tmp_path):
    count_N = np.linspace(1, 9, 30)
    paths = weighted(tmp_path, np.ones(100), count_N)
    data = trials.load(paths, "standard", None)
    np.testing.assert_allclose(data.count_val_N, count_N / 5)  # 1 on average
    values = trials.judge(Echo(0.9), data).metrics
    bits_NF = codelength.cross_fitted_bits(VAL, 0.9 * VAL, columns())
    expected = np.average(bits_NF.mean(axis=1), weights=count_N)
    assert values["bits_per_feature"] == pytest.approx(expected)
    assert values["bits_per_feature"] != pytest.approx(bits_NF.mean())


def test_weights_stay_with_their_rows_in_a_resplit(tmp_path):
    both_N = np.arange(1.0, 131)
    data = trials.load(weighted(tmp_path, both_N[:100], both_N[100:]), "standard", 3)
    at_train, at_val = resplit(100, 30, 3)
    np.testing.assert_allclose(data.count_train_N, both_N[at_train] / both_N[at_train].mean())
    np.testing.assert_allclose(data.count_val_N, both_N[at_val] / both_N[at_val].mean())


def test_of_many_rows_a_trial_takes_evenly_spaced_ones(tmp_path):
    paths = weighted(tmp_path, np.arange(1.0, 101), np.ones(30))
    every = trials.load(paths, "standard", None)
    some = trials.load(paths, "standard", None, max_rows=10)
    at = np.linspace(0, 99, 10).round().astype(int)
    np.testing.assert_array_equal(some.train_NF, every.train_NF[at])
    np.testing.assert_allclose(some.count_train_N, (at + 1) / (at + 1).mean())
    np.testing.assert_array_equal(some.val_NF, every.val_NF)
    assert len(trials.load(paths, "standard", None, max_rows=100).train_NF) == 100
    few = trials.run(replace(spec(tmp_path), max_rows=10, epochs=20)).curve[-1]["train_loss"]
    assert few != trials.run(replace(spec(tmp_path), epochs=20)).curve[-1]["train_loss"]


def test_of_many_validation_values_evenly_spaced_rows_are_judged(root, monkeypatch):
    monkeypatch.setattr(trials, "JUDGED_VALUES", 6 * 15)
    monkeypatch.setattr(trials, "LEAST_JUDGED", 4)
    data = trials.load(Paths(root), "standard", None)
    at = np.linspace(0, 29, 15).round().astype(int)
    np.testing.assert_array_equal(data.val_NF, VAL[at])
    assert len(data.val_scaled_NF) == 15


def test_wide_rows_are_judged_by_enough_of_them(root, monkeypatch):
    monkeypatch.setattr(trials, "JUDGED_VALUES", 6)
    monkeypatch.setattr(trials, "LEAST_JUDGED", 20)
    assert len(trials.load(Paths(root), "standard", None).val_NF) == 20


def test_a_column_that_is_seldom_observed_is_learned_and_judged_by_some_of_many_rows(
    tmp_path, monkeypatch
):
    """Evenly spaced rows need not hold any of its values."""
    rng = np.random.default_rng(0)
    values = {"train": rng.normal(size=(4000, 6)), "val": rng.normal(size=(2000, 6))}
    for rows_NF in values.values():
        rows_NF[:, 5] = np.nan
        rows_NF[50:1000:37, 5] = 7.0 + rng.normal(size=26)
    paths = write_rows(tmp_path, replace(schema(), gaps=True), values)
    normalize.run(params(normalize={"scalers": ["standard"]}), paths)
    monkeypatch.setattr(trials, "JUDGED_VALUES", 6 * 64)
    data = trials.load(paths, "standard", None, max_rows=100)
    assert (~np.isnan(data.val_NF[:, 5])).sum() >= 10
    one = replace(spec(tmp_path), max_rows=100, save_to=tmp_path / "bundle")
    assert trials.run(one).failure == ""
    assert Bundle.load(tmp_path / "bundle").calibration is not None


@pytest.mark.parametrize("kind", ["plain", "mixed"])
def test_rows_on_disk_give_what_rows_in_memory_give(root, mixed, kind, monkeypatch):
    """Runs of 16 rows in pools of two: another order of rows, the same autoencoder but for that."""
    one = small(spec(root) if kind == "plain" else mixed_spec(mixed))
    held = trials.run(one)
    monkeypatch.setattr(batches, "RUN_ROWS", 16)
    monkeypatch.setattr(batches, "POOL_BYTES", 2 * 4 * 16 * 6)
    read = trials.run(replace(one, memory_mb=0))
    assert [p["train_loss"] for p in read.curve] != [p["train_loss"] for p in held.curve]
    for name in ("bits_per_feature", "bits_per_feature_masked"):
        assert read.metrics[name] == pytest.approx(held.metrics[name], abs=0.15)
    again = trials.run(replace(one, memory_mb=0))
    assert again.curve == read.curve


def test_weights_are_heeded_on_disk_too(tmp_path, monkeypatch):
    monkeypatch.setattr(batches, "RUN_ROWS", 16)
    monkeypatch.setattr(batches, "POOL_BYTES", 2 * 4 * 16 * 6)
    count_N = np.where(np.arange(100) < 50, 1e-6, 1.0)  # the first half says nothing
    paths = weighted(tmp_path, count_N, np.ones(30))
    scaled_NF = np.load(paths.scaled("standard", "train"))
    scaled_NF[:50] = 100.0
    np.save(paths.scaled("standard", "train"), scaled_NF)
    result = trials.run(replace(small(spec(tmp_path)), memory_mb=0))
    assert result.metrics["nrmse"] < 1


# --- kinds of networks ----------------------------------------------------------------------------


def _waves(rows: int, places: np.ndarray) -> np.ndarray:
    """Smooth arrays: a wave of random phase and height over the places, with some noise."""
    rng = np.random.default_rng(len(places))
    phase_N1, height_N1 = rng.uniform(0, 6, (rows, 1)), rng.uniform(1, 3, (rows, 1))
    return height_N1 * np.sin(places + phase_N1) + 0.05 * rng.normal(size=(rows, len(places)))


SHAPES = {
    "an image of one channel": ((6, 5, 1), "convolutional"),
    "an image in colours": ((5, 4, 3), "convolutional"),
    "a window": ((12, 2), "temporal"),
    "an image, dense": ((6, 5, 1), "dense"),
}


@pytest.mark.parametrize(("shape", "kind"), SHAPES.values(), ids=list(SHAPES))
@pytest.mark.parametrize("gaps", [False, True])
def test_images_and_windows_are_learned_with_and_without_gaps(tmp_path, shape, kind, gaps):
    count = math.prod(shape)
    values_NF = _waves(170, np.linspace(0, 4, count))
    if gaps:
        values_NF[np.random.default_rng(0).random(values_NF.shape) < 0.1] = np.nan
    columns_ = tuple(Column(f"p{i}", Kind.CONTINUOUS, None, None, None, 0) for i in range(count))
    rows = {"train": 140, "val": 30, "test": 0}
    described = Schema("waves", columns_, {}, {}, shape, rows, "", gaps=gaps)
    paths = write_rows(tmp_path, described, {"train": values_NF[:140], "val": values_NF[140:]})
    normalize.run(params(), paths)
    one = small(spec(tmp_path), kind=kind, hidden=(8,), latent_dim=3)
    result = trials.run(replace(one, save_to=tmp_path / "bundle"))
    assert result.failure == ""
    assert result.metrics["r2"] > 0.6
    assert result.metrics["imputation_nrmse"] < 0.8 * result.metrics["imputation_nrmse_mean"]
    bundle = Bundle.load(tmp_path / "bundle")
    assert bundle.recipe.architecture.inputs == count * (2 if gaps else 1)
    assert trials.judge(bundle, trials.load(paths, "standard", None)).metrics == result.metrics


def test_a_network_for_other_data_is_refused_before_any_step(root):
    with pytest.raises(ConfigError, match="'convolutional' is made for images, but these data are"):
        trials.run(small(spec(root), kind="convolutional"))


@pytest.mark.parametrize("which", ["plain", "mixed"])
def test_a_variational_bottleneck_costs_its_divergence(root, mixed, which, tmp_path):
    one = small(spec(root) if which == "plain" else mixed_spec(mixed), variational=True)
    result = trials.run(replace(one, save_to=tmp_path / "bundle"))
    bundle, data = Bundle.load(tmp_path / "bundle"), trials.load(Paths(one.root), "standard", None)
    answer_NW, extra_N = bundle.written(data.val_NF)
    assert (extra_N > 0).all()
    bits_NF = codelength.cross_fitted_bits(data.val_NF, answer_NW, data.schema.columns)
    seen = ~np.isnan(data.val_NF)
    expected = (bits_NF.sum() + extra_N.sum()) / seen.sum()
    assert result.metrics["bits_per_feature"] == pytest.approx(expected)
    assert (
        trials.judge(bundle, data).metrics == result.metrics
    )  # the draw of a row is always the same


def test_bits_beside_the_values_count(root):
    data = trials.load(Paths(root), "standard", None)
    free, dear = (
        trials.judge(Echo(0.9), data).metrics,
        trials.judge(Echo(0.9, extra=12.0), data).metrics,
    )
    for name in ("bits_per_feature", "bits_per_feature_masked"):
        assert dear[name] == pytest.approx(free[name] + 2.0)  # 12 bits over 6 features
    assert dear["rmse"] == free["rmse"]


def test_corruption_teaches_to_fill_gaps_in(root):
    """Denoising: values that may be missing at any time are inferred from the others."""
    plain = trials.run(small(spec(root))).metrics
    masked = trials.run(small(spec(root), corruption="mask", corruption_amount=0.3)).metrics
    assert masked["imputation_nrmse"] < plain["imputation_nrmse"]
    assert masked["nrmse"] > plain["nrmse"]


def test_noise_on_the_input_is_heeded_and_depends_on_the_seed_alone(mixed):
    noisy = small(mixed_spec(mixed), corruption="gauss", corruption_amount=0.5)
    one, two = trials.run(noisy), trials.run(noisy)
    assert one.metrics == two.metrics
    assert one.metrics != trials.run(small(mixed_spec(mixed))).metrics


def test_sparsity_shrinks_the_bottleneck(root, tmp_path):
    sizes = []
    for sparsity in (0.0, 3.0):
        folder = tmp_path / str(sparsity)
        trials.run(replace(small(spec(root), sparsity=sparsity), save_to=folder))
        bundle = Bundle.load(folder)
        rows = torch.from_numpy(bundle.scaler.transform(VAL).astype(np.float32))
        sizes.append(float(bundle.autoencoder.encode(bundle.inputs(rows)).detach().abs().mean()))
    assert sizes[1] < 0.7 * sizes[0]
