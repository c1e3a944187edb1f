"""How the pictures of the reports look, and how they become files: colours, axes, legends.

No global state: the same picture is the same PNG file.
"""

import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from hourglass.losses import LOSSES
from hourglass.paths import replacing

# Okabe & Ito 2008 and Tol 2021: colours that people with any colour vision can tell apart. Losses
# that often compete and are of a similar hue differ in their line as well.
LOOKS = {
    "bce": ("#0072B2", "-", "o"),
    "continuous_bernoulli": ("#CC79A7", "--", "D"),
    "gaussian_nll": ("#D55E00", "--", "s"),
    "huber": ("#009E73", "-", "^"),
    "log_cosh": ("#E69F00", "-", "v"),
    "mae": ("#7F7F7F", "-.", "P"),
    "mse": ("#332288", ":", "X"),
    "student_t": ("#882255", "-", "*"),
}
# Of losses without a look of their own: counts, levels, and what is added.
COLOURS = ("#44AA99", "#B8A900", "#56B4E9", "#AA4499", "#999933")
INK = "#333333"
BEFORE_LINES = {"facecolor": "white", "edgecolor": "none", "pad": 0.5}  # of words on a line
LINES, MARKERS = ("-", "--", ":", "-."), ("o", "s", "^", "D")
VERDICT_COLOURS = {"best": "#009E73", "tied": "#0072B2", "worse": "#D55E00", "baseline": "#7F7F7F"}
LONGEST_NAME = 28


def style(name: str) -> tuple[str, str, str]:
    """Colour, line and marker: the same in every picture, whichever losses took part.

    Of a candidate with several losses the first one gives the colour, the last one the rest.
    """
    first, _, rest = name.partition("+")
    known = LOSSES.names()
    others = [loss for loss in known if loss not in LOOKS]
    colour, line, marker = LOOKS.get(first) or (
        COLOURS[others.index(first) % len(COLOURS)], LINES[0], MARKERS[0],
    )  # fmt: skip
    if rest:
        number = known.index(rest.rpartition("+")[2])
        line, marker = LINES[number % len(LINES)], MARKERS[number % len(MARKERS)]
    return colour, line, marker


def shortened(names: Iterable[str]) -> list[str]:
    """Names for ticks, to be drawn with `parse_math=False`: they may hold a $."""
    return [n if len(n) <= LONGEST_NAME else f"{n[: LONGEST_NAME - 1]}…" for n in names]


def whole_numbers(shown: Axes) -> None:
    """Ticks of an axis that counts something."""
    shown.xaxis.set_major_locator(MaxNLocator(integer=True))


def axes(width: float, height: float) -> tuple[Figure, Axes]:
    """A picture of one panel, its size in inches."""
    figure = Figure(figsize=(width, height), dpi=130)
    own = figure.subplots()
    plain(own)
    return figure, own


def plain(shown: Axes) -> None:
    """Two spines and a faint grid."""
    for side in ("top", "right"):
        shown.spines[side].set_visible(False)
    shown.grid(visible=True, color="#E5E5E5", linewidth=0.7)
    shown.set_axisbelow(True)


def bare(panels: Sequence[Axes], behind: str) -> None:
    """Of images: neither ticks nor spines; `behind` shows where a pixel was not observed."""
    for shown in panels:
        shown.set_xticks([])
        shown.set_yticks([])
        shown.set_facecolor(behind)
        for side in shown.spines.values():
            side.set_visible(False)


def legend(shown: Axes, title: str = "") -> None:
    """At the right of the panel."""
    shown.legend(
        loc="upper left", bbox_to_anchor=(1.01, 1), frameon=False, fontsize=9,
        title=title or None, title_fontsize=9, alignment="left",
    )  # fmt: skip


def save(figure: Figure, path: Path, *, tight: bool = True) -> None:
    """Writes the PNG in one step, without a time stamp: the same picture is the same file."""
    FigureCanvasAgg(figure)
    with replacing(path) as beside, warnings.catch_warnings():
        # Columns may be named in any script; what the font lacks is drawn as a box.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        box = "tight" if tight else None
        figure.savefig(beside, format="png", bbox_inches=box, metadata={"Software": None})
