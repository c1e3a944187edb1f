"""Series that are cut into windows like those that the model was trained on.

Shapes: N rows of a chunk, C channels; n windows, T rows of a window.
"""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from hourglass import given
from hourglass.errors import DataError
from hourglass.gaps import Gaps
from hourglass.incoming._rows import Chunk, Incoming, Rows, numbered
from hourglass.schema import Schema, channels
from hourglass.sources._beside import Clock, group_codes

log = logging.getLogger(__name__)

_Key = tuple[int, str]  # of a series: its number in an array, its group
LAST = "last_row"  # in the answers: number of a window's last row; the file's first row is 1


@dataclass(frozen=True)
class Cut:
    """How the rows of a table become windows.

    Attributes:
        name: Of the table, for messages.
        schema: Of the windows.
        stride: Rows from one window's beginning to the next one's.
        group: Column of the table whose changes begin a series; "": there is one series.
        time: Column of the table that must not fall within a series; "": none.
        clock: Gives what reads it.
        period: Rows after which a new series begins; 0: the group alone tells.
    """

    name: str
    schema: Schema
    stride: int
    group: str = ""
    time: str = ""
    clock: Callable[[], Clock] | None = None
    period: int = 0


class Windows(Incoming):
    """The windows of a table of series; none leaves its series."""

    told = (LAST,)

    def __init__(self, table: Incoming, cut: Cut) -> None:
        self._table, self._cut = table, cut
        self.files, self.names, self.needs = table.files, table.names, table.needs

    def chunks(self, rows: int) -> Iterator[Chunk]:
        """See `Incoming.chunks`.

        Raises:
            DataError: groups take turns, times fall, or no series is as long as a window.
        """
        walk = _Walk(self._cut)
        # As many as hold about `rows` windows; of these, each may hold `length` rows.
        for chunk in self._table.chunks(rows * min(self._cut.stride, walk.length)):
            yield walk.windows(chunk)
        walk.end()


def of_channels(schema: Schema) -> Schema:
    """Of the rows that windows consist of."""
    names = channels(schema.names, schema.shape)
    columns = [replace(c, name=n) for c, n in zip(schema.columns, names, strict=False)]
    return replace(schema, columns=tuple(columns), shape=None)


def _cut_out(
    values_NC: NDArray[np.float64], begin_n: NDArray[np.int64], length: int
) -> NDArray[np.float64]:
    """The windows that begin at these rows, (n, T, C)."""
    if not len(begin_n):
        return np.empty((0, length, values_NC.shape[1]))
    every_NCT = sliding_window_view(values_NC, length, axis=0)
    return every_NCT[begin_n].swapaxes(1, 2)


class _Walk:
    """Goes along the rows of a table, chunk by chunk, and remembers the last window's.

    Attributes:
        channels: Of the rows.
        length: Of a window.
    """

    def __init__(self, cut: Cut) -> None:
        self._cut = cut
        self.channels = of_channels(cut.schema)
        self._gaps = Gaps.of(cut.schema.missing_values)
        width = len(self.channels.columns)
        self.length = len(cut.schema.columns) // width
        self._row = 0  # of the table, with which the next chunk begins
        self._first = 0  # with which the series began that the last chunk ended in
        self._series: _Key = (0, "")  # it
        self._met: set[_Key] = set()
        self._clock: Clock | None = None
        self._time = -np.inf
        self._tail_NC = np.empty((0, width))
        self._wrong: dict[int, str] = {}
        self._count, self._short, self._longest = 0, 0, 0  # of series

    def windows(self, chunk: Chunk) -> Chunk:
        """Those whose last row is in the chunk."""
        frame, _ = chunk.load()
        read = given.read(frame, self.channels)
        row_N = self._row + np.arange(len(frame))
        begins_N = self._begins(chunk, row_N)
        self._require_order(chunk, frame, begins_N)
        end_n = self._ends(row_N, begins_N)
        values_NC = np.concatenate([self._tail_NC, read.rows_NF])
        begin_n = end_n - self._row + len(self._tail_NC) - self.length + 1  # in these values
        self._wrong |= {self._row + row: reason for row, reason in read.wrong.items()}
        wrong = self._reasons(end_n)
        own = [name for name in chunk.beside.column_names if name != LAST]
        beside = chunk.beside.select(own).take(end_n - self._row)
        beside = beside.add_column(0, LAST, pa.array(end_n + 1))
        self._row += len(frame)
        self._tail_NC = values_NC[max(0, len(values_NC) - self.length + 1) :].copy()
        oldest = self._row - self.length
        self._wrong = {row: why for row, why in self._wrong.items() if row > oldest}
        length = self.length
        return Chunk(
            lambda: (_cut_out(values_NC, begin_n, length), wrong),
            beside,
            lambda i: f"window up to row {int(end_n[i]) + 1}",
        )

    def _begins(self, chunk: Chunk, row_N: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether a row is the first of a series, (N,)."""
        period = self._cut.period
        begins_N: NDArray[np.bool_] = row_N % period == 0 if period else row_N == 0
        if not len(row_N) or not self._cut.group:
            return begins_N
        code_N, groups = self._groups(chunk)
        begins_N[1:] |= code_N[1:] != code_N[:-1]
        begins_N[0] |= groups[code_N[0]] != self._series[1]
        for at in np.flatnonzero(begins_N).tolist():
            key = (int(row_N[at]) // period if period else 0, groups[code_N[at]])
            if key in self._met:
                group = self._cut.group
                raise DataError(
                    f"{self._cut.name}, {chunk.place(at)}: {group} {key[1]!r} comes back after "
                    f"{self._series[1]!r}, and rows of one {group} must stand together; sort the "
                    "file by it"
                )
            self._met.add(key)
            self._series = key
        return begins_N

    def _groups(self, chunk: Chunk) -> tuple[NDArray[np.int64], list[str]]:
        """Code of each row's group, (N,), and what the codes stand for.

        Raises:
            DataError: a row has none.
        """
        name, column = self._cut.group, chunk.beside.column(self._cut.group).combine_chunks()
        if pa.types.is_nested(column.type):
            raise DataError(
                f"{self._cut.name}: column {name!r} holds {column.type}; a group is one value a row"
            )
        code_N, texts = group_codes(column)
        gaps = [i for i, text in enumerate(texts) if text is None or self._gaps.is_gap(text)]
        if gaps:
            row = int(np.isin(code_N, gaps).argmax())
            raise DataError(
                f"{self._cut.name}, {chunk.place(row)}: no value in {name!r}, which tells series "
                "apart; fill it in or delete the row"
            )
        return code_N, [str(text) for text in texts]

    def _require_order(self, chunk: Chunk, frame: Rows, begins_N: NDArray[np.bool_]) -> None:
        """Makes sure that times don't fall within a series."""
        time, make = self._cut.time, self._cut.clock
        if not time or make is None or not len(begins_N):
            return
        self._clock = self._clock or make()
        times = chunk.beside.column(time).combine_chunks()
        if pa.types.is_string(times.type) and isinstance(frame, pd.DataFrame):
            texts = [None if self._gaps.is_gap(text) else text for text in frame[time].fillna("")]
            times = pa.array(texts, pa.string())  # with a decimal point
        time_N = self._clock.read(times, self._row)
        falls_N = (time_N < np.concatenate([[self._time], time_N[:-1]])) & ~begins_N
        if falls_N.any():
            row = int(falls_N.argmax())
            lacking = "" if self._cut.group else self._cut.schema.group
            order = ", ".join(name for name in (lacking or self._cut.group, time) if name)
            remedy = f"add {lacking!r}, which tells series apart, and " if lacking else ""
            raise DataError(
                f"{self._cut.name}, {chunk.place(row)}: {time} {str(times[row])!r} comes after a "
                "later one, and rows of a series must be in the order of time; "
                f"{remedy}sort the file by {order}"
            )
        self._time = float(time_N[-1])

    def _ends(self, row_N: NDArray[np.int64], begins_N: NDArray[np.bool_]) -> NDArray[np.int64]:
        """The rows with which a window ends, (n,)."""
        starts = [self._first, *row_N[begins_N].tolist()]
        first_N = np.array(starts)[np.cumsum(begins_N)]
        for before, after in pairwise(starts):
            self._add(after - before)
        self._first = starts[-1]
        spare_N = row_N - first_N - (self.length - 1)
        ends_n: NDArray[np.int64] = row_N[(spare_N >= 0) & (spare_N % self._cut.stride == 0)]
        return ends_n

    def _add(self, rows: int) -> None:
        """Takes notice of a series that ended."""
        self._count += rows > 0
        self._short += 0 < rows < self.length
        self._longest = max(self._longest, rows)

    def _reasons(self, end_n: NDArray[np.int64]) -> dict[int, str]:
        """Position of each window with a row of no use -> the first of them, and why."""
        wrong_K = np.array(sorted(self._wrong), np.int64)
        if not len(wrong_K):
            return {}
        at_n = np.searchsorted(wrong_K, end_n - self.length + 1)
        found = {}
        for i in np.flatnonzero(at_n < len(wrong_K)).tolist():
            row = int(wrong_K[at_n[i]])
            if row <= end_n[i]:
                found[i] = f"{numbered(row)}, {self._wrong[row]}"
        return found

    def end(self) -> None:
        """Tells of series that are too short.

        Raises:
            DataError: all are.
        """
        self._add(self._row - self._first)
        if self._count and self._longest < self.length:
            of = "it has" if self._count == 1 else f"the longest of its {self._count} series has"
            raise DataError(
                f"{self._cut.name}: a window has {self.length} rows, but {of} {self._longest}; "
                "bring longer series"
            )
        if self._short:
            log.warning(
                "%s: no answer for %d of %d series, which are shorter than the %d rows of a window",
                *(self._cut.name, self._short, self._count, self.length),
            )
