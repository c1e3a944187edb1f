"""What the report says beside the verdict, and in which units it draws rows."""

from types import SimpleNamespace

import numpy as np
import pytest
from tests.fits import MIXED, make_mixed_files, mixed_schema, schema

from hourglass import remarks, review
from hourglass.evaluation import Scores
from hourglass.paths import Paths, write_csv
from hourglass.schema import Column, Kind, Schema


def test_losses_that_failed_are_named_with_their_cause(tmp_path):
    paths = Paths(tmp_path)
    trials = [
        {"loss": "mse", "state": "complete", "failure": ""},
        {"loss": "mse", "state": "failed", "failure": "diverged"},
        {"loss": "huber", "state": "failed", "failure": "delta too wide"},
        {"loss": "huber", "state": "failed", "failure": "diverged"},
        {"loss": "mae", "state": "complete", "failure": ""},
    ]
    fits = [
        {"loss": "mse", "seed": 1, "failure": ""},
        {"loss": "mae", "seed": 1, "failure": ""},
        {"loss": "mae", "seed": 2, "failure": "became nan"},
    ]
    write_csv(paths.search("trials.csv"), trials, list(trials[0]))
    write_csv(paths.train("fits.csv"), fits, list(fits[0]))
    assert remarks.left_out(paths) == [
        "huber takes no part in the verdict: every trial failed (delta too wide).",
        "mae takes no part in the verdict: a fit failed (became nan).",
    ]


@pytest.mark.parametrize(("shape", "expected"), [(None, [[0.0, 2.0]]), ((1, 2, 1), [[100.0, 5.0]])])
def test_rows_of_tables_are_drawn_in_spreads_of_the_training_rows(shape, expected, tmp_path):
    paths = Paths(tmp_path)
    paths.values("train").parent.mkdir(parents=True)
    np.save(paths.values("train"), np.array([[0.0, 2.0], [200.0, 4.0]] * 5))
    columns = tuple(Column(n, Kind.CONTINUOUS, None, None, None, 0) for n in "ab")
    schema = Schema("a table", columns, {}, {}, shape, {"train": 10}, "")
    drawn = review._to_draw(paths, schema, {"original": np.array([[100.0, 5.0]])})
    assert drawn["original"].tolist() == expected


def test_levels_are_drawn_as_probabilities(tmp_path):
    paths = Paths(make_mixed_files(tmp_path))
    wide_NW = np.array([[0.0, 100.0, 0.5, 3.0, 0.25, 0.5, 0.25]])
    drawn = review._to_draw(paths, mixed_schema(), {"mse": wide_NW})["mse"]
    np.testing.assert_array_equal(drawn[0, [2, 4, 5, 6]], [0.5, 0.25, 0.5, 0.25])
    far = MIXED["train"][:, 1]
    assert drawn[0, 1] == pytest.approx((100 - far.mean()) / far.std())


def test_scalers_are_shown_where_there_was_a_choice():
    tried = {"mse": {"unit": 2.0, "standard": 1.5}, "bce": {"unit": 1.75}}
    assert review._scalers(tried) == [
        {"loss": "mse", "unit": 2.0, "standard": 1.5},
        {"loss": "bce", "unit": 1.75, "standard": None},
    ]
    assert review._scalers({"mse": {"unit": 2.0}, "bce": {"unit": 1.75}}) == []


@pytest.mark.parametrize(
    ("tried", "matters"),
    [
        ({"mse": {"unit": 2.0, "standard": 1.5}, "mae": {"unit": 1.75}}, "scaler"),
        ({"mse": {"unit": 2.0, "standard": 1.9}, "mae": {"unit": 1.5}}, "loss"),
    ],
)
def test_what_matters_more_is_said(tried, matters):
    assert review._leverage(tried).endswith(f"the {matters} matters more.")
    assert review._leverage({"mse": {"unit": 2.0}}) == ""


@pytest.mark.parametrize(
    ("masked", "latent_dim", "objective", "said"),
    [
        (1.5, 2, "code_length", False),  # log2(6 / 4) = 0.58 bits are due
        (3.0, 2, "code_length", True),
        (3.0, 2, "code_length_masked", False),
        (1.06, 1, "code_length", False),
        (9.0, 6, "code_length", False),  # as wide as the row: warned of before the search
    ],
)
def test_a_bottleneck_that_copies_noise_is_told_by_its_hidden_values(
    masked, latent_dim, objective, said
):
    numbers = {"bits_per_feature": 1.0, "bits_per_feature_masked": masked}
    found = SimpleNamespace(
        schema=schema(), metrics=numbers, latent_dim=latent_dim, objective=objective
    )
    sentence = remarks.copied(found)
    assert bool(sentence) == said
    if said:
        assert "costs 2.00 bits more" in sentence
        assert "2 of 6 dimensions explain 0.58" in sentence


@pytest.mark.parametrize(
    ("objective", "ahead", "said"),
    [
        ("code_length", 1.9, "Counted in bits per hidden value, mae is ahead of mse by 0.100"),
        ("code_length", 1.996, ""),  # within the margin
        ("code_length_masked", 1.9, "Counted in bits per feature, mae is ahead of mse by 0.100"),
    ],
)
def test_where_the_other_code_length_prefers_another_loss_it_is_told(objective, ahead, said):
    metric = "bits_per_feature_masked" if objective == "code_length" else "bits_per_feature"
    scores = {}
    for loss, bits in (("mse", 2.0), ("mae", ahead)):
        scores[loss] = Scores()
        scores[loss].add(np.ones(1), {metric: bits})
    standings = [SimpleNamespace(loss=loss) for loss in scores]
    found = SimpleNamespace(
        objective=objective,
        margin=0.005,
        scores=scores,
        decision=SimpleNamespace(standings=standings, selected="mse"),
    )
    sentences = remarks._other_ruler(found)
    assert [said in sentence for sentence in sentences] == [True] * bool(said)
    other = "code_length_masked" if objective == "code_length" else "code_length"
    assert all(sentence.endswith(f"search.objective: {other}.") for sentence in sentences)


def delivered(**numbers) -> SimpleNamespace:
    known = {"test": 1.673, "test_pca": 1.976, "test_mean_of_seeds": 1.661, "rows_test": 270}
    return SimpleNamespace(
        metrics={**known, "ruler": "bits per feature", **numbers},
        decision=SimpleNamespace(selected="bce", seeds=5, alpha=0.05),
        seed=3,
        order=["bce", "mse"],
        latent_dim=8,
        pca=1.977,
        test=SimpleNamespace(of=270, rows_NF=np.zeros((270, 1))),
    )


def test_the_delivered_fit_is_one_of_several_and_its_number_is_told_from_their_mean():
    said = remarks._delivered(delivered())
    assert "one of the 5 fits of bce, that of seed 3: the best on validation rows, once" in said
    assert "needs 1.673 bits per feature on 270 test rows; the leaderboard's 1.661 is" in said
    assert "evenly spaced" not in said


def test_the_pca_of_the_delivered_split_is_told_from_the_mean_over_the_splits():
    said = remarks._against_pca(delivered())
    assert "saves 0.303 against a PCA of the same bottleneck (8)" in said
    assert said.endswith("1.976; the leaderboard's, 1.977, is the mean over the seeds' rows.")
    assert remarks._against_pca(delivered(test_pca=1.977)).endswith("the same rows: 1.977.")
    assert "0.027 more than a PCA" in remarks._against_pca(delivered(test=2.003))


def test_columns_that_are_coded_by_a_density_are_named():
    columns = [
        Column(n, Kind.CONTINUOUS, 0.1 if n == "b" else None, None, None, 0) for n in "abcde"
    ]
    found = SimpleNamespace(schema=SimpleNamespace(columns=columns))
    (said,) = remarks._density(found).values()
    assert said.startswith("a, c, d and 1 more hold values without a smallest step")
    found.schema.columns = columns[1:2]
    assert remarks._density(found) == {}
    found.schema.columns = columns[:1]
    assert remarks._density(found)["bits below 0"].startswith("all columns")


def test_a_tie_is_unclear_where_the_mean_is_behind_by_more_than_the_margin():
    standings = [
        SimpleNamespace(loss=loss, verdict=verdict, difference=difference)
        for loss, verdict, difference in (
            ("mse", "best", 0.0), ("mae", "tied", 0.004), ("huber", "tied", 0.3),
        )
    ]  # fmt: skip
    found = SimpleNamespace(
        margin=0.005,
        decision=SimpleNamespace(standings=standings),
        rows=[{"loss": s.loss, "verdict": s.verdict} for s in standings],
    )
    assert [row["tie"] for row in review.board_rows(found)] == ["", "equal", "unclear"]


@pytest.mark.parametrize("objective", ["code_length", "code_length_masked", "rmse", "mae"])
def test_every_word_of_the_leaderboard_is_explained_whatever_the_ruler(objective):
    columns = [Column("a", Kind.CONTINUOUS, None, None, None, 0)]
    found = SimpleNamespace(
        schema=SimpleNamespace(columns=columns),
        objective=objective,
        decision=SimpleNamespace(seeds=3, alpha=0.1),
        level="90 %",
        margin=0.005,
        unit="bits",
        pca=2.0,
    )
    terms = remarks.terms(found)
    assert {"bits", "validation rows decide", "tied", "skill vs PCA", "bits below 0"} <= set(terms)
    assert ("hidden value" in terms) == objective.startswith("code_length")
    assert "90 % t interval" in terms["validation rows decide"]
    assert "within 0.005 bits" in terms["tied"]
    assert "train.seeds" in terms["tied"]
