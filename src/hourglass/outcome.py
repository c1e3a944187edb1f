"""What an evaluation found, and its numbers set out in tables: leaderboard, metrics, summary.

Shapes: K seeds, F features.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hourglass import trials
from hourglass.bundle import Bundle
from hourglass.evaluation import PLAIN, Array, Bundles, ByWidth, Scores, Test
from hourglass.evidence import Standout
from hourglass.schema import Schema
from hourglass.verdict import Verdict, interval

LEADERBOARD = (
    "loss",
    "scaler",
    "test",
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
    *PLAIN,
    "skill_vs_pca",
    "seeds",
)
# Beside these where labels say which rows are anomalous.
DETECTION = tuple(
    f"{name}{of}"
    for of in ("", "_code_length", "_masked")
    for name in ("auroc", "average_precision")
)


@dataclass(frozen=True)
class Findings:
    """What the stage found, on its way into files.

    Attributes:
        objective: The ruler, of `trials.RULERS`.
        margin: Bits that are of no practical weight.
        schema: The columns.
        test: The rows that were scored.
        decision: The verdict on validation rows.
        bundles: The trained models.
        scores: Of each loss on test rows.
        baselines: Scores of each baseline on test rows.
        seed: Of the selected loss's model that is delivered.
        verdict: The verdict in sentences, see `verdict.headline`.
        rows: Lines of leaderboard.csv.
        metrics: Content of delivered.json.
        standouts: Rows that show what the delivered model finds easy or hard.
        edges: Sentences on hyperparameters whose best value lies at an end of its range.
        by_width: What `evaluation.by_width` found.
    """

    objective: str
    margin: float
    schema: Schema
    test: Test
    decision: Verdict
    bundles: Bundles
    scores: Mapping[str, Scores]
    baselines: Mapping[str, Scores]
    seed: int
    verdict: str
    rows: Sequence[Mapping[str, Any]]
    metrics: Mapping[str, Any]
    standouts: Sequence[Standout]
    edges: Sequence[str]
    by_width: ByWidth

    @property
    def latent_dim(self) -> int:
        """Width of the bottleneck."""
        return self.delivered.recipe.architecture.latent_dim

    @property
    def delivered(self) -> Bundle:
        """The model that is selected."""
        return self.bundles[self.decision.selected][self.seed]

    @property
    def order(self) -> list[str]:
        """The losses, the best on validation rows first."""
        return [standing.loss for standing in self.decision.standings]

    @property
    def unit(self) -> str:
        """What the ruler counts in."""
        return trials.objective_unit(self.objective)

    @property
    def level(self) -> str:
        """Of the intervals: "95 %"."""
        return f"{100 * (1 - self.decision.alpha):g} %"

    @property
    def pca(self) -> float:
        """What the ruler says of a PCA on test rows, the mean over the splits of the seeds."""
        return float(np.mean(self.baselines["pca"].ruler(self.objective)))

    @property
    def column_bits(self) -> dict[str, Array]:
        """Loss -> bits of each column on test rows, mean over its models, (F,)."""
        return {loss: np.mean(self.scores[loss].column_bits, axis=0) for loss in self.order}


def by_scaler(rows: Sequence[Mapping[str, str]]) -> dict[str, dict[str, float]]:
    """Loss -> scaler -> its best objective among the trials.

    Args:
        rows: Lines of trials.csv.
    """
    found: dict[str, dict[str, float]] = defaultdict(dict)
    for row in rows:
        if row["state"] == "complete":
            own, value = found[row["loss"]], float(row["objective"])
            own[row["scaler"]] = min(value, own.get(row["scaler"], value))
    return dict(found)


def leverage(found: Mapping[str, Mapping[str, float]]) -> tuple[float, float] | None:
    """How much the choice of the loss matters, and how much that of the scaler.

    The first is the range of the losses' best objectives, the second the mean over the losses of
    the range of their scalers' best; None where no loss was tried under several scalers.
    """
    several = [own for own in found.values() if len(own) > 1]
    if not several:
        return None
    best = [min(own.values()) for own in found.values()]
    ranges = [max(own.values()) - min(own.values()) for own in several]
    return max(best) - min(best), float(np.mean(ranges))


def leaderboard(
    decision: Verdict,
    scores: Mapping[str, Scores],
    baseline_scores: Mapping[str, Scores],
    bundles: Bundles,
    alpha: float,
    objective: str,
) -> list[dict[str, Any]]:
    """Lines of leaderboard.csv, the best on validation rows first.

    `test` is what the ruler says of test rows, with its interval, `skill_vs_pca` how much less that
    is than of a PCA; both, and the plain metrics, are means over the seeds. `validation`, the
    verdict and the differences are what it says of validation rows.
    """
    pca = float(np.mean(baseline_scores["pca"].ruler(objective)))
    rows = []
    for standing in decision.standings:
        own, models = scores[standing.loss], bundles[standing.loss]
        value, low, high = interval(own.ruler(objective), alpha)
        known = {
            **vars(standing),
            **{name: own.mean(name) for name in (*PLAIN, *DETECTION) if name in own.metrics},
            "scaler": next(iter(models.values())).scaler.name,
            "test": value,
            "ci_low": low,
            "ci_high": high,
            "selected": standing.loss == decision.selected,
            "validation": standing.mean,
            "skill_vs_pca": pca - value,
            "seeds": len(models),
        }
        rows.append({name: known[name] for name in (*LEADERBOARD, *DETECTION) if name in known})
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
    """The numbers of delivered.json: those of the one model that is delivered, on test rows.

    Args:
        decision: The verdict on validation rows.
        scores: Of each loss on test rows.
        baseline_scores: Of each baseline on test rows.
        bundles: The trained models.
        seed: Of the selected loss's model that is delivered.
        objective: Name of the ruler of the verdict: whether test rows agree is asked of the same.
    """
    selected = decision.selected
    at = list(bundles[selected]).index(seed)
    own = {name: values[at] for name, values in scores[selected].metrics.items()}
    pca = baseline_scores["pca"]
    on_test = {loss: float(np.mean(s.ruler(objective))) for loss, s in scores.items()}
    leader = min(on_test, key=lambda loss: on_test[loss])
    tied = [s.loss for s in decision.standings if s.verdict != "worse"]
    return {
        "selected_loss": selected,
        "selected_seed": seed,
        "ruler": trials.objective_unit(objective),
        "test": float(scores[selected].ruler(objective)[at]),
        "test_pca": float(pca.ruler(objective)[at]),
        "test_mean_of_seeds": float(np.mean(scores[selected].ruler(objective))),
        **own,
        "bits_per_feature_pca": pca.metrics["bits_per_feature"][at],
        "detectable_difference": decision.detectable,
        "not_worse": ", ".join(tied),
        "best_on_test_rows": leader,
        "test_rows_agree": leader in tied,
    }
