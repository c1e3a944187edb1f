"""Scores trained models and baselines on test rows, and sets the numbers out in tables.

Shapes: N test rows, F features.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hourglass import baselines, codelength, metrics, scaling, trials
from hourglass.bundle import Bundle
from hourglass.paths import Paths
from hourglass.verdict import Verdict, interval

Array = NDArray[np.float64]
Bundles = Mapping[str, Mapping[int, Bundle]]  # loss -> seed -> its trained model

LEADERBOARD = (
    "loss",
    "scaler",
    "bits_per_feature",
    "ci_low",
    "ci_high",
    "verdict",
    "selected",
    "validation",
    "difference",
    "difference_low",
    "difference_high",
    "p_adjusted",
    "seeds_behind",
    "rmse",
    "mae",
    "skill_vs_pca",
    "seeds",
)


@dataclass
class Scores:
    """What test rows said of one loss or baseline, one value a seed.

    Attributes:
        metrics: Metric -> a value a seed; `bits_per_feature` is the first of them.
        column_bits: Mean bits of each column, an array (F,) a seed.
    """

    metrics: dict[str, list[float]] = field(default_factory=dict)
    column_bits: list[Array] = field(default_factory=list)

    def add(self, bits_NF: Array, measured: Mapping[str, float]) -> None:
        """Adds a seed."""
        for name, value in {"bits_per_feature": float(bits_NF.mean()), **measured}.items():
            self.metrics.setdefault(name, []).append(value)
        self.column_bits.append(bits_NF.mean(axis=0))

    def mean(self, name: str) -> float:
        """Mean over the seeds."""
        return float(np.mean(self.metrics[name]))


def score_losses(bundles: Bundles, test_NF: Array, scale_F: Array) -> dict[str, Scores]:
    """Scores every trained model; calibrations are those of its own validation rows.

    Args:
        bundles: The trained models.
        test_NF: Test rows, original units.
        scale_F: What each column's errors are divided by, see `metrics.scales`.
    """
    scores = {loss: Scores() for loss in bundles}
    for loss, by_seed in bundles.items():
        for bundle in by_seed.values():
            reconstruction_NF = bundle.reconstruct(test_NF)
            bits_NF = bundle.code_length(test_NF, reconstruction_NF)
            scores[loss].add(bits_NF, metrics.measure(test_NF, reconstruction_NF, scale_F))
    return scores


def score_baselines(
    paths: Paths, by_seed: Mapping[int, Bundle], test_NF: Array, scale_F: Array, scaler: str
) -> dict[str, Scores]:
    """Scores the baselines under the same ruler, fitted on the same rows as the models.

    Args:
        paths: Where training and validation rows are.
        by_seed: The models of one loss, whose splits and bottleneck the baselines share.
        test_NF: Test rows, original units.
        scale_F: What each column's errors are divided by, see `metrics.scales`.
        scaler: The advised scaler: a PCA depends on the scale of the columns.
    """
    scores = {name: Scores() for name in baselines.BASELINES}
    known: dict[int | None, dict[str, tuple[Array, dict[str, float]]]] = {}
    for seed, bundle in by_seed.items():
        split = seed if bundle.recipe.resplit else None
        if split not in known:
            latent_dim = bundle.recipe.architecture.latent_dim
            data = trials.load(paths, bundle.scaler.name, split)
            known[split] = _answers(data, test_NF, scale_F, scaler, latent_dim)
        for name, (bits_NF, measured) in known[split].items():
            scores[name].add(bits_NF, measured)
    return scores


def _answers(
    data: trials.Data, test_NF: Array, scale_F: Array, scaler: str, latent_dim: int
) -> dict[str, tuple[Array, dict[str, float]]]:
    """Bits and errors of each baseline, fitted and calibrated on the rows of one split."""
    # The advised scaler need not be one that normalize was told to fit.
    original_NF = data.scaler.inverse(data.train_NF)
    scale = scaling.fit(scaler, original_NF, data.schema.columns)
    train_NF = scale.transform(original_NF)

    def answer(name: str, rows_NF: Array) -> Array:
        scaled_NF = scale.transform(rows_NF)
        return scale.inverse(baselines.reconstruct(name, train_NF, scaled_NF, latent_dim))

    answers = {}
    for name in baselines.BASELINES:
        fitted = codelength.fit(data.val_NF, answer(name, data.val_NF), data.schema.columns)
        reconstruction_NF = answer(name, test_NF)
        bits_NF = codelength.bits(fitted, test_NF, reconstruction_NF)
        answers[name] = bits_NF, metrics.measure(test_NF, reconstruction_NF, scale_F)
    return answers


def leaderboard(
    decision: Verdict,
    scores: Mapping[str, Scores],
    baseline_scores: Mapping[str, Scores],
    bundles: Bundles,
    alpha: float,
) -> list[dict[str, Any]]:
    """Lines of leaderboard.csv, the best on validation rows first.

    `bits_per_feature` with its interval, `rmse`, `mae` and `skill_vs_pca` are of test rows, means
    over the seeds; `verdict`, `validation`, `difference` and `p_adjusted` are of validation rows.
    """
    rows = []
    for standing in decision.standings:
        own = scores[standing.loss]
        bits, low, high = interval(own.metrics["bits_per_feature"], alpha)
        models = bundles[standing.loss]
        rows.append(
            {
                "loss": standing.loss,
                "scaler": next(iter(models.values())).scaler.name,
                "bits_per_feature": bits,
                "ci_low": low,
                "ci_high": high,
                "verdict": standing.verdict,
                "selected": standing.loss == decision.selected,
                "validation": standing.mean,
                "difference": standing.difference,
                "difference_low": standing.difference_low,
                "difference_high": standing.difference_high,
                "p_adjusted": standing.p_adjusted,
                "seeds_behind": standing.seeds_behind,
                "rmse": own.mean("rmse"),
                "mae": own.mean("mae"),
                "skill_vs_pca": baseline_scores["pca"].mean("bits_per_feature") - bits,
                "seeds": len(models),
            }
        )
    return rows


def cross(
    order: Sequence[str], scores: Mapping[str, Scores], baseline_scores: Mapping[str, Scores]
) -> list[dict[str, Any]]:
    """Lines of cross.csv: every trained loss and baseline by every metric, means over the seeds."""
    every = {**{loss: scores[loss] for loss in order}, **baseline_scores}
    return [
        {"trained": name, **{metric: own.mean(metric) for metric in own.metrics}}
        for name, own in every.items()
    ]


def summary(
    decision: Verdict,
    scores: Mapping[str, Scores],
    baseline_scores: Mapping[str, Scores],
    bundles: Bundles,
    seed: int,
    objective: str,
) -> dict[str, Any]:
    """The numbers of metrics.json: those of the one model that is delivered, on test rows.

    Args:
        decision: The verdict on validation rows.
        scores: Of each loss on test rows.
        baseline_scores: Of each baseline on test rows.
        bundles: The trained models.
        seed: Of the selected loss's model that is delivered.
        objective: Name of the ruler of the verdict: whether test rows agree is asked of the same.
            Hidden values are not asked of test rows; there the whole code length stands in.
    """
    selected = decision.selected
    at = list(bundles[selected]).index(seed)
    own = {name: values[at] for name, values in scores[selected].metrics.items()}
    pca = baseline_scores["pca"].metrics["bits_per_feature"][at]
    ruler = objective.removesuffix("_masked")
    on_test = {loss: _objective(ruler, own_scores) for loss, own_scores in scores.items()}
    leader = min(on_test, key=lambda loss: on_test[loss])
    tied = [s.loss for s in decision.standings if s.verdict != "worse"]
    return {
        "selected_loss": selected,
        "selected_seed": seed,
        "bits_per_feature": own.pop("bits_per_feature"),
        "bits_per_feature_pca": pca,
        "bits_per_feature_mean_of_seeds": scores[selected].mean("bits_per_feature"),
        **own,
        "detectable_difference": decision.detectable,
        "not_worse": ", ".join(tied),
        "best_on_test_rows": leader,
        "test_rows_agree": leader in tied,
    }


def _objective(name: str, scores: Scores) -> float:
    """The ruler on test rows, mean over the seeds."""
    seeds = zip(*scores.metrics.values(), strict=True)
    values = [dict(zip(scores.metrics, seed, strict=True)) for seed in seeds]
    return float(np.mean([trials.objective(name, v) for v in values]))
