"""A fit as a pure function: what it reads, how it is judged, what counts as its own failure."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.fits import TRAIN, VAL, columns, make_files, spec

from hourglass import codelength, trials
from hourglass.bundle import Bundle
from hourglass.errors import ConfigError, MissingInputError, TrainingError
from hourglass.paths import Paths
from hourglass.splitting import resplit


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_files(tmp_path_factory.mktemp("project"))


class Echo:
    """A stand-in for a bundle: answers with its input, and remembers it."""

    def __init__(self, factor: float = 1.0) -> None:
        self.factor = factor
        self.asked: list[np.ndarray] = []

    def reconstruct(self, rows_NF: np.ndarray) -> np.ndarray:
        self.asked.append(rows_NF)
        return rows_NF * self.factor


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
    assert trials.judge(bundle, trials.load(Paths(root), "standard", None)) == result.metrics
    again = codelength.fit(VAL, bundle.reconstruct(VAL), columns())
    assert bundle.calibration == again  # validation rows, never others


def test_threads_are_as_before(root):
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    trials.run(spec(root))
    assert torch.get_num_threads() == 2
    torch.set_num_threads(before)


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

    monkeypatch.setattr(trials, "fit", full)
    with pytest.raises(TrainingError, match=r"mse: the device has no memory left\. Nothing"):
        trials.run(spec(root))


def test_a_bug_is_no_failure_of_the_loss(root, monkeypatch):
    def wrong(*_: object) -> None:
        raise RuntimeError("shapes do not match")

    monkeypatch.setattr(trials, "fit", wrong)
    with pytest.raises(RuntimeError, match="shapes do not match"):
        trials.run(spec(root))


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
    np.testing.assert_allclose(data.spread_F, TRAIN.std(axis=0), rtol=1e-6)


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
    real = trials.residual_scale
    monkeypatch.setattr(
        trials, "residual_scale", lambda *a: asked.append(torch.get_num_threads()) or real(*a)
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
    exact, off = trials.judge(Echo(), data), trials.judge(Echo(0.9), data)
    assert (exact["rmse"], exact["mae"]) == (0.0, 0.0)
    assert off["rmse"] == pytest.approx(0.1 * np.sqrt(np.square(VAL).mean()))
    assert exact["bits_per_feature"] < off["bits_per_feature"]


def test_a_column_that_hardly_varies_counts_in_steps_of_its_resolution(root):
    """A survivor of mutation: errors were divided by a spread far below the resolution of 0.5."""
    data = trials.load(Paths(root), "standard", None)
    spread_F = np.where(np.arange(6) == 0, 1e-3, data.spread_F)
    values = trials.judge(Echo(0.9), replace(data, spread_F=spread_F))
    scale_F = np.where(np.arange(6) == 0, 0.5, data.spread_F)
    assert values["nrmse"] == pytest.approx(np.sqrt(np.square(0.1 * VAL / scale_F).mean()))


def test_the_judge_needs_few_rows(root):
    """A regression: some column of ten rows had no hidden value to calibrate the ruler on."""
    data = trials.load(Paths(root), "standard", None)
    values = trials.judge(Echo(0.9), replace(data, val_NF=VAL[:10]))
    assert math.isfinite(values["bits_per_feature_masked"])


def test_each_value_is_hidden_once_and_its_answer_never_saw_it(root):
    data = trials.load(Paths(root), "standard", None)
    echo = Echo()
    blind_NF = trials.blind(echo, data)
    np.testing.assert_array_equal(blind_NF, np.broadcast_to(data.mean_F, VAL.shape))
    hidden = sum((asked != VAL).astype(int) for asked in echo.asked)
    np.testing.assert_array_equal(hidden, 1)
    shares = [(asked != VAL).mean() for asked in echo.asked]
    assert max(shares) < 0.25


def test_copying_does_not_win_the_masked_code_length(root):
    values = trials.judge(Echo(), trials.load(Paths(root), "standard", None))
    assert values["bits_per_feature_masked"] > values["bits_per_feature"] + 3


@pytest.mark.parametrize("wrong", [math.nan, math.inf])
def test_a_reconstruction_that_is_not_finite_fails_the_trial(root, wrong):
    with pytest.raises(TrainingError, match="not finite"):
        trials.judge(Echo(wrong), trials.load(Paths(root), "standard", None))


def test_a_ruler_that_overflows_fails_the_trial(root, monkeypatch):
    monkeypatch.setattr(trials.metrics, "measure", lambda *_: {"rmse": math.inf})
    with pytest.raises(TrainingError, match="rmse of validation rows is inf"):
        trials.judge(Echo(), trials.load(Paths(root), "standard", None))


def test_objectives_are_bits_and_lower_is_better():
    values = {"bits_per_feature": 2.0, "bits_per_feature_masked": 3.0, "nrmse": 0.5, "nmae": 0.25}
    found = {n: trials.objective(n, values) for n in ("code_length", "rmse", "mae")}
    assert found == {"code_length": 2.0, "rmse": -1.0, "mae": -2.0}
    assert trials.objective("code_length_masked", values) == 2.5
    assert math.isfinite(trials.objective("rmse", {"nrmse": 0.0}))
    assert trials.objective_unit("code_length_masked") == "bits per feature"
    assert "standardised rmse" in trials.objective_unit("rmse")


def test_the_residual_scale_is_that_of_the_noise_a_pca_leaves():
    generator = torch.Generator().manual_seed(0)
    signal = torch.randn(4000, 2, generator=generator) @ torch.randn(2, 20, generator=generator)
    noisy = signal + 0.3 * torch.randn(4000, 20, generator=generator)
    assert trials.residual_scale(noisy, 2) == pytest.approx(0.3, rel=0.08)


def test_outliers_hardly_move_the_residual_scale():
    rows = torch.randn(4000, 10, generator=torch.Generator().manual_seed(0))
    hit = rows.clone()
    hit[::100, 0] += 1000.0
    assert trials.residual_scale(hit, 1) == pytest.approx(trials.residual_scale(rows, 1), rel=0.2)


@pytest.mark.parametrize("latent_dim", [5, 9])
def test_a_bottleneck_as_wide_as_the_data_leaves_a_scale_above_zero(latent_dim):
    rows = torch.randn(50, 5, generator=torch.Generator().manual_seed(0))
    assert 0 < trials.residual_scale(rows, latent_dim) < 1e-3


def test_of_many_rows_the_residual_scale_looks_at_all_parts(monkeypatch):
    monkeypatch.setattr(trials, "PCA_ROWS", 100)
    rows = torch.randn(1000, 4, generator=torch.Generator().manual_seed(0))
    rows[:100] *= 1e-3  # a sorted table
    assert trials.residual_scale(rows, 1) > 0.3


def test_the_context_has_steps_and_span_in_scaled_units(root):
    known = trials.context(Paths(root), "standard", 2)
    sd_F = TRAIN.std(axis=0)
    np.testing.assert_allclose(known.resolution_F[:1], 0.5 / sd_F[:1], rtol=1e-6)
    assert known.resolution_F[1:].sum() == 0
    scaled = (TRAIN - TRAIN.mean(axis=0)) / sd_F
    assert known.span == pytest.approx(np.ptp(scaled), rel=1e-6)
