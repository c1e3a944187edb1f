"""Opens the test rows, once, and writes the verdict with its evidence: `hourglass evaluate`."""

import logging
import platform
import re
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hourglass import (
    candidates,
    evaluation,
    evidence,
    gate,
    losses,
    metrics,
    outcome,
    remarks,
    report,
    reproducing,
    review,
    trials,
)
from hourglass.bundle import Bundle, of_rows
from hourglass.catalog import counted
from hourglass.config import Params
from hourglass.errors import MissingInputError
from hourglass.losses import Range
from hourglass.moments import Moments, evenly
from hourglass.outcome import Findings
from hourglass.paths import Paths, existing, read_csv, read_json, write_csv, write_json, write_text
from hourglass.provenance import (
    code_version,
    digest,
    digest_files,
    require_same_rows,
    revision_tags,
)
from hourglass.recording import JournalTracker
from hourglass.report import Page
from hourglass.schema import Schema
from hourglass.tracking import (
    Run,
    Tracker,
    attach_settings,
    child_key,
    data_sets,
    grouped,
    markdown_table,
)
from hourglass.verdict import headline, judge, summary_sentence

Array = NDArray[np.float64]
log = logging.getLogger(__name__)
FEW = (
    "selected_loss",
    "bits_per_feature",
    "bits_per_feature_masked",
    "rmse",
    "mae",
    "auroc",
    "test_rows_agree",
)
FIRST = ("bits_per_feature", "bits_per_feature_masked", "bits_per_feature_pca")  # in MLflow
WHERE = """Bits per feature, RMSE and skill are those of test rows, means over the seeds. The
children are the losses; the metrics of this run are those of the delivered fit.

- [The whole report](artifact:report.html)
- Pictures: [the table above](artifact:leaderboard.png), [rows as each loss reconstructs
  them](artifact:reconstructions.png), [bits of each column](artifact:columns.png),
  [curves](artifact:curves.png)
- [The settings](artifact:params.yaml)"""


def run(params: Params, paths: Paths) -> None:
    """Writes the verdict, delivered.json, the tables, pictures and report.html.

    Raises:
        MissingInputError: models or fits of an earlier stage are not there.
    """
    began = time.monotonic()
    found = _find(params, paths)
    log.info("writing tables, pictures and the report")
    _write_tables(paths, found)
    hidden = params.search.objective == "code_length_masked"
    write_csv(paths.evaluate("gate.csv"), *_gate_rows(found, hidden))
    review.draw(paths, found, params.evaluate.picture_rows)
    write_text(paths.evaluate("verdict.txt"), found.verdict + "\n")
    copied = remarks.copied(found)
    write_json(paths.evaluate("delivered.json"), {**found.metrics, "beware": copied})
    write_json(paths.evaluate("metrics.json"), _few(found))
    key = _key(params, paths, found)
    with tempfile.TemporaryDirectory() as folder:
        report.write(paths.evaluate("report.html"), _page(params, paths, found, Path(folder), key))
    log.info("%s", found.verdict)
    lost = found.metrics["test"] - found.metrics["test_pca"]
    if lost > 0:
        unit = found.metrics["ruler"]
        log.warning("the delivered model needs %.4f %s more than %s", lost, unit, remarks.BEATEN)
    if copied:
        log.warning("%s", copied)
    _record(params, paths, found, key, began)


def _find(params: Params, paths: Paths) -> Findings:
    schema = Schema.from_json(read_json(paths.schema, "preprocess"))
    scaler = read_json(paths.profile, "preprocess")["scaler"]
    objective = params.search.objective
    values = _validation(paths, objective)
    ranks = {name: candidates.rank(name) for name in values}
    decision = judge(
        {loss: list(own.values()) for loss, own in values.items()},
        ranks,
        params.evaluate.alpha,
        params.evaluate.margin,
    )
    bundles = {
        loss: {seed: Bundle.load(existing(paths.model(loss, seed), "train")) for seed in own}
        for loss, own in values.items()
    }
    for own in bundles.values():
        for bundle in own.values():
            require_same_rows(bundle.schema.digest, schema.digest, paths.models, "train")
    seed = _delivered(values, decision.selected)
    train_NF = np.load(existing(paths.values("train"), "preprocess"), mmap_mode="r")
    seen = Moments.from_json(read_json(paths.figures, "preprocess"))
    _, spread_W = trials.wide_figures(schema, seen.mean_F, seen.sd_F, train_NF)
    test = evaluation.open_test(
        paths, schema, metrics.scales(spread_W, schema.columns), params.evaluate.anomalous
    )
    fits = sum(map(len, bundles.values()))
    log.info("the test rows are opened: %d rows, which %d fits write down", len(test.rows_NF), fits)
    scores = evaluation.score_losses(bundles, test)
    base = evaluation.score_baselines(paths, bundles[decision.selected], test, scaler)
    alpha = params.evaluate.alpha
    rows = outcome.leaderboard(decision, scores, base, bundles, alpha, objective)
    tried = read_csv(paths.search("trials.csv"), "search")
    counts = Counter(t["loss"] for t in tried)
    rows = [{**r, "search_trials": counts[r["loss"]]} for r in rows]
    numbers = outcome.summary(decision, scores, base, bundles, seed, objective)
    unit = trials.objective_unit(objective)
    sentence = " ".join([summary_sentence(decision, unit), *_dropped(tried)])
    described = {**numbers, **_imputation(paths, decision.selected, seed)}
    described |= {"rows_test": len(test.rows_NF), "rows": schema.digest}
    shown = evidence.standouts(bundles[decision.selected][seed], test.rows_NF, review.EACH)
    return Findings(
        objective=objective,
        margin=params.evaluate.margin,
        schema=schema,
        test=test,
        decision=decision,
        bundles=bundles,
        scores=scores,
        baselines=base,
        seed=seed,
        verdict=sentence,
        rows=rows,
        metrics=described,
        standouts=shown,
        edges=evidence.edges(tried, decision.selected, _ranges(params, decision.selected)),
        by_width=evaluation.by_width(paths, bundles[decision.selected], scaler),
    )


def _ranges(params: Params, candidate: str) -> Mapping[str, Range]:
    loss = candidate.partition("+")[0]
    return losses.space(loss, params.search.space.get(loss, {}))


def _few(found: Findings) -> dict[str, Any]:
    """Content of metrics.json: the columns of `dvc exp show` that experiments are compared by."""
    saved = found.metrics["test_pca"] - found.metrics["test"]
    return {
        **{name: found.metrics[name] for name in FEW if name in found.metrics},
        "skill_vs_pca": saved,
    }


def _dropped(tried: Sequence[Mapping[str, str]]) -> list[str]:
    """Says of each loss that the search dropped that it was searched for less long."""
    return [
        f"{t['loss']} was searched for less long than the others: {t['dropped']}."
        for t in tried
        if t["dropped"]
    ]


def _imputation(paths: Paths, loss: str, seed: int) -> dict[str, float]:
    """How well hidden values of validation rows are filled in, by the delivered fit."""
    fits = read_csv(paths.train("fits.csv"), "train")
    own = next(f for f in fits if f["loss"] == loss and int(f["seed"]) == seed)
    return {k: float(own[k]) for k in FILLED}


def _delivered(values: Mapping[str, Mapping[int, float]], selected: str) -> int:
    """The seed of the selected loss's best fit.

    Seeds may differ in their validation rows; where other losses met the same rows, what a seed
    cost them all is subtracted, so that easy rows don't pass for a good model.
    """
    others = [own for loss, own in values.items() if loss != selected]

    def value(seed: int) -> float:
        easy = float(np.mean([own[seed] for own in others])) if others else 0.0
        return values[selected][seed] - easy

    return min(values[selected], key=value)


def _validation(paths: Paths, objective: str) -> dict[str, dict[int, float]]:
    """Loss -> seed -> objective on validation rows, for losses whose every fit succeeded."""
    fits, failed = read_csv(paths.train("fits.csv"), "train"), remarks.failed(paths)
    for loss, cause in failed.items():
        log.warning("%s is left out: a fit failed (%s)", loss, cause)
    values: dict[str, dict[int, float]] = {}
    for fit in fits:
        if fit["loss"] not in failed:
            measured = {k: float(v) for k, v in fit.items() if k not in NOT_METRICS}
            value = trials.objective(objective, measured)
            values.setdefault(fit["loss"], {})[int(fit["seed"])] = value
    if not values:
        raise MissingInputError(f"{paths.train('fits.csv')} has no complete loss: run train again")
    return values


FILLED = ("imputation_nrmse", "imputation_nrmse_mean")  # of hidden values of validation rows
NOT_METRICS = frozenset({"loss", "scaler", "seed", "failure"})


def _write_tables(paths: Paths, found: Findings) -> None:
    order = [s.loss for s in found.decision.standings]
    write_csv(paths.evaluate("leaderboard.csv"), found.rows, list(found.rows[0]))
    crossed = outcome.cross(order, found.scores, found.baselines)
    write_csv(paths.evaluate("cross.csv"), crossed, list(crossed[0]))
    bits = found.column_bits
    by_column = [
        {"column": name, **{loss: float(own[i]) for loss, own in bits.items()}}
        for i, name in enumerate(found.schema.names)
    ]
    write_csv(paths.evaluate("columns.csv"), by_column, list(by_column[0]))
    write_csv(paths.evaluate("test_rows.csv"), *_test_rows(found, found.delivered))


def _test_rows(found: Findings, bundle: Bundle) -> tuple[list[dict[str, Any]], list[str]]:
    """Lines of test_rows.csv and their columns: what each row costs under the delivered model."""
    test = found.test
    answer_NW, extra_N = bundle.written(test.rows_NF)
    bits_N = bundle.code_length(test.rows_NF, answer_NW).sum(axis=1) + extra_N
    error_NW = np.nan_to_num(test.wide_NW - answer_NW)
    seen_N = np.maximum((~np.isnan(test.wide_NW)).sum(axis=1), 1)
    rmse_N = np.sqrt(np.square(error_NW).sum(axis=1) / seen_N)
    surprise_N = of_rows(bundle.surprise(test.rows_NF, answer_NW), extra_N)
    each = zip(test.number_N, bits_N, surprise_N, rmse_N, strict=True)
    rows: list[dict[str, Any]] = [
        {
            "row": int(n),
            "code_length_bits": float(b),
            "surprise_bits": float(s),
            "rmse": float(r),
        }
        for n, b, s, r in each
    ]
    if test.label_N is not None:
        names = found.schema.labels
        for row, label in zip(rows, test.label_N, strict=True):
            row["label"] = evaluation.label_text(label, names)
    return rows, list(rows[0])


def _gate_rows(found: Findings, hidden: bool) -> tuple[list[dict[str, Any]], list[str]]:
    """Lines of gate.csv and their columns: what each test row costs, and what must be beaten.

    Args:
        found: The delivered model and the baselines of its seed.
        hidden: Values while they are hidden from the model, of the rows that are asked; else as
            they are.
    """
    test, at = found.test, list(found.bundles[found.decision.selected]).index(found.seed)
    bundle = found.bundles[found.decision.selected][found.seed]
    asked = test.asked if hidden else slice(None)
    place_N = np.arange(test.of)[evenly(test.of, evaluation.SCORED_VALUES // test.rows_NF.shape[1])]
    bits = {"model": gate.row_bits(bundle, test.rows_NF[asked], hidden)}
    bits |= {name: own.row_bits[at][hidden] for name, own in found.baselines.items()}
    rows = [
        {"position": int(p), "row": int(n), **{name: float(b[i]) for name, b in bits.items()}}
        for i, (p, n) in enumerate(zip(place_N[asked], test.number_N[asked], strict=True))
    ]
    return rows, list(rows[0])


def _page(params: Params, paths: Paths, found: Findings, folder: Path, key: str) -> Page:
    return Page(
        title=f"Hourglass · {found.schema.source}",
        verdict=found.verdict,
        unit=found.metrics["ruler"],
        other=_other(params.search.objective),
        level=found.level,
        remarks=[*remarks.remarks(found), *remarks.left_out(paths)],
        leaderboard=review.board_rows(found),
        terms=remarks.terms(found),
        sections=review.sections(paths, found, folder),
        facts={**reproducing.again(paths, key), **_facts(params, found)},
        params=reproducing.settings(paths),
    )


def _other(objective: str) -> tuple[str, str]:
    """Metric and unit of the code length that did not choose."""
    shown = objective == "code_length"
    return trials.RULERS["code_length_masked" if shown else "code_length"]


def _facts(params: Params, found: Findings) -> dict[str, str]:
    schema = found.schema
    packages = ("torch", "pytorch-lightning", "optuna", "scikit-learn", "numpy")
    return {
        "data": f"{schema.source}, {len(schema.columns)} columns, digest {schema.digest}",
        "rows": ", ".join(f"{n} {split}" for split, n in schema.rows.items()),
        "delivered": _delivered_settings(found),
        "model": ", ".join(f"{k} {v}" for k, v in params.model.model_dump(mode="json").items()),
        "search": f"{params.search.trials_per_loss} trials a loss, {params.search.epochs} epochs, "
        f"objective {params.search.objective}, seed {params.search.seed}, "
        f"pruner {params.search.pruner}, allocation {params.search.allocation}",
        "train": f"{params.train.seeds} seeds, {params.train.epochs} epochs",
        "code": f"{code_version()} (of the sources and libraries that can change a fit: the same "
        "digest on the same data gives the same numbers)",
        "versions": ", ".join(
            [f"Python {platform.python_version()}", *(f"{p} {version(p)}" for p in packages)]
        ),
    }


def _delivered_settings(found: Findings) -> str:
    recipe, scaler = found.delivered.recipe, found.delivered.scaler.name
    chosen = f"{found.decision.selected}, seed {found.seed}, scaler {scaler}"
    settings = (f"{name} {value:.4g}" for name, value in recipe.hyper.items())
    widths = " ".join(map(str, recipe.architecture.hidden))
    return ", ".join([chosen, *settings, *([f"hidden {widths}"] if widths else [])])


def _key(params: Params, paths: Paths, found: Findings) -> str:
    """What was computed, see `Tracker.run`."""
    folders = [paths.model(loss, s) for loss, own in found.bundles.items() for s in own]
    # What was said is part of the key: another objective may choose among the same models.
    said = [
        paths.evaluate(n) for n in ("verdict.txt", "delivered.json", "leaderboard.csv", "cross.csv")
    ]
    return f"evaluate {digest(digest_files(*folders, *said), params.evaluate.model_dump())}"


def _record(params: Params, paths: Paths, found: Findings, key: str, began: float) -> None:
    tracker = JournalTracker(params.tracking.experiment, paths)
    tags = {"hourglass.stage": "evaluate", "hourglass.data": found.schema.digest}
    seconds = time.monotonic() - began
    name = f"evaluate · {found.schema.source}"
    run = tracker.run(key, name, tags | revision_tags(paths.root), seconds=seconds)
    run.params({"loss": found.decision.selected, **params.evaluate.model_dump()})
    numbers = {k: v for k, v in found.metrics.items() if isinstance(v, float)}
    seen = {k: numbers.pop(k) for k in ("detectable_difference",) if k in numbers}
    seen |= {k: numbers.pop(k) for k in FILLED}
    first = {k: numbers.pop(k) for k in FIRST}
    first["skill_vs_pca"] = numbers["test_pca"] - numbers["test"]  # of the delivered fit, as these
    mean = next(r["skill_vs_pca"] for r in found.rows if r["selected"])
    numbers["skill_vs_pca_mean_of_seeds"] = mean
    # Those of the objective, whatever it is, are called "test", "test_pca", ...: test/objective.
    rest = {re.sub("^test", "objective", k): v for k, v in numbers.items()}
    run.metrics(first | grouped(rest, "test") | grouped(seen, "validation"))
    run.data(data_sets(found.schema, paths, ("test",)))
    run.table(found.rows, "leaderboard")
    tables = ("report.html", "leaderboard.csv", "cross.csv", "delivered.json")
    for name in (*review.PICTURES, *tables):
        run.artifact(paths.evaluate(name))
    attach_settings(run, paths)
    run.note(_note(found))
    for row in found.rows:
        _record_loss(tracker, run, row, f"{found.metrics['ruler']}")
    run.finish()
    tracker.close()
    write_json(paths.evaluate("run.json"), {"key": key})


def _record_loss(tracker: Tracker, parent: Run, row: Mapping[str, Any], ruler: str) -> None:
    """A child for each loss, so that MLflow's tables sort and compare them."""
    tags = {"hourglass.stage": "evaluate", "hourglass.loss": row["loss"]}
    name = f"{row['loss']} · {row['verdict']}"
    child = tracker.run(child_key(parent.key, row["loss"]), name, tags, parent)
    child.params({k: row[k] for k in ("loss", "scaler", "verdict", "selected", "seeds")})
    child.metrics(
        {k: row[k] for k in (*FIRST[:2], "skill_vs_pca")}
        | {"behind_the_best": row["difference"], "test/rmse": row["rmse"], "test/mae": row["mae"]}
    )
    child.note(_note_of_loss(row, ruler))
    child.finish()


def _note_of_loss(row: Mapping[str, Any], ruler: str) -> str:
    behind = "the least"
    if row["difference"]:
        low, high = row["difference_low"], row["difference_high"]
        behind = f"{row['difference']:.4f} ({low:.4f} to {high:.4f}) behind the best there"
    return (
        f"**{row['loss']}**, {row['verdict']}: {row['validation']:.4f} {ruler} on validation rows, "
        f"{behind}; on test rows {row['test']:.4f} ({row['ci_low']:.4f} to {row['ci_high']:.4f}). "
        f"Means over {counted(row['seeds'], 'seed')}."
    )


def _note(found: Findings) -> str:
    unit = found.metrics["ruler"]
    head = ("loss", "scaler", "verdict", unit, "behind the best", "RMSE", "skill vs PCA")
    rows = [
        (
            f"**{r['loss']}**" if r["selected"] else r["loss"],
            r["scaler"],
            r["verdict"],
            f"{r['test']:.4f}",
            "–" if r["difference"] == 0 else f"{r['difference']:.4f}",
            f"{r['rmse']:#.4g}",
            f"{r['skill_vs_pca']:.4f}",
        )
        for r in found.rows
    ]
    first, rest = headline(found.verdict)
    return f"**{first}** {rest}\n\n{markdown_table(head, rows)}\n\n{WHERE}"
