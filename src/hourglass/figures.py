"""Draws curves, leaderboards and histograms of the reports: one function a picture.

Shapes: G places of a grid.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from numpy.typing import NDArray

from hourglass import drawing

Array = NDArray[np.float64]

FAR = 4.0  # standard deviations: a residual beyond is an outlier to a Gaussian


@dataclass(frozen=True)
class Shape:
    """The residuals of one loss's model, and the density that its loss assumes.

    Attributes:
        loss: Its name.
        residual: In units of their standard deviation, pooled over rows and columns.
        place_G: Where the density is given, in the same units.
        assumed_G: The density, its width fitted to the residuals; None: the loss assumes no
            residual of one shape (Bernoulli, counts).
    """

    loss: str
    residual: Array
    place_G: Array
    assumed_G: Array | None

    @property
    def far(self) -> float:
        """Share of the residuals beyond `FAR` standard deviations; of a Gaussian it is 6e-5."""
        return float(np.mean(np.abs(self.residual) > FAR))

    @property
    def far_assumed(self) -> float | None:
        """The same of the assumed density."""
        if self.assumed_G is None:
            return None
        near = np.abs(self.place_G) <= FAR + 1e-9  # of steps that sum up to FAR
        return max(0.0, 1.0 - float(np.trapezoid(self.assumed_G[near], self.place_G[near])))


def search_history(path: Path, rows: Sequence[Mapping[str, Any]], unit: str) -> None:
    """The objective of each trial and, as a line, the best so far of each loss.

    Args:
        path: PNG file.
        rows: Lines of trials.csv.
        unit: Of the objective.
    """
    figure, axes = drawing.axes(7.5, 4.2)
    by_loss: dict[str, list[tuple[int, float]]] = {}
    for row in rows:
        if row["objective"] is not None:
            by_loss.setdefault(str(row["loss"]), []).append((row["trial"], row["objective"]))
    values = [value for own in by_loss.values() for _, value in own]
    low, high = min(values), float(np.quantile(values, 0.9))
    room = 0.08 * (high - low or 1)
    for loss, own in sorted(by_loss.items(), key=lambda item: min(v for _, v in item[1])):
        colour, line, marker = drawing.style(loss)
        trial, value = zip(*own, strict=True)
        axes.scatter(trial, value, s=14, color=colour, marker=marker, alpha=0.45, linewidths=0)
        best, label = np.minimum.accumulate(value), f"{loss} ({min(value):.3f})"
        axes.step(trial, best, where="post", color=colour, linestyle=line, label=label)
    drawing.whole_numbers(axes)
    axes.set(xlabel="trial", ylabel=f"validation, {unit}", title="Search: best so far of each loss")
    axes.set_ylim(low - room, high + room)
    if above := sum(value > high + room for value in values):
        axes.text(
            0.99, 0.98, f"{above} of {len(values)} trials lie above ↑", ha="right", va="top",
            transform=axes.transAxes, fontsize=8, color=drawing.INK, bbox=drawing.BEFORE_LINES,
        )  # fmt: skip
    drawing.legend(axes, "the best first")
    drawing.save(figure, path)


def curves(path: Path, points: Sequence[Mapping[str, Any]], order: Sequence[str]) -> None:
    """Learning curves that compare: validation code length under a Gauss code, by epoch.

    The line is the mean over the seeds, the band their range.

    Args:
        path: PNG file.
        points: Lines of curves.csv; numbers may still be text.
        order: Of the losses in the legend; those that failed follow.
    """
    figure, axes = drawing.axes(7.5, 4.2)
    present = dict.fromkeys(str(p["loss"]) for p in points)
    for loss in sorted(present, key=lambda n: order.index(n) if n in order else len(order)):
        colour, line, _ = drawing.style(loss)
        values_ES = by_epoch(points, loss)
        epoch = np.arange(1, len(values_ES) + 1)
        axes.plot(epoch, np.nanmean(values_ES, axis=1), line, color=colour, label=loss)
        low, high = np.nanmin(values_ES, axis=1), np.nanmax(values_ES, axis=1)
        axes.fill_between(epoch, low, high, color=colour, alpha=0.12, linewidth=0)
    drawing.whole_numbers(axes)
    axes.set(
        xlabel="epoch",
        ylabel="validation, bits per feature (Gauss code)",
        title="Learning curves on one scale: mean and range over the seeds",
    )
    drawing.legend(axes)
    drawing.save(figure, path)


def by_epoch(points: Sequence[Mapping[str, Any]], loss: str) -> Array:
    """The curve of each seed, (epochs, seeds).

    Patience may end seeds at different epochs; an ended fit is left out (NaN) from there on.
    """
    by_seed: dict[Any, list[float]] = {}
    for point in points:
        if point["loss"] == loss:
            by_seed.setdefault(point["seed"], []).append(float(point["val_gauss_bits"]))
    return np.array(list(zip_longest(*by_seed.values(), fillvalue=np.nan)))


def widths(path: Path, by_name: Mapping[str, Mapping[int, tuple[float, float]]], main: int) -> None:
    """Bits by the width of the bottleneck: the rate that each width leaves.

    Args:
        path: PNG file.
        by_name: Loss, or "pca" -> width -> bits per feature, and per hidden value.
        main: The width that is marked.
    """
    figure = Figure(figsize=(9.5, 4.2), dpi=130, layout="constrained")
    for at, title in enumerate(("Values as they are", "Values hidden from the model")):
        axes = figure.add_subplot(1, 2, at + 1)
        drawing.plain(axes)
        for name, own in by_name.items():
            colour, line, marker = (
                (drawing.INK, (0, (1, 3)), "") if name == "pca" else drawing.style(name)
            )
            bits = [both[at] for both in own.values()]
            axes.plot(
                list(own), bits, linestyle=line, color=colour, marker=marker, ms=4, label=name
            )
        axes.axvline(main, color=drawing.VERDICT_COLOURS["baseline"], linestyle=":", linewidth=1)
        axes.set_xscale("log")
        ticks = sorted({width for own in by_name.values() for width in own})
        axes.set_xticks(ticks, [str(width) for width in ticks])
        axes.minorticks_off()
        axes.set(xlabel="width of the bottleneck", ylabel="validation, bits", title=title)
    drawing.legend(axes)
    drawing.save(figure, path)


@dataclass(frozen=True)
class Board:
    """What the leaderboard's picture shows.

    Attributes:
        rows: Lines of leaderboard.csv, the best first, each with what sort of a tie it is.
        baselines: Name -> what the ruler says of a baseline on test rows.
        unit: Of the ruler.
        level: Of the intervals: "95 %".
        margin: Differences up to here are of no practical weight.
    """

    rows: Sequence[Mapping[str, Any]]
    baselines: Mapping[str, float]
    unit: str
    level: str
    margin: float


def leaderboard(path: Path, board: Board) -> None:
    """The differences on validation rows, which decide, and what the ruler says of test rows.

    Args:
        path: PNG file.
        board: What is shown.
    """
    count = len(board.rows)
    figure = Figure(figsize=(11.5, 1.7 + 0.4 * count), dpi=130, layout="constrained")
    decides, reports = figure.subplots(1, 2, sharey=True, width_ratios=(1, 1.15))
    _differences(decides, board)
    _on_test_rows(reports, board)
    decides.set_yticks(np.arange(count)[::-1], [r["loss"] for r in board.rows])
    reports.tick_params(labelleft=False)
    drawing.save(figure, path)


def _differences(axes: Axes, board: Board) -> None:
    """Paired, to the best; its own is 0."""
    drawing.plain(axes)
    axes.axvspan(0, board.margin, color="#9AA5B5", alpha=0.35, linewidth=0)
    axes.axvline(0, color=drawing.INK, linewidth=0.8)
    shown = [r[k] for r in board.rows for k in ("difference_low", "difference_high")]
    for place, row in enumerate(reversed(board.rows)):
        low, high = row["difference_low"], row["difference_high"]
        _point(axes, place, row, (row["difference"], low, high))
        text = ", ".join(filter(None, (row["verdict"], row["tie"], row["selected"] and "selected")))
        axes.annotate(
            text, (high, place), (8, 0), textcoords="offset points", va="center", fontsize=9,
            color=drawing.VERDICT_COLOURS[row["verdict"]], bbox=drawing.BEFORE_LINES, zorder=3,
        )  # fmt: skip
    span = (max(shown) - min(0.0, *shown)) or 1.0
    axes.set_xlim(min(0.0, *shown) - 0.05 * span, max(shown) + 0.38 * span)
    axes.set_title("Decides: behind the best on validation rows", fontsize=10, pad=14)
    axes.set_xlabel(f"bits, paired over the seeds, {board.level} interval\n(grey: the margin)")


def _on_test_rows(axes: Axes, board: Board) -> None:
    """Means over the seeds, and the baselines that lie near as lines."""
    drawing.plain(axes)
    rows = board.rows
    for place, row in enumerate(reversed(rows)):
        _point(axes, place, row, (row["test"], row["ci_low"], row["ci_high"]))
    shown = [r[k] for r in rows for k in ("ci_low", "ci_high")]
    span = max(shown) - min(shown) or 1.0
    near = {n: v for n, v in board.baselines.items() if min(shown) - span < v < max(shown) + span}
    low = min(min(shown) - 0.08 * span, *(v - 0.05 * span for v in near.values()), np.inf)
    high = max(max(shown) + 0.08 * span, *near.values(), -np.inf)
    width = 0.25 * (high - low)  # of a label
    height, before, top = len(rows) - 0.45, -np.inf, len(rows) - 0.45
    for name, value in sorted(near.items(), key=lambda item: item[1]):
        axes.axvline(value, color=drawing.VERDICT_COLOURS["baseline"], linestyle="--", linewidth=1)
        # A label that would run into the one before it stands above that.
        height = height + 0.35 if value - before < width else len(rows) - 0.45
        axes.annotate(
            f"{name} {value:.3f}", (value, height), (4, 0), textcoords="offset points", va="bottom",
            color=drawing.INK, fontsize=8, bbox=drawing.BEFORE_LINES, zorder=3,
        )  # fmt: skip
        before, top, high = value, max(top, height), max(high, value + width)
    axes.set_xlim(low, high)
    axes.set_ylim(-0.6, top + 0.35)
    axes.set_title("Reports: test rows, mean over the seeds", fontsize=10, pad=14)
    axes.set_xlabel(f"{board.unit}, {board.level} interval\n(lower is better)")


def _point(
    axes: Axes, place: float, row: Mapping[str, Any], shown: tuple[float, float, float]
) -> None:
    """A value between the ends of its interval."""
    value, low, high = shown
    colour = drawing.VERDICT_COLOURS[row["verdict"]]
    error = [[value - low], [high - value]]
    axes.errorbar(value, place, xerr=error, fmt="o", color=colour, capsize=4)


def residuals(path: Path, shown: Sequence[Shape]) -> None:
    """Histograms of residuals, each beside the density that its loss assumes and a Gaussian's.

    Args:
        path: PNG file.
        shown: One a panel.
    """
    across = min(4, len(shown))
    down = -(-len(shown) // across)
    figure = Figure(figsize=(2.7 * across + 0.5, 2.5 * down + 1.1), dpi=130, layout="constrained")
    panels = figure.subplots(down, across, sharex=True, sharey=True, squeeze=False)
    lowest = min(_residual(axes, one) for axes, one in zip(panels.flat, shown, strict=False))
    for axes in list(panels.flat)[len(shown) :]:
        axes.set_axis_off()
    panels[0, 0].set_yscale("log")
    panels[0, 0].set_ylim(lowest / 2, None)
    for axes in panels[:, 0]:
        axes.set_ylabel("density (log scale)", fontsize=9)
    for axes in panels[-1]:
        axes.set_xlabel("residual / its standard deviation (sd)", fontsize=9)
    figure.suptitle("Residuals on test rows beside the noise that each loss assumes", fontsize=11)
    # Each panel has the colour of its loss; the legend's grey stands for any of them.
    legend = [
        Patch(facecolor=drawing.INK, alpha=0.3, label="residuals"),
        Line2D([], [], color=drawing.INK, linewidth=1.8, label="assumed by the loss"),
        Line2D([], [], color=drawing.INK, linewidth=1.1, linestyle=":", label="a Gaussian"),
    ]
    figure.legend(handles=legend, loc="outside lower center", ncols=3, frameon=False, fontsize=9)
    drawing.save(figure, path)


def _residual(axes: Axes, one: Shape) -> float:
    """One panel; returns the lowest density that is not 0."""
    drawing.plain(axes)
    colour, _, _ = drawing.style(one.loss)
    reach = float(np.abs(one.place_G).max())
    inside = np.clip(one.residual, -reach, reach)  # what lies beyond is in the last bars
    edges = np.linspace(-reach, reach, 65)
    density, _ = np.histogram(inside, edges, density=True)
    axes.stairs(density, edges, fill=True, color=colour, alpha=0.3)
    gauss = np.exp(-0.5 * one.place_G**2) / np.sqrt(2 * np.pi)
    axes.plot(one.place_G, gauss, ":", color=drawing.INK, linewidth=1.1)
    title, expected = f"{one.loss}\nbeyond {FAR:g} sd: {100 * one.far:.2g} %", one.far_assumed
    if expected is not None and one.assumed_G is not None:
        title += f" (assumed {100 * expected:.2g} %)"
        axes.plot(one.place_G, one.assumed_G, color=colour, linewidth=1.8)
    axes.set_title(title, fontsize=8.5)
    return min(1.0, float(density[density > 0].min()))
