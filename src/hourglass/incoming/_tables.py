"""Tables: CSV, TSV, also compressed, or Parquet.

All cells of a text stay text, so that no chunk guesses types anew; separator and decimal sign are
told as where a table is read to be trained on.
"""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as compute
import pyarrow.parquet as pq

from hourglass.errors import DataError
from hourglass.incoming._rows import Chunk, Incoming, numbered
from hourglass.schema import Kind, Schema
from hourglass.sources._delimited import Delimited
from hourglass.spelling import are_plain

WITH_COMMA = r"^(\s*[+-]?\d*),(\d+(?:[eE][+-]?\d+)?\s*)$"


class Texts(Incoming):
    """A file of delimited text.

    Args:
        file: It.
        schema: Whose columns it should hold.
        more: Names of further columns that may hold numbers.

    Raises:
        DataError: see `Delimited`.
    """

    def __init__(self, file: Path, schema: Schema, more: Iterable[str] = ()) -> None:
        self._table = Delimited(file)
        self._numeric = _numeric(schema) | set(more)
        self.files, self.needs = [file], schema
        self.names = self._table.names

    def chunks(self, rows: int) -> Iterator[Chunk]:
        """See `Incoming.chunks`."""
        none = pa.RecordBatch.from_pydict({n: pa.array([], pa.string()) for n in self.names})
        count = 0
        for batch in [none] if self._table.empty else self._table.texts():
            for start in range(0, max(batch.num_rows, 1), rows):
                part = batch.slice(start, rows)
                place = _from(count, self._table.place)
                yield _chunk(self._with_points(part).to_pandas(), part, place)
                count += part.num_rows

    def _with_points(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Numbers with a decimal point; other cells stay as they are, to be quoted so."""
        if self._table.decimal == ".":
            return batch
        for i, name in enumerate(batch.schema.names):
            if name in self._numeric:
                column = compute.replace_substring_regex(batch.column(i), WITH_COMMA, r"\1.\2")
                batch = batch.set_column(i, name, column)
        return batch


class Parquet(Incoming):
    """A Parquet file.

    Raises:
        DataError: it can't be read.
    """

    def __init__(self, file: Path, schema: Schema) -> None:
        self._file, self.files, self.needs = file, [file], schema
        try:
            self.names = pq.read_schema(file).names
        except (pa.ArrowException, OSError) as error:
            raise self._unreadable(error) from None

    def chunks(self, rows: int) -> Iterator[Chunk]:
        """See `Incoming.chunks`."""
        count = 0
        try:
            with pq.ParquetFile(self._file) as file:
                for batch in file.iter_batches(rows):
                    yield _chunk(batch.to_pandas(), batch, _from(count, numbered))
                    count += batch.num_rows
                if not count:
                    none = pa.RecordBatch.from_pylist([], file.schema_arrow)
                    yield _chunk(none.to_pandas(), none, numbered)
        except (pa.ArrowException, OSError) as error:
            raise self._unreadable(error) from None

    def _unreadable(self, error: Exception) -> DataError:
        said = " ".join(str(error).split())[:200]
        return DataError(
            f"{self._file} can't be read as Parquet ({said}); check that the file is whole"
        )


def _numeric(schema: Schema) -> set[str]:
    """Names of the columns whose cells are numbers, of levels too."""
    columns = schema.columns
    return {c.name for c in columns if c.kind is not Kind.CATEGORICAL or are_plain(c.levels)}


def _chunk(frame: pd.DataFrame, batch: pa.RecordBatch, place: Callable[[int], str]) -> Chunk:
    return Chunk(lambda: (frame, {}), pa.Table.from_batches([batch]), place)


def _from(first: int, place: Callable[[int], str]) -> Callable[[int], str]:
    """The same, counted from row `first`."""
    return lambda row: place(first + row)
