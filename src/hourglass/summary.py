"""What the last run found, for people at a terminal; reads reports/ only."""

import json
from typing import Any

from hourglass.errors import MissingInputError
from hourglass.paths import Paths, read_csv, read_json, read_text

COLUMNS = {  # of leaderboard.csv -> heading here
    "loss": "loss",
    "scaler": "scaler",
    "test": "test",
    "interval": "interval",
    "verdict": "verdict",
    "bits_per_feature_masked": "hidden values",
    "rmse": "RMSE",
    "mae": "MAE",
    "skill_vs_pca": "skill vs PCA",
    "seeds": "seeds",
}


def as_json(paths: Paths) -> str:
    """The same for programs.

    Raises:
        MissingInputError: no run has been evaluated here yet.
    """
    version = paths.register("version.json")
    found = {
        **_metrics(paths),
        "verdict": read_text(paths.evaluate("verdict.txt"), "evaluate").strip(),
        "leaderboard": [
            {name: _value(cell) for name, cell in row.items()}
            for row in read_csv(paths.evaluate("leaderboard.csv"), "evaluate")
        ],
        "report": str(paths.evaluate("report.html")),
        "model": read_json(version, "register") if version.exists() else None,
        "moved": read_json(paths.moved, "register") if paths.moved.exists() else None,
    }
    return json.dumps(found, indent=2) + "\n"


def text(paths: Paths) -> str:
    """The verdict, the leaderboard, and where to look next.

    Raises:
        MissingInputError: no run has been evaluated here yet.
    """
    metrics = _metrics(paths)
    parts = [
        f"Verdict: {read_text(paths.evaluate('verdict.txt'), 'evaluate')}",
        _table(_leaderboard(paths)),
        "In the order of validation rows, which choose; the numbers are means over the seeds, of "
        f"{metrics['rows_test']} test rows.\n"
        f"Delivered: {metrics['selected_loss']}, seed {metrics['selected_seed']}, with "
        f"{metrics['test']:.4g} {metrics['ruler']} on them; PCA of the same width: "
        f"{metrics['test_pca']:.4g}{_beaten(metrics)}.",
        *([f"Beware: {beware}"] if (beware := metrics.get("beware")) else []),
        f"Report:     {paths.evaluate('report.html')}\n"
        f"Model:      {_model(paths)}\n"
        "MLflow UI:  make ui",
    ]
    return "\n\n".join(parts) + "\n"


def _metrics(paths: Paths) -> dict[str, Any]:
    if not paths.evaluate("delivered.json").exists():
        raise MissingInputError("nothing has been evaluated here yet: run `dvc repro`")
    metrics: dict[str, Any] = read_json(paths.evaluate("delivered.json"), "evaluate")
    return metrics


def _value(cell: str) -> Any:
    """A cell of a CSV file as JSON: null, true, false, a number, or the text."""
    try:
        return json.loads(cell.lower()) if cell else None
    except ValueError:
        return cell


def _beaten(metrics: dict[str, Any]) -> str:
    return ", which is better" if metrics["test_pca"] < metrics["test"] else ""


def _leaderboard(paths: Paths) -> list[dict[str, str]]:
    rows = read_csv(paths.evaluate("leaderboard.csv"), "evaluate")
    for row in rows:
        row["interval"] = f"{_short(row['ci_low'])} .. {_short(row['ci_high'])}"
    return rows


def _table(rows: list[dict[str, str]]) -> str:
    """Left-aligned columns under their headings."""
    lines = [list(COLUMNS.values()), *([_short(r[c]) for c in COLUMNS] for r in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  " + "  ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def _short(cell: str) -> str:
    """Fractions with four digits; whole numbers and words as they are."""
    try:
        return cell if cell.lstrip("-").isdigit() else f"{float(cell):#.4g}".rstrip(".")
    except ValueError:
        return cell


def _model(paths: Paths) -> str:
    path = paths.register("version.json")
    if not path.exists():
        return "not registered yet: run `dvc repro register`"
    version: dict[str, Any] = read_json(path, "register")
    number, name, alias = version["version"], version["name"], version["alias"]
    if paths.moved.exists():
        moved: dict[str, Any] = read_json(paths.moved, "register")
        if (moved["name"], moved["alias"]) == (name, alias):
            own = f", @{alias}" if moved["version"] == number else ""
            return (
                f"models:/{name}/{number}{own}; since {moved['when']} @{alias} is version "
                f"{moved['version']} ({moved['how']}: {moved['why']})"
            )
    if version.get("champion") == number:
        return f"models:/{name}/{number}, @{alias}"
    return f"models:/{name}/{number}; the gate: {version['gate']['said']}"
