"""Scores of models and baselines on test rows, and the tables made of them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.metrics import roc_auc_score
from tests.fits import (
    MIXED,
    TEST,
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

from hourglass import codelength, evaluation, metrics, outcome, scaling, trials, wide
from hourglass.bundle import Bundle
from hourglass.errors import ConfigError
from hourglass.evaluation import Scores
from hourglass.paths import Paths, write_csv
from hourglass.trials import Spec
from hourglass.verdict import judge

SPREAD = TRAIN.std(axis=0)
Bundles = dict[str, dict[int, Bundle]]


def make_test(root: Path, values_NF: np.ndarray, **beside: np.ndarray) -> None:
    """Writes test rows, numbered from 1000 on, and what lies beside them."""
    paths = Paths(root)
    paths.values("test").parent.mkdir(parents=True, exist_ok=True)
    np.save(paths.values("test"), values_NF)
    for what, values_N in {"rows": 1000 + np.arange(len(values_NF)), **beside}.items():
        np.save(paths.beside("test", what), values_N)


def fitted(root: Path, base: Spec) -> Bundles:
    """Two losses, two seeds of each; the second seed redraws its rows."""
    paths, bundles = Paths(root), {}
    for loss in ("mse", "mae"):
        for seed in (1, 2):
            one = replace(base, name=loss, loss=loss, seed=seed, resplit=seed == 2)
            trials.run(replace(one, save_to=paths.model(loss, seed)))
        bundles[loss] = {s: Bundle.load(paths.model(loss, s)) for s in (1, 2)}
    return bundles


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = make_files(tmp_path_factory.mktemp("project"))
    make_test(root, TEST)
    return root


@pytest.fixture(scope="module")
def bundles(root: Path) -> Bundles:
    return fitted(root, spec(root))


@pytest.fixture(scope="module")
def opened(root: Path) -> evaluation.Test:
    return evaluation.open_test(Paths(root), schema(), SPREAD, "")


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = make_mixed_files(tmp_path_factory.mktemp("mixed"))
    make_test(root, MIXED["test"])
    return root


@pytest.fixture(scope="module")
def mixed_bundles(mixed: Path) -> Bundles:
    return fitted(mixed, replace(mixed_spec(mixed), epochs=20))


def open_mixed(root: Path) -> evaluation.Test:
    wide_NW = wide.expand(MIXED["train"], mixed_schema().columns)
    return evaluation.open_test(Paths(root), mixed_schema(), np.nanstd(wide_NW, axis=0), "")


# --- the rows that are scored ---------------------------------------------------------------------


def test_test_rows_come_with_their_numbers_and_nothing_else_where_there_is_nothing(opened):
    np.testing.assert_array_equal(opened.rows_NF, TEST)
    np.testing.assert_array_equal(opened.number_N, 1000 + np.arange(40))
    assert opened.wide_NW is opened.rows_NF  # no column has levels
    assert (opened.label_N, opened.count_N, opened.of) == (None, None, 40)


def test_labels_and_weights_come_with_their_rows(tmp_path, monkeypatch):
    monkeypatch.setattr(evaluation, "SCORED_VALUES", 6 * 9)
    own_N = np.arange(40.0)
    make_test(tmp_path, TEST, labels=own_N, weights=own_N + 1)
    found = evaluation.open_test(Paths(tmp_path), schema(), SPREAD, "")
    at = np.linspace(0, 39, 9).round().astype(int)
    np.testing.assert_array_equal(found.rows_NF, TEST[at])
    np.testing.assert_array_equal(found.number_N, 1000 + at)
    np.testing.assert_array_equal(found.label_N, at)
    np.testing.assert_array_equal(found.count_N, at + 1)
    assert found.of == 40


LABELLED = np.array([0, 1, 0, np.nan, 0, 1])


def test_the_rarer_one_of_two_labels_is_anomalous_and_gaps_are_unknown():
    found = evaluation.unusual(LABELLED, (), "")
    np.testing.assert_array_equal(found, [0, 1, 0, np.nan, 0, 1])
    np.testing.assert_array_equal(evaluation.unusual(1 - LABELLED, (), ""), found)


def test_of_several_labels_none_is_anomalous_unless_it_is_named():
    many = np.array([0.0, 1.0, 2.0, 2.0])
    assert evaluation.unusual(many, (), "") is None
    np.testing.assert_array_equal(evaluation.unusual(many, (), 2), [0, 0, 1, 1])
    np.testing.assert_array_equal(evaluation.unusual(many, ("a", "b", "c"), "c"), [0, 0, 1, 1])
    assert evaluation.unusual(None, (), "") is None


@pytest.mark.parametrize(
    ("label", "text"),
    [(1000001.0, "1000001"), (2.0, "2"), (1.5, "1.5"), (0.1, "0.1"), (1234567.25, "1234567.25")],
)
def test_labels_of_many_digits_do_not_look_alike(label, text):
    """A regression: 1000001 and 1000002 were both 1e+06, and could not be told apart or named."""
    assert evaluation.label_text(label, ()) == text


def test_one_of_many_long_numbers_may_be_anomalous():
    labels_N = np.array([1000001.0, 1000002.0, 1000003.0])
    np.testing.assert_array_equal(evaluation.unusual(labels_N, (), 1000002), [0, 1, 0])
    np.testing.assert_array_equal(evaluation.unusual(labels_N, (), 1000003.0), [0, 0, 1])


@pytest.mark.parametrize(
    ("labels", "names", "named", "said"),
    [
        (LABELLED, ("ok", "bad"), "bda", r"no test row has the label 'bda', did you mean 'bad'\?"),
        (LABELLED, (), 3, r"no test row has the label 3.* \(labels: 0, 1\)"),
        (None, (), 1, "but the rows have no labels: name their column in preprocess.label"),
    ],
)
def test_a_label_that_no_row_has_is_named(labels, names, named, said):
    with pytest.raises(ConfigError, match=said):
        evaluation.unusual(labels, names, named)


def test_rows_of_a_mixed_table_are_opened_in_wide_form(mixed):
    found = open_mixed(mixed)
    assert found.wide_NW.shape == (40, 7)
    gaps = np.isnan(MIXED["test"][:, 4])
    assert np.isnan(found.wide_NW[gaps, 4:]).all()
    np.testing.assert_array_equal(found.wide_NW[~gaps, 4:].sum(axis=1), 1)


def test_rows_count_by_their_weights(opened):
    count_N = np.linspace(1, 3, 40)
    weighted = replace(opened, count_N=count_N)
    bits_NF = np.arange(240.0).reshape(40, 6)
    found = weighted.measured(bits_NF, bits_NF + 2, bits_NF, np.full(40, 6.0), TEST)
    expected = np.average(bits_NF.mean(axis=1) + 1, weights=count_N)
    assert found["bits_per_feature"] == pytest.approx(expected)
    assert found["bits_per_feature_masked"] == pytest.approx(expected + 2)
    assert next(iter(found)) == "bits_per_feature"


# --- scores ---------------------------------------------------------------------------------------


def test_a_loss_is_scored_by_its_own_calibration_one_value_a_seed(bundles, opened):
    scores = evaluation.score_losses(bundles, opened)
    for loss, by_seed in bundles.items():
        for at, bundle in enumerate(by_seed.values()):
            answer = bundle.reconstruct(TEST)
            bits = bundle.code_length(TEST, answer)
            own = scores[loss]
            assert own.metrics["bits_per_feature"][at] == pytest.approx(bits.mean())
            assert own.metrics["mae"][at] == pytest.approx(np.abs(answer - TEST).mean())
            np.testing.assert_allclose(own.column_bits[at], bits.mean(axis=0))


def test_scores_of_a_mixed_table_are_means_over_what_was_observed(mixed, mixed_bundles):
    found = open_mixed(mixed)
    own = evaluation.score_losses(mixed_bundles, found)["mse"]
    bundle = mixed_bundles["mse"][1]
    answer_NW = bundle.reconstruct(MIXED["test"])
    bits_NF = bundle.code_length(MIXED["test"], answer_NW)
    seen_NF = ~np.isnan(MIXED["test"])
    bits = bits_NF[seen_NF].mean()
    assert bits != pytest.approx(bits_NF.mean(), rel=1e-3)
    assert own.metrics["bits_per_feature"][0] == pytest.approx(bits)
    column_bits = [bits_NF[seen_NF[:, f], f].mean() for f in range(5)]
    np.testing.assert_allclose(own.column_bits[0], column_bits)
    wide_NW = wide.expand(MIXED["test"], mixed_schema().columns)
    error = (answer_NW - wide_NW)[~np.isnan(wide_NW)]
    assert own.metrics["rmse"][0] == pytest.approx(np.sqrt(np.square(error).mean()))


def test_a_variational_model_is_scored_with_the_bits_of_its_bottleneck(root, opened, tmp_path):
    model = spec(root).model.model_copy(update={"variational": True})
    trials.run(replace(spec(root), model=model, save_to=tmp_path / "bundle"))
    bundle = Bundle.load(tmp_path / "bundle")
    own = evaluation.score_losses({"mse": {1: bundle}}, opened)["mse"]
    answer_NW, extra_N = bundle.written(TEST)
    bits = (bundle.code_length(TEST, answer_NW).sum() + extra_N.sum()) / TEST.size
    assert extra_N.min() > 0
    assert own.metrics["bits_per_feature"][0] == pytest.approx(bits)


def test_the_mean_over_seeds_is_plain():
    own = Scores()
    own.add(np.full(2, 1.0), {"bits_per_feature": 1.0, "rmse": 2.0})
    own.add(np.full(2, 2.0), {"bits_per_feature": 2.0, "rmse": 4.0})
    assert (own.mean("bits_per_feature"), own.mean("rmse")) == (1.5, 3.0)
    assert list(own.metrics) == ["bits_per_feature", "rmse"]


def test_baselines_stand_on_the_rows_of_each_seed(root, bundles, opened):
    """Seed 1 keeps the split, seed 2 redrew it: fitted and calibrated on its own rows."""
    scores = evaluation.score_baselines(Paths(root), bundles["mse"], opened, "standard")
    for at, resplit_seed in enumerate((None, 2)):
        data = trials.load(Paths(root), "standard", resplit_seed)
        mean = data.mean_F
        fitted_ = codelength.fit(data.val_NF, np.tile(mean, (len(VAL), 1)), columns())
        bits = codelength.bits(fitted_, TEST, np.tile(mean, (len(TEST), 1))).mean()
        assert scores["mean"].metrics["bits_per_feature"][at] == pytest.approx(bits)
    assert scores["pca"].mean("rmse") < scores["mean"].mean("rmse")


def test_bits_by_width_are_of_each_fit_and_a_pca_on_the_same_rows(root, bundles):
    """At the full width a PCA answers each row with itself: only the resolution is left."""
    paths = Paths(root)
    names = ["loss", "latent_dim", "bits_per_feature", "bits_per_feature_masked", "failure"]
    told = [
        ("mse", 2, 2.5, 3.0, ""),
        ("mse", 6, 1.5, 3.5, ""),
        ("mae", 2, 2.75, 2.75, ""),
        ("mae", 6, "", "", "diverged"),
    ]
    rows = [dict(zip(names, own, strict=True)) for own in told]
    write_csv(paths.train("widths.csv"), rows, names)
    found = evaluation.by_width(paths, bundles["mse"], "standard")
    assert found["mse"] == {2: (2.5, 3.0), 6: (1.5, 3.5)}
    assert found["mae"] == {2: (2.75, 2.75)}
    data = trials.load(paths, "standard", None)
    linear = PCA(2).fit(TRAIN / TRAIN.std(axis=0))
    answer_NF = linear.inverse_transform(linear.transform(VAL / TRAIN.std(axis=0)))
    answer_NF = answer_NF * TRAIN.std(axis=0)
    bits_NF = codelength.cross_fitted_bits(data.val_NF, answer_NF, columns())
    assert found["pca"][2][0] == pytest.approx(bits_NF.mean(), rel=1e-4)
    assert found["pca"][6][0] < found["pca"][2][0] < found["pca"][2][1] < found["pca"][6][1]
    write_csv(paths.train("widths.csv"), rows[:1], names)
    assert evaluation.by_width(paths, bundles["mse"], "standard") == {}


def test_the_advised_scaler_need_not_be_one_that_normalize_fitted(root, bundles, opened):
    """A regression: evaluate looked for data/normalized/robust/ after all the training."""
    assert not Paths(root).scaler("robust").exists()
    scores = evaluation.score_baselines(Paths(root), bundles["mse"], opened, "robust")
    scale = scaling.fit("robust", TRAIN, schema())
    centre = scale.inverse(np.median(scale.transform(TRAIN), axis=0))
    rmse = np.sqrt(np.square(TEST - centre).mean())
    assert scores["median"].metrics["rmse"][0] == pytest.approx(rmse, rel=1e-6)


@pytest.mark.parametrize("scaler", ["standard", "unit", "robust"])
def test_baselines_answer_for_mixed_tables_with_gaps(mixed, mixed_bundles, scaler):
    found = open_mixed(mixed)
    scores = evaluation.score_baselines(Paths(mixed), mixed_bundles["mse"], found, scaler)
    for own in scores.values():
        assert all(np.isfinite(values).all() for values in own.metrics.values())
        assert all(np.isfinite(bits_F).all() for bits_F in own.column_bits)
    assert scores["pca"].mean("bits_per_feature") < scores["mean"].mean("bits_per_feature")


def test_rows_of_a_baseline_cost_what_its_metrics_say(mixed, mixed_bundles):
    found = evaluation.open_test(Paths(mixed), mixed_schema(), np.ones(7), "")
    scores = evaluation.score_baselines(Paths(mixed), mixed_bundles["mse"], found, "standard")
    values = (~np.isnan(found.rows_NF)).sum()
    for own in scores.values():
        for at, metric in enumerate(("bits_per_feature", "bits_per_feature_masked")):
            rows_N = own.row_bits[0][at]
            assert rows_N.sum() / values == pytest.approx(own.metrics[metric][0])


def test_the_mean_of_a_mixed_table_gives_each_level_its_share(mixed, mixed_bundles):
    found = open_mixed(mixed)
    one = {1: mixed_bundles["mse"][1]}
    own = evaluation.score_baselines(Paths(mixed), one, found, "standard")["mean"]
    columns_ = mixed_schema().columns
    mean_W = np.nanmean(wide.expand(MIXED["train"], columns_), axis=0)
    guess = {s: np.broadcast_to(mean_W, (40, 7)) for s in ("val", "test")}
    fitted_ = codelength.fit(MIXED["val"], guess["val"], columns_)
    bits_NF = codelength.bits(fitted_, MIXED["test"], guess["test"])
    seen_NF = ~np.isnan(MIXED["test"])
    assert own.mean("bits_per_feature") == pytest.approx(bits_NF[seen_NF].mean(), rel=1e-5)
    expected = metrics.measure(found.wide_NW, guess["test"], found.scale_W)
    assert own.mean("nrmse") == pytest.approx(expected["nrmse"], rel=1e-5)


# --- what the search found of scalers -------------------------------------------------------------


def trial(loss: str, scaler: str, objective: str) -> dict[str, str]:
    state = "complete" if objective else "failed"
    return {"loss": loss, "scaler": scaler, "objective": objective, "state": state}


TRIED = [
    trial("mse", "unit", "2.5"),
    trial("mse", "standard", "2.0"),
    trial("mse", "unit", "2.25"),
    trial("mse", "robust", ""),
    trial("mae", "standard", "3.0"),
    trial("mae", "unit", "2.75"),
    trial("bce", "unit", "1.5"),
]


def test_of_each_scaler_the_best_trial_counts_and_failures_do_not():
    assert outcome.by_scaler(TRIED) == {
        "mse": {"unit": 2.25, "standard": 2.0},
        "mae": {"standard": 3.0, "unit": 2.75},
        "bce": {"unit": 1.5},
    }


def test_leverage_is_the_range_of_the_losses_beside_that_of_the_scalers():
    found = outcome.leverage(outcome.by_scaler(TRIED))
    assert found == (2.75 - 1.5, (0.25 + 0.25) / 2)


def test_without_a_second_scaler_there_is_no_leverage_to_speak_of():
    assert outcome.leverage({"bce": {"unit": 1.5}, "mse": {"unit": 2.0}}) is None
    assert outcome.leverage({}) is None


# --- tables ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tables(root, bundles, opened):
    scores = evaluation.score_losses(bundles, opened)
    base = evaluation.score_baselines(Paths(root), bundles["mse"], opened, "standard")
    decision = judge({"mse": [2.0, 2.2], "mae": [1.9, 2.2]}, {"mse": 0, "mae": 2}, 0.05, 0.1)
    return decision, scores, base


def test_the_leaderboard_tells_verdicts_of_validation_and_numbers_of_test_rows(tables, bundles):
    decision, scores, base = tables
    rows = outcome.leaderboard(decision, scores, base, bundles, 0.05, "code_length_masked")
    assert [tuple(r) for r in rows] == [outcome.LEADERBOARD] * 2
    assert [(r["loss"], r["verdict"], r["selected"]) for r in rows] == [
        ("mae", "best", False),
        ("mse", "tied", True),
    ]
    for row in rows:
        own = scores[row["loss"]]
        assert row["bits_per_feature"] == own.mean("bits_per_feature")
        assert row["test"] == pytest.approx(own.mean("bits_per_feature_masked"))
        assert row["ci_low"] < row["test"] < row["ci_high"]
        saved = base["pca"].mean("bits_per_feature_masked") - row["test"]
        assert row["skill_vs_pca"] == pytest.approx(saved)
        assert (row["seeds"], row["scaler"]) == (2, "standard")


def test_cross_has_every_loss_in_order_then_the_baselines(tables):
    _, scores, base = tables
    rows = outcome.cross(["mae", "mse"], scores, base)
    assert [r["trained"] for r in rows] == ["mae", "mse", "mean", "median", "pca"]
    assert rows[0]["rmse"] == scores["mae"].mean("rmse")
    assert len({tuple(r) for r in rows}) == 1


def test_the_summary_is_of_the_delivered_seed_and_its_own_pca(tables, bundles):
    decision, scores, base = tables
    found = outcome.summary(decision, scores, base, bundles, 2, "code_length")
    assert (found["selected_loss"], found["selected_seed"]) == ("mse", 2)
    assert found["bits_per_feature"] == scores["mse"].metrics["bits_per_feature"][1]
    assert found["bits_per_feature_pca"] == base["pca"].metrics["bits_per_feature"][1]
    assert found["test"] == found["bits_per_feature"]
    assert found["test_pca"] == found["bits_per_feature_pca"]
    assert found["test_mean_of_seeds"] == scores["mse"].mean("bits_per_feature")
    masked = outcome.summary(decision, scores, base, bundles, 2, "code_length_masked")
    assert masked["test"] == scores["mse"].metrics["bits_per_feature_masked"][1]
    assert masked["test_pca"] == base["pca"].metrics["bits_per_feature_masked"][1]
    assert masked["ruler"] == "bits per hidden value"
    assert found["rmse"] == scores["mse"].metrics["rmse"][1]


def test_test_rows_are_asked_of_the_ruler_that_chose(tables, bundles):
    """A regression: chosen by rmse, the choice was held against the code length of test rows."""
    decision, _, base = tables
    ahead = {"bits_per_feature": 1.0, "bits_per_feature_masked": 3.0, "nrmse": 0.9}
    behind = {"bits_per_feature": 2.0, "bits_per_feature_masked": 2.5, "nrmse": 0.5}
    scores = {"mse": Scores(), "mae": Scores()}
    for _ in range(2):
        scores["mae"].add(np.ones(2), ahead)
        scores["mse"].add(np.ones(2), behind)
    for objective, best in (("rmse", "mse"), ("code_length", "mae"), ("code_length_masked", "mse")):
        found = outcome.summary(decision, scores, base, bundles, 1, objective)
        assert found["best_on_test_rows"] == best


def test_the_summary_says_when_test_rows_disagree(tables, bundles):
    _, scores, base = tables
    ahead = min(scores, key=lambda n: scores[n].mean("bits_per_feature"))
    behind = next(n for n in scores if n != ahead)
    values = {behind: [1.0, 1.01], ahead: [3.0, 3.01]}
    decision = judge(values, {"mse": 0, "mae": 2}, 0.05, 0.015)
    found = outcome.summary(decision, scores, base, bundles, 1, "code_length")
    assert (found["best_on_test_rows"], found["test_rows_agree"]) == (ahead, False)
    assert found["not_worse"] == behind


def test_labels_tell_how_well_bits_find_anomalous_rows(root, bundles, opened):
    plain = evaluation.score_losses(bundles, opened)["mse"].metrics
    assert "auroc" not in plain
    bundle = next(iter(bundles["mse"].values()))
    answer_NW, extra_N = bundle.written(opened.rows_NF)
    surprise_N = bundle.surprise(opened.rows_NF, answer_NW).sum(axis=1) + extra_N / 2
    worst_N = np.argsort(-surprise_N)[:5]
    unusual_N = np.zeros(len(opened.rows_NF))
    unusual_N[worst_N] = 1
    labelled = replace(opened, unusual_N=unusual_N)
    own = evaluation.score_losses(bundles, labelled)["mse"].metrics
    assert own["auroc"][0] == own["average_precision"][0] == 1
    bits_N = bundle.code_length(opened.rows_NF, answer_NW).sum(axis=1) + extra_N
    assert own["auroc_code_length"][0] == pytest.approx(roc_auc_score(unusual_N, bits_N))
    base = evaluation.score_baselines(Paths(root), bundles["mse"], labelled, "standard")
    assert set(outcome.DETECTION) <= set(base["pca"].metrics)
    assert 0.5 < own["auroc_masked"][0] <= 1
