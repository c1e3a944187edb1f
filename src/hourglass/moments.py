"""Figures of columns in bounded memory: streamed moments, and a sample of rows for the rest.

Missing values (NaN) are left out. Shapes: N rows, B rows of a slice, F columns, S sampled rows.
Arrays may be memory maps; they are read in slices.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

SLICE_VALUES = 1 << 20  # numbers read at a time: 8 MiB; the sums depend on it in their last bits
CACHED_VALUES = 1 << 14  # numbers that stay in a core's cache: 128 KiB
FOLD = 8  # rows that are laid side by side
SAMPLE_VALUES = 1 << 23  # numbers of a sample: 64 MiB; smaller tables are taken whole
LEAST_SHOWN = 20  # values of a column that a sample holds, where there are so many

SPIKE = 0.25  # share of the rows at the median from which quartiles say little


@dataclass(frozen=True)
class Moments:
    """Exact figures over all observed values, each of shape (F,).

    Attributes:
        count_F: Number of observed values.
        low_F: Minimum; NaN where nothing was observed.
        high_F: Maximum; likewise.
        mean_F: Mean; likewise.
        sd_F: Standard deviation with divisor N; exactly 0 where all values are equal.
    """

    count_F: NDArray[np.int64]
    low_F: Array
    high_F: Array
    mean_F: Array
    sd_F: Array

    def take(self, chosen_F: NDArray[np.bool_] | slice) -> "Moments":
        """The figures of the chosen columns."""
        return Moments(
            self.count_F[chosen_F],
            self.low_F[chosen_F],
            self.high_F[chosen_F],
            self.mean_F[chosen_F],
            self.sd_F[chosen_F],
        )

    def to_json(self) -> dict[str, Any]:
        """Plain data for json.dump, null where nothing was observed; `from_json` is its inverse."""
        return {
            name: [None if np.isnan(v) else v for v in figure_F.tolist()]
            for name, figure_F in vars(self).items()
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """Rebuilds figures from what `to_json` gave, every bit of them."""
        count, *figures = (data[f.name] for f in fields(cls))
        return cls(np.array(count, np.int64), *(np.array(v, np.float64) for v in figures))

    def pooled(self, groups_F: NDArray[np.int64]) -> "Moments":
        """The figures of groups of columns taken as one, given to each of their members.

        Args:
            groups_F: The group of each column, from 0.
        """
        groups = int(groups_F.max()) + 1
        count_G = np.bincount(groups_F, self.count_F, groups)
        low_G: Array = np.full(groups, np.inf)
        high_G: Array = np.full(groups, -np.inf)
        np.fmin.at(low_G, groups_F, self.low_F)
        np.fmax.at(high_G, groups_F, self.high_F)
        share_F = self.count_F / np.maximum(count_G, 1)[groups_F]
        mean_G = np.asarray(
            np.bincount(groups_F, share_F * np.nan_to_num(self.mean_F), groups), np.float64
        )
        apart_F = np.nan_to_num(self.mean_F - mean_G[groups_F])
        variance_G = np.bincount(
            groups_F, share_F * (np.nan_to_num(self.sd_F) ** 2 + apart_F**2), groups
        )
        seen_G, varies_G = count_G > 0, high_G > low_G
        low_G = np.where(seen_G, low_G, np.nan)
        return Moments(
            count_G.astype(np.int64)[groups_F],
            low_G[groups_F],
            np.where(seen_G, high_G, np.nan)[groups_F],
            np.where(varies_G, mean_G, low_G)[groups_F],
            np.where(varies_G, np.sqrt(variance_G), 0.0)[groups_F],
        )


class Gathering:
    """Gathers `Moments` from slices of rows, in one pass (Chan, Golub & LeVeque 1983).

    Each slice's mean and squared deviations are taken about the slice's own mean, and corrected for
    its rounding, so that neither a large offset nor a large scale costs digits.
    """

    def __init__(self, columns: int) -> None:
        self._count = np.zeros(columns, np.int64)
        self._low, self._high = np.full(columns, np.inf), np.full(columns, -np.inf)
        self._mean, self._square = np.zeros(columns), np.zeros(columns)
        rows = max(1, CACHED_VALUES // max(1, columns) // FOLD) * FOLD
        self._room_BF = np.empty((rows, columns))

    def add(self, rows_BF: NDArray[Any]) -> None:
        """Takes rows in; their figures are those of float64."""
        step = len(self._room_BF)
        for start in range(0, len(rows_BF), step):
            self._add(rows_BF[start : start + step].astype(np.float64, copy=False))

    def _add(self, rows_BF: Array) -> None:
        low, high = _extremes(rows_BF)
        if np.isnan(low).any():
            self._add_with_gaps(rows_BF)
            return
        mean, count = rows_BF.mean(axis=0), np.full(len(low), len(rows_BF))
        away_BF = np.subtract(rows_BF, mean, out=self._room_BF[: len(rows_BF)])
        self._merge(count, low, high, *_corrected(mean, away_BF, count))

    def _add_with_gaps(self, rows_BF: Array) -> None:
        seen_BF = ~np.isnan(rows_BF)
        count = seen_BF.sum(axis=0)
        mean = np.where(seen_BF, rows_BF, 0.0).sum(axis=0) / np.maximum(count, 1)
        away_BF = np.where(seen_BF, rows_BF - mean, 0.0)
        low, high = np.fmin.reduce(rows_BF, axis=0), np.fmax.reduce(rows_BF, axis=0)
        self._merge(count, low, high, *_corrected(mean, away_BF, count))

    def _merge(
        self, count: NDArray[np.int64], low: Array, high: Array, mean: Array, square: Array
    ) -> None:
        self._low, self._high = np.fmin(self._low, low), np.fmax(self._high, high)
        total = self._count + count
        share = count / np.maximum(total, 1)
        apart = mean - self._mean
        self._square += square + apart**2 * self._count * share
        self._mean = self._mean + apart * share
        self._count = total

    def moments(self) -> Moments:
        """The figures of all rows taken in."""
        seen, varies = self._count > 0, self._high > self._low
        variance = self._square / np.maximum(self._count, 1)
        return Moments(
            self._count,
            np.where(seen, self._low, np.nan),
            np.where(seen, self._high, np.nan),
            np.where(varies, self._mean, np.where(seen, self._low, np.nan)),
            np.where(varies, np.sqrt(variance), 0.0),
        )


def _extremes(rows_BF: Array) -> tuple[Array, Array]:
    """Minimum and maximum of each column, (F,); NaN where one is missing.

    Rows are laid side by side, `FOLD` together: NumPy compares long rows several times faster.
    """
    fold = FOLD if len(rows_BF) % FOLD == 0 else 1
    wide = rows_BF.reshape(len(rows_BF) // fold, -1)
    low, high = wide.min(axis=0), wide.max(axis=0)
    return low.reshape(fold, -1).min(axis=0), high.reshape(fold, -1).max(axis=0)


def _corrected(mean: Array, away_BF: Array, count: NDArray[np.int64]) -> tuple[Array, Array]:
    """Mean and sum of squared deviations, from deviations about a mean that was rounded, (F,)."""
    shift = away_BF.sum(axis=0) / np.maximum(count, 1)
    square = np.einsum("bf,bf->f", away_BF, away_BF) - count * shift**2
    return mean + shift, np.maximum(square, 0.0)


def slices(rows_NF: NDArray[Any], values: int = SLICE_VALUES) -> Iterator[Array]:
    """Yields consecutive rows, about `values` numbers at a time, as float64."""
    step = max(1, values // max(1, rows_NF.shape[1]))
    for start in range(0, len(rows_NF), step):
        yield np.array(rows_NF[start : start + step], dtype=np.float64)


def moments(rows_NF: NDArray[Any]) -> Moments:
    """The figures of all rows, read once."""
    gathering = Gathering(rows_NF.shape[1])
    for part_BF in slices(rows_NF):
        gathering.add(part_BF)
    return gathering.moments()


def quantiles(train_SF: Array, shares: tuple[float, ...]) -> Array:
    """Quantiles of each column's observed values, shape (len(shares), F)."""
    if np.isnan(train_SF).any():
        empty_F = np.isnan(train_SF).all(axis=0)
        filled_SF = np.where(empty_F, 0.0, train_SF)
        return np.where(empty_F, np.nan, np.nanquantile(filled_SF, shares, axis=0))
    return np.asarray(np.quantile(train_SF, shares, axis=0))


def quartiles(train_SF: Array) -> Array:
    """The quartiles of each column, shape (3, F): 25 %, median, 75 %."""
    return quantiles(train_SF, (0.25, 0.5, 0.75))


def spread(train_SF: Array) -> Array:
    """The interquartile range of each column, shape (F,); NaN where it does not tell the spread.

    That is so where a quarter of the rows or more share the median (mostly zeros, few levels): the
    range is then 0, or by luck of the shares a small part of how far the values reach.
    """
    low_F, median_F, high_F = quartiles(train_SF)
    seen_F = np.maximum((~np.isnan(train_SF)).sum(axis=0), 1)
    share_F = (train_SF == median_F).sum(axis=0) / seen_F
    tells_F = (share_F < SPIKE) & (high_F > low_F)
    return np.where(tells_F, high_F - low_F, np.nan)


def sample(
    rows_NF: NDArray[Any], values: int = SAMPLE_VALUES, seen: Moments | None = None
) -> Array:
    """All rows, or as many evenly spaced ones as make up about `values` numbers, shape (S, F).

    Args:
        rows_NF: The rows.
        values: Numbers wanted.
        seen: Figures of all rows, see `telling`.
    """
    at = telling(rows_NF, values // max(1, rows_NF.shape[1]), seen)
    return np.array(rows_NF[at], dtype=np.float64)


def telling(
    rows_NF: NDArray[Any], wanted: int, seen: Moments | None = None
) -> NDArray[np.int64] | slice:
    """Picks all rows, or about `wanted` evenly spaced ones, and some that tell of seldom values.

    A column that is seldom observed may have no value in evenly spaced rows, and a flag that is
    seldom set may be a constant there. Of each such column the first rows are added that hold what
    is missing, up to `LEAST_SHOWN`.

    Args:
        rows_NF: The rows; read to the end only where a column wants further ones.
        wanted: Rows wanted.
        seen: Figures of all rows; None: constants are taken for what they seem.
    """
    at = evenly(len(rows_NF), wanted)
    if isinstance(at, slice):
        return at
    some_SF = np.array(rows_NF[at], dtype=np.float64)
    least = min(LEAST_SHOWN, len(some_SF))
    scarce_F = (~np.isnan(some_SF)).sum(axis=0) < least
    low_F, high_F = np.fmin.reduce(some_SF), np.fmax.reduce(some_SF)
    varies_F = np.zeros_like(scarce_F) if seen is None else seen.high_F > seen.low_F
    alike_F = (low_F == high_F) & varies_F
    chosen = np.flatnonzero(scarce_F | alike_F)
    known_C = np.where(alike_F, low_F, np.nan)[chosen]
    left_C = np.full(len(chosen), least)
    step = max(1, SLICE_VALUES // rows_NF.shape[1])
    for start in range(0, len(rows_NF), step):
        if not left_C.any():
            break
        part_BC = rows_NF[start : start + step][:, chosen]
        new_BC = ~np.isnan(part_BC) & (part_BC != known_C)
        new_BC &= new_BC.cumsum(axis=0) <= left_C
        left_C -= new_BC.sum(axis=0)
        at = np.union1d(at, start + np.flatnonzero(new_BC.any(axis=1)))
    return at


def evenly(rows: int, wanted: int) -> NDArray[np.int64] | slice:
    """Picks all rows, or about `wanted` evenly spaced ones (at least one)."""
    wanted = max(1, wanted)
    if rows <= wanted:
        return slice(None)
    return np.linspace(0, rows - 1, wanted).round().astype(np.int64)
