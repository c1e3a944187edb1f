"""Files of raw rows on their way to a model: CSV, TSV, also compressed, or Parquet.

All cells of a text stay text, so that no chunk guesses types anew; separator and decimal sign are
told as where a table is read to be trained on.
"""

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as compute
import pyarrow.parquet as pq

from hourglass.errors import ConfigError, DataError
from hourglass.paths import named
from hourglass.sources._delimited import Delimited
from hourglass.sources._files import format_of

WITH_COMMA = r"^(\s*[+-]?\d*),(\d+(?:[eE][+-]?\d+)?\s*)$"
TYPES = ".csv, .tsv (also .gz, .zst, .bz2 or .lz4) or .parquet"


@dataclass(frozen=True)
class Chunk:
    """Some rows of a file.

    Attributes:
        rows: All columns; numbers of a text have a decimal point where they are asked for.
        kept: Some columns as they stand in the file: pandas would make floats of whole numbers
            beside a gap.
    """

    rows: pd.DataFrame
    kept: pa.Table


class Incoming(ABC):
    """A file of rows.

    Attributes:
        names: Of its columns.
    """

    names: Sequence[str]

    @abstractmethod
    def chunks(self, rows: int, keep: Sequence[str], numbers: Collection[str]) -> Iterator[Chunk]:
        """All rows in their order, at most `rows` a chunk; one empty chunk where there are none.

        Args:
            rows: Of a chunk at most.
            keep: Names of the columns in `Chunk.kept`.
            numbers: Names of the columns that should hold numbers.

        Raises:
            DataError: the file can't be read.
        """

    @abstractmethod
    def place(self, row: int) -> str:
        """Where row `row`, counted from 0, stands, for messages."""


class Texts(Incoming):
    """A file of delimited text.

    Raises:
        DataError: see `Delimited`.
    """

    def __init__(self, file: Path) -> None:
        self._table = Delimited(file)
        self.names = self._table.names

    def chunks(self, rows: int, keep: Sequence[str], numbers: Collection[str]) -> Iterator[Chunk]:
        """See `Incoming.chunks`."""
        none = pa.RecordBatch.from_pydict({n: pa.array([], pa.string()) for n in self.names})
        for batch in [none] if self._table.empty else self._table.texts():
            for start in range(0, max(batch.num_rows, 1), rows):
                part = batch.slice(start, rows)
                kept = pa.Table.from_batches([part]).select(list(keep))
                yield Chunk(self._with_points(part, numbers).to_pandas(), kept)

    def _with_points(self, batch: pa.RecordBatch, numbers: Collection[str]) -> pa.RecordBatch:
        if self._table.decimal == ".":
            return batch
        for i, name in enumerate(batch.schema.names):
            if name in numbers:  # other cells stay as they are, to be quoted so
                column = compute.replace_substring_regex(batch.column(i), WITH_COMMA, r"\1.\2")
                batch = batch.set_column(i, name, column)
        return batch

    def place(self, row: int) -> str:
        """See `Incoming.place`."""
        return self._table.place(row)


class Parquet(Incoming):
    """A Parquet file.

    Raises:
        DataError: it can't be read.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        try:
            self.names = pq.read_schema(file).names
        except (pa.ArrowException, OSError) as error:
            raise self._unreadable(error) from None

    def chunks(
        self,
        rows: int,
        keep: Sequence[str],
        numbers: Collection[str],  # noqa: ARG002  they have a type here
    ) -> Iterator[Chunk]:
        """See `Incoming.chunks`."""
        count = 0
        try:
            with pq.ParquetFile(self._file) as file:
                for batch in file.iter_batches(rows):
                    count += batch.num_rows
                    yield Chunk(batch.to_pandas(), pa.table(batch).select(list(keep)))
                if not count:
                    none = file.schema_arrow.empty_table()
                    yield Chunk(none.to_pandas(), none.select(list(keep)))
        except (pa.ArrowException, OSError) as error:
            raise self._unreadable(error) from None

    def place(self, row: int) -> str:
        """See `Incoming.place`."""
        return f"row {row + 1} (the first is 1)"

    def _unreadable(self, error: Exception) -> DataError:
        said = " ".join(str(error).split())[:200]
        return DataError(
            f"{self._file} can't be read as Parquet ({said}); check that the file is whole"
        )


def check(file: Path, what: str) -> None:
    """Looks at the name of a file, before anything is loaded.

    Args:
        file: To be read.
        what: What it is to the user, for messages.

    Raises:
        ConfigError: its type is none of `TYPES`.
        DataError: there is no such file.
    """
    if not _is_text(file) and format_of(file) != "parquet":
        raise ConfigError(f"{what} is {file}; it must be {TYPES}")
    named(file, f"the name of {what}")


def opened(file: Path) -> Incoming:
    """The file, its header read.

    Raises:
        DataError: it can't be read.
    """
    return Texts(file) if _is_text(file) else Parquet(file)


def _is_text(file: Path) -> bool:
    return (format_of(file) or "").startswith(("csv", "tsv"))
