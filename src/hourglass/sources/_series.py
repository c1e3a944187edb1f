"""Finds the series in files, and where windows may lie in them: one pass, no values held.

Shapes: N rows of a block.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from hourglass.catalog import listed
from hourglass.config import Preprocess
from hourglass.errors import DataError
from hourglass.sources._beside import Clock, Labels, group_codes, weights
from hourglass.sources._series_files import Rows, SeriesFile
from hourglass.sources._steps import Steps
from hourglass.sources._times import Days, are_dates

_Key = tuple[int, str]  # of a series within its file: period and group

TRAIN, VAL, TEST = 0, 1, 2
_GOLDEN = 0.6180339887498949  # 1 / golden ratio


@dataclass
class Survey:
    """What one pass over all files tells.

    Attributes:
        series: In their order.
        steps: How times go on within them.
        unit: Of the times, such as " s".
    """

    series: list["Series"] = field(default_factory=list)
    steps: Steps = field(default_factory=Steps)
    unit: str = ""


@dataclass(frozen=True)
class Series:
    """Consecutive rows that no window leaves.

    Attributes:
        name: For people.
        file: Number of its file.
        group: Code of its group, in the order of first appearance.
        first: Number of its first row, counted through all files.
        rows: How many it has.
    """

    name: str
    file: int
    group: int
    first: int
    rows: int


@dataclass(frozen=True)
class Parts:
    """Where a series is cut.

    Attributes:
        ends: Row of the series behind the last of each part, ascending.
        splits: Split of each part.
    """

    ends: NDArray[np.int64]
    splits: NDArray[np.int8]

    def windows(
        self, low: int, high: int, length: int, stride: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int8]]:
        """Windows that begin in [low, high) at multiples of the stride and lie within one part.

        Returns:
            Their first rows within the series, and their splits; shape (N,).
        """
        start_N = np.arange(-(-low // stride) * stride, high, stride, dtype=np.int64)
        start_N = start_N[start_N < self.ends[-1]]
        part_N = np.searchsorted(self.ends, start_N, side="right")
        whole_N = start_N + length <= self.ends[part_N]
        return start_N[whole_N], self.splits[part_N[whole_N]]

    def counts(self, length: int, stride: int) -> NDArray[np.int64]:
        """How many windows each split gets. Shape (3,)."""
        count_S = np.zeros(3, np.int64)
        begin = 0
        for end, split in zip(self.ends.tolist(), self.splits.tolist(), strict=True):
            first = -(-begin // stride) * stride
            count_S[split] += max(0, (end - length - first) // stride + 1)
            begin = end
        return count_S

    def longest(self) -> NDArray[np.int64]:
        """Rows of the longest part of each split. Shape (3,)."""
        rows_S = np.zeros(3, np.int64)
        np.maximum.at(rows_S, self.splits, np.diff(self.ends, prepend=0))
        return rows_S


def by_time(rows: int, val_fraction: float, test_fraction: float) -> Parts:
    """The earliest rows of a series train, the latest test."""
    cuts = [round((1 - val_fraction - test_fraction) * rows), round((1 - test_fraction) * rows)]
    return Parts(np.array([*cuts, rows], np.int64), np.array([TRAIN, VAL, TEST], np.int8))


def by_group(series: Series, options: Preprocess) -> Parts:
    """The whole series in the split of its group, by the golden-ratio sequence.

    Group g gets u = frac(u0 + g / golden ratio) with u0 drawn by the seed; test if u is below
    test_fraction, validation if below test_fraction + val_fraction, else training. Any stretch of
    the sequence holds the fractions as well as can be.
    """
    first = np.random.default_rng(options.seed).random()
    u = (first + series.group * _GOLDEN) % 1
    val_end = options.test_fraction + options.val_fraction
    split = TEST if u < options.test_fraction else VAL if u < val_end else TRAIN
    return Parts(np.array([series.rows], np.int64), np.array([split], np.int8))


def survey(
    files: Sequence[SeriesFile], channel: str, options: Preprocess, labels: Labels, days: Days
) -> Survey:
    """Finds the series by what stands beside the channels.

    Args:
        files: Each begins a series.
        channel: One that is read where nothing stands beside them, to count rows.
        options: Which columns are group, time, label and weight.
        labels: Gets to see all labels.
        days: Of the times.

    Raises:
        DataError: the rows of a group don't stand together, or times fall; the row is named.
    """
    groups: dict[str, int] = {}
    found = Survey()
    first = 0
    for number, file in enumerate(files):
        clock = Clock(file, options.time, options.missing_values, days)
        for name, group, rows in _Walk(file, options, labels, clock, found.steps).series(channel):
            code = groups.setdefault(group, len(groups))
            found.series.append(Series(name, number, code, first, rows))
            first += rows
        found.unit = clock.unit
    return found


def group_candidates(file: SeriesFile, options: Preprocess) -> list[str]:
    """Columns of texts whose few values may stand for series of their own.

    The first block tells: each value has enough rows for a window there, and they are no dates.
    """
    beside = columns_beside(options)
    names = [name for name in file.names if name in file.texts and name not in beside]
    block = next(iter(file.blocks((), names)), None) if names else None
    if block is None:
        return []
    most = len(block) // options.window.length
    return [name for name in names if 2 <= _distinct(block.beside[name]) <= most]


def _distinct(column: pa.Array) -> int:
    """How many different texts there are; 0 if they are dates."""
    texts = column.cast(pa.string()).unique().drop_null()
    return 0 if are_dates(texts) else len(texts)


def columns_beside(options: Preprocess) -> tuple[str, ...]:
    """Columns that stand beside the channels, each once."""
    named = (options.group, options.time, options.label, options.weight)
    return tuple(dict.fromkeys(name for name in named if name))


class _Walk:
    """One file from its first row to its last."""

    def __init__(
        self, file: SeriesFile, options: Preprocess, labels: Labels, clock: Clock, steps: Steps
    ) -> None:
        self._file, self._options, self._labels = file, options, labels
        self._clock, self._steps = clock, steps
        self._key: _Key | None = None
        self._seen: set[_Key] = set()
        self._last_time, self._last_text = -np.inf, ""

    def series(self, channel: str) -> list[tuple[str, str, int]]:
        """Name, group and rows of each series."""
        columns = columns_beside(self._options)
        found: list[tuple[str, str, int]] = []
        row = 0
        for block in self._file.blocks(() if columns else (channel,), columns):
            runs = self._runs(block, row)
            continues = runs[0][1] == self._key
            self._check_times(block, row, [begin for begin, _ in runs[continues:]])
            self._check_others(block, row)
            for (begin, key), end in zip(
                runs, [*(b for b, _ in runs[1:]), len(block)], strict=True
            ):
                if key != self._key:
                    self._enter(key, row + begin)
                    found.append((*self._names(key), 0))
                name, group, rows = found[-1]
                found[-1] = (name, group, rows + end - begin)
            row += len(block)
        return found

    def _runs(self, block: Rows, row: int) -> list[tuple[int, _Key]]:
        """Where in the block the period or the group changes, and what begins there."""
        period = self._file.period
        period_N = np.arange(row, row + len(block)) // period if period else np.zeros(len(block))
        code_N, texts = np.zeros(len(block), np.int64), [""]
        if self._options.group:
            code_N, given = group_codes(block.beside[self._options.group])
            if None in given:
                at = self._file.place(row + int(np.argmax(code_N == given.index(None))))
                raise DataError(
                    f"{self._file.file}, {at}: no value in {self._options.group!r}, which tells "
                    "the series apart (params.yaml: preprocess.group); fill it in or delete the row"
                )
            texts = [str(text) for text in given]
        changes = (np.diff(code_N) != 0) | (np.diff(period_N) != 0)
        begins = [0, *(np.flatnonzero(changes) + 1).tolist()]
        return [(b, (int(period_N[b]), texts[code_N[b]])) for b in begins]

    def _enter(self, key: _Key, row: int) -> None:
        """Begins a series.

        Raises:
            DataError: its group was left before.
        """
        if key in self._seen and self._key is not None:
            column = self._options.group
            raise DataError(
                f"{self._file.file}, {self._file.place(row)}: {column} {key[1]!r} comes back after "
                f"{self._key[1]!r}, and rows of one {column} must stand together; sort the file by "
                f"{self._order()}"
            )
        self._seen.add(key)
        self._key = key

    def _check_times(self, block: Rows, row: int, begins: list[int]) -> None:
        column = self._options.time
        if not column:
            return
        times = block.beside[column]
        time_N = self._clock.read(times, row)
        before_N = np.concatenate([[self._last_time], time_N[:-1]])
        before_N[begins] = -np.inf
        falls_N = time_N < before_N
        if falls_N.any():
            i = int(np.argmax(falls_N))
            before = str(times[i - 1]) if i else self._last_text
            raise DataError(
                f"{self._file.file}, {self._file.place(row + i)}: {column} {str(times[i])!r} comes "
                f"after {before!r}, and rows of a series must be in the order of time; sort the "
                f"file by {self._order()}{self._or_group()}"
            )
        self._steps.add(time_N - before_N, self._file, row)
        self._last_time, self._last_text = float(time_N[-1]), str(times[-1])

    def _check_others(self, block: Rows, row: int) -> None:
        if self._options.label:
            self._labels.look(block.beside[self._options.label])
        if self._options.weight:
            column = self._options.weight
            weights(self._file, column, block.beside[column], row)

    def _order(self) -> str:
        """What to sort the file by."""
        return ", ".join(name for name in (self._options.group, self._options.time) if name)

    def _or_group(self) -> str:
        """The other remedy where nothing tells several series apart."""
        if self._options.group:
            return ""
        names = group_candidates(self._file, self._options)
        such = f", such as {listed([repr(name) for name in names])}" if names else ""
        return (
            "; if it holds several series (of machines, of persons), sorting would mix them: name "
            f"the column that tells them apart in params.yaml: preprocess.group{such}, and sort by "
            "it first"
        )

    def _names(self, key: _Key) -> tuple[str, str]:
        """Of a series for people, and of its group."""
        period, group = key
        numbered = f"series {period + 1}" if self._file.period else ""
        grouped = f"{self._options.group} {group!r}" if self._options.group else ""
        own = ", ".join(part for part in (numbered, grouped) if part)
        name = f"{own} of {self._file.file}" if own else f"{self._file.file}"
        return name, group if self._options.group else name
