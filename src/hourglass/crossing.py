"""The page's table of every trained loss by every metric: names for people, the best marked."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hourglass.report import Table

# Metric -> its heading on the page; of others the name.
HEADINGS = {
    "trained": "loss",
    "bits_per_feature": "bits per feature",
    "bits_per_feature_masked": "bits per hidden value",
    "rmse": "RMSE",
    "mae": "MAE",
    "nrmse": "RMSE / sd",
    "nmae": "MAE / sd",
    "median_ae": "median absolute error",
    "max_error": "largest error",
    "r2": "R²",
    "bias": "bias",
    "auroc": "AUROC by surprise",
    "average_precision": "average precision by surprise",
    "auroc_code_length": "AUROC by code length",
    "average_precision_code_length": "average precision by code length",
    "auroc_masked": "AUROC by hidden values",
    "average_precision_masked": "average precision by hidden values",
}
MORE_IS_BETTER = ("r2", "auroc", "average_precision")


def crossed(rows: Sequence[Mapping[str, Any]], losses: int) -> Table:
    """The lines of cross.csv as the page shows them.

    Args:
        rows: Lines of cross.csv, the baselines last.
        losses: How many lines are those of losses.
    """
    metrics = [name for name in rows[0] if name != "trained"]
    worth = {name: _worth(name) for name in metrics}
    best = {name: max(worth[name](row[name]) for row in rows[:losses]) for name in metrics}
    bold = {
        (i, HEADINGS.get(name, name))
        for i, row in enumerate(rows[:losses])
        for name in metrics
        if worth[name](row[name]) == best[name]
    }
    told = [{HEADINGS.get(name, name): value for name, value in row.items()} for row in rows]
    return Table(told, frozenset(bold), {losses: "baselines"})


def lead(rows: Sequence[Mapping[str, Any]]) -> str:
    """By how many metrics the loss in front is best, and which one is by the others.

    Args:
        rows: The lines of cross.csv that are losses'.
    """
    metrics = [name for name in rows[0] if name != "trained"]
    best: dict[str, list[str]] = {}
    for name in metrics:
        worth = _worth(name)
        ahead = max(rows, key=lambda row: worth(row[name]))
        best.setdefault(ahead["trained"], []).append(HEADINGS.get(name, name))
    most = sorted(best.items(), key=lambda item: -len(item[1]))
    first, *others = most
    said = f"{first[0]} is best by {len(first[1])} of {len(metrics)} metrics"
    told = [f"{loss} by {', '.join(names)}" for loss, names in others]
    return f"{'; '.join([said, *told])}."


def _worth(metric: str) -> Callable[[float], float]:
    """What is highest of the best value of a metric."""
    if metric == "bias":
        return lambda value: -abs(value)
    if metric.startswith(MORE_IS_BETTER):
        return lambda value: value
    return lambda value: -value
