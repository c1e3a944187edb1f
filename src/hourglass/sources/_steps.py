"""How the times of series go on from row to row: their usual step, gaps, repeats.

Shapes: N rows of a block.
"""

from collections import Counter

import numpy as np
from numpy.typing import NDArray

from hourglass.catalog import counted
from hourglass.sources._series_files import SeriesFile

_DIGITS = 4  # by which steps are told apart, so that their number is bounded
_GAP = 1.5  # usual steps: what is longer is a gap
_REGULAR = 0.01  # of the usual step: what differs by less is one

_Row = tuple[SeriesFile, int]


class Steps:
    """Gathers the steps of all series.

    Attributes:
        repeated: Rows that have the time of the row before.
    """

    def __init__(self) -> None:
        self.repeated = 0
        self._first_repeat: _Row | None = None
        self._longest = 0.0
        self._longest_at: _Row | None = None
        self._counts: Counter[float] = Counter()

    def add(self, step_N: NDArray[np.float64], file: SeriesFile, row: int) -> None:
        """Takes notice of the steps that lead to the rows from `row` on.

        Args:
            step_N: In seconds, or in the unit of the numbers, not below 0; infinite at the first
                row of a series.
            file: Of the rows.
            row: Number of the first.
        """
        repeat_N = step_N == 0
        if repeat_N.any():
            self._first_repeat = self._first_repeat or (file, row + int(np.argmax(repeat_N)))
            self.repeated += int(repeat_N.sum())
        step_N = np.where(np.isfinite(step_N), step_N, 0)
        longest = int(np.argmax(step_N))
        if step_N[longest] > self._longest:
            self._longest, self._longest_at = float(step_N[longest]), (file, row + longest)
        step_N = step_N[step_N > 0]
        unit_N = 10.0 ** (np.floor(np.log10(step_N)) - _DIGITS + 1)
        each, counts = np.unique(np.round(step_N / unit_N) * unit_N, return_counts=True)
        self._counts.update(dict(zip(each.tolist(), counts.tolist(), strict=True)))

    @property
    def first_repeat(self) -> str:
        """Where the first row is that has the time of the row before."""
        return _place(self._first_repeat)

    def summary(self, unit: str) -> str:
        """For people, such as "steps of 10 s; 3 gaps, the longest of 200 s before line 512"."""
        if not self._counts:
            return "all rows of a series have one time"
        step_K = np.array(sorted(self._counts))
        count_K = np.array([self._counts[step] for step in step_K.tolist()])
        middle = np.searchsorted(np.cumsum(count_K), count_K.sum() / 2)
        usual = float(step_K[middle])
        share = float(count_K[np.abs(step_K - usual) <= _REGULAR * usual].sum() / count_K.sum())
        gaps = int(count_K[step_K > _GAP * usual].sum())
        text = f"steps of {usual:.10g}{unit}"
        if share < 1 - gaps / count_K.sum():
            text += f" ({min(share, 0.99):.0%} of them)"
        if gaps:
            text += (
                f"; {counted(gaps, 'gap')}, the longest of {self._longest:.10g}{unit} before "
                f"{_place(self._longest_at)}"
            )
        return text


def _place(row: _Row | None) -> str:
    return f"{row[0].place(row[1])} of {row[0].file}" if row else ""
