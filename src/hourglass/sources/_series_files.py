"""Files that hold series: CSV, Parquet and NPY, read in blocks of rows, with columns beside them.

Shapes: N rows of a block, C channels.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as compute
import pyarrow.csv as pc
from numpy.typing import NDArray

from hourglass.errors import DataError
from hourglass.sources._delimited import Delimited
from hourglass.sources._parquet import Parquet
from hourglass.sources._stored import NpyFile
from hourglass.sources._table import NULLS, chunk_rows

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
    """A CSV or TSV file; columns beside the channels come as texts."""

    def __init__(self, file: Path, missing: Missing) -> None:
        self.file = file
        self._table = _Delimited(file, [str(value) for value in missing])
        self.names = self._table.names
        self.texts = self._table.text_columns()

    def blocks(self, channels: Sequence[str], beside: Sequence[str]) -> Iterator[Rows]:
        """See `SeriesFile.blocks`."""
        self._table.check(channels)
        for batch in self._table.batches(channels, beside):
            yield _rows(batch, channels, beside, self.dtype(channels))

    def place(self, row: int) -> str:
        """See `SeriesFile.place`: the line."""
        return self._table.place(row)


class _Delimited(Delimited):
    """Also reads columns as texts, and takes further texts for gaps."""

    def __init__(self, file: Path, missing: Sequence[str]) -> None:
        self._gaps: frozenset[str] = frozenset()
        super().__init__(file)
        self._gaps = frozenset(missing)  # from here on: the header may hold such a name
        self._nulls = [*NULLS, *missing]
        with self._stream({}, self.names) as reader:
            self._types = {field.name: field.type for field in reader.schema}

    def text_columns(self) -> frozenset[str]:
        """Columns whose values in the first block are all texts."""
        texts = [name for name in self.names if self._is_text(self._types[name])]
        if not texts:
            return frozenset()
        with self._stream(dict.fromkeys(texts, pa.binary()), texts) as reader:  # in any encoding
            first = reader.read_next_batch()
        return frozenset(n for n in texts if not any(map(_is_number, first.column(n))))

    def batches(self, channels: Sequence[str], beside: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Batches with the channels as numbers and the others as texts."""
        types = {
            n: pa.bool_() if pa.types.is_boolean(self._types[n]) else pa.float64() for n in channels
        }
        types |= dict.fromkeys(beside, pa.string())
        try:
            with self._stream(types, [*channels, *beside]) as reader:
                for batch in reader:
                    if batch.num_rows:
                        yield batch
        except (pa.ArrowException, OSError) as error:
            if "UTF8" in str(error):  # of the columns beside: channels are read as numbers
                raise DataError(
                    f"{self.file}: {', '.join(map(repr, beside))} must be in UTF-8 ({error}); "
                    "save the file in that encoding"
                ) from None
            raise self._diagnosis(channels, str(error)) from None

    def _records(self, text: TextIO) -> Iterator[tuple[int, list[str]]]:
        """See `Delimited`: without the texts that stand for gaps, which are no mistakes."""
        for line, record in super()._records(text):
            yield line, ["" if cell in self._gaps else cell for cell in record]

    def _stream(
        self, types: dict[str, pa.DataType], columns: Sequence[str]
    ) -> pc.CSVStreamingReader:
        return pc.open_csv(
            pa.input_stream(str(self.file), compression=self._compression),
            read_options=pc.ReadOptions(
                column_names=list(self.names),
                skip_rows=self._header_lines,
                block_size=self._block_bytes(),
            ),
            parse_options=pc.ParseOptions(delimiter=self._delimiter, newlines_in_values=True),
            convert_options=pc.ConvertOptions(
                column_types=types,
                include_columns=list(columns),
                null_values=self._nulls,
                strings_can_be_null=True,
            ),
        )


class ParquetFile(SeriesFile):
    """A Parquet file."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._table = _Parquet(file)
        self.names = self._table.names
        self.texts = frozenset(n for n in self.names if not self._table.is_number(n))
        self.narrow = frozenset(n for n in self.names if self._table.is_narrow(n))

    def blocks(self, channels: Sequence[str], beside: Sequence[str]) -> Iterator[Rows]:
        """See `SeriesFile.blocks`."""
        self._table.check(channels)
        self._table.check_beside(beside)
        for batch in self._table.batches([*channels, *beside]):
            yield _rows(batch, channels, beside, self.dtype(channels))

    def place(self, row: int) -> str:
        """See `SeriesFile.place`."""
        return self._table.place(row)


class _Parquet(Parquet):
    """Also tells the types of columns, and reads those that are no numbers."""

    def is_number(self, name: str) -> bool:
        """Whether a column can be a channel."""
        kind = self._schema.field(name).type
        kind = kind.value_type if pa.types.is_dictionary(kind) else kind
        types = pa.types
        tests = (types.is_integer, types.is_floating, types.is_decimal, types.is_boolean)
        return types.is_null(kind) or any(test(kind) for test in tests)

    def is_narrow(self, name: str) -> bool:
        """Whether float32 holds a column."""
        return self._schema.field(name).type in (pa.float32(), pa.float16())

    def check_beside(self, columns: Sequence[str]) -> None:
        """Refuses columns whose cells hold several values.

        Raises:
            DataError: with the type.
        """
        for name in columns:
            kind = self._schema.field(name).type
            if pa.types.is_nested(kind):
                raise DataError(
                    f"{self.file}: column {name!r} holds {kind}; a group, time, label or weight is "
                    "one value a row"
                )

    def batches(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Batches with these columns, as the file holds them."""
        yield from self._batches(columns, chunk_rows(len(columns)))


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


def _rows(
    batch: pa.RecordBatch, channels: Sequence[str], beside: Sequence[str], dtype: np.dtype[Any]
) -> Rows:
    values_NC = np.empty((batch.num_rows, len(channels)), dtype)
    for c, name in enumerate(channels):
        values_NC[:, c] = floats(batch.column(name))
    return Rows(values_NC, {name: batch.column(name) for name in beside})


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


def _is_number(cell: pa.Scalar) -> bool:
    try:
        float(cell.as_py() or b"-")
    except ValueError:
        return False
    return b"_" not in cell.as_py()


def _plain(column: NDArray[Any]) -> NDArray[Any]:
    """Of a type that pyarrow groups by: floats of 64 bits, contiguous, in native byte order."""
    dtype = np.float64 if column.dtype.kind == "f" else column.dtype.newbyteorder("=")
    return np.ascontiguousarray(column, dtype=dtype)
