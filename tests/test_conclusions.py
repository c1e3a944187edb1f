"""What sections come to in a sentence, from made-up numbers whose answer is plain."""

from types import SimpleNamespace

import numpy as np
import pytest

from hourglass import competitors, conclusions, crossing
from hourglass.figures import Shape

PLACE = np.linspace(-8, 8, 321)
GAUSS = np.exp(-0.5 * PLACE**2) / np.sqrt(2 * np.pi)


def shape(loss: str, far: int, assumed: np.ndarray | None = GAUSS) -> Shape:
    """Of 100 residuals so many lie far out."""
    return Shape(loss, np.r_[np.zeros(100 - far), np.full(far, 5.0)], PLACE, assumed)


def test_outliers_that_no_loss_assumes_are_told():
    said = conclusions.noise([shape("mse", 2), shape("mae", 0), shape("bce", 9, None)], "mse")
    assert said.startswith("Of the 2 losses here that assume noise of one shape 1 met more than")
    assert "mse, the best: 2 % found, 0.0064 % assumed" in said
    assert "none met" in conclusions.noise([shape("mse", 0)], "mse")
    assert "bce, the best, assumes no one" in conclusions.noise([shape("mse", 0)], "bce")
    assert conclusions.noise([shape("bce", 1, None)], "bce") == ""


def findings(**bits) -> SimpleNamespace:
    return SimpleNamespace(
        column_bits={loss: np.array(own) for loss, own in bits.items()},
        decision=SimpleNamespace(selected="mse"),
        order=list(bits),
        schema=SimpleNamespace(names=["a", "b", "c"]),
    )


def test_the_selected_loss_is_held_against_its_nearest_rival_column_by_column():
    said = conclusions.where_bits_go(findings(mae=[1.0, 2.0, 9.0], mse=[0.5, 1.5, 9.7]))
    assert said == (
        "mse needs fewer bits than mae, its nearest rival, in 2 of 3 columns; they lie furthest "
        "apart in c, where mae saves 0.70 bits. Under mse the costliest column is c (9.70)."
    )
    assert conclusions.where_bits_go(findings(mse=[0.5, 1.5, 0.7])).startswith("Under mse the")


def test_whether_the_width_decides_is_told():
    by_width = {
        "mse": {2: (3.0, 3.5), 4: (2.0, 3.0)},
        "mae": {2: (2.9, 3.2), 4: (2.1, 3.4)},
        "pca": {2: (1.0, 1.0), 4: (1.0, 1.0)},
    }
    assert conclusions.widths(by_width, 4) == (
        "The best loss depends on the width: mae at 2; mse at 4. Hidden values cost least at a "
        "width of 4, the width of the verdict (mse)."
    )
    alone = conclusions.widths({"mse": by_width["mse"]}, 2)
    assert alone.startswith("mse needs the fewest bits at every width. ")
    assert conclusions.widths({"pca": by_width["pca"]}, 2) == ""


def points(**curves) -> list[dict]:
    return [
        {"loss": loss, "seed": seed, "epoch": e, "val_gauss_bits": str(value)}
        for loss, seeds in curves.items()
        for seed, values in enumerate(seeds)
        for e, value in enumerate(values)
    ]


FLAT, FALLING = [3.0, *[1.0] * 19], list(np.linspace(3, 1, 20))
RISING = [3.0, *np.linspace(1, 2, 19)]


def test_curves_that_still_fall_or_have_risen_are_named():
    said = conclusions.learned(points(mse=[FLAT, FLAT]), ["mse"], 0.005)
    assert said.startswith("Over the last tenth of the epochs no curve fell by more than 0.000")
    told = points(mse=[FLAT], mae=[FALLING[:15], FALLING], huber=[RISING])
    said = conclusions.learned(told, ["mse", "mae", "huber"], 0.005)
    assert "Still falling at the end: mae (0.158 bits) over the last" in said
    assert "Higher at the end than at their lowest: huber (1.000 bits)" in said


def test_of_settings_the_strongest_is_told_or_that_there_is_none():
    lines = [{"loss": "mse", "setting": "rate", "r": -0.9}, {"loss": "mae", "setting": "d", "r": 0}]
    assert conclusions.settings(lines, "r").startswith("rate of mse mattered most: higher was bet")
    assert conclusions.settings(lines[1:], "r").startswith("No setting pulled")


def test_few_trials_are_given_as_the_reason_why_settings_are_not_told():
    tried = [{"loss": "mse", "state": "complete"}] * 2 + [{"loss": "mse", "state": "failed"}] * 9
    assert "no loss had more than 2 good trials, at least 4" in conclusions.too_few(tried)


# --- every loss by every metric -------------------------------------------------------------------

CROSSED = [
    {"trained": "mse", "rmse": 1.0, "r2": 0.5, "bias": -0.2, "auroc_masked": 0.7},
    {"trained": "mae", "rmse": 2.0, "r2": 0.9, "bias": 0.1, "auroc_masked": 0.6},
    {"trained": "mean", "rmse": 0.1, "r2": 1.0, "bias": 0.0, "auroc_masked": 0.9},
]


def test_the_best_loss_of_each_metric_is_bold_and_baselines_stand_apart():
    table = crossing.crossed(CROSSED, 2)
    assert table.bold == {(0, "RMSE"), (1, "R²"), (1, "bias"), (0, "AUROC by hidden values")}
    assert table.groups == {2: "baselines"}
    assert list(table.rows[0]) == ["loss", "RMSE", "R²", "bias", "AUROC by hidden values"]
    assert crossing.lead(CROSSED[:2]) == ("mse is best by 2 of 4 metrics; mae by R², bias.")


# --- why these losses competed --------------------------------------------------------------------

PROFILE = {
    "why": "heavy tails",
    "scaler": "robust",
    "likely_good": ["mae", "huber"],
    "heads": {"binary": "bce"},
    "losses": {
        "mse": {"status": "dubious", "reason": "outliers rule"},
        "mae": {"status": "admissible", "reason": "robust"},
        "huber": {"status": "admissible", "reason": "both"},
        "bce": {"status": "blocked", "reason": "no walls"},
        "poisson": {"status": "blocked", "reason": "no counts"},
        "negative_binomial": {"status": "blocked", "reason": "no counts"},
    },
}
TRIED = [
    {"loss": "mae", "scaler": "robust"},
    {"loss": "mae", "scaler": "unit"},
    {"loss": "mse", "scaler": "unit"},
]


def test_what_was_said_before_training_stands_beside_the_place():
    first, second = competitors.table(PROFILE, TRIED, {"mae": "unit", "mse": "unit"})
    assert (first["loss"], first["came"], first["scaler"]) == (
        "mae",
        "1st",
        "unit, of robust, unit",
    )
    assert first["assumes"].startswith("Laplace noise")
    assert (second["came"], second["before training"]) == ("2nd", "dubious")
    assert second["scaler"] == "unit, the only one"
    assert "the best, mae, was among them" in competitors.lead(PROFILE, "mae")
    assert "the best, mse, was not among them" in competitors.lead(PROFILE, "mse")
    assert "the best, mae+poisson, was among" in competitors.lead(PROFILE, "mae+poisson")


def test_losses_that_did_not_compete_are_named_with_the_reason():
    assert competitors.absent(PROFILE, TRIED) == [
        "Did not compete: huber: not named in search.losses.",
        "Did not compete: poisson, negative_binomial: blocked, no counts.",
    ]


@pytest.mark.parametrize(
    ("place", "said"), [(1, "1st"), (2, "2nd"), (3, "3rd"), (4, "4th"), (11, "11th"), (22, "22nd")]
)
def test_places_are_ordinal_numbers(place, said):
    assert competitors.ordinal(place) == said
