"""Opens the test rows, once, and writes the verdict with its evidence: `hourglass evaluate`."""

import logging
import math
import platform
import re
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hourglass import (
    candidates,
    evaluation,
    evidence,
    figures,
    gate,
    metrics,
    report,
    scaling,
    trials,
    wide,
)
from hourglass.bundle import Bundle
from hourglass.config import Params
from hourglass.errors import MissingInputError
from hourglass.evaluation import Bundles, Scores, Test
from hourglass.evidence import Standout
from hourglass.moments import Moments, evenly
from hourglass.paths import Paths, existing, read_csv, read_json, write_csv, write_json, write_text
from hourglass.provenance import (
    code_version,
    digest,
    digest_files,
    require_same_rows,
    revision_tags,
)
from hourglass.recording import JournalTracker
from hourglass.report import Page, Picture, Section
from hourglass.schema import Schema
from hourglass.tracking import Run, Tracker, data_sets, grouped, markdown_table
from hourglass.verdict import Verdict, judge, summary_sentence

Array = NDArray[np.float64]
log = logging.getLogger(__name__)

# Drawn into reports/evaluate, with the words for those who can't see them.
PICTURES = {
    "leaderboard.png": "Test bits per feature of each loss with its interval, and the baselines",
    "reconstructions.png": "The same test rows, original above each loss's reconstruction",
    "columns.png": "Bits of each column or pixel for each loss",
    "curves.png": "Validation code length by epoch for each loss, on one scale",
}
# Drawn for the page only.
RESIDUALS = "Histograms of test residuals, each beside the density that its loss assumes"
STANDOUTS = "Test rows with the shortest, a middling and the longest code; the answer and the error"
SEARCHED = "The objective of each trial, and the best so far of each loss"
HINTS = {
    "residuals": "A loss is the likelihood of noise of one shape. Where the bars stand above the "
    "curve far from 0, there are more outliers than the loss allows for.",
    "rows": "Test rows with the shortest, a middling and the longest code under the delivered "
    "model, and the columns that cost most: value → what the model answered (bits).",
    "curves": "All on one scale, a Gauss code. The losses' own values (train_loss and val_loss in "
    "MLflow) compare within one loss only.",
    "cross": "Test rows, mean over the seeds, original units; nrmse and nmae divide each column by "
    "its standard deviation.",
    "searched": "Each loss had the same number of trials, unless the verdict says otherwise.",
    "settings": "Over the complete trials of each loss: Spearman's rank correlation of a setting "
    "with the objective on validation rows. Negative: higher was better; near 0: it hardly "
    "mattered, or the best lay in the middle. Of a handful of trials it is a rough guide.",
    "scalers": "The best trial of each loss under each scaler, by the search's objective on "
    "validation rows. A scaler that looked bad got few trials.",
}
FEW = (
    "selected_loss",
    "bits_per_feature",
    "bits_per_feature_masked",
    "rmse",
    "mae",
    "auroc",
    "test_rows_agree",
)
LONGEST = 40  # characters of a name in the table of rows
PANELS, EACH = 4, 3  # losses whose residuals are drawn; rows shown of each sort


# Beyond twice what its width explains, the gap between hidden and shown values is copied noise: on
# made-up data it is 1.1 to 1.5 times that at the signal's width, 2.6 to 3.5 times at a wider one.
COPIES, NOTABLE = 2.0, 0.1
BEATEN = (
    "a PCA of the same bottleneck: more epochs, more trials or wider model.hidden layers may help"
)


@dataclass(frozen=True)
class Findings:
    """What the stage found, on its way into files.

    Attributes:
        schema: The columns.
        test: The rows that were scored.
        decision: The verdict on validation rows.
        bundles: The trained models.
        scores: Of each loss on test rows.
        baselines: Scores of each baseline on test rows.
        seed: Of the selected loss's model that is delivered.
        verdict: The verdict in a sentence.
        rows: Lines of leaderboard.csv.
        metrics: Content of delivered.json.
        standouts: Rows that show what the delivered model finds easy or hard.
    """

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

    @property
    def delivered(self) -> Bundle:
        """The model that is selected."""
        return self.bundles[self.decision.selected][self.seed]


FIRST = ("bits_per_feature", "bits_per_feature_masked", "bits_per_feature_pca")  # in MLflow
WHERE = """Bits per feature, RMSE and skill are those of test rows. The children are the losses.

Under **Artifacts**: `report.html`, the whole report; `leaderboard.png`, the table above as a
picture; `reconstructions.png`, rows as each loss reconstructs them."""


def run(params: Params, paths: Paths) -> None:
    """Writes the verdict, delivered.json, the tables, pictures and report.html.

    Raises:
        MissingInputError: models or fits of an earlier stage are not there.
    """
    began = time.monotonic()
    found = _find(params, paths)
    _write_tables(paths, found)
    hidden = params.search.objective == "code_length_masked"
    write_csv(paths.evaluate("gate.csv"), *_gate_rows(found, hidden))
    _draw(params, paths, found)
    with tempfile.TemporaryDirectory() as folder:
        report.write(paths.evaluate("report.html"), _page(params, paths, found, Path(folder)))
    write_text(paths.evaluate("verdict.txt"), found.verdict + "\n")
    copied = _copied(params, found)
    write_json(paths.evaluate("delivered.json"), {**found.metrics, "beware": copied})
    write_json(paths.evaluate("metrics.json"), _few(found))
    log.info("%s", found.verdict)
    lost = found.metrics["test"] - found.metrics["test_pca"]
    if lost > 0:
        unit = found.metrics["ruler"]
        log.warning("the delivered model needs %.4f %s more than %s", lost, unit, BEATEN)
    if copied:
        log.warning("%s", copied)
    _record(params, paths, found, began)


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
    scores = evaluation.score_losses(bundles, test)
    base = evaluation.score_baselines(paths, bundles[decision.selected], test, scaler)
    alpha = params.evaluate.alpha
    rows = evaluation.leaderboard(decision, scores, base, bundles, alpha, objective)
    tried = read_csv(paths.search("trials.csv"), "search")
    counts = Counter(t["loss"] for t in tried)
    rows = [{**r, "search_trials": counts[r["loss"]]} for r in rows]
    numbers = evaluation.summary(decision, scores, base, bundles, seed, objective)
    unit = trials.objective_unit(objective)
    sentence = " ".join([summary_sentence(decision, unit), *_dropped(tried)])
    described = {**numbers, **_imputation(paths, decision.selected, seed)}
    described |= {"rows_test": len(test.rows_NF), "rows": schema.digest}
    shown = evidence.standouts(bundles[decision.selected][seed], test.rows_NF, EACH)
    return Findings(
        schema, test, decision, bundles, scores, base, seed, sentence, rows, described, shown
    )


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
    return {k: float(own[k]) for k in ("imputation_nrmse", "imputation_nrmse_mean")}


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
    fits, failed = read_csv(paths.train("fits.csv"), "train"), _failed(paths)
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


def _failed(paths: Paths) -> dict[str, str]:
    """Losses that a seed failed, each with its first cause: they take no part in the verdict."""
    fits = read_csv(paths.train("fits.csv"), "train")
    return {f["loss"]: f["failure"] for f in reversed(fits) if f["failure"]}


NOT_METRICS = frozenset({"loss", "scaler", "seed", "failure"})
RANK = "rank correlation"
OF_A_TRIAL = {"trial", "state", "objective", "pruned_at", "dropped"}


def _write_tables(paths: Paths, found: Findings) -> None:
    order = [s.loss for s in found.decision.standings]
    write_csv(paths.evaluate("leaderboard.csv"), found.rows, list(found.rows[0]))
    crossed = evaluation.cross(order, found.scores, found.baselines)
    write_csv(paths.evaluate("cross.csv"), crossed, list(crossed[0]))
    bits = _column_bits(found)
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
    rows: list[dict[str, Any]] = [
        {"row": int(n), "code_length_bits": float(b), "rmse": float(r)}
        for n, b, r in zip(test.number_N, bits_N, rmse_N, strict=True)
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


def _column_bits(found: Findings) -> dict[str, Array]:
    order = [s.loss for s in found.decision.standings]
    return {loss: np.mean(found.scores[loss].column_bits, axis=0) for loss in order}


def _draw(params: Params, paths: Paths, found: Findings) -> None:
    shown_KF = found.test.rows_NF[: params.evaluate.picture_rows]
    columns, shape = found.schema.columns, found.schema.shape
    rows = {"original": wide.expand(shown_KF, columns)} | {
        s.loss: next(iter(found.bundles[s.loss].values())).reconstruct(shown_KF)
        for s in found.decision.standings
    }
    rows = _to_draw(paths, found.schema, rows)
    originals_KW = rows.pop("original")
    path = paths.evaluate("reconstructions.png")
    figures.reconstructions(path, originals_KW, rows, wide.names(columns), shape)
    figures.curves(paths.evaluate("curves.png"), read_csv(paths.train("curves.csv"), "train"))
    objective = params.search.objective
    baselines = {n: float(np.mean(s.ruler(objective))) for n, s in found.baselines.items()}
    unit = trials.objective_unit(objective)
    figures.leaderboard(paths.evaluate("leaderboard.png"), found.rows, baselines, unit)
    names = found.schema.names
    figures.columns(paths.evaluate("columns.png"), _column_bits(found), names, shape)


def _draw_residuals(path: Path, found: Findings) -> None:
    """Of the best losses; of levels there are none."""
    best = {s.loss: found.bundles[s.loss] for s in found.decision.standings[:PANELS]}
    some = {loss: next(iter(own.values())) for loss, own in best.items()}
    if shapes := evidence.shapes(some, found.test.rows_NF):
        figures.residuals(path, shapes)


def _draw_standouts(path: Path, found: Findings) -> None:
    """Of images and windows; a table's rows are told in words."""
    shape, shown = found.schema.shape, found.standouts
    if shape is not None and shown:
        chosen_KF = found.test.rows_NF[[one.at for one in shown]]
        titles = [f"{one.which}\n{one.bits:.0f} bits" for one in shown]
        answers_KF = found.delivered.reconstruct(chosen_KF)
        figures.standouts(path, chosen_KF, answers_KF, titles, shape)


def _row_lines(found: Findings) -> list[dict[str, Any]]:
    """Lines of the table of rows that stand out."""
    lines = []
    for one in found.standouts:
        line: dict[str, Any] = {
            "row": str(found.test.number_N[one.at]),
            "among all": one.which,
            "bits": f"{one.bits:.1f}",
        }
        if found.test.label_N is not None:
            label = float(found.test.label_N[one.at])
            line["label"] = evaluation.label_text(label, found.schema.labels)
        told = (
            f"{_short(name)}: {_short(value)} → {_short(answer)} ({bits:.1f})"
            for name, value, answer, bits in one.costliest
        )
        line["what cost most"] = "; ".join(told)
        lines.append(line)
    return lines


def _short(text: str) -> str:
    """Names and levels may be of any length."""
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def _settings(paths: Paths, found: Findings) -> list[dict[str, Any]]:
    tried = read_csv(paths.search("trials.csv"), "search")
    measured = set(read_csv(paths.train("fits.csv"), "train")[0])
    names = [name for name in tried[0] if name not in measured | OF_A_TRIAL]
    told = evidence.settings(tried, names, [s.loss for s in found.decision.standings])
    return [{**line, RANK: f"{line[RANK]:+.2f}"} for line in told]


def _to_draw(paths: Paths, schema: Schema, rows: Mapping[str, Array]) -> dict[str, Array]:
    """Images as they are, tables standardised: by all training rows, since a few may agree."""
    if schema.shape is not None:
        return dict(rows)
    train_NF = np.load(existing(paths.values("train"), "preprocess"), mmap_mode="r")
    scaler = scaling.fit("standard", train_NF, schema).widened(schema)
    return {name: scaler.transform(own_KF) for name, own_KF in rows.items()}


def _page(params: Params, paths: Paths, found: Findings, folder: Path) -> Page:
    return Page(
        title=f"Hourglass · {found.schema.source}",
        verdict=found.verdict,
        unit=found.metrics["ruler"],
        other=_other(params.search.objective),
        remarks=[*_remarks(params, found), *_left_out(paths)],
        leaderboard=found.rows,
        sections=_sections(paths, found, folder),
        facts=_facts(params, found),
    )


def _sections(paths: Paths, found: Findings, folder: Path) -> list[Section]:
    """The most important first; pictures that only the page holds are drawn into `folder`."""
    order = [s.loss for s in found.decision.standings]
    tried = evaluation.by_scaler(read_csv(paths.search("trials.csv"), "search"))
    crossed = evaluation.cross(order, found.scores, found.baselines)
    _draw_residuals(folder / "residuals.png", found)
    _draw_standouts(folder / "rows.png", found)
    drawn = {name: Picture(paths.evaluate(name), words) for name, words in PICTURES.items()}
    residuals = _drawn(folder / "residuals.png", RESIDUALS)
    rows = _drawn(folder / "rows.png", STANDOUTS)
    searched = Picture(existing(paths.search("search.png"), "search"), SEARCHED)
    return [
        Section("How far apart they are", picture=drawn["leaderboard.png"]),
        Section("Noise assumed, noise found", picture=residuals, hint=HINTS["residuals"]),
        Section("Why these losses competed", lines=_advice(paths, order)),
        Section("What they reconstruct", picture=drawn["reconstructions.png"]),
        Section("Easy and hard rows", picture=rows, rows=_row_lines(found), hint=HINTS["rows"]),
        Section("Where the bits go", picture=drawn["columns.png"]),
        Section("Every trained loss by every metric", rows=crossed, hint=HINTS["cross"]),
        Section("How they learned", picture=drawn["curves.png"], hint=HINTS["curves"]),
        Section("How the search went", picture=searched, hint=HINTS["searched"]),
        Section("Which settings mattered", rows=_settings(paths, found), hint=HINTS["settings"]),
        Section(
            "How much the scaler matters", _leverage(tried), rows=_scalers(tried),
            hint=HINTS["scalers"],
        ),
    ]  # fmt: skip


def _drawn(path: Path, words: str) -> Picture | None:
    """A picture, where there was something to draw."""
    return Picture(path, words) if path.exists() else None


def _advice(paths: Paths, order: Sequence[str]) -> list[str]:
    """What preprocess saw in the data, and what each loss assumes."""
    profile = read_json(paths.profile, "preprocess")
    advice = [
        f"{domain} losses: {own['status']} ({own['reason']})"
        for domain, own in profile["domains"].items()
    ]
    assumed = [f"{name} assumes {candidates.assumption(name)}" for name in order]
    return [profile["why"], *advice, *assumed]


def _other(objective: str) -> tuple[str, str]:
    """Metric and unit of the code length that did not choose."""
    shown = objective == "code_length"
    return trials.RULERS["code_length_masked" if shown else "code_length"]


def _scalers(tried: Mapping[str, Mapping[str, float]]) -> list[dict[str, Any]]:
    """A row a loss, its best objective under each scaler; none where only one was tried."""
    names = list(dict.fromkeys(s for own in tried.values() for s in own))
    if len(names) < 2:
        return []
    return [{"loss": loss, **{s: own.get(s) for s in names}} for loss, own in tried.items()]


def _leverage(tried: Mapping[str, Mapping[str, float]]) -> str:
    found = evaluation.leverage(tried)
    if found is None:
        return ""
    loss, scaler = found
    return (
        f"Among the trials the best of the losses lie {loss:.4f} bits apart, the scalers of one "
        f"loss {scaler:.4f} on average: the {'loss' if loss > scaler else 'scaler'} matters more."
    )


def _remarks(params: Params, found: Findings) -> list[str]:
    numbers = found.metrics
    agree = (
        "Test rows agree with the choice."
        if numbers["test_rows_agree"]
        else f"Test rows disagree: on them {numbers['best_on_test_rows']} is ahead, a loss that "
        "validation rows call worse. The choice stays: to choose by test rows would spoil them."
    )
    saved = numbers["test_pca"] - numbers["test"]
    against = (
        f"it saves {saved:.4f} against a PCA of the same bottleneck ({params.model.latent_dim})"
        if saved > 0
        else f"{-saved:.4f} more than {BEATEN}"
    )
    alone = (
        "Only one loss competed: there is nothing to compare it with but the baselines. "
        if numbers["detectable_difference"] is None
        else ""
    )
    of = (
        f" (evenly spaced among {found.test.of})" if found.test.of > len(found.test.rows_NF) else ""
    )
    hidden, mean = numbers["imputation_nrmse"], numbers["imputation_nrmse_mean"]
    return [
        f"The delivered model ({numbers['selected_loss']}, seed {numbers['selected_seed']}) needs "
        f"{numbers['test']:.4f} {numbers['ruler']} on {numbers['rows_test']} test rows{of}: "
        f"{against}.",
        *([copied] if (copied := _copied(params, found)) else []),
        f"Values hidden from it are filled in with an error of {hidden:.3f} standard deviations; "
        f"their column's mean would be off by {mean:.3f}.",
        *_detected(found),
        f"{alone}Differences up to {params.evaluate.margin} bits count as ties.",
        agree,
    ]


def _detected(found: Findings) -> list[str]:
    """How well the delivered model's code length tells anomalous rows, where labels say which."""
    own, unusual_N = found.metrics, found.test.unusual_N
    if unusual_N is None or "auroc" not in own:
        return []
    count, of = int(np.nansum(unusual_N)), int((~np.isnan(unusual_N)).sum())
    label = evaluation.label_text(
        float(np.asarray(found.test.label_N)[unusual_N == 1][0]), found.schema.labels
    )
    baseline = found.baselines["pca"].mean("auroc")
    hidden = f"; that of hidden values {own['auroc_masked']:.3f}" if "auroc_masked" in own else ""
    return [
        f"{count} of {of} test rows are labelled {label!r}. The code length of a row tells them "
        f"from the others with an AUROC of {own['auroc']:.3f} (average precision "
        f"{own['average_precision']:.3f}){hidden}; a PCA's code length {baseline:.3f}. No label "
        "was used in choosing."
    ]


def _copied(params: Params, found: Findings) -> str:
    """Says where the bottleneck copies noise, by which losses must not be told apart; else ''.

    A linear bottleneck of d on F columns of which each says as much takes d / F of the noise with
    it: of a shown value's residual variance 1 - d / F is left, of a hidden one's the inverse of
    that, log2(F / (F - d)) bits apart.
    """
    features, latent_dim = len(found.schema.columns), params.model.latent_dim
    own, ruler = found.metrics, params.search.objective
    if ruler != "code_length" or latent_dim >= features:
        return ""
    gap = own["bits_per_feature_masked"] - own["bits_per_feature"]
    due = math.log2(features / (features - latent_dim))
    if gap <= COPIES * due or gap < NOTABLE:
        return ""
    return (
        f"A value that is hidden from the delivered model costs {gap:.2f} bits more than one that "
        f"is shown; {latent_dim} of {features} dimensions explain {due:.2f} of them. The "
        "bottleneck copies noise or single columns, and losses are told apart by how well they do: "
        "narrow model.latent_dim, or let hidden values choose (search.objective: "
        "code_length_masked)"
    )


def _left_out(paths: Paths) -> list[str]:
    return [
        f"{loss} takes no part in the verdict: {what} failed ({cause})."
        for what, failed in (("every trial", _fruitless(paths)), ("a fit", _failed(paths)))
        for loss, cause in failed.items()
    ]


def _fruitless(paths: Paths) -> dict[str, str]:
    """Losses without one good trial, each with its first cause."""
    trials_ = read_csv(paths.search("trials.csv"), "search")
    found = {t["loss"] for t in trials_ if t["state"] == "complete"}
    return {t["loss"]: t["failure"] for t in reversed(trials_) if t["loss"] not in found}


def _facts(params: Params, found: Findings) -> dict[str, str]:
    schema = found.schema
    packages = ("torch", "pytorch-lightning", "optuna", "scikit-learn", "numpy")
    return {
        "command": "dvc repro",
        "data": f"{schema.source}, {len(schema.columns)} columns, digest {schema.digest}",
        "rows": ", ".join(f"{n} {split}" for split, n in schema.rows.items()),
        "delivered": _delivered_settings(found),
        "model": ", ".join(f"{k} {v}" for k, v in params.model.model_dump(mode="json").items()),
        "search": f"{params.search.trials_per_loss} trials a loss, {params.search.epochs} epochs, "
        f"objective {params.search.objective}, seed {params.search.seed}, "
        f"pruner {params.search.pruner}, allocation {params.search.allocation}",
        "train": f"{params.train.seeds} seeds, {params.train.epochs} epochs",
        "code": code_version(),
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


def _record(params: Params, paths: Paths, found: Findings, began: float) -> None:
    tracker = JournalTracker(params.tracking.experiment, paths)
    folders = [paths.model(loss, s) for loss, own in found.bundles.items() for s in own]
    # What was said is part of the key: another objective may choose among the same models.
    said = [
        paths.evaluate(n) for n in ("verdict.txt", "delivered.json", "leaderboard.csv", "cross.csv")
    ]
    key = f"evaluate {digest(digest_files(*folders, *said), params.evaluate.model_dump())}"
    tags = {"hourglass.stage": "evaluate", "hourglass.data": found.schema.digest}
    seconds = time.monotonic() - began
    name = f"evaluate · {found.schema.source}"
    run = tracker.run(key, name, tags | revision_tags(paths.root), seconds=seconds)
    run.params({"loss": found.decision.selected, **params.evaluate.model_dump()})
    numbers = {k: v for k, v in found.metrics.items() if isinstance(v, float)}
    seen = {k: numbers.pop(k) for k in ("detectable_difference",) if k in numbers}
    first = {k: numbers.pop(k) for k in FIRST}
    first["skill_vs_pca"] = next(r["skill_vs_pca"] for r in found.rows if r["selected"])
    # Those of the objective, whatever it is, are called "test", "test_pca", ...: test/objective.
    rest = {re.sub("^test", "objective", k): v for k, v in numbers.items()}
    run.metrics(first | grouped(rest, "test") | grouped(seen, "validation"))
    run.data(data_sets(found.schema, paths, ("test",)))
    run.table(found.rows, "leaderboard")
    tables = ("report.html", "leaderboard.csv", "cross.csv", "delivered.json")
    for name in (*PICTURES, *tables):
        run.artifact(paths.evaluate(name))
    run.note(_note(found))
    for row in found.rows:
        _record_loss(tracker, run, row)
    run.finish()
    tracker.close()
    write_json(paths.evaluate("run.json"), {"key": key})


def _record_loss(tracker: Tracker, parent: Run, row: Mapping[str, Any]) -> None:
    """A child for each loss, so that MLflow's tables sort and compare them."""
    tags = {"hourglass.stage": "evaluate", "hourglass.loss": row["loss"]}
    name = f"{row['loss']} · {row['verdict']}"
    child = tracker.run(f"{parent.key} {row['loss']}", name, tags, parent)
    child.params({k: row[k] for k in ("loss", "scaler", "verdict", "selected", "seeds")})
    child.metrics(
        {k: row[k] for k in (*FIRST[:2], "skill_vs_pca")}
        | {"behind_the_best": row["difference"], "test/rmse": row["rmse"], "test/mae": row["mae"]}
    )
    child.finish()


def _note(found: Findings) -> str:
    unit = found.metrics["ruler"]
    head = ("loss", "scaler", "verdict", unit, "behind the best", "RMSE", "skill vs PCA")
    rows = [
        (
            f"**{r['loss']}**" if r["selected"] else r["loss"],
            r["scaler"],
            r["verdict"],
            f"{r['test']:.4f}",
            f"{r['difference']:.4f}",
            f"{r['rmse']:.4g}",
            f"{r['skill_vs_pca']:.4f}",
        )
        for r in found.rows
    ]
    return f"**{found.verdict}**\n\n{markdown_table(head, rows)}\n\n{WHERE}"
