"""Figures of columns in bounded memory: streamed moments, and a sample of rows for the rest.

Shapes: N rows, F columns, S sampled rows. Arrays may be memory maps; they are read in slices.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

SLICE_VALUES = 1 << 20  # numbers read at a time: 8 MiB; the sums depend on it in their last bits
SAMPLE_VALUES = 1 << 23  # numbers of a sample: 64 MiB; smaller tables are taken whole

SPIKE = 0.25  # share of the rows at the median from which quartiles say little


@dataclass(frozen=True)
class Moments:
    """Exact figures over all rows, each of shape (F,).

    Attributes:
        low_F: Minimum.
        high_F: Maximum.
        mean_F: Mean.
        sd_F: Standard deviation with divisor N; exactly 0 where all values are equal.
    """

    low_F: Array
    high_F: Array
    mean_F: Array
    sd_F: Array

    def take(self, chosen_F: NDArray[np.bool_]) -> "Moments":
        """The figures of the chosen columns."""
        each = (self.low_F, self.high_F, self.mean_F, self.sd_F)
        return Moments(*(figure_F[chosen_F] for figure_F in each))


def slices(rows_NF: NDArray[np.floating], values: int = SLICE_VALUES) -> Iterator[Array]:
    """Yields consecutive rows, about `values` numbers at a time, as float64."""
    step = max(1, values // max(1, rows_NF.shape[1]))
    for start in range(0, len(rows_NF), step):
        yield np.array(rows_NF[start : start + step], dtype=np.float64)


def moments(rows_NF: NDArray[np.floating]) -> Moments:
    """Reads all rows three times: for the range, the mean and the spread.

    Values are moved to [0, 1] first, so that neither a large offset nor a large scale costs digits.
    """
    low_F = np.min([part.min(axis=0) for part in slices(rows_NF)], axis=0)
    high_F = np.max([part.max(axis=0) for part in slices(rows_NF)], axis=0)
    span_F = np.where(high_F > low_F, high_F - low_F, 1.0)
    mean_F = _mean((part - low_F) / span_F for part in slices(rows_NF))
    square_F = _mean(((part - low_F) / span_F - mean_F) ** 2 for part in slices(rows_NF))
    sd_F = np.where(high_F > low_F, span_F * np.sqrt(square_F), 0.0)
    return Moments(low_F, high_F, low_F + span_F * mean_F, sd_F)


def quartiles(train_SF: Array) -> Array:
    """The quartiles of each column, shape (3, F): 25 %, median, 75 %."""
    return np.asarray(np.quantile(train_SF, (0.25, 0.5, 0.75), axis=0))


def spread(train_SF: Array) -> Array:
    """The interquartile range of each column, shape (F,); NaN where it does not tell the spread.

    That is so where a quarter of the rows or more share the median (mostly zeros, few levels): the
    range is then 0, or by luck of the shares a small part of how far the values reach.
    """
    low_F, median_F, high_F = quartiles(train_SF)
    share_F = np.mean(train_SF == median_F, axis=0)
    return np.where((share_F >= SPIKE) | (high_F <= low_F), np.nan, high_F - low_F)


def _mean(parts: Iterator[Array]) -> Array:
    total_F, count = np.float64(0), 0
    for part in parts:
        total_F = total_F + part.sum(axis=0)
        count += len(part)
    return np.asarray(total_F / count)


def sample(rows_NF: NDArray[np.floating], values: int = SAMPLE_VALUES) -> Array:
    """All rows, or as many evenly spaced ones as make up about `values` numbers, shape (S, F)."""
    rows, columns = rows_NF.shape
    wanted = max(1, values // max(1, columns))
    if rows <= wanted:
        return np.array(rows_NF, dtype=np.float64)
    positions = np.linspace(0, rows - 1, wanted).round().astype(np.int64)
    return np.array(rows_NF[positions], dtype=np.float64)
