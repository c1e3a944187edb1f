"""What the report shows of an evaluation: pictures, tables and sentences, section by section.

Shapes: K rows that are drawn, F features, W numbers of a reconstruction (see `hourglass.wide`).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hourglass import candidates, evaluation, evidence, figures, scaling, trials, wide
from hourglass.bundle import Bundle
from hourglass.evaluation import Bundles, ByWidth, Scores, Test
from hourglass.evidence import Standout
from hourglass.paths import Paths, existing, read_csv, read_json
from hourglass.report import Picture, Section
from hourglass.schema import Schema
from hourglass.verdict import Verdict

Array = NDArray[np.float64]

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
WIDTHS = "Bits by the width of the bottleneck, of shown and of hidden values, a line for each loss"
SEARCHED = "The objective of each trial, and the best so far of each loss"
HINTS = {
    "residuals": "A loss is the likelihood of noise of one shape. Where the bars stand above the "
    "curve far from 0, there are more outliers than the loss allows for.",
    "rows": "Test rows with the shortest, a middling and the longest code under the delivered "
    "model, and the columns that cost most: value → what the model answered (bits).",
    "widths": "Validation rows, fits of the first seed; other widths than the dotted one take no "
    "part in the verdict. Where the lines cross, the best loss depends on the width. A wider "
    "bottleneck always says more of a value that it is shown, of one that is hidden only while "
    "there is something to learn: where hidden values cost least, it begins to copy noise.",
    "curves": "All on one scale, a Gauss code, which costs no fit of noise each epoch; its order "
    "may differ from the verdict's. The losses' own values (train_loss and val_loss in "
    "MLflow) compare within one loss only.",
    "cross": "Test rows, mean over the seeds, original units; nrmse and nmae divide each column by "
    "its standard deviation.",
    "searched": "Each loss had the same number of trials, unless the verdict says otherwise. The "
    "worst tenth of all trials lies above the picture.",
    "settings": "Over the complete trials of each loss: Spearman's rank correlation of a setting "
    "with the objective on validation rows. Negative: higher was better; near 0: it hardly "
    "mattered, or the best lay in the middle. Of a handful of trials it is a rough guide.",
    "scalers": "The best trial of each loss under each scaler, by the search's objective on "
    "validation rows. A scaler that looked bad got few trials, or none.",
}
LONGEST = 40  # characters of a name in the table of rows
PANELS, EACH = 4, 3  # losses whose residuals are drawn; rows shown of each sort
# Beyond twice what its width explains, the gap between hidden and shown values is copied noise: on
# made-up data it is 1.1 to 1.5 times that at the signal's width, 2.6 to 3.5 times at a wider one.
COPIES, NOTABLE = 2.0, 0.1
BEATEN = (
    "a PCA of the same bottleneck: more epochs, more trials or wider model.hidden layers may help"
)
RANK = "rank correlation"
OF_A_TRIAL = {"trial", "state", "objective", "pruned_at", "dropped"}


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
        verdict: The verdict in a sentence.
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


def failed(paths: Paths) -> dict[str, str]:
    """Losses that a seed failed, each with its first cause: they take no part in the verdict."""
    fits = read_csv(paths.train("fits.csv"), "train")
    return {f["loss"]: f["failure"] for f in reversed(fits) if f["failure"]}


def _fruitless(paths: Paths) -> dict[str, str]:
    """Losses without one good trial, each with its first cause."""
    trials_ = read_csv(paths.search("trials.csv"), "search")
    found = {t["loss"] for t in trials_ if t["state"] == "complete"}
    return {t["loss"]: t["failure"] for t in reversed(trials_) if t["loss"] not in found}


def column_bits(found: Findings) -> dict[str, Array]:
    """Loss -> bits of each column on test rows, mean over its models, (F,)."""
    order = [s.loss for s in found.decision.standings]
    return {loss: np.mean(found.scores[loss].column_bits, axis=0) for loss in order}


def draw(paths: Paths, found: Findings, picture_rows: int) -> None:
    """Draws `PICTURES` into reports/evaluate.

    Args:
        paths: Where files are.
        found: What was found.
        picture_rows: Rows shown beside their reconstructions.
    """
    shown_KF = found.test.rows_NF[:picture_rows]
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
    baselines = {n: float(np.mean(s.ruler(found.objective))) for n, s in found.baselines.items()}
    unit = trials.objective_unit(found.objective)
    figures.leaderboard(paths.evaluate("leaderboard.png"), found.rows, baselines, unit)
    names = found.schema.names
    figures.columns(paths.evaluate("columns.png"), column_bits(found), names, shape)


def _to_draw(paths: Paths, schema: Schema, rows: Mapping[str, Array]) -> dict[str, Array]:
    """Images as they are, tables standardised: by all training rows, since a few may agree."""
    if schema.shape is not None:
        return dict(rows)
    train_NF = np.load(existing(paths.values("train"), "preprocess"), mmap_mode="r")
    scaler = scaling.fit("standard", train_NF, schema).widened(schema)
    return {name: scaler.transform(own_KF) for name, own_KF in rows.items()}


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


def sections(paths: Paths, found: Findings, folder: Path) -> list[Section]:
    """The most important first; pictures that only the page holds are drawn into `folder`."""
    order = [s.loss for s in found.decision.standings]
    tried = evaluation.by_scaler(read_csv(paths.search("trials.csv"), "search"))
    crossed = evaluation.cross(order, found.scores, found.baselines)
    _draw_residuals(folder / "residuals.png", found)
    _draw_standouts(folder / "rows.png", found)
    drawn = {name: Picture(paths.evaluate(name), words) for name, words in PICTURES.items()}
    residuals = _drawn(folder / "residuals.png", RESIDUALS)
    rows = _drawn(folder / "rows.png", STANDOUTS)
    if found.by_width:
        figures.widths(folder / "widths.png", found.by_width, found.latent_dim)
    widths = _drawn(folder / "widths.png", WIDTHS)
    searched = Picture(existing(paths.search("search.png"), "search"), SEARCHED)
    return [
        Section("How far apart they are", picture=drawn["leaderboard.png"]),
        Section("Noise assumed, noise found", picture=residuals, hint=HINTS["residuals"]),
        Section("Why these losses competed", lines=_advice(paths, order)),
        Section("What they reconstruct", picture=drawn["reconstructions.png"]),
        Section("Easy and hard rows", picture=rows, rows=_row_lines(found), hint=HINTS["rows"]),
        Section("Where the bits go", picture=drawn["columns.png"]),
        Section("How wide a bottleneck", picture=widths, hint=HINTS["widths"]),
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


def remarks(found: Findings) -> list[str]:
    """What to know beside the verdict, in sentences."""
    numbers = found.metrics
    agree = (
        "Test rows agree with the choice."
        if numbers["test_rows_agree"]
        else f"Test rows disagree: on them {numbers['best_on_test_rows']} is ahead, a loss that "
        "validation rows call worse. The choice stays: to choose by test rows would spoil them."
    )
    saved = numbers["test_pca"] - numbers["test"]
    against = (
        f"it saves {saved:.4f} against a PCA of the same bottleneck ({found.latent_dim})"
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
        *([noise] if (noise := copied(found)) else []),
        f"Values hidden from it are filled in with an error of {hidden:.3f} standard deviations; "
        f"their column's mean would be off by {mean:.3f}.",
        *_other_ruler(found),
        *_detected(found),
        f"{alone}Differences up to {found.margin} bits count as ties.",
        agree,
        *found.edges,
    ]


def _other_ruler(found: Findings) -> list[str]:
    """Which loss the code length that did not choose would have put ahead, on test rows."""
    shown = found.objective == "code_length"
    metric, unit = trials.RULERS["code_length_masked" if shown else "code_length"]
    bits = {s.loss: found.scores[s.loss].mean(metric) for s in found.decision.standings}
    ahead, selected = min(bits, key=lambda loss: bits[loss]), found.decision.selected
    lead = bits[selected] - bits[ahead]
    if lead <= found.margin:
        return []
    why = "fill gaps, or judge values by the others of their row" if shown else "compress rows"
    return [
        f"Counted in {unit}, {ahead} is ahead of {selected} by {lead:.4f} on test rows. If the "
        f"model is to {why}, let that choose: search.objective: "
        f"{'code_length_masked' if shown else 'code_length'}."
    ]


def _detected(found: Findings) -> list[str]:
    """How well the delivered model's bits tell anomalous rows, where labels say which."""
    own, unusual_N = found.metrics, found.test.unusual_N
    if unusual_N is None or "auroc" not in own:
        return []
    count, of = int(np.nansum(unusual_N)), int((~np.isnan(unusual_N)).sum())
    label = evaluation.label_text(
        float(np.asarray(found.test.label_N)[unusual_N == 1][0]), found.schema.labels
    )
    pca = found.baselines["pca"].mean("auroc")
    return [
        f"{count} of {of} test rows are labelled {label!r}. How surprising a row is "
        f"(surprise_bits) tells them from the others with an AUROC of {own['auroc']:.3f} (average "
        f"precision {own['average_precision']:.3f}), its code length with "
        f"{own['auroc_code_length']:.3f}; with a PCA in the model's place the first would be "
        f"{pca:.3f}. No label was used in choosing."
    ]


def copied(found: Findings) -> str:
    """Says where the bottleneck copies noise, by which losses must not be told apart; else ''.

    A linear bottleneck of d on F columns of which each says as much takes d / F of the noise with
    it: of a shown value's residual variance 1 - d / F is left, of a hidden one's the inverse of
    that, log2(F / (F - d)) bits apart.
    """
    features, latent_dim = len(found.schema.columns), found.latent_dim
    own, ruler = found.metrics, found.objective
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


def left_out(paths: Paths) -> list[str]:
    """Says of each loss without a place in the verdict what failed."""
    return [
        f"{loss} takes no part in the verdict: {what} failed ({cause})."
        for what, failed in (("every trial", _fruitless(paths)), ("a fit", failed(paths)))
        for loss, cause in failed.items()
    ]
