"""Hides values from a model, which must tell them from the rest of their row.

Shapes: N rows, F features, W numbers of a reconstruction (see `hourglass.wide`).
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from hourglass import wide
from hourglass.moments import evenly
from hourglass.schema import Array, Column

# Each value is hidden once, in one of so many passes: a share of 14 % at a time. All values are
# scored, so that few rows suffice for the ruler.
PASSES = 7
# What the model says of hidden values is shown to it in their place, so often in all. An empty
# place is shown as its column's mean, which is a wrong value more than none: after one round the
# answer still leans to it.
ROUNDS = 16
VALUES = 1 << 19  # hidden in all; of larger tables evenly spaced rows are asked


def asked(rows_NF: Array) -> NDArray[np.int64] | slice:
    """Which rows are asked: all, or evenly spaced ones of many."""
    return evenly(len(rows_NF), VALUES // max(1, rows_NF.shape[1]))


def answers(
    reconstruct: Callable[[Array], Array], rows_NF: Array, columns: Sequence[Column]
) -> tuple[Array, Array]:
    """What a model says of each value of some rows while that value is hidden from it.

    Hidden values are found by iteration: an autoencoder's answer is put in their place and the row
    is asked again, which leads to the row of its manifold that agrees with what is shown (as EM
    does for a PCA: Roweis 1998). Values that are fed back stay within those observed.

    Args:
        reconstruct: From rows with NaN in hidden places, (N, F), to reconstructions, (N, W).
        rows_NF: Rows in original units; NaN where a value is missing, and stays so.
        columns: The F columns.

    Returns:
        The answers of the first round, which a served model gives for gaps, and of the last; both
        (N, W).
    """
    widths = [c.width for c in columns]
    seen_NF = ~np.isnan(rows_NF)
    low_F, high_F = np.fmin.reduce(rows_NF, axis=0), np.fmax.reduce(rows_NF, axis=0)
    pass_NF = np.random.default_rng(0).integers(PASSES, size=rows_NF.shape)
    first_NW, last_NW = (np.empty((len(rows_NF), sum(widths))) for _ in range(2))
    for number in range(PASSES):
        hidden_NF = pass_NF == number
        hidden_NW = hidden_NF.repeat(widths, axis=1)
        shown_NF = np.where(hidden_NF, np.nan, rows_NF)
        for turn in range(ROUNDS):
            answer_NW = reconstruct(shown_NF)
            if turn == 0:
                first_NW[hidden_NW] = answer_NW[hidden_NW]
            back_NF = np.clip(wide.collapse(answer_NW, columns), low_F, high_F)
            shown_NF = np.where(hidden_NF & seen_NF, back_NF, rows_NF)
        last_NW[hidden_NW] = answer_NW[hidden_NW]
    return first_NW, last_NW
