"""What the report shows of an evaluation: its pictures and tables, section by section.

Shapes: K rows that are drawn, F features, W numbers of a reconstruction (see `hourglass.wide`).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hourglass import (
    competitors,
    conclusions,
    crossing,
    evaluation,
    evidence,
    figures,
    outcome,
    pictures,
    scaling,
    wide,
)
from hourglass.figures import Board
from hourglass.outcome import Findings
from hourglass.paths import Paths, existing, read_csv, read_json
from hourglass.pictures import Rows
from hourglass.remarks import by_density
from hourglass.report import Picture, Section, Table
from hourglass.schema import Schema
from hourglass.verdict import unclear

Array = NDArray[np.float64]

# Drawn into reports/evaluate.
PICTURES = ("leaderboard.png", "reconstructions.png", "columns.png", "curves.png")
HINTS = {
    "leaderboard": "Left: the paired differences that the verdict rests on; an interval that lies "
    "wholly to the right of the grey margin is not yet a verdict, since several losses are "
    "compared at once. Right: what test rows say of the same fits.",
    "residuals": "A loss is the likelihood of noise of one shape. Where the bars stand above the "
    "curve far from 0, there are more outliers than the loss allows for. Scaled units, the fit of "
    "the first seed, the best losses first.",
    "competed": "In the order of validation rows. Admissible, dubious or blocked is what the "
    "advisor said before any training; dubious ones are not expected to win.",
    "rows": "Test rows with the shortest, a typical and the longest code under the delivered "
    "model, and the columns that cost most: value → what the model answered (bits).",
    "widths": "Validation rows, fits of the first seed; other widths than the marked one take no "
    "part in the verdict. Where the lines cross, the best loss depends on the width. A wider "
    "bottleneck always says more of a value that it is shown, of one that is hidden only while "
    "there is something to learn: where hidden values cost least, it begins to copy noise.",
    "curves": "All under a Gauss code, a cheap stand-in for the ruler that needs no fit of noise "
    "each epoch: compare the shapes of the curves, not their levels with the leaderboard, whose "
    "order may differ. The losses' own values (train_loss and val_loss in MLflow) compare within "
    "one loss only.",
    "cross": "Test rows, means over the seeds, in the data's units; sd: the standard deviation of "
    "a column, by which its errors are divided. The best loss of each column is bold; baselines "
    "take no part. Bias is best near 0, of R², AUROC and average precision more is better, of all "
    "else less.",
    "searched": "Each loss had the same number of trials, unless the verdict says otherwise. "
    "Validation rows, one fit a trial.",
    "settings": "Over the complete trials of each loss: Spearman's rank correlation of a setting "
    "with the objective on validation rows. Negative: higher was better; near 0: it hardly "
    "mattered, or the best lay in the middle. Of a handful of trials it is a rough guide.",
    "scalers": "The best trial of each loss under each scaler, by the search's objective on "
    "validation rows. A scaler that looked bad got few trials, or none.",
}
LONGEST = 40  # characters of a name in the table of rows
PANELS, EACH = 8, 3  # losses whose residuals are drawn; rows shown of each sort
RANK = "rank correlation"
OF_A_TRIAL = {"trial", "state", "objective", "pruned_at", "dropped"}


def draw(paths: Paths, found: Findings, picture_rows: int) -> None:
    """Draws `PICTURES` into reports/evaluate.

    Args:
        paths: Where files are.
        found: What was found.
        picture_rows: Rows shown beside their reconstructions.
    """
    shown_KF, schema = found.test.rows_NF[:picture_rows], found.schema
    rows = {"original": wide.expand(shown_KF, schema.columns)} | {
        loss: next(iter(found.bundles[loss].values())).reconstruct(shown_KF) for loss in found.order
    }
    rows = _to_draw(paths, schema, rows)
    numbers = found.test.number_N[:picture_rows].tolist()
    originals = Rows(rows.pop("original"), numbers, wide.names(schema.columns), schema.shape)
    pictures.reconstructions(paths.evaluate("reconstructions.png"), originals, rows)
    points = read_csv(paths.train("curves.csv"), "train")
    figures.curves(paths.evaluate("curves.png"), points, found.order)
    baselines = {n: float(np.mean(s.ruler(found.objective))) for n, s in found.baselines.items()}
    board = Board(board_rows(found), baselines, found.unit, found.level, found.margin)
    figures.leaderboard(paths.evaluate("leaderboard.png"), board)
    density = [by_density(column) for column in schema.columns]
    path, bits = paths.evaluate("columns.png"), found.column_bits
    pictures.columns(path, bits, schema.names, schema.shape, density)


def _to_draw(paths: Paths, schema: Schema, rows: Mapping[str, Array]) -> dict[str, Array]:
    """Images as they are, tables standardised: by all training rows, since a few may agree."""
    if schema.shape is not None:
        return dict(rows)
    train_NF = np.load(existing(paths.values("train"), "preprocess"), mmap_mode="r")
    scaler = scaling.fit("standard", train_NF, schema).widened(schema)
    return {name: scaler.transform(own_KF) for name, own_KF in rows.items()}


def board_rows(found: Findings) -> list[dict[str, Any]]:
    """Lines of the page's leaderboard: those of leaderboard.csv, and why a tie is one."""
    ties = {s.loss: unclear(s, found.margin) for s in found.decision.standings}
    kinds = {True: "unclear", False: "equal"}
    return [
        {**row, "tie": kinds[ties[row["loss"]]] if row["verdict"] == "tied" else ""}
        for row in found.rows
    ]


def sections(paths: Paths, found: Findings, folder: Path) -> list[Section]:
    """The most important first; pictures that only the page holds are drawn into `folder`."""
    drawn = paths.evaluate
    leaderboard = Picture(drawn("leaderboard.png"), conclusions.in_words(found))
    is_chart = found.schema.shape is None or len(found.schema.shape) == pictures.WINDOW
    kind = "Test rows" if found.schema.shape is None else "Test images or windows"
    words = f"{kind} beside what each loss reconstructs: {', '.join(found.order)}."
    reconstructed = Picture(drawn("reconstructions.png"), words, is_chart)
    bits = Picture(drawn("columns.png"), conclusions.columns_in_words(found), is_chart)
    return [
        Section("How far apart they are", picture=leaderboard, hint=HINTS["leaderboard"]),
        _noise(found, folder / "residuals.png"),
        _competed(paths, found),
        Section("What they reconstruct", picture=reconstructed),
        _rows(paths, found, folder / "rows.png"),
        Section(
            "Where the bits go",
            conclusions.where_bits_go(found),
            bits,
            source=_file(paths, drawn("columns.csv")),
        ),
        _widths(paths, found, folder / "widths.png"),
        _cross(paths, found),
        _learned(paths, found),
        *_search(paths, found),
    ]


def _file(paths: Paths, path: Path) -> str:
    """As people find it from the project's folder."""
    return path.relative_to(paths.root).as_posix()


def _noise(found: Findings, path: Path) -> Section:
    """Of the best losses; of levels there is none."""
    best = {loss: found.bundles[loss] for loss in found.order[:PANELS]}
    some = {loss: next(iter(own.values())) for loss, own in best.items()}
    shapes = evidence.shapes(some, found.test.rows_NF)
    if not shapes:
        return Section("Noise assumed, noise found")
    figures.residuals(path, shapes)
    lead = conclusions.noise(shapes, found.order[0])
    left = found.order[PANELS:]
    hint = HINTS["residuals"] + (f" Not drawn: {', '.join(left)}." if left else "")
    words = f"Histograms of test residuals beside the density that each loss assumes. {lead}"
    return Section("Noise assumed, noise found", lead, Picture(path, words), hint=hint)


def _competed(paths: Paths, found: Findings) -> Section:
    """What was said of each loss before training, and what became of it."""
    profile = read_json(paths.profile, "preprocess")
    tried = read_csv(paths.search("trials.csv"), "search")
    chosen = {row["loss"]: row["scaler"] for row in found.rows}
    return Section(
        "Why these losses competed",
        competitors.lead(profile, found.order[0]),
        table=Table(competitors.table(profile, tried, chosen)),
        lines=competitors.absent(profile, tried),
        hint=HINTS["competed"],
        source=_file(paths, paths.profile),
    )


def _rows(paths: Paths, found: Findings, path: Path) -> Section:
    """Images and windows are drawn; a table's rows are told in words."""
    shape, shown = found.schema.shape, found.standouts
    picture = None
    if shape is not None and shown:
        at = [one.at for one in shown]
        chosen_KF = found.test.rows_NF[at]
        rows = Rows(chosen_KF, found.test.number_N[at].tolist(), found.schema.names, shape)
        titles = [f"{one.which}\n{one.bits:.0f} bits" for one in shown]
        pictures.standouts(path, rows, found.delivered.reconstruct(chosen_KF), titles)
        words = (
            f"Rows from the shortest code ({shown[0].bits:.0f} bits) to the longest "
            f"({max(one.bits for one in shown):.0f}), the delivered model's answer and its error."
        )
        picture = Picture(path, words, len(shape) == pictures.WINDOW)
    return Section(
        "Easy and hard rows",
        picture=picture,
        table=Table(_row_lines(found)),
        hint=HINTS["rows"],
        source=_file(paths, paths.evaluate("test_rows.csv")),
    )


def _row_lines(found: Findings) -> list[dict[str, Any]]:
    """Lines of the table of rows that stand out."""
    lines = []
    for one in found.standouts:
        line: dict[str, Any] = {
            "row": str(found.test.number_N[one.at]),
            "it is": one.which,
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


def _widths(paths: Paths, found: Findings, path: Path) -> Section:
    if not found.by_width:
        return Section("How wide a bottleneck")
    order = [name for name in (*found.order, "pca") if name in found.by_width]
    figures.widths(path, {name: found.by_width[name] for name in order}, found.latent_dim)
    lead = conclusions.widths(found.by_width, found.latent_dim)
    return Section(
        "How wide a bottleneck",
        lead,
        Picture(path, f"Bits by the width of the bottleneck, a line for each loss. {lead}"),
        hint=HINTS["widths"],
        source=_file(paths, paths.train("widths.csv")),
    )


def _cross(paths: Paths, found: Findings) -> Section:
    rows = outcome.cross(found.order, found.scores, found.baselines)
    return Section(
        "Every trained loss by every metric",
        crossing.lead(rows[: len(found.order)]),
        table=crossing.crossed(rows, len(found.order)),
        hint=HINTS["cross"],
        source=_file(paths, paths.evaluate("cross.csv")),
    )


def _learned(paths: Paths, found: Findings) -> Section:
    points = read_csv(paths.train("curves.csv"), "train")
    words = conclusions.curves_in_words(points, found.order)
    return Section(
        "How they learned",
        conclusions.learned(points, found.order, found.margin),
        Picture(paths.evaluate("curves.png"), words),
        hint=HINTS["curves"],
        source=_file(paths, paths.train("curves.csv")),
    )


def _search(paths: Paths, found: Findings) -> list[Section]:
    """The trials, and what they say of settings and scalers."""
    rows = read_csv(paths.search("trials.csv"), "search")
    source, tried = _file(paths, paths.search("trials.csv")), outcome.by_scaler(rows)
    best = {loss: min(own.values()) for loss, own in tried.items()}
    words = conclusions.search_in_words(best, found.unit)
    searched = Picture(existing(paths.search("search.png"), "search"), words)
    told = _settings(paths, found)
    signed = [{**line, RANK: f"{line[RANK]:+.2f}"} for line in told]
    return [
        Section("How the search went", picture=searched, hint=HINTS["searched"], source=source),
        Section(
            "Which settings mattered",
            conclusions.settings(told, RANK),
            table=Table(signed),
            lines=[] if told else [conclusions.too_few(rows)],
            hint=HINTS["settings"] if told else "",
            source=source,
        ),
        Section(
            "How much the scaler matters",
            _leverage(tried),
            table=Table(_scalers({loss: tried[loss] for loss in found.order})),
            hint=HINTS["scalers"],
            source=source,
        ),
    ]


def _settings(paths: Paths, found: Findings) -> list[dict[str, Any]]:
    tried = read_csv(paths.search("trials.csv"), "search")
    measured = set(read_csv(paths.train("fits.csv"), "train")[0])
    names = [name for name in tried[0] if name not in measured | OF_A_TRIAL]
    return evidence.settings(tried, names, found.order)


def _scalers(tried: Mapping[str, Mapping[str, float]]) -> list[dict[str, Any]]:
    """A row a loss, its best objective under each scaler; none where only one was tried."""
    names = list(dict.fromkeys(s for own in tried.values() for s in own))
    if len(names) < 2:
        return []
    return [{"loss": loss, **{s: own.get(s) for s in names}} for loss, own in tried.items()]


def _leverage(tried: Mapping[str, Mapping[str, float]]) -> str:
    found = outcome.leverage(tried)
    if found is None:
        return ""
    loss, scaler = found
    return (
        f"Among the trials the best of the losses lie {loss:.3f} bits apart, the scalers of one "
        f"loss {scaler:.3f} on average: the {'loss' if loss > scaler else 'scaler'} matters more."
    )
