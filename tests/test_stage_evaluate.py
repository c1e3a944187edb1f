"""What evaluate makes of fits: which seed it delivers, what each test row costs, what failed."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from tests.fits import MIXED, make_mixed_files, mixed_schema, mixed_spec

from hourglass import evaluation, trials
from hourglass.bundle import Bundle
from hourglass.paths import Paths, write_csv
from hourglass.stages import evaluate


def test_a_loss_that_the_search_dropped_is_told_with_the_verdict():
    tried = [
        {"loss": "mse", "dropped": ""},
        {"loss": "mae", "dropped": ""},
        {"loss": "mae", "dropped": "dropped after 2 trials: 0.5 bits behind mse"},
    ]
    assert evaluate._dropped(tried) == [
        "mae was searched for less long than the others: dropped after 2 trials: 0.5 bits behind "
        "mse."
    ]


def test_the_delivered_fit_is_the_best_once_the_luck_of_its_rows_is_taken_off():
    """A survivor of mutation: the worst seed could be delivered."""
    own = {1: 2.0, 2: 1.5, 3: 1.9}
    assert evaluate._delivered({"mse": own}, "mse") == 2
    rows = {1: 2.4, 2: 1.6, 3: 2.0}  # seed 1 met rows that were hard for all
    assert evaluate._delivered({"mse": own, "mae": rows}, "mse") == 1


# --- test_rows.csv --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def bundle(tmp_path_factory) -> Bundle:
    root = make_mixed_files(tmp_path_factory.mktemp("mixed"))
    spec = mixed_spec(root)
    model = spec.model.model_copy(update={"variational": True})
    trials.run(replace(spec, model=model, save_to=root / "bundle"))
    return Bundle.load(root / "bundle")


def rows_of(tmp_path, bundle, names=(), **beside) -> list[dict]:
    paths = Paths(tmp_path)
    paths.values("test").parent.mkdir(parents=True)
    np.save(paths.values("test"), MIXED["test"])
    for what, values_N in {"rows": np.arange(40) + 7, **beside}.items():
        np.save(paths.beside("test", what), values_N)
    schema = replace(mixed_schema(), labels=names)
    test = evaluation.open_test(paths, schema, np.ones(7), "")
    rows, columns = evaluate._test_rows(SimpleNamespace(test=test, schema=schema), bundle)
    assert all(list(row) == columns for row in rows)
    return rows


def test_each_test_row_has_its_number_its_bits_and_its_error(tmp_path, bundle):
    rows = rows_of(tmp_path, bundle)
    assert [row["row"] for row in rows] == list(range(7, 47))
    answer_NW, extra_N = bundle.written(MIXED["test"])
    bits_NF = bundle.code_length(MIXED["test"], answer_NW)
    bits_N = [row["code_length_bits"] for row in rows]
    assert extra_N.min() > 0
    np.testing.assert_allclose(bits_N, bits_NF.sum(axis=1) + extra_N)
    whole = int(np.argmin(np.isnan(MIXED["test"]).sum(axis=1)))
    values = MIXED["test"][whole]
    target_W = [*values[:4], *(values[4] == np.arange(3))]
    rmse = np.sqrt(np.square(answer_NW[whole] - target_W).mean())
    assert rows[whole]["rmse"] == pytest.approx(rmse)
    gap = int(np.argmax(np.isnan(MIXED["test"][:, 0])))
    assert 0 < rows[gap]["rmse"] < np.inf
    assert "label" not in rows[0]


def test_labels_are_told_by_name_or_as_numbers_and_gaps_are_blank(tmp_path, bundle):
    codes_N = np.array([1.0, np.nan] * 20)
    rows = rows_of(tmp_path / "names", bundle, ("ill", "well"), labels=codes_N)
    assert [row["label"] for row in rows[:2]] == ["well", ""]
    rows = rows_of(tmp_path / "numbers", bundle, labels=codes_N + 0.5)
    assert [row["label"] for row in rows[:2]] == ["1.5", ""]


# --- gate.csv -------------------------------------------------------------------------------------


@pytest.mark.parametrize("hidden", [False, True])
def test_the_gate_is_told_what_each_row_costs_under_the_delivered_model(tmp_path, bundle, hidden):
    paths = Paths(tmp_path)
    paths.values("test").parent.mkdir(parents=True)
    np.save(paths.values("test"), MIXED["test"])
    np.save(paths.beside("test", "rows"), np.arange(40) + 7)
    test = evaluation.open_test(paths, mixed_schema(), np.ones(7), "")
    baseline = evaluation.Scores()
    baseline.add(np.ones(5), {}, (np.full(40, 8.0), np.full(40, 9.0)))
    baseline.add(np.ones(5), {}, (np.full(40, 1.0), np.full(40, 2.0)))
    decided = SimpleNamespace(selected="mse")
    found = SimpleNamespace(
        test=test,
        decision=decided,
        bundles={"mse": {1: None, 4: bundle}},
        seed=4,
        baselines={"pca": baseline},
    )
    rows, columns = evaluate._gate_rows(found, hidden)
    assert columns == ["position", "row", "model", "pca"]
    assert [r["position"] for r in rows] == list(range(40))
    assert [r["row"] for r in rows] == list(range(7, 47))
    assert {r["pca"] for r in rows} == {2.0 if hidden else 1.0}
    measured = evaluation.score_losses({"mse": {4: bundle}}, test)["mse"].metrics
    values = (~np.isnan(MIXED["test"])).sum()
    metric = "bits_per_feature_masked" if hidden else "bits_per_feature"
    assert sum(r["model"] for r in rows) / values == pytest.approx(measured[metric][0])


# --- remarks --------------------------------------------------------------------------------------


def test_how_well_gaps_are_filled_is_told_of_the_delivered_fit(tmp_path):
    paths = Paths(tmp_path)
    fits = [
        {"loss": loss, "seed": seed, "imputation_nrmse": value, "imputation_nrmse_mean": 1.0}
        for loss, seed, value in (("mse", 1, 0.1), ("mae", 1, 0.2), ("mae", 2, 0.3))
    ]
    write_csv(paths.train("fits.csv"), fits, list(fits[0]))
    found = evaluate._imputation(paths, "mae", 2)
    assert found == {"imputation_nrmse": 0.3, "imputation_nrmse_mean": 1.0}
