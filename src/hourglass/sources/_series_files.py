"""Files that hold series: CSV, Parquet and NPY, read in blocks of rows, with columns beside them.

Shapes: N rows of a block, C channels.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as compute
from numpy.typing import NDArray

from hourglass.errors import DataError
from hourglass.gaps import NULLS
from hourglass.sources._complaints import text_among_numbers
from hourglass.sources._delimited import Delimited
from hourglass.sources._parquet import Parquet
from hourglass.sources._stored import NpyFile
from hourglass.sources._table import NUMERIC, Block, Sort, chunk_rows, sort_of
from hourglass.sources._texts import is_meant_as_number

Missing = Sequence[str | int | float]  # what stands for a gap


@dataclass(frozen=True)
class Rows:
    """Consecutive rows of a file.

    Attributes:
        values_NC: The channels, gaps as NaN; its own copy.
        beside: Other columns by name, N values each, as the file holds them; gaps are null.
    """

    values_NC: NDArray[Any]
    beside: Mapping[str, pa.Array]

    def __len__(self) -> int:
        return len(self.values_NC)


class SeriesFile(ABC):
    """One file.

    Attributes:
        file: Where it lies.
        names: All columns in the order of the file.
        period: Rows after which a new series begins, where the file says so; else 0.
        texts: Columns that hold no number at all, as far as the file's beginning tells.
        narrow: Columns that float32 holds.
    """

    file: Path
    names: tuple[str, ...]
    period: int = 0
    texts: frozenset[str] = frozenset()
    narrow: frozenset[str] = frozenset()

    def dtype(self, channels: Sequence[str]) -> np.dtype[Any]:
        """Of the values: float32 where it holds all channels, else float64."""
        return np.dtype(np.float32 if self.narrow.issuperset(channels) else np.float64)

    @abstractmethod
    def blocks(self, channels: Sequence[str], beside: Sequence[str]) -> Iterator[Rows]:
        """The rows in their order.

        Raises:
            DataError: a row can't be read, or a channel holds a text.
        """

    @abstractmethod
    def place(self, row: int) -> str:
        """Where a person finds row `row`, counted from 0, in the file."""


class TextFile(SeriesFile):
    """A CSV or TSV file; columns beside the channels come as texts.

    Attributes:
        table: What reads it.
    """

    def __init__(self, file: Path, missing: Missing) -> None:
        self.file = file
        self.table = Delimited(file, [*NULLS, *map(str, missing)], levels=False)
        if self.table.empty:
            raise DataError(self.table.empty)
        self.names = self.table.names
        self.texts = self._text_columns()

    def _text_columns(self) -> frozenset[str]:
        """Columns whose values in the first block are all texts."""
        types = self.table.types
        texts = [name for name in self.names if sort_of(types[name]) not in NUMERIC]
        if not texts:
            return frozenset()
        return frozenset(name for name in texts if self._is_text(name))

    def _is_text(self, name: str) -> bool:
        try:
            first = next(self.table.blocks({name: Sort.TEXT}))
        except DataError:  # in another encoding: it matters only if the column is wanted
            return True
        texts = first.column(name).dictionary.drop_null().to_pylist()
        return not any(map(is_meant_as_number, texts))

    def blocks(self, channels: Sequence[str], beside: Sequence[str]) -> Iterator[Rows]:
        """See `SeriesFile.blocks`."""
        types = self.table.types
        words = {n for n in channels if sort_of(types[n]) is Sort.BOOLEAN}
        wanted = {n: Sort.BOOLEAN if n in words else Sort.NUMBER for n in channels}
        for block in self.table.blocks({**wanted, **dict.fromkeys(beside, Sort.TEXT)}):
            sides = {name: block.column(name).cast(pa.string()) for name in beside}
            yield Rows(_values(block, channels, self.dtype(channels)), sides)

    def place(self, row: int) -> str:
        """See `SeriesFile.place`: the line."""
        return self.table.place(row)


class ParquetFile(SeriesFile):
    """A Parquet file."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._table = Parquet(file)
        if self._table.empty:
            raise DataError(self._table.empty)
        self.names = self._table.names
        types = self._table.types
        self.texts = frozenset(n for n in self.names if not _is_number(types[n]))
        narrow = (pa.float32(), pa.float16())
        self.narrow = frozenset(n for n in self.names if types[n] in narrow)

    def blocks(self, channels: Sequence[str], beside: Sequence[str]) -> Iterator[Rows]:
        """See `SeriesFile.blocks`."""
        for name in beside:
            kind = self._table.types[name]
            if pa.types.is_nested(kind):
                raise DataError(
                    f"{self.file}: column {name!r} holds {kind}; a group, time, label or weight is "
                    "one value a row"
                )
        for name in channels:
            if name in self.texts:
                raise text_among_numbers(f"{self.file}", [self._first_value(name)], levels=False)
        wanted = dict.fromkeys([*channels, *beside], Sort.NUMBER)  # the file knows its types
        for block in self._table.blocks(wanted):
            sides = {name: block.column(name) for name in beside}
            yield Rows(_values(block, channels, self.dtype(channels)), sides)

    def _first_value(self, name: str) -> tuple[str, str, str]:
        """The column, the place of its first value, and the value."""
        row = 0
        for block in self._table.blocks({name: Sort.TEXT}):
            for i, value in enumerate(block.column(name)):
                if value.is_valid:
                    return name, self.place(row + i), str(value)
            row += block.rows
        return name, self.place(0), f"empty, of type {self._table.types[name]}"

    def place(self, row: int) -> str:
        """See `SeriesFile.place`."""
        return self._table.place(row)


def _is_number(kind: pa.DataType) -> bool:
    """Whether a column of this type can be a channel."""
    return sort_of(kind.value_type if pa.types.is_dictionary(kind) else kind) in NUMERIC


def _values(block: Block, channels: Sequence[str], dtype: np.dtype[Any]) -> NDArray[Any]:
    values_NC = np.empty((block.rows, len(channels)), dtype)
    block.fill(values_NC, range(len(channels)), channels)
    return values_NC


class ArrayFile(SeriesFile):
    """An NPY file: time x channels, or series x time x channels; channels are "0", "1", ..."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._stored = NpyFile(file)
        self._stored.check()
        shape = self._stored.shape
        if self._stored.dtype.kind not in "biuf":
            raise DataError(
                f"{file} holds {self._stored.dtype}, and an autoencoder needs numbers; encode them"
            )
        if len(shape) not in (2, 3):
            hint = "; save array.reshape(-1, 1) if it is one channel" if len(shape) == 1 else ""
            raise DataError(
                f"{file} has shape {shape}; series have time x channels, or series x time x "
                f"channels{hint}"
            )
        self.names = tuple(map(str, range(shape[-1])))
        self.period = shape[1] if len(shape) == 3 else 0
        if self._stored.dtype.kind == "f" and self._stored.dtype.itemsize <= 4:
            self.narrow = frozenset(self.names)

    def blocks(self, channels: Sequence[str], beside: Sequence[str]) -> Iterator[Rows]:
        """See `SeriesFile.blocks`."""
        array_STC = self._stored.array()
        if array_STC.ndim == 2:
            array_STC = array_STC[None]
        count, length, width = array_STC.shape
        series, steps = chunk_rows(length * width), min(length, chunk_rows(width))
        columns = [int(name) for name in channels]
        for s in range(0, count, series):
            for t in range(0, length, steps):
                block_NC = array_STC[s : s + series, t : t + steps].reshape(-1, width)
                values_NC = np.array(block_NC[:, columns], dtype=self.dtype(channels))
                sides = {name: _plain(block_NC[:, int(name)]) for name in beside}
                yield Rows(values_NC, {name: pa.array(side) for name, side in sides.items()})

    def place(self, row: int) -> str:
        """See `SeriesFile.place`."""
        if not self.period:
            return f"row {row + 1}"
        return f"series {row // self.period + 1}, row {row % self.period + 1}"


def floats(column: pa.Array) -> NDArray[np.float64]:
    """Numbers, or texts that are numbers, as float64; gaps as NaN. Shape (N,).

    Raises:
        pyarrow.ArrowException: a value is none.
    """
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_boolean(column.type):
        column = column.cast(pa.int8())
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        column = compute.utf8_trim_whitespace(column)
    numbers = column.cast(pa.float64(), safe=False)
    values: NDArray[np.float64] = numbers.to_numpy(zero_copy_only=False)
    return values


def _plain(column: NDArray[Any]) -> NDArray[Any]:
    """Of a type that pyarrow groups by: floats of 64 bits, contiguous, in native byte order."""
    dtype = np.float64 if column.dtype.kind == "f" else column.dtype.newbyteorder("=")
    return np.ascontiguousarray(column, dtype=dtype)
