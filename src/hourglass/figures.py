"""Draws the pictures of the reports: one function a picture, PNG files, no global state.

Shapes: K rows that are shown, F features.
"""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from hourglass.losses import LOSSES
from hourglass.paths import replacing

Array = NDArray[np.float64]

# Okabe & Ito 2008: eight colours that people with any colour vision can tell apart, and three of
# Tol's (2021) beside them.
COLOURS = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#D55E00",
    "#CC79A7",
    "#56B4E9",
    "#7F7F7F",
    "#B8A900",
    "#882255",
    "#332288",
    "#44AA99",
)
INK = "#333333"
# Of words that a line may run through.
BEFORE_LINES = {"facecolor": "white", "edgecolor": "none", "pad": 0.5}
GAP = "#F2D7C4"  # of a pixel that was not observed
LINES, MARKERS = ("-", "--", ":", "-."), ("o", "s", "^", "D")
VERDICT_COLOURS = {"best": "#009E73", "tied": "#0072B2", "worse": "#D55E00", "baseline": "#7F7F7F"}
MAX_BARS = 30  # columns drawn as bars; of more the costliest
MAX_NAMED = 30  # names below a profile; of more columns every second or third
LONGEST_NAME = 28
MAX_CHANNELS = 3  # of a window that are drawn
FAR = 4.0  # standard deviations: a residual beyond is an outlier to a Gaussian
WINDOW, RGB = 2, 3  # dimensions of a window, channels of a colour image


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


def search_history(path: Path, rows: Sequence[Mapping[str, Any]], unit: str) -> None:
    """The objective of each trial and, as a line, the best so far of each loss.

    Args:
        path: PNG file.
        rows: Lines of trials.csv.
        unit: Of the objective.
    """
    figure, axes = _axes(7.5, 4.2)
    for loss in dict.fromkeys(str(r["loss"]) for r in rows):
        colour, line, marker = _style(loss)
        own = [r for r in rows if r["loss"] == loss and r["objective"] is not None]
        if not own:
            continue
        trial, value = [r["trial"] for r in own], [r["objective"] for r in own]
        axes.scatter(trial, value, s=14, color=colour, marker=marker, alpha=0.45, linewidths=0)
        best, label = np.minimum.accumulate(value), f"{loss} ({min(value):.3f})"
        axes.step(trial, best, where="post", color=colour, linestyle=line, label=label)
    _whole_numbers(axes)
    axes.set(xlabel="trial", ylabel=f"validation, {unit}", title="Search: best so far of each loss")
    values = [r["objective"] for r in rows if r["objective"] is not None]
    low, high = min(values), float(np.quantile(values, 0.9))
    axes.set_ylim(low - 0.08 * (high - low or 1), high + 0.08 * (high - low or 1))
    _legend(axes)
    _save(figure, path)


def curves(path: Path, points: Sequence[Mapping[str, Any]]) -> None:
    """Learning curves that compare: validation code length under a Gauss code, by epoch.

    The line is the mean over the seeds, the band their range.

    Args:
        path: PNG file.
        points: Lines of curves.csv; numbers may still be text.
    """
    figure, axes = _axes(7.5, 4.2)
    for loss in dict.fromkeys(str(p["loss"]) for p in points):
        colour, line, _ = _style(loss)
        by_seed: dict[Any, list[float]] = {}
        for point in points:
            if point["loss"] == loss:
                by_seed.setdefault(point["seed"], []).append(float(point["val_gauss_bits"]))
        # Patience may end seeds at different epochs; an ended fit is left out from there on.
        values_ES = list(zip_longest(*by_seed.values(), fillvalue=np.nan))
        epoch = np.arange(1, len(values_ES) + 1)
        axes.plot(epoch, np.nanmean(values_ES, axis=1), line, color=colour, label=loss)
        low, high = np.nanmin(values_ES, axis=1), np.nanmax(values_ES, axis=1)
        axes.fill_between(epoch, low, high, color=colour, alpha=0.15, linewidth=0)
    _whole_numbers(axes)
    axes.set(
        xlabel="epoch",
        ylabel="validation, bits per feature (Gauss code)",
        title="Learning curves on one scale: mean and range over the seeds",
    )
    _legend(axes)
    _save(figure, path)


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
        _plain(axes)
        for name, own in by_name.items():
            colour, line, marker = (INK, ":", "") if name == "pca" else _style(name)
            bits = [both[at] for both in own.values()]
            axes.plot(list(own), bits, line, color=colour, marker=marker, ms=4, label=name)
        axes.axvline(main, color=VERDICT_COLOURS["baseline"], linestyle=":", linewidth=1)
        axes.set_xscale("log")
        ticks = sorted({width for own in by_name.values() for width in own})
        axes.set_xticks(ticks, [str(width) for width in ticks])
        axes.minorticks_off()
        axes.set(xlabel="width of the bottleneck", ylabel="validation, bits", title=title)
    _legend(axes)
    _save(figure, path)


def leaderboard(
    path: Path, rows: Sequence[Mapping[str, Any]], baselines: Mapping[str, float], unit: str
) -> None:
    """What the ruler says of test rows, of each loss with its interval; the baselines as lines.

    Args:
        path: PNG file.
        rows: Lines of leaderboard.csv, the best first.
        baselines: Name -> the same of a baseline.
        unit: Of the ruler.
    """
    figure, axes = _axes(7.5, 1.4 + 0.42 * len(rows))
    places = np.arange(len(rows))[::-1]
    for place, row in zip(places, rows, strict=True):
        colour = VERDICT_COLOURS[row["verdict"]]
        value = row["test"]
        error = [[value - row["ci_low"]], [row["ci_high"] - value]]
        axes.errorbar(value, place, xerr=error, fmt="o", color=colour, capsize=4)
        text = f"{row['verdict']}{', selected' if row['selected'] else ''}"
        axes.annotate(
            text, (row["ci_high"], float(place)), (8, 0), textcoords="offset points", va="center",
            color=colour, fontsize=9, bbox=BEFORE_LINES, zorder=3,
        )  # fmt: skip
    axes.set_yticks(places, [r["loss"] for r in rows])
    shown = [r[k] for r in rows for k in ("ci_low", "ci_high")]
    span = max(shown) - min(shown) or 1.0
    near = {n: v for n, v in baselines.items() if min(shown) - span < v < max(shown) + span}
    low = min(min(shown) - 0.08 * span, *(v - 0.05 * span for v in near.values()), np.inf)
    high = max(max(shown) + 0.3 * span, *near.values(), -np.inf)
    label_width = 0.18 * (high - low)
    height, before, top = len(rows) - 0.45, -np.inf, len(rows) - 0.45
    for name, value in sorted(near.items(), key=lambda item: item[1]):
        axes.axvline(value, color=VERDICT_COLOURS["baseline"], linestyle="--", linewidth=1)
        # A label that would run into the one before it stands above that.
        height = height + 0.35 if value - before < label_width else len(rows) - 0.45
        axes.annotate(
            f"{name} {value:.3f}", (value, height), (4, 0), textcoords="offset points", va="bottom",
            color=INK, fontsize=8, bbox=BEFORE_LINES, zorder=3,
        )  # fmt: skip
        before, top, high = value, max(top, height), max(high, value + label_width)
    axes.set_xlim(low, high)
    axes.set_ylim(-0.6, top + 0.35)
    axes.set(xlabel=f"test rows, {unit} (lower is better)")
    axes.set_title("Leaderboard: mean over the seeds with its interval", pad=14)
    _save(figure, path)


def reconstructions(
    path: Path,
    originals_KF: Array,
    by_name: Mapping[str, Array],
    names: Sequence[str],
    shape: tuple[int, ...] | None,
) -> None:
    """The same rows, original first, then each model's reconstruction of them.

    Images are drawn as images, windows as curves, other rows as profiles.

    Args:
        path: PNG file.
        originals_KF: Rows; those of a table standardised, so that all columns share a scale.
        by_name: Loss -> reconstructions of these rows, scaled as they are.
        names: The columns.
        shape: See `Schema.shape`.
    """
    if shape is None:
        _profiles(path, originals_KF, by_name, names)
        return
    if len(shape) == WINDOW:
        _windows(path, originals_KF, by_name, names, (shape[0], shape[1]))
        return
    shown = {"original": originals_KF, **by_name}
    count, left = len(originals_KF), 0.4 + 0.085 * max(map(len, shown))
    width, height = left + 0.1 + 0.75 * count, 0.78 * len(shown) + 0.5
    figure = Figure(figsize=(width, height), dpi=130)
    low, high = float(np.nanmin(originals_KF)), float(np.nanmax(originals_KF))
    panels = np.atleast_2d(figure.subplots(len(shown), count, squeeze=False))
    for axes_K, (name, rows_KF) in zip(panels, shown.items(), strict=True):
        for axes, row_F in zip(axes_K, rows_KF, strict=True):
            axes.imshow(_image(row_F, shape, low, high), cmap="gray_r", vmin=low, vmax=high)
            axes.set_xticks([])
            axes.set_yticks([])
            axes.set_facecolor(GAP)
            for side in axes.spines.values():
                side.set_visible(False)
        axes_K[0].set_ylabel(
            name, rotation=0, ha="right", va="center", fontsize=9, color=INK,
            fontweight="bold" if name == "original" else "normal",
        )  # fmt: skip
    figure.suptitle("The same test rows, reconstructed", fontsize=11)
    figure.subplots_adjust(
        left=left / width, right=0.99, top=1 - 0.42 / height, bottom=0.02, wspace=0.06, hspace=0.06
    )
    _save(figure, path, tight=False)


def _image(row_F: Array, shape: tuple[int, ...], low: float, high: float) -> Array:
    """(H, W), the mean over the channels; of colours (H, W, 4), which are put between 0 and 1.

    Pixels that were not observed are transparent.
    """
    pixels = row_F.reshape(shape)
    if shape[-1] != RGB:
        return np.asarray(pixels.mean(axis=-1))
    seen_HW1 = ~np.isnan(pixels).any(axis=-1, keepdims=True)
    colours = np.clip((pixels - low) / ((high - low) or 1.0), 0.0, 1.0)
    return np.concatenate([np.where(seen_HW1, colours, 0.0), seen_HW1], axis=-1)


def _windows(
    path: Path,
    originals_KF: Array,
    by_name: Mapping[str, Array],
    names: Sequence[str],
    shape: tuple[int, int],
) -> None:
    """Curves over time: a row of panels for each window, a panel for each channel."""
    channels = shape[1]
    count, across = min(4, len(originals_KF)), min(MAX_CHANNELS, channels)
    titles = _shortened(_channels(names, channels))
    size = (2.2 + 3.2 * across, 1.7 * count + 0.8)
    figure = Figure(figsize=size, dpi=130, layout="constrained")
    panels = figure.subplots(count, across, sharex=True, squeeze=False)
    for k, row in enumerate(panels):
        for channel, axes in enumerate(row):
            _plain(axes)
            original = originals_KF[k].reshape(shape)[:, channel]
            axes.plot(original, "o", color=INK, markersize=2.5, label="original", zorder=3)
            for loss, rows_KF in by_name.items():
                curve, (colour, line, _) = rows_KF[k].reshape(shape)[:, channel], _style(loss)
                axes.plot(curve, line, color=colour, linewidth=1.1, label=loss)
            if k == 0:
                axes.set_title(titles[channel], fontsize=9, parse_math=False)
        row[0].set_ylabel(f"window {k + 1}")
    for axes in panels[-1]:
        axes.set_xlabel("step")
    more = f" (the first {across} of {channels} channels)" if channels > across else ""
    figure.suptitle(f"The same test windows, reconstructed{more}", fontsize=11)
    _legend(panels[0][-1])
    _save(figure, path)


def _profiles(
    path: Path, originals_KF: Array, by_name: Mapping[str, Array], names: Sequence[str]
) -> None:
    count = min(4, len(originals_KF))
    marker = "." if len(names) <= MAX_NAMED else ""  # the line of a single column has no length
    figure = Figure(figsize=(9, 1.9 * count + 0.8), dpi=130)
    panels = figure.subplots(count, 1, sharex=True, squeeze=False)[:, 0]
    for k, axes in enumerate(panels):
        _plain(axes)
        axes.plot(originals_KF[k], "o", color=INK, markersize=4, label="original", zorder=3)
        for loss, rows_KF in by_name.items():
            colour, line, _ = _style(loss)
            axes.plot(rows_KF[k], line, marker=marker, color=colour, linewidth=1.1, label=loss)
        axes.set_ylabel(f"row {k + 1}")
    step = -(-len(names) // MAX_NAMED)
    places, labels = range(0, len(names), step), _shortened(names[::step])
    panels[-1].set_xticks(places, labels, rotation=90, parse_math=False)
    panels[0].set_title("The same test rows, reconstructed (columns standardised)")
    _legend(panels[0])
    _save(figure, path)


def columns(
    path: Path, by_name: Mapping[str, Array], names: Sequence[str], shape: tuple[int, ...] | None
) -> None:
    """Where the bits go: for each loss a map over the pixels, or bars over the columns.

    Args:
        path: PNG file.
        by_name: Loss -> mean bits of each column on test rows, shape (F,).
        names: The columns.
        shape: See `Schema.shape`; of windows there is a bar for each channel, its mean over time.
    """
    if shape is not None and len(shape) == WINDOW:
        by_name = {loss: own.reshape(shape).mean(axis=0) for loss, own in by_name.items()}
        _bars(path, by_name, _channels(names, shape[1]), "channel, mean over its steps")
        return
    if shape is None:
        _bars(path, by_name, names, "column")
        return
    across = min(4, len(by_name))
    down = -(-len(by_name) // across)
    figure = Figure(figsize=(2.1 * across + 0.9, 2.2 * down + 0.6), dpi=130, layout="constrained")
    panels = figure.subplots(down, across, squeeze=False)
    low = min(float(v.min()) for v in by_name.values())
    high = max(float(v.max()) for v in by_name.values())
    image = None
    for axes in panels.flat:
        axes.set_axis_off()
    for axes, (name, bits_F) in zip(panels.flat, by_name.items(), strict=False):
        bits_HW = bits_F.reshape(shape).mean(axis=-1)
        image = axes.imshow(bits_HW, cmap="viridis", vmin=low, vmax=high)
        title = name.replace("+", "\n+ ")
        axes.set_title(f"{title}: {bits_F.mean():.3f}", fontsize=9)
    if image is not None:
        figure.colorbar(image, ax=panels, label="bits", shrink=0.8)
    figure.suptitle("Bits of each pixel on test rows", fontsize=11)
    _save(figure, path, tight=False)


def _channels(names: Sequence[str], count: int) -> list[str]:
    """Names of a window's channels, from those of its first step: "pressure@0"."""
    return [name.rpartition("@")[0] or name for name in names[:count]]


def _bars(path: Path, by_name: Mapping[str, Array], names: Sequence[str], what: str) -> None:
    mean_F = np.mean(list(by_name.values()), axis=0)
    order = np.argsort(-mean_F)[:MAX_BARS]
    figure, axes = _axes(7.5, 1.2 + 0.26 * len(order))
    places = np.arange(len(order))[::-1]
    for loss, bits_F in by_name.items():
        colour, _, marker = _style(loss)
        axes.plot(bits_F[order], places, marker, color=colour, markersize=5, alpha=0.8, label=loss)
    axes.set_yticks(places, _shortened([names[i] for i in order]), parse_math=False)
    more = f" (the {MAX_BARS} costliest of {len(names)})" if len(names) > MAX_BARS else ""
    axes.set(xlabel="bits on test rows", title=f"Bits of each {what}{more}")
    axes.grid(visible=True, axis="both", color="#E5E5E5", linewidth=0.7)
    _legend(axes)
    _save(figure, path)


def residuals(path: Path, shown: Sequence[Shape]) -> None:
    """Histograms of residuals, each beside the density that its loss assumes and a Gaussian's.

    Args:
        path: PNG file.
        shown: One a panel.
    """
    across = min(2, len(shown))
    down = -(-len(shown) // across)
    figure = Figure(figsize=(4.4 * across + 0.4, 2.7 * down + 0.7), dpi=130, layout="constrained")
    panels = figure.subplots(down, across, sharex=True, sharey=True, squeeze=False)
    lowest = 1.0
    for axes, one in zip(panels.flat, shown, strict=False):
        _plain(axes)
        colour, _, _ = _style(one.loss)
        reach = float(np.abs(one.place_G).max())
        inside = np.clip(one.residual, -reach, reach)  # what lies beyond is in the last bars
        edges = np.linspace(-reach, reach, 65)
        density, _ = np.histogram(inside, edges, density=True)
        lowest = min(lowest, float(density[density > 0].min()))
        axes.stairs(density, edges, fill=True, color=colour, alpha=0.3)
        gauss = np.exp(-0.5 * one.place_G**2) / np.sqrt(2 * np.pi)
        axes.plot(one.place_G, gauss, ":", color=INK, linewidth=1.1)
        title = f"{one.loss}: {100 * one.far:.2g} % beyond ±{FAR:g}"
        if one.assumed_G is None:
            title += " (no one shape assumed)"
        else:
            axes.plot(one.place_G, one.assumed_G, color=colour, linewidth=1.8)
        axes.set_title(title, fontsize=9)
    for axes in list(panels.flat)[len(shown) :]:
        axes.set_axis_off()
    panels[0, 0].set_yscale("log")
    panels[0, 0].set_ylim(lowest / 2, None)
    for axes in panels[-1]:
        axes.set_xlabel("residual, in standard deviations")
    figure.suptitle("Residuals on test rows beside the noise that each loss assumes", fontsize=11)
    # Each panel has the colour of its loss; the legend's grey stands for any of them.
    legend = [
        Patch(facecolor=INK, alpha=0.3, label="residuals"),
        Line2D([], [], color=INK, linewidth=1.8, label="assumed by the loss"),
        Line2D([], [], color=INK, linewidth=1.1, linestyle=":", label="a Gaussian"),
    ]
    panels[0, -1].legend(
        handles=legend, loc="upper left", bbox_to_anchor=(1.01, 1), frameon=False, fontsize=9
    )
    _save(figure, path)


def standouts(
    path: Path,
    originals_KF: Array,
    answers_KF: Array,
    titles: Sequence[str],
    shape: tuple[int, ...],
) -> None:
    """Images or windows, the model's answer to each, and the error.

    Args:
        path: PNG file.
        originals_KF: The rows.
        answers_KF: Their reconstructions.
        titles: What stands above each.
        shape: See `Schema.shape`.
    """
    if len(shape) == WINDOW:
        _standout_windows(path, originals_KF, answers_KF, titles, (shape[0], shape[1]))
        return
    count = len(originals_KF)
    size = (0.9 * count + 1.3, 3.5)
    figure = Figure(figsize=size, dpi=130, layout="constrained")
    panels = figure.subplots(3, count, squeeze=False)
    low, high = float(np.nanmin(originals_KF)), float(np.nanmax(originals_KF))
    error_KF = answers_KF - originals_KF
    most = float(np.nanmax(np.abs(error_KF))) or 1.0
    for k in range(count):
        panels[0, k].imshow(
            _image(originals_KF[k], shape, low, high), "gray_r", vmin=low, vmax=high
        )
        panels[1, k].imshow(_image(answers_KF[k], shape, low, high), "gray_r", vmin=low, vmax=high)
        error_HW = error_KF[k].reshape(shape).mean(axis=-1)
        panels[2, k].imshow(error_HW, "RdBu_r", vmin=-most, vmax=most)
        panels[0, k].set_title(titles[k], fontsize=8, parse_math=False)
    for axes in panels.flat:
        axes.set_xticks([])
        axes.set_yticks([])
        axes.set_facecolor(GAP)
        for side in axes.spines.values():
            side.set_visible(False)
    for axes, name in zip(panels[:, 0], ("original", "reconstruction", "error"), strict=True):
        axes.set_ylabel(name, rotation=0, ha="right", va="center", fontsize=9, color=INK)
    figure.suptitle("Rows with the shortest, a middling and the longest code", fontsize=11)
    _save(figure, path, tight=False)


def _standout_windows(
    path: Path,
    originals_KF: Array,
    answers_KF: Array,
    titles: Sequence[str],
    shape: tuple[int, int],
) -> None:
    """The channel with the largest error of each window, its answer, and the error below."""
    across = min(3, len(originals_KF))
    down = -(-len(originals_KF) // across)
    figure = Figure(figsize=(3.2 * across, 1.9 * down + 0.6), dpi=130, layout="constrained")
    panels = figure.subplots(down, across, sharex=True, squeeze=False)
    rows = zip(originals_KF, answers_KF, titles, strict=True)
    for axes, (original_F, answer_F, title) in zip(panels.flat, rows, strict=False):
        _plain(axes)
        error_TC = (answer_F - original_F).reshape(shape)
        channel = int(np.nanargmax(np.nansum(np.abs(error_TC), axis=0)))
        axes.plot(original_F.reshape(shape)[:, channel], "o", color=INK, markersize=2.5)
        axes.plot(answer_F.reshape(shape)[:, channel], color=COLOURS[0], linewidth=1.2)
        axes.plot(error_TC[:, channel], color=COLOURS[3], linewidth=0.8, linestyle=":")
        axes.set_title(f"{title}, channel {channel + 1}", fontsize=8, parse_math=False)
    for axes in list(panels.flat)[len(originals_KF) :]:
        axes.set_axis_off()
    figure.suptitle("Original (dots), reconstruction (line) and error (dotted)", fontsize=11)
    _save(figure, path)


def _style(name: str) -> tuple[str, str, str]:
    """Colour, line and marker: the same in every picture, whichever losses took part.

    Of a candidate with several losses the first one gives the colour, the last one the rest.
    """
    first, _, rest = name.partition("+")
    known = LOSSES.names()
    number = known.index(rest.rpartition("+")[2]) if rest else 0
    colour = COLOURS[known.index(first) % len(COLOURS)]
    return colour, LINES[number % len(LINES)], MARKERS[number % len(MARKERS)]


def _shortened(names: Sequence[str]) -> list[str]:
    """Names for ticks, to be drawn with `parse_math=False`: they may hold a $."""
    return [n if len(n) <= LONGEST_NAME else f"{n[: LONGEST_NAME - 1]}…" for n in names]


def _whole_numbers(axes: Axes) -> None:
    """Ticks of an axis that counts something."""
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def _axes(width: float, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), dpi=130)
    axes = figure.subplots()
    _plain(axes)
    return figure, axes


def _plain(axes: Axes) -> None:
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.grid(visible=True, color="#E5E5E5", linewidth=0.7)
    axes.set_axisbelow(True)


def _legend(axes: Axes) -> None:
    axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1), frameon=False, fontsize=9)


def _save(figure: Figure, path: Path, *, tight: bool = True) -> None:
    """Writes the PNG in one step, without a time stamp: the same picture is the same file."""
    FigureCanvasAgg(figure)
    with replacing(path) as beside, warnings.catch_warnings():
        # Columns may be named in any script; what the font lacks is drawn as a box.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        box = "tight" if tight else None
        figure.savefig(beside, format="png", bbox_inches=box, metadata={"Software": None})
