"""Scores of models and baselines on test rows, and the tables made of them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.fits import TEST, TRAIN, VAL, columns, make_files, spec

from hourglass import codelength, evaluation, scaling, trials
from hourglass.bundle import Bundle
from hourglass.evaluation import Scores
from hourglass.paths import Paths
from hourglass.verdict import judge

SPREAD = TRAIN.std(axis=0)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = make_files(tmp_path_factory.mktemp("project"))
    for loss in ("mse", "mae"):
        for seed in (1, 2):
            one = replace(spec(root), loss=loss, seed=seed, resplit=seed == 2)
            trials.run(replace(one, save_to=Paths(root).model(loss, seed)))
    return root


@pytest.fixture(scope="module")
def bundles(root: Path) -> dict[str, dict[int, Bundle]]:
    folder = Paths(root).model
    return {n: {s: Bundle.load(folder(n, s)) for s in (1, 2)} for n in ("mse", "mae")}


def test_a_loss_is_scored_by_its_own_calibration_one_value_a_seed(bundles):
    scores = evaluation.score_losses(bundles, TEST, SPREAD)
    for loss, by_seed in bundles.items():
        for at, bundle in enumerate(by_seed.values()):
            answer = bundle.reconstruct(TEST)
            bits = bundle.code_length(TEST, answer)
            own = scores[loss]
            assert own.metrics["bits_per_feature"][at] == pytest.approx(bits.mean())
            assert own.metrics["mae"][at] == pytest.approx(np.abs(answer - TEST).mean())
            np.testing.assert_allclose(own.column_bits[at], bits.mean(axis=0))


def test_the_mean_over_seeds_is_plain():
    own = Scores()
    own.add(np.full((3, 2), 1.0), {"rmse": 2.0})
    own.add(np.full((3, 2), 2.0), {"rmse": 4.0})
    assert (own.mean("bits_per_feature"), own.mean("rmse")) == (1.5, 3.0)


def test_baselines_stand_on_the_rows_of_each_seed(root, bundles):
    """Seed 1 keeps the split, seed 2 redrew it: fitted and calibrated on its own rows."""
    scores = evaluation.score_baselines(Paths(root), bundles["mse"], TEST, SPREAD, "standard")
    for at, resplit_seed in enumerate((None, 2)):
        data = trials.load(Paths(root), "standard", resplit_seed)
        mean = data.mean_F
        fitted = codelength.fit(data.val_NF, np.tile(mean, (len(VAL), 1)), columns())
        bits = codelength.bits(fitted, TEST, np.tile(mean, (len(TEST), 1))).mean()
        assert scores["mean"].metrics["bits_per_feature"][at] == pytest.approx(bits)
    assert scores["pca"].mean("rmse") < scores["mean"].mean("rmse")


def test_the_advised_scaler_need_not_be_one_that_normalize_fitted(root, bundles):
    """A regression: evaluate looked for data/normalized/robust/ after all the training."""
    assert not Paths(root).scaler("robust").exists()
    scores = evaluation.score_baselines(Paths(root), bundles["mse"], TEST, SPREAD, "robust")
    scale = scaling.fit("robust", TRAIN, columns())
    centre = scale.inverse(np.median(scale.transform(TRAIN), axis=0))
    rmse = np.sqrt(np.square(TEST - centre).mean())
    assert scores["median"].metrics["rmse"][0] == pytest.approx(rmse)


@pytest.fixture(scope="module")
def tables(root, bundles):
    scores = evaluation.score_losses(bundles, TEST, SPREAD)
    base = evaluation.score_baselines(Paths(root), bundles["mse"], TEST, SPREAD, "standard")
    decision = judge({"mse": [2.0, 2.2], "mae": [1.9, 2.2]}, {"mse": 0, "mae": 2}, 0.05, 0.015)
    return decision, scores, base


def test_the_leaderboard_tells_verdicts_of_validation_and_numbers_of_test_rows(tables, bundles):
    decision, scores, base = tables
    rows = evaluation.leaderboard(decision, scores, base, bundles, 0.05)
    assert [tuple(r) for r in rows] == [evaluation.LEADERBOARD] * 2
    assert [(r["loss"], r["verdict"], r["selected"]) for r in rows] == [
        ("mae", "best", False),
        ("mse", "tied", True),
    ]
    for row in rows:
        own = scores[row["loss"]]
        assert row["bits_per_feature"] == own.mean("bits_per_feature")
        assert row["ci_low"] < row["bits_per_feature"] < row["ci_high"]
        saved = base["pca"].mean("bits_per_feature") - row["bits_per_feature"]
        assert row["skill_vs_pca"] == pytest.approx(saved)
        assert (row["seeds"], row["scaler"]) == (2, "standard")


def test_cross_has_every_loss_in_order_then_the_baselines(tables):
    _, scores, base = tables
    rows = evaluation.cross(["mae", "mse"], scores, base)
    assert [r["trained"] for r in rows] == ["mae", "mse", "mean", "median", "pca"]
    assert rows[0]["rmse"] == scores["mae"].mean("rmse")
    assert len({tuple(r) for r in rows}) == 1


def test_the_summary_is_of_the_delivered_seed_and_its_own_pca(tables, bundles):
    decision, scores, base = tables
    found = evaluation.summary(decision, scores, base, bundles, 2, "code_length")
    assert (found["selected_loss"], found["selected_seed"]) == ("mse", 2)
    assert found["bits_per_feature"] == scores["mse"].metrics["bits_per_feature"][1]
    assert found["bits_per_feature_pca"] == base["pca"].metrics["bits_per_feature"][1]
    assert found["bits_per_feature_mean_of_seeds"] == scores["mse"].mean("bits_per_feature")
    assert found["rmse"] == scores["mse"].metrics["rmse"][1]


def test_test_rows_are_asked_of_the_ruler_that_chose(tables, bundles):
    """A regression: chosen by rmse, the choice was held against the code length of test rows."""
    decision, _, base = tables
    ahead, behind = {"bits_per_feature": 1.0, "nrmse": 0.9}, {"bits_per_feature": 2.0, "nrmse": 0.5}
    scores = {"mse": Scores(), "mae": Scores()}
    for _ in range(2):
        scores["mae"].add(np.ones((3, 2)), ahead)
        scores["mse"].add(np.full((3, 2), 2.0), behind)
    for objective, best in (("rmse", "mse"), ("code_length", "mae"), ("code_length_masked", "mae")):
        found = evaluation.summary(decision, scores, base, bundles, 1, objective)
        assert found["best_on_test_rows"] == best


def test_the_summary_says_when_test_rows_disagree(tables, bundles):
    _, scores, base = tables
    ahead = min(scores, key=lambda n: scores[n].mean("bits_per_feature"))
    behind = next(n for n in scores if n != ahead)
    values = {behind: [1.0, 1.01], ahead: [3.0, 3.01]}
    decision = judge(values, {"mse": 0, "mae": 2}, 0.05, 0.015)
    found = evaluation.summary(decision, scores, base, bundles, 1, "code_length")
    assert (found["best_on_test_rows"], found["test_rows_agree"]) == (ahead, False)
    assert found["not_worse"] == behind
