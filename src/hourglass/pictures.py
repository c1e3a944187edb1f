"""Draws rows and columns: what the models answer to the same rows, and where the bits go.

Shapes: K rows that are shown, F features.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from hourglass import drawing

Array = NDArray[np.float64]

GAP = "#F2D7C4"  # of a pixel that was not observed
MAX_BARS = 30  # columns drawn as bars; of more the costliest
MAX_NAMED = 30  # names below a profile; of more columns every second or third
MAX_CHANNELS = 3  # of a window that are drawn
WINDOW, RGB = 2, 3  # dimensions of a window, channels of a colour image


@dataclass(frozen=True)
class Rows:
    """Rows of the data that are drawn.

    Attributes:
        values_KF: Those of a table standardised, so that all columns share a scale.
        number_K: Their numbers in the data.
        names: The columns.
        shape: See `Schema.shape`.
    """

    values_KF: Array
    number_K: Sequence[int]
    names: Sequence[str]
    shape: tuple[int, ...] | None

    def rmse(self, answer_KW: Array, count: int | None = None) -> str:
        """Of the first `count` rows, in the units in which they are drawn."""
        error = np.square(answer_KW - self.values_KF)[:count]
        return f"{np.sqrt(np.nanmean(error)):#.3g}".rstrip(".")


def reconstructions(path: Path, rows: Rows, by_name: Mapping[str, Array]) -> None:
    """The same rows, original first, then each model's reconstruction of them, with its error.

    Images are drawn as images, windows as curves, other rows as profiles.

    Args:
        path: PNG file.
        rows: The originals.
        by_name: Loss -> reconstructions of these rows, scaled as they are.
    """
    if rows.shape is None:
        _profiles(path, rows, by_name)
    elif len(rows.shape) == WINDOW:
        _windows(path, rows, by_name, (rows.shape[0], rows.shape[1]))
    else:
        _images(path, rows, by_name, rows.shape)


def _images(path: Path, rows: Rows, by_name: Mapping[str, Array], shape: tuple[int, ...]) -> None:
    shown = {"original": rows.values_KF}
    shown |= {f"{name}\nRMSE {rows.rmse(own_KF)}": own_KF for name, own_KF in by_name.items()}
    count, left = len(rows.values_KF), 0.4 + 0.085 * max(map(len, ("RMSE 0.000", *by_name)))
    width, height = left + 0.1 + 0.75 * count, 0.78 * len(shown) + 0.75
    figure = Figure(figsize=(width, height), dpi=130)
    low, high = float(np.nanmin(rows.values_KF)), float(np.nanmax(rows.values_KF))
    panels = np.atleast_2d(figure.subplots(len(shown), count, squeeze=False))
    drawing.bare(list(panels.flat), GAP)
    for axes_K, (name, rows_KF) in zip(panels, shown.items(), strict=True):
        for axes, row_F in zip(axes_K, rows_KF, strict=True):
            axes.imshow(_image(row_F, shape, low, high), cmap="gray_r", vmin=low, vmax=high)
        axes_K[0].set_ylabel(
            name, rotation=0, ha="right", va="center", fontsize=9, color=drawing.INK,
            fontweight="bold" if name == "original" else "normal",
        )  # fmt: skip
    for axes, number in zip(panels[0], rows.number_K, strict=True):
        axes.set_title(f"row {number}", fontsize=8, color=drawing.INK)
    figure.suptitle("The same test rows, reconstructed", fontsize=11)
    figure.subplots_adjust(
        left=left / width, right=0.99, top=1 - 0.62 / height, bottom=0.02, wspace=0.06, hspace=0.06
    )
    drawing.save(figure, path, tight=False)


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


def _windows(path: Path, rows: Rows, by_name: Mapping[str, Array], shape: tuple[int, int]) -> None:
    """Curves over time: a row of panels for each window, a panel for each channel."""
    channels = shape[1]
    count, across = min(4, len(rows.values_KF)), min(MAX_CHANNELS, channels)
    titles = drawing.shortened(_channels(rows.names, channels))
    size = (2.2 + 3.2 * across, 1.7 * count + 0.8)
    figure = Figure(figsize=size, dpi=130, layout="constrained")
    panels = figure.subplots(count, across, sharex=True, squeeze=False)
    for k, row in enumerate(panels):
        for channel, axes in enumerate(row):
            drawing.plain(axes)
            original = rows.values_KF[k].reshape(shape)[:, channel]
            axes.plot(original, "o", color=drawing.INK, markersize=2.5, label="original", zorder=3)
            for loss, own_KF in by_name.items():
                curve, (colour, line, _) = own_KF[k].reshape(shape)[:, channel], drawing.style(loss)
                label = f"{loss} (RMSE {rows.rmse(own_KF, count)})"
                axes.plot(curve, line, color=colour, linewidth=1.1, label=label)
            if k == 0:
                axes.set_title(titles[channel], fontsize=9, parse_math=False)
        row[0].set_ylabel(f"window {rows.number_K[k]}")
    for axes in panels[-1]:
        axes.set_xlabel("step")
    more = f" (the first {across} of {channels} channels)" if channels > across else ""
    figure.suptitle(f"The same test windows, reconstructed{more}", fontsize=11)
    drawing.legend(panels[0][-1])
    drawing.save(figure, path)


def _profiles(path: Path, rows: Rows, by_name: Mapping[str, Array]) -> None:
    count, names = min(4, len(rows.values_KF)), rows.names
    marked = len(names) <= MAX_NAMED  # the line of a single column has no length
    figure = Figure(figsize=(9, 1.9 * count + 0.8), dpi=130)
    panels = figure.subplots(count, 1, sharex=True, squeeze=False)[:, 0]
    for k, axes in enumerate(panels):
        drawing.plain(axes)
        original = rows.values_KF[k]
        axes.plot(original, "o", color=drawing.INK, markersize=4, label="original", zorder=3)
        for loss, own_KF in by_name.items():
            colour, line, marker = drawing.style(loss)
            axes.plot(
                own_KF[k], line, marker=marker if marked else "", color=colour, linewidth=1.1,
                markersize=3, label=f"{loss} (RMSE {rows.rmse(own_KF, count)})",
            )  # fmt: skip
        axes.set_ylabel(f"row {rows.number_K[k]}")
    step = -(-len(names) // MAX_NAMED)
    places, labels = range(0, len(names), step), drawing.shortened(names[::step])
    panels[-1].set_xticks(places, labels, rotation=90, parse_math=False)
    panels[0].set_title("The same test rows, reconstructed (in standard deviations of each column)")
    drawing.legend(panels[0])
    drawing.save(figure, path)


def columns(
    path: Path,
    by_name: Mapping[str, Array],
    names: Sequence[str],
    shape: tuple[int, ...] | None,
    density: Sequence[bool],
) -> None:
    """Where the bits go: for each loss a map over the pixels, or bars over the columns.

    Args:
        path: PNG file.
        by_name: Loss -> mean bits of each column on test rows, shape (F,).
        names: The columns.
        shape: See `Schema.shape`; of windows there is a bar for each channel, its mean over time.
        density: Which columns are coded by a density, so that their bits may fall below 0.
    """
    if shape is not None and len(shape) == WINDOW:
        by_name = {loss: own.reshape(shape).mean(axis=0) for loss, own in by_name.items()}
        names, density = _channels(names, shape[1]), density[: shape[1]]
        _bars(path, by_name, names, "channel, mean over its steps", density)
        return
    if shape is None:
        _bars(path, by_name, names, "column", density)
        return
    _maps(path, by_name, shape)


def _maps(path: Path, by_name: Mapping[str, Array], shape: tuple[int, ...]) -> None:
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
    drawing.save(figure, path, tight=False)


def _channels(names: Sequence[str], count: int) -> list[str]:
    """Names of a window's channels, from those of its first step: "pressure@0"."""
    return [name.rpartition("@")[0] or name for name in names[:count]]


def _bars(
    path: Path,
    by_name: Mapping[str, Array],
    names: Sequence[str],
    what: str,
    density: Sequence[bool],
) -> None:
    mean_F = np.mean(list(by_name.values()), axis=0)
    order = np.argsort(-mean_F)[:MAX_BARS]
    figure, axes = drawing.axes(7.5, 1.2 + 0.26 * len(order))
    places = np.arange(len(order))[::-1]
    for loss, bits_F in by_name.items():
        colour, _, marker = drawing.style(loss)
        axes.plot(bits_F[order], places, marker, color=colour, markersize=5, alpha=0.8, label=loss)
    marks = [" *" if density[i] else "" for i in order]
    labels = drawing.shortened([names[i] for i in order])
    axes.set_yticks(
        places, [n + mark for n, mark in zip(labels, marks, strict=True)], parse_math=False
    )
    more = f" (the {MAX_BARS} costliest of {len(names)})" if len(names) > MAX_BARS else ""
    note = "\n* coded by a density: only differences mean something" if any(marks) else ""
    axes.set(xlabel=f"bits on test rows{note}", title=f"Bits of each {what}{more}")
    axes.grid(visible=True, axis="both", color="#E5E5E5", linewidth=0.7)
    drawing.legend(axes)
    drawing.save(figure, path)


def standouts(path: Path, rows: Rows, answers_KF: Array, titles: Sequence[str]) -> None:
    """Images or windows, the model's answer to each, and the error.

    Args:
        path: PNG file.
        rows: The rows, not of a table.
        answers_KF: Their reconstructions.
        titles: What stands above each.
    """
    shape, originals_KF = rows.shape, rows.values_KF
    assert shape is not None, "rows of a table are told in words"  # noqa: S101  an invariant
    titles = [f"row {n}\n{title}" for n, title in zip(rows.number_K, titles, strict=True)]
    if len(shape) == WINDOW:
        _standout_windows(path, originals_KF, answers_KF, titles, (shape[0], shape[1]))
        return
    count = len(originals_KF)
    figure = Figure(figsize=(0.9 * count + 2.2, 3.7), dpi=130, layout="constrained")
    panels = figure.subplots(3, count, squeeze=False)
    drawing.bare(list(panels.flat), GAP)
    low, high = float(np.nanmin(originals_KF)), float(np.nanmax(originals_KF))
    error_KF = answers_KF - originals_KF
    most = float(np.nanmax(np.abs(error_KF))) or 1.0
    for k in range(count):
        for axes, row_F in zip(panels[:2, k], (originals_KF[k], answers_KF[k]), strict=True):
            axes.imshow(_image(row_F, shape, low, high), "gray_r", vmin=low, vmax=high)
        error_HW = error_KF[k].reshape(shape).mean(axis=-1)
        image = panels[2, k].imshow(error_HW, "RdBu_r", vmin=-most, vmax=most)
        panels[0, k].set_title(titles[k], fontsize=8, parse_math=False)
    for axes, name in zip(panels[:, 0], ("original", "reconstruction", "error"), strict=True):
        axes.set_ylabel(name, rotation=0, ha="right", va="center", fontsize=9, color=drawing.INK)
    bar = figure.colorbar(image, ax=panels[2, :], shrink=0.95, aspect=8)
    bar.set_label("red: too high\nblue: too low", fontsize=8)
    figure.suptitle("Rows with the shortest, a typical and the longest code", fontsize=11)
    drawing.save(figure, path, tight=False)


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
        drawing.plain(axes)
        error_TC = (answer_F - original_F).reshape(shape)
        channel = int(np.nanargmax(np.nansum(np.abs(error_TC), axis=0)))
        axes.plot(original_F.reshape(shape)[:, channel], "o", color=drawing.INK, markersize=2.5)
        axes.plot(answer_F.reshape(shape)[:, channel], color="#0072B2", linewidth=1.2)
        axes.plot(error_TC[:, channel], color="#D55E00", linewidth=0.8, linestyle=":")
        told = f"{title.replace(chr(10), ', ')}, channel {channel + 1}"
        axes.set_title(told, fontsize=8, parse_math=False)
    for axes in list(panels.flat)[len(originals_KF) :]:
        axes.set_axis_off()
    figure.suptitle("Original (dots), reconstruction (line) and error (dotted)", fontsize=11)
    drawing.save(figure, path)
